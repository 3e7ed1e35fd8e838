/* test_tcp_script_open.c - opening: RFC 9293 3.5 and 3.7.1, options of SYNs (7323, 2018, 6691),
 * ISNs (6528), on IPv4 and IPv6. */
#include "tests/net/tcp_live.c"
#include "tests/net/tcp_script.c"

/* --- passive --- */

static void rfc9293_3_5_passive_open_in_three_segments(void **state)
{
    (void)state;
    listening();
    in("S 0:0(0) win 1000 mss 1460");
    out("S. 0:0(0) ack 1 win 65535 mss 1460");
    state_is(WEIR_TCP_SYN_RECEIVED);
    not_accepted();
    in(". 1:1(0) ack 1 win 1000");
    nothing();
    state_is(WEIR_TCP_ESTABLISHED);
    accepted();
}

static void rfc9293_3_5_passive_open_on_ipv6(void **state)
{
    (void)state;
    script.config.v6 = true;
    script_restart();
    listening();
    in("S 0:0(0) win 1000 mss 1440");
    out("S. 0:0(0) ack 1 win 65535 mss 1440");
    in(". 1:1(0) ack 1 win 1000");
    accepted();
    in("P. 1:11(10) ack 1");
    recv_is(10);
    user_send(5000);
    out(". 1:1441(1440) ack 11");
    out(". 1441:2881(1440) ack 11");
    out(". 2881:4321(1440) ack 11");
    out("P. 4321:5001(680) ack 11");
}

static void rfc9293_3_7_1_syn_without_mss_means_536(void **state)
{
    (void)state;
    established();
    user_send(1000);
    out(". 1:537(536) ack 1");
    out("P. 537:1001(464) ack 1");
}

static void rfc9293_3_7_1_syn_without_mss_on_ipv6_means_1220(void **state)
{
    (void)state;
    script.config.v6 = true;
    script_restart();
    established();
    user_send(2000);
    out(". 1:1221(1220) ack 1");
    out("P. 1221:2001(780) ack 1");
}

static void rfc9293_3_7_1_sends_no_more_than_the_peers_mss(void **state)
{
    (void)state;
    established("mss 1000");
    user_send(1500);
    out(". 1:1001(1000) ack 1");
    out("P. 1001:1501(500) ack 1");
}

static void rfc9293_3_7_1_sends_no_more_than_the_mtu(void **state)
{
    (void)state;
    established("mss 9000");
    user_send(2000);
    out(". 1:1461(1460) ack 1");
    out("P. 1461:2001(540) ack 1");
}

static void rfc6691_3_1_options_are_taken_off_the_mss(void **state)
{
    (void)state;
    established("mss 1460 ts 0 0");
    user_send(2000);
    out(". 1:1449(1448) ack 1");
    out("P. 1449:2001(552) ack 1");
}

static void rfc9293_3_7_1_a_tiny_mss_is_not_believed(void **state)
{
    (void)state;
    established("mss 1");
    user_send(200);
    out(". 1:89(88) ack 1");
    out(". 89:177(88) ack 1");
    out("P. 177:201(24) ack 1");
}

static void rfc7323_2_2_window_scale_is_answered(void **state)
{
    (void)state;
    listening();
    in("S 0:0(0) mss 1460 ws 3");
    out("S. 0:0(0) ack 1 mss 1460 ws 7");
}

static void rfc7323_2_2_no_window_scale_without_an_offer(void **state)
{
    (void)state;
    listening();
    in("S 0:0(0) mss 1460 sackok");
    out("S. 0:0(0) ack 1 mss 1460 sackok");
}

static void rfc7323_2_3_the_peers_scale_counts_after_the_syn(void **state)
{
    (void)state;
    established_window(10, "mss 1460 ws 8"); /* 10 in the ACK: 2,560 */
    user_send(5000);
    out(". 1:1461(1460) ack 1");
    nothing();
    in(". 1:1(0) ack 1461 win 20");
    out(". 1461:2921(1460) ack 1");
    out(". 2921:4381(1460) ack 1");
    out("P. 4381:5001(620) ack 1");
}

static void rfc7323_2_2_the_window_of_a_syn_is_not_scaled(void **state)
{
    (void)state;
    listening();
    in("S 0:0(0) win 1000 mss 1460 ws 7");
    out("S. 0:0(0) ack 1 win 65535 ...");
    holds(script_tcp()->snd_wnd == 1000);
}

static void rfc7323_2_3_a_scale_above_14_is_taken_as_14(void **state)
{
    (void)state;
    listening();
    in("S 0:0(0) mss 1460 ws 200");
    out("S. 0:0(0) ack 1 mss 1460 ws 7");
    holds(script_tcp()->snd_wscale == 14);
}

static void rfc7323_3_2_timestamps_are_answered(void **state)
{
    (void)state;
    listening();
    in("S 0:0(0) mss 1460 ts 0 0");
    out("S. 0:0(0) ack 1 mss 1460 ts 0 0");
}

static void rfc2018_2_sack_permitted_is_answered(void **state)
{
    (void)state;
    listening();
    in("S 0:0(0) mss 1460 sackok ws 2 ts 0 0");
    out("S. 0:0(0) ack 1 mss 1460 sackok ts 0 0 ws 7");
}

static void rfc6298_5_7_syn_ack_is_sent_again_after_a_second(void **state)
{
    (void)state;
    listening();
    in("S 0:0(0) mss 1460");
    out("S. 0:0(0) ack 1 ...");
    out_at(1000, "S. 0:0(0) ack 1 mss 1460");
    out_at(3000, "S. 0:0(0) ack 1 mss 1460");
    out_at(7000, "S. 0:0(0) ack 1 mss 1460");
    out_at(15000, "S. 0:0(0) ack 1 mss 1460");
    out_at(31000, "S. 0:0(0) ack 1 mss 1460");
    nothing_until(62900);
    skip_until(63100);
    state_is(WEIR_TCP_CLOSED);
}

static void rfc9293_3_5_2_handshake_after_a_lost_syn_ack(void **state)
{
    (void)state;
    listening();
    in("S 0:0(0) mss 1460");
    out("S. 0:0(0) ack 1 ...");
    at(500);
    in("S 0:0(0) mss 1460");
    out("S. 0:0(0) ack 1 ...");
    in(". 1:1(0) ack 1");
    accepted();
}

/* --- ISNs --- */

static void rfc6528_3_isns_of_other_ports_are_unrelated(void **state)
{
    uint32_t first;

    (void)state;
    listening();
    in("S 0:0(0)");
    out("S. 0:0(0) ack 1 ...");
    first = script.iss;
    script_new_peer(40001);
    in("S 0:0(0)");
    out("S. 0:0(0) ack 1 ...");
    holds(script.iss - first > 100000 && first - script.iss > 100000);
}

static void rfc6528_3_isns_of_one_flow_grow_with_the_clock(void **state)
{
    uint32_t first;

    (void)state;
    listening();
    in("S 0:0(0)");
    out("S. 0:0(0) ack 1 ...");
    first = script.iss;
    in("R 1:1(0)");
    state_is(WEIR_TCP_CLOSED);
    at(1000);
    script_new_peer(LIVE_PEER_PORT);
    in("S 0:0(0)");
    out("S. 0:0(0) ack 1 ...");
    holds(script.iss - first == 250000);
}

static void rfc7323_5_4_timestamps_of_other_flows_are_unrelated(void **state)
{
    uint32_t first;

    (void)state;
    listening();
    in("S 0:0(0) ts 0 0");
    out("S. 0:0(0) ack 1 ...");
    first = script.ts_base;
    script_new_peer(40001);
    in("S 0:0(0) ts 0 0");
    out("S. 0:0(0) ack 1 ...");
    holds(script.ts_base - first > 1000 && first - script.ts_base > 1000);
}

/* --- active --- */

static void rfc9293_3_5_active_open_in_three_segments(void **state)
{
    (void)state;
    connecting();
    out("S 0:0(0) win 65535 mss 1460 sackok ts 0 0 ws 7");
    state_is(WEIR_TCP_SYN_SENT);
    in("S. 0:0(0) ack 1 win 1000 mss 1460 sackok ws 3 ts 5 0");
    out(". 1:1(0) ack 1 ts 0 5");
    connected();
    user_send(100);
    out("P. 1:101(100) ack 1 ts 0 5");
}

static void rfc9293_3_5_active_open_of_a_peer_without_options(void **state)
{
    (void)state;
    connecting();
    out("S 0:0(0) ...");
    in("S. 0:0(0) ack 1 win 1000");
    out(". 1:1(0) ack 1 nots");
    connected();
    user_send(800);
    out(". 1:537(536) ack 1 nots");
}

static void rfc9293_3_10_7_3_data_with_the_syn_ack(void **state)
{
    (void)state;
    connecting();
    out("S 0:0(0) ...");
    in("SP. 0:10(10) ack 1 win 1000 mss 1460");
    connected();
    out(". 1:1(0) ack 11");
    recv_is(10);
}

static void rfc9293_3_5_simultaneous_open(void **state)
{
    (void)state;
    connecting();
    out("S 0:0(0) ...");
    in("S 0:0(0) win 1000 mss 1460");
    out("S. 0:0(0) ack 1 mss 1460");
    in("S. 0:0(0) ack 1 win 1000 mss 1460");
    state_is(WEIR_TCP_ESTABLISHED);
    script_drop_sent();
    connected();
    user_send(100);
    out("P. 1:101(100) ack 1");
}

static void rfc9293_3_5_simultaneous_open_completed_by_an_ack(void **state)
{
    (void)state;
    connecting();
    out("S 0:0(0) ...");
    in("S 0:0(0) win 1000 mss 1460");
    out("S. 0:0(0) ack 1 mss 1460");
    in(". 1:1(0) ack 1 win 1000");
    state_is(WEIR_TCP_ESTABLISHED);
    connected();
}

static void rfc9293_3_5_simultaneous_open_refused_by_rst(void **state)
{
    (void)state;
    connecting();
    out("S 0:0(0) ...");
    in("S 0:0(0) win 1000 mss 1460");
    out("S. 0:0(0) ack 1 mss 1460");
    in("R 1:1(0)");
    connect_fails(-ECONNREFUSED);
}

static void rfc9293_3_10_7_3_refused(void **state)
{
    (void)state;
    connecting();
    out("S 0:0(0) ...");
    in("R. 0:0(0) ack 1");
    connect_fails(-ECONNREFUSED);
    nothing_until(10000);
}

static void rfc9293_3_5_2_half_open_old_connection_is_reset(void **state)
{
    (void)state;
    connecting();
    out("S 0:0(0) ...");
    in(". 300:300(0) ack 500"); /* figure 9: the peer still has an old connection */
    out("R 500:500(0)");
    in("R 300:300(0)");
    nothing();
    out_at(1000, "S 0:0(0) ...");
    in("S. 0:0(0) ack 1 mss 1460");
    out(". 1:1(0) ack 1");
    connected();
}

static void rfc6298_5_7_syn_is_sent_again_and_given_up(void **state)
{
    (void)state;
    connecting();
    out("S 0:0(0) ...");
    out_at(1000, "S 0:0(0) ...");
    out_at(3000, "S 0:0(0) ...");
    out_at(7000, "S 0:0(0) ...");
    out_at(15000, "S 0:0(0) ...");
    out_at(31000, "S 0:0(0) ...");
    out_at(63000, "S 0:0(0) ...");
    nothing_until(122900);
    skip_until(123500);
    connect_fails(-ETIMEDOUT);
}

static void rfc6298_2_1_timestamp_of_a_syn_that_was_sent_again(void **state)
{
    (void)state;
    connecting();
    out("S 0:0(0) ...");
    out_at(1000, "S 0:0(0) mss 1460 sackok ts 1000 0 ws 7");
    in("S. 0:0(0) ack 1 win 65535 mss 1460 ts 7 1000");
    out(". 1:1(0) ack 1 ts 1000 7");
    connected();
}

static void rfc9293_3_10_5_abort_in_syn_sent_sends_nothing(void **state)
{
    (void)state;
    connecting();
    out("S 0:0(0) ...");
    weir_future_cancel(&script.connect.future);
    script.connecting = false;
    live_pump(script.live);
    nothing();
    state_is(WEIR_TCP_CLOSED);
    in("S. 0:0(0) ack 1");
    out("R 1:1(0)");
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        script_case(rfc9293_3_5_passive_open_in_three_segments),
        script_case(rfc9293_3_5_passive_open_on_ipv6),
        script_case(rfc9293_3_7_1_syn_without_mss_means_536),
        script_case(rfc9293_3_7_1_syn_without_mss_on_ipv6_means_1220),
        script_case(rfc9293_3_7_1_sends_no_more_than_the_peers_mss),
        script_case(rfc9293_3_7_1_sends_no_more_than_the_mtu),
        script_case(rfc6691_3_1_options_are_taken_off_the_mss),
        script_case(rfc9293_3_7_1_a_tiny_mss_is_not_believed),
        script_case(rfc7323_2_2_window_scale_is_answered),
        script_case(rfc7323_2_2_no_window_scale_without_an_offer),
        script_case(rfc7323_2_3_the_peers_scale_counts_after_the_syn),
        script_case(rfc7323_2_2_the_window_of_a_syn_is_not_scaled),
        script_case(rfc7323_2_3_a_scale_above_14_is_taken_as_14),
        script_case(rfc7323_3_2_timestamps_are_answered),
        script_case(rfc2018_2_sack_permitted_is_answered),
        script_case(rfc6298_5_7_syn_ack_is_sent_again_after_a_second),
        script_case(rfc9293_3_5_2_handshake_after_a_lost_syn_ack),
        script_case(rfc6528_3_isns_of_other_ports_are_unrelated),
        script_case(rfc6528_3_isns_of_one_flow_grow_with_the_clock),
        script_case(rfc7323_5_4_timestamps_of_other_flows_are_unrelated),
        script_case(rfc9293_3_5_active_open_in_three_segments),
        script_case(rfc9293_3_5_active_open_of_a_peer_without_options),
        script_case(rfc9293_3_10_7_3_data_with_the_syn_ack),
        script_case(rfc9293_3_5_simultaneous_open),
        script_case(rfc9293_3_5_simultaneous_open_completed_by_an_ack),
        script_case(rfc9293_3_5_simultaneous_open_refused_by_rst),
        script_case(rfc9293_3_10_7_3_refused),
        script_case(rfc9293_3_5_2_half_open_old_connection_is_reset),
        script_case(rfc6298_5_7_syn_is_sent_again_and_given_up),
        script_case(rfc6298_2_1_timestamp_of_a_syn_that_was_sent_again),
        script_case(rfc9293_3_10_5_abort_in_syn_sent_sends_nothing),
    };

    return cmocka_run_group_tests(cases, NULL, NULL);
}
