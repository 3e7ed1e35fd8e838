/* tcp_in_world.h - one connection without a stack around it, for tests of the receive side's parts:
 * a shard with a clock, packets, and counts of what was asked of the send side. */
#ifndef WEIR_TESTS_NET_TCP_IN_WORLD_H
#define WEIR_TESTS_NET_TCP_IN_WORLD_H

#include "net/native/tcp_in.h"

static struct weir_shard shard;
static struct weir_tcp_layer layer;
static struct weir_native native;
static struct weir_tcp tcp;
static unsigned armed;

void weir_tcp_arm_first(struct weir_tcp *of)
{
    armed += of == &tcp;
}

void weir_tcp_ack_later(struct weir_tcp *of)
{
    armed += of == &tcp;
}

static void world_begin(uint32_t rcv_buf, uint32_t pkts)
{
    memset(&shard, 0, sizeof shard);
    memset(&native, 0, sizeof native);
    memset(&tcp, 0, sizeof tcp);
    shard.now = WEIR_SEC(1);
    layer = (struct weir_tcp_layer){ .rcvbuf = rcv_buf, .rcv_wscale = 4 };
    native.shard = &shard;
    native.tcp = &layer;
    weir_pkts_init(&native.pkts, pkts);
    tcp.conn.stack = &native.stack;
    tcp.state = WEIR_TCP_ESTABLISHED;
    tcp.flags = WEIR_TCP_SACK | WEIR_TCP_USER;
    tcp.rcv_buf = rcv_buf;
    tcp.rcv_wscale = 4;
    tcp.mss = 1460;
    armed = 0;
}

static void world_begin_at(weir_seq rcv_nxt)
{
    tcp.irs = rcv_nxt - 1;
    tcp.rcv_nxt = tcp.rcv_tuned = tcp.rcv_adv = rcv_nxt;
    weir_tcp_window_field(&tcp, false);
}

static void world_end(void)
{
    weir_tcp_rx_free(&tcp);
    weir_tcp_ooo_free(&tcp);
    assert_int_equal(tcp.rcv_held, 0);
    assert_int_equal(native.pkts.pool.live, 0);
    weir_pkts_free(&native.pkts);
}

/* What the output does: forgets that it was asked. */
static bool world_acked(void)
{
    bool now = tcp.flags & WEIR_TCP_ACK_NOW;

    tcp.flags &= ~(uint32_t)WEIR_TCP_QUEUED;
    native.output = native.output_last = NULL;
    if (now)
        weir_tcp_window_field(&tcp, false);
    return now;
}

/* A parsed segment as it comes from the device: headers, then payload. */
static struct weir_pkt *world_segment(weir_seq seq, const uint8_t *data, uint32_t len,
                                      uint8_t flags)
{
    struct weir_pkt *pkt = weir_pkt_get(&native.pkts);

    assert_non_null(pkt);
    pkt->rx =
        (struct weir_pkt_rx){ .seq = seq, .len = len, .off = 54, .tcp_flags = flags | WEIR_ACK };
    pkt->buf.len = 54 + len;
    memset(pkt->buf.data, 0xee, 54);
    if (len)
        memcpy(pkt->buf.data + 54, data, len);
    return pkt;
}

#endif
