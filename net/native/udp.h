/* udp.h - datagrams over our own IP: what the parts of it call each other by.
 *
 *     udp_ports.c  who has which port, on all shards
 *     udp_send.c   the way out
 *     udp.c        sockets, and the way in
 *
 * A datagram belongs to the socket that fits it best: one with this peer before one with this
 * address before one that stands for all.  Among shards that have equally good ones it is the one
 * its hash leads to, else one of them that the hash picks, so that a peer stays with one socket. */
#ifndef WEIR_NET_NATIVE_UDP_H
#define WEIR_NET_NATIVE_UDP_H

#include <stdatomic.h>
#include "net/native/native.h"
#include "net/udp_queue.h"

/* --- udp_ports.c --- */

/* A socket as all shards see it; written under the lock of the ports it is in. */
struct weir_udp_seat {
    struct weir_link link;
    struct weir_ip local, remote; /* remote: when it has a peer */
    uint16_t port, remote_port;   /* port 0: it has none yet, and is not in */
    uint16_t shard;
    bool v6, ipv6_only, reuse, connected;
};

struct weir_udp_ports;

struct weir_udp_ports *weir_udp_ports_new(void); /* NULL: no memory */
void weir_udp_ports_free(struct weir_udp_ports *ports);

/* Takes seat->port, or a free one if that is 0; first tries `first`.  0; -EADDRINUSE. */
int weir_udp_ports_take(struct weir_udp_ports *ports, struct weir_udp_seat *seat, uint32_t first);
void weir_udp_ports_leave(struct weir_udp_ports *ports, struct weir_udp_seat *seat);

/* Gives it a peer. */
void weir_udp_ports_connect(struct weir_udp_ports *ports, struct weir_udp_seat *seat,
                            const struct weir_flow_key *key);

/* How many sockets have the port; and whether they are all alike: bound to the same address,
 * without a peer.  No lock. */
uint32_t weir_udp_ports_count(const struct weir_udp_ports *ports, uint16_t port, bool *alike);

/* The shard whose socket a datagram belongs to, or -1.  `home` is where its hash leads to. */
int weir_udp_ports_find(struct weir_udp_ports *ports, const struct weir_flow_key *key,
                        uint32_t hash, unsigned home);

/* How well a datagram fits a socket; 0: not at all; WEIR_UDP_FIT_PEER: nothing could be better. */
enum { WEIR_UDP_FIT_PEER = 4 };
unsigned weir_udp_fit(const struct weir_udp_seat *seat, const struct weir_flow_key *key);

/* --- the layer of one shard --- */

enum { WEIR_UDP_TABLE = 256, WEIR_UDP_PATHS = 64, WEIR_UDP_HEADER = 8 };

/* A way that was used lately. */
struct weir_udp_path {
    struct weir_ip local, remote; /* local as asked for */
    struct weir_path path;        /* header_len 0: none */
};

struct weir_udp_layer {
    struct weir_native *native;
    struct weir_udp_ports *ports;
    uint32_t open;                          /* sockets */
    struct weir_link table[WEIR_UDP_TABLE]; /* sockets by port */
    struct weir_link starved;               /* ... that wait for packets to send */
    struct weir_alarm feed;                 /* looks whether there are any */
    struct weir_link ending;                /* struct weir_udp_io of closed sockets */
    struct weir_alarm end;
    struct weir_udp_path path[WEIR_UDP_PATHS];
};

struct weir_native_udp {
    struct weir_udp udp;
    struct weir_udp_seat seat;
    struct weir_link link;   /* in the table, once it has a port */
    struct weir_link hungry; /* in `starved` */
    int error;               /* to be told: a negated errno, or 0 */
    uint64_t dropped;
    struct weir_udp_queue queue;
};

/* In the shard's thread, when IP is open; native->stack.udp is set.  0 or -ENOMEM. */
int weir_udp_layer_open(struct weir_native *native, struct weir_udp_ports *ports);

/* Everything is closed, or the program ends with a sentence. */
void weir_udp_layer_close(struct weir_native *native);

static inline struct weir_native_udp *weir_native_udp_of(const struct weir_udp *udp)
{
    return weir_container_of(udp, struct weir_native_udp, udp);
}

static inline struct weir_native *weir_native_udp_native(const struct weir_native_udp *u)
{
    return weir_native_of(u->udp.stack);
}

/* Gives it a port if it has none yet.  0, -EADDRINUSE: none is left. */
int weir_native_udp_bind(struct weir_native_udp *u);

/* --- udp_send.c --- */

/* Where `peer` is, for this socket: 0; -EAFNOSUPPORT, -ENETUNREACH, -EINVAL. */
int weir_native_udp_target(const struct weir_native_udp *u, const struct weir_addr *peer,
                           struct weir_ip *ip, uint16_t *port);

void weir_native_udp_send(struct weir_udp_io *io);
void weir_native_udp_feed(struct weir_alarm *alarm);
void weir_udp_paths_close(struct weir_udp_layer *layer);

#endif
