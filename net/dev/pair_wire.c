/* pair_wire.c - the memory of an in-memory wire: made for both ends at once, freed with the last.
 *
 * There is a ring from each queue to each queue of the other end.  With many queues they are
 * shorter, so that the memory does not grow with the square. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "net/dev/pair.h"

enum {
    PAIR_SLOTS = 1024, /* per ring, with up to PAIR_QUEUES queues; with more, fewer: */
    PAIR_SLOTS_MIN = 64,
    PAIR_QUEUES = 8,
    PAIR_MTU = 1500,
    PAIR_MTU_MIN = 68, /* RFC 791 */
    PAIR_MTU_MAX = WEIR_PKT_ROOM - WEIR_PAIR_FRAME_EXTRA,
};

static void pair_free(struct weir_pair_wire *wire)
{
    for (unsigned e = 0; e < wire->ends; e++)
        free(wire->end[e].queue);
    free(wire->rings);
    free(wire->slots);
    free(wire);
}

void weir_pair_close(struct weir_dev *dev)
{
    struct weir_pair_wire *wire = weir_container_of(dev, struct weir_pair_dev, dev)->wire;

    /* All of the other end is to be seen by the one who frees it. */
    if (atomic_fetch_sub_explicit(&wire->open, 1, memory_order_acq_rel) > 1)
        return;
    for (unsigned e = 0; e < wire->ends; e++)
        for (unsigned i = 0; i < wire->queues; i++)
            weir_pkts_drop(&wire->end[e].queue[i].kept);
    pair_free(wire);
}

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

static void pair_ring_init(struct weir_pair_ring *ring, struct weir_pair_slot *slot,
                           struct weir_pkt **back, uint32_t slots, struct weir_pair_queue *to)
{
    *ring = (struct weir_pair_ring){ .slot = slot,
                                     .mask = slots - 1,
                                     .home_seen = UINT32_MAX,
                                     .to = to,
                                     .slot_in = slot,
                                     .slot_back = back,
                                     .mask_in = slots - 1 };
}

static void pair_end_init(struct weir_pair_wire *wire, unsigned e, uint64_t seed)
{
    struct weir_pair_dev *end = &wire->end[e];
    unsigned other = wire->ends - 1 - e;
    size_t rings = (size_t)wire->queues * wire->queues;

    end->wire = wire;
    end->peer = wire->end[other].queue;
    for (unsigned i = 0; i < wire->queues; i++) {
        struct weir_pair_queue *q = &end->queue[i];

        memset(q, 0, sizeof *q);
        q->dev = end;
        q->queues = wire->queues;
        q->out = wire->rings + e * rings + (size_t)i * wire->queues;
        q->in = wire->rings + other * rings + i;
        q->random = seed + e * wire->queues + i;
    }
}

static void pair_rings_init(struct weir_pair_wire *wire, uint32_t slots)
{
    size_t queues = wire->queues, rings = wire->ends * queues * queues;
    struct weir_pair_slot *slot = wire->slots;
    struct weir_pkt **back = (struct weir_pkt **)(void *)(slot + rings * slots);

    for (size_t i = 0; i < rings; i++)
        pair_ring_init(&wire->rings[i], slot + i * slots, back + i * slots, slots,
                       &wire->end[i / (queues * queues)].peer[i % queues]);
}

static void pair_dev_init(struct weir_pair_wire *wire, unsigned e,
                          const struct weir_pair_config *config)
{
    struct weir_dev *dev = &wire->end[e].dev;
    const uint8_t mac[6] = { 0x02, 'w', 'e', 'i', 'r', (uint8_t)(e + 1) };

    dev->ops = &weir_pair_ops;
    snprintf(dev->name, sizeof dev->name, config->loop ? "loop" : "pair %u", e);
    memcpy(dev->mac, mac, sizeof mac);
    dev->mtu = config->mtu ? config->mtu : PAIR_MTU;
    dev->queues = (uint16_t)config->queues;
    dev->caps = (config->misdirect ? 0 : WEIR_DEV_STEERED) | (config->loop ? WEIR_DEV_LOOP : 0);
    memcpy(dev->rss_key, config->key ? config->key : weir_flow_key, sizeof dev->rss_key);
}

/* The memory of it; what is missing is NULL. */
static int pair_make(struct weir_pair_wire *wire, uint32_t slots)
{
    size_t rings = (size_t)wire->ends * wire->queues * wire->queues;

    for (unsigned e = 0; e < wire->ends; e++)
        wire->end[e].queue = pair_alloc(wire->queues, sizeof(struct weir_pair_queue));
    wire->rings = pair_alloc(rings, sizeof(struct weir_pair_ring));
    wire->slots =
        pair_alloc(rings * slots, sizeof(struct weir_pair_slot) + sizeof(struct weir_pkt *));
    if (!wire->end[0].queue || !wire->end[wire->ends - 1].queue || !wire->rings || !wire->slots)
        return -ENOMEM;
    return 0;
}

int weir_pair_open(struct weir_dev *end[2], const struct weir_pair_config *config)
{
    struct weir_pair_wire *wire;
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
