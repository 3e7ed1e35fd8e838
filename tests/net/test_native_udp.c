/* test_native_udp.c - UDP on our own IP, the way in: which socket gets a datagram, on which shard;
 * ports; what is dropped, and what comes back. */
#include "tests/net/native_udp.h"

/* --- which socket --- */

static void the_best_fit_gets_it(void)
{
    struct weir_udp *any = sock(0, "*:53"), *one = sock(0, "10.0.0.1:53"), *both, *with_peer;

    assert_int_equal(try_open(0, &both, "[::]:54", true), 0);
    with_peer = sock(0, "10.0.0.1:54");
    peer(with_peer, "10.0.0.9:7");
    arrive(0, "10.0.0.1:53", "10.0.0.9:7");
    assert_int_equal(got(one), 3);
    assert_int_equal(got(any), -1);
    arrive(0, "255.255.255.255:53", "10.0.0.9:7");
    assert_int_equal(got(any), 3);
    assert_int_equal(got(one), -1);
    arrive(0, "10.0.0.1:54", "10.0.0.9:7");
    assert_int_equal(got(with_peer), 3);
    arrive(0, "10.0.0.1:54", "10.0.0.9:8"); /* not from its peer */
    assert_int_equal(got(with_peer), -1);
    assert_int_equal(got(both), 3);
    arrive(0, "[fd00::1]:54", "[fd00::9]:8");
    assert_int_equal(got(both), 3);
    arrive(0, "[fd00::1]:53", "[fd00::9]:8"); /* IPv4 only */
    assert_int_equal(unreachables, 1);
    arrive(0, "10.0.0.1:55", "10.0.0.9:8");
    assert_int_equal(unreachables, 2);
    arrive(0, "255.255.255.255:55", "10.0.0.9:8"); /* no answer to a broadcast */
    assert_int_equal(unreachables, 2);
    assert_int_equal(native[0]->stats.udp_no_port, 3);
    assert_int_equal(forwards, 0);
    shut(any);
    shut(one);
    shut(both);
    shut(with_peer);
}

static void the_socket_of_another_shard_gets_it(void)
{
    struct weir_udp *on_2 = sock(2, "*:53"), *on_1;

    for (unsigned shard = 0; shard < SHARDS; shard++) { /* wherever it arrives */
        arrive(shard, "10.0.0.1:53", "10.0.0.9:7");
        assert_int_equal(forwarded, shard == 2 ? -1 : 2);
    }
    assert_int_equal(got(on_2), 3);
    on_1 = sock(1, "*:53");
    for (unsigned shard = 0; shard < SHARDS; shard++) /* those who have one keep what is theirs */
        for (unsigned home = 1; home <= 2; home++) {
            arrive(shard, "10.0.0.1:53", remote_at(home, "10.0.0.1:53"));
            assert_int_equal(forwarded, shard == home ? -1 : (int)home);
            assert_int_equal(got(home == 1 ? on_1 : on_2), shard == home ? 3 : -1);
        }
    arrive(0, "10.0.0.1:53", remote_at(3, "10.0.0.1:53")); /* home has none: one of them, always */
    for (int first = forwarded, i = 0; i < 5; i++) {
        assert_true(first == 1 || first == 2);
        arrive(3, "10.0.0.1:53", remote_at(3, "10.0.0.1:53"));
        assert_int_equal(forwarded, first);
    }
    peer(on_1, "10.0.0.9:7777"); /* the better fit, wherever its home is */
    arrive(2, "10.0.0.1:53", "10.0.0.9:7777");
    assert_int_equal(forwarded, 1);
    shut(on_1);
    shut(on_2);
}

/* The socket was closed while it was on its way: it does not travel on. */
static void what_was_forwarded_stays(void)
{
    struct weir_udp *on_2 = sock(2, "*:53");
    struct weir_flow_key key = flow("10.0.0.1:53", "10.0.0.9:7");
    struct weir_pkt *pkt = datagram(&key, 3);

    pkt->flags |= WEIR_PKT_FORWARDED;
    weir_udp_input(native[1], &native[1]->iface[0], pkt);
    assert_int_equal(forwards, 0);
    assert_int_equal(unreachables, 1);
    pkt = datagram(&key, 3);
    pkt->flags |= WEIR_PKT_FORWARDED;
    weir_udp_input(native[2], &native[2]->iface[0], pkt);
    assert_int_equal(got(on_2), 3);
    shut(on_2);
}

/* --- ports --- */

static void addresses_in_use(void)
{
    struct weir_udp *first = sock(1, "*:53"), *udp;

    assert_int_equal(try_open(1, &udp, "*:53", false), -EADDRINUSE);
    assert_int_equal(try_open(1, &udp, "192.0.2.1:53", false), -EADDRNOTAVAIL);
    shut(sock(1, "[::]:53"));
    shut(sock(2, "*:53"));
    shut(sock(1, "10.0.0.1:53"));
    weir_native_udp_of(first)->seat.reuse = false;
    assert_int_equal(try_open(2, &udp, "*:53", false), -EADDRINUSE);
    assert_int_equal(try_open(2, &udp, "10.0.0.1:53", false), -EADDRINUSE);
    assert_int_equal(try_open(2, &udp, "[::]:53", true), -EADDRINUSE);
    shut(sock(2, "[::]:53"));
    shut(first);
    shut(sock(2, "*:53"));
}

static void ports_of_clients_lead_home(void)
{
    struct weir_udp *udp[SHARDS][20];

    for (unsigned shard = 0; shard < SHARDS; shard++)
        for (unsigned i = 0; i < 20; i++) {
            struct weir_flow_key key = flow("10.0.0.1:1", "10.0.0.9:53");

            udp[shard][i] = sock(shard, "*:0");
            peer(udp[shard][i], "10.0.0.9:53");
            key.local_port = port_of(udp[shard][i]);
            assert_int_equal(home_of(&key), shard);
            assert_true(key.local_port >= 32768 && key.local_port <= 60999);
        }
    for (unsigned shard = 0; shard < SHARDS; shard++)
        for (unsigned i = 0; i < 20; i++)
            shut(udp[shard][i]);
}

static void ports_run_out(void)
{
    enum { COUNT = 60999 - 32768 + 1 };
    struct weir_udp_seat *seat = calloc(COUNT + 1, sizeof *seat);

    assert_non_null(seat);
    for (unsigned i = 0; i <= COUNT; i++) {
        weir_list_init(&seat[i].link);
        seat[i].local = weir_ip_v4(0);
        seat[i].reuse = true;
        assert_int_equal(weir_udp_ports_take(ports, &seat[i], 12345), i < COUNT ? 0 : -EADDRINUSE);
    }
    assert_int_equal(seat[COUNT].port, 0);
    weir_udp_ports_leave(ports, &seat[77]);
    assert_int_equal(weir_udp_ports_take(ports, &seat[COUNT], 0), 0);
    assert_int_equal(seat[COUNT].port, seat[77].port);
    for (unsigned i = 0; i <= COUNT; i++)
        if (i != 77)
            weir_udp_ports_leave(ports, &seat[i]);
    free(seat);
}

/* --- waiting to be received --- */

static void the_queue_drops_beyond_its_bound(void)
{
    struct weir_udp_config config;
    struct weir_udp *udp;
    struct weir_addr addr;

    weir_udp_config_init(&config);
    config.queue_max = 2 * (8 + 16 + 8); /* of 3 bytes, rounded up */
    assert_int_equal(weir_addr_parse(&addr, "10.0.0.1:53"), 0);
    assert_int_equal(native[0]->stack.udp->open(&native[0]->stack, &udp, &addr, &config), 0);
    for (int i = 0; i < 5; i++)
        arrive(0, "10.0.0.1:53", "10.0.0.9:7");
    assert_int_equal(weir_udp_dropped(udp), 3);
    assert_int_equal(packets_out, 0);
    assert_int_equal(got(udp), 3);
    arrive(0, "10.0.0.1:53", "10.0.0.9:7");
    assert_int_equal(weir_udp_dropped(udp), 3);
    shut(udp);
}

/* --- ICMP --- */

static void errors_are_told_to_who_has_that_peer(void)
{
    struct weir_udp *udp = sock(0, "10.0.0.1:1000"), *lone = sock(0, "10.0.0.1:1001");
    struct weir_flow_key key = flow("10.0.0.1:1000", "10.0.0.9:7");
    struct weir_flow_key to_lone = flow("10.0.0.1:1001", "10.0.0.9:7");
    struct weir_flow_key stranger = flow("10.0.0.1:1000", "10.0.0.9:8");
    char byte;

    peer(udp, "10.0.0.9:7");
    weir_udp_icmp(native[0], &stranger, -ECONNREFUSED, 0);
    weir_udp_icmp(native[0], &to_lone, -ECONNREFUSED, 0);
    weir_udp_icmp(native[0], &key, -EMSGSIZE, 1280); /* the path knows */
    assert_int_equal(weir_recv_from(udp, &byte, 1, NULL, 0), -ETIMEDOUT);
    assert_int_equal(weir_recv_from(lone, &byte, 1, NULL, 0), -ETIMEDOUT);
    weir_udp_icmp(native[0], &key, -ECONNREFUSED, 0);
    assert_int_equal(weir_recv_from(udp, &byte, 1, NULL, 0), -ECONNREFUSED);
    assert_int_equal(weir_recv_from(udp, &byte, 1, NULL, 0), -ETIMEDOUT);
    weir_udp_icmp(native[0], &key, -EHOSTUNREACH, 0);
    assert_int_equal(send_len(udp, NULL, 1), -EHOSTUNREACH);
    assert_int_equal(send_len(udp, NULL, 1), 1);
    shut(udp);
    shut(lone);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(the_best_fit_gets_it),
        CASE(the_socket_of_another_shard_gets_it),
        CASE(what_was_forwarded_stays),
        CASE(addresses_in_use),
        CASE(ports_of_clients_lead_home),
        CASE(ports_run_out),
        CASE(the_queue_drops_beyond_its_bound),
        CASE(errors_are_told_to_who_has_that_peer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
