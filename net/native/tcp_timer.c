/* tcp_timer.c - one alarm for all that a connection waits for.
 *
 * Deadlines are words in the struct: moving one back is a store.  The alarm is armed at or before
 * the first of them; when it fires nothing may be due yet, then it is armed again.
 *
 *     rto_at    retransmission (RFC 6298), persist (RFC 9293 3.8.6.1), SYN and SYN|ACK
 *     probe_at  RACK's reordering timer, or TLP (RFC 8985)
 *     ack_at    the delayed ACK
 *     idle_at   keep-alive (RFC 9293 3.8.4), the end of SYN-RECEIVED and of orphans
 *
 * The delayed ACK's is set by most segments and taken back by the answer, in the same turn: the
 * alarm is looked at for it only at the next one (native->acks).
 *
 * Invariant: a deadline that is set has the alarm armed at or before it, once weir_tcp_arm() was
 * called.  The alarm is set for whole ticks. */
#include <errno.h>
#include "net/native/tcp_send.h"

static bool timer_keeps_alive(const struct weir_tcp *tcp)
{
    return (tcp->flags & WEIR_TCP_KEEPALIVE) && tcp->state >= WEIR_TCP_ESTABLISHED;
}

/* The earlier one of two; 0 is none. */
static weir_tick timer_earlier(weir_tick a, weir_tick b)
{
    return a == 0 || (b != 0 && (int32_t)(b - a) < 0) ? b : a;
}

void weir_tcp_arm_first(struct weir_tcp *tcp)
{
    weir_time now = weir_tcp_now(tcp), when;
    weir_tick first;

    if (weir_unlikely(tcp->idle_at == 0) && timer_keeps_alive(tcp))
        tcp->idle_at = weir_tick_at(now + WEIR_TCP_KEEPALIVE_IDLE);
    first = timer_earlier(timer_earlier(tcp->rto_at, tcp->probe_at),
                          timer_earlier(tcp->ack_at, tcp->idle_at));
    if (first == 0)
        return;
    when = ((now >> WEIR_TICK_SHIFT) + (int32_t)(first - (weir_tick)(now >> WEIR_TICK_SHIFT)))
           << WEIR_TICK_SHIFT;
    if (!weir_wheel_armed(&tcp->alarm) || tcp->alarm.when > when ||
        when - tcp->alarm.when > WEIR_TCP_ARM_EARLY * WEIR_TICK)
        weir_alarm_set(&tcp->alarm, when);
}

void weir_tcp_ack_later(struct weir_tcp *tcp)
{
    struct weir_native *native = weir_tcp_native(tcp);

    if (tcp->flags & WEIR_TCP_IN_ACKS)
        return;
    if (weir_unlikely(native->acks_count == WEIR_NATIVE_ACKS))
        weir_tcp_acks_arm(native);
    tcp->flags |= WEIR_TCP_IN_ACKS;
    native->acks[native->acks_count++] = tcp;
}

void weir_tcp_acks_arm(struct weir_native *native)
{
    for (uint32_t i = 0; i < native->acks_count; i++) {
        struct weir_tcp *tcp = native->acks[i];

        tcp->flags &= ~(uint32_t)WEIR_TCP_IN_ACKS;
        if (tcp->ack_at)
            weir_tcp_arm(tcp);
    }
    native->acks_count = 0;
}

static void timer_forget_ack(struct weir_tcp *tcp)
{
    struct weir_native *native = weir_tcp_native(tcp);
    uint32_t i = 0;

    if (weir_likely(!(tcp->flags & WEIR_TCP_IN_ACKS)))
        return;
    tcp->flags &= ~(uint32_t)WEIR_TCP_IN_ACKS;
    while (native->acks[i] != tcp)
        i++;
    native->acks[i] = native->acks[--native->acks_count];
}

void weir_tcp_timers_stop(struct weir_tcp *tcp)
{
    timer_forget_ack(tcp);
    tcp->rto_at = tcp->probe_at = tcp->ack_at = tcp->idle_at = 0;
    weir_alarm_clear(&tcp->alarm);
}

void weir_tcp_rto_update(struct weir_tcp *tcp)
{
    bool outstanding = tcp->snd_nxt != tcp->snd_una;
    bool wants = outstanding || tcp->tx_next || weir_tcp_fin_due(tcp);

    if (!wants)
        tcp->rto_at = 0;
    if (!wants || outstanding)
        tcp->flags &= ~(uint32_t)WEIR_TCP_PROBING;
    if (!wants || tcp->rto_at)
        return;
    if (!outstanding)
        tcp->flags |= WEIR_TCP_PROBING;
    tcp->retries = 0;
    tcp->rto_at = weir_tcp_in_us(tcp, tcp->rto_us);
}

/* One more try; false: there were enough, and it has ended. */
static bool timer_try(struct weir_tcp *tcp, unsigned max)
{
    if (tcp->retries >= max) {
        weir_tcp_end(tcp, -ETIMEDOUT);
        return false;
    }
    tcp->retries++;
    weir_tcp_rto_backoff(tcp);
    return true;
}

static bool timer_syn(struct weir_tcp *tcp)
{
    struct weir_native *native = weir_tcp_native(tcp);
    bool sent = tcp->state == WEIR_TCP_SYN_SENT;

    if (!timer_try(tcp, sent ? WEIR_TCP_SYN_RETRIES : WEIR_TCP_SYN_ACK_RETRIES))
        return false;
    native->stats.tcp_timeouts++;
    native->stats.tcp_retransmits++;
    weir_tcp_send_control(tcp, tcp->iss, sent ? WEIR_SYN : WEIR_SYN | WEIR_ACK);
    return true;
}

/* The peer's window is shut.  What is outstanding may have been dropped for that: it is sent again
 * when there is room (RFC 9293 3.8.6), and that is no congestion. */
static void timer_persist(struct weir_tcp *tcp)
{
    if (tcp->snd_nxt != tcp->snd_una)
        weir_tcp_mark_all_lost(tcp);
    weir_tcp_window_probe(tcp);
}

static void timer_retransmit(struct weir_tcp *tcp)
{
    struct weir_native *native = weir_tcp_native(tcp);

    native->stats.tcp_timeouts++;
    if (tcp->tx_head) {
        weir_tcp_enter_loss(tcp);
        return;
    }
    native->stats.tcp_retransmits++; /* the FIN alone */
    weir_tcp_send_control(tcp, tcp->snd_end, WEIR_FIN | WEIR_ACK);
}

/* False: the connection has ended. */
static bool timer_rto(struct weir_tcp *tcp)
{
    tcp->rto_at = 0;
    if (tcp->state <= WEIR_TCP_SYN_RECEIVED)
        return timer_syn(tcp);
    if (tcp->snd_nxt == tcp->snd_una && !tcp->tx_next && !weir_tcp_fin_due(tcp))
        return true;
    if (!timer_try(tcp, WEIR_TCP_RETRIES))
        return false;
    if ((tcp->flags & WEIR_TCP_PROBING) || tcp->snd_wnd == 0)
        timer_persist(tcp);
    else
        timer_retransmit(tcp);
    tcp->rto_at = weir_tcp_in_us(tcp, tcp->rto_us);
    return true;
}

/* Time since the peer was heard. */
static weir_time timer_silence(const struct weir_tcp *tcp)
{
    weir_tick now = (weir_tick)((uint64_t)weir_tcp_now(tcp) >> WEIR_TICK_SHIFT);
    int32_t ticks = (int32_t)(now - tcp->heard_at);

    return ticks > 0 ? (weir_time)ticks << WEIR_TICK_SHIFT : 0;
}

/* RFC 1122 4.2.3.6, RFC 9293 3.8.4: only while nothing is under way, a byte that was acknowledged
 * long ago. */
static bool timer_keepalive(struct weir_tcp *tcp)
{
    weir_time now = weir_tcp_now(tcp), silence = timer_silence(tcp);
    bool busy = tcp->rto_at != 0, probed = !busy && tcp->retries > 0;

    if (busy || silence < (probed ? WEIR_TCP_KEEPALIVE_INTERVAL : WEIR_TCP_KEEPALIVE_IDLE)) {
        if (probed)
            tcp->retries = 0;
        tcp->idle_at = weir_tick_at(now + WEIR_TCP_KEEPALIVE_IDLE - (busy ? 0 : silence));
        return true;
    }
    if (tcp->retries >= WEIR_TCP_KEEPALIVE_PROBES) {
        weir_tcp_end(tcp, -ETIMEDOUT);
        return false;
    }
    tcp->retries++;
    weir_tcp_native(tcp)->stats.tcp_keepalives++;
    weir_tcp_send_control(tcp, tcp->snd_nxt - 1, WEIR_ACK);
    tcp->idle_at = weir_tick_at(now + WEIR_TCP_KEEPALIVE_INTERVAL);
    return true;
}

/* False: the connection has ended. */
static bool timer_idle(struct weir_tcp *tcp)
{
    tcp->idle_at = 0;
    if (tcp->state == WEIR_TCP_SYN_RECEIVED) {
        weir_tcp_end(tcp, -ETIMEDOUT);
        return false;
    }
    if (tcp->state == WEIR_TCP_FIN_WAIT_2 && !(tcp->flags & WEIR_TCP_USER)) {
        weir_tcp_end(tcp, 0);
        return false;
    }
    return !timer_keeps_alive(tcp) || timer_keepalive(tcp);
}

void weir_tcp_fire(struct weir_alarm *alarm)
{
    struct weir_tcp *tcp = weir_container_of(alarm, struct weir_tcp, alarm);
    weir_time now = weir_tcp_now(tcp);
    bool due = false;

    if (weir_tick_due(tcp->ack_at, now)) {
        tcp->ack_at = 0;
        tcp->flags |= WEIR_TCP_ACK_NOW;
        due = true;
    }
    if (weir_tick_due(tcp->probe_at, now)) {
        tcp->probe_at = 0;
        weir_tcp_probe_fire(tcp);
        due = true;
    }
    if (weir_tick_due(tcp->rto_at, now)) {
        if (!timer_rto(tcp))
            return;
        due = true;
    }
    if (weir_tick_due(tcp->idle_at, now) && !timer_idle(tcp))
        return;
    if (due)
        weir_tcp_output(tcp);
    weir_tcp_arm(tcp);
}
