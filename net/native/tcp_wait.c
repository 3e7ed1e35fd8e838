/* tcp_wait.c - TIME-WAIT: what is left of a connection for 2 MSL, in a fifth of its size.
 *
 * It answers a FIN that comes again, and lets a new SYN through when that cannot be an old one:
 * by its timestamp or its sequence number (RFC 6191).  An RST does not end it (RFC 1337).  There
 * is a bounded number of them; at the bound the oldest goes early.
 *
 * Invariant: native->time_waits is sorted by `until`, and the alarm is set at or before the first
 * of them. */
#include "core/list.h"
#include "net/native/tcp_in.h"

static struct weir_tcp_wait *wait_of(struct weir_link *link)
{
    return weir_container_of(link, struct weir_tcp_wait, link);
}

void weir_tcp_wait_drop(struct weir_native *native, struct weir_tcp_wait *wait)
{
    weir_list_del(&wait->link);
    weir_flows_del(&native->flows, &wait->flow);
    weir_pool_put(&native->waits, wait);
}

static void wait_arm(struct weir_native *native)
{
    if (!weir_list_empty(&native->time_waits) && !weir_alarm_armed(&native->time_wait_alarm))
        weir_alarm_set(&native->time_wait_alarm, wait_of(native->time_waits.next)->until);
}

/* Begins (again): to the end of the list. */
static void wait_begin(struct weir_native *native, struct weir_tcp_wait *wait)
{
    wait->until = weir_native_now(native) + WEIR_TCP_WAIT_SPAN;
    weir_list_push(&native->time_waits, &wait->link);
    wait_arm(native);
}

static void wait_fire(struct weir_alarm *alarm)
{
    struct weir_native *native = weir_container_of(alarm, struct weir_native, time_wait_alarm);

    while (!weir_list_empty(&native->time_waits) &&
           wait_of(native->time_waits.next)->until <= weir_native_now(native))
        weir_tcp_wait_drop(native, wait_of(native->time_waits.next));
    wait_arm(native);
}

void weir_tcp_wait_open(struct weir_native *native, uint32_t max)
{
    weir_pool_init(&native->waits, sizeof(struct weir_tcp_wait), 8, max);
    weir_list_init(&native->time_waits);
    weir_alarm_init(&native->time_wait_alarm, wait_fire);
}

void weir_tcp_wait_close(struct weir_native *native)
{
    weir_alarm_clear(&native->time_wait_alarm);
    while (!weir_list_empty(&native->time_waits))
        weir_tcp_wait_drop(native, wait_of(native->time_waits.next));
    weir_pool_free(&native->waits);
}

bool weir_tcp_wait_yield(struct weir_native *native, struct weir_tcp_wait *wait)
{
    weir_time began = wait->until - WEIR_TCP_WAIT_SPAN;

    if (!wait->ts || weir_native_now(native) - began < WEIR_SEC(1))
        return false;
    native->stats.tcp_time_wait_reused++;
    weir_tcp_wait_drop(native, wait);
    return true;
}

bool weir_tcp_wait_drop_oldest(struct weir_native *native)
{
    if (weir_list_empty(&native->time_waits))
        return false;
    native->stats.tcp_time_wait_reused++;
    weir_tcp_wait_drop(native, wait_of(native->time_waits.next));
    return true;
}

/* --- entering --- */

static struct weir_tcp_wait *wait_get(struct weir_native *native)
{
    struct weir_tcp_wait *wait = weir_pool_get(&native->waits);

    if (!wait && weir_tcp_wait_drop_oldest(native))
        wait = weir_pool_get(&native->waits);
    return wait;
}

void weir_tcp_wait_begin(struct weir_native *native, struct weir_tcp_wait *wait)
{
    if (weir_flows_add(&native->flows, &wait->flow) < 0)
        weir_pool_put(&native->waits, wait);
    else
        wait_begin(native, wait);
}

/* Without the struct there is no waiting, which is what the bound means. */
void weir_tcp_time_wait(struct weir_tcp *tcp)
{
    struct weir_native *native = weir_native_of(tcp->conn.stack);
    struct weir_tcp_wait *wait = wait_get(native), copy = {
        .flow = tcp->flow,
        .snd_nxt = tcp->snd_nxt,
        .rcv_nxt = tcp->rcv_nxt,
        .rcv_wnd = weir_tcp_rcv_wnd(tcp) >> tcp->rcv_wscale,
        .ts_recent = tcp->ts_recent,
        .ts_offset = tcp->ts_offset,
        .ts_recent_at = tcp->ts_recent_at,
        .ts = tcp->flags & WEIR_TCP_TS,
    };

    tcp->state = WEIR_TCP_TIME_WAIT;
    if (tcp->flags & WEIR_TCP_ACK_NOW)
        weir_tcp_send_control(tcp, tcp->snd_nxt, WEIR_ACK);
    copy.flow.kind = WEIR_FLOW_WAIT;
    if (wait)
        *wait = copy;
    weir_tcp_end_in_wait(tcp, wait);
}

/* --- segments --- */

static void wait_ack(struct weir_native *native, const struct weir_tcp_wait *wait)
{
    struct weir_tcp_header ack = {
        .seq = wait->snd_nxt,
        .ack = wait->rcv_nxt,
        .flags = WEIR_ACK,
        .window = (uint16_t)weir_min_u64(wait->rcv_wnd, 65535),
        .wscale = 255,
        .ts = wait->ts,
        .ts_val = (uint32_t)(weir_native_now(native) / WEIR_MS(1)) + wait->ts_offset,
        .ts_ecr = wait->ts_recent,
    };

    weir_tcp_reply(native, &wait->flow.key, &ack);
}

/* RFC 6191 2: whether this SYN is of a new connection. */
static bool wait_syn_is_new(const struct weir_tcp_wait *wait, const struct weir_pkt_rx *rx)
{
    bool higher = weir_seq_lt(wait->rcv_nxt, rx->seq);
    int32_t later = (int32_t)(rx->ts_val - wait->ts_recent);

    if (!rx->has_ts)
        return higher;
    return !wait->ts || later > 0 || (later == 0 && higher);
}

/* RFC 9293 3.10.7.4 for TIME-WAIT: "The only thing that can arrive in this state is a
 * retransmission of the remote FIN.  Acknowledge it, and restart the 2 MSL timeout."  Segments
 * without length are not answered: the other side may be in TIME-WAIT as well. */
static void wait_other(struct weir_native *native, struct weir_tcp_wait *wait,
                       const struct weir_pkt_rx *rx)
{
    bool old = wait->ts && rx->has_ts && (int32_t)(rx->ts_val - wait->ts_recent) < 0;

    if (!(rx->tcp_flags & (WEIR_FIN | WEIR_SYN)) && rx->len == 0)
        return;
    if ((rx->tcp_flags & WEIR_FIN) && rx->seq + rx->len + 1 == wait->rcv_nxt && !old) {
        weir_list_del(&wait->link);
        wait_begin(native, wait);
        wait_ack(native, wait);
    } else if (weir_tcp_challenge_allowed(native)) {
        wait_ack(native, wait);
    }
}

void weir_tcp_wait_segment(struct weir_native *native, struct weir_tcp_wait *wait,
                           struct weir_pkt *pkt)
{
    uint8_t flags = pkt->rx.tcp_flags & (WEIR_SYN | WEIR_ACK | WEIR_RST);
    struct weir_flow_key key = wait->flow.key;
    weir_seq snd_nxt = wait->snd_nxt;

    if (flags == WEIR_SYN && wait_syn_is_new(wait, &pkt->rx)) {
        native->stats.tcp_time_wait_reused++;
        weir_tcp_wait_drop(native, wait);
        weir_tcp_no_connection(native, &key, pkt, &snd_nxt);
        return;
    }
    if (!(flags & WEIR_RST) && flags != WEIR_SYN) /* an old SYN: silently */
        wait_other(native, wait, &pkt->rx);
    weir_pkt_free(pkt);
}
