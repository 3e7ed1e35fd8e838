/* Neighbours: resolution by ARP, the packets that wait, doubt and confirmation, the table's
 * bounds; and ARP's answers, announcements, conflicts. */
#include "native_ip.h"

static struct bench b;

static void arp_resolves_and_releases(void **state)
{
    struct weir_path path;
    const struct bench_frame *frame;
    struct weir_arp arp;

    (void)state;
    bench_open(&b, "192.0.2.2/24", NULL, NULL);
    assert_int_equal(bench_path(&b, &path, "192.0.2.9"), 0);
    assert_int_equal(bench_send(&b, &path, 100), 0);
    arp = expect_arp(&b, everybody_mac);
    assert_false(arp.reply);
    assert_int_equal(arp.target_ip, bench_ip("192.0.2.9").word[3]);
    assert_int_equal(arp.sender_ip, bench_ip("192.0.2.2").word[3]);
    expect_nothing(&b);

    bench_arp(&b, true, peer_mac, "192.0.2.9", "192.0.2.2", 0);
    assert_int_equal(b.everyone, 1);
    frame = bench_out(&b);
    assert_non_null(frame);
    assert_memory_equal(frame->data, peer_mac, 6);
    assert_memory_equal(frame->data + 6, bench_mac, 6);
    assert_int_equal(frame->len, 14 + 20 + 100);

    assert_int_equal(bench_send(&b, &path, 10), 0);
    assert_memory_equal(bench_out(&b)->data, peer_mac, 6);
    expect_nothing(&b);
    weir_path_close(&b.native, &path);
    bench_close(&b);
}

/* Back-off 1, 2, 4 s; then the transport is told, and nobody is asked for a while. */
static void silence_fails(void **state)
{
    struct weir_path path;

    (void)state;
    bench_open(&b, "192.0.2.2/24", NULL, NULL);
    assert_int_equal(bench_path(&b, &path, "192.0.2.9"), 0);
    assert_int_equal(bench_send(&b, &path, 100), 0);
    expect_arp(&b, everybody_mac);
    bench_pass(&b, WEIR_MS(900));
    expect_nothing(&b);
    bench_pass(&b, WEIR_MS(200));
    expect_arp(&b, everybody_mac);
    bench_pass(&b, WEIR_MS(1800));
    expect_nothing(&b);
    bench_pass(&b, WEIR_MS(300));
    expect_arp(&b, everybody_mac);
    assert_int_equal(b.icmp_udp, 0);
    bench_pass(&b, WEIR_SEC(4));
    expect_nothing(&b);
    assert_int_equal(b.icmp_udp, 1);
    assert_int_equal(b.icmp_error, -EHOSTUNREACH);
    assert_true(weir_ip_eq(&b.icmp_key.remote, &(struct weir_ip[]){ bench_ip("192.0.2.9") }[0]));
    assert_int_equal(b.native.stats.neigh_dropped, 1);
    assert_int_equal(bench_send(&b, &path, 100), -EHOSTUNREACH);
    expect_nothing(&b);
    bench_pass(&b, WEIR_SEC(4)); /* asked again */
    assert_int_equal(bench_send(&b, &path, 100), 0);
    expect_arp(&b, everybody_mac);
    weir_path_close(&b.native, &path);
    bench_close(&b);
}

/* At WEIR_NEIGH_WAITING the oldest goes. */
static void waiting_is_bounded_per_neighbour(void **state)
{
    struct weir_path path;

    (void)state;
    bench_open(&b, "192.0.2.2/24", NULL, NULL);
    assert_int_equal(bench_path(&b, &path, "192.0.2.9"), 0);
    for (uint32_t i = 0; i < WEIR_NEIGH_WAITING; i++)
        assert_int_equal(bench_send(&b, &path, 10 + i), 0);
    assert_int_equal(b.native.stats.neigh_dropped, 0);
    assert_int_equal(bench_send(&b, &path, 10 + WEIR_NEIGH_WAITING), 0);
    assert_int_equal(b.native.stats.neigh_dropped, 1);
    expect_arp(&b, everybody_mac);
    bench_arp(&b, true, peer_mac, "192.0.2.9", "192.0.2.2", 0);
    for (uint32_t i = 1; i <= WEIR_NEIGH_WAITING; i++)
        assert_int_equal(bench_out(&b)->len, 34 + 10 + i);
    expect_nothing(&b);
    weir_path_close(&b.native, &path);
    bench_close(&b);
}

static void waiting_is_bounded_in_all(void **state)
{
    struct weir_path path[WEIR_NEIGHS_WAITING + 1];
    char text[32];

    (void)state;
    bench_open(&b, "192.0.2.2/24", NULL, NULL);
    for (unsigned i = 0; i <= WEIR_NEIGHS_WAITING; i++) {
        snprintf(text, sizeof text, "192.0.2.%u", 10 + i);
        assert_int_equal(bench_path(&b, &path[i], text), 0);
        assert_int_equal(bench_send(&b, &path[i], 10), 0);
        expect_arp(&b, everybody_mac);
        assert_int_equal(b.native.stats.neigh_dropped, i == WEIR_NEIGHS_WAITING);
    }
    bench_arp(&b, true, peer_mac, "192.0.2.10", "192.0.2.2", 0);
    expect_nothing(&b); /* the first of all was the one to go */
    bench_arp(&b, true, peer_mac, "192.0.2.11", "192.0.2.2", 0);
    assert_non_null(bench_out(&b));
    for (unsigned i = 0; i <= WEIR_NEIGHS_WAITING; i++)
        weir_path_close(&b.native, &path[i]);
    bench_close(&b);
}

/* REACHABLE 30 s -> STALE; use -> DELAY 5 s -> PROBE: unicast, three times, then everybody. */
static void stale_is_probed_unicast(void **state)
{
    struct weir_path path;

    (void)state;
    bench_open(&b, "192.0.2.2/24", NULL, NULL);
    bench_path_ready(&b, &path, "192.0.2.9");
    bench_pass(&b, WEIR_SEC(31));
    expect_nothing(&b);
    assert_int_equal(bench_send(&b, &path, 10), 0);
    assert_int_equal(bench_out(&b)->len, 44); /* goes all the same */
    expect_nothing(&b);
    bench_pass(&b, WEIR_MS(5100));
    expect_arp(&b, peer_mac);
    bench_arp(&b, true, peer_mac, "192.0.2.9", "192.0.2.2", 0);
    bench_pass(&b, WEIR_SEC(10));
    expect_nothing(&b);

    bench_pass(&b, WEIR_SEC(31));
    assert_int_equal(bench_send(&b, &path, 10), 0);
    bench_out(&b);
    bench_pass(&b, WEIR_MS(7500));
    for (int i = 0; i < 3; i++)
        expect_arp(&b, peer_mac);
    expect_nothing(&b);
    bench_pass(&b, WEIR_MS(1000));
    expect_arp(&b, everybody_mac);
    assert_int_equal(bench_send(&b, &path, 10), 0); /* waits now */
    expect_nothing(&b);
    bench_arp(&b, true, other_mac, "192.0.2.9", "192.0.2.2", 0);
    assert_memory_equal(bench_out(&b)->data, other_mac, 6);
    assert_int_equal(bench_send(&b, &path, 10), 0); /* the path has the new MAC */
    assert_memory_equal(bench_out(&b)->data, other_mac, 6);
    weir_path_close(&b.native, &path);
    bench_close(&b);
}

static void progress_confirms(void **state)
{
    struct weir_path path;

    (void)state;
    bench_open(&b, "192.0.2.2/24", NULL, NULL);
    bench_path_ready(&b, &path, "192.0.2.9");
    for (int i = 0; i < 20; i++) {
        bench_pass(&b, WEIR_SEC(10));
        weir_path_confirm(&b.native, &path);
        assert_int_equal(bench_send(&b, &path, 10), 0);
        assert_non_null(bench_out(&b));
    }
    expect_nothing(&b); /* nobody was asked in 200 s */
    weir_path_close(&b.native, &path);
    bench_close(&b);
}

static void table_keeps_what_is_referred_to(void **state)
{
    static struct weir_path path[WEIR_NEIGHS];
    struct weir_path more;
    char text[32];

    (void)state;
    bench_open(&b, "10.0.0.1/8", NULL, NULL);
    for (unsigned i = 0; i < WEIR_NEIGHS; i++) {
        snprintf(text, sizeof text, "10.1.%u.%u", i >> 8, i & 255);
        assert_int_equal(bench_path(&b, &path[i], text), 0);
    }
    assert_int_equal(bench_path(&b, &more, "10.2.0.1"), -ENOBUFS);
    weir_path_close(&b.native, &path[7]);
    assert_int_equal(bench_path(&b, &more, "10.2.0.1"), 0);
    assert_int_equal(more.neigh, path[7].neigh);
    weir_path_close(&b.native, &more);
    for (unsigned i = 0; i < WEIR_NEIGHS; i++)
        if (i != 7)
            weir_path_close(&b.native, &path[i]);
    bench_close(&b);
}

/* --- answers --- */

static void requests_for_us_are_answered(void **state)
{
    struct weir_ip peer;
    struct weir_arp arp;

    (void)state;
    bench_open(&b, "192.0.2.2/24", NULL, NULL);
    bench_arp(&b, false, peer_mac, "192.0.2.9", "192.0.2.2", 0);
    arp = expect_arp(&b, peer_mac);
    assert_true(arp.reply);
    assert_memory_equal(arp.sender_mac, bench_mac, 6);
    assert_int_equal(arp.sender_ip, bench_ip("192.0.2.2").word[3]);
    peer = bench_ip("192.0.2.9");
    assert_int_not_equal(weir_neigh_find(&b.native.ip->neighs, &peer), WEIR_NEIGH_NONE);

    bench_arp(&b, false, peer_mac, "192.0.2.10", "192.0.2.3", 0); /* not for us: no entry */
    expect_nothing(&b);
    peer = bench_ip("192.0.2.10");
    assert_int_equal(weir_neigh_find(&b.native.ip->neighs, &peer), WEIR_NEIGH_NONE);

    bench_arp(&b, false, peer_mac, "198.51.100.7", "192.0.2.2", 0); /* off our link: no entry */
    assert_true(expect_arp(&b, peer_mac).reply);
    peer = bench_ip("198.51.100.7");
    assert_int_equal(weir_neigh_find(&b.native.ip->neighs, &peer), WEIR_NEIGH_NONE);
    bench_close(&b);
}

static void forwarded_copies_teach_but_are_not_answered(void **state)
{
    struct weir_path path;

    (void)state;
    bench_open(&b, "192.0.2.2/24", NULL, NULL);
    bench_arp(&b, false, peer_mac, "192.0.2.9", "192.0.2.2", WEIR_PKT_FORWARDED);
    expect_nothing(&b);
    assert_int_equal(bench_path(&b, &path, "192.0.2.9"), 0);
    assert_int_equal(bench_send(&b, &path, 10), 0);
    expect_arp(&b, everybody_mac);
    bench_arp(&b, true, peer_mac, "192.0.2.9", "192.0.2.2", WEIR_PKT_FORWARDED);
    assert_non_null(bench_out(&b));
    assert_int_equal(b.everyone, 0);
    weir_path_close(&b.native, &path);
    bench_close(&b);
}

/* A gratuitous ARP changes an entry that is there, and makes none. */
static void gratuitous_updates_known_entries_only(void **state)
{
    struct weir_path path;
    struct weir_ip unknown;

    (void)state;
    bench_open(&b, "192.0.2.2/24", NULL, NULL);
    bench_path_ready(&b, &path, "192.0.2.9");
    bench_arp(&b, false, other_mac, "192.0.2.9", "192.0.2.9", 0);
    assert_int_equal(bench_send(&b, &path, 10), 0);
    assert_memory_equal(bench_out(&b)->data, other_mac, 6);
    bench_arp(&b, false, other_mac, "192.0.2.77", "192.0.2.77", 0);
    bench_arp(&b, true, other_mac, "192.0.2.77", "192.0.2.2", 0);
    unknown = bench_ip("192.0.2.77");
    assert_int_equal(weir_neigh_find(&b.native.ip->neighs, &unknown), WEIR_NEIGH_NONE);
    weir_path_close(&b.native, &path);
    bench_close(&b);
}

/* RFC 5227 2.3: announced twice at start; 2.4: defended once in ten seconds. */
static void addresses_are_announced_and_defended(void **state)
{
    struct weir_native_config config = { .ip = "192.0.2.2/24", .secret = 1 };
    struct weir_arp arp;

    (void)state;
    bench_open_on(&b, &config, 0);
    arp = expect_arp(&b, everybody_mac);
    assert_int_equal(arp.sender_ip, arp.target_ip);
    expect_nothing(&b);
    bench_pass(&b, WEIR_MS(2100));
    expect_arp(&b, everybody_mac);
    bench_pass(&b, WEIR_SEC(60));
    expect_nothing(&b);

    bench_arp(&b, false, peer_mac, "192.0.2.2", "192.0.2.50", 0);
    arp = expect_arp(&b, everybody_mac);
    assert_int_equal(arp.sender_ip, bench_ip("192.0.2.2").word[3]);
    assert_int_equal(b.said, 1);
    bench_pass(&b, WEIR_SEC(9));
    bench_arp(&b, false, peer_mac, "192.0.2.2", "192.0.2.50", 0);
    expect_nothing(&b);
    bench_pass(&b, WEIR_SEC(2));
    bench_arp(&b, false, peer_mac, "192.0.2.2", "192.0.2.50", 0);
    expect_arp(&b, everybody_mac);
    bench_close(&b);
}

static void only_the_lead_announces(void **state)
{
    struct weir_native_config config = { .ip = "192.0.2.2/24,2001:db8::2/64", .secret = 1 };

    (void)state;
    bench_open_on(&b, &config, 3);
    bench_pass(&b, WEIR_SEC(20));
    bench_arp(&b, false, peer_mac, "192.0.2.2", "192.0.2.50", 0);
    expect_nothing(&b);
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arp_resolves_and_releases),
        cmocka_unit_test(silence_fails),
        cmocka_unit_test(waiting_is_bounded_per_neighbour),
        cmocka_unit_test(waiting_is_bounded_in_all),
        cmocka_unit_test(stale_is_probed_unicast),
        cmocka_unit_test(progress_confirms),
        cmocka_unit_test(table_keeps_what_is_referred_to),
        cmocka_unit_test(requests_for_us_are_answered),
        cmocka_unit_test(forwarded_copies_teach_but_are_not_answered),
        cmocka_unit_test(gratuitous_updates_known_entries_only),
        cmocka_unit_test(addresses_are_announced_and_defended),
        cmocka_unit_test(only_the_lead_announces),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
