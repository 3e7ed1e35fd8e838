/* test_watch.c - one value and its versions: what counts as a change, and to whom. */
#include "tests/sched/run.h"
#include <weir/watch.h>

struct waiter {
    struct weir_watch_rx rx;
    int result, value;
};

static void wait_changed(void *arg)
{
    struct waiter *waiter = arg;

    waiter->result = weir_watch_changed(&waiter->rx, WEIR_NEVER);
    if (waiter->result == 0)
        weir_watch_copy(&waiter->rx, &waiter->value);
}

static int send(struct weir_watch *watch, int value)
{
    return weir_watch_send(watch, &value);
}

static void the_value_at_subscribing_counts_as_seen(void *arg)
{
    struct weir_watch watch;
    struct weir_watch_rx rx;
    int value = 1, out = 0;

    (void)arg;
    weir_watch_init(&watch, &value, sizeof value);
    weir_watch_subscribe(&watch, &rx);
    check_int(weir_watch_has_changed(&rx), 0);
    check_int(weir_watch_changed(&rx, weir_now()), -ETIMEDOUT);
    weir_watch_copy(&rx, &out);
    check_int(out, 1);
    weir_watch_unsubscribe(&rx);
}

static void several_sends_are_one_change_to_the_latest(void *arg)
{
    struct weir_watch watch;
    struct weir_watch_rx rx;
    int value = 0, out = 0;

    (void)arg;
    weir_watch_init(&watch, &value, sizeof value);
    weir_watch_subscribe(&watch, &rx);
    for (int i = 1; i <= 3; i++)
        check_int(send(&watch, i), 0);
    check_int(weir_watch_has_changed(&rx), 1);
    check_int(weir_watch_has_changed(&rx), 1); /* looking marks nothing */
    check_int(weir_watch_changed(&rx, weir_now()), 0);
    check_int(weir_watch_has_changed(&rx), 0);
    check_int(*(const int *)weir_watch_value(&watch), 3);
    check_int(send(&watch, 3), 0); /* the same again is a change too */
    check_int(weir_watch_has_changed(&rx), 1);
    weir_watch_copy(&rx, &out); /* and copying marks it */
    check_int(weir_watch_has_changed(&rx), 0);
    weir_watch_unsubscribe(&rx);
}

static void a_send_tells_everybody_who_waits(void *arg)
{
    struct weir_watch watch;
    struct waiter waiters[3];
    struct weir_scope scope;
    int value = 0;

    (void)arg;
    weir_watch_init(&watch, &value, sizeof value);
    weir_scope_init(&scope);
    for (int i = 0; i < 3; i++) {
        waiters[i] = (struct waiter){ .result = 1 };
        weir_watch_subscribe(&watch, &waiters[i].rx);
        check_int(weir_spawn(&scope, wait_changed, &waiters[i]), 0);
    }
    weir_yield();
    check_int(send(&watch, 5), 0);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    for (int i = 0; i < 3; i++) {
        check_int(waiters[i].result, 0);
        check_int(waiters[i].value, 5);
        weir_watch_unsubscribe(&waiters[i].rx);
    }
}

static void a_cancelled_wait_leaves_the_change_unseen(void *arg)
{
    struct weir_watch watch;
    struct waiter waiter = { .result = 1 };
    struct weir_scope scope;
    int value = 0;

    (void)arg;
    weir_watch_init(&watch, &value, sizeof value);
    weir_watch_subscribe(&watch, &waiter.rx);
    weir_scope_init(&scope);
    check_int(weir_spawn(&scope, wait_changed, &waiter), 0);
    weir_yield();
    weir_scope_cancel(&scope);
    check_int(send(&watch, 1), 0);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    check_int(waiter.result, -ECANCELED);
    check_int(weir_watch_changed(&waiter.rx, weir_now()), 0);
    weir_watch_unsubscribe(&waiter.rx);
}

static void the_last_value_before_close_is_still_a_change(void *arg)
{
    struct weir_watch watch;
    struct waiter waiter = { .result = 1 };
    struct weir_scope scope;
    int value = 0;

    (void)arg;
    weir_watch_init(&watch, &value, sizeof value);
    weir_watch_subscribe(&watch, &waiter.rx);
    check_int(send(&watch, 1), 0);
    weir_watch_close(&watch);
    check_int(weir_watch_has_changed(&waiter.rx), 1);
    check_int(weir_watch_changed(&waiter.rx, WEIR_NEVER), 0);
    check_int(weir_watch_changed(&waiter.rx, WEIR_NEVER), -EPIPE);
    check_int(weir_watch_has_changed(&waiter.rx), -EPIPE);
    weir_watch_unsubscribe(&waiter.rx);

    weir_watch_init(&watch, &value, sizeof value);
    weir_watch_subscribe(&watch, &waiter.rx);
    weir_scope_init(&scope);
    check_int(weir_spawn(&scope, wait_changed, &waiter), 0);
    weir_yield();
    weir_watch_close(&watch); /* ends a wait */
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    check_int(waiter.result, -EPIPE);
    weir_watch_unsubscribe(&waiter.rx);
}

static void send_needs_a_receiver_and_replace_does_not(void *arg)
{
    struct weir_watch watch;
    int value = 1, two = 2;

    (void)arg;
    weir_watch_init(&watch, &value, sizeof value);
    check_int(send(&watch, 9), -EPIPE);
    check_int(value, 1);
    weir_watch_replace(&watch, &two);
    check_int(value, 2);
}

static bool raise_to(void *value, void *arg)
{
    if (*(int *)value >= *(int *)arg)
        return false;
    *(int *)value = *(int *)arg;
    return true;
}

static void modify_tells_only_if_it_changed_something(void *arg)
{
    struct weir_watch watch;
    struct weir_watch_rx rx;
    int value = 5, three = 3, seven = 7;

    (void)arg;
    weir_watch_init(&watch, &value, sizeof value);
    weir_watch_subscribe(&watch, &rx);
    check(!weir_watch_modify(&watch, raise_to, &three));
    check_int(weir_watch_has_changed(&rx), 0);
    check(weir_watch_modify(&watch, raise_to, &seven));
    check_int(weir_watch_has_changed(&rx), 1);
    check_int(value, 7);
    weir_watch_unsubscribe(&rx);
}

static void unsubscribe(void *arg)
{
    weir_watch_unsubscribe(arg);
}

static void closed_waits_for_the_last_receiver(void *arg)
{
    struct weir_watch watch;
    struct weir_watch_rx first, second;
    struct weir_scope scope;
    int value = 0;

    (void)arg;
    weir_watch_init(&watch, &value, sizeof value);
    check_int(weir_watch_closed(&watch, weir_now()), 0); /* there is none */
    weir_watch_subscribe(&watch, &first);
    weir_watch_subscribe(&watch, &second);
    weir_watch_unsubscribe(&first);
    check_int(weir_watch_closed(&watch, weir_after(WEIR_US(1))), -ETIMEDOUT);
    weir_scope_init(&scope);
    check_int(weir_spawn(&scope, unsubscribe, &second), 0);
    check_int(weir_watch_closed(&watch, WEIR_NEVER), 0);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
}

/* --- misuse --- */

static int64_t look_there(void *arg)
{
    return *(const int *)weir_watch_value(arg);
}

static void look_elsewhere(void *arg)
{
    struct weir_watch watch;
    int value = 0;

    (void)arg;
    weir_watch_init(&watch, &value, sizeof value);
    weir_call(1 - weir_shard_id(), look_there, &watch, WEIR_NEVER);
}

static void send_closed(void *arg)
{
    struct weir_watch watch;
    int value = 0;

    (void)arg;
    weir_watch_init(&watch, &value, sizeof value);
    weir_watch_close(&watch);
    send(&watch, 1);
}

static void run_elsewhere(void *arg)
{
    run_shards(2, look_elsewhere, arg);
}

static void run_closed(void *arg)
{
    run_shards(1, send_closed, arg);
}

static void test_misuse_ends_with_a_sentence(void **state)
{
    (void)state;
    assert_panics(run_elsewhere, NULL, "belongs to shard");
    assert_panics(run_closed, NULL, "was closed by weir_watch_close");
}

#define CASE(name)                                   \
    static void test_##name(void **state)            \
    {                                                \
        (void)state;                                 \
        assert_int_equal(run_paused(name, NULL), 0); \
    }

CASE(the_value_at_subscribing_counts_as_seen)
CASE(several_sends_are_one_change_to_the_latest)
CASE(a_send_tells_everybody_who_waits)
CASE(a_cancelled_wait_leaves_the_change_unseen)
CASE(the_last_value_before_close_is_still_a_change)
CASE(send_needs_a_receiver_and_replace_does_not)
CASE(modify_tells_only_if_it_changed_something)
CASE(closed_waits_for_the_last_receiver)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_value_at_subscribing_counts_as_seen),
        cmocka_unit_test(test_several_sends_are_one_change_to_the_latest),
        cmocka_unit_test(test_a_send_tells_everybody_who_waits),
        cmocka_unit_test(test_a_cancelled_wait_leaves_the_change_unseen),
        cmocka_unit_test(test_the_last_value_before_close_is_still_a_change),
        cmocka_unit_test(test_send_needs_a_receiver_and_replace_does_not),
        cmocka_unit_test(test_modify_tells_only_if_it_changed_something),
        cmocka_unit_test(test_closed_waits_for_the_last_receiver),
        cmocka_unit_test(test_misuse_ends_with_a_sentence),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
