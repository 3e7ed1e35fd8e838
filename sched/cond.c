/* cond.c - fibers that wait without their mutex, and get it back whatever ends the wait.
 *
 * A signal does not wake the fiber to lock the mutex by itself: it moves the waiter to the mutex's
 * queue, and the fiber runs when it has both.  So waiters get the mutex in the order they were
 * signalled, nobody wakes for nothing, and a deadline or cancel, which does the same with its error
 * noted, cannot end the wait for the mutex. */
#include <errno.h>
#include "sched/fiber.h"
#include "sched/waiters.h"

/* Lives in its fiber's frame. */
struct cond_waiter {
    struct weir_future locked; /* done when the mutex is ours again */
    struct weir_link link;     /* in cond->waiters; in no list once it queues for the mutex */
    struct weir_sem_wait lock;
    struct weir_mutex *mutex;
    int outcome; /* what ended it; known when `lock` is started */
};

static void cond_locked(struct weir_future *future)
{
    struct cond_waiter *w = weir_container_of(future, struct cond_waiter, lock.future);

    weir_future_set(&w->locked, w->outcome);
}

static void cond_queue(struct cond_waiter *w, int outcome)
{
    weir_list_del(&w->link);
    w->outcome = outcome;
    weir_sem_start(&w->lock, &w->mutex->sem, 1);
    if (!weir_future_on_done(&w->lock.future, cond_locked))
        cond_locked(&w->lock.future);
}

/* One that was signalled has nothing to withdraw any more. */
static void cond_waiter_cancel(struct weir_future *locked)
{
    struct cond_waiter *w = weir_container_of(locked, struct cond_waiter, locked);

    if (!weir_list_empty(&w->link))
        cond_queue(w, -ECANCELED);
}

void weir_cond_init(struct weir_cond *cond)
{
    *cond = (struct weir_cond){ .home = NULL };
    weir_list_init(&cond->waiters);
}

int weir_cond_wait(struct weir_cond *cond, struct weir_mutex *mutex, weir_time deadline)
{
    struct weir_fiber *fiber = weir_fiber_here("weir_cond_wait");
    struct cond_waiter w = { .mutex = mutex };
    int error;

    weir_home_check(&cond->home, "weir_cond_wait");
    if (mutex->owner != fiber)
        weir_panic("weir_cond_wait: fiber '%s' has not locked this mutex; lock it, look at what it "
                   "guards, and wait if that is not as it should be",
                   fiber->name);
    weir_future_init(&w.locked, cond_waiter_cancel);
    weir_list_push(&cond->waiters, &w.link);
    weir_mutex_unlock(mutex);
    error = (int)weir_await(&w.locked, deadline);
    mutex->owner = fiber;
    return error;
}

static bool cond_signal(struct weir_cond *cond)
{
    if (weir_list_empty(&cond->waiters))
        return false;
    cond_queue(weir_container_of(cond->waiters.next, struct cond_waiter, link), 0);
    return true;
}

void weir_cond_signal(struct weir_cond *cond)
{
    weir_home_check(&cond->home, "weir_cond_signal");
    cond_signal(cond);
}

/* Nobody joins the list meanwhile: those who are told run later. */
void weir_cond_broadcast(struct weir_cond *cond)
{
    weir_home_check(&cond->home, "weir_cond_broadcast");
    while (cond_signal(cond))
        ;
}
