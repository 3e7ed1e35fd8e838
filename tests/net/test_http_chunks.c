/* test_http_chunks.c - good and bad chunked bodies, whole, cut at every point, and byte by byte.
 *
 * Each step gets its bytes in a block of exactly their size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "core/base.h"
#include "net/http/parser.h"

struct decoded {
    char body[20000];
    size_t body_len;
    size_t used;
    bool done, bad;
};

/* Steps through one piece until it is used up, or the body ends, or is bad. */
static void decode_piece(struct decoded *out, struct weir_http_chunks *chunks, const char *data,
                         size_t len)
{
    size_t at = 0;

    while (at < len && !out->done && !out->bad) {
        char *copy = malloc(len - at);
        struct weir_str body;
        int64_t n;

        assert_non_null(copy);
        memcpy(copy, data + at, len - at);
        n = weir_http_chunks_step(chunks, copy, len - at, &body, &out->done);
        out->bad = n < 0;
        if (n >= 0) {
            assert_true(n > 0 && (size_t)n <= len - at);
            assert_true(body.at >= copy && body.at + body.len <= copy + n);
            assert_true(out->body_len + body.len <= sizeof out->body);
            memcpy(out->body + out->body_len, body.at, body.len);
            out->body_len += body.len;
            at += (size_t)n;
        }
        free(copy);
    }
    out->used += at;
}

static void decode(struct decoded *out, const char *data, size_t len, size_t first, size_t step)
{
    struct weir_http_chunks chunks;
    size_t at = 0;

    out->body_len = out->used = 0;
    out->done = out->bad = false;
    weir_http_chunks_init(&chunks);
    while (at < len && !out->done && !out->bad) {
        size_t size = at == 0 ? first : step;

        size = size > len - at ? len - at : size;
        decode_piece(out, &chunks, data + at, size);
        at += size;
    }
}

/* However it is cut, the verdict is `done` or `bad` or neither, and the body the same. */
static void check_cuts(struct decoded *whole, const char *data, size_t len)
{
    static struct decoded cut;

    decode(whole, data, len, len, len);
    for (size_t first = 1; first <= len; first++) {
        decode(&cut, data, len, first, len);
        assert_int_equal(cut.done, whole->done);
        assert_int_equal(cut.bad, whole->bad);
        assert_int_equal(cut.body_len, whole->body_len);
        assert_memory_equal(cut.body, whole->body, whole->body_len);
        if (whole->done)
            assert_int_equal(cut.used, whole->used);
    }
    for (size_t step = 1; step <= 3; step++) {
        decode(&cut, data, len, step, step);
        assert_int_equal(cut.done, whole->done);
        assert_int_equal(cut.bad, whole->bad);
        assert_int_equal(cut.body_len, whole->body_len);
        assert_memory_equal(cut.body, whole->body, whole->body_len);
    }
}

#define LAST "0\r\n\r\n"

static void test_good(void **state)
{
    static const struct {
        const char *text, *body;
        size_t behind; /* bytes that belong to the next request */
    } good[] = {
        { LAST, "", 0 },
        { "5\r\nhello\r\n" LAST, "hello", 0 },
        { "5\r\nhello\r\n6\r\n world\r\n" LAST "GET /", "hello world", 5 },
        { "a\r\n0123456789\r\n" LAST, "0123456789", 0 },
        { "A\r\n0123456789\r\n" LAST, "0123456789", 0 },
        { "0000000000000005\r\nhello\r\n0000000000000000\r\n\r\n", "hello", 0 },
        { "2\r\n\r\n\r\n" LAST, "\r\n", 0 },
        { "5;a\r\nhello\r\n" LAST, "hello", 0 },
        { "5;a=b;c=\"d\\\"e\\\\ ;\t\x80\";f\r\nhello\r\n0;z\r\n\r\n", "hello", 0 },
        { "5 \t; a = b ;c = \"\" ; d ; e\r\nhello\r\n" LAST, "hello", 0 },
        { "0\r\nX-Sum: 1\r\nY:\r\nZ: \t a \x80\t\r\n\r\nG", "", 1 },
    };
    static struct decoded whole;

    (void)state;
    for (size_t i = 0; i < WEIR_COUNT(good); i++) {
        size_t len = strlen(good[i].text);

        check_cuts(&whole, good[i].text, len);
        if (!whole.done || whole.bad)
            fail_msg("not taken: %s", good[i].text);
        assert_int_equal(whole.used, len - good[i].behind);
        assert_int_equal(whole.body_len, strlen(good[i].body));
        assert_memory_equal(whole.body, good[i].body, whole.body_len);
    }
}

static void test_bad(void **state)
{
    static const char *const bad[] = {
        /* sizes */
        "\r\n",
        ";a\r\n",
        " 5\r\n",
        "g\r\n",
        "+5\r\n",
        "-5\r\n",
        "0x5\r\n",
        "5x\r\n",
        "5 \r\n",
        "5 5\r\n",
        "5\t\r\n",
        "5,\r\n",
        "5.\r\n",
        "00000000000000005\r\n",
        "8000000000000000\r\n",
        "ffffffffffffffff\r\n",
        "10000000000000000\r\n",
        "\x80\r\n",
        "5\v\r\n",
        /* line ends */
        "5\nhello",
        "5\rhello",
        "5\r\rhello",
        "5\r\nhello!",
        "5\r\nhello\n",
        "5\r\nhello\r\r",
        "5\r\nhello5",
        "5\r\nhello\r\n\r\n",
        "0\n",
        "0\r\n\n",
        "0\r\n\rX",
        "0\r\n\r\r",
        /* extensions */
        "5;\r\n",
        "5;;a\r\n",
        "5;a=\r\n",
        "5;=b\r\n",
        "5;a=;b\r\n",
        "5;a b\r\n",
        "5;a \r\n",
        "5;a=b \r\n",
        "5;a=b c\r\n",
        "5;a=\"\r\n",
        "5;a=\"b\\\r\n",
        "5;a=\"b\"c\r\n",
        "5;a\n",
        "5;a=\"b\nc\"\r\n",
        "5;a=\"\x7f\"\r\n",
        "5;\x80\r\n",
        "5;a\r;b\r\n",
        "5;a==b\r\n",
        "5;a=(\r\n",
        "5;a=\"\\\x01\"\r\n",
        /* trailers */
        "0\r\n : a\r\n",
        "0\r\nX : a\r\n",
        "0\r\nX\r\n",
        "0\r\n:a\r\n",
        "0\r\nX: a\n",
        "0\r\nX: a\r\r",
        "0\r\nX: a\r\n b\r\n\r\n",
        "0\r\nX: a\x01\r\n",
        "0\r\nX: a\x7f\r\n",
        "0\r\nX(: a\r\n",
    };
    static struct decoded whole;

    (void)state;
    for (size_t i = 0; i < WEIR_COUNT(bad); i++) {
        check_cuts(&whole, bad[i], strlen(bad[i]));
        if (!whole.bad)
            fail_msg("taken: %s", bad[i]);
    }
}

static void test_nul(void **state)
{
    static const char in_size[] = "5\0\r\n", in_ext[] = "5;a\0b\r\n",
                      in_quoted[] = "5;a=\"\0\"\r\n", in_trailer[] = "0\r\nX: \0\r\n";
    static struct decoded whole;

    (void)state;
    check_cuts(&whole, in_size, sizeof in_size - 1);
    assert_true(whole.bad);
    check_cuts(&whole, in_ext, sizeof in_ext - 1);
    assert_true(whole.bad);
    check_cuts(&whole, in_quoted, sizeof in_quoted - 1);
    assert_true(whole.bad);
    check_cuts(&whole, in_trailer, sizeof in_trailer - 1);
    assert_true(whole.bad);
}

/* Body before the fault is handed out; after it the decoder stays bad. */
static void test_bad_stays_bad(void **state)
{
    struct weir_http_chunks chunks;
    struct weir_str body;
    bool done;

    (void)state;
    weir_http_chunks_init(&chunks);
    assert_int_equal(weir_http_chunks_step(&chunks, "2\r\nabX", 6, &body, &done), 5);
    assert_int_equal(body.len, 2);
    assert_int_equal(weir_http_chunks_step(&chunks, "X", 1, &body, &done), -1);
    assert_int_equal(weir_http_chunks_step(&chunks, "\r\n", 2, &body, &done), -1);
    assert_int_equal(weir_http_chunks_step(&chunks, "", 0, &body, &done), -1);
    assert_false(done);
}

/* The greatest size there is, and the data is passed on as it comes. */
static void test_size_max(void **state)
{
    static const char text[] = "7fffffffffffffff\r\nabc";
    struct weir_http_chunks chunks;
    struct weir_str body;
    bool done;

    (void)state;
    weir_http_chunks_init(&chunks);
    assert_int_equal(weir_http_chunks_step(&chunks, text, sizeof text - 1, &body, &done),
                     sizeof text - 1);
    assert_int_equal(body.len, 3);
    assert_true(chunks.left == (uint64_t)INT64_MAX - 3);
    assert_int_equal(weir_http_chunks_step(&chunks, text, 0, &body, &done), 0);
    assert_int_equal(body.len, 0);
}

/* --- bounds: `max` bytes pass, one more is refused as soon as it comes --- */

/* "1;aaa...\r\n" of `size` bytes, the CRLF included. */
static size_t put_long_size(char *text, size_t size)
{
    text[0] = '1';
    text[1] = ';';
    memset(text + 2, 'a', size - 4);
    text[size - 2] = '\r';
    text[size - 1] = '\n';
    return size;
}

static void test_line_bound(void **state)
{
    static struct decoded whole;
    char text[1024];
    size_t len;

    (void)state;
    len = put_long_size(text, WEIR_HTTP_CHUNK_LINE_MAX);
    memcpy(text + len, "x\r\n" LAST, 3 + 5);
    check_cuts(&whole, text, len + 3 + 5);
    assert_true(whole.done);
    len = put_long_size(text, WEIR_HTTP_CHUNK_LINE_MAX + 1);
    check_cuts(&whole, text, len);
    assert_true(whole.bad);
    memset(text + 2, 'a', sizeof text - 2);
    decode(&whole, text, WEIR_HTTP_CHUNK_LINE_MAX, sizeof text, 1);
    assert_false(whole.bad);
    decode(&whole, text, WEIR_HTTP_CHUNK_LINE_MAX + 1, sizeof text, 1);
    assert_true(whole.bad);
}

/* A body of chunks whose extensions are `total` bytes in all, by the decoder's own count: what
 * stands between the first ';' and the LF. */
static size_t put_extensions(char *text, size_t total)
{
    size_t at = 0;

    while (total > 0) {
        size_t part = total > 200 ? 100 : total;

        text[at++] = '1';
        text[at++] = ';';
        memset(text + at, 'a', part - 1);
        at += part - 1;
        at += (size_t)sprintf(text + at, "\r\nx\r\n");
        total -= part;
    }
    return at + (size_t)sprintf(text + at, LAST);
}

static void test_extensions_bound(void **state)
{
    static struct decoded whole;
    static char text[3 * WEIR_HTTP_CHUNK_EXT_MAX];
    size_t len;

    (void)state;
    len = put_extensions(text, WEIR_HTTP_CHUNK_EXT_MAX);
    decode(&whole, text, len, len, 1);
    assert_true(whole.done);
    decode(&whole, text, len, 1, 1);
    assert_true(whole.done);
    len = put_extensions(text, WEIR_HTTP_CHUNK_EXT_MAX + 1);
    decode(&whole, text, len, len, 1);
    assert_true(whole.bad);
    decode(&whole, text, len, 1, 1);
    assert_true(whole.bad);
}

static void test_trailer_bound(void **state)
{
    static char text[2 * WEIR_HTTP_TRAILER_MAX];
    static struct decoded whole;
    size_t head = (size_t)sprintf(text, "0\r\nX:"), section = WEIR_HTTP_TRAILER_MAX;

    (void)state;
    memset(text + head, 'a', section);
    memcpy(text + 3 + section - 4, "\r\n\r\n", 4);
    decode(&whole, text, 3 + section, 3 + section, 1);
    assert_true(whole.done);
    decode(&whole, text, 3 + section, 1, 1);
    assert_true(whole.done);
    memset(text + head, 'a', section);
    memcpy(text + 3 + section - 3, "\r\n\r\n", 4);
    decode(&whole, text, 3 + section, 1, 1);
    assert_false(whole.bad || whole.done);
    decode(&whole, text, 3 + section + 1, 1, 1);
    assert_true(whole.bad);
    decode(&whole, text, 3 + section + 1, sizeof text, 1);
    assert_true(whole.bad);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_nul),
        cmocka_unit_test(test_bad_stays_bad),
        cmocka_unit_test(test_size_max),
        cmocka_unit_test(test_line_bound),
        cmocka_unit_test(test_extensions_bound),
        cmocka_unit_test(test_trailer_bound),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
