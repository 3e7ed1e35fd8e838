/* uring_ring.c - setting up an io_uring as this kernel allows.
 *
 * Best is DEFER_TASKRUN: completions are made when we enter, in our own time, and a flag in memory
 * tells whether entering would find any.  COOP_TASKRUN is the second choice; without either, each
 * packet interrupts the thread, which costs more than epoll does.
 *
 * Invariant: the submission queue's entries before *ktail are the kernel's. */
#include "net/kernel/uring_ring.h"
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "net/kernel/iou.h"

enum { RING_ENTRIES = 1024, RING_ENTRIES_MIN = 64, RING_CQ_FACTOR = 8 };

/* A ring may come to lie where one of another thread was.  That this happens in order only the
 * kernel knows, and liburing calls it without the C library: here is an order that
 * ThreadSanitizer sees. */
static atomic_uint rings_closed;

/* --- entering --- */

/* Shows the kernel what is queued; returns how many that are. */
static unsigned ring_flush(struct weir_ring *ring)
{
    struct io_uring_sq *sq = &ring->uring.sq;

    sq->sqe_head = sq->sqe_tail;
    io_uring_smp_store_release(sq->ktail, sq->sqe_tail);
    return sq->sqe_tail - *sq->khead;
}

void weir_ring_submit(struct weir_ring *ring)
{
    int n = io_uring_enter((unsigned)ring->enter_fd, ring_flush(ring), 0,
                           ring->enter_flags & IORING_ENTER_REGISTERED_RING, NULL);

    if (n < 0 && n != -EINTR && n != -EAGAIN && n != -EBUSY)
        weir_panic("io_uring_enter: %s", strerror(-n));
}

void weir_ring_enter(struct weir_ring *ring, unsigned wait, weir_time span)
{
    struct __kernel_timespec ts = { .tv_sec = span / WEIR_SEC(1), .tv_nsec = span % WEIR_SEC(1) };
    struct io_uring_getevents_arg arg = { 0 };
    unsigned flags = ring->enter_flags | IORING_ENTER_GETEVENTS;
    int n;

    if (wait == 0) {
        n = io_uring_enter((unsigned)ring->enter_fd, ring_flush(ring), 0, flags, NULL);
    } else {
        if (span != WEIR_NEVER)
            arg.ts = (uintptr_t)&ts;
        n = io_uring_enter2((unsigned)ring->enter_fd, ring_flush(ring), wait,
                            flags | IORING_ENTER_EXT_ARG, (sigset_t *)(void *)&arg, sizeof arg);
    }
    if (n < 0 && n != -ETIME && n != -EINTR && n != -EAGAIN && n != -EBUSY)
        weir_panic("io_uring_enter: %s", strerror(-n));
}

/* --- setting up --- */

static const unsigned ring_modes[] = {
    IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
    IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
};

static int ring_setup(struct weir_ring *ring, unsigned mode, unsigned entries)
{
    struct io_uring_params params = {
        .flags = mode | IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE,
        .cq_entries = entries * RING_CQ_FACTOR,
    };

    return io_uring_queue_init_params(entries, &ring->uring, &params);
}

/* The best mode the kernel has, in the largest size it has memory for. */
static int ring_setup_any(struct weir_ring *ring)
{
    unsigned entries = RING_ENTRIES;
    size_t mode = 0;
    int error;

    for (;;) {
        error = ring_setup(ring, ring_modes[mode], entries);
        if (error == -EINVAL && mode + 1 < WEIR_COUNT(ring_modes))
            mode++;
        else if (error == -ENOMEM && entries > RING_ENTRIES_MIN)
            entries /= 2;
        else
            return error;
    }
}

static void ring_why(int error, char *why, size_t why_size)
{
    if (error == -EPERM || error == -EACCES)
        snprintf(why, why_size,
                 "io_uring is forbidden here (%s: seccomp, or sysctl kernel.io_uring_disabled)",
                 strerrorname_np(-error));
    else if (error == -ENOSYS)
        snprintf(why, why_size, "io_uring is not to be had here (ENOSYS: the kernel or a sandbox)");
    else if (error == -ENOMEM)
        snprintf(why, why_size, "no memory for io_uring (ENOMEM: ulimit -l, or the cgroup)");
    else
        snprintf(why, why_size, "io_uring cannot be set up (%s)", strerror(-error));
}

/* What we build on: multishot receive, and all that is older.  It came with SEND_ZC in Linux 6.0,
 * which can be probed. */
static int ring_check(struct weir_ring *ring, char *why, size_t why_size)
{
    const unsigned features = IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG | IORING_FEAT_CQE_SKIP;
    struct io_uring_probe *probe = io_uring_get_probe_ring(&ring->uring);
    bool able = probe && io_uring_opcode_supported(probe, IORING_OP_SEND_ZC) &&
                (ring->uring.features & features) == features;

    io_uring_free_probe(probe);
    if (able)
        return 0;
    snprintf(why, why_size, "the kernel's io_uring is too old (weir needs that of Linux 6.0)");
    return -ENOSYS;
}

int weir_ring_open(struct weir_ring *ring, char *why, size_t why_size)
{
    int error = ring_setup_any(ring);

    if (error) {
        ring_why(error, why, why_size);
        return error;
    }
    atomic_load_explicit(&rings_closed, memory_order_acquire); /* pairs with weir_ring_close */
    error = ring_check(ring, why, why_size);
    if (error) {
        io_uring_queue_exit(&ring->uring);
        return error;
    }
    ring->enter_flags = 0;
    if (ring->uring.features & IOU_FEAT_NO_IOWAIT)
        ring->enter_flags |= IOU_ENTER_NO_IOWAIT;
    if (io_uring_register_ring_fd(&ring->uring) == 1)
        ring->enter_flags |= IORING_ENTER_REGISTERED_RING;
    ring->enter_fd = ring->uring.enter_ring_fd;
    return 0;
}

void weir_ring_close(struct weir_ring *ring)
{
    struct io_uring_sync_cancel_reg all = {
        .fd = -1,
        .flags = IORING_ASYNC_CANCEL_ALL | IORING_ASYNC_CANCEL_ANY,
        .timeout = { .tv_sec = -1, .tv_nsec = -1 },
    };

    io_uring_register_sync_cancel(&ring->uring, &all);
    atomic_fetch_add_explicit(&rings_closed, 1, memory_order_release); /* with weir_ring_open */
    io_uring_queue_exit(&ring->uring);
}

/* --- buffers --- */

static size_t ring_bufs_bytes(const struct weir_ring *ring)
{
    return ring->bufs.count * sizeof(struct io_uring_buf);
}

static int ring_bufs_register(struct weir_ring *ring)
{
    struct io_uring_buf_reg reg = { .ring_entries = ring->bufs.count };
    void *map = mmap(NULL, ring_bufs_bytes(ring), PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int error;

    if (map == MAP_FAILED)
        return -ENOMEM;
    ring->buf_ring = map;
    reg.ring_addr = (uintptr_t)map;
    io_uring_buf_ring_init(ring->buf_ring);
    error = io_uring_register_buf_ring(&ring->uring, &reg, 0);
    if (error)
        munmap(map, ring_bufs_bytes(ring));
    return error;
}

int weir_ring_bufs_open(struct weir_ring *ring, uint32_t count, uint32_t size, bool touch,
                        void (*release)(struct weir_buf *buf), void *origin)
{
    int error = weir_bufs_init(&ring->bufs, count, size, touch, release, origin);

    if (error)
        return error;
    error = ring_bufs_register(ring);
    if (error) {
        weir_bufs_free(&ring->bufs);
        return error;
    }
    ring->bufs_out = count;
    for (uint32_t i = 0; i < count; i++)
        weir_ring_buf_put(ring, &ring->bufs.buf[i]);
    return 0;
}

void weir_ring_bufs_close(struct weir_ring *ring)
{
    io_uring_unregister_buf_ring(&ring->uring, 0);
    munmap(ring->buf_ring, ring_bufs_bytes(ring));
    weir_bufs_free(&ring->bufs);
}
