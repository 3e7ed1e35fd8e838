/* udp_send.c - datagrams on their way out.
 *
 * The ways that were used lately are kept in a small table of the shard: most sockets talk to few
 * hosts, and looking up route and neighbour costs more than all the rest.  The checksum is made
 * while the bytes are copied, unless the device makes it.
 *
 * We send no fragments: a datagram has to fit into the path's MTU and into one packet of ours.
 * Without a free packet the sender waits; one that the device or the neighbour's queue drops is
 * lost as on any network.
 *
 * Invariant: a socket in `starved` has a send under way. */
#include <errno.h>
#include <string.h>
#include "net/native/checksum.h"
#include "net/native/udp.h"

#define UDP_FEED WEIR_MS(1)

/* --- ways --- */

static struct weir_udp_path *path_slot(struct weir_udp_layer *layer, const struct weir_ip *local,
                                       const struct weir_ip *remote)
{
    uint64_t mix = local->half[0] ^ local->half[1] ^ remote->half[0] ^ (remote->half[1] << 1);

    return &layer->path[(mix * UINT64_C(0x9e3779b97f4a7c15)) >> 58];
}

_Static_assert(WEIR_UDP_PATHS == 64, "the upper 6 bits choose");

/* The way from `local` (any: the one to speak from) to `remote`. */
static int path_get(struct weir_udp_layer *layer, struct weir_path **path,
                    const struct weir_ip *local, const struct weir_ip *remote)
{
    struct weir_udp_path *slot = path_slot(layer, local, remote);
    struct weir_ip source = *local;
    int error;

    *path = &slot->path;
    if (weir_likely(slot->path.header_len > 0 && weir_ip_eq(&slot->local, local) &&
                    weir_ip_eq(&slot->remote, remote)) &&
        weir_path_refresh(layer->native, &slot->path) == 0)
        return 0;
    weir_path_close(layer->native, &slot->path);
    slot->path.header_len = 0;
    error = weir_path_open(layer->native, &slot->path, &source, remote, IPPROTO_UDP);
    if (error)
        return error;
    slot->local = *local;
    slot->remote = *remote;
    return 0;
}

void weir_udp_paths_close(struct weir_udp_layer *layer)
{
    for (unsigned i = 0; i < WEIR_UDP_PATHS; i++)
        weir_path_close(layer->native, &layer->path[i].path);
}

/* --- one datagram --- */

static uint32_t path_room(const struct weir_path *path)
{
    uint32_t room = path->mtu - (path->v6 ? 40u : 20u);

    return (room < WEIR_PKT_ROOM ? room : WEIR_PKT_ROOM) - WEIR_UDP_HEADER;
}

/* RFC 768; 8200 8.1: a sum of 0 is sent as 0xffff. */
static void pkt_fill(const struct weir_native *native, const struct weir_path *path,
                     struct weir_pkt *pkt, const struct weir_datagram *from, uint16_t sport,
                     uint16_t dport)
{
    bool offload = native->iface[path->iface].queue->dev->caps & WEIR_DEV_TX_L4_CSUM;
    uint16_t len = (uint16_t)(WEIR_UDP_HEADER + from->len), field;
    uint32_t word[2] = { htonl((uint32_t)sport << 16 | dport), htonl((uint32_t)len << 16) };
    uint32_t sum = weir_sum_add(path->pseudo_sum, htons(len));
    uint8_t *at = pkt->buf.data;

    pkt->buf.len = len;
    if (offload) {
        pkt->flags |= WEIR_PKT_L4_CSUM;
        field = weir_sum_fold(sum);
        if (from->len > 0)
            memcpy(at + WEIR_UDP_HEADER, from->data, from->len);
    } else {
        sum = weir_sum_add(weir_sum_add(sum, word[0]), word[1]);
        if (from->len > 0)
            sum = weir_sum_copy(at + WEIR_UDP_HEADER, from->data, from->len, sum);
        field = (uint16_t)~weir_sum_fold(sum);
        if (field == 0)
            field = 0xffff;
    }
    memcpy(at, word, 6);
    memcpy(at + 6, &field, 2);
}

int weir_native_udp_target(const struct weir_native_udp *u, const struct weir_addr *peer,
                           struct weir_ip *ip, uint16_t *port)
{
    if (peer->sa.sa_family == AF_INET6 && !u->seat.v6)
        return -EAFNOSUPPORT;
    if (weir_ip_from_addr(ip, port, peer) < 0)
        return -EAFNOSUPPORT;
    if (weir_ip_is_v4(ip) && u->seat.v6 && u->seat.ipv6_only)
        return -ENETUNREACH;
    return *port == 0 ? -EINVAL : 0;
}

static int send_target(const struct weir_native_udp *u, const struct weir_datagram *from,
                       struct weir_ip *ip, uint16_t *port)
{
    if (from->peer.len > 0)
        return weir_native_udp_target(u, &from->peer, ip, port);
    if (!u->seat.connected)
        return -EDESTADDRREQ;
    *ip = u->seat.remote;
    *port = u->seat.remote_port;
    return 0;
}

/* The address to speak from: that of a socket that stands for all is of the kind of the target. */
static struct weir_ip send_source(const struct weir_native_udp *u, const struct weir_ip *target)
{
    if (u->seat.v6 && weir_ip_is_any(&u->seat.local) && weir_ip_is_v4(target))
        return weir_ip_v4(0);
    return u->seat.local;
}

/* 0, also when it was lost on the way; -EAGAIN: no packet is free. */
static int send_one(struct weir_native_udp *u, const struct weir_datagram *from)
{
    struct weir_native *native = weir_native_udp_native(u);
    struct weir_path *path;
    struct weir_pkt *pkt;
    struct weir_ip source, ip;
    uint16_t port;
    int error = send_target(u, from, &ip, &port);

    if (error)
        return error;
    if (weir_ip_is_broadcast(native, &ip))
        return -EACCES; /* as kernels say who were not told that this is meant */
    source = send_source(u, &ip);
    error = path_get(native->udp, &path, &source, &ip);
    if (error)
        return error;
    if (from->len > path_room(path))
        return -EMSGSIZE;
    pkt = weir_pkt_get(&native->pkts);
    if (!pkt)
        return -EAGAIN;
    pkt_fill(native, path, pkt, from, u->seat.port, port);
    error = weir_path_send(native, path, pkt);
    return error == -ENOBUFS ? 0 : error;
}

/* --- a send --- */

static void send_done(struct weir_native_udp *u, int64_t result)
{
    struct weir_udp_io *io = u->udp.tx;

    weir_list_del(&u->hungry);
    u->udp.tx = NULL;
    weir_future_set(&io->future, result);
}

static void send_cancel(struct weir_future *future)
{
    struct weir_udp_io *io = weir_container_of(future, struct weir_udp_io, future);

    send_done(weir_native_udp_of(io->udp), -ECANCELED);
}

/* What has come back meanwhile is told before anything is sent. */
static int send_error(struct weir_native_udp *u)
{
    int error = u->error;

    u->error = 0;
    return error ? error : weir_native_udp_bind(u);
}

static void send_try(struct weir_native_udp *u)
{
    struct weir_udp_layer *layer = weir_native_udp_native(u)->udp;
    struct weir_udp_io *io = u->udp.tx;
    int error = io->moved == 0 ? send_error(u) : 0;

    while (error == 0 && io->moved < io->count) {
        error = send_one(u, &io->from[io->moved]);
        io->moved += error == 0;
    }
    if (error == -EAGAIN) {
        weir_list_push(&layer->starved, &u->hungry);
        if (!weir_alarm_armed(&layer->feed))
            weir_alarm_set(&layer->feed, weir_after(UDP_FEED));
        return;
    }
    send_done(u, io->moved > 0 ? (int64_t)io->moved : error);
}

void weir_native_udp_feed(struct weir_alarm *alarm)
{
    struct weir_udp_layer *layer = weir_container_of(alarm, struct weir_udp_layer, feed);
    struct weir_link todo, *link;

    weir_list_init(&todo);
    weir_list_move_all(&todo, &layer->starved);
    while ((link = weir_list_pop(&todo)) != NULL)
        send_try(weir_container_of(link, struct weir_native_udp, hungry));
}

void weir_native_udp_send(struct weir_udp_io *io)
{
    weir_future_init(&io->future, send_cancel);
    send_try(weir_native_udp_of(io->udp));
}
