/* test_fiber.c - fibers and scopes on a real shard: bounds, order, reports. */
#include "tests/sched/run.h"
#include "sched/fiber.h"

static void nothing(void *arg)
{
    (void)arg;
}

static void sleep_long(void *arg)
{
    int *result = arg;

    *result = weir_sleep(WEIR_SEC(1000));
}

static void scope_bound(void *arg)
{
    struct weir_scope scope;
    int result[4];

    (void)arg;
    weir_scope_init(&scope);
    weir_scope_limit(&scope, 3);
    for (int i = 0; i < 3; i++)
        check_int(weir_spawn(&scope, sleep_long, &result[i]), 0);
    check_int(weir_spawn(&scope, sleep_long, &result[3]), -EAGAIN);
    weir_scope_cancel(&scope);
    check_int(weir_spawn(&scope, sleep_long, &result[3]), -ECANCELED);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    for (int i = 0; i < 3; i++)
        check_int(result[i], -ECANCELED);
    check_int(weir_spawn(&scope, nothing, NULL), 0); /* joined: it may be used again */
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
}

enum { FIBERS_MAX = 50 };

static void shard_bound(void *arg)
{
    struct weir_scope scope;
    struct weir_shard_stats stats;
    int result;

    (void)arg;
    weir_scope_init(&scope);
    for (int i = 1; i < FIBERS_MAX; i++) /* main is one of them */
        check_int(weir_spawn(&scope, sleep_long, &result), 0);
    check_int(weir_spawn(&scope, sleep_long, &result), -EAGAIN);
    weir_shard_stats(&stats);
    check_int((int64_t)stats.fibers, FIBERS_MAX);
    check_int(weir_scope_join(&scope, weir_after(WEIR_MS(1))), -ETIMEDOUT);
    weir_shard_stats(&stats);
    check_int((int64_t)stats.fibers, 1);
    check_int(weir_spawn(&scope, nothing, NULL), 0);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
}

static void test_shard_bound(void **state)
{
    struct weir_config config;

    (void)state;
    test_config(&config, 1);
    config.fibers_max = FIBERS_MAX;
    assert_int_equal(weir_runtime_run(&config, weir_bare_driver_open, NULL, shard_bound, NULL), 0);
}

/* Deep nesting: every fiber joins one child; cancelling the top must not recurse on a stack. */
static void nest(void *arg)
{
    int *depth = arg;
    struct weir_scope scope;

    if (--*depth == 0) {
        check_int(weir_sleep(WEIR_SEC(1000)), -ECANCELED);
        return;
    }
    weir_scope_init(&scope);
    check_int(weir_spawn(&scope, nest, arg), 0);
    check_int(weir_scope_join(&scope, WEIR_NEVER), -ECANCELED);
}

static void deep_cancel(void *arg)
{
    struct weir_scope scope;
    int depth = 3000;

    (void)arg;
    weir_scope_init(&scope);
    check_int(weir_spawn(&scope, nest, &depth), 0);
    while (depth > 0)
        weir_yield();
    check_int(weir_scope_join(&scope, weir_now()), -ETIMEDOUT);
}

/* In the order of spawning, each up to where it gives way. */
static void append(void *arg)
{
    char **text = arg;

    *(*text)++ = 'a';
    weir_yield();
    *(*text)++ = 'b';
}

static void yield_order(void *arg)
{
    char text[8] = "", *end = text;
    struct weir_scope scope;

    (void)arg;
    weir_scope_init(&scope);
    for (int i = 0; i < 3; i++)
        check_int(weir_spawn(&scope, append, &end), 0);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    check(strcmp(text, "aaabbb") == 0);
}

/* The quantum: those who only yield keep neither timers nor the network waiting. */
static void alarm_rings(struct weir_alarm *alarm)
{
    alarm->fire = NULL;
}

static uint64_t yields;

static void yield_until_it_rings(void *arg)
{
    const struct weir_alarm *alarm = arg;

    for (; alarm->fire; yields++)
        weir_yield();
}

static void quantum_ends(void *arg)
{
    struct weir_shard_stats before, after;
    struct weir_alarm alarm;
    struct weir_scope scope;

    (void)arg;
    weir_shard_stats(&before);
    weir_scope_init(&scope);
    weir_alarm_init(&alarm, alarm_rings);
    weir_alarm_set(&alarm, weir_after(WEIR_MS(20)));
    for (int i = 0; i < 3; i++)
        check_int(weir_spawn(&scope, yield_until_it_rings, &alarm), 0);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    weir_shard_stats(&after);
    check(after.turns > before.turns);                  /* it came round ... */
    check(after.turns - before.turns < 10 + 20000 / 5); /* ... every 5 us ... */
    check(after.turns - before.turns < yields / 2);     /* ... and not for every yield */
}

/* Alarms of one moment fire a bounded number per turn: the network and the fibers get theirs. */
enum { ALARMS = 1000, ALARMS_PER_TURN = 256 };

static uint64_t alarms_turn, alarms_turns, alarms_this_turn, alarms_most, alarms_fired;

static void alarm_counts(struct weir_alarm *alarm)
{
    struct weir_shard_stats stats;

    (void)alarm;
    weir_shard_stats(&stats);
    if (stats.turns != alarms_turn) {
        alarms_turn = stats.turns;
        alarms_this_turn = 0;
        alarms_turns++;
    }
    alarms_fired++;
    alarms_most = weir_max_u64(alarms_most, ++alarms_this_turn);
}

static void alarms_are_bounded_per_turn(void *arg)
{
    static struct weir_alarm alarm[ALARMS];
    weir_time when = weir_after(WEIR_MS(5));

    (void)arg;
    for (int i = 0; i < ALARMS; i++) {
        weir_alarm_init(&alarm[i], alarm_counts);
        weir_alarm_set(&alarm[i], when);
    }
    while (alarms_fired < ALARMS)
        check_int(weir_sleep(WEIR_MS(1)), 0);
    check_int((int64_t)alarms_most, ALARMS_PER_TURN);
    check_int((int64_t)alarms_turns, (ALARMS + ALARMS_PER_TURN - 1) / ALARMS_PER_TURN);
}

/* Registers that belong to the callee, and the stack, survive any switch. */
static void keep_registers(void *arg)
{
    uint64_t a = (uint64_t)(uintptr_t)arg, b = a * 3, c = a * 5, d = a * 7, e = a * 11;
    double x = (double)a * 1.5;
    volatile char big[8192];

    for (size_t i = 0; i < sizeof big; i++)
        big[i] = (char)(a + i);
    for (int i = 0; i < 100; i++) {
        weir_yield();
        a++, b += 2, c += 3, d += 4, e += 5, x += 1;
    }
    a -= 100, b -= 200, c -= 300, d -= 400, e -= 500;
    check(b == a * 3 && c == a * 5 && d == a * 7 && e == a * 11);
    check(x == (double)a * 1.5 + 100);
    for (size_t i = 0; i < sizeof big; i++)
        check(big[i] == (char)(a + i));
}

static void many_stacks(void *arg)
{
    struct weir_scope scope;

    (void)arg;
    weir_scope_init(&scope);
    for (uintptr_t i = 1; i <= 2000; i++) /* more than stay warm */
        check_int(weir_spawn(&scope, keep_registers, (void *)i), 0);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    for (uintptr_t i = 1; i <= 2000; i++)
        check_int(weir_spawn(&scope, keep_registers, (void *)i), 0);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
}

/* --- reports --- */

static int recurse(int depth)
{
    volatile char page[1024];

    page[0] = (char)depth;
    return depth == 0 ? page[0] : recurse(depth - 1) + page[0];
}

static void overflow(void *arg)
{
    *(volatile int *)arg = recurse(1000000);
}

/* A frame that is bigger than the guard: the compiler must touch it page by page. */
static void leap(void *arg)
{
    volatile char big[100 * 1024];
    volatile size_t first = 0; /* not known to the compiler, or it needs no array */

    big[first] = 1;
    *(volatile int *)arg = big[first];
}

static void spawn_overflow(void *arg)
{
    struct weir_scope scope;
    int sum;

    weir_scope_init(&scope);
    weir_spawn(&scope, nothing, NULL); /* whose stack lies below */
    if (arg)
        weir_spawn(&scope, overflow, &sum);
    else
        weir_spawn(&scope, leap, &sum);
    weir_scope_join(&scope, WEIR_NEVER);
}

static void run_overflow(void *arg)
{
    run_shards(1, spawn_overflow, arg);
}

static void test_overflow_names_the_fiber(void **state)
{
    int sum = 0;

    (void)state;
    if (WEIR_ASAN || WEIR_TSAN) {
        print_message("sanitizers report an overflow in their own words\n");
        skip();
    }
    assert_panics(run_overflow, &sum, "stack overflow");
    assert_panics(run_overflow, &sum, "fiber 'overflow' spawned at ");
    assert_panics(run_overflow, &sum, "test_fiber.c:");
    assert_panics(run_overflow, NULL, "stack overflow");
    assert_panics(run_overflow, NULL, "fiber 'leap' spawned at ");
}

static void hold(void *arg)
{
    struct weir_shard_stats stats;
    uint64_t end = weir_cycles() + 15000 * weir_cycles_per_us();

    (void)arg;
    weir_fiber_name("greedy");
    while (weir_cycles() < end)
        ;
    weir_yield();
    weir_shard_stats(&stats);
    check_int((int64_t)stats.stalls, 1);
}

static void run_hold(void *arg)
{
    check_int(run_shards(1, hold, arg), 0);
}

static void test_long_running_fiber_is_reported(void **state)
{
    const char held[] = "held shard 0 for ";
    char said[4096], *at;

    (void)state;
    assert_int_equal(child_run(run_hold, NULL, said, sizeof said), 0);
    assert_non_null(strstr(said, "fiber 'greedy' (spawned at "));
    at = strstr(said, held);
    assert_non_null(at);
    /* 15 ms; more, if the kernel took the CPU away. */
    assert_true(strtol(at + sizeof held - 1, NULL, 10) >= 14);
}

static void sleeper(void *arg)
{
    (void)arg;
    weir_sleep(WEIR_MS(5));
}

static void dump(void *arg)
{
    struct weir_scope scope;

    (void)arg;
    weir_scope_init(&scope);
    weir_spawn(&scope, sleeper, NULL);
    weir_yield();
    weir_shard_dump(weir_shard_current);
    weir_scope_join(&scope, WEIR_NEVER);
}

static void run_dump(void *arg)
{
    check_int(run_paused(dump, arg), 0);
}

static void test_dump_lists_the_fibers(void **state)
{
    char said[4096];

    (void)state;
    assert_int_equal(child_run(run_dump, NULL, said, sizeof said), 0);
    assert_non_null(strstr(said, "shard 0: 2 fibers"));
    assert_non_null(strstr(said, "fiber 'sleeper' (spawned at "));
    assert_non_null(strstr(said, "waits for"));
}

#define CASE(name)                                      \
    static void test_##name(void **state)               \
    {                                                   \
        (void)state;                                    \
        assert_int_equal(run_shards(1, name, NULL), 0); \
    }

CASE(scope_bound)
CASE(deep_cancel)
CASE(yield_order)
CASE(quantum_ends)
CASE(alarms_are_bounded_per_turn)
CASE(many_stacks)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scope_bound),
        cmocka_unit_test(test_shard_bound),
        cmocka_unit_test(test_deep_cancel),
        cmocka_unit_test(test_yield_order),
        cmocka_unit_test(test_quantum_ends),
        cmocka_unit_test(test_alarms_are_bounded_per_turn),
        cmocka_unit_test(test_many_stacks),
        cmocka_unit_test(test_overflow_names_the_fiber),
        cmocka_unit_test(test_long_running_fiber_is_reported),
        cmocka_unit_test(test_dump_lists_the_fibers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
