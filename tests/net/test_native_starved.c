/* test_native_starved.c - connections of shards that have far too few packets for them: all bytes
 * arrive, in both directions, on wires with faults and where packets come to the wrong shard; and
 * nothing is left over, which the shards' end checks. */
#define SUITE_PATIENCE WEIR_SEC(3600)
#include "net/native/glue.h"
#include "tests/net/stack_suite.h"

enum { FLOWS = 8, BYTES = 150000, PKTS_MIN = 64, PKTS_SPREAD = 200 };

static struct {
    char address[WEIR_ADDR_TEXT];
    uint64_t no_memory, finished;
} starved;

struct flow {
    struct weir_conn *conn;
    unsigned salt;
};

static void flow_send(void *arg)
{
    const struct flow *flow = arg;

    stream_send(flow->conn, BYTES, 0, flow->salt);
    check_int(weir_shutdown(flow->conn), 0);
}

/* Both directions at once. */
static void flow_run(struct weir_conn *conn, unsigned send_salt, unsigned recv_salt)
{
    struct flow out = { conn, send_salt };
    struct weir_scope scope;

    weir_scope_init(&scope);
    check_int(weir_spawn(&scope, flow_send, &out), 0);
    if (weir_random(2) == 0)
        check_int(weir_sleep(random_in(0, WEIR_SEC(3))), 0); /* the queues fill up */
    stream_recv(conn, BYTES, 0, recv_salt);
    expect_eof(conn);
    check_int(weir_scope_join(&scope, SOON), 0);
    weir_close(conn);
    starved.finished++;
}

static void flow_serve(void *arg)
{
    flow_run(arg, 2, 1);
}

static void flow_call(void *arg)
{
    struct weir_conn *conn;
    int error;

    (void)arg;
    do /* its SYNs may all be dropped */
        error = weir_connect(&conn, starved.address, SOON);
    while (error == -ETIMEDOUT);
    check_int(error, 0);
    flow_run(conn, 1, 2);
}

static void serve(struct weir_scope *scope)
{
    struct weir_listener *listener;
    struct weir_conn *conn;

    listen_somewhere(&listener, starved.address, NULL);
    for (int i = 0; i < FLOWS; i++) {
        check_int(weir_accept(listener, &conn, SOON), 0);
        check_int(weir_spawn(scope, flow_serve, conn), 0);
    }
    weir_listener_close(listener);
}

static void call(struct weir_scope *scope)
{
    while (starved.address[0] == '\0')
        check_int(weir_sleep(WEIR_MS(1)), 0);
    for (int i = 0; i < FLOWS; i++)
        check_int(weir_spawn(scope, flow_call, NULL), 0);
}

static void starved_main(void *arg)
{
    struct weir_native *native = weir_native_of(weir_stack_of(weir_shard_current));
    struct weir_scope scope;

    (void)arg;
    native->pkts.pool.max = PKTS_MIN + (uint32_t)weir_random(PKTS_SPREAD);
    weir_scope_init(&scope);
    if (weir_shard_id() + 1 == weir_shard_count())
        serve(&scope);
    if (weir_shard_id() == 0)
        call(&scope);
    check_int(weir_scope_join(&scope, SOON), 0);
    starved.no_memory += native->stats.tcp_no_memory;
    check(native->pkts.pool.made <= PKTS_MIN + PKTS_SPREAD);
}

static void starved_seed(uint64_t seed)
{
    static const char *const wires[] = {
        NULL,
        "delay=200us,jitter=200us",
        "loss=1%",
        "loss=1%,duplicate=1%,reorder=1%,corrupt=1%,delay=5ms,jitter=300us,dir=tx",
        "rate=100mbit,queue=64k,delay=1ms",
    };
    struct weir_sim_config config;

    memset(&starved, 0, sizeof starved);
    weir_sim_config_init(&config);
    config.seed = seed;
    config.shards = 2 + seed % 2;
    config.limit = WEIR_SEC(36000);
    config.native = true;
    config.misdirect = seed % 3 == 0;
    config.impair = wires[seed % WEIR_COUNT(wires)];
    check_int(weir_sim_run(&config, starved_main, NULL), 0);
    check_int((int64_t)starved.finished, 2 * FLOWS);
    check(starved.no_memory > 0);
}

static void all_bytes_arrive_with_few_packets(void **state)
{
    (void)state;
    seeds_each(30, starved_seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(all_bytes_arrive_with_few_packets) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
