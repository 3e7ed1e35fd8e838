/* test_mpsc.c - messages from many senders to one receiver: room, order, closing, what is lost when
 * somebody leaves (nothing).  On one shard; test_mpsc_threads.c crosses them. */
#include "tests/sched/run.h"
#include <weir/mpsc.h>

static struct weir_mpsc *channel(size_t bound)
{
    struct weir_mpsc *mpsc;

    check_int(weir_mpsc_new(&mpsc, sizeof(int), bound), 0);
    return mpsc;
}

static void leave(struct weir_mpsc *mpsc)
{
    weir_mpsc_drop(mpsc);
    weir_mpsc_free(mpsc);
}

static int try_send(struct weir_mpsc *mpsc, int message)
{
    return weir_mpsc_try_send(mpsc, &message);
}

/* Without waiting; errors are below -1000. */
static int try_recv(struct weir_mpsc *mpsc)
{
    int message = -1, error = weir_mpsc_try_recv(mpsc, &message);

    return error < 0 ? error - 1000 : message;
}

static void expect(struct weir_mpsc *mpsc, int first, int last)
{
    for (int i = first; i <= last; i++)
        check_int(try_recv(mpsc), i);
}

/* A sender that may have to wait. */
struct sender {
    struct weir_mpsc *mpsc;
    int message, result;
    weir_time deadline;
};

static void send_one(void *arg)
{
    struct sender *sender = arg;

    sender->result = weir_mpsc_send(sender->mpsc, &sender->message, sender->deadline);
}

static void sender_begin(struct weir_scope *scope, struct sender *sender, struct weir_mpsc *mpsc,
                         int message)
{
    *sender = (struct sender){ mpsc, message, 1, WEIR_NEVER };
    check_int(weir_spawn(scope, send_one, sender), 0);
    weir_yield();
}

struct receiver {
    struct weir_mpsc *mpsc;
    int message, result;
};

static void receive_one(void *arg)
{
    struct receiver *receiver = arg;

    receiver->result = weir_mpsc_recv(receiver->mpsc, &receiver->message, WEIR_NEVER);
}

/* --- how much goes in, and in what order it comes out --- */

static void messages_come_out_in_order_over_many_laps(void *arg)
{
    static const size_t bounds[] = { 0, 1, 2, 3, 7, 64 };

    (void)arg;
    for (size_t b = 0; b < WEIR_COUNT(bounds); b++) {
        struct weir_mpsc *mpsc = channel(bounds[b]);
        int batch = bounds[b] > 0 ? (int)bounds[b] : 5;

        for (int next = 0; next < 40 * batch; next += batch) {
            for (int i = 0; i < batch; i++)
                check_int(try_send(mpsc, next + i), 0);
            expect(mpsc, next, next + batch - 1);
        }
        check_int(try_recv(mpsc), -EAGAIN - 1000);
        leave(mpsc);
    }
}

static void the_bound_is_exact(void *arg)
{
    (void)arg;
    for (size_t bound = 1; bound <= 9; bound++) { /* powers of two or not */
        struct weir_mpsc *mpsc = channel(bound);

        for (size_t i = 0; i < bound; i++) {
            check_int((int64_t)weir_mpsc_len(mpsc), (int64_t)i);
            check_int((int64_t)weir_mpsc_capacity(mpsc), (int64_t)(bound - i));
            check_int(try_send(mpsc, (int)i), 0);
        }
        check_int((int64_t)weir_mpsc_capacity(mpsc), 0);
        check_int(try_send(mpsc, 100), -EAGAIN);
        check_int(try_recv(mpsc), 0);
        check_int(try_send(mpsc, (int)bound), 0);
        check_int(try_send(mpsc, 100), -EAGAIN);
        expect(mpsc, 1, (int)bound);
        leave(mpsc);
    }
}

static void without_a_bound_there_is_always_room(void *arg)
{
    struct weir_mpsc *mpsc = channel(0);

    (void)arg;
    check(weir_mpsc_capacity(mpsc) == SIZE_MAX);
    for (int i = 0; i < 100000; i++)
        check_int(try_send(mpsc, i), 0);
    check_int((int64_t)weir_mpsc_len(mpsc), 100000);
    expect(mpsc, 0, 99999);
    leave(mpsc);
}

static void sizes_and_bounds_have_limits(void *arg)
{
    static unsigned char in[WEIR_MPSC_SIZE_MAX], out[WEIR_MPSC_SIZE_MAX];
    struct weir_mpsc *mpsc;

    (void)arg;
    check_int(weir_mpsc_new(&mpsc, 0, 1), -EINVAL);
    check_int(weir_mpsc_new(&mpsc, WEIR_MPSC_SIZE_MAX + 1, 1), -EINVAL);
    check_int(weir_mpsc_new(&mpsc, 1, (size_t)WEIR_MPSC_BOUND_MAX + 1), -EINVAL);
    check_int(weir_mpsc_new(&mpsc, 1, WEIR_MPSC_BOUND_MAX), 0);
    check(weir_mpsc_capacity(mpsc) == WEIR_MPSC_BOUND_MAX);
    leave(mpsc);
    for (size_t i = 0; i < sizeof in; i++)
        in[i] = (unsigned char)(i * 7);
    for (size_t bound = 0; bound <= 3; bound += 3) {
        check_int(weir_mpsc_new(&mpsc, sizeof in, bound), 0);
        check_int(weir_mpsc_try_send(mpsc, in), 0);
        check_int(weir_mpsc_try_recv(mpsc, out), 0);
        check(memcmp(in, out, sizeof in) == 0);
        leave(mpsc);
    }
}

static void recv_many_takes_what_is_there_and_frees_the_room(void *arg)
{
    struct weir_mpsc *mpsc = channel(4);
    int messages[8] = { 0 };

    (void)arg;
    for (int i = 0; i < 4; i++)
        check_int(try_send(mpsc, i), 0);
    check_int(weir_mpsc_recv_many(mpsc, messages, 3, WEIR_NEVER), 3);
    check(messages[0] == 0 && messages[2] == 2 && messages[3] == 0);
    check_int((int64_t)weir_mpsc_capacity(mpsc), 3);
    check_int(weir_mpsc_recv_many(mpsc, messages, 8, WEIR_NEVER), 1);
    check_int(messages[0], 3);
    check_int(weir_mpsc_recv_many(mpsc, messages, 8, weir_after(WEIR_US(1))), -ETIMEDOUT);
    check_int(weir_mpsc_try_recv_many(mpsc, messages, 8), -EAGAIN);
    leave(mpsc);
}

/* --- waiting for room --- */

static void senders_get_room_in_order_and_nobody_overtakes(void *arg)
{
    struct weir_mpsc *mpsc = channel(1);
    struct sender senders[5];
    struct weir_scope scope;

    (void)arg;
    weir_scope_init(&scope);
    check_int(try_send(mpsc, 0), 0);
    for (int i = 0; i < 5; i++)
        sender_begin(&scope, &senders[i], mpsc, i + 1);
    for (int i = 0; i < 5; i++) {
        check_int(senders[i].result, 1);
        check_int(try_recv(mpsc), i);
        check_int(try_send(mpsc, 99), -EAGAIN); /* the place is taken already */
        weir_yield();
        check_int(senders[i].result, 0);
    }
    check_int(try_recv(mpsc), 5);
    check_int(try_send(mpsc, 6), 0);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    leave(mpsc);
}

static void a_send_that_timed_out_was_not_sent(void *arg)
{
    struct weir_mpsc *mpsc = channel(1);
    struct sender behind;
    struct weir_scope scope;
    int message = 50;

    (void)arg;
    check_int(try_send(mpsc, 1), 0);
    check_int(weir_mpsc_send(mpsc, &message, weir_now()), -ETIMEDOUT);
    check_int(weir_mpsc_send(mpsc, &message, weir_after(WEIR_MS(1))), -ETIMEDOUT);
    weir_scope_init(&scope);
    sender_begin(&scope, &behind, mpsc, 2);
    check_int(weir_mpsc_send(mpsc, &message, weir_after(WEIR_MS(1))), -ETIMEDOUT);
    expect(mpsc, 1, 2);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    check_int(behind.result, 0);
    check_int(try_recv(mpsc), -EAGAIN - 1000);
    check_int(try_send(mpsc, 3), 0); /* no place was lost either */
    check_int(try_send(mpsc, 4), -EAGAIN);
    leave(mpsc);
}

static void a_cancelled_send_lets_those_behind_it_go_on(void *arg)
{
    struct weir_mpsc *mpsc = channel(1);
    struct weir_scope scope, cancelled;
    struct sender first, second;

    (void)arg;
    check_int(try_send(mpsc, 1), 0);
    weir_scope_init(&scope);
    weir_scope_init(&cancelled);
    sender_begin(&cancelled, &first, mpsc, 66);
    sender_begin(&scope, &second, mpsc, 2);
    weir_scope_cancel(&cancelled);
    check_int(weir_scope_join(&cancelled, WEIR_NEVER), 0);
    check_int(first.result, -ECANCELED);
    expect(mpsc, 1, 2);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    check_int(second.result, 0);
    leave(mpsc);
}

static void a_send_that_went_in_is_not_undone_by_a_later_cancel(void *arg)
{
    struct weir_mpsc *mpsc = channel(1);
    struct weir_scope scope;
    struct sender sender;

    (void)arg;
    check_int(try_send(mpsc, 1), 0);
    weir_scope_init(&scope);
    sender_begin(&scope, &sender, mpsc, 2);
    check_int(try_recv(mpsc), 1); /* 2 goes in ... */
    weir_scope_cancel(&scope);    /* ... before its sender has run again */
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    check_int(sender.result, 0);
    check_int(try_recv(mpsc), 2);
    leave(mpsc);
}

static void the_future_form_sends_from_where_no_fiber_waits(void *arg)
{
    struct weir_mpsc *mpsc = channel(1);
    struct weir_mpsc_send send[3];
    int messages[3] = { 1, 2, 3 };

    (void)arg;
    for (int i = 0; i < 3; i++)
        weir_mpsc_send_start(&send[i], mpsc, &messages[i]);
    check(send[0].future.done && !send[1].future.done && !send[2].future.done);
    weir_future_cancel(&send[1].future);
    check_int(send[1].future.result, -ECANCELED);
    check_int(try_recv(mpsc), 1);
    check_int(weir_await(&send[2].future, WEIR_NEVER), 0);
    check_int(try_recv(mpsc), 3);
    leave(mpsc);
}

/* --- reserved places --- */

static void a_reserved_place_is_ones_own(void *arg)
{
    struct weir_mpsc *mpsc = channel(2);
    int message = 1;

    (void)arg;
    check_int(weir_mpsc_reserve(mpsc, WEIR_NEVER), 0);
    check_int(weir_mpsc_try_reserve(mpsc), 0);
    check_int(weir_mpsc_try_reserve(mpsc), -EAGAIN);
    check_int(weir_mpsc_reserve(mpsc, weir_after(WEIR_US(10))), -ETIMEDOUT);
    check_int(try_send(mpsc, 9), -EAGAIN);
    check_int(try_recv(mpsc), -EAGAIN - 1000); /* nothing in it yet */
    check_int(weir_mpsc_send_reserved(mpsc, &message), 0);
    check_int(try_recv(mpsc), 1);
    weir_mpsc_unreserve(mpsc);
    check_int((int64_t)weir_mpsc_capacity(mpsc), 2);
    leave(mpsc);
}

static void a_place_given_back_goes_to_the_first_who_waits(void *arg)
{
    struct weir_mpsc *mpsc = channel(1);
    struct sender senders[2];
    struct weir_scope scope;

    (void)arg;
    weir_scope_init(&scope);
    check_int(weir_mpsc_reserve(mpsc, WEIR_NEVER), 0);
    sender_begin(&scope, &senders[0], mpsc, 1);
    sender_begin(&scope, &senders[1], mpsc, 2);
    weir_mpsc_unreserve(mpsc);
    expect(mpsc, 1, 2);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    check(senders[0].result == 0 && senders[1].result == 0);
    leave(mpsc);
}

static void a_reserved_place_survives_close_and_is_drained(void *arg)
{
    struct weir_mpsc *mpsc = channel(3);
    struct weir_scope scope;
    struct receiver receiver = { mpsc, 0, 1 };
    int message = 4;

    (void)arg;
    check_int(weir_mpsc_reserve(mpsc, WEIR_NEVER), 0);
    check_int(weir_mpsc_reserve(mpsc, WEIR_NEVER), 0);
    weir_mpsc_close(mpsc);
    check_int(weir_mpsc_try_reserve(mpsc), -EPIPE);
    check_int(try_recv(mpsc), -EAGAIN - 1000); /* not over: two places are out */
    check_int(weir_mpsc_send_reserved(mpsc, &message), 0);
    check_int(try_recv(mpsc), 4);
    weir_scope_init(&scope);
    check_int(weir_spawn(&scope, receive_one, &receiver), 0);
    weir_yield();
    check_int(receiver.result, 1);
    weir_mpsc_unreserve(mpsc); /* the last of them ends the wait */
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    check_int(receiver.result, -EPIPE);
    leave(mpsc);
}

/* --- waiting for messages --- */

static void a_receive_that_timed_out_took_nothing(void *arg)
{
    struct weir_mpsc *mpsc = channel(2);
    int message = 7;

    (void)arg;
    check_int(weir_mpsc_recv(mpsc, &message, weir_now()), -ETIMEDOUT);
    check_int(weir_mpsc_recv(mpsc, &message, weir_after(WEIR_MS(1))), -ETIMEDOUT);
    check_int(message, 7);
    check_int(try_send(mpsc, 1), 0);
    check_int(weir_mpsc_recv(mpsc, &message, weir_now()), 0); /* a deadline in the past is a try */
    check_int(message, 1);
    leave(mpsc);
}

static void a_cancelled_receive_leaves_the_message(void *arg)
{
    struct weir_mpsc *mpsc = channel(2);
    struct weir_scope scope;
    struct receiver receiver = { mpsc, 0, 1 };

    (void)arg;
    weir_scope_init(&scope);
    check_int(weir_spawn(&scope, receive_one, &receiver), 0);
    weir_yield();
    weir_scope_cancel(&scope);
    check_int(try_send(mpsc, 1), 0);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    check_int(receiver.result, -ECANCELED);
    check_int(try_recv(mpsc), 1);
    leave(mpsc);
}

static void the_loser_of_a_race_takes_no_message(void *arg)
{
    struct weir_mpsc *a = channel(2), *b = channel(0);

    (void)arg;
    check_int(try_send(b, 2), 0);
    check_int(weir_race(WEIR_NEVER, weir_mpsc_ready(a), weir_mpsc_ready(b)), 1);
    check_int(try_send(a, 1), 0);
    check_int(weir_race(WEIR_NEVER, weir_mpsc_ready(a), weir_mpsc_ready(b)), 0);
    check_int(try_recv(a), 1);
    check_int(try_recv(b), 2);
    leave(a);
    leave(b);
}

/* --- the end --- */

static void dropped_senders_give_epipe_behind_the_last_message(void *arg)
{
    (void)arg;
    for (size_t bound = 0; bound <= 3; bound += 3) {
        struct weir_mpsc *mpsc = channel(bound);
        int message;

        weir_mpsc_clone(mpsc);
        check_int(try_send(mpsc, 1), 0);
        weir_mpsc_drop(mpsc);
        check_int(try_send(mpsc, 2), 0); /* by the other one */
        weir_mpsc_drop(mpsc);
        expect(mpsc, 1, 2);
        check_int(try_recv(mpsc), -EPIPE - 1000);
        check_int(weir_mpsc_recv(mpsc, &message, WEIR_NEVER), -EPIPE); /* and again */
        weir_mpsc_free(mpsc);
    }
}

static void the_last_drop_ends_a_wait(void *arg)
{
    struct weir_mpsc *mpsc = channel(1);
    struct weir_scope scope;
    struct receiver receiver = { mpsc, 0, 1 };

    (void)arg;
    weir_scope_init(&scope);
    weir_mpsc_clone(mpsc);
    check_int(weir_spawn(&scope, receive_one, &receiver), 0);
    weir_yield();
    weir_mpsc_drop(mpsc);
    weir_yield();
    check_int(receiver.result, 1); /* one is left */
    weir_mpsc_drop(mpsc);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    check_int(receiver.result, -EPIPE);
    weir_mpsc_free(mpsc);
}

static void close_refuses_sends_and_keeps_what_is_there(void *arg)
{
    (void)arg;
    for (size_t bound = 0; bound <= 2; bound += 2) {
        struct weir_mpsc *mpsc = channel(bound);

        check_int(try_send(mpsc, 1), 0);
        check_int(try_send(mpsc, 2), 0);
        check(!weir_mpsc_is_closed(mpsc));
        weir_mpsc_close(mpsc);
        weir_mpsc_close(mpsc); /* again: nothing */
        check(weir_mpsc_is_closed(mpsc));
        check_int(try_send(mpsc, 3), -EPIPE);
        expect(mpsc, 1, 2);
        check_int(try_send(mpsc, 3), -EPIPE);
        check_int(try_recv(mpsc), -EPIPE - 1000); /* though a sender is left */
        leave(mpsc);
    }
}

static void close_ends_all_who_wait_for_room(void *arg)
{
    struct weir_mpsc *mpsc = channel(1);
    struct sender senders[3];
    struct weir_scope scope;

    (void)arg;
    weir_scope_init(&scope);
    check_int(try_send(mpsc, 1), 0);
    for (int i = 0; i < 3; i++)
        sender_begin(&scope, &senders[i], mpsc, 50 + i);
    weir_mpsc_close(mpsc);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    for (int i = 0; i < 3; i++)
        check_int(senders[i].result, -EPIPE);
    check_int(try_recv(mpsc), 1); /* what they had was not sent */
    check_int(try_recv(mpsc), -EPIPE - 1000);
    leave(mpsc);
}

static void close_ends_the_receivers_own_wait(void *arg)
{
    struct weir_mpsc *mpsc = channel(1);
    struct weir_scope scope;
    struct receiver receiver = { mpsc, 0, 1 };

    (void)arg;
    weir_scope_init(&scope);
    check_int(weir_spawn(&scope, receive_one, &receiver), 0);
    weir_yield();
    weir_mpsc_close(mpsc);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    check_int(receiver.result, -EPIPE);
    leave(mpsc);
}

static void a_sender_may_outlive_the_receiver(void *arg)
{
    struct weir_mpsc *mpsc = channel(4);
    int message = 1;

    (void)arg;
    check_int(try_send(mpsc, 1), 0); /* a message that nobody fetches */
    weir_mpsc_free(mpsc);
    check_int(weir_mpsc_send(mpsc, &message, WEIR_NEVER), -EPIPE);
    weir_mpsc_clone(mpsc);
    weir_mpsc_drop(mpsc);
    weir_mpsc_drop(mpsc); /* AddressSanitizer sees that it is freed now, and not before */
}

/* --- a source that is always ready lets others run --- */

static void count_up(void *arg)
{
    ++*(int *)arg;
}

static void ready_channels_do_not_starve_their_neighbours(void *arg)
{
    struct weir_mpsc *mpsc = channel(1);
    struct weir_scope scope;
    int ran = 0, message = 0;

    (void)arg;
    weir_scope_init(&scope);
    check_int(weir_spawn(&scope, count_up, &ran), 0);
    for (int i = 0; i < 1000; i++) {
        check_int(weir_mpsc_send(mpsc, &message, WEIR_NEVER), 0);
        check_int(weir_mpsc_recv(mpsc, &message, WEIR_NEVER), 0);
    }
    check_int(ran, 1);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    leave(mpsc);
}

/* --- misuse --- */

static void receive_twice(void *arg)
{
    struct weir_mpsc *mpsc = channel(1);

    (void)arg;
    weir_mpsc_ready(mpsc);
    weir_mpsc_ready(mpsc);
}

static void free_waited_for(void *arg)
{
    struct weir_mpsc *mpsc = channel(1);

    (void)arg;
    weir_mpsc_ready(mpsc);
    weir_mpsc_free(mpsc);
}

static void drop_twice(void *arg)
{
    struct weir_mpsc *mpsc = channel(1);

    (void)arg;
    weir_mpsc_drop(mpsc);
    weir_mpsc_drop(mpsc);
}

static void clone_the_dropped(void *arg)
{
    struct weir_mpsc *mpsc = channel(1);

    (void)arg;
    weir_mpsc_drop(mpsc);
    weir_mpsc_clone(mpsc);
}

static void send_unreserved(void *arg)
{
    struct weir_mpsc *mpsc = channel(1);
    int message = 1;

    (void)arg;
    weir_mpsc_send_reserved(mpsc, &message);
}

static int64_t receive_there(void *arg)
{
    return try_recv(arg);
}

static void receive_elsewhere(void *arg)
{
    (void)arg;
    weir_call(1 - weir_shard_id(), receive_there, channel(1), WEIR_NEVER);
}

struct misuse {
    void (*body)(void *arg);
    const char *says;
};

static void run_misuse(void *arg)
{
    struct misuse *misuse = arg;

    run_shards(2, misuse->body, NULL);
}

static void test_misuse_ends_with_a_sentence(void **state)
{
    static struct misuse all[] = {
        { receive_twice, "has one receiver" },
        { free_waited_for, "somebody still waits" },
        { drop_twice, "no senders left" },
        { clone_the_dropped, "clone while you are a sender" },
        { send_unreserved, "weir_mpsc_reserve comes first" },
        { receive_elsewhere, "belongs to shard" },
    };

    (void)state;
    for (size_t i = 0; i < WEIR_COUNT(all); i++)
        assert_panics(run_misuse, &all[i], all[i].says);
}

#define CASE(name)                                   \
    static void test_##name(void **state)            \
    {                                                \
        (void)state;                                 \
        assert_int_equal(run_paused(name, NULL), 0); \
    }

CASE(messages_come_out_in_order_over_many_laps)
CASE(the_bound_is_exact)
CASE(without_a_bound_there_is_always_room)
CASE(sizes_and_bounds_have_limits)
CASE(recv_many_takes_what_is_there_and_frees_the_room)
CASE(senders_get_room_in_order_and_nobody_overtakes)
CASE(a_send_that_timed_out_was_not_sent)
CASE(a_cancelled_send_lets_those_behind_it_go_on)
CASE(a_send_that_went_in_is_not_undone_by_a_later_cancel)
CASE(the_future_form_sends_from_where_no_fiber_waits)
CASE(a_reserved_place_is_ones_own)
CASE(a_place_given_back_goes_to_the_first_who_waits)
CASE(a_reserved_place_survives_close_and_is_drained)
CASE(a_receive_that_timed_out_took_nothing)
CASE(a_cancelled_receive_leaves_the_message)
CASE(the_loser_of_a_race_takes_no_message)
CASE(dropped_senders_give_epipe_behind_the_last_message)
CASE(the_last_drop_ends_a_wait)
CASE(close_refuses_sends_and_keeps_what_is_there)
CASE(close_ends_all_who_wait_for_room)
CASE(close_ends_the_receivers_own_wait)
CASE(a_sender_may_outlive_the_receiver)
CASE(ready_channels_do_not_starve_their_neighbours)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages_come_out_in_order_over_many_laps),
        cmocka_unit_test(test_the_bound_is_exact),
        cmocka_unit_test(test_without_a_bound_there_is_always_room),
        cmocka_unit_test(test_sizes_and_bounds_have_limits),
        cmocka_unit_test(test_recv_many_takes_what_is_there_and_frees_the_room),
        cmocka_unit_test(test_senders_get_room_in_order_and_nobody_overtakes),
        cmocka_unit_test(test_a_send_that_timed_out_was_not_sent),
        cmocka_unit_test(test_a_cancelled_send_lets_those_behind_it_go_on),
        cmocka_unit_test(test_a_send_that_went_in_is_not_undone_by_a_later_cancel),
        cmocka_unit_test(test_the_future_form_sends_from_where_no_fiber_waits),
        cmocka_unit_test(test_a_reserved_place_is_ones_own),
        cmocka_unit_test(test_a_place_given_back_goes_to_the_first_who_waits),
        cmocka_unit_test(test_a_reserved_place_survives_close_and_is_drained),
        cmocka_unit_test(test_a_receive_that_timed_out_took_nothing),
        cmocka_unit_test(test_a_cancelled_receive_leaves_the_message),
        cmocka_unit_test(test_the_loser_of_a_race_takes_no_message),
        cmocka_unit_test(test_dropped_senders_give_epipe_behind_the_last_message),
        cmocka_unit_test(test_the_last_drop_ends_a_wait),
        cmocka_unit_test(test_close_refuses_sends_and_keeps_what_is_there),
        cmocka_unit_test(test_close_ends_all_who_wait_for_room),
        cmocka_unit_test(test_close_ends_the_receivers_own_wait),
        cmocka_unit_test(test_a_sender_may_outlive_the_receiver),
        cmocka_unit_test(test_ready_channels_do_not_starve_their_neighbours),
        cmocka_unit_test(test_misuse_ends_with_a_sentence),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
