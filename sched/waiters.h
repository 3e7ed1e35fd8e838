/* waiters.h - what the primitives of one shard have in common: whose they are, and who waits. */
#ifndef WEIR_SCHED_WAITERS_H
#define WEIR_SCHED_WAITERS_H

#include <weir/event.h>
#include "core/list.h"
#include "sched/shard.h"

/* The first use settles the home.  Not the init: an object of a shard's may well be made before
 * there are shards.  Ends the program with a sentence on any other shard, and on none. */
void weir_home_settle(struct weir_shard **home, const char *call);

static inline void weir_home_check(struct weir_shard **home, const char *call)
{
    if (weir_unlikely(!*home || *home != weir_shard_current))
        weir_home_settle(home, call);
}

/* The same for calls that only look, and settle nothing. */
static inline void weir_home_look(const struct weir_shard *home, const char *call)
{
    if (home)
        weir_shard_check(home, call);
}

/* Queues up behind the others; a cancel takes it out. */
void weir_waiters_add(struct weir_link *waiters, struct weir_wait *wait);

/* The running fiber queues up and waits until it is told.  0, -ETIMEDOUT or -ECANCELED. */
int weir_waiters_wait(struct weir_link *waiters, weir_time deadline);

/* What is ready at once still costs the fiber a unit of its budget. */
void weir_waiters_spend(void);

/* Ends the first wait; false: nobody waits. */
bool weir_waiters_tell_one(struct weir_link *waiters);

/* Ends the waits of all who wait now, the first one first; not of those who begin to meanwhile. */
void weir_waiters_tell_all(struct weir_link *waiters);

#endif
