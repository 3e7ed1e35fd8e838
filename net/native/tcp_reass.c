/* tcp_reass.c - the receive queue, and what came out of order before it.
 *
 * What is out of order is a sorted list of packets without overlaps; packets that follow each
 * other without a gap are a run, and the first of a run says where it ends, so that looking for a
 * place and making SACK blocks step from run to run.  Of bytes that come twice the first copy
 * stays, unless a later segment covers a whole run.  A FIN is the last sequence number of its
 * packet.
 *
 * Small payloads are copied into the room behind the queue's tail, so queued bytes pin at most
 * some four times their number.  Out of order nothing is copied, but what would pin more than
 * twice the buffer, or lies behind too many gaps, is dropped: the peer still has it.
 *
 * When the shard is short of packets nobody may collect them: only bytes that somebody waits for
 * are taken, or the first that nobody has read yet, and those only while there are some.
 *
 * Invariant: rcv_nxt < ooo->range.seq, and between runs at least one byte is missing. */
#include "net/native/tcp_in.h"

enum {
    REASS_COPY_MAX = 512, /* payloads up to this are worth copying to free their packet */
    REASS_RUNS_MAX = 256, /* steps of a search */
};

static struct weir_pkt *pkt_next(const struct weir_pkt *pkt)
{
    return pkt->buf.next ? weir_pkt_of(pkt->buf.next) : NULL;
}

static void trim_left(struct weir_pkt *pkt, weir_seq to)
{
    weir_pkt_pull(pkt, to - pkt->range.seq);
    pkt->range.seq = to;
}

static void trim_right(struct weir_pkt *pkt, weir_seq to)
{
    uint32_t cut = pkt->range.end - to;

    if (cut == 0)
        return;
    pkt->buf.len -= cut - pkt->range.fin;
    pkt->range.fin = false;
    pkt->range.end = to;
}

/* --- the receive queue --- */

static void rx_held_less(struct weir_tcp *tcp, const struct weir_pkt *pkt)
{
    weir_assert(tcp->rcv_held >= weir_pkt_held(pkt));
    tcp->rcv_held -= weir_pkt_held(pkt);
}

/* How much fits behind the bytes of a packet of our pool that has one owner.  Others have their
 * bytes elsewhere, perhaps in somebody's packet that stands right behind the descriptor. */
static size_t rx_tail_room(const struct weir_tcp *tcp, const struct weir_pkt *tail)
{
    const struct weir_pkts *pkts = &weir_native_of(tcp->conn.stack)->pkts;
    const uint8_t *begin = (const uint8_t *)(tail + 1);
    const uint8_t *end = begin + WEIR_PKT_HEADROOM + WEIR_PKT_ROOM;
    const uint8_t *data = tail->buf.data;

    if (!weir_pkt_writable(tail) || tail->buf.origin != pkts || data < begin ||
        data + tail->buf.len >= end)
        return 0;
    return (size_t)(end - (data + tail->buf.len));
}

static void rx_link(struct weir_tcp *tcp, struct weir_pkt *pkt)
{
    pkt->buf.next = NULL;
    if (tcp->rx_tail)
        tcp->rx_tail->buf.next = &pkt->buf;
    else
        tcp->rx_head = pkt;
    tcp->rx_tail = pkt;
    tcp->rcv_held += weir_pkt_held(pkt);
}

/* Copies the payload to the tail, or to a new one of our own; false: there is no packet for it. */
static bool rx_copy(struct weir_tcp *tcp, struct weir_pkt *pkt)
{
    struct weir_pkt *tail = tcp->rx_tail;

    if (rx_tail_room(tcp, tail) < pkt->buf.len) {
        if (rx_tail_room(tcp, pkt) > 0) /* it can be the next tail itself */
            return false;
        tail = weir_pkt_get(&weir_native_of(tcp->conn.stack)->pkts);
        if (!tail)
            return false;
        rx_link(tcp, tail);
    }
    memcpy(tail->buf.data + tail->buf.len, pkt->buf.data, pkt->buf.len);
    tail->buf.len += pkt->buf.len;
    weir_pkt_free(pkt);
    return true;
}

/* The packet is payload only, from rcv_nxt on. */
static void rx_append(struct weir_tcp *tcp, struct weir_pkt *pkt)
{
    uint32_t len = pkt->buf.len;

    tcp->rcv_nxt += len;
    tcp->rcv_used += len;
    if (len == 0)
        weir_pkt_free(pkt);
    else if (!tcp->rx_tail || len > REASS_COPY_MAX || !rx_copy(tcp, pkt))
        rx_link(tcp, pkt);
}

static void list_free(struct weir_pkt *pkt)
{
    for (struct weir_pkt *next; pkt; pkt = next) {
        next = pkt_next(pkt);
        pkt->buf.next = NULL;
        weir_pkt_free(pkt);
    }
}

void weir_tcp_rx_free(struct weir_tcp *tcp)
{
    list_free(tcp->rx_head);
    tcp->rx_head = tcp->rx_tail = NULL;
    tcp->rcv_used = 0;
    tcp->rcv_held = 0;
    for (const struct weir_pkt *pkt = tcp->ooo; pkt; pkt = pkt_next(pkt))
        tcp->rcv_held += weir_pkt_held(pkt);
}

/* --- out of order --- */

void weir_tcp_ooo_free(struct weir_tcp *tcp)
{
    for (const struct weir_pkt *pkt = tcp->ooo; pkt; pkt = pkt_next(pkt))
        rx_held_less(tcp, pkt);
    list_free(tcp->ooo);
    tcp->ooo = NULL;
}

void weir_tcp_duplicate(struct weir_tcp *tcp, weir_seq begin, weir_seq end)
{
    struct weir_native *native = weir_native_of(tcp->conn.stack);

    if (!(tcp->flags & WEIR_TCP_SACK) || begin == end)
        return;
    native->tcp->dsack = tcp;
    native->tcp->dsack_begin = begin;
    native->tcp->dsack_end = end;
}

/* The first run that ends at or behind seq, or NULL; *before: the one in front of it, or NULL.
 * False: too many gaps lie before it. */
static bool ooo_find(const struct weir_tcp *tcp, weir_seq seq, struct weir_pkt **before,
                     struct weir_pkt **run)
{
    int steps = 0;

    *before = NULL;
    *run = tcp->ooo;
    while (*run && weir_seq_lt((*run)->range.run_end, seq)) {
        if (++steps > REASS_RUNS_MAX)
            return false;
        *before = *run;
        *run = pkt_next((*run)->range.run_last);
    }
    return true;
}

/* Takes out the run, all of whose bytes have come again; returns the one behind it. */
static struct weir_pkt *ooo_drop_run(struct weir_tcp *tcp, struct weir_pkt *run)
{
    struct weir_pkt *next = pkt_next(run->range.run_last);

    weir_tcp_duplicate(tcp, run->range.seq, run->range.run_end);
    run->range.run_last->buf.next = NULL;
    for (const struct weir_pkt *pkt = run; pkt; pkt = pkt_next(pkt))
        rx_held_less(tcp, pkt);
    list_free(run);
    return next;
}

/* The runs from `next` on that the packet reaches: those it covers go, the last one that sticks
 * out behind it keeps its bytes and joins `head`'s run.  Returns what follows in the list. */
static struct weir_pkt *ooo_absorb(struct weir_tcp *tcp, struct weir_pkt *head,
                                   struct weir_pkt *pkt, struct weir_pkt *next)
{
    while (next && weir_seq_le(next->range.seq, pkt->range.end)) {
        if (weir_seq_lt(pkt->range.end, next->range.run_end)) {
            if (next->range.seq != pkt->range.end)
                weir_tcp_duplicate(tcp, next->range.seq, pkt->range.end);
            trim_right(pkt, next->range.seq);
            head->range.run_end = next->range.run_end;
            head->range.run_last = next->range.run_last;
            return next;
        }
        next = ooo_drop_run(tcp, next);
    }
    head->range.run_end = pkt->range.end;
    head->range.run_last = pkt;
    return next;
}

/* Behind the last packet of `before` (NULL: at the front) comes pkt, then `next`. */
static void ooo_link(struct weir_tcp *tcp, struct weir_pkt *before, struct weir_pkt *pkt,
                     struct weir_pkt *next)
{
    if (before)
        before->buf.next = &pkt->buf;
    else
        tcp->ooo = pkt;
    pkt->buf.next = next ? &next->buf : NULL;
    tcp->rcv_held += weir_pkt_held(pkt);
}

/* Behind the run's end, which lies in or at the packet. */
static void ooo_extend(struct weir_tcp *tcp, struct weir_pkt *run, struct weir_pkt *pkt)
{
    struct weir_pkt *last = run->range.run_last, *next = pkt_next(last);

    if (pkt->range.seq != run->range.run_end) {
        weir_tcp_duplicate(tcp, pkt->range.seq, run->range.run_end);
        trim_left(pkt, run->range.run_end);
    }
    next = ooo_absorb(tcp, run, pkt, next);
    ooo_link(tcp, last, pkt, next);
}

static void ooo_new_run(struct weir_tcp *tcp, struct weir_pkt *before, struct weir_pkt *pkt,
                        struct weir_pkt *next)
{
    next = ooo_absorb(tcp, pkt, pkt, next);
    ooo_link(tcp, before ? before->range.run_last : NULL, pkt, next);
}

static void ooo_insert(struct weir_tcp *tcp, struct weir_pkt *pkt)
{
    struct weir_native *native = weir_native_of(tcp->conn.stack);
    struct weir_pkt *before, *run;

    native->stats.tcp_ooo++;
    if ((uint64_t)tcp->rcv_held + weir_pkt_held(pkt) > 2 * (uint64_t)tcp->rcv_buf ||
        !ooo_find(tcp, pkt->range.seq, &before, &run)) {
        native->stats.tcp_ooo_dropped++;
        weir_pkt_free(pkt);
    } else if (!run || weir_seq_lt(pkt->range.seq, run->range.seq)) {
        pkt->range.stamp = ++native->tcp->ooo_stamp;
        ooo_new_run(tcp, before, pkt, run);
    } else if (weir_seq_le(pkt->range.end, run->range.run_end)) {
        run->range.stamp = ++native->tcp->ooo_stamp;
        weir_tcp_duplicate(tcp, pkt->range.seq, pkt->range.end);
        weir_pkt_free(pkt);
    } else {
        run->range.stamp = ++native->tcp->ooo_stamp;
        ooo_extend(tcp, run, pkt);
    }
}

/* The first packet of the list, whose bytes follow the queue's (or are there already). */
static bool ooo_deliver(struct weir_tcp *tcp, struct weir_pkt *pkt)
{
    bool fin = pkt->range.fin;

    rx_held_less(tcp, pkt);
    if (weir_seq_le(pkt->range.end, tcp->rcv_nxt)) {
        weir_pkt_free(pkt);
        return false;
    }
    if (weir_seq_lt(pkt->range.seq, tcp->rcv_nxt))
        trim_left(pkt, tcp->rcv_nxt);
    rx_append(tcp, pkt);
    return fin;
}

/* Moves the runs that rcv_nxt has reached to the queue; true: with a FIN. */
static bool ooo_drain(struct weir_tcp *tcp)
{
    bool fin = false;

    while (tcp->ooo && !fin && weir_seq_le(tcp->ooo->range.seq, tcp->rcv_nxt)) {
        struct weir_pkt *pkt = tcp->ooo, *last = pkt->range.run_last;

        for (struct weir_pkt *next; pkt && !fin; pkt = next) {
            next = pkt == last ? NULL : pkt_next(pkt);
            tcp->ooo = pkt_next(pkt);
            fin = ooo_deliver(tcp, pkt);
        }
    }
    return fin;
}

/* --- a segment --- */

/* From the parsed header to a place among the bytes; cut to what is new and in the window.  False:
 * nothing is left. */
static bool segment_trim(struct weir_tcp *tcp, struct weir_pkt *pkt)
{
    struct weir_pkt_rx rx = pkt->rx;
    bool fin = rx.tcp_flags & WEIR_FIN;

    pkt->buf.data += rx.off;
    pkt->buf.len = rx.len;
    pkt->range = (struct weir_pkt_range){
        .seq = rx.seq, .end = rx.seq + rx.len + fin, .fin = fin, .run_last = pkt
    };
    pkt->range.run_end = pkt->range.end;
    if (weir_seq_lt(rx.seq, tcp->rcv_nxt)) {
        bool old = weir_seq_le(pkt->range.end, tcp->rcv_nxt);

        weir_tcp_duplicate(tcp, rx.seq, old ? pkt->range.end : tcp->rcv_nxt);
        if (old)
            return false;
        trim_left(pkt, tcp->rcv_nxt);
    }
    /* A FIN may stand at the edge itself: it takes no room. */
    if (weir_seq_lt(tcp->rcv_adv, pkt->range.end - fin)) {
        if (weir_seq_le(tcp->rcv_adv, pkt->range.seq))
            return false;
        trim_right(pkt, tcp->rcv_adv);
    }
    pkt->range.run_end = pkt->range.end;
    return pkt->range.seq != pkt->range.end;
}

/* The device has merged at least two full ones of the peer's. */
static bool segment_is_merged(const struct weir_pkt *pkt, uint32_t len)
{
    return (pkt->flags & WEIR_PKT_GSO) && pkt->gso_size > 0 && len >= 2U * pkt->gso_size;
}

/* Whether there are packets enough to keep this one; else it is as if it had been lost.  One that
 * is not of the shard's own takes nothing from the others. */
static bool receive_has_room(const struct weir_tcp *tcp, const struct weir_pkt *pkt, bool in_order)
{
    struct weir_native *native = weir_native_of(tcp->conn.stack);

    if (weir_likely(pkt->buf.origin != &native->pkts || !weir_pkts_scarce(&native->pkts, 6)))
        return true;
    if (in_order && (tcp->conn.rx || (!tcp->rx_head && !weir_pkts_scarce(&native->pkts, 7))))
        return true;
    native->stats.tcp_no_memory++;
    return false;
}

static bool receive_in_order(struct weir_tcp *tcp, struct weir_pkt *pkt)
{
    bool fin = pkt->range.fin, filled = tcp->ooo, merged = segment_is_merged(pkt, pkt->buf.len);
    uint32_t len = pkt->buf.len;

    rx_append(tcp, pkt);
    if (filled && !fin)
        fin = ooo_drain(tcp);
    if (fin) {
        tcp->rcv_nxt++;
        tcp->flags |= WEIR_TCP_FIN_RECEIVED;
        weir_tcp_ooo_free(tcp); /* what would lie behind the end */
    }
    if (filled || fin || merged)
        weir_tcp_ack_now(tcp);
    else
        weir_tcp_ack_data(tcp, len);
    return fin;
}

bool weir_tcp_receive(struct weir_tcp *tcp, struct weir_pkt *pkt)
{
    if (!segment_trim(tcp, pkt)) {
        weir_pkt_free(pkt);
        weir_tcp_ack_now(tcp);
        return false;
    }
    if (pkt->buf.len > 0 && !receive_has_room(tcp, pkt, pkt->range.seq == tcp->rcv_nxt)) {
        weir_pkt_free(pkt);
        return false;
    }
    if (pkt->range.seq == tcp->rcv_nxt)
        return receive_in_order(tcp, pkt);
    ooo_insert(tcp, pkt);
    weir_tcp_ack_now(tcp);
    return false;
}

void weir_tcp_receive_next(struct weir_tcp *tcp, struct weir_pkt *pkt)
{
    uint32_t len = pkt->rx.len;
    bool merged = segment_is_merged(pkt, len);

    if (weir_unlikely(!receive_has_room(tcp, pkt, true))) {
        weir_pkt_free(pkt);
        return;
    }
    pkt->buf.data += pkt->rx.off;
    pkt->buf.len = len;
    rx_append(tcp, pkt);
    if (weir_unlikely(merged))
        weir_tcp_ack_now(tcp);
    else
        weir_tcp_ack_data(tcp, len);
}
