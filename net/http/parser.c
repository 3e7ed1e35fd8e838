/* parser.c - the head of a request: what is rare, what is cold, and the choice of instruction set.
 *
 * The hot part is parse_head.h, compiled here once for each instruction set.  What a field means is
 * decided as soon as its line is whole, so that a request is refused at its first fault.
 *
 * Strict where RFC 9110 and 9112 leave a choice: of transfer codings only "chunked" is known, an
 * empty element in Transfer-Encoding is refused, an expectation other than 100-continue gets 417,
 * and a target may hold only characters that RFC 3986 allows in a URI.
 *
 * Invariant: bytes before line_start have been parsed for good; no line ends between line_start and
 * scanned. */
#include "net/http/parser.h"
#include <stdatomic.h>
#include "net/http/authority.h"
#include "net/http/scan.h"

enum http_state { HTTP_LINE = 0, HTTP_FIELDS, HTTP_WHOLE, HTTP_REFUSED };

/* How far a line may be looked at: to what has been received, and to its limit.  The CR that ends
 * the line must stand before `limit`. */
struct http_reach {
    size_t end, limit;
    bool full; /* everything up to the limit is there */
};

HTTP_INLINE struct http_reach http_reach(size_t len, size_t limit)
{
    return (struct http_reach){ len < limit ? len : limit, limit, len >= limit };
}

HTTP_INLINE struct weir_http_span http_span(size_t at, size_t end)
{
    return (struct weir_http_span){ (uint32_t)at, (uint32_t)(end - at) };
}

HTTP_INLINE bool http_is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Is the name `lower`, whatever its case?  Only for names that are tokens and as long as `lower`:
 * among token characters none but an upper-case letter turns into a lower-case one by this bit. */
HTTP_INLINE bool http_is(const char *data, struct weir_http_span name, const char *lower)
{
    for (size_t i = 0; i < name.len; i++)
        if ((data[name.at + i] | 0x20) != lower[i])
            return false;
    return true;
}

/* Words as they stand in memory; http_lower_*: in lower case, for names as http_is takes them. */
HTTP_INLINE uint16_t http_load16(const char *at)
{
    uint16_t word;

    memcpy(&word, at, sizeof word);
    return word;
}

HTTP_INLINE uint32_t http_load32(const char *at)
{
    uint32_t word;

    memcpy(&word, at, sizeof word);
    return word;
}

#define http_word16(text) http_load16("" text)
#define http_word32(text) http_load32("" text)

HTTP_INLINE uint32_t http_lower32(const char *at)
{
    return http_load32(at) | 0x20202020u;
}

/* --- refusals --- */

static __attribute__((cold, noinline)) int http_refuse(struct weir_http_parser *parser, int status,
                                                       const char *error)
{
    parser->state = HTTP_REFUSED;
    parser->status = status;
    parser->error = error;
    return -1;
}

/* A line ran into something that is neither allowed in it nor its end. */
static __attribute__((cold, noinline)) int http_refuse_control(struct weir_http_parser *parser,
                                                               char c)
{
    if (c == '\n')
        return http_refuse(parser, 400, "bare LF");
    if (c == '\0')
        return http_refuse(parser, 400, "NUL");
    return http_refuse(parser, 400, "control character");
}

static __attribute__((cold, noinline)) int http_refuse_method(struct weir_http_parser *parser,
                                                              const char *data, size_t at)
{
    if (data[at] == '\r')
        return http_refuse(parser, 400, "not a request line");
    if (!http_value_has(data[at]))
        return http_refuse_control(parser, data[at]);
    return http_refuse(parser, 400, "the method is not a token");
}

static __attribute__((cold, noinline)) int http_refuse_target(struct weir_http_parser *parser,
                                                              const char *data, size_t at)
{
    if (data[at] == '\r')
        return http_refuse(parser, 400, "no HTTP version");
    if (!http_value_has(data[at]))
        return http_refuse_control(parser, data[at]);
    if (data[at] == '#')
        return http_refuse(parser, 400, "fragment in the target");
    if (data[at] == '%')
        return http_refuse(parser, 400, "bad percent-encoding in the target");
    return http_refuse(parser, 400, "character that no target has");
}

static __attribute__((cold, noinline)) int http_refuse_name(struct weir_http_parser *parser,
                                                            const char *data, size_t at)
{
    if (http_is_blank(data[at])) {
        if (at > parser->line_start)
            return http_refuse(parser, 400, "white space in or behind a field name");
        if (parser->fields == 0)
            return http_refuse(parser, 400, "white space before the first field");
        return http_refuse(parser, 400, "folded field line");
    }
    if (data[at] == ':')
        return http_refuse(parser, 400, "empty field name");
    if (data[at] == '\r')
        return http_refuse(parser, 400, "field line without a colon");
    if (!http_value_has(data[at]))
        return http_refuse_control(parser, data[at]);
    return http_refuse(parser, 400, "field name is not a token");
}

static __attribute__((cold, noinline)) int http_refuse_headers(
    struct weir_http_parser *parser, const struct weir_http_limits *limits)
{
    if (parser->fields == limits->fields_max)
        return http_refuse(parser, 431, "too many fields");
    return http_refuse(parser, 431, "header section too long");
}

/* --- waiting for more --- */

static int http_wait_at(struct weir_http_parser *parser, size_t at)
{
    parser->scanned = (uint32_t)at;
    return 0;
}

/* The line goes on at `at`, the end of what may be looked at. */
static __attribute__((noinline)) int http_wait(struct weir_http_parser *parser, size_t at,
                                               struct http_reach reach)
{
    if (!reach.full)
        return http_wait_at(parser, at);
    if (parser->state == HTTP_LINE)
        return http_refuse(parser, 414, "request line too long");
    return http_refuse(parser, 431, "header section too long");
}

/* --- the request line --- */

static void http_check_limits(const struct weir_http_limits *limits)
{
    weir_assert(limits->fields_max <= WEIR_HTTP_FIELDS);
    weir_assert((uint64_t)limits->line_max + limits->headers_max < (uint64_t)1 << 31);
}

/* 1: a line starts that is not empty; 0: more bytes are needed; -1: refused. */
static int http_empty_lines(struct weir_http_parser *parser, const char *data, size_t len)
{
    size_t at = parser->line_start;

    while (at < len && data[at] == '\r') {
        if (at == 2 * WEIR_HTTP_EMPTY_LINES)
            return http_refuse(parser, 400, "too many empty lines before the request");
        if (at + 1 == len)
            return 0;
        if (data[at + 1] != '\n')
            return http_refuse(parser, 400, "bare CR");
        at += 2;
        parser->line_start = parser->scanned = (uint32_t)at;
    }
    return at < len;
}

/* Percent-encoding at `at`: returns where it ends, `at` when it is bad, `end` when that cuts it. */
static size_t http_percent(const char *data, size_t at, size_t end)
{
    for (size_t i = 1; i <= 2; i++) {
        if (at + i == end)
            return end;
        if (!http_is_hex(data[at + i]))
            return at;
    }
    return at + 3;
}

/* The version, not HTTP/1.1, or cut, or wrong: 1, 0 or -1. */
static __attribute__((noinline)) int http_version_rare(struct weir_http_parser *parser,
                                                       const char *data, size_t at, size_t len)
{
    static const char form[10] = "HTTP/0.0\r\n";

    for (size_t i = 0; i < sizeof form; i++) {
        if (at + i == len)
            return http_wait_at(parser, at);
        if (form[i] == '0' ? data[at + i] < '0' || data[at + i] > '9' : data[at + i] != form[i])
            return http_refuse(parser, 400, "not an HTTP version");
    }
    if (data[at + 5] != '1')
        return http_refuse(parser, 505, "only HTTP/1.1 and HTTP/1.0 are spoken");
    if (data[at + 7] == '0')
        parser->flags |= WEIR_HTTP_VERSION_10;
    return 1;
}

/* The version and the end of the line, at `at`: 1: there; 0: more bytes are needed; -1: refused. */
HTTP_INLINE int http_version(struct weir_http_parser *parser, const char *data, size_t at,
                             size_t len, struct http_reach reach)
{
    if (weir_unlikely(at + 8 >= reach.limit))
        return http_refuse(parser, 414, "request line too long");
    if (len - at >= 10 && memcmp(data + at, "HTTP/1.1\r\n", 10) == 0)
        return 1;
    return http_version_rare(parser, data, at, len);
}

static int http_target_absolute(struct weir_http_parser *parser, const char *data, size_t query)
{
    const struct weir_http_span target = parser->target;
    size_t authority, path, end = target.at + target.len;

    if (target.len >= 7 && http_is(data, http_span(target.at, target.at + 7), "http://"))
        authority = target.at + 7;
    else if (target.len >= 8 && http_is(data, http_span(target.at, target.at + 8), "https://"))
        authority = target.at + 8;
    else
        return http_refuse(parser, 400, "the target is of no form that is served");
    if (query != 0)
        end = query - 1;
    for (path = authority; path < end && data[path] != '/';)
        path++;
    parser->authority = http_span(authority, path);
    if (!weir_http_authority_ok((struct weir_str){ data + authority, path - authority },
                                WEIR_HTTP_PORT_OPTIONAL))
        return http_refuse(parser, 400, "the target's authority is not valid");
    if (path == end) /* an empty path means "/" (RFC 9110, 4.2.3): the last of "http://" is one */
        parser->path = http_span(authority - 1, authority);
    else
        parser->path = http_span(path, end);
    return 1;
}

/* What the target is, when it is not simply a path, or the method may ask for another form
 * (RFC 9112, 3.2).  1, or -1: refused. */
static __attribute__((noinline)) int http_target_form(struct weir_http_parser *parser,
                                                      const char *data, size_t query)
{
    const struct weir_http_span target = parser->target;
    const char *method = data + parser->method.at;

    if (parser->method.len == 7 && memcmp(method, "CONNECT", 7) == 0) {
        if (!weir_http_authority_ok((struct weir_str){ data + target.at, target.len },
                                    WEIR_HTTP_PORT_REQUIRED))
            return http_refuse(parser, 400, "CONNECT needs a host and a port");
        parser->authority = target;
        parser->path = http_span(target.at, target.at);
        return 1;
    }
    if (data[target.at] == '/') {
        parser->path = http_span(target.at, query != 0 ? query - 1 : target.at + target.len);
        return 1;
    }
    if (target.len == 1 && data[target.at] == '*') {
        if (parser->method.len != 7 || memcmp(method, "OPTIONS", 7) != 0)
            return http_refuse(parser, 400, "only OPTIONS has the target \"*\"");
        parser->path = target;
        return 1;
    }
    return http_target_absolute(parser, data, query);
}

/* --- the fields that decide about framing and connection --- */

#define HTTP_KNOWN_LENGTHS (1u << 6 | 1u << 10 | 1u << 14 | 1u << 17)

/* The lower five bits of the letters, of either case, with which the fields begin that matter; of
 * the colon, too, before which there is no name. */
#define HTTP_LETTER(c) (1u << ((c)&31))
#define HTTP_SPECIAL_LETTERS \
    (HTTP_LETTER('h') | HTTP_LETTER('e') | HTTP_LETTER('c') | HTTP_LETTER('t') | HTTP_LETTER(':'))

static int http_content_length(struct weir_http_parser *parser, const char *data,
                               struct weir_http_span value)
{
    uint64_t length = 0;
    bool beyond = false;

    if (parser->flags & WEIR_HTTP_HAS_LENGTH)
        return http_refuse(parser, 400, "more than one Content-Length");
    if (parser->flags & WEIR_HTTP_CHUNKED)
        return http_refuse(parser, 400, "both Content-Length and Transfer-Encoding");
    if (value.len == 0)
        return http_refuse(parser, 400, "Content-Length is not a number");
    for (size_t i = 0; i < value.len; i++) {
        unsigned digit = (unsigned)(data[value.at + i] - '0');

        if (digit > 9)
            return http_refuse(parser, 400, "Content-Length is not a number");
        beyond |= length > ((uint64_t)INT64_MAX - digit) / 10;
        length = length * 10 + digit;
    }
    if (beyond)
        return http_refuse(parser, 413, "Content-Length is beyond all bounds");
    parser->flags |= WEIR_HTTP_HAS_LENGTH;
    parser->length = length;
    return 1;
}

/* The element of a comma-separated list from *at on, without the blanks around it; *at moves behind
 * its comma. */
static struct weir_http_span http_list_next(const char *data, size_t *at, size_t end)
{
    size_t first = *at, last;

    while (first < end && http_is_blank(data[first]))
        first++;
    for (last = first; last < end && data[last] != ',';)
        last++;
    *at = last + 1;
    while (last > first && http_is_blank(data[last - 1]))
        last--;
    return http_span(first, last);
}

static size_t http_token_end(const char *data, struct weir_http_span text)
{
    return http_scan_set_portable(data, text.at, text.at + text.len, &http_token);
}

static int http_transfer_coding(struct weir_http_parser *parser, const char *data,
                                struct weir_http_span coding)
{
    size_t token = http_token_end(data, coding) - coding.at;
    bool chunked = token == 7 && http_is(data, http_span(coding.at, coding.at + 7), "chunked");

    if (parser->flags & WEIR_HTTP_CHUNKED)
        return http_refuse(parser, 400, chunked ? "chunked twice" : "chunked is not the last");
    if (chunked) {
        if (coding.len != 7)
            return http_refuse(parser, 400, "chunked has no parameters");
        parser->flags |= WEIR_HTTP_CHUNKED;
        return 1;
    }
    if (token > 0 && (token == coding.len || data[coding.at + token] == ';' ||
                      http_is_blank(data[coding.at + token])))
        return http_refuse(parser, 501, "transfer coding is not known");
    return http_refuse(parser, 400, "Transfer-Encoding is not a list of codings");
}

static int http_transfer_encoding(struct weir_http_parser *parser, const char *data,
                                  struct weir_http_span value)
{
    size_t at = value.at, end = value.at + value.len;
    int rc;

    if (parser->flags & WEIR_HTTP_VERSION_10)
        return http_refuse(parser, 400, "Transfer-Encoding in HTTP/1.0");
    if (parser->flags & WEIR_HTTP_HAS_LENGTH)
        return http_refuse(parser, 400, "both Content-Length and Transfer-Encoding");
    do {
        rc = http_transfer_coding(parser, data, http_list_next(data, &at, end));
        if (rc < 0)
            return rc;
    } while (at <= end);
    return 1;
}

static int http_connection(struct weir_http_parser *parser, const char *data,
                           struct weir_http_span value)
{
    size_t at = value.at, end = value.at + value.len;

    do {
        struct weir_http_span option = http_list_next(data, &at, end);

        if (http_token_end(data, option) != option.at + option.len)
            return http_refuse(parser, 400, "Connection is not a list of tokens");
        if (option.len == 5 && http_is(data, option, "close"))
            parser->flags |= WEIR_HTTP_CLOSE;
        if (option.len == 10 && http_is(data, option, "keep-alive"))
            parser->flags |= WEIR_HTTP_KEEP_ALIVE;
    } while (at <= end);
    return 1;
}

static int http_expect(struct weir_http_parser *parser, const char *data,
                       struct weir_http_span value)
{
    if (value.len != 12 || http_token_end(data, value) != value.at + value.len ||
        !http_is(data, value, "100-continue"))
        return http_refuse(parser, 417, "expectation other than 100-continue");
    if (!(parser->flags & WEIR_HTTP_VERSION_10)) /* there it must be ignored: RFC 9110, 10.1.1 */
        parser->flags |= WEIR_HTTP_EXPECT_CONTINUE;
    return 1;
}

/* A field whose name is as long as one of those that matter: 1, or -1: refused. */
static __attribute__((noinline)) int http_known_field(struct weir_http_parser *parser,
                                                      const char *data,
                                                      const struct weir_http_field *field)
{
    switch (field->name.len) {
    case 6:
        return http_is(data, field->name, "expect") ? http_expect(parser, data, field->value) : 1;
    case 10:
        return http_is(data, field->name, "connection")
                   ? http_connection(parser, data, field->value)
                   : 1;
    case 14:
        return http_is(data, field->name, "content-length")
                   ? http_content_length(parser, data, field->value)
                   : 1;
    case 17:
        return http_is(data, field->name, "transfer-encoding")
                   ? http_transfer_encoding(parser, data, field->value)
                   : 1;
    default:
        return 1;
    }
}

/* A value without the blanks around it. */
static __attribute__((noinline)) struct weir_http_span http_trim(const char *data, size_t at,
                                                                 size_t end)
{
    while (at < end && http_is_blank(data[at]))
        at++;
    while (end > at && http_is_blank(data[end - 1]))
        end--;
    return http_span(at, end);
}

static bool http_port_ok(const char *data, size_t at, size_t end)
{
    return weir_http_port_ok(data + at, end - at);
}

static __attribute__((noinline)) bool http_authority_ok(const char *data, size_t at, size_t end)
{
    return weir_http_authority_ok((struct weir_str){ data + at, end - at },
                                  WEIR_HTTP_PORT_OPTIONAL);
}

/* A CR starts the line: 1: the head is whole; 0: more bytes are needed; -1: refused. */
static int http_head_end(struct weir_http_parser *parser, const char *data, size_t len)
{
    size_t at = parser->line_start;

    if (at + 1 == len)
        return 0;
    if (data[at + 1] != '\n')
        return http_refuse(parser, 400, "bare CR");
    if (parser->host == 0 && !(parser->flags & WEIR_HTTP_VERSION_10))
        return http_refuse(parser, 400, "no Host");
    if (parser->host != 0 && parser->authority.len != 0)
        parser->field[parser->host - 1].value = parser->authority;
    parser->head_len = (uint32_t)(at + 2);
    parser->state = HTTP_WHOLE;
    return 1;
}

/* --- the versions, and which one runs --- */

typedef int http_parse_fn(struct weir_http_parser *parser, const struct weir_http_limits *limits,
                          const char *data, size_t len);

#define HTTP_LONG_WAY
#define HTTP_ISA portable
#define HTTP_TARGET
#include "net/http/parse_head.h"

static bool http_always(void)
{
    return true;
}

#if defined(__x86_64__)

#undef HTTP_LONG_WAY
#define HTTP_LONG_WAY __attribute__((noinline))
#define HTTP_BLOCKS
#define HTTP_ISA ssse3
#define HTTP_TARGET HTTP_SSSE3
#include "net/http/parse_head.h"
#define HTTP_ISA avx2
#define HTTP_TARGET HTTP_AVX2
#include "net/http/parse_head.h"

static bool http_has_ssse3(void)
{
    return __builtin_cpu_supports("ssse3");
}

static bool http_has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
           __builtin_cpu_supports("bmi2");
}

#elif defined(__aarch64__)

#define HTTP_ISA neon
#define HTTP_TARGET
#include "net/http/parse_head.h"

#endif

/* From the plainest to the best. */
static const struct http_isa {
    const char *name;
    bool (*usable)(void);
    http_parse_fn *parse;
} http_isas[] = {
    { "portable", http_always, http_parse_portable },
#if defined(__x86_64__)
    { "ssse3", http_has_ssse3, http_parse_ssse3 },
    { "avx2", http_has_avx2, http_parse_avx2 },
#elif defined(__aarch64__)
    { "neon", http_always, http_parse_neon },
#endif
};

static http_parse_fn http_parse_first;

/* Relaxed: every value it can have works. */
static _Atomic(http_parse_fn *) http_parse_chosen = http_parse_first;

const char *weir_http_parser_isa(unsigned index)
{
    return index < WEIR_COUNT(http_isas) ? http_isas[index].name : NULL;
}

bool weir_http_parser_usable(unsigned index)
{
    return index < WEIR_COUNT(http_isas) && http_isas[index].usable();
}

bool weir_http_parser_use(unsigned index)
{
    if (!weir_http_parser_usable(index))
        return false;
    atomic_store_explicit(&http_parse_chosen, http_isas[index].parse, memory_order_relaxed);
    return true;
}

/* The first call of the process chooses. */
static int http_parse_first(struct weir_http_parser *parser, const struct weir_http_limits *limits,
                            const char *data, size_t len)
{
    unsigned best = WEIR_COUNT(http_isas) - 1;

    while (!weir_http_parser_use(best))
        best--;
    return weir_http_parse(parser, limits, data, len);
}

int weir_http_parse(struct weir_http_parser *parser, const struct weir_http_limits *limits,
                    const char *data, size_t len)
{
    return atomic_load_explicit(&http_parse_chosen, memory_order_relaxed)(parser, limits, data,
                                                                          len);
}
