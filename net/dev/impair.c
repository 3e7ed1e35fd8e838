/* impair.c - a device with faults: loses, doubles, delays, damages and disorders what passes.
 *
 * Each direction of each queue is a lane of its own, with random numbers of its own: what happens
 * to a packet depends on the seed and on the packets before it in the lane, on nothing else.  A
 * packet goes through the faults in this order: it is lost; one bit of it is flipped; it is there
 * twice; it waits for the rate; it travels; it is held back until some that follow have passed it.
 * Delays differ by the jitter, yet nothing overtakes: disorder is what `reorder` is for.
 *
 * What waits is kept as it is when this device is its only owner, and copied when it is not (its
 * sender goes on with it).  Bits are flipped in a copy when somebody else reads the bytes.  A
 * checksum made by the device behind us would make a flipped bit good, and packets to be cut there
 * are too long to copy: with faults of that kind those capabilities are not shown.
 *
 * Invariants, of a lane: `line` is sorted by due; held <= IMPAIR_HELD is how many are in `line` and
 * `aside`. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "net/dev.h"

enum {
    IMPAIR_HELD = 16384, /* packets that wait, per lane; more are dropped */
    IMPAIR_BEHIND = 4,   /* one is held back until so many have passed it, at most */
    IMPAIR_BURSTS = 8,   /* taken from below per rx that finds nothing to give out */
    IMPAIR_ETHER = 14,   /* bits are flipped behind the addresses */
};

#define IMPAIR_ASIDE WEIR_MS(10) /* held back for so long, at most, when nobody passes it */

struct impair_list {
    struct weir_buf *first, **end;
};

struct impair_lane {
    bool on; /* this direction has faults */
    uint64_t random;
    weir_time free_at;  /* when the last bit for the rate has gone */
    weir_time last_due; /* nothing overtakes */
    struct impair_list line, aside;
    uint32_t held;
    struct impair_list ready; /* rx: through, not yet taken */
    uint64_t *dropped;        /* a counter of the queue */
};

struct impair_queue {
    struct weir_dev_queue base;
    struct weir_dev_queue *below;
    const struct weir_impair *faults;
    struct weir_pkts *pkts;
    struct impair_lane rx, tx;
};

struct impair_dev {
    struct weir_dev dev;
    struct weir_dev *below;
    struct weir_impair faults;
    uint64_t seed;
};

/* How a packet that waits is marked; its owner is this device alone. */
struct impair_mark {
    weir_time due;
    uint32_t behind; /* packets that are still to pass it */
};

static struct impair_queue *impair_queue_of(const struct weir_dev_queue *queue)
{
    return weir_container_of(queue, struct impair_queue, base);
}

static struct impair_mark impair_mark_get(const struct weir_pkt *pkt)
{
    return (struct impair_mark){ (weir_time)pkt->any[0], (uint32_t)pkt->any[1] };
}

static void impair_mark_set(struct weir_pkt *pkt, weir_time due, uint32_t behind)
{
    pkt->any[0] = (uint64_t)due;
    pkt->any[1] = behind;
}

/* --- lists --- */

static void impair_list_init(struct impair_list *list)
{
    list->first = NULL;
    list->end = &list->first;
}

static void impair_list_push(struct impair_list *list, struct weir_pkt *pkt)
{
    pkt->buf.next = NULL;
    *list->end = &pkt->buf;
    list->end = &pkt->buf.next;
}

static struct weir_pkt *impair_list_first(const struct impair_list *list)
{
    return list->first ? weir_pkt_of(list->first) : NULL;
}

/* Takes out the one that *at points to. */
static struct weir_pkt *impair_list_take(struct impair_list *list, struct weir_buf **at)
{
    struct weir_pkt *pkt = weir_pkt_of(*at);

    *at = pkt->buf.next;
    if (list->end == &pkt->buf.next)
        list->end = at;
    pkt->buf.next = NULL;
    return pkt;
}

static void impair_list_free(struct impair_list *list)
{
    while (list->first)
        weir_pkt_free(impair_list_take(list, &list->first));
}

/* --- chance --- */

static uint64_t impair_random(struct impair_lane *lane)
{
    /* splitmix64 by Sebastiano Vigna (prng.di.unimi.it), public domain. */
    uint64_t z = lane->random += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static uint64_t impair_below(struct impair_lane *lane, uint64_t bound)
{
    return (uint64_t)(((unsigned __int128)impair_random(lane) * bound) >> 64);
}

static bool impair_chance(struct impair_lane *lane, double chance)
{
    return chance > 0 && (double)(impair_random(lane) >> 11) * 0x1p-53 < chance;
}

/* --- the faults --- */

/* In memory of our own; NULL: there is none, or it is too long. */
static struct weir_pkt *impair_copy(struct impair_queue *q, const struct weir_pkt *from)
{
    struct weir_pkt *pkt =
        from->buf.len <= WEIR_PKT_ROOM && !from->frag ? weir_pkt_get(q->pkts) : NULL;

    if (!pkt)
        return NULL;
    memcpy(pkt->buf.data, from->buf.data, from->buf.len);
    pkt->buf.len = from->buf.len;
    pkt->flags = from->flags & (uint16_t)~WEIR_PKT_READ_ONLY;
    pkt->l3 = from->l3;
    pkt->l4 = from->l4;
    pkt->gso_size = from->gso_size;
    memcpy(pkt->any, from->any, sizeof pkt->any);
    return pkt;
}

/* The packet, or a copy in its place; NULL: no memory, it is gone. */
static struct weir_pkt *impair_own(struct impair_queue *q, struct weir_pkt *pkt, bool enough)
{
    struct weir_pkt *copy;

    if (enough)
        return pkt;
    copy = impair_copy(q, pkt);
    weir_pkt_free(pkt);
    return copy;
}

static void impair_flip(struct impair_lane *lane, struct weir_pkt *pkt)
{
    uint32_t from = pkt->buf.len > IMPAIR_ETHER ? IMPAIR_ETHER : 0;
    uint64_t bit;

    if (pkt->buf.len == 0)
        return;
    bit = impair_below(lane, 8 * (uint64_t)(pkt->buf.len - from));
    pkt->buf.data[from + bit / 8] ^= (uint8_t)(1u << (bit % 8));
    pkt->flags &= (uint16_t) ~(WEIR_PKT_L4_GOOD | WEIR_PKT_IP_GOOD);
}

/* When its last bit has gone; -1: the queue before the rate is full. */
static weir_time impair_depart(const struct impair_queue *q, struct impair_lane *lane, uint32_t len)
{
    weir_time now = q->base.shard->now;
    uint64_t rate = q->faults->rate, wait;

    if (rate == 0)
        return now;
    if (lane->free_at <= now) {
        lane->free_at = now;
    } else {
        wait = (uint64_t)(((unsigned __int128)(uint64_t)(lane->free_at - now) * rate) /
                          (8 * (uint64_t)WEIR_SEC(1)));
        if (wait + len > q->faults->queue)
            return -1;
    }
    lane->free_at += (weir_time)((uint64_t)len * 8 * (uint64_t)WEIR_SEC(1) / rate);
    return lane->free_at;
}

/* When it arrives, having departed. */
static weir_time impair_due(const struct impair_queue *q, struct impair_lane *lane,
                            weir_time depart)
{
    const struct weir_impair *faults = q->faults;
    weir_time due = depart + faults->delay;

    if (faults->jitter > 0)
        due += (weir_time)impair_below(lane, 2 * (uint64_t)faults->jitter + 1) - faults->jitter;
    if (due < depart)
        due = depart;
    if (due < lane->last_due)
        due = lane->last_due;
    lane->last_due = due;
    return due;
}

static void impair_drop(struct impair_lane *lane, struct weir_pkt *pkt)
{
    ++*lane->dropped;
    if (pkt)
        weir_pkt_free(pkt);
}

/* --- through a lane --- */

/* Those held back whom enough have passed, or too few for too long. */
static void impair_aside(struct impair_lane *lane, weir_time now, bool passed)
{
    struct weir_buf **at = &lane->aside.first;

    while (*at) {
        struct weir_pkt *pkt = weir_pkt_of(*at);
        struct impair_mark mark = impair_mark_get(pkt);

        if (mark.behind > 0 && passed)
            impair_mark_set(pkt, mark.due, --mark.behind);
        if (mark.behind == 0 || mark.due <= now) {
            lane->held--;
            impair_list_push(&lane->ready, impair_list_take(&lane->aside, at));
        } else {
            at = &pkt->buf.next;
        }
    }
}

static void impair_arrive(struct impair_lane *lane, struct weir_pkt *pkt, weir_time now)
{
    uint32_t behind = impair_mark_get(pkt).behind;

    if (behind > 0) {
        impair_mark_set(pkt, now + IMPAIR_ASIDE, behind);
        impair_list_push(&lane->aside, pkt);
        return;
    }
    lane->held--;
    impair_list_push(&lane->ready, pkt);
    impair_aside(lane, now, true);
}

/* What has arrived by now goes to `ready`. */
static void impair_advance(struct impair_queue *q, struct impair_lane *lane)
{
    weir_time now = q->base.shard->now;

    while (lane->line.first && impair_mark_get(impair_list_first(&lane->line)).due <= now)
        impair_arrive(lane, impair_list_take(&lane->line, &lane->line.first), now);
    impair_aside(lane, now, false);
}

static void impair_travel(struct impair_queue *q, struct impair_lane *lane, struct weir_pkt *pkt)
{
    weir_time depart;
    uint32_t behind;

    depart = lane->held < IMPAIR_HELD ? impair_depart(q, lane, pkt->buf.len) : -1;
    if (depart < 0) {
        impair_drop(lane, pkt);
        return;
    }
    behind = impair_chance(lane, q->faults->reorder)
                 ? 1 + (uint32_t)impair_below(lane, IMPAIR_BEHIND)
                 : 0;
    impair_mark_set(pkt, impair_due(q, lane, depart), behind);
    impair_list_push(&lane->line, pkt);
    lane->held++;
}

static void impair_enter(struct impair_queue *q, struct impair_lane *lane, struct weir_pkt *pkt)
{
    const struct weir_impair *faults = q->faults;
    struct weir_pkt *twin = NULL;

    if (impair_chance(lane, faults->loss)) {
        impair_drop(lane, pkt);
        return;
    }
    if (impair_chance(lane, faults->corrupt)) {
        pkt = impair_own(q, pkt, weir_pkt_writable(pkt));
        if (pkt)
            impair_flip(lane, pkt);
    } else {
        pkt = impair_own(q, pkt, pkt->buf.refs == 1);
    }
    if (!pkt) {
        impair_drop(lane, NULL);
        return;
    }
    if (impair_chance(lane, faults->duplicate))
        twin = impair_copy(q, pkt);
    impair_travel(q, lane, pkt);
    if (twin)
        impair_travel(q, lane, twin);
}

static weir_time impair_lane_next(const struct impair_lane *lane)
{
    weir_time next = WEIR_NEVER;

    if (lane->ready.first)
        return 0;
    if (lane->line.first)
        next = impair_mark_get(impair_list_first(&lane->line)).due;
    if (lane->aside.first) { /* in the order in which they were set aside, hence of due */
        weir_time due = impair_mark_get(impair_list_first(&lane->aside)).due;

        next = due < next ? due : next;
    }
    return next;
}

/* --- the device --- */

/* Sends what is through. */
static bool impair_send(struct impair_queue *q)
{
    struct weir_pkt *burst[WEIR_DEV_BURST];
    bool any = false;

    impair_advance(q, &q->tx);
    while (q->tx.ready.first) {
        unsigned count = 0;

        while (count < WEIR_DEV_BURST && q->tx.ready.first) {
            burst[count] = impair_list_take(&q->tx.ready, &q->tx.ready.first);
            q->base.stats.tx_packets++;
            q->base.stats.tx_bytes += burst[count++]->buf.len;
        }
        q->below->dev->ops->tx(q->below, burst, count);
        any = true;
    }
    return any;
}

static void impair_tx(struct weir_dev_queue *queue, struct weir_pkt **pkts, unsigned count)
{
    struct impair_queue *q = impair_queue_of(queue);

    if (!q->tx.on) {
        for (unsigned i = 0; i < count; i++) {
            queue->stats.tx_packets++;
            queue->stats.tx_bytes += pkts[i]->buf.len;
        }
        q->below->dev->ops->tx(q->below, pkts, count);
        return;
    }
    for (unsigned i = 0; i < count; i++)
        impair_enter(q, &q->tx, pkts[i]);
    impair_send(q);
}

static void impair_tx_flush(struct weir_dev_queue *queue)
{
    struct impair_queue *q = impair_queue_of(queue);

    impair_send(q);
    q->below->dev->ops->tx_flush(q->below);
}

/* Takes a burst from below; how many there were. */
static unsigned impair_receive(struct impair_queue *q)
{
    struct weir_pkt *burst[WEIR_DEV_BURST];
    unsigned count = q->below->dev->ops->rx(q->below, burst, WEIR_DEV_BURST);

    for (unsigned i = 0; i < count; i++)
        if (q->rx.on)
            impair_enter(q, &q->rx, burst[i]);
        else
            impair_list_push(&q->rx.ready, burst[i]);
    impair_advance(q, &q->rx);
    return count;
}

static unsigned impair_rx(struct weir_dev_queue *queue, struct weir_pkt **pkts, unsigned max)
{
    struct impair_queue *q = impair_queue_of(queue);
    unsigned count = 0;

    if (impair_send(q)) /* those whose time has come while nobody sent */
        q->below->dev->ops->tx_flush(q->below);
    for (unsigned bursts = 0; bursts < IMPAIR_BURSTS && !q->rx.ready.first; bursts++)
        if (impair_receive(q) == 0)
            break; /* else all of it travels, or was lost: there may be more */
    while (count < max && q->rx.ready.first) {
        pkts[count] = impair_list_take(&q->rx.ready, &q->rx.ready.first);
        queue->stats.rx_packets++;
        queue->stats.rx_bytes += pkts[count++]->buf.len;
    }
    return count;
}

static unsigned impair_room(struct weir_dev_queue *queue)
{
    struct weir_dev_queue *below = impair_queue_of(queue)->below;

    return below->dev->ops->room ? below->dev->ops->room(below) : UINT_MAX;
}

static weir_time impair_next(const struct weir_dev_queue *queue)
{
    const struct impair_queue *q = impair_queue_of(queue);
    weir_time next = q->below->dev->ops->next(q->below);
    weir_time rx = impair_lane_next(&q->rx), tx = impair_lane_next(&q->tx);

    next = rx < next ? rx : next;
    next = tx < next ? tx : next;
    return next > queue->shard->now ? next : queue->shard->now;
}

static void impair_lane_init(struct impair_lane *lane, bool on, uint64_t seed, uint64_t *dropped)
{
    *lane = (struct impair_lane){ .on = on, .random = seed, .dropped = dropped };
    impair_list_init(&lane->line);
    impair_list_init(&lane->aside);
    impair_list_init(&lane->ready);
    lane->random = impair_random(lane); /* or neighbouring seeds give the same numbers, shifted */
}

static void impair_lane_free(struct impair_lane *lane)
{
    impair_list_free(&lane->line);
    impair_list_free(&lane->aside);
    impair_list_free(&lane->ready);
}

static int impair_queue_open(struct weir_dev *dev, unsigned index, struct weir_shard *shard,
                             struct weir_pkts *pkts, struct weir_dev_queue **queue, char *why,
                             size_t why_size)
{
    struct impair_dev *impair = weir_container_of(dev, struct impair_dev, dev);
    struct weir_dev *below = impair->below;
    struct impair_queue *q = calloc(1, sizeof *q);
    int error = -ENOMEM;

    if (q)
        error = below->ops->queue_open(below, index, shard, pkts, &q->below, why, why_size);
    else
        snprintf(why, why_size, "%s: no memory", dev->name);
    if (error) {
        free(q);
        return error;
    }
    q->base =
        (struct weir_dev_queue){ .dev = dev, .shard = shard, .index = index, .fd = q->below->fd };
    q->faults = &impair->faults;
    q->pkts = pkts;
    impair_lane_init(&q->rx, impair->faults.rx, impair->seed + 2 * index,
                     &q->base.stats.rx_dropped);
    impair_lane_init(&q->tx, impair->faults.tx, impair->seed + 2 * index + 1,
                     &q->base.stats.tx_dropped);
    *queue = &q->base;
    return 0;
}

/* What is on its way is lost. */
static void impair_queue_close(struct weir_dev_queue *queue)
{
    struct impair_queue *q = impair_queue_of(queue);

    impair_lane_free(&q->rx);
    impair_lane_free(&q->tx);
    q->below->dev->ops->queue_close(q->below);
    free(q);
}

static void impair_close(struct weir_dev *dev)
{
    struct impair_dev *impair = weir_container_of(dev, struct impair_dev, dev);

    weir_dev_close(impair->below);
    free(impair);
}

static const struct weir_dev_ops impair_ops = {
    .name = "impair",
    .queue_open = impair_queue_open,
    .queue_close = impair_queue_close,
    .rx = impair_rx,
    .tx = impair_tx,
    .tx_flush = impair_tx_flush,
    .room = impair_room,
    .next = impair_next,
    .close = impair_close,
};

int weir_impair_open(struct weir_dev **dev, struct weir_dev *below,
                     const struct weir_impair *impair, uint64_t seed)
{
    struct impair_dev *d = calloc(1, sizeof *d);

    if (!d)
        return -ENOMEM;
    d->dev = *below;
    d->dev.ops = &impair_ops;
    snprintf(d->dev.name, sizeof d->dev.name, "%.50s, impaired", below->name);
    if (impair->tx)
        d->dev.caps &= ~(uint32_t)(WEIR_DEV_TX_L4_CSUM | WEIR_DEV_TX_TSO);
    d->below = below;
    d->faults = *impair;
    d->seed = seed;
    *dev = &d->dev;
    return 0;
}
