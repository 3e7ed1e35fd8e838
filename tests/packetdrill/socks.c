/* socks.c - descriptors and sockets: from socket() to close(), but for the bytes (calls.c).
 *
 * A socket has a real descriptor, of /dev/null, so that packetdrill may close it by itself.
 *
 * A call that may wait asks whether it can go on (that is read off the connection), waits for it if
 * it may, and then does what ends at once.  Only a connect goes on in between: its operation stands
 * in the socket. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <linux/sockios.h>
#include "tests/packetdrill/object.h"

/* --- descriptors --- */

struct pd_sock *pd_sock(struct pd *pd, int fd)
{
    return fd >= 0 && fd < PD_SOCKS ? pd->sock[fd] : NULL;
}

struct pd_sock *pd_sock_new(struct pd *pd, enum pd_kind kind, int *error)
{
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    struct pd_sock *sock = fd >= 0 && fd < PD_SOCKS ? calloc(1, sizeof *sock) : NULL;

    if (!sock) {
        *error = fd < 0 ? -errno : -EMFILE;
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    if (pd->sock[fd]) { /* it was closed behind our back */
        pd->sock[fd]->fd = -1;
        pd_sock_drop(pd, pd->sock[fd]);
    }
    sock->fd = fd;
    sock->kind = kind;
    sock->cc = -1;
    weir_list_init(&sock->watches);
    pd->sock[fd] = sock;
    return sock;
}

/* The descriptor may be closed already, and even be somebody else's by now. */
static void sock_close_fd(int fd)
{
    struct stat stat;

    if (fd >= 0 && fstat(fd, &stat) == 0 && S_ISCHR(stat.st_mode) && stat.st_rdev == makedev(1, 3))
        close(fd);
}

static void sock_end(struct pd_sock *sock, bool reset)
{
    if (sock->kind == PD_CONNECTING)
        weir_future_cancel(&sock->connect.future);
    if (sock->listener)
        weir_listener_close(sock->listener);
    if (sock->conn && reset)
        weir_abort(sock->conn);
    else if (sock->conn)
        weir_close(sock->conn);
    sock->listener = NULL;
    sock->conn = NULL;
}

static void sock_free(struct pd *pd, struct pd_sock *sock)
{
    struct weir_link *link;

    while ((link = weir_list_pop(&sock->watches)) != NULL)
        free(weir_container_of(link, struct pd_watch, link));
    for (int fd = 0; fd < PD_SOCKS; fd++)
        if (pd->sock[fd] == sock) {
            pd_epoll_forget(pd, fd);
            pd->sock[fd] = NULL;
        }
    sock_close_fd(sock->fd);
    free(sock);
}

void pd_sock_drop(struct pd *pd, struct pd_sock *sock)
{
    pd_sock_look(sock);
    sock_end(sock, true);
    sock_free(pd, sock);
}

bool pd_sock_wait(struct pd *pd, struct pd_sock *sock, bool (*ready)(struct pd *, void *),
                  void *arg)
{
    bool done;

    sock->waiting++;
    done = pd_wait(pd, ready, arg, WEIR_NEVER);
    sock->waiting--;
    return done;
}

/* --- what a socket is in --- */

void pd_sock_look(struct pd_sock *sock)
{
    if (sock->kind != PD_CONNECTING || !sock->connect.future.done)
        return;
    if (sock->connect.future.result < 0) {
        sock->kind = PD_FAILED;
        sock->error = (int)-sock->connect.future.result;
        return;
    }
    sock->kind = PD_CONNECTED;
    sock->conn = sock->connect.conn;
    pd_sock_apply(sock);
}

uint32_t pd_sock_queued(const struct pd_sock *sock)
{
    uint32_t sum = 0;

    if (sock->kind == PD_CONNECTED)
        for (const struct weir_pkt *pkt = pd_tcp(sock)->rx_head; pkt;
             pkt = pkt->buf.next ? weir_pkt_of(pkt->buf.next) : NULL)
            sum += pkt->buf.len;
    return sum;
}

/* A read, or an accept, would not wait. */
bool pd_sock_readable(const struct pd_sock *sock)
{
    switch (sock->kind) {
    case PD_LISTENING:
        return weir_native_listener_of(sock->listener)->accepted_count > 0;
    case PD_CONNECTED:
        return pd_tcp(sock)->rx_head || pd_tcp(sock)->state == WEIR_TCP_CLOSED ||
               (pd_tcp(sock)->flags & WEIR_TCP_FIN_RECEIVED) || sock->read_shut;
    case PD_CONNECTING:
    case PD_EPOLL:
        return false;
    default:
        return true;
    }
}

bool pd_sock_ready_to_read(struct pd *pd, void *arg)
{
    (void)pd;
    return pd_sock_readable(arg);
}

bool pd_sock_ready_connected(struct pd *pd, void *arg)
{
    struct pd_sock *sock = arg;

    (void)pd;
    pd_sock_look(sock);
    return sock->kind != PD_CONNECTING;
}

int pd_sock_take_error(struct pd_sock *sock)
{
    int error = sock->error;

    sock->error = 0;
    return -error;
}

static void addr_out(const struct pd_sock *sock, struct weir_addr *from, struct sockaddr *addr,
                     socklen_t *len)
{
    if (!addr || !len)
        return;
    if (sock->domain == AF_INET6 && from->sa.sa_family == AF_INET) {
        struct in_addr in = from->in.sin_addr;
        in_port_t port = from->in.sin_port;

        memset(from, 0, sizeof *from);
        from->in6.sin6_family = AF_INET6;
        from->in6.sin6_port = port;
        from->in6.sin6_addr.s6_addr[10] = from->in6.sin6_addr.s6_addr[11] = 0xff;
        memcpy(from->in6.sin6_addr.s6_addr + 12, &in, sizeof in);
        from->len = sizeof from->in6;
    }
    memcpy(addr, &from->sa, *len < from->len ? *len : from->len);
    *len = from->len;
}

/* --- socket, bind, listen --- */

int64_t pd_sock_open(struct pd *pd, int domain, int type, int protocol)
{
    int error = 0;
    struct pd_sock *sock;

    if (domain != AF_INET && domain != AF_INET6)
        return -EAFNOSUPPORT;
    if ((type & 15) != SOCK_STREAM)
        return -ESOCKTNOSUPPORT;
    if (protocol != 0 && protocol != IPPROTO_TCP)
        return -EPROTONOSUPPORT;
    sock = pd_sock_new(pd, PD_NEW, &error);
    if (!sock)
        return error;
    sock->domain = domain;
    sock->nonblock = type & SOCK_NONBLOCK;
    return sock->fd;
}

/* packetdrill draws an address from its subnet for each run: the interface gets what is asked for.
 */
static int sock_own(struct pd *pd, const struct weir_ip *ip)
{
    struct weir_iface *wire = &pd->native->iface[WEIR_IFACE_WIRE];
    struct weir_iface_addr addr = { .ip = *ip,
                                    .prefix = weir_ip_is_v4(ip) ? 112 : 48,
                                    .state = WEIR_ADDR_PREFERRED,
                                    .origin = WEIR_ADDR_STATIC,
                                    .valid_until = WEIR_NEVER,
                                    .preferred_until = WEIR_NEVER };

    if (weir_ip_is_any(ip) || weir_ip_is_local(pd->native, ip))
        return 0;
    return weir_ip_is_multicast(ip) || weir_iface_add(wire, &addr) < 0 ? -EADDRNOTAVAIL : 0;
}

int64_t pd_sock_bind(struct pd *pd, struct pd_sock *sock, const struct sockaddr *addr,
                     socklen_t len)
{
    struct weir_addr bound = { .len = len };
    struct weir_ip ip;
    uint16_t port;
    int error;

    if (sock->kind != PD_NEW || sock->bound || !addr || len > sizeof bound.in6 ||
        len < sizeof bound.in)
        return -EINVAL;
    memcpy(&bound.sa, addr, len);
    error = weir_ip_from_addr(&ip, &port, &bound);
    if (!error)
        error = sock_own(pd, &ip);
    if (error)
        return error;
    sock->addr = bound;
    sock->bound = true;
    return 0;
}

int64_t pd_sock_listen(struct pd *pd, struct pd_sock *sock, int backlog)
{
    struct weir_stack *stack = weir_stack_of(pd->shard);
    struct weir_listen_config config;
    int error;

    if (sock->kind == PD_LISTENING)
        return 0;
    if (sock->kind != PD_NEW)
        return -EINVAL;
    if (!sock->bound) {
        sock->addr.sa.sa_family = (sa_family_t)sock->domain;
        sock->addr.len = sizeof sock->addr.in6;
    }
    weir_listen_config_init(&config);
    config.ipv6_only = false;
    config.backlog = backlog > 0 ? backlog + 1 : 1;
    error = stack->ops->listen(stack, &sock->listener, &sock->addr, &config);
    if (error)
        return error;
    sock->kind = PD_LISTENING;
    return 0;
}

/* --- accept, connect --- */

static void sock_inherit(struct pd_sock *sock, const struct pd_sock *from)
{
    sock->domain = from->domain;
    sock->nodelay = from->nodelay;
    sock->keepalive = from->keepalive;
    sock->linger = from->linger;
    sock->cc = from->cc;
    sock->sndbuf = from->sndbuf;
}

int64_t pd_sock_accept(struct pd *pd, struct pd_sock *listening, struct sockaddr *addr,
                       socklen_t *len)
{
    struct weir_addr peer;
    struct pd_sock *sock;
    struct weir_io io;
    int error = 0;

    if (listening->kind != PD_LISTENING)
        return -EINVAL;
    if (!pd_sock_readable(listening) &&
        (listening->nonblock || !pd_sock_wait(pd, listening, pd_sock_ready_to_read, listening)))
        return -EAGAIN;
    sock = pd_sock_new(pd, PD_CONNECTED, &error);
    if (!sock)
        return error;
    weir_accept_start(&io, listening->listener);
    weir_assert(io.future.done && io.future.result == 0);
    sock->conn = io.conn;
    sock_inherit(sock, listening);
    pd_sock_apply(sock);
    weir_peer_addr(sock->conn, &peer);
    addr_out(sock, &peer, addr, len);
    return sock->fd;
}

/* connect() to AF_UNSPEC: as if it were new. */
static int64_t sock_disconnect(struct pd_sock *sock)
{
    sock_end(sock, true);
    sock->kind = PD_NEW;
    sock->error = 0;
    return 0;
}

static int64_t sock_connect_wait(struct pd *pd, struct pd_sock *sock)
{
    if (!pd_sock_wait(pd, sock, pd_sock_ready_connected, sock))
        return -EINTR;
    return sock->kind == PD_FAILED ? pd_sock_take_error(sock) : 0;
}

int64_t pd_sock_connect(struct pd *pd, struct pd_sock *sock, const struct sockaddr *addr,
                        socklen_t len)
{
    struct weir_addr to = { .len = len };

    pd_sock_look(sock);
    if (addr && len >= sizeof(sa_family_t) && addr->sa_family == AF_UNSPEC)
        return sock_disconnect(sock);
    if (sock->kind == PD_CONNECTING)
        return sock->nonblock ? -EALREADY : sock_connect_wait(pd, sock);
    if (sock->kind == PD_CONNECTED || sock->kind == PD_LISTENING)
        return -EISCONN;
    if (sock->kind == PD_FAILED && sock->error) {
        sock->kind = PD_NEW;
        return pd_sock_take_error(sock);
    }
    if (!addr || len > sizeof to.in6 || len < sizeof to.in)
        return -EINVAL;
    memcpy(&to.sa, addr, len);
    sock->kind = PD_CONNECTING;
    weir_connect_start(&sock->connect, &to);
    pd_settle(pd);
    pd_sock_look(sock);
    if (sock->kind == PD_FAILED)
        return pd_sock_take_error(sock);
    if (sock->kind == PD_CONNECTED)
        return 0;
    return sock->nonblock ? -EINPROGRESS : sock_connect_wait(pd, sock);
}

/* --- the others --- */

int64_t pd_sock_close(struct pd *pd, struct pd_sock *sock)
{
    if (sock->waiting > 0)
        return -EBUSY;
    pd_sock_look(sock);
    sock_end(sock, sock->linger.l_onoff && sock->linger.l_linger == 0);
    sock_free(pd, sock);
    return 0;
}

int64_t pd_sock_shutdown(struct pd_sock *sock, int how)
{
    pd_sock_look(sock);
    if (how < SHUT_RD || how > SHUT_RDWR)
        return -EINVAL;
    if (sock->kind != PD_CONNECTED)
        return -ENOTCONN;
    if (how != SHUT_WR)
        sock->read_shut = true;
    return how == SHUT_RD ? 0 : weir_shutdown(sock->conn);
}

int64_t pd_sock_fcntl(struct pd_sock *sock, int command, int arg)
{
    switch (command) {
    case F_GETFL:
        return O_RDWR | (sock->nonblock ? O_NONBLOCK : 0);
    case F_SETFL:
        sock->nonblock = arg & O_NONBLOCK;
        return 0;
    default:
        return -EINVAL;
    }
}

int64_t pd_sock_ioctl(struct pd_sock *sock, unsigned long request, int *arg)
{
    const struct weir_tcp *tcp;

    pd_sock_look(sock);
    if (request == FIONBIO) {
        sock->nonblock = *arg != 0;
        return 0;
    }
    if (request != SIOCINQ && request != SIOCOUTQ)
        return -ENOTTY;
    if (sock->kind != PD_CONNECTED)
        return -EINVAL;
    tcp = pd_tcp(sock);
    *arg = (int)(request == SIOCINQ ? pd_sock_queued(sock) : tcp->snd_end - tcp->snd_una);
    if (request == SIOCOUTQ && weir_seq_lt(tcp->snd_end, tcp->snd_una))
        *arg = 0; /* the FIN is acknowledged, too */
    return 0;
}
