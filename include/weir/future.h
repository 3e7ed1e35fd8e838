/* future.h - the one primitive of weir: a result that is not there yet.
 *
 * A future is a small struct embedded in whatever needs the result: a local variable of a fiber, a
 * connection, a call.  It is never allocated and belongs to one shard.  A producer completes it
 * exactly once with weir_future_set(); a consumer waits for that with weir_await() in a fiber, or
 * attaches a callback with weir_future_on_done() and needs no stack.
 *
 * Cancelling is a request, completion the only end: after weir_future_cancel() the future, and the
 * memory its operation uses, still belong to the producer until it is done.  weir_await() keeps
 * that promise by itself: it returns only when the future is done, whatever the deadline, so an
 * operation and its buffer may live in the frame that awaits them.  A result that beat the cancel
 * is returned, never lost.
 *
 * Nothing here may be called from outside a shard, and none of it from a signal handler. */
#ifndef WEIR_FUTURE_H
#define WEIR_FUTURE_H

#include <weir/base.h>

WEIR_BEGIN

struct weir_fiber;

struct weir_future {
    int64_t result; /* >= 0: success (a count, 0); < 0: a negated errno.  Valid once done */
    void (*on_done)(struct weir_future *future);
    void (*cancel)(struct weir_future *future); /* how the producer withdraws; NULL: it cannot */
    struct weir_fiber *waiter;                  /* the fiber in weir_await*, or NULL */
    bool done;
    bool cancelled; /* cancel was requested (once) */
};

/* Producer.  Makes the future pending.  `cancel` is called at most once, never after the future is
 * done, from the shard that owns it; it must lead to weir_future_set() sooner or later, at once or
 * from a later turn. */
WEIR_API void weir_future_init(struct weir_future *future, void (*cancel)(struct weir_future *));

/* Producer.  Completes the future: makes the waiting fiber runnable, or calls on_done from within
 * this call.  The future may be gone when this returns. */
WEIR_API void weir_future_set(struct weir_future *future, int64_t result);

/* Consumer.  Attaches a callback.  Returns false when the future is done already: the callback is
 * not called then, and the caller goes on with future->result itself (so that a chain of ready
 * results is a loop and not a recursion). */
WEIR_API bool weir_future_on_done(struct weir_future *future, void (*fn)(struct weir_future *));

/* Asks the producer to complete the future early, with -ECANCELED unless the result is there
 * first.  Does nothing when the future is done or was asked before.  Never suspends. */
WEIR_API void weir_future_cancel(struct weir_future *future);

/* Suspends the fiber until the future is done and returns its result.
 *
 * At the deadline, or when the fiber is cancelled, the future is cancelled and waited for; the
 * return value is then -ETIMEDOUT (deadline) or -ECANCELED (cancel), unless the result came first.
 * A deadline in the past makes this a poll: it still yields the result that is already there.
 * A ready future does not suspend, but costs one unit of the fiber's budget (weir_yield). */
WEIR_API int64_t weir_await(struct weir_future *future, weir_time deadline);

/* Waits for all of them.  Returns 0 when every future is done; their results are in them.  At the
 * deadline or on cancel all pending ones are cancelled and waited for: -ETIMEDOUT or -ECANCELED
 * then, if any of them had to be cancelled. */
WEIR_API int weir_await_all_of(struct weir_future *const *futures, size_t count,
                               weir_time deadline);

/* Waits for the first of them and returns its index; the lowest one, if several are done.  The
 * others stay pending and the caller still has to await or weir_future_cancel() and await them
 * (weir_race_of does that).  At the deadline or on cancel: all are cancelled and waited for, and
 * the return value is the index of one that completed all the same, else -ETIMEDOUT or
 * -ECANCELED. */
WEIR_API int weir_await_any_of(struct weir_future *const *futures, size_t count,
                               weir_time deadline);

/* Like weir_await_any_of, but the losers are cancelled and waited for before it returns. */
WEIR_API int weir_race_of(struct weir_future *const *futures, size_t count, weir_time deadline);

/* The same with the futures spelled out: weir_await_any(WEIR_NEVER, &rx.future, &tick.future). */
#define WEIR_FUTURES_(...)                        \
    (struct weir_future *const[]){ __VA_ARGS__ }, \
        sizeof((struct weir_future *const[]){ __VA_ARGS__ }) / sizeof(struct weir_future *)
#define weir_await_all(deadline, ...) weir_await_all_of(WEIR_FUTURES_(__VA_ARGS__), deadline)
#define weir_await_any(deadline, ...) weir_await_any_of(WEIR_FUTURES_(__VA_ARGS__), deadline)
#define weir_race(deadline, ...) weir_race_of(WEIR_FUTURES_(__VA_ARGS__), deadline)

WEIR_END

#endif
