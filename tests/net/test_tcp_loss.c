/* test_tcp_loss.c - the send side against a receiver and a network that are both made of a few
 * lines: loss, reordering, duplication, delay, windows that shut and open, with and without SACK
 * and timestamps.  All bytes arrive, in every seed. */
#include "tcp_send_rig.h"

enum { TOTAL_MAX = 400000, EVENTS = 8192, MSS = 1460 };

struct event {
    weir_time at;
    bool ack; /* to the sender */
    uint32_t seq, len, window, ts_val, ts_ecr, sacks;
    bool fin;
    weir_seq sack[3][2];
};

static struct {
    uint64_t random;
    uint32_t total, pushed;
    double loss;
    weir_time delay, jitter;
    struct event event[EVENTS];
    unsigned events;
    /* the receiver; by offsets */
    bool got[TOTAL_MAX + 1]; /* the last one is the FIN */
    uint32_t next, highest, buffer, unread, ts_recent;
    unsigned unacked;
    weir_time ack_at;
    uint32_t latest; /* came last out of order */
} net;

static bool net_chance(double chance)
{
    return (double)random_below(&net.random, 1000000) < chance * 1e6;
}

static void net_add(struct event *event)
{
    weir_time spread = net.jitter ? (weir_time)random_below(&net.random, (uint64_t)net.jitter) : 0;

    if (net_chance(net.loss))
        return;
    event->at = rig_now.shard.now + net.delay + spread;
    assert_true(net.events < EVENTS);
    net.event[net.events++] = *event;
}

static uint32_t net_run_end(uint32_t at)
{
    while (at <= net.total && net.got[at])
        at++;
    return at;
}

/* The run around the latest first, then from the lowest (RFC 2018 4, more or less). */
static unsigned net_sacks(struct event *ack)
{
    uint32_t at = net.next;
    unsigned count = 0;

    if (net.latest > net.next && net.got[net.latest]) {
        uint32_t begin = net.latest;

        while (net.got[begin - 1])
            begin--;
        ack->sack[0][0] = begin;
        ack->sack[0][1] = net_run_end(net.latest);
        count = 1;
    }
    while (count < 3 && at < net.highest) {
        while (at < net.highest && !net.got[at])
            at++;
        if (at >= net.highest)
            break;
        if (count == 0 || ack->sack[0][0] != at) {
            ack->sack[count][0] = at;
            ack->sack[count][1] = net_run_end(at);
            count++;
        }
        at = net_run_end(at);
    }
    for (unsigned i = 0; i < count; i++)
        for (unsigned j = 0; j < 2; j++)
            if (ack->sack[i][j] > net.total) /* a FIN out of order is not told */
                ack->sack[i][j] = net.total;
    return count;
}

static void net_ack(void)
{
    struct event ack = { .ack = true, .seq = net.next, .ts_ecr = net.ts_recent };

    net.unacked = 0;
    net.ack_at = WEIR_NEVER;
    ack.window = net.buffer - net.unread;
    if (rig_now.tcp.flags & WEIR_TCP_SACK)
        ack.sacks = net_sacks(&ack);
    net_add(&ack);
}

static void net_receive(const struct event *event)
{
    uint32_t before = net.next, end = event->seq + event->len;
    bool ooo = event->seq > net.next || net.highest > net.next;

    if (end > net.next + net.buffer - net.unread && event->len > 0) { /* outside of the window */
        net_ack();
        return;
    }
    if (event->seq <= net.next)
        net.ts_recent = event->ts_val;
    if (event->len && event->seq > net.next)
        net.latest = event->seq;
    for (uint32_t i = event->seq; i < end; i++)
        net.got[i] = true;
    if (event->fin)
        net.got[net.total] = true;
    if (end > net.highest)
        net.highest = end;
    net.next = net_run_end(net.next);
    net.unread +=
        (net.next > net.total ? net.total : net.next) - (before > net.total ? net.total : before);
    if (ooo || net.next == before || ++net.unacked >= 2 || net.next > net.total)
        net_ack();
    else if (net.ack_at == WEIR_NEVER)
        net.ack_at = rig_now.shard.now + WEIR_MS(40);
}

static void net_sent(struct rig *rig, const struct rig_segment *segment)
{
    struct event event = { .seq = segment->seq - rig_seq(rig, 0), .len = segment->len };

    if (segment->len == 0 && !(segment->flags & WEIR_FIN))
        return;
    event.fin = segment->flags & WEIR_FIN;
    event.ts_val = segment->ts_val;
    for (uint32_t i = 0; i < event.len; i++)
        assert_int_equal(segment->data[i], rig_byte(event.seq + i));
    if (event.fin)
        assert_int_equal(event.seq + event.len, net.total);
    net_add(&event);
    if (net_chance(net.loss / 4))
        net_add(&event);
}

/* The user sends on whenever there is room, and ends when all is queued. */
static void net_push(struct rig *rig)
{
    while (net.pushed < net.total) {
        uint32_t want = (uint32_t)random_below(&net.random, 20000) + 1, taken;

        if (want > net.total - net.pushed)
            want = net.total - net.pushed;
        taken = rig_queue(rig, want);
        net.pushed += taken;
        if (taken < want)
            return;
    }
    if (rig->tcp.state != WEIR_TCP_ESTABLISHED)
        return;
    rig->tcp.state = WEIR_TCP_FIN_WAIT_1;
    rig->tcp.flags |= WEIR_TCP_FIN_QUEUED;
    weir_tcp_output_later(&rig->tcp);
}

static void net_to_sender(struct rig *rig, const struct event *event)
{
    weir_seq sack[3][2];

    for (unsigned i = 0; i < event->sacks; i++)
        for (unsigned j = 0; j < 2; j++)
            sack[i][j] = rig_seq(rig, event->sack[i][j]);
    assert_true(rig_ack_full(rig, rig_seq(rig, event->seq), event->window, event->ts_ecr,
                             (const weir_seq(*)[2])sack, event->sacks));
}

/* The first event, out of the list; false: there is none. */
static bool net_pop(struct event *event, weir_time until)
{
    unsigned first = 0;

    for (unsigned i = 1; i < net.events; i++)
        if (net.event[i].at < net.event[first].at)
            first = i;
    if (net.events == 0 || net.event[first].at > until)
        return false;
    *event = net.event[first];
    memmove(&net.event[first], &net.event[first + 1],
            (--net.events - first) * sizeof(struct event));
    return true;
}

/* The user of the receiver reads some; the window's opening is told, perhaps in vain. */
static void net_read(void)
{
    bool shut = net.buffer - net.unread < MSS;

    net.unread -= (uint32_t)random_below(&net.random, net.unread + 1);
    if (shut && net.buffer - net.unread >= MSS)
        net_ack();
}

static void net_run(uint64_t seed, bool verbose)
{
    uint32_t flags = WEIR_TCP_NODELAY;
    weir_time limit, step;
    struct event event;
    struct rig *rig;

    memset(&net, 0, sizeof net);
    net.random = seed;
    net.delay = (weir_time)random_below(&net.random, (uint64_t)WEIR_MS(50)) + 10000;
    net.jitter = net_chance(0.5) ? (weir_time)random_below(&net.random, (uint64_t)net.delay) : 0;
    net.buffer = net_chance(0.3) ? 4000 : 65535;
    flags |= net_chance(0.7) ? WEIR_TCP_SACK : 0;
    flags |= net_chance(0.5) ? WEIR_TCP_TS : 0;
    flags &= ~(net_chance(0.3) ? (uint32_t)WEIR_TCP_NODELAY : 0);
    rig = rig_open(flags, MSS, 2 * net.delay);
    net.loss = (double)random_below(&net.random, 15) / 100;
    net.total = (uint32_t)random_below(&net.random, TOTAL_MAX) + 1;
    net.ack_at = WEIR_NEVER;
    net.ts_recent = weir_tcp_ts(&rig->tcp);
    rig->layer.cc = rig->tcp.cc = net_chance(0.5) ? WEIR_CC_RENO : WEIR_CC_CUBIC;
    rig->tcp.snd_wnd = net.buffer;
    rig->tcp.conn.tx = (struct weir_io *)(void *)rig; /* somebody waits to send */
    rig->on_sent = net_sent;
    rig->on_writable = net_push;
    rig->new_mtu = 0;
    limit = rig->shard.now + WEIR_SEC(20000);
    net_push(rig);
    rig_output(rig);
    while (rig->tcp.snd_una != rig->tcp.snd_end + 1 || rig->tcp.state != WEIR_TCP_FIN_WAIT_1) {
        weir_time next = weir_wheel_next(&rig->shard.wheel);

        step = rig->shard.now + WEIR_MS(5);
        if (net_pop(&event, next < step ? next : step)) {
            rig_until(rig, event.at > rig->shard.now ? event.at : rig->shard.now);
            if (event.ack)
                net_to_sender(rig, &event);
            else
                net_receive(&event);
            continue;
        }
        rig_until(rig, step);
        if (net.ack_at <= rig->shard.now)
            net_ack();
        if (net_chance(0.3))
            net_read();
        if (net_chance(0.001) && rig->tcp.path.mtu > 600) { /* the path gets narrower */
            rig->new_mtu = (uint16_t)(rig->tcp.path.mtu - 100);
            rig->native.generation++;
            weir_tcp_output_later(&rig->tcp);
            rig_output(rig);
        }
        if (rig->ended != 1 || rig->shard.now > limit)
            fail_msg("WEIR_SEED=%llu: ended %d at %lld: %u of %u", (unsigned long long)seed,
                     rig->ended, (long long)rig->shard.now, net.next, net.total);
    }
    assert_int_equal(net.next, net.total + 1);
    assert_int_equal(rig->tcp.tx_count, 0);
    assert_int_equal(rig->tcp.sacked + rig->tcp.lost, 0);
    if (verbose)
        fprintf(stderr,
                "seed %llu: %u bytes, loss %.2f, delay %lld us: %lld ms, %llu again, %llu "
                "timeouts, %llu recoveries, %llu tlp, %llu spurious\n",
                (unsigned long long)seed, net.total, net.loss, (long long)net.delay / 1000,
                (long long)(rig->shard.now - WEIR_SEC(1000)) / 1000000,
                (unsigned long long)rig->native.stats.tcp_retransmits,
                (unsigned long long)rig->native.stats.tcp_timeouts,
                (unsigned long long)rig->native.stats.tcp_fast_recoveries,
                (unsigned long long)rig->native.stats.tcp_tlp,
                (unsigned long long)rig->native.stats.tcp_spurious);
    rig_close(rig);
}

static void test_all_bytes_arrive(void **state)
{
    uint64_t rounds = random_rounds(150, 3000);
    uint64_t seed = random_seed();

    (void)state;
    if (getenv("WEIR_SEED")) {
        net_run(seed, true);
        return;
    }
    for (uint64_t i = 0; i < rounds; i++) {
        fprintf(stderr, "%sWEIR_SEED=%llu", i ? "\r" : "", (unsigned long long)(seed + i));
        net_run(seed + i, getenv("VERBOSE") != NULL);
    }
    fprintf(stderr, "\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_all_bytes_arrive) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
