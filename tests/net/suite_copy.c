/* suite_copy.c - the stack suite: bytes handed on from connection to connection (copy.h). */
#include <weir/copy.h>
#include "tests/net/stack_suite.h"

/* client.a -> client.b, which is copied to server.a -> server.b; and back. */
struct relay {
    struct pair client, server;
    uint64_t there, back; /* bytes */
    int64_t result;
    weir_time deadline;
};

static void relay_open(struct relay *relay)
{
    *relay = (struct relay){ .deadline = SOON };
    pair_open(&relay->client);
    pair_open(&relay->server);
}

static void relay_close(struct relay *relay)
{
    pair_close(&relay->client);
    pair_close(&relay->server);
}

static void relay_one(void *arg)
{
    struct relay *relay = arg;

    relay->result = weir_copy(relay->server.a, relay->client.b, relay->deadline);
}

static void relay_both(void *arg)
{
    struct relay *relay = arg;

    relay->result = weir_copy_both(relay->client.b, relay->server.a, &relay->there, &relay->back,
                                   relay->deadline);
}

/* --- one direction --- */

static void copy_ends_at_eof(void *arg)
{
    const int64_t total = stack_under_test.bulk;
    struct bulk sender = { .salt = 1 };
    struct weir_scope scope;
    struct relay relay;
    char byte;

    (void)arg;
    weir_scope_init(&scope);
    relay_open(&relay);
    sender.conn = relay.client.a;
    check_int(weir_spawn(&scope, bulk_send, &sender), 0);
    check_int(weir_spawn(&scope, relay_one, &relay), 0);
    stream_recv(relay.server.b, (size_t)total, 0, 1);
    check_int(weir_scope_join(&scope, SOON), 0);
    check_int(relay.result, total);
    check_int(weir_recv(relay.server.b, &byte, 1, weir_now()), -ETIMEDOUT); /* FIN stayed here */
    check_int(weir_copy(relay.server.a, relay.client.b, SOON), 0); /* and the end is the end */
    check_int(weir_shutdown(relay.server.a), 0);
    expect_eof(relay.server.b);
    relay_close(&relay);
}

static void echo_by_copy(void *arg)
{
    struct weir_conn *conn = arg;

    check_int(weir_copy(conn, conn, SOON), stack_under_test.bulk);
    check_int(weir_shutdown(conn), 0);
}

static void copy_to_where_it_came_from(void *arg)
{
    struct weir_scope scope;
    struct pair pair;
    struct bulk bulk = { .salt = 5 };

    (void)arg;
    weir_scope_init(&scope);
    pair_open(&pair);
    bulk.conn = pair.a;
    check_int(weir_spawn(&scope, echo_by_copy, pair.b), 0);
    check_int(weir_spawn(&scope, bulk_send, &bulk), 0);
    bulk_recv(&bulk);
    check_int(weir_scope_join(&scope, SOON), 0);
    pair_close(&pair);
}

/* --- both directions --- */

static void copy_both_at_once(void *arg)
{
    struct weir_scope scope;
    struct relay relay;
    struct bulk bulk[4];

    (void)arg;
    weir_scope_init(&scope);
    relay_open(&relay);
    bulk[0] = (struct bulk){ relay.client.a, 1 };
    bulk[1] = (struct bulk){ relay.client.a, 2 };
    bulk[2] = (struct bulk){ relay.server.b, 2 };
    bulk[3] = (struct bulk){ relay.server.b, 1 };
    check_int(weir_spawn(&scope, relay_both, &relay), 0);
    for (int i = 0; i < 4; i += 2) {
        check_int(weir_spawn(&scope, bulk_send, &bulk[i]), 0);
        check_int(weir_spawn(&scope, bulk_recv, &bulk[i + 1]), 0);
    }
    check_int(weir_scope_join(&scope, SOON), 0);
    check_int(relay.result, 0);
    check_int((int64_t)relay.there, stack_under_test.bulk);
    check_int((int64_t)relay.back, stack_under_test.bulk);
    relay_close(&relay);
}

/* The answer begins when the request has ended: it needs the half-close to get through. */
static void answer_after_eof(void *arg)
{
    struct bulk in = { .conn = arg, .salt = 3 }, out = { .conn = arg, .salt = 4 };

    bulk_recv(&in);
    bulk_send(&out);
}

static void copy_both_passes_the_half_close_on(void *arg)
{
    struct weir_scope scope;
    struct relay relay;
    struct bulk in, out;

    (void)arg;
    weir_scope_init(&scope);
    relay_open(&relay);
    in = (struct bulk){ relay.client.a, 4 };
    out = (struct bulk){ relay.client.a, 3 };
    check_int(weir_spawn(&scope, relay_both, &relay), 0);
    check_int(weir_spawn(&scope, answer_after_eof, relay.server.b), 0);
    bulk_send(&out);
    bulk_recv(&in);
    check_int(weir_scope_join(&scope, SOON), 0);
    check_int(relay.result, 0);
    relay_close(&relay);
}

static void copy_both_of_nothing(void *arg)
{
    struct relay relay;

    (void)arg;
    relay_open(&relay);
    check_int(weir_shutdown(relay.client.a), 0);
    check_int(weir_shutdown(relay.server.b), 0);
    check_int(weir_copy_both(relay.client.b, relay.server.a, NULL, NULL, SOON), 0);
    expect_eof(relay.client.a);
    expect_eof(relay.server.b);
    relay_close(&relay);
}

/* One leg on the kernel's sockets, where there are two stacks. */
static void copy_from_stack_to_stack(void *arg)
{
    struct weir_listener *listener;
    char text[WEIR_ADDR_TEXT], kernel[WEIR_ADDR_TEXT + 8];
    struct weir_scope scope;
    struct weir_addr addr;
    struct relay relay = { .deadline = SOON };
    struct bulk in, out;

    (void)arg;
    weir_scope_init(&scope);
    pair_open(&relay.client);
    check_int(weir_listen(&listener, "kernel:127.0.0.1:0", NULL), 0);
    weir_listener_addr(listener, &addr);
    snprintf(kernel, sizeof kernel, "kernel:%s", weir_addr_format(&addr, text, sizeof text));
    check_int(weir_connect(&relay.server.a, kernel, SOON), 0);
    check_int(weir_accept(listener, &relay.server.b, SOON), 0);
    weir_listener_close(listener);
    in = (struct bulk){ relay.client.a, 4 };
    out = (struct bulk){ relay.client.a, 3 };
    check_int(weir_spawn(&scope, relay_both, &relay), 0);
    check_int(weir_spawn(&scope, answer_after_eof, relay.server.b), 0);
    bulk_send(&out);
    bulk_recv(&in);
    check_int(weir_scope_join(&scope, SOON), 0);
    check_int(relay.result, 0);
    relay_close(&relay);
}

/* --- how it ends otherwise --- */

static void copy_ends_at_the_deadline(void *arg)
{
    struct relay relay;

    (void)arg;
    relay_open(&relay);
    check_int(weir_copy(relay.server.a, relay.client.b, weir_after(WEIR_MS(5))), -ETIMEDOUT);
    check_int(weir_copy(relay.server.a, relay.client.b, weir_now()), -ETIMEDOUT);
    relay.deadline = weir_after(WEIR_MS(5));
    relay_both(&relay);
    check_int(relay.result, -ETIMEDOUT);
    check_int((int64_t)relay.there, 0);
    check_int((int64_t)relay.back, 0);
    relay_close(&relay);
}

static void floods(void *arg)
{
    static const uint8_t data[65536];

    while (weir_send(arg, data, sizeof data, SOON) == sizeof data)
        ;
}

static void drains(void *arg)
{
    static uint8_t data[65536];

    while (weir_recv(arg, data, sizeof data, SOON) > 0)
        ;
}

/* Always something to copy: it must look at the deadline all the same. */
static void copy_ends_at_the_deadline_in_a_flood(void *arg)
{
    struct weir_scope scope;
    struct relay relay;

    (void)arg;
    weir_scope_init(&scope);
    relay_open(&relay);
    check_int(weir_spawn(&scope, floods, relay.client.a), 0);
    check_int(weir_spawn(&scope, drains, relay.server.b), 0);
    check_int(weir_copy(relay.server.a, relay.client.b, weir_after(WEIR_MS(20))), -ETIMEDOUT);
    weir_scope_cancel(&scope);
    check_int(weir_scope_join(&scope, SOON), 0);
    relay_close(&relay);
}

/* Nobody reads: it waits with a buffer that it has to give back. */
static void copy_ends_while_it_sends(void *arg)
{
    struct weir_scope scope, flood;
    struct relay relay;

    (void)arg;
    weir_scope_init(&scope);
    weir_scope_init(&flood);
    relay_open(&relay);
    relay.deadline = weir_after(WEIR_MS(300));
    check_int(weir_spawn(&flood, floods, relay.client.a), 0);
    check_int(weir_spawn(&scope, relay_both, &relay), 0);
    check_int(weir_scope_join(&scope, SOON), 0);
    check_int(relay.result, -ETIMEDOUT);
    check_int((int64_t)relay.back, 0);
    check(relay.there > 0);
    weir_scope_cancel(&flood);
    check_int(weir_scope_join(&flood, SOON), 0);
    relay_close(&relay);
}

static void copy_can_be_cancelled(void *arg)
{
    struct weir_scope scope;
    struct relay relay;

    (void)arg;
    weir_scope_init(&scope);
    relay_open(&relay);
    for (int i = 0; i < 2; i++) {
        check_int(weir_spawn(&scope, i == 0 ? relay_one : relay_both, &relay), 0);
        stream_send(relay.client.a, 100, 0, 1);
        stream_recv(relay.server.b, 100, 0, 1);
        weir_scope_cancel(&scope);
        check_int(weir_scope_join(&scope, SOON), 0);
        check_int(relay.result, -ECANCELED);
    }
    check_int((int64_t)relay.there, 100); /* what was sent is told all the same */
    check_int((int64_t)relay.back, 0);
    relay_close(&relay);
}

/* Says which of the legs breaks. */
static void copy_ends_by_reset(void *arg)
{
    (void)arg;
    for (int server = 0; server < 2; server++) {
        struct weir_scope scope;
        struct relay relay;

        weir_scope_init(&scope);
        relay_open(&relay);
        check_int(weir_spawn(&scope, relay_both, &relay), 0);
        stream_send(relay.client.a, 100, 0, 1);
        stream_recv(relay.server.b, 100, 0, 1);
        weir_abort(server ? relay.server.b : relay.client.a);
        check_int(weir_scope_join(&scope, SOON), 0);
        check_int(relay.result, -ECONNRESET);
        check_int((int64_t)relay.there, 100);
        weir_close(relay.client.b);
        weir_close(relay.server.a);
        weir_close(server ? relay.client.a : relay.server.b);
    }
}

static const struct suite_case suite_copy[] = {
    { "copy_ends_at_eof", copy_ends_at_eof, { 0 } },
    { "copy_to_where_it_came_from", copy_to_where_it_came_from, { 0 } },
    { "copy_both_at_once", copy_both_at_once, { 0 } },
    { "copy_both_passes_the_half_close_on", copy_both_passes_the_half_close_on, { 0 } },
    { "copy_both_of_nothing", copy_both_of_nothing, { 0 } },
    { "copy_from_stack_to_stack", copy_from_stack_to_stack, { 0 } },
    { "copy_ends_at_the_deadline", copy_ends_at_the_deadline, { 0 } },
    { "copy_ends_at_the_deadline_in_a_flood", copy_ends_at_the_deadline_in_a_flood, { 0 } },
    { "copy_ends_while_it_sends", copy_ends_while_it_sends, { 0 } },
    { "copy_can_be_cancelled", copy_can_be_cancelled, { 0 } },
    { "copy_ends_by_reset", copy_ends_by_reset, { .lossless = true } },
};
