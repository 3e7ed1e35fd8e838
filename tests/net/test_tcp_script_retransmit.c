/* test_tcp_script_retransmit.c - the retransmission timeout (RFC 6298) and how fast to send: 5681,
 * 6928, 7661, 9438.
 *
 * Segments are of 1,000 bytes; unless a case says otherwise there is no delay on the peer's side,
 * so the retransmission timeout is the least there is, 200 ms. */
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

/* --- RFC 6298 --- */

static void rfc6298_5_1_the_timer_starts_with_the_first_segment(void **state)
{
    (void)state;
    established("mss 1000");
    user_send(1000);
    out("P. 1:1001(1000) ack 1");
    out_at(200, "P. 1:1001(1000) ack 1");
}

static void rfc6298_5_2_the_timer_stops_when_all_is_acked(void **state)
{
    (void)state;
    established("mss 1000");
    user_send(1000);
    out("P. 1:1001(1000) ack 1");
    in(". 1:1(0) ack 1001");
    nothing_until(10000);
}

static void rfc6298_5_3_an_ack_restarts_the_timer(void **state)
{
    (void)state;
    established("mss 1000");
    user_send(2000);
    out_last_segments(0, 2);
    at(150);
    in(". 1:1(0) ack 1001");
    nothing_until(349);
    skip_until(800); /* the sample of 150 ms has made it longer */
    holds(script.live->native->stats.tcp_timeouts >= 1);
}

static void rfc6298_5_5_the_timeout_doubles(void **state)
{
    (void)state;
    established("mss 1000");
    user_send(1000);
    out("P. 1:1001(1000) ack 1");
    out_at(200, "P. 1:1001(1000) ack 1");
    out_at(600, "P. 1:1001(1000) ack 1");
    out_at(1400, "P. 1:1001(1000) ack 1");
    out_at(3000, "P. 1:1001(1000) ack 1");
    out_at(6200, "P. 1:1001(1000) ack 1");
}

static void rfc6298_2_5_the_timeout_has_a_maximum(void **state)
{
    (void)state;
    established("mss 1000");
    user_send(1000);
    skip_until(400000);
    holds(script_tcp()->rto_us == 60000000);
}

static void rfc6298_2_2_the_first_sample(void **state)
{
    (void)state;
    far_peer("");
    holds(script_tcp()->srtt_us == 100000 && script_tcp()->rttvar_us == 50000);
    holds(script_tcp()->rto_us == 300000);
}

static void rfc6298_2_3_the_next_samples(void **state)
{
    (void)state;
    far_peer("");
    user_send(1000);
    out("P. 1:1001(1000) ack 1");
    at(280);
    in(". 1:1(0) ack 1001");
    /* R' = 180: RTTVAR = 3/4 50 + 1/4 80, SRTT = 7/8 100 + 1/8 180 */
    holds(script_tcp()->srtt_us == 110000 && script_tcp()->rttvar_us == 57500);
    holds(script_tcp()->rto_us == 340000);
}

static void rfc6298_3_no_sample_of_what_was_sent_twice(void **state)
{
    (void)state;
    far_peer("");
    user_send(1000);
    out("P. 1:1001(1000) ack 1");
    out_at(400, "P. 1:1001(1000) ack 1");
    in(". 1:1(0) ack 1001"); /* of the first or the second? */
    holds(script_tcp()->srtt_us == 100000);
}

static void rfc7323_4_1_a_timestamp_tells_which(void **state)
{
    (void)state;
    far_peer("ts 0 0");
    user_send(988);
    out("P. 1:989(988) ack 1 ts 100 100");
    out_at(400, "P. 1:989(988) ack 1 ts 400 100");
    at(500);
    in(". 1:1(0) ack 989 ts 500 400");
    holds(script_tcp()->srtt_us == 100000 && script_tcp()->rttvar_us < 50000);
}

static void rfc9293_3_8_3_r2_ends_the_connection(void **state)
{
    (void)state;
    established("mss 1000");
    recv_waits();
    user_send(1000);
    skip_until(100000); /* R2 shall be at least 100 s */
    state_is(WEIR_TCP_ESTABLISHED);
    skip_until(1200000);
    state_is(WEIR_TCP_CLOSED);
    recv_result(-ETIMEDOUT);
}

static void rfc6298_5_7_after_a_lost_syn_the_timeout_is_3_seconds(void **state)
{
    (void)state;
    listening();
    in("S 0:0(0) mss 1000");
    out("S. 0:0(0) ack 1 ...");
    out_at(1000, "S. 0:0(0) ack 1 ...");
    in(". 1:1(0) ack 1");
    accepted();
    user_send(1000);
    out("P. 1:1001(1000) ack 1");
    nothing_until(3990);
    out_at(4000, "P. 1:1001(1000) ack 1");
}

/* --- RFC 5681, 6928 --- */

static void rfc6928_2_ten_segments_to_begin_with(void **state)
{
    (void)state;
    established("mss 1000");
    user_send(20000);
    out_segments(0, 10);
    nothing();
}

static void rfc6928_2_no_more_than_14600_bytes_of_big_ones(void **state)
{
    (void)state;
    script.config.mtu = 1500;
    established("mss 1460");
    user_send(40000);
    for (uint32_t i = 0; i < 10; i++)
        script_out(__LINE__, ". %u:%u(1460) ack 1", 1 + 1460 * i, 1461 + 1460 * i);
    nothing();
}

static void rfc6928_2_less_after_a_lost_syn(void **state)
{
    (void)state;
    listening();
    in("S 0:0(0) mss 1000");
    out("S. 0:0(0) ack 1 ...");
    out_at(1000, "S. 0:0(0) ack 1 ...");
    out_at(3000, "S. 0:0(0) ack 1 ...");
    in(". 1:1(0) ack 1");
    accepted();
    user_send(20000);
    out_segments(0, 1);
    nothing();
}

static void rfc5681_3_1_slow_start_sends_two_for_each_ack(void **state)
{
    (void)state;
    established("mss 1000");
    user_send(30000);
    out_segments(0, 10);
    in(". 1:1(0) ack 1001");
    out_segments(10, 2);
    in(". 1:1(0) ack 2001");
    out_segments(12, 2);
    nothing();
}

static void rfc5681_3_1_slow_start_grows_by_what_is_acked(void **state)
{
    uint32_t before;

    (void)state;
    established("mss 1000");
    user_send(30000);
    out_segments(0, 10);
    before = cwnd();
    in(". 1:1(0) ack 3001");
    holds(cwnd() > before && cwnd() <= before + 3000);
}

static void rfc5681_3_1_a_timeout_leaves_one_segment(void **state)
{
    (void)state;
    established("mss 1000");
    user_send(10000);
    out_last_segments(0, 10);
    out_at(200, ". 1:1001(1000) ack 1");
    nothing();
    holds(cwnd() == 1000 && script_tcp()->ssthresh == 5000);
    in(". 1:1(0) ack 1001");
    out_segments(1, 2);
    nothing();
}

static void rfc5681_3_1_the_second_timeout_does_not_halve_again(void **state)
{
    (void)state;
    established("mss 1000");
    user_send(10000);
    out_last_segments(0, 10);
    out_at(200, ". 1:1001(1000) ack 1");
    out_at(600, ". 1:1001(1000) ack 1");
    holds(script_tcp()->ssthresh == 5000);
}

static void rfc5681_3_1_congestion_avoidance_grows_by_a_segment_a_round(void **state)
{
    uint32_t before;

    (void)state;
    established("mss 1000");
    script_tcp()->ssthresh = 5000; /* as after a loss */
    user_send(30000);
    out_segments(0, 10);
    before = cwnd();
    for (uint32_t i = 1; i <= 10; i++)
        script_in(__LINE__, ". 1:1(0) ack %u", 1 + MSS * i);
    holds(cwnd() >= before + 900 && cwnd() <= before + 1100);
}

static void rfc5681_4_1_after_idleness_the_window_begins_again(void **state)
{
    (void)state;
    established("mss 1000");
    user_send(10000);
    out_last_segments(0, 10);
    in(". 1:1(0) ack 5001");
    in(". 1:1(0) ack 10001");
    holds(cwnd() > 10000);
    at(5000);
    user_send(30000);
    out_segments(10, 10);
    nothing();
}

static void rfc7661_4_3_an_unused_window_does_not_grow(void **state)
{
    uint32_t before;

    (void)state;
    established("mss 1000");
    before = cwnd();
    for (uint32_t i = 0; i < 20; i++) {
        user_send(100);
        script_drop_sent();
        script_in(__LINE__, ". 1:1(0) ack %u", 101 + 100 * i);
    }
    holds(cwnd() == before);
}

/* --- CUBIC --- */

static void rfc9438_4_6_a_loss_leaves_seven_tenths(void **state)
{
    (void)state;
    script.config.cc = "cubic";
    script_restart();
    far_peer("sackok");
    user_send(10000);
    out_last_segments(0, 10);
    at(200);
    in(". 1:1(0) ack 1 sack 1001-4001");
    out(". 1:1001(1000) ack 1");
    holds(script_tcp()->ssthresh == 7000);
}

static void rfc9438_4_10_slow_start_first(void **state)
{
    (void)state;
    script.config.cc = "cubic";
    script_restart();
    established("mss 1000");
    user_send(30000);
    out_segments(0, 10);
    in(". 1:1(0) ack 1001");
    out_segments(10, 2);
}

static void rfc9438_4_8_a_timeout_leaves_one_segment(void **state)
{
    (void)state;
    script.config.cc = "cubic";
    script_restart();
    established("mss 1000");
    user_send(10000);
    out_last_segments(0, 10);
    out_at(200, ". 1:1001(1000) ack 1");
    holds(cwnd() == 1000 && script_tcp()->ssthresh == 7000);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        script_case(rfc6298_5_1_the_timer_starts_with_the_first_segment),
        script_case(rfc6298_5_2_the_timer_stops_when_all_is_acked),
        script_case(rfc6298_5_3_an_ack_restarts_the_timer),
        script_case(rfc6298_5_5_the_timeout_doubles),
        script_case(rfc6298_2_5_the_timeout_has_a_maximum),
        script_case(rfc6298_2_2_the_first_sample),
        script_case(rfc6298_2_3_the_next_samples),
        script_case(rfc6298_3_no_sample_of_what_was_sent_twice),
        script_case(rfc7323_4_1_a_timestamp_tells_which),
        script_case(rfc9293_3_8_3_r2_ends_the_connection),
        script_case(rfc6298_5_7_after_a_lost_syn_the_timeout_is_3_seconds),
        script_case(rfc6928_2_ten_segments_to_begin_with),
        script_case(rfc6928_2_no_more_than_14600_bytes_of_big_ones),
        script_case(rfc6928_2_less_after_a_lost_syn),
        script_case(rfc5681_3_1_slow_start_sends_two_for_each_ack),
        script_case(rfc5681_3_1_slow_start_grows_by_what_is_acked),
        script_case(rfc5681_3_1_a_timeout_leaves_one_segment),
        script_case(rfc5681_3_1_the_second_timeout_does_not_halve_again),
        script_case(rfc5681_3_1_congestion_avoidance_grows_by_a_segment_a_round),
        script_case(rfc5681_4_1_after_idleness_the_window_begins_again),
        script_case(rfc7661_4_3_an_unused_window_does_not_grow),
        script_case(rfc9438_4_6_a_loss_leaves_seven_tenths),
        script_case(rfc9438_4_10_slow_start_first),
        script_case(rfc9438_4_8_a_timeout_leaves_one_segment),
    };

    return cmocka_run_group_tests(cases, NULL, NULL);
}
