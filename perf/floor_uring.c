/* floor_uring.c - the barest io_uring loop that answers a fixed response: multishot accept and recv
 * into a provided-buffer ring, one enter per turn that submits and reaps, nothing parsed.
 *
 * The defaults are what measured fastest among the choices that suit any load; the options are the
 * other choices, so that the measurement can be repeated.  A yardstick, not a server: a peer that
 * does not read its answers is cut off, and queued sends may overtake each other, which does not
 * show as all answers are the same. */
#include "perf/floor.h"

#include <errno.h>
#include <liburing.h>
#include <linux/time_types.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { OP_ACCEPT, OP_RECV, OP_SEND, OP_POLL, OP_CLOSE };
enum { RX_MULTISHOT, RX_SELECT, RX_POLL };
enum { GROUP = 1, OP_BITS = 3 };
enum { SETUP_TASKRUN_FLAG = 1U << 9, SETUP_SINGLE_ISSUER = 1U << 12, SETUP_DEFER = 1U << 13 };

static struct io_uring ring;
static struct io_uring_buf_ring *buf_ring;
static char *rx_data;
static unsigned buf_tail; /* buffers given back in this turn */
static int listener;

static uint8_t matched[FLOOR_CONNS];

static long recv_mode = RX_MULTISHOT, poll_first = 0, direct_send = 1, skip_cqe = 1, fixed = 0;
static long registered = 1, spin_us = 0, wait_nr = 1, min_wait = 0, bufs = 1024, buf_size = 2048;
static long taskrun = 2;

static const struct floor_option options[] = {
    { "recv", "0 multishot, 1 single with buffer select, 2 multishot poll and recv(2)", &recv_mode,
      0, 2 },
    { "poll-first", "arm receives without trying them first", &poll_first, 0, 1 },
    { "direct-send", "send(2) instead of a queued send", &direct_send, 0, 1 },
    { "skip", "no completion for sends that succeed", &skip_cqe, 0, 1 },
    { "fixed", "direct descriptors, and so queued sends", &fixed, 0, 1 },
    { "registered", "registered ring descriptor", &registered, 0, 1 },
    { "spin", "us to poll before sleeping", &spin_us, 0, 1000 },
    { "wait-nr", "completions to sleep for, when the last turn had as many", &wait_nr, 1, 4096 },
    { "min-wait", "us after which one of them is enough", &min_wait, 0, 10000 },
    { "bufs", "receive buffers, a power of two", &bufs, 16, 32768 },
    { "size", "bytes of each", &buf_size, 64, FLOOR_RX_MAX },
    { "taskrun", "0 default, 1 cooperative, 2 deferred", &taskrun, 0, 2 },
};

static int64_t floor_now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* Hands over what is queued and takes what has completed, waiting for `want` completions, or for
 * one after min_wait. */
static void floor_enter(unsigned want)
{
    struct __kernel_timespec span = { .tv_sec = 3600 };
    struct io_uring_getevents_arg arg = { .pad = (uint32_t)min_wait, .ts = (uintptr_t)&span };
    unsigned submit = ring.sq.sqe_tail - ring.sq.sqe_head;
    unsigned flags = IORING_ENTER_GETEVENTS;
    bool extended = want > 1;
    long result;

    __atomic_store_n(ring.sq.ktail, ring.sq.sqe_tail, __ATOMIC_RELEASE);
    ring.sq.sqe_head = ring.sq.sqe_tail;
    if (registered)
        flags |= IORING_ENTER_REGISTERED_RING;
    if (extended)
        flags |= IORING_ENTER_EXT_ARG;
    result = syscall(__NR_io_uring_enter, ring.enter_ring_fd, submit, want, flags,
                     extended ? (void *)&arg : NULL, extended ? sizeof arg : 0);
    if (result < 0 && errno != EINTR && errno != ETIME)
        weir_floor_die("io_uring_enter", errno);
}

static struct io_uring_sqe *floor_sqe(unsigned op, int fd)
{
    struct io_uring_sqe *sqe;

    if (ring.sq.sqe_tail - __atomic_load_n(ring.sq.khead, __ATOMIC_ACQUIRE) == ring.sq.ring_entries)
        floor_enter(0);
    sqe = &ring.sq.sqes[ring.sq.sqe_tail++ & ring.sq.ring_mask];
    io_uring_prep_nop(sqe);
    sqe->user_data = ((uint64_t)fd << OP_BITS) | op;
    if (fixed && op != OP_ACCEPT)
        sqe->flags = IOSQE_FIXED_FILE;
    sqe->fd = fd;
    return sqe;
}

static void floor_arm_accept(void)
{
    struct io_uring_sqe *sqe = floor_sqe(OP_ACCEPT, listener);

    sqe->opcode = IORING_OP_ACCEPT;
    sqe->ioprio = IORING_ACCEPT_MULTISHOT;
    sqe->accept_flags = fixed ? 0 : SOCK_CLOEXEC;
    if (fixed)
        sqe->file_index = IORING_FILE_INDEX_ALLOC;
}

static void floor_arm_recv(int fd)
{
    struct io_uring_sqe *sqe = floor_sqe(recv_mode == RX_POLL ? OP_POLL : OP_RECV, fd);

    if (recv_mode == RX_POLL) {
        sqe->opcode = IORING_OP_POLL_ADD;
        sqe->poll32_events = 1 /* POLLIN */;
        sqe->len = IORING_POLL_ADD_MULTI;
        return;
    }
    sqe->opcode = IORING_OP_RECV;
    sqe->ioprio = poll_first ? IORING_RECVSEND_POLL_FIRST : 0;
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = GROUP;
    if (recv_mode == RX_MULTISHOT)
        sqe->ioprio |= IORING_RECV_MULTISHOT;
}

static void floor_close(int fd)
{
    if (fixed) {
        struct io_uring_sqe *sqe = floor_sqe(OP_CLOSE, 0);

        sqe->opcode = IORING_OP_CLOSE;
        sqe->flags = 0;
        sqe->file_index = (uint32_t)fd + 1;
    } else {
        close(fd);
    }
}

static void floor_answer(int fd, unsigned count)
{
    size_t len = (size_t)count * FLOOR_RESPONSE;
    struct io_uring_sqe *sqe;

    if (direct_send) {
        if (send(fd, weir_floor_answers, len, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)len)
            shutdown(fd, SHUT_RDWR);
        return;
    }
    sqe = floor_sqe(OP_SEND, fd);
    sqe->opcode = IORING_OP_SEND;
    sqe->addr = (uintptr_t)weir_floor_answers;
    sqe->len = (uint32_t)len;
    sqe->msg_flags = MSG_NOSIGNAL | MSG_WAITALL;
    if (skip_cqe)
        sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
}

static void floor_put_buffer(unsigned id)
{
    unsigned mask = (unsigned)bufs - 1;
    struct io_uring_buf *buf = &buf_ring->bufs[(buf_ring->tail + buf_tail) & mask];

    buf->addr = (uintptr_t)(rx_data + (size_t)id * (size_t)buf_size);
    buf->len = (uint32_t)buf_size;
    buf->bid = (uint16_t)id;
    buf_tail++;
}

static void floor_give_buffers(void)
{
    if (buf_tail > 0)
        __atomic_store_n(&buf_ring->tail, (uint16_t)(buf_ring->tail + buf_tail), __ATOMIC_RELEASE);
    buf_tail = 0;
}

/* A completed receive: answer it, give the buffer back, re-arm if the kernel has stopped. */
static void floor_received(int fd, const struct io_uring_cqe *cqe)
{
    bool armed = (cqe->flags & IORING_CQE_F_MORE) != 0;
    unsigned id = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
    unsigned count;

    if (cqe->res > 0) {
        count =
            floor_count(&matched[fd], rx_data + (size_t)id * (size_t)buf_size, (size_t)cqe->res);
        if (count > 0)
            floor_answer(fd, count);
    }
    if (cqe->flags & IORING_CQE_F_BUFFER)
        floor_put_buffer(id);
    if (cqe->res <= 0 && cqe->res != -ENOBUFS)
        floor_close(fd);
    else if (!armed)
        floor_arm_recv(fd);
}

/* The poll stays armed; at the end of the connection it is taken back. */
static void floor_polled(int fd, const struct io_uring_cqe *cqe)
{
    static char data[FLOOR_RX_MAX];
    ssize_t len = cqe->res < 0 ? 0 : recv(fd, data, (size_t)buf_size, MSG_DONTWAIT);
    unsigned count;

    if (cqe->res < 0 || (len < 0 && errno == EAGAIN))
        return;
    if (len <= 0) {
        if (cqe->flags & IORING_CQE_F_MORE) {
            struct io_uring_sqe *sqe = floor_sqe(OP_SEND, -1);

            sqe->opcode = IORING_OP_POLL_REMOVE;
            sqe->addr = cqe->user_data;
        }
        close(fd);
        return;
    }
    count = floor_count(&matched[fd], data, (size_t)len);
    if (count > 0)
        floor_answer(fd, count);
    if (!(cqe->flags & IORING_CQE_F_MORE))
        floor_arm_recv(fd);
}

static void floor_accepted(const struct io_uring_cqe *cqe)
{
    if (cqe->res >= 0) {
        matched[cqe->res] = 0;
        floor_arm_recv(cqe->res);
    }
    if (!(cqe->flags & IORING_CQE_F_MORE))
        floor_arm_accept();
}

static void floor_complete(const struct io_uring_cqe *cqe)
{
    int fd = (int)(cqe->user_data >> OP_BITS);

    switch (cqe->user_data & ((1U << OP_BITS) - 1)) {
    case OP_ACCEPT:
        floor_accepted(cqe);
        break;
    case OP_RECV:
        floor_received(fd, cqe);
        break;
    case OP_POLL:
        floor_polled(fd, cqe);
        break;
    default: /* a failed send shows again as a failed receive */
        break;
    }
}

static unsigned floor_reap(void)
{
    unsigned head = *ring.cq.khead;
    unsigned tail = __atomic_load_n(ring.cq.ktail, __ATOMIC_ACQUIRE);
    unsigned count = tail - head;

    for (; head != tail; head++)
        floor_complete(&ring.cq.cqes[head & ring.cq.ring_mask]);
    __atomic_store_n(ring.cq.khead, head, __ATOMIC_RELEASE);
    floor_give_buffers();
    return count;
}

static void floor_setup_buffers(void)
{
    size_t ring_bytes = (size_t)bufs * sizeof(struct io_uring_buf);
    size_t data_bytes = (size_t)bufs * (size_t)buf_size;
    struct io_uring_buf_reg reg = { .ring_entries = (uint32_t)bufs, .bgid = GROUP };
    int error;

    buf_ring = mmap(NULL, ring_bytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    rx_data = mmap(NULL, data_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (buf_ring == MAP_FAILED || rx_data == MAP_FAILED)
        weir_floor_die("mmap", errno);
    reg.ring_addr = (uintptr_t)buf_ring;
    error = io_uring_register_buf_ring(&ring, &reg, 0);
    if (error < 0)
        weir_floor_die("registering the buffers", -error);
    for (unsigned i = 0; i < (unsigned)bufs; i++)
        floor_put_buffer(i);
    floor_give_buffers();
}

static void floor_setup(void)
{
    struct io_uring_params params = { .flags = IORING_SETUP_CQSIZE, .cq_entries = 32768 };
    int error;

    if (taskrun == 2)
        params.flags |= SETUP_SINGLE_ISSUER | SETUP_DEFER | SETUP_TASKRUN_FLAG;
    else if (taskrun == 1)
        params.flags |= IORING_SETUP_COOP_TASKRUN | SETUP_TASKRUN_FLAG;
    error = io_uring_queue_init_params(4096, &ring, &params);
    if (error < 0)
        weir_floor_die("io_uring_queue_init", -error);
    for (unsigned i = 0; i < ring.sq.ring_entries; i++)
        ring.sq.array[i] = i;
    if (registered && io_uring_register_ring_fd(&ring) != 1)
        weir_floor_die("registering the ring", EINVAL);
    if (fixed && (error = io_uring_register_files_sparse(&ring, 20000)) < 0)
        weir_floor_die("registering files", -error);
    floor_setup_buffers();
}

static bool floor_pending(void)
{
    return *ring.cq.khead != __atomic_load_n(ring.cq.ktail, __ATOMIC_ACQUIRE) ||
           (__atomic_load_n(ring.sq.kflags, __ATOMIC_RELAXED) & IORING_SQ_TASKRUN);
}

/* Submits, then looks for completions for a while before it sleeps for them. */
static void floor_turn_spinning(void)
{
    int64_t until;

    if (ring.sq.sqe_tail != ring.sq.sqe_head || floor_pending())
        floor_enter(0);
    if (floor_reap() > 0)
        return;
    until = floor_now_us() + spin_us;
    while (!floor_pending())
        if (floor_now_us() >= until) {
            floor_enter(1);
            floor_reap();
            return;
        }
}

int main(int argc, char **argv)
{
    unsigned last = 0;

    weir_floor_options(argc, argv, "The barest io_uring loop that answers a fixed response.",
                       options, sizeof options / sizeof options[0]);
    if (fixed && recv_mode == RX_POLL) {
        fprintf(stderr, "floor: --recv 2 takes descriptors: not with --fixed\n");
        return 2;
    }
    if (fixed)
        direct_send = 0;
    listener = weir_floor_listen(false);
    floor_setup();
    floor_arm_accept();
    for (;;) {
        if (spin_us > 0) {
            floor_turn_spinning();
            continue;
        }
        floor_enter(last >= (unsigned)wait_nr ? (unsigned)wait_nr : 1);
        last = floor_reap();
    }
}
