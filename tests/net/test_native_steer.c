/* test_native_steer.c - packets on their way between shards: how many may wait, what is counted
 * when they may not; and detours, which are made, followed and forgotten.
 *
 * Two or three shards in the simulation, on a clean wire.  A case looks at the stack of every shard
 * from where it stands, for they all run in one thread. */
#include "tests/core/testing.h"
#include <errno.h>
#include "net/native/steer.c"
#include "net/native/wire/wire.h"
#include "tests/seeds.h"

#define SOON weir_after(WEIR_SEC(30))

enum { SHARDS_MAX = 3, PORT = 7000, FIRST_PEER = 20000 };

static struct {
    void (*steps)(void); /* the case: on shard 0 */
    struct weir_native *native[SHARDS_MAX];
    unsigned there; /* shards that have said who they are */
    /* what the last shard does for the case */
    bool want_listener, want_udp;
    struct weir_listener *listener;
    struct weir_udp *udp;
} steer;

static struct weir_native *other(void)
{
    return steer.native[weir_shard_count() - 1];
}

static struct courier *courier_to(unsigned shard)
{
    return &steer.native[0]->steer->courier[shard];
}

/* --- the world --- */

static void steer_main(void *arg)
{
    bool last = weir_shard_id() + 1 == weir_shard_count();
    struct weir_stop_wait over;

    (void)arg;
    steer.native[weir_shard_id()] = weir_native_of(weir_stack_of(weir_shard_current));
    if (last && steer.want_listener)
        check_int(weir_listen(&steer.listener, "127.0.0.1:7000", NULL), 0);
    if (last && steer.want_udp)
        check_int(weir_udp_open(&steer.udp, "127.0.0.1:7000", NULL), 0);
    steer.there++;
    while (steer.there < weir_shard_count())
        check_int(weir_sleep(WEIR_MS(1)), 0);
    weir_stop_wait_start(&over);
    if (weir_shard_id() == 0) {
        steer.steps();
        weir_stop();
    }
    check_int(weir_await(&over.future, WEIR_NEVER), 0);
    if (last && steer.listener)
        weir_listener_close(steer.listener);
    if (last && steer.udp)
        weir_udp_close(steer.udp);
}

static void steer_seed(uint64_t seed)
{
    void (*steps)(void) = steer.steps;
    bool want_listener = steer.want_listener, want_udp = steer.want_udp;
    struct weir_sim_config config;

    memset(&steer, 0, sizeof steer);
    steer.steps = steps;
    steer.want_listener = want_listener;
    steer.want_udp = want_udp;
    weir_sim_config_init(&config);
    config.seed = seed;
    config.shards = seed % 2 ? 2 : SHARDS_MAX;
    config.limit = WEIR_SEC(7 * 86400);
    config.native = true;
    check_int(weir_sim_run(&config, steer_main, NULL), 0);
}

static void steer_run(void (*steps)(void))
{
    steer.steps = steps;
    steer.want_listener = steer.want_udp = false;
    seeds_each(6, steer_seed);
}

/* --- packets as shard 0 might have received them --- */

static struct weir_pkt *packet(uint8_t protocol, uint16_t payload)
{
    struct weir_pkt *pkt = weir_pkt_get(&steer.native[0]->pkts);
    const struct weir_ip4 ip = { .source = weir_ip_v4(htonl(INADDR_LOOPBACK)),
                                 .target = weir_ip_v4(htonl(INADDR_LOOPBACK)),
                                 .protocol = protocol,
                                 .ttl = 64,
                                 .total_len = 30 };
    uint8_t *at;

    check(pkt != NULL);
    at = pkt->buf.data;
    memset(at, 0, 44);
    weir_put16(at + 12, WEIR_ETHERTYPE_IP4);
    check_int((int64_t)weir_ip4_emit(at + 14, &ip), 20);
    weir_put16(at + 34, FIRST_PEER);
    weir_put16(at + 36, PORT);
    weir_put16(at + 38, 10);
    weir_put16(at + 42, payload);
    pkt->buf.len = 44;
    pkt->l3 = 14;
    pkt->l4 = 34;
    pkt->flags = WEIR_PKT_IP_GOOD | WEIR_PKT_L4_GOOD;
    return pkt;
}

/* One that nobody over there has a use for. */
static struct weir_pkt *nobodys(void)
{
    return packet(253, 0); /* RFC 3692: for experiments */
}

static void forward_nobodys(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        weir_steer_forward(steer.native[0], nobodys(), other()->shard->id);
}

/* Until nothing waits and nothing is under way. */
static void arrive(void)
{
    weir_time patience = SOON;

    while (steer.native[0]->steer->waiting > 0 || courier_to(other()->shard->id)->out) {
        check(weir_now() < patience);
        check_int(weir_sleep(WEIR_US(10)), 0);
    }
}

/* --- the bound, and what is counted --- */

static void bound_steps(void)
{
    struct weir_native *native = steer.native[0];
    struct courier *courier = courier_to(other()->shard->id);
    uint32_t packets = native->pkts.pool.live;

    forward_nobodys(STEER_WAITING);
    check_int(courier->waiting, STEER_WAITING);
    check_int((int64_t)native->stats.forward_dropped, 0);
    forward_nobodys(1);
    check_int(courier->waiting, STEER_WAITING);
    check_int((int64_t)native->stats.forward_dropped, 1);
    check_int((int64_t)native->stats.forwarded, STEER_WAITING + 1);
    weir_steer_flush(native); /* a burst of them sets out */
    check(courier->out);
    check_int(courier->count, STEER_BURST);
    check_int(courier->waiting, STEER_WAITING - STEER_BURST);
    weir_steer_flush(native); /* one courier, one way */
    check_int(courier->count, STEER_BURST);
    forward_nobodys(STEER_BURST);
    check_int((int64_t)native->stats.forward_dropped, 1);
    forward_nobodys(3);
    check_int((int64_t)native->stats.forward_dropped, 4);
    check_int(native->steer->waiting, STEER_WAITING);
    check_int(native->pkts.pool.live, packets + STEER_WAITING + STEER_BURST);
    arrive();
    check_int(native->pkts.pool.live, packets);
    check_int((int64_t)other()->stats.forward_dropped, 0);
}

static void a_full_queue_drops_and_counts(void **state)
{
    (void)state;
    steer_run(bound_steps);
}

static int64_t receive_all(void *arg)
{
    uint8_t data[8];

    for (uint16_t i = 0; i < STEER_WAITING; i++) {
        check_int(weir_recv_from(steer.udp, data, sizeof data, NULL, SOON), 2);
        check_int(weir_get16(data), i);
    }
    check_int(weir_recv_from(steer.udp, data, sizeof data, NULL, weir_after(WEIR_MS(1))),
              -ETIMEDOUT);
    (void)arg;
    return 0;
}

static void order_steps(void)
{
    for (uint16_t i = 0; i < STEER_WAITING + 9; i++)
        weir_steer_forward(steer.native[0], packet(IPPROTO_UDP, i), other()->shard->id);
    check_int(weir_call(other()->shard->id, receive_all, NULL, SOON), 0);
    check_int((int64_t)steer.native[0]->stats.forward_dropped, 9); /* the last ones */
}

static void what_fits_arrives_in_order(void **state)
{
    (void)state;
    steer.steps = order_steps;
    steer.want_listener = false;
    steer.want_udp = true;
    seeds_each(6, steer_seed);
}

/* Shards without fibers keep each other alive by nothing. */
static void unwanted_steps(void)
{
    struct weir_native *native = steer.native[0];
    uint32_t packets = native->pkts.pool.live;
    unsigned users = atomic_exchange(&native->shared->users, 0);

    forward_nobodys(40);
    weir_steer_flush(native);
    atomic_store(&native->shared->users, users);
    check(!courier_to(other()->shard->id)->out);
    check_int(native->steer->waiting, 0);
    check_int((int64_t)native->stats.forward_dropped, 40);
    check_int(native->pkts.pool.live, packets);
}

static void nothing_sets_out_when_nobody_is_there(void **state)
{
    (void)state;
    steer_run(unwanted_steps);
}

/* Takes all the packets of a shard; returns how many. */
static unsigned packets_take(struct weir_native *native, struct weir_pkt **taken, unsigned max)
{
    unsigned count = 0;

    native->pkts.pool.max = native->pkts.pool.made;
    while (count < max && (taken[count] = weir_pkt_get(&native->pkts)) != NULL)
        count++;
    check(count < max);
    return count;
}

static void packets_return(struct weir_native *native, struct weir_pkt **taken, unsigned count)
{
    while (count > 0)
        weir_pkt_free(taken[--count]);
    native->pkts.pool.max = 65536;
}

static struct weir_pkt *taken_now[65536];

static void no_memory_there_steps(void)
{
    unsigned count = packets_take(other(), taken_now, WEIR_COUNT(taken_now));

    forward_nobodys(5);
    arrive();
    packets_return(other(), taken_now, count);
    check_int((int64_t)steer.native[0]->stats.forward_dropped, 0);
    check_int((int64_t)other()->stats.forward_dropped, 5);
}

static void no_memory_over_there_is_counted_there(void **state)
{
    (void)state;
    steer_run(no_memory_there_steps);
}

static void everyone_steps(void)
{
    struct weir_native *native = steer.native[0];
    struct weir_pkt *frame = nobodys();
    unsigned others = weir_shard_count() - 1, count;

    weir_steer_everyone(native, frame);
    check_int(native->steer->waiting, others);
    for (unsigned i = 1; i <= others; i++)
        check_int(courier_to(i)->waiting, 1);
    arrive();
    forward_nobodys(STEER_WAITING);
    weir_steer_everyone(native, frame); /* one of them finds its queue full */
    check_int((int64_t)native->stats.forward_dropped, 1);
    check_int(native->steer->waiting, STEER_WAITING + others - 1);
    arrive();
    count = packets_take(native, taken_now, WEIR_COUNT(taken_now));
    weir_steer_everyone(native, frame);
    check_int((int64_t)native->stats.forward_dropped, 1 + others);
    check_int(native->steer->waiting, 0);
    packets_return(native, taken_now, count);
    weir_pkt_free(frame);
}

static void what_is_for_everyone_is_bounded_and_counted(void **state)
{
    (void)state;
    steer_run(everyone_steps);
}

/* --- detours, made by hand --- */

/* A flow of another host's to a port of ours. */
static struct weir_flow_key peer_key(uint16_t peer_port)
{
    return (struct weir_flow_key){ .local = weir_ip_v4(htonl(INADDR_LOOPBACK)),
                                   .remote = weir_ip_v4(htonl(0x0a000001)),
                                   .local_port = PORT,
                                   .remote_port = peer_port };
}

static struct weir_pkt *segment(uint16_t peer_port, uint8_t flags)
{
    const struct weir_flow_key key = peer_key(peer_port);
    struct weir_pkt *pkt = nobodys();

    pkt->rx =
        (struct weir_pkt_rx){ .hash = weir_flow_hash(steer.native[0], &key), .tcp_flags = flags };
    return pkt;
}

static struct weir_flow *peer_flow(uint16_t peer_port)
{
    const struct weir_flow_key key = peer_key(peer_port);

    return weir_flows_find(&steer.native[0]->flows, weir_flow_hash(steer.native[0], &key), &key);
}

static void detour_open(uint16_t peer_port)
{
    const struct weir_flow_key key = peer_key(peer_port);

    weir_steer_detour_open(steer.native[0], &key, segment(peer_port, WEIR_SYN), other()->shard->id);
    arrive();
}

static void detour_follow(uint16_t peer_port, uint8_t flags)
{
    struct weir_flow *flow = peer_flow(peer_port);

    check(flow && flow->kind == WEIR_FLOW_DETOUR);
    weir_steer_detour_follow(steer.native[0], flow, segment(peer_port, flags));
    arrive();
}

static void fresh_steps(void)
{
    detour_open(1);
    check(peer_flow(1) != NULL);
    check_int((int64_t)steer.native[0]->stats.forwarded, 1);
    check_int(weir_sleep(WEIR_SEC(59)), 0);
    check(peer_flow(1) != NULL);
    check_int(weir_sleep(WEIR_SEC(2)), 0);
    check(peer_flow(1) == NULL);
    check_int(steer.native[0]->detours.live, 0);
}

static void a_handshake_that_stops_is_forgotten_after_a_minute(void **state)
{
    (void)state;
    steer_run(fresh_steps);
}

/* What is far away in time must not hide what is near. */
static void beside_steps(void)
{
    detour_open(1);
    detour_follow(1, WEIR_ACK);
    check_int(weir_sleep(WEIR_SEC(70)), 0); /* the alarm is set for tomorrow */
    check(peer_flow(1) != NULL);
    detour_open(2);
    check_int(weir_sleep(WEIR_SEC(61)), 0);
    check(peer_flow(2) == NULL);
    check(peer_flow(1) != NULL);
    detour_open(3);
    detour_follow(3, WEIR_ACK);
    check_int(weir_sleep(WEIR_SEC(61)), 0);
    check(peer_flow(3) != NULL);
    detour_follow(3, WEIR_RST); /* nothing may be behind it any more */
    check_int(weir_sleep(WEIR_SEC(61)), 0);
    check(peer_flow(3) == NULL);
    check_int(steer.native[0]->detours.live, 1);
}

static void old_detours_do_not_hide_fresh_ones(void **state)
{
    (void)state;
    steer_run(beside_steps);
}

static void day_steps(void)
{
    detour_open(1);
    detour_follow(1, WEIR_ACK);
    check_int(weir_sleep(WEIR_SEC(86000)), 0);
    detour_follow(1, WEIR_ACK); /* begins the day anew */
    check_int((int64_t)steer.native[0]->stats.forwarded, 3);
    check_int(weir_sleep(WEIR_SEC(86390)), 0);
    check(peer_flow(1) != NULL);
    check_int(weir_sleep(WEIR_SEC(11)), 0);
    check(peer_flow(1) == NULL);
    check_int(steer.native[0]->detours.live, 0);
}

static void a_silent_detour_is_forgotten_after_a_day(void **state)
{
    (void)state;
    steer_run(day_steps);
}

static void detours_max_steps(void)
{
    enum { MAX = 4 };
    struct weir_native *native = steer.native[0];
    uint64_t forwarded;

    native->detours.max = MAX;
    for (uint16_t i = 1; i <= MAX; i++)
        detour_open(i);
    check_int((int64_t)native->stats.forward_dropped, 0);
    forwarded = native->stats.forwarded;
    detour_open(MAX + 1);
    check(peer_flow(MAX + 1) == NULL);
    check_int((int64_t)native->stats.forward_dropped, 1);
    check_int((int64_t)native->stats.forwarded, (int64_t)forwarded);
    for (uint16_t i = 1; i <= MAX; i++)
        detour_follow(i, WEIR_ACK); /* those that are there are not troubled */
    check_int((int64_t)native->stats.forwarded, (int64_t)forwarded + MAX);
    detour_follow(1, WEIR_RST);
    check_int(weir_sleep(WEIR_SEC(61)), 0);
    detour_open(MAX + 1); /* room again */
    check(peer_flow(MAX + 1) != NULL);
    check_int((int64_t)native->stats.forward_dropped, 1);
}

static void detours_are_bounded(void **state)
{
    (void)state;
    steer_run(detours_max_steps);
}

static void flows_full_steps(void)
{
    struct weir_native *native = steer.native[0];
    uint32_t max = native->flows.max;

    native->flows.max = native->flows.count;
    detour_open(1);
    check(peer_flow(1) == NULL);
    check_int((int64_t)native->stats.forward_dropped, 1);
    check_int(native->detours.live, 0);
    native->flows.max = max;
    detour_open(1);
    check(peer_flow(1) != NULL);
}

static void a_full_flow_table_has_no_room_for_detours(void **state)
{
    (void)state;
    steer_run(flows_full_steps);
}

/* Only a SYN makes a detour: else any stray segment could fill the table. */
static void stray_steps(void)
{
    const struct weir_flow_key key = peer_key(1);

    weir_steer_detour_open(steer.native[0], &key, segment(1, WEIR_ACK), other()->shard->id);
    check(peer_flow(1) == NULL);
    check_int((int64_t)steer.native[0]->stats.forward_dropped, 1);
    check_int(steer.native[0]->steer->waiting, 0);
}

static void a_stray_segment_makes_no_detour(void **state)
{
    (void)state;
    steer_run(stray_steps);
}

/* --- detours of real connections --- */

enum { CLIENTS = 12 };

static struct {
    struct weir_conn *client[CLIENTS], *served[CLIENTS];
    unsigned detoured;
} way;

static int64_t accept_all(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < CLIENTS; i++)
        check_int(weir_accept(steer.listener, &way.served[i], SOON), 0);
    return 0;
}

static int64_t echo_all(void *arg)
{
    char data[16];

    (void)arg;
    for (unsigned i = 0; i < CLIENTS; i++) {
        check_int(weir_recv(way.served[i], data, sizeof data, SOON), 5);
        check_int(weir_send(way.served[i], data, 5, SOON), 5);
    }
    return 0;
}

static int64_t close_all(void *arg)
{
    char byte;

    (void)arg;
    for (unsigned i = 0; i < CLIENTS; i++) {
        check_int(weir_recv(way.served[i], &byte, 1, SOON), 0);
        weir_close(way.served[i]);
    }
    return 0;
}

static void way_open(void)
{
    struct weir_call accepting;

    weir_call_start(&accepting, other()->shard->id, accept_all, NULL);
    for (unsigned i = 0; i < CLIENTS; i++)
        check_int(weir_connect(&way.client[i], "127.0.0.1:7000", SOON), 0);
    check_int(weir_await(&accepting.future, SOON), 0);
    way.detoured = 0;
    for (unsigned i = 0; i < CLIENTS; i++) {
        const struct weir_tcp *tcp = weir_tcp_of(way.served[i]);

        check(!(tcp->flags & WEIR_TCP_DETOURED) ==
              (weir_flow_shard(other(), tcp->flow.hash) == other()->shard->id));
        way.detoured += (tcp->flags & WEIR_TCP_DETOURED) != 0;
    }
}

static void way_echo(void)
{
    struct weir_call echoing;
    char data[16];

    weir_call_start(&echoing, other()->shard->id, echo_all, NULL);
    for (unsigned i = 0; i < CLIENTS; i++) /* accepted in another order, perhaps */
        check_int(weir_send(way.client[i], "hello", 5, SOON), 5);
    for (unsigned i = 0; i < CLIENTS; i++) {
        check_int(weir_recv(way.client[i], data, sizeof data, SOON), 5);
        check(memcmp(data, "hello", 5) == 0);
    }
    check_int(weir_await(&echoing.future, SOON), 0);
}

/* The client last, so that the server's side keeps no TIME-WAIT. */
static void way_close(void)
{
    for (unsigned i = 0; i < CLIENTS; i++)
        weir_close(way.client[i]);
    check_int(weir_call(other()->shard->id, close_all, NULL, SOON), 0);
}

static unsigned detours_live(void)
{
    unsigned live = 0;

    for (unsigned i = 0; i < weir_shard_count(); i++)
        live += steer.native[i]->detours.live;
    return live;
}

static void way_steps(void)
{
    way_open();
    check(way.detoured > 0);
    check_int(detours_live(), way.detoured);
    way_echo();
    check_int(weir_sleep(WEIR_SEC(300)), 0); /* they are in use, however quiet */
    check_int(detours_live(), way.detoured);
    way_echo();
    way_close();
    check_int(weir_sleep(WEIR_SEC(50)), 0);
    check_int(detours_live(), way.detoured); /* over, but a FIN may come again */
    check_int(weir_sleep(WEIR_SEC(20)), 0);
    check_int(detours_live(), 0);
    way_open(); /* and all of it again */
    check_int(detours_live(), way.detoured);
    way_echo();
    way_close();
}

static void connections_live_where_their_listener_is(void **state)
{
    (void)state;
    steer.steps = way_steps;
    steer.want_udp = false;
    steer.want_listener = true;
    seeds_each(10, steer_seed);
}

/* --- more than couriers can carry --- */

enum { BULK = 400000, BULK_PIECE = 50000 };

static uint64_t bulk_dropped; /* of all seeds */

static uint8_t bulk_byte(uint8_t salt, size_t at)
{
    return (uint8_t)(salt + at * 31 + (at >> 8) * 7 + (at >> 16) * 131);
}

static void bulk_send(void *arg)
{
    struct weir_conn **client = arg;
    uint8_t salt = (uint8_t)(client - way.client), *data = malloc(BULK);

    check(data != NULL);
    for (size_t at = 0; at < BULK; at++)
        data[at] = bulk_byte(salt, at);
    for (size_t at = 0; at < BULK; at += BULK_PIECE)
        check_int(weir_send(*client, data + at, BULK_PIECE, SOON), BULK_PIECE);
    check_int(weir_shutdown(*client), 0);
    free(data);
}

static void bulk_receive(void *arg)
{
    struct weir_conn *conn = arg;
    uint8_t data[4096], salt = 0;
    size_t at = 0;
    int64_t n;

    while ((n = weir_recv(conn, data, sizeof data, SOON)) > 0) {
        if (at == 0)
            salt = data[0];
        for (int64_t i = 0; i < n; i++)
            check(data[i] == bulk_byte(salt, at + (size_t)i));
        at += (size_t)n;
    }
    check_int(n, 0);
    check_int((int64_t)at, BULK);
}

static int64_t bulk_receive_all(void *arg)
{
    struct weir_scope scope;

    (void)arg;
    weir_scope_init(&scope);
    for (unsigned i = 0; i < CLIENTS; i++)
        check_int(weir_spawn(&scope, bulk_receive, way.served[i]), 0);
    check_int(weir_scope_join(&scope, SOON), 0);
    for (unsigned i = 0; i < CLIENTS; i++)
        weir_close(way.served[i]);
    return 0;
}

/* All at once, through the detours, to a shard that reads at leisure. */
static void bulk_steps(void)
{
    struct weir_call receiving;
    struct weir_scope scope;

    way_open();
    check(way.detoured > 0);
    weir_call_start(&receiving, other()->shard->id, bulk_receive_all, NULL);
    weir_scope_init(&scope);
    for (unsigned i = 0; i < CLIENTS; i++)
        check_int(weir_spawn(&scope, bulk_send, &way.client[i]), 0);
    check_int(weir_scope_join(&scope, SOON), 0);
    check_int(weir_await(&receiving.future, SOON), 0);
    for (unsigned i = 0; i < CLIENTS; i++)
        weir_close(way.client[i]);
    for (unsigned i = 0; i < weir_shard_count(); i++)
        bulk_dropped += steer.native[i]->stats.forward_dropped;
}

/* What does not fit is dropped, counted, and sent again by TCP. */
static void what_couriers_drop_is_sent_again(void **state)
{
    (void)state;
    bulk_dropped = 0;
    steer.steps = bulk_steps;
    steer.want_udp = false;
    steer.want_listener = true;
    seeds_each(10, steer_seed);
    fprintf(stderr, "%llu packets were dropped\n", (unsigned long long)bulk_dropped);
    assert_true(bulk_dropped > 0 || getenv("WEIR_SEED"));
}

static int64_t say_over(void *arg)
{
    weir_steer_detour_end(other(), arg);
    return 0;
}

/* A SYN for a detour that is over is for whoever listens now. */
static void anew_steps(void)
{
    struct weir_native *native = steer.native[0];
    struct weir_flow over = { .key = peer_key(FIRST_PEER) };
    uint16_t port = FIRST_PEER;

    /* A peer whose flow is ours: only where it arrives a SYN looks further. */
    do {
        over.key = peer_key(++port);
        over.hash = weir_flow_hash(native, &over.key);
    } while (weir_flow_shard(native, over.hash) != 0);
    detour_open(port);
    detour_follow(port, WEIR_ACK);
    check_int(weir_call(other()->shard->id, say_over, &over, SOON), 0);
    check_int(weir_sleep(WEIR_MS(1)), 0);
    check(weir_container_of(peer_flow(port), struct weir_detour, flow)->over);
    detour_follow(port, WEIR_ACK); /* the rest of the old one is led there */
    check(weir_container_of(peer_flow(port), struct weir_detour, flow)->over);
    detour_follow(port, WEIR_SYN);
    check(!weir_container_of(peer_flow(port), struct weir_detour, flow)->over);
    check_int(native->detours.live, 1);
}

static void a_syn_ends_a_detour_that_is_over(void **state)
{
    (void)state;
    steer.steps = anew_steps;
    steer.want_udp = false;
    steer.want_listener = true;
    seeds_each(6, steer_seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_queue_drops_and_counts),
        cmocka_unit_test(what_fits_arrives_in_order),
        cmocka_unit_test(nothing_sets_out_when_nobody_is_there),
        cmocka_unit_test(no_memory_over_there_is_counted_there),
        cmocka_unit_test(what_is_for_everyone_is_bounded_and_counted),
        cmocka_unit_test(a_handshake_that_stops_is_forgotten_after_a_minute),
        cmocka_unit_test(old_detours_do_not_hide_fresh_ones),
        cmocka_unit_test(a_silent_detour_is_forgotten_after_a_day),
        cmocka_unit_test(detours_are_bounded),
        cmocka_unit_test(a_full_flow_table_has_no_room_for_detours),
        cmocka_unit_test(a_stray_segment_makes_no_detour),
        cmocka_unit_test(connections_live_where_their_listener_is),
        cmocka_unit_test(what_couriers_drop_is_sent_again),
        cmocka_unit_test(a_syn_ends_a_detour_that_is_over),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
