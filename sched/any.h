/* any.h - tasks that have not begun, for whichever shard has time. */
#ifndef WEIR_SCHED_ANY_H
#define WEIR_SCHED_ANY_H

#include "core/spsc.h" /* WEIR_CACHE_LINE */
#include "sched/shard.h"
#include "sched/task.h"

/* A ring that its shard pushes to and all take from, the oldest first.  Indices run freely over 64
 * bits and are masked on use.  Taking is a compare-and-swap of `head`, and then an exchange of the
 * slot for NULL: NULL was there when an abort came first.  A slot is pushed to when it is NULL. */
struct weir_any {
    _Alignas(WEIR_CACHE_LINE) _Atomic uint64_t head;
    _Alignas(WEIR_CACHE_LINE) _Atomic uint64_t tail;
    weir_time since, shared; /* its shard's: when it was empty last, and when it took a share */
    struct weir_task *_Atomic slot[WEIR_ANY_QUEUE];
};

/* One for each shard.  0 or -ENOMEM; free() ends it. */
int weir_any_init(struct weir_shards *shards);

/* Until when a shard that is idle may sleep because of them: 0, it may not; a moment, while it
 * leaves some of its own to others, who may need its CPU for that; WEIR_NEVER. */
weir_time weir_any_next(const struct weir_shard *shard);

/* What the loop does when there are any: begins some of our own, or takes over those of others; or,
 * without room for them, tells others of ours.  Whether it has something to do about them. */
bool weir_any_turn(struct weir_shard *shard);

/* Whether a fiber can be made of one, or all are to be refused. */
static inline bool weir_any_room(const struct weir_shard *shard)
{
    return shard->stats.fibers < shard->fibers_max || shard->root.cancelled;
}

/* There are some, here or elsewhere. */
static inline bool weir_any_exist(const struct weir_shard *shard)
{
    return weir_unlikely(atomic_load_explicit(&shard->all->any_count, memory_order_relaxed) > 0);
}

/* ... for which this shard has room. */
static inline bool weir_any_pending(const struct weir_shard *shard)
{
    return weir_any_exist(shard) && weir_any_room(shard);
}

#endif
