/* udp_ports.c - who has which UDP port, on all shards.
 *
 * A datagram usually finds its socket on the shard where it arrives, and nobody looks here but for
 * one word per port: how many sockets there are and whether they are all alike.  The lock is taken
 * when sockets come and go, and for a datagram whose socket may be on another shard; so a flood at
 * ports that nobody has takes none.
 *
 * Invariant: port[p] describes the seats of port p in their bucket whenever the lock is free. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include "net/native/shared.h"
#include "net/native/udp.h"

enum { PORTS_BUCKETS = 1024, PORT_FIRST = 32768, PORT_LAST = 60999, PORTS = 65536 };

#define PORT_UNLIKE 0x80000000u

struct weir_udp_ports {
    pthread_mutex_t lock;
    struct weir_link bucket[PORTS_BUCKETS]; /* seats, by port; those of one in order of coming */
    _Atomic uint32_t port[PORTS];           /* how many, and PORT_UNLIKE */
};

struct weir_udp_ports *weir_udp_ports_new(void)
{
    struct weir_udp_ports *ports = calloc(1, sizeof *ports);

    if (!ports)
        return NULL;
    pthread_mutex_init(&ports->lock, NULL);
    for (unsigned i = 0; i < PORTS_BUCKETS; i++)
        weir_list_init(&ports->bucket[i]);
    return ports;
}

void weir_udp_ports_free(struct weir_udp_ports *ports)
{
    for (unsigned i = 0; i < PORTS_BUCKETS; i++)
        weir_assert(weir_list_empty(&ports->bucket[i]));
    pthread_mutex_destroy(&ports->lock);
    free(ports);
}

static struct weir_link *ports_bucket(struct weir_udp_ports *ports, uint16_t port)
{
    return &ports->bucket[port % PORTS_BUCKETS];
}

#define SEAT_EACH(seat, head)                                                                  \
    for (struct weir_link *at_ = (head)->next;                                                 \
         at_ != (head) && ((seat) = weir_container_of(at_, struct weir_udp_seat, link), true); \
         at_ = at_->next)

/* --- what fits --- */

unsigned weir_udp_fit(const struct weir_udp_seat *seat, const struct weir_flow_key *key)
{
    if (seat->port != key->local_port)
        return 0;
    if (seat->connected)
        return weir_ip_eq(&seat->remote, &key->remote) && seat->remote_port == key->remote_port &&
                       weir_ip_eq(&seat->local, &key->local)
                   ? WEIR_UDP_FIT_PEER
                   : 0;
    if (!weir_native_covers(&seat->local, seat->ipv6_only, &key->local))
        return 0;
    if (!weir_ip_is_any(&seat->local))
        return 3;
    return weir_ip_is_v4(&seat->local) == weir_ip_is_v4(&key->local) ? 2 : 1;
}

/* Whether two may not be beside each other. */
static bool seats_conflict(const struct weir_udp_seat *a, const struct weir_udp_seat *b)
{
    if (a->port != b->port || (!weir_native_covers(&a->local, a->ipv6_only, &b->local) &&
                               !weir_native_covers(&b->local, b->ipv6_only, &a->local)))
        return false;
    return !a->reuse || !b->reuse || (a->shard == b->shard && weir_ip_eq(&a->local, &b->local));
}

/* --- coming and going; under the lock --- */

/* Anew, what the word of a port says. */
static void ports_note(struct weir_udp_ports *ports, uint16_t port)
{
    const struct weir_udp_seat *seat, *first = NULL;
    uint32_t count = 0;
    bool unlike = false;

    SEAT_EACH(seat, ports_bucket(ports, port))
    {
        if (seat->port != port)
            continue;
        first = first ? first : seat;
        count++;
        unlike |= seat->connected || !weir_ip_eq(&seat->local, &first->local) ||
                  seat->ipv6_only != first->ipv6_only;
    }
    atomic_store_explicit(&ports->port[port], count | (unlike ? PORT_UNLIKE : 0),
                          memory_order_release);
}

static int ports_try(struct weir_udp_ports *ports, struct weir_udp_seat *seat, uint16_t port)
{
    struct weir_link *bucket = ports_bucket(ports, port);
    const struct weir_udp_seat *other;

    seat->port = port;
    SEAT_EACH(other, bucket)
    if (seats_conflict(seat, other))
        return -EADDRINUSE;
    weir_list_push(bucket, &seat->link);
    ports_note(ports, port);
    return 0;
}

/* One that no socket has at all. */
static int ports_any(struct weir_udp_ports *ports, struct weir_udp_seat *seat, uint32_t first)
{
    uint32_t count = PORT_LAST - PORT_FIRST + 1;

    for (uint32_t i = 0; i < count; i++) {
        uint16_t port = (uint16_t)(PORT_FIRST + (first % count + i) % count);

        if (atomic_load_explicit(&ports->port[port], memory_order_relaxed) == 0)
            return ports_try(ports, seat, port);
    }
    return -EADDRINUSE;
}

int weir_udp_ports_take(struct weir_udp_ports *ports, struct weir_udp_seat *seat, uint32_t first)
{
    uint16_t asked = seat->port;
    int error;

    pthread_mutex_lock(&ports->lock);
    error = asked ? ports_try(ports, seat, asked) : ports_any(ports, seat, first);
    if (error)
        seat->port = asked;
    pthread_mutex_unlock(&ports->lock);
    return error;
}

void weir_udp_ports_leave(struct weir_udp_ports *ports, struct weir_udp_seat *seat)
{
    pthread_mutex_lock(&ports->lock);
    weir_list_del(&seat->link);
    ports_note(ports, seat->port);
    pthread_mutex_unlock(&ports->lock);
}

void weir_udp_ports_connect(struct weir_udp_ports *ports, struct weir_udp_seat *seat,
                            const struct weir_flow_key *key)
{
    pthread_mutex_lock(&ports->lock);
    seat->local = key->local;
    seat->remote = key->remote;
    seat->remote_port = key->remote_port;
    seat->connected = true;
    ports_note(ports, seat->port);
    pthread_mutex_unlock(&ports->lock);
}

/* --- looking --- */

uint32_t weir_udp_ports_count(const struct weir_udp_ports *ports, uint16_t port, bool *alike)
{
    uint32_t word = atomic_load_explicit(&ports->port[port], memory_order_acquire);

    *alike = !(word & PORT_UNLIKE);
    return word & ~PORT_UNLIKE;
}

/* The first `home` has, or the one of the best that the hash picks. */
static int ports_pick(struct weir_udp_ports *ports, const struct weir_flow_key *key, uint32_t hash,
                      unsigned home)
{
    const struct weir_udp_seat *seat;
    unsigned best = 1, same = 0, fit;
    bool at_home = false;
    int shard = -1;

    SEAT_EACH(seat, ports_bucket(ports, key->local_port))
    {
        fit = weir_udp_fit(seat, key);
        if (fit < best)
            continue;
        if (fit > best)
            at_home = false;
        same = fit > best ? 1 : same + 1;
        best = fit;
        at_home |= seat->shard == home;
        if ((hash >> 16) % same == 0)
            shard = seat->shard;
    }
    return at_home ? (int)home : shard;
}

int weir_udp_ports_find(struct weir_udp_ports *ports, const struct weir_flow_key *key,
                        uint32_t hash, unsigned home)
{
    int shard;

    pthread_mutex_lock(&ports->lock);
    shard = ports_pick(ports, key, hash, home);
    pthread_mutex_unlock(&ports->lock);
    return shard;
}
