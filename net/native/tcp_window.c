/* tcp_window.c - what we tell the peer of our side: window, SACK blocks, and when.
 *
 * The right edge of the window, rcv_adv, never moves back (RFC 9293 3.8.6), and forth only by what
 * is worth a segment (3.8.6.2.2, silly window avoidance).  The buffer behind it begins small and
 * doubles while the user takes, within one round trip, as much as half of it: then the window is
 * what holds the sender up.
 *
 * ACKs of data in order wait for a second full segment or 40 ms (RFC 1122 4.2.3.2, 5681 4.2);
 * what is out of order, or fills a hole, is acknowledged at once. */
#include "net/native/tcp_in.h"

enum { ACK_DELAY_MS = 40 };

/* --- the window --- */

/* The right edge we may give: free room behind what is in order, as far as the field can say it;
 * silly steps are not taken. */
static weir_seq window_edge(const struct weir_tcp *tcp)
{
    uint32_t room = tcp->rcv_buf > tcp->rcv_used ? tcp->rcv_buf - tcp->rcv_used : 0;
    weir_seq edge = tcp->rcv_nxt + (uint32_t)weir_min_u64(room, 65535U << tcp->rcv_wscale);
    uint32_t step = (uint32_t)weir_min_u64(tcp->rcv_buf / 2, tcp->mss);

    if (weir_seq_lt(edge, tcp->rcv_adv) || edge - tcp->rcv_adv < step)
        return tcp->rcv_adv;
    return edge;
}

/* In units of the scale.  Rounding down takes back up to one unit of what was promised: rounded up
 * instead (RFC 7323 2.4), unless many such units have added up to more than the buffer bears. */
static uint32_t window_scaled(const struct weir_tcp *tcp, uint32_t wnd)
{
    uint32_t unit = 1U << tcp->rcv_wscale;
    uint32_t units = wnd >> tcp->rcv_wscale;
    bool back = weir_seq_lt(tcp->rcv_nxt + units * unit, tcp->rcv_adv);
    bool bears = (uint64_t)tcp->rcv_used + wnd <= tcp->rcv_buf + tcp->rcv_buf / 8;

    return units + (back && bears);
}

uint16_t weir_tcp_window_field(struct weir_tcp *tcp, bool syn)
{
    uint32_t wnd, field;
    weir_seq edge;

    tcp->flags &= ~(uint32_t)(WEIR_TCP_ACK_NOW | WEIR_TCP_ACK_DELAYED);
    tcp->ack_at = 0;
    tcp->rcv_unacked = 0;
    tcp->last_ack_sent = tcp->rcv_nxt;
    if (syn) { /* not scaled: RFC 7323 2.2 */
        wnd = (uint32_t)weir_min_u64(tcp->rcv_buf, 65535);
        tcp->rcv_adv = tcp->rcv_nxt + wnd;
        return (uint16_t)wnd;
    }
    edge = window_edge(tcp);
    wnd = weir_seq_lt(tcp->rcv_nxt, edge) ? edge - tcp->rcv_nxt : 0;
    field = (uint32_t)weir_min_u64(window_scaled(tcp, wnd), 65535);
    tcp->rcv_adv = weir_seq_max(tcp->rcv_adv, tcp->rcv_nxt + (field << tcp->rcv_wscale));
    return (uint16_t)field;
}

/* Whether the peer should hear of the room there is now, though nothing else is to be said: it
 * has grown by a good part of the buffer, or the window was shut so far that the peer waits. */
static bool window_update_due(const struct weir_tcp *tcp)
{
    weir_seq edge = window_edge(tcp);
    uint32_t gain = weir_seq_lt(tcp->rcv_adv, edge) ? edge - tcp->rcv_adv : 0;

    if (tcp->state == WEIR_TCP_CLOSED || (tcp->flags & WEIR_TCP_FIN_RECEIVED) || gain == 0)
        return false;
    return gain >= tcp->rcv_buf / 4 || weir_tcp_rcv_wnd(tcp) < 2U * tcp->mss;
}

void weir_tcp_consumed(struct weir_tcp *tcp, uint32_t count)
{
    weir_assert(count <= tcp->rcv_used);
    tcp->rcv_used -= count;
    if (!tcp->rx_head && !tcp->ooo)
        tcp->rcv_held = 0;
    if (window_update_due(tcp))
        weir_tcp_ack_now(tcp);
}

/* --- auto-tuning --- */

/* Has the round trip that began at rcv_tuned_at ended?  Yes when the peer echoes a later time than
 * that; without timestamps the send side's estimate has to do. */
static bool tune_round_over(const struct weir_tcp *tcp, const struct weir_pkt *pkt)
{
    uint32_t since = weir_tcp_ts(tcp) - tcp->rcv_tuned_at;

    if (tcp->flags & WEIR_TCP_TS)
        return (int32_t)(pkt->rx.ts_ecr - tcp->rcv_tuned_at) > 0;
    return since > tcp->srtt_us / 1000;
}

/* Dynamic right-sizing (Fisk and Feng, 2001): what the user took in one round trip is what the
 * sender could send in one, or the window; twice that leaves it room to grow. */
void weir_tcp_tune(struct weir_tcp *tcp, const struct weir_pkt *pkt)
{
    const struct weir_native *native = weir_native_of(tcp->conn.stack);
    weir_seq taken_to = tcp->rcv_nxt - tcp->rcv_used;
    uint32_t taken = taken_to - tcp->rcv_tuned, max = native->tcp->rcvbuf;

    if (weir_likely(!tune_round_over(tcp, pkt)))
        return;
    tcp->rcv_tuned = taken_to;
    tcp->rcv_tuned_at = weir_tcp_ts(tcp);
    if (taken > tcp->rcv_buf / 2 && tcp->rcv_buf < max &&
        native->pkts.pool.live < native->pkts.pool.max / 2)
        tcp->rcv_buf =
            (uint32_t)weir_min_u64(weir_max_u64(2U * (uint64_t)taken, tcp->rcv_buf), max);
}

/* --- ACKs --- */

void weir_tcp_ack_now(struct weir_tcp *tcp)
{
    tcp->flags |= WEIR_TCP_ACK_NOW;
    weir_tcp_output_later(tcp);
}

void weir_tcp_ack_data(struct weir_tcp *tcp, uint32_t len)
{
    tcp->rcv_unacked += len;
    if (tcp->rcv_unacked >= 2U * tcp->mss) {
        weir_tcp_ack_now(tcp);
    } else if (!(tcp->flags & WEIR_TCP_ACK_DELAYED)) {
        tcp->flags |= WEIR_TCP_ACK_DELAYED;
        tcp->ack_at =
            weir_tick_at(weir_native_now(weir_native_of(tcp->conn.stack)) + WEIR_MS(ACK_DELAY_MS));
        weir_tcp_ack_later(tcp);
    }
}

/* --- SACK (RFC 2018, 2883) --- */

/* Puts the run into the blocks from `first` on, latest growth first (RFC 2018 4). */
static unsigned sack_place(const struct weir_pkt **runs, unsigned first, unsigned count,
                           unsigned max, const struct weir_pkt *run)
{
    unsigned at = first;

    while (at < count && (int32_t)(runs[at]->range.stamp - run->range.stamp) > 0)
        at++;
    if (at == max)
        return count;
    if (count < max)
        count++;
    for (unsigned i = count - 1; i > at; i--)
        runs[i] = runs[i - 1];
    runs[at] = run;
    return count;
}

static unsigned sack_dsack(const struct weir_tcp *tcp, weir_seq (*block)[2])
{
    struct weir_tcp_layer *layer = weir_native_of(tcp->conn.stack)->tcp;

    if (layer->dsack != tcp)
        return 0;
    layer->dsack = NULL; /* once: RFC 2883 4 */
    block[0][0] = layer->dsack_begin;
    block[0][1] = layer->dsack_end;
    return 1;
}

unsigned weir_tcp_sack_blocks(const struct weir_tcp *tcp, weir_seq (*block)[2], unsigned max)
{
    const struct weir_pkt *runs[4];
    unsigned first, count;

    if (weir_likely(!(tcp->flags & WEIR_TCP_SACK)) || max == 0)
        return 0;
    max = (unsigned)weir_min_u64(max, WEIR_COUNT(runs));
    count = first = sack_dsack(tcp, block);
    for (const struct weir_pkt *run = tcp->ooo; run;) {
        const struct weir_buf *next = run->range.run_last->buf.next;

        count = sack_place(runs, first, count, max, run);
        run = next ? weir_container_of(next, struct weir_pkt, buf) : NULL;
    }
    for (unsigned i = first; i < count; i++) {
        block[i][0] = runs[i]->range.seq;
        block[i][1] = runs[i]->range.run_end;
    }
    return count;
}
