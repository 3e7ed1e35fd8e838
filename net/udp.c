/* udp.c - the public face of datagrams; as socket.c is that of streams.
 *
 * What holds for every stack is decided here: the owner is the only one to use a socket, each
 * direction has one operation at a time, sending nothing is done at once.
 *
 * Invariant: udp->rx (tx) is the operation that the stack has under way, or NULL. */
#include <errno.h>
#include <string.h>
#include <weir/udp.h>
#include "net/stack.h"

static void udp_check(const struct weir_udp *udp, const char *call)
{
    weir_shard_check(udp->stack->shard, call);
}

/* Ends an operation that never reached the stack. */
static void udp_io_end(struct weir_udp_io *io, int64_t result)
{
    weir_future_init(&io->future, NULL);
    weir_future_set(&io->future, result);
}

/* --- opening and closing --- */

void weir_udp_config_init(struct weir_udp_config *config)
{
    *config = (struct weir_udp_config){ .reuse = true, .ipv6_only = true, .queue_max = 256 * 1024 };
}

int weir_udp_open(struct weir_udp **udp, const char *address, const struct weir_udp_config *config)
{
    struct weir_stack *stack = weir_stack_here("weir_udp_open");
    struct weir_udp_config defaults;
    struct weir_addr addr;

    if (weir_unlikely(!stack))
        weir_panic("weir_udp_open: this shard runs without a network");
    stack = weir_stack_for(stack, &address);
    if (!config) {
        weir_udp_config_init(&defaults);
        config = &defaults;
    }
    if (config->queue_max == 0 || weir_addr_parse(&addr, address) < 0)
        return -EINVAL;
    return stack->udp->open(stack, udp, &addr, config);
}

int weir_udp_connect(struct weir_udp *udp, const struct weir_addr *peer)
{
    udp_check(udp, "weir_udp_connect");
    return udp->stack->udp->connect(udp, peer);
}

void weir_udp_close(struct weir_udp *udp)
{
    udp_check(udp, "weir_udp_close");
    udp->stack->udp->close(udp);
}

int weir_udp_local_addr(const struct weir_udp *udp, struct weir_addr *addr)
{
    udp_check(udp, "weir_udp_local_addr");
    return udp->stack->udp->local_addr(udp, addr);
}

uint64_t weir_udp_dropped(const struct weir_udp *udp)
{
    udp_check(udp, "weir_udp_dropped");
    return udp->stack->udp->dropped(udp);
}

/* --- batches --- */

void weir_udp_recv_start(struct weir_udp_io *io, struct weir_udp *udp,
                         struct weir_datagram *datagrams, size_t count)
{
    udp_check(udp, "weir_udp_recv");
    weir_assert(datagrams && count > 0);
    io->udp = udp;
    io->into = datagrams;
    io->count = count;
    if (weir_unlikely(udp->rx != NULL)) {
        udp_io_end(io, -EBUSY);
        return;
    }
    udp->rx = io;
    udp->stack->udp->recv(io);
}

int64_t weir_udp_recv(struct weir_udp *udp, struct weir_datagram *datagrams, size_t count,
                      weir_time deadline)
{
    struct weir_udp_io io;

    weir_udp_recv_start(&io, udp, datagrams, count);
    return weir_await(&io.future, deadline);
}

void weir_udp_send_start(struct weir_udp_io *io, struct weir_udp *udp,
                         const struct weir_datagram *datagrams, size_t count)
{
    udp_check(udp, "weir_udp_send");
    io->udp = udp;
    io->from = datagrams;
    io->count = count;
    io->moved = 0;
    if (weir_unlikely(udp->tx != NULL)) {
        udp_io_end(io, -EBUSY);
        return;
    }
    if (weir_unlikely(count == 0)) {
        udp_io_end(io, 0);
        return;
    }
    udp->tx = io;
    udp->stack->udp->send(io);
}

int64_t weir_udp_send(struct weir_udp *udp, const struct weir_datagram *datagrams, size_t count,
                      weir_time deadline)
{
    struct weir_udp_io io;

    weir_udp_send_start(&io, udp, datagrams, count);
    return weir_await(&io.future, deadline);
}

/* --- one datagram --- */

int64_t weir_recv_from(struct weir_udp *udp, void *data, size_t len, struct weir_addr *peer,
                       weir_time deadline)
{
    struct weir_datagram one = { .data = data, .len = len };
    int64_t n = weir_udp_recv(udp, &one, 1, deadline);

    if (n < 0)
        return n;
    if (peer)
        *peer = one.peer;
    return (int64_t)one.len;
}

int64_t weir_send_to(struct weir_udp *udp, const void *data, size_t len,
                     const struct weir_addr *peer, weir_time deadline)
{
    struct weir_datagram one = { .data = (void *)(uintptr_t)data, .len = len };
    int64_t n;

    if (peer)
        one.peer = *peer;
    n = weir_udp_send(udp, &one, 1, deadline);
    return n < 0 ? n : (int64_t)len;
}
