/* sync.h - semaphore and mutex between the fibers of one shard.
 *
 * Data that is touched only between two awaits needs neither.  They are for what must stay as it is
 * across an await: at most n requests to a back end, one writer on a connection. */
#ifndef WEIR_SYNC_H
#define WEIR_SYNC_H

#include <weir/future.h>

WEIR_BEGIN

struct weir_sem {
    struct weir_link waiters;
    int64_t count;
};

WEIR_API void weir_sem_init(struct weir_sem *sem, int64_t count);

/* Takes n units, strictly in order of asking.  0, -ETIMEDOUT or -ECANCELED; no unit is taken then.
 */
WEIR_API int weir_sem_wait(struct weir_sem *sem, int64_t n, weir_time deadline);

/* Takes n units if nobody waits and they are there. */
WEIR_API bool weir_sem_try(struct weir_sem *sem, int64_t n);

/* Gives n units back.  Never suspends; callable from callbacks. */
WEIR_API void weir_sem_post(struct weir_sem *sem, int64_t n);

/* A semaphore of one unit that knows its owner: not recursive, unlocked by the fiber that locked.
 */
struct weir_mutex {
    struct weir_sem sem;
    struct weir_fiber *owner;
};

WEIR_API void weir_mutex_init(struct weir_mutex *mutex);
WEIR_API int weir_mutex_lock(struct weir_mutex *mutex, weir_time deadline);
WEIR_API bool weir_mutex_try(struct weir_mutex *mutex);
WEIR_API void weir_mutex_unlock(struct weir_mutex *mutex);

WEIR_END

#endif
