/* uring_conn.c - connections on io_uring.
 *
 * Receiving: each connection keeps a multishot receive armed from its first receive on; the kernel
 * puts what arrives into provided buffers.  What nobody has asked for yet queues on the connection
 * up to a bound; then the receive is cancelled and armed again when somebody asks, so the TCP
 * window closes.  (What the kernel has in hand by then still comes.)  A receive that is cancelled
 * by its owner is only taken off: the data stays.
 *
 * Sending goes through send(2) at once, which the measurements prefer to an entry in the ring: the
 * result is there, nothing is in flight, order is kept.  Only when the socket is full the ring is
 * asked to tell when it can be written.
 *
 * Descriptors are closed through the ring while an operation names them, behind its cancel: a
 * descriptor closed at once could be another connection's when the entry is submitted.
 *
 * Invariant: a connection's memory lives until refs, the operations that name it, are gone. */
#include "net/kernel/uring_conn.h"
#include <poll.h>
#include <string.h>
#include <unistd.h>

enum {
    RECV_ARMED = WEIR_KERNEL_ENGINE,       /* a receive is under way */
    RECV_HALTED = WEIR_KERNEL_ENGINE << 1, /* ... and has been cancelled */
    POLL_ARMED = WEIR_KERNEL_ENGINE << 2,  /* waits to be writable */
    RECV_BEFORE = WEIR_KERNEL_ENGINE << 3, /* it is not the first receive */
};

enum { URING_QUEUE_BUFS = 16, URING_QUEUE_BYTES = 65536 };

static struct weir_uring_conn *uring_conn_of(const struct weir_conn *conn)
{
    return weir_container_of(conn, struct weir_uring_conn, base.conn);
}

/* --- buffers --- */

void weir_uring_buf_release(struct weir_buf *buf)
{
    struct weir_uring *u = buf->origin;

    weir_shard_check(u->kernel.stack.shard, "weir_buf_free");
    u->kernel.stack.shard->stats.bufs--;
    weir_ring_buf_put(&u->ring, buf);
}

/* Whether the kernel has few left. */
static bool uring_bufs_short(const struct weir_uring *u)
{
    return u->ring.bufs_out > u->ring.bufs.count - u->ring.bufs.count / 4;
}

/* What is kept of one connection, by its queue or by the user, cannot starve the others. */
static struct weir_buf *uring_buf_keep(struct weir_uring *u, struct weir_buf *buf)
{
    if (weir_likely(!uring_bufs_short(u)) || buf->release != weir_uring_buf_release)
        return buf;
    return weir_kernel_buf_move_out(&u->kernel.stack, buf);
}

/* --- connections --- */

struct weir_kernel_conn *weir_uring_conn_open(struct weir_kernel *kernel, int fd,
                                              sa_family_t family)
{
    struct weir_uring_conn *c = weir_pool_get(&kernel->conns);

    (void)family;
    if (!c)
        return NULL;
    c->queued_bytes = 0;
    c->queued_bufs = 0;
    c->first = c->last = NULL;
    weir_kernel_conn_init(&c->base, kernel, fd);
    return &c->base;
}

int weir_uring_conn_poll(struct weir_kernel_conn *c)
{
    struct io_uring_sqe *sqe;

    if (c->flags & POLL_ARMED)
        return 0;
    sqe = weir_ring_sqe(&weir_uring_of(c->conn.stack)->ring);
    io_uring_prep_poll_add(sqe, c->fd, POLLOUT);
    weir_uring_name(sqe, c, TAG_POLL);
    c->flags |= POLL_ARMED;
    c->refs++;
    return 0;
}

static void uring_conn_unref(struct weir_uring *u, struct weir_kernel_conn *c)
{
    weir_assert(c->refs > 0);
    if (--c->refs == 0 && (c->flags & WEIR_KERNEL_CLOSED))
        weir_pool_put(&u->kernel.conns, weir_container_of(c, struct weir_uring_conn, base));
}

static void uring_queue_drop(struct weir_uring_conn *c)
{
    while (c->first) {
        struct weir_buf *buf = c->first;

        c->first = buf->next;
        weir_buf_free(buf);
    }
}

/* While something under way names the descriptor it is cancelled first: a close alone would not
 * send the FIN. */
static void uring_fd_close(struct weir_uring *u, struct weir_kernel_conn *c)
{
    struct io_uring_sqe *sqe;

    if (!(c->flags & (RECV_ARMED | POLL_ARMED))) {
        close(c->fd);
        return;
    }
    if (c->flags & RECV_ARMED)
        weir_uring_cancel(u, c, TAG_RECV);
    if (c->flags & POLL_ARMED)
        weir_uring_cancel(u, c, TAG_POLL);
    sqe = weir_ring_sqe(&u->ring);
    io_uring_prep_close(sqe, c->fd);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    weir_uring_name(sqe, NULL, TAG_FILE);
}

void weir_uring_conn_close(struct weir_conn *conn, bool reset)
{
    struct weir_uring_conn *c = uring_conn_of(conn);
    struct weir_uring *u = weir_uring_of(conn->stack);
    struct weir_io *rx = conn->rx, *tx = conn->tx;

    weir_assert(!(c->base.flags & WEIR_KERNEL_CLOSED));
    c->base.flags |= WEIR_KERNEL_CLOSED;
    if (rx) {
        weir_list_del(&rx->link);
        weir_kernel_later(&u->kernel, rx, -ECANCELED);
    }
    if (tx) {
        weir_buf_free(tx->buf);
        weir_kernel_later(&u->kernel, tx, -ECANCELED);
    }
    uring_queue_drop(c);
    if (reset)
        weir_kernel_linger_none(c->base.fd);
    uring_fd_close(u, &c->base);
    weir_kernel_conn_gone(&u->kernel);
    if (c->base.refs == 0)
        weir_pool_put(&u->kernel.conns, c);
}

/* --- receiving --- */

static void uring_recv_cancel(struct weir_future *future)
{
    struct weir_io *io = weir_container_of(future, struct weir_io, future);

    weir_list_del(&io->link);
    weir_kernel_recv_done(io, -ECANCELED);
}

/* The first receive is of one shot: a connection that is closed behind its answer has nothing to be
 * cancelled then. */
static void uring_recv_arm(struct weir_uring *u, struct weir_kernel_conn *c)
{
    struct io_uring_sqe *sqe = weir_ring_sqe(&u->ring);

    if (c->flags & RECV_BEFORE)
        io_uring_prep_recv_multishot(sqe, c->fd, NULL, 0, 0);
    else
        io_uring_prep_recv(sqe, c->fd, NULL, u->ring.bufs.size, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = 0;
    weir_uring_name(sqe, c, TAG_RECV);
    c->flags |= RECV_ARMED | RECV_BEFORE;
    c->refs++;
}

/* Receives that found no buffer go on in their order, and no more of them than there are buffers:
 * completions that wait to be reaped may hold one each.  Who is armed in vain fails again, and with
 * thousands of connections that would be most of the work. */
bool weir_uring_feed(struct weir_uring *u)
{
    uint32_t out = u->ring.bufs_out + io_uring_cq_ready(&u->ring.uring);
    uint32_t free = u->ring.bufs.count - (uint32_t)weir_min_u64(out, u->ring.bufs.count);
    struct weir_link *link;
    bool fed = false;

    for (; free > 0 && (link = weir_list_pop(&u->starved)) != NULL; free--) {
        struct weir_io *io = weir_container_of(link, struct weir_io, link);

        uring_recv_arm(u, weir_kernel_conn_of(io->conn));
        fed = true;
    }
    return fed;
}

static void uring_queue_push(struct weir_uring *u, struct weir_uring_conn *c, struct weir_buf *buf)
{
    buf = uring_buf_keep(u, buf);
    buf->next = NULL;
    if (c->first)
        c->last->next = buf;
    else
        c->first = buf;
    c->last = buf;
    c->queued_bufs++;
    c->queued_bytes += buf->len;
    if ((c->queued_bufs >= URING_QUEUE_BUFS || c->queued_bytes >= URING_QUEUE_BYTES) &&
        (c->base.flags & (RECV_ARMED | RECV_HALTED)) == RECV_ARMED) {
        c->base.flags |= RECV_HALTED;
        weir_uring_cancel(u, c, TAG_RECV);
    }
}

static struct weir_buf *uring_queue_pop(struct weir_uring_conn *c)
{
    struct weir_buf *buf = c->first;

    c->first = buf->next;
    c->queued_bufs--;
    c->queued_bytes -= buf->len;
    buf->next = NULL;
    return buf;
}

/* Back to the front: a part of it has been received. */
static void uring_queue_return(struct weir_uring_conn *c, struct weir_buf *buf)
{
    buf->next = c->first;
    if (!c->first)
        c->last = buf;
    c->first = buf;
    c->queued_bufs++;
    c->queued_bytes += buf->len;
}

/* Ends a receive with what `buf` holds. */
static void uring_recv_give(struct weir_uring_conn *c, struct weir_io *io, struct weir_buf *buf)
{
    size_t n = buf->len;

    if (!io->data) {
        io->buf = uring_buf_keep(weir_uring_of(io->conn->stack), buf);
        weir_kernel_recv_done(io, (int64_t)n);
        return;
    }
    n = weir_min_u64(n, io->len);
    memcpy(io->data, buf->data, n);
    if (n == buf->len) {
        weir_buf_free(buf);
    } else {
        buf->data += n;
        buf->len -= (uint32_t)n;
        uring_queue_return(c, buf);
    }
    weir_kernel_recv_done(io, (int64_t)n);
}

void weir_uring_recv(struct weir_io *io)
{
    struct weir_uring_conn *c = uring_conn_of(io->conn);

    weir_future_init(&io->future, uring_recv_cancel);
    weir_list_init(&io->link);
    if (weir_unlikely(c->first != NULL))
        uring_recv_give(c, io, uring_queue_pop(c));
    else if (weir_unlikely(c->base.flags & WEIR_KERNEL_ENDED))
        weir_kernel_recv_done(io, c->base.error);
    else if (weir_unlikely(!(c->base.flags & RECV_ARMED)))
        uring_recv_arm(weir_uring_of(io->conn->stack), &c->base);
}

/* The receive is over; its memory may go with the caller's reference. */
static void uring_recv_ended(struct weir_uring *u, struct weir_kernel_conn *c, int result)
{
    struct weir_io *io = c->conn.rx;

    if (result == -ENOBUFS || result == -ECANCELED || result == -EAGAIN || result == -EINTR) {
        if (io && result == -ENOBUFS)
            weir_list_push(&u->starved, &io->link);
        else if (io)
            uring_recv_arm(u, c);
        return;
    }
    if (result < 0)
        c->error = result;
    c->flags |= WEIR_KERNEL_ENDED;
    if (io)
        weir_kernel_recv_done(io, c->error);
}

static void uring_recv_arrived(struct weir_uring *u, struct weir_uring_conn *c,
                               struct weir_buf *buf)
{
    struct weir_io *io = c->base.conn.rx;

    u->kernel.stack.shard->stats.bufs++;
    if (weir_unlikely(c->base.flags & WEIR_KERNEL_CLOSED))
        weir_buf_free(buf);
    else if (weir_likely(io != NULL))
        uring_recv_give(c, io, buf);
    else
        uring_queue_push(u, c, buf);
}

void weir_uring_recv_event(struct weir_uring *u, struct weir_uring_conn *c, int result,
                           uint32_t flags)
{
    struct weir_buf *buf = NULL;

    if (flags & IORING_CQE_F_BUFFER)
        buf = weir_ring_buf_take(&u->ring, flags >> IORING_CQE_BUFFER_SHIFT,
                                 result > 0 ? (uint32_t)result : 0);
    if (weir_likely(flags & IORING_CQE_F_MORE)) {
        weir_assert(buf != NULL && result > 0);
        uring_recv_arrived(u, c, buf);
        return;
    }
    c->base.flags &= (uint16_t) ~(RECV_ARMED | RECV_HALTED);
    if (result > 0) {
        weir_assert(buf != NULL);
        uring_recv_arrived(u, c, buf);
    } else {
        if (buf) {
            buf->refs = 0;
            weir_ring_buf_put(&u->ring, buf);
        }
        if (!(c->base.flags & WEIR_KERNEL_CLOSED))
            uring_recv_ended(u, &c->base, result);
    }
    uring_conn_unref(u, &c->base);
}

/* --- sending --- */

static void uring_send_cancel(struct weir_future *future)
{
    weir_kernel_send_done(weir_container_of(future, struct weir_io, future), -ECANCELED);
}

void weir_uring_send(struct weir_io *io)
{
    struct weir_kernel_conn *c = weir_kernel_conn_of(io->conn);

    weir_future_init(&io->future, uring_send_cancel);
    if (weir_unlikely(weir_kernel_send_now(c, io)))
        weir_uring_conn_poll(c);
}

void weir_uring_poll_event(struct weir_uring *u, struct weir_kernel_conn *c)
{
    c->flags &= (uint16_t)~POLL_ARMED;
    if (c->flags & WEIR_KERNEL_CLOSED)
        ;
    else if (c->flags & WEIR_KERNEL_CONNECTING)
        weir_kernel_connected(c);
    else if (c->conn.tx && weir_kernel_send_now(c, c->conn.tx))
        weir_uring_conn_poll(c);
    uring_conn_unref(u, c);
}
