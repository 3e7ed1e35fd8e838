/* conn.c - byte streams of the simulation: segments that fly, arrive, and are received.
 *
 * A reset throws away what still flies; what had arrived can be received first, as on Linux.  A
 * connection that is closed with bytes unread, or that is sent to after it was closed, answers with
 * a reset.
 *
 * Half of all cancels take effect at once, the others later, and a result may come first: as
 * io_uring does it.  The struct of an end outlives every callback: it is freed by its own settle
 * event, in a later turn than weir_close. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "net/sim/net.h"

enum { SEGMENT_MAX = 16384, BUF_MAX = 4096 };

static struct weir_sim_end *sim_end_of(const struct weir_conn *conn)
{
    return weir_container_of(conn, struct weir_sim_end, conn);
}

struct weir_sim_end *weir_sim_peer(const struct weir_sim_end *end)
{
    return end == &end->wire->end[0] ? &end->wire->end[1] : &end->wire->end[0];
}

/* --- receiving --- */

static void sim_recv_done(struct weir_sim_end *end, int64_t result)
{
    struct weir_io *io = end->conn.rx;

    end->conn.rx = NULL;
    weir_sim_event_clear(&end->receive);
    weir_future_set(&io->future, result);
}

/* How many bytes have arrived, counted up to `max`. */
static size_t sim_arrived_bytes(const struct weir_sim_end *end, size_t max)
{
    size_t bytes = 0;

    for (struct weir_link *at = end->arrived.next; at != &end->arrived && bytes < max;
         at = at->next) {
        struct weir_sim_segment *segment = weir_container_of(at, struct weir_sim_segment, link);

        bytes += segment->len - segment->at;
    }
    return weir_min_u64(bytes, max);
}

/* Takes exactly len bytes out of what has arrived. */
static void sim_take(struct weir_sim_end *end, uint8_t *data, size_t len)
{
    while (len > 0) {
        struct weir_sim_segment *segment = weir_sim_first_of(&end->arrived);
        size_t part = weir_min_u64(len, segment->len - segment->at);

        memcpy(data, segment->data + segment->at, part);
        data += part;
        len -= part;
        segment->at += part;
        if (segment->at == segment->len)
            weir_sim_segment_free(end, segment);
    }
}

/* Tells the sender, who may wait for room. */
static void sim_room_made(struct weir_sim_end *end)
{
    struct weir_sim_end *sender = weir_sim_peer(end);

    if (!sender->gone && sender->conn.tx != NULL && !weir_sim_event_armed(&sender->resume))
        weir_sim_event_set(sender->driver, &sender->resume, weir_sim_soon(sender->driver->net));
}

/* Where the bytes go; NULL: there is no buffer now (ENOBUFS). */
static uint8_t *sim_recv_space(struct weir_sim_end *end, struct weir_io *io, size_t len)
{
    struct weir_sim_net *net = end->driver->net;

    if (weir_sim_chance(net, net->config.no_buffers))
        return NULL;
    if (io->data != NULL)
        return io->data;
    io->buf = weir_sim_buf_alloc(&end->driver->stack, len);
    if (io->buf == NULL)
        return NULL;
    io->buf->len = (uint32_t)len;
    return io->buf->data;
}

/* Data has arrived and somebody waits for it. */
static void sim_recv_data(struct weir_sim_end *end, struct weir_io *io)
{
    struct weir_sim_net *net = end->driver->net;
    size_t len = sim_arrived_bytes(end, io->data != NULL ? io->len : BUF_MAX);
    uint8_t *data;

    if (weir_sim_chance(net, net->config.short_reads))
        len = 1 + weir_sim_random(net, len);
    data = sim_recv_space(end, io, len);
    if (data == NULL) {
        weir_sim_event_set(end->driver, &end->receive, weir_sim_soon(net));
        return;
    }
    sim_take(end, data, len);
    sim_room_made(end);
    sim_recv_done(end, (int64_t)len);
}

static void sim_recv_try(struct weir_sim_end *end)
{
    struct weir_io *io = end->conn.rx;

    if (io == NULL || end->state == WEIR_SIM_CLOSED || weir_sim_event_armed(&end->receive))
        return;
    if (!weir_list_empty(&end->arrived)) {
        sim_recv_data(end, io);
    } else if (end->reset_seen) {
        end->reset_told = true;
        sim_recv_done(end, -ECONNRESET);
    } else if (end->fin_seen) {
        sim_recv_done(end, 0);
    }
}

static void sim_receive(struct weir_sim_event *event)
{
    sim_recv_try(weir_container_of(event, struct weir_sim_end, receive));
}

/* --- sending --- */

static void sim_send_done(struct weir_sim_end *end, int64_t result)
{
    struct weir_io *io = end->conn.tx;

    end->conn.tx = NULL;
    weir_sim_event_clear(&end->resume);
    if (io->buf != NULL) { /* weir_send_buf */
        weir_buf_free(io->buf);
        io->buf = NULL;
    }
    weir_future_set(&io->future, result);
}

/* Sends what fits of the current iovec.  False when the rest has to wait. */
static bool sim_send_part(struct weir_sim_end *end, struct weir_io *io)
{
    struct weir_sim_net *net = end->driver->net;
    struct weir_sim_end *peer = weir_sim_peer(end);
    const struct iovec *iov = &io->iov[io->stack[0]];
    size_t left = iov->iov_len - io->stack[1];
    size_t part = weir_min_u64(weir_min_u64(left, SEGMENT_MAX), net->config.window - peer->unread);
    bool cut = part > 0 && weir_sim_chance(net, net->config.short_writes);

    if (cut)
        part = 1 + weir_sim_random(net, part);
    if (part > 0)
        part = weir_sim_fly_data(peer, (const uint8_t *)iov->iov_base + io->stack[1], part);
    io->moved += part;
    io->stack[1] += part;
    if (io->stack[1] == iov->iov_len) {
        io->stack[0]++;
        io->stack[1] = 0;
    }
    if (cut || (part == 0 && left > 0 && peer->unread < net->config.window))
        weir_sim_event_set(end->driver, &end->resume, weir_sim_soon(net));
    return !cut && (part > 0 || left == 0);
}

static void sim_send_try(struct weir_sim_end *end)
{
    struct weir_io *io = end->conn.tx;

    if (io == NULL || end->state == WEIR_SIM_CLOSED || weir_sim_event_armed(&end->resume))
        return;
    if (end->reset_seen || end->fin_sent) {
        bool told = end->fin_sent || end->reset_told;

        end->reset_told = true;
        sim_send_done(end, told ? -EPIPE : -ECONNRESET);
        return;
    }
    while (io->stack[0] < io->len)
        if (!sim_send_part(end, io))
            break;
    if (io->stack[0] == io->len) /* also when the last part was cut right at its end */
        sim_send_done(end, (int64_t)io->moved);
}

static void sim_resume(struct weir_sim_event *event)
{
    sim_send_try(weir_container_of(event, struct weir_sim_end, resume));
}

/* --- what comes from the other end --- */

static void sim_segment_arrived(struct weir_sim_end *end, struct weir_sim_segment *segment)
{
    if (end->reset_seen) { /* too late */
        weir_sim_segment_free(end, segment);
        return;
    }
    weir_list_del(&segment->link);
    switch (segment->kind) {
    case WEIR_SIM_DATA:
        weir_list_push(&end->arrived, &segment->link);
        break;
    case WEIR_SIM_FIN:
        end->fin_seen = true;
        break;
    case WEIR_SIM_RST:
        end->reset_seen = true;
        weir_sim_event_clear(&end->resume); /* a waiting send learns of it now */
        break;
    }
}

static void sim_arrival(struct weir_sim_event *event)
{
    struct weir_sim_end *end = weir_container_of(event, struct weir_sim_end, arrival);
    struct weir_sim_segment *segment;

    if (end->state == WEIR_SIM_CLOSED)
        return; /* settle deals with what flies */
    while ((segment = weir_sim_first_of(&end->flying)) != NULL &&
           segment->due <= end->driver->net->now)
        sim_segment_arrived(end, segment);
    if (segment != NULL)
        weir_sim_event_set(end->driver, &end->arrival, segment->due);
    sim_recv_try(end);
    if (end->reset_seen)
        sim_send_try(end);
}

/* --- the end of an end --- */

void weir_sim_wire_settle(struct weir_sim_wire *wire)
{
    for (int i = 0; i < 2; i++)
        if (!wire->end[i].gone && wire->end[i].state != WEIR_SIM_UNBORN)
            return;
    weir_assert(wire->connecting == NULL);
    weir_sim_event_clear(&wire->syn);
    weir_sim_event_clear(&wire->answer);
    weir_sim_event_clear(&wire->give_up);
    free(wire);
}

/* No event comes back to it; whoever still sends to it is reset. */
static void sim_end_gone(struct weir_sim_end *end)
{
    bool data = weir_sim_segments_free(end, &end->flying);

    weir_sim_event_clear(&end->arrival);
    weir_sim_event_clear(&end->receive);
    weir_sim_event_clear(&end->resume);
    weir_sim_event_clear(&end->settle);
    weir_sim_segments_free(end, &end->arrived);
    end->gone = true;
    if (data)
        weir_sim_fly_rst(weir_sim_peer(end));
}

static void sim_settle(struct weir_sim_event *event)
{
    struct weir_sim_end *end = weir_container_of(event, struct weir_sim_end, settle);
    bool closed =
        end->state == WEIR_SIM_CLOSED; /* a callback below may close: that settles later */

    if (end->conn.rx != NULL && (closed || end->conn.rx->future.cancelled))
        sim_recv_done(end, -ECANCELED);
    if (end->conn.tx != NULL && (closed || end->conn.tx->future.cancelled))
        sim_send_done(end, -ECANCELED);
    if (!closed)
        return;
    sim_end_gone(end);
    weir_sim_wire_settle(end->wire);
}

void weir_sim_end_init(struct weir_sim_end *end, struct weir_sim_wire *wire,
                       struct weir_sim_driver *driver)
{
    *end = (struct weir_sim_end){
        .wire = wire,
        .driver = driver,
        .fin.kind = WEIR_SIM_FIN,
        .rst.kind = WEIR_SIM_RST,
    };
    if (driver != NULL)
        end->conn.stack = &driver->stack;
    weir_list_init(&end->queued);
    weir_list_init(&end->flying);
    weir_list_init(&end->arrived);
    weir_list_init(&end->fin.link);
    weir_list_init(&end->rst.link);
    weir_sim_event_init(&end->arrival, sim_arrival);
    weir_sim_event_init(&end->receive, sim_receive);
    weir_sim_event_init(&end->resume, sim_resume);
    weir_sim_event_init(&end->settle, sim_settle);
}

void weir_sim_end_open(struct weir_sim_end *end)
{
    struct weir_shard *shard = end->driver->driver.shard;

    weir_assert(end->state == WEIR_SIM_OPENING);
    end->state = WEIR_SIM_OPEN;
    shard->stats.conns_opened++;
    shard->stats.conns++;
    atomic_fetch_add_explicit(&shard->load, 1, memory_order_relaxed);
}

void weir_sim_end_drop(struct weir_sim_end *end)
{
    weir_assert(end->state == WEIR_SIM_OPENING);
    end->state = WEIR_SIM_CLOSED;
    if (!end->reset_seen)
        weir_sim_fly_rst(weir_sim_peer(end));
    sim_end_gone(end);
    weir_sim_wire_settle(end->wire);
}

/* --- what net.h calls --- */

/* Half of the cancels take effect now. */
static bool sim_cancel_now(struct weir_sim_end *end)
{
    struct weir_sim_net *net = end->driver->net;

    if (weir_sim_random(net, 2) == 0)
        return true;
    if (!weir_sim_event_armed(&end->settle))
        weir_sim_event_set(end->driver, &end->settle, weir_sim_soon(net));
    return false;
}

static void sim_recv_cancel(struct weir_future *future)
{
    struct weir_sim_end *end = sim_end_of(weir_container_of(future, struct weir_io, future)->conn);

    if (sim_cancel_now(end))
        sim_recv_done(end, -ECANCELED);
}

static void sim_send_cancel(struct weir_future *future)
{
    struct weir_sim_end *end = sim_end_of(weir_container_of(future, struct weir_io, future)->conn);

    if (sim_cancel_now(end))
        sim_send_done(end, -ECANCELED);
}

/* At the configured share of operations the network breaks the connection, for both ends. */
static void sim_maybe_reset(struct weir_sim_end *end)
{
    struct weir_sim_net *net = end->driver->net;

    if (!weir_sim_chance(net, net->config.resets))
        return;
    weir_sim_fly_rst(end);
    weir_sim_fly_rst(weir_sim_peer(end));
}

void weir_sim_recv(struct weir_io *io)
{
    struct weir_sim_end *end = sim_end_of(io->conn);

    weir_assert(end->conn.rx == io);
    weir_future_init(&io->future, sim_recv_cancel);
    io->buf = NULL;
    sim_maybe_reset(end);
    sim_recv_try(end);
}

void weir_sim_send(struct weir_io *io)
{
    struct weir_sim_end *end = sim_end_of(io->conn);

    weir_assert(end->conn.tx == io);
    weir_future_init(&io->future, sim_send_cancel);
    io->moved = 0;
    io->stack[0] = io->stack[1] = 0;
    sim_maybe_reset(end);
    sim_send_try(end);
}

int weir_sim_shutdown(struct weir_conn *conn)
{
    struct weir_sim_end *end = sim_end_of(conn);

    if (end->reset_seen)
        return -ENOTCONN;
    if (end->fin_sent)
        return 0;
    end->fin_sent = true;
    weir_sim_fly_fin(weir_sim_peer(end));
    return 0;
}

void weir_sim_close(struct weir_conn *conn, bool reset)
{
    struct weir_sim_end *end = sim_end_of(conn), *peer = weir_sim_peer(end);
    struct weir_shard *shard = end->driver->driver.shard;

    weir_assert(end->state == WEIR_SIM_OPEN && shard->stats.conns > 0);
    end->state = WEIR_SIM_CLOSED;
    shard->stats.conns--;
    atomic_fetch_sub_explicit(&shard->load, 1, memory_order_relaxed);
    if (!end->reset_seen) {
        if (reset || weir_sim_segments_free(end, &end->arrived))
            weir_sim_fly_rst(peer);
        else if (!end->fin_sent)
            weir_sim_fly_fin(peer);
    }
    weir_sim_event_set(end->driver, &end->settle, end->driver->net->now);
}

int weir_sim_local_addr(const struct weir_conn *conn, struct weir_addr *addr)
{
    *addr = sim_end_of(conn)->local;
    return 0;
}

int weir_sim_peer_addr(const struct weir_conn *conn, struct weir_addr *addr)
{
    *addr = weir_sim_peer(sim_end_of(conn))->local;
    return 0;
}

/* Nothing is ever held back here. */
int weir_sim_nodelay(struct weir_conn *conn, bool on)
{
    (void)conn;
    (void)on;
    return 0;
}
