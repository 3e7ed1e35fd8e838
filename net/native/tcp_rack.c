/* tcp_rack.c - RACK-TLP (RFC 8985): losses by time, and a probe when the tail may be lost.
 *
 * A segment is lost when one sent after it was delivered, and enough time has gone by since for
 * it to have been overtaken only.  Needs SACK.  Segments of one burst have the same time of
 * sending; then the higher sequence number is the later (6.1).
 *
 * tcp->reordering: 0 as long as no reordering was seen, then RACK.reo_wnd_mult. */
#include "net/native/tcp_send.h"

enum {
    PTO_NO_RTT_US = 1000000,
    PTO_SLACK_US = 2000, /* for clocks and delays that are not the network's */
    TLP_NEW = 1,         /* tcp->tlp_out: the probe was new data ... */
    TLP_AGAIN,           /* ... or a retransmission */
};

/* RFC 8985 5.2: sent_after(). */
static bool rack_sent_after(weir_time sent_a, weir_seq end_a, weir_time sent_b, weir_seq end_b)
{
    return sent_a > sent_b || (sent_a == sent_b && weir_seq_lt(end_b, end_a));
}

/* RFC 8985 6.2 step 2 and 3. */
void weir_tcp_rack_delivered(struct weir_tcp *tcp, const struct weir_pkt *seg,
                             const struct weir_tcp_news *news)
{
    weir_seq end = weir_seg_end(seg);
    weir_time rtt = weir_tcp_now(tcp) - seg->seg.sent_at;

    if (weir_seq_lt(tcp->rack_fack, end))
        tcp->rack_fack = end;
    if (seg->seg.sent_count == 1 && weir_seq_lt(end, news->fack) && (tcp->flags & WEIR_TCP_SACK))
        tcp->reordering = 1;
    /* perhaps that was the ACK of an earlier transmission */
    if (seg->seg.sent_count > 1 && rtt < WEIR_US((weir_time)tcp->min_rtt_us))
        return;
    if (!rack_sent_after(seg->seg.sent_at, end, tcp->rack_sent_at, tcp->rack_end))
        return;
    tcp->rack_sent_at = seg->seg.sent_at;
    tcp->rack_end = end;
    tcp->rack_rtt_us = (uint32_t)weir_min_u64((uint64_t)rtt / WEIR_US(1), UINT32_MAX);
}

static unsigned rack_sacked_count(const struct weir_tcp *tcp)
{
    unsigned count = 0;

    for (struct weir_pkt *seg = tcp->tx_head; seg != tcp->tx_next; seg = weir_seg_next(seg))
        if ((seg->seg.flags & WEIR_SEG_SACKED) && ++count == WEIR_TCP_DUP_THRESH)
            break;
    return count;
}

/* RFC 8985 6.2 step 4: how long to wait for what may be overtaken only. */
static uint32_t rack_reo_wnd(const struct weir_tcp *tcp)
{
    if (tcp->reordering == 0 &&
        (tcp->recovery != WEIR_TCP_OPEN || rack_sacked_count(tcp) >= WEIR_TCP_DUP_THRESH))
        return 0;
    return (uint32_t)weir_min_u64(
        (uint64_t)(tcp->reordering ? tcp->reordering : 1) * tcp->min_rtt_us / 4, tcp->srtt_us);
}

/* RFC 8985 6.2 step 5. */
bool weir_tcp_rack_detect(struct weir_tcp *tcp)
{
    weir_time now = weir_tcp_now(tcp), wait = 0;
    weir_time span = WEIR_US((weir_time)tcp->rack_rtt_us + rack_reo_wnd(tcp));
    uint32_t lost = tcp->lost;

    for (struct weir_pkt *seg = tcp->tx_head; seg != tcp->tx_next; seg = weir_seg_next(seg)) {
        weir_time left = seg->seg.sent_at + span - now;

        if (seg->seg.flags & (WEIR_SEG_SACKED | WEIR_SEG_LOST))
            continue;
        if (!rack_sent_after(tcp->rack_sent_at, tcp->rack_end, seg->seg.sent_at, weir_seg_end(seg)))
            continue;
        if (left <= 0)
            weir_tcp_mark_lost(tcp, seg);
        else if (left > wait)
            wait = left;
    }
    tcp->probe_at = wait > 0 ? weir_tick_at(now + wait) : 0;
    return tcp->lost > lost;
}

/* RFC 8985 7.2. */
void weir_tcp_tlp_schedule(struct weir_tcp *tcp)
{
    uint32_t flight = weir_tcp_outstanding(tcp) + weir_tcp_fin_out(tcp);
    uint64_t pto = 2 * (uint64_t)tcp->srtt_us + PTO_SLACK_US;

    if (!(tcp->flags & WEIR_TCP_SACK) || tcp->recovery != WEIR_TCP_OPEN || tcp->sacked > 0)
        return;
    tcp->probe_at = 0;
    if (flight == 0 || tcp->tlp_out)
        return;
    if (tcp->srtt_us == 0)
        pto = PTO_NO_RTT_US;
    if (flight <= tcp->mss)
        pto += WEIR_TCP_DELAYED_ACK_US;
    if (pto < tcp->rto_us)
        tcp->probe_at = weir_tcp_in_us(tcp, (uint32_t)pto);
}

/* RFC 8985 7.3: one segment, new if there is one and the peer has room for it, else the last. */
static void rack_tlp_send(struct weir_tcp *tcp)
{
    struct weir_pkt *seg = tcp->tx_next;

    if (seg && weir_seq_le(weir_seg_end(seg), tcp->snd_una + tcp->snd_wnd)) {
        if (!weir_tcp_transmit(tcp, seg))
            return;
        tcp->tlp_out = TLP_NEW;
    } else {
        if (!tcp->tx_tail)
            weir_tcp_send_control(tcp, tcp->snd_end, WEIR_FIN | WEIR_ACK);
        else if (!weir_tcp_transmit(tcp, seg ? seg->seg.prev : tcp->tx_tail))
            return;
        tcp->tlp_out = TLP_AGAIN;
    }
    tcp->recover = tcp->snd_nxt;
    tcp->rto_at = weir_tcp_in_us(tcp, tcp->rto_us);
    weir_tcp_native(tcp)->stats.tcp_tlp++;
}

void weir_tcp_probe_fire(struct weir_tcp *tcp)
{
    if (tcp->snd_nxt == tcp->snd_una || !(tcp->flags & WEIR_TCP_SACK))
        return;
    if (tcp->sacked > 0 || tcp->recovery != WEIR_TCP_OPEN) {
        if (weir_tcp_rack_detect(tcp) && tcp->recovery == WEIR_TCP_OPEN)
            weir_tcp_enter_recovery(tcp);
    } else if (!tcp->tlp_out) {
        rack_tlp_send(tcp);
    }
}

/* RFC 8985 7.4: did the probe repair a loss that nothing else has shown? */
void weir_tcp_tlp_acked(struct weir_tcp *tcp, const struct weir_pkt *pkt,
                        const struct weir_tcp_news *news)
{
    if (!tcp->tlp_out || weir_seq_lt(pkt->rx.ack, tcp->recover))
        return;
    if (tcp->tlp_out == TLP_NEW || news->dsack) {
        tcp->tlp_out = 0;
    } else if (weir_seq_lt(tcp->recover, pkt->rx.ack)) {
        tcp->tlp_out = 0;
        if (tcp->flags & WEIR_TCP_CC) {
            weir_tcp_cc_of(tcp)->lost(tcp);
            tcp->cwnd = tcp->ssthresh;
        }
    } else if (!news->progress && pkt->rx.sack_count == 0 && pkt->rx.len == 0 && !news->window) {
        tcp->tlp_out = 0;
    }
}
