/* parser.h - strict HTTP/1.1 request parser (RFC 9112).
 *
 * It reads the bytes of a request where they were received and hands out views into them; nothing
 * is copied.  When the request is not whole yet it says so and, called again with more bytes behind
 * the same ones (perhaps moved elsewhere), goes on where it stopped: a line is looked through once
 * for its end, and once more when it is there.  Views are offsets, so the bytes may move between
 * calls.
 *
 * However the bytes are cut into calls, the verdict is the same, with the same status and clause.
 * Only its moment differs: a line that comes in pieces is refused at the latest when it ends, runs
 * into a control character or is too long. */
#ifndef WEIR_NET_HTTP_PARSER_H
#define WEIR_NET_HTTP_PARSER_H

#include <weir/base.h>

enum {
    WEIR_HTTP_FIELDS = 64,
    WEIR_HTTP_EMPTY_LINES =
        2, /* passed over before a request line (RFC 9112, 2.2); one more: 400 */
};

/* What matters to the server of the fields it has to know anyway. */
enum weir_http_flag {
    WEIR_HTTP_HAS_LENGTH = 1, /* Content-Length */
    WEIR_HTTP_CHUNKED = 2,    /* Transfer-Encoding: chunked */
    WEIR_HTTP_CLOSE = 4,      /* Connection: close */
    WEIR_HTTP_KEEP_ALIVE = 8, /* Connection: keep-alive */
    WEIR_HTTP_EXPECT_CONTINUE = 16,
    WEIR_HTTP_VERSION_10 = 32, /* HTTP/1.0 */
};

struct weir_http_limits {
    uint32_t line_max;    /* bytes of the request line, without its CRLF: 414 */
    uint32_t headers_max; /* bytes of all field lines, with their CRLFs: 431 */
    uint32_t fields_max;  /* fields, <= WEIR_HTTP_FIELDS: 431 */
};

struct weir_http_span {
    uint32_t at, len; /* offset from the first byte of the request */
};

struct weir_http_field {
    struct weir_http_span name, value;
};

struct weir_http_parser {
    /* Results, valid when weir_http_parse has returned 1.
     *
     * `path` and `query` are raw: percent-encoding is checked, not decoded, and dot segments stay.
     * The path starts with '/' but for two: "*" (OPTIONS), and empty (CONNECT).  A target in
     * absolute-form overrides the Host field (RFC 9112, 3.2.2): the field's value is then a view of
     * the target's authority. */
    struct weir_http_span method, target, path, query;
    struct weir_http_span authority; /* of a target in absolute-form or authority-form; or empty */
    struct weir_http_field field[WEIR_HTTP_FIELDS];
    uint32_t head_len; /* bytes of the head, with empty lines before it and the one that ends it */
    int status;        /* when it has returned -1: what to answer (400, 413, 414, 417, 431, 501,
                          505) */
    const char *error; /* ... and why, in one clause */

    uint32_t fields_start; /* the first field line */

    /* All that is cleared for a new request, side by side.  More results ... */
    uint64_t length; /* Content-Length */
    uint32_t flags;  /* enum weir_http_flag */
    uint32_t fields;

    /* ... and where it stands. */
    uint32_t state;      /* 0: in the request line */
    uint32_t scanned;    /* no line end before it */
    uint32_t line_start; /* the line it is in */
    uint32_t host;       /* 1 + index of the Host field; 0: not seen */
};

/* For a new request.  Takes no time to speak of: the fields are not cleared. */
static inline void weir_http_parser_init(struct weir_http_parser *parser)
{
    parser->length = 0;
    parser->flags = 0;
    parser->fields = 0;
    parser->state = 0;
    parser->scanned = 0;
    parser->line_start = 0;
    parser->host = 0;
}

/* `data` holds the first `len` bytes of the request so far.  1: the head is whole (head_len); 0:
 * more bytes are needed; -1: refused (status, error), the connection must be closed.  A verdict
 * stands: called again it says the same.  line_max + headers_max must be below 2^31. */
int weir_http_parse(struct weir_http_parser *parser, const struct weir_http_limits *limits,
                    const char *data, size_t len);

/* The same parser is compiled for several instruction sets; the best that this CPU has is chosen at
 * the first call.  Tests and benchmarks go through all of them: the name of number `index` ("avx2",
 * ...; "portable" is 0), or NULL beyond the last, whether it runs here, and use that one from now
 * on in all threads (false: it does not run here). */
const char *weir_http_parser_isa(unsigned index);
bool weir_http_parser_usable(unsigned index);
bool weir_http_parser_use(unsigned index);

/* --- chunked transfer coding (RFC 9112, 7.1) --- */

enum {
    WEIR_HTTP_CHUNK_LINE_MAX = 256, /* bytes of a chunk-size line, with its CRLF */
    WEIR_HTTP_CHUNK_EXT_MAX = 4096, /* bytes of all chunk extensions of one body */
    WEIR_HTTP_TRAILER_MAX = 4096,   /* bytes of the trailer section, with the last CRLF */
};

struct weir_http_chunks {
    uint64_t left; /* bytes left of the chunk's data */
    uint64_t size; /* of the chunk, while its line is read */
    uint32_t state;
    uint32_t line_len; /* bytes of the current chunk-size line or trailer section: bounded */
    uint32_t ext_len;  /* bytes of chunk extensions so far: bounded */
};

void weir_http_chunks_init(struct weir_http_chunks *chunks);

/* Takes one step through `data`.  Returns how many bytes it has used (> 0 while len > 0 and it is
 * neither done nor bad), or -1: not valid chunked coding, or beyond a bound.  *body is the part of
 * them, perhaps empty, that is body. `*done` is set when the last chunk and the trailer section
 * have been passed; bytes behind the ones used belong to the next request.  Trailer fields are
 * checked and dropped. */
int64_t weir_http_chunks_step(struct weir_http_chunks *chunks, const char *data, size_t len,
                              struct weir_str *body, bool *done);

#endif
