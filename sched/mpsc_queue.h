/* mpsc_queue.h - where the messages of a channel stand: a ring if it is bounded, else a list.
 *
 * Many push, one pops.  Nothing here waits or is ever full: whoever pushes into the ring has a
 * place (mpsc.c counts them), so the cell it gets was emptied before.  A push that has begun and
 * not ended hides what was pushed after it; its pusher tells the receiver when it has ended.
 *
 * Ring (after D. Vyukov's bounded queue): positions run freely and are masked on use; a cell
 * carries the position behind the one it holds, so that one of a lap before is never mistaken for
 * it. List (after his non-intrusive MPSC queue): the first node is spent, its successor is next. */
#ifndef WEIR_SCHED_MPSC_QUEUE_H
#define WEIR_SCHED_MPSC_QUEUE_H

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include "core/base.h"
#include "core/spsc.h" /* WEIR_CACHE_LINE */

struct mpsc_cell {
    _Atomic uint64_t ready;
    unsigned char message[];
};

struct mpsc_node {
    struct mpsc_node *_Atomic next;
    unsigned char message[];
};

struct mpsc_queue {
    size_t size, stride;
    uint64_t mask;
    unsigned char *ring; /* NULL: the list */

    _Alignas(WEIR_CACHE_LINE) uint64_t head; /* the receiver's own, and first */
    struct mpsc_node *first;

    _Alignas(WEIR_CACHE_LINE) _Atomic uint64_t tail; /* the senders', and last */
    struct mpsc_node *_Atomic last;
};

static inline struct mpsc_cell *mpsc_cell_at(const struct mpsc_queue *queue, uint64_t position)
{
    return (void *)(queue->ring + (position & queue->mask) * queue->stride);
}

static inline int mpsc_queue_init(struct mpsc_queue *queue, size_t size, size_t bound)
{
    uint64_t cells = 1;

    *queue = (struct mpsc_queue){ .size = size };
    while (cells < bound)
        cells *= 2;
    queue->mask = cells - 1;
    queue->stride = (sizeof(struct mpsc_cell) + size + 7) & ~(size_t)7;
    if (bound > 0) {
        queue->ring = calloc(cells, queue->stride);
        return queue->ring ? 0 : -ENOMEM;
    }
    queue->first = calloc(1, sizeof(struct mpsc_node));
    atomic_init(&queue->last, queue->first);
    return queue->first ? 0 : -ENOMEM;
}

/* When nobody pushes or pops any more. */
static inline void mpsc_queue_free(struct mpsc_queue *queue)
{
    struct mpsc_node *node = queue->first, *next;

    for (; node; node = next) {
        next = atomic_load_explicit(&node->next, memory_order_relaxed);
        free(node);
    }
    free(queue->ring);
}

static inline void mpsc_ring_push(struct mpsc_queue *queue, const void *message)
{
    /* Acquire and release: who has a later place was given it after the receiver had emptied the
     * cell of this lap, and passes that on to those with an earlier place who come here later. */
    uint64_t position = atomic_fetch_add_explicit(&queue->tail, 1, memory_order_acq_rel);
    struct mpsc_cell *cell = mpsc_cell_at(queue, position);

    memcpy(cell->message, message, queue->size);
    /* Pairs with mpsc_queue_ready. */
    atomic_store_explicit(&cell->ready, position + 1, memory_order_release);
}

static inline int mpsc_list_push(struct mpsc_queue *queue, const void *message)
{
    struct mpsc_node *node = malloc(sizeof *node + queue->size), *before;

    if (!node)
        return -ENOMEM;
    atomic_init(&node->next, NULL);
    memcpy(node->message, message, queue->size);
    before = atomic_exchange_explicit(&queue->last, node, memory_order_acq_rel);
    /* Pairs with mpsc_queue_ready. */
    atomic_store_explicit(&before->next, node, memory_order_release);
    return 0;
}

static inline int mpsc_queue_push(struct mpsc_queue *queue, const void *message)
{
    if (!queue->ring)
        return mpsc_list_push(queue, message);
    mpsc_ring_push(queue, message);
    return 0;
}

/* The receiver's: whether there is one to pop.  Acquire: pairs with the end of a push. */
static inline bool mpsc_queue_ready(const struct mpsc_queue *queue)
{
    if (!queue->ring)
        return atomic_load_explicit(&queue->first->next, memory_order_acquire) != NULL;
    return atomic_load_explicit(&mpsc_cell_at(queue, queue->head)->ready, memory_order_acquire) ==
           queue->head + 1;
}

/* The receiver's. */
static inline bool mpsc_queue_pop(struct mpsc_queue *queue, void *message)
{
    struct mpsc_node *spent = queue->first;

    if (!mpsc_queue_ready(queue))
        return false;
    if (queue->ring) {
        memcpy(message, mpsc_cell_at(queue, queue->head++)->message, queue->size);
        return true;
    }
    queue->first = atomic_load_explicit(&spent->next, memory_order_relaxed);
    memcpy(message, queue->first->message, queue->size);
    free(spent);
    return true;
}

#endif
