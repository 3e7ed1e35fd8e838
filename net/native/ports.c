/* ports.c - which local port a connection gets that we open.
 *
 * From a random place on (RFC 6056 3.3.1: an attacker cannot guess it) the first is taken that is
 * free and whose packets, by their hash, come to this very shard: of N shards every N-th port is.
 * Only when there is none, one in TIME-WAIT is taken over, if timestamps keep what may still be
 * under way of the old connection from being taken for the new one's (RFC 6191).
 *
 * The cost is that of a hash per port looked at: N of them on average, and all 28,232 (a
 * millisecond) when nothing is free. */
#include "net/native/glue.h"

enum { PORT_FIRST = 32768, PORT_COUNT = 60999 - 32768 + 1 };

static bool port_is_self(const struct weir_flow_key *key)
{
    return key->local_port == key->remote_port && weir_ip_eq(&key->local, &key->remote);
}

/* Whether the flow's packets come to this shard; *hash is the flow's. */
static bool port_comes_home(struct weir_native *native, const struct weir_flow_key *key,
                            uint32_t *hash)
{
    if (port_is_self(key))
        return false;
    *hash = weir_flow_hash(native, key);
    return weir_flow_shard(native, *hash) == native->shard->id;
}

/* Ends a TIME-WAIT there; whether the port can be had now. */
static bool port_take_over(struct weir_native *native, struct weir_flow *flow)
{
    return flow->kind == WEIR_FLOW_WAIT &&
           weir_tcp_wait_yield(native, weir_container_of(flow, struct weir_tcp_wait, flow));
}

int weir_native_port(struct weir_native *native, struct weir_flow_key *key, uint32_t *hash)
{
    unsigned begin = (unsigned)(weir_shard_random(native->shard) % PORT_COUNT);

    for (unsigned i = 0; i < 2 * PORT_COUNT; i++) {
        struct weir_flow *flow;

        key->local_port = (uint16_t)(PORT_FIRST + (begin + i) % PORT_COUNT);
        if (!port_comes_home(native, key, hash))
            continue;
        flow = weir_flows_find(&native->flows, *hash, key);
        if (!flow || (i >= PORT_COUNT && port_take_over(native, flow)))
            return 0;
    }
    return -EADDRNOTAVAIL;
}
