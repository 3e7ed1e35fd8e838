/* micro_sched.c - measurements inside one shard, from its main fiber, by the public calls. */
#include <stdio.h>
#include <stdlib.h>
#include <weir/buf.h>
#include <weir/fiber.h>
#include <weir/shard.h>
#include <weir/sync.h>
#include <weir/time.h>
#include "core/base.h"
#include "perf/micro.h"

enum { BATCH = 64, MILLION = 1000000, BREATH = 10000, BUF_SIZE = 2048 };

static void sched_await_ready(struct micro_run *run)
{
    struct weir_future future;

    weir_future_init(&future, NULL);
    weir_future_set(&future, 1);
    micro_begin(run);
    for (uint64_t i = 0; i < run->n; i++)
        weir_await(&future, WEIR_NEVER);
    micro_end(run);
}

static void sched_yield_alone(struct micro_run *run)
{
    micro_begin(run);
    for (uint64_t i = 0; i < run->n; i++)
        weir_yield();
    micro_end(run);
}

/* --- fibers that take turns: each does its share of n --- */

static void yield_many(void *arg)
{
    for (uint64_t left = *(uint64_t *)arg; left > 0; left--)
        weir_yield();
}

static void sched_spawn_batch(struct weir_scope *scope, void (*fn)(void *arg), void *arg)
{
    for (int i = 0; i < BATCH; i++)
        if (weir_spawn(scope, fn, arg) < 0) {
            fprintf(stderr, "bench_micro: no fiber could be spawned\n");
            exit(1);
        }
}

static void sched_yield_many(struct micro_run *run)
{
    struct weir_scope scope;
    uint64_t share = run->n / BATCH;

    weir_scope_init(&scope);
    sched_spawn_batch(&scope, yield_many, &share);
    micro_begin(run);
    weir_scope_join(&scope, WEIR_NEVER);
    micro_end(run);
}

/* --- two fibers that wake each other --- */

struct pong {
    struct weir_future ping, pong;
    uint64_t left;
};

static void pong_main(void *arg)
{
    struct pong *p = arg;

    while (p->left-- > 0) {
        weir_await(&p->ping, WEIR_NEVER);
        weir_future_init(&p->ping, NULL);
        weir_future_set(&p->pong, 0);
    }
}

static void sched_wake(struct micro_run *run)
{
    struct weir_scope scope;
    struct pong p = { .left = run->n / 2 };

    weir_future_init(&p.ping, NULL);
    weir_future_init(&p.pong, NULL);
    weir_scope_init(&scope);
    if (weir_spawn(&scope, pong_main, &p) < 0)
        exit(1);
    weir_yield();
    micro_begin(run);
    for (uint64_t i = 0; i < run->n / 2; i++) {
        weir_future_set(&p.ping, 0);
        weir_await(&p.pong, WEIR_NEVER);
        weir_future_init(&p.pong, NULL);
    }
    micro_end(run);
    weir_scope_join(&scope, WEIR_NEVER);
}

/* --- spawn and join --- */

static void spawn_nothing(void *arg)
{
    (void)arg;
}

static void sched_spawn(struct micro_run *run)
{
    struct weir_scope scope;

    weir_scope_init(&scope);
    micro_begin(run);
    for (uint64_t i = 0; i < run->n; i++) {
        weir_spawn(&scope, spawn_nothing, NULL);
        weir_scope_join(&scope, WEIR_NEVER);
    }
    micro_end(run);
}

static void sched_spawn_many(struct micro_run *run)
{
    struct weir_scope scope;

    weir_scope_init(&scope);
    micro_begin(run);
    for (uint64_t i = 0; i < run->n; i += BATCH) {
        sched_spawn_batch(&scope, spawn_nothing, NULL);
        weir_scope_join(&scope, WEIR_NEVER);
    }
    micro_end(run);
}

/* --- sync --- */

static void sched_sem(struct micro_run *run)
{
    struct weir_sem sem;

    weir_sem_init(&sem, 1);
    micro_begin(run);
    for (uint64_t i = 0; i < run->n; i++) {
        weir_sem_wait(&sem, 1, WEIR_NEVER);
        weir_sem_post(&sem, 1);
    }
    micro_end(run);
}

static void sched_mutex(struct micro_run *run)
{
    struct weir_mutex mutex;

    weir_mutex_init(&mutex);
    micro_begin(run);
    for (uint64_t i = 0; i < run->n; i++) {
        weir_mutex_lock(&mutex, WEIR_NEVER);
        weir_mutex_unlock(&mutex);
    }
    micro_end(run);
}

/* --- buffers of the socket stack --- */

static void sched_buf(struct micro_run *run)
{
    micro_begin(run);
    for (uint64_t i = 0; i < run->n; i++) {
        struct weir_buf *buf = weir_buf_alloc(BUF_SIZE);

        micro_touch(buf);
        weir_buf_free(buf);
    }
    micro_end(run);
}

/* --- timers, while a million others are armed --- */

static void timer_never(struct weir_alarm *alarm)
{
    (void)alarm;
    fprintf(stderr, "bench_micro: a timer of the far future fired\n");
    exit(1);
}

/* From an hour to two from now: none comes due, and they spread over the wheel. */
static weir_time timer_when(uint64_t *seed)
{
    return weir_now() + WEIR_SEC(3600) + (weir_time)(micro_random(seed) % WEIR_SEC(3600));
}

static struct weir_alarm *timers_arm(uint64_t *seed)
{
    struct weir_alarm *alarms = calloc(MILLION, sizeof *alarms);

    if (!alarms) {
        perror("bench_micro: a million timers");
        exit(1);
    }
    for (size_t i = 0; i < MILLION; i++) {
        weir_alarm_init(&alarms[i], timer_never);
        weir_alarm_set(&alarms[i], timer_when(seed));
        if (i % BREATH == 0)
            weir_yield();
    }
    return alarms;
}

static void timers_clear(struct weir_alarm *alarms)
{
    for (size_t i = 0; i < MILLION; i++) {
        weir_alarm_clear(&alarms[i]);
        if (i % BREATH == 0)
            weir_yield();
    }
    free(alarms);
}

/* One that was not armed: an I/O deadline that the I/O beats. */
static void sched_timer_arm(struct micro_run *run)
{
    uint64_t seed = 1;
    struct weir_alarm *alarms = timers_arm(&seed);
    struct weir_alarm own;

    weir_alarm_init(&own, timer_never);
    micro_begin(run);
    for (uint64_t i = 0; i < run->n; i++) {
        weir_alarm_set(&own, weir_now() + WEIR_SEC(30) + (weir_time)(i % 1024) * WEIR_TICK);
        weir_alarm_clear(&own);
    }
    micro_end(run);
    timers_clear(alarms);
}

/* Any of the million, elsewhere: the memory is cold. */
static void sched_timer_rearm(struct micro_run *run)
{
    uint64_t seed = 1;
    struct weir_alarm *alarms = timers_arm(&seed);

    micro_begin(run);
    for (uint64_t i = 0; i < run->n; i++) {
        struct weir_alarm *alarm = &alarms[micro_random(&seed) % MILLION];

        weir_alarm_set(alarm, timer_when(&seed));
    }
    micro_end(run);
    timers_clear(alarms);
}

#define SCHED(name_, what_, run_, n_, ...)                                                       \
    {                                                                                            \
        .name = name_, .what = what_, .run = run_, .n = n_, .shards = 1, .poll = WEIR_POLL_BUSY, \
        __VA_ARGS__                                                                              \
    }

const struct micro weir_micro_sched[] = {
    SCHED("await-ready", "await a future that is done", sched_await_ready, 1000000),
    SCHED("await-wake", "set a future that a fiber awaits, and it runs", sched_wake, 200000),
    SCHED("yield", "give way, nobody else there: a turn of the loop", sched_yield_alone, 200000),
    SCHED("yield-64", "give way among 64 fibers", sched_yield_many, 64 * 10000),
    SCHED("spawn-join", "one fiber, spawned and joined", sched_spawn, 100000),
    SCHED("spawn-join-64", "each of 64 that are joined together", sched_spawn_many, 64 * 2000),
    SCHED("sem", "wait and post, uncontended", sched_sem, 1000000),
    SCHED("mutex", "lock and unlock, uncontended", sched_mutex, 1000000),
    SCHED("buf", "a buffer of 2 KiB, taken and given back", sched_buf, 1000000, .net = true),
    SCHED("timer-arm-cancel", "arm and cancel, a million others armed", sched_timer_arm, 400000),
    SCHED("timer-rearm", "move any one of a million", sched_timer_rearm, 30000),
};
const size_t weir_micro_sched_count = WEIR_COUNT(weir_micro_sched);
