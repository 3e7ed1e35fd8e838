/* test_tcp_rtt.c - round-trip samples and the retransmission timeout (RFC 6298). */
#include "tcp_send_rig.h"

enum { MSS = 1460, NODELAY = WEIR_TCP_NODELAY };

static void test_first_timeout_is_a_second(void **state) /* 2.1 */
{
    struct rig *rig = rig_new(0, MSS);

    (void)state;
    weir_tcp_rto_reset(&rig->tcp);
    assert_int_equal(rig->tcp.rto_us, 1000000);
    rig_close(rig);
}

static void test_samples_are_smoothed(void **state) /* 2.2, 2.3 */
{
    struct rig *rig = rig_new(0, MSS);
    struct weir_tcp *tcp = &rig->tcp;

    (void)state;
    weir_tcp_rtt_sample(tcp, 400000);
    assert_int_equal(tcp->srtt_us, 400000);
    assert_int_equal(tcp->rttvar_us, 200000);
    assert_int_equal(tcp->rto_us, 1200000);
    weir_tcp_rtt_sample(tcp, 480000);
    assert_int_equal(tcp->rttvar_us, 170000); /* 3/4 of 200 + 1/4 of 80 */
    assert_int_equal(tcp->srtt_us, 410000);   /* 7/8 of 400 + 1/8 of 480 */
    assert_int_equal(tcp->rto_us, 1090000);
    assert_int_equal(tcp->min_rtt_us, 400000);
    rig_close(rig);
}

static void test_timeout_has_bounds(void **state) /* 2.4, 2.5 */
{
    struct rig *rig = rig_new(0, MSS);

    (void)state;
    weir_tcp_rtt_sample(&rig->tcp, 0); /* the clock had not moved */
    assert_int_equal(rig->tcp.srtt_us, 1);
    assert_int_equal(rig->tcp.rto_us, 200000);
    for (int i = 0; i < 20; i++)
        weir_tcp_rto_backoff(&rig->tcp);
    assert_int_equal(rig->tcp.rto_us, 60000000);
    weir_tcp_rtt_sample(&rig->tcp, UINT32_MAX);
    weir_tcp_rtt_sample(&rig->tcp, UINT32_MAX);
    assert_int_equal(rig->tcp.rto_us, 60000000);
    rig_close(rig);
}

static void test_steady_samples_need_the_clock_only(void **state)
{
    struct rig *rig = rig_new(0, MSS);

    (void)state;
    for (int i = 0; i < 200; i++)
        weir_tcp_rtt_sample(&rig->tcp, 300000);
    assert_int_equal(rig->tcp.srtt_us, 300000);
    assert_int_equal(rig->tcp.rto_us, 300000 + 65); /* G: a tick */
    rig_close(rig);
}

static void test_syn_is_a_sample(void **state)
{
    struct rig *rig = rig_open(NODELAY, MSS, WEIR_MS(30));

    (void)state;
    assert_int_equal(rig->tcp.srtt_us, 30000);
    rig_close(rig);
}

static void test_retransmitted_is_no_sample(void **state) /* 3: Karn */
{
    struct rig *rig = rig_open(NODELAY, MSS, WEIR_MS(10));

    (void)state;
    rig_push(rig, 100);
    rig_wait(rig, WEIR_MS(250));
    assert_int_equal(rig->count, 2);
    rig_ack(rig, 100);
    assert_int_equal(rig->tcp.srtt_us, 10000);
    assert_int_equal(rig->tcp.rto_us, 400000); /* 5.7: backed off until there is a sample */
    rig_push(rig, 100);
    rig_wait(rig, WEIR_MS(10));
    rig_ack(rig, 200);
    assert_int_equal(rig->tcp.rto_us, 200000);
    rig_close(rig);
}

static void test_timestamps_make_it_one(void **state) /* RFC 7323 4.1 */
{
    struct rig *rig = rig_open(NODELAY | WEIR_TCP_TS, MSS, WEIR_MS(10));
    uint32_t sent;

    (void)state;
    rig_push(rig, 100);
    rig_wait(rig, WEIR_MS(250));
    sent = rig->sent[1].ts_val;
    assert_int_equal(rig->count, 2);
    assert_true(rig_ack_full(rig, rig_seq(rig, 100), RIG_WINDOW, sent, NULL, 0));
    assert_true(rig->tcp.srtt_us > 10000);
    assert_true(rig->tcp.rto_us < 400000);
    rig_close(rig);
}

static void test_timer_restarts_with_progress(void **state) /* 5.2, 5.3 */
{
    struct rig *rig = rig_open(NODELAY, MSS, WEIR_MS(10));

    (void)state;
    rig_push(rig, 2 * MSS);
    rig_wait(rig, WEIR_MS(150));
    rig_ack(rig, MSS);
    rig_wait(rig, WEIR_US(rig->tcp.rto_us) - WEIR_MS(1));
    assert_int_equal(rig->count, 2);
    rig_ack(rig, 2 * MSS);
    assert_int_equal(rig->tcp.rto_at, 0);
    rig_wait(rig, WEIR_SEC(10));
    assert_int_equal(rig->count, 2);
    rig_close(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_timeout_is_a_second),
        cmocka_unit_test(test_samples_are_smoothed),
        cmocka_unit_test(test_timeout_has_bounds),
        cmocka_unit_test(test_steady_samples_need_the_clock_only),
        cmocka_unit_test(test_syn_is_a_sample),
        cmocka_unit_test(test_retransmitted_is_no_sample),
        cmocka_unit_test(test_timestamps_make_it_one),
        cmocka_unit_test(test_timer_restarts_with_progress),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
