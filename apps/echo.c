/* echo.c - weir-echo: sends back the bytes it receives.
 *
 * Read this first.  Each shard runs shard_main on its own CPU, with listeners of its own; each
 * connection is served by a fiber, in straight lines, on the shard that accepted it.
 *
 *     weir-echo --listen 127.0.0.1:7000        and then: nc 127.0.0.1 7000 */
#include "options.h"

/* One connection, until its peer has nothing more to say. */
static void serve(void *arg)
{
    struct weir_conn *conn = arg;
    struct weir_buf *buf;

    while (weir_recv_buf(conn, &buf, WEIR_NEVER) > 0)
        if (weir_send_buf(conn, buf, weir_after(WEIR_SEC(30))) < 0)
            break;
    weir_close(conn);
}

/* One listener, until the program is told to stop; then its connections, until they end or the
 * grace time is over, when the runtime cancels what still waits. */
static void accept_all(void *arg)
{
    struct weir_listener *listener = arg;
    struct weir_scope conns;
    struct weir_conn *conn;

    weir_scope_init(&conns);
    while (weir_accept(listener, &conn, WEIR_NEVER) == 0)
        if (weir_spawn(&conns, serve, conn) < 0)
            weir_close(conn); /* full: shed this one, keep serving */
    weir_listener_close(listener);
    weir_scope_join(&conns, WEIR_NEVER);
}

static void shard_main(void *arg)
{
    struct weir_listener *listeners[APP_LISTEN_MAX];
    int count = app_listen(arg, listeners);
    struct weir_scope scope;

    weir_scope_init(&scope);
    for (int i = 0; i < count; i++)
        if (weir_spawn(&scope, accept_all, listeners[i]) < 0)
            weir_listener_close(listeners[i]);
    weir_scope_join(&scope, WEIR_NEVER);
}

int main(int argc, char **argv)
{
    static const struct app_about about = {
        .name = "weir-echo",
        .does = "sends back the bytes it receives",
        .address = "127.0.0.1:7000",
        .scheme = "tcp",
    };
    struct app app;
    int status = app_init(&app, &about, argc, argv);

    return status >= 0 ? status : app_run(&app, shard_main);
}
