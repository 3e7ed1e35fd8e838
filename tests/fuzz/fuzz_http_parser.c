/* fuzz_http_parser.c - the request parser and the chunk decoder against themselves, cut
 * differently.
 *
 * Input: one byte that says what is tested ('w': parser, wide limits; 's': parser, small limits;
 * 'c': chunks; others by their value), one that seeds where the pieces are cut, then the bytes.
 * Whatever they are, each version of the parser comes to the verdict that the portable one comes to
 * in one piece, with the same views; and what is accepted obeys the rules, as they are written down
 * here once more and more simply.
 *
 *     fuzz_http_parser -dict=http_parser.dict -max_total_time=300 NEW corpus/http_parser
 *     fuzz_http_parser -runs=100000 corpus/http_parser
 *     fuzz_http_parser FILE                       replays one input */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "core/base.h"
#include "net/http/parser.h"

#define check(expr) \
    (weir_likely(expr) ? (void)0 : weir_panic("%s: check failed: %s", WEIR_HERE, #expr))

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Bytes in a block of their own and of exactly their size. */
static char *bytes_copy(const char *data, size_t len)
{
    char *copy = malloc(len > 0 ? len : 1);

    check(copy != NULL);
    memcpy(copy, data, len);
    return copy;
}

/* The size of the next piece: mostly small, sometimes everything. */
static size_t cut_next(uint32_t *seed, size_t left)
{
    size_t size;

    *seed = *seed * 1664525u + 1013904223u;
    size = *seed >> 24 < 32 ? left : 1 + (*seed >> 16) % (*seed >> 28 == 3 ? 64 : 5);
    return size < left ? size : left;
}

/* --- the head --- */

static int parse_copy(struct weir_http_parser *parser, const struct weir_http_limits *limits,
                      const char *data, size_t len)
{
    char *copy = bytes_copy(data, len);
    int rc = weir_http_parse(parser, limits, copy, len);

    free(copy);
    return rc;
}

/* A line that comes in pieces may be refused at its end only: `end` says whether to bring one
 * about, by a byte that no line goes on after. */
static int parse_cut(struct weir_http_parser *parser, const struct weir_http_limits *limits,
                     const char *data, size_t len, uint32_t seed, bool end)
{
    char *more = malloc(len + 1);
    size_t have = 0;
    int rc;

    check(more != NULL);
    memcpy(more, data, len);
    more[len] = '\n';
    memset(parser, 0x5a, sizeof *parser);
    weir_http_parser_init(parser);
    do {
        have += cut_next(&seed, len - have);
        rc = parse_copy(parser, limits, data, have);
    } while (rc == 0 && have < len);
    if (rc == 0 && end)
        rc = parse_copy(parser, limits, more, len + 1);
    free(more);
    return rc;
}

static bool span_same(struct weir_http_span a, struct weir_http_span b)
{
    return a.at == b.at && a.len == b.len;
}

static void check_same(const struct weir_http_parser *a, const struct weir_http_parser *b)
{
    check(span_same(a->method, b->method) && span_same(a->target, b->target));
    check(span_same(a->path, b->path) && span_same(a->query, b->query));
    check(span_same(a->authority, b->authority));
    check(a->fields == b->fields && a->flags == b->flags);
    check(a->length == b->length && a->head_len == b->head_len);
    for (uint32_t i = 0; i < a->fields; i++)
        check(span_same(a->field[i].name, b->field[i].name) &&
              span_same(a->field[i].value, b->field[i].value));
}

static bool is_token(const char *data, struct weir_http_span span)
{
    for (uint32_t i = 0; i < span.len; i++) {
        char c = data[span.at + i];

        if (c <= ' ' || c >= 127 || strchr("\"(),/:;<=>?@[\\]{}", c) != NULL)
            return false;
    }
    return span.len > 0;
}

static bool is_name(const char *data, struct weir_http_span span, const char *name)
{
    return span.len == strlen(name) && strncasecmp(data + span.at, name, span.len) == 0;
}

/* In what has been accepted, CR and LF come in pairs only, and no other control but HTAB. */
static void check_bytes(const char *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        uint8_t c = (uint8_t)data[i];

        if (c == '\r')
            check(i + 1 < len && data[i + 1] == '\n');
        else if (c == '\n')
            check(i > 0 && data[i - 1] == '\r');
        else
            check(c == '\t' || (c >= ' ' && c != 127));
    }
    check(len >= 4 && memcmp(data + len - 4, "\r\n\r\n", 4) == 0);
}

/* Every line of the section is one field: name, colon, value. */
static void check_fields(const struct weir_http_parser *parser, const char *data)
{
    const char *line = data + parser->target.at + parser->target.len + sizeof " HTTP/1.1\r\n" - 1;
    unsigned hosts = 0, lengths = 0;

    for (uint32_t i = 0; i < parser->fields; i++) {
        const struct weir_http_field *field = &parser->field[i];

        check(data + field->name.at == line && is_token(data, field->name));
        check(line[field->name.len] == ':');
        check(field->value.at + field->value.len <= parser->head_len);
        if (field->value.len > 0)
            check(strchr(" \t", data[field->value.at]) == NULL &&
                  strchr(" \t", data[field->value.at + field->value.len - 1]) == NULL);
        hosts += is_name(data, field->name, "host");
        lengths += is_name(data, field->name, "content-length");
        line = (const char *)memchr(line, '\n', parser->head_len - (size_t)(line - data)) + 1;
    }
    check(line + 2 == data + parser->head_len && *line == '\r');
    check(hosts == 1 || (hosts == 0 && parser->flags & WEIR_HTTP_VERSION_10));
    check(lengths == (parser->flags & WEIR_HTTP_HAS_LENGTH ? 1 : 0));
}

static void check_accepted(const struct weir_http_parser *parser,
                           const struct weir_http_limits *limits, const char *data)
{
    const char *path = data + parser->path.at;

    check_bytes(data, parser->head_len);
    check_fields(parser, data);
    check(is_token(data, parser->method) && parser->fields <= limits->fields_max);
    check((parser->flags & WEIR_HTTP_HAS_LENGTH) == 0 || (parser->flags & WEIR_HTTP_CHUNKED) == 0);
    check(parser->length <= INT64_MAX);
    check(parser->path.len > 0 ? *path == '/' || (*path == '*' && parser->path.len == 1)
                               : is_name(data, parser->method, "CONNECT"));
    for (uint32_t i = 0; i < parser->target.len; i++)
        check(data[parser->target.at + i] > ' ' && data[parser->target.at + i] != '#');
}

static void check_refused(const struct weir_http_parser *a, const struct weir_http_parser *b)
{
    check(a->status == b->status && a->error == b->error);
    check(a->status == 400 || a->status == 413 || a->status == 414 || a->status == 417 ||
          a->status == 431 || a->status == 501 || a->status == 505);
}

static void fuzz_parser(const struct weir_http_limits *limits, const char *data, size_t len,
                        uint32_t seed)
{
    struct weir_http_parser whole, other;
    int rc;

    check(weir_http_parser_use(0));
    weir_http_parser_init(&whole);
    rc = parse_copy(&whole, limits, data, len);
    if (rc == 1)
        check_accepted(&whole, limits, data);
    for (unsigned isa = 0; weir_http_parser_isa(isa) != NULL; isa++) {
        if (!weir_http_parser_use(isa))
            continue;
        for (int cut = 0; cut < 2; cut++) {
            weir_http_parser_init(&other);
            check((cut == 0 ? parse_copy(&other, limits, data, len)
                            : parse_cut(&other, limits, data, len, seed, rc < 0)) == rc);
            if (rc == 1)
                check_same(&whole, &other);
            if (rc == -1)
                check_refused(&whole, &other);
        }
    }
}

/* --- the chunks --- */

struct decoded {
    char *body;
    size_t body_len, used;
    bool done, bad;
};

static void decode_piece(struct decoded *out, struct weir_http_chunks *chunks, const char *data,
                         size_t len)
{
    char *copy = bytes_copy(data, len);
    struct weir_str body;
    size_t at = 0;

    while (at < len && !out->done && !out->bad) {
        int64_t n = weir_http_chunks_step(chunks, copy + at, len - at, &body, &out->done);

        out->bad = n < 0;
        if (n < 0)
            break;
        check(n > 0 && (size_t)n <= len - at);
        check(body.at >= copy + at && body.at + body.len <= copy + at + n);
        memcpy(out->body + out->body_len, body.at, body.len);
        out->body_len += body.len;
        at += (size_t)n;
    }
    out->used += at;
    free(copy);
}

/* With seed 0: in one piece. */
static struct decoded decode(const char *data, size_t len, uint32_t seed)
{
    struct decoded out = { .body = malloc(len > 0 ? len : 1) };
    struct weir_http_chunks chunks;
    size_t at = 0;

    check(out.body != NULL);
    weir_http_chunks_init(&chunks);
    while (at < len && !out.done && !out.bad) {
        size_t size = seed == 0 ? len : cut_next(&seed, len - at);

        decode_piece(&out, &chunks, data + at, size);
        at += size;
    }
    return out;
}

static void fuzz_chunks(const char *data, size_t len, uint32_t seed)
{
    struct decoded whole = decode(data, len, 0), cut = decode(data, len, seed);

    check(whole.done == cut.done && whole.bad == cut.bad);
    check(whole.bad || whole.used == cut.used);
    check(whole.body_len == cut.body_len);
    check(memcmp(whole.body, cut.body, cut.body_len) == 0);
    if (whole.done)
        check(whole.used >= 5 && memcmp(data + whole.used - 2, "\r\n", 2) == 0);
    free(whole.body);
    free(cut.body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct weir_http_limits wide = { 8192, 16384, WEIR_HTTP_FIELDS };
    static const struct weir_http_limits small = { 24, 48, 3 };
    const char *bytes = (const char *)data + 2;
    uint32_t seed;

    if (size < 2)
        return 0;
    seed = 1u + data[1];
    switch (data[0]) {
    case 's':
        fuzz_parser(&small, bytes, size - 2, seed);
        break;
    case 'c':
        fuzz_chunks(bytes, size - 2, seed);
        break;
    default:
        fuzz_parser(&wide, bytes, size - 2, seed);
        break;
    }
    return 0;
}
