/* fuzz_tcp.c - TCP headers: what is accepted obeys the rules, and what we can write of it says the
 * same again. */
#include "wire.h"
#include "net/native/tcp.h"

static int tcp_parse(struct weir_pkt *pkt, const uint8_t *data, size_t size)
{
    memset(pkt, 0x5a, sizeof *pkt);
    pkt->buf.data = (uint8_t *)(uintptr_t)data;
    pkt->buf.len = (uint32_t)size;
    pkt->l4 = 0;
    return weir_tcp_parse(pkt);
}

static void check_accepted(const struct weir_pkt *pkt, size_t size)
{
    const struct weir_pkt_rx *rx = &pkt->rx;

    check(rx->off >= 20 && rx->off <= 60 && rx->off + rx->len == size);
    check(is_bool(&rx->sack_ok) && is_bool(&rx->has_ts));
    check(rx->wscale == 255 || rx->wscale <= 14);
    check((rx->tcp_flags & WEIR_SYN) || (!rx->sack_ok && !rx->mss && rx->wscale == 255));
    check((rx->sack_count == 0) == (rx->sack_at == 0) && rx->sack_count <= 4);
    check(rx->sack_at + 8u * rx->sack_count <= rx->off);
}

static struct weir_tcp_header header_of(const struct weir_pkt_rx *rx, const uint8_t *data)
{
    struct weir_tcp_header tcp = {
        .sport = rx->sport,
        .dport = rx->dport,
        .seq = rx->seq,
        .ack = rx->ack,
        .flags = rx->tcp_flags,
        .window = (uint16_t)rx->window,
        .urgent = rx->urgent,
        .mss = rx->mss,
        .wscale = rx->wscale,
        .sack_ok = rx->sack_ok,
        .ts = rx->has_ts,
        .ts_val = rx->has_ts ? rx->ts_val : 0,
        .ts_ecr = rx->has_ts ? rx->ts_ecr : 0,
    };

    tcp.sacks = rx->sack_count;
    if (tcp.ts && tcp.sacks > 3)
        tcp.sacks = 3;
    for (unsigned i = 0; i < tcp.sacks; i++) {
        tcp.sack[i][0] = weir_get32(data + rx->sack_at + 8 * i);
        tcp.sack[i][1] = weir_get32(data + rx->sack_at + 8 * i + 4);
    }
    return tcp;
}

/* Padding of structs is nobody's, so what is compared is what they are written as. */
static void check_again(const struct weir_pkt *pkt, const uint8_t *data)
{
    struct weir_tcp_header tcp = header_of(&pkt->rx, data), again;
    struct weir_pkt out;
    uint8_t first[60], second[60];
    int len = weir_tcp_emit(first, &tcp);

    check(len <= 60 && tcp_parse(&out, first, (size_t)len) == 0 && out.rx.len == 0);
    check(out.rx.has_ts == pkt->rx.has_ts && out.rx.seq == pkt->rx.seq);
    again = header_of(&out.rx, first);
    check(again.sacks == tcp.sacks && weir_tcp_emit(second, &again) == len);
    check(memcmp(first, second, (size_t)len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct weir_pkt pkt;
    int rc = tcp_parse(&pkt, data, size);

    check(rc == 0 || rc == -EBADMSG);
    if (rc < 0)
        return 0;
    check_accepted(&pkt, size);
    check_again(&pkt, data);
    return 0;
}
