/* test_native_room.c - a device whose ring is full: TCP waits for room, and nothing is dropped.
 *
 * Many connections that send as much as they can, over the loop, whose rings hold a tenth of what
 * they have to send at a time.  Every shard listens, so that nothing is forwarded. */
#include "tests/core/testing.h"
#include "net/native/glue.h"
#include "net/native/ip.h"
#include "tests/seeds.h"

#define SOON weir_after(WEIR_SEC(600))

enum { CONNS = 48, BYTES = 1 << 20, SHARDS_MAX = 3 };

static struct {
    unsigned ready, accepted, ended;
    uint64_t received;
} room;

static void conn_send(void *arg)
{
    static const uint8_t data[65536];
    struct weir_conn *conn;

    (void)arg;
    check_int(weir_connect(&conn, "127.0.0.1:7000", SOON), 0);
    for (unsigned sent = 0; sent < BYTES; sent += sizeof data)
        check_int(weir_send(conn, data, sizeof data, SOON), sizeof data);
    weir_close(conn);
}

static void conn_receive(void *arg)
{
    static uint8_t data[65536];
    struct weir_conn *conn = arg;
    int64_t n;

    while ((n = weir_recv(conn, data, sizeof data, SOON)) > 0)
        room.received += (uint64_t)n;
    check_int(n, 0);
    weir_close(conn);
}

static void accept_all(struct weir_scope *scope, struct weir_listener *listener)
{
    while (room.accepted < CONNS * weir_shard_count()) {
        struct weir_conn *conn;
        int error = weir_accept(listener, &conn, weir_after(WEIR_MS(10)));

        if (error == -ETIMEDOUT)
            continue;
        check_int(error, 0);
        room.accepted++;
        check_int(weir_spawn(scope, conn_receive, conn), 0);
    }
}

static void nothing_was_lost(const struct weir_native *native)
{
    check_int((int64_t)native->iface[WEIR_IFACE_LOOP].queue->stats.tx_dropped, 0);
    check_int((int64_t)native->stats.tcp_retransmits, 0);
    check_int((int64_t)native->stats.tcp_timeouts, 0);
    check_int((int64_t)native->stats.tcp_ooo, 0);
}

static void room_main(void *arg)
{
    struct weir_listener *listener;
    struct weir_scope scope;

    (void)arg;
    check_int(weir_listen(&listener, "127.0.0.1:7000", NULL), 0);
    room.ready++;
    while (room.ready < weir_shard_count())
        check_int(weir_sleep(WEIR_MS(1)), 0);
    weir_scope_init(&scope);
    for (unsigned i = 0; i < CONNS; i++)
        check_int(weir_spawn(&scope, conn_send, NULL), 0);
    accept_all(&scope, listener);
    check_int(weir_scope_join(&scope, SOON), 0);
    weir_listener_close(listener);
    nothing_was_lost(weir_native_of(weir_stack_of(weir_shard_current)));
    room.ended++;
    while (room.ended < weir_shard_count())
        check_int(weir_sleep(WEIR_MS(1)), 0);
}

static void room_seed(uint64_t seed)
{
    struct weir_sim_config config;

    memset(&room, 0, sizeof room);
    weir_sim_config_init(&config);
    config.seed = seed;
    config.shards = 1 + (unsigned)(seed % SHARDS_MAX);
    config.native = true;
    check_int(weir_sim_run(&config, room_main, NULL), 0);
    check_int((int64_t)room.received, (int64_t)config.shards * CONNS * BYTES);
}

static void nothing_is_dropped_for_want_of_room(void **state)
{
    (void)state;
    seeds_each(3, room_seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_dropped_for_want_of_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
