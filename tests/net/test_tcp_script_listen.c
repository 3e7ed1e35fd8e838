/* test_tcp_script_listen.c - who may open how many: half-open bounds and SYN cookies (RFC 4987),
 * addresses that are nobody's (1122 4.2.3.10), listeners that close. */
#include "tests/net/tcp_live.c"
#include "tests/net/tcp_script.c"

/* --- bounds: RFC 4987 --- */

static void rfc4987_3_6_syns_beyond_the_backlog_get_cookies(void **state)
{
    (void)state;
    listening_with(1, 16);
    in("S 0:0(0) mss 1460");
    out("S. 0:0(0) ack 1 ...");
    script_new_peer(40001);
    in("S 0:0(0) mss 1460");
    out("S. 0:0(0) ack 1 mss 1460");
    state_is(WEIR_TCP_CLOSED); /* nothing is kept */
    in(". 1:1(0) ack 1 win 1000");
    nothing();
    state_is(WEIR_TCP_ESTABLISHED);
    accepted();
    user_send(2000);
    out(". 1:1001(1000) ack 1"); /* the window, for 1,460 are known from the cookie */
}

static void rfc4987_3_6_cookie_remembers_options_in_the_timestamp(void **state)
{
    (void)state;
    listening_with(1, 16);
    in("S 0:0(0) mss 1460");
    out("S. 0:0(0) ack 1 ...");
    script_new_peer(40001);
    in("S 0:0(0) mss 1460 sackok ws 5 ts 1 0");
    out("S. 0:0(0) ack 1 mss 1460 sackok ws 7 ts 0 1");
    in(". 1:1(0) ack 1 win 1000 ts 2 0");
    accepted();
    holds(script_tcp()->snd_wscale == 5 && (script_tcp()->flags & WEIR_TCP_SACK));
    holds(script_tcp()->snd_wnd == 32000);
}

static void rfc4987_3_6_data_with_the_cookie(void **state)
{
    (void)state;
    listening_with(1, 16);
    in("S 0:0(0) mss 1460");
    out("S. 0:0(0) ack 1 ...");
    script_new_peer(40001);
    in("S 0:0(0) mss 1460");
    out("S. 0:0(0) ack 1 ...");
    in("P. 1:101(100) ack 1 win 1000");
    accepted();
    recv_is(100);
}

static void rfc4987_3_6_a_wrong_cookie_is_reset(void **state)
{
    (void)state;
    listening_with(1, 16);
    in("S 0:0(0) mss 1460");
    out("S. 0:0(0) ack 1 ...");
    script_new_peer(40001);
    in("S 0:0(0) mss 1460");
    out("S. 0:0(0) ack 1 ...");
    in(". 1:1(0) ack 2 win 1000");
    out("R 2:2(0)");
    in(". 2:2(0) ack 1 win 1000"); /* of another peer's ISN */
    out("R 1:1(0)");
    state_is(WEIR_TCP_CLOSED);
}

static void rfc4987_3_6_a_cookie_of_another_port_is_reset(void **state)
{
    (void)state;
    listening_with(1, 16);
    in("S 0:0(0) mss 1460");
    out("S. 0:0(0) ack 1 ...");
    script_new_peer(40001);
    in("S 0:0(0) mss 1460");
    out("S. 0:0(0) ack 1 ...");
    in(". 1:1(0) ack 1 port 40002");
    out("R 1:1(0) port 40002");
}

static void rfc4987_3_6_an_old_cookie_is_reset(void **state)
{
    (void)state;
    listening_with(1, 16);
    in("S 0:0(0) mss 1460");
    out("S. 0:0(0) ack 1 ...");
    script_new_peer(40001);
    in("S 0:0(0) mss 1460");
    out("S. 0:0(0) ack 1 ...");
    skip_until(130000);
    in(". 1:1(0) ack 1");
    out("R 1:1(0)");
}

static void rfc4987_2_a_full_accept_queue_drops_syns(void **state)
{
    (void)state;
    listening_with(15, 1); /* together 16 may wait to be accepted */
    for (uint16_t i = 0; i < 16; i++) {
        script_new_peer((uint16_t)(41000 + i));
        in("S 0:0(0) mss 1460");
        out("S. 0:0(0) ack 1 ...");
        in(". 1:1(0) ack 1");
        nothing();
        state_is(WEIR_TCP_ESTABLISHED);
    }
    script_new_peer(42000);
    in("S 0:0(0) mss 1460");
    nothing();
    accepted(); /* room again */
    in("S 0:0(0) mss 1460");
    out("S. 0:0(0) ack 1 ...");
}

static void rfc1122_4_2_3_10_syn_to_a_broadcast_address_is_dropped(void **state)
{
    struct weir_ip local = script.live->local, broadcast = weir_ip_v4(htonl(0xc00002ff));

    (void)state;
    listening();
    script.live->local = broadcast;
    in("S 0:0(0)");
    script.live->local = local;
    nothing();
    holds(script.live->native->tcp->half_open == 0);
}

static void rfc1122_4_2_3_10_syn_from_a_broadcast_address_is_dropped(void **state)
{
    struct weir_ip peer = script.live->peer;

    (void)state;
    listening();
    script.live->peer = weir_ip_v4(htonl(0xffffffff));
    in("S 0:0(0)");
    script.live->peer = peer;
    nothing();
    holds(script.live->native->tcp->half_open == 0);
}

static void rfc9293_3_10_7_2_syn_from_our_own_address_is_dropped(void **state)
{
    struct weir_ip peer = script.live->peer;

    (void)state;
    listening();
    script.live->peer = script.live->local;
    script.peer_port = LIVE_PORT;
    in("S 0:0(0)");
    script.live->peer = peer;
    nothing();
    holds(script.live->native->tcp->half_open == 0);
}

static void rfc9293_3_9_1_closed_listener_resets_half_open_ones(void **state)
{
    (void)state;
    listening();
    in("S 0:0(0)");
    out("S. 0:0(0) ack 1 ...");
    weir_listener_close(script.listener);
    script.listener = NULL;
    live_pump(script.live);
    out("R. 1:1(0) ack 1");
    in("S 0:0(0) port 40001");
    script.iss = 0;
    out("R. 0:0(0) ack 1 port 40001");
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        script_case(rfc4987_3_6_syns_beyond_the_backlog_get_cookies),
        script_case(rfc4987_3_6_cookie_remembers_options_in_the_timestamp),
        script_case(rfc4987_3_6_data_with_the_cookie),
        script_case(rfc4987_3_6_a_wrong_cookie_is_reset),
        script_case(rfc4987_3_6_a_cookie_of_another_port_is_reset),
        script_case(rfc4987_3_6_an_old_cookie_is_reset),
        script_case(rfc4987_2_a_full_accept_queue_drops_syns),
        script_case(rfc1122_4_2_3_10_syn_to_a_broadcast_address_is_dropped),
        script_case(rfc1122_4_2_3_10_syn_from_a_broadcast_address_is_dropped),
        script_case(rfc9293_3_10_7_2_syn_from_our_own_address_is_dropped),
        script_case(rfc9293_3_9_1_closed_listener_resets_half_open_ones),
    };

    return cmocka_run_group_tests(cases, NULL, NULL);
}
