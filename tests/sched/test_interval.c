/* test_interval.c - ticks: when they are due, and what becomes of those that were missed.
 *
 * On a paused clock, so that every time is exact.  The tables are those of the documentation and
 * the tests of Tokio's MissedTickBehavior, by value. */
#include "tests/sched/run.h"
#include <weir/interval.h>

/* The next tick if it is due by now, in ms after `start`; -1: none is. */
static int64_t tick_ms(struct weir_interval *interval, weir_time start)
{
    weir_time at;
    int error = weir_interval_tick(interval, &at, 0);

    if (error == -ETIMEDOUT)
        return -1;
    check_int(error, 0);
    check_int((at - start) % WEIR_MS(1), 0);
    return (at - start) / WEIR_MS(1);
}

/* --- the tables --- */

enum { STEPS = 8, READY = 3 };

struct table {
    enum weir_missed missed;
    struct {
        int at;           /* ms after the start */
        int ready[READY]; /* the ticks that are due then, in ms; closed by a 0 but at the start */
    } step[STEPS];
};

static const struct table burst = {
    WEIR_MISSED_BURST,
    { { 100, { 0 } },
      { 300, { 300 } },
      { 950, { 600, 900 } },
      { 1150, { 0 } },
      { 1250, { 1200 } },
      { 1500, { 1500 } },
      { 1800, { 1800 } } },
};

static const struct table delay = {
    WEIR_MISSED_DELAY,
    { { 100, { 0 } },
      { 300, { 300 } },
      { 950, { 600 } },
      { 1050, { 0 } },
      { 1250, { 1250 } },
      { 1550, { 1550 } },
      { 1850, { 1850 } } },
};

static const struct table skip = {
    WEIR_MISSED_SKIP,
    { { 100, { 0 } },
      { 300, { 300 } },
      { 950, { 600 } },
      { 1200, { 1200 } },
      { 1500, { 1500 } },
      { 1800, { 1800 } } },
};

static void table_main(void *arg)
{
    const struct table *table = arg;
    weir_time start = weir_now();
    struct weir_interval interval;

    weir_interval_init(&interval, start, WEIR_MS(300), table->missed);
    check_int(tick_ms(&interval, start), 0);
    check_int(tick_ms(&interval, start), -1);
    for (int i = 0; i < STEPS && table->step[i].at > 0; i++) {
        check_int(weir_advance(start + WEIR_MS(table->step[i].at) - weir_now()), 0);
        for (int j = 0; j < READY && table->step[i].ready[j] > 0; j++)
            check_int(tick_ms(&interval, start), table->step[i].ready[j]);
        check_int(tick_ms(&interval, start), -1);
    }
}

static void the_tables_of_missed_ticks(void **state)
{
    (void)state;
    assert_int_equal(run_paused(table_main, (void *)(uintptr_t)&burst), 0);
    assert_int_equal(run_paused(table_main, (void *)(uintptr_t)&delay), 0);
    assert_int_equal(run_paused(table_main, (void *)(uintptr_t)&skip), 0);
}

/* Late from the start, as the examples are. */
static void examples_main(void *arg)
{
    weir_time start = weir_now();
    struct weir_interval b, d, s;

    (void)arg;
    weir_interval_init(&b, start, WEIR_MS(50), WEIR_MISSED_BURST);
    weir_interval_init(&d, start, WEIR_MS(50), WEIR_MISSED_DELAY);
    weir_interval_init(&s, start, WEIR_MS(50), WEIR_MISSED_SKIP);
    check_int(weir_sleep(WEIR_MS(75)), 0);
    check_int(tick_ms(&d, start), 0);
    check_int(tick_ms(&d, start), -1);
    check_int(d.due - start, WEIR_MS(125));
    check_int(tick_ms(&s, start), 0);
    check_int(tick_ms(&s, start), -1);
    check_int(s.due - start, WEIR_MS(100));
    check_int(weir_sleep(WEIR_MS(125)), 0);
    for (int ms = 0; ms <= 200; ms += 50)
        check_int(tick_ms(&b, start), ms);
    check_int(tick_ms(&b, start), -1);
    check_int(weir_interval_tick(&b, NULL, WEIR_NEVER), 0);
    check_int(weir_now() - start, WEIR_MS(250));
}

static void the_examples(void **state)
{
    (void)state;
    assert_int_equal(run_paused(examples_main, NULL), 0);
}

/* --- lateness that counts as none --- */

static void slack_main(void *arg)
{
    weir_time start = weir_now();
    struct weir_interval interval;

    weir_interval_init(&interval, start, WEIR_MS(20), *(enum weir_missed *)arg);
    check_int(weir_advance(WEIR_INTERVAL_SLACK), 0);
    check_int(tick_ms(&interval, start), 0);
    check_int(interval.due - start, WEIR_MS(20)); /* as if it had been on time */
    check_int(weir_advance(WEIR_MS(20) + 1), 0);
    check_int(tick_ms(&interval, start), 20);
    check_int(interval.due - start,
              interval.missed == WEIR_MISSED_DELAY ? WEIR_MS(45) + 1 : WEIR_MS(40));
}

/* A period later to the nanosecond: the next to skip to is not the one that is due now. */
static void skip_whole_main(void *arg)
{
    weir_time start = weir_now();
    struct weir_interval interval;

    (void)arg;
    weir_interval_init(&interval, start, WEIR_MS(20), WEIR_MISSED_SKIP);
    check_int(weir_advance(WEIR_MS(60)), 0);
    check_int(tick_ms(&interval, start), 0);
    check_int(interval.due - start, WEIR_MS(80));
}

static void a_little_late_is_on_time(void **state)
{
    enum weir_missed missed[] = { WEIR_MISSED_BURST, WEIR_MISSED_DELAY, WEIR_MISSED_SKIP };

    (void)state;
    for (size_t i = 0; i < WEIR_COUNT(missed); i++)
        assert_int_equal(run_paused(slack_main, &missed[i]), 0);
    assert_int_equal(run_paused(skip_whole_main, NULL), 0);
}

/* --- waiting --- */

/* The work counts: 10 ms of it after each tick leave 40 to wait. */
static void rate_main(void *arg)
{
    weir_time start = weir_now(), at;
    struct weir_interval interval;

    (void)arg;
    weir_interval_init(&interval, weir_after(WEIR_MS(30)), WEIR_MS(50), WEIR_MISSED_BURST);
    for (int i = 0; i < 10; i++) {
        check_int(weir_interval_tick(&interval, &at, WEIR_NEVER), 0);
        check_int(at - start, WEIR_MS(30) + i * WEIR_MS(50));
        check_int(weir_now(), at);
        check_int(weir_sleep(WEIR_MS(10)), 0);
    }
}

static void the_rate_is_kept(void **state)
{
    (void)state;
    assert_int_equal(run_paused(rate_main, NULL), 0);
}

static void waits_for_ticks(void *arg)
{
    struct weir_interval *interval = arg;

    check_int(weir_interval_tick(interval, NULL, WEIR_NEVER), 0);
    check_int(weir_interval_tick(interval, NULL, WEIR_NEVER), -ECANCELED);
    check_int(weir_interval_tick(interval, NULL, WEIR_NEVER), -ECANCELED);
    check_int(weir_interval_tick(interval, NULL, 0), -ECANCELED);
}

/* Neither a deadline nor a cancel takes a tick. */
static void no_tick_lost_main(void *arg)
{
    weir_time start = weir_now(), at;
    struct weir_interval interval;
    struct weir_scope scope;

    (void)arg;
    weir_interval_init(&interval, start, WEIR_MS(100), WEIR_MISSED_BURST);
    weir_scope_init(&scope);
    check_int(weir_spawn(&scope, waits_for_ticks, &interval), 0);
    check_int(weir_scope_join(&scope, weir_after(WEIR_MS(99))), -ETIMEDOUT);
    check_int(weir_now() - start, WEIR_MS(99));
    check_int(weir_interval_tick(&interval, &at, weir_now() + WEIR_MS(1) - 1), -ETIMEDOUT);
    check_int(weir_interval_tick(&interval, &at, weir_now() + 1), 0);
    check_int(at - start, WEIR_MS(100));
    check_int(weir_now(), at);
}

static void no_tick_is_lost(void **state)
{
    (void)state;
    assert_int_equal(run_paused(no_tick_lost_main, NULL), 0);
}

/* Among other things: the tick is taken by whoever has won the race with it. */
static void race_main(void *arg)
{
    struct weir_timer tick, other;
    weir_time start = weir_now();
    struct weir_interval interval;

    (void)arg;
    weir_interval_init(&interval, weir_after(WEIR_MS(10)), WEIR_MS(10), WEIR_MISSED_BURST);
    weir_timer_start(&tick, interval.due);
    weir_timer_start(&other, weir_after(WEIR_MS(4)));
    check_int(weir_race(WEIR_NEVER, &tick.future, &other.future), 1);
    weir_timer_start(&tick, interval.due);
    weir_timer_start(&other, weir_after(WEIR_MS(40)));
    check_int(weir_race(WEIR_NEVER, &tick.future, &other.future), 0);
    check_int(weir_interval_take(&interval) - start, WEIR_MS(10));
    check_int(interval.due - start, WEIR_MS(20));
}

static void it_takes_part_in_a_race(void **state)
{
    (void)state;
    assert_int_equal(run_paused(race_main, NULL), 0);
}

/* --- reset --- */

static void reset_main(void *arg)
{
    weir_time start = weir_now();
    struct weir_interval interval;

    (void)arg;
    weir_interval_init(&interval, start, WEIR_MS(300), WEIR_MISSED_BURST);
    check_int(tick_ms(&interval, start), 0);
    check_int(weir_advance(WEIR_MS(300)), 0);
    check_int(tick_ms(&interval, start), 300);
    check_int(weir_advance(WEIR_MS(100)), 0);
    check_int(tick_ms(&interval, start), -1);
    weir_interval_reset(&interval);
    check_int(weir_advance(WEIR_MS(250)), 0);
    check_int(tick_ms(&interval, start), -1);
    check_int(weir_advance(WEIR_MS(50)), 0);
    check_int(tick_ms(&interval, start), 700);
    check_int(weir_advance(WEIR_MS(300)), 0);
    check_int(tick_ms(&interval, start), 1000);
    weir_interval_reset_at(&interval, start + WEIR_MS(1001));
    check_int(weir_interval_tick(&interval, NULL, WEIR_NEVER), 0);
    check_int(weir_now() - start, WEIR_MS(1001));
    check_int(interval.due - start, WEIR_MS(1301));
    weir_interval_reset_at(&interval, 0); /* at once, and the rest as missed */
    check_int(weir_interval_tick(&interval, NULL, 0), 0);
    check_int(interval.due, WEIR_MS(300));
}

static void reset_begins_anew(void **state)
{
    (void)state;
    assert_int_equal(run_paused(reset_main, NULL), 0);
}

/* --- periods at the edges --- */

static void huge_main(void *arg)
{
    struct weir_interval interval;
    weir_time at;

    weir_interval_init(&interval, weir_now(), WEIR_NEVER, *(enum weir_missed *)arg);
    check_int(weir_advance(WEIR_SEC(1)), 0);
    check_int(weir_interval_tick(&interval, &at, 0), 0);
    check(interval.due == WEIR_NEVER);
    check_int(weir_interval_tick(&interval, &at, weir_after(WEIR_SEC(86400))), -ETIMEDOUT);
    check(interval.due == WEIR_NEVER);
    weir_interval_init(&interval, WEIR_NEVER, 1, *(enum weir_missed *)arg);
    check_int(weir_interval_tick(&interval, &at, weir_after(WEIR_SEC(86400))), -ETIMEDOUT);
}

static void a_huge_period_comes_never(void **state)
{
    enum weir_missed missed[] = { WEIR_MISSED_BURST, WEIR_MISSED_DELAY, WEIR_MISSED_SKIP };

    (void)state;
    for (size_t i = 0; i < WEIR_COUNT(missed); i++)
        assert_int_equal(run_paused(huge_main, &missed[i]), 0);
}

static void fast_ticks(void *arg)
{
    struct weir_interval interval;
    weir_time at, due = weir_now();
    int64_t *ticks = arg;

    weir_interval_init(&interval, due, WEIR_US(10), WEIR_MISSED_BURST);
    for (*ticks = 0; weir_interval_tick(&interval, &at, WEIR_NEVER) == 0; ++*ticks) {
        check_int(at, due);
        check(weir_now() >= at);
        due += WEIR_US(10);
    }
}

/* Below a tick of the wheel, on the real clock: all come, none early, and the fiber can be ended.
 */
static void fast_main(void *arg)
{
    weir_time start = weir_now();
    struct weir_scope scope;
    int64_t ticks;

    (void)arg;
    weir_scope_init(&scope);
    check_int(weir_spawn(&scope, fast_ticks, &ticks), 0);
    check_int(weir_scope_join(&scope, weir_after(WEIR_MS(20))), -ETIMEDOUT);
    check(ticks > 0 && ticks <= (weir_now() - start) / WEIR_US(10) + 1);
}

static void hurries_for_ever(void *arg)
{
    struct weir_interval interval;

    weir_interval_init(&interval, 0, 1, WEIR_MISSED_BURST);
    while (weir_interval_tick(&interval, NULL, WEIR_NEVER) == 0)
        ++*(int64_t *)arg;
}

/* One that can never catch up gives way to others, and hears of its cancel. */
static void hopeless_main(void *arg)
{
    struct weir_scope scope;
    int64_t ticks = 0;

    (void)arg;
    weir_scope_init(&scope);
    check_int(weir_spawn(&scope, hurries_for_ever, &ticks), 0);
    weir_yield();
    check_int(weir_scope_join(&scope, 0), -ETIMEDOUT);
    check(ticks > 0);
}

static void periods_below_the_resolution(void **state)
{
    (void)state;
    assert_int_equal(run_shards(1, fast_main, NULL), 0);
    assert_int_equal(run_paused(hopeless_main, NULL), 0);
}

/* --- misuse --- */

static void no_period(void *arg)
{
    struct weir_interval interval;

    weir_interval_init(&interval, 0, *(weir_time *)arg, WEIR_MISSED_SKIP);
}

static void before_time(void *arg)
{
    struct weir_interval interval;

    (void)arg;
    weir_interval_init(&interval, -1, 1, WEIR_MISSED_SKIP);
}

static void too_early(void *arg)
{
    struct weir_interval interval;

    (void)arg;
    weir_interval_init(&interval, weir_after(1234), 1, WEIR_MISSED_SKIP);
    weir_interval_take(&interval);
}

static void run_too_early(void *arg)
{
    run_paused(too_early, arg);
}

static void misuse(void **state)
{
    weir_time none = 0, negative = -1;

    (void)state;
    assert_panics(no_period, &none, "weir_interval_init: the period is 0 ns");
    assert_panics(no_period, &negative, "weir_interval_init: the period is -1 ns");
    assert_panics(before_time, NULL, "the first tick at -1");
    assert_panics(run_too_early, NULL, "weir_interval_take: the tick is due in 1234 ns");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_tables_of_missed_ticks),
        cmocka_unit_test(the_examples),
        cmocka_unit_test(a_little_late_is_on_time),
        cmocka_unit_test(the_rate_is_kept),
        cmocka_unit_test(no_tick_is_lost),
        cmocka_unit_test(it_takes_part_in_a_race),
        cmocka_unit_test(reset_begins_anew),
        cmocka_unit_test(a_huge_period_comes_never),
        cmocka_unit_test(periods_below_the_resolution),
        cmocka_unit_test(misuse),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
