/* dpdk_queue.c - packets between a queue of a DPDK port and a shard.
 *
 * What comes in is handed up as it is: the struct weir_pkt stands in the private area of the mbuf,
 * right behind struct rte_mbuf, and describes the mbuf's bytes; its release frees the mbuf.  What
 * goes out and is such a packet, with nobody else reading it, goes out as the mbuf it is; anything
 * else is copied into mbufs of the queue's own, several of them for a frame that the NIC is to cut
 * up.
 *
 * Frames gather until there are WEIR_DEV_BURST of them or tx_flush.  What the NIC does not take
 * then waits, in order, and is offered again by each rx and flush; room() tells how much more may
 * wait, and what is beyond that is dropped and counted.
 *
 * Invariants: a packet that was handed up has one mbuf, whose reference count is 1.  Of what is to
 * go out, [out_head, out_ready) has been prepared and waits for the NIC, [out_ready, out_tail) is
 * new; together they are at most DPDK_OUT. */
#include <rte_cycles.h>
#include <rte_ip.h>
#include <rte_lcore.h>
#include <stdio.h>
#include "net/dev/dpdk.h"

enum { DPDK_CLOSE_TRIES = 64 };

static struct dpdk_queue *dpdk_queue_of(struct weir_dev_queue *queue)
{
    return weir_container_of(queue, struct dpdk_queue, base);
}

static struct rte_mbuf *dpdk_mbuf_of(struct weir_pkt *pkt)
{
    return (struct rte_mbuf *)(void *)pkt - 1;
}

_Static_assert(sizeof(struct rte_mbuf) % _Alignof(struct weir_pkt) == 0,
               "the packet follows its mbuf");

/* --- in --- */

static void dpdk_release(struct weir_buf *buf)
{
    rte_pktmbuf_free(dpdk_mbuf_of(weir_pkt_of(buf)));
}

static uint16_t dpdk_rx_flags(uint64_t ol_flags)
{
    uint16_t flags = 0;

    if ((ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_GOOD)
        flags |= WEIR_PKT_L4_GOOD;
    if ((ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK) == RTE_MBUF_F_RX_IP_CKSUM_GOOD)
        flags |= WEIR_PKT_IP_GOOD;
    return flags;
}

static struct weir_pkt *dpdk_wrap(struct rte_mbuf *mbuf)
{
    struct weir_pkt *pkt = (struct weir_pkt *)(void *)(mbuf + 1);

    pkt->buf = (struct weir_buf){ .data = rte_pktmbuf_mtod(mbuf, uint8_t *),
                                  .len = mbuf->data_len,
                                  .refs = 1,
                                  .release = dpdk_release };
    pkt->flags = dpdk_rx_flags(mbuf->ol_flags);
    pkt->l3 = pkt->l4 = pkt->gso_size = 0;
    pkt->frag = NULL;
    return pkt;
}

/* Our buffers have room for the MTU: what comes in pieces is longer and was not meant for us. */
static bool dpdk_is_whole(const struct rte_mbuf *mbuf)
{
    return mbuf->nb_segs == 1 && mbuf->data_len >= RTE_ETHER_HDR_LEN;
}

/* --- out --- */

static void dpdk_drop(struct dpdk_queue *q, struct rte_mbuf *mbuf)
{
    q->base.stats.tx_dropped++;
    rte_pktmbuf_free(mbuf);
}

/* How many of [from, to) stand one behind the other. */
static uint16_t dpdk_span(uint32_t from, uint32_t to)
{
    return (uint16_t)RTE_MIN(to - from, DPDK_OUT - from % DPDK_OUT);
}

/* Takes out the first that is not prepared: those behind it move up. */
static void dpdk_refused(struct dpdk_queue *q)
{
    dpdk_drop(q, q->out[q->out_ready % DPDK_OUT]);
    q->out_tail--;
    for (uint32_t i = q->out_ready; i != q->out_tail; i++)
        q->out[i % DPDK_OUT] = q->out[(i + 1) % DPDK_OUT];
}

/* Some NICs want to see packets that ask for offloads first; they refuse those they cannot send. */
static void dpdk_prepare(struct dpdk_queue *q)
{
    while (q->out_offloads && q->out_ready != q->out_tail) {
        uint16_t span = dpdk_span(q->out_ready, q->out_tail);
        uint16_t good =
            rte_eth_tx_prepare(q->port, q->queue, &q->out[q->out_ready % DPDK_OUT], span);

        q->out_ready += good;
        if (good < span)
            dpdk_refused(q);
    }
    q->out_ready = q->out_tail;
    q->out_offloads = false;
}

static uint64_t dpdk_bytes(struct rte_mbuf *const *mbufs, unsigned count)
{
    uint64_t bytes = 0;

    for (unsigned i = 0; i < count; i++)
        bytes += mbufs[i]->pkt_len;
    return bytes;
}

/* Gives the NIC what it takes now. */
static void dpdk_push(struct dpdk_queue *q)
{
    uint16_t sent = 1;

    while (q->out_head != q->out_ready && sent > 0) {
        struct rte_mbuf **mbufs = &q->out[q->out_head % DPDK_OUT];
        uint16_t span = dpdk_span(q->out_head, q->out_ready);
        uint64_t bytes = dpdk_bytes(mbufs, span);

        sent = rte_eth_tx_burst(q->port, q->queue, mbufs, span);
        q->base.stats.tx_packets += sent;
        q->base.stats.tx_bytes += bytes - dpdk_bytes(mbufs + sent, span - sent);
        q->out_head += sent;
    }
}

static void dpdk_tx_flush(struct weir_dev_queue *queue)
{
    struct dpdk_queue *q = dpdk_queue_of(queue);

    if (q->out_head == q->out_tail)
        return;
    dpdk_prepare(q);
    dpdk_push(q);
}

/* Itself, as the mbuf it stands in; NULL: it does not, or somebody else reads it. */
static struct rte_mbuf *dpdk_unwrap(struct weir_pkt *pkt)
{
    struct rte_mbuf *mbuf = dpdk_mbuf_of(pkt);
    uint8_t *begin;

    if (pkt->buf.release != dpdk_release || pkt->frag || !weir_pkt_writable(pkt))
        return NULL;
    begin = mbuf->buf_addr;
    if (pkt->buf.data < begin || pkt->buf.data + pkt->buf.len > begin + mbuf->buf_len)
        return NULL;
    mbuf->data_off = (uint16_t)(pkt->buf.data - begin);
    mbuf->data_len = (uint16_t)pkt->buf.len;
    mbuf->pkt_len = pkt->buf.len;
    mbuf->ol_flags = 0;
    return mbuf;
}

/* Adds bytes at the end of the packet `head`, in `*last` and further mbufs. */
static bool dpdk_append(struct dpdk_queue *q, struct rte_mbuf *head, struct rte_mbuf **last,
                        const uint8_t *data, uint32_t len)
{
    while (len > 0) {
        uint16_t room = rte_pktmbuf_tailroom(*last);
        uint16_t now = (uint16_t)RTE_MIN(len, (uint32_t)room);

        if (now == 0) {
            struct rte_mbuf *more = rte_pktmbuf_alloc(q->tx_pool);

            if (!more)
                return false;
            (*last)->next = more;
            *last = more;
            if (++head->nb_segs > DPDK_SEGMENTS)
                return false;
            continue;
        }
        rte_memcpy(rte_pktmbuf_mtod_offset(*last, uint8_t *, (*last)->data_len), data, now);
        (*last)->data_len = (uint16_t)((*last)->data_len + now);
        head->pkt_len += now;
        data += now;
        len -= now;
    }
    return true;
}

static struct rte_mbuf *dpdk_copy(struct dpdk_queue *q, const struct weir_pkt *pkt)
{
    struct rte_mbuf *head = rte_pktmbuf_alloc(q->tx_pool), *last = head;

    if (!head)
        return NULL;
    for (; pkt; pkt = pkt->frag)
        if (!dpdk_append(q, head, &last, pkt->buf.data, pkt->buf.len)) {
            rte_pktmbuf_free(head);
            return NULL;
        }
    return head;
}

/* A NIC that cuts up a packet counts on a pseudo-header's sum without length, and on no sum in
 * IPv4's header (rte_mbuf_core.h, RTE_MBUF_F_TX_TCP_SEG). */
static void dpdk_set_tso(struct rte_mbuf *mbuf, const struct weir_pkt *pkt)
{
    struct rte_tcp_hdr *tcp = rte_pktmbuf_mtod_offset(mbuf, struct rte_tcp_hdr *, pkt->l4);
    void *l3 = rte_pktmbuf_mtod_offset(mbuf, void *, pkt->l3);

    mbuf->ol_flags |= RTE_MBUF_F_TX_TCP_SEG;
    mbuf->tx_offload = rte_mbuf_tx_offload(pkt->l3, (uint64_t)(pkt->l4 - pkt->l3),
                                           (tcp->data_off >> 4) * 4u, pkt->gso_size, 0, 0, 0);
    if (pkt->flags & WEIR_PKT_IP6) {
        tcp->cksum = rte_ipv6_phdr_cksum(l3, mbuf->ol_flags);
    } else {
        mbuf->ol_flags |= RTE_MBUF_F_TX_IP_CKSUM;
        ((struct rte_ipv4_hdr *)l3)->hdr_checksum = 0;
        tcp->cksum = rte_ipv4_phdr_cksum(l3, mbuf->ol_flags);
    }
}

static void dpdk_set_offloads(struct rte_mbuf *mbuf, const struct weir_pkt *pkt)
{
    const uint8_t *l3 = rte_pktmbuf_mtod_offset(mbuf, const uint8_t *, pkt->l3);
    bool ip6 = pkt->flags & WEIR_PKT_IP6;
    bool tcp = l3[ip6 ? 6 : 9] == IPPROTO_TCP;

    mbuf->tx_offload = rte_mbuf_tx_offload(pkt->l3, (uint64_t)(pkt->l4 - pkt->l3), 0, 0, 0, 0, 0);
    mbuf->ol_flags |= ip6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4;
    mbuf->ol_flags |= tcp ? RTE_MBUF_F_TX_TCP_CKSUM : RTE_MBUF_F_TX_UDP_CKSUM;
    if (pkt->flags & WEIR_PKT_TSO)
        dpdk_set_tso(mbuf, pkt);
}

/* Whether one more finds a place to wait. */
static bool dpdk_has_place(struct dpdk_queue *q)
{
    if (unlikely(q->out_tail - q->out_head == DPDK_OUT))
        dpdk_tx_flush(&q->base);
    return q->out_tail - q->out_head < DPDK_OUT;
}

/* Takes over one owner of the packet. */
static void dpdk_tx_one(struct dpdk_queue *q, struct weir_pkt *pkt)
{
    struct rte_mbuf *mbuf = NULL;
    bool place = dpdk_has_place(q), copied = false;

    if (likely(place)) {
        mbuf = dpdk_unwrap(pkt);
        copied = !mbuf;
    }
    if (copied)
        mbuf = dpdk_copy(q, pkt);
    if (unlikely(!mbuf)) {
        q->base.stats.tx_dropped++;
        weir_pkt_free(pkt);
        return;
    }
    if (pkt->flags & (WEIR_PKT_L4_CSUM | WEIR_PKT_TSO)) {
        dpdk_set_offloads(mbuf, pkt);
        q->out_offloads = true;
    }
    if (copied)
        weir_pkt_free(pkt);
    q->out[q->out_tail++ % DPDK_OUT] = mbuf;
    if (q->out_tail - q->out_ready == WEIR_DEV_BURST)
        dpdk_tx_flush(&q->base);
}

static void dpdk_tx(struct weir_dev_queue *queue, struct weir_pkt **pkts, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        dpdk_tx_one(dpdk_queue_of(queue), pkts[i]);
}

/* Mbufs for copies that are to be had for certain: those in the pool, and in our thread's cache in
 * front of it; not those in caches of threads that have received what we sent. */
static uint32_t dpdk_mbufs(const struct dpdk_queue *q)
{
    struct rte_mempool_cache *cache = rte_mempool_default_cache(q->tx_pool, rte_lcore_id());

    return rte_mempool_get_ops(q->tx_pool->ops_index)->get_count(q->tx_pool) +
           (cache ? cache->len : 0);
}

/* Places to wait in, and mbufs: nobody takes any of either but we. */
static unsigned dpdk_room(struct weir_dev_queue *queue)
{
    struct dpdk_queue *q = dpdk_queue_of(queue);
    uint32_t each = queue->dev->caps & WEIR_DEV_TX_TSO ? DPDK_SEGMENTS : 1;
    uint32_t places = DPDK_OUT - (q->out_tail - q->out_head);

    return RTE_MIN(places, dpdk_mbufs(q) / each);
}

/* What waits is offered again when the device is looked at, which is polled (must_poll). */
static weir_time dpdk_next(const struct weir_dev_queue *queue)
{
    (void)queue;
    return WEIR_NEVER;
}

/* --- in, what has arrived --- */

static unsigned dpdk_rx(struct weir_dev_queue *queue, struct weir_pkt **pkts, unsigned max)
{
    struct dpdk_queue *q = dpdk_queue_of(queue);
    struct rte_mbuf *mbufs[WEIR_DEV_BURST];
    uint16_t count = rte_eth_rx_burst(q->port, q->queue, mbufs,
                                      (uint16_t)RTE_MIN(max, (unsigned)WEIR_DEV_BURST));
    unsigned got = 0;

    if (unlikely(q->out_head != q->out_ready))
        dpdk_push(q);
    for (unsigned i = 0; i < count; i++)
        rte_prefetch0(rte_pktmbuf_mtod(mbufs[i], void *));
    for (unsigned i = 0; i < count; i++) {
        if (unlikely(!dpdk_is_whole(mbufs[i]))) {
            q->base.stats.rx_dropped++;
            rte_pktmbuf_free(mbufs[i]);
            continue;
        }
        pkts[got] = dpdk_wrap(mbufs[i]);
        q->base.stats.rx_bytes += pkts[got++]->buf.len;
    }
    q->base.stats.rx_packets += got;
    return got;
}

/* --- opening and closing --- */

/* A thread that EAL knows has caches in front of the mbuf pools; without, it only costs time. */
static int dpdk_queue_open(struct weir_dev *dev, unsigned index, struct weir_shard *shard,
                           struct weir_pkts *pkts, struct weir_dev_queue **queue, char *why,
                           size_t why_size)
{
    struct dpdk_dev *d = weir_container_of(dev, struct dpdk_dev, dev);
    struct dpdk_queue *q = &d->queue[index];

    (void)pkts;
    weir_assert(index < dev->queues);
    if (q->open) {
        snprintf(why, why_size, "%s: queue %u is open", dev->name, index);
        return -EBUSY;
    }
    q->open = true;
    q->registered = rte_lcore_id() == LCORE_ID_ANY && rte_thread_register() == 0;
    q->base = (struct weir_dev_queue){ .dev = dev, .shard = shard, .index = index, .fd = -1 };
    *queue = &q->base;
    return 0;
}

static void dpdk_queue_close(struct weir_dev_queue *queue)
{
    struct dpdk_queue *q = dpdk_queue_of(queue);

    for (unsigned tries = 0; tries < DPDK_CLOSE_TRIES; tries++)
        dpdk_tx_flush(queue);
    while (q->out_head != q->out_tail)
        dpdk_drop(q, q->out[q->out_head++ % DPDK_OUT]);
    q->out_ready = q->out_head;
    if (q->registered)
        rte_thread_unregister();
    q->registered = q->open = false;
}

static void dpdk_close(struct weir_dev *dev)
{
    struct dpdk_dev *d = weir_container_of(dev, struct dpdk_dev, dev);

    for (unsigned i = 0; i < dev->queues; i++)
        weir_assert(!d->queue[i].open);
    weir_dpdk_ports_stop(d);
    free(d);
}

const struct weir_dev_ops weir_dpdk_ops = {
    .name = "dpdk",
    .queue_open = dpdk_queue_open,
    .queue_close = dpdk_queue_close,
    .rx = dpdk_rx,
    .tx = dpdk_tx,
    .tx_flush = dpdk_tx_flush,
    .room = dpdk_room,
    .next = dpdk_next,
    .close = dpdk_close,
};
