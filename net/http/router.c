/* router.c - a tree of path segments, and a hash of the patterns that have no parameter.
 *
 * A path that is some pattern to the letter is found by one hash and one comparison.  Everything
 * else walks the tree: at each node the literal child is tried, then the parameter, then the rest;
 * what leads nowhere is left again.  A node's depth is the number of the segment it is compared
 * with, so a walk enters each node at most once: its bound is the size of the tree, and its depth
 * that of the longest pattern.
 *
 * Names of parameters belong to the route, not to the node: "/{a}" and "/{b}/x" share a node.
 *
 * Invariant: children are sorted by length, then bytes; the hash has a free slot, so probing ends.
 */
#include "net/http/router.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "net/http/scan.h"

/* What one method does at one node. */
struct route {
    struct route *next; /* in the order of registration */
    char *method;
    weir_http_handler *handler;
    void *arg;
    size_t method_len;
    bool brief;
    unsigned params;
    char *param_name[WEIR_HTTP_PARAMS];
};

struct node {
    struct weir_str text;  /* of a literal segment; owned */
    struct node **literal; /* children, sorted */
    size_t literals;
    struct node *param, *rest;
    struct route *routes;
};

struct slot {
    const struct node *node; /* NULL: free */
    uint64_t hash;
    struct weir_str path; /* owned */
};

struct weir_http_router {
    struct node root;
    struct slot *slot;
    size_t slots, used; /* slots: a power of two, more than twice `used` */
};

/* --- patterns --- */

enum segment_kind { SEGMENT_LITERAL, SEGMENT_PARAM, SEGMENT_REST };

struct segment {
    enum segment_kind kind;
    struct weir_str text; /* the literal, or the parameter's name */
};

struct pattern {
    struct segment segment[WEIR_HTTP_SEGMENTS];
    unsigned segments, params;
};

/* Words that overlap in the middle, for what is mostly too short to be worth a call. */
static inline __attribute__((always_inline)) bool bytes_equal(const char *a, const char *b,
                                                              size_t len)
{
    if (len >= 8) {
        for (size_t at = 0; at + 8 < len; at += 8)
            if (memcmp(a + at, b + at, 8) != 0)
                return false;
        return memcmp(a + len - 8, b + len - 8, 8) == 0;
    }
    if (len >= 4)
        return memcmp(a, b, 4) == 0 && memcmp(a + len - 4, b + len - 4, 4) == 0;
    if (len >= 2)
        return memcmp(a, b, 2) == 0 && memcmp(a + len - 2, b + len - 2, 2) == 0;
    return len == 0 || *a == *b;
}

static inline __attribute__((always_inline)) bool str_equal(struct weir_str a, struct weir_str b)
{
    return a.len == b.len && bytes_equal(a.at, b.at, a.len);
}

static bool segment_literal_ok(struct weir_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] == '%') {
            if (text.len - i < 3 || !http_is_hex(text.at[i + 1]) || !http_is_hex(text.at[i + 2]))
                return false;
            i += 2;
        } else if (!http_set_has(&http_target, text.at[i])) {
            return false;
        }
    }
    return true;
}

/* A letter or '_', then letters, digits and '_'. */
static bool segment_name_ok(struct weir_str name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.at[i];
        bool letter = ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '_';

        if (!letter && (i == 0 || c < '0' || c > '9'))
            return false;
    }
    return name.len > 0;
}

static bool segment_parse(struct segment *segment, struct weir_str text)
{
    segment->kind = SEGMENT_LITERAL;
    segment->text = text;
    if (text.len == 0 || text.at[0] != '{')
        return segment_literal_ok(text);
    if (text.at[text.len - 1] != '}')
        return false;
    segment->kind = SEGMENT_PARAM;
    segment->text = (struct weir_str){ text.at + 1, text.len - 2 };
    if (segment->text.len > 3 && memcmp(text.at + text.len - 4, "...", 3) == 0) {
        segment->kind = SEGMENT_REST;
        segment->text.len -= 3;
    }
    return segment_name_ok(segment->text);
}

static bool pattern_has_param(const struct pattern *pattern, struct weir_str name)
{
    for (unsigned i = 0; i < pattern->segments; i++)
        if (pattern->segment[i].kind != SEGMENT_LITERAL &&
            str_equal(pattern->segment[i].text, name))
            return true;
    return false;
}

static bool pattern_add(struct pattern *pattern, struct weir_str text)
{
    struct segment *segment = &pattern->segment[pattern->segments];

    if (pattern->segments == WEIR_HTTP_SEGMENTS || !segment_parse(segment, text))
        return false;
    if (segment->kind != SEGMENT_LITERAL) {
        if (pattern->params == WEIR_HTTP_PARAMS || pattern_has_param(pattern, segment->text))
            return false;
        pattern->params++;
    }
    pattern->segments++;
    return true;
}

static bool pattern_parse(struct pattern *pattern, const char *text)
{
    pattern->segments = pattern->params = 0;
    if (*text != '/')
        return false;
    do {
        size_t len = strcspn(++text, "/");

        if (pattern->segments > 0 && pattern->segment[pattern->segments - 1].kind == SEGMENT_REST)
            return false;
        if (!pattern_add(pattern, (struct weir_str){ text, len }))
            return false;
        text += len;
    } while (*text == '/');
    return true;
}

static bool method_ok(const char *method)
{
    const char *at = method;

    while (http_set_has(&http_token, *at))
        at++;
    return at > method && *at == '\0';
}

/* --- nodes --- */

/* The place of the child, or where it would be. */
static size_t node_literal_place(const struct node *node, struct weir_str text, bool *found)
{
    size_t low = 0, high = node->literals;

    *found = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct weir_str *have = &node->literal[middle]->text;
        int order = have->len < text.len   ? -1
                    : have->len > text.len ? 1
                                           : memcmp(have->at, text.at, text.len);

        if (order == 0) {
            *found = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int node_literal_add(struct node *node, struct weir_str text, struct node **child)
{
    struct node **grown;
    bool found;
    size_t place = node_literal_place(node, text, &found);

    if (found) {
        *child = node->literal[place];
        return 0;
    }
    grown = realloc(node->literal, (node->literals + 1) * sizeof(*grown));
    if (grown == NULL)
        return -ENOMEM;
    node->literal = grown;
    *child = calloc(1, sizeof(**child));
    if (*child == NULL)
        return -ENOMEM;
    (*child)->text = (struct weir_str){ strndup(text.at, text.len), text.len };
    if ((*child)->text.at == NULL) {
        free(*child);
        return -ENOMEM;
    }
    memmove(grown + place + 1, grown + place, (node->literals - place) * sizeof(*grown));
    grown[place] = *child;
    node->literals++;
    return 0;
}

static int node_child_add(struct node *node, const struct segment *segment, struct node **child)
{
    struct node **place = segment->kind == SEGMENT_PARAM ? &node->param : &node->rest;

    if (segment->kind == SEGMENT_LITERAL)
        return node_literal_add(node, segment->text, child);
    if (*place == NULL)
        *place = calloc(1, sizeof(**place));
    *child = *place;
    return *place != NULL ? 0 : -ENOMEM;
}

static void route_free(struct route *route)
{
    for (unsigned i = 0; i < route->params; i++)
        free(route->param_name[i]);
    free(route->method);
    free(route);
}

/* Frees what the node holds and its children; the depth is that of the longest pattern. */
static void node_clear(struct node *node)
{
    struct node *child[2] = { node->param, node->rest };

    for (size_t i = 0; i < node->literals; i++) {
        node_clear(node->literal[i]);
        free(node->literal[i]);
    }
    for (size_t i = 0; i < WEIR_COUNT(child); i++) {
        if (child[i] != NULL)
            node_clear(child[i]);
        free(child[i]);
    }
    while (node->routes != NULL) {
        struct route *route = node->routes;

        node->routes = route->next;
        route_free(route);
    }
    free(node->literal);
    free((char *)(uintptr_t)node->text.at);
}

static inline __attribute__((always_inline)) const struct route *node_route_exact(
    const struct node *node, struct weir_str method)
{
    const struct route *route = node->routes;

    while (route != NULL &&
           !str_equal((struct weir_str){ route->method, route->method_len }, method))
        route = route->next;
    return route;
}

/* What the method does at the node, or NULL; HEAD falls back to GET. */
static inline const struct route *node_route(const struct node *node, struct weir_str method)
{
    const struct route *route = node_route_exact(node, method);

    if (route == NULL && str_equal(method, WEIR_STR("HEAD")))
        route = node_route_exact(node, WEIR_STR("GET"));
    return route;
}

/* --- the hash of literal paths --- */

static inline __attribute__((always_inline)) uint64_t path_mix(uint64_t hash, uint64_t x)
{
    hash = (hash ^ x) * 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 32;
}

/* Eight bytes a turn; the last turn overlaps the one before it. */
static inline __attribute__((always_inline)) uint64_t path_hash(struct weir_str path)
{
    uint64_t hash = path.len, x = 0;

    if (path.len < 8) {
        for (size_t i = 0; i < path.len; i++)
            x = x << 8 | (uint8_t)path.at[i];
        return path_mix(hash, x);
    }
    for (size_t at = 0; at + 8 < path.len; at += 8) {
        memcpy(&x, path.at + at, 8);
        hash = path_mix(hash, x);
    }
    memcpy(&x, path.at + path.len - 8, 8);
    return path_mix(hash, x);
}

/* The slot of the path, or the free one where it would be. */
static inline __attribute__((always_inline)) struct slot *slot_find(
    const struct weir_http_router *router, uint64_t hash, struct weir_str path)
{
    size_t i = hash & (router->slots - 1);

    while (router->slot[i].node != NULL &&
           (router->slot[i].hash != hash || !str_equal(router->slot[i].path, path)))
        i = (i + 1) & (router->slots - 1);
    return &router->slot[i];
}

static int slots_grow(struct weir_http_router *router)
{
    struct weir_http_router grown = *router;

    grown.slots = router->slots * 2;
    grown.slot = calloc(grown.slots, sizeof(*grown.slot));
    if (grown.slot == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < router->slots; i++)
        if (router->slot[i].node != NULL)
            *slot_find(&grown, router->slot[i].hash, router->slot[i].path) = router->slot[i];
    free(router->slot);
    router->slot = grown.slot;
    router->slots = grown.slots;
    return 0;
}

static int slots_add(struct weir_http_router *router, struct weir_str path, const struct node *node)
{
    uint64_t hash = path_hash(path);
    struct slot *slot;
    char *copy;
    int rc = 0;

    if (slot_find(router, hash, path)->node != NULL)
        return 0;
    if (2 * (router->used + 1) >= router->slots)
        rc = slots_grow(router);
    if (rc < 0)
        return rc;
    copy = strndup(path.at, path.len);
    if (copy == NULL)
        return -ENOMEM;
    slot = slot_find(router, hash, path);
    *slot = (struct slot){ node, hash, { copy, path.len } };
    router->used++;
    return 0;
}

/* --- building --- */

int weir_http_router_new(struct weir_http_router **router)
{
    struct weir_http_router *made = calloc(1, sizeof(*made));

    if (made == NULL)
        return -ENOMEM;
    made->slots = 16;
    made->slot = calloc(made->slots, sizeof(*made->slot));
    if (made->slot == NULL) {
        free(made);
        return -ENOMEM;
    }
    *router = made;
    return 0;
}

void weir_http_router_free(struct weir_http_router *router)
{
    if (router == NULL)
        return;
    for (size_t i = 0; i < router->slots; i++)
        free((char *)(uintptr_t)router->slot[i].path.at);
    free(router->slot);
    node_clear(&router->root);
    free(router);
}

static int route_new(struct route **made, const struct route *wanted, const char *method,
                     const struct pattern *pattern)
{
    struct route *route = malloc(sizeof(*route));

    if (route == NULL)
        return -ENOMEM;
    *route = *wanted;
    route->params = 0;
    route->method_len = strlen(method);
    route->method = strdup(method);
    if (route->method == NULL)
        goto fail;
    for (unsigned i = 0; i < pattern->segments; i++) {
        const struct segment *segment = &pattern->segment[i];

        if (segment->kind == SEGMENT_LITERAL)
            continue;
        route->param_name[route->params] = strndup(segment->text.at, segment->text.len);
        if (route->param_name[route->params] == NULL)
            goto fail;
        route->params++;
    }
    *made = route;
    return 0;

fail:
    route_free(route);
    return -ENOMEM;
}

/* Nodes that a failure leaves without a route match nothing. */
static int router_add(struct weir_http_router *router, const char *method, const char *text,
                      const struct route *wanted)
{
    struct node *node = &router->root;
    struct route **last, *route;
    struct pattern pattern;
    int rc = 0;

    if (wanted->handler == NULL || !method_ok(method) || !pattern_parse(&pattern, text))
        return -EINVAL;
    for (unsigned i = 0; i < pattern.segments && rc == 0; i++)
        rc = node_child_add(node, &pattern.segment[i], &node);
    if (rc < 0)
        return rc;
    if (node_route_exact(node, (struct weir_str){ method, strlen(method) }) != NULL)
        return -EEXIST;
    rc = route_new(&route, wanted, method, &pattern);
    if (rc < 0)
        return rc;
    if (pattern.params == 0)
        rc = slots_add(router, (struct weir_str){ text, strlen(text) }, node);
    if (rc < 0) {
        route_free(route);
        return rc;
    }
    for (last = &node->routes; *last != NULL;)
        last = &(*last)->next;
    *last = route;
    return 0;
}

int weir_http_route(struct weir_http_router *router, const char *method, const char *pattern,
                    weir_http_handler *handler, void *arg)
{
    const struct route wanted = { .handler = handler, .arg = arg, .brief = false };

    return router_add(router, method, pattern, &wanted);
}

int weir_http_route_brief(struct weir_http_router *router, const char *method, const char *pattern,
                          weir_http_handler *handler, void *arg)
{
    const struct route wanted = { .handler = handler, .arg = arg, .brief = true };

    return router_add(router, method, pattern, &wanted);
}

/* --- finding --- */

/* One walk: for the first route that has the method or, with `allow`, for all methods there are. */
struct walk {
    struct weir_str method;
    struct weir_http_match *match;
    char *allow;
    size_t allow_size, allow_len;
    bool seen; /* a route, of whatever method */
};

static void match_set(struct weir_http_match *match, const struct route *route)
{
    match->handler = route->handler;
    match->arg = route->arg;
    match->brief = route->brief;
    match->params = route->params;
    for (unsigned i = 0; i < route->params; i++)
        match->param_name[i] = route->param_name[i];
}

static bool allow_has(const struct walk *walk, struct weir_str method)
{
    const char *at = walk->allow, *end = walk->allow + walk->allow_len;

    while (at < end) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        size_t len = (size_t)((comma != NULL ? comma : end) - at);

        if (str_equal((struct weir_str){ at, len }, method))
            return true;
        at += len + 2; /* ", ": a comma is always followed by a method */
    }
    return false;
}

static void allow_add(struct walk *walk, struct weir_str method)
{
    size_t comma = walk->allow_len > 0 ? 2 : 0;

    if (walk->allow_len + comma + method.len >= walk->allow_size || allow_has(walk, method))
        return;
    memcpy(walk->allow + walk->allow_len, ", ", comma);
    memcpy(walk->allow + walk->allow_len + comma, method.at, method.len);
    walk->allow_len += comma + method.len;
    walk->allow[walk->allow_len] = '\0';
}

/* The path ends at the node: is this it? */
static bool walk_end(struct walk *walk, const struct node *node)
{
    const struct route *route;

    walk->seen |= node->routes != NULL;
    if (walk->allow == NULL) {
        route = node_route(node, walk->method);
        if (route != NULL)
            match_set(walk->match, route);
        return route != NULL;
    }
    for (route = node->routes; route != NULL; route = route->next) {
        struct weir_str method = { route->method, route->method_len };

        allow_add(walk, method);
        if (str_equal(method, WEIR_STR("GET")))
            allow_add(walk, WEIR_STR("HEAD"));
    }
    return false;
}

static bool walk_below(struct walk *walk, const struct node *node, struct weir_str path,
                       unsigned params);

/* The first `len` bytes of the path have led to the node: go on behind them. */
static bool walk_on(struct walk *walk, const struct node *node, struct weir_str path, size_t len,
                    unsigned params)
{
    if (len == path.len)
        return walk_end(walk, node);
    return walk_below(walk, node, (struct weir_str){ path.at + len + 1, path.len - len - 1 },
                      params);
}

/* Matches `path`, without the '/' before it, with what is below `node`.  `params` values have been
 * taken.  As deep as the longest pattern. */
static bool walk_below(struct walk *walk, const struct node *node, struct weir_str path,
                       unsigned params)
{
    const char *slash = memchr(path.at, '/', path.len);
    struct weir_str text = { path.at, slash != NULL ? (size_t)(slash - path.at) : path.len };
    bool found;
    size_t place = node_literal_place(node, text, &found);

    if (found && walk_on(walk, node->literal[place], path, text.len, params))
        return true;
    if (node->param != NULL && text.len > 0) {
        walk->match->param_value[params] = text;
        if (walk_on(walk, node->param, path, text.len, params + 1))
            return true;
    }
    if (node->rest == NULL)
        return false;
    walk->match->param_value[params] = path;
    return walk_end(walk, node->rest);
}

/* What is not found at first sight. */
static __attribute__((noinline)) int router_walk(const struct weir_http_router *router,
                                                 struct weir_str method, struct weir_str path,
                                                 struct weir_http_match *match, char *allow,
                                                 size_t allow_size)
{
    const struct node *literal = slot_find(router, path_hash(path), path)->node;
    const struct route *route = literal != NULL ? node_route(literal, method) : NULL;
    struct walk walk = { .method = method, .match = match };

    if (route != NULL) {
        match_set(match, route);
        return 0;
    }
    if (path.len == 0 || path.at[0] != '/')
        return 404;
    path = (struct weir_str){ path.at + 1, path.len - 1 };
    if (walk_below(&walk, &router->root, path, 0))
        return 0;
    if (!walk.seen)
        return 404;
    weir_assert(allow_size > 0);
    walk.allow = allow;
    walk.allow_size = allow_size;
    allow[0] = '\0';
    walk_below(&walk, &router->root, path, 0);
    return 405;
}

/* The first slot that the path may be in, and the first route there, are nearly always the ones. */
int weir_http_router_find(const struct weir_http_router *router, struct weir_str method,
                          struct weir_str path, struct weir_http_match *match, char *allow,
                          size_t allow_size)
{
    uint64_t hash = path_hash(path);
    const struct slot *slot = &router->slot[hash & (router->slots - 1)];
    const struct route *route;

    if (weir_likely(slot->hash == hash && slot->node && str_equal(slot->path, path))) {
        route = slot->node->routes;
        if (weir_likely(route &&
                        str_equal((struct weir_str){ route->method, route->method_len }, method))) {
            match->handler = route->handler;
            match->arg = route->arg;
            match->brief = route->brief;
            match->params = 0;
            return 0;
        }
    }
    return router_walk(router, method, path, match, allow, allow_size);
}
