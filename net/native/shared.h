/* shared.h - what the native stacks of all shards have in common.
 *
 * Made before the shards start and dropped after the last has ended.  Read by all of them without a
 * lock, for nothing of it changes while they run; but for the registry of who listens where, which
 * has a mutex and is asked only when somebody begins or ends to listen and for a SYN that finds no
 * listener on its own shard. */
#ifndef WEIR_NET_NATIVE_SHARED_H
#define WEIR_NET_NATIVE_SHARED_H

#include <pthread.h>
#include <stdatomic.h>
#include "net/native/tcp.h"
#include "net/native/toeplitz.h"
#include "net/native/udp.h"

/* One address that shards listen on, together. */
struct weir_native_share {
    struct weir_link link; /* in shared->shares */
    struct weir_ip ip;
    bool ipv6_only;                       /* [::] without IPv4 */
    uint16_t asked_port, port;            /* perhaps 0; the one it got */
    uint32_t members;                     /* shards that listen; the last to leave frees it */
    uint64_t in[WEIR_SHARDS_MAX / 64];    /* those, by shard */
    uint64_t takes[WEIR_SHARDS_MAX / 64]; /* and who takes new connections: not stopping */
};

struct weir_native_shared {
    struct weir_native_config config; /* with the secret filled in; its texts are the caller's */
    unsigned shards;
    struct weir_dev *loop;         /* queues of all shards; addresses of our own */
    struct weir_dev *dev;          /* NULL: loopback only */
    struct weir_toeplitz toeplitz; /* tables for the key of `dev`, or a secret one */
    uint8_t flow_table[WEIR_FLOW_TABLE];
    struct weir_udp_ports *udp_ports; /* has a lock of its own */

    _Atomic unsigned users; /* shards with fibers or a hold: nobody else can want a packet */

    pthread_mutex_t lock;    /* of: */
    struct weir_link shares; /* struct weir_native_share */
};

/* Joins those who listen at `addr`, or makes it known.  0; -EADDRINUSE: this shard does already, or
 * it is part of another address that is taken; -EADDRNOTAVAIL: no port is left; -ENOMEM. */
int weir_native_share_join(struct weir_native_share **share, struct weir_native *native,
                           const struct weir_ip *ip, uint16_t port, bool ipv6_only);

/* This shard takes no new connections there; and: has closed. */
void weir_native_share_rest(struct weir_native_share *share, struct weir_native *native);
void weir_native_share_leave(struct weir_native_share *share, struct weir_native *native);

/* Whether an address listened on covers one that is connected to; ports aside. */
bool weir_native_covers(const struct weir_ip *bound, bool ipv6_only, const struct weir_ip *ip);

#endif
