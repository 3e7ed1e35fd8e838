/* sync.h - semaphore, mutex, read-write lock and condition variable between the fibers of a shard.
 *
 * Data that is touched only between two awaits needs none of them.  They are for what must stay as
 * it is across an await: at most n requests to a back end, one writer on a connection.
 *
 * Each belongs to the shard that uses it first after its init; use on another ends the program.
 * All serve strictly in order of asking.  What was given to a waiter at the moment it was cancelled
 * is its own: the wait returns 0 then.  -ETIMEDOUT and -ECANCELED leave no trace.  A deadline in
 * the past makes a wait a try. */
#ifndef WEIR_SYNC_H
#define WEIR_SYNC_H

#include <weir/future.h>

WEIR_BEGIN

/* Fields are weir's own, here and below. */
struct weir_sem {
    struct weir_link waiters;
    int64_t count;
    struct weir_shard *home;
    bool closed;
};

/* `count` units (>= 0) to begin with. */
WEIR_API void weir_sem_init(struct weir_sem *sem, int64_t count);

/* Takes n units (> 0), strictly in order of asking: a big request at the head holds back smaller
 * ones behind it.  0; -ETIMEDOUT, -ECANCELED, or -EPIPE when the semaphore is closed: no unit is
 * taken then. */
WEIR_API int weir_sem_wait(struct weir_sem *sem, int64_t n, weir_time deadline);

/* Takes n units if nobody waits, they are there and the semaphore is not closed.  Never suspends,
 * callable from callbacks; so are all below. */
WEIR_API bool weir_sem_try(struct weir_sem *sem, int64_t n);

/* Gives n units (> 0) back; also to a closed one. */
WEIR_API void weir_sem_post(struct weir_sem *sem, int64_t n);

/* From now on nobody gets units: who waits, and who asks later, gets -EPIPE, also where there would
 * be enough.  Closing again does nothing. */
WEIR_API void weir_sem_close(struct weir_sem *sem);
WEIR_API bool weir_sem_is_closed(const struct weir_sem *sem);

/* The units that nobody has.  While somebody waits these are too few for the first. */
WEIR_API int64_t weir_sem_available(const struct weir_sem *sem);

/* The future form: wait->future completes with 0 (the units are taken) or -EPIPE.  One that lost a
 * weir_race and is 0 all the same has its units: post them. */
struct weir_sem_wait {
    struct weir_future future;
    struct weir_link link;
    struct weir_sem *sem;
    int64_t need;
};

WEIR_API void weir_sem_start(struct weir_sem_wait *wait, struct weir_sem *sem, int64_t n);

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

/* Many readers or one writer.  A writer that waits holds back the readers that ask after it, so
 * neither starves the other.  Hence a fiber that reads must not ask to read again: with a writer in
 * between it would wait for itself. */
struct weir_rwlock {
    struct weir_sem sem;
    struct weir_fiber *writer;
    uint32_t readers;
};

#define WEIR_RWLOCK_READERS_MAX (1 << 29) /* at a time; one more waits */

WEIR_API void weir_rwlock_init(struct weir_rwlock *lock);

/* 0, -ETIMEDOUT or -ECANCELED. */
WEIR_API int weir_rwlock_read_lock(struct weir_rwlock *lock, weir_time deadline);
WEIR_API int weir_rwlock_write_lock(struct weir_rwlock *lock, weir_time deadline);

/* If it can be had at once: for reading, no writer has it or waits for it. */
WEIR_API bool weir_rwlock_read_try(struct weir_rwlock *lock);
WEIR_API bool weir_rwlock_write_try(struct weir_rwlock *lock);

/* A read lock may be given back by another fiber than the one that took it. */
WEIR_API void weir_rwlock_read_unlock(struct weir_rwlock *lock);
WEIR_API void weir_rwlock_write_unlock(struct weir_rwlock *lock);

/* The writer becomes a reader, with no writer in between.  The readers that wait go on, up to the
 * first writer that waits. */
WEIR_API void weir_rwlock_downgrade(struct weir_rwlock *lock);

/* Fibers that wait, without the mutex, for somebody to have changed what it guards:
 *
 *     while (!condition && error == 0)
 *         error = weir_cond_wait(&cond, &mutex, deadline);
 *
 * A signal goes to one that waits now; with nobody waiting it does nothing. */
struct weir_cond {
    struct weir_link waiters;
    struct weir_shard *home;
};

WEIR_API void weir_cond_init(struct weir_cond *cond);

/* Gives the caller's mutex up, waits for a signal, and has the mutex again when it returns, on an
 * error too: it is waited for without a deadline and in spite of a cancel.  0: signalled, also when
 * the deadline or a cancel came after the signal; -ETIMEDOUT, -ECANCELED: not signalled, so that
 * the signal is still there for others.  Wakes for no other reason. */
WEIR_API int weir_cond_wait(struct weir_cond *cond, struct weir_mutex *mutex, weir_time deadline);

/* Ends the wait of the one that has waited longest, or of all, in that order: they queue up for the
 * mutex at once.  The caller need not have the mutex; callable from callbacks. */
WEIR_API void weir_cond_signal(struct weir_cond *cond);
WEIR_API void weir_cond_broadcast(struct weir_cond *cond);

WEIR_END

#endif
