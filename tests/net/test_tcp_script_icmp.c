/* test_tcp_script_icmp.c - path MTU and ICMP errors: RFC 1191, 8201, 5927, 5461, 1122 4.2.3.9. */
#include "tests/net/tcp_live.c"
#include "tests/net/tcp_script.c"

/* --- ICMP, path MTU --- */

static void rfc1191_6_4_too_big_makes_segments_smaller(void **state)
{
    (void)state;
    established("mss 1460");
    user_send(2920);
    out(". 1:1461(1460) ack 1");
    out("P. 1461:2921(1460) ack 1");
    icmp(3, 4, 1000, 1);
    out(". 1:961(960) ack 1");
    out(". 961:1461(500) ack 1");
    script_drop_sent();
    in(". 1:1(0) ack 2921");
    user_send(960);
    out("P. 2921:3881(960) ack 1");
}

static void rfc1191_6_4_too_big_is_no_congestion(void **state)
{
    uint32_t cwnd;

    (void)state;
    established("mss 1460");
    user_send(1460);
    out("P. 1:1461(1460) ack 1");
    cwnd = script_tcp()->cwnd;
    icmp(3, 4, 1000, 1);
    script_drop_sent();
    holds(script_tcp()->cwnd == cwnd);
}

static void rfc5927_7_2_too_big_about_nothing_in_flight_is_ignored(void **state)
{
    (void)state;
    established("mss 1460");
    user_send(1460);
    out("P. 1:1461(1460) ack 1");
    in(". 1:1(0) ack 1461");
    icmp(3, 4, 1000, 1);
    icmp(3, 4, 1000, 5000000);
    nothing();
    holds(script.live->native->stats.icmp_bad >= 2);
}

static void rfc8201_4_too_big_on_ipv6(void **state)
{
    (void)state;
    script.config.v6 = true;
    script_restart();
    established("mss 1440");
    user_send(1440);
    out("P. 1:1441(1440) ack 1");
    icmp(2, 0, 1300, 1);
    out(". 1:1241(1240) ack 1");
    out("P. 1241:1441(200) ack 1");
}

static void rfc5461_4_1_unreachable_in_syn_sent_ends_the_attempt(void **state)
{
    (void)state;
    connecting();
    out("S 0:0(0) ...");
    icmp(3, 1, 0, 0);
    connect_fails(-EHOSTUNREACH);
}

static void rfc1122_4_2_3_9_port_unreachable_in_syn_sent_refuses(void **state)
{
    (void)state;
    connecting();
    out("S 0:0(0) ...");
    icmp(3, 3, 0, 0);
    connect_fails(-ECONNREFUSED);
}

static void rfc5927_4_unreachable_with_another_number_is_ignored(void **state)
{
    (void)state;
    connecting();
    out("S 0:0(0) ...");
    icmp(3, 1, 0, 77);
    state_is(WEIR_TCP_SYN_SENT);
}

static void rfc5927_5_2_errors_do_not_end_an_established_connection(void **state)
{
    (void)state;
    established("mss 1460");
    user_send(10);
    out("P. 1:11(10) ack 1");
    icmp(3, 1, 0, 1);
    icmp(3, 2, 0, 1);
    icmp(3, 3, 0, 1);
    state_is(WEIR_TCP_ESTABLISHED);
    in(". 1:1(0) ack 11");
    nothing_until(1000);
}

static void rfc1122_4_2_3_9_source_quench_is_ignored(void **state)
{
    (void)state;
    established("mss 1460");
    user_send(10);
    out("P. 1:11(10) ack 1");
    icmp(4, 0, 0, 1);
    holds(script_tcp()->cwnd >= 10 * 1460);
}

static void rfc1191_3_segments_may_not_be_fragmented(void **state)
{
    const struct live_segment *s;

    (void)state;
    established("mss 1460");
    user_send(10);
    s = live_sent(script.live);
    holds(s && s->dont_fragment && s->hop_limit == 64);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        script_case(rfc1191_6_4_too_big_makes_segments_smaller),
        script_case(rfc1191_6_4_too_big_is_no_congestion),
        script_case(rfc5927_7_2_too_big_about_nothing_in_flight_is_ignored),
        script_case(rfc8201_4_too_big_on_ipv6),
        script_case(rfc5461_4_1_unreachable_in_syn_sent_ends_the_attempt),
        script_case(rfc1122_4_2_3_9_port_unreachable_in_syn_sent_refuses),
        script_case(rfc5927_4_unreachable_with_another_number_is_ignored),
        script_case(rfc5927_5_2_errors_do_not_end_an_established_connection),
        script_case(rfc1122_4_2_3_9_source_quench_is_ignored),
        script_case(rfc1191_3_segments_may_not_be_fragmented),
    };

    return cmocka_run_group_tests(cases, NULL, NULL);
}
