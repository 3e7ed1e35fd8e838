/* route.c - where packets go next: a short table, searched from the longest prefix down.
 *
 * A host has a handful of routes, so an array in order beats a trie; connections keep the result in
 * their path and look again only when native->generation has grown.
 *
 * Invariant: sorted by bits, longest first; within the same length in the order they came. */
#include <errno.h>
#include <string.h>
#include "net/native/ip.h"

static struct weir_ip route_mask(const struct weir_ip *ip, unsigned bits)
{
    struct weir_ip masked = *ip;

    for (unsigned i = bits / 8; i < 16; i++) {
        unsigned keep = i == bits / 8 ? 0xff00u >> bits % 8 : 0;

        masked.byte[i] = (uint8_t)(masked.byte[i] & keep);
    }
    return masked;
}

static struct weir_route *route_same(struct weir_native *native, const struct weir_ip *prefix,
                                     unsigned bits, const struct weir_ip *gateway)
{
    struct weir_ip_layer *layer = native->ip;

    for (unsigned i = 0; i < layer->routes; i++) {
        struct weir_route *route = &layer->route[i];

        if (route->bits == bits && weir_ip_eq(&route->prefix, prefix) &&
            weir_ip_eq(&route->gateway, gateway))
            return route;
    }
    return NULL;
}

int weir_route_add(struct weir_native *native, const struct weir_route *route)
{
    struct weir_ip_layer *layer = native->ip;
    struct weir_route added = *route, *known;
    unsigned i;

    added.prefix = route_mask(&route->prefix, route->bits);
    known = route_same(native, &added.prefix, added.bits, &added.gateway);
    if (known) {
        /* Two reasons for one route: it lasts as long as the better of them. */
        if (known->origin == added.origin || known->valid_until < added.valid_until)
            known->valid_until = added.valid_until;
    } else {
        if (layer->routes == WEIR_ROUTES)
            return -ENOSPC;
        for (i = layer->routes++; i > 0 && layer->route[i - 1].bits < added.bits; i--)
            layer->route[i] = layer->route[i - 1];
        layer->route[i] = added;
    }
    weir_iface_changed(native);
    return 0;
}

static void route_remove(struct weir_ip_layer *layer, struct weir_route *route)
{
    size_t behind = (size_t)(&layer->route[layer->routes] - (route + 1));

    memmove(route, route + 1, behind * sizeof *route);
    layer->routes--;
}

void weir_route_del(struct weir_native *native, const struct weir_ip *prefix, unsigned bits,
                    const struct weir_ip *gateway)
{
    struct weir_ip masked = route_mask(prefix, bits);
    struct weir_route *route = route_same(native, &masked, bits, gateway);

    if (!route)
        return;
    route_remove(native->ip, route);
    weir_iface_changed(native);
}

weir_time weir_route_expire(struct weir_native *native)
{
    struct weir_ip_layer *layer = native->ip;
    weir_time next = WEIR_NEVER, now = weir_native_now(native);

    for (unsigned i = 0; i < layer->routes;) {
        struct weir_route *route = &layer->route[i];

        if (route->valid_until <= now) {
            route_remove(layer, route);
            native->generation++;
            continue;
        }
        next = route->valid_until < next ? route->valid_until : next;
        i++;
    }
    return next;
}

static bool route_is_dead(const struct weir_native *native, const struct weir_route *route)
{
    const struct weir_neighs *neighs = &native->ip->neighs;
    unsigned neigh;

    if (weir_ip_is_any(&route->gateway))
        return false;
    neigh = weir_neigh_find(neighs, &route->gateway);
    return neigh != WEIR_NEIGH_NONE && neighs->neigh[neigh].state == WEIR_NEIGH_FAILED;
}

const struct weir_route *weir_route_find(const struct weir_native *native, const struct weir_ip *to)
{
    const struct weir_ip_layer *layer = native->ip;
    const struct weir_route *found = NULL;

    for (unsigned i = 0; i < layer->routes; i++) {
        const struct weir_route *route = &layer->route[i];

        if (found && route->bits < found->bits)
            break;
        /* ::/0 is not for IPv4, although ::ffff:0:0/96 lies in it */
        if (weir_ip_is_v4(&route->prefix) != weir_ip_is_v4(to) ||
            !weir_ip_in(to, &route->prefix, route->bits))
            continue;
        if (!route_is_dead(native, route))
            return route;
        if (!found)
            found = route;
    }
    return found; /* all of them are dead: the first may come back */
}
