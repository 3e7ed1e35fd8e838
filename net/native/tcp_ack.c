/* tcp_ack.c - what an ACK means for what we have sent: progress, losses, recovery, growth.
 *
 * With SACK losses are found by time (tcp_rack.c), without by three duplicate ACKs (RFC 5681,
 * 6582).  In recovery what is lost goes as cwnd allows against what is in flight (RFC 6675): there
 * is no other brake.  A recovery that timestamps prove needless is taken back (RFC 3522, 4015).
 *
 * Nothing is sent from here but the first retransmission: the connection is queued for output. */
#include "net/native/tcp_send.h"

enum { CWND_MAX = 1 << 30 };

void weir_tcp_syn_sent(struct weir_tcp *tcp)
{
    bool first = tcp->rto_at == 0 && tcp->retries == 0;

    if (tcp->rto_us == 0)
        weir_tcp_rto_reset(tcp);
    tcp->rack_sent_at = first ? weir_tcp_now(tcp) : 0; /* Karn: sent again, it tells nothing */
    if (tcp->rto_at == 0)
        tcp->rto_at = weir_tcp_in_us(tcp, tcp->rto_us);
    weir_tcp_arm(tcp);
}

void weir_tcp_syn_acked(struct weir_tcp *tcp)
{
    if (tcp->rack_sent_at)
        weir_tcp_rtt_sample(tcp, (uint32_t)((weir_tcp_now(tcp) - tcp->rack_sent_at) / WEIR_US(1)));
    else if (tcp->retries > 0)
        tcp->rto_us = WEIR_TCP_RTO_SYN_LOST_US;
    if (tcp->retries > 0)
        tcp->cwnd = weir_tcp_initial_window(tcp, tcp->retries);
    tcp->rack_sent_at = 0;
    tcp->retries = 0;
    tcp->rto_at = 0;
}

/* RFC 9293 3.10.7.4: from the newest segment only. */
static void ack_window(struct weir_tcp *tcp, const struct weir_pkt_rx *rx,
                       struct weir_tcp_news *news)
{
    uint32_t wnd = rx->window << tcp->snd_wscale;

    if (!weir_seq_lt(tcp->snd_wl1, rx->seq) &&
        !(tcp->snd_wl1 == rx->seq && weir_seq_le(tcp->snd_wl2, rx->ack)))
        return;
    news->window = wnd != tcp->snd_wnd;
    tcp->snd_wnd = wnd;
    if (wnd > tcp->snd_wnd_max)
        tcp->snd_wnd_max = wnd;
    tcp->snd_wl1 = rx->seq;
    tcp->snd_wl2 = rx->ack;
}

/* Timestamps are milliseconds: for samples that the time of sending cannot give (RFC 7323 4.1). */
static void ack_rtt_by_ts(struct weir_tcp *tcp, const struct weir_pkt_rx *rx)
{
    uint32_t ms = weir_tcp_ts(tcp) - rx->ts_ecr;

    if (!(tcp->flags & WEIR_TCP_TS) || !rx->has_ts || ms > WEIR_TCP_RTO_MAX_US / 1000)
        return;
    weir_tcp_rtt_sample(tcp, ms > 0 ? 1000 * ms : 1000);
}

static void ack_rtt(struct weir_tcp *tcp, const struct weir_pkt_rx *rx,
                    const struct weir_tcp_news *news)
{
    if (news->sent_at && !news->retransmitted)
        weir_tcp_rtt_sample(
            tcp, (uint32_t)weir_min_u64((uint64_t)(weir_tcp_now(tcp) - news->sent_at) / WEIR_US(1),
                                        UINT32_MAX));
    else if (news->retransmitted)
        ack_rtt_by_ts(tcp, rx);
}

/* Our SYN counts as outstanding before there is anything else. */
static bool ack_is_of_syn(const struct weir_tcp *tcp)
{
    return weir_unlikely(tcp->snd_una == tcp->iss) && !tcp->tx_head &&
           !(tcp->flags & WEIR_TCP_FIN_SENT);
}

static void ack_advance(struct weir_tcp *tcp, const struct weir_pkt_rx *rx,
                        struct weir_tcp_news *news)
{
    uint32_t before = weir_tcp_outstanding(tcp);
    bool syn = ack_is_of_syn(tcp), syn_again = syn && tcp->retries > 0;

    news->progress = true;
    weir_tcp_queue_acked(tcp, rx->ack, news);
    tcp->snd_una = rx->ack;
    tcp->snd_nxt = weir_seq_max(tcp->snd_nxt, rx->ack); /* a window probe was taken */
    news->acked = before - weir_tcp_outstanding(tcp) - syn;
    if (weir_unlikely(syn)) {
        weir_tcp_syn_acked(tcp);
        /* Of SYNs that were repeated the peer may echo the first: seconds of waiting, no round
         * trip; RFC 6298 5.7 says 3 s instead. */
        if (tcp->srtt_us == 0 && !syn_again)
            ack_rtt_by_ts(tcp, rx);
    }
    ack_rtt(tcp, rx, news);
    tcp->retries = 0;
    tcp->flags &= ~(uint32_t)WEIR_TCP_PROBING;
    tcp->rto_at = tcp->snd_nxt != tcp->snd_una ? weir_tcp_in_us(tcp, tcp->rto_us) : 0;
    if (tcp->recovery == WEIR_TCP_OPEN) {
        tcp->dup_acks = 0;
        if (!(tcp->flags & WEIR_TCP_SACK))
            tcp->sacked = 0;
        if (!tcp->tlp_out && weir_seq_lt(tcp->recover, tcp->snd_una))
            tcp->recover = tcp->snd_una - 1; /* so that it never gets half the space behind */
    }
}

void weir_tcp_enter_recovery(struct weir_tcp *tcp)
{
    struct weir_pkt *seg;

    weir_tcp_native(tcp)->stats.tcp_fast_recoveries++;
    if (tcp->flags & WEIR_TCP_CC) {
        weir_tcp_cc_of(tcp)->lost(tcp);
        tcp->cwnd = tcp->ssthresh;
    }
    tcp->recovery = WEIR_TCP_RECOVERY;
    tcp->recover = tcp->snd_nxt;
    tcp->retrans_ts = 0;
    tcp->tlp_out = 0;
    seg = weir_tcp_first_lost(tcp);
    if (seg && weir_tcp_transmit(tcp, seg)) /* whatever cwnd says: RFC 6675 5 (4.3) */
        tcp->rto_at = weir_tcp_in_us(tcp, tcp->rto_us);
    weir_tcp_output_later(tcp);
}

/* RFC 5681 3.1 (4), 6675 5.1; only the first timeout of several is about congestion. */
void weir_tcp_enter_loss(struct weir_tcp *tcp)
{
    if (tcp->recovery != WEIR_TCP_LOSS) {
        tcp->retrans_ts = 0;
        if (tcp->flags & WEIR_TCP_CC)
            weir_tcp_cc_of(tcp)->timeout(tcp);
    }
    weir_tcp_mark_all_lost(tcp);
    tcp->cwnd = tcp->mss;
    tcp->recovery = WEIR_TCP_LOSS;
    tcp->recover = tcp->snd_nxt;
    tcp->dup_acks = 0;
    tcp->tlp_out = 0;
    tcp->probe_at = 0;
}

static void ack_leave_recovery(struct weir_tcp *tcp)
{
    tcp->recovery = WEIR_TCP_OPEN;
    tcp->retrans_ts = 0;
    tcp->dup_acks = 0;
    tcp->probe_at = 0;
    if (!(tcp->flags & WEIR_TCP_SACK))
        tcp->sacked = 0;
}

/* RFC 3522: what is acknowledged is older than our first retransmission of it. */
static bool ack_is_spurious(const struct weir_tcp *tcp, const struct weir_pkt_rx *rx)
{
    return tcp->retrans_ts && (tcp->flags & WEIR_TCP_TS) && rx->has_ts &&
           (int32_t)(rx->ts_ecr - tcp->retrans_ts) < 0;
}

/* RFC 4015. */
static void ack_undo(struct weir_tcp *tcp)
{
    weir_tcp_native(tcp)->stats.tcp_spurious++;
    if (tcp->flags & WEIR_TCP_CC)
        weir_tcp_cc_of(tcp)->undo(tcp);
    weir_tcp_unmark_lost(tcp);
    ack_leave_recovery(tcp);
}

/* RFC 6582 3.2 (5): the next hole; of the duplicates that came, one was for what is acknowledged
 * now, the others are for what follows. */
static void ack_partial(struct weir_tcp *tcp, uint32_t acked)
{
    uint32_t less = acked > tcp->mss ? acked - tcp->mss : 0;

    tcp->sacked -= less < tcp->sacked ? less : tcp->sacked;
    if (!tcp->tx_head || tcp->tx_head == tcp->tx_next ||
        (tcp->tx_head->seg.flags & WEIR_SEG_RETRANS))
        return;
    weir_tcp_mark_lost(tcp, tcp->tx_head);
    weir_tcp_transmit(tcp, tcp->tx_head);
}

static void ack_in_recovery(struct weir_tcp *tcp, const struct weir_pkt_rx *rx,
                            const struct weir_tcp_news *news)
{
    if (ack_is_spurious(tcp, rx))
        ack_undo(tcp);
    else if (!weir_seq_lt(tcp->snd_una, tcp->recover))
        ack_leave_recovery(tcp);
    else if (tcp->recovery == WEIR_TCP_RECOVERY && !(tcp->flags & WEIR_TCP_SACK))
        ack_partial(tcp, news->acked);
}

/* RFC 5681 2, 3.2: the third tells of a loss; each tells that something has left the network. */
static void ack_duplicate(struct weir_tcp *tcp, const struct weir_pkt_rx *rx,
                          const struct weir_tcp_news *news)
{
    uint32_t sent = weir_tcp_outstanding(tcp);

    if (sent == 0 || rx->len > 0 || (rx->tcp_flags & (WEIR_SYN | WEIR_FIN)) || news->window)
        return;
    weir_tcp_native(tcp)->stats.tcp_dup_acks++;
    if (tcp->flags & WEIR_TCP_SACK)
        return;
    tcp->dup_acks = (uint8_t)(tcp->dup_acks + (tcp->dup_acks < UINT8_MAX));
    if (tcp->sacked + tcp->lost + tcp->mss <= sent)
        tcp->sacked += tcp->mss;
    if (tcp->recovery != WEIR_TCP_OPEN || tcp->dup_acks != WEIR_TCP_DUP_THRESH ||
        !weir_seq_lt(tcp->recover, tcp->snd_una)) /* RFC 6582 3.2 (1): of the last recovery still */
        return;
    if (tcp->tx_head != tcp->tx_next) {
        weir_tcp_mark_lost(tcp, tcp->tx_head);
        weir_tcp_enter_recovery(tcp);
    }
}

static void ack_detect(struct weir_tcp *tcp)
{
    if (!weir_tcp_rack_detect(tcp))
        return;
    if (tcp->recovery == WEIR_TCP_OPEN)
        weir_tcp_enter_recovery(tcp);
}

/* A window that was not used proves nothing (RFC 7661): then it does not grow. */
static bool ack_cwnd_limited(const struct weir_tcp *tcp, uint32_t flight)
{
    if (tcp->cwnd < tcp->ssthresh)
        return 2 * (uint64_t)flight > tcp->cwnd;
    return flight + tcp->mss > tcp->cwnd;
}

static void ack_grow(struct weir_tcp *tcp, const struct weir_tcp_news *news)
{
    uint32_t max = weir_tcp_native(tcp)->tcp->sndbuf;

    if (!(tcp->flags & WEIR_TCP_CC) || tcp->cwnd >= CWND_MAX ||
        !ack_cwnd_limited(tcp, news->flight))
        return;
    weir_tcp_cc_of(tcp)->acked(tcp, news->acked);
    if (tcp->snd_buf / 2 < tcp->cwnd && tcp->snd_buf < max)
        tcp->snd_buf =
            (uint32_t)weir_min_u64(weir_max_u64(2 * (uint64_t)tcp->cwnd, tcp->snd_buf), max);
}

/* Peers that answer probes keep the connection (RFC 9293 3.8.6.1); one without a user, not for
 * ever: whoever never opens the window would hold our memory. */
static void ack_of_probe(struct weir_tcp *tcp)
{
    if ((tcp->flags & WEIR_TCP_USER) && ((tcp->flags & WEIR_TCP_PROBING) || tcp->snd_wnd == 0))
        tcp->retries = 0;
}

/* Losses and what follows from them: for ACKs that are not plain progress. */
static void ack_recovery(struct weir_tcp *tcp, const struct weir_pkt *pkt,
                         struct weir_tcp_news *news)
{
    if (news->progress && tcp->recovery != WEIR_TCP_OPEN)
        ack_in_recovery(tcp, &pkt->rx, news);
    if ((tcp->flags & WEIR_TCP_SACK) && (tcp->sacked > 0 || tcp->recovery != WEIR_TCP_OPEN))
        ack_detect(tcp);
    weir_tcp_tlp_acked(tcp, pkt, news);
}

bool weir_tcp_acked(struct weir_tcp *tcp, const struct weir_pkt *pkt)
{
    const struct weir_pkt_rx *rx = &pkt->rx;
    struct weir_tcp_news news = { .flight = weir_tcp_in_flight(tcp), .fack = tcp->rack_fack };
    bool grows = tcp->recovery != WEIR_TCP_RECOVERY;

    if (weir_unlikely(weir_seq_lt(tcp->snd_max, rx->ack)))
        return false;
    if (weir_unlikely(weir_seq_lt(rx->ack, tcp->snd_una)))
        return true;
    ack_window(tcp, rx, &news);
    if (rx->ack != tcp->snd_una) {
        ack_advance(tcp, rx, &news);
    } else {
        ack_of_probe(tcp);
        ack_duplicate(tcp, rx, &news);
    }
    if (weir_unlikely(rx->sack_count > 0) && (tcp->flags & WEIR_TCP_SACK))
        weir_tcp_sack(tcp, pkt, &news);
    if (weir_unlikely(tcp->sacked > 0 || tcp->recovery != WEIR_TCP_OPEN || tcp->tlp_out))
        ack_recovery(tcp, pkt, &news);
    if (news.acked > 0 && grows)
        ack_grow(tcp, &news);
    if (news.progress)
        weir_tcp_tlp_schedule(tcp);
    if (tcp->tx_next || tcp->lost > 0 || weir_tcp_fin_due(tcp))
        weir_tcp_output_later(tcp);
    else if (tcp->probe_at)
        weir_tcp_arm(tcp);
    if (news.progress && tcp->conn.tx && weir_tcp_send_room(tcp) >= tcp->snd_buf / 3)
        weir_tcp_event_writable(tcp);
    return true;
}
