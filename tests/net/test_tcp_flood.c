/* test_tcp_flood.c - a good flow among bad ones: while SYNs, RSTs, random segments and mutated
 * copies of its own come in great numbers, it gets every byte in both directions, and the stack's
 * memory stays within its bounds.
 *
 * The good peer is played here, in order and without faults: what the flood does to it is all
 * there is.  One that the stack has reset or stalled fails the test. */
#include "tests/core/testing.h"
#include <errno.h>
#include "tests/net/tcp_live.c"

enum { FLOW_BYTES = 1 << 20, MSS = 1460, BAD_PER_ROUND = 32, IN_CHUNK = 1000 };

struct flood {
    struct live *live;
    uint64_t random;
    struct weir_listener *listener;
    struct weir_conn *conn;
    struct weir_io accept, recv, send;
    bool receiving, sending;
    uint8_t *out, in[65536];
    uint32_t sent, received;          /* by the user */
    uint32_t peer_seq, peer_ack, iss; /* of the good peer */
    uint32_t peer_window_end;         /* what the stack has allowed it */
    bool peer_wants_ack;
    uint64_t challenges, others; /* segments to others than the good peer */
};

static struct flood flood;

/* --- the good peer --- */

static struct live_segment good_segment(uint8_t flags)
{
    return (struct live_segment){ .sport = LIVE_PEER_PORT,
                                  .dport = LIVE_PORT,
                                  .seq = flood.peer_seq,
                                  .ack = flood.peer_ack,
                                  .flags = flags,
                                  .window = 60000,
                                  .wscale = 255 };
}

static void good_send(uint8_t flags)
{
    struct live_segment s = good_segment(flags);

    if (flags & WEIR_SYN)
        s.mss = MSS;
    live_in(flood.live, &s);
}

static void good_check_bytes(const struct live_segment *s)
{
    for (uint32_t i = 0; i < s->len; i++)
        live_check(s->data[i] == live_byte(s->seq - flood.iss - 1 + i));
}

/* What the stack sends to it. */
static void good_takes(struct live *live, const struct live_segment *s)
{
    uint32_t edge = s->ack + s->window;

    (void)live;
    if (!s->to_peer || s->dport != LIVE_PEER_PORT) {
        flood.others++;
        return;
    }
    live_check(!(s->flags & WEIR_RST));
    if (s->flags & WEIR_SYN) {
        flood.iss = s->seq;
        flood.peer_ack = s->seq + 1;
        return;
    }
    good_check_bytes(s);
    if ((int32_t)(edge - flood.peer_window_end) > 0)
        flood.peer_window_end = edge;
    if (s->len > 0 && s->seq == flood.peer_ack)
        flood.peer_ack += s->len;
    flood.peer_wants_ack |= s->len > 0;
}

/* Its next data, as far as the stack lets it. */
static void good_sends(uint32_t first)
{
    uint32_t offset = flood.peer_seq - first;
    struct live_segment s = good_segment(WEIR_ACK | WEIR_PSH);

    if (offset < FLOW_BYTES && (int32_t)(flood.peer_window_end - flood.peer_seq) >= IN_CHUNK) {
        s.len = FLOW_BYTES - offset < IN_CHUNK ? FLOW_BYTES - offset : IN_CHUNK;
        for (uint32_t i = 0; i < s.len; i++)
            s.data[i] = live_byte(offset + i);
        flood.peer_seq += s.len;
        live_in(flood.live, &s);
    } else if (flood.peer_wants_ack) {
        live_in(flood.live, &s);
    }
    flood.peer_wants_ack = false;
}

/* --- the user of the stack --- */

static void user_turn(void)
{
    if (flood.receiving && flood.recv.future.done) {
        live_check(flood.recv.future.result > 0);
        for (int64_t i = 0; i < flood.recv.future.result; i++)
            live_check(flood.in[i] == live_byte(flood.received + (uint32_t)i));
        flood.received += (uint32_t)flood.recv.future.result;
        flood.receiving = false;
    }
    if (!flood.receiving && flood.received < FLOW_BYTES) {
        weir_recv_start(&flood.recv, flood.conn, flood.in, sizeof flood.in);
        flood.receiving = true;
    }
    if (flood.sending && flood.send.future.done) {
        live_check(flood.send.future.result > 0);
        flood.sent += (uint32_t)flood.send.future.result;
        flood.sending = false;
    }
    if (!flood.sending && flood.sent < FLOW_BYTES) {
        uint32_t len = FLOW_BYTES - flood.sent < 20000 ? FLOW_BYTES - flood.sent : 20000;

        weir_send_start(&flood.send, flood.conn, flood.out + flood.sent, len);
        flood.sending = true;
    }
}

/* --- the flood --- */

static void bad_frame(const struct weir_ip *from, const struct live_segment *s)
{
    uint8_t frame[LIVE_FRAME] = { 0 };

    live_in_frame(flood.live, frame, live_frame_of(flood.live, frame, from, s));
}

static struct weir_ip bad_source(void)
{
    return weir_ip_v4(htonl(0x0a000000 + (uint32_t)random_below(&flood.random, 1 << 24)));
}

static void bad_syn(void)
{
    struct weir_ip from = bad_source();
    struct live_segment s = { .sport = (uint16_t)(1 + random_below(&flood.random, 65535)),
                              .dport = LIVE_PORT,
                              .seq = (uint32_t)random_next(&flood.random),
                              .flags = WEIR_SYN,
                              .window = 1000,
                              .wscale = 255,
                              .mss = 1460 };

    bad_frame(&from, &s);
}

/* Anywhere, or near the window; but not the one number that is right. */
static uint32_t bad_number(void)
{
    uint32_t number = (uint32_t)random_next(&flood.random);

    if (random_below(&flood.random, 4) == 0)
        number = flood.peer_seq - 100000 + (uint32_t)random_below(&flood.random, 200000);
    return number + (number == flood.peer_seq);
}

/* Blind: right addresses and ports, any number but the one that would be right. */
static void bad_rst(void)
{
    struct live_segment s = good_segment(WEIR_RST);

    s.seq = bad_number();
    bad_frame(&flood.live->peer, &s);
}

static void bad_blind_syn(void)
{
    struct live_segment s = good_segment(WEIR_SYN);

    s.seq = bad_number();
    bad_frame(&flood.live->peer, &s);
}

/* Any flags and numbers, of anybody. */
static void bad_random(void)
{
    struct weir_ip from = bad_source();
    struct live_segment s = { .sport = (uint16_t)random_next(&flood.random),
                              .dport = LIVE_PORT,
                              .seq = (uint32_t)random_next(&flood.random),
                              .ack = (uint32_t)random_next(&flood.random),
                              .flags = (uint8_t)random_next(&flood.random),
                              .window = (uint16_t)random_next(&flood.random),
                              .urgent = (uint16_t)random_next(&flood.random),
                              .wscale = 255,
                              .len = (uint32_t)random_below(&flood.random, 1000) };

    for (uint32_t i = 0; i < s.len; i++)
        s.data[i] = (uint8_t)random_next(&flood.random);
    bad_frame(&from, &s);
}

/* A segment of the good flow, as it would be damaged on the way: some bits of the frame flipped
 * behind the Ethernet header, at most 16 of them within 16 bits, which every checksum sees. */
static void bad_mutated(void)
{
    uint8_t frame[LIVE_FRAME] = { 0 };
    struct live_segment s = good_segment(WEIR_ACK);
    size_t len, at;

    s.len = 100;
    len = live_frame_of(flood.live, frame, &flood.live->peer, &s);
    at = 34 + 2 * (size_t)random_below(&flood.random, (len - 34) / 2);
    frame[at] ^= (uint8_t)(1 + random_below(&flood.random, 254));
    live_in_frame(flood.live, frame, len);
}

static void bad_truncated(void)
{
    uint8_t frame[LIVE_FRAME] = { 0 };
    struct live_segment s = good_segment(WEIR_ACK | WEIR_RST);

    s.len = 100;
    live_frame_of(flood.live, frame, &flood.live->peer, &s);
    live_in_frame(flood.live, frame, (size_t)random_below(&flood.random, 54));
}

/* Old data of the good flow with an old ACK: what a network that repeats may bring. */
static void bad_replayed(void)
{
    struct live_segment s = good_segment(WEIR_ACK);

    s.seq -= 1 + (uint32_t)random_below(&flood.random, 20000);
    s.len = 1;
    bad_frame(&flood.live->peer, &s);
}

static void bad_any(void)
{
    static void (*const bad[])(void) = { bad_syn,    bad_syn,     bad_rst,       bad_blind_syn,
                                         bad_random, bad_mutated, bad_truncated, bad_replayed };

    bad[random_below(&flood.random, WEIR_COUNT(bad))]();
}

/* --- the test --- */

static void flood_open(uint64_t seed)
{
    struct live_config config;

    memset(&flood, 0, sizeof flood);
    flood.random = seed;
    live_config_init(&config);
    config.seed = seed;
    config.rcvbuf = 65536;
    config.pkts_max = 4096;
    flood.live = live_open(&config);
    flood.live->on_sent = good_takes;
    flood.out = malloc(FLOW_BYTES);
    for (uint32_t i = 0; i < FLOW_BYTES; i++)
        flood.out[i] = live_byte(i);
    flood.peer_seq = (uint32_t)random_next(&flood.random);
    live_check(weir_listen(&flood.listener, "192.0.2.1:80", NULL) == 0);
    weir_accept_start(&flood.accept, flood.listener);
    good_send(WEIR_SYN);
    live_pump(flood.live);
    flood.peer_seq++;
    good_send(WEIR_ACK);
    live_pump(flood.live);
    live_check(flood.accept.future.done && flood.accept.future.result == 0);
    flood.conn = flood.accept.conn;
    flood.peer_window_end = flood.peer_seq + 30000;
}

static void flood_close(void)
{
    flood.live->on_sent = NULL;
    flood.live->count_only = true;
    weir_abort(flood.conn);
    weir_listener_close(flood.listener);
    live_pump(flood.live);
    live_close(flood.live); /* asserts that no packet is missing */
    free(flood.out);
}

/* Everything that could grow has a bound, and keeps to it. */
static void flood_check_memory(void)
{
    const struct weir_native *native = flood.live->native;

    assert_true(native->pkts.pool.live <= 4096);
    assert_true(native->conns.live <= native->conns.max);
    assert_true(native->flows.count <= native->flows.max);
    assert_true(native->tcp->half_open <= native->tcp->half_open_max);
    assert_true(native->waits.live <= native->waits.max);
}

static void a_good_flow_survives_a_flood(void **state)
{
    uint64_t seed = random_seed();
    uint32_t first;
    unsigned rounds = 0;

    (void)state;
    flood_open(seed);
    first = flood.peer_seq;
    while (flood.received < FLOW_BYTES || flood.sent < FLOW_BYTES ||
           flood.peer_ack - flood.iss - 1 < FLOW_BYTES) {
        user_turn();
        for (int i = 0; i < BAD_PER_ROUND; i++)
            bad_any();
        good_sends(first);
        live_pass(flood.live, flood.live->shard.now + WEIR_US(500));
        flood_check_memory();
        if (++rounds == 20000)
            fail_msg("stuck: received %u, sent %u, acked %u, packets %u, half-open %u",
                     flood.received, flood.sent, flood.peer_ack - flood.iss - 1,
                     (unsigned)flood.live->native->pkts.pool.live,
                     flood.live->native->tcp->half_open);
    }
    assert_int_equal(flood.received, FLOW_BYTES);
    assert_int_equal(flood.peer_ack - flood.iss - 1, FLOW_BYTES);
    assert_true(flood.live->native->stats.tcp_cookies_sent > 0);
    assert_true(flood.live->native->stats.tcp_bad > 0);
    assert_true(flood.live->native->stats.tcp_challenge_acks > 0);
    fprintf(stderr,
            "%u rounds, %llu bad frames, %llu cookies, %llu challenge ACKs (%llu not sent)\n",
            rounds, (unsigned long long)rounds * BAD_PER_ROUND,
            (unsigned long long)flood.live->native->stats.tcp_cookies_sent,
            (unsigned long long)flood.live->native->stats.tcp_challenge_acks,
            (unsigned long long)flood.live->native->stats.tcp_challenge_limited);
    flood_close();
}

/* Out of order, at the far end of the window, in pieces of a byte: memory is bounded by what was
 * agreed on, and the rest is refused. */
static void memory_for_disorder_is_bounded(void **state)
{
    struct weir_tcp *tcp;

    (void)state;
    flood_open(random_seed());
    tcp =
        weir_container_of(live_flow(flood.live, LIVE_PORT, LIVE_PEER_PORT), struct weir_tcp, flow);
    for (uint32_t i = 0; i < 20000; i++) {
        struct live_segment s = good_segment(WEIR_ACK);

        s.seq += 2 + 2 * (uint32_t)random_below(&flood.random, 15000);
        s.len = 1;
        live_in(flood.live, &s);
        live_pump(flood.live);
        assert_true(tcp->rcv_held <= 2 * tcp->rcv_buf);
        flood_check_memory();
    }
    assert_true(flood.live->native->stats.tcp_ooo_dropped > 0);
    flood_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_flow_survives_a_flood),
        cmocka_unit_test(memory_for_disorder_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
