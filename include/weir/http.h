/* http.h - an HTTP/1.1 server (RFC 9110, RFC 9112).
 *
 * A router maps method and path to handlers; weir_http_serve() accepts, parses, calls them and
 * answers.  One server runs per shard.  Between two requests a connection holds no fiber and no
 * receive buffer.  Requests that arrive together are answered by one send, in order.
 *
 * The parser is strict: what RFC 9112 lets a server refuse, it refuses, and closes.  There is no
 * lenient mode. */
#ifndef WEIR_HTTP_H
#define WEIR_HTTP_H

#include <weir/base.h>
#include <weir/net.h>

WEIR_BEGIN

/* One request and its answer.  Everything it points to is valid until the handler returns. */
struct weir_http;

/* A handler answers by one weir_http_reply, or by weir_http_begin, _write ..., _end.  One that
 * returns without an answer is answered for with 500.
 *
 * An ordinary handler runs in a fiber of its own and may await.  A brief one runs on the shard's
 * loop, saves the fiber, and must not suspend: it answers by weir_http_reply. */
typedef void weir_http_handler(struct weir_http *http, void *arg);

/* --- the request --- */

WEIR_API struct weir_str weir_http_method(const struct weir_http *http);
WEIR_API struct weir_str weir_http_path(const struct weir_http *http);  /* as sent, without query */
WEIR_API struct weir_str weir_http_query(const struct weir_http *http); /* behind '?', or empty */

/* The path's parameter `name` ("{name}" in the pattern), as sent; .at NULL when there is none. */
WEIR_API struct weir_str weir_http_param(const struct weir_http *http, const char *name);

/* The first header field of that name, case-insensitively, without the white space around its
 * value; .at NULL when there is none. */
WEIR_API struct weir_str weir_http_header(const struct weir_http *http, const char *name);

/* All fields, in order: false when `index` is beyond the last. */
WEIR_API bool weir_http_header_at(const struct weir_http *http, size_t index, struct weir_str *name,
                                  struct weir_str *value);

/* Bytes of the body that Content-Length announced; -1: chunked; 0: none. */
WEIR_API int64_t weir_http_body_length(const struct weir_http *http);

/* The next bytes of the body, decoded; 0 at its end.  Suspends (ordinary handlers only; a brief
 * handler gets what has been received with its head, else -EAGAIN).  Sends "100 Continue" first if
 * the client waits for it.  -ECONNRESET; -EBADMSG: not valid chunked coding; -EMSGSIZE: longer than
 * body_max; -ETIMEDOUT: slower than the body deadline.  After an error the connection closes once
 * the answer is sent; answer as you like, or return: the right status is sent (400, 413, 408). */
WEIR_API int64_t weir_http_read(struct weir_http *http, void *data, size_t size);

/* --- the answer --- */

/* A field of the answer, before weir_http_reply or weir_http_begin.  Content-Length,
 * Transfer-Encoding, Connection and Date are weir's own.  -EINVAL: not a valid name or value;
 * -EALREADY: the answer has begun; -ENOBUFS: more than WEIR_HTTP_FIELDS_MAX bytes of fields. */
enum { WEIR_HTTP_FIELDS_MAX = 2048 };
WEIR_API int weir_http_field(struct weir_http *http, const char *name, struct weir_str value);

/* The whole answer.  `type` NULL: no Content-Type.  The body is copied, so it may be anywhere. HEAD
 * gets the same header and no body.  0; -EINVAL: a status not in 200 .. 599, or a type that is no
 * field value; -EALREADY: answered before; -ECONNRESET: the peer has gone; -ENOBUFS: more than 1
 * MiB from a brief handler, which cannot wait for the peer (if it leaves it at that, 500 is sent).
 * Suspends only in ordinary handlers, when the peer reads slowly. */
WEIR_API int weir_http_reply(struct weir_http *http, int status, const char *type,
                             struct weir_str body);

/* An answer in pieces: of `length` bytes in all, or -1: chunked (until closing, for HTTP/1.0).
 * Small pieces may leave together, at the latest when the shard has its next turn.  Suspend
 * (ordinary handlers only).  0 or a negated errno; -EOVERFLOW: more than `length` bytes; -ENODATA:
 * the end after less.  An answer that is not brought to its end is cut off, so that the peer
 * notices. */
WEIR_API int weir_http_begin(struct weir_http *http, int status, const char *type, int64_t length);
WEIR_API int weir_http_write(struct weir_http *http, const void *data, size_t len);
WEIR_API int weir_http_end(struct weir_http *http);

/* The reason phrase of a status (RFC 9110, 15): "OK"; "" when it is not registered. */
WEIR_API const char *weir_http_reason(int status);

/* --- the router --- */

/* Patterns are absolute paths whose segments are literal, or "{name}" (any one non-empty segment),
 * or, as the last, "{name...}" (the rest, perhaps empty).  Literal beats parameter, segment by
 * segment.  A router is built once and read by all shards. */
struct weir_http_router;

WEIR_API int weir_http_router_new(struct weir_http_router **router);
WEIR_API void weir_http_router_free(struct weir_http_router *router);

/* 0; -EINVAL: not a pattern or a method; -EEXIST: that method and pattern is there; -ENOMEM.  GET
 * serves HEAD as well unless HEAD has a handler of its own. */
WEIR_API int weir_http_route(struct weir_http_router *router, const char *method,
                             const char *pattern, weir_http_handler *handler, void *arg);
WEIR_API int weir_http_route_brief(struct weir_http_router *router, const char *method,
                                   const char *pattern, weir_http_handler *handler, void *arg);

/* --- the server --- */

struct weir_http_config {
    size_t target_max;        /* bytes of the request line; beyond: 414; default 8,192 */
    size_t headers_max;       /* bytes of all fields; beyond: 431; default 16,384 */
    unsigned fields_max;      /* fields; beyond: 431; default 64, at most 64 */
    uint64_t body_max;        /* bytes of a body; beyond: 413; default 1 MiB */
    weir_time header_timeout; /* from the first byte of a request to its last header: 408; 10 s */
    weir_time body_timeout;   /* for the whole body: 408; 60 s */
    weir_time send_timeout;   /* for one send to make its way: cut; 30 s */
    weir_time idle_timeout;   /* between requests: closed; 60 s */
    weir_time linger;         /* after a close of ours, for the peer's last words; 2 s.  Not
                               * behind what the client itself has said is its last request */
    uint32_t conns_max;       /* per shard; beyond, connections wait in the backlog; 16,384 */
    const char *server;       /* the Server field, or NULL for none; default "weir" */
};

WEIR_API void weir_http_config_init(struct weir_http_config *config);

struct weir_http_stats {
    uint64_t requests; /* answered, by handlers and by refusals */
    uint64_t refused;  /* answered with a status because the request was not valid */
    uint64_t conns;    /* open now */
    uint64_t conns_total;
    uint64_t timeouts; /* closed for being slow or idle */
};

/* Serves on the listeners (of this shard) until the runtime stops and the connections have drained:
 * answers under way are finished with "Connection: close", and idle connections may ask once more
 * within `linger`, at most a second.  Closes the listeners.  0; -ECANCELED when it was cut short;
 * -EINVAL: no valid config; -ENOMEM.  `stats` may be NULL; else it is kept up to date.  `config`
 * may be NULL. */
WEIR_API int weir_http_serve(struct weir_listener *const *listeners, size_t count,
                             const struct weir_http_router *router,
                             const struct weir_http_config *config, struct weir_http_stats *stats);

WEIR_END

#endif
