/* test_tcp_output.c - which segments go out, and when. */
#include "tcp_send_rig.h"

enum { MSS = 1460, NODELAY = WEIR_TCP_NODELAY };

static void test_first_window_is_ten_segments(void **state) /* RFC 6928 2 */
{
    struct rig *rig = rig_open(NODELAY, MSS, WEIR_MS(10));

    (void)state;
    rig_push(rig, 20 * MSS);
    for (uint32_t i = 0; i < 10; i++)
        rig_expect(rig, i * MSS, MSS, 0);
    rig_expect_none(rig);
    rig_ack(rig, 2 * MSS); /* slow start: two go, two more may */
    for (uint32_t i = 10; i < 14; i++)
        rig_expect(rig, i * MSS, MSS, 0);
    rig_expect_none(rig);
    rig_close(rig);
}

static void test_push_flag_ends_what_was_given(void **state)
{
    struct rig *rig = rig_open(NODELAY, MSS, WEIR_MS(10));

    (void)state;
    rig_push(rig, MSS + 10);
    rig_expect(rig, 0, MSS, 0);
    rig_expect(rig, MSS, 10, WEIR_PSH);
    rig_close(rig);
}

static void test_small_pushes_are_joined(void **state)
{
    struct rig *rig = rig_open(NODELAY, MSS, WEIR_MS(10));

    (void)state;
    for (int i = 0; i < 5; i++)
        rig_queue(rig, 101);
    rig_output(rig);
    rig_expect(rig, 0, 505, WEIR_PSH);
    rig_expect_none(rig);
    rig_close(rig);
}

static void test_nagle_waits_for_the_ack(void **state) /* RFC 9293 3.7.4 */
{
    struct rig *rig = rig_open(0, MSS, WEIR_MS(10));

    (void)state;
    rig_push(rig, 10);
    rig_expect(rig, 0, 10, WEIR_PSH);
    rig_push(rig, 10);
    rig_push(rig, 10);
    rig_expect_none(rig);
    rig_push(rig, MSS); /* now a full one is there; its rest waits */
    rig_expect(rig, 10, MSS, WEIR_PSH);
    rig_expect_none(rig);
    rig_ack(rig, 10 + MSS);
    rig_expect(rig, 10 + MSS, 20, WEIR_PSH);
    rig_close(rig);
}

static void test_nagle_is_off_with_nodelay_and_fin(void **state)
{
    struct rig *rig = rig_open(NODELAY, MSS, WEIR_MS(10));

    (void)state;
    rig_push(rig, 10);
    rig_push(rig, 10);
    rig_expect(rig, 0, 10, WEIR_PSH);
    rig_expect(rig, 10, 10, WEIR_PSH);
    rig->tcp.flags &= ~(uint32_t)NODELAY;
    rig_push(rig, 10);
    rig_expect_none(rig);
    rig->tcp.flags |= WEIR_TCP_FIN_QUEUED;
    rig->tcp.state = WEIR_TCP_FIN_WAIT_1;
    weir_tcp_output(&rig->tcp);
    rig_expect(rig, 20, 10, WEIR_PSH | WEIR_FIN);
    rig_close(rig);
}

static void test_silly_window_is_not_filled(void **state) /* RFC 9293 3.8.6.2.1 */
{
    struct rig *rig = rig_open(NODELAY, MSS, WEIR_MS(10));

    (void)state;
    rig->tcp.snd_wnd = rig->tcp.snd_wnd_max = 4 * MSS;
    rig_push(rig, 6 * MSS);
    for (uint32_t i = 0; i < 4; i++)
        rig_expect(rig, i * MSS, MSS, 0);
    rig_ack_window(rig, 4 * MSS, MSS - 1); /* less than a segment, less than half the most */
    rig_expect_none(rig);
    rig_wait(rig, WEIR_MS(190));
    rig_expect_none(rig);
    rig_wait(rig, WEIR_MS(20)); /* (4): it has waited long enough */
    rig_expect(rig, 4 * MSS, MSS - 1, 0);
    rig_close(rig);
}

static void test_half_the_largest_window_is_used(void **state) /* 3.8.6.2.1 (3) */
{
    struct rig *rig = rig_open(NODELAY, MSS, WEIR_MS(10));

    (void)state;
    rig->tcp.snd_wnd = rig->tcp.snd_wnd_max = 1000;
    rig_push(rig, 3000);
    rig_expect(rig, 0, 1000, 0);
    rig_ack_window(rig, 1000, 499);
    rig_expect_none(rig);
    rig_ack_window(rig, 1000, 500);
    rig_expect(rig, 1000, 460, 0); /* what was cut off before; the rest would be silly */
    rig_expect_none(rig);
    rig_close(rig);
}

static void test_zero_window_is_probed(void **state) /* RFC 9293 3.8.6.1 */
{
    struct rig *rig = rig_open(NODELAY, MSS, WEIR_MS(10));
    weir_time wait = WEIR_MS(200), last = rig->shard.now;

    (void)state;
    rig_ack_window(rig, 0, 0);
    rig_push(rig, 100);
    rig_expect_none(rig);
    for (int i = 0; i < 20; i++) { /* for ever, while the peer answers */
        rig_until(rig, last + wait - WEIR_MS(1));
        rig_expect_none(rig);
        rig_until(rig, last + wait + WEIR_MS(1));
        last = rig_expect(rig, 0, 1, 0)->at;
        rig_ack_window(rig, 0, 0);
        wait = (weir_time)weir_min_u64(2 * (uint64_t)wait, (uint64_t)WEIR_SEC(60));
    }
    rig_ack_window(rig, 1, 1000); /* it has taken the byte, and more */
    rig_expect(rig, 1, 99, WEIR_PSH);
    rig_ack(rig, 100);
    assert_int_equal(rig->tcp.rto_at, 0);
    assert_int_equal(rig->ended, 1);
    rig_close(rig);
}

static void test_silent_zero_window_ends(void **state) /* RFC 9293 3.8.6.1, R2 */
{
    struct rig *rig = rig_open(NODELAY, MSS, WEIR_MS(10));

    (void)state;
    rig_ack_window(rig, 0, 0);
    rig_push(rig, 100);
    rig_wait(rig, WEIR_SEC(2000));
    assert_int_equal(rig->count, WEIR_TCP_RETRIES);
    assert_int_equal(rig->ended, -ETIMEDOUT);
    rig_close(rig);
}

static void test_shut_window_without_a_user_ends(void **state)
{
    struct rig *rig = rig_open(NODELAY, MSS, WEIR_MS(10));

    (void)state;
    rig->tcp.flags &= ~(uint32_t)WEIR_TCP_USER;
    rig_ack_window(rig, 0, 0);
    rig_push(rig, 100);
    for (int i = 0; i < 2000 && rig->ended == 1; i++) {
        rig_wait(rig, WEIR_SEC(1));
        if (rig->ended == 1)
            rig_ack_window(rig, 0, 0);
    }
    assert_int_equal(rig->ended, -ETIMEDOUT);
    rig_close(rig);
}

static void test_fin_waits_for_the_window(void **state)
{
    struct rig *rig = rig_open(NODELAY, MSS, WEIR_MS(10));

    (void)state;
    rig_ack_window(rig, 0, 100);
    rig->tcp.flags |= WEIR_TCP_FIN_QUEUED;
    rig->tcp.state = WEIR_TCP_FIN_WAIT_1;
    rig->tcp.flags &= ~(uint32_t)WEIR_TCP_FIN_QUEUED;
    rig_queue(rig, 100);
    rig->tcp.flags |= WEIR_TCP_FIN_QUEUED;
    rig_output(rig);
    rig_expect(rig, 0, 100, WEIR_PSH);
    rig_expect_none(rig);
    rig_ack_window(rig, 100, 1);
    rig_expect(rig, 100, 0, WEIR_FIN);
    assert_true(rig->tcp.flags & WEIR_TCP_FIN_SENT);
    rig_wait(rig, WEIR_MS(201)); /* and again */
    rig_expect(rig, 100, 0, WEIR_FIN);
    rig_ack(rig, 101);
    assert_int_equal(rig->tcp.snd_una, rig->tcp.snd_end + 1);
    rig_wait(rig, WEIR_SEC(100));
    rig_expect_none(rig);
    rig_close(rig);
}

static void test_shut_window_is_probed_with_the_fin(void **state)
{
    struct rig *rig = rig_open(NODELAY, MSS, WEIR_MS(10));

    (void)state;
    rig_ack_window(rig, 0, 0);
    rig->tcp.flags |= WEIR_TCP_FIN_QUEUED;
    rig->tcp.state = WEIR_TCP_FIN_WAIT_1;
    weir_tcp_output(&rig->tcp);
    rig_expect_none(rig);
    rig_wait(rig, WEIR_MS(201));
    rig_expect(rig, 0, 0, WEIR_FIN);
    rig_ack(rig, 1);
    assert_int_equal(rig->tcp.snd_una, rig->tcp.snd_end + 1);
    rig_close(rig);
}

static void test_window_that_shrank_is_respected(void **state) /* RFC 9293 3.8.6 */
{
    struct rig *rig = rig_open(NODELAY, MSS, WEIR_MS(10));

    (void)state;
    rig_push(rig, 4 * MSS);
    for (uint32_t i = 0; i < 4; i++)
        rig_expect(rig, i * MSS, MSS, i == 3 ? WEIR_PSH : 0);
    rig_ack_window(rig, MSS, MSS); /* two are outside now */
    rig_push(rig, MSS);
    rig_expect_none(rig);
    rig_wait(rig, WEIR_MS(201));
    rig_expect(rig, MSS, MSS, 0);
    rig_expect_none(rig);
    rig_ack_window(rig, 2 * MSS, 0);
    rig_expect_none(rig);
    rig_wait(rig, WEIR_SEC(2));
    rig_expect(rig, 2 * MSS, 1, 0); /* a probe */
    rig->taken = rig->count;
    rig_ack_window(rig, 2 * MSS, 10 * MSS); /* open again: at once */
    rig_expect(rig, 2 * MSS, MSS, 0);
    rig_close(rig);
}

static void test_idle_window_restarts(void **state) /* RFC 5681 4.1 */
{
    struct rig *rig = rig_open(NODELAY, MSS, WEIR_MS(10));
    uint32_t at = 0;

    (void)state;
    for (int i = 0; i < 3; i++, at += 10 * MSS) {
        rig_push(rig, 10 * MSS);
        rig_ack(rig, at + 10 * MSS);
    }
    assert_true(rig->tcp.cwnd > 15 * MSS);
    rig_wait(rig, WEIR_SEC(1));
    rig->taken = rig->count;
    rig_push(rig, 20 * MSS);
    assert_int_equal(rig->count - rig->taken, 10);
    rig_close(rig);
}

static void test_lost_syn_makes_a_small_window(void **state) /* RFC 5681 3.1, 6928 2 */
{
    (void)state;
    for (unsigned lost = 0; lost <= 2; lost++) {
        struct rig *rig = rig_new(NODELAY | WEIR_TCP_USER, MSS);

        rig->tcp.state = WEIR_TCP_SYN_RECEIVED;
        weir_tcp_send_init(&rig->tcp);
        weir_tcp_send_control(&rig->tcp, rig->tcp.iss, WEIR_SYN | WEIR_ACK);
        rig_wait(rig, lost == 0 ? WEIR_MS(10) : lost == 1 ? WEIR_MS(1001) : WEIR_MS(3002));
        assert_int_equal(rig->count, 1 + lost);
        rig->tcp.state = WEIR_TCP_ESTABLISHED;
        rig_ack(rig, 0);
        assert_int_equal(rig->tcp.cwnd, (lost == 0 ? 10 : lost == 1 ? 3 : 1) * MSS);
        assert_int_equal(rig->tcp.rto_us, lost == 0 ? 200000 : 3000000); /* RFC 6298 5.7 */
        rig_close(rig);
    }
}

static void test_syn_options(void **state)
{
    struct rig *rig = rig_new(NODELAY, MSS);
    const struct rig_segment *syn;

    (void)state;
    rig->tcp.state = WEIR_TCP_SYN_SENT;
    rig->tcp.rcv_wscale = 7;
    weir_tcp_send_control(&rig->tcp, rig->tcp.iss, WEIR_SYN);
    syn = &rig->sent[0];
    assert_int_equal(syn->flags, WEIR_SYN);
    assert_int_equal(syn->seq, rig->tcp.iss);
    assert_int_equal(syn->ack, 0);
    assert_int_equal(syn->mss, 1460);
    assert_int_equal(syn->wscale, 7);
    assert_true(syn->ts && syn->sack_ok);
    assert_int_equal(syn->ts_val, weir_tcp_ts(&rig->tcp));
    rig_wait(rig, WEIR_SEC(3600));
    assert_int_equal(rig->count, 1 + WEIR_TCP_SYN_RETRIES);
    for (unsigned i = 1; i < rig->count; i++) /* RFC 6298 5.5: it doubles */
        assert_true(rig->sent[i].at - rig->sent[i - 1].at >= WEIR_SEC(1) << (i - 1));
    assert_int_equal(rig->ended, -ETIMEDOUT);
    rig_close(rig);
}

static void test_syn_ack_has_what_was_offered(void **state) /* RFC 7323 1.3, 2018 2 */
{
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        struct rig *rig = rig_new((i & 1 ? WEIR_TCP_TS : 0) | (i & 2 ? WEIR_TCP_SACK : 0), MSS);

        rig->tcp.state = WEIR_TCP_SYN_RECEIVED;
        rig->tcp.rcv_wscale = i & 1 ? 5 : 0;
        weir_tcp_send_init(&rig->tcp);
        weir_tcp_send_control(&rig->tcp, rig->tcp.iss, WEIR_SYN | WEIR_ACK);
        assert_int_equal(rig->sent[0].ack, rig->tcp.rcv_nxt);
        assert_int_equal(rig->sent[0].ts, i & 1);
        assert_int_equal(rig->sent[0].sack_ok, (i & 2) != 0);
        assert_int_equal(rig->sent[0].wscale, i & 1 ? 5 : 255);
        rig_wait(rig, WEIR_SEC(3600));
        assert_int_equal(rig->count, 1 + WEIR_TCP_SYN_ACK_RETRIES);
        assert_int_equal(rig->ended, -ETIMEDOUT);
        rig_close(rig);
    }
}

static void test_timestamps_shorten_segments(void **state) /* RFC 6691 */
{
    struct rig *rig = rig_open(NODELAY | WEIR_TCP_TS, MSS, WEIR_MS(10));
    struct rig_segment *segment;

    (void)state;
    rig->tcp.ts_recent = 4711;
    rig_push(rig, 2000);
    segment = rig_expect(rig, 0, MSS - 12, 0);
    assert_int_equal(segment->ts_val, weir_tcp_ts(&rig->tcp));
    assert_int_equal(segment->ts_ecr, 4711);
    rig_expect(rig, MSS - 12, 2000 - MSS + 12, WEIR_PSH);
    rig_close(rig);
}

static void test_sack_blocks_ride_where_there_is_room(void **state)
{
    struct rig *rig = rig_open(NODELAY | WEIR_TCP_TS | WEIR_TCP_SACK, MSS, WEIR_MS(10));
    struct weir_pkt ooo = { 0 };

    (void)state;
    rig->tcp.ooo = &ooo;
    rig->sacks = 4;
    rig->tcp.flags |= WEIR_TCP_ACK_NOW;
    rig_push(rig, MSS - 12 + 100);
    assert_int_equal(rig_expect(rig, 0, 0, 0)->sacks, 3);
    assert_int_equal(rig_expect(rig, 0, MSS - 12, 0)->sacks, 0);
    assert_int_equal(rig_expect(rig, MSS - 12, 100, WEIR_PSH)->sacks, 3);
    rig_expect_none(rig);
    rig_close(rig);
}

static void test_ack_rides_on_data(void **state)
{
    struct rig *rig = rig_open(NODELAY, MSS, WEIR_MS(10));

    (void)state;
    rig->tcp.flags |= WEIR_TCP_ACK_NOW;
    rig_push(rig, 10);
    rig_expect(rig, 0, 10, WEIR_PSH);
    rig_expect_none(rig);
    rig->tcp.flags |= WEIR_TCP_ACK_NOW;
    weir_tcp_output(&rig->tcp);
    rig_expect(rig, 10, 0, 0);
    rig_close(rig);
}

static void test_delayed_ack_fires(void **state)
{
    struct rig *rig = rig_open(NODELAY, MSS, WEIR_MS(10));

    (void)state;
    rig->tcp.ack_at = weir_tick_at(rig->shard.now + WEIR_MS(40));
    weir_tcp_arm(&rig->tcp);
    rig_wait(rig, WEIR_MS(39));
    rig_expect_none(rig);
    rig_wait(rig, WEIR_MS(2));
    rig_expect(rig, 0, 0, 0);
    rig_wait(rig, WEIR_SEC(1));
    rig_expect_none(rig);
    rig_close(rig);
}

static void test_held_packets_are_copied(void **state)
{
    struct rig *rig = rig_open(NODELAY, MSS, WEIR_MS(10));
    struct weir_pkt *first;

    (void)state;
    rig->hold = true;
    rig_push(rig, MSS);
    first = rig->held[0];
    assert_int_equal(rig->tcp.tx_head->buf.refs, 2);
    rig_wait(rig, WEIR_MS(201)); /* the device still has it: its header must not change */
    assert_int_equal(rig->held_count, 2);
    assert_true(rig->held[1]->buf.data < first->buf.data - 100 ||
                rig->held[1]->buf.data > first->buf.data + 100);
    rig_expect(rig, 0, MSS, WEIR_PSH);
    rig_expect(rig, 0, MSS, WEIR_PSH);
    rig_ack(rig, MSS); /* the queue lets go, the device has not */
    assert_null(rig->tcp.tx_head);
    assert_int_equal(rig->native.pkts.pool.live, 2);
    for (uint32_t i = 0; i < MSS; i++)
        assert_int_equal(first->buf.data[20 + i], rig_byte(i));
    rig_close(rig);
}

static void test_checksum_is_left_to_the_device(void **state)
{
    struct rig *rig = rig_open(NODELAY | WEIR_TCP_TS, MSS, WEIR_MS(10));

    (void)state;
    rig->dev.caps = WEIR_DEV_TX_L4_CSUM;
    rig_push(rig, 3000); /* the path checks it */
    assert_int_equal(rig->count, 3);
    rig_close(rig);
}

/* --- super segments --- */

static struct rig *super_open(uint32_t flags, uint32_t tso_max)
{
    struct rig *rig = rig_open(flags, MSS, WEIR_MS(10));

    rig->dev.caps = WEIR_DEV_TX_TSO | WEIR_DEV_TX_L4_CSUM;
    rig->dev.tso_max = tso_max;
    return rig;
}

static void expect_super(struct rig *rig, uint32_t offset, uint32_t len, uint8_t flags)
{
    const struct rig_segment *segment = rig_expect(rig, offset, len, flags);

    assert_int_equal(segment->gso_size, MSS);
    assert_int_equal(segment->pieces, 1 + (len + MSS - 1) / MSS);
}

static void test_device_cuts_what_goes_at_once(void **state)
{
    struct rig *rig = super_open(NODELAY, 65535);

    (void)state;
    rig_push(rig, 20 * MSS); /* as much as cwnd allows */
    expect_super(rig, 0, 10 * MSS, 0);
    rig_expect_none(rig);
    assert_int_equal(rig->native.stats.tcp_out, 11); /* segments, and the SYN|ACK */
    rig_ack(rig, 3 * MSS);
    expect_super(rig, 10 * MSS, 6 * MSS, 0);
    rig_expect_none(rig);
    rig_ack(rig, 16 * MSS);
    expect_super(rig, 16 * MSS, 4 * MSS, WEIR_PSH);
    rig_expect_none(rig);
    rig_close(rig);
}

static void test_device_is_given_what_it_takes(void **state)
{
    struct rig *rig = super_open(NODELAY, 3 * MSS);

    (void)state;
    rig->tcp.cwnd = 1 << 20;
    rig->tcp.snd_wnd = rig->tcp.snd_wnd_max = 1 << 20;
    rig_push(rig, 7 * MSS); /* what is left alone goes as any segment */
    expect_super(rig, 0, 3 * MSS, 0);
    expect_super(rig, 3 * MSS, 3 * MSS, 0);
    assert_int_equal(rig_expect(rig, 6 * MSS, MSS, WEIR_PSH)->gso_size, 0);
    rig->dev.tso_max = 3 * MSS - 1;
    rig_push(rig, 4 * MSS);
    expect_super(rig, 7 * MSS, 2 * MSS, 0);
    expect_super(rig, 9 * MSS, 2 * MSS, WEIR_PSH);
    rig->dev.tso_max = 2 * MSS - 1;
    rig_push(rig, 2 * MSS);
    rig_expect(rig, 11 * MSS, MSS, 0);
    rig_expect(rig, 12 * MSS, MSS, WEIR_PSH);
    rig_expect_none(rig);
    rig_close(rig);
}

static void test_packet_is_never_too_long(void **state) /* for the length field of IPv4 */
{
    struct rig *rig = super_open(NODELAY, UINT32_MAX);

    (void)state;
    rig->tcp.cwnd = rig->tcp.snd_buf = 1 << 20;
    rig->tcp.snd_wnd = rig->tcp.snd_wnd_max = 1 << 20;
    rig_push(rig, 50 * MSS);
    expect_super(rig, 0, 44 * MSS, 0);
    expect_super(rig, 44 * MSS, 6 * MSS, WEIR_PSH);
    rig_expect_none(rig);
    rig_close(rig);
}

static void test_pieces_are_bounded(void **state)
{
    struct rig *rig = super_open(NODELAY, 65535);

    (void)state;
    rig->tcp.mss_peer = rig->tcp.mss = 500;
    rig->tcp.cwnd = rig->tcp.snd_buf = 1 << 20;
    rig_push(rig, 49 * 500);
    assert_int_equal(rig_expect(rig, 0, 48 * 500, 0)->pieces, 49);
    rig_expect(rig, 48 * 500, 500, WEIR_PSH);
    rig_expect_none(rig);
    rig_close(rig);
}

static void test_short_piece_and_fin_come_last(void **state)
{
    struct rig *rig = super_open(NODELAY, 65535);

    (void)state;
    rig_queue(rig, 2 * MSS + 100);
    rig->tcp.flags |= WEIR_TCP_FIN_QUEUED;
    rig->tcp.state = WEIR_TCP_FIN_WAIT_1;
    rig_output(rig);
    expect_super(rig, 0, 2 * MSS + 100, WEIR_PSH | WEIR_FIN);
    rig_expect_none(rig);
    assert_true(rig->tcp.flags & WEIR_TCP_FIN_SENT);
    rig_ack(rig, 2 * MSS + 101);
    rig_close(rig);
}

static void test_push_ends_a_super_segment(void **state)
{
    struct rig *rig = super_open(NODELAY, 65535);

    (void)state;
    rig_queue(rig, 2 * MSS);
    rig_queue(rig, 2 * MSS);
    rig_output(rig);
    expect_super(rig, 0, 2 * MSS, WEIR_PSH);
    expect_super(rig, 2 * MSS, 2 * MSS, WEIR_PSH);
    rig_expect_none(rig);
    rig_close(rig);
}

static void test_super_segment_keeps_to_the_window(void **state)
{
    struct rig *rig = super_open(0, 65535);

    (void)state;
    rig->tcp.snd_wnd = rig->tcp.snd_wnd_max = 3 * MSS + 10;
    rig_push(rig, 5 * MSS); /* ten bytes more would be silly */
    expect_super(rig, 0, 3 * MSS, 0);
    rig_expect_none(rig);
    rig_ack_window(rig, 3 * MSS, 65535);
    expect_super(rig, 3 * MSS, 2 * MSS, WEIR_PSH);
    rig_push(rig, 2 * MSS + 1); /* Nagle: the byte waits */
    expect_super(rig, 5 * MSS, 2 * MSS, 0);
    rig_expect_none(rig);
    rig_ack(rig, 7 * MSS);
    rig_expect(rig, 7 * MSS, 1, WEIR_PSH);
    rig_close(rig);
}

/* Parts of a super segment are lost, and sent again, as if they had gone alone. */
static void test_lost_part_is_sent_alone(void **state)
{
    struct rig *rig = super_open(NODELAY | WEIR_TCP_SACK, 65535);

    (void)state;
    rig_push(rig, 8 * MSS);
    expect_super(rig, 0, 8 * MSS, WEIR_PSH);
    rig_wait(rig, WEIR_MS(10));
    rig_sack(rig, 2 * MSS, 3 * MSS, 8 * MSS);
    assert_int_equal(rig_expect(rig, 2 * MSS, MSS, 0)->gso_size, 0);
    rig_expect_none(rig);
    rig_ack(rig, 8 * MSS);
    assert_int_equal(rig->tcp.recovery, WEIR_TCP_OPEN);
    rig_close(rig);
}

static void test_held_super_segment_does_not_change(void **state)
{
    struct rig *rig = super_open(NODELAY, 65535);
    const struct weir_pkt *pkt;
    uint32_t offset = 0;

    (void)state;
    rig->hold = true;
    rig_push(rig, 4 * MSS);
    expect_super(rig, 0, 4 * MSS, WEIR_PSH);
    rig_ack(rig, MSS + 7); /* one is let go of, one is trimmed */
    rig_wait(rig, WEIR_MS(201));
    rig_expect(rig, MSS + 7, MSS - 7, 0); /* from a copy */
    for (pkt = rig->held[0]->frag; pkt; pkt = pkt->frag)
        for (uint32_t i = 0; i < pkt->buf.len; i++)
            assert_int_equal(pkt->buf.data[i], rig_byte(offset++));
    assert_int_equal(offset, 4 * MSS);
    rig_close(rig);
}

static void test_super_segment_without_memory(void **state)
{
    struct rig *rig = super_open(NODELAY, 65535);
    struct weir_pkts *pkts = &rig->native.pkts;

    (void)state;
    rig_queue(rig, 4 * MSS);
    pkts->pool.max = pkts->pool.live; /* no header */
    rig_output(rig);
    rig_expect_none(rig);
    assert_int_equal(rig->native.stats.tcp_no_memory, 1);
    pkts->pool.max = 4096;
    pkts->views.max = 2; /* two pieces */
    rig->hold = true;
    weir_tcp_output(&rig->tcp);
    expect_super(rig, 0, 2 * MSS, 0);
    rig_expect_none(rig);
    assert_int_equal(rig->tcp.snd_nxt, rig_seq(rig, 2 * MSS));
    rig_close(rig);
}

static void test_smaller_mtu_cuts_what_was_sent(void **state) /* RFC 1191 6.5 */
{
    struct rig *rig = rig_open(NODELAY, MSS, WEIR_MS(10));
    uint32_t cwnd = rig->tcp.cwnd;

    (void)state;
    rig_push(rig, 2 * MSS);
    rig->taken = rig->count;
    rig->new_mtu = 1040;
    rig->native.generation++;
    weir_tcp_mtu_changed(&rig->tcp);
    rig_output(rig);
    rig_expect(rig, 0, 1000, 0);
    rig_expect(rig, 1000, 460, 0);
    rig_expect(rig, 1460, 1000, 0);
    rig_expect(rig, 2460, 460, WEIR_PSH);
    rig_expect_none(rig);
    assert_int_equal(rig->tcp.cwnd, cwnd);
    rig_push(rig, 1001);
    rig_expect(rig, 2920, 1000, 0);
    rig_expect(rig, 3920, 1, WEIR_PSH);
    rig_close(rig);
}

static void test_retransmission_backs_off_and_ends(void **state) /* RFC 6298 5.4-5.6, R2 */
{
    struct rig *rig = rig_open(NODELAY, MSS, WEIR_MS(10));
    weir_time began;

    (void)state;
    rig_push(rig, 3 * MSS);
    began = rig->shard.now;
    rig_wait(rig, WEIR_MS(199));
    assert_int_equal(rig->count, 3);
    rig_wait(rig, WEIR_MS(2));
    assert_int_equal(rig->count, 4); /* one segment: cwnd is 1 */
    assert_int_equal(rig->tcp.cwnd, MSS);
    rig_until(rig, began + WEIR_MS(599));
    assert_int_equal(rig->count, 4);
    rig_until(rig, began + WEIR_MS(602));
    assert_int_equal(rig->count, 5);
    rig_wait(rig, WEIR_SEC(3600));
    assert_int_equal(rig->count, 3 + WEIR_TCP_RETRIES);
    assert_int_equal(rig->ended, -ETIMEDOUT);
    rig_close(rig);
}

static void test_keepalive(void **state) /* RFC 9293 3.8.4 */
{
    struct rig *rig = rig_open(NODELAY | WEIR_TCP_KEEPALIVE, MSS, WEIR_MS(10));

    (void)state;
    rig->tcp.heard_at = weir_tick_at(rig->shard.now);
    weir_tcp_output(&rig->tcp);
    rig_wait(rig, WEIR_SEC(7199));
    rig_expect_none(rig);
    rig_wait(rig, WEIR_SEC(2));
    rig_expect(rig, (uint32_t)-1, 0, 0); /* a sequence number that was acknowledged */
    rig->tcp.heard_at = weir_tick_at(rig->shard.now);
    rig_wait(rig, WEIR_SEC(7199));
    rig_expect_none(rig);
    rig_wait(rig, WEIR_SEC(2) + WEIR_SEC(75) * 9 - WEIR_SEC(3));
    assert_int_equal(rig->count, 1 + WEIR_TCP_KEEPALIVE_PROBES);
    assert_int_equal(rig->ended, 1);
    rig_wait(rig, WEIR_SEC(4));
    assert_int_equal(rig->ended, -ETIMEDOUT);
    rig_close(rig);
}

static void test_orphan_in_fin_wait_2_ends_silently(void **state)
{
    struct rig *rig = rig_open(NODELAY, MSS, WEIR_MS(10));

    (void)state;
    rig->tcp.state = WEIR_TCP_FIN_WAIT_2;
    rig->tcp.flags &= ~(uint32_t)WEIR_TCP_USER;
    rig->tcp.idle_at = weir_tick_at(rig->shard.now + WEIR_SEC(60));
    weir_tcp_arm(&rig->tcp);
    rig_wait(rig, WEIR_SEC(60) - WEIR_MS(1));
    assert_int_equal(rig->ended, 1);
    rig_wait(rig, WEIR_MS(2));
    assert_int_equal(rig->ended, 0);
    rig_expect_none(rig);
    rig_close(rig);
}

static void test_output_list_survives_leaving(void **state)
{
    struct rig *rig = rig_open(NODELAY, MSS, WEIR_MS(10));
    struct weir_native *native = &rig->native;
    struct weir_tcp other[3];

    (void)state;
    for (int gone = 0; gone < 3; gone++) {
        for (int i = 0; i < 3; i++) {
            other[i] = rig->tcp;
            other[i].state = WEIR_TCP_SYN_SENT; /* has nothing to say */
            weir_alarm_init(&other[i].alarm, weir_tcp_fire);
            weir_tcp_output_later(&other[i]);
            weir_tcp_output_later(&other[i]); /* again: once */
        }
        weir_tcp_output_forget(&other[gone]);
        weir_tcp_output_forget(&other[gone]);
        weir_tcp_output_later(&rig->tcp);
        assert_false(weir_tcp_output_all(native));
        for (int i = 0; i < 3; i++)
            assert_false(other[i].flags & WEIR_TCP_QUEUED);
        assert_null(native->output);
        assert_null(native->output_stop);
    }
    rig_close(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_window_is_ten_segments),
        cmocka_unit_test(test_push_flag_ends_what_was_given),
        cmocka_unit_test(test_small_pushes_are_joined),
        cmocka_unit_test(test_nagle_waits_for_the_ack),
        cmocka_unit_test(test_nagle_is_off_with_nodelay_and_fin),
        cmocka_unit_test(test_silly_window_is_not_filled),
        cmocka_unit_test(test_half_the_largest_window_is_used),
        cmocka_unit_test(test_zero_window_is_probed),
        cmocka_unit_test(test_silent_zero_window_ends),
        cmocka_unit_test(test_shut_window_without_a_user_ends),
        cmocka_unit_test(test_fin_waits_for_the_window),
        cmocka_unit_test(test_shut_window_is_probed_with_the_fin),
        cmocka_unit_test(test_window_that_shrank_is_respected),
        cmocka_unit_test(test_idle_window_restarts),
        cmocka_unit_test(test_lost_syn_makes_a_small_window),
        cmocka_unit_test(test_syn_options),
        cmocka_unit_test(test_syn_ack_has_what_was_offered),
        cmocka_unit_test(test_timestamps_shorten_segments),
        cmocka_unit_test(test_sack_blocks_ride_where_there_is_room),
        cmocka_unit_test(test_ack_rides_on_data),
        cmocka_unit_test(test_delayed_ack_fires),
        cmocka_unit_test(test_held_packets_are_copied),
        cmocka_unit_test(test_checksum_is_left_to_the_device),
        cmocka_unit_test(test_device_cuts_what_goes_at_once),
        cmocka_unit_test(test_device_is_given_what_it_takes),
        cmocka_unit_test(test_packet_is_never_too_long),
        cmocka_unit_test(test_pieces_are_bounded),
        cmocka_unit_test(test_short_piece_and_fin_come_last),
        cmocka_unit_test(test_push_ends_a_super_segment),
        cmocka_unit_test(test_super_segment_keeps_to_the_window),
        cmocka_unit_test(test_lost_part_is_sent_alone),
        cmocka_unit_test(test_held_super_segment_does_not_change),
        cmocka_unit_test(test_super_segment_without_memory),
        cmocka_unit_test(test_smaller_mtu_cuts_what_was_sent),
        cmocka_unit_test(test_retransmission_backs_off_and_ends),
        cmocka_unit_test(test_keepalive),
        cmocka_unit_test(test_orphan_in_fin_wait_2_ends_silently),
        cmocka_unit_test(test_output_list_survives_leaving),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
