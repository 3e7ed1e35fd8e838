/* uring.c - the stack on io_uring.
 *
 * Receiving: each connection keeps a multishot receive armed from its first receive on; the kernel
 * puts what arrives into provided buffers.  What nobody has asked for yet queues on the connection
 * up to a bound; then the receive is cancelled and armed again when somebody asks, so the TCP
 * window closes.  A receive that is cancelled by its owner is only taken off: the data stays.
 *
 * Sending goes through send(2) at once, which the measurements prefer to an entry in the ring: the
 * result is there, nothing is in flight, order is kept.  Only when the socket is full the ring is
 * asked to tell when it can be written.
 *
 * Descriptors are closed through the ring while an operation names them, behind its cancel: a
 * descriptor closed at once could be another connection's when the entry is submitted.
 *
 * Invariant: a connection's memory lives until refs, the operations that name it, are gone. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "net/kernel/socket.h"
#include "net/kernel/uring.h"
#include "net/kernel/uring_ring.h"

enum {
    RECV_ARMED = WEIR_KERNEL_ENGINE,       /* a multishot receive is under way */
    RECV_HALTED = WEIR_KERNEL_ENGINE << 1, /* ... and has been cancelled */
    POLL_ARMED = WEIR_KERNEL_ENGINE << 2,  /* waits to be writable */
};

enum { URING_QUEUE_BUFS = 16, URING_QUEUE_BYTES = 65536, URING_BATCH = 256 };

/* What a completion is about: the low bits of user_data; the rest is the address of its object. */
enum uring_tag { TAG_RECV, TAG_POLL, TAG_ACCEPT, TAG_WAKE, TAG_NOTHING, TAG_MASK = 7 };

struct uring_conn {
    struct weir_kernel_conn base;
    uint32_t queued_bytes;
    uint16_t queued_bufs;
    struct weir_buf *first, *last; /* received, not asked for yet */
};

struct uring {
    struct weir_kernel kernel;
    struct weir_ring ring;
    struct weir_link starved; /* receives that wait for a buffer */
};

static struct uring *uring_of(const struct weir_stack *stack)
{
    return weir_container_of(stack, struct uring, kernel.stack);
}

static struct uring_conn *uring_conn_of(const struct weir_conn *conn)
{
    return weir_container_of(conn, struct uring_conn, base.conn);
}

static struct io_uring_sqe *uring_sqe(struct uring *u)
{
    return weir_ring_sqe(&u->ring);
}

static void uring_name(struct io_uring_sqe *sqe, const void *object, enum uring_tag tag)
{
    sqe->user_data = (uintptr_t)object | tag;
}

static void uring_cancel(struct uring *u, const void *object, enum uring_tag tag)
{
    struct io_uring_sqe *sqe = uring_sqe(u);

    io_uring_prep_cancel64(sqe, (uintptr_t)object | tag, 0);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    uring_name(sqe, NULL, TAG_NOTHING);
}

/* --- buffers --- */

static void uring_buf_release(struct weir_buf *buf)
{
    struct uring *u = buf->origin;

    weir_shard_check(u->kernel.stack.shard, "weir_buf_free");
    u->kernel.stack.shard->stats.bufs--;
    weir_ring_buf_put(&u->ring, buf);
}

/* Whether the kernel has few left. */
static bool uring_bufs_short(const struct uring *u)
{
    return u->ring.bufs_out > u->ring.bufs.count - u->ring.bufs.count / 4;
}

/* A copy in memory of its own, so that what waits on one connection cannot starve the others. */
static struct weir_buf *uring_buf_move_out(struct uring *u, struct weir_buf *buf)
{
    struct weir_buf *copy = weir_kernel_buf_alloc(&u->kernel.stack, buf->len);

    if (!copy)
        return buf;
    memcpy(copy->data, buf->data, buf->len);
    copy->len = buf->len;
    weir_buf_free(buf);
    return copy;
}

/* --- connections --- */

static struct weir_kernel_conn *uring_conn_open(struct weir_kernel *kernel, int fd)
{
    struct uring_conn *c = weir_pool_get(&kernel->conns);

    if (!c)
        return NULL;
    c->queued_bytes = 0;
    c->queued_bufs = 0;
    c->first = c->last = NULL;
    weir_kernel_conn_init(&c->base, kernel, fd);
    return &c->base;
}

static void uring_conn_poll(struct weir_kernel_conn *c)
{
    struct io_uring_sqe *sqe;

    if (c->flags & POLL_ARMED)
        return;
    sqe = uring_sqe(uring_of(c->conn.stack));
    io_uring_prep_poll_add(sqe, c->fd, POLLOUT);
    uring_name(sqe, c, TAG_POLL);
    c->flags |= POLL_ARMED;
    c->refs++;
}

static void uring_conn_unref(struct uring *u, struct weir_kernel_conn *c)
{
    weir_assert(c->refs > 0);
    if (--c->refs == 0 && (c->flags & WEIR_KERNEL_CLOSED))
        weir_pool_put(&u->kernel.conns, weir_container_of(c, struct uring_conn, base));
}

static void uring_queue_drop(struct uring_conn *c)
{
    while (c->first) {
        struct weir_buf *buf = c->first;

        c->first = buf->next;
        weir_buf_free(buf);
    }
}

/* While something under way names the descriptor it is cancelled first: a close alone would not
 * send the FIN. */
static void uring_fd_close(struct uring *u, struct weir_kernel_conn *c)
{
    struct io_uring_sqe *sqe;

    if (c->refs == 0) {
        close(c->fd);
        return;
    }
    if (c->flags & RECV_ARMED)
        uring_cancel(u, c, TAG_RECV);
    if (c->flags & POLL_ARMED)
        uring_cancel(u, c, TAG_POLL);
    sqe = uring_sqe(u);
    io_uring_prep_close(sqe, c->fd);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    uring_name(sqe, NULL, TAG_NOTHING);
}

static void uring_conn_close(struct weir_conn *conn, bool reset)
{
    struct uring_conn *c = uring_conn_of(conn);
    struct uring *u = uring_of(conn->stack);
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

static void uring_recv_arm(struct uring *u, struct weir_kernel_conn *c)
{
    struct io_uring_sqe *sqe = uring_sqe(u);

    io_uring_prep_recv_multishot(sqe, c->fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = 0;
    uring_name(sqe, c, TAG_RECV);
    c->flags |= RECV_ARMED;
    c->refs++;
}

/* There is no buffer for it, or perhaps there is by now. */
static void uring_recv_starve(struct uring *u, struct weir_kernel_conn *c)
{
    if (u->ring.bufs_out < u->ring.bufs.count)
        uring_recv_arm(u, c);
    else
        weir_list_push(&u->starved, &c->conn.rx->link);
}

static bool uring_feed(struct uring *u)
{
    uint32_t free = u->ring.bufs.count - u->ring.bufs_out;
    struct weir_link *link;
    bool fed = false;

    for (; free > 0 && (link = weir_list_pop(&u->starved)) != NULL; free--) {
        struct weir_io *io = weir_container_of(link, struct weir_io, link);

        uring_recv_arm(u, weir_kernel_conn_of(io->conn));
        fed = true;
    }
    return fed;
}

static void uring_queue_push(struct uring *u, struct uring_conn *c, struct weir_buf *buf)
{
    if (uring_bufs_short(u))
        buf = uring_buf_move_out(u, buf);
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
        uring_cancel(u, c, TAG_RECV);
    }
}

static struct weir_buf *uring_queue_pop(struct uring_conn *c)
{
    struct weir_buf *buf = c->first;

    c->first = buf->next;
    c->queued_bufs--;
    c->queued_bytes -= buf->len;
    buf->next = NULL;
    return buf;
}

/* Back to the front: a part of it has been received. */
static void uring_queue_return(struct uring_conn *c, struct weir_buf *buf)
{
    buf->next = c->first;
    if (!c->first)
        c->last = buf;
    c->first = buf;
    c->queued_bufs++;
    c->queued_bytes += buf->len;
}

/* Ends a receive with what `buf` holds. */
static void uring_recv_give(struct uring_conn *c, struct weir_io *io, struct weir_buf *buf)
{
    size_t n = buf->len;

    if (!io->data) {
        io->buf = buf;
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

static void uring_recv(struct weir_io *io)
{
    struct uring_conn *c = uring_conn_of(io->conn);

    weir_future_init(&io->future, uring_recv_cancel);
    weir_list_init(&io->link);
    if (weir_unlikely(c->first != NULL))
        uring_recv_give(c, io, uring_queue_pop(c));
    else if (weir_unlikely(c->base.flags & WEIR_KERNEL_ENDED))
        weir_kernel_recv_done(io, c->base.error);
    else if (weir_unlikely(!(c->base.flags & RECV_ARMED)))
        uring_recv_arm(uring_of(io->conn->stack), &c->base);
}

/* The multishot receive is over; its memory may go with the caller's reference. */
static void uring_recv_ended(struct uring *u, struct weir_kernel_conn *c, int result)
{
    struct weir_io *io = c->conn.rx;

    if (result == -ENOBUFS || result == -ECANCELED || result == -EAGAIN || result == -EINTR) {
        if (io && result == -ENOBUFS)
            uring_recv_starve(u, c);
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

static void uring_recv_arrived(struct uring *u, struct uring_conn *c, struct weir_buf *buf)
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

static void uring_recv_event(struct uring *u, struct uring_conn *c, int result, uint32_t flags)
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

static void uring_send(struct weir_io *io)
{
    struct weir_kernel_conn *c = weir_kernel_conn_of(io->conn);

    weir_future_init(&io->future, uring_send_cancel);
    if (weir_unlikely(weir_kernel_send_now(c, io)))
        uring_conn_poll(c);
}

static void uring_poll_event(struct uring *u, struct weir_kernel_conn *c)
{
    c->flags &= (uint16_t)~POLL_ARMED;
    if (c->flags & WEIR_KERNEL_CLOSED)
        ;
    else if (c->flags & WEIR_KERNEL_CONNECTING)
        weir_kernel_connected(c);
    else if (c->conn.tx && weir_kernel_send_now(c, c->conn.tx))
        uring_conn_poll(c);
    uring_conn_unref(u, c);
}

/* --- accepting --- */

static void uring_accept_arm(struct weir_kernel_listener *l)
{
    struct io_uring_sqe *sqe = uring_sqe(uring_of(l->listener.stack));

    io_uring_prep_multishot_accept(sqe, l->fd, NULL, NULL, SOCK_CLOEXEC);
    uring_name(sqe, l, TAG_ACCEPT);
}

static void uring_accept_disarm(struct weir_kernel_listener *l)
{
    uring_cancel(uring_of(l->listener.stack), l, TAG_ACCEPT);
}

/* Nothing of the ring's names a disarmed listener. */
static void uring_accept_forget(struct weir_kernel_listener *l)
{
    weir_assert(!l->armed);
}

static void uring_accept_event(struct weir_kernel_listener *l, int result, uint32_t flags)
{
    if (result >= 0)
        weir_listener_arrived(l, result);
    else if (!l->disarming && result != -ECANCELED)
        weir_listener_failed(l, result);
    if (!(flags & IORING_CQE_F_MORE))
        weir_listener_disarmed(l);
}

/* --- the driver --- */

static void uring_wake_arm(struct uring *u)
{
    struct io_uring_sqe *sqe = uring_sqe(u);

    io_uring_prep_poll_multishot(sqe, u->kernel.stack.shard->wake_fd, POLLIN);
    uring_name(sqe, u, TAG_WAKE);
}

static void uring_woken(struct uring *u, uint32_t flags)
{
    uint64_t count;

    while (read(u->kernel.stack.shard->wake_fd, &count, sizeof count) < 0 && errno == EINTR)
        ;
    if (!(flags & IORING_CQE_F_MORE))
        uring_wake_arm(u);
}

static void uring_event(struct uring *u, uint64_t name, int result, uint32_t flags)
{
    void *object = (void *)(uintptr_t)(name & ~(uint64_t)TAG_MASK);

    switch ((enum uring_tag)(name & TAG_MASK)) {
    case TAG_RECV:
        uring_recv_event(u, object, result, flags);
        break;
    case TAG_POLL:
        uring_poll_event(u, object);
        break;
    case TAG_ACCEPT:
        uring_accept_event(object, result, flags);
        break;
    case TAG_WAKE:
        uring_woken(u, flags);
        break;
    default:
        break; /* a cancel that came too late */
    }
}

/* Handles a bounded number of completions; returns how many. */
static unsigned uring_reap(struct uring *u)
{
    struct io_uring_cq *cq = &u->ring.uring.cq;
    unsigned head = *cq->khead, count = io_uring_smp_load_acquire(cq->ktail) - head;

    if (count > URING_BATCH)
        count = URING_BATCH;
    for (unsigned i = 0; i < count; i++) {
        const struct io_uring_cqe *cqe = &cq->cqes[(head + i) & cq->ring_mask];

        uring_event(u, cqe->user_data, cqe->res, cqe->flags);
    }
    io_uring_smp_store_release(cq->khead, head + count);
    return count;
}

static bool uring_ready(struct weir_driver *driver)
{
    struct uring *u = weir_container_of(driver, struct uring, kernel.driver);

    return weir_kernel_ready(&u->kernel) || weir_ring_unsubmitted(&u->ring) > 0 ||
           weir_ring_completed(&u->ring) || weir_ring_wants_enter(&u->ring) ||
           (!weir_list_empty(&u->starved) && u->ring.bufs_out < u->ring.bufs.count);
}

static void uring_sleep(struct uring *u, weir_time until)
{
    struct weir_shard *shard = u->kernel.stack.shard;
    weir_time span = until == WEIR_NEVER ? WEIR_NEVER : until - shard->clock(shard);

    weir_ring_enter(&u->ring, span > 0, span, 0);
}

static bool uring_poll(struct weir_driver *driver, weir_time until)
{
    struct uring *u = weir_container_of(driver, struct uring, kernel.driver);
    bool worked = weir_kernel_poll(&u->kernel);

    worked |= uring_feed(u);
    if (until != 0 && !worked && !weir_ring_completed(&u->ring))
        uring_sleep(u, until);
    else if (weir_ring_unsubmitted(&u->ring) > 0 || weir_ring_wants_enter(&u->ring))
        weir_ring_enter(&u->ring, 0, 0, 0);
    return uring_reap(u) > 0 || worked;
}

/* What was closed winds up within a few enters: each operation under way has been cancelled. */
static void uring_settle(struct uring *u)
{
    for (int i = 0; i < 1000 && (u->kernel.conns.live || u->kernel.listeners_live ||
                                 weir_ring_unsubmitted(&u->ring) > 0);
         i++) {
        weir_ring_enter(&u->ring, 1, WEIR_MS(10), 0);
        uring_reap(u);
        weir_kernel_poll(&u->kernel);
    }
}

static void uring_close(struct weir_driver *driver)
{
    struct uring *u = weir_container_of(driver, struct uring, kernel.driver);

    weir_kernel_poll(&u->kernel);
    weir_kernel_check_empty(&u->kernel);
    uring_settle(u);
    weir_kernel_free(&u->kernel);
    weir_ring_bufs_close(&u->ring);
    weir_ring_close(&u->ring);
    free(u);
}

static const struct weir_stack_ops uring_stack_ops = {
    .name = "io_uring",
    .listen = weir_kernel_listen,
    .listener_addr = weir_kernel_listener_addr,
    .listener_close = weir_kernel_listener_close,
    .accept = weir_kernel_accept,
    .connect = weir_kernel_connect,
    .recv = uring_recv,
    .send = uring_send,
    .shutdown = weir_kernel_shutdown,
    .close = uring_conn_close,
    .local_addr = weir_kernel_local_addr,
    .peer_addr = weir_kernel_peer_addr,
    .nodelay = weir_kernel_nodelay,
    .buf_alloc = weir_kernel_buf_alloc,
};

static const struct weir_driver_ops uring_driver_ops = {
    .name = "io_uring",
    .poll = uring_poll,
    .ready = uring_ready,
    .close = uring_close,
};

static const struct weir_kernel_ops uring_kernel_ops = {
    .conn_open = uring_conn_open,
    .conn_wait = uring_conn_poll,
    .conn_close = uring_conn_close,
    .accept_arm = uring_accept_arm,
    .accept_disarm = uring_accept_disarm,
    .accept_forget = uring_accept_forget,
};

static int uring_open(struct uring *u, struct weir_shard *shard, const struct weir_config *config,
                      char *why, size_t why_size)
{
    int error = weir_ring_open(&u->ring, why, why_size);

    if (error)
        return error;
    error =
        weir_ring_bufs_open(&u->ring, config->rx_bufs, config->rx_buf_size, uring_buf_release, u);
    if (error) {
        snprintf(why, why_size, "receive buffers cannot be registered (%s)", strerror(-error));
        weir_ring_close(&u->ring);
        return error;
    }
    error = weir_kernel_init(&u->kernel, shard, config, &uring_kernel_ops,
                             sizeof(struct uring_conn), 64);
    if (!error)
        return 0;
    snprintf(why, why_size, "no memory (%s)", strerror(-error));
    weir_kernel_free(&u->kernel);
    weir_ring_bufs_close(&u->ring);
    weir_ring_close(&u->ring);
    return error;
}

int weir_uring_open(struct weir_driver **driver, struct weir_shard *shard,
                    const struct weir_config *config, char *why, size_t why_size)
{
    struct uring *u = calloc(1, sizeof *u);
    int error;

    if (!u) {
        snprintf(why, why_size, "no memory");
        return -ENOMEM;
    }
    error = uring_open(u, shard, config, why, why_size);
    if (error) {
        free(u);
        return error;
    }
    weir_list_init(&u->starved);
    u->kernel.stack.ops = &uring_stack_ops;
    u->kernel.driver.ops = &uring_driver_ops;
    if (shard->wake_fd >= 0)
        uring_wake_arm(u);
    *driver = &u->kernel.driver;
    return 0;
}

int weir_uring_probe(char *why, size_t why_size)
{
    struct weir_ring ring = { .enter_fd = -1 };
    int error = weir_ring_open(&ring, why, why_size);

    if (error)
        return error;
    weir_ring_close(&ring);
    return 0;
}
