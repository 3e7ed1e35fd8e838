/* connect.c - how a connection of the simulation comes about.
 *
 * The SYN flies to the shard of a listener, the answer back.  A SYN that finds the queue full is
 * dropped and sent again, after 1 s, 2 s, 4 s ... as TCP does it, and given up after the sixth.
 * Whoever gives up while the answer flies leaves a reset to the other side and no connection. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "net/sim/net.h"

enum { SYN_TRIES = 6 };

static struct weir_sim_end *sim_client(struct weir_sim_wire *wire)
{
    return &wire->end[0];
}

static void sim_answer_later(struct weir_sim_wire *wire, int refused)
{
    struct weir_sim_end *client = sim_client(wire);
    weir_time when = weir_sim_soon(client->driver->net);

    wire->refused = refused;
    client->last_due = when; /* data does not overtake it */
    weir_sim_event_set(client->driver, &wire->answer, when);
}

/* Sends the SYN, to arrive at `when`. */
static void sim_syn_send(struct weir_sim_wire *wire, weir_time when)
{
    struct weir_sim_driver *to = weir_sim_route(sim_client(wire)->driver->net, &wire->target);

    if (to == NULL) {
        sim_answer_later(wire, -ECONNREFUSED);
        return;
    }
    weir_sim_end_init(&wire->end[1], wire, to);
    wire->end[1].local = wire->target;
    weir_sim_event_set(to, &wire->syn, when);
}

static void sim_syn_dropped(struct weir_sim_wire *wire)
{
    if (++wire->tries == SYN_TRIES)
        sim_answer_later(wire, -ETIMEDOUT);
    else
        sim_syn_send(wire, sim_client(wire)->driver->net->now + (WEIR_SEC(1) << (wire->tries - 1)));
}

static void sim_syn(struct weir_sim_event *event)
{
    struct weir_sim_wire *wire = weir_container_of(event, struct weir_sim_wire, syn);
    int error;

    sim_answer_later(wire, 0); /* first: the server may answer from within the offer */
    error = weir_sim_listener_offer(wire->end[1].driver, &wire->target, &wire->end[1]);
    if (error == 0)
        return;
    weir_sim_event_clear(&wire->answer);
    if (error == -EAGAIN)
        sim_syn_dropped(wire);
    else
        sim_answer_later(wire, error);
}

/* Nobody owns the client's end any more, or ever did; frees the wire when the server's end, if it
 * came to be, is gone too. */
static struct weir_io *sim_connect_fail(struct weir_sim_wire *wire)
{
    struct weir_io *io = wire->connecting;

    wire->connecting = NULL;
    weir_sim_end_drop(sim_client(wire));
    return io;
}

static void sim_answer(struct weir_sim_event *event)
{
    struct weir_sim_wire *wire = weir_container_of(event, struct weir_sim_wire, answer);
    struct weir_io *io = wire->connecting;
    int refused = wire->refused;

    weir_sim_event_clear(&wire->give_up);
    if (refused) {
        weir_future_set(&sim_connect_fail(wire)->future, refused);
        return;
    }
    wire->connecting = NULL;
    weir_sim_end_open(sim_client(wire));
    io->conn = &sim_client(wire)->conn;
    weir_future_set(&io->future, 0);
}

static void sim_give_up(struct weir_sim_event *event)
{
    struct weir_sim_wire *wire = weir_container_of(event, struct weir_sim_wire, give_up);

    weir_sim_event_clear(&wire->syn);
    weir_sim_event_clear(&wire->answer);
    weir_future_set(&sim_connect_fail(wire)->future, -ECANCELED);
}

static void sim_connect_cancel(struct weir_future *future)
{
    struct weir_io *io = weir_container_of(future, struct weir_io, future);
    struct weir_sim_wire *wire;
    struct weir_sim_driver *driver;

    memcpy(&wire, &io->stack[0], sizeof wire);
    driver = sim_client(wire)->driver;
    if (weir_sim_random(driver->net, 2) == 0)
        sim_give_up(&wire->give_up);
    else
        weir_sim_event_set(driver, &wire->give_up, weir_sim_soon(driver->net));
}

/* The address the client's end gets: loopback and a fresh port, or the unnamed socket. */
static void sim_client_addr(struct weir_sim_net *net, struct weir_addr *local,
                            const struct weir_addr *target)
{
    memset(local, 0, sizeof *local);
    local->sa.sa_family = target->sa.sa_family;
    local->len = target->len;
    if (target->sa.sa_family == AF_INET)
        local->in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    else if (target->sa.sa_family == AF_INET6)
        local->in6.sin6_addr = (struct in6_addr)IN6ADDR_LOOPBACK_INIT;
    else
        local->len = sizeof local->sa.sa_family;
    weir_sim_addr_set_port(local, weir_sim_port(net));
}

void weir_sim_connect(struct weir_stack *stack, struct weir_io *io, const struct weir_addr *addr)
{
    struct weir_sim_driver *driver = weir_container_of(stack, struct weir_sim_driver, stack);
    struct weir_sim_wire *wire = calloc(1, sizeof *wire);

    weir_future_init(&io->future, sim_connect_cancel);
    io->conn = NULL;
    if (wire == NULL) {
        weir_future_set(&io->future, -ENOMEM);
        return;
    }
    memcpy(&io->stack[0], &wire, sizeof wire);
    wire->connecting = io;
    wire->target = *addr;
    weir_sim_event_init(&wire->syn, sim_syn);
    weir_sim_event_init(&wire->answer, sim_answer);
    weir_sim_event_init(&wire->give_up, sim_give_up);
    weir_sim_end_init(&wire->end[0], wire, driver);
    weir_sim_end_init(&wire->end[1], wire, NULL);
    sim_client(wire)->state = WEIR_SIM_OPENING;
    sim_client_addr(driver->net, &sim_client(wire)->local, addr);
    sim_syn_send(wire, weir_sim_soon(driver->net));
}
