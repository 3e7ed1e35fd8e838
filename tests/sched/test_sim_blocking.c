/* test_sim_blocking.c - the blocking pool in the simulation: one seed is one run, jobs overtake
 * each other, and what is cancelled either has not run or is waited for. */
#include "tests/core/testing.h"
#include "tests/seeds.h"

enum { SHARDS = 3, FIBERS = 6, ROUNDS = 12 };

static uint64_t trace;    /* a hash of what happened, in its order */
static uint64_t overtook; /* jobs that ended before one that came earlier */
static uint64_t withdrew, finished_cancelled;

static void traced(uint64_t what)
{
    trace = (trace ^ what) * 0x100000001b3;
}

struct task {
    int64_t number;
    int ran;
};

static int64_t runs(void *arg)
{
    struct task *task = arg;

    check(!weir_on_shard());
    task->ran++;
    traced((uint64_t)task->number);
    return task->number;
}

static void one_round(int64_t number)
{
    struct task task = { .number = number };
    struct weir_blocking_job job;
    bool cancels = weir_random(3) == 0;
    int64_t result;

    weir_blocking_start(&job, runs, &task);
    check_int(task.ran, 0); /* not within the call */
    result = weir_await(&job.future, cancels ? weir_after(random_in(0, WEIR_MS(2))) : WEIR_NEVER);
    if (result == -ETIMEDOUT) {
        check(cancels);
        check_int(task.ran, 0);
        withdrew++;
    } else {
        check_int(result, number);
        check_int(task.ran, 1);
        finished_cancelled += job.future.cancelled;
    }
    traced((uint64_t)result + (uint64_t)weir_now());
}

static void works(void *arg)
{
    for (int i = 0; i < ROUNDS; i++)
        one_round((int64_t)(uintptr_t)arg * 1000 + i);
}

static void overtaking(void)
{
    struct weir_blocking_job first, second;
    struct task a = { .number = 1 }, b = { .number = 2 };

    weir_blocking_start(&first, runs, &a);
    weir_blocking_start(&second, runs, &b);
    overtook += weir_await_any(WEIR_NEVER, &first.future, &second.future) == 1;
    check_int(weir_await_all(WEIR_NEVER, &first.future, &second.future), 0);
}

static void shard_main(void *arg)
{
    struct weir_blocking_stats stats;
    struct weir_scope scope;

    (void)arg;
    weir_scope_init(&scope);
    for (uintptr_t i = 0; i < FIBERS; i++)
        check_int(weir_spawn(&scope, works, (void *)(weir_shard_id() * FIBERS + i + 1)), 0);
    overtaking();
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    weir_blocking_stats(&stats);
    check(stats.done >= 2 && stats.queue_ns_max <= (uint64_t)WEIR_MS(2));
}

static void run(uint64_t seed)
{
    struct weir_sim_config config;

    weir_sim_config_init(&config);
    config.seed = seed;
    config.shards = SHARDS;
    check_int(weir_sim_run(&config, shard_main, NULL), 0);
}

static void run_twice(uint64_t seed)
{
    uint64_t before;

    trace = 0;
    run(seed);
    before = trace;
    trace = 0;
    run(seed);
    check_int((int64_t)trace, (int64_t)before);
}

static void one_seed_is_one_run(void **state)
{
    (void)state;
    overtook = withdrew = finished_cancelled = 0;
    seeds_each(100, run_twice);
    if (seed_env("WEIR_SEED", 0) == 0) {
        assert_true(overtook > 0);
        assert_true(withdrew > 0);
        assert_true(finished_cancelled > 0); /* had begun when the deadline came */
    }
}

/* --- the queue is bounded as elsewhere --- */

enum { QUEUE = 65536 };

static struct weir_blocking_job *job;

static void full_main(void *arg)
{
    struct task task = { .number = 3 };

    (void)arg;
    for (int i = 0; i < QUEUE; i++)
        weir_blocking_start(&job[i], runs, &task);
    for (int i = 0; i < QUEUE; i++)
        check(!job[i].future.done);
    check_int(weir_blocking(runs, &task), -EAGAIN);
    for (int i = 0; i < QUEUE; i++)
        weir_future_cancel(&job[i].future);
    check_int(task.ran, 0);
    check_int(weir_blocking(runs, &task), 3);
}

static void full_seed(uint64_t seed)
{
    struct weir_sim_config config;

    weir_sim_config_init(&config);
    config.seed = seed;
    config.shards = 1;
    check_int(weir_sim_run(&config, full_main, NULL), 0);
}

static void the_queue_is_bounded(void **state)
{
    (void)state;
    job = calloc(QUEUE, sizeof *job);
    assert_non_null(job);
    full_seed(1);
    free(job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_seed_is_one_run),
        cmocka_unit_test(the_queue_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
