/* test_tcp_sack.c - losses and recovery, with SACK (RFC 2018, 6675) and without (RFC 5681, 6582).
 */
#include "tcp_send_rig.h"

enum { MSS = 1460, NODELAY = WEIR_TCP_NODELAY, SACK = WEIR_TCP_NODELAY | WEIR_TCP_SACK };

/* Ten segments are out, and looked at; the round trip is 10 ms. */
static struct rig *sack_ten(uint32_t flags)
{
    struct rig *rig = rig_open(flags, MSS, WEIR_MS(10));

    rig_push(rig, 10 * rig->tcp.mss);
    rig->taken = rig->count;
    rig_wait(rig, WEIR_MS(10));
    return rig;
}

static void test_third_sacked_segment_tells_of_a_loss(void **state) /* RFC 8985 6.2 */
{
    struct rig *rig = sack_ten(SACK);

    (void)state;
    rig_sack(rig, 0, MSS, 2 * MSS);
    rig_sack(rig, 0, MSS, 3 * MSS);
    rig_expect_none(rig);
    assert_int_equal(rig->tcp.sacked, 2 * MSS);
    rig_sack(rig, 0, MSS, 4 * MSS);
    rig_expect(rig, 0, MSS, 0);
    rig_expect_none(rig);
    assert_int_equal(rig->tcp.recovery, WEIR_TCP_RECOVERY);
    assert_int_equal(rig->tcp.ssthresh, 5 * MSS); /* RFC 5681 (4) */
    assert_int_equal(rig->tcp.cwnd, 5 * MSS);
    rig_wait(rig, WEIR_MS(10));
    rig_ack(rig, 10 * MSS);
    assert_int_equal(rig->tcp.recovery, WEIR_TCP_OPEN);
    assert_int_equal(rig->tcp.cwnd, 5 * MSS);
    assert_int_equal(rig->native.stats.tcp_retransmits, 1);
    rig_close(rig);
}

static void test_two_holes_are_filled_in_one_recovery(void **state)
{
    struct rig *rig = sack_ten(SACK);
    const weir_seq block[2][2] = { { rig_seq(rig, 6 * MSS), rig_seq(rig, 10 * MSS) },
                                   { rig_seq(rig, MSS), rig_seq(rig, 5 * MSS) } };

    (void)state;
    assert_true(rig_ack_full(rig, rig_seq(rig, 0), RIG_WINDOW, 0, block, 2));
    rig_expect(rig, 0, MSS, 0);
    rig_expect(rig, 5 * MSS, MSS, 0);
    rig_expect_none(rig);
    assert_int_equal(weir_tcp_in_flight(&rig->tcp), 2 * MSS);
    assert_int_equal(rig->native.stats.tcp_fast_recoveries, 1);
    rig_close(rig);
}

static void test_limited_transmit_with_sack(void **state) /* RFC 3042, RFC 6675 5 (3) */
{
    struct rig *rig = sack_ten(SACK);

    (void)state;
    rig_push(rig, 5 * MSS);
    rig_expect_none(rig); /* cwnd is used up */
    rig_sack(rig, 0, MSS, 2 * MSS);
    rig_expect(rig, 10 * MSS, MSS, 0);
    rig_expect_none(rig);
    rig_close(rig);
}

static void test_bad_blocks_are_ignored(void **state)
{
    struct rig *rig = sack_ten(SACK);

    (void)state;
    rig_sack(rig, 0, MSS, MSS);                    /* empty */
    rig_sack(rig, 0, 2 * MSS, MSS);                /* backwards */
    rig_sack(rig, 0, 9 * MSS, 11 * MSS);           /* never sent */
    rig_sack(rig, 0, (uint32_t)-5 * MSS, 2 * MSS); /* begins before snd_una */
    rig_sack(rig, 0, MSS + 1, 2 * MSS);            /* no whole segment */
    rig_sack(rig, 0, MSS, 2 * MSS - 1);
    assert_int_equal(rig->tcp.sacked, 0);
    rig_sack(rig, 0, MSS, 2 * MSS);
    rig_sack(rig, 0, MSS, 2 * MSS); /* again: counts once */
    assert_int_equal(rig->tcp.sacked, MSS);
    rig_close(rig);
}

static void test_renege_is_survived(void **state) /* RFC 2018 8 */
{
    struct rig *rig = sack_ten(SACK);

    (void)state;
    rig_sack(rig, 0, MSS, 10 * MSS);
    rig->taken = rig->count;
    rig_ack(rig, MSS); /* and not what it had SACKed */
    assert_true(rig->tcp.tx_head->seg.flags & WEIR_SEG_SACKED);
    rig_wait(rig, WEIR_SEC(1));
    assert_int_equal(rig->tcp.sacked, 0);
    rig_expect(rig, MSS, MSS, 0);
    rig_close(rig);
}

static void test_third_duplicate_ack_tells_of_a_loss(void **state) /* RFC 5681 3.2 */
{
    struct rig *rig = sack_ten(NODELAY);

    (void)state;
    rig_push(rig, 10 * MSS);
    rig_expect_none(rig);
    rig_ack(rig, 0);
    rig_expect(rig, 10 * MSS, MSS, 0); /* RFC 3042 */
    rig_ack(rig, 0);
    rig_expect(rig, 11 * MSS, MSS, 0);
    rig_expect_none(rig);
    rig_ack(rig, 0);
    rig_expect(rig, 0, MSS, 0);
    rig_expect_none(rig);
    assert_int_equal(rig->tcp.ssthresh, 5 * MSS); /* without the two of limited transmit */
    for (int i = 0; i < 9; i++)
        rig_ack(rig, 0); /* the window inflates */
    assert_true(rig->count > rig->taken);
    rig->taken = rig->count;
    rig_ack(rig, 5 * MSS); /* RFC 6582 3.2 (5): partial, the next hole */
    rig_expect(rig, 5 * MSS, MSS, 0);
    assert_int_equal(rig->tcp.recovery, WEIR_TCP_RECOVERY);
    rig_ack_full(rig, rig->tcp.recover, RIG_WINDOW, 0, NULL, 0);
    assert_int_equal(rig->tcp.recovery, WEIR_TCP_OPEN);
    rig_close(rig);
}

static void test_not_every_ack_is_a_duplicate(void **state) /* RFC 5681 2 */
{
    struct rig *rig = sack_ten(NODELAY);

    (void)state;
    for (int i = 0; i < 5; i++)
        rig_ack_window(rig, 0, 60000 + 10 * (uint32_t)i); /* window updates */
    rig_expect_none(rig);
    assert_int_equal(rig->tcp.dup_acks, 0);
    rig_ack(rig, 10 * MSS);
    for (int i = 0; i < 5; i++)
        rig_ack(rig, 10 * MSS); /* nothing is outstanding */
    assert_int_equal(rig->tcp.dup_acks, 0);
    rig_close(rig);
}

static void test_old_duplicates_start_no_second_recovery(void **state) /* RFC 6582 3.2 (1) */
{
    struct rig *rig = sack_ten(NODELAY);

    (void)state;
    rig_wait(rig, WEIR_MS(250)); /* the timer: all is sent again */
    rig_ack(rig, MSS);
    rig_ack(rig, 10 * MSS);
    rig_push(rig, 4 * MSS);
    rig->taken = rig->count;
    for (int i = 0; i < 5; i++)
        rig_ack(rig, 10 * MSS); /* made by what was sent twice */
    assert_int_equal(rig->native.stats.tcp_fast_recoveries, 0);
    rig_close(rig);
}

static void test_timeout_sends_all_again_in_slow_start(void **state) /* RFC 5681 3.1 */
{
    struct rig *rig = sack_ten(SACK);

    (void)state;
    rig_sack(rig, 0, 2 * MSS, 3 * MSS);
    rig->taken = rig->count;
    rig_wait(rig, WEIR_MS(250));
    rig->taken = rig->count - 1; /* a probe of RACK-TLP may be before it */
    rig_expect(rig, 0, MSS, 0);
    assert_int_equal(rig->tcp.cwnd, MSS);
    rig_ack(rig, MSS);
    rig_expect(rig, MSS, MSS, 0); /* what was SACKed is not sent */
    rig_expect(rig, 3 * MSS, MSS, 0);
    rig_expect_none(rig);
    rig_close(rig);
}

static void test_spurious_timeout_is_taken_back(void **state) /* RFC 3522, 4015 */
{
    struct rig *rig = sack_ten(NODELAY | WEIR_TCP_TS);
    uint32_t mss = MSS - 12, ts = rig->sent[0].ts_val, cwnd = rig->tcp.cwnd;

    (void)state;
    rig_wait(rig, WEIR_MS(250));
    assert_int_equal(rig->tcp.cwnd, mss);
    assert_true(rig_ack_full(rig, rig_seq(rig, mss), RIG_WINDOW, ts, NULL, 0)); /* of the first */
    assert_int_equal(rig->native.stats.tcp_spurious, 1);
    assert_int_equal(rig->tcp.recovery, WEIR_TCP_OPEN);
    assert_true(rig->tcp.cwnd >= cwnd);
    assert_int_equal(rig->tcp.lost, 0);
    assert_int_equal(rig->native.stats.tcp_retransmits, 1);
    rig_close(rig);
}

static void test_ack_of_what_was_not_sent_is_refused(void **state) /* RFC 9293 3.10.7.4 */
{
    struct rig *rig = sack_ten(SACK);

    (void)state;
    assert_false(rig_ack_full(rig, rig_seq(rig, 10 * MSS + 1), 1, 0, NULL, 0));
    assert_int_equal(rig->tcp.snd_wnd, RIG_WINDOW);
    assert_true(rig_ack_full(rig, rig_seq(rig, (uint32_t)-1), 1, 0, NULL, 0)); /* old */
    assert_int_equal(rig->tcp.snd_wnd, RIG_WINDOW);
    rig_close(rig);
}

static void test_ack_in_the_middle_of_a_segment(void **state)
{
    struct rig *rig = sack_ten(SACK);

    (void)state;
    rig_ack(rig, MSS + 333); /* an odd offset: the sum is right all the same */
    assert_int_equal(rig->tcp.tx_head->seg.len, MSS - 333);
    rig->taken = rig->count;
    rig_wait(rig, WEIR_SEC(1));
    rig->taken++; /* the probe of the tail */
    rig_expect(rig, MSS + 333, MSS - 333, 0);
    rig_close(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_third_sacked_segment_tells_of_a_loss),
        cmocka_unit_test(test_two_holes_are_filled_in_one_recovery),
        cmocka_unit_test(test_limited_transmit_with_sack),
        cmocka_unit_test(test_bad_blocks_are_ignored),
        cmocka_unit_test(test_renege_is_survived),
        cmocka_unit_test(test_third_duplicate_ack_tells_of_a_loss),
        cmocka_unit_test(test_not_every_ack_is_a_duplicate),
        cmocka_unit_test(test_old_duplicates_start_no_second_recovery),
        cmocka_unit_test(test_timeout_sends_all_again_in_slow_start),
        cmocka_unit_test(test_spurious_timeout_is_taken_back),
        cmocka_unit_test(test_ack_of_what_was_not_sent_is_refused),
        cmocka_unit_test(test_ack_in_the_middle_of_a_segment),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
