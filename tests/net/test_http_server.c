/* test_http_server.c - what the server answers to valid requests, over seeds of the simulated
 * network.
 */
#include "net/http/server.h"
#include "tests/net/http_sim.h"

#define GET "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

enum { SEEDS = 40 };

/* One handler for GET and POST "/", brief or in a fiber, and what it should see and say. */
struct plan {
    weir_http_handler *handler;
    bool brief;
    void (*client)(struct http_sim *sim);
};

static struct plan plan;

static void plan_seed(uint64_t seed)
{
    struct http_sim sim;

    http_sim_init(&sim, seed, plan.client);
    sim.net.short_reads = seed % 3 == 0 ? 512 : 0;
    sim.net.no_buffers = seed % 4 == 0 ? 128 : 0;
    sim.net.window = seed % 5 == 0 ? 1000 : 65536;
    check_int((plan.brief ? weir_http_route_brief : weir_http_route)(sim.router, "GET", "/",
                                                                     plan.handler, &sim),
              0);
    check_int((plan.brief ? weir_http_route_brief : weir_http_route)(sim.router, "POST", "/",
                                                                     plan.handler, &sim),
              0);
    check_int(weir_http_route(sim.router, "GET", "/hello", handle_hello, NULL), 0);
    http_sim_run(&sim);
}

static void run_plan(weir_http_handler *handler, bool brief, void (*client)(struct http_sim *))
{
    plan = (struct plan){ handler, brief, client };
    seeds_each(SEEDS, plan_seed);
}

static void run_both(weir_http_handler *handler, void (*client)(struct http_sim *))
{
    run_plan(handler, true, client);
    run_plan(handler, false, client);
}

/* --- a plain answer --- */

static void client_plain(struct http_sim *sim)
{
    struct peer peer;
    struct answer answer;

    peer_dial(&peer);
    for (int i = 0; i < 3; i++) {
        char want[256], date[30] = "";

        peer_say(&peer, GET);
        peer_hear(&peer, &answer, 200);
        check(sscanf(strstr(answer.head, "Date: "), "Date: %29[^\r]", date) == 1);
        check(memcmp(date, "Sat, 01 Jan 2000 00:00:", 23) == 0);
        snprintf(want, sizeof want,
                 "HTTP/1.1 200 OK\r\nServer: weir\r\nDate: %s\r\nContent-Type: text/plain\r\n"
                 "Content-Length: 5\r\n",
                 date);
        check(strcmp(answer.head, want) == 0);
        check(strcmp(answer.body, "hello") == 0);
        answer_free(&answer);
    }
    check_int((int64_t)sim->stats.requests, 3);
    check_int((int64_t)sim->stats.conns_total, 1);
    check_int((int64_t)sim->stats.refused, 0);
    peer_close(&peer);
}

static void a_plain_answer(void **state)
{
    (void)state;
    run_both(handle_hello, client_plain);
}

/* --- types and lengths: the head is remembered from one answer to the next --- */

static const char *const types[] = {
    "text/plain",
    "text/plain",
    "text/html; charset=utf-8",
    "text/plain",
    "application/x-0123456789-0123456789-0123456789-0123456789-01234", /* 63 bytes */
    "application/x-0123456789-0123456789-0123456789-0123456789-012345",
    "application/x-0123456789-0123456789-0123456789-0123456789-0123456789-0123456789-0123456789",
    "text/plai",
    "x",
    "text/plain",
};
static const size_t type_lens[] = { 0, 1, 7, 8, 9, 10, 16, 17, 99, 100, 101, 1000, 5000 };
static size_t type_turn;

static struct weir_str type_body(size_t turn)
{
    static char text[5000];

    memset(text, 'a' + (int)(turn % 26), sizeof text);
    return (struct weir_str){ text, type_lens[turn % WEIR_COUNT(type_lens)] };
}

static void handle_types(struct weir_http *http, void *arg)
{
    size_t turn = type_turn++;
    struct weir_str body = type_body(turn);

    (void)arg;
    check_int(weir_http_reply(http, 200, "text\nplain", body), -EINVAL);
    check_int(weir_http_reply(http, 200, types[turn % WEIR_COUNT(types)], body), 0);
    check_int(weir_http_reply(http, 200, "text/plain", body), -EALREADY);
}

static void client_types(struct http_sim *sim)
{
    enum { TURNS = WEIR_COUNT(types) * WEIR_COUNT(type_lens) };
    struct peer peer;
    struct answer answer;

    (void)sim;
    _Static_assert(sizeof "application/x-0123456789-0123456789-0123456789-0123456789-01234" == 64,
                   "the longest that is remembered, and one more");
    type_turn = 0;
    peer_dial(&peer);
    for (size_t turn = 0; turn < TURNS; turn++) {
        struct weir_str body;

        if (turn % 10 == 0)
            for (int i = 0; i < 10; i++)
                peer_say(&peer, GET);
        peer_hear(&peer, &answer, 200);
        body = type_body(turn); /* the handler fills the same bytes */
        check(strcmp(answer_field(&answer, "Content-Type"), types[turn % WEIR_COUNT(types)]) == 0);
        check(answer.body_len == body.len && memcmp(answer.body, body.at, body.len) == 0);
        answer_free(&answer);
    }
    peer_close(&peer);
}

static void types_and_lengths_alternate(void **state)
{
    (void)state;
    run_both(handle_types, client_types);
}

static void client_date(struct http_sim *sim)
{
    struct peer peer;
    struct answer answer;

    (void)sim;
    peer_dial(&peer);
    for (int i = 0; i < 5; i++) {
        char want[30];

        /* In the middle of a second, so that the way there and back stays within it. */
        weir_sleep_until((weir_now() / WEIR_SEC(1) + 1) * WEIR_SEC(1) + WEIR_MS(500));
        weir_http_date_format(want, WEIR_SEC(946684800) / WEIR_SEC(1) + weir_now() / WEIR_SEC(1));
        want[29] = '\0';
        peer_say(&peer, GET);
        peer_hear(&peer, &answer, 200);
        check(strcmp(answer_field(&answer, "Date"), want) == 0);
        answer_free(&answer);
    }
    peer_close(&peer);
}

static void the_date_follows_the_clock(void **state)
{
    (void)state;
    run_both(handle_hello, client_date);
}

/* --- splits and pipelines --- */

static void client_split(struct http_sim *sim)
{
    static const char request[] =
        GET "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc" GET;
    struct peer peer;

    (void)sim;
    peer_dial(&peer);
    for (size_t at = 1; at < sizeof request - 1; at += 3) {
        peer_say_bytes(&peer, request, at);
        weir_sleep(WEIR_MS(5));
        peer_say_bytes(&peer, request + at, sizeof request - 1 - at);
        for (int i = 0; i < 3; i++)
            peer_expect(&peer, 200, "hello");
    }
    for (size_t at = 0; at < sizeof request - 1; at++)
        peer_say_bytes(&peer, request + at, 1);
    for (int i = 0; i < 3; i++)
        peer_expect(&peer, 200, "hello");
    peer_close(&peer);
}

static void requests_may_be_split_anywhere(void **state)
{
    (void)state;
    run_both(handle_hello, client_split);
}

enum { PIPELINE = 16 };

/* In the simulation each send is a segment with a delay of its own: one receive of all of them
 * means one send. */
static void client_pipeline(struct http_sim *sim)
{
    struct peer peer;
    char requests[PIPELINE * sizeof GET] = "";

    if (sim->net.short_reads || sim->net.window < sizeof requests * 4)
        return;
    for (int i = 0; i < PIPELINE; i++)
        strcat(requests, GET);
    peer_dial(&peer);
    peer_say(&peer, requests);
    check(peer_listen(&peer));
    for (int i = 0; i < PIPELINE; i++) {
        check(peer.len > 0);
        check(strstr(peer.data, "\r\n\r\nhello"));
        peer_forget(&peer, (size_t)(strstr(peer.data, "\r\n\r\nhello") - peer.data) + 9);
    }
    check_int((int64_t)peer.len, 0);
    peer_close(&peer);
}

static void a_pipeline_is_answered_by_one_send(void **state)
{
    (void)state;
    run_both(handle_hello, client_pipeline);
}

/* More answers than any buffer holds, to a peer that reads only when it has asked for all. */
static void client_long_pipeline(struct http_sim *sim)
{
    struct peer peer;

    if (sim->net.window < 65536)
        return; /* both would wait for the other to read */
    peer_dial(&peer);
    for (int i = 0; i < 1000; i++)
        peer_say(&peer, GET);
    for (int i = 0; i < 1000; i++)
        peer_expect(&peer, 200, "hello");
    peer_close(&peer);
}

static void a_long_pipeline_is_answered_piece_by_piece(void **state)
{
    (void)state;
    run_both(handle_hello, client_long_pipeline);
}

static void handle_sleep(struct weir_http *http, void *arg)
{
    (void)arg;
    weir_sleep(WEIR_SEC(1));
    check_int(weir_http_reply(http, 200, NULL, WEIR_STR("slept")), 0);
}

/* What is answered before a slow request does not wait for it. */
static void client_before_slow(struct http_sim *sim)
{
    struct peer peer;
    weir_time asked;

    (void)sim;
    peer_dial(&peer);
    asked = weir_now();
    peer_say(&peer,
             "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n" GET "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    peer_expect(&peer, 200, "hello");
    check(weir_now() - asked < WEIR_MS(100));
    peer_expect(&peer, 200, "slept");
    check(weir_now() - asked >= WEIR_SEC(1));
    peer_expect(&peer, 200, "hello");
    check(weir_now() - asked < WEIR_MS(1100));
    peer_close(&peer);
}

static void an_answer_does_not_wait_for_the_next(void **state)
{
    (void)state;
    run_plan(handle_sleep, false, client_before_slow);
}

/* A handler that goes on after its answer does not hold it back, but does hold up the next. */
static char early_body[5001];

static void handle_early(struct weir_http *http, void *arg)
{
    (void)arg;
    check_int(weir_http_reply(http, 200, NULL, (struct weir_str){ early_body, 5000 }), 0);
    weir_sleep(weir_http_query(http).len ? WEIR_MS(10) : WEIR_SEC(1));
}

static void client_early(struct http_sim *sim)
{
    struct peer peer;
    weir_time asked;

    (void)sim;
    memset(early_body, 'e', 5000);
    peer_dial(&peer);
    asked = weir_now();
    peer_say(&peer, GET GET);
    peer_expect(&peer, 200, early_body);
    check(weir_now() - asked < WEIR_MS(200));
    peer_expect(&peer, 200, early_body);
    check(weir_now() - asked >= WEIR_SEC(1));
    weir_sleep(WEIR_SEC(2));
    peer_say(&peer, "GET /?quick HTTP/1.1\r\nHost: a\r\n\r\n");
    weir_sleep(WEIR_SEC(1)); /* it returns while a small window holds up its answer */
    peer_expect(&peer, 200, early_body);
    peer_close(&peer);
}

static void a_handler_may_go_on_after_its_answer(void **state)
{
    (void)state;
    run_plan(handle_early, false, client_early);
}

/* --- what a handler sees --- */

static void handle_look(struct weir_http *http, void *arg)
{
    struct weir_str name, value;

    (void)arg;
    check(weir_http_method(http).len == 3 && memcmp(weir_http_method(http).at, "GET", 3) == 0);
    check(weir_http_path(http).len == 1 && weir_http_path(http).at[0] == '/');
    check(weir_http_query(http).len == 5 && memcmp(weir_http_query(http).at, "a=b&c", 5) == 0);
    value = weir_http_header(http, "x-thing");
    check(value.len == 3 && memcmp(value.at, "a b", 3) == 0);
    check(weir_http_header(http, "X-Other").at == NULL);
    check(weir_http_header_at(http, 0, &name, &value));
    check(name.len == 4 && memcmp(name.at, "Host", 4) == 0 && value.len == 1);
    check(weir_http_header_at(http, 1, &name, &value));
    check(!weir_http_header_at(http, 2, &name, &value));
    check(weir_http_param(http, "id").at == NULL);
    check_int(weir_http_body_length(http), 0);
    check_int(weir_http_reply(http, 200, NULL, WEIR_STR("seen")), 0);
}

static void client_look(struct http_sim *sim)
{
    struct peer peer;

    (void)sim;
    peer_dial(&peer);
    peer_say(&peer, "GET /?a=b&c HTTP/1.1\r\nHost: a\r\nX-Thing: \t a b \r\n\r\n");
    peer_expect(&peer, 200, "seen");
    peer_close(&peer);
}

static void a_handler_sees_the_request(void **state)
{
    (void)state;
    run_both(handle_look, client_look);
}

/* --- fields and statuses --- */

static void handle_fields(struct weir_http *http, void *arg)
{
    char big[WEIR_HTTP_FIELDS_MAX];

    (void)arg;
    memset(big, 'x', sizeof big);
    check_int(weir_http_field(http, "X-One", WEIR_STR("1")), 0); /* 10 bytes */
    check_int(weir_http_field(http, "", WEIR_STR("1")), -EINVAL);
    check_int(weir_http_field(http, "a b", WEIR_STR("1")), -EINVAL);
    check_int(weir_http_field(http, "X", WEIR_STR("a\r\nY: b")), -EINVAL);
    check_int(weir_http_field(http, "X", WEIR_STR(" a")), -EINVAL);
    check_int(weir_http_field(http, "content-length", WEIR_STR("1")), -EINVAL);
    check_int(weir_http_field(http, "Connection", WEIR_STR("close")), -EINVAL);
    check_int(weir_http_field(http, "Y", (struct weir_str){ big, sizeof big - 10 - 4 }), -ENOBUFS);
    check_int(weir_http_field(http, "Y", (struct weir_str){ big, sizeof big - 10 - 5 }), 0);
    check_int(weir_http_field(http, "Z", WEIR_STR("")), -ENOBUFS);
    check_int(weir_http_reply(http, 99, NULL, WEIR_STR("")), -EINVAL);
    check_int(weir_http_reply(http, 200, "text/plain\r\nX-Split: 1", WEIR_STR("")), -EINVAL);
    check_int(weir_http_reply(http, 200, " text/plain", WEIR_STR("")), -EINVAL);
    check_int(weir_http_reply(http, 418, NULL, WEIR_STR("tea")), 0);
    check_int(weir_http_reply(http, 200, NULL, WEIR_STR("again")), -EALREADY);
    check_int(weir_http_field(http, "X-Late", WEIR_STR("1")), -EALREADY);
}

static void client_fields(struct http_sim *sim)
{
    struct peer peer;
    struct answer answer;

    (void)sim;
    peer_dial(&peer);
    peer_say(&peer, GET GET);
    for (int i = 0; i < 2; i++) {
        peer_hear(&peer, &answer, 418);
        check(strcmp(answer_field(&answer, "X-One"), "1") == 0);
        check_int((int64_t)strlen(strstr(answer.head, "Y: ")) >= WEIR_HTTP_FIELDS_MAX - 15, 1);
        check(strcmp(answer.body, "tea") == 0);
        check(!answer_field(&answer, "Content-Type"));
        answer_free(&answer);
    }
    peer_close(&peer);
}

static void fields_are_checked_and_sent(void **state)
{
    (void)state;
    run_both(handle_fields, client_fields);
}

static void handle_nothing(struct weir_http *http, void *arg)
{
    (void)http;
    (void)arg;
}

static void client_nothing(struct http_sim *sim)
{
    struct peer peer;

    (void)sim;
    peer_dial(&peer);
    peer_say(&peer, GET GET);
    peer_expect(&peer, 500, NULL);
    peer_expect(&peer, 500, NULL);
    peer_close(&peer);
}

static void no_answer_is_500(void **state)
{
    (void)state;
    run_both(handle_nothing, client_nothing);
}

static void handle_no_content(struct weir_http *http, void *arg)
{
    (void)arg;
    check_int(weir_http_reply(http, 204, NULL, WEIR_STR("must not be seen")), 0);
}

static void client_no_content(struct http_sim *sim)
{
    struct peer peer;
    struct answer answer;

    (void)sim;
    peer_dial(&peer);
    peer_say(&peer, GET GET);
    for (int i = 0; i < 2; i++) {
        peer_hear(&peer, &answer, 204);
        check(!answer_field(&answer, "Content-Length"));
        answer_free(&answer);
    }
    peer_close(&peer);
}

static void no_content_has_none(void **state)
{
    (void)state;
    run_both(handle_no_content, client_no_content);
}

static void client_head(struct http_sim *sim)
{
    struct peer peer;
    struct answer answer;

    (void)sim;
    peer_dial(&peer);
    peer_say(&peer, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n" GET);
    check(peer_hear_to(&peer, &answer, true));
    check_int(answer.status, 200);
    check(strcmp(answer_field(&answer, "Content-Length"), "5") == 0);
    answer_free(&answer);
    peer_expect(&peer, 200, "hello");
    peer_close(&peer);
}

static void head_gets_no_body(void **state)
{
    (void)state;
    run_both(handle_hello, client_head);
}

static void client_unmatched(struct http_sim *sim)
{
    struct peer peer;
    struct answer answer;

    (void)sim;
    peer_dial(&peer);
    peer_say(&peer, "GET /none HTTP/1.1\r\nHost: a\r\n\r\n"
                    "DELETE / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nxy" GET);
    peer_expect(&peer, 404, "404 Not Found\n");
    peer_hear(&peer, &answer, 405);
    check(strcmp(answer_field(&answer, "Allow"), "GET, HEAD, POST") == 0);
    check(!answer.close);
    answer_free(&answer);
    peer_expect(&peer, 200, "hello");
    peer_close(&peer);
}

static void unmatched_requests_are_404_or_405(void **state)
{
    (void)state;
    run_both(handle_hello, client_unmatched);
}

/* --- big answers --- */

static size_t big_len;
static char *big_data;

static void handle_big(struct weir_http *http, void *arg)
{
    int want = weir_http_method(http).len == 3 && big_len > WEIR_HTTP_BRIEF_MAX && plan.brief
                   ? -ENOBUFS
                   : 0;

    (void)arg;
    check_int(weir_http_reply(http, 200, NULL, (struct weir_str){ big_data, big_len }), want);
}

static void client_big(struct http_sim *sim)
{
    static const size_t sizes[] = { 0,     1,     600,    900,     8192,         8193,
                                    16000, 16384, 100000, 1 << 20, (1 << 20) + 1 };
    struct peer peer;
    struct answer answer;

    (void)sim;
    peer_dial(&peer);
    for (size_t i = 0; i < WEIR_COUNT(sizes); i++) {
        big_len = sizes[i];
        peer_say(&peer, GET GET);
        for (int n = 0; n < 2; n++) {
            bool too_big = plan.brief && big_len > WEIR_HTTP_BRIEF_MAX;

            peer_hear(&peer, &answer, too_big ? 500 : 200);
            check(too_big ||
                  (answer.body_len == big_len && memcmp(answer.body, big_data, big_len) == 0));
            answer_free(&answer);
        }
    }
    peer_close(&peer);
}

static void big_answers(void **state)
{
    (void)state;
    big_data = malloc(1 << 21);
    for (size_t i = 0; i < 1 << 21; i++)
        big_data[i] = (char)(i * 7 + i / 251);
    plan = (struct plan){ handle_big, true, client_big };
    seeds_each(6, plan_seed);
    plan.brief = false;
    seeds_each(6, plan_seed);
    free(big_data);
}

/* --- keep-alive --- */

static void client_close(struct http_sim *sim)
{
    struct peer peer;
    struct answer answer;

    (void)sim;
    peer_dial(&peer);
    peer_say(&peer, GET "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" GET);
    peer_hear(&peer, &answer, 200);
    check(!answer.close);
    answer_free(&answer);
    peer_hear(&peer, &answer, 200);
    check(answer.close);
    answer_free(&answer);
    peer_expect_end(&peer);
    peer_close(&peer);
}

static void close_is_the_last(void **state)
{
    (void)state;
    run_both(handle_hello, client_close);
}

static void client_old(struct http_sim *sim)
{
    struct peer peer;
    struct answer answer;

    (void)sim;
    peer_dial(&peer);
    peer_say(&peer, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    peer_hear(&peer, &answer, 200);
    check(strcmp(answer_field(&answer, "Connection"), "keep-alive") == 0);
    answer_free(&answer);
    peer_say(&peer, "GET / HTTP/1.0\r\n\r\n");
    peer_hear(&peer, &answer, 200);
    check(answer.close);
    answer_free(&answer);
    peer_expect_end(&peer);
    peer_close(&peer);
}

static void http_1_0_closes_unless_asked(void **state)
{
    (void)state;
    run_both(handle_hello, client_old);
}

static void client_half_close(struct http_sim *sim)
{
    struct peer peer;

    (void)sim;
    peer_dial(&peer);
    peer_say(&peer, GET GET);
    check_int(weir_shutdown(peer.conn), 0);
    peer_expect(&peer, 200, "hello");
    peer_expect(&peer, 200, "hello");
    peer_expect_end(&peer);
    peer_close(&peer);
}

static void a_half_closed_peer_is_answered(void **state)
{
    (void)state;
    run_both(handle_hello, client_half_close);
}

static void client_vanishes(struct http_sim *sim)
{
    static const char *const starts[] = {
        "",  "G",          "GET / HTTP/1.1\r\nHost: a\r\n",
        GET, GET GET "GE", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nab"
    };
    struct peer peer;

    for (size_t i = 0; i < 2 * WEIR_COUNT(starts); i++) {
        peer_dial(&peer);
        if (*starts[i / 2])
            peer_say(&peer, starts[i / 2]);
        weir_sleep(random_in(0, WEIR_MS(3)));
        if (i % 2) {
            weir_abort(peer.conn);
            free(peer.data);
        } else {
            peer_close(&peer);
        }
    }
    weir_sleep(WEIR_SEC(3)); /* all have lingered by now */
    check_int((int64_t)sim->stats.conns, 0);
    check_int((int64_t)sim->stats.conns_total, 2 * WEIR_COUNT(starts));
}

static void a_peer_may_vanish_at_any_time(void **state)
{
    (void)state;
    run_both(handle_hello, client_vanishes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_answer),
        cmocka_unit_test(the_date_follows_the_clock),
        cmocka_unit_test(types_and_lengths_alternate),
        cmocka_unit_test(requests_may_be_split_anywhere),
        cmocka_unit_test(a_pipeline_is_answered_by_one_send),
        cmocka_unit_test(a_long_pipeline_is_answered_piece_by_piece),
        cmocka_unit_test(an_answer_does_not_wait_for_the_next),
        cmocka_unit_test(a_handler_may_go_on_after_its_answer),
        cmocka_unit_test(a_handler_sees_the_request),
        cmocka_unit_test(fields_are_checked_and_sent),
        cmocka_unit_test(no_answer_is_500),
        cmocka_unit_test(no_content_has_none),
        cmocka_unit_test(head_gets_no_body),
        cmocka_unit_test(unmatched_requests_are_404_or_405),
        cmocka_unit_test(big_answers),
        cmocka_unit_test(close_is_the_last),
        cmocka_unit_test(http_1_0_closes_unless_asked),
        cmocka_unit_test(a_half_closed_peer_is_answered),
        cmocka_unit_test(a_peer_may_vanish_at_any_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
