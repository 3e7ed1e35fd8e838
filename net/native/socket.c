/* socket.c - connections of the native stack as net.h has them.
 *
 * Receiving takes from the connection's queue: copied out of as many packets as fit, or the first
 * packet's buffer as it is.  Sending copies into the connection's queue as far as there is room and
 * waits for the rest.  Both end at once when they can.
 *
 * A reset is told as Linux does: what had arrived can be received first; then receives say
 * -ECONNRESET each time; of the sends the first says so, unless somebody has been told already, and
 * the others -EPIPE.
 *
 * Until a connect is complete its operation stands in conn.tx, and nobody else has the connection.
 *
 * Invariant: a send that waits stands in conn.tx; it is in native->starved when there was room but
 * no packet, else weir_tcp_event_writable() will come. */
#include <stdlib.h>
#include <string.h>
#include "net/native/glue.h"

static struct weir_native *native_of(const struct weir_tcp *tcp)
{
    return weir_native_of(tcp->conn.stack);
}

/* --- counting --- */

void weir_native_conn_open(struct weir_tcp *tcp)
{
    struct weir_shard *shard = tcp->conn.stack->shard;

    tcp->flags |= WEIR_TCP_USER;
    shard->stats.conns_opened++;
    shard->stats.conns++;
    atomic_fetch_add_explicit(&shard->load, 1, memory_order_relaxed);
}

static void conn_gone(struct weir_native *native)
{
    struct weir_shard *shard = native->shard;

    weir_assert(shard->stats.conns > 0);
    shard->stats.conns--;
    shard->holds = 1; /* until native.c finds that it has nothing to say any more */
    atomic_fetch_sub_explicit(&shard->load, 1, memory_order_relaxed);
    if (native->want_room) {
        native->want_room = false;
        native->nudge = true;
    }
}

/* --- buffers that users have --- */

/* How a packet goes back that was given to a user, in the half of it that is free then. */
struct user_buf {
    void (*release)(struct weir_buf *buf);
    struct weir_shard *shard;
};

_Static_assert(sizeof(struct user_buf) <= sizeof((struct weir_pkt *)0)->any, "it has room there");

static struct user_buf *user_buf_of(struct weir_buf *buf)
{
    return (struct user_buf *)(void *)weir_pkt_of(buf)->any;
}

static void user_buf_release(struct weir_buf *buf)
{
    struct user_buf *user = user_buf_of(buf);

    weir_shard_check(user->shard, "weir_buf_free");
    user->shard->stats.bufs--;
    buf->release = user->release;
    buf->release(buf);
}

static struct weir_buf *user_buf(struct weir_native *native, struct weir_pkt *pkt)
{
    struct weir_buf *buf = &pkt->buf;

    *user_buf_of(buf) = (struct user_buf){ buf->release, native->shard };
    buf->release = user_buf_release;
    buf->next = NULL;
    native->shard->stats.bufs++;
    return buf;
}

/* What a user asks for may be of any size. */
static void heap_release(struct weir_buf *buf)
{
    free(weir_pkt_of(buf));
}

static struct weir_pkt *heap_pkt(size_t size)
{
    struct weir_pkt *pkt = size <= UINT32_MAX ? malloc(sizeof *pkt + size) : NULL;

    if (!pkt)
        return NULL;
    memset(pkt, 0, sizeof *pkt);
    pkt->buf =
        (struct weir_buf){ .data = (uint8_t *)(pkt + 1), .refs = 1, .release = heap_release };
    return pkt;
}

static struct weir_buf *native_buf_alloc(struct weir_stack *stack, size_t size)
{
    struct weir_native *native = weir_native_of(stack);
    struct weir_pkt *pkt = size <= WEIR_PKT_ROOM ? weir_pkt_get(&native->pkts) : heap_pkt(size);

    return pkt ? user_buf(native, pkt) : NULL;
}

/* --- receiving --- */

static void recv_done(struct weir_io *io, int64_t result)
{
    io->conn->rx = NULL;
    weir_future_set(&io->future, result);
}

/* Copies out of the queue as much as fits. */
static int64_t recv_copy(struct weir_tcp *tcp, uint8_t *data, size_t len)
{
    size_t moved = 0;

    while (moved < len && tcp->rx_head) {
        struct weir_buf *buf = &tcp->rx_head->buf;
        size_t part = weir_min_u64(len - moved, buf->len);

        memcpy(data + moved, buf->data, part);
        moved += part;
        if (part == buf->len) {
            weir_pkt_free(weir_tcp_rx_take(tcp));
        } else {
            tcp->rcv_held -= weir_pkt_held(tcp->rx_head);
            buf->data += part;
            buf->len -= (uint32_t)part;
            tcp->rcv_held += weir_pkt_held(tcp->rx_head);
        }
    }
    weir_tcp_consumed(tcp, (uint32_t)moved);
    return (int64_t)moved;
}

static int64_t recv_take(struct weir_tcp *tcp, struct weir_io *io)
{
    uint32_t len;

    io->buf = user_buf(native_of(tcp), weir_tcp_rx_take(tcp));
    len = io->buf->len;
    weir_tcp_consumed(tcp, len);
    return (int64_t)len;
}

/* Nothing is queued and nothing will be: says why. */
static bool recv_is_over(const struct weir_tcp *tcp)
{
    return tcp->state == WEIR_TCP_CLOSED || (tcp->flags & WEIR_TCP_FIN_RECEIVED);
}

/* Ends the receive if there is something to end it with. */
static void recv_try(struct weir_tcp *tcp, struct weir_io *io)
{
    if (tcp->rx_head) {
        int64_t n = io->data ? recv_copy(tcp, io->data, weir_min_u64(io->len, INT32_MAX))
                             : recv_take(tcp, io);

        recv_done(io, n);
    } else if (recv_is_over(tcp)) {
        if (tcp->error)
            tcp->flags |= WEIR_TCP_TOLD;
        recv_done(io, tcp->error);
    }
}

static void recv_cancel(struct weir_future *future)
{
    recv_done(weir_container_of(future, struct weir_io, future), -ECANCELED);
}

static void native_recv(struct weir_io *io)
{
    weir_future_init(&io->future, recv_cancel);
    recv_try(weir_tcp_of(io->conn), io);
}

void weir_tcp_event_readable(struct weir_tcp *tcp)
{
    if (tcp->conn.rx)
        recv_try(tcp, tcp->conn.rx);
}

/* --- sending --- */

static void send_done(struct weir_io *io, int64_t result)
{
    io->conn->tx = NULL;
    if (weir_unlikely(io->buf != NULL)) {
        weir_buf_free(io->buf);
        io->buf = NULL;
    }
    weir_future_set(&io->future, result);
}

/* Why nothing can be sent; 0: it can. */
static int send_error(struct weir_tcp *tcp)
{
    if (weir_likely(tcp->state != WEIR_TCP_CLOSED && !(tcp->flags & WEIR_TCP_FIN_QUEUED)))
        return 0;
    if (tcp->error == 0 || (tcp->flags & (WEIR_TCP_TOLD | WEIR_TCP_FIN_QUEUED)))
        return -EPIPE;
    tcp->flags |= WEIR_TCP_TOLD;
    return tcp->error;
}

/* Into the queue from where the operation stands (io->stack: iovec, offset), as much as it takes.
 * Returns whether that was all. */
static bool send_push(struct weir_tcp *tcp, struct weir_io *io)
{
    while (io->stack[0] < io->len) {
        const struct iovec *iov = &io->iov[io->stack[0]];
        size_t left = iov->iov_len - io->stack[1];
        size_t taken = left ? weir_tcp_push(tcp, (uint8_t *)iov->iov_base + io->stack[1], left,
                                            io->stack[0] + 1 == io->len)
                            : 0;

        io->moved += taken;
        io->stack[1] += taken;
        if (taken < left)
            return false;
        io->stack[0]++;
        io->stack[1] = 0;
    }
    return true;
}

static void send_try(struct weir_tcp *tcp, struct weir_io *io)
{
    int error = send_error(tcp);

    if (weir_unlikely(error))
        send_done(io, error);
    else if (send_push(tcp, io))
        send_done(io, (int64_t)io->moved);
    else if (weir_unlikely(weir_tcp_send_room(tcp) > 0) && weir_list_empty(&io->link))
        weir_list_push(&native_of(tcp)->starved, &io->link); /* no packets */
}

static void send_cancel(struct weir_future *future)
{
    struct weir_io *io = weir_container_of(future, struct weir_io, future);

    weir_list_del(&io->link);
    send_done(io, -ECANCELED);
}

static void native_send(struct weir_io *io)
{
    weir_future_init(&io->future, send_cancel);
    weir_list_init(&io->link);
    io->stack[0] = io->stack[1] = 0;
    send_try(weir_tcp_of(io->conn), io);
}

/* A connection without a user has none of its own in tx: it may be the connect. */
void weir_tcp_event_writable(struct weir_tcp *tcp)
{
    struct weir_io *io = tcp->conn.tx;

    if (io && (tcp->flags & WEIR_TCP_USER) && weir_list_empty(&io->link))
        send_try(tcp, io);
}

bool weir_native_feed(struct weir_native *native)
{
    struct weir_link waiting, *link;
    size_t moved = 0;

    if (weir_likely(weir_list_empty(&native->starved)))
        return false;
    weir_list_init(&waiting);
    weir_list_move_all(&waiting, &native->starved);
    while ((link = weir_list_pop(&waiting)) != NULL) {
        struct weir_io *io = weir_container_of(link, struct weir_io, link);
        size_t before = io->moved;
        struct weir_tcp *tcp = weir_tcp_of(io->conn);

        send_try(tcp, io);
        moved += !tcp->conn.tx || io->moved > before;
    }
    return moved > 0;
}

/* --- connecting --- */

static void connect_done(struct weir_tcp *tcp, struct weir_io *io)
{
    tcp->conn.tx = NULL;
    weir_native_conn_open(tcp);
    io->conn = &tcp->conn;
    weir_future_set(&io->future, 0);
}

/* A SYN|ACK that still comes finds nobody, and is answered by a reset. */
static void connect_cancel(struct weir_future *future)
{
    struct weir_io *io = weir_container_of(future, struct weir_io, future);
    struct weir_tcp *tcp = (struct weir_tcp *)(uintptr_t)io->stack[0];

    tcp->conn.tx = NULL;
    weir_tcp_user_close(tcp, true);
    weir_future_set(future, -ECANCELED);
}

/* Where "any" leads, as on other systems; what cannot be connected to. */
static int connect_target(struct weir_native *native, struct weir_flow_key *key,
                          const struct weir_addr *addr)
{
    int error = weir_ip_from_addr(&key->remote, &key->remote_port, addr);

    if (error)
        return error;
    if (weir_ip_is_any(&key->remote))
        key->remote = weir_ip_is_v4(&key->remote)
                          ? weir_ip_v4(htonl(INADDR_LOOPBACK))
                          : (struct weir_ip){ .word = { 0, 0, 0, htonl(1) } };
    if (weir_ip_is_multicast(&key->remote) || weir_ip_is_broadcast(native, &key->remote))
        return -ENETUNREACH;
    return key->remote_port ? 0 : -ECONNREFUSED;
}

/* The address we speak from depends on the route. */
static int connect_source(struct weir_native *native, struct weir_flow_key *key)
{
    struct weir_path path = { 0 };
    int error = weir_path_open(native, &path, &key->local, &key->remote, IPPROTO_TCP);

    if (!error)
        weir_path_close(native, &path);
    return error;
}

static int connect_begin(struct weir_native *native, struct weir_io *io,
                         const struct weir_addr *addr)
{
    struct weir_flow_key key = { 0 };
    struct weir_tcp *tcp;
    uint32_t hash = 0;
    int error;

    if (native->shard->stats.conns >= native->conns_max)
        return -EMFILE;
    error = connect_target(native, &key, addr);
    if (!error)
        error = connect_source(native, &key);
    if (!error)
        error = weir_native_port(native, &key, &hash);
    if (error)
        return error;
    tcp = weir_tcp_new(native, &key, hash);
    if (!tcp)
        return -ENOMEM;
    error = weir_tcp_connect(tcp);
    if (error) {
        weir_tcp_free(tcp);
        return error;
    }
    tcp->conn.tx = io;
    io->stack[0] = (uintptr_t)tcp;
    return 0;
}

static void native_connect(struct weir_stack *stack, struct weir_io *io,
                           const struct weir_addr *addr)
{
    int error;

    weir_future_init(&io->future, connect_cancel);
    error = connect_begin(weir_native_of(stack), io, addr);
    if (error)
        weir_future_set(&io->future, error);
}

/* --- what TCP tells --- */

void weir_tcp_event_established(struct weir_tcp *tcp)
{
    if (tcp->flags & WEIR_TCP_PASSIVE)
        weir_native_listener_look(tcp->listener);
    else if (tcp->conn.tx)
        connect_done(tcp, tcp->conn.tx);
}

void weir_tcp_event_ended(struct weir_tcp *tcp)
{
    struct weir_io *io = tcp->conn.tx;

    if (io && !(tcp->flags & WEIR_TCP_USER)) { /* the connect */
        tcp->conn.tx = NULL;
        weir_future_set(&io->future, tcp->error ? tcp->error : -ECONNRESET);
        return;
    }
    if (tcp->conn.rx)
        recv_try(tcp, tcp->conn.rx);
    if (tcp->conn.tx) {
        weir_list_del(&tcp->conn.tx->link);
        send_try(tcp, tcp->conn.tx);
    }
}

/* --- the small calls --- */

static int native_shutdown(struct weir_conn *conn)
{
    struct weir_tcp *tcp = weir_tcp_of(conn);

    if (tcp->flags & WEIR_TCP_FIN_QUEUED)
        return 0;
    if (tcp->state == WEIR_TCP_CLOSED)
        return -ENOTCONN;
    return weir_tcp_user_shutdown(tcp);
}

static void native_conn_close(struct weir_conn *conn, bool reset)
{
    struct weir_native *native = weir_native_of(conn->stack);
    struct weir_io *rx = conn->rx, *tx = conn->tx;

    conn->rx = conn->tx = NULL;
    if (rx)
        weir_native_later(native, rx, -ECANCELED);
    if (tx) {
        weir_buf_free(tx->buf);
        tx->buf = NULL;
        weir_list_del(&tx->link);
        weir_native_later(native, tx, -ECANCELED);
    }
    conn_gone(native);
    weir_tcp_user_close(weir_tcp_of(conn), reset);
}

static int native_local_addr(const struct weir_conn *conn, struct weir_addr *addr)
{
    const struct weir_flow_key *key = &weir_tcp_of(conn)->flow.key;

    weir_ip_to_addr(addr, &key->local, key->local_port);
    return 0;
}

static int native_peer_addr(const struct weir_conn *conn, struct weir_addr *addr)
{
    const struct weir_flow_key *key = &weir_tcp_of(conn)->flow.key;

    weir_ip_to_addr(addr, &key->remote, key->remote_port);
    return 0;
}

static int native_nodelay(struct weir_conn *conn, bool on)
{
    struct weir_tcp *tcp = weir_tcp_of(conn);

    if (!on) {
        tcp->flags &= ~(uint32_t)WEIR_TCP_NODELAY;
    } else {
        tcp->flags |= WEIR_TCP_NODELAY;
        if (tcp->state != WEIR_TCP_CLOSED)
            weir_tcp_output_later(tcp);
    }
    return 0;
}

const struct weir_stack_ops weir_native_stack_ops = {
    .name = "native",
    .listen = weir_native_listen,
    .listener_addr = weir_native_listener_addr,
    .listener_close = weir_native_listener_close,
    .accept = weir_native_accept,
    .connect = native_connect,
    .recv = native_recv,
    .send = native_send,
    .shutdown = native_shutdown,
    .close = native_conn_close,
    .local_addr = native_local_addr,
    .peer_addr = native_peer_addr,
    .nodelay = native_nodelay,
    .buf_alloc = native_buf_alloc,
};
