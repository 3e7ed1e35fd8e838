/* udp.c - datagrams of the simulation: each flies by itself, so they overtake each other.
 *
 * A datagram flies to the shard of a socket that takes it, and what became of it flies back: so a
 * sender has at most a window of them under way, and one with a peer learns that nobody was there.
 * On the way it may be lost, or doubled, as the seed says.
 *
 * Every address is this host's, as with streams.  There are no Unix-domain datagrams here.
 *
 * Half of all cancels take effect at once, the others later, and a result may come first.
 *
 * Invariant: `out` datagrams name a socket as their sender; it is freed when it is closed, has
 * settled, and none does. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "net/sim/udp.h"

enum { DATAGRAM_MAX = 65507, DATAGRAM_MAX6 = 65527 };

struct sim_datagram {
    struct weir_sim_event event;
    struct weir_sim_udp *sender;    /* NULL: a double, about which nobody wants to know */
    struct weir_sim_driver *driver; /* where it flies to */
    struct weir_addr from, to;      /* IPv4 as such, never mapped into IPv6 */
    bool refused;
    size_t len;
    uint8_t data[];
};

static struct weir_sim_udp *sim_udp_of(const struct weir_udp *udp)
{
    return weir_container_of(udp, struct weir_sim_udp, udp);
}

/* --- receiving --- */

static void recv_done(struct weir_sim_udp *u, int64_t result)
{
    struct weir_udp_io *io = u->udp.rx;

    u->udp.rx = NULL;
    weir_future_set(&io->future, result);
}

static void udp_arrived(struct weir_sim_udp *u, const struct sim_datagram *d)
{
    struct weir_addr from = d->from;

    if (u->addr.sa.sa_family == AF_INET6 && from.sa.sa_family == AF_INET)
        from = weir_sim_addr_mapped(&d->from);
    if (u->udp.rx) {
        weir_udp_deliver(u->udp.rx->into, &from, d->data, d->len);
        recv_done(u, 1);
    } else if (!weir_udp_queue_push(&u->queue, &from, d->data, d->len)) {
        u->dropped++;
    }
}

/* Tells of an error once: who waits to receive, or else who asks next. */
static void udp_failed(struct weir_sim_udp *u, int error)
{
    u->error = error;
    if (!u->udp.rx)
        return;
    u->error = 0;
    recv_done(u, error);
}

static void udp_cancel(struct weir_sim_udp *u, struct weir_udp_io *io, struct weir_udp_io **place)
{
    struct weir_sim_net *net = u->driver->net;

    if (weir_sim_random(net, 2) == 0) {
        *place = NULL;
        weir_future_set(&io->future, -ECANCELED);
    } else if (!weir_sim_event_armed(&u->settle)) {
        weir_sim_event_set(u->driver, &u->settle, weir_sim_soon(net));
    }
}

static void recv_cancel(struct weir_future *future)
{
    struct weir_udp_io *io = weir_container_of(future, struct weir_udp_io, future);

    udp_cancel(sim_udp_of(io->udp), io, &io->udp->rx);
}

static void sim_udp_recv(struct weir_udp_io *io)
{
    struct weir_sim_udp *u = sim_udp_of(io->udp);
    struct weir_sim_net *net = u->driver->net;
    size_t max = io->count, n = 0;
    int error = u->error;

    weir_future_init(&io->future, recv_cancel);
    if (error != 0) {
        u->error = 0;
        recv_done(u, error);
        return;
    }
    if (weir_sim_chance(net, net->config.short_reads))
        max = 1 + weir_sim_random(net, max);
    while (n < max && !weir_udp_queue_empty(&u->queue))
        weir_udp_queue_pop(&u->queue, &io->into[n++]);
    if (n > 0)
        recv_done(u, (int64_t)n);
}

/* --- on the way --- */

static void udp_free_if_gone(struct weir_sim_udp *u)
{
    if (!u->closed || u->out > 0 || weir_sim_event_armed(&u->settle))
        return;
    weir_udp_queue_free(&u->queue);
    free(u);
}

static void datagram_home(struct weir_sim_event *event)
{
    struct sim_datagram *d = weir_container_of(event, struct sim_datagram, event);
    struct weir_sim_udp *u = d->sender;
    struct weir_addr peer = weir_sim_addr_plain(&u->peer);
    bool told = d->refused && !u->closed && u->peer.len > 0 && weir_sim_addr_same(&peer, &d->to);

    u->out--;
    u->flying -= d->len + WEIR_UDP_QUEUE_HEAD;
    free(d);
    if (u->udp.tx && !u->closed && !weir_sim_event_armed(&u->more))
        weir_sim_event_set(u->driver, &u->more, u->driver->net->now);
    if (told)
        udp_failed(u, -ECONNREFUSED);
    else
        udp_free_if_gone(u);
}

/* What became of it goes back; to one who has closed, at once: at the end of the simulation its
 * shard is there no more. */
static void datagram_return(struct sim_datagram *d)
{
    struct weir_sim_udp *sender = d->sender;

    if (!sender) {
        free(d);
        return;
    }
    d->event.fire = datagram_home;
    if (sender->closed)
        datagram_home(&d->event);
    else
        weir_sim_event_set(sender->driver, &d->event, weir_sim_soon(sender->driver->net));
}

static void datagram_arrives(struct weir_sim_event *event)
{
    struct sim_datagram *d = weir_container_of(event, struct sim_datagram, event);
    struct weir_sim_udp *u = weir_sim_udp_find(d->driver->net, d->driver, &d->to, &d->from);

    if (u)
        udp_arrived(u, d);
    d->refused = u == NULL;
    datagram_return(d);
}

static struct sim_datagram *datagram_new(struct weir_sim_udp *u, const struct weir_addr *to,
                                         const struct weir_datagram *from)
{
    struct weir_sim_net *net = u->driver->net;
    struct sim_datagram *d = malloc(sizeof *d + from->len);
    struct weir_sim_udp *target;

    if (!d)
        return NULL;
    *d = (struct sim_datagram){ .to = *to, .from = weir_sim_udp_source(u, to), .len = from->len };
    if (from->len > 0)
        memcpy(d->data, from->data, from->len);
    target = weir_sim_udp_find(net, NULL, &d->to, &d->from);
    d->driver = target ? target->driver : u->driver;
    weir_sim_event_init(&d->event, datagram_arrives);
    return d;
}

/* Sends it on its way.  A double that cannot be had is none. */
static int datagram_fly(struct weir_sim_udp *u, const struct weir_addr *to,
                        const struct weir_datagram *from)
{
    struct weir_sim_net *net = u->driver->net;
    struct sim_datagram *d = datagram_new(u, to, from), *twin;

    if (!d)
        return -ENOBUFS;
    d->sender = u;
    u->out++;
    u->flying += d->len + WEIR_UDP_QUEUE_HEAD;
    twin = weir_sim_chance(net, net->config.duplicates) ? datagram_new(u, to, from) : NULL;
    if (twin)
        weir_sim_event_set(twin->driver, &twin->event, weir_sim_soon(net));
    if (weir_sim_chance(net, net->config.drops))
        datagram_return(d);
    else
        weir_sim_event_set(d->driver, &d->event, weir_sim_soon(net));
    return 0;
}

/* --- sending --- */

/* Whom it is for: 0, or why it cannot go there. */
static int send_target(const struct weir_sim_udp *u, const struct weir_datagram *from,
                       struct weir_addr *to)
{
    sa_family_t family = u->addr.sa.sa_family;

    *to = from->peer.len > 0 ? from->peer : u->peer;
    if (to->len == 0)
        return -EDESTADDRREQ;
    if (to->sa.sa_family != AF_INET && to->sa.sa_family != AF_INET6)
        return -EAFNOSUPPORT;
    if (family == AF_INET && to->sa.sa_family == AF_INET6)
        return -EAFNOSUPPORT;
    *to = weir_sim_addr_plain(to);
    if (family == AF_INET6 && to->sa.sa_family == AF_INET && u->ipv6_only)
        return -ENETUNREACH;
    return weir_sim_addr_port(to) == 0 ? -EINVAL : 0;
}

static int send_one(struct weir_sim_udp *u, const struct weir_datagram *from)
{
    struct weir_addr to;
    int error = send_target(u, from, &to);

    if (error < 0)
        return error;
    if (from->len > (to.sa.sa_family == AF_INET ? DATAGRAM_MAX : DATAGRAM_MAX6))
        return -EMSGSIZE;
    if (u->flying > 0 &&
        u->flying + from->len + WEIR_UDP_QUEUE_HEAD > u->driver->net->config.window)
        return -EAGAIN;
    return datagram_fly(u, &to, from);
}

static void send_try(struct weir_sim_udp *u)
{
    struct weir_udp_io *io = u->udp.tx;
    int error = 0;

    if (io->moved == 0) {
        error = u->error;
        u->error = 0;
    }
    while (error == 0 && io->moved < io->count) {
        error = send_one(u, &io->from[io->moved]);
        io->moved += error == 0;
    }
    if (error == -EAGAIN)
        return;
    u->udp.tx = NULL;
    weir_sim_event_clear(&u->more);
    weir_future_set(&io->future, io->moved > 0 ? (int64_t)io->moved : error);
}

static void send_more(struct weir_sim_event *event)
{
    struct weir_sim_udp *u = weir_container_of(event, struct weir_sim_udp, more);

    if (u->udp.tx && !u->closed)
        send_try(u);
}

static void send_cancel(struct weir_future *future)
{
    struct weir_udp_io *io = weir_container_of(future, struct weir_udp_io, future);

    udp_cancel(sim_udp_of(io->udp), io, &io->udp->tx);
}

static void sim_udp_send(struct weir_udp_io *io)
{
    weir_future_init(&io->future, send_cancel);
    send_try(sim_udp_of(io->udp));
}

/* --- opening and closing --- */

static void sim_udp_settle(struct weir_sim_event *event);

static int sim_udp_open(struct weir_stack *stack, struct weir_udp **udp,
                        const struct weir_addr *addr, const struct weir_udp_config *config)
{
    struct weir_sim_driver *driver = weir_container_of(stack, struct weir_sim_driver, stack);
    struct weir_sim_udp *u;
    int error;

    if (addr->sa.sa_family == AF_UNIX)
        return -EAFNOSUPPORT;
    u = calloc(1, sizeof *u);
    if (!u)
        return -ENOMEM;
    u->udp.stack = stack;
    u->driver = driver;
    u->addr = *addr;
    u->reuse = config->reuse;
    u->ipv6_only = config->ipv6_only;
    weir_sim_event_init(&u->settle, sim_udp_settle);
    weir_sim_event_init(&u->more, send_more);
    error = weir_sim_udp_bind(u);
    if (error == 0)
        error = weir_udp_queue_init(&u->queue, config->queue_max);
    if (error < 0) {
        free(u);
        return error;
    }
    weir_list_push(&driver->net->udps, &u->link);
    driver->udps++;
    *udp = &u->udp;
    return 0;
}

static int sim_udp_connect(struct weir_udp *udp, const struct weir_addr *peer)
{
    struct weir_sim_udp *u = sim_udp_of(udp);
    const struct weir_datagram to = { .peer = *peer };
    struct weir_addr target;
    int error = send_target(u, &to, &target);

    if (error < 0)
        return error;
    if (weir_sim_addr_is_any(&u->addr)) {
        struct weir_addr source = weir_sim_udp_source(u, &target);

        u->addr =
            source.sa.sa_family == u->addr.sa.sa_family ? source : weir_sim_addr_mapped(&source);
    }
    u->peer = *peer;
    u->error = 0;
    return 0;
}

static void sim_udp_close(struct weir_udp *udp)
{
    struct weir_sim_udp *u = sim_udp_of(udp);

    weir_assert(!u->closed);
    u->closed = true;
    weir_list_del(&u->link);
    u->driver->udps--;
    weir_sim_event_clear(&u->more);
    weir_sim_event_set(u->driver, &u->settle, u->driver->net->now);
}

static void sim_udp_settle(struct weir_sim_event *event)
{
    struct weir_sim_udp *u = weir_container_of(event, struct weir_sim_udp, settle);
    bool closed = u->closed;

    if (u->udp.rx && (closed || u->udp.rx->future.cancelled))
        recv_done(u, -ECANCELED);
    if (u->udp.tx && (closed || u->udp.tx->future.cancelled)) {
        struct weir_udp_io *io = u->udp.tx;

        u->udp.tx = NULL;
        weir_future_set(&io->future, -ECANCELED);
    }
    udp_free_if_gone(u);
}

static int sim_udp_local_addr(const struct weir_udp *udp, struct weir_addr *addr)
{
    *addr = sim_udp_of(udp)->addr;
    return 0;
}

static uint64_t sim_udp_dropped(const struct weir_udp *udp)
{
    return sim_udp_of(udp)->dropped;
}

const struct weir_udp_ops weir_sim_udp_ops = {
    .open = sim_udp_open,
    .connect = sim_udp_connect,
    .close = sim_udp_close,
    .local_addr = sim_udp_local_addr,
    .dropped = sim_udp_dropped,
    .recv = sim_udp_recv,
    .send = sim_udp_send,
};
