/* runtime.h - starting shards, and stopping them.
 *
 * weir_run() starts one pinned thread per shard and runs `shard_main` in a fiber on each.  It
 * returns when all of them have ended.  Stopping (weir_stop, SIGINT, SIGTERM) is not cancelling:
 * first accepts end with -ESHUTDOWN and weir_stopping() is true, so that servers drain; after the
 * grace time, or at a second signal, what still runs is cancelled.  */
#ifndef WEIR_RUNTIME_H
#define WEIR_RUNTIME_H

#include <weir/future.h>

WEIR_BEGIN

enum weir_poll {
    WEIR_POLL_ADAPTIVE, /* sleep when there is nothing to do: an idle shard costs no CPU */
    WEIR_POLL_BUSY,     /* never sleep: the lowest latency, a whole CPU per shard */
};

enum weir_balance {
    WEIR_BALANCE_REUSEPORT, /* the kernel spreads connections over the shards by hash */
    WEIR_BALANCE_LEAST,     /* one acceptor hands each to the shard with the fewest */
};

enum weir_stack_kind {
    WEIR_STACK_AUTO, /* io_uring where it is permitted, else epoll with one line that says why */
    WEIR_STACK_URING,
    WEIR_STACK_EPOLL,
    WEIR_STACK_NATIVE, /* TCP/IP of our own, on the device `dev`; the kernel's sockets beside it */
};

enum weir_flavour {
    WEIR_SHARDED,        /* a pinned thread per shard */
    WEIR_CURRENT_THREAD, /* one shard and no thread: whoever made the runtime runs it, while it is
                          * in weir_block_on or weir_run */
};

enum weir_congestion { WEIR_CONGESTION_CUBIC, WEIR_CONGESTION_RENO };

struct weir_config {
    enum weir_flavour flavour; /* default WEIR_SHARDED */
    unsigned shards;  /* 0: one per CPU of `cpus`; if that is NULL, within the cgroup's CPU quota */
    const char *cpus; /* such as "0,2-3"; NULL: the affinity mask of the process */
    enum weir_poll poll;
    weir_time idle_spin; /* after a cross-shard message an adaptive shard spins so long; 50 us */
    enum weir_stack_kind stack;
    enum weir_balance balance;
    size_t fiber_stack;   /* bytes, a multiple of the page, at least 16 KiB and two pages (the
                           * lowest is the guard); default 64 KiB */
    uint32_t fibers_max;  /* per shard; default 65,536 */
    uint32_t conns_max;   /* per shard; default 65,536; accepting pauses there */
    uint32_t rx_bufs;     /* receive buffers per shard, a power of two; default 256 */
    uint32_t rx_buf_size; /* bytes of each; default 16,384 */
    weir_time grace;      /* from stop to cancel; default 10 s */
    bool signals;         /* SIGINT, SIGTERM stop, SIGUSR1 lists the fibers; default true.  Of two
                           * runtimes side by side the first to start has them.  False: they may
                           * be waited for, as others (signal.h) */
    bool quiet;           /* say nothing at start; default false */
    const char *thread_name; /* threads are called NAME-0, NAME-1, ...; of at most 11 bytes; default
                              * "weir" */
    bool io;                 /* sockets; default true.  Off: using one ends the program with a
                              * sentence that names this setting */
    bool timers;             /* default true.  Off: so does sleeping, and a deadline */
    bool paused;             /* the clock starts paused (weir_pause, one shard); default false */
    uint32_t blocking_threads; /* of the pool for what blocks (blocking.h), at most; default 512 */
    uint32_t blocking_queue;   /* jobs that may wait for one of them; default 65,536 */
    weir_time blocking_idle;   /* a thread of it without work ends after so long; default 10 s */
    uint64_t seed;             /* of the shards' random numbers; 0: taken from the kernel */

    /* --- for the native stack; texts are kept, not copied --- */
    const char *dev;     /* "tap:NAME", "dpdk:EAL ARGS"; NULL: loopback only, within the process */
    const char *ip;      /* "192.0.2.2/24,2001:db8::2/64", "dhcp", "auto" (by routers), together */
    const char *gateway; /* "192.0.2.1,2001:db8::1"; NULL: none, or what DHCP and routers say */
    const char *route;   /* "198.51.100.0/24 via 192.0.2.9, ..."; NULL: none more */
    const char *impair;  /* faults in front of the device: "loss=1%,delay=20ms"; NULL: none */
    const char *pcap;    /* a file for all packets that pass; NULL: none */
    uint32_t vlan;       /* 1 to 4094: the 802.1Q tag of all frames; 0: none */
    uint32_t mtu;        /* of IP, 1,280 to 1,500; 0: the device's own */
    enum weir_congestion cc;
    bool keepalive; /* probes idle connections (RFC 1122 4.2.3.6); default false */
};

/* Fills in the defaults.  Always first: fields are added over time. */
WEIR_API void weir_config_init(struct weir_config *config);

/* Sets one field from text, as a command line has it: "shards" "4", "cpus" "0,2-3", "stack"
 * "uring", "balance" "least", "poll" "busy", "grace" "10s".  Texts such as that of "cpus" are kept,
 * not copied. -EINVAL with one line in `why` that says what was wrong and what is allowed; -ENOENT
 * when there is no such option. */
WEIR_API int weir_config_set(struct weir_config *config, const char *option, const char *value,
                             char *why, size_t why_size);

/* Runs the shards.  0 when all ended; a negated errno when they could not be started, with one
 * line in the log that says why, and for the native stack's device how to mend it.  Not from inside
 * a shard. */
WEIR_API int weir_run(const struct weir_config *config, void (*shard_main)(void *arg), void *arg);

/* A runtime that stays until it is freed: new, then any number of weir_block_on, then free.  Errors
 * as weir_run.  weir_run itself is one of these, with shard_main on each shard. */
struct weir_runtime;

WEIR_API int weir_runtime_new(struct weir_runtime **runtime, const struct weir_config *config);

/* Runs fn(arg) in a fiber and blocks this thread until it has returned; *result (or NULL) is what
 * it returned.  On shard 0 (WEIR_SHARDED), from any thread that runs no shard; or in this thread
 * (WEIR_CURRENT_THREAD), which must be the one that made the runtime: other fibers of it run
 * meanwhile, and only then.  0; -EAGAIN or -ENOMEM: no fiber could be had; -ESHUTDOWN: the runtime
 * was cut off before.  From inside a shard it ends the program with a sentence that says what to do
 * instead. */
WEIR_API int weir_block_on(struct weir_runtime *runtime, int64_t (*fn)(void *arg), void *arg,
                           int64_t *result);

/* The same on the shard `to`, from any thread that runs no shard.  A current-thread runtime gets to
 * it when its own thread is in weir_block_on.  -EINVAL: no such shard. */
WEIR_API int weir_submit(struct weir_runtime *runtime, unsigned to, int64_t (*fn)(void *arg),
                         void *arg, int64_t *result);

/* Asks it to stop, as weir_stop does.  From any thread. */
WEIR_API void weir_runtime_stop(struct weir_runtime *runtime);

/* Cancels what still runs in it, waits until all of that has ended, and frees it.  Nobody may be in
 * weir_block_on or weir_submit.  WEIR_CURRENT_THREAD: by the thread that made it.  NULL is fine. */
WEIR_API void weir_runtime_free(struct weir_runtime *runtime);

/* That of the running shard; NULL in a simulation. */
WEIR_API struct weir_runtime *weir_runtime_here(void);

/* Asks the runtime of the running shard to stop, as SIGTERM does.  Never suspends. */
WEIR_API void weir_stop(void);

/* Whether it has been asked to. */
WEIR_API bool weir_stopping(void);

/* A future that completes with 0 when the runtime is asked to stop; at once when it has been. */
struct weir_stop_wait {
    struct weir_future future;
    struct weir_link link;
};

WEIR_API void weir_stop_wait_start(struct weir_stop_wait *wait);

/* How many shards a config would start; what the stack is called that the running shard got, or
 * (outside of shards) those of the runtime started last: "" while there is none. */
WEIR_API int weir_config_shards(const struct weir_config *config);
WEIR_API const char *weir_stack_name(void);
WEIR_API const char *weir_stack_why(void); /* why this one */

WEIR_API const char *weir_version(void);

WEIR_END

#endif
