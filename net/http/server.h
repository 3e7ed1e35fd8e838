/* server.h - what the files of the HTTP server share.
 *
 * A connection is small and lives as long as its socket.  What only a request needs is attached to
 * it while there is one, from pools of the server that hand out the warmest object first:
 *
 *     weir_http_conn     socket, receive under way, place in a queue; all that an idle one has
 *     weir_http          the request in hand: parser, views, body, fields of the answer
 *     weir_http_out      answers that wait to be sent or are being sent
 *
 * Everything runs on one shard.  A connection is driven by weir_http_conn_pump, from the callbacks
 * of its socket, except while a fiber has it (`in_fiber`): then only that fiber moves it.
 *
 * Deadlines are spans that are the same for all connections that wait for the same thing, so each
 * such wait is a queue in order of arrival, and one alarm for the server looks at the heads. */
#ifndef WEIR_NET_HTTP_SERVER_H
#define WEIR_NET_HTTP_SERVER_H

#include <string.h>
#include <weir/fiber.h>
#include <weir/http.h>
#include <weir/runtime.h>
#include <weir/time.h>
#include "core/list.h"
#include "core/pool.h"
#include "net/http/parser.h"
#include "net/http/router.h"

enum {
    WEIR_HTTP_OUT_SIZE = 1024,     /* of a weir_http_out: a small answer or some */
    WEIR_HTTP_BLOCK = 16384,       /* of a block: a pipeline of answers */
    WEIR_HTTP_BRIEF_MAX = 1 << 20, /* bytes of one answer of a brief handler */
    WEIR_HTTP_UNREAD_MAX = 65536,  /* of a body: passed over to keep the connection */
    WEIR_HTTP_SERVER_NAME_MAX = 128,
    WEIR_HTTP_ALLOW_MAX = 256,
    WEIR_HTTP_CODING_SLACK = 32, /* chunk size line, CRLFs */
    WEIR_HTTP_TYPE_MAX = 64,     /* of a Content-Type that is remembered, with its NUL */
};

/* What a connection waits for; the first four have a deadline each. */
enum weir_http_wait {
    WEIR_HTTP_IDLE,   /* the first byte of a request */
    WEIR_HTTP_HEAD,   /* the rest of its header */
    WEIR_HTTP_BODY,   /* the rest of a body that nobody has read */
    WEIR_HTTP_LINGER, /* the peer's end, after ours */
    WEIR_HTTP_TIMED,
    WEIR_HTTP_BUSY = WEIR_HTTP_TIMED, /* a fiber, or a send */
    WEIR_HTTP_WAITS,
};

struct weir_http_queue {
    struct weir_link conns; /* longest waiting first */
    weir_time span;
};

struct weir_http_acceptor {
    struct weir_io io;
    struct weir_http_server *server;
    struct weir_listener *listener; /* NULL: closed */
    struct weir_conn *held;         /* accepted while there was no room for it */
    bool pending;                   /* an accept is under way */
};

struct weir_http_server {
    const struct weir_http_router *router;
    struct weir_http_config config;
    struct weir_http_limits limits;
    struct weir_http_stats *stats, own_stats;

    struct weir_http_queue queue[WEIR_HTTP_WAITS];
    struct weir_link sends;  /* outs whose send a callback waits for, oldest first */
    struct weir_link unsent; /* outs of fibers, to be sent next turn */
    struct weir_link later;  /* conns, by rx.link, to be pumped next turn */
    struct weir_alarm alarm; /* not later than the first deadline of queues and sends */
    struct weir_alarm turn;  /* next turn, while `unsent` or `later` may have something */

    struct weir_pool conns, https, outs, blocks;
    struct weir_http *spare; /* of `https`, as weir_http_request_reset leaves it; or NULL */
    struct weir_scope scope; /* fibers of handlers */

    struct weir_http_acceptor *acceptor;
    size_t acceptors, accepting; /* all; not shut yet */
    struct weir_stop_wait stop;
    weir_time stopped_at; /* idle connections get a last chance from here */
    bool draining, cut;
    struct weir_future ended;

    /* "HTTP/1.1 200 OK" and the fields that every answer has; good for this second. */
    weir_time prefix_until;
    uint32_t prefix_len;
    char prefix[WEIR_HTTP_SERVER_NAME_MAX + 96];

    /* The prefix with the Content-Type that was answered last, up to "Content-Length: "; good as
     * long as the prefix is. */
    uint32_t typed_len; /* 0: there is none */
    char type[WEIR_HTTP_TYPE_MAX];
    char typed[WEIR_HTTP_SERVER_NAME_MAX + 96 + WEIR_HTTP_TYPE_MAX + 48];
};

struct weir_http_conn {
    struct weir_io rx; /* rx.buf: received and not used up; rx.conn: the socket */
    struct weir_link link;
    struct weir_http_server *server;
    struct weir_http *http;
    struct weir_http_out *out;
    uint32_t since; /* in its queue, in ticks of waits.c */
    uint8_t wait;   /* enum weir_http_wait */
    bool receiving : 1;
    bool sending : 1; /* out->tx is under way */
    bool in_fiber : 1;
    bool closing : 1;   /* after what is in `out` */
    bool heard_all : 1; /* the peer's last request, whole */
    bool lingering : 1;
    bool eof : 1;    /* the peer's */
    bool failed : 1; /* nothing can be sent or received any more */
    bool closed : 1; /* weir_close has been called */
    bool later : 1;  /* in server->later */
};

_Static_assert(sizeof(struct weir_http_conn) <= sizeof(struct weir_io) + 48,
               "an idle connection stays small");

struct weir_http_out {
    struct weir_io tx;
    struct weir_link link; /* in sends or unsent, or in none */
    struct weir_http_conn *conn;
    weir_time since; /* when tx was started */
    char *data;      /* room, or a block, or from malloc */
    uint32_t len, cap;
    char room[];
};

enum weir_http_phase {
    WEIR_HTTP_PARSING = 0,
    WEIR_HTTP_HANDLING,
    WEIR_HTTP_SKIPPING, /* what is left of the body */
};

enum weir_http_answer {
    WEIR_HTTP_UNANSWERED = 0,
    WEIR_HTTP_STREAMING, /* begun */
    WEIR_HTTP_ANSWERED,
};

/* How the end of a streamed answer is told. */
enum weir_http_framing {
    WEIR_HTTP_BY_LENGTH,
    WEIR_HTTP_BY_CHUNKS,
    WEIR_HTTP_BY_CLOSE, /* HTTP/1.0 knows no chunks */
};

struct weir_http {
    struct weir_http_conn *conn;
    char *gather; /* a head that did not come in one buffer */
    uint32_t gather_cap;
    uint8_t framing;           /* enum weir_http_framing, of a streamed answer */
    bool out_bodiless;         /* a streamed answer without content */
    struct weir_buf *head_buf; /* the buffer of the head, when rx.buf has gone on */
    uint64_t out_left;         /* of a streamed answer with Content-Length */

    /* Cleared for each request; side by side, so that this is a few stores. */
    const char *head; /* what the parser's spans count from */
    uint8_t phase;    /* enum weir_http_phase */
    uint8_t answer;   /* enum weir_http_answer */
    bool brief;
    bool head_only; /* HEAD */
    bool expect;    /* the client waits for 100, and has not got it */
    bool body_done;
    bool plain; /* nothing was asked or set that the usual answer does not have */
    uint32_t gather_len;
    uint32_t fields_len;
    int body_error;      /* 0, or what weir_http_read says from now on */
    uint64_t body_taken; /* decoded so far */
    uint64_t body_left;  /* Content-Length */
    uint64_t skipped;
    weir_time body_deadline; /* 0: not running yet */

    struct weir_http_match match;
    struct weir_http_chunks chunks;
    struct weir_http_parser parser;
    char fields[WEIR_HTTP_FIELDS_MAX];
};

/* --- server.c --- */

/* A connection is gone: there is room for another, or it was the last. */
void weir_http_server_conn_ended(struct weir_http_server *server);

/* --- waits.c: deadlines, and things to do next turn --- */

void weir_http_waits_init(struct weir_http_server *server);
void weir_http_waits_free(struct weir_http_server *server);

/* Puts the connection into the queue of what it waits for.  In IDLE the time counts from now, in
 * the others from when it came into the queue. */
void weir_http_wait(struct weir_http_conn *conn, enum weir_http_wait wait);

/* Its send is under way and a callback waits for it. */
void weir_http_wait_sent(struct weir_http_out *out);

/* The server is draining: idle connections are closed after a last chance. */
void weir_http_waits_drain(struct weir_http_server *server);

/* Next turn: pumps the connection; sends what a fiber has left in `out`. */
void weir_http_later(struct weir_http_conn *conn);
void weir_http_later_send(struct weir_http_out *out);

/* --- conn.c: one connection --- */

int weir_http_conn_open(struct weir_http_server *server, struct weir_conn *socket);
void weir_http_conn_pump(struct weir_http_conn *conn);

/* The deadline of what it waited for has come. */
void weir_http_conn_expire(struct weir_http_conn *conn, enum weir_http_wait wait);

/* Cuts it off, with a reset; one that a fiber has is cut when the fiber lets go of it. */
void weir_http_conn_cut(struct weir_http_conn *conn);

/* --- request.c: the request in hand --- */

struct weir_http *weir_http_request_new(struct weir_http_conn *conn);
void weir_http_request_free(struct weir_http *http);
void weir_http_request_let_go(struct weir_http *http); /* of what a request rarely has */

/* The client sends no request behind this one (RFC 9112, 9.3 and 9.6). */
static inline bool weir_http_is_last(const struct weir_http *http)
{
    uint32_t flags = http->parser.flags;

    return (flags & WEIR_HTTP_CLOSE) ||
           ((flags & WEIR_HTTP_VERSION_10) && !(flags & WEIR_HTTP_KEEP_ALIVE));
}

/* Makes it ready for the next one. */
static inline void weir_http_request_reset(struct weir_http *http)
{
    const struct weir_http_conn *conn = http->conn;

    if (weir_unlikely(http->gather || http->head_buf || conn->wait == WEIR_HTTP_HEAD ||
                      conn->wait == WEIR_HTTP_BODY))
        weir_http_request_let_go(http);
    memset(&http->head, 0, offsetof(struct weir_http, match) - offsetof(struct weir_http, head));
    weir_http_parser_init(&http->parser);
}

/* The same for one that nothing has happened to since it was made or reset. */
void weir_http_request_spare(struct weir_http *http);

/* Takes the head of the request out of what has been received.  1: it is whole; 0: all that came
 * has been put by, and more is needed; -1: refused, by parser.status and parser.error. */
int weir_http_request_parse(struct weir_http *http);

/* --- body.c: the request's body --- */

/* Decodes up to `size` bytes of what has been received; *part is in the receive buffer.  0, with
 * *part empty when more has to be received or body_done is set; or a negated errno. */
int weir_http_body_take(struct weir_http *http, size_t size, struct weir_str *part);

/* Passes over what is in hand; true when that was the end of it, or of the connection. */
bool weir_http_body_skip(struct weir_http *http);

/* --- out.c: answers on their way out --- */

/* Room for `need` more bytes behind the others, or NULL: no memory, or (brief handlers) too much.
 * In a fiber it may suspend, until what is there has been sent. */
char *weir_http_out_room(struct weir_http *http, size_t need);
void weir_http_out_add(struct weir_http *http, size_t len);

/* Fibers only: sends everything, and `more` behind it.  0, -ECONNRESET or -ECANCELED. */
int weir_http_out_flush(struct weir_http *http, const struct iovec *more, size_t count);

struct weir_http_out *weir_http_out_new(struct weir_http_conn *conn);
void weir_http_out_free(struct weir_http_out *out);

/* The connection's, a new one if it has none; NULL: no memory. */
static inline struct weir_http_out *weir_http_out_have(struct weir_http_conn *conn)
{
    if (!conn->out)
        conn->out = weir_http_out_new(conn);
    return conn->out;
}

/* --- reply.c: answers --- */

/* The head of an answer into the out buffer, with room for `extra` bytes behind it; *at is where
 * they go.  `length`: of the body; -1: not known.  The caller adds what it has put there. */
int weir_http_reply_head(struct weir_http *http, int status, const char *type, int64_t length,
                         size_t extra, char **at);

/* Answers a request that is not valid, or that nobody can serve, and closes. */
void weir_http_refuse(struct weir_http *http, int status, const char *why);

/* Answers 404, or 405 with the methods that `allow` lists. */
void weir_http_reply_unmatched(struct weir_http *http, int status, const char *allow);

/* Sees to it that a request whose handler has returned is answered. */
void weir_http_reply_finish(struct weir_http *http);

/* Whether the answer has no content by its nature: to HEAD, and for some statuses. */
bool weir_http_reply_bodiless(const struct weir_http *http, int status);

/* A brief handler has called what may suspend: ends the program with a sentence. */
void weir_http_reply_check_fiber(const struct weir_http *http, const char *call);

/* --- date.c --- */

enum { WEIR_HTTP_DATE_LEN = 29 };

/* Seconds since 1970 as "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110, 5.6.7); no NUL. */
void weir_http_date_format(char text[WEIR_HTTP_DATE_LEN], int64_t seconds);

/* The wall clock in nanoseconds since 1970; in a simulation it follows the virtual clock. */
int64_t weir_http_wall_clock(void);

/* The fields every answer has; made anew when the second has changed. */
void weir_http_prefix_make(struct weir_http_server *server);

static inline void weir_http_prefix_refresh(struct weir_http_server *server)
{
    if (weir_unlikely(weir_now() >= server->prefix_until))
        weir_http_prefix_make(server);
}

#endif
