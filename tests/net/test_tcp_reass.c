/* The receive queue: every byte once and in order, whatever comes in whatever pieces; bounds. */
#include "tests/core/testing.h"
#include "net/native/tcp_reass.c"
#include "net/native/tcp_window.c"
#include "tests/net/tcp_in_world.h"

enum { STREAM = 100000, MSS = 1460 };

static uint8_t stream[STREAM];

static int setup(void **state)
{
    (void)state;
    for (unsigned i = 0; i < STREAM; i++)
        stream[i] = (uint8_t)(i * 7 + i / 251);
    return 0;
}

static bool feed(weir_seq base, uint32_t at, uint32_t len, uint8_t flags)
{
    return weir_tcp_receive(&tcp, world_segment(base + at, stream + at, len, flags));
}

/* --- order --- */

static void what_is_in_order_is_queued_as_it_is(void **state)
{
    (void)state;
    world_begin(65536, 64);
    world_begin_at(1000);
    assert_false(feed(1000, 0, MSS, 0));
    assert_false(feed(1000, MSS, MSS, 0));
    assert_int_equal(tcp.rcv_nxt, 1000 + 2 * MSS);
    assert_int_equal(tcp.rcv_used, 2 * MSS);
    assert_memory_equal(tcp.rx_head->buf.data, stream, MSS);
    assert_memory_equal(tcp.rx_tail->buf.data, stream + MSS, MSS);
    world_end();
}

/* RFC 5681 4.2: at once, for a segment above a gap and for one that fills it. */
static void gaps_are_acknowledged_at_once(void **state)
{
    weir_seq block[4][2];

    (void)state;
    world_begin(65536, 64);
    world_begin_at(0);
    feed(0, 100, 100, 0);
    assert_true(world_acked());
    assert_int_equal(tcp.rcv_nxt, 0);
    assert_int_equal(weir_tcp_sack_blocks(&tcp, block, 4), 1);
    assert_int_equal(block[0][0], 100);
    assert_int_equal(block[0][1], 200);
    feed(0, 0, 100, 0);
    assert_true(world_acked());
    assert_int_equal(tcp.rcv_nxt, 200);
    assert_int_equal(weir_tcp_sack_blocks(&tcp, block, 4), 0);
    world_end();
}

/* RFC 2018 4: the first block holds the segment that came last, the others the ones before it. */
static void sack_blocks_name_the_latest_first(void **state)
{
    weir_seq block[4][2];

    (void)state;
    world_begin(65536, 64);
    world_begin_at(0);
    for (uint32_t i = 1; i <= 5; i++)
        feed(0, i * 1000, 500, 0);
    feed(0, 2500, 100, 0); /* the run at 2,000 grows */
    assert_int_equal(weir_tcp_sack_blocks(&tcp, block, 3), 3);
    assert_int_equal(block[0][0], 2000);
    assert_int_equal(block[0][1], 2600);
    assert_int_equal(block[1][0], 5000);
    assert_int_equal(block[2][0], 4000);
    tcp.flags &= ~(uint32_t)WEIR_TCP_SACK;
    assert_int_equal(weir_tcp_sack_blocks(&tcp, block, 3), 0);
    world_end();
}

/* RFC 2883 4: the first block is the duplicate, once. */
static void duplicates_are_reported_once(void **state)
{
    weir_seq block[4][2];

    (void)state;
    world_begin(65536, 64);
    world_begin_at(0);
    feed(0, 0, 1000, 0);
    feed(0, 3000, 1000, 0);
    feed(0, 500, 500, 0);
    assert_true(world_acked());
    assert_int_equal(weir_tcp_sack_blocks(&tcp, block, 4), 2);
    assert_int_equal(block[0][0], 500);
    assert_int_equal(block[0][1], 1000);
    assert_int_equal(block[1][0], 3000);
    assert_int_equal(weir_tcp_sack_blocks(&tcp, block, 4), 1);
    feed(0, 3200, 100, 0); /* above the gap */
    assert_int_equal(weir_tcp_sack_blocks(&tcp, block, 4), 2);
    assert_int_equal(block[0][0], 3200);
    assert_int_equal(block[0][1], 3300);
    assert_int_equal(block[1][0], 3000);
    world_end();
}

/* A FIN counts as the last sequence number of its segment, in and out of order. */
static void fin_waits_for_what_is_before_it(void **state)
{
    (void)state;
    world_begin(65536, 64);
    world_begin_at(0);
    assert_false(feed(0, 1000, 500, WEIR_FIN));
    assert_int_equal(tcp.flags & WEIR_TCP_FIN_RECEIVED, 0);
    assert_true(feed(0, 0, 1000, 0));
    assert_int_equal(tcp.rcv_nxt, 1501);
    assert_int_equal(tcp.rcv_used, 1500);
    assert_true(tcp.flags & WEIR_TCP_FIN_RECEIVED);
    world_end();
}

static void fin_alone_out_of_order(void **state)
{
    (void)state;
    world_begin(65536, 64);
    world_begin_at(0);
    assert_false(feed(0, 1000, 0, WEIR_FIN));
    assert_true(feed(0, 0, 1000, 0));
    assert_int_equal(tcp.rcv_nxt, 1001);
    assert_null(tcp.ooo);
    world_end();
}

/* --- bounds --- */

/* Nothing behind the window's right edge is kept; the FIN may stand at it. */
static void the_window_cuts(void **state)
{
    (void)state;
    world_begin(2000, 64);
    world_begin_at(0);
    tcp.rcv_adv = 2000;
    assert_false(feed(0, 1000, 1001, WEIR_FIN));
    assert_int_equal(tcp.ooo->range.end, 2000);
    assert_false(tcp.ooo->range.fin);
    assert_false(feed(0, 2000, 100, 0));
    assert_int_equal(tcp.ooo->range.run_end, 2000);
    assert_false(feed(0, 0, 1000, 0));
    assert_int_equal(tcp.rcv_nxt, 2000);
    assert_true(feed(0, 1500, 500, WEIR_FIN));
    assert_int_equal(tcp.rcv_nxt, 2001);
    world_end();
}

/* A flood of one-byte segments pins little more than its bytes. */
static void small_segments_are_copied_together(void **state)
{
    (void)state;
    world_begin(1 << 20, 100);
    world_begin_at(0);
    for (uint32_t i = 0; i < 60000; i++)
        feed(0, i, 1, 0);
    assert_int_equal(tcp.rcv_used, 60000);
    assert_in_range(tcp.rcv_held, 60000, 2 * 60000);
    world_end();
}

/* The payload just above the copying limit is the worst: about four times. */
static void memory_stays_within_four_times_the_bytes(void **state)
{
    uint32_t each = REASS_COPY_MAX + 1;

    (void)state;
    world_begin(1 << 20, 200);
    world_begin_at(0);
    for (uint32_t i = 0; i + each <= STREAM; i += each)
        feed(0, i, each, 0);
    assert_in_range(tcp.rcv_held, tcp.rcv_used, 4 * tcp.rcv_used);
    world_end();
}

/* A packet that somebody else still reads is not written into. */
static void shared_packets_are_left_alone(void **state)
{
    struct weir_pkt *pkt;

    (void)state;
    world_begin(65536, 64);
    world_begin_at(0);
    pkt = world_segment(0, stream, 100, 0);
    weir_buf_ref(&pkt->buf);
    weir_tcp_receive(&tcp, pkt);
    feed(0, 100, 100, 0);
    assert_int_equal(pkt->buf.len, 100);
    assert_int_equal(tcp.rcv_used, 200);
    assert_ptr_not_equal(tcp.rx_tail, pkt);
    weir_pkt_free(pkt);
    world_end();
}

/* Out of order: twice the buffer in memory, exactly. */
static void out_of_order_is_bounded_by_memory(void **state)
{
    uint32_t each, fit;

    (void)state;
    world_begin(32768, 128);
    world_begin_at(0);
    each = sizeof(struct weir_pkt) + WEIR_PKT_HEADROOM + WEIR_PKT_ROOM;
    fit = 2 * 32768 / each;
    for (uint32_t i = 0; i < fit; i++)
        feed(0, 10 + 2 * i, 1, 0);
    assert_int_equal(native.stats.tcp_ooo_dropped, 0);
    assert_int_equal(tcp.rcv_held, fit * each);
    feed(0, 10 + 2 * fit, 1, 0);
    assert_int_equal(native.stats.tcp_ooo_dropped, 1);
    assert_int_equal(tcp.rcv_held, fit * each);
    feed(0, 0, 10, 0); /* what is in order is always taken */
    assert_int_equal(tcp.rcv_nxt, 11);
    world_end();
}

/* ... and by the number of gaps that a search steps over. */
static void out_of_order_is_bounded_by_gaps(void **state)
{
    (void)state;
    world_begin(4 << 20, 1000);
    world_begin_at(0);
    tcp.rcv_adv = 4 << 20;
    for (uint32_t i = 0; i <= REASS_RUNS_MAX; i++)
        feed(0, 10 + 2 * i, 1, 0);
    assert_int_equal(native.stats.tcp_ooo_dropped, 0);
    feed(0, 10 + 2 * (REASS_RUNS_MAX + 1), 1, 0);
    assert_int_equal(native.stats.tcp_ooo_dropped, 1);
    world_end();
}

/* --- at random, against a model --- */

static struct {
    uint64_t random;
    weir_seq base;
    bool have[STREAM + 1]; /* the last is the FIN */
    uint32_t next, read;
    struct weir_pkt *shared; /* one that a "device" still reads, and what it reads */
    const uint8_t *shared_at;
    uint32_t shared_len;
    uint8_t shared_data[MSS];
} model;

static void check_list(void)
{
    uint32_t at = tcp.rcv_nxt - model.base;
    const struct weir_pkt *pkt = tcp.ooo;

    while (pkt) {
        const struct weir_pkt *run = pkt;
        uint32_t begin = run->range.seq - model.base, end = run->range.run_end - model.base;

        assert_true(begin > at);
        for (; at < begin; at++)
            assert_false(model.have[at]);
        for (;; pkt = pkt_next(pkt)) {
            assert_int_equal(pkt->range.seq - model.base, at);
            assert_int_equal(pkt->buf.len, pkt->range.end - pkt->range.seq - pkt->range.fin);
            assert_memory_equal(pkt->buf.data, stream + at, pkt->buf.len);
            for (; at < pkt->range.end - model.base; at++)
                assert_true(model.have[at]);
            if (pkt == run->range.run_last)
                break;
        }
        assert_int_equal(at, end);
        pkt = pkt_next(pkt);
    }
    for (; at <= STREAM && at < model.next + 70000; at++)
        assert_false(model.have[at]);
}

static void check_blocks(uint32_t latest)
{
    weir_seq block[4][2];
    bool dsack = layer.dsack == &tcp;
    unsigned count = weir_tcp_sack_blocks(&tcp, block, 4);

    for (unsigned i = dsack; i < count; i++) {
        uint32_t begin = block[i][0] - model.base, end = block[i][1] - model.base;

        assert_true(begin > model.next && begin < end && end <= STREAM + 1);
        assert_false(model.have[begin - 1]);
        for (uint32_t at = begin; at < end; at++)
            assert_true(model.have[at]);
        assert_true(end > STREAM || !model.have[end]);
        if (i == dsack && latest > model.next)
            assert_true(begin <= latest && latest < end);
    }
}

static void random_feed(void)
{
    uint32_t at = (uint32_t)(model.next + random_below(&model.random, 20000)), len, end, dropped;
    bool fin;

    if (random_below(&model.random, 3) == 0)
        at = model.next;
    at = at > 3000 && random_below(&model.random, 4) == 0 ? at - 3000 : at;
    at = at > STREAM ? STREAM : at;
    len = (uint32_t)random_below(&model.random, random_below(&model.random, 2) ? 40 : MSS + 1);
    len = at + len > STREAM ? STREAM - at : len;
    fin = at + len == STREAM;
    if (len + fin == 0)
        return;
    dropped = (uint32_t)native.stats.tcp_ooo_dropped;
    end = at + len + fin;
    if (weir_seq_lt(tcp.rcv_adv, model.base + at + len))
        end = tcp.rcv_adv - model.base;
    {
        struct weir_pkt *pkt = world_segment(model.base + at, stream + at, len, fin ? WEIR_FIN : 0);

        if (!model.shared && random_below(&model.random, 20) == 0) {
            model.shared = pkt;
            model.shared_at = pkt->buf.data + pkt->rx.off;
            model.shared_len = len;
            memcpy(model.shared_data, stream + at, len);
            weir_buf_ref(&pkt->buf);
        }
        weir_tcp_receive(&tcp, pkt);
    }
    if (native.stats.tcp_ooo_dropped == dropped)
        for (uint32_t i = at; i < end; i++)
            model.have[i] = true;
    while (model.next <= STREAM && model.have[model.next])
        model.next++;
    assert_int_equal(tcp.rcv_nxt - model.base, model.next);
    if (native.stats.tcp_ooo_dropped == dropped && end > at)
        check_blocks(at > model.next ? at : 0);
}

static void random_read(void)
{
    uint32_t taken = 0;

    if (tcp.rx_head && random_below(&model.random, 2)) {
        uint32_t part = (uint32_t)random_below(&model.random, tcp.rx_head->buf.len);

        assert_memory_equal(tcp.rx_head->buf.data, stream + model.read, part);
        weir_pkt_pull(tcp.rx_head, part);
        model.read += part;
        weir_tcp_consumed(&tcp, part);
    }
    while (tcp.rx_head && random_below(&model.random, 4)) {
        struct weir_pkt *pkt = weir_tcp_rx_take(&tcp);

        assert_memory_equal(pkt->buf.data, stream + model.read, pkt->buf.len);
        model.read += pkt->buf.len;
        taken += pkt->buf.len;
        weir_pkt_free(pkt);
    }
    weir_tcp_consumed(&tcp, taken);
    world_acked();
}

static void random_share_end(void)
{
    if (!model.shared || random_below(&model.random, 10))
        return;
    assert_memory_equal(model.shared_at, model.shared_data, model.shared_len);
    weir_pkt_free(model.shared);
    model.shared = NULL;
}

static void all_bytes_arrive_once_and_in_order(void **state)
{
    uint64_t seed = random_seed(), rounds = random_rounds(20, 400);

    (void)state;
    for (uint64_t round = 0; round < rounds; round++) {
        memset(&model, 0, sizeof model);
        model.random = seed + round;
        model.base = (weir_seq)random_next(&model.random);
        world_begin(random_below(&model.random, 2) ? 16384 : 65536, 400);
        world_begin_at(model.base);
        for (unsigned step = 0; model.read < STREAM || model.next <= STREAM; step++) {
            assert_true(step < 200000);
            random_feed();
            random_read();
            random_share_end();
            assert_true(tcp.rcv_held <= 4 * tcp.rcv_buf + 8192);
            if (step % 64 == 0)
                check_list();
        }
        assert_true(tcp.flags & WEIR_TCP_FIN_RECEIVED);
        assert_int_equal(tcp.rcv_used, 0);
        if (model.shared)
            weir_pkt_free(model.shared);
        world_end();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_in_order_is_queued_as_it_is),
        cmocka_unit_test(gaps_are_acknowledged_at_once),
        cmocka_unit_test(sack_blocks_name_the_latest_first),
        cmocka_unit_test(duplicates_are_reported_once),
        cmocka_unit_test(fin_waits_for_what_is_before_it),
        cmocka_unit_test(fin_alone_out_of_order),
        cmocka_unit_test(the_window_cuts),
        cmocka_unit_test(small_segments_are_copied_together),
        cmocka_unit_test(memory_stays_within_four_times_the_bytes),
        cmocka_unit_test(shared_packets_are_left_alone),
        cmocka_unit_test(out_of_order_is_bounded_by_memory),
        cmocka_unit_test(out_of_order_is_bounded_by_gaps),
        cmocka_unit_test(all_bytes_arrive_once_and_in_order),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
