/* run.h - runs shards on threads, without a network, for the tests of the scheduler.
 *
 * cmocka's own assertions jump across stacks: inside fibers use check() and check_int(), which end
 * the program. */
#ifndef WEIR_TESTS_SCHED_RUN_H
#define WEIR_TESTS_SCHED_RUN_H

#include "tests/core/testing.h"
#include <errno.h>
#include <weir/fiber.h>
#include <weir/runtime.h>
#include <weir/shard.h>
#include <weir/sync.h>
#include <weir/time.h>
#include "sched/runtime.h"

#define check(expr) \
    (weir_likely(expr) ? (void)0 : weir_panic("%s: check failed: %s", WEIR_HERE, #expr))
#define check_int(have, want) check_int_at(have, want, #have " == " #want, WEIR_HERE)

static inline void check_int_at(int64_t have, int64_t want, const char *what, const char *where)
{
    if (have != want)
        weir_panic("%s: check failed: %s: %lld, not %lld", where, what, (long long)have,
                   (long long)want);
}

static inline void test_config(struct weir_config *config, unsigned shards)
{
    memset(config, 0, sizeof *config);
    config->shards = shards;
    config->thread_name = "weir";
    config->timers = true;
    config->fiber_stack = 64 * 1024;
    config->fibers_max = 10000;
    config->idle_spin = WEIR_US(50);
    config->grace = WEIR_SEC(10);
    config->blocking_threads = 512;
    config->blocking_queue = 65536;
    config->blocking_idle = WEIR_SEC(10);
}

static inline int run_shards(unsigned shards, void (*shard_main)(void *arg), void *arg)
{
    struct weir_config config;

    test_config(&config, shards);
    return weir_runtime_run(&config, weir_bare_driver_open, NULL, shard_main, arg);
}

static inline void paused_config(struct weir_config *config)
{
    test_config(config, 1);
    config->paused = true;
}

/* One shard whose clock stands still while a fiber can run: a deadline never comes before what the
 * test does first, however long the machine leaves it standing. */
static inline int run_paused(void (*shard_main)(void *arg), void *arg)
{
    struct weir_config config;

    paused_config(&config);
    return weir_runtime_run(&config, weir_bare_driver_open, NULL, shard_main, arg);
}

#endif
