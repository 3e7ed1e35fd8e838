/* What comes in: frames and packets that are dropped, echoes, errors sent and errors received, path
 * MTUs. */
#include "native_ip.h"

static struct bench b;
static uint8_t frame[BENCH_FRAME];

static size_t frame_ip4(const char *source, const char *target, uint8_t protocol, size_t payload)
{
    uint8_t *at;

    memset(frame, 0, sizeof frame);
    at = put_ether(frame, bench_mac, peer_mac, WEIR_ETHERTYPE_IP4);
    at = put_ip4(at, source, target, protocol, payload);
    for (size_t i = 0; i < payload; i++)
        at[i] = (uint8_t)i;
    return (size_t)(at - frame) + payload;
}

static size_t frame_ip6(const char *source, const char *target, uint8_t protocol, size_t payload)
{
    uint8_t *at;

    memset(frame, 0, sizeof frame);
    at = put_ether(frame, bench_mac, peer_mac, WEIR_ETHERTYPE_IP6);
    at = put_ip6(at, source, target, protocol, 64, payload);
    for (size_t i = 0; i < payload; i++)
        at[i] = (uint8_t)i;
    return (size_t)(at - frame) + payload;
}

/* The header was changed: its checksum again. */
static void frame_resum(void)
{
    uint16_t sum;

    memset(frame + 24, 0, 2);
    sum = (uint16_t)~weir_sum_fold(weir_sum(frame + 14, (frame[14] & 15u) * 4, 0));
    memcpy(frame + 24, &sum, 2);
}

static void open_both(void)
{
    bench_open(&b, "192.0.2.2/24,2001:db8::2/64", "192.0.2.1,2001:db8::1", NULL);
    bench_arp(&b, false, peer_mac, "192.0.2.9", "192.0.2.2", 0);
    bench_arp(&b, false, peer_mac, "192.0.2.1", "192.0.2.2", 0);
    b.read[1] = b.sent[1];
}

/* An IPv6 neighbour whose MAC is known. */
static void know6(const char *text)
{
    struct weir_ip ip = bench_ip(text);
    struct weir_neighs *neighs = &b.native.ip->neighs;

    weir_neigh_learn(neighs, weir_neigh_get(neighs, &ip), peer_mac, WEIR_NEIGH_ANSWERED, true);
}

/* --- IPv4 in --- */

static void padding_is_cut(void **state)
{
    (void)state;
    open_both();
    frame_ip4("192.0.2.9", "192.0.2.2", IPPROTO_TCP, 20);
    bench_in(&b, frame, 60);
    assert_int_equal(b.tcp, 1);
    assert_int_equal(b.up_len, 20);
    frame_ip4("192.0.2.9", "192.0.2.2", IPPROTO_UDP, 9);
    bench_in(&b, frame, 60);
    assert_int_equal(b.udp, 1);
    assert_int_equal(b.up_len, 9);
    bench_close(&b);
}

static void options_are_skipped(void **state)
{
    (void)state;
    open_both();
    frame_ip4("192.0.2.9", "192.0.2.2", IPPROTO_TCP, 28);
    frame[14] = 0x47;
    memset(frame + 34, 1, 8); /* no-operations */
    frame_resum();
    bench_in(&b, frame, 62);
    assert_int_equal(b.tcp, 1);
    assert_int_equal(b.up_len, 20);
    frame[34] = 131; /* loose source route */
    frame[35] = 8;
    frame_resum();
    bench_in(&b, frame, 62);
    assert_int_equal(b.tcp, 1);
    assert_int_equal(b.native.stats.ip_bad, 1);
    bench_close(&b);
}

static void broken_headers_are_dropped(void **state)
{
    size_t len;

    (void)state;
    open_both();
    len = frame_ip4("192.0.2.9", "192.0.2.2", IPPROTO_TCP, 20);
    bench_in(&b, frame, len - 1); /* shorter than it says */
    frame[24] ^= 1;               /* checksum */
    bench_in(&b, frame, len);
    frame[24] ^= 1;
    bench_in(&b, frame, 33);
    assert_int_equal(b.native.stats.ip_bad, 3);
    assert_int_equal(b.tcp, 0);
    frame[24] ^= 1; /* the device knows better */
    bench_in_on(&b, WEIR_IFACE_WIRE, frame, len, WEIR_PKT_IP_GOOD);
    assert_int_equal(b.tcp, 1);
    bench_in(&b, frame, 13);
    assert_int_equal(b.native.stats.eth_bad, 1);
    bench_close(&b);
}

static void impossible_sources_are_dropped(void **state)
{
    static const char *const bad[] = { "0.0.0.0",   "0.1.2.3",     "127.0.0.1", "224.0.0.5",
                                       "240.0.0.1", "192.0.2.255", "192.0.2.2" };

    (void)state;
    open_both();
    for (size_t i = 0; i < WEIR_COUNT(bad); i++) {
        bench_in(&b, frame, frame_ip4(bad[i], "192.0.2.2", IPPROTO_TCP, 20));
        bench_in(&b, frame, frame_ip4(bad[i], "192.0.2.2", IPPROTO_UDP, 20));
    }
    assert_int_equal(b.native.stats.ip_bad, 2 * WEIR_COUNT(bad));
    assert_int_equal(b.tcp + b.udp, 0);
    expect_nothing(&b);
    bench_close(&b);
}

static void others_targets_are_dropped(void **state)
{
    (void)state;
    open_both();
    bench_in(&b, frame, frame_ip4("192.0.2.9", "192.0.2.3", IPPROTO_TCP, 20));
    bench_in(&b, frame, frame_ip4("192.0.2.9", "127.0.0.1", IPPROTO_TCP, 20));
    bench_in(&b, frame, frame_ip4("192.0.2.9", "239.1.2.3", IPPROTO_UDP, 20));
    assert_int_equal(b.native.stats.ip_not_ours, 3);
    frame_ip4("192.0.2.9", "192.0.2.2", IPPROTO_TCP, 20);
    frame[5] = 77; /* a frame for another station */
    bench_in(&b, frame, 54);
    memcpy(frame, everybody_mac, 6); /* to one, by a frame to all */
    bench_in(&b, frame, 54);
    assert_int_equal(b.native.stats.ip_not_ours, 4);
    assert_int_equal(b.tcp + b.udp, 0);
    bench_close(&b);
}

static void broadcasts_are_for_udp(void **state)
{
    size_t len;

    (void)state;
    open_both();
    len = frame_ip4("192.0.2.9", "192.0.2.255", IPPROTO_UDP, 20);
    memcpy(frame, everybody_mac, 6);
    bench_in(&b, frame, len);
    assert_int_equal(b.udp, 1);
    len = frame_ip4("192.0.2.9", "255.255.255.255", IPPROTO_TCP, 20);
    memcpy(frame, everybody_mac, 6);
    bench_in(&b, frame, len);
    assert_int_equal(b.tcp, 0);
    bench_close(&b);
}

/* --- IPv6 in --- */

static void ip6_is_checked(void **state)
{
    static const char *const bad[] = { "::1", "ff02::5", "::", "2001:db8::2" };

    (void)state;
    open_both();
    bench_in(&b, frame, frame_ip6("2001:db8::9", "2001:db8::2", IPPROTO_TCP, 20));
    assert_int_equal(b.tcp, 1);
    assert_true(b.up_flags & WEIR_PKT_IP6);
    bench_in(&b, frame, frame_ip6("2001:db8::9", "2001:db8::2", IPPROTO_UDP, 20));
    assert_int_equal(b.udp, 1);
    for (size_t i = 0; i < WEIR_COUNT(bad); i++)
        bench_in(&b, frame, frame_ip6(bad[i], "2001:db8::2", IPPROTO_TCP, 20));
    assert_int_equal(b.native.stats.ip_bad, WEIR_COUNT(bad));
    bench_in(&b, frame, frame_ip6("2001:db8::9", "2001:db8::3", IPPROTO_TCP, 20));
    bench_in(&b, frame, frame_ip6("2001:db8::9", "::1", IPPROTO_TCP, 20));
    bench_in(&b, frame, frame_ip6("2001:db8::9", "ff02::1:ff00:77", IPPROTO_UDP, 20));
    assert_int_equal(b.native.stats.ip_not_ours, 3);
    frame_ip6("2001:db8::9", "2001:db8::2", IPPROTO_TCP, 20);
    bench_in(&b, frame, 73);   /* shorter than it says */
    memset(frame + 22, 0, 10); /* ::ffff:192.0.2.9 is no IPv6 address on a wire */
    memset(frame + 32, 0xff, 2);
    bench_in(&b, frame, 74);
    assert_int_equal(b.native.stats.ip_bad, WEIR_COUNT(bad) + 2);
    frame_ip6("2001:db8::9", "2001:db8::2", IPPROTO_TCP, 20);
    memset(frame + 38, 0, 10);
    memset(frame + 48, 0xff, 2);
    memcpy(frame + 50, "\xc0\x00\x02\x02", 4);
    bench_in(&b, frame, 74);
    assert_int_equal(b.tcp, 1);
    bench_close(&b);
}

/* --- echo --- */

static void echo4(void **state)
{
    const struct bench_frame *out;
    struct weir_icmp icmp;
    size_t len;

    (void)state;
    open_both();
    len = frame_ip4("192.0.2.9", "192.0.2.2", IPPROTO_ICMP, 64);
    frame[34] = 8;
    frame[35] = 0;
    put_icmp4_sum(frame + 34, 64);
    bench_in(&b, frame, len);
    out = bench_out(&b);
    assert_non_null(out);
    assert_memory_equal(out->data, peer_mac, 6);
    assert_int_equal(out->len, len);
    assert_int_equal(weir_icmp4_parse(&icmp, out->data + 34, 64), 8);
    assert_int_equal(icmp.type, 0);
    assert_memory_equal(out->data + 38, frame + 38, 60);
    assert_memory_equal(out->data + 26, frame + 30, 4);
    frame[60] ^= 1; /* its checksum is wrong now */
    bench_in(&b, frame, len);
    assert_int_equal(b.native.stats.icmp_bad, 1);
    len = frame_ip4("192.0.2.9", "192.0.2.255", IPPROTO_ICMP, 64); /* to all: not answered */
    memcpy(frame, everybody_mac, 6);
    frame[34] = 8;
    frame[35] = 0;
    put_icmp4_sum(frame + 34, 64);
    bench_in(&b, frame, len);
    expect_nothing(&b);
    bench_close(&b);
}

/* Somebody else still reads the request: what he reads stays as it is. */
static void echo_leaves_a_shared_request_alone(void **state)
{
    static const uint16_t flags[] = { 0, WEIR_PKT_READ_ONLY };
    const struct bench_frame *out;
    size_t len;

    (void)state;
    open_both();
    len = frame_ip4("192.0.2.9", "192.0.2.2", IPPROTO_ICMP, 64);
    frame[34] = 8;
    frame[35] = 0;
    put_icmp4_sum(frame + 34, 64);
    for (unsigned i = 0; i < WEIR_COUNT(flags); i++) {
        struct weir_pkt *pkt = weir_pkt_get(&b.native.pkts);
        uint8_t *bytes = pkt->buf.data;

        memcpy(bytes, frame, len);
        pkt->buf.len = (uint32_t)len;
        pkt->flags = flags[i];
        weir_buf_ref(&pkt->buf);
        weir_ether_input(&b.native.iface[WEIR_IFACE_WIRE], &pkt, 1);
        out = bench_out(&b);
        assert_non_null(out);
        assert_int_equal(out->data[34], 0);
        assert_memory_equal(out->data + 38, frame + 38, 60);
        assert_memory_equal(bytes, frame, len);
        weir_pkt_free(pkt);
    }
    bench_close(&b);
}

static void echo6(void **state)
{
    const struct bench_frame *out;
    struct weir_ip group = bench_ip("ff02::1");
    size_t len;

    (void)state;
    open_both();
    know6("2001:db8::9");
    for (int to_all = 0; to_all < 2; to_all++) {
        uint32_t sum;
        struct weir_ip source, target;

        len = frame_ip6("2001:db8::9", to_all ? "ff02::1" : "2001:db8::2", IPPROTO_ICMPV6, 64);
        if (to_all)
            weir_ip_group_mac(frame, &group);
        frame[54] = 128;
        frame[55] = 0;
        put_icmp6_sum(frame + 14, 64);
        bench_in(&b, frame, len);
        out = bench_out(&b);
        assert_non_null(out);
        assert_int_equal(out->data[54], 129);
        memcpy(source.byte, out->data + 22, 16);
        memcpy(target.byte, out->data + 38, 16);
        sum = weir_pseudo_sum(&source, &target, 58, 64);
        assert_int_equal(weir_sum_fold(weir_sum(out->data + 54, 64, sum)), 0xffff);
        target = bench_ip("2001:db8::2");
        assert_true(weir_ip_eq(&source, &target));
    }
    bench_close(&b);
}

/* --- errors out --- */

static void unknown_protocols_are_told(void **state)
{
    const struct bench_frame *out;
    struct weir_icmp icmp;
    size_t len;

    (void)state;
    open_both();
    know6("2001:db8::9");
    len = frame_ip4("192.0.2.9", "192.0.2.2", 99, 40);
    bench_in(&b, frame, len);
    out = bench_out(&b);
    assert_non_null(out);
    assert_int_equal(weir_icmp4_parse(&icmp, out->data + 34, out->len - 34), 8);
    assert_int_equal(icmp.type, 3);
    assert_int_equal(icmp.code, 2);
    assert_memory_equal(out->data + 42, frame + 14, 60);
    bench_in(&b, frame, frame_ip6("2001:db8::9", "2001:db8::2", 99, 40));
    out = bench_out(&b);
    assert_non_null(out);
    assert_int_equal(out->data[54], 4);
    assert_int_equal(out->data[55], 1);
    assert_int_equal(weir_get32(out->data + 58), 6); /* the next header field */
    bench_close(&b);
}

/* RFC 1122 3.2.2 */
static void errors_have_limits(void **state)
{
    size_t len;
    unsigned told = 0;

    (void)state;
    open_both();
    len = frame_ip4("192.0.2.9", "192.0.2.2", 99, 40);
    for (int i = 0; i < 3 * WEIR_ICMP_BURST; i++)
        bench_in(&b, frame, len);
    while (bench_out(&b))
        told++;
    assert_int_equal(told, WEIR_ICMP_BURST);
    bench_pass(&b, WEIR_MS(100)); /* a tenth of those of a second */
    for (int i = 0; i < 3 * WEIR_ICMP_BURST; i++)
        bench_in(&b, frame, len);
    for (told = 0; bench_out(&b);)
        told++;
    assert_int_equal(told, WEIR_ICMP_PER_SECOND / 10);
    bench_pass(&b, WEIR_SEC(10));
    b.read[1] = b.sent[1];

    len = frame_ip4("192.0.2.9", "192.0.2.255", 99, 40); /* to all */
    memcpy(frame, everybody_mac, 6);
    bench_in(&b, frame, len);
    expect_nothing(&b);
    bench_close(&b);
}

/* What UDP calls for a port that nobody has; never about an error. */
static void port_unreachable(void **state)
{
    const struct bench_frame *out;
    struct weir_pkt *pkt;
    size_t len;

    (void)state;
    open_both();
    len = frame_ip4("192.0.2.9", "192.0.2.2", IPPROTO_UDP, 40);
    pkt = weir_pkt_get(&b.native.pkts);
    memcpy(pkt->buf.data, frame, len);
    pkt->buf.len = (uint32_t)len;
    pkt->l3 = 14;
    pkt->l4 = 34;
    weir_icmp_port_unreachable(&b.native, weir_ip_wire(&b.native), pkt);
    out = bench_out(&b);
    assert_non_null(out);
    assert_int_equal(out->data[34], 3);
    assert_int_equal(out->data[35], 3);
    pkt->buf.data[23] = IPPROTO_ICMP;
    pkt->buf.data[34] = 3; /* an error itself */
    weir_icmp_port_unreachable(&b.native, weir_ip_wire(&b.native), pkt);
    expect_nothing(&b);
    pkt->buf.data[23] = IPPROTO_UDP;
    pkt->buf.data[21] = 4; /* not the first fragment */
    weir_icmp_port_unreachable(&b.native, weir_ip_wire(&b.native), pkt);
    expect_nothing(&b);
    weir_pkt_free(pkt);
    bench_close(&b);
}

/* --- errors in --- */

/* An ICMP error from a router about a packet of ours; its length. */
static size_t frame_error4(uint8_t type, uint8_t code, uint32_t rest, uint8_t protocol,
                           const char *quoted_source)
{
    size_t len = frame_ip4("192.0.2.1", "192.0.2.2", IPPROTO_ICMP, 8 + 20 + 8);

    frame[34] = type;
    frame[35] = code;
    weir_put32(frame + 38, rest);
    put_ip4(frame + 42, quoted_source, "203.0.113.9", protocol, 1480);
    weir_put16(frame + 62, 4000); /* our port */
    weir_put16(frame + 64, 80);
    weir_put32(frame + 66, 1000); /* sequence number */
    put_icmp4_sum(frame + 34, 36);
    return len;
}

static struct weir_tcp tcp;

static void flow_open(const char *local, const char *remote)
{
    tcp.flow.kind = WEIR_FLOW_TCP;
    tcp.flow.key = (struct weir_flow_key){
        .local = bench_ip(local), .remote = bench_ip(remote), .local_port = 4000, .remote_port = 80
    };
    tcp.snd_una = 1000;
    tcp.snd_max = 3000;
    bench_flow = &tcp.flow;
}

static void errors_reach_their_transport(void **state)
{
    (void)state;
    open_both();
    flow_open("192.0.2.2", "203.0.113.9");
    bench_in(&b, frame, frame_error4(3, 1, 0, IPPROTO_TCP, "192.0.2.2"));
    assert_int_equal(b.icmp_tcp, 1);
    assert_int_equal(b.icmp_error, -EHOSTUNREACH);
    assert_int_equal(b.icmp_key.local_port, 4000);
    assert_int_equal(b.icmp_key.remote_port, 80);
    bench_in(&b, frame, frame_error4(3, 3, 0, IPPROTO_UDP, "192.0.2.2"));
    assert_int_equal(b.icmp_udp, 1);
    assert_int_equal(b.icmp_error, -ECONNREFUSED);
    bench_in(&b, frame, frame_error4(3, 3, 0, IPPROTO_UDP, "192.0.2.3")); /* not ours */
    assert_int_equal(b.icmp_udp, 1);
    assert_int_equal(b.native.stats.icmp_bad, 1);
    b.no_udp_ports = true; /* nobody can have sent that: not even a path's MTU is touched */
    bench_in(&b, frame, frame_error4(3, 4, 600, IPPROTO_UDP, "192.0.2.2"));
    assert_int_equal(b.icmp_udp, 1);
    assert_int_equal(b.native.stats.icmp_bad, 2);
    assert_int_equal(weir_pmtu_find(&b.native, &tcp.flow.key.remote, 1500), 1500);
    bench_in(&b, frame, frame_error4(4, 0, 0, IPPROTO_TCP, "192.0.2.2")); /* source quench */
    assert_int_equal(b.icmp_tcp, 1);
    bench_flow = NULL; /* no such connection */
    bench_in(&b, frame, frame_error4(3, 1, 0, IPPROTO_TCP, "192.0.2.2"));
    assert_int_equal(b.icmp_tcp, 1);
    expect_nothing(&b);
    bench_close(&b);
}

static void errors_of_other_shards_are_forwarded(void **state)
{
    (void)state;
    open_both();
    b.shard_of_flows = 1;
    bench_in(&b, frame, frame_error4(3, 1, 0, IPPROTO_TCP, "192.0.2.2"));
    assert_int_equal(b.forwarded, 1);
    assert_int_equal(b.forwarded_to, 1);
    bench_in_on(&b, WEIR_IFACE_WIRE, frame, frame_error4(3, 1, 0, IPPROTO_TCP, "192.0.2.2"),
                WEIR_PKT_FORWARDED);
    assert_int_equal(b.forwarded, 1);
    assert_int_equal(b.icmp_tcp, 0);
    bench_close(&b);
}

static void pmtu_shrinks_and_grows_again(void **state)
{
    struct weir_path path;

    (void)state;
    open_both();
    flow_open("192.0.2.2", "203.0.113.9");
    assert_int_equal(bench_path(&b, &path, "203.0.113.9"), 0);
    assert_int_equal(path.mtu, 1500);
    tcp.snd_una = 1001; /* quotes what is acknowledged: forged, or late */
    bench_in(&b, frame, frame_error4(3, 4, 1400, IPPROTO_TCP, "192.0.2.2"));
    weir_path_refresh(&b.native, &path);
    assert_int_equal(path.mtu, 1500);
    tcp.snd_una = 1000;
    bench_in(&b, frame, frame_error4(3, 4, 1400, IPPROTO_TCP, "192.0.2.2"));
    assert_int_equal(b.icmp_error, -EMSGSIZE);
    assert_int_equal(b.icmp_mtu, 1400);
    assert_int_equal(weir_path_refresh(&b.native, &path), 0);
    assert_int_equal(path.mtu, 1400);
    assert_int_equal(bench_send(&b, &path, 1381), -EMSGSIZE);
    bench_in(&b, frame, frame_error4(3, 4, 1450, IPPROTO_TCP, "192.0.2.2")); /* not upwards */
    weir_path_refresh(&b.native, &path);
    assert_int_equal(path.mtu, 1400);
    bench_in(&b, frame, frame_error4(3, 4, 68, IPPROTO_TCP, "192.0.2.2"));
    weir_path_refresh(&b.native, &path);
    assert_int_equal(path.mtu, WEIR_PMTU_MIN4);
    bench_pass(&b, WEIR_SEC(601));
    assert_int_equal(weir_path_refresh(&b.native, &path), 0);
    assert_int_equal(path.mtu, 1500);
    bench_in(&b, frame, frame_error4(3, 4, 0, IPPROTO_TCP, "192.0.2.2")); /* does not say */
    weir_path_refresh(&b.native, &path);
    assert_int_equal(path.mtu, 1492);
    weir_path_close(&b.native, &path);
    bench_close(&b);
}

static void pmtu6_has_a_floor(void **state)
{
    struct weir_path path;
    size_t len;

    (void)state;
    open_both();
    flow_open("2001:db8::2", "2001:db9::9");
    assert_int_equal(bench_path(&b, &path, "2001:db9::9"), 0);
    for (uint32_t mtu = 1400; mtu >= 1000; mtu -= 200) {
        len = frame_ip6("2001:db8::1", "2001:db8::2", IPPROTO_ICMPV6, 8 + 40 + 8);
        frame[54] = 2;
        frame[55] = 0;
        weir_put32(frame + 58, mtu);
        put_ip6(frame + 62, "2001:db8::2", "2001:db9::9", IPPROTO_TCP, 64, 1460);
        weir_put16(frame + 102, 4000);
        weir_put16(frame + 104, 80);
        weir_put32(frame + 106, 1000);
        put_icmp6_sum(frame + 14, 56);
        bench_in(&b, frame, len);
        weir_path_refresh(&b.native, &path);
        assert_int_equal(path.mtu, mtu > 1280 ? mtu : 1280);
    }
    weir_path_close(&b.native, &path);
    bench_close(&b);
}

/* More destinations than places: the cache stays as big as it is, and every path has an MTU. */
static void pmtus_are_bounded(void **state)
{
    unsigned known = 0;

    (void)state;
    open_both();
    for (uint32_t i = 0; i < 4 * WEIR_PMTU_SETS * WEIR_PMTU_WAYS; i++) {
        struct weir_ip to = weir_ip_v4(htonl(0x0a000000 + i));

        assert_int_equal(weir_pmtu_learn(&b.native, &to, 1300), 1300);
        assert_int_equal(weir_pmtu_find(&b.native, &to, 1500), 1300);
    }
    for (uint32_t i = 0; i < 4 * WEIR_PMTU_SETS * WEIR_PMTU_WAYS; i++) {
        struct weir_ip to = weir_ip_v4(htonl(0x0a000000 + i));

        known += weir_pmtu_find(&b.native, &to, 1500) == 1300;
    }
    assert_in_range(known, WEIR_PMTU_SETS, WEIR_PMTU_SETS * WEIR_PMTU_WAYS);
    bench_close(&b);
}

/* A kernel left the checksum to a device that does not do it. */
static void partial_checksums_are_noticed(void **state)
{
    struct weir_ip source = bench_ip("192.0.2.9"), target = bench_ip("192.0.2.2");
    struct weir_pkt *pkt;
    uint16_t sum = weir_sum_fold(weir_pseudo_sum(&source, &target, IPPROTO_TCP, 20));
    size_t len;

    (void)state;
    open_both();
    len = frame_ip4("192.0.2.9", "192.0.2.2", IPPROTO_TCP, 20);
    memcpy(frame + 34 + 16, &sum, 2);
    pkt = weir_pkt_get(&b.native.pkts);
    memcpy(pkt->buf.data, frame, len);
    pkt->buf.len = (uint32_t)len;
    pkt->l3 = 14;
    pkt->l4 = 34;
    assert_true(weir_ip_is_partial_csum(&b.native, pkt));
    assert_int_equal(b.native.stats.partial_csum, 1);
    assert_int_equal(b.said, 1);
    pkt->buf.data[50] ^= 1;
    assert_false(weir_ip_is_partial_csum(&b.native, pkt));
    weir_pkt_free(pkt);
    bench_close(&b);
}

/* Whatever comes in, nothing breaks and no packet is lost. */
static void noise_is_harmless(void **state)
{
    uint64_t seed = random_seed();

    (void)state;
    open_both();
    know6("2001:db8::9");
    for (uint64_t round = random_rounds(20000, 2000000); round > 0; round--) {
        static const uint8_t protocols[] = { 1, 6, 17, 58, 0, 44, 60, 43, 99 };
        size_t payload = random_below(&seed, 200), len;
        uint8_t protocol = protocols[random_below(&seed, sizeof protocols)];

        if (random_below(&seed, 2))
            len = frame_ip4("192.0.2.9", "192.0.2.2", protocol, payload);
        else
            len = frame_ip6("2001:db8::9", "2001:db8::2", protocol, payload);
        for (uint64_t i = random_below(&seed, 12); i > 0; i--)
            frame[12 + random_below(&seed, len - 12)] = (uint8_t)random_next(&seed);
        bench_in_on(&b, WEIR_IFACE_WIRE, frame, len - random_below(&seed, 3),
                    random_below(&seed, 2) ? WEIR_PKT_IP_GOOD : 0);
        if (random_below(&seed, 100) == 0)
            bench_pass(&b, (weir_time)random_below(&seed, (uint64_t)WEIR_SEC(10)));
        b.read[1] = b.sent[1];
    }
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(padding_is_cut),
        cmocka_unit_test(options_are_skipped),
        cmocka_unit_test(broken_headers_are_dropped),
        cmocka_unit_test(impossible_sources_are_dropped),
        cmocka_unit_test(others_targets_are_dropped),
        cmocka_unit_test(broadcasts_are_for_udp),
        cmocka_unit_test(ip6_is_checked),
        cmocka_unit_test(echo4),
        cmocka_unit_test(echo6),
        cmocka_unit_test(echo_leaves_a_shared_request_alone),
        cmocka_unit_test(unknown_protocols_are_told),
        cmocka_unit_test(errors_have_limits),
        cmocka_unit_test(port_unreachable),
        cmocka_unit_test(errors_reach_their_transport),
        cmocka_unit_test(errors_of_other_shards_are_forwarded),
        cmocka_unit_test(pmtu_shrinks_and_grows_again),
        cmocka_unit_test(pmtu6_has_a_floor),
        cmocka_unit_test(pmtus_are_bounded),
        cmocka_unit_test(partial_checksums_are_noticed),
        cmocka_unit_test(noise_is_harmless),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
