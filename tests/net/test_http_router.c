/* test_http_router.c - which handler answers, with which parameters; and what is no pattern. */
#include <setjmp.h>
#include <stdarg.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "core/base.h"
#include "net/http/router.h"

static void handler(struct weir_http *http, void *arg)
{
    (void)http;
    (void)arg;
}

static struct weir_http_router *router_new(void)
{
    struct weir_http_router *router;

    assert_int_equal(weir_http_router_new(&router), 0);
    return router;
}

static struct weir_str str(const char *text)
{
    return (struct weir_str){ text, strlen(text) };
}

/* The pattern itself is the handler's argument, so that tests can name what they expect. */
static int route(struct weir_http_router *router, const char *method, const char *pattern)
{
    return weir_http_route(router, method, pattern, handler, (void *)(uintptr_t)pattern);
}

static int find(const struct weir_http_router *router, const char *method, const char *path,
                struct weir_http_match *match, char allow[64])
{
    struct weir_str view = str(path);
    char *copy = malloc(view.len + 1); /* of the exact size: nothing behind it may be read */
    int status;

    assert_non_null(copy);
    copy = realloc(copy, view.len != 0 ? view.len : 1);
    memcpy(copy, path, view.len);
    status = weir_http_router_find(router, str(method), (struct weir_str){ copy, view.len }, match,
                                   allow, 64);
    for (unsigned i = 0; status == 0 && i < match->params; i++)
        match->param_value[i].at = path + (match->param_value[i].at - copy);
    free(copy);
    return status;
}

/* `params`: "name=value,name=value". */
static void assert_found(const struct weir_http_router *router, const char *method,
                         const char *path, const char *pattern, const char *params)
{
    struct weir_http_match match;
    char allow[64], text[256] = "";
    size_t len = 0;
    int status = find(router, method, path, &match, allow);

    if (status != 0)
        fail_msg("%s %s: %d", method, path, status);
    assert_ptr_equal(match.handler, handler);
    assert_string_equal(match.arg, pattern);
    for (unsigned i = 0; i < match.params; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%s%s=%.*s", i > 0 ? "," : "",
                                match.param_name[i], (int)match.param_value[i].len,
                                match.param_value[i].at);
    assert_string_equal(text, params);
}

static void assert_404(const struct weir_http_router *router, const char *method, const char *path)
{
    struct weir_http_match match;
    char allow[64];
    int status = find(router, method, path, &match, allow);

    if (status != 404)
        fail_msg("%s %s: %d", method, path, status);
}

static void assert_405(const struct weir_http_router *router, const char *method, const char *path,
                       const char *expected)
{
    struct weir_http_match match;
    char allow[64];
    int status = find(router, method, path, &match, allow);

    if (status != 405)
        fail_msg("%s %s: %d", method, path, status);
    assert_string_equal(allow, expected);
}

static void test_literal(void **state)
{
    struct weir_http_router *router = router_new();

    (void)state;
    assert_404(router, "GET", "/");
    assert_int_equal(route(router, "GET", "/"), 0);
    assert_int_equal(route(router, "GET", "/a"), 0);
    assert_int_equal(route(router, "GET", "/a/"), 0);
    assert_int_equal(route(router, "GET", "/a/b%20c"), 0);
    assert_int_equal(route(router, "GET", "/plaintext/long/enough/for/more/than/eight"), 0);
    assert_found(router, "GET", "/", "/", "");
    assert_found(router, "GET", "/a", "/a", "");
    assert_found(router, "GET", "/a/", "/a/", "");
    assert_found(router, "GET", "/a/b%20c", "/a/b%20c", "");
    assert_found(router, "GET", "/plaintext/long/enough/for/more/than/eight",
                 "/plaintext/long/enough/for/more/than/eight", "");
    assert_404(router, "GET", "/b");
    assert_404(router, "GET", "/A");
    assert_404(router, "GET", "//");
    assert_404(router, "GET", "/a//");
    assert_404(router, "GET", "/a/b");
    assert_404(router, "GET", "*");
    assert_404(router, "GET", "");
    assert_404(router, "GET", "a");
    weir_http_router_free(router);
}

static void test_methods(void **state)
{
    struct weir_http_router *router = router_new();

    (void)state;
    assert_int_equal(route(router, "GET", "/a"), 0);
    assert_int_equal(route(router, "POST", "/a"), 0);
    assert_int_equal(route(router, "DELETE", "/b/{x}"), 0);
    assert_found(router, "GET", "/a", "/a", "");
    assert_found(router, "POST", "/a", "/a", "");
    assert_found(router, "HEAD", "/a", "/a", "");
    assert_405(router, "PUT", "/a", "GET, HEAD, POST");
    assert_405(router, "get", "/a", "GET, HEAD, POST");
    assert_405(router, "GE", "/a", "GET, HEAD, POST");
    assert_405(router, "HEAD", "/b/1", "DELETE");
    assert_404(router, "PUT", "/c");
    weir_http_router_free(router);
}

static void test_head_of_its_own(void **state)
{
    struct weir_http_router *router = router_new();
    struct weir_http_match match;
    char allow[64];

    (void)state;
    assert_int_equal(weir_http_route(router, "GET", "/a", handler, "get"), 0);
    assert_int_equal(weir_http_route(router, "HEAD", "/a", handler, "head"), 0);
    assert_int_equal(find(router, "HEAD", "/a", &match, allow), 0);
    assert_string_equal(match.arg, "head");
    assert_405(router, "PUT", "/a", "GET, HEAD");
    weir_http_router_free(router);
}

static void test_brief(void **state)
{
    struct weir_http_router *router = router_new();
    struct weir_http_match match;
    char allow[64];

    (void)state;
    assert_int_equal(weir_http_route(router, "GET", "/a", handler, NULL), 0);
    assert_int_equal(weir_http_route_brief(router, "GET", "/b", handler, NULL), 0);
    assert_int_equal(weir_http_route_brief(router, "GET", "/{c}/d", handler, NULL), 0);
    assert_int_equal(find(router, "GET", "/a", &match, allow), 0);
    assert_false(match.brief);
    assert_int_equal(find(router, "GET", "/b", &match, allow), 0);
    assert_true(match.brief);
    assert_int_equal(find(router, "GET", "/a/d", &match, allow), 0);
    assert_true(match.brief);
    weir_http_router_free(router);
}

static void test_params(void **state)
{
    struct weir_http_router *router = router_new();

    (void)state;
    assert_int_equal(route(router, "GET", "/delay/{ms}"), 0);
    assert_int_equal(route(router, "GET", "/{a}/{b}/{c}"), 0);
    assert_int_equal(route(router, "GET", "/files/{path...}"), 0);
    assert_found(router, "GET", "/delay/10", "/delay/{ms}", "ms=10");
    assert_found(router, "GET", "/delay/%31", "/delay/{ms}", "ms=%31");
    assert_found(router, "GET", "/x/y/z", "/{a}/{b}/{c}", "a=x,b=y,c=z");
    assert_found(router, "GET", "/files/", "/files/{path...}", "path=");
    assert_found(router, "GET", "/files/a", "/files/{path...}", "path=a");
    assert_found(router, "GET", "/files/a/b//c/", "/files/{path...}", "path=a/b//c/");
    assert_404(router, "GET", "/delay/");
    assert_404(router, "GET", "/delay");
    assert_404(router, "GET", "/files");
    assert_404(router, "GET", "/delay/1/");
    assert_404(router, "GET", "/x//z");
    assert_404(router, "GET", "/x/y/z/");
    weir_http_router_free(router);
}

static void test_names_belong_to_the_route(void **state)
{
    struct weir_http_router *router = router_new();

    (void)state;
    assert_int_equal(route(router, "GET", "/u/{id}"), 0);
    assert_int_equal(route(router, "PUT", "/u/{name}"), 0);
    assert_int_equal(route(router, "GET", "/u/{user}/x"), 0);
    assert_found(router, "GET", "/u/7", "/u/{id}", "id=7");
    assert_found(router, "PUT", "/u/7", "/u/{name}", "name=7");
    assert_found(router, "GET", "/u/7/x", "/u/{user}/x", "user=7");
    assert_int_equal(route(router, "GET", "/u/{other}"), -EEXIST);
    weir_http_router_free(router);
}

/* Literal beats parameter beats rest, segment by segment; what leads nowhere is left again. */
static void test_precedence(void **state)
{
    struct weir_http_router *router = router_new();

    (void)state;
    assert_int_equal(route(router, "GET", "/{all...}"), 0);
    assert_int_equal(route(router, "GET", "/{a}/c"), 0);
    assert_int_equal(route(router, "GET", "/a/{b}"), 0);
    assert_int_equal(route(router, "GET", "/a/b"), 0);
    assert_int_equal(route(router, "GET", "/a/b/d"), 0);
    assert_int_equal(route(router, "GET", "/{x}/{y}/e"), 0);
    assert_found(router, "GET", "/a/b", "/a/b", "");
    assert_found(router, "GET", "/a/c", "/a/{b}", "b=c");
    assert_found(router, "GET", "/z/c", "/{a}/c", "a=z");
    assert_found(router, "GET", "/a/b/d", "/a/b/d", "");
    assert_found(router, "GET", "/a/b/e", "/{x}/{y}/e", "x=a,y=b");
    assert_found(router, "GET", "/a/b/f", "/{all...}", "all=a/b/f");
    assert_found(router, "GET", "/", "/{all...}", "all=");
    assert_found(router, "GET", "/a", "/{all...}", "all=a");
    weir_http_router_free(router);
}

/* A pattern without the method does not hide one that has it. */
static void test_method_decides_last(void **state)
{
    struct weir_http_router *router = router_new();

    (void)state;
    assert_int_equal(route(router, "GET", "/users/me"), 0);
    assert_int_equal(route(router, "POST", "/users/{id}"), 0);
    assert_int_equal(route(router, "GET", "/users/{id}"), 0);
    assert_int_equal(route(router, "DELETE", "/{rest...}"), 0);
    assert_found(router, "GET", "/users/me", "/users/me", "");
    assert_found(router, "POST", "/users/me", "/users/{id}", "id=me");
    assert_found(router, "DELETE", "/users/me", "/{rest...}", "rest=users/me");
    assert_405(router, "PUT", "/users/me", "GET, HEAD, POST, DELETE");
    assert_405(router, "PUT", "/users/1", "POST, GET, HEAD, DELETE");
    weir_http_router_free(router);
}

static void test_not_a_pattern(void **state)
{
    static const char *const bad[] = {
        "",       "a",         "a/b",      "*",        "/a b",        "/a?b",   "/a#b",
        "/%",     "/%4",       "/%4g",     "/\x80",    "/\x01",       "/{",     "/{}",
        "/{a",    "/a}",       "/{a}b",    "/b{a}",    "/{1a}",       "/{a-b}", "/{...}",
        "/{a..}", "/{a...}/b", "/{a...}/", "/{a}/{a}", "/{a}/{a...}", "/{{a}}", "/{a}/{",
    };
    static const char *const bad_methods[] = { "", "G ET", "GET ", "G(T", "G\x80T", "G:" };
    struct weir_http_router *router = router_new();

    (void)state;
    for (size_t i = 0; i < WEIR_COUNT(bad); i++)
        if (route(router, "GET", bad[i]) != -EINVAL)
            fail_msg("taken: %s", bad[i]);
    for (size_t i = 0; i < WEIR_COUNT(bad_methods); i++)
        assert_int_equal(route(router, bad_methods[i], "/"), -EINVAL);
    assert_int_equal(weir_http_route(router, "GET", "/", NULL, NULL), -EINVAL);
    assert_404(router, "GET", "/");
    assert_int_equal(route(router, "M-SEARCH", "/{_a1}"), 0);
    assert_found(router, "M-SEARCH", "/x", "/{_a1}", "_a1=x");
    assert_int_equal(route(router, "GET", "/a"), 0);
    assert_int_equal(route(router, "GET", "/a"), -EEXIST);
    weir_http_router_free(router);
}

/* --- bounds --- */

static void test_params_max(void **state)
{
    struct weir_http_router *router = router_new();

    (void)state;
    assert_int_equal(WEIR_HTTP_PARAMS, 8);
    assert_int_equal(route(router, "GET", "/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}"), 0);
    assert_int_equal(route(router, "GET", "/{a}/{b}/{c}/{d}/{e}/{f}/{g}/x/{h...}"), 0);
    assert_int_equal(route(router, "GET", "/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}"), -EINVAL);
    assert_int_equal(route(router, "GET", "/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i...}"), -EINVAL);
    assert_found(router, "GET", "/1/2/3/4/5/6/7/8", "/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}",
                 "a=1,b=2,c=3,d=4,e=5,f=6,g=7,h=8");
    assert_found(router, "GET", "/1/2/3/4/5/6/7/x/8/9", "/{a}/{b}/{c}/{d}/{e}/{f}/{g}/x/{h...}",
                 "a=1,b=2,c=3,d=4,e=5,f=6,g=7,h=8/9");
    assert_404(router, "GET", "/1/2/3/4/5/6/7/8/9");
    weir_http_router_free(router);
}

static void test_segments_max(void **state)
{
    struct weir_http_router *router = router_new();
    char pattern[2 * WEIR_HTTP_SEGMENTS + 3], path[4096];

    (void)state;
    for (size_t i = 0; i <= WEIR_HTTP_SEGMENTS; i++)
        memcpy(pattern + 2 * i, "/a", 3);
    assert_int_equal(route(router, "GET", pattern), -EINVAL);
    pattern[2 * WEIR_HTTP_SEGMENTS] = '\0';
    assert_int_equal(route(router, "GET", pattern), 0);
    assert_int_equal(route(router, "PUT", "/{x...}"), 0);
    assert_found(router, "GET", pattern, pattern, "");
    for (size_t i = 0; i + 2 < sizeof path; i += 2)
        memcpy(path + i, "/a", 3);
    assert_405(router, "GET", path, "PUT");
    weir_http_router_free(router);
}

/* The list is cut behind a whole method, at every size of the buffer. */
static void test_allow_cut(void **state)
{
    static const char whole[] = "GET, HEAD, POST";
    struct weir_http_router *router = router_new();
    struct weir_http_match match;

    (void)state;
    assert_int_equal(route(router, "GET", "/a"), 0);
    assert_int_equal(route(router, "POST", "/a"), 0);
    for (size_t size = 1; size <= sizeof whole; size++) {
        size_t expected = size >= sizeof whole ? 15 : size > 9 ? 9 : size > 3 ? 3 : 0;
        char *allow = malloc(size);

        assert_non_null(allow);
        assert_int_equal(
            weir_http_router_find(router, WEIR_STR("PUT"), WEIR_STR("/a"), &match, allow, size),
            405);
        assert_int_equal(strlen(allow), expected);
        assert_memory_equal(allow, whole, expected);
        free(allow);
    }
    weir_http_router_free(router);
}

/* Many literals: the hash grows, the tree's children stay sorted, every one is found. */
static void test_many(void **state)
{
    enum { MANY = 2000 };
    struct weir_http_router *router = router_new();
    static char pattern[MANY][2][32];

    (void)state;
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(pattern[i][0], sizeof pattern[i][0], "/r%u", i * 7919 % MANY);
        snprintf(pattern[i][1], sizeof pattern[i][1], "/r%u/{id}", i * 7919 % MANY);
        assert_int_equal(route(router, "GET", pattern[i][0]), 0);
        assert_int_equal(route(router, "GET", pattern[i][1]), 0);
        assert_int_equal(route(router, "POST", pattern[i][0]), 0);
    }
    for (unsigned i = 0; i < MANY; i++) {
        char path[32];

        snprintf(path, sizeof path, "/r%u/5", i * 7919 % MANY);
        assert_found(router, "GET", pattern[i][0], pattern[i][0], "");
        assert_found(router, "POST", pattern[i][0], pattern[i][0], "");
        assert_found(router, "GET", path, pattern[i][1], "id=5");
    }
    assert_404(router, "GET", "/r2000");
    assert_404(router, "GET", "/r/5");
    weir_http_router_free(router);
}

static void test_reasons(void **state)
{
    (void)state;
    assert_string_equal(weir_http_reason(100), "Continue");
    assert_string_equal(weir_http_reason(200), "OK");
    assert_string_equal(weir_http_reason(308), "Permanent Redirect");
    assert_string_equal(weir_http_reason(404), "Not Found");
    assert_string_equal(weir_http_reason(413), "Content Too Large");
    assert_string_equal(weir_http_reason(431), "Request Header Fields Too Large");
    assert_string_equal(weir_http_reason(451), "Unavailable For Legal Reasons");
    assert_string_equal(weir_http_reason(505), "HTTP Version Not Supported");
    assert_string_equal(weir_http_reason(511), "Network Authentication Required");
    assert_string_equal(weir_http_reason(418), "");
    assert_string_equal(weir_http_reason(452), "");
    assert_string_equal(weir_http_reason(499), "");
    assert_string_equal(weir_http_reason(599), "");
    assert_string_equal(weir_http_reason(600), "");
    assert_string_equal(weir_http_reason(99), "");
    assert_string_equal(weir_http_reason(0), "");
    assert_string_equal(weir_http_reason(-200), "");
    assert_string_equal(weir_http_reason(INT32_MAX), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_literal),
        cmocka_unit_test(test_methods),
        cmocka_unit_test(test_head_of_its_own),
        cmocka_unit_test(test_brief),
        cmocka_unit_test(test_params),
        cmocka_unit_test(test_names_belong_to_the_route),
        cmocka_unit_test(test_precedence),
        cmocka_unit_test(test_method_decides_last),
        cmocka_unit_test(test_not_a_pattern),
        cmocka_unit_test(test_params_max),
        cmocka_unit_test(test_segments_max),
        cmocka_unit_test(test_allow_cut),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_reasons),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
