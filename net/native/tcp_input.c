/* tcp_input.c - a burst of segments: check, find, run.
 *
 * Three stages over the whole burst, so that memory arrives while other segments are worked on:
 * parse and verify, and ask for the bucket of the flow table; look the flow up, and ask for the
 * connection; then each segment in the order in which it came.  Earlier segments of a burst may end
 * or make the flows of later ones, so a flow that was found is looked up again when the table has
 * changed meanwhile. */
#include "net/native/checksum.h"
#include "net/native/ip.h"
#include "net/native/steer.h"
#include "net/native/tcp_in.h"

enum {
    PREFETCH_BYTES = 1024,
    PREFETCH_USER = 192,   /* of what is around the operation that waits */
    PREFETCH_ANSWER = 192, /* headers and the begin of the bytes */
    MANY_CONNS = 1024,     /* more are not all in the cache */
};

/* --- stage 1 --- */

/* The pseudo-header's sum, from the addresses as they stand in the packet. */
static uint32_t input_pseudo_sum(const struct weir_pkt *pkt, uint32_t len)
{
    const uint8_t *ip = pkt->buf.data + pkt->l3;
    uint32_t sum = htons((uint16_t)len) + (uint32_t)htons(IPPROTO_TCP), word[2];

    if (pkt->flags & WEIR_PKT_IP6)
        return weir_sum_add(weir_sum(ip + 8, 32, 0), sum + htons((uint16_t)(len >> 16)));
    memcpy(word, ip + 12, sizeof word);
    return weir_sum_add(weir_sum_add(word[0], word[1]), sum);
}

static bool input_checksum_good(const struct weir_pkt *pkt)
{
    uint32_t len = pkt->buf.len - pkt->l4;

    if (pkt->flags & WEIR_PKT_L4_GOOD)
        return true;
    return weir_sum_fold(weir_sum(pkt->buf.data + pkt->l4, len, input_pseudo_sum(pkt, len))) ==
           0xffff;
}

static bool input_is_good(struct weir_native *native, struct weir_pkt *pkt)
{
    native->stats.tcp_in++;
    if (weir_likely(weir_tcp_parse(pkt) == 0)) {
        if (weir_likely(input_checksum_good(pkt)))
            return true;
        weir_ip_is_partial_csum(native, pkt); /* counts and says it */
    }
    native->stats.tcp_bad++;
    weir_pkt_free(pkt);
    return false;
}

static void input_key(struct weir_flow_key *key, const struct weir_pkt *pkt)
{
    const uint8_t *ip = pkt->buf.data + pkt->l3;
    uint32_t word[2];

    if (pkt->flags & WEIR_PKT_IP6) {
        memcpy(&key->remote, ip + 8, 16);
        memcpy(&key->local, ip + 24, 16);
    } else {
        memcpy(word, ip + 12, 8);
        key->remote = weir_ip_v4(word[0]);
        key->local = weir_ip_v4(word[1]);
    }
    key->local_port = pkt->rx.dport;
    key->remote_port = pkt->rx.sport;
}

/* The bytes that will be summed next, as far as the CPU would not guess them by itself: it sees a
 * stream only after a few lines of it. */
static void input_prefetch_bytes(const struct weir_pkt *pkt)
{
    uint32_t len = pkt->buf.len < PREFETCH_BYTES ? pkt->buf.len : PREFETCH_BYTES;

    for (uint32_t at = 64; at < len; at += 64)
        __builtin_prefetch(pkt->buf.data + at);
}

/* Keeps what is ours, in order; forwards what is not.  Returns how many are left. */
static unsigned input_check(struct weir_native *native, struct weir_pkt **pkts, unsigned count,
                            struct weir_flow_key *keys)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < count; i++) {
        struct weir_pkt *pkt = pkts[i];
        unsigned shard;

        if (i + 1 < count)
            input_prefetch_bytes(pkts[i + 1]);
        if (!input_is_good(native, pkt))
            continue;
        input_key(&keys[kept], pkt);
        pkt->rx.hash = weir_flow_hash(native, &keys[kept]);
        shard = weir_flow_shard(native, pkt->rx.hash);
        if (shard != native->shard->id && !(pkt->flags & WEIR_PKT_FORWARDED)) {
            weir_steer_forward(native, pkt, shard);
            continue;
        }
        weir_flows_prefetch(&native->flows, pkt->rx.hash);
        pkts[kept++] = pkt;
    }
    return kept;
}

/* --- stage 2 --- */

static inline void input_prefetch(const void *at, size_t size)
{
    for (size_t line = 0; line < size; line += 64)
        __builtin_prefetch((const char *)at + line, 1);
}

static void input_find(struct weir_native *native, struct weir_pkt **pkts, unsigned count,
                       const struct weir_flow_key *keys)
{
    bool many = native->conns.live > MANY_CONNS;

    for (unsigned i = 0; i < count; i++) {
        struct weir_flow *flow = weir_flows_find(&native->flows, pkts[i]->rx.hash, &keys[i]);

        pkts[i]->rx.flow = flow;
        if (many && flow)
            input_prefetch(flow, sizeof(struct weir_tcp) - offsetof(struct weir_tcp, flow));
    }
}

/* What a connection leads to: who waits for the bytes, mostly embedded in what its owner will
 * touch; the packet that this segment acknowledges, which will be the next to be filled; those
 * beside it in the timer wheel, for its alarm may move. */
static void input_prefetch_around(struct weir_pkt *const *pkts, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        const struct weir_flow *flow = pkts[i]->rx.flow;
        const struct weir_tcp *tcp;

        if (!flow || flow->kind != WEIR_FLOW_TCP)
            continue;
        tcp = weir_container_of(flow, struct weir_tcp, flow);
        if (tcp->conn.rx)
            input_prefetch(tcp->conn.rx, PREFETCH_USER);
        if (tcp->tx_head) {
            input_prefetch(tcp->tx_head, sizeof(struct weir_pkt));
            input_prefetch((const char *)(tcp->tx_head + 1) + WEIR_PKT_HEADROOM - 64,
                           PREFETCH_ANSWER);
        }
        __builtin_prefetch(tcp->alarm.link.next, 1);
        __builtin_prefetch(tcp->alarm.link.prev, 1);
    }
}

/* --- stage 3 --- */

static void input_segment(struct weir_native *native, struct weir_flow *flow,
                          const struct weir_flow_key *key, struct weir_pkt *pkt)
{
    if (!flow)
        weir_tcp_no_connection(native, key, pkt, NULL);
    else if (weir_likely(flow->kind == WEIR_FLOW_TCP))
        weir_tcp_segment(weir_container_of(flow, struct weir_tcp, flow), pkt);
    else if (flow->kind == WEIR_FLOW_WAIT)
        weir_tcp_wait_segment(native, weir_container_of(flow, struct weir_tcp_wait, flow), pkt);
    else
        weir_steer_detour_follow(native, flow, pkt);
}

/* All of a burst; at most WEIR_DEV_BURST. */
static void input_burst(struct weir_native *native, struct weir_pkt **pkts, unsigned count)
{
    struct weir_flow_key keys[WEIR_DEV_BURST];
    uint32_t changes;

    count = input_check(native, pkts, count, keys);
    input_find(native, pkts, count, keys);
    if (native->conns.live > MANY_CONNS)
        input_prefetch_around(pkts, count);
    changes = native->flows.changes;
    for (unsigned i = 0; i < count; i++) {
        struct weir_flow *flow = pkts[i]->rx.flow;

        if (weir_unlikely(native->flows.changes != changes))
            flow = weir_flows_find(&native->flows, pkts[i]->rx.hash, &keys[i]);
        input_segment(native, flow, &keys[i], pkts[i]);
    }
}

void weir_tcp_input_burst(struct weir_native *native, struct weir_pkt **pkts, unsigned count)
{
    while (count > 0) {
        unsigned part = count < WEIR_DEV_BURST ? count : WEIR_DEV_BURST;

        input_burst(native, pkts, part);
        pkts += part;
        count -= part;
    }
}
