/* test_event.c - a flag to wait for: set, cleared, set and cleared before anybody runs. */
#include "tests/sched/run.h"
#include <weir/event.h>

struct waiter {
    struct weir_event *event;
    weir_time deadline;
    int result; /* 1: still waits */
};

static void wait_set(void *arg)
{
    struct waiter *w = arg;

    w->result = weir_event_wait(w->event, w->deadline);
}

static void waiters_start(struct weir_scope *scope, struct waiter *w, int count,
                          struct weir_event *event)
{
    for (int i = 0; i < count; i++) {
        w[i] = (struct waiter){ event, WEIR_NEVER, 1 };
        check_int(weir_spawn(scope, wait_set, &w[i]), 0);
    }
    weir_yield();
}

static void it_stays_set_until_it_is_cleared(void *arg)
{
    struct weir_event event;

    (void)arg;
    weir_event_init(&event);
    check(!weir_event_is_set(&event));
    check_int(weir_event_wait(&event, weir_now()), -ETIMEDOUT);
    for (int i = 0; i < 2; i++) {
        weir_event_set(&event); /* the second changes nothing */
        check(weir_event_is_set(&event));
        check_int(weir_event_wait(&event, WEIR_NEVER), 0);
        check_int(weir_event_wait(&event, weir_now()), 0);
    }
    weir_event_clear(&event);
    weir_event_clear(&event);
    check(!weir_event_is_set(&event));
    check_int(weir_event_wait(&event, weir_after(WEIR_US(1))), -ETIMEDOUT);
}

static void setting_it_ends_the_wait_of_all(void *arg)
{
    struct weir_event event;
    struct weir_scope scope;
    struct waiter w[3];

    (void)arg;
    weir_event_init(&event);
    weir_scope_init(&scope);
    waiters_start(&scope, w, 3, &event);
    weir_event_set(&event);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    for (int i = 0; i < 3; i++)
        check_int(w[i].result, 0);
}

static void clearing_it_at_once_takes_nothing_back(void *arg)
{
    struct weir_event event;
    struct weir_scope scope, behind;
    struct waiter w[2], late;

    (void)arg;
    weir_event_init(&event);
    weir_scope_init(&scope);
    weir_scope_init(&behind);
    waiters_start(&scope, w, 2, &event);
    weir_event_set(&event);
    weir_event_clear(&event);
    waiters_start(&behind, &late, 1, &event);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    check(w[0].result == 0 && w[1].result == 0);
    check_int(late.result, 1); /* it came when it was clear again */
    weir_event_set(&event);
    check_int(weir_scope_join(&behind, WEIR_NEVER), 0);
    check_int(late.result, 0);
}

static void giving_up_leaves_no_trace(void *arg)
{
    struct weir_event event;
    struct weir_scope scope;
    struct waiter w[2];

    (void)arg;
    weir_event_init(&event);
    weir_scope_init(&scope);
    w[0] = (struct waiter){ &event, weir_after(WEIR_US(100)), 1 };
    w[1] = (struct waiter){ &event, WEIR_NEVER, 1 };
    check_int(weir_spawn(&scope, wait_set, &w[0]), 0);
    check_int(weir_spawn(&scope, wait_set, &w[1]), 0);
    check_int(weir_sleep(WEIR_MS(1)), 0);
    check_int(w[0].result, -ETIMEDOUT);
    weir_scope_cancel(&scope);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    check_int(w[1].result, -ECANCELED);
    check(weir_list_empty(&event.waiters));
    weir_event_set(&event);
    check(weir_event_is_set(&event));
}

static void set_before_the_cancel_counts(void *arg)
{
    struct weir_event event;
    struct weir_scope scope;
    struct waiter w;

    (void)arg;
    weir_event_init(&event);
    weir_scope_init(&scope);
    waiters_start(&scope, &w, 1, &event);
    weir_event_set(&event);
    weir_scope_cancel(&scope);
    weir_event_clear(&event);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    check_int(w.result, 0);
}

/* From a callback, and beside something else. */
static struct weir_event alarm_event;

static void set_it(struct weir_alarm *alarm)
{
    (void)alarm;
    weir_event_set(&alarm_event);
}

static void it_races_with_others(void *arg)
{
    struct weir_alarm alarm;
    struct weir_timer timer;
    struct weir_wait wait;

    (void)arg;
    weir_event_init(&alarm_event);
    weir_alarm_init(&alarm, set_it);
    weir_alarm_set(&alarm, weir_after(WEIR_MS(1)));
    weir_event_start(&wait, &alarm_event);
    weir_timer_start(&timer, WEIR_NEVER);
    check_int(weir_race(WEIR_NEVER, &timer.future, &wait.future), 1);
    check_int(wait.future.result, 0);

    weir_event_start(&wait, &alarm_event); /* set: ready at once */
    check(wait.future.done);
    weir_event_clear(&alarm_event);
    weir_event_start(&wait, &alarm_event);
    weir_timer_start(&timer, weir_now());
    check_int(weir_race(WEIR_NEVER, &timer.future, &wait.future), 0);
    check_int(wait.future.result, -ECANCELED);
    check(weir_list_empty(&alarm_event.waiters));
}

/* --- misuse --- */

static int64_t set_there(void *arg)
{
    weir_event_set(arg);
    return 0;
}

static int64_t look_there(void *arg)
{
    return weir_event_is_set(arg);
}

static void use_elsewhere(void *arg)
{
    int64_t (*use)(void *arg) = *(int64_t(**)(void *))arg;
    struct weir_event event;

    weir_event_init(&event);
    check_int(weir_event_wait(&event, weir_now()), -ETIMEDOUT);
    weir_call(1 - weir_shard_id(), use, &event, WEIR_NEVER);
}

static void run_elsewhere(void *arg)
{
    run_shards(2, use_elsewhere, arg);
}

static void test_misuse_ends_with_a_sentence(void **state)
{
    int64_t (*set)(void *arg) = set_there, (*look)(void *arg) = look_there;

    (void)state;
    assert_panics(run_elsewhere, &set, "weir_event_set: this object belongs to shard");
    assert_panics(run_elsewhere, &look, "weir_event_is_set: this object belongs to shard");
}

#define CASE(name)                                   \
    static void test_##name(void **state)            \
    {                                                \
        (void)state;                                 \
        assert_int_equal(run_paused(name, NULL), 0); \
    }

CASE(it_stays_set_until_it_is_cleared)
CASE(setting_it_ends_the_wait_of_all)
CASE(clearing_it_at_once_takes_nothing_back)
CASE(giving_up_leaves_no_trace)
CASE(set_before_the_cancel_counts)
CASE(it_races_with_others)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_stays_set_until_it_is_cleared),
        cmocka_unit_test(test_setting_it_ends_the_wait_of_all),
        cmocka_unit_test(test_clearing_it_at_once_takes_nothing_back),
        cmocka_unit_test(test_giving_up_leaves_no_trace),
        cmocka_unit_test(test_set_before_the_cancel_counts),
        cmocka_unit_test(test_it_races_with_others),
        cmocka_unit_test(test_misuse_ends_with_a_sentence),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
