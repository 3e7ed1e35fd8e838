/* neigh.c - which MAC an address on the link has: RFC 4861's states, for ARP as well.
 *
 * A path names its entry by index and keeps a reference, so an entry that is referred to is never
 * taken for another address; the others are, least recently used first.  Whether a neighbour still
 * answers is looked at when a packet goes there and is not reachable for sure, never on the fast
 * path; TCP's progress counts as an answer (weir_path_confirm), so busy neighbours are not asked.
 *
 * Nobody answers: asked WEIR_NEIGH_SOLICITATIONS times (ARP backs off, 1 s doubled, RFC 1122
 * 2.3.2.1), then packets are refused for FAILED_HOLD before it is asked again.
 *
 * Invariants: refs == 0 iff the entry is in `unused`; an entry is in its hash chain iff its state
 * is not FREE; waiting packets belong to entries in INCOMPLETE; their number is neigh->waiting. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "net/native/ip.h"

#define REACHABLE_TIME WEIR_SEC(30)
#define RETRANS_TIME WEIR_SEC(1)
#define DELAY_TIME WEIR_SEC(5)
#define FAILED_HOLD WEIR_SEC(3)

static unsigned neigh_index(const struct weir_neigh *neigh)
{
    return (unsigned)(neigh - neigh->neighs->neigh);
}

static uint16_t *neigh_bucket(const struct weir_neighs *neighs, const struct weir_ip *ip)
{
    return (uint16_t *)&neighs->bucket[weir_ip_hash(ip, neighs->secret) % WEIR_NEIGHS];
}

/* --- packets that wait --- */

/* Takes out the waiting packet at this place. */
static struct weir_pkt *neigh_take(struct weir_neighs *neighs, unsigned place)
{
    struct weir_pkt *pkt = neighs->waiting[place].pkt;

    neighs->neigh[neighs->waiting[place].neigh].waiting--;
    neighs->waiting_count--;
    memmove(&neighs->waiting[place], &neighs->waiting[place + 1],
            (neighs->waiting_count - place) * sizeof neighs->waiting[0]);
    return pkt;
}

/* The place of the oldest that waits for this one. */
static unsigned neigh_oldest(const struct weir_neighs *neighs, unsigned index)
{
    unsigned place = 0;

    while (neighs->waiting[place].neigh != index)
        place++;
    return place;
}

static void neigh_drop(struct weir_neighs *neighs, unsigned place)
{
    neighs->native->stats.neigh_dropped++;
    weir_pkt_free(neigh_take(neighs, place));
}

void weir_neigh_wait(struct weir_neighs *neighs, unsigned index, struct weir_pkt *pkt)
{
    struct weir_neigh *neigh = &neighs->neigh[index];

    weir_assert(neigh->state == WEIR_NEIGH_INCOMPLETE);
    if (neigh->waiting == WEIR_NEIGH_WAITING)
        neigh_drop(neighs, neigh_oldest(neighs, index));
    else if (neighs->waiting_count == WEIR_NEIGHS_WAITING)
        neigh_drop(neighs, 0);
    neighs->waiting[neighs->waiting_count].pkt = pkt;
    neighs->waiting[neighs->waiting_count++].neigh = (uint16_t)index;
    neigh->waiting++;
}

/* All that wait for it, out of the table. */
static unsigned neigh_take_all(struct weir_neigh *neigh, struct weir_pkt *pkt[WEIR_NEIGH_WAITING])
{
    unsigned count = 0;

    while (neigh->waiting)
        pkt[count++] = neigh_take(neigh->neighs, neigh_oldest(neigh->neighs, neigh_index(neigh)));
    return count;
}

static void neigh_release(struct weir_neigh *neigh)
{
    struct weir_pkt *pkt[WEIR_NEIGH_WAITING];
    unsigned count = neigh_take_all(neigh, pkt);

    for (unsigned i = 0; i < count; i++) {
        memcpy(pkt[i]->buf.data, neigh->mac, sizeof neigh->mac);
        weir_iface_send(weir_ip_wire(neigh->neighs->native), pkt[i]);
    }
}

/* --- asking --- */

static void neigh_alarm(struct weir_neigh *neigh, weir_time span)
{
    struct weir_native *native = neigh->neighs->native;

    weir_ip_alarm_set(native, &neigh->alarm, weir_native_now(native) + span);
}

static void neigh_solicit(struct weir_neigh *neigh)
{
    struct weir_iface *wire = weir_ip_wire(neigh->neighs->native);
    const uint8_t *mac = neigh->state == WEIR_NEIGH_PROBE ? neigh->mac : NULL;
    weir_time wait = neigh->neighs->retrans;

    if (weir_ip_is_v4(&neigh->ip)) {
        weir_arp_solicit(wire, &neigh->ip, mac);
        if (!mac)
            wait = RETRANS_TIME << neigh->probes;
    } else {
        weir_nd_solicit(wire, &neigh->ip, mac);
    }
    neigh->probes++;
    neigh_alarm(neigh, wait);
}

static void neigh_ask_all(struct weir_neigh *neigh)
{
    neigh->state = WEIR_NEIGH_INCOMPLETE;
    neigh->probes = 0;
    neigh_solicit(neigh);
}

/* Nobody has answered.  Other routers may be better now: paths look again. */
static void neigh_fail(struct weir_neigh *neigh)
{
    struct weir_native *native = neigh->neighs->native;
    struct weir_pkt *pkt[WEIR_NEIGH_WAITING];
    unsigned count;

    neigh->state = WEIR_NEIGH_FAILED;
    native->generation++;
    neigh_alarm(neigh, FAILED_HOLD);
    count = neigh_take_all(neigh, pkt);
    native->stats.neigh_dropped += count;
    for (unsigned i = 0; i < count; i++) /* may call back into us: the entry is done with */
        weir_icmp_failed(native, pkt[i], -EHOSTUNREACH);
}

static void neigh_age(struct weir_neigh *neigh)
{
    weir_time until = neigh->confirmed_at + neigh->neighs->reachable;
    weir_time left = until - weir_native_now(neigh->neighs->native);

    if (left > 0)
        neigh_alarm(neigh, left);
    else
        neigh->state = WEIR_NEIGH_STALE;
}

static void neigh_fire(struct weir_alarm *alarm)
{
    struct weir_neigh *neigh = weir_container_of(alarm, struct weir_neigh, alarm);

    switch (neigh->state) {
    case WEIR_NEIGH_INCOMPLETE:
        if (neigh->probes < WEIR_NEIGH_SOLICITATIONS)
            neigh_solicit(neigh);
        else
            neigh_fail(neigh);
        break;
    case WEIR_NEIGH_FAILED:
        neigh->state = WEIR_NEIGH_NEW;
        break;
    case WEIR_NEIGH_REACHABLE:
        neigh_age(neigh);
        break;
    case WEIR_NEIGH_DELAY:
        neigh->state = WEIR_NEIGH_PROBE;
        neigh->probes = 0;
        neigh_solicit(neigh);
        break;
    case WEIR_NEIGH_PROBE:
        if (neigh->probes < WEIR_NEIGH_SOLICITATIONS)
            neigh_solicit(neigh);
        else
            neigh_ask_all(neigh); /* its MAC may have changed: RFC 7048 */
        break;
    default:
        weir_assert(neigh->state == WEIR_NEIGH_FREE); /* no other state has an alarm */
    }
}

int weir_neigh_use(struct weir_neigh *neigh)
{
    switch (neigh->state) {
    case WEIR_NEIGH_NEW:
        neigh_ask_all(neigh);
        return -EAGAIN;
    case WEIR_NEIGH_INCOMPLETE:
        return -EAGAIN;
    case WEIR_NEIGH_FAILED:
        return -EHOSTUNREACH;
    case WEIR_NEIGH_STALE:
        neigh->state = WEIR_NEIGH_DELAY;
        neigh_alarm(neigh, DELAY_TIME);
        return 0;
    default:
        return 0;
    }
}

/* --- hearing --- */

static void neigh_reachable(struct weir_neigh *neigh)
{
    neigh->confirmed_at = weir_native_now(neigh->neighs->native);
    if (neigh->state == WEIR_NEIGH_REACHABLE)
        return;
    neigh->state = WEIR_NEIGH_REACHABLE;
    neigh_alarm(neigh, neigh->neighs->reachable);
}

void weir_neigh_confirm(struct weir_neighs *neighs, unsigned index)
{
    struct weir_neigh *neigh = &neighs->neigh[index];

    if (neigh->state >= WEIR_NEIGH_STALE)
        neigh_reachable(neigh);
}

static void neigh_set_mac(struct weir_neigh *neigh, const uint8_t mac[6])
{
    /* Paths carry the old one. */
    if (neigh->known && memcmp(neigh->mac, mac, sizeof neigh->mac) != 0)
        neigh->neighs->native->generation++;
    memcpy(neigh->mac, mac, sizeof neigh->mac);
    neigh->known = true;
}

/* The first MAC of an entry, or the first after it was given up. */
static void neigh_found(struct weir_neigh *neigh, const uint8_t mac[6], enum weir_neigh_news news)
{
    if (neigh->state == WEIR_NEIGH_FAILED)
        neigh->neighs->native->generation++; /* as a router it can be chosen again */
    neigh_set_mac(neigh, mac);
    weir_ip_alarm_clear(neigh->neighs->native, &neigh->alarm);
    neigh->state = WEIR_NEIGH_STALE;
    if (news == WEIR_NEIGH_ANSWERED)
        neigh_reachable(neigh);
    else if (neigh->waiting)
        (void)weir_neigh_use(neigh);
    neigh_release(neigh);
}

void weir_neigh_learn(struct weir_neighs *neighs, unsigned index, const uint8_t mac[6],
                      enum weir_neigh_news news, bool override)
{
    struct weir_neigh *neigh = &neighs->neigh[index];
    bool same = memcmp(neigh->mac, mac, sizeof neigh->mac) == 0;

    if (neigh->state < WEIR_NEIGH_STALE) {
        neigh_found(neigh, mac, news);
        return;
    }
    if (!same && !override) { /* RFC 4861 7.2.5: doubt it, but keep it */
        if (neigh->state == WEIR_NEIGH_REACHABLE) {
            weir_ip_alarm_clear(neighs->native, &neigh->alarm);
            neigh->state = WEIR_NEIGH_STALE;
        }
        return;
    }
    if (!same) {
        neigh_set_mac(neigh, mac);
        weir_ip_alarm_clear(neighs->native, &neigh->alarm);
        neigh->state = WEIR_NEIGH_STALE;
    }
    if (news == WEIR_NEIGH_ANSWERED)
        neigh_reachable(neigh);
}

/* --- the table --- */

unsigned weir_neigh_find(const struct weir_neighs *neighs, const struct weir_ip *ip)
{
    unsigned index = *neigh_bucket(neighs, ip);

    while (index != WEIR_NEIGH_NONE && !weir_ip_eq(&neighs->neigh[index].ip, ip))
        index = neighs->neigh[index].next;
    return index;
}

static void neigh_unlink(struct weir_neigh *neigh)
{
    uint16_t *at = neigh_bucket(neigh->neighs, &neigh->ip);

    while (*at != neigh_index(neigh))
        at = &neigh->neighs->neigh[*at].next;
    *at = neigh->next;
}

/* Gives up what the entry was for. */
static void neigh_forget(struct weir_neigh *neigh)
{
    if (neigh->state == WEIR_NEIGH_FREE)
        return;
    weir_ip_alarm_clear(neigh->neighs->native, &neigh->alarm);
    while (neigh->waiting)
        neigh_drop(neigh->neighs, neigh_oldest(neigh->neighs, neigh_index(neigh)));
    neigh_unlink(neigh);
    neigh->state = WEIR_NEIGH_FREE;
}

unsigned weir_neigh_get(struct weir_neighs *neighs, const struct weir_ip *ip)
{
    unsigned index = weir_neigh_find(neighs, ip);
    struct weir_neigh *neigh;
    struct weir_link *link;
    uint16_t *bucket;

    if (index != WEIR_NEIGH_NONE) {
        neigh = &neighs->neigh[index];
        if (neigh->refs == 0) { /* used most recently */
            weir_list_del(&neigh->unused);
            weir_list_push(&neighs->unused, &neigh->unused);
        }
        return index;
    }
    link = weir_list_pop(&neighs->unused);
    if (!link)
        return WEIR_NEIGH_NONE;
    neigh = weir_container_of(link, struct weir_neigh, unused);
    neigh_forget(neigh);
    weir_list_push(&neighs->unused, link);
    neigh->ip = *ip;
    neigh->state = WEIR_NEIGH_NEW;
    neigh->router = neigh->known = false;
    bucket = neigh_bucket(neighs, ip);
    neigh->next = *bucket;
    *bucket = (uint16_t)neigh_index(neigh);
    return neigh_index(neigh);
}

void weir_neigh_ref(struct weir_neighs *neighs, unsigned index)
{
    if (neighs->neigh[index].refs++ == 0)
        weir_list_del(&neighs->neigh[index].unused);
}

void weir_neigh_unref(struct weir_neighs *neighs, unsigned index)
{
    weir_assert(neighs->neigh[index].refs > 0);
    if (--neighs->neigh[index].refs == 0)
        weir_list_push(&neighs->unused, &neighs->neigh[index].unused);
}

int weir_neighs_init(struct weir_neighs *neighs, struct weir_native *native, uint64_t secret)
{
    *neighs = (struct weir_neighs){
        .native = native, .reachable = REACHABLE_TIME, .retrans = RETRANS_TIME, .secret = secret
    };
    weir_list_init(&neighs->unused);
    memset(neighs->bucket, 0xff, sizeof neighs->bucket);
    neighs->neigh = calloc(WEIR_NEIGHS, sizeof neighs->neigh[0]);
    if (!neighs->neigh)
        return -ENOMEM;
    for (unsigned i = 0; i < WEIR_NEIGHS; i++) {
        neighs->neigh[i].neighs = neighs;
        weir_alarm_init(&neighs->neigh[i].alarm, neigh_fire);
        weir_list_push(&neighs->unused, &neighs->neigh[i].unused);
    }
    return 0;
}

void weir_neighs_free(struct weir_neighs *neighs)
{
    for (unsigned i = 0; neighs->neigh && i < WEIR_NEIGHS; i++)
        neigh_forget(&neighs->neigh[i]);
    free(neighs->neigh);
    neighs->neigh = NULL;
}
