/* uring.c - the stack on io_uring: its driver, and accepting.
 *
 * One io_uring_enter per turn submits what the turn has queued, takes what is complete, and sleeps
 * when there is nothing to do.  With nothing queued and the kernel's flag down a turn that does not
 * sleep makes no system call at all.
 *
 * Invariant: an object that a completion may name (user_data) is alive until that completion. */
#include "net/kernel/uring.h"
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "net/kernel/uring_conn.h"

enum { URING_BATCH = 256 };

/* --- accepting --- */

static void uring_accept_arm(struct weir_kernel_listener *l)
{
    struct io_uring_sqe *sqe = weir_ring_sqe(&weir_uring_of(l->listener.stack)->ring);

    io_uring_prep_multishot_accept(sqe, l->fd, NULL, NULL, SOCK_CLOEXEC);
    weir_uring_name(sqe, l, TAG_ACCEPT);
}

static void uring_accept_disarm(struct weir_kernel_listener *l)
{
    weir_uring_cancel(weir_uring_of(l->listener.stack), l, TAG_ACCEPT);
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

/* --- other descriptors --- */

static int uring_watch_open(struct weir_kernel *kernel, struct weir_kernel_watch *watch)
{
    weir_kernel_watch_init(kernel, watch);
    return 0;
}

static void uring_watch_poll(struct weir_uring *u, struct weir_kernel_watch *watch, unsigned events,
                             enum weir_uring_tag tag)
{
    struct io_uring_sqe *sqe = weir_ring_sqe(&u->ring);

    io_uring_prep_poll_add(sqe, watch->fd, events);
    weir_uring_name(sqe, watch, tag);
    watch->polls++;
}

static void uring_watch_arm(struct weir_kernel *kernel, struct weir_kernel_watch *watch,
                            unsigned what)
{
    struct weir_uring *u = weir_uring_of(&kernel->stack);

    what &= ~(unsigned)watch->armed;
    watch->armed |= (uint8_t)what;
    if (what & WEIR_WATCH_IN)
        uring_watch_poll(u, watch, POLLIN, TAG_WATCH_IN);
    if (what & WEIR_WATCH_OUT)
        uring_watch_poll(u, watch, POLLOUT, TAG_WATCH_OUT);
}

/* What waits is cancelled and entered at once: the address is free when this returns. */
static void uring_watch_close(struct weir_kernel *kernel, struct weir_kernel_watch *watch)
{
    struct weir_uring *u = weir_uring_of(&kernel->stack);

    watch->closed = true;
    if (watch->armed & WEIR_WATCH_IN)
        weir_uring_cancel(u, watch, TAG_WATCH_IN);
    if (watch->armed & WEIR_WATCH_OUT)
        weir_uring_cancel(u, watch, TAG_WATCH_OUT);
    if (watch->armed)
        weir_ring_enter(&u->ring, 0, 0);
    close(watch->fd);
    if (watch->polls == 0)
        weir_kernel_watch_dead(kernel, watch);
}

static void uring_watch_event(struct weir_uring *u, struct weir_kernel_watch *watch, unsigned what)
{
    weir_assert(watch->polls > 0);
    watch->polls--;
    watch->armed &= (uint8_t)~what;
    if (!watch->closed)
        watch->ready(watch, what);
    else if (watch->polls == 0)
        weir_kernel_watch_dead(&u->kernel, watch);
}

/* --- the driver --- */

static void uring_wake_arm(struct weir_uring *u)
{
    struct io_uring_sqe *sqe = weir_ring_sqe(&u->ring);

    io_uring_prep_poll_multishot(sqe, u->kernel.stack.shard->wake_fd, POLLIN);
    weir_uring_name(sqe, u, TAG_WAKE);
}

static void uring_woken(struct weir_uring *u, uint32_t flags)
{
    uint64_t count;

    while (read(u->kernel.stack.shard->wake_fd, &count, sizeof count) < 0 && errno == EINTR)
        ;
    if (!(flags & IORING_CQE_F_MORE))
        uring_wake_arm(u);
}

static void uring_event(struct weir_uring *u, uint64_t name, int result, uint32_t flags)
{
    void *object = (void *)(uintptr_t)(name & ~(uint64_t)TAG_MASK);

    switch ((enum weir_uring_tag)(name & TAG_MASK)) {
    case TAG_RECV:
        weir_uring_recv_event(u, object, result, flags);
        break;
    case TAG_POLL:
        weir_uring_poll_event(u, object);
        break;
    case TAG_ACCEPT:
        uring_accept_event(object, result, flags);
        break;
    case TAG_WAKE:
        uring_woken(u, flags);
        break;
    case TAG_DRIVER_WATCH:
        ((struct weir_uring_watch *)object)->armed = false;
        break;
    case TAG_WATCH_IN:
        uring_watch_event(u, object, WEIR_WATCH_IN);
        break;
    case TAG_WATCH_OUT:
        uring_watch_event(u, object, WEIR_WATCH_OUT);
        break;
    case TAG_FILE:
        if (object)
            weir_uring_file_event(object, result);
        break; /* else a cancel that came too late */
    }
}

static void uring_prefetch_conn(const struct io_uring_cqe *cqe)
{
    __builtin_prefetch((void *)(uintptr_t)(cqe->user_data & ~(uint64_t)TAG_MASK), 1);
}

/* What a receive will touch, its connection being there: the operation that waits, which users put
 * at the head of what they know of the connection, and what has arrived. */
static void uring_prefetch_recv(const struct weir_uring *u, const struct io_uring_cqe *cqe)
{
    const struct weir_conn *conn = (void *)(uintptr_t)(cqe->user_data & ~(uint64_t)TAG_MASK);
    const struct weir_bufs *bufs = &u->ring.bufs;
    uint32_t id = cqe->flags >> IORING_CQE_BUFFER_SHIFT;

    if ((cqe->user_data & TAG_MASK) != TAG_RECV || !(cqe->flags & IORING_CQE_F_BUFFER))
        return;
    __builtin_prefetch(&bufs->buf[id], 1);
    __builtin_prefetch(weir_bufs_at(bufs, id));
    if (!conn->rx)
        return;
    __builtin_prefetch(conn->rx, 1);
    __builtin_prefetch((char *)conn->rx + 64, 1);
    __builtin_prefetch((char *)conn->rx + 128, 1);
}

/* Handles a bounded number of completions; returns how many.  Each is prepared in two steps while
 * those before it are handled: with a thousand connections nearly all of it is out of the caches.
 */
static unsigned uring_reap(struct weir_uring *u)
{
    struct io_uring_cq *cq = &u->ring.uring.cq;
    unsigned head = *cq->khead, count = io_uring_smp_load_acquire(cq->ktail) - head;

    if (count > URING_BATCH)
        count = URING_BATCH;
    for (unsigned i = 0; i < count && i < 2; i++)
        uring_prefetch_conn(&cq->cqes[(head + i) & cq->ring_mask]);
    for (unsigned i = 0; i < count; i++) {
        const struct io_uring_cqe *cqe = &cq->cqes[(head + i) & cq->ring_mask];

        if (i + 2 < count)
            uring_prefetch_conn(&cq->cqes[(head + i + 2) & cq->ring_mask]);
        if (i + 1 < count)
            uring_prefetch_recv(u, &cq->cqes[(head + i + 1) & cq->ring_mask]);
        uring_event(u, cqe->user_data, cqe->res, cqe->flags);
    }
    io_uring_smp_store_release(cq->khead, head + count);
    return count;
}

/* A poll each for one sleep: armed while the shard is busy it would tell of every packet. */
static void uring_driver_watches_arm(struct weir_uring *u)
{
    for (unsigned i = 0; i < u->watches; i++) {
        struct weir_uring_watch *watch = &u->watch[i];
        struct io_uring_sqe *sqe;

        if (watch->armed)
            continue;
        sqe = weir_ring_sqe(&u->ring);
        io_uring_prep_poll_add(sqe, watch->fd, POLLIN);
        weir_uring_name(sqe, watch, TAG_DRIVER_WATCH);
        watch->armed = true;
    }
}

static int uring_driver_watch(struct weir_driver *driver, int fd)
{
    struct weir_uring *u = weir_container_of(driver, struct weir_uring, kernel.driver);

    if (u->watches == WEIR_URING_WATCHES)
        return -ENOSPC;
    u->watch[u->watches++] = (struct weir_uring_watch){ .fd = fd };
    return 0;
}

/* The turn has only begun: its clock will do. */
static void uring_sleep(struct weir_uring *u, weir_time until)
{
    const struct weir_shard *shard = u->kernel.stack.shard;
    weir_time span = until == WEIR_NEVER ? WEIR_NEVER : until - shard->now;

    uring_driver_watches_arm(u);
    weir_ring_enter(&u->ring, span > 0, span);
    weir_shard_awake(u->kernel.stack.shard);
}

static bool uring_poll(struct weir_driver *driver, weir_time until)
{
    struct weir_uring *u = weir_container_of(driver, struct weir_uring, kernel.driver);
    bool worked = weir_kernel_poll(&u->kernel);

    worked |= weir_uring_feed(u);
    if (until != 0 && !worked && !weir_ring_completed(&u->ring))
        uring_sleep(u, until);
    else if (weir_ring_unsubmitted(&u->ring) > 0 || weir_ring_wants_enter(&u->ring))
        weir_ring_enter(&u->ring, 0, 0);
    return uring_reap(u) > 0 || worked;
}

/* What was closed winds up within a few enters: each operation under way has been cancelled. */
static void uring_settle(struct weir_uring *u)
{
    for (int i = 0; i < 1000 && (u->kernel.conns.live || u->kernel.listeners_live ||
                                 u->kernel.watches || weir_ring_unsubmitted(&u->ring) > 0);
         i++) {
        weir_ring_enter(&u->ring, 1, WEIR_MS(10));
        uring_reap(u);
        weir_kernel_poll(&u->kernel);
    }
}

static void uring_close(struct weir_driver *driver)
{
    struct weir_uring *u = weir_container_of(driver, struct weir_uring, kernel.driver);

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
    .recv = weir_uring_recv,
    .send = weir_uring_send,
    .shutdown = weir_kernel_shutdown,
    .close = weir_uring_conn_close,
    .local_addr = weir_kernel_local_addr,
    .peer_addr = weir_kernel_peer_addr,
    .nodelay = weir_kernel_nodelay,
    .buf_alloc = weir_kernel_buf_alloc,
};

static const struct weir_driver_ops uring_driver_ops = {
    .name = "io_uring",
    .poll = uring_poll,
    .watch = uring_driver_watch,
    .close = uring_close,
};

static const struct weir_kernel_ops uring_kernel_ops = {
    .conn_open = weir_uring_conn_open,
    .conn_wait = weir_uring_conn_poll,
    .conn_close = weir_uring_conn_close,
    .accept_arm = uring_accept_arm,
    .accept_disarm = uring_accept_disarm,
    .accept_forget = uring_accept_forget,
    .watch_open = uring_watch_open,
    .watch_arm = uring_watch_arm,
    .watch_close = uring_watch_close,
    .file_start = weir_uring_file_start,
};

static int uring_open(struct weir_uring *u, struct weir_shard *shard,
                      const struct weir_config *config, char *why, size_t why_size)
{
    int error = weir_ring_open(&u->ring, why, why_size);

    if (error)
        return error;
    /* A server has them ready; a program that only wants to block_on something starts at once. */
    error = weir_ring_bufs_open(&u->ring, config->rx_bufs, config->rx_buf_size,
                                config->flavour != WEIR_CURRENT_THREAD, weir_uring_buf_release, u);
    if (error) {
        snprintf(why, why_size, "receive buffers cannot be registered (%s)", strerror(-error));
        weir_ring_close(&u->ring);
        return error;
    }
    error = weir_kernel_init(&u->kernel, shard, config, &uring_kernel_ops,
                             sizeof(struct weir_uring_conn), 64);
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
    struct weir_uring *u = calloc(1, sizeof *u);
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
