/* A connection's life, one segment at a time: the receive and send side of TCP without IP, sockets
 * and device around them.  What is sent is kept as parsed headers. */
#include "tests/core/testing.h"
#include <errno.h>
#include "net/native/checksum.h"
#include "net/native/steer.h"
#include "net/native/tcp_in.h"
#include "net/native/toeplitz.h"

enum { FIN = WEIR_FIN, SYN = WEIR_SYN, RST = WEIR_RST, PSH = WEIR_PSH, ACK = WEIR_ACK };
enum { SENT_MAX = 512, PEER_PORT = 40000 };

/* --- a world --- */

struct world {
    struct weir_native native; /* first: it is found by that */
    struct weir_shard shard;
    struct weir_dev dev;
    struct weir_dev_queue queue;
    struct weir_native_listener listener;
    bool listens;
    struct weir_flow_key key; /* as seen from us */

    struct weir_pkt_rx sent[SENT_MAX];
    unsigned sent_count, taken;

    struct weir_tcp *tcp; /* the last that was established, or is being opened */
    unsigned established, ended, readable;
    int ended_error;
    void (*on_readable)(struct weir_tcp *tcp);
    uint32_t peer_ts; /* of the peer's segments; 0: without */
};

static struct world worlds[2], *const world = &worlds[0];
static struct weir_toeplitz toeplitz;
static uint8_t flow_table[WEIR_FLOW_TABLE];

static struct world *world_of(const struct weir_tcp *tcp)
{
    return (struct world *)(void *)weir_native_of(tcp->conn.stack);
}

static void world_begin(struct world *w)
{
    struct weir_native_config config = {
        .conns_max = 64, .rcvbuf = 1 << 20, .sndbuf = 1 << 20, .secret = 42
    };

    memset(w, 0, sizeof *w);
    weir_flow_table_init(flow_table, 1);
    w->native.shard = &w->shard;
    w->native.stack.shard = &w->shard;
    w->native.toeplitz = &toeplitz;
    w->native.flow_table = flow_table;
    w->shard.now = WEIR_SEC(1000);
    w->shard.random[0] = 1;
    weir_wheel_init(&w->shard.wheel, w->shard.now);
    weir_shard_current = &w->shard;
    w->queue.dev = &w->dev;
    w->native.iface[0].queue = &w->queue;
    w->native.iface[0].mtu = 1500;
    w->native.iface[0].tx_room = UINT32_MAX; /* it need not be asked */
    weir_pkts_init(&w->native.pkts, 256);
    assert_int_equal(weir_flows_init(&w->native.flows, 2 * 64 + 4096), 0);
    assert_int_equal(weir_tcp_open(&w->native, &config), 0);
    w->listener.backlog = 2;
    w->listener.accepted_max = 2;
    weir_list_init(&w->listener.half);
    weir_list_init(&w->listener.accepted);
    w->listens = true;
    w->key = (struct weir_flow_key){ .local = weir_ip_v4(htonl(0x0a000001)),
                                     .remote = weir_ip_v4(htonl(0x0a000002)),
                                     .local_port = 80,
                                     .remote_port = PEER_PORT };
}

static void world_end(struct world *w)
{
    weir_tcp_output_all(&w->native);
    assert_int_equal(w->native.conns.live, 0);
    assert_int_equal(w->listener.half_open, 0);
    assert_int_equal(w->native.tcp->half_open, 0);
    weir_tcp_close_layer(&w->native);
    assert_int_equal(w->native.pkts.pool.live, 0);
    weir_pkts_free(&w->native.pkts);
    weir_flows_free(&w->native.flows);
}

static int setup(void **state)
{
    (void)state;
    weir_toeplitz_init(&toeplitz, weir_flow_key);
    world_begin(world);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    world_end(world);
    return 0;
}

/* --- the other layers --- */

int weir_path_open(struct weir_native *native, struct weir_path *path, struct weir_ip *local,
                   const struct weir_ip *remote, uint8_t protocol)
{
    (void)native;
    *path = (struct weir_path){ .mtu = 1500, .header_len = 34, .neigh = WEIR_NEIGH_NONE };
    path->pseudo_sum = weir_pseudo_sum(local, remote, protocol, 0);
    return 0;
}

void weir_path_close(struct weir_native *native, struct weir_path *path)
{
    (void)native;
    path->header_len = 0;
}

int weir_path_refresh(struct weir_native *native, struct weir_path *path)
{
    (void)native;
    (void)path;
    return 0;
}

void weir_path_confirm(struct weir_native *native, struct weir_path *path)
{
    (void)native;
    (void)path;
}

int weir_path_send(struct weir_native *native, struct weir_path *path, struct weir_pkt *pkt)
{
    struct world *w = (struct world *)(void *)native;
    uint32_t sum = weir_sum_add(path->pseudo_sum, htons((uint16_t)pkt->buf.len));
    struct weir_pkt *parsed = weir_pkt_get(&native->pkts);

    assert_non_null(parsed);
    assert_int_equal(weir_sum_fold(weir_sum(pkt->buf.data, pkt->buf.len, sum)), 0xffff);
    memcpy(parsed->buf.data, pkt->buf.data, pkt->buf.len);
    parsed->buf.len = pkt->buf.len;
    memset(parsed->any, 0, sizeof parsed->any); /* what is not parsed is compared, too */
    assert_int_equal(weir_tcp_parse(parsed), 0);
    assert_true(w->sent_count < SENT_MAX);
    w->sent[w->sent_count++] = parsed->rx;
    weir_pkt_free(parsed);
    weir_pkt_free(pkt);
    return 0;
}

bool weir_ip_is_broadcast(const struct weir_native *native, const struct weir_ip *ip)
{
    (void)native;
    return weir_ip_is_v4(ip) && ip->word[3] == UINT32_MAX;
}

bool weir_ip_is_multicast(const struct weir_ip *ip)
{
    return weir_ip_is_v4(ip) && ip->byte[12] >> 4 == 14;
}

struct weir_native_listener *weir_listener_find(struct weir_native *native,
                                                const struct weir_flow_key *key)
{
    struct world *w = (struct world *)(void *)native;

    return w->listens && key->local_port == 80 ? &w->listener : NULL;
}

int weir_listener_elsewhere(struct weir_native *native, const struct weir_flow_key *key,
                            uint32_t hash)
{
    (void)native;
    (void)key;
    (void)hash;
    return -1;
}

void weir_steer_detour_open(struct weir_native *native, const struct weir_flow_key *key,
                            struct weir_pkt *pkt, unsigned on)
{
    (void)native;
    (void)key;
    (void)pkt;
    fail_msg("no detour to %u", on);
}

void weir_steer_detour_end(struct weir_native *native, const struct weir_flow *flow)
{
    (void)native;
    (void)flow;
    fail();
}

void weir_steer_detour_follow(struct weir_native *native, struct weir_flow *flow,
                              struct weir_pkt *pkt)
{
    (void)native;
    (void)flow;
    (void)pkt;
    fail();
}

static unsigned forwarded_to, partial_seen;

void weir_steer_forward(struct weir_native *native, struct weir_pkt *pkt, unsigned to)
{
    (void)native;
    forwarded_to = to;
    weir_pkt_free(pkt);
}

bool weir_ip_is_partial_csum(struct weir_native *native, const struct weir_pkt *pkt)
{
    (void)native;
    (void)pkt;
    partial_seen++;
    return false;
}

static void accept_one(struct world *w)
{
    struct weir_link *link = weir_list_pop(&w->listener.accepted);

    assert_non_null(link);
    w->listener.accepted_count--;
    w->tcp = weir_container_of(link, struct weir_tcp, queued);
    w->tcp->flags = (w->tcp->flags & ~(uint32_t)WEIR_TCP_ACCEPTED) | WEIR_TCP_USER;
    w->tcp->listener = NULL;
}

void weir_tcp_event_established(struct weir_tcp *tcp)
{
    struct world *w = world_of(tcp);

    w->established++;
    if (!(tcp->flags & WEIR_TCP_PASSIVE))
        tcp->flags |= WEIR_TCP_USER; /* others are accepted later */
}

void weir_tcp_event_readable(struct weir_tcp *tcp)
{
    struct world *w = world_of(tcp);

    w->readable++;
    if (w->on_readable)
        w->on_readable(tcp);
}

void weir_tcp_event_writable(struct weir_tcp *tcp)
{
    (void)tcp;
}

void weir_tcp_event_ended(struct weir_tcp *tcp)
{
    struct world *w = world_of(tcp);

    w->ended++;
    w->ended_error = tcp->error;
    if (!(tcp->flags & WEIR_TCP_USER)) /* a connect that came to nothing */
        w->tcp = NULL;
}

/* --- the two verbs --- */

static struct weir_pkt *segment_to(struct world *w, uint8_t flags, weir_seq seq, weir_seq ack,
                                   uint32_t len)
{
    struct weir_pkt *pkt = weir_pkt_get(&w->native.pkts);

    assert_non_null(pkt);
    pkt->rx = (struct weir_pkt_rx){ .tcp_flags = flags,
                                    .seq = seq,
                                    .ack = ack,
                                    .len = len,
                                    .off = 40,
                                    .window = 8192,
                                    .wscale = 255,
                                    .dport = 80,
                                    .sport = w->key.remote_port,
                                    .hash = weir_flow_hash(&w->native, &w->key) };
    if (flags & SYN)
        pkt->rx.mss = 1460;
    if (w->peer_ts) {
        pkt->rx.has_ts = true;
        pkt->rx.ts_val = w->peer_ts;
    }
    pkt->buf.len = 40 + len;
    memset(pkt->buf.data + 40, 'x', len);
    return pkt;
}

static void run(struct world *w, struct weir_pkt *pkt, bool slow)
{
    struct weir_flow *flow = weir_flows_find(&w->native.flows, pkt->rx.hash, &w->key);
    struct weir_tcp *tcp =
        flow && flow->kind == WEIR_FLOW_TCP ? weir_container_of(flow, struct weir_tcp, flow) : NULL;

    weir_shard_current = &w->shard;
    if (!flow)
        weir_tcp_no_connection(&w->native, &w->key, pkt, NULL);
    else if (!tcp)
        weir_tcp_wait_segment(&w->native, weir_container_of(flow, struct weir_tcp_wait, flow), pkt);
    else if (slow)
        weir_tcp_segment_slow(tcp, pkt);
    else
        weir_tcp_segment(tcp, pkt);
    weir_tcp_output_all(&w->native);
}

static void put_len(uint8_t flags, weir_seq seq, weir_seq ack, uint32_t len)
{
    run(world, segment_to(world, flags, seq, ack, len), false);
}

static void put(uint8_t flags, weir_seq seq, weir_seq ack)
{
    put_len(flags, seq, ack, 0);
}

static const struct weir_pkt_rx *expect(uint8_t flags)
{
    const struct weir_pkt_rx *rx;

    assert_true(world->taken < world->sent_count);
    rx = &world->sent[world->taken++];
    assert_int_equal(rx->tcp_flags & ~PSH, flags);
    return rx;
}

static void expect_at(uint8_t flags, weir_seq seq, weir_seq ack)
{
    const struct weir_pkt_rx *rx = expect(flags);

    assert_int_equal(rx->seq, seq);
    assert_int_equal(rx->ack, ack);
}

static void expect_nothing(void)
{
    assert_int_equal(world->taken, world->sent_count);
}

/* Until `when` from now, timers and all. */
static void pass(weir_time span)
{
    weir_time end = world->shard.now + span;
    struct weir_alarm *alarm;

    weir_tcp_acks_arm(&world->native);
    while (weir_wheel_next(&world->shard.wheel) <= end) {
        weir_time next = weir_wheel_next(&world->shard.wheel);

        if (next > world->shard.now)
            world->shard.now = next;
        while ((alarm = weir_wheel_pop(&world->shard.wheel, world->shard.now)) != NULL)
            alarm->fire(alarm);
        weir_tcp_output_all(&world->native);
        weir_tcp_acks_arm(&world->native);
    }
    world->shard.now = end;
}

/* --- to get to a state: the peer's first byte is 1001, ours is iss + 1 --- */

static weir_seq iss;

static void passive_open(void)
{
    put(SYN, 1000, 0);
    iss = expect(SYN | ACK)->seq;
    put(ACK, 1001, iss + 1);
    expect_nothing();
    accept_one(world);
}

static void active_begin(void)
{
    world->tcp =
        weir_tcp_new(&world->native, &world->key, weir_flow_hash(&world->native, &world->key));
    assert_int_equal(weir_tcp_connect(world->tcp), 0);
    iss = expect(SYN)->seq;
}

static void user_close(void)
{
    weir_tcp_user_close(world->tcp, false);
    weir_tcp_output_all(&world->native);
}

static void to_fin_wait_1(void)
{
    passive_open();
    user_close();
    expect_at(FIN | ACK, iss + 1, 1001);
    assert_int_equal(world->tcp->state, WEIR_TCP_FIN_WAIT_1);
}

static void to_fin_wait_2(void)
{
    to_fin_wait_1();
    put(ACK, 1001, iss + 2);
    assert_int_equal(world->tcp->state, WEIR_TCP_FIN_WAIT_2);
}

static void to_close_wait(void)
{
    passive_open();
    put(FIN | ACK, 1001, iss + 1);
    expect_at(ACK, iss + 1, 1002);
    assert_int_equal(world->tcp->state, WEIR_TCP_CLOSE_WAIT);
}

static void to_last_ack(void)
{
    to_close_wait();
    user_close();
    expect_at(FIN | ACK, iss + 1, 1002);
    assert_int_equal(world->tcp->state, WEIR_TCP_LAST_ACK);
}

static void to_closing(void)
{
    to_fin_wait_1();
    put(FIN | ACK, 1001, iss + 1);
    expect_at(ACK, iss + 2, 1002);
    assert_int_equal(world->tcp->state, WEIR_TCP_CLOSING);
}

static void to_time_wait(void)
{
    to_fin_wait_2();
    put(FIN | ACK, 1001, iss + 2);
    expect_at(ACK, iss + 2, 1002);
    assert_int_equal(world->native.conns.live, 0);
    assert_int_equal(world->native.waits.live, 1);
}

static void abort_it(void)
{
    weir_tcp_user_close(world->tcp, true);
    expect(RST | ACK);
}

/* --- 3.10.7.1, 3.10.7.2 --- */

static void closed_answers_with_rst(void **state)
{
    (void)state;
    world->listens = false;
    put_len(SYN, 1000, 0, 5);
    expect_at(RST | ACK, 0, 1006);
    put_len(ACK, 1000, 77, 5);
    expect_at(RST, 77, 0);
    put(FIN, 1000, 0);
    expect_at(RST | ACK, 0, 1001);
    put(RST, 1000, 0);
    put(RST | ACK, 1000, 5);
    expect_nothing();
}

static void listen_refuses_an_ack_and_ignores_an_rst(void **state)
{
    (void)state;
    put(RST, 1000, 0);
    put(0, 1000, 0);
    put(FIN, 1000, 0);
    expect_nothing();
    put(ACK, 1000, 77);
    expect_at(RST, 77, 0);
}

static void passive_open_in_three_segments(void **state)
{
    (void)state;
    passive_open();
    assert_int_equal(world->established, 1);
    assert_int_equal(world->tcp->state, WEIR_TCP_ESTABLISHED);
    assert_int_equal(world->tcp->snd_wnd, 8192);
    abort_it();
}

/* --- half-open bound, cookies --- */

static void cookies_beyond_the_backlog(void **state)
{
    weir_seq cookie;

    (void)state;
    for (uint16_t i = 0; i < 2; i++) {
        world->key.remote_port = (uint16_t)(1 + i);
        put(SYN, 1000, 0);
        expect(SYN | ACK);
    }
    assert_int_equal(world->native.conns.live, 2);
    world->key.remote_port = PEER_PORT;
    put(SYN, 1000, 0);
    cookie = expect(SYN | ACK)->seq;
    assert_int_equal(world->sent[world->taken - 1].mss, 1460);
    assert_int_equal(world->native.conns.live, 2);
    put(ACK, 1001, cookie + 2); /* not it */
    expect_at(RST, cookie + 2, 0);
    assert_int_equal(world->native.stats.tcp_cookies_bad, 1);
    put_len(ACK, 1001, cookie + 1, 10);
    assert_int_equal(world->native.stats.tcp_cookies_good, 1);
    accept_one(world);
    assert_int_equal(world->tcp->rcv_nxt, 1011);
    assert_int_equal(world->tcp->snd_una, cookie + 1);
    assert_int_equal(world->tcp->mss_peer, 1460);
    abort_it();
    while (!weir_list_empty(&world->listener.half))
        weir_tcp_user_close(weir_container_of(world->listener.half.next, struct weir_tcp, queued),
                            true);
}

static void full_accept_queue_takes_nobody(void **state)
{
    (void)state;
    for (uint16_t i = 0; i < 2; i++) {
        world->key.remote_port = (uint16_t)(1 + i);
        put(SYN, 1000, 0);
        put(ACK, 1001, expect(SYN | ACK)->seq + 1);
    }
    assert_int_equal(world->listener.accepted_count, 2);
    world->key.remote_port = PEER_PORT;
    put(SYN, 1000, 0);
    expect_nothing();
    assert_int_equal(world->native.stats.tcp_accept_overflow, 1);
    while (!weir_list_empty(&world->listener.accepted))
        weir_tcp_user_close(
            weir_container_of(world->listener.accepted.next, struct weir_tcp, queued), true);
    assert_int_equal(world->listener.accepted_count, 0);
}

/* --- 3.10.7.3 --- */

static void active_open(void **state)
{
    (void)state;
    active_begin();
    put(SYN | ACK, 1000, iss + 1);
    expect_at(ACK, iss + 1, 1001);
    assert_int_equal(world->established, 1);
    abort_it();
}

static void syn_sent_refuses_a_wrong_ack(void **state)
{
    (void)state;
    active_begin();
    put(SYN | ACK, 1000, iss);
    expect_at(RST, iss, 0);
    put(ACK, 1000, iss + 2);
    expect_at(RST, iss + 2, 0);
    put(RST | ACK, 1000, iss); /* not acceptable: dropped */
    put(RST, 1000, 0);
    expect_nothing();
    assert_int_equal(world->tcp->state, WEIR_TCP_SYN_SENT);
    put(RST | ACK, 1000, iss + 1);
    assert_int_equal(world->ended, 1);
    assert_int_equal(world->ended_error, -ECONNREFUSED);
}

/* 3.5, figure 8. */
static void simultaneous_open(void **state)
{
    (void)state;
    active_begin();
    put(SYN, 1000, 0);
    expect_at(SYN | ACK, iss, 1001);
    put(SYN | ACK, 1000, iss + 1);
    assert_int_equal(world->tcp->state, WEIR_TCP_ESTABLISHED);
    assert_int_equal(world->established, 1);
    abort_it();
}

/* --- data --- */

static void data_is_queued_and_acknowledged(void **state)
{
    (void)state;
    passive_open();
    put_len(ACK, 1001, iss + 1, 1000);
    put_len(ACK, 2001, iss + 1, 1460);
    put_len(ACK, 3461, iss + 1, 1460);
    expect_at(ACK, iss + 1, 4921);
    assert_int_equal(world->readable, 3);
    assert_int_equal(world->tcp->rcv_used, 3920);
    abort_it();
}

static void delayed_ack_goes_within_40_ms(void **state)
{
    (void)state;
    passive_open();
    put_len(ACK, 1001, iss + 1, 10);
    expect_nothing();
    pass(WEIR_MS(39));
    expect_nothing();
    pass(WEIR_MS(2));
    expect_at(ACK, iss + 1, 1011);
    abort_it();
}

/* 3.8.6.1: a probe of a shut window is answered. */
static void zero_window_probe_is_answered(void **state)
{
    (void)state;
    passive_open();
    world->tcp->rcv_buf = 1000;
    world->tcp->rcv_adv = 2001;
    put_len(ACK, 1001, iss + 1, 1000);
    pass(WEIR_MS(50));
    assert_int_equal(expect(ACK)->window, 0);
    put_len(ACK, 2001, iss + 1, 1);
    expect_at(ACK, iss + 1, 2001);
    assert_int_equal(world->tcp->rcv_used, 1000);
    abort_it();
}

/* 3.10.7.4: "If the RCV.WND is zero, no segments will be acceptable, but special allowance should
 * be made to accept valid ACKs, URGs, and RSTs." */
static void shut_window(void)
{
    passive_open();
    world->tcp->rcv_buf = 1000;
    world->tcp->rcv_adv = 2001;
    put_len(ACK, 1001, iss + 1, 1000);
    pass(WEIR_MS(50));
    assert_int_equal(expect(ACK)->window, 0);
}

static void ack_counts_at_a_shut_window(void **state)
{
    (void)state;
    shut_window();
    assert_int_equal(weir_tcp_push(world->tcp, "abc", 3, true), 3);
    weir_tcp_output(world->tcp);
    world->taken = world->sent_count;
    put_len(ACK, 2001, iss + 4, 1); /* a probe, which says that the three bytes are there */
    assert_int_equal(world->tcp->snd_una, iss + 4);
    expect_at(ACK, iss + 4, 2001);
    assert_int_equal(world->tcp->rcv_used, 1000);
    put_len(ACK, 2002, iss + 4, 1); /* beyond the edge: no */
    expect_at(ACK, iss + 4, 2001);
    abort_it();
}

static void fin_counts_at_a_shut_window(void **state)
{
    (void)state;
    shut_window();
    put(FIN | ACK, 2001, iss + 1);
    expect_at(ACK, iss + 1, 2002);
    assert_int_equal(world->tcp->state, WEIR_TCP_CLOSE_WAIT);
    assert_int_equal(world->tcp->rcv_used, 1000);
    abort_it();
}

/* --- closing --- */

static void active_close(void **state)
{
    (void)state;
    to_time_wait();
    pass(WEIR_SEC(59));
    assert_int_equal(world->native.waits.live, 1);
    pass(WEIR_SEC(2));
    assert_int_equal(world->native.waits.live, 0);
    expect_nothing();
}

static void passive_close(void **state)
{
    (void)state;
    to_last_ack();
    put(ACK, 1002, iss + 2);
    assert_int_equal(world->native.conns.live, 0);
    assert_int_equal(world->native.waits.live, 0);
    expect_nothing();
}

static void simultaneous_close(void **state)
{
    (void)state;
    to_closing();
    put(ACK, 1002, iss + 2);
    assert_int_equal(world->native.conns.live, 0);
    assert_int_equal(world->native.waits.live, 1);
    expect_nothing();
}

static void fin_and_ack_of_ours_at_once(void **state)
{
    (void)state;
    to_fin_wait_1();
    put(FIN | ACK, 1001, iss + 2);
    expect_at(ACK, iss + 2, 1002);
    assert_int_equal(world->native.waits.live, 1);
}

/* RFC 2525 2.17: what was not read makes the close a reset. */
static void close_with_unread_data_resets(void **state)
{
    (void)state;
    passive_open();
    put_len(ACK, 1001, iss + 1, 10);
    user_close();
    expect(RST | ACK);
    assert_int_equal(world->native.conns.live, 0);
}

/* 3.6.1, 3.10.4: data after close. */
static void data_for_an_orphan_resets(void **state)
{
    (void)state;
    to_fin_wait_2();
    put_len(ACK, 1001, iss + 2, 10);
    expect(RST | ACK);
    assert_int_equal(world->native.conns.live, 0);
}

/* Half-closed: the user still reads. */
static void shutdown_goes_on_receiving(void **state)
{
    (void)state;
    passive_open();
    assert_int_equal(weir_tcp_user_shutdown(world->tcp), 0);
    weir_tcp_output_all(&world->native);
    expect(FIN | ACK);
    put(ACK, 1001, iss + 2);
    pass(WEIR_SEC(600));
    put_len(ACK, 1001, iss + 2, 1460);
    put_len(ACK, 2461, iss + 2, 1460);
    expect_at(ACK, iss + 2, 3921);
    put(FIN | ACK, 3921, iss + 2);
    expect_at(ACK, iss + 2, 3922);
    assert_int_equal(world->ended, 1);
    assert_int_equal(world->ended_error, 0);
    assert_int_equal(world->tcp->state, WEIR_TCP_CLOSED);
    assert_int_equal(world->tcp->rcv_used, 2920); /* still to be read */
    weir_tcp_user_close(world->tcp, false);
    expect_nothing();
}

static void orphan_in_fin_wait_2_ends(void **state)
{
    (void)state;
    to_fin_wait_2();
    pass(WEIR_SEC(59));
    assert_int_equal(world->native.conns.live, 1);
    pass(WEIR_SEC(2));
    assert_int_equal(world->native.conns.live, 0);
}

/* --- RST in every state; RFC 5961 3.2 --- */

static void rst_in_every_state(void **state)
{
    void (*const to[])(void) = { passive_open,  to_fin_wait_1, to_fin_wait_2,
                                 to_close_wait, to_last_ack,   to_closing };
    const weir_seq next[] = { 1001, 1001, 1001, 1002, 1002, 1002 };

    (void)state;
    for (unsigned i = 0; i < WEIR_COUNT(to); i++) {
        world_end(world);
        world_begin(world);
        to[i]();
        put(RST, next[i] + 1, 0); /* in the window, not exact */
        assert_int_equal(expect(ACK)->ack, next[i]);
        assert_int_equal(world->native.conns.live, 1);
        put(RST, next[i] - 1, 0); /* outside */
        expect_nothing();
        put(RST, next[i], 0);
        expect_nothing();
        assert_int_equal(world->native.flows.count, 0);
        if (i == 0 || i == 3) {
            assert_int_equal(world->ended_error, -ECONNRESET);
            weir_tcp_user_close(world->tcp, false);
        }
    }
}

static void rst_in_syn_received_is_back_to_listen(void **state)
{
    (void)state;
    put(SYN, 1000, 0);
    expect(SYN | ACK);
    put(RST, 1001, 0);
    expect_nothing();
    assert_int_equal(world->native.conns.live, 0);
    assert_int_equal(world->listener.half_open, 0);
}

static void rst_while_unaccepted_leaves_the_queue(void **state)
{
    (void)state;
    put(SYN, 1000, 0);
    put(ACK, 1001, expect(SYN | ACK)->seq + 1);
    assert_int_equal(world->listener.accepted_count, 1);
    put(RST, 1001, 0);
    assert_int_equal(world->listener.accepted_count, 0);
    assert_true(weir_list_empty(&world->listener.accepted));
    assert_int_equal(world->native.conns.live, 0);
}

/* --- RFC 5961 4.2, 5.2; RFC 7323 --- */

static void syn_in_established_is_challenged(void **state)
{
    (void)state;
    passive_open();
    put(SYN, 5000, 0);
    expect_at(ACK, iss + 1, 1001);
    put(SYN, 90000000, 0);
    expect_at(ACK, iss + 1, 1001);
    abort_it();
}

static void acks_out_of_range_are_challenged(void **state)
{
    (void)state;
    passive_open();
    put_len(ACK, 1001, iss + 2, 10); /* of what was not sent */
    expect_at(ACK, iss + 1, 1001);
    put_len(ACK, 1001, iss + 1 - 8192, 10); /* the oldest that can be */
    assert_int_equal(world->tcp->rcv_nxt, 1011);
    put_len(ACK, 1011, iss + 1 - 8193, 10);
    assert_int_equal(world->tcp->rcv_nxt, 1011);
    expect(ACK);
    abort_it();
}

static void challenges_are_limited(void **state)
{
    unsigned answers;

    (void)state;
    passive_open();
    for (answers = 0; answers < SENT_MAX - 8; answers++)
        world->taken = world->sent_count = 0, put(RST, 1002, 0);
    for (unsigned i = 0; i < 1000; i++)
        world->taken = world->sent_count = 0, put(RST, 1002, 0);
    assert_true(world->native.stats.tcp_challenge_limited > 0);
    assert_in_range(world->native.stats.tcp_challenge_acks, 500, 999);
    world->taken = world->sent_count;
    abort_it();
}

static void paws_drops_old_segments(void **state)
{
    (void)state;
    world->peer_ts = 5000;
    passive_open();
    assert_true(world->tcp->flags & WEIR_TCP_TS);
    world->peer_ts = 4999;
    put_len(ACK, 1001, iss + 1, 10);
    expect_at(ACK, iss + 1, 1001);
    assert_int_equal(world->native.stats.tcp_paws, 1);
    world->peer_ts = 0; /* without: silently (RFC 7323 3.2) */
    put_len(ACK, 1001, iss + 1, 10);
    expect_nothing();
    assert_int_equal(world->tcp->rcv_nxt, 1001);
    world->peer_ts = 5001;
    put_len(ACK, 1001, iss + 1, 10);
    assert_int_equal(world->tcp->rcv_nxt, 1011);
    assert_int_equal(world->tcp->ts_recent, 5001);
    pass(WEIR_SEC(1));                        /* the delayed ACK */
    world->shard.now += WEIR_SEC(25 * 86400); /* 5.5: what we remember is void */
    world->peer_ts = 1;
    put_len(ACK, 1011, iss + 1, 10);
    assert_int_equal(world->tcp->rcv_nxt, 1021);
    assert_int_equal(world->tcp->ts_recent, 1); /* or it would come into force again later */
    world->taken = world->sent_count;
    abort_it();
}

/* --- TIME-WAIT --- */

static void time_wait_answers_the_fin_again(void **state)
{
    (void)state;
    to_time_wait();
    pass(WEIR_SEC(50));
    put(FIN | ACK, 1001, iss + 2);
    expect_at(ACK, iss + 2, 1002);
    pass(WEIR_SEC(50)); /* it began again */
    assert_int_equal(world->native.waits.live, 1);
    put(RST, 1002, 0); /* RFC 1337 */
    put(ACK, 1002, iss + 2);
    expect_nothing();
    assert_int_equal(world->native.waits.live, 1);
}

/* RFC 6191. */
static void time_wait_lets_a_new_syn_through(void **state)
{
    weir_seq before;

    (void)state;
    to_time_wait();
    before = iss + 2;
    put(SYN, 900, 0); /* perhaps old */
    expect_nothing();
    put(SYN, 1003, 0);
    assert_true(weir_seq_lt(before, expect(SYN | ACK)->seq));
    assert_int_equal(world->native.waits.live, 0);
    assert_int_equal(world->native.conns.live, 1);
    put(RST, 1004, 0);
}

static void time_wait_is_bounded(void **state)
{
    (void)state;
    for (uint16_t i = 0; i < 66; i++) {
        world->key.remote_port = (uint16_t)(1000 + i);
        world->taken = world->sent_count = 0;
        to_fin_wait_2();
        put(FIN | ACK, 1001, iss + 2);
        assert_int_equal(world->native.waits.live, i < 64 ? i + 1 : 64);
    }
    assert_int_equal(world->native.flows.count, 64);
    world->key.remote_port = 1001; /* the oldest have gone */
    assert_null(weir_flows_find(&world->native.flows, weir_flow_hash(&world->native, &world->key),
                                &world->key));
    world->key.remote_port = 1002;
    assert_non_null(weir_flows_find(&world->native.flows,
                                    weir_flow_hash(&world->native, &world->key), &world->key));
}

/* --- users who act in the middle of a segment --- */

static void close_in_event(struct weir_tcp *tcp)
{
    weir_tcp_user_close(tcp, false);
}

static void abort_in_event(struct weir_tcp *tcp)
{
    weir_tcp_user_close(tcp, true);
}

static void users_may_close_in_the_event(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        world_end(world);
        world_begin(world);
        passive_open();
        world->on_readable = i % 2 ? close_in_event : abort_in_event;
        put_len(i < 2 ? ACK : ACK | FIN, 1001, iss + 1, 10);
        expect(RST | ACK);
        assert_int_equal(world->native.conns.live, 0);
    }
}

/* --- prediction --- */

static void check_same(const struct weir_tcp *a, const struct weir_tcp *b)
{
    assert_int_equal(a->state, b->state);
    assert_int_equal(a->flags, b->flags);
    assert_int_equal(a->rcv_nxt, b->rcv_nxt);
    assert_int_equal(a->rcv_adv, b->rcv_adv);
    assert_int_equal(a->rcv_buf, b->rcv_buf);
    assert_int_equal(a->rcv_used, b->rcv_used);
    assert_int_equal(a->rcv_held, b->rcv_held);
    assert_int_equal(a->rcv_unacked, b->rcv_unacked);
    assert_int_equal(a->rcv_tuned, b->rcv_tuned);
    assert_int_equal(a->ts_recent, b->ts_recent);
    assert_int_equal(a->last_ack_sent, b->last_ack_sent);
    assert_int_equal(a->snd_una, b->snd_una);
    assert_int_equal(a->snd_nxt, b->snd_nxt);
    assert_int_equal(a->snd_wnd, b->snd_wnd);
    assert_int_equal(a->snd_wl1, b->snd_wl1);
    assert_int_equal(a->snd_wl2, b->snd_wl2);
    assert_int_equal(a->cwnd, b->cwnd);
    assert_int_equal(a->ack_at, b->ack_at);
    assert_int_equal(a->rto_at, b->rto_at);
    assert_int_equal(a->ooo == NULL, b->ooo == NULL);
}

static void read_all(struct weir_tcp *tcp)
{
    uint32_t taken = 0;

    while (tcp->rx_head) {
        struct weir_pkt *pkt = weir_tcp_rx_take(tcp);

        taken += pkt->buf.len;
        weir_pkt_free(pkt);
    }
    weir_tcp_consumed(tcp, taken);
}

static void in_both(uint64_t *random, bool slow, struct world *w, uint64_t draw[8])
{
    struct weir_tcp *tcp = w->tcp;
    struct weir_pkt *pkt;
    weir_seq seq = tcp->rcv_nxt, ack = tcp->snd_una;
    uint8_t flags = ACK;

    (void)random;
    weir_shard_current = &w->shard;
    w->sent_count = w->taken = 0;
    if (draw[0] % 4 == 0)
        weir_tcp_push(tcp, "0123456789", draw[1] % 11, true);
    weir_tcp_output_all(&w->native);
    if (draw[2] % 3 == 0)
        ack = tcp->snd_nxt;
    if (draw[2] % 16 == 1)
        ack += (uint32_t)(draw[2] >> 8) % 5 - 2;
    if (draw[3] % 8 == 0)
        seq += (uint32_t)(draw[3] >> 8) % 3000 - 1000;
    if (draw[4] % 32 == 0)
        flags = (uint8_t)(draw[4] >> 8) & (ACK | PSH | SYN | WEIR_URG);
    if (draw[5] % 8 == 0)
        w->peer_ts += (uint32_t)(draw[5] >> 8) % 9 - 2;
    pkt = segment_to(w, flags, seq, ack, (uint32_t)(draw[6] % 4 ? draw[6] >> 8 : 0) % 1461);
    pkt->rx.ts_ecr = (uint32_t)(w->shard.now / WEIR_MS(1)) + tcp->ts_offset;
    run(w, pkt, slow);
    if (draw[7] % 3 == 0)
        read_all(tcp);
    weir_tcp_output_all(&w->native);
    w->shard.now += WEIR_US(draw[7] >> 8 & 0xfff);
}

static void prediction_changes_nothing(void **state)
{
    uint64_t random = random_seed(), draw[8], steps = random_rounds(20000, 1000000);
    struct world *other = &worlds[1];

    (void)state;
    world_begin(other);
    world->peer_ts = other->peer_ts = 5000;
    passive_open();
    run(other, segment_to(other, SYN, 1000, 0, 0), false);
    run(other, segment_to(other, ACK, 1001, other->sent[0].seq + 1, 0), false);
    accept_one(other);
    for (uint64_t i = 0; i < steps; i++) {
        for (unsigned j = 0; j < 8; j++)
            draw[j] = random_next(&random);
        in_both(&random, false, world, draw);
        in_both(&random, true, other, draw);
        check_same(world->tcp, other->tcp);
        assert_int_equal(world->sent_count, other->sent_count);
        for (unsigned j = 0; j < world->sent_count; j++)
            assert_memory_equal(&world->sent[j], &other->sent[j], sizeof world->sent[j]);
    }
    assert_int_equal(world->tcp->state, WEIR_TCP_ESTABLISHED);
    assert_true(world->tcp->rcv_nxt - 1001 > steps * 10); /* it was no idle talk */
    assert_true(world->tcp->snd_una - iss > steps / 10);
    weir_tcp_user_close(other->tcp, true);
    world_end(other);
    weir_shard_current = &world->shard;
    world->taken = world->sent_count;
    abort_it();
}

/* --- anything at any time --- */

static uint32_t queue_len(const struct weir_tcp *tcp)
{
    uint32_t len = 0;

    for (const struct weir_buf *buf = tcp->rx_head ? &tcp->rx_head->buf : NULL; buf;
         buf = buf->next)
        len += buf->len;
    return len;
}

static void random_user(uint64_t *random)
{
    struct weir_tcp *tcp = world->tcp;

    if (!tcp && !weir_list_empty(&world->listener.accepted))
        accept_one(world);
    else if (!tcp)
        return;
    else if (!(tcp->flags & WEIR_TCP_USER) && random_below(random, 8) == 0)
        weir_tcp_user_close(tcp, true), world->tcp = NULL; /* withdraws the connect */
    else if (!(tcp->flags & WEIR_TCP_USER))
        return;
    else if (random_below(random, 4) == 0 && tcp->state != WEIR_TCP_CLOSED &&
             !(tcp->flags & WEIR_TCP_FIN_QUEUED))
        weir_tcp_push(tcp, flow_table, random_below(random, sizeof flow_table), true);
    else if (random_below(random, 3) == 0)
        read_all(tcp);
    else if (random_below(random, 8) == 0)
        weir_tcp_user_shutdown(tcp);
    else if (random_below(random, 8) == 0)
        weir_tcp_user_close(tcp, random_below(random, 2)), world->tcp = NULL;
}

static void random_segment(uint64_t *random)
{
    struct weir_flow *flow = weir_flows_find(
        &world->native.flows, weir_flow_hash(&world->native, &world->key), &world->key);
    struct weir_tcp *tcp =
        flow && flow->kind == WEIR_FLOW_TCP ? weir_container_of(flow, struct weir_tcp, flow) : NULL;
    weir_seq seq = tcp ? tcp->rcv_nxt : 1000, ack = tcp ? tcp->snd_nxt : 0;
    uint8_t flags = ACK;
    uint32_t len = random_below(random, 2) ? 0 : (uint32_t)random_below(random, 1461);
    struct weir_pkt *pkt;

    if (random_below(random, 4) == 0)
        flags = (uint8_t)random_below(random, 64);
    if (random_below(random, 8) == 0)
        flags |= FIN;
    if (random_below(random, 4) == 0)
        seq += (uint32_t)random_below(random, 4000) - 1000;
    if (random_below(random, 4) == 0)
        ack += (uint32_t)random_below(random, 5) - 3;
    if (random_below(random, 50) == 0)
        seq = (weir_seq)random_next(random);
    if (world->peer_ts)
        world->peer_ts += (uint32_t)random_below(random, 8) - (random_below(random, 8) == 0);
    pkt = segment_to(world, flags, seq, ack, len);
    pkt->rx.window = random_below(random, 4) ? 8192 : (uint16_t)random_below(random, 2000);
    pkt->rx.wscale = (uint8_t)(random_below(random, 2) ? 255 : random_below(random, 15));
    pkt->rx.sack_ok = random_below(random, 2);
    run(world, pkt, random_below(random, 2));
}

static void random_life(uint64_t *random)
{
    world_end(world);
    world_begin(world);
    world->peer_ts = random_below(random, 2) ? 5000 : 0;
    if (random_below(random, 2))
        active_begin();
    for (int i = 0; i < 200; i++) {
        world->sent_count = world->taken = 0;
        if (random_below(random, 3) == 0)
            random_user(random);
        random_segment(random);
        if (random_below(random, 20) == 0)
            pass((weir_time)random_below(random, (uint64_t)WEIR_SEC(20)));
        if (!world->tcp)
            continue;
        assert_int_equal(world->tcp->rcv_used, queue_len(world->tcp));
        if (world->tcp->state >= WEIR_TCP_ESTABLISHED)
            weir_tcp_validate(world->tcp);
    }
    if (world->tcp)
        weir_tcp_user_close(world->tcp, true);
    while (!weir_list_empty(&world->listener.accepted))
        accept_one(world), weir_tcp_user_close(world->tcp, true);
    for (int i = 0; i < 200; i++) { /* an hour: what nobody answers comes to its end */
        world->sent_count = world->taken = 0;
        pass(WEIR_SEC(20));
    }
}

static void random_lives_leave_nothing_behind(void **state)
{
    uint64_t random = random_seed(), rounds = random_rounds(300, 20000);

    (void)state;
    for (uint64_t i = 0; i < rounds; i++)
        random_life(&random);
}

/* --- bursts --- */

/* As the IP layer hands it up. */
static struct weir_pkt *wire(uint8_t flags, weir_seq seq, weir_seq ack, const char *text)
{
    struct weir_pkt *pkt = weir_pkt_get(&world->native.pkts);
    struct weir_ip4 ip = { .source = world->key.remote,
                           .target = world->key.local,
                           .protocol = IPPROTO_TCP,
                           .ttl = 64,
                           .total_len = (uint16_t)(40 + strlen(text)) };
    struct weir_tcp_header header = { .sport = world->key.remote_port,
                                      .dport = 80,
                                      .seq = seq,
                                      .ack = ack,
                                      .flags = flags,
                                      .window = 8192,
                                      .wscale = 255 };
    uint32_t len = 20 + (uint32_t)strlen(text);
    uint16_t check;

    pkt->l3 = 14;
    pkt->l4 = 34;
    pkt->buf.len = 34 + len;
    weir_ip4_emit(pkt->buf.data + 14, &ip);
    weir_tcp_emit(pkt->buf.data + 34, &header);
    memcpy(pkt->buf.data + 54, text, strlen(text));
    check = (uint16_t)~weir_sum_fold(weir_sum(
        pkt->buf.data + 34, len, weir_pseudo_sum(&ip.source, &ip.target, IPPROTO_TCP, len)));
    memcpy(pkt->buf.data + 50, &check, 2);
    return pkt;
}

static void burst(struct weir_pkt **pkts, unsigned count)
{
    weir_tcp_input_burst(&world->native, pkts, count);
    weir_tcp_output_all(&world->native);
}

static void burst_goes_in_order(void **state)
{
    struct weir_pkt *pkts[40];

    (void)state;
    passive_open();
    for (unsigned i = 0; i < WEIR_COUNT(pkts); i++) /* more than one burst of a device */
        pkts[i] = wire(ACK, 1001 + 5 * i, iss + 1, "hello");
    burst(pkts, WEIR_COUNT(pkts));
    assert_int_equal(world->tcp->rcv_nxt, 1001 + 200);
    assert_int_equal(world->native.stats.tcp_ooo, 0);
    assert_memory_equal(world->tcp->rx_head->buf.data, "hello", 5);
    abort_it();
}

static void burst_drops_bad_checksums(void **state)
{
    struct weir_pkt *pkts[3];

    (void)state;
    passive_open();
    partial_seen = 0;
    pkts[0] = wire(ACK, 1001, iss + 1, "hello");
    pkts[0]->buf.data[56] ^= 1;
    pkts[1] = wire(ACK, 1006, iss + 1, "world");
    pkts[1]->buf.data[56] ^= 1;
    pkts[1]->flags |= WEIR_PKT_L4_GOOD; /* the device vouches for it */
    pkts[2] = wire(ACK, 1001, iss + 1, "odd");
    burst(pkts, 3);
    assert_int_equal(world->native.stats.tcp_bad, 1);
    assert_int_equal(partial_seen, 1);
    assert_int_equal(world->tcp->rcv_nxt, 1004);
    assert_non_null(world->tcp->ooo);
    world->taken = world->sent_count;
    abort_it();
}

/* A connection that ends in the middle of a burst is gone for the rest of it. */
static void burst_may_end_a_connection(void **state)
{
    struct weir_pkt *pkts[3];

    (void)state;
    passive_open();
    user_close();
    expect(FIN | ACK);
    pkts[0] = wire(ACK, 1001, iss + 2, "");
    pkts[1] = wire(RST, 1001, 0, "");
    pkts[2] = wire(ACK, 1001, iss + 2, "");
    burst(pkts, 3);
    expect_at(RST, iss + 2, 0);
    assert_int_equal(world->native.conns.live, 0);
}

static void burst_forwards_what_is_not_ours(void **state)
{
    struct weir_pkt *pkt = wire(SYN, 1000, 0, "");

    (void)state;
    memset(flow_table, 3, sizeof flow_table);
    forwarded_to = 0;
    burst(&pkt, 1);
    assert_int_equal(forwarded_to, 3);
    expect_nothing();
    pkt = wire(SYN, 1000, 0, ""); /* ... but not what has been */
    pkt->flags |= WEIR_PKT_FORWARDED;
    world->listens = false;
    burst(&pkt, 1);
    expect(RST | ACK);
}

/* As many in TIME-WAIT as connections; with very many connections, half as many. */
static void waits_are_bounded(void **state)
{
    (void)state;
    assert_int_equal(weir_tcp_waits_max(64), 64);
    assert_int_equal(weir_tcp_waits_max(65536), 65536);
    assert_int_equal(weir_tcp_waits_max(65537), 65536);
    assert_int_equal(weir_tcp_waits_max(131073), 65536);
    assert_int_equal(weir_tcp_waits_max(131074), 65537);
    assert_int_equal(weir_tcp_waits_max(UINT32_MAX), UINT32_MAX / 2);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(closed_answers_with_rst),
        CASE(listen_refuses_an_ack_and_ignores_an_rst),
        CASE(passive_open_in_three_segments),
        CASE(cookies_beyond_the_backlog),
        CASE(full_accept_queue_takes_nobody),
        CASE(active_open),
        CASE(syn_sent_refuses_a_wrong_ack),
        CASE(simultaneous_open),
        CASE(data_is_queued_and_acknowledged),
        CASE(delayed_ack_goes_within_40_ms),
        CASE(zero_window_probe_is_answered),
        CASE(ack_counts_at_a_shut_window),
        CASE(fin_counts_at_a_shut_window),
        CASE(active_close),
        CASE(passive_close),
        CASE(simultaneous_close),
        CASE(fin_and_ack_of_ours_at_once),
        CASE(close_with_unread_data_resets),
        CASE(data_for_an_orphan_resets),
        CASE(shutdown_goes_on_receiving),
        CASE(orphan_in_fin_wait_2_ends),
        CASE(rst_in_every_state),
        CASE(rst_in_syn_received_is_back_to_listen),
        CASE(rst_while_unaccepted_leaves_the_queue),
        CASE(syn_in_established_is_challenged),
        CASE(acks_out_of_range_are_challenged),
        CASE(challenges_are_limited),
        CASE(paws_drops_old_segments),
        CASE(time_wait_answers_the_fin_again),
        CASE(time_wait_lets_a_new_syn_through),
        CASE(time_wait_is_bounded),
        CASE(users_may_close_in_the_event),
        CASE(burst_goes_in_order),
        CASE(burst_drops_bad_checksums),
        CASE(burst_may_end_a_connection),
        CASE(burst_forwards_what_is_not_ours),
        CASE(prediction_changes_nothing),
        CASE(random_lives_leave_nothing_behind),
        cmocka_unit_test(waits_are_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
