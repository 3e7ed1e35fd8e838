/* test_http_server_body.c - bodies in both directions: read, streamed, passed over, refused. */
#include "net/http/server.h"
#include "tests/net/http_sim.h"

#define GET "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n"
#define POST_CHUNKED "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

enum { SEEDS = 40, BODY_MAX = 200000 };

static weir_http_handler *handler_now;
static bool brief_now;
static void (*client_now)(struct http_sim *sim);

static void body_seed(uint64_t seed)
{
    struct http_sim sim;

    http_sim_init(&sim, seed, client_now);
    sim.net.short_reads = seed % 3 == 0 ? 512 : 0;
    sim.net.short_writes = seed % 7 == 0 ? 256 : 0;
    sim.net.no_buffers = seed % 4 == 0 ? 128 : 0;
    sim.http.body_max = BODY_MAX;
    check_int((brief_now ? weir_http_route_brief : weir_http_route)(sim.router, "POST", "/",
                                                                    handler_now, &sim),
              0);
    check_int((brief_now ? weir_http_route_brief : weir_http_route)(sim.router, "GET", "/",
                                                                    handler_now, &sim),
              0);
    check_int(weir_http_route_brief(sim.router, "GET", "/hello", handle_hello, NULL), 0);
    http_sim_run(&sim);
}

static void run(weir_http_handler *handler, bool brief, void (*client)(struct http_sim *))
{
    handler_now = handler;
    brief_now = brief;
    client_now = client;
    seeds_each(SEEDS, body_seed);
}

static char pattern(size_t i)
{
    return (char)('a' + (i * 31 + i / 97) % 26);
}

static char *make_body(size_t len)
{
    char *body = malloc(len + 1);

    check(body);
    for (size_t i = 0; i < len; i++)
        body[i] = pattern(i);
    body[len] = '\0';
    return body;
}

/* --- reading --- */

/* Answers with the body's length after checking every byte. */
static void handle_count(struct weir_http *http, void *arg)
{
    char data[1000], text[32];
    size_t total = 0;
    int64_t n;
    int len;

    (void)arg;
    while ((n = weir_http_read(http, data, 1 + (size_t)weir_random(sizeof data))) > 0)
        for (int64_t i = 0; i < n; i++)
            check(data[i] == pattern(total++));
    if (n < 0)
        return;
    check_int(weir_http_read(http, data, sizeof data), 0);
    len = snprintf(text, sizeof text, "%zu", total);
    check_int(weir_http_reply(http, 200, NULL, (struct weir_str){ text, (size_t)len }), 0);
}

static void say_sized(struct peer *peer, size_t len)
{
    char head[128], *body = make_body(len);

    snprintf(head, sizeof head, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n", len);
    peer_say(peer, head);
    if (len > 0)
        peer_say_bytes(peer, body, len);
    free(body);
}

static void say_chunked(struct peer *peer, size_t len)
{
    char line[32], *body = make_body(len);
    size_t at = 0;

    peer_say(peer, POST_CHUNKED);
    while (at < len) {
        size_t part = (size_t)random_in(1, (int64_t)(len - at < 5000 ? len - at : 5000));

        snprintf(line, sizeof line, "%zx\r\n", part);
        peer_say(peer, line);
        peer_say_bytes(peer, body + at, part);
        peer_say(peer, "\r\n");
        at += part;
    }
    peer_say(peer, "0\r\n\r\n");
    free(body);
}

static void client_reads(struct http_sim *sim)
{
    static const size_t sizes[] = { 0, 1, 100, 4096, 10000, BODY_MAX };
    struct peer peer;
    char want[32];

    (void)sim;
    peer_dial(&peer);
    for (size_t i = 0; i < WEIR_COUNT(sizes); i++) {
        snprintf(want, sizeof want, "%zu", sizes[i]);
        say_sized(&peer, sizes[i]);
        say_chunked(&peer, sizes[i]);
        peer_say(&peer, GET);
        peer_expect(&peer, 200, want);
        peer_expect(&peer, 200, want);
        peer_expect(&peer, 200, "hello");
    }
    peer_close(&peer);
}

static void a_handler_reads_the_body(void **state)
{
    (void)state;
    run(handle_count, false, client_reads);
}

static void client_too_long(struct http_sim *sim)
{
    struct peer peer;

    peer_dial(&peer);
    say_sized(&peer, BODY_MAX + 1);
    peer_expect(&peer, 413, NULL);
    peer_expect_end(&peer);
    peer_close(&peer);
    peer_dial(&peer);
    say_chunked(&peer, BODY_MAX + 1);
    peer_expect(&peer, 413, NULL);
    peer_expect_end(&peer);
    peer_close(&peer);
    check_int((int64_t)sim->stats.refused, 2);
}

static void a_body_too_long_is_413(void **state)
{
    (void)state;
    run(handle_count, false, client_too_long);
}

static void client_bad_chunk(struct http_sim *sim)
{
    struct peer peer;

    (void)sim;
    peer_dial(&peer);
    peer_say(&peer, POST_CHUNKED "1\r\na\r\nx\r\n");
    peer_expect(&peer, 400, NULL);
    peer_expect_end(&peer);
    peer_close(&peer);
}

static void a_bad_chunk_is_400(void **state)
{
    (void)state;
    run(handle_count, false, client_bad_chunk);
}

static void handle_cut_short(struct weir_http *http, void *arg)
{
    char data[8];
    size_t total = 0;
    int64_t n;

    (void)arg;
    while ((n = weir_http_read(http, data, sizeof data)) > 0)
        total += (size_t)n;
    check_int((int64_t)total, 3);
    check_int(n, -ECONNRESET);
    check_int(weir_http_read(http, data, sizeof data), -ECONNRESET);
}

static void client_ends_early(struct http_sim *sim)
{
    struct peer peer;

    (void)sim;
    peer_dial(&peer);
    peer_say(&peer, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabc");
    check_int(weir_shutdown(peer.conn), 0);
    peer_hear_all(&peer);
    check_int((int64_t)peer.len, 0);
    peer_close(&peer);
}

static void a_body_cut_short_is_not_answered(void **state)
{
    (void)state;
    run(handle_cut_short, false, client_ends_early);
}

/* --- brief handlers --- */

static void handle_brief_read(struct weir_http *http, void *arg)
{
    char data[100];
    int64_t n = weir_http_read(http, data, sizeof data);

    (void)arg;
    check_int(weir_http_reply(http, n == -EAGAIN ? 202 : 200, NULL,
                              n > 0 ? (struct weir_str){ data, (size_t)n } : WEIR_STR("none")),
              0);
}

static void client_brief_read(struct http_sim *sim)
{
    struct peer peer;

    if (sim->net.short_reads || sim->net.short_writes)
        return; /* what comes together is at chance then */
    peer_dial(&peer);
    peer_say(&peer, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    peer_expect(&peer, 200, "abc");
    peer_say(&peer, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n");
    peer_expect(&peer, 202, "none");
    peer_say(&peer, "abc" GET);
    peer_expect(&peer, 200, "hello");
    peer_close(&peer);
}

static void a_brief_handler_reads_what_is_there(void **state)
{
    (void)state;
    run(handle_brief_read, true, client_brief_read);
}

/* --- what nobody reads --- */

static void client_unread(struct http_sim *sim)
{
    static const size_t kept[] = { 1, 5000, WEIR_HTTP_UNREAD_MAX };
    struct peer peer;
    struct answer answer;

    (void)sim;
    peer_dial(&peer);
    for (size_t i = 0; i < WEIR_COUNT(kept); i++) {
        say_sized(&peer, kept[i]);
        say_chunked(&peer, kept[i]);
        peer_say(&peer, GET);
        for (int n = 0; n < 3; n++)
            peer_expect(&peer, 200, "hello");
    }
    say_sized(&peer, WEIR_HTTP_UNREAD_MAX + 5000);
    peer_hear(&peer, &answer, 200);
    check(answer.close);
    answer_free(&answer);
    peer_expect_end(&peer);
    peer_close(&peer);

    peer_dial(&peer);
    say_chunked(&peer, WEIR_HTTP_UNREAD_MAX + 5000);
    peer_expect(&peer, 200, "hello");
    peer_expect_end(&peer);
    peer_close(&peer);
}

static void an_unread_body_is_passed_over_up_to_a_bound(void **state)
{
    (void)state;
    run(handle_hello, true, client_unread);
    run(handle_hello, false, client_unread);
}

/* What comes behind a body whose end cannot be found is nobody's request. */
static void client_unread_broken(struct http_sim *sim)
{
    static const char *const broken[] = {
        "x\r\n", "1\r\naX", "1;\r\n", "5\nhello\r\n", "8000000000000000\r\n", "0\r\n X: y\r\n\r\n"
    };
    char text[512];
    struct peer peer;

    for (size_t i = 0; i < WEIR_COUNT(broken); i++) {
        snprintf(text, sizeof text, POST_CHUNKED "1\r\na\r\n%s" GET, broken[i]);
        peer_dial(&peer);
        peer_say(&peer, text);
        peer_expect(&peer, 200, "hello");
        peer_expect_end(&peer);
        peer_close(&peer);
    }
    check_int((int64_t)sim->stats.requests, WEIR_COUNT(broken));
}

static void behind_a_broken_body_is_no_request(void **state)
{
    (void)state;
    run(handle_hello, true, client_unread_broken);
    run(handle_hello, false, client_unread_broken);
}

/* --- 100-continue --- */

#define POST_EXPECT \
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"

static void client_expect(struct http_sim *sim)
{
    struct peer peer;
    struct answer answer;

    (void)sim;
    peer_dial(&peer);
    peer_say(&peer, POST_EXPECT);
    peer_hear(&peer, &answer, 100);
    answer_free(&answer);
    peer_say(&peer, "abc");
    peer_expect(&peer, 200, "3");
    peer_say(&peer, GET);
    peer_expect(&peer, 200, "hello");
    peer_close(&peer);
}

static void handle_count_3(struct weir_http *http, void *arg)
{
    char data[8];
    size_t total = 0;
    int64_t n;

    (void)arg;
    while ((n = weir_http_read(http, data, sizeof data)) > 0)
        total += (size_t)n;
    check_int((int64_t)total, 3);
    check_int(weir_http_reply(http, 200, NULL, WEIR_STR("3")), 0);
}

static void reading_sends_100(void **state)
{
    (void)state;
    run(handle_count_3, false, client_expect);
}

static void client_expect_unread(struct http_sim *sim)
{
    struct peer peer;
    struct answer answer;

    (void)sim;
    peer_dial(&peer);
    peer_say(&peer, POST_EXPECT);
    peer_hear(&peer, &answer, 200);
    check(answer.close); /* whether the body comes is not known */
    answer_free(&answer);
    peer_expect_end(&peer);
    peer_close(&peer);
}

static void who_does_not_read_sends_no_100(void **state)
{
    (void)state;
    run(handle_hello, true, client_expect_unread);
    run(handle_hello, false, client_expect_unread);
}

/* --- answers in pieces --- */

static void handle_stream(struct weir_http *http, void *arg)
{
    static const size_t pieces[] = { 1, 0, 4096, 4097, 20000, 3 };
    char *body = make_body(28197);
    size_t at = 0;

    (void)arg;
    check_int(weir_http_begin(http, 200, "text/plain\n", -1), -EINVAL);
    check_int(weir_http_begin(http, 600, "text/plain", -1), -EINVAL);
    check_int(weir_http_begin(http, 200, "text/plain", weir_http_query(http).len ? 28197 : -1), 0);
    check_int(weir_http_begin(http, 200, NULL, -1), -EALREADY);
    check_int(weir_http_reply(http, 200, NULL, WEIR_STR("")), -EALREADY);
    for (size_t i = 0; i < WEIR_COUNT(pieces); i++) {
        check_int(weir_http_write(http, body + at, pieces[i]), 0);
        at += pieces[i];
    }
    check(at == 28197);
    if (weir_http_query(http).len)
        check_int(weir_http_write(http, "x", 1), -EOVERFLOW);
    check_int(weir_http_end(http), 0);
    check_int(weir_http_end(http), -EINVAL);
    check_int(weir_http_write(http, "x", 1), -EINVAL);
    free(body);
}

static void expect_stream(struct peer *peer, bool chunked)
{
    char *want = make_body(28197);
    struct answer answer;

    peer_hear(peer, &answer, 200);
    check(answer.chunked == chunked);
    check(strcmp(answer.body, want) == 0);
    answer_free(&answer);
    free(want);
}

static void client_stream(struct http_sim *sim)
{
    struct peer peer;
    struct answer answer;

    (void)sim;
    peer_dial(&peer);
    peer_say(&peer, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
                    "GET /?sized HTTP/1.1\r\nHost: a\r\n\r\n"
                    "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"
                    "HEAD /?sized HTTP/1.1\r\nHost: a\r\n\r\n" GET "GET / HTTP/1.0\r\n\r\n");
    expect_stream(&peer, true);
    expect_stream(&peer, false);
    check(peer_hear_to(&peer, &answer, true));
    check(answer.chunked);
    answer_free(&answer);
    check(peer_hear_to(&peer, &answer, true));
    check(strcmp(answer_field(&answer, "Content-Length"), "28197") == 0);
    answer_free(&answer);
    peer_expect(&peer, 200, "hello");
    expect_stream(&peer, false); /* until the end */
    peer_expect_end(&peer);
    peer_close(&peer);
}

static void answers_in_pieces(void **state)
{
    (void)state;
    run(handle_stream, false, client_stream);
}

/* What has been written is not kept back until there is more. */
static void handle_slow_stream(struct weir_http *http, void *arg)
{
    (void)arg;
    check_int(weir_http_begin(http, 200, NULL, -1), 0);
    for (int i = 0; i < 3; i++) {
        check_int(weir_http_write(http, "tick", 4), 0);
        weir_sleep(WEIR_SEC(1));
    }
    check_int(weir_http_end(http), 0);
}

static void client_slow_stream(struct http_sim *sim)
{
    struct peer peer;
    weir_time asked;

    (void)sim;
    peer_dial(&peer);
    asked = weir_now();
    peer_say(&peer, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    for (int i = 0; i < 3; i++) {
        while (!strstr(peer.data, "tick"))
            check(peer_listen(&peer));
        check(weir_now() - asked < i * WEIR_SEC(1) + WEIR_MS(100));
        peer_forget(&peer, (size_t)(strstr(peer.data, "tick") - peer.data) + 4);
    }
    while (!strstr(peer.data, "0\r\n\r\n"))
        check(peer_listen(&peer));
    peer_close(&peer);
}

static void pieces_leave_at_once(void **state)
{
    (void)state;
    run(handle_slow_stream, false, client_slow_stream);
}

static void handle_unfinished(struct weir_http *http, void *arg)
{
    bool sized = weir_http_query(http).len > 0;

    (void)arg;
    check_int(weir_http_begin(http, 200, NULL, sized ? 10 : -1), 0);
    check_int(weir_http_write(http, "short", 5), 0);
    if (sized)
        check_int(weir_http_end(http), -ENODATA);
}

static void client_unfinished(struct http_sim *sim)
{
    static const char *const requests[] = { "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
                                            "GET /?sized HTTP/1.1\r\nHost: a\r\n\r\n" };
    struct peer peer;
    struct answer answer;

    (void)sim;
    for (int i = 0; i < 2; i++) {
        peer_dial(&peer);
        peer_say(&peer, requests[i]);
        check(!peer_hear_to(&peer, &answer, false)); /* it must not look whole */
        answer_free(&answer);
        peer_close(&peer);
    }
}

static void an_unfinished_answer_is_cut(void **state)
{
    (void)state;
    run(handle_unfinished, false, client_unfinished);
}

/* --- echo: both directions at once --- */

static void handle_echo(struct weir_http *http, void *arg)
{
    char data[3000];
    int64_t n = weir_http_read(http, data, sizeof data);

    (void)arg;
    check_int(weir_http_begin(http, 200, NULL, weir_http_body_length(http)), 0);
    while (n > 0) {
        check_int(weir_http_write(http, data, (size_t)n), 0);
        n = weir_http_read(http, data, sizeof data);
    }
    check_int(n, 0);
    check_int(weir_http_end(http), 0);
}

struct talk {
    struct peer *peer;
    size_t len;
    bool chunked;
};

static void talk_say(void *arg)
{
    struct talk *talk = arg;

    (talk->chunked ? say_chunked : say_sized)(talk->peer, talk->len);
}

static void client_echo(struct http_sim *sim)
{
    static const size_t sizes[] = { 0, 5, 4000, 100000, BODY_MAX };
    struct weir_scope scope;
    struct peer peer;
    struct answer answer;

    (void)sim;
    weir_scope_init(&scope);
    peer_dial(&peer);
    for (size_t i = 0; i < 2 * WEIR_COUNT(sizes); i++) {
        struct talk talk = { &peer, sizes[i / 2], i % 2 };
        char *want = make_body(talk.len);

        check_int(weir_spawn(&scope, talk_say, &talk), 0);
        peer_hear(&peer, &answer, 200);
        check(answer.chunked == talk.chunked);
        check(answer.body_len == talk.len && strcmp(answer.body, want) == 0);
        check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
        answer_free(&answer);
        free(want);
    }
    peer_close(&peer);
}

static void bodies_come_back(void **state)
{
    (void)state;
    run(handle_echo, false, client_echo);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_handler_reads_the_body),
        cmocka_unit_test(a_body_too_long_is_413),
        cmocka_unit_test(a_bad_chunk_is_400),
        cmocka_unit_test(a_body_cut_short_is_not_answered),
        cmocka_unit_test(a_brief_handler_reads_what_is_there),
        cmocka_unit_test(an_unread_body_is_passed_over_up_to_a_bound),
        cmocka_unit_test(behind_a_broken_body_is_no_request),
        cmocka_unit_test(reading_sends_100),
        cmocka_unit_test(who_does_not_read_sends_no_100),
        cmocka_unit_test(answers_in_pieces),
        cmocka_unit_test(pieces_leave_at_once),
        cmocka_unit_test(an_unfinished_answer_is_cut),
        cmocka_unit_test(bodies_come_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
