/* scope.c - scopes: the fibers somebody will wait for.
 *
 * Cancelling a scope reaches fibers that join scopes of their own, and so on down.  That walk is a
 * queue and not a recursion: nesting may be deep, and the stack it runs on is a fiber's.
 *
 * Invariant: scope->count is the length of scope->fibers; `joining` only while `empty` is pending.
 */
#include <errno.h>
#include <weir/fiber.h>
#include "sched/fiber.h"

void weir_scope_init(struct weir_scope *scope)
{
    *scope = (struct weir_scope){ 0 };
    weir_list_init(&scope->fibers);
    weir_list_init(&scope->cancel);
}

void weir_scope_limit(struct weir_scope *scope, uint32_t max)
{
    scope->max = max;
}

static void scope_cancel_children(struct weir_scope *scope)
{
    /* A cancelled fiber is made runnable at most; none leaves the list before it has run. */
    for (struct weir_link *link = scope->fibers.next; link != &scope->fibers; link = link->next)
        weir_fiber_cancel(weir_container_of(link, struct weir_fiber, sibling));
}

void weir_scope_cancel(struct weir_scope *scope)
{
    struct weir_shard *shard = weir_shard_here("weir_scope_cancel");
    struct weir_link *link;

    if (scope->cancelled)
        return;
    scope->cancelled = true;
    weir_list_push(&shard->cancelling, &scope->cancel);
    if (shard->cancelling_now)
        return; /* a scope further up is at it, and will come to this one */
    shard->cancelling_now = true;
    while ((link = weir_list_pop(&shard->cancelling)) != NULL)
        scope_cancel_children(weir_container_of(link, struct weir_scope, cancel));
    shard->cancelling_now = false;
}

/* The joiner's deadline or cancel becomes the children's; the last of them completes `empty`. */
static void scope_join_cancel(struct weir_future *empty)
{
    weir_scope_cancel(weir_container_of(empty, struct weir_scope, empty));
}

int weir_scope_join(struct weir_scope *scope, weir_time deadline)
{
    int result = 0;

    weir_fiber_here("weir_scope_join");
    weir_assert(!scope->joining);
    if (scope->count > 0) {
        weir_future_init(&scope->empty, scope_join_cancel);
        scope->joining = true;
        result = (int)weir_await(&scope->empty, deadline);
    }
    scope->cancelled = false;
    return result;
}
