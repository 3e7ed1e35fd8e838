/* wire.h - headers as they stand on the wire, and as structs that can hold only legal values.
 *
 * weir_x_parse() reads a header from `len` bytes and returns how long it is, or -EBADMSG: lengths,
 * versions, checksums of the header itself and every rule that needs no state are checked there,
 * so that nobody looks at raw bytes again.  weir_x_emit() writes one and returns its length.
 * Numbers are in host order, addresses as struct weir_ip. */
#ifndef WEIR_NET_NATIVE_WIRE_WIRE_H
#define WEIR_NET_NATIVE_WIRE_WIRE_H

#include "net/native/native.h"

static inline uint16_t weir_get16(const uint8_t *at)
{
    uint16_t value;

    memcpy(&value, at, sizeof value);
    return __builtin_bswap16(value);
}

static inline uint32_t weir_get32(const uint8_t *at)
{
    uint32_t value;

    memcpy(&value, at, sizeof value);
    return __builtin_bswap32(value);
}

static inline void weir_put16(uint8_t *at, uint16_t value)
{
    value = __builtin_bswap16(value);
    memcpy(at, &value, sizeof value);
}

static inline void weir_put32(uint8_t *at, uint32_t value)
{
    value = __builtin_bswap32(value);
    memcpy(at, &value, sizeof value);
}

/* --- Ethernet (ether.c): IEEE 802.3 frames with an EtherType, one 802.1Q tag --- */

enum {
    WEIR_ETHERTYPE_IP4 = 0x0800,
    WEIR_ETHERTYPE_ARP = 0x0806,
    WEIR_ETHERTYPE_VLAN = 0x8100,
    WEIR_ETHERTYPE_IP6 = 0x86dd,
};

struct weir_ether {
    uint8_t to[6], from[6];
    uint16_t ethertype; /* behind the tag */
    uint16_t vlan;      /* 0: untagged, or priority-tagged */
};

int weir_ether_parse(struct weir_ether *ether, const uint8_t *data, size_t len);
int weir_ether_emit(uint8_t *to, const struct weir_ether *ether);

/* --- ARP (arp.c): RFC 826 for Ethernet and IPv4 --- */

struct weir_arp {
    bool reply;
    uint8_t sender_mac[6], target_mac[6];
    uint32_t sender_ip, target_ip; /* network order */
};

enum { WEIR_ARP_LEN = 28 };
int weir_arp_parse(struct weir_arp *arp, const uint8_t *data, size_t len);
int weir_arp_emit(uint8_t *to, const struct weir_arp *arp);

/* --- IPv4 (ip4.c): RFC 791; options are skipped, source routes refused --- */

struct weir_ip4 {
    struct weir_ip source, target;
    uint8_t header_len, protocol, ttl, tos;
    uint16_t total_len; /* <= len */
    uint16_t id;
    uint16_t fragment_at; /* bytes */
    bool more_fragments, dont_fragment;
};

/* `checked`: the device has verified the header's checksum. */
int weir_ip4_parse(struct weir_ip4 *ip, const uint8_t *data, size_t len, bool checked);
int weir_ip4_emit(uint8_t *to, const struct weir_ip4 *ip); /* 20 bytes, with checksum */

/* --- IPv6 (ip6.c): RFC 8200; walks the extension headers --- */

struct weir_ip6 {
    struct weir_ip source, target;
    uint8_t protocol; /* behind the extension headers */
    uint8_t hop_limit, traffic_class;
    uint16_t header_len; /* with extension headers, up to the transport header or fragment data */
    uint32_t total_len;  /* <= len, and 40 + 65535 */
    bool fragment, more_fragments;
    uint16_t fragment_at;
    uint32_t id;
    uint16_t unrecognized_at; /* an option or header that demands a Parameter Problem: offset from
                               * the IPv6 header; 0: none */
    uint8_t problem_code;     /* then */
    bool problem_even_multicast;
};

int weir_ip6_parse(struct weir_ip6 *ip, const uint8_t *data, size_t len);
int weir_ip6_emit(uint8_t *to, const struct weir_ip6 *ip); /* 40 bytes, no extension */

/* --- ICMPv4 (icmp4.c): RFC 792, 1191; ICMPv6 (icmp6.c): RFC 4443, 4861 --- */

struct weir_icmp {
    uint8_t type, code;
    uint32_t rest; /* the second word: identifier and sequence number, MTU, pointer */
    uint16_t body; /* offset of what follows the first 8 bytes */
};

int weir_icmp4_parse(struct weir_icmp *icmp, const uint8_t *data, size_t len);
int weir_icmp6_parse(struct weir_icmp *icmp, const uint8_t *data, size_t len, uint32_t pseudo_sum);

/* What an error quotes: the start of a packet of ours. -EBADMSG when it is too short to tell. */
struct weir_icmp_quote {
    struct weir_ip source, target;
    uint8_t protocol;
    uint16_t sport, dport;
    uint32_t seq;
    bool has_seq;
};

int weir_icmp_quote_parse(struct weir_icmp_quote *quote, const uint8_t *data, size_t len, bool v6);

/* Neighbour discovery (nd.c): solicitation 135, advertisement 136, router solicitation 133,
 * router advertisement 134, redirect 137 (parsed and ignored by us).  RFC 4861, 4862, 8106. */
struct weir_nd {
    uint8_t type;
    struct weir_ip target;
    bool has_mac;
    uint8_t mac[6];                   /* source or target link-layer address option */
    bool router, solicited, override; /* advertisement */
    uint8_t hop_limit;                /* router advertisement, from here on; 0: unspecified */
    uint16_t lifetime_s;
    uint32_t reachable_ms, retrans_ms, mtu; /* 0: unspecified */
    struct {
        struct weir_ip prefix;
        uint8_t len;
        bool on_link, autonomous;
        uint32_t valid_s, preferred_s;
    } prefix[4];
    uint8_t prefixes;
};

int weir_nd_parse(struct weir_nd *nd, const uint8_t *data,
                  size_t len);                           /* from the ICMPv6 type on */
int weir_nd_emit(uint8_t *to, const struct weir_nd *nd); /* 133, 135, 136; checksum field 0 */

/* --- UDP (udp.c): RFC 768 --- */

struct weir_udp_header {
    uint16_t sport, dport, len; /* len: of header and payload, <= len */
    bool checksum;              /* there is one (IPv4: 0 means none) */
};

int weir_udp_parse(struct weir_udp_header *udp, const uint8_t *data, size_t len);

/* --- TCP (tcp.c): RFC 9293; straight into pkt->rx, for it is the fast path --- */

/* The transport header stands at pkt->l4, the packet ends with the segment.  Fills in pkt->rx but
 * flow and hash; checks lengths, options, not the checksum.  0 or -EBADMSG.  Options that are
 * malformed end the list (RFC 9293 3.1: the rest is ignored; a bad length is -EBADMSG). */
int weir_tcp_parse(struct weir_pkt *pkt);

struct weir_tcp_header {
    uint16_t sport, dport;
    uint32_t seq, ack;
    uint8_t flags;
    uint16_t window, urgent;
    uint16_t mss;   /* 0: no option */
    uint8_t wscale; /* 255: none */
    bool sack_ok, ts;
    uint32_t ts_val, ts_ecr;
    uint8_t sacks; /* blocks, at most 4 (3 with ts) */
    uint32_t sack[4][2];
};

int weir_tcp_emit(uint8_t *to, const struct weir_tcp_header *tcp); /* checksum field 0 */

/* The pseudo-header's sum (RFC 9293 3.1, 8200 8.1). */
uint32_t weir_pseudo_sum(const struct weir_ip *source, const struct weir_ip *target,
                         uint8_t protocol, uint32_t len);

/* --- DHCPv4 (dhcp.c): RFC 2131, 2132 --- */

enum weir_dhcp_type {
    WEIR_DHCP_DISCOVER = 1,
    WEIR_DHCP_OFFER,
    WEIR_DHCP_REQUEST,
    WEIR_DHCP_DECLINE,
    WEIR_DHCP_ACK,
    WEIR_DHCP_NAK,
    WEIR_DHCP_RELEASE,
};

struct weir_dhcp {
    uint8_t type; /* enum weir_dhcp_type */
    uint32_t xid;
    uint16_t secs;
    bool broadcast, reply;
    uint8_t mac[6];
    uint32_t client_ip, your_ip;                      /* network order, like all below; 0: none */
    uint32_t server, requested, mask, router, dns[3]; /* options */
    uint32_t lease_s, renew_s, rebind_s;              /* 0: not given */
    uint16_t mtu;
};

int weir_dhcp_parse(struct weir_dhcp *dhcp, const uint8_t *data, size_t len);
int weir_dhcp_emit(uint8_t *to, size_t size, const struct weir_dhcp *dhcp);

#endif
