/* test_wire_icmp.c - ICMP heads, what errors quote, neighbour discovery. */
#include "../core/testing.h"
#include <errno.h>
#include "net/native/checksum.h"
#include "net/native/wire/wire.h"

static const struct weir_ip us = { .byte = { 0x20, 1, 0xd, 0xb8, [15] = 1 } };
static const struct weir_ip peer = { .byte = { 0x20, 1, 0xd, 0xb8, [15] = 2 } };

static void sum_set(uint8_t *data, size_t len, uint32_t pseudo_sum)
{
    uint16_t sum;

    memset(data + 2, 0, 2);
    sum = (uint16_t)~weir_sum_fold(weir_sum(data, len, pseudo_sum));
    memcpy(data + 2, &sum, 2);
}

static void test_icmp4(void **state)
{
    uint8_t data[11] = { 8, 0, 0, 0, 0x12, 0x34, 0, 7, 'a', 'b', 'c' };
    struct weir_icmp icmp;

    (void)state;
    sum_set(data, sizeof data, 0);
    assert_int_equal(weir_icmp4_parse(&icmp, data, sizeof data), 8);
    assert_int_equal(icmp.type, 8);
    assert_int_equal(icmp.code, 0);
    assert_int_equal(icmp.rest, 0x12340007);
    assert_int_equal(icmp.body, 8);
    data[10] ^= 4;
    assert_int_equal(weir_icmp4_parse(&icmp, data, sizeof data), -EBADMSG);
    sum_set(data, 7, 0);
    assert_int_equal(weir_icmp4_parse(&icmp, data, 7), -EBADMSG);
    sum_set(data, 8, 0);
    assert_int_equal(weir_icmp4_parse(&icmp, data, 8), 8);
}

static void test_icmp6(void **state)
{
    uint8_t data[9] = { 2, 0, 0, 0, 0, 0, 5, 0, 1 };
    uint32_t pseudo = weir_pseudo_sum(&peer, &us, 58, sizeof data);
    struct weir_icmp icmp;

    (void)state;
    sum_set(data, sizeof data, pseudo);
    assert_int_equal(weir_icmp6_parse(&icmp, data, sizeof data, pseudo), 8);
    assert_int_equal(icmp.type, 2);
    assert_int_equal(icmp.rest, 1280);
    assert_int_equal(weir_icmp6_parse(&icmp, data, sizeof data, pseudo + 1), -EBADMSG);
    assert_int_equal(weir_icmp6_parse(&icmp, data, 7, pseudo), -EBADMSG);
}

static void test_quote_ip4(void **state)
{
    struct weir_ip4 ip = { .source = weir_ip_v4(htonl(0xc0000201)),
                           .target = weir_ip_v4(htonl(0xc0000202)),
                           .protocol = 6,
                           .total_len = 1500 };
    struct weir_icmp_quote quote;
    uint8_t data[28] = { 0 };

    (void)state;
    weir_ip4_emit(data, &ip);
    memcpy(data + 20, "\x00\x50\x1f\x90\xde\xad\xbe\xef", 8);
    assert_int_equal(weir_icmp_quote_parse(&quote, data, 28, false), 20);
    assert_true(weir_ip_eq(&quote.source, &ip.source) && weir_ip_eq(&quote.target, &ip.target));
    assert_int_equal(quote.sport, 80);
    assert_int_equal(quote.dport, 8080);
    assert_true(quote.has_seq);
    assert_int_equal(quote.seq, 0xdeadbeef);
    assert_int_equal(weir_icmp_quote_parse(&quote, data, 27, false), 20);
    assert_false(quote.has_seq);
    assert_int_equal(weir_icmp_quote_parse(&quote, data, 24, false), 20);
    for (size_t len = 0; len < 24; len++)
        assert_int_equal(weir_icmp_quote_parse(&quote, data, len, false), -EBADMSG);
    data[9] = 1;
    assert_int_equal(weir_icmp_quote_parse(&quote, data, 20, false), 20);
    assert_int_equal(quote.sport, 0);
    assert_int_equal(weir_icmp_quote_parse(&quote, data, 28, true), -EBADMSG);
    data[0] = 0x48; /* the header does not end in here */
    assert_int_equal(weir_icmp_quote_parse(&quote, data, 28, false), -EBADMSG);
    data[0] = 0x44;
    assert_int_equal(weir_icmp_quote_parse(&quote, data, 28, false), -EBADMSG);
    data[0] = 0x45;
    data[7] = 1; /* not the first fragment */
    assert_int_equal(weir_icmp_quote_parse(&quote, data, 28, false), -EBADMSG);
}

static void test_quote_ip6(void **state)
{
    struct weir_ip6 ip = { .source = us, .target = peer, .protocol = 17, .total_len = 1280 };
    struct weir_icmp_quote quote;
    uint8_t data[48] = { 0 };

    (void)state;
    weir_ip6_emit(data, &ip);
    memcpy(data + 40, "\x00\x35\x1f\x90\xde\xad\xbe\xef", 8);
    assert_int_equal(weir_icmp_quote_parse(&quote, data, 48, true), 40);
    assert_int_equal(quote.sport, 53);
    assert_false(quote.has_seq);
    assert_true(weir_ip_eq(&quote.source, &us));
    for (size_t len = 0; len < 44; len++)
        assert_int_equal(weir_icmp_quote_parse(&quote, data, len, true), -EBADMSG);
    ip.source = weir_ip_v4(1);
    weir_ip6_emit(data, &ip);
    assert_int_equal(weir_icmp_quote_parse(&quote, data, 48, true), -EBADMSG);
}

/* --- neighbour discovery --- */

static void check_nd_again(const struct weir_nd *nd, int len)
{
    struct weir_nd again;
    uint8_t data[32];

    assert_int_equal(weir_nd_emit(data, nd), len);
    assert_int_equal(data[2], 0);
    assert_int_equal(data[3], 0);
    assert_int_equal(weir_nd_parse(&again, data, (size_t)len), len);
    assert_int_equal(again.type, nd->type);
    assert_int_equal(again.has_mac, nd->has_mac);
    assert_true(weir_ip_eq(&again.target, &nd->target));
    assert_memory_equal(again.mac, nd->mac, 6);
    assert_int_equal(again.router, nd->router);
    assert_int_equal(again.solicited, nd->solicited);
    assert_int_equal(again.override, nd->override);
}

static void test_nd_there_and_back(void **state)
{
    struct weir_nd solicit = { .type = 135, .target = us, .has_mac = true, .mac = { 2, 1 } };
    struct weir_nd advert = { .type = 136, .target = us, .solicited = true, .override = true };
    struct weir_nd router = { .type = 133 };

    (void)state;
    check_nd_again(&solicit, 32);
    check_nd_again(&advert, 24);
    check_nd_again(&router, 8);
    solicit.has_mac = false;
    memset(solicit.mac, 0, 6);
    check_nd_again(&solicit, 24);
    router.has_mac = true;
    check_nd_again(&router, 16);
    advert.router = advert.has_mac = true;
    check_nd_again(&advert, 32);
}

static void test_nd_refused(void **state)
{
    struct weir_nd nd = { .type = 135, .target = us, .has_mac = true, .mac = { 2, 1 } }, out;
    uint8_t data[32];

    (void)state;
    weir_nd_emit(data, &nd);
    for (size_t len = 0; len < 32; len++)
        assert_int_equal(weir_nd_parse(&out, data, len), len == 24 ? 24 : -EBADMSG);
    data[25] = 0; /* an option without length */
    assert_int_equal(weir_nd_parse(&out, data, 32), -EBADMSG);
    data[25] = 2; /* beyond the end */
    assert_int_equal(weir_nd_parse(&out, data, 32), -EBADMSG);
    data[25] = 1;
    data[26] = 3; /* a group */
    assert_int_equal(weir_nd_parse(&out, data, 32), -EBADMSG);
    data[26] = 2;
    data[1] = 1;
    assert_int_equal(weir_nd_parse(&out, data, 32), -EBADMSG);
    data[1] = 0;
    data[24] = 77; /* not known, skipped */
    assert_int_equal(weir_nd_parse(&out, data, 32), 32);
    assert_false(out.has_mac);
    data[0] = 138;
    assert_int_equal(weir_nd_parse(&out, data, 32), -EBADMSG);
    nd.target.byte[0] = 0xff;
    weir_nd_emit(data, &nd);
    assert_int_equal(weir_nd_parse(&out, data, 32), -EBADMSG);
}

/* A router advertisement with MAC, MTU, and `prefixes` prefixes of `bits` bits; its length. */
static size_t advert_make(uint8_t *data, unsigned prefixes, uint8_t bits)
{
    static const uint8_t head[32] = { 134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0x75, 0x30, 0, 0, 3, 0xe8,
                                      1,   1, 2, 0, 0,  0, 0, 9, 5, 1, 0,    0,    0, 0, 5, 0xdc };
    uint8_t *at = data + sizeof head;

    memcpy(data, head, sizeof head);
    for (unsigned i = 0; i < prefixes; i++, at += 32) {
        memset(at, 0, 32);
        at[0] = 3;
        at[1] = 4;
        at[2] = bits;
        at[3] = 0xc0;
        at[6] = 2; /* valid 512 s, preferred 256 s */
        at[10] = 1;
        memset(at + 16, 0xff, 16);
        at[16] = 0x20;
        at[17] = (uint8_t)i;
    }
    return (size_t)(at - data);
}

static void test_router_advertisement(void **state)
{
    uint8_t data[32 + 5 * 32];
    struct weir_nd nd;
    size_t len;

    (void)state;
    len = advert_make(data, 2, 61);
    assert_int_equal(weir_nd_parse(&nd, data, len), (int)len);
    assert_int_equal(nd.hop_limit, 64);
    assert_int_equal(nd.lifetime_s, 1800);
    assert_int_equal(nd.reachable_ms, 30000);
    assert_int_equal(nd.retrans_ms, 1000);
    assert_int_equal(nd.mtu, 1500);
    assert_true(nd.has_mac && nd.mac[0] == 2 && nd.mac[5] == 9);
    assert_int_equal(nd.prefixes, 2);
    assert_int_equal(nd.prefix[1].len, 61);
    assert_int_equal(nd.prefix[1].prefix.byte[1], 1);
    assert_int_equal(nd.prefix[1].prefix.byte[7], 0xf8); /* cut behind the prefix */
    assert_int_equal(nd.prefix[1].prefix.byte[8], 0);
    assert_true(nd.prefix[1].on_link && nd.prefix[1].autonomous);
    assert_int_equal(nd.prefix[1].valid_s, 512);
    assert_int_equal(nd.prefix[1].preferred_s, 256);
    len = advert_make(data, 4, 0);
    assert_int_equal(weir_nd_parse(&nd, data, len), (int)len);
    assert_int_equal(nd.prefixes, 4);
    assert_int_equal(nd.prefix[0].prefix.half[0], 0);
    len = advert_make(data, 5, 128); /* the fifth is left out */
    assert_int_equal(weir_nd_parse(&nd, data, len), (int)len);
    assert_int_equal(nd.prefixes, 4);
    assert_int_equal(nd.prefix[3].prefix.byte[15], 0xff);
    len = advert_make(data, 1, 129);
    assert_int_equal(weir_nd_parse(&nd, data, len), -EBADMSG);
}

/* RFC 4862 5.5.3 */
static void test_useless_prefixes(void **state)
{
    uint8_t data[64];
    struct weir_nd nd;
    size_t len = advert_make(data, 1, 64);

    (void)state;
    data[32 + 10] = 3; /* preferred longer than valid */
    assert_int_equal(weir_nd_parse(&nd, data, len), 64);
    assert_int_equal(nd.prefixes, 0);
    data[32 + 10] = 2;
    assert_int_equal(weir_nd_parse(&nd, data, len), 64);
    assert_int_equal(nd.prefixes, 1);
    data[32 + 16] = 0xfe;
    data[32 + 17] = 0x80;
    assert_int_equal(weir_nd_parse(&nd, data, len), 64);
    assert_int_equal(nd.prefixes, 0);
    data[32 + 16] = 0xff;
    assert_int_equal(weir_nd_parse(&nd, data, len), 64);
    assert_int_equal(nd.prefixes, 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_icmp4),
        cmocka_unit_test(test_icmp6),
        cmocka_unit_test(test_quote_ip4),
        cmocka_unit_test(test_quote_ip6),
        cmocka_unit_test(test_nd_there_and_back),
        cmocka_unit_test(test_nd_refused),
        cmocka_unit_test(test_router_advertisement),
        cmocka_unit_test(test_useless_prefixes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
