/* nd.c - neighbour discovery: asking, answering, noticing duplicates (RFC 4861, 4862).
 *
 * Everything that a router or neighbour could not have sent from this very link is dropped (hop
 * limit 255).  Redirects are ignored: a host with one wire and configured or advertised routers
 * gains nothing by them, and they are the easiest way to take its traffic away. */
#include <netinet/in.h>
#include <string.h>
#include "net/native/checksum.h"
#include "net/native/ip.h"

enum {
    ND_ROUTER_SOLICITATION = 133,
    ND_ROUTER_ADVERTISEMENT = 134,
    ND_SOLICITATION = 135,
    ND_ADVERTISEMENT = 136,
};

static const struct weir_ip nd_all_nodes = { .byte = { 0xff, 2, [15] = 1 } };
static const struct weir_ip nd_all_routers = { .byte = { 0xff, 2, [15] = 2 } };
static const struct weir_ip nd_nobody;

/* --- out --- */

/* The message is in pkt, its checksum field 0. */
static void nd_send(struct weir_iface *iface, struct weir_pkt *pkt, const struct weir_ip *source,
                    const struct weir_ip *target, const uint8_t *mac)
{
    struct weir_ip6 ip = { .source = *source,
                           .target = *target,
                           .protocol = IPPROTO_ICMPV6,
                           .hop_limit = 255,
                           .total_len = (uint16_t)(40 + pkt->buf.len) };
    uint32_t sum = weir_pseudo_sum(source, target, IPPROTO_ICMPV6, pkt->buf.len);
    uint16_t folded = (uint16_t)~weir_sum_fold(weir_sum(pkt->buf.data, pkt->buf.len, sum));
    uint8_t group[6];

    memcpy(pkt->buf.data + 2, &folded, 2);
    if (!mac) {
        weir_ip_group_mac(group, target);
        mac = group;
    }
    weir_ip6_emit(weir_pkt_push(pkt, 40), &ip);
    weir_ether_send(iface, pkt, mac, WEIR_ETHERTYPE_IP6);
}

static void nd_emit(struct weir_iface *iface, const struct weir_nd *nd,
                    const struct weir_ip *source, const struct weir_ip *target, const uint8_t *mac)
{
    struct weir_pkt *pkt = iface->native->ip->no_ip6 ? NULL : weir_pkt_get(&iface->native->pkts);

    if (!pkt)
        return;
    pkt->buf.len = (uint32_t)weir_nd_emit(pkt->buf.data, nd);
    nd_send(iface, pkt, source, target, mac);
}

void weir_nd_solicit(struct weir_iface *iface, const struct weir_ip *target, const uint8_t *mac)
{
    const struct weir_iface_addr *ours = weir_iface_source(iface, target, target);
    struct weir_nd nd = { .type = ND_SOLICITATION, .target = *target, .has_mac = true };
    struct weir_ip group = weir_ip_solicited_node(target);

    if (!ours)
        return;
    memcpy(nd.mac, iface->mac, sizeof nd.mac);
    nd_emit(iface, &nd, &ours->ip, mac ? target : &group, mac);
}

void weir_nd_probe(struct weir_iface *iface, const struct weir_ip *target)
{
    struct weir_nd nd = { .type = ND_SOLICITATION, .target = *target };
    struct weir_ip group = weir_ip_solicited_node(target);

    nd_emit(iface, &nd, &nd_nobody, &group, NULL);
}

static void nd_advertise(struct weir_iface *iface, const struct weir_ip *ours,
                         const struct weir_ip *to, const uint8_t *mac)
{
    struct weir_nd nd = { .type = ND_ADVERTISEMENT,
                          .target = *ours,
                          .has_mac = true,
                          .solicited = mac != NULL,
                          .override = true };

    memcpy(nd.mac, iface->mac, sizeof nd.mac);
    nd_emit(iface, &nd, ours, to, mac);
}

void weir_nd_announce(struct weir_iface *iface, const struct weir_ip *ip)
{
    nd_advertise(iface, ip, &nd_all_nodes, NULL);
}

void weir_nd_solicit_routers(struct weir_iface *iface)
{
    const struct weir_iface_addr *ours = weir_iface_link_local(iface);
    struct weir_nd nd = { .type = ND_ROUTER_SOLICITATION, .has_mac = ours != NULL };

    memcpy(nd.mac, iface->mac, sizeof nd.mac);
    nd_emit(iface, &nd, ours ? &ours->ip : &nd_nobody, &nd_all_routers, NULL);
}

/* --- in --- */

/* Somebody looks whether an address is free: `ours` is in our table. */
static void nd_probed(struct weir_iface *iface, struct weir_iface_addr *ours, const uint8_t *mac,
                      bool forwarded)
{
    if (ours->state == WEIR_ADDR_TENTATIVE) /* both want it: neither gets it (RFC 4862 5.4.3) */
        weir_iface_duplicate(iface, ours, mac);
    else if (weir_addr_usable(ours) && !forwarded)
        nd_advertise(iface, &ours->ip, &nd_all_nodes, NULL);
}

static void nd_solicited(struct weir_iface *iface, const struct weir_pkt *pkt,
                         const struct weir_ip6 *ip, const struct weir_nd *nd)
{
    struct weir_neighs *neighs = &iface->native->ip->neighs;
    struct weir_iface_addr *ours = weir_iface_find(iface, &nd->target);
    bool forwarded = pkt->flags & WEIR_PKT_FORWARDED;
    const uint8_t *from = pkt->buf.data + 6;
    struct weir_ip group;
    unsigned neigh;

    if (!ours)
        return;
    if (weir_ip_is_any(&ip->source)) {
        group = weir_ip_solicited_node(&nd->target);
        if (!nd->has_mac && weir_ip_eq(&ip->target, &group)) /* RFC 4861 7.1.1 */
            nd_probed(iface, ours, from, forwarded);
        return;
    }
    if (!weir_addr_usable(ours) || forwarded || weir_ip_is_local(iface->native, &ip->source))
        return;
    if (nd->has_mac) {
        from = nd->mac;
        neigh = weir_neigh_get(neighs, &ip->source);
        if (neigh != WEIR_NEIGH_NONE)
            weir_neigh_learn(neighs, neigh, nd->mac, WEIR_NEIGH_SEEN, true);
    }
    nd_advertise(iface, &ours->ip, &ip->source, from);
}

static void nd_no_router(struct weir_native *native, const struct weir_ip *ip)
{
    static const struct weir_ip any;

    weir_route_del(native, &any, 0, ip);
}

/* Of a neighbour that we know. */
static void nd_heard(struct weir_native *native, struct weir_neigh *neigh, unsigned index,
                     const struct weir_nd *nd)
{
    struct weir_neighs *neighs = &native->ip->neighs;
    bool was_router = neigh->router;
    bool asking = neigh->state == WEIR_NEIGH_INCOMPLETE || neigh->state == WEIR_NEIGH_PROBE ||
                  neigh->state == WEIR_NEIGH_DELAY;

    if (nd->has_mac)
        weir_neigh_learn(neighs, index, nd->mac,
                         nd->solicited && asking ? WEIR_NEIGH_ANSWERED : WEIR_NEIGH_ANNOUNCED,
                         nd->override);
    else if (nd->solicited && asking)
        weir_neigh_confirm(neighs, index);
    neigh->router = nd->router;
    if (was_router && !nd->router) /* RFC 4861 7.3.3 */
        nd_no_router(native, &neigh->ip);
}

static void nd_advertised(struct weir_iface *iface, const struct weir_pkt *pkt,
                          const struct weir_ip6 *ip, const struct weir_nd *nd)
{
    struct weir_native *native = iface->native;
    struct weir_neighs *neighs = &native->ip->neighs;
    struct weir_iface_addr *ours = weir_iface_find(iface, &nd->target);
    unsigned neigh;

    if (nd->solicited && weir_ip_is_multicast(&ip->target)) {
        native->stats.icmp_bad++;
        return;
    }
    if (ours) {
        if (native->ip->extra[ours - iface->addr].dad_until)
            weir_iface_duplicate(iface, ours, pkt->buf.data + 6);
        return;
    }
    neigh = weir_neigh_find(neighs, &nd->target);
    if (neigh != WEIR_NEIGH_NONE)
        nd_heard(native, &neighs->neigh[neigh], neigh, nd);
}

static void nd_router(struct weir_iface *iface, const struct weir_ip6 *ip, const struct weir_nd *nd)
{
    struct weir_neighs *neighs = &iface->native->ip->neighs;
    unsigned neigh;

    if (!weir_ip_is_link_local(&ip->source)) {
        iface->native->stats.icmp_bad++;
        return;
    }
    neigh = weir_neigh_get(neighs, &ip->source);
    if (neigh != WEIR_NEIGH_NONE) {
        if (nd->has_mac)
            weir_neigh_learn(neighs, neigh, nd->mac, WEIR_NEIGH_SEEN, true);
        neighs->neigh[neigh].router = true;
    }
    weir_ra_input(&iface->native->ip->ra, &ip->source, nd);
}

void weir_nd_input(struct weir_iface *iface, struct weir_pkt *pkt, const struct weir_ip6 *ip,
                   unsigned at)
{
    struct weir_native *native = iface->native;
    struct weir_nd nd;

    if (ip->hop_limit != 255 || iface->index != WEIR_IFACE_WIRE ||
        weir_nd_parse(&nd, pkt->buf.data + at, pkt->buf.len - at) < 0) {
        native->stats.icmp_bad++;
    } else if (memcmp(pkt->buf.data + 6, iface->mac, 6) !=
               0) { /* not our own, back from the wire */
        if (!(pkt->flags & WEIR_PKT_FORWARDED))
            weir_steer_everyone(native, pkt);
        if (nd.type == ND_SOLICITATION)
            nd_solicited(iface, pkt, ip, &nd);
        else if (nd.type == ND_ADVERTISEMENT)
            nd_advertised(iface, pkt, ip, &nd);
        else if (nd.type == ND_ROUTER_ADVERTISEMENT)
            nd_router(iface, ip, &nd);
    }
    weir_pkt_free(pkt);
}
