/* ip.h - the IP layer of one shard, and what its parts call each other by.
 *
 *     ether.c  frames in and out            path.c  how a transport sends
 *     iface.c  addresses                    route.c longest prefix, next hop
 *     neigh.c  who has which MAC            arp.c nd.c  finding that out
 *     ip4.c ip6.c  packets in               frag.c  putting fragments together
 *     icmp.c icmp4.c icmp6.c                pmtu.c  what the paths carry
 *     ra.c dhcp.c  configuring ourselves    mld.c   which groups we listen to
 *     ip.c         opening and closing, settings
 *
 * Every shard runs all of it on its own copy of the state.  What every shard has to know arrives at
 * one of them and is shown to the others (weir_steer_everyone), so the copies agree; shard 0 alone
 * speaks for the host (announcements, duplicate detection, solicitations of routers, DHCP), and
 * what has to be the same everywhere without talking (interface identifiers, DHCP's xid) is
 * derived from the secret they share.  weir_ip_open wants config->secret to be that: not 0.
 *
 * How GLUE opens it: weir_iface_init for [0] (loop) and perhaps [1], native->shard, pkts, then
 * weir_ip_open. */
#ifndef WEIR_NET_NATIVE_IP_H
#define WEIR_NET_NATIVE_IP_H

#include <weir/time.h>
#include "core/wheel.h"
#include "net/native/native.h"
#include "net/native/wire/wire.h"

struct weir_ip_layer;

/* --- iface.c: interfaces and their addresses --- */

enum { WEIR_IFACE_LOOP = 0, WEIR_IFACE_WIRE = 1 };

enum weir_addr_state {
    WEIR_ADDR_TENTATIVE,  /* duplicate detection is under way: not ours yet (RFC 4862 5.4) */
    WEIR_ADDR_PREFERRED,  /* ours */
    WEIR_ADDR_DEPRECATED, /* ours, but not chosen for new flows (RFC 4862 5.5.4) */
    WEIR_ADDR_DUPLICATE,  /* somebody else has it: not ours */
};

enum weir_addr_origin { WEIR_ADDR_STATIC, WEIR_ADDR_DHCP, WEIR_ADDR_SLAAC, WEIR_ADDR_LINK_LOCAL };

void weir_iface_init(struct weir_iface *iface, struct weir_native *native, unsigned index,
                     struct weir_dev_queue *queue, uint16_t vlan);

/* Adds it, with the route to its prefix; begins duplicate detection and announces it as its origin
 * asks.  One that is there already gets the new lifetimes.  -ENOSPC: WEIR_IFACE_ADDRS are there. */
int weir_iface_add(struct weir_iface *iface, const struct weir_iface_addr *addr);
void weir_iface_del(struct weir_iface *iface, const struct weir_ip *ip);

/* In any state; NULL: none. */
struct weir_iface_addr *weir_iface_find(struct weir_iface *iface, const struct weir_ip *ip);

/* Somebody else has it: it is not used any more (until it is configured anew). */
void weir_iface_duplicate(struct weir_iface *iface, struct weir_iface_addr *addr,
                          const uint8_t mac[6]);

/* The best of ours to speak from, towards `remote` by way of `hop`; NULL: none (RFC 6724). */
const struct weir_iface_addr *weir_iface_source(const struct weir_iface *iface,
                                                const struct weir_ip *remote,
                                                const struct weir_ip *hop);

/* The one that is usable; NULL: none. */
const struct weir_iface_addr *weir_iface_link_local(const struct weir_iface *iface);

void weir_iface_close(struct weir_native *native);

static inline bool weir_addr_usable(const struct weir_iface_addr *addr)
{
    return addr->state == WEIR_ADDR_PREFERRED || addr->state == WEIR_ADDR_DEPRECATED;
}

/* Of two addresses as written: how many leading bits are the same, at most 128. */
unsigned weir_ip_common(const struct weir_ip *a, const struct weir_ip *b);

static inline bool weir_ip_in(const struct weir_ip *ip, const struct weir_ip *prefix, unsigned bits)
{
    return weir_ip_common(ip, prefix) >= bits;
}

static inline bool weir_ip_is_link_local(const struct weir_ip *ip)
{
    return ip->byte[0] == 0xfe && (ip->byte[1] & 0xc0) == 0x80;
}

static inline bool weir_ip_is_loopback(const struct weir_ip *ip)
{
    if (weir_ip_is_v4(ip))
        return ip->byte[12] == 127;
    return ip->half[0] == 0 && ip->word[2] == 0 && ip->word[3] == htonl(1);
}

/* For tables of our own: all bits of the address in all bits of the figure (Murmur's finaliser). */
static inline uint64_t weir_ip_hash(const struct weir_ip *ip, uint64_t secret)
{
    uint64_t mix = (ip->half[0] ^ secret) * UINT64_C(0x9e3779b97f4a7c15);

    mix = (mix ^ (mix >> 32) ^ ip->half[1]) * UINT64_C(0xff51afd7ed558ccd);
    mix = (mix ^ (mix >> 33)) * UINT64_C(0xc4ceb9fe1a85ec53);
    return mix ^ (mix >> 33);
}

/* ff02::1:ffxx:xxxx (RFC 4291 2.7.1), and the MAC of a multicast or broadcast address (RFC 2464 7,
 * RFC 1112 6.4). */
struct weir_ip weir_ip_solicited_node(const struct weir_ip *ip);
void weir_ip_group_mac(uint8_t mac[6], const struct weir_ip *group);

/* Whether packets to this IPv6 group concern us: all nodes, or the solicited-node group of one of
 * our addresses (tentative ones, too). */
bool weir_iface_in_group(const struct weir_iface *iface, const struct weir_ip *group);

/* --- route.c --- */

struct weir_route {
    struct weir_ip prefix, gateway; /* unspecified: on the link */
    uint8_t bits;                   /* of 128 */
    uint8_t iface;
    uint8_t origin; /* enum weir_addr_origin */
    weir_time valid_until;
};

/* Longest prefix first, then as they came.  The same prefix and gateway again: new lifetime. */
int weir_route_add(struct weir_native *native, const struct weir_route *route);
void weir_route_del(struct weir_native *native, const struct weir_ip *prefix, unsigned bits,
                    const struct weir_ip *gateway);

/* NULL: none.  A gateway that does not answer (WEIR_NEIGH_FAILED) is passed over while there is
 * another one for the same prefix (RFC 1122 3.3.1.4, RFC 4861 6.3.6). */
const struct weir_route *weir_route_find(const struct weir_native *native,
                                         const struct weir_ip *to);

/* --- neigh.c: RFC 4861's states, for ARP as well --- */

enum {
    WEIR_NEIGHS = 4096,          /* entries; those no path refers to go first, oldest first */
    WEIR_NEIGH_WAITING = 4,      /* packets that wait for one neighbour */
    WEIR_NEIGHS_WAITING = 64,    /* ... for all of them */
    WEIR_NEIGH_SOLICITATIONS = 3 /* before it counts as gone */
};

enum weir_neigh_state {
    WEIR_NEIGH_FREE,
    WEIR_NEIGH_NEW,        /* nothing known, nothing asked */
    WEIR_NEIGH_INCOMPLETE, /* asked everybody */
    WEIR_NEIGH_FAILED,     /* nobody answered: not asked again for a while */
    WEIR_NEIGH_STALE,      /* from here on mac is known */
    WEIR_NEIGH_DELAY,      /* used while stale: somebody may confirm it before we ask */
    WEIR_NEIGH_PROBE,      /* asked it */
    WEIR_NEIGH_REACHABLE,
};

struct weir_neigh {
    struct weir_ip ip;
    uint8_t mac[6];
    uint8_t state;  /* enum weir_neigh_state */
    uint8_t probes; /* sent in this state */
    uint16_t next;  /* in its hash chain; WEIR_NEIGH_NONE ends it */
    bool router;    /* said so (RFC 4861 7.3.3) */
    bool known;     /* mac has been set once: paths may have a copy */
    uint8_t waiting;
    uint32_t refs; /* paths */
    weir_time confirmed_at;
    struct weir_alarm alarm;
    struct weir_link unused; /* in neighs.unused while refs is 0 */
    struct weir_neighs *neighs;
};

struct weir_neighs {
    struct weir_native *native;
    struct weir_neigh *neigh; /* WEIR_NEIGHS of them */
    uint16_t bucket[WEIR_NEIGHS];
    struct weir_link unused; /* refs 0: the next to be taken first */
    struct {
        struct weir_pkt *pkt;
        uint16_t neigh;
    } waiting[WEIR_NEIGHS_WAITING]; /* oldest first: whole frames without their target's MAC */
    unsigned waiting_count;
    weir_time reachable, retrans; /* from router advertisements, or the defaults */
    uint64_t secret;
};

int weir_neighs_init(struct weir_neighs *neighs, struct weir_native *native, uint64_t secret);
void weir_neighs_free(struct weir_neighs *neighs);

/* The entry of this address, or WEIR_NEIGH_NONE; `get` makes it (NONE: all are in use). */
unsigned weir_neigh_find(const struct weir_neighs *neighs, const struct weir_ip *ip);
unsigned weir_neigh_get(struct weir_neighs *neighs, const struct weir_ip *ip);
void weir_neigh_ref(struct weir_neighs *neighs, unsigned index);
void weir_neigh_unref(struct weir_neighs *neighs, unsigned index);

/* A packet is to go there: asks where nothing is known, doubts what is stale.  0: mac can be used;
 * -EAGAIN: it has to wait (weir_neigh_wait); -EHOSTUNREACH. */
int weir_neigh_use(struct weir_neigh *neigh);

/* Keeps a frame until the MAC is known; takes it.  The oldest goes when there are too many. */
void weir_neigh_wait(struct weir_neighs *neighs, unsigned index, struct weir_pkt *pkt);

enum weir_neigh_news {
    WEIR_NEIGH_SEEN,      /* it sent something that names its MAC: nothing is proven */
    WEIR_NEIGH_ANSWERED,  /* it answered us: it hears us */
    WEIR_NEIGH_ANNOUNCED, /* an answer nobody asked for */
};

/* `override`: may replace a MAC that is known (RFC 4861 7.2.5). */
void weir_neigh_learn(struct weir_neighs *neighs, unsigned index, const uint8_t mac[6],
                      enum weir_neigh_news news, bool override);
void weir_neigh_confirm(struct weir_neighs *neighs, unsigned index);

/* --- arp.c (RFC 826, 1122 2.3.2, 5227) --- */

void weir_arp_input(struct weir_iface *iface, struct weir_pkt *pkt, unsigned at);
void weir_arp_solicit(struct weir_iface *iface, const struct weir_ip *target,
                      const uint8_t mac[6]);                    /* mac NULL: everybody */
void weir_arp_probe(struct weir_iface *iface, uint32_t target); /* from 0.0.0.0 */
void weir_arp_announce(struct weir_iface *iface, uint32_t ip);

/* --- nd.c (RFC 4861, 4862) --- */

void weir_nd_input(struct weir_iface *iface, struct weir_pkt *pkt, const struct weir_ip6 *ip,
                   unsigned at);
void weir_nd_solicit(struct weir_iface *iface, const struct weir_ip *target, const uint8_t *mac);
void weir_nd_probe(struct weir_iface *iface, const struct weir_ip *target); /* from :: */
void weir_nd_announce(struct weir_iface *iface, const struct weir_ip *ip);
void weir_nd_solicit_routers(struct weir_iface *iface);

/* --- mld.c (RFC 3810, 2710) --- */

enum weir_mld_record { WEIR_MLD_IS_EXCLUDE = 2, WEIR_MLD_TO_INCLUDE = 3, WEIR_MLD_TO_EXCLUDE = 4 };

enum { WEIR_MLD_DUE = 2 * WEIR_IFACE_ADDRS };

/* What is to be said about a group. */
struct weir_mld_due {
    struct weir_ip group;
    weir_time at;
    uint8_t type; /* enum weir_mld_record */
    uint8_t times;
};

struct weir_mld {
    struct weir_mld_due due[WEIR_MLD_DUE];
    unsigned count;
    weir_time all_at;   /* then all groups are reported; WEIR_NEVER */
    weir_time v1_until; /* until then by version 1 */
    struct weir_alarm alarm;
};

void weir_mld_init(struct weir_mld *mld);

/* We have this address; we have it no longer (it is not in the table any more); there is a
 * link-local address now, so all is to be said again. */
void weir_mld_join(struct weir_iface *iface, const struct weir_ip *ip);
void weir_mld_leave(struct weir_iface *iface, const struct weir_ip *ip);
void weir_mld_again(struct weir_iface *iface);

/* A query; l3 and l4 are set.  Does not take the packet. */
void weir_mld_query(struct weir_iface *iface, const struct weir_pkt *pkt,
                    const struct weir_ip6 *ip);

/* --- ip4.c, ip6.c: they take the packet, and give back what is a TCP segment, ready for
 * weir_tcp_input_burst; else NULL.  The IP header begins at `at`; `group`: the frame went to a
 * group of stations --- */

struct weir_pkt *weir_ip4_input(struct weir_iface *iface, struct weir_pkt *pkt, unsigned at,
                                bool group);
struct weir_pkt *weir_ip6_input(struct weir_iface *iface, struct weir_pkt *pkt, unsigned at,
                                bool group);

/* Addresses of a packet whose l3 is set, and what it carries; behind which header is l4's to say.
 */
void weir_ip_of(const struct weir_pkt *pkt, struct weir_ip *source, struct weir_ip *target);

/* Before TCP or UDP drop a packet for its checksum: whether it holds just the pseudo-header's sum,
 * as a kernel leaves it for its own devices.  Counts it and tells the cure. */
bool weir_ip_is_partial_csum(struct weir_native *native, const struct weir_pkt *pkt);

/* --- frag.c --- */

enum {
    WEIR_FRAGS = 64,           /* datagrams that are being put together, per shard */
    WEIR_FRAGS_OF_SOURCE = 16, /* ... of one source */
    WEIR_FRAG_PIECES = 128,    /* fragments of one datagram */
    WEIR_FRAG_BYTES = 1 << 20, /* of payload that is held, per shard */
};

struct weir_frag_key {
    struct weir_ip source, target;
    uint32_t id;
    uint8_t protocol; /* of IPv4; 0 for IPv6 (RFC 8200 4.5) */
};

struct weir_frag_info {
    struct weir_frag_key key;
    uint8_t next;   /* protocol of the whole */
    uint32_t at;    /* offset in the whole */
    uint32_t begin; /* of the fragment's data, from the IP header */
    uint32_t end;
    bool more;
};

struct weir_frag_slot;
struct weir_frags {
    struct weir_native *native;
    struct weir_frag_slot *slot; /* WEIR_FRAGS of them */
    uint8_t *rooms;              /* one each, for the bytes */
    struct weir_link waiting;    /* incomplete ones, oldest first */
    struct weir_link free;
    uint32_t bytes;
    struct weir_alarm alarm;
};

int weir_frags_init(struct weir_frags *frags, struct weir_native *native);
void weir_frags_free(struct weir_frags *frags);

/* Takes a fragment.  Returns the whole packet when it was the last that was missing: a plain IP
 * header in front, l3 set, without fragment header; else NULL. */
struct weir_pkt *weir_frag_input(struct weir_iface *iface, struct weir_pkt *pkt, unsigned at,
                                 const struct weir_frag_info *info);

/* --- icmp.c, icmp4.c, icmp6.c --- */

enum { WEIR_ICMP_BURST = 50, WEIR_ICMP_PER_SECOND = 100 };

enum {
    WEIR_ICMP4_ECHO_REPLY = 0,
    WEIR_ICMP4_UNREACHABLE = 3,
    WEIR_ICMP4_ECHO = 8,
    WEIR_ICMP4_TIME_EXCEEDED = 11,
    WEIR_ICMP4_PROBLEM = 12,
    WEIR_ICMP6_UNREACHABLE = 1,
    WEIR_ICMP6_TOO_BIG = 2,
    WEIR_ICMP6_TIME_EXCEEDED = 3,
    WEIR_ICMP6_PROBLEM = 4,
    WEIR_ICMP6_ECHO = 128,
    WEIR_ICMP6_ECHO_REPLY = 129,
};

/* All take the packet; l3 and l4 are set, it ends with the message. */
void weir_icmp4_input(struct weir_iface *iface, struct weir_pkt *pkt, bool group);
void weir_icmp6_input(struct weir_iface *iface, struct weir_pkt *pkt, const struct weir_ip6 *ip,
                      bool group);

/* The error message in `pkt` quotes a packet of ours: tells the transport whose it was, here or on
 * its shard.  Takes it. */
void weir_icmp_report(struct weir_native *native, struct weir_pkt *pkt,
                      const struct weir_icmp_quote *quote, int error, uint16_t mtu);

/* Answers an echo request.  Takes it. */
void weir_icmp_echo(struct weir_iface *iface, struct weir_pkt *pkt, uint8_t reply_type);

/* A packet of ours cannot be sent: tells the transport.  Takes it. */
void weir_icmp_failed(struct weir_native *native, struct weir_pkt *pkt, int error);

/* Sends an error about the packet (l3 set; not taken), if one may be sent about it: `rest` is the
 * second word.  Rate-limited. */
void weir_icmp_error(struct weir_iface *iface, const struct weir_pkt *pkt, uint8_t type,
                     uint8_t code, uint32_t rest);

/* --- pmtu.c (RFC 1191, 8201) --- */

enum { WEIR_PMTU_SETS = 64, WEIR_PMTU_WAYS = 4, WEIR_PMTU_MIN4 = 552, WEIR_PMTU_MIN6 = 1280 };

struct weir_pmtu {
    struct weir_ip to;
    weir_time until; /* 0: free */
    uint16_t mtu;
};

struct weir_pmtus {
    struct weir_native *native;
    struct weir_pmtu entry[WEIR_PMTU_SETS][WEIR_PMTU_WAYS];
    struct weir_alarm alarm;
};

void weir_pmtus_init(struct weir_pmtus *pmtus, struct weir_native *native);

/* A router cannot carry more than mtu to there.  Returns what is taken for the path's MTU now. */
uint16_t weir_pmtu_learn(struct weir_native *native, const struct weir_ip *to, uint16_t mtu);
uint16_t weir_pmtu_find(const struct weir_native *native, const struct weir_ip *to,
                        uint16_t otherwise);

/* --- ra.c: routers and addresses by their advertisements --- */

struct weir_ra {
    struct weir_iface *iface;
    bool slaac;              /* addresses, too, not only routers */
    uint8_t solicitations;   /* sent */
    bool heard;              /* a router has advertised */
    struct weir_alarm alarm; /* the next of those */
};

void weir_ra_open(struct weir_ra *ra, struct weir_iface *iface, bool slaac);
void weir_ra_close(struct weir_ra *ra);
void weir_ra_input(struct weir_ra *ra, const struct weir_ip *router, const struct weir_nd *nd);

/* --- dhcp.c (RFC 2131) --- */

enum weir_dhcp_state {
    WEIR_DHCP_OFF,
    WEIR_DHCP_SELECTING,
    WEIR_DHCP_REQUESTING,
    WEIR_DHCP_CHECKING, /* has the lease, asks by ARP whether somebody uses the address */
    WEIR_DHCP_BOUND,
    WEIR_DHCP_RENEWING,
    WEIR_DHCP_REBINDING,
};

struct weir_dhcp_client {
    struct weir_iface *iface;
    uint8_t state;          /* enum weir_dhcp_state; followers know SELECTING, CHECKING, BOUND */
    uint8_t tries;          /* of the message that waits for an answer */
    uint8_t probes;         /* sent in CHECKING */
    bool told;              /* that there is no server */
    uint32_t xid;           /* the same on every shard */
    weir_time began;        /* the exchange, for `secs` */
    weir_time asked;        /* the lease's times count from there */
    struct weir_dhcp offer; /* chosen, then acknowledged */
    uint8_t server_mac[6];
    weir_time renew_at, rebind_at, expire_at;
    struct weir_alarm alarm; /* the next thing to do */
};

void weir_dhcp_open(struct weir_dhcp_client *dhcp, struct weir_iface *iface);
void weir_dhcp_close(struct weir_dhcp_client *dhcp);

/* Whether a UDP datagram is for it; takes it then. */
bool weir_dhcp_input(struct weir_iface *iface, struct weir_pkt *pkt, const struct weir_ip4 *ip);

/* ARP has seen somebody else with this address. */
void weir_dhcp_conflict(struct weir_dhcp_client *dhcp, uint32_t ip);

/* --- the whole --- */

struct weir_ip_layer {
    struct weir_native *native;
    bool lead;   /* shard 0: speaks for the host */
    bool no_ip6; /* on the wire: somebody else has our MAC (RFC 4862 5.4.5) */
    uint64_t secret;
    uint32_t own4[WEIR_IFACE_ADDRS], broadcast4[WEIR_IFACE_ADDRS]; /* of the wire; network order */
    unsigned own4_count, broadcast4_count;
    struct weir_route route[WEIR_ROUTES];
    unsigned routes;
    struct weir_alarm lifetimes; /* of addresses and routes; duplicate detection */
    struct {                     /* by the address's place in its interface */
        weir_time probe_at;      /* then it is asked for; 0: it was */
        weir_time dad_until;     /* tentative until then; 0: not under way */
        weir_time announce_at, defended_at;
        uint8_t announcements;
    } extra[WEIR_IFACE_ADDRS];
    struct weir_neighs neighs;
    struct weir_frags frags;
    struct weir_pmtus pmtus;
    struct weir_mld mld;
    struct weir_ra ra;
    struct weir_dhcp_client dhcp;
    uint64_t icmp_tokens; /* in units of 1/1000 */
    weir_time icmp_filled;
};

static inline struct weir_iface *weir_ip_wire(struct weir_native *native)
{
    return &native->iface[WEIR_IFACE_WIRE];
}

/* Something about addresses or routes has changed: paths look again, and so does the alarm that
 * ends them.  iface.c */
void weir_iface_changed(struct weir_native *native);
weir_time weir_route_expire(struct weir_native *native); /* when to call again */

/* Alarms on the wheel of the stack's shard, whichever shard runs. */
static inline void weir_ip_alarm_clear(struct weir_native *native, struct weir_alarm *alarm)
{
    if (weir_alarm_armed(alarm))
        weir_wheel_del(&native->shard->wheel, alarm);
}

static inline void weir_ip_alarm_set(struct weir_native *native, struct weir_alarm *alarm,
                                     weir_time when)
{
    weir_ip_alarm_clear(native, alarm);
    weir_wheel_add(&native->shard->wheel, alarm, when);
}

/* A 64-bit figure of `text`'s bytes that only those who share the secret can tell. */
uint64_t weir_ip_secret(const struct weir_ip_layer *ip, const void *data, size_t len,
                        uint64_t salt);

/* --- text (ip.c) --- */

/* "192.0.2.1" or "2001:db8::1".  -EINVAL. */
int weir_ip_parse(struct weir_ip *ip, const char *text, size_t len);

#endif
