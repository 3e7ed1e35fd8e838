/* fiber.c - fibers: spawn, run, wait, end.
 *
 * A fiber has exactly one wake-up reason: the futures it awaits.  A deadline or a cancel does not
 * wake it; they cancel those futures, and their completion wakes it. */
#include "sched/fiber.h"
#include <errno.h>
#include <weir/time.h>

enum { FIBER_BUDGET = 128 };

struct weir_fiber *weir_fiber_here(const char *call)
{
    struct weir_shard *shard = weir_shard_here(call);

    if (weir_unlikely(!shard->fiber))
        weir_panic("%s suspends, but this runs on the shard's loop (a callback, a brief handler or "
                   "call); spawn a fiber with weir_spawn and call it there",
                   call);
    return shard->fiber;
}

static void fiber_ready(struct weir_fiber *fiber)
{
    weir_list_push(&fiber->shard->ready, &fiber->link);
}

/* Leaves the running fiber for the loop. */
static void fiber_suspend(struct weir_fiber *fiber, bool ends)
{
    fiber->since = fiber->shard->now;
    weir_context_switch(&fiber->context, &fiber->shard->loop, ends);
}

static void scope_remove(struct weir_fiber *fiber)
{
    struct weir_scope *scope = fiber->scope;

    weir_list_del(&fiber->sibling);
    if (--scope->count == 0 && scope->joining) {
        scope->joining = false;
        weir_future_set(&scope->empty, scope->empty.cancelled ? -ECANCELED : 0);
    }
}

static void fiber_main(void *arg)
{
    struct weir_fiber *fiber = arg;

    weir_context_entered(&fiber->shard->loop);
    fiber->fn(fiber->arg);
    fiber->fn = NULL; /* tells weir_fiber_run that it has ended */
    fiber_suspend(fiber, true);
    weir_panic("a fiber ran on after its end");
}

static void fiber_end(struct weir_shard *shard, struct weir_fiber *fiber)
{
    weir_list_del(&fiber->all);
    scope_remove(fiber);
    weir_context_free(&fiber->context);
    shard->stats.fibers--;
    weir_stack_put(&shard->stacks, fiber->stack);
}

void weir_fiber_run(struct weir_shard *shard, struct weir_fiber *fiber)
{
    shard->fiber = fiber;
    shard->budget = FIBER_BUDGET;
    weir_context_switch(&shard->loop, &fiber->context, false);
    shard->fiber = NULL;
    if (!fiber->fn)
        fiber_end(shard, fiber);
}

/* The deadline has come or the fiber was cancelled: withdraws everything it awaits, and from here
 * on it waits for all of it. */
static void fiber_interrupt(struct weir_fiber *fiber, int cause)
{
    if (!fiber->futures || fiber->left == 0 || fiber->cause)
        return;
    fiber->cause = cause;
    fiber->left = 1; /* ours: keeps it from running before the last one is counted */
    for (size_t i = 0; i < fiber->count; i++)
        fiber->left += !fiber->futures[i]->done;
    for (size_t i = 0; i < fiber->count; i++)
        weir_future_cancel(fiber->futures[i]);
    weir_fiber_wake(fiber);
}

static void fiber_deadline(struct weir_alarm *alarm)
{
    fiber_interrupt(weir_container_of(alarm, struct weir_fiber, deadline), -ETIMEDOUT);
}

void weir_fiber_wake(struct weir_fiber *fiber)
{
    weir_shard_check(fiber->shard, "weir_future_set");
    if (fiber->left > 0 && --fiber->left == 0)
        fiber_ready(fiber);
}

int weir_fiber_await(struct weir_fiber *fiber, struct weir_future *const *futures, size_t count,
                     size_t left, weir_time deadline)
{
    int cause;

    for (size_t i = 0; i < count; i++) {
        weir_assert(!futures[i]->waiter && !futures[i]->on_done);
        futures[i]->waiter = futures[i]->done ? NULL : fiber;
    }
    fiber->futures = futures;
    fiber->count = count;
    fiber->left = left;
    fiber->cause = 0;
    if (fiber->cancelled)
        fiber_interrupt(fiber, -ECANCELED);
    else if (deadline <= fiber->shard->now)
        fiber_interrupt(fiber, -ETIMEDOUT);
    else if (deadline != WEIR_NEVER)
        weir_alarm_set(&fiber->deadline, deadline);
    fiber_suspend(fiber, false);
    weir_alarm_clear(&fiber->deadline);
    weir_assert(fiber->left == 0);
    for (size_t i = 0; i < count; i++)
        futures[i]->waiter = NULL;
    cause = fiber->cause;
    fiber->futures = NULL;
    return cause;
}

/* Reaches the tasks and calls that it waits for, and so on down: a queue and not a recursion, as in
 * scope.c.  None of them ends before it has run. */
void weir_fiber_cancel(struct weir_fiber *fiber)
{
    struct weir_shard *shard = fiber->shard;
    struct weir_link *link;

    if (fiber->cancelled)
        return;
    fiber->cancelled = true;
    weir_list_push(&shard->interrupting, &fiber->cancel);
    if (shard->interrupting_now)
        return; /* a fiber further up is at it, and will come to this one */
    shard->interrupting_now = true;
    while ((link = weir_list_pop(&shard->interrupting)) != NULL)
        fiber_interrupt(weir_container_of(link, struct weir_fiber, cancel), -ECANCELED);
    shard->interrupting_now = false;
}

/* A scope does not know its shard, but its children do. */
static void scope_check(const struct weir_scope *scope)
{
    if (!weir_list_empty(&scope->fibers))
        weir_shard_check(weir_container_of(scope->fibers.prev, struct weir_fiber, sibling)->shard,
                         "weir_spawn");
}

int weir_fiber_spawn(struct weir_shard *shard, struct weir_scope *scope, void (*fn)(void *arg),
                     void *arg, const char *name, const char *site, struct weir_fiber **out)
{
    struct weir_fiber *fiber;
    char *stack;

    scope_check(scope);
    if (scope->cancelled)
        return -ECANCELED;
    if (shard->stats.fibers >= shard->fibers_max || (scope->max && scope->count >= scope->max))
        return -EAGAIN;
    stack = weir_stack_get(&shard->stacks);
    if (!stack)
        return -ENOMEM;
    fiber = (void *)(stack + shard->stacks.size - ((sizeof *fiber + 63) & ~(size_t)63));
    *fiber = (struct weir_fiber){ .shard = shard,
                                  .fn = fn,
                                  .arg = arg,
                                  .scope = scope,
                                  .name = name,
                                  .site = site,
                                  .stack = stack };
    weir_context_init(&fiber->context, stack, (size_t)((char *)fiber - stack), fiber_main, fiber);
    weir_alarm_init(&fiber->deadline, fiber_deadline);
    weir_list_push(&scope->fibers, &fiber->sibling);
    scope->count++;
    weir_list_push(&shard->fibers, &fiber->all);
    shard->stats.fibers++;
    shard->stats.fibers_spawned++;
    fiber->since = shard->now;
    fiber_ready(fiber);
    if (out)
        *out = fiber;
    return 0;
}

int weir_spawn_at(struct weir_scope *scope, void (*fn)(void *arg), void *arg, const char *name,
                  const char *site)
{
    return weir_fiber_spawn(weir_shard_here("weir_spawn"), scope, fn, arg, name, site, NULL);
}

void weir_yield(void)
{
    struct weir_fiber *fiber = weir_fiber_here("weir_yield");

    weir_list_push(&fiber->shard->yielded, &fiber->link);
    fiber_suspend(fiber, false);
}

bool weir_cancelled(void)
{
    return weir_fiber_here("weir_cancelled")->cancelled;
}

void weir_fiber_name(const char *name)
{
    weir_fiber_here("weir_fiber_name")->name = name;
}
