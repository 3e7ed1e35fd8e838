/* tcp_output.c - which segment may go now.
 *
 * First what is lost, then what is new (RFC 6675 NextSeg), then the FIN, then an ACK if nothing
 * has carried it.  New data goes by the window, cwnd against what is in flight, and the sender's
 * silly window avoidance with Nagle's rule (RFC 9293 3.8.6.2.1, 3.7.4).
 *
 * A segment is sent as it stands in the queue, with the header in its headroom and one more owner,
 * the device.  What the device still has from the last time is copied to be sent again.
 *
 * Where the device cuts segments (WEIR_DEV_TX_TSO) a run of new full ones goes as one packet: a
 * header and a view of each.  For all else they are segments like others: each was sent, is
 * acknowledged, lost and sent again by itself. */
#include <weir/net.h>
#include "net/native/tcp_send.h"

enum {
    SEGMENTS_MAX = 128, /* of one connection at once: then the others have their turn */
    TSO_CAPS = WEIR_DEV_TX_TSO | WEIR_DEV_TX_L4_CSUM,
    TSO_MAX = UINT16_MAX - 40 - 60, /* payload beside the longest headers in an IP packet */
    TSO_PIECES = 48,                /* segments per packet: that of MTU 1500, and some */
};

/* RFC 6928 2; after a SYN was lost less (RFC 5681 3.1, softened by 6928: once may be spurious). */
uint32_t weir_tcp_initial_window(const struct weir_tcp *tcp, unsigned syn_retries)
{
    uint32_t mss = tcp->mss;

    if (syn_retries > 1)
        return mss;
    if (syn_retries == 1)
        return 3 * mss;
    return (uint32_t)weir_min_u64(10 * mss, weir_max_u64(2 * mss, 14600));
}

void weir_tcp_send_init(struct weir_tcp *tcp)
{
    const struct weir_tcp_layer *layer = weir_tcp_native(tcp)->tcp;

    if (tcp->mss_peer == 0)
        tcp->mss_peer = tcp->path.v6 ? 1220 : 536; /* RFC 9293 3.7.1 */
    weir_tcp_mss_set(tcp);
    tcp->cc = layer->cc;
    tcp->recover = tcp->rack_fack = tcp->iss;
    tcp->ssthresh = WEIR_TCP_INFINITE;
    tcp->snd_buf = layer->sndbuf < WEIR_TCP_SND_BUF ? layer->sndbuf : WEIR_TCP_SND_BUF;
    tcp->cwnd = weir_tcp_initial_window(tcp, tcp->retries);
    tcp->reordering = 0;
    if (tcp->rto_us == 0)
        weir_tcp_rto_reset(tcp);
    if (tcp->state == WEIR_TCP_SYN_SENT && tcp->snd_una != tcp->iss)
        weir_tcp_syn_acked(tcp);
}

/* What carries the segment, its payload only: itself, or a copy; NULL: no memory. */
static struct weir_pkt *output_carrier(struct weir_tcp *tcp, struct weir_pkt *seg)
{
    struct weir_pkt *pkt = seg;

    if (weir_likely(seg->buf.refs == 1)) {
        weir_seg_bare(seg);
        seg->buf.refs = 2;
        return seg;
    }
    pkt = weir_pkt_get(&weir_tcp_native(tcp)->pkts);
    if (weir_unlikely(!pkt)) {
        weir_tcp_native(tcp)->stats.tcp_no_memory++;
        return NULL;
    }
    memcpy(pkt->buf.data, weir_seg_data(seg), seg->seg.len);
    pkt->buf.len = seg->seg.len;
    return pkt;
}

/* Whether our FIN goes with this segment: it is the last, and the window has room. */
static bool output_fin_with(const struct weir_tcp *tcp, const struct weir_pkt *seg)
{
    if (!(tcp->flags & WEIR_TCP_FIN_QUEUED) || weir_seg_end(seg) != tcp->snd_end)
        return false;
    return weir_seq_lt(tcp->snd_end, tcp->snd_una + tcp->snd_wnd);
}

static void output_fin_sent(struct weir_tcp *tcp)
{
    tcp->flags |= WEIR_TCP_FIN_SENT;
    tcp->snd_nxt = tcp->snd_end + 1;
    tcp->snd_max = weir_seq_max(tcp->snd_max, tcp->snd_nxt);
}

/* Something new has gone out: the retransmission timer takes over from the persist timer. */
static void output_probing_over(struct weir_tcp *tcp)
{
    if (!(tcp->flags & WEIR_TCP_PROBING))
        return;
    tcp->flags &= ~(uint32_t)WEIR_TCP_PROBING;
    tcp->rto_at = 0;
    weir_tcp_rto_reset(tcp);
}

static void output_first_time(struct weir_tcp *tcp, struct weir_pkt *seg)
{
    tcp->tx_next = weir_seg_next(seg);
    tcp->snd_nxt = weir_seg_end(seg);
    tcp->snd_max = weir_seq_max(tcp->snd_max, tcp->snd_nxt);
    output_probing_over(tcp);
}

static void output_again(struct weir_tcp *tcp, struct weir_pkt *seg)
{
    if (seg->seg.flags & WEIR_SEG_LOST)
        tcp->lost -= seg->seg.len;
    seg->seg.flags = (uint8_t)((seg->seg.flags & ~WEIR_SEG_LOST) | WEIR_SEG_RETRANS);
    if (tcp->recovery != WEIR_TCP_OPEN && tcp->retrans_ts == 0)
        tcp->retrans_ts = weir_tcp_ts(tcp) + (weir_tcp_ts(tcp) == 0);
    weir_tcp_native(tcp)->stats.tcp_retransmits++;
}

/* It goes out now; returns the flags of its header. */
static uint8_t output_mark(struct weir_tcp *tcp, struct weir_pkt *seg)
{
    bool fin = output_fin_with(tcp, seg);
    uint8_t tcp_flags = WEIR_ACK;

    if (seg->seg.flags & WEIR_SEG_PUSH || fin)
        tcp_flags |= WEIR_PSH;
    if (seg->seg.sent_count > 0)
        output_again(tcp, seg);
    else
        output_first_time(tcp, seg);
    if (fin) {
        tcp_flags |= WEIR_FIN;
        output_fin_sent(tcp);
    }
    seg->seg.sent_count = (uint8_t)(seg->seg.sent_count + (seg->seg.sent_count < UINT8_MAX));
    seg->seg.sent_at = weir_tcp_now(tcp);
    return tcp_flags;
}

bool weir_tcp_transmit(struct weir_tcp *tcp, struct weir_pkt *seg)
{
    struct weir_pkt *pkt;
    uint8_t tcp_flags;

    if (weir_unlikely(seg->seg.len > tcp->mss)) {
        seg = weir_tcp_seg_split(tcp, seg, tcp->mss);
        if (!seg)
            return false;
    }
    pkt = output_carrier(tcp, seg);
    if (weir_unlikely(!pkt))
        return false;
    tcp_flags = output_mark(tcp, seg);
    weir_tcp_send_pkt(tcp, pkt, seg->seg.seq, tcp_flags, seg->seg.len, seg->seg.sum);
    return true;
}

void weir_tcp_send_control(struct weir_tcp *tcp, weir_seq seq, uint8_t tcp_flags)
{
    struct weir_native *native = weir_tcp_native(tcp);
    struct weir_pkt *pkt = weir_pkt_get(&native->pkts);

    if (tcp_flags & WEIR_SYN)
        weir_tcp_syn_sent(tcp);
    if (weir_unlikely(!pkt)) {
        native->stats.tcp_no_memory++;
        return;
    }
    native->stats.tcp_rst_out += (tcp_flags & WEIR_RST) != 0;
    weir_tcp_send_pkt(tcp, pkt, seq, tcp_flags, 0, 0);
}

struct weir_pkt *weir_tcp_first_lost(const struct weir_tcp *tcp)
{
    struct weir_pkt *seg = tcp->tx_head;

    if (tcp->lost == 0)
        return NULL;
    while (!(seg->seg.flags & WEIR_SEG_LOST))
        seg = weir_seg_next(seg);
    return seg;
}

/* What is lost goes as cwnd allows, and not beyond the window (RFC 9293 3.8.6: it may have shrunk).
 * When nothing else is under way as much of the first segment goes as fits: what sticks out may
 * make the peer drop all of it, our ACK included (Linux 6.17), and then neither side goes on. */
static bool output_lost(struct weir_tcp *tcp)
{
    struct weir_pkt *seg = weir_tcp_first_lost(tcp);
    weir_seq edge = tcp->snd_una + tcp->snd_wnd;
    uint32_t flight = weir_tcp_in_flight(tcp);

    if (weir_unlikely(weir_seq_lt(edge, weir_seg_end(seg)))) {
        if (flight > 0 || tcp->snd_wnd == 0 || seg != tcp->tx_head)
            return false;
        seg = weir_tcp_seg_split(tcp, seg, edge - seg->seg.seq);
        return seg && weir_tcp_transmit(tcp, seg);
    }
    if (flight > 0 && flight + (seg->seg.len < tcp->mss ? seg->seg.len : tcp->mss) > tcp->cwnd)
        return false;
    return weir_tcp_transmit(tcp, seg);
}

/* RFC 9293 3.8.6.2.1: how much of `seg`, the first that was never sent, may go; 0: nothing yet. */
static uint32_t output_sws(const struct weir_tcp *tcp, const struct weir_pkt *seg, uint32_t usable)
{
    uint32_t queued = tcp->snd_end - tcp->snd_nxt, len = seg->seg.len;
    bool free = tcp->snd_nxt == tcp->snd_una || (tcp->flags & WEIR_TCP_NODELAY);

    if (queued >= tcp->mss && usable >= tcp->mss)
        return len;
    if (queued <= usable)
        return free || (tcp->flags & WEIR_TCP_FIN_QUEUED) ? len : 0;
    if (!free || usable == 0 || usable < tcp->snd_wnd_max / 2)
        return 0;
    return len < usable ? len : usable;
}

static uint32_t output_usable(const struct weir_tcp *tcp)
{
    weir_seq edge = tcp->snd_una + tcp->snd_wnd;

    return weir_seq_lt(tcp->snd_nxt, edge) ? edge - tcp->snd_nxt : 0;
}

/* RFC 5681 4.1: after an idle RTO the window is a guess again.  With nothing in flight the last
 * delivered segment is the last one sent. */
static void output_restart(struct weir_tcp *tcp)
{
    uint32_t window = weir_tcp_initial_window(tcp, 0);
    uint64_t kept = (uint64_t)tcp->cwnd * 3 / 4; /* RFC 7661 4.4.2: what it had proved */

    if (tcp->rack_sent_at == 0 || tcp->cwnd <= window ||
        weir_tcp_now(tcp) - tcp->rack_sent_at <= WEIR_US((weir_time)tcp->rto_us))
        return;
    if (tcp->ssthresh < kept)
        tcp->ssthresh = (uint32_t)kept;
    tcp->cwnd = window;
}

/* How much of `seg`, the first that was never sent, may go now; 0: nothing. */
static uint32_t output_allowed(const struct weir_tcp *tcp, const struct weir_pkt *seg)
{
    uint32_t flight = weir_tcp_in_flight(tcp), len = output_sws(tcp, seg, output_usable(tcp));

    return flight > 0 && flight + len > tcp->cwnd ? 0 : len;
}

/* Payload bytes that one packet may have: of a segment, or of what the device cuts up. */
static uint32_t output_packet_max(const struct weir_tcp *tcp)
{
    const struct weir_dev *dev = weir_tcp_native(tcp)->iface[tcp->path.iface].queue->dev;

    if (weir_likely((dev->caps & TSO_CAPS) != TSO_CAPS))
        return tcp->mss;
    return dev->tso_max < TSO_MAX ? dev->tso_max : TSO_MAX;
}

/* Whether the first that was never sent can follow `last` in a packet of `len` bytes so far: what
 * is in front of another piece is full, and PSH and FIN stand at the end. */
static bool output_joins(const struct weir_tcp *tcp, const struct weir_pkt *last, uint32_t len)
{
    const struct weir_pkt *seg = tcp->tx_next;

    return seg && last->seg.len == tcp->mss && !(last->seg.flags & WEIR_SEG_PUSH) &&
           seg->seg.len <= tcp->mss && len + seg->seg.len <= output_packet_max(tcp) &&
           output_allowed(tcp, seg) == seg->seg.len;
}

/* New segments that the device is to cut apart, at most `max`, the first of which may go.  Returns
 * how many it were; 0: no memory. */
static unsigned output_super(struct weir_tcp *tcp, unsigned max)
{
    struct weir_native *native = weir_tcp_native(tcp);
    struct weir_pkt *pkt = weir_pkt_get(&native->pkts), *last = pkt, *seg = tcp->tx_next;
    weir_seq begin = seg->seg.seq;
    uint8_t tcp_flags = 0;
    unsigned count = 0;

    if (max > TSO_PIECES)
        max = TSO_PIECES;
    if (weir_unlikely(!pkt)) {
        native->stats.tcp_no_memory++;
        return 0;
    }
    do {
        seg = tcp->tx_next;
        last->frag = weir_pkt_view(&native->pkts, seg, weir_seg_data(seg), seg->seg.len);
        if (weir_unlikely(!last->frag))
            break;
        last = last->frag;
        tcp_flags = output_mark(tcp, seg);
    } while (++count < max && output_joins(tcp, seg, weir_seg_end(seg) - begin));
    if (weir_unlikely(count == 0)) {
        native->stats.tcp_no_memory++;
        weir_pkt_free(pkt);
        return 0;
    }
    if (count > 1) {
        pkt->flags |= WEIR_PKT_TSO;
        pkt->gso_size = tcp->mss;
        native->stats.tcp_out += count - 1;
    }
    weir_tcp_send_pkt(tcp, pkt, begin, tcp_flags, tcp->snd_nxt - begin - weir_tcp_fin_out(tcp), 0);
    return count;
}

/* New segments, at most `max`; returns how many went: 0: not now. */
static unsigned output_new(struct weir_tcp *tcp, unsigned max)
{
    struct weir_pkt *seg = tcp->tx_next;
    uint32_t len;

    if (tcp->snd_nxt == tcp->snd_una)
        output_restart(tcp);
    len = output_allowed(tcp, seg);
    if (len == 0)
        return 0;
    if (len == tcp->mss && len == seg->seg.len && max > 1 && weir_seg_next(seg) &&
        output_packet_max(tcp) >= 2 * len)
        return output_super(tcp, max);
    if (len < seg->seg.len)
        seg = weir_tcp_seg_split(tcp, seg, len);
    return seg && weir_tcp_transmit(tcp, seg);
}

/* A FIN without data. */
static void output_fin(struct weir_tcp *tcp)
{
    if (tcp->tx_next || !weir_tcp_fin_due(tcp) || output_usable(tcp) == 0)
        return;
    output_fin_sent(tcp);
    output_probing_over(tcp);
    weir_tcp_send_control(tcp, tcp->snd_end, WEIR_FIN | WEIR_ACK);
}

/* Data and FIN, at most `room` segments.  Returns whether there may be more to send at once. */
static bool output_data(struct weir_tcp *tcp, unsigned room)
{
    weir_seq before = tcp->snd_nxt;
    unsigned left = room < SEGMENTS_MAX ? room : SEGMENTS_MAX, sent;

    while (left > 0 && tcp->lost > 0 && output_lost(tcp))
        left--;
    if (tcp->lost == 0)
        for (; left > 0 && tcp->tx_next && (sent = output_new(tcp, left)) > 0; left -= sent)
            ;
    output_fin(tcp);
    if (tcp->snd_nxt != before)
        weir_tcp_tlp_schedule(tcp);
    return left == 0;
}

/* RFC 9293 3.8.6.1: what is next, or what is outstanding while the window is shut.  It is not
 * counted as sent (but for the FIN), only as something that may be acknowledged. */
void weir_tcp_window_probe(struct weir_tcp *tcp)
{
    struct weir_native *native = weir_tcp_native(tcp);
    struct weir_pkt *seg = tcp->tx_head, *pkt;
    uint32_t usable;

    native->stats.tcp_persists++;
    if (!seg) {
        if (tcp->flags & WEIR_TCP_FIN_QUEUED) {
            output_fin_sent(tcp);
            weir_tcp_send_control(tcp, tcp->snd_end, WEIR_FIN | WEIR_ACK);
        }
        return;
    }
    usable = output_usable(tcp);
    if (seg == tcp->tx_next && usable > 0) { /* 3.8.6.2.1 (4): small, but it has waited enough */
        if (seg->seg.len > usable)
            seg = weir_tcp_seg_split(tcp, seg, usable);
        if (seg)
            weir_tcp_transmit(tcp, seg);
        return;
    }
    pkt = weir_pkt_get(&native->pkts);
    if (!pkt) {
        native->stats.tcp_no_memory++;
        return;
    }
    pkt->buf.data[0] = *weir_seg_data(seg);
    pkt->buf.len = 1;
    tcp->snd_max = weir_seq_max(tcp->snd_max, seg->seg.seq + 1);
    weir_tcp_send_pkt(tcp, pkt, seg->seg.seq, WEIR_ACK, 1,
                      htons((uint16_t)(pkt->buf.data[0] << 8)));
}

/* Routes, neighbours or path MTUs have changed since. */
static void output_path_check(struct weir_tcp *tcp)
{
    struct weir_native *native = weir_tcp_native(tcp);
    uint16_t mtu = tcp->path.mtu;

    weir_path_refresh(native, &tcp->path);
    if (tcp->path.mtu < mtu)
        weir_tcp_mtu_changed(tcp);
    else if (tcp->path.mtu > mtu)
        weir_tcp_mss_set(tcp);
}

/* RFC 1191 6.5: what was too long for the path is lost, but not by congestion. */
void weir_tcp_mtu_changed(struct weir_tcp *tcp)
{
    weir_path_refresh(weir_tcp_native(tcp), &tcp->path);
    weir_tcp_mss_set(tcp);
    for (struct weir_pkt *seg = tcp->tx_head; seg != tcp->tx_next; seg = weir_seg_next(seg))
        if (seg->seg.len > tcp->mss)
            weir_tcp_mark_lost(tcp, seg);
    if (tcp->lost > 0)
        weir_tcp_output_later(tcp);
}

void weir_tcp_output(struct weir_tcp *tcp)
{
    bool more = false;
    unsigned room;

    if (tcp->state <= WEIR_TCP_SYN_SENT)
        return;
    room = weir_iface_room(&weir_tcp_native(tcp)->iface[tcp->path.iface]);
    if (weir_unlikely(room == 0)) {
        weir_tcp_output_later(tcp);
        return;
    }
    if (weir_unlikely(tcp->path.generation != weir_tcp_native(tcp)->generation))
        output_path_check(tcp);
    /* its blocks may find no room beside data, and a bare ACK is a duplicate one (RFC 5681 4.2) */
    if ((tcp->flags & WEIR_TCP_ACK_NOW) && tcp->ooo)
        weir_tcp_send_control(tcp, weir_tcp_bare_seq(tcp), WEIR_ACK);
    if ((tcp->tx_next || tcp->lost > 0 || weir_tcp_fin_due(tcp)) &&
        tcp->state != WEIR_TCP_SYN_RECEIVED)
        more = output_data(tcp, room);
    if (tcp->flags & WEIR_TCP_ACK_NOW)
        weir_tcp_send_control(tcp, weir_tcp_bare_seq(tcp), WEIR_ACK);
    if (more)
        weir_tcp_output_later(tcp);
    weir_tcp_rto_update(tcp);
    weir_tcp_arm(tcp);
}

bool weir_tcp_output_all(struct weir_native *native)
{
    struct weir_tcp *tcp;

    native->output_stop = native->output ? native->output_last : NULL;
    while (native->output_stop) {
        tcp = native->output;
        native->output = tcp->output_next;
        if (tcp == native->output_stop)
            native->output_stop = NULL;
        tcp->flags &= ~(uint32_t)WEIR_TCP_QUEUED;
        if (weir_unlikely(tcp->state == WEIR_TCP_CLOSED))
            weir_tcp_release(tcp);
        else
            weir_tcp_output(tcp);
    }
    return native->output != NULL;
}

void weir_tcp_output_forget(struct weir_tcp *tcp)
{
    struct weir_native *native = weir_tcp_native(tcp);
    struct weir_tcp **at = &native->output, *before = NULL;

    if (!(tcp->flags & WEIR_TCP_QUEUED))
        return;
    tcp->flags &= ~(uint32_t)WEIR_TCP_QUEUED;
    while (*at != tcp) {
        before = *at;
        at = &before->output_next;
    }
    *at = tcp->output_next;
    if (native->output_last == tcp)
        native->output_last = before;
    if (native->output_stop == tcp)
        native->output_stop = before;
}
