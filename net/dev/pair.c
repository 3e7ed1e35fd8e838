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
 * beyond is dropped and counted, as by a NIC whose ring is full (room() tells before).  So neither
 * ring can overflow, and nobody looks at how far the other has read.  A receiver that holds on to
 * half as many copies what comes then: connections that nobody reads from must not stop the others.
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
#include <stdio.h>
#include "net/dev/pair.h"
#include "sched/call.h"

enum { PAIR_OF = 7 /* the word of weir_pkt.any with the sender's packet */ };

/* For so long a sender waits for a shard that takes nothing. */
#define PAIR_PATIENCE WEIR_MS(1)

static struct weir_pair_queue *pair_queue_of(const struct weir_dev_queue *queue)
{
    return weir_container_of(queue, struct weir_pair_queue, base);
}

void weir_dev_wake(struct weir_shard *shard)
{
    weir_fence(); /* pairs with the one in shard.c, shard_may_sleep */
    if (atomic_load_explicit(&shard->asleep, memory_order_relaxed))
        shard->all->wake(shard);
}

/* --- which queue --- */

static uint64_t pair_random(struct weir_pair_queue *q)
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
static uint8_t pair_steer_ip4(const struct weir_pair_wire *wire, const uint8_t *ip, uint32_t len)
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

static uint8_t pair_steer_ip6(const struct weir_pair_wire *wire, const uint8_t *ip, uint32_t len)
{
    uint32_t hash;

    if (len < 44 || !pair_has_ports(ip[6]))
        return 0;
    hash = weir_toeplitz_bytes(&wire->toeplitz, 0, ip + 8, 32) ^
           weir_toeplitz_bytes(&wire->toeplitz, 32, ip + 40, 4);
    return wire->table[hash % WEIR_FLOW_TABLE];
}

static unsigned pair_steer(const struct weir_pair_wire *wire, const uint8_t *frame, uint32_t len)
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

static unsigned pair_target(struct weir_pair_queue *q, const struct weir_pkt *pkt)
{
    const struct weir_pair_wire *wire = q->dev->wire;

    if (q->queues == 1)
        return 0;
    if (wire->misdirect)
        return (unsigned)(pair_random(q) % wire->queues);
    return pair_steer(wire, pkt->buf.data, pkt->buf.len);
}

/* --- the sender --- */

/* Takes back what the other side has let go of. */
static void pair_collect(struct weir_pair_ring *ring)
{
    /* Acquire: pairs with the release in pair_tell; those slots are written, those bytes read. */
    uint32_t back = atomic_load_explicit(&ring->back_out, memory_order_acquire);

    weir_assert(back - ring->home <= ring->mask + 1);
    for (; ring->home != back; ring->home++)
        weir_pkt_free(ring->slot_back[ring->home & ring->mask]);
}

static bool pair_full(const struct weir_pair_ring *ring)
{
    return ring->tail - ring->home > ring->mask;
}

static struct weir_pair_ring *pair_room(struct weir_pair_queue *q, const struct weir_pkt *pkt)
{
    unsigned target = pair_target(q, pkt);
    struct weir_pair_ring *ring = &q->out[target];

    /* Acquire: pairs with the release in pair_queue_close. */
    if (weir_unlikely(pkt->buf.len > q->frame_max || pkt->frag ||
                      atomic_load_explicit(&q->dev->peer[target].state, memory_order_acquire) ==
                          WEIR_PAIR_CLOSED))
        return NULL;
    if (weir_unlikely(pair_full(ring)))
        pair_collect(ring);
    return pair_full(ring) ? NULL : ring;
}

static void pair_send(struct weir_pair_queue *q, struct weir_pkt *pkt)
{
    struct weir_pair_ring *ring = pair_room(q, pkt);

    if (weir_unlikely(!ring)) {
        q->base.stats.tx_dropped++;
        weir_pkt_free(pkt);
        return;
    }
    ring->slot[ring->tail++ & ring->mask] =
        (struct weir_pair_slot){ .pkt = pkt,
                                 .data = pkt->buf.data,
                                 .len = pkt->buf.len,
                                 .flags = weir_pkt_writable(pkt) ? 0 : WEIR_PKT_READ_ONLY };
    ring->dirty = q->dirty = true;
    q->base.stats.tx_packets++;
    q->base.stats.tx_bytes += pkt->buf.len;
}

/* Of one ring.  One that is closed, or whose shard has taken nothing for so long, is as good as
 * empty: what goes there is dropped, and the others need not wait for it. */
static uint32_t pair_ring_room(struct weir_pair_queue *q, struct weir_pair_ring *ring)
{
    uint32_t slots = ring->mask + 1, room;

    pair_collect(ring);
    room = slots - (ring->tail - ring->home);
    if (weir_likely(room > slots / 2 || ring->home != ring->home_seen)) {
        ring->home_seen = ring->home;
        ring->moved_at = q->shard->now;
        return room;
    }
    /* Acquire: pairs with the release in pair_queue_close. */
    if (atomic_load_explicit(&ring->to->state, memory_order_acquire) == WEIR_PAIR_CLOSED ||
        q->shard->now - ring->moved_at > PAIR_PATIENCE)
        return slots;
    return room;
}

static unsigned pair_all_room(struct weir_dev_queue *queue)
{
    struct weir_pair_queue *q = pair_queue_of(queue);
    uint32_t room = UINT32_MAX;

    for (unsigned i = 0; i < q->queues; i++) {
        uint32_t of_ring = pair_ring_room(q, &q->out[i]);

        room = of_ring < room ? of_ring : room;
    }
    return room;
}

static void pair_tx(struct weir_dev_queue *queue, struct weir_pkt **pkts, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        pair_send(pair_queue_of(queue), pkts[i]);
}

static void pair_wake(struct weir_pair_queue *q, unsigned target)
{
    const struct weir_pair_queue *to = &q->dev->peer[target];

    /* Acquire: pairs with the release in pair_queue_open, for `shard`. */
    if (to != q && atomic_load_explicit(&to->state, memory_order_acquire) == WEIR_PAIR_OPEN &&
        atomic_load_explicit(&to->shard->asleep, memory_order_relaxed))
        to->shard->all->wake(to->shard);
}

/* All rings first, then one fence for all. */
static void pair_tx_flush(struct weir_dev_queue *queue)
{
    struct weir_pair_queue *q = pair_queue_of(queue);
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

static void pair_let_go(struct weir_pair_ring *ring, struct weir_pkt *pkt)
{
    ring->slot_back[ring->back++ & ring->mask_in] = pkt;
}

static void pair_release(struct weir_buf *buf)
{
    struct weir_pkt *pkt = weir_pkt_of(buf);
    struct weir_pair_ring *ring = buf->origin;
    struct weir_pkt *sent = (struct weir_pkt *)(uintptr_t)pkt->any[PAIR_OF];

    weir_pkt_bare_put(ring->to->pkts, pkt);
    pair_let_go(ring, sent);
}

/* Publishes what was let go of since the last time. */
static void pair_tell(struct weir_pair_ring *ring)
{
    if (ring->back_told == ring->back)
        return;
    ring->back_told = ring->back;
    /* Release: pairs with the acquire in pair_collect. */
    atomic_store_explicit(&ring->back_out, ring->back, memory_order_release);
}

/* How many wait in it. */
static uint32_t pair_ready(struct weir_pair_ring *ring)
{
    if (ring->tail_seen == ring->head)
        /* Acquire: pairs with the release in pair_tx_flush; the slots and bytes are written. */
        ring->tail_seen = atomic_load_explicit(&ring->tail_out, memory_order_acquire);
    weir_assert(ring->tail_seen - ring->head <= ring->mask_in + 1);
    return ring->tail_seen - ring->head;
}

static struct weir_pkt *pair_lend(struct weir_pair_queue *q, struct weir_pair_ring *ring,
                                  const struct weir_pair_slot *slot)
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

static struct weir_pkt *pair_copy(struct weir_pair_queue *q, const struct weir_pair_slot *slot)
{
    struct weir_pkt *pkt = weir_pkt_get(q->pkts);

    if (!pkt)
        return NULL;
    memcpy(pkt->buf.data, slot->data, slot->len);
    pkt->buf.len = slot->len;
    return pkt;
}

/* The next packet of the ring; NULL: dropped, for want of memory. */
static struct weir_pkt *pair_take(struct weir_pair_queue *q, struct weir_pair_ring *ring)
{
    const struct weir_pair_slot *slot = &ring->slot_in[ring->head & ring->mask_in];
    bool copy = ring->head - ring->back > ring->mask_in / 2;
    struct weir_pkt *pkt = weir_unlikely(copy) ? pair_copy(q, slot) : pair_lend(q, ring, slot);

    ring->head++;
    if (weir_unlikely(copy || !pkt))
        pair_let_go(ring, slot->pkt);
    return pkt;
}

static unsigned pair_rx_ring(struct weir_pair_queue *q, struct weir_pair_ring *ring,
                             struct weir_pkt **pkts, unsigned max)
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

/* Nothing has come, nothing has come home, nothing is to be told: mostly so, while one waits. */
static inline bool pair_quiet(const struct weir_pair_ring *in, const struct weir_pair_ring *out)
{
    return in->tail_seen == in->head && in->back_told == in->back &&
           atomic_load_explicit(&in->tail_out, memory_order_relaxed) == in->head &&
           atomic_load_explicit(&out->back_out, memory_order_relaxed) == out->home;
}

static unsigned pair_rx_rings(struct weir_pair_queue *q, struct weir_pkt **pkts, unsigned max)
{
    unsigned queues = q->queues, got = 0;

    if (++q->turn >= queues)
        q->turn = 0;
    for (unsigned i = 0, from = q->turn; i < queues;
         i++, from = from + 1 == queues ? 0 : from + 1) {
        struct weir_pair_ring *ring = &q->in[(size_t)from * queues];

        pair_collect(&q->out[from]);
        pair_tell(ring);
        if (got < max)
            got += pair_rx_ring(q, ring, pkts + got, max - got);
    }
    return got;
}

static unsigned pair_rx(struct weir_dev_queue *queue, struct weir_pkt **pkts, unsigned max)
{
    struct weir_pair_queue *q = pair_queue_of(queue);

    if (q->queues == 1 && pair_quiet(q->in, q->out))
        return 0;
    return pair_rx_rings(q, pkts, max);
}

static weir_time pair_next(const struct weir_dev_queue *queue)
{
    struct weir_pair_queue *q = pair_queue_of(queue);
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
    struct weir_pair_dev *pair = weir_container_of(dev, struct weir_pair_dev, dev);
    struct weir_pair_queue *q = &pair->queue[index];

    weir_assert(index < dev->queues);
    if (atomic_load_explicit(&q->state, memory_order_relaxed) != WEIR_PAIR_UNOPENED) {
        snprintf(why, why_size, "%s: queue %u was opened before", dev->name, index);
        return -EBUSY;
    }
    q->base = (struct weir_dev_queue){ .dev = dev, .shard = shard, .index = index, .fd = -1 };
    q->pkts = pkts;
    q->frame_max = dev->mtu + (uint32_t)WEIR_PAIR_FRAME_EXTRA;
    q->shard = shard;
    /* Release: pairs with the acquire in pair_wake. */
    atomic_store_explicit(&q->state, WEIR_PAIR_OPEN, memory_order_release);
    *queue = &q->base;
    return 0;
}

/* Sends everything home that was not taken. */
static void pair_drain(struct weir_pair_ring *ring)
{
    while (pair_ready(ring) > 0)
        pair_let_go(ring, ring->slot_in[ring->head++ & ring->mask_in].pkt);
    pair_tell(ring);
}

/* First nothing more comes in, then what is there goes home; only then our own can be there. */
static void pair_queue_close(struct weir_dev_queue *queue)
{
    struct weir_pair_queue *q = pair_queue_of(queue);
    unsigned queues = q->queues;
    uint32_t out = 0;

    pair_tx_flush(queue);
    /* Release: pairs with the acquire in pair_room. */
    atomic_store_explicit(&q->state, WEIR_PAIR_CLOSED, memory_order_release);
    for (unsigned i = 0; i < queues; i++)
        pair_drain(&q->in[(size_t)i * queues]);
    for (unsigned i = 0; i < queues; i++) {
        pair_collect(&q->out[i]);
        out += q->out[i].tail - q->out[i].home;
    }
    if (out > 0 && !q->pkts->heir)
        q->pkts->heir = &q->kept;
}

const struct weir_dev_ops weir_pair_ops = {
    .name = "pair",
    .queue_open = pair_queue_open,
    .queue_close = pair_queue_close,
    .rx = pair_rx,
    .tx = pair_tx,
    .tx_flush = pair_tx_flush,
    .room = pair_all_room,
    .next = pair_next,
    .close = weir_pair_close,
};
