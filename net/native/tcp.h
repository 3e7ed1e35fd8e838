/* tcp.h - one TCP connection, and what its parts call each other by.
 *
 * RFC 9293 with window scaling, timestamps and PAWS (7323), SACK (2018, 6675), RACK-TLP (8985),
 * RTO (6298), NewReno (6582), CUBIC (9438), IW10 (6928), 5961, 6528.
 *
 *     tcp_input.c    a segment, one function per step of RFC 9293 3.10.7      (receive side)
 *     tcp_listen.c   passive open: SYN queue, cookies; isn.c                  (receive side)
 *     tcp_reass.c    what came out of order; the receive queue                (receive side)
 *     tcp_window.c   what we advertise: silly window, auto-tuning, delayed ACK (receive side)
 *     tcp_wait.c     TIME-WAIT, in a struct of its own                        (receive side)
 *     tcp_reply.c    RST and challenge ACK for segments without a connection  (receive side)
 *     tcp_open.c     active open, close, abort, states                        (receive side)
 *     tcp_queue.c    the send queue: from user memory into segments           (send side)
 *     tcp_output.c   which segment may go now, and building it                (send side)
 *     tcp_ack.c      what an ACK means for the queue: SACK, RACK, recovery     (send side)
 *     tcp_rtt.c tcp_timer.c tcp_cc_reno.c tcp_cc_cubic.c                      (send side)
 *
 * The send queue is a list of packets of at most one MSS, filled with a fused copy and checksum;
 * a packet is sent by reference, with the header written into its headroom, and stays until it is
 * acknowledged.  To be sent again while the device has not let go of it (refs > 1) it is copied.
 * An idle connection owns no packet. */
#ifndef WEIR_NET_NATIVE_TCP_H
#define WEIR_NET_NATIVE_TCP_H

#include <weir/time.h>
#include "net/native/native.h"

/* --- sequence numbers: modulo 2^32 --- */

typedef uint32_t weir_seq;

static inline bool weir_seq_lt(weir_seq a, weir_seq b)
{
    return (int32_t)(a - b) < 0;
}

static inline bool weir_seq_le(weir_seq a, weir_seq b)
{
    return (int32_t)(a - b) <= 0;
}

static inline weir_seq weir_seq_max(weir_seq a, weir_seq b)
{
    return weir_seq_lt(a, b) ? b : a;
}

/* Deadlines of a connection: in ticks of the timer wheel (65.5 us) modulo 2^32, 78 hours; 0: off.
 * A deadline that falls on 0 is moved to 1. */
typedef uint32_t weir_tick;

static inline weir_tick weir_tick_at(weir_time when)
{
    weir_tick tick = (weir_tick)((uint64_t)(when + WEIR_TICK - 1) >> WEIR_TICK_SHIFT);

    return tick + (tick == 0);
}

static inline bool weir_tick_due(weir_tick at, weir_time now)
{
    return at != 0 && (int32_t)(at - (weir_tick)((uint64_t)now >> WEIR_TICK_SHIFT)) <= 0;
}

enum { WEIR_FIN = 1, WEIR_SYN = 2, WEIR_RST = 4, WEIR_PSH = 8, WEIR_ACK = 16, WEIR_URG = 32 };

enum weir_tcp_state {
    WEIR_TCP_CLOSED,
    WEIR_TCP_SYN_SENT,
    WEIR_TCP_SYN_RECEIVED,
    WEIR_TCP_ESTABLISHED,
    WEIR_TCP_FIN_WAIT_1,
    WEIR_TCP_FIN_WAIT_2,
    WEIR_TCP_CLOSE_WAIT,
    WEIR_TCP_CLOSING,
    WEIR_TCP_LAST_ACK,
    WEIR_TCP_TIME_WAIT, /* only on its way into a weir_tcp_wait */
};

enum weir_seg_flag { /* weir_pkt_seg.flags */
                     WEIR_SEG_SACKED = 1,
                     WEIR_SEG_LOST = 2,
                     WEIR_SEG_RETRANS = 4, /* sent again and neither acknowledged nor lost again */
                     WEIR_SEG_PUSH = 8,    /* ends what the user gave at once */
};

enum weir_tcp_flag {                             /* weir_tcp.flags */
                     WEIR_TCP_ACK_NOW = 1,       /* an ACK is owed at the next output */
                     WEIR_TCP_ACK_DELAYED = 2,   /* ack_at is set: an ACK is owed by then */
                     WEIR_TCP_QUEUED = 4,        /* is in native->output */
                     WEIR_TCP_NODELAY = 8,       /* Nagle off */
                     WEIR_TCP_FIN_QUEUED = 16,   /* we end after the send queue */
                     WEIR_TCP_FIN_SENT = 32,     /* snd_nxt has passed it */
                     WEIR_TCP_FIN_RECEIVED = 64, /* rcv_nxt has passed the peer's */
                     WEIR_TCP_SACK = 128,        /* both sides have it */
                     WEIR_TCP_TS = 256,          /* both sides have timestamps */
                     WEIR_TCP_USER = 512, /* a user has it: accepted or connected, not closed */
                     WEIR_TCP_PASSIVE = 1024,
                     WEIR_TCP_KEEPALIVE = 2048,
                     WEIR_TCP_PROBING =
                         4096, /* the persist timer runs instead of the retransmission timer */
                     WEIR_TCP_ACCEPTED = 8192, /* in the accept queue or beyond */
                     WEIR_TCP_IN_EVENTS =
                         16384, /* input is on the stack with it: freeing waits until it is done */
                     WEIR_TCP_DETOURED =
                         32768, /* its hash belongs to another shard, which has to be told */
                     WEIR_TCP_TOLD = 131072,    /* the user has been told `error` */
                     WEIR_TCP_IN_ACKS = 262144, /* in native->acks */
                     WEIR_TCP_CC = 65536,       /* the first byte was queued: cc_state is in use */
};

enum weir_tcp_recovery { WEIR_TCP_OPEN, WEIR_TCP_RECOVERY, WEIR_TCP_LOSS };

struct weir_tcp_cc {
    const char *name;
    void (*init)(struct weir_tcp *tcp);
    /* `acked` bytes newly acknowledged, not in recovery. */
    void (*acked)(struct weir_tcp *tcp, uint32_t acked);
    /* A loss: sets ssthresh (and whatever it remembers). */
    void (*lost)(struct weir_tcp *tcp);
    /* The retransmission timer. */
    void (*timeout)(struct weir_tcp *tcp);
    /* The loss was none: takes the last `lost` or `timeout` back. */
    void (*undo)(struct weir_tcp *tcp);
};

extern const struct weir_tcp_cc weir_tcp_reno, weir_tcp_cubic;
extern const struct weir_tcp_cc *const weir_tcp_ccs[2]; /* WEIR_CC_CUBIC, WEIR_CC_RENO */
enum { WEIR_CC_CUBIC, WEIR_CC_RENO };

struct weir_tcp {
    struct weir_conn conn; /* the public head: stack, rx, tx */
    struct weir_flow flow;
    uint8_t state; /* enum weir_tcp_state */
    uint8_t snd_wscale, rcv_wscale;
    uint8_t retries; /* of the timer that runs, since the last progress */
    uint32_t flags;  /* enum weir_tcp_flag */
    struct weir_tcp *output_next;

    /* --- receive side --- */
    weir_seq irs, rcv_nxt;
    weir_seq rcv_adv;  /* right edge of the window as last advertised: never moves back */
    uint32_t rcv_buf;  /* bytes the receive queue may hold; auto-tuned */
    uint32_t rcv_used; /* bytes in the receive queue, in order: weir_tcp_consumed() counts down */
    uint32_t rcv_held; /* memory that the queue and what is out of order pin: weir_pkt_held() */
    uint32_t ts_recent, ts_offset; /* RFC 7323; ours is shard time in ms + offset */
    uint32_t ts_recent_at;         /* shard time in ms */
    weir_seq last_ack_sent;
    uint32_t rcv_unacked;  /* bytes since the last ACK went out */
    weir_seq rcv_tuned;    /* auto-tuning: what the user had received when this round trip began */
    uint32_t rcv_tuned_at; /* ... and when that was: weir_tcp_ts() */
    int32_t error;         /* what receives and sends say once it has ended; 0 */
    struct weir_pkt *rx_head, *rx_tail; /* in order, not yet received by the user: by buf.next */
    struct weir_pkt *ooo;               /* sorted, without overlaps: by buf.next, pkt->range */

    /* --- send side --- */
    weir_seq iss, snd_una, snd_nxt;
    weir_seq snd_max; /* the highest snd_nxt ever */
    weir_seq snd_wl1, snd_wl2;
    weir_seq snd_end; /* behind the last byte queued; the FIN, if any, stands there */
    uint32_t snd_wnd, snd_wnd_max;
    uint32_t snd_buf;   /* bytes that may be queued */
    weir_seq rack_fack; /* RACK.fack: behind the highest byte known to be there */
    weir_seq recover;   /* recovery ends when this is acknowledged; TLP.end_seq outside of it */
    struct weir_pkt *tx_head, *tx_tail; /* from snd_una on, by buf.next and seg.prev */
    struct weir_pkt *tx_next;           /* the first never sent, or NULL */
    uint16_t mss;                       /* payload bytes per segment, options deducted */
    uint16_t mss_peer;
    uint32_t cwnd, ssthresh; /* bytes */
    uint32_t retrans_ts;     /* weir_tcp_ts() of the first retransmission in this recovery; 0 */
    union {
        uint32_t cc_state[10]; /* the algorithm's own, with what undo needs; from cc->init() on */
        struct {               /* before that: until it is accepted nothing is sent but ACKs */
            struct weir_native_listener *listener;
            struct weir_link queued; /* in its half or accepted */
        };
    };
    uint32_t sacked, lost; /* bytes; lost: and not sent again.  See weir_tcp_in_flight() */
    uint8_t recovery;      /* enum weir_tcp_recovery */
    uint8_t dup_acks;
    uint8_t tlp_out;
    uint8_t reordering;                              /* RACK's factor */
    uint8_t cc;                                      /* index into weir_tcp_ccs */
    uint16_t tx_count;                               /* packets in the send queue */
    uint32_t srtt_us, rttvar_us, rto_us, min_rtt_us; /* srtt 0: no sample yet */
    weir_time rack_sent_at;                          /* RACK.xmit_ts */
    weir_seq rack_end;
    uint32_t rack_rtt_us;

    /* --- timers: one alarm; what it is for stands in the times --- */
    struct weir_alarm alarm; /* armed at or before the first of these; looks again when it fires */
    weir_tick rto_at;        /* retransmission or persist */
    weir_tick probe_at;      /* RACK's reordering timer or TLP */
    weir_tick ack_at;        /* the delayed ACK */
    weir_tick idle_at;       /* keep-alive; the end of SYN-RECEIVED; of an orphan in FIN-WAIT-2 */
    weir_tick heard_at;      /* the last segment of the peer; no timer */
    weir_tick refuse_at;     /* what is outside the window is answered from then on; no timer */

    struct weir_path path;
};

_Static_assert(sizeof(struct weir_tcp) <= 480, "idle connections cost this and a place in a table");

/* Our clock for timestamps (RFC 7323 5.4): milliseconds, with an offset per connection. */
static inline uint32_t weir_tcp_ts(const struct weir_tcp *tcp)
{
    return (uint32_t)(weir_native_now(weir_native_of(tcp->conn.stack)) / WEIR_MS(1)) +
           tcp->ts_offset;
}

/* The number of a segment without data: the next one.  When the peer's window has shrunk that would
 * not be acceptable to him, nor the ACK in it, for want of which he might never go on: then the
 * window's edge (RFC 9293 3.8.6).  Less than a unit of his scale is rounding (RFC 7323 2.4) as long
 * as nothing is wrong. */
static inline weir_seq weir_tcp_bare_seq(const struct weir_tcp *tcp)
{
    weir_seq edge = tcp->snd_una + tcp->snd_wnd;
    int32_t beyond = (int32_t)(tcp->snd_nxt - edge);

    if (weir_likely(beyond <= 0) || tcp->state < WEIR_TCP_ESTABLISHED)
        return tcp->snd_nxt;
    if (beyond >= 1 << tcp->snd_wscale || (tcp->flags & WEIR_TCP_FIN_SENT) || tcp->snd_wnd == 0 ||
        tcp->retries > 0)
        return edge;
    return tcp->snd_nxt;
}

/* What a packet in a receive queue pins of memory: its room, or what it describes. */
static inline uint32_t weir_pkt_held(const struct weir_pkt *pkt)
{
    uint32_t room = WEIR_PKT_HEADROOM + WEIR_PKT_ROOM;

    return (uint32_t)sizeof *pkt + (pkt->buf.len > room ? pkt->buf.len : room);
}

/* Takes the first packet off the receive queue, for the user; NULL: there is none.  The caller
 * says weir_tcp_consumed() for its bytes (for a part of them earlier, having advanced buf.data and
 * buf.len while it was still the first). */
static inline struct weir_pkt *weir_tcp_rx_take(struct weir_tcp *tcp)
{
    struct weir_pkt *pkt = tcp->rx_head;

    if (!pkt)
        return NULL;
    tcp->rx_head = pkt->buf.next ? weir_pkt_of(pkt->buf.next) : NULL;
    if (!tcp->rx_head)
        tcp->rx_tail = NULL;
    pkt->buf.next = NULL;
    tcp->rcv_held -= weir_pkt_held(pkt) < tcp->rcv_held ? weir_pkt_held(pkt) : tcp->rcv_held;
    return pkt;
}

/* --- what all connections of a shard share --- */

struct weir_tcp_layer {
    uint64_t secret[2]; /* of ISNs, timestamp offsets and cookies */
    uint8_t cc;         /* index into weir_tcp_ccs */
    bool keepalive;
    uint8_t rcv_wscale; /* for rcvbuf */
    uint32_t rcvbuf, sndbuf;
    uint32_t half_open, half_open_max; /* in SYN-RECEIVED, of all listeners */
    weir_time cookies_until;           /* cookies of ours may come back until then */
    int64_t challenge_second;          /* RFC 5961 7: the budget is of this second */
    uint32_t challenge_left;
    uint32_t ooo_stamp;           /* counts what comes out of order */
    const struct weir_tcp *dsack; /* RFC 2883: whose next ACK reports this range; NULL: nobody's */
    weir_seq dsack_begin, dsack_end;
};

/* --- receive side: entries --- */

int weir_tcp_open(struct weir_native *native, const struct weir_native_config *config);
void weir_tcp_close_layer(struct weir_native *native);

/* Fresh connection in CLOSED with its flow in the table; or NULL: no memory.  Its alarm calls
 * weir_tcp_fire().  tcp_open.c */
struct weir_tcp *weir_tcp_new(struct weir_native *native, const struct weir_flow_key *key,
                              uint32_t hash);

/* SYN-SENT, and the SYN goes out.  0, or a negated errno (no route, ...): then it is out of the
 * table again and the caller frees it. */
int weir_tcp_connect(struct weir_tcp *tcp);

/* The user closes: FIN after the queue; RST when bytes were not received (RFC 2525 2.17) or
 * `reset`. The struct stays until TCP is done with it, and is freed then.  WEIR_TCP_USER is
 * dropped. */
void weir_tcp_user_close(struct weir_tcp *tcp, bool reset);
int weir_tcp_user_shutdown(struct weir_tcp *tcp); /* FIN after the queue */

/* Ends it now with this error (0: a clean end): tells the user, empties the queues, frees it when
 * no user has it. */
void weir_tcp_end(struct weir_tcp *tcp, int error);

/* Enters TIME-WAIT: into a struct of its own; then weir_tcp_end(tcp, 0). */
void weir_tcp_time_wait(struct weir_tcp *tcp);

/* Frees the struct; it is in no list, table, timer. */
void weir_tcp_free(struct weir_tcp *tcp);

/* Frees it when it has ended (CLOSED) and nobody has it any more: no user, no input that is under
 * way, not in native->output.  Whoever clears one of those flags calls this. */
static inline void weir_tcp_release(struct weir_tcp *tcp)
{
    if (tcp->state == WEIR_TCP_CLOSED &&
        !(tcp->flags & (WEIR_TCP_USER | WEIR_TCP_IN_EVENTS | WEIR_TCP_QUEUED)))
        weir_tcp_free(tcp);
}

/* The user has received `count` bytes from rx_head (and taken them off): perhaps a window update.
 */
void weir_tcp_consumed(struct weir_tcp *tcp, uint32_t count);

/* What to put into the window field of the next segment (scaled), and SACK blocks behind it.
 * Called by output only; moves rcv_adv and last_ack_sent, ends the delayed ACK. */
uint16_t weir_tcp_window_field(struct weir_tcp *tcp, bool syn);
unsigned weir_tcp_sack_blocks(const struct weir_tcp *tcp, weir_seq (*block)[2], unsigned max);

/* --- send side: entries --- */

/* Sets what the send side needs at first: called when mss_peer, options, iss, path are known: with
 * the SYN that came (passive, before it is in a listener's queue), with the SYN|ACK (active).  Not
 * snd_una, snd_nxt, snd_max, snd_end: those the receive side has set when it chose iss (a SYN
 * counts as sent from then on: snd_una == iss, the others iss + 1). */
void weir_tcp_send_init(struct weir_tcp *tcp);

/* Takes bytes from the user into the queue, as many as there is room for; returns how many.
 * `push`: these are the last of what the user gives at once. */
size_t weir_tcp_push(struct weir_tcp *tcp, const void *data, size_t len, bool push);
uint32_t weir_tcp_send_room(const struct weir_tcp *tcp);

/* The connection has something to send, or an ACK: it has its turn at the end of the burst. */
static inline void weir_tcp_output_later(struct weir_tcp *tcp)
{
    struct weir_native *native = weir_native_of(tcp->conn.stack);

    if (tcp->flags & WEIR_TCP_QUEUED)
        return;
    tcp->flags |= WEIR_TCP_QUEUED;
    tcp->output_next = NULL;
    if (native->output)
        native->output_last->output_next = tcp;
    else
        native->output = tcp;
    native->output_last = tcp;
}

/* Sends what may go now: data, FIN, an ACK that is owed; arms the timers. */
void weir_tcp_output(struct weir_tcp *tcp);

/* All that are queued; bounded by what was queued at the call: true when some are queued again.
 * Called by the driver. */
bool weir_tcp_output_all(struct weir_native *native);

/* Takes it out of native->output: before it is freed. */
void weir_tcp_output_forget(struct weir_tcp *tcp);

/* One segment without data, now: SYN, SYN|ACK, RST, a bare ACK. */
void weir_tcp_send_control(struct weir_tcp *tcp, weir_seq seq, uint8_t tcp_flags);

/* Step 5 for connections that are synchronised: seg.ack is acceptable or a duplicate.  Moves
 * snd_una, frees what is acknowledged, samples the RTT, detects losses, updates snd_wnd (SND.WL1,
 * WL2), and asks for output.  Returns false when ack is beyond snd_max (the caller sends an ACK
 * and drops).  The FIN of ours is acknowledged when it makes snd_una == snd_end + 1. */
bool weir_tcp_acked(struct weir_tcp *tcp, const struct weir_pkt *pkt);

/* ICMP: the path's MTU has shrunk, seq was in flight.  */
void weir_tcp_mtu_changed(struct weir_tcp *tcp);

/* The alarm's callback. */
void weir_tcp_fire(struct weir_alarm *alarm);

enum { WEIR_TCP_ARM_EARLY = 763 }; /* ticks: 50 ms */

/* Whether the alarm is armed at or before `at`; 0 is no time. */
static inline bool weir_tcp_armed_by(const struct weir_tcp *tcp, weir_tick at)
{
    return at == 0 || (int32_t)((weir_tick)(tcp->alarm.when >> WEIR_TICK_SHIFT) - at) <= 0;
}

/* Whether it is much before the retransmission timer: moved now, while the connection is in the
 * cache, it will not have to fire for nothing when it is not. */
static inline bool weir_tcp_armed_early(const struct weir_tcp *tcp)
{
    return tcp->rto_at != 0 &&
           (int32_t)(tcp->rto_at - (weir_tick)(tcp->alarm.when >> WEIR_TICK_SHIFT)) >
               WEIR_TCP_ARM_EARLY;
}

/* Arms the alarm for the earliest of the four times, unless it is armed not much before that. */
void weir_tcp_arm_first(struct weir_tcp *tcp);

static inline void weir_tcp_arm(struct weir_tcp *tcp)
{
    if (weir_unlikely(!weir_wheel_armed(&tcp->alarm) ||
                      (tcp->idle_at == 0 && (tcp->flags & WEIR_TCP_KEEPALIVE)) ||
                      !weir_tcp_armed_by(tcp, tcp->rto_at) || weir_tcp_armed_early(tcp) ||
                      !weir_tcp_armed_by(tcp, tcp->probe_at) ||
                      !weir_tcp_armed_by(tcp, tcp->ack_at) ||
                      !weir_tcp_armed_by(tcp, tcp->idle_at)))
        weir_tcp_arm_first(tcp);
}

void weir_tcp_timers_stop(struct weir_tcp *tcp);

/* ack_at was set: the alarm follows when that still stands at the next turn.  Mostly it does not,
 * for the user has answered by then. */
void weir_tcp_ack_later(struct weir_tcp *tcp);
void weir_tcp_acks_arm(struct weir_native *native);

/* Frees the send queue. */
void weir_tcp_queue_free(struct weir_tcp *tcp);

/* Panics when the send side breaks one of its invariants; walks the queue.  For tests. */
void weir_tcp_validate(const struct weir_tcp *tcp);

/* --- the socket layer (socket.c, listener.c), called by TCP; they may call back in --- */

void weir_tcp_event_readable(struct weir_tcp *tcp);    /* bytes or the end are there */
void weir_tcp_event_writable(struct weir_tcp *tcp);    /* send_room has grown */
void weir_tcp_event_established(struct weir_tcp *tcp); /* active or passive open is complete */
void weir_tcp_event_ended(struct weir_tcp *tcp);       /* tcp->error is set, or all is over */

/* Whether a SYN to this key has a listener, here or on another shard. */
struct weir_native_listener *weir_listener_find(struct weir_native *native,
                                                const struct weir_flow_key *key);
/* The shard among those that listen there, or -1: nobody does. */
int weir_listener_elsewhere(struct weir_native *native, const struct weir_flow_key *key,
                            uint32_t hash);

struct weir_native_listener {
    struct weir_listener listener;
    struct weir_link link; /* in native->listeners, or native->resting */
    struct weir_native_share *share;
    struct weir_ip ip; /* unspecified: any */
    bool ipv6_only;    /* [::] without IPv4 */
    uint16_t port;
    uint32_t accepted_max, backlog; /* established and not handed out; half-open without cookies */
    uint32_t half_open;             /* in SYN-RECEIVED; at backlog: cookies */
    struct weir_link half;          /* weir_tcp.queued, oldest first */
    struct weir_link accepted;      /* weir_tcp.queued, established */
    uint32_t accepted_count;
    struct weir_link waiters; /* weir_io.link: accepts */
    struct weir_stop_wait stop;
    struct weir_alarm linger;     /* stopping: for handshakes under way */
    uint32_t refs;                /* of code that is on the stack with it */
    bool stopping, ended, closed; /* no SYNs any more; nothing will arrive; by its owner */
    bool giving;
};

/* --- TIME-WAIT --- */

#define WEIR_TCP_WAIT_SPAN WEIR_SEC(60) /* 2 MSL, of 30 s each */

struct weir_tcp_wait {
    struct weir_flow flow;
    struct weir_link link; /* in native->time_waits */
    weir_time until;
    weir_seq snd_nxt, rcv_nxt;
    uint32_t rcv_wnd; /* scaled field value to repeat */
    uint32_t ts_recent, ts_offset;
    uint32_t ts_recent_at;
    bool ts;
};

/* How many there may be beside that many connections: as many, but of more than WEIR_TCP_WAITS only
 * half as many, so that a table for a million connections is not twice as big for it. */
enum { WEIR_TCP_WAITS = 65536 };

static inline uint32_t weir_tcp_waits_max(uint32_t conns)
{
    if (conns <= WEIR_TCP_WAITS)
        return conns;
    return conns / 2 > WEIR_TCP_WAITS ? conns / 2 : WEIR_TCP_WAITS;
}

/* Ends it early: its addresses and ports are taken over. */
void weir_tcp_wait_drop(struct weir_native *native, struct weir_tcp_wait *wait);

/* We want to open a connection with the same addresses and ports: frees it and returns true when
 * that is safe (RFC 6191: timestamps, and their clock has moved on, which takes a second). */
bool weir_tcp_wait_yield(struct weir_native *native, struct weir_tcp_wait *wait);

#endif
