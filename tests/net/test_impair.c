/* test_impair.c - faults in front of a device: each alone, by count and by the clock, and their
 * text form.
 *
 * Frames go from `a`, through the faults, to `b`, whose device has none; and back. */
#include "dev_bench.h"
#include <errno.h>

enum { FRAMES = 10000, LEN = 100 };

static struct weir_dev *faulty, *plain;
static struct side a, b;
static uint8_t seen[2 * FRAMES]; /* times each arrived */

static void bench_open(const char *text, uint64_t seed)
{
    struct weir_pair_config config = { .queues = 1 };
    struct weir_impair impair;
    struct weir_dev *end[2];
    char why[160] = "";

    if (weir_impair_parse(&impair, text, why, sizeof why) != 0)
        fail_msg("%s", why);
    assert_int_equal(weir_pair_open(end, &config), 0);
    assert_int_equal(weir_impair_open(&faulty, end[0], &impair, seed), 0);
    plain = end[1];
    side_init(&a, 40000);
    side_init(&b, 40000);
    side_open(&a, faulty, 0);
    side_open(&b, plain, 0);
    memset(seen, 0, sizeof seen);
}

static void bench_close(void)
{
    side_close(&a);
    side_close(&b);
    weir_dev_close(faulty);
    weir_dev_close(plain);
}

static void bench_at(weir_time now)
{
    a.shard.now = b.shard.now = WEIR_SEC(1) + now;
}

/* What has arrived at `to`, marked in `seen`; how many. */
static unsigned take_all(struct side *to)
{
    struct weir_pkt *pkts[WEIR_DEV_BURST];
    unsigned count, all = 0;

    while ((count = side_rx(to, pkts, WEIR_DEV_BURST)) > 0) {
        for (unsigned i = 0; i < count; i++) {
            if (frame_number(pkts[i]) < WEIR_COUNT(seen))
                seen[frame_number(pkts[i])]++;
            weir_pkt_free(pkts[i]);
        }
        all += count;
    }
    return all;
}

/* Sends so many frames one by one; how many arrive before the clock moves. */
static unsigned pass(struct side *from, struct side *to, uint32_t frames)
{
    unsigned got = 0;

    for (uint32_t i = 0; i < frames; i++) {
        side_send(from, side_frame(from, i, LEN));
        side_flush(from);
        got += take_all(to);
    }
    return got;
}

/* --- chances --- */

static void test_nothing_set_changes_nothing(void **state)
{
    (void)state;
    bench_open("loss=0%,duplicate=0%,reorder=0%,corrupt=0%,delay=0", 1);
    assert_int_equal(pass(&a, &b, FRAMES), FRAMES);
    assert_int_equal(pass(&b, &a, FRAMES), FRAMES);
    assert_true(side_next(&a) == WEIR_NEVER);
    assert_int_equal(a.queue->stats.tx_packets, FRAMES);
    assert_int_equal(a.queue->stats.rx_packets, FRAMES);
    assert_int_equal(a.queue->stats.rx_bytes, FRAMES * LEN);
    bench_close();
}

static void test_loss(void **state)
{
    unsigned got;

    (void)state;
    bench_open("loss=10%", 1);
    got = pass(&a, &b, FRAMES);
    assert_in_range(got, FRAMES * 88 / 100, FRAMES * 92 / 100);
    assert_int_equal(a.queue->stats.tx_dropped, FRAMES - got);
    got = pass(&b, &a, FRAMES);
    assert_in_range(got, FRAMES * 88 / 100, FRAMES * 92 / 100);
    assert_int_equal(a.queue->stats.rx_dropped, FRAMES - got);
    bench_close();
    bench_open("loss=100%", 1);
    assert_int_equal(pass(&a, &b, FRAMES), 0);
    assert_int_equal(pass(&b, &a, FRAMES), 0);
    side_rx(&b, &(struct weir_pkt *){ NULL }, 1);
    assert_int_equal(a.pkts.pool.live, 0);
    bench_close();
}

static void test_a_direction_alone(void **state)
{
    (void)state;
    bench_open("loss=100%,dir=tx", 1);
    assert_int_equal(pass(&a, &b, 100), 0);
    assert_int_equal(pass(&b, &a, 100), 100);
    bench_close();
    bench_open("loss=100%,dir=rx", 1);
    assert_int_equal(pass(&a, &b, 100), 100);
    assert_int_equal(pass(&b, &a, 100), 0);
    bench_close();
}

static void test_duplicate(void **state)
{
    unsigned got;

    (void)state;
    bench_open("duplicate=5%", 1);
    got = pass(&a, &b, FRAMES);
    assert_in_range(got, FRAMES * 104 / 100, FRAMES * 106 / 100);
    for (uint32_t i = 0; i < FRAMES; i++)
        assert_in_range(seen[i], 1, 2);
    bench_close();
    bench_open("duplicate=100%", 1);
    assert_int_equal(pass(&a, &b, FRAMES), 2 * FRAMES);
    assert_int_equal(pass(&b, &a, FRAMES), 2 * FRAMES);
    bench_close();
}

/* Frames whose successor came before them. */
static unsigned count_late(uint32_t frames, unsigned *latest)
{
    struct weir_pkt *pkts[WEIR_DEV_BURST];
    unsigned late = 0, count;
    uint32_t top = 0, got = 0;

    *latest = 0;
    for (uint32_t i = 0; i < frames; i++) {
        side_send(&a, side_frame(&a, i, LEN));
        side_flush(&a);
        count = side_rx(&b, pkts, WEIR_DEV_BURST);
        for (unsigned k = 0; k < count; k++) {
            uint32_t number = frame_number(pkts[k]);

            if (number < top) {
                late++;
                *latest = (unsigned)weir_max_u64(*latest, top - number);
            }
            top = number > top ? number : top;
            weir_pkt_free(pkts[k]);
            got++;
        }
    }
    assert_in_range(frames - got, 0, 8); /* the last are still held back */
    return late;
}

static void test_reorder(void **state)
{
    unsigned late, latest;

    (void)state;
    bench_open("reorder=10%", 1);
    late = count_late(FRAMES, &latest);
    assert_in_range(late, FRAMES * 9 / 100, FRAMES * 11 / 100);
    assert_in_range(latest, 4, 20);
    bench_close();
}

/* With nobody to pass it, it goes on after 10 ms: the last segment of a flow is not lost. */
static void test_what_is_held_back_is_not_forgotten(void **state)
{
    (void)state;
    bench_open("reorder=100%", 1);
    assert_int_equal(pass(&a, &b, 20), 0);
    assert_true(side_next(&a) == a.shard.now + WEIR_MS(10));
    bench_at(WEIR_MS(10) - 1);
    side_flush(&a);
    assert_int_equal(take_all(&b), 0);
    bench_at(WEIR_MS(10));
    assert_true(side_next(&a) == a.shard.now);
    side_flush(&a);
    assert_int_equal(take_all(&b), 20);
    assert_true(side_next(&a) == WEIR_NEVER);
    bench_close();
}

static unsigned bits_wrong(const struct weir_pkt *pkt)
{
    unsigned bits = 0;
    uint32_t number = 5;

    for (uint32_t i = 0; i < pkt->buf.len; i++) {
        uint8_t want = i == 12 ? 0x88 : i == 13 ? 0xb5 : 5;

        if (i >= 14 && i < 18)
            memcpy(&want, (uint8_t *)&number + i - 14, 1);
        bits += (unsigned)__builtin_popcount(pkt->buf.data[i] ^ want);
        if (i < 14)
            assert_int_equal(pkt->buf.data[i], want); /* or it would only be lost */
    }
    return bits;
}

static void test_corrupt_flips_one_bit_in_a_copy(void **state)
{
    struct weir_pkt *pkt, *sent;
    unsigned wrong = 0;

    (void)state;
    bench_open("corrupt=10%", 1);
    sent = side_frame(&a, 5, LEN);
    for (unsigned i = 0; i < FRAMES; i++) {
        weir_buf_ref(&sent->buf); /* stays, to be sent again */
        side_send(&a, sent);
        side_flush(&a);
        assert_int_equal(side_rx(&b, &pkt, 1), 1);
        assert_in_range(bits_wrong(pkt), 0, 1);
        wrong += bits_wrong(pkt);
        weir_pkt_free(pkt);
    }
    assert_int_equal(bits_wrong(sent), 0);
    assert_in_range(wrong, FRAMES * 9 / 100, FRAMES * 11 / 100);
    weir_pkt_free(sent);
    bench_close();
}

static void test_corrupt_always_and_both_ways(void **state)
{
    struct weir_pkt *pkt, *sent;

    (void)state;
    bench_open("corrupt=100%", 1);
    sent = side_frame(&b, 5, LEN);
    weir_buf_ref(&sent->buf);
    side_send(&b, sent);
    side_flush(&b);
    assert_int_equal(side_rx(&a, &pkt, 1), 1);
    assert_int_equal(bits_wrong(pkt), 1);
    assert_int_equal(bits_wrong(sent), 0);
    weir_pkt_free(pkt);
    side_rx(&a, &pkt, 1);
    weir_pkt_free(sent);
    bench_close();
}

static void test_a_view_is_damaged_in_a_copy_too(void **state)
{
    struct weir_pkt *sent, *pkt;

    (void)state;
    bench_open("corrupt=100%,delay=1ms", 1);
    sent = side_frame(&a, 5, LEN);
    side_send(&a, weir_pkt_view(&a.pkts, sent, sent->buf.data, LEN));
    assert_int_equal(bits_wrong(sent), 0);
    bench_at(WEIR_MS(1));
    side_flush(&a);
    assert_int_equal(side_rx(&b, &pkt, 1), 1);
    assert_int_equal(bits_wrong(pkt), 1);
    assert_int_equal(sent->buf.refs, 1);
    weir_pkt_free(pkt);
    weir_pkt_free(sent);
    bench_close();
}

/* --- time --- */

static void test_delay(void **state)
{
    (void)state;
    bench_open("delay=20ms", 1);
    assert_int_equal(pass(&a, &b, 10), 0);
    assert_true(side_next(&a) == a.shard.now + WEIR_MS(20));
    bench_at(WEIR_MS(20) - 1);
    side_flush(&a);
    assert_int_equal(take_all(&b), 0);
    bench_at(WEIR_MS(20));
    assert_true(side_next(&a) == a.shard.now);
    assert_int_equal(take_all(&a), 0); /* asking is enough to send them on */
    assert_int_equal(take_all(&b), 10);
    bench_close();
}

static void test_delay_on_the_way_in(void **state)
{
    (void)state;
    bench_open("delay=20ms", 1);
    assert_int_equal(pass(&b, &a, 10), 0);
    bench_at(WEIR_MS(20) - 1);
    assert_int_equal(take_all(&a), 0);
    bench_at(WEIR_MS(20));
    assert_int_equal(take_all(&a), 10);
    assert_true(side_next(&a) == WEIR_NEVER);
    bench_close();
}

/* The sender goes on with a packet that waits: what was sent is what it was then. */
static void test_what_waits_is_copied_when_it_is_shared(void **state)
{
    struct weir_pkt *sent, *pkt;

    (void)state;
    bench_open("delay=1ms", 1);
    sent = side_frame(&a, 9, LEN);
    weir_buf_ref(&sent->buf);
    side_send(&a, sent);
    assert_int_equal(sent->buf.refs, 1);
    memset(sent->buf.data, 0, LEN);
    bench_at(WEIR_MS(1));
    side_flush(&a);
    assert_int_equal(side_rx(&b, &pkt, 1), 1);
    assert_int_equal(frame_number(pkt), 9);
    weir_pkt_free(pkt);
    weir_pkt_free(sent);
    bench_close();
}

static void test_jitter_spreads_but_nothing_overtakes(void **state)
{
    weir_time first = WEIR_NEVER, last = 0;
    uint32_t next = 0;

    (void)state;
    bench_open("delay=10ms,jitter=4ms", 1);
    for (uint32_t i = 0; i < 200; i++) {
        weir_time now = (weir_time)i * WEIR_MS(20), due;
        struct weir_pkt *pkt;

        bench_at(now);
        side_send(&a, side_frame(&a, i, LEN));
        due = side_next(&a) - a.shard.now;
        first = due < first ? due : first;
        last = due > last ? due : last;
        bench_at(now + due);
        side_flush(&a);
        assert_int_equal(side_rx(&b, &pkt, 1), 1);
        assert_int_equal(frame_number(pkt), next++);
        weir_pkt_free(pkt);
    }
    assert_in_range(first, WEIR_MS(6), WEIR_MS(6) + WEIR_US(300));
    assert_in_range(last, WEIR_MS(14) - WEIR_US(300), WEIR_MS(14));
    bench_close();
}

static void test_jitter_within_a_burst_keeps_order(void **state)
{
    struct weir_pkt *pkts[WEIR_DEV_BURST];

    (void)state;
    bench_open("delay=10ms,jitter=10ms", 3);
    for (uint32_t i = 0; i < WEIR_DEV_BURST; i++)
        side_send(&a, side_frame(&a, i, LEN));
    bench_at(WEIR_MS(20));
    side_flush(&a);
    assert_int_equal(side_rx(&b, pkts, WEIR_DEV_BURST), WEIR_DEV_BURST);
    for (uint32_t i = 0; i < WEIR_DEV_BURST; i++) {
        assert_int_equal(frame_number(pkts[i]), i);
        weir_pkt_free(pkts[i]);
    }
    bench_close();
}

/* 100 bytes take 1 ms at 800 kbit/s. */
static void test_rate(void **state)
{
    (void)state;
    bench_open("rate=800kbit", 1);
    assert_int_equal(pass(&a, &b, 10), 0);
    for (int ms = 1; ms <= 10; ms++) {
        bench_at(WEIR_MS(ms) - 1);
        side_flush(&a);
        assert_int_equal(take_all(&b), 0);
        bench_at(WEIR_MS(ms));
        side_flush(&a);
        assert_int_equal(take_all(&b), 1);
    }
    bench_at(WEIR_MS(50)); /* idle time is not saved up */
    assert_int_equal(pass(&a, &b, 1), 0);
    bench_at(WEIR_MS(51));
    side_flush(&a);
    assert_int_equal(take_all(&b), 1);
    bench_close();
}

static void test_the_queue_before_the_rate_is_bounded(void **state)
{
    (void)state;
    bench_open("rate=800kbit,queue=2k", 1);
    pass(&a, &b, 20); /* 2,000 of 2,048 bytes */
    assert_int_equal(a.queue->stats.tx_dropped, 0);
    side_send(&a, side_frame(&a, 0, 48));
    assert_int_equal(a.queue->stats.tx_dropped, 0);
    side_send(&a, side_frame(&a, 0, 18));
    assert_int_equal(a.queue->stats.tx_dropped, 1);
    bench_at(WEIR_MS(1)); /* 100 bytes less */
    side_send(&a, side_frame(&a, 0, 101));
    assert_int_equal(a.queue->stats.tx_dropped, 2);
    side_send(&a, side_frame(&a, 0, 100));
    assert_int_equal(a.queue->stats.tx_dropped, 2);
    bench_close();
}

static void test_what_waits_is_bounded_by_number(void **state)
{
    (void)state;
    bench_open("delay=1s", 1);
    pass(&a, &b, 16384);
    assert_int_equal(a.queue->stats.tx_dropped, 0);
    pass(&a, &b, 1);
    assert_int_equal(a.queue->stats.tx_dropped, 1);
    bench_at(WEIR_SEC(1));
    for (unsigned got = 0; got < 1024; got += take_all(&b))
        side_flush(&a); /* the wire takes 1,024 at a time, and drops the rest */
    pass(&a, &b, 1);
    assert_int_equal(a.queue->stats.tx_dropped, 1);
    bench_close();
}

static void test_closing_drops_what_is_on_its_way(void **state)
{
    (void)state;
    bench_open("delay=1s,reorder=50%", 1);
    pass(&a, &b, 100);
    pass(&b, &a, 100);
    bench_close(); /* weir_pkts_free checks that all have come back */
}

/* --- the same again --- */

static uint64_t fingerprint(uint64_t seed)
{
    uint64_t sum = 0;

    bench_open("loss=5%,duplicate=5%,reorder=5%,corrupt=5%,delay=1ms,jitter=1ms,rate=10mbit", seed);
    for (uint32_t i = 0; i < 2000; i++) {
        struct weir_pkt *pkts[WEIR_DEV_BURST];
        unsigned count;

        bench_at((weir_time)i * WEIR_US(90));
        side_send(&a, side_frame(&a, i, LEN));
        side_flush(&a);
        count = side_rx(&b, pkts, WEIR_DEV_BURST);
        for (unsigned k = 0; k < count; k++) {
            for (uint32_t at = 0; at < pkts[k]->buf.len; at++)
                sum = sum * 31 + pkts[k]->buf.data[at];
            weir_pkt_free(pkts[k]);
        }
        sum = sum * 31 + count;
    }
    bench_close();
    return sum;
}

static void test_one_seed_is_one_run(void **state)
{
    (void)state;
    assert_true(fingerprint(1) == fingerprint(1));
    assert_true(fingerprint(2) == fingerprint(2));
    assert_true(fingerprint(1) != fingerprint(2));
}

static void test_capabilities_that_would_undo_faults_are_hidden(void **state)
{
    struct weir_dev below = { .caps = 31, .mtu = 1400, .name = "nic" };
    struct weir_impair impair = { .rx = true };
    struct weir_dev *dev;

    (void)state;
    assert_int_equal(weir_impair_open(&dev, &below, &impair, 1), 0);
    assert_int_equal(dev->caps, 31);
    assert_int_equal(dev->mtu, 1400);
    assert_string_equal(dev->name, "nic, impaired");
    free(dev);
    impair.tx = true;
    assert_int_equal(weir_impair_open(&dev, &below, &impair, 1), 0);
    assert_int_equal(dev->caps, 31 & ~(WEIR_DEV_TX_L4_CSUM | WEIR_DEV_TX_TSO));
    free(dev);
}

/* --- text --- */

static void test_all_options_are_read(void **state)
{
    struct weir_impair impair;
    char why[160];

    (void)state;
    assert_int_equal(weir_impair_parse(&impair,
                                       "loss=1%,delay=20ms,jitter=5ms,duplicate=0.1%,reorder=2%,"
                                       "corrupt=0.000001%,rate=100mbit,queue=64k,dir=tx",
                                       why, sizeof why),
                     0);
    assert_true(impair.loss == 0.01 && impair.duplicate == 0.001 && impair.reorder == 0.02);
    assert_true(impair.corrupt > 0.99e-8 && impair.corrupt < 1.01e-8);
    assert_true(impair.delay == WEIR_MS(20) && impair.jitter == WEIR_MS(5));
    assert_true(impair.rate == 100000000 && impair.queue == 65536);
    assert_true(impair.tx && !impair.rx);
    assert_int_equal(weir_impair_parse(&impair, "loss=100%", why, sizeof why), 0);
    assert_true(impair.loss == 1 && impair.queue == 256 << 10 && impair.rx && impair.tx);
    assert_int_equal(weir_impair_parse(&impair, "dir=both", why, sizeof why), 0);
    assert_true(impair.rx && impair.tx && impair.loss == 0);
}

static void test_bounds_of_values(void **state)
{
    static const char *const good[] = { "loss=0%",      "loss=100.0%",   "delay=60s", "jitter=0",
                                        "rate=1000bit", "rate=1000gbit", "queue=2k",  "queue=1g",
                                        "rate=1kbit",   "dir=rx" };
    static const char *const bad[] = { "loss=100.1%",
                                       "loss=101%",
                                       "loss=1",
                                       "loss=.5%",
                                       "loss=1.%",
                                       "loss=-1%",
                                       "loss=0.0000001%",
                                       "loss=",
                                       "loss=1%%",
                                       "delay=60001ms",
                                       "delay=5",
                                       "jitter=-1ms",
                                       "rate=999bit",
                                       "rate=1001gbit",
                                       "rate=1mb",
                                       "rate=99999999999999999999bit",
                                       "queue=2047",
                                       "queue=1073741825",
                                       "dir=up",
                                       "dir=",
                                       "delay=1234567890123456789012345678901234567890ms" };
    struct weir_impair impair;
    char why[160];

    (void)state;
    for (size_t i = 0; i < WEIR_COUNT(good); i++)
        if (weir_impair_parse(&impair, good[i], why, sizeof why) != 0)
            fail_msg("%s: %s", good[i], why);
    for (size_t i = 0; i < WEIR_COUNT(bad); i++)
        if (weir_impair_parse(&impair, bad[i], why, sizeof why) != -EINVAL)
            fail_msg("%s was accepted", bad[i]);
}

static void refuses(const char *text, const char *line)
{
    struct weir_impair impair = { .queue = 7 };
    char why[160];

    assert_int_equal(weir_impair_parse(&impair, text, why, sizeof why), -EINVAL);
    assert_string_equal(why, line);
    assert_int_equal(impair.queue, 7);
}

static void test_refusals_say_what_would_do(void **state)
{
    static const char none[] = "is none of loss=, duplicate=, reorder=, corrupt=, delay=, jitter=, "
                               "rate=, queue=, dir=";
    static const char *const unknown[] = { "", "loss", "los=1%", "lossy=1%", "loss=1%,", "=1%" };
    static const char *const named[] = { "", "loss", "los=1%", "lossy=1%", "", "=1%" };
    char line[160];

    (void)state;
    refuses("loss=5", "impair: loss=5: loss is a percentage such as 1% or 0.05%");
    refuses("delay=5", "impair: delay=5: delay is a time of up to 60s such as 20ms");
    refuses("loss=1%,rate=5mb",
            "impair: rate=5mb: rate is from 1kbit to 1000gbit, such as 100mbit");
    refuses("queue=1", "impair: queue=1: queue is from 2k to 1g bytes, such as 64k");
    refuses("dir=up", "impair: dir=up: dir is rx, tx or both");
    refuses("loss=1%,delay=1ms,loss=1%", "impair: loss is given twice");
    for (size_t i = 0; i < WEIR_COUNT(unknown); i++) {
        snprintf(line, sizeof line, "impair: '%s' %s", named[i], none);
        refuses(unknown[i], line);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_set_changes_nothing),
        cmocka_unit_test(test_loss),
        cmocka_unit_test(test_a_direction_alone),
        cmocka_unit_test(test_duplicate),
        cmocka_unit_test(test_reorder),
        cmocka_unit_test(test_what_is_held_back_is_not_forgotten),
        cmocka_unit_test(test_corrupt_flips_one_bit_in_a_copy),
        cmocka_unit_test(test_corrupt_always_and_both_ways),
        cmocka_unit_test(test_a_view_is_damaged_in_a_copy_too),
        cmocka_unit_test(test_delay),
        cmocka_unit_test(test_delay_on_the_way_in),
        cmocka_unit_test(test_what_waits_is_copied_when_it_is_shared),
        cmocka_unit_test(test_jitter_spreads_but_nothing_overtakes),
        cmocka_unit_test(test_jitter_within_a_burst_keeps_order),
        cmocka_unit_test(test_rate),
        cmocka_unit_test(test_the_queue_before_the_rate_is_bounded),
        cmocka_unit_test(test_what_waits_is_bounded_by_number),
        cmocka_unit_test(test_closing_drops_what_is_on_its_way),
        cmocka_unit_test(test_one_seed_is_one_run),
        cmocka_unit_test(test_capabilities_that_would_undo_faults_are_hidden),
        cmocka_unit_test(test_all_options_are_read),
        cmocka_unit_test(test_bounds_of_values),
        cmocka_unit_test(test_refusals_say_what_would_do),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
