/* ra.c - router advertisements: default routers, prefixes, addresses (RFC 4861 6.3, RFC 4862 5.5).
 *
 * Routers are always believed about themselves; addresses are made from their prefixes only when
 * asked for ("auto"), with the identifier from the MAC.  Routers are asked for at most
 * SOLICITATIONS times; after that they will speak by themselves.  A shortened lifetime is not
 * believed below two hours (RFC 4862 5.5.3 e). */
#include <string.h>
#include "net/native/ip.h"

enum { SOLICITATIONS = 3 };

#define SOLICIT_EVERY WEIR_SEC(4)
#define TWO_HOURS WEIR_SEC(7200)
#define REACHABLE_MAX_MS 3600000u
#define RETRANS_MAX_MS 10000u

/* Interface identifiers from the MAC (RFC 4291, appendix A): the same on every shard and after
 * every start, as becomes a server. */
static struct weir_ip ra_make_ip(const struct weir_iface *iface, const struct weir_ip *prefix)
{
    struct weir_ip ip = *prefix;

    memcpy(ip.byte + 8, iface->mac, 3);
    ip.byte[8] ^= 2;
    ip.byte[11] = 0xff;
    ip.byte[12] = 0xfe;
    memcpy(ip.byte + 13, iface->mac + 3, 3);
    return ip;
}

static weir_time ra_until(const struct weir_ra *ra, uint32_t seconds)
{
    if (seconds == UINT32_MAX)
        return WEIR_NEVER;
    return weir_native_now(ra->iface->native) + WEIR_SEC(seconds);
}

/* --- routers --- */

static void ra_default_route(struct weir_ra *ra, const struct weir_ip *router, uint16_t lifetime_s)
{
    struct weir_native *native = ra->iface->native;
    struct weir_route route = { .gateway = *router,
                                .iface = WEIR_IFACE_WIRE,
                                .origin = WEIR_ADDR_SLAAC,
                                .valid_until = ra_until(ra, lifetime_s) };

    if (lifetime_s == 0)
        weir_route_del(native, &route.prefix, 0, router);
    else
        (void)weir_route_add(native, &route); /* full: one router less */
}

static void ra_parameters(struct weir_ra *ra, const struct weir_nd *nd)
{
    struct weir_iface *iface = ra->iface;
    struct weir_neighs *neighs = &iface->native->ip->neighs;

    if (nd->hop_limit && nd->hop_limit != iface->hop_limit) {
        iface->hop_limit = nd->hop_limit;
        iface->native->generation++;
    }
    if (nd->mtu >= WEIR_PMTU_MIN6 && nd->mtu < iface->mtu) {
        iface->mtu = (uint16_t)nd->mtu;
        iface->native->generation++;
    }
    if (nd->reachable_ms && nd->reachable_ms <= REACHABLE_MAX_MS)
        neighs->reachable = WEIR_MS(nd->reachable_ms);
    if (nd->retrans_ms && nd->retrans_ms <= RETRANS_MAX_MS)
        neighs->retrans = WEIR_MS(nd->retrans_ms);
}

/* --- prefixes --- */

static void ra_on_link(struct weir_ra *ra, const struct weir_nd *nd, unsigned i)
{
    struct weir_native *native = ra->iface->native;
    struct weir_route route = { .prefix = nd->prefix[i].prefix,
                                .bits = nd->prefix[i].len,
                                .iface = WEIR_IFACE_WIRE,
                                .origin = WEIR_ADDR_SLAAC,
                                .valid_until = ra_until(ra, nd->prefix[i].valid_s) };

    if (nd->prefix[i].valid_s == 0)
        weir_route_del(native, &route.prefix, route.bits, &route.gateway);
    else
        (void)weir_route_add(native, &route);
}

static void ra_address(struct weir_ra *ra, const struct weir_nd *nd, unsigned i)
{
    weir_time now = weir_native_now(ra->iface->native);
    struct weir_iface_addr addr = { .ip = ra_make_ip(ra->iface, &nd->prefix[i].prefix),
                                    .prefix = nd->prefix[i].len,
                                    .state = WEIR_ADDR_TENTATIVE,
                                    .origin = WEIR_ADDR_SLAAC,
                                    .valid_until = ra_until(ra, nd->prefix[i].valid_s),
                                    .preferred_until = ra_until(ra, nd->prefix[i].preferred_s) };
    const struct weir_iface_addr *known = weir_iface_find(ra->iface, &addr.ip);

    if (known && known->origin != WEIR_ADDR_SLAAC)
        return;
    if (!known && nd->prefix[i].valid_s == 0)
        return;
    if (known && addr.valid_until < now + TWO_HOURS && addr.valid_until < known->valid_until)
        addr.valid_until =
            known->valid_until < now + TWO_HOURS ? known->valid_until : now + TWO_HOURS;
    if (addr.preferred_until > addr.valid_until)
        addr.preferred_until = addr.valid_until;
    (void)weir_iface_add(ra->iface, &addr); /* full: one address less */
}

void weir_ra_input(struct weir_ra *ra, const struct weir_ip *router, const struct weir_nd *nd)
{
    if (!ra->iface)
        return;
    ra->heard = true;
    weir_ip_alarm_clear(ra->iface->native, &ra->alarm);
    ra_default_route(ra, router, nd->lifetime_s);
    ra_parameters(ra, nd);
    for (unsigned i = 0; i < nd->prefixes; i++) {
        if (nd->prefix[i].on_link)
            ra_on_link(ra, nd, i);
        if (nd->prefix[i].autonomous && ra->slaac && nd->prefix[i].len == 64)
            ra_address(ra, nd, i);
    }
}

/* --- asking --- */

static void ra_fire(struct weir_alarm *alarm)
{
    struct weir_ra *ra = weir_container_of(alarm, struct weir_ra, alarm);
    struct weir_native *native = ra->iface->native;

    if (ra->solicitations == SOLICITATIONS) {
        if (ra->slaac)
            weir_log("no router has advertised a prefix so far: no IPv6 address from it");
        return;
    }
    ra->solicitations++;
    weir_nd_solicit_routers(ra->iface);
    weir_ip_alarm_set(native, alarm, weir_native_now(native) + SOLICIT_EVERY);
}

void weir_ra_open(struct weir_ra *ra, struct weir_iface *iface, bool slaac)
{
    static const struct weir_ip link_local = { .byte = { 0xfe, 0x80 } };
    struct weir_iface_addr addr = { .ip = ra_make_ip(iface, &link_local),
                                    .prefix = 64,
                                    .state = WEIR_ADDR_TENTATIVE,
                                    .origin = WEIR_ADDR_LINK_LOCAL,
                                    .valid_until = WEIR_NEVER,
                                    .preferred_until = WEIR_NEVER };

    *ra = (struct weir_ra){ .iface = iface, .slaac = slaac };
    weir_alarm_init(&ra->alarm, ra_fire);
    (void)weir_iface_add(iface, &addr); /* the first of IPv6: weir_ip_open keeps a place */
    if (iface->native->ip->lead)        /* when the link-local address is ours, RFC 4861 6.3.7 */
        weir_ip_alarm_set(iface->native, &ra->alarm,
                          weir_native_now(iface->native) + WEIR_MS(1100));
}

void weir_ra_close(struct weir_ra *ra)
{
    if (ra->iface)
        weir_ip_alarm_clear(ra->iface->native, &ra->alarm);
    ra->iface = NULL;
}
