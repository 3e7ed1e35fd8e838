/* mail.h - work for a shard from any thread, one that is no shard's included.
 *
 * Shards among themselves have rings (call.h), which cost less and bound what is under way.  Mail
 * is for threads of the blocking pool and for those outside: a list that anybody may push to
 * without a lock (Treiber's stack), and that the shard takes as a whole, once per turn.  What is
 * sent is embedded in whatever it is about and never allocated (struct weir_mail, weir/base.h); the
 * shard must be there until it is delivered. */
#ifndef WEIR_SCHED_MAIL_H
#define WEIR_SCHED_MAIL_H

#include "sched/shard.h"

/* From any thread.  The mail belongs to the shard until it is delivered.  Mail of one sender is
 * delivered in the order of sending.  Never waits; wakes the shard when it sleeps. */
void weir_mail_send(struct weir_shard *shard, struct weir_mail *mail);

/* For the loop: delivers what has come; whether there was any. */
bool weir_mail_deliver(struct weir_shard *shard);

/* Part of a conversation between shards, at either end: the next message may be near, so the shard
 * spins a while before it sleeps, as it does for calls (shard.c).  NULL: a thread that is none. */
static inline void weir_mail_talks(struct weir_shard *shard)
{
    if (shard)
        shard->calls_last = shard->now;
}

static inline bool weir_mail_pending(const struct weir_shard *shard)
{
    return atomic_load_explicit(&shard->mail, memory_order_relaxed) != NULL;
}

#endif
