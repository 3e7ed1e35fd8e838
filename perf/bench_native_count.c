/* bench_native_count.c - the servers of bench_native in one thread, so that what they do can be
 * counted; and two shards that call each other.
 *
 * The server's shard and its client take turns, on a clock that moves by as much each turn; secrets
 * and seeds are fixed.  So a run executes the same instructions each time, and callgrind's counts
 * of two runs differ only by what was asked for.  What is to be counted runs below count_turn, and
 * nothing else does: --toggle-collect=count_turn* leaves out the client and the making of it all.
 *
 * It prints how many units were done, and the ns of each that the counted turns took.
 *
 * The client takes one burst of 32 a turn, so 64 connections come in bursts of 32. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <weir/weir.h>
#include "core/cpu.h"
#include "perf/bench_native.h"
#include "perf/raw_tcp.h"
#include "sched/runtime.h"

enum {
    COUNT_SEGMENT = 1448, /* payload of a full segment, with time stamps */
    COUNT_CHUNK = 262144,
    COUNT_QUIET = 64,        /* turns after which nothing more comes */
    COUNT_PATIENCE = 100000, /* turns without progress: something is wrong */
};

#define COUNT_STEP WEIR_US(10)      /* of the clock, a turn */
#define COUNT_STEP_LAST WEIR_MS(10) /* the same, while all is being closed */

struct count_host {
    struct bench_host host;
    struct weir_shards all;
    struct weir_shard shard;
};

static weir_time count_now, count_step = COUNT_STEP;
static uint64_t count_cycles; /* in turns that were counted */

static weir_time count_clock(struct weir_shard *shard)
{
    (void)shard;
    return count_now;
}

static void count_wake(struct weir_shard *shard)
{
    (void)shard; /* never sleeps: WEIR_POLL_BUSY */
}

_Noreturn static void count_fail(const char *what)
{
    fprintf(stderr, "bench_native: %s\n", what);
    exit(1);
}

/* What callgrind is told to look at.  The barrier makes it a call, not a jump. */
static __attribute__((noinline)) void count_turn(struct weir_shard *shard)
{
    weir_shard_turn(shard);
    __asm__ volatile("" ::: "memory");
}

static void count_other_turn(struct count_host *host)
{
    weir_shard_turn(&host->shard);
}

/* One turn that is timed, too. */
static void count_timed_turn(struct weir_shard *shard)
{
    uint64_t before = weir_cycles();

    bench_sampling = true;
    count_turn(shard);
    bench_sampling = false;
    count_cycles += weir_cycles() - before;
}

/* No turn is cut short for having lasted long: how long it lasts is not repeatable. */
static void count_steady(struct weir_shard *shard)
{
    shard->clock = count_clock;
    shard->now = count_now;
    shard->quantum = shard->stall_cycles = UINT64_MAX;
    shard->quantum_yielded = 0;
}

static void count_open(struct count_host *host, const char *ip, const char *gateway)
{
    struct weir_config config;
    struct weir_shard *shard = &host->shard;

    host->host.conns_max = 128;
    bench_host_share(&host->host, ip, gateway, 1);
    bench_host_config(&host->host, &config);
    config.seed = 1;
    if (weir_shards_init(&host->all, 1, &config) < 0 ||
        weir_shard_init(shard, 0, &host->all, &config) < 0)
        count_fail("no memory for a shard");
    host->all.shard[0] = shard;
    host->all.wake = count_wake;
    count_steady(shard);
    weir_shard_current = shard;
    if (bench_host_open(&shard->driver, shard, &config, &host->host) < 0)
        exit(1);
    weir_shard_current = NULL;
    if (weir_shard_start(shard, host->host.main, &host->host) < 0)
        count_fail("no memory for a fiber");
}

static void count_close(struct count_host *host)
{
    weir_shard_free(&host->shard);
    weir_native_shared_close(host->host.shared);
    weir_shards_free(&host->all);
}

/* --- requests and answers, by the raw client --- */

static struct count_host count_server;
static struct raw count_raw;

static void count_round(struct raw *raw)
{
    count_now += count_step;
    raw_turn(raw);
    count_timed_turn(&count_server.shard);
}

/* The server's part in raw_connect_all. */
static void count_meanwhile(struct raw *raw)
{
    (void)raw;
    count_now += count_step;
    count_turn(&count_server.shard);
}

/* How long the server's answer to one message is. */
static uint32_t count_answer(struct raw *raw)
{
    uint32_t bytes;

    raw->expect = UINT32_MAX;
    raw_send(raw, &raw->conn[0]);
    for (int i = 0; i < COUNT_QUIET; i++)
        count_round(raw);
    bytes = raw->conn[0].got;
    raw->conn[0].got = 0;
    return bytes;
}

static void count_messages(struct raw *raw, uint64_t units)
{
    uint64_t seen = 0;
    unsigned quiet = 0;

    for (uint32_t i = 0; i < raw->conns; i++)
        raw_send(raw, &raw->conn[i]);
    while (raw->messages < units) {
        count_round(raw);
        quiet = raw->messages == seen ? quiet + 1 : 0;
        seen = raw->messages;
        if (quiet == COUNT_PATIENCE)
            count_fail("no more answers come");
    }
    if (raw->bad > 0 || raw->again > 0)
        count_fail("the raw client met packets that it does not expect");
}

static uint64_t count_exchange(void (*server_main)(void *), uint32_t conns, const void *message,
                               uint32_t len, uint64_t units)
{
    struct count_host *server = &count_server;
    struct raw *raw = &count_raw;
    struct weir_dev *end[2];

    bench_wire(end);
    server->host.dev = end[0];
    server->host.main = server_main;
    count_open(server, "10.0.0.1/24", "10.0.0.2");
    while (!server->host.up)
        count_meanwhile(NULL);
    raw_open(raw, end[1], conns, false);
    raw->meanwhile = count_meanwhile;
    raw_connect_all(raw);
    raw_message(raw, message, len, UINT32_MAX);
    raw->expect = count_answer(raw);
    if (raw->expect == 0)
        count_fail("the server does not answer");
    count_messages(raw, units);
    units = raw->messages;
    server->host.over = true;
    count_step = COUNT_STEP_LAST;
    while (!weir_shards_over(&server->all))
        count_meanwhile(NULL);
    count_close(server);
    raw_close(raw);
    weir_dev_close(end[1]);
    return units;
}

static uint64_t count_http(uint64_t units)
{
    return count_exchange(bench_http_main, 64, BENCH_REQUEST, sizeof BENCH_REQUEST - 1, units);
}

static uint64_t count_echo(uint64_t units)
{
    static const char message[64];

    return count_exchange(bench_echo_main, 1, message, sizeof message, units);
}

/* --- one flow, the stack at both ends --- */

static uint64_t sink_bytes;

static void sink_main(void *arg)
{
    static uint8_t data[COUNT_CHUNK];
    struct bench_host *host = arg;
    struct weir_listener *listener;
    struct weir_conn *conn;
    int64_t n;

    if (weir_listen(&listener, "10.0.0.1:80", NULL) < 0)
        count_fail("cannot listen");
    host->up = true;
    if (weir_accept(listener, &conn, WEIR_NEVER) < 0)
        count_fail("cannot accept");
    while ((n = weir_recv(conn, data, sizeof data, WEIR_NEVER)) > 0)
        sink_bytes += (uint64_t)n;
    weir_close(conn);
    weir_listener_close(listener);
}

static void source_main(void *arg)
{
    static uint8_t data[COUNT_CHUNK];
    struct bench_host *host = arg;
    struct weir_conn *conn;

    if (weir_connect(&conn, "10.0.0.1:80", WEIR_NEVER) < 0)
        count_fail("cannot connect");
    while (!host->over)
        if (weir_send(conn, data, sizeof data, WEIR_NEVER) < 0)
            count_fail("cannot send");
    weir_close(conn);
}

static void count_bulk_rounds(struct count_host *sink, struct count_host *source, bool in,
                              uint64_t units)
{
    uint64_t seen = 0;
    unsigned quiet = 0;

    while (sink_bytes < units * COUNT_SEGMENT) {
        count_now += count_step;
        if (in) {
            count_other_turn(source);
            count_timed_turn(&sink->shard);
        } else {
            count_timed_turn(&source->shard);
            count_other_turn(sink);
        }
        quiet = sink_bytes == seen ? quiet + 1 : 0;
        seen = sink_bytes;
        if (quiet == COUNT_PATIENCE)
            count_fail("the flow has stopped");
    }
}

static uint64_t count_bulk(bool in, uint64_t units)
{
    static struct count_host sink = { .host.main = sink_main };
    static struct count_host source = { .host.main = source_main };
    struct weir_dev *end[2];

    bench_wire(end);
    sink.host.dev = end[0];
    source.host.dev = end[1];
    count_open(&sink, "10.0.0.1/24", NULL);
    while (!sink.host.up)
        count_other_turn(&sink);
    count_open(&source, "10.0.0.2/24", NULL);
    count_bulk_rounds(&sink, &source, in, units);
    units = sink_bytes / COUNT_SEGMENT;
    source.host.over = true;
    while (!weir_shards_over(&sink.all) || !weir_shards_over(&source.all)) {
        count_now += count_step;
        count_other_turn(&source);
        count_other_turn(&sink);
    }
    count_close(&source);
    count_close(&sink);
    return units;
}

static uint64_t count_bulk_in(uint64_t units)
{
    return count_bulk(true, units);
}

static uint64_t count_bulk_out(uint64_t units)
{
    return count_bulk(false, units);
}

/* --- calls from one shard to another --- */

static struct {
    struct weir_shards all;
    struct weir_shard shard[2];
    uint64_t units;
} count_pair;

static int64_t call_nothing(void *arg)
{
    (void)arg;
    return 0;
}

static void call_main(void *arg)
{
    (void)arg;
    for (uint64_t i = 0; weir_shard_id() == 0 && i < count_pair.units; i++)
        if (weir_call_brief(1, call_nothing, NULL, WEIR_NEVER) < 0)
            count_fail("a call has failed");
}

static void call_open(const struct weir_config *config)
{
    if (weir_shards_init(&count_pair.all, 2, config) < 0)
        count_fail("no memory for two shards");
    count_pair.all.wake = count_wake;
    for (unsigned i = 0; i < 2; i++) {
        struct weir_shard *shard = &count_pair.shard[i];

        if (weir_shard_init(shard, i, &count_pair.all, config) < 0 ||
            weir_bare_driver_open(&shard->driver, shard, config, NULL) < 0)
            count_fail("no memory for a shard");
        count_pair.all.shard[i] = shard;
        count_steady(shard);
    }
    for (unsigned i = 0; i < 2; i++)
        if (weir_shard_start(&count_pair.shard[i], call_main, NULL) < 0)
            count_fail("no memory for a fiber");
}

/* Counted are the turns of both. */
static uint64_t count_call(uint64_t units)
{
    struct count_host nobody = { .host.conns_max = 1 };
    struct weir_config config;

    bench_host_config(&nobody.host, &config);
    config.seed = 1;
    count_pair.units = units;
    call_open(&config);
    while (!weir_shards_over(&count_pair.all)) {
        count_now += count_step;
        count_timed_turn(&count_pair.shard[0]);
        count_timed_turn(&count_pair.shard[1]);
    }
    for (unsigned i = 0; i < 2; i++)
        weir_shard_free(&count_pair.shard[i]);
    weir_shards_free(&count_pair.all);
    return units;
}

/* --- by name --- */

static const struct count_figure {
    const char *name;
    uint64_t (*run)(uint64_t units);
} count_figures[] = {
    { "http", count_http },         { "echo", count_echo }, { "bulk_in", count_bulk_in },
    { "bulk_out", count_bulk_out }, { "call", count_call },
};

int bench_count(const char *exchange, uint64_t units, bool sampled)
{
    for (size_t i = 0; i < WEIR_COUNT(count_figures); i++) {
        if (strcmp(count_figures[i].name, exchange) == 0) {
            if (sampled)
                bench_sample_start();
            units = count_figures[i].run(units);
            printf("%" PRIu64 " %.2f\n", units,
                   (double)count_cycles * 1e3 / (double)weir_cycles_per_us() / (double)units);
            if (sampled)
                bench_sample_print();
            return 0;
        }
    }
    fprintf(stderr, "bench_native: nothing is called %s that can be counted\n", exchange);
    return 2;
}
