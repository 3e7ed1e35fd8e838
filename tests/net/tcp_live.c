/* tcp_live.c - see tcp_live.h. */
#include "tests/net/tcp_live.h"
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include "net/native/checksum.h"
#include "net/native/ip.h"
#include "net/native/shared.h"

static const uint8_t live_mac[6] = { 2, 0, 0, 0, 0, 1 };
static const uint8_t peer_mac[6] = { 2, 0, 0, 0, 0, 9 };

/* --- frames out: neighbour resolution --- */

static uint8_t *live_put_ether(uint8_t *at, uint16_t type)
{
    memcpy(at, live_mac, 6);
    memcpy(at + 6, peer_mac, 6);
    weir_put16(at + 12, type);
    return at + 14;
}

static void live_answer_arp(struct live *live, const uint8_t *data, size_t len)
{
    uint8_t frame[60] = { 0 };
    struct weir_arp arp;

    live_check(weir_arp_parse(&arp, data, len) > 0);
    if (arp.reply || arp.target_ip != live->peer.word[3] || arp.sender_ip == 0)
        return;
    arp.reply = true;
    arp.target_ip = arp.sender_ip;
    arp.sender_ip = live->peer.word[3];
    memcpy(arp.target_mac, live_mac, 6);
    memcpy(arp.sender_mac, peer_mac, 6);
    weir_arp_emit(live_put_ether(frame, WEIR_ETHERTYPE_ARP), &arp);
    live_in_frame(live, frame, sizeof frame);
}

static void live_answer_nd(struct live *live, const struct weir_ip6 *ip, const uint8_t *icmp,
                           size_t len)
{
    uint8_t frame[128] = { 0 }, *at = live_put_ether(frame, WEIR_ETHERTYPE_IP6), *body;
    struct weir_ip6 header = { .source = live->peer, .target = ip->source, .protocol = 58 };
    struct weir_nd nd;
    uint16_t sum;

    if (icmp[0] != 135 || weir_nd_parse(&nd, icmp, len) < 0 ||
        !weir_ip_eq(&nd.target, &live->peer) || weir_ip_is_any(&ip->source))
        return;
    nd = (struct weir_nd){
        .type = 136, .target = live->peer, .has_mac = true, .solicited = true, .override = true
    };
    memcpy(nd.mac, peer_mac, 6);
    body = at + 40;
    len = (size_t)weir_nd_emit(body, &nd);
    header.hop_limit = 255;
    header.total_len = (uint16_t)(40 + len);
    weir_ip6_emit(at, &header);
    sum = (uint16_t)~weir_sum_fold(
        weir_sum(body, len, weir_pseudo_sum(&header.source, &header.target, 58, (uint32_t)len)));
    memcpy(body + 2, &sum, 2);
    live_in_frame(live, frame, (size_t)(body + len - frame));
}

/* --- frames out: TCP --- */

static void live_read_option(struct live_segment *s, const uint8_t *at)
{
    if (at[0] == 2 && at[1] == 4)
        s->mss = weir_get16(at + 2);
    else if (at[0] == 3 && at[1] == 3)
        s->wscale = at[2];
    else if (at[0] == 4 && at[1] == 2)
        s->sack_ok = true;
    else if (at[0] == 8 && at[1] == 10) {
        s->ts = true;
        s->ts_val = weir_get32(at + 2);
        s->ts_ecr = weir_get32(at + 6);
    } else if (at[0] == 5 && at[1] >= 10 && (at[1] - 2) % 8 == 0 && at[1] <= 34) {
        s->sacks = (at[1] - 2u) / 8;
        for (unsigned i = 0; i < s->sacks; i++) {
            s->sack[i][0] = weir_get32(at + 2 + 8 * i);
            s->sack[i][1] = weir_get32(at + 6 + 8 * i);
        }
    } else {
        weir_panic("sent an option of kind %d, length %d", at[0], at[1]);
    }
}

static void live_read_options(struct live_segment *s, const uint8_t *at, const uint8_t *end)
{
    s->wscale = 255;
    while (at < end && *at != 0) {
        if (*at == 1) {
            at++;
            continue;
        }
        live_check(end - at >= 2 && at[1] >= 2 && at[1] <= end - at);
        live_read_option(s, at);
        at += at[1];
    }
}

static void live_tcp_out(struct live *live, const struct weir_ip *from, const struct weir_ip *to,
                         struct live_segment *s, const uint8_t *tcp, size_t len)
{
    unsigned header;

    live_check(weir_ip_eq(from, &live->local));
    live_check(len >= 20);
    live_check(weir_sum_fold(weir_sum(tcp, len, weir_pseudo_sum(from, to, 6, (uint32_t)len))) ==
               0xffff);
    header = (unsigned)tcp[12] >> 4 << 2;
    live_check(header >= 20 && header <= len && (tcp[12] & 15) == 0);
    s->sport = weir_get16(tcp);
    s->dport = weir_get16(tcp + 2);
    s->seq = weir_get32(tcp + 4);
    s->ack = weir_get32(tcp + 8);
    s->flags = tcp[13];
    s->window = weir_get16(tcp + 14);
    s->urgent = weir_get16(tcp + 18);
    live_read_options(s, tcp + 20, tcp + header);
    s->len = (uint32_t)len - header;
    memcpy(s->data, tcp + header, s->len);
}

static void live_out_tcp(struct live *live, const struct weir_ip *from, const struct weir_ip *to,
                         uint8_t hop_limit, bool dont_fragment, const uint8_t *tcp, size_t len)
{
    struct live_segment *s = &live->tx[live->tx_end % LIVE_FRAMES];

    live_check(live->tx_end - live->tx_begin < LIVE_FRAMES);
    memset(s, 0, offsetof(struct live_segment, data));
    s->at = live->shard.now;
    s->hop_limit = hop_limit;
    s->dont_fragment = dont_fragment;
    s->to_peer = weir_ip_eq(to, &live->peer);
    live_tcp_out(live, from, to, s, tcp, len);
    live->sent_segments++;
    live->sent_bytes += s->len;
    if (live->on_sent)
        live->on_sent(live, s);
    else if (!live->count_only && s->to_peer)
        live->tx_end++;
}

static void live_out_ip4(struct live *live, const uint8_t *data, size_t len)
{
    struct weir_ip4 ip;

    live_check(weir_ip4_parse(&ip, data, len, false) == 20);
    live_check(ip.total_len == len || (len == 46 && ip.total_len < len));
    live_check(ip.total_len <= live->config.mtu && !ip.more_fragments && ip.fragment_at == 0);
    if (ip.protocol == IPPROTO_TCP)
        live_out_tcp(live, &ip.source, &ip.target, ip.ttl, ip.dont_fragment, data + 20,
                     ip.total_len - 20u);
    else if (ip.protocol == IPPROTO_ICMP)
        live->icmp_sent++;
    else
        weir_panic("sent protocol %d", ip.protocol);
}

static void live_out_ip6(struct live *live, const uint8_t *data, size_t len)
{
    struct weir_ip6 ip;

    live_check(weir_ip6_parse(&ip, data, len) >= 40);
    live_check(ip.total_len == len && len <= live->config.mtu);
    if (ip.protocol == IPPROTO_TCP)
        live_out_tcp(live, &ip.source, &ip.target, ip.hop_limit, true, data + 40, len - 40);
    else if (ip.protocol == IPPROTO_ICMPV6)
        live_answer_nd(live, &ip, data + ip.header_len, len - ip.header_len);
}

static void live_out(struct live *live, const uint8_t *data, size_t len)
{
    struct weir_ether ether;

    live_check(weir_ether_parse(&ether, data, len) == 14);
    live_check(memcmp(ether.from, live_mac, 6) == 0);
    if (ether.ethertype == WEIR_ETHERTYPE_ARP)
        live_answer_arp(live, data + 14, len - 14);
    else if (ether.ethertype == WEIR_ETHERTYPE_IP4)
        live_out_ip4(live, data + 14, len - 14);
    else if (ether.ethertype == WEIR_ETHERTYPE_IP6)
        live_out_ip6(live, data + 14, len - 14);
    else
        weir_panic("sent EtherType %x", ether.ethertype);
}

/* --- the device --- */

static struct live *live_of(struct weir_dev *dev)
{
    return weir_container_of(dev, struct live, dev);
}

static int live_queue_open(struct weir_dev *dev, unsigned index, struct weir_shard *shard,
                           struct weir_pkts *pkts, struct weir_dev_queue **queue, char *why,
                           size_t why_size)
{
    struct live *live = live_of(dev);

    (void)why;
    (void)why_size;
    live->pkts = pkts;
    live->queue = (struct weir_dev_queue){ .dev = dev, .shard = shard, .index = index, .fd = -1 };
    *queue = &live->queue;
    return 0;
}

static void live_queue_close(struct weir_dev_queue *queue)
{
    (void)queue;
}

static unsigned live_rx(struct weir_dev_queue *queue, struct weir_pkt **pkts, unsigned max)
{
    struct live *live = live_of(queue->dev);
    unsigned count = 0;

    while (count < max && live->rx_begin != live->rx_end) {
        const struct live_frame *frame = &live->rx[live->rx_begin++ % LIVE_FRAMES];
        struct weir_pkt *pkt = weir_pkt_get(live->pkts);

        if (!pkt) /* as a NIC without descriptors */
            continue;
        memcpy(pkt->buf.data, frame->data, frame->len);
        pkt->buf.len = frame->len;
        pkts[count++] = pkt;
    }
    return count;
}

static void live_tx(struct weir_dev_queue *queue, struct weir_pkt **pkts, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        uint8_t frame[LIVE_FRAME];
        size_t len = 0;

        for (const struct weir_pkt *part = pkts[i]; part; part = part->frag) {
            live_check(len + part->buf.len <= sizeof frame);
            memcpy(frame + len, part->buf.data, part->buf.len);
            len += part->buf.len;
        }
        live_out(live_of(queue->dev), frame, len);
        weir_pkt_free(pkts[i]);
    }
}

static void live_tx_flush(struct weir_dev_queue *queue)
{
    (void)queue;
}

static weir_time live_next(const struct weir_dev_queue *queue)
{
    (void)queue;
    return WEIR_NEVER;
}

static void live_dev_close(struct weir_dev *dev)
{
    (void)dev;
}

static const struct weir_dev_ops live_dev_ops = { .name = "live",
                                                  .queue_open = live_queue_open,
                                                  .queue_close = live_queue_close,
                                                  .rx = live_rx,
                                                  .tx = live_tx,
                                                  .tx_flush = live_tx_flush,
                                                  .next = live_next,
                                                  .close = live_dev_close };

/* --- the driver below --- */

static bool live_below_poll(struct weir_driver *driver, weir_time until)
{
    (void)driver;
    (void)until;
    return false;
}

static void live_below_close(struct weir_driver *driver)
{
    (void)driver;
}

static const struct weir_driver_ops live_below_ops = { .name = "live",
                                                       .poll = live_below_poll,
                                                       .close = live_below_close };

static weir_time live_clock(struct weir_shard *shard)
{
    return shard->now;
}

static void live_wake(struct weir_shard *shard)
{
    (void)shard;
}

/* --- frames in --- */

void live_in_frame(struct live *live, const uint8_t *data, size_t len)
{
    struct live_frame *frame = &live->rx[live->rx_end % LIVE_FRAMES];

    live_check(live->rx_end - live->rx_begin < LIVE_FRAMES && len <= LIVE_FRAME);
    memcpy(frame->data, data, len);
    frame->len = (uint32_t)len;
    live->rx_end++;
}

static uint8_t *live_put_option(uint8_t *at, uint8_t kind, uint8_t len)
{
    at[0] = kind;
    at[1] = len;
    return at + 2;
}

static uint8_t *live_put_options(uint8_t *at, const struct live_segment *s)
{
    if (s->mss) {
        weir_put16(live_put_option(at, 2, 4), s->mss);
        at += 4;
    }
    if (s->wscale != 255) {
        *at++ = 1;
        *live_put_option(at, 3, 3) = s->wscale;
        at += 3;
    }
    if (s->sack_ok) {
        memset(at, 1, 2);
        at = live_put_option(at + 2, 4, 2);
    }
    if (s->ts) {
        memset(at, 1, 2);
        at = live_put_option(at + 2, 8, 10);
        weir_put32(at, s->ts_val);
        weir_put32(at + 4, s->ts_ecr);
        at += 8;
    }
    if (s->sacks) {
        memset(at, 1, 2);
        at = live_put_option(at + 2, 5, (uint8_t)(2 + 8 * s->sacks));
        for (unsigned i = 0; i < s->sacks; i++, at += 8) {
            weir_put32(at, s->sack[i][0]);
            weir_put32(at + 4, s->sack[i][1]);
        }
    }
    memcpy(at, s->raw, s->raw_len);
    return at + s->raw_len;
}

static uint8_t *live_put_ip(const struct live *live, uint8_t *at, const struct weir_ip *from,
                            uint8_t protocol, size_t len)
{
    struct weir_ip4 ip4 = { .source = *from,
                            .target = live->local,
                            .protocol = protocol,
                            .ttl = 64,
                            .dont_fragment = true,
                            .total_len = (uint16_t)(20 + len) };
    struct weir_ip6 ip6 = { .source = *from,
                            .target = live->local,
                            .protocol = protocol,
                            .hop_limit = 64,
                            .total_len = (uint16_t)(40 + len) };

    return at + (live->config.v6 ? weir_ip6_emit(at, &ip6) : weir_ip4_emit(at, &ip4));
}

size_t live_frame_of(const struct live *live, uint8_t *frame, const struct weir_ip *from,
                     const struct live_segment *s)
{
    uint8_t *ip = live_put_ether(frame, live->config.v6 ? WEIR_ETHERTYPE_IP6 : WEIR_ETHERTYPE_IP4);
    uint8_t *tcp = ip + (live->config.v6 ? 40 : 20), *end = live_put_options(tcp + 20, s);
    size_t len = (size_t)(end - tcp);
    uint16_t sum;

    live_check(len % 4 == 0 && len <= 60);
    weir_put16(tcp, s->sport);
    weir_put16(tcp + 2, s->dport);
    weir_put32(tcp + 4, s->seq);
    weir_put32(tcp + 8, s->ack);
    tcp[12] = (uint8_t)((s->data_offset ? s->data_offset : len / 4) << 4);
    tcp[13] = s->flags;
    weir_put16(tcp + 14, s->window);
    weir_put16(tcp + 16, 0);
    weir_put16(tcp + 18, s->urgent);
    memcpy(end, s->data, s->len);
    len += s->len;
    sum = (uint16_t)~weir_sum_fold(
        weir_sum(tcp, len, weir_pseudo_sum(from, &live->local, 6, (uint32_t)len)));
    sum = (uint16_t)(sum ^ (s->bad_sum ? 0x1000 : 0));
    memcpy(tcp + 16, &sum, 2);
    live_put_ip(live, ip, from, IPPROTO_TCP, len);
    len += (size_t)(tcp - frame);
    return len < 60 ? 60 : len; /* Ethernet's padding */
}

void live_in(struct live *live, const struct live_segment *segment)
{
    uint8_t frame[LIVE_FRAME] = { 0 };

    live_in_frame(live, frame, live_frame_of(live, frame, &live->peer, segment));
}

/* The quote: our IP header and the first 8 bytes of TCP's (RFC 792), more of it for IPv6. */
static size_t live_put_quote(const struct live *live, uint8_t *at, uint16_t sport, uint16_t dport,
                             uint32_t seq)
{
    struct weir_ip4 ip4 = { .source = live->local,
                            .target = live->peer,
                            .protocol = IPPROTO_TCP,
                            .ttl = 60,
                            .dont_fragment = true,
                            .total_len = 1500 };
    struct weir_ip6 ip6 = { .source = live->local,
                            .target = live->peer,
                            .protocol = IPPROTO_TCP,
                            .hop_limit = 60,
                            .total_len = 1500 };
    uint8_t *tcp = at + (live->config.v6 ? weir_ip6_emit(at, &ip6) : weir_ip4_emit(at, &ip4));

    weir_put16(tcp, sport);
    weir_put16(tcp + 2, dport);
    weir_put32(tcp + 4, seq);
    memset(tcp + 8, 0, 12);
    tcp[12] = 0x50;
    return (size_t)(tcp - at) + (live->config.v6 ? 20 : 8);
}

void live_in_icmp(struct live *live, uint8_t type, uint8_t code, uint32_t rest, uint16_t sport,
                  uint16_t dport, uint32_t seq)
{
    uint8_t frame[256] = { 0 };
    uint8_t *ip = live_put_ether(frame, live->config.v6 ? WEIR_ETHERTYPE_IP6 : WEIR_ETHERTYPE_IP4);
    uint8_t *icmp = ip + (live->config.v6 ? 40 : 20);
    size_t len = 8 + live_put_quote(live, icmp + 8, sport, dport, seq);
    uint32_t pseudo =
        live->config.v6 ? weir_pseudo_sum(&live->peer, &live->local, 58, (uint32_t)len) : 0;
    uint16_t sum;

    icmp[0] = type;
    icmp[1] = code;
    weir_put32(icmp + 4, rest);
    sum = (uint16_t)~weir_sum_fold(weir_sum(icmp, len, pseudo));
    memcpy(icmp + 2, &sum, 2);
    live_put_ip(live, ip, &live->peer, live->config.v6 ? 58 : 1, len);
    len += (size_t)(icmp - frame);
    live_in_frame(live, frame, len < 60 ? 60 : len);
}

const struct live_segment *live_sent(struct live *live)
{
    return live->tx_begin == live->tx_end ? NULL : &live->tx[live->tx_begin++ % LIVE_FRAMES];
}

struct weir_flow *live_flow(struct live *live, uint16_t local_port, uint16_t remote_port)
{
    struct weir_flow_key key = { .local = live->local,
                                 .remote = live->peer,
                                 .local_port = local_port,
                                 .remote_port = remote_port };

    return weir_flows_find(&live->native->flows, weir_flow_hash(live->native, &key), &key);
}

/* --- time --- */

static void live_validate(struct live *live)
{
    const struct weir_flows *flows = &live->native->flows;

    for (size_t i = 0; i < weir_flows_places(flows) && live->native->conns.live < 4; i++) {
        struct weir_flow *flow = weir_flows_at(flows, i);

        if (flow && flow->kind == WEIR_FLOW_TCP)
            weir_tcp_validate(weir_container_of(flow, struct weir_tcp, flow));
    }
}

void live_pump(struct live *live)
{
    bool worked = true;

    while (worked || live->rx_begin != live->rx_end) {
        struct weir_alarm *alarm;

        worked = false;
        while ((alarm = weir_wheel_pop(&live->shard.wheel, live->shard.now)) != NULL) {
            alarm->fire(alarm);
            worked = true;
        }
        worked |= live->driver->ops->poll(live->driver, 0);
    }
    live_validate(live);
}

void live_pass(struct live *live, weir_time until)
{
    for (;;) {
        weir_time next;

        live_pump(live);
        next = weir_wheel_next(&live->shard.wheel);
        if (next > until)
            break;
        live->shard.now = next > live->shard.now ? next : live->shard.now + WEIR_TICK;
    }
    if (live->shard.now < until)
        live->shard.now = until;
    live_pump(live);
}

/* --- opening and closing --- */

void live_config_init(struct live_config *config)
{
    *config = (struct live_config){ .rcvbuf = 4 << 20,
                                    .sndbuf = 1 << 20,
                                    .pkts_max = 16384,
                                    .conns_max = 64,
                                    .mtu = 1500,
                                    .cc = "reno",
                                    .seed = 1 };
}

static struct weir_ip live_ip(const char *text)
{
    struct weir_ip ip = { .half = { 0, 0 } };
    struct in_addr in;

    if (inet_pton(AF_INET, text, &in) == 1)
        return weir_ip_v4(in.s_addr);
    live_check(inet_pton(AF_INET6, text, &ip) == 1);
    return ip;
}

static void live_shard_open(struct live *live)
{
    struct weir_config config;

    weir_config_init(&config);
    config.seed = live->config.seed;
    live_check(weir_shards_init(&live->all, 1, &config) == 0);
    live_check(weir_shard_init(&live->shard, 0, &live->all, &config) == 0);
    live->all.shard[0] = &live->shard;
    live->all.wake = live_wake;
    live->shard.clock = live_clock;
    live->shard.now = WEIR_SEC(1000);
    weir_wheel_init(&live->shard.wheel, live->shard.now);
    live->shard.stats.fibers = 1; /* the test */
    live->below = (struct weir_driver){ .ops = &live_below_ops, .shard = &live->shard };
    weir_shard_current = &live->shard;
}

static void live_stack_open(struct live *live)
{
    struct weir_native_config config;
    char why[256];

    weir_native_config_init(&config);
    config.ip = live->config.v6 ? "2001:db8::1/64" : "192.0.2.1/24";
    config.gateway = live->config.v6 ? "2001:db8::9" : "192.0.2.9"; /* the peer, for all others */
    config.secret = live->config.seed + 42;
    config.rcvbuf = live->config.rcvbuf;
    config.sndbuf = live->config.sndbuf;
    config.pkts_max = live->config.pkts_max;
    config.conns_max = live->config.conns_max;
    config.cc = live->config.cc;
    config.keepalive = live->config.keepalive;
    live->dev = (struct weir_dev){ .ops = &live_dev_ops, .mtu = live->config.mtu, .queues = 1 };
    memcpy(live->dev.mac, live_mac, 6);
    if (weir_native_shared_open(&live->shared, &live->dev, &config, 1, why, sizeof why) < 0 ||
        weir_native_open(&live->driver, &live->shard, &live->below, live->shared, why, sizeof why) <
            0)
        weir_panic("%s", why);
    live->shard.driver = live->driver;
    live->native = weir_container_of(live->driver, struct weir_native, driver);
}

struct live *live_open(const struct live_config *config)
{
    struct live *live =
        aligned_alloc(_Alignof(struct live),
                      (sizeof *live + _Alignof(struct live) - 1) & ~(_Alignof(struct live) - 1));

    live_check(live);
    memset(live, 0, sizeof *live);
    live->config = *config;
    live->local = live_ip(config->v6 ? "2001:db8::1" : "192.0.2.1");
    live->peer = live_ip(config->v6 ? "2001:db8::9" : "192.0.2.9");
    live_shard_open(live);
    live_stack_open(live);
    live_pass(live, live->shard.now + WEIR_SEC(20));
    return live;
}

void live_close(struct live *live)
{
    live->shard.stats.fibers = 0;
    live->count_only = true;
    live->on_sent = NULL;
    weir_shard_free(&live->shard);
    weir_native_shared_close(live->shared);
    weir_shards_free(&live->all);
    free(live);
}
