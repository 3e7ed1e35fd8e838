/* test_pair.c - the in-memory wire: order, bounds, steering, waking, and ends in any order. */
#include "dev_bench.h"
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include "core/base.h"
#include "net/native/toeplitz.h"

enum { SLOTS = 1024 };

static struct weir_dev *end[2];
static struct side a, b;

static void pair_open(unsigned queues)
{
    struct weir_pair_config config = { .queues = queues };

    assert_int_equal(weir_pair_open(end, &config), 0);
}

static int setup(void **state)
{
    (void)state;
    pair_open(1);
    side_init(&a, 4096);
    side_init(&b, 4096);
    side_open(&a, end[0], 0);
    side_open(&b, end[1], 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    side_close(&a);
    side_close(&b);
    weir_dev_close(end[0]);
    weir_dev_close(end[1]);
    return 0;
}

static struct weir_pkt *take(struct side *side)
{
    struct weir_pkt *pkt = NULL;

    return side_rx(side, &pkt, 1) == 1 ? pkt : NULL;
}

/* --- one queue --- */

static void test_packets_arrive_in_order_after_the_flush(void **state)
{
    struct weir_pkt *pkts[8];

    (void)state;
    for (uint32_t i = 0; i < 5; i++)
        side_send(&a, side_frame(&a, i, 60 + i));
    assert_int_equal(side_rx(&b, pkts, 8), 0);
    side_flush(&a);
    assert_int_equal(side_rx(&b, pkts, 3), 3);
    assert_int_equal(side_rx(&b, pkts + 3, 5), 2);
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(frame_number(pkts[i]), i);
        assert_int_equal(pkts[i]->buf.len, 60 + i);
        assert_int_equal(pkts[i]->buf.refs, 1);
        weir_pkt_free(pkts[i]);
    }
    assert_int_equal(a.queue->stats.tx_packets, 5);
    assert_int_equal(a.queue->stats.tx_bytes, 310);
    assert_int_equal(b.queue->stats.rx_packets, 5);
    assert_int_equal(b.queue->stats.rx_bytes, 310);
}

static void test_bytes_are_not_copied_and_come_home(void **state)
{
    struct weir_pkt *sent = side_frame(&a, 7, 100), *got;

    (void)state;
    weir_buf_ref(&sent->buf); /* it stays in a queue for retransmission */
    side_send(&a, sent);
    side_flush(&a);
    got = take(&b);
    assert_ptr_equal(got->buf.data, sent->buf.data);
    assert_int_equal(sent->buf.refs, 2);
    weir_pkt_free(got);
    side_rx(&b, &got, 1);                      /* tells */
    assert_int_equal(side_rx(&a, &got, 1), 0); /* collects */
    assert_int_equal(sent->buf.refs, 1);
    weir_pkt_free(sent);
}

/* The sender goes on with its packet: what was sent is what it was then. */
static void test_the_sender_may_move_its_start(void **state)
{
    struct weir_pkt *sent = side_frame(&a, 7, 100), *got;

    (void)state;
    weir_buf_ref(&sent->buf);
    side_send(&a, sent);
    weir_pkt_pull(sent, 54);
    side_flush(&a);
    got = take(&b);
    assert_int_equal(got->buf.len, 100);
    assert_int_equal(frame_number(got), 7);
    assert_true(got->flags & WEIR_PKT_READ_ONLY);
    weir_pkt_free(got);
    weir_pkt_free(sent);
}

static void test_what_nobody_else_has_may_be_written(void **state)
{
    struct weir_pkt *got;

    (void)state;
    side_send(&a, side_frame(&a, 1, 60));
    side_flush(&a);
    got = take(&b);
    assert_true(weir_pkt_writable(got));
    weir_pkt_free(got);
}

static void test_views_are_read_only(void **state)
{
    struct weir_pkt *sent = side_frame(&a, 7, 100), *got;

    (void)state;
    side_send(&a, weir_pkt_view(&a.pkts, sent, sent->buf.data, 60));
    weir_pkt_free(sent);
    side_flush(&a);
    got = take(&b);
    assert_false(weir_pkt_writable(got));
    weir_pkt_free(got);
}

static void test_what_was_received_can_be_sent_back(void **state)
{
    struct weir_pkt *got;

    (void)state;
    side_send(&a, side_frame(&a, 7, 60));
    side_flush(&a);
    side_send(&b, take(&b));
    side_flush(&b);
    got = take(&a);
    assert_int_equal(frame_number(got), 7);
    weir_pkt_free(got);
}

static unsigned side_room(struct side *side)
{
    return side->queue->dev->ops->room(side->queue);
}

static void send_many(struct side *side, unsigned count)
{
    while (count-- > 0)
        side_send(side, side_frame(side, count, 60));
    side_flush(side);
}

static void test_room_is_told(void **state)
{
    (void)state;
    assert_int_equal(side_room(&a), SLOTS);
    send_many(&a, 1);
    assert_int_equal(side_room(&a), SLOTS - 1);
    send_many(&a, SLOTS - 1);
    assert_int_equal(side_room(&a), 0);
    assert_int_equal(a.queue->stats.tx_dropped, 0);
    assert_int_equal(side_drain(&b), SLOTS);
    assert_int_equal(side_room(&a), SLOTS);
    assert_int_equal(side_room(&b), SLOTS);
}

/* What the other side still reads takes its place. */
static void test_room_is_less_what_is_held(void **state)
{
    struct weir_pkt *held;

    (void)state;
    send_many(&a, 1);
    held = take(&b);
    send_many(&a, 5);
    assert_int_equal(side_drain(&b), 5);
    assert_int_equal(side_room(&a), SLOTS - 1);
    weir_pkt_free(held);
    side_drain(&b);
    assert_int_equal(side_room(&a), SLOTS);
}

/* A shard that takes nothing for more than a millisecond holds up nobody: packets to it are dropped
 * as before. */
static void test_patience_has_an_end(void **state)
{
    (void)state;
    send_many(&a, SLOTS);
    assert_int_equal(side_room(&a), 0);
    a.shard.now += WEIR_MS(1);
    assert_int_equal(side_room(&a), 0);
    a.shard.now++;
    assert_int_equal(side_room(&a), SLOTS);
    send_many(&a, 1);
    assert_int_equal(a.queue->stats.tx_dropped, 1);
    for (unsigned i = 0; i < 100; i++) /* slow is not the same */
        weir_pkt_free(take(&b));
    side_rx(&b, NULL, 0); /* tells */
    assert_int_equal(side_room(&a), 100);
    a.shard.now += WEIR_MS(1);
    assert_int_equal(side_room(&a), 100);
    side_drain(&b);
}

static void test_a_full_ring_drops_and_counts(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < SLOTS + 2; i++)
        side_send(&a, side_frame(&a, i, 60));
    side_flush(&a);
    assert_int_equal(a.queue->stats.tx_packets, SLOTS);
    assert_int_equal(a.queue->stats.tx_dropped, 2);
    assert_int_equal(a.pkts.pool.live, SLOTS);
    assert_int_equal(side_drain(&b), SLOTS);
    side_send(&a, side_frame(&a, 0, 60)); /* collects when it has to */
    assert_int_equal(a.queue->stats.tx_dropped, 2);
    assert_int_equal(a.pkts.pool.live, 1);
}

/* Half a ring is lent; what comes then is copied and the sender has it back. */
static void test_a_receiver_that_keeps_all_stops_nobody(void **state)
{
    struct weir_pkt *kept[3 * SLOTS];
    unsigned got = 0;

    (void)state;
    for (uint32_t i = 0; i < 3 * SLOTS; i++) {
        side_send(&a, side_frame(&a, i, 60));
        side_flush(&a);
        got += side_rx(&b, kept + got, 1);
    }
    side_rx(&b, kept, 0);
    side_drain(&a);
    assert_int_equal(got, 3 * SLOTS);
    assert_int_equal(a.pkts.pool.live, SLOTS / 2);
    for (uint32_t i = 0; i < got; i++) {
        assert_int_equal(frame_number(kept[i]), i);
        weir_pkt_free(kept[i]);
    }
    side_drain(&b);
    side_drain(&a);
    assert_int_equal(a.pkts.pool.live, 0);
}

static void test_without_descriptors_what_comes_is_dropped(void **state)
{
    struct weir_pkt *pkt, *kept[4096];

    (void)state;
    for (unsigned i = 0; i < 4096; i++)
        kept[i] = weir_pkt_bare(&b.pkts);
    side_send(&a, side_frame(&a, 0, 60));
    side_flush(&a);
    assert_int_equal(side_rx(&b, &pkt, 1), 0);
    assert_int_equal(b.queue->stats.rx_dropped, 1);
    for (unsigned i = 0; i < 4096; i++)
        weir_pkt_bare_put(&b.pkts, kept[i]);
    side_drain(&b);
    side_drain(&a);
    assert_int_equal(a.pkts.pool.live, 0);
}

static void test_frames_beyond_the_mtu_are_dropped(void **state)
{
    (void)state;
    side_send(&a, side_frame(&a, 0, 1518));
    assert_int_equal(a.queue->stats.tx_dropped, 0);
    side_send(&a, side_frame(&a, 0, 1519));
    assert_int_equal(a.queue->stats.tx_dropped, 1);
}

static void test_next_is_now_while_packets_wait(void **state)
{
    (void)state;
    assert_true(side_next(&b) == WEIR_NEVER);
    side_send(&a, side_frame(&a, 0, 60));
    assert_true(side_next(&b) == WEIR_NEVER);
    side_flush(&a);
    assert_true(side_next(&b) == b.shard.now);
    assert_true(side_next(&a) == WEIR_NEVER);
    side_drain(&b);
    assert_true(side_next(&b) == WEIR_NEVER);
}

static void test_only_a_sleeper_is_woken_once_per_flush(void **state)
{
    (void)state;
    side_send(&a, side_frame(&a, 0, 60));
    side_flush(&a);
    assert_int_equal(b.wakes, 0);
    b.shard.asleep = true;
    side_flush(&a); /* nothing new */
    assert_int_equal(b.wakes, 0);
    side_send(&a, side_frame(&a, 0, 60));
    side_send(&a, side_frame(&a, 0, 60));
    assert_int_equal(b.wakes, 0);
    side_flush(&a);
    assert_int_equal(b.wakes, 1);
}

/* --- the configuration --- */

static void test_bounds_of_the_configuration(void **state)
{
    struct weir_pair_config config = { .queues = 0 };
    struct weir_dev *none[2];

    (void)state;
    assert_int_equal(weir_pair_open(none, &config), -EINVAL);
    config.queues = WEIR_SHARDS_MAX + 1;
    assert_int_equal(weir_pair_open(none, &config), -EINVAL);
    config = (struct weir_pair_config){ .queues = 1, .mtu = 67 };
    assert_int_equal(weir_pair_open(none, &config), -EINVAL);
    config.mtu = 1583;
    assert_int_equal(weir_pair_open(none, &config), -EINVAL);
    for (config.mtu = 68; config.mtu <= 1582; config.mtu += 1514) {
        assert_int_equal(weir_pair_open(none, &config), 0);
        assert_int_equal(none[0]->mtu, config.mtu);
        weir_dev_close(none[1]);
        weir_dev_close(none[0]);
    }
    config = (struct weir_pair_config){ .queues = WEIR_SHARDS_MAX };
    assert_int_equal(weir_pair_open(none, &config), 0);
    weir_dev_close(none[0]);
    weir_dev_close(none[1]);
}

static void test_a_queue_opens_once(void **state)
{
    struct weir_dev_queue *queue;
    char why[80];

    (void)state;
    assert_int_equal(end[0]->ops->queue_open(end[0], 0, &a.shard, &a.pkts, &queue, why, sizeof why),
                     -EBUSY);
    assert_string_equal(why, "pair 0: queue 0 was opened before");
}

/* --- several queues --- */

enum { QUEUES = 3, FLOWS = 500 };

static unsigned flow_queue(uint16_t flow)
{
    static struct weir_toeplitz toeplitz;
    const uint8_t addrs[8] = { 10, 0, 0, 1, 10, 0, 0, 2 };

    if (toeplitz.byte[0][1] == 0)
        weir_toeplitz_init(&toeplitz, weir_flow_key);
    return (weir_toeplitz_bytes(&toeplitz, 0, addrs, 8) ^ weir_toeplitz_port(&toeplitz, 8, flow) ^
            weir_toeplitz_port(&toeplitz, 10, 80)) %
           WEIR_FLOW_TABLE % QUEUES;
}

static void many_open(struct weir_dev *dev, struct side side[QUEUES])
{
    for (unsigned i = 0; i < QUEUES; i++) {
        side_init(&side[i], 4096);
        side_open(&side[i], dev, i);
    }
}

static void many_close(struct side side[QUEUES])
{
    for (unsigned i = 0; i < QUEUES; i++)
        side_close(&side[i]);
}

static void steer(struct weir_pair_config config)
{
    static struct side from[QUEUES], to[QUEUES];
    struct side *rx = config.loop ? from : to;
    unsigned astray = 0;

    assert_int_equal(weir_pair_open(end, &config), 0);
    assert_int_equal(!!(end[0]->caps & WEIR_DEV_STEERED), !config.misdirect);
    assert_int_equal(!!(end[0]->caps & WEIR_DEV_LOOP), config.loop);
    many_open(end[0], from);
    if (!config.loop)
        many_open(end[1], to);
    for (uint16_t flow = 1; flow <= FLOWS; flow++) {
        unsigned home = flow_queue(flow), found = QUEUES;

        side_send(&from[flow % QUEUES], side_flow_frame(&from[flow % QUEUES], flow));
        side_flush(&from[flow % QUEUES]);
        for (unsigned i = 0; i < QUEUES; i++)
            if (side_drain(&rx[i]) == 1)
                found = i;
        assert_true(found < QUEUES);
        astray += found != home;
    }
    if (config.misdirect)
        assert_in_range(astray, FLOWS / 2, FLOWS * 5 / 6);
    else
        assert_int_equal(astray, 0);
    many_close(from);
    if (!config.loop)
        many_close(to);
    weir_dev_close(end[0]);
    if (!config.loop)
        weir_dev_close(end[1]);
}

static void test_flows_come_in_on_their_queue(void **state)
{
    (void)state;
    steer((struct weir_pair_config){ .queues = QUEUES });
}

static void test_a_loop_does_the_same_with_one_end(void **state)
{
    (void)state;
    steer((struct weir_pair_config){ .queues = QUEUES, .loop = true });
}

static void test_misdirected_packets_come_in_anywhere(void **state)
{
    (void)state;
    steer((struct weir_pair_config){ .queues = QUEUES, .misdirect = true, .seed = 5 });
}

/* What has no ports, or might have none, goes to queue 0 whatever its bytes would hash to. */
static void test_what_is_no_flow_goes_to_queue_0(void **state)
{
    static struct side from[QUEUES], to[QUEUES];
    uint16_t flow = 1;

    (void)state;
    pair_open(QUEUES);
    many_open(end[0], from);
    many_open(end[1], to);
    while (flow_queue(flow) == 0)
        flow++;
    for (int kind = 0; kind < 6; kind++) {
        struct weir_pkt *pkt = side_flow_frame(&from[1], flow);
        uint8_t *ip = pkt->buf.data + 14;

        switch (kind) {
        case 0:
            pkt->buf.data[13] = 6;
            break; /* ARP */
        case 1:
            ip[9] = 1;
            break; /* ICMP */
        case 2:
            ip[6] = 0x20;
            break; /* the first fragment */
        case 3:
            ip[7] = 1;
            break; /* another one */
        case 4:
            pkt->buf.len = 14 + 23;
            break; /* cut off in the ports */
        default:
            pkt->buf.len = 13;
            break; /* ... in the Ethernet header */
        }
        side_send(&from[1], pkt);
        side_flush(&from[1]);
        assert_int_equal(side_drain(&to[0]), 1);
    }
    many_close(from);
    many_close(to);
    weir_dev_close(end[0]);
    weir_dev_close(end[1]);
}

static void test_tags_and_ip6_are_looked_through(void **state)
{
    static struct side from[QUEUES], to[QUEUES];
    static struct weir_toeplitz toeplitz;

    (void)state;
    weir_toeplitz_init(&toeplitz, weir_flow_key);
    pair_open(QUEUES);
    many_open(end[0], from);
    many_open(end[1], to);
    for (uint32_t flow = 0; flow < 64; flow++) {
        struct weir_pkt *pkt = side_frame(&from[0], flow, 18 + 40 + 20);
        uint8_t *at = pkt->buf.data + 12;
        uint32_t hash;

        memcpy(at, (uint8_t[6]){ 0x81, 0, 0, 5, 0x86, 0xdd }, 6);
        at[6] = 0x60;
        at[6 + 6] = 17;
        memcpy(at + 6 + 40, &flow, sizeof flow);
        hash = weir_toeplitz_bytes(&toeplitz, 0, at + 6 + 8, 36 - 4) ^
               weir_toeplitz_bytes(&toeplitz, 32, at + 6 + 40, 4);
        side_send(&from[0], pkt);
        side_flush(&from[0]);
        assert_int_equal(side_drain(&to[hash % WEIR_FLOW_TABLE % QUEUES]), 1);
    }
    many_close(from);
    many_close(to);
    weir_dev_close(end[0]);
    weir_dev_close(end[1]);
}

/* --- the end --- */

static void test_packets_wait_for_a_queue_that_opens_late(void **state)
{
    (void)state;
    pair_open(1);
    side_init(&a, 64);
    side_init(&b, 64);
    side_open(&a, end[0], 0);
    side_send(&a, side_frame(&a, 3, 60));
    side_flush(&a);
    side_open(&b, end[1], 0);
    assert_int_equal(side_drain(&b), 1);
    teardown(NULL);
}

static void test_what_is_sent_to_a_closed_queue_is_dropped(void **state)
{
    (void)state;
    setup(NULL);
    side_send(&a, side_frame(&a, 0, 60));
    side_flush(&a);
    side_close(&b);
    assert_int_equal(side_drain(&a), 0);
    assert_int_equal(a.pkts.pool.live, 0); /* what b had not taken has come home */
    send_many(&a, SLOTS);
    assert_int_equal(a.queue->stats.tx_dropped, SLOTS);
    assert_int_equal(side_room(&a), SLOTS); /* nothing to wait for */
    side_close(&a);
    weir_dev_close(end[1]);
    weir_dev_close(end[0]);
}

/* b still reads what a has sent when a, its pool and its end of the wire are gone. */
static void test_lent_bytes_outlive_their_sender(void **state)
{
    struct weir_pkt *kept;

    (void)state;
    setup(NULL);
    side_send(&a, side_frame(&a, 77, 60));
    side_send(&a, side_frame(&a, 78, 60));
    side_flush(&a);
    kept = take(&b);
    side_close(&a);
    weir_dev_close(end[0]);
    memset(&a, 0xee, sizeof a);
    assert_int_equal(frame_number(kept), 77);
    assert_int_equal(kept->buf.data[59], 77);
    weir_pkt_free(kept);
    kept = take(&b); /* and what was on the wire arrives */
    assert_int_equal(frame_number(kept), 78);
    weir_pkt_free(kept);
    side_send(&b, side_frame(&b, 0, 60));
    assert_int_equal(b.queue->stats.tx_dropped, 1);
    side_close(&b);
    weir_dev_close(end[1]);
}

static void test_a_loop_closes_with_packets_in_it(void **state)
{
    struct weir_pair_config config = { .queues = 1, .loop = true };

    (void)state;
    assert_int_equal(weir_pair_open(end, &config), 0);
    side_init(&a, 64);
    side_open(&a, end[0], 0);
    side_send(&a, side_frame(&a, 0, 60));
    side_flush(&a);
    side_send(&a, side_frame(&a, 1, 60)); /* not flushed */
    side_close(&a);
    weir_dev_close(end[0]);
}

/* --- two threads --- */

struct pump {
    struct side side;
    struct weir_dev *dev;
    uint64_t seed, frames, sent, got;
    _Atomic bool has_all;
    const _Atomic bool *other_has_all;
};

static uint32_t pump_len(uint32_t number)
{
    return 60 + number * 7919 % 1400;
}

static void pump_send(struct pump *p)
{
    uint64_t count = 1 + random_below(&p->seed, 40);

    for (uint64_t i = 0; i < count && p->sent < p->frames; i++) {
        struct weir_pkt *pkt;

        if (p->side.pkts.pool.live > 900) /* less than a ring: none must be lost */
            break;
        pkt = side_frame(&p->side, (uint32_t)p->sent, pump_len((uint32_t)p->sent));
        p->sent++;
        side_send(&p->side, pkt);
    }
    side_flush(&p->side);
}

static void pump_check(const struct weir_pkt *pkt, uint32_t number)
{
    if (frame_number(pkt) != number || pkt->buf.len != pump_len(number) ||
        pkt->buf.data[pkt->buf.len - 1] != (uint8_t)number)
        weir_panic("frame %u of %u bytes instead of frame %u", frame_number(pkt), pkt->buf.len,
                   number);
}

/* Holds on to some for a while, so that they go home in another order. */
static unsigned pump_receive(struct pump *p, struct weir_pkt *held[64])
{
    struct weir_pkt *pkts[WEIR_DEV_BURST];
    unsigned count = side_rx(&p->side, pkts, 1 + (unsigned)random_below(&p->seed, WEIR_DEV_BURST));

    for (unsigned i = 0; i < count; i++) {
        unsigned place = (unsigned)random_below(&p->seed, 64);

        pump_check(pkts[i], (uint32_t)p->got++);
        if (held[place])
            weir_pkt_free(held[place]);
        held[place] = pkts[i];
    }
    return count;
}

static void *pump_main(void *arg)
{
    struct pump *p = arg;
    struct weir_pkt *held[64] = { NULL };

    side_open(&p->side, p->dev, 0);
    while (p->got < p->frames || !*p->other_has_all) {
        pump_send(p);
        if (pump_receive(p, held) == 0)
            sched_yield();
        if (p->got == p->frames)
            p->has_all = true;
    }
    for (unsigned i = 0; i < 64; i++)
        if (held[i])
            weir_pkt_free(held[i]);
    side_close(&p->side);
    return NULL;
}

static void test_two_threads_lose_and_mix_nothing(void **state)
{
    static struct pump p[2];
    uint64_t seed = random_seed(), frames = random_rounds(200000, 4000000);
    pthread_t thread[2];

    (void)state;
    pair_open(1);
    for (unsigned i = 0; i < 2; i++) {
        p[i] = (struct pump){ .dev = end[i], .seed = seed + i, .frames = frames };
        side_init(&p[i].side, 4096);
        p[i].other_has_all = &p[1 - i].has_all;
    }
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, pump_main, &p[i]), 0);
    for (unsigned i = 0; i < 2; i++)
        pthread_join(thread[i], NULL);
    assert_int_equal(p[0].got, frames);
    assert_int_equal(p[1].got, frames);
    weir_dev_close(end[0]);
    weir_dev_close(end[1]);
}

/* One sends for ever, the other takes some and goes: whoever is first, nothing is touched that is
 * gone (ASan, TSan). */
struct leaver {
    struct side side;
    struct weir_dev *dev;
    uint64_t seed;
};

static void *leaver_main(void *arg)
{
    struct leaver *l = arg;
    uint64_t rounds = random_below(&l->seed, 200);
    struct weir_pkt *last[4] = { NULL };

    side_open(&l->side, l->dev, 0);
    for (uint64_t i = 0; i < rounds; i++) {
        struct weir_pkt *pkts[4];
        unsigned count = side_rx(&l->side, pkts, 4);

        for (unsigned k = 0; k < count; k++) {
            if (last[k])
                weir_pkt_free(last[k]);
            last[k] = pkts[k];
        }
        for (unsigned k = 0; k < 8 && l->side.pkts.pool.live < 500; k++)
            side_send(&l->side, side_frame(&l->side, (uint32_t)i, 60));
        side_flush(&l->side);
    }
    for (unsigned k = 0; k < 4; k++)
        if (last[k]) {
            assert_true(last[k]->buf.data[20] == (uint8_t)frame_number(last[k]));
            weir_pkt_free(last[k]);
        }
    side_close(&l->side);
    weir_dev_close(l->dev);
    return NULL;
}

static void test_ends_close_in_any_order(void **state)
{
    static struct leaver l[2];
    uint64_t seed = random_seed(), rounds = random_rounds(300, 5000);
    pthread_t thread[2];

    (void)state;
    for (uint64_t round = 0; round < rounds; round++) {
        pair_open(1);
        for (unsigned i = 0; i < 2; i++) {
            side_init(&l[i].side, 2048);
            l[i].dev = end[i];
            l[i].seed = random_next(&seed);
        }
        for (unsigned i = 0; i < 2; i++)
            assert_int_equal(pthread_create(&thread[i], NULL, leaver_main, &l[i]), 0);
        for (unsigned i = 0; i < 2; i++)
            pthread_join(thread[i], NULL);
    }
}

/* A sleeper that looks once more after it has said so, as shards do: no wake-up is lost. */
struct sleeper {
    struct side side;
    struct weir_dev *dev;
    uint64_t frames, got;
};

static void *sleeper_main(void *arg)
{
    struct sleeper *s = arg;
    unsigned heard = 0;

    side_open(&s->side, s->dev, 0);
    while (s->got < s->frames) {
        s->got += side_drain(&s->side);
        atomic_store_explicit(&s->side.shard.asleep, true, memory_order_relaxed);
        atomic_thread_fence(memory_order_seq_cst);
        if (side_next(&s->side) == WEIR_NEVER && s->got < s->frames) {
            for (unsigned tries = 0; s->side.wakes == heard; tries++) {
                if (tries > 20000000)
                    weir_panic("a wake-up was lost after %llu frames", (unsigned long long)s->got);
                sched_yield();
            }
            heard = s->side.wakes;
        }
        atomic_store_explicit(&s->side.shard.asleep, false, memory_order_relaxed);
    }
    side_close(&s->side);
    return NULL;
}

static void test_no_wake_up_is_lost(void **state)
{
    static struct sleeper s;
    uint64_t seed = random_seed();
    pthread_t thread;

    (void)state;
    pair_open(1);
    s = (struct sleeper){ .dev = end[1], .frames = random_rounds(20000, 500000) };
    side_init(&s.side, 4096);
    side_init(&a, 4096);
    side_open(&a, end[0], 0);
    assert_int_equal(pthread_create(&thread, NULL, sleeper_main, &s), 0);
    for (uint64_t sent = 0; sent < s.frames;) {
        if (a.pkts.pool.live < 900) {
            side_send(&a, side_frame(&a, (uint32_t)sent++, 60));
            side_flush(&a);
        } else {
            sched_yield();
        }
        side_drain(&a);
        for (uint64_t pause = random_below(&seed, 8); pause > 0; pause--)
            sched_yield();
    }
    pthread_join(thread, NULL);
    assert_int_equal(s.got, s.frames);
    side_close(&a);
    weir_dev_close(end[0]);
    weir_dev_close(end[1]);
}

#define WITH_PAIR(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_PAIR(test_packets_arrive_in_order_after_the_flush),
        WITH_PAIR(test_bytes_are_not_copied_and_come_home),
        WITH_PAIR(test_the_sender_may_move_its_start),
        WITH_PAIR(test_what_nobody_else_has_may_be_written),
        WITH_PAIR(test_views_are_read_only),
        WITH_PAIR(test_what_was_received_can_be_sent_back),
        WITH_PAIR(test_room_is_told),
        WITH_PAIR(test_room_is_less_what_is_held),
        WITH_PAIR(test_patience_has_an_end),
        WITH_PAIR(test_a_full_ring_drops_and_counts),
        WITH_PAIR(test_a_receiver_that_keeps_all_stops_nobody),
        WITH_PAIR(test_without_descriptors_what_comes_is_dropped),
        WITH_PAIR(test_frames_beyond_the_mtu_are_dropped),
        WITH_PAIR(test_next_is_now_while_packets_wait),
        WITH_PAIR(test_only_a_sleeper_is_woken_once_per_flush),
        WITH_PAIR(test_a_queue_opens_once),
        cmocka_unit_test(test_bounds_of_the_configuration),
        cmocka_unit_test(test_flows_come_in_on_their_queue),
        cmocka_unit_test(test_a_loop_does_the_same_with_one_end),
        cmocka_unit_test(test_misdirected_packets_come_in_anywhere),
        cmocka_unit_test(test_what_is_no_flow_goes_to_queue_0),
        cmocka_unit_test(test_tags_and_ip6_are_looked_through),
        cmocka_unit_test(test_packets_wait_for_a_queue_that_opens_late),
        cmocka_unit_test(test_what_is_sent_to_a_closed_queue_is_dropped),
        cmocka_unit_test(test_lent_bytes_outlive_their_sender),
        cmocka_unit_test(test_a_loop_closes_with_packets_in_it),
        cmocka_unit_test(test_two_threads_lose_and_mix_nothing),
        cmocka_unit_test(test_ends_close_in_any_order),
        cmocka_unit_test(test_no_wake_up_is_lost),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
