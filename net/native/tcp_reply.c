/* tcp_reply.c - segments that are sent without a connection: RST, cookies, challenge ACKs' budget.
 *
 * Each finds its path anew and is sent once; what has no path or no packet is dropped, for a peer
 * that is in earnest asks again. */
#include "net/native/checksum.h"
#include "net/native/tcp_in.h"

enum { CHALLENGES_PER_SECOND = 500 };

/* The checksum, with the sums as they stand in memory: the length is one word in network order. */
static void reply_checksum(const struct weir_path *path, struct weir_pkt *pkt)
{
    uint32_t sum = weir_sum_add(path->pseudo_sum, htons((uint16_t)pkt->buf.len));
    uint16_t check = (uint16_t)~weir_sum_fold(weir_sum(pkt->buf.data, pkt->buf.len, sum));

    memcpy(pkt->buf.data + 16, &check, sizeof check);
}

void weir_tcp_reply(struct weir_native *native, const struct weir_flow_key *key,
                    struct weir_tcp_header *header)
{
    struct weir_path path = { 0 };
    struct weir_ip local = key->local;
    struct weir_pkt *pkt;

    if (weir_path_open(native, &path, &local, &key->remote, IPPROTO_TCP) < 0)
        return;
    pkt = weir_pkt_get(&native->pkts);
    if (!pkt) {
        native->stats.tcp_no_memory++;
        weir_path_close(native, &path);
        return;
    }
    header->sport = key->local_port;
    header->dport = key->remote_port;
    if (header->flags & WEIR_SYN)
        header->mss = (uint16_t)(path.mtu - (path.v6 ? 60 : 40)); /* RFC 6691 */
    pkt->buf.len = (uint32_t)weir_tcp_emit(pkt->buf.data, header);
    reply_checksum(&path, pkt);
    weir_path_send(native, &path, pkt);
    weir_path_close(native, &path);
    native->stats.tcp_out++;
}

/* RFC 9293 3.10.7.1: "If the ACK bit is off, sequence number zero is used, <SEQ=0>
 * <ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>.  If the ACK bit is on, <SEQ=SEG.ACK><CTL=RST>." */
void weir_tcp_reply_rst(struct weir_native *native, const struct weir_flow_key *key,
                        const struct weir_pkt *pkt)
{
    const struct weir_pkt_rx *rx = &pkt->rx;
    struct weir_tcp_header rst = { .flags = WEIR_RST, .wscale = 255 };

    if (rx->tcp_flags & WEIR_RST)
        return;
    if (rx->tcp_flags & WEIR_ACK) {
        rst.seq = rx->ack;
    } else {
        rst.flags |= WEIR_ACK;
        rst.ack = rx->seq + rx->len + !!(rx->tcp_flags & WEIR_SYN) + !!(rx->tcp_flags & WEIR_FIN);
    }
    weir_tcp_reply(native, key, &rst);
    native->stats.tcp_rst_out++;
}

/* The budget of a second is drawn at random, or an outsider could count what is left of it and
 * learn by that whether a guess of his was in a window (CVE-2016-5696). */
bool weir_tcp_challenge_allowed(struct weir_native *native)
{
    struct weir_tcp_layer *layer = native->tcp;
    int64_t second = weir_native_now(native) / WEIR_SEC(1);

    if (layer->challenge_second != second) {
        layer->challenge_second = second;
        layer->challenge_left =
            CHALLENGES_PER_SECOND +
            (uint32_t)(weir_shard_random(native->shard) % CHALLENGES_PER_SECOND);
    }
    if (layer->challenge_left == 0) {
        native->stats.tcp_challenge_limited++;
        return false;
    }
    layer->challenge_left--;
    native->stats.tcp_challenge_acks++;
    return true;
}

void weir_tcp_challenge(struct weir_tcp *tcp)
{
    if (weir_tcp_challenge_allowed(weir_native_of(tcp->conn.stack)))
        weir_tcp_ack_now(tcp);
}
