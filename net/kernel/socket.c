/* socket.c - connections of the kernel's sockets, as far as they are the same for both engines.
 *
 * connect() is called at once and without blocking; the engine only waits for the socket to become
 * writable.  A Unix-domain server whose backlog is full says EAGAIN and gives nothing to wait for:
 * then we ask again every millisecond.
 *
 * Receiving and sending are bare system calls: the C library's functions are points of thread
 * cancellation, and its book-keeping for that costs 1% of a small request.
 *
 * Invariant: stats.conns counts the connections that are open for their owners; `load` those and
 * the accepted ones on their way to an owner. */
#include "net/kernel/socket.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { HANDOFFS_MAX = 256, CONNS_CLOSING = 4096, SEND_IOVECS = 64 };

/* --- the engine's frame --- */

static void kernel_pause_over(struct weir_alarm *alarm)
{
    struct weir_kernel *kernel = weir_container_of(alarm, struct weir_kernel, pause);

    kernel->paused = false;
    kernel->nudge = true;
}

/* The first chunk of handoffs is had at once: handing over has no way to fail later. */
static int kernel_reserve(struct weir_kernel *kernel)
{
    void *first;

    weir_pool_init(&kernel->handoffs, weir_handoff_size(), sizeof(void *),
                   HANDOFFS_MAX + kernel->stack.shard->all->count);
    first = weir_pool_get(&kernel->handoffs);
    if (!first)
        return -ENOMEM;
    weir_pool_put(&kernel->handoffs, first);
    return 0;
}

int weir_kernel_init(struct weir_kernel *kernel, struct weir_shard *shard,
                     const struct weir_config *config, const struct weir_kernel_ops *ops,
                     size_t conn_size, size_t conn_align)
{
    kernel->stack.shard = kernel->driver.shard = shard;
    kernel->ops = ops;
    kernel->conns_max = config->conns_max;
    kernel->balance = config->balance;
    weir_list_init(&kernel->later);
    weir_list_init(&kernel->listeners);
    weir_list_init(&kernel->dead);
    weir_list_init(&kernel->udp_ending);
    kernel->stack.udp = &weir_kernel_udp_ops;
    kernel->stack.real = true;
    weir_alarm_init(&kernel->pause, kernel_pause_over);
    weir_pool_init(&kernel->conns, conn_size, conn_align, config->conns_max + CONNS_CLOSING);
    kernel->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    shard->net = &kernel->stack;
    return kernel_reserve(kernel);
}

void weir_kernel_free(struct weir_kernel *kernel)
{
    weir_assert(weir_list_empty(&kernel->later) && kernel->listeners_live == 0);
    weir_assert(weir_list_empty(&kernel->udp_ending) && kernel->watches == 0);
    weir_alarm_clear(&kernel->pause);
    weir_pool_free(&kernel->handoffs);
    weir_pool_free(&kernel->conns);
    if (kernel->reserve_fd >= 0)
        close(kernel->reserve_fd);
    kernel->stack.shard->net = NULL;
}

void weir_kernel_check_empty(const struct weir_kernel *kernel)
{
    const struct weir_shard *shard = kernel->stack.shard;

    if (shard->stats.conns || shard->stats.bufs || !weir_list_empty(&kernel->listeners))
        weir_panic("shard %u has ended but left %llu connections, %llu buffers and %s open: each "
                   "needs its weir_close, weir_buf_free, weir_listener_close",
                   shard->id, (unsigned long long)shard->stats.conns,
                   (unsigned long long)shard->stats.bufs,
                   weir_list_empty(&kernel->listeners) ? "no listener" : "a listener");
    if (kernel->processes)
        weir_panic("shard %u has ended but left %u processes open: each needs its "
                   "weir_process_close",
                   shard->id, kernel->processes);
    if (kernel->udps)
        weir_panic("shard %u has ended but left %u datagram sockets open: each needs its "
                   "weir_udp_close",
                   shard->id, kernel->udps);
}

static bool kernel_end_later(struct weir_kernel *kernel)
{
    struct weir_link ending, *link;

    weir_list_init(&ending);
    weir_list_move_all(&ending, &kernel->later);
    if (weir_list_empty(&ending))
        return false;
    while ((link = weir_list_pop(&ending)) != NULL) {
        struct weir_io *io = weir_container_of(link, struct weir_io, link);

        weir_future_set(&io->future, (int64_t)io->stack[0]);
    }
    return true;
}

static void kernel_bury(struct weir_kernel *kernel)
{
    struct weir_link *link;

    while ((link = weir_list_pop(&kernel->dead)) != NULL) {
        struct weir_kernel_watch *watch = weir_container_of(link, struct weir_kernel_watch, link);

        kernel->watches--;
        watch->gone(watch);
    }
}

bool weir_kernel_poll(struct weir_kernel *kernel)
{
    bool worked = kernel->nudge;

    kernel_bury(kernel);
    worked |= weir_kernel_udp_poll(kernel);
    if (kernel->nudge) {
        kernel->nudge = false;
        weir_listener_look_all(kernel);
    }
    return kernel_end_later(kernel) || worked;
}

void weir_kernel_later(struct weir_kernel *kernel, struct weir_io *io, int64_t result)
{
    io->future.cancel = NULL;
    io->stack[0] = (uint64_t)result;
    weir_list_push(&kernel->later, &io->link);
}

void weir_kernel_rest(struct weir_kernel *kernel)
{
    if (!weir_alarm_armed(&kernel->pause))
        weir_alarm_set(&kernel->pause, weir_after(WEIR_MS(10)));
}

/* --- counting --- */

void weir_kernel_conn_init(struct weir_kernel_conn *conn, struct weir_kernel *kernel, int fd)
{
    *conn = (struct weir_kernel_conn){ .conn.stack = &kernel->stack, .fd = fd };
    kernel->stack.shard->stats.conns++;
}

/* There is a descriptor again, and room. */
static void kernel_relieved(struct weir_kernel *kernel)
{
    if (weir_likely(!kernel->want_room && !kernel->paused))
        return;
    kernel->want_room = kernel->paused = false;
    kernel->nudge = true;
    weir_alarm_clear(&kernel->pause);
}

void weir_kernel_conn_gone(struct weir_kernel *kernel)
{
    weir_assert(kernel->stack.shard->stats.conns > 0);
    kernel->stack.shard->stats.conns--;
    weir_kernel_load(kernel->stack.shard, -1);
    kernel_relieved(kernel);
}

void weir_kernel_fd_gone(struct weir_kernel *kernel, int fd)
{
    close(fd);
    weir_kernel_load(kernel->stack.shard, -1);
    kernel_relieved(kernel);
}

struct weir_conn *weir_kernel_adopt(struct weir_kernel *kernel, int fd)
{
    struct weir_kernel_conn *conn =
        weir_kernel_room(kernel) ? kernel->ops->conn_open(kernel, fd, AF_UNIX) : NULL;

    if (!conn)
        return NULL;
    weir_kernel_load(kernel->stack.shard, 1);
    kernel->stack.shard->stats.conns_opened++;
    return &conn->conn;
}

/* --- connecting --- */

/* A connect that could not even begin; lives until it could. */
struct connect_retry {
    struct weir_alarm alarm;
    struct weir_kernel *kernel;
    struct weir_io *io;
    struct weir_addr addr;
    int fd;
};

static void connect_done(struct weir_io *io, struct weir_kernel_conn *conn)
{
    conn->conn.stack->shard->stats.conns_opened++;
    io->conn = &conn->conn;
    weir_future_set(&io->future, 0);
}

static void connect_undo(struct weir_io *io, struct weir_kernel_conn *conn, int error)
{
    conn->conn.tx = NULL;
    weir_kernel_of(conn->conn.stack)->ops->conn_close(&conn->conn, false);
    weir_future_set(&io->future, error);
}

static void connect_cancel(struct weir_future *future)
{
    struct weir_io *io = weir_container_of(future, struct weir_io, future);

    connect_undo(io, (struct weir_kernel_conn *)(uintptr_t)io->stack[0], -ECANCELED);
}

/* The socket has begun to connect, or is connected. */
static void connect_begun(struct weir_kernel *kernel, struct weir_io *io, int fd,
                          sa_family_t family, bool connected)
{
    struct weir_kernel_conn *conn;

    fcntl(fd, F_SETFL, 0);
    conn = kernel->ops->conn_open(kernel, fd, family);
    if (!conn) {
        close(fd);
        weir_future_set(&io->future, -ENOMEM);
        return;
    }
    weir_kernel_load(kernel->stack.shard, 1);
    if (connected) {
        connect_done(io, conn);
        return;
    }
    conn->flags |= WEIR_KERNEL_CONNECTING;
    conn->conn.tx = io;
    io->stack[0] = (uintptr_t)conn;
    io->future.cancel = connect_cancel;
    if (kernel->ops->conn_wait(conn) < 0)
        connect_undo(io, conn, -ENOMEM);
}

void weir_kernel_connected(struct weir_kernel_conn *conn)
{
    struct weir_io *io = conn->conn.tx;
    socklen_t size = sizeof(int);
    int error = 0;

    if (getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
        error = errno;
    conn->flags &= (uint16_t)~WEIR_KERNEL_CONNECTING;
    conn->conn.tx = NULL;
    if (error == 0) {
        connect_done(io, conn);
        return;
    }
    weir_kernel_of(conn->conn.stack)->ops->conn_close(&conn->conn, false);
    weir_future_set(&io->future, -error);
}

static void connect_retry_cancel(struct weir_future *future)
{
    struct weir_io *io = weir_container_of(future, struct weir_io, future);
    struct connect_retry *retry = (struct connect_retry *)(uintptr_t)io->stack[0];

    weir_alarm_clear(&retry->alarm);
    close(retry->fd);
    free(retry);
    weir_future_set(future, -ECANCELED);
}

static void connect_try(struct weir_kernel *kernel, struct weir_io *io, int fd,
                        const struct weir_addr *addr);

static void connect_again(struct weir_alarm *alarm)
{
    struct connect_retry *retry = weir_container_of(alarm, struct connect_retry, alarm);
    struct connect_retry now = *retry;

    free(retry);
    now.io->future.cancel = NULL;
    connect_try(now.kernel, now.io, now.fd, &now.addr);
}

static void connect_put_off(struct weir_kernel *kernel, struct weir_io *io, int fd,
                            const struct weir_addr *addr)
{
    struct connect_retry *retry = malloc(sizeof *retry);

    if (!retry) {
        close(fd);
        weir_future_set(&io->future, -ENOMEM);
        return;
    }
    *retry = (struct connect_retry){ .kernel = kernel, .io = io, .addr = *addr, .fd = fd };
    weir_alarm_init(&retry->alarm, connect_again);
    weir_alarm_set(&retry->alarm, weir_after(WEIR_MS(1)));
    io->stack[0] = (uintptr_t)retry;
    io->future.cancel = connect_retry_cancel;
}

static void connect_try(struct weir_kernel *kernel, struct weir_io *io, int fd,
                        const struct weir_addr *addr)
{
    int error = connect(fd, &addr->sa, addr->len) < 0 ? errno : 0;

    if (error == 0 || error == EINPROGRESS || error == EINTR) {
        connect_begun(kernel, io, fd, addr->sa.sa_family, error == 0);
    } else if (error == EAGAIN && addr->sa.sa_family == AF_UNIX) {
        connect_put_off(kernel, io, fd, addr);
    } else {
        close(fd);
        weir_future_set(&io->future, -error);
    }
}

void weir_kernel_connect(struct weir_stack *stack, struct weir_io *io, const struct weir_addr *addr)
{
    struct weir_kernel *kernel = weir_kernel_of(stack);
    int fd = -1, on = 1;

    weir_future_init(&io->future, NULL);
    if (!weir_kernel_room(kernel))
        errno = EMFILE;
    else
        fd = socket(addr->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        weir_future_set(&io->future, -errno);
        return;
    }
    if (addr->sa.sa_family != AF_UNIX)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    connect_try(kernel, io, fd, addr);
}

/* --- sending --- */

/* Where a send stands: skips io->moved bytes.  Returns the index of the iovec to go on with, and in
 * *offset how much of that one has been taken. */
static size_t send_at(const struct weir_io *io, size_t *offset)
{
    size_t left = io->moved, i = 0;

    while (i < io->len && left >= io->iov[i].iov_len)
        left -= io->iov[i++].iov_len;
    *offset = left;
    return i;
}

/* What is left from iovec `i` on, a bounded number of them, less the first `offset` bytes. */
static ssize_t send_vector(int fd, const struct weir_io *io, size_t i, size_t offset)
{
    struct iovec rest[SEND_IOVECS];
    size_t count = weir_min_u64(io->len - i, SEND_IOVECS);
    struct msghdr message = { .msg_iov = rest, .msg_iovlen = count };

    memcpy(rest, io->iov + i, count * sizeof rest[0]);
    rest[0].iov_base = (char *)rest[0].iov_base + offset;
    rest[0].iov_len -= offset;
    return syscall(SYS_sendmsg, fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

ssize_t weir_kernel_recv(int fd, void *data, size_t len)
{
    return syscall(SYS_recvfrom, fd, data, len, MSG_DONTWAIT, NULL, NULL);
}

static ssize_t send_some(int fd, const struct weir_io *io, size_t i, size_t offset)
{
    ssize_t n;

    do {
        if (i + 1 == io->len)
            n = syscall(SYS_sendto, fd, (char *)io->iov[i].iov_base + offset,
                        io->iov[i].iov_len - offset, MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0);
        else
            n = send_vector(fd, io, i, offset);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

/* A reset that the kernel has told the sender it will not tell the receiver as well. */
static void send_failed(struct weir_kernel_conn *conn, struct weir_io *io, ssize_t error)
{
    if (error != -EPIPE && !(conn->flags & WEIR_KERNEL_ENDED))
        conn->error = (int)error;
    weir_kernel_send_done(io, error);
}

bool weir_kernel_send_now(struct weir_kernel_conn *conn, struct weir_io *io)
{
    size_t offset, i;

    while ((i = send_at(io, &offset)) < io->len) {
        ssize_t n = send_some(conn->fd, io, i, offset);

        if (n == -EAGAIN)
            return true;
        if (weir_unlikely(n < 0)) {
            send_failed(conn, io, n);
            return false;
        }
        io->moved += (size_t)n;
    }
    weir_kernel_send_done(io, (int64_t)io->moved);
    return false;
}

/* --- the small calls --- */

void weir_kernel_linger_none(int fd)
{
    struct linger linger = { .l_onoff = 1, .l_linger = 0 };

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
}

int weir_kernel_shutdown(struct weir_conn *conn)
{
    return shutdown(weir_kernel_conn_of(conn)->fd, SHUT_WR) < 0 ? -errno : 0;
}

int weir_kernel_local_addr(const struct weir_conn *conn, struct weir_addr *addr)
{
    memset(addr, 0, sizeof *addr);
    addr->len = sizeof addr->un;
    return getsockname(weir_kernel_conn_of(conn)->fd, &addr->sa, &addr->len) < 0 ? -errno : 0;
}

int weir_kernel_peer_addr(const struct weir_conn *conn, struct weir_addr *addr)
{
    memset(addr, 0, sizeof *addr);
    addr->len = sizeof addr->un;
    return getpeername(weir_kernel_conn_of(conn)->fd, &addr->sa, &addr->len) < 0 ? -errno : 0;
}

int weir_kernel_nodelay(struct weir_conn *conn, bool on)
{
    int value = on;

    if (setsockopt(weir_kernel_conn_of(conn)->fd, IPPROTO_TCP, TCP_NODELAY, &value, sizeof value) ==
        0)
        return 0;
    return errno == EOPNOTSUPP ? 0 : -errno; /* a Unix socket never delays */
}

static void kernel_buf_release(struct weir_buf *buf)
{
    struct weir_kernel *kernel = buf->origin;

    weir_shard_check(kernel->stack.shard, "weir_buf_free");
    kernel->stack.shard->stats.bufs--;
    free(buf);
}

struct weir_buf *weir_kernel_buf_alloc(struct weir_stack *stack, size_t size)
{
    struct weir_buf *buf = size > UINT32_MAX ? NULL : malloc(sizeof *buf + size);

    if (!buf)
        return NULL;
    stack->shard->stats.bufs++;
    *buf = (struct weir_buf){ .data = (uint8_t *)(buf + 1),
                              .refs = 1,
                              .release = kernel_buf_release,
                              .origin = weir_kernel_of(stack) };
    return buf;
}

struct weir_buf *weir_kernel_buf_move_out(struct weir_stack *stack, struct weir_buf *buf)
{
    struct weir_buf *copy = weir_kernel_buf_alloc(stack, buf->len);

    if (!copy)
        return buf;
    memcpy(copy->data, buf->data, buf->len);
    copy->len = buf->len;
    weir_buf_free(buf);
    return copy;
}
