/* nd.c - neighbour discovery (RFC 4861): a message and its options, from the ICMPv6 type on.
 *
 * Hop limit and checksum are the caller's to check, and what depends on the addresses of the
 * packet. Options that are not known are skipped; an option of length 0, one that does not fit, or
 * one of ours with a length it cannot have makes the message invalid (RFC 4861 4.6, 6.1, 7.1).
 * Prefixes that nobody may act on (link-local, multicast, preferred longer than valid: RFC
 * 4862 5.5.3) and those beyond the fourth are left out. */
#include <errno.h>
#include "net/native/wire/wire.h"

enum {
    ND_ROUTER_SOLICIT = 133,
    ND_ROUTER_ADVERT = 134,
    ND_SOLICIT = 135,
    ND_ADVERT = 136,
    ND_REDIRECT = 137,
};

enum {
    ND_OPT_SOURCE = 1,
    ND_OPT_TARGET = 2,
    ND_OPT_PREFIX = 3,
    ND_OPT_MTU = 5,
    ND_OPT_MAC_LEN = 8
};

enum { ND_ROUTER = 0x80, ND_SOLICITED = 0x40, ND_OVERRIDE = 0x20 };

enum { ND_ON_LINK = 0x80, ND_AUTONOMOUS = 0x40, ND_GROUP = 1 };

/* Where the options begin; 0: no such message. */
static size_t nd_head_len(uint8_t type)
{
    switch (type) {
    case ND_ROUTER_SOLICIT:
        return 8;
    case ND_ROUTER_ADVERT:
        return 16;
    case ND_SOLICIT:
    case ND_ADVERT:
        return 24;
    case ND_REDIRECT:
        return 40;
    default:
        return 0;
    }
}

/* Which option tells a link-layer address in this message. */
static uint8_t nd_mac_option(uint8_t type)
{
    return type == ND_ADVERT || type == ND_REDIRECT ? ND_OPT_TARGET : ND_OPT_SOURCE;
}

static int nd_read_target(struct weir_nd *nd, const uint8_t *data)
{
    memcpy(nd->target.byte, data + 8, 16);
    return nd->target.byte[0] == 0xff || weir_ip_is_v4(&nd->target) ? -EBADMSG : 0;
}

static int nd_read_head(struct weir_nd *nd, const uint8_t *data)
{
    switch (nd->type) {
    case ND_ROUTER_ADVERT:
        nd->hop_limit = data[4];
        nd->lifetime_s = weir_get16(data + 6);
        nd->reachable_ms = weir_get32(data + 8);
        nd->retrans_ms = weir_get32(data + 12);
        return 0;
    case ND_ADVERT:
        nd->router = data[4] & ND_ROUTER;
        nd->solicited = data[4] & ND_SOLICITED;
        nd->override = data[4] & ND_OVERRIDE;
        return nd_read_target(nd, data);
    case ND_SOLICIT:
    case ND_REDIRECT:
        return nd_read_target(nd, data);
    default:
        return 0;
    }
}

static int nd_read_mac(struct weir_nd *nd, const uint8_t *option, size_t len)
{
    if (len != ND_OPT_MAC_LEN || option[2] & ND_GROUP)
        return -EBADMSG;
    nd->has_mac = true;
    memcpy(nd->mac, option + 2, 6);
    return 0;
}

/* Bits behind the prefix are to be ignored (RFC 4861 4.6.2). */
static struct weir_ip nd_prefix(const uint8_t *from, unsigned bits)
{
    struct weir_ip ip = { .half = { 0, 0 } };

    memcpy(ip.byte, from, (bits + 7) / 8);
    if (bits % 8 != 0)
        ip.byte[bits / 8] &= (uint8_t)(0xff00u >> (bits % 8));
    return ip;
}

static bool nd_prefix_useful(const uint8_t *address, uint32_t valid_s, uint32_t preferred_s)
{
    bool link_local = address[0] == 0xfe && (address[1] & 0xc0) == 0x80;

    return !link_local && address[0] != 0xff && preferred_s <= valid_s;
}

static int nd_read_prefix(struct weir_nd *nd, const uint8_t *option, size_t len)
{
    uint32_t valid_s, preferred_s;

    if (len != 32 || option[2] > 128)
        return -EBADMSG;
    valid_s = weir_get32(option + 4);
    preferred_s = weir_get32(option + 8);
    if (nd->prefixes == WEIR_COUNT(nd->prefix) ||
        !nd_prefix_useful(option + 16, valid_s, preferred_s))
        return 0;
    nd->prefix[nd->prefixes].prefix = nd_prefix(option + 16, option[2]);
    nd->prefix[nd->prefixes].len = option[2];
    nd->prefix[nd->prefixes].on_link = option[3] & ND_ON_LINK;
    nd->prefix[nd->prefixes].autonomous = option[3] & ND_AUTONOMOUS;
    nd->prefix[nd->prefixes].valid_s = valid_s;
    nd->prefix[nd->prefixes].preferred_s = preferred_s;
    nd->prefixes++;
    return 0;
}

static int nd_read_option(struct weir_nd *nd, const uint8_t *option, size_t len)
{
    if (option[0] == nd_mac_option(nd->type))
        return nd_read_mac(nd, option, len);
    if (nd->type != ND_ROUTER_ADVERT)
        return 0;
    if (option[0] == ND_OPT_PREFIX)
        return nd_read_prefix(nd, option, len);
    if (option[0] == ND_OPT_MTU) {
        if (len != 8)
            return -EBADMSG;
        nd->mtu = weir_get32(option + 4);
    }
    return 0;
}

int weir_nd_parse(struct weir_nd *nd, const uint8_t *data, size_t len)
{
    size_t at = len > 0 ? nd_head_len(data[0]) : 0;

    if (at == 0 || len < at || data[1] != 0)
        return -EBADMSG;
    *nd = (struct weir_nd){ .type = data[0] };
    if (nd_read_head(nd, data) < 0)
        return -EBADMSG;
    while (at < len) {
        size_t option = len - at < 8 ? 0 : data[at + 1] * 8u;

        if (option == 0 || option > len - at || nd_read_option(nd, data + at, option) < 0)
            return -EBADMSG;
        at += option;
    }
    return (int)len;
}

int weir_nd_emit(uint8_t *to, const struct weir_nd *nd)
{
    size_t len = nd_head_len(nd->type);

    weir_assert(nd->type == ND_ROUTER_SOLICIT || nd->type == ND_SOLICIT || nd->type == ND_ADVERT);
    memset(to, 0, 8);
    to[0] = nd->type;
    if (nd->type == ND_ADVERT)
        to[4] = (uint8_t)((nd->router ? ND_ROUTER : 0) | (nd->solicited ? ND_SOLICITED : 0) |
                          (nd->override ? ND_OVERRIDE : 0));
    if (nd->type != ND_ROUTER_SOLICIT)
        memcpy(to + 8, nd->target.byte, 16);
    if (!nd->has_mac)
        return (int)len;
    to[len] = nd_mac_option(nd->type);
    to[len + 1] = 1;
    memcpy(to + len + 2, nd->mac, 6);
    return (int)(len + ND_OPT_MAC_LEN);
}
