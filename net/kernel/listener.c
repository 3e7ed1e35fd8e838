/* listener.c - accepting: what arrives, who takes it, and when to pause.
 *
 * An engine only reports descriptors and errors.  Accepting is armed while there is room: in the
 * queue of accepted connections, under the shard's maximum, and in the table of descriptors.  When
 * the last is full, one connection per event is accepted on a reserve descriptor and closed, so
 * that the peer learns of it; then accepting rests for 10 ms or until something is closed.
 *
 * Stopping loses nobody: new connections are turned away first (a socket filter drops the SYN; a
 * Unix socket is shut down), then the backlog is emptied, and only then the socket is closed.
 *
 * Invariant: while somebody waits in `waiters`, nothing is queued that could be handed out. */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <stdlib.h>
#include <unistd.h>
#include "net/kernel/socket.h"

/* How long a handshake that has begun may take to end, when stopping. */
#define LISTENER_LINGER WEIR_MS(20)

static struct weir_kernel_listener *listener_of(const struct weir_listener *listener)
{
    return weir_container_of(listener, struct weir_kernel_listener, listener);
}

static struct weir_shard *listener_shard(const struct weir_kernel_listener *l)
{
    return l->listener.stack->shard;
}

void weir_listener_unref(struct weir_kernel_listener *l)
{
    weir_assert(l->refs > 0);
    if (--l->refs > 0)
        return;
    weir_assert(l->fd < 0 && l->count == 0 && weir_list_empty(&l->waiters));
    weir_listener_kernel(l)->listeners_live--;
    weir_share_unref(l->share);
    free(l->accepted);
    free(l);
}

/* --- the queue of accepted connections --- */

static bool listener_grow(struct weir_kernel_listener *l)
{
    uint32_t size = l->size ? l->size * 2 : 16;
    int *accepted = malloc(size * sizeof *accepted);

    if (!accepted)
        return false;
    for (uint32_t i = 0; i < l->count; i++)
        accepted[i] = l->accepted[(l->head + i) & (l->size - 1)];
    free(l->accepted);
    l->accepted = accepted;
    l->size = size;
    l->head = 0;
    return true;
}

/* The accepted one that has waited longest. */
static int listener_pop(struct weir_kernel_listener *l)
{
    int fd = l->accepted[l->head & (l->size - 1)];

    l->head++;
    l->count--;
    weir_handoff_taken(l);
    return fd;
}

static void listener_shed(struct weir_kernel_listener *l, int fd)
{
    listener_shard(l)->stats.accepts_shed++;
    weir_kernel_fd_gone(weir_listener_kernel(l), fd);
}

/* --- whether to accept --- */

static bool listener_has_room(struct weir_kernel_listener *l)
{
    struct weir_kernel *kernel = weir_listener_kernel(l);
    uint32_t load = atomic_load_explicit(&listener_shard(l)->load, memory_order_relaxed);

    if (l->share->least)
        return weir_handoff_room(l);
    if (load >= kernel->conns_max)
        kernel->want_room = true;
    return load < kernel->conns_max && l->count < l->accepted_max;
}

static bool listener_wants(struct weir_kernel_listener *l)
{
    return l->fd >= 0 && !l->closed && !l->stopping && !weir_listener_kernel(l)->paused &&
           listener_has_room(l);
}

static void listener_update(struct weir_kernel_listener *l)
{
    const struct weir_kernel_ops *ops = weir_listener_kernel(l)->ops;
    bool wants = listener_wants(l);

    if (wants && !l->armed) {
        l->armed = true;
        l->refs++;
        ops->accept_arm(l);
    } else if (!wants && l->armed && !l->disarming) {
        l->disarming = true;
        ops->accept_disarm(l);
    }
}

/* --- handing out --- */

/* Makes a connection of the next one in the queue; NULL: it could not be had. */
static struct weir_conn *listener_take(struct weir_kernel_listener *l)
{
    struct weir_kernel *kernel = weir_listener_kernel(l);
    int fd = listener_pop(l);
    struct weir_kernel_conn *conn = kernel->ops->conn_open(kernel, fd, l->share->addr.sa.sa_family);

    if (!conn) {
        listener_shed(l, fd);
        return NULL;
    }
    kernel->stack.shard->stats.conns_opened++;
    return &conn->conn;
}

static bool listener_can_take(struct weir_kernel_listener *l)
{
    struct weir_kernel *kernel = weir_listener_kernel(l);

    if (l->count == 0)
        return false;
    if (weir_kernel_room(kernel))
        return true;
    kernel->want_room = true;
    return false;
}

static void listener_complete(struct weir_kernel_listener *l, struct weir_conn *conn,
                              int64_t result)
{
    struct weir_io *io = weir_container_of(weir_list_pop(&l->waiters), struct weir_io, link);

    io->conn = conn;
    weir_future_set(&io->future, result);
}

/* Whoever is woken may accept again or close the listener from within. */
static void listener_give(struct weir_kernel_listener *l)
{
    if (l->giving)
        return;
    l->giving = true;
    while (!weir_list_empty(&l->waiters)) {
        if (listener_can_take(l)) {
            struct weir_conn *conn = listener_take(l);

            if (conn)
                listener_complete(l, conn, 0);
        } else if (l->ended && l->count == 0) {
            listener_complete(l, NULL, -ESHUTDOWN);
        } else {
            break;
        }
    }
    l->giving = false;
}

void weir_listener_look(struct weir_kernel_listener *l)
{
    l->refs++;
    listener_give(l);
    listener_update(l);
    weir_listener_unref(l);
}

void weir_listener_look_all(struct weir_kernel *kernel)
{
    uint32_t count = 0;
    struct weir_link *link;

    for (link = kernel->listeners.next; link != &kernel->listeners; link = link->next)
        count++;
    /* One at a time to the end: they may close each other, and must be found in the list. */
    while (count-- > 0 && (link = weir_list_pop(&kernel->listeners)) != NULL) {
        weir_list_push(&kernel->listeners, link);
        weir_listener_look(weir_container_of(link, struct weir_kernel_listener, link));
    }
}

static void accept_cancel(struct weir_future *future)
{
    weir_list_del(&weir_container_of(future, struct weir_io, future)->link);
    weir_future_set(future, -ECANCELED);
}

void weir_kernel_accept(struct weir_io *io)
{
    struct weir_kernel_listener *l = listener_of(io->listener);

    weir_future_init(&io->future, accept_cancel);
    weir_list_push(&l->waiters, &io->link);
    weir_listener_look(l);
}

/* --- what the engine reports --- */

void weir_listener_queue(struct weir_kernel_listener *l, int fd)
{
    if (l->count == l->size && !listener_grow(l)) {
        weir_handoff_taken(l);
        listener_shed(l, fd);
        return;
    }
    l->accepted[(l->head + l->count++) & (l->size - 1)] = fd;
    weir_listener_look(l);
}

void weir_listener_arrived(struct weir_kernel_listener *l, int fd)
{
    if (l->share->least) {
        weir_handoff(l, fd);
    } else {
        weir_kernel_load(listener_shard(l), 1);
        if (l->closed)
            weir_kernel_fd_gone(weir_listener_kernel(l), fd);
        else
            weir_listener_queue(l, fd);
    }
}

/* Accepts one without waiting, whatever mode the engine keeps the socket in. */
static int listener_accept_now(struct weir_kernel_listener *l)
{
    int flags = fcntl(l->fd, F_GETFL), fd;

    fcntl(l->fd, F_SETFL, flags | O_NONBLOCK);
    do
        fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC);
    while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
    if (fd < 0)
        fd = -errno;
    fcntl(l->fd, F_SETFL, flags);
    return fd;
}

/* Accepts one on the reserve descriptor and closes it; false: there was none. */
static bool listener_shed_one(struct weir_kernel_listener *l)
{
    struct weir_kernel *kernel = weir_listener_kernel(l);
    int fd;

    if (kernel->reserve_fd >= 0)
        close(kernel->reserve_fd);
    fd = listener_accept_now(l);
    if (fd >= 0) {
        close(fd);
        kernel->stack.shard->stats.accepts_shed++;
    }
    kernel->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return fd >= 0;
}

void weir_listener_failed(struct weir_kernel_listener *l, int error)
{
    struct weir_kernel *kernel = weir_listener_kernel(l);

    if (error == -ECONNABORTED || error == -EINTR || error == -EPROTO)
        return; /* that one connection's bad luck */
    if ((error == -EMFILE || error == -ENFILE) && l->fd >= 0 && !l->closed)
        listener_shed_one(l);
    kernel->paused = true;
    weir_kernel_rest(kernel);
}

/* --- stopping and closing --- */

/* From here on connects are turned away, and what has been established stays in the backlog. */
static void listener_refuse(struct weir_kernel_listener *l)
{
    /* The TCP header's flags are its byte 13; SYN without ACK goes, all else passes. */
    struct sock_filter no_syn[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 13),          BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0x12),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x02, 0, 1), BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
    };
    struct sock_fprog program = { .len = WEIR_COUNT(no_syn), .filter = no_syn };

    if (l->share->addr.sa.sa_family == AF_UNIX) {
        weir_share_unlink(l->share);
        shutdown(l->fd, SHUT_RDWR);
    } else {
        setsockopt(l->fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
    }
}

static void listener_close_fd(struct weir_kernel_listener *l)
{
    weir_listener_kernel(l)->ops->accept_forget(l);
    close(l->fd);
    l->fd = -1;
}

void weir_listener_end(struct weir_kernel_listener *l)
{
    l->ended = true;
    weir_listener_look(l);
}

/* Stopping, step 4: all that was in the backlog has found its shard. */
static void listener_drained(struct weir_kernel_listener *l)
{
    if (l->share->least)
        weir_handoff_end(l);
    weir_listener_end(l);
}

static void listener_take_backlog(struct weir_kernel_listener *l)
{
    bool more = true;

    while (more && !l->closed) {
        int fd = listener_accept_now(l);

        if (fd >= 0)
            weir_listener_arrived(l, fd);
        else
            more = (fd == -EMFILE || fd == -ENFILE) && listener_shed_one(l);
    }
}

/* Stopping, step 3: whoever shook hands when connects began to be turned away is here by now. */
static void listener_finish(struct weir_kernel_listener *l)
{
    listener_take_backlog(l);
    if (l->closed)
        return;
    listener_close_fd(l);
    if (l->handoffs == 0)
        listener_drained(l);
}

static void listener_lingered(struct weir_alarm *alarm)
{
    struct weir_kernel_listener *l = weir_container_of(alarm, struct weir_kernel_listener, linger);

    l->refs++;
    listener_finish(l);
    weir_listener_unref(l);
}

/* Stopping, step 2: nobody else takes from the backlog now. */
static void listener_drain(struct weir_kernel_listener *l)
{
    if (l->share->addr.sa.sa_family == AF_UNIX) {
        listener_finish(l);
        return;
    }
    listener_take_backlog(l);
    if (!l->closed)
        weir_alarm_set(&l->linger, weir_after(LISTENER_LINGER));
}

/* Stopping, step 1. */
static void listener_stop(struct weir_kernel_listener *l)
{
    l->stopping = true;
    if (l->fd < 0)
        return; /* the shard that accepts for us will tell */
    listener_refuse(l);
    listener_update(l);
    if (l->fd >= 0 && !l->armed)
        listener_drain(l);
}

static void listener_stop_asked(struct weir_future *future)
{
    struct weir_kernel_listener *l =
        weir_container_of(future, struct weir_kernel_listener, stop.future);

    if (future->result == 0 && !l->closed)
        listener_stop(l);
    weir_listener_unref(l);
}

/* Closed by its owner: the socket goes when nothing that runs needs it any more. */
static void listener_part(struct weir_kernel_listener *l)
{
    int fd = l->fd;

    if (l->armed || l->handoffs > 0 || fd < 0)
        return;
    if (!l->share->least) {
        listener_close_fd(l);
        return;
    }
    weir_listener_kernel(l)->ops->accept_forget(l);
    l->fd = -1;
    weir_handoff_listener(l, fd);
}

void weir_listener_disarmed(struct weir_kernel_listener *l)
{
    l->armed = l->disarming = false;
    if (l->closed)
        listener_part(l);
    else if (l->stopping && l->fd >= 0)
        listener_drain(l);
    else
        weir_listener_look(l);
    weir_listener_unref(l);
}

void weir_listener_handed(struct weir_kernel_listener *l)
{
    if (l->closed)
        listener_part(l);
    else if (l->stopping && l->fd < 0 && l->handoffs == 0)
        listener_drained(l);
    else
        weir_listener_look(l);
}

void weir_listener_adopt(struct weir_kernel_listener *l, int fd)
{
    l->fd = fd;
    l->refs++;
    if (l->stopping)
        listener_stop(l);
    else
        weir_listener_look(l);
    weir_listener_unref(l);
}

void weir_kernel_listener_close(struct weir_listener *listener)
{
    struct weir_kernel_listener *l = listener_of(listener);
    struct weir_link *link;

    weir_assert(!l->closed);
    l->closed = true;
    weir_share_out(l->share, listener_shard(l));
    weir_list_del(&l->link);
    while ((link = weir_list_pop(&l->waiters)) != NULL)
        weir_kernel_later(weir_listener_kernel(l), weir_container_of(link, struct weir_io, link),
                          -ESHUTDOWN);
    while (l->count > 0)
        weir_kernel_fd_gone(weir_listener_kernel(l), listener_pop(l));
    weir_future_cancel(&l->stop.future);
    weir_alarm_clear(&l->linger);
    listener_update(l);
    if (l->armed && !l->share->least)
        shutdown(l->fd, SHUT_RDWR); /* the engine still holds it; it takes no more connections */
    listener_part(l);
    weir_listener_unref(l);
}

/* --- opening --- */

static void listener_open(struct weir_kernel_listener *l, struct weir_kernel *kernel)
{
    weir_list_init(&l->waiters);
    weir_list_init(&l->ready);
    weir_alarm_init(&l->linger, listener_lingered);
    weir_list_push(&kernel->listeners, &l->link);
    kernel->listeners_live++;
    l->refs = 2; /* the user's and the stop wait's */
    l->ended = atomic_load(&l->share->ended);
    weir_stop_wait_start(&l->stop);
    if (!weir_future_on_done(&l->stop.future, listener_stop_asked))
        listener_stop_asked(&l->stop.future);
    weir_listener_look(l);
}

int weir_kernel_listen(struct weir_stack *stack, struct weir_listener **listener,
                       const struct weir_addr *addr, const struct weir_listen_config *config)
{
    struct weir_kernel *kernel = weir_kernel_of(stack);
    struct weir_kernel_listener *l = calloc(1, sizeof *l);
    int error;

    if (!l)
        return -ENOMEM;
    l->listener.stack = stack;
    l->accepted_max = config->accepted_max;
    error = weir_share_join(&l->share, stack->shard, addr, config, kernel->balance, &l->fd);
    if (error) {
        free(l);
        return error;
    }
    listener_open(l, kernel);
    *listener = &l->listener;
    return 0;
}

void weir_kernel_listener_addr(const struct weir_listener *listener, struct weir_addr *addr)
{
    *addr = listener_of(listener)->share->addr;
}
