/* udp.c - datagrams by the kernel's sockets, the same for both engines.
 *
 * A receive or send is tried at once, in batches and without waiting; only when the kernel says
 * EAGAIN the engine is asked to tell when the socket can be read or written.  A receive that is
 * cancelled leaves that question standing: it costs nothing, and nothing has been taken yet.
 *
 * A Unix-domain receiver whose queue is full gives its senders nothing to wait for, unless they are
 * connected to it: they ask again every millisecond.
 *
 * Invariant: while udp->rx (tx) is set, the engine watches for input (output), or `again` is armed
 * for the output. */
#include <errno.h>
#include <linux/sock_diag.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "net/kernel/socket.h"
#include "net/kernel/udp_bind.h"

enum { UDP_BATCH = 32 };

#define UDP_ASK_AGAIN WEIR_MS(1)

struct kernel_udp {
    struct weir_udp udp;
    struct weir_kernel_watch watch;
    struct weir_udp_bound bound;
    struct weir_alarm again; /* Unix-domain: a send that waits */
};

static struct kernel_udp *kernel_udp_of(const struct weir_udp *udp)
{
    return weir_container_of(udp, struct kernel_udp, udp);
}

static bool udp_is_unix(const struct kernel_udp *u)
{
    return u->bound.addr.sa.sa_family == AF_UNIX;
}

/* --- receiving --- */

static void recv_done(struct weir_udp_io *io, int64_t result)
{
    io->udp->rx = NULL;
    weir_future_set(&io->future, result);
}

static void recv_cancel(struct weir_future *future)
{
    recv_done(weir_container_of(future, struct weir_udp_io, future), -ECANCELED);
}

static void recv_headers(struct mmsghdr *message, struct iovec *iov, struct weir_datagram *into,
                         unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        iov[i] = (struct iovec){ .iov_base = into[i].data, .iov_len = into[i].len };
        message[i].msg_hdr = (struct msghdr){
            .msg_name = &into[i].peer.sa,
            .msg_namelen = sizeof into[i].peer.un,
            .msg_iov = &iov[i],
            .msg_iovlen = 1,
        };
    }
}

/* A sender without a name of its own is "unix:". */
static void recv_filled(struct weir_datagram *datagram, const struct mmsghdr *message)
{
    datagram->len = message->msg_len;
    datagram->cut = (message->msg_hdr.msg_flags & MSG_TRUNC) != 0;
    datagram->peer.len = message->msg_hdr.msg_namelen;
    if (datagram->peer.len == 0) {
        datagram->peer.sa.sa_family = AF_UNIX;
        datagram->peer.len = sizeof datagram->peer.sa.sa_family;
    }
}

/* How many, or a negated errno. */
static int recv_some(int fd, struct weir_datagram *into, size_t max)
{
    unsigned count = (unsigned)weir_min_u64(max, UDP_BATCH);
    struct mmsghdr message[UDP_BATCH];
    struct iovec iov[UDP_BATCH];
    int n;

    recv_headers(message, iov, into, count);
    do
        n = (int)syscall(SYS_recvmmsg, fd, message, count, MSG_DONTWAIT, NULL);
    while (n < 0 && errno == EINTR);
    for (int i = 0; i < n; i++)
        recv_filled(&into[i], &message[i]);
    return n < 0 ? -errno : n;
}

static void recv_try(struct kernel_udp *u)
{
    struct weir_udp_io *io = u->udp.rx;
    struct weir_kernel *kernel = weir_kernel_of(u->udp.stack);
    int n = recv_some(u->watch.fd, io->into, io->count);

    if (n == -EAGAIN)
        kernel->ops->watch_arm(kernel, &u->watch, WEIR_WATCH_IN);
    else
        recv_done(io, n);
}

static void udp_recv(struct weir_udp_io *io)
{
    weir_future_init(&io->future, recv_cancel);
    recv_try(kernel_udp_of(io->udp));
}

/* --- sending --- */

static void send_done(struct weir_udp_io *io, int64_t result)
{
    weir_alarm_clear(&kernel_udp_of(io->udp)->again);
    io->udp->tx = NULL;
    weir_future_set(&io->future, result);
}

static void send_cancel(struct weir_future *future)
{
    send_done(weir_container_of(future, struct weir_udp_io, future), -ECANCELED);
}

static void send_headers(struct mmsghdr *message, struct iovec *iov,
                         const struct weir_datagram *from, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        bool named = from[i].peer.len > 0;

        iov[i] = (struct iovec){ .iov_base = from[i].data, .iov_len = from[i].len };
        message[i].msg_hdr = (struct msghdr){
            .msg_name = named ? (void *)(uintptr_t)&from[i].peer.sa : NULL,
            .msg_namelen = from[i].peer.len,
            .msg_iov = &iov[i],
            .msg_iovlen = 1,
        };
    }
}

/* How many, or a negated errno: of the first of them. */
static int send_some(int fd, const struct weir_datagram *from, size_t max)
{
    unsigned count = (unsigned)weir_min_u64(max, UDP_BATCH);
    struct mmsghdr message[UDP_BATCH];
    struct iovec iov[UDP_BATCH];
    int n;

    send_headers(message, iov, from, count);
    do
        n = (int)syscall(SYS_sendmmsg, fd, message, count, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n >= 0)
        return n;
    return errno == ENOTCONN ? -EDESTADDRREQ : -errno;
}

static void send_wait(struct kernel_udp *u)
{
    struct weir_kernel *kernel = weir_kernel_of(u->udp.stack);

    if (udp_is_unix(u))
        weir_alarm_set(&u->again, weir_after(UDP_ASK_AGAIN));
    else
        kernel->ops->watch_arm(kernel, &u->watch, WEIR_WATCH_OUT);
}

static void send_try(struct kernel_udp *u)
{
    struct weir_udp_io *io = u->udp.tx;
    int n = 0;

    while (io->moved < io->count) {
        n = send_some(u->watch.fd, io->from + io->moved, io->count - io->moved);
        if (n < 0)
            break;
        io->moved += (size_t)n;
    }
    if (n == -EAGAIN)
        send_wait(u);
    else
        send_done(io, io->moved > 0 ? (int64_t)io->moved : n);
}

static void send_again(struct weir_alarm *alarm)
{
    send_try(weir_container_of(alarm, struct kernel_udp, again));
}

static void udp_send(struct weir_udp_io *io)
{
    weir_future_init(&io->future, send_cancel);
    send_try(kernel_udp_of(io->udp));
}

/* --- opening and closing --- */

/* Whoever is told first may close the socket. */
static void udp_ready(struct weir_kernel_watch *watch, unsigned what)
{
    struct kernel_udp *u = weir_container_of(watch, struct kernel_udp, watch);

    if (u->udp.rx && (what & WEIR_WATCH_IN))
        recv_try(u);
    if (!watch->closed && u->udp.tx && (what & WEIR_WATCH_OUT))
        send_try(u);
}

static void udp_gone(struct weir_kernel_watch *watch)
{
    free(weir_container_of(watch, struct kernel_udp, watch));
}

static int udp_open(struct weir_stack *stack, struct weir_udp **udp, const struct weir_addr *addr,
                    const struct weir_udp_config *config)
{
    struct weir_kernel *kernel = weir_kernel_of(stack);
    struct kernel_udp *u = calloc(1, sizeof *u);
    int error;

    if (!u)
        return -ENOMEM;
    u->udp.stack = stack;
    weir_alarm_init(&u->again, send_again);
    u->watch = (struct weir_kernel_watch){ .ready = udp_ready, .gone = udp_gone };
    u->watch.fd = weir_udp_bind(&u->bound, stack->shard, addr, config);
    if (u->watch.fd < 0) {
        error = u->watch.fd;
        free(u);
        return error;
    }
    error = kernel->ops->watch_open(kernel, &u->watch);
    if (error) {
        close(u->watch.fd);
        weir_udp_unbind(&u->bound);
        free(u);
        return error;
    }
    kernel->udps++;
    *udp = &u->udp;
    return 0;
}

static int udp_connect(struct weir_udp *udp, const struct weir_addr *peer)
{
    return connect(kernel_udp_of(udp)->watch.fd, &peer->sa, peer->len) < 0 ? -errno : 0;
}

static void udp_later(struct weir_kernel *kernel, struct weir_udp_io *io)
{
    io->future.cancel = NULL;
    weir_list_push(&kernel->udp_ending, &io->link);
}

bool weir_kernel_udp_poll(struct weir_kernel *kernel)
{
    struct weir_link ending, *link;

    weir_list_init(&ending);
    weir_list_move_all(&ending, &kernel->udp_ending);
    if (weir_list_empty(&ending))
        return false;
    while ((link = weir_list_pop(&ending)) != NULL)
        weir_future_set(&weir_container_of(link, struct weir_udp_io, link)->future, -ECANCELED);
    return true;
}

static void udp_close(struct weir_udp *udp)
{
    struct weir_kernel *kernel = weir_kernel_of(udp->stack);
    struct kernel_udp *u = kernel_udp_of(udp);

    weir_alarm_clear(&u->again);
    if (udp->rx)
        udp_later(kernel, udp->rx);
    if (udp->tx)
        udp_later(kernel, udp->tx);
    kernel->udps--;
    kernel->ops->watch_close(kernel, &u->watch);
    weir_udp_unbind(&u->bound);
}

static int udp_local_addr(const struct weir_udp *udp, struct weir_addr *addr)
{
    memset(addr, 0, sizeof *addr);
    addr->len = sizeof addr->un;
    return getsockname(kernel_udp_of(udp)->watch.fd, &addr->sa, &addr->len) < 0 ? -errno : 0;
}

static uint64_t udp_dropped(const struct weir_udp *udp)
{
    uint32_t info[SK_MEMINFO_VARS] = { 0 };
    socklen_t size = sizeof info;

    getsockopt(kernel_udp_of(udp)->watch.fd, SOL_SOCKET, SO_MEMINFO, info, &size);
    return info[SK_MEMINFO_DROPS];
}

const struct weir_udp_ops weir_kernel_udp_ops = {
    .open = udp_open,
    .connect = udp_connect,
    .close = udp_close,
    .local_addr = udp_local_addr,
    .dropped = udp_dropped,
    .recv = udp_recv,
    .send = udp_send,
};
