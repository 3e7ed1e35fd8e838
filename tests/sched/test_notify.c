/* test_notify.c - notifications: one or all, what is remembered, and that none is lost. */
#include "tests/sched/run.h"
#include <weir/event.h>

struct waiter {
    struct weir_notify *notify;
    weir_time deadline;
    int result; /* 1: still waits */
    int *told, place;
};

static void wait_told(void *arg)
{
    struct waiter *w = arg;

    w->result = weir_notify_wait(w->notify, w->deadline);
    w->place = ++*w->told;
}

static void waiter_start(struct weir_scope *scope, struct waiter *w, struct weir_notify *notify,
                         int *told)
{
    *w = (struct waiter){ notify, WEIR_NEVER, 1, told, 0 };
    check_int(weir_spawn(scope, wait_told, w), 0);
    weir_yield();
}

static bool is_remembered(struct weir_notify *notify)
{
    return weir_notify_wait(notify, weir_now()) == 0;
}

static void a_call_before_the_wait_is_remembered_once(void *arg)
{
    struct weir_notify notify;

    (void)arg;
    weir_notify_init(&notify);
    check(!is_remembered(&notify));
    for (int i = 0; i < 3; i++)
        weir_notify_one(&notify);
    check_int(weir_notify_wait(&notify, WEIR_NEVER), 0);
    check_int(weir_notify_wait(&notify, weir_after(WEIR_US(1))), -ETIMEDOUT);
}

static void one_goes_to_the_longest_waiting(void *arg)
{
    struct weir_notify notify;
    struct weir_scope scope;
    struct waiter w[3];
    int told = 0;

    (void)arg;
    weir_notify_init(&notify);
    weir_scope_init(&scope);
    for (int i = 0; i < 3; i++)
        waiter_start(&scope, &w[i], &notify, &told);
    for (int i = 0; i < 3; i++) {
        weir_notify_one(&notify);
        weir_yield();
        check_int(told, i + 1);
        check(w[i].result == 0 && w[i].place == i + 1);
    }
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    check(!is_remembered(&notify)); /* all were handed over */
}

static void two_calls_in_a_row_tell_two(void *arg)
{
    struct weir_notify notify;
    struct weir_scope scope;
    struct waiter w[2];
    int told = 0;

    (void)arg;
    weir_notify_init(&notify);
    weir_scope_init(&scope);
    waiter_start(&scope, &w[0], &notify, &told);
    waiter_start(&scope, &w[1], &notify, &told);
    weir_notify_one(&notify);
    weir_notify_one(&notify);
    weir_notify_one(&notify); /* nobody is left to hand this one to */
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    check_int(told, 2);
    check(is_remembered(&notify));
    check(!is_remembered(&notify));
}

static void all_tells_who_waits_now_and_remembers_nothing(void *arg)
{
    struct weir_notify notify;
    struct weir_scope scope;
    struct waiter w[3], late;
    int told = 0;

    (void)arg;
    weir_notify_init(&notify);
    weir_scope_init(&scope);
    weir_notify_all(&notify);
    check(!is_remembered(&notify));
    for (int i = 0; i < 3; i++)
        waiter_start(&scope, &w[i], &notify, &told);
    weir_notify_all(&notify);
    waiter_start(&scope, &late, &notify, &told);
    weir_yield();
    check_int(told, 3);
    for (int i = 0; i < 3; i++)
        check(w[i].result == 0 && w[i].place == i + 1);
    check_int(late.result, 1);
    weir_notify_one(&notify);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    weir_notify_one(&notify);
    weir_notify_all(&notify); /* leaves what is remembered */
    check(is_remembered(&notify));
}

static void a_waiter_that_gave_up_is_passed_over(void *arg)
{
    struct weir_notify notify;
    struct weir_scope scope, first;
    struct waiter w[2];
    int told = 0;

    for (int cancel = 0; cancel < 2; cancel++) {
        (void)arg;
        weir_notify_init(&notify);
        weir_scope_init(&scope);
        weir_scope_init(&first);
        w[0] = (struct waiter){ &notify, WEIR_NEVER, 1, &told, 0 };
        if (!cancel)
            w[0].deadline = weir_after(WEIR_US(200));
        check_int(weir_spawn(&first, wait_told, &w[0]), 0);
        weir_yield();
        waiter_start(&scope, &w[1], &notify, &told);
        if (cancel)
            weir_scope_cancel(&first); /* it has not run since, but it is out of the queue */
        else
            check_int(weir_sleep(WEIR_MS(1)), 0);
        weir_notify_one(&notify);
        check_int(weir_scope_join(&first, WEIR_NEVER), 0);
        check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
        check_int(w[0].result, cancel ? -ECANCELED : -ETIMEDOUT);
        check_int(w[1].result, 0);
        check(!is_remembered(&notify));
    }
}

/* Cancelled when it has been told but has not run: it has the notification, which is not lost. */
static void a_notification_handed_over_before_the_cancel_is_returned(void *arg)
{
    struct weir_notify notify;
    struct weir_scope scope, first;
    struct waiter w[2];
    int told = 0;

    (void)arg;
    weir_notify_init(&notify);
    weir_scope_init(&scope);
    weir_scope_init(&first);
    waiter_start(&first, &w[0], &notify, &told);
    waiter_start(&scope, &w[1], &notify, &told);
    weir_notify_one(&notify);
    weir_scope_cancel(&first);
    check_int(weir_scope_join(&first, WEIR_NEVER), 0);
    check_int(w[0].result, 0);
    check_int(w[1].result, 1);
    weir_scope_cancel(&scope);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    check(!is_remembered(&notify));
}

static void cancelled_already(void *arg)
{
    struct weir_notify *notify = arg;

    check_int(weir_sleep_until(WEIR_NEVER), -ECANCELED);
    check_int(weir_notify_wait(notify, WEIR_NEVER), -ECANCELED);
    weir_notify_one(notify);
    check_int(weir_notify_wait(notify, WEIR_NEVER), 0); /* what is there is had all the same */
    weir_notify_one(notify);
}

static void a_cancelled_fiber_takes_what_is_remembered(void *arg)
{
    struct weir_notify notify;
    struct weir_scope scope;

    (void)arg;
    weir_notify_init(&notify);
    weir_scope_init(&scope);
    check_int(weir_spawn(&scope, cancelled_already, &notify), 0);
    weir_yield();
    weir_scope_cancel(&scope);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    check(is_remembered(&notify));
}

static void a_race_that_it_loses_leaves_the_notification(void *arg)
{
    struct weir_notify notify;
    struct weir_wait wait;
    struct weir_timer timer;

    (void)arg;
    weir_notify_init(&notify);
    weir_notify_start(&wait, &notify);
    weir_timer_start(&timer, weir_now());
    check_int(weir_race(WEIR_NEVER, &wait.future, &timer.future), 1);
    check_int(wait.future.result, -ECANCELED);
    check(weir_list_empty(&notify.waiters));

    weir_notify_one(&notify);
    weir_notify_start(&wait, &notify);
    weir_timer_start(&timer, WEIR_NEVER);
    check_int(weir_race(WEIR_NEVER, &timer.future, &wait.future), 1);
    check_int(wait.future.result, 0);
    check(!is_remembered(&notify));
}

/* Both at once: the loser has its notification, and hands it on. */
static void a_loser_that_was_told_hands_it_on(void *arg)
{
    struct weir_notify notify, other;
    struct weir_wait wait, winner;

    (void)arg;
    weir_notify_init(&notify);
    weir_notify_init(&other);
    weir_notify_start(&winner, &other);
    weir_notify_start(&wait, &notify);
    weir_notify_one(&notify);
    weir_notify_one(&other);
    check_int(weir_race(WEIR_NEVER, &winner.future, &wait.future), 0);
    check_int(wait.future.result, 0);
    check(!is_remembered(&notify));
    weir_notify_one(&notify);
    check(is_remembered(&notify));
}

/* --- callbacks --- */

static struct again {
    struct weir_notify notify;
    struct weir_wait wait;
    int times;
} again;

static void wait_again(struct weir_future *future)
{
    (void)future;
    again.times++;
    weir_notify_start(&again.wait, &again.notify);
    check(weir_future_on_done(&again.wait.future, wait_again));
}

static void all_ends_no_wait_that_begins_meanwhile(void *arg)
{
    (void)arg;
    again.times = 0;
    weir_notify_init(&again.notify);
    weir_notify_start(&again.wait, &again.notify);
    check(weir_future_on_done(&again.wait.future, wait_again));
    weir_notify_all(&again.notify);
    check_int(again.times, 1);
    weir_notify_one(&again.notify);
    check_int(again.times, 2);
    again.wait.future.on_done = NULL;
    weir_future_cancel(&again.wait.future);
    check(weir_list_empty(&again.notify.waiters));
}

/* --- misuse --- */

static int64_t notify_there(void *arg)
{
    weir_notify_one(arg);
    return 0;
}

static void notify_elsewhere(void *arg)
{
    struct weir_notify notify;

    (void)arg;
    weir_notify_init(&notify);
    weir_notify_all(&notify); /* at home here from now on */
    weir_call(1 - weir_shard_id(), notify_there, &notify, WEIR_NEVER);
}

static void run_elsewhere(void *arg)
{
    run_shards(2, notify_elsewhere, arg);
}

static void notify_nowhere(void *arg)
{
    struct weir_notify notify;

    (void)arg;
    weir_notify_init(&notify);
    weir_notify_one(&notify);
}

static void test_misuse_ends_with_a_sentence(void **state)
{
    (void)state;
    assert_panics(run_elsewhere, NULL, "weir_notify_one: this object belongs to shard");
    assert_panics(notify_nowhere, NULL, "weir_notify_one: no shard runs on this thread");
}

#define CASE(name)                                   \
    static void test_##name(void **state)            \
    {                                                \
        (void)state;                                 \
        assert_int_equal(run_paused(name, NULL), 0); \
    }

CASE(a_call_before_the_wait_is_remembered_once)
CASE(one_goes_to_the_longest_waiting)
CASE(two_calls_in_a_row_tell_two)
CASE(all_tells_who_waits_now_and_remembers_nothing)
CASE(a_waiter_that_gave_up_is_passed_over)
CASE(a_notification_handed_over_before_the_cancel_is_returned)
CASE(a_cancelled_fiber_takes_what_is_remembered)
CASE(a_race_that_it_loses_leaves_the_notification)
CASE(a_loser_that_was_told_hands_it_on)
CASE(all_ends_no_wait_that_begins_meanwhile)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_call_before_the_wait_is_remembered_once),
        cmocka_unit_test(test_one_goes_to_the_longest_waiting),
        cmocka_unit_test(test_two_calls_in_a_row_tell_two),
        cmocka_unit_test(test_all_tells_who_waits_now_and_remembers_nothing),
        cmocka_unit_test(test_a_waiter_that_gave_up_is_passed_over),
        cmocka_unit_test(test_a_notification_handed_over_before_the_cancel_is_returned),
        cmocka_unit_test(test_a_cancelled_fiber_takes_what_is_remembered),
        cmocka_unit_test(test_a_race_that_it_loses_leaves_the_notification),
        cmocka_unit_test(test_a_loser_that_was_told_hands_it_on),
        cmocka_unit_test(test_all_ends_no_wait_that_begins_meanwhile),
        cmocka_unit_test(test_misuse_ends_with_a_sentence),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
