/* http.c - weir-http: a few routes that show what a handler can do.
 *
 * The router is built once and read by all shards; each shard serves its own connections and keeps
 * its own figures, so nothing here is shared while it runs.  To learn the figures of another shard,
 * /stats calls it. */
#include "http_stats.h"
#include "options.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DELAY_MAX_MS = 60000, BYTES_MAX = 1 << 30, BYTES_CHUNK = 26 << 11 };

/* --- the handlers --- */

static void hello(struct weir_http *http, void *arg)
{
    (void)arg;
    weir_http_reply(http, 200, "text/plain", WEIR_STR("Hello, World!"));
}

static void json(struct weir_http *http, void *arg)
{
    (void)arg;
    weir_http_reply(http, 200, "application/json", WEIR_STR("{\"message\":\"Hello, World!\"}"));
}

/* The body comes back as it arrives: any length takes the same memory. */
static void echo(struct weir_http *http, void *arg)
{
    struct weir_str type = weir_http_header(http, "Content-Type");
    char data[8192];
    int64_t n = weir_http_read(http, data, sizeof data);

    (void)arg;
    if (n < 0)
        return; /* weir answers with the status that fits */
    if (type.at)
        weir_http_field(http, "Content-Type", type);
    if (weir_http_begin(http, 200, NULL, weir_http_body_length(http)) < 0)
        return;
    while (n > 0) {
        if (weir_http_write(http, data, (size_t)n) < 0)
            return;
        n = weir_http_read(http, data, sizeof data);
    }
    if (n == 0)
        weir_http_end(http);
}

/* A decimal number of at most `max`, and nothing else; -1 when it is not. */
static int64_t number(struct weir_str text, int64_t max)
{
    int64_t value = 0;

    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return -1;
        value = value * 10 + (text.at[i] - '0');
        if (value > max)
            return -1;
    }
    return text.len > 0 ? value : -1;
}

static void reply_format(struct weir_http *http, int status, const char *format, int64_t value)
{
    char text[64];
    int len = snprintf(text, sizeof text, format, (long long)value);

    weir_http_reply(http, status, "text/plain", (struct weir_str){ text, (size_t)len });
}

static void delay(struct weir_http *http, void *arg)
{
    int64_t ms = number(weir_http_param(http, "ms"), DELAY_MAX_MS);

    (void)arg;
    if (ms < 0) {
        weir_http_reply(http, 400, "text/plain", WEIR_STR("0 to 60000 milliseconds\n"));
        return;
    }
    weir_sleep(WEIR_MS(ms));
    reply_format(http, 200, "slept %lld ms\n", ms);
}

/* As many bytes as are asked for: the alphabet, over and over. */
static void bytes(struct weir_http *http, void *arg)
{
    const char *alphabets = arg;
    int64_t left = number(weir_http_param(http, "n"), BYTES_MAX);

    if (left < 0) {
        weir_http_reply(http, 400, "text/plain", WEIR_STR("0 to 1073741824 bytes\n"));
        return;
    }
    if (weir_http_begin(http, 200, "application/octet-stream", left) < 0)
        return;
    while (left > 0) {
        size_t len = left < BYTES_CHUNK ? (size_t)left : BYTES_CHUNK;

        if (weir_http_write(http, alphabets, len) < 0)
            return;
        left -= (int64_t)len;
    }
    weir_http_end(http);
}

static int64_t which_shard(void *arg)
{
    (void)arg;
    return weir_shard_id();
}

static void shard(struct weir_http *http, void *arg)
{
    int64_t n = number(weir_http_param(http, "n"), INT32_MAX);

    (void)arg;
    if (n < 0 || n >= weir_shard_count()) {
        weir_http_reply(http, 404, "text/plain", WEIR_STR("no such shard\n"));
        return;
    }
    n = weir_call((unsigned)n, which_shard, NULL, weir_after(WEIR_SEC(5)));
    if (n >= 0)
        reply_format(http, 200, "Hello from shard %lld\n", n);
    else
        reply_format(http, 503, "the shard did not answer: error %lld\n", n);
}

/* --- the server --- */

static int build_routes(struct weir_http_router *router, struct http_stats *stats)
{
    static char alphabets[BYTES_CHUNK];
    int error = 0;

    for (size_t i = 0; i < sizeof alphabets; i++)
        alphabets[i] = (char)('a' + i % 26);
    error = error ? error : weir_http_route_brief(router, "GET", "/", hello, NULL);
    error = error ? error : weir_http_route_brief(router, "GET", "/plaintext", hello, NULL);
    error = error ? error : weir_http_route_brief(router, "GET", "/json", json, NULL);
    error = error ? error : weir_http_route(router, "POST", "/echo", echo, NULL);
    error = error ? error : weir_http_route(router, "GET", "/bytes/{n}", bytes, alphabets);
    error = error ? error : weir_http_route(router, "GET", "/delay/{ms}", delay, NULL);
    error = error ? error : weir_http_route(router, "GET", "/shard/{n}", shard, NULL);
    error = error ? error : weir_http_route(router, "GET", "/stats", http_stats_reply, stats);
    return error;
}

struct http_app {
    struct weir_http_router *router;
    struct http_stats stats;
};

static void shard_main(void *arg)
{
    struct app *app = arg;
    struct http_app *http = app->arg;
    struct weir_listener *listeners[APP_LISTEN_MAX];
    struct weir_http_config config;
    int count = app_listen(app, listeners);

    if (count < 0)
        return;
    weir_http_config_init(&config);
    config.body_max = (uint64_t)1 << 30; /* /echo keeps none of it */
    config.conns_max = app->config.conns_max;
    if (app->server)
        config.server = *app->server ? app->server : NULL;
    weir_http_serve(listeners, (size_t)count, http->router, &config, http_stats_here(&http->stats));
}

int main(int argc, char **argv)
{
    static const struct app_about about = {
        .name = "weir-http",
        .does = "an HTTP/1.1 server that shows what weir does",
        .address = "127.0.0.1:8080",
        .scheme = "http",
    };
    struct http_app http;
    struct app app;
    int status = app_init(&app, &about, argc, argv);

    if (status >= 0)
        return status;
    app.arg = &http;
    if (http_stats_init(&http.stats, &app.config) < 0 || weir_http_router_new(&http.router) < 0 ||
        build_routes(http.router, &http.stats) < 0) {
        fprintf(stderr, "weir-http: no memory\n");
        return 1;
    }
    status = app_run(&app, shard_main);
    weir_http_router_free(http.router);
    http_stats_free(&http.stats);
    return status;
}
