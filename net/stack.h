/* stack.h - seam 1: what a socket stack gives to net.h.
 *
 * net/socket.c is the public face: it checks owner and state, fills the weir_io, and calls the
 * stack of the running shard through these functions.  A stack is a driver of the shard as well
 * (sched/shard.h) or sits beside one.  io_uring and epoll share net/kernel/socket.c; the native
 * stack and the simulation bring their own.
 *
 * The rules for all: the stack begins an operation with weir_future_init(&io->future, cancel) and
 * completes it by weir_future_set() exactly once, at once or in a later turn; a send whose io->buf
 * is set ends with weir_buf_free(io->buf), whatever the result; after conn_close or
 * listener_close every pending operation still completes (-ECANCELED, accepts -ESHUTDOWN). */
#ifndef WEIR_NET_STACK_H
#define WEIR_NET_STACK_H

#include <string.h>
#include <weir/net.h>
#include <weir/runtime.h>
#include <weir/udp.h>
#include "core/list.h"
#include "sched/shard.h"

struct weir_stack;

/* The head of every connection; the stack's own fields follow it in a bigger struct. */
struct weir_conn {
    struct weir_stack *stack;
    struct weir_io *rx, *tx; /* under way, or NULL: one receive, one send */
};

struct weir_listener {
    struct weir_stack *stack;
};

/* The head of every datagram socket. */
struct weir_udp {
    struct weir_stack *stack;
    struct weir_udp_io *rx, *tx; /* under way, or NULL: one receive, one send */
};

struct weir_stack_ops {
    const char *name;

    int (*listen)(struct weir_stack *stack, struct weir_listener **listener,
                  const struct weir_addr *addr, const struct weir_listen_config *config);
    void (*listener_addr)(const struct weir_listener *listener, struct weir_addr *addr);
    void (*listener_close)(struct weir_listener *listener);

    /* io->listener is set; completes with 0 and io->conn. */
    void (*accept)(struct weir_io *io);

    /* Completes with 0 and io->conn. */
    void (*connect)(struct weir_stack *stack, struct weir_io *io, const struct weir_addr *addr);

    /* io->conn is set and io is its rx.  Into io->data/len, or io->data NULL: a buffer into
     * io->buf.  The stack clears conn->rx before it completes the future. */
    void (*recv)(struct weir_io *io);

    /* io->conn is set and io is its tx: all of io->iov[0 .. len), counting in io->moved.  The
     * stack clears conn->tx before it completes the future. */
    void (*send)(struct weir_io *io);

    int (*shutdown)(struct weir_conn *conn);
    void (*close)(struct weir_conn *conn, bool reset);
    int (*local_addr)(const struct weir_conn *conn, struct weir_addr *addr);
    int (*peer_addr)(const struct weir_conn *conn, struct weir_addr *addr);
    int (*nodelay)(struct weir_conn *conn, bool on);

    struct weir_buf *(*buf_alloc)(struct weir_stack *stack, size_t size);
};

/* Datagrams (udp.h).  The rules are the same; -EADDRINUSE when this shard has the address open. */
struct weir_udp_ops {
    int (*open)(struct weir_stack *stack, struct weir_udp **udp, const struct weir_addr *addr,
                const struct weir_udp_config *config);
    int (*connect)(struct weir_udp *udp, const struct weir_addr *peer);
    void (*close)(struct weir_udp *udp);
    int (*local_addr)(const struct weir_udp *udp, struct weir_addr *addr);
    uint64_t (*dropped)(const struct weir_udp *udp);

    /* io->udp is set and io is its rx: up to io->count datagrams.  The stack clears udp->rx before
     * it completes the future; and so with tx. */
    void (*recv)(struct weir_udp_io *io);
    void (*send)(struct weir_udp_io *io);
};

struct weir_stack {
    const struct weir_stack_ops *ops;
    const struct weir_udp_ops *udp;
    struct weir_shard *shard;
    const char *why; /* this one and no other; outlives it */

    bool real; /* on the kernel's sockets: it is part of a struct weir_kernel */

    /* Serves "kernel:" and Unix-domain addresses; NULL: this one does, or nobody can. */
    struct weir_stack *kernel;
};

/* The stack of a shard: shard->net. */
static inline struct weir_stack *weir_stack_of(const struct weir_shard *shard)
{
    return shard->net;
}

/* That of the running shard, for the function `call` of a user. */
static inline struct weir_stack *weir_stack_here(const char *call)
{
    struct weir_stack *stack = weir_stack_of(weir_shard_here(call));

    if (weir_unlikely(!stack))
        weir_panic("%s: this runtime has no sockets; set weir_config.io to have them", call);
    return stack;
}

/* The one on the kernel's sockets, which may stand beside. */
static inline struct weir_stack *weir_kernel_stack_of(const struct weir_shard *shard)
{
    struct weir_stack *stack = weir_stack_of(shard);

    return stack->kernel ? stack->kernel : stack;
}

/* Who serves the address `*text`; takes a "kernel:" off it. */
static inline struct weir_stack *weir_stack_for(struct weir_stack *stack, const char **text)
{
    bool kernel = strncmp(*text, "kernel:", 7) == 0;

    if (kernel)
        *text += 7;
    if ((kernel || strncmp(*text, "unix:", 5) == 0) && stack->kernel)
        return stack->kernel;
    return stack;
}

/* --- the stacks; each opens as the driver of its shard and sets shard->net --- */

/* net/kernel/uring.c.  -EPERM, -ENOSYS, -ENOMEM when io_uring cannot be had, with the reason in
 * `why`: one clause for "using epoll: <why>". */
int weir_uring_open(struct weir_driver **driver, struct weir_shard *shard,
                    const struct weir_config *config, char *why, size_t why_size);

/* net/kernel/epoll.c */
int weir_epoll_open(struct weir_driver **driver, struct weir_shard *shard,
                    const struct weir_config *config, char *why, size_t why_size);

/* net/sim/: in memory, on the simulation's clock and seed. */
struct weir_sim_net;
int weir_sim_net_open(struct weir_driver **driver, struct weir_shard *shard,
                      struct weir_sim_net *net);

#endif
