/* body.c - the request's body: decoded where it was received, or passed over.
 *
 * Bytes behind the body are the next request's, so nothing here looks further than the body's end.
 * A receive is started only by a fiber that reads; what no handler has read is passed over by the
 * connection, up to a bound beyond which closing is cheaper.
 *
 * Invariant: body_done, or body_error < 0, or there is more to come. */
#include <errno.h>
#include <string.h>
#include "net/http/server.h"

static struct weir_str body_input(const struct weir_http *http)
{
    const struct weir_buf *buf = http->conn->rx.buf;

    return buf ? (struct weir_str){ (const char *)buf->data, buf->len } : (struct weir_str){ 0 };
}

static void body_consume(struct weir_http *http, size_t len)
{
    http->conn->rx.buf->data += len;
    http->conn->rx.buf->len -= (uint32_t)len;
}

static void take_length(struct weir_http *http, struct weir_str input, size_t size,
                        struct weir_str *part)
{
    size_t len = weir_min_u64(weir_min_u64(input.len, size), http->body_left);

    *part = (struct weir_str){ input.at, len };
    body_consume(http, len);
    http->body_left -= len;
    http->body_done = http->body_left == 0;
}

/* Several steps may pass before there is a byte of body.  None is longer than `size`, so that its
 * part is not. */
static int take_chunked(struct weir_http *http, struct weir_str input, size_t size,
                        struct weir_str *part)
{
    while (input.len > 0 && part->len == 0 && !http->body_done) {
        int64_t used = weir_http_chunks_step(&http->chunks, input.at, weir_min_u64(input.len, size),
                                             part, &http->body_done);

        if (used < 0)
            return -EBADMSG;
        weir_assert(used > 0 && (size_t)used <= input.len);
        body_consume(http, (size_t)used);
        input.at += used;
        input.len -= (size_t)used;
    }
    if (part->len > http->conn->server->config.body_max - http->body_taken)
        return -EMSGSIZE;
    return 0;
}

int weir_http_body_take(struct weir_http *http, size_t size, struct weir_str *part)
{
    struct weir_str input = body_input(http);
    int error = 0;

    *part = (struct weir_str){ input.at, 0 };
    if (http->body_done || http->body_error || input.len == 0)
        return http->body_error;
    http->expect = false; /* it has not waited */
    if (http->parser.flags & WEIR_HTTP_CHUNKED)
        error = take_chunked(http, input, size, part);
    else
        take_length(http, input, size, part);
    http->body_error = error;
    http->body_taken += part->len;
    return error;
}

bool weir_http_body_skip(struct weir_http *http)
{
    struct weir_str part;
    int error = weir_http_body_take(http, SIZE_MAX, &part);

    http->skipped += part.len;
    if (error == 0 && http->body_done) {
        weir_http_request_reset(http);
        return true;
    }
    if (error == 0 && http->skipped <= WEIR_HTTP_UNREAD_MAX)
        return false;
    http->conn->closing = true;
    return true;
}

/* --- weir_http_read --- */

static int read_send_continue(struct weir_http *http)
{
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    char *room;

    if (!http->expect || http->answer != WEIR_HTTP_UNANSWERED)
        return 0;
    room = weir_http_out_room(http, sizeof text - 1);
    if (!room)
        return -ECONNRESET;
    memcpy(room, text, sizeof text - 1);
    weir_http_out_add(http, sizeof text - 1);
    http->expect = false;
    return 0;
}

/* The head's buffer stays while the handler may look at it; those with body only are given back. */
static void read_give_back(struct weir_http *http)
{
    struct weir_http_conn *conn = http->conn;

    weir_assert(!conn->rx.buf || conn->rx.buf->len == 0);
    if (http->head_buf || http->gather)
        weir_buf_free(conn->rx.buf);
    else
        http->head_buf = conn->rx.buf;
    conn->rx.buf = NULL;
}

/* Receives more of the body. */
static int read_more(struct weir_http *http)
{
    struct weir_http_conn *conn = http->conn;
    int64_t received;
    int error;

    if (http->body_deadline == 0)
        http->body_deadline = weir_after(conn->server->config.body_timeout);
    error = read_send_continue(http);
    if (error == 0)
        error = weir_http_out_flush(http, NULL, 0);
    if (error < 0)
        return error;
    read_give_back(http);
    weir_recv_buf_start(&conn->rx, conn->rx.conn);
    received = weir_await(&conn->rx.future, http->body_deadline);
    if (received > 0)
        return 0;
    if (received == -ETIMEDOUT)
        conn->server->stats->timeouts++;
    else if (received == 0)
        conn->eof = true;
    else if (received != -ECANCELED)
        conn->failed = true;
    return received == 0 ? -ECONNRESET : (int)received;
}

int64_t weir_http_read(struct weir_http *http, void *data, size_t size)
{
    struct weir_str part;

    if (size == 0)
        return 0;
    for (;;) {
        int error = weir_http_body_take(http, size, &part);

        if (error < 0)
            return error;
        if (part.len > 0) {
            memcpy(data, part.at, part.len);
            return (int64_t)part.len;
        }
        if (http->body_done)
            return 0;
        if (http->brief)
            return -EAGAIN;
        error = read_more(http);
        if (error < 0)
            return http->body_error = error;
    }
}
