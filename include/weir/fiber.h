/* fiber.h - fibers and the scopes that own them.
 *
 * A fiber is a function with a stack of its own, run by one shard; it never moves to another.  It
 * gives way to others only where it awaits, so data of the shard needs no lock between awaits.
 * Stacks are small (64 KiB unless configured) and guarded: running over the end stops the program
 * with a message that names the fiber and where it was spawned.  Compile with
 * -fstack-clash-protection, as weir.pc says, or frames above 4 KiB may step over the guard.
 *
 * A scope owns the fibers spawned into it.  It is a local variable of the fiber that joins it, and
 * every scope must be joined before it goes out of sight: nothing outlives its scope unseen. */
#ifndef WEIR_FIBER_H
#define WEIR_FIBER_H

#include <weir/future.h>

WEIR_BEGIN

struct weir_scope {
    struct weir_link fibers;  /* its living children */
    struct weir_future empty; /* what weir_scope_join waits for */
    struct weir_link cancel;  /* while its cancel is being carried out */
    uint32_t count, max;
    bool joining, cancelled;
};

/* Of this shard, in this fiber or its callbacks. */
WEIR_API void weir_scope_init(struct weir_scope *scope);

/* At most `max` living fibers in the scope; 0 (the default): only the shard's own maximum. */
WEIR_API void weir_scope_limit(struct weir_scope *scope, uint32_t max);

/* Starts a fiber in the scope; it first runs when the caller next gives way.  `arg` is handed
 * through.  0, or -EAGAIN: the scope or the shard has its maximum of fibers; -ENOMEM: no memory for
 * a stack; -ECANCELED: the scope was cancelled.  On an error fn is never called, so whoever owned
 * `arg` still does.  Never suspends. */
#define weir_spawn(scope, fn, arg) weir_spawn_at(scope, fn, arg, #fn, WEIR_HERE)
WEIR_API int weir_spawn_at(struct weir_scope *scope, void (*fn)(void *arg), void *arg,
                           const char *name, const char *site);

/* Waits until every child has ended; children may spawn more meanwhile.  At the deadline, or when
 * the joining fiber is cancelled, cancels the children and still waits: -ETIMEDOUT or -ECANCELED
 * then, else 0.  Afterwards the scope may be used again. */
WEIR_API int weir_scope_join(struct weir_scope *scope, weir_time deadline);

/* Asks every child to end, now and those spawned later (they are refused): each await of theirs
 * returns -ECANCELED from here on, unless its result is there already.  Never suspends. */
WEIR_API void weir_scope_cancel(struct weir_scope *scope);

/* Lets the other runnable fibers have a turn, and the network at the end of the quantum: 500 us, or
 * 5 us when all that is runnable has yielded.  Long computations call it now and then; an await
 * that is ready at once does so by itself every 128 times. */
WEIR_API void weir_yield(void);

/* Whether this fiber has been cancelled.  Cancel is sticky: it does not go away. */
WEIR_API bool weir_cancelled(void);

/* Names the running fiber in reports.  The text must outlive the fiber. */
WEIR_API void weir_fiber_name(const char *name);

WEIR_END

#endif
