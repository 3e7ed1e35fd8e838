/* udp.c - UDP sockets on our own IP (RFC 768), and datagrams that come in.
 *
 * A datagram is copied once: into the memory of who waits for it, or into the ring of the socket it
 * waits in (udp_queue.h); its packet is free again at once.
 *
 * A socket opened at port 0 gets its port when it is first needed.  If that is for a peer, it is
 * one by which the peer's datagrams come to this shard; without a peer they come from anywhere, and
 * are forwarded (udp_ports.c).
 *
 * Broadcasts go to one socket that stands for all addresses.  ICMP errors are told to sockets with
 * a peer only (RFC 1122 4.1.3.3); those that say "too big" have changed the path's MTU already.
 *
 * Invariant: a socket that has a port is in the table and has its seat in the ports. */
#include "net/native/udp.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "net/native/checksum.h"
#include "net/native/ip.h"

enum { HOMING_TRIES = 4096 };

static struct weir_link *table_bucket(struct weir_udp_layer *layer, uint16_t port)
{
    return &layer->table[port % WEIR_UDP_TABLE];
}

/* The socket of this shard that a datagram fits best; NULL: none. */
static struct weir_native_udp *table_find(struct weir_udp_layer *layer,
                                          const struct weir_flow_key *key, unsigned *fit)
{
    struct weir_link *bucket = table_bucket(layer, key->local_port);
    struct weir_native_udp *found = NULL;

    *fit = 0;
    for (struct weir_link *at = bucket->next; at != bucket; at = at->next) {
        struct weir_native_udp *u = weir_container_of(at, struct weir_native_udp, link);
        unsigned how = weir_udp_fit(&u->seat, key);

        if (how > *fit) {
            *fit = how;
            found = u;
        }
    }
    return found;
}

/* --- receiving --- */

static void recv_done(struct weir_native_udp *u, int64_t result)
{
    struct weir_udp_io *io = u->udp.rx;

    u->udp.rx = NULL;
    weir_future_set(&io->future, result);
}

static void recv_cancel(struct weir_future *future)
{
    struct weir_udp_io *io = weir_container_of(future, struct weir_udp_io, future);

    recv_done(weir_native_udp_of(io->udp), -ECANCELED);
}

static void native_udp_recv(struct weir_udp_io *io)
{
    struct weir_native_udp *u = weir_native_udp_of(io->udp);
    int error = u->error ? u->error : weir_native_udp_bind(u);
    size_t n = 0;

    weir_future_init(&io->future, recv_cancel);
    u->error = 0;
    if (error) {
        recv_done(u, error);
        return;
    }
    while (n < io->count && !weir_udp_queue_empty(&u->queue))
        weir_udp_queue_pop(&u->queue, &io->into[n++]);
    if (n > 0)
        recv_done(u, (int64_t)n);
}

/* IPv4 on an IPv6 socket is shown as ::ffff:a.b.c.d, which is what it is in here. */
static void udp_addr(const struct weir_native_udp *u, struct weir_addr *addr,
                     const struct weir_ip *ip, uint16_t port)
{
    if (!u->seat.v6) {
        weir_ip_to_addr(addr, ip, port);
        return;
    }
    memset(addr, 0, sizeof *addr);
    addr->in6.sin6_family = AF_INET6;
    addr->in6.sin6_port = htons(port);
    memcpy(&addr->in6.sin6_addr, ip->byte, sizeof ip->byte);
    addr->len = sizeof addr->in6;
}

/* Takes the packet.  Who waited may close the socket: it is last. */
static void udp_deliver(struct weir_native_udp *u, struct weir_pkt *pkt,
                        const struct weir_flow_key *key, size_t len)
{
    const uint8_t *data = pkt->buf.data + pkt->l4 + WEIR_UDP_HEADER;
    struct weir_addr from;

    udp_addr(u, &from, &key->remote, key->remote_port);
    if (u->udp.rx) {
        weir_udp_deliver(u->udp.rx->into, &from, data, len);
        weir_pkt_free(pkt);
        recv_done(u, 1);
        return;
    }
    if (!weir_udp_queue_push(&u->queue, &from, data, len))
        u->dropped++;
    weir_pkt_free(pkt);
}

/* --- datagrams that come in --- */

/* RFC 768: IPv4 may go without; 8200 8.1: IPv6 may not. */
static bool udp_sum_good(struct weir_native *native, const struct weir_pkt *pkt,
                         const struct weir_udp_header *udp, const struct weir_flow_key *key)
{
    uint32_t sum;

    if (!udp->checksum)
        return !(pkt->flags & WEIR_PKT_IP6);
    if (pkt->flags & WEIR_PKT_L4_GOOD)
        return true;
    sum = weir_pseudo_sum(&key->remote, &key->local, IPPROTO_UDP, udp->len);
    if (weir_sum_fold(weir_sum(pkt->buf.data + pkt->l4, udp->len, sum)) == 0xffff)
        return true;
    weir_ip_is_partial_csum(native, pkt); /* counts and says it */
    return false;
}

static bool udp_parse(struct weir_native *native, const struct weir_pkt *pkt,
                      struct weir_udp_header *udp, struct weir_flow_key *key)
{
    if (pkt->l4 > pkt->buf.len ||
        weir_udp_parse(udp, pkt->buf.data + pkt->l4, pkt->buf.len - pkt->l4) < 0)
        return false;
    weir_ip_of(pkt, &key->remote, &key->local);
    key->remote_port = udp->sport;
    key->local_port = udp->dport;
    return udp_sum_good(native, pkt, udp, key);
}

/* The shard it belongs to; -1: nobody has that port. */
static int udp_shard(struct weir_native *native, const struct weir_pkt *pkt,
                     const struct weir_flow_key *key, unsigned fit)
{
    unsigned me = native->shard->id, home;
    bool alike, forwarded = pkt->flags & WEIR_PKT_FORWARDED;
    uint32_t count = weir_udp_ports_count(native->udp->ports, key->local_port, &alike), hash;

    if (count == 0)
        return -1;
    if (fit == WEIR_UDP_FIT_PEER || (fit > 0 && (count == 1 || forwarded)))
        return (int)me;
    if (forwarded)
        return -1; /* it was closed meanwhile */
    hash = weir_flow_hash(native, key);
    home = weir_flow_shard(native, hash);
    if (fit > 0 && alike && home == me)
        return (int)me;
    return weir_udp_ports_find(native->udp->ports, key, hash, home);
}

static void udp_no_port(struct weir_native *native, struct weir_iface *iface, struct weir_pkt *pkt,
                        const struct weir_flow_key *key)
{
    native->stats.udp_no_port++;
    if (weir_ip_is_local(native, &key->local))
        weir_icmp_port_unreachable(native, iface, pkt);
    weir_pkt_free(pkt);
}

void weir_udp_input(struct weir_native *native, struct weir_iface *iface, struct weir_pkt *pkt)
{
    struct weir_udp_header udp;
    struct weir_native_udp *u;
    struct weir_flow_key key;
    unsigned fit;
    int shard;

    if (!udp_parse(native, pkt, &udp, &key)) {
        native->stats.udp_bad++;
        weir_pkt_free(pkt);
        return;
    }
    u = table_find(native->udp, &key, &fit);
    shard = udp_shard(native, pkt, &key, fit);
    if (u && shard == (int)native->shard->id) {
        udp_deliver(u, pkt, &key, udp.len - (size_t)WEIR_UDP_HEADER);
    } else if (shard < 0 || shard == (int)native->shard->id) {
        udp_no_port(native, iface, pkt, &key);
    } else {
        pkt->flags |= WEIR_PKT_L4_GOOD;
        weir_steer_forward(native, pkt, (unsigned)shard);
    }
}

void weir_udp_icmp(struct weir_native *native, const struct weir_flow_key *key, int error,
                   uint16_t mtu)
{
    unsigned fit;
    struct weir_native_udp *u = table_find(native->udp, key, &fit);

    if (mtu > 0 || fit != WEIR_UDP_FIT_PEER)
        return;
    if (u->udp.rx)
        recv_done(u, error);
    else
        u->error = error;
}

/* --- ports --- */

static void table_add(struct weir_native_udp *u)
{
    weir_list_push(table_bucket(weir_native_udp_native(u)->udp, u->seat.port), &u->link);
}

int weir_native_udp_bind(struct weir_native_udp *u)
{
    struct weir_native *native = weir_native_udp_native(u);
    int error;

    if (weir_likely(u->seat.port != 0))
        return 0;
    error = weir_udp_ports_take(native->udp->ports, &u->seat,
                                (uint32_t)weir_shard_random(native->shard));
    if (!error)
        table_add(u);
    return error;
}

/* A port of its own by which datagrams of the peer come to this shard. */
static int udp_bind_home(struct weir_native_udp *u, struct weir_flow_key *key)
{
    struct weir_native *native = weir_native_udp_native(u);
    struct weir_udp_ports *ports = native->udp->ports;

    for (unsigned i = 0; i < HOMING_TRIES; i++) {
        u->seat.port = 0;
        if (weir_udp_ports_take(ports, &u->seat, (uint32_t)weir_shard_random(native->shard)) < 0)
            return -EADDRINUSE;
        key->local_port = u->seat.port;
        if (weir_flow_shard(native, weir_flow_hash(native, key)) == native->shard->id)
            break;
        if (i + 1 < HOMING_TRIES) /* else it is forwarded */
            weir_udp_ports_leave(ports, &u->seat);
    }
    table_add(u);
    return 0;
}

/* --- opening and closing --- */

static bool udp_local_good(const struct weir_native *native, const struct weir_ip *ip)
{
    return weir_ip_is_any(ip) || weir_ip_is_local(native, ip) || weir_ip_is_multicast(ip);
}

static int udp_init(struct weir_native_udp *u, struct weir_native *native,
                    const struct weir_addr *addr, const struct weir_udp_config *config)
{
    weir_list_init(&u->link);
    weir_list_init(&u->hungry);
    weir_list_init(&u->seat.link);
    u->udp.stack = &native->stack;
    u->seat.shard = (uint16_t)native->shard->id;
    u->seat.v6 = addr->sa.sa_family == AF_INET6;
    u->seat.ipv6_only = config->ipv6_only;
    u->seat.reuse = config->reuse;
    if (weir_ip_from_addr(&u->seat.local, &u->seat.port, addr) < 0)
        return -EAFNOSUPPORT;
    if (!udp_local_good(native, &u->seat.local))
        return -EADDRNOTAVAIL;
    if (u->seat.port != 0)
        return weir_udp_ports_take(native->udp->ports, &u->seat, 0);
    return 0;
}

static int native_udp_open(struct weir_stack *stack, struct weir_udp **udp,
                           const struct weir_addr *addr, const struct weir_udp_config *config)
{
    struct weir_native *native = weir_native_of(stack);
    struct weir_native_udp *u = calloc(1, sizeof *u);
    int error;

    if (!u)
        return -ENOMEM;
    error = weir_udp_queue_init(&u->queue, config->queue_max);
    if (!error)
        error = udp_init(u, native, addr, config);
    if (error) {
        weir_udp_queue_free(&u->queue);
        free(u);
        return error;
    }
    if (u->seat.port != 0)
        table_add(u);
    native->udp->open++;
    *udp = &u->udp;
    return 0;
}

static int native_udp_connect(struct weir_udp *udp, const struct weir_addr *peer)
{
    struct weir_native_udp *u = weir_native_udp_of(udp);
    struct weir_native *native = weir_native_udp_native(u);
    struct weir_flow_key key = { .local = u->seat.local, .local_port = u->seat.port };
    struct weir_path path;
    int error = weir_native_udp_target(u, peer, &key.remote, &key.remote_port);

    if (error)
        return error;
    if (weir_ip_is_any(&key.local) && weir_ip_is_v4(&key.remote))
        key.local = weir_ip_v4(0);
    error = weir_path_open(native, &path, &key.local, &key.remote, IPPROTO_UDP);
    if (error)
        return error;
    weir_path_close(native, &path);
    if (u->seat.port == 0)
        error = udp_bind_home(u, &key);
    if (error)
        return error;
    weir_udp_ports_connect(native->udp->ports, &u->seat, &key);
    u->error = 0;
    return 0;
}

static void udp_end_later(struct weir_udp_layer *layer, struct weir_udp_io *io)
{
    io->future.cancel = NULL;
    weir_list_push(&layer->ending, &io->link);
    if (!weir_alarm_armed(&layer->end))
        weir_alarm_set(&layer->end, weir_native_now(layer->native));
}

static void udp_end(struct weir_alarm *alarm)
{
    struct weir_udp_layer *layer = weir_container_of(alarm, struct weir_udp_layer, end);
    struct weir_link ending, *link;

    weir_list_init(&ending);
    weir_list_move_all(&ending, &layer->ending);
    while ((link = weir_list_pop(&ending)) != NULL)
        weir_future_set(&weir_container_of(link, struct weir_udp_io, link)->future, -ECANCELED);
}

static void native_udp_close(struct weir_udp *udp)
{
    struct weir_native_udp *u = weir_native_udp_of(udp);
    struct weir_udp_layer *layer = weir_native_udp_native(u)->udp;

    if (udp->rx)
        udp_end_later(layer, udp->rx);
    if (udp->tx)
        udp_end_later(layer, udp->tx);
    if (u->seat.port != 0)
        weir_udp_ports_leave(layer->ports, &u->seat);
    weir_list_del(&u->link);
    weir_list_del(&u->hungry);
    weir_udp_queue_free(&u->queue);
    layer->open--;
    free(u);
}

static int native_udp_local_addr(const struct weir_udp *udp, struct weir_addr *addr)
{
    struct weir_native_udp *u = weir_native_udp_of(udp);
    int error = weir_native_udp_bind(u);

    if (!error)
        udp_addr(u, addr, &u->seat.local, u->seat.port);
    return error;
}

static uint64_t native_udp_dropped(const struct weir_udp *udp)
{
    return weir_native_udp_of(udp)->dropped;
}

static const struct weir_udp_ops native_udp_ops = {
    .open = native_udp_open,
    .connect = native_udp_connect,
    .close = native_udp_close,
    .local_addr = native_udp_local_addr,
    .dropped = native_udp_dropped,
    .recv = native_udp_recv,
    .send = weir_native_udp_send,
};

/* --- the layer --- */

int weir_udp_layer_open(struct weir_native *native, struct weir_udp_ports *ports)
{
    struct weir_udp_layer *layer = calloc(1, sizeof *layer);

    if (!layer)
        return -ENOMEM;
    layer->native = native;
    layer->ports = ports;
    weir_list_init(&layer->starved);
    weir_list_init(&layer->ending);
    weir_alarm_init(&layer->feed, weir_native_udp_feed);
    weir_alarm_init(&layer->end, udp_end);
    for (unsigned i = 0; i < WEIR_UDP_TABLE; i++)
        weir_list_init(&layer->table[i]);
    native->udp = layer;
    native->stack.udp = &native_udp_ops;
    return 0;
}

void weir_udp_layer_close(struct weir_native *native)
{
    struct weir_udp_layer *layer = native->udp;

    if (layer->open)
        weir_panic("shard %u has ended but left %u datagram sockets open: each needs its "
                   "weir_udp_close",
                   native->shard->id, layer->open);
    udp_end(&layer->end);
    weir_alarm_clear(&layer->end);
    weir_alarm_clear(&layer->feed);
    weir_udp_paths_close(layer);
    native->udp = NULL;
    free(layer);
}
