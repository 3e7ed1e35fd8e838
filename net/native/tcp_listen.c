/* tcp_listen.c - segments that no connection has: passive opens, cookies, resets.
 *
 * A SYN makes a connection at once while its listener has fewer than `backlog` half-open ones and
 * the shard fewer than its bound; beyond that the answer is a cookie (tcp_cookie.c) and nothing is
 * kept.  A listener whose accept queue is full takes neither SYNs nor the last ACK of a handshake:
 * the peer sends again.
 *
 * Invariant: a connection is in its listener's `half` exactly while it is passive and in
 * SYN-RECEIVED, and in `accepted` from then on until a user has it. */
#include "core/list.h"
#include "net/native/steer.h"
#include "net/native/tcp_in.h"

/* --- the listener's lists --- */

bool weir_tcp_accept_room(const struct weir_tcp *tcp)
{
    const struct weir_native_listener *listener = tcp->listener;

    return !(tcp->flags & WEIR_TCP_PASSIVE) || listener->accepted_count < listener->accepted_max;
}

static void half_push(struct weir_native_listener *listener, struct weir_tcp *tcp)
{
    tcp->listener = listener;
    weir_list_push(&listener->half, &tcp->queued);
    listener->half_open++;
    weir_native_of(tcp->conn.stack)->tcp->half_open++;
}

static void half_del(struct weir_tcp *tcp)
{
    weir_list_del(&tcp->queued);
    tcp->listener->half_open--;
    weir_native_of(tcp->conn.stack)->tcp->half_open--;
}

void weir_tcp_accept_push(struct weir_tcp *tcp)
{
    half_del(tcp);
    tcp->flags |= WEIR_TCP_ACCEPTED;
    weir_list_push(&tcp->listener->accepted, &tcp->queued);
    tcp->listener->accepted_count++;
}

void weir_tcp_listener_leave(struct weir_tcp *tcp)
{
    if (!(tcp->flags & WEIR_TCP_PASSIVE) || (tcp->flags & WEIR_TCP_USER) || !tcp->listener)
        return;
    if (tcp->state == WEIR_TCP_SYN_RECEIVED) {
        half_del(tcp);
    } else if (tcp->flags & WEIR_TCP_ACCEPTED) {
        weir_list_del(&tcp->queued);
        tcp->listener->accepted_count--;
        tcp->flags &= ~(uint32_t)WEIR_TCP_ACCEPTED;
    }
}

/* --- SYN --- */

static bool listen_half_full(const struct weir_native *native,
                             const struct weir_native_listener *listener)
{
    return listener->half_open >= listener->backlog ||
           native->tcp->half_open >= native->tcp->half_open_max;
}

/* A passive connection in SYN-RECEIVED, for this SYN (or what a cookie says it was); NULL: no
 * memory, no path. */
static struct weir_tcp *listen_open(struct weir_native *native,
                                    struct weir_native_listener *listener,
                                    const struct weir_flow_key *key, const struct weir_pkt *syn,
                                    const weir_seq *iss)
{
    struct weir_tcp *tcp = weir_tcp_new(native, key, syn->rx.hash);

    if (!tcp)
        return NULL;
    tcp->flags |= WEIR_TCP_PASSIVE;
    if (weir_flow_shard(native, syn->rx.hash) != native->shard->id)
        tcp->flags |= WEIR_TCP_DETOURED;
    if (weir_tcp_prepare(tcp, iss) < 0) {
        tcp->state = WEIR_TCP_SYN_SENT; /* in no list yet */
        weir_tcp_user_close(tcp, true);
        return NULL;
    }
    weir_tcp_syn_options(tcp, syn);
    tcp->state = WEIR_TCP_SYN_RECEIVED;
    weir_tcp_send_init(tcp);
    half_push(listener, tcp);
    return tcp;
}

/* RFC 4987 3.6: answers as a connection would, and forgets. */
static void listen_cookie(struct weir_native *native, const struct weir_flow_key *key,
                          const struct weir_pkt *pkt)
{
    struct weir_tcp_layer *layer = native->tcp;
    const struct weir_pkt_rx *rx = &pkt->rx;
    weir_time now = weir_native_now(native);
    uint32_t ts = (uint32_t)(now / WEIR_MS(1)) + weir_tcp_ts_offset(native, key);
    uint16_t mss = rx->mss ? rx->mss : weir_ip_is_v4(&key->local) ? 536 : 1220;
    struct weir_tcp_header header = {
        .seq = weir_cookie_make(layer, now, key, rx->seq, mss),
        .ack = rx->seq + 1,
        .flags = WEIR_SYN | WEIR_ACK,
        .window = (uint16_t)weir_min_u64(layer->rcvbuf, 65535),
        .wscale = 255,
    };

    if (rx->has_ts) {
        header.ts = true;
        header.ts_val = weir_cookie_ts_make(ts, rx->wscale, rx->sack_ok);
        header.ts_ecr = rx->ts_val;
        header.sack_ok = rx->sack_ok;
        header.wscale = rx->wscale == 255 ? 255 : layer->rcv_wscale;
    }
    layer->cookies_until = now + WEIR_SEC(128);
    weir_tcp_reply(native, key, &header);
    native->stats.tcp_cookies_sent++;
}

/* No listener here: perhaps another shard has one, and this is where its packets arrive. */
static void listen_elsewhere(struct weir_native *native, const struct weir_flow_key *key,
                             struct weir_pkt *pkt)
{
    int shard = -1;

    if (weir_flow_shard(native, pkt->rx.hash) == native->shard->id)
        shard = weir_listener_elsewhere(native, key, pkt->rx.hash);
    if (shard >= 0) {
        weir_steer_detour_open(native, key, pkt, (unsigned)shard);
        return;
    }
    weir_tcp_reply_rst(native, key, pkt);
    weir_pkt_free(pkt);
}

/* 3.10.7.2, third: check for a SYN.  What else it carries is not kept: the peer sends it again. */
static void listen_syn(struct weir_native *native, struct weir_native_listener *listener,
                       const struct weir_flow_key *key, struct weir_pkt *pkt,
                       const weir_seq *iss_after)
{
    weir_seq iss = weir_tcp_isn(native, key);
    struct weir_tcp *tcp;

    if (iss_after && weir_seq_le(iss, *iss_after)) /* RFC 1122 4.2.2.13 (b) */
        iss = *iss_after + 65537;
    if (listener->accepted_count >= listener->accepted_max) {
        native->stats.tcp_accept_overflow++;
    } else if (listen_half_full(native, listener)) {
        listen_cookie(native, key, pkt);
    } else {
        tcp = listen_open(native, listener, key, pkt, &iss);
        if (tcp)
            weir_tcp_send_control(tcp, tcp->iss, WEIR_SYN | WEIR_ACK);
        else
            native->stats.tcp_syn_dropped++;
    }
    weir_pkt_free(pkt);
}

/* --- ACK --- */

/* Makes the parsed ACK look like the SYN it follows, as far as the cookie knows. */
static void listen_cookie_syn(struct weir_pkt *syn, const struct weir_pkt *pkt, uint16_t mss)
{
    struct weir_cookie cookie = { .wscale = 255 };

    *syn = (struct weir_pkt){ .rx = pkt->rx };
    if (pkt->rx.has_ts)
        weir_cookie_ts_read(&cookie, pkt->rx.ts_ecr);
    syn->rx.seq = pkt->rx.seq - 1;
    syn->rx.tcp_flags = WEIR_SYN;
    syn->rx.mss = mss;
    syn->rx.wscale = cookie.wscale;
    syn->rx.sack_ok = cookie.sack;
}

/* The ACK of a handshake by cookie: the connection comes into being now.  False: it is none. */
static bool listen_cookie_ack(struct weir_native *native, const struct weir_flow_key *key,
                              struct weir_pkt *pkt)
{
    struct weir_native_listener *listener;
    weir_time now = weir_native_now(native);
    weir_seq cookie = pkt->rx.ack - 1;
    struct weir_pkt syn;
    struct weir_tcp *tcp = NULL;
    uint16_t mss;

    if (now >= native->tcp->cookies_until || (pkt->rx.tcp_flags & WEIR_SYN))
        return false;
    listener = weir_listener_find(native, key);
    if (!listener)
        return false;
    if (!weir_cookie_check(native->tcp, now, key, pkt->rx.seq - 1, cookie, &mss)) {
        native->stats.tcp_cookies_bad++;
        return false;
    }
    native->stats.tcp_cookies_good++;
    listen_cookie_syn(&syn, pkt, mss);
    if (listener->accepted_count >= listener->accepted_max)
        native->stats.tcp_accept_overflow++;
    else
        tcp = listen_open(native, listener, key, &syn, &cookie);
    if (tcp)
        weir_tcp_segment(tcp, pkt);
    else
        weir_pkt_free(pkt);
    return true;
}

/* --- 3.10.7.1 CLOSED and 3.10.7.2 LISTEN --- */

/* RFC 1122 4.2.3.10: TCP speaks to single hosts only.  And nobody connects to himself by a
 * listener (the land attack). */
static bool listen_nonsense(const struct weir_native *native, const struct weir_flow_key *key)
{
    return weir_ip_is_multicast(&key->local) || weir_ip_is_multicast(&key->remote) ||
           weir_ip_is_broadcast(native, &key->local) ||
           weir_ip_is_broadcast(native, &key->remote) || weir_ip_is_any(&key->remote) ||
           (key->local_port == key->remote_port && weir_ip_eq(&key->local, &key->remote));
}

void weir_tcp_no_connection(struct weir_native *native, const struct weir_flow_key *key,
                            struct weir_pkt *pkt, const weir_seq *iss_after)
{
    struct weir_native_listener *listener = NULL;
    uint8_t flags = pkt->rx.tcp_flags;

    if ((flags & WEIR_RST) || listen_nonsense(native, key)) { /* first: check for an RST */
        weir_pkt_free(pkt);
        return;
    }
    if (flags & WEIR_ACK) { /* second: check for an ACK */
        if (listen_cookie_ack(native, key, pkt))
            return;
        weir_tcp_reply_rst(native, key, pkt);
        weir_pkt_free(pkt);
        return;
    }
    listener = weir_listener_find(native, key);
    if (!listener)
        listen_elsewhere(native, key, pkt);
    else if ((flags & WEIR_SYN) && !(flags & WEIR_FIN))
        listen_syn(native, listener, key, pkt, iss_after);
    else
        weir_pkt_free(pkt);
}
