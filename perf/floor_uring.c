/* floor_uring.c - the barest io_uring loop that answers a fixed response, or sends back what it
 * gets: multishot accept and recv into a provided-buffer ring, one enter per turn that submits and
 * reaps, nothing parsed.
 *
 * The defaults are what measured fastest among the choices that suit any load; the options are the
 * other choices, so that the measurement can be repeated.  A send is tried at once; what the socket
 * does not take is queued and waits for its turn.  With --direct-send 0 queued sends may overtake
 * each other, which does not show as all answers are the same. */
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

/* What direct sends have left over.  Of a connection one queued send is on its way at a time. */
enum { BUFS_MAX = 32768, NO_BUFFER = -1 };
static uint64_t left[FLOOR_CONNS]; /* bytes still to be sent; > 0: one is on its way */
static bool ended[FLOOR_CONNS];    /* to be closed when they are sent */
static int32_t echo_tail[FLOOR_CONNS], echo_head[FLOOR_CONNS]; /* echo: the buffers they lie in */
static int32_t echo_next[BUFS_MAX];
static uint32_t echo_len[BUFS_MAX], echo_at[BUFS_MAX];

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
    { "bufs", "receive buffers, a power of two", &bufs, 16, BUFS_MAX },
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

static void floor_end(int fd)
{
    if (left[fd] > 0)
        ended[fd] = true;
    else
        floor_close(fd);
}

/* --- what a direct send has left over --- */

static void floor_queue_rest(int fd)
{
    struct io_uring_sqe *sqe = floor_sqe(OP_SEND, fd);
    int32_t id = echo_head[fd];
    const char *from;
    size_t len;

    if (weir_floor.echo) {
        from = rx_data + (size_t)id * (size_t)buf_size + echo_at[id];
        len = echo_len[id] - echo_at[id];
    } else {
        len = floor_rest(left[fd], &from);
    }
    sqe->opcode = IORING_OP_SEND;
    sqe->addr = (uintptr_t)from;
    sqe->len = (uint32_t)len;
    sqe->msg_flags = MSG_NOSIGNAL | MSG_WAITALL;
}

/* Bytes of a kept buffer have been sent: it is given back at its end. */
static void floor_echo_sent(int fd, uint32_t bytes)
{
    int32_t id = echo_head[fd];

    echo_at[id] += bytes;
    if (echo_at[id] < echo_len[id])
        return;
    echo_head[fd] = echo_next[id];
    floor_put_buffer((unsigned)id);
}

static void floor_give_up(int fd)
{
    while (weir_floor.echo && echo_head[fd] != NO_BUFFER)
        floor_echo_sent(fd, echo_len[echo_head[fd]]);
    left[fd] = 0;
    if (ended[fd] || weir_floor.closes)
        floor_close(fd);
    else
        shutdown(fd, SHUT_RDWR); /* shows again as a receive that ends */
}

static void floor_rest_sent(int fd, int result)
{
    if (left[fd] == 0)
        return; /* of --direct-send 0; a failure shows again as a failed receive */
    if (result <= 0) {
        floor_give_up(fd);
        return;
    }
    if (weir_floor.echo)
        floor_echo_sent(fd, (uint32_t)result);
    left[fd] -= (uint64_t)result;
    if (left[fd] > 0)
        floor_queue_rest(fd);
    else if (ended[fd] || weir_floor.closes)
        floor_close(fd);
}

/* --- answers --- */

static void floor_answer_queued(int fd, size_t len)
{
    struct io_uring_sqe *sqe = floor_sqe(OP_SEND, fd);

    sqe->opcode = IORING_OP_SEND;
    sqe->addr = (uintptr_t)weir_floor.answers;
    sqe->len = (uint32_t)len;
    sqe->msg_flags = MSG_NOSIGNAL | MSG_WAITALL;
    if (skip_cqe)
        sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
}

/* What of a direct send has gone; -1: the connection is of no use any more. */
static ssize_t floor_send(int fd, const char *from, size_t len)
{
    ssize_t sent = send(fd, from, len, MSG_NOSIGNAL | MSG_DONTWAIT);

    if (sent >= 0 || errno == EAGAIN)
        return sent >= 0 ? sent : 0;
    shutdown(fd, SHUT_RDWR);
    return -1;
}

static void floor_answer(int fd, unsigned count)
{
    uint64_t len = (uint64_t)count * weir_floor.response;
    ssize_t sent;

    if (!direct_send) {
        floor_answer_queued(fd, (size_t)len);
        return;
    }
    if (left[fd] > 0) {
        left[fd] += len;
        return;
    }
    sent = floor_send(fd, weir_floor.answers,
                      len < weir_floor.answers_len ? (size_t)len : weir_floor.answers_len);
    if (sent < 0 || (uint64_t)sent == len)
        return;
    left[fd] = len - (uint64_t)sent;
    floor_queue_rest(fd);
}

/* Sends a buffer back; whether it is kept, to be given back later. */
static bool floor_echo(int fd, unsigned id, size_t len)
{
    bool waits = left[fd] > 0;
    ssize_t sent = waits ? 0 : floor_send(fd, rx_data + (size_t)id * (size_t)buf_size, len);

    if (sent < 0 || (size_t)sent == len)
        return false;
    echo_at[id] = (uint32_t)sent;
    echo_len[id] = (uint32_t)len;
    echo_next[id] = NO_BUFFER;
    left[fd] += len - (size_t)sent;
    if (waits) {
        echo_next[echo_tail[fd]] = (int32_t)id;
        echo_tail[fd] = (int32_t)id;
        return true;
    }
    echo_head[fd] = echo_tail[fd] = (int32_t)id;
    floor_queue_rest(fd);
    return true;
}

/* Bytes have come: whether their buffer is kept. */
static bool floor_take(int fd, unsigned id, size_t len)
{
    unsigned count;

    if (weir_floor.echo)
        return floor_echo(fd, id, len);
    count = floor_count(&matched[fd], rx_data + (size_t)id * (size_t)buf_size, len);
    if (count == 0)
        return false;
    floor_answer(fd, count);
    if (weir_floor.closes)
        ended[fd] = true;
    return false;
}

/* A completed receive: answer it, give the buffer back, re-arm if the kernel has stopped. */
static void floor_received(int fd, const struct io_uring_cqe *cqe)
{
    bool armed = (cqe->flags & IORING_CQE_F_MORE) != 0;
    unsigned id = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
    bool kept = cqe->res > 0 && floor_take(fd, id, (size_t)cqe->res);

    if ((cqe->flags & IORING_CQE_F_BUFFER) && !kept)
        floor_put_buffer(id);
    if ((cqe->res <= 0 && cqe->res != -ENOBUFS) || ended[fd])
        floor_end(fd);
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
            struct io_uring_sqe *sqe = floor_sqe(OP_CLOSE, -1);

            sqe->opcode = IORING_OP_POLL_REMOVE;
            sqe->addr = cqe->user_data;
        }
        floor_end(fd);
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
    if (cqe->res >= FLOOR_CONNS)
        weir_floor_die("accept", EMFILE);
    if (cqe->res >= 0) {
        matched[cqe->res] = 0;
        ended[cqe->res] = false;
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
    case OP_SEND:
        floor_rest_sent(fd, cqe->res);
        break;
    default:
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

/* The choices that the rest of the command line leaves. */
static const char *floor_choose(void)
{
    bool plain =
        !weir_floor.echo && !weir_floor.closes && weir_floor.answers_len > weir_floor.response;

    if (fixed && recv_mode == RX_POLL)
        return "--recv 2 takes descriptors: not with --fixed";
    if (!plain && (fixed || !direct_send || recv_mode == RX_POLL))
        return "--echo, --close and long bodies need --direct-send 1, and neither --fixed nor "
               "--recv 2";
    if (fixed)
        direct_send = 0;
    /* A receive that is armed would hold a closed connection open. */
    if (weir_floor.closes)
        recv_mode = RX_SELECT;
    return NULL;
}

int main(int argc, char **argv)
{
    const char *wrong;
    unsigned last = 0;

    weir_floor_options(argc, argv, "The barest io_uring loop that answers a fixed response.",
                       options, sizeof options / sizeof options[0]);
    if (!weir_floor_takes(buf_size))
        return 2;
    listener = weir_floor_listen(false);
    wrong = floor_choose();
    if (wrong != NULL) {
        fprintf(stderr, "floor: %s\n", wrong);
        return 2;
    }
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
