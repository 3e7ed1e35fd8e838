/* pkt.h - a packet: a weir_buf that knows what a NIC has to know.
 *
 * One struct on the way in and on the way out.  The first cache line is the buffer and what device
 * and stack tell each other; the second belongs to whoever holds the packet (parsed header fields
 * on the way in, place in the send queue on the way out).  In packets of the pool headroom and
 * bytes follow; a packet may as well describe bytes that stand elsewhere (an mbuf, another shard's
 * memory, a part of another packet).
 *
 * Packets belong to one shard: refs are not atomic.  A packet whose refs are above 1 is still read
 * by somebody else (a device that has not sent it yet): its bytes must not change. */
#ifndef WEIR_NET_PKT_H
#define WEIR_NET_PKT_H

#include <string.h>
#include <weir/buf.h>
#include "core/base.h"
#include "core/pool.h"

enum {
    WEIR_PKT_HEADROOM = 128, /* before buf.data of a fresh packet: room for all headers */
    WEIR_PKT_ROOM = 1600,    /* from there: a frame's payload at MTU 1500 and some */
};

enum weir_pkt_flag {
    /* way in */
    WEIR_PKT_L4_GOOD = 1,   /* the device has checked TCP/UDP's checksum, or vouches for it */
    WEIR_PKT_IP_GOOD = 2,   /* ... IPv4's header checksum */
    WEIR_PKT_GSO = 4,       /* longer than the MTU: several segments merged (tap) */
    WEIR_PKT_FORWARDED = 8, /* came from another shard: not to be forwarded again */
    /* way out */
    WEIR_PKT_L4_CSUM = 16, /* the device fills in the checksum at csum_start + csum_offset; it
                            * holds the pseudo-header's sum (not complemented) */
    WEIR_PKT_TSO = 32,     /* to be cut into segments of gso_size payload bytes */
    WEIR_PKT_IP6 = 64,     /* both ways: IPv6, else IPv4 (set with l3) */
    /* both */
    WEIR_PKT_READ_ONLY = 128, /* a view, or else somebody still reads the bytes; whatever refs
                               * says, they must not change */
};

/* What the layers have found out on the way in. */
struct weir_pkt_rx {
    void *flow;        /* struct weir_flow, after the look-up */
    uint32_t hash;     /* of the flow */
    uint32_t seq, ack; /* TCP, host order, like all below */
    uint32_t ts_val, ts_ecr;
    uint32_t window; /* as in the header: not scaled */
    uint16_t mss;    /* of a SYN; 0: none */
    uint16_t sport, dport;
    uint16_t sack_at; /* offset of the first SACK block from the TCP header; 0: none */
    uint8_t sack_count;
    uint8_t tcp_flags;    /* FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32, ECE 64, CWR 128 */
    uint8_t wscale;       /* of a SYN; 255: none */
    bool sack_ok, has_ts; /* options that were there */
    uint16_t urgent;
    uint32_t len; /* payload bytes, at buf.data + off */
    uint16_t off;
};

/* A place in a TCP send queue; the payload is the last seg.len bytes of the buffer, in front of it
 * may be headers. */
struct weir_pkt_seg {
    uint32_t seq;  /* of the first byte */
    uint32_t len;  /* bytes, without SYN and FIN */
    uint32_t sum;  /* checksum of the payload, folded to 16 bits, as if it began even */
    uint8_t flags; /* enum weir_seg_flag, net/native/tcp.h */
    uint8_t sent_count;
    uint16_t pad;
    int64_t sent_at; /* the last time */
    struct weir_pkt *prev;
};

/* A place among what TCP has received out of order; payload only, too. */
struct weir_pkt_range {
    uint32_t seq, end; /* of its bytes, and of the FIN behind them */
    bool fin;
    /* In the first packet of each run without gaps: */
    uint32_t run_end, stamp; /* where it ends; when it grew last */
    struct weir_pkt *run_last;
};

struct weir_pkt {
    struct weir_buf buf; /* data, len: from the Ethernet header on */
    uint16_t flags;      /* enum weir_pkt_flag */
    uint16_t l3, l4;     /* offsets from buf.data of the IP and the TCP/UDP/ICMP header */
    uint16_t gso_size;
    struct weir_pkt
        *frag; /* way out, TSO: the next piece of the same frame (no headers), or NULL */
    union {
        struct weir_pkt_rx rx;
        struct weir_pkt_seg seg;
        struct weir_pkt_range range;
        uint64_t any[8]; /* the last word is its origin's when it has no bytes of its own */
    };
};

_Static_assert(sizeof(struct weir_pkt) == 128, "two cache lines");
_Static_assert(sizeof(struct weir_pkt_rx) <= 56 && sizeof(struct weir_pkt_seg) <= 56 &&
                   sizeof(struct weir_pkt_range) <= 56,
               "any[7] is left alone");

static inline struct weir_pkt *weir_pkt_of(struct weir_buf *buf)
{
    return weir_container_of(buf, struct weir_pkt, buf);
}

/* The packets of one shard: LIFO, made as needed up to a maximum, kept until the end. */
struct weir_pkts {
    struct weir_pool pool;  /* of struct weir_pkt with headroom and room behind it */
    struct weir_pool views; /* of struct weir_pkt alone */
    uint32_t *live;         /* where to count those out; NULL: nowhere */
    struct weir_pkts *heir; /* set by a device that has lent packets to another shard: takes over
                             * the memory when this one ends; else NULL */
};

void weir_pkts_init(struct weir_pkts *pkts, uint32_t max);

/* More are out than the given number of eighths.  Queues that wait for somebody else take none
 * then: the rest is for what gets them moving again, and for what does not stay. */
static inline bool weir_pkts_scarce(const struct weir_pkts *pkts, uint32_t eighths)
{
    return pkts->pool.live > (uint64_t)pkts->pool.max * eighths / 8;
}

/* All must have come back; with an heir they need not, and it has the memory from here on. */
void weir_pkts_free(struct weir_pkts *pkts);

/* The heir's: nobody reads any of it any more. */
void weir_pkts_drop(struct weir_pkts *pkts);

/* A packet with data behind the headroom, len 0, one owner, nothing set; or NULL. */
struct weir_pkt *weir_pkt_get(struct weir_pkts *pkts);

/* A packet without bytes of its own that describes `len` bytes at `data` inside `of`, of which it
 * becomes an owner; or NULL. */
struct weir_pkt *weir_pkt_view(struct weir_pkts *pkts, struct weir_pkt *of, uint8_t *data,
                               uint32_t len);

/* For devices: a descriptor without bytes, with flags 0 and one owner.  buf.data, buf.len,
 * buf.release and buf.origin are for the caller to set; release gives it back by the second. */
static inline struct weir_pkt *weir_pkt_bare(struct weir_pkts *pkts)
{
    struct weir_pkt *pkt = weir_pool_get(&pkts->views);

    if (weir_unlikely(!pkt))
        return NULL;
    if (pkts->live)
        ++*pkts->live;
    pkt->buf.next = NULL;
    pkt->buf.id = 0;
    pkt->buf.refs = 1;
    pkt->flags = pkt->l3 = pkt->l4 = pkt->gso_size = 0;
    pkt->frag = NULL;
    return pkt;
}

static inline void weir_pkt_bare_put(struct weir_pkts *pkts, struct weir_pkt *pkt)
{
    if (pkts->live)
        --*pkts->live;
    weir_pool_put(&pkts->views, pkt);
}

/* Its bytes may be changed: nobody else reads them. */
static inline bool weir_pkt_writable(const struct weir_pkt *pkt)
{
    return pkt->buf.refs == 1 && !(pkt->flags & WEIR_PKT_READ_ONLY);
}

/* One owner less, of all pieces. */
static inline void weir_pkt_free(struct weir_pkt *pkt)
{
    if (weir_likely(pkt->buf.refs == 1 && !pkt->frag))
        pkt->buf.release(&pkt->buf);
    else
        for (struct weir_pkt *next; pkt; pkt = next) {
            next = pkt->frag;
            weir_buf_free(&pkt->buf);
        }
}

/* Makes room for a header before the bytes, or takes one off. */
static inline uint8_t *weir_pkt_push(struct weir_pkt *pkt, uint32_t len)
{
    pkt->buf.data -= len;
    pkt->buf.len += len;
    return pkt->buf.data;
}

static inline void weir_pkt_pull(struct weir_pkt *pkt, uint32_t len)
{
    weir_assert(len <= pkt->buf.len);
    pkt->buf.data += len;
    pkt->buf.len -= len;
}

#endif
