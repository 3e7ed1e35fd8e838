/* tcp_send.h - what the files of TCP's send side call each other by; nobody else includes it.
 *
 * A segment of the queue is a packet with the payload at its end.  Those before tx_next were sent
 * and are neither re-cut nor joined, except when they are too long for the path or acknowledged in
 * part.  snd_nxt never moves back: what is to be sent again is marked WEIR_SEG_LOST instead, and
 * `lost` counts it until it is sent.
 *
 * Without SACK `sacked` is a guess: one segment for each duplicate ACK, as RFC 6582 inflates the
 * window. */
#ifndef WEIR_NET_NATIVE_TCP_SEND_H
#define WEIR_NET_NATIVE_TCP_SEND_H

#include "net/native/tcp.h"

enum {
    WEIR_TCP_DUP_THRESH = 3,
    WEIR_TCP_SYN_RETRIES = 6,
    WEIR_TCP_SYN_ACK_RETRIES = 5,
    WEIR_TCP_RETRIES = 15, /* R2 (RFC 9293 3.8.3): ten minutes and more */
    WEIR_TCP_KEEPALIVE_PROBES = 9,
    WEIR_TCP_SND_BUF = 65536,       /* to begin with */
    WEIR_TCP_INFINITE = 0x7fffffff, /* ssthresh to begin with */

    WEIR_TCP_RTO_FIRST_US = 1000000, /* RFC 6298 2.1 */
    WEIR_TCP_RTO_MIN_US = 200000,
    WEIR_TCP_RTO_MAX_US = 60000000,
    WEIR_TCP_RTO_SYN_LOST_US = 3000000, /* RFC 6298 5.7 */
    WEIR_TCP_DELAYED_ACK_US = 200000,   /* RFC 8985 7.2: WCDelAckT, the peer's worst */
};

#define WEIR_TCP_KEEPALIVE_IDLE WEIR_SEC(7200)
#define WEIR_TCP_KEEPALIVE_INTERVAL WEIR_SEC(75)

/* What one ACK has brought. */
struct weir_tcp_news {
    uint32_t flight;    /* in flight before it */
    uint32_t acked;     /* bytes newly acknowledged by its ACK field */
    uint32_t sacked;    /* bytes newly acknowledged by its SACK option */
    bool dsack;         /* it reports a duplicate (RFC 2883) */
    bool progress;      /* snd_una has moved */
    bool window;        /* snd_wnd has changed */
    bool retransmitted; /* among what is acknowledged is something that was sent twice */
    weir_seq fack;      /* RACK.fack before it: one ACK's blocks come in any order */
    weir_time sent_at;  /* when the first that is acknowledged now was sent; 0 */
};

static inline struct weir_pkt *weir_seg_next(const struct weir_pkt *seg)
{
    return seg->buf.next ? weir_pkt_of(seg->buf.next) : NULL;
}

/* Its payload. */
static inline uint8_t *weir_seg_data(const struct weir_pkt *seg)
{
    return seg->buf.data + (seg->buf.len - seg->seg.len);
}

/* Without the headers that it was sent with; nobody else may have it. */
static inline void weir_seg_bare(struct weir_pkt *seg)
{
    seg->buf.data += seg->buf.len - seg->seg.len;
    seg->buf.len = seg->seg.len;
    seg->flags = 0;
}

static inline weir_seq weir_seg_end(const struct weir_pkt *seg)
{
    return seg->seg.seq + seg->seg.len;
}

static inline struct weir_native *weir_tcp_native(const struct weir_tcp *tcp)
{
    return weir_native_of(tcp->conn.stack);
}

static inline weir_time weir_tcp_now(const struct weir_tcp *tcp)
{
    return weir_native_now(weir_tcp_native(tcp));
}

static inline weir_tick weir_tcp_in_us(const struct weir_tcp *tcp, uint32_t us)
{
    return weir_tick_at(weir_tcp_now(tcp) + WEIR_US((weir_time)us));
}

/* Our FIN has gone out and is not acknowledged. */
static inline bool weir_tcp_fin_out(const struct weir_tcp *tcp)
{
    return (tcp->flags & WEIR_TCP_FIN_SENT) && weir_seq_le(tcp->snd_una, tcp->snd_end);
}

/* Our FIN is to go out, as soon as what is before it has. */
static inline bool weir_tcp_fin_due(const struct weir_tcp *tcp)
{
    return (tcp->flags & (WEIR_TCP_FIN_QUEUED | WEIR_TCP_FIN_SENT)) == WEIR_TCP_FIN_QUEUED;
}

/* Bytes that were sent and are not acknowledged; RFC 5681's FlightSize. */
static inline uint32_t weir_tcp_outstanding(const struct weir_tcp *tcp)
{
    return tcp->snd_nxt - tcp->snd_una - weir_tcp_fin_out(tcp);
}

/* Of those, the bytes that are still on their way, as far as we know; RFC 6675's pipe. */
static inline uint32_t weir_tcp_in_flight(const struct weir_tcp *tcp)
{
    uint32_t sent = weir_tcp_outstanding(tcp), gone = tcp->sacked + tcp->lost;

    return sent > gone ? sent - gone : 0;
}

static inline const struct weir_tcp_cc *weir_tcp_cc_of(const struct weir_tcp *tcp)
{
    return weir_tcp_ccs[tcp->cc];
}

/* --- tcp_queue.c --- */

/* Cuts `seg` so that it keeps `len` bytes and the rest follows as a segment of its own.  Returns
 * the segment, which stands in another packet if a device has the first; NULL: no memory, it is as
 * long as it was. */
struct weir_pkt *weir_tcp_seg_split(struct weir_tcp *tcp, struct weir_pkt *seg, uint32_t len);

/* Takes what is acknowledged by `ack` off the queue; tells tcp_rack.c about each segment. */
void weir_tcp_queue_acked(struct weir_tcp *tcp, weir_seq ack, struct weir_tcp_news *news);

/* --- tcp_build.c --- */

/* The header in front of `pkt`, which holds the payload and its headroom, and off it goes. */
void weir_tcp_send_pkt(struct weir_tcp *tcp, struct weir_pkt *pkt, weir_seq seq, uint8_t tcp_flags,
                       uint32_t len, uint32_t sum);

/* The MSS for what the peer can take, the path and the options. */
void weir_tcp_mss_set(struct weir_tcp *tcp);

/* --- tcp_output.c --- */

/* Sends a segment of the queue, for the first time or again; false: no memory. */
bool weir_tcp_transmit(struct weir_tcp *tcp, struct weir_pkt *seg);

/* The first that is to be sent again, or NULL. */
struct weir_pkt *weir_tcp_first_lost(const struct weir_tcp *tcp);

/* RFC 9293 3.8.6.1: one byte, whatever the window. */
void weir_tcp_window_probe(struct weir_tcp *tcp);

uint32_t weir_tcp_initial_window(const struct weir_tcp *tcp, unsigned syn_retries);

/* --- tcp_sack.c --- */

/* The SACK option of an ACK, into the scoreboard. */
void weir_tcp_sack(struct weir_tcp *tcp, const struct weir_pkt *pkt, struct weir_tcp_news *news);

/* Marks a segment that was sent. */
void weir_tcp_mark_lost(struct weir_tcp *tcp, struct weir_pkt *seg);
void weir_tcp_mark_all_lost(struct weir_tcp *tcp); /* RFC 6675 5.1 */
void weir_tcp_unmark_lost(struct weir_tcp *tcp);

/* --- tcp_rack.c --- */

/* A segment was delivered: newly acknowledged or SACKed. */
void weir_tcp_rack_delivered(struct weir_tcp *tcp, const struct weir_pkt *seg,
                             const struct weir_tcp_news *news);

/* Marks what must be lost; sets probe_at when that will be known later.  Returns whether it has
 * marked any. */
bool weir_tcp_rack_detect(struct weir_tcp *tcp);

void weir_tcp_tlp_schedule(struct weir_tcp *tcp);
void weir_tcp_tlp_acked(struct weir_tcp *tcp, const struct weir_pkt *pkt,
                        const struct weir_tcp_news *news);

/* probe_at has come. */
void weir_tcp_probe_fire(struct weir_tcp *tcp);

/* --- tcp_ack.c --- */

/* The SYN of ours went out, for the first time or again; it was acknowledged. */
void weir_tcp_syn_sent(struct weir_tcp *tcp);
void weir_tcp_syn_acked(struct weir_tcp *tcp);

void weir_tcp_enter_recovery(struct weir_tcp *tcp);
void weir_tcp_enter_loss(struct weir_tcp *tcp); /* the retransmission timer */

/* --- tcp_rtt.c --- */

void weir_tcp_rtt_sample(struct weir_tcp *tcp, uint32_t rtt_us);
void weir_tcp_rto_backoff(struct weir_tcp *tcp);
void weir_tcp_rto_reset(struct weir_tcp *tcp); /* no back-off */

/* --- tcp_timer.c --- */

/* Sets or ends the retransmission or persist timer, as what is outstanding and queued demands. */
void weir_tcp_rto_update(struct weir_tcp *tcp);

/* --- tcp_cc_reno.c --- */

/* Slow start (RFC 5681 3.1): grows cwnd up to ssthresh; returns the bytes that are left over. */
uint32_t weir_tcp_slow_start(struct weir_tcp *tcp, uint32_t acked);

#endif
