/* fuzz_tcp_live.c - segments, time and the user's calls, in any order, to a live connection that
 * begins in each of the states.
 *
 * The first byte is the state and the options of the SYN; then come steps, each a byte that says
 * what, and its numbers.  Sequence numbers are near those that are right, or nothing would ever get
 * past the first check; checksums are right, or all would be dropped.  After each step the send
 * queue's invariants hold (live_pump), what the stack sends is well-formed, memory is within its
 * bounds, and at the end nothing is left. */
#include <errno.h>
#include <weir/net.h>
#include "tests/net/tcp_live.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STATES = 10, STEPS_MAX = 200, IN_BYTES = 1400 };

struct fuzz {
    struct live *live;
    const uint8_t *at, *end;
    uint32_t seq, ack, ts; /* of the peer; what is right now */
    uint32_t ts_ecr;
    uint16_t port; /* ours */
    bool with_ts;
    struct weir_listener *listener;
    struct weir_conn *conn;
    struct weir_io accept, connect, recv, send;
    bool connecting, receiving, sending;
    uint8_t in[65536];
};

static struct fuzz fuzz;
static uint8_t fuzz_out[200000];

static uint8_t take8(void)
{
    return fuzz.at < fuzz.end ? *fuzz.at++ : 0;
}

static uint16_t take16(void)
{
    uint16_t high = take8();

    return (uint16_t)(high << 8 | take8());
}

/* --- the peer --- */

static void peer_hears(struct live *live, const struct live_segment *s)
{
    uint32_t end = s->seq + s->len + !!(s->flags & WEIR_SYN) + !!(s->flags & WEIR_FIN);

    (void)live;
    if (!s->to_peer || s->dport != LIVE_PEER_PORT || (s->flags & WEIR_RST))
        return;
    if ((s->flags & WEIR_SYN) || (int32_t)(end - fuzz.ack) > 0)
        fuzz.ack = end;
    if ((s->flags & WEIR_ACK))
        fuzz.seq = s->ack;
    fuzz.port = s->sport;
    if (s->ts)
        fuzz.ts_ecr = s->ts_val;
}

static struct live_segment peer_segment(uint8_t flags)
{
    return (struct live_segment){ .sport = LIVE_PEER_PORT,
                                  .dport = fuzz.port,
                                  .seq = fuzz.seq,
                                  .ack = fuzz.ack,
                                  .flags = flags,
                                  .window = 30000,
                                  .wscale = 255,
                                  .ts = fuzz.with_ts,
                                  .ts_val = fuzz.ts++,
                                  .ts_ecr = fuzz.ts_ecr };
}

static void peer_says(uint8_t flags)
{
    struct live_segment s = peer_segment(flags);

    if (flags & WEIR_SYN) {
        s.mss = 1460;
        s.sack_ok = true;
        s.wscale = 2;
    }
    live_in(fuzz.live, &s);
    live_pump(fuzz.live);
}

/* --- the user --- */

static void user_look(void)
{
    if (!fuzz.conn && fuzz.accept.listener && fuzz.accept.future.done &&
        fuzz.accept.future.result == 0)
        fuzz.conn = fuzz.accept.conn;
    if (!fuzz.conn && fuzz.connecting && fuzz.connect.future.done &&
        fuzz.connect.future.result == 0)
        fuzz.conn = fuzz.connect.conn;
    fuzz.receiving = fuzz.receiving && !fuzz.recv.future.done;
    fuzz.sending = fuzz.sending && !fuzz.send.future.done;
}

static void user_acts(uint8_t what)
{
    if (!fuzz.conn)
        return;
    if (what % 8 == 0 && !fuzz.receiving) {
        weir_recv_start(&fuzz.recv, fuzz.conn, fuzz.in, 1 + (size_t)what * 256);
        fuzz.receiving = true;
    } else if (what % 8 < 4 && !fuzz.sending) {
        weir_send_start(&fuzz.send, fuzz.conn, fuzz_out, 1 + (size_t)what * 700);
        fuzz.sending = true;
    } else if (what % 8 == 4 && !fuzz.sending) {
        weir_shutdown(fuzz.conn);
    } else if (what % 8 == 5) {
        weir_nodelay(fuzz.conn, what & 8);
    } else if (what == 255 || what == 127) {
        if (what == 255)
            weir_abort(fuzz.conn);
        else
            weir_close(fuzz.conn);
        fuzz.conn = NULL;
        fuzz.receiving = fuzz.sending = false;
        fuzz.accept.listener = NULL;
        fuzz.connecting = false;
    }
}

/* --- getting there --- */

static void reach_passive(bool options)
{
    struct live_segment s = peer_segment(WEIR_SYN);

    if (options) {
        s.mss = 1460;
        s.sack_ok = true;
        s.wscale = 4;
    }
    live_in(fuzz.live, &s);
    live_pump(fuzz.live);
}

static void reach_active(void)
{
    struct weir_addr addr;

    weir_addr_parse(&addr, "192.0.2.9:40000");
    weir_connect_start(&fuzz.connect, &addr);
    fuzz.connecting = true;
    live_pump(fuzz.live);
}

/* As far as state number `state` of the usual life. */
static void reach(unsigned state, bool options)
{
    if (state == 1) {
        reach_active();
        return;
    }
    if (state == 0)
        return;
    reach_passive(options);
    if (state == 2)
        return;
    peer_says(WEIR_ACK);
    user_look();
    live_check(fuzz.conn);
    if (state == 6 || state == 8) /* CLOSE-WAIT, LAST-ACK */
        peer_says(WEIR_FIN | WEIR_ACK);
    if (state >= 4 && state != 6) {
        uint32_t una = fuzz.ack;

        weir_shutdown(fuzz.conn);
        live_pump(fuzz.live);
        if (state == 5 || state == 9)
            peer_says(WEIR_ACK);
        fuzz.ack = state == 7 ? una : fuzz.ack;
        if (state == 7 || state == 9)
            peer_says(WEIR_FIN | WEIR_ACK);
    }
}

/* --- steps --- */

/* A number near the right one, mostly; or anywhere. */
static uint32_t take_number(uint32_t right, uint8_t how)
{
    switch (how & 3) {
    case 0:
        return right;
    case 1:
        return right + take8() - 128U;
    case 2:
        return right + 16U * take16() - 524288U;
    default:
        return right + ((uint32_t)take16() << 16 | take16());
    }
}

static void step_segment(void)
{
    uint8_t how = take8();
    struct live_segment s = peer_segment(take8());

    s.seq = take_number(s.seq, how);
    s.ack = take_number(s.ack, (uint8_t)(how >> 2));
    s.window = (uint16_t)(how & 16 ? take16() : s.window);
    s.len = how & 32 ? (uint32_t)take16() % IN_BYTES : 0;
    if (how & 64) {
        s.sacks = 1 + take8() % 3;
        for (unsigned i = 0; i < s.sacks; i++) {
            s.sack[i][0] = fuzz.ack - take16();
            s.sack[i][1] = s.sack[i][0] + take16() % 5000;
        }
    }
    if (how & 128)
        s.ts_val = take_number(s.ts_val, take8());
    memset(s.data, how, s.len);
    live_in(fuzz.live, &s);
}

/* Options as they are, of any kind and length. */
static void step_options(void)
{
    struct live_segment s = peer_segment(take8());

    s.ts = false;
    s.seq = take_number(s.seq, take8());
    s.raw_len = take8() % 11 * 4;
    for (unsigned i = 0; i < s.raw_len; i++)
        s.raw[i] = take8();
    s.data_offset = take8() % 16;
    s.urgent = take16();
    live_in(fuzz.live, &s);
}

static void step_icmp(void)
{
    uint8_t code = take8() % 16;
    uint16_t rest = take16();

    live_in_icmp(fuzz.live, 3, code, rest, fuzz.port, LIVE_PEER_PORT,
                 take_number(fuzz.ack - 1, take8()));
}

static void step_time(void)
{
    live_pass(fuzz.live, fuzz.live->shard.now + WEIR_MS((weir_time)take16() * 4));
}

static void step(void)
{
    uint8_t what = take8();

    if (what < 140)
        step_segment();
    else if (what < 170)
        step_options();
    else if (what < 180)
        step_icmp();
    else if (what < 205)
        step_time();
    else
        user_acts(take8());
    live_pump(fuzz.live);
    user_look();
    live_check(fuzz.live->native->pkts.pool.live <= fuzz.live->config.pkts_max);
}

/* --- the whole --- */

static void fuzz_open(void)
{
    struct live_config config;

    memset(&fuzz, 0, offsetof(struct fuzz, in));
    live_config_init(&config);
    config.rcvbuf = 65536;
    config.sndbuf = 131072;
    config.pkts_max = 512;
    fuzz.live = live_open(&config);
    fuzz.live->on_sent = peer_hears;
    fuzz.port = LIVE_PORT;
    fuzz.seq = 0xfffffff0;
    live_check(weir_listen(&fuzz.listener, "192.0.2.1:80", NULL) == 0);
    weir_accept_start(&fuzz.accept, fuzz.listener);
    fuzz.accept.listener = fuzz.listener;
}

static void fuzz_close(void)
{
    user_look();
    if (fuzz.connecting && !fuzz.connect.future.done)
        weir_future_cancel(&fuzz.connect.future);
    else if (fuzz.connecting && fuzz.connect.future.result == 0 && fuzz.connect.conn != fuzz.conn)
        weir_abort(fuzz.connect.conn);
    if (fuzz.conn)
        weir_abort(fuzz.conn);
    weir_listener_close(fuzz.listener);
    live_pump(fuzz.live);
    live_close(fuzz.live);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t first;

    fuzz_open();
    fuzz.at = data;
    fuzz.end = data + size;
    first = take8();
    fuzz.with_ts = first & 64;
    reach(first % STATES, first & 128);
    user_look();
    for (unsigned i = 0; i < STEPS_MAX && fuzz.at < fuzz.end; i++)
        step();
    fuzz_close();
    return 0;
}
