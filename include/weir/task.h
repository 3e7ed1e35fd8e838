/* task.h - fibers with a result: spawn, join, abort; on this shard or on any.
 *
 * A task is a fiber whose function returns a result, and the handle to it: a struct in the caller's
 * memory, which must stay until the task is over.  It holds a future, so whatever takes futures
 * takes tasks: weir_await_all, weir_race, a callback.  Nothing is detached unseen: what only its
 * scope waits for is a plain weir_spawn.
 *
 * A handle, and a set, belong to the shard that started it; use on another ends the program. */
#ifndef WEIR_TASK_H
#define WEIR_TASK_H

#include <weir/fiber.h>
#include <weir/shard.h>

WEIR_BEGIN

struct weir_task_set;

/* Fields are weir's own but for the two that say so. */
struct weir_task {
    struct weir_future future; /* done when the task is over; its result is that of fn */
    bool began; /* fn was called; else `arg` is still its owner's.  Once it is over */
    int64_t (*fn)(void *arg);
    void *arg;
    const char *name, *site;
    struct weir_fiber *fiber; /* that runs it; NULL: not yet, or no more */
    struct weir_task_set *set;
    struct weir_link link; /* in the set */
    struct weir_shard *home;

    /* Of one that may run anywhere. */
    struct weir_shard *runner;
    uint32_t state, slot;
    bool arrived, abort_out;
    int64_t result;
    struct weir_mail mail;
    struct weir_call abort;
};

/* Runs fn(arg) in a fiber of `scope`; NULL: of the shard's root scope, which ends with the shard.
 * 0, or as weir_spawn.  On an error fn is not called, and the task is over with that error: joining
 * it needs no special case. */
#define weir_task_start(task, scope, fn, arg) \
    weir_task_start_at(task, scope, fn, arg, #fn, WEIR_HERE)
WEIR_API int weir_task_start_at(struct weir_task *task, struct weir_scope *scope,
                                int64_t (*fn)(void *arg), void *arg, const char *name,
                                const char *site);

/* The same on whichever shard has time for it, in the root scope of that one: fn and arg must not
 * care where they are, and no lock of one shard protects them.  A shard with nothing to do takes
 * over what was not begun; what has begun stays where it is (a fiber never moves).  At most
 * WEIR_ANY_QUEUE tasks of a shard wait for others; beyond that, and where there is one shard only,
 * they begin at home. */
enum { WEIR_ANY_QUEUE = 256 };
#define weir_spawn_any(task, fn, arg) weir_spawn_any_at(task, fn, arg, #fn, WEIR_HERE)
WEIR_API int weir_spawn_any_at(struct weir_task *task, int64_t (*fn)(void *arg), void *arg,
                               const char *name, const char *site);

/* Waits for the end and returns the result.  At the deadline, or when the joiner is cancelled, the
 * task is aborted and waited for all the same: -ETIMEDOUT or -ECANCELED then, unless it had a
 * result.  To wait without aborting, use a set.  Joining twice gives the same twice. */
WEIR_API int64_t weir_task_join(struct weir_task *task, weir_time deadline);

WEIR_API bool weir_task_finished(const struct weir_task *task);

/* Asks the task to end.  Not begun: fn is not called, and the result is -ECANCELED.  Begun: each of
 * its awaits returns -ECANCELED from here on, and so will the join, if fn returns an error; if it
 * returns a result (>= 0) all the same, that is not lost.  Over: nothing.  Never suspends. */
WEIR_API void weir_task_abort(struct weir_task *task);

/* What was spawned, for reports. */
WEIR_API const char *weir_task_name(const struct weir_task *task);

/* fn(arg) within a time limit: runs it in a fiber of its own and returns its result; -ETIMEDOUT
 * when it was cancelled at the deadline (and has ended), -ECANCELED when the caller was.  With a
 * deadline in the past fn is not called. */
WEIR_API int64_t weir_timeout(weir_time deadline, int64_t (*fn)(void *arg), void *arg);

/* --- sets: tasks in the order in which they end --- */

/* Must be empty before it goes out of sight.  Fields are weir's own. */
struct weir_task_set {
    struct weir_link running, finished;
    struct weir_future next;
    struct weir_shard *home;
    uint32_t count; /* running and finished */
    bool waiting;
};

WEIR_API void weir_task_set_init(struct weir_task_set *set);

/* A task that was started, which nobody else joins: over or not, it is in the set until
 * weir_task_set_next hands it out. */
WEIR_API void weir_task_set_add(struct weir_task_set *set, struct weir_task *task);

/* Tasks in the set. */
WEIR_API uint32_t weir_task_set_count(const struct weir_task_set *set);

/* Takes out the one that has ended first, and waits if there is none: 1 and *task; 0: the set is
 * empty; -ETIMEDOUT, -ECANCELED: nothing has happened to the set or its tasks.  One fiber at a time
 * may wait. */
WEIR_API int weir_task_set_next(struct weir_task_set *set, struct weir_task **task,
                                weir_time deadline);

/* Aborts all that are not over.  They stay in the set. */
WEIR_API void weir_task_set_abort(struct weir_task_set *set);

/* Waits until all are over and takes them out; each has its result.  At the deadline, or when the
 * caller is cancelled, they are aborted and waited for: -ETIMEDOUT or -ECANCELED then, else 0. */
WEIR_API int weir_task_set_join(struct weir_task_set *set, weir_time deadline);

WEIR_END

#endif
