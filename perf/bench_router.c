/* bench_router.c - what it costs to find a handler: a literal path, one with a parameter, none.
 *
 * The router holds the routes of weir-http and 200 more.  Everything is in the cache. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "net/http/router.h"

enum { ROUNDS = 200, TIMES = 5000, MORE_ROUTES = 200 };

static const char *const routes[] = {
    "/", "/plaintext", "/json", "/echo", "/delay/{ms}", "/shard/{n}", "/stats", "/files/{path...}",
};

static const char *const paths[] = {
    "/plaintext", "/json", "/delay/10", "/r117/x/42", "/files/css/main.css", "/nowhere",
};

static void handler(struct weir_http *http, void *arg)
{
    (void)http;
    (void)arg;
}

static void route_add(struct weir_http_router *router, const char *pattern)
{
    if (weir_http_route(router, "GET", pattern, handler, NULL) < 0) {
        fprintf(stderr, "bench_router: %s is not taken\n", pattern);
        exit(1);
    }
}

static struct weir_http_router *router_make(void)
{
    struct weir_http_router *router;
    char pattern[32];

    if (weir_http_router_new(&router) < 0)
        exit(1);
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++)
        route_add(router, routes[i]);
    for (unsigned i = 0; i < MORE_ROUTES; i++) {
        snprintf(pattern, sizeof pattern, "/r%u/x/{id}", i);
        route_add(router, pattern);
    }
    return router;
}

static double seconds_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* The best of many short rounds; *status is what was found. */
static double find_ns(const struct weir_http_router *router, const char *text, int *status)
{
    const struct weir_str method = WEIR_STR("GET"), path = { text, strlen(text) };
    struct weir_http_match match;
    double best = 1e9;
    char allow[64];

    for (int round = 0; round < ROUNDS; round++) {
        double start = seconds_now(), ns;

        for (int i = 0; i < TIMES; i++) {
            *status = weir_http_router_find(router, method, path, &match, allow, sizeof allow);
            __asm__ volatile("" : : "r"(&match) : "memory");
        }
        ns = (seconds_now() - start) * 1e9 / TIMES;
        best = ns < best ? ns : best;
    }
    return best;
}

int main(int argc, char **argv)
{
    struct weir_http_router *router;

    if (argc > 1) {
        printf("usage: %s\nFinds six paths among %zu routes, %d times each.\n", argv[0],
               sizeof routes / sizeof routes[0] + MORE_ROUTES, ROUNDS * TIMES);
        return strcmp(argv[1], "--help") == 0 ? 0 : 2;
    }
    router = router_make();
    printf("%-24s %8s %8s\n", "path", "status", "ns");
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        int status;
        double ns = find_ns(router, paths[i], &status);

        printf("%-24s %8d %8.1f\n", paths[i], status, ns);
    }
    weir_http_router_free(router);
    return 0;
}
