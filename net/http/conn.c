/* conn.c - one connection, from accept to close.
 *
 * weir_http_conn_pump moves a connection as far as it goes without waiting: it answers what has
 * been received, sends all answers by one send, and receives again.  It is called whenever
 * something that it waited for has happened.  Requests are not looked at while a send is under way,
 * so a peer that does not read its answers is not answered any further.
 *
 * Closing is: say so in an answer, send it, end our side, and wait for the peer's end for `linger`.
 * A close with bytes of the peer unread would be a reset, and would take the answer with it; a peer
 * that has announced its last request, and of which all has been read, sends none (RFC 9112, 9.6).
 *
 * Invariant: a connection is freed only when its socket is closed and no operation and no fiber is
 * left that knows it. */
#include <errno.h>
#include <string.h>
#include "net/http/server.h"

enum {
    READY_MAX = 16, /* receives that may be ready at once before others have a turn */
    OUT_FULL = WEIR_HTTP_BLOCK - 4096, /* bytes of answers to be sent before going on */
};

static bool conn_has_input(const struct weir_http_conn *conn)
{
    return conn->rx.buf && conn->rx.buf->len > 0;
}

/* --- the end --- */

static void conn_drop_input(struct weir_http_conn *conn)
{
    weir_buf_free(conn->rx.buf);
    conn->rx.buf = NULL;
}

static void conn_drop_request(struct weir_http_conn *conn)
{
    if (conn->http)
        weir_http_request_free(conn->http);
    conn->http = NULL;
}

static void conn_forget_later(struct weir_http_conn *conn)
{
    if (conn->later)
        weir_list_del(&conn->rx.link);
    conn->later = false;
}

/* Frees a closed connection, unless somebody still knows it: then they come here again. */
static void conn_release(struct weir_http_conn *conn)
{
    struct weir_http_server *server = conn->server;

    if (conn->receiving || conn->sending || conn->in_fiber)
        return;
    conn_forget_later(conn);
    conn_drop_request(conn);
    conn_drop_input(conn);
    if (conn->out)
        weir_http_out_free(conn->out);
    weir_list_del(&conn->link);
    weir_pool_put(&server->conns, conn);
    server->stats->conns--;
    weir_http_server_conn_ended(server);
}

static void conn_close(struct weir_http_conn *conn, bool reset)
{
    weir_assert(!conn->closed);
    conn->closed = true;
    weir_http_wait(conn, WEIR_HTTP_BUSY);
    if (reset)
        weir_abort(conn->rx.conn);
    else
        weir_close(conn->rx.conn);
    conn_release(conn);
}

/* Closes what cannot go on, and frees what is closed; true when that was so. */
static bool conn_over(struct weir_http_conn *conn)
{
    if (conn->closed)
        conn_release(conn);
    else if (conn->failed || conn->server->cut)
        conn_close(conn, true); /* a FIN would make a truncated answer look whole */
    else
        return false;
    return true;
}

/* All is sent: ends our side; false when that was the end of it. */
static bool conn_linger(struct weir_http_conn *conn)
{
    if (conn->eof || (conn->heard_all && !conn_has_input(conn)) ||
        conn->server->config.linger <= 0 || weir_shutdown(conn->rx.conn) < 0) {
        conn_close(conn, false);
        return false;
    }
    conn->lingering = true;
    conn_drop_request(conn);
    weir_http_wait(conn, WEIR_HTTP_LINGER);
    return true;
}

/* --- receiving and sending --- */

static bool conn_answer(struct weir_http_conn *conn);

/* A request that has not begun: others are served with it, while it is warm. */
static inline void conn_park_request(struct weir_http_conn *conn)
{
    struct weir_http *http = conn->http;

    if (http && http->phase == WEIR_HTTP_PARSING && http->gather_len == 0 && !conn->closing) {
        weir_http_request_spare(http);
        conn->http = NULL;
    }
}

static void conn_took(struct weir_http_conn *conn, int64_t result)
{
    conn->receiving = false;
    if (result > 0)
        return;
    weir_assert(!conn->rx.buf);
    if (result == 0)
        conn->eof = true;
    else
        conn->failed = true;
}

/* Bytes have come.  They are answered at once, and the answers sent when the other connections of
 * this turn have been answered as well: parsing twenty requests and then sending twenty times keeps
 * the code of each warm in turn. */
static void conn_received(struct weir_future *future)
{
    struct weir_http_conn *conn = weir_container_of(future, struct weir_http_conn, rx.future);

    conn_took(conn, future->result);
    if (conn_over(conn))
        return;
    if (conn->lingering || !conn_has_input(conn))
        weir_http_conn_pump(conn);
    else if (conn_answer(conn))
        weir_http_later(conn);
}

/* What a connection that receives waits for.  An idle one gives up all it can do without. */
static void conn_settle(struct weir_http_conn *conn)
{
    if (conn->lingering)
        return;
    conn_park_request(conn);
    if (conn->out && conn->out->len == 0 && !conn->sending) { /* there was nothing to say */
        weir_http_out_free(conn->out);
        conn->out = NULL;
    }
    if (!conn->http)
        weir_http_wait(conn, WEIR_HTTP_IDLE);
    else if (conn->http->phase == WEIR_HTTP_PARSING)
        weir_http_wait(conn, WEIR_HTTP_HEAD);
    else
        weir_http_wait(conn, WEIR_HTTP_BODY);
}

/* Receives again; true when there is something, or the end, at once. */
static bool conn_receive(struct weir_http_conn *conn)
{
    conn_drop_input(conn);
    conn_settle(conn);
    conn->receiving = true;
    weir_recv_buf_start(&conn->rx, conn->rx.conn);
    if (weir_future_on_done(&conn->rx.future, conn_received))
        return false;
    conn_took(conn, conn->rx.future.result);
    return true;
}

static void conn_sent_all(struct weir_http_conn *conn, int64_t result)
{
    conn->sending = false;
    if (result < 0)
        conn->failed = true;
    weir_http_out_free(conn->out);
    conn->out = NULL;
}

static void conn_sent(struct weir_future *future)
{
    struct weir_http_conn *conn = weir_container_of(future, struct weir_http_out, tx.future)->conn;

    conn_sent_all(conn, future->result);
    weir_http_conn_pump(conn);
}

static void conn_await_sent(struct weir_http_conn *conn)
{
    if (weir_future_on_done(&conn->out->tx.future, conn_sent))
        weir_http_wait_sent(conn->out);
    else
        conn_sent_all(conn, conn->out->tx.future.result);
}

static void conn_send(struct weir_http_conn *conn)
{
    struct weir_http_out *out = conn->out;

    if (!out || out->len == 0 || conn->sending)
        return;
    weir_list_del(&out->link);
    conn->sending = true;
    weir_send_start(&out->tx, conn->rx.conn, out->data, out->len);
    if (weir_likely(out->tx.future.done)) {
        conn_sent_all(conn, out->tx.future.result);
        return;
    }
    out->since = weir_now();
    conn_await_sent(conn);
}

/* --- answering --- */

/* The handler has returned, or there was none. */
static inline void conn_finish_request(struct weir_http *http)
{
    if (weir_unlikely(http->answer != WEIR_HTTP_ANSWERED))
        weir_http_reply_finish(http);
    if (http->conn->closing)
        http->conn->heard_all = http->body_done && weir_http_is_last(http);
    else if (http->body_done)
        weir_http_request_reset(http);
    else
        http->phase = WEIR_HTTP_SKIPPING;
}

/* Answers one request that needs a fiber, and those behind it that are in hand. */
static void conn_fiber(void *arg)
{
    struct weir_http_conn *conn = arg;
    struct weir_http *http = conn->http;

    http->match.handler(http, http->match.arg);
    conn_finish_request(http);
    conn_answer(conn);
    conn->in_fiber = false;
    if (conn->sending)
        conn_await_sent(conn);
    weir_http_conn_pump(conn);
}

static bool conn_spawn(struct weir_http_conn *conn)
{
    int error = weir_spawn_at(&conn->server->scope, conn_fiber, conn, "http request", WEIR_HERE);

    if (error < 0)
        return false;
    conn->in_fiber = true;
    conn->http->plain = false;
    weir_http_wait(conn, WEIR_HTTP_BUSY);
    return true;
}

static __attribute__((noinline)) bool conn_dispatch_fiber(struct weir_http *http)
{
    if (conn_spawn(http->conn))
        return false;
    weir_http_refuse(http, 503, "too many requests at once");
    return true;
}

static __attribute__((noinline)) bool conn_refuse(struct weir_http *http, int status,
                                                  const char *why)
{
    weir_http_refuse(http, status, why);
    return true;
}

static struct weir_str conn_text(const struct weir_http *http, struct weir_http_span span)
{
    return (struct weir_str){ http->head + span.at, span.len };
}

/* Has a whole head answered; false when a fiber has it now. */
static inline bool conn_dispatch(struct weir_http *http)
{
    struct weir_http_conn *conn = http->conn;
    char allow[WEIR_HTTP_ALLOW_MAX];
    int status;

    if (weir_unlikely(http->body_left > conn->server->config.body_max))
        return conn_refuse(http, 413, "the body is too large");
    status = weir_http_router_find(conn->server->router, conn_text(http, http->parser.method),
                                   conn_text(http, http->parser.path), &http->match, allow,
                                   sizeof allow);
    if (weir_unlikely(status != 0)) {
        weir_http_reply_unmatched(http, status, allow);
    } else if (http->match.brief || conn->in_fiber) {
        http->brief = http->match.brief;
        if (weir_unlikely(conn->in_fiber))
            http->plain = false;
        http->match.handler(http, http->match.arg);
    } else {
        return conn_dispatch_fiber(http);
    }
    conn_finish_request(http);
    return true;
}

/* What one step needs; false when there is no memory. */
static __attribute__((noinline)) bool conn_equip(struct weir_http_conn *conn)
{
    if (!conn->http)
        conn->http = weir_http_request_new(conn);
    if (!conn->http || !weir_http_out_have(conn)) {
        conn->failed = true;
        return false;
    }
    return true;
}

/* One step through what has been received; false when a fiber has the connection now. */
static inline bool conn_step(struct weir_http_conn *conn)
{
    struct weir_http *http;
    int whole;

    if (weir_unlikely(!conn->http || !conn->out) && !conn_equip(conn))
        return true;
    http = conn->http;
    if (weir_unlikely(http->phase == WEIR_HTTP_SKIPPING)) {
        weir_http_body_skip(http);
        return true;
    }
    whole = weir_http_request_parse(http);
    if (weir_likely(whole > 0))
        return conn_dispatch(http);
    if (whole < 0)
        weir_http_refuse(http, http->parser.status, http->parser.error);
    return true;
}

/* Answers what has been received, as far as the answers find room; false when a fiber goes on. */
static bool conn_answer(struct weir_http_conn *conn)
{
    if (!conn_has_input(conn))
        return true;
    weir_http_prefix_refresh(conn->server);
    while (conn_has_input(conn) && !conn->closing && !conn->failed) {
        if (conn->sending && !conn->in_fiber)
            break;
        if (conn->out && conn->out->len >= OUT_FULL)
            break;
        if (!conn_step(conn))
            return false;
    }
    if (!conn->in_fiber)
        conn_park_request(conn);
    return true;
}

void weir_http_conn_pump(struct weir_http_conn *conn)
{
    conn_forget_later(conn);
    for (unsigned ready = 0;; ready++) {
        if (conn_over(conn))
            return;
        if (ready == READY_MAX)
            break;
        if (!conn->lingering && !conn_answer(conn))
            return;
        conn_send(conn);
        if (conn->sending) {
            /* The next request may come while the answer leaves; it will wait in rx.buf. */
            if (conn->closing)
                weir_http_wait(conn, WEIR_HTTP_BUSY);
            else if (!conn->receiving && !conn->eof && !conn_has_input(conn))
                conn_receive(conn);
            return;
        }
        if (conn->failed)
            continue;
        if (conn->closing && !conn->lingering && !conn_linger(conn))
            return;
        if (conn->eof) {
            conn_close(conn, false);
            return;
        }
        if (conn_has_input(conn) && !conn->lingering)
            continue; /* there is room for answers again */
        if (conn->receiving || !conn_receive(conn))
            return;
    }
    weir_http_later(conn);
}

/* --- from outside --- */

int weir_http_conn_open(struct weir_http_server *server, struct weir_conn *socket)
{
    struct weir_http_conn *conn = weir_pool_get(&server->conns);

    if (!conn)
        return -ENOMEM;
    memset(conn, 0, sizeof *conn);
    conn->server = server;
    conn->rx.conn = socket;
    conn->wait = WEIR_HTTP_WAITS;
    weir_list_init(&conn->link);
    server->stats->conns++;
    server->stats->conns_total++;
    weir_http_wait(conn, WEIR_HTTP_BUSY);
    weir_http_conn_pump(conn);
    return 0;
}

void weir_http_conn_expire(struct weir_http_conn *conn, enum weir_http_wait wait)
{
    struct weir_http_server *server = conn->server;

    if (wait == WEIR_HTTP_LINGER) {
        conn_close(conn, false);
        return;
    }
    if (conn->sending) {
        weir_http_wait(conn, wait); /* the send has a deadline of its own, and holds up the rest */
        return;
    }
    if (wait != WEIR_HTTP_IDLE || !server->draining)
        server->stats->timeouts++;
    if (wait == WEIR_HTTP_HEAD)
        weir_http_refuse(conn->http, 408, "the request took too long");
    conn->closing = true;
    weir_http_conn_pump(conn);
}

void weir_http_conn_cut(struct weir_http_conn *conn)
{
    if (conn->in_fiber)
        conn->failed = true;
    else if (!conn->closed)
        conn_close(conn, true);
}
