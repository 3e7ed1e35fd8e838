/* request.c - the request in hand: taking its head out of what was received, and reading it.
 *
 * A head that came in one receive buffer is parsed and left there; the buffer stays with the
 * connection until the request is done.  Only one that is split is copied: into `gather`, so that a
 * slow client holds plain memory (at most the limits of a head) and no receive buffer.
 *
 * Invariant: rx.buf->data stands at the first byte that the request has not taken. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "net/http/server.h"

enum { GATHER_MIN = 1024, GATHER_SLACK = 64 };

struct weir_http *weir_http_request_new(struct weir_http_conn *conn)
{
    struct weir_http *http = conn->server->spare;

    if (weir_likely(http != NULL)) {
        conn->server->spare = NULL;
        http->conn = conn;
        return http;
    }
    http = weir_pool_get(&conn->server->https);
    if (!http)
        return NULL;
    http->conn = conn;
    http->gather = NULL;
    http->gather_cap = 0;
    http->head_buf = NULL;
    weir_http_request_reset(http);
    return http;
}

void weir_http_request_let_go(struct weir_http *http)
{
    struct weir_http_conn *conn = http->conn;

    if (conn->wait == WEIR_HTTP_HEAD || conn->wait == WEIR_HTTP_BODY)
        weir_http_wait(conn, WEIR_HTTP_BUSY); /* the next request has a time of its own */
    free(http->gather);
    http->gather = NULL;
    http->gather_cap = 0;
    weir_buf_free(http->head_buf);
    http->head_buf = NULL;
}

void weir_http_request_free(struct weir_http *http)
{
    free(http->gather);
    weir_buf_free(http->head_buf);
    weir_pool_put(&http->conn->server->https, http);
}

void weir_http_request_spare(struct weir_http *http)
{
    struct weir_http_server *server = http->conn->server;

    weir_assert(http->phase == WEIR_HTTP_PARSING && !http->gather && !http->head_buf);
    if (!server->spare)
        server->spare = http;
    else
        weir_http_request_free(http);
}

/* --- the head --- */

static void input_consume(struct weir_http *http, size_t len)
{
    struct weir_buf *buf = http->conn->rx.buf;

    weir_assert(len <= buf->len);
    buf->data += len;
    buf->len -= (uint32_t)len;
}

static int request_fail(struct weir_http *http, int status, const char *error)
{
    http->parser.status = status;
    http->parser.error = error;
    return -1;
}

/* The request asks for more than the usual: its body, and what it wants to know of that. */
static __attribute__((noinline)) void request_begin_body(struct weir_http *http)
{
    const struct weir_http_parser *parser = &http->parser;

    if (parser->flags & WEIR_HTTP_CHUNKED) {
        weir_http_chunks_init(&http->chunks);
        http->body_done = false;
    } else {
        http->body_left = parser->flags & WEIR_HTTP_HAS_LENGTH ? parser->length : 0;
        http->body_done = http->body_left == 0;
    }
    http->expect = (parser->flags & WEIR_HTTP_EXPECT_CONTINUE) && !http->body_done;
}

/* The head is whole: what the server has to know of it. */
static inline void request_begin(struct weir_http *http, const char *head)
{
    const struct weir_http_parser *parser = &http->parser;
    struct weir_http_span method = parser->method;

    http->head = head;
    http->phase = WEIR_HTTP_HANDLING;
    http->head_only = method.len == 4 && memcmp(head + method.at, "HEAD", 4) == 0;
    http->body_done = true;
    http->plain = !http->head_only;
    if (weir_unlikely((parser->flags & ~(uint32_t)WEIR_HTTP_KEEP_ALIVE) != 0)) {
        http->plain = false;
        request_begin_body(http);
    }
}

/* Makes room for some more bytes of the head; how many, or 0: no memory, or it is as long as it can
 * get and the parser should have said so. */
static size_t gather_room(struct weir_http *http, size_t wanted)
{
    const struct weir_http_limits *limits = &http->conn->server->limits;
    size_t max = (size_t)limits->line_max + limits->headers_max + GATHER_SLACK;
    size_t cap = http->gather_cap;
    char *gather;

    if (http->gather_len + wanted > cap && cap < max) {
        cap = weir_max_u64(GATHER_MIN, weir_max_u64(2 * cap, http->gather_len + wanted));
        cap = weir_min_u64(cap, max);
        gather = realloc(http->gather, cap);
        if (!gather)
            return 0;
        http->gather = gather;
        http->gather_cap = (uint32_t)cap;
    }
    return weir_min_u64(wanted, http->gather_cap - http->gather_len);
}

/* Puts the input behind what has been gathered; how many bytes of it. */
static size_t request_gather(struct weir_http *http)
{
    struct weir_buf *buf = http->conn->rx.buf;
    size_t len = gather_room(http, buf->len);

    if (len > 0)
        memcpy(http->gather + http->gather_len, buf->data, len);
    http->gather_len += (uint32_t)len;
    return len;
}

static __attribute__((noinline)) int request_parse_gathered(struct weir_http *http)
{
    uint32_t before = http->gather_len;
    size_t added = request_gather(http);
    int whole;

    if (added == 0)
        return request_fail(http, 431, "the header is too large");
    whole =
        weir_http_parse(&http->parser, &http->conn->server->limits, http->gather, http->gather_len);
    if (whole < 0)
        return whole;
    if (whole > 0) {
        weir_assert(http->parser.head_len > before);
        added = http->parser.head_len - before;
        request_begin(http, http->gather);
    }
    input_consume(http, added);
    return whole;
}

/* The head goes on beyond what has been received. */
static __attribute__((noinline)) int request_put_by(struct weir_http *http)
{
    size_t len = http->conn->rx.buf->len;

    if (request_gather(http) < len)
        return request_fail(http, 503, "no memory");
    input_consume(http, len);
    return 0;
}

int weir_http_request_parse(struct weir_http *http)
{
    struct weir_buf *buf = http->conn->rx.buf;
    const char *head = (const char *)buf->data;
    int whole;

    if (weir_unlikely(http->gather_len > 0))
        return request_parse_gathered(http);
    whole = weir_http_parse(&http->parser, &http->conn->server->limits, head, buf->len);
    if (weir_unlikely(whole <= 0))
        return whole < 0 ? whole : request_put_by(http);
    input_consume(http, http->parser.head_len);
    request_begin(http, head);
    return 1;
}

/* --- what a handler may ask --- */

static struct weir_str span_str(const struct weir_http *http, struct weir_http_span span)
{
    return (struct weir_str){ http->head + span.at, span.len };
}

struct weir_str weir_http_method(const struct weir_http *http)
{
    return span_str(http, http->parser.method);
}

struct weir_str weir_http_path(const struct weir_http *http)
{
    return span_str(http, http->parser.path);
}

struct weir_str weir_http_query(const struct weir_http *http)
{
    return span_str(http, http->parser.query);
}

struct weir_str weir_http_header(const struct weir_http *http, const char *name)
{
    size_t len = strlen(name);

    for (uint32_t i = 0; i < http->parser.fields; i++) {
        const struct weir_http_field *field = &http->parser.field[i];

        if (field->name.len == len && strncasecmp(http->head + field->name.at, name, len) == 0)
            return span_str(http, field->value);
    }
    return (struct weir_str){ NULL, 0 };
}

struct weir_str weir_http_param(const struct weir_http *http, const char *name)
{
    for (unsigned i = 0; i < http->match.params; i++)
        if (strcmp(http->match.param_name[i], name) == 0)
            return http->match.param_value[i];
    return (struct weir_str){ NULL, 0 };
}

bool weir_http_header_at(const struct weir_http *http, size_t index, struct weir_str *name,
                         struct weir_str *value)
{
    if (index >= http->parser.fields)
        return false;
    *name = span_str(http, http->parser.field[index].name);
    *value = span_str(http, http->parser.field[index].value);
    return true;
}

int64_t weir_http_body_length(const struct weir_http *http)
{
    if (http->parser.flags & WEIR_HTTP_CHUNKED)
        return -1;
    return http->parser.flags & WEIR_HTTP_HAS_LENGTH ? (int64_t)http->parser.length : 0;
}
