/* runtime.h - pumps shards on threads.  net/run.c puts a network stack under it and makes weir_run
 * and weir_runtime_new of it. */
#ifndef WEIR_SCHED_RUNTIME_H
#define WEIR_SCHED_RUNTIME_H

#include <pthread.h>
#include "core/cpu.h"
#include "sched/blocking.h"
#include "sched/overflow.h"
#include "sched/shard.h"
#include "sched/signals.h"

/* Makes the driver of one shard, in that shard's own thread.  0 and *driver, or a negated errno
 * after logging one line that says what to do. */
typedef int weir_driver_open(struct weir_driver **driver, struct weir_shard *shard,
                             const struct weir_config *config, void *arg);

/* What a runtime needs of the network. */
struct weir_runtime_net {
    weir_driver_open *open;
    void (*closed)(void *arg); /* when all shards have ended; or NULL */
    void *arg;
};

struct weir_runtime {
    struct weir_shards shards;
    struct weir_config config;
    struct weir_runtime_net net;
    void (*shard_main)(void *arg); /* NULL: it is held until weir_runtime_let_go() */
    void *arg;
    struct weir_runtime_thread *threads;
    unsigned started;
    struct weir_signals signals;
    struct weir_blocking_pool blocking;
    pthread_t owner;                       /* WEIR_CURRENT_THREAD: who made it and runs it */
    struct weir_signal_stack signal_stack; /* ... that thread's */

    /* The gate: everybody arrives, then all pass or none. */
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    unsigned arrived;
    bool open_gate;
    int error;
};

/* Starts the shards, with shard_main on each unless it is NULL.  0: weir_runtime_end() must follow;
 * else a negated errno, after one line in the log. */
int weir_runtime_start(struct weir_runtime **runtime, const struct weir_config *config,
                       const struct weir_runtime_net *net, void (*shard_main)(void *arg),
                       void *arg);

/* What was started without a main ends when all that is under way has. */
void weir_runtime_let_go(struct weir_runtime *runtime);

/* Waits until all shards have ended, and frees it.  0, or why a shard could not start. */
int weir_runtime_end(struct weir_runtime *runtime);

/* Both. */
int weir_runtime_run(const struct weir_config *config, weir_driver_open *open, void *open_arg,
                     void (*shard_main)(void *arg), void *arg);

/* The CPUs and the number of shards that a config means.  0; -EINVAL or -ERANGE with one line in
 * `why`. */
int weir_runtime_cpus(const struct weir_config *config, struct weir_cpu_list *cpus,
                      unsigned *shards, char *why, size_t why_size);

/* The driver without a network: sleeps on the wake-up eventfd alone. */
weir_driver_open weir_bare_driver_open;

#endif
