/* uring_ring.h - one io_uring and its provided buffers: setting up, entering, giving buffers back.
 *
 * Submission entries are written by whoever needs one and go to the kernel with the next
 * weir_ring_enter(), in order.  Only net/kernel/uring*.c include this. */
#ifndef WEIR_NET_KERNEL_URING_RING_H
#define WEIR_NET_KERNEL_URING_RING_H

#include <liburing.h>
#include "core/base.h"
#include "net/kernel/bufs.h"

struct weir_ring {
    struct io_uring uring;
    int enter_fd; /* the registered index, or the descriptor */
    unsigned enter_flags;
    bool min_wait; /* the kernel can wait for several, but not for long */
    struct io_uring_buf_ring *buf_ring;
    struct weir_bufs bufs;
    uint32_t bufs_out; /* taken out of the kernel's hands */
};

/* 0, or a negated errno with one clause in `why`. */
int weir_ring_open(struct weir_ring *ring, char *why, size_t why_size);

/* Ends everything under way, and waits for that: a port can be bound again at once. */
void weir_ring_close(struct weir_ring *ring);

/* Registers the buffers as group 0.  With `touch` their memory is there from the start. */
int weir_ring_bufs_open(struct weir_ring *ring, uint32_t count, uint32_t size, bool touch,
                        void (*release)(struct weir_buf *buf), void *origin);
void weir_ring_bufs_close(struct weir_ring *ring);

/* Submits what is queued, takes what is complete, and waits for at least `wait` completions or
 * until `span` nanoseconds are over (WEIR_NEVER: as long as it takes). */
void weir_ring_enter(struct weir_ring *ring, unsigned wait, weir_time span);

/* Makes room in a full submission queue. */
void weir_ring_submit(struct weir_ring *ring);

/* A cleared submission entry; there always is one. */
static inline struct io_uring_sqe *weir_ring_sqe(struct weir_ring *ring)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring);

    while (weir_unlikely(!sqe)) {
        weir_ring_submit(ring);
        sqe = io_uring_get_sqe(&ring->uring);
    }
    return sqe;
}

/* How many entries have not gone to the kernel. */
static inline unsigned weir_ring_unsubmitted(const struct weir_ring *ring)
{
    return ring->uring.sq.sqe_tail - *ring->uring.sq.khead;
}

/* Whether completions can be had without or with a brief enter. */
static inline bool weir_ring_completed(const struct weir_ring *ring)
{
    return io_uring_smp_load_acquire(ring->uring.cq.ktail) != *ring->uring.cq.khead;
}

static inline bool weir_ring_wants_enter(const struct weir_ring *ring)
{
    return IO_URING_READ_ONCE(*ring->uring.sq.kflags) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
}

static inline struct weir_buf *weir_ring_buf_take(struct weir_ring *ring, uint32_t id, uint32_t len)
{
    ring->bufs_out++;
    return weir_bufs_take(&ring->bufs, id, len);
}

static inline void weir_ring_buf_put(struct weir_ring *ring, const struct weir_buf *buf)
{
    struct weir_bufs *bufs = &ring->bufs;

    weir_assert(ring->bufs_out > 0);
    ring->bufs_out--;
    io_uring_buf_ring_add(ring->buf_ring, weir_bufs_at(bufs, buf->id), bufs->size,
                          (unsigned short)buf->id, (int)bufs->count - 1, 0);
    io_uring_buf_ring_advance(ring->buf_ring, 1);
}

#endif
