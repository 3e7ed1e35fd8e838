/* Routes, source addresses and paths: which header a packet gets and where it leaves; the settings'
 * texts and what is said about bad ones. */
#include "native_ip.h"

static struct bench b;

/* The IPv4 header of a frame is whole and right. */
static struct weir_ip4 frame_ip4(const struct bench_frame *frame, unsigned at)
{
    struct weir_ip4 ip;

    assert_non_null(frame);
    assert_int_equal(weir_get16(frame->data + at - 2), WEIR_ETHERTYPE_IP4);
    assert_int_equal(weir_ip4_parse(&ip, frame->data + at, frame->len - at, false), 20);
    assert_int_equal(ip.total_len, frame->len - at);
    assert_int_equal(frame->l3, at);
    assert_int_equal(frame->l4, at + 20);
    return ip;
}

static void assert_ip(const struct weir_ip *ip, const char *text)
{
    struct weir_ip other = bench_ip(text);
    char said[64];

    if (!weir_ip_eq(ip, &other))
        fail_msg("%s, not %s", weir_ip_format(ip, said), text);
}

static void header_is_whole(void **state)
{
    struct weir_path path;
    struct weir_ip4 ip;

    (void)state;
    bench_open(&b, "192.0.2.2/24", NULL, NULL);
    bench_path_ready(&b, &path, "192.0.2.9");
    for (uint32_t len = 1; len <= 1480; len += 37) {
        assert_int_equal(bench_send(&b, &path, len), 0);
        ip = frame_ip4(bench_out(&b), 14);
        assert_ip(&ip.source, "192.0.2.2");
        assert_ip(&ip.target, "192.0.2.9");
        assert_true(ip.dont_fragment);
        assert_int_equal(ip.protocol, IPPROTO_UDP);
        assert_int_equal(ip.ttl, 64);
        assert_int_equal(ip.total_len, 20 + len);
    }
    assert_int_equal(path.mtu, 1500);
    weir_path_close(&b.native, &path);
    bench_close(&b);
}

static void mtu_has_an_edge(void **state)
{
    struct weir_path path;
    struct weir_pkt *pkt, *piece;
    struct weir_ip4 ip;

    (void)state;
    bench_open(&b, "192.0.2.2/24", NULL, NULL);
    bench_path_ready(&b, &path, "192.0.2.9");
    assert_int_equal(bench_send(&b, &path, 1480), 0);
    assert_non_null(bench_out(&b));
    assert_int_equal(bench_send(&b, &path, 1481), -EMSGSIZE);
    expect_nothing(&b);

    /* what the device cuts may be longer, and pieces count */
    pkt = weir_pkt_get(&b.native.pkts);
    piece = weir_pkt_get(&b.native.pkts);
    pkt->buf.len = piece->buf.len = 1000;
    memset(pkt->buf.data, 1, 1000);
    pkt->flags = WEIR_PKT_TSO;
    pkt->frag = piece;
    assert_int_equal(weir_path_send(&b.native, &path, pkt), 0);
    assert_int_equal(weir_ip4_parse(&ip, bench_out(&b)->data + 14, 4000, true), 20);
    assert_int_equal(ip.total_len, 2020);
    weir_path_close(&b.native, &path);
    bench_close(&b);
}

static void vlan_is_put_in_and_asked_for(void **state)
{
    struct weir_native_config config = { .ip = "192.0.2.2/24", .secret = 1, .vlan = 7 };
    uint8_t frame[64] = { 0 };
    struct weir_ip any = { .half = { 0, 0 } }, remote = bench_ip("255.255.255.255");
    struct weir_path path;
    const struct bench_frame *out;

    (void)state;
    bench_open_on(&b, &config, 0);
    bench_pass(&b, WEIR_SEC(5));
    b.read[1] = b.sent[1];
    assert_int_equal(weir_path_open(&b.native, &path, &any, &remote, IPPROTO_UDP), 0);
    assert_int_equal(bench_send(&b, &path, 10), 0);
    out = bench_out(&b);
    frame_ip4(out, 18);
    assert_int_equal(weir_get16(out->data + 12), WEIR_ETHERTYPE_VLAN);
    assert_int_equal(weir_get16(out->data + 14), 7);
    weir_path_close(&b.native, &path);

    put_ip4(put_ether(frame, bench_mac, peer_mac, WEIR_ETHERTYPE_IP4), "192.0.2.9", "192.0.2.2",
            IPPROTO_TCP, 20);
    bench_in(&b, frame, 60); /* untagged: not for us */
    assert_int_equal(b.tcp, 0);
    memmove(frame + 18, frame + 14, 40);
    weir_put16(frame + 12, WEIR_ETHERTYPE_VLAN);
    weir_put16(frame + 14, 0x2007); /* with a priority */
    weir_put16(frame + 16, WEIR_ETHERTYPE_IP4);
    bench_in(&b, frame, 60);
    assert_int_equal(b.tcp, 1);
    weir_put16(frame + 14, 8);
    bench_in(&b, frame, 60);
    assert_int_equal(b.tcp, 1);
    bench_close(&b);
}

static void own_addresses_use_the_loop(void **state)
{
    static const char *const ours[] = { "192.0.2.2", "127.0.0.1", "127.1.2.3", "::1",
                                        "2001:db8::2" };
    static const char *const from[] = { "192.0.2.2", "127.0.0.1", "127.0.0.1", "::1",
                                        "2001:db8::2" };
    struct weir_path path;

    (void)state;
    bench_open(&b, "192.0.2.2/24,2001:db8::2/64", NULL, NULL);
    for (size_t i = 0; i < WEIR_COUNT(ours); i++) {
        struct weir_ip local = { .half = { 0, 0 } }, remote = bench_ip(ours[i]);
        const struct bench_frame *frame;

        assert_int_equal(weir_path_open(&b.native, &path, &local, &remote, IPPROTO_TCP), 0);
        assert_ip(&local, from[i]);
        assert_int_equal(path.iface, WEIR_IFACE_LOOP);
        assert_int_equal(path.neigh, WEIR_NEIGH_NONE);
        assert_int_equal(bench_send(&b, &path, 1590), 0);
        frame = bench_out_on(&b, WEIR_IFACE_LOOP);
        assert_non_null(frame);
        bench_in_on(&b, WEIR_IFACE_LOOP, frame->data, 1000, 0); /* cut short: dropped as such */
        assert_int_equal(b.tcp, 0);
        assert_int_equal(bench_send(&b, &path, 100), 0);
        frame = bench_out_on(&b, WEIR_IFACE_LOOP);
        bench_in_on(&b, WEIR_IFACE_LOOP, frame->data, frame->len, 0);
        assert_int_equal(b.tcp, 1);
        assert_int_equal(b.up_len, 100);
        b.tcp = 0;
        weir_path_close(&b.native, &path);
    }
    assert_null(bench_out(&b));
    bench_close(&b);
}

static void longest_prefix_wins(void **state)
{
    static const struct {
        const char *to, *hop;
    } cases[] = {
        { "192.0.2.77", "192.0.2.77" },    { "198.51.100.1", "192.0.2.9" },
        { "198.51.100.200", "192.0.2.8" }, { "203.0.113.5", "192.0.2.1" },
        { "2001:db8::5", "2001:db8::5" },  { "2001:db9::5", "2001:db8::1" },
    };

    (void)state;
    bench_open(&b, "192.0.2.2/24, 2001:db8::2/64", "192.0.2.1,2001:db8::1",
               "198.51.100.0/24 via 192.0.2.9, 198.51.100.128/25 via 192.0.2.8");
    for (size_t i = 0; i < WEIR_COUNT(cases); i++) {
        struct weir_path path;

        assert_int_equal(bench_path(&b, &path, cases[i].to), 0);
        assert_ip(&b.native.ip->neighs.neigh[path.neigh].ip, cases[i].hop);
        weir_path_close(&b.native, &path);
    }
    bench_close(&b);
}

static void without_a_route_there_is_none(void **state)
{
    struct weir_ip local = bench_ip("192.0.2.99"), remote = bench_ip("192.0.2.9");
    struct weir_path path;

    (void)state;
    bench_open(&b, "192.0.2.2/24", NULL, NULL);
    assert_int_equal(bench_path(&b, &path, "198.51.100.1"), -ENETUNREACH);
    assert_int_equal(bench_path(&b, &path, "2001:db8::9"), -ENETUNREACH);
    assert_int_equal(bench_path(&b, &path, "0.0.0.0"), -ENETUNREACH);
    assert_int_equal(weir_path_open(&b.native, &path, &local, &remote, 6), -EADDRNOTAVAIL);
    local = bench_ip("127.0.0.1"); /* never on a wire */
    assert_int_equal(weir_path_open(&b.native, &path, &local, &remote, 6), -EADDRNOTAVAIL);
    local = bench_ip("::1");
    assert_int_equal(weir_path_open(&b.native, &path, &local, &remote, 6), -EADDRNOTAVAIL);
    bench_close(&b);
}

/* The default route of IPv6 is none for IPv4. */
static void families_do_not_mix(void **state)
{
    struct weir_path path;

    (void)state;
    bench_open(&b, "192.0.2.2/24,2001:db8::2/64", "2001:db8::1", NULL);
    assert_int_equal(bench_path(&b, &path, "198.51.100.1"), -ENETUNREACH);
    assert_int_equal(bench_path(&b, &path, "2001:db9::1"), 0);
    weir_path_close(&b.native, &path);
    bench_close(&b);
}

static void sources_are_chosen(void **state)
{
    static const struct {
        const char *to, *from;
    } cases[] = {
        { "192.0.2.9", "192.0.2.2" },         { "198.51.100.9", "198.51.100.2" },
        { "203.0.113.1", "198.51.100.2" }, /* that of the gateway's prefix */
        { "fe80::9", "fe80::ff:fe00:1" },     { "2001:db8:1::9", "2001:db8:1::2" },
        { "2001:db8:2::9", "2001:db8:2::2" },
    };

    (void)state;
    bench_open(&b, "192.0.2.2/24,198.51.100.2/24,2001:db8:1::2/64,2001:db8:2::2/64", "198.51.100.1",
               NULL);
    for (size_t i = 0; i < WEIR_COUNT(cases); i++) {
        struct weir_ip local = { .half = { 0, 0 } }, remote = bench_ip(cases[i].to);
        struct weir_path path;

        assert_int_equal(weir_path_open(&b.native, &path, &local, &remote, 6), 0);
        assert_ip(&local, cases[i].from);
        weir_path_close(&b.native, &path);
    }
    bench_close(&b);
}

/* A gateway that is gone is passed over. */
static void dead_gateways_are_avoided(void **state)
{
    struct weir_path path;

    (void)state;
    bench_open(&b, "192.0.2.2/24", "192.0.2.1,192.0.2.254", NULL);
    assert_int_equal(bench_path(&b, &path, "203.0.113.1"), 0);
    assert_int_equal(bench_send(&b, &path, 10), 0);
    assert_int_equal(expect_arp(&b, everybody_mac).target_ip, bench_ip("192.0.2.1").word[3]);
    bench_pass(&b, WEIR_MS(7500));
    expect_arp(&b, everybody_mac);
    expect_arp(&b, everybody_mac);
    assert_int_equal(bench_send(&b, &path, 10), 0);
    assert_int_equal(expect_arp(&b, everybody_mac).target_ip, bench_ip("192.0.2.254").word[3]);
    weir_path_close(&b.native, &path);
    bench_close(&b);
}

/* A lost address: the path stays as it was and says so. */
static void refresh_tells_of_lost_addresses(void **state)
{
    struct weir_ip ours = bench_ip("192.0.2.2");
    struct weir_path path;

    (void)state;
    bench_open(&b, "192.0.2.2/24,192.0.2.3/24", NULL, NULL);
    bench_path_ready(&b, &path, "192.0.2.9");
    weir_iface_del(weir_ip_wire(&b.native), &ours);
    assert_int_equal(weir_path_refresh(&b.native, &path), -EADDRNOTAVAIL);
    assert_int_equal(bench_send(&b, &path, 10), -EADDRNOTAVAIL);
    assert_true(path.header_len > 0);
    weir_path_close(&b.native, &path);
    bench_close(&b);
}

static void broadcast_needs_no_neighbour(void **state)
{
    struct weir_path path;

    (void)state;
    bench_open(&b, "192.0.2.2/24", NULL, NULL);
    assert_int_equal(bench_path(&b, &path, "192.0.2.255"), 0);
    assert_int_equal(bench_send(&b, &path, 10), 0);
    assert_memory_equal(bench_out(&b)->data, everybody_mac, 6);
    weir_path_close(&b.native, &path);
    assert_int_equal(bench_path(&b, &path, "224.0.0.251"), 0);
    assert_int_equal(bench_send(&b, &path, 10), 0);
    assert_memory_equal(bench_out(&b)->data, "\x01\x00\x5e\x00\x00\xfb", 6);
    weir_path_close(&b.native, &path);
    bench_close(&b);
}

/* --- settings --- */

static void bad_settings_are_explained(void **state)
{
    static const struct {
        const char *ip, *gateway, *route, *says;
    } cases[] = {
        { "192.0.2.2", NULL, NULL, "ADDRESS/BITS" },
        { "192.0.2.2/33", NULL, NULL, "ADDRESS/BITS" },
        { "192.0.2.2/", NULL, NULL, "ADDRESS/BITS" },
        { "2001:db8::1/129", NULL, NULL, "ADDRESS/BITS" },
        { "fred", NULL, NULL, "ADDRESS/BITS" },
        { "192.0.2.0/24", NULL, NULL, "no host" },
        { "192.0.2.255/24", NULL, NULL, "no host" },
        { "224.0.0.1/24", NULL, NULL, "no host" },
        { "127.0.0.2/8", NULL, NULL, "no host" },
        { "ff02::5/64", NULL, NULL, "no host" },
        { "192.0.2.2/24,192.0.2.2/24", NULL, NULL, "twice" },
        { "10.0.0.1/8,10.0.0.2/8,10.0.0.3/8,10.0.0.4/8,10.0.0.5/8,10.0.0.6/8,10.0.0.7/8,"
          "10.0.0.8/8,10.0.0.9/8",
          NULL, NULL, "one too many" },
        { NULL, NULL, NULL, "no address" },
        { "192.0.2.2/24", "192.0.3.1", NULL, "none of our prefixes" },
        { "192.0.2.2/24", "192.0.2.2", NULL, "another host" },
        { "192.0.2.2/24", "x", NULL, "give an address" },
        { "192.0.2.2/24", NULL, "198.51.100.0/24", "via" },
        { "192.0.2.2/24", NULL, "198.51.100.0/24 via 2001:db8::1", "via" },
        { "192.0.2.2/24", NULL, "198.51.100.0/24 via 198.51.100.1", "none of our prefixes" },
    };

    (void)state;
    for (size_t i = 0; i < WEIR_COUNT(cases); i++) {
        struct weir_native_config config = {
            .ip = cases[i].ip, .gateway = cases[i].gateway, .route = cases[i].route, .secret = 1
        };

        assert_int_equal(bench_try(&b, &config, 0), -EINVAL);
        if (!strstr(b.why, cases[i].says))
            fail_msg("case %zu: \"%s\" does not say \"%s\"", i, b.why, cases[i].says);
        assert_int_equal(b.shard.wheel.armed, 0);
        assert_int_equal(b.native.pkts.pool.live, 0);
        weir_pkts_free(&b.native.pkts);
    }
}

static void small_links_are_fine(void **state)
{
    struct weir_path path;

    (void)state;
    bench_open(&b, "192.0.2.2/31,198.51.100.1/32", NULL, NULL);
    assert_int_equal(bench_path(&b, &path, "192.0.2.3"), 0); /* RFC 3021: no broadcast */
    assert_int_not_equal(path.neigh, WEIR_NEIGH_NONE);
    weir_path_close(&b.native, &path);
    assert_int_equal(bench_path(&b, &path, "198.51.100.2"), -ENETUNREACH);
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(header_is_whole),
        cmocka_unit_test(mtu_has_an_edge),
        cmocka_unit_test(vlan_is_put_in_and_asked_for),
        cmocka_unit_test(own_addresses_use_the_loop),
        cmocka_unit_test(longest_prefix_wins),
        cmocka_unit_test(without_a_route_there_is_none),
        cmocka_unit_test(families_do_not_mix),
        cmocka_unit_test(sources_are_chosen),
        cmocka_unit_test(dead_gateways_are_avoided),
        cmocka_unit_test(refresh_tells_of_lost_addresses),
        cmocka_unit_test(broadcast_needs_no_neighbour),
        cmocka_unit_test(bad_settings_are_explained),
        cmocka_unit_test(small_links_are_fine),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
