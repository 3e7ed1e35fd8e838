/* iface.c - interfaces: their addresses, how those come into use and go, packets on their way out.
 *
 * Addresses of the operator are used at once, IPv4 and IPv6: a server that starts is to serve.
 * They are announced (RFC 5227 2.3), and those of IPv6 probed for duplicates all the same, and
 * given up with a line in the log when somebody else has them; those of IPv4 are defended (arp.c).
 * Addresses we make ourselves wait for the probe (RFC 4862 5.4), and those from a router's prefix a
 * random part of a second before it; DHCP's are probed by dhcp.c before they come here.
 *
 * Every shard keeps the same table by the same rules at the same times; only the lead transmits.
 *
 * Invariant: native->ip->own4 and broadcast4 say what the usable addresses of the wire say. */
#include <errno.h>
#include <string.h>
#include "net/native/ip.h"

enum { ANNOUNCE_EVERY_S = 2, DAD_S = 1, ANNOUNCEMENTS = 2, PROBE_DELAY_S = 1, PROBE_SALT = 4862 };

void weir_iface_init(struct weir_iface *iface, struct weir_native *native, unsigned index,
                     struct weir_dev_queue *queue, uint16_t vlan)
{
    *iface = (struct weir_iface){ .native = native,
                                  .queue = queue,
                                  .mtu = queue->dev->mtu,
                                  .vlan = vlan,
                                  .index = (uint8_t)index,
                                  .hop_limit = 64 };
    memcpy(iface->mac, queue->dev->mac, sizeof iface->mac);
}

void weir_iface_flush(struct weir_iface *iface)
{
    unsigned count = iface->tx_count;

    if (count == 0)
        return;
    iface->tx_count = 0;
    iface->tx_room -= iface->tx_room < count ? iface->tx_room : count;
    iface->tx_open = true;
    iface->queue->dev->ops->tx(iface->queue, iface->tx, count);
}

/* --- which is which --- */

unsigned weir_ip_common(const struct weir_ip *a, const struct weir_ip *b)
{
    uint64_t high = __builtin_bswap64(a->half[0] ^ b->half[0]);
    uint64_t low = __builtin_bswap64(a->half[1] ^ b->half[1]);

    if (high)
        return (unsigned)__builtin_clzll(high);
    return low ? 64 + (unsigned)__builtin_clzll(low) : 128;
}

bool weir_ip_is_multicast(const struct weir_ip *ip)
{
    if (weir_ip_is_v4(ip))
        return (ip->byte[12] & 0xf0) == 0xe0;
    return ip->byte[0] == 0xff;
}

bool weir_ip_is_broadcast(const struct weir_native *native, const struct weir_ip *ip)
{
    const struct weir_ip_layer *layer = native->ip;

    if (!weir_ip_is_v4(ip))
        return false;
    if (ip->word[3] == 0xffffffff)
        return true;
    for (unsigned i = 0; i < layer->broadcast4_count; i++)
        if (layer->broadcast4[i] == ip->word[3])
            return true;
    return false;
}

static bool iface_is_local6(const struct weir_native *native, const struct weir_ip *ip)
{
    const struct weir_iface *iface = &native->iface[WEIR_IFACE_WIRE];

    for (unsigned i = 0; i < iface->addr_count; i++)
        if (weir_ip_eq(&iface->addr[i].ip, ip))
            return weir_addr_usable(&iface->addr[i]);
    return weir_ip_is_loopback(ip);
}

bool weir_ip_is_local(const struct weir_native *native, const struct weir_ip *ip)
{
    const struct weir_ip_layer *layer = native->ip;

    if (!weir_ip_is_v4(ip))
        return iface_is_local6(native, ip);
    for (unsigned i = 0; i < layer->own4_count; i++)
        if (layer->own4[i] == ip->word[3])
            return true;
    return ip->byte[12] == 127;
}

struct weir_ip weir_ip_solicited_node(const struct weir_ip *ip)
{
    struct weir_ip group = { .byte = { 0xff, 2, [11] = 1, [12] = 0xff } };

    memcpy(group.byte + 13, ip->byte + 13, 3);
    return group;
}

void weir_ip_group_mac(uint8_t mac[6], const struct weir_ip *group)
{
    if (!weir_ip_is_v4(group)) {
        mac[0] = mac[1] = 0x33;
        memcpy(mac + 2, group->byte + 12, 4);
    } else if (weir_ip_is_multicast(group)) {
        memcpy(mac, (const uint8_t[]){ 0x01, 0x00, 0x5e }, 3);
        mac[3] = group->byte[13] & 0x7f;
        memcpy(mac + 4, group->byte + 14, 2);
    } else {
        memset(mac, 0xff, 6);
    }
}

bool weir_iface_in_group(const struct weir_iface *iface, const struct weir_ip *group)
{
    static const struct weir_ip all_nodes = { .byte = { 0xff, 2, [15] = 1 } };

    if (weir_ip_eq(group, &all_nodes))
        return true;
    for (unsigned i = 0; i < iface->addr_count; i++) {
        struct weir_ip solicited = weir_ip_solicited_node(&iface->addr[i].ip);

        if (!weir_ip_is_v4(&iface->addr[i].ip) && weir_ip_eq(group, &solicited))
            return true;
    }
    return false;
}

/* --- choosing the one to speak from --- */

/* Rules 2, 3 and 8 of RFC 6724 5, the heavier the further left. */
static unsigned iface_rank(const struct weir_iface_addr *addr, const struct weir_ip *remote,
                           const struct weir_ip *hop)
{
    bool scope = weir_ip_is_link_local(&addr->ip) == weir_ip_is_link_local(remote);
    bool fresh = addr->state == WEIR_ADDR_PREFERRED;
    unsigned common = weir_ip_common(&addr->ip, hop);

    return (unsigned)scope << 16 | (unsigned)fresh << 15 |
           (unsigned)(common >= addr->prefix) << 14 | common;
}

const struct weir_iface_addr *weir_iface_source(const struct weir_iface *iface,
                                                const struct weir_ip *remote,
                                                const struct weir_ip *hop)
{
    const struct weir_iface_addr *best = NULL;

    for (unsigned i = 0; i < iface->addr_count; i++) {
        const struct weir_iface_addr *addr = &iface->addr[i];

        if (!weir_addr_usable(addr) || weir_ip_is_v4(&addr->ip) != weir_ip_is_v4(remote))
            continue;
        /* A link-local source would not get an answer from beyond the link. */
        if (weir_ip_is_link_local(&addr->ip) && !weir_ip_is_link_local(remote) &&
            !weir_ip_is_multicast(remote))
            continue;
        if (!best || iface_rank(addr, remote, hop) > iface_rank(best, remote, hop))
            best = addr;
    }
    return best;
}

const struct weir_iface_addr *weir_iface_link_local(const struct weir_iface *iface)
{
    for (unsigned i = 0; i < iface->addr_count; i++)
        if (weir_ip_is_link_local(&iface->addr[i].ip) && weir_addr_usable(&iface->addr[i]))
            return &iface->addr[i];
    return NULL;
}

/* --- what changes with time --- */

static void iface_gather4(struct weir_native *native)
{
    struct weir_ip_layer *layer = native->ip;
    const struct weir_iface *iface = weir_ip_wire(native);

    layer->own4_count = layer->broadcast4_count = 0;
    for (unsigned i = 0; i < iface->addr_count; i++) {
        const struct weir_iface_addr *addr = &iface->addr[i];

        if (!weir_ip_is_v4(&addr->ip) || !weir_addr_usable(addr))
            continue;
        layer->own4[layer->own4_count++] = addr->ip.word[3];
        if (addr->prefix < 127) /* RFC 3021: no broadcast on a link of two */
            layer->broadcast4[layer->broadcast4_count++] =
                addr->ip.word[3] | htonl((uint32_t)(UINT64_C(0xffffffff) >> (addr->prefix - 96)));
    }
}

/* Announcements and probes that are due; when the next is. */
static weir_time iface_speak(struct weir_iface *iface, unsigned i, weir_time now)
{
    struct weir_native *native = iface->native;
    struct weir_ip_layer *layer = native->ip;
    struct weir_iface_addr *addr = &iface->addr[i];

    if (layer->extra[i].announcements == 0 || !weir_addr_usable(addr))
        return WEIR_NEVER;
    if (layer->extra[i].announce_at <= now) {
        layer->extra[i].announcements--;
        layer->extra[i].announce_at = now + WEIR_SEC(ANNOUNCE_EVERY_S);
        if (layer->lead && weir_ip_is_v4(&addr->ip))
            weir_arp_announce(iface, addr->ip.word[3]);
        else if (layer->lead)
            weir_nd_announce(iface, &addr->ip);
    }
    return layer->extra[i].announcements ? layer->extra[i].announce_at : WEIR_NEVER;
}

/* Joins the group of the address, then asks whether somebody has it (RFC 4862 5.4.2). */
static void iface_probe(struct weir_iface *iface, unsigned i)
{
    iface->native->ip->extra[i].probe_at = 0;
    if (!iface->native->ip->lead)
        return;
    weir_mld_join(iface, &iface->addr[i].ip);
    weir_nd_probe(iface, &iface->addr[i].ip);
}

/* Duplicate detection (RFC 4862 5.4) and lifetimes (5.5.4) of one address.  When to look again; 0:
 * the address has ended. */
static weir_time iface_age(struct weir_iface *iface, unsigned i, weir_time now, bool *changed)
{
    struct weir_ip_layer *layer = iface->native->ip;
    struct weir_iface_addr *addr = &iface->addr[i];
    weir_time next = WEIR_NEVER;

    if (addr->valid_until <= now)
        return 0;
    if (layer->extra[i].probe_at && layer->extra[i].probe_at <= now)
        iface_probe(iface, i);
    if (layer->extra[i].dad_until && layer->extra[i].dad_until <= now) {
        layer->extra[i].dad_until = 0;
        if (addr->state == WEIR_ADDR_TENTATIVE) {
            addr->state = WEIR_ADDR_PREFERRED;
            layer->extra[i].announcements = 1;
            layer->extra[i].announce_at = now;
            *changed = true;
            if (weir_ip_is_link_local(&addr->ip))
                weir_mld_again(iface);
        }
    }
    if (addr->state == WEIR_ADDR_PREFERRED && addr->preferred_until <= now) {
        addr->state = WEIR_ADDR_DEPRECATED;
        *changed = true;
    }
    if (layer->extra[i].dad_until)
        next = layer->extra[i].probe_at ? layer->extra[i].probe_at : layer->extra[i].dad_until;
    if (addr->preferred_until > now && addr->preferred_until < next)
        next = addr->preferred_until;
    return addr->valid_until < next ? addr->valid_until : next;
}

static void iface_remove(struct weir_iface *iface, unsigned i)
{
    struct weir_ip_layer *layer = iface->native->ip;
    struct weir_ip gone = iface->addr[i].ip;
    unsigned last = --iface->addr_count;

    iface->addr[i] = iface->addr[last];
    if (iface->index != WEIR_IFACE_WIRE)
        return;
    layer->extra[i] = layer->extra[last];
    weir_mld_leave(iface, &gone);
}

static weir_time iface_age_all(struct weir_iface *iface, weir_time now, bool *changed)
{
    weir_time next = WEIR_NEVER;

    for (unsigned i = 0; i < iface->addr_count;) {
        weir_time at = iface_age(iface, i, now, changed);

        if (at == 0) {
            iface_remove(iface, i);
            *changed = true;
            continue;
        }
        next = at < next ? at : next;
        i++;
    }
    return next;
}

static void iface_lifetimes(struct weir_alarm *alarm)
{
    struct weir_ip_layer *layer = weir_container_of(alarm, struct weir_ip_layer, lifetimes);
    struct weir_native *native = layer->native;
    struct weir_iface *wire = weir_ip_wire(native);
    weir_time now = weir_native_now(native), next, at;
    bool changed = false;

    next = iface_age_all(wire, now, &changed);
    if (changed) {
        iface_gather4(native);
        native->generation++;
    }
    for (unsigned i = 0; i < wire->addr_count; i++) {
        at = iface_speak(wire, i, now);
        next = at < next ? at : next;
    }
    at = weir_route_expire(native);
    next = at < next ? at : next;
    if (next < WEIR_NEVER)
        weir_ip_alarm_set(native, &layer->lifetimes, next);
}

void weir_iface_changed(struct weir_native *native)
{
    struct weir_ip_layer *layer = native->ip;

    iface_gather4(native);
    native->generation++;
    if (!layer->lifetimes.fire)
        weir_alarm_init(&layer->lifetimes, iface_lifetimes);
    weir_ip_alarm_set(native, &layer->lifetimes, weir_native_now(native));
}

void weir_iface_close(struct weir_native *native)
{
    if (native->ip->lifetimes.fire)
        weir_ip_alarm_clear(native, &native->ip->lifetimes);
}

/* --- coming and going --- */

struct weir_iface_addr *weir_iface_find(struct weir_iface *iface, const struct weir_ip *ip)
{
    for (unsigned i = 0; i < iface->addr_count; i++)
        if (weir_ip_eq(&iface->addr[i].ip, ip))
            return &iface->addr[i];
    return NULL;
}

/* RFC 4862 5.4.2: all hosts that a router's advertisement has reached make their addresses of it at
 * the same time.  At random, but the same on every shard. */
static weir_time iface_probe_delay(const struct weir_ip_layer *layer,
                                   const struct weir_iface_addr *addr)
{
    if (addr->origin != WEIR_ADDR_SLAAC)
        return 0;
    return (weir_time)(weir_ip_secret(layer, addr->ip.byte, sizeof addr->ip.byte, PROBE_SALT) %
                       WEIR_SEC(PROBE_DELAY_S));
}

static void iface_begin(struct weir_iface *iface, unsigned i)
{
    struct weir_ip_layer *layer = iface->native->ip;
    struct weir_iface_addr *addr = &iface->addr[i];
    weir_time now = weir_native_now(iface->native);
    bool v4 = weir_ip_is_v4(&addr->ip);

    memset(&layer->extra[i], 0, sizeof layer->extra[i]);
    if (addr->state == WEIR_ADDR_PREFERRED) {
        layer->extra[i].announcements = v4 ? ANNOUNCEMENTS : 1;
        layer->extra[i].announce_at = now;
    }
    if (v4)
        return;
    layer->extra[i].probe_at = now + iface_probe_delay(layer, addr);
    layer->extra[i].dad_until = layer->extra[i].probe_at + WEIR_SEC(DAD_S);
    if (layer->extra[i].probe_at == now)
        iface_probe(iface, i);
}

static void iface_route(struct weir_iface *iface, const struct weir_iface_addr *addr)
{
    struct weir_route route = { .prefix = addr->ip,
                                .bits = addr->prefix,
                                .iface = iface->index,
                                .origin = addr->origin,
                                .valid_until = addr->valid_until };

    if (addr->prefix < 128)
        (void)weir_route_add(iface->native, &route); /* full: the address works all the same */
}

int weir_iface_add(struct weir_iface *iface, const struct weir_iface_addr *addr)
{
    struct weir_iface_addr *known = weir_iface_find(iface, &addr->ip);

    if (known) {
        known->valid_until = addr->valid_until;
        known->preferred_until = addr->preferred_until;
        if (known->state == WEIR_ADDR_DEPRECATED &&
            addr->preferred_until > weir_native_now(iface->native))
            known->state = WEIR_ADDR_PREFERRED;
    } else {
        if (iface->addr_count == WEIR_IFACE_ADDRS)
            return -ENOSPC;
        iface->addr[iface->addr_count++] = *addr;
        if (iface->index == WEIR_IFACE_WIRE)
            iface_begin(iface, iface->addr_count - 1u);
    }
    /* SLAAC: what is on the link is another flag of the advertisement (RFC 5942 4). */
    if (iface->index == WEIR_IFACE_WIRE && addr->origin != WEIR_ADDR_SLAAC)
        iface_route(iface, addr);
    weir_iface_changed(iface->native);
    return 0;
}

void weir_iface_del(struct weir_iface *iface, const struct weir_ip *ip)
{
    static const struct weir_ip on_link;
    struct weir_iface_addr *addr = weir_iface_find(iface, ip);

    if (!addr)
        return;
    if (addr->origin != WEIR_ADDR_SLAAC)
        weir_route_del(iface->native, ip, addr->prefix, &on_link);
    iface_remove(iface, (unsigned)(addr - iface->addr));
    for (unsigned i = 0; i < iface->addr_count; i++) /* others may be of the same prefix */
        if (iface->addr[i].origin != WEIR_ADDR_SLAAC)
            iface_route(iface, &iface->addr[i]);
    weir_iface_changed(iface->native);
}

/* RFC 4862 5.4.5: the identifier of our link-local address is the MAC's.  Who has it, too, has our
 * MAC, and whatever we said by IPv6 would be taken for his: so we say nothing by it any more. */
static void iface_end_ip6(struct weir_iface *iface)
{
    for (unsigned i = 0; i < iface->addr_count; i++)
        if (!weir_ip_is_v4(&iface->addr[i].ip))
            iface->addr[i].state = WEIR_ADDR_DUPLICATE;
    iface->native->ip->no_ip6 = true;
    weir_ra_close(&iface->native->ip->ra);
    if (iface->native->ip->lead)
        weir_log("no IPv6 any more: two hosts on this link have one MAC address");
}

void weir_iface_duplicate(struct weir_iface *iface, struct weir_iface_addr *addr,
                          const uint8_t mac[6])
{
    char text[64];

    if (addr->state == WEIR_ADDR_DUPLICATE)
        return;
    addr->state = WEIR_ADDR_DUPLICATE;
    if (iface->native->ip->lead)
        weir_log("%s is not used: %02x:%02x:%02x:%02x:%02x:%02x has it, too; give this host an "
                 "address of its own",
                 weir_ip_format(&addr->ip, text), mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
    if (addr->origin == WEIR_ADDR_LINK_LOCAL)
        iface_end_ip6(iface);
    weir_iface_changed(iface->native);
}
