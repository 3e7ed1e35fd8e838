/* tcp_open.c - how connections come and go: making, connecting, closing, ending.
 *
 * A connection has up to three holders: its user (WEIR_TCP_USER, or a connect under way), the code
 * that handles a segment of it (WEIR_TCP_IN_EVENTS) and the output list (WEIR_TCP_QUEUED).
 * weir_tcp_end() makes it CLOSED and takes it out of table, timers and lists at once; the struct
 * goes when the last holder lets go (weir_tcp_release).
 *
 * A closed connection that still has to say something is an orphan: it takes no more data (RFC 9293
 * 3.10.4: a reset answers it), and waits for the peer's FIN for a minute at most. */
#include <errno.h>
#include <stdlib.h>
#include "net/native/steer.h"
#include "net/native/tcp_in.h"

enum {
    OPEN_ORPHANS = 4096,     /* connections beyond conns_max: half-open, or closed by their users */
    OPEN_RCVBUF = 128 << 10, /* auto-tuning begins here */
    OPEN_MSS_MIN = 88,       /* of the peer's: less would make more header than data */
    OPEN_FIN_WAIT_2_S = 60,  /* of an orphan */
    OPEN_WSCALE_MAX = 14,
    OPEN_ALIGN = 32, /* seven and a half cache lines that never touch a ninth */
};

/* --- the layer --- */

/* The scale that lets the window field reach `rcvbuf`; at least 1, so that "not 0" can mean "both
 * sides scale" in a connection. */
static uint8_t open_wscale(uint32_t rcvbuf)
{
    uint8_t scale = 1;

    while (scale < OPEN_WSCALE_MAX && (uint64_t)65535 << scale < rcvbuf)
        scale++;
    return scale;
}

int weir_tcp_open(struct weir_native *native, const struct weir_native_config *config)
{
    struct weir_tcp_layer *layer = calloc(1, sizeof *layer);

    if (!layer)
        return -ENOMEM;
    layer->secret[0] = config->secret;
    layer->secret[1] = weir_siphash((uint64_t[2]){ config->secret, 1 }, "isn", 3);
    layer->cc = config->cc && strcmp(config->cc, "reno") == 0 ? WEIR_CC_RENO : WEIR_CC_CUBIC;
    layer->keepalive = config->keepalive;
    layer->rcvbuf = config->rcvbuf;
    layer->sndbuf = config->sndbuf;
    layer->rcv_wscale = open_wscale(config->rcvbuf);
    layer->half_open_max = config->conns_max / 2 + 1;
    native->tcp = layer;
    weir_pool_init(&native->conns, sizeof(struct weir_tcp), OPEN_ALIGN,
                   config->conns_max + OPEN_ORPHANS);
    weir_tcp_wait_open(native, weir_tcp_waits_max(config->conns_max));
    return 0;
}

/* Its connections have ended. */
void weir_tcp_close_layer(struct weir_native *native)
{
    weir_tcp_wait_close(native);
    weir_pool_free(&native->conns);
    free(native->tcp);
    native->tcp = NULL;
}

/* --- a new one --- */

/* What is left of an older connection makes room for a new one. */
static bool open_flow_add(struct weir_native *native, struct weir_flow *flow)
{
    if (weir_likely(weir_flows_add(&native->flows, flow) == 0))
        return true;
    return weir_tcp_wait_drop_oldest(native) && weir_flows_add(&native->flows, flow) == 0;
}

struct weir_tcp *weir_tcp_new(struct weir_native *native, const struct weir_flow_key *key,
                              uint32_t hash)
{
    struct weir_tcp *tcp = weir_pool_get(&native->conns);

    if (!tcp) {
        native->stats.tcp_no_memory++;
        return NULL;
    }
    memset(tcp, 0, sizeof *tcp);
    tcp->conn.stack = &native->stack;
    tcp->flow = (struct weir_flow){ .key = *key, .hash = hash, .kind = WEIR_FLOW_TCP };
    tcp->flags = WEIR_TCP_NODELAY | (native->tcp->keepalive ? WEIR_TCP_KEEPALIVE : 0);
    tcp->cc = native->tcp->cc;
    tcp->snd_buf = native->tcp->sndbuf;
    tcp->rcv_buf = (uint32_t)weir_min_u64(native->tcp->rcvbuf, OPEN_RCVBUF);
    weir_alarm_init(&tcp->alarm, weir_tcp_fire);
    if (!open_flow_add(native, &tcp->flow)) {
        native->stats.tcp_no_memory++;
        weir_pool_put(&native->conns, tcp);
        return NULL;
    }
    return tcp;
}

int weir_tcp_prepare(struct weir_tcp *tcp, const weir_seq *iss)
{
    struct weir_native *native = weir_native_of(tcp->conn.stack);
    struct weir_ip local = tcp->flow.key.local;
    int err = 0;

    if (tcp->path.header_len == 0)
        err = weir_path_open(native, &tcp->path, &local, &tcp->flow.key.remote, IPPROTO_TCP);
    if (err < 0)
        return err;
    tcp->iss = iss ? *iss : weir_tcp_isn(native, &tcp->flow.key);
    tcp->ts_offset = weir_tcp_ts_offset(native, &tcp->flow.key);
    tcp->snd_una = tcp->iss;
    tcp->snd_nxt = tcp->snd_max = tcp->snd_end = tcp->iss + 1;
    return 0;
}

void weir_tcp_syn_options(struct weir_tcp *tcp, const struct weir_pkt *pkt)
{
    const struct weir_tcp_layer *layer = weir_native_of(tcp->conn.stack)->tcp;
    const struct weir_pkt_rx *rx = &pkt->rx;
    uint16_t mss = rx->mss ? rx->mss : weir_ip_is_v4(&tcp->flow.key.local) ? 536 : 1220;

    tcp->irs = rx->seq;
    tcp->rcv_nxt = tcp->last_ack_sent = tcp->rcv_tuned = rx->seq + 1;
    tcp->rcv_adv = tcp->rcv_nxt + (uint32_t)weir_min_u64(tcp->rcv_buf, 65535);
    tcp->mss_peer = mss < OPEN_MSS_MIN ? OPEN_MSS_MIN : mss;
    tcp->rcv_wscale = rx->wscale == 255 ? 0 : layer->rcv_wscale;
    tcp->snd_wscale = rx->wscale == 255 ? 0 : (uint8_t)weir_min_u64(rx->wscale, OPEN_WSCALE_MAX);
    tcp->flags &= ~(uint32_t)(WEIR_TCP_SACK | WEIR_TCP_TS);
    tcp->flags |= (rx->sack_ok ? WEIR_TCP_SACK : 0) | (rx->has_ts ? WEIR_TCP_TS : 0);
    tcp->ts_recent = rx->has_ts ? rx->ts_val : 0;
    tcp->ts_recent_at = weir_tcp_ts(tcp) - tcp->ts_offset;
    tcp->snd_wnd = tcp->snd_wnd_max = rx->window;
    tcp->snd_wl1 = rx->seq;
    tcp->snd_wl2 = rx->tcp_flags & WEIR_ACK ? rx->ack : tcp->iss;
}

/* Out of the table, paths, timers and queues; what the user has not read yet stays. */
static void open_detach(struct weir_tcp *tcp)
{
    struct weir_native *native = weir_native_of(tcp->conn.stack);

    weir_tcp_listener_leave(tcp);
    tcp->state = WEIR_TCP_CLOSED;
    weir_tcp_output_forget(tcp);
    weir_tcp_timers_stop(tcp);
    weir_flows_del(&native->flows, &tcp->flow);
    if (tcp->flags & WEIR_TCP_DETOURED)
        weir_steer_detour_end(native, &tcp->flow);
    if (tcp->path.header_len)
        weir_path_close(native, &tcp->path);
    tcp->path.header_len = 0;
    weir_tcp_queue_free(tcp);
    weir_tcp_ooo_free(tcp);
    if (native->tcp->dsack == tcp)
        native->tcp->dsack = NULL;
}

int weir_tcp_connect(struct weir_tcp *tcp)
{
    struct weir_native *native = weir_native_of(tcp->conn.stack);
    int err = weir_tcp_prepare(tcp, NULL);

    if (err < 0) {
        open_detach(tcp);
        return err;
    }
    tcp->state = WEIR_TCP_SYN_SENT;
    tcp->rcv_wscale = native->tcp->rcv_wscale; /* what we offer; the SYN|ACK says what is kept */
    tcp->flags |= WEIR_TCP_SACK | WEIR_TCP_TS;
    native->stats.tcp_active++;
    weir_tcp_send_control(tcp, tcp->iss, WEIR_SYN);
    return 0;
}

void weir_tcp_free(struct weir_tcp *tcp)
{
    weir_assert(tcp->state == WEIR_TCP_CLOSED && !tcp->rx_head && !tcp->ooo && !tcp->tx_head);
    weir_assert(!(tcp->flags & WEIR_TCP_IN_ACKS));
    weir_pool_put(&weir_native_of(tcp->conn.stack)->conns, tcp);
}

/* --- the end --- */

/* Whether somebody waits to hear of it: its user, or who called connect. */
static bool open_has_listener(const struct weir_tcp *tcp)
{
    bool connecting = tcp->state == WEIR_TCP_SYN_SENT || tcp->state == WEIR_TCP_SYN_RECEIVED;

    return (tcp->flags & WEIR_TCP_USER) || (connecting && !(tcp->flags & WEIR_TCP_PASSIVE));
}

/* `wait` (or NULL) stands in the table before anybody is told: who connects again from within must
 * not be given the same port. */
static void open_end(struct weir_tcp *tcp, int error, struct weir_tcp_wait *wait)
{
    struct weir_native *native = weir_native_of(tcp->conn.stack);
    uint32_t outer = tcp->flags & WEIR_TCP_IN_EVENTS;
    bool tell = open_has_listener(tcp);

    open_detach(tcp);
    if (wait)
        weir_tcp_wait_begin(native, wait);
    tcp->error = error;
    if (!(tcp->flags & WEIR_TCP_USER)) /* else he may still read what had come */
        weir_tcp_rx_free(tcp);
    tcp->flags |= WEIR_TCP_IN_EVENTS;
    if (tell)
        weir_tcp_event_ended(tcp);
    if (!outer)
        tcp->flags &= ~(uint32_t)WEIR_TCP_IN_EVENTS;
    weir_tcp_release(tcp);
}

void weir_tcp_end(struct weir_tcp *tcp, int error)
{
    if (tcp->state != WEIR_TCP_CLOSED)
        open_end(tcp, error, NULL);
}

void weir_tcp_end_in_wait(struct weir_tcp *tcp, struct weir_tcp_wait *wait)
{
    open_end(tcp, 0, wait);
}

/* The same when the user is the one who ends it. */
static void open_drop(struct weir_tcp *tcp)
{
    if (tcp->state != WEIR_TCP_CLOSED)
        open_detach(tcp);
    weir_tcp_rx_free(tcp);
    weir_tcp_release(tcp);
}

/* RFC 9293 3.10.5: the states in which the peer has to be told. */
static bool open_reset_tells(const struct weir_tcp *tcp)
{
    switch (tcp->state) {
    case WEIR_TCP_SYN_RECEIVED:
    case WEIR_TCP_ESTABLISHED:
    case WEIR_TCP_FIN_WAIT_1:
    case WEIR_TCP_FIN_WAIT_2:
    case WEIR_TCP_CLOSE_WAIT:
        return true;
    default:
        return false;
    }
}

static void open_abort(struct weir_tcp *tcp)
{
    if (open_reset_tells(tcp))
        weir_tcp_send_control(tcp, weir_tcp_bare_seq(tcp), WEIR_RST | WEIR_ACK);
    open_drop(tcp);
}

/* Our FIN follows what is queued; false: it was queued before, or this is no state for it. */
static bool open_queue_fin(struct weir_tcp *tcp)
{
    if (tcp->state == WEIR_TCP_ESTABLISHED)
        tcp->state = WEIR_TCP_FIN_WAIT_1;
    else if (tcp->state == WEIR_TCP_CLOSE_WAIT)
        tcp->state = WEIR_TCP_LAST_ACK;
    else
        return false;
    tcp->flags |= WEIR_TCP_FIN_QUEUED;
    weir_tcp_output_later(tcp);
    return true;
}

/* An orphan in FIN-WAIT-2 has nothing left to send, so nothing else would ever end it. */
void weir_tcp_orphan_wait(struct weir_tcp *tcp)
{
    if (tcp->state != WEIR_TCP_FIN_WAIT_2 || (tcp->flags & WEIR_TCP_USER))
        return;
    tcp->idle_at = weir_tick_at(weir_native_now(weir_native_of(tcp->conn.stack)) +
                                WEIR_SEC(OPEN_FIN_WAIT_2_S));
    weir_tcp_arm(tcp);
}

void weir_tcp_user_close(struct weir_tcp *tcp, bool reset)
{
    bool unread = tcp->rx_head != NULL;

    if (tcp->flags & WEIR_TCP_USER)
        tcp->flags &= ~(uint32_t)(WEIR_TCP_USER | WEIR_TCP_ACCEPTED);
    if (tcp->state < WEIR_TCP_ESTABLISHED || reset || (unread && open_reset_tells(tcp))) {
        open_abort(tcp);
        return;
    }
    weir_tcp_listener_leave(tcp);
    weir_tcp_rx_free(tcp);
    open_queue_fin(tcp);
    weir_tcp_orphan_wait(tcp);
}

int weir_tcp_user_shutdown(struct weir_tcp *tcp)
{
    if (tcp->state == WEIR_TCP_CLOSED || tcp->state == WEIR_TCP_SYN_SENT ||
        tcp->state == WEIR_TCP_SYN_RECEIVED)
        return tcp->error ? tcp->error : -ENOTCONN;
    open_queue_fin(tcp);
    return 0;
}
