/* test_broadcast.c - every message to every receiver; those who are too slow are told so. */
#include "tests/sched/run.h"
#include <weir/broadcast.h>

static int64_t send(struct weir_broadcast *broadcast, int message)
{
    return weir_broadcast_send(broadcast, &message);
}

static void expect(struct weir_broadcast_rx *rx, int first, int last)
{
    for (int i = first; i <= last; i++) {
        int message = -1;

        check_int(weir_broadcast_recv(rx, &message, weir_now()), 0);
        check_int(message, i);
    }
}

static int try_recv(struct weir_broadcast_rx *rx)
{
    int message;

    return weir_broadcast_try_recv(rx, &message);
}

static void every_receiver_gets_what_is_sent_after_it_subscribed(void *arg)
{
    struct weir_broadcast broadcast;
    struct weir_broadcast_rx early, late;

    (void)arg;
    check_int(weir_broadcast_init(&broadcast, sizeof(int), 4), 0);
    check_int(send(&broadcast, 0), -EPIPE); /* to nobody: it is not kept */
    weir_broadcast_subscribe(&broadcast, &early);
    check_int(send(&broadcast, 1), 1);
    weir_broadcast_subscribe(&broadcast, &late);
    check_int(send(&broadcast, 2), 2);
    check_int((int64_t)weir_broadcast_len(&early), 2);
    expect(&early, 1, 2);
    expect(&late, 2, 2);
    check(try_recv(&early) == -EAGAIN && try_recv(&late) == -EAGAIN);
    weir_broadcast_unsubscribe(&early);
    check_int(send(&broadcast, 3), 1);
    weir_broadcast_unsubscribe(&late);
    check_int(send(&broadcast, 4), -EPIPE);
    weir_broadcast_free(&broadcast);
}

static void a_slow_receiver_is_told_once_and_goes_on_with_the_oldest_kept(void *arg)
{
    (void)arg;
    for (int capacity = 1; capacity <= 5; capacity++) { /* exact, not rounded up */
        struct weir_broadcast broadcast;
        struct weir_broadcast_rx rx;
        int next = 0;

        check_int(weir_broadcast_init(&broadcast, sizeof(int), (size_t)capacity), 0);
        weir_broadcast_subscribe(&broadcast, &rx);
        while (next < capacity)
            check_int(send(&broadcast, next++), 1);
        expect(&rx, 0, capacity - 1); /* just full: nothing was missed */
        for (int i = 0; i < capacity + 3; i++)
            check_int(send(&broadcast, next++), 1);
        check_int(try_recv(&rx), -EOVERFLOW);
        check_int((int64_t)rx.missed, 3);
        expect(&rx, next - capacity, next - 1);
        check_int(try_recv(&rx), -EAGAIN);
        weir_broadcast_unsubscribe(&rx);
        weir_broadcast_free(&broadcast);
    }
}

static void close_comes_behind_the_last_message(void *arg)
{
    struct weir_broadcast broadcast;
    struct weir_broadcast_rx rx;

    (void)arg;
    check_int(weir_broadcast_init(&broadcast, sizeof(int), 2), 0);
    weir_broadcast_subscribe(&broadcast, &rx);
    for (int i = 0; i < 3; i++)
        check_int(send(&broadcast, i), 1);
    weir_broadcast_close(&broadcast);
    check_int(try_recv(&rx), -EOVERFLOW); /* lag is told before the end */
    expect(&rx, 1, 2);
    check_int(try_recv(&rx), -EPIPE);
    check_int(try_recv(&rx), -EPIPE);
    weir_broadcast_unsubscribe(&rx);
    weir_broadcast_free(&broadcast);
}

struct receiver {
    struct weir_broadcast_rx rx;
    int result, message;
};

static void receive(void *arg)
{
    struct receiver *receiver = arg;

    receiver->result = weir_broadcast_recv(&receiver->rx, &receiver->message, WEIR_NEVER);
}

static void sending_and_closing_end_the_wait_of_all(void *arg)
{
    struct weir_broadcast broadcast;
    struct receiver receivers[3];
    struct weir_scope scope;

    (void)arg;
    check_int(weir_broadcast_init(&broadcast, sizeof(int), 1), 0);
    for (int i = 0; i < 3; i++)
        weir_broadcast_subscribe(&broadcast, &receivers[i].rx);
    for (int closing = 0; closing < 2; closing++) {
        weir_scope_init(&scope);
        for (int i = 0; i < 3; i++)
            check_int(weir_spawn(&scope, receive, &receivers[i]), 0);
        weir_yield();
        if (closing)
            weir_broadcast_close(&broadcast);
        else
            check_int(send(&broadcast, 8), 3);
        check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
        for (int i = 0; i < 3; i++)
            check_int(receivers[i].result, closing ? -EPIPE : 0);
        check_int(receivers[2].message, 8);
    }
    for (int i = 0; i < 3; i++)
        weir_broadcast_unsubscribe(&receivers[i].rx);
    weir_broadcast_free(&broadcast);
}

static void a_receive_that_was_given_up_took_nothing(void *arg)
{
    struct weir_broadcast broadcast;
    struct receiver receiver;
    struct weir_scope scope;
    int message;

    (void)arg;
    check_int(weir_broadcast_init(&broadcast, sizeof(int), 2), 0);
    weir_broadcast_subscribe(&broadcast, &receiver.rx);
    check_int(weir_broadcast_recv(&receiver.rx, &message, weir_after(WEIR_US(1))), -ETIMEDOUT);
    weir_scope_init(&scope);
    check_int(weir_spawn(&scope, receive, &receiver), 0);
    weir_yield();
    weir_scope_cancel(&scope);
    check_int(send(&broadcast, 1), 1);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    check_int(receiver.result, -ECANCELED);
    expect(&receiver.rx, 1, 1);
    weir_broadcast_unsubscribe(&receiver.rx);
    weir_broadcast_free(&broadcast);
}

static void sizes_and_capacities_have_limits(void *arg)
{
    struct weir_broadcast broadcast;

    (void)arg;
    check_int(weir_broadcast_init(&broadcast, 0, 1), -EINVAL);
    check_int(weir_broadcast_init(&broadcast, 1, 0), -EINVAL);
    check_int(weir_broadcast_init(&broadcast, WEIR_BROADCAST_SIZE_MAX + 1, 1), -EINVAL);
    check_int(weir_broadcast_init(&broadcast, 1, WEIR_BROADCAST_CAPACITY_MAX + 1), -EINVAL);
    check_int(weir_broadcast_init(&broadcast, 1, WEIR_BROADCAST_CAPACITY_MAX), 0);
    weir_broadcast_free(&broadcast);
    check_int(weir_broadcast_init(&broadcast, WEIR_BROADCAST_SIZE_MAX, 1), 0);
    weir_broadcast_free(&broadcast);
}

static int64_t send_there(void *arg)
{
    return send(arg, 1);
}

static void send_elsewhere(void *arg)
{
    struct weir_broadcast broadcast;

    (void)arg;
    check_int(weir_broadcast_init(&broadcast, sizeof(int), 1), 0);
    weir_call(1 - weir_shard_id(), send_there, &broadcast, WEIR_NEVER);
}

static void free_subscribed(void *arg)
{
    struct weir_broadcast broadcast;
    struct weir_broadcast_rx rx;

    (void)arg;
    check_int(weir_broadcast_init(&broadcast, sizeof(int), 1), 0);
    weir_broadcast_subscribe(&broadcast, &rx);
    weir_broadcast_free(&broadcast);
}

static void run_elsewhere(void *arg)
{
    run_shards(2, send_elsewhere, arg);
}

static void run_free_subscribed(void *arg)
{
    run_shards(1, free_subscribed, arg);
}

static void test_misuse_ends_with_a_sentence(void **state)
{
    (void)state;
    assert_panics(run_elsewhere, NULL, "belongs to shard");
    assert_panics(run_free_subscribed, NULL, "they unsubscribe first");
}

#define CASE(name)                                   \
    static void test_##name(void **state)            \
    {                                                \
        (void)state;                                 \
        assert_int_equal(run_paused(name, NULL), 0); \
    }

CASE(every_receiver_gets_what_is_sent_after_it_subscribed)
CASE(a_slow_receiver_is_told_once_and_goes_on_with_the_oldest_kept)
CASE(close_comes_behind_the_last_message)
CASE(sending_and_closing_end_the_wait_of_all)
CASE(a_receive_that_was_given_up_took_nothing)
CASE(sizes_and_capacities_have_limits)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_receiver_gets_what_is_sent_after_it_subscribed),
        cmocka_unit_test(test_a_slow_receiver_is_told_once_and_goes_on_with_the_oldest_kept),
        cmocka_unit_test(test_close_comes_behind_the_last_message),
        cmocka_unit_test(test_sending_and_closing_end_the_wait_of_all),
        cmocka_unit_test(test_a_receive_that_was_given_up_took_nothing),
        cmocka_unit_test(test_sizes_and_capacities_have_limits),
        cmocka_unit_test(test_misuse_ends_with_a_sentence),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
