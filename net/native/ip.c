/* ip.c - the IP layer as a whole: settings read, everything opened and closed.
 *
 * "ip" is a list: addresses with their prefix length, "dhcp", "auto" (IPv6 addresses from router
 * advertisements).  IPv6 is spoken only when it asks for it: then there is a link-local address and
 * routers are listened to. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/parse.h"
#include "net/native/ip.h"

enum { IP_TEXT = 64 };

uint64_t weir_ip_secret(const struct weir_ip_layer *ip, const void *data, size_t len, uint64_t salt)
{
    const uint8_t *at = data;
    uint64_t mix = ip->secret ^ salt * UINT64_C(0x9e3779b97f4a7c15);

    for (size_t i = 0; i < len; i++) {
        mix = (mix ^ at[i]) * UINT64_C(0xff51afd7ed558ccd);
        mix ^= mix >> 32;
    }
    mix = (mix ^ (ip->secret >> 17)) * UINT64_C(0xc4ceb9fe1a85ec53);
    return mix ^ (mix >> 29);
}

/* --- addresses as text --- */

int weir_ip_parse(struct weir_ip *ip, const char *text, size_t len)
{
    char copy[IP_TEXT];
    uint32_t v4;

    if (len == 0 || len >= sizeof copy)
        return -EINVAL;
    memcpy(copy, text, len);
    copy[len] = 0;
    if (inet_pton(AF_INET, copy, &v4) == 1) {
        *ip = weir_ip_v4(v4);
        return 0;
    }
    return inet_pton(AF_INET6, copy, ip->byte) == 1 && !weir_ip_is_v4(ip) ? 0 : -EINVAL;
}

/* "192.0.2.0/24", with bits of 128. */
static int ip_parse_prefix(struct weir_ip *ip, uint8_t *bits, const char *text, size_t len)
{
    const char *slash = memchr(text, '/', len), *at = slash ? slash + 1 : NULL;
    uint64_t value;
    unsigned most;

    if (!at || at == text + len || weir_ip_parse(ip, text, (size_t)(slash - text)) < 0)
        return -EINVAL;
    most = weir_ip_is_v4(ip) ? 32 : 128;
    if (weir_parse_digits(&at, &value) < 0 || at != text + len || value > most)
        return -EINVAL;
    *bits = (uint8_t)(value + 128 - most);
    return 0;
}

/* The next item of a list, without the blanks around it; false: there is none. */
static bool ip_item(const char **list, const char **item, size_t *len)
{
    const char *at = *list, *end;

    if (!at || !*at)
        return false;
    end = strchrnul(at, ',');
    *list = *end ? end + 1 : end;
    while (at < end && *at == ' ')
        at++;
    while (end > at && end[-1] == ' ')
        end--;
    *item = at;
    *len = (size_t)(end - at);
    return true;
}

static bool ip_is(const char *item, size_t len, const char *word)
{
    return len == strlen(word) && memcmp(item, word, len) == 0;
}

/* --- settings --- */

/* Where reading the settings stands. */
struct ip_setup {
    struct weir_native *native;
    char *why;
    size_t why_size;
    bool v6, dhcp, slaac;
};

static int ip_refuse(const struct ip_setup *setup, const char *option, const char *item, size_t len,
                     const char *allowed)
{
    snprintf(setup->why, setup->why_size, "%s \"%.*s\": %s", option, (int)len, item, allowed);
    return -EINVAL;
}

static bool ip_is_for_host(const struct weir_iface_addr *addr)
{
    const struct weir_ip *ip = &addr->ip;
    uint32_t host, part;

    if (weir_ip_is_multicast(ip) || weir_ip_is_loopback(ip) || weir_ip_is_any(ip))
        return false;
    if (!weir_ip_is_v4(ip))
        return true;
    host = (uint32_t)(UINT64_C(0xffffffff) >> (addr->prefix - 96));
    part = ntohl(ip->word[3]) & host;
    if (addr->prefix < 127 && (part == 0 || part == host))
        return false;
    return ip->byte[12] != 0 && ip->byte[12] < 240;
}

static int ip_add_address(struct ip_setup *setup, const char *item, size_t len)
{
    struct weir_iface *wire = weir_ip_wire(setup->native);
    struct weir_iface_addr addr = { .state = WEIR_ADDR_PREFERRED,
                                    .origin = WEIR_ADDR_STATIC,
                                    .valid_until = WEIR_NEVER,
                                    .preferred_until = WEIR_NEVER };

    if (ip_parse_prefix(&addr.ip, &addr.prefix, item, len) < 0)
        return ip_refuse(setup, "ip", item, len,
                         "give ADDRESS/BITS (192.0.2.2/24, 2001:db8::2/64), dhcp or auto");
    if (!ip_is_for_host(&addr))
        return ip_refuse(setup, "ip", item, len,
                         "no host can have this address: not a network, broadcast, multicast or "
                         "loopback address");
    if (weir_iface_find(wire, &addr.ip))
        return ip_refuse(setup, "ip", item, len, "is there twice");
    if (!weir_ip_is_v4(&addr.ip) && !setup->v6) {
        setup->v6 = true;
        weir_ra_open(&setup->native->ip->ra, wire, false);
    }
    if (weir_iface_add(wire, &addr) < 0)
        return ip_refuse(setup, "ip", item, len,
                         "is one too many: at most 8 addresses, with "
                         "IPv6 one of them the link-local one");
    return 0;
}

static int ip_read_addresses(struct ip_setup *setup, const char *list)
{
    const char *item;
    size_t len;
    int ret = 0;

    while (ret == 0 && ip_item(&list, &item, &len)) {
        if (ip_is(item, len, "dhcp"))
            setup->dhcp = true;
        else if (ip_is(item, len, "auto"))
            setup->slaac = true;
        else
            ret = ip_add_address(setup, item, len);
    }
    return ret;
}

/* The gateway has to be a neighbour: on a prefix of ours, or link-local. */
static int ip_add_route(struct ip_setup *setup, struct weir_route *route, const char *option,
                        const char *item, size_t len)
{
    const struct weir_iface *wire = weir_ip_wire(setup->native);
    bool near = weir_ip_is_link_local(&route->gateway) || setup->dhcp || setup->slaac;

    for (unsigned i = 0; i < wire->addr_count; i++)
        near |= weir_ip_is_v4(&wire->addr[i].ip) == weir_ip_is_v4(&route->gateway) &&
                weir_ip_in(&route->gateway, &wire->addr[i].ip, wire->addr[i].prefix);
    if (weir_ip_is_any(&route->gateway) || weir_ip_is_multicast(&route->gateway) ||
        weir_ip_is_loopback(&route->gateway) ||
        weir_iface_find(weir_ip_wire(setup->native), &route->gateway))
        return ip_refuse(setup, option, item, len, "the gateway has to be another host");
    if (!near)
        return ip_refuse(setup, option, item, len, "the gateway is on none of our prefixes");
    route->iface = WEIR_IFACE_WIRE;
    route->origin = WEIR_ADDR_STATIC;
    route->valid_until = WEIR_NEVER;
    if (weir_route_add(setup->native, route) < 0)
        return ip_refuse(setup, option, item, len,
                         "is one too many: at most 32 routes, one of "
                         "them for each address");
    return 0;
}

static int ip_read_gateways(struct ip_setup *setup, const char *list)
{
    const char *item;
    size_t len;
    int ret = 0;

    while (ret == 0 && ip_item(&list, &item, &len)) {
        struct weir_route route = { .bits = 0 };

        if (weir_ip_parse(&route.gateway, item, len) < 0)
            return ip_refuse(setup, "gateway", item, len, "give an address, such as 192.0.2.1");
        if (weir_ip_is_v4(&route.gateway)) {
            route.prefix = weir_ip_v4(0);
            route.bits = 96;
        }
        ret = ip_add_route(setup, &route, "gateway", item, len);
    }
    return ret;
}

static int ip_read_routes(struct ip_setup *setup, const char *list)
{
    const char *item, *via;
    size_t len;
    int ret = 0;

    while (ret == 0 && ip_item(&list, &item, &len)) {
        struct weir_route route = { .bits = 0 };

        via = memmem(item, len, " via ", 5);
        if (!via || ip_parse_prefix(&route.prefix, &route.bits, item, (size_t)(via - item)) < 0 ||
            weir_ip_parse(&route.gateway, via + 5, (size_t)(item + len - (via + 5))) < 0 ||
            weir_ip_is_v4(&route.prefix) != weir_ip_is_v4(&route.gateway))
            return ip_refuse(setup, "route", item, len,
                             "give PREFIX/BITS via ADDRESS, such as 198.51.100.0/24 via 192.0.2.9");
        ret = ip_add_route(setup, &route, "route", item, len);
    }
    return ret;
}

static int ip_configure(struct ip_setup *setup, const struct weir_native_config *config)
{
    struct weir_native *native = setup->native;
    int ret;

    if (native->ifaces <= WEIR_IFACE_WIRE) {
        if (!config->ip && !config->gateway && !config->route)
            return 0;
        snprintf(setup->why, setup->why_size,
                 "ip, gateway and route are for a device, and there is none: give dev");
        return -EINVAL;
    }
    if (!config->ip || !*config->ip) {
        snprintf(setup->why, setup->why_size,
                 "the device has no address: give ip, such as 192.0.2.2/24, dhcp or auto");
        return -EINVAL;
    }
    ret = ip_read_addresses(setup, config->ip);
    if (ret == 0)
        ret = ip_read_gateways(setup, config->gateway);
    if (ret == 0)
        ret = ip_read_routes(setup, config->route);
    if (ret < 0)
        return ret;
    if (setup->slaac && !setup->v6)
        weir_ra_open(&native->ip->ra, weir_ip_wire(native), true);
    native->ip->ra.slaac = setup->slaac;
    if (setup->dhcp)
        weir_dhcp_open(&native->ip->dhcp, weir_ip_wire(native));
    return 0;
}

/* --- the whole --- */

static void ip_add_loopback(struct weir_native *native)
{
    struct weir_iface_addr v4 = { .ip = weir_ip_v4(htonl(INADDR_LOOPBACK)),
                                  .prefix = 96 + 8,
                                  .state = WEIR_ADDR_PREFERRED,
                                  .valid_until = WEIR_NEVER,
                                  .preferred_until = WEIR_NEVER };
    struct weir_iface_addr v6 = v4;

    v6.ip = (struct weir_ip){ .byte = { [15] = 1 } };
    v6.prefix = 128;
    weir_iface_add(&native->iface[WEIR_IFACE_LOOP], &v4);
    weir_iface_add(&native->iface[WEIR_IFACE_LOOP], &v6);
}

int weir_ip_open(struct weir_native *native, const struct weir_native_config *config, char *why,
                 size_t why_size)
{
    struct weir_ip_layer *ip = calloc(1, sizeof *ip);
    struct ip_setup setup = { .native = native, .why = why, .why_size = why_size };
    int ret;

    if (!ip) {
        snprintf(why, why_size, "no memory");
        return -ENOMEM;
    }
    native->ip = ip;
    native->generation++;
    ip->native = native;
    ip->lead = native->shard->id == 0;
    ip->secret = config->secret;
    ip->icmp_tokens = WEIR_ICMP_BURST * UINT64_C(1000);
    ip->icmp_filled = weir_native_now(native);
    weir_pmtus_init(&ip->pmtus, native);
    weir_mld_init(&ip->mld);
    ret = weir_neighs_init(&ip->neighs, native, ip->secret);
    if (ret == 0)
        ret = weir_frags_init(&ip->frags, native);
    if (ret < 0)
        snprintf(why, why_size, "no memory");
    if (ret == 0) {
        ip_add_loopback(native);
        ret = ip_configure(&setup, config);
    }
    if (ret < 0)
        weir_ip_close(native);
    return ret;
}

void weir_ip_close(struct weir_native *native)
{
    struct weir_ip_layer *ip = native->ip;

    if (!ip)
        return;
    weir_dhcp_close(&ip->dhcp);
    weir_ra_close(&ip->ra);
    weir_iface_close(native);
    weir_ip_alarm_clear(native, &ip->pmtus.alarm);
    weir_ip_alarm_clear(native, &ip->mld.alarm);
    weir_frags_free(&ip->frags);
    weir_neighs_free(&ip->neighs);
    for (unsigned i = 0; i < native->ifaces; i++) {
        struct weir_dev_queue *queue = native->iface[i].queue;

        weir_iface_flush(&native->iface[i]);
        queue->dev->ops->tx_flush(queue);
        native->iface[i].addr_count = 0;
    }
    free(ip);
    native->ip = NULL;
}
