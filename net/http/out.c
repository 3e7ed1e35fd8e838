/* out.c - answers on their way out.
 *
 * Answers are written one behind the other, and leave by one send.  A few small ones fit into the
 * out itself; a pipeline of them moves into a block of the server; only a big one of a brief
 * handler, which cannot wait until some of it has been sent, gets memory from malloc.
 *
 * Invariant: while conn->sending, data and len belong to the send. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "net/http/server.h"

enum { MORE_MAX = 2 };

struct weir_http_out *weir_http_out_new(struct weir_http_conn *conn)
{
    struct weir_http_out *out = weir_pool_get(&conn->server->outs);

    if (!out)
        return NULL;
    weir_list_init(&out->link);
    out->conn = conn;
    out->data = out->room;
    out->len = 0;
    out->cap = WEIR_HTTP_OUT_SIZE - offsetof(struct weir_http_out, room);
    return out;
}

/* Blocks have the size WEIR_HTTP_BLOCK, and nothing from malloc has. */
static void out_free_data(struct weir_http_out *out)
{
    if (out->data == out->room)
        return;
    if (out->cap == WEIR_HTTP_BLOCK)
        weir_pool_put(&out->conn->server->blocks, out->data);
    else
        free(out->data);
}

void weir_http_out_free(struct weir_http_out *out)
{
    weir_list_del(&out->link);
    if (weir_unlikely(out->data != out->room))
        out_free_data(out);
    weir_pool_put(&out->conn->server->outs, out);
}

static bool out_grow(struct weir_http_out *out, size_t size)
{
    size_t cap = WEIR_HTTP_BLOCK;
    char *data = NULL;

    if (size <= cap)
        data = weir_pool_get(&out->conn->server->blocks);
    if (!data) {
        do
            cap *= 2;
        while (cap < size);
        data = malloc(cap);
    }
    if (!data)
        return false;
    memcpy(data, out->data, out->len);
    out_free_data(out);
    out->data = data;
    out->cap = (uint32_t)cap;
    return true;
}

static weir_time out_deadline(const struct weir_http_out *out)
{
    weir_time deadline;

    if (__builtin_add_overflow(out->since, out->conn->server->config.send_timeout, &deadline))
        return WEIR_NEVER;
    return deadline;
}

/* Waits for the send under way, if there is one. */
static int out_settle(struct weir_http_conn *conn)
{
    int64_t sent;

    if (conn->sending) {
        sent = weir_await(&conn->out->tx.future, out_deadline(conn->out));
        conn->sending = false;
        conn->out->len = 0;
        if (sent == -ETIMEDOUT)
            conn->server->stats->timeouts++;
        if (sent < 0)
            conn->failed = true;
        if (sent == -ECANCELED)
            return -ECANCELED;
    }
    return conn->failed ? -ECONNRESET : 0;
}

char *weir_http_out_room(struct weir_http *http, size_t need)
{
    struct weir_http_conn *conn = http->conn;

    if (conn->in_fiber) {
        if (out_settle(conn) < 0)
            return NULL;
        if (conn->out && conn->out->len + need > WEIR_HTTP_BLOCK &&
            weir_http_out_flush(http, NULL, 0) < 0)
            return NULL;
    }
    weir_assert(!conn->sending);
    if (!weir_http_out_have(conn))
        return NULL;
    if (conn->out->cap - conn->out->len < need && !out_grow(conn->out, conn->out->len + need))
        return NULL;
    return conn->out->data + conn->out->len;
}

void weir_http_out_add(struct weir_http *http, size_t len)
{
    struct weir_http_out *out = http->conn->out;

    weir_assert(len <= out->cap - out->len);
    out->len += (uint32_t)len;
    if (http->conn->in_fiber)
        weir_http_later_send(out);
}

int weir_http_out_flush(struct weir_http *http, const struct iovec *more, size_t count)
{
    struct weir_http_conn *conn = http->conn;
    struct iovec iov[1 + MORE_MAX];
    size_t parts = 0;
    int error = out_settle(conn);

    weir_assert(conn->in_fiber && count <= MORE_MAX);
    if (error < 0)
        return error;
    weir_assert(conn->out || count == 0); /* the head of the answer has been there */
    if (!conn->out)
        return 0;
    if (conn->out->len > 0)
        iov[parts++] = (struct iovec){ conn->out->data, conn->out->len };
    for (size_t i = 0; i < count; i++)
        iov[parts++] = more[i];
    if (parts == 0)
        return 0;
    weir_list_del(&conn->out->link);
    conn->sending = true;
    conn->out->since = weir_now();
    weir_sendv_start(&conn->out->tx, conn->rx.conn, iov, parts);
    return out_settle(conn);
}
