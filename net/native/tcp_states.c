/* tcp_states.c - one segment to one connection: RFC 9293 3.10.7.3 (SYN-SENT) and 3.10.7.4.
 *
 * One function per step, in the order of the RFC; each returns whether to go on with the next.
 * Before them, in ESTABLISHED, stands a prediction: a segment that is in order, acknowledges
 * something acceptable and has nothing special about it takes the short way, with the same result.
 *
 * Events may close, abort or end the connection in the middle of this.  WEIR_TCP_IN_EVENTS keeps
 * the struct until the segment is done; after an event the state tells whether to go on. */
#include <errno.h>
#include "net/native/tcp_in.h"

#define REFUSE_EVERY WEIR_MS(500)

static struct weir_native *native_of(const struct weir_tcp *tcp)
{
    return weir_native_of(tcp->conn.stack);
}

static uint32_t now_ms(const struct weir_tcp *tcp)
{
    return (uint32_t)(weir_native_now(native_of(tcp)) / WEIR_MS(1));
}

/* SEG.LEN: with SYN and FIN. */
static uint32_t segment_len(const struct weir_pkt *pkt)
{
    return pkt->rx.len + !!(pkt->rx.tcp_flags & WEIR_SYN) + !!(pkt->rx.tcp_flags & WEIR_FIN);
}

/* --- first: the sequence number, and PAWS --- */

/* RFC 9293 3.4, table 6.  Beyond it: a segment without length may stand at the right edge, where
 * the peer's ACKs are while it has filled the window; and while that is shut, the next one counts
 * for its ACK, RST and FIN ("special allowance should be made"): its text is cut off later. */
static bool sequence_in_window(const struct weir_tcp *tcp, const struct weir_pkt *pkt)
{
    uint32_t wnd = weir_tcp_rcv_wnd(tcp), len = segment_len(pkt);
    uint32_t begin = pkt->rx.seq - tcp->rcv_nxt, last = begin + len - 1;

    if (len == 0)
        return begin <= wnd;
    if (wnd == 0 && begin == 0)
        return true;
    return begin < wnd || last < wnd;
}

/* RFC 7323 5.3 R1, with 5.5: what we remember is void after 24 days of silence. */
static bool paws_is_old(const struct weir_tcp *tcp, const struct weir_pkt *pkt)
{
    if (!(tcp->flags & WEIR_TCP_TS) || !pkt->rx.has_ts)
        return false;
    if ((int32_t)(pkt->rx.ts_val - tcp->ts_recent) >= 0)
        return false;
    return now_ms(tcp) - tcp->ts_recent_at < 24U * 86400 * 1000;
}

/* RFC 7323 4.3: the time of the segment that the last ACK we sent asked for.  Only once its ACK was
 * found acceptable, too: else one forged segment would make PAWS refuse all that follow. */
static void ts_remember(struct weir_tcp *tcp, const struct weir_pkt *pkt)
{
    if (!pkt->rx.has_ts || weir_seq_lt(tcp->last_ack_sent, pkt->rx.seq) || paws_is_old(tcp, pkt))
        return;
    tcp->ts_recent = pkt->rx.ts_val;
    tcp->ts_recent_at = now_ms(tcp);
}

/* In SYN-RECEIVED the peer's SYN comes again while our SYN|ACK is lost, or as SYN|ACK when both
 * have opened (3.5, figure 8): before the window, but not to be refused. */
static bool sequence_is_syn(const struct weir_tcp *tcp, const struct weir_pkt *pkt)
{
    return tcp->state == WEIR_TCP_SYN_RECEIVED && pkt->rx.seq == tcp->irs &&
           (pkt->rx.tcp_flags & (WEIR_SYN | WEIR_RST)) == WEIR_SYN;
}

/* Whether to go on, with what is left without the SYN. */
static bool sequence_of_syn(struct weir_tcp *tcp, struct weir_pkt *pkt)
{
    struct weir_pkt_rx *rx = &pkt->rx;

    if (!(rx->tcp_flags & WEIR_ACK)) {
        weir_tcp_send_control(tcp, tcp->iss, WEIR_SYN | WEIR_ACK);
        return false;
    }
    rx->tcp_flags &= (uint8_t)~WEIR_SYN;
    rx->window = (uint16_t)(rx->window >> tcp->snd_wscale); /* a SYN's is not scaled */
    rx->seq++;
    return true;
}

/* Bytes that we have had and that the peer may well send again, for it knows of no ACK. */
static bool sequence_is_again(const struct weir_tcp *tcp, const struct weir_pkt *pkt)
{
    return pkt->rx.len > 0 && weir_seq_le(pkt->rx.seq + pkt->rx.len, tcp->rcv_nxt) &&
           tcp->rcv_nxt - pkt->rx.seq <= tcp->rcv_buf;
}

/* Whether this connection has answered none of those for so long. */
static bool sequence_may_answer(struct weir_tcp *tcp)
{
    weir_time now = weir_native_now(native_of(tcp));

    if (tcp->refuse_at && !weir_tick_due(tcp->refuse_at, now))
        return false;
    tcp->refuse_at = weir_tick_at(now + REFUSE_EVERY);
    return true;
}

/* "If an incoming segment is not acceptable, an acknowledgment should be sent in reply (unless the
 * RST bit is set)."  But for bytes sent again that is done once in a while only: two ends that
 * disagree about their numbers would answer each other for ever, and an outsider's flood would come
 * back as ours.  Those without length, which may be answers to ours, go by the budget of challenges
 * besides; a keep-alive probe is not one of them. */
static void sequence_refuse(struct weir_tcp *tcp, const struct weir_pkt *pkt)
{
    uint32_t len = segment_len(pkt);
    weir_seq seq = pkt->rx.seq;

    if (pkt->rx.tcp_flags & WEIR_RST)
        return;
    if (pkt->rx.len && weir_seq_le(seq + pkt->rx.len, tcp->rcv_nxt))
        weir_tcp_duplicate(tcp, seq, seq + pkt->rx.len);
    if (!sequence_is_again(tcp, pkt) && !sequence_may_answer(tcp))
        native_of(tcp)->stats.tcp_challenge_limited++;
    else if (len == 0 && seq != tcp->rcv_nxt - 1)
        weir_tcp_challenge(tcp);
    else
        weir_tcp_ack_now(tcp);
}

static bool step_sequence(struct weir_tcp *tcp, struct weir_pkt *pkt)
{
    if (weir_unlikely(sequence_is_syn(tcp, pkt)))
        return sequence_of_syn(tcp, pkt);
    if (!(pkt->rx.tcp_flags & WEIR_RST)) {
        /* RFC 7323 3.2: silently.  Not a SYN: a peer that has started anew may do without, and RFC
         * 5961 4.2 has all of them challenged, or his connection could never be opened. */
        if ((tcp->flags & WEIR_TCP_TS) && !pkt->rx.has_ts && !(pkt->rx.tcp_flags & WEIR_SYN))
            return false;
        if (paws_is_old(tcp, pkt)) {
            native_of(tcp)->stats.tcp_paws++;
            sequence_refuse(tcp, pkt);
            return false;
        }
    }
    if (!sequence_in_window(tcp, pkt)) {
        sequence_refuse(tcp, pkt);
        return false;
    }
    return true;
}

/* --- second: RST, as RFC 5961 3.2 narrows it --- */

static int reset_error(const struct weir_tcp *tcp)
{
    switch (tcp->state) {
    case WEIR_TCP_SYN_RECEIVED:
        return -ECONNREFUSED;
    case WEIR_TCP_CLOSING:
    case WEIR_TCP_LAST_ACK:
        return 0;
    default:
        return -ECONNRESET;
    }
}

static bool step_rst(struct weir_tcp *tcp, struct weir_pkt *pkt)
{
    if (weir_likely(!(pkt->rx.tcp_flags & WEIR_RST)))
        return true;
    native_of(tcp)->stats.tcp_rst_in++;
    if (pkt->rx.seq == tcp->rcv_nxt)
        weir_tcp_end(tcp, reset_error(tcp));
    else
        weir_tcp_challenge(tcp);
    return false;
}

/* --- third, security: there is none.  Fourth: SYN, as RFC 5961 4.2 narrows it --- */

static bool step_syn(struct weir_tcp *tcp, struct weir_pkt *pkt)
{
    if (weir_likely(!(pkt->rx.tcp_flags & WEIR_SYN)))
        return true;
    if (tcp->state == WEIR_TCP_SYN_RECEIVED && (tcp->flags & WEIR_TCP_PASSIVE))
        weir_tcp_end(tcp, 0); /* back to LISTEN */
    else
        weir_tcp_challenge(tcp);
    return false;
}

/* --- fifth: the ACK field --- */

/* RFC 4861 7.3.1: what is new in an ACK shows that our packets arrive. */
static bool ack_take(struct weir_tcp *tcp, const struct weir_pkt *pkt)
{
    weir_seq before = tcp->snd_una;
    bool good = weir_tcp_acked(tcp, pkt);

    if (tcp->snd_una != before && tcp->state != WEIR_TCP_CLOSED)
        weir_path_confirm(native_of(tcp), &tcp->path);
    return good;
}

/* The handshake is complete. */
static bool ack_establish(struct weir_tcp *tcp, struct weir_pkt *pkt)
{
    struct weir_native *native = native_of(tcp);

    if (!weir_seq_lt(tcp->snd_una, pkt->rx.ack) || !weir_seq_le(pkt->rx.ack, tcp->snd_nxt)) {
        weir_tcp_reply_rst(native, &tcp->flow.key, pkt);
        return false;
    }
    if (!weir_tcp_accept_room(tcp)) {
        native->stats.tcp_accept_overflow++;
        return false;
    }
    if (tcp->flags & WEIR_TCP_PASSIVE) {
        weir_tcp_accept_push(tcp);
        native->stats.tcp_passive++;
    }
    tcp->state = WEIR_TCP_ESTABLISHED;
    tcp->snd_wl1 = pkt->rx.seq - 1; /* older than this: the window is taken */
    tcp->rcv_tuned_at = weir_tcp_ts(tcp);
    ack_take(tcp, pkt);
    weir_tcp_event_established(tcp);
    return tcp->state != WEIR_TCP_CLOSED;
}

/* RFC 5961 5.2: of something that was sent, and not older than what the peer may ever have had in
 * its window. */
static bool ack_is_plausible(const struct weir_tcp *tcp, const struct weir_pkt *pkt)
{
    return (pkt->rx.tcp_flags & WEIR_ACK) &&
           !weir_seq_lt(pkt->rx.ack, tcp->snd_una - tcp->snd_wnd_max) &&
           weir_seq_le(pkt->rx.ack, tcp->snd_max);
}

/* What it means that our FIN is acknowledged. */
static bool ack_of_fin(struct weir_tcp *tcp)
{
    switch (tcp->state) {
    case WEIR_TCP_FIN_WAIT_1:
        tcp->state = WEIR_TCP_FIN_WAIT_2;
        weir_tcp_orphan_wait(tcp);
        return true;
    case WEIR_TCP_CLOSING:
        weir_tcp_time_wait(tcp);
        return false;
    case WEIR_TCP_LAST_ACK:
        weir_tcp_end(tcp, 0);
        return false;
    default:
        return true;
    }
}

static bool step_ack(struct weir_tcp *tcp, struct weir_pkt *pkt)
{
    if (!(pkt->rx.tcp_flags & WEIR_ACK))
        return false;
    if (tcp->state == WEIR_TCP_SYN_RECEIVED)
        return ack_establish(tcp, pkt);
    if (!ack_is_plausible(tcp, pkt) || !ack_take(tcp, pkt)) {
        weir_tcp_challenge(tcp);
        return false;
    }
    if ((tcp->flags & WEIR_TCP_FIN_SENT) && tcp->snd_una == tcp->snd_end + 1)
        return ack_of_fin(tcp);
    return tcp->state != WEIR_TCP_CLOSED;
}

/* --- sixth, URG: in band like the rest.  Seventh: the text.  Eighth: FIN --- */

/* 3.10.4, 3.6.1: nobody will ever read this. */
static bool text_is_unwanted(const struct weir_tcp *tcp, const struct weir_pkt *pkt)
{
    return pkt->rx.len > 0 && tcp->state != WEIR_TCP_ESTABLISHED && !(tcp->flags & WEIR_TCP_USER) &&
           weir_seq_lt(tcp->rcv_nxt, pkt->rx.seq + pkt->rx.len);
}

static bool text_is_state(const struct weir_tcp *tcp)
{
    return tcp->state == WEIR_TCP_ESTABLISHED || tcp->state == WEIR_TCP_FIN_WAIT_1 ||
           tcp->state == WEIR_TCP_FIN_WAIT_2;
}

/* What it means that the peer's FIN has come. */
static void fin_received(struct weir_tcp *tcp)
{
    if (tcp->state == WEIR_TCP_ESTABLISHED)
        tcp->state = WEIR_TCP_CLOSE_WAIT;
    else if (tcp->state == WEIR_TCP_FIN_WAIT_1)
        tcp->state = WEIR_TCP_CLOSING;
    else if (tcp->state == WEIR_TCP_FIN_WAIT_2)
        weir_tcp_time_wait(tcp);
}

/* Takes the packet. */
static void step_text(struct weir_tcp *tcp, struct weir_pkt *pkt)
{
    weir_seq before = tcp->rcv_nxt;
    bool fin;

    if (!text_is_state(tcp) || segment_len(pkt) == 0) {
        weir_pkt_free(pkt);
        return;
    }
    if (text_is_unwanted(tcp, pkt)) {
        weir_pkt_free(pkt);
        weir_tcp_send_control(tcp, weir_tcp_bare_seq(tcp), WEIR_RST | WEIR_ACK);
        weir_tcp_end(tcp, -ECONNRESET);
        return;
    }
    weir_tcp_tune(tcp, pkt);
    fin = weir_tcp_receive(tcp, pkt);
    if (fin)
        fin_received(tcp);
    if (tcp->rcv_nxt != before && (tcp->flags & WEIR_TCP_USER))
        weir_tcp_event_readable(tcp);
}

/* --- 3.10.7.4 --- */

/* Takes the packet. */
static void segment_synchronized(struct weir_tcp *tcp, struct weir_pkt *pkt)
{
    if (step_sequence(tcp, pkt) && step_rst(tcp, pkt) && step_syn(tcp, pkt)) {
        if (ack_is_plausible(tcp, pkt))
            ts_remember(tcp, pkt);
        if (step_ack(tcp, pkt)) {
            step_text(tcp, pkt);
            return;
        }
    }
    weir_pkt_free(pkt);
}

/* --- 3.10.7.3: SYN-SENT --- */

/* First and second: false: the segment is done with. */
static bool syn_sent_ack_rst(struct weir_tcp *tcp, const struct weir_pkt *pkt)
{
    bool ack = pkt->rx.tcp_flags & WEIR_ACK, rst = pkt->rx.tcp_flags & WEIR_RST;

    if (ack && (weir_seq_le(pkt->rx.ack, tcp->iss) || weir_seq_lt(tcp->snd_max, pkt->rx.ack))) {
        weir_tcp_reply_rst(native_of(tcp), &tcp->flow.key, pkt); /* none for an RST */
        return false;
    }
    if (!rst)
        return true;
    native_of(tcp)->stats.tcp_rst_in++;
    if (ack)
        weir_tcp_end(tcp, -ECONNREFUSED);
    return false;
}

/* Fourth, with our SYN acknowledged. */
static void syn_sent_establish(struct weir_tcp *tcp, const struct weir_pkt *pkt)
{
    tcp->snd_una = pkt->rx.ack;
    weir_tcp_send_init(tcp);
    tcp->state = WEIR_TCP_ESTABLISHED;
    tcp->rcv_tuned_at = weir_tcp_ts(tcp);
    weir_path_confirm(native_of(tcp), &tcp->path);
    weir_tcp_ack_now(tcp);
    weir_tcp_event_established(tcp);
}

/* Takes the packet. */
static void segment_syn_sent(struct weir_tcp *tcp, struct weir_pkt *pkt)
{
    uint8_t flags = pkt->rx.tcp_flags;

    if (!syn_sent_ack_rst(tcp, pkt) || !(flags & WEIR_SYN)) {
        weir_pkt_free(pkt);
        return;
    }
    weir_tcp_syn_options(tcp, pkt);
    if (!(flags & WEIR_ACK)) { /* both open at the same time */
        tcp->state = WEIR_TCP_SYN_RECEIVED;
        weir_tcp_send_init(tcp);
        weir_tcp_send_control(tcp, tcp->iss, WEIR_SYN | WEIR_ACK);
        weir_pkt_free(pkt);
        return;
    }
    syn_sent_establish(tcp, pkt);
    pkt->rx.seq++;
    pkt->rx.tcp_flags &= (uint8_t)~WEIR_SYN;
    if (tcp->state == WEIR_TCP_CLOSED)
        weir_pkt_free(pkt);
    else
        step_text(tcp, pkt); /* "continue processing at the sixth step" */
}

/* --- prediction --- */

static bool segment_is_predicted(const struct weir_tcp *tcp, const struct weir_pkt *pkt)
{
    const struct weir_pkt_rx *rx = &pkt->rx;

    return tcp->state == WEIR_TCP_ESTABLISHED && rx->seq == tcp->rcv_nxt &&
           (rx->tcp_flags & (WEIR_ACK | WEIR_SYN | WEIR_FIN | WEIR_RST)) == WEIR_ACK &&
           rx->len <= weir_tcp_rcv_wnd(tcp) && !tcp->ooo &&
           rx->has_ts == !!(tcp->flags & WEIR_TCP_TS) &&
           (!rx->has_ts || (int32_t)(rx->ts_val - tcp->ts_recent) >= 0) &&
           weir_seq_le(tcp->snd_una, rx->ack) && weir_seq_le(rx->ack, tcp->snd_max);
}

/* Takes the packet. */
static void segment_predicted(struct weir_tcp *tcp, struct weir_pkt *pkt)
{
    ts_remember(tcp, pkt);
    ack_take(tcp, pkt);
    if (pkt->rx.len == 0 || tcp->state != WEIR_TCP_ESTABLISHED) {
        step_text(tcp, pkt); /* nothing; or an event has closed it */
        return;
    }
    weir_tcp_tune(tcp, pkt);
    weir_tcp_receive_next(tcp, pkt);
    if (tcp->flags & WEIR_TCP_USER)
        weir_tcp_event_readable(tcp);
}

/* --- a segment --- */

static void segment_done(struct weir_tcp *tcp)
{
    tcp->flags &= ~(uint32_t)WEIR_TCP_IN_EVENTS;
    weir_tcp_release(tcp);
}

static void segment_begin(struct weir_tcp *tcp)
{
    tcp->flags |= WEIR_TCP_IN_EVENTS;
    tcp->heard_at = weir_tick_at(weir_native_now(native_of(tcp)));
}

void weir_tcp_segment_slow(struct weir_tcp *tcp, struct weir_pkt *pkt)
{
    segment_begin(tcp);
    if (tcp->state == WEIR_TCP_SYN_SENT)
        segment_syn_sent(tcp, pkt);
    else
        segment_synchronized(tcp, pkt);
    segment_done(tcp);
}

void weir_tcp_segment(struct weir_tcp *tcp, struct weir_pkt *pkt)
{
    if (weir_unlikely(!segment_is_predicted(tcp, pkt))) {
        weir_tcp_segment_slow(tcp, pkt);
        return;
    }
    segment_begin(tcp);
    segment_predicted(tcp, pkt);
    segment_done(tcp);
}
