/* rwlock.c - a semaphore of very many units: a reader takes one, the writer all.
 *
 * The semaphore's order is the lock's: a request for all units at the head holds back the readers
 * behind it.
 *
 * `readers` counts the fibers that have run with their unit: those to whom the semaphore has given
 * one but who are still to run are not in it yet, and cannot give it back yet either. */
#include <weir/sync.h>
#include "sched/fiber.h"
#include "sched/waiters.h"

enum { RWLOCK_ALL = WEIR_RWLOCK_READERS_MAX };

void weir_rwlock_init(struct weir_rwlock *lock)
{
    *lock = (struct weir_rwlock){ .readers = 0 };
    weir_sem_init(&lock->sem, RWLOCK_ALL);
}

/* The caller, who must be at home. */
static struct weir_fiber *rwlock_enter(struct weir_rwlock *lock, const char *call)
{
    struct weir_fiber *fiber = weir_fiber_here(call);

    weir_home_check(&lock->sem.home, call);
    return fiber;
}

static void rwlock_not_mine(const struct weir_rwlock *lock, const struct weir_fiber *fiber,
                            const char *call)
{
    if (lock->writer == fiber)
        weir_panic("%s: fiber '%s' has locked this for writing already and would wait for itself; "
                   "weir_rwlock_downgrade makes it a reader",
                   call, fiber->name);
}

static void rwlock_mine(const struct weir_rwlock *lock, const struct weir_fiber *fiber,
                        const char *call)
{
    if (lock->writer != fiber)
        weir_panic("%s: fiber '%s' has not locked this for writing", call, fiber->name);
}

int weir_rwlock_read_lock(struct weir_rwlock *lock, weir_time deadline)
{
    int error;

    rwlock_not_mine(lock, rwlock_enter(lock, "weir_rwlock_read_lock"), "weir_rwlock_read_lock");
    error = weir_sem_wait(&lock->sem, 1, deadline);
    if (error == 0)
        lock->readers++;
    return error;
}

int weir_rwlock_write_lock(struct weir_rwlock *lock, weir_time deadline)
{
    struct weir_fiber *fiber = rwlock_enter(lock, "weir_rwlock_write_lock");
    int error;

    rwlock_not_mine(lock, fiber, "weir_rwlock_write_lock");
    error = weir_sem_wait(&lock->sem, RWLOCK_ALL, deadline);
    if (error == 0)
        lock->writer = fiber;
    return error;
}

bool weir_rwlock_read_try(struct weir_rwlock *lock)
{
    rwlock_enter(lock, "weir_rwlock_read_try");
    if (!weir_sem_try(&lock->sem, 1))
        return false;
    lock->readers++;
    return true;
}

bool weir_rwlock_write_try(struct weir_rwlock *lock)
{
    struct weir_fiber *fiber = rwlock_enter(lock, "weir_rwlock_write_try");

    if (!weir_sem_try(&lock->sem, RWLOCK_ALL))
        return false;
    lock->writer = fiber;
    return true;
}

void weir_rwlock_read_unlock(struct weir_rwlock *lock)
{
    struct weir_fiber *fiber = rwlock_enter(lock, "weir_rwlock_read_unlock");

    if (lock->readers == 0)
        weir_panic("weir_rwlock_read_unlock: nobody has locked this for reading, fiber '%s' "
                   "neither",
                   fiber->name);
    lock->readers--;
    weir_sem_post(&lock->sem, 1);
}

void weir_rwlock_write_unlock(struct weir_rwlock *lock)
{
    rwlock_mine(lock, rwlock_enter(lock, "weir_rwlock_write_unlock"), "weir_rwlock_write_unlock");
    lock->writer = NULL;
    weir_sem_post(&lock->sem, RWLOCK_ALL);
}

void weir_rwlock_downgrade(struct weir_rwlock *lock)
{
    rwlock_mine(lock, rwlock_enter(lock, "weir_rwlock_downgrade"), "weir_rwlock_downgrade");
    lock->writer = NULL;
    lock->readers++;
    weir_sem_post(&lock->sem, RWLOCK_ALL - 1);
}
