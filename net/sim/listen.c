/* listen.c - listeners of the simulation: who gets a SYN, and the queue of what has arrived.
 *
 * A SYN goes to one of the listeners of its address, drawn from the seed, on whatever shard.  When
 * the runtime stops, or the listener is closed, it is refused; what had arrived before a stop is
 * still handed out.
 *
 * Invariant: accepts and arrived ends never both wait, but inside listener_match. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "net/sim/net.h"

struct sim_listener {
    struct weir_listener listener;
    struct weir_sim_driver *driver;
    struct weir_link link;        /* in net->listeners, unless closed */
    struct weir_link accepts;     /* struct weir_io */
    struct weir_link arrived;     /* struct weir_sim_end, not handed out */
    size_t waiting, waiting_max;  /* how many have arrived */
    struct weir_addr asked, addr; /* asked with port 0: addr has the port it got */
    bool ipv6_only, stopped, closed;
    struct weir_stop_wait stop;
    struct weir_sim_event settle; /* cancelled accepts, the end of a closed listener */
};

static struct sim_listener *sim_listener_of(struct weir_link *link)
{
    return weir_container_of(link, struct sim_listener, link);
}

/* --- addresses --- */

uint16_t weir_sim_addr_port(const struct weir_addr *addr)
{
    switch (addr->sa.sa_family) {
    case AF_INET:
        return ntohs(addr->in.sin_port);
    case AF_INET6:
        return ntohs(addr->in6.sin6_port);
    default:
        return 0;
    }
}

void weir_sim_addr_set_port(struct weir_addr *addr, uint16_t port)
{
    if (addr->sa.sa_family == AF_INET)
        addr->in.sin_port = htons(port);
    else if (addr->sa.sa_family == AF_INET6)
        addr->in6.sin6_port = htons(port);
}

static bool sim_port_taken(struct weir_sim_net *net, uint16_t port)
{
    for (struct weir_link *at = net->listeners.next; at != &net->listeners; at = at->next)
        if (weir_sim_addr_port(&sim_listener_of(at)->addr) == port)
            return true;
    return false;
}

uint16_t weir_sim_port(struct weir_sim_net *net)
{
    do
        net->port = net->port == UINT16_MAX ? 32768 : (uint16_t)(net->port + 1);
    while (sim_port_taken(net, net->port));
    return net->port;
}

/* Whether connecting to `addr` reaches a listener bound to `bound`. */
static bool sim_addr_matches(const struct weir_addr *bound, bool ipv6_only,
                             const struct weir_addr *addr)
{
    static const struct in6_addr any6 = IN6ADDR_ANY_INIT;
    bool any = bound->sa.sa_family == AF_INET6 && !memcmp(&bound->in6.sin6_addr, &any6, 16);

    if (weir_sim_addr_port(bound) != weir_sim_addr_port(addr))
        return false;
    if (bound->sa.sa_family != addr->sa.sa_family)
        return addr->sa.sa_family == AF_INET && any && !ipv6_only;
    switch (addr->sa.sa_family) {
    case AF_INET:
        return bound->in.sin_addr.s_addr == htonl(INADDR_ANY) ||
               bound->in.sin_addr.s_addr == addr->in.sin_addr.s_addr;
    case AF_INET6:
        return any || !memcmp(&bound->in6.sin6_addr, &addr->in6.sin6_addr, 16);
    default:
        return bound->len == addr->len && !memcmp(&bound->un, &addr->un, addr->len);
    }
}

/* --- who gets a SYN --- */

static bool sim_listener_takes(const struct sim_listener *listener, const struct weir_addr *addr,
                               const struct weir_sim_driver *driver)
{
    return !listener->stopped && (driver == NULL || listener->driver == driver) &&
           sim_addr_matches(&listener->addr, listener->ipv6_only, addr);
}

/* One of the listeners of `addr`, on `driver` or (NULL) anywhere; NULL when there is none. */
static struct sim_listener *sim_listener_pick(struct weir_sim_net *net,
                                              const struct weir_addr *addr,
                                              const struct weir_sim_driver *driver)
{
    struct sim_listener *pick = NULL;
    uint64_t seen = 0;

    for (struct weir_link *at = net->listeners.next; at != &net->listeners; at = at->next)
        if (sim_listener_takes(sim_listener_of(at), addr, driver) &&
            weir_sim_random(net, ++seen) == 0)
            pick = sim_listener_of(at);
    return pick;
}

struct weir_sim_driver *weir_sim_route(struct weir_sim_net *net, const struct weir_addr *addr)
{
    struct sim_listener *pick = sim_listener_pick(net, addr, NULL);

    return pick != NULL ? pick->driver : NULL;
}

/* --- handing out --- */

static struct weir_io *sim_accept_pop(struct sim_listener *listener)
{
    struct weir_link *link = weir_list_pop(&listener->accepts);

    return link != NULL ? weir_container_of(link, struct weir_io, link) : NULL;
}

static void sim_accept_refuse_all(struct sim_listener *listener)
{
    struct weir_io *io;

    while ((io = sim_accept_pop(listener)) != NULL)
        weir_future_set(&io->future, -ESHUTDOWN);
}

/* Accepts meet arrivals.  The callbacks may accept again, or close the listener: its struct stays
 * until it settles. */
static void sim_listener_match(struct sim_listener *listener)
{
    while (!weir_list_empty(&listener->accepts) && !weir_list_empty(&listener->arrived)) {
        struct weir_io *io = sim_accept_pop(listener);
        struct weir_sim_end *end =
            weir_container_of(weir_list_pop(&listener->arrived), struct weir_sim_end, queued);

        listener->waiting--;
        weir_sim_end_open(end);
        io->conn = &end->conn;
        weir_future_set(&io->future, 0);
    }
    if (listener->stopped && weir_list_empty(&listener->arrived))
        sim_accept_refuse_all(listener);
}

int weir_sim_listener_offer(struct weir_sim_driver *driver, const struct weir_addr *addr,
                            struct weir_sim_end *end)
{
    struct sim_listener *listener = sim_listener_pick(driver->net, addr, driver);

    if (listener == NULL)
        return -ECONNREFUSED;
    if (listener->waiting == listener->waiting_max)
        return -EAGAIN;
    end->state = WEIR_SIM_OPENING;
    weir_list_push(&listener->arrived, &end->queued);
    listener->waiting++;
    sim_listener_match(listener);
    return 0;
}

/* --- accept --- */

static void sim_accept_cancel(struct weir_future *future)
{
    struct weir_io *io = weir_container_of(future, struct weir_io, future);
    struct sim_listener *listener = weir_container_of(io->listener, struct sim_listener, listener);
    struct weir_sim_net *net = listener->driver->net;

    if (weir_sim_random(net, 2) == 0) {
        weir_list_del(&io->link);
        weir_future_set(future, -ECANCELED);
    } else if (!weir_sim_event_armed(&listener->settle)) {
        weir_sim_event_set(listener->driver, &listener->settle, weir_sim_soon(net));
    }
}

void weir_sim_accept(struct weir_io *io)
{
    struct sim_listener *listener = weir_container_of(io->listener, struct sim_listener, listener);

    weir_future_init(&io->future, sim_accept_cancel);
    io->conn = NULL;
    weir_list_push(&listener->accepts, &io->link);
    sim_listener_match(listener);
}

static void sim_accepts_settle(struct sim_listener *listener)
{
    struct weir_link cancelled, *at, *next;

    weir_list_init(&cancelled);
    for (at = listener->accepts.next; at != &listener->accepts; at = next) {
        next = at->next;
        if (weir_container_of(at, struct weir_io, link)->future.cancelled) {
            weir_list_del(at);
            weir_list_push(&cancelled, at);
        }
    }
    while ((at = weir_list_pop(&cancelled)) != NULL)
        weir_future_set(&weir_container_of(at, struct weir_io, link)->future, -ECANCELED);
}

static void sim_listener_settle(struct weir_sim_event *event)
{
    struct sim_listener *listener = weir_container_of(event, struct sim_listener, settle);

    if (listener->closed)
        free(listener);
    else
        sim_accepts_settle(listener);
}

/* --- listen and close --- */

static void sim_listener_stop(struct weir_future *future)
{
    struct sim_listener *listener = weir_container_of(future, struct sim_listener, stop.future);

    if (listener->closed)
        return; /* it is being taken down, and withdrew this */
    listener->stopped = true;
    sim_listener_match(listener);
}

static bool sim_addr_same(const struct weir_addr *a, const struct weir_addr *b)
{
    return a->len == b->len && memcmp(&a->sa, &b->sa, a->len) == 0;
}

/* The listener of `driver`, or (NULL) of any shard, at that address or asked for by it. */
static struct sim_listener *sim_listener_same(struct weir_sim_net *net,
                                              const struct weir_addr *addr,
                                              const struct weir_sim_driver *driver)
{
    for (struct weir_link *at = net->listeners.next; at != &net->listeners; at = at->next) {
        struct sim_listener *listener = sim_listener_of(at);

        if ((sim_addr_same(&listener->asked, addr) || sim_addr_same(&listener->addr, addr)) &&
            (driver == NULL || listener->driver == driver))
            return listener;
    }
    return NULL;
}

/* Port 0 becomes a port, the same one for all shards. */
static void sim_listener_bind(struct sim_listener *listener, struct weir_sim_net *net)
{
    const struct sim_listener *same = sim_listener_same(net, &listener->asked, NULL);

    if (same != NULL)
        listener->addr = same->addr;
    else if (weir_sim_addr_port(&listener->addr) == 0)
        weir_sim_addr_set_port(&listener->addr, weir_sim_port(net));
}

int weir_sim_listen(struct weir_stack *stack, struct weir_listener **out,
                    const struct weir_addr *addr, const struct weir_listen_config *config)
{
    struct weir_sim_driver *driver = weir_container_of(stack, struct weir_sim_driver, stack);
    struct sim_listener *listener;

    if (sim_listener_same(driver->net, addr, driver) != NULL)
        return -EADDRINUSE;
    listener = calloc(1, sizeof *listener);
    if (listener == NULL)
        return -ENOMEM;
    listener->listener.stack = stack;
    listener->driver = driver;
    listener->asked = listener->addr = *addr;
    listener->ipv6_only = config->ipv6_only;
    listener->waiting_max =
        (size_t)(config->backlog > 0 ? config->backlog : 1) + config->accepted_max;
    sim_listener_bind(listener, driver->net);
    weir_list_init(&listener->accepts);
    weir_list_init(&listener->arrived);
    weir_sim_event_init(&listener->settle, sim_listener_settle);
    weir_list_push(&driver->net->listeners, &listener->link);
    driver->listeners++;
    weir_stop_wait_start(&listener->stop);
    if (!weir_future_on_done(&listener->stop.future, sim_listener_stop))
        listener->stopped = true;
    *out = &listener->listener;
    return 0;
}

void weir_sim_listener_addr(const struct weir_listener *listener, struct weir_addr *addr)
{
    *addr = weir_container_of(listener, struct sim_listener, listener)->addr;
}

void weir_sim_listener_close(struct weir_listener *closing)
{
    struct sim_listener *listener = weir_container_of(closing, struct sim_listener, listener);
    struct weir_sim_driver *driver = listener->driver;
    struct weir_link *link;

    weir_assert(!listener->closed);
    listener->closed = listener->stopped = true;
    driver->listeners--;
    weir_list_del(&listener->link);
    weir_future_cancel(&listener->stop.future);
    while ((link = weir_list_pop(&listener->arrived)) != NULL)
        weir_sim_end_drop(weir_container_of(link, struct weir_sim_end, queued));
    listener->waiting = 0;
    sim_accept_refuse_all(listener);
    weir_sim_event_set(driver, &listener->settle, driver->net->now);
}
