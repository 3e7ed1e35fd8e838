/* dhcp.c - DHCP client (RFC 2131), with its own IP and UDP: it speaks before there is an address.
 *
 * Only the lead transmits.  The other shards are shown every answer of a server and follow: the
 * transaction id comes from the secret they share, so each of them knows an ACK that is for this
 * host, checks the address as long, and ends the lease at the same time.
 *
 * Before an address is used it is asked for by ARP, twice within a second (RFC 2131 3.1 5; RFC
 * 5227's seven seconds are more than a server's start should take); an answer makes a DECLINE, and
 * a pause.  Unicast goes to the MAC that the last ACK came from: the server or the way to it.
 *
 *     SELECTING -> REQUESTING -> CHECKING -> BOUND -> RENEWING -> REBINDING -> SELECTING
 *
 * Invariant: the address is in the interface's table iff the state is BOUND or behind it. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include "net/native/checksum.h"
#include "net/native/ip.h"

enum { DHCP_SERVER = 67, DHCP_CLIENT = 68, DHCP_SIZE = 548, DHCP_PROBES = 2, DHCP_REQUESTS = 4 };

#define DHCP_PROBE_EVERY WEIR_MS(500)
#define DHCP_DECLINE_PAUSE WEIR_SEC(10) /* RFC 2131 3.1 5 */
#define DHCP_NAK_PAUSE WEIR_SEC(1)
#define DHCP_RETRY_MIN WEIR_SEC(60) /* RFC 2131 4.4.5 */

static const uint8_t dhcp_everybody[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

static struct weir_native *dhcp_native(const struct weir_dhcp_client *dhcp)
{
    return dhcp->iface->native;
}

static weir_time dhcp_now(const struct weir_dhcp_client *dhcp)
{
    return weir_native_now(dhcp_native(dhcp));
}

static bool dhcp_lead(const struct weir_dhcp_client *dhcp)
{
    return dhcp_native(dhcp)->ip->lead;
}

static void dhcp_alarm(struct weir_dhcp_client *dhcp, weir_time when)
{
    if (when < WEIR_NEVER)
        weir_ip_alarm_set(dhcp_native(dhcp), &dhcp->alarm, when);
    else
        weir_ip_alarm_clear(dhcp_native(dhcp), &dhcp->alarm);
}

/* --- sending --- */

static void dhcp_put_udp(struct weir_pkt *pkt, const struct weir_ip4 *ip)
{
    uint8_t *udp = weir_pkt_push(pkt, 8);
    uint32_t sum = weir_pseudo_sum(&ip->source, &ip->target, IPPROTO_UDP, pkt->buf.len);
    uint16_t folded;

    weir_put16(udp, DHCP_CLIENT);
    weir_put16(udp + 2, DHCP_SERVER);
    weir_put16(udp + 4, (uint16_t)pkt->buf.len);
    memset(udp + 6, 0, 2);
    folded = (uint16_t)~weir_sum_fold(weir_sum(udp, pkt->buf.len, sum));
    folded = folded ? folded : 0xffff;
    memcpy(udp + 6, &folded, 2);
}

/* `to` 0: everybody. */
static void dhcp_transmit(struct weir_dhcp_client *dhcp, const struct weir_dhcp *message,
                          uint32_t to)
{
    struct weir_pkt *pkt = weir_pkt_get(&dhcp_native(dhcp)->pkts);
    struct weir_ip4 ip = { .source = weir_ip_v4(message->client_ip),
                           .target = weir_ip_v4(to ? to : 0xffffffff),
                           .protocol = IPPROTO_UDP,
                           .ttl = 64 };
    int len;

    if (!pkt)
        return; /* as if it had been lost */
    len = weir_dhcp_emit(pkt->buf.data, DHCP_SIZE, message);
    weir_assert(len > 0);
    pkt->buf.len = (uint32_t)len;
    dhcp_put_udp(pkt, &ip);
    ip.total_len = (uint16_t)(pkt->buf.len + 20);
    weir_ip4_emit(weir_pkt_push(pkt, 20), &ip);
    weir_ether_send(dhcp->iface, pkt, to ? dhcp->server_mac : dhcp_everybody, WEIR_ETHERTYPE_IP4);
}

static struct weir_dhcp dhcp_message(const struct weir_dhcp_client *dhcp, uint8_t type)
{
    struct weir_dhcp message = {
        .type = type,
        .xid = dhcp->xid,
        .secs = (uint16_t)weir_min_u64(
            (uint64_t)(dhcp_now(dhcp) - dhcp->began) / (uint64_t)WEIR_SEC(1), UINT16_MAX),
    };

    memcpy(message.mac, dhcp->iface->mac, sizeof message.mac);
    return message;
}

/* DISCOVER, and REQUEST in its four forms (RFC 2131 4.3.2): by what the state asks for. */
static void dhcp_ask(struct weir_dhcp_client *dhcp)
{
    struct weir_dhcp message;
    uint32_t to = 0;

    if (dhcp->state == WEIR_DHCP_SELECTING) {
        message = dhcp_message(dhcp, WEIR_DHCP_DISCOVER);
    } else {
        message = dhcp_message(dhcp, WEIR_DHCP_REQUEST);
        if (dhcp->state == WEIR_DHCP_REQUESTING) {
            message.requested = dhcp->offer.your_ip;
            message.server = dhcp->offer.server;
        } else {
            message.client_ip = dhcp->offer.your_ip;
        }
        if (dhcp->state == WEIR_DHCP_RENEWING)
            to = dhcp->offer.server;
    }
    dhcp_transmit(dhcp, &message, to);
}

/* 4, 8, 16, 32, 64 seconds, and one more or less (RFC 2131 4.1). */
static weir_time dhcp_retry(struct weir_dhcp_client *dhcp)
{
    unsigned doubled = dhcp->tries < 4 ? dhcp->tries : 4;
    uint64_t jitter = weir_shard_random(dhcp_native(dhcp)->shard) % (uint64_t)WEIR_SEC(2);

    return dhcp_now(dhcp) + (WEIR_SEC(4) << doubled) - WEIR_SEC(1) + (weir_time)jitter;
}

/* --- states --- */

static void dhcp_select(struct weir_dhcp_client *dhcp, weir_time pause)
{
    dhcp->state = WEIR_DHCP_SELECTING;
    dhcp->tries = 0;
    dhcp->began = dhcp_now(dhcp) + pause;
    dhcp_alarm(dhcp, dhcp_lead(dhcp) ? dhcp->began : WEIR_NEVER);
}

static void dhcp_route(struct weir_dhcp_client *dhcp, bool add)
{
    struct weir_route route = { .prefix = weir_ip_v4(0),
                                .bits = 96,
                                .gateway = weir_ip_v4(dhcp->offer.router),
                                .iface = WEIR_IFACE_WIRE,
                                .origin = WEIR_ADDR_DHCP,
                                .valid_until = dhcp->expire_at };

    if (dhcp->offer.router == 0)
        return;
    if (add)
        (void)weir_route_add(dhcp_native(dhcp), &route); /* full: as configured, then */
    else
        weir_route_del(dhcp_native(dhcp), &route.prefix, route.bits, &route.gateway);
}

/* The address is gone, if it was there. */
static void dhcp_lose(struct weir_dhcp_client *dhcp, const char *why)
{
    struct weir_ip ip = weir_ip_v4(dhcp->offer.your_ip);
    char text[64];

    if (dhcp->state < WEIR_DHCP_BOUND)
        return;
    dhcp_route(dhcp, false);
    weir_iface_del(dhcp->iface, &ip);
    if (dhcp_lead(dhcp))
        weir_log("dhcp: %s is not ours any more: %s", weir_ip_format(&ip, text), why);
}

static uint8_t dhcp_bits(uint32_t mask, uint32_t ip)
{
    if (mask == 0) /* none given: by its class, as of old */
        return (uint8_t)(96 + (ntohl(ip) < 0x80000000 ? 8 : ntohl(ip) < 0xc0000000 ? 16 : 24));
    return (uint8_t)(96 + __builtin_popcount(mask));
}

/* What is to be done next while the lease runs. */
static void dhcp_schedule(struct weir_dhcp_client *dhcp)
{
    weir_time next = dhcp->expire_at;

    if (dhcp_lead(dhcp) && dhcp->state == WEIR_DHCP_BOUND)
        next = dhcp->renew_at;
    dhcp_alarm(dhcp, next);
}

static void dhcp_bind(struct weir_dhcp_client *dhcp)
{
    bool fresh = dhcp->state == WEIR_DHCP_CHECKING;
    struct weir_iface_addr addr = { .ip = weir_ip_v4(dhcp->offer.your_ip),
                                    .prefix = dhcp_bits(dhcp->offer.mask, dhcp->offer.your_ip),
                                    .state = WEIR_ADDR_PREFERRED,
                                    .origin = WEIR_ADDR_DHCP,
                                    .valid_until = dhcp->expire_at,
                                    .preferred_until = dhcp->expire_at };
    char text[64];

    dhcp->state = WEIR_DHCP_BOUND;
    dhcp->tries = 0;
    if (dhcp->offer.mtu >= WEIR_PMTU_MIN4 && dhcp->offer.mtu < dhcp->iface->mtu)
        dhcp->iface->mtu = dhcp->offer.mtu;
    if (weir_iface_add(dhcp->iface, &addr) < 0 && dhcp_lead(dhcp))
        weir_log("dhcp: no room for one more address");
    dhcp_route(dhcp, true);
    dhcp_schedule(dhcp);
    if (fresh && dhcp_lead(dhcp))
        weir_log("dhcp: %s/%u for %u s", weir_ip_format(&addr.ip, text), addr.prefix - 96u,
                 dhcp->offer.lease_s);
}

/* Asks for the address that has just been leased. */
static void dhcp_check(struct weir_dhcp_client *dhcp)
{
    if (dhcp->probes == DHCP_PROBES) {
        dhcp_bind(dhcp);
        return;
    }
    dhcp->probes++;
    if (dhcp_lead(dhcp))
        weir_arp_probe(dhcp->iface, dhcp->offer.your_ip);
    dhcp_alarm(dhcp, dhcp_now(dhcp) + DHCP_PROBE_EVERY);
}

/* Half of what is left, but not every moment. */
static weir_time dhcp_halfway(const struct weir_dhcp_client *dhcp, weir_time end)
{
    weir_time half = (end - dhcp_now(dhcp)) / 2;
    weir_time at = dhcp_now(dhcp) + (half < DHCP_RETRY_MIN ? DHCP_RETRY_MIN : half);

    return at < end ? at : end;
}

/* The lease runs and its time has come to be extended, or to end. */
static void dhcp_extend(struct weir_dhcp_client *dhcp)
{
    weir_time now = dhcp_now(dhcp);

    if (now >= dhcp->expire_at) {
        dhcp_lose(dhcp, "the lease has run out");
        dhcp_select(dhcp, 0);
        return;
    }
    if (!dhcp_lead(dhcp)) {
        dhcp_schedule(dhcp);
        return;
    }
    if (dhcp->state == WEIR_DHCP_BOUND)
        dhcp->began = now;
    dhcp->state = now >= dhcp->rebind_at ? WEIR_DHCP_REBINDING : WEIR_DHCP_RENEWING;
    dhcp->asked = now;
    dhcp_ask(dhcp);
    dhcp_alarm(dhcp, dhcp_halfway(dhcp, dhcp->state == WEIR_DHCP_RENEWING ? dhcp->rebind_at
                                                                          : dhcp->expire_at));
}

static void dhcp_try(struct weir_dhcp_client *dhcp)
{
    if (dhcp->state == WEIR_DHCP_REQUESTING && dhcp->tries == DHCP_REQUESTS) {
        dhcp_select(dhcp, 0);
        return;
    }
    if (dhcp->state == WEIR_DHCP_SELECTING && dhcp->tries == 3 && !dhcp->told) {
        dhcp->told = true;
        weir_log("dhcp: no server has answered so far");
    }
    dhcp->asked = dhcp_now(dhcp);
    dhcp_ask(dhcp);
    dhcp_alarm(dhcp, dhcp_retry(dhcp));
    if (dhcp->tries < UINT8_MAX)
        dhcp->tries++;
}

static void dhcp_fire(struct weir_alarm *alarm)
{
    struct weir_dhcp_client *dhcp = weir_container_of(alarm, struct weir_dhcp_client, alarm);

    switch (dhcp->state) {
    case WEIR_DHCP_SELECTING:
    case WEIR_DHCP_REQUESTING:
        dhcp_try(dhcp);
        break;
    case WEIR_DHCP_CHECKING:
        dhcp_check(dhcp);
        break;
    default:
        dhcp_extend(dhcp);
    }
}

/* --- answers --- */

static void dhcp_offered(struct weir_dhcp_client *dhcp, const struct weir_dhcp *answer)
{
    if (!dhcp_lead(dhcp) || dhcp->state != WEIR_DHCP_SELECTING || dhcp->tries == 0 ||
        answer->your_ip == 0 || answer->server == 0)
        return;
    dhcp->offer = *answer;
    dhcp->state = WEIR_DHCP_REQUESTING;
    dhcp->tries = 0;
    dhcp_try(dhcp);
}

/* When the lease is to be renewed (RFC 2131 4.4.5), from when it was asked for. */
static void dhcp_times(struct weir_dhcp_client *dhcp, weir_time from)
{
    uint64_t lease = dhcp->offer.lease_s, renew = dhcp->offer.renew_s,
             rebind = dhcp->offer.rebind_s;

    if (dhcp->offer.lease_s == UINT32_MAX) {
        dhcp->renew_at = dhcp->rebind_at = dhcp->expire_at = WEIR_NEVER;
        return;
    }
    if (rebind == 0 || rebind >= lease)
        rebind = lease * 7 / 8;
    if (renew == 0 || renew >= rebind)
        renew = lease / 2 < rebind ? lease / 2 : rebind;
    dhcp->renew_at = from + WEIR_SEC((weir_time)renew);
    dhcp->rebind_at = from + WEIR_SEC((weir_time)rebind);
    dhcp->expire_at = from + WEIR_SEC((weir_time)lease);
}

static bool dhcp_expects_ack(const struct weir_dhcp_client *dhcp)
{
    if (!dhcp_lead(dhcp))
        return true;
    return dhcp->state == WEIR_DHCP_REQUESTING || dhcp->state == WEIR_DHCP_RENEWING ||
           dhcp->state == WEIR_DHCP_REBINDING;
}

static void dhcp_acknowledged(struct weir_dhcp_client *dhcp, const struct weir_dhcp *answer,
                              const uint8_t from[6])
{
    bool bound = dhcp->state >= WEIR_DHCP_BOUND;
    bool same = answer->your_ip == dhcp->offer.your_ip;

    if (!dhcp_expects_ack(dhcp) || answer->your_ip == 0 || answer->lease_s == 0)
        return;
    if (dhcp->state == WEIR_DHCP_CHECKING && same)
        return; /* a follower's second copy */
    if (bound &&
        (!same || answer->router != dhcp->offer.router || answer->mask != dhcp->offer.mask)) {
        dhcp_lose(dhcp, "the server has another one for us");
        bound = false;
    }
    dhcp->offer = *answer;
    memcpy(dhcp->server_mac, from, sizeof dhcp->server_mac);
    dhcp_times(dhcp, dhcp_lead(dhcp) ? dhcp->asked : dhcp_now(dhcp));
    if (bound) {
        dhcp_bind(dhcp);
        return;
    }
    dhcp->state = WEIR_DHCP_CHECKING;
    dhcp->probes = 0;
    dhcp_check(dhcp);
}

static void dhcp_refused(struct weir_dhcp_client *dhcp)
{
    if (!dhcp_expects_ack(dhcp))
        return;
    dhcp_lose(dhcp, "the server has refused it");
    dhcp_select(dhcp, DHCP_NAK_PAUSE);
}

void weir_dhcp_conflict(struct weir_dhcp_client *dhcp, uint32_t ip)
{
    struct weir_dhcp message;

    if (dhcp->state != WEIR_DHCP_CHECKING || ip != dhcp->offer.your_ip)
        return;
    if (dhcp_lead(dhcp)) {
        struct weir_ip leased = weir_ip_v4(ip);
        char text[64];

        weir_log("dhcp: %s is in use already: declined", weir_ip_format(&leased, text));
        message = dhcp_message(dhcp, WEIR_DHCP_DECLINE);
        message.requested = ip;
        message.server = dhcp->offer.server;
        dhcp_transmit(dhcp, &message, 0);
    }
    dhcp_select(dhcp, DHCP_DECLINE_PAUSE);
}

/* --- in --- */

/* The DHCP message in it, if it is one for us. */
static bool dhcp_read(const struct weir_dhcp_client *dhcp, const struct weir_pkt *pkt,
                      const struct weir_ip4 *ip, struct weir_dhcp *message)
{
    const uint8_t *at = pkt->buf.data + pkt->l4;
    uint32_t len = pkt->buf.len - pkt->l4, sum;
    struct weir_udp_header udp;

    if (weir_udp_parse(&udp, at, len) < 0 || udp.sport != DHCP_SERVER)
        return false;
    sum = weir_pseudo_sum(&ip->source, &ip->target, IPPROTO_UDP, udp.len);
    if (udp.checksum && !(pkt->flags & WEIR_PKT_L4_GOOD) &&
        weir_sum_fold(weir_sum(at, udp.len, sum)) != 0xffff)
        return false;
    return weir_dhcp_parse(message, at + 8, udp.len - 8u) >= 0 && message->reply &&
           message->xid == dhcp->xid && memcmp(message->mac, dhcp->iface->mac, 6) == 0;
}

bool weir_dhcp_input(struct weir_iface *iface, struct weir_pkt *pkt, const struct weir_ip4 *ip)
{
    struct weir_dhcp_client *dhcp = &iface->native->ip->dhcp;
    struct weir_dhcp message;

    if (dhcp->state == WEIR_DHCP_OFF || pkt->buf.len < pkt->l4 + 8u ||
        weir_get16(pkt->buf.data + pkt->l4 + 2) != DHCP_CLIENT)
        return false;
    if (dhcp_read(dhcp, pkt, ip, &message)) {
        if (!(pkt->flags & WEIR_PKT_FORWARDED))
            weir_steer_everyone(iface->native, pkt);
        if (message.type == WEIR_DHCP_OFFER)
            dhcp_offered(dhcp, &message);
        else if (message.type == WEIR_DHCP_ACK)
            dhcp_acknowledged(dhcp, &message, pkt->buf.data + 6);
        else
            dhcp_refused(dhcp);
    }
    weir_pkt_free(pkt);
    return true;
}

void weir_dhcp_open(struct weir_dhcp_client *dhcp, struct weir_iface *iface)
{
    *dhcp = (struct weir_dhcp_client){
        .iface = iface, .xid = (uint32_t)weir_ip_secret(iface->native->ip, iface->mac, 6, 67)
    };
    weir_alarm_init(&dhcp->alarm, dhcp_fire);
    dhcp_select(dhcp, 0);
}

void weir_dhcp_close(struct weir_dhcp_client *dhcp)
{
    struct weir_dhcp message;

    if (dhcp->state == WEIR_DHCP_OFF)
        return;
    weir_ip_alarm_clear(dhcp_native(dhcp), &dhcp->alarm);
    if (dhcp->state >= WEIR_DHCP_BOUND && dhcp_lead(dhcp)) {
        message = dhcp_message(dhcp, WEIR_DHCP_RELEASE);
        message.client_ip = dhcp->offer.your_ip;
        message.server = dhcp->offer.server;
        dhcp_transmit(dhcp, &message, dhcp->offer.server);
    }
    dhcp->state = WEIR_DHCP_OFF;
}
