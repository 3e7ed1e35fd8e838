/* barrier.c - n fibers at a time go on together.
 *
 * The last to come takes the whole list along, so that the next round begins with an empty one
 * whenever its first fiber comes.
 *
 * Invariant: `waiting` is the length of the list, and below `need`. */
#include <errno.h>
#include "sched/waiters.h"

/* Lives in its fiber's frame. */
struct barrier_waiter {
    struct weir_future passed;
    struct weir_link link;
    struct weir_barrier *barrier;
};

static void barrier_waiter_cancel(struct weir_future *passed)
{
    struct barrier_waiter *w = weir_container_of(passed, struct barrier_waiter, passed);

    weir_list_del(&w->link);
    w->barrier->waiting--;
    weir_future_set(passed, -ECANCELED);
}

/* Only fibers wait here, and they run later. */
static void barrier_open(struct weir_barrier *barrier)
{
    struct weir_link *link;

    barrier->waiting = 0;
    while ((link = weir_list_pop(&barrier->waiters)) != NULL)
        weir_future_set(&weir_container_of(link, struct barrier_waiter, link)->passed, 0);
}

void weir_barrier_init(struct weir_barrier *barrier, uint32_t n)
{
    *barrier = (struct weir_barrier){ .need = n ? n : 1 };
    weir_list_init(&barrier->waiters);
}

int weir_barrier_wait(struct weir_barrier *barrier, weir_time deadline)
{
    struct barrier_waiter w = { .barrier = barrier };

    weir_home_check(&barrier->home, "weir_barrier_wait");
    weir_future_init(&w.passed, barrier_waiter_cancel);
    if (barrier->waiting + 1 == barrier->need) {
        barrier_open(barrier);
        weir_future_set(&w.passed, 1);
    } else {
        barrier->waiting++;
        weir_list_push(&barrier->waiters, &w.link);
    }
    return (int)weir_await(&w.passed, deadline);
}
