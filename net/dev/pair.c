/* pair.c - an in-memory wire between two devices, or from one to itself.
 *
 * Packets are not copied.  From each sending queue to each receiving queue leads a ring of (packet,
 * where its bytes are), and a ring of packets leads back: the receiver describes the bytes by a
 * packet of its own, whose release puts the sender's on the way home, and the sender drops it when
 * it finds it there.  So no count of owners is touched by two threads, and the receiver never
 * reads the sender's struct weir_pkt.  What is sent must come from the weir_pkts that the sending
 * queue was opened with, or from what this device has given out.
 *
 * A sender has at most as many packets out, per receiving queue, as a ring has slots; what is
 * beyond is dropped and counted, as by a NIC whose ring is full.  So neither ring can overflow, and
 * nobody looks at how far the other has read.  A receiver that holds on to half as many copies what
 * comes then: connections that nobody reads from must not stop the others.
 *
 * Packets of TCP and UDP come in on the queue of their flow, by the hash that NICs have
 * (net/native/toeplitz.h); fragments and all others on queue 0.
 *
 * Waking: the sender publishes, fences, and looks at shard->asleep (as sched/call.c does).  The
 * sleeper sets it and fences in shard_may_sleep, and must then ask for packets once more: its
 * driver's poll() begins with rx, and next() here is "now" as long as there are any.
 *
 * The end: a queue that is closed drops what it has not taken.  What a closing queue has out may
 * still be read on the other side, by a thread that may go on for long, so nobody waits for it: the
 * memory is passed on to the wire (weir_pkts.heir) and freed with it, when the last end is closed.
 *
 * Invariants, of each ring, modulo 2^32: home <= back <= head <= tail <= home + slots. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include "core/spsc.h"
#include "net/dev.h"
#include "net/native/toeplitz.h"
#include "sched/call.h"

enum {
    PAIR_SLOTS = 1024, /* per ring, with up to PAIR_QUEUES queues; with more, fewer: */
    PAIR_SLOTS_MIN = 64,
    PAIR_QUEUES = 8,
    PAIR_MTU = 1500,
    PAIR_MTU_MIN = 68,     /* RFC 791 */
    PAIR_FRAME_EXTRA = 18, /* Ethernet header and a VLAN tag */
    PAIR_MTU_MAX = WEIR_PKT_ROOM - PAIR_FRAME_EXTRA,
    PAIR_OF = 7, /* the word of weir_pkt.any with the sender's packet */
};

enum pair_state { PAIR_UNOPENED, PAIR_OPEN, PAIR_CLOSED };

struct pair_slot {
    struct weir_pkt *pkt; /* the sender's: only to be sent home */
    uint8_t *data;
    uint32_t len;
    uint32_t flags; /* of the packet that is received */
};

struct pair_queue;

struct pair_ring {
    /* The sender's. */
    _Alignas(WEIR_CACHE_LINE) uint32_t tail; /* packets sent, ever */
    uint32_t home;                           /* ... that have come home */
    struct pair_slot *slot;
    uint32_t mask;
    bool dirty; /* tail is not published */
    /* Written by the sender, read by the receiver. */
    _Alignas(WEIR_CACHE_LINE) _Atomic uint32_t tail_out;
    /* The receiver's. */
    _Alignas(WEIR_CACHE_LINE) uint32_t head; /* packets taken */
    uint32_t tail_seen;
    uint32_t back; /* packets let go of */
    uint32_t back_told;
    struct pair_queue *to;
    const struct pair_slot *slot_in;
    struct weir_pkt **slot_back;
    uint32_t mask_in;
    /* Written by the receiver, read by the sender. */
    _Alignas(WEIR_CACHE_LINE) _Atomic uint32_t back_out;
};

/* Lives as long as the wire, whenever it is open. */
struct pair_queue {
    _Alignas(WEIR_CACHE_LINE) struct weir_dev_queue base;
    struct pair_dev *dev;
    struct weir_pkts *pkts;
    struct pair_ring *out; /* to queue i: out[i] */
    struct pair_ring *in;  /* from queue i: in[i * queues] */
    uint32_t queues;       /* of the device, and: */
    uint32_t frame_max;    /* what it takes */
    unsigned turn;         /* whose ring comes first at the next rx */
    bool dirty;            /* one of `out` is */
    uint64_t random;
    struct weir_pkts kept; /* memory that the other side may still read */
    /* Read by senders: */
    _Alignas(WEIR_CACHE_LINE) _Atomic int state; /* enum pair_state */
    struct weir_shard *shard;                    /* from PAIR_OPEN on */
};

struct pair_dev {
    struct weir_dev dev;
    struct pair_wire *wire;
    struct pair_queue *queue;
    struct pair_queue *peer; /* the queues of the other end, or of this one */
};

struct pair_wire {
    struct pair_dev end[2];
    unsigned ends, queues;
    bool misdirect;
    _Atomic unsigned open; /* ends */
    struct pair_ring *rings;
    void *slots;
    struct weir_toeplitz toeplitz;
    uint8_t table[WEIR_FLOW_TABLE];
};

static struct pair_queue *pair_queue_of(const struct weir_dev_queue *queue)
{
    return weir_container_of(queue, struct pair_queue, base);
}

void weir_dev_wake(struct weir_shard *shard)
{
    weir_fence(); /* pairs with the one in shard.c, shard_may_sleep */
    if (atomic_load_explicit(&shard->asleep, memory_order_relaxed))
        shard->all->wake(shard);
}

/* --- which queue --- */

static uint64_t pair_random(struct pair_queue *q)
{
    /* splitmix64 by Sebastiano Vigna (prng.di.unimi.it), public domain. */
    uint64_t z = q->random += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static bool pair_has_ports(unsigned protocol)
{
    return protocol == 6 || protocol == 17;
}

/* TCP and UDP carry source and destination port in their first four bytes. */
static uint8_t pair_steer_ip4(const struct pair_wire *wire, const uint8_t *ip, uint32_t len)
{
    uint32_t header = (ip[0] & 15u) * 4;
    uint32_t hash;

    if (len < 20 || header < 20 || len < header + 4 || !pair_has_ports(ip[9]) ||
        ((ip[6] & 0x3f) | ip[7]) != 0) /* a fragment */
        return 0;
    hash = weir_toeplitz_bytes(&wire->toeplitz, 0, ip + 12, 8) ^
           weir_toeplitz_bytes(&wire->toeplitz, 8, ip + header, 4);
    return wire->table[hash % WEIR_FLOW_TABLE];
}

static uint8_t pair_steer_ip6(const struct pair_wire *wire, const uint8_t *ip, uint32_t len)
{
    uint32_t hash;

    if (len < 44 || !pair_has_ports(ip[6]))
        return 0;
    hash = weir_toeplitz_bytes(&wire->toeplitz, 0, ip + 8, 32) ^
           weir_toeplitz_bytes(&wire->toeplitz, 32, ip + 40, 4);
    return wire->table[hash % WEIR_FLOW_TABLE];
}

static unsigned pair_steer(const struct pair_wire *wire, const uint8_t *frame, uint32_t len)
{
    uint32_t at = 12;

    if (len >= 18 && frame[at] == 0x81 && frame[at + 1] == 0x00)
        at += 4;
    if (len < at + 3)
        return 0;
    if (frame[at] == 0x08 && frame[at + 1] == 0x00)
        return pair_steer_ip4(wire, frame + at + 2, len - at - 2);
    if (frame[at] == 0x86 && frame[at + 1] == 0xdd)
        return pair_steer_ip6(wire, frame + at + 2, len - at - 2);
    return 0;
}

static unsigned pair_target(struct pair_queue *q, const struct weir_pkt *pkt)
{
    const struct pair_wire *wire = q->dev->wire;

    if (q->queues == 1)
        return 0;
    if (wire->misdirect)
        return (unsigned)(pair_random(q) % wire->queues);
    return pair_steer(wire, pkt->buf.data, pkt->buf.len);
}

/* --- the sender --- */

/* Takes back what the other side has let go of. */
static void pair_collect(struct pair_ring *ring)
{
    /* Acquire: pairs with the release in pair_tell; those slots are written, those bytes read. */
    uint32_t back = atomic_load_explicit(&ring->back_out, memory_order_acquire);

    weir_assert(back - ring->home <= ring->mask + 1);
    for (; ring->home != back; ring->home++)
        weir_pkt_free(ring->slot_back[ring->home & ring->mask]);
}

static bool pair_full(const struct pair_ring *ring)
{
    return ring->tail - ring->home > ring->mask;
}

static struct pair_ring *pair_room(struct pair_queue *q, const struct weir_pkt *pkt)
{
    unsigned target = pair_target(q, pkt);
    struct pair_ring *ring = &q->out[target];

    /* Acquire: pairs with the release in pair_queue_close. */
    if (weir_unlikely(pkt->buf.len > q->frame_max || pkt->frag ||
                      atomic_load_explicit(&q->dev->peer[target].state, memory_order_acquire) ==
                          PAIR_CLOSED))
        return NULL;
    if (weir_unlikely(pair_full(ring)))
        pair_collect(ring);
    return pair_full(ring) ? NULL : ring;
}

static void pair_send(struct pair_queue *q, struct weir_pkt *pkt)
{
    struct pair_ring *ring = pair_room(q, pkt);

    if (weir_unlikely(!ring)) {
        q->base.stats.tx_dropped++;
        weir_pkt_free(pkt);
        return;
    }
    ring->slot[ring->tail++ & ring->mask] =
        (struct pair_slot){ .pkt = pkt,
                            .data = pkt->buf.data,
                            .len = pkt->buf.len,
                            .flags = weir_pkt_writable(pkt) ? 0 : WEIR_PKT_READ_ONLY };
    ring->dirty = q->dirty = true;
    q->base.stats.tx_packets++;
    q->base.stats.tx_bytes += pkt->buf.len;
}

static void pair_tx(struct weir_dev_queue *queue, struct weir_pkt **pkts, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        pair_send(pair_queue_of(queue), pkts[i]);
}

static void pair_wake(struct pair_queue *q, unsigned target)
{
    const struct pair_queue *to = &q->dev->peer[target];

    /* Acquire: pairs with the release in pair_queue_open, for `shard`. */
    if (to != q && atomic_load_explicit(&to->state, memory_order_acquire) == PAIR_OPEN &&
        atomic_load_explicit(&to->shard->asleep, memory_order_relaxed))
        to->shard->all->wake(to->shard);
}

/* All rings first, then one fence for all. */
static void pair_tx_flush(struct weir_dev_queue *queue)
{
    struct pair_queue *q = pair_queue_of(queue);
    unsigned queues = q->queues;

    if (!q->dirty)
        return;
    q->dirty = false;
    for (unsigned i = 0; i < queues; i++)
        if (q->out[i].dirty) /* Release: pairs with the acquire in pair_ready. */
            atomic_store_explicit(&q->out[i].tail_out, q->out[i].tail, memory_order_release);
    weir_fence(); /* pairs with the one in shard.c, shard_may_sleep */
    for (unsigned i = 0; i < queues; i++)
        if (q->out[i].dirty) {
            q->out[i].dirty = false;
            pair_wake(q, i);
            pair_collect(&q->out[i]);
        }
}

/* --- the receiver --- */

static void pair_let_go(struct pair_ring *ring, struct weir_pkt *pkt)
{
    ring->slot_back[ring->back++ & ring->mask_in] = pkt;
}

static void pair_release(struct weir_buf *buf)
{
    struct weir_pkt *pkt = weir_pkt_of(buf);
    struct pair_ring *ring = buf->origin;
    struct weir_pkt *sent = (struct weir_pkt *)(uintptr_t)pkt->any[PAIR_OF];

    weir_pkt_bare_put(ring->to->pkts, pkt);
    pair_let_go(ring, sent);
}

/* Publishes what was let go of since the last time. */
static void pair_tell(struct pair_ring *ring)
{
    if (ring->back_told == ring->back)
        return;
    ring->back_told = ring->back;
    /* Release: pairs with the acquire in pair_collect. */
    atomic_store_explicit(&ring->back_out, ring->back, memory_order_release);
}

/* How many wait in it. */
static uint32_t pair_ready(struct pair_ring *ring)
{
    if (ring->tail_seen == ring->head)
        /* Acquire: pairs with the release in pair_tx_flush; the slots and bytes are written. */
        ring->tail_seen = atomic_load_explicit(&ring->tail_out, memory_order_acquire);
    weir_assert(ring->tail_seen - ring->head <= ring->mask_in + 1);
    return ring->tail_seen - ring->head;
}

static struct weir_pkt *pair_lend(struct pair_queue *q, struct pair_ring *ring,
                                  const struct pair_slot *slot)
{
    struct weir_pkt *pkt = weir_pkt_bare(q->pkts);

    if (weir_unlikely(!pkt))
        return NULL;
    pkt->buf.data = slot->data;
    pkt->buf.len = slot->len;
    pkt->buf.release = pair_release;
    pkt->buf.origin = ring;
    pkt->flags = (uint16_t)slot->flags;
    pkt->any[PAIR_OF] = (uintptr_t)slot->pkt;
    return pkt;
}

static struct weir_pkt *pair_copy(struct pair_queue *q, const struct pair_slot *slot)
{
    struct weir_pkt *pkt = weir_pkt_get(q->pkts);

    if (!pkt)
        return NULL;
    memcpy(pkt->buf.data, slot->data, slot->len);
    pkt->buf.len = slot->len;
    return pkt;
}

/* The next packet of the ring; NULL: dropped, for want of memory. */
static struct weir_pkt *pair_take(struct pair_queue *q, struct pair_ring *ring)
{
    const struct pair_slot *slot = &ring->slot_in[ring->head & ring->mask_in];
    bool copy = ring->head - ring->back > ring->mask_in / 2;
    struct weir_pkt *pkt = weir_unlikely(copy) ? pair_copy(q, slot) : pair_lend(q, ring, slot);

    ring->head++;
    if (weir_unlikely(copy || !pkt))
        pair_let_go(ring, slot->pkt);
    return pkt;
}

static unsigned pair_rx_ring(struct pair_queue *q, struct pair_ring *ring, struct weir_pkt **pkts,
                             unsigned max)
{
    uint32_t count = (uint32_t)weir_min_u64(pair_ready(ring), max);
    unsigned got = 0;

    for (uint32_t i = 0; i < count; i++)
        __builtin_prefetch(ring->slot_in[(ring->head + i) & ring->mask_in].data);
    for (uint32_t i = 0; i < count; i++) {
        struct weir_pkt *pkt = pair_take(q, ring);

        if (weir_unlikely(!pkt)) {
            q->base.stats.rx_dropped++;
            continue;
        }
        q->base.stats.rx_bytes += pkt->buf.len;
        pkts[got++] = pkt;
    }
    q->base.stats.rx_packets += got;
    return got;
}

static unsigned pair_rx(struct weir_dev_queue *queue, struct weir_pkt **pkts, unsigned max)
{
    struct pair_queue *q = pair_queue_of(queue);
    unsigned queues = q->queues, got = 0;

    if (++q->turn >= queues)
        q->turn = 0;
    for (unsigned i = 0, from = q->turn; i < queues;
         i++, from = from + 1 == queues ? 0 : from + 1) {
        struct pair_ring *ring = &q->in[(size_t)from * queues];

        pair_collect(&q->out[from]);
        pair_tell(ring);
        if (got < max)
            got += pair_rx_ring(q, ring, pkts + got, max - got);
    }
    return got;
}

static weir_time pair_next(const struct weir_dev_queue *queue)
{
    struct pair_queue *q = pair_queue_of(queue);
    unsigned queues = q->queues;

    for (unsigned i = 0; i < queues; i++)
        if (pair_ready(&q->in[(size_t)i * queues]) > 0)
            return q->shard->now;
    return WEIR_NEVER;
}

/* --- opening and closing a queue --- */

static int pair_queue_open(struct weir_dev *dev, unsigned index, struct weir_shard *shard,
                           struct weir_pkts *pkts, struct weir_dev_queue **queue, char *why,
                           size_t why_size)
{
    struct pair_dev *pair = weir_container_of(dev, struct pair_dev, dev);
    struct pair_queue *q = &pair->queue[index];

    weir_assert(index < dev->queues);
    if (atomic_load_explicit(&q->state, memory_order_relaxed) != PAIR_UNOPENED) {
        snprintf(why, why_size, "%s: queue %u was opened before", dev->name, index);
        return -EBUSY;
    }
    q->base = (struct weir_dev_queue){ .dev = dev, .shard = shard, .index = index, .fd = -1 };
    q->pkts = pkts;
    q->frame_max = dev->mtu + (uint32_t)PAIR_FRAME_EXTRA;
    q->shard = shard;
    /* Release: pairs with the acquire in pair_wake. */
    atomic_store_explicit(&q->state, PAIR_OPEN, memory_order_release);
    *queue = &q->base;
    return 0;
}

/* Sends everything home that was not taken. */
static void pair_drain(struct pair_ring *ring)
{
    while (pair_ready(ring) > 0)
        pair_let_go(ring, ring->slot_in[ring->head++ & ring->mask_in].pkt);
    pair_tell(ring);
}

/* First nothing more comes in, then what is there goes home; only then our own can be there. */
static void pair_queue_close(struct weir_dev_queue *queue)
{
    struct pair_queue *q = pair_queue_of(queue);
    unsigned queues = q->queues;
    uint32_t out = 0;

    pair_tx_flush(queue);
    /* Release: pairs with the acquire in pair_room. */
    atomic_store_explicit(&q->state, PAIR_CLOSED, memory_order_release);
    for (unsigned i = 0; i < queues; i++)
        pair_drain(&q->in[(size_t)i * queues]);
    for (unsigned i = 0; i < queues; i++) {
        pair_collect(&q->out[i]);
        out += q->out[i].tail - q->out[i].home;
    }
    if (out > 0 && !q->pkts->heir)
        q->pkts->heir = &q->kept;
}

/* --- the wire --- */

static void pair_free(struct pair_wire *wire)
{
    for (unsigned e = 0; e < wire->ends; e++)
        free(wire->end[e].queue);
    free(wire->rings);
    free(wire->slots);
    free(wire);
}

static void pair_close(struct weir_dev *dev)
{
    struct pair_wire *wire = weir_container_of(dev, struct pair_dev, dev)->wire;

    /* All of the other end is to be seen by the one who frees it. */
    if (atomic_fetch_sub_explicit(&wire->open, 1, memory_order_acq_rel) > 1)
        return;
    for (unsigned e = 0; e < wire->ends; e++)
        for (unsigned i = 0; i < wire->queues; i++)
            weir_pkts_drop(&wire->end[e].queue[i].kept);
    pair_free(wire);
}

static const struct weir_dev_ops pair_ops = {
    .name = "pair",
    .queue_open = pair_queue_open,
    .queue_close = pair_queue_close,
    .rx = pair_rx,
    .tx = pair_tx,
    .tx_flush = pair_tx_flush,
    .next = pair_next,
    .close = pair_close,
};

static void *pair_alloc(size_t count, size_t size)
{
    size_t bytes = (count * size + WEIR_CACHE_LINE - 1) & ~(size_t)(WEIR_CACHE_LINE - 1);

    return aligned_alloc(WEIR_CACHE_LINE, bytes);
}

static uint32_t pair_slots(unsigned queues)
{
    uint32_t slots = PAIR_SLOTS;

    for (unsigned n = PAIR_QUEUES; n < queues && slots > PAIR_SLOTS_MIN; n *= 2)
        slots /= 2;
    return slots;
}

static void pair_ring_init(struct pair_ring *ring, struct pair_slot *slot, struct weir_pkt **back,
                           uint32_t slots, struct pair_queue *to)
{
    *ring = (struct pair_ring){ .slot = slot,
                                .mask = slots - 1,
                                .to = to,
                                .slot_in = slot,
                                .slot_back = back,
                                .mask_in = slots - 1 };
}

static void pair_end_init(struct pair_wire *wire, unsigned e, uint64_t seed)
{
    struct pair_dev *end = &wire->end[e];
    unsigned other = wire->ends - 1 - e;
    size_t rings = (size_t)wire->queues * wire->queues;

    end->wire = wire;
    end->peer = wire->end[other].queue;
    for (unsigned i = 0; i < wire->queues; i++) {
        struct pair_queue *q = &end->queue[i];

        memset(q, 0, sizeof *q);
        q->dev = end;
        q->queues = wire->queues;
        q->out = wire->rings + e * rings + (size_t)i * wire->queues;
        q->in = wire->rings + other * rings + i;
        q->random = seed + e * wire->queues + i;
    }
}

static void pair_rings_init(struct pair_wire *wire, uint32_t slots)
{
    size_t queues = wire->queues, rings = wire->ends * queues * queues;
    struct pair_slot *slot = wire->slots;
    struct weir_pkt **back = (struct weir_pkt **)(void *)(slot + rings * slots);

    for (size_t i = 0; i < rings; i++)
        pair_ring_init(&wire->rings[i], slot + i * slots, back + i * slots, slots,
                       &wire->end[i / (queues * queues)].peer[i % queues]);
}

static void pair_dev_init(struct pair_wire *wire, unsigned e, const struct weir_pair_config *config)
{
    struct weir_dev *dev = &wire->end[e].dev;
    const uint8_t mac[6] = { 0x02, 'w', 'e', 'i', 'r', (uint8_t)(e + 1) };

    dev->ops = &pair_ops;
    snprintf(dev->name, sizeof dev->name, config->loop ? "loop" : "pair %u", e);
    memcpy(dev->mac, mac, sizeof mac);
    dev->mtu = config->mtu ? config->mtu : PAIR_MTU;
    dev->queues = (uint16_t)config->queues;
    dev->caps = (config->misdirect ? 0 : WEIR_DEV_STEERED) | (config->loop ? WEIR_DEV_LOOP : 0);
    memcpy(dev->rss_key, config->key ? config->key : weir_flow_key, sizeof dev->rss_key);
}

/* The memory of it; what is missing is NULL. */
static int pair_make(struct pair_wire *wire, uint32_t slots)
{
    size_t rings = (size_t)wire->ends * wire->queues * wire->queues;

    for (unsigned e = 0; e < wire->ends; e++)
        wire->end[e].queue = pair_alloc(wire->queues, sizeof(struct pair_queue));
    wire->rings = pair_alloc(rings, sizeof(struct pair_ring));
    wire->slots = pair_alloc(rings * slots, sizeof(struct pair_slot) + sizeof(struct weir_pkt *));
    if (!wire->end[0].queue || !wire->end[wire->ends - 1].queue || !wire->rings || !wire->slots)
        return -ENOMEM;
    return 0;
}

int weir_pair_open(struct weir_dev *end[2], const struct weir_pair_config *config)
{
    struct pair_wire *wire;
    uint32_t slots;

    if (config->queues == 0 || config->queues > WEIR_SHARDS_MAX ||
        (config->mtu && (config->mtu < PAIR_MTU_MIN || config->mtu > PAIR_MTU_MAX)))
        return -EINVAL;
    slots = pair_slots(config->queues);
    wire = calloc(1, sizeof *wire);
    if (!wire)
        return -ENOMEM;
    wire->ends = config->loop ? 1 : 2;
    wire->queues = config->queues;
    wire->misdirect = config->misdirect;
    if (pair_make(wire, slots) < 0) {
        pair_free(wire);
        return -ENOMEM;
    }
    atomic_init(&wire->open, wire->ends);
    weir_toeplitz_init(&wire->toeplitz, config->key ? config->key : weir_flow_key);
    weir_flow_table_init(wire->table, config->queues);
    for (unsigned e = 0; e < wire->ends; e++)
        pair_end_init(wire, e, config->seed);
    pair_rings_init(wire, slots);
    for (unsigned e = 0; e < wire->ends; e++) {
        pair_dev_init(wire, e, config);
        end[e] = &wire->end[e].dev;
    }
    return 0;
}
