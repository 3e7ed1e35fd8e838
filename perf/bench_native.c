/* bench_native.c - the native stack in process, beside a floor and the kernel.
 *
 * Server and client are two threads on two CPUs with the in-memory wire between them; nothing else
 * is on these CPUs.  `floor` is perf/raw_tcp.c at both ends; the stack's figures have raw_tcp.c as
 * their client, so that the server is what is measured, or the stack at both ends where the name
 * says so.  `kernel_*` are the same exchanges over loopback sockets, by the barest epoll loop.
 * With --count the same servers run in one thread, for callgrind (bench_native_count.c). */
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <weir/hist.h>
#include <weir/weir.h>
#include "core/cpu.h"
#include "net/native/native.h"
#include "perf/bench_native.h"
#include "perf/raw_tcp.h"
#include "sched/runtime.h"

unsigned bench_cpu[2];
double bench_seconds = 2;

double bench_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static bool json;

void bench_row(const char *name, double value, const char *unit, const char *note)
{
    if (json)
        printf("{\"name\": \"%s\", \"value\": %.6g, \"unit\": \"%s\", \"note\": \"%s\"}\n", name,
               value, unit, note);
    else
        printf("%-24s %14.2f %-12s %s\n", name, value, unit, note);
    fflush(stdout);
}

/* --- one shard with a stack of its own at one end of the wire, in a thread --- */

int bench_host_open(struct weir_driver **driver, struct weir_shard *shard,
                    const struct weir_config *config, void *arg)
{
    struct bench_host *host = arg;
    struct weir_driver *below;
    char why[160];
    int error = weir_bare_driver_open(&below, shard, config, NULL);

    if (!error)
        error = weir_native_open(driver, shard, below, host->shared, why, sizeof why);
    if (error)
        fprintf(stderr, "bench_native: %s\n", why);
    return error;
}

/* Another thread cannot stop a shard's work; it sets a flag. */
void bench_stop_when_over(void *arg)
{
    struct bench_host *host = arg;

    while (!atomic_load_explicit(&host->over, memory_order_relaxed))
        weir_sleep(WEIR_MS(2));
    weir_stop();
}

void bench_host_config(const struct bench_host *host, struct weir_config *config)
{
    weir_config_init(config);
    config->shards = 1;
    config->poll = WEIR_POLL_BUSY;
    config->signals = false;
    config->quiet = true;
    config->grace = WEIR_MS(100);
    config->conns_max = host->conns_max;
    config->fibers_max = 4096;
}

static void *host_thread(void *arg)
{
    struct bench_host *host = arg;
    struct weir_config config;
    char cpus[16];

    bench_host_config(host, &config);
    snprintf(cpus, sizeof cpus, "%u", host->cpu);
    config.cpus = cpus;
    if (weir_runtime_run(&config, bench_host_open, host, host->main, host) < 0)
        exit(1);
    return NULL;
}

void bench_host_share(struct bench_host *host, const char *ip, const char *gateway, uint64_t secret)
{
    char why[256];

    weir_native_config_init(&host->config);
    host->config.ip = ip;
    host->config.gateway = gateway;
    host->config.conns_max = host->conns_max;
    host->config.pkts_max = 1 << 18;
    host->config.secret = secret;
    if (weir_native_shared_open(&host->shared, host->dev, &host->config, 1, why, sizeof why) < 0) {
        fprintf(stderr, "bench_native: %s\n", why);
        exit(1);
    }
}

static void host_start(struct bench_host *host, const char *ip, const char *gateway)
{
    bench_host_share(host, ip, gateway, 0);
    if (pthread_create(&host->thread, NULL, host_thread, host) != 0)
        exit(1);
    while (!atomic_load(&host->up))
        weir_cpu_relax();
}

static void host_stop(struct bench_host *host)
{
    atomic_store(&host->over, true);
    pthread_join(host->thread, NULL);
    weir_native_shared_close(host->shared);
}

void bench_wire(struct weir_dev *end[2])
{
    const struct weir_pair_config config = { .queues = 1, .mtu = 1500 };

    if (weir_pair_open(end, &config) < 0) {
        fprintf(stderr, "bench_native: no memory for the wire\n");
        exit(1);
    }
}

/* --- what the server does --- */

static void plaintext(struct weir_http *http, void *arg)
{
    (void)arg;
    weir_http_reply(http, 200, "text/plain", WEIR_STR("Hello, World!"));
}

void bench_http_main(void *arg)
{
    struct bench_host *host = arg;
    struct weir_http_router *router;
    struct weir_http_config config;
    struct weir_listen_config listen;
    struct weir_listener *listener;
    struct weir_scope scope;

    weir_listen_config_init(&listen);
    listen.accepted_max = 1024;
    if (weir_http_router_new(&router) < 0 ||
        weir_http_route_brief(router, "GET", "/plaintext", plaintext, NULL) < 0 ||
        weir_listen(&listener, "10.0.0.1:80", &listen) < 0)
        exit(1);
    weir_scope_init(&scope);
    weir_spawn(&scope, bench_stop_when_over, host);
    atomic_store(&host->up, true);
    weir_http_config_init(&config);
    config.conns_max = host->conns_max;
    config.idle_timeout = WEIR_SEC(3600);
    weir_http_serve(&listener, 1, router, &config, NULL);
    weir_scope_join(&scope, WEIR_NEVER);
    weir_http_router_free(router);
}

static void echo_serve(void *arg)
{
    char data[4096];
    int64_t n;

    while ((n = weir_recv(arg, data, sizeof data, WEIR_NEVER)) > 0)
        if (weir_send(arg, data, (size_t)n, WEIR_NEVER) < 0)
            break;
    weir_close(arg);
}

void bench_echo_main(void *arg)
{
    struct bench_host *host = arg;
    struct weir_listener *listener;
    struct weir_scope scope;
    struct weir_conn *conn;

    if (weir_listen(&listener, "10.0.0.1:80", NULL) < 0)
        exit(1);
    weir_scope_init(&scope);
    weir_spawn(&scope, bench_stop_when_over, host);
    atomic_store(&host->up, true);
    while (weir_accept(listener, &conn, WEIR_NEVER) == 0)
        weir_spawn(&scope, echo_serve, conn);
    weir_listener_close(listener);
    weir_scope_cancel(&scope);
    weir_scope_join(&scope, WEIR_NEVER);
}

/* --- the raw client --- */

/* How long the server's answer is: what comes until nothing comes for a while. */
static uint32_t learn_answer(struct raw *raw)
{
    uint32_t quiet = 0;

    raw->expect = UINT32_MAX;
    raw_send(raw, &raw->conn[0]);
    while (raw->conn[0].got == 0 || quiet < 100000)
        quiet = raw_turn(raw) ? 0 : quiet + 1;
    quiet = raw->conn[0].got;
    raw->conn[0].got = 0;
    return quiet;
}

/* With more connections than may be asked at once the next one to be asked is far away in memory:
 * the stride is a prime, so all have their turn. */
enum { FLIGHT = 512, STRIDE = 7919 };

static void ask_another(struct raw *raw, struct raw_conn *conn)
{
    static uint32_t next;

    (void)conn;
    next = (next + STRIDE) % raw->conns;
    raw_send(raw, &raw->conn[next]);
}

/* Exchanges per second with `conns` connections, each message of the client asking for `depth`
 * answers. */
static double exchange_rate(struct raw *raw, const char *one, uint32_t len, unsigned depth)
{
    static uint8_t message[1460];
    double begin, end;
    uint64_t before;

    raw_message(raw, one, len, UINT32_MAX);
    raw->expect = learn_answer(raw);
    for (unsigned i = 0; i < depth; i++)
        memcpy(message + i * len, one, len);
    raw_message(raw, message, len * depth, raw->expect * depth);
    raw->answered = raw->conns > FLIGHT ? ask_another : NULL;
    for (uint32_t i = 0; i < raw->conns && i < FLIGHT; i++) {
        if (raw->answered)
            raw->answered(raw, NULL);
        else
            raw_send(raw, &raw->conn[i]);
    }
    for (end = bench_now() + bench_seconds / 4; bench_now() < end;)
        for (int i = 0; i < 100; i++)
            raw_turn(raw);
    begin = bench_now();
    before = raw->messages;
    for (end = begin; end < begin + bench_seconds; end = bench_now())
        for (int i = 0; i < 100; i++)
            raw_turn(raw);
    if (raw->bad > 0)
        bench_row("  BAD PACKETS", (double)raw->bad, "", "the figure below is no result");
    return (double)(raw->messages - before) * depth / (end - begin);
}

static void http_rate(const char *name, uint32_t conns, unsigned depth)
{
    struct bench_host server = { .cpu = bench_cpu[0],
                                 .conns_max = conns + 64,
                                 .main = bench_http_main };
    struct weir_dev *end[2];
    static struct raw raw;
    char note[96];
    double rate;

    bench_wire(end);
    server.dev = end[0];
    host_start(&server, "10.0.0.1/24", "10.0.0.2");
    raw_open(&raw, end[1], conns, false);
    raw_connect_all(&raw);
    rate = exchange_rate(&raw, BENCH_REQUEST, sizeof BENCH_REQUEST - 1, depth);
    snprintf(note, sizeof note, "%.1f ns each; %llu segments sent twice", 1e9 / rate,
             (unsigned long long)raw.again);
    bench_row(name, rate / 1e6, "M requests/s", note);
    host_stop(&server);
    raw_close(&raw);
    weir_dev_close(end[1]);
}

static void http64(void)
{
    http_rate("http_64", 64, 1);
}

static void http64_pipelined(void)
{
    http_rate("http_64_pipelined_10", 64, 10);
}

static void http100k(void)
{
    http_rate("http_100000", 100000, 1);
}

/* --- the floor --- */

struct floor_server {
    struct weir_dev *dev;
    uint32_t conns;
    const char *answer;
    uint32_t answer_len, expect;
    _Atomic bool up, over;
};

static void *floor_thread(void *arg)
{
    struct floor_server *server = arg;
    static struct raw raw;

    weir_cpu_pin(bench_cpu[0]);
    raw_open(&raw, server->dev, server->conns, true);
    raw_message(&raw, server->answer, server->answer_len, server->expect);
    atomic_store(&server->up, true);
    while (!atomic_load_explicit(&server->over, memory_order_relaxed))
        raw_turn(&raw);
    raw_close(&raw);
    return NULL;
}

static void floor_open(struct floor_server *server, struct raw *raw, pthread_t *thread)
{
    struct weir_dev *end[2];

    bench_wire(end);
    server->dev = end[0];
    if (pthread_create(thread, NULL, floor_thread, server) != 0)
        exit(1);
    while (!atomic_load(&server->up))
        weir_cpu_relax();
    raw_open(raw, end[1], server->conns, false);
    raw_connect_all(raw);
}

static void floor_end(struct floor_server *server, struct raw *raw, pthread_t thread)
{
    struct weir_dev *client = raw->queue->dev;

    atomic_store(&server->over, true);
    pthread_join(thread, NULL);
    raw_close(raw);
    weir_dev_close(client);
    weir_dev_close(server->dev);
}

static void floor_rate(void)
{
    static char answer[131];
    struct floor_server server = { .conns = 64,
                                   .answer = answer,
                                   .answer_len = sizeof answer,
                                   .expect = sizeof BENCH_REQUEST - 1 };
    static struct raw raw;
    pthread_t thread;
    char note[64];
    double rate;

    floor_open(&server, &raw, &thread);
    rate = exchange_rate(&raw, BENCH_REQUEST, sizeof BENCH_REQUEST - 1, 1);
    snprintf(note, sizeof note, "%.1f ns each: headers, checksums, look-up, seq and ack only",
             1e9 / rate);
    bench_row("floor_64", rate / 1e6, "M requests/s", note);
    floor_end(&server, &raw, thread);
}

/* --- round trips --- */

static void round_trips(const char *name, struct raw *raw)
{
    static struct weir_hist hist;
    static char message[64];
    double end = bench_now() + bench_seconds;
    char note[96];

    weir_hist_init(&hist);
    raw_message(raw, message, sizeof message, sizeof message);
    for (uint64_t i = 0; i % 1024 != 0 || bench_now() < end; i++) {
        uint64_t seen = raw->messages, before = weir_cycles();

        /* raw_turn sends the next by itself: so does the first of all */
        if (i == 0)
            raw_send(raw, &raw->conn[0]);
        while (raw->messages == seen)
            raw_turn(raw);
        if (i > 1000)
            weir_hist_record(&hist, (weir_cycles() - before) * 1000 / weir_cycles_per_us());
    }
    snprintf(note, sizeof note, "p50; p99 %.2f us, p99.9 %.2f us",
             (double)weir_hist_percentile(&hist, 99) / 1e3,
             (double)weir_hist_percentile(&hist, 99.9) / 1e3);
    bench_row(name, (double)weir_hist_percentile(&hist, 50) / 1e3, "us", note);
}

static void floor_echo(void)
{
    static char answer[64];
    struct floor_server server = {
        .conns = 1, .answer = answer, .answer_len = sizeof answer, .expect = sizeof answer
    };
    static struct raw raw;
    pthread_t thread;

    floor_open(&server, &raw, &thread);
    round_trips("floor_round_trip", &raw);
    floor_end(&server, &raw, thread);
}

static void native_echo(void)
{
    struct bench_host server = { .cpu = bench_cpu[0], .conns_max = 64, .main = bench_echo_main };
    struct weir_dev *end[2];
    static struct raw raw;

    bench_wire(end);
    server.dev = end[0];
    host_start(&server, "10.0.0.1/24", "10.0.0.2");
    raw_open(&raw, end[1], 1, false);
    raw_connect_all(&raw);
    round_trips("echo_round_trip", &raw);
    host_stop(&server);
    raw_close(&raw);
    weir_dev_close(end[1]);
}

/* --- the stack at both ends --- */

static struct {
    uint64_t bytes;
    double seconds;
    struct weir_hist hist;
} both;

enum { BULK_CHUNK = 262144 };

static void bulk_serve(void *arg)
{
    static uint8_t data[BULK_CHUNK];

    while (weir_recv(arg, data, sizeof data, WEIR_NEVER) > 0)
        ;
    weir_close(arg);
}

static void bulk_server_main(void *arg)
{
    struct bench_host *host = arg;
    struct weir_listener *listener;
    struct weir_scope scope;
    struct weir_conn *conn;

    if (weir_listen(&listener, "10.0.0.1:80", NULL) < 0)
        exit(1);
    weir_scope_init(&scope);
    weir_spawn(&scope, bench_stop_when_over, host);
    atomic_store(&host->up, true);
    if (weir_accept(listener, &conn, WEIR_NEVER) == 0)
        bulk_serve(conn);
    weir_listener_close(listener);
    weir_scope_join(&scope, WEIR_NEVER);
}

static void bulk_client_main(void *arg)
{
    static uint8_t data[BULK_CHUNK];
    struct bench_host *host = arg;
    struct weir_conn *conn;
    double begin, end;

    atomic_store(&host->up, true);
    if (weir_connect(&conn, "10.0.0.1:80", weir_after(WEIR_SEC(5))) < 0)
        exit(1);
    for (end = bench_now() + bench_seconds / 4; bench_now() < end;)
        weir_send(conn, data, sizeof data, WEIR_NEVER);
    begin = bench_now();
    for (end = begin; end < begin + bench_seconds; end = bench_now()) {
        weir_send(conn, data, sizeof data, WEIR_NEVER);
        both.bytes += sizeof data;
    }
    both.seconds = end - begin;
    weir_close(conn);
}

static void ping_client_main(void *arg)
{
    struct bench_host *host = arg;
    struct weir_conn *conn;
    char data[64] = { 0 };
    double end;

    atomic_store(&host->up, true);
    if (weir_connect(&conn, "10.0.0.1:80", weir_after(WEIR_SEC(5))) < 0)
        exit(1);
    end = bench_now() + bench_seconds;
    for (uint64_t i = 0; i % 1024 != 0 || bench_now() < end; i++) {
        uint64_t before = weir_cycles();

        weir_send(conn, data, sizeof data, WEIR_NEVER);
        for (size_t got = 0; got < sizeof data;)
            got += (size_t)weir_recv(conn, data + got, sizeof data - got, WEIR_NEVER);
        if (i > 1000)
            weir_hist_record(&both.hist, (weir_cycles() - before) * 1000 / weir_cycles_per_us());
    }
    weir_close(conn);
}

static void both_ends(void (*server_main)(void *), void (*client_main)(void *))
{
    struct bench_host server = { .cpu = bench_cpu[0], .conns_max = 64, .main = server_main };
    struct bench_host client = { .cpu = bench_cpu[1], .conns_max = 64, .main = client_main };
    struct weir_dev *end[2];

    memset(&both, 0, sizeof both);
    weir_hist_init(&both.hist);
    bench_wire(end);
    server.dev = end[0];
    client.dev = end[1];
    host_start(&server, "10.0.0.1/24", NULL);
    host_start(&client, "10.0.0.2/24", NULL);
    pthread_join(client.thread, NULL);
    weir_native_shared_close(client.shared);
    host_stop(&server);
}

static void native_bulk(void)
{
    both_ends(bulk_server_main, bulk_client_main);
    bench_row("bulk_both_ends", (double)both.bytes * 8 / both.seconds / 1e9, "Gbit/s",
              "one flow, MTU 1500, software checksums, copies on both sides");
}

static void native_ping(void)
{
    char note[64];

    both_ends(bench_echo_main, ping_client_main);
    snprintf(note, sizeof note, "p50; p99 %.2f us",
             (double)weir_hist_percentile(&both.hist, 99) / 1e3);
    bench_row("echo_both_ends", (double)weir_hist_percentile(&both.hist, 50) / 1e3, "us", note);
}

/* --- memory --- */

static uint64_t resident_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long size, resident = 0;

    if (!file || fscanf(file, "%lu %lu", &size, &resident) != 2)
        resident = 0;
    if (file)
        fclose(file);
    return (uint64_t)resident * 4096;
}

/* Accepts and keeps. */
static void park_main(void *arg)
{
    struct bench_host *host = arg;
    struct weir_conn **conns = calloc(host->conns_max, sizeof(struct weir_conn *));
    struct weir_listen_config listen;
    struct weir_listener *listener;
    struct weir_scope scope;
    uint32_t count = 0;

    weir_listen_config_init(&listen);
    listen.accepted_max = 1024;
    if (!conns || weir_listen(&listener, "10.0.0.1:80", &listen) < 0)
        exit(1);
    weir_scope_init(&scope);
    weir_spawn(&scope, bench_stop_when_over, host);
    atomic_store(&host->up, true);
    while (weir_accept(listener, &conns[count], WEIR_NEVER) == 0)
        count++;
    weir_listener_close(listener);
    for (uint32_t i = 0; i < count; i++)
        weir_abort(conns[i]);
    weir_scope_join(&scope, WEIR_NEVER);
    free(conns);
}

static void park(const char *name, uint32_t conns)
{
    struct bench_host server = { .cpu = bench_cpu[0], .conns_max = conns + 64, .main = park_main };
    struct weir_dev *end[2];
    static struct raw raw;
    uint64_t before, extra, others;
    char note[96];
    double begin;

    bench_wire(end);
    server.dev = end[0];
    host_start(&server, "10.0.0.1/24", "10.0.0.2");
    raw_open(&raw, end[1], conns, false);
    before = resident_bytes();
    begin = bench_now();
    raw_connect_all(&raw);
    begin = bench_now() - begin;
    for (int i = 0; i < 1000000; i++)
        raw_turn(&raw);
    extra = resident_bytes() - before;
    /* what the client and the array of handles keep: not the stack's */
    others = (sizeof(struct raw_conn) + sizeof(void *)) * (uint64_t)conns +
             raw.pkts.pool.made * raw.pkts.pool.size + raw.pkts.views.made * raw.pkts.views.size;
    extra -= weir_min_u64(extra, others);
    snprintf(note, sizeof note, "%u established, at %.2f M handshakes/s; %.1f MB", raw.opened,
             conns / begin / 1e6, (double)extra / 1e6);
    bench_row(name, (double)extra / conns, "bytes each", note);
    host_stop(&server);
    raw_close(&raw);
    weir_dev_close(end[1]);
}

static void million(void)
{
    park("million_connections", 1000000);
}

/* --- the program --- */

static const struct figure {
    const char *name;
    void (*run)(void);
} figures[] = {
    { "kernel", bench_kernel }, { "floor", floor_rate },
    { "http", http64 },         { "pipelined", http64_pipelined },
    { "http100k", http100k },   { "floor_echo", floor_echo },
    { "echo", native_echo },    { "ping", native_ping },
    { "bulk", native_bulk },    { "million", million },
};

static int usage(int status)
{
    fprintf(
        status ? stderr : stdout,
        "usage: bench_native [--cpus A,B] [--seconds S] [--rounds N] [--json] [FIGURE ...]\n"
        "       bench_native --count N [--sampled] http|echo|bulk_in|bulk_out|call\n"
        "The native stack over an in-memory wire between two CPUs.  With --count, a fixed number\n"
        "of requests (of bulk: of 1,448 bytes), in one thread, for perf/layers.py.  Figures:");
    for (size_t i = 0; i < WEIR_COUNT(figures); i++)
        fprintf(status ? stderr : stdout, " %s", figures[i].name);
    fprintf(status ? stderr : stdout, "\n");
    return status;
}

static int run_figure(const char *name)
{
    for (size_t i = 0; i < WEIR_COUNT(figures); i++) {
        if (strcmp(figures[i].name, name) == 0) {
            figures[i].run();
            return 0;
        }
    }
    fprintf(stderr, "bench_native: there is no figure '%s' (--help lists them)\n", name);
    return 2;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "cpus", required_argument, NULL, 'c' },   { "seconds", required_argument, NULL, 's' },
        { "rounds", required_argument, NULL, 'r' }, { "json", no_argument, NULL, 'j' },
        { "count", required_argument, NULL, 'n' },  { "sampled", no_argument, NULL, 'p' },
        { "help", no_argument, NULL, 'h' },         { NULL, 0, NULL, 0 }
    };
    struct weir_cpu_list cpus;
    int rounds = 1, option, status = 0;
    long long units = 0;
    bool sampled = false;

    if (weir_cpu_allowed(&cpus) < 0)
        return fprintf(stderr, "bench_native: the CPUs cannot be told\n"), 1;
    bench_cpu[0] = cpus.cpu[0];
    bench_cpu[1] = cpus.cpu[cpus.count > 1];
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 's')
            bench_seconds = atof(optarg);
        else if (option == 'r')
            rounds = atoi(optarg);
        else if (option == 'j')
            json = true;
        else if (option == 'n')
            units = atoll(optarg);
        else if (option == 'p')
            sampled = true;
        else if (option != 'c' || sscanf(optarg, "%u,%u", &bench_cpu[0], &bench_cpu[1]) != 2)
            return usage(option == 'h' ? 0 : 2);
    }
    if (bench_seconds <= 0 || rounds < 1 || units < 0 || (units > 0 && optind + 1 != argc))
        return usage(2);
    if (units > 0)
        return bench_count(argv[optind], (uint64_t)units, sampled);
    if (bench_cpu[0] == bench_cpu[1])
        return fprintf(stderr, "bench_native: needs two CPUs\n"), 1;
    weir_cpu_pin(bench_cpu[1]);
    for (int round = 0; round < rounds && status == 0; round++) {
        for (int i = optind; i < argc && status == 0; i++)
            status = run_figure(argv[i]);
        for (size_t i = 0; optind == argc && i < WEIR_COUNT(figures); i++)
            figures[i].run();
    }
    return status;
}
