/* tcp_build.c - the TCP header: written once, in front of the payload, and never read back.
 *
 * The checksum is added up from the words while they are in registers, from the payload's own sum
 * and the path's sum of the addresses: reading back what was just stored would wait for the store.
 *
 * Options: timestamps on everything once agreed (RFC 7323 3.2), SACK blocks where there is room. */
#include <weir/net.h>
#include "net/native/checksum.h"
#include "net/native/tcp_send.h"

enum { HEADER_WORDS = 5, OPTION_WORDS = 10 };

/* Option words, as they stand in memory. */
struct tcp_options {
    uint32_t word[OPTION_WORDS];
    unsigned count;
};

static uint16_t header_mtu_mss(const struct weir_tcp *tcp, uint16_t mtu)
{
    uint32_t headers = (tcp->path.v6 ? 40 : 20) + 20;

    return (uint16_t)(mtu > headers ? mtu - headers : 1);
}

/* RFC 9293 3.7.1, RFC 6691: the path's MTU without all headers, the peer's MSS without options. */
void weir_tcp_mss_set(struct weir_tcp *tcp)
{
    uint32_t peer = tcp->mss_peer, path = header_mtu_mss(tcp, tcp->path.mtu);
    uint32_t mss = peer < path ? peer : path, options = tcp->flags & WEIR_TCP_TS ? 12 : 0;

    mss = mss > options + 8 ? mss - options : 8;
    tcp->mss = (uint16_t)(mss < WEIR_PKT_ROOM ? mss : WEIR_PKT_ROOM);
}

static void option_put(struct tcp_options *options, uint32_t word)
{
    options->word[options->count++] = htonl(word);
}

/* RFC 9293 3.7.1, 7323 2 and 3, 2018 2: all of them on a SYN, on a SYN|ACK what the peer has
 * offered. */
static void options_syn(struct weir_tcp *tcp, struct tcp_options *options, bool ack)
{
    const struct weir_native *native = weir_tcp_native(tcp);
    bool ts = !ack || (tcp->flags & WEIR_TCP_TS), sack = !ack || (tcp->flags & WEIR_TCP_SACK);
    uint16_t mtu = native->iface[tcp->path.iface].mtu;

    option_put(options, 0x02040000u | header_mtu_mss(tcp, mtu));
    if (ts) {
        option_put(options, sack ? 0x0402080a : 0x0101080a);
        option_put(options, weir_tcp_ts(tcp));
        option_put(options, ack ? tcp->ts_recent : 0);
    } else if (sack) {
        option_put(options, 0x01010402);
    }
    if (!ack || tcp->rcv_wscale || tcp->snd_wscale)
        option_put(options, 0x01030300u | tcp->rcv_wscale);
}

/* RFC 2018 3, as many as there is room for beside the payload; `used` words are taken. */
static void options_sack(struct weir_tcp *tcp, struct tcp_options *options, uint32_t len)
{
    uint32_t room = len < tcp->mss ? tcp->mss - len : 0;
    weir_seq block[4][2];
    unsigned max = tcp->flags & WEIR_TCP_TS ? 3 : 4;

    if (room < 12)
        return;
    if (max > (room - 4) / 8)
        max = (room - 4) / 8;
    max = weir_tcp_sack_blocks(tcp, block, max);
    if (max == 0)
        return;
    option_put(options, 0x01010500u | (2 + 8 * max));
    for (unsigned i = 0; i < max; i++) {
        option_put(options, block[i][0]);
        option_put(options, block[i][1]);
    }
}

static bool options_want_sack(const struct weir_tcp *tcp)
{
    return (tcp->flags & WEIR_TCP_SACK) && (tcp->ooo || weir_tcp_native(tcp)->tcp->dsack == tcp);
}

/* Whether the device computes the checksum: then only the pseudo-header's goes in. */
static bool header_offload(const struct weir_tcp *tcp)
{
    const struct weir_iface *iface = &weir_tcp_native(tcp)->iface[tcp->path.iface];

    return (iface->queue->dev->caps & WEIR_DEV_TX_L4_CSUM) != 0;
}

static void store32(uint8_t *to, uint32_t word)
{
    memcpy(to, &word, sizeof word);
}

/* Two words at a time, joined in a register: an array of words would be written in small stores
 * and read back by one wide load, which waits for all of them (18 ns). */
static void store64(uint8_t *to, uint32_t first, uint32_t second)
{
    uint64_t both = (uint64_t)second << 32 | first;

    memcpy(to, &both, sizeof both);
}

void weir_tcp_send_pkt(struct weir_tcp *tcp, struct weir_pkt *pkt, weir_seq seq, uint8_t tcp_flags,
                       uint32_t len, uint32_t sum)
{
    struct weir_native *native = weir_tcp_native(tcp);
    struct tcp_options options;
    bool ts = (tcp->flags & WEIR_TCP_TS) && !(tcp_flags & WEIR_SYN);
    uint32_t ports, ack, bits, check, ts_val = 0, ts_ecr = 0, header_len;
    uint64_t total;
    uint8_t *to;

    options.count = 0;
    if (weir_unlikely(tcp_flags & WEIR_SYN))
        options_syn(tcp, &options, tcp_flags & WEIR_ACK);
    else if (weir_unlikely(options_want_sack(tcp)))
        options_sack(tcp, &options, len);
    header_len = 4 * (HEADER_WORDS + options.count) + (ts ? 12 : 0);

    ports = htonl((uint32_t)tcp->flow.key.local_port << 16 | tcp->flow.key.remote_port);
    seq = htonl(seq);
    ack = tcp_flags & WEIR_ACK ? htonl(tcp->rcv_nxt) : 0;
    bits = htonl(header_len << 26 | (uint32_t)tcp_flags << 16 |
                 weir_tcp_window_field(tcp, tcp_flags & WEIR_SYN));
    total = (uint64_t)tcp->path.pseudo_sum + htons((uint16_t)(header_len + len));
    if (ts) {
        ts_val = htonl(weir_tcp_ts(tcp));
        ts_ecr = htonl(tcp->ts_recent);
    }
    if (header_offload(tcp)) {
        pkt->flags |= WEIR_PKT_L4_CSUM;
        total = (total >> 32) + (uint32_t)total;
        check = weir_sum_fold(weir_sum_add((uint32_t)total, (uint32_t)(total >> 32)));
    } else {
        total += (uint64_t)ports + seq + ack + bits + sum;
        if (ts)
            total += (uint64_t)htonl(0x0101080a) + ts_val + ts_ecr;
        for (unsigned i = 0; i < options.count; i++)
            total += options.word[i];
        check = (uint16_t)~weir_sum_fold(weir_sum_add((uint32_t)total, (uint32_t)(total >> 32)));
    }

    to = weir_pkt_push(pkt, header_len);
    store64(to, ports, seq);
    store64(to + 8, ack, bits);
    store32(to + 16, check);
    to += 4 * HEADER_WORDS;
    if (ts) {
        store64(to, htonl(0x0101080a), ts_val);
        store32(to + 8, ts_ecr);
        to += 12;
    }
    for (unsigned i = 0; i < options.count; i++)
        store32(to + 4 * i, options.word[i]);
    if (tcp_flags & WEIR_ACK)
        tcp->flags &= ~(uint32_t)WEIR_TCP_ACK_NOW;
    native->stats.tcp_out++;
    weir_path_send(native, &tcp->path, pkt);
}
