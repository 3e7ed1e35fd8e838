/* dev.h - seam 2: packets.  What the native stack asks of a NIC.
 *
 * A device is opened once per program, before the shards start, with as many queues as there are
 * shards; then each shard opens its own queue in its own thread and is the only one to use it.
 * Frames are Ethernet without checksum trailer.
 *
 *     pair   an in-memory wire between two devices (net/dev/pair.c), or from one to itself
 *     tap    a multi-queue tap of the kernel (net/dev/tap.c)
 *     dpdk   any PMD, in a module of its own (net/dev/dpdk.c, loaded by net/dev/load.c)
 *     impair loss, delay and other faults in front of any of them (net/dev/impair.c)
 *     pcap   writes what passes to a file (net/dev/pcap.c); in front of any of them, too */
#ifndef WEIR_NET_DEV_H
#define WEIR_NET_DEV_H

#include "net/pkt.h"
#include "sched/shard.h"

enum { WEIR_DEV_BURST = 32, WEIR_DEV_NAME = 64 };

struct weir_dev;
struct weir_dev_queue;

enum weir_dev_cap {
    WEIR_DEV_TX_L4_CSUM = 1, /* fills in TCP's and UDP's checksums */
    WEIR_DEV_TX_TSO = 2,     /* cuts WEIR_PKT_TSO packets of up to tso_max payload bytes */
    WEIR_DEV_RSS = 4,        /* spreads flows over queues by rss_key and rss_table */
    WEIR_DEV_LOOP = 8,       /* what goes out comes in again: no neighbours to resolve */
    WEIR_DEV_STEERED = 16,   /* each packet comes in on queue weir_flow_shard() of its flow */
};

struct weir_dev_ops {
    const char *name;

    /* In the shard's thread.  0, or a negated errno with one clause in `why`.  Packets come from
     * `pkts` where the device has no memory of its own. */
    int (*queue_open)(struct weir_dev *dev, unsigned index, struct weir_shard *shard,
                      struct weir_pkts *pkts, struct weir_dev_queue **queue, char *why,
                      size_t why_size);
    void (*queue_close)(struct weir_dev_queue *queue);

    /* Takes up to `max` packets that have arrived, each with one owner: the caller.  They may be
     * kept for as long as their bytes are needed; packets given out bound what arrives.  The stack
     * calls again until 0 comes before it sleeps. */
    unsigned (*rx)(struct weir_dev_queue *queue, struct weir_pkt **pkts, unsigned max);

    /* Sends: takes over one owner of each, and drops (and counts) what has no room. It may keep
     * packets until tx_flush, and reads their bytes until it frees them.  A packet with more owners
     * may be in a list of theirs: then buf.next and `any` are not the device's to use. */
    void (*tx)(struct weir_dev_queue *queue, struct weir_pkt **pkts, unsigned count);
    void (*tx_flush)(struct weir_dev_queue *queue);

    /* How many packets tx is sure to take from now on, to whomever they go: what can wait is not
     * sent then.  Falls only by what is sent.  NULL: the device cannot tell. */
    unsigned (*room)(struct weir_dev_queue *queue);

    /* When it has something to do by itself (delayed packets): shard time; WEIR_NEVER. */
    weir_time (*next)(const struct weir_dev_queue *queue);

    /* After all queues are closed. */
    void (*close)(struct weir_dev *dev);
};

struct weir_dev_stats {
    uint64_t rx_packets, rx_bytes, rx_dropped;
    uint64_t tx_packets, tx_bytes, tx_dropped;
};

struct weir_dev {
    const struct weir_dev_ops *ops;
    char name[WEIR_DEV_NAME]; /* for reports: "tap weir0", "dpdk net_tap0" */
    uint8_t mac[6];
    uint16_t mtu; /* of IP */
    uint16_t queues;
    uint32_t caps; /* enum weir_dev_cap */
    uint32_t tso_max;
    bool must_poll;      /* no descriptor tells of arrivals: shards that use it never sleep long */
    uint8_t rss_key[40]; /* Toeplitz, with WEIR_DEV_RSS or WEIR_DEV_STEERED */
};

struct weir_dev_queue {
    struct weir_dev *dev;
    struct weir_shard *shard;
    unsigned index;
    int fd; /* readable when packets have arrived; -1: the device wakes the shard by itself, or
             * dev->must_poll */
    struct weir_dev_stats stats;
};

/* --- opening by text: "tap:weir0", "dpdk:EAL ARGS", "loop" --- */

/* Of `queues` queues.  0; a negated errno with one line in `why` that says what to do: exit status
 * 2.  `impair` is NULL or as weir_impair_parse takes it; `pcap` is NULL or a file name.
 * net/dev/open.c */
struct weir_dev_config {
    const char *spec;
    const char *impair;
    const char *pcap;
    unsigned queues;
    uint64_t seed;
    uint16_t mtu; /* 0: the device's own; a tap's kernel side gets it, too */
};

int weir_dev_open(struct weir_dev **dev, const struct weir_dev_config *config, char *why,
                  size_t why_size);
static inline void weir_dev_close(struct weir_dev *dev)
{
    dev->ops->close(dev);
}

/* --- pair.c --- */

struct weir_pair_config {
    unsigned queues; /* of each end */
    uint16_t mtu;    /* default 1,500 */
    bool loop;       /* one end only: what it sends comes in at itself */
    bool misdirect;  /* puts packets on a random queue, to try the forwarding */
    uint64_t seed;
    const uint8_t *key; /* to steer by: 40 bytes; NULL: weir_flow_key */
};

/* end[0], and end[1] unless it is a loop.  Closing an end while the other still runs is fine: what
 * it would receive is dropped. */
int weir_pair_open(struct weir_dev *end[2], const struct weir_pair_config *config);

/* --- impair.c: in front of `below`, which it closes; both directions of travel count as
 * separate draws: faults are applied to what this end sends AND to what it receives --- */

struct weir_impair {
    double loss, duplicate, reorder, corrupt; /* chances, 0 to 1 */
    weir_time delay, jitter;                  /* each way */
    uint64_t rate;                            /* bits per second; 0: no limit */
    uint32_t queue;                           /* bytes that wait for the rate; default 256 KiB */
    bool rx, tx;                              /* directions; default both */
};

/* "loss=1%,delay=20ms,jitter=5ms,duplicate=0.1%,reorder=1%,corrupt=0.01%,rate=100mbit,queue=64k,
 * dir=tx".  0, or -EINVAL with one line in `why`. */
int weir_impair_parse(struct weir_impair *impair, const char *text, char *why, size_t why_size);
int weir_impair_open(struct weir_dev **dev, struct weir_dev *below,
                     const struct weir_impair *impair, uint64_t seed);

/* --- pcap.c: in front of `below`, which it closes; nanosecond pcap, by the shard's clock; one
 * writer lock, for it is no fast path --- */
int weir_pcap_open(struct weir_dev **dev, struct weir_dev *below, const char *path, char *why,
                   size_t why_size);

/* --- tap.c: "NAME" or "" (the kernel names it); see its head for what is set up.  An `mtu` that is
 * not 0 becomes that of the kernel's side, too --- */
int weir_tap_open(struct weir_dev **dev, const char *text, unsigned queues, uint16_t mtu, char *why,
                  size_t why_size);

/* --- load.c: loads weir-dpdk.so and opens by it --- */
int weir_dpdk_open(struct weir_dev **dev, const char *eal_args, unsigned queues, uint16_t mtu,
                   char *why, size_t why_size);

/* The one symbol of the module, and its type. */
#define WEIR_DPDK_SYMBOL "weir_dpdk_module_open"
typedef int weir_dpdk_module_open_fn(struct weir_dev **dev, const char *eal_args, unsigned queues,
                                     uint16_t mtu, char *why, size_t why_size);

/* --- waking: for devices whose other side is a shard of this process --- */

/* The other shard will look at its queues: after a push by release stores. One fence; a wake-up
 * only when it sleeps.  net/dev/pair.c */
void weir_dev_wake(struct weir_shard *shard);

#endif
