/* steer.c - packets that have come to a shard they do not belong to, on their way to the right one.
 *
 * To each other shard there is one courier: a brief call that carries up to 32 packets and has them
 * copied over there, into that shard's own memory.  While it is under way what comes for the same
 * shard waits in a ring, and is dropped and counted when that is full.  So a flood of misdirected
 * packets costs a bounded part of both shards, and whoever sent them sends again.
 *
 * A call keeps the runtime going until it is home.  When no shard has fibers any more, nobody can
 * want a packet: then no courier sets out, or two shards that get broadcasts would keep each other
 * alive.
 *
 * A connection whose listener is not on the shard its hash says gets a detour there.  When the
 * connection is over the shard that has it says so, by the same courier, and the detour ends a
 * minute later, when the connection's TIME-WAIT does; a SYN before that looks for a listener anew.
 * Should the word be lost, a detour ends after a day without packets, and one whose handshake did
 * not go on after a minute.
 *
 * Invariants: while `out`, item[0 .. count) is the other shard's to read; detours of a list are in
 * the order of `until`. */
#include "net/native/steer.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <weir/shard.h>
#include "net/native/glue.h"
#include "net/native/ip.h"
#include "net/native/tcp_in.h"

enum { STEER_BURST = 32, STEER_WAITING = 256 };

#define DETOUR_NEW WEIR_SEC(60)
#define DETOUR_OLD WEIR_SEC(86400)

enum steer_kind {
    STEER_PACKET, /* from the transport header on it is known to be good */
    STEER_FRAME,  /* a whole frame, to be looked at from the start */
    STEER_END,    /* its data is the struct weir_flow of a detour that is over */
};

struct steer_item {
    struct weir_pkt *pkt;
    enum steer_kind kind;
};

struct courier {
    struct weir_call call;
    struct weir_native *native; /* whose it is */
    uint16_t to;
    bool out;
    unsigned count;
    struct steer_item item[STEER_BURST];
    unsigned head, waiting;
    struct steer_item ring[STEER_WAITING];
};

struct weir_steer {
    struct weir_native *native;
    uint32_t waiting;         /* of all couriers that are at home */
    struct weir_link fresh;   /* struct weir_detour: handshakes */
    struct weir_link settled; /* ... that went on */
    struct weir_alarm alarm;  /* the first of both */
    struct courier courier[]; /* by shard */
};

/* --- what arrives on the other shard --- */

static struct weir_iface *steer_iface(struct weir_native *native, const struct weir_pkt *pkt)
{
    struct weir_ip source, target;

    weir_ip_of(pkt, &source, &target);
    return &native->iface[weir_ip_is_loopback(&target) ? WEIR_IFACE_LOOP : native->ifaces - 1];
}

/* In memory of this shard; or NULL. */
static struct weir_pkt *steer_copy(struct weir_native *native, const struct weir_pkt *from)
{
    struct weir_pkt *pkt = weir_native_pkt(native, from->buf.len);

    if (!pkt) {
        native->stats.forward_dropped++;
        return NULL;
    }
    memcpy(pkt->buf.data, from->buf.data, from->buf.len);
    pkt->buf.len = from->buf.len;
    pkt->flags = from->flags | WEIR_PKT_FORWARDED;
    pkt->l3 = from->l3;
    pkt->l4 = from->l4;
    pkt->gso_size = from->gso_size;
    pkt->rx = from->rx;
    pkt->rx.flow = NULL;
    return pkt;
}

/* To its transport, whose header was found before.  Whether it is a TCP segment, to go with others.
 */
static bool steer_deliver(struct weir_native *native, struct weir_pkt *pkt)
{
    struct weir_iface *iface = steer_iface(native, pkt);
    const uint8_t *at = pkt->buf.data + pkt->l3;
    struct weir_ip6 ip6 = { .protocol = at[9] };

    if ((pkt->flags & WEIR_PKT_IP6) && weir_ip6_parse(&ip6, at, pkt->buf.len - pkt->l3) < 0)
        weir_pkt_free(pkt);
    else if (ip6.protocol == IPPROTO_TCP)
        return true;
    else if (ip6.protocol == IPPROTO_UDP)
        weir_udp_input(native, iface, pkt);
    else if (ip6.protocol == IPPROTO_ICMP)
        weir_icmp4_input(iface, pkt, false);
    else if (ip6.protocol == IPPROTO_ICMPV6)
        weir_icmp6_input(iface, pkt, &ip6, false);
    else
        weir_pkt_free(pkt);
    return false;
}

static void detour_free(struct weir_native *native, struct weir_detour *detour)
{
    weir_list_del(&detour->link);
    weir_flows_del(&native->flows, &detour->flow);
    weir_pool_put(&native->detours, detour);
}

static void detour_use(struct weir_steer *steer, struct weir_detour *detour, bool fresh);

static void steer_end(struct weir_native *native, const struct weir_flow *over)
{
    struct weir_flow *flow = weir_flows_find(&native->flows, over->hash, &over->key);

    if (flow && flow->kind == WEIR_FLOW_DETOUR) {
        struct weir_detour *detour = weir_container_of(flow, struct weir_detour, flow);

        detour->over = true;
        detour_use(native->steer, detour, true);
    }
}

static int64_t steer_serve(void *arg)
{
    const struct courier *courier = arg;
    struct weir_native *native = weir_native_of(weir_stack_of(weir_shard_current));
    struct weir_pkt *tcp[STEER_BURST];
    unsigned count = 0;

    for (unsigned i = 0; i < courier->count; i++) {
        const struct steer_item *item = &courier->item[i];
        struct weir_pkt *pkt;

        if (item->kind == STEER_END) {
            steer_end(native, (const struct weir_flow *)(const void *)item->pkt->buf.data);
        } else if ((pkt = steer_copy(native, item->pkt)) != NULL) {
            if (item->kind == STEER_FRAME)
                weir_ether_input(&native->iface[native->ifaces - 1], &pkt, 1);
            else if (steer_deliver(native, pkt))
                tcp[count++] = pkt;
        }
    }
    if (count > 0)
        weir_tcp_input_burst(native, tcp, count);
    return 0;
}

/* --- couriers --- */

static void courier_home(struct weir_future *future);

static void courier_start(struct courier *courier)
{
    while (courier->waiting > 0 && courier->count < STEER_BURST) {
        courier->item[courier->count++] = courier->ring[courier->head];
        courier->head = (courier->head + 1) % STEER_WAITING;
        courier->waiting--;
        courier->native->steer->waiting--;
    }
    courier->out = true;
    weir_call_brief_start(&courier->call, courier->to, steer_serve, courier);
    if (!weir_future_on_done(&courier->call.future, courier_home))
        courier_home(&courier->call.future);
}

static void courier_unload(struct courier *courier)
{
    for (unsigned i = 0; i < courier->count; i++)
        weir_pkt_free(courier->item[i].pkt);
    courier->count = 0;
    courier->out = false;
}

static void courier_home(struct weir_future *future)
{
    courier_unload(weir_container_of(future, struct courier, call.future));
}

static void courier_drop_waiting(struct courier *courier)
{
    while (courier->waiting > 0) {
        weir_pkt_free(courier->ring[courier->head].pkt);
        courier->head = (courier->head + 1) % STEER_WAITING;
        courier->waiting--;
        courier->native->steer->waiting--;
        courier->native->stats.forward_dropped++;
    }
}

static __attribute__((noinline)) void steer_send(struct weir_native *native,
                                                 struct weir_steer *steer)
{
    bool wanted = atomic_load_explicit(&native->shared->users, memory_order_relaxed) > 0;
    for (unsigned i = 0; i < native->shared->shards; i++) {
        struct courier *courier = &steer->courier[i];

        if (!wanted)
            courier_drop_waiting(courier);
        else if (courier->waiting > 0 && !courier->out)
            courier_start(courier);
    }
}

void weir_steer_flush(struct weir_native *native)
{
    if (weir_unlikely(native->steer->waiting > 0))
        steer_send(native, native->steer);
}

static void steer_queue(struct weir_native *native, struct weir_pkt *pkt, unsigned shard,
                        enum steer_kind kind)
{
    struct courier *courier = &native->steer->courier[shard];

    weir_assert(shard != native->shard->id && shard < native->shared->shards);
    if (courier->waiting == STEER_WAITING) {
        native->stats.forward_dropped++;
        weir_pkt_free(pkt);
        return;
    }
    courier->ring[(courier->head + courier->waiting++) % STEER_WAITING] =
        (struct steer_item){ pkt, kind };
    native->steer->waiting++;
}

void weir_steer_forward(struct weir_native *native, struct weir_pkt *pkt, unsigned shard)
{
    native->stats.forwarded++;
    steer_queue(native, pkt, shard, STEER_PACKET);
}

/* The same bytes, for another shard to look at; or NULL. */
static struct weir_pkt *steer_duplicate(struct weir_native *native, const struct weir_pkt *pkt)
{
    struct weir_pkt *copy = weir_native_pkt(native, pkt->buf.len);

    if (!copy) {
        native->stats.forward_dropped++;
        return NULL;
    }
    memcpy(copy->buf.data, pkt->buf.data, pkt->buf.len);
    copy->buf.len = pkt->buf.len;
    copy->flags = pkt->flags;
    return copy;
}

void weir_steer_everyone(struct weir_native *native, const struct weir_pkt *pkt)
{
    for (unsigned i = 0; i < native->shared->shards; i++) {
        struct weir_pkt *copy = i == native->shard->id ? NULL : steer_duplicate(native, pkt);

        if (copy)
            steer_queue(native, copy, i, STEER_FRAME);
    }
}

/* --- detours --- */

static struct weir_detour *detour_first(struct weir_link *list)
{
    return weir_list_empty(list) ? NULL : weir_container_of(list->next, struct weir_detour, link);
}

static void detour_arm(struct weir_steer *steer)
{
    const struct weir_detour *fresh = detour_first(&steer->fresh);
    const struct weir_detour *settled = detour_first(&steer->settled);
    weir_time first = fresh ? fresh->until : WEIR_NEVER;

    if (settled && settled->until < first)
        first = settled->until;
    if (first != WEIR_NEVER && (!weir_alarm_armed(&steer->alarm) || first < steer->alarm.when))
        weir_alarm_set(&steer->alarm, first);
}

static void detour_expire(struct weir_native *native, struct weir_link *list)
{
    struct weir_detour *first;

    while ((first = detour_first(list)) != NULL && first->until <= weir_native_now(native))
        detour_free(native, first);
}

static void detour_alarm(struct weir_alarm *alarm)
{
    struct weir_steer *steer = weir_container_of(alarm, struct weir_steer, alarm);

    detour_expire(steer->native, &steer->fresh);
    detour_expire(steer->native, &steer->settled);
    detour_arm(steer);
}

/* It goes on; `fresh`: for a minute only, there may be nothing behind it. */
static void detour_use(struct weir_steer *steer, struct weir_detour *detour, bool fresh)
{
    weir_list_del(&detour->link);
    weir_list_push(fresh ? &steer->fresh : &steer->settled, &detour->link);
    detour->until = weir_native_now(steer->native) + (fresh ? DETOUR_NEW : DETOUR_OLD);
    detour_arm(steer);
}

static struct weir_detour *detour_new(struct weir_native *native, const struct weir_flow_key *key,
                                      uint32_t hash, unsigned shard)
{
    struct weir_detour *detour = weir_pool_get(&native->detours);

    if (!detour)
        return NULL;
    *detour = (struct weir_detour){
        .flow = { .key = *key, .hash = hash, .kind = WEIR_FLOW_DETOUR },
        .shard = (uint16_t)shard,
    };
    weir_list_init(&detour->link);
    if (weir_flows_add(&native->flows, &detour->flow) == 0)
        return detour;
    weir_pool_put(&native->detours, detour);
    return NULL;
}

void weir_steer_detour_open(struct weir_native *native, const struct weir_flow_key *key,
                            struct weir_pkt *pkt, unsigned shard)
{
    struct weir_detour *detour = NULL;

    if (pkt->rx.tcp_flags & WEIR_SYN)
        detour = detour_new(native, key, pkt->rx.hash, shard);
    if (!detour) {
        native->stats.forward_dropped++;
        weir_pkt_free(pkt);
        return;
    }
    detour_use(native->steer, detour, true);
    weir_steer_forward(native, pkt, shard);
}

void weir_steer_detour_follow(struct weir_native *native, struct weir_flow *flow,
                              struct weir_pkt *pkt)
{
    struct weir_detour *detour = weir_container_of(flow, struct weir_detour, flow);
    uint8_t flags = pkt->rx.tcp_flags;

    if (detour->over && (flags & (WEIR_SYN | WEIR_ACK)) == WEIR_SYN) {
        const struct weir_flow_key key = flow->key;

        detour_free(native, detour);
        weir_tcp_no_connection(native, &key, pkt, NULL);
        return;
    }
    detour_use(native->steer, detour, detour->over || (flags & (WEIR_SYN | WEIR_RST)));
    weir_steer_forward(native, pkt, detour->shard);
}

void weir_steer_detour_end(struct weir_native *native, const struct weir_flow *flow)
{
    unsigned shard = weir_flow_shard(native, flow->hash);
    struct weir_pkt *pkt = weir_native_pkt(native, sizeof *flow);

    if (!pkt)
        return; /* it is forgotten over there after a day */
    memcpy(pkt->buf.data, flow, sizeof *flow);
    pkt->buf.len = sizeof *flow;
    steer_queue(native, pkt, shard, STEER_END);
}

/* --- opening and closing --- */

int weir_steer_open(struct weir_native *native)
{
    unsigned shards = native->shared->shards;
    size_t size = sizeof(struct weir_steer) + shards * sizeof(struct courier);
    struct weir_steer *steer = aligned_alloc(WEIR_CACHE_LINE, (size + 63) / 64 * 64);

    if (!steer)
        return -ENOMEM;
    memset(steer, 0, size);
    steer->native = native;
    weir_list_init(&steer->fresh);
    weir_list_init(&steer->settled);
    weir_alarm_init(&steer->alarm, detour_alarm);
    for (unsigned i = 0; i < shards; i++) {
        steer->courier[i].native = native;
        steer->courier[i].to = (uint16_t)i;
    }
    weir_pool_init(&native->detours, sizeof(struct weir_detour), 8,
                   weir_tcp_waits_max(native->conns_max));
    native->steer = steer;
    return 0;
}

void weir_steer_close(struct weir_native *native)
{
    struct weir_steer *steer = native->steer;

    for (unsigned i = 0; i < native->shared->shards; i++) {
        weir_assert(!steer->courier[i].out);
        courier_drop_waiting(&steer->courier[i]);
    }
    while (!weir_list_empty(&steer->fresh))
        detour_free(native, detour_first(&steer->fresh));
    while (!weir_list_empty(&steer->settled))
        detour_free(native, detour_first(&steer->settled));
    weir_alarm_clear(&steer->alarm);
    weir_pool_free(&native->detours);
    free(steer);
    native->steer = NULL;
}
