/* event.h - what fibers of a shard wait for together: notify, event, barrier, once.
 *
 *     notify    something may have changed: look again     wakes one or all, remembers one call
 *     event     a flag: the server is ready                wakes all, until it is cleared
 *     barrier   n fibers have come this far                wakes n at a time
 *     once      the first who needs it makes it            the others wait for the result
 *
 * Each belongs to the shard that uses it first after its init; use on another ends the program.
 * What a waiter was given at the moment it was cancelled is its own: the wait returns that and not
 * the error.  -ETIMEDOUT and -ECANCELED leave no trace.  A deadline in the past yields what is
 * there. */
#ifndef WEIR_EVENT_H
#define WEIR_EVENT_H

#include <weir/sync.h>

WEIR_BEGIN

/* One wait for a notify or an event, for those who wait for several things at a time. */
struct weir_wait {
    struct weir_future future;
    struct weir_link link;
};

/* --- notify: carries no data, tells to look again --- */

/* Fields are weir's own, here and below. */
struct weir_notify {
    struct weir_link waiters;
    struct weir_shard *home;
    bool permit;
};

WEIR_API void weir_notify_init(struct weir_notify *notify);

/* Ends the wait of the one that has waited longest.  When nobody waits, the next wait will end at
 * once; that is remembered for one wait, however often this is called.  Never suspends, callable
 * from callbacks; so is the next. */
WEIR_API void weir_notify_one(struct weir_notify *notify);

/* Ends the wait of all who wait now.  Remembers nothing, and leaves what is remembered. */
WEIR_API void weir_notify_all(struct weir_notify *notify);

/* Waits to be notified.  0, -ETIMEDOUT or -ECANCELED.  A waiter that gave up is not there any more:
 * the next notification goes to the one behind it. */
WEIR_API int weir_notify_wait(struct weir_notify *notify, weir_time deadline);

/* The future form: wait->future completes with 0.  One that lost a weir_race and is 0 all the same
 * has taken a notification: hand it on with weir_notify_one. */
WEIR_API void weir_notify_start(struct weir_wait *wait, struct weir_notify *notify);

/* --- event: a flag, set until it is cleared --- */

struct weir_event {
    struct weir_link waiters;
    struct weir_shard *home;
    bool set;
};

/* Not set. */
WEIR_API void weir_event_init(struct weir_event *event);

/* Ends the wait of all.  They go on also if it is cleared again before they run.  Never suspends,
 * callable from callbacks; so are the next two. */
WEIR_API void weir_event_set(struct weir_event *event);
WEIR_API void weir_event_clear(struct weir_event *event);
WEIR_API bool weir_event_is_set(const struct weir_event *event);

/* Waits until it is set, or was set meanwhile.  0, -ETIMEDOUT or -ECANCELED. */
WEIR_API int weir_event_wait(struct weir_event *event, weir_time deadline);

/* The future form: wait->future completes with 0. */
WEIR_API void weir_event_start(struct weir_wait *wait, struct weir_event *event);

/* --- barrier: n at a time --- */

struct weir_barrier {
    struct weir_link waiters;
    struct weir_shard *home;
    uint32_t need, waiting;
};

/* For `n` fibers at a time; 0 counts as 1. */
WEIR_API void weir_barrier_init(struct weir_barrier *barrier, uint32_t n);

/* Waits until n have come.  1 for one of them, the leader: the last to come, which does not wait; 0
 * for the others; -ETIMEDOUT or -ECANCELED: this one is not counted any more, and another has to
 * come in its place.  The next n may come at once. */
WEIR_API int weir_barrier_wait(struct weir_barrier *barrier, weir_time deadline);

/* --- once: the first makes it, all have it --- */

struct weir_once {
    struct weir_sem sem;
    struct weir_fiber *runner;
    int64_t result;
};

WEIR_API void weir_once_init(struct weir_once *once);

/* The result of the one call of `fn` that succeeded (>= 0); it is made here if nobody has yet.
 *
 * While another fiber runs its `fn`, waits for that: -ETIMEDOUT or -ECANCELED then.  When that one
 * fails (< 0), its own caller gets the error and the one that has waited longest runs its own `fn`.
 * `fn` runs in the caller's fiber, may suspend, and is not bound by `deadline`; in a fiber that is
 * cancelled its awaits fail, and so it will and another takes over.  It must not call the same
 * once. */
WEIR_API int64_t weir_once_call(struct weir_once *once, int64_t (*fn)(void *arg), void *arg,
                                weir_time deadline);

/* Whether there is a result; it is in *result then, which may be NULL.  Never suspends. */
WEIR_API bool weir_once_get(const struct weir_once *once, int64_t *result);

WEIR_END

#endif
