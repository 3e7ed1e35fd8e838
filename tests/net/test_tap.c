/* test_tap.c - the tap device against the kernel on its other side, in a network namespace. */
#include "net/dev_peer.h"

#include "net/dev/tap.c"

#define HOST ",host=" PEER_HOST "/24,host=" PEER_HOST6 "/64"

static void open_tap(struct peer *p, const char *spec, unsigned queues, uint32_t pkts)
{
    char why[512] = "";
    struct weir_dev *dev;

    if (weir_tap_open(&dev, spec, queues, 0, why, sizeof why) < 0)
        fail_msg("%s: %s", spec, why);
    peer_open(p, dev, pkts);
}

/* --- frames both ways --- */

static void kernel_answers(void **state)
{
    struct peer p;

    (void)state;
    open_tap(&p, "weir0" HOST, 1, 64);
    assert_int_equal(p.dev->mtu, 1500);
    assert_string_equal(p.dev->name, "tap weir0");
    peer_meet(&p);
    peer_ping(&p, 0, 1, 0);
    peer_ping(&p, 0, 2, 1472);
    assert_true(p.queue[0]->stats.tx_packets >= 3 && p.queue[0]->stats.rx_packets >= 3);
    peer_close(&p);
}

static void kernel_names_it(void **state)
{
    struct peer p;

    (void)state;
    open_tap(&p, "", 1, 64);
    assert_int_equal(strncmp(p.dev->name, "tap tap", 7), 0);
    peer_close(&p);
}

static void checksums_are_left_to_the_kernel(void **state)
{
    struct peer p;

    (void)state;
    open_tap(&p, "weir0" HOST, 1, 64);
    assert_true(p.dev->caps & WEIR_DEV_TX_L4_CSUM);
    peer_meet(&p);
    for (int v6 = 0; v6 <= 1; v6++) {
        int fd = peer_socket(v6, SOCK_DGRAM);

        peer_udp_arrives(&p, 0, v6, fd, "left to the kernel", true);
        peer_udp_arrives(&p, 0, v6, fd, "done by ourselves", false);
        close(fd);
    }
    peer_close(&p);
}

/* What the kernel sends has no checksum yet, and says so. */
static void checksums_are_taken_as_good(void **state)
{
    struct sockaddr_in to = peer_addr(9);
    struct weir_pkt *pkt;
    struct peer p;
    int fd;

    (void)state;
    open_tap(&p, "weir0" HOST, 1, 64);
    peer_meet(&p);
    fd = peer_socket(false, SOCK_DGRAM);
    assert_int_equal(sendto(fd, "x", 1, 0, (void *)&to, sizeof to), 1);
    pkt = peer_await(&p, peer_is_udp, NULL);
    assert_int_equal(pkt->flags, WEIR_PKT_L4_GOOD);
    weir_pkt_free(pkt);
    close(fd);
    peer_close(&p);
}

static void long_segments_go_both_ways(void **state)
{
    static uint8_t data[60000];
    uint32_t got = 0, longest = 0;
    struct peer_tcp tcp;
    struct peer p;

    (void)state;
    open_tap(&p, "weir0" HOST, 1, 256);
    assert_true(p.dev->caps & WEIR_DEV_TX_TSO);
    peer_meet(&p);
    peer_connect(&p, &tcp, true);
    peer_fill(data, sizeof data);
    peer_send_tso(&p, &tcp, data, 40000, 1400, 1448);
    peer_expect(tcp.fd, data, 40000);
    peer_send_tso(&p, &tcp, data, 100, 30, 1448); /* less than a segment */
    peer_expect(tcp.fd, data, 100);

    assert_int_equal(send(tcp.fd, data, sizeof data, 0), sizeof data);
    while (got < sizeof data) {
        struct weir_pkt *pkt = peer_await(&p, peer_is_tcp, NULL);
        const peer_tcphdr *head = peer_ip4_of(pkt, IPPROTO_TCP);
        const uint8_t *payload = (const uint8_t *)head + head->doff * 4;
        uint32_t len = (uint32_t)(pkt->buf.data + pkt->buf.len - payload);

        if (len > 0 && ntohl(head->seq) == tcp.ack) {
            assert_true(pkt->flags & WEIR_PKT_L4_GOOD);
            assert_true((pkt->flags & WEIR_PKT_GSO) || len <= 1460);
            assert_memory_equal(payload, data + got, len);
            if (pkt->flags & WEIR_PKT_GSO)
                assert_int_equal(pkt->gso_size, 1460);
            longest = len > longest ? len : longest;
            got += len;
            tcp.ack += len;
        }
        weir_pkt_free(pkt);
        pkt = peer_segment(&p, &tcp, TH_ACK, "", 0, 0);
        peer_checksum(pkt, &peer_tcp_head(pkt)->check, IPPROTO_TCP, false);
        peer_send(&p, 0, pkt);
    }
    assert_true(longest > 2 * 1460);
    close(tcp.fd);
    peer_close(&p);
}

/* --- queues --- */

/* The queue where a datagram from the kernel to `port` comes in. */
static unsigned queue_of_flow(struct peer *p, int fd, uint16_t port)
{
    struct sockaddr_in to = peer_addr(port);

    assert_int_equal(sendto(fd, "x", 1, 0, (void *)&to, sizeof to), 1);
    weir_pkt_free(peer_await(p, peer_is_udp, &port));
    return p->at;
}

static void flows_come_where_they_were_sent_from(void **state)
{
    unsigned moved = 0;
    struct peer p;
    int fd;

    (void)state;
    open_tap(&p, "weir0" HOST, 4, 64);
    peer_meet(&p);
    fd = peer_socket(false, SOCK_DGRAM);
    for (uint16_t port = 100; port < 120; port++) {
        unsigned queue = port % 4;

        moved += queue_of_flow(&p, fd, port) != queue;
        peer_send(&p, queue, peer_udp(&p, false, port, "y", 1, true));
        peer_expect(fd, "y", 1);
        assert_int_equal(queue_of_flow(&p, fd, port), queue);
    }
    assert_true(moved > 0);
    close(fd);
    peer_close(&p);
}

static void closed_queue_gets_nothing(void **state)
{
    char why[512];
    struct peer p;
    int fd;

    (void)state;
    open_tap(&p, "weir0" HOST, 4, 64);
    peer_meet(&p);
    fd = peer_socket(false, SOCK_DGRAM);
    for (unsigned i = 1; i < 4; i++)
        p.dev->ops->queue_close(p.queue[i]);
    p.dev->queues = 1;
    for (uint16_t port = 200; port < 216; port++)
        assert_int_equal(queue_of_flow(&p, fd, port), 0);
    p.dev->queues = 4;
    for (unsigned i = 1; i < 4; i++)
        assert_int_equal(
            p.dev->ops->queue_open(p.dev, i, &p.shard, &p.pkts, &p.queue[i], why, sizeof why), 0);
    peer_send(&p, 3, peer_udp(&p, false, 300, "y", 1, true));
    assert_int_equal(queue_of_flow(&p, fd, 300), 3);
    close(fd);
    peer_close(&p);
}

/* --- bounds --- */

/* The kernel sends a frame of `len` bytes. */
static void kernel_sends(int fd, size_t len)
{
    static const uint8_t zeros[65536];
    struct sockaddr_in to = peer_addr(9);
    size_t headers = sizeof(struct ethhdr) + sizeof(peer_iphdr) + sizeof(struct udphdr);

    assert_int_equal(sendto(fd, zeros, len - headers, 0, (void *)&to, sizeof to), len - headers);
}

static void frames_of_any_length_come_in(void **state)
{
    static const uint32_t lens[] = {
        60, WEIR_PKT_ROOM - 1, WEIR_PKT_ROOM, WEIR_PKT_ROOM + 1, 9014, 65521
    };
    struct peer p;
    int fd;

    (void)state;
    open_tap(&p, "weir0,mtu=65521" HOST, 1, 64);
    assert_int_equal(p.dev->mtu, 65521);
    peer_meet(&p);
    fd = peer_socket(false, SOCK_DGRAM);
    for (size_t i = 0; i < WEIR_COUNT(lens); i++) {
        struct weir_pkt *pkt;

        kernel_sends(fd, lens[i]);
        pkt = peer_await(&p, peer_is_udp, NULL);
        assert_int_equal(pkt->buf.len, lens[i]);
        assert_false(pkt->flags & WEIR_PKT_GSO);
        weir_pkt_free(pkt);
    }
    close(fd);
    peer_close(&p);
}

static void big_buffers_have_a_bound(void **state)
{
    struct weir_pkt *held[WEIR_TAP_BIG], *pkt;
    uint64_t dropped;
    struct peer p;
    int fd;

    (void)state;
    open_tap(&p, "weir0,mtu=9000" HOST, 1, WEIR_TAP_BIG);
    peer_meet(&p);
    fd = peer_socket(false, SOCK_DGRAM);
    for (unsigned i = 0; i < WEIR_TAP_BIG; i++) {
        kernel_sends(fd, 3000);
        held[i] = peer_await(&p, peer_is_udp, NULL);
    }
    dropped = p.queue[0]->stats.rx_dropped;
    kernel_sends(fd, 3000);
    kernel_sends(fd, WEIR_PKT_ROOM); /* this one needs none */
    pkt = peer_await(&p, peer_is_udp, NULL);
    assert_int_equal(pkt->buf.len, WEIR_PKT_ROOM);
    weir_pkt_free(pkt);
    assert_int_equal(p.queue[0]->stats.rx_dropped, dropped + 1);
    weir_pkt_free(held[0]);
    kernel_sends(fd, 3000);
    held[0] = peer_await(&p, peer_is_udp, NULL);
    assert_int_equal(held[0]->buf.len, 3000);
    for (unsigned i = 0; i < WEIR_TAP_BIG; i++)
        weir_pkt_free(held[i]);
    close(fd);
    peer_close(&p);
}

static void frames_wait_for_packets(void **state)
{
    struct weir_pkt *held, *none;
    struct peer p;
    int fd;

    (void)state;
    open_tap(&p, "weir0" HOST, 1, 1);
    peer_meet(&p);
    fd = peer_socket(false, SOCK_DGRAM);
    kernel_sends(fd, 60);
    held = peer_await(&p, peer_is_udp, NULL);
    kernel_sends(fd, 61);
    assert_int_equal(p.dev->ops->rx(p.queue[0], &none, 1), 0);
    weir_pkt_free(held);
    held = peer_await(&p, peer_is_udp, NULL);
    assert_int_equal(held->buf.len, 61);
    weir_pkt_free(held);
    close(fd);
    peer_close(&p);
}

static void pieces_have_a_bound(void **state)
{
    uint8_t data[TAP_PIECES];
    struct peer_tcp tcp;
    struct peer p;

    (void)state;
    open_tap(&p, "weir0" HOST, 1, 2 * TAP_PIECES);
    peer_meet(&p);
    peer_connect(&p, &tcp, true);
    peer_fill(data, sizeof data);
    peer_send_tso(&p, &tcp, data, TAP_PIECES - 1, 1, 1448);
    peer_expect(tcp.fd, data, TAP_PIECES - 1);
    assert_int_equal(p.queue[0]->stats.tx_dropped, 0);
    peer_send_tso(&p, &tcp, data, TAP_PIECES, 1, 1448);
    assert_int_equal(p.queue[0]->stats.tx_dropped, 1);
    assert_true(p.pkts.pool.live <= 1); /* all of it has come back; one is to be read into */
    close(tcp.fd);
    peer_close(&p);
}

/* Another owner still reads it: it is sent, and not given back. */
static void one_owner_is_taken(void **state)
{
    struct weir_pkt *pkt;
    struct peer p;
    int fd;

    (void)state;
    open_tap(&p, "weir0" HOST, 1, 64);
    peer_meet(&p);
    fd = peer_socket(false, SOCK_DGRAM);
    pkt = peer_udp(&p, false, 9, "twice", 5, true);
    pkt->buf.refs = 2;
    peer_send(&p, 0, pkt);
    peer_expect(fd, "twice", 5);
    assert_int_equal(pkt->buf.refs, 1);
    peer_send(&p, 0, pkt);
    peer_expect(fd, "twice", 5);
    close(fd);
    peer_close(&p);
}

/* --- what can happen to it --- */

static void interface_goes_down(void **state)
{
    struct peer p;

    (void)state;
    open_tap(&p, "weir0" HOST, 1, 64);
    peer_meet(&p);
    assert_int_equal(peer_command("ip link set weir0 down"), 0);
    for (int i = 0; i < 2; i++)
        peer_send(&p, 0, peer_udp(&p, false, 9, "x", 1, true));
    assert_int_equal(p.queue[0]->stats.tx_dropped, 2);
    assert_int_equal(peer_command("ip link set weir0 up"), 0);
    peer_close(&p);
}

static void interface_is_deleted(void **state)
{
    struct weir_pkt *none;
    struct pollfd fd = { .events = POLLIN };
    struct peer p;

    (void)state;
    open_tap(&p, "weir0" HOST, 2, 64);
    assert_int_equal(peer_command("ip link del weir0"), 0);
    for (unsigned i = 0; i < 2; i++) {
        for (int round = 0; round < 2; round++)
            assert_int_equal(p.dev->ops->rx(p.queue[i], &none, 1), 0);
        fd.fd = p.queue[i]->fd;
        assert_int_equal(poll(&fd, 1, 0), 0); /* nobody is woken again and again */
        peer_send(&p, i, peer_udp(&p, false, 9, "x", 1, true));
        assert_int_equal(p.queue[i]->stats.tx_dropped, 1);
    }
    peer_close(&p);
}

static void mac_stays_the_same(void **state)
{
    static const uint8_t given[6] = { 2, 0, 0, 0, 0, 0x17 };
    uint8_t first[6];
    struct peer p;

    (void)state;
    open_tap(&p, "weir0" HOST, 1, 64);
    memcpy(first, p.dev->mac, 6);
    assert_int_equal(first[0] & 3, 2);
    peer_meet(&p);
    assert_memory_not_equal(first, p.host_mac, 6);
    peer_close(&p);
    open_tap(&p, "weir0", 1, 64);
    assert_memory_equal(first, p.dev->mac, 6);
    peer_close(&p);
    open_tap(&p, "weir1", 1, 64);
    assert_memory_not_equal(first, p.dev->mac, 6);
    peer_close(&p);
    open_tap(&p, "weir1,mac=02:00:00:00:00:17", 1, 64);
    assert_memory_equal(given, p.dev->mac, 6);
    peer_close(&p);
}

/* --- the MTU --- */

static int kernel_mtu(const char *name)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq request = { .ifr_mtu = 0 };

    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
    assert_int_equal(ioctl(fd, SIOCGIFMTU, &request), 0);
    close(fd);
    return request.ifr_mtu;
}

static void both_sides_get_the_mtu(void **state)
{
    static const struct {
        const char *spec;
        uint16_t mtu, becomes;
    } tries[] = {
        { "tap:weir0", 0, 1500 },          { "tap:weir0", 9000, 9000 },
        { "tap:weir0", 68, 68 },           { "tap:weir0", 65521, 65521 },
        { "tap:weir0,mtu=1400", 0, 1400 }, { "tap:weir0,mtu=1400", 1400, 1400 },
    };

    (void)state;
    for (size_t i = 0; i < WEIR_COUNT(tries); i++) {
        struct weir_dev_config config = { .spec = tries[i].spec, .queues = 1, .mtu = tries[i].mtu };
        struct weir_dev *dev;
        char why[512] = "";

        if (weir_dev_open(&dev, &config, why, sizeof why) < 0)
            fail_msg("%s with %u: %s", tries[i].spec, tries[i].mtu, why);
        assert_int_equal(dev->mtu, tries[i].becomes);
        assert_int_equal(kernel_mtu("weir0"), tries[i].becomes);
        weir_dev_close(dev);
    }
}

/* Longer than an MTU of 1,500 would let through in one piece; the answer, too. */
static void long_packets_go_through(void **state)
{
    struct weir_dev_config config = { .spec = "tap:weir0" HOST, .queues = 1, .mtu = 9000 };
    char why[512] = "";
    struct weir_dev *dev;
    struct peer p;

    (void)state;
    if (weir_dev_open(&dev, &config, why, sizeof why) < 0)
        fail_msg("%s", why);
    peer_open(&p, dev, 64);
    peer_meet(&p);
    peer_ping(&p, 0, 1, WEIR_PKT_ROOM - 14 - 28);
    peer_close(&p);
}

/* --- errors --- */

static void expect_error_mtu(const char *spec, unsigned queues, uint16_t mtu, int error,
                             const char *text)
{
    struct weir_dev *dev = NULL;
    char why[512] = "";

    assert_int_equal(weir_tap_open(&dev, spec, queues, mtu, why, sizeof why), error);
    if (!strstr(why, text) || strchr(why, '\n'))
        fail_msg("%s: \"%s\" has no \"%s\"", spec, why, text);
}

static void expect_error(const char *spec, unsigned queues, int error, const char *text)
{
    expect_error_mtu(spec, queues, 0, error, text);
}

static void wrong_mtu_is_said(void **state)
{
    (void)state;
    expect_error_mtu("weir0", 1, 67, -EINVAL, "68 to 65521");
    expect_error_mtu("weir0", 1, 65522, -EINVAL, "68 to 65521");
    expect_error_mtu("weir0,mtu=1400", 1, 1500, -EINVAL, "give one of them");
}

static void bad_text_is_said(void **state)
{
    static const char *const bad[] = {
        "name-of-16-bytes",
        "a/b",
        "a b",
        "a:b",
        ".",
        "t,",
        "t,x",
        "t,host=",
        "t,host=10.0.0.1",
        "t,host=/24",
        "t,host=::1/0",
        "t,host=10.0.0.1/33",
        "t,host=1.2.3/8",
        "t,mtu=",
        "t,mtu=67",
        "t,mtu=65522",
        "t,mtu=-1",
        "t,mtu=1x",
        "t,mac=1",
        "t,mac=01:00:00:00:00:00",
        "t,host=::1/129",
        "t,host=x/1",
        "t,mac=02:00:00:00:00:00x",
    };

    (void)state;
    for (size_t i = 0; i < WEIR_COUNT(bad); i++)
        expect_error(bad[i], 1, -EINVAL, "it goes like tap:weir0");
}

static void taken_tap_is_said(void **state)
{
    struct peer p;

    (void)state;
    open_tap(&p, "weir0", 1, 64);
    expect_error("weir0", 1, -EBUSY, "choose another name");
    expect_error("weir0", 2, -EINVAL, "no multi-queue tap");
    peer_close(&p);
}

static void other_interface_is_said(void **state)
{
    (void)state;
    expect_error("lo", 1, -EINVAL, "it is no tap");
}

static void multi_queue_tap_serves_one(void **state)
{
    struct peer p;

    (void)state;
    if (peer_command("ip tuntap add weir0 mode tap multi_queue") != 0)
        skip();
    open_tap(&p, "weir0" HOST, 1, 64);
    peer_meet(&p);
    peer_close(&p);
    open_tap(&p, "weir0" HOST, 3, 64);
    peer_meet(&p);
    peer_close(&p);
    assert_int_equal(peer_command("ip tuntap del weir0 mode tap multi_queue"), 0);
}

static void open_as_nobody(void *arg)
{
    struct weir_dev *dev;
    char why[512] = "";

    if (setgid(65534) < 0 || setuid(65534) < 0)
        _exit(3);
    weir_tap_open(&dev, arg, 1, 0, why, sizeof why);
    fprintf(stderr, "%s\n", why);
}

static void missing_permission_is_said(void **state)
{
    static char spec[] = "weir7";
    char said[1024];
    int status = child_run(open_as_nobody, spec, said, sizeof said);

    (void)state;
    if (WEXITSTATUS(status) == 3)
        skip();
    if (!strstr(said, "CAP_NET_ADMIN") || !strstr(said, "ip tuntap add weir7"))
        fail_msg("%s", said);
}

/* The one who may use the tap, but not set it up. */
static void open_as_owner(void *arg)
{
    const uint16_t *mtu = arg;
    struct weir_dev *dev;
    char why[512] = "";

    if (setgid(65534) < 0 || setuid(65534) < 0)
        _exit(3);
    if (weir_tap_open(&dev, "weir7", 1, *mtu, why, sizeof why) < 0)
        fprintf(stderr, "%s\n", why);
    else
        fprintf(stderr, "opened with %u\n", dev->mtu);
}

static void mtu_needs_permission_only_to_change(void **state)
{
    uint16_t other = 9000, same = 1400;
    char said[1024];
    int status;

    (void)state;
    if (peer_command("ip tuntap add weir7 mode tap user 65534") != 0 ||
        peer_command("ip link set weir7 mtu 1400 up") != 0)
        skip();
    status = child_run(open_as_owner, &same, said, sizeof said);
    if (WEXITSTATUS(status) == 3)
        skip();
    if (!strstr(said, "opened with 1400"))
        fail_msg("%s", said);
    child_run(open_as_owner, &other, said, sizeof said);
    if (!strstr(said, "not permitted to set mtu") || !strstr(said, "CAP_NET_ADMIN"))
        fail_msg("%s", said);
    assert_int_equal(peer_command("ip tuntap del weir7 mode tap"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kernel_answers),
        cmocka_unit_test(kernel_names_it),
        cmocka_unit_test(checksums_are_left_to_the_kernel),
        cmocka_unit_test(checksums_are_taken_as_good),
        cmocka_unit_test(long_segments_go_both_ways),
        cmocka_unit_test(flows_come_where_they_were_sent_from),
        cmocka_unit_test(closed_queue_gets_nothing),
        cmocka_unit_test(frames_of_any_length_come_in),
        cmocka_unit_test(big_buffers_have_a_bound),
        cmocka_unit_test(frames_wait_for_packets),
        cmocka_unit_test(pieces_have_a_bound),
        cmocka_unit_test(one_owner_is_taken),
        cmocka_unit_test(interface_goes_down),
        cmocka_unit_test(interface_is_deleted),
        cmocka_unit_test(mac_stays_the_same),
        cmocka_unit_test(both_sides_get_the_mtu),
        cmocka_unit_test(long_packets_go_through),
        cmocka_unit_test(wrong_mtu_is_said),
        cmocka_unit_test(mtu_needs_permission_only_to_change),
        cmocka_unit_test(bad_text_is_said),
        cmocka_unit_test(taken_tap_is_said),
        cmocka_unit_test(other_interface_is_said),
        cmocka_unit_test(multi_queue_tap_serves_one),
        cmocka_unit_test(missing_permission_is_said),
    };

    if (access("/dev/net/tun", R_OK | W_OK) < 0)
        return peer_skip("/dev/net/tun is not there");
    if (!peer_unshare())
        return peer_skip("network namespaces are not permitted");
    if (peer_command("ip link set lo up") != 0)
        return peer_skip("ip(8) is not there: iproute2");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
