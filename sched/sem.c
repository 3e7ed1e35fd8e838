/* sem.c - counting semaphore for the fibers of one shard.
 *
 * Units go to the waiters strictly in order: a big request at the head holds back smaller ones
 * behind it, so nobody starves.
 *
 * Invariant: while anybody waits, the first waiter needs more than sem->count. */
#include <errno.h>
#include <weir/sync.h>
#include "core/list.h"

/* One waiting fiber; lives in that fiber's frame until `granted` is done. */
struct sem_waiter {
    struct weir_future granted;
    struct weir_link link;
    struct weir_sem *sem;
    int64_t need;
};

static void sem_grant(struct weir_sem *sem)
{
    while (!weir_list_empty(&sem->waiters)) {
        struct sem_waiter *w = weir_container_of(sem->waiters.next, struct sem_waiter, link);

        if (w->need > sem->count)
            break;
        sem->count -= w->need;
        weir_list_del(&w->link);
        weir_future_set(&w->granted, 0);
    }
    weir_assert(sem->count >= 0);
}

static void sem_waiter_cancel(struct weir_future *granted)
{
    struct sem_waiter *w = weir_container_of(granted, struct sem_waiter, granted);
    struct weir_sem *sem = w->sem;

    weir_list_del(&w->link);
    weir_future_set(granted, -ECANCELED);
    sem_grant(sem); /* those behind it may fit now */
}

void weir_sem_init(struct weir_sem *sem, int64_t count)
{
    weir_assert(count >= 0);
    weir_list_init(&sem->waiters);
    sem->count = count;
}

bool weir_sem_try(struct weir_sem *sem, int64_t n)
{
    weir_assert(n > 0);
    if (!weir_list_empty(&sem->waiters) || sem->count < n)
        return false;
    sem->count -= n;
    return true;
}

int weir_sem_wait(struct weir_sem *sem, int64_t n, weir_time deadline)
{
    struct sem_waiter w = { .sem = sem, .need = n };

    weir_future_init(&w.granted, sem_waiter_cancel);
    if (weir_sem_try(sem, n))
        weir_future_set(&w.granted, 0);
    else
        weir_list_push(&sem->waiters, &w.link);
    return (int)weir_await(&w.granted, deadline);
}

void weir_sem_post(struct weir_sem *sem, int64_t n)
{
    weir_assert(n > 0);
    sem->count += n;
    sem_grant(sem);
}
