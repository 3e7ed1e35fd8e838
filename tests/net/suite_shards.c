/* suite_shards.c - the stack suite: several shards at one address, and stopping. */
#include "tests/net/stack_suite.h"

static struct weir_addr port_of[2];
static struct weir_listener *listener_of_shard[2];
static _Atomic int ready_shards;

/* Each shard gets here before any leaves.  A future of the loop would need a call; this is a test.
 */
static void meet(int shards)
{
    int round = atomic_fetch_add(&ready_shards, 1) / shards;

    while (atomic_load(&ready_shards) < (round + 1) * shards)
        check_int(weir_sleep(WEIR_US(50)), 0);
}

static void port_zero_is_shared(void *arg)
{
    struct weir_listener *listener;

    (void)arg;
    meet(2);
    check_int(weir_listen(&listener, "127.0.0.1:0", NULL), 0);
    weir_listener_addr(listener, &port_of[weir_shard_id()]);
    meet(2);
    check(port_of[0].in.sin_port == port_of[1].in.sin_port);
    check(port_of[0].in.sin_port != 0);
    meet(2);
    weir_listener_close(listener);
}

enum { SPREAD = 100 };

static _Atomic int spread_accepted[2], spread_left;

static void spread_client(void *arg)
{
    struct weir_conn *conn;

    check_int(weir_connect(&conn, arg, SOON), 0);
    stream_recv(conn, 10, 0, 0);
    expect_eof(conn);
    weir_close(conn);
    if (atomic_fetch_sub(&spread_left, 1) == 1)
        weir_stop(); /* the last one */
}

/* Both shards serve one address, and both connect to it. */
static void connections_spread_over_shards(void *arg)
{
    unsigned me = weir_shard_id();
    char text[WEIR_ADDR_TEXT];
    struct weir_listener *listener;
    struct weir_scope scope;
    struct weir_addr addr;
    struct weir_conn *conn;
    int error;

    (void)arg;
    weir_scope_init(&scope);
    atomic_store(&spread_accepted[me], 0);
    atomic_store(&spread_left, 2 * SPREAD);
    check_int(weir_listen(&listener, "127.0.0.1:0", NULL), 0);
    weir_listener_addr(listener, &addr);
    weir_addr_format(&addr, text, sizeof text);
    meet(2);
    for (int i = 0; i < SPREAD; i++)
        check_int(weir_spawn(&scope, spread_client, text), 0);
    while ((error = weir_accept(listener, &conn, SOON)) == 0) {
        atomic_fetch_add(&spread_accepted[me], 1);
        stream_send(conn, 10, 0, 0);
        weir_close(conn);
    }
    check_int(error, -ESHUTDOWN);
    check_int(weir_scope_join(&scope, SOON), 0);
    meet(2);
    check_int(spread_accepted[0] + spread_accepted[1], 2 * SPREAD);
    check(spread_accepted[0] > SPREAD / 4 && spread_accepted[1] > SPREAD / 4);
    weir_listener_close(listener);
}

/* --- stopping --- */

static void stops(void *arg)
{
    (void)arg;
    weir_stop();
}

static void stop_ends_accepts(void *arg)
{
    char text[WEIR_ADDR_TEXT];
    struct weir_listener *listener, *late;
    struct weir_scope scope;
    struct weir_conn *conn;

    (void)arg;
    weir_scope_init(&scope);
    listen_somewhere(&listener, text, NULL);
    check_int(weir_spawn(&scope, stops, NULL), 0);
    check_int(weir_accept(listener, &conn, SOON), -ESHUTDOWN);
    check(weir_stopping());
    check_int(weir_accept(listener, &conn, SOON), -ESHUTDOWN);
    check_int(weir_scope_join(&scope, SOON), 0);
    weir_listener_close(listener);
    if (weir_listen(&late, "127.0.0.1:0", NULL) == 0) {
        check_int(weir_accept(late, &conn, SOON), -ESHUTDOWN);
        weir_listener_close(late);
    }
}

enum { ARRIVED = 10 };

static void stop_hands_out_all_that_arrived(void *arg)
{
    char text[WEIR_ADDR_TEXT];
    struct weir_conn *client[ARRIVED], *conn;
    struct weir_listener *listener;
    int error, served = 0;

    (void)arg;
    listen_somewhere(&listener, text, NULL);
    for (int i = 0; i < ARRIVED; i++)
        check_int(weir_connect(&client[i], text, SOON), 0);
    weir_stop();
    while ((error = weir_accept(listener, &conn, SOON)) == 0) {
        stream_send(conn, 10, 0, 0);
        weir_close(conn);
        served++;
    }
    check_int(error, -ESHUTDOWN);
    check_int(served, ARRIVED);
    for (int i = 0; i < ARRIVED; i++) {
        stream_recv(client[i], 10, 0, 0);
        expect_eof(client[i]);
        weir_close(client[i]);
    }
    weir_listener_close(listener);
}

/* --- the wrong shard --- */

static void use_on_the_wrong_shard(void *arg)
{
    unsigned me = weir_shard_id();
    char text[WEIR_ADDR_TEXT];
    struct weir_conn *conn;

    (void)arg;
    if (me == 0)
        listen_somewhere(&listener_of_shard[0], text, NULL);
    meet(2);
    if (me == 1)
        weir_accept(listener_of_shard[0], &conn, SOON);
    meet(2); /* not reached */
}

static void run_on_the_wrong_shard(void *arg)
{
    const struct suite_need need = { .shards = 2 };

    (void)arg;
    atomic_store(&ready_shards, 0);
    stack_under_test.run(&need, 1, use_on_the_wrong_shard, NULL);
}

static void the_wrong_shard_is_told(void **state)
{
    (void)state;
    assert_panics(run_on_the_wrong_shard, NULL,
                  "weir_accept: this object belongs to shard 0 and was used on shard 1");
}

static const struct suite_case suite_shards[] = {
    { "port_zero_is_shared", port_zero_is_shared, { .shards = 2 } },
    { "connections_spread_over_shards", connections_spread_over_shards, { .shards = 2 } },
    { "stop_ends_accepts", stop_ends_accepts, { 0 } },
    { "stop_hands_out_all_that_arrived", stop_hands_out_all_that_arrived, { 0 } },
};
