/* sem.c - counting semaphore for the fibers of one shard.
 *
 * Units go to the waiters strictly in order: a big request at the head holds back smaller ones
 * behind it, so nobody starves.
 *
 * Invariant: while anybody waits, the first waiter needs more than sem->count, and it is open. */
#include <errno.h>
#include <weir/sync.h>
#include "sched/waiters.h"

static struct weir_sem_wait *sem_first(const struct weir_sem *sem)
{
    return weir_container_of(sem->waiters.next, struct weir_sem_wait, link);
}

/* The waiter, which may be gone when this returns, has its answer. */
static void sem_answer(struct weir_sem_wait *w, int64_t result)
{
    weir_list_del(&w->link);
    weir_future_set(&w->future, result);
}

static void sem_grant(struct weir_sem *sem)
{
    while (!weir_list_empty(&sem->waiters) && sem_first(sem)->need <= sem->count) {
        sem->count -= sem_first(sem)->need;
        weir_assert(sem->count >= 0);
        sem_answer(sem_first(sem), 0);
    }
}

static void sem_wait_cancel(struct weir_future *future)
{
    struct weir_sem_wait *w = weir_container_of(future, struct weir_sem_wait, future);
    struct weir_sem *sem = w->sem;

    sem_answer(w, -ECANCELED);
    sem_grant(sem); /* those behind it may fit now */
}

void weir_sem_init(struct weir_sem *sem, int64_t count)
{
    weir_assert(count >= 0);
    *sem = (struct weir_sem){ .count = count };
    weir_list_init(&sem->waiters);
}

static bool sem_take(struct weir_sem *sem, int64_t n)
{
    weir_assert(n > 0);
    if (sem->closed || !weir_list_empty(&sem->waiters) || sem->count < n)
        return false;
    sem->count -= n;
    return true;
}

bool weir_sem_try(struct weir_sem *sem, int64_t n)
{
    weir_home_check(&sem->home, "weir_sem_try");
    return sem_take(sem, n);
}

void weir_sem_start(struct weir_sem_wait *wait, struct weir_sem *sem, int64_t n)
{
    weir_home_check(&sem->home, "weir_sem_wait");
    wait->sem = sem;
    wait->need = n;
    weir_future_init(&wait->future, sem_wait_cancel);
    if (sem_take(sem, n))
        weir_future_set(&wait->future, 0);
    else if (sem->closed)
        weir_future_set(&wait->future, -EPIPE);
    else
        weir_list_push(&sem->waiters, &wait->link);
}

int weir_sem_wait(struct weir_sem *sem, int64_t n, weir_time deadline)
{
    struct weir_sem_wait wait;

    weir_sem_start(&wait, sem, n);
    return (int)weir_await(&wait.future, deadline);
}

void weir_sem_post(struct weir_sem *sem, int64_t n)
{
    weir_home_check(&sem->home, "weir_sem_post");
    weir_assert(n > 0);
    if (__builtin_add_overflow(sem->count, n, &sem->count))
        weir_panic("weir_sem_post: more units are given back than an int64_t can count");
    sem_grant(sem);
}

void weir_sem_close(struct weir_sem *sem)
{
    weir_home_check(&sem->home, "weir_sem_close");
    sem->closed = true;
    while (!weir_list_empty(&sem->waiters))
        sem_answer(sem_first(sem), -EPIPE);
}

bool weir_sem_is_closed(const struct weir_sem *sem)
{
    weir_home_look(sem->home, "weir_sem_is_closed");
    return sem->closed;
}

int64_t weir_sem_available(const struct weir_sem *sem)
{
    weir_home_look(sem->home, "weir_sem_available");
    return sem->count;
}
