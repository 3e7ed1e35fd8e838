/* test_oneshot.c - one value, once: who gets what when either side leaves; across threads too. */
#include "tests/sched/run.h"
#include <pthread.h>
#include <weir/oneshot.h>

/* --- on one shard --- */

static void a_value_sent_before_the_receive_is_there_at_once(void *arg)
{
    struct weir_oneshot oneshot;
    int64_t value = 0;

    (void)arg;
    weir_oneshot_init(&oneshot);
    check_int(weir_oneshot_try_recv(&oneshot, &value), -EAGAIN);
    check_int(weir_oneshot_send(&oneshot, 42), 0);
    check_int(weir_oneshot_recv(&oneshot, &value, weir_now()), 0); /* even as a poll */
    check_int(value, 42);
    value = 0;
    check_int(weir_oneshot_try_recv(&oneshot, &value), 0); /* it stays */
    check_int(value, 42);
}

struct receiver {
    struct weir_oneshot *oneshot;
    weir_time deadline;
    int result;
    int64_t value;
};

static void receive(void *arg)
{
    struct receiver *receiver = arg;

    receiver->result = weir_oneshot_recv(receiver->oneshot, &receiver->value, receiver->deadline);
}

static void receiver_begin(struct weir_scope *scope, struct receiver *receiver,
                           struct weir_oneshot *oneshot)
{
    *receiver = (struct receiver){ oneshot, WEIR_NEVER, 1, 0 };
    weir_oneshot_init(oneshot);
    weir_scope_init(scope);
    check_int(weir_spawn(scope, receive, receiver), 0);
    weir_yield();
    check_int(receiver->result, 1);
}

static void a_waiting_receiver_gets_the_extreme_values(void *arg)
{
    static const int64_t extremes[] = { INT64_MIN, -1, 0, INT64_MAX };
    struct weir_oneshot oneshot;
    struct receiver receiver;
    struct weir_scope scope;

    (void)arg;
    for (size_t i = 0; i < WEIR_COUNT(extremes); i++) {
        receiver_begin(&scope, &receiver, &oneshot);
        check_int(weir_oneshot_send(&oneshot, extremes[i]), 0);
        check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
        check_int(receiver.result, 0);
        check_int(receiver.value, extremes[i]);
    }
}

static void a_dropped_sender_gives_epipe_waiting_or_not(void *arg)
{
    struct weir_oneshot oneshot;
    struct receiver receiver;
    struct weir_scope scope;
    int64_t value = 7;

    (void)arg;
    receiver_begin(&scope, &receiver, &oneshot);
    weir_oneshot_drop(&oneshot);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    check_int(receiver.result, -EPIPE);
    weir_oneshot_init(&oneshot);
    weir_oneshot_drop(&oneshot);
    check_int(weir_oneshot_recv(&oneshot, &value, WEIR_NEVER), -EPIPE);
    check_int(weir_oneshot_try_recv(&oneshot, &value), -EPIPE);
    check_int(value, 7);
}

static void sending_after_close_gives_epipe(void *arg)
{
    struct weir_oneshot oneshot;
    int64_t value;

    (void)arg;
    weir_oneshot_init(&oneshot);
    check(!weir_oneshot_is_closed(&oneshot));
    weir_oneshot_close(&oneshot);
    weir_oneshot_close(&oneshot); /* again: nothing */
    check(weir_oneshot_is_closed(&oneshot));
    check_int(weir_oneshot_recv(&oneshot, &value, WEIR_NEVER), -EPIPE);
    check_int(weir_oneshot_send(&oneshot, 1), -EPIPE);
    check_int(weir_oneshot_try_recv(&oneshot, &value), -EPIPE);
}

static void a_value_sent_before_close_is_still_received(void *arg)
{
    struct weir_oneshot oneshot;
    int64_t value = 0;

    (void)arg;
    weir_oneshot_init(&oneshot);
    check_int(weir_oneshot_send(&oneshot, 5), 0);
    weir_oneshot_close(&oneshot);
    check_int(weir_oneshot_recv(&oneshot, &value, WEIR_NEVER), 0);
    check_int(value, 5);
}

static void close_ends_a_wait(void *arg)
{
    struct weir_oneshot oneshot;
    struct receiver receiver;
    struct weir_scope scope;

    (void)arg;
    receiver_begin(&scope, &receiver, &oneshot);
    weir_oneshot_close(&oneshot);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    check_int(receiver.result, -EPIPE);
    check_int(weir_oneshot_send(&oneshot, 1), -EPIPE);
}

static void a_receive_that_timed_out_can_be_repeated(void *arg)
{
    struct weir_oneshot oneshot;
    int64_t value = 0;

    (void)arg;
    weir_oneshot_init(&oneshot);
    check_int(weir_oneshot_recv(&oneshot, &value, weir_after(WEIR_MS(1))), -ETIMEDOUT);
    check_int(weir_oneshot_recv(&oneshot, &value, weir_now()), -ETIMEDOUT);
    check_int(weir_oneshot_send(&oneshot, 9), 0);
    check_int(weir_oneshot_recv(&oneshot, &value, WEIR_NEVER), 0);
    check_int(value, 9);
}

static void a_value_beats_a_cancel_that_comes_later(void *arg)
{
    struct weir_oneshot oneshot;
    struct receiver receiver;
    struct weir_scope scope;

    (void)arg;
    receiver_begin(&scope, &receiver, &oneshot);
    check_int(weir_oneshot_send(&oneshot, 3), 0);
    weir_scope_cancel(&scope);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    check_int(receiver.result, 0);
    check_int(receiver.value, 3);
}

static void the_loser_of_a_race_loses_no_value(void *arg)
{
    struct weir_oneshot a, b;
    int64_t value = 0;

    (void)arg;
    weir_oneshot_init(&a);
    weir_oneshot_init(&b);
    weir_oneshot_start(&a);
    weir_oneshot_start(&b);
    check_int(weir_oneshot_send(&b, 2), 0);
    check_int(weir_race(WEIR_NEVER, &a.future, &b.future), 1);
    check_int(a.future.result, -ECANCELED);
    check_int(weir_oneshot_send(&a, 1), 0);
    check_int(weir_oneshot_recv(&a, &value, WEIR_NEVER), 0);
    check_int(value, 1);
}

static void allocated_memory_goes_with_the_second_side(void *arg)
{
    struct weir_oneshot *oneshot;
    int64_t value;

    (void)arg; /* what is freed too early or never is AddressSanitizer's to find */
    check_int(weir_oneshot_new(&oneshot), 0);
    weir_oneshot_free(oneshot);
    check_int(weir_oneshot_send(oneshot, 1), -EPIPE); /* the receiver left first */
    check_int(weir_oneshot_new(&oneshot), 0);
    weir_oneshot_free(oneshot);
    weir_oneshot_drop(oneshot);
    check_int(weir_oneshot_new(&oneshot), 0);
    check_int(weir_oneshot_send(oneshot, 1), 0); /* the sender did */
    check_int(weir_oneshot_recv(oneshot, &value, WEIR_NEVER), 0);
    weir_oneshot_free(oneshot);
    check_int(weir_oneshot_new(&oneshot), 0);
    check_int(weir_oneshot_send(oneshot, 1), 0); /* a value that nobody fetches */
    weir_oneshot_free(oneshot);
}

/* --- misuse --- */

static void send_twice(void *arg)
{
    struct weir_oneshot oneshot;

    (void)arg;
    weir_oneshot_init(&oneshot);
    weir_oneshot_send(&oneshot, 1);
    weir_oneshot_send(&oneshot, 2);
}

static void receive_twice(void *arg)
{
    struct weir_oneshot oneshot;

    (void)arg;
    weir_oneshot_init(&oneshot);
    weir_oneshot_start(&oneshot);
    weir_oneshot_start(&oneshot);
}

static void free_embedded(void *arg)
{
    struct weir_oneshot oneshot;

    (void)arg;
    weir_oneshot_init(&oneshot);
    weir_oneshot_free(&oneshot);
}

static void free_waited_for(void *arg)
{
    struct weir_oneshot *oneshot;

    (void)arg;
    check_int(weir_oneshot_new(&oneshot), 0);
    weir_oneshot_start(oneshot);
    weir_oneshot_free(oneshot);
}

static int64_t try_elsewhere(void *arg)
{
    int64_t value;

    return weir_oneshot_try_recv(arg, &value);
}

static void receive_elsewhere(void *arg)
{
    struct weir_oneshot oneshot;

    (void)arg;
    weir_oneshot_init(&oneshot);
    weir_call(1 - weir_shard_id(), try_elsewhere, &oneshot, WEIR_NEVER);
}

static void run_one(void *arg)
{
    void (**body)(void *arg) = arg;

    run_shards(1, *body, NULL);
}

static void run_two(void *arg)
{
    void (**body)(void *arg) = arg;

    run_shards(2, *body, NULL);
}

static void test_misuse_ends_with_a_sentence(void **state)
{
    void (*body)(void *arg) = send_twice;

    (void)state;
    assert_panics(run_one, &body, "carries one value");
    body = receive_twice;
    assert_panics(run_one, &body, "has one receiver");
    body = free_embedded;
    assert_panics(run_one, &body, "its memory is yours");
    body = free_waited_for;
    assert_panics(run_one, &body, "somebody still waits");
    body = receive_elsewhere;
    assert_panics(run_two, &body, "belongs to shard");
}

/* --- across threads --- */

enum { ROUNDS = 2000 };

/* The memory is used again at once: what the sender touched too late would fall into the next. */
static struct weir_oneshot crossing[2];

static void crossing_send(void *arg)
{
    int64_t i = (int64_t)(intptr_t)arg;

    if (i % 5 == 4)
        weir_oneshot_drop(&crossing[i % 2]);
    else
        check_int(weir_oneshot_send(&crossing[i % 2], i), 0);
}

static void every_value_crosses_shards(void *arg)
{
    (void)arg;
    if (weir_shard_id() != 0)
        return;
    for (int64_t i = 0; i < ROUNDS; i++) {
        struct weir_oneshot *oneshot = &crossing[i % 2];
        int64_t value = -1;

        weir_oneshot_init(oneshot);
        check_int(weir_spawn_on(1, crossing_send, (void *)(intptr_t)i, WEIR_NEVER), 0);
        check_int(weir_oneshot_recv(oneshot, &value, WEIR_NEVER), i % 5 == 4 ? -EPIPE : 0);
        check_int(value, i % 5 == 4 ? -1 : i);
    }
}

/* The receiver leaves while the sender sends; whoever is second frees. */
static void leaving_send(void *arg)
{
    struct weir_oneshot *oneshot = arg;

    if (weir_now() % 2 == 0)
        weir_yield();
    if (weir_oneshot_is_closed(oneshot))
        weir_oneshot_drop(oneshot);
    else
        weir_oneshot_send(oneshot, 11);
}

static void either_side_may_leave_first(void *arg)
{
    (void)arg;
    if (weir_shard_id() != 0)
        return;
    for (int i = 0; i < ROUNDS; i++) {
        struct weir_oneshot *oneshot;
        int64_t value = 0;
        int error;

        check_int(weir_oneshot_new(&oneshot), 0);
        check_int(weir_spawn_on(1, leaving_send, oneshot, WEIR_NEVER), 0);
        error = i % 3 == 0 ? 1 : weir_oneshot_recv(oneshot, &value, weir_now() + i * 7);
        check(error == 1 || error == -ETIMEDOUT || (error == 0 && value == 11));
        weir_oneshot_free(oneshot);
    }
}

static void *outside_send(void *arg)
{
    check_int(weir_oneshot_send(arg, 77), 0);
    return NULL;
}

static void a_thread_that_is_no_shard_can_send(void *arg)
{
    (void)arg;
    for (int i = 0; i < 50; i++) {
        struct weir_oneshot oneshot;
        pthread_t thread;
        int64_t value = 0;

        weir_oneshot_init(&oneshot);
        check_int(pthread_create(&thread, NULL, outside_send, &oneshot), 0);
        check_int(weir_oneshot_recv(&oneshot, &value, WEIR_NEVER), 0);
        check_int(value, 77);
        pthread_join(thread, NULL);
    }
}

#define CASE(shards, name)                                   \
    static void test_##name(void **state)                    \
    {                                                        \
        (void)state;                                         \
        assert_int_equal(run_shards(shards, name, NULL), 0); \
    }

CASE(1, a_value_sent_before_the_receive_is_there_at_once)
CASE(1, a_waiting_receiver_gets_the_extreme_values)
CASE(1, a_dropped_sender_gives_epipe_waiting_or_not)
CASE(1, sending_after_close_gives_epipe)
CASE(1, a_value_sent_before_close_is_still_received)
CASE(1, close_ends_a_wait)
CASE(1, a_receive_that_timed_out_can_be_repeated)
CASE(1, a_value_beats_a_cancel_that_comes_later)
CASE(1, the_loser_of_a_race_loses_no_value)
CASE(1, allocated_memory_goes_with_the_second_side)
CASE(2, every_value_crosses_shards)
CASE(2, either_side_may_leave_first)
CASE(1, a_thread_that_is_no_shard_can_send)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_value_sent_before_the_receive_is_there_at_once),
        cmocka_unit_test(test_a_waiting_receiver_gets_the_extreme_values),
        cmocka_unit_test(test_a_dropped_sender_gives_epipe_waiting_or_not),
        cmocka_unit_test(test_sending_after_close_gives_epipe),
        cmocka_unit_test(test_a_value_sent_before_close_is_still_received),
        cmocka_unit_test(test_close_ends_a_wait),
        cmocka_unit_test(test_a_receive_that_timed_out_can_be_repeated),
        cmocka_unit_test(test_a_value_beats_a_cancel_that_comes_later),
        cmocka_unit_test(test_the_loser_of_a_race_loses_no_value),
        cmocka_unit_test(test_allocated_memory_goes_with_the_second_side),
        cmocka_unit_test(test_misuse_ends_with_a_sentence),
        cmocka_unit_test(test_every_value_crosses_shards),
        cmocka_unit_test(test_either_side_may_leave_first),
        cmocka_unit_test(test_a_thread_that_is_no_shard_can_send),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
