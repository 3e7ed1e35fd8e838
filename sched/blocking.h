/* blocking.h - the inside of the blocking pool: one per runtime, or per simulation. */
#ifndef WEIR_SCHED_BLOCKING_H
#define WEIR_SCHED_BLOCKING_H

#include <pthread.h>
#include <sched.h>
#include <weir/blocking.h>
#include <weir/runtime.h>

enum { WEIR_BLOCKING_THREADS_MAX = 4096, WEIR_BLOCKING_STACK = 2 << 20 };

struct weir_blocking_pool {
    uint32_t threads_max, queue_max;
    weir_time idle_span;
    char name[16];
    cpu_set_t cpus; /* of who made it; empty: as the thread that starts one */

    pthread_mutex_t mutex; /* of all below */
    pthread_cond_t work;   /* a job has come, or it is over */
    pthread_cond_t none;   /* the last thread is about to end */
    struct weir_link jobs; /* not begun, the first to come first */
    struct weir_blocking_stats stats;
    pthread_t ended; /* the last one to end, if `joinable`: the next one joins it */
    bool joinable, over;
};

void weir_blocking_init(struct weir_blocking_pool *pool, const struct weir_config *config);

/* Ends the threads and waits for them.  No job may be left: the shards have ended. */
void weir_blocking_end(struct weir_blocking_pool *pool);

/* Whether these can be had: every thread of a pool is a cost for all. */
static inline bool weir_blocking_config_is_sound(const struct weir_config *config)
{
    return config->blocking_threads >= 1 && config->blocking_threads <= WEIR_BLOCKING_THREADS_MAX &&
           config->blocking_queue >= 1 && config->blocking_idle >= 0;
}

#endif
