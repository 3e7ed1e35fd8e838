/* What we tell the peer of our window, and when we tell it anything. */
#include "tests/core/testing.h"
#include "net/native/tcp_reass.c"
#include "net/native/tcp_window.c"
#include "tests/net/tcp_in_world.h"

static uint8_t bytes[1460];

static void feed(uint32_t len)
{
    weir_tcp_receive(&tcp, world_segment(tcp.rcv_nxt, bytes, len, 0));
}

static void user_reads(uint32_t len)
{
    uint32_t left = len;

    while (left > 0) {
        struct weir_buf *buf = &tcp.rx_head->buf;

        if (buf->len > left) {
            weir_pkt_pull(tcp.rx_head, left);
            left = 0;
        } else {
            left -= buf->len;
            weir_pkt_free(weir_tcp_rx_take(&tcp));
        }
    }
    weir_tcp_consumed(&tcp, len);
}

/* RFC 7323 2.2: the window of a SYN is not scaled. */
static void a_syn_says_it_unscaled(void **state)
{
    (void)state;
    world_begin(1 << 20, 64);
    world_begin_at(100);
    tcp.rcv_adv = tcp.rcv_nxt;
    assert_int_equal(weir_tcp_window_field(&tcp, true), 65535);
    assert_int_equal(tcp.rcv_adv, 100 + 65535);
    tcp.rcv_buf = 5000;
    assert_int_equal(weir_tcp_window_field(&tcp, true), 5000);
    world_end();
}

/* The field holds 16 bits, whatever the buffer. */
static void the_field_is_bounded(void **state)
{
    (void)state;
    world_begin(4 << 20, 64);
    world_begin_at(0);
    assert_int_equal(weir_tcp_window_field(&tcp, false), 65535);
    assert_int_equal(tcp.rcv_adv, 65535 << 4);
    world_end();
}

/* RFC 9293 3.8.6.2.2: a user who takes a byte at a time does not open the window by bytes. */
static void silly_windows_are_not_offered(void **state)
{
    weir_seq edge;

    (void)state;
    world_begin(14560, 64);
    world_begin_at(0);
    tcp.mss = 1456;
    for (int i = 0; i < 10; i++)
        feed(1456);
    world_acked();
    assert_int_equal(weir_tcp_rcv_wnd(&tcp), 0);
    edge = tcp.rcv_adv;
    for (int i = 0; i < 1455; i++) {
        user_reads(1);
        assert_false(world_acked());
    }
    assert_int_equal(weir_tcp_window_field(&tcp, false), 0);
    assert_int_equal(tcp.rcv_adv, edge);
    user_reads(1); /* one MSS: worth telling, at once, for the peer waits */
    assert_true(world_acked());
    assert_int_equal(tcp.rcv_adv - edge, 1456);
    world_end();
}

/* ... nor a window of less than half a small buffer. */
static void half_a_small_buffer_is_a_step(void **state)
{
    (void)state;
    world_begin(1600, 64);
    world_begin_at(0);
    feed(1460);
    feed(140);
    world_acked();
    user_reads(799);
    assert_false(world_acked());
    user_reads(1);
    assert_true(world_acked());
    assert_int_equal(weir_tcp_rcv_wnd(&tcp), 800);
    world_end();
}

/* While the window is open, a reader is not worth a segment until a quarter of the buffer. */
static void updates_are_rare_while_the_window_is_open(void **state)
{
    (void)state;
    world_begin(64000, 64);
    world_begin_at(0);
    for (int i = 0; i < 20; i++)
        feed(1460);
    world_acked();
    tcp.flags &= ~(uint32_t)WEIR_TCP_ACK_NOW;
    user_reads(15999);
    assert_false(world_acked());
    user_reads(1);
    assert_true(world_acked());
    world_end();
}

/* Nobody needs a window who has ended his side. */
static void no_update_behind_the_fin(void **state)
{
    (void)state;
    world_begin(1600, 64);
    world_begin_at(0);
    feed(1460);
    world_acked();
    tcp.flags |= WEIR_TCP_FIN_RECEIVED;
    user_reads(1460);
    assert_false(world_acked());
    world_end();
}

/* RFC 9293 3.8.6: the right edge never moves back, whatever the scale rounds off, until the buffer
 * has been passed by an eighth. */
static void the_right_edge_never_moves_back(void **state)
{
    uint64_t random = random_seed();

    (void)state;
    world_begin(30000, 400);
    tcp.rcv_wscale = 7;
    world_begin_at((weir_seq)random_next(&random));
    for (int i = 0; i < 20000; i++) {
        weir_seq edge = tcp.rcv_adv;
        uint32_t len = (uint32_t)random_below(&random, 1461), field;

        if (len > weir_tcp_rcv_wnd(&tcp))
            len = weir_tcp_rcv_wnd(&tcp);
        if (len > 0)
            feed(len);
        if (tcp.rcv_used && random_below(&random, 3) == 0)
            user_reads((uint32_t)random_below(&random, tcp.rcv_used) + 1);
        field = (uint32_t)weir_tcp_window_field(&tcp, false) << 7;
        assert_true(weir_seq_le(edge, tcp.rcv_adv));
        assert_true(weir_seq_le(edge, tcp.rcv_nxt + field) || tcp.rcv_used > 30000);
        assert_true(tcp.rcv_used + weir_tcp_rcv_wnd(&tcp) <= 30000 + 30000 / 8 + 128);
        world_acked();
    }
    world_end();
}

/* RFC 5681 4.2: every second full segment at least, and within 500 ms (ours: 40). */
static void acks_wait_for_a_second_segment_or_40_ms(void **state)
{
    (void)state;
    world_begin(65536, 64);
    world_begin_at(0);
    feed(1460);
    assert_false(world_acked());
    assert_int_equal(armed, 1);
    assert_int_equal(tcp.ack_at, weir_tick_at(shard.now + WEIR_MS(40)));
    shard.now += WEIR_MS(10);
    feed(1459); /* the deadline is that of the first */
    assert_false(world_acked());
    assert_int_equal(tcp.ack_at, weir_tick_at(shard.now + WEIR_MS(30)));
    feed(1);
    assert_true(world_acked());
    assert_int_equal(tcp.ack_at, 0);
    assert_int_equal(tcp.last_ack_sent, 2920);
    world_end();
}

/* --- auto-tuning --- */

static void segment_at(uint32_t ts_ecr, uint32_t len)
{
    struct weir_pkt *pkt = world_segment(tcp.rcv_nxt, bytes, len, 0);

    pkt->rx.has_ts = true;
    pkt->rx.ts_ecr = ts_ecr;
    weir_tcp_tune(&tcp, pkt);
    weir_tcp_receive(&tcp, pkt);
}

static uint32_t tuned_after_round(uint32_t segments, uint32_t read, uint32_t max)
{
    uint32_t begin;

    world_begin(20000, 64);
    layer.rcvbuf = max;
    world_begin_at(0);
    tcp.flags |= WEIR_TCP_TS;
    tcp.rcv_tuned_at = begin = weir_tcp_ts(&tcp);
    for (uint32_t i = 0; i < segments; i++)
        segment_at(begin, 1000);
    assert_int_equal(tcp.rcv_buf, 20000);
    user_reads(read);
    shard.now += WEIR_MS(5);
    segment_at(begin + 1, 1); /* sent after the round began: a round trip is over */
    begin = tcp.rcv_buf;
    world_end();
    return begin;
}

static void the_buffer_follows_what_the_user_takes(void **state)
{
    (void)state;
    assert_int_equal(tuned_after_round(15, 15000, 1 << 20), 30000);
    assert_int_equal(tuned_after_round(15, 10000, 1 << 20), 20000); /* half: not held up by it */
    assert_int_equal(tuned_after_round(15, 10001, 1 << 20), 20002);
    assert_int_equal(tuned_after_round(15, 0, 1 << 20), 20000); /* a user who does not read */
    assert_int_equal(tuned_after_round(15, 15000, 25000), 25000);
}

/* Not when packets are scarce. */
static void the_buffer_does_not_grow_without_memory(void **state)
{
    struct weir_pkt *pkts[80];

    (void)state;
    world_begin(20000, 128);
    layer.rcvbuf = 1 << 20;
    world_begin_at(0);
    for (unsigned i = 0; i < WEIR_COUNT(pkts); i++)
        pkts[i] = weir_pkt_get(&native.pkts);
    tcp.flags |= WEIR_TCP_TS;
    tcp.rcv_tuned_at = weir_tcp_ts(&tcp);
    for (unsigned i = 0; i < 15; i++)
        segment_at(tcp.rcv_tuned_at, 1000);
    user_reads(15000);
    segment_at(tcp.rcv_tuned_at + 1, 1);
    assert_int_equal(tcp.rcv_buf, 20000);
    for (unsigned i = 0; i < WEIR_COUNT(pkts); i++)
        weir_pkt_free(pkts[i]);
    world_end();
}

/* What the device has merged counts as what it was: two segments of a peer whose MSS is small are
 * acknowledged at once, less than that is not. */
static void merged_segments_count_each(void **state)
{
    struct weir_pkt *pkt;

    (void)state;
    for (int next = 0; next < 2; next++) {
        world_begin(64000, 64);
        world_begin_at(0);
        for (uint32_t len = 1199; len <= 1200; len++) {
            pkt = world_segment(tcp.rcv_nxt, bytes, len, 0);
            pkt->flags |= WEIR_PKT_GSO;
            pkt->gso_size = 600;
            if (next)
                weir_tcp_receive_next(&tcp, pkt);
            else
                weir_tcp_receive(&tcp, pkt);
            assert_int_equal(world_acked(), len == 1200);
            weir_tcp_window_field(&tcp, false);
        }
        pkt = world_segment(tcp.rcv_nxt, bytes, 1200, 0); /* not merged */
        weir_tcp_receive(&tcp, pkt);
        assert_false(world_acked());
        world_end();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_syn_says_it_unscaled),
        cmocka_unit_test(the_field_is_bounded),
        cmocka_unit_test(silly_windows_are_not_offered),
        cmocka_unit_test(half_a_small_buffer_is_a_step),
        cmocka_unit_test(updates_are_rare_while_the_window_is_open),
        cmocka_unit_test(no_update_behind_the_fin),
        cmocka_unit_test(the_right_edge_never_moves_back),
        cmocka_unit_test(acks_wait_for_a_second_segment_or_40_ms),
        cmocka_unit_test(the_buffer_follows_what_the_user_takes),
        cmocka_unit_test(the_buffer_does_not_grow_without_memory),
        cmocka_unit_test(merged_segments_count_each),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
