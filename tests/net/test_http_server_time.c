/* test_http_server_time.c - deadlines: each at its edge, on the virtual clock. */
#include "net/http/server.h"
#include "tests/net/http_sim.h"

#define GET "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

enum { SEEDS = 25 };

/* A segment takes up to 1 ms each way, the server's ticks are of 1 ms, the wheel's of 65 us. */
static const weir_time SLACK = WEIR_MS(4);

/* An idle connection may live so much longer: it is looked at by periods. */
static const weir_time PERIOD = WEIR_MS(68);

static weir_http_handler *handler_now;
static void (*client_now)(struct http_sim *sim);
static void (*change_now)(struct http_sim *sim);

static void time_seed(uint64_t seed)
{
    struct http_sim sim;

    http_sim_init(&sim, seed, client_now);
    check_int(weir_http_route(sim.router, "POST", "/", handler_now, &sim), 0);
    check_int(weir_http_route(sim.router, "GET", "/big", handler_now, &sim), 0);
    check_int(weir_http_route_brief(sim.router, "GET", "/", handle_hello, NULL), 0);
    if (change_now)
        change_now(&sim);
    http_sim_run(&sim);
}

static void run(weir_http_handler *handler, void (*client)(struct http_sim *))
{
    handler_now = handler;
    client_now = client;
    change_now = NULL;
    seeds_each(SEEDS, time_seed);
}

/* It is now `span` after `from`, or up to `slack` later. */
#define check_after(from, span, slack) check_after_at(weir_now() - (from), span, slack, WEIR_HERE)

static void check_after_at(weir_time took, weir_time span, weir_time slack, const char *where)
{
    if (took < span || took > span + slack)
        weir_panic("%s: WEIR_SEED=%llu: after %.6f s, not %.6f", where,
                   (unsigned long long)seed_now, (double)took / 1e9, (double)span / 1e9);
}

/* --- idle --- */

static void client_idle(struct http_sim *sim)
{
    struct peer peer;
    weir_time last;

    peer_dial(&peer);
    last = weir_now();
    peer_expect_end(&peer);
    check_after(last, WEIR_SEC(60) - WEIR_MS(1), PERIOD + SLACK);
    peer_close(&peer);
    check_int((int64_t)sim->stats.timeouts, 1);

    peer_dial(&peer);
    for (int i = 0; i < 4; i++) {
        weir_sleep(random_in(WEIR_SEC(1), WEIR_SEC(59)));
        peer_say(&peer, GET);
        peer_expect(&peer, 200, "hello");
    }
    last = weir_now();
    peer_expect_end(&peer);
    check_after(last, WEIR_SEC(60) - WEIR_MS(1), PERIOD + SLACK); /* the answer took up to 1 ms */
    peer_close(&peer);
    check_int((int64_t)sim->stats.timeouts, 2);
}

static void an_idle_connection_is_closed(void **state)
{
    (void)state;
    run(handle_hello, client_idle);
}

struct many {
    int index;
    struct http_sim *sim;
    weir_time last;
};

static void many_idle(void *arg)
{
    struct many *many = arg;
    struct peer peer;

    weir_sleep(random_in(0, WEIR_SEC(50)));
    peer_dial(&peer);
    for (int64_t i = random_in(0, 5); i > 0; i--) {
        peer_say(&peer, GET);
        peer_expect(&peer, 200, "hello");
        weir_sleep(random_in(0, WEIR_SEC(59)));
    }
    peer_say(&peer, GET);
    peer_expect(&peer, 200, "hello");
    many->last = weir_now();
    peer_expect_end(&peer);
    check_after(many->last, WEIR_SEC(60) - WEIR_MS(1), PERIOD + SLACK);
    peer_close(&peer);
}

static void client_many_idle(struct http_sim *sim)
{
    struct many many[100];
    struct weir_scope scope;

    weir_scope_init(&scope);
    for (int i = 0; i < 100; i++) {
        many[i] = (struct many){ .index = i, .sim = sim };
        check_int(weir_spawn(&scope, many_idle, &many[i]), 0);
    }
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    check_int((int64_t)sim->stats.timeouts, 100);
}

static void each_of_many_has_its_own_time(void **state)
{
    (void)state;
    run(handle_hello, client_many_idle);
}

/* --- the header --- */

static void client_slow_head(struct http_sim *sim)
{
    static const char head[] = "GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ";
    struct peer peer;
    weir_time first;

    peer_dial(&peer);
    weir_sleep(WEIR_SEC(5)); /* being idle before does not count */
    peer_say_bytes(&peer, head, 1);
    first = weir_now();
    for (size_t i = 1; i <= 9; i++) { /* bytes that trickle in do not help */
        weir_sleep(WEIR_SEC(1));
        peer_say_bytes(&peer, head + i, 1);
    }
    peer_expect(&peer, 408, NULL);
    check_after(first, WEIR_SEC(10), SLACK);
    peer_expect_end(&peer);
    peer_close(&peer);
    check_int((int64_t)sim->stats.timeouts, 1);
    check_int((int64_t)sim->stats.refused, 1);
}

static void a_slow_header_is_408(void **state)
{
    (void)state;
    run(handle_hello, client_slow_head);
}

static void client_just_in_time(struct http_sim *sim)
{
    struct peer peer;

    peer_dial(&peer);
    for (int i = 0; i < 3; i++) {
        peer_say(&peer, "GET / HTTP/1.1\r\n");
        weir_sleep(WEIR_SEC(10) - WEIR_MS(2));
        peer_say(&peer, "Host: a\r\n\r\n");
        peer_expect(&peer, 200, "hello");
    }
    peer_close(&peer);
    check_int((int64_t)sim->stats.timeouts, 0);
}

static void a_header_just_in_time_is_answered(void **state)
{
    (void)state;
    run(handle_hello, client_just_in_time);
}

/* The time of a request that came in part behind another counts from then. */
static void client_slow_second(struct http_sim *sim)
{
    struct peer peer;
    weir_time first;

    (void)sim;
    peer_dial(&peer);
    peer_say(&peer, GET "GET ");
    first = weir_now();
    peer_expect(&peer, 200, "hello");
    peer_expect(&peer, 408, NULL);
    check_after(first, WEIR_SEC(10), SLACK);
    peer_expect_end(&peer);
    peer_close(&peer);
}

static void a_slow_second_header_is_408(void **state)
{
    (void)state;
    run(handle_hello, client_slow_second);
}

/* Each piece ends one request and begins the next: the time of each counts from its own start. */
static void client_overlaps(struct http_sim *sim)
{
    static const char two[] = GET GET;
    struct peer peer;
    weir_time last;

    peer_dial(&peer);
    peer_say_bytes(&peer, two, 10);
    for (int i = 0; i < 6; i++) {
        weir_sleep(WEIR_SEC(4));
        peer_say_bytes(&peer, two + 10, sizeof GET - 1);
        last = weir_now();
        peer_expect(&peer, 200, "hello");
    }
    peer_expect(&peer, 408, NULL);
    check_after(last, WEIR_SEC(10), SLACK);
    check_int((int64_t)sim->stats.timeouts, 1);
    peer_close(&peer);
}

static void each_header_has_its_own_time(void **state)
{
    (void)state;
    run(handle_hello, client_overlaps);
}

/* --- the body --- */

#define POST "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n"

static void handle_body(struct weir_http *http, void *arg)
{
    char data[100];
    int64_t n;

    (void)arg;
    while ((n = weir_http_read(http, data, sizeof data)) > 0)
        ;
    check_int(n, -ETIMEDOUT);
    check_int(weir_http_read(http, data, sizeof data), -ETIMEDOUT);
}

static void client_slow_body(struct http_sim *sim)
{
    struct peer peer;
    weir_time first;

    peer_dial(&peer);
    peer_say(&peer, POST);
    first = weir_now();
    for (int i = 1; i <= 59; i++) {
        weir_sleep(WEIR_SEC(1));
        peer_say(&peer, "x");
    }
    peer_expect(&peer, 408, NULL);
    check_after(first, WEIR_SEC(60), SLACK);
    peer_expect_end(&peer);
    peer_close(&peer);
    check_int((int64_t)sim->stats.timeouts, 1);
}

static void a_slow_body_is_408(void **state)
{
    (void)state;
    run(handle_body, client_slow_body);
}

static void client_slow_unread(struct http_sim *sim)
{
    struct peer peer;
    weir_time first;

    peer_dial(&peer);
    peer_say(&peer, POST);
    first = weir_now();
    peer_expect(&peer, 200, "hello");
    for (int i = 1; i <= 59; i++) {
        weir_sleep(WEIR_SEC(1));
        peer_say(&peer, "x");
    }
    peer_expect_end(&peer);
    check_after(first, WEIR_SEC(60), SLACK);
    peer_close(&peer);
    check_int((int64_t)sim->stats.timeouts, 1);
}

static void a_slow_body_that_nobody_reads_ends_the_connection(void **state)
{
    (void)state;
    run(handle_hello, client_slow_unread);
}

/* The same as with headers: what ends one body that nobody reads begins the next. */
static void client_overlapping_bodies(struct http_sim *sim)
{
    char piece[50 + sizeof POST - 1 + 50];
    struct peer peer;
    weir_time last;

    memset(piece, 'x', sizeof piece);
    memcpy(piece + 50, POST, sizeof POST - 1);
    peer_dial(&peer);
    peer_say_bytes(&peer, piece + 50, sizeof piece - 50);
    peer_expect(&peer, 200, "hello");
    for (int i = 0; i < 4; i++) {
        weir_sleep(WEIR_SEC(25));
        peer_say_bytes(&peer, piece, sizeof piece);
        last = weir_now();
        peer_expect(&peer, 200, "hello");
    }
    check_int((int64_t)sim->stats.timeouts, 0);
    peer_expect_end(&peer);
    check_after(last, WEIR_SEC(60), SLACK);
    peer_close(&peer);
}

static void each_body_has_its_own_time(void **state)
{
    (void)state;
    run(handle_hello, client_overlapping_bodies);
}

/* --- sending --- */

static weir_time cut_after;
static int cut_error;

/* More than the window, to a peer that does not read. */
static void handle_stuck(struct weir_http *http, void *arg)
{
    static char data[1 << 18];
    weir_time began = weir_now();

    (void)arg;
    cut_error = weir_http_reply(http, 200, NULL, (struct weir_str){ data, sizeof data });
    cut_after = weir_now() - began;
}

static void client_does_not_read(struct http_sim *sim)
{
    struct peer peer;

    peer_dial(&peer);
    peer_say(&peer, "GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
    weir_sleep(WEIR_SEC(40));
    check_int(cut_error, -ECONNRESET);
    check(cut_after >= WEIR_SEC(30) && cut_after < WEIR_SEC(30) + SLACK);
    check_int((int64_t)sim->stats.timeouts, 1);
    check_int((int64_t)sim->stats.conns, 0);
    peer_hear_all(&peer);
    check_int(peer.end, -ECONNRESET);
    peer_close(&peer);
}

static void a_peer_that_does_not_read_is_cut(void **state)
{
    (void)state;
    run(handle_stuck, client_does_not_read);
}

/* The same for answers that no fiber waits for: a pipeline that fills the window. */
static void client_pipelines_and_sleeps(struct http_sim *sim)
{
    struct peer peer;
    weir_time began;

    peer_dial(&peer);
    for (int i = 0; i < 700; i++) /* 700 answers of 100 bytes */
        peer_say(&peer, GET);
    began = weir_now();
    while (sim->stats.conns > 0)
        weir_sleep(WEIR_MS(10));
    check_after(began, WEIR_SEC(30), WEIR_MS(100));
    check_int((int64_t)sim->stats.timeouts, 1);
    peer_hear_all(&peer);
    check_int(peer.end, -ECONNRESET);
    peer_close(&peer);
}

static void a_pipeline_that_is_not_read_is_cut(void **state)
{
    (void)state;
    run(handle_hello, client_pipelines_and_sleeps);
}

/* --- lingering --- */

#define LAST "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

/* Says what the server closes for, though more of the client's may come. */
static void linger_after(struct http_sim *sim, const char *request, int status, const char *body)
{
    struct peer peer;
    weir_time closed;

    peer_dial(&peer);
    peer_say(&peer, request);
    peer_expect(&peer, status, body);
    peer_expect_end(&peer);
    closed = weir_now();
    while (sim->stats.conns > 0) { /* what is said now is not understood, and no reason to reset */
        weir_send(peer.conn, "more", 4, WEIR_NEVER);
        weir_sleep(WEIR_MS(10));
    }
    check_after(closed, WEIR_SEC(2) - WEIR_MS(2), WEIR_MS(15));
    peer_close(&peer);
}

static void client_lingers(struct http_sim *sim)
{
    struct peer peer;

    linger_after(sim, "GET / HTTP/1.1\r\n\r\n", 400, NULL);
    linger_after(sim, LAST "GET / HTTP/1.1\r\n", 200, "hello"); /* it does not keep its word */
    linger_after(sim,
                 "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 900\r\n\r\n"
                 "nobody reads this",
                 200, "hello");

    peer_dial(&peer);
    peer_say(&peer, "GET / HTTP/1.1\r\n\r\n");
    peer_expect(&peer, 400, NULL);
    peer_expect_end(&peer);
    peer_close(&peer); /* that is all it waits for */
    weir_sleep(WEIR_MS(10));
    check_int((int64_t)sim->stats.conns, 0);
}

static void closing_waits_for_the_peer(void **state)
{
    (void)state;
    run(handle_hello, client_lingers);
}

/* RFC 9112, 9.6: who says close sends no more; 9.3: nor does who speaks 1.0 and no keep-alive. */
static void client_closes(struct http_sim *sim)
{
    static const char *const lasts[] = {
        LAST, "GET / HTTP/1.0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    };
    struct peer peer;

    for (size_t i = 0; i < WEIR_COUNT(lasts); i++) {
        peer_dial(&peer);
        peer_say(&peer, lasts[i]);
        peer_expect(&peer, 200, "hello");
        peer_expect_end(&peer);
        check_int((int64_t)sim->stats.conns, 0);
        peer_close(&peer);
    }
}

static void behind_the_last_request_it_is_closed_at_once(void **state)
{
    (void)state;
    run(handle_hello, client_closes);
}

static void change_no_linger(struct http_sim *sim)
{
    sim->http.linger = 0;
}

static void client_no_linger(struct http_sim *sim)
{
    struct peer peer;

    peer_dial(&peer);
    peer_say(&peer, "GET / HTTP/1.1\r\n\r\n");
    peer_expect(&peer, 400, NULL);
    peer_expect_end(&peer);
    check_int((int64_t)sim->stats.conns, 0);
    peer_close(&peer);
}

static void without_lingering_it_is_closed_at_once(void **state)
{
    (void)state;
    handler_now = handle_hello;
    client_now = client_no_linger;
    change_now = change_no_linger;
    seeds_each(SEEDS, time_seed);
}

/* --- deadlines that are no reason to look again --- */

static void change_never(struct http_sim *sim)
{
    sim->http.idle_timeout = sim->http.header_timeout = sim->http.body_timeout = WEIR_NEVER;
    sim->http.send_timeout = sim->http.linger = WEIR_NEVER;
    sim->net.limit = WEIR_SEC(100000);
}

static void client_never(struct http_sim *sim)
{
    struct peer peer;

    (void)sim;
    peer_dial(&peer);
    weir_sleep(WEIR_SEC(20000));
    peer_say(&peer, "GET / HTTP/1.1\r\n");
    weir_sleep(WEIR_SEC(20000));
    peer_say(&peer, "Host: a\r\n\r\n");
    peer_expect(&peer, 200, "hello");
    peer_say(&peer, "GET / HTTP/1.1\r\n\r\n");
    peer_expect(&peer, 400, NULL);
    peer_expect_end(&peer);
    weir_sleep(WEIR_SEC(20000));
    check_int((int64_t)sim->stats.conns, 1);
    peer_close(&peer);
}

static void never_never_comes(void **state)
{
    (void)state;
    handler_now = handle_hello;
    client_now = client_never;
    change_now = change_never;
    seeds_each(3, time_seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_idle_connection_is_closed),
        cmocka_unit_test(each_of_many_has_its_own_time),
        cmocka_unit_test(a_slow_header_is_408),
        cmocka_unit_test(a_header_just_in_time_is_answered),
        cmocka_unit_test(a_slow_second_header_is_408),
        cmocka_unit_test(each_header_has_its_own_time),
        cmocka_unit_test(a_slow_body_is_408),
        cmocka_unit_test(a_slow_body_that_nobody_reads_ends_the_connection),
        cmocka_unit_test(each_body_has_its_own_time),
        cmocka_unit_test(a_peer_that_does_not_read_is_cut),
        cmocka_unit_test(a_pipeline_that_is_not_read_is_cut),
        cmocka_unit_test(closing_waits_for_the_peer),
        cmocka_unit_test(behind_the_last_request_it_is_closed_at_once),
        cmocka_unit_test(without_lingering_it_is_closed_at_once),
        cmocka_unit_test(never_never_comes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
