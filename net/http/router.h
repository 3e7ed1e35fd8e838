/* router.h - finds the handler of a method and a path. */
#ifndef WEIR_NET_HTTP_ROUTER_H
#define WEIR_NET_HTTP_ROUTER_H

#include <weir/http.h>

enum {
    WEIR_HTTP_PARAMS = 8,    /* parameters of one pattern; more: -EINVAL */
    WEIR_HTTP_SEGMENTS = 32, /* segments of one pattern; more: -EINVAL */
};

struct weir_http_match {
    weir_http_handler *handler;
    void *arg;
    bool brief;
    unsigned params;                               /* of the arrays only so many elements are set */
    struct weir_str param_value[WEIR_HTTP_PARAMS]; /* views into the path */
    const char *param_name[WEIR_HTTP_PARAMS];
};

/* 0: found; 404: no pattern matches the path; 405: some do, but none has the method: `allow` then
 * holds the methods that they have ("GET, HEAD, POST"), as many as fit in allow_size bytes with
 * the NUL (allow_size > 0).
 *
 * Patterns are tried from the most literal to the least, and one that has not the method is passed
 * over: with "GET /users/me" and "POST /users/{id}", POST /users/me is answered by the second. */
int weir_http_router_find(const struct weir_http_router *router, struct weir_str method,
                          struct weir_str path, struct weir_http_match *match, char *allow,
                          size_t allow_size);

#endif
