/* DHCP: getting a lease, keeping it, losing it; and what the shards that only listen make of it. */
#include "native_ip.h"

static struct bench b;
static uint8_t frame[BENCH_FRAME];

static void open_dhcp(unsigned shard)
{
    struct weir_native_config config = { .ip = "dhcp", .secret = 12345 };

    bench_open_on(&b, &config, shard);
}

/* The next frame is a message of ours. */
static struct weir_dhcp expect_dhcp(uint8_t type, const char *source, const char *target,
                                    const uint8_t mac[6])
{
    const struct bench_frame *out = bench_out(&b);
    struct weir_ip ip_source = bench_ip(source), ip_target = bench_ip(target);
    struct weir_udp_header udp;
    struct weir_dhcp dhcp;
    struct weir_ip4 ip;

    assert_non_null(out);
    assert_memory_equal(out->data, mac, 6);
    assert_int_equal(weir_get16(out->data + 12), WEIR_ETHERTYPE_IP4);
    if (weir_ip_is_any(&ip_source)) /* weir_ip4_parse takes it; the stack does not */
        ip_source = weir_ip_v4(0);
    assert_int_equal(weir_ip4_parse(&ip, out->data + 14, out->len - 14, false), 20);
    assert_true(weir_ip_eq(&ip.source, &ip_source));
    assert_true(weir_ip_eq(&ip.target, &ip_target));
    assert_true(weir_udp_parse(&udp, out->data + 34, out->len - 34) > 0);
    assert_int_equal(udp.sport, 68);
    assert_int_equal(udp.dport, 67);
    assert_int_equal(weir_sum_fold(weir_sum(out->data + 34, udp.len,
                                            weir_pseudo_sum(&ip.source, &ip.target, 17, udp.len))),
                     0xffff);
    assert_true(weir_dhcp_parse(&dhcp, out->data + 42, udp.len - 8u) > 0);
    assert_int_equal(dhcp.type, type);
    assert_memory_equal(dhcp.mac, bench_mac, 6);
    return dhcp;
}

static struct weir_dhcp answer(uint8_t type, const char *address)
{
    struct weir_dhcp dhcp = { .type = type,
                              .reply = true,
                              .xid = b.native.ip->dhcp.xid,
                              .server = bench_ip("192.0.2.1").word[3],
                              .mask = htonl(0xffffff00),
                              .router = bench_ip("192.0.2.254").word[3],
                              .lease_s = 3600 };

    memcpy(dhcp.mac, bench_mac, 6);
    if (address)
        dhcp.your_ip = bench_ip(address).word[3];
    return dhcp;
}

static void server_says(const struct weir_dhcp *dhcp, const char *target, uint16_t flags)
{
    uint8_t message[600], *at;
    int len = weir_dhcp_emit(message, sizeof message, dhcp);

    assert_true(len > 0);
    at = put_ether(frame, bench_mac, peer_mac, WEIR_ETHERTYPE_IP4);
    at = put_ip4(at, "192.0.2.1", target, IPPROTO_UDP, 8 + (size_t)len);
    weir_put16(at, 67);
    weir_put16(at + 2, 68);
    weir_put16(at + 4, (uint16_t)(8 + len));
    weir_put16(at + 6, 0);
    memcpy(at + 8, message, (size_t)len);
    bench_in_on(&b, WEIR_IFACE_WIRE, frame, 42 + (size_t)len, flags);
}

static bool have(const char *text)
{
    struct weir_ip ip = bench_ip(text);

    return weir_ip_is_local(&b.native, &ip);
}

/* DISCOVER, OFFER, REQUEST, ACK, two probes, bound. */
static void lease(uint32_t seconds)
{
    struct weir_dhcp offer, ack;

    expect_dhcp(WEIR_DHCP_DISCOVER, "0.0.0.0", "255.255.255.255", everybody_mac);
    offer = answer(WEIR_DHCP_OFFER, "192.0.2.50");
    server_says(&offer, "192.0.2.50", 0);
    expect_dhcp(WEIR_DHCP_REQUEST, "0.0.0.0", "255.255.255.255", everybody_mac);
    ack = answer(WEIR_DHCP_ACK, "192.0.2.50");
    ack.lease_s = seconds;
    server_says(&ack, "255.255.255.255", 0);
    assert_false(have("192.0.2.50"));
    bench_pass(&b, WEIR_MS(1010));
    assert_int_equal(expect_arp(&b, everybody_mac).sender_ip, 0);
    assert_int_equal(expect_arp(&b, everybody_mac).sender_ip, 0);
    assert_true(have("192.0.2.50"));
    bench_pass(&b, WEIR_SEC(5));
    expect_arp(&b, everybody_mac); /* announced */
    expect_arp(&b, everybody_mac);
    expect_nothing(&b);
}

static void gets_a_lease(void **state)
{
    struct weir_path path;
    struct weir_ip hop = bench_ip("192.0.2.254");

    (void)state;
    open_dhcp(0);
    lease(3600);
    assert_int_equal(b.everyone, 2);
    assert_int_equal(bench_path(&b, &path, "203.0.113.1"), 0);
    assert_true(weir_ip_eq(&b.native.ip->neighs.neigh[path.neigh].ip, &hop));
    weir_path_close(&b.native, &path);
    weir_iface_flush(weir_ip_wire(&b.native));
    {
        struct weir_dhcp release;

        weir_dhcp_close(&b.native.ip->dhcp);
        release = expect_dhcp(WEIR_DHCP_RELEASE, "192.0.2.50", "192.0.2.1", peer_mac);
        assert_int_equal(release.client_ip, bench_ip("192.0.2.50").word[3]);
    }
    bench_close(&b);
}

static void request_names_the_offer(void **state)
{
    struct weir_dhcp offer, request;

    (void)state;
    open_dhcp(0);
    expect_dhcp(WEIR_DHCP_DISCOVER, "0.0.0.0", "255.255.255.255", everybody_mac);
    offer = answer(WEIR_DHCP_OFFER, "192.0.2.50");
    offer.xid ^= 1; /* for somebody else */
    server_says(&offer, "192.0.2.50", 0);
    expect_nothing(&b);
    offer.xid ^= 1;
    offer.mac[5] ^= 1;
    server_says(&offer, "192.0.2.50", 0);
    expect_nothing(&b);
    assert_int_equal(b.everyone, 0);
    offer.mac[5] ^= 1;
    server_says(&offer, "192.0.2.50", 0);
    request = expect_dhcp(WEIR_DHCP_REQUEST, "0.0.0.0", "255.255.255.255", everybody_mac);
    assert_int_equal(request.requested, offer.your_ip);
    assert_int_equal(request.server, offer.server);
    assert_int_equal(request.client_ip, 0);
    server_says(&offer, "192.0.2.50", 0); /* a second one comes too late */
    expect_nothing(&b);
    bench_close(&b);
}

/* 4, 8, 16, 32, 64, 64 seconds, each and a second more or less. */
static void silence_backs_off(void **state)
{
    static const int waits[] = { 4, 8, 16, 32, 64, 64 };

    (void)state;
    open_dhcp(0);
    expect_dhcp(WEIR_DHCP_DISCOVER, "0.0.0.0", "255.255.255.255", everybody_mac);
    for (size_t i = 0; i < WEIR_COUNT(waits); i++) {
        weir_time from = b.shard.now, step = WEIR_MS(10);
        unsigned sent = b.sent[1];

        while (b.sent[1] == sent)
            bench_pass(&b, step);
        assert_in_range(b.shard.now - from, WEIR_SEC(waits[i] - 1), WEIR_SEC(waits[i] + 1) + step);
        expect_dhcp(WEIR_DHCP_DISCOVER, "0.0.0.0", "255.255.255.255", everybody_mac);
    }
    bench_close(&b);
}

/* T1: unicast; T2: to everybody; at the end the address goes (RFC 2131 4.4.5). */
static void renews_rebinds_expires(void **state)
{
    struct weir_dhcp request, ack;
    weir_time began;

    (void)state;
    open_dhcp(0);
    began = b.shard.now;
    lease(3600);
    bench_pass(&b, began + WEIR_SEC(1799) - b.shard.now);
    expect_nothing(&b);
    bench_pass(&b, WEIR_SEC(2));
    request = expect_dhcp(WEIR_DHCP_REQUEST, "192.0.2.50", "192.0.2.1", peer_mac);
    assert_int_equal(request.requested, 0);
    assert_int_equal(request.server, 0);
    assert_int_equal(request.client_ip, bench_ip("192.0.2.50").word[3]);
    ack = answer(WEIR_DHCP_ACK, "192.0.2.50");
    server_says(&ack, "192.0.2.50", 0);
    began = b.shard.now;
    bench_pass(&b, WEIR_SEC(1700)); /* begins anew, without another probe */
    expect_nothing(&b);
    bench_pass(&b, began + WEIR_SEC(3600) * 7 / 8 - WEIR_SEC(3) - b.shard.now);
    expect_dhcp(WEIR_DHCP_REQUEST, "192.0.2.50", "192.0.2.1", peer_mac);
    expect_dhcp(WEIR_DHCP_REQUEST, "192.0.2.50", "192.0.2.1", peer_mac);
    while (bench_out(&b))
        ;
    bench_pass(&b, WEIR_SEC(5));
    expect_dhcp(WEIR_DHCP_REQUEST, "192.0.2.50", "255.255.255.255", everybody_mac);
    assert_true(have("192.0.2.50"));
    b.read[1] = b.sent[1];
    bench_pass(&b, began + WEIR_SEC(3598) - b.shard.now);
    assert_true(have("192.0.2.50"));
    b.read[1] = b.sent[1];
    bench_pass(&b, WEIR_SEC(3));
    assert_false(have("192.0.2.50"));
    expect_dhcp(WEIR_DHCP_DISCOVER, "0.0.0.0", "255.255.255.255", everybody_mac);
    assert_int_equal(b.native.ip->routes, 0);
    bench_close(&b);
}

static void refusal_ends_the_lease(void **state)
{
    struct weir_dhcp nak;

    (void)state;
    open_dhcp(0);
    lease(3600);
    nak = answer(WEIR_DHCP_NAK, NULL);
    nak.lease_s = nak.mask = nak.router = 0;
    server_says(&nak, "255.255.255.255", 0); /* nobody has asked: forged */
    assert_true(have("192.0.2.50"));
    bench_pass(&b, WEIR_SEC(1800));
    expect_dhcp(WEIR_DHCP_REQUEST, "192.0.2.50", "192.0.2.1", peer_mac);
    server_says(&nak, "255.255.255.255", 0);
    assert_false(have("192.0.2.50"));
    bench_pass(&b, WEIR_MS(1100));
    expect_dhcp(WEIR_DHCP_DISCOVER, "0.0.0.0", "255.255.255.255", everybody_mac);
    bench_close(&b);
}

static void an_address_in_use_is_declined(void **state)
{
    struct weir_dhcp offer, ack, decline;

    (void)state;
    open_dhcp(0);
    expect_dhcp(WEIR_DHCP_DISCOVER, "0.0.0.0", "255.255.255.255", everybody_mac);
    offer = answer(WEIR_DHCP_OFFER, "192.0.2.50");
    server_says(&offer, "192.0.2.50", 0);
    expect_dhcp(WEIR_DHCP_REQUEST, "0.0.0.0", "255.255.255.255", everybody_mac);
    ack = answer(WEIR_DHCP_ACK, "192.0.2.50");
    server_says(&ack, "192.0.2.50", 0);
    expect_arp(&b, everybody_mac);
    bench_arp(&b, true, other_mac, "192.0.2.50", "192.0.2.50", 0);
    decline = expect_dhcp(WEIR_DHCP_DECLINE, "0.0.0.0", "255.255.255.255", everybody_mac);
    assert_int_equal(decline.requested, offer.your_ip);
    assert_int_equal(decline.server, offer.server);
    bench_pass(&b, WEIR_SEC(9));
    expect_nothing(&b);
    assert_false(have("192.0.2.50"));
    bench_pass(&b, WEIR_SEC(2));
    expect_dhcp(WEIR_DHCP_DISCOVER, "0.0.0.0", "255.255.255.255", everybody_mac);
    bench_close(&b);
}

/* Shards that do not speak see the server's frames and come to the same. */
static void followers_keep_up(void **state)
{
    struct weir_dhcp offer, ack;
    uint32_t xid;

    (void)state;
    open_dhcp(0);
    xid = b.native.ip->dhcp.xid;
    bench_close(&b);
    open_dhcp(2);
    assert_int_equal(b.native.ip->dhcp.xid, xid);
    bench_pass(&b, WEIR_SEC(10));
    offer = answer(WEIR_DHCP_OFFER, "192.0.2.50");
    ack = answer(WEIR_DHCP_ACK, "192.0.2.50");
    server_says(&offer, "192.0.2.50", WEIR_PKT_FORWARDED);
    server_says(&ack, "192.0.2.50", WEIR_PKT_FORWARDED);
    bench_pass(&b, WEIR_MS(1010));
    assert_true(have("192.0.2.50"));
    bench_pass(&b, WEIR_SEC(1800));
    server_says(&ack, "192.0.2.50", WEIR_PKT_FORWARDED); /* renewed */
    bench_pass(&b, WEIR_SEC(3590));
    assert_true(have("192.0.2.50"));
    bench_pass(&b, WEIR_SEC(20));
    assert_false(have("192.0.2.50"));
    server_says(&ack, "192.0.2.50", WEIR_PKT_FORWARDED);
    bench_arp(&b, true, other_mac, "192.0.2.50", "192.0.2.50", WEIR_PKT_FORWARDED);
    bench_pass(&b, WEIR_SEC(5));
    assert_false(have("192.0.2.50"));
    assert_int_equal(b.everyone, 0);
    expect_nothing(&b); /* not a word */
    bench_close(&b);
}

static void other_datagrams_go_on(void **state)
{
    (void)state;
    open_dhcp(0);
    lease(3600);
    memset(frame, 0, sizeof frame);
    put_ip4(put_ether(frame, bench_mac, peer_mac, WEIR_ETHERTYPE_IP4), "192.0.2.9", "192.0.2.50",
            IPPROTO_UDP, 20);
    weir_put16(frame + 36, 53);
    bench_in(&b, frame, 60);
    assert_int_equal(b.udp, 1);
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gets_a_lease),           cmocka_unit_test(request_names_the_offer),
        cmocka_unit_test(silence_backs_off),      cmocka_unit_test(renews_rebinds_expires),
        cmocka_unit_test(refusal_ends_the_lease), cmocka_unit_test(an_address_in_use_is_declined),
        cmocka_unit_test(followers_keep_up),      cmocka_unit_test(other_datagrams_go_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
