/* tcp_rtt.c - round-trip time and retransmission timeout (RFC 6298).
 *
 * Samples are in microseconds.  srtt and rttvar are kept plain, not scaled: at a microsecond the
 * rounding does not matter.  A back-off is done in rto_us itself and stays until there is a sample
 * (RFC 6298 5.7, Karn's algorithm).
 *
 * Invariant: 200 ms <= rto_us <= 60 s once it is set. */
#include "net/native/tcp_send.h"

static uint32_t rtt_clamp(uint64_t us)
{
    return (uint32_t)weir_min_u64(weir_max_u64(us, WEIR_TCP_RTO_MIN_US), WEIR_TCP_RTO_MAX_US);
}

void weir_tcp_rto_reset(struct weir_tcp *tcp)
{
    uint64_t slack = weir_max_u64(WEIR_TICK / WEIR_US(1), 4 * (uint64_t)tcp->rttvar_us);

    /* RFC 6298 2.1, 2.3; G is a tick of the wheel */
    tcp->rto_us = tcp->srtt_us == 0 ? WEIR_TCP_RTO_FIRST_US : rtt_clamp(tcp->srtt_us + slack);
}

/* RFC 6298 2.2, 2.3. */
void weir_tcp_rtt_sample(struct weir_tcp *tcp, uint32_t rtt_us)
{
    uint32_t rtt = rtt_us == 0 ? 1 : rtt_us;
    uint32_t error = tcp->srtt_us > rtt ? tcp->srtt_us - rtt : rtt - tcp->srtt_us;

    if (tcp->srtt_us == 0) {
        tcp->srtt_us = rtt;
        tcp->rttvar_us = rtt / 2;
    } else {
        tcp->rttvar_us = (uint32_t)((3 * (uint64_t)tcp->rttvar_us + error) / 4);
        tcp->srtt_us = (uint32_t)((7 * (uint64_t)tcp->srtt_us + rtt) / 8);
        tcp->srtt_us += tcp->srtt_us == 0;
    }
    if (tcp->min_rtt_us == 0 || rtt < tcp->min_rtt_us)
        tcp->min_rtt_us = rtt;
    weir_tcp_rto_reset(tcp);
}

/* RFC 6298 5.5. */
void weir_tcp_rto_backoff(struct weir_tcp *tcp)
{
    tcp->rto_us = rtt_clamp(2 * (uint64_t)tcp->rto_us);
}
