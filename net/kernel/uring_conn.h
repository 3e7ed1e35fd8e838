/* uring_conn.h - connections on io_uring, for the driver in uring.c. */
#ifndef WEIR_NET_KERNEL_URING_CONN_H
#define WEIR_NET_KERNEL_URING_CONN_H

#include "net/kernel/socket.h"
#include "net/kernel/uring_ring.h"

/* What a completion is about: the low bits of user_data; the rest is the address of its object. */
enum weir_uring_tag {
    TAG_RECV,
    TAG_POLL,
    TAG_ACCEPT,
    TAG_WAKE,
    TAG_FILE, /* a struct weir_file_io; NULL: nobody wants to know */
    TAG_WATCH_IN,
    TAG_WATCH_OUT,
    TAG_DRIVER_WATCH,
    TAG_MASK = 7,
};

enum { WEIR_URING_WATCHES = 4 };

/* A descriptor of the driver above that wakes the shard. */
struct weir_uring_watch {
    _Alignas(8) int fd;
    bool armed;
};

struct weir_uring {
    struct weir_kernel kernel;
    struct weir_ring ring;
    struct weir_link starved; /* receives that wait for a buffer */
    struct weir_uring_watch watch[WEIR_URING_WATCHES];
    unsigned watches;
};

struct weir_uring_conn {
    struct weir_kernel_conn base;
    uint32_t queued_bytes;
    uint16_t queued_bufs;
    struct weir_buf *first, *last; /* received, not asked for yet */
};

_Static_assert(sizeof(struct weir_uring_conn) <= 64, "an idle connection is one cache line");

static inline struct weir_uring *weir_uring_of(const struct weir_stack *stack)
{
    return weir_container_of(stack, struct weir_uring, kernel.stack);
}

static inline void weir_uring_name(struct io_uring_sqe *sqe, const void *object,
                                   enum weir_uring_tag tag)
{
    sqe->user_data = (uintptr_t)object | tag;
}

static inline void weir_uring_cancel(struct weir_uring *u, const void *object,
                                     enum weir_uring_tag tag)
{
    struct io_uring_sqe *sqe = weir_ring_sqe(&u->ring);

    io_uring_prep_cancel64(sqe, (uintptr_t)object | tag, 0);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    weir_uring_name(sqe, NULL, TAG_FILE);
}

struct weir_kernel_conn *weir_uring_conn_open(struct weir_kernel *kernel, int fd,
                                              sa_family_t family);
int weir_uring_conn_poll(struct weir_kernel_conn *conn);
void weir_uring_conn_close(struct weir_conn *conn, bool reset);
void weir_uring_recv(struct weir_io *io);
void weir_uring_send(struct weir_io *io);
void weir_uring_buf_release(struct weir_buf *buf);

/* Arms receives again for which there are buffers now; whether there were any. */
bool weir_uring_feed(struct weir_uring *u);

/* Completions of TAG_RECV and TAG_POLL. */
void weir_uring_recv_event(struct weir_uring *u, struct weir_uring_conn *conn, int result,
                           uint32_t flags);
void weir_uring_poll_event(struct weir_uring *u, struct weir_kernel_conn *conn);

/* uring_file.c */
void weir_uring_file_start(struct weir_kernel *kernel, struct weir_file_io *io);
void weir_uring_file_event(struct weir_file_io *io, int result);

#endif
