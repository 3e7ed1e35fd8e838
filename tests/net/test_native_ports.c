/* test_native_ports.c - the local ports of connections that we open: all of them can be had towards
 * one destination, only those whose packets come home, and again when they are free.
 *
 * A shard's share of ports is made by another table of whose a hash is: as if there were more
 * shards. */
#include "tests/core/testing.h"
#include <errno.h>
#include "net/native/ports.c"
#include "tests/net/tcp_live.c"
#include "tests/net/tcp_script.c"

enum { STEP = 500 };

static struct {
    uint8_t table[WEIR_FLOW_TABLE]; /* whose a hash is */
    struct weir_io io[PORT_COUNT];
    bool seen[65536];
} ports;

/* One shard of so many. */
static void ports_setup(unsigned shards)
{
    memset(&ports, 0, sizeof ports);
    script.config.conns_max = PORT_COUNT + 100;
    script_restart();
    script.live->count_only = true;
    for (unsigned i = 0; i < WEIR_FLOW_TABLE; i++)
        ports.table[i] = (uint8_t)(i % shards);
    script.live->native->flow_table = ports.table;
}

static struct weir_addr peer_addr(uint16_t port)
{
    struct weir_addr addr;

    assert_int_equal(weir_addr_parse(&addr, "192.0.2.9:1"), 0);
    addr.in.sin_port = htons(port);
    return addr;
}

static uint16_t port_of(const struct weir_io *io)
{
    const struct weir_tcp *tcp = (const struct weir_tcp *)(uintptr_t)io->stack[0];

    return tcp->flow.key.local_port;
}

static bool connect_starts(struct weir_io *io, uint16_t port)
{
    const struct weir_addr addr = peer_addr(port);

    weir_connect_start(io, &addr);
    return !io->future.done;
}

/* How many ports lead home, by a count of them all. */
static unsigned ports_at_home(uint16_t port)
{
    struct weir_flow_key key = { .local = script.live->local,
                                 .remote = script.live->peer,
                                 .remote_port = port };
    unsigned count = 0;

    for (unsigned i = 0; i < PORT_COUNT; i++) {
        key.local_port = (uint16_t)(PORT_FIRST + i);
        count += ports.table[weir_flow_hash(script.live->native, &key) % WEIR_FLOW_TABLE] == 0;
    }
    return count;
}

/* Connects until there is no port left; the peer is silent. */
static unsigned ports_use_up(uint16_t port)
{
    unsigned count = 0;

    while (count < PORT_COUNT && connect_starts(&ports.io[count], port)) {
        uint16_t got = port_of(&ports.io[count]);

        assert_true(got >= PORT_FIRST && got < PORT_FIRST + PORT_COUNT);
        assert_false(ports.seen[got]);
        ports.seen[got] = true;
        if (++count % STEP == 0)
            live_pump(script.live);
    }
    live_pump(script.live);
    return count;
}

static void ports_close(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (!ports.io[i].future.done)
            weir_future_cancel(&ports.io[i].future);
    live_pump(script.live);
    assert_int_equal(script.live->native->conns.live, 0);
}

/* --- all of them --- */

static void no_port_fails(struct weir_io *io)
{
    assert_false(connect_starts(io, LIVE_PEER_PORT));
    assert_int_equal(io->future.result, -EADDRNOTAVAIL);
}

static void every_port_can_be_had_once(void **state)
{
    struct weir_io io, elsewhere;
    uint16_t freed;
    unsigned count;

    (void)state;
    ports_setup(1);
    count = ports_use_up(LIVE_PEER_PORT);
    assert_int_equal(count, PORT_COUNT);
    no_port_fails(&io);
    no_port_fails(&io);
    assert_true(connect_starts(&elsewhere, LIVE_PEER_PORT + 1)); /* they are not used up for it */
    weir_future_cancel(&elsewhere.future);
    freed = port_of(&ports.io[7777]);
    weir_future_cancel(&ports.io[7777].future);
    assert_int_equal(ports.io[7777].future.result, -ECANCELED);
    assert_true(connect_starts(&ports.io[7777], LIVE_PEER_PORT)); /* the one that is free */
    assert_int_equal(port_of(&ports.io[7777]), freed);
    no_port_fails(&io);
    ports_close(count);
}

static void a_shard_has_the_ports_that_lead_home(void **state)
{
    static const unsigned shards[] = { 2, 3, 64 };

    (void)state;
    for (size_t i = 0; i < WEIR_COUNT(shards); i++) {
        struct weir_io io;
        unsigned count;

        ports_setup(shards[i]);
        count = ports_use_up(LIVE_PEER_PORT);
        assert_int_equal(count, ports_at_home(LIVE_PEER_PORT));
        assert_in_range(count * shards[i], PORT_COUNT / 2, PORT_COUNT * 2);
        no_port_fails(&io);
        ports_close(count);
    }
}

static void no_port_at_all_leads_home(void **state)
{
    struct weir_io io;

    (void)state;
    ports_setup(1);
    memset(ports.table, 1, sizeof ports.table);
    no_port_fails(&io);
}

/* Who connects to a port of his own must not get that very port: he would speak to himself. */
static void nobody_connects_to_himself(void **state)
{
    struct weir_flow_key key;
    uint32_t hash;

    (void)state;
    ports_setup(1);
    key = (struct weir_flow_key){ .local = script.live->local,
                                  .remote = script.live->local,
                                  .local_port = LIVE_PEER_PORT,
                                  .remote_port = LIVE_PEER_PORT };
    hash = weir_flow_hash(script.live->native, &key);
    memset(ports.table, 1, sizeof ports.table); /* few are left, and it would be one of them */
    ports.table[hash % WEIR_FLOW_TABLE] = 0;
    for (int i = 0; i < 5000; i++) {
        assert_int_equal(weir_native_port(script.live->native, &key, &hash), 0);
        assert_int_not_equal(key.local_port, LIVE_PEER_PORT);
    }
}

/* --- those in TIME-WAIT --- */

/* All ports but one, which is in TIME-WAIT; returns how many connects are under way. */
static unsigned all_but_one_waiting(bool timestamps)
{
    unsigned count;

    connecting();
    script.local_port = port_of(&script.connect);
    script.live->count_only = false;
    out("S 0:0(0) ...");
    if (timestamps)
        in("S. 0:0(0) ack 1 mss 1460 ts 1 0");
    else
        in("S. 0:0(0) ack 1 mss 1460");
    out(". 1:1(0) ack 1");
    connected();
    user_close();
    out("F. 1:1(0) ack 1");
    in("F. 1:1(0) ack 2");
    out(". 2:2(0) ack 2");
    state_is(WEIR_TCP_TIME_WAIT);
    script.live->count_only = true;
    memset(ports.table, 1, sizeof ports.table); /* few others, for they take their time */
    ports.table[live_flow(script.live, script.local_port, LIVE_PEER_PORT)->hash % WEIR_FLOW_TABLE] =
        0;
    count = ports_use_up(LIVE_PEER_PORT);
    assert_int_equal(count, ports_at_home(LIVE_PEER_PORT) - 1);
    return count;
}

static void ports_open_for_waits(void)
{
    ports_setup(1);
    script.live->count_only = false;
}

static void rfc6191_time_wait_gives_its_port_after_a_second(void **state)
{
    struct weir_io io, again;
    unsigned count;

    (void)state;
    ports_open_for_waits();
    count = all_but_one_waiting(true);
    no_port_fails(&io); /* it could be mistaken for the old one */
    live_pass(script.live, script.live->shard.now + WEIR_MS(900));
    no_port_fails(&io);
    live_pass(script.live, script.live->shard.now + WEIR_MS(200));
    assert_true(connect_starts(&io, LIVE_PEER_PORT));
    assert_int_equal(port_of(&io), script.local_port);
    assert_int_equal(script.live->native->waits.live, 0);
    no_port_fails(&again);
    weir_future_cancel(&io.future);
    ports_close(count);
}

static void time_wait_without_timestamps_keeps_its_port(void **state)
{
    struct weir_io io;
    unsigned count;

    (void)state;
    ports_open_for_waits();
    count = all_but_one_waiting(false);
    live_pass(script.live, script.live->shard.now + WEIR_SEC(2));
    no_port_fails(&io);
    live_pass(script.live, script.live->shard.now + WEIR_SEC(59)); /* 2 MSL in all */
    assert_int_equal(script.live->native->waits.live, 0);
    assert_true(connect_starts(&io, LIVE_PEER_PORT));
    assert_int_equal(port_of(&io), script.local_port);
    weir_future_cancel(&io.future);
    ports_close(count);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        script_case(every_port_can_be_had_once),
        script_case(a_shard_has_the_ports_that_lead_home),
        script_case(no_port_at_all_leads_home),
        script_case(nobody_connects_to_himself),
        script_case(rfc6191_time_wait_gives_its_port_after_a_second),
        script_case(time_wait_without_timestamps_keeps_its_port),
    };

    return cmocka_run_group_tests(cases, NULL, NULL);
}
