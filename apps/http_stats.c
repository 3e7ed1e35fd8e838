/* http_stats.c - GET /stats: what every shard has done, as JSON.
 *
 * Figures belong to their shards: they are copied over there, by a brief call, into a sample in the
 * frame of the handler that asks. */
#include "http_stats.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct sample {
    struct http_stats *stats;
    struct weir_http_stats http;
    struct weir_shard_stats shard;
};

static weir_time monotonic(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return WEIR_SEC(now.tv_sec) + now.tv_nsec;
}

int http_stats_init(struct http_stats *stats, const struct weir_config *config)
{
    int shards = weir_config_shards(config);
    size_t size = (shards > 0 ? (size_t)shards : 1) * sizeof *stats->shard;

    stats->started = monotonic();
    stats->shard = aligned_alloc(_Alignof(struct http_stats_shard), size);
    if (!stats->shard)
        return -ENOMEM;
    memset(stats->shard, 0, size);
    return 0;
}

void http_stats_free(struct http_stats *stats)
{
    free(stats->shard);
}

struct weir_http_stats *http_stats_here(struct http_stats *stats)
{
    return &stats->shard[weir_shard_id()].http;
}

/* Runs on the shard that is asked. */
static int64_t take_sample(void *arg)
{
    struct sample *sample = arg;

    sample->http = *http_stats_here(sample->stats);
    weir_shard_stats(&sample->shard);
    return 0;
}

static int write_shard(struct weir_http *http, unsigned id, const struct sample *sample)
{
    const struct weir_http_stats *h = &sample->http;
    const struct weir_shard_stats *s = &sample->shard;
    char text[1024];
    int len =
        snprintf(text, sizeof text,
                 "%s{\"shard\":%u,\"connections\":%" PRIu64 ",\"connections_total\":%" PRIu64
                 ",\"requests\":%" PRIu64 ",\"refused\":%" PRIu64 ",\"timeouts\":%" PRIu64
                 ",\"accepts_shed\":%" PRIu64 ",\"fibers\":%" PRIu64 ",\"fibers_spawned\":%" PRIu64
                 ",\"calls_sent\":%" PRIu64 ",\"calls_served\":%" PRIu64 ",\"wakes_sent\":%" PRIu64
                 ",\"sleeps\":%" PRIu64 ",\"loop_turns\":%" PRIu64 ",\"buffers\":%" PRIu64
                 ",\"stalls\":%" PRIu64 "}",
                 id > 0 ? ",\n" : "", id, h->conns, h->conns_total, h->requests, h->refused,
                 h->timeouts, s->accepts_shed, s->fibers, s->fibers_spawned, s->calls_sent,
                 s->calls_served, s->wakes_sent, s->sleeps, s->turns, s->bufs, s->stalls);

    return weir_http_write(http, text, (size_t)len);
}

static int write_start(struct weir_http *http, const struct http_stats *stats)
{
    char text[256];
    int len =
        snprintf(text, sizeof text,
                 "{\"version\":\"%s\",\"stack\":\"%s\",\"uptime_ms\":%" PRId64 ",\"shards\":[\n",
                 weir_version(), weir_stack_name(), (monotonic() - stats->started) / WEIR_MS(1));

    return weir_http_write(http, text, (size_t)len);
}

void http_stats_reply(struct weir_http *http, void *arg)
{
    struct http_stats *stats = arg;
    weir_time deadline = weir_after(WEIR_SEC(5));

    if (weir_http_begin(http, 200, "application/json", -1) < 0 || write_start(http, stats) < 0)
        return;
    for (unsigned id = 0; id < weir_shard_count(); id++) {
        struct sample sample = { .stats = stats };

        if (weir_call_brief(id, take_sample, &sample, deadline) < 0 ||
            write_shard(http, id, &sample) < 0)
            return;
    }
    if (weir_http_write(http, "\n]}\n", 4) == 0)
        weir_http_end(http);
}
