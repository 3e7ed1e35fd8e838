/* test_sim_timers.c - timers over many seeds: never early, in order, not late for no reason. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "tests/seeds.h"

/* A tick, and the turns of all shards that may come first. */
#define LATE_MAX (WEIR_TICK + WEIR_MS(2))

static void run(uint64_t seed, void (*shard_main)(void *arg), weir_time limit)
{
    struct weir_sim_config config;

    weir_sim_config_init(&config);
    config.seed = seed;
    config.shards = 1 + (unsigned)(seed % 3);
    config.limit = limit;
    check_int(weir_sim_run(&config, shard_main, NULL), 0);
}

/* --- sleeping is never short, and not long either --- */

static void sleeper(void *arg)
{
    (void)arg;
    for (int i = 0; i < 10; i++) {
        weir_time span =
            weir_random(4) == 0 ? random_in(0, WEIR_SEC(100)) : random_in(0, WEIR_MS(5));
        weir_time end = weir_after(span);

        check_int(weir_sleep(span), 0);
        check(weir_now() >= end);
        check(weir_now() <= end + LATE_MAX);
    }
}

static void sleepers_main(void *arg)
{
    struct weir_scope scope;

    weir_scope_init(&scope);
    for (int i = 0; i < 20; i++)
        check_int(weir_spawn(&scope, sleeper, arg), 0);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
}

static void sleepers_seed(uint64_t seed)
{
    run(seed, sleepers_main, WEIR_SEC(3600));
}

static void sleep_is_never_short(void **state)
{
    (void)state;
    seeds_each(1000, sleepers_seed);
}

/* --- alarms fire in the order of their ticks, then of setting; against a plain list --- */

enum { ALARMS = 48, CHANGES = 300 };

struct order_alarm {
    struct weir_alarm alarm;
    uint64_t tick, order; /* as they were set; order 0: not armed */
};

struct order {
    struct order_alarm alarm[ALARMS];
    uint64_t orders, fired;
};

static struct order order_of[4]; /* by shard */

static uint64_t tick_of(weir_time when)
{
    return (uint64_t)(when + WEIR_TICK - 1) >> WEIR_TICK_SHIFT;
}

static bool order_before(const struct order_alarm *a, const struct order_alarm *b)
{
    return a->tick != b->tick ? a->tick < b->tick : a->order < b->order;
}

static void order_fire(struct weir_alarm *alarm)
{
    struct order *order = &order_of[weir_shard_id()];
    struct order_alarm *fired = weir_container_of(alarm, struct order_alarm, alarm);

    check(fired->order != 0);
    check(weir_now() >= alarm->when);
    check(!weir_alarm_armed(alarm));
    for (int i = 0; i < ALARMS; i++)
        if (order->alarm[i].order != 0 && &order->alarm[i] != fired)
            check(order_before(fired, &order->alarm[i]));
    fired->order = 0;
    order->fired++;
}

static void order_change(struct order *order)
{
    struct order_alarm *a = &order->alarm[weir_random(ALARMS)];
    /* Exponents, so that all levels of the wheel are used, and many ticks are equal. */
    weir_time span = 1 + random_in(0, ((weir_time)1 << random_in(0, 40)) - 1);

    if (weir_random(4) == 0) {
        weir_alarm_clear(&a->alarm);
        a->order = 0;
        check(!weir_alarm_armed(&a->alarm));
        return;
    }
    weir_alarm_set(&a->alarm, weir_after(span));
    a->tick = tick_of(a->alarm.when);
    a->order = ++order->orders;
    check(weir_alarm_armed(&a->alarm));
}

static bool order_any_armed(const struct order *order)
{
    for (int i = 0; i < ALARMS; i++)
        if (order->alarm[i].order != 0)
            return true;
    return false;
}

static void order_main(void *arg)
{
    struct order *order = &order_of[weir_shard_id()];

    (void)arg;
    *order = (struct order){ 0 };
    for (int i = 0; i < ALARMS; i++)
        weir_alarm_init(&order->alarm[i].alarm, order_fire);
    for (int i = 0; i < CHANGES; i++) {
        order_change(order);
        if (weir_random(3) == 0)
            check_int(weir_sleep((weir_time)1 << random_in(0, 36)), 0);
    }
    while (order_any_armed(order))
        check_int(weir_sleep(WEIR_SEC(60)), 0);
    check(order->fired > 0);
}

static void order_seed(uint64_t seed)
{
    run(seed, order_main, WEIR_SEC(1000000));
}

static void alarms_fire_in_order(void **state)
{
    (void)state;
    seeds_each(1000, order_seed);
}

/* --- beyond the span of the wheel (52 days) --- */

static void far_sleeper(void *arg)
{
    weir_time span = WEIR_SEC(86400) * *(int *)arg;
    weir_time end = weir_after(span);

    check_int(weir_sleep(span), 0);
    check(weir_now() >= end && weir_now() <= end + LATE_MAX);
}

static void far_main(void *arg)
{
    static int days[] = { 1, 51, 52, 53, 60, 105, 400 };
    struct weir_scope scope;

    (void)arg;
    weir_scope_init(&scope);
    for (size_t i = 0; i < WEIR_COUNT(days); i++)
        check_int(weir_spawn(&scope, far_sleeper, &days[i]), 0);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
}

static void far_seed(uint64_t seed)
{
    run(seed, far_main, WEIR_SEC(86400) * 500);
}

static void beyond_the_wheel(void **state)
{
    (void)state;
    seeds_each(20, far_seed);
}

/* --- timers as futures: deadlines, races, cancel --- */

static void timer_round(void)
{
    struct weir_timer a, b;
    weir_time when_a = weir_after(random_in(0, WEIR_MS(30)));
    weir_time when_b = weir_after(random_in(0, WEIR_MS(30)));
    weir_time deadline = weir_after(random_in(0, WEIR_MS(30)));
    weir_time first = when_a < when_b ? when_a : when_b;
    int winner;

    weir_timer_start(&a, when_a);
    weir_timer_start(&b, when_b);
    winner = weir_race(deadline, &a.future, &b.future);
    check(a.future.done && b.future.done);
    check(weir_now() <= (first < deadline ? first : deadline) + LATE_MAX);
    switch (winner) {
    case 0:
        check_int(a.future.result, 0);
        check(weir_now() >= when_a);
        break;
    case 1:
        check_int(b.future.result, 0);
        check(weir_now() >= when_b);
        break;
    default:
        check_int(winner, -ETIMEDOUT);
        check(weir_now() >= deadline);
        check_int(a.future.result, -ECANCELED);
        check_int(b.future.result, -ECANCELED);
        check(deadline <= first + 2 * WEIR_TICK);
    }
    check(!weir_alarm_armed(&a.alarm) && !weir_alarm_armed(&b.alarm));
}

static void all_round(void)
{
    struct weir_timer t[5];
    weir_time last = 0, deadline = weir_after(random_in(0, WEIR_MS(6)));
    int result;

    for (int i = 0; i < 5; i++) {
        weir_time when = weir_after(random_in(0, WEIR_MS(4)));

        weir_timer_start(&t[i], when);
        last = when > last ? when : last;
    }
    result = weir_await_all(deadline, &t[0].future, &t[1].future, &t[2].future, &t[3].future,
                            &t[4].future);
    for (int i = 0; i < 5; i++)
        check(t[i].future.done && (t[i].future.result == 0 || result == -ETIMEDOUT));
    check(weir_now() >= (result == 0 ? last : deadline));
}

static void timer_fiber(void *arg)
{
    (void)arg;
    for (int i = 0; i < 15; i++) {
        timer_round();
        all_round();
    }
}

static void timers_main(void *arg)
{
    struct weir_scope scope;

    weir_scope_init(&scope);
    for (int i = 0; i < 8; i++)
        check_int(weir_spawn(&scope, timer_fiber, arg), 0);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
}

static void timers_seed(uint64_t seed)
{
    run(seed, timers_main, WEIR_SEC(10));
}

static void timer_futures(void **state)
{
    (void)state;
    seeds_each(1000, timers_seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sleep_is_never_short),
        cmocka_unit_test(alarms_fire_in_order),
        cmocka_unit_test(beyond_the_wheel),
        cmocka_unit_test(timer_futures),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
