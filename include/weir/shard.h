/* shard.h - the shards of a runtime, and calls from one to another.
 *
 * Shards share nothing.  To use what belongs to another shard, run a function there: the call
 * travels through a lock-free queue, runs, and its result travels back.  A caller's `arg` may live
 * in the caller's frame: the call is over only when it has come home. */
#ifndef WEIR_SHARD_H
#define WEIR_SHARD_H

#include <weir/future.h>

WEIR_BEGIN

WEIR_API unsigned weir_shard_id(void);    /* of the shard this runs on, from 0 */
WEIR_API unsigned weir_shard_count(void); /* shards in this runtime */
WEIR_API bool weir_on_shard(void);        /* whether this thread is running one right now */

/* Runs fn(arg) on shard `to`, in a fiber: it may await.  Returns its result.
 *
 * At most 128 calls are under way from one shard to another; beyond that callers wait in order.  A
 * function that is called may call back, and that one be brief or answer by itself; deeper chains
 * back and forth, 128 of them at once, would wait for each other: give them a deadline.  At
 * the deadline, or when the caller is cancelled, a call that has not left is withdrawn (-ETIMEDOUT,
 * -ECANCELED), and one that has left is cancelled over there like any fiber; its result is awaited
 * all the same.  -EAGAIN or -ENOMEM: no fiber could be had there.  -EINVAL: no such shard. */
WEIR_API int64_t weir_call(unsigned to, int64_t (*fn)(void *arg), void *arg, weir_time deadline);

/* The same for an fn that is brief and does not suspend: it runs on the other shard's loop. */
WEIR_API int64_t weir_call_brief(unsigned to, int64_t (*fn)(void *arg), void *arg,
                                 weir_time deadline);

/* The future form: several calls at once, or from a callback.  Fields are weir's own.  What both
 * shards touch stands together in the second 64 bytes: aligned to 64, one cache line of a call
 * travels out and back. */
struct weir_call {
    struct weir_future future;
    struct weir_link link;         /* while it waits for a credit */
    bool sent, answered;           /* it is in the ring; it has come home */
    bool cancel_waits, cancel_out; /* its cancel: waits for a credit; is under way */

    int64_t (*fn)(void *arg);
    void *arg;
    int64_t result;
    struct weir_fiber *runs; /* on the other shard: the fiber it became */
    uint16_t from, to;
    bool brief;
};

WEIR_API void weir_call_start(struct weir_call *call, unsigned to, int64_t (*fn)(void *arg),
                              void *arg);
WEIR_API void weir_call_brief_start(struct weir_call *call, unsigned to, int64_t (*fn)(void *arg),
                                    void *arg);

/* Starts a fiber on shard `to` that belongs to that shard's root scope (joined when the shard
 * ends).  Suspends until the spawn is acknowledged: 0, or as weir_spawn; -ETIMEDOUT or -ECANCELED
 * when it was withdrawn before it left. */
#define weir_spawn_on(to, fn, arg, deadline) weir_spawn_on_at(to, fn, arg, deadline, #fn, WEIR_HERE)
WEIR_API int weir_spawn_on_at(unsigned to, void (*fn)(void *arg), void *arg, weir_time deadline,
                              const char *name, const char *site);

/* What a shard has done and holds.  Counters since its start, except the three marked. */
struct weir_shard_stats {
    uint64_t turns;        /* of the loop */
    uint64_t sleeps;       /* times it slept */
    uint64_t wakes_sent;   /* sleeping shards it woke */
    uint64_t calls_sent;   /* to other shards */
    uint64_t calls_served; /* for other shards */
    uint64_t fibers_spawned;
    uint64_t fibers;       /* alive now */
    uint64_t conns_opened; /* accepted and connected */
    uint64_t conns;        /* open now */
    uint64_t bufs;         /* receive buffers handed out now */
    uint64_t accepts_shed; /* connections closed for want of descriptors */
    uint64_t stalls;       /* times a fiber held the shard for more than 10 ms */
};

/* Of this shard; ask another by weir_call_brief. */
WEIR_API void weir_shard_stats(struct weir_shard_stats *stats);

WEIR_END

#endif
