/* raw_tcp.h - the least that can be called TCP: headers, checksums, sequence numbers.
 *
 * A peer of this kind opens connections, keeps one exchange under way on each, checks everything
 * that comes (IP header, TCP checksum, sequence numbers), and never retransmits, measures or times
 * anything: on a wire that loses nothing it is right, and it is the floor for what a TCP can cost.
 * As a client it loads a real stack; two of them on one wire are the yardstick of perf/.
 *
 * IPv4, no options but MSS; 10.0.0.1 serves, clients are 10.1.0.0/16 behind the router 10.0.0.2. */
#ifndef WEIR_PERF_RAW_TCP_H
#define WEIR_PERF_RAW_TCP_H

#include "net/dev.h"

enum {
    RAW_PORTS = 50000, /* connections per client address */
    RAW_PORT_FIRST = 10000,
    RAW_SERVER_PORT = 80,
    RAW_HEADERS = 14 + 20 + 20,
};

#define RAW_SERVER_IP UINT32_C(0x0a000001)
#define RAW_ROUTER_IP UINT32_C(0x0a000002)
#define RAW_CLIENT_IP UINT32_C(0x0a010001) /* and those behind it */

enum raw_state { RAW_CLOSED, RAW_SYN_SENT, RAW_OPEN };

struct raw_conn {
    uint32_t snd_nxt, rcv_nxt;
    uint32_t got;  /* bytes of the answer that is coming in */
    uint8_t state; /* enum raw_state */
    uint64_t sent; /* cycles, when the request went out */
};

struct raw {
    struct weir_shard shard; /* for the device: it never sleeps */
    struct weir_dev_queue *queue;
    struct weir_pkts pkts;
    struct weir_pkt *tx[WEIR_DEV_BURST];
    unsigned tx_count;
    uint8_t mac[6], peer_mac[6];
    bool server, resolved;
    struct raw_conn *conn;
    uint32_t conns, opened;
    const uint8_t *message; /* what it sends: requests, or answers */
    uint32_t message_len, message_sum;
    uint32_t expect;   /* bytes in one message of the other side */
    uint64_t messages; /* complete ones that came */
    uint64_t again;    /* segments that came before: it acknowledges only with what it sends */
    uint64_t bad;      /* packets that were not as they should be */
    void (*answered)(struct raw *raw, struct raw_conn *conn);
    void (*meanwhile)(struct raw *raw); /* while it connects; NULL: the server has its own thread */
};

/* In the thread that will use it.  `expect`: length of the other side's messages. */
void raw_open(struct raw *raw, struct weir_dev *dev, uint32_t conns, bool server);
void raw_close(struct raw *raw);
void raw_message(struct raw *raw, const void *message, uint32_t len, uint32_t expect);

/* A client: resolves the server, opens all connections; waits for it. */
void raw_connect_all(struct raw *raw);

/* One burst: takes what has arrived, answers it.  Returns how many packets. */
unsigned raw_turn(struct raw *raw);

/* Sends its message on this connection. */
void raw_send(struct raw *raw, struct raw_conn *conn);
void raw_flush(struct raw *raw);

#endif
