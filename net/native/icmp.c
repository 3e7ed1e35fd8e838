/* icmp.c - what ICMP for IPv4 and IPv6 have in common: answering echoes, sending errors and acting
 * on those that come back.
 *
 * Errors we send are limited by a token bucket, per shard, and are never sent about an error, a
 * packet to or from more than one, or a fragment that is not the first (RFC 1122 3.2.2, 4443 2.4).
 * An error that comes back counts only when it quotes a packet from an address of ours; for TCP one
 * of a connection that is there and, before the path's MTU is touched, bytes that are in flight
 * (RFC 5927), for UDP a port that a socket has.  It may have come to another shard than the flow's:
 * then it is forwarded. */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include "net/native/checksum.h"
#include "net/native/ip.h"
#include "net/native/steer.h"
#include "net/native/tcp.h"
#include "net/native/udp.h"

enum { ICMP_HEADER = 8, ICMP4_QUOTE = 576 - 20 - 8, ICMP6_QUOTE = 1280 - 40 - 8 };

void weir_ip_of(const struct weir_pkt *pkt, struct weir_ip *source, struct weir_ip *target)
{
    const uint8_t *ip = pkt->buf.data + pkt->l3;
    uint32_t word;

    if (pkt->flags & WEIR_PKT_IP6) {
        memcpy(source->byte, ip + 8, 16);
        memcpy(target->byte, ip + 24, 16);
        return;
    }
    memcpy(&word, ip + 12, 4);
    *source = weir_ip_v4(word);
    memcpy(&word, ip + 16, 4);
    *target = weir_ip_v4(word);
}

bool weir_ip_is_partial_csum(struct weir_native *native, const struct weir_pkt *pkt)
{
    const uint8_t *ip = pkt->buf.data + pkt->l3;
    bool v6 = pkt->flags & WEIR_PKT_IP6;
    uint8_t protocol = v6 ? ip[6] : ip[9];
    unsigned at = pkt->l4 + (protocol == IPPROTO_UDP ? 6u : 16u);
    struct weir_ip source, target;
    uint16_t stored;

    if (pkt->buf.len < at + 2)
        return false;
    memcpy(&stored, pkt->buf.data + at, 2);
    weir_ip_of(pkt, &source, &target);
    if (stored !=
        weir_sum_fold(weir_pseudo_sum(&source, &target, protocol, pkt->buf.len - pkt->l4)))
        return false;
    native->stats.partial_csum++;
    weir_native_say(native, "the peer leaves checksums undone for a device that does not do them: "
                            "ethtool -K <peer's interface> tx off");
    return true;
}

/* --- out --- */

/* The message is all of pkt, its checksum field 0. */
static void icmp_send(struct weir_native *native, struct weir_pkt *pkt, struct weir_ip local,
                      const struct weir_ip *remote)
{
    bool v6 = !weir_ip_is_v4(remote);
    uint8_t protocol = v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
    struct weir_path path;
    uint32_t sum = 0;
    uint16_t folded;

    if (weir_path_open(native, &path, &local, remote, protocol) < 0) {
        native->stats.ip_no_route++;
        weir_pkt_free(pkt);
        return;
    }
    if (v6)
        sum = weir_pseudo_sum(&local, remote, protocol, pkt->buf.len);
    folded = (uint16_t)~weir_sum_fold(weir_sum(pkt->buf.data, pkt->buf.len, sum));
    memcpy(pkt->buf.data + 2, &folded, 2);
    (void)weir_path_send(native, &path, pkt); /* counted where it is dropped */
    weir_path_close(native, &path);
}

/* The message alone, in bytes that may be changed; or NULL.  Only devices in memory give out
 * others, and those of them that are too long for a copy are dropped. */
static struct weir_pkt *icmp_own(struct weir_native *native, struct weir_pkt *pkt)
{
    struct weir_pkt *copy = NULL;

    weir_pkt_pull(pkt, pkt->l4);
    if (weir_likely(weir_pkt_writable(pkt)))
        return pkt;
    if (pkt->buf.len <= WEIR_PKT_ROOM)
        copy = weir_pkt_get(&native->pkts);
    if (copy) {
        memcpy(copy->buf.data, pkt->buf.data, pkt->buf.len);
        copy->buf.len = pkt->buf.len;
    }
    weir_pkt_free(pkt);
    return copy;
}

void weir_icmp_echo(struct weir_iface *iface, struct weir_pkt *pkt, uint8_t reply_type)
{
    struct weir_ip source, target;

    weir_ip_of(pkt, &source, &target);
    if (weir_ip_is_multicast(&target) || weir_ip_is_broadcast(iface->native, &target))
        target = (struct weir_ip){ .half = { 0, 0 } };
    pkt = icmp_own(iface->native, pkt);
    if (!pkt)
        return;
    pkt->flags = 0;
    pkt->buf.data[0] = reply_type;
    memset(pkt->buf.data + 2, 0, 2);
    icmp_send(iface->native, pkt, target, &source);
}

static bool icmp_budget(struct weir_native *native)
{
    struct weir_ip_layer *layer = native->ip;
    weir_time passed = weir_native_now(native) - layer->icmp_filled;
    uint64_t full = WEIR_ICMP_BURST * UINT64_C(1000);

    layer->icmp_filled = weir_native_now(native);
    if (passed >= WEIR_SEC(1))
        layer->icmp_tokens = full;
    else
        layer->icmp_tokens += (uint64_t)passed * WEIR_ICMP_PER_SECOND / 1000000;
    if (layer->icmp_tokens > full)
        layer->icmp_tokens = full;
    if (layer->icmp_tokens < 1000)
        return false;
    layer->icmp_tokens -= 1000;
    return true;
}

/* Whether `pkt` is itself an error, or something we cannot tell from one. */
static bool icmp_is_error(const struct weir_pkt *pkt)
{
    const uint8_t *ip = pkt->buf.data + pkt->l3;
    unsigned at = pkt->l4;

    if (pkt->flags & WEIR_PKT_IP6) {
        if (ip[6] != IPPROTO_ICMPV6) /* nor behind an extension header that was not understood */
            return false;
        at = pkt->l3 + 40u;
        return pkt->buf.len <= at || pkt->buf.data[at] < 128;
    }
    if (ip[9] != IPPROTO_ICMP)
        return false;
    if (pkt->buf.len <= at)
        return true;
    return pkt->buf.data[at] != WEIR_ICMP4_ECHO && pkt->buf.data[at] != WEIR_ICMP4_ECHO_REPLY;
}

static bool icmp_may_tell(const struct weir_iface *iface, const struct weir_pkt *pkt, uint8_t type,
                          uint8_t code)
{
    const uint8_t *ip = pkt->buf.data + pkt->l3;
    bool v6 = pkt->flags & WEIR_PKT_IP6;
    struct weir_ip source, target;

    weir_ip_of(pkt, &source, &target);
    if (weir_ip_is_any(&source) || weir_ip_is_multicast(&source) ||
        weir_ip_is_broadcast(iface->native, &source))
        return false;
    if (weir_ip_is_broadcast(iface->native, &target))
        return false;
    if ((weir_ip_is_multicast(&target) || (pkt->buf.data[0] & 1)) &&
        !(v6 && type == WEIR_ICMP6_PROBLEM && code == 2))
        return false;
    if (!v6 && (weir_get16(ip + 6) & 0x1fff))
        return false;
    return !icmp_is_error(pkt);
}

void weir_icmp_error(struct weir_iface *iface, const struct weir_pkt *about, uint8_t type,
                     uint8_t code, uint32_t rest)
{
    struct weir_native *native = iface->native;
    uint32_t quote = about->flags & WEIR_PKT_IP6 ? ICMP6_QUOTE : ICMP4_QUOTE;
    struct weir_ip source, target;
    struct weir_pkt *pkt;

    if (!icmp_may_tell(iface, about, type, code) || !icmp_budget(native))
        return;
    pkt = weir_pkt_get(&native->pkts);
    if (!pkt)
        return;
    if (quote > about->buf.len - about->l3)
        quote = about->buf.len - about->l3;
    pkt->buf.data[0] = type;
    pkt->buf.data[1] = code;
    memset(pkt->buf.data + 2, 0, 2);
    weir_put32(pkt->buf.data + 4, rest);
    memcpy(pkt->buf.data + ICMP_HEADER, about->buf.data + about->l3, quote);
    pkt->buf.len = ICMP_HEADER + quote;
    weir_ip_of(about, &source, &target);
    if (!weir_ip_is_local(native, &target))
        target = (struct weir_ip){ .half = { 0, 0 } };
    icmp_send(native, pkt, target, &source);
}

void weir_icmp_port_unreachable(struct weir_native *native, struct weir_iface *iface,
                                const struct weir_pkt *pkt)
{
    (void)native;
    if (pkt->flags & WEIR_PKT_IP6)
        weir_icmp_error(iface, pkt, WEIR_ICMP6_UNREACHABLE, 4, 0);
    else
        weir_icmp_error(iface, pkt, WEIR_ICMP4_UNREACHABLE, 3, 0);
}

/* --- in --- */

static struct weir_flow_key icmp_key(const struct weir_icmp_quote *quote)
{
    return (struct weir_flow_key){ .local = quote->source,
                                   .remote = quote->target,
                                   .local_port = quote->sport,
                                   .remote_port = quote->dport };
}

/* Whether it quotes bytes that are under way (RFC 5927 4.1). */
static bool icmp_in_flight(const struct weir_flow *flow, uint32_t seq)
{
    const struct weir_tcp *tcp = weir_container_of(flow, const struct weir_tcp, flow);

    return flow->kind == WEIR_FLOW_TCP && weir_seq_le(tcp->snd_una, seq) &&
           weir_seq_le(seq, tcp->snd_max);
}

/* Takes the packet. */
static void icmp_report_tcp(struct weir_native *native, struct weir_pkt *pkt,
                            const struct weir_icmp_quote *quote, int error, uint16_t mtu)
{
    struct weir_flow_key key = icmp_key(quote);
    uint32_t hash = weir_flow_hash(native, &key);
    struct weir_flow *flow = weir_flows_find(&native->flows, hash, &key);
    unsigned shard = weir_flow_shard(native, hash);

    if (flow && flow->kind == WEIR_FLOW_DETOUR) {
        shard = weir_container_of(flow, struct weir_detour, flow)->shard;
        weir_steer_forward(native, pkt, shard);
        return;
    }
    if (!flow && shard != native->shard->id && !(pkt->flags & WEIR_PKT_FORWARDED)) {
        weir_steer_forward(native, pkt, shard);
        return;
    }
    weir_pkt_free(pkt);
    if (!flow || !quote->has_seq) {
        native->stats.icmp_bad++;
        return;
    }
    if (mtu && icmp_in_flight(flow, quote->seq))
        mtu = weir_pmtu_learn(native, &quote->target, mtu);
    weir_tcp_icmp(native, &key, error, mtu, quote->seq);
}

/* Whose socket it was; this shard when it cannot be told. */
static unsigned icmp_udp_shard(struct weir_native *native, const struct weir_pkt *pkt,
                               const struct weir_flow_key *key)
{
    uint32_t hash = weir_flow_hash(native, key);
    int shard = -1;

    if (!(pkt->flags & WEIR_PKT_FORWARDED))
        shard = weir_udp_ports_find(native->udp->ports, key, hash, weir_flow_shard(native, hash));
    return shard < 0 ? native->shard->id : (unsigned)shard;
}

static void icmp_report_udp(struct weir_native *native, struct weir_pkt *pkt,
                            const struct weir_icmp_quote *quote, int error, uint16_t mtu)
{
    struct weir_flow_key key = icmp_key(quote);
    unsigned shard;
    bool alike;

    if (weir_udp_ports_count(native->udp->ports, key.local_port, &alike) == 0) {
        native->stats.icmp_bad++;
        weir_pkt_free(pkt);
        return;
    }
    shard = icmp_udp_shard(native, pkt, &key);
    if (shard != native->shard->id) {
        weir_steer_forward(native, pkt, shard);
        return;
    }
    weir_pkt_free(pkt);
    if (mtu)
        mtu = weir_pmtu_learn(native, &quote->target, mtu);
    weir_udp_icmp(native, &key, error, mtu);
}

void weir_icmp_report(struct weir_native *native, struct weir_pkt *pkt,
                      const struct weir_icmp_quote *quote, int error, uint16_t mtu)
{
    if (!weir_ip_is_local(native, &quote->source)) {
        native->stats.icmp_bad++;
        weir_pkt_free(pkt);
    } else if (quote->protocol == IPPROTO_TCP) {
        icmp_report_tcp(native, pkt, quote, error, mtu);
    } else if (quote->protocol == IPPROTO_UDP) {
        icmp_report_udp(native, pkt, quote, error, mtu);
    } else {
        weir_pkt_free(pkt);
    }
}

void weir_icmp_failed(struct weir_native *native, struct weir_pkt *pkt, int error)
{
    struct weir_icmp_quote quote;
    struct weir_flow_key key;
    int ret = weir_icmp_quote_parse(&quote, pkt->buf.data + pkt->l3, pkt->buf.len - pkt->l3,
                                    pkt->flags & WEIR_PKT_IP6);

    weir_pkt_free(pkt);
    if (ret < 0)
        return;
    key = icmp_key(&quote);
    if (quote.protocol == IPPROTO_TCP && quote.has_seq)
        weir_tcp_icmp(native, &key, error, 0, quote.seq);
    else if (quote.protocol == IPPROTO_UDP)
        weir_udp_icmp(native, &key, error, 0);
}
