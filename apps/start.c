/* start.c - running an app: its shards listen, and the last of them says where.
 *
 * The lines go to stdout at once, so that whoever started the app can wait for them: when they are
 * there, every shard is accepting. */
#include "options.h"
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Whether this address is served by our own stack: its addresses are others than the machine's. */
static bool is_native(const struct app *app, const char *text)
{
    return app->config.stack == WEIR_STACK_NATIVE && app->config.ip &&
           strncmp(text, "kernel:", 7) != 0;
}

/* The first of --ip, as a host of a URL; "dhcp" and "auto" stay what they are. */
static const char *native_host(const struct app *app, char *host, size_t size)
{
    size_t len = strcspn(app->config.ip, "/,");
    bool v6 = memchr(app->config.ip, ':', len) != NULL;

    snprintf(host, size, v6 ? "[%.*s]" : "%.*s", (int)len, app->config.ip);
    return host;
}

/* The host to click on when the address stands for all that the machine has; else NULL. */
static const char *host_for_any(const struct app *app, const char *text,
                                const struct weir_addr *addr, char *host, size_t size)
{
    bool v4 = addr->sa.sa_family == AF_INET && addr->in.sin_addr.s_addr == htonl(INADDR_ANY);
    bool v6 = addr->sa.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&addr->in6.sin6_addr);

    if (!v4 && !v6)
        return NULL;
    if (is_native(app, text))
        return native_host(app, host, size);
    return v4 ? "localhost" : "[::1]";
}

static void print_address(const struct app *app, const char *listen,
                          const struct weir_listener *listener)
{
    const char *name = app->about->name, *scheme = app->about->scheme, *host;
    struct weir_addr addr;
    char text[WEIR_ADDR_TEXT], any[WEIR_ADDR_TEXT];

    weir_listener_addr(listener, &addr);
    weir_addr_format(&addr, text, sizeof text);
    host = host_for_any(app, listen, &addr, any, sizeof any);
    if (addr.sa.sa_family == AF_UNIX)
        printf("%s: serving on %s\n", name, text);
    else if (host)
        printf("%s: serving on %s://%s%s/, and on all other addresses (%s)\n", name, scheme, host,
               strrchr(text, ':'), text);
    else
        printf("%s: serving on %s://%s/\n", name, scheme, text);
}

static void print_start(const struct app *app, struct weir_listener *const *listeners)
{
    unsigned shards = weir_shard_count();

    for (unsigned i = 0; i < app->listens; i++)
        print_address(app, app->listen[i], listeners[i]);
    printf("%s: %u shard%s on CPU%s ", app->about->name, shards, shards == 1 ? "" : "s",
           shards == 1 ? "" : "s");
    for (unsigned i = 0; i < shards; i++)
        printf("%s%u", i > 0 ? "," : "", app->cpus[i]);
    printf("; %s (%s)\n", weir_stack_name(), weir_stack_why());
    printf("%s: Ctrl-C stops\n", app->about->name);
    fflush(stdout);
}

/* Only the first shard that cannot listen says so: the others mostly fail alike. */
static void listen_failed(struct app *app, const char *address, int error)
{
    if (!atomic_exchange(&app->failed, true))
        fprintf(stderr, "%s: cannot listen on %s: %s\n", app->about->name, address,
                strerror(-error));
    weir_stop();
}

int app_listen(struct app *app, struct weir_listener **listeners)
{
    struct weir_listen_config config;

    weir_listen_config_init(&config);
    config.defer_accept = true; /* no app has anything to say before its client */
    for (unsigned i = 0; i < app->listens; i++) {
        int error = weir_listen(&listeners[i], app->listen[i], &config);

        if (error < 0) {
            while (i > 0)
                weir_listener_close(listeners[--i]);
            listen_failed(app, app->listen[i], error);
            return -1;
        }
    }
    app->cpus[weir_shard_id()] = (unsigned)sched_getcpu();
    if (atomic_fetch_add(&app->listening, 1) + 1 == weir_shard_count() && !app->config.quiet)
        print_start(app, listeners);
    return (int)app->listens;
}

int app_run(struct app *app, void (*shard_main)(void *arg))
{
    int shards = weir_config_shards(&app->config);
    int error;

    if (shards < 0) {
        fprintf(stderr, "%s: no CPU to run on: %s\n", app->about->name, strerror(-shards));
        return 2;
    }
    app->cpus = calloc((size_t)shards, sizeof *app->cpus);
    if (!app->cpus) {
        fprintf(stderr, "%s: no memory\n", app->about->name);
        return 1;
    }
    error = weir_run(&app->config, shard_main, app);
    free(app->cpus);
    if (error < 0 && app->config.stack == WEIR_STACK_NATIVE && !app->listening && !app->failed)
        return 2; /* its device or its addresses: the line in the log says what to do */
    return error < 0 || app->failed ? 1 : 0;
}
