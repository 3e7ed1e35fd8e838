/* tcp_icmp.c - what ICMP errors mean to a connection (RFC 5927, 5461).
 *
 * Anybody can send one, so it counts only when it quotes a sequence number that is in flight (RFC
 * 5927 4).  It ends a connection that is still being opened by us; one that stands takes every
 * error as soft, for the retransmission timer knows better; a smaller path MTU it obeys. */
#include "net/native/tcp.h"

static bool icmp_is_current(const struct weir_tcp *tcp, weir_seq seq)
{
    return weir_seq_le(tcp->snd_una, seq) && weir_seq_lt(seq, tcp->snd_max);
}

static bool icmp_is_opening(const struct weir_tcp *tcp)
{
    return tcp->state == WEIR_TCP_SYN_SENT ||
           (tcp->state == WEIR_TCP_SYN_RECEIVED && !(tcp->flags & WEIR_TCP_PASSIVE));
}

void weir_tcp_icmp(struct weir_native *native, const struct weir_flow_key *key, int error,
                   uint16_t mtu, uint32_t seq)
{
    struct weir_flow *flow = weir_flows_find(&native->flows, weir_flow_hash(native, key), key);
    struct weir_tcp *tcp = weir_container_of(flow, struct weir_tcp, flow);

    if (!flow || flow->kind != WEIR_FLOW_TCP || !icmp_is_current(tcp, seq)) {
        native->stats.icmp_bad++;
        return;
    }
    if (mtu)
        weir_tcp_mtu_changed(tcp);
    else if (icmp_is_opening(tcp))
        weir_tcp_end(tcp, error);
}
