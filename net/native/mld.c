/* mld.c - telling routers and switches which groups we listen to: MLDv2 (RFC 3810), and MLDv1 (RFC
 * 2710) for as long as somebody asks by that.
 *
 * The groups are the solicited-node groups of our addresses, each from any source; all nodes is not
 * reported (RFC 3810 6).  That we join or leave one is told by the lead shard, ROBUSTNESS times,
 * for a report may be lost (6.1), and all of them once more when the link-local address has come
 * into use: what was sent from :: no router takes (RFC 3590 4).  Queries are answered, after a
 * random time, by the shard that they came to (6.2).
 *
 * Invariant: the alarm is armed for the first of all that is to be sent, and only then. */
#include <netinet/in.h>
#include <string.h>
#include "net/native/checksum.h"
#include "net/native/ip.h"

enum {
    MLD1_REPORT = 131,
    MLD1_DONE = 132,
    MLD2_REPORT = 143,
    MLD1_LEN = 24, /* of all messages of version 1 */
    MLD2_QUERY_LEN = 28,
    MLD2_RECORD = 20,
    ROBUSTNESS = 2,
    OPTION_PAD1 = 0,
    OPTION_ROUTER_ALERT = 5,
};

#define UNSOLICITED_MS 1000u         /* RFC 3810 9.11 */
#define V1_PRESENT WEIR_SEC(2 * 125) /* 9.12, but for the response interval */

static const struct weir_ip mld_routers = { .byte = { 0xff, 2, [15] = 2 } };
static const struct weir_ip mld2_routers = { .byte = { 0xff, 2, [15] = 0x16 } };
static const struct weir_ip mld_nobody;

static weir_time mld_random(struct weir_native *native, uint32_t max_ms)
{
    return WEIR_US(1 + (weir_time)(weir_shard_random(native->shard) % (max_ms * 1000ULL + 1)));
}

/* --- out --- */

/* Hop limit 1, router alert in a hop-by-hop header (RFC 3810 5).  Takes the packet. */
static void mld_send(struct weir_iface *iface, struct weir_pkt *pkt, const struct weir_ip *target)
{
    static const uint8_t alert[8] = { IPPROTO_ICMPV6, 0, OPTION_ROUTER_ALERT, 2, 0, 0, 1, 0 };
    const struct weir_iface_addr *ours = weir_iface_link_local(iface);
    struct weir_ip6 ip = { .source = ours ? ours->ip : mld_nobody, /* RFC 3590 */
                           .target = *target,
                           .protocol = IPPROTO_HOPOPTS,
                           .hop_limit = 1,
                           .total_len = (uint16_t)(48 + pkt->buf.len) };
    uint32_t sum = weir_pseudo_sum(&ip.source, &ip.target, IPPROTO_ICMPV6, pkt->buf.len);
    uint16_t folded = (uint16_t)~weir_sum_fold(weir_sum(pkt->buf.data, pkt->buf.len, sum));
    uint8_t mac[6];

    if (iface->native->ip->no_ip6) {
        weir_pkt_free(pkt);
        return;
    }
    memcpy(pkt->buf.data + 2, &folded, 2);
    memcpy(weir_pkt_push(pkt, sizeof alert), alert, sizeof alert);
    weir_ip6_emit(weir_pkt_push(pkt, 40), &ip);
    weir_ip_group_mac(mac, &ip.target);
    weir_ether_send(iface, pkt, mac, WEIR_ETHERTYPE_IP6);
}

static void mld1_report(struct weir_iface *iface, const struct weir_ip *group, uint8_t type)
{
    struct weir_pkt *pkt = weir_pkt_get(&iface->native->pkts);
    bool done = type == WEIR_MLD_TO_INCLUDE;

    if (!pkt)
        return;
    memset(pkt->buf.data, 0, 8);
    pkt->buf.data[0] = done ? MLD1_DONE : MLD1_REPORT;
    memcpy(pkt->buf.data + 8, group->byte, 16);
    pkt->buf.len = MLD1_LEN;
    mld_send(iface, pkt, done ? &mld_routers : group);
}

/* At most one per address of ours, so all find room in one packet. */
static void mld2_add(struct weir_pkt *pkt, const struct weir_ip *group, uint8_t type)
{
    uint8_t *at = pkt->buf.data + pkt->buf.len;

    memset(at, 0, 4);
    at[0] = type;
    memcpy(at + 4, group->byte, 16);
    pkt->buf.len += MLD2_RECORD;
    weir_put16(pkt->buf.data + 6, (uint16_t)(weir_get16(pkt->buf.data + 6) + 1));
}

static struct weir_pkt *mld2_begin(struct weir_native *native)
{
    struct weir_pkt *pkt = weir_pkt_get(&native->pkts);

    if (!pkt)
        return NULL;
    memset(pkt->buf.data, 0, 8);
    pkt->buf.data[0] = MLD2_REPORT;
    pkt->buf.len = 8;
    return pkt;
}

static void mld_report(struct weir_iface *iface, const struct weir_ip *group, uint8_t type)
{
    struct weir_pkt *pkt;

    if (weir_native_now(iface->native) < iface->native->ip->mld.v1_until) {
        mld1_report(iface, group, type);
        return;
    }
    pkt = mld2_begin(iface->native);
    if (!pkt)
        return;
    mld2_add(pkt, group, type);
    mld_send(iface, pkt, &mld2_routers);
}

/* The group of our address i; false: it has none, or an earlier address has the same. */
static bool mld_group(const struct weir_iface *iface, unsigned i, struct weir_ip *group)
{
    if (weir_ip_is_v4(&iface->addr[i].ip))
        return false;
    *group = weir_ip_solicited_node(&iface->addr[i].ip);
    for (unsigned k = 0; k < i; k++) {
        struct weir_ip earlier = weir_ip_solicited_node(&iface->addr[k].ip);

        if (!weir_ip_is_v4(&iface->addr[k].ip) && weir_ip_eq(&earlier, group))
            return false;
    }
    return true;
}

static void mld_report_all(struct weir_iface *iface)
{
    bool v1 = weir_native_now(iface->native) < iface->native->ip->mld.v1_until;
    struct weir_pkt *pkt = v1 ? NULL : mld2_begin(iface->native);
    struct weir_ip group;

    for (unsigned i = 0; i < iface->addr_count; i++)
        if (!mld_group(iface, i, &group))
            continue;
        else if (v1)
            mld1_report(iface, &group, WEIR_MLD_IS_EXCLUDE);
        else if (pkt)
            mld2_add(pkt, &group, WEIR_MLD_IS_EXCLUDE);
    if (pkt && pkt->buf.len > 8)
        mld_send(iface, pkt, &mld2_routers);
    else if (pkt)
        weir_pkt_free(pkt);
}

/* --- what is to be sent, and when --- */

static weir_time mld_next(const struct weir_mld *mld)
{
    weir_time next = mld->all_at;

    for (unsigned i = 0; i < mld->count; i++)
        next = mld->due[i].at < next ? mld->due[i].at : next;
    return next;
}

/* Sends what is due, and sets the alarm for the rest. */
static void mld_run(struct weir_native *native)
{
    struct weir_mld *mld = &native->ip->mld;
    struct weir_iface *iface = weir_ip_wire(native);
    weir_time now = weir_native_now(native);

    for (unsigned i = 0; i < mld->count;) {
        struct weir_mld_due *due = &mld->due[i];

        if (due->at > now) {
            i++;
            continue;
        }
        mld_report(iface, &due->group, due->type);
        if (--due->times > 0)
            due->at = now + mld_random(native, UNSOLICITED_MS);
        else
            *due = mld->due[--mld->count];
    }
    if (mld->all_at <= now) {
        mld->all_at = WEIR_NEVER;
        mld_report_all(iface);
    }
    if (mld_next(mld) < WEIR_NEVER)
        weir_ip_alarm_set(native, &mld->alarm, mld_next(mld));
    else
        weir_ip_alarm_clear(native, &mld->alarm);
}

static void mld_fire(struct weir_alarm *alarm)
{
    mld_run(weir_container_of(alarm, struct weir_ip_layer, mld.alarm)->native);
}

/* The place of this group in the list, which has room for all of ours and as many that we have left
 * lately; NULL: it is full, and nothing is said. */
static struct weir_mld_due *mld_due(struct weir_mld *mld, const struct weir_ip *group, bool *known)
{
    *known = true;
    for (unsigned i = 0; i < mld->count; i++)
        if (weir_ip_eq(&mld->due[i].group, group))
            return &mld->due[i];
    *known = false;
    if (mld->count == WEIR_MLD_DUE)
        return NULL;
    mld->due[mld->count] = (struct weir_mld_due){ .group = *group };
    return &mld->due[mld->count++];
}

/* What we do changes: whatever else was to be said about the group is void (RFC 3810 6.1). */
static void mld_change(struct weir_native *native, const struct weir_ip *group, uint8_t type)
{
    struct weir_mld_due *due;
    bool known;

    due = mld_due(&native->ip->mld, group, &known);
    if (!due)
        return;
    due->type = type;
    due->times = ROBUSTNESS;
    due->at = weir_native_now(native);
    mld_run(native);
}

void weir_mld_join(struct weir_iface *iface, const struct weir_ip *ip)
{
    struct weir_ip group = weir_ip_solicited_node(ip);

    if (iface->native->ip->lead && !weir_ip_is_v4(ip))
        mld_change(iface->native, &group, WEIR_MLD_TO_EXCLUDE);
}

void weir_mld_leave(struct weir_iface *iface, const struct weir_ip *ip)
{
    struct weir_ip group = weir_ip_solicited_node(ip);

    if (iface->native->ip->lead && !weir_ip_is_v4(ip) && !weir_iface_in_group(iface, &group))
        mld_change(iface->native, &group, WEIR_MLD_TO_INCLUDE);
}

void weir_mld_again(struct weir_iface *iface)
{
    struct weir_native *native = iface->native;

    if (!native->ip->lead)
        return;
    native->ip->mld.all_at = weir_native_now(native);
    mld_run(native);
}

/* --- queries --- */

/* Whether a hop-by-hop header with a router alert comes first: without one routers on the way could
 * have overlooked it (RFC 3810 6.2).  weir_ip6_parse has found its options to be well-formed. */
static bool mld_has_alert(const struct weir_pkt *pkt)
{
    const uint8_t *ip = pkt->buf.data + pkt->l3, *at = ip + 40, *end;

    if (ip[6] != IPPROTO_HOPOPTS)
        return false;
    end = at + (at[1] + 1) * 8;
    for (at += 2; at < end; at += *at == OPTION_PAD1 ? 1 : at[1] + 2)
        if (at[0] == OPTION_ROUTER_ALERT && at[1] == 2 && weir_get16(at + 2) == 0)
            return true;
    return false;
}

/* RFC 3810 5.1.3, milliseconds. */
static uint32_t mld_max_delay(uint16_t code)
{
    if (code < 0x8000)
        return code;
    return (uint32_t)((code & 0xfff) | 0x1000) << (((code >> 12) & 7) + 3);
}

/* RFC 3810 6.2: what is to be said anyway, sooner, serves. */
static void mld_asked_one(struct weir_native *native, const struct weir_ip *group, weir_time at)
{
    struct weir_mld_due *due;
    bool known;

    due = mld_due(&native->ip->mld, group, &known);
    if (!due || (known && due->at <= at))
        return;
    if (!known) {
        due->type = WEIR_MLD_IS_EXCLUDE;
        due->times = 1;
    }
    due->at = at;
}

static void mld_asked(struct weir_iface *iface, const struct weir_ip *group, uint32_t max_ms)
{
    struct weir_native *native = iface->native;
    struct weir_mld *mld = &native->ip->mld;
    weir_time now = weir_native_now(native), at = now + mld_random(native, max_ms);
    struct weir_ip ours;

    if (weir_ip_is_any(group) && now >= mld->v1_until && at < mld->all_at)
        mld->all_at = at;
    for (unsigned i = 0; i < iface->addr_count; i++)
        if (!mld_group(iface, i, &ours))
            continue;
        else if (weir_ip_eq(&ours, group))
            mld_asked_one(native, &ours, at);
        else if (weir_ip_is_any(group) && now < mld->v1_until) /* RFC 2710 4: each its own time */
            mld_asked_one(native, &ours, now + mld_random(native, max_ms));
    mld_run(native);
}

void weir_mld_query(struct weir_iface *iface, const struct weir_pkt *pkt, const struct weir_ip6 *ip)
{
    struct weir_native *native = iface->native;
    const uint8_t *query = pkt->buf.data + pkt->l4;
    uint32_t len = pkt->buf.len - pkt->l4;
    struct weir_ip group;
    uint32_t max_ms;

    if (ip->hop_limit != 1 || !weir_ip_is_link_local(&ip->source) ||
        iface->index != WEIR_IFACE_WIRE || !mld_has_alert(pkt) ||
        (len != MLD1_LEN && len < MLD2_QUERY_LEN)) { /* RFC 3810 8.1 */
        native->stats.icmp_bad++;
        return;
    }
    memcpy(group.byte, query + 8, sizeof group.byte);
    max_ms = weir_get16(query + 4);
    if (len == MLD1_LEN)
        native->ip->mld.v1_until = weir_native_now(native) + V1_PRESENT + WEIR_MS(max_ms);
    else
        max_ms = mld_max_delay((uint16_t)max_ms);
    mld_asked(iface, &group, max_ms);
}

/* --- opening and closing --- */

void weir_mld_init(struct weir_mld *mld)
{
    *mld = (struct weir_mld){ .all_at = WEIR_NEVER };
    weir_alarm_init(&mld->alarm, mld_fire);
}
