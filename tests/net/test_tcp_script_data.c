/* test_tcp_script_data.c - receiving: ACKs (RFC 9293 3.8.6.3, 5681 4.2), reassembly and SACK blocks
 * (2018, 2883), urgent data (9293 3.8.5), timestamps and PAWS (7323). */
#include "tests/net/tcp_live.c"
#include "tests/net/tcp_script.c"

/* --- ACKs --- */

static void rfc9293_3_8_6_3_an_ack_is_delayed_by_less_than_half_a_second(void **state)
{
    (void)state;
    established("mss 1460");
    in("P. 1:101(100) ack 1");
    out_at(40, ". 1:1(0) ack 101");
}

static void rfc5681_4_2_every_second_full_segment_is_acked(void **state)
{
    (void)state;
    established("mss 1460");
    in(". 1:1461(1460) ack 1");
    nothing();
    in(". 1461:2921(1460) ack 1");
    out(". 1:1(0) ack 2921");
    in(". 2921:4381(1460) ack 1");
    nothing();
    in(". 4381:5841(1460) ack 1");
    out(". 1:1(0) ack 5841");
    recv_is(5840);
}

static void rfc9293_3_8_6_3_an_ack_rides_on_data(void **state)
{
    (void)state;
    established("mss 1460");
    in("P. 1:101(100) ack 1");
    user_send(50);
    out("P. 1:51(50) ack 101");
    nothing_until(100);
}

static void rfc5681_4_2_out_of_order_is_acked_at_once(void **state)
{
    (void)state;
    established("mss 1460");
    in(". 1001:2001(1000) ack 1");
    out(". 1:1(0) ack 1");
    in(". 2001:3001(1000) ack 1");
    out(". 1:1(0) ack 1");
}

static void rfc5681_4_2_a_filled_hole_is_acked_at_once(void **state)
{
    (void)state;
    established("mss 1460");
    in(". 1001:2001(1000) ack 1");
    out(". 1:1(0) ack 1");
    in(". 1:1001(1000) ack 1");
    out(". 1:1(0) ack 2001");
    recv_is(2000);
}

static void rfc9293_3_10_7_4_overlapping_segments_are_cut(void **state)
{
    (void)state;
    established("mss 1460");
    in("P. 1:101(100) ack 1");
    in("P. 51:151(100) ack 1");
    recv_is(150);
    in(". 201:301(100) ack 1");
    in(". 151:401(250) ack 1");
    recv_is(250);
    script_drop_sent();
}

static void rfc9293_3_4_numbers_wrap_around(void **state)
{
    (void)state;
    established("mss 1460"); /* the peer's numbers wrap at 512 */
    for (uint32_t i = 0; i < 10; i++)
        script_in(__LINE__, "P. %u:%u(100) ack 1", 1 + 100 * i, 101 + 100 * i);
    script_drop_sent();
    recv_is(1000);
}

/* --- SACK blocks, D-SACK --- */

static void rfc2018_3_blocks_name_what_is_there(void **state)
{
    (void)state;
    established("mss 1460 sackok");
    in(". 1001:2001(1000) ack 1");
    out(". 1:1(0) ack 1 sack 1001-2001");
}

static void rfc2018_4_the_latest_block_comes_first(void **state)
{
    (void)state;
    established("mss 1460 sackok");
    in(". 1001:2001(1000) ack 1");
    out(". 1:1(0) ack 1 sack 1001-2001");
    in(". 3001:4001(1000) ack 1");
    out(". 1:1(0) ack 1 sack 3001-4001,1001-2001");
    in(". 2001:2501(500) ack 1");
    out(". 1:1(0) ack 1 sack 1001-2501,3001-4001");
}

static void rfc2018_3_at_most_four_blocks(void **state)
{
    (void)state;
    established("mss 1460 sackok");
    for (uint32_t i = 1; i <= 5; i++) {
        script_in(__LINE__, ". %u:%u(100) ack 1", 1 + 200 * i, 101 + 200 * i);
        if (i < 5)
            script_drop_sent();
    }
    out(". 1:1(0) ack 1 sack 1001-1101,801-901,601-701,401-501");
}

static void rfc2018_3_three_blocks_beside_a_timestamp(void **state)
{
    (void)state;
    established("mss 1460 sackok ts 0 0");
    for (uint32_t i = 1; i <= 4; i++) {
        script_in(__LINE__, ". %u:%u(100) ack 1", 1 + 200 * i, 101 + 200 * i);
        if (i < 4)
            script_drop_sent();
    }
    out(". 1:1(0) ack 1 sack 801-901,601-701,401-501");
}

static void rfc2018_2_no_blocks_without_permission(void **state)
{
    (void)state;
    established("mss 1460");
    in(". 1001:2001(1000) ack 1");
    out(". 1:1(0) ack 1");
}

static void rfc2018_4_blocks_go_when_the_hole_is_filled(void **state)
{
    (void)state;
    established("mss 1460 sackok");
    in(". 1001:2001(1000) ack 1");
    out(". 1:1(0) ack 1 sack 1001-2001");
    in(". 3001:4001(1000) ack 1");
    out(". 1:1(0) ack 1 sack 3001-4001,1001-2001");
    in(". 1:1001(1000) ack 1");
    out(". 1:1(0) ack 2001 sack 3001-4001");
    in(". 2001:3001(1000) ack 1");
    out(". 1:1(0) ack 4001");
    recv_is(4000);
}

static void rfc2883_4_1_1_a_duplicate_segment_is_reported(void **state)
{
    (void)state;
    established("mss 1460 sackok");
    in("P. 1:101(100) ack 1");
    out_at(40, ". 1:1(0) ack 101");
    in("P. 1:101(100) ack 1");
    out(". 1:1(0) ack 101 sack 1-101");
}

static void rfc2883_4_1_2_a_duplicate_with_other_blocks(void **state)
{
    (void)state;
    established("mss 1460 sackok");
    in(". 1001:2001(1000) ack 1");
    out(". 1:1(0) ack 1 sack 1001-2001");
    in(". 1001:2001(1000) ack 1");
    out(". 1:1(0) ack 1 sack 1001-2001,1001-2001");
}

static void rfc2883_4_a_duplicate_is_reported_once(void **state)
{
    (void)state;
    established("mss 1460 sackok");
    in("P. 1:101(100) ack 1");
    out_at(40, ". 1:1(0) ack 101");
    in("P. 1:101(100) ack 1");
    out(". 1:1(0) ack 101 sack 1-101");
    in(". 100:100(0) ack 1");
    out(". 1:1(0) ack 101");
}

/* --- urgent --- */

static void rfc9293_3_8_5_urgent_data_stays_in_band(void **state)
{
    (void)state;
    established("mss 1460");
    in("PU. 1:11(10) ack 1 urg 10");
    recv_is(10);
}

static void rfc9293_3_8_5_an_urgent_pointer_beyond_the_segment(void **state)
{
    (void)state;
    established("mss 1460");
    in("U. 1:11(10) ack 1 urg 65535");
    in("P. 11:21(10) ack 1");
    recv_is(20);
}

static void rfc9293_3_8_5_an_urgent_pointer_without_the_flag(void **state)
{
    (void)state;
    established("mss 1460");
    in("P. 1:11(10) ack 1 urg 5");
    recv_is(10);
}

/* --- timestamps --- */

static void rfc7323_3_2_every_segment_carries_a_timestamp(void **state)
{
    (void)state;
    established("mss 1460 ts 0 0");
    at(10);
    user_send(100);
    out("P. 1:101(100) ack 1 ts 10 0");
    at(20);
    in("P. 1:11(10) ack 101");
    out_at(60, ". 101:101(0) ack 11 ts 60 20");
    user_close();
}

static void rfc7323_3_2_segments_without_one_are_dropped(void **state)
{
    (void)state;
    established("mss 1460 ts 0 0");
    in("P. 1:11(10) ack 1 nots");
    nothing_until(100);
    holds(script_tcp()->rcv_used == 0);
}

/* A peer that has started anew asks for a connection that we have: by a SYN without timestamps,
 * too, he learns of it, resets it and asks again. */
static void rfc5961_4_2_a_syn_without_a_timestamp_is_challenged(void **state)
{
    (void)state;
    established("mss 1460 ts 1 0");
    in("S 900000:900000(0) nots mss 1460");
    out(". 1:1(0) ack 1");
    in("R 1:1(0) nots");
    state_is(WEIR_TCP_CLOSED);
}

static void rfc7323_3_2_a_rst_without_one_counts(void **state)
{
    (void)state;
    established("mss 1460 ts 0 0");
    in("R 1:1(0) nots");
    state_is(WEIR_TCP_CLOSED);
}

static void rfc7323_5_3_an_old_timestamp_is_refused(void **state)
{
    (void)state;
    established("mss 1460 ts 1000 0");
    in("P. 1:11(10) ack 1 ts 999 0");
    out(". 1:1(0) ack 1 ts 0 1000");
    holds(script.live->native->stats.tcp_paws == 1);
    in("P. 1:11(10) ack 1 ts 1000 0");
    recv_is(10);
}

static void rfc7323_5_3_a_rst_is_not_checked_by_paws(void **state)
{
    (void)state;
    established("mss 1460 ts 1000 0");
    in("R 1:1(0) ts 1 0");
    state_is(WEIR_TCP_CLOSED);
}

static void rfc7323_5_5_after_24_days_the_old_time_is_void(void **state)
{
    (void)state;
    established("mss 1460 ts 1000 0");
    skip_until(25.0 * 86400 * 1000);
    in("P. 1:11(10) ack 1 ts 500 0");
    recv_is(10);
}

static void rfc7323_4_3_the_echo_is_of_the_first_unacked_segment(void **state)
{
    (void)state;
    established("mss 1460 ts 1 0");
    at(10);
    in(". 1:101(100) ack 1 ts 10 0");
    at(20);
    in(". 101:201(100) ack 1 ts 20 0");
    out_at(50, ". 1:1(0) ack 201 ts 50 10");
}

static void rfc7323_4_3_the_echo_is_not_of_a_segment_behind_a_hole(void **state)
{
    (void)state;
    established("mss 1460 ts 1 0");
    in(". 101:201(100) ack 1 ts 10 0");
    out(". 1:1(0) ack 1 ts 0 1");
    in(". 1:101(100) ack 1 ts 12 0");
    out(". 1:1(0) ack 201 ts 0 12");
}

static void rfc7323_2_no_timestamps_unless_both_have_them(void **state)
{
    (void)state;
    established("mss 1460");
    in("P. 1:11(10) ack 1 ts 5 5"); /* nobody has agreed on this: ignored */
    out_at(40, ". 1:1(0) ack 11 nots");
    recv_is(10);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        script_case(rfc9293_3_8_6_3_an_ack_is_delayed_by_less_than_half_a_second),
        script_case(rfc5681_4_2_every_second_full_segment_is_acked),
        script_case(rfc9293_3_8_6_3_an_ack_rides_on_data),
        script_case(rfc5681_4_2_out_of_order_is_acked_at_once),
        script_case(rfc5681_4_2_a_filled_hole_is_acked_at_once),
        script_case(rfc9293_3_10_7_4_overlapping_segments_are_cut),
        script_case(rfc9293_3_4_numbers_wrap_around),
        script_case(rfc2018_3_blocks_name_what_is_there),
        script_case(rfc2018_4_the_latest_block_comes_first),
        script_case(rfc2018_3_at_most_four_blocks),
        script_case(rfc2018_3_three_blocks_beside_a_timestamp),
        script_case(rfc2018_2_no_blocks_without_permission),
        script_case(rfc2018_4_blocks_go_when_the_hole_is_filled),
        script_case(rfc2883_4_1_1_a_duplicate_segment_is_reported),
        script_case(rfc2883_4_1_2_a_duplicate_with_other_blocks),
        script_case(rfc2883_4_a_duplicate_is_reported_once),
        script_case(rfc9293_3_8_5_urgent_data_stays_in_band),
        script_case(rfc9293_3_8_5_an_urgent_pointer_beyond_the_segment),
        script_case(rfc9293_3_8_5_an_urgent_pointer_without_the_flag),
        script_case(rfc7323_3_2_every_segment_carries_a_timestamp),
        script_case(rfc7323_3_2_segments_without_one_are_dropped),
        script_case(rfc5961_4_2_a_syn_without_a_timestamp_is_challenged),
        script_case(rfc7323_3_2_a_rst_without_one_counts),
        script_case(rfc7323_5_3_an_old_timestamp_is_refused),
        script_case(rfc7323_5_3_a_rst_is_not_checked_by_paws),
        script_case(rfc7323_5_5_after_24_days_the_old_time_is_void),
        script_case(rfc7323_4_3_the_echo_is_of_the_first_unacked_segment),
        script_case(rfc7323_4_3_the_echo_is_not_of_a_segment_behind_a_hole),
        script_case(rfc7323_2_no_timestamps_unless_both_have_them),
    };

    return cmocka_run_group_tests(cases, NULL, NULL);
}
