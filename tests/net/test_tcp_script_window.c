/* test_tcp_script_window.c - when data may go: windows and silly ones (RFC 9293 3.8.6), Nagle
 * (3.7.4), probes of shut windows (3.8.6.1), keep-alive (3.8.4). */
#include "tests/net/tcp_live.c"
#include "tests/net/tcp_script.c"

/* --- windows --- */

static void rfc9293_3_8_6_sends_up_to_the_window_and_no_further(void **state)
{
    (void)state;
    established_window(3000, "mss 1000");
    user_send(10000);
    out(". 1:1001(1000) ack 1");
    out(". 1001:2001(1000) ack 1");
    out(". 2001:3001(1000) ack 1");
    nothing();
    in(". 1:1(0) ack 1001 win 3000");
    out(". 3001:4001(1000) ack 1");
    nothing();
}

static void rfc9293_3_8_6_a_shrunk_window_is_survived(void **state)
{
    (void)state;
    established_window(3000, "mss 1000");
    user_send(5000);
    out(". 1:1001(1000) ack 1");
    out(". 1001:2001(1000) ack 1");
    out(". 2001:3001(1000) ack 1");
    in(". 1:1(0) ack 1001 win 500"); /* the right edge moves back to 1,501 */
    nothing();
    in(". 1:1(0) ack 3001 win 3000");
    out(". 3001:4001(1000) ack 1");
    out("P. 4001:5001(1000) ack 1");
}

/* An ACK from beyond the peer's window would not be acceptable to him, so that he would not learn
 * what we have: with both windows shut neither side would ever go on. */
static void rfc9293_3_8_6_acks_stay_within_a_shrunk_window(void **state)
{
    (void)state;
    established_window(3000, "mss 1000");
    user_send(3000);
    out(". 1:1001(1000) ack 1");
    out(". 1001:2001(1000) ack 1");
    out("P. 2001:3001(1000) ack 1");
    in(". 1:1(0) ack 1001 win 500"); /* the right edge moves back to 1,501 */
    in("P. 1:101(100) ack 1001 win 500");
    in("P. 101:201(100) ack 1001 win 500");
    out_at(40, ". 1501:1501(0) ack 201");
    in(". 301:401(100) ack 1001 win 0"); /* to 1,001; out of order: at once */
    out(". 1001:1001(0) ack 201");
    user_abort();
    out("R. 1001:1001(0) ack 201");
}

/* A FIN goes into a shut window as a probe: whether the peer has taken it is not known before its
 * ACK. */
static void rfc9293_3_8_6_acks_behind_a_fin_stay_within_the_window(void **state)
{
    (void)state;
    established_window(8, "mss 1000 ws 7");
    user_send(1000);
    out("P. 1:1001(1000) ack 1");
    in(". 1:1(0) ack 1001 win 0");
    user_shutdown();
    out_at(200, "F. 1001:1001(0) ack 1");
    in("P. 1:101(100) ack 1001 win 0");
    out_at(240, ". 1001:1001(0) ack 101");
    in("P. 101:201(100) ack 1002 win 0");
    out_at(280, ". 1002:1002(0) ack 201");
}

/* What the field cannot say is no shrinking: the peer has taken all of it, and an older number
 * would not be acceptable. */
static void rfc7323_2_4_a_window_that_is_rounded_has_not_shrunk(void **state)
{
    (void)state;
    established_window(24, "mss 1000 ws 7"); /* 3,072 bytes */
    user_send(3072);
    out(". 1:1001(1000) ack 1");
    out(". 1001:2001(1000) ack 1");
    out(". 2001:3001(1000) ack 1");
    out("P. 3001:3073(72) ack 1");
    in("P. 1:101(100) ack 1001 win 16"); /* to 3,049 */
    out_at(40, ". 3073:3073(0) ack 101");
    in("P. 101:201(100) ack 3001 win 0"); /* shut is shut: here the peer may have stopped */
    out_at(80, ". 3001:3001(0) ack 201");
}

/* A receiver may well drop the whole of a segment that does not fit, ACK and all (Linux 6.17). */
static void rfc9293_3_8_6_a_retransmission_is_cut_to_the_window(void **state)
{
    (void)state;
    established_window(3000, "mss 1000");
    user_send(3000);
    out(". 1:1001(1000) ack 1");
    out(". 1001:2001(1000) ack 1");
    out("P. 2001:3001(1000) ack 1");
    in(". 1:1(0) ack 1001 win 600");
    out_at(200, ". 1001:1601(600) ack 1");
    in(". 1:1(0) ack 1601 win 1000");
    out(". 1601:2001(400) ack 1");
    in(". 1:1(0) ack 2001 win 3000");
    out("P. 2001:3001(1000) ack 1");
    in(". 1:1(0) ack 3001 win 3000");
    nothing_until(2000);
}

static void rfc9293_3_10_7_4_an_older_segment_does_not_change_the_window(void **state)
{
    (void)state;
    established_window(2000, "mss 1000");
    in("P. 1:11(10) ack 1 win 2000");
    in(". 11:11(0) ack 1 win 3000");
    in(". 1:1(0) ack 1 win 0"); /* SEG.SEQ < SND.WL1 */
    script_drop_sent();
    user_send(3000);
    out(". 1:1001(1000) ack 11");
    out(". 1001:2001(1000) ack 11");
    out("P. 2001:3001(1000) ack 11");
}

static void rfc9293_3_8_6_2_1_no_silly_segments(void **state)
{
    (void)state;
    established_window(2000, "mss 1000");
    user_send(4000);
    out(". 1:1001(1000) ack 1");
    out(". 1001:2001(1000) ack 1");
    in(". 1:1(0) ack 1001 win 1100"); /* 100 bytes are usable: not worth it */
    nothing();
    in(". 1:1(0) ack 2001 win 2000");
    out(". 2001:3001(1000) ack 1");
    out("P. 3001:4001(1000) ack 1");
}

static void rfc9293_3_8_6_2_2_the_window_opens_by_a_segment_at_least(void **state)
{
    (void)state;
    script.config.rcvbuf = 4096;
    script_restart();
    established("mss 1000");
    for (uint32_t i = 0; i < 4; i++)
        script_in(__LINE__, ". %u:%u(1000) ack 1", 1 + 1000 * i, 1001 + 1000 * i);
    in(". 4001:4097(96) ack 1");
    skip_until(100);
    recv_is(50);
    nothing(); /* 50 bytes would be silly */
    recv_is(4046);
    out(". 1:1(0) ack 4097 win 4096");
}

static void rfc9293_3_8_6_data_beyond_the_window_is_refused(void **state)
{
    (void)state;
    script.config.rcvbuf = 2000;
    script_restart();
    established("mss 1000");
    in(". 1:1001(1000) ack 1");
    in(". 1001:2001(1000) ack 1");
    script_drop_sent();
    in(". 2001:3001(1000) ack 1");
    out(". 1:1(0) ack 2001 win 0");
    recv_is(2000);
    out(". 1:1(0) ack 2001 win 2000");
}

static void rfc9293_3_10_7_4_what_sticks_out_of_the_window_is_cut(void **state)
{
    (void)state;
    script.config.rcvbuf = 2000;
    script_restart();
    established("mss 1460");
    in(". 1:1001(1000) ack 1");
    in("P. 1001:2401(1400) ack 1");
    script_drop_sent();
    recv_is(2000);
    script_drop_sent();
    in("P. 2001:2401(400) ack 1");
    recv_is(400);
}

static void rfc9293_3_8_6_acks_count_while_our_window_is_shut(void **state)
{
    (void)state;
    script.config.rcvbuf = 2000;
    script_restart();
    established("mss 1000");
    user_send(1000);
    out("P. 1:1001(1000) ack 1");
    in(". 1:1001(1000) ack 1");
    in(". 1001:2001(1000) ack 1");
    script_drop_sent();
    in(". 2001:2001(0) ack 1001");
    nothing();
    holds(script_tcp()->snd_una == script_tcp()->snd_nxt);
}

/* --- Nagle --- */

static void rfc9293_3_7_4_small_segments_go_at_once_without_nagle(void **state)
{
    (void)state;
    established("mss 1460");
    user_send(10);
    out("P. 1:11(10) ack 1");
    user_send(10);
    out("P. 11:21(10) ack 1");
}

static void rfc9293_3_7_4_nagle_waits_for_the_ack(void **state)
{
    (void)state;
    established("mss 1460");
    weir_nodelay(script.conn, false);
    user_send(10);
    out("P. 1:11(10) ack 1");
    user_send(10);
    user_send(10);
    nothing();
    in(". 1:1(0) ack 11");
    out("P. 11:31(20) ack 1");
}

static void rfc9293_3_7_4_nagle_lets_full_segments_pass(void **state)
{
    (void)state;
    established("mss 1000");
    weir_nodelay(script.conn, false);
    user_send(10);
    out("P. 1:11(10) ack 1");
    user_send(2000);
    out(". 11:1011(1000) ack 1");
    script_drop_sent();
    in(". 1:1(0) ack 1011");
    at(1);
}

/* --- probes --- */

static void rfc9293_3_8_6_1_a_shut_window_is_probed(void **state)
{
    (void)state;
    established_window(0, "mss 1460");
    user_send(1000);
    out_at(200, ". 1:2(1) ack 1"); /* an RTO, here the least, then twice that */
    in(". 1:1(0) ack 1 win 0");
    out_at(600, ". 1:2(1) ack 1");
    in(". 1:1(0) ack 1 win 0");
    out_at(1400, ". 1:2(1) ack 1");
    in(". 1:1(0) ack 1 win 2000");
    out("P. 1:1001(1000) ack 1");
}

static void rfc9293_3_8_6_1_an_accepted_probe_counts(void **state)
{
    (void)state;
    established_window(0, "mss 1460");
    user_send(1000);
    out_at(200, ". 1:2(1) ack 1");
    in(". 1:1(0) ack 2 win 2000");
    out("P. 2:1001(999) ack 1");
}

static void rfc9293_3_8_6_1_a_probed_connection_is_kept(void **state)
{
    (void)state;
    established_window(0, "mss 1460");
    user_send(1000);
    for (int i = 0; i < 30; i++) {
        skip_until(60000.0 * (i + 1));
        in(". 1:1(0) ack 1 win 0");
    }
    state_is(WEIR_TCP_ESTABLISHED);
    in(". 1:1(0) ack 1 win 2000");
    holds(script_drop_sent() > 0);
}

static void rfc1122_4_2_2_17_the_fin_waits_for_the_window(void **state)
{
    (void)state;
    established_window(0, "mss 1460");
    user_shutdown();
    nothing();
    in(". 1:1(0) ack 1 win 10");
    out("F. 1:1(0) ack 1");
}

static void rfc9293_3_8_6_2_1_a_small_window_is_used_in_the_end(void **state)
{
    (void)state;
    established_window(5000, "mss 1460");
    in(". 1:1(0) ack 1 win 100");
    user_send(1000);
    out_at(200, ". 1:101(100) ack 1");
}

/* --- keep-alive --- */

static void rfc9293_3_8_4_keep_alive_is_off_by_default(void **state)
{
    (void)state;
    established("mss 1460");
    nothing_until(36000000);
    state_is(WEIR_TCP_ESTABLISHED);
}

static void keep_alive(void)
{
    script.config.keepalive = true;
    script_restart();
    established("mss 1460");
}

static void rfc9293_3_8_4_keep_alive_after_two_hours(void **state)
{
    (void)state;
    keep_alive();
    out_at(7201000, ". 0:0(0) ack 1"); /* counted from the end of the SYN|ACK's timer */
    in(". 1:1(0) ack 1");
    nothing_until(14401000);
    skip_until(14402000);
    holds(script.live->native->stats.tcp_keepalives == 2);
}

static void rfc9293_3_8_4_keep_alive_gives_up_after_nine(void **state)
{
    (void)state;
    keep_alive();
    recv_waits();
    for (int i = 0; i < 9; i++)
        out_at(7201000 + 75000.0 * i, ". 0:0(0) ack 1");
    nothing_until(7201000 + 9 * 75000 - 1);
    skip_until(7201000 + 9 * 75000 + 2);
    recv_result(-ETIMEDOUT);
    state_is(WEIR_TCP_CLOSED);
}

static void rfc9293_3_8_4_traffic_puts_keep_alive_off(void **state)
{
    (void)state;
    keep_alive();
    at(3600000);
    in("P. 1:11(10) ack 1");
    out_at(3600040, ". 1:1(0) ack 11");
    out_at(10800000, ". 0:0(0) ack 11");
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        script_case(rfc9293_3_8_6_sends_up_to_the_window_and_no_further),
        script_case(rfc9293_3_8_6_a_shrunk_window_is_survived),
        script_case(rfc9293_3_8_6_acks_stay_within_a_shrunk_window),
        script_case(rfc9293_3_8_6_acks_behind_a_fin_stay_within_the_window),
        script_case(rfc7323_2_4_a_window_that_is_rounded_has_not_shrunk),
        script_case(rfc9293_3_8_6_a_retransmission_is_cut_to_the_window),
        script_case(rfc9293_3_10_7_4_an_older_segment_does_not_change_the_window),
        script_case(rfc9293_3_8_6_2_1_no_silly_segments),
        script_case(rfc9293_3_8_6_2_2_the_window_opens_by_a_segment_at_least),
        script_case(rfc9293_3_8_6_data_beyond_the_window_is_refused),
        script_case(rfc9293_3_10_7_4_what_sticks_out_of_the_window_is_cut),
        script_case(rfc9293_3_8_6_acks_count_while_our_window_is_shut),
        script_case(rfc9293_3_7_4_small_segments_go_at_once_without_nagle),
        script_case(rfc9293_3_7_4_nagle_waits_for_the_ack),
        script_case(rfc9293_3_7_4_nagle_lets_full_segments_pass),
        script_case(rfc9293_3_8_6_1_a_shut_window_is_probed),
        script_case(rfc9293_3_8_6_1_an_accepted_probe_counts),
        script_case(rfc9293_3_8_6_1_a_probed_connection_is_kept),
        script_case(rfc1122_4_2_2_17_the_fin_waits_for_the_window),
        script_case(rfc9293_3_8_6_2_1_a_small_window_is_used_in_the_end),
        script_case(rfc9293_3_8_4_keep_alive_is_off_by_default),
        script_case(rfc9293_3_8_4_keep_alive_after_two_hours),
        script_case(rfc9293_3_8_4_keep_alive_gives_up_after_nine),
        script_case(rfc9293_3_8_4_traffic_puts_keep_alive_off),
    };

    return cmocka_run_group_tests(cases, NULL, NULL);
}
