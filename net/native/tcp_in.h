/* tcp_in.h - what the parts of TCP's receive side call each other by, and nobody else.
 *
 * Functions that take a packet own it from then on, whatever happens. */
#ifndef WEIR_NET_NATIVE_TCP_IN_H
#define WEIR_NET_NATIVE_TCP_IN_H

#include "net/native/tcp.h"
#include "net/native/wire/wire.h"

/* --- isn.c --- */

/* SipHash-2-4 of `len` bytes. */
uint64_t weir_siphash(const uint64_t key[2], const void *data, size_t len);

/* The initial sequence number (RFC 6528) and the timestamp offset (RFC 7323 5.4) of a flow. */
weir_seq weir_tcp_isn(const struct weir_native *native, const struct weir_flow_key *key);
uint32_t weir_tcp_ts_offset(const struct weir_native *native, const struct weir_flow_key *key);

/* --- tcp_cookie.c --- */

/* What a cookie has to carry, for there is no connection yet. */
struct weir_cookie {
    uint16_t mss;
    uint8_t wscale; /* 255: none; this and sack only with timestamps */
    bool sack;
};

weir_seq weir_cookie_make(const struct weir_tcp_layer *layer, weir_time now,
                          const struct weir_flow_key *key, weir_seq irs, uint16_t mss);

/* Whether `cookie` is one of ours and not too old; its MSS then. */
bool weir_cookie_check(const struct weir_tcp_layer *layer, weir_time now,
                       const struct weir_flow_key *key, weir_seq irs, weir_seq cookie,
                       uint16_t *mss);

/* The other options, in the low bits of a timestamp that is not after `ts`; and back. */
uint32_t weir_cookie_ts_make(uint32_t ts, uint8_t wscale, bool sack);
void weir_cookie_ts_read(struct weir_cookie *cookie, uint32_t ts);

/* --- tcp_reply.c: segments that need no connection --- */

void weir_tcp_reply(struct weir_native *native, const struct weir_flow_key *key,
                    struct weir_tcp_header *header);

/* The RST that RFC 9293 3.10.7.1 asks for; none for an RST. */
void weir_tcp_reply_rst(struct weir_native *native, const struct weir_flow_key *key,
                        const struct weir_pkt *pkt);

/* One of the budget of this second (RFC 5961 7); false: it is used up. */
bool weir_tcp_challenge_allowed(struct weir_native *native);
void weir_tcp_challenge(struct weir_tcp *tcp); /* an ACK at the next output, if allowed */

/* --- tcp_listen.c: no connection has this key --- */

/* `iss_after`: of an earlier connection that this SYN ends the TIME-WAIT of, or NULL. */
void weir_tcp_no_connection(struct weir_native *native, const struct weir_flow_key *key,
                            struct weir_pkt *pkt, const weir_seq *iss_after);

/* The handshake is complete (a SYN-RECEIVED has been acknowledged): whether its listener has room
 * for it; and the move from its half-open ones to those to be accepted. */
bool weir_tcp_accept_room(const struct weir_tcp *tcp);
void weir_tcp_accept_push(struct weir_tcp *tcp);

/* Out of its listener's lists, if it is in one. */
void weir_tcp_listener_leave(struct weir_tcp *tcp);

/* --- tcp_open.c --- */

/* What this SYN of the peer says: irs, and the options both sides have. */
void weir_tcp_syn_options(struct weir_tcp *tcp, const struct weir_pkt *pkt);

/* A closed connection in FIN-WAIT-2: sets its last deadline.  Does nothing in other states. */
void weir_tcp_orphan_wait(struct weir_tcp *tcp);

/* weir_tcp_end(tcp, 0), and `wait` (or NULL) takes its place in the table. */
void weir_tcp_end_in_wait(struct weir_tcp *tcp, struct weir_tcp_wait *wait);

/* Chooses the path and the ISN: the SYN counts as sent.  0, or why there is no path. */
int weir_tcp_prepare(struct weir_tcp *tcp, const weir_seq *iss);

/* --- tcp_states.c: one segment to a connection --- */

void weir_tcp_segment(struct weir_tcp *tcp, struct weir_pkt *pkt);
void weir_tcp_segment_slow(struct weir_tcp *tcp, struct weir_pkt *pkt); /* without prediction */

/* --- tcp_reass.c --- */

/* The bytes of an acceptable segment, and its FIN.  Returns true when rcv_nxt has passed the
 * peer's FIN by it. */
bool weir_tcp_receive(struct weir_tcp *tcp, struct weir_pkt *pkt);

/* The same for a segment that begins at rcv_nxt, fits the window and has no FIN, while nothing is
 * out of order. */
void weir_tcp_receive_next(struct weir_tcp *tcp, struct weir_pkt *pkt);

/* A segment that brought nothing new: the next ACK says so (D-SACK). */
void weir_tcp_duplicate(struct weir_tcp *tcp, weir_seq begin, weir_seq end);

void weir_tcp_rx_free(struct weir_tcp *tcp);  /* the receive queue */
void weir_tcp_ooo_free(struct weir_tcp *tcp); /* what is out of order */

/* --- tcp_window.c --- */

static inline uint32_t weir_tcp_rcv_wnd(const struct weir_tcp *tcp)
{
    return weir_seq_lt(tcp->rcv_nxt, tcp->rcv_adv) ? tcp->rcv_adv - tcp->rcv_nxt : 0;
}

void weir_tcp_ack_now(struct weir_tcp *tcp);
void weir_tcp_ack_data(struct weir_tcp *tcp, uint32_t len); /* in order: now or delayed */
void weir_tcp_tune(struct weir_tcp *tcp, const struct weir_pkt *pkt);

/* --- tcp_wait.c --- */

void weir_tcp_wait_segment(struct weir_native *native, struct weir_tcp_wait *wait,
                           struct weir_pkt *pkt);
void weir_tcp_wait_open(struct weir_native *native, uint32_t max);

/* The flow of this one is free: it begins. */
void weir_tcp_wait_begin(struct weir_native *native, struct weir_tcp_wait *wait);

/* The oldest goes early; false: there is none. */
bool weir_tcp_wait_drop_oldest(struct weir_native *native);
void weir_tcp_wait_close(struct weir_native *native);

#endif
