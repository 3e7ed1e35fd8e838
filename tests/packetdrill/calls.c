/* calls.c - the socket calls as packetdrill has them: bytes in and out, and the table.
 *
 * They mean what they mean in the C library, on weir's connections.  Only a send of more than fits
 * goes on beyond the call that begins it; its operation stands in the frame of the call. */
#include <fcntl.h>
#include "tests/packetdrill/object.h"

/* --- receiving --- */

static int64_t sock_peek(const struct pd_sock *sock, const struct iovec *iov, size_t count)
{
    const struct weir_pkt *pkt = pd_tcp(sock)->rx_head;
    size_t at = 0, sum = 0;

    for (size_t i = 0, to = 0; pkt && i < count;) {
        size_t part = weir_min_u64(pkt->buf.len - at, iov[i].iov_len - to);

        memcpy((uint8_t *)iov[i].iov_base + to, pkt->buf.data + at, part);
        at += part;
        to += part;
        sum += part;
        if (at == pkt->buf.len) {
            pkt = pkt->buf.next ? weir_pkt_of(pkt->buf.next) : NULL;
            at = 0;
        }
        if (to == iov[i].iov_len) {
            i++;
            to = 0;
        }
    }
    return (int64_t)sum;
}

/* What is there, as much as fits; it is known that this does not wait. */
static int64_t sock_take(struct pd_sock *sock, const struct iovec *iov, size_t count)
{
    int64_t sum = 0;

    for (size_t i = 0; i < count; i++) {
        struct weir_io io;

        if (iov[i].iov_len == 0)
            continue;
        if (sum > 0 && !pd_tcp(sock)->rx_head)
            break;
        if (sock->read_shut && !pd_tcp(sock)->rx_head)
            return sum;
        weir_recv_start(&io, sock->conn, iov[i].iov_base, iov[i].iov_len);
        weir_assert(io.future.done);
        if (io.future.result <= 0)
            return sum > 0 ? sum : io.future.result;
        sum += io.future.result;
        if ((size_t)io.future.result < iov[i].iov_len)
            break;
    }
    return sum;
}

static size_t iov_total(const struct iovec *iov, size_t count)
{
    size_t sum = 0;

    for (size_t i = 0; i < count; i++)
        sum += iov[i].iov_len;
    return sum;
}

struct sock_enough {
    const struct pd_sock *sock;
    size_t want;
};

/* MSG_WAITALL: all of it, or it is over. */
static bool sock_has_enough(struct pd *pd, void *arg)
{
    const struct sock_enough *enough = arg;
    const struct weir_tcp *tcp = pd_tcp(enough->sock);

    (void)pd;
    return pd_sock_queued(enough->sock) >= enough->want || tcp->state == WEIR_TCP_CLOSED ||
           (tcp->flags & WEIR_TCP_FIN_RECEIVED) || enough->sock->read_shut;
}

static int64_t sock_recv(struct pd *pd, struct pd_sock *sock, const struct iovec *iov, size_t count,
                         int flags)
{
    struct sock_enough enough = { sock, iov_total(iov, count) };
    bool nonblock = sock->nonblock || (flags & MSG_DONTWAIT);

    pd_sock_look(sock);
    if (flags & ~(MSG_DONTWAIT | MSG_PEEK | MSG_WAITALL | MSG_NOSIGNAL | MSG_CMSG_CLOEXEC))
        return flags & MSG_ERRQUEUE ? -EAGAIN : -EOPNOTSUPP;
    if (sock->kind == PD_CONNECTING && !nonblock &&
        !pd_sock_wait(pd, sock, pd_sock_ready_connected, sock))
        return -EAGAIN;
    if (sock->kind == PD_CONNECTING)
        return -EAGAIN;
    if (sock->kind != PD_CONNECTED)
        return sock->error ? pd_sock_take_error(sock) : -ENOTCONN;
    if (enough.want == 0)
        return 0;
    if (!pd_sock_readable(sock) &&
        (nonblock || !pd_sock_wait(pd, sock, pd_sock_ready_to_read, sock)))
        return -EAGAIN;
    if ((flags & MSG_WAITALL) && !nonblock)
        pd_sock_wait(pd, sock, sock_has_enough, &enough);
    if ((flags & MSG_PEEK) && pd_tcp(sock)->rx_head)
        return sock_peek(sock, iov, count);
    return sock_take(sock, iov, count);
}

/* --- sending --- */

static bool io_is_done(struct pd *pd, void *arg)
{
    (void)pd;
    return ((const struct weir_io *)arg)->future.done;
}

/* MSG_MORE, MSG_EOR and the like are hints. */
static int64_t sock_send(struct pd *pd, struct pd_sock *sock, const struct iovec *iov, size_t count,
                         int flags)
{
    bool nonblock = sock->nonblock || (flags & MSG_DONTWAIT);
    struct weir_io io;

    pd_sock_look(sock);
    if (flags & (MSG_OOB | MSG_FASTOPEN))
        return -EOPNOTSUPP;
    if (sock->kind == PD_CONNECTING && !nonblock &&
        !pd_sock_wait(pd, sock, pd_sock_ready_connected, sock))
        return -EAGAIN;
    if (sock->kind == PD_CONNECTING)
        return -EAGAIN;
    if (sock->kind != PD_CONNECTED)
        return sock->error ? pd_sock_take_error(sock) : -EPIPE;
    weir_sendv_start(&io, sock->conn, iov, count);
    if (!io.future.done && (nonblock || !pd_sock_wait(pd, sock, io_is_done, &io))) {
        weir_future_cancel(&io.future);
        weir_assert(io.future.done);
        return io.moved > 0 ? (int64_t)io.moved : -EAGAIN;
    }
    return io.future.result < 0 && io.moved > 0 ? (int64_t)io.moved : io.future.result;
}

/* --- the table --- */

static int call_socket(void *userdata, int domain, int type, int protocol)
{
    struct pd *pd = pd_enter(userdata);

    return (int)pd_leave(pd, pd_sock_open(pd, domain, type, protocol));
}

/* The body of every call that has the descriptor of a socket first. */
#define CALL(type, fd, what)                                \
    struct pd *pd = pd_enter(userdata);                     \
    struct pd_sock *sock = pd_sock(pd, fd);                 \
    int64_t result = -EBADF;                                \
                                                            \
    if (sock)                                               \
        result = sock->kind == PD_EPOLL ? -ENOTSOCK : what; \
    return (type)pd_leave(pd, result)

static int call_bind(void *userdata, int fd, const struct sockaddr *addr, socklen_t len)
{
    CALL(int, fd, pd_sock_bind(pd, sock, addr, len));
}

static int call_listen(void *userdata, int fd, int backlog)
{
    CALL(int, fd, pd_sock_listen(pd, sock, backlog));
}

static int call_accept(void *userdata, int fd, struct sockaddr *addr, socklen_t *len)
{
    CALL(int, fd, pd_sock_accept(pd, sock, addr, len));
}

static int call_connect(void *userdata, int fd, const struct sockaddr *addr, socklen_t len)
{
    CALL(int, fd, pd_sock_connect(pd, sock, addr, len));
}

static ssize_t call_readv(void *userdata, int fd, const struct iovec *iov, int count)
{
    CALL(ssize_t, fd, count < 0 ? -EINVAL : sock_recv(pd, sock, iov, (size_t)count, 0));
}

static ssize_t call_recv(void *userdata, int fd, void *data, size_t len, int flags)
{
    struct iovec iov = { data, len };

    CALL(ssize_t, fd, sock_recv(pd, sock, &iov, 1, flags));
}

static ssize_t call_read(void *userdata, int fd, void *data, size_t len)
{
    return call_recv(userdata, fd, data, len, 0);
}

static ssize_t call_recvfrom(void *userdata, int fd, void *data, size_t len, int flags,
                             struct sockaddr *addr, socklen_t *addr_len)
{
    if (addr && addr_len)
        *addr_len = 0; /* a stream says nothing here */
    return call_recv(userdata, fd, data, len, flags);
}

static ssize_t call_recvmsg(void *userdata, int fd, struct msghdr *msg, int flags)
{
    msg->msg_namelen = 0;
    msg->msg_controllen = 0;
    msg->msg_flags = 0;
    CALL(ssize_t, fd, sock_recv(pd, sock, msg->msg_iov, msg->msg_iovlen, flags));
}

static ssize_t call_sendmsg(void *userdata, int fd, const struct msghdr *msg, int flags)
{
    CALL(ssize_t, fd, sock_send(pd, sock, msg->msg_iov, msg->msg_iovlen, flags));
}

static ssize_t call_writev(void *userdata, int fd, const struct iovec *iov, int count)
{
    CALL(ssize_t, fd, count < 0 ? -EINVAL : sock_send(pd, sock, iov, (size_t)count, 0));
}

static ssize_t call_send(void *userdata, int fd, const void *data, size_t len, int flags)
{
    struct iovec iov = { (void *)(uintptr_t)data, len };

    CALL(ssize_t, fd, sock_send(pd, sock, &iov, 1, flags));
}

static ssize_t call_write(void *userdata, int fd, const void *data, size_t len)
{
    return call_send(userdata, fd, data, len, 0);
}

/* The address is for sockets that are not connected; a stream is, or the send fails. */
static ssize_t call_sendto(void *userdata, int fd, const void *data, size_t len, int flags,
                           const struct sockaddr *addr, socklen_t addr_len)
{
    (void)addr;
    (void)addr_len;
    return call_send(userdata, fd, data, len, flags);
}

static int call_close(void *userdata, int fd)
{
    struct pd *pd = pd_enter(userdata);
    struct pd_sock *sock = pd_sock(pd, fd);

    return (int)pd_leave(pd, sock ? pd_sock_close(pd, sock) : -EBADF);
}

static int call_shutdown(void *userdata, int fd, int how)
{
    CALL(int, fd, pd_sock_shutdown(sock, how));
}

static int call_fcntl(void *userdata, int fd, int command, ...)
{
    int arg = 0;
    va_list args;

    va_start(args, command);
    if (command == F_SETFL)
        arg = va_arg(args, int);
    va_end(args);
    CALL(int, fd, pd_sock_fcntl(sock, command, arg));
}

static int call_ioctl(void *userdata, int fd, unsigned long request, ...)
{
    int *arg;
    va_list args;

    va_start(args, request);
    arg = va_arg(args, int *);
    va_end(args);
    CALL(int, fd, pd_sock_ioctl(sock, request, arg));
}

void pd_calls_init(struct packetdrill_interface *ifc)
{
    ifc->socket = call_socket;
    ifc->bind = call_bind;
    ifc->listen = call_listen;
    ifc->accept = call_accept;
    ifc->connect = call_connect;
    ifc->read = call_read;
    ifc->readv = call_readv;
    ifc->recv = call_recv;
    ifc->recvfrom = call_recvfrom;
    ifc->recvmsg = call_recvmsg;
    ifc->write = call_write;
    ifc->writev = call_writev;
    ifc->send = call_send;
    ifc->sendto = call_sendto;
    ifc->sendmsg = call_sendmsg;
    ifc->fcntl = call_fcntl;
    ifc->ioctl = call_ioctl;
    ifc->close = call_close;
    ifc->shutdown = call_shutdown;
}
