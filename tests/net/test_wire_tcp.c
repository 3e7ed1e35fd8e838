/* test_wire_tcp.c - TCP and UDP headers, and the pseudo-header. */
#include "../core/testing.h"
#include <errno.h>
#include "net/native/checksum.h"
#include "net/native/tcp.h"
#include "net/native/wire/wire.h"

/* A segment of exactly these bytes, behind 34 bytes of other headers; parsed into *pkt. */
static int tcp_parse(struct weir_pkt *pkt, const uint8_t *segment, size_t len)
{
    uint8_t *data = malloc(34 + len);
    int rc;

    assert_non_null(data);
    memcpy(data + 34, segment, len);
    memset(pkt, 0x5a, sizeof *pkt);
    pkt->buf.data = data;
    pkt->buf.len = (uint32_t)(34 + len);
    pkt->l4 = 34;
    rc = weir_tcp_parse(pkt);
    pkt->buf.data = NULL;
    free(data);
    return rc;
}

/* The same for a header with these options and five bytes behind it. */
static int tcp_parse_options(struct weir_pkt *pkt, uint8_t flags, const uint8_t *options,
                             size_t len)
{
    uint8_t segment[65] = { 0, 80, 0x1f, 0x90 };

    segment[12] = (uint8_t)((20 + len) / 4 << 4);
    segment[13] = flags;
    memcpy(segment + 20, options, len);
    return tcp_parse(pkt, segment, 25 + len);
}

#define OPTIONS(pkt, flags, ...)                                    \
    tcp_parse_options(pkt, flags, (const uint8_t[]){ __VA_ARGS__ }, \
                      sizeof((const uint8_t[]){ __VA_ARGS__ }))

static void test_without_options(void **state)
{
    static const uint8_t segment[22] = { 0x12, 0x34, 0x56, 0x78, 1,    2, 3, 4, 5, 6,   7,
                                         8,    0x50, 0x98, 0xff, 0xfe, 0, 0, 0, 9, 'h', 'i' };
    struct weir_pkt pkt;

    (void)state;
    assert_int_equal(tcp_parse(&pkt, segment, sizeof segment), 0);
    assert_int_equal(pkt.rx.sport, 0x1234);
    assert_int_equal(pkt.rx.dport, 0x5678);
    assert_int_equal(pkt.rx.seq, 0x01020304);
    assert_int_equal(pkt.rx.ack, 0x05060708);
    assert_int_equal(pkt.rx.tcp_flags, 0x98);
    assert_int_equal(pkt.rx.window, 0xfffe);
    assert_int_equal(pkt.rx.urgent, 9);
    assert_int_equal(pkt.rx.off, 54);
    assert_int_equal(pkt.rx.len, 2);
    assert_int_equal(pkt.rx.mss, 0);
    assert_int_equal(pkt.rx.wscale, 255);
    assert_false(pkt.rx.has_ts || pkt.rx.sack_ok);
    assert_int_equal(pkt.rx.sack_at, 0);
    assert_int_equal(pkt.rx.sack_count, 0);
    for (size_t len = 0; len < 20; len++)
        assert_int_equal(tcp_parse(&pkt, segment, len), -EBADMSG);
    assert_int_equal(tcp_parse(&pkt, segment, 20), 0);
    assert_int_equal(pkt.rx.len, 0);
}

static void test_data_offset(void **state)
{
    uint8_t segment[60] = { 0 };
    struct weir_pkt pkt;

    (void)state;
    for (unsigned words = 0; words < 16; words++) {
        segment[12] = (uint8_t)(words << 4);
        assert_int_equal(tcp_parse(&pkt, segment, 60), words < 5 ? -EBADMSG : 0);
        if (words >= 5)
            assert_int_equal(tcp_parse(&pkt, segment, words * 4 - 1), -EBADMSG);
    }
    pkt.buf.len = 33; /* the packet ends before the segment begins */
    pkt.buf.data = segment;
    pkt.l4 = 34;
    assert_int_equal(weir_tcp_parse(&pkt), -EBADMSG);
}

static void check_ts(const struct weir_pkt *pkt, uint32_t val, uint32_t ecr)
{
    assert_true(pkt->rx.has_ts);
    assert_int_equal(pkt->rx.ts_val, val);
    assert_int_equal(pkt->rx.ts_ecr, ecr);
    assert_int_equal(pkt->rx.len, 5);
}

/* In the usual layout and in others. */
static void test_timestamps(void **state)
{
    struct weir_pkt pkt;

    (void)state;
    assert_int_equal(OPTIONS(&pkt, WEIR_ACK, 1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2), 0);
    check_ts(&pkt, 1, 2);
    assert_int_equal(OPTIONS(&pkt, WEIR_ACK, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0), 0);
    check_ts(&pkt, 1, 2);
    assert_int_equal(OPTIONS(&pkt, WEIR_ACK, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1), 0);
    check_ts(&pkt, 1, 2);
    assert_int_equal(OPTIONS(&pkt, WEIR_ACK, 1, 1, 8, 10, 0, 0, 0, 3, 0, 0, 0, 4, 1, 1, 1, 1), 0);
    check_ts(&pkt, 3, 4);
    assert_int_equal(OPTIONS(&pkt, WEIR_ACK, 1, 1, 8, 9, 0, 0, 0, 1, 0, 0, 0, 2), 0);
    assert_false(pkt.rx.has_ts); /* of a length that it cannot have */
}

static void test_options_of_a_syn(void **state)
{
    struct weir_pkt pkt;

    (void)state;
    for (int syn = 0; syn < 2; syn++) { /* elsewhere they mean nothing */
        assert_int_equal(OPTIONS(&pkt, syn ? WEIR_SYN : WEIR_ACK, 2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0,
                                 0, 1, 0, 0, 0, 0, 1, 3, 3, 7),
                         0);
        check_ts(&pkt, 1, 0);
        assert_int_equal(pkt.rx.mss, syn ? 1460 : 0);
        assert_int_equal(pkt.rx.sack_ok, syn);
        assert_int_equal(pkt.rx.wscale, syn ? 7 : 255);
    }
    assert_int_equal(OPTIONS(&pkt, WEIR_SYN, 3, 3, 14, 0), 0);
    assert_int_equal(pkt.rx.wscale, 14);
    assert_int_equal(OPTIONS(&pkt, WEIR_SYN, 3, 3, 15, 0), 0); /* RFC 7323 2.3 */
    assert_int_equal(pkt.rx.wscale, 14);
    assert_int_equal(OPTIONS(&pkt, WEIR_SYN, 3, 3, 0, 0), 0);
    assert_int_equal(pkt.rx.wscale, 0);
}

static void test_malformed_options(void **state)
{
    struct weir_pkt pkt;

    (void)state;
    assert_int_equal(OPTIONS(&pkt, WEIR_SYN, 2, 0, 0, 0), -EBADMSG);
    assert_int_equal(OPTIONS(&pkt, WEIR_SYN, 99, 1, 0, 0), -EBADMSG);
    assert_int_equal(OPTIONS(&pkt, WEIR_SYN, 99, 5, 0, 0), -EBADMSG);
    assert_int_equal(OPTIONS(&pkt, WEIR_SYN, 1, 1, 1, 2), -EBADMSG);
    assert_int_equal(OPTIONS(&pkt, WEIR_SYN, 99, 4, 0, 0), 0);
    assert_int_equal(OPTIONS(&pkt, WEIR_SYN, 99, 2, 4, 2), 0); /* skipped */
    assert_true(pkt.rx.sack_ok);
    assert_int_equal(OPTIONS(&pkt, WEIR_SYN, 0, 0, 4, 2), 0); /* behind the end */
    assert_false(pkt.rx.sack_ok);
    assert_int_equal(OPTIONS(&pkt, WEIR_SYN, 2, 3, 5, 1, 4, 2, 0, 0), 0); /* ends the list */
    assert_false(pkt.rx.sack_ok || pkt.rx.mss);
    assert_int_equal(OPTIONS(&pkt, WEIR_SYN, 4, 3, 5, 1), 0);
    assert_false(pkt.rx.sack_ok);
    assert_int_equal(OPTIONS(&pkt, WEIR_SYN, 3, 4, 5, 1), 0);
    assert_int_equal(pkt.rx.wscale, 255);
}

static void test_sack_blocks(void **state)
{
    uint8_t options[40] = { 1, 1, 5 };
    struct weir_pkt pkt;

    (void)state;
    for (unsigned len = 2; len <= 34; len++) {
        bool good = len >= 10 && len % 8 == 2;

        memset(options + 4, 0, sizeof options - 4);
        options[3] = (uint8_t)len;
        assert_int_equal(tcp_parse_options(&pkt, WEIR_ACK, options, 36), 0);
        assert_int_equal(pkt.rx.sack_count, good ? len / 8 : 0);
        assert_int_equal(pkt.rx.sack_at, good ? 24 : 0);
        assert_int_equal(tcp_parse_options(&pkt, WEIR_SYN, options, 36), 0);
        assert_int_equal(pkt.rx.sack_count, 0);
    }
    options[3] = 34;
    assert_int_equal(tcp_parse_options(&pkt, WEIR_ACK, options, 32), -EBADMSG);
}

/* Any header that we may send says what it was made of. */
static struct weir_tcp_header header_random(uint64_t *random)
{
    struct weir_tcp_header tcp = {
        .sport = (uint16_t)random_next(random),
        .dport = (uint16_t)random_next(random),
        .seq = (uint32_t)random_next(random),
        .ack = (uint32_t)random_next(random),
        .window = (uint16_t)random_next(random),
        .urgent = (uint16_t)random_next(random),
        .wscale = 255,
        .ts = random_next(random) & 1,
        .ts_val = (uint32_t)random_next(random),
        .ts_ecr = (uint32_t)random_next(random),
    };
    bool syn = random_next(random) & 1;

    tcp.flags = (uint8_t)((random_next(random) & 0xfd) | (syn ? WEIR_SYN : 0));
    if (syn) {
        tcp.mss = (uint16_t)random_next(random);
        tcp.sack_ok = random_next(random) & 1;
        tcp.wscale = random_next(random) & 1 ? (uint8_t)random_below(random, 15) : 255;
    } else {
        tcp.sacks = (uint8_t)random_below(random, tcp.ts ? 4 : 5);
        for (unsigned i = 0; i < tcp.sacks; i++)
            for (unsigned end = 0; end < 2; end++)
                tcp.sack[i][end] = (uint32_t)random_next(random);
    }
    return tcp;
}

static void check_header(const struct weir_tcp_header *tcp, const struct weir_pkt_rx *rx,
                         const uint8_t *segment)
{
    assert_int_equal(rx->sport, tcp->sport);
    assert_int_equal(rx->dport, tcp->dport);
    assert_int_equal(rx->seq, tcp->seq);
    assert_int_equal(rx->ack, tcp->ack);
    assert_int_equal(rx->tcp_flags, tcp->flags);
    assert_int_equal(rx->window, tcp->window);
    assert_int_equal(rx->urgent, tcp->urgent);
    assert_int_equal(rx->mss, tcp->mss);
    assert_int_equal(rx->wscale, tcp->wscale);
    assert_int_equal(rx->sack_ok, tcp->sack_ok);
    assert_int_equal(rx->has_ts, tcp->ts);
    assert_true(!tcp->ts || (rx->ts_val == tcp->ts_val && rx->ts_ecr == tcp->ts_ecr));
    assert_int_equal(rx->sack_count, tcp->sacks);
    for (unsigned i = 0; i < tcp->sacks; i++) {
        assert_int_equal(weir_get32(segment + rx->sack_at + 8 * i), tcp->sack[i][0]);
        assert_int_equal(weir_get32(segment + rx->sack_at + 8 * i + 4), tcp->sack[i][1]);
    }
}

static void test_there_and_back(void **state)
{
    uint64_t random = random_seed();

    (void)state;
    for (int i = 0; i < 5000; i++) {
        struct weir_tcp_header tcp = header_random(&random);
        struct weir_pkt pkt;
        uint8_t segment[60];
        int len = weir_tcp_emit(segment, &tcp);

        assert_true(len >= 20 && len <= 60 && len % 4 == 0);
        assert_int_equal(segment[16] | segment[17], 0);
        assert_int_equal(tcp_parse(&pkt, segment, (size_t)len), 0);
        assert_int_equal(pkt.rx.len, 0);
        check_header(&tcp, &pkt.rx, segment);
    }
}

/* --- UDP, the pseudo-header --- */

static void test_udp(void **state)
{
    uint8_t data[12] = { 0, 53, 0x1f, 0x90, 0, 12, 0, 0 };
    struct weir_udp_header udp;

    (void)state;
    assert_int_equal(weir_udp_parse(&udp, data, 12), 8);
    assert_int_equal(udp.sport, 53);
    assert_int_equal(udp.dport, 8080);
    assert_int_equal(udp.len, 12);
    assert_false(udp.checksum);
    for (size_t len = 0; len < 12; len++)
        assert_int_equal(weir_udp_parse(&udp, data, len), -EBADMSG);
    data[7] = 1;
    data[5] = 8;
    assert_int_equal(weir_udp_parse(&udp, data, 8), 8);
    assert_true(udp.checksum);
    data[5] = 7;
    assert_int_equal(weir_udp_parse(&udp, data, 12), -EBADMSG);
    data[5] = 12;
    data[2] = data[3] = 0;
    assert_int_equal(weir_udp_parse(&udp, data, 12), -EBADMSG);
}

/* Against the pseudo-header written out. */
static void test_pseudo_sum(void **state)
{
    uint64_t random = random_seed();
    uint8_t v4[12] = { 0 }, v6[40] = { 0 };

    (void)state;
    for (int i = 0; i < 1000; i++) {
        uint16_t len = (uint16_t)random_next(&random);
        struct weir_ip a = { .half = { random_next(&random), random_next(&random) } };
        struct weir_ip b = { .half = { random_next(&random), random_next(&random) } };

        memcpy(v6, a.byte, 16);
        memcpy(v6 + 16, b.byte, 16);
        weir_put32(v6 + 32, len);
        v6[39] = 58;
        assert_int_equal(weir_sum_fold(weir_pseudo_sum(&a, &b, 58, len)) % 0xffff,
                         weir_sum_fold(weir_sum(v6, 40, 0)) % 0xffff);
        a = weir_ip_v4(a.word[0]);
        b = weir_ip_v4(b.word[0]);
        memcpy(v4, &a.word[3], 4);
        memcpy(v4 + 4, &b.word[3], 4);
        v4[9] = 6;
        weir_put16(v4 + 10, len);
        assert_int_equal(weir_sum_fold(weir_pseudo_sum(&a, &b, 6, len)) % 0xffff,
                         weir_sum_fold(weir_sum(v4, 12, 0)) % 0xffff);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_options),   cmocka_unit_test(test_data_offset),
        cmocka_unit_test(test_timestamps),        cmocka_unit_test(test_options_of_a_syn),
        cmocka_unit_test(test_malformed_options), cmocka_unit_test(test_sack_blocks),
        cmocka_unit_test(test_there_and_back),    cmocka_unit_test(test_udp),
        cmocka_unit_test(test_pseudo_sum),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
