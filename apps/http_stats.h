/* http_stats.h - the figures of weir-http, and the page that shows them. */
#ifndef WEIR_APPS_HTTP_STATS_H
#define WEIR_APPS_HTTP_STATS_H

#include <weir/weir.h>

/* Of one shard, written and read by that shard alone; on a cache line of its own. */
struct http_stats_shard {
    _Alignas(64) struct weir_http_stats http;
};

struct http_stats {
    struct http_stats_shard *shard; /* by id */
    weir_time started;              /* CLOCK_MONOTONIC */
};

/* 0 or a negated errno. */
int http_stats_init(struct http_stats *stats, const struct weir_config *config);
void http_stats_free(struct http_stats *stats);

/* Those of the running shard. */
struct weir_http_stats *http_stats_here(struct http_stats *stats);

/* The handler of /stats; its arg is the http_stats. */
void http_stats_reply(struct weir_http *http, void *arg);

#endif
