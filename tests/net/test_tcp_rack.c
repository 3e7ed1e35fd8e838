/* test_tcp_rack.c - RACK-TLP (RFC 8985). */
#include "tcp_send_rig.h"

enum { MSS = 1460, SACK = WEIR_TCP_NODELAY | WEIR_TCP_SACK };

static struct rig *rack_out(uint32_t segments)
{
    struct rig *rig = rig_open(SACK, MSS, WEIR_MS(20));

    rig_push(rig, segments * MSS);
    rig->taken = rig->count;
    return rig;
}

static void test_one_sacked_segment_waits_for_reordering(void **state) /* 6.2 */
{
    struct rig *rig = rack_out(4);

    (void)state;
    rig_wait(rig, WEIR_MS(20));
    rig_sack(rig, 0, MSS, 2 * MSS);
    rig_expect_none(rig);
    rig_wait(rig, WEIR_MS(4)); /* a quarter of the round trip is 5 ms */
    rig_expect_none(rig);
    rig_wait(rig, WEIR_MS(2));
    rig_expect(rig, 0, MSS, 0);
    rig_close(rig);
}

static void test_reordered_segment_is_not_sent_again(void **state)
{
    struct rig *rig = rack_out(4);

    (void)state;
    rig_wait(rig, WEIR_MS(20));
    rig_sack(rig, 0, MSS, 2 * MSS);
    rig_wait(rig, WEIR_MS(3));
    rig_ack(rig, 2 * MSS); /* it was late only */
    assert_int_equal(rig->tcp.reordering, 1);
    rig_wait(rig, WEIR_MS(3));
    rig_ack(rig, 4 * MSS);
    rig_wait(rig, WEIR_SEC(1));
    rig_expect_none(rig);
    rig_close(rig);
}

static void test_seen_reordering_makes_three_wait_too(void **state) /* 6.2: reo_wnd */
{
    struct rig *rig = rack_out(8);

    (void)state;
    rig->tcp.reordering = 1;
    rig_wait(rig, WEIR_MS(20));
    rig_sack(rig, 0, MSS, 5 * MSS);
    rig_expect_none(rig);
    rig_wait(rig, WEIR_MS(6));
    rig_expect(rig, 0, MSS, 0);
    rig_close(rig);
}

static void test_lost_retransmission_is_found(void **state)
{
    struct rig *rig = rack_out(8);

    (void)state;
    rig_wait(rig, WEIR_MS(20));
    rig_sack(rig, 0, MSS, 8 * MSS);
    rig_expect(rig, 0, MSS, 0);
    rig_wait(rig, WEIR_MS(1));
    rig_push(rig, MSS); /* sent after the retransmission */
    rig_expect(rig, 8 * MSS, MSS, WEIR_PSH);
    rig_wait(rig, WEIR_MS(21));
    rig_sack(rig, 0, MSS, 9 * MSS);
    rig_expect(rig, 0, MSS, 0);
    rig_expect_none(rig);
    rig_close(rig);
}

static void test_tail_is_probed(void **state) /* 7.2, 7.3 */
{
    struct rig *rig = rack_out(3);
    weir_time began = rig->shard.now;

    (void)state;
    rig_until(rig, began + WEIR_MS(41)); /* two round trips and a little */
    rig_expect_none(rig);
    rig_until(rig, began + WEIR_MS(43));
    rig_expect(rig, 2 * MSS, MSS, WEIR_PSH);
    rig_until(rig, began + WEIR_MS(200)); /* one probe only */
    rig_expect_none(rig);
    assert_int_equal(rig->native.stats.tcp_tlp, 1);
    assert_int_equal(rig->tcp.cwnd, 10 * MSS);
    rig_sack(rig, 0, 2 * MSS, 3 * MSS); /* it shows that the first two are lost */
    rig_wait(rig, WEIR_MS(6));
    rig_expect(rig, 0, MSS, 0);
    rig_expect(rig, MSS, MSS, 0);
    rig_close(rig);
}

static void test_probe_is_new_data_if_there_is_some(void **state) /* 7.3 */
{
    struct rig *rig = rack_out(10);

    (void)state;
    rig_push(rig, MSS); /* beyond cwnd */
    rig_expect_none(rig);
    rig_wait(rig, WEIR_MS(43));
    rig_expect(rig, 10 * MSS, MSS, WEIR_PSH);
    rig_close(rig);
}

static void test_single_segment_allows_for_a_delayed_ack(void **state) /* 7.2 */
{
    struct rig *rig = rack_out(1);

    (void)state;
    rig_wait(rig, WEIR_MS(198));
    rig_expect_none(rig);
    rig_wait(rig, WEIR_MS(3)); /* the timer, at the same time as a probe would be */
    rig_expect(rig, 0, MSS, WEIR_PSH);
    rig_close(rig);
}

static void test_loss_that_the_probe_repaired_counts(void **state) /* 7.4 */
{
    struct rig *rig = rack_out(3);

    (void)state;
    rig_wait(rig, WEIR_MS(43));
    rig_expect(rig, 2 * MSS, MSS, WEIR_PSH);
    rig_wait(rig, WEIR_MS(20));
    rig_ack(rig, 3 * MSS);
    assert_int_equal(rig->tcp.cwnd, 10 * MSS); /* not yet: perhaps both are on their way */
    rig_push(rig, MSS);
    rig_wait(rig, WEIR_MS(20));
    rig_ack(rig, 4 * MSS);
    assert_true(rig->tcp.cwnd < 10 * MSS);
    assert_int_equal(rig->tcp.tlp_out, 0);
    rig_close(rig);
}

static void test_needless_probe_costs_nothing(void **state) /* 7.4: the duplicate ACK */
{
    struct rig *rig = rack_out(3);

    (void)state;
    rig_wait(rig, WEIR_MS(43));
    rig->taken = rig->count;
    rig_ack(rig, 3 * MSS);
    rig_ack(rig, 3 * MSS); /* of the second copy */
    assert_int_equal(rig->tcp.tlp_out, 0);
    rig_push(rig, MSS);
    rig_ack(rig, 4 * MSS);
    assert_true(rig->tcp.cwnd >= 10 * MSS);
    rig_close(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_sacked_segment_waits_for_reordering),
        cmocka_unit_test(test_reordered_segment_is_not_sent_again),
        cmocka_unit_test(test_seen_reordering_makes_three_wait_too),
        cmocka_unit_test(test_lost_retransmission_is_found),
        cmocka_unit_test(test_tail_is_probed),
        cmocka_unit_test(test_probe_is_new_data_if_there_is_some),
        cmocka_unit_test(test_single_segment_allows_for_a_delayed_ack),
        cmocka_unit_test(test_loss_that_the_probe_repaired_counts),
        cmocka_unit_test(test_needless_probe_costs_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
