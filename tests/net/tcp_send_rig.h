/* tcp_send_rig.h - TCP's send side alone: one connection, a path that records what it is given, and
 * a clock that moves on demand.  The receive side is played by the test.
 *
 * Sequence numbers in tests are offsets from the first byte: 0 is iss + 1.  Every segment that goes
 * out is checked for a right checksum, and after each step the invariants of the queue are. */
#ifndef WEIR_TESTS_NET_TCP_SEND_RIG_H
#define WEIR_TESTS_NET_TCP_SEND_RIG_H

#include "../core/testing.h"
#include <errno.h>
#include "net/native/checksum.h"
#include "net/native/tcp_send.h"
#include "net/native/wire/wire.h"

enum { RIG_SENT = 2048, RIG_HELD = 64, RIG_WINDOW = 65535 };

struct rig_segment {
    weir_time at;
    weir_seq seq, ack;
    uint8_t flags, header_len;
    uint32_t len, ts_val, ts_ecr;
    uint16_t window, mss;
    uint16_t gso_size; /* 0: not to be cut */
    uint8_t wscale;    /* 255: none */
    bool ts, sack_ok;
    unsigned sacks, pieces;
    uint8_t data[65536];
};

struct rig {
    struct weir_shard shard;
    struct weir_native native;
    struct weir_tcp_layer layer;
    struct weir_dev dev;
    struct weir_dev_queue queue;
    struct weir_tcp tcp;
    struct rig_segment *sent; /* since the last look, `taken` of them looked at */
    unsigned count, taken;
    bool hold; /* the device keeps what it is given */
    struct weir_pkt *held[RIG_HELD];
    unsigned held_count;
    int ended; /* the error of weir_tcp_end; 1: it was not called */
    unsigned writable;
    uint16_t new_mtu; /* what a refresh of the path finds; 0: as before */
    uint16_t window;  /* what we advertise */
    weir_seq sack[4][2];
    unsigned sacks;
    void (*on_writable)(struct rig *rig);
    void (*on_sent)(struct rig *rig, const struct rig_segment *segment);
};

static struct rig rig_now;

/* --- the rest of the stack --- */

static inline void rig_options(struct rig_segment *segment, const uint8_t *at, const uint8_t *end)
{
    segment->wscale = 255;
    while (at < end && *at != 0) {
        if (*at == 1) {
            at++;
            continue;
        }
        if (*at == 2)
            segment->mss = weir_get16(at + 2);
        if (*at == 3)
            segment->wscale = at[2];
        if (*at == 4)
            segment->sack_ok = true;
        if (*at == 5)
            segment->sacks = (at[1] - 2u) / 8;
        if (*at == 8) {
            segment->ts = true;
            segment->ts_val = weir_get32(at + 2);
            segment->ts_ecr = weir_get32(at + 6);
        }
        assert_true(at[1] >= 2);
        at += at[1];
    }
    assert_true(at <= end);
}

/* The bytes of all pieces; returns how many. */
static inline uint32_t rig_join(struct rig_segment *segment, const struct weir_pkt *pkt)
{
    static uint8_t joined[sizeof segment->data];
    uint32_t len = 0, header_len = (uint32_t)(pkt->buf.data[12] >> 4 << 2);

    for (; pkt; pkt = pkt->frag, segment->pieces++) {
        assert_true(len + pkt->buf.len <= sizeof joined);
        memcpy(joined + len, pkt->buf.data, pkt->buf.len);
        len += pkt->buf.len;
    }
    memcpy(segment->data, joined + header_len, len - header_len);
    return len;
}

int weir_path_send(struct weir_native *native, struct weir_path *path, struct weir_pkt *pkt)
{
    struct rig *rig = &rig_now;
    struct rig_segment *segment = &rig->sent[rig->count];
    const uint8_t *at = pkt->buf.data;
    uint32_t sum, len;

    (void)native;
    assert_true(rig->count < RIG_SENT);
    memset(segment, 0, offsetof(struct rig_segment, data));
    len = rig_join(segment, pkt);
    sum = weir_sum_add(path->pseudo_sum, htons((uint16_t)len));
    if (pkt->flags & WEIR_PKT_L4_CSUM)
        assert_int_equal(weir_get16(at + 16), __builtin_bswap16(weir_sum_fold(sum)));
    else
        assert_int_equal(weir_sum_fold(weir_sum(at, pkt->buf.len, sum)), 0xffff);
    segment->at = rig->shard.now;
    assert_int_equal(weir_get16(at), rig->tcp.flow.key.local_port);
    assert_int_equal(weir_get16(at + 2), rig->tcp.flow.key.remote_port);
    segment->seq = weir_get32(at + 4);
    segment->ack = weir_get32(at + 8);
    segment->header_len = (uint8_t)(at[12] >> 4 << 2);
    segment->flags = at[13];
    segment->window = weir_get16(at + 14);
    segment->len = len - segment->header_len;
    segment->gso_size = pkt->gso_size;
    assert_int_equal(pkt->gso_size > 0, !!(pkt->flags & WEIR_PKT_TSO));
    assert_true(pkt->gso_size ? segment->len > pkt->gso_size : segment->pieces == 1);
    rig_options(segment, at + 20, at + segment->header_len);
    assert_true((pkt->gso_size ? segment->header_len + pkt->gso_size : len) <= path->mtu - 20u);
    rig->count++;
    if (rig->hold && rig->held_count < RIG_HELD)
        rig->held[rig->held_count++] = pkt;
    else
        weir_pkt_free(pkt);
    if (rig->on_sent) {
        rig->count--;
        rig->on_sent(rig, segment);
    }
    return 0;
}

int weir_path_refresh(struct weir_native *native, struct weir_path *path)
{
    path->generation = native->generation;
    if (rig_now.new_mtu)
        path->mtu = rig_now.new_mtu;
    return 0;
}

void weir_tcp_end(struct weir_tcp *tcp, int error)
{
    assert_int_equal(rig_now.ended, 1);
    rig_now.ended = error;
    weir_tcp_output_forget(tcp);
    weir_tcp_timers_stop(tcp);
    weir_tcp_queue_free(tcp);
    tcp->state = WEIR_TCP_CLOSED;
}

void weir_tcp_free(struct weir_tcp *tcp)
{
    (void)tcp;
}

void weir_tcp_event_writable(struct weir_tcp *tcp)
{
    assert_ptr_equal(tcp, &rig_now.tcp);
    rig_now.writable++;
    if (rig_now.on_writable)
        rig_now.on_writable(&rig_now);
}

uint16_t weir_tcp_window_field(struct weir_tcp *tcp, bool syn)
{
    (void)syn;
    tcp->flags &= ~(uint32_t)(WEIR_TCP_ACK_NOW | WEIR_TCP_ACK_DELAYED);
    tcp->ack_at = 0;
    return rig_now.window;
}

unsigned weir_tcp_sack_blocks(const struct weir_tcp *tcp, weir_seq (*block)[2], unsigned max)
{
    unsigned count = rig_now.sacks < max ? rig_now.sacks : max;

    (void)tcp;
    memcpy(block, rig_now.sack, count * sizeof *block);
    return count;
}

/* --- the rig --- */

static inline weir_seq rig_seq(const struct rig *rig, uint32_t offset)
{
    return rig->tcp.iss + 1 + offset;
}

static inline void rig_validate(struct rig *rig)
{
    if (rig->tcp.state != WEIR_TCP_CLOSED)
        weir_tcp_validate(&rig->tcp);
}

/* Lets everything that is queued go out. */
static inline void rig_output(struct rig *rig)
{
    while (weir_tcp_output_all(&rig->native))
        rig_validate(rig);
    rig_validate(rig);
}

/* A connection in CLOSED with a path, a sequence number, and what a SYN would have said. */
static inline struct rig *rig_new(uint32_t flags, uint16_t mss_peer)
{
    struct rig *rig = &rig_now;
    struct weir_tcp *tcp = &rig->tcp;
    struct rig_segment *sent =
        rig->sent ? rig->sent : malloc(RIG_SENT * sizeof(struct rig_segment));

    memset(rig, 0, sizeof *rig);
    rig->sent = sent;
    rig->ended = 1;
    rig->window = 8192;
    rig->shard.now = WEIR_SEC(1000);
    weir_wheel_init(&rig->shard.wheel, rig->shard.now);
    weir_shard_current = &rig->shard;
    rig->native.shard = &rig->shard;
    rig->native.tcp = &rig->layer;
    rig->layer.sndbuf = 1 << 20;
    rig->layer.cc = WEIR_CC_RENO;
    weir_pkts_init(&rig->native.pkts, 4096);
    rig->queue.dev = &rig->dev;
    rig->native.iface[0] =
        (struct weir_iface){ .queue = &rig->queue, .mtu = 1500, .tx_room = UINT32_MAX };
    tcp->conn.stack = &rig->native.stack;
    tcp->flow.key.local_port = 80;
    tcp->flow.key.remote_port = 54321;
    tcp->path.mtu = 1500;
    tcp->path.pseudo_sum = 0x12345678;
    tcp->path.header_len = 34;
    tcp->iss = tcp->snd_una = 0xfffff000; /* wraps soon */
    tcp->snd_nxt = tcp->snd_max = tcp->snd_end = tcp->iss + 1;
    tcp->rcv_nxt = 7000;
    tcp->snd_wnd = tcp->snd_wnd_max = RIG_WINDOW;
    tcp->mss_peer = mss_peer;
    tcp->flags = flags;
    tcp->ts_offset = 5000;
    weir_alarm_init(&tcp->alarm, weir_tcp_fire);
    return rig;
}

/* What the peer says: an ACK without data, at an offset; then output. */
static inline bool rig_ack_full(struct rig *rig, weir_seq ack, uint32_t window, uint32_t ts_ecr,
                                const weir_seq (*sack)[2], unsigned sacks)
{
    uint8_t bytes[64] = { 0 };
    struct weir_pkt pkt = { .buf = { .data = bytes }, .l4 = 4 };
    bool good;

    pkt.rx.ack = ack;
    pkt.rx.seq = rig->tcp.rcv_nxt;
    pkt.rx.window = window >> rig->tcp.snd_wscale;
    pkt.rx.tcp_flags = WEIR_ACK;
    pkt.rx.has_ts = (rig->tcp.flags & WEIR_TCP_TS) != 0;
    pkt.rx.ts_ecr = ts_ecr;
    pkt.rx.sack_at = 20;
    pkt.rx.sack_count = (uint8_t)sacks;
    for (unsigned i = 0; i < sacks; i++) {
        weir_put32(bytes + 24 + 8 * i, sack[i][0]);
        weir_put32(bytes + 28 + 8 * i, sack[i][1]);
    }
    good = weir_tcp_acked(&rig->tcp, &pkt);
    rig_validate(rig);
    rig_output(rig);
    return good;
}

static inline void rig_ack(struct rig *rig, uint32_t offset)
{
    assert_true(
        rig_ack_full(rig, rig_seq(rig, offset), rig->tcp.snd_wnd, weir_tcp_ts(&rig->tcp), NULL, 0));
}

static inline void rig_ack_window(struct rig *rig, uint32_t offset, uint32_t window)
{
    assert_true(rig_ack_full(rig, rig_seq(rig, offset), window, weir_tcp_ts(&rig->tcp), NULL, 0));
}

/* With one SACK block, from and to offsets. */
static inline void rig_sack(struct rig *rig, uint32_t offset, uint32_t from, uint32_t to)
{
    weir_seq block[1][2] = { { rig_seq(rig, from), rig_seq(rig, to) } };

    assert_true(rig_ack_full(rig, rig_seq(rig, offset), rig->tcp.snd_wnd, weir_tcp_ts(&rig->tcp),
                             (const weir_seq(*)[2])block, 1));
}

/* To `when`, firing what is due on the way at its time. */
static inline void rig_until(struct rig *rig, weir_time when)
{
    struct weir_alarm *alarm;
    weir_time next;

    while ((next = weir_wheel_next(&rig->shard.wheel)) <= when) {
        if (next > rig->shard.now)
            rig->shard.now = next;
        while ((alarm = weir_wheel_pop(&rig->shard.wheel, rig->shard.now)) != NULL) {
            alarm->fire(alarm);
            rig_output(rig);
        }
    }
    rig->shard.now = when;
}

static inline void rig_wait(struct rig *rig, weir_time span)
{
    rig_until(rig, rig->shard.now + span);
}

/* A connection in ESTABLISHED whose handshake took `rtt`. */
static inline struct rig *rig_open(uint32_t flags, uint16_t mss_peer, weir_time rtt)
{
    struct rig *rig = rig_new(flags | WEIR_TCP_USER, mss_peer);

    rig->tcp.state = WEIR_TCP_SYN_RECEIVED;
    weir_tcp_send_init(&rig->tcp);
    weir_tcp_send_control(&rig->tcp, rig->tcp.iss, WEIR_SYN | WEIR_ACK);
    rig_wait(rig, rtt);
    rig->tcp.state = WEIR_TCP_ESTABLISHED;
    rig_ack(rig, 0);
    rig->count = rig->taken = 0;
    return rig;
}

static inline void rig_close(struct rig *rig)
{
    weir_tcp_output_forget(&rig->tcp);
    weir_tcp_timers_stop(&rig->tcp);
    weir_tcp_queue_free(&rig->tcp);
    while (rig->held_count > 0)
        weir_pkt_free(rig->held[--rig->held_count]);
    assert_int_equal(rig->native.pkts.pool.live, 0);
    assert_int_equal(rig->native.pkts.views.live, 0);
    weir_pkts_free(&rig->native.pkts);
}

/* The byte at an offset of what the user sends. */
static inline uint8_t rig_byte(uint32_t offset)
{
    return (uint8_t)(offset * 131 + (offset >> 8) * 7 + 3);
}

/* Queues `len` more bytes, without output; returns how many were taken. */
static inline uint32_t rig_queue(struct rig *rig, uint32_t len)
{
    uint32_t at = rig->tcp.snd_end - rig_seq(rig, 0);
    uint8_t *data = malloc(len + 1);
    size_t taken;

    for (uint32_t i = 0; i < len; i++)
        data[i] = rig_byte(at + i);
    taken = weir_tcp_push(&rig->tcp, data, len, true);
    free(data);
    rig_validate(rig);
    return (uint32_t)taken;
}

static inline void rig_push(struct rig *rig, uint32_t len)
{
    assert_int_equal(rig_queue(rig, len), len);
    rig_output(rig);
}

/* The next segment that went out: `len` right bytes at `offset`, with these flags and ACK. */
#define rig_expect(rig, offset, len, flags) rig_expect_at(rig, offset, len, flags, __LINE__)

static inline struct rig_segment *rig_expect_at(struct rig *rig, uint32_t offset, uint32_t len,
                                                uint8_t flags, int line)
{
    struct rig_segment *segment = &rig->sent[rig->taken];

    if (rig->taken == rig->count)
        fail_msg("line %d: nothing was sent", line);
    rig->taken++;
    if (segment->seq != rig_seq(rig, offset) || segment->len != len ||
        segment->flags != (flags | WEIR_ACK))
        fail_msg("line %d: %d+%u flags %x, not %d+%u flags %x", line,
                 (int)(segment->seq - rig_seq(rig, 0)), segment->len, segment->flags, (int)offset,
                 len, flags | WEIR_ACK);
    for (uint32_t i = 0; i < len; i++)
        assert_int_equal(segment->data[i], rig_byte(offset + i));
    return segment;
}

#define rig_expect_none(rig) assert_int_equal((rig)->taken, (rig)->count)

#endif
