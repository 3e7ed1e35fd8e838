/* test_native_limits.c - connections, flows and packets of a shard at their maximum: what is
 * refused then, what waits, and that all goes on when there is room again. */
#include "tests/core/testing.h"
#include <errno.h>
#include "net/native/glue.h"
#include "tests/net/tcp_live.c"
#include "tests/net/tcp_script.c"

static struct weir_native *native(void)
{
    return script.live->native;
}

/* The three segments of a peer; accepted by nobody yet. */
static void handshake(uint16_t port)
{
    script_new_peer(port);
    in("S 0:0(0) mss 1460");
    out("S. 0:0(0) ack 1 ...");
    in(". 1:1(0) ack 1");
    nothing();
    state_is(WEIR_TCP_ESTABLISHED);
}

static void limits_restart(uint32_t conns_max, uint32_t pkts_max)
{
    script.config.conns_max = conns_max;
    script.config.pkts_max = pkts_max;
    script_restart();
}

/* --- conns_max --- */

enum { MAX = 3 };

static void accepting_pauses_at_the_maximum(void **state)
{
    struct weir_conn *conn[MAX + 1];
    struct weir_io late;

    (void)state;
    limits_restart(MAX, 1024);
    listening();
    for (uint16_t i = 0; i < MAX; i++) {
        handshake((uint16_t)(41000 + i));
        accepted();
        conn[i] = script.conn;
    }
    script.conn = NULL;
    assert_int_equal(script.live->shard.stats.conns, MAX);
    handshake(42000); /* it is there, and waits */
    weir_accept_start(&late, script.listener);
    live_pass(script.live, script.live->shard.now + WEIR_SEC(5));
    assert_false(late.future.done);
    weir_abort(conn[0]);
    live_pump(script.live);
    assert_true(late.future.done);
    assert_int_equal(late.future.result, 0);
    assert_int_equal(script.live->shard.stats.conns, MAX);
    conn[MAX] = late.conn;
    for (unsigned i = 1; i <= MAX; i++)
        weir_abort(conn[i]);
    assert_int_equal(script.live->shard.stats.conns, 0);
}

/* One of those that wait is taken per close, in the order in which they came. */
static void each_close_lets_one_in(void **state)
{
    struct weir_conn *conn[MAX];
    struct weir_addr addr;

    (void)state;
    limits_restart(1, 1024);
    listening();
    for (uint16_t i = 0; i < MAX; i++)
        handshake((uint16_t)(41000 + i));
    for (uint16_t i = 0; i < MAX; i++) {
        accepted();
        conn[i] = script.conn;
        assert_int_equal(weir_peer_addr(conn[i], &addr), 0);
        assert_int_equal(ntohs(addr.in.sin_port), 41000 + i);
        if (i + 1 < MAX)
            not_accepted();
        script.conn = NULL;
        weir_abort(conn[i]);
        live_pump(script.live);
    }
}

static void connecting_fails_at_the_maximum(void **state)
{
    struct weir_conn *first;
    struct weir_addr addr;
    struct weir_io io;

    (void)state;
    limits_restart(1, 1024);
    established();
    first = script.conn;
    script.conn = NULL;
    assert_int_equal(weir_addr_parse(&addr, "192.0.2.9:40000"), 0);
    weir_connect_start(&io, &addr);
    assert_true(io.future.done);
    assert_int_equal(io.future.result, -EMFILE);
    weir_abort(first);
    live_pump(script.live);
    script_drop_sent();
    script_new_peer(LIVE_PEER_PORT);
    connecting(); /* room again */
    script.local_port =
        ((struct weir_tcp *)(uintptr_t)script.connect.stack[0])->flow.key.local_port;
    out("S 0:0(0) ...");
    in("S. 0:0(0) ack 1 mss 1460");
    out(". 1:1(0) ack 1");
    connected();
}

/* Beyond conns_max there is room for those that nobody has yet; that has an end, too. */
static void a_storm_of_connects_runs_out_of_memory(void **state)
{
    enum { STORM = 64 + 2 * 4096 };
    static struct weir_io io[STORM + 1];
    struct weir_addr addr;
    unsigned count = 0;

    (void)state;
    limits_restart(64, 1024);
    script.live->count_only = true;
    assert_int_equal(weir_addr_parse(&addr, "192.0.2.9:40000"), 0);
    for (;; count++) {
        assert_in_range(count, 0, STORM);
        weir_connect_start(&io[count], &addr);
        if (io[count].future.done)
            break;
        if (count % 500 == 0)
            live_pump(script.live);
    }
    assert_int_equal(io[count].future.result, -ENOMEM);
    assert_int_equal(native()->stats.tcp_no_memory, 1);
    assert_true(count >= 64 + 4096);
    assert_int_equal(native()->conns.live, count);
    weir_future_cancel(&io[0].future);
    weir_connect_start(&io[0], &addr);
    assert_false(io[0].future.done); /* room again */
    for (unsigned i = 0; i < count; i++)
        weir_future_cancel(&io[i].future);
    live_pump(script.live);
    assert_int_equal(native()->conns.live, 0);
    assert_int_equal(native()->flows.count, 0);
}

/* --- half-open --- */

/* Beyond the bound of the shard the answer is a cookie, however much room the listener has. */
static void half_open_ones_are_bounded_per_shard(void **state)
{
    (void)state;
    limits_restart(16, 1024);
    listening();
    native()->tcp->half_open_max = 2;
    for (uint16_t i = 0; i < 2; i++) {
        script_new_peer((uint16_t)(41000 + i));
        in("S 0:0(0) mss 1460");
        out("S. 0:0(0) ack 1 ...");
        state_is(WEIR_TCP_SYN_RECEIVED);
    }
    assert_int_equal(native()->stats.tcp_cookies_sent, 0);
    script_new_peer(41002);
    in("S 0:0(0) mss 1460");
    out("S. 0:0(0) ack 1 ...");
    state_is(WEIR_TCP_CLOSED);
    assert_int_equal(native()->stats.tcp_cookies_sent, 1);
    script.peer_port = 41000;
    in("R 1:1(0)");
    assert_int_equal(native()->tcp->half_open, 1);
    script_new_peer(41003);
    in("S 0:0(0) mss 1460"); /* room again */
    out("S. 0:0(0) ack 1 ...");
    state_is(WEIR_TCP_SYN_RECEIVED);
    assert_int_equal(native()->stats.tcp_cookies_sent, 1);
    assert_int_equal(native()->tcp->half_open, 2);
}

/* A good cookie does not get past a full accept queue; the peer's next segment may. */
static void a_cookie_waits_for_room_to_be_accepted(void **state)
{
    uint32_t iss;

    (void)state;
    listening_with(1, 1); /* together two may wait to be accepted */
    in("S 0:0(0) mss 1460");
    out("S. 0:0(0) ack 1 ...");
    script_new_peer(41000);
    in("S 0:0(0) mss 1460");
    out("S. 0:0(0) ack 1 ...");
    state_is(WEIR_TCP_CLOSED);
    iss = script.iss;
    script_new_peer(LIVE_PEER_PORT);
    in("R 1:1(0)");
    handshake(41001);
    handshake(41002);
    script_new_peer(41000);
    script.iss = iss;
    script.iss_known = true;
    in(". 1:1(0) ack 1");
    nothing();
    state_is(WEIR_TCP_CLOSED);
    assert_int_equal(native()->stats.tcp_accept_overflow, 1);
    accepted();
    in("P. 1:101(100) ack 1");
    state_is(WEIR_TCP_ESTABLISHED);
    assert_int_equal(native()->stats.tcp_cookies_good, 2);
}

/* --- flows --- */

/* What is left of a connection, in TIME-WAIT. */
static void leave_wait(uint16_t port)
{
    handshake(port);
    accepted();
    user_close();
    out("F. 1:1(0) ack 1");
    in("F. 1:1(0) ack 2");
    out(". 2:2(0) ack 2");
    state_is(WEIR_TCP_TIME_WAIT);
}

/* Connections go before what is left of others. */
static void the_oldest_time_wait_makes_room(void **state)
{
    (void)state;
    limits_restart(16, 1024);
    listening();
    native()->flows.max = 4;
    leave_wait(41000);
    leave_wait(41001);
    handshake(41002);
    handshake(41003);
    assert_int_equal(native()->flows.count, 4);
    handshake(41004);
    handshake(41005);
    assert_int_equal(native()->flows.count, 4);
    assert_int_equal(native()->waits.live, 0);
    assert_int_equal(native()->stats.tcp_no_memory, 0);
    script_new_peer(41000);
    state_is(WEIR_TCP_CLOSED);
}

static void without_room_for_its_flow_a_syn_is_dropped(void **state)
{
    (void)state;
    limits_restart(16, 1024);
    listening();
    native()->flows.max = 2;
    handshake(41000);
    handshake(41001);
    script_new_peer(41002);
    in("S 0:0(0) mss 1460");
    nothing();
    assert_int_equal(native()->stats.tcp_syn_dropped, 1);
    assert_int_equal(native()->stats.tcp_no_memory, 1);
    assert_int_equal(native()->conns.live, 2);
    assert_int_equal(native()->tcp->half_open, 0);
    script.peer_port = 41000;
    accepted();
    user_abort();
    script_drop_sent();
    handshake(41002); /* it comes again, and there is room */
}

/* --- who is told of the end may begin anew --- */

static struct again {
    struct weir_io recv, connect;
    uint64_t random[2];
    bool called;
    char byte;
} again;

static void again_recv_done(struct weir_future *future)
{
    struct weir_addr addr;

    assert_int_equal(future->result, 0);
    again.called = true;
    memcpy(script.live->shard.random, again.random, sizeof again.random);
    weir_addr_parse(&addr, "192.0.2.9:40000");
    weir_connect_start(&again.connect, &addr);
}

/* The end comes in FIN-WAIT-2, so that the connection turns into a TIME-WAIT; whoever waits for it
 * connects again from within, and chance leads him to the same port. */
static void the_port_of_a_time_wait_is_not_had_meanwhile(void **state)
{
    (void)state;
    memset(&again, 0, sizeof again);
    memcpy(again.random, script.live->shard.random, sizeof again.random);
    connecting();
    script.local_port =
        ((struct weir_tcp *)(uintptr_t)script.connect.stack[0])->flow.key.local_port;
    out("S 0:0(0) ...");
    in("S. 0:0(0) ack 1 mss 1460");
    out(". 1:1(0) ack 1");
    connected();
    user_shutdown();
    out("F. 1:1(0) ack 1");
    in(". 1:1(0) ack 2");
    weir_recv_start(&again.recv, script.conn, &again.byte, 1);
    assert_true(weir_future_on_done(&again.recv.future, again_recv_done));
    in("F. 1:1(0) ack 2");
    assert_true(again.called);
    assert_false(again.connect.future.done);
    weir_future_cancel(&again.connect.future);
}

/* --- packets --- */

enum { PKTS = 40, WAITING_SEND = 1 << 20 };

/* Gives all that the peer has been sent and not acknowledged. */
static uint32_t sent_so_far(uint32_t from)
{
    const struct live_segment *s;

    while ((s = live_sent(script.live)) != NULL)
        if ((int32_t)(s->seq + s->len - script.iss - from) > 0)
            from = s->seq + s->len - script.iss;
    return from;
}

/* A send queue may not take so many packets that no ACK can come in any more. */
static void sends_wait_for_packets_and_go_on(void **state)
{
    uint32_t acked = 1;

    (void)state;
    script.config.sndbuf = 4 << 20;
    limits_restart(16, PKTS);
    established("mss 1460 ws 7");
    user_send(WAITING_SEND);
    assert_true(script.send_waits);
    assert_true(weir_tcp_send_room(script_tcp()) > 0);
    assert_false(weir_list_empty(&native()->starved));
    assert_true(native()->stats.tcp_no_memory > 0);
    for (unsigned rounds = 0; acked < WAITING_SEND + 1; rounds++) {
        uint32_t before = acked;

        assert_in_range(rounds, 0, 5000);
        acked = sent_so_far(acked);
        if (acked > before)
            in(". 1:1(0) ack %u win 60000", acked);
        else
            live_pass(script.live, script.live->shard.now + WEIR_MS(100));
    }
    user_sent(WAITING_SEND);
    assert_true(weir_list_empty(&native()->starved));
    assert_int_equal(native()->stats.tcp_timeouts, 0);
    user_close();
    out("F. %u:%u(0) ack 1", acked, acked);
    in("F. 1:1(0) ack %u", acked + 1);
    out(". %u:%u(0) ack 2", acked + 1, acked + 1);
    assert_int_equal(native()->pkts.pool.live, 0);
}

static void a_send_that_starves_can_be_cancelled(void **state)
{
    (void)state;
    script.config.sndbuf = 4 << 20;
    limits_restart(16, PKTS);
    established("mss 1460 ws 7");
    user_send(WAITING_SEND);
    assert_false(weir_list_empty(&native()->starved));
    weir_future_cancel(&script.send.future);
    assert_int_equal(script.send.future.result, -ECANCELED);
    assert_true(script.send.moved > 0 && script.send.moved < WAITING_SEND);
    assert_true(weir_list_empty(&native()->starved));
    script.send_waits = false;
    user_abort();
    assert_int_equal(native()->pkts.pool.live, 0);
}

/* Closing, and the peer's reset, end a send that starves. */
static void a_send_that_starves_ends_with_its_connection(void **state)
{
    (void)state;
    script.config.sndbuf = 4 << 20;
    limits_restart(16, PKTS);
    established("mss 1460 ws 7");
    user_send(WAITING_SEND);
    assert_false(weir_list_empty(&native()->starved));
    in("R 1:1(0)");
    user_sent(-ECONNRESET);
    assert_true(weir_list_empty(&native()->starved));
    user_close();
    script_drop_sent();
    script_new_peer(40001);
    established("mss 1460 ws 7");
    user_send(WAITING_SEND);
    assert_false(weir_list_empty(&native()->starved));
    weir_close(script.conn);
    script.conn = NULL;
    assert_true(weir_list_empty(&native()->starved));
    live_pump(script.live);
    assert_int_equal(script.send.future.result, -ECANCELED);
    script.send_waits = false;
}

/* What nobody reads may not keep out what others wait for. */
static void unread_bytes_leave_packets_for_the_others(void **state)
{
    enum { LAZY = 4, SENT_TO_EACH = 200 };
    struct weir_conn *lazy[LAZY];

    (void)state;
    script.config.rcvbuf = 1 << 20;
    limits_restart(16, 256);
    listening();
    for (uint16_t i = 0; i < LAZY; i++) {
        handshake((uint16_t)(41000 + i));
        accepted();
        lazy[i] = script.conn;
        for (uint32_t at = 1; at < SENT_TO_EACH * 1000; at += 1000)
            in(". %u:%u(1000) ack 1", at, at + 1000);
        script_drop_sent();
    }
    assert_true(native()->pkts.pool.live < 256);
    handshake(42000);
    accepted();
    in(". 1:1001(1000) ack 1");
    recv_is(1000);
    script_drop_sent();
    for (unsigned i = 0; i < LAZY; i++)
        weir_abort(lazy[i]);
}

static struct weir_pkt *kept[64];
static unsigned kept_count;

/* Until so many packets of the shard are out. */
static void packets_out(uint32_t count)
{
    while (native()->pkts.pool.live < count)
        kept[kept_count++] = weir_pkt_get(&native()->pkts);
    while (native()->pkts.pool.live > count)
        weir_pkt_free(kept[--kept_count]);
}

static void scarce_packets_are_for_those_who_wait(void **state)
{
    (void)state;
    kept_count = 0;
    limits_restart(16, 64);
    established("mss 1460");
    packets_out(47);
    in(". 1:1001(1000) ack 1"); /* makes 48, three quarters */
    assert_int_equal(native()->stats.tcp_no_memory, 0);
    in(". 1001:2001(1000) ack 1"); /* there are unread ones */
    in(". 3001:4001(1000) ack 1"); /* and out of order no more */
    assert_int_equal(native()->stats.tcp_no_memory, 2);
    assert_null(script_tcp()->ooo);
    recv_is(1000);
    script_drop_sent();
    in(". 1001:2001(1000) ack 1"); /* as after a loss */
    recv_is(1000);
    script_drop_sent();
    packets_out(56); /* of the last eighth */
    in(". 2001:3001(1000) ack 1");
    assert_int_equal(native()->stats.tcp_no_memory, 3);
    recv_waits();
    in(". 2001:3001(1000) ack 1"); /* goes right through */
    recv_result(1000);
    script_drop_sent();
    in("F. 3001:3001(0) ack 1"); /* takes no room */
    out(". 1:1(0) ack 3002");
    state_is(WEIR_TCP_CLOSE_WAIT);
    packets_out(63);
    user_close(); /* the last one says so */
    out("F. 1:1(0) ack 3002");
    in(". 3002:3002(0) ack 2");
    state_is(WEIR_TCP_CLOSED);
    packets_out(0);
}

/* With no packet at all nothing goes out or comes in; and then it goes on. */
static void without_packets_time_stands_still(void **state)
{
    (void)state;
    kept_count = 0;
    limits_restart(16, 64);
    established("mss 1460");
    user_send(100);
    out("P. 1:101(100) ack 1");
    packets_out(64);
    in(". 1:1(0) ack 101"); /* the device has none for it */
    assert_int_equal(script_tcp()->tx_count, 1);
    packets_out(64);
    script_drop_sent();
    packets_out(1); /* what is in the send queue */
    in(". 1:1(0) ack 101");
    assert_int_equal(script_tcp()->tx_count, 0);
    assert_int_equal(native()->pkts.pool.live, 0);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        script_case(accepting_pauses_at_the_maximum),
        script_case(each_close_lets_one_in),
        script_case(connecting_fails_at_the_maximum),
        script_case(a_storm_of_connects_runs_out_of_memory),
        script_case(half_open_ones_are_bounded_per_shard),
        script_case(a_cookie_waits_for_room_to_be_accepted),
        script_case(the_oldest_time_wait_makes_room),
        script_case(without_room_for_its_flow_a_syn_is_dropped),
        script_case(the_port_of_a_time_wait_is_not_had_meanwhile),
        script_case(sends_wait_for_packets_and_go_on),
        script_case(a_send_that_starves_can_be_cancelled),
        script_case(a_send_that_starves_ends_with_its_connection),
        script_case(unread_bytes_leave_packets_for_the_others),
        script_case(scarce_packets_are_for_those_who_wait),
        script_case(without_packets_time_stands_still),
    };

    return cmocka_run_group_tests(cases, NULL, NULL);
}
