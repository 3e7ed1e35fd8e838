/* native_udp.h - UDP on our own IP with nothing around it: the layers it stands on are played here.
 * What is sent lies in `wire`, as a packet that could come in; `forwarded` says to whom one was
 * given.  Four shards, of which the first is the one that runs. */
#ifndef WEIR_TESTS_NET_NATIVE_UDP_H
#define WEIR_TESTS_NET_NATIVE_UDP_H

#include "tests/core/testing.h"
#include <errno.h>
#include <weir/weir.h>
#include "net/native/checksum.h"
#include "net/native/ip.h"
#include "net/native/shared.h"
#include "net/native/udp.h"

enum { MTU = 1500, SHARDS = 4, WIRE = 64 };

/* --- the layers around --- */

static struct weir_pkt *wire[WIRE];
static unsigned wire_count, packets_out, packets_max, unreachables, forwards, partials, paths_open;
static int forwarded, send_error;

static const struct weir_ip *own_ip(bool v6)
{
    static struct weir_ip ip[2];

    ip[0] = weir_ip_v4(htonl(0x0a000001));
    memcpy(ip[1].byte, (const uint8_t[16]){ 0xfd, [15] = 1 }, 16);
    return &ip[v6];
}

static void packet_release(struct weir_buf *buf)
{
    packets_out--;
    free(weir_pkt_of(buf));
}

struct weir_pkt *weir_pkt_get(struct weir_pkts *pkts)
{
    struct weir_pkt *pkt;

    (void)pkts;
    if (packets_out == packets_max)
        return NULL;
    pkt = calloc(1, sizeof *pkt + WEIR_PKT_HEADROOM + WEIR_PKT_ROOM);
    assert_non_null(pkt);
    packets_out++;
    pkt->buf.data = (uint8_t *)(pkt + 1) + WEIR_PKT_HEADROOM;
    pkt->buf.refs = 1;
    pkt->buf.release = packet_release;
    return pkt;
}

bool weir_ip_is_local(const struct weir_native *native, const struct weir_ip *ip)
{
    (void)native;
    return weir_ip_eq(ip, own_ip(weir_ip_is_v4(ip) ? 0 : 1));
}

bool weir_ip_is_broadcast(const struct weir_native *native, const struct weir_ip *ip)
{
    (void)native;
    return weir_ip_is_v4(ip) && ip->word[3] == UINT32_MAX;
}

bool weir_ip_is_multicast(const struct weir_ip *ip)
{
    return !weir_ip_is_v4(ip) && ip->byte[0] == 0xff;
}

bool weir_native_covers(const struct weir_ip *bound, bool ipv6_only, const struct weir_ip *ip)
{
    if (!weir_ip_is_any(bound))
        return weir_ip_eq(bound, ip);
    return weir_ip_is_v4(bound) == weir_ip_is_v4(ip) || (!weir_ip_is_v4(bound) && !ipv6_only);
}

/* 203.0.113.0/24 cannot be reached. */
int weir_path_open(struct weir_native *native, struct weir_path *path, struct weir_ip *local,
                   const struct weir_ip *remote, uint8_t protocol)
{
    (void)native;
    if (weir_ip_is_v4(remote) && (ntohl(remote->word[3]) >> 8) == 0xcb0071)
        return -ENETUNREACH;
    assert_int_equal(protocol, IPPROTO_UDP);
    if (weir_ip_is_any(local))
        *local = *own_ip(!weir_ip_is_v4(remote));
    *path = (struct weir_path){ .mtu = MTU, .v6 = !weir_ip_is_v4(remote), .header_len = 80 };
    path->pseudo_sum = weir_pseudo_sum(local, remote, protocol, 0);
    memcpy(path->header, local, 16);
    memcpy(path->header + 16, remote, 16);
    paths_open++;
    return 0;
}

void weir_path_close(struct weir_native *native, struct weir_path *path)
{
    (void)native;
    paths_open -= path->header_len > 0;
    path->header_len = 0;
}

int weir_path_refresh(struct weir_native *native, struct weir_path *path)
{
    (void)native;
    (void)path;
    return 0;
}

/* Both addresses go before the datagram, 16 bytes each: weir_ip_of reads them there. */
int weir_path_send(struct weir_native *native, struct weir_path *path, struct weir_pkt *pkt)
{
    (void)native;
    if (send_error) {
        weir_pkt_free(pkt);
        return send_error;
    }
    memcpy(weir_pkt_push(pkt, 32), path->header, 32);
    pkt->l4 = 32;
    pkt->flags |= path->v6 ? WEIR_PKT_IP6 : 0;
    assert_true(wire_count < WIRE);
    wire[wire_count++] = pkt;
    return 0;
}

void weir_ip_of(const struct weir_pkt *pkt, struct weir_ip *source, struct weir_ip *target)
{
    memcpy(source, pkt->buf.data, 16);
    memcpy(target, pkt->buf.data + 16, 16);
}

bool weir_ip_is_partial_csum(struct weir_native *native, const struct weir_pkt *pkt)
{
    (void)native;
    (void)pkt;
    partials++;
    return false;
}

void weir_icmp_port_unreachable(struct weir_native *native, struct weir_iface *iface,
                                const struct weir_pkt *pkt)
{
    (void)native;
    (void)iface;
    (void)pkt;
    unreachables++;
}

void weir_steer_forward(struct weir_native *native, struct weir_pkt *pkt, unsigned shard)
{
    (void)native;
    forwards++;
    forwarded = (int)shard;
    weir_pkt_free(pkt);
}

/* --- shards that have nothing but UDP; the first is the one that runs --- */

static struct weir_native *native[SHARDS];
static struct weir_shard other[SHARDS];
static struct weir_dev device;
static struct weir_dev_queue queue = { .dev = &device };
static struct weir_toeplitz toeplitz;
static uint8_t flow_table[WEIR_FLOW_TABLE];
static struct weir_udp_ports *ports;

static void shards_open(void)
{
    ports = weir_udp_ports_new();
    assert_non_null(ports);
    weir_toeplitz_init(&toeplitz, weir_flow_key);
    weir_flow_table_init(flow_table, SHARDS);
    wire_count = packets_out = unreachables = forwards = partials = paths_open = 0;
    packets_max = WIRE;
    forwarded = send_error = 0;
    device.caps = 0;
    for (unsigned i = 0; i < SHARDS; i++) {
        native[i] = calloc(1, sizeof *native[i]);
        assert_non_null(native[i]);
        other[i].id = i;
        other[i].random[0] = i + 1;
        native[i]->shard = i ? &other[i] : weir_shard_current;
        native[i]->stack.shard = native[i]->shard;
        native[i]->toeplitz = &toeplitz;
        native[i]->flow_table = flow_table;
        native[i]->iface[0].queue = &queue;
        assert_int_equal(weir_udp_layer_open(native[i], ports), 0);
    }
}

static void shards_close(void)
{
    for (unsigned i = 0; i < SHARDS; i++) {
        weir_udp_layer_close(native[i]);
        free(native[i]);
    }
    assert_int_equal(packets_out, 0);
    assert_int_equal(paths_open, 0);
    weir_udp_ports_free(ports);
}

static inline int try_open(unsigned shard, struct weir_udp **udp, const char *text, bool v4_too)
{
    struct weir_udp_config config;
    struct weir_addr addr;

    weir_udp_config_init(&config);
    config.ipv6_only = !v4_too;
    assert_int_equal(weir_addr_parse(&addr, text), 0);
    return native[shard]->stack.udp->open(&native[shard]->stack, udp, &addr, &config);
}

static inline struct weir_udp *sock(unsigned shard, const char *text)
{
    struct weir_udp *udp;

    assert_int_equal(try_open(shard, &udp, text, false), 0);
    return udp;
}

static inline void shut(struct weir_udp *udp)
{
    udp->stack->udp->close(udp);
}

static inline void peer(struct weir_udp *udp, const char *text)
{
    struct weir_addr addr;

    assert_int_equal(weir_addr_parse(&addr, text), 0);
    assert_int_equal(udp->stack->udp->connect(udp, &addr), 0);
}

static inline uint16_t port_of(struct weir_udp *udp)
{
    struct weir_addr addr;

    assert_int_equal(udp->stack->udp->local_addr(udp, &addr), 0);
    return ntohs(addr.in.sin_port);
}

/* What waits in the socket; -1: nothing. */
static inline int64_t got(struct weir_udp *udp)
{
    struct weir_udp_queue *q = &weir_native_udp_of(udp)->queue;
    struct weir_datagram one = { .data = (char[100]){ 0 }, .len = 100 };

    if (weir_udp_queue_empty(q))
        return -1;
    weir_udp_queue_pop(q, &one);
    return (int64_t)one.len;
}

static inline struct weir_flow_key flow(const char *local, const char *remote)
{
    struct weir_flow_key key;
    struct weir_addr addr;

    assert_int_equal(weir_addr_parse(&addr, local), 0);
    weir_ip_from_addr(&key.local, &key.local_port, &addr);
    assert_int_equal(weir_addr_parse(&addr, remote), 0);
    weir_ip_from_addr(&key.remote, &key.remote_port, &addr);
    return key;
}

static inline unsigned home_of(const struct weir_flow_key *key)
{
    return weir_flow_shard(native[0], weir_flow_hash(native[0], key));
}

/* A datagram of `len` bytes that comes in; its checksum is right, and can be changed. */
static inline struct weir_pkt *datagram(const struct weir_flow_key *key, uint16_t len)
{
    struct weir_pkt *pkt = weir_pkt_get(NULL);
    uint16_t word[4] = { htons(key->remote_port), htons(key->local_port),
                         htons((uint16_t)(8 + len)), 0 };
    uint32_t sum;

    assert_non_null(pkt);
    memcpy(pkt->buf.data, &key->remote, 16);
    memcpy(pkt->buf.data + 16, &key->local, 16);
    memset(pkt->buf.data + 40, 0x31, len);
    memcpy(pkt->buf.data + 32, word, 8);
    sum = weir_pseudo_sum(&key->remote, &key->local, IPPROTO_UDP, 8u + len);
    word[3] = (uint16_t)~weir_sum_fold(weir_sum(pkt->buf.data + 32, 8u + len, sum));
    memcpy(pkt->buf.data + 38, &word[3], 2);
    pkt->buf.len = 40u + len;
    pkt->l4 = 32;
    pkt->flags = weir_ip_is_v4(&key->local) ? 0 : WEIR_PKT_IP6;
    return pkt;
}

static inline void arrive(unsigned shard, const char *local, const char *remote)
{
    struct weir_flow_key key = flow(local, remote);

    forwarded = -1;
    weir_udp_input(native[shard], &native[shard]->iface[0], datagram(&key, 3));
}

/* A peer of `local` whose datagrams are at home on this shard. */
static inline const char *remote_at(unsigned shard, const char *local)
{
    static char text[WEIR_ADDR_TEXT];

    for (unsigned port = 1000;; port++) {
        struct weir_flow_key key;

        snprintf(text, sizeof text, "10.0.0.9:%u", port);
        key = flow(local, text);
        if (home_of(&key) == shard)
            return text;
    }
}

static inline int64_t send_len(struct weir_udp *udp, const char *to, size_t len)
{
    static uint8_t data[2000];
    struct weir_datagram one = { .data = data, .len = len };
    struct weir_udp_io io = { .udp = udp, .from = &one, .count = 1 };

    if (to)
        assert_int_equal(weir_addr_parse(&one.peer, to), 0);
    udp->tx = &io;
    udp->stack->udp->send(&io);
    assert_true(io.future.done && !udp->tx);
    while (wire_count > 0)
        weir_pkt_free(wire[--wire_count]);
    return io.future.result;
}

/* --- running them --- */

static inline void run_main(void *arg)
{
    void (*const *test)(void) = arg;
    void *net = weir_shard_current->net;

    shards_open();
    (*test)();
    shards_close();
    weir_shard_current->net = net;
}

static inline void run(void **state)
{
    struct weir_sim_config config;

    weir_sim_config_init(&config);
    config.shards = 1;
    assert_int_equal(weir_sim_run(&config, run_main, *state), 0);
}

#define CASE(fn)                                                        \
    {                                                                   \
        .name = #fn, .test_func = run,                                  \
        .initial_state = (void *)(uintptr_t) & (void (*const[1])(void)) \
        {                                                               \
            fn                                                          \
        }                                                               \
    }

#endif
