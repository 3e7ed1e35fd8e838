/* socket.c - the public face of the sockets: who may call, what is not worth a stack's while.
 *
 * Everything that holds for every stack is decided here: an object is used on its own shard only, a
 * direction of a connection has one operation at a time, sending nothing is done at once.  The rest
 * goes to the stack of the shard (net/stack.h), which sets up io->future with its own cancel.
 *
 * Invariant: conn->rx (tx) is the operation that the stack has under way, or NULL. */
#include <errno.h>
#include <weir/net.h>
#include "net/stack.h"

static void conn_check(const struct weir_conn *conn, const char *call)
{
    weir_shard_check(conn->stack->shard, call);
}

static struct weir_stack *stack_here(const char *call)
{
    struct weir_stack *stack = weir_stack_here(call);

    if (weir_unlikely(!stack))
        weir_panic("%s: this shard runs without a network", call);
    return stack;
}

/* Ends an operation that never reached the stack. */
static void io_end(struct weir_io *io, int64_t result)
{
    weir_future_init(&io->future, NULL);
    weir_future_set(&io->future, result);
}

/* --- buffers --- */

struct weir_buf *weir_buf_alloc(size_t size)
{
    struct weir_stack *stack = stack_here("weir_buf_alloc");

    return stack->ops->buf_alloc(stack, size);
}

/* --- listening --- */

void weir_listen_config_init(struct weir_listen_config *config)
{
    *config = (struct weir_listen_config){ .backlog = 4096, .accepted_max = 64, .ipv6_only = true };
}

int weir_listen(struct weir_listener **listener, const char *address,
                const struct weir_listen_config *config)
{
    struct weir_stack *stack = stack_here("weir_listen");
    struct weir_listen_config defaults;
    struct weir_addr addr;

    if (!config) {
        weir_listen_config_init(&defaults);
        config = &defaults;
    }
    stack = weir_stack_for(stack, &address);
    if (config->backlog <= 0 || config->accepted_max == 0 || weir_addr_parse(&addr, address) < 0)
        return -EINVAL;
    return stack->ops->listen(stack, listener, &addr, config);
}

int weir_accept(struct weir_listener *listener, struct weir_conn **conn, weir_time deadline)
{
    struct weir_io io;
    int error;

    weir_accept_start(&io, listener);
    error = (int)weir_await(&io.future, deadline);
    if (error == 0)
        *conn = io.conn;
    return error;
}

void weir_accept_start(struct weir_io *io, struct weir_listener *listener)
{
    weir_shard_check(listener->stack->shard, "weir_accept");
    io->listener = listener;
    io->conn = NULL;
    listener->stack->ops->accept(io);
}

void weir_listener_addr(const struct weir_listener *listener, struct weir_addr *addr)
{
    listener->stack->ops->listener_addr(listener, addr);
}

void weir_listener_close(struct weir_listener *listener)
{
    weir_shard_check(listener->stack->shard, "weir_listener_close");
    listener->stack->ops->listener_close(listener);
}

/* --- connecting --- */

static void connect_start(struct weir_stack *stack, struct weir_io *io,
                          const struct weir_addr *addr)
{
    if (addr->sa.sa_family == AF_UNIX && stack->kernel)
        stack = stack->kernel;
    io->conn = NULL;
    stack->ops->connect(stack, io, addr);
}

int weir_connect(struct weir_conn **conn, const char *address, weir_time deadline)
{
    struct weir_stack *stack = weir_stack_for(stack_here("weir_connect"), &address);
    struct weir_addr addr;
    struct weir_io io;
    int error;

    if (weir_addr_parse(&addr, address) < 0)
        return -EINVAL;
    connect_start(stack, &io, &addr);
    error = (int)weir_await(&io.future, deadline);
    if (error == 0)
        *conn = io.conn;
    return error;
}

void weir_connect_start(struct weir_io *io, const struct weir_addr *addr)
{
    connect_start(stack_here("weir_connect"), io, addr);
}

/* --- receiving --- */

static void recv_start(struct weir_io *io, struct weir_conn *conn)
{
    conn_check(conn, "weir_recv");
    io->conn = conn;
    io->buf = NULL;
    if (weir_unlikely(conn->rx != NULL)) {
        io_end(io, -EBUSY);
        return;
    }
    conn->rx = io;
    conn->stack->ops->recv(io);
}

void weir_recv_start(struct weir_io *io, struct weir_conn *conn, void *data, size_t len)
{
    weir_assert(data && len > 0);
    io->data = data;
    io->len = len;
    recv_start(io, conn);
}

int64_t weir_recv(struct weir_conn *conn, void *data, size_t len, weir_time deadline)
{
    struct weir_io io;

    weir_recv_start(&io, conn, data, len);
    return weir_await(&io.future, deadline);
}

void weir_recv_buf_start(struct weir_io *io, struct weir_conn *conn)
{
    io->data = NULL;
    io->len = 0;
    recv_start(io, conn);
}

int64_t weir_recv_buf(struct weir_conn *conn, struct weir_buf **buf, weir_time deadline)
{
    struct weir_io io;
    int64_t n;

    weir_recv_buf_start(&io, conn);
    n = weir_await(&io.future, deadline);
    *buf = io.buf;
    return n;
}

/* --- sending --- */

static bool iov_empty(const struct iovec *iov, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (iov[i].iov_len > 0)
            return false;
    return true;
}

/* An io that ends here gives its buffer back, as the stack would. */
static void send_end(struct weir_io *io, int64_t result)
{
    weir_buf_free(io->buf);
    io->buf = NULL;
    io_end(io, result);
}

static void send_start(struct weir_io *io, struct weir_conn *conn, const struct iovec *iov,
                       size_t count)
{
    conn_check(conn, "weir_send");
    io->conn = conn;
    io->iov = iov;
    io->len = count;
    io->moved = 0;
    if (weir_unlikely(conn->tx != NULL)) {
        send_end(io, -EBUSY);
        return;
    }
    if (weir_unlikely(iov_empty(iov, count))) {
        send_end(io, 0);
        return;
    }
    conn->tx = io;
    conn->stack->ops->send(io);
}

void weir_send_start(struct weir_io *io, struct weir_conn *conn, const void *data, size_t len)
{
    io->buf = NULL;
    io->one = (struct iovec){ .iov_base = (void *)(uintptr_t)data, .iov_len = len };
    send_start(io, conn, &io->one, 1);
}

int64_t weir_send(struct weir_conn *conn, const void *data, size_t len, weir_time deadline)
{
    struct weir_io io;

    weir_send_start(&io, conn, data, len);
    return weir_await(&io.future, deadline);
}

void weir_sendv_start(struct weir_io *io, struct weir_conn *conn, const struct iovec *iov,
                      size_t count)
{
    io->buf = NULL;
    send_start(io, conn, iov, count);
}

int64_t weir_sendv(struct weir_conn *conn, const struct iovec *iov, size_t count,
                   weir_time deadline)
{
    struct weir_io io;

    weir_sendv_start(&io, conn, iov, count);
    return weir_await(&io.future, deadline);
}

void weir_send_buf_start(struct weir_io *io, struct weir_conn *conn, struct weir_buf *buf)
{
    io->buf = buf;
    io->one = (struct iovec){ .iov_base = buf->data, .iov_len = buf->len };
    send_start(io, conn, &io->one, 1);
}

int64_t weir_send_buf(struct weir_conn *conn, struct weir_buf *buf, weir_time deadline)
{
    struct weir_io io;

    weir_send_buf_start(&io, conn, buf);
    return weir_await(&io.future, deadline);
}

/* --- ending, and looking --- */

int weir_shutdown(struct weir_conn *conn)
{
    conn_check(conn, "weir_shutdown");
    if (conn->tx)
        return -EBUSY;
    return conn->stack->ops->shutdown(conn);
}

void weir_close(struct weir_conn *conn)
{
    conn_check(conn, "weir_close");
    conn->stack->ops->close(conn, false);
}

void weir_abort(struct weir_conn *conn)
{
    conn_check(conn, "weir_abort");
    conn->stack->ops->close(conn, true);
}

int weir_local_addr(const struct weir_conn *conn, struct weir_addr *addr)
{
    conn_check(conn, "weir_local_addr");
    return conn->stack->ops->local_addr(conn, addr);
}

int weir_peer_addr(const struct weir_conn *conn, struct weir_addr *addr)
{
    conn_check(conn, "weir_peer_addr");
    return conn->stack->ops->peer_addr(conn, addr);
}

int weir_nodelay(struct weir_conn *conn, bool on)
{
    conn_check(conn, "weir_nodelay");
    return conn->stack->ops->nodelay(conn, on);
}
