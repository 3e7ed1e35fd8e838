/* epoll.c - the stack on epoll: for machines where io_uring is forbidden.
 *
 * Edge-triggered: a connection is registered once, for everything, when first it has to wait, and
 * what the kernel has told is remembered in its flags.  One that is answered and closed without
 * having waited is never registered; accepted ones have mostly spoken already (defer_accept), so
 * the first receive is tried at once.  A receive that got less than it asked for has emptied the
 * socket, so the flag goes down without a system call that would only say EAGAIN; but not once the
 * kernel has told of an end, an error or urgent data, after which no further edge may come, and not
 * with Unix-domain sockets.
 *
 * Invariant: while somebody waits on a connection without READABLE (WRITABLE), it is WATCHED, and
 * an event comes before there is something to receive (room to send).  Memory of closed connections
 * is kept until the batch of events that may still name them is over. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include "net/kernel/bufs.h"
#include "net/kernel/socket.h"

enum {
    READABLE = WEIR_KERNEL_ENGINE,
    WRITABLE = WEIR_KERNEL_ENGINE << 1,
    KEEP_READABLE = WEIR_KERNEL_ENGINE << 2, /* a short receive does not mean empty any more */
    WATCHED = WEIR_KERNEL_ENGINE << 3,       /* in epoll's set */
};

/* The last two tell by an address in an event what it is of; a connection's is as it is. */
enum { EPOLL_BATCH = 256, EPOLL_ACCEPTS = 32, EPOLL_LISTENER = 1, EPOLL_WATCH = 2 };

struct epoll {
    struct weir_kernel kernel;
    int fd;
    bool millis;                /* the kernel has no epoll_pwait2 */
    int count;                  /* of events */
    struct weir_link accepting; /* listeners with something to accept */
    struct weir_link starved;   /* receives that wait for a buffer */
    struct weir_kernel_conn *dead;
    struct weir_buf *free;
    struct weir_bufs bufs;
    uint32_t bufs_out; /* not in `free` */
    struct epoll_event events[EPOLL_BATCH];
};

static struct epoll *epoll_of(struct weir_kernel *kernel)
{
    return weir_container_of(kernel, struct epoll, kernel);
}

static struct epoll *epoll_of_conn(const struct weir_kernel_conn *c)
{
    return epoll_of(weir_kernel_of(c->conn.stack));
}

/* --- buffers --- */

static void epoll_buf_release(struct weir_buf *buf)
{
    struct epoll *e = buf->origin;

    weir_shard_check(e->kernel.stack.shard, "weir_buf_free");
    e->kernel.stack.shard->stats.bufs--;
    buf->next = e->free;
    e->free = buf;
    e->bufs_out--;
}

static struct weir_buf *epoll_buf_take(struct epoll *e)
{
    struct weir_buf *buf = e->free;

    if (!buf)
        return NULL;
    e->free = buf->next;
    e->bufs_out++;
    e->kernel.stack.shard->stats.bufs++;
    return weir_bufs_take(&e->bufs, buf->id, 0);
}

/* What is kept of one connection cannot starve the others: when few are left, it is copied. */
static struct weir_buf *epoll_buf_keep(struct epoll *e, struct weir_buf *buf)
{
    if (weir_likely(e->bufs_out <= e->bufs.count - e->bufs.count / 4))
        return buf;
    return weir_kernel_buf_move_out(&e->kernel.stack, buf);
}

/* --- connections --- */

/* A Unix-domain receive ends at each message that carried descriptors, whatever lies behind it. */
static struct weir_kernel_conn *epoll_conn_open(struct weir_kernel *kernel, int fd,
                                                sa_family_t family)
{
    struct weir_kernel_conn *c = weir_pool_get(&kernel->conns);

    if (!c)
        return NULL;
    weir_kernel_conn_init(c, kernel, fd);
    c->flags = READABLE | WRITABLE;
    if (family == AF_UNIX)
        c->flags |= KEEP_READABLE;
    return c;
}

/* Somebody is going to wait: from here on events come by themselves, and first of what there is.  A
 * negated errno (-ENOMEM, -ENOSPC: max_user_watches) if they cannot. */
static int epoll_conn_watch(struct weir_kernel_conn *c)
{
    struct epoll_event event = {
        .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET,
        .data.ptr = c,
    };

    if (weir_likely(c->flags & WATCHED))
        return 0;
    if (epoll_ctl(epoll_of_conn(c)->fd, EPOLL_CTL_ADD, c->fd, &event) < 0)
        return -errno;
    c->flags |= WATCHED;
    return 0;
}

static int epoll_conn_wait(struct weir_kernel_conn *c)
{
    c->flags &= (uint16_t) ~(READABLE | WRITABLE);
    return epoll_conn_watch(c);
}

static void epoll_conn_close(struct weir_conn *conn, bool reset)
{
    struct weir_kernel_conn *c = weir_kernel_conn_of(conn);
    struct epoll *e = epoll_of_conn(c);
    struct weir_io *rx = conn->rx, *tx = conn->tx;

    weir_assert(!(c->flags & WEIR_KERNEL_CLOSED));
    if (reset)
        weir_kernel_linger_none(c->fd);
    /* A close alone leaves it in the set while a child process has it open as well. */
    if (c->flags & WATCHED)
        epoll_ctl(e->fd, EPOLL_CTL_DEL, c->fd, NULL);
    c->flags = WEIR_KERNEL_CLOSED;
    close(c->fd);
    if (rx) {
        weir_list_del(&rx->link);
        weir_kernel_later(&e->kernel, rx, -ECANCELED);
    }
    if (tx) {
        weir_buf_free(tx->buf);
        weir_kernel_later(&e->kernel, tx, -ECANCELED);
    }
    weir_kernel_conn_gone(&e->kernel);
    conn->rx = (struct weir_io *)(void *)e->dead; /* a dead one's link */
    e->dead = c;
}

static void epoll_bury(struct epoll *e)
{
    while (e->dead) {
        struct weir_kernel_conn *c = e->dead;

        e->dead = (struct weir_kernel_conn *)(void *)c->conn.rx;
        weir_pool_put(&e->kernel.conns, c);
    }
}

/* --- receiving --- */

static void epoll_recv_cancel(struct weir_future *future)
{
    struct weir_io *io = weir_container_of(future, struct weir_io, future);

    weir_list_del(&io->link);
    weir_kernel_recv_done(io, -ECANCELED);
}

static ssize_t epoll_recv_into(struct weir_kernel_conn *c, void *data, size_t len)
{
    ssize_t n;

    do
        n = weir_kernel_recv(c->fd, data, len);
    while (n < 0 && errno == EINTR);
    if (n > 0 && (size_t)n == len)
        return n; /* there may be more */
    if (n > 0 && (c->flags & KEEP_READABLE))
        return n;
    if (n > 0 || (n < 0 && errno == EAGAIN)) {
        c->flags &= (uint16_t)~READABLE;
        return n > 0 ? n : -EAGAIN;
    }
    if (n < 0)
        c->error = -errno;
    c->flags |= WEIR_KERNEL_ENDED;
    return c->error;
}

/* Into a buffer that is taken only now that there is something to receive. */
static ssize_t epoll_recv_buf(struct weir_kernel_conn *c, struct weir_io *io)
{
    struct epoll *e = epoll_of_conn(c);
    struct weir_buf *buf = epoll_buf_take(e);
    ssize_t n;

    if (!buf) {
        weir_list_push(&e->starved, &io->link);
        return -EAGAIN;
    }
    n = epoll_recv_into(c, buf->data, e->bufs.size);
    if (n > 0) {
        buf->len = (uint32_t)n;
        io->buf = epoll_buf_keep(e, buf);
    } else {
        weir_buf_free(buf);
    }
    return n;
}

static void epoll_recv_try(struct weir_kernel_conn *c, struct weir_io *io)
{
    ssize_t n = -EAGAIN;

    if (c->flags & READABLE)
        n = io->data ? epoll_recv_into(c, io->data, io->len) : epoll_recv_buf(c, io);
    if (n == -EAGAIN && !(c->flags & READABLE) && epoll_conn_watch(c) < 0)
        n = -ENOMEM;
    if (n != -EAGAIN)
        weir_kernel_recv_done(io, n);
}

static void epoll_recv(struct weir_io *io)
{
    struct weir_kernel_conn *c = weir_kernel_conn_of(io->conn);

    weir_future_init(&io->future, epoll_recv_cancel);
    weir_list_init(&io->link);
    if (weir_unlikely(c->flags & WEIR_KERNEL_ENDED))
        weir_kernel_recv_done(io, c->error);
    else
        epoll_recv_try(c, io);
}

/* Buffers have come back: those who wait for one try again, in order. */
static bool epoll_feed(struct epoll *e)
{
    bool fed = false;

    while (e->free && !weir_list_empty(&e->starved)) {
        struct weir_io *io = weir_container_of(weir_list_pop(&e->starved), struct weir_io, link);

        epoll_recv_try(weir_kernel_conn_of(io->conn), io);
        fed = true;
    }
    return fed;
}

/* --- sending --- */

static void epoll_send_cancel(struct weir_future *future)
{
    weir_kernel_send_done(weir_container_of(future, struct weir_io, future), -ECANCELED);
}

static void epoll_send_try(struct weir_kernel_conn *c, struct weir_io *io)
{
    if (!weir_kernel_send_now(c, io))
        return;
    c->flags &= (uint16_t)~WRITABLE;
    if (epoll_conn_watch(c) < 0)
        weir_kernel_send_done(io, -ENOMEM);
}

static void epoll_send(struct weir_io *io)
{
    struct weir_kernel_conn *c = weir_kernel_conn_of(io->conn);

    weir_future_init(&io->future, epoll_send_cancel);
    if (c->flags & WRITABLE)
        epoll_send_try(c, io);
}

/* --- accepting --- */

static void epoll_accept_arm(struct weir_kernel_listener *l)
{
    struct epoll *e = epoll_of(weir_listener_kernel(l));
    struct epoll_event event = {
        .events = EPOLLIN | EPOLLET,
        .data.ptr = (char *)l + EPOLL_LISTENER,
    };

    if (!l->watched) {
        fcntl(l->fd, F_SETFL, O_NONBLOCK);
        if (epoll_ctl(e->fd, EPOLL_CTL_ADD, l->fd, &event) < 0) {
            weir_listener_failed(l, -errno);
            weir_listener_disarmed(l);
            return;
        }
        l->watched = true;
    }
    if (l->readable)
        weir_list_push(&e->accepting, &l->ready);
}

static void epoll_accept_disarm(struct weir_kernel_listener *l)
{
    weir_list_del(&l->ready);
    weir_listener_disarmed(l);
}

static void epoll_accept_forget(struct weir_kernel_listener *l)
{
    struct epoll *e = epoll_of(weir_listener_kernel(l));

    if (!l->watched)
        return;
    epoll_ctl(e->fd, EPOLL_CTL_DEL, l->fd, NULL);
    fcntl(l->fd, F_SETFL, 0);
    l->watched = l->readable = false;
    for (int i = 0; i < e->count; i++)
        if (e->events[i].data.ptr == (char *)l + EPOLL_LISTENER)
            e->events[i].data.ptr = NULL; /* not handled yet, perhaps */
}

static void epoll_accept_some(struct weir_kernel_listener *l)
{
    for (int n = 0; n < EPOLL_ACCEPTS && l->armed && l->readable; n++) {
        int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC);

        if (fd >= 0) {
            weir_listener_arrived(l, fd);
        } else if (errno == EAGAIN) {
            l->readable = false;
        } else {
            weir_listener_failed(l, -errno);
            weir_listener_look(l);
        }
    }
}

static bool epoll_accept_all(struct epoll *e)
{
    struct weir_link todo, *link;

    weir_list_init(&todo);
    weir_list_move_all(&todo, &e->accepting);
    if (weir_list_empty(&todo))
        return false;
    while ((link = weir_list_pop(&todo)) != NULL) {
        struct weir_kernel_listener *l =
            weir_container_of(link, struct weir_kernel_listener, ready);

        l->refs++;
        epoll_accept_some(l);
        if (l->armed && l->readable && weir_list_empty(&l->ready))
            weir_list_push(&e->accepting, &l->ready);
        weir_listener_unref(l);
    }
    return true;
}

/* --- other descriptors --- */

/* Edge-triggered, too: armed after an EAGAIN, so the edge is still to come. */
static int epoll_watch_open(struct weir_kernel *kernel, struct weir_kernel_watch *watch)
{
    struct epoll_event event = {
        .events = EPOLLIN | EPOLLOUT | EPOLLET,
        .data.ptr = (char *)watch + EPOLL_WATCH,
    };

    if (epoll_ctl(epoll_of(kernel)->fd, EPOLL_CTL_ADD, watch->fd, &event) < 0)
        return -errno;
    weir_kernel_watch_init(kernel, watch);
    return 0;
}

static void epoll_watch_arm(struct weir_kernel *kernel, struct weir_kernel_watch *watch,
                            unsigned what)
{
    (void)kernel;
    watch->armed |= (uint8_t)what;
}

static void epoll_watch_close(struct weir_kernel *kernel, struct weir_kernel_watch *watch)
{
    epoll_ctl(epoll_of(kernel)->fd, EPOLL_CTL_DEL, watch->fd, NULL);
    close(watch->fd);
    watch->closed = true;
    weir_kernel_watch_dead(kernel, watch);
}

static void epoll_watch_event(struct weir_kernel_watch *watch, uint32_t events)
{
    unsigned what = 0;

    if (events & (EPOLLIN | EPOLLERR | EPOLLHUP))
        what |= WEIR_WATCH_IN;
    if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
        what |= WEIR_WATCH_OUT;
    what &= watch->armed;
    if (watch->closed || what == 0)
        return;
    watch->armed &= (uint8_t)~what;
    watch->ready(watch, what);
}

/* --- the driver --- */

static void epoll_conn_event(struct weir_kernel_conn *c, uint32_t events)
{
    if (c->flags & WEIR_KERNEL_CLOSED)
        return;
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLPRI | EPOLLERR | EPOLLHUP))
        c->flags |= READABLE;
    if (events & (EPOLLRDHUP | EPOLLPRI | EPOLLERR | EPOLLHUP))
        c->flags |= KEEP_READABLE;
    if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
        c->flags |= WRITABLE;
    if (weir_unlikely(c->flags & WEIR_KERNEL_CONNECTING)) {
        if (c->flags & WRITABLE)
            weir_kernel_connected(c);
        return;
    }
    if (c->conn.rx && (c->flags & READABLE) && weir_list_empty(&c->conn.rx->link))
        epoll_recv_try(c, c->conn.rx);
    if (!(c->flags & WEIR_KERNEL_CLOSED) && c->conn.tx && (c->flags & WRITABLE))
        epoll_send_try(c, c->conn.tx);
}

static void epoll_listener_event(struct epoll *e, struct weir_kernel_listener *l)
{
    l->readable = true;
    if (l->armed && weir_list_empty(&l->ready))
        weir_list_push(&e->accepting, &l->ready);
}

static void epoll_woken(struct epoll *e)
{
    uint64_t count;

    while (read(e->kernel.stack.shard->wake_fd, &count, sizeof count) < 0 && errno == EINTR)
        ;
}

static void epoll_event(struct epoll *e, const struct epoll_event *event)
{
    uintptr_t at = (uintptr_t)event->data.ptr;

    if (weir_unlikely(at == 0))
        return;
    if (weir_unlikely(at == (uintptr_t)e + EPOLL_WATCH))
        return; /* the driver above looks by itself */
    if (weir_unlikely(at == (uintptr_t)e))
        epoll_woken(e);
    else if (weir_unlikely(at & EPOLL_LISTENER))
        epoll_listener_event(e, (struct weir_kernel_listener *)(at - EPOLL_LISTENER));
    else if (weir_unlikely(at & EPOLL_WATCH))
        epoll_watch_event((struct weir_kernel_watch *)(at - EPOLL_WATCH), event->events);
    else
        epoll_conn_event((struct weir_kernel_conn *)at, event->events);
}

static int epoll_sleep_millis(struct epoll *e, weir_time span)
{
    int64_t millis = span / 1000000 + (span % 1000000 != 0);

    return epoll_wait(e->fd, e->events, EPOLL_BATCH,
                      (int)weir_min_u64((uint64_t)millis, INT32_MAX));
}

static int epoll_sleep(struct epoll *e, weir_time until)
{
    const struct weir_shard *shard = e->kernel.stack.shard;
    weir_time span;
    struct timespec ts;
    int count;

    if (until == WEIR_NEVER)
        return epoll_wait(e->fd, e->events, EPOLL_BATCH, -1);
    span = until - shard->now; /* the turn has only begun: its clock will do */
    if (span <= 0)
        return epoll_wait(e->fd, e->events, EPOLL_BATCH, 0);
    if (e->millis)
        return epoll_sleep_millis(e, span);
    ts = (struct timespec){ .tv_sec = span / WEIR_SEC(1), .tv_nsec = span % WEIR_SEC(1) };
    count = epoll_pwait2(e->fd, e->events, EPOLL_BATCH, &ts, NULL);
    if (count < 0 && errno != EINTR) { /* ENOSYS; EPERM from an old seccomp profile */
        e->millis = true;
        return epoll_sleep_millis(e, span);
    }
    return count;
}

/* Something is left to do, so this turn must not sleep. */
static bool epoll_ready(const struct epoll *e)
{
    return weir_kernel_ready(&e->kernel) || !weir_list_empty(&e->accepting) ||
           (e->free && !weir_list_empty(&e->starved));
}

static bool epoll_poll(struct weir_driver *driver, weir_time until)
{
    struct epoll *e = weir_container_of(driver, struct epoll, kernel.driver);
    bool worked = weir_kernel_poll(&e->kernel);

    worked |= epoll_feed(e);
    if (until == 0 || worked || epoll_ready(e)) {
        e->count = epoll_wait(e->fd, e->events, EPOLL_BATCH, 0);
    } else {
        e->count = epoll_sleep(e, until);
        weir_shard_awake(e->kernel.stack.shard);
    }
    for (int i = 0; i < e->count; i++)
        epoll_event(e, &e->events[i]);
    worked |= e->count > 0;
    e->count = 0;
    worked |= epoll_accept_all(e);
    epoll_bury(e);
    return worked;
}

/* Level-triggered: it tells again for as long as nobody reads it. */
static int epoll_driver_watch(struct weir_driver *driver, int fd)
{
    struct epoll *e = weir_container_of(driver, struct epoll, kernel.driver);
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = (char *)e + EPOLL_WATCH };

    return epoll_ctl(e->fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static void epoll_free(struct epoll *e)
{
    weir_bufs_free(&e->bufs);
    if (e->fd >= 0)
        close(e->fd);
    free(e);
}

static void epoll_close(struct weir_driver *driver)
{
    struct epoll *e = weir_container_of(driver, struct epoll, kernel.driver);

    weir_kernel_poll(&e->kernel);
    epoll_bury(e);
    weir_kernel_check_empty(&e->kernel);
    weir_kernel_free(&e->kernel);
    epoll_free(e);
}

static const struct weir_stack_ops epoll_stack_ops = {
    .name = "epoll",
    .listen = weir_kernel_listen,
    .listener_addr = weir_kernel_listener_addr,
    .listener_close = weir_kernel_listener_close,
    .accept = weir_kernel_accept,
    .connect = weir_kernel_connect,
    .recv = epoll_recv,
    .send = epoll_send,
    .shutdown = weir_kernel_shutdown,
    .close = epoll_conn_close,
    .local_addr = weir_kernel_local_addr,
    .peer_addr = weir_kernel_peer_addr,
    .nodelay = weir_kernel_nodelay,
    .buf_alloc = weir_kernel_buf_alloc,
};

static const struct weir_driver_ops epoll_driver_ops = {
    .name = "epoll",
    .poll = epoll_poll,
    .watch = epoll_driver_watch,
    .close = epoll_close,
};

static const struct weir_kernel_ops epoll_kernel_ops = {
    .conn_open = epoll_conn_open,
    .conn_wait = epoll_conn_wait,
    .conn_close = epoll_conn_close,
    .accept_arm = epoll_accept_arm,
    .accept_disarm = epoll_accept_disarm,
    .accept_forget = epoll_accept_forget,
    .watch_open = epoll_watch_open,
    .watch_arm = epoll_watch_arm,
    .watch_close = epoll_watch_close,
};

static int epoll_open_set(struct epoll *e)
{
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = e };
    int wake_fd = e->kernel.stack.shard->wake_fd;

    e->fd = epoll_create1(EPOLL_CLOEXEC);
    if (e->fd < 0)
        return -errno;
    if (wake_fd >= 0 && epoll_ctl(e->fd, EPOLL_CTL_ADD, wake_fd, &event) < 0)
        return -errno;
    return 0;
}

static int epoll_init(struct epoll *e, struct weir_shard *shard, const struct weir_config *config)
{
    int error;

    weir_list_init(&e->accepting);
    weir_list_init(&e->starved);
    for (uint32_t i = e->bufs.count; i-- > 0;) {
        e->bufs.buf[i].next = e->free;
        e->free = &e->bufs.buf[i];
    }
    error = weir_kernel_init(&e->kernel, shard, config, &epoll_kernel_ops,
                             sizeof(struct weir_kernel_conn), _Alignof(struct weir_kernel_conn));
    if (!error)
        error = epoll_open_set(e);
    e->kernel.stack.ops = &epoll_stack_ops;
    e->kernel.driver.ops = &epoll_driver_ops;
    return error;
}

int weir_epoll_open(struct weir_driver **driver, struct weir_shard *shard,
                    const struct weir_config *config, char *why, size_t why_size)
{
    struct epoll *e = calloc(1, sizeof *e);
    int error = -ENOMEM;

    if (e)
        error = weir_bufs_init(&e->bufs, config->rx_bufs, config->rx_buf_size, false,
                               epoll_buf_release, e);
    if (!error) {
        e->fd = -1;
        error = epoll_init(e, shard, config);
        if (error) {
            weir_kernel_free(&e->kernel);
            epoll_free(e);
        }
    } else {
        free(e);
    }
    if (error)
        snprintf(why, why_size, "epoll: %s", strerror(-error));
    else
        *driver = &e->kernel.driver;
    return error;
}
