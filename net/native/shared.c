/* shared.c - what all shards' stacks have in common: settings, devices, who listens where.
 *
 * Shards that listen at the same address share it: each has a listener of its own for the flows
 * whose hash leads to it.  The first of them resolves port 0 for all; those join who ask for port 0
 * as it did, or for the port it got.  An address that overlaps with another one on the same port
 * (one of them stands for all) is refused, as kernels do.
 *
 * Invariant: a share is in the registry as long as it has members; who takes is a member. */
#include "net/native/shared.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include "net/native/tcp_in.h"

enum { PORT_FIRST = 32768, PORT_LAST = 60999 };

/* --- opening and closing --- */

void weir_native_config_init(struct weir_native_config *config)
{
    *config = (struct weir_native_config){
        .cc = "cubic",
        .conns_max = 65536,
        .pkts_max = 65536,
        .rcvbuf = 4 << 20,
        .sndbuf = 1 << 20,
    };
}

/* What flows are hashed by: the key a device steers by, else one of our own that nobody can know,
 * or a flood could choose addresses that meet in one bucket of one shard. */
static void shared_key(const struct weir_native_shared *shared, const struct weir_dev *dev,
                       uint8_t key[WEIR_TOEPLITZ_KEY])
{
    if (dev && (dev->caps & (WEIR_DEV_RSS | WEIR_DEV_STEERED))) {
        memcpy(key, dev->rss_key, WEIR_TOEPLITZ_KEY);
        return;
    }
    for (uint64_t i = 0; i < WEIR_TOEPLITZ_KEY / sizeof i; i++) {
        uint64_t word = weir_siphash((uint64_t[2]){ shared->config.secret, 2 }, &i, sizeof i);

        memcpy(key + i * sizeof word, &word, sizeof word);
    }
}

/* A device that is a loop already serves as the loopback: faults in front of it included. */
static int shared_devices(struct weir_native_shared *shared, struct weir_dev *dev,
                          const uint8_t key[WEIR_TOEPLITZ_KEY])
{
    struct weir_pair_config config = { .queues = shared->shards, .loop = true, .key = key };
    struct weir_dev *end[2] = { NULL, NULL };
    int error;

    if (dev && (dev->caps & WEIR_DEV_LOOP)) {
        shared->loop = dev;
        return 0;
    }
    error = weir_pair_open(end, &config);
    if (error)
        return error;
    shared->loop = end[0];
    shared->dev = dev;
    return 0;
}

static int shared_secret(struct weir_native_shared *shared)
{
    uint64_t secret = shared->config.secret;

    while (secret == 0)
        if (getrandom(&secret, sizeof secret, 0) != sizeof secret)
            return -errno;
    shared->config.secret = secret;
    return 0;
}

static int shared_init(struct weir_native_shared *shared, struct weir_dev *dev)
{
    int error = shared_secret(shared);
    uint8_t key[WEIR_TOEPLITZ_KEY];

    if (error)
        return error;
    shared->udp_ports = weir_udp_ports_new();
    if (!shared->udp_ports)
        return -ENOMEM;
    shared_key(shared, dev, key);
    error = shared_devices(shared, dev, key);
    if (error) {
        weir_udp_ports_free(shared->udp_ports);
        return error;
    }
    weir_toeplitz_init(&shared->toeplitz, key);
    weir_flow_table_init(shared->flow_table, shared->shards);
    pthread_mutex_init(&shared->lock, NULL);
    weir_list_init(&shared->shares);
    return 0;
}

int weir_native_shared_open(struct weir_native_shared **shared, struct weir_dev *dev,
                            const struct weir_native_config *config, unsigned shards, char *why,
                            size_t why_size)
{
    struct weir_native_shared *s = calloc(1, sizeof *s);
    int error = -ENOMEM;

    weir_assert(!dev || dev->queues >= shards);
    if (s) {
        s->config = *config;
        s->shards = shards;
        error = shared_init(s, dev);
    }
    if (error) {
        snprintf(why, why_size, "stack native: %s", strerror(-error));
        free(s);
        return error;
    }
    *shared = s;
    return 0;
}

void weir_native_shared_close(struct weir_native_shared *shared)
{
    weir_assert(weir_list_empty(&shared->shares));
    if (shared->dev)
        weir_dev_close(shared->dev);
    weir_dev_close(shared->loop);
    weir_udp_ports_free(shared->udp_ports);
    pthread_mutex_destroy(&shared->lock);
    free(shared);
}

/* --- who listens where; all under the lock --- */

bool weir_native_covers(const struct weir_ip *bound, bool ipv6_only, const struct weir_ip *ip)
{
    if (!weir_ip_is_any(bound))
        return weir_ip_eq(bound, ip);
    if (weir_ip_is_v4(bound) || ipv6_only)
        return weir_ip_is_v4(bound) == weir_ip_is_v4(ip);
    return true;
}

static bool shard_in(const uint64_t set[], unsigned shard)
{
    return (set[shard / 64] >> (shard % 64)) & 1;
}

static void shard_set(uint64_t set[], unsigned shard, bool in)
{
    uint64_t bit = UINT64_C(1) << (shard % 64);

    set[shard / 64] = in ? set[shard / 64] | bit : set[shard / 64] & ~bit;
}

#define SHARE_EACH(share, shared)                                                  \
    for (struct weir_link *at_ = (shared)->shares.next;                            \
         at_ != &(shared)->shares &&                                               \
         ((share) = weir_container_of(at_, struct weir_native_share, link), true); \
         at_ = at_->next)

/* Asked for like this, or having become it. */
static struct weir_native_share *share_find(const struct weir_native_shared *shared,
                                            const struct weir_ip *ip, uint16_t port)
{
    struct weir_native_share *share;

    SHARE_EACH(share, shared)
    if (weir_ip_eq(&share->ip, ip) && (share->asked_port == port || share->port == port))
        return share;
    return NULL;
}

static bool share_conflicts(const struct weir_native_shared *shared, const struct weir_ip *ip,
                            bool ipv6_only, uint16_t port)
{
    struct weir_native_share *share;

    SHARE_EACH(share, shared)
    if (share->port == port && (weir_native_covers(&share->ip, share->ipv6_only, ip) ||
                                weir_native_covers(ip, ipv6_only, &share->ip)))
        return true;
    return false;
}

/* For port 0; 0: none is left. */
static uint16_t share_port(const struct weir_native_shared *shared, struct weir_shard *shard,
                           const struct weir_ip *ip, bool ipv6_only)
{
    unsigned count = PORT_LAST - PORT_FIRST + 1;
    unsigned begin = (unsigned)(weir_shard_random(shard) % count);

    for (unsigned i = 0; i < count; i++) {
        uint16_t port = (uint16_t)(PORT_FIRST + (begin + i) % count);

        if (!share_conflicts(shared, ip, ipv6_only, port))
            return port;
    }
    return 0;
}

static int share_new(struct weir_native_share **out, struct weir_native *native,
                     const struct weir_ip *ip, uint16_t port, bool ipv6_only)
{
    struct weir_native_shared *shared = native->shared;
    struct weir_native_share *share;
    uint16_t got = port ? port : share_port(shared, native->shard, ip, ipv6_only);

    if (got == 0)
        return -EADDRNOTAVAIL;
    if (port && share_conflicts(shared, ip, ipv6_only, port))
        return -EADDRINUSE;
    share = calloc(1, sizeof *share);
    if (!share)
        return -ENOMEM;
    share->ip = *ip;
    share->asked_port = port;
    share->port = got;
    share->ipv6_only = ipv6_only;
    weir_list_push(&shared->shares, &share->link);
    *out = share;
    return 0;
}

static int share_get(struct weir_native_share **share, struct weir_native *native,
                     const struct weir_ip *ip, uint16_t port, bool ipv6_only)
{
    *share = share_find(native->shared, ip, port);
    if (!*share)
        return share_new(share, native, ip, port, ipv6_only);
    return shard_in((*share)->in, native->shard->id) ? -EADDRINUSE : 0;
}

int weir_native_share_join(struct weir_native_share **share, struct weir_native *native,
                           const struct weir_ip *ip, uint16_t port, bool ipv6_only)
{
    int error;

    pthread_mutex_lock(&native->shared->lock);
    error = share_get(share, native, ip, port, ipv6_only);
    if (!error) {
        (*share)->members++;
        shard_set((*share)->in, native->shard->id, true);
        shard_set((*share)->takes, native->shard->id, true);
    }
    pthread_mutex_unlock(&native->shared->lock);
    return error;
}

void weir_native_share_rest(struct weir_native_share *share, struct weir_native *native)
{
    pthread_mutex_lock(&native->shared->lock);
    shard_set(share->takes, native->shard->id, false);
    pthread_mutex_unlock(&native->shared->lock);
}

void weir_native_share_leave(struct weir_native_share *share, struct weir_native *native)
{
    pthread_mutex_lock(&native->shared->lock);
    shard_set(share->takes, native->shard->id, false);
    shard_set(share->in, native->shard->id, false);
    if (--share->members == 0) {
        weir_list_del(&share->link);
        free(share);
    }
    pthread_mutex_unlock(&native->shared->lock);
}

/* --- a SYN that finds no listener on its own shard --- */

/* The `which`-th of those that take, counted round; -1: nobody does. */
static int share_taker(const struct weir_native_share *share, unsigned shards, unsigned which)
{
    unsigned takers = 0;

    for (unsigned i = 0; i < shards; i++)
        takers += shard_in(share->takes, i);
    if (takers == 0)
        return -1;
    which %= takers;
    for (unsigned i = 0;; i++)
        if (shard_in(share->takes, i) && which-- == 0)
            return (int)i;
}

int weir_listener_elsewhere(struct weir_native *native, const struct weir_flow_key *key,
                            uint32_t hash)
{
    struct weir_native_shared *shared = native->shared;
    struct weir_native_share *share;
    int shard = -1;

    pthread_mutex_lock(&shared->lock);
    SHARE_EACH(share, shared)
    if (share->port == key->local_port &&
        weir_native_covers(&share->ip, share->ipv6_only, &key->local)) {
        shard = share_taker(share, shared->shards, hash >> 16);
        break;
    }
    pthread_mutex_unlock(&shared->lock);
    return shard == (int)native->shard->id ? -1 : shard;
}
