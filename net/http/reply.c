/* reply.c - answers: their head, whole answers, and those that weir gives by itself.
 *
 * The head is put together from pieces that are ready: status line, Server and Date of a 200 are
 * one copy (date.c).  Whether the connection goes on is decided here, in one place, because the
 * head has to say it; what follows the last answer of a connection is not looked at.
 *
 * Invariant: every request that has been parsed or refused gets one final head, which is counted.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include "net/http/scan.h"
#include "net/http/server.h"

enum {
    STATUS_LINE_200 = sizeof "HTTP/1.1 200 OK\r\n" - 1,
    NUMBER_SLACK = 24, /* a number and an empty line */
    HEAD_SLACK = 192,  /* status line, Content-Length, Connection, and what goes around them */
    COPY_MAX = 8192,   /* bytes of a body that a fiber copies rather than sends from where it is */
};

static char *put(char *at, const char *text, size_t len)
{
    memcpy(at, text, len);
    return at + len;
}

#define PUT(at, literal) put(at, literal, sizeof(literal) - 1)

static __attribute__((noinline)) char *put_long_number(char *at, uint64_t value)
{
    char digits[20];
    char *first = digits + sizeof digits;

    do {
        *--first = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    return put(at, first, (size_t)(digits + sizeof digits - first));
}

static inline char *put_number(char *at, uint64_t value)
{
    if (value >= 100)
        return put_long_number(at, value);
    if (value >= 10)
        *at++ = (char)('0' + value / 10);
    *at++ = (char)('0' + value % 10);
    return at;
}

/* Bytes of an answer of the usual size, without a call for less than 16 of them. */
static inline char *put_body(char *at, struct weir_str body)
{
    if (body.len > 16)
        return put(at, body.at, body.len);
    if (body.len >= 8) {
        memcpy(at, body.at, 8);
        memcpy(at + body.len - 8, body.at + body.len - 8, 8);
    } else {
        for (size_t i = 0; i < body.len; i++)
            at[i] = body.at[i];
    }
    return at + body.len;
}

/* --- fields of the answer --- */

static bool is_token(const char *text)
{
    const char *at = text;

    while (http_set_has(&http_token, *at))
        at++;
    return at > text && *at == '\0';
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* RFC 9110, 5.5: no control bytes but TAB, no white space at the ends. */
static bool is_field_value(struct weir_str value)
{
    if (value.len > 0 && (is_blank(value.at[0]) || is_blank(value.at[value.len - 1])))
        return false;
    return http_scan_value_portable(value.at, 0, value.len, NULL) == value.len;
}

static bool is_own_field(const char *name)
{
    static const char *const own[] = { "Content-Length", "Transfer-Encoding", "Connection",
                                       "Date" };

    for (size_t i = 0; i < WEIR_COUNT(own); i++)
        if (strcasecmp(name, own[i]) == 0)
            return true;
    return false;
}

int weir_http_field(struct weir_http *http, const char *name, struct weir_str value)
{
    size_t name_len = strlen(name);
    char *at = http->fields + http->fields_len;

    if (!is_token(name) || !is_field_value(value) || is_own_field(name))
        return -EINVAL;
    if (http->answer != WEIR_HTTP_UNANSWERED)
        return -EALREADY;
    if (name_len + value.len + 4 > sizeof http->fields - http->fields_len)
        return -ENOBUFS;
    at = put(at, name, name_len);
    at = PUT(at, ": ");
    at = put(at, value.at, value.len);
    at = PUT(at, "\r\n");
    http->fields_len = (uint32_t)(at - http->fields);
    http->plain = false;
    return 0;
}

/* --- the head --- */

bool weir_http_reply_bodiless(const struct weir_http *http, int status)
{
    return http->head_only || status == 204 || status == 304;
}

/* Whether bytes of a further request are there. */
static bool head_has_more(const struct weir_http *http)
{
    const struct weir_buf *buf = http->conn->rx.buf;

    if (!buf)
        return false;
    if (http->body_done)
        return buf->len > 0;
    return !(http->parser.flags & WEIR_HTTP_CHUNKED) && buf->len > http->body_left;
}

/* Whether the connection ends with this answer.  A server that drains answers all it has in hand.
 */
static bool head_closes(const struct weir_http *http)
{
    if (http->conn->closing || http->body_error || weir_http_is_last(http))
        return true;
    if (http->expect) /* nobody can tell whether the body will come */
        return true;
    return http->conn->server->draining && !head_has_more(http);
}

static char *put_status(const struct weir_http_server *server, char *at, int status)
{
    const char *reason;

    if (weir_likely(status == 200))
        return put(at, server->prefix, server->prefix_len);
    at = PUT(at, "HTTP/1.1 ");
    at = put_number(at, (uint64_t)status);
    at = PUT(at, " ");
    reason = weir_http_reason(status);
    at = put(at, reason, strlen(reason));
    at = PUT(at, "\r\n");
    return put(at, server->prefix + STATUS_LINE_200, server->prefix_len - STATUS_LINE_200);
}

static char *put_framing(const struct weir_http *http, char *at, int status, int64_t length)
{
    if (status == 204 || status == 304)
        return at;
    if (length >= 0) {
        at = PUT(at, "Content-Length: ");
        at = put_number(at, (uint64_t)length);
        return PUT(at, "\r\n");
    }
    if (http->parser.flags & WEIR_HTTP_VERSION_10)
        return at;
    return PUT(at, "Transfer-Encoding: chunked\r\n");
}

static char *put_connection(const struct weir_http *http, char *at)
{
    if (weir_unlikely(http->conn->closing))
        return PUT(at, "Connection: close\r\n");
    if (weir_unlikely(http->parser.flags & WEIR_HTTP_VERSION_10))
        return PUT(at, "Connection: keep-alive\r\n");
    return at;
}

int weir_http_reply_head(struct weir_http *http, int status, const char *type, int64_t length,
                         size_t extra, char **at)
{
    struct weir_http_server *server = http->conn->server;
    size_t type_len = type ? strlen(type) : 0;
    size_t need = sizeof server->prefix + HEAD_SLACK + http->fields_len + type_len + extra;
    char *begin, *end;

    if (!is_field_value((struct weir_str){ type, type_len }))
        return -EINVAL;
    begin = end = weir_http_out_room(http, need);
    if (!begin)
        return http->conn->in_fiber ? -ECONNRESET : -ENOBUFS;
    weir_http_prefix_refresh(server);
    http->conn->closing = head_closes(http);
    end = put_status(server, end, status);
    if (http->fields_len > 0)
        end = put(end, http->fields, http->fields_len);
    if (type) {
        end = PUT(end, "Content-Type: ");
        end = put(end, type, type_len);
        end = PUT(end, "\r\n");
    }
    end = put_framing(http, end, status, length);
    end = put_connection(http, end);
    end = PUT(end, "\r\n");
    weir_http_out_add(http, (size_t)(end - begin));
    server->stats->requests++;
    http->plain = false;
    *at = end;
    return 0;
}

/* --- whole answers --- */

/* The body behind its head: by copying, or from where it is. */
static int reply_body(struct weir_http *http, struct weir_str body, char *at)
{
    struct iovec iov = { .iov_base = (void *)(uintptr_t)body.at, .iov_len = body.len };

    if (!at)
        return weir_http_out_flush(http, &iov, 1);
    if (body.len > 0)
        memcpy(at, body.at, body.len);
    weir_http_out_add(http, body.len);
    return 0;
}

static __attribute__((noinline)) int reply_any(struct weir_http *http, int status, const char *type,
                                               struct weir_str body)
{
    bool bodiless = weir_http_reply_bodiless(http, status);
    bool copy = bodiless || body.len <= COPY_MAX || !http->conn->in_fiber;
    char *at = NULL;
    int error;

    if (http->answer != WEIR_HTTP_UNANSWERED)
        return -EALREADY;
    if (status < 200 || status > 599)
        return -EINVAL;
    if (http->brief && body.len > WEIR_HTTP_BRIEF_MAX)
        return -ENOBUFS;
    if (!http->body_done && http->body_left > WEIR_HTTP_UNREAD_MAX)
        http->conn->closing = true; /* that much is not passed over */
    error = weir_http_reply_head(http, status, type, (int64_t)body.len,
                                 copy && !bodiless ? body.len : 0, &at);
    if (error < 0)
        return error;
    http->answer = WEIR_HTTP_ANSWERED;
    return bodiless ? 0 : reply_body(http, body, copy ? at : NULL);
}

/* Makes ready the head with this type; false when it is not valid or too long for that. */
static __attribute__((noinline)) bool reply_type_remember(struct weir_http_server *server,
                                                          const char *type)
{
    size_t len = strlen(type);
    char *end = server->typed;

    weir_http_prefix_refresh(server);
    server->typed_len = 0;
    if (len >= sizeof server->type || !is_field_value((struct weir_str){ type, len }))
        return false;
    memcpy(server->type, type, len + 1);
    end = put(end, server->prefix, server->prefix_len);
    end = PUT(end, "Content-Type: ");
    end = put(end, type, len);
    end = PUT(end, "\r\nContent-Length: ");
    server->typed_len = (uint32_t)(end - server->typed);
    weir_assert(server->typed_len <= sizeof server->typed);
    return true;
}

/* The usual answer: 200 with a type, to a request that asked for nothing else, on a connection that
 * goes on, from a brief handler.  Its head is one copy and a number; the date in it is of this turn
 * (conn_answer).  False: the long way; nothing
 * has been done then. */
static bool reply_plain(struct weir_http *http, const char *type, struct weir_str body)
{
    struct weir_http_conn *conn = http->conn;
    struct weir_http_server *server = conn->server;
    struct weir_http_out *out = conn->out;
    size_t need;
    char *at;

    if (weir_unlikely(!out || conn->closing || server->draining))
        return false;
    if (weir_unlikely(server->typed_len == 0 || strcmp(type, server->type) != 0) &&
        !reply_type_remember(server, type))
        return false;
    at = out->data + out->len;
    need = server->typed_len + body.len + NUMBER_SLACK;
    if (weir_unlikely(out->cap - out->len < need)) {
        at = weir_http_out_room(http, need);
        if (!at)
            return false;
    }
    at = put(at, server->typed, server->typed_len);
    at = put_number(at, body.len);
    at = PUT(at, "\r\n\r\n");
    at = put_body(at, body);
    out->len = (uint32_t)(at - out->data);
    server->stats->requests++;
    http->answer = WEIR_HTTP_ANSWERED;
    http->plain = false;
    return true;
}

int weir_http_reply(struct weir_http *http, int status, const char *type, struct weir_str body)
{
    if (weir_likely(http->plain && status == 200 && type && body.len <= COPY_MAX) &&
        weir_likely(reply_plain(http, type, body)))
        return 0;
    return reply_any(http, status, type, body);
}
/* --- answers of weir's own --- */

static void reply_text(struct weir_http *http, int status, const char *why)
{
    char text[256];
    int len = snprintf(text, sizeof text, "%d %s%s%s\n", status, weir_http_reason(status),
                       why ? ": " : "", why ? why : "");

    len = len < (int)sizeof text ? len : (int)sizeof text - 1;
    if (weir_http_reply(http, status, "text/plain", (struct weir_str){ text, (size_t)len }) < 0)
        http->conn->failed = true;
}

void weir_http_refuse(struct weir_http *http, int status, const char *why)
{
    http->conn->closing = true;
    http->conn->server->stats->refused++;
    reply_text(http, status, why);
}

void weir_http_reply_unmatched(struct weir_http *http, int status, const char *allow)
{
    if (status == 405)
        weir_http_field(http, "Allow", (struct weir_str){ allow, strlen(allow) });
    reply_text(http, status, NULL);
}

/* What a broken body is called, for a handler that has not said it. */
static int status_of_body_error(int error)
{
    switch (error) {
    case -EBADMSG:
        return 400;
    case -EMSGSIZE:
        return 413;
    case -ETIMEDOUT:
        return 408;
    default:
        return 0; /* there is nobody to tell */
    }
}

void weir_http_reply_finish(struct weir_http *http)
{
    int status = status_of_body_error(http->body_error);

    if (http->answer == WEIR_HTTP_STREAMING) {
        if (!http->out_bodiless && (http->framing == WEIR_HTTP_BY_CHUNKS || http->out_left > 0))
            http->conn->failed = true; /* cut short: the peer has to notice */
        return;
    }
    if (http->answer == WEIR_HTTP_ANSWERED)
        return;
    http->fields_len = 0; /* meant for another answer */
    if (status)
        weir_http_refuse(http, status, NULL);
    else if (http->body_error)
        http->conn->failed = true;
    else
        reply_text(http, 500, NULL);
}

void weir_http_reply_check_fiber(const struct weir_http *http, const char *call)
{
    if (http->brief)
        weir_panic("%s may suspend, and a brief handler must not: register the handler by "
                   "weir_http_route instead of weir_http_route_brief",
                   call);
}
