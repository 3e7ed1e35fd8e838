/* test_sim_run.c - the simulation itself: one seed is one run, hangs are told, sleepers are woken.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "tests/seeds.h"

enum { SHARDS = 3 };

static int run(uint64_t seed, weir_time limit, void (*shard_main)(void *arg), void *arg)
{
    struct weir_sim_config config;

    weir_sim_config_init(&config);
    config.seed = seed;
    config.shards = SHARDS;
    config.limit = limit;
    return weir_sim_run(&config, shard_main, arg);
}

/* --- one seed is one run --- */

struct trace {
    uint64_t hash, steps;
};

static void trace_step(struct trace *trace, uint64_t what)
{
    trace->hash = (trace->hash ^ what) * UINT64_C(0x100000001b3);
    trace->steps++;
}

static int64_t trace_call(void *arg)
{
    trace_step(arg, (uint64_t)weir_now() * 31 + weir_shard_id());
    return 0;
}

static void trace_fiber(void *arg)
{
    for (int i = 0; i < 20; i++) {
        trace_step(arg, (uint64_t)weir_now() * 7 + weir_random(1000));
        check_int(weir_sleep(random_in(0, WEIR_MS(1))), 0);
        check_int(weir_call((unsigned)weir_random(SHARDS), trace_call, arg, WEIR_NEVER), 0);
    }
}

static void trace_main(void *arg)
{
    struct weir_scope scope;

    weir_scope_init(&scope);
    for (int i = 0; i < 5; i++)
        check_int(weir_spawn(&scope, trace_fiber, arg), 0);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
}

static void trace_seed(uint64_t seed)
{
    struct trace once = { 0 }, again = { 0 }, other = { 0 };

    check_int(run(seed, WEIR_SEC(10), trace_main, &once), 0);
    check_int(run(seed, WEIR_SEC(10), trace_main, &again), 0);
    check_int(run(seed + 1, WEIR_SEC(10), trace_main, &other), 0);
    check(once.steps == SHARDS * 5 * 20 * 2);
    check(once.hash == again.hash);
    check(once.hash != other.hash);
}

static void one_seed_is_one_run(void **state)
{
    (void)state;
    seeds_each(50, trace_seed);
}

/* --- hangs --- */

static void nothing(void *arg)
{
    (void)arg;
}

static void nothing_to_do_is_over_at_once(void **state)
{
    (void)state;
    assert_int_equal(run(1, 0, nothing, NULL), -ETIME); /* the first turn takes a moment */
    assert_int_equal(run(1, WEIR_MS(1), nothing, NULL), 0);
}

static void waits_for_ever(void *arg)
{
    struct weir_future never;
    int64_t *ended = arg;

    (void)ended;
    if (weir_shard_id() != 1)
        return;
    weir_future_init(&never, NULL);
    weir_future_set(&never, 0); /* a future that cannot be cancelled would hang the tear-down too */
    check_int(weir_await(&never, WEIR_NEVER), 0);
    *ended = weir_sleep_until(WEIR_NEVER);
}

static void a_deadlock_is_told_and_cut(void **state)
{
    int64_t ended = 1;

    (void)state;
    assert_int_equal(run(1, WEIR_NEVER, waits_for_ever, &ended), -EDEADLK);
    assert_int_equal(ended, -ECANCELED);
}

static void sleeps_long(void *arg)
{
    *(int64_t *)arg = weir_sleep(WEIR_SEC(11));
}

static void the_limit_is_kept(void **state)
{
    int64_t ended = 1;

    (void)state;
    assert_int_equal(run(1, WEIR_SEC(10), sleeps_long, &ended), -ETIME);
    assert_int_equal(ended, -ECANCELED);
    assert_int_equal(run(1, WEIR_SEC(12), sleeps_long, &ended), 0);
    assert_int_equal(ended, 0);
}

static void yields_for_ever(void *arg)
{
    (void)arg;
    while (!weir_cancelled())
        weir_yield();
}

static void yielding_takes_time(void **state)
{
    (void)state;
    assert_int_equal(run(1, WEIR_MS(50), yields_for_ever, NULL), -ETIME);
}

/* --- sleeping shards are woken: what is lost shows as virtual time --- */

/* A call, both ways, between shards that have nothing else to do. */
#define PROMPT WEIR_MS(1)

static int64_t ping(void *arg)
{
    (void)arg;
    return weir_shard_id();
}

static void ping_main(void *arg)
{
    (void)arg;
    for (int i = 0; i < 40; i++) {
        unsigned to = (unsigned)weir_random(SHARDS);
        weir_time start;

        check_int(weir_sleep(random_in(0, WEIR_SEC(2))), 0);
        start = weir_now();
        if (weir_random(2) == 0)
            check_int(weir_call_brief(to, ping, NULL, WEIR_NEVER), to);
        else
            check_int(weir_call(to, ping, NULL, WEIR_NEVER), to);
        check(weir_now() - start < PROMPT);
    }
}

static void ping_seed(uint64_t seed)
{
    check_int(run(seed, WEIR_SEC(100), ping_main, NULL), 0);
}

static void sleeping_shards_are_woken(void **state)
{
    (void)state;
    seeds_each(300, ping_seed);
}

static weir_time stop_time;

static void stop_main(void *arg)
{
    struct weir_stop_wait stop;

    (void)arg;
    check(!weir_stopping());
    if (weir_shard_id() == 0) {
        check_int(weir_sleep(random_in(WEIR_SEC(1), WEIR_SEC(2))), 0);
        stop_time = weir_now();
        weir_stop();
        check(weir_stopping());
    }
    weir_stop_wait_start(&stop);
    check_int(weir_await(&stop.future, WEIR_NEVER), 0);
    check(weir_now() - stop_time < PROMPT);
    weir_stop_wait_start(&stop);
    check(stop.future.done);
    check_int(weir_await(&stop.future, WEIR_NEVER), 0);
    /* Whoever does not end within the grace time is cancelled. */
    if (weir_shard_id() == 1) {
        check_int(weir_sleep_until(WEIR_NEVER), -ECANCELED);
        check(weir_now() - stop_time >= WEIR_SEC(10));
        check(weir_now() - stop_time < WEIR_SEC(10) + PROMPT);
    }
}

static void stop_seed(uint64_t seed)
{
    check_int(run(seed, WEIR_SEC(100), stop_main, NULL), 0);
}

static void stopping_reaches_all(void **state)
{
    (void)state;
    seeds_each(300, stop_seed);
}

static void stop_wait_main(void *arg)
{
    struct weir_stop_wait stop;

    (void)arg;
    weir_stop_wait_start(&stop);
    check_int(weir_await(&stop.future, weir_after(WEIR_MS(1))), -ETIMEDOUT);
}

static void a_stop_wait_can_be_cancelled(void **state)
{
    (void)state;
    assert_int_equal(run(1, WEIR_SEC(1), stop_wait_main, NULL), 0);
}

static void random_main(void *arg)
{
    int *seen = arg;

    for (int i = 0; i < 2000; i++) {
        check_int((int64_t)weir_random(1), 0);
        seen[weir_random(10)]++;
    }
}

static void random_numbers_cover_their_range(void **state)
{
    int seen[10] = { 0 };

    (void)state;
    assert_int_equal(run(1, WEIR_SEC(1), random_main, seen), 0);
    for (int i = 0; i < 10; i++)
        assert_in_range(seen[i], 450, 750); /* of 600; six standard deviations */
}

static void bad_configs_are_refused(void **state)
{
    struct weir_sim_config config;

    (void)state;
    weir_sim_config_init(&config);
    config.shards = 0;
    assert_int_equal(weir_sim_run(&config, nothing, NULL), -EINVAL);
    weir_sim_config_init(&config);
    config.window = 0;
    assert_int_equal(weir_sim_run(&config, nothing, NULL), -EINVAL);
    weir_sim_config_init(&config);
    config.delay_max = -1;
    assert_int_equal(weir_sim_run(&config, nothing, NULL), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_seed_is_one_run),
        cmocka_unit_test(nothing_to_do_is_over_at_once),
        cmocka_unit_test(a_deadlock_is_told_and_cut),
        cmocka_unit_test(the_limit_is_kept),
        cmocka_unit_test(yielding_takes_time),
        cmocka_unit_test(sleeping_shards_are_woken),
        cmocka_unit_test(stopping_reaches_all),
        cmocka_unit_test(a_stop_wait_can_be_cancelled),
        cmocka_unit_test(random_numbers_cover_their_range),
        cmocka_unit_test(bad_configs_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
