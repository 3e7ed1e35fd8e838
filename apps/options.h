/* options.h - what weir's own apps have in common: their command line, and telling that they serve.
 *
 *     struct app app;
 *     int status = app_init(&app, &about, argc, argv);
 *
 *     return status >= 0 ? status : app_run(&app, shard_main);
 *
 * Exit status: 0 after a graceful stop; 1 when it cannot serve (a port in use); 2 for a command
 * line that makes no sense, or names a device that cannot be had. */
#ifndef WEIR_APPS_OPTIONS_H
#define WEIR_APPS_OPTIONS_H

#include <stdatomic.h>
#include <weir/weir.h>

enum { APP_LISTEN_MAX = 16 };

struct app_about {
    const char *name;    /* "weir-echo" */
    const char *does;    /* one line */
    const char *address; /* where it listens unless told otherwise */
    const char *scheme;  /* of the URL it prints: "tcp" */
};

struct app {
    const struct app_about *about;
    struct weir_config config;
    const char *listen[APP_LISTEN_MAX];
    unsigned listens;
    const char *server; /* of an HTTP app: its Server field; "": none; NULL: as it comes */

    /* While it runs. */
    unsigned *cpus;             /* of each shard */
    _Atomic unsigned listening; /* shards that do */
    atomic_bool failed;
    void *arg; /* the app's own */
};

/* Reads the command line.  -1: go on; else the exit status, all having been said. */
int app_init(struct app *app, const struct app_about *about, int argc, char **argv);

/* Runs shard_main(app) on every shard; returns the exit status. */
int app_run(struct app *app, void (*shard_main)(void *arg));

/* On each shard: listens on all addresses and fills `listeners` (APP_LISTEN_MAX of them).  The
 * last shard to do so prints where the app serves.  Returns how many; or -1 after saying why not,
 * the app is stopping then. */
int app_listen(struct app *app, struct weir_listener **listeners);

#endif
