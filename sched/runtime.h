/* runtime.h - pumps shards on threads.  net/run.c puts a network stack under it and makes weir_run
 * of it. */
#ifndef WEIR_SCHED_RUNTIME_H
#define WEIR_SCHED_RUNTIME_H

#include "core/cpu.h"
#include "sched/shard.h"

/* Makes the driver of one shard, in that shard's own thread.  0 and *driver, or a negated errno
 * after logging one line that says what to do. */
typedef int weir_driver_open(struct weir_driver **driver, struct weir_shard *shard,
                             const struct weir_config *config, void *arg);

/* Starts the shards, runs shard_main on each, returns when all have ended. */
int weir_runtime_run(const struct weir_config *config, weir_driver_open *open, void *open_arg,
                     void (*shard_main)(void *arg), void *arg);

/* The CPUs and the number of shards that a config means.  0; -EINVAL or -ERANGE with one line in
 * `why`. */
int weir_runtime_cpus(const struct weir_config *config, struct weir_cpu_list *cpus,
                      unsigned *shards, char *why, size_t why_size);

/* The driver without a network: sleeps on the wake-up eventfd alone. */
weir_driver_open weir_bare_driver_open;

#endif
