/* Fragments: put together in any order, given up on overlap, and every bound at its edge. */
#include "native_ip.h"

static struct bench b;
static uint8_t frame[BENCH_FRAME];
static uint8_t whole[65536];

static void fill(void)
{
    for (size_t i = 0; i < sizeof whole; i++)
        whole[i] = (uint8_t)(i * 7 + i / 251);
}

/* A fragment of `whole`, of a UDP datagram. */
static void send4(const char *source, uint16_t id, uint32_t at, uint32_t len, bool more)
{
    struct weir_ip4 ip = { .source = bench_ip(source),
                           .target = bench_ip("192.0.2.2"),
                           .protocol = IPPROTO_UDP,
                           .ttl = 64,
                           .id = id,
                           .total_len = (uint16_t)(20 + len),
                           .fragment_at = (uint16_t)at,
                           .more_fragments = more };
    uint8_t *to = put_ether(frame, bench_mac, peer_mac, WEIR_ETHERTYPE_IP4);

    to += weir_ip4_emit(to, &ip);
    memcpy(to, whole + at, len);
    bench_in(&b, frame, 34 + len);
}

static void send6(uint32_t id, uint32_t at, uint32_t len, bool more)
{
    uint8_t *to = put_ether(frame, bench_mac, peer_mac, WEIR_ETHERTYPE_IP6);

    to = put_ip6(to, "2001:db8::9", "2001:db8::2", IPPROTO_FRAGMENT, 64, 8 + len);
    memset(to, 0, 8);
    to[0] = IPPROTO_UDP;
    weir_put16(to + 2, (uint16_t)(at | more));
    weir_put32(to + 4, id);
    memcpy(to + 8, whole + at, len);
    bench_in(&b, frame, 14 + 40 + 8 + len);
}

static void open_both(void)
{
    fill();
    bench_open(&b, "192.0.2.2/16,2001:db8::2/64", NULL, NULL);
}

static void assert_whole(uint32_t len)
{
    assert_int_equal(b.udp, 1);
    assert_int_equal(b.up_len, len);
    assert_memory_equal(b.up, whole, len);
    b.udp = 0;
    assert_int_equal(b.native.pkts.pool.live, 0);
    assert_int_equal(b.native.ip->frags.bytes, 0);
}

static void joined_in_any_order(void **state)
{
    static const uint8_t order[][3] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 },
                                        { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };

    (void)state;
    open_both();
    for (uint16_t i = 0; i < 6; i++) {
        for (int k = 0; k < 3; k++) {
            assert_int_equal(b.udp, 0);
            if (order[i][k] == 2)
                send4("192.0.2.9", i, 2000, 77, false);
            else
                send4("192.0.2.9", i, order[i][k] * 1000u, 1000, true);
        }
        assert_whole(2077);
        for (int k = 0; k < 3; k++) {
            if (order[i][k] == 2)
                send6(i, 2000, 77, false);
            else
                send6(i, order[i][k] * 1000u, 1000, true);
        }
        assert_true(b.up_flags & WEIR_PKT_IP6);
        assert_whole(2077);
    }
    assert_int_equal(b.native.stats.frags_joined, 12);
    assert_int_equal(b.native.stats.frags_dropped, 0);
    bench_close(&b);
}

/* One that fits goes on in an ordinary packet. */
static void small_ones_too(void **state)
{
    (void)state;
    open_both();
    send4("192.0.2.9", 1, 8, 8, false);
    send4("192.0.2.9", 1, 0, 8, true);
    assert_whole(16);
    bench_close(&b);
}

static void sources_and_ids_are_told_apart(void **state)
{
    (void)state;
    open_both();
    send4("192.0.2.9", 1, 0, 1000, true);
    send4("192.0.2.10", 1, 1000, 10, false);
    send4("192.0.2.9", 2, 1000, 10, false);
    send6(1, 1000, 10, false);
    assert_int_equal(b.udp, 0);
    send4("192.0.2.9", 1, 1000, 10, false);
    assert_int_equal(b.udp, 1);
    assert_int_equal(b.up_len, 1010);
    bench_close(&b);
}

/* RFC 5722 */
static void overlap_spoils_it_all(void **state)
{
    (void)state;
    open_both();
    send4("192.0.2.9", 1, 0, 1000, true);
    send4("192.0.2.9", 1, 992, 1000, true);
    assert_int_equal(b.native.stats.frags_dropped, 2);
    send4("192.0.2.9", 1, 0, 1000, true); /* what still comes of it is no new beginning */
    send4("192.0.2.9", 1, 1000, 10, false);
    assert_int_equal(b.udp, 0);
    send6(1, 0, 1000, true);
    send6(1, 1000, 1000, true);
    send6(1, 1992, 100, false);
    assert_int_equal(b.udp, 0);
    bench_pass(&b, WEIR_SEC(61));
    assert_int_equal(b.native.ip->frags.bytes, 0);
    send4("192.0.2.9", 1, 1000, 10, false);
    send4("192.0.2.9", 1, 0, 1000, true);
    assert_whole(1010);
    bench_close(&b);
}

static void duplicates_are_ignored(void **state)
{
    (void)state;
    open_both();
    send4("192.0.2.9", 1, 0, 1000, true);
    send4("192.0.2.9", 1, 0, 1000, true);
    send4("192.0.2.9", 1, 1000, 10, false);
    assert_whole(1010);
    assert_int_equal(b.native.stats.frags_dropped, 1);
    bench_close(&b);
}

/* The last fragment says where the end is; nobody else may. */
static void the_end_is_one(void **state)
{
    (void)state;
    open_both();
    send4("192.0.2.9", 1, 1000, 10, false);
    send4("192.0.2.9", 1, 1016, 16, true); /* behind the end */
    send4("192.0.2.9", 1, 0, 1000, true);
    assert_int_equal(b.udp, 0);
    send4("192.0.2.9", 2, 2000, 1000, true);
    send4("192.0.2.9", 2, 1000, 10, false); /* the end, before what has come */
    send4("192.0.2.9", 2, 0, 1000, true);
    assert_int_equal(b.udp, 0);
    bench_close(&b);
}

static void tiny_first_fragments_are_refused(void **state)
{
    (void)state;
    open_both();
    send4("192.0.2.9", 1, 0, 8, true); /* a whole UDP header */
    send4("192.0.2.9", 1, 8, 8, false);
    assert_whole(16);
    frame[0] = 0;
    {
        struct weir_ip4 ip = { .source = bench_ip("192.0.2.9"),
                               .target = bench_ip("192.0.2.2"),
                               .protocol = IPPROTO_TCP,
                               .ttl = 64,
                               .id = 2,
                               .total_len = 20 + 16,
                               .more_fragments = true };
        uint8_t *to = put_ether(frame, bench_mac, peer_mac, WEIR_ETHERTYPE_IP4);

        weir_ip4_emit(to, &ip);
        bench_in(&b, frame, 14 + 36);
    }
    assert_int_equal(b.native.stats.frags_dropped, 1);
    assert_true(weir_list_empty(&b.native.ip->frags.waiting));
    bench_close(&b);
}

/* 65,515 bytes of payload are the most that IPv4 can say. */
static void the_biggest_fits(void **state)
{
    (void)state;
    open_both();
    for (uint32_t at = 0; at < 65512; at += 1480)
        send4("192.0.2.9", 1, at, at + 1480 > 65512 ? 65512 - at : 1480, true);
    assert_int_equal(b.udp, 0);
    send4("192.0.2.9", 1, 65512, 3, false);
    assert_whole(65515);
    for (uint32_t at = 0; at < 65512; at += 1480)
        send4("192.0.2.9", 2, at, at + 1480 > 65512 ? 65512 - at : 1480, true);
    send4("192.0.2.9", 2, 65512, 4, false); /* the ping of death */
    assert_int_equal(b.udp, 0);
    for (uint32_t at = 0; at < 65528; at += 1448)
        send6(3, at, at + 1448 > 65528 ? 65528 - at : 1448, true);
    send6(3, 65528, 7, false);
    assert_int_equal(b.udp, 1); /* 65,535 behind IPv6's header: RFC 8200 3 */
    assert_int_equal(b.up_len, 65535);
    assert_memory_equal(b.up, whole, 65535);
    b.udp = 0;
    for (uint32_t at = 0; at < 65528; at += 1448)
        send6(4, at, at + 1448 > 65528 ? 65528 - at : 1448, true);
    send6(4, 65528, 8, false);
    assert_int_equal(b.udp, 0);
    bench_close(&b);
}

static void pieces_are_bounded(void **state)
{
    (void)state;
    open_both();
    for (uint32_t i = 0; i < WEIR_FRAG_PIECES - 1; i++)
        send4("192.0.2.9", 1, i * 8, 8, true);
    send4("192.0.2.9", 1, (WEIR_FRAG_PIECES - 1) * 8, 8, false);
    assert_whole(WEIR_FRAG_PIECES * 8);
    for (uint32_t i = 0; i < WEIR_FRAG_PIECES; i++)
        send4("192.0.2.9", 2, i * 8, 8, true);
    send4("192.0.2.9", 2, WEIR_FRAG_PIECES * 8, 8, false);
    assert_int_equal(b.udp, 0);
    bench_close(&b);
}

static unsigned waiting(void)
{
    unsigned count = 0;

    for (struct weir_link *at = b.native.ip->frags.waiting.next; at != &b.native.ip->frags.waiting;
         at = at->next)
        count++;
    return count;
}

static void datagrams_of_a_source_are_bounded(void **state)
{
    (void)state;
    open_both();
    for (uint16_t i = 0; i < WEIR_FRAGS_OF_SOURCE; i++)
        send4("192.0.2.9", i, 0, 1000, true);
    assert_int_equal(waiting(), WEIR_FRAGS_OF_SOURCE);
    assert_int_equal(b.native.stats.frags_dropped, 0);
    send4("192.0.2.9", 99, 0, 1000, true);
    assert_int_equal(waiting(), WEIR_FRAGS_OF_SOURCE);
    assert_int_equal(b.native.stats.frags_dropped, 1);
    send4("192.0.2.9", 1, 1000, 10, false); /* the oldest went, not this one */
    assert_int_equal(b.udp, 1);
    bench_close(&b);
}

static void datagrams_are_bounded(void **state)
{
    char source[32];

    (void)state;
    open_both();
    for (unsigned i = 0; i < WEIR_FRAGS; i++) {
        snprintf(source, sizeof source, "192.0.3.%u", 1 + i);
        send4(source, 1, 0, 1000, true);
    }
    assert_int_equal(waiting(), WEIR_FRAGS);
    assert_int_equal(b.native.stats.frags_dropped, 0);
    send4("192.0.4.1", 1, 0, 1000, true);
    assert_int_equal(waiting(), WEIR_FRAGS);
    assert_int_equal(b.native.stats.frags_dropped, 1);
    send4("192.0.4.1", 1, 1000, 10, false);
    assert_int_equal(b.udp, 1);
    bench_close(&b);
}

static void bytes_are_bounded(void **state)
{
    char source[32];
    uint32_t sent = 0;

    (void)state;
    open_both();
    for (unsigned i = 0; i < 40; i++) {
        snprintf(source, sizeof source, "192.0.3.%u", 1 + i);
        for (uint32_t at = 0; at + 1480 < 65515; at += 1480, sent += 1480) {
            send4(source, 1, at, 1480, true);
            assert_true(b.native.ip->frags.bytes <= WEIR_FRAG_BYTES);
            if (sent + 1480 <= WEIR_FRAG_BYTES)
                assert_int_equal(b.native.ip->frags.bytes, sent + 1480);
        }
    }
    assert_true(b.native.ip->frags.bytes > WEIR_FRAG_BYTES - 65536);
    bench_close(&b);
}

/* RFC 792, 4443 3.3: time exceeded, code 1, if the first fragment was there. */
static void time_is_bounded(void **state)
{
    const struct bench_frame *out;
    struct weir_icmp icmp;

    (void)state;
    open_both();
    bench_arp(&b, false, peer_mac, "192.0.2.9", "192.0.2.2", 0);
    b.read[1] = b.sent[1];
    send4("192.0.2.9", 1, 0, 1000, true);
    send4("192.0.2.9", 2, 1000, 1000, true); /* no first one */
    bench_pass(&b, WEIR_SEC(59));
    expect_nothing(&b);
    assert_int_equal(waiting(), 2);
    bench_pass(&b, WEIR_SEC(2));
    assert_int_equal(waiting(), 0);
    assert_int_equal(b.native.ip->frags.bytes, 0);
    out = bench_out(&b);
    assert_non_null(out);
    assert_int_equal(weir_icmp4_parse(&icmp, out->data + 34, out->len - 34), 8);
    assert_int_equal(icmp.type, 11);
    assert_int_equal(icmp.code, 1);
    assert_memory_equal(out->data + 42 + 20, whole, 500);
    assert_null(bench_out(&b));
    bench_close(&b);
}

/* RFC 6946: a fragment that is whole never waits, whatever else has its id. */
static void atomic_fragments_pass(void **state)
{
    (void)state;
    open_both();
    send6(5, 0, 1000, true);
    send6(5, 0, 500, false);
    assert_int_equal(b.udp, 1);
    assert_int_equal(b.up_len, 500);
    send6(5, 1000, 10, false);
    assert_int_equal(b.udp, 2);
    assert_int_equal(b.up_len, 1010);
    bench_close(&b);
}

/* A random cut, a random order, duplicates: always the same whole. */
static void random_cuts(void **state)
{
    uint64_t seed = random_seed();

    (void)state;
    open_both();
    for (uint64_t round = random_rounds(300, 30000); round > 0; round--) {
        uint32_t total = 16 + (uint32_t)random_below(&seed, 20000), count = 0, at = 0;
        struct {
            uint32_t at, len;
        } piece[WEIR_FRAG_PIECES];
        bool v6 = random_below(&seed, 2);

        while (at < total) {
            uint32_t len = 8 * (60 + (uint32_t)random_below(&seed, 120));

            len = len < total - at ? len : total - at;
            piece[count].at = at;
            piece[count++].len = len;
            at += len;
        }
        if (count == 1)
            continue;
        for (uint32_t i = 0; i < count; i++) { /* shuffle */
            uint32_t k = i + (uint32_t)random_below(&seed, count - i), x = piece[i].at,
                     y = piece[i].len;

            piece[i] = piece[k];
            piece[k].at = x;
            piece[k].len = y;
        }
        for (uint32_t i = 0; i < count; i++)
            for (int n = i + 1 < count && random_below(&seed, 8) == 0 ? 2 : 1; n > 0; n--) {
                bool more = piece[i].at + piece[i].len < total;

                if (v6)
                    send6((uint32_t)round, piece[i].at, piece[i].len, more);
                else
                    send4("192.0.2.9", (uint16_t)round, piece[i].at, piece[i].len, more);
            }
        assert_whole(total);
    }
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(joined_in_any_order),
        cmocka_unit_test(small_ones_too),
        cmocka_unit_test(sources_and_ids_are_told_apart),
        cmocka_unit_test(overlap_spoils_it_all),
        cmocka_unit_test(duplicates_are_ignored),
        cmocka_unit_test(the_end_is_one),
        cmocka_unit_test(tiny_first_fragments_are_refused),
        cmocka_unit_test(the_biggest_fits),
        cmocka_unit_test(pieces_are_bounded),
        cmocka_unit_test(datagrams_of_a_source_are_bounded),
        cmocka_unit_test(datagrams_are_bounded),
        cmocka_unit_test(bytes_are_bounded),
        cmocka_unit_test(time_is_bounded),
        cmocka_unit_test(atomic_fragments_pass),
        cmocka_unit_test(random_cuts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
