/* load.c - weir-load: makes load for an HTTP or echo server and says how it was served.
 *
 *     weir-load http://127.0.0.1:8080/                     64 connections, 10 s, closed loop
 *     weir-load --rate 20000 http://127.0.0.1:8080/        open loop: 20,000 requests a second
 *     weir-load --echo 64 127.0.0.1:7000                   round trips of 64 bytes
 *
 * It runs on any stack of weir, so it is a client of the native one as well. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include "load.h"

enum { REQUEST_MAX = 65536, HEADERS_MAX = 32, CONNS_MAX = 1000000, PIPELINE_MAX = 1000 };

struct options {
    struct load load;
    const char *url, *method, *body;
    const char *header[HEADERS_MAX];
    unsigned headers;
    size_t echo; /* bytes; 0: HTTP */
    bool json, quiet;
    char host[WEIR_ADDR_TEXT];
    char *request;
};

static const char help_text[] =
    "usage: weir-load [options] http://ADDR:PORT/PATH\n"
    "       weir-load [options] --echo BYTES ADDR:PORT | unix:PATH\n"
    "  --connections N      how many, over all shards; default 64\n"
    "  --duration TIME      of the measured part; default 10s\n"
    "  --warmup TIME        before it; default 1s\n"
    "  --requests N         stop after so many\n"
    "  --rate R             open loop: R requests per second, due at fixed moments; latency "
    "counts\n"
    "                       from the moment a request was due\n"
    "  --pipeline N         requests on their way per connection; default 1\n"
    "  --per-connection N   a new connection after N requests; default: keep it\n"
    "  --timeout TIME       for one response; default 10s\n"
    "  --method M, --header 'NAME: VALUE', --body TEXT\n"
    "  --echo BYTES         an echo server: send so many bytes, expect them back\n"
    "  --json               the result as JSON\n"
    "  --quiet              no progress while it runs\n"
    "  --shards N, --cpus LIST, --poll MODE, --stack NAME, --dev, --ip ...: as for weir-http\n"
    "  --help, --version\n\n"
    "Exit status: 0; 1 when there was any error; 2 for a command line that makes no sense.\n";

static int wrong(const char *what, const char *why)
{
    fprintf(stderr, "weir-load: %s: %s (--help lists the options)\n", what, why);
    return 2;
}

/* --- the command line --- */

static int parse_count(const char *flag, const char *text, uint64_t min, uint64_t max,
                       uint64_t *value)
{
    char why[96], *end;

    errno = 0;
    *value = strtoull(text, &end, 10);
    if (text[0] >= '0' && text[0] <= '9' && *end == 0 && errno == 0 && *value >= min &&
        *value <= max)
        return -1;
    snprintf(why, sizeof why, "'%.32s' is not a number from %llu to %llu", text,
             (unsigned long long)min, (unsigned long long)max);
    return wrong(flag, why);
}

/* "10s", "500ms", "2m": read by the parser of the runtime's own options. */
static int parse_span(const char *flag, const char *text, weir_time *span)
{
    struct weir_config scratch;
    char why[160];

    weir_config_init(&scratch);
    if (weir_config_set(&scratch, "grace", text, why, sizeof why) < 0) {
        snprintf(why, sizeof why, "'%.32s' is not a time such as 500ms or 10s", text);
        return wrong(flag, why);
    }
    *span = scratch.grace;
    return -1;
}

static int parse_rate(const char *flag, const char *text, double *rate)
{
    char *end;

    *rate = strtod(text, &end);
    if (end != text && *end == 0 && *rate > 0 && *rate <= 1e9)
        return -1;
    return wrong(flag, "not a rate above 0 such as 20000");
}

static int set_count(struct options *o, const char *flag, const char *text)
{
    struct load_plan *plan = &o->load.plan;
    uint64_t value;
    int status;

    if (strcmp(flag, "--connections") == 0) {
        status = parse_count(flag, text, 1, CONNS_MAX, &value);
        plan->conns = (unsigned)value;
    } else if (strcmp(flag, "--requests") == 0) {
        status = parse_count(flag, text, 1, UINT64_MAX, &value);
        plan->requests = value;
    } else if (strcmp(flag, "--pipeline") == 0) {
        status = parse_count(flag, text, 1, PIPELINE_MAX, &value);
        plan->pipeline = (unsigned)value;
    } else if (strcmp(flag, "--per-connection") == 0) {
        status = parse_count(flag, text, 1, UINT32_MAX - 1, &value);
        plan->per_conn = (unsigned)value;
    } else {
        status = parse_count(flag, text, 1, REQUEST_MAX, &value);
        o->echo = (size_t)value;
    }
    return status;
}

static int add_header(struct options *o, const char *flag, const char *text)
{
    if (!strchr(text, ':') || strpbrk(text, "\r\n"))
        return wrong(flag, "not a field such as 'Accept: text/plain'");
    if (o->headers == HEADERS_MAX)
        return wrong(flag, "more than 32 fields");
    o->header[o->headers++] = text;
    return -1;
}

/* What is about the runtime: --poll busy, --stack native, ... */
static int set_runtime(struct options *o, const char *flag, const char *text)
{
    char why[256] = "";
    int error = weir_config_set(&o->load.config, flag + 2, text, why, sizeof why);

    if (error == 0)
        return -1;
    return wrong(flag, error == -ENOENT ? "no such option" : why);
}

static bool is_one_of(const char *flag, const char *const *names)
{
    while (*names && strcmp(flag, *names) != 0)
        names++;
    return *names != NULL;
}

static int set_option(struct options *o, const char *flag, const char *text)
{
    static const char *const counts[] = { "--connections",    "--requests", "--pipeline",
                                          "--per-connection", "--echo",     NULL };
    struct load_plan *plan = &o->load.plan;

    if (is_one_of(flag, counts))
        return set_count(o, flag, text);
    if (strcmp(flag, "--duration") == 0)
        return parse_span(flag, text, &plan->duration);
    if (strcmp(flag, "--warmup") == 0)
        return parse_span(flag, text, &plan->warmup);
    if (strcmp(flag, "--timeout") == 0)
        return parse_span(flag, text, &plan->timeout);
    if (strcmp(flag, "--rate") == 0)
        return parse_rate(flag, text, &plan->rate);
    if (strcmp(flag, "--header") == 0)
        return add_header(o, flag, text);
    if (strcmp(flag, "--method") == 0)
        o->method = text;
    else if (strcmp(flag, "--body") == 0)
        o->body = text;
    else
        return set_runtime(o, flag, text);
    return -1;
}

/* An option without a value; -2: it is none. */
static int set_switch(struct options *o, const char *flag)
{
    if (strcmp(flag, "--json") == 0)
        o->json = true;
    else if (strcmp(flag, "--quiet") == 0)
        o->quiet = true;
    else if (strcmp(flag, "--help") == 0)
        return fputs(help_text, stdout), 0;
    else if (strcmp(flag, "--version") == 0)
        return printf("weir-load %s\n", weir_version()), 0;
    else
        return -2;
    return -1;
}

static int read_argument(struct options *o, char **argv, int *at)
{
    char *flag = argv[(*at)++], *value, name[32];
    int status;

    if (strncmp(flag, "--", 2) != 0) {
        if (o->url)
            return wrong(flag, "a second address");
        o->url = flag;
        return -1;
    }
    status = set_switch(o, flag);
    if (status != -2)
        return status;
    value = strchr(flag, '=');
    if (value) {
        snprintf(name, sizeof name, "%.*s", (int)(value - flag), flag);
        return set_option(o, name, value + 1);
    }
    if (!argv[*at])
        return wrong(flag, "needs a value");
    return set_option(o, flag, argv[(*at)++]);
}

/* --- the request --- */

/* "http://ADDR:PORT/PATH" into host and path; the port may be missing: 80. */
static const char *split_url(struct options *o)
{
    const char *host = strncmp(o->url, "http://", 7) == 0 ? o->url + 7 : o->url;
    const char *path = strchr(host, '/');
    size_t len = path ? (size_t)(path - host) : strlen(host);
    bool port = memrchr(host, ':', len) > memrchr(host, ']', len);

    if (strncmp(host, "unix:", 5) == 0) {
        snprintf(o->host, sizeof o->host, "%s", host);
        return "/";
    }
    snprintf(o->host, sizeof o->host, "%.*s%s", (int)len, host,
             port && memrchr(host, ':', len) ? "" : ":80");
    return path ? path : "/";
}

static int build_http(struct options *o, const char *path)
{
    int len = 0;

    len += snprintf(o->request, REQUEST_MAX, "%s %s HTTP/1.1\r\nHost: %s\r\n", o->method, path,
                    strncmp(o->host, "unix:", 5) == 0 ? "localhost" : o->host);
    for (unsigned i = 0; i < o->headers && len < REQUEST_MAX; i++)
        len += snprintf(o->request + len, REQUEST_MAX - (size_t)len, "%s\r\n", o->header[i]);
    if (o->body && len < REQUEST_MAX)
        len += snprintf(o->request + len, REQUEST_MAX - (size_t)len, "Content-Length: %zu\r\n",
                        strlen(o->body));
    if (len < REQUEST_MAX)
        len +=
            snprintf(o->request + len, REQUEST_MAX - (size_t)len, "\r\n%s", o->body ? o->body : "");
    if (len >= REQUEST_MAX)
        return wrong("the request", "longer than 65,535 bytes");
    o->load.plan.request_len = (size_t)len;
    return -1;
}

static int build_request(struct options *o)
{
    struct load_plan *plan = &o->load.plan;
    const char *path;

    if (!o->url)
        return wrong("no address", "give one such as http://127.0.0.1:8080/");
    path = split_url(o);
    if (weir_addr_parse(&plan->peer, o->host) < 0)
        return wrong(o->url, "not an address such as http://127.0.0.1:8080/ (names are not "
                             "resolved)");
    if (plan->rate > 0 && plan->pipeline > 1)
        return wrong("--rate", "not together with --pipeline");
    plan->request = o->request;
    plan->echo = o->echo > 0;
    if (!plan->echo)
        return build_http(o, path);
    for (size_t i = 0; i < o->echo; i++)
        o->request[i] = (char)('a' + i % 26);
    plan->request_len = o->echo;
    return -1;
}

/* --- while it runs --- */

/* Seconds, whole; the load's own clock is precise. */
static void progress(const struct options *o, unsigned seconds)
{
    static uint64_t before;
    uint64_t done = 0;

    for (unsigned i = 0; i < o->load.shards; i++)
        done += atomic_load_explicit(&o->load.shard[i].done, memory_order_relaxed);
    fprintf(stderr, "\r%4u s  %12llu responses  %10llu/s ", seconds, (unsigned long long)done,
            (unsigned long long)(done - before));
    before = done;
}

static void show_progress(void *arg)
{
    const struct options *o = arg;
    unsigned seconds = 0;

    while (weir_sleep(WEIR_SEC(1)) == 0)
        progress(o, ++seconds);
    fprintf(stderr, "\r%60s\r", "");
}

static void shard_main(void *arg)
{
    struct options *o = arg;
    bool shows = weir_shard_id() == 0 && !o->quiet && isatty(STDERR_FILENO);
    struct weir_scope scope;

    weir_scope_init(&scope);
    if (shows)
        weir_spawn(&scope, show_progress, o); /* without it, then */
    load_run(&o->load, &o->load.shard[weir_shard_id()]);
    weir_scope_cancel(&scope);
    weir_scope_join(&scope, WEIR_NEVER);
}

/* --- the result --- */

struct result {
    struct weir_hist latency, connect;
    uint64_t bytes, done, error[LOAD_ERRORS], errors;
    double seconds, cpu;
};

static const char *const error_names[] = { "connect", "send",   "receive",
                                           "timeout", "format", "status" };

static void gather(const struct load *load, struct result *result)
{
    struct rusage usage;
    weir_time span = 0;

    weir_hist_init(&result->latency);
    weir_hist_init(&result->connect);
    for (unsigned i = 0; i < load->shards; i++) {
        const struct load_shard *shard = &load->shard[i];

        weir_hist_merge(&result->latency, &shard->latency);
        weir_hist_merge(&result->connect, &shard->connect);
        result->bytes += shard->bytes;
        result->done += shard->done;
        for (int e = 0; e < LOAD_ERRORS; e++) {
            result->error[e] += shard->error[e];
            result->errors += shard->error[e];
        }
        if (shard->ended - shard->began > span)
            span = shard->ended - shard->began;
    }
    result->seconds = (double)span / 1e9;
    getrusage(RUSAGE_SELF, &usage);
    result->cpu = (double)usage.ru_utime.tv_sec + (double)usage.ru_stime.tv_sec +
                  ((double)usage.ru_utime.tv_usec + (double)usage.ru_stime.tv_usec) / 1e6;
}

static double per_second(const struct result *result)
{
    return result->seconds > 0 ? (double)result->latency.count / result->seconds : 0;
}

static const double percents[] = { 50, 90, 99, 99.9, 99.99 };

/* 12.3 us, 4.56 ms: three digits. */
static const char *span_text(char text[24], double ns)
{
    static const char *const units[] = { "ns", "us", "ms", "s" };
    int unit = 0;

    while (ns >= 999.5 && unit < 3) {
        ns /= 1000;
        unit++;
    }
    snprintf(text, 24, "%.*f %s", ns < 9.995 ? 2 : ns < 99.95 ? 1 : 0, ns, units[unit]);
    return text;
}

static void print_text(const struct options *o, const struct result *r)
{
    char text[24];

    printf("%.0f requests/s: %llu in %.2f s, %u connections, %u shard%s, %s\n", per_second(r),
           (unsigned long long)r->latency.count, r->seconds, o->load.plan.conns, o->load.shards,
           o->load.shards == 1 ? "" : "s", o->load.plan.rate > 0 ? "open loop" : "closed loop");
    if (o->load.plan.rate > 0)
        printf("asked for      %.0f requests/s\n", o->load.plan.rate);
    printf("latency        mean %s", span_text(text, weir_hist_mean(&r->latency)));
    for (size_t i = 0; i < sizeof percents / sizeof percents[0]; i++)
        printf("  p%g %s", percents[i],
               span_text(text, (double)weir_hist_percentile(&r->latency, percents[i])));
    printf("  max %s\n", span_text(text, (double)r->latency.max));
    printf("connect        %llu, p50 %s, max %s\n", (unsigned long long)r->connect.count,
           span_text(text, (double)weir_hist_percentile(&r->connect, 50)),
           span_text((char[24]){ 0 }, (double)r->connect.max));
    printf("received       %.1f MB\n", (double)r->bytes / 1e6);
    printf("errors         %llu", (unsigned long long)r->errors);
    for (int e = 0; e < LOAD_ERRORS; e++)
        if (r->error[e] > 0)
            printf("  %s %llu", error_names[e], (unsigned long long)r->error[e]);
    printf("\n");
}

static void print_json(const struct options *o, const struct result *r)
{
    printf("{\"requests_per_second\": %.1f, \"requests\": %llu, \"seconds\": %.3f, "
           "\"connections\": %u, \"rate\": %.1f, \"bytes\": %llu, \"cpu_seconds\": %.3f,\n"
           " \"latency_ns\": {\"mean\": %.0f, \"min\": %llu, \"max\": %llu",
           per_second(r), (unsigned long long)r->latency.count, r->seconds, o->load.plan.conns,
           o->load.plan.rate, (unsigned long long)r->bytes, r->cpu, weir_hist_mean(&r->latency),
           (unsigned long long)(r->latency.count ? r->latency.min : 0),
           (unsigned long long)r->latency.max);
    for (size_t i = 0; i < sizeof percents / sizeof percents[0]; i++)
        printf(", \"p%g\": %llu", percents[i],
               (unsigned long long)weir_hist_percentile(&r->latency, percents[i]));
    printf("},\n \"errors\": {");
    for (int e = 0; e < LOAD_ERRORS; e++)
        printf("%s\"%s\": %llu", e > 0 ? ", " : "", error_names[e],
               (unsigned long long)r->error[e]);
    printf("}}\n");
}

/* --- */

static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static void options_init(struct options *o)
{
    struct weir_config *config = &o->load.config;

    *o = (struct options){ .method = "GET" };
    o->load.plan = (struct load_plan){ .conns = 64,
                                       .pipeline = 1,
                                       .warmup = WEIR_SEC(1),
                                       .duration = WEIR_SEC(10),
                                       .timeout = WEIR_SEC(10) };
    weir_config_init(config);
    config->shards = 1;
    config->quiet = true;
    config->grace = 0; /* Ctrl-C ends it at once, with the result so far */
    config->conns_max = CONNS_MAX;
    config->fibers_max = CONNS_MAX + 16;
}

static int run(struct options *o)
{
    static struct result result;
    int shards = weir_config_shards(&o->load.config);

    if (shards < 0)
        return wrong("--shards", "no CPU to run on");
    o->load.shards = (unsigned)shards;
    o->load.shard = calloc((size_t)shards, sizeof *o->load.shard);
    if (!o->load.shard) {
        fprintf(stderr, "weir-load: no memory\n");
        return 1;
    }
    for (int i = 0; i < shards; i++) {
        weir_hist_init(&o->load.shard[i].latency);
        weir_hist_init(&o->load.shard[i].connect);
    }
    if (weir_run(&o->load.config, shard_main, o) < 0)
        return 2; /* the runtime has said why */
    gather(&o->load, &result);
    if (o->json)
        print_json(o, &result);
    else
        print_text(o, &result);
    free(o->load.shard);
    return result.errors > 0 || result.latency.count == 0 ? 1 : 0;
}

int main(int argc, char **argv)
{
    static char request[REQUEST_MAX];
    static struct options o;
    int status = -1;

    options_init(&o);
    o.request = request;
    for (int at = 1; at < argc && status < 0;)
        status = read_argument(&o, argv, &at);
    if (status < 0)
        status = build_request(&o);
    if (status >= 0)
        return status;
    raise_descriptor_limit();
    return run(&o);
}
