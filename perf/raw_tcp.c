/* raw_tcp.c - see raw_tcp.h.  Bursts of 32 in stages, like the real thing: prefetch all, then work;
 * checksums of what is sent come from registers. */
#include "perf/raw_tcp.h"
#include <stdio.h>
#include <stdlib.h>
#include "core/cpu.h"
#include "net/native/checksum.h"
#include "net/native/wire/wire.h"

enum { IP_AT = 14, TCP_AT = 34, FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16 };

static weir_time raw_clock(struct weir_shard *shard)
{
    return shard->now;
}

void raw_open(struct raw *raw, struct weir_dev *dev, uint32_t conns, bool server)
{
    static struct weir_shards all = { .count = 1 };
    char why[160];

    memset(raw, 0, sizeof *raw);
    raw->server = server;
    raw->conns = conns;
    raw->shard.all = &all;
    raw->shard.clock = raw_clock;
    raw->shard.wake_fd = -1;
    raw->conn = calloc(conns, sizeof *raw->conn);
    memcpy(raw->mac, dev->mac, 6);
    weir_pkts_init(&raw->pkts, 65536);
    if (!raw->conn ||
        dev->ops->queue_open(dev, 0, &raw->shard, &raw->pkts, &raw->queue, why, sizeof why) < 0) {
        fprintf(stderr, "perf: the device could not be opened\n");
        exit(1);
    }
}

void raw_close(struct raw *raw)
{
    raw_flush(raw);
    raw->queue->dev->ops->queue_close(raw->queue);
    weir_pkts_free(&raw->pkts);
    free(raw->conn);
}

void raw_message(struct raw *raw, const void *message, uint32_t len, uint32_t expect)
{
    raw->message = message;
    raw->message_len = len;
    raw->message_sum = weir_sum(message, len, 0);
    raw->expect = expect;
}

void raw_flush(struct raw *raw)
{
    if (raw->tx_count > 0)
        raw->queue->dev->ops->tx(raw->queue, raw->tx, raw->tx_count);
    raw->tx_count = 0;
    raw->queue->dev->ops->tx_flush(raw->queue);
}

static void raw_out(struct raw *raw, struct weir_pkt *pkt)
{
    raw->tx[raw->tx_count++] = pkt;
    if (raw->tx_count == WEIR_DEV_BURST)
        raw_flush(raw);
}

/* --- one segment --- */

static uint32_t sum32(uint32_t sum, uint32_t value)
{
    return weir_sum_add(sum, value);
}

static void conn_key(const struct raw *raw, const struct raw_conn *conn, uint32_t *ip,
                     uint16_t *port)
{
    uint32_t index = (uint32_t)(conn - raw->conn);

    *ip = RAW_CLIENT_IP + index / RAW_PORTS;
    *port = (uint16_t)(RAW_PORT_FIRST + index % RAW_PORTS);
}

static struct weir_pkt *raw_packet(struct raw *raw)
{
    struct weir_pkt *pkt = weir_pkt_get(&raw->pkts);

    if (!pkt) {
        fprintf(stderr, "perf: out of packets\n");
        exit(1);
    }
    return pkt;
}

static void segment(struct raw *raw, struct raw_conn *conn, uint8_t flags, const uint8_t *data,
                    uint32_t len, uint32_t data_sum)
{
    struct weir_pkt *pkt = raw_packet(raw);
    uint8_t *at = weir_pkt_push(pkt, RAW_HEADERS);
    uint32_t client, source, target, sum;
    uint16_t port, sport, dport;

    conn_key(raw, conn, &client, &port);
    source = __builtin_bswap32(raw->server ? RAW_SERVER_IP : client);
    target = __builtin_bswap32(raw->server ? client : RAW_SERVER_IP);
    sport = __builtin_bswap16(raw->server ? RAW_SERVER_PORT : port);
    dport = __builtin_bswap16(raw->server ? port : RAW_SERVER_PORT);
    memcpy(at, raw->peer_mac, 6);
    memcpy(at + 6, raw->mac, 6);
    {
        const uint16_t word[] = { htons(WEIR_ETHERTYPE_IP4),
                                  htons(0x4500),
                                  htons((uint16_t)(40 + len)),
                                  0,
                                  htons(0x4000),
                                  htons(0x4006) };

        sum =
            sum32(sum32(sum32(0, source), target), (uint32_t)word[1] + word[2] + word[4] + word[5]);
        memcpy(at + 12, word, sizeof word);
    }
    {
        uint16_t check = (uint16_t)~weir_sum_fold(sum);

        memcpy(at + IP_AT + 10, &check, 2);
    }
    memcpy(at + IP_AT + 12, &source, 4);
    memcpy(at + IP_AT + 16, &target, 4);
    {
        const uint32_t seq = htonl(conn->snd_nxt), ack = htonl(conn->rcv_nxt);
        const uint16_t bits = htons((uint16_t)(0x5000 | flags)), window = htons(65535);
        uint16_t check;

        sum = sum32(sum32(data_sum, source), target);
        sum = sum32(sum32(sum, seq), ack);
        sum = sum32(sum, (uint32_t)htons(6) + htons((uint16_t)(20 + len)) + sport + dport + bits +
                             window);
        check = (uint16_t)~weir_sum_fold(sum);
        memcpy(at + TCP_AT, &sport, 2);
        memcpy(at + TCP_AT + 2, &dport, 2);
        memcpy(at + TCP_AT + 4, &seq, 4);
        memcpy(at + TCP_AT + 8, &ack, 4);
        memcpy(at + TCP_AT + 12, &bits, 2);
        memcpy(at + TCP_AT + 14, &window, 2);
        memcpy(at + TCP_AT + 16, &check, 2);
        memset(at + TCP_AT + 18, 0, 2);
    }
    if (len > 0)
        memcpy(at + RAW_HEADERS, data, len);
    pkt->buf.len = RAW_HEADERS + len;
    pkt->l3 = IP_AT;
    pkt->l4 = TCP_AT;
    conn->snd_nxt += len + !!(flags & SYN);
    raw_out(raw, pkt);
}

void raw_send(struct raw *raw, struct raw_conn *conn)
{
    segment(raw, conn, PSH | ACK, raw->message, raw->message_len, raw->message_sum);
}

/* --- what comes in --- */

static void arp(struct raw *raw, const struct weir_pkt *pkt)
{
    const uint8_t *data = pkt->buf.data;
    struct weir_arp in, out = { .reply = true };
    struct weir_pkt *reply;
    uint8_t *at;

    if (weir_arp_parse(&in, data + 14, pkt->buf.len - 14) < 0)
        return;
    if (in.reply || (!raw->server && in.sender_ip == htonl(RAW_SERVER_IP))) {
        memcpy(raw->peer_mac, in.sender_mac, 6);
        raw->resolved = true;
    }
    if (in.reply ||
        (raw->server ? in.target_ip != htonl(RAW_SERVER_IP) : in.target_ip != htonl(RAW_ROUTER_IP)))
        return;
    out.sender_ip = in.target_ip;
    out.target_ip = in.sender_ip;
    memcpy(out.sender_mac, raw->mac, 6);
    memcpy(out.target_mac, in.sender_mac, 6);
    reply = raw_packet(raw);
    at = weir_pkt_push(reply, 14 + WEIR_ARP_LEN);
    memcpy(at, in.sender_mac, 6);
    memcpy(at + 6, raw->mac, 6);
    weir_put16(at + 12, WEIR_ETHERTYPE_ARP);
    weir_arp_emit(at + 14, &out);
    raw_out(raw, reply);
}

static void arp_request(struct raw *raw)
{
    struct weir_arp out = { .sender_ip = htonl(RAW_ROUTER_IP), .target_ip = htonl(RAW_SERVER_IP) };
    struct weir_pkt *pkt = raw_packet(raw);
    uint8_t *at = weir_pkt_push(pkt, 14 + WEIR_ARP_LEN);

    memcpy(out.sender_mac, raw->mac, 6);
    memset(at, 0xff, 6);
    memcpy(at + 6, raw->mac, 6);
    weir_put16(at + 12, WEIR_ETHERTYPE_ARP);
    weir_arp_emit(at + 14, &out);
    raw_out(raw, pkt);
}

static struct raw_conn *conn_find(const struct raw *raw, const uint8_t *at)
{
    uint32_t ip = weir_get32(at + IP_AT + (raw->server ? 12 : 16));
    uint32_t port = weir_get16(at + TCP_AT + (raw->server ? 0 : 2));
    uint32_t index = (ip - RAW_CLIENT_IP) * RAW_PORTS + port - RAW_PORT_FIRST;

    return index < raw->conns ? &raw->conn[index] : NULL;
}

/* A segment whose header and checksums are good: the payload's length, or -1. */
static int32_t segment_check(const struct weir_pkt *pkt)
{
    const uint8_t *at = pkt->buf.data;
    uint32_t total = weir_get16(at + IP_AT + 2), header = (at[TCP_AT + 12] >> 4) * 4u;
    uint32_t sum;

    if (pkt->buf.len < RAW_HEADERS || at[IP_AT] != 0x45 || at[IP_AT + 9] != 6 ||
        total + 14 > pkt->buf.len || header < 20 || total < 20 + header)
        return -1;
    if (weir_sum_fold(weir_sum(at + IP_AT, 20, 0)) != 0xffff)
        return -1;
    sum = weir_sum(at + IP_AT + 12, total - 12, htons(6));
    sum = weir_sum_add(sum, htons((uint16_t)(total - 20)));
    return weir_sum_fold(sum) == 0xffff ? (int32_t)(total - 20 - header) : -1;
}

static void data_came(struct raw *raw, struct raw_conn *conn, uint32_t len)
{
    conn->rcv_nxt += len;
    conn->got += len;
    while (conn->got >= raw->expect) {
        conn->got -= raw->expect;
        raw->messages++;
        if (raw->answered)
            raw->answered(raw, conn);
        else
            raw_send(raw, conn);
    }
}

static void syn_came(struct raw *raw, struct raw_conn *conn, uint32_t seq, uint8_t flags)
{
    conn->rcv_nxt = seq + 1;
    conn->got = 0;
    if (raw->server) {
        conn->snd_nxt = 7;
        segment(raw, conn, SYN | ACK, NULL, 0, 0);
    } else if (flags & ACK && conn->state == RAW_SYN_SENT) {
        segment(raw, conn, ACK, NULL, 0, 0);
        raw->opened++;
    }
    conn->state = RAW_OPEN;
}

static void segment_came(struct raw *raw, const struct weir_pkt *pkt)
{
    const uint8_t *at = pkt->buf.data;
    int32_t len = segment_check(pkt);
    struct raw_conn *conn = len >= 0 ? conn_find(raw, at) : NULL;
    uint8_t flags = at[TCP_AT + 13];
    uint32_t seq = weir_get32(at + TCP_AT + 4), ack = weir_get32(at + TCP_AT + 8);

    if (!conn) {
        raw->bad++;
    } else if (flags & SYN) {
        syn_came(raw, conn, seq, flags);
    } else if (!(flags & (RST | FIN)) && conn->state == RAW_OPEN &&
               (int32_t)(seq - conn->rcv_nxt) < 0) {
        raw->again++;
    } else if (flags & (RST | FIN) || conn->state != RAW_OPEN || seq != conn->rcv_nxt ||
               (int32_t)(conn->snd_nxt - ack) < 0) {
        raw->bad++;
    } else if (len > 0) {
        data_came(raw, conn, (uint32_t)len);
    }
}

unsigned raw_turn(struct raw *raw)
{
    struct weir_pkt *pkts[WEIR_DEV_BURST];
    unsigned count = raw->queue->dev->ops->rx(raw->queue, pkts, WEIR_DEV_BURST);

    for (unsigned i = 0; i < count; i++) {
        __builtin_prefetch(pkts[i]->buf.data);
        __builtin_prefetch(pkts[i]->buf.data + 64);
    }
    for (unsigned i = 0; i < count; i++) {
        if (pkts[i]->buf.len >= 14 && weir_get16(pkts[i]->buf.data + 12) == WEIR_ETHERTYPE_IP4)
            segment_came(raw, pkts[i]);
        else if (pkts[i]->buf.len >= 14 + WEIR_ARP_LEN)
            arp(raw, pkts[i]);
        weir_pkt_free(pkts[i]);
    }
    raw_flush(raw);
    return count;
}

static void raw_wait(struct raw *raw)
{
    if (raw->meanwhile)
        raw->meanwhile(raw);
    else
        weir_cpu_relax();
}

void raw_connect_all(struct raw *raw)
{
    enum { AT_ONCE = 64 };
    uint32_t next = 0;
    uint64_t turns = 0;

    while (!raw->resolved) {
        if (turns++ % (1 << 22) == 0)
            arp_request(raw);
        raw_turn(raw);
        raw_wait(raw);
    }
    while (raw->opened < raw->conns) {
        for (; next < raw->conns && next < raw->opened + AT_ONCE; next++) {
            raw->conn[next].state = RAW_SYN_SENT;
            raw->conn[next].snd_nxt = next;
            segment(raw, &raw->conn[next], SYN, NULL, 0, 0);
        }
        raw_turn(raw);
        raw_wait(raw);
    }
}
