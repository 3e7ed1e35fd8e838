/* dhcp.c - DHCPv4 messages (RFC 2131, 2132) for Ethernet.
 *
 * Options may go on in the file and sname fields (overload, RFC 2131 4.1).  One that is given twice
 * would have to be joined (RFC 3396): none that we know is that long, so it is refused.  An option
 * of a length that it cannot have, and a field of options without an end, are refused, too; of a
 * list of routers the first counts, of name servers the first three.
 *
 * A client's messages ask for what we use (option 55), and are padded to what BOOTP relays expect.
 */
#include <arpa/inet.h>
#include <errno.h>
#include "net/native/wire/wire.h"

enum {
    DHCP_SNAME = 44,
    DHCP_FILE = 108,
    DHCP_MAGIC_AT = 236,
    DHCP_OPTIONS = 240,
    DHCP_MIN = 300, /* RFC 1542 2.1 */
};

#define DHCP_MAGIC 0x63825363u

enum { DHCP_OP_REQUEST = 1, DHCP_OP_REPLY = 2, DHCP_GROUP = 1, DHCP_BROADCAST = 0x80 };

enum dhcp_option {
    DHCP_OPT_PAD = 0,
    DHCP_OPT_MASK = 1,
    DHCP_OPT_ROUTER = 3,
    DHCP_OPT_DNS = 6,
    DHCP_OPT_MTU = 26,
    DHCP_OPT_REQUESTED = 50,
    DHCP_OPT_LEASE = 51,
    DHCP_OPT_OVERLOAD = 52,
    DHCP_OPT_TYPE = 53,
    DHCP_OPT_SERVER = 54,
    DHCP_OPT_PARAMETERS = 55,
    DHCP_OPT_RENEW = 58,
    DHCP_OPT_REBIND = 59,
    DHCP_OPT_END = 255,
};

enum { DHCP_MTU_MIN = 68, DHCP_OVERLOAD_FILE = 1, DHCP_OVERLOAD_SNAME = 2 };

struct dhcp_reader {
    struct weir_dhcp *dhcp;
    uint64_t seen; /* options below 64: which there were */
    uint8_t overload;
    bool overloaded; /* reading file or sname: no overload in there */
};

static const uint8_t dhcp_wanted[] = { DHCP_OPT_MASK,  DHCP_OPT_ROUTER, DHCP_OPT_DNS,
                                       DHCP_OPT_MTU,   DHCP_OPT_LEASE,  DHCP_OPT_RENEW,
                                       DHCP_OPT_REBIND };

/* --- reading --- */

static uint32_t dhcp_address(const uint8_t *at)
{
    uint32_t address;

    memcpy(&address, at, sizeof address);
    return address;
}

static int dhcp_read_address(uint32_t *address, const uint8_t *data, size_t len)
{
    if (len != 4)
        return -EBADMSG;
    *address = dhcp_address(data);
    return 0;
}

static int dhcp_read_seconds(uint32_t *seconds, const uint8_t *data, size_t len)
{
    if (len != 4)
        return -EBADMSG;
    *seconds = weir_get32(data);
    return 0;
}

/* Ones, then zeros. */
static int dhcp_read_mask(uint32_t *mask, const uint8_t *data, size_t len)
{
    uint32_t zeros;

    if (len != 4)
        return -EBADMSG;
    zeros = ~weir_get32(data);
    *mask = dhcp_address(data);
    return zeros & (zeros + 1) ? -EBADMSG : 0;
}

/* The first `max` addresses of the list that are any. */
static int dhcp_read_list(uint32_t *list, size_t max, const uint8_t *data, size_t len)
{
    size_t count = 0;

    if (len == 0 || len % 4 != 0)
        return -EBADMSG;
    for (size_t at = 0; at < len && count < max; at += 4) {
        list[count] = dhcp_address(data + at);
        count += list[count] != 0;
    }
    return 0;
}

static int dhcp_read_mtu(uint16_t *mtu, const uint8_t *data, size_t len)
{
    if (len != 2)
        return -EBADMSG;
    *mtu = weir_get16(data);
    return *mtu < DHCP_MTU_MIN ? -EBADMSG : 0;
}

static int dhcp_read_byte(uint8_t *byte, const uint8_t *data, size_t len, uint8_t max)
{
    if (len != 1 || data[0] == 0 || data[0] > max)
        return -EBADMSG;
    *byte = data[0];
    return 0;
}

static int dhcp_read_known(struct dhcp_reader *reader, uint8_t option, const uint8_t *data,
                           size_t len)
{
    struct weir_dhcp *dhcp = reader->dhcp;

    switch (option) {
    case DHCP_OPT_MASK:
        return dhcp_read_mask(&dhcp->mask, data, len);
    case DHCP_OPT_ROUTER:
        return dhcp_read_list(&dhcp->router, 1, data, len);
    case DHCP_OPT_DNS:
        return dhcp_read_list(dhcp->dns, WEIR_COUNT(dhcp->dns), data, len);
    case DHCP_OPT_MTU:
        return dhcp_read_mtu(&dhcp->mtu, data, len);
    case DHCP_OPT_REQUESTED:
        return dhcp_read_address(&dhcp->requested, data, len);
    case DHCP_OPT_SERVER:
        return dhcp_read_address(&dhcp->server, data, len);
    case DHCP_OPT_LEASE:
        return dhcp_read_seconds(&dhcp->lease_s, data, len);
    case DHCP_OPT_RENEW:
        return dhcp_read_seconds(&dhcp->renew_s, data, len);
    case DHCP_OPT_REBIND:
        return dhcp_read_seconds(&dhcp->rebind_s, data, len);
    case DHCP_OPT_TYPE:
        return dhcp_read_byte(&dhcp->type, data, len, WEIR_DHCP_RELEASE);
    default: /* DHCP_OPT_OVERLOAD */
        return reader->overloaded ? -EBADMSG : dhcp_read_byte(&reader->overload, data, len, 3);
    }
}

static bool dhcp_is_known(uint8_t option)
{
    const uint64_t known = 1u << DHCP_OPT_MASK | 1u << DHCP_OPT_ROUTER | 1u << DHCP_OPT_DNS |
                           1u << DHCP_OPT_MTU | UINT64_C(1) << DHCP_OPT_REQUESTED |
                           UINT64_C(1) << DHCP_OPT_SERVER | UINT64_C(1) << DHCP_OPT_LEASE |
                           UINT64_C(1) << DHCP_OPT_RENEW | UINT64_C(1) << DHCP_OPT_REBIND |
                           UINT64_C(1) << DHCP_OPT_TYPE | UINT64_C(1) << DHCP_OPT_OVERLOAD;

    return option < 64 && known >> option & 1;
}

static int dhcp_read_option(struct dhcp_reader *reader, uint8_t option, const uint8_t *data,
                            size_t len)
{
    if (!dhcp_is_known(option))
        return 0;
    if (reader->seen >> option & 1)
        return -EBADMSG;
    reader->seen |= UINT64_C(1) << option;
    return dhcp_read_known(reader, option, data, len);
}

/* One field of options, up to its end. */
static int dhcp_read_field(struct dhcp_reader *reader, const uint8_t *data, size_t len)
{
    size_t at = 0;

    while (at < len && data[at] != DHCP_OPT_END) {
        if (data[at] == DHCP_OPT_PAD) {
            at++;
            continue;
        }
        if (len - at < 2 || data[at + 1] > len - at - 2 ||
            dhcp_read_option(reader, data[at], data + at + 2, data[at + 1]) < 0)
            return -EBADMSG;
        at += 2u + data[at + 1];
    }
    return at < len ? 0 : -EBADMSG;
}

/* The options field, then what it is extended by. */
static int dhcp_read_options(struct weir_dhcp *dhcp, const uint8_t *data, size_t len)
{
    struct dhcp_reader reader = { .dhcp = dhcp };

    if (dhcp_read_field(&reader, data + DHCP_OPTIONS, len - DHCP_OPTIONS) < 0)
        return -EBADMSG;
    reader.overloaded = true;
    if (reader.overload & DHCP_OVERLOAD_FILE &&
        dhcp_read_field(&reader, data + DHCP_FILE, DHCP_MAGIC_AT - DHCP_FILE) < 0)
        return -EBADMSG;
    if (reader.overload & DHCP_OVERLOAD_SNAME &&
        dhcp_read_field(&reader, data + DHCP_SNAME, DHCP_FILE - DHCP_SNAME) < 0)
        return -EBADMSG;
    return 0;
}

static bool dhcp_is_reply(uint8_t type)
{
    return type == WEIR_DHCP_OFFER || type == WEIR_DHCP_ACK || type == WEIR_DHCP_NAK;
}

int weir_dhcp_parse(struct weir_dhcp *dhcp, const uint8_t *data, size_t len)
{
    if (len < DHCP_OPTIONS || weir_get32(data + DHCP_MAGIC_AT) != DHCP_MAGIC)
        return -EBADMSG;
    if ((data[0] != DHCP_OP_REQUEST && data[0] != DHCP_OP_REPLY) || data[1] != 1 || data[2] != 6)
        return -EBADMSG;
    *dhcp = (struct weir_dhcp){
        .reply = data[0] == DHCP_OP_REPLY,
        .xid = weir_get32(data + 4),
        .secs = weir_get16(data + 8),
        .broadcast = data[10] & DHCP_BROADCAST,
        .client_ip = dhcp_address(data + 12),
        .your_ip = dhcp_address(data + 16),
    };
    memcpy(dhcp->mac, data + 28, 6);
    if (dhcp->mac[0] & DHCP_GROUP || dhcp_read_options(dhcp, data, len) < 0)
        return -EBADMSG;
    if (dhcp->type == 0 || dhcp_is_reply(dhcp->type) != dhcp->reply)
        return -EBADMSG;
    return (int)len;
}

/* --- writing --- */

/* Where the next option goes; at NULL there was no room for one. */
struct dhcp_writer {
    uint8_t *at, *end;
};

/* An option, with room left for the end; nothing when it does not fit. */
static void dhcp_put(struct dhcp_writer *writer, uint8_t option, const void *data, size_t len)
{
    if (!writer->at)
        return;
    if ((size_t)(writer->end - writer->at) < len + 3) {
        writer->at = NULL;
        return;
    }
    writer->at[0] = option;
    writer->at[1] = (uint8_t)len;
    memcpy(writer->at + 2, data, len);
    writer->at += 2 + len;
}

static void dhcp_put_address(struct dhcp_writer *writer, uint8_t option, uint32_t address)
{
    if (address != 0)
        dhcp_put(writer, option, &address, sizeof address);
}

static void dhcp_put_seconds(struct dhcp_writer *writer, uint8_t option, uint32_t seconds)
{
    dhcp_put_address(writer, option, htonl(seconds));
}

static void dhcp_put_options(struct dhcp_writer *writer, const struct weir_dhcp *dhcp)
{
    uint16_t mtu = htons(dhcp->mtu);
    size_t dns = 0;

    while (dns < WEIR_COUNT(dhcp->dns) && dhcp->dns[dns] != 0)
        dns++;
    dhcp_put(writer, DHCP_OPT_TYPE, &dhcp->type, 1);
    dhcp_put_address(writer, DHCP_OPT_SERVER, dhcp->server);
    dhcp_put_address(writer, DHCP_OPT_REQUESTED, dhcp->requested);
    dhcp_put_address(writer, DHCP_OPT_MASK, dhcp->mask);
    dhcp_put_address(writer, DHCP_OPT_ROUTER, dhcp->router);
    if (dns > 0)
        dhcp_put(writer, DHCP_OPT_DNS, dhcp->dns, dns * 4);
    dhcp_put_seconds(writer, DHCP_OPT_LEASE, dhcp->lease_s);
    dhcp_put_seconds(writer, DHCP_OPT_RENEW, dhcp->renew_s);
    dhcp_put_seconds(writer, DHCP_OPT_REBIND, dhcp->rebind_s);
    if (dhcp->mtu != 0)
        dhcp_put(writer, DHCP_OPT_MTU, &mtu, sizeof mtu);
    if (dhcp->type == WEIR_DHCP_DISCOVER || dhcp->type == WEIR_DHCP_REQUEST)
        dhcp_put(writer, DHCP_OPT_PARAMETERS, dhcp_wanted, sizeof dhcp_wanted);
}

/* Returns the length, or -ENOBUFS. */
int weir_dhcp_emit(uint8_t *to, size_t size, const struct weir_dhcp *dhcp)
{
    struct dhcp_writer writer = { .at = to + DHCP_OPTIONS, .end = to + size };

    weir_assert(dhcp->type != 0 && dhcp->reply == dhcp_is_reply(dhcp->type));
    if (size < DHCP_MIN)
        return -ENOBUFS;
    memset(to, 0, size);
    to[0] = dhcp->reply ? DHCP_OP_REPLY : DHCP_OP_REQUEST;
    to[1] = 1;
    to[2] = 6;
    weir_put32(to + 4, dhcp->xid);
    weir_put16(to + 8, dhcp->secs);
    to[10] = dhcp->broadcast ? DHCP_BROADCAST : 0;
    memcpy(to + 12, &dhcp->client_ip, 4);
    memcpy(to + 16, &dhcp->your_ip, 4);
    memcpy(to + 28, dhcp->mac, 6);
    weir_put32(to + DHCP_MAGIC_AT, DHCP_MAGIC);
    dhcp_put_options(&writer, dhcp);
    if (!writer.at)
        return -ENOBUFS;
    *writer.at++ = DHCP_OPT_END;
    return writer.at - to < DHCP_MIN ? DHCP_MIN : (int)(writer.at - to);
}
