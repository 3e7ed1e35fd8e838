/* udp_suite_end.c - the datagram suite: peers, deadlines, cancels, and closing. */
#include "tests/net/udp_suite.h"

/* --- a socket with a peer --- */

static void only_the_peer_is_heard(void *arg)
{
    struct weir_udp *stranger = udp_open("127.0.0.1:0");
    struct udp_two two;

    (void)arg;
    udp_two_open(&two);
    check_int(weir_udp_connect(two.b, &two.at_a), 0);
    check_int(weir_send_to(stranger, "no", 2, &two.at_b, SOON), 2);
    udp_hear_nothing(two.b);
    udp_say(&two, "yes");
    udp_hear(two.b, "yes");
    check_int(weir_send_to(two.b, "back", 4, NULL, SOON), 4);
    udp_hear(two.a, "back");
    udp_two_close(&two);
    weir_udp_close(stranger);
}

/* What came before stays, and another address may still be sent to. */
static void a_peer_later_and_another(void *arg)
{
    struct weir_udp *third = udp_open("127.0.0.1:0");
    struct weir_addr at_third = udp_addr(third);
    struct udp_two two;

    (void)arg;
    udp_two_open(&two);
    check_int(weir_send_to(third, "early", 5, &two.at_b, SOON), 5);
    check_int(weir_sleep(WEIR_MS(20)), 0);
    check_int(weir_udp_connect(two.b, &two.at_a), 0);
    udp_hear(two.b, "early");
    check_int(weir_send_to(two.b, "else", 4, &at_third, SOON), 4);
    udp_hear(third, "else");
    check_int(weir_udp_connect(two.b, &at_third), 0);
    check_int(weir_send_to(two.b, "now", 3, NULL, SOON), 3);
    udp_hear(third, "now");
    udp_say(&two, "no");
    udp_hear_nothing(two.b);
    udp_two_close(&two);
    weir_udp_close(third);
}

/* The address of a socket that stands for all becomes the one it speaks from. */
static void a_peer_settles_the_address(void *arg)
{
    struct weir_udp *server = udp_open("127.0.0.1:0"), *client = udp_open("*:0");
    struct weir_addr at = udp_addr(server), from, me;

    (void)arg;
    check_int(weir_udp_connect(client, &at), 0);
    me = udp_addr(client);
    check(me.in.sin_addr.s_addr == htonl(INADDR_LOOPBACK) && me.in.sin_port != 0);
    check_int(weir_send_to(client, "x", 1, NULL, SOON), 1);
    check_int(weir_recv_from(server, &(char){ 0 }, 1, &from, SOON), 1);
    check(udp_addr_eq(&from, &me));
    check_int(weir_send_to(server, "y", 1, &from, SOON), 1);
    udp_hear(client, "y");
    weir_udp_close(client);
    weir_udp_close(server);
}

/* --- nobody is there --- */

static struct weir_addr nobody(void)
{
    struct weir_udp *udp = udp_open("127.0.0.1:0");
    struct weir_addr addr = udp_addr(udp);

    weir_udp_close(udp);
    return addr;
}

static void refusals_are_told_to_who_has_a_peer(void *arg)
{
    struct weir_udp *udp = udp_open("127.0.0.1:0");
    struct weir_addr at = nobody();
    char byte;

    (void)arg;
    check_int(weir_udp_connect(udp, &at), 0);
    check_int(weir_send_to(udp, "x", 1, NULL, SOON), 1);
    check_int(weir_recv_from(udp, &byte, 1, NULL, SOON), -ECONNREFUSED);
    udp_hear_nothing(udp); /* once */
    check_int(weir_send_to(udp, "x", 1, NULL, SOON), 1);
    check_int(weir_sleep(WEIR_MS(20)), 0);
    check_int(weir_send_to(udp, "x", 1, NULL, SOON), -ECONNREFUSED);
    check_int(weir_send_to(udp, "x", 1, NULL, SOON), 1);
    weir_udp_close(udp);
}

static void refusals_are_not_told_to_others(void *arg)
{
    struct weir_udp *udp = udp_open("127.0.0.1:0");
    struct weir_addr at = nobody();

    (void)arg;
    check_int(weir_send_to(udp, "x", 1, &at, SOON), 1);
    udp_hear_nothing(udp);
    check_int(weir_send_to(udp, "x", 1, &at, SOON), 1);
    weir_udp_close(udp);
}

/* --- deadlines and cancels lose nothing --- */

enum { TRICKLED = 200 };

static void udp_trickle(void *arg)
{
    struct udp_two *two = arg;

    for (uint16_t i = 0; i < TRICKLED; i++) {
        check_int(weir_send_to(two->a, &i, sizeof i, &two->at_b, SOON), sizeof i);
        if (weir_random(2) == 0)
            check_int(weir_sleep(random_in(0, WEIR_US(300))), 0);
    }
}

static void udp_deadline_loses_nothing(void *arg)
{
    bool seen[TRICKLED] = { false };
    struct weir_scope scope;
    struct udp_two two;
    uint16_t which;

    (void)arg;
    weir_scope_init(&scope);
    udp_two_open(&two);
    check_int(weir_spawn(&scope, udp_trickle, &two), 0);
    for (int got = 0; got < TRICKLED;) {
        weir_time deadline = weir_after(random_in(0, WEIR_US(200)));
        int64_t n = weir_recv_from(two.b, &which, sizeof which, NULL, deadline);

        if (n == -ETIMEDOUT) {
            check(weir_now() >= deadline);
            weir_yield();
            continue;
        }
        check_int(n, sizeof which);
        check(which < TRICKLED && !seen[which]);
        seen[which] = true;
        got++;
    }
    check_int(weir_scope_join(&scope, SOON), 0);
    udp_two_close(&two);
}

/* A deadline in the past makes it a poll. */
static void udp_poll(void *arg)
{
    struct udp_two two;
    char data[10];

    (void)arg;
    udp_two_open(&two);
    check_int(weir_recv_from(two.b, data, sizeof data, NULL, 0), -ETIMEDOUT);
    udp_say(&two, "there");
    check_int(weir_sleep(WEIR_MS(20)), 0);
    check_int(weir_recv_from(two.b, data, sizeof data, NULL, 0), 5);
    check_int(weir_recv_from(two.b, data, sizeof data, NULL, 0), -ETIMEDOUT);
    udp_two_close(&two);
}

static void udp_recv_cancelled(void *arg)
{
    char data[10];

    check_int(weir_recv_from(arg, data, sizeof data, NULL, WEIR_NEVER), -ECANCELED);
    check_int(weir_recv_from(arg, data, sizeof data, NULL, SOON), -ECANCELED);
}

static void udp_recv_cancel_by_scope(void *arg)
{
    struct weir_scope scope;
    struct udp_two two;

    (void)arg;
    weir_scope_init(&scope);
    udp_two_open(&two);
    check_int(weir_spawn(&scope, udp_recv_cancelled, two.b), 0);
    weir_yield();
    weir_scope_cancel(&scope);
    check_int(weir_scope_join(&scope, SOON), 0);
    udp_say(&two, "after");
    udp_hear(two.b, "after");
    udp_two_close(&two);
}

static void udp_recv_beside_a_timer(void *arg)
{
    struct weir_datagram one;
    struct weir_timer tick;
    struct weir_udp_io rx;
    struct udp_two two;
    char data[10];

    (void)arg;
    udp_two_open(&two);
    one = (struct weir_datagram){ .data = data, .len = sizeof data };
    weir_udp_recv_start(&rx, two.b, &one, 1);
    for (int i = 0; i < 3; i++) {
        weir_timer_start(&tick, weir_after(WEIR_MS(1)));
        check_int(weir_await_any(SOON, &rx.future, &tick.future), 1);
    }
    udp_say(&two, "at last");
    check_int(weir_await(&rx.future, SOON), 1);
    check_int((int64_t)one.len, 7);
    udp_two_close(&two);
}

/* --- one at a time --- */

static void a_second_receive_is_busy(void *arg)
{
    struct weir_datagram one;
    struct weir_udp_io rx;
    struct udp_two two;
    char data[10];

    (void)arg;
    udp_two_open(&two);
    one = (struct weir_datagram){ .data = data, .len = sizeof data };
    weir_udp_recv_start(&rx, two.b, &one, 1);
    check_int(weir_recv_from(two.b, data, 1, NULL, SOON), -EBUSY);
    check_int(weir_udp_recv(two.b, &(struct weir_datagram){ .data = data }, 1, SOON), -EBUSY);
    udp_say(&two, "first");
    check_int(weir_await(&rx.future, SOON), 1);
    check_int((int64_t)one.len, 5);
    udp_two_close(&two);
}

/* --- closing --- */

static void close_ends_a_receive(void *arg)
{
    struct weir_datagram one;
    struct weir_udp_io rx;
    struct weir_addr addr;
    struct udp_two two;
    char data[10], text[WEIR_ADDR_TEXT];

    (void)arg;
    udp_two_open(&two);
    one = (struct weir_datagram){ .data = data, .len = sizeof data };
    weir_udp_recv_start(&rx, two.b, &one, 1);
    check_int(weir_sleep(WEIR_MS(1)), 0);
    addr = two.at_b;
    weir_udp_close(two.b);
    check(!rx.future.done);                                       /* in a later turn */
    two.b = udp_open(weir_addr_format(&addr, text, sizeof text)); /* the port is free at once */
    check_int(weir_await(&rx.future, SOON), -ECANCELED);
    udp_say(&two, "new");
    udp_hear(two.b, "new");
    udp_two_close(&two);
}

struct closer {
    struct weir_udp_io rx;
    struct weir_datagram one;
    struct weir_future closed;
    char data[10];
};

static void close_from_within(struct weir_future *future)
{
    struct closer *closer = weir_container_of(future, struct closer, rx.future);

    weir_udp_close(closer->rx.udp);
    weir_future_set(&closer->closed, future->result);
}

static void a_callback_closes(void *arg)
{
    struct closer closer;
    struct udp_two two;

    (void)arg;
    udp_two_open(&two);
    weir_future_init(&closer.closed, NULL);
    closer.one = (struct weir_datagram){ .data = closer.data, .len = sizeof closer.data };
    weir_udp_recv_start(&closer.rx, two.b, &closer.one, 1);
    check(weir_future_on_done(&closer.rx.future, close_from_within));
    for (int i = 0; i < 5; i++)
        udp_say(&two, "close");
    check_int(weir_await(&closer.closed, SOON), 1);
    weir_udp_close(two.a);
}

/* Closing never suspends, so a cancelled fiber can clean up. */
static void udp_close_when_cancelled(void *arg)
{
    check_int(weir_recv_from(arg, &(char){ 0 }, 1, NULL, WEIR_NEVER), -ECANCELED);
    weir_udp_close(arg);
}

static void cancelled_fibers_close_sockets(void *arg)
{
    struct weir_scope scope;

    (void)arg;
    weir_scope_init(&scope);
    for (int i = 0; i < 5; i++)
        check_int(weir_spawn(&scope, udp_close_when_cancelled, udp_open("127.0.0.1:0")), 0);
    weir_yield();
    weir_scope_cancel(&scope);
    check_int(weir_scope_join(&scope, SOON), 0);
}

/* What has not been received is thrown away. */
static void close_with_a_full_queue(void *arg)
{
    struct udp_two two;

    (void)arg;
    udp_two_open(&two);
    for (int i = 0; i < 50; i++)
        udp_say(&two, "unread");
    if (weir_random(2) == 0)
        check_int(weir_sleep(WEIR_MS(1)), 0);
    udp_two_close(&two);
}

static const struct suite_case udp_suite_end[] = {
    { "only_the_peer_is_heard", only_the_peer_is_heard, { 0 } },
    { "a_peer_later_and_another", a_peer_later_and_another, { 0 } },
    { "a_peer_settles_the_address", a_peer_settles_the_address, { 0 } },
    { "refusals_are_told_to_who_has_a_peer", refusals_are_told_to_who_has_a_peer, { 0 } },
    { "refusals_are_not_told_to_others", refusals_are_not_told_to_others, { 0 } },
    { "udp_deadline_loses_nothing", udp_deadline_loses_nothing, { 0 } },
    { "udp_poll", udp_poll, { 0 } },
    { "udp_recv_cancel_by_scope", udp_recv_cancel_by_scope, { 0 } },
    { "udp_recv_beside_a_timer", udp_recv_beside_a_timer, { 0 } },
    { "a_second_receive_is_busy", a_second_receive_is_busy, { 0 } },
    { "close_ends_a_receive", close_ends_a_receive, { 0 } },
    { "a_callback_closes", a_callback_closes, { 0 } },
    { "cancelled_fibers_close_sockets", cancelled_fibers_close_sockets, { 0 } },
    { "close_with_a_full_queue", close_with_a_full_queue, { 0 } },
};
