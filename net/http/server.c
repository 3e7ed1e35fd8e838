/* server.c - accepting, draining, and the end.
 *
 * The fiber that called weir_http_serve sleeps on `ended` all the time; everything happens in
 * callbacks and in the fibers of handlers.  A connection that was accepted while there was no room
 * for one more waits in its acceptor, and nothing more is accepted meanwhile: the rest waits in the
 * backlog.
 *
 * Stopping: the listeners hand out what had arrived and then end with -ESHUTDOWN; each connection
 * says "Connection: close" in its next answer; those that are idle get a last chance to ask.
 *
 * Invariant: `ended` is done when and only when no connection is left and no acceptor is open. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "net/http/server.h"

void weir_http_config_init(struct weir_http_config *config)
{
    *config = (struct weir_http_config){
        .target_max = 8192,
        .headers_max = 16384,
        .fields_max = WEIR_HTTP_FIELDS,
        .body_max = 1 << 20,
        .header_timeout = WEIR_SEC(10),
        .body_timeout = WEIR_SEC(60),
        .send_timeout = WEIR_SEC(30),
        .idle_timeout = WEIR_SEC(60),
        .linger = WEIR_SEC(2),
        .conns_max = 16384,
        .server = "weir",
    };
}

static bool server_full(const struct weir_http_server *server)
{
    return server->conns.live >= server->config.conns_max;
}

static void server_maybe_end(struct weir_http_server *server)
{
    if (server->accepting > 0 || server->conns.live > 0 || server->ended.done)
        return;
    weir_future_set(&server->ended, server->cut ? -ECANCELED : 0);
}

static void server_drain(struct weir_http_server *server)
{
    if (server->draining)
        return;
    server->draining = true;
    weir_http_waits_drain(server);
}

/* --- accepting --- */

static void acceptor_end(struct weir_http_acceptor *acceptor)
{
    struct weir_http_server *server = acceptor->server;

    weir_listener_close(acceptor->listener);
    acceptor->listener = NULL;
    server->accepting--;
    if (server->accepting == 0)
        server_drain(server);
    server_maybe_end(server);
}

/* What an accept has come to; false when it was the last. */
static bool acceptor_took(struct weir_http_acceptor *acceptor)
{
    int64_t result = acceptor->io.future.result;

    acceptor->pending = false;
    if (result == 0 && !acceptor->server->cut) {
        acceptor->held = acceptor->io.conn;
        return true;
    }
    if (result == 0)
        weir_abort(acceptor->io.conn);
    acceptor_end(acceptor);
    return false;
}

/* Takes the accepted connection in; false when it has to wait for another to end. */
static bool acceptor_place(struct weir_http_acceptor *acceptor)
{
    struct weir_conn *socket = acceptor->held;

    if (server_full(acceptor->server))
        return false;
    acceptor->held = NULL;
    if (weir_http_conn_open(acceptor->server, socket) < 0)
        weir_close(socket);
    return true;
}

static void acceptor_run(struct weir_http_acceptor *acceptor);

static void acceptor_done(struct weir_future *future)
{
    struct weir_http_acceptor *acceptor =
        weir_container_of(future, struct weir_http_acceptor, io.future);

    if (acceptor_took(acceptor))
        acceptor_run(acceptor);
}

/* Accepts as long as connections are there and find room. */
static void acceptor_run(struct weir_http_acceptor *acceptor)
{
    do {
        if (acceptor->held && !acceptor_place(acceptor))
            return;
        acceptor->pending = true;
        weir_accept_start(&acceptor->io, acceptor->listener);
        if (weir_future_on_done(&acceptor->io.future, acceptor_done))
            return;
    } while (acceptor_took(acceptor));
}

void weir_http_server_conn_ended(struct weir_http_server *server)
{
    for (size_t i = 0; i < server->acceptors && !server->cut; i++)
        if (server->acceptor[i].held)
            acceptor_run(&server->acceptor[i]);
    server_maybe_end(server);
}

/* --- stopping --- */

static void server_stopped(struct weir_future *future)
{
    if (future->result == 0)
        server_drain(weir_container_of(future, struct weir_http_server, stop.future));
}

static void acceptor_cut(struct weir_http_acceptor *acceptor)
{
    if (acceptor->pending) {
        weir_future_cancel(&acceptor->io.future); /* acceptor_took ends it */
    } else if (acceptor->listener) {
        weir_abort(acceptor->held);
        acceptor->held = NULL;
        acceptor_end(acceptor);
    }
}

static void queue_cut(struct weir_http_queue *queue)
{
    struct weir_link *link, *next;

    for (link = queue->conns.next; link != &queue->conns; link = next) {
        next = link->next;
        weir_http_conn_cut(weir_container_of(link, struct weir_http_conn, link));
    }
}

/* The serving fiber has been cancelled: everything ends now. */
static void server_cut(struct weir_future *ended)
{
    struct weir_http_server *server = weir_container_of(ended, struct weir_http_server, ended);

    server->cut = true;
    for (size_t i = 0; i < server->acceptors; i++)
        acceptor_cut(&server->acceptor[i]);
    weir_scope_cancel(&server->scope);
    for (int wait = 0; wait < WEIR_HTTP_WAITS; wait++)
        queue_cut(&server->queue[wait]);
    server_maybe_end(server);
}

/* --- the server --- */

static bool config_valid(const struct weir_http_config *config)
{
    const char *name = config->server;
    size_t len = name ? strlen(name) : 0;

    if (len > WEIR_HTTP_SERVER_NAME_MAX)
        return false;
    for (size_t i = 0; i < len; i++)
        if (name[i] < 32 || name[i] == 127)
            return false;
    return config->conns_max > 0;
}

static void server_init(struct weir_http_server *server)
{
    const struct weir_http_config *config = &server->config;
    uint32_t max = config->conns_max;

    server->limits = (struct weir_http_limits){
        .line_max = (uint32_t)weir_min_u64(config->target_max, INT32_MAX / 2),
        .headers_max = (uint32_t)weir_min_u64(config->headers_max, INT32_MAX / 2),
        .fields_max = (uint32_t)weir_min_u64(config->fields_max, WEIR_HTTP_FIELDS),
    };
    weir_pool_init(&server->conns, sizeof(struct weir_http_conn), 64, max); /* three cache lines */
    weir_pool_init(&server->https, sizeof(struct weir_http), 64, max);
    weir_pool_init(&server->outs, WEIR_HTTP_OUT_SIZE, 64, max);
    weir_pool_init(&server->blocks, WEIR_HTTP_BLOCK, 64, max);
    weir_scope_init(&server->scope);
    weir_http_waits_init(server);
    weir_future_init(&server->ended, server_cut);
}

static void server_start(struct weir_http_server *server, struct weir_listener *const *listeners,
                         size_t count)
{
    server->acceptors = server->accepting = count;
    for (size_t i = 0; i < count; i++)
        server->acceptor[i] =
            (struct weir_http_acceptor){ .server = server, .listener = listeners[i] };
    weir_stop_wait_start(&server->stop);
    if (!weir_future_on_done(&server->stop.future, server_stopped))
        server_drain(server);
    for (size_t i = 0; i < count; i++)
        acceptor_run(&server->acceptor[i]);
    server_maybe_end(server);
}

static void server_free(struct weir_http_server *server)
{
    weir_future_cancel(&server->stop.future);
    weir_assert(server->stop.future.done);
    weir_scope_join(&server->scope, WEIR_NEVER);
    weir_http_waits_free(server);
    if (server->spare)
        weir_pool_put(&server->https, server->spare);
    weir_pool_free(&server->conns);
    weir_pool_free(&server->https);
    weir_pool_free(&server->outs);
    weir_pool_free(&server->blocks);
    free(server->acceptor);
}

static int serve_refused(struct weir_listener *const *listeners, size_t count, int error)
{
    for (size_t i = 0; i < count; i++)
        weir_listener_close(listeners[i]);
    return error;
}

int weir_http_serve(struct weir_listener *const *listeners, size_t count,
                    const struct weir_http_router *router, const struct weir_http_config *config,
                    struct weir_http_stats *stats)
{
    struct weir_http_server server = { .router = router };
    int result;

    server.stats = stats ? stats : &server.own_stats;
    if (config)
        server.config = *config;
    else
        weir_http_config_init(&server.config);
    if (!config_valid(&server.config))
        return serve_refused(listeners, count, -EINVAL);
    server.acceptor = calloc(count ? count : 1, sizeof *server.acceptor);
    if (!server.acceptor)
        return serve_refused(listeners, count, -ENOMEM);
    server_init(&server);
    server_start(&server, listeners, count);
    result = (int)weir_await(&server.ended, WEIR_NEVER);
    server_free(&server);
    return result;
}
