/* test_sim_interval.c - intervals over many seeds, against a list of when their ticks are due. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "tests/seeds.h"

/* A tick of the wheel, and the turns of all shards that may come first. */
#define LATE_MAX (WEIR_TICK + WEIR_MS(2))

/* The multiple of the period after `due` that the policy goes on with, one at a time. */
static weir_time next_of(enum weir_missed missed, weir_time due, weir_time period, weir_time now)
{
    weir_time next = due + period;

    if (now - due <= WEIR_MS(5) || missed == WEIR_MISSED_BURST)
        return next;
    if (missed == WEIR_MISSED_DELAY)
        return now + period;
    while (next <= now)
        next += period;
    return next;
}

static void take(struct weir_interval *interval, weir_time *due, weir_time at)
{
    check(at == *due);
    check(weir_now() >= at);
    *due = next_of(interval->missed, at, interval->period, weir_now());
    check(interval->due == *due);
}

/* Waits a while for the tick, by a call or in a race; whether it came. */
static bool wait_some(struct weir_interval *interval, weir_time *due)
{
    weir_time before = weir_now(), deadline = before + random_in(0, 3 * interval->period), at;
    struct weir_timer tick;

    if (weir_random(2) == 0) {
        if (weir_interval_tick(interval, &at, deadline) == 0) {
            take(interval, due, at);
            check(weir_now() <= (at > before ? at : before) + LATE_MAX);
            return true;
        }
    } else {
        weir_timer_start(&tick, interval->due);
        if (weir_await(&tick.future, deadline) == 0) {
            at = weir_interval_take(interval);
            take(interval, due, at);
            return true;
        }
    }
    check(weir_now() >= deadline);
    check(interval->due == *due); /* nothing lost */
    return false;
}

static uint64_t ticks_taken; /* over all seeds */

static void ticker(void *arg)
{
    enum weir_missed missed = (enum weir_missed)weir_random(3);
    weir_time period =
        weir_random(4) == 0 ? random_in(100, WEIR_US(200)) : random_in(100, WEIR_MS(40));
    struct weir_interval interval;
    weir_time due = weir_now() + random_in(-WEIR_MS(20), WEIR_MS(20));

    (void)arg;
    weir_interval_init(&interval, due, period, missed);
    for (int i = 0; i < 60; i++) {
        ticks_taken += wait_some(&interval, &due);
        if (weir_random(3) == 0)
            check_int(weir_sleep(random_in(0, 6 * period)), 0);
        if (weir_random(40) == 0) {
            weir_interval_reset(&interval);
            due = weir_now() + period;
            check(interval.due == due);
        }
    }
}

static void tickers_main(void *arg)
{
    struct weir_scope scope;

    weir_scope_init(&scope);
    for (int i = 0; i < 8; i++)
        check_int(weir_spawn(&scope, ticker, arg), 0);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
}

static void tickers_seed(uint64_t seed)
{
    struct weir_sim_config config;

    weir_sim_config_init(&config);
    config.seed = seed;
    check_int(weir_sim_run(&config, tickers_main, NULL), 0);
}

static void ticks_come_when_they_are_due(void **state)
{
    (void)state;
    ticks_taken = 0;
    seeds_each(500, tickers_seed);
    assert_true(ticks_taken > 0);
}

/* --- the clock of the simulation is virtual: pausing it does nothing --- */

static void advances(void *arg)
{
    weir_time start = weir_now(), span = random_in(0, WEIR_SEC(10));

    (void)arg;
    weir_pause();
    weir_pause();
    check_int(weir_sleep(WEIR_US(200)), 0);
    check(weir_now() > start);
    start = weir_now();
    check_int(weir_advance(span), 0);
    check(weir_now() >= start + span && weir_now() <= start + span + LATE_MAX);
    weir_resume();
    weir_resume();
    check_int(weir_advance(0), 0);
}

static void advances_seed(uint64_t seed)
{
    struct weir_sim_config config;

    weir_sim_config_init(&config);
    config.seed = seed;
    check_int(weir_sim_run(&config, advances, NULL), 0);
}

static void pausing_does_nothing(void **state)
{
    (void)state;
    seeds_each(100, advances_seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ticks_come_when_they_are_due),
        cmocka_unit_test(pausing_does_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
