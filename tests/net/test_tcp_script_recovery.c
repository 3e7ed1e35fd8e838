/* test_tcp_script_recovery.c - repairing losses: fast retransmit (RFC 5681 3.2), limited transmit
 * (3042), NewReno (6582), SACK (2018, 6675), RACK-TLP (8985), spurious recoveries (3522, 4015).
 *
 * Segments are of 1,000 bytes; far_peer() is 100 ms away. */
#include "tests/net/tcp_live.c"
#include "tests/net/tcp_script.c"

enum { MSS = 1000 };

/* So many full segments go out, from segment `first` on, the last of them with P or not. */
static void out_full(int line, uint32_t first, uint32_t count, bool push)
{
    for (uint32_t i = first; i < first + count; i++)
        script_out(line, "%s %u:%u(1000) ack 1", push && i + 1 == first + count ? "P." : ".",
                   1 + MSS * i, 1 + MSS * (i + 1));
}
#define out_segments(first, count) out_full(__LINE__, first, count, false)
#define out_last_segments(first, count) out_full(__LINE__, first, count, true)

static uint32_t cwnd(void)
{
    return script_tcp()->cwnd;
}

/* Established with a round trip of 100 ms; `options` beside the MSS. */
static void far_peer(const char *options)
{
    listening();
    script_in(__LINE__, "S 0:0(0) mss 1000 %s", options);
    out("S. 0:0(0) ack 1 ...");
    at(100);
    in(". 1:1(0) ack 1");
    nothing();
    accepted();
}

/* --- RFC 3042: further segments on the first duplicates --- */

static void rfc3042_2_the_first_duplicates_let_new_data_out(void **state)
{
    (void)state;
    established("mss 1000");
    user_send(20000);
    out_segments(0, 10);
    in(". 1:1(0) ack 1");
    out_segments(10, 1);
    in(". 1:1(0) ack 1");
    out_segments(11, 1);
    nothing();
}

static void rfc3042_2_with_sack_too(void **state)
{
    (void)state;
    far_peer("sackok");
    user_send(20000);
    out_segments(0, 10);
    at(200);
    in(". 1:1(0) ack 1 sack 1001-2001");
    out_segments(10, 1);
}

/* --- RFC 5681 3.2, 6582: without SACK --- */

static void rfc5681_3_2_the_third_duplicate_sends_again(void **state)
{
    (void)state;
    established("mss 1000");
    user_send(10000);
    out_last_segments(0, 10);
    in(". 1:1(0) ack 1");
    in(". 1:1(0) ack 1");
    nothing();
    in(". 1:1(0) ack 1");
    out(". 1:1001(1000) ack 1");
    nothing();
    holds(script_tcp()->ssthresh == 5000);
    in(". 1:1(0) ack 10001");
    holds(script_tcp()->recovery == WEIR_TCP_OPEN && cwnd() >= 2000 && cwnd() <= 6000);
}

static void rfc5681_2_an_ack_with_data_is_no_duplicate(void **state)
{
    (void)state;
    established("mss 1000");
    user_send(5000);
    out_last_segments(0, 5);
    in("P. 1:11(10) ack 1");
    in("P. 11:21(10) ack 1");
    in("P. 21:31(10) ack 1");
    in("P. 31:41(10) ack 1");
    nothing();
}

static void rfc5681_2_an_ack_with_another_window_is_no_duplicate(void **state)
{
    (void)state;
    established("mss 1000");
    user_send(5000);
    out_last_segments(0, 5);
    in(". 1:1(0) ack 1 win 60001");
    in(". 1:1(0) ack 1 win 60002");
    in(". 1:1(0) ack 1 win 60003");
    in(". 1:1(0) ack 1 win 60004");
    nothing();
}

static void rfc5681_3_2_further_duplicates_let_new_data_out(void **state)
{
    uint32_t sent = 0;

    (void)state;
    established("mss 1000");
    user_send(20000);
    out_segments(0, 10);
    for (int i = 0; i < 3; i++)
        in(". 1:1(0) ack 1");
    script_drop_sent();
    for (int i = 0; i < 6; i++) {
        in(". 1:1(0) ack 1");
        sent += script_drop_sent();
    }
    holds(sent == 2);
}

static void rfc6582_3_2_a_partial_ack_sends_the_next_hole(void **state)
{
    (void)state;
    established("mss 1000");
    user_send(10000);
    out_last_segments(0, 10);
    for (int i = 0; i < 3; i++)
        in(". 1:1(0) ack 1");
    out(". 1:1001(1000) ack 1");
    in(". 1:1(0) ack 3001");
    out(". 3001:4001(1000) ack 1");
    in(". 1:1(0) ack 5001");
    out(". 5001:6001(1000) ack 1");
    in(". 1:1(0) ack 10001");
    holds(script_tcp()->recovery == WEIR_TCP_OPEN);
    holds(script.live->native->stats.tcp_fast_recoveries == 1);
}

static void rfc6582_4_1_duplicates_of_the_last_recovery_do_not_begin_one(void **state)
{
    (void)state;
    established("mss 1000");
    user_send(10000);
    out_last_segments(0, 10);
    for (int i = 0; i < 3; i++)
        in(". 1:1(0) ack 1");
    out(". 1:1001(1000) ack 1");
    in(". 1:1(0) ack 10001");
    user_send(5000);
    script_drop_sent();
    for (int i = 0; i < 3; i++)
        in(". 1:1(0) ack 10001");
    holds(script.live->native->stats.tcp_fast_recoveries == 1);
}

/* --- SACK --- */

static void rfc6675_5_recovery_by_sack_sends_only_the_holes(void **state)
{
    (void)state;
    far_peer("sackok");
    user_send(10000);
    out_last_segments(0, 10);
    at(200);
    in(". 1:1(0) ack 1 sack 1001-2001");
    in(". 1:1(0) ack 1 sack 1001-3001");
    nothing();
    in(". 1:1(0) ack 1 sack 1001-3001,4001-5001");
    out(". 1:1001(1000) ack 1");
    in(". 1:1(0) ack 1 sack 1001-3001,4001-10001");
    out(". 3001:4001(1000) ack 1");
    nothing();
    at(300);
    in(". 1:1(0) ack 10001");
    holds(script_tcp()->recovery == WEIR_TCP_OPEN);
    holds(script.live->native->stats.tcp_retransmits == 2);
}

static void rfc6675_5_the_first_hole_goes_at_once(void **state)
{
    (void)state;
    far_peer("sackok");
    user_send(10000);
    out_last_segments(0, 10);
    at(200);
    in(". 1:1(0) ack 1 sack 1001-4001");
    out(". 1:1001(1000) ack 1");
    holds(script_tcp()->recovery == WEIR_TCP_RECOVERY);
    holds(script_tcp()->ssthresh == 5000);
}

static void rfc6675_5_new_data_goes_when_there_is_room(void **state)
{
    (void)state;
    far_peer("sackok");
    user_send(20000);
    out_segments(0, 10);
    at(200);
    in(". 1:1(0) ack 1 sack 1001-10001");
    out(". 1:1001(1000) ack 1");
    out_segments(10, 4); /* with it the half of ten */
    nothing();
}

static void rfc2018_5_1_after_a_timeout_what_is_there_is_not_sent(void **state)
{
    const struct live_segment *s;
    unsigned again = 0;

    (void)state;
    far_peer("sackok");
    user_send(4000);
    out_last_segments(0, 4);
    at(200);
    in(". 1:1(0) ack 1 sack 1001-2001");
    live_pass(script.live, script.begin + WEIR_SEC(10));
    holds(script.live->native->stats.tcp_timeouts > 0);
    in(". 1:1(0) ack 2001");
    live_pass(script.live, script.begin + WEIR_SEC(20));
    while ((s = live_sent(script.live)) != NULL) {
        holds(s->seq - script.iss != 1001);
        again++;
    }
    holds(again >= 3);
}

static void rfc2018_8_reneging_is_survived(void **state)
{
    (void)state;
    established("mss 1000 sackok");
    user_send(3000);
    out_last_segments(0, 3);
    at(1);
    in(". 1:1(0) ack 1 sack 1001-3001");
    script_drop_sent();
    in(". 1:1(0) ack 1001"); /* and now it has thrown them away */
    script_drop_sent();
    skip_until(3000);
    holds(script.live->native->stats.tcp_timeouts > 0);
    in(". 1:1(0) ack 2001");
    skip_until(6000);
    in(". 1:1(0) ack 3001");
    holds(!script_tcp()->tx_head);
}

static void rfc2018_3_blocks_of_what_was_never_sent_are_ignored(void **state)
{
    (void)state;
    established("mss 1000 sackok");
    user_send(2000);
    out_last_segments(0, 2);
    in(". 1:1(0) ack 1 sack 5001-9001");
    in(". 1:1(0) ack 1 sack 2001-1001");
    in(". 1:1(0) ack 1 sack 1001-1001");
    nothing();
    holds(script_tcp()->sacked == 0);
}

static void rfc2883_4_a_dsack_is_no_loss(void **state)
{
    (void)state;
    established("mss 1000 sackok");
    user_send(5000);
    out_last_segments(0, 5);
    in(". 1:1(0) ack 2001");
    in(". 1:1(0) ack 2001 sack 1-1001");
    in(". 1:1(0) ack 2001 sack 1-1001");
    in(". 1:1(0) ack 2001 sack 1-1001");
    nothing();
    holds(script_tcp()->recovery == WEIR_TCP_OPEN && script_tcp()->sacked == 0);
}

/* --- RACK-TLP --- */

static void rfc8985_7_2_a_probe_after_two_round_trips(void **state)
{
    (void)state;
    far_peer("sackok");
    user_send(3000);
    out_last_segments(0, 3);
    out_at(302, "P. 2001:3001(1000) ack 1");
    holds(script.live->native->stats.tcp_tlp == 1);
}

static void rfc8985_7_3_the_probe_is_new_data_if_there_is_any(void **state)
{
    (void)state;
    far_peer("sackok");
    user_send(12000);
    out_segments(0, 10);
    out_at(302, ". 10001:11001(1000) ack 1");
}

static void rfc8985_7_2_one_probe_only(void **state)
{
    (void)state;
    far_peer("sackok");
    user_send(3000);
    out_last_segments(0, 3);
    out_at(302, "P. 2001:3001(1000) ack 1");
    out_at(602, ". 1:1001(1000) ack 1"); /* the timeout */
}

static void rfc8985_7_4_a_repaired_tail_is_a_loss(void **state)
{
    (void)state;
    far_peer("sackok");
    user_send(3000);
    out_last_segments(0, 3);
    out_at(302, "P. 2001:3001(1000) ack 1");
    at(402);
    in(". 1:1(0) ack 3001");
    user_send(1000);
    out("P. 3001:4001(1000) ack 1");
    at(502);
    in(". 1:1(0) ack 4001"); /* no D-SACK so far: the probe was needed */
    holds(script_tcp()->ssthresh < 100000);
}

static void rfc8985_7_4_a_needless_probe_is_no_loss(void **state)
{
    (void)state;
    far_peer("sackok");
    user_send(3000);
    out_last_segments(0, 3);
    out_at(302, "P. 2001:3001(1000) ack 1");
    in(". 1:1(0) ack 3001");
    at(402);
    in(". 1:1(0) ack 3001 sack 2001-3001");
    user_send(1000);
    out("P. 3001:4001(1000) ack 1");
    at(502);
    in(". 1:1(0) ack 4001");
    holds(script_tcp()->ssthresh > 100000);
}

static void rfc8985_6_2_a_later_one_delivered_means_lost(void **state)
{
    (void)state;
    far_peer("sackok");
    user_send(2000);
    out_last_segments(0, 2);
    at(200);
    in(". 1:1(0) ack 1 sack 1001-2001");
    nothing(); /* it may be overtaken only: a quarter of the RTT */
    out_at(225, ". 1:1001(1000) ack 1");
}

static void rfc8985_6_2_reordering_is_waited_for(void **state)
{
    (void)state;
    far_peer("sackok");
    user_send(2000);
    out_last_segments(0, 2);
    at(200);
    in(". 1:1(0) ack 1 sack 1001-2001");
    at(210);
    in(". 1:1(0) ack 2001");
    nothing_until(1000);
    holds(script.live->native->stats.tcp_retransmits == 0);
}

static void rfc8985_6_2_a_lost_retransmission_is_sent_again(void **state)
{
    (void)state;
    far_peer("sackok");
    user_send(10000);
    out_last_segments(0, 10);
    at(200);
    in(". 1:1(0) ack 1 sack 1001-4001");
    out(". 1:1001(1000) ack 1");
    user_send(2000);
    in(". 1:1(0) ack 1 sack 1001-9001");
    script_drop_sent();
    at(300);
    in(". 1:1(0) ack 1 sack 1001-12001");
    script_drop_sent();
    skip_until(340);
    holds(script.live->native->stats.tcp_retransmits >= 2);
    holds(script.live->native->stats.tcp_timeouts == 0);
}

/* --- spurious --- */

static void rfc4015_3_a_spurious_timeout_is_taken_back(void **state)
{
    uint32_t before;

    (void)state;
    established("mss 1012 ts 0 0");
    user_send(10000);
    script_drop_sent();
    before = cwnd();
    at(200);
    skip_until(200.2);
    holds(cwnd() == script_tcp()->mss);
    at(300);
    in(". 1:1(0) ack 10001 ts 300 0"); /* the first transmission's: it was late only */
    holds(cwnd() >= before);
    holds(script.live->native->stats.tcp_spurious == 1);
}

static void rfc3522_3_2_a_real_timeout_is_not_taken_back(void **state)
{
    (void)state;
    established("mss 1012 ts 0 0");
    user_send(10000);
    script_drop_sent();
    skip_until(200.2);
    at(300);
    in(". 1:1(0) ack 10001 ts 300 200");
    holds(script.live->native->stats.tcp_spurious == 0);
    holds(cwnd() < 10000);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        script_case(rfc3042_2_the_first_duplicates_let_new_data_out),
        script_case(rfc3042_2_with_sack_too),
        script_case(rfc5681_3_2_the_third_duplicate_sends_again),
        script_case(rfc5681_2_an_ack_with_data_is_no_duplicate),
        script_case(rfc5681_2_an_ack_with_another_window_is_no_duplicate),
        script_case(rfc5681_3_2_further_duplicates_let_new_data_out),
        script_case(rfc6582_3_2_a_partial_ack_sends_the_next_hole),
        script_case(rfc6582_4_1_duplicates_of_the_last_recovery_do_not_begin_one),
        script_case(rfc6675_5_recovery_by_sack_sends_only_the_holes),
        script_case(rfc6675_5_the_first_hole_goes_at_once),
        script_case(rfc6675_5_new_data_goes_when_there_is_room),
        script_case(rfc2018_5_1_after_a_timeout_what_is_there_is_not_sent),
        script_case(rfc2018_8_reneging_is_survived),
        script_case(rfc2018_3_blocks_of_what_was_never_sent_are_ignored),
        script_case(rfc2883_4_a_dsack_is_no_loss),
        script_case(rfc8985_7_2_a_probe_after_two_round_trips),
        script_case(rfc8985_7_3_the_probe_is_new_data_if_there_is_any),
        script_case(rfc8985_7_2_one_probe_only),
        script_case(rfc8985_7_4_a_repaired_tail_is_a_loss),
        script_case(rfc8985_7_4_a_needless_probe_is_no_loss),
        script_case(rfc8985_6_2_a_later_one_delivered_means_lost),
        script_case(rfc8985_6_2_reordering_is_waited_for),
        script_case(rfc8985_6_2_a_lost_retransmission_is_sent_again),
        script_case(rfc4015_3_a_spurious_timeout_is_taken_back),
        script_case(rfc3522_3_2_a_real_timeout_is_not_taken_back),
    };

    return cmocka_run_group_tests(cases, NULL, NULL);
}
