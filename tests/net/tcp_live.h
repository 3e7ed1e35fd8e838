/* tcp_live.h - a whole native stack on a bench: one shard on a virtual clock, a device whose two
 * ends are arrays, and a peer that answers neighbour resolution and nothing else.
 *
 * Frames are put in by live_in(), what the stack sends is in live_sent(), parsed and checked
 * (lengths, both checksums).  Time moves by live_pass() only.  Nothing here needs cmocka: what
 * cannot be is a panic, so that fuzzers can use it. */
#ifndef WEIR_TESTS_NET_TCP_LIVE_H
#define WEIR_TESTS_NET_TCP_LIVE_H

#include "net/native/tcp.h"
#include "net/native/wire/wire.h"

enum { LIVE_FRAMES = 2048, LIVE_FRAME = 1600, LIVE_PORT = 80, LIVE_PEER_PORT = 40000 };

#define live_check(expr) \
    (weir_likely(expr) ? (void)0 : weir_panic("%s: check failed: %s", WEIR_HERE, #expr))

/* A TCP segment; numbers as in the header, in host order. */
struct live_segment {
    weir_time at;
    uint16_t sport, dport;
    uint32_t seq, ack;
    uint8_t flags;
    uint16_t window, urgent;
    uint16_t mss;   /* 0: no option, also below */
    uint8_t wscale; /* 255: none */
    bool sack_ok, ts;
    uint32_t ts_val, ts_ecr;
    unsigned sacks;
    uint32_t sack[4][2];
    uint32_t len;
    /* way in only */
    uint8_t raw[40]; /* more options, as they are */
    unsigned raw_len;
    uint8_t data_offset; /* instead of the right one; 0: the right one */
    bool bad_sum;
    /* way out only */
    uint8_t hop_limit;
    bool dont_fragment;
    bool to_peer;
    uint8_t data[LIVE_FRAME];
};

struct live_config {
    uint32_t rcvbuf, sndbuf, pkts_max, conns_max;
    uint16_t mtu;
    const char *cc;
    bool keepalive, v6;
    uint64_t seed;
};

struct live_frame {
    uint32_t len;
    uint8_t data[LIVE_FRAME];
};

struct live {
    struct live_config config;
    struct weir_shards all;
    struct weir_shard shard;
    struct weir_driver below, *driver;
    struct weir_dev dev;
    struct weir_dev_queue queue;
    struct weir_pkts *pkts;
    struct weir_native_shared *shared;
    struct weir_native *native;
    struct weir_ip local, peer;

    struct live_frame rx[LIVE_FRAMES]; /* to the stack: a ring */
    unsigned rx_begin, rx_end;
    struct live_segment tx[LIVE_FRAMES]; /* TCP from the stack: a ring */
    unsigned tx_begin, tx_end;
    uint64_t sent_bytes, sent_segments;
    unsigned icmp_sent; /* errors and echoes of the stack */
    bool count_only;    /* sent segments are checked, then forgotten */
    void (*on_sent)(struct live *live, const struct live_segment *segment); /* takes it, or NULL */
    void *arg;
};

void live_config_init(struct live_config *config);

/* Up and running, addresses announced.  There is one at a time. */
struct live *live_open(const struct live_config *config);

/* The user has closed everything.  `orderly`: checks that nothing is left. */
void live_close(struct live *live);

/* Handles what has come and what is due now. */
void live_pump(struct live *live);

/* Lets time pass, alarm by alarm, until then. */
void live_pass(struct live *live, weir_time until);

/* A segment of the peer; sport and dport are filled in by the caller.  Not pumped. */
void live_in(struct live *live, const struct live_segment *segment);

/* Any frame. */
void live_in_frame(struct live *live, const uint8_t *data, size_t len);

/* The same segment as a frame from `from`; returns its length. */
size_t live_frame_of(const struct live *live, uint8_t *frame, const struct weir_ip *from,
                     const struct live_segment *segment);

/* An ICMP error from a router on the path that quotes the header of a segment of ours. */
void live_in_icmp(struct live *live, uint8_t type, uint8_t code, uint32_t rest, uint16_t sport,
                  uint16_t dport, uint32_t seq);

/* The next segment that was sent, or NULL. */
const struct live_segment *live_sent(struct live *live);

/* The connection of the peer's port, or NULL; or what is left of it in TIME-WAIT. */
struct weir_flow *live_flow(struct live *live, uint16_t local_port, uint16_t remote_port);

/* The pattern of both directions' bytes. */
static inline uint8_t live_byte(uint32_t offset)
{
    return (uint8_t)(offset * 7 + (offset >> 8) * 13 + 3);
}

#endif
