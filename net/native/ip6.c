/* ip6.c - IPv6 packets in (RFC 8200, 4291).
 *
 * A packet whose transport header follows at once is read in place; extension headers go through
 * weir_ip6_parse.  Dropped without an answer: multicast sources, IPv4-mapped addresses (which would
 * pass for IPv4 further up), ::1 and our own addresses on a wire; :: may only speak neighbour
 * discovery (RFC 4862 5.4).  Groups: all nodes, and the solicited-node groups of our addresses. */
#include <netinet/in.h>
#include <string.h>
#include "net/native/ip.h"

static struct weir_pkt *ip6_drop(struct weir_pkt *pkt, uint64_t *count)
{
    ++*count;
    weir_pkt_free(pkt);
    return NULL;
}

static bool ip6_source_good(const struct weir_iface *iface, const struct weir_ip *source)
{
    if (weir_ip_is_multicast(source) || weir_ip_is_v4(source))
        return false;
    if (iface->index == WEIR_IFACE_LOOP)
        return !weir_ip_is_any(source);
    return !weir_ip_is_local(iface->native, source); /* ::1 is one */
}

/* Somebody on the link who may be telling that an address of ours is his, too (RFC 4862 5.4.4). */
static bool ip6_is_rival(const struct weir_iface *iface, const struct weir_ip6 *ip)
{
    return iface->index == WEIR_IFACE_WIRE && ip->protocol == IPPROTO_ICMPV6 &&
           ip->hop_limit == 255 && !weir_ip_is_loopback(&ip->source);
}

/* One of ours to come in here by. */
static bool ip6_is_us(const struct weir_iface *iface, const struct weir_ip *target)
{
    if (iface->index == WEIR_IFACE_WIRE && weir_ip_is_loopback(target))
        return false;
    return weir_ip_is_local(iface->native, target);
}

/* RFC 4443 3.4: which header cannot be dealt with, unless it is to be dropped in silence. */
static struct weir_pkt *ip6_problem(struct weir_iface *iface, struct weir_pkt *pkt,
                                    const struct weir_ip6 *ip, bool many)
{
    iface->native->stats.ip_bad++;
    if (!many || ip->problem_even_multicast)
        weir_icmp_error(iface, pkt, WEIR_ICMP6_PROBLEM, ip->problem_code, ip->unrecognized_at);
    weir_pkt_free(pkt);
    return NULL;
}

static struct weir_pkt *ip6_deliver(struct weir_iface *iface, struct weir_pkt *pkt,
                                    const struct weir_ip6 *ip, bool many)
{
    struct weir_native *native = iface->native;

    if (weir_ip_is_any(&ip->source) && ip->protocol != IPPROTO_ICMPV6)
        return ip6_drop(pkt, &native->stats.ip_bad);
    switch (ip->protocol) {
    case IPPROTO_TCP:
        if (many)
            return ip6_drop(pkt, &native->stats.ip_bad);
        return pkt;
    case IPPROTO_UDP:
        weir_udp_input(native, iface, pkt);
        return NULL;
    case IPPROTO_ICMPV6:
        weir_icmp6_input(iface, pkt, ip, many);
        return NULL;
    case IPPROTO_NONE:
        weir_pkt_free(pkt);
        return NULL;
    default: /* weir_ip6_parse has told of those already; here for completeness of the switch */
        weir_icmp_error(iface, pkt, WEIR_ICMP6_PROBLEM, 1, 6);
        weir_pkt_free(pkt);
        return NULL;
    }
}

/* Puts it together; the whole begins with a plain header and is parsed again. */
static struct weir_pkt *ip6_fragment(struct weir_iface *iface, struct weir_pkt *pkt, unsigned at,
                                     struct weir_ip6 *ip)
{
    struct weir_frag_info info = {
        .key = { .source = ip->source, .target = ip->target, .id = ip->id },
        .next = ip->protocol,
        .at = ip->fragment_at,
        .begin = ip->header_len,
        .end = ip->total_len,
        .more = ip->more_fragments,
    };

    pkt = weir_frag_input(iface, pkt, at, &info);
    if (!pkt)
        return NULL;
    if (weir_ip6_parse(ip, pkt->buf.data + pkt->l3, pkt->buf.len - pkt->l3) < 0 || ip->fragment)
        return ip6_drop(pkt, &iface->native->stats.ip_bad);
    pkt->l4 = (uint16_t)(pkt->l3 + ip->header_len);
    if (ip->unrecognized_at)
        return ip6_problem(iface, pkt, ip, false);
    return pkt;
}

static struct weir_pkt *ip6_slow(struct weir_iface *iface, struct weir_pkt *pkt, unsigned at,
                                 bool group)
{
    struct weir_native *native = iface->native;
    struct weir_ip6 ip;
    bool many;

    if (weir_ip6_parse(&ip, pkt->buf.data + at, pkt->buf.len - at) < 0 ||
        (!ip6_source_good(iface, &ip.source) && !ip6_is_rival(iface, &ip)))
        return ip6_drop(pkt, &native->stats.ip_bad);
    many = weir_ip_is_multicast(&ip.target);
    if (many ? iface->index == WEIR_IFACE_LOOP || !weir_iface_in_group(iface, &ip.target)
             : group || !ip6_is_us(iface, &ip.target))
        return ip6_drop(pkt, &native->stats.ip_not_ours);
    pkt->buf.len = at + ip.total_len;
    pkt->l3 = (uint16_t)at;
    pkt->l4 = (uint16_t)(at + ip.header_len);
    pkt->flags |= WEIR_PKT_IP6;
    if (ip.unrecognized_at)
        return ip6_problem(iface, pkt, &ip, many);
    if (ip.fragment) {
        if (many)
            return ip6_drop(pkt, &native->stats.frags_dropped);
        pkt = ip6_fragment(iface, pkt, at, &ip);
        if (!pkt)
            return NULL;
    }
    return ip6_deliver(iface, pkt, &ip, many);
}

struct weir_pkt *weir_ip6_input(struct weir_iface *iface, struct weir_pkt *pkt, unsigned at,
                                bool group)
{
    struct weir_native *native = iface->native;
    const uint8_t *header = pkt->buf.data + at;
    uint32_t room = pkt->buf.len - at, total;
    struct weir_ip source, target;

    if (weir_unlikely(room < 40))
        return ip6_drop(pkt, &native->stats.ip_bad);
    memcpy(source.byte, header + 8, 16);
    memcpy(target.byte, header + 24, 16);
    if (weir_unlikely((header[0] & 0xf0) != 0x60 || group ||
                      (header[6] != IPPROTO_TCP && header[6] != IPPROTO_UDP) ||
                      weir_ip_is_any(&source) || !ip6_source_good(iface, &source) ||
                      weir_ip_is_v4(&target) || !ip6_is_us(iface, &target)))
        return ip6_slow(iface, pkt, at, group);
    total = 40u + weir_get16(header + 4);
    if (weir_unlikely(total > room))
        return ip6_drop(pkt, &native->stats.ip_bad);
    pkt->buf.len = at + total;
    pkt->l3 = (uint16_t)at;
    pkt->l4 = (uint16_t)(at + 40);
    pkt->flags |= WEIR_PKT_IP6;
    if (weir_likely(header[6] == IPPROTO_TCP))
        return pkt;
    weir_udp_input(native, iface, pkt);
    return NULL;
}
