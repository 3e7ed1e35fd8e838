/* spsc.h - bounded ring of pointers, one producer thread and one consumer thread.
 *
 * Indices run freely over 32 bits and are masked on use, so head == tail means empty and all
 * WEIR_SPSC_SIZE slots are usable.  Each side keeps a private copy of the other side's index and
 * reloads it only when the copy says "full" or "empty": the common case touches one line.
 *
 * Invariant: 0 <= tail - head <= WEIR_SPSC_SIZE; the slots in between belong to the consumer, the
 * others to the producer. */
#ifndef WEIR_CORE_SPSC_H
#define WEIR_CORE_SPSC_H

#include "core/base.h"
#include <stdatomic.h>

enum { WEIR_CACHE_LINE = 64, WEIR_SPSC_SIZE = 128, WEIR_SPSC_MASK = WEIR_SPSC_SIZE - 1 };
_Static_assert((WEIR_SPSC_SIZE & WEIR_SPSC_MASK) == 0, "masked indices need a power of two");

struct weir_spsc {
    _Alignas(WEIR_CACHE_LINE) _Atomic uint32_t tail; /* written by the producer */
    uint32_t head_seen;
    _Alignas(WEIR_CACHE_LINE) _Atomic uint32_t head; /* written by the consumer */
    uint32_t tail_seen;
    _Alignas(WEIR_CACHE_LINE) void *slot[WEIR_SPSC_SIZE];
};

/* Before either side uses it. */
static inline void weir_spsc_init(struct weir_spsc *ring)
{
    atomic_init(&ring->tail, 0);
    atomic_init(&ring->head, 0);
    ring->head_seen = 0;
    ring->tail_seen = 0;
}

/* Producer only.  Returns how many of the count items went in, first ones first. */
static inline uint32_t weir_spsc_push(struct weir_spsc *ring, void *const *items, uint32_t count)
{
    /* Relaxed: nobody else writes it. */
    uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    uint32_t room = WEIR_SPSC_SIZE - (tail - ring->head_seen);

    if (room < count) {
        /* Acquire: pairs with the release of head in weir_spsc_pop; it has read those slots. */
        ring->head_seen = atomic_load_explicit(&ring->head, memory_order_acquire);
        room = WEIR_SPSC_SIZE - (tail - ring->head_seen);
    }
    weir_assert(room <= WEIR_SPSC_SIZE);
    if (count > room)
        count = room;
    for (uint32_t i = 0; i < count; i++)
        ring->slot[(tail + i) & WEIR_SPSC_MASK] = items[i];
    /* Release: pairs with the acquires of tail in weir_spsc_pop and weir_spsc_empty. */
    atomic_store_explicit(&ring->tail, tail + count, memory_order_release);
    return count;
}

/* Consumer only.  Moves at most count items out, oldest first, and returns how many: 0 only when
 * the ring is empty, but perhaps fewer than it holds. */
static inline uint32_t weir_spsc_pop(struct weir_spsc *ring, void **items, uint32_t count)
{
    /* Relaxed: nobody else writes it. */
    uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    uint32_t ready = ring->tail_seen - head;

    if (ready == 0) {
        /* Acquire: pairs with the release of tail in weir_spsc_push; the slots are written. */
        ring->tail_seen = atomic_load_explicit(&ring->tail, memory_order_acquire);
        ready = ring->tail_seen - head;
    }
    weir_assert(ready <= WEIR_SPSC_SIZE);
    if (count > ready)
        count = ready;
    for (uint32_t i = 0; i < count; i++)
        items[i] = ring->slot[(head + i) & WEIR_SPSC_MASK];
    /* Release: pairs with the acquire of head in weir_spsc_push. */
    atomic_store_explicit(&ring->head, head + count, memory_order_release);
    return count;
}

/* Consumer only. */
static inline bool weir_spsc_empty(struct weir_spsc *ring)
{
    /* Acquire: pairs with the release of tail in weir_spsc_push. */
    return atomic_load_explicit(&ring->tail, memory_order_acquire) ==
           atomic_load_explicit(&ring->head, memory_order_relaxed);
}

#endif
