/* future.c - results that are not there yet, and waiting for them.
 *
 * A future has one consumer: a fiber (waiter) or a callback (on_done).  Completion makes the fiber
 * runnable; it never switches to it, so producers need not expect to be interrupted. */
#include <errno.h>
#include <weir/future.h>
#include "sched/call.h"
#include "sched/fiber.h"

void weir_future_init(struct weir_future *future, void (*cancel)(struct weir_future *))
{
    *future = (struct weir_future){ .cancel = cancel };
}

void weir_future_set(struct weir_future *future, int64_t result)
{
    struct weir_fiber *waiter = future->waiter;
    void (*on_done)(struct weir_future *) = future->on_done;

    weir_assert(!future->done);
    future->result = result;
    future->done = true;
    if (waiter)
        weir_fiber_wake(waiter);
    else if (on_done)
        on_done(future);
}

bool weir_future_on_done(struct weir_future *future, void (*fn)(struct weir_future *))
{
    weir_assert(!future->waiter && !future->on_done);
    if (future->done)
        return false;
    future->on_done = fn;
    return true;
}

void weir_future_cancel(struct weir_future *future)
{
    if (future->done || future->cancelled || !future->cancel)
        return;
    future->cancelled = true;
    future->cancel(future);
}

/* A ready await costs one unit, so that an always-ready source cannot starve its neighbours. */
static void await_spend(struct weir_shard *shard)
{
    weir_assert(shard->budget > 0);
    if (--shard->budget == 0)
        weir_yield();
}

int64_t weir_await(struct weir_future *future, weir_time deadline)
{
    struct weir_fiber *fiber = weir_fiber_here("weir_await");
    int cause;

    if (future->done) {
        await_spend(fiber->shard);
        return future->result;
    }
    cause = weir_fiber_await(fiber, (struct weir_future *const[]){ future }, 1, 1, deadline);
    return cause && future->result == -ECANCELED ? cause : future->result;
}

static size_t await_pending(struct weir_future *const *futures, size_t count)
{
    size_t pending = 0;

    for (size_t i = 0; i < count; i++)
        pending += !futures[i]->done;
    return pending;
}

int weir_await_all_of(struct weir_future *const *futures, size_t count, weir_time deadline)
{
    struct weir_fiber *fiber = weir_fiber_here("weir_await_all");
    size_t pending = await_pending(futures, count);
    int cause;

    if (pending == 0) {
        await_spend(fiber->shard);
        return 0;
    }
    cause = weir_fiber_await(fiber, futures, count, pending, deadline);
    for (size_t i = 0; cause && i < count; i++)
        if (futures[i]->cancelled && futures[i]->result == -ECANCELED)
            return cause;
    return 0;
}

/* The index of the first one that is done, not counting those that were only cancelled. */
static int await_first(struct weir_future *const *futures, size_t count, int otherwise)
{
    for (size_t i = 0; i < count; i++)
        if (futures[i]->done && !(otherwise && futures[i]->result == -ECANCELED))
            return (int)i;
    return otherwise;
}

int weir_await_any_of(struct weir_future *const *futures, size_t count, weir_time deadline)
{
    struct weir_fiber *fiber = weir_fiber_here("weir_await_any");
    int cause = 0;

    if (count == 0)
        return -EINVAL;
    if (await_pending(futures, count) < count)
        await_spend(fiber->shard);
    else
        cause = weir_fiber_await(fiber, futures, count, 1, deadline);
    return await_first(futures, count, cause);
}

int weir_race_of(struct weir_future *const *futures, size_t count, weir_time deadline)
{
    int winner = weir_await_any_of(futures, count, deadline);
    size_t pending;

    for (size_t i = 0; i < count; i++)
        weir_future_cancel(futures[i]);
    pending = await_pending(futures, count);
    if (pending > 0)
        weir_fiber_await(weir_fiber_here("weir_race"), futures, count, pending, WEIR_NEVER);
    return winner;
}
