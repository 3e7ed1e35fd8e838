/* ip4.c - IPv4 packets in (RFC 791, 1122 3.2.1).
 *
 * A packet without options and fragments is read in place, everything else through weir_ip4_parse.
 * We are a host: what is not for us is dropped and counted, never forwarded.  Dropped without an
 * answer: sources that cannot be somebody (broadcast, multicast, class E, 0/8, 127/8 on a wire, our
 * own addresses on a wire), and packets that were sent to one address by a frame to many (RFC 1122
 * 3.3.6).  Of multicast we have joined 224.0.0.1 only. */
#include <netinet/in.h>
#include <string.h>
#include "net/native/checksum.h"
#include "net/native/ip.h"

/* To whom a packet is. */
enum ip4_whom { IP4_NOBODY, IP4_US, IP4_MANY };

static struct weir_pkt *ip4_drop(struct weir_pkt *pkt, uint64_t *count)
{
    ++*count;
    weir_pkt_free(pkt);
    return NULL;
}

/* Whether the five words of a header without options add up. */
static inline bool ip4_sum_good(const uint8_t *header)
{
    uint32_t word[5];
    uint64_t sum;

    memcpy(word, header, sizeof word);
    sum = (uint64_t)word[0] + word[1] + word[2] + word[3] + word[4];
    return weir_sum_fold(weir_sum_add((uint32_t)sum, (uint32_t)(sum >> 32))) == 0xffff;
}

static bool ip4_is_own(const struct weir_ip_layer *layer, uint32_t ip)
{
    for (unsigned i = 0; i < layer->own4_count; i++)
        if (layer->own4[i] == ip)
            return true;
    return false;
}

static bool ip4_is_broadcast(const struct weir_ip_layer *layer, uint32_t ip)
{
    for (unsigned i = 0; i < layer->broadcast4_count; i++)
        if (layer->broadcast4[i] == ip)
            return true;
    return ip == 0xffffffff;
}

/* `first` is the address's first byte. */
static bool ip4_source_good(const struct weir_iface *iface, uint32_t source, uint8_t first)
{
    const struct weir_ip_layer *layer = iface->native->ip;

    if (first == 0 || first >= 224)
        return false;
    if (iface->index == WEIR_IFACE_LOOP)
        return true;
    return first != 127 && !ip4_is_own(layer, source) && !ip4_is_broadcast(layer, source);
}

static enum ip4_whom ip4_whom(const struct weir_iface *iface, uint32_t target)
{
    const struct weir_ip_layer *layer = iface->native->ip;

    if (ip4_is_own(layer, target))
        return IP4_US;
    if (iface->index == WEIR_IFACE_LOOP)
        return (target & htonl(0xff000000)) == htonl(0x7f000000) ? IP4_US : IP4_NOBODY;
    if (target == htonl(0xe0000001) || ip4_is_broadcast(layer, target))
        return IP4_MANY;
    return IP4_NOBODY;
}

/* A whole packet to its transport. */
static struct weir_pkt *ip4_deliver(struct weir_iface *iface, struct weir_pkt *pkt,
                                    const struct weir_ip4 *ip, bool many)
{
    switch (ip->protocol) {
    case IPPROTO_TCP:
        if (many) /* RFC 9293 3.9.2.3 */
            return ip4_drop(pkt, &iface->native->stats.ip_bad);
        return pkt;
    case IPPROTO_UDP:
        weir_udp_input(iface->native, iface, pkt);
        return NULL;
    case IPPROTO_ICMP:
        weir_icmp4_input(iface, pkt, many);
        return NULL;
    default:
        weir_icmp_error(iface, pkt, WEIR_ICMP4_UNREACHABLE, 2, 0);
        weir_pkt_free(pkt);
        return NULL;
    }
}

static struct weir_pkt *ip4_fragment(struct weir_iface *iface, struct weir_pkt *pkt, unsigned at,
                                     const struct weir_ip4 *ip)
{
    struct weir_frag_info info = { .key = { .source = ip->source,
                                            .target = ip->target,
                                            .id = ip->id,
                                            .protocol = ip->protocol },
                                   .next = ip->protocol,
                                   .at = ip->fragment_at,
                                   .begin = ip->header_len,
                                   .end = ip->total_len,
                                   .more = ip->more_fragments };

    pkt->l3 = (uint16_t)at;
    pkt = weir_frag_input(iface, pkt, at, &info);
    if (pkt)
        pkt->l4 = (uint16_t)(pkt->l3 + 20);
    return pkt;
}

/* Everything but a plain packet to one of our addresses, parsed. */
static struct weir_pkt *ip4_slow(struct weir_iface *iface, struct weir_pkt *pkt, unsigned at,
                                 bool group)
{
    struct weir_native *native = iface->native;
    const uint8_t *header = pkt->buf.data + at;
    struct weir_ip4 ip;
    enum ip4_whom whom;

    if (weir_ip4_parse(&ip, header, pkt->buf.len - at, pkt->flags & WEIR_PKT_IP_GOOD) < 0)
        return ip4_drop(pkt, &native->stats.ip_bad);
    pkt->buf.len = at + ip.total_len;
    pkt->l3 = (uint16_t)at;
    pkt->l4 = (uint16_t)(at + ip.header_len);
    pkt->flags &= (uint16_t)~WEIR_PKT_IP6;
    /* Before we have an address, and from servers that have none for us yet: no more rules. */
    if (ip.protocol == IPPROTO_UDP && iface->index == WEIR_IFACE_WIRE && ip.fragment_at == 0 &&
        !ip.more_fragments && weir_dhcp_input(iface, pkt, &ip))
        return NULL;
    if (!ip4_source_good(iface, ip.source.word[3], ip.source.byte[12]))
        return ip4_drop(pkt, &native->stats.ip_bad);
    whom = ip4_whom(iface, ip.target.word[3]);
    if (whom == IP4_NOBODY || (whom == IP4_US && group))
        return ip4_drop(pkt, &native->stats.ip_not_ours);
    if (ip.fragment_at || ip.more_fragments) {
        if (whom == IP4_MANY)
            return ip4_drop(pkt, &native->stats.frags_dropped);
        pkt = ip4_fragment(iface, pkt, at, &ip);
        if (!pkt)
            return NULL;
    }
    return ip4_deliver(iface, pkt, &ip, whom == IP4_MANY);
}

struct weir_pkt *weir_ip4_input(struct weir_iface *iface, struct weir_pkt *pkt, unsigned at,
                                bool group)
{
    struct weir_native *native = iface->native;
    const uint8_t *header = pkt->buf.data + at;
    uint32_t room = pkt->buf.len - at, total, source, target;

    if (weir_unlikely(room < 20))
        return ip4_drop(pkt, &native->stats.ip_bad);
    memcpy(&source, header + 12, 4);
    memcpy(&target, header + 16, 4);
    if (weir_unlikely(header[0] != 0x45 || (weir_get16(header + 6) & 0x3fff) || group ||
                      (header[9] != IPPROTO_TCP && header[9] != IPPROTO_UDP) ||
                      !ip4_source_good(iface, source, header[12]) ||
                      ip4_whom(iface, target) != IP4_US))
        return ip4_slow(iface, pkt, at, group);
    total = weir_get16(header + 2);
    if (weir_unlikely(total < 20 || total > room))
        return ip4_drop(pkt, &native->stats.ip_bad);
    if (!(pkt->flags & WEIR_PKT_IP_GOOD) && weir_unlikely(!ip4_sum_good(header)))
        return ip4_drop(pkt, &native->stats.ip_bad);
    pkt->buf.len = at + total; /* the padding of short frames */
    pkt->l3 = (uint16_t)at;
    pkt->l4 = (uint16_t)(at + 20);
    pkt->flags &= (uint16_t)~WEIR_PKT_IP6;
    if (weir_likely(header[9] == IPPROTO_TCP))
        return pkt;
    if (weir_unlikely(native->ip->dhcp.state != WEIR_DHCP_OFF)) /* renewals come to our address */
        return ip4_slow(iface, pkt, at, group);
    weir_udp_input(native, iface, pkt);
    return NULL;
}
