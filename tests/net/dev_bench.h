/* dev_bench.h - what the tests of devices need: shards that are only a clock and a bell, and frames
 * that can be told apart. */
#ifndef WEIR_TESTS_NET_DEV_BENCH_H
#define WEIR_TESTS_NET_DEV_BENCH_H

#include "../core/testing.h"
#include "net/dev.h"

struct side {
    struct weir_shard shard;
    struct weir_pkts pkts;
    struct weir_dev_queue *queue;
    _Atomic unsigned wakes;
};

static struct weir_shards bench_shards;

static inline void bench_wake(struct weir_shard *shard)
{
    weir_container_of(shard, struct side, shard)->wakes++;
}

static inline void side_init(struct side *side, uint32_t pkts_max)
{
    memset(side, 0, sizeof *side);
    bench_shards.wake = bench_wake;
    side->shard.all = &bench_shards;
    side->shard.now = WEIR_SEC(1);
    weir_pkts_init(&side->pkts, pkts_max);
}

static inline void side_open(struct side *side, struct weir_dev *dev, unsigned index)
{
    char why[160] = "";

    if (dev->ops->queue_open(dev, index, &side->shard, &side->pkts, &side->queue, why,
                             sizeof why) != 0)
        fail_msg("queue_open: %s", why);
}

static inline void side_close(struct side *side)
{
    side->queue->dev->ops->queue_close(side->queue);
    weir_pkts_free(&side->pkts);
}

/* A frame with a number in it and a length: no IP, so it goes to queue 0. */
static inline struct weir_pkt *side_frame(struct side *side, uint32_t number, uint32_t len)
{
    struct weir_pkt *pkt = weir_pkt_get(&side->pkts);

    assert_true(pkt && len >= 18);
    memset(pkt->buf.data, (int)(number & 255), len);
    pkt->buf.data[12] = 0x88;
    pkt->buf.data[13] = 0xb5;
    memcpy(pkt->buf.data + 14, &number, sizeof number);
    pkt->buf.len = len;
    return pkt;
}

static inline uint32_t frame_number(const struct weir_pkt *pkt)
{
    uint32_t number;

    memcpy(&number, pkt->buf.data + 14, sizeof number);
    return number;
}

/* An IPv4 TCP segment of one of many flows. */
static inline struct weir_pkt *side_flow_frame(struct side *side, uint16_t flow)
{
    struct weir_pkt *pkt = side_frame(side, 0, 54);
    uint8_t *ip = pkt->buf.data + 14;

    pkt->buf.data[12] = 0x08;
    pkt->buf.data[13] = 0;
    memset(ip, 0, 40);
    ip[0] = 0x45;
    ip[9] = 6;
    memcpy(ip + 12, (uint8_t[8]){ 10, 0, 0, 1, 10, 0, 0, 2 }, 8);
    ip[20] = (uint8_t)(flow >> 8);
    ip[21] = (uint8_t)flow;
    ip[23] = 80;
    return pkt;
}

static inline void side_send(struct side *side, struct weir_pkt *pkt)
{
    side->queue->dev->ops->tx(side->queue, &pkt, 1);
}

static inline void side_flush(struct side *side)
{
    side->queue->dev->ops->tx_flush(side->queue);
}

static inline unsigned side_rx(struct side *side, struct weir_pkt **pkts, unsigned max)
{
    return side->queue->dev->ops->rx(side->queue, pkts, max);
}

static inline weir_time side_next(const struct side *side)
{
    return side->queue->dev->ops->next(side->queue);
}

/* Takes and drops all there is; how many. */
static inline unsigned side_drain(struct side *side)
{
    struct weir_pkt *pkts[WEIR_DEV_BURST];
    unsigned count, all = 0;

    while ((count = side_rx(side, pkts, WEIR_DEV_BURST)) > 0) {
        for (unsigned i = 0; i < count; i++)
            weir_pkt_free(pkts[i]);
        all += count;
    }
    return all;
}

#endif
