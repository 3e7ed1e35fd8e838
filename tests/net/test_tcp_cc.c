/* test_tcp_cc.c - how the window grows and shrinks: NewReno (RFC 5681), CUBIC (RFC 9438). */
#include "tcp_send_rig.h"

enum { MSS = 1460 };

static struct rig *cc_rig(uint8_t cc, uint32_t cwnd, uint32_t ssthresh)
{
    struct rig *rig = rig_open(0, MSS, WEIR_MS(100));

    rig->tcp.cc = cc;
    rig->tcp.flags |= WEIR_TCP_CC;
    weir_tcp_ccs[cc]->init(&rig->tcp);
    rig->tcp.cwnd = cwnd * MSS;
    rig->tcp.ssthresh = ssthresh * MSS;
    return rig;
}

/* As if all of cwnd were under way. */
static void cc_fill(struct rig *rig)
{
    rig->tcp.snd_nxt = rig->tcp.snd_una + rig->tcp.cwnd;
}

/* One round trip of 100 ms in which each segment is acknowledged. */
static void cc_round(struct rig *rig)
{
    uint32_t segments = rig->tcp.cwnd / MSS;

    for (uint32_t i = 0; i < segments; i++) {
        rig->shard.now += WEIR_MS(100) / segments;
        weir_tcp_ccs[rig->tcp.cc]->acked(&rig->tcp, MSS);
    }
}

static void cc_end(struct rig *rig)
{
    rig->tcp.snd_nxt = rig->tcp.snd_una;
    rig_close(rig);
}

static void test_slow_start_doubles(void **state)
{
    (void)state;
    for (uint8_t cc = 0; cc < 2; cc++) {
        struct rig *rig = cc_rig(cc, 10, 35);

        cc_round(rig);
        assert_int_equal(rig->tcp.cwnd, 20 * MSS);
        cc_round(rig); /* up to ssthresh, and from there slowly */
        assert_true(rig->tcp.cwnd >= 35 * MSS && rig->tcp.cwnd <= 36 * MSS);
        cc_end(rig);
    }
}

static void test_slow_start_has_a_limit_per_ack(void **state) /* RFC 3465 2.2, 2.3 */
{
    struct rig *rig = cc_rig(WEIR_CC_RENO, 10, 1000);

    (void)state;
    assert_int_equal(weir_tcp_slow_start(&rig->tcp, 100 * MSS), 0);
    assert_int_equal(rig->tcp.cwnd, 18 * MSS);
    rig->tcp.recovery = WEIR_TCP_LOSS;
    weir_tcp_slow_start(&rig->tcp, 100 * MSS);
    assert_int_equal(rig->tcp.cwnd, 19 * MSS);
    cc_end(rig);
}

static void test_reno_grows_one_segment_a_round(void **state) /* RFC 5681 3.1 (3) */
{
    struct rig *rig = cc_rig(WEIR_CC_RENO, 20, 20);

    (void)state;
    for (uint32_t i = 1; i <= 50; i++) {
        cc_round(rig);
        assert_int_equal(rig->tcp.cwnd, (20 + i) * MSS);
    }
    cc_end(rig);
}

static void test_loss_and_undo(void **state)
{
    static const uint32_t want[2] = { [WEIR_CC_RENO] = 50, [WEIR_CC_CUBIC] = 70 };

    (void)state;
    for (uint8_t cc = 0; cc < 2; cc++) {
        struct rig *rig = cc_rig(cc, 100, 80);

        cc_fill(rig);
        weir_tcp_ccs[cc]->lost(&rig->tcp);
        assert_int_equal(rig->tcp.ssthresh, want[cc] * MSS);
        rig->tcp.cwnd = rig->tcp.ssthresh;
        weir_tcp_ccs[cc]->undo(&rig->tcp);
        assert_int_equal(rig->tcp.cwnd, 100 * MSS);
        assert_int_equal(rig->tcp.ssthresh, 80 * MSS);
        rig->tcp.snd_nxt = rig->tcp.snd_una + MSS; /* the least: RFC 5681 (4) */
        weir_tcp_ccs[cc]->timeout(&rig->tcp);
        assert_int_equal(rig->tcp.ssthresh, 2 * MSS);
        cc_end(rig);
    }
}

/* W(t) = 0.4 (t - K)^3 + W_max, K = cbrt((W_max - cwnd) / 0.4), in segments and seconds: from 700
 * with W_max 1000 K is 9.0856 s.  The window after t seconds, by the formula, for the time one
 * round trip ahead, is what one more round trip makes of it. */
static void test_cubic_follows_its_curve(void **state) /* RFC 9438 4.2 */
{
    static const struct {
        unsigned seconds;
        double window;
    } curve[] = { { 2, 857.9 }, { 5, 973.0 }, { 9, 1000.0 }, { 12, 1009.9 }, { 15, 1082.7 } };
    struct rig *rig = cc_rig(WEIR_CC_CUBIC, 1000, 1000);
    unsigned second = 0;

    (void)state;
    cc_fill(rig);
    weir_tcp_cubic.lost(&rig->tcp);
    rig->tcp.cwnd = rig->tcp.ssthresh;
    for (size_t i = 0; i < WEIR_COUNT(curve); i++) {
        double window;

        for (; second < curve[i].seconds; second++)
            for (int j = 0; j < 10; j++)
                cc_round(rig);
        window = (double)rig->tcp.cwnd / MSS;
        if (window < curve[i].window * 0.985 || window > curve[i].window * 1.015)
            fail_msg("after %u s: %.1f, not %.1f", second, window, curve[i].window);
    }
    cc_end(rig);
}

/* W(t) = 0.4 t^3 + where congestion avoidance begins: 753.1 five seconds and a round trip after
 * 700, where a loss without timeout has 973.0. */
static void test_cubic_starts_afresh_after_a_timeout(void **state) /* RFC 9438 4.8 */
{
    struct rig *rig = cc_rig(WEIR_CC_CUBIC, 1000, 1000);
    double window;

    (void)state;
    cc_fill(rig);
    weir_tcp_cubic.timeout(&rig->tcp);
    assert_int_equal(rig->tcp.ssthresh, 700 * MSS);
    rig->tcp.cwnd = rig->tcp.ssthresh; /* slow start is over */
    for (int i = 0; i < 50; i++)
        cc_round(rig);
    window = (double)rig->tcp.cwnd / MSS;
    if (window < 753.1 * 0.985 || window > 753.1 * 1.015)
        fail_msg("after 5 s: %.1f, not 753.1", window);
    cc_end(rig);
}

static void test_cubic_takes_a_timeout_back(void **state) /* RFC 9438 4.9.1 */
{
    struct rig *rig = cc_rig(WEIR_CC_CUBIC, 1000, 1000);

    (void)state;
    cc_fill(rig);
    weir_tcp_cubic.lost(&rig->tcp);
    rig->tcp.cwnd = 700 * MSS;
    weir_tcp_cubic.timeout(&rig->tcp);
    rig->tcp.cwnd = MSS;
    weir_tcp_cubic.undo(&rig->tcp);
    assert_int_equal(rig->tcp.cwnd, 700 * MSS);
    assert_int_equal(rig->tcp.cc_state[0], 1000 * MSS); /* W_max */
    cc_end(rig);
}

static void test_cubic_is_not_slower_than_reno(void **state) /* 4.3: small windows */
{
    struct rig *rig = cc_rig(WEIR_CC_CUBIC, 10, 10);

    (void)state;
    cc_fill(rig);
    weir_tcp_cubic.lost(&rig->tcp);
    rig->tcp.cwnd = rig->tcp.ssthresh; /* 7 */
    for (int i = 0; i < 20; i++)
        cc_round(rig);
    /* 9/17 a round up to 10, then one a round: 6 rounds, 14 rounds; the segments are whole */
    assert_true(rig->tcp.cwnd >= 20 * MSS && rig->tcp.cwnd <= 25 * MSS);
    cc_end(rig);
}

static void test_cubic_gives_way(void **state) /* 4.7: fast convergence */
{
    struct rig *rig = cc_rig(WEIR_CC_CUBIC, 1000, 1000);

    (void)state;
    cc_fill(rig);
    weir_tcp_cubic.lost(&rig->tcp);
    assert_int_equal(rig->tcp.cc_state[0], 1000 * MSS);
    rig->tcp.cwnd = 700 * MSS;
    weir_tcp_cubic.lost(&rig->tcp);
    assert_int_equal(rig->tcp.cc_state[0], 595 * MSS);
    cc_end(rig);
}

static void test_unused_window_does_not_grow(void **state) /* RFC 7661 */
{
    struct rig *rig = rig_open(WEIR_TCP_NODELAY, MSS, WEIR_MS(10));

    (void)state;
    for (uint32_t i = 1; i <= 50; i++) {
        rig_push(rig, 4 * MSS); /* of ten */
        rig_ack(rig, i * 4 * MSS);
    }
    assert_int_equal(rig->tcp.cwnd, 10 * MSS);
    rig_push(rig, 6 * MSS);
    rig_ack(rig, 206 * MSS);
    assert_int_equal(rig->tcp.cwnd, 16 * MSS);
    rig_close(rig);
}

static void test_send_buffer_grows_with_the_window(void **state)
{
    struct rig *rig = rig_open(WEIR_TCP_NODELAY, MSS, WEIR_MS(10));

    (void)state;
    assert_int_equal(rig->tcp.snd_buf, 65536);
    rig->tcp.snd_wnd = 1 << 30;
    for (int i = 0; i < 100; i++) {
        rig->count = 0;
        while (rig_queue(rig, 100000) > 0)
            ;
        rig_output(rig);
        rig_ack(rig, rig->tcp.snd_nxt - rig_seq(rig, 0));
        assert_true(rig->tcp.snd_buf == 1 << 20 || rig->tcp.snd_buf >= 2 * rig->tcp.cwnd ||
                    rig->tcp.snd_buf == 65536);
    }
    assert_int_equal(rig->tcp.snd_buf, 1 << 20);
    rig_close(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slow_start_doubles),
        cmocka_unit_test(test_slow_start_has_a_limit_per_ack),
        cmocka_unit_test(test_reno_grows_one_segment_a_round),
        cmocka_unit_test(test_loss_and_undo),
        cmocka_unit_test(test_cubic_follows_its_curve),
        cmocka_unit_test(test_cubic_starts_afresh_after_a_timeout),
        cmocka_unit_test(test_cubic_takes_a_timeout_back),
        cmocka_unit_test(test_cubic_is_not_slower_than_reno),
        cmocka_unit_test(test_cubic_gives_way),
        cmocka_unit_test(test_unused_window_does_not_grow),
        cmocka_unit_test(test_send_buffer_grows_with_the_window),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
