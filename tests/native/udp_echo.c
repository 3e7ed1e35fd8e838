/* udp_echo.c - sends back the datagrams it receives; the command line is that of weir-echo.
 *
 * The test of the native stack against the kernel talks to it.  Datagrams may come in fragments,
 * but the native stack sends none: one that is too long for the way back is answered by a line with
 * its length and the FNV-1a sum of its bytes, so that the other side can still tell that all of it
 * came in.  (http://www.isthe.com/chongo/tech/comp/fnv: 64 bits.) */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "apps/options.h"

enum { UDP_MAX = 65535 };

static uint64_t fnv1a(const uint8_t *data, size_t len)
{
    uint64_t sum = 0xcbf29ce484222325;

    for (size_t i = 0; i < len; i++)
        sum = (sum ^ data[i]) * 0x100000001b3;
    return sum;
}

/* One that cannot be sent is lost, as datagrams are: the other side tells. */
static void answer(struct weir_udp *udp, const uint8_t *data, size_t len,
                   const struct weir_addr *peer)
{
    char line[64];

    if (weir_send_to(udp, data, len, peer, WEIR_NEVER) != -EMSGSIZE)
        return;
    snprintf(line, sizeof line, "%zu %016llx", len, (unsigned long long)fnv1a(data, len));
    (void)weir_send_to(udp, line, strlen(line), peer, WEIR_NEVER);
}

/* One socket, until it is closed. */
static void serve(void *arg)
{
    static _Thread_local uint8_t data[UDP_MAX * APP_LISTEN_MAX];
    static _Thread_local unsigned used; /* each fiber of a shard takes a part of its own */
    uint8_t *mine = data + (size_t)UDP_MAX * used++;
    struct weir_udp *udp = arg;
    struct weir_addr peer;
    int64_t n;

    while ((n = weir_recv_from(udp, mine, UDP_MAX, &peer, WEIR_NEVER)) != -ECANCELED)
        if (n >= 0)
            answer(udp, mine, (size_t)n, &peer);
}

/* How many could be opened: all, or the app is told to stop. */
static unsigned open_all(struct app *app, struct weir_udp **udp)
{
    for (unsigned i = 0; i < app->listens; i++) {
        int error = weir_udp_open(&udp[i], app->listen[i], NULL);

        if (error < 0) {
            fprintf(stderr, "udp_echo: cannot open %s: %s\n", app->listen[i], strerror(-error));
            atomic_store(&app->failed, true);
            weir_stop();
            return i;
        }
    }
    if (atomic_fetch_add(&app->listening, 1) + 1 == weir_shard_count()) {
        printf("udp_echo: Ctrl-C stops\n");
        fflush(stdout);
    }
    return app->listens;
}

static void shard_main(void *arg)
{
    struct weir_udp *udp[APP_LISTEN_MAX];
    unsigned count = open_all(arg, udp);
    struct weir_stop_wait stop;
    struct weir_scope scope;

    weir_scope_init(&scope);
    for (unsigned i = 0; i < count; i++)
        if (weir_spawn(&scope, serve, udp[i]) < 0)
            weir_stop();
    weir_stop_wait_start(&stop);
    (void)weir_await(&stop.future, WEIR_NEVER);
    for (unsigned i = 0; i < count; i++)
        weir_udp_close(udp[i]);
    weir_scope_join(&scope, WEIR_NEVER);
}

int main(int argc, char **argv)
{
    static const struct app_about about = {
        .name = "udp_echo",
        .does = "sends back the datagrams it receives",
        .address = "127.0.0.1:7000",
        .scheme = "udp",
    };
    struct app app;
    int status = app_init(&app, &about, argc, argv);

    return status >= 0 ? status : app_run(&app, shard_main);
}
