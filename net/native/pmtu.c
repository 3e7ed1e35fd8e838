/* pmtu.c - what the paths to others carry, learned from "too big" (RFC 1191, 8201).
 *
 * Only ever downwards from the interface's MTU; after PMTU_LIFE the path is tried anew (RFC 1191
 * 6.3).  Not below 552 for IPv4, which a forged message could ask for to make us send dwarfs: who
 * really has such a link cannot be reached, for we do not fragment.  A bounded cache, the one that
 * ends first goes; whoever is not in it finds out again.
 *
 * Invariant: entries that are in use have WEIR_PMTU_MIN <= mtu, and the alarm is set when there is
 * one. */
#include "net/native/ip.h"

#define PMTU_LIFE WEIR_SEC(600)

static struct weir_pmtu *pmtu_set(const struct weir_native *native, const struct weir_ip *to)
{
    struct weir_ip_layer *layer = native->ip;

    return layer->pmtus.entry[weir_ip_hash(to, layer->secret) % WEIR_PMTU_SETS];
}

static struct weir_pmtu *pmtu_find(const struct weir_native *native, const struct weir_ip *to)
{
    struct weir_pmtu *set = pmtu_set(native, to);

    for (unsigned i = 0; i < WEIR_PMTU_WAYS; i++)
        if (set[i].until && weir_ip_eq(&set[i].to, to))
            return &set[i];
    return NULL;
}

uint16_t weir_pmtu_find(const struct weir_native *native, const struct weir_ip *to,
                        uint16_t otherwise)
{
    const struct weir_pmtu *found = pmtu_find(native, to);

    return found && found->mtu < otherwise ? found->mtu : otherwise;
}

static struct weir_pmtu *pmtu_take(const struct weir_native *native, const struct weir_ip *to)
{
    struct weir_pmtu *set = pmtu_set(native, to), *best = set;

    for (unsigned i = 1; i < WEIR_PMTU_WAYS; i++)
        if (set[i].until < best->until)
            best = &set[i];
    return best;
}

uint16_t weir_pmtu_learn(struct weir_native *native, const struct weir_ip *to, uint16_t mtu)
{
    struct weir_pmtus *pmtus = &native->ip->pmtus;
    uint16_t least = weir_ip_is_v4(to) ? WEIR_PMTU_MIN4 : WEIR_PMTU_MIN6;
    uint16_t now = weir_pmtu_find(native, to, weir_ip_wire(native)->mtu);
    struct weir_pmtu *entry;

    if (mtu < least)
        mtu = least;
    if (mtu >= now)
        return now;
    entry = pmtu_find(native, to);
    if (!entry)
        entry = pmtu_take(native, to);
    *entry =
        (struct weir_pmtu){ .to = *to, .until = weir_native_now(native) + PMTU_LIFE, .mtu = mtu };
    native->generation++;
    if (!weir_alarm_armed(&pmtus->alarm))
        weir_ip_alarm_set(native, &pmtus->alarm, entry->until);
    return mtu;
}

static void pmtu_fire(struct weir_alarm *alarm)
{
    struct weir_pmtus *pmtus = weir_container_of(alarm, struct weir_pmtus, alarm);
    weir_time now = weir_native_now(pmtus->native), next = WEIR_NEVER;

    for (unsigned i = 0; i < WEIR_PMTU_SETS * WEIR_PMTU_WAYS; i++) {
        struct weir_pmtu *entry = &pmtus->entry[i / WEIR_PMTU_WAYS][i % WEIR_PMTU_WAYS];

        if (entry->until && entry->until <= now) {
            entry->until = 0;
            pmtus->native->generation++;
        } else if (entry->until && entry->until < next) {
            next = entry->until;
        }
    }
    if (next < WEIR_NEVER)
        weir_ip_alarm_set(pmtus->native, &pmtus->alarm, next);
}

void weir_pmtus_init(struct weir_pmtus *pmtus, struct weir_native *native)
{
    *pmtus = (struct weir_pmtus){ .native = native };
    weir_alarm_init(&pmtus->alarm, pmtu_fire);
}
