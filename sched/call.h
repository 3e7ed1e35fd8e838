/* call.h - the queues between two shards. */
#ifndef WEIR_SCHED_CALL_H
#define WEIR_SCHED_CALL_H

#include <weir/shard.h>
#include "core/spsc.h"
#include "sched/shard.h"

/* From one shard to one other: requests out, the same pointers back as replies.
 *
 * A message takes one credit on the way out and gives it back when it has come home, and there are
 * as many credits as slots: so neither ring can be full, and nobody ever waits for room. */
struct weir_pair {
    struct weir_spsc out;  /* pushed by `from`, popped by `to` */
    struct weir_spsc back; /* pushed by `to`, popped by `from` */

    /* `from`'s own. */
    _Alignas(WEIR_CACHE_LINE) uint32_t credits;
    uint32_t out_count;
    struct weir_link waiting; /* calls, and cancels of calls, that wait for a credit, in order */
    void *out_batch[WEIR_SPSC_SIZE];

    /* `to`'s own. */
    _Alignas(WEIR_CACHE_LINE) uint32_t back_count;
    void *back_batch[WEIR_SPSC_SIZE];
};

/* A full fence.  TSan does not model standalone fences and gcc refuses them under it: there it is
 * the instruction alone. */
static inline void weir_fence(void)
{
#if !WEIR_TSAN
    atomic_thread_fence(memory_order_seq_cst);
#elif defined(__x86_64__)
    __asm__ volatile("mfence" ::: "memory");
#else
    __asm__ volatile("dmb ish" ::: "memory");
#endif
}

void weir_pair_init(struct weir_pair *pair);

/* Replies and requests that have arrived; true when there were any. */
bool weir_calls_poll(struct weir_shard *shard);

/* Whether weir_calls_poll would find something. */
bool weir_calls_pending(const struct weir_shard *shard);

/* Sends what this turn has gathered: one store and at most one wake per target.  True when
 * there was anything. */
bool weir_calls_flush(struct weir_shard *shard);

#endif
