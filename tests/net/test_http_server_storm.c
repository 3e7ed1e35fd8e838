/* test_http_server_storm.c - many clients that do anything, on a network that does anything.
 *
 * Every seed draws faults of the network, small bounds, and what each client says: valid requests,
 * broken ones, halves of them, resets.  Nothing may be left when the server has ended, answers come
 * in order and whole, and a run is over within its deadlines. */
#include "net/http/server.h"
#include "tests/net/http_sim.h"

enum { CLIENTS = 12, ROUNDS = 25 };

static void handle_number(struct weir_http *http, void *arg)
{
    struct weir_str number = weir_http_param(http, "number");

    (void)arg;
    if (weir_http_query(http).len > 0 && weir_sleep(random_in(0, WEIR_MS(20))) < 0)
        return;
    weir_http_reply(http, 200, "text/plain", number);
}

static void handle_back(struct weir_http *http, void *arg)
{
    char data[700];
    int64_t n = weir_http_read(http, data, sizeof data);

    (void)arg;
    if (n < 0 || weir_http_begin(http, 200, NULL, weir_http_body_length(http)) < 0)
        return;
    while (n > 0) {
        if (weir_http_write(http, data, (size_t)n) < 0)
            return;
        n = weir_http_read(http, data, sizeof data);
    }
    if (n == 0)
        weir_http_end(http);
}

static void handle_forgets(struct weir_http *http, void *arg)
{
    (void)arg;
    if (weir_random(2))
        weir_http_begin(http, 200, NULL, (int64_t)weir_random(3) - 1);
}

struct storm_client {
    struct weir_conn *conn;
    unsigned asked, intact; /* those asked for sure */
};

static bool storm_say(struct storm_client *client, const char *data, size_t len)
{
    while (len > 0) { /* in pieces, some of them late */
        size_t part = (size_t)random_in(1, (int64_t)len);

        if (weir_send(client->conn, data, part, weir_after(WEIR_SEC(90))) < 0)
            return false;
        data += part;
        len -= part;
        if (weir_random(4) == 0)
            weir_sleep(random_in(0, weir_random(30) ? WEIR_MS(3) : WEIR_SEC(3)));
    }
    return true;
}

static size_t storm_request(struct storm_client *client, char *text, size_t size)
{
    unsigned number = client->asked++;
    int len;

    switch (weir_random(6)) {
    case 0:
        len = snprintf(text, size, "GET /slow/%u?x HTTP/1.1\r\nHost: a\r\n\r\n", number);
        break;
    case 1: {
        char digits[12];
        int n = snprintf(digits, sizeof digits, "%u", number);

        len = snprintf(text, size, "POST /back HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s",
                       n, digits);
        break;
    }
    case 2: {
        char digits[12];
        int n = snprintf(digits, sizeof digits, "%u", number);

        len = snprintf(text, size,
                       "POST /back HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                       "%x\r\n%s\r\n0\r\nX: y\r\n\r\n",
                       (unsigned)n, digits);
        break;
    }
    default:
        len = snprintf(text, size, "GET /brief/%u HTTP/1.1\r\nHost: a\r\n\r\n", number);
        break;
    }
    return (size_t)len;
}

/* Answers must carry the numbers 0, 1, 2, ... in their bodies, as far as they come. */
static void storm_hear(void *arg)
{
    struct storm_client *client = arg;
    struct peer peer = { .conn = client->conn, .end = 1 };
    struct answer answer;
    unsigned expected = 0;

    peer.data = malloc(PEER_MAX + 1);
    check(peer.data);
    peer.data[0] = '\0';
    while (peer_hear_to(&peer, &answer, false)) {
        if (answer.status == 200 && expected < client->intact) {
            char want[12];

            snprintf(want, sizeof want, "%u", expected++);
            check(strcmp(answer.body, want) == 0);
        }
        answer_free(&answer);
    }
    answer_free(&answer);
    free(peer.data);
}

/* Asks in order, perhaps breaks something in the end. */
static void storm_ask(struct storm_client *client)
{
    char text[512];
    bool fine = true;

    for (int64_t i = random_in(1, 10); fine && i > 0; i--) {
        client->intact++;
        fine = storm_say(client, text, storm_request(client, text, sizeof text));
    }
    if (fine && weir_random(3) == 0) {
        size_t len = storm_request(client, text, sizeof text);

        text[weir_random(len)] = (char)weir_random(256);
        fine = storm_say(client, text, weir_random(2) ? len : (size_t)weir_random(len));
    }
    if (fine && weir_random(8) == 0) {
        static const char forgets[] = "GET /forgets HTTP/1.1\r\nHost: a\r\n\r\n";

        storm_say(client, forgets, sizeof forgets - 1);
    }
}

static void storm_round(struct storm_client *client)
{
    struct weir_scope scope;

    client->asked = client->intact = 0;
    if (weir_connect(&client->conn, HTTP_SIM_ADDRESS, weir_after(WEIR_SEC(200))) < 0)
        return;
    weir_scope_init(&scope);
    if (weir_spawn(&scope, storm_hear, client) == 0) {
        storm_ask(client);
        if (weir_random(2))
            weir_shutdown(client->conn);
        weir_scope_join(&scope, weir_after(weir_random(2) ? WEIR_MS(30) : WEIR_SEC(200)));
    }
    (weir_random(4) ? weir_close : weir_abort)(client->conn);
}

static void storm_client(void *arg)
{
    struct storm_client *client = malloc(sizeof *client);

    (void)arg;
    check(client);
    for (int i = 0; i < ROUNDS && !weir_stopping(); i++)
        storm_round(client);
    free(client);
}

static void client_storm(struct http_sim *sim)
{
    struct weir_scope scope;

    weir_scope_init(&scope);
    for (int i = 0; i < CLIENTS; i++)
        check_int(weir_spawn(&scope, storm_client, sim), 0);
    if (weir_random(2)) {
        weir_sleep(random_in(0, WEIR_SEC(20)));
        weir_stop();
    }
    weir_scope_join(&scope, WEIR_NEVER);
}

static void storm_seed(uint64_t seed)
{
    struct http_sim sim;

    http_sim_init(&sim, seed, client_storm);
    sim.net.short_reads = seed % 2 ? 300 : 0;
    sim.net.short_writes = seed % 3 ? 0 : 100;
    sim.net.resets = seed % 5 ? 0 : 2;
    sim.net.no_buffers = seed % 7 ? 0 : 200;
    sim.net.delay_max = seed % 11 ? WEIR_MS(1) : WEIR_MS(200);
    sim.net.window = seed % 13 ? 65536 : 300;
    sim.net.fibers_max = seed % 17 ? 1024 : 2 + 2 * CLIENTS + 2;
    sim.http.conns_max = seed % 3 ? 1000 : 4;
    sim.http.body_max = 1 << 20;
    sim.http.idle_timeout = WEIR_SEC(5);
    check_int(weir_http_route_brief(sim.router, "GET", "/brief/{number}", handle_number, NULL), 0);
    check_int(weir_http_route(sim.router, "GET", "/slow/{number}", handle_number, NULL), 0);
    check_int(weir_http_route(sim.router, "POST", "/back", handle_back, NULL), 0);
    check_int(weir_http_route(sim.router, "GET", "/forgets", handle_forgets, NULL), 0);
    check_int(weir_sim_run(&sim.net, http_sim_main, &sim), 0);
    check(sim.served == 0 || sim.served == -ECANCELED); /* cut when the grace time is over */
    weir_http_router_free(sim.router);
}

static void nothing_is_left_after_a_storm(void **state)
{
    (void)state;
    seeds_each(150, storm_seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_left_after_a_storm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
