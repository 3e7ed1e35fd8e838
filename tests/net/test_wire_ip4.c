/* test_wire_ip4.c - IPv4 headers. */
#include "../core/testing.h"
#include <errno.h>
#include "net/native/checksum.h"
#include "net/native/wire/wire.h"

static struct weir_ip4 ip4_example(void)
{
    return (struct weir_ip4){
        .source = weir_ip_v4(htonl(0xc0000201)),
        .target = weir_ip_v4(htonl(0xc0000202)),
        .header_len = 20,
        .protocol = 6,
        .ttl = 64,
        .tos = 0x10,
        .total_len = 60,
        .id = 0xbeef,
        .dont_fragment = true,
    };
}

/* A packet of `words` header words with options as given, checksum done. */
static void ip4_make(uint8_t data[60], const struct weir_ip4 *ip, const uint8_t *options,
                     size_t len)
{
    memset(data, 0, 60);
    weir_ip4_emit(data, ip);
    data[0] = (uint8_t)(0x40 + (20 + len) / 4);
    if (len > 0)
        memcpy(data + 20, options, len);
    memset(data + 10, 0, 2);
    uint16_t sum = (uint16_t)~weir_sum_fold(weir_sum(data, 20 + len, 0));
    memcpy(data + 10, &sum, 2);
}

static void check_same(const struct weir_ip4 *a, const struct weir_ip4 *b)
{
    assert_true(weir_ip_eq(&a->source, &b->source) && weir_ip_eq(&a->target, &b->target));
    assert_int_equal(a->protocol, b->protocol);
    assert_int_equal(a->ttl, b->ttl);
    assert_int_equal(a->tos, b->tos);
    assert_int_equal(a->total_len, b->total_len);
    assert_int_equal(a->id, b->id);
    assert_int_equal(a->fragment_at, b->fragment_at);
    assert_int_equal(a->more_fragments, b->more_fragments);
    assert_int_equal(a->dont_fragment, b->dont_fragment);
}

static void test_there_and_back(void **state)
{
    uint64_t random = random_seed();
    struct weir_ip4 ip = ip4_example(), again;
    uint8_t data[60] = { 0 };

    (void)state;
    for (int i = 0; i < 2000; i++) {
        ip.source.word[3] = htonl((uint32_t)random_below(&random, 0xe0000000));
        ip.target.word[3] = (uint32_t)random_next(&random);
        ip.tos = (uint8_t)random_next(&random);
        ip.ttl = (uint8_t)random_next(&random);
        ip.protocol = (uint8_t)random_next(&random);
        ip.id = (uint16_t)random_next(&random);
        ip.total_len = (uint16_t)(20 + random_below(&random, 41));
        ip.dont_fragment = random_next(&random) & 1;
        assert_int_equal(weir_ip4_emit(data, &ip), 20);
        assert_int_equal(weir_ip4_parse(&again, data, sizeof data, false), 20);
        assert_int_equal(again.header_len, 20);
        check_same(&ip, &again);
    }
}

static void test_lengths(void **state)
{
    struct weir_ip4 ip = ip4_example(), out;
    uint8_t data[60];

    (void)state;
    ip4_make(data, &ip, NULL, 0);
    for (size_t len = 0; len < 60; len++)
        assert_int_equal(weir_ip4_parse(&out, data, len, false), -EBADMSG);
    ip.total_len = 20;
    ip4_make(data, &ip, NULL, 0);
    assert_int_equal(weir_ip4_parse(&out, data, 20, false), 20);
    data[3] = 19;
    assert_int_equal(weir_ip4_parse(&out, data, 60, true), -EBADMSG);
    data[3] = 20;
    data[0] = 0x44;
    assert_int_equal(weir_ip4_parse(&out, data, 60, true), -EBADMSG);
    data[0] = 0x65;
    assert_int_equal(weir_ip4_parse(&out, data, 60, true), -EBADMSG);
    data[0] = 0x46; /* more header than packet */
    assert_int_equal(weir_ip4_parse(&out, data, 60, true), -EBADMSG);
}

/* Each bit of the header counts, with options and without; unless the device has looked. */
static void test_checksum(void **state)
{
    static const uint8_t nops[4] = { 1, 1, 1, 0 };
    struct weir_ip4 ip = ip4_example(), out;
    uint8_t data[60];

    (void)state;
    for (size_t options = 0; options <= 4; options += 4) {
        ip4_make(data, &ip, nops, options);
        assert_int_equal(weir_ip4_parse(&out, data, 60, false), 20 + (int)options);
        for (size_t bit = 0; bit < (20 + options) * 8; bit++) {
            data[bit / 8] ^= (uint8_t)(1 << bit % 8);
            assert_int_equal(weir_ip4_parse(&out, data, 60, false), -EBADMSG);
            data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
    }
    data[10] ^= 1;
    assert_int_equal(weir_ip4_parse(&out, data, 60, true), 24);
}

static void test_options(void **state)
{
    static const struct {
        uint8_t option[8];
        bool good;
    } list[] = {
        { { 1, 1, 1, 1, 1, 1, 1, 1 }, true },
        { { 0, 131, 3, 4, 0, 0, 0, 0 }, true }, /* behind the end */
        { { 148, 4, 0, 0, 0, 0, 0, 0 }, true }, /* router alert */
        { { 7, 7, 4, 1, 2, 3, 4, 1 }, true },
        { { 7, 8, 4, 1, 2, 3, 4, 1 }, true },
        { { 7, 9, 4, 1, 2, 3, 4, 1 }, false },
        { { 7, 1, 4, 1, 2, 3, 4, 1 }, false },
        { { 7, 0, 4, 1, 2, 3, 4, 1 }, false },
        { { 1, 1, 1, 1, 1, 1, 1, 7 }, false }, /* no room for a length */
        { { 131, 7, 4, 1, 2, 3, 4, 0 }, false },
        { { 1, 137, 7, 4, 1, 2, 3, 4 }, false },
    };
    struct weir_ip4 ip = ip4_example(), out;
    uint8_t data[60];

    (void)state;
    for (size_t i = 0; i < WEIR_COUNT(list); i++) {
        ip4_make(data, &ip, list[i].option, 8);
        assert_int_equal(weir_ip4_parse(&out, data, 60, false), list[i].good ? 28 : -EBADMSG);
    }
}

static void test_fragments(void **state)
{
    static const struct {
        uint16_t at, payload;
        bool more, good;
    } list[] = {
        { 0, 40, true, true },      { 0, 39, true, false },      { 0, 0, true, false },
        { 8, 39, false, true },     { 8, 40, true, true },       { 8, 0, false, true },
        { 65504, 11, false, true }, { 65504, 12, false, false }, { 65512, 3, false, true },
        { 65512, 4, false, false }, { 65512, 8, true, false },
    };
    struct weir_ip4 out;
    uint8_t data[60];

    (void)state;
    for (size_t i = 0; i < WEIR_COUNT(list); i++) {
        struct weir_ip4 ip = ip4_example();

        ip.fragment_at = list[i].at;
        ip.total_len = (uint16_t)(20 + list[i].payload);
        ip.more_fragments = list[i].more;
        ip4_make(data, &ip, NULL, 0);
        assert_int_equal(weir_ip4_parse(&out, data, 60, false), list[i].good ? 20 : -EBADMSG);
        if (list[i].good)
            check_same(&ip, &out);
    }
}

static void test_senders(void **state)
{
    struct weir_ip4 ip = ip4_example(), out;
    uint8_t data[60];

    (void)state;
    for (unsigned first = 0; first < 256; first++) {
        ip.source.byte[12] = (uint8_t)first;
        ip4_make(data, &ip, NULL, 0);
        assert_int_equal(weir_ip4_parse(&out, data, 60, false), first < 224 ? 20 : -EBADMSG);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back), cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_checksum),       cmocka_unit_test(test_options),
        cmocka_unit_test(test_fragments),      cmocka_unit_test(test_senders),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
