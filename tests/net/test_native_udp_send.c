/* test_native_udp_send.c - UDP on our own IP: checksums both ways, what can be sent, and waiting.
 */
#include "tests/net/native_udp.h"

/* --- checksums and lengths --- */

static void arrive_changed(struct weir_udp *udp, bool v6, unsigned at, uint16_t flip, bool good)
{
    struct weir_flow_key key =
        v6 ? flow("[fd00::1]:53", "[fd00::9]:7") : flow("10.0.0.1:53", "10.0.0.9:7");
    struct weir_pkt *pkt = datagram(&key, 5);
    uint16_t word;

    memcpy(&word, pkt->buf.data + at, 2);
    word = at == 38 && flip == 0 ? 0 : word ^ flip;
    memcpy(pkt->buf.data + at, &word, 2);
    weir_udp_input(native[0], &native[0]->iface[0], pkt);
    assert_int_equal(got(udp), good ? 5 : -1);
}

static void bad_datagrams_are_dropped(void)
{
    struct weir_udp *udp;

    assert_int_equal(try_open(0, &udp, "[::]:53", true), 0);
    for (int v6 = 0; v6 <= 1; v6++) {
        arrive_changed(udp, v6, 40, 0, true);
        arrive_changed(udp, v6, 40, 1, false);        /* the bytes */
        arrive_changed(udp, v6, 38, 0x0100, false);   /* the sum */
        arrive_changed(udp, v6, 36, htons(1), false); /* the length */
        arrive_changed(udp, v6, 36, htons(8), false); /* ... is less than the header's */
        arrive_changed(udp, v6, 38, 0, !v6);          /* there is none */
    }
    assert_int_equal(native[0]->stats.udp_bad, 4 + 5);
    assert_true(partials > 0);
    shut(udp);
}

/* What we send can be received, whatever its length and bytes, one whose sum is 0 included. */
static void sums_are_right(void)
{
    struct weir_udp *a = sock(0, "10.0.0.1:1000"), *a6 = sock(0, "[fd00::1]:1000");
    uint8_t data[64] = { 0 };

    for (unsigned round = 0; round < 2000; round++) {
        bool v6 = round & 1;
        struct weir_udp *udp = v6 ? a6 : a;
        struct weir_udp_io io = { .udp = udp, .count = 1 };
        struct weir_datagram one = { .data = data, .len = round < 4 ? 0 : 2 + round % 60 };
        uint16_t field;

        assert_int_equal(weir_addr_parse(&one.peer, v6 ? "[fd00::1]:1000" : "10.0.0.1:1000"), 0);
        data[0] = (uint8_t)weir_random(256);
        io.from = &one;
        udp->tx = &io;
        udp->stack->udp->send(&io);
        assert_int_equal(io.future.result, 1);
        assert_int_equal(wire_count, 1);
        memcpy(&field, wire[0]->buf.data + 38, 2);
        assert_int_not_equal(field, 0);
        wire_count = 0;
        weir_udp_input(native[0], &native[0]->iface[0], wire[0]);
        assert_int_equal(got(udp), (int64_t)one.len);
    }
    assert_int_equal(native[0]->stats.udp_bad, 0);
    shut(a);
    shut(a6);
}

/* RFC 768: a computed sum of 0 goes out as all ones. */
static void a_sum_of_zero_is_sent_as_ones(void)
{
    struct weir_udp *a = sock(0, "10.0.0.1:1000");
    struct weir_datagram one = { .data = (uint16_t[1]){ 0 }, .len = 2 };
    struct weir_udp_io io = { .udp = a, .from = &one, .count = 1 };
    uint16_t field;

    assert_int_equal(weir_addr_parse(&one.peer, "10.0.0.9:7"), 0);
    for (int round = 0; round < 2; round++) { /* what is the sum of the rest? then: that */
        io.moved = 0;
        a->tx = &io;
        a->stack->udp->send(&io);
        assert_int_equal(io.future.result, 1);
        memcpy(&field, wire[0]->buf.data + 38, 2);
        weir_pkt_free(wire[0]);
        wire_count = 0;
        memcpy(one.data, &field, 2);
    }
    assert_int_equal(field, 0xffff);
    shut(a);
}

/* The device makes it: the field holds the sum of the pseudo-header. */
static void devices_make_the_sum(void)
{
    struct weir_udp *a = sock(0, "10.0.0.1:1000");
    struct weir_datagram one = { .data = (char[]){ "abcde" }, .len = 5 };
    struct weir_udp_io io = { .udp = a, .from = &one, .count = 1 };
    uint32_t sum = weir_pseudo_sum(own_ip(false), own_ip(false), IPPROTO_UDP, 13);
    uint16_t field;

    device.caps = WEIR_DEV_TX_L4_CSUM;
    assert_int_equal(weir_addr_parse(&one.peer, "10.0.0.1:1000"), 0);
    a->tx = &io;
    a->stack->udp->send(&io);
    memcpy(&field, wire[0]->buf.data + 38, 2);
    assert_int_equal(field, weir_sum_fold(sum));
    assert_true(wire[0]->flags & WEIR_PKT_L4_CSUM);
    assert_memory_equal(wire[0]->buf.data + 40, "abcde", 5);
    weir_pkt_free(wire[0]);
    wire_count = 0;
    shut(a);
}

static void what_cannot_be_sent_is_told(void)
{
    struct weir_udp *a = sock(0, "*:0"), *a6 = sock(0, "[::]:0");

    assert_int_equal(send_len(a, NULL, 1), -EDESTADDRREQ);
    assert_int_equal(send_len(a, "10.0.0.9:7", MTU - 28), 1);
    assert_int_equal(send_len(a, "10.0.0.9:7", MTU - 27), -EMSGSIZE);
    assert_int_equal(send_len(a6, "[fd00::9]:7", MTU - 48), 1);
    assert_int_equal(send_len(a6, "[fd00::9]:7", MTU - 47), -EMSGSIZE);
    assert_int_equal(send_len(a, "203.0.113.1:7", 1), -ENETUNREACH);
    assert_int_equal(send_len(a, "10.0.0.9:0", 1), -EINVAL);
    assert_int_equal(send_len(a, "255.255.255.255:7", 1), -EACCES);
    assert_int_equal(send_len(a, "[fd00::9]:7", 1), -EAFNOSUPPORT);
    assert_int_equal(send_len(a6, "10.0.0.9:7", 1), -ENETUNREACH);
    send_error = -EHOSTUNREACH;
    assert_int_equal(send_len(a, "10.0.0.9:7", 1), -EHOSTUNREACH);
    send_error = -ENOBUFS; /* lost, as on any network */
    assert_int_equal(send_len(a, "10.0.0.9:7", 1), 1);
    shut(a);
    shut(a6);
}

/* More hosts than ways are kept for; all of them are given back. */
static void ways_are_bounded(void)
{
    struct weir_udp *a = sock(0, "*:0");
    char text[WEIR_ADDR_TEXT];

    for (unsigned i = 0; i < 1000; i++) {
        snprintf(text, sizeof text, "10.1.%u.%u:7", i / 200, 1 + i % 200);
        assert_int_equal(send_len(a, text, 1), 1);
        assert_true(paths_open <= WEIR_UDP_PATHS);
    }
    assert_true(paths_open > WEIR_UDP_PATHS / 2);
    shut(a);
}

/* --- waiting --- */

static void a_sender_waits_for_packets(void)
{
    static struct weir_datagram many[10];
    static char byte;
    struct weir_udp *a = sock(0, "*:0");
    struct weir_udp_io io;

    peer(a, "10.0.0.9:7");
    packets_max = 4;
    for (unsigned i = 0; i < WEIR_COUNT(many); i++)
        many[i] = (struct weir_datagram){ .data = &byte, .len = 1 };
    weir_udp_send_start(&io, a, many, WEIR_COUNT(many));
    assert_false(io.future.done);
    assert_int_equal(io.moved, 4);
    assert_int_equal(weir_udp_send(a, many, 1, WEIR_NEVER), -EBUSY);
    weir_sleep(WEIR_MS(10));
    assert_int_equal(io.moved, 4);
    weir_pkt_free(wire[--wire_count]);
    weir_sleep(WEIR_MS(10));
    assert_int_equal(io.moved, 5);
    assert_int_equal(weir_await(&io.future, weir_after(WEIR_MS(5))), -ETIMEDOUT);
    weir_udp_send_start(&io, a, many, WEIR_COUNT(many));
    packets_max = WIRE;
    assert_int_equal(weir_await(&io.future, WEIR_NEVER), WEIR_COUNT(many));
    packets_max = packets_out;
    weir_udp_send_start(&io, a, many, WEIR_COUNT(many));
    weir_udp_close(a);
    assert_false(io.future.done);
    assert_int_equal(weir_await(&io.future, WEIR_NEVER), -ECANCELED);
    while (wire_count > 0)
        weir_pkt_free(wire[--wire_count]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(bad_datagrams_are_dropped),     CASE(sums_are_right),
        CASE(a_sum_of_zero_is_sent_as_ones), CASE(devices_make_the_sum),
        CASE(what_cannot_be_sent_is_told),   CASE(ways_are_bounded),
        CASE(a_sender_waits_for_packets),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
