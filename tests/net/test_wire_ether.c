/* test_wire_ether.c - Ethernet headers and ARP. */
#include "../core/testing.h"
#include <errno.h>
#include "net/native/wire/wire.h"

static const uint8_t frame[] = {
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02, 0, 0, 0, 0, 1, 0x81, 0x00, 0x20, 0x05, 0x08, 0x06,
};

static const uint8_t request[WEIR_ARP_LEN] = {
    0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 192, 0, 2, 2,
};

static void test_tagged_and_untagged(void **state)
{
    struct weir_ether ether;
    uint8_t data[18];

    (void)state;
    assert_int_equal(weir_ether_parse(&ether, frame, sizeof frame), 18);
    assert_int_equal(ether.vlan, 5);
    assert_int_equal(ether.ethertype, WEIR_ETHERTYPE_ARP);
    assert_memory_equal(ether.to, frame, 6);
    assert_memory_equal(ether.from, frame + 6, 6);
    assert_int_equal(weir_ether_emit(data, &ether), 18);
    assert_int_equal(data[14], 0); /* priority is not kept */
    assert_int_equal(data[15], 5);
    ether.vlan = 0;
    assert_int_equal(weir_ether_emit(data, &ether), 14);
    assert_int_equal(weir_ether_parse(&ether, data, 14), 14);
    assert_int_equal(ether.vlan, 0);
}

/* frame, with one 16-bit field changed. */
static int ether_with(size_t at, uint16_t value, size_t len, struct weir_ether *ether)
{
    uint8_t data[sizeof frame];

    memcpy(data, frame, sizeof data);
    weir_put16(data + at, value);
    return weir_ether_parse(ether, data, len);
}

static void test_ether_edges(void **state)
{
    struct weir_ether ether;

    (void)state;
    for (size_t len = 0; len < 18; len++)
        assert_int_equal(weir_ether_parse(&ether, frame, len), -EBADMSG);
    assert_int_equal(ether_with(14, 0xe000, 18, &ether), 18); /* priority tag */
    assert_int_equal(ether.vlan, 0);
    assert_int_equal(ether_with(14, 0x0ffe, 18, &ether), 18);
    assert_int_equal(ether_with(14, 0x0fff, 18, &ether), -EBADMSG);
    assert_int_equal(ether_with(16, 0x8100, 18, &ether), -EBADMSG);
    assert_int_equal(ether_with(12, 0x0600, 14, &ether), 14);
    assert_int_equal(ether_with(12, 0x05ff, 18, &ether), -EBADMSG);
    assert_int_equal(ether_with(16, 0x05dc, 18, &ether), -EBADMSG);
    assert_int_equal(ether_with(6, 0x0100, 18, &ether), -EBADMSG); /* a group sends nothing */
}

static void test_arp(void **state)
{
    struct weir_arp arp;
    uint8_t data[WEIR_ARP_LEN];

    (void)state;
    assert_int_equal(weir_arp_parse(&arp, request, sizeof request), WEIR_ARP_LEN);
    assert_false(arp.reply);
    assert_int_equal(arp.sender_ip, htonl(0xc0000201));
    assert_int_equal(arp.target_ip, htonl(0xc0000202));
    assert_int_equal(arp.sender_mac[0], 2);
    assert_int_equal(weir_arp_emit(data, &arp), WEIR_ARP_LEN);
    assert_memory_equal(data, request, sizeof data);
    arp.reply = true;
    weir_arp_emit(data, &arp);
    assert_int_equal(weir_arp_parse(&arp, data, sizeof data), WEIR_ARP_LEN);
    assert_true(arp.reply);
}

static int arp_with(size_t at, uint8_t value)
{
    struct weir_arp arp;
    uint8_t data[WEIR_ARP_LEN];

    memcpy(data, request, sizeof data);
    data[at] = value;
    return weir_arp_parse(&arp, data, sizeof data);
}

static void test_arp_refused(void **state)
{
    struct weir_arp arp;

    (void)state;
    for (size_t len = 0; len < WEIR_ARP_LEN; len++)
        assert_int_equal(weir_arp_parse(&arp, request, len), -EBADMSG);
    for (size_t at = 0; at < 7; at++)
        assert_int_equal(arp_with(at, 0x77), -EBADMSG);
    assert_int_equal(arp_with(7, 0), -EBADMSG);
    assert_int_equal(arp_with(7, 2), WEIR_ARP_LEN);
    assert_int_equal(arp_with(7, 3), -EBADMSG);
    assert_int_equal(arp_with(8, 3), -EBADMSG); /* the sender's MAC is a group */
    assert_int_equal(arp_with(14, 223), WEIR_ARP_LEN);
    assert_int_equal(arp_with(14, 224), -EBADMSG); /* its IP address, too */
    assert_int_equal(arp_with(14, 255), -EBADMSG);
    assert_int_equal(arp_with(14, 127), -EBADMSG);
    assert_int_equal(arp_with(14, 0), WEIR_ARP_LEN);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tagged_and_untagged),
        cmocka_unit_test(test_ether_edges),
        cmocka_unit_test(test_arp),
        cmocka_unit_test(test_arp_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
