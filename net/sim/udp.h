/* udp.h - datagram sockets of the simulation. */
#ifndef WEIR_NET_SIM_UDP_H
#define WEIR_NET_SIM_UDP_H

#include "net/sim/net.h"
#include "net/udp_queue.h"

struct weir_sim_udp {
    struct weir_udp udp;
    struct weir_sim_driver *driver;
    struct weir_link link;       /* in net->udps, unless closed */
    struct weir_addr addr, peer; /* peer: len 0 when there is none */
    bool reuse, ipv6_only, closed;
    int error; /* to be told: a negated errno, or 0 */
    struct weir_udp_queue queue;
    uint64_t dropped;
    size_t flying; /* bytes under way from here */
    unsigned out;
    struct weir_sim_event settle; /* what was cancelled, or closed, comes to its end */
    struct weir_sim_event more;   /* a send goes on */
};

static inline struct weir_sim_udp *weir_sim_udp_at(struct weir_link *link)
{
    return weir_container_of(link, struct weir_sim_udp, link);
}

/* --- udp_find.c --- */

bool weir_sim_addr_is_any(const struct weir_addr *addr);
bool weir_sim_addr_same_host(const struct weir_addr *a, const struct weir_addr *b);
bool weir_sim_addr_same(const struct weir_addr *a, const struct weir_addr *b);

/* IPv4 that is mapped into IPv6 becomes plain; and plain IPv4 mapped, as an IPv6 socket sees it. */
struct weir_addr weir_sim_addr_plain(const struct weir_addr *addr);
struct weir_addr weir_sim_addr_mapped(const struct weir_addr *addr);

/* Where it sends from, to such a target: any address is the loopback. */
struct weir_addr weir_sim_udp_source(const struct weir_sim_udp *udp,
                                     const struct weir_addr *target);

/* The socket a datagram belongs to, of all or of those on `driver`; NULL: nobody's. */
struct weir_sim_udp *weir_sim_udp_find(struct weir_sim_net *net,
                                       const struct weir_sim_driver *driver,
                                       const struct weir_addr *to, const struct weir_addr *from);

/* Finds a port, or whether the address that was asked for can be had. */
int weir_sim_udp_bind(struct weir_sim_udp *udp);

#endif
