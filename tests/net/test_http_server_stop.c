/* test_http_server_stop.c - stopping without losing a request, cutting, and the bounds of a server.
 */
#include "net/http/server.h"
#include "tests/core/testing.h"
#include "tests/net/http_sim.h"

#define GET "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#define SLOW "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n"

enum { SEEDS = 40 };

static void handle_slow(struct weir_http *http, void *arg)
{
    (void)arg;
    if (weir_sleep(WEIR_SEC(5)) == 0)
        weir_http_reply(http, 200, NULL, WEIR_STR("slow"));
}

static void handle_fiber(struct weir_http *http, void *arg)
{
    (void)arg;
    weir_sleep(random_in(0, WEIR_MS(5)));
    weir_http_reply(http, 200, NULL, WEIR_STR("hello"));
}

static void prepare(struct http_sim *sim, uint64_t seed, void (*client)(struct http_sim *))
{
    http_sim_init(sim, seed, client);
    check_int(weir_http_route_brief(sim->router, "GET", "/", handle_hello, NULL), 0);
    check_int(weir_http_route(sim->router, "GET", "/slow", handle_slow, NULL), 0);
    check_int(weir_http_route(sim->router, "GET", "/fiber", handle_fiber, NULL), 0);
}

static void (*client_now)(struct http_sim *sim);

static void stop_seed(uint64_t seed)
{
    struct http_sim sim;

    prepare(&sim, seed, client_now);
    http_sim_run(&sim);
}

static void run(void (*client)(struct http_sim *))
{
    client_now = client;
    seeds_each(SEEDS, stop_seed);
}

static void expect_close(struct peer *peer, const char *body)
{
    struct answer answer;

    peer_hear(peer, &answer, 200);
    check(answer.close);
    check(strcmp(answer.body, body) == 0);
    answer_free(&answer);
    peer_expect_end(peer);
}

/* --- draining --- */

static void client_idle_at_stop(struct http_sim *sim)
{
    struct peer asks, silent;
    weir_time stopped;

    (void)sim;
    peer_dial(&asks);
    peer_dial(&silent);
    peer_say(&silent, GET);
    peer_expect(&silent, 200, "hello");
    weir_sleep(WEIR_SEC(random_in(1, 30)));
    weir_stop();
    stopped = weir_now();
    weir_sleep(WEIR_MS(random_in(0, 990)));
    peer_say(&asks, GET);
    expect_close(&asks, "hello");
    check(weir_now() - stopped < WEIR_SEC(1));
    peer_expect_end(&silent);
    check(weir_now() - stopped >= WEIR_SEC(1) - WEIR_MS(1));
    check(weir_now() - stopped <= WEIR_SEC(1) + WEIR_MS(72));
    check_int((int64_t)sim->stats.timeouts, 0);
    peer_close(&asks);
    peer_close(&silent);
}

static void idle_connections_get_a_last_chance(void **state)
{
    (void)state;
    run(client_idle_at_stop);
}

static void client_busy_at_stop(struct http_sim *sim)
{
    struct peer peer, piped;
    struct answer answer;

    peer_dial(&peer);
    peer_dial(&piped);
    peer_say(&peer, SLOW);
    peer_say(&piped, SLOW GET GET);
    weir_sleep(WEIR_MS(100));
    weir_stop();
    expect_close(&peer, "slow");
    peer_hear(&piped, &answer, 200);
    check(!answer.close); /* there is more in hand */
    answer_free(&answer);
    peer_expect(&piped, 200, "hello");
    expect_close(&piped, "hello");
    peer_close(&peer);
    peer_close(&piped);
    check_int((int64_t)sim->stats.requests, 4);
}

static void answers_under_way_are_finished(void **state)
{
    (void)state;
    run(client_busy_at_stop);
}

/* One that never stops asking. */
struct asker {
    const char *request;
    uint64_t answered, sent;
    bool told; /* "Connection: close" */
};

static void asker_run(void *arg)
{
    struct asker *asker = arg;
    struct peer peer;
    struct answer answer;

    peer_dial(&peer);
    while (!asker->told) {
        weir_sleep(random_in(0, WEIR_MS(weir_random(2) ? 1 : 400)));
        peer_say(&peer, asker->request);
        asker->sent++;
        peer_hear(&peer, &answer, 200);
        check(strcmp(answer.body, "hello") == 0);
        asker->answered++;
        asker->told = answer.close;
        answer_free(&answer);
    }
    peer_expect_end(&peer);
    peer_close(&peer);
}

static void client_load_at_stop(struct http_sim *sim)
{
    struct asker asker[30];
    struct weir_scope scope;
    uint64_t sent = 0, answered = 0;

    weir_scope_init(&scope);
    for (int i = 0; i < 30; i++) {
        asker[i] =
            (struct asker){ .request = i % 2 ? GET : "GET /fiber HTTP/1.1\r\nHost: a\r\n\r\n" };
        check_int(weir_spawn(&scope, asker_run, &asker[i]), 0);
    }
    weir_sleep(random_in(WEIR_MS(500), WEIR_SEC(2)));
    weir_stop();
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    for (int i = 0; i < 30; i++) {
        sent += asker[i].sent;
        answered += asker[i].answered;
    }
    check_int((int64_t)sent, (int64_t)answered);
    check_int((int64_t)sim->stats.requests, (int64_t)answered);
}

static void no_request_is_lost_under_load(void **state)
{
    (void)state;
    run(client_load_at_stop);
}

/* --- cutting --- */

static void client_nothing(struct http_sim *sim)
{
    (void)sim;
}

static void handle_for_ever(struct weir_http *http, void *arg)
{
    (void)http;
    check_int(weir_sleep_until(WEIR_NEVER), -ECANCELED);
    *(bool *)arg = true;
}

static void cut_main(void *arg)
{
    static const char *const said[] = { "", "GET / HT", GET,
                                        "GET /ever HTTP/1.1\r\nHost: a\r\n\r\n",
                                        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n" };
    struct http_sim *sim = arg;
    struct peer peer[WEIR_COUNT(said)];
    struct weir_scope scope;

    weir_scope_init(&scope);
    check_int(weir_listen(&sim->listener, HTTP_SIM_ADDRESS, NULL), 0);
    check_int(weir_spawn(&scope, http_sim_serve, sim), 0);
    for (size_t i = 0; i < WEIR_COUNT(said); i++) {
        peer_dial(&peer[i]);
        if (*said[i])
            peer_say(&peer[i], said[i]);
    }
    weir_sleep(WEIR_MS(random_in(0, 20)));
    weir_scope_cancel(&scope);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    check_int(sim->served, -ECANCELED);
    check_int((int64_t)sim->stats.conns, 0);
    for (size_t i = 0; i < WEIR_COUNT(said); i++) {
        peer_hear_all(&peer[i]);
        check(peer[i].end == -ECONNRESET || peer[i].end == 0);
        peer_close(&peer[i]);
    }
}

static void cut_seed(uint64_t seed)
{
    struct http_sim sim;
    bool ended = false;

    prepare(&sim, seed, client_nothing);
    sim.http.conns_max = seed % 4 ? 100 : 3; /* one more has been accepted, and is held */
    check_int(weir_http_route(sim.router, "GET", "/ever", handle_for_ever, &ended), 0);
    check_int(weir_sim_run(&sim.net, cut_main, &sim), 0);
    weir_http_router_free(sim.router);
}

static void cancelling_cuts_everything(void **state)
{
    (void)state;
    seeds_each(4 * SEEDS, cut_seed);
}

/* --- bounds --- */

static void change_bound(struct http_sim *sim, uint32_t conns_max, uint32_t fibers_max)
{
    sim->http.conns_max = conns_max;
    sim->net.fibers_max = fibers_max;
}

static void client_bounded(struct http_sim *sim)
{
    struct peer peer[5];

    for (int i = 0; i < 5; i++) /* the last two wait in the backlog */
        peer_dial(&peer[i]);
    for (int i = 0; i < 5; i++)
        peer_say(&peer[i], GET);
    for (int i = 0; i < 3; i++)
        peer_expect(&peer[i], 200, "hello");
    weir_sleep(WEIR_SEC(5));
    check_int((int64_t)sim->stats.conns, 3);
    check_int((int64_t)sim->stats.requests, 3);
    peer_close(&peer[1]);
    peer_expect(&peer[3], 200, "hello");
    check_int((int64_t)sim->stats.conns, 3);
    check_int((int64_t)sim->stats.conns_total, 4);
    weir_stop(); /* what waits in the backlog is served all the same */
    expect_close(&peer[4], "hello");
    check_int((int64_t)sim->stats.conns_total, 5);
    peer_close(&peer[0]);
    for (int i = 2; i < 5; i++)
        peer_close(&peer[i]);
}

static void bounded_seed(uint64_t seed)
{
    struct http_sim sim;

    prepare(&sim, seed, client_bounded);
    change_bound(&sim, 3, 1024);
    http_sim_run(&sim);
}

static void connections_beyond_the_maximum_wait(void **state)
{
    (void)state;
    seeds_each(SEEDS, bounded_seed);
}

/* Fibers: main, the server, and two for handlers. */
static void client_few_fibers(struct http_sim *sim)
{
    struct peer peer[3];
    struct answer answer;

    for (int i = 0; i < 3; i++) {
        peer_dial(&peer[i]);
        peer_say(&peer[i], i < 2 ? SLOW : GET SLOW);
        weir_sleep(WEIR_MS(10));
    }
    peer_expect(&peer[2], 200, "hello"); /* a brief handler needs none */
    peer_hear(&peer[2], &answer, 503);
    check(answer.close);
    answer_free(&answer);
    peer_expect(&peer[0], 200, "slow");
    peer_expect(&peer[1], 200, "slow");
    for (int i = 0; i < 3; i++)
        peer_close(&peer[i]);
    check_int((int64_t)sim->stats.refused, 1);
}

static void few_fibers_seed(uint64_t seed)
{
    struct http_sim sim;

    prepare(&sim, seed, client_few_fibers);
    change_bound(&sim, 100, 4);
    http_sim_run(&sim);
}

static void without_a_fiber_it_is_503(void **state)
{
    (void)state;
    seeds_each(SEEDS, few_fibers_seed);
}

/* --- misuse --- */

static void handle_misuse(struct weir_http *http, void *arg)
{
    (void)arg;
    weir_http_begin(http, 200, NULL, -1);
}

static void client_misuse(struct http_sim *sim)
{
    struct peer peer;

    (void)sim;
    peer_dial(&peer);
    peer_say(&peer, "GET /misuse HTTP/1.1\r\nHost: a\r\n\r\n");
    peer_hear_all(&peer);
}

static void run_misuse(void *arg)
{
    struct http_sim sim;

    (void)arg;
    prepare(&sim, 1, client_misuse);
    check_int(weir_http_route_brief(sim.router, "GET", "/misuse", handle_misuse, NULL), 0);
    http_sim_run(&sim);
}

static void streaming_from_a_brief_handler_is_told(void **state)
{
    (void)state;
    assert_panics(run_misuse, NULL, "weir_http_begin may suspend, and a brief handler must not");
}

static void invalid_main(void *arg)
{
    struct http_sim *sim = arg;
    char name[WEIR_HTTP_SERVER_NAME_MAX + 2];

    memset(name, 'n', sizeof name);
    name[sizeof name - 1] = '\0';
    sim->http.server = name;
    check_int(weir_listen(&sim->listener, HTTP_SIM_ADDRESS, NULL), 0);
    check_int(weir_http_serve(&sim->listener, 1, sim->router, &sim->http, NULL), -EINVAL);
    sim->http.server = "a\r\nb";
    check_int(weir_listen(&sim->listener, HTTP_SIM_ADDRESS, NULL), 0);
    check_int(weir_http_serve(&sim->listener, 1, sim->router, &sim->http, NULL), -EINVAL);
    weir_stop();
    sim->http.server = name + 1;
    check_int(weir_listen(&sim->listener, HTTP_SIM_ADDRESS, NULL), 0);
    check_int(weir_http_serve(&sim->listener, 1, sim->router, &sim->http, NULL), 0);
    check_int(weir_listen(&sim->listener, HTTP_SIM_ADDRESS, NULL), 0);
    check_int(weir_http_serve(&sim->listener, 1, sim->router, NULL, NULL), 0);
}

static void an_invalid_server_name_is_refused(void **state)
{
    struct http_sim sim;

    (void)state;
    prepare(&sim, 1, client_nothing);
    check_int(weir_sim_run(&sim.net, invalid_main, &sim), 0);
    weir_http_router_free(sim.router);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(idle_connections_get_a_last_chance),
        cmocka_unit_test(answers_under_way_are_finished),
        cmocka_unit_test(no_request_is_lost_under_load),
        cmocka_unit_test(cancelling_cuts_everything),
        cmocka_unit_test(connections_beyond_the_maximum_wait),
        cmocka_unit_test(without_a_fiber_it_is_503),
        cmocka_unit_test(streaming_from_a_brief_handler_is_told),
        cmocka_unit_test(an_invalid_server_name_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
