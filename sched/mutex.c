/* mutex.c - a semaphore of one unit that knows its owner. */
#include <weir/sync.h>
#include "sched/fiber.h"
#include "sched/waiters.h"

void weir_mutex_init(struct weir_mutex *mutex)
{
    weir_sem_init(&mutex->sem, 1);
    mutex->owner = NULL;
}

static void mutex_not_mine(const struct weir_mutex *mutex, const struct weir_fiber *fiber)
{
    if (mutex->owner == fiber)
        weir_panic("weir_mutex_lock: fiber '%s' has locked this mutex already; it is not recursive",
                   fiber->name);
}

int weir_mutex_lock(struct weir_mutex *mutex, weir_time deadline)
{
    struct weir_fiber *fiber = weir_fiber_here("weir_mutex_lock");
    int error;

    weir_home_check(&mutex->sem.home, "weir_mutex_lock");
    mutex_not_mine(mutex, fiber);
    error = weir_sem_wait(&mutex->sem, 1, deadline);
    if (error == 0)
        mutex->owner = fiber;
    return error;
}

bool weir_mutex_try(struct weir_mutex *mutex)
{
    struct weir_fiber *fiber = weir_fiber_here("weir_mutex_try");

    weir_home_check(&mutex->sem.home, "weir_mutex_try");
    if (!weir_sem_try(&mutex->sem, 1))
        return false;
    mutex->owner = fiber;
    return true;
}

void weir_mutex_unlock(struct weir_mutex *mutex)
{
    struct weir_fiber *fiber = weir_fiber_here("weir_mutex_unlock");

    weir_home_check(&mutex->sem.home, "weir_mutex_unlock");
    if (mutex->owner != fiber)
        weir_panic("weir_mutex_unlock: fiber '%s' has not locked this mutex", fiber->name);
    mutex->owner = NULL;
    weir_sem_post(&mutex->sem, 1);
}
