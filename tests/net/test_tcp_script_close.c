/* test_tcp_script_close.c - closing, resetting, TIME-WAIT: RFC 9293 3.6, 3.10.4, 3.10.5; RFC 2525
 * 2.17, RFC 1337, RFC 6191, RFC 1122 4.2.2.13. */
#include "tests/net/tcp_live.c"
#include "tests/net/tcp_script.c"

static void rfc9293_3_6_normal_close_by_us(void **state)
{
    (void)state;
    established("mss 1460");
    user_shutdown();
    out("F. 1:1(0) ack 1");
    in(". 1:1(0) ack 2");
    in("F. 1:1(0) ack 2");
    out(". 2:2(0) ack 2");
    state_is(WEIR_TCP_TIME_WAIT);
    recv_is(0);
}

static void rfc9293_3_6_normal_close_by_the_peer(void **state)
{
    (void)state;
    established("mss 1460");
    recv_waits();
    in("F. 1:1(0) ack 1");
    out(". 1:1(0) ack 2");
    recv_result(0);
    user_send(10);
    out("P. 1:11(10) ack 2");
    in(". 2:2(0) ack 11");
    user_close();
    out("F. 11:11(0) ack 2");
    in(". 2:2(0) ack 12");
    state_is(WEIR_TCP_CLOSED);
}

static void rfc9293_3_6_simultaneous_close(void **state)
{
    (void)state;
    established("mss 1460");
    user_close();
    out("F. 1:1(0) ack 1");
    in("F. 1:1(0) ack 1");
    out(". 2:2(0) ack 2");
    state_is(WEIR_TCP_CLOSING);
    in(". 2:2(0) ack 2");
    state_is(WEIR_TCP_TIME_WAIT);
}

static void rfc9293_3_10_4_fin_follows_queued_data(void **state)
{
    (void)state;
    established_window(1000, "mss 1460");
    user_send(2500);
    out(". 1:1001(1000) ack 1");
    user_close();
    nothing();
    in(". 1:1(0) ack 1001 win 1000");
    out(". 1001:1461(460) ack 1");
    out(". 1461:2001(540) ack 1");
    nothing();
    in(". 1:1(0) ack 2001 win 1000");
    out("FP. 2001:2501(500) ack 1");
    in(". 1:1(0) ack 2502");
    state_is(WEIR_TCP_FIN_WAIT_2);
}

static void rfc9293_3_10_4_fin_goes_with_the_last_data(void **state)
{
    (void)state;
    established_window(0, "mss 1460");
    user_send(500);
    nothing();
    user_close();
    in(". 1:1(0) ack 1 win 5000");
    out("FP. 1:501(500) ack 1");
}

static void rfc9293_3_6_data_after_our_fin_is_received(void **state)
{
    (void)state;
    established("mss 1460");
    user_shutdown();
    out("F. 1:1(0) ack 1");
    in(". 1:1(0) ack 2");
    in("P. 1:101(100) ack 2");
    recv_is(100);
    in("FP. 101:201(100) ack 2");
    out(". 2:2(0) ack 202");
    recv_is(100);
    recv_is(0);
}

static void rfc9293_3_10_2_send_after_shutdown_fails(void **state)
{
    (void)state;
    established("mss 1460");
    user_shutdown();
    out("F. 1:1(0) ack 1");
    user_sent(-EPIPE);
}

static void rfc9293_3_6_fin_is_sent_again(void **state)
{
    (void)state;
    established("mss 1460");
    user_close();
    out("F. 1:1(0) ack 1");
    out_at(200, "F. 1:1(0) ack 1");
    out_at(600, "F. 1:1(0) ack 1");
    in(". 1:1(0) ack 2");
    nothing_until(5000);
    state_is(WEIR_TCP_FIN_WAIT_2);
}

static void rfc9293_3_6_fin_of_the_peer_out_of_order(void **state)
{
    (void)state;
    established("mss 1460");
    in("F. 101:101(0) ack 1");
    out(". 1:1(0) ack 1");
    state_is(WEIR_TCP_ESTABLISHED);
    in("P. 1:101(100) ack 1");
    out(". 1:1(0) ack 102");
    state_is(WEIR_TCP_CLOSE_WAIT);
    recv_is(100);
    recv_is(0);
}

static void rfc9293_3_10_7_4_nothing_is_taken_behind_a_fin(void **state)
{
    (void)state;
    established("mss 1460");
    in("FP. 1:11(10) ack 1");
    out(". 1:1(0) ack 12");
    in("P. 12:22(10) ack 1");
    nothing();
    recv_is(10);
    recv_is(0);
}

static void rfc2525_2_17_close_with_unread_data_resets(void **state)
{
    (void)state;
    established("mss 1460");
    in("P. 1:101(100) ack 1");
    user_close();
    out("R. 1:1(0) ack 101");
    state_is(WEIR_TCP_CLOSED);
}

static void rfc1122_4_2_2_13_data_after_close_is_reset(void **state)
{
    (void)state;
    established("mss 1460");
    user_close();
    out("F. 1:1(0) ack 1");
    in(". 1:1(0) ack 2");
    in("P. 1:101(100) ack 2");
    out("R. 2:2(0) ack 1");
    state_is(WEIR_TCP_CLOSED);
}

static void rfc1122_4_2_2_13_half_closed_connections_are_kept(void **state)
{
    (void)state;
    established("mss 1460");
    user_shutdown();
    out("F. 1:1(0) ack 1");
    in(". 1:1(0) ack 2");
    nothing_until(3600000);
    state_is(WEIR_TCP_FIN_WAIT_2);
}

static void rfc9293_3_10_4_an_orphan_leaves_fin_wait_2_after_a_minute(void **state)
{
    (void)state;
    established("mss 1460");
    user_close();
    out("F. 1:1(0) ack 1");
    in(". 1:1(0) ack 2");
    at(59900);
    state_is(WEIR_TCP_FIN_WAIT_2);
    skip_until(60100);
    state_is(WEIR_TCP_CLOSED);
}

/* --- abort --- */

static void rfc9293_3_10_5_abort_in_established(void **state)
{
    (void)state;
    established("mss 1460");
    user_abort();
    out("R. 1:1(0) ack 1");
    state_is(WEIR_TCP_CLOSED);
}

static void rfc9293_3_10_5_abort_throws_away_what_is_queued(void **state)
{
    (void)state;
    established_window(1000, "mss 1460");
    user_send(3000);
    out(". 1:1001(1000) ack 1");
    user_abort();
    out("R. 1001:1001(0) ack 1");
    state_is(WEIR_TCP_CLOSED);
}

static void rfc9293_3_10_5_abort_in_fin_wait_1(void **state)
{
    (void)state;
    established("mss 1460");
    user_shutdown();
    out("F. 1:1(0) ack 1");
    user_abort();
    out("R. 2:2(0) ack 1");
    state_is(WEIR_TCP_CLOSED);
}

static void rfc9293_3_10_5_abort_in_fin_wait_2(void **state)
{
    (void)state;
    established("mss 1460");
    user_shutdown();
    out("F. 1:1(0) ack 1");
    in(". 1:1(0) ack 2");
    user_abort();
    out("R. 2:2(0) ack 1");
}

static void rfc9293_3_10_5_abort_in_close_wait(void **state)
{
    (void)state;
    established("mss 1460");
    in("F. 1:1(0) ack 1");
    out(". 1:1(0) ack 2");
    user_abort();
    out("R. 1:1(0) ack 2");
}

static void rfc9293_3_10_5_abort_in_closing_is_silent(void **state)
{
    (void)state;
    established("mss 1460");
    user_shutdown();
    out("F. 1:1(0) ack 1");
    in("F. 1:1(0) ack 1");
    out(". 2:2(0) ack 2");
    user_abort();
    nothing();
    state_is(WEIR_TCP_CLOSED);
}

static void rfc9293_3_10_5_abort_in_last_ack_is_silent(void **state)
{
    (void)state;
    established("mss 1460");
    in("F. 1:1(0) ack 1");
    out(". 1:1(0) ack 2");
    user_shutdown();
    out("F. 1:1(0) ack 2");
    user_abort();
    nothing();
    state_is(WEIR_TCP_CLOSED);
}

/* --- resets that come --- */

static void rfc9293_3_10_7_4_rst_ends_a_receive_that_waits(void **state)
{
    (void)state;
    established("mss 1460");
    recv_waits();
    in("R 1:1(0)");
    recv_result(-ECONNRESET);
    user_sent(-EPIPE);
}

static void rfc9293_3_10_7_4_rst_ends_a_send_that_waits(void **state)
{
    (void)state;
    established_window(0, "mss 1460");
    user_send(1 << 20);
    holds(script.send_waits);
    in("R 1:1(0)");
    user_sent(-ECONNRESET);
}

static void rfc9293_3_10_7_4_what_came_before_a_rst_can_be_received(void **state)
{
    (void)state;
    established("mss 1460");
    in("P. 1:101(100) ack 1");
    in("R 101:101(0)");
    recv_is(100);
    recv_is(-ECONNRESET);
}

static void rfc9293_3_10_7_4_rst_in_close_wait_is_an_error(void **state)
{
    (void)state;
    established("mss 1460");
    in("F. 1:1(0) ack 1");
    out(". 1:1(0) ack 2");
    in("R 2:2(0)");
    state_is(WEIR_TCP_CLOSED);
    user_sent(-ECONNRESET);
}

static void rfc5961_3_2_rst_after_the_challenge_ends_it(void **state)
{
    (void)state;
    established("mss 1460");
    in("R 50:50(0)");
    out(". 1:1(0) ack 1");
    in("R 1:1(0)"); /* what a peer that is really gone answers */
    state_is(WEIR_TCP_CLOSED);
}

static void rfc5961_7_challenges_have_a_budget(void **state)
{
    unsigned answered = 0;

    (void)state;
    established("mss 1460");
    for (int i = 0; i < 1500; i++) {
        in("S 1:1(0)");
        answered += script_drop_sent();
    }
    holds(answered >= 500 && answered < 1000);
    at(1001);
    in("S 1:1(0)");
    out(". 1:1(0) ack 1");
}

static void outside(const char *segment)
{
    for (int i = 0; i < 100; i++) {
        in("%s", segment);
        nothing();
    }
}

static void rfc9293_3_10_7_4_what_is_outside_the_window_is_answered_twice_a_second(void **state)
{
    (void)state;
    established("mss 1460");
    in(". 900001:900011(10) ack 1");
    out(". 1:1(0) ack 1");
    outside(". 900001:900011(10) ack 1");
    outside(". 900001:900001(0) ack 1");
    outside(". 0:0(0) ack 1");
    outside("S 900001:900001(0)");
    at(499);
    outside(". 900001:900011(10) ack 1");
    at(501);
    in(". 0:0(0) ack 1");
    out(". 1:1(0) ack 1");
    outside(". 0:0(0) ack 1");
    at(1000);
    nothing();
    at(1002);
    in("S 900001:900001(0)");
    out(". 1:1(0) ack 1");
    in("S 1:1(0)"); /* in the window: a challenge, of another budget */
    out(". 1:1(0) ack 1");
}

/* Its ACK was lost: without it the peer would send the same for ever. */
static void rfc9293_3_10_7_4_what_was_had_is_acked_each_time(void **state)
{
    (void)state;
    established("mss 1460");
    in("P. 1:1001(1000) ack 1");
    recv_is(1000);
    script_drop_sent();
    for (int i = 0; i < 10; i++) {
        in("P. 1:1001(1000) ack 1");
        out(". 1:1(0) ack 1001");
    }
    in(". 900001:900011(10) ack 1");
    out(". 1:1(0) ack 1001");
    outside(". 900001:900011(10) ack 1");
    in("P. 1:1001(1000) ack 1");
    out(". 1:1(0) ack 1001");
    outside("P. -900000:-899000(1000) ack 1"); /* nobody sends that again */
}

static void rfc9293_3_10_7_4_each_connection_has_its_own_budget(void **state)
{
    (void)state;
    listening();
    for (uint16_t port = 5001; port < 5005; port++) {
        script_new_peer(port);
        in("S 0:0(0) mss 1460");
        out("S. 0:0(0) ack 1 ...");
        in(". 1:1(0) ack 1");
        in(". 900001:900011(10) ack 1");
        out(". 1:1(0) ack 1");
        outside(". 900001:900011(10) ack 1");
    }
}

/* --- TIME-WAIT --- */

static void time_wait(const char *options)
{
    script_established(__LINE__, 65535, options);
    user_close();
    out("F. 1:1(0) ack 1");
    in("F. 1:1(0) ack 2");
    out(". 2:2(0) ack 2");
    state_is(WEIR_TCP_TIME_WAIT);
}

static void rfc9293_3_4_2_time_wait_lasts_2_msl(void **state)
{
    (void)state;
    time_wait("mss 1460");
    nothing_until(59900);
    state_is(WEIR_TCP_TIME_WAIT);
    skip_until(60200);
    state_is(WEIR_TCP_CLOSED);
}

static void rfc9293_3_10_7_4_fin_again_restarts_time_wait(void **state)
{
    (void)state;
    time_wait("mss 1460");
    at(30000);
    in("F. 1:1(0) ack 2");
    out(". 2:2(0) ack 2");
    nothing_until(89900);
    state_is(WEIR_TCP_TIME_WAIT);
    skip_until(90200);
    state_is(WEIR_TCP_CLOSED);
}

static void rfc6191_2_time_wait_yields_to_a_later_timestamp(void **state)
{
    (void)state;
    time_wait("mss 1460 ts 0 0");
    at(500);
    script_new_peer(LIVE_PEER_PORT);
    script.irs -= 100000; /* its ISN may well be lower */
    in("S 0:0(0) mss 1460 ts 5000 0");
    out("S. 0:0(0) ack 1 ...");
    state_is(WEIR_TCP_SYN_RECEIVED);
}

static void rfc6191_2_time_wait_holds_against_an_earlier_timestamp(void **state)
{
    (void)state;
    time_wait("mss 1460 ts 1000 0");
    at(500);
    in("S 100000:100000(0) mss 1460 ts 0 0");
    nothing();
    state_is(WEIR_TCP_TIME_WAIT);
}

static void rfc6191_2_time_wait_with_the_same_timestamp_asks_for_a_higher_number(void **state)
{
    (void)state;
    time_wait("mss 1460 ts 1000 0");
    in("S 1:1(0) mss 1460 ts 1000 0");
    nothing();
    state_is(WEIR_TCP_TIME_WAIT);
}

static void rfc1122_4_2_2_13_time_wait_yields_to_a_higher_number(void **state)
{
    uint32_t old;

    (void)state;
    time_wait("mss 1460");
    old = script.iss + 2;
    at(10);
    script_new_peer(LIVE_PEER_PORT);
    script.irs += 3;
    in("S 0:0(0) mss 1460");
    out("S. 0:0(0) ack 1 ...");
    holds((int32_t)(script.iss - old) > 0); /* (b): our ISN is above what was used */
    in(". 1:1(0) ack 1");
    state_is(WEIR_TCP_ESTABLISHED);
}

static void rfc1122_4_2_2_13_time_wait_holds_against_an_old_syn(void **state)
{
    (void)state;
    time_wait("mss 1460");
    in("S 0:0(0) mss 1460");
    nothing();
    state_is(WEIR_TCP_TIME_WAIT);
}

static void rfc7323_5_3_time_wait_ignores_an_old_fin(void **state)
{
    (void)state;
    time_wait("mss 1460 ts 1000 0");
    at(30000);
    in("F. 1:1(0) ack 2 ts 1 0");
    script_drop_sent();
    skip_until(60200);
    state_is(WEIR_TCP_CLOSED); /* it has not begun again */
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        script_case(rfc9293_3_6_normal_close_by_us),
        script_case(rfc9293_3_6_normal_close_by_the_peer),
        script_case(rfc9293_3_6_simultaneous_close),
        script_case(rfc9293_3_10_4_fin_follows_queued_data),
        script_case(rfc9293_3_10_4_fin_goes_with_the_last_data),
        script_case(rfc9293_3_6_data_after_our_fin_is_received),
        script_case(rfc9293_3_10_2_send_after_shutdown_fails),
        script_case(rfc9293_3_6_fin_is_sent_again),
        script_case(rfc9293_3_6_fin_of_the_peer_out_of_order),
        script_case(rfc9293_3_10_7_4_nothing_is_taken_behind_a_fin),
        script_case(rfc2525_2_17_close_with_unread_data_resets),
        script_case(rfc1122_4_2_2_13_data_after_close_is_reset),
        script_case(rfc1122_4_2_2_13_half_closed_connections_are_kept),
        script_case(rfc9293_3_10_4_an_orphan_leaves_fin_wait_2_after_a_minute),
        script_case(rfc9293_3_10_5_abort_in_established),
        script_case(rfc9293_3_10_5_abort_throws_away_what_is_queued),
        script_case(rfc9293_3_10_5_abort_in_fin_wait_1),
        script_case(rfc9293_3_10_5_abort_in_fin_wait_2),
        script_case(rfc9293_3_10_5_abort_in_close_wait),
        script_case(rfc9293_3_10_5_abort_in_closing_is_silent),
        script_case(rfc9293_3_10_5_abort_in_last_ack_is_silent),
        script_case(rfc9293_3_10_7_4_rst_ends_a_receive_that_waits),
        script_case(rfc9293_3_10_7_4_rst_ends_a_send_that_waits),
        script_case(rfc9293_3_10_7_4_what_came_before_a_rst_can_be_received),
        script_case(rfc9293_3_10_7_4_rst_in_close_wait_is_an_error),
        script_case(rfc5961_3_2_rst_after_the_challenge_ends_it),
        script_case(rfc5961_7_challenges_have_a_budget),
        script_case(rfc9293_3_10_7_4_what_is_outside_the_window_is_answered_twice_a_second),
        script_case(rfc9293_3_10_7_4_what_was_had_is_acked_each_time),
        script_case(rfc9293_3_10_7_4_each_connection_has_its_own_budget),
        script_case(rfc9293_3_4_2_time_wait_lasts_2_msl),
        script_case(rfc9293_3_10_7_4_fin_again_restarts_time_wait),
        script_case(rfc6191_2_time_wait_yields_to_a_later_timestamp),
        script_case(rfc6191_2_time_wait_holds_against_an_earlier_timestamp),
        script_case(rfc6191_2_time_wait_with_the_same_timestamp_asks_for_a_higher_number),
        script_case(rfc1122_4_2_2_13_time_wait_yields_to_a_higher_number),
        script_case(rfc1122_4_2_2_13_time_wait_holds_against_an_old_syn),
        script_case(rfc7323_5_3_time_wait_ignores_an_old_fin),
    };

    return cmocka_run_group_tests(cases, NULL, NULL);
}
