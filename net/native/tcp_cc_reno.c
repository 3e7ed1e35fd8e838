/* tcp_cc_reno.c - NewReno's window (RFC 5681), slow start for all, and the table of algorithms.
 *
 * Congestion avoidance counts bytes (RFC 5681 3.1, equation 3's alternative): one MSS for each
 * window that is acknowledged. */
#include "net/native/tcp_send.h"

struct reno {
    uint32_t acked; /* since cwnd grew */
    uint32_t undo_cwnd, undo_ssthresh;
};

_Static_assert(sizeof(struct reno) <= sizeof(((struct weir_tcp *)0)->cc_state), "has room");

static struct reno *reno_of(struct weir_tcp *tcp)
{
    return (struct reno *)(void *)tcp->cc_state;
}

/* RFC 3465: at most L segments for one ACK.  L is 1 after a timeout (2.3), where ACKs may be for
 * much more than was sent; else 8, for receivers that answer a burst at once (RFC 9406 4.2). */
uint32_t weir_tcp_slow_start(struct weir_tcp *tcp, uint32_t acked)
{
    uint32_t limit = (tcp->recovery == WEIR_TCP_LOSS ? 1u : 8u) * tcp->mss;
    uint32_t grow = acked < limit ? acked : limit;

    if (tcp->cwnd >= tcp->ssthresh)
        return acked;
    if (grow > tcp->ssthresh - tcp->cwnd)
        grow = tcp->ssthresh - tcp->cwnd;
    tcp->cwnd += grow;
    return tcp->cwnd >= tcp->ssthresh ? acked - grow : 0;
}

static void reno_init(struct weir_tcp *tcp)
{
    *reno_of(tcp) = (struct reno){ 0 };
}

static void reno_acked(struct weir_tcp *tcp, uint32_t acked)
{
    struct reno *reno = reno_of(tcp);

    reno->acked += weir_tcp_slow_start(tcp, acked);
    if (tcp->cwnd < tcp->ssthresh || reno->acked < tcp->cwnd)
        return;
    reno->acked -= tcp->cwnd;
    tcp->cwnd += tcp->mss;
    if (reno->acked > tcp->cwnd)
        reno->acked = tcp->cwnd;
}

/* RFC 5681 3.1 (4); what limited transmit sent beyond cwnd does not count (RFC 3042 2). */
static void reno_lost(struct weir_tcp *tcp)
{
    struct reno *reno = reno_of(tcp);
    uint64_t flight = weir_min_u64(weir_tcp_outstanding(tcp), tcp->cwnd);

    reno->undo_cwnd = tcp->cwnd;
    reno->undo_ssthresh = tcp->ssthresh;
    reno->acked = 0;
    tcp->ssthresh = (uint32_t)weir_max_u64(flight / 2, 2u * tcp->mss);
}

static void reno_undo(struct weir_tcp *tcp)
{
    const struct reno *reno = reno_of(tcp);

    tcp->cwnd = (uint32_t)weir_max_u64(tcp->cwnd, reno->undo_cwnd);
    tcp->ssthresh = reno->undo_ssthresh;
}

const struct weir_tcp_cc weir_tcp_reno = {
    .name = "reno",
    .init = reno_init,
    .acked = reno_acked,
    .lost = reno_lost,
    .timeout = reno_lost,
    .undo = reno_undo,
};

const struct weir_tcp_cc *const weir_tcp_ccs[2] = {
    [WEIR_CC_CUBIC] = &weir_tcp_cubic,
    [WEIR_CC_RENO] = &weir_tcp_reno,
};
