/* test_tcp_queue.c - the send queue: joining, sums, cutting, and its two bounds. */
#include "tcp_send_rig.h"

enum { MSS = 1460, NODELAY = WEIR_TCP_NODELAY };

static void test_odd_pieces_keep_the_sum(void **state)
{
    struct rig *rig = rig_open(0, MSS, WEIR_MS(10));
    uint64_t random = random_seed();

    (void)state;
    for (int round = 0; round < 200; round++) {
        uint32_t begin = rig->tcp.snd_end - rig_seq(rig, 0);

        rig->count = rig->taken = 0;
        for (int i = 0; i < 20; i++) /* rig_queue() validates the sums */
            rig_queue(rig, 1 + (uint32_t)random_below(&random, 150));
        rig_output(rig); /* and the path those of the segments */
        rig_ack(rig, rig->tcp.snd_nxt - rig_seq(rig, 0));
        rig_ack(rig, rig->tcp.snd_nxt - rig_seq(rig, 0));
        assert_true(rig->tcp.snd_end - rig_seq(rig, 0) > begin);
    }
    rig_close(rig);
}

static void test_bytes_are_bounded(void **state)
{
    struct rig *rig = rig_open(NODELAY, MSS, WEIR_MS(10));

    (void)state;
    assert_int_equal(weir_tcp_send_room(&rig->tcp), 65536);
    assert_int_equal(rig_queue(rig, 65535), 65535);
    assert_int_equal(weir_tcp_send_room(&rig->tcp), 1);
    assert_int_equal(rig_queue(rig, 2), 1);
    assert_int_equal(rig_queue(rig, 1), 0);
    assert_false(rig->tcp.tx_tail->seg.flags & WEIR_SEG_PUSH && rig->tcp.tx_count == 1);
    rig_close(rig);
}

static void test_packets_are_bounded(void **state) /* each of one byte */
{
    struct rig *rig = rig_open(NODELAY, MSS, WEIR_MS(10));
    uint32_t bound = 8 + 65536 / 512;

    (void)state;
    for (uint32_t i = 0; i < bound; i++)
        rig_push(rig, 1);
    assert_int_equal(rig->count, bound);
    assert_int_equal(rig->tcp.tx_count, bound);
    assert_int_equal(weir_tcp_send_room(&rig->tcp), 0);
    assert_int_equal(rig_queue(rig, 1), 0);
    rig_ack(rig, 1);
    assert_int_equal(weir_tcp_send_room(&rig->tcp), MSS);
    rig_close(rig);
}

/* All but so many of those that queues may have. */
static unsigned take_packets(struct rig *rig, struct weir_pkt **taken, unsigned but)
{
    unsigned count = 0;

    while (count < 4096 / 8 * 7 + 1 - but)
        taken[count++] = weir_pkt_get(&rig->native.pkts);
    return count;
}

static void test_packet_memory_is_bounded(void **state)
{
    struct rig *rig = rig_open(NODELAY, MSS, WEIR_MS(10));
    struct weir_pkt *rest[4096];
    unsigned count = take_packets(rig, rest, 2);

    (void)state;
    assert_int_equal(rig_queue(rig, 5 * MSS), 2 * MSS);
    assert_int_equal(rig->native.stats.tcp_no_memory, 1);
    assert_true(weir_tcp_send_room(&rig->tcp) > 0); /* so the caller sees what is missing */
    rig_output(rig);                                /* by reference: needs no others */
    rig_expect(rig, 0, MSS, 0);
    rig_expect(rig, MSS, MSS, 0);
    while (count > 0)
        weir_pkt_free(rest[--count]);
    rig_close(rig);
}

/* An eighth is left for what gets queues moving again. */
static void test_queue_leaves_packets_for_others(void **state)
{
    struct rig *rig = rig_open(NODELAY, MSS, WEIR_MS(10));
    struct weir_pkt *rest[4096];
    unsigned count = take_packets(rig, rest, 0);

    (void)state;
    assert_int_equal(rig_queue(rig, MSS), 0);
    weir_pkt_free(rest[--count]);
    assert_int_equal(rig_queue(rig, 2 * MSS), MSS);
    for (unsigned i = 0; i < 4096 / 8 - 1; i++) {
        rest[count] = weir_pkt_get(&rig->native.pkts);
        assert_non_null(rest[count++]);
    }
    assert_null(weir_pkt_get(&rig->native.pkts));
    rig_output(rig);
    rig_expect(rig, 0, MSS, 0);
    while (count > 0)
        weir_pkt_free(rest[--count]);
    rig_close(rig);
}

/* What the device still has can be sent again as a copy only. */
static void test_no_memory_to_send_is_tried_again(void **state)
{
    struct rig *rig = rig_open(NODELAY, MSS, WEIR_MS(10));
    struct weir_pkt *rest[4096];
    unsigned count = 0;

    (void)state;
    rig->hold = true;
    rig_push(rig, 100);
    rig_expect(rig, 0, 100, WEIR_PSH);
    while ((rest[count] = weir_pkt_get(&rig->native.pkts)) != NULL)
        count++;
    rig_wait(rig, WEIR_MS(201));
    rig_expect_none(rig);
    assert_true(rig->native.stats.tcp_no_memory > 0);
    while (count > 0)
        weir_pkt_free(rest[--count]);
    rig_wait(rig, WEIR_MS(402));
    rig_expect(rig, 0, 100, WEIR_PSH);
    rig_close(rig);
}

static void test_writable_comes_with_a_third_of_the_room(void **state)
{
    struct rig *rig = rig_open(NODELAY, MSS, WEIR_MS(10));
    uint32_t at;

    (void)state;
    rig->tcp.snd_wnd = 1 << 20;
    rig->tcp.cwnd = 1 << 17;
    rig->tcp.conn.tx = (struct weir_io *)(void *)rig;
    assert_int_equal(rig_queue(rig, 100000), 65536);
    rig_output(rig);
    rig->layer.sndbuf = 65536;
    for (at = MSS; at < 65536 / 3; at += MSS) {
        rig_ack(rig, at);
        assert_int_equal(rig->writable, 0);
    }
    rig_ack(rig, at);
    assert_int_equal(rig->writable, 1);
    rig_close(rig);
}

static void test_nothing_is_taken_behind_the_fin(void **state)
{
    struct rig *rig = rig_open(NODELAY, MSS, WEIR_MS(10));

    (void)state;
    rig->tcp.flags |= WEIR_TCP_FIN_QUEUED;
    assert_int_equal(weir_tcp_send_room(&rig->tcp), 0);
    assert_int_equal(rig_queue(rig, 1), 0);
    rig_close(rig);
}

static void test_idle_connection_owns_nothing(void **state)
{
    struct rig *rig = rig_open(NODELAY, MSS, WEIR_MS(10));

    (void)state;
    _Static_assert(sizeof(struct weir_tcp) <= 488, "with its place in the table below 500");
    rig_push(rig, 5000);
    rig_ack(rig, 5000);
    assert_int_equal(rig->native.pkts.pool.live, 0);
    assert_int_equal(rig->native.pkts.views.live, 0);
    assert_int_equal(rig->tcp.rto_at | rig->tcp.probe_at, 0);
    rig_close(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_odd_pieces_keep_the_sum),
        cmocka_unit_test(test_bytes_are_bounded),
        cmocka_unit_test(test_packets_are_bounded),
        cmocka_unit_test(test_packet_memory_is_bounded),
        cmocka_unit_test(test_queue_leaves_packets_for_others),
        cmocka_unit_test(test_no_memory_to_send_is_tried_again),
        cmocka_unit_test(test_writable_comes_with_a_third_of_the_room),
        cmocka_unit_test(test_nothing_is_taken_behind_the_fin),
        cmocka_unit_test(test_idle_connection_owns_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
