/* IPv6 neighbours, duplicate addresses, routers and what they advertise. */
#include "native_ip.h"

static struct bench b;
static uint8_t frame[BENCH_FRAME];

/* What the wire sees of us, as the frames that are ND. */
static struct weir_nd expect_nd(uint8_t type, struct weir_ip *source, struct weir_ip *target)
{
    const struct bench_frame *out;
    struct weir_ip6 ip;
    struct weir_nd nd;
    struct weir_icmp icmp;
    uint32_t sum;

    do { /* reports of groups in between */
        out = bench_out(&b);
        assert_non_null(out);
        assert_int_equal(weir_get16(out->data + 12), WEIR_ETHERTYPE_IP6);
        assert_true(weir_ip6_parse(&ip, out->data + 14, out->len - 14) > 0);
    } while (out->data[14 + ip.header_len] == 143);
    assert_int_equal(ip.hop_limit, 255);
    sum = weir_pseudo_sum(&ip.source, &ip.target, 58, out->len - 54);
    assert_true(weir_icmp6_parse(&icmp, out->data + 54, out->len - 54, sum) > 0);
    assert_true(weir_nd_parse(&nd, out->data + 54, out->len - 54) > 0);
    assert_int_equal(nd.type, type);
    if (source)
        *source = ip.source;
    if (target)
        *target = ip.target;
    return nd;
}

static void nd_in(const struct weir_nd *nd, const char *source, const char *target,
                  uint8_t hop_limit, const uint8_t *mac, uint16_t flags)
{
    uint8_t message[128], *at;
    struct weir_ip to = bench_ip(target);
    int len = weir_nd_emit(message, nd);

    at = put_ether(frame, bench_mac, mac, WEIR_ETHERTYPE_IP6);
    if (weir_ip_is_multicast(&to))
        weir_ip_group_mac(frame, &to);
    at = put_ip6(at, source, target, IPPROTO_ICMPV6, hop_limit, (size_t)len);
    memcpy(at, message, (size_t)len);
    put_icmp6_sum(frame + 14, (size_t)len);
    bench_in_on(&b, WEIR_IFACE_WIRE, frame, (size_t)(at - frame) + (size_t)len, flags);
}

static void advertise(const char *who, const uint8_t *mac, bool solicited, bool override)
{
    struct weir_nd nd = { .type = 136,
                          .target = bench_ip(who),
                          .has_mac = true,
                          .solicited = solicited,
                          .override = override };

    memcpy(nd.mac, mac, 6);
    nd_in(&nd, who, solicited ? "2001:db8::2" : "ff02::1", 255, mac, 0);
}

static void assert_ip(const struct weir_ip *ip, const char *text)
{
    struct weir_ip other = bench_ip(text);
    char said[64];

    if (!weir_ip_eq(ip, &other))
        fail_msg("%s, not %s", weir_ip_format(ip, said), text);
}

/* --- neighbours --- */

static void solicits_and_resolves(void **state)
{
    struct weir_path path;
    struct weir_ip source, target;
    struct weir_nd nd;

    (void)state;
    bench_open(&b, "2001:db8::2/64", NULL, NULL);
    assert_int_equal(bench_path(&b, &path, "2001:db8::9"), 0);
    assert_int_equal(bench_send(&b, &path, 100), 0);
    nd = expect_nd(135, &source, &target);
    assert_ip(&source, "2001:db8::2");
    assert_ip(&target, "ff02::1:ff00:9");
    assert_ip(&nd.target, "2001:db8::9");
    assert_memory_equal(nd.mac, bench_mac, 6);
    expect_nothing(&b);
    advertise("2001:db8::9", peer_mac, true, true);
    assert_int_equal(b.everyone, 1);
    {
        const struct bench_frame *out = bench_out(&b);
        struct weir_ip6 ip;

        assert_non_null(out);
        assert_memory_equal(out->data, peer_mac, 6);
        assert_int_equal(weir_ip6_parse(&ip, out->data + 14, out->len - 14), 40);
        assert_int_equal(ip.total_len, 140);
        assert_int_equal(ip.hop_limit, 64);
    }
    advertise("2001:db8::9", other_mac, false, false); /* RFC 4861 7.2.5: only doubts */
    assert_int_equal(bench_send(&b, &path, 10), 0);
    assert_memory_equal(bench_out(&b)->data, peer_mac, 6);
    advertise("2001:db8::9", other_mac, false, true);
    assert_int_equal(bench_send(&b, &path, 10), 0);
    assert_memory_equal(bench_out(&b)->data, other_mac, 6);
    bench_pass(&b, WEIR_MS(5100));
    nd = expect_nd(135, NULL, &target); /* unicast, for it was not confirmed */
    assert_ip(&target, "2001:db8::9");
    weir_path_close(&b.native, &path);
    bench_close(&b);
}

static void mtu_has_an_edge(void **state)
{
    struct weir_path path;

    (void)state;
    bench_open(&b, "2001:db8::2/64", NULL, NULL);
    assert_int_equal(bench_path(&b, &path, "2001:db8::9"), 0);
    assert_int_equal(bench_send(&b, &path, 1460), 0);
    assert_int_equal(bench_send(&b, &path, 1461), -EMSGSIZE);
    weir_path_close(&b.native, &path);
    bench_close(&b);
}

static void solicitations_are_answered(void **state)
{
    struct weir_nd ask = { .type = 135, .target = bench_ip("2001:db8::2"), .has_mac = true }, nd;
    struct weir_ip target;

    (void)state;
    bench_open(&b, "2001:db8::2/64", NULL, NULL);
    memcpy(ask.mac, peer_mac, 6);
    nd_in(&ask, "2001:db8::9", "ff02::1:ff00:2", 255, peer_mac, 0);
    nd = expect_nd(136, NULL, &target);
    assert_ip(&target, "2001:db8::9");
    assert_true(nd.solicited && nd.override && !nd.router);
    assert_memory_equal(nd.mac, bench_mac, 6);
    nd_in(&ask, "2001:db8::9", "ff02::1:ff00:2", 254, peer_mac, 0); /* came through a router */
    expect_nothing(&b);
    assert_int_equal(b.native.stats.icmp_bad, 1);
    nd_in(&ask, "2001:db8::9", "ff02::1:ff00:2", 255, peer_mac, WEIR_PKT_FORWARDED);
    expect_nothing(&b);
    ask.has_mac = false; /* a probe: the answer is for all */
    nd_in(&ask, "::", "ff02::1:ff00:2", 255, peer_mac, 0);
    nd = expect_nd(136, NULL, &target);
    assert_ip(&target, "ff02::1");
    assert_false(nd.solicited);
    nd_in(&ask, "::", "ff02::1", 255, peer_mac, 0); /* RFC 4861 7.1.1: to that group only */
    nd_in(&ask, "::", "ff02::1:ff00:1", 255, peer_mac, 0);
    expect_nothing(&b);
    bench_close(&b);
}

static void silence_fails(void **state)
{
    struct weir_path path;

    (void)state;
    bench_open(&b, "2001:db8::2/64", NULL, NULL);
    assert_int_equal(bench_path(&b, &path, "2001:db8::9"), 0);
    assert_int_equal(bench_send(&b, &path, 100), 0);
    bench_pass(&b, WEIR_MS(3200));
    for (int i = 0; i < 3; i++)
        expect_nd(135, NULL, NULL);
    expect_nothing(&b);
    assert_int_equal(b.icmp_udp, 1);
    assert_int_equal(bench_send(&b, &path, 100), -EHOSTUNREACH);
    weir_path_close(&b.native, &path);
    bench_close(&b);
}

/* --- duplicates --- */

static const struct weir_iface_addr *our(const char *text)
{
    struct weir_ip ip = bench_ip(text);

    return weir_iface_find(weir_ip_wire(&b.native), &ip);
}

static void addresses_are_probed_first(void **state)
{
    struct weir_native_config config = { .ip = "auto", .secret = 1 };
    struct weir_ip source, target;
    struct weir_nd nd;

    (void)state;
    bench_open_on(&b, &config, 0);
    nd = expect_nd(135, &source, &target);
    assert_true(weir_ip_is_any(&source));
    assert_ip(&nd.target, "fe80::ff:fe00:1");
    assert_ip(&target, "ff02::1:ff00:1");
    assert_false(weir_ip_is_local(&b.native, &nd.target));
    assert_int_equal(our("fe80::ff:fe00:1")->state, WEIR_ADDR_TENTATIVE);
    bench_pass(&b, WEIR_MS(1050));
    assert_int_equal(our("fe80::ff:fe00:1")->state, WEIR_ADDR_PREFERRED);
    assert_true(weir_ip_is_local(&b.native, &nd.target));
    bench_close(&b);
}

static void duplicates_are_given_up(void **state)
{
    static const char *const ip[] = { "auto", "2001:db8::2/64", "2001:db8::2/64" };
    static const char *const who[] = { "fe80::ff:fe00:1", "2001:db8::2", "fe80::ff:fe00:1" };

    (void)state;
    for (int i = 0; i < 3; i++) {
        struct weir_native_config config = { .ip = ip[i], .secret = 1 };
        struct weir_nd probe = { .type = 135, .target = bench_ip(who[i]) };

        bench_open_on(&b, &config, 0);
        if (i < 2)
            advertise(who[i], peer_mac, false, true);
        else /* somebody else is probing for the same at the same time */
            nd_in(&probe, "::", "ff02::1:ff00:1", 255, peer_mac, 0);
        assert_int_equal(our(who[i])->state, WEIR_ADDR_DUPLICATE);
        assert_false(weir_ip_is_local(&b.native, &probe.target));
        bench_pass(&b, WEIR_SEC(30));
        assert_int_equal(our(who[i])->state, WEIR_ADDR_DUPLICATE);
        bench_close(&b);
    }
}

/* Our own probe, sent back by the wire, is nobody else's. */
static void echoes_of_ours_do_not_count(void **state)
{
    struct weir_native_config config = { .ip = "auto", .secret = 1 };
    struct weir_nd probe = { .type = 135, .target = bench_ip("fe80::ff:fe00:1") };

    (void)state;
    bench_open_on(&b, &config, 0);
    nd_in(&probe, "::", "ff02::1:ff00:1", 255, bench_mac, 0);
    bench_pass(&b, WEIR_SEC(2));
    assert_int_equal(our("fe80::ff:fe00:1")->state, WEIR_ADDR_PREFERRED);
    bench_close(&b);
}

/* --- routers --- */

/* A router's advertisement with one prefix. */
static void router_in(const char *from, uint16_t lifetime, uint32_t mtu, const char *prefix,
                      uint32_t valid, uint32_t preferred)
{
    uint8_t message[16 + 8 + 8 + 32] = { 134 }, *at;
    size_t len = sizeof message;
    struct weir_ip ip = bench_ip(prefix);

    message[4] = 55; /* hop limit */
    weir_put16(message + 6, lifetime);
    weir_put32(message + 12, 500); /* retransmission time, ms */
    message[16] = 1;
    message[17] = 1;
    memcpy(message + 18, peer_mac, 6);
    message[24] = 5;
    message[25] = 1;
    weir_put32(message + 28, mtu);
    message[32] = 3;
    message[33] = 4;
    message[34] = 64;
    message[35] = 0xc0;
    weir_put32(message + 36, valid);
    weir_put32(message + 40, preferred);
    memcpy(message + 48, ip.byte, 16);
    at = put_ether(frame, bench_mac, peer_mac, WEIR_ETHERTYPE_IP6);
    memcpy(frame, "\x33\x33\x00\x00\x00\x01", 6);
    at = put_ip6(at, from, "ff02::1", IPPROTO_ICMPV6, 255, len);
    memcpy(at, message, len);
    put_icmp6_sum(frame + 14, len);
    bench_in(&b, frame, 54 + len);
}

/* RFC 4862 5.4.5: whoever has our link-local address has our MAC: no more IPv6, whatever else was
 * configured or is advertised; IPv4 goes on. */
static void a_twin_ends_ip6(void **state)
{
    struct weir_native_config config = { .ip = "192.0.2.2/24,2001:db8::2/64,auto", .secret = 1 };
    struct weir_ip v4 = bench_ip("192.0.2.2"), v6 = bench_ip("2001:db8::2");

    (void)state;
    bench_open_on(&b, &config, 0);
    bench_pass(&b, WEIR_MS(100));
    assert_true(weir_ip_is_local(&b.native, &v6));
    advertise("fe80::ff:fe00:1", peer_mac, false, true);
    assert_false(weir_ip_is_local(&b.native, &v6));
    assert_true(weir_ip_is_local(&b.native, &v4));
    b.read[1] = b.sent[1];
    router_in("fe80::9", 1800, 1500, "2001:db8:5::", 7200, 3600);
    assert_null(our("2001:db8:5::ff:fe00:1"));
    bench_pass(&b, WEIR_SEC(30)); /* neither the end of the probes nor the next question */
    assert_int_equal(our("2001:db8::2")->state, WEIR_ADDR_DUPLICATE);
    assert_int_equal(our("fe80::ff:fe00:1")->state, WEIR_ADDR_DUPLICATE);
    for (const struct bench_frame *out; (out = bench_out(&b));)
        assert_int_not_equal(weir_get16(out->data + 12), WEIR_ETHERTYPE_IP6);
    bench_close(&b);
}

static void routers_are_asked_for(void **state)
{
    struct weir_native_config config = { .ip = "auto", .secret = 1 };
    struct weir_ip source, target;

    (void)state;
    bench_open_on(&b, &config, 0);
    bench_pass(&b, WEIR_MS(1090));
    b.read[1] = b.sent[1];
    for (int i = 0; i < 3; i++) {
        bench_pass(&b, i ? WEIR_SEC(4) : WEIR_MS(100));
        expect_nd(133, &source, &target);
        assert_ip(&source, "fe80::ff:fe00:1");
        assert_ip(&target, "ff02::2");
        expect_nothing(&b);
    }
    bench_pass(&b, WEIR_SEC(100));
    expect_nothing(&b);
    bench_close(&b);
}

static void advertisements_configure(void **state)
{
    static const char *const ours = "2001:db8:5::ff:fe00:1";
    struct weir_path path;
    unsigned shard;

    (void)state;
    for (shard = 0; shard < 2; shard++) { /* every shard by itself comes to the same */
        struct weir_native_config config = { .ip = "auto", .secret = 1 };

        bench_open_on(&b, &config, shard);
        bench_pass(&b, WEIR_SEC(1) + WEIR_MS(50));
        assert_int_equal(bench_path(&b, &path, "2001:db9::1"), -ENETUNREACH);
        router_in("2001:db8::1", 1800, 1400, "2001:db8:5::", 7200, 3600); /* not link-local */
        assert_null(our(ours));
        router_in("fe80::9", 1800, 1400, "2001:db8:5::", 7200, 3600);
        assert_int_equal(b.everyone, 2);
        assert_int_equal(our(ours)->state, WEIR_ADDR_TENTATIVE);
        bench_pass(&b, WEIR_MS(2050));
        assert_int_equal(our(ours)->state, WEIR_ADDR_PREFERRED);
        b.read[1] = b.sent[1];
        assert_int_equal(bench_path(&b, &path, "2001:db9::1"), 0);
        assert_int_equal(path.mtu, 1400);
        assert_int_equal(bench_send(&b, &path, 10), 0);
        {
            const struct bench_frame *out = bench_out(&b);

            assert_memory_equal(out->data, peer_mac, 6); /* the advertisement told its MAC */
            assert_int_equal(out->data[21], 55);
        }
        weir_path_close(&b.native, &path);

        bench_pass(&b, WEIR_SEC(1800)); /* the router has gone */
        assert_int_equal(bench_path(&b, &path, "2001:db9::1"), -ENETUNREACH);
        assert_int_equal(bench_path(&b, &path, "2001:db8:5::77"), 0); /* the link is there */
        weir_path_close(&b.native, &path);
        bench_pass(&b, WEIR_SEC(1850));
        assert_int_equal(our(ours)->state, WEIR_ADDR_DEPRECATED);
        bench_pass(&b, WEIR_SEC(3600));
        assert_null(our(ours));
        bench_close(&b);
    }
}

/* When an address of this prefix is ours, after its advertisement, in ticks. */
static unsigned ticks_until_ours(const char *prefix, const char *ours, unsigned shard)
{
    struct weir_native_config config = { .ip = "auto", .secret = 99 };
    unsigned ticks = 0, probed = 0;

    bench_open_on(&b, &config, shard);
    bench_pass(&b, WEIR_SEC(20));
    b.read[1] = b.sent[1];
    router_in("fe80::9", 1800, 1500, prefix, 7200, 3600);
    while (our(ours)->state == WEIR_ADDR_TENTATIVE) {
        bench_pass(&b, WEIR_TICK);
        ticks++;
        if (!probed && b.sent[1] != b.read[1])
            probed = ticks;
    }
    if (shard == 0) { /* a second for an answer, in full */
        assert_in_range(probed, 1, WEIR_SEC(1) / WEIR_TICK + 1);
        assert_in_range(ticks - probed, WEIR_SEC(1) / WEIR_TICK, WEIR_SEC(1) / WEIR_TICK + 2);
        expect_nd(135, NULL, NULL);
    }
    bench_close(&b);
    return ticks;
}

/* RFC 4862 5.4.2: not all hosts at once; but all shards of one. */
static void probes_after_an_advertisement_are_spread(void **state)
{
    static const char *const prefix[] = { "2001:db8:5::", "2001:db8:6::", "2001:db8:7::",
                                          "2001:db8:8::" };
    static const char *const ours[] = { "2001:db8:5::ff:fe00:1", "2001:db8:6::ff:fe00:1",
                                        "2001:db8:7::ff:fe00:1", "2001:db8:8::ff:fe00:1" };
    unsigned first = UINT32_MAX, last = 0;

    (void)state;
    for (size_t i = 0; i < WEIR_COUNT(prefix); i++) {
        unsigned ticks = ticks_until_ours(prefix[i], ours[i], 0);

        assert_int_equal(ticks_until_ours(prefix[i], ours[i], 1), ticks);
        first = ticks < first ? ticks : first;
        last = ticks > last ? ticks : last;
    }
    assert_true(last - first > WEIR_MS(100) / WEIR_TICK);
}

static void routers_can_say_goodbye(void **state)
{
    struct weir_path path;

    (void)state;
    bench_open(&b, "2001:db8::2/64", NULL, NULL);
    router_in("fe80::9", 1800, 1500, "2001:db8:5::", 7200, 3600);
    assert_int_equal(weir_ip_wire(&b.native)->addr_count, 2); /* asked for none: no new one */
    assert_int_equal(bench_path(&b, &path, "2001:db9::1"), 0);
    weir_path_close(&b.native, &path);
    router_in("fe80::9", 0, 1500, "2001:db8:5::", 7200, 3600);
    assert_int_equal(bench_path(&b, &path, "2001:db9::1"), -ENETUNREACH);
    bench_close(&b);
}

/* RFC 4862 5.5.3 e: a forged short lifetime leaves two hours. */
static void lifetimes_do_not_collapse(void **state)
{
    static const char *const ours = "2001:db8:5::ff:fe00:1";
    struct weir_native_config config = { .ip = "auto", .secret = 1 };

    (void)state;
    bench_open_on(&b, &config, 0);
    bench_pass(&b, WEIR_SEC(2));
    router_in("fe80::9", 1800, 1500, "2001:db8:5::", 86400, 86400);
    router_in("fe80::9", 1800, 1500, "2001:db8:5::", 1, 1);
    assert_int_equal(our(ours)->valid_until, b.shard.now + WEIR_SEC(7200));
    router_in("fe80::9", 1800, 1500, "2001:db8:5::", UINT32_MAX, UINT32_MAX);
    assert_true(our(ours)->valid_until == WEIR_NEVER);
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(solicits_and_resolves),
        cmocka_unit_test(mtu_has_an_edge),
        cmocka_unit_test(solicitations_are_answered),
        cmocka_unit_test(silence_fails),
        cmocka_unit_test(addresses_are_probed_first),
        cmocka_unit_test(duplicates_are_given_up),
        cmocka_unit_test(a_twin_ends_ip6),
        cmocka_unit_test(echoes_of_ours_do_not_count),
        cmocka_unit_test(routers_are_asked_for),
        cmocka_unit_test(advertisements_configure),
        cmocka_unit_test(probes_after_an_advertisement_are_spread),
        cmocka_unit_test(routers_can_say_goodbye),
        cmocka_unit_test(lifetimes_do_not_collapse),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
