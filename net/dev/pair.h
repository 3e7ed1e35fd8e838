/* pair.h - the wire of the pair device: what is in memory.
 *
 *     pair.c       packets on their way, a queue's life
 *     pair_wire.c  the memory, opening and closing */
#ifndef WEIR_NET_DEV_PAIR_H
#define WEIR_NET_DEV_PAIR_H

#include "core/spsc.h"
#include "net/dev.h"
#include "net/native/toeplitz.h"

enum { WEIR_PAIR_FRAME_EXTRA = 18 /* Ethernet header and a VLAN tag */ };

enum weir_pair_state { WEIR_PAIR_UNOPENED, WEIR_PAIR_OPEN, WEIR_PAIR_CLOSED };

struct weir_pair_slot {
    struct weir_pkt *pkt; /* the sender's: only to be sent home */
    uint8_t *data;
    uint32_t len;
    uint32_t flags; /* of the packet that is received */
};

struct weir_pair_queue;

struct weir_pair_ring {
    /* The sender's. */
    _Alignas(WEIR_CACHE_LINE) uint32_t tail; /* packets sent, ever */
    uint32_t home;                           /* ... that have come home */
    struct weir_pair_slot *slot;
    uint32_t mask;
    uint32_t home_seen; /* by room(), when it moved last: */
    bool dirty;         /* tail is not published */
    weir_time moved_at;
    /* Written by the sender, read by the receiver. */
    _Alignas(WEIR_CACHE_LINE) _Atomic uint32_t tail_out;
    /* The receiver's. */
    _Alignas(WEIR_CACHE_LINE) uint32_t head; /* packets taken */
    uint32_t tail_seen;
    uint32_t back; /* packets let go of */
    uint32_t back_told;
    struct weir_pair_queue *to;
    const struct weir_pair_slot *slot_in;
    struct weir_pkt **slot_back;
    uint32_t mask_in;
    /* Written by the receiver, read by the sender. */
    _Alignas(WEIR_CACHE_LINE) _Atomic uint32_t back_out;
};

/* Lives as long as the wire, whenever it is open. */
struct weir_pair_queue {
    _Alignas(WEIR_CACHE_LINE) struct weir_dev_queue base;
    struct weir_pair_dev *dev;
    struct weir_pkts *pkts;
    struct weir_pair_ring *out; /* to queue i: out[i] */
    struct weir_pair_ring *in;  /* from queue i: in[i * queues] */
    uint32_t queues;            /* of the device, and: */
    uint32_t frame_max;         /* what it takes */
    unsigned turn;              /* whose ring comes first at the next rx */
    bool dirty;                 /* one of `out` is */
    uint64_t random;
    struct weir_pkts kept; /* memory that the other side may still read */
    /* Read by senders: */
    _Alignas(WEIR_CACHE_LINE) _Atomic int state; /* enum weir_pair_state */
    struct weir_shard *shard;                    /* from WEIR_PAIR_OPEN on */
};

struct weir_pair_dev {
    struct weir_dev dev;
    struct weir_pair_wire *wire;
    struct weir_pair_queue *queue;
    struct weir_pair_queue *peer; /* the queues of the other end, or of this one */
};

struct weir_pair_wire {
    struct weir_pair_dev end[2];
    unsigned ends, queues;
    bool misdirect;
    _Atomic unsigned open; /* ends */
    struct weir_pair_ring *rings;
    void *slots;
    struct weir_toeplitz toeplitz;
    uint8_t table[WEIR_FLOW_TABLE];
};

extern const struct weir_dev_ops weir_pair_ops; /* pair.c */

/* One end; the last frees the wire.  pair_wire.c */
void weir_pair_close(struct weir_dev *dev);

#endif
