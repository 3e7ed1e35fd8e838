/* test_checksums.c - the object finds wrong checksums in what the stack sends: any bit that is
 * flipped in any place they cover. */
#include "../core/testing.h"
#include <arpa/inet.h>
#include "tests/packetdrill/wire.c"

void pd_die(const struct pd *pd, const char *format, ...)
{
    (void)pd;
    fail_msg("%s", format);
    abort();
}

static size_t from_hex(uint8_t *to, const char *hex)
{
    size_t len = 0;
    unsigned byte;

    for (; sscanf(hex, "%2x", &byte) == 1; hex += 2)
        to[len++] = (uint8_t)byte;
    return len;
}

/* Good as it is; with another bit anywhere from `begin` on it is not. */
static void expect_covered(const char *hex, size_t begin)
{
    uint8_t packet[128];
    size_t len = from_hex(packet, hex);

    assert_true(pd_checksums_ok(packet, len));
    for (size_t i = begin; i < len; i++)
        for (unsigned bit = 0; bit < 8; bit++) {
            packet[i] ^= (uint8_t)(1u << bit);
            assert_false(pd_checksums_ok(packet, len));
            packet[i] ^= (uint8_t)(1u << bit);
        }
    assert_false(pd_checksums_ok(packet, 1));
    assert_false(pd_checksums_ok(packet, 0));
}

/* The SYN of RFC-made addresses 192.0.2.1:40000 to 192.0.2.2:80, window 8192. */
static void tcp_over_ipv4(void **state)
{
    (void)state;
    expect_covered("4500002800000000"
                   "4006f6cc"
                   "c0000201"
                   "c0000202"
                   "9c400050"
                   "00000001"
                   "00000000"
                   "50022000"
                   "6f4d"
                   "0000",
                   1);
}

static void tcp_over_ipv6(void **state)
{
    (void)state;
    expect_covered("6000000000150640"
                   "20010db8000000000000000000000001"
                   "20010db8000000000000000000000002"
                   "9c400050"
                   "00000001"
                   "00000002"
                   "50182000"
                   "56c3"
                   "0000"
                   "41",
                   8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tcp_over_ipv4),
        cmocka_unit_test(tcp_over_ipv6),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
