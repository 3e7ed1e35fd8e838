/* ip6.c - IPv6 headers and the extension headers behind them (RFC 8200).
 *
 * The walk ends at the transport header, at a fragment (what is behind it counts once all are
 * there: the reassembled packet is parsed again), or at the first thing that the sender has to be
 * told of: then unrecognized_at and problem_* are set, and nothing else is good for more than the
 * answer.  A fragment header of a packet that is whole is as none (RFC 6946).  At most
 * IP6_EXTENSIONS headers, each at most once but destination options.
 *
 * Refused without an answer: jumbograms, senders that are a group, IPv4-mapped addresses (they do
 * not travel, and mean IPv4 in a struct weir_ip), options that ask for it (RFC 8200 4.2). */
#include <errno.h>
#include <netinet/in.h>
#include "net/native/wire/wire.h"

enum {
    IP6_LEN = 40,
    IP6_MAX = 65535, /* of payload, extension headers included (RFC 8200 3) */
    IP6_EXTENSIONS = 6,
    IP6_FRAGMENT_LEN = 8,
    IP6_NEXT_AT = 6,    /* offset of the next header field */
    IP6_PAYLOAD_AT = 4, /* ... of the payload length */
};

enum { IP6_OPT_PAD1 = 0, IP6_OPT_PADN = 1, IP6_OPT_ROUTER_ALERT = 5 };

/* RFC 4443 3.4 */
enum { IP6_BAD_FIELD = 0, IP6_BAD_NEXT = 1, IP6_BAD_OPTION = 2 };

/* Where the walk is. */
struct ip6_walk {
    struct weir_ip6 *ip;
    const uint8_t *data;
    unsigned at;      /* the header to look at, from the IPv6 header */
    unsigned next_at; /* the field that says what it is */
    bool fragment, routing;
};

/* All of the walk's steps return 1: go on; 0: the end of the walk; -EBADMSG. */
static int ip6_problem(struct ip6_walk *walk, unsigned code, unsigned at, bool even_multicast)
{
    walk->ip->unrecognized_at = (uint16_t)at;
    walk->ip->problem_code = (uint8_t)code;
    walk->ip->problem_even_multicast = even_multicast;
    return 0;
}

/* The upper two bits of an option that is not known say what to do (RFC 8200 4.2). */
static int ip6_option_unknown(struct ip6_walk *walk, unsigned at)
{
    switch (walk->data[at] >> 6) {
    case 0:
        return 1;
    case 1:
        return -EBADMSG;
    case 2:
        return ip6_problem(walk, IP6_BAD_OPTION, at, true);
    default:
        return ip6_problem(walk, IP6_BAD_OPTION, at, false);
    }
}

static int ip6_options(struct ip6_walk *walk, unsigned at, unsigned end)
{
    int rc = 1;

    while (at < end && rc > 0) {
        uint8_t type = walk->data[at];

        if (type == IP6_OPT_PAD1) {
            at++;
            continue;
        }
        if (end - at < 2 || walk->data[at + 1] > end - at - 2)
            return -EBADMSG;
        if (type != IP6_OPT_PADN && type != IP6_OPT_ROUTER_ALERT)
            rc = ip6_option_unknown(walk, at);
        at += 2u + walk->data[at + 1];
    }
    return rc;
}

/* We are nobody's waypoint; type 0 is gone (RFC 5095) and treated like the ones we do not know. */
static int ip6_routing(struct ip6_walk *walk, unsigned at)
{
    if (walk->routing)
        return -EBADMSG;
    walk->routing = true;
    if (walk->data[at + 3] != 0) /* segments left */
        return ip6_problem(walk, IP6_BAD_FIELD, at + 2, false);
    return 1;
}

/* RFC 8200 4.5 */
static int ip6_fragment(struct ip6_walk *walk)
{
    struct weir_ip6 *ip = walk->ip;
    const uint8_t *header = walk->data + walk->at;
    unsigned data_at = walk->at + IP6_FRAGMENT_LEN;
    unsigned len, offset;

    if (walk->fragment || ip->total_len - walk->at < IP6_FRAGMENT_LEN)
        return -EBADMSG;
    walk->fragment = true;
    len = ip->total_len - data_at;
    offset = weir_get16(header + 2) & 0xfff8;
    ip->fragment_at = (uint16_t)offset;
    ip->more_fragments = header[3] & 1;
    ip->fragment = ip->more_fragments || offset > 0;
    ip->id = weir_get32(header + 4);
    ip->protocol = header[0];
    if (ip->more_fragments && (len == 0 || len % 8 != 0))
        return ip6_problem(walk, IP6_BAD_FIELD, IP6_PAYLOAD_AT, false);
    if (offset + len + walk->at - IP6_LEN > IP6_MAX)
        return ip6_problem(walk, IP6_BAD_FIELD, walk->at + 2, false);
    walk->next_at = walk->at;
    walk->at = data_at;
    return !ip->fragment;
}

/* Hop-by-hop options, destination options, routing: next header, length, and so on. */
static int ip6_extension(struct ip6_walk *walk)
{
    struct weir_ip6 *ip = walk->ip;
    unsigned at = walk->at, len;
    int rc;

    if (ip->total_len - at < 8)
        return -EBADMSG;
    len = (walk->data[at + 1] + 1u) * 8;
    if (len > ip->total_len - at)
        return -EBADMSG;
    rc = ip->protocol == IPPROTO_ROUTING ? ip6_routing(walk, at)
                                         : ip6_options(walk, at + 2, at + len);
    if (rc > 0) {
        ip->protocol = walk->data[at];
        walk->next_at = at;
        walk->at = at + len;
    }
    return rc;
}

static int ip6_step(struct ip6_walk *walk)
{
    switch (walk->ip->protocol) {
    case IPPROTO_TCP:
    case IPPROTO_UDP:
    case IPPROTO_ICMPV6:
    case IPPROTO_NONE:
        return 0;
    case IPPROTO_HOPOPTS: /* only the first may be this one (RFC 8200 4.1) */
        if (walk->at != IP6_LEN)
            return ip6_problem(walk, IP6_BAD_NEXT, walk->next_at, false);
        return ip6_extension(walk);
    case IPPROTO_DSTOPTS:
    case IPPROTO_ROUTING:
        return ip6_extension(walk);
    case IPPROTO_FRAGMENT:
        return ip6_fragment(walk);
    default:
        return ip6_problem(walk, IP6_BAD_NEXT, walk->next_at, false);
    }
}

static int ip6_walk(struct weir_ip6 *ip, const uint8_t *data)
{
    struct ip6_walk walk = { .ip = ip, .data = data, .at = IP6_LEN, .next_at = IP6_NEXT_AT };
    int rc = 1;

    for (unsigned i = 0; rc > 0 && i <= IP6_EXTENSIONS; i++)
        rc = ip6_step(&walk);
    ip->header_len = (uint16_t)walk.at;
    return rc == 0 ? 0 : -EBADMSG;
}

int weir_ip6_parse(struct weir_ip6 *ip, const uint8_t *data, size_t len)
{
    uint32_t head, total;

    if (len < IP6_LEN || data[0] >> 4 != 6)
        return -EBADMSG;
    head = weir_get32(data);
    total = IP6_LEN + (uint32_t)weir_get16(data + IP6_PAYLOAD_AT);
    if (total > len)
        return -EBADMSG;
    *ip = (struct weir_ip6){
        .protocol = data[IP6_NEXT_AT],
        .hop_limit = data[7],
        .traffic_class = (uint8_t)(head >> 20),
        .header_len = IP6_LEN,
        .total_len = total,
    };
    memcpy(ip->source.byte, data + 8, 16);
    memcpy(ip->target.byte, data + 24, 16);
    if (weir_ip_is_v4(&ip->source) || weir_ip_is_v4(&ip->target) || ip->source.byte[0] == 0xff)
        return -EBADMSG;
    if (ip->protocol != IPPROTO_TCP && ip6_walk(ip, data) < 0)
        return -EBADMSG;
    return ip->header_len;
}

int weir_ip6_emit(uint8_t *to, const struct weir_ip6 *ip)
{
    weir_assert(ip->total_len >= IP6_LEN && ip->total_len <= IP6_LEN + IP6_MAX);
    weir_put32(to, 6u << 28 | (uint32_t)ip->traffic_class << 20);
    weir_put16(to + IP6_PAYLOAD_AT, (uint16_t)(ip->total_len - IP6_LEN));
    to[IP6_NEXT_AT] = ip->protocol;
    to[7] = ip->hop_limit;
    memcpy(to + 8, ip->source.byte, 16);
    memcpy(to + 24, ip->target.byte, 16);
    return IP6_LEN;
}
