/* udp_find.c - whose a datagram of the simulation is, and which addresses can be had.
 *
 * The socket that fits best: one with this peer, one with this address, one that stands for all.
 * Of several that fit equally, on different shards, the sender's address picks one: always the
 * same while they stay the same. */
#include <errno.h>
#include <string.h>
#include "net/sim/udp.h"

/* --- addresses --- */

bool weir_sim_addr_is_any(const struct weir_addr *addr)
{
    static const struct in6_addr any6 = IN6ADDR_ANY_INIT;

    if (addr->sa.sa_family == AF_INET)
        return addr->in.sin_addr.s_addr == htonl(INADDR_ANY);
    return memcmp(&addr->in6.sin6_addr, &any6, sizeof any6) == 0;
}

bool weir_sim_addr_same_host(const struct weir_addr *a, const struct weir_addr *b)
{
    if (a->sa.sa_family != b->sa.sa_family)
        return false;
    if (a->sa.sa_family == AF_INET)
        return a->in.sin_addr.s_addr == b->in.sin_addr.s_addr;
    return memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, sizeof a->in6.sin6_addr) == 0;
}

bool weir_sim_addr_same(const struct weir_addr *a, const struct weir_addr *b)
{
    return weir_sim_addr_port(a) == weir_sim_addr_port(b) && weir_sim_addr_same_host(a, b);
}

static struct weir_addr addr_v4(in_addr_t host, uint16_t port)
{
    struct weir_addr addr;

    memset(&addr, 0, sizeof addr);
    addr.in.sin_family = AF_INET;
    addr.in.sin_addr.s_addr = host;
    addr.in.sin_port = htons(port);
    addr.len = sizeof addr.in;
    return addr;
}

/* IPv4 that is mapped into IPv6 becomes plain ... */
struct weir_addr weir_sim_addr_plain(const struct weir_addr *addr)
{
    in_addr_t host;

    if (addr->sa.sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&addr->in6.sin6_addr))
        return *addr;
    memcpy(&host, &addr->in6.sin6_addr.s6_addr[12], sizeof host);
    return addr_v4(host, weir_sim_addr_port(addr));
}

/* ... and plain IPv4 mapped, as an IPv6 socket sees it. */
struct weir_addr weir_sim_addr_mapped(const struct weir_addr *addr)
{
    struct weir_addr mapped;

    memset(&mapped, 0, sizeof mapped);
    mapped.in6.sin6_family = AF_INET6;
    mapped.in6.sin6_port = addr->in.sin_port;
    mapped.in6.sin6_addr.s6_addr[10] = mapped.in6.sin6_addr.s6_addr[11] = 0xff;
    memcpy(&mapped.in6.sin6_addr.s6_addr[12], &addr->in.sin_addr, sizeof addr->in.sin_addr);
    mapped.len = sizeof mapped.in6;
    return mapped;
}

/* Where it sends from, to such a target: any address is the loopback. */
struct weir_addr weir_sim_udp_source(const struct weir_sim_udp *u, const struct weir_addr *target)
{
    struct weir_addr source = weir_sim_addr_plain(&u->addr);

    if (!weir_sim_addr_is_any(&source))
        return source;
    if (target->sa.sa_family == AF_INET)
        return addr_v4(htonl(INADDR_LOOPBACK), weir_sim_addr_port(&u->addr));
    source.in6.sin6_addr = (struct in6_addr)IN6ADDR_LOOPBACK_INIT;
    return source;
}

/* --- who gets a datagram --- */

/* Whether a datagram to `to` may come to a socket bound to `bound`. */
static bool udp_bound_to(const struct weir_sim_udp *u, const struct weir_addr *to)
{
    struct weir_addr bound = weir_sim_addr_plain(&u->addr);

    if (weir_sim_addr_port(&bound) != weir_sim_addr_port(to))
        return false;
    if (!weir_sim_addr_is_any(&bound))
        return weir_sim_addr_same_host(&bound, to);
    return bound.sa.sa_family == to->sa.sa_family ||
           (bound.sa.sa_family == AF_INET6 && !u->ipv6_only);
}

/* How well it fits; 0: it does not. */
static unsigned udp_score(const struct weir_sim_udp *u, const struct weir_addr *to,
                          const struct weir_addr *from)
{
    struct weir_addr peer;

    if (!udp_bound_to(u, to))
        return 0;
    if (u->peer.len > 0) {
        peer = weir_sim_addr_plain(&u->peer);
        return weir_sim_addr_same(&peer, from) ? 4 : 0;
    }
    if (!weir_sim_addr_is_any(&u->addr))
        return 3;
    return u->addr.sa.sa_family == to->sa.sa_family ? 2 : 1;
}

/* The same for all datagrams of one peer. */
static uint64_t addr_hash(const struct weir_addr *addr)
{
    const uint8_t *byte = (const uint8_t *)&addr->sa;
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (socklen_t i = 0; i < addr->len; i++)
        hash = (hash ^ byte[i]) * UINT64_C(0x100000001b3);
    return hash >> 20;
}

/* The best of all sockets, or of those on `driver`; NULL: nobody. */
struct weir_sim_udp *weir_sim_udp_find(struct weir_sim_net *net,
                                       const struct weir_sim_driver *driver,
                                       const struct weir_addr *to, const struct weir_addr *from)
{
    unsigned best = 1, same = 0, score;
    struct weir_sim_udp *found = NULL;

    for (struct weir_link *at = net->udps.next; at != &net->udps; at = at->next) {
        struct weir_sim_udp *u = weir_sim_udp_at(at);

        score = driver == NULL || u->driver == driver ? udp_score(u, to, from) : 0;
        if (score < best)
            continue;
        same = score > best ? 1 : same + 1;
        best = score;
        if (addr_hash(from) % same == 0)
            found = u;
    }
    return found;
}

/* --- who may have an address --- */

static bool udp_overlap(const struct weir_sim_udp *u, const struct weir_addr *addr, bool ipv6_only)
{
    bool same_family = u->addr.sa.sa_family == addr->sa.sa_family;

    if (weir_sim_addr_port(&u->addr) != weir_sim_addr_port(addr))
        return false;
    if (same_family)
        return weir_sim_addr_is_any(&u->addr) || weir_sim_addr_is_any(addr) ||
               weir_sim_addr_same_host(&u->addr, addr);
    if (u->addr.sa.sa_family == AF_INET6)
        return !u->ipv6_only && weir_sim_addr_is_any(&u->addr);
    return !ipv6_only && weir_sim_addr_is_any(addr);
}

static bool udp_port_taken(struct weir_sim_net *net, uint16_t port)
{
    for (struct weir_link *at = net->udps.next; at != &net->udps; at = at->next)
        if (weir_sim_addr_port(&weir_sim_udp_at(at)->addr) == port)
            return true;
    return false;
}

/* Finds a port, or whether the one that was asked for can be had. */
int weir_sim_udp_bind(struct weir_sim_udp *u)
{
    struct weir_sim_net *net = u->driver->net;
    uint16_t port;

    if (weir_sim_addr_port(&u->addr) == 0) {
        do
            port = weir_sim_port(net);
        while (udp_port_taken(net, port));
        weir_sim_addr_set_port(&u->addr, port);
    }
    for (struct weir_link *at = net->udps.next; at != &net->udps; at = at->next) {
        const struct weir_sim_udp *other = weir_sim_udp_at(at);

        if (!udp_overlap(other, &u->addr, u->ipv6_only))
            continue;
        if (!u->reuse || !other->reuse ||
            (other->driver == u->driver && weir_sim_addr_same(&other->addr, &u->addr)))
            return -EADDRINUSE;
    }
    return 0;
}
