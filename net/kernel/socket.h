/* socket.h - what the two engines on the kernel's sockets, epoll and io_uring, share.
 *
 * An engine embeds struct weir_kernel at its head and says through weir_kernel_ops how it waits;
 * making sockets, sharing addresses between shards, queueing what was accepted, shedding load and
 * stopping are the same for both and live in socket.c, share.c, listener.c and handoff.c.
 *
 * Descriptors of connections are in blocking mode (io_uring gives up at once on others); epoll
 * says MSG_DONTWAIT each time instead. */
#ifndef WEIR_NET_KERNEL_SOCKET_H
#define WEIR_NET_KERNEL_SOCKET_H

#include <errno.h>
#include "core/pool.h"
#include "net/kernel/share.h"
#include "net/stack.h"

struct weir_kernel;
struct weir_kernel_conn;
struct weir_kernel_listener;
struct weir_file_io;

enum weir_watch_what { WEIR_WATCH_IN = 1, WEIR_WATCH_OUT = 2 };

/* A descriptor that is neither connection nor listener, and the wait for it. */
struct weir_kernel_watch {
    int fd;
    uint8_t armed; /* enum weir_watch_what: for these ready() will be called */
    uint8_t polls; /* io_uring's: operations of the kernel that still name it */
    bool closed;
    struct weir_link link; /* closed, and nothing names it any more */

    /* It can be read or written, as `what` says, or it has failed; and is no longer armed for
     * that.  It may be armed again and closed from here. */
    void (*ready)(struct weir_kernel_watch *watch, unsigned what);

    /* In a later turn than watch_close: the memory is the owner's again. */
    void (*gone)(struct weir_kernel_watch *watch);
};

struct weir_kernel_ops {
    /* Makes a connection of a descriptor of that address family, or NULL: no memory; the
     * descriptor is still the caller's then. */
    struct weir_kernel_conn *(*conn_open)(struct weir_kernel *kernel, int fd, sa_family_t family);

    /* Calls weir_kernel_connected() when the socket is writable or has failed; withdrawn by
     * conn_close.  0, or a negated errno: it will not. */
    int (*conn_wait)(struct weir_kernel_conn *conn);
    void (*conn_close)(struct weir_conn *conn, bool reset);

    /* From here on weir_listener_arrived() and _failed() are called; until disarmed, which is
     * acknowledged by weir_listener_disarmed(), at once or later. */
    void (*accept_arm)(struct weir_kernel_listener *listener);
    void (*accept_disarm)(struct weir_kernel_listener *listener);

    /* The engine forgets listener->fd, which is about to be closed or handed to another shard.
     * Only while disarmed. */
    void (*accept_forget)(struct weir_kernel_listener *listener);

    /* 0 or a negated errno.  Arming is for one call of ready(), and only after the kernel has said
     * EAGAIN; again while armed: does nothing.  Closing closes the descriptor. */
    int (*watch_open)(struct weir_kernel *kernel, struct weir_kernel_watch *watch);
    void (*watch_arm)(struct weir_kernel *kernel, struct weir_kernel_watch *watch, unsigned what);
    void (*watch_close)(struct weir_kernel *kernel, struct weir_kernel_watch *watch);

    /* Begins an operation on a file (net/file.h); NULL: the engine has none. */
    void (*file_start)(struct weir_kernel *kernel, struct weir_file_io *io);
};

struct weir_kernel {
    struct weir_stack stack;
    struct weir_driver driver;
    const struct weir_kernel_ops *ops;
    struct weir_pool conns;
    uint32_t conns_max;
    enum weir_balance balance;

    struct weir_link later;     /* operations that end at the next poll, with io->stack[0] */
    struct weir_link listeners; /* of this shard, not closed */
    uint32_t listeners_live;    /* the closed ones that are still winding up included */
    bool nudge;                 /* listeners should look again: there is room or a descriptor */
    bool want_room;             /* some listener waits for a connection to be closed */

    /* Out of descriptors or memory: accepting rests until `pause` fires or something is closed. */
    bool paused;
    struct weir_alarm pause;
    int reserve_fd; /* given up for a moment to accept, and close, one connection */

    struct weir_pool handoffs; /* connections on their way to other shards */

    uint32_t watches;            /* not gone yet */
    struct weir_link dead;       /* watches that are gone at the next poll */
    uint32_t processes;          /* struct weir_process, not closed */
    uint32_t udps;               /* datagram sockets, not closed */
    struct weir_link udp_ending; /* their operations that end at the next poll: -ECANCELED */
};

enum weir_kernel_flag {
    WEIR_KERNEL_ENDED = 1,      /* nothing more can be received; `error` says why */
    WEIR_KERNEL_CONNECTING = 2, /* conn.tx is the connect under way */
    WEIR_KERNEL_CLOSED = 4,     /* by its owner; only the engine still knows it */
    WEIR_KERNEL_ENGINE = 8,     /* the first flag of the engine's own */
};

struct weir_kernel_conn {
    struct weir_conn conn;
    int fd;
    uint16_t flags; /* enum weir_kernel_flag */
    uint16_t refs;  /* the engine's: operations of the kernel that still name it */
    int error;      /* a negated errno, or 0: what receives say once it has ENDED */
};

struct weir_kernel_listener {
    struct weir_listener listener;
    struct weir_link link;    /* in kernel->listeners */
    struct weir_link waiters; /* accepts */
    struct weir_share *share;
    struct weir_stop_wait stop;
    struct weir_alarm linger; /* stopping: until handshakes under way are over */
    int fd;                   /* -1: another shard accepts for us, or it has ended */
    uint32_t accepted_max;
    uint32_t head, count, size; /* accepted, not yet handed out: a ring, size a power of two */
    int *accepted;
    uint32_t handoffs;     /* under way from here */
    uint32_t refs;         /* the user's; the engine's while armed; handoffs; the stop wait */
    bool armed, disarming; /* the engine reports connections; was told to end that */
    bool stopping;         /* the runtime stops: take what is in the backlog */
    bool ended;            /* nothing more will arrive */
    bool closed;           /* by its owner */
    bool giving;
    bool watched, readable; /* epoll's: fd is in its set; there is more to accept */
    struct weir_link ready; /* epoll's: among those it looks at */
};

static inline struct weir_kernel *weir_kernel_of(struct weir_stack *stack)
{
    return weir_container_of(stack, struct weir_kernel, stack);
}

/* That of the running shard, for the function `call` of a user; NULL in the simulation. */
static inline struct weir_kernel *weir_kernel_here(const char *call)
{
    struct weir_stack *stack = weir_stack_here(call);

    stack = stack->kernel ? stack->kernel : stack;
    return stack->real ? weir_kernel_of(stack) : NULL;
}

static inline struct weir_kernel_conn *weir_kernel_conn_of(const struct weir_conn *conn)
{
    return weir_container_of(conn, struct weir_kernel_conn, conn);
}

static inline struct weir_kernel *weir_listener_kernel(const struct weir_kernel_listener *l)
{
    return weir_kernel_of(l->listener.stack);
}

/* --- the engine's frame (socket.c) --- */

int weir_kernel_init(struct weir_kernel *kernel, struct weir_shard *shard,
                     const struct weir_config *config, const struct weir_kernel_ops *ops,
                     size_t conn_size, size_t conn_align);
void weir_kernel_free(struct weir_kernel *kernel);

/* At the end of the shard: ends the program with a sentence when something was not closed. */
void weir_kernel_check_empty(const struct weir_kernel *kernel);

/* Whether weir_kernel_poll would do something. */
static inline bool weir_kernel_ready(const struct weir_kernel *kernel)
{
    return kernel->nudge || !weir_list_empty(&kernel->later) ||
           !weir_list_empty(&kernel->udp_ending);
}

/* What was put off to this turn; an engine's poll begins with it. */
bool weir_kernel_poll(struct weir_kernel *kernel);

/* Completes io at the next poll, out of the caller's frame. */
void weir_kernel_later(struct weir_kernel *kernel, struct weir_io *io, int64_t result);

/* The engine's: takes note of a new watch; and of one that is closed and that nothing names. */
static inline void weir_kernel_watch_init(struct weir_kernel *kernel,
                                          struct weir_kernel_watch *watch)
{
    watch->armed = watch->polls = 0;
    watch->closed = false;
    weir_list_init(&watch->link);
    kernel->watches++;
}

static inline void weir_kernel_watch_dead(struct weir_kernel *kernel,
                                          struct weir_kernel_watch *watch)
{
    weir_list_push(&kernel->dead, &watch->link);
}

/* --- connections (socket.c) --- */

/* Fills in the common part and counts it. */
void weir_kernel_conn_init(struct weir_kernel_conn *conn, struct weir_kernel *kernel, int fd);

/* Makes a connection of a connected Unix-domain descriptor in blocking mode.  NULL: there is no
 * room; the descriptor is still the caller's then. */
struct weir_conn *weir_kernel_adopt(struct weir_kernel *kernel, int fd);

/* Counts one less open, and one descriptor more to be had. */
void weir_kernel_conn_gone(struct weir_kernel *kernel);

/* Closes a descriptor that was accepted and will be no connection. */
void weir_kernel_fd_gone(struct weir_kernel *kernel, int fd);

/* Looks at the listeners again in a while. */
void weir_kernel_rest(struct weir_kernel *kernel);

static inline void weir_kernel_load(struct weir_shard *shard, int32_t change)
{
    atomic_fetch_add_explicit(&shard->load, (uint32_t)change, memory_order_relaxed);
}

static inline bool weir_kernel_room(const struct weir_kernel *kernel)
{
    return kernel->stack.shard->stats.conns < kernel->conns_max;
}

/* Makes close() send an RST. */
void weir_kernel_linger_none(int fd);

void weir_kernel_connect(struct weir_stack *stack, struct weir_io *io,
                         const struct weir_addr *addr);
void weir_kernel_connected(struct weir_kernel_conn *conn);
int weir_kernel_shutdown(struct weir_conn *conn);
int weir_kernel_local_addr(const struct weir_conn *conn, struct weir_addr *addr);
int weir_kernel_peer_addr(const struct weir_conn *conn, struct weir_addr *addr);
int weir_kernel_nodelay(struct weir_conn *conn, bool on);
struct weir_buf *weir_kernel_buf_alloc(struct weir_stack *stack, size_t size);

/* What it holds in memory of its own, and the buffer given back; itself when there is none. */
struct weir_buf *weir_kernel_buf_move_out(struct weir_stack *stack, struct weir_buf *buf);

/* The ends of a receive and a send. */
static inline void weir_kernel_recv_done(struct weir_io *io, int64_t result)
{
    io->conn->rx = NULL;
    weir_future_set(&io->future, result);
}

static inline void weir_kernel_send_done(struct weir_io *io, int64_t result)
{
    io->conn->tx = NULL;
    if (weir_unlikely(io->buf != NULL)) {
        weir_buf_free(io->buf);
        io->buf = NULL;
    }
    weir_future_set(&io->future, result);
}

/* recv(2) without waiting. */
ssize_t weir_kernel_recv(int fd, void *data, size_t len);

/* Sends without waiting, and ends the operation when all is taken or the kernel refuses.  Returns
 * true when it must wait: the last call said EAGAIN, so the socket will tell when there is room. */
bool weir_kernel_send_now(struct weir_kernel_conn *conn, struct weir_io *io);

/* --- listeners (listener.c) --- */

int weir_kernel_listen(struct weir_stack *stack, struct weir_listener **listener,
                       const struct weir_addr *addr, const struct weir_listen_config *config);
void weir_kernel_listener_addr(const struct weir_listener *listener, struct weir_addr *addr);
void weir_kernel_listener_close(struct weir_listener *listener);
void weir_kernel_accept(struct weir_io *io);

/* The engine's reports.  They may call back into it, and end the listener. */
void weir_listener_arrived(struct weir_kernel_listener *listener, int fd);
void weir_listener_failed(struct weir_kernel_listener *listener, int error);
void weir_listener_disarmed(struct weir_kernel_listener *listener);

/* Looks again whether to accept, and whether there is something to hand out. */
void weir_listener_look(struct weir_kernel_listener *listener);
void weir_listener_look_all(struct weir_kernel *kernel);

/* A connection for this listener: queues it, or hands it out. */
void weir_listener_queue(struct weir_kernel_listener *listener, int fd);

/* Nothing more will arrive. */
void weir_listener_end(struct weir_kernel_listener *listener);

/* This shard accepts for all from here on. */
void weir_listener_adopt(struct weir_kernel_listener *listener, int fd);

/* One of its connections has come home from another shard, taken or not. */
void weir_listener_handed(struct weir_kernel_listener *listener);

void weir_listener_unref(struct weir_kernel_listener *listener);

/* --- handing connections to other shards (handoff.c) --- */

size_t weir_handoff_size(void);

/* Whether one more connection would find a taker. */
bool weir_handoff_room(struct weir_kernel_listener *listener);

/* Gives it to the least loaded shard that shares the address, perhaps to this one. */
void weir_handoff(struct weir_kernel_listener *listener, int fd);

/* Tells the others that nothing more will come. */
void weir_handoff_end(struct weir_kernel_listener *listener);

/* Gives the listening socket itself to another shard, or closes it when nobody is left. */
void weir_handoff_listener(struct weir_kernel_listener *listener, int fd);

/* Its queue has one connection less. */
static inline void weir_handoff_taken(struct weir_kernel_listener *listener)
{
    struct weir_share *share = listener->share;

    if (share->least)
        atomic_fetch_add_explicit(&share->member[listener->listener.stack->shard->id].room, 1,
                                  memory_order_relaxed);
}

/* --- datagrams (udp.c) --- */

extern const struct weir_udp_ops weir_kernel_udp_ops;

/* Ends what was under way on sockets that were closed; whether there was any. */
bool weir_kernel_udp_poll(struct weir_kernel *kernel);

#endif
