/* stream.c - answers in pieces.
 *
 * Small pieces are gathered and leave with the next send, at the latest one turn of the loop later;
 * big ones are sent from where they are, and the writer waits.
 *
 * Invariant: what has been written never exceeds what the head has announced. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "net/http/server.h"

enum { GATHER_MAX = 4096 };

int weir_http_begin(struct weir_http *http, int status, const char *type, int64_t length)
{
    bool old = http->parser.flags & WEIR_HTTP_VERSION_10;
    char *at;
    int error;

    weir_http_reply_check_fiber(http, "weir_http_begin");
    if (http->answer != WEIR_HTTP_UNANSWERED)
        return -EALREADY;
    if (status < 200 || status > 599 || length < -1)
        return -EINVAL;
    http->out_left = length < 0 ? 0 : (uint64_t)length;
    http->framing = length >= 0 ? WEIR_HTTP_BY_LENGTH : WEIR_HTTP_BY_CHUNKS;
    if (length < 0 && old) {
        http->framing = WEIR_HTTP_BY_CLOSE;
        http->conn->closing = true;
    }
    error = weir_http_reply_head(http, status, type, length, 0, &at);
    if (error < 0)
        return error;
    http->answer = WEIR_HTTP_STREAMING;
    http->out_bodiless = weir_http_reply_bodiless(http, status);
    return 0;
}

/* A piece with what frames it, behind the others. */
static int write_gathered(struct weir_http *http, const void *data, size_t len)
{
    bool chunk = http->framing == WEIR_HTTP_BY_CHUNKS;
    char *begin = weir_http_out_room(http, len + WEIR_HTTP_CODING_SLACK);
    char *at = begin;

    if (!begin)
        return -ECONNRESET;
    if (chunk)
        at += snprintf(at, WEIR_HTTP_CODING_SLACK, "%zx\r\n", len);
    memcpy(at, data, len);
    at += len;
    if (chunk)
        at = mempcpy(at, "\r\n", 2);
    weir_http_out_add(http, (size_t)(at - begin));
    return 0;
}

static int write_through(struct weir_http *http, const void *data, size_t len)
{
    struct iovec iov[2] = { { .iov_base = (void *)(uintptr_t)data, .iov_len = len },
                            { .iov_base = (void *)(uintptr_t) "\r\n", .iov_len = 2 } };
    char *at;

    if (http->framing != WEIR_HTTP_BY_CHUNKS)
        return weir_http_out_flush(http, iov, 1);
    at = weir_http_out_room(http, WEIR_HTTP_CODING_SLACK);
    if (!at)
        return -ECONNRESET;
    weir_http_out_add(http, (size_t)snprintf(at, WEIR_HTTP_CODING_SLACK, "%zx\r\n", len));
    return weir_http_out_flush(http, iov, 2);
}

int weir_http_write(struct weir_http *http, const void *data, size_t len)
{
    weir_http_reply_check_fiber(http, "weir_http_write");
    if (http->answer != WEIR_HTTP_STREAMING)
        return -EINVAL;
    if (http->framing == WEIR_HTTP_BY_LENGTH) {
        if (len > http->out_left)
            return -EOVERFLOW;
        http->out_left -= len;
    }
    if (http->conn->failed)
        return -ECONNRESET;
    if (len == 0 || http->out_bodiless) /* an empty chunk would be the last */
        return 0;
    return len <= GATHER_MAX ? write_gathered(http, data, len) : write_through(http, data, len);
}

int weir_http_end(struct weir_http *http)
{
    static const char last[] = "0\r\n\r\n";
    char *at;

    weir_http_reply_check_fiber(http, "weir_http_end");
    if (http->answer != WEIR_HTTP_STREAMING)
        return -EINVAL;
    if (http->conn->failed)
        return -ECONNRESET;
    if (http->out_left > 0 && !http->out_bodiless)
        return -ENODATA;
    http->out_left = 0;
    if (http->framing == WEIR_HTTP_BY_CHUNKS && !http->out_bodiless) {
        at = weir_http_out_room(http, sizeof last - 1);
        if (!at)
            return -ECONNRESET;
        memcpy(at, last, sizeof last - 1);
        weir_http_out_add(http, sizeof last - 1);
    }
    http->answer = WEIR_HTTP_ANSWERED;
    return 0;
}
