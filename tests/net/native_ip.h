/* native_ip.h - the IP layer of one shard on a bench: frames go in, frames come out, time stands
 * still until a test moves it.
 *
 *     bench_open(&b, &config)       static addresses, dhcp, auto: as weir_native_config.ip
 *     bench_in(&b, bytes, len)      a frame from the wire
 *     frame = bench_out(&b)         the next frame that was sent, or NULL
 *     bench_pass(&b, WEIR_SEC(1))   so much time, with all the alarms that fall into it
 *
 * TCP, UDP and the other shards are fakes that write down what they get. */
#ifndef WEIR_TESTS_NET_NATIVE_IP_H
#define WEIR_TESTS_NET_NATIVE_IP_H

#include "../core/testing.h"
#include <arpa/inet.h>
#include <errno.h>
#include "net/native/checksum.h"
#include "net/native/ip.h"
#include "net/native/tcp.h"
#include "net/native/udp.h"

enum { BENCH_FRAMES = 256, BENCH_FRAME = 2048, BENCH_UP = 70000 };

struct bench_frame {
    uint32_t len;
    uint16_t flags, l3, l4;
    uint8_t data[BENCH_FRAME];
};

struct bench {
    struct weir_shard shard;
    struct weir_native native;
    struct weir_dev dev[WEIR_IFACES];
    struct weir_dev_queue queue[WEIR_IFACES];
    struct bench_frame frame[WEIR_IFACES][BENCH_FRAMES];
    unsigned sent[WEIR_IFACES], read[WEIR_IFACES];
    char why[256];
    /* what the layers above have got last, and how much in all */
    unsigned tcp, udp, everyone, forwarded, said;
    unsigned forwarded_to;
    uint8_t up[BENCH_UP]; /* from the transport header on */
    uint32_t up_len;
    uint16_t up_flags;
    unsigned icmp_tcp, icmp_udp;
    struct weir_flow_key icmp_key;
    int icmp_error;
    uint16_t icmp_mtu;
    unsigned shard_of_flows; /* what weir_flow_shard answers */
    bool no_udp_ports;       /* no socket has any */
};

static struct bench *bench_now; /* there is one at a time */

static const uint8_t bench_mac[6] = { 2, 0, 0, 0, 0, 1 };
static const uint8_t peer_mac[6] = { 2, 0, 0, 0, 0, 9 };
static const uint8_t other_mac[6] = { 2, 0, 0, 0, 0, 8 };
static const uint8_t everybody_mac[6] = { 255, 255, 255, 255, 255, 255 };

/* --- fakes of the layers above and of the other shards --- */

static void bench_up(const struct weir_pkt *pkt)
{
    bench_now->up_len = pkt->buf.len - pkt->l4;
    bench_now->up_flags = pkt->flags;
    assert_true(bench_now->up_len <= BENCH_UP);
    memcpy(bench_now->up, pkt->buf.data + pkt->l4, bench_now->up_len);
}

void weir_tcp_input_burst(struct weir_native *native, struct weir_pkt **pkts, unsigned count)
{
    (void)native;
    for (unsigned i = 0; i < count; i++) {
        bench_now->tcp++;
        bench_up(pkts[i]);
        weir_pkt_free(pkts[i]);
    }
}

void weir_udp_input(struct weir_native *native, struct weir_iface *iface, struct weir_pkt *pkt)
{
    (void)native;
    (void)iface;
    bench_now->udp++;
    bench_up(pkt);
    weir_pkt_free(pkt);
}

void weir_tcp_icmp(struct weir_native *native, const struct weir_flow_key *key, int error,
                   uint16_t mtu, uint32_t seq)
{
    (void)native;
    (void)seq;
    bench_now->icmp_tcp++;
    bench_now->icmp_key = *key;
    bench_now->icmp_error = error;
    bench_now->icmp_mtu = mtu;
}

void weir_udp_icmp(struct weir_native *native, const struct weir_flow_key *key, int error,
                   uint16_t mtu)
{
    (void)native;
    bench_now->icmp_udp++;
    bench_now->icmp_key = *key;
    bench_now->icmp_error = error;
    bench_now->icmp_mtu = mtu;
}

uint32_t weir_udp_ports_count(const struct weir_udp_ports *ports, uint16_t port, bool *alike)
{
    (void)ports;
    (void)port;
    *alike = true;
    return bench_now->no_udp_ports ? 0 : 1;
}

int weir_udp_ports_find(struct weir_udp_ports *ports, const struct weir_flow_key *key,
                        uint32_t hash, unsigned home)
{
    (void)ports;
    (void)key;
    (void)hash;
    return (int)home;
}

void weir_steer_everyone(struct weir_native *native, const struct weir_pkt *pkt)
{
    (void)native;
    (void)pkt;
    bench_now->everyone++;
}

void weir_steer_forward(struct weir_native *native, struct weir_pkt *pkt, unsigned shard)
{
    (void)native;
    bench_now->forwarded++;
    bench_now->forwarded_to = shard;
    weir_pkt_free(pkt);
}

void weir_native_say(struct weir_native *native, const char *format, ...)
{
    (void)native;
    (void)format;
    bench_now->said++;
}

uint32_t weir_flow_hash(const struct weir_native *native, const struct weir_flow_key *key)
{
    (void)native;
    return key->local_port * 2654435761u ^ key->remote_port;
}

unsigned weir_flow_shard(const struct weir_native *native, uint32_t hash)
{
    (void)native;
    (void)hash;
    return bench_now->shard_of_flows;
}

/* One flow at most. */
static struct weir_flow *bench_flow;

struct weir_flow *weir_flows_find(const struct weir_flows *flows, uint32_t hash,
                                  const struct weir_flow_key *key)
{
    (void)flows;
    (void)hash;
    if (bench_flow && weir_ip_eq(&bench_flow->key.local, &key->local) &&
        weir_ip_eq(&bench_flow->key.remote, &key->remote) &&
        bench_flow->key.local_port == key->local_port &&
        bench_flow->key.remote_port == key->remote_port)
        return bench_flow;
    return NULL;
}

/* --- the device --- */

static void bench_tx(struct weir_dev_queue *queue, struct weir_pkt **pkts, unsigned count)
{
    unsigned dev = (unsigned)(queue - bench_now->queue);

    for (unsigned i = 0; i < count; i++) {
        struct bench_frame *frame = &bench_now->frame[dev][bench_now->sent[dev]++ % BENCH_FRAMES];

        assert_true(pkts[i]->buf.len <= BENCH_FRAME);
        frame->len = pkts[i]->buf.len;
        frame->flags = pkts[i]->flags;
        frame->l3 = pkts[i]->l3;
        frame->l4 = pkts[i]->l4;
        memcpy(frame->data, pkts[i]->buf.data, pkts[i]->buf.len);
        weir_pkt_free(pkts[i]);
    }
}

static void bench_tx_flush(struct weir_dev_queue *queue)
{
    (void)queue;
}

static const struct weir_dev_ops bench_ops = { .name = "bench",
                                               .tx = bench_tx,
                                               .tx_flush = bench_tx_flush };

/* --- the bench --- */

static inline int bench_try(struct bench *b, const struct weir_native_config *config,
                            unsigned shard)
{
    static struct weir_udp_layer udp;

    memset(b, 0, sizeof *b);
    bench_now = b;
    bench_flow = NULL;
    b->shard.id = shard;
    b->shard.now = WEIR_TICK << 24; /* on a tick: what is due now is due now */
    b->shard.random[0] = 1;
    b->shard_of_flows = shard;
    weir_wheel_init(&b->shard.wheel, b->shard.now);
    b->native.shard = &b->shard;
    b->native.udp = &udp;
    weir_pkts_init(&b->native.pkts, 4096);
    for (unsigned i = 0; i < WEIR_IFACES; i++) {
        b->dev[i] = (struct weir_dev){ .ops = &bench_ops, .mtu = 1500, .queues = 1 };
        b->queue[i].dev = &b->dev[i];
    }
    b->dev[0].caps = WEIR_DEV_LOOP;
    b->dev[0].mtu = 65535;
    memcpy(b->dev[1].mac, bench_mac, 6);
    for (unsigned i = 0; i < WEIR_IFACES; i++)
        weir_iface_init(&b->native.iface[i], &b->native, i, &b->queue[i],
                        i == WEIR_IFACE_WIRE ? config->vlan : 0);
    b->native.ifaces = WEIR_IFACES;
    return weir_ip_open(&b->native, config, b->why, sizeof b->why);
}

static inline void bench_flush(struct bench *b)
{
    weir_iface_flush(&b->native.iface[0]);
    weir_iface_flush(&b->native.iface[1]);
}

/* Lets the time pass, alarm by alarm. */
static inline void bench_pass(struct bench *b, weir_time span)
{
    weir_time until = b->shard.now + span, next;
    struct weir_alarm *alarm;

    for (;;) {
        while ((alarm = weir_wheel_pop(&b->shard.wheel, b->shard.now)) != NULL)
            alarm->fire(alarm);
        bench_flush(b);
        next = weir_wheel_next(&b->shard.wheel);
        if (next > until)
            break;
        b->shard.now = next > b->shard.now ? next : b->shard.now + WEIR_TICK;
    }
    b->shard.now = until;
}

static inline void bench_open_on(struct bench *b, const struct weir_native_config *config,
                                 unsigned shard)
{
    if (bench_try(b, config, shard) < 0)
        fail_msg("%s", b->why);
    bench_pass(b, 0);
}

/* With these addresses, announced: nothing is left to be read. */
static inline void bench_open(struct bench *b, const char *ip, const char *gateway,
                              const char *route)
{
    struct weir_native_config config = {
        .ip = ip, .gateway = gateway, .route = route, .secret = 12345
    };

    bench_open_on(b, &config, 0);
    bench_pass(b, WEIR_SEC(20));
    b->read[0] = b->sent[0];
    b->read[1] = b->sent[1];
}

static inline void bench_close(struct bench *b)
{
    bench_flush(b);
    weir_ip_close(&b->native);
    assert_int_equal(b->native.pkts.pool.live, 0);
    assert_int_equal(b->shard.wheel.armed, 0);
    weir_pkts_free(&b->native.pkts);
    bench_now = NULL;
}

static inline void bench_in_on(struct bench *b, unsigned iface, const uint8_t *data, size_t len,
                               uint16_t flags)
{
    struct weir_pkt *pkt = weir_pkt_get(&b->native.pkts);

    assert_non_null(pkt);
    assert_true(len <= WEIR_PKT_ROOM);
    memcpy(pkt->buf.data, data, len);
    pkt->buf.len = (uint32_t)len;
    pkt->flags = flags;
    weir_ether_input(&b->native.iface[iface], &pkt, 1);
    bench_flush(b);
}

static inline void bench_in(struct bench *b, const uint8_t *data, size_t len)
{
    bench_in_on(b, WEIR_IFACE_WIRE, data, len, 0);
}

static inline const struct bench_frame *bench_out_on(struct bench *b, unsigned dev)
{
    bench_flush(b);
    if (b->read[dev] == b->sent[dev])
        return NULL;
    return &b->frame[dev][b->read[dev]++ % BENCH_FRAMES];
}

static inline const struct bench_frame *bench_out(struct bench *b)
{
    return bench_out_on(b, WEIR_IFACE_WIRE);
}

static inline struct weir_ip bench_ip(const char *text)
{
    struct weir_ip ip;

    assert_int_equal(weir_ip_parse(&ip, text, strlen(text)), 0);
    return ip;
}

/* --- making frames: each puts its header at `at` and returns what is behind it --- */

static inline uint8_t *put_ether(uint8_t *at, const uint8_t to[6], const uint8_t from[6],
                                 uint16_t type)
{
    memcpy(at, to, 6);
    memcpy(at + 6, from, 6);
    weir_put16(at + 12, type);
    return at + 14;
}

static inline uint8_t *put_ip4(uint8_t *at, const char *source, const char *target,
                               uint8_t protocol, size_t payload)
{
    struct weir_ip4 ip = { .source = bench_ip(source),
                           .target = bench_ip(target),
                           .protocol = protocol,
                           .ttl = 64,
                           .total_len = (uint16_t)(20 + payload) };

    return at + weir_ip4_emit(at, &ip);
}

static inline uint8_t *put_ip6(uint8_t *at, const char *source, const char *target,
                               uint8_t protocol, uint8_t hop_limit, size_t payload)
{
    struct weir_ip6 ip = { .source = bench_ip(source),
                           .target = bench_ip(target),
                           .protocol = protocol,
                           .hop_limit = hop_limit,
                           .total_len = (uint16_t)(40 + payload) };

    return at + weir_ip6_emit(at, &ip);
}

/* After a header of 40 bytes: the checksum of an ICMPv6 message. */
static inline void put_icmp6_sum(uint8_t *ip, size_t len)
{
    struct weir_ip source, target;
    uint16_t sum;

    memcpy(source.byte, ip + 8, 16);
    memcpy(target.byte, ip + 24, 16);
    memset(ip + 42, 0, 2);
    sum = (uint16_t)~weir_sum_fold(
        weir_sum(ip + 40, len, weir_pseudo_sum(&source, &target, 58, (uint32_t)len)));
    memcpy(ip + 42, &sum, 2);
}

static inline void put_icmp4_sum(uint8_t *icmp, size_t len)
{
    uint16_t sum;

    memset(icmp + 2, 0, 2);
    sum = (uint16_t)~weir_sum_fold(weir_sum(icmp, len, 0));
    memcpy(icmp + 2, &sum, 2);
}

static inline void bench_arp(struct bench *b, bool reply, const uint8_t from[6], const char *sender,
                             const char *target, uint16_t flags)
{
    uint8_t frame[64] = { 0 };
    struct weir_ip sender_ip = bench_ip(sender), target_ip = bench_ip(target);
    struct weir_arp arp = { .reply = reply,
                            .sender_ip = sender_ip.word[3],
                            .target_ip = target_ip.word[3] };

    memcpy(arp.sender_mac, from, 6);
    if (reply)
        memcpy(arp.target_mac, bench_mac, 6);
    weir_arp_emit(put_ether(frame, reply ? bench_mac : everybody_mac, from, WEIR_ETHERTYPE_ARP),
                  &arp);
    bench_in_on(b, WEIR_IFACE_WIRE, frame, 60, flags);
}

/* The next frame out is ARP: its content, and where it went. */
static inline struct weir_arp expect_arp(struct bench *b, const uint8_t to[6])
{
    const struct bench_frame *frame = bench_out(b);
    struct weir_arp arp;

    assert_non_null(frame);
    assert_int_equal(weir_get16(frame->data + 12), WEIR_ETHERTYPE_ARP);
    assert_memory_equal(frame->data, to, 6);
    assert_memory_equal(frame->data + 6, bench_mac, 6);
    assert_true(weir_arp_parse(&arp, frame->data + 14, frame->len - 14) > 0);
    return arp;
}

static inline void expect_nothing(struct bench *b)
{
    assert_null(bench_out_on(b, 0));
    assert_null(bench_out(b));
}

/* --- sending as a transport does: `len` bytes, each 0x5a --- */

static inline int bench_send(struct bench *b, struct weir_path *path, uint32_t len)
{
    struct weir_pkt *pkt = weir_pkt_get(&b->native.pkts);
    int ret;

    assert_non_null(pkt);
    memset(pkt->buf.data, 0x5a, len);
    pkt->buf.len = len;
    ret = weir_path_send(&b->native, path, pkt);
    bench_flush(b);
    return ret;
}

static inline int bench_path(struct bench *b, struct weir_path *path, const char *to)
{
    struct weir_ip local = { .half = { 0, 0 } }, remote = bench_ip(to);

    return weir_path_open(&b->native, path, &local, &remote, IPPROTO_UDP);
}

/* A path to an IPv4 neighbour that has answered. */
static inline void bench_path_ready(struct bench *b, struct weir_path *path, const char *to)
{
    assert_int_equal(bench_path(b, path, to), 0);
    assert_int_equal(bench_send(b, path, 8), 0);
    expect_arp(b, everybody_mac);
    bench_arp(b, true, peer_mac, to, "192.0.2.2", 0);
    assert_non_null(bench_out(b));
}

#endif
