/* arp.c - ARP: asking, answering, and standing by our addresses (RFC 826, 1122 2.3.2, 5227).
 *
 * What a request says about its sender makes an entry only when it asks for us (it will talk to us
 * next) and the sender is on our link; anything else only changes entries that are there.  An
 * answer counts as one only while we are asking.  Somebody who speaks from our address is told once
 * in DEFEND_INTERVAL that it is ours (RFC 5227 2.4 c), and the log says who it is. */
#include <arpa/inet.h>
#include <string.h>
#include "net/native/ip.h"

#define DEFEND_INTERVAL WEIR_SEC(10)

static const uint8_t arp_everybody[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

static void arp_send(struct weir_iface *iface, const uint8_t to[6], const struct weir_arp *arp)
{
    struct weir_pkt *pkt = weir_pkt_get(&iface->native->pkts);

    if (!pkt)
        return;
    pkt->buf.len = (uint32_t)weir_arp_emit(pkt->buf.data, arp);
    weir_ether_send(iface, pkt, to, WEIR_ETHERTYPE_ARP);
}

/* --- out --- */

static void arp_request(struct weir_iface *iface, uint32_t sender, uint32_t target,
                        const uint8_t mac[6])
{
    struct weir_arp arp = { .sender_ip = sender, .target_ip = target };

    memcpy(arp.sender_mac, iface->mac, sizeof arp.sender_mac);
    arp_send(iface, mac, &arp);
}

void weir_arp_solicit(struct weir_iface *iface, const struct weir_ip *target, const uint8_t mac[6])
{
    const struct weir_iface_addr *ours = weir_iface_source(iface, target, target);

    if (ours)
        arp_request(iface, ours->ip.word[3], target->word[3], mac ? mac : arp_everybody);
}

void weir_arp_probe(struct weir_iface *iface, uint32_t target)
{
    arp_request(iface, 0, target, arp_everybody);
}

void weir_arp_announce(struct weir_iface *iface, uint32_t ip)
{
    arp_request(iface, ip, ip, arp_everybody);
}

static void arp_answer(struct weir_iface *iface, const struct weir_arp *request)
{
    struct weir_arp arp = { .reply = true,
                            .sender_ip = request->target_ip,
                            .target_ip = request->sender_ip };

    memcpy(arp.sender_mac, iface->mac, sizeof arp.sender_mac);
    memcpy(arp.target_mac, request->sender_mac, sizeof arp.target_mac);
    arp_send(iface, request->sender_mac, &arp);
}

/* --- in --- */

/* Somebody else speaks from an address of ours. */
static void arp_conflict(struct weir_iface *iface, const struct weir_iface_addr *addr,
                         const struct weir_arp *arp)
{
    struct weir_native *native = iface->native;
    struct weir_ip_layer *layer = native->ip;
    weir_time now = weir_native_now(native);
    size_t i = (size_t)(addr - iface->addr);
    const uint8_t *mac = arp->sender_mac;
    char text[64];

    if (!layer->lead || !weir_addr_usable(addr) ||
        (layer->extra[i].defended_at && now - layer->extra[i].defended_at < DEFEND_INTERVAL))
        return;
    layer->extra[i].defended_at = now ? now : 1;
    weir_arp_announce(iface, addr->ip.word[3]);
    weir_native_say(native, "%s is ours, but %02x:%02x:%02x:%02x:%02x:%02x uses it, too",
                    weir_ip_format(&addr->ip, text), mac[0], mac[1], mac[2], mac[3], mac[4],
                    mac[5]);
}

static bool arp_on_link(const struct weir_iface *iface, const struct weir_ip *ip)
{
    for (unsigned i = 0; i < iface->addr_count; i++)
        if (weir_ip_is_v4(&iface->addr[i].ip) && weir_addr_usable(&iface->addr[i]) &&
            weir_ip_in(ip, &iface->addr[i].ip, iface->addr[i].prefix))
            return true;
    return false;
}

static void arp_learn(struct weir_iface *iface, const struct weir_arp *arp, bool for_us)
{
    struct weir_neighs *neighs = &iface->native->ip->neighs;
    struct weir_ip sender = weir_ip_v4(arp->sender_ip);
    enum weir_neigh_news news = WEIR_NEIGH_SEEN;
    unsigned neigh = weir_neigh_find(neighs, &sender);

    if (neigh == WEIR_NEIGH_NONE && for_us && !arp->reply && arp_on_link(iface, &sender))
        neigh = weir_neigh_get(neighs, &sender);
    if (neigh == WEIR_NEIGH_NONE)
        return;
    if (arp->reply && for_us) {
        uint8_t state = neighs->neigh[neigh].state;

        if (state == WEIR_NEIGH_INCOMPLETE || state == WEIR_NEIGH_PROBE)
            news = WEIR_NEIGH_ANSWERED;
    }
    weir_neigh_learn(neighs, neigh, arp->sender_mac, news, true);
}

static void arp_process(struct weir_iface *iface, const struct weir_arp *arp, bool forwarded)
{
    struct weir_ip sender = weir_ip_v4(arp->sender_ip), target = weir_ip_v4(arp->target_ip);
    const struct weir_iface_addr *ours = weir_iface_find(iface, &sender);
    bool for_us;

    weir_dhcp_conflict(&iface->native->ip->dhcp,
                       arp->sender_ip || arp->reply ? arp->sender_ip : arp->target_ip);
    if (ours) {
        arp_conflict(iface, ours, arp);
        return;
    }
    ours = weir_iface_find(iface, &target);
    for_us = ours && weir_addr_usable(ours);
    if (arp->sender_ip)
        arp_learn(iface, arp, for_us && (!forwarded || arp->reply));
    if (for_us && !arp->reply && !forwarded)
        arp_answer(iface, arp);
}

void weir_arp_input(struct weir_iface *iface, struct weir_pkt *pkt, unsigned at)
{
    struct weir_native *native = iface->native;
    bool forwarded = pkt->flags & WEIR_PKT_FORWARDED;
    struct weir_arp arp;

    if (weir_arp_parse(&arp, pkt->buf.data + at, pkt->buf.len - at) < 0)
        native->stats.arp_bad++;
    else if (iface->index == WEIR_IFACE_WIRE && memcmp(arp.sender_mac, iface->mac, 6) != 0) {
        if (!forwarded)
            weir_steer_everyone(native, pkt);
        arp_process(iface, &arp, forwarded);
    }
    weir_pkt_free(pkt);
}
