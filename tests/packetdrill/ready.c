/* ready.c - poll and epoll over the sockets of the object.
 *
 * Both read off the connections what holds now.  Edge-triggered watches are told again when there
 * is something new: other events, bytes that have arrived, bytes that the peer has acknowledged. */
#include <stdlib.h>
#include "tests/packetdrill/object.h"

/* --- what holds --- */

static short tcp_events(const struct pd_sock *sock)
{
    const struct weir_tcp *tcp = pd_tcp(sock);
    bool closed = tcp->state == WEIR_TCP_CLOSED;
    bool received = closed || sock->read_shut || (tcp->flags & WEIR_TCP_FIN_RECEIVED);
    bool ended = closed || (tcp->flags & WEIR_TCP_FIN_QUEUED);
    short events = 0;

    if (pd_sock_readable(sock))
        events |= POLLIN | POLLRDNORM;
    if (received)
        events |= POLLRDHUP;
    if (ended || weir_tcp_send_room(tcp) > 0)
        events |= POLLOUT | POLLWRNORM;
    if (received && ended)
        events |= POLLHUP;
    if (tcp->error && !(tcp->flags & WEIR_TCP_TOLD))
        events |= POLLERR;
    return events;
}

short pd_sock_events(struct pd_sock *sock)
{
    pd_sock_look(sock);
    switch (sock->kind) {
    case PD_LISTENING:
        return pd_sock_readable(sock) ? POLLIN | POLLRDNORM : 0;
    case PD_CONNECTED:
        return tcp_events(sock);
    case PD_FAILED:
        return (short)(POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM | POLLRDHUP | POLLHUP |
                       (sock->error ? POLLERR : 0));
    case PD_NEW:
        return POLLOUT | POLLWRNORM | POLLHUP;
    default:
        return 0;
    }
}

static weir_time ready_deadline(const struct pd *pd, int timeout_ms)
{
    return timeout_ms < 0 ? WEIR_NEVER : pd->now + WEIR_MS(timeout_ms);
}

/* --- poll --- */

struct poll_arg {
    struct pollfd *fds;
    nfds_t count;
};

static int poll_look(struct pd *pd, const struct poll_arg *arg)
{
    int ready = 0;

    for (nfds_t i = 0; i < arg->count; i++) {
        struct pollfd *at = &arg->fds[i];
        struct pd_sock *sock = pd_sock(pd, at->fd);

        at->revents = 0;
        if (at->fd < 0)
            continue;
        at->revents =
            sock ? (short)(pd_sock_events(sock) & (at->events | POLLERR | POLLHUP)) : POLLNVAL;
        ready += at->revents != 0;
    }
    return ready;
}

static bool poll_ready(struct pd *pd, void *arg)
{
    return poll_look(pd, arg) > 0;
}

static int call_poll(void *userdata, struct pollfd *fds, nfds_t count, int timeout_ms)
{
    struct pd *pd = pd_enter(userdata);
    struct poll_arg arg = { fds, count };

    if (timeout_ms != 0 && poll_look(pd, &arg) == 0)
        pd_wait(pd, poll_ready, &arg, ready_deadline(pd, timeout_ms));
    return (int)pd_leave(pd, poll_look(pd, &arg));
}

/* --- epoll --- */

static int call_epoll_create(void *userdata, int size)
{
    struct pd *pd = pd_enter(userdata);
    int error = -EINVAL;
    struct pd_sock *sock = size > 0 ? pd_sock_new(pd, PD_EPOLL, &error) : NULL;

    return (int)pd_leave(pd, sock ? sock->fd : error);
}

#define WATCHES_EACH(watch, sock)                                          \
    for (struct weir_link *at_ = (sock)->watches.next, *next_ = at_->next; \
         at_ != &(sock)->watches &&                                        \
         ((watch) = weir_container_of(at_, struct pd_watch, link), true);  \
         at_ = next_, next_ = at_->next)

static struct pd_watch *watch_find(struct pd_sock *epoll, int fd)
{
    struct pd_watch *watch;

    WATCHES_EACH(watch, epoll)
    if (watch->fd == fd)
        return watch;
    return NULL;
}

static void watch_drop(struct pd_watch *watch)
{
    weir_list_del(&watch->link);
    free(watch);
}

void pd_epoll_forget(struct pd *pd, int fd)
{
    for (int i = 0; i < PD_SOCKS; i++) {
        struct pd_watch *watch = pd->sock[i] ? watch_find(pd->sock[i], fd) : NULL;

        if (watch)
            watch_drop(watch);
    }
}

static void watch_set(struct pd_watch *watch, const struct epoll_event *event)
{
    watch->event = *event;
    watch->told = watch->off = false;
}

static int epoll_change(struct pd *pd, struct pd_sock *epoll, int op, int fd,
                        const struct epoll_event *event)
{
    struct pd_watch *watch = watch_find(epoll, fd);

    if (!pd_sock(pd, fd))
        return -EBADF;
    if (op == EPOLL_CTL_ADD && watch)
        return -EEXIST;
    if (op != EPOLL_CTL_ADD && !watch)
        return -ENOENT;
    switch (op) {
    case EPOLL_CTL_ADD:
        watch = calloc(1, sizeof *watch);
        if (!watch)
            return -ENOMEM;
        watch->fd = fd;
        weir_list_push(&epoll->watches, &watch->link);
        watch_set(watch, event);
        return 0;
    case EPOLL_CTL_MOD:
        watch_set(watch, event);
        return 0;
    case EPOLL_CTL_DEL:
        watch_drop(watch);
        return 0;
    default:
        return -EINVAL;
    }
}

static int call_epoll_ctl(void *userdata, int fd, int op, int of, struct epoll_event *event)
{
    struct pd *pd = pd_enter(userdata);
    struct pd_sock *epoll = pd_sock(pd, fd);
    int result = epoll ? -EINVAL : -EBADF;

    if (epoll && epoll->kind == PD_EPOLL)
        result = epoll_change(pd, epoll, op, of, event);
    return (int)pd_leave(pd, result);
}

/* Changes whenever an edge-triggered watch has something new to tell. */
static uint64_t watch_state(const struct pd_sock *sock, short events)
{
    const struct weir_tcp *tcp = sock->kind == PD_CONNECTED ? pd_tcp(sock) : NULL;
    uint64_t state = (uint16_t)events;

    if (sock->kind == PD_LISTENING)
        state = state << 24 ^ weir_native_listener_of(sock->listener)->accepted_count;
    if (tcp)
        state = (state * 0x9e3779b97f4a7c15u ^ tcp->rcv_nxt) * 0x9e3779b97f4a7c15u ^ tcp->snd_una;
    return state;
}

/* The events to tell of it, or 0. */
static uint32_t watch_look(struct pd *pd, struct pd_watch *watch, bool take)
{
    struct pd_sock *sock = pd_sock(pd, watch->fd);
    short events = pd_sock_events(sock);
    uint32_t tell = (uint16_t)events & (watch->event.events | EPOLLERR | EPOLLHUP);
    uint64_t state = watch_state(sock, events);

    if (tell == 0 || watch->off)
        return 0;
    if ((watch->event.events & EPOLLET) && watch->told && watch->seen == state)
        return 0;
    if (take) {
        watch->told = true;
        watch->seen = state;
        watch->off = watch->event.events & EPOLLONESHOT;
    }
    return tell;
}

static bool epoll_ready(struct pd *pd, void *arg)
{
    struct pd_watch *watch;

    WATCHES_EACH(watch, (struct pd_sock *)arg)
    if (watch_look(pd, watch, false))
        return true;
    return false;
}

static int epoll_take(struct pd *pd, struct pd_sock *epoll, struct epoll_event *events, int max)
{
    struct pd_watch *watch;
    int count = 0;

    WATCHES_EACH(watch, epoll)
    {
        uint32_t tell = count < max ? watch_look(pd, watch, true) : 0;

        if (tell) {
            events[count].events = tell;
            events[count++].data = watch->event.data;
        }
    }
    return count;
}

static int epoll_wait_for(struct pd *pd, struct pd_sock *epoll, struct epoll_event *events, int max,
                          int timeout_ms)
{
    if (!epoll || epoll->kind != PD_EPOLL || max <= 0)
        return epoll ? -EINVAL : -EBADF;
    epoll->waiting++;
    if (timeout_ms != 0 && !epoll_ready(pd, epoll))
        pd_wait(pd, epoll_ready, epoll, ready_deadline(pd, timeout_ms));
    epoll->waiting--;
    return epoll_take(pd, epoll, events, max);
}

static int call_epoll_wait(void *userdata, int fd, struct epoll_event *events, int max,
                           int timeout_ms)
{
    struct pd *pd = pd_enter(userdata);

    return (int)pd_leave(pd, epoll_wait_for(pd, pd_sock(pd, fd), events, max, timeout_ms));
}

void pd_ready_init(struct packetdrill_interface *ifc)
{
    ifc->poll = call_poll;
    ifc->epoll_create = call_epoll_create;
    ifc->epoll_ctl = call_epoll_ctl;
    ifc->epoll_wait = call_epoll_wait;
}
