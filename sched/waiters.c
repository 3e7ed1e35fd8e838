/* waiters.c - what the primitives of one shard have in common: whose they are, and who waits. */
#include "sched/waiters.h"
#include <errno.h>

void weir_home_settle(struct weir_shard **home, const char *call)
{
    if (*home)
        weir_shard_check(*home, call);
    else
        *home = weir_shard_here(call);
}

static void waiters_cancel(struct weir_future *future)
{
    weir_list_del(&weir_container_of(future, struct weir_wait, future)->link);
    weir_future_set(future, -ECANCELED);
}

void weir_waiters_add(struct weir_link *waiters, struct weir_wait *wait)
{
    weir_future_init(&wait->future, waiters_cancel);
    weir_list_push(waiters, &wait->link);
}

int weir_waiters_wait(struct weir_link *waiters, weir_time deadline)
{
    struct weir_wait wait;

    weir_waiters_add(waiters, &wait);
    return (int)weir_await(&wait.future, deadline);
}

void weir_waiters_spend(void)
{
    struct weir_future done = { .done = true };

    weir_await(&done, WEIR_NEVER);
}

bool weir_waiters_tell_one(struct weir_link *waiters)
{
    struct weir_link *first = weir_list_pop(waiters);

    if (!first)
        return false;
    weir_future_set(&weir_container_of(first, struct weir_wait, link)->future, 0);
    return true;
}

void weir_waiters_tell_all(struct weir_link *waiters)
{
    struct weir_link now;

    weir_list_init(&now);
    weir_list_move_all(&now, waiters);
    while (weir_waiters_tell_one(&now))
        ;
}
