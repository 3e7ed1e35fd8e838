/* test_wire_ip6.c - IPv6 headers and what stands between them and the transport. */
#include "../core/testing.h"
#include <errno.h>
#include "net/native/wire/wire.h"

static const struct weir_ip us = { .byte = { 0x20, 1, 0xd, 0xb8, [15] = 1 } };
static const struct weir_ip peer = { .byte = { 0x20, 1, 0xd, 0xb8, [15] = 2 } };

/* An IPv6 header and `len` bytes behind it, in a block of exactly that size; parsed. */
static int ip6_parse(struct weir_ip6 *out, uint8_t protocol, const uint8_t *behind, size_t len)
{
    struct weir_ip6 ip = { .source = peer,
                           .target = us,
                           .protocol = protocol,
                           .hop_limit = 64,
                           .total_len = (uint16_t)(40 + len) };
    uint8_t *data = malloc(40 + len);
    int rc;

    assert_non_null(data);
    weir_ip6_emit(data, &ip);
    memcpy(data + 40, behind, len);
    rc = weir_ip6_parse(out, data, 40 + len);
    free(data);
    return rc;
}

#define PARSE(out, protocol, ...)                              \
    ip6_parse(out, protocol, (const uint8_t[]){ __VA_ARGS__ }, \
              sizeof((const uint8_t[]){ __VA_ARGS__ }))

static void check_problem(const struct weir_ip6 *ip, unsigned code, unsigned at, bool multicast)
{
    assert_int_equal(ip->unrecognized_at, at);
    assert_int_equal(ip->problem_code, code);
    assert_int_equal(ip->problem_even_multicast, multicast);
}

static void test_there_and_back(void **state)
{
    struct weir_ip6 ip = { .source = peer,
                           .target = us,
                           .protocol = 6,
                           .hop_limit = 255,
                           .traffic_class = 0xb9,
                           .total_len = 60 };
    struct weir_ip6 out;
    uint8_t data[60] = { 0 };

    (void)state;
    assert_int_equal(weir_ip6_emit(data, &ip), 40);
    assert_int_equal(weir_ip6_parse(&out, data, 60), 40);
    assert_true(weir_ip_eq(&out.source, &peer) && weir_ip_eq(&out.target, &us));
    assert_int_equal(out.traffic_class, 0xb9);
    assert_int_equal(out.hop_limit, 255);
    assert_int_equal(out.total_len, 60);
    assert_int_equal(out.header_len, 40);
    assert_int_equal(out.unrecognized_at, 0);
    assert_false(out.fragment);
    for (size_t len = 0; len < 60; len++)
        assert_int_equal(weir_ip6_parse(&out, data, len), -EBADMSG);
    data[0] = 0x45;
    assert_int_equal(weir_ip6_parse(&out, data, 60), -EBADMSG);
}

/* 65,535 bytes behind the header, which makes more than 16 bits in all (RFC 8200 3). */
static void test_longest(void **state)
{
    static uint8_t data[40 + 65535];
    struct weir_ip6 ip = { .source = peer, .target = us, .protocol = 17, .total_len = 40 + 65535 };
    struct weir_ip6 out;

    (void)state;
    weir_ip6_emit(data, &ip);
    assert_int_equal(weir_ip6_parse(&out, data, sizeof data), 40);
    assert_int_equal(out.total_len, sizeof data);
    assert_int_equal(weir_ip6_parse(&out, data, sizeof data - 1), -EBADMSG);
}

static void test_addresses_refused(void **state)
{
    struct weir_ip6 ip = { .source = peer, .target = us, .protocol = 6, .total_len = 40 }, out;
    uint8_t data[40];

    (void)state;
    ip.source.byte[0] = 0xff;
    weir_ip6_emit(data, &ip);
    assert_int_equal(weir_ip6_parse(&out, data, 40), -EBADMSG);
    ip.source = weir_ip_v4(1);
    weir_ip6_emit(data, &ip);
    assert_int_equal(weir_ip6_parse(&out, data, 40), -EBADMSG);
    ip.source = peer;
    ip.target = weir_ip_v4(1);
    weir_ip6_emit(data, &ip);
    assert_int_equal(weir_ip6_parse(&out, data, 40), -EBADMSG);
    ip.target = (struct weir_ip){ .byte = { 0xff, 2, [15] = 1 } };
    weir_ip6_emit(data, &ip);
    assert_int_equal(weir_ip6_parse(&out, data, 40), 40);
}

static void test_extensions_are_walked(void **state)
{
    struct weir_ip6 ip;

    (void)state;
    /* hop-by-hop with router alert, destination options with padding, routing done with, UDP */
    assert_int_equal(PARSE(&ip, 0, 60, 0, 5, 2, 0, 0, 1, 0, 43, 0, 1, 4, 0, 0, 0, 0, 17, 0, 0, 0, 0,
                           0, 0, 0, 9, 9),
                     64);
    assert_int_equal(ip.protocol, 17);
    assert_int_equal(ip.unrecognized_at, 0);
    assert_int_equal(ip.total_len, 66);
    assert_int_equal(PARSE(&ip, 60, 6, 0, 0, 0, 0, 0, 0, 0), 48); /* six times Pad1 */
    assert_int_equal(ip.protocol, 6);
    assert_int_equal(PARSE(&ip, 59, 1, 2, 3), 40); /* no next header */
    assert_int_equal(ip.protocol, 59);
}

/* As many as the bound, and one more. */
static void test_extensions_are_bounded(void **state)
{
    struct weir_ip6 ip;
    uint8_t behind[7 * 8] = { 0 };

    (void)state;
    for (size_t count = 1; count <= 7; count++) {
        for (size_t i = 0; i < count; i++)
            behind[8 * i] = i + 1 < count ? 60 : 17;
        assert_int_equal(ip6_parse(&ip, 60, behind, 8 * count),
                         count <= 6 ? 40 + 8 * (int)count : -EBADMSG);
    }
}

static void test_extension_lengths(void **state)
{
    struct weir_ip6 ip;

    (void)state;
    assert_int_equal(PARSE(&ip, 60, 6, 0, 0, 0, 0, 0, 0), -EBADMSG); /* 7 bytes */
    assert_int_equal(PARSE(&ip, 60, 6, 1, 0, 0, 0, 0, 0, 0), -EBADMSG);
    assert_int_equal(PARSE(&ip, 60, 6, 0, 1, 4, 0, 0, 0, 0), 48);
    assert_int_equal(PARSE(&ip, 60, 6, 0, 1, 5, 0, 0, 0, 0), -EBADMSG);
    assert_int_equal(PARSE(&ip, 60, 6, 0, 0, 0, 0, 0, 0, 1), -EBADMSG); /* no length */
    assert_int_equal(PARSE(&ip, 44, 6, 0, 0, 0, 0, 0, 0), -EBADMSG);
}

/* RFC 8200 4.2 */
static void test_unknown_options(void **state)
{
    struct weir_ip6 ip;

    (void)state;
    assert_int_equal(PARSE(&ip, 60, 6, 0, 0x3e, 4, 0, 0, 0, 0), 48);
    assert_int_equal(ip.unrecognized_at, 0);
    assert_int_equal(PARSE(&ip, 60, 6, 0, 0x7e, 4, 0, 0, 0, 0), -EBADMSG);
    assert_int_equal(PARSE(&ip, 60, 6, 0, 0, 0x80, 3, 0, 0, 0), 40);
    check_problem(&ip, 2, 43, true);
    assert_int_equal(PARSE(&ip, 0, 6, 0, 0xc2, 4, 0, 1, 0, 0), 40); /* jumbo */
    check_problem(&ip, 2, 42, false);
}

static void test_unknown_headers(void **state)
{
    struct weir_ip6 ip;

    (void)state;
    assert_int_equal(PARSE(&ip, 132, 0, 0), 40);
    check_problem(&ip, 1, 6, false);
    assert_int_equal(PARSE(&ip, 60, 50, 0, 1, 4, 0, 0, 0, 0), 48);
    check_problem(&ip, 1, 40, false);
    /* hop-by-hop is the first or none */
    assert_int_equal(PARSE(&ip, 60, 0, 0, 1, 4, 0, 0, 0, 0, 6, 0, 1, 4, 0, 0, 0, 0), 48);
    check_problem(&ip, 1, 40, false);
}

/* RFC 5095, RFC 8200 4.4 */
static void test_routing(void **state)
{
    struct weir_ip6 ip;

    (void)state;
    assert_int_equal(PARSE(&ip, 43, 6, 0, 0, 1, 0, 0, 0, 0), 40);
    check_problem(&ip, 0, 42, false);
    assert_int_equal(PARSE(&ip, 43, 6, 0, 4, 255, 0, 0, 0, 0), 40);
    check_problem(&ip, 0, 42, false);
    assert_int_equal(PARSE(&ip, 43, 6, 0, 0, 0, 0, 0, 0, 0), 48);
    assert_int_equal(ip.unrecognized_at, 0);
    assert_int_equal(PARSE(&ip, 43, 43, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0), -EBADMSG);
}

static void test_fragments(void **state)
{
    struct weir_ip6 ip;

    (void)state;
    assert_int_equal(PARSE(&ip, 44, 17, 0, 0, 1, 1, 2, 3, 4, 1, 2, 3, 4, 5, 6, 7, 8), 48);
    assert_true(ip.fragment && ip.more_fragments && ip.fragment_at == 0);
    assert_int_equal(ip.id, 0x01020304);
    assert_int_equal(ip.protocol, 17);
    assert_int_equal(PARSE(&ip, 44, 132, 0, 0, 8, 1, 2, 3, 4, 1), 48); /* not looked into */
    assert_true(ip.fragment && !ip.more_fragments && ip.fragment_at == 8);
    assert_int_equal(ip.unrecognized_at, 0);
    /* a whole packet, RFC 6946; twice is once too much */
    assert_int_equal(PARSE(&ip, 44, 60, 0, 0, 0, 1, 2, 3, 4, 6, 0, 1, 4, 0, 0, 0, 0), 56);
    assert_false(ip.fragment);
    assert_int_equal(ip.protocol, 6);
    assert_int_equal(PARSE(&ip, 44, 44, 0, 0, 0, 1, 2, 3, 4, 6, 0, 0, 0, 0, 0, 0, 0), -EBADMSG);
}

/* RFC 8200 4.5 */
static void test_fragments_that_cannot_be(void **state)
{
    struct weir_ip6 ip;

    (void)state;
    assert_true(PARSE(&ip, 44, 17, 0, 0, 1, 1, 2, 3, 4, 1, 2, 3, 4, 5, 6, 7) > 0);
    check_problem(&ip, 0, 4, false);
    assert_true(PARSE(&ip, 44, 17, 0, 0, 1, 1, 2, 3, 4) > 0); /* more of nothing */
    check_problem(&ip, 0, 4, false);
    assert_true(PARSE(&ip, 44, 17, 0, 0xff, 0xf8, 1, 2, 3, 4, 1, 2, 3, 4, 5, 6, 7) > 0);
    assert_int_equal(ip.unrecognized_at, 0); /* ends at 65,535 */
    assert_true(PARSE(&ip, 44, 17, 0, 0xff, 0xf8, 1, 2, 3, 4, 1, 2, 3, 4, 5, 6, 7, 8) > 0);
    check_problem(&ip, 0, 42, false);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_longest),
        cmocka_unit_test(test_addresses_refused),
        cmocka_unit_test(test_extensions_are_walked),
        cmocka_unit_test(test_extensions_are_bounded),
        cmocka_unit_test(test_extension_lengths),
        cmocka_unit_test(test_unknown_options),
        cmocka_unit_test(test_unknown_headers),
        cmocka_unit_test(test_routing),
        cmocka_unit_test(test_fragments),
        cmocka_unit_test(test_fragments_that_cannot_be),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
