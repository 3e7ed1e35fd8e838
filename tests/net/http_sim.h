/* http_sim.h - an HTTP server and clients that speak bytes, in one simulated shard.
 *
 *     static void client(struct http_sim *sim) { ... peer_dial, peer_say, peer_hear ... }
 *
 * Virtual time: a test that waits for a minute takes none.  Checks end the program and name the
 * seed. */
#ifndef WEIR_TESTS_NET_HTTP_SIM_H
#define WEIR_TESTS_NET_HTTP_SIM_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>
#include "tests/seeds.h"

#define HTTP_SIM_ADDRESS "10.0.0.1:80"

struct http_sim {
    struct weir_sim_config net;
    struct weir_http_config http;
    struct weir_http_router *router;
    void (*client)(struct http_sim *sim);
    void *arg;

    /* While it runs. */
    struct weir_listener *listener;
    struct weir_http_stats stats;
    int served; /* what weir_http_serve has returned; 1: nothing yet */
};

static inline void http_sim_serve(void *arg)
{
    struct http_sim *sim = arg;

    sim->served = weir_http_serve(&sim->listener, 1, sim->router, &sim->http, &sim->stats);
}

/* The client runs beside the server; when it returns, the server is told to stop. */
static inline void http_sim_main(void *arg)
{
    struct http_sim *sim = arg;
    struct weir_scope scope;

    weir_scope_init(&scope);
    check_int(weir_listen(&sim->listener, HTTP_SIM_ADDRESS, NULL), 0);
    check_int(weir_spawn(&scope, http_sim_serve, sim), 0);
    sim->client(sim);
    weir_stop();
    weir_scope_join(&scope, WEIR_NEVER); /* -ECANCELED when the grace time was over: see `served` */
    check_int((int64_t)sim->stats.conns, 0);
}

/* Defaults, for one to change before http_sim_run. */
static inline void http_sim_init(struct http_sim *sim, uint64_t seed,
                                 void (*client)(struct http_sim *))
{
    *sim = (struct http_sim){ .client = client, .served = 1 };
    weir_sim_config_init(&sim->net);
    weir_http_config_init(&sim->http);
    sim->net.shards = 1;
    sim->net.seed = seed;
    check_int(weir_http_router_new(&sim->router), 0);
}

static inline void http_sim_run(struct http_sim *sim)
{
    check_int(weir_sim_run(&sim->net, http_sim_main, sim), 0);
    check_int(sim->served, 0);
    weir_http_router_free(sim->router);
}

/* --- a client that speaks bytes --- */

enum { PEER_MAX = 1 << 22 };

struct peer {
    struct weir_conn *conn;
    char *data; /* heard and not yet understood, NUL-terminated */
    size_t len;
    int64_t end; /* 1: the server goes on; 0: it has ended its side; else the error */
};

struct answer {
    int status;
    char head[4096]; /* NUL-terminated */
    char *body;      /* NUL-terminated; peer_free_answer */
    size_t body_len;
    bool chunked, close;
};

static inline void peer_dial(struct peer *peer)
{
    *peer = (struct peer){ .end = 1 };
    peer->data = malloc(PEER_MAX + 1);
    check(peer->data);
    peer->data[0] = '\0';
    check_int(weir_connect(&peer->conn, HTTP_SIM_ADDRESS, WEIR_NEVER), 0);
}

static inline void peer_close(struct peer *peer)
{
    weir_close(peer->conn);
    free(peer->data);
}

static inline void peer_say_bytes(struct peer *peer, const char *data, size_t len)
{
    check_int(weir_send(peer->conn, data, len, WEIR_NEVER), (int64_t)len);
}

static inline void peer_say(struct peer *peer, const char *text)
{
    peer_say_bytes(peer, text, strlen(text));
}

/* Hears something more; false at the end. */
static inline bool peer_listen(struct peer *peer)
{
    int64_t n;

    if (peer->end != 1)
        return false;
    check(peer->len < PEER_MAX);
    n = weir_recv(peer->conn, peer->data + peer->len, PEER_MAX - peer->len, WEIR_NEVER);
    if (n > 0)
        peer->len += (size_t)n;
    else
        peer->end = n;
    peer->data[peer->len] = '\0';
    return n > 0;
}

static inline void peer_forget(struct peer *peer, size_t len)
{
    memmove(peer->data, peer->data + len, peer->len - len + 1);
    peer->len -= len;
}

/* Hears until the server ends; everything is in peer->data then. */
static inline void peer_hear_all(struct peer *peer)
{
    while (peer_listen(peer))
        ;
}

/* The field's value in the head, or NULL. */
static inline const char *answer_field(const struct answer *answer, const char *name)
{
    static char value[1024];
    size_t len = strlen(name);

    for (const char *line = strstr(answer->head, "\r\n"); line; line = strstr(line, "\r\n")) {
        line += 2;
        if (strncmp(line, name, len) == 0 && line[len] == ':') {
            check(sscanf(line + len + 1, " %1023[^\r]", value) == 1);
            return value;
        }
    }
    return NULL;
}

static inline void answer_append(struct answer *answer, const char *data, size_t len)
{
    answer->body = realloc(answer->body, answer->body_len + len + 1);
    check(answer->body);
    memcpy(answer->body + answer->body_len, data, len);
    answer->body_len += len;
    answer->body[answer->body_len] = '\0';
}

static inline bool peer_need(struct peer *peer, size_t len)
{
    while (peer->len < len)
        if (!peer_listen(peer))
            return false;
    return true;
}

static inline bool peer_take(struct peer *peer, struct answer *answer, size_t len)
{
    if (!peer_need(peer, len))
        return false;
    answer_append(answer, peer->data, len);
    peer_forget(peer, len);
    return true;
}

/* The length of the first line with its CRLF; 0: it does not come. */
static inline size_t peer_line(struct peer *peer)
{
    char *end;

    while ((end = strstr(peer->data, "\r\n")) == NULL)
        if (!peer_listen(peer))
            return 0;
    return (size_t)(end - peer->data) + 2;
}

static inline bool peer_take_chunks(struct peer *peer, struct answer *answer)
{
    for (;;) {
        size_t line = peer_line(peer);
        unsigned long size;

        if (line == 0)
            return false;
        size = strtoul(peer->data, NULL, 16);
        peer_forget(peer, line);
        if (!peer_take(peer, answer, size) || !peer_need(peer, 2))
            return false;
        check(memcmp(peer->data, "\r\n", 2) == 0);
        peer_forget(peer, 2);
        if (size == 0)
            return true;
    }
}

/* A whole answer (to HEAD: `head`); false when the server ends before there is one. */
static inline bool peer_hear_to(struct peer *peer, struct answer *answer, bool head)
{
    const char *length;
    char *end;

    *answer = (struct answer){ 0 };
    answer_append(answer, "", 0);
    while ((end = strstr(peer->data, "\r\n\r\n")) == NULL)
        if (!peer_listen(peer))
            return false;
    check((size_t)(end - peer->data) + 4 < sizeof answer->head);
    memcpy(answer->head, peer->data, (size_t)(end - peer->data) + 2);
    peer_forget(peer, (size_t)(end - peer->data) + 4);
    check(sscanf(answer->head, "HTTP/1.1 %d ", &answer->status) == 1);
    answer->close = answer_field(answer, "Connection") &&
                    strcmp(answer_field(answer, "Connection"), "close") == 0;
    answer->chunked = answer_field(answer, "Transfer-Encoding") != NULL;
    if (head || answer->status < 200 || answer->status == 204 || answer->status == 304)
        return true;
    if (answer->chunked)
        return peer_take_chunks(peer, answer);
    length = answer_field(answer, "Content-Length");
    if (length)
        return peer_take(peer, answer, strtoul(length, NULL, 10));
    peer_hear_all(peer);
    return peer_take(peer, answer, peer->len);
}

/* The same, and its status must be that. */
static inline void peer_hear(struct peer *peer, struct answer *answer, int status)
{
    check(peer_hear_to(peer, answer, false));
    if (answer->status != status)
        weir_panic("WEIR_SEED=%llu: %d, not %d: %s", (unsigned long long)seed_now, answer->status,
                   status, answer->body);
}

static inline void answer_free(struct answer *answer)
{
    free(answer->body);
}

/* Hears an answer of that status and body (NULL: any), and forgets it. */
static inline void peer_expect(struct peer *peer, int status, const char *body)
{
    struct answer answer;

    peer_hear(peer, &answer, status);
    if (body && strcmp(answer.body, body) != 0)
        weir_panic("WEIR_SEED=%llu: body \"%s\", not \"%s\"", (unsigned long long)seed_now,
                   answer.body, body);
    answer_free(&answer);
}

/* The server ends its side now, having said nothing more. */
static inline void peer_expect_end(struct peer *peer)
{
    peer_hear_all(peer);
    if (peer->len > 0)
        weir_panic("WEIR_SEED=%llu: unexpected \"%s\"", (unsigned long long)seed_now, peer->data);
    check_int(peer->end, 0);
}

/* --- routes that tests share --- */

static inline void handle_hello(struct weir_http *http, void *arg)
{
    (void)arg;
    check_int(weir_http_reply(http, 200, "text/plain", WEIR_STR("hello")), 0);
}

#endif
