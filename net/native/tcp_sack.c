/* tcp_sack.c - the scoreboard (RFC 2018, 6675): which segments the peer has, and which are lost.
 *
 * A segment counts as received when a block covers all of it.  Blocks come from outside: one that
 * does not lie within what was sent and is not acknowledged is taken for the report of a duplicate
 * (RFC 2883) or ignored.
 *
 * Invariant: no segment is both SACKED and LOST; tcp->sacked and tcp->lost are the sums. */
#include "net/native/tcp_send.h"
#include "net/native/wire/wire.h"

enum { BLOCKS_MAX = 4 };

struct sack_block {
    weir_seq begin, end;
};

void weir_tcp_mark_lost(struct weir_tcp *tcp, struct weir_pkt *seg)
{
    if (seg->seg.flags & (WEIR_SEG_SACKED | WEIR_SEG_LOST))
        return;
    seg->seg.flags = (uint8_t)((seg->seg.flags & ~WEIR_SEG_RETRANS) | WEIR_SEG_LOST);
    tcp->lost += seg->seg.len;
}

/* Everything the peer does not have.  When it says that it has the very first, but does not
 * acknowledge it, it has thrown away what it had (RFC 2018 8): then that counts no more. */
void weir_tcp_mark_all_lost(struct weir_tcp *tcp)
{
    bool reneged = tcp->tx_head && (tcp->tx_head->seg.flags & WEIR_SEG_SACKED);

    if (reneged || !(tcp->flags & WEIR_TCP_SACK))
        tcp->sacked = 0;
    for (struct weir_pkt *seg = tcp->tx_head; seg != tcp->tx_next; seg = weir_seg_next(seg)) {
        if (reneged)
            seg->seg.flags &= (uint8_t)~WEIR_SEG_SACKED;
        weir_tcp_mark_lost(tcp, seg);
    }
}

void weir_tcp_unmark_lost(struct weir_tcp *tcp)
{
    for (struct weir_pkt *seg = tcp->tx_head; seg != tcp->tx_next; seg = weir_seg_next(seg))
        seg->seg.flags &= (uint8_t) ~(WEIR_SEG_LOST | WEIR_SEG_RETRANS);
    tcp->lost = 0;
}

static void sack_segment(struct weir_tcp *tcp, struct weir_pkt *seg, struct weir_tcp_news *news)
{
    if (seg->seg.flags & WEIR_SEG_LOST)
        tcp->lost -= seg->seg.len;
    weir_tcp_rack_delivered(tcp, seg, news);
    seg->seg.flags =
        (uint8_t)((seg->seg.flags & ~(WEIR_SEG_LOST | WEIR_SEG_RETRANS)) | WEIR_SEG_SACKED);
    tcp->sacked += seg->seg.len;
    news->sacked += seg->seg.len;
}

static void sack_mark(struct weir_tcp *tcp, const struct sack_block *block,
                      struct weir_tcp_news *news)
{
    for (struct weir_pkt *seg = tcp->tx_head; seg != tcp->tx_next; seg = weir_seg_next(seg)) {
        if (weir_seq_lt(block->end, weir_seg_end(seg)))
            break;
        if (!(seg->seg.flags & WEIR_SEG_SACKED) && weir_seq_le(block->begin, seg->seg.seq))
            sack_segment(tcp, seg, news);
    }
}

/* RFC 2883 4: the first block is about a duplicate when it is acknowledged already, or lies within
 * the second. */
static bool sack_duplicate(const struct sack_block *block, unsigned count, weir_seq ack)
{
    if (weir_seq_le(block[0].end, ack))
        return true;
    return count > 1 && weir_seq_le(block[1].begin, block[0].begin) &&
           weir_seq_le(block[0].end, block[1].end);
}

static unsigned sack_read(const struct weir_pkt *pkt, struct sack_block *block)
{
    const uint8_t *at = pkt->buf.data + pkt->l4 + pkt->rx.sack_at;
    unsigned count = pkt->rx.sack_count < BLOCKS_MAX ? pkt->rx.sack_count : BLOCKS_MAX;

    for (unsigned i = 0; i < count; i++) {
        block[i].begin = weir_get32(at + 8 * i);
        block[i].end = weir_get32(at + 8 * i + 4);
    }
    return count;
}

void weir_tcp_sack(struct weir_tcp *tcp, const struct weir_pkt *pkt, struct weir_tcp_news *news)
{
    struct sack_block block[BLOCKS_MAX];
    unsigned count = sack_read(pkt, block), first = 0;

    weir_assert(count > 0);
    if (sack_duplicate(block, count, tcp->snd_una)) {
        news->dsack = true;
        first = 1;
    }
    for (unsigned i = first; i < count; i++)
        if (weir_seq_lt(block[i].begin, block[i].end) && weir_seq_lt(tcp->snd_una, block[i].end) &&
            weir_seq_le(tcp->snd_una, block[i].begin) && weir_seq_le(block[i].end, tcp->snd_nxt))
            sack_mark(tcp, &block[i], news);
}
