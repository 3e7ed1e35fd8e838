/* test_call.c - cross-shard calls between real threads: results, credits, cancel, wake-ups. */
#include "tests/sched/run.h"
#include "core/spsc.h"

static unsigned next_shard(void)
{
    return (weir_shard_id() + 1) % weir_shard_count();
}

static int64_t where(void *arg)
{
    return *(int *)arg + (int64_t)weir_shard_id();
}

static int64_t nap(void *arg)
{
    return weir_sleep(*(weir_time *)arg);
}

static void results(void *arg)
{
    int base = 100;
    weir_time span = WEIR_MS(3), start = weir_now();

    (void)arg;
    for (unsigned i = 0; i < weir_shard_count(); i++) {
        check_int(weir_call(i, where, &base, WEIR_NEVER), 100 + i);
        check_int(weir_call_brief(i, where, &base, WEIR_NEVER), 100 + i);
    }
    check_int(weir_call(next_shard(), nap, &span, WEIR_NEVER), 0);
    check(weir_now() >= start + span);
    check_int(weir_call(weir_shard_count(), where, &base, WEIR_NEVER), -EINVAL);
}

static void deadline_reaches_the_other_shard(void *arg)
{
    weir_time span = WEIR_SEC(1000);

    (void)arg;
    check_int(weir_call(next_shard(), nap, &span, weir_after(WEIR_MS(5))), -ETIMEDOUT);
    check_int(weir_call(weir_shard_id(), nap, &span, weir_after(WEIR_MS(5))), -ETIMEDOUT);
}

/* More calls than credits, in order of asking; each side does it to the other at once. */
enum { MANY = 1000 };

struct numbered {
    struct weir_call call;
    int64_t *expected; /* on the other shard, touched only there */
    int64_t number;
};

static int64_t check_order(void *arg)
{
    struct numbered *numbered = arg;

    check_int(*numbered->expected, numbered->number);
    return ++*numbered->expected;
}

static void more_than_credits(void *arg)
{
    struct numbered *numbered = calloc(MANY, sizeof *numbered);
    int64_t expected = 0;

    (void)arg;
    for (int64_t i = 0; i < MANY; i++) {
        numbered[i].expected = &expected;
        numbered[i].number = i;
        weir_call_brief_start(&numbered[i].call, next_shard(), check_order, &numbered[i]);
    }
    for (int64_t i = 0; i < MANY; i++)
        check_int(weir_await(&numbered[i].call.future, WEIR_NEVER), i + 1);
    free(numbered);
}

/* A call that waits for a credit is withdrawn at once; one that is under way comes home when its
 * own cancel, which waits for a credit as well, or something else has ended it over there. */
static void cancel_waiting(void *arg)
{
    enum { CALLS = WEIR_SPSC_SIZE + 10 };
    struct weir_call *calls = calloc(CALLS, sizeof *calls);
    weir_time span = WEIR_SEC(1000);

    (void)arg;
    for (int i = 0; i < CALLS; i++)
        weir_call_start(&calls[i], next_shard(), nap, &span);
    for (int i = WEIR_SPSC_SIZE; i < CALLS; i++) {
        weir_future_cancel(&calls[i].future);
        check(calls[i].future.done);
        check_int(calls[i].future.result, -ECANCELED);
    }
    weir_future_cancel(&calls[0].future);
    check(!calls[0].future.done);
    weir_stop(); /* after the grace time the fibers over there are cut */
    for (int i = 0; i < CALLS; i++)
        check_int(weir_await(&calls[i].future, WEIR_NEVER), -ECANCELED);
    free(calls);
}

static void test_cancel_waiting(void **state)
{
    struct weir_config config;

    (void)state;
    test_config(&config, 2);
    config.grace = WEIR_MS(20);
    assert_int_equal(weir_runtime_run(&config, weir_bare_driver_open, NULL, cancel_waiting, NULL),
                     0);
}

/* Calls that call back, four deep, from all shards to all shards. */
static int64_t bounce(void *arg)
{
    int *depth = arg;
    int left = *depth - 1;
    unsigned to = (weir_shard_id() + 1 + (unsigned)left) % weir_shard_count();

    if (left < 0)
        return 1;
    return 1 + weir_call(to, bounce, &left, WEIR_NEVER);
}

static void bounce_often(void *arg)
{
    int depth = 4;

    (void)arg;
    for (int i = 0; i < 500; i++)
        check_int(weir_call(next_shard(), bounce, &depth, WEIR_NEVER), 5);
}

static void calls_back(void *arg)
{
    struct weir_scope scope;

    (void)arg;
    weir_scope_init(&scope);
    for (int i = 0; i < 8; i++)
        check_int(weir_spawn(&scope, bounce_often, NULL), 0);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
}

/* Pauses between calls, so that shards fall asleep and have to be woken: a lost wake-up hangs. */
static void calls_with_pauses(void *arg)
{
    int rounds = (int)random_rounds(2000, 50000), base = 0;

    (void)arg;
    for (int i = 0; i < rounds; i++) {
        check(weir_call(next_shard(), where, &base, WEIR_NEVER) >= 0);
        check(weir_call_brief(next_shard(), where, &base, WEIR_NEVER) >= 0);
        if (i % 16 == 0)
            weir_sleep(WEIR_US(i % 200));
    }
}

static void test_wake_ups(void **state)
{
    const weir_time spins[] = { 0, WEIR_US(5), WEIR_US(50) };

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct weir_config config;

        test_config(&config, 3); /* more shards than CPUs here: they are preempted anywhere */
        config.idle_spin = spins[i];
        assert_int_equal(
            weir_runtime_run(&config, weir_bare_driver_open, NULL, calls_with_pauses, NULL), 0);
    }
}

/* Only one shard has work; the others serve it until it ends, then all end. */
static void one_works(void *arg)
{
    int base = 7;

    (void)arg;
    if (weir_shard_id() != 0)
        return;
    for (unsigned i = 0; i < weir_shard_count(); i++) {
        weir_sleep(WEIR_MS(2));
        check_int(weir_call(i, where, &base, WEIR_NEVER), 7 + i);
    }
}

static _Atomic int spawned_ran;

static void spawned(void *arg)
{
    check_int(weir_shard_id(), *(unsigned *)arg);
    weir_sleep(WEIR_MS(5)); /* longer than its spawner lives */
    atomic_fetch_add(&spawned_ran, 1);
}

static unsigned spawn_target = 1;

static void spawns_on(void *arg)
{
    (void)arg;
    if (weir_shard_id() == 0)
        for (int i = 0; i < 50; i++)
            check_int(weir_spawn_on(1, spawned, &spawn_target, WEIR_NEVER), 0);
}

static void test_spawn_on(void **state)
{
    (void)state;
    spawned_ran = 0;
    assert_int_equal(run_shards(2, spawns_on, NULL), 0);
    assert_int_equal(spawned_ran, 50); /* the runtime waits for them */
}

static void no_fiber_there(void *arg)
{
    struct weir_call calls[8];
    weir_time span = WEIR_MS(5);
    int refused = 0;

    (void)arg;
    if (weir_shard_id() != 0)
        return;
    for (int i = 0; i < 8; i++)
        weir_call_start(&calls[i], 1, nap, &span);
    for (int i = 0; i < 8; i++) {
        int64_t result = weir_await(&calls[i].future, WEIR_NEVER);

        check(result == 0 || result == -EAGAIN);
        refused += result == -EAGAIN;
    }
    check(refused >= 4);
}

static void test_no_fiber_there(void **state)
{
    struct weir_config config;

    (void)state;
    test_config(&config, 2);
    config.fibers_max = 4;
    assert_int_equal(weir_runtime_run(&config, weir_bare_driver_open, NULL, no_fiber_there, NULL),
                     0);
}

#define CASE(name, shards)                                   \
    static void test_##name(void **state)                    \
    {                                                        \
        (void)state;                                         \
        assert_int_equal(run_shards(shards, name, NULL), 0); \
    }

CASE(results, 3)
CASE(deadline_reaches_the_other_shard, 2)
CASE(more_than_credits, 2)
CASE(calls_back, 4)
CASE(one_works, 4)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_results),
        cmocka_unit_test(test_deadline_reaches_the_other_shard),
        cmocka_unit_test(test_more_than_credits),
        cmocka_unit_test(test_cancel_waiting),
        cmocka_unit_test(test_calls_back),
        cmocka_unit_test(test_wake_ups),
        cmocka_unit_test(test_one_works),
        cmocka_unit_test(test_spawn_on),
        cmocka_unit_test(test_no_fiber_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
