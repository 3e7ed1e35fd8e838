/* native.h - TCP/IP in user space: one stack per shard, and what its layers are made of.
 *
 *     device (net/dev.h)  ->  ether.c  ->  arp.c | ip4.c | ip6.c  ->  icmp*.c | udp.c | tcp_*.c  ->
 * socket.c
 *
 * Every shard has the whole stack: its own queue of the device, its own neighbours, routes, flows
 * and packets, all of it without locks.  A flow (two addresses, two ports) belongs to the shard
 * weir_flow_shard() says, by a hash that a NIC can compute as well; a packet that arrives elsewhere
 * is forwarded there (steer.c).  What is nobody's flow (ARP, neighbour discovery, router
 * advertisements) is shown to every shard.
 *
 * Time is shard->now and randomness weir_shard_random(), never anything else: so the stack runs in
 * the simulation.  Packets come in bursts and go through stage by stage; what connections want to
 * send is gathered and goes out once per burst.
 *
 * Nothing here suspends and nothing here allocates per packet. */
#ifndef WEIR_NET_NATIVE_NATIVE_H
#define WEIR_NET_NATIVE_NATIVE_H

#include "net/dev.h"
#include "net/stack.h"

struct weir_native;
struct weir_tcp;

/* --- addresses: IPv4 as ::ffff:a.b.c.d, so that there is one kind --- */

struct weir_ip {
    union {
        uint8_t byte[16];
        uint32_t word[4]; /* network order */
        uint64_t half[2];
    };
};

static inline bool weir_ip_eq(const struct weir_ip *a, const struct weir_ip *b)
{
    return a->half[0] == b->half[0] && a->half[1] == b->half[1];
}

static inline struct weir_ip weir_ip_v4(uint32_t network_order)
{
    return (struct weir_ip){ .word = { 0, 0, htonl(0xffff), network_order } };
}

static inline bool weir_ip_is_v4(const struct weir_ip *ip)
{
    return ip->half[0] == 0 && ip->word[2] == htonl(0xffff);
}

static inline bool weir_ip_is_any(const struct weir_ip *ip)
{
    return ip->half[0] == 0 && (ip->half[1] == 0 || (weir_ip_is_v4(ip) && ip->word[3] == 0));
}

/* From and to the public form; ports in host order.  -EAFNOSUPPORT for Unix-domain. */
int weir_ip_from_addr(struct weir_ip *ip, uint16_t *port, const struct weir_addr *addr);
void weir_ip_to_addr(struct weir_addr *addr, const struct weir_ip *ip, uint16_t port);
const char *weir_ip_format(const struct weir_ip *ip, char text[64]);

/* --- flows: what a TCP packet belongs to (flows.c) --- */

struct weir_flow_key {
    struct weir_ip local, remote;
    uint16_t local_port, remote_port; /* host order */
};

enum weir_flow_kind {
    WEIR_FLOW_TCP,    /* struct weir_tcp: a connection */
    WEIR_FLOW_WAIT,   /* struct weir_tcp_wait: one in TIME-WAIT */
    WEIR_FLOW_DETOUR, /* struct weir_detour: it lives on another shard than its hash says */
};

struct weir_flow {
    struct weir_flow_key key;
    uint32_t hash;
    uint8_t kind; /* enum weir_flow_kind */
};

/* Toeplitz over source and destination as they stand in packets that COME IN (remote first), with
 * the device's key, or a secret one; the same figure a NIC's RSS gives. */
uint32_t weir_flow_hash(const struct weir_native *native, const struct weir_flow_key *key);

/* Whose a flow is. */
unsigned weir_flow_shard(const struct weir_native *native, uint32_t hash);

/* Open addressing, cache-line buckets of eight (tag, pointer) words; never grows: sized by
 * conns_max at start, virtual memory that is touched on demand. */
struct weir_flows {
    uint64_t *bucket; /* 8 words each */
    uint32_t mask;    /* buckets - 1 */
    uint32_t count, max;
    uint32_t changes; /* flows added and taken out so far: what was found may be gone */
};

int weir_flows_init(struct weir_flows *flows, uint32_t max);
void weir_flows_free(struct weir_flows *flows);
void weir_flows_prefetch(const struct weir_flows *flows, uint32_t hash);
struct weir_flow *weir_flows_find(const struct weir_flows *flows, uint32_t hash,
                                  const struct weir_flow_key *key);
int weir_flows_add(struct weir_flows *flows, struct weir_flow *flow); /* flow->hash, key are set;
                                                                       * -ENOBUFS: full */
void weir_flows_del(struct weir_flows *flows, struct weir_flow *flow);

/* All of them, in any order: the one at place `at`, from 0 to weir_flows_places() - 1; or NULL. */
struct weir_flow *weir_flows_at(const struct weir_flows *flows, size_t at);
size_t weir_flows_places(const struct weir_flows *flows);

/* --- interfaces, neighbours, routes (iface.c, neigh.c, route.c) --- */

enum { WEIR_IFACE_ADDRS = 8, WEIR_ROUTES = 32, WEIR_IFACES = 2, WEIR_NEIGH_NONE = 65535 };

struct weir_iface_addr {
    struct weir_ip ip;
    uint8_t prefix; /* bits; of 128: IPv4's + 96 */
    uint8_t state;  /* enum weir_addr_state: tentative addresses are not used yet (RFC 4862) */
    uint8_t origin; /* static, DHCP, SLAAC, link-local */
    weir_time valid_until, preferred_until;
};

struct weir_iface {
    struct weir_native *native;
    struct weir_dev_queue *queue;
    uint8_t mac[6];
    uint16_t mtu;
    uint16_t vlan; /* 0: none */
    uint8_t index;
    uint8_t hop_limit;
    struct weir_iface_addr addr[WEIR_IFACE_ADDRS];
    uint8_t addr_count;
    /* packets on their way to the device, sent by weir_iface_flush */
    struct weir_pkt *tx[WEIR_DEV_BURST];
    unsigned tx_count;
    uint32_t tx_room; /* that the device is sure to take, with those: weir_iface_room() */
    bool tx_open;     /* the device has some that it may keep until tx_flush */
};

/* How packets get from here to there; a connection keeps one, so it is small: interface and
 * neighbour by index, the addresses only in the header.  The header is ready to be copied in front
 * of the payload: Ethernet, perhaps VLAN, IP without its length, id and checksum. */
struct weir_path {
    uint32_t generation; /* of native->generation when this was looked up: else look again */
    uint32_t ip_sum;     /* of the constant words of the IPv4 header */
    uint32_t pseudo_sum; /* of the pseudo-header without the length */
    uint16_t mtu;        /* of the path (PMTU), of IP */
    uint16_t neigh;      /* index; WEIR_NEIGH_NONE on a loop */
    uint8_t iface;       /* index */
    uint8_t l3;          /* offset of the IP header in `header` */
    uint8_t header_len;  /* 0: not open */
    bool v6, ready;      /* ready: the header's destination MAC is known and was confirmed */
    uint8_t header[58];
};

/* Looks up the route, the neighbour, the path MTU; chooses *local when it is unspecified.  0;
 * -ENETUNREACH, -EADDRNOTAVAIL. */
int weir_path_open(struct weir_native *native, struct weir_path *path, struct weir_ip *local,
                   const struct weir_ip *remote, uint8_t protocol);
void weir_path_close(struct weir_native *native, struct weir_path *path);

/* Looks again when routes, neighbours or path MTUs have changed since (path->mtu may be another
 * then); weir_path_send does it by itself.  0, or as weir_path_open: the path stays as it was. */
int weir_path_refresh(struct weir_native *native, struct weir_path *path);

/* Sends pkt: its bytes are the transport header (and payload), checksum done (or left to the
 * device, WEIR_PKT_L4_CSUM with csum fields relative to the transport header).  Puts IP and
 * Ethernet headers in front; waits for neighbour resolution in a bounded queue.  Takes the packet.
 * `frag`s are counted in.  0, or -EHOSTUNREACH, -ENOBUFS, -EMSGSIZE: dropped. */
int weir_path_send(struct weir_native *native, struct weir_path *path, struct weir_pkt *pkt);

/* The peer has shown that it hears us (RFC 4861 7.3.1, RFC 1122 2.3.2.1): no probe is needed. */
void weir_path_confirm(struct weir_native *native, struct weir_path *path);

/* Whether this address is one of ours (or loopback), and usable; broadcast and multicast. */
bool weir_ip_is_local(const struct weir_native *native, const struct weir_ip *ip);
bool weir_ip_is_broadcast(const struct weir_native *native, const struct weir_ip *ip);
bool weir_ip_is_multicast(const struct weir_ip *ip);

/* --- the stack of one shard --- */

enum { WEIR_NATIVE_ACKS = 256 }; /* more are looked at before the turn is over */

/* Everything that is read by all shards: made before they start, dropped when the last has ended.
 * Only `listening` changes, under its lock. */
struct weir_native_shared;

struct weir_native_stats {
    uint64_t eth_bad, arp_bad, ip_bad, ip_not_ours, ip_no_route, icmp_bad, udp_bad, udp_no_port;
    uint64_t frags_in, frags_joined, frags_dropped, neigh_dropped, forwarded, forward_dropped;
    uint64_t partial_csum; /* a kernel peer left checksums undone: see weir_native_say */
    uint64_t tcp_bad, tcp_in, tcp_out, tcp_retransmits, tcp_timeouts, tcp_rst_in, tcp_rst_out;
    uint64_t tcp_challenge_acks, tcp_challenge_limited, tcp_paws, tcp_ooo, tcp_ooo_dropped,
        tcp_dup_acks;
    uint64_t tcp_fast_recoveries, tcp_tlp, tcp_spurious, tcp_cookies_sent, tcp_cookies_good,
        tcp_cookies_bad;
    uint64_t tcp_syn_dropped, tcp_accept_overflow, tcp_passive, tcp_active, tcp_no_memory;
    uint64_t tcp_keepalives, tcp_persists, tcp_time_wait_reused;
};

struct weir_native {
    struct weir_stack stack;   /* the public face: ops of socket.c */
    struct weir_driver driver; /* polls the devices, then `below` */
    struct weir_driver *below; /* kernel sockets, or the simulation: sleeps for us */
    struct weir_shard *shard;
    struct weir_native_shared *shared;

    struct weir_iface iface[WEIR_IFACES]; /* [0]: loopback */
    unsigned ifaces;
    struct weir_pkts pkts;
    struct weir_pool bigs; /* packets longer than those: bigs.c */
    uint32_t generation;   /* grows when routes, addresses or neighbours change */

    const struct weir_toeplitz *toeplitz; /* of `shared`, as is: */
    const uint8_t *flow_table;            /* 128 entries: whose a flow is, by its hash */
    struct weir_flows flows;
    struct weir_pool conns, waits, detours; /* weir_tcp, weir_tcp_wait, weir_detour */
    struct weir_tcp *output;                /* connections with something to send: by output_next */
    struct weir_tcp *output_last;
    struct weir_tcp *acks[WEIR_NATIVE_ACKS]; /* began to delay an ACK in this turn: tcp_timer.c */
    uint32_t acks_count;
    struct weir_tcp *output_stop; /* the last that weir_tcp_output_all is going to do */
    struct weir_link listeners;   /* struct weir_native_listener */
    struct weir_link time_waits;  /* oldest first: one alarm for all */
    struct weir_alarm time_wait_alarm;
    struct weir_link later; /* operations that end at the next poll, with io->stack[0] */

    struct weir_ip_layer *ip;   /* ip.h: neighbours, routes, reassembly, path MTUs, ids */
    struct weir_udp_layer *udp; /* udp.h */
    struct weir_tcp_layer *tcp; /* tcp.h: secrets, cookies, challenge budget, settings */
    struct weir_steer *steer;   /* steer.c */
    struct weir_native_stats stats;
    weir_time said; /* the last time a problem was told: rate limit */

    /* --- native.c, socket.c, listener.c --- */
    uint32_t conns_max;
    uint32_t turns;           /* of the driver */
    weir_time below_at;       /* when `below` was polled last */
    weir_time rx_at;          /* when a packet arrived last */
    uint32_t stopping;        /* listeners that wait for handshakes to end */
    bool must_poll;           /* one of the devices */
    bool nudge;               /* listeners should look again: there is room */
    bool want_room;           /* some listener waits for a connection to be closed */
    bool counted_user;        /* in shared->users */
    weir_time linger_until;   /* fibers are over: see native.c; 0: they are not */
    struct weir_link starved; /* sends that wait for packets: weir_io.link */
    struct weir_link resting; /* closed listeners, freed by the next poll */
};

static inline struct weir_native *weir_native_of(const struct weir_stack *stack)
{
    return weir_container_of(stack, struct weir_native, stack);
}

static inline weir_time weir_native_now(const struct weir_native *native)
{
    return native->shard->now;
}

/* Into the log, at most once a second and shard. */
void weir_native_say(struct weir_native *native, const char *format, ...) WEIR_PRINTF(2, 3);

/* --- settings, from weir_config --- */

struct weir_native_config {
    const char *ip;      /* "192.0.2.2/24,2001:db8::2/64", "dhcp", "auto" (SLAAC), together */
    const char *gateway; /* "192.0.2.1,2001:db8::1"; NULL: none, or from DHCP and RA */
    const char *route;   /* "198.51.100.0/24 via 192.0.2.9, ..." */
    uint16_t vlan;
    const char *cc; /* "cubic" or "reno" */
    uint32_t conns_max;
    uint32_t pkts_max;       /* packets per shard; default 65,536 */
    uint32_t rcvbuf, sndbuf; /* bytes, the maximum auto-tuning goes to; default 4 MiB, 1 MiB */
    uint64_t secret;         /* 0: from the kernel; tests set it */
    bool keepalive;          /* on new connections */
};

void weir_native_config_init(struct weir_native_config *config);

/* One for all shards: devices are open.  `dev` may be NULL: loopback only. */
int weir_native_shared_open(struct weir_native_shared **shared, struct weir_dev *dev,
                            const struct weir_native_config *config, unsigned shards, char *why,
                            size_t why_size);
void weir_native_shared_close(struct weir_native_shared *shared); /* and the devices */

/* In the shard's thread, above `below`, which it closes at its end.  shard->net becomes
 * &native->stack; what shard->net was before serves "kernel:" addresses (NULL: none). */
int weir_native_open(struct weir_driver **driver, struct weir_shard *shard,
                     struct weir_driver *below, struct weir_native_shared *shared, char *why,
                     size_t why_size);

/* --- between the layers --- */

/* ether.c: a burst from the device, through all stages. */
void weir_ether_input(struct weir_iface *iface, struct weir_pkt **pkts, unsigned count);

/* A frame with `ethertype` behind the Ethernet header; takes it. */
void weir_ether_send(struct weir_iface *iface, struct weir_pkt *pkt, const uint8_t mac[6],
                     uint16_t ethertype);

/* A whole frame, to the device at the next flush; takes it. */
static inline void weir_iface_send(struct weir_iface *iface, struct weir_pkt *pkt);
void weir_iface_flush(struct weir_iface *iface);

/* How many more packets the device takes for sure: what can wait is to wait for that. */
static inline unsigned weir_iface_room(struct weir_iface *iface);

/* ip layer (ip.c): opening and closing, alarms of its own. */
int weir_ip_open(struct weir_native *native, const struct weir_native_config *config, char *why,
                 size_t why_size);
void weir_ip_close(struct weir_native *native);

/* Transport input: l3, l4, WEIR_PKT_IP6 and rx.off.. are set; header lengths checked, padding cut
 * off.  They take the packet. */
void weir_udp_input(struct weir_native *native, struct weir_iface *iface, struct weir_pkt *pkt);
void weir_tcp_input_burst(struct weir_native *native, struct weir_pkt **pkts, unsigned count);

/* An ICMP error about a packet of ours (validated: it was ours, by addresses and ports).  `error`
 * is a negated errno; mtu is > 0 for too-big (then error is -EMSGSIZE); seq is TCP's, if quoted. */
void weir_tcp_icmp(struct weir_native *native, const struct weir_flow_key *key, int error,
                   uint16_t mtu, uint32_t seq);
void weir_udp_icmp(struct weir_native *native, const struct weir_flow_key *key, int error,
                   uint16_t mtu);

/* icmp4.c, icmp6.c: a port that nobody has, about this packet (not taken); rate-limited. */
void weir_icmp_port_unreachable(struct weir_native *native, struct weir_iface *iface,
                                const struct weir_pkt *pkt);

/* steer.c: a packet that belongs to another shard; takes it.  And a frame for all other shards
 * (copied). */
void weir_steer_forward(struct weir_native *native, struct weir_pkt *pkt, unsigned shard);
void weir_steer_everyone(struct weir_native *native, const struct weir_pkt *pkt);

static inline void weir_iface_send(struct weir_iface *iface, struct weir_pkt *pkt)
{
    if (iface->tx_count == WEIR_DEV_BURST)
        weir_iface_flush(iface);
    iface->tx[iface->tx_count++] = pkt;
}

enum { WEIR_IFACE_AMPLE = 256, WEIR_IFACE_RESERVE = 16 /* for all that does not ask */ };

/* Asks the device only when it might have less than a connection sends at a time. */
static inline unsigned weir_iface_room(struct weir_iface *iface)
{
    const struct weir_dev_ops *ops = iface->queue->dev->ops;
    unsigned taken = iface->tx_count + WEIR_IFACE_RESERVE;

    if (weir_unlikely(iface->tx_room < WEIR_IFACE_AMPLE))
        iface->tx_room = ops->room ? ops->room(iface->queue) : UINT32_MAX;
    return iface->tx_room > taken ? iface->tx_room - taken : 0;
}

#endif
