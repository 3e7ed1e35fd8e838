/* sim.h - shards without threads: a whole program, run deterministically.
 *
 * The same shards that weir_run() puts on CPUs are pumped here in one thread, in an order drawn
 * from a seed, on a virtual clock that jumps to the next timer when nobody has anything to do.  The
 * sockets are in memory, with delays, short reads and refusals drawn from the same seed.  One seed
 * replays one run, instruction for instruction. */
#ifndef WEIR_SIM_H
#define WEIR_SIM_H

#include <weir/runtime.h>

WEIR_BEGIN

struct weir_sim_config {
    unsigned shards;     /* default 2 */
    uint64_t seed;       /* default 1 */
    weir_time limit;     /* virtual time after which the run is called hung; default 1 h */
    uint32_t fibers_max; /* per shard; default 1,024 */
    /* The network: each is a chance in 1,024 per operation; default 0. */
    uint32_t short_reads;  /* a receive yields fewer bytes than there are */
    uint32_t short_writes; /* a segment is cut, the rest follows later */
    uint32_t resets;       /* the connection is reset */
    uint32_t no_buffers;   /* the receive has to be tried again (ENOBUFS) */
    uint32_t drops;        /* a datagram is lost */
    uint32_t duplicates;   /* a datagram arrives twice */
    weir_time delay_max;   /* each segment takes up to this long; default 1 ms */
    size_t window;         /* bytes in flight per direction or socket; default 65,536 */
    /* TCP/IP in user space (net/native) above the simulated sockets, which "kernel:" addresses
     * still mean: everything else is packets on a loopback wire that all shards share. */
    bool native;
    bool misdirect;     /* its packets arrive on any shard, not where they belong */
    const char *impair; /* faults of that wire, such as "loss=1%,delay=20ms"; NULL: none */
    const char *pcap;   /* a file for its packets; NULL: none */
};

WEIR_API void weir_sim_config_init(struct weir_sim_config *config);

/* Runs `shard_main` on every shard until all have ended.  0; -EINVAL when the configuration is not
 * one (the log says it if it is `impair`); -EDEADLK when fibers are left that
 * nothing can wake; -ETIME when the limit was passed.  In both cases the log names the seed and
 * the fibers that are left, and the shards are torn down by cancelling them. */
WEIR_API int weir_sim_run(const struct weir_sim_config *config, void (*shard_main)(void *arg),
                          void *arg);

/* A random number from the shard's seeded generator; below `bound` (which is > 0). */
WEIR_API uint64_t weir_random(uint64_t bound);

WEIR_END

#endif
