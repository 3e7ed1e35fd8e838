/* blocking.h - for what blocks or computes for long: threads beside the shards.
 *
 * A fiber hands a function to the pool and waits; its shard goes on.  Each runtime has its pool,
 * for all of its shards.  Threads start as they are needed, up to weir_config.blocking_threads;
 * those without work for weir_config.blocking_idle end.  Jobs begin in the order of their coming.
 *
 * The function runs on a thread that is no shard: there nothing of weir may be called but what says
 * that any thread may (weir_submit, the sender of a oneshot).  It has the CPUs that the thread had
 * which made the runtime, a stack of 2 MiB, and all signals blocked but those of its own faults.
 *
 * In the simulation jobs run on the simulation's thread, at moments and in an order that are drawn
 * from the seed, and begin and end at different ones; blocking_threads does not bound them. */
#ifndef WEIR_BLOCKING_H
#define WEIR_BLOCKING_H

#include <weir/future.h>
#include <weir/time.h>

WEIR_BEGIN

/* Runs fn(arg) in the pool and returns what it returned.  When the fiber is cancelled, a job that
 * has not begun is withdrawn (-ECANCELED) and fn does not run; one that has begun is waited for,
 * and its result returned.  -EAGAIN: weir_config.blocking_queue jobs wait already, or there is no
 * thread and none can be started; fn does not run. */
WEIR_API int64_t weir_blocking(int64_t (*fn)(void *arg), void *arg);

/* The same as a future: its result is that of fn, or one of the above.  The job must stay until it
 * is done.  While it is not, the runtime does not end.  Fields are weir's own but for the future.
 */
struct weir_blocking_job {
    struct weir_future future;
    struct weir_mail mail;
    struct weir_link link;
    struct weir_shard *home;
    int64_t (*fn)(void *arg);
    void *arg;
    int64_t result;
    weir_time since;         /* when it was queued */
    struct weir_alarm alarm; /* the simulation's */
    bool queued;             /* not begun */
};

WEIR_API void weir_blocking_start(struct weir_blocking_job *job, int64_t (*fn)(void *arg),
                                  void *arg);

/* The pool of this shard's runtime.  Counters since its start; the first four are of this moment.
 */
struct weir_blocking_stats {
    uint32_t threads, idle; /* all; those of them without work */
    uint32_t queued, running;
    uint64_t done;                       /* jobs that have run */
    uint64_t queue_ns_max, queue_ns_sum; /* from coming to beginning, of the jobs begun */
};

WEIR_API void weir_blocking_stats(struct weir_blocking_stats *stats);

WEIR_END

#endif
