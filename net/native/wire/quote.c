/* quote.c - what an ICMP error quotes of a packet of ours.
 *
 * The quote may end anywhere behind the ports (RFC 792: 8 bytes of transport header, RFC 1812
 * 4.3.2.3 and RFC 4443 2.4: more), and routers on the way have changed what they may; so lengths
 * and checksums in it are not looked at.  We send neither fragments nor extension headers nor
 * from mapped addresses: a quote that has them is not of ours.  Ports are 0 where the protocol has
 * none that we know. */
#include <errno.h>
#include <netinet/in.h>
#include "net/native/wire/wire.h"

enum { QUOTE_IP4_LEN = 20, QUOTE_IP6_LEN = 40, QUOTE_IP4_FRAGMENT = 0x1fff };

/* Both return how long the IP header is. */
static int quote_ip4(struct weir_icmp_quote *quote, const uint8_t *data, size_t len)
{
    size_t header = len > 0 ? (data[0] & 15u) * 4u : 0;
    uint32_t source, target;

    if (len < QUOTE_IP4_LEN || data[0] >> 4 != 4 || header < QUOTE_IP4_LEN || header > len)
        return -EBADMSG;
    if (weir_get16(data + 6) & QUOTE_IP4_FRAGMENT)
        return -EBADMSG;
    memcpy(&source, data + 12, 4);
    memcpy(&target, data + 16, 4);
    quote->source = weir_ip_v4(source);
    quote->target = weir_ip_v4(target);
    quote->protocol = data[9];
    return (int)header;
}

static int quote_ip6(struct weir_icmp_quote *quote, const uint8_t *data, size_t len)
{
    if (len < QUOTE_IP6_LEN || data[0] >> 4 != 6)
        return -EBADMSG;
    memcpy(quote->source.byte, data + 8, 16);
    memcpy(quote->target.byte, data + 24, 16);
    quote->protocol = data[6];
    if (weir_ip_is_v4(&quote->source) || weir_ip_is_v4(&quote->target))
        return -EBADMSG;
    return QUOTE_IP6_LEN;
}

int weir_icmp_quote_parse(struct weir_icmp_quote *quote, const uint8_t *data, size_t len, bool v6)
{
    int header = v6 ? quote_ip6(quote, data, len) : quote_ip4(quote, data, len);

    if (header < 0)
        return header;
    data += header;
    len -= (size_t)header;
    quote->sport = quote->dport = 0;
    quote->seq = 0;
    quote->has_seq = false;
    if (quote->protocol != IPPROTO_TCP && quote->protocol != IPPROTO_UDP)
        return header;
    if (len < 4)
        return -EBADMSG;
    quote->sport = weir_get16(data);
    quote->dport = weir_get16(data + 2);
    quote->has_seq = quote->protocol == IPPROTO_TCP && len >= 8;
    if (quote->has_seq)
        quote->seq = weir_get32(data + 4);
    return header;
}
