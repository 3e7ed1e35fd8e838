/* tcp.c - TCP headers (RFC 9293), and the sum of the pseudo-header.
 *
 * Nearly every segment of a connection has no option, or NOP NOP timestamps: one compare of a word
 * finds that out, and the walk is for the others.
 *
 * What only a SYN may carry (MSS, window scale, SACK permitted) is ignored elsewhere, and so is
 * SACK in a SYN.  A known option of a length that it cannot have ends the list. */
#include <errno.h>
#include "net/native/checksum.h"
#include "net/native/tcp.h"
#include "net/native/wire/wire.h"

enum { TCP_LEN = 20, TCP_WSCALE_NONE = 255, TCP_WSCALE_MAX = 14, TCP_OPTIONS_MAX = 40 };

enum {
    TCP_OPT_END = 0,
    TCP_OPT_NOP = 1,
    TCP_OPT_MSS = 2,
    TCP_OPT_WSCALE = 3,
    TCP_OPT_SACK_OK = 4,
    TCP_OPT_SACK = 5,
    TCP_OPT_TS = 8,
};

#define TCP_NOP_NOP_TS 0x0101080au

static inline void tcp_read_ts(struct weir_pkt_rx *rx, const uint8_t *at)
{
    rx->has_ts = true;
    rx->ts_val = weir_get32(at);
    rx->ts_ecr = weir_get32(at + 4);
}

/* One to four blocks: the header's length leaves no room for more. */
static bool tcp_read_sack(struct weir_pkt_rx *rx, size_t at, size_t len)
{
    if (len < 10 || len % 8 != 2)
        return false;
    if (rx->tcp_flags & WEIR_SYN)
        return true;
    rx->sack_at = (uint16_t)(at + 2);
    rx->sack_count = (uint8_t)(len / 8);
    return true;
}

/* What only a SYN may carry. */
static void tcp_read_syn(struct weir_pkt_rx *rx, const uint8_t *option)
{
    if (!(rx->tcp_flags & WEIR_SYN))
        return;
    switch (option[0]) {
    case TCP_OPT_MSS:
        rx->mss = weir_get16(option + 2);
        break;
    case TCP_OPT_WSCALE: /* RFC 7323 2.3: more than 14 counts as 14 */
        rx->wscale = option[2] > TCP_WSCALE_MAX ? TCP_WSCALE_MAX : option[2];
        break;
    default:
        rx->sack_ok = true;
        break;
    }
}

/* The option of `len` bytes at data[at]; false: it ends the list. */
static bool tcp_read_option(struct weir_pkt_rx *rx, const uint8_t *data, size_t at, size_t len)
{
    switch (data[at]) {
    case TCP_OPT_MSS:
    case TCP_OPT_WSCALE:
    case TCP_OPT_SACK_OK:
        if (len != (data[at] == TCP_OPT_MSS ? 4u : data[at] == TCP_OPT_WSCALE ? 3u : 2u))
            return false;
        tcp_read_syn(rx, data + at);
        return true;
    case TCP_OPT_SACK:
        return tcp_read_sack(rx, at, len);
    case TCP_OPT_TS:
        if (len != 10)
            return false;
        tcp_read_ts(rx, data + at + 2);
        return true;
    default:
        return true;
    }
}

/* `data` is the header, `end` its length. */
static __attribute__((noinline)) int tcp_read_options(struct weir_pkt_rx *rx, const uint8_t *data,
                                                      size_t end)
{
    for (size_t at = TCP_LEN; at < end && data[at] != TCP_OPT_END;) {
        size_t len;

        if (data[at] == TCP_OPT_NOP) {
            at++;
            continue;
        }
        len = end - at < 2 ? 0 : data[at + 1];
        if (len < 2 || len > end - at)
            return -EBADMSG;
        if (!tcp_read_option(rx, data, at, len))
            break;
        at += len;
    }
    return 0;
}

int weir_tcp_parse(struct weir_pkt *pkt)
{
    const uint8_t *data = pkt->buf.data + pkt->l4;
    struct weir_pkt_rx *rx = &pkt->rx;
    uint32_t left = pkt->buf.len - pkt->l4;
    uint32_t header;

    if (weir_unlikely(pkt->l4 > pkt->buf.len || left < TCP_LEN))
        return -EBADMSG;
    header = (data[12] >> 4) * 4u;
    if (weir_unlikely(header < TCP_LEN || header > left))
        return -EBADMSG;
    rx->sport = weir_get16(data);
    rx->dport = weir_get16(data + 2);
    rx->seq = weir_get32(data + 4);
    rx->ack = weir_get32(data + 8);
    rx->tcp_flags = data[13];
    rx->window = weir_get16(data + 14);
    rx->urgent = weir_get16(data + 18);
    rx->mss = 0;
    rx->wscale = TCP_WSCALE_NONE;
    rx->sack_ok = false;
    rx->has_ts = false;
    rx->sack_at = 0;
    rx->sack_count = 0;
    rx->off = (uint16_t)(pkt->l4 + header);
    rx->len = left - header;
    if (header == TCP_LEN)
        return 0;
    if (weir_likely(header == TCP_LEN + 12 && weir_get32(data + TCP_LEN) == TCP_NOP_NOP_TS)) {
        tcp_read_ts(rx, data + TCP_LEN + 4);
        return 0;
    }
    return tcp_read_options(rx, data, header);
}

/* --- emit --- */

static uint8_t *tcp_put_ts(uint8_t *at, const struct weir_tcp_header *tcp)
{
    if (tcp->ts) { /* SACK permitted takes the place of the NOPs */
        weir_put32(at, tcp->sack_ok ? 0x0402080au : TCP_NOP_NOP_TS);
        weir_put32(at + 4, tcp->ts_val);
        weir_put32(at + 8, tcp->ts_ecr);
        return at + 12;
    }
    if (tcp->sack_ok) {
        weir_put32(at, 0x01010402u);
        return at + 4;
    }
    return at;
}

static uint8_t *tcp_put_sacks(uint8_t *at, const struct weir_tcp_header *tcp)
{
    if (tcp->sacks == 0)
        return at;
    weir_assert(tcp->sacks <= 4);
    weir_put32(at, 0x01010502u + 8u * tcp->sacks);
    at += 4;
    for (unsigned i = 0; i < tcp->sacks; i++, at += 8) {
        weir_put32(at, tcp->sack[i][0]);
        weir_put32(at + 4, tcp->sack[i][1]);
    }
    return at;
}

/* Each option is padded to words by itself. */
static unsigned tcp_options_len(const struct weir_tcp_header *tcp)
{
    return (tcp->mss ? 4u : 0) +
           (tcp->ts        ? 12u
            : tcp->sack_ok ? 4u
                           : 0) +
           (tcp->wscale != TCP_WSCALE_NONE ? 4u : 0) + (tcp->sacks ? 4 + 8u * tcp->sacks : 0);
}

int weir_tcp_emit(uint8_t *to, const struct weir_tcp_header *tcp)
{
    uint8_t *at = to + TCP_LEN;
    unsigned len = TCP_LEN + tcp_options_len(tcp);

    weir_assert(len <= TCP_LEN + TCP_OPTIONS_MAX);
    weir_put32(to, (uint32_t)tcp->sport << 16 | tcp->dport);
    weir_put32(to + 4, tcp->seq);
    weir_put32(to + 8, tcp->ack);
    weir_put32(to + 12, (uint32_t)len << 26 | (uint32_t)tcp->flags << 16 | tcp->window);
    weir_put32(to + 16, tcp->urgent);
    if (tcp->mss) {
        weir_put32(at, 0x02040000u | tcp->mss);
        at += 4;
    }
    at = tcp_put_ts(at, tcp);
    if (tcp->wscale != TCP_WSCALE_NONE) {
        weir_put32(at, 0x01030300u | tcp->wscale);
        at += 4;
    }
    at = tcp_put_sacks(at, tcp);
    weir_assert(at == to + len);
    return (int)len;
}

/* --- the pseudo-header --- */

/* Over all words also for IPv4: those in front of the mapped address add up to zero. */
uint32_t weir_pseudo_sum(const struct weir_ip *source, const struct weir_ip *target,
                         uint8_t protocol, uint32_t len)
{
    uint64_t sum = (uint64_t)htonl(len) + htonl(protocol);

    for (unsigned i = 0; i < 4; i++)
        sum += (uint64_t)source->word[i] + target->word[i];
    return weir_sum_add((uint32_t)sum, (uint32_t)(sum >> 32));
}
