/* test_wire_dhcp.c - DHCP messages. */
#include "../core/testing.h"
#include <errno.h>
#include "net/native/wire/wire.h"

static struct weir_dhcp ack_example(void)
{
    return (struct weir_dhcp){
        .type = WEIR_DHCP_ACK,
        .reply = true,
        .xid = 0xdeadbeef,
        .secs = 3,
        .broadcast = true,
        .mac = { 2, 0, 0, 0, 0, 7 },
        .client_ip = htonl(0xc0000205),
        .your_ip = htonl(0xc0000206),
        .server = htonl(0xc0000201),
        .requested = htonl(0xc0000206),
        .mask = htonl(0xffffff00),
        .router = htonl(0xc0000201),
        .dns = { 1, 2, 3 },
        .lease_s = 3600,
        .renew_s = 1800,
        .rebind_s = 3150,
        .mtu = 1400,
    };
}

/* A block of exactly `len` bytes. */
static int dhcp_parse(struct weir_dhcp *out, const uint8_t *data, size_t len)
{
    uint8_t *copy = malloc(len + (len == 0));
    int rc;

    assert_non_null(copy);
    memcpy(copy, data, len);
    rc = weir_dhcp_parse(out, copy, len);
    free(copy);
    return rc;
}

/* A reply with these options, and nothing behind them; parsed. */
static int dhcp_parse_options(struct weir_dhcp *out, const uint8_t *options, size_t len,
                              const uint8_t *file, const uint8_t *sname)
{
    struct weir_dhcp offer = { .type = WEIR_DHCP_OFFER, .reply = true };
    uint8_t data[600];

    assert_true(weir_dhcp_emit(data, sizeof data, &offer) > 0);
    if (file)
        memcpy(data + 108, file, 8);
    if (sname)
        memcpy(data + 44, sname, 8);
    memcpy(data + 240, options, len);
    return dhcp_parse(out, data, 240 + len);
}

#define OPTIONS(out, ...)                                     \
    dhcp_parse_options(out, (const uint8_t[]){ __VA_ARGS__ }, \
                       sizeof((const uint8_t[]){ __VA_ARGS__ }), NULL, NULL)

static void test_there_and_back(void **state)
{
    struct weir_dhcp ack = ack_example(), out;
    struct weir_dhcp discover = { .type = WEIR_DHCP_DISCOVER, .xid = 5, .mac = { 2 } };
    uint8_t data[600];
    int len;

    (void)state;
    len = weir_dhcp_emit(data, sizeof data, &ack);
    assert_true(len >= 300);
    memset(&out, 0, sizeof out);
    assert_int_equal(dhcp_parse(&out, data, (size_t)len), len);
    assert_int_equal(out.type, ack.type);
    assert_int_equal(out.xid, ack.xid);
    assert_int_equal(out.secs, ack.secs);
    assert_true(out.broadcast && out.reply);
    assert_memory_equal(out.mac, ack.mac, 6);
    assert_int_equal(out.client_ip, ack.client_ip);
    assert_int_equal(out.your_ip, ack.your_ip);
    assert_int_equal(out.server, ack.server);
    assert_int_equal(out.requested, ack.requested);
    assert_int_equal(out.mask, ack.mask);
    assert_int_equal(out.router, ack.router);
    assert_memory_equal(out.dns, ack.dns, sizeof out.dns);
    assert_int_equal(out.lease_s, 3600);
    assert_int_equal(out.renew_s, 1800);
    assert_int_equal(out.rebind_s, 3150);
    assert_int_equal(out.mtu, 1400);
    assert_int_equal(weir_dhcp_emit(data, sizeof data, &discover), 300);
    assert_int_equal(dhcp_parse(&out, data, 300), 300);
    assert_int_equal(out.type, WEIR_DHCP_DISCOVER);
    assert_false(out.reply || out.broadcast);
    assert_int_equal(out.server | out.mask | out.lease_s | out.mtu | out.dns[0], 0);
}

/* It says so when there is no room, to the byte. */
static void test_room(void **state)
{
    struct weir_dhcp ack = ack_example();
    uint8_t data[600];
    int len = weir_dhcp_emit(data, sizeof data, &ack);

    (void)state;
    for (size_t size = 0; size < (size_t)len; size++) {
        data[size] = 0x77;
        assert_int_equal(weir_dhcp_emit(data, size, &ack), -ENOBUFS);
        assert_int_equal(data[size], 0x77);
    }
    assert_int_equal(weir_dhcp_emit(data, (size_t)len, &ack), len);
}

static void test_cut_off(void **state)
{
    struct weir_dhcp ack = ack_example(), out;
    uint8_t data[600];
    int len = weir_dhcp_emit(data, sizeof data, &ack);

    (void)state;
    while (len > 0 && data[len - 1] == 0)
        len--; /* without the padding: the end is the last byte */
    assert_int_equal(dhcp_parse(&out, data, (size_t)len), len);
    for (size_t cut = 0; cut < (size_t)len; cut++)
        assert_int_equal(dhcp_parse(&out, data, cut), -EBADMSG);
}

static void test_head(void **state)
{
    static const struct {
        size_t at;
        uint8_t value;
    } bad[] = {
        { 0, 0 }, { 0, 1 }, { 0, 3 }, { 1, 6 }, { 2, 7 }, { 28, 1 }, { 236, 0 }, { 239, 0 }
    };
    struct weir_dhcp ack = ack_example(), out;
    uint8_t data[600];

    (void)state;
    for (size_t i = 0; i < WEIR_COUNT(bad); i++) {
        int len = weir_dhcp_emit(data, sizeof data, &ack);

        data[bad[i].at] = bad[i].value;
        assert_int_equal(dhcp_parse(&out, data, (size_t)len), -EBADMSG);
    }
}

static void test_options(void **state)
{
    struct weir_dhcp out;

    (void)state;
    assert_true(OPTIONS(&out, 53, 1, 2, 255) > 0);
    assert_true(OPTIONS(&out, 0, 0, 53, 1, 2, 0, 12, 2, 'a', 'b', 255, 99) > 0);
    assert_int_equal(OPTIONS(&out, 53, 1, 2), -EBADMSG);        /* no end */
    assert_int_equal(OPTIONS(&out, 12, 1, 'a', 255), -EBADMSG); /* no type */
    assert_int_equal(OPTIONS(&out, 53, 1, 3, 255), -EBADMSG);   /* a request that is a reply */
    assert_int_equal(OPTIONS(&out, 53, 1, 0, 255), -EBADMSG);
    assert_int_equal(OPTIONS(&out, 53, 1, 8, 255), -EBADMSG);
    assert_int_equal(OPTIONS(&out, 53, 2, 2, 2, 255), -EBADMSG);
    assert_int_equal(OPTIONS(&out, 53, 1, 2, 12, 2, 255), -EBADMSG); /* beyond the end */
    assert_int_equal(OPTIONS(&out, 53, 1, 2, 12), -EBADMSG);
    assert_int_equal(OPTIONS(&out, 53, 1, 2, 53, 1, 2, 255), -EBADMSG); /* twice, RFC 3396 */
}

static void test_option_values(void **state)
{
    struct weir_dhcp out;

    (void)state;
    assert_true(OPTIONS(&out, 53, 1, 2, 1, 4, 255, 255, 254, 0, 255) > 0);
    assert_int_equal(out.mask, htonl(0xfffffe00));
    assert_true(OPTIONS(&out, 53, 1, 2, 1, 4, 0, 0, 0, 0, 255) > 0);
    assert_true(OPTIONS(&out, 53, 1, 2, 1, 4, 255, 255, 255, 255, 255) > 0);
    assert_int_equal(OPTIONS(&out, 53, 1, 2, 1, 4, 255, 0, 255, 0, 255), -EBADMSG);
    assert_int_equal(OPTIONS(&out, 53, 1, 2, 1, 3, 255, 0, 0, 255), -EBADMSG);
    assert_true(OPTIONS(&out, 53, 1, 2, 3, 8, 1, 2, 3, 4, 5, 6, 7, 8, 255) > 0);
    assert_int_equal(out.router, htonl(0x01020304));
    assert_int_equal(OPTIONS(&out, 53, 1, 2, 3, 6, 1, 2, 3, 4, 5, 6, 255), -EBADMSG);
    assert_int_equal(OPTIONS(&out, 53, 1, 2, 3, 0, 255), -EBADMSG);
    assert_true(
        OPTIONS(&out, 53, 1, 2, 6, 16, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 255) > 0);
    assert_int_equal(out.dns[0], htonl(1)); /* 0.0.0.0 serves no names */
    assert_int_equal(out.dns[2], htonl(3));
    assert_true(OPTIONS(&out, 53, 1, 2, 26, 2, 0, 68, 255) > 0);
    assert_int_equal(OPTIONS(&out, 53, 1, 2, 26, 2, 0, 67, 255), -EBADMSG);
    assert_int_equal(OPTIONS(&out, 53, 1, 2, 26, 1, 68, 255), -EBADMSG);
    assert_int_equal(OPTIONS(&out, 53, 1, 2, 51, 3, 0, 0, 1, 255), -EBADMSG);
    assert_int_equal(OPTIONS(&out, 53, 1, 2, 54, 5, 0, 0, 1, 1, 1, 255), -EBADMSG);
}

/* RFC 2131 4.1 */
static void test_overload(void **state)
{
    static const uint8_t server[8] = { 54, 4, 192, 0, 2, 1, 255, 0 };
    static const uint8_t lease[8] = { 51, 4, 0, 0, 1, 0, 255, 0 };
    static const uint8_t again[8] = { 52, 1, 1, 255, 0, 0, 0, 0 };
    uint8_t both[] = { 53, 1, 2, 52, 1, 3, 255 };
    struct weir_dhcp out;

    (void)state;
    assert_true(dhcp_parse_options(&out, both, sizeof both, server, lease) > 0);
    assert_int_equal(out.server, htonl(0xc0000201));
    assert_int_equal(out.lease_s, 256);
    assert_int_equal(dhcp_parse_options(&out, both, sizeof both, server, server), -EBADMSG);
    assert_int_equal(dhcp_parse_options(&out, both, sizeof both, server, again), -EBADMSG);
    assert_int_equal(dhcp_parse_options(&out, both, sizeof both, server, NULL), -EBADMSG);
    both[5] = 1;
    assert_true(dhcp_parse_options(&out, both, sizeof both, server, lease) > 0);
    assert_int_equal(out.server, htonl(0xc0000201));
    assert_int_equal(out.lease_s, 0);
    both[5] = 2;
    assert_true(dhcp_parse_options(&out, both, sizeof both, server, lease) > 0);
    assert_int_equal(out.server, 0);
    assert_int_equal(out.lease_s, 256);
    both[5] = 4;
    assert_int_equal(dhcp_parse_options(&out, both, sizeof both, server, lease), -EBADMSG);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back), cmocka_unit_test(test_room),
        cmocka_unit_test(test_cut_off),        cmocka_unit_test(test_head),
        cmocka_unit_test(test_options),        cmocka_unit_test(test_option_values),
        cmocka_unit_test(test_overload),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
