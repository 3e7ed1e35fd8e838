/* tcp_cc_cubic.c - CUBIC (RFC 9438) in integers.
 *
 * Windows are bytes, times milliseconds: W(t) = C (t - K)^3 + W_max with C = 0.4 segments/s^3, so
 * 0.4 MSS bytes for a second cubed.  The window grows towards W(t + RTT), never by more than half a
 * window in a round trip, and never slower than Reno would (W_est, 4.3).
 *
 * Time in which nothing was acknowledged does not count (5.8): after a pause of more than an RTO
 * the epoch begins again. */
#include "net/native/tcp_send.h"

struct cubic {
    uint32_t w_max;     /* where the last loss was */
    uint32_t prior;     /* cwnd then */
    uint32_t begun;     /* the epoch: ms; valid when k is */
    uint32_t k;         /* ms from begun to w_max; NO_EPOCH */
    uint32_t w_est;     /* what Reno would have ... */
    uint32_t est_acked; /* ... and what was acknowledged since that grew */
    uint32_t last;      /* ms of the last ACK */
    uint32_t undo_cwnd, undo_ssthresh, undo_w_max;
};

_Static_assert(sizeof(struct cubic) <= sizeof(((struct weir_tcp *)0)->cc_state), "has room");

enum { NO_EPOCH = -1, SPAN_MAX = 1 << 20 /* ms, 17 minutes: its cube times 64 KiB fits */ };

static struct cubic *cubic_of(struct weir_tcp *tcp)
{
    return (struct cubic *)(void *)tcp->cc_state;
}

static uint32_t cubic_ms(const struct weir_tcp *tcp)
{
    return (uint32_t)(weir_tcp_now(tcp) / WEIR_MS(1));
}

/* The greatest x with x^3 <= n, for n < 2^63. */
static uint32_t cubic_root(uint64_t n)
{
    uint64_t root = 0;

    for (int bit = 20; bit >= 0; bit--) {
        uint64_t next = root | (UINT64_C(1) << bit);

        if (next * next * next <= n)
            root = next;
    }
    return (uint32_t)root;
}

static void cubic_init(struct weir_tcp *tcp)
{
    *cubic_of(tcp) = (struct cubic){ .k = (uint32_t)NO_EPOCH, .last = cubic_ms(tcp) };
}

/* RFC 9438 4.2: the first ACK of congestion avoidance, at `now`. */
static void cubic_begin(struct weir_tcp *tcp, uint32_t now)
{
    struct cubic *cubic = cubic_of(tcp);

    cubic->begun = now;
    cubic->w_est = tcp->cwnd;
    cubic->est_acked = 0;
    if (cubic->w_max <= tcp->cwnd) {
        cubic->w_max = tcp->cwnd;
        cubic->k = 0;
        return;
    }
    /* K = cbrt((W_max - cwnd) / C): segments / 0.4, seconds cubed in ms cubed */
    cubic->k = cubic_root((uint64_t)(cubic->w_max - tcp->cwnd) * UINT64_C(2500000000) / tcp->mss);
}

/* W at `t` ms after the epoch began, in bytes. */
static int64_t cubic_window(const struct weir_tcp *tcp, const struct cubic *cubic, uint32_t t)
{
    int64_t span = (int64_t)t - (int64_t)cubic->k, grown;

    if (span > SPAN_MAX)
        span = SPAN_MAX;
    if (span < -SPAN_MAX)
        span = -SPAN_MAX;
    /* span^3 is below 2^60; in the order that keeps it there and loses little */
    grown = span * span * span / 25000 * tcp->mss / 100000;
    return (int64_t)cubic->w_max + grown;
}

/* RFC 9438 4.3: alpha is 3 (1 - beta) / (1 + beta) = 9 / 17, and 1 from where the loss was. */
static void cubic_reno(struct weir_tcp *tcp, uint32_t acked)
{
    struct cubic *cubic = cubic_of(tcp);
    uint64_t need;

    cubic->est_acked += acked;
    need = cubic->w_est < cubic->prior ? (uint64_t)tcp->cwnd * 17 / 9 : tcp->cwnd;
    if (cubic->est_acked < need)
        return;
    cubic->est_acked -= (uint32_t)need;
    cubic->w_est += tcp->mss;
}

static void cubic_acked(struct weir_tcp *tcp, uint32_t acked)
{
    struct cubic *cubic = cubic_of(tcp);
    uint32_t now = cubic_ms(tcp), pause = now - cubic->last;
    int64_t target;

    cubic->last = now;
    acked = weir_tcp_slow_start(tcp, acked);
    if (acked == 0 || tcp->cwnd < tcp->ssthresh)
        return;
    if (cubic->k == (uint32_t)NO_EPOCH || pause > tcp->rto_us / 1000)
        cubic_begin(tcp, now);
    cubic_reno(tcp, acked);
    target = cubic_window(tcp, cubic, now - cubic->begun + tcp->srtt_us / 1000);
    if (target > (int64_t)tcp->cwnd + tcp->cwnd / 2)
        target = (int64_t)tcp->cwnd + tcp->cwnd / 2;
    if (target > tcp->cwnd)
        tcp->cwnd += (uint32_t)((uint64_t)(target - tcp->cwnd) * acked / tcp->cwnd);
    if (tcp->cwnd < cubic->w_est)
        tcp->cwnd = cubic->w_est;
}

/* RFC 9438 4.6, 4.7: beta is 0.7; a flow that lost below its last w_max makes room for others. */
static void cubic_lost(struct weir_tcp *tcp)
{
    struct cubic *cubic = cubic_of(tcp);
    uint64_t flight = weir_min_u64(weir_tcp_outstanding(tcp), tcp->cwnd);

    cubic->undo_cwnd = tcp->cwnd;
    cubic->undo_ssthresh = tcp->ssthresh;
    cubic->undo_w_max = cubic->w_max;
    cubic->prior = tcp->cwnd;
    cubic->w_max = tcp->cwnd < cubic->w_max ? (uint32_t)((uint64_t)tcp->cwnd * 17 / 20) : tcp->cwnd;
    cubic->k = (uint32_t)NO_EPOCH;
    tcp->ssthresh = (uint32_t)weir_max_u64(flight * 7 / 10, 2u * tcp->mss);
}

/* RFC 9438 4.8: what was reached before a timeout says nothing of the path after it; K is 0 and
 * W_max is where congestion avoidance begins. */
static void cubic_timeout(struct weir_tcp *tcp)
{
    cubic_lost(tcp);
    cubic_of(tcp)->w_max = 0;
}

static void cubic_undo(struct weir_tcp *tcp)
{
    struct cubic *cubic = cubic_of(tcp);

    tcp->cwnd = (uint32_t)weir_max_u64(tcp->cwnd, cubic->undo_cwnd);
    tcp->ssthresh = cubic->undo_ssthresh;
    cubic->w_max = cubic->undo_w_max;
    cubic->k = (uint32_t)NO_EPOCH;
}

const struct weir_tcp_cc weir_tcp_cubic = {
    .name = "cubic",
    .init = cubic_init,
    .acked = cubic_acked,
    .lost = cubic_lost,
    .timeout = cubic_timeout,
    .undo = cubic_undo,
};
