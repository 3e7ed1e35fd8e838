/* test_tcp_script_states.c - every state and every kind of segment: RFC 9293 3.10.7, with RFC 5961
 * where that narrows it.  One row is one case, with the state that must come out of it.
 *
 * In the rows $ is the next sequence number of the peer, # the next one of ours. */
#include "tests/net/tcp_live.c"
#include "tests/net/tcp_script.c"

enum { LISTEN = 100, RESET = WEIR_TCP_CLOSED };

struct row {
    const char *name;
    int state;
    const char *in, *out; /* out NULL: nothing is sent */
    int after;
};

/* --- getting there --- */

static void reach_established(void)
{
    established("mss 1460");
}

static void reach_fin_wait_1(void)
{
    reach_established();
    user_shutdown();
    out("F. 1:1(0) ack 1");
}

static void reach_fin_wait_2(void)
{
    reach_fin_wait_1();
    in(". 1:1(0) ack 2");
}

static void reach_close_wait(void)
{
    reach_established();
    in("F. 1:1(0) ack 1");
    out(". 1:1(0) ack 2");
}

static void reach_closing(void)
{
    reach_fin_wait_1();
    in("F. 1:1(0) ack 1");
    out(". 2:2(0) ack 2");
}

static void reach_last_ack(void)
{
    reach_close_wait();
    user_shutdown();
    out("F. 1:1(0) ack 2");
}

static void reach_time_wait(void)
{
    reach_fin_wait_2();
    in("F. 1:1(0) ack 2");
    out(". 2:2(0) ack 2");
}

static void reach_syn_received(void)
{
    listening();
    in("S 0:0(0) mss 1460");
    out("S. 0:0(0) ack 1 ...");
}

static void reach_syn_sent(void)
{
    connecting();
    out("S 0:0(0) ...");
}

static void reach_listen(void)
{
    listening();
}

static void reach_closed(void)
{
}

/* Ours and the peer's next sequence number in each. */
static const struct {
    int state;
    void (*reach)(void);
    int ours, peers;
} places[] = {
    { WEIR_TCP_CLOSED, reach_closed, 0, 1 },
    { LISTEN, reach_listen, 0, 0 },
    { WEIR_TCP_SYN_SENT, reach_syn_sent, 1, 0 },
    { WEIR_TCP_SYN_RECEIVED, reach_syn_received, 1, 1 },
    { WEIR_TCP_ESTABLISHED, reach_established, 1, 1 },
    { WEIR_TCP_FIN_WAIT_1, reach_fin_wait_1, 2, 1 },
    { WEIR_TCP_FIN_WAIT_2, reach_fin_wait_2, 2, 1 },
    { WEIR_TCP_CLOSE_WAIT, reach_close_wait, 1, 2 },
    { WEIR_TCP_CLOSING, reach_closing, 2, 2 },
    { WEIR_TCP_LAST_ACK, reach_last_ack, 2, 2 },
    { WEIR_TCP_TIME_WAIT, reach_time_wait, 2, 2 },
};

/* "$+10" and "#-1" as numbers. */
static const char *expand(char *to, size_t size, const char *from, int ours, int peers)
{
    size_t len = 0;

    while (*from && len < size - 16) {
        if (*from == '$' || *from == '#') {
            long number = *from++ == '$' ? peers : ours;
            char *end = (char *)(uintptr_t)from;

            if (*from == '+' || *from == '-')
                number += strtol(from, &end, 10);
            from = end;
            len += (size_t)snprintf(to + len, size - len, "%ld", number);
        } else {
            to[len++] = *from++;
        }
    }
    to[len] = '\0';
    return to;
}

static void row_run(void **state)
{
    const struct row *row = *state;
    char text[256];
    size_t at = 0;

    script_setup(NULL);
    while (places[at].state != row->state)
        at++;
    places[at].reach();
    nothing();
    script_in(__LINE__, "%s",
              expand(text, sizeof text, row->in, places[at].ours, places[at].peers));
    if (row->out)
        script_out(__LINE__, "%s",
                   expand(text, sizeof text, row->out, places[at].ours, places[at].peers));
    nothing();
    state_is(row->after == LISTEN ? WEIR_TCP_CLOSED : row->after);
    if (row->state == LISTEN && row->after == LISTEN) { /* and it still listens */
        script.iss_known = false;
        script.irs += 5000;
        in("S 0:0(0)");
        out("S. 0:0(0) ack 1 ...");
    }
    script_teardown(NULL);
}

/* --- what all synchronized states but TIME-WAIT have in common --- */

#define SYNCHRONIZED(s, S)                                                                         \
    { "rfc5961_4_2_" s "_syn_in_window_is_challenged", S, "S $:$(0)", ". #:#(0) ack $", S },       \
        { "rfc5961_4_2_" s "_syn_outside_window_is_challenged", S, "S $+900000", ". # ack $", S }, \
        { "rfc5961_4_2_" s "_old_syn_is_challenged", S, "S $-5", ". # ack $", S },                 \
        { "rfc5961_4_2_" s "_syn_ack_is_challenged", S, "S. $ ack #", ". # ack $", S },            \
        { "rfc5961_3_2_" s "_rst_at_rcv_nxt_ends_it", S, "R $", NULL, RESET },                     \
        { "rfc5961_3_2_" s "_rst_ack_at_rcv_nxt_ends_it", S, "R. $ ack #", NULL, RESET },          \
        { "rfc5961_3_2_" s "_rst_in_window_is_challenged", S, "R $+100", ". # ack $", S },         \
        { "rfc5961_3_2_" s "_rst_outside_window_is_dropped", S, "R $+900000", NULL, S },           \
        { "rfc5961_3_2_" s "_old_rst_is_dropped", S, "R $-1", NULL, S },                           \
        { "rfc9293_3_10_7_4_" s "_first_outside_window_is_acked", S,                               \
          ". $+900000:$+900010(10) ack #", ". # ack $", S },                                       \
        { "rfc9293_3_10_7_4_" s "_first_old_data_is_acked", S, "P. $-10:$(10) ack #", ". # ack $", \
          S },                                                                                     \
        { "rfc9293_3_10_7_4_" s "_first_keep_alive_is_answered", S, ". $-1 ack #", ". # ack $",    \
          S },                                                                                     \
        { "rfc9293_3_10_7_4_" s "_fifth_without_ack_is_dropped", S, "P $:$+10(10)", NULL, S },     \
        { "rfc9293_3_10_7_4_" s "_fifth_without_flags_is_dropped", S, "- $", NULL, S },            \
        { "rfc9293_3_10_7_4_" s "_fifth_ack_of_what_was_not_sent_is_answered", S,                  \
          ". $ ack #+1000", ". # ack $", S },                                                      \
        { "rfc9293_3_10_7_4_" s "_fifth_data_with_ack_of_what_was_not_sent_is_dropped", S,         \
          "P. $:$+10(10) ack #+1000", ". # ack $", S },                                            \
        { "rfc5961_5_2_" s "_ack_that_is_too_old_is_challenged", S, ". $ ack #-900000",            \
          ". # ack $", S },                                                                        \
        { "rfc9293_3_1_" s "_bad_option_length_is_dropped", S, "P. $:$+10(10) ack # opt 02000000", \
          NULL, S },                                                                               \
        { "rfc9293_3_1_" s "_bad_checksum_is_dropped", S, "R $ badsum", NULL, S },                 \
        { "rfc9293_3_1_" s "_data_offset_below_5_is_dropped", S, "R $ doff 4", NULL, S },          \
    {                                                                                              \
        "rfc9293_3_1_" s "_data_offset_beyond_the_segment_is_dropped", S, "R $ doff 15", NULL, S   \
    }

/* What the states after the peer's FIN say to more of it: 3.10.7.4, sixth, seventh. */
#define AFTER_FIN(s, S)                                                                        \
    { "rfc9293_3_10_7_4_" s "_seventh_text_is_ignored", S, "P. $:$+10(10) ack #-1", NULL, S }, \
        { "rfc9293_3_10_7_4_" s "_sixth_urgent_is_ignored", S, "PU. $:$+10(10) ack #-1 urg 5", \
          NULL, S },                                                                           \
    {                                                                                          \
        "rfc9293_3_10_7_4_" s "_eighth_fin_again_is_acked", S, "F. $-1:$-1(0) ack #-1",        \
            ". # ack $", S                                                                     \
    }

static struct row rows[] = {
    /* --- CLOSED: 3.10.7.1 --- */
    { "rfc9293_3_10_7_1_closed_syn_is_reset", RESET, "S 7", "R. 0 ack 8", RESET },
    { "rfc9293_3_10_7_1_closed_ack_is_reset_at_its_ack", RESET, ". 7 ack 77", "R 77", RESET },
    { "rfc9293_3_10_7_1_closed_syn_ack_is_reset_at_its_ack", RESET, "S. 7 ack 9", "R 9", RESET },
    { "rfc9293_3_10_7_1_closed_data_without_ack_is_reset_behind_it", RESET, "P 7:17(10)",
      "R. 0 ack 17", RESET },
    { "rfc9293_3_10_7_1_closed_fin_is_reset_behind_it", RESET, "F 7", "R. 0 ack 8", RESET },
    { "rfc9293_3_10_7_1_closed_fin_ack_is_reset_at_its_ack", RESET, "F. 7 ack 5", "R 5", RESET },
    { "rfc9293_3_10_7_1_closed_data_is_reset_at_its_ack", RESET, "P. 7:17(10) ack 5", "R 5",
      RESET },
    { "rfc9293_3_10_7_1_closed_urgent_is_reset", RESET, "PU. 7:17(10) ack 5 urg 3", "R 5", RESET },
    { "rfc9293_3_10_7_1_closed_rst_is_dropped", RESET, "R 7", NULL, RESET },
    { "rfc9293_3_10_7_1_closed_rst_ack_is_dropped", RESET, "R. 7 ack 3", NULL, RESET },
    { "rfc9293_3_1_closed_bad_checksum_is_dropped", RESET, "S 7 badsum", NULL, RESET },
    { "rfc9293_3_1_closed_bad_option_length_is_dropped", RESET, "S 7 opt 02010000", NULL, RESET },

    /* --- LISTEN: 3.10.7.2 --- */
    { "rfc9293_3_10_7_2_listen_first_rst_is_dropped", LISTEN, "R 0", NULL, LISTEN },
    { "rfc9293_3_10_7_2_listen_first_rst_ack_is_dropped", LISTEN, "R. 0 ack 5", NULL, LISTEN },
    { "rfc9293_3_10_7_2_listen_first_rst_syn_is_dropped", LISTEN, "SR 0", NULL, LISTEN },
    { "rfc9293_3_10_7_2_listen_second_ack_is_reset", LISTEN, ". 0 ack 5", "R 5", LISTEN },
    { "rfc9293_3_10_7_2_listen_second_syn_ack_is_reset", LISTEN, "S. 0 ack 5", "R 5", LISTEN },
    { "rfc9293_3_10_7_2_listen_second_fin_ack_is_reset", LISTEN, "F. 0 ack 5", "R 5", LISTEN },
    { "rfc9293_3_10_7_2_listen_second_data_is_reset", LISTEN, "P. 0:9(9) ack 5", "R 5", LISTEN },
    { "rfc9293_3_10_7_2_listen_third_syn_opens", LISTEN, "S 0", "S. 0 ack 1 mss 1460",
      WEIR_TCP_SYN_RECEIVED },
    { "rfc9293_3_10_7_2_listen_third_syn_with_data_opens", LISTEN, "S 0:9(9)",
      "S. 0 ack 1 mss 1460", WEIR_TCP_SYN_RECEIVED },
    { "rfc9293_3_10_7_2_listen_third_syn_urgent_opens", LISTEN, "SU 0 urg 1", "S. 0 ack 1 mss 1460",
      WEIR_TCP_SYN_RECEIVED },
    { "rfc9293_3_10_7_2_listen_fourth_fin_is_dropped", LISTEN, "F 0", NULL, LISTEN },
    { "rfc9293_3_10_7_2_listen_fourth_data_without_ack_is_dropped", LISTEN, "P 0:9(9)", NULL,
      LISTEN },
    { "rfc9293_3_10_7_2_listen_fourth_urgent_is_dropped", LISTEN, "U 0 urg 1", NULL, LISTEN },
    { "rfc9293_3_10_7_2_listen_fourth_no_flags_is_dropped", LISTEN, "- 0", NULL, LISTEN },
    { "rfc9293_3_10_7_2_listen_syn_fin_is_dropped", LISTEN, "SF 0", NULL, LISTEN },
    { "rfc9293_3_1_listen_bad_option_length_is_dropped", LISTEN, "S 0 opt 02010000", NULL, LISTEN },
    { "rfc9293_3_1_listen_option_beyond_the_header_is_dropped", LISTEN, "S 0 opt 02080000", NULL,
      LISTEN },
    { "rfc9293_3_1_listen_unknown_option_is_skipped", LISTEN, "S 0 opt fd0400000204012c",
      "S. 0 ack 1 mss 1460", WEIR_TCP_SYN_RECEIVED },
    { "rfc9293_3_1_listen_bad_checksum_is_dropped", LISTEN, "S 0 badsum", NULL, LISTEN },

    /* --- SYN-SENT: 3.10.7.3 --- */
    { "rfc9293_3_10_7_3_syn_sent_first_ack_too_low_is_reset", WEIR_TCP_SYN_SENT, ". 0 ack 0", "R 0",
      WEIR_TCP_SYN_SENT },
    { "rfc9293_3_10_7_3_syn_sent_first_ack_too_high_is_reset", WEIR_TCP_SYN_SENT, ". 0 ack 2",
      "R 2", WEIR_TCP_SYN_SENT },
    { "rfc9293_3_10_7_3_syn_sent_first_syn_ack_too_high_is_reset", WEIR_TCP_SYN_SENT, "S. 0 ack 2",
      "R 2", WEIR_TCP_SYN_SENT },
    { "rfc9293_3_10_7_3_syn_sent_first_rst_with_bad_ack_is_dropped", WEIR_TCP_SYN_SENT,
      "R. 0 ack 2", NULL, WEIR_TCP_SYN_SENT },
    { "rfc9293_3_10_7_3_syn_sent_second_rst_ack_refuses", WEIR_TCP_SYN_SENT, "R. 0 ack 1", NULL,
      RESET },
    { "rfc9293_3_10_7_3_syn_sent_second_rst_without_ack_is_dropped", WEIR_TCP_SYN_SENT, "R 0", NULL,
      WEIR_TCP_SYN_SENT },
    { "rfc9293_3_10_7_3_syn_sent_fourth_syn_ack_establishes", WEIR_TCP_SYN_SENT,
      "S. 0 ack 1 mss 1460", ". 1 ack 1", WEIR_TCP_ESTABLISHED },
    { "rfc9293_3_10_7_3_syn_sent_fourth_syn_alone_is_simultaneous", WEIR_TCP_SYN_SENT,
      "S 0 mss 1460", "S. 0 ack 1 mss 1460", WEIR_TCP_SYN_RECEIVED },
    { "rfc9293_3_10_7_3_syn_sent_fifth_ack_alone_is_dropped", WEIR_TCP_SYN_SENT, ". 0 ack 1", NULL,
      WEIR_TCP_SYN_SENT },
    { "rfc9293_3_10_7_3_syn_sent_fifth_data_is_dropped", WEIR_TCP_SYN_SENT, "P. 0:9(9) ack 1", NULL,
      WEIR_TCP_SYN_SENT },
    { "rfc9293_3_10_7_3_syn_sent_fifth_fin_is_dropped", WEIR_TCP_SYN_SENT, "F 0", NULL,
      WEIR_TCP_SYN_SENT },
    { "rfc9293_3_10_7_3_syn_sent_fifth_urgent_is_dropped", WEIR_TCP_SYN_SENT, "U 0 urg 3", NULL,
      WEIR_TCP_SYN_SENT },
    { "rfc9293_3_10_7_3_syn_sent_fifth_no_flags_is_dropped", WEIR_TCP_SYN_SENT, "- 0", NULL,
      WEIR_TCP_SYN_SENT },
    { "rfc9293_3_1_syn_sent_bad_option_length_is_dropped", WEIR_TCP_SYN_SENT,
      "S. 0 ack 1 opt 02010000", NULL, WEIR_TCP_SYN_SENT },
    { "rfc9293_3_1_syn_sent_bad_checksum_is_dropped", WEIR_TCP_SYN_SENT, "S. 0 ack 1 badsum", NULL,
      WEIR_TCP_SYN_SENT },

    /* --- SYN-RECEIVED: 3.10.7.4 --- */
    { "rfc9293_3_10_7_4_syn_received_first_outside_window_is_acked", WEIR_TCP_SYN_RECEIVED,
      ". $+900000:$+900010(10) ack #", ". # ack $", WEIR_TCP_SYN_RECEIVED },
    { "rfc9293_3_10_7_4_syn_received_first_old_data_is_acked", WEIR_TCP_SYN_RECEIVED,
      "P. $-10:$(10) ack #", ". # ack $", WEIR_TCP_SYN_RECEIVED },
    { "rfc9293_3_10_7_4_syn_received_syn_again_is_answered", WEIR_TCP_SYN_RECEIVED, "S 0",
      "S. 0 ack 1 ...", WEIR_TCP_SYN_RECEIVED },
    { "rfc5961_3_2_syn_received_rst_at_rcv_nxt_goes_back_to_listen", WEIR_TCP_SYN_RECEIVED, "R $",
      NULL, RESET },
    { "rfc5961_3_2_syn_received_rst_in_window_is_challenged", WEIR_TCP_SYN_RECEIVED, "R $+100",
      ". # ack $", WEIR_TCP_SYN_RECEIVED },
    { "rfc5961_3_2_syn_received_rst_outside_window_is_dropped", WEIR_TCP_SYN_RECEIVED, "R $+900000",
      NULL, WEIR_TCP_SYN_RECEIVED },
    { "rfc9293_3_10_7_4_syn_received_fourth_syn_in_window_goes_back_to_listen",
      WEIR_TCP_SYN_RECEIVED, "S $+5", NULL, RESET },
    { "rfc9293_3_10_7_4_syn_received_fifth_ack_establishes", WEIR_TCP_SYN_RECEIVED, ". $ ack #",
      NULL, WEIR_TCP_ESTABLISHED },
    { "rfc9293_3_10_7_4_syn_received_fifth_ack_too_high_is_reset", WEIR_TCP_SYN_RECEIVED,
      ". $ ack #+1", "R 2", WEIR_TCP_SYN_RECEIVED },
    { "rfc9293_3_10_7_4_syn_received_fifth_ack_too_low_is_reset", WEIR_TCP_SYN_RECEIVED,
      ". $ ack 0", "R 0", WEIR_TCP_SYN_RECEIVED },
    { "rfc9293_3_10_7_4_syn_received_fifth_without_ack_is_dropped", WEIR_TCP_SYN_RECEIVED,
      "P $:$+10(10)", NULL, WEIR_TCP_SYN_RECEIVED },
    { "rfc9293_3_10_7_4_syn_received_fifth_no_flags_is_dropped", WEIR_TCP_SYN_RECEIVED, "- $", NULL,
      WEIR_TCP_SYN_RECEIVED },
    { "rfc9293_3_10_7_4_syn_received_seventh_data_with_the_ack_is_kept", WEIR_TCP_SYN_RECEIVED,
      "P. $:$+10(10) ack #", NULL, WEIR_TCP_ESTABLISHED },
    { "rfc9293_3_10_7_4_syn_received_sixth_urgent_data_is_kept", WEIR_TCP_SYN_RECEIVED,
      "PU. $:$+10(10) ack # urg 4", NULL, WEIR_TCP_ESTABLISHED },
    { "rfc9293_3_10_7_4_syn_received_eighth_fin_goes_to_close_wait", WEIR_TCP_SYN_RECEIVED,
      "F. $ ack #", ". # ack $+1", WEIR_TCP_CLOSE_WAIT },
    { "rfc9293_3_1_syn_received_bad_option_length_is_dropped", WEIR_TCP_SYN_RECEIVED,
      ". $ ack # opt 02010000", NULL, WEIR_TCP_SYN_RECEIVED },
    { "rfc9293_3_1_syn_received_bad_checksum_is_dropped", WEIR_TCP_SYN_RECEIVED, ". $ ack # badsum",
      NULL, WEIR_TCP_SYN_RECEIVED },

    /* --- ESTABLISHED --- */
    SYNCHRONIZED("established", WEIR_TCP_ESTABLISHED),
    { "rfc9293_3_10_7_4_established_fifth_duplicate_ack_is_ignored", WEIR_TCP_ESTABLISHED,
      ". $ ack #", NULL, WEIR_TCP_ESTABLISHED },
    { "rfc9293_3_8_6_3_established_data_is_acked_later", WEIR_TCP_ESTABLISHED,
      "P. $:$+10(10) ack #", NULL, WEIR_TCP_ESTABLISHED },
    { "rfc5681_4_2_established_future_data_is_acked_at_once", WEIR_TCP_ESTABLISHED,
      "P. $+10:$+20(10) ack #", ". # ack $", WEIR_TCP_ESTABLISHED },
    { "rfc9293_3_10_7_4_established_sixth_urgent_data_is_in_band", WEIR_TCP_ESTABLISHED,
      "PU. $:$+10(10) ack # urg 5", NULL, WEIR_TCP_ESTABLISHED },
    { "rfc9293_3_10_7_4_established_eighth_fin_goes_to_close_wait", WEIR_TCP_ESTABLISHED,
      "F. $ ack #", ". # ack $+1", WEIR_TCP_CLOSE_WAIT },
    { "rfc9293_3_10_7_4_established_eighth_fin_behind_data", WEIR_TCP_ESTABLISHED,
      "FP. $:$+10(10) ack #", ". # ack $+11", WEIR_TCP_CLOSE_WAIT },
    { "rfc9293_3_10_7_4_established_fin_behind_a_hole_waits", WEIR_TCP_ESTABLISHED, "F. $+10 ack #",
      ". # ack $", WEIR_TCP_ESTABLISHED },
    { "rfc9293_3_4_established_segment_that_overlaps_the_left_edge", WEIR_TCP_ESTABLISHED,
      "FP. $-5:$+5(10) ack #", ". # ack $+6", WEIR_TCP_CLOSE_WAIT },

    /* --- FIN-WAIT-1 --- */
    SYNCHRONIZED("fin_wait_1", WEIR_TCP_FIN_WAIT_1),
    { "rfc9293_3_10_7_4_fin_wait_1_fifth_ack_of_fin_goes_to_fin_wait_2", WEIR_TCP_FIN_WAIT_1,
      ". $ ack #", NULL, WEIR_TCP_FIN_WAIT_2 },
    { "rfc9293_3_10_7_4_fin_wait_1_fifth_other_ack_stays", WEIR_TCP_FIN_WAIT_1, ". $ ack #-1", NULL,
      WEIR_TCP_FIN_WAIT_1 },
    { "rfc9293_3_10_7_4_fin_wait_1_seventh_data_is_taken", WEIR_TCP_FIN_WAIT_1,
      "P. $:$+10(10) ack #-1", NULL, WEIR_TCP_FIN_WAIT_1 },
    { "rfc9293_3_10_7_4_fin_wait_1_seventh_future_data_is_acked", WEIR_TCP_FIN_WAIT_1,
      "P. $+10:$+20(10) ack #-1", ". # ack $", WEIR_TCP_FIN_WAIT_1 },
    { "rfc9293_3_10_7_4_fin_wait_1_sixth_urgent_data_is_taken", WEIR_TCP_FIN_WAIT_1,
      "PU. $:$+10(10) ack #-1 urg 5", NULL, WEIR_TCP_FIN_WAIT_1 },
    { "rfc9293_3_10_7_4_fin_wait_1_eighth_fin_goes_to_closing", WEIR_TCP_FIN_WAIT_1, "F. $ ack #-1",
      ". # ack $+1", WEIR_TCP_CLOSING },
    { "rfc9293_3_10_7_4_fin_wait_1_eighth_fin_with_ack_of_ours_goes_to_time_wait",
      WEIR_TCP_FIN_WAIT_1, "F. $ ack #", ". # ack $+1", WEIR_TCP_TIME_WAIT },

    /* --- FIN-WAIT-2 --- */
    SYNCHRONIZED("fin_wait_2", WEIR_TCP_FIN_WAIT_2),
    { "rfc9293_3_10_7_4_fin_wait_2_fifth_ack_stays", WEIR_TCP_FIN_WAIT_2, ". $ ack #", NULL,
      WEIR_TCP_FIN_WAIT_2 },
    { "rfc9293_3_10_7_4_fin_wait_2_seventh_data_is_taken", WEIR_TCP_FIN_WAIT_2,
      "P. $:$+10(10) ack #", NULL, WEIR_TCP_FIN_WAIT_2 },
    { "rfc9293_3_10_7_4_fin_wait_2_seventh_future_data_is_acked", WEIR_TCP_FIN_WAIT_2,
      "P. $+10:$+20(10) ack #", ". # ack $", WEIR_TCP_FIN_WAIT_2 },
    { "rfc9293_3_10_7_4_fin_wait_2_sixth_urgent_data_is_taken", WEIR_TCP_FIN_WAIT_2,
      "PU. $:$+10(10) ack # urg 5", NULL, WEIR_TCP_FIN_WAIT_2 },
    { "rfc9293_3_10_7_4_fin_wait_2_eighth_fin_goes_to_time_wait", WEIR_TCP_FIN_WAIT_2, "F. $ ack #",
      ". # ack $+1", WEIR_TCP_TIME_WAIT },
    { "rfc9293_3_10_7_4_fin_wait_2_eighth_fin_behind_data_goes_to_time_wait", WEIR_TCP_FIN_WAIT_2,
      "FP. $:$+10(10) ack #", ". # ack $+11", WEIR_TCP_TIME_WAIT },

    /* --- CLOSE-WAIT, CLOSING, LAST-ACK --- */
    SYNCHRONIZED("close_wait", WEIR_TCP_CLOSE_WAIT),
    AFTER_FIN("close_wait", WEIR_TCP_CLOSE_WAIT),
    { "rfc9293_3_10_7_4_close_wait_fifth_ack_stays", WEIR_TCP_CLOSE_WAIT, ". $ ack #", NULL,
      WEIR_TCP_CLOSE_WAIT },
    SYNCHRONIZED("closing", WEIR_TCP_CLOSING),
    AFTER_FIN("closing", WEIR_TCP_CLOSING),
    { "rfc9293_3_10_7_4_closing_fifth_ack_of_fin_goes_to_time_wait", WEIR_TCP_CLOSING, ". $ ack #",
      NULL, WEIR_TCP_TIME_WAIT },
    { "rfc9293_3_10_7_4_closing_fifth_other_ack_stays", WEIR_TCP_CLOSING, ". $ ack #-1", NULL,
      WEIR_TCP_CLOSING },
    SYNCHRONIZED("last_ack", WEIR_TCP_LAST_ACK),
    AFTER_FIN("last_ack", WEIR_TCP_LAST_ACK),
    { "rfc9293_3_10_7_4_last_ack_fifth_ack_of_fin_ends_it", WEIR_TCP_LAST_ACK, ". $ ack #", NULL,
      RESET },
    { "rfc9293_3_10_7_4_last_ack_fifth_other_ack_stays", WEIR_TCP_LAST_ACK, ". $ ack #-1", NULL,
      WEIR_TCP_LAST_ACK },

    /* --- TIME-WAIT --- */
    { "rfc9293_3_10_7_4_time_wait_eighth_fin_again_is_acked", WEIR_TCP_TIME_WAIT, "F. $-1 ack #",
      ". # ack $", WEIR_TCP_TIME_WAIT },
    { "rfc1337_time_wait_rst_at_rcv_nxt_is_ignored", WEIR_TCP_TIME_WAIT, "R $", NULL,
      WEIR_TCP_TIME_WAIT },
    { "rfc1337_time_wait_rst_in_window_is_ignored", WEIR_TCP_TIME_WAIT, "R $+10", NULL,
      WEIR_TCP_TIME_WAIT },
    { "rfc1337_time_wait_rst_with_fin_is_ignored", WEIR_TCP_TIME_WAIT, "FR. $-1 ack #", NULL,
      WEIR_TCP_TIME_WAIT },
    { "rfc1337_time_wait_old_rst_is_ignored", WEIR_TCP_TIME_WAIT, "R. $-1 ack #", NULL,
      WEIR_TCP_TIME_WAIT },
    { "rfc1337_time_wait_old_data_is_acked", WEIR_TCP_TIME_WAIT, "P. $-10:$(10) ack #", ". # ack $",
      WEIR_TCP_TIME_WAIT },
    { "rfc9293_3_10_7_4_time_wait_future_data_is_acked", WEIR_TCP_TIME_WAIT,
      "P. $+10:$+20(10) ack #", ". # ack $", WEIR_TCP_TIME_WAIT },
    { "rfc9293_3_10_7_4_time_wait_urgent_data_is_acked", WEIR_TCP_TIME_WAIT,
      "PU. $+10:$+20(10) ack # urg 3", ". # ack $", WEIR_TCP_TIME_WAIT },
    { "rfc9293_3_10_7_4_time_wait_ack_is_ignored", WEIR_TCP_TIME_WAIT, ". $ ack #", NULL,
      WEIR_TCP_TIME_WAIT },
    { "rfc9293_3_10_7_4_time_wait_no_flags_is_ignored", WEIR_TCP_TIME_WAIT, "- $", NULL,
      WEIR_TCP_TIME_WAIT },
    { "rfc5961_4_2_time_wait_syn_ack_is_challenged", WEIR_TCP_TIME_WAIT, "S. $ ack #", ". # ack $",
      WEIR_TCP_TIME_WAIT },
    { "rfc9293_3_1_time_wait_bad_option_length_is_dropped", WEIR_TCP_TIME_WAIT,
      "P. $:$+10(10) ack # opt 02010000", NULL, WEIR_TCP_TIME_WAIT },
    { "rfc9293_3_1_time_wait_bad_checksum_is_dropped", WEIR_TCP_TIME_WAIT, "F. $-1 ack # badsum",
      NULL, WEIR_TCP_TIME_WAIT },
};

int main(void)
{
    static struct CMUnitTest tests[WEIR_COUNT(rows)];

    for (size_t i = 0; i < WEIR_COUNT(rows); i++)
        tests[i] = (struct CMUnitTest){ .name = rows[i].name,
                                        .test_func = row_run,
                                        .initial_state = &rows[i] };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
