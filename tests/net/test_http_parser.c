/* test_http_parser.c - a table of good and bad requests, each parsed whole, cut at every point, and
 * byte by byte, by every version of the parser that this CPU runs.
 *
 * Each call gets the bytes in a block of exactly their size, at another address than before: a read
 * beyond them is seen by the sanitizer, a pointer kept over a call too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "net/http/parser.h"
#include "net/http/scan.h"

static const struct weir_http_limits wide = { 8192, 16384, WEIR_HTTP_FIELDS };

static int parse_copy(struct weir_http_parser *parser, const struct weir_http_limits *limits,
                      const char *data, size_t len)
{
    char *copy = malloc(len != 0 ? len : 1);
    int rc;

    assert_non_null(copy);
    memcpy(copy, data, len);
    rc = weir_http_parse(parser, limits, copy, len);
    free(copy);
    return rc;
}

static int parse_whole(struct weir_http_parser *parser, const struct weir_http_limits *limits,
                       const char *data, size_t len)
{
    weir_http_parser_init(parser);
    return parse_copy(parser, limits, data, len);
}

static void assert_span(struct weir_http_span a, struct weir_http_span b)
{
    assert_int_equal(a.at, b.at);
    assert_int_equal(a.len, b.len);
}

static void assert_same(const struct weir_http_parser *a, const struct weir_http_parser *b)
{
    assert_int_equal(a->head_len, b->head_len);
    assert_int_equal(a->flags, b->flags);
    assert_true(a->length == b->length);
    assert_span(a->method, b->method);
    assert_span(a->target, b->target);
    assert_span(a->path, b->path);
    assert_span(a->query, b->query);
    assert_span(a->authority, b->authority);
    assert_int_equal(a->fields, b->fields);
    for (uint32_t i = 0; i < a->fields; i++) {
        assert_span(a->field[i].name, b->field[i].name);
        assert_span(a->field[i].value, b->field[i].value);
    }
}

/* Feeds the first `first` bytes, then `step` more each time.  An early verdict must be the one of
 * the whole. */
static void check_cut(const struct weir_http_limits *limits, const char *data, size_t len,
                      size_t first, size_t step, int whole_rc, const struct weir_http_parser *whole)
{
    struct weir_http_parser parser;
    size_t have = first;
    int rc;

    memset(&parser, 0xa5, sizeof parser);
    weir_http_parser_init(&parser);
    while ((rc = parse_copy(&parser, limits, data, have)) == 0 && have < len)
        have = len - have < step ? len : have + step;
    assert_int_equal(rc, whole_rc);
    if (rc == 1) {
        assert_true(have >= parser.head_len);
        assert_same(&parser, whole);
    }
    if (rc == -1) {
        assert_int_equal(parser.status, whole->status);
        assert_string_equal(parser.error, whole->error);
    }
    if (rc != 0)
        assert_int_equal(parse_copy(&parser, limits, data, len), rc);
}

static void check_cuts(const struct weir_http_limits *limits, const char *data, size_t len, int rc,
                       const struct weir_http_parser *whole)
{
    for (size_t first = 0; first <= len; first++)
        check_cut(limits, data, len, first, len, rc, whole);
    for (size_t step = 1; step <= 3; step++)
        check_cut(limits, data, len, step, step, rc, whole);
}

/* --- what is accepted --- */

struct good {
    const char *text;
    const char *path, *query;
    unsigned fields, flags;
    uint64_t length;
    const char *host; /* the value of the Host field; NULL: none */
};

#define HOST "Host: a\r\n"
#define GET "GET / HTTP/1.1\r\n"

static const struct good good[] = {
    { "GET /plaintext HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n", "/plaintext", "", 1, 0, 0,
      "127.0.0.1:8080" },
    { GET HOST "\r\n", "/", "", 1, 0, 0, "a" },
    { GET "hOsT:a\r\n\r\n", "/", "", 1, 0, 0, "a" },
    { GET "Host: \t a.example.org \t \r\n\r\n", "/", "", 1, 0, 0, "a.example.org" },
    { GET "Host:\r\n\r\n", "/", "", 1, 0, 0, "" },
    { GET "Host:    \r\n\r\n", "/", "", 1, 0, 0, "" },
    { GET "Host: a:\r\n\r\n", "/", "", 1, 0, 0, "a:" },
    { GET "Host: a:65535\r\n\r\n", "/", "", 1, 0, 0, "a:65535" },
    { GET "Host: [::1]\r\n\r\n", "/", "", 1, 0, 0, "[::1]" },
    { GET "Host: [2001:db8::7]:80\r\n\r\n", "/", "", 1, 0, 0, "[2001:db8::7]:80" },
    { GET "Host: a%20b:80\r\n\r\n", "/", "", 1, 0, 0, "a%20b:80" },
    { "\r\n" GET HOST "\r\n", "/", "", 1, 0, 0, "a" },
    { "\r\n\r\n" GET HOST "\r\n", "/", "", 1, 0, 0, "a" },
    { "GET / HTTP/1.0\r\n\r\n", "/", "", 0, WEIR_HTTP_VERSION_10, 0, NULL },
    { "GET / HTTP/1.0\r\n" HOST "\r\n", "/", "", 1, WEIR_HTTP_VERSION_10, 0, "a" },
    { "GET / HTTP/1.9\r\n" HOST "\r\n", "/", "", 1, 0, 0, "a" },
    { "GET /a/b?c=d&e=?%2F/ HTTP/1.1\r\n" HOST "\r\n", "/a/b", "c=d&e=?%2F/", 1, 0, 0, "a" },
    { "GET /a? HTTP/1.1\r\n" HOST "\r\n", "/a", "", 1, 0, 0, "a" },
    { "GET /%7e-._~!$&'()*+,;=:@/[] HTTP/1.1\r\n" HOST "\r\n", "/%7e-._~!$&'()*+,;=:@/[]", "", 1, 0,
      0, "a" },
    { "GET //x/../y HTTP/1.1\r\n" HOST "\r\n", "//x/../y", "", 1, 0, 0, "a" },
    { "M-SEARCH!#$%&'*+.^_`|~ / HTTP/1.1\r\n" HOST "\r\n", "/", "", 1, 0, 0, "a" },
    { "OPTIONS * HTTP/1.1\r\n" HOST "\r\n", "*", "", 1, 0, 0, "a" },
    { "OPTIONS /x?y HTTP/1.1\r\n" HOST "\r\n", "/x", "y", 1, 0, 0, "a" },
    { "CONNECT b.org:443 HTTP/1.1\r\n" HOST "\r\n", "", "", 1, 0, 0, "b.org:443" },
    { "GET http://b.org/x?y HTTP/1.1\r\n" HOST "\r\n", "/x", "y", 1, 0, 0, "b.org" },
    { "GET HTTPS://b.org:8443 HTTP/1.1\r\n" HOST "\r\n", "/", "", 1, 0, 0, "b.org:8443" },
    { "GET http://[::1]?y/z HTTP/1.1\r\n" HOST "\r\n", "/", "y/z", 1, 0, 0, "[::1]" },
    { "GET http://b.org/ HTTP/1.0\r\n\r\n", "/", "", 0, WEIR_HTTP_VERSION_10, 0, NULL },
    { "POST / HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n", "/", "", 2, WEIR_HTTP_HAS_LENGTH, 0,
      "a" },
    { "POST / HTTP/1.1\r\n" HOST "content-length: 00012 \r\n\r\n", "/", "", 2, WEIR_HTTP_HAS_LENGTH,
      12, "a" },
    { "POST / HTTP/1.1\r\n" HOST "Content-Length: 9223372036854775807\r\n\r\n", "/", "", 2,
      WEIR_HTTP_HAS_LENGTH, INT64_MAX, "a" },
    { "POST / HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc", "/", "", 1,
      WEIR_HTTP_HAS_LENGTH | WEIR_HTTP_VERSION_10, 3, NULL },
    { "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "/", "", 2,
      WEIR_HTTP_CHUNKED, 0, "a" },
    { "POST / HTTP/1.1\r\n" HOST "TRANSFER-ENCODING:CHUNKED\r\n\r\n", "/", "", 2, WEIR_HTTP_CHUNKED,
      0, "a" },
    { GET HOST "Connection: close\r\n\r\n", "/", "", 2, WEIR_HTTP_CLOSE, 0, "a" },
    { GET HOST "Connection: Keep-Alive , , upgrade\r\n\r\n", "/", "", 2, WEIR_HTTP_KEEP_ALIVE, 0,
      "a" },
    { GET HOST "Connection: x-close\r\nConnection: closed,\r\nConnection:\r\n\r\n", "/", "", 4, 0,
      0, "a" },
    { GET HOST "Connection: keep-alive\r\nConnection: te,CLOSE\r\n\r\n", "/", "", 3,
      WEIR_HTTP_KEEP_ALIVE | WEIR_HTTP_CLOSE, 0, "a" },
    { "PUT / HTTP/1.1\r\n" HOST "Expect: 100-Continue\r\n\r\n", "/", "", 2,
      WEIR_HTTP_EXPECT_CONTINUE, 0, "a" },
    { "PUT / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n", "/", "", 1, WEIR_HTTP_VERSION_10, 0, NULL },
    { GET HOST "X-Tab: a\tb\r\nX-Obs: \x80\xff\xfe\r\nX-Empty:\r\n!#$%&'*+-.^_`|~9: x\r\n\r\n", "/",
      "", 5, 0, 0, "a" },
    { GET HOST "Accept: image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8\r\n"
               "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML)\r\n\r\n"
               "GET /next HTTP/1.1\r\n",
      "/", "", 3, 0, 0, "a" },
};

static void assert_text(const char *data, struct weir_http_span span, const char *text)
{
    assert_int_equal(span.len, strlen(text));
    assert_memory_equal(data + span.at, text, span.len);
}

static bool is_name(const char *data, struct weir_http_span span, const char *name)
{
    return span.len == strlen(name) && strncasecmp(data + span.at, name, span.len) == 0;
}

static void assert_host(const struct good *g, const struct weir_http_parser *parser)
{
    const struct weir_http_field *host = NULL;

    for (uint32_t i = 0; i < parser->fields; i++)
        if (is_name(g->text, parser->field[i].name, "Host"))
            host = &parser->field[i];
    assert_int_equal(host != NULL, g->host != NULL);
    if (host != NULL)
        assert_text(g->text, host->value, g->host);
}

static void test_good(void **state)
{
    struct weir_http_parser whole;

    (void)state;
    for (size_t i = 0; i < WEIR_COUNT(good); i++) {
        const struct good *g = &good[i];
        size_t len = strlen(g->text);
        int rc = parse_whole(&whole, &wide, g->text, len);

        if (rc != 1)
            fail_msg("refused: %s (%s)", g->text, rc == 0 ? "waits" : whole.error);
        assert_text(g->text, whole.path, g->path);
        assert_text(g->text, whole.query, g->query);
        assert_int_equal(whole.fields, g->fields);
        assert_int_equal(whole.flags, g->flags);
        assert_true(whole.length == g->length);
        assert_int_equal(whole.head_len, strstr(g->text + 4, "\r\n\r\n") + 4 - g->text);
        assert_host(g, &whole);
        check_cuts(&wide, g->text, len, rc, &whole);
    }
}

static void test_views(void **state)
{
    static const char text[] =
        "\r\nPOST /a?b HTTP/1.1\r\nHost:x\r\nName-1: \t two  words\t \r\n\r\n";
    struct weir_http_parser parser;

    (void)state;
    assert_int_equal(parse_whole(&parser, &wide, text, sizeof text - 1), 1);
    assert_text(text, parser.method, "POST");
    assert_text(text, parser.target, "/a?b");
    assert_text(text, parser.field[1].name, "Name-1");
    assert_text(text, parser.field[1].value, "two  words");
    assert_int_equal(parser.head_len, sizeof text - 1);
}

/* --- what is refused --- */

struct bad {
    const char *text;
    size_t len; /* 0: strlen(text) */
    int status;
    const char *error; /* part of it */
};

#define POST "POST / HTTP/1.1\r\nHost: a\r\n"
#define NUL_IN(text) text, sizeof(text) - 1

static const struct bad bad[] = {
    /* both, or more than one, or not a number */
    { POST "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 0, 400, "both" },
    { POST "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", 0, 400, "both" },
    { POST "Content-Length: 1\r\nContent-Length: 1\r\n\r\n", 0, 400, "more than one Content-L" },
    { POST "Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 0, 400, "more than one Content-L" },
    { POST "Content-Length: 1, 1\r\n\r\n", 0, 400, "not a number" },
    { POST "Content-Length: 1,2\r\n\r\n", 0, 400, "not a number" },
    { POST "Content-Length: +1\r\n\r\n", 0, 400, "not a number" },
    { POST "Content-Length: -1\r\n\r\n", 0, 400, "not a number" },
    { POST "Content-Length: 0x1\r\n\r\n", 0, 400, "not a number" },
    { POST "Content-Length: 1 2\r\n\r\n", 0, 400, "not a number" },
    { POST "Content-Length:\r\n\r\n", 0, 400, "not a number" },
    { POST "Content-Length: 99999999999999999999999x\r\n\r\n", 0, 400, "not a number" },
    { POST "Content-Length: 9223372036854775808\r\n\r\n", 0, 413, "beyond" },
    { POST "Content-Length: 18446744073709551617\r\n\r\n", 0, 413, "beyond" },
    { POST "Content-Length: 340282366920938463463374607431768211456\r\n\r\n", 0, 413, "beyond" },
    /* transfer codings */
    { POST "Transfer-Encoding: gzip\r\n\r\n", 0, 501, "not known" },
    { POST "Transfer-Encoding: identity\r\n\r\n", 0, 501, "not known" },
    { POST "Transfer-Encoding: gzip, chunked\r\n\r\n", 0, 501, "not known" },
    { POST "Transfer-Encoding: x;q=1, chunked\r\n\r\n", 0, 501, "not known" },
    { POST "Transfer-Encoding: xchunked\r\n\r\n", 0, 501, "not known" },
    { POST "Transfer-Encoding: chunked, gzip\r\n\r\n", 0, 400, "not the last" },
    { POST "Transfer-Encoding: chunked, chunked\r\n\r\n", 0, 400, "twice" },
    { POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 0, 400, "twice" },
    { POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n\r\n", 0, 400, "the last" },
    { POST "Transfer-Encoding: chunked;a=b\r\n\r\n", 0, 400, "parameters" },
    { POST "Transfer-Encoding: chunked x\r\n\r\n", 0, 400, "parameters" },
    { POST "Transfer-Encoding: \"chunked\"\r\n\r\n", 0, 400, "not a list" },
    { POST "Transfer-Encoding: chu\x80nked\r\n\r\n", 0, 400, "not a list" },
    { POST "Transfer-Encoding:\r\n\r\n", 0, 400, "not a list" },
    { POST "Transfer-Encoding: ,chunked\r\n\r\n", 0, 400, "not a list" },
    { POST "Transfer-Encoding: chunked,\r\n\r\n", 0, 400, "not the last" },
    { "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 0, 400, "HTTP/1.0" },
    /* CR and LF */
    { "GET / HTTP/1.1\nHost: a\r\n\r\n", 0, 400, "version" },
    { GET "Host: a\n\r\n", 0, 400, "bare LF" },
    { GET HOST "\n", 0, 400, "bare LF" },
    { GET HOST "X: a\rb\r\n\r\n", 0, 400, "bare CR" },
    { GET HOST "X: a\r\r\n\r\n", 0, 400, "bare CR" },
    { GET HOST "X\r\n\r\n", 0, 400, "without a colon" },
    { GET HOST "X\n: a\r\n\r\n", 0, 400, "bare LF" },
    { GET HOST "\rX: a\r\n\r\n", 0, 400, "bare CR" },
    { GET HOST "\r\r\n", 0, 400, "bare CR" },
    { "\r" GET HOST "\r\n", 0, 400, "bare CR" },
    { "\n" GET HOST "\r\n", 0, 400, "bare LF" },
    { "\r\n\r\n\r\n" GET HOST "\r\n", 0, 400, "empty lines" },
    { "GET / HTTP/1.1\r" HOST "\r\n", 0, 400, "version" },
    { "GET /\r/ HTTP/1.1\r\n" HOST "\r\n", 0, 400, "no HTTP version" },
    { "GET /\n HTTP/1.1\r\n" HOST "\r\n", 0, 400, "bare LF" },
    { "GE\nT / HTTP/1.1\r\n" HOST "\r\n", 0, 400, "bare LF" },
    /* white space and names */
    { GET HOST "X: a\r\n b\r\n\r\n", 0, 400, "folded" },
    { GET HOST "X: a\r\n\tb: c\r\n\r\n", 0, 400, "folded" },
    { GET HOST " \r\n\r\n", 0, 400, "folded" },
    { GET " Host: a\r\n\r\n", 0, 400, "before the first field" },
    { GET "\tHost: a\r\n\r\n", 0, 400, "before the first field" },
    { GET "Host : a\r\n\r\n", 0, 400, "white space" },
    { GET "Ho st: a\r\n\r\n", 0, 400, "white space" },
    { GET HOST "X\t: a\r\n\r\n", 0, 400, "white space" },
    { GET HOST ": a\r\n\r\n", 0, 400, "empty field name" },
    { GET HOST "X(: a\r\n\r\n", 0, 400, "not a token" },
    { GET HOST "X\xc3\xa9: a\r\n\r\n", 0, 400, "not a token" },
    { GET HOST "\"X\": a\r\n\r\n", 0, 400, "not a token" },
    { GET HOST "X@\r\n\r\n", 0, 400, "not a token" },
    { "G(T / HTTP/1.1\r\n" HOST "\r\n", 0, 400, "method" },
    { " / HTTP/1.1\r\n" HOST "\r\n", 0, 400, "method" },
    { "G\xc3\xa9T / HTTP/1.1\r\n" HOST "\r\n", 0, 400, "method" },
    { "GET\t/ HTTP/1.1\r\n" HOST "\r\n", 0, 400, "method" },
    { "GET\r\n" HOST "\r\n", 0, 400, "not a request line" },
    /* NUL and controls */
    { NUL_IN("GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n"), 400, "NUL" },
    { NUL_IN("GET / HTTP/1.1\r\nHost: a\r\nX\0: b\r\n\r\n"), 400, "NUL" },
    { NUL_IN("GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n"), 400, "NUL" },
    { NUL_IN("G\0T / HTTP/1.1\r\nHost: a\r\n\r\n"), 400, "NUL" },
    { GET HOST "X: a\x01\r\n\r\n", 0, 400, "control" },
    { GET HOST "X: a\x1f\r\n\r\n", 0, 400, "control" },
    { GET HOST "X: a\x7f\r\n\r\n", 0, 400, "control" },
    { GET HOST "X: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\vb\r\n\r\n", 0, 400,
      "control" },
    { "\x16\x03\x01\x02", 0, 400, "control" },
    /* the target */
    { "GET /a\tb HTTP/1.1\r\n" HOST "\r\n", 0, 400, "character" },
    { "GET /\x7f HTTP/1.1\r\n" HOST "\r\n", 0, 400, "control" },
    { "GET /\x80 HTTP/1.1\r\n" HOST "\r\n", 0, 400, "character" },
    { "GET /a\"b HTTP/1.1\r\n" HOST "\r\n", 0, 400, "character" },
    { "GET /<> HTTP/1.1\r\n" HOST "\r\n", 0, 400, "character" },
    { "GET /?a|b HTTP/1.1\r\n" HOST "\r\n", 0, 400, "character" },
    { "GET /{a} HTTP/1.1\r\n" HOST "\r\n", 0, 400, "character" },
    { "GET /\\a HTTP/1.1\r\n" HOST "\r\n", 0, 400, "character" },
    { "GET /^` HTTP/1.1\r\n" HOST "\r\n", 0, 400, "character" },
    { "GET /a#b HTTP/1.1\r\n" HOST "\r\n", 0, 400, "fragment" },
    { "GET /?a#b HTTP/1.1\r\n" HOST "\r\n", 0, 400, "fragment" },
    { "GET /%4 HTTP/1.1\r\n" HOST "\r\n", 0, 400, "percent" },
    { "GET /% HTTP/1.1\r\n" HOST "\r\n", 0, 400, "percent" },
    { "GET /%zz HTTP/1.1\r\n" HOST "\r\n", 0, 400, "percent" },
    { "GET /?%4g HTTP/1.1\r\n" HOST "\r\n", 0, 400, "percent" },
    { "GET  / HTTP/1.1\r\n" HOST "\r\n", 0, 400, "character" },
    { "GET /  HTTP/1.1\r\n" HOST "\r\n", 0, 400, "version" },
    { "GET / a HTTP/1.1\r\n" HOST "\r\n", 0, 400, "version" },
    { "GET a HTTP/1.1\r\n" HOST "\r\n", 0, 400, "form" },
    { "GET ?a HTTP/1.1\r\n" HOST "\r\n", 0, 400, "form" },
    { "GET * HTTP/1.1\r\n" HOST "\r\n", 0, 400, "OPTIONS" },
    { "OPTIONS *a HTTP/1.1\r\n" HOST "\r\n", 0, 400, "form" },
    { "OPTIONS *?a HTTP/1.1\r\n" HOST "\r\n", 0, 400, "form" },
    { "GET a:80 HTTP/1.1\r\n" HOST "\r\n", 0, 400, "form" },
    { "GET ftp://a/ HTTP/1.1\r\n" HOST "\r\n", 0, 400, "form" },
    { "GET http:/a/ HTTP/1.1\r\n" HOST "\r\n", 0, 400, "form" },
    { "GET http:///a HTTP/1.1\r\n" HOST "\r\n", 0, 400, "authority" },
    { "GET http://?a HTTP/1.1\r\n" HOST "\r\n", 0, 400, "authority" },
    { "GET http:// HTTP/1.1\r\n" HOST "\r\n", 0, 400, "authority" },
    { "GET http://u@a/ HTTP/1.1\r\n" HOST "\r\n", 0, 400, "authority" },
    { "GET http://a:x/ HTTP/1.1\r\n" HOST "\r\n", 0, 400, "authority" },
    { "GET http://a/ HTTP/1.1\r\n\r\n", 0, 400, "no Host" },
    { "CONNECT / HTTP/1.1\r\n" HOST "\r\n", 0, 400, "CONNECT" },
    { "CONNECT a HTTP/1.1\r\n" HOST "\r\n", 0, 400, "CONNECT" },
    { "CONNECT a: HTTP/1.1\r\n" HOST "\r\n", 0, 400, "CONNECT" },
    { "CONNECT http://a:80 HTTP/1.1\r\n" HOST "\r\n", 0, 400, "CONNECT" },
    { "CONNECT a:80?b HTTP/1.1\r\n" HOST "\r\n", 0, 400, "CONNECT" },
    /* Host */
    { GET "\r\n", 0, 400, "no Host" },
    { GET "X: a\r\n\r\n", 0, 400, "no Host" },
    { GET HOST HOST "\r\n", 0, 400, "more than one Host" },
    { GET HOST "hOST: b\r\n\r\n", 0, 400, "more than one Host" },
    { "GET / HTTP/1.0\r\n" HOST HOST "\r\n", 0, 400, "more than one Host" },
    { GET "Host: a b\r\n\r\n", 0, 400, "Host is not valid" },
    { GET "Host: a/b\r\n\r\n", 0, 400, "Host is not valid" },
    { GET "Host: u@a\r\n\r\n", 0, 400, "Host is not valid" },
    { GET "Host: a:b\r\n\r\n", 0, 400, "Host is not valid" },
    { GET "Host: a:80:80\r\n\r\n", 0, 400, "Host is not valid" },
    { GET "Host: a:65536\r\n\r\n", 0, 400, "Host is not valid" },
    { GET "Host: a:000080\r\n\r\n", 0, 400, "Host is not valid" },
    { GET "Host: :80\r\n\r\n", 0, 400, "Host is not valid" },
    { GET "Host: ::1\r\n\r\n", 0, 400, "Host is not valid" },
    { GET "Host: [::1\r\n\r\n", 0, 400, "Host is not valid" },
    { GET "Host: [::1]x\r\n\r\n", 0, 400, "Host is not valid" },
    { GET "Host: []\r\n\r\n", 0, 400, "Host is not valid" },
    { GET "Host: [a]\r\n\r\n", 0, 400, "Host is not valid" },
    { GET "Host: [v1.a]\r\n\r\n", 0, 400, "Host is not valid" },
    { GET "Host: [1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb]\r\n\r\n", 0, 400,
      "Host is not valid" },
    { GET "Host: a%2\r\n\r\n", 0, 400, "Host is not valid" },
    { GET "Host: a\x80\r\n\r\n", 0, 400, "Host is not valid" },
    { GET "Host: http://a\r\n\r\n", 0, 400, "Host is not valid" },
    /* versions */
    { "GET / HTTP/2.0\r\n" HOST "\r\n", 0, 505, "spoken" },
    { "GET / HTTP/0.9\r\n" HOST "\r\n", 0, 505, "spoken" },
    { "GET / HTTP/3.1\r\n" HOST "\r\n", 0, 505, "spoken" },
    { "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0, 505, "spoken" },
    { "GET / HTTP/1.10\r\n" HOST "\r\n", 0, 400, "not an HTTP version" },
    { "GET / HTTP/11.1\r\n" HOST "\r\n", 0, 400, "not an HTTP version" },
    { "GET / HTTP/1\r\n" HOST "\r\n", 0, 400, "not an HTTP version" },
    { "GET / HTTP/1,1\r\n" HOST "\r\n", 0, 400, "not an HTTP version" },
    { "GET / HTTP/a.1\r\n" HOST "\r\n", 0, 400, "not an HTTP version" },
    { "GET / http/1.1\r\n" HOST "\r\n", 0, 400, "not an HTTP version" },
    { "GET / HTTP/1.1 \r\n" HOST "\r\n", 0, 400, "not an HTTP version" },
    { "GET / HTTPS/1.1\r\n" HOST "\r\n", 0, 400, "not an HTTP version" },
    { "GET / \r\n" HOST "\r\n", 0, 400, "not an HTTP version" },
    { "GET /\r\n\r\n", 0, 400, "no HTTP version" },
    /* the others that matter */
    { GET HOST "Connection: close;a\r\n\r\n", 0, 400, "Connection" },
    { GET HOST "Connection: a b\r\n\r\n", 0, 400, "Connection" },
    { "PUT / HTTP/1.1\r\n" HOST "Expect: 200-ok\r\n\r\n", 0, 417, "expectation" },
    { "PUT / HTTP/1.1\r\n" HOST "Expect: \x11\r\n\r\n", 0, 400, "control" },
    { "PUT / HTTP/1.1\r\n" HOST "Expect: 100-continue, x\r\n\r\n", 0, 417, "expectation" },
};

static void test_bad(void **state)
{
    struct weir_http_parser whole;

    (void)state;
    for (size_t i = 0; i < WEIR_COUNT(bad); i++) {
        const struct bad *b = &bad[i];
        size_t len = b->len != 0 ? b->len : strlen(b->text);
        int rc = parse_whole(&whole, &wide, b->text, len);

        if (rc != -1)
            fail_msg("not refused: %s", b->text);
        if (whole.status != b->status || strstr(whole.error, b->error) == NULL)
            fail_msg("%s: %d %s", b->text, whole.status, whole.error);
        check_cuts(&wide, b->text, len, rc, &whole);
    }
}

/* --- limits --- */

static const char limited[] = "GET /0123456789 HTTP/1.1\r\nHost: a\r\nAccept: text/plain\r\n\r\n";

enum { LIMITED_LINE = 24, LIMITED_HEADERS = 9 + 20, LIMITED_FIELDS = 2 };

static void check_limits(struct weir_http_limits limits, int status, const char *error)
{
    struct weir_http_parser whole;
    size_t len = sizeof limited - 1;
    int rc = parse_whole(&whole, &limits, limited, len);

    if (status == 0) {
        assert_int_equal(rc, 1);
    } else {
        assert_int_equal(rc, -1);
        assert_int_equal(whole.status, status);
        assert_non_null(strstr(whole.error, error));
    }
    check_cuts(&limits, limited, len, rc, &whole);
}

static void test_limits(void **state)
{
    const struct weir_http_limits exact = { LIMITED_LINE, LIMITED_HEADERS, LIMITED_FIELDS };
    struct weir_http_limits limits;

    (void)state;
    check_limits(exact, 0, NULL);
    for (uint32_t max = 0; max < LIMITED_LINE; max++) {
        limits = exact;
        limits.line_max = max;
        check_limits(limits, 414, "request line");
    }
    for (uint32_t max = 0; max < LIMITED_HEADERS; max++) {
        limits = exact;
        limits.headers_max = max;
        check_limits(limits, 431, "header section");
    }
    for (uint32_t max = 0; max < LIMITED_FIELDS; max++) {
        limits = exact;
        limits.fields_max = max;
        check_limits(limits, 431, "too many fields");
    }
}

/* At which byte of an endless line comes the refusal, in one piece and byte by byte? */
static void check_endless(const char *start, char fill, uint32_t max_total, int status)
{
    const struct weir_http_limits limits = { 100, 200, 8 };
    struct weir_http_parser parser;
    char data[512];
    size_t len = strlen(start);

    memcpy(data, start, len);
    memset(data + len, fill, sizeof data - len);
    assert_int_equal(parse_whole(&parser, &limits, data, max_total), 0);
    assert_int_equal(parse_whole(&parser, &limits, data, max_total + 1), -1);
    assert_int_equal(parser.status, status);
    weir_http_parser_init(&parser);
    for (len = 0; len <= max_total; len++)
        assert_int_equal(parse_copy(&parser, &limits, data, len), 0);
    assert_int_equal(parse_copy(&parser, &limits, data, len), -1);
    assert_int_equal(parser.status, status);
}

static void test_refused_before_the_end_comes(void **state)
{
    (void)state;
    check_endless("GET", 'T', 100, 414);
    check_endless("GET /", 'a', 100, 414);
    check_endless("GET /?", 'a', 100, 414);
    check_endless("\r\nGET /", 'a', 102, 414);
    check_endless("GET / HTTP/1.1\r\nX", 'a', 16 + 198, 431);
    check_endless("GET / HTTP/1.1\r\nX:", 'a', 16 + 198, 431);
    check_endless("GET / HTTP/1.1\r\nX:", ' ', 16 + 198, 431);
    check_endless("GET / HTTP/1.1\r\nHost: a\r\nX:", '\t', 16 + 198, 431);
}

/* A line that came byte by byte is refused as soon as a control character comes, wherever it is. */
static void test_control_is_refused_at_once(void **state)
{
    static const char text[] = "GET /abc HTTP/1.1\r\nHost: abc\r\nX: abc\r\n";
    char data[sizeof text + 1];

    (void)state;
    for (size_t at = 0; at < sizeof text; at++) {
        struct weir_http_parser parser;

        weir_http_parser_init(&parser);
        memcpy(data, text, at);
        memcpy(data + at,
               "\x01"
               "a",
               2);
        for (size_t len = 0; len <= at; len++)
            assert_int_equal(parse_copy(&parser, &wide, data, len), 0);
        assert_int_equal(parse_copy(&parser, &wide, data, at + 2), -1);
        assert_int_equal(parser.status, 400);
    }
}

/* As many fields as there is room for, and one more. */
static void test_fields_max(void **state)
{
    struct weir_http_parser whole;
    char text[4096];
    size_t len = (size_t)snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: a\r\n");

    (void)state;
    for (int i = 1; i < WEIR_HTTP_FIELDS; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "X%d: %d\r\n", i, i);
    memcpy(text + len, "\r\n", 3);
    assert_int_equal(parse_whole(&whole, &wide, text, len + 2), 1);
    assert_int_equal(whole.fields, WEIR_HTTP_FIELDS);
    memcpy(text + len, "X:\r\n\r\n", 7);
    assert_int_equal(parse_whole(&whole, &wide, text, len + 6), -1);
    assert_int_equal(whole.status, 431);
}

/* --- one byte anywhere --- */

/* Each of the 256 bytes at each place of a request: whatever the verdict, all versions agree, and
 * no cut changes it. */
static void test_every_byte_everywhere(void **state)
{
    static const char text[] = "PUT /a%2f?b HTTP/1.1\r\nHost: a.example:80\r\nTransfer-Encoding: "
                               "chunked\r\nX-Long: 0123456789 0123456789 0123456789\r\n\r\n";
    struct weir_http_parser first, other;
    char data[sizeof text];
    size_t len = sizeof text - 1;

    (void)state;
    memcpy(data, text, len);
    for (size_t at = 0; at < len; at++) {
        for (int byte = 0; byte < 256; byte++) {
            int rc;

            data[at] = (char)byte;
            assert_true(weir_http_parser_use(0));
            rc = parse_whole(&first, &wide, data, len);
            for (unsigned isa = 1; weir_http_parser_usable(isa); isa++) {
                weir_http_parser_use(isa);
                assert_int_equal(parse_whole(&other, &wide, data, len), rc);
                if (rc == 1)
                    assert_same(&other, &first);
                if (rc == -1)
                    assert_string_equal(other.error, first.error);
                check_cut(&wide, data, len, at, 1, rc, &first);
                check_cut(&wide, data, len, at + 1, len, rc, &first);
            }
        }
        data[at] = text[at];
    }
}

/* Names and values of every length up to more than two blocks, with another request behind them,
 * with the last byte of the head being the last there is, and with limits at their edge: every
 * version says what the portable one says. */
static void test_every_length(void **state)
{
    static const char next[] = "GET / HTTP/1.1\r\nHost: b\r\n\r\n";
    static char fill[140];
    struct weir_http_parser first, other;
    char data[512];

    (void)state;
    memset(fill, 'n', sizeof fill);
    for (int i = 0; i < 140 * 140; i++) {
        int head = snprintf(
            data, sizeof data,
            "GET /a HTTP/1.1\r\nHost: a\r\n%.*s:%s%.*s\r\nContent-Length: 7\r\n\r\n", i / 140, fill,
            i % 3 == 0   ? " "
            : i % 3 == 1 ? ""
                         : " \t ",
            i % 140, fill);
        size_t lens[] = { (size_t)head, (size_t)head + sizeof next - 1, (size_t)head - 1 };
        struct weir_http_limits limits[] = { wide, wide, wide, wide, wide };

        memcpy(data + head, next, sizeof next - 1);
        limits[1].headers_max = (uint32_t)head - 17 - 2; /* without request line and empty line */
        limits[2].headers_max = limits[1].headers_max - 1;
        limits[3].line_max = i % 2 == 0 ? 15 : 14;
        limits[4].fields_max = i % 2 == 0 ? 3 : 2;
        for (int c = 0; c < 15; c++) {
            int rc;

            assert_true(weir_http_parser_use(0));
            rc = parse_whole(&first, &limits[c % 5], data, lens[c / 5]);
            for (unsigned isa = 1; weir_http_parser_usable(isa); isa++) {
                weir_http_parser_use(isa);
                assert_int_equal(parse_whole(&other, &limits[c % 5], data, lens[c / 5]), rc);
                if (rc == 1)
                    assert_same(&other, &first);
                if (rc == -1)
                    assert_string_equal(other.error, first.error);
            }
            if (i >= 140 && (c == 0 || c == 1 || c == 5))
                assert_int_equal(rc, 1);
            if (i >= 140 && (c == 2 || c == 7))
                assert_int_equal(rc, -1);
            if (i >= 140 && (c == 3 || c == 4))
                assert_int_equal(rc, i % 2 == 0 ? 1 : -1);
        }
    }
}

/* The sets are tables of bits made by hand: here is what they say. */
static void test_sets(void **state)
{
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    (void)state;
    for (int c = 1; c < 256; c++) {
        assert_int_equal(http_set_has(&http_token, (char)c),
                         strchr(LETTERS "!#$%&'*+-.^_`|~", c) != NULL);
        assert_int_equal(http_set_has(&http_target, (char)c),
                         strchr(LETTERS "-._~!$&'()*+,;=:@/[]", c) != NULL);
        assert_int_equal(http_set_has(&http_host, (char)c),
                         strchr(LETTERS "-._~!$&'()*+,;=", c) != NULL);
        assert_int_equal(http_value_has((char)c), c == '\t' || (c >= ' ' && c != 127));
    }
    assert_false(http_set_has(&http_token, '\0') || http_set_has(&http_target, '\0') ||
                 http_set_has(&http_host, '\0') || http_value_has('\0'));
}

/* --- all of it for each version --- */

static int use_isa(void **state)
{
    return weir_http_parser_use(*(unsigned *)*state) ? 0 : -1;
}

int main(void)
{
    static unsigned isa;
    int failed = 0;

    for (isa = 0; weir_http_parser_isa(isa) != NULL; isa++) {
        const struct CMUnitTest tests[] = {
            cmocka_unit_test_prestate_setup_teardown(test_good, use_isa, NULL, &isa),
            cmocka_unit_test_prestate_setup_teardown(test_views, use_isa, NULL, &isa),
            cmocka_unit_test_prestate_setup_teardown(test_bad, use_isa, NULL, &isa),
            cmocka_unit_test_prestate_setup_teardown(test_limits, use_isa, NULL, &isa),
            cmocka_unit_test_prestate_setup_teardown(test_refused_before_the_end_comes, use_isa,
                                                     NULL, &isa),
            cmocka_unit_test_prestate_setup_teardown(test_control_is_refused_at_once, use_isa, NULL,
                                                     &isa),
            cmocka_unit_test_prestate_setup_teardown(test_fields_max, use_isa, NULL, &isa),
        };

        if (weir_http_parser_usable(isa))
            failed += cmocka_run_group_tests_name(weir_http_parser_isa(isa), tests, NULL, NULL);
        else
            printf("parser version %s does not run on this CPU\n", weir_http_parser_isa(isa));
    }
    {
        const struct CMUnitTest tests[] = {
            cmocka_unit_test(test_every_byte_everywhere),
            cmocka_unit_test(test_every_length),
            cmocka_unit_test(test_sets),
        };

        failed += cmocka_run_group_tests_name("all versions", tests, NULL, NULL);
    }
    return failed != 0;
}
