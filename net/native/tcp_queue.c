/* tcp_queue.c - the send queue: from user memory into segments, and out again when acknowledged.
 *
 * Bytes are copied once, with their checksum.  What is not sent yet is joined up to an MSS, so
 * many small sends make few packets.  Bounded twice: by bytes (snd_buf), and by packets, for one
 * of a single byte takes as much memory as a full one.
 *
 * The payload stands at the end of a segment's packet; in front of it, once it was sent, its
 * headers and what was acknowledged.
 *
 * Invariants: segments follow each other without gaps from snd_una to snd_end; those before tx_next
 * were sent, the others never; tx_count packets are in the list. */
#include "net/native/checksum.h"
#include "net/native/tcp_send.h"

/* How many packets snd_buf bytes may take: those of full segments, and some small ones. */
static uint32_t queue_packets(const struct weir_tcp *tcp)
{
    return (uint32_t)weir_min_u64(8 + tcp->snd_buf / 512, UINT16_MAX);
}

/* Bytes that the last segment still takes. */
static uint32_t queue_tail_room(const struct weir_tcp *tcp)
{
    const struct weir_pkt *tail = tcp->tx_tail;

    return tcp->tx_next && tail->seg.len < tcp->mss ? tcp->mss - tail->seg.len : 0;
}

uint32_t weir_tcp_send_room(const struct weir_tcp *tcp)
{
    uint32_t used = tcp->snd_end - tcp->snd_una;
    uint64_t room, packets = queue_packets(tcp);

    if (weir_seq_lt(tcp->snd_end, tcp->snd_una) || (tcp->flags & WEIR_TCP_FIN_QUEUED))
        return 0;
    room = tcp->snd_buf > used ? tcp->snd_buf - used : 0;
    packets = packets > tcp->tx_count ? packets - tcp->tx_count : 0;
    return (uint32_t)weir_min_u64(room, packets * tcp->mss + queue_tail_room(tcp));
}

/* An empty segment at the end, or NULL: no memory.  Some is left, or no ACK could come in that
 * makes the queue shorter. */
static struct weir_pkt *queue_add(struct weir_tcp *tcp)
{
    struct weir_pkts *pkts = &weir_tcp_native(tcp)->pkts;
    struct weir_pkt *seg = weir_pkts_scarce(pkts, 7) ? NULL : weir_pkt_get(pkts);

    if (weir_unlikely(!seg))
        return NULL;
    seg->seg = (struct weir_pkt_seg){ .seq = tcp->snd_end, .prev = tcp->tx_tail };
    seg->buf.next = NULL;
    if (tcp->tx_tail)
        tcp->tx_tail->buf.next = &seg->buf;
    else
        tcp->tx_head = seg;
    tcp->tx_tail = seg;
    if (!tcp->tx_next)
        tcp->tx_next = seg;
    tcp->tx_count++;
    return seg;
}

/* Behind what the segment has; its sum counts as if it began at an even offset. */
static void queue_append(struct weir_tcp *tcp, struct weir_pkt *seg, const void *data, uint32_t len)
{
    uint32_t sum = weir_sum_copy(seg->buf.data + seg->buf.len, data, len, 0);

    if (seg->seg.len & 1)
        sum = weir_sum_swap(sum);
    seg->seg.sum = weir_sum_fold(weir_sum_add(seg->seg.sum, sum));
    seg->seg.len += len;
    seg->buf.len += len;
    tcp->snd_end += len;
}

/* From the first byte on the algorithm has its state: until then others use the room. */
static void queue_begin(struct weir_tcp *tcp)
{
    tcp->flags |= WEIR_TCP_CC;
    weir_tcp_cc_of(tcp)->init(tcp);
}

size_t weir_tcp_push(struct weir_tcp *tcp, const void *data, size_t len, bool push)
{
    size_t want = weir_min_u64(len, weir_tcp_send_room(tcp)), left = want;
    const uint8_t *from = data;

    if (weir_unlikely(!(tcp->flags & WEIR_TCP_CC)))
        queue_begin(tcp);
    while (left > 0) {
        struct weir_pkt *seg = tcp->tx_tail;
        uint32_t room = queue_tail_room(tcp), n;

        if (room == 0) {
            seg = queue_add(tcp);
            room = tcp->mss;
        }
        if (weir_unlikely(!seg)) {
            weir_tcp_native(tcp)->stats.tcp_no_memory++;
            break;
        }
        n = (uint32_t)weir_min_u64(left, room);
        queue_append(tcp, seg, from, n);
        from += n;
        left -= n;
    }
    if (left == want)
        return 0;
    if (push && want - left == len)
        tcp->tx_tail->seg.flags |= WEIR_SEG_PUSH;
    weir_tcp_output_later(tcp);
    return want - left;
}

/* A packet with the segment's bytes from `at` on and all else that is known of it, in no list; or
 * NULL: no memory. */
static struct weir_pkt *queue_part(struct weir_tcp *tcp, const struct weir_pkt *seg, uint32_t at,
                                   uint32_t len)
{
    struct weir_pkt *part = weir_pkt_get(&weir_tcp_native(tcp)->pkts);

    if (weir_unlikely(!part)) {
        weir_tcp_native(tcp)->stats.tcp_no_memory++;
        return NULL;
    }
    part->seg = seg->seg;
    part->seg.seq += at;
    part->seg.len = part->buf.len = len;
    part->seg.sum = weir_sum_fold(weir_sum_copy(part->buf.data, weir_seg_data(seg) + at, len, 0));
    return part;
}

/* Into the list between the two, of which one may be missing. */
static void queue_link(struct weir_tcp *tcp, struct weir_pkt *prev, struct weir_pkt *seg,
                       struct weir_pkt *next)
{
    seg->seg.prev = prev;
    seg->buf.next = next ? &next->buf : NULL;
    if (prev)
        prev->buf.next = &seg->buf;
    else
        tcp->tx_head = seg;
    if (next)
        next->seg.prev = seg;
    else
        tcp->tx_tail = seg;
}

/* The segment in a packet that no device has; it may be another than before.  NULL: no memory. */
static struct weir_pkt *queue_own(struct weir_tcp *tcp, struct weir_pkt *seg)
{
    struct weir_pkt *own;

    if (weir_likely(seg->buf.refs == 1)) {
        weir_seg_bare(seg);
        return seg;
    }
    own = queue_part(tcp, seg, 0, seg->seg.len);
    if (!own)
        return NULL;
    queue_link(tcp, seg->seg.prev, own, weir_seg_next(seg));
    if (tcp->tx_next == seg)
        tcp->tx_next = own;
    weir_pkt_free(seg);
    return own;
}

struct weir_pkt *weir_tcp_seg_split(struct weir_tcp *tcp, struct weir_pkt *seg, uint32_t len)
{
    struct weir_pkt *rest;

    weir_assert(len > 0 && len < seg->seg.len);
    seg = queue_own(tcp, seg);
    if (!seg)
        return NULL;
    rest = queue_part(tcp, seg, len, seg->seg.len - len);
    if (!rest)
        return NULL;
    queue_link(tcp, seg, rest, weir_seg_next(seg));
    seg->seg.len = seg->buf.len = len;
    seg->seg.sum = weir_sum_fold(weir_sum(seg->buf.data, len, 0));
    seg->seg.flags &= (uint8_t)~WEIR_SEG_PUSH;
    tcp->tx_count++;
    return seg;
}

/* The first segment goes. */
static void queue_drop_head(struct weir_tcp *tcp)
{
    struct weir_pkt *seg = tcp->tx_head, *next = weir_seg_next(seg);

    if (seg->seg.flags & WEIR_SEG_SACKED)
        tcp->sacked -= seg->seg.len;
    if (seg->seg.flags & WEIR_SEG_LOST)
        tcp->lost -= seg->seg.len;
    if (tcp->tx_next == seg)
        tcp->tx_next = next;
    tcp->tx_head = next;
    if (next)
        next->seg.prev = NULL;
    else
        tcp->tx_tail = NULL;
    tcp->tx_count--;
    seg->buf.next = NULL;
    weir_pkt_free(seg);
}

/* The first segment without its first `len` bytes, which a device may still read. */
static void queue_trim_head(struct weir_tcp *tcp, uint32_t len)
{
    struct weir_pkt *seg = tcp->tx_head;

    if (seg->seg.flags & WEIR_SEG_SACKED)
        tcp->sacked -= len;
    if (seg->seg.flags & WEIR_SEG_LOST)
        tcp->lost -= len;
    seg->seg.seq += len;
    seg->seg.len -= len;
    seg->seg.sum = weir_sum_fold(weir_sum(weir_seg_data(seg), seg->seg.len, 0));
}

/* It was delivered, and that is news. */
static void queue_delivered(struct weir_tcp *tcp, const struct weir_pkt *seg,
                            struct weir_tcp_news *news)
{
    if (seg->seg.sent_count > 1)
        news->retransmitted = true;
    if (news->sent_at == 0)
        news->sent_at = seg->seg.sent_at;
    weir_tcp_rack_delivered(tcp, seg, news);
}

void weir_tcp_queue_acked(struct weir_tcp *tcp, weir_seq ack, struct weir_tcp_news *news)
{
    struct weir_pkt *seg;

    while ((seg = tcp->tx_head) != NULL && weir_seq_le(weir_seg_end(seg), ack)) {
        if (!(seg->seg.flags & WEIR_SEG_SACKED) && seg->seg.sent_count > 0)
            queue_delivered(tcp, seg, news);
        queue_drop_head(tcp);
    }
    if (seg && weir_seq_lt(seg->seg.seq, ack))
        queue_trim_head(tcp, ack - seg->seg.seq);
}

void weir_tcp_queue_free(struct weir_tcp *tcp)
{
    while (tcp->tx_head)
        queue_drop_head(tcp);
    tcp->sacked = tcp->lost = 0;
    weir_assert(tcp->tx_count == 0 && !tcp->tx_next);
}

void weir_tcp_validate(const struct weir_tcp *tcp)
{
    uint32_t sacked = 0, lost = 0, count = 0;
    const struct weir_pkt *prev = NULL;
    weir_seq seq = weir_seq_max(tcp->snd_una, tcp->iss + 1);
    bool sent = true;

    for (const struct weir_pkt *seg = tcp->tx_head; seg; prev = seg, seg = weir_seg_next(seg)) {
        sent &= seg != tcp->tx_next;
        weir_assert(seg->seg.seq == seq && seg->seg.len > 0 && seg->buf.len >= seg->seg.len);
        weir_assert(seg->seg.prev == prev);
        weir_assert(sent == (seg->seg.sent_count > 0));
        weir_assert(sent == weir_seq_lt(seq, tcp->snd_nxt));
        weir_assert(weir_sum_fold(weir_sum(weir_seg_data(seg), seg->seg.len, 0)) % 0xffff ==
                    seg->seg.sum % 0xffff);
        weir_assert(!(seg->seg.flags & WEIR_SEG_SACKED) || !(seg->seg.flags & WEIR_SEG_LOST));
        sacked += seg->seg.flags & WEIR_SEG_SACKED ? seg->seg.len : 0;
        lost += seg->seg.flags & WEIR_SEG_LOST ? seg->seg.len : 0;
        seq += seg->seg.len;
        count++;
    }
    weir_assert(tcp->tx_tail == prev && count == tcp->tx_count);
    weir_assert(tcp->tx_head ? seq == tcp->snd_end : weir_seq_le(tcp->snd_end, seq));
    weir_assert(tcp->lost == lost && (!(tcp->flags & WEIR_TCP_SACK) || tcp->sacked == sacked));
    weir_assert(weir_seq_le(tcp->snd_una, tcp->snd_nxt) && weir_seq_le(tcp->snd_nxt, tcp->snd_max));
}
