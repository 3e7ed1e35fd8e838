/* path.c - how a transport sends: a header made ready once, copied in front of each packet.
 *
 * The fast path touches the path, the neighbour's state and the packet's headroom, and reads back
 * nothing it has just written: IPv4's checksum comes from a sum kept in the path plus the length.
 * IPv4 packets say "don't fragment" and have id 0: nobody may look at the id of a packet that
 * cannot be fragmented (RFC 6864 4.1).  We never fragment: what is too big is refused.
 *
 * Packets to our own addresses leave by the loop; one with 127/8 or ::1 never touches a wire. */
#include <errno.h>
#include <string.h>
#include "net/native/checksum.h"
#include "net/native/ip.h"

/* What a look-up finds. */
struct path_way {
    struct weir_ip local, remote;
    struct weir_iface *iface;
    unsigned neigh; /* WEIR_NEIGH_NONE: mac is it */
    uint8_t mac[6];
};

/* --- looking up --- */

static int path_by_loop(struct weir_native *native, struct path_way *way)
{
    way->iface = &native->iface[WEIR_IFACE_LOOP];
    way->neigh = WEIR_NEIGH_NONE;
    memcpy(way->mac, way->iface->mac, sizeof way->mac);
    if (weir_ip_is_any(&way->local)) {
        way->local = way->remote;
        if (weir_ip_is_v4(&way->remote) && weir_ip_is_loopback(&way->remote))
            way->local = weir_ip_v4(htonl(INADDR_LOOPBACK));
        return 0;
    }
    return weir_ip_is_local(native, &way->local) ? 0 : -EADDRNOTAVAIL;
}

static int path_local(struct weir_native *native, struct path_way *way, const struct weir_ip *hop)
{
    const struct weir_iface_addr *addr;

    if (!weir_ip_is_any(&way->local))
        return weir_ip_is_local(native, &way->local) && !weir_ip_is_loopback(&way->local)
                   ? 0
                   : -EADDRNOTAVAIL;
    addr = weir_iface_source(way->iface, &way->remote, hop);
    if (!addr)
        return -EADDRNOTAVAIL;
    way->local = addr->ip;
    return 0;
}

/* To everybody, or a group: on the wire, no neighbour. */
static int path_to_group(struct weir_native *native, struct path_way *way)
{
    if (native->ifaces <= WEIR_IFACE_WIRE)
        return -ENETUNREACH;
    way->iface = weir_ip_wire(native);
    way->neigh = WEIR_NEIGH_NONE;
    weir_ip_group_mac(way->mac, &way->remote);
    return path_local(native, way, &way->remote);
}

static int path_by_route(struct weir_native *native, struct path_way *way)
{
    const struct weir_route *route = weir_route_find(native, &way->remote);
    struct weir_ip hop;
    int ret;

    if (!route)
        return -ENETUNREACH;
    way->iface = &native->iface[route->iface];
    hop = weir_ip_is_any(&route->gateway) ? way->remote : route->gateway;
    ret = path_local(native, way, &hop);
    if (ret < 0)
        return ret;
    way->neigh = weir_neigh_get(&native->ip->neighs, &hop);
    return way->neigh == WEIR_NEIGH_NONE ? -ENOBUFS : 0;
}

static int path_find(struct weir_native *native, struct path_way *way)
{
    bool v4 = weir_ip_is_v4(&way->remote);

    if (weir_ip_is_any(&way->remote))
        return -ENETUNREACH;
    if (!weir_ip_is_any(&way->local) && weir_ip_is_v4(&way->local) != v4)
        return -EADDRNOTAVAIL;
    if (weir_ip_is_local(native, &way->remote))
        return path_by_loop(native, way);
    if (weir_ip_is_multicast(&way->remote) || weir_ip_is_broadcast(native, &way->remote))
        return path_to_group(native, way);
    return path_by_route(native, way);
}

/* --- the header --- */

static uint8_t *path_ether(struct weir_path *path, const struct weir_iface *iface, bool v6)
{
    struct weir_ether ether = { .ethertype = v6 ? WEIR_ETHERTYPE_IP6 : WEIR_ETHERTYPE_IP4,
                                .vlan = iface->vlan };

    memcpy(ether.from, iface->mac, sizeof ether.from);
    path->l3 = (uint8_t)weir_ether_emit(path->header, &ether);
    return path->header + path->l3;
}

static void path_ip4(struct weir_path *path, const struct path_way *way, uint8_t protocol)
{
    uint8_t *ip = path_ether(path, way->iface, false);

    memset(ip, 0, 20);
    ip[0] = 0x45;
    ip[6] = 0x40; /* don't fragment */
    ip[8] = way->iface->hop_limit;
    if (weir_ip_is_multicast(&way->remote))
        ip[8] = 1; /* RFC 1112 6.1 */
    ip[9] = protocol;
    memcpy(ip + 12, &way->local.word[3], 4);
    memcpy(ip + 16, &way->remote.word[3], 4);
    path->ip_sum = weir_sum(ip, 20, 0);
    path->header_len = (uint8_t)(path->l3 + 20);
}

static void path_ip6(struct weir_path *path, const struct path_way *way, uint8_t protocol)
{
    uint8_t *ip = path_ether(path, way->iface, true);

    memset(ip, 0, 8);
    ip[0] = 0x60;
    ip[6] = protocol;
    ip[7] = way->iface->hop_limit;
    memcpy(ip + 8, way->local.byte, 16);
    memcpy(ip + 24, way->remote.byte, 16);
    path->header_len = (uint8_t)(path->l3 + 40);
}

/* All but the reference to the neighbour. */
static void path_fill(struct weir_native *native, struct weir_path *path,
                      const struct path_way *way, uint8_t protocol)
{
    const struct weir_neigh *neigh = NULL;

    path->generation = native->generation;
    path->v6 = !weir_ip_is_v4(&way->remote);
    path->iface = way->iface->index;
    path->neigh = (uint16_t)way->neigh;
    path->mtu = weir_pmtu_find(native, &way->remote, way->iface->mtu);
    path->pseudo_sum = weir_pseudo_sum(&way->local, &way->remote, protocol, 0);
    path->ip_sum = 0;
    if (path->v6)
        path_ip6(path, way, protocol);
    else
        path_ip4(path, way, protocol);
    if (way->neigh != WEIR_NEIGH_NONE)
        neigh = &native->ip->neighs.neigh[way->neigh];
    path->ready = !neigh || neigh->state >= WEIR_NEIGH_STALE;
    if (path->ready)
        memcpy(path->header, neigh ? neigh->mac : way->mac, 6);
}

int weir_path_open(struct weir_native *native, struct weir_path *path, struct weir_ip *local,
                   const struct weir_ip *remote, uint8_t protocol)
{
    struct path_way way = { .local = *local, .remote = *remote };
    int ret = path_find(native, &way);

    path->header_len = 0;
    path->neigh = WEIR_NEIGH_NONE;
    if (ret < 0)
        return ret;
    *local = way.local;
    if (way.neigh != WEIR_NEIGH_NONE)
        weir_neigh_ref(&native->ip->neighs, way.neigh);
    path_fill(native, path, &way, protocol);
    return 0;
}

void weir_path_close(struct weir_native *native, struct weir_path *path)
{
    if (path->header_len != 0 && path->neigh != WEIR_NEIGH_NONE)
        weir_neigh_unref(&native->ip->neighs, path->neigh);
    path->header_len = 0;
}

int weir_path_refresh(struct weir_native *native, struct weir_path *path)
{
    const uint8_t *ip = path->header + path->l3;
    struct path_way way;
    unsigned before = path->neigh;
    uint8_t protocol;
    int ret;

    if (path->generation == native->generation)
        return 0;
    if (path->v6) {
        memcpy(way.local.byte, ip + 8, 16);
        memcpy(way.remote.byte, ip + 24, 16);
        protocol = ip[6];
    } else {
        way.local = weir_ip_v4(0);
        way.remote = weir_ip_v4(0);
        memcpy(&way.local.word[3], ip + 12, 4);
        memcpy(&way.remote.word[3], ip + 16, 4);
        protocol = ip[9];
    }
    ret = path_find(native, &way);
    if (ret < 0)
        return ret;
    if (way.neigh != WEIR_NEIGH_NONE)
        weir_neigh_ref(&native->ip->neighs, way.neigh);
    if (before != WEIR_NEIGH_NONE)
        weir_neigh_unref(&native->ip->neighs, before);
    path_fill(native, path, &way, protocol);
    return 0;
}

void weir_path_confirm(struct weir_native *native, struct weir_path *path)
{
    if (path->neigh != WEIR_NEIGH_NONE)
        weir_neigh_confirm(&native->ip->neighs, path->neigh);
}

/* --- sending --- */

static uint32_t path_len(const struct weir_pkt *pkt)
{
    uint32_t len = 0;

    for (; pkt; pkt = pkt->frag)
        len += pkt->buf.len;
    return len;
}

static inline void path_put4(const struct weir_path *path, struct weir_pkt *pkt, uint32_t len)
{
    uint16_t total = __builtin_bswap16((uint16_t)(len + 20));
    uint16_t sum = (uint16_t)~weir_sum_fold(weir_sum_add(path->ip_sum, total));
    uint8_t *at;

    if (weir_likely(path->header_len == 34)) {
        at = weir_pkt_push(pkt, 34);
        memcpy(at, path->header, 34);
    } else {
        at = weir_pkt_push(pkt, 38);
        memcpy(at, path->header, 38);
    }
    memcpy(at + path->l3 + 2, &total, 2);
    memcpy(at + path->l3 + 10, &sum, 2);
    pkt->flags &= (uint16_t)~WEIR_PKT_IP6;
}

static inline void path_put6(const struct weir_path *path, struct weir_pkt *pkt, uint32_t len)
{
    uint16_t payload = __builtin_bswap16((uint16_t)len);
    uint8_t *at;

    if (weir_likely(path->header_len == 54)) {
        at = weir_pkt_push(pkt, 54);
        memcpy(at, path->header, 54);
    } else {
        at = weir_pkt_push(pkt, 58);
        memcpy(at, path->header, 58);
    }
    memcpy(at + path->l3 + 4, &payload, 2);
    pkt->flags |= WEIR_PKT_IP6;
}

/* Whether packets of the path can go now: 0, -EAGAIN (they wait), or what is wrong. */
static int path_check(struct weir_native *native, struct weir_path *path)
{
    struct weir_neigh *neigh;
    int ret = weir_path_refresh(native, path);

    if (ret < 0 || path->neigh == WEIR_NEIGH_NONE)
        return ret;
    neigh = &native->ip->neighs.neigh[path->neigh];
    ret = weir_neigh_use(neigh);
    if (ret == 0) {
        memcpy(path->header, neigh->mac, sizeof neigh->mac);
        path->ready = true;
    }
    return ret;
}

static inline bool path_is_sure(const struct weir_native *native, const struct weir_path *path)
{
    return path->ready && path->generation == native->generation &&
           (path->neigh == WEIR_NEIGH_NONE ||
            native->ip->neighs.neigh[path->neigh].state == WEIR_NEIGH_REACHABLE);
}

static bool path_fits(const struct weir_path *path, const struct weir_pkt *pkt, uint32_t len)
{
    uint32_t total = path->v6 ? len + 40 : len + 20;

    return total <= path->mtu || ((pkt->flags & WEIR_PKT_TSO) && total <= UINT16_MAX);
}

static int path_drop(struct weir_native *native, struct weir_pkt *pkt, int error)
{
    if (error == -ENETUNREACH || error == -EADDRNOTAVAIL)
        native->stats.ip_no_route++;
    weir_pkt_free(pkt);
    return error;
}

int weir_path_send(struct weir_native *native, struct weir_path *path, struct weir_pkt *pkt)
{
    uint32_t len = weir_likely(!pkt->frag) ? pkt->buf.len : path_len(pkt);
    int ret = 0;

    if (weir_unlikely(!path_is_sure(native, path))) {
        ret = path_check(native, path);
        if (ret < 0 && ret != -EAGAIN)
            return path_drop(native, pkt, ret);
    }
    if (weir_unlikely(!path_fits(path, pkt, len)))
        return path_drop(native, pkt, -EMSGSIZE);
    pkt->l3 = path->l3;
    pkt->l4 = path->header_len;
    if (path->v6)
        path_put6(path, pkt, len);
    else
        path_put4(path, pkt, len);
    if (weir_unlikely(ret == -EAGAIN)) {
        weir_neigh_wait(&native->ip->neighs, path->neigh, pkt);
        return 0;
    }
    weir_iface_send(&native->iface[path->iface], pkt);
    return 0;
}
