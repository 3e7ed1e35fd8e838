/* bench_parser.c - what it costs to parse the head of a request, by instruction set.
 *
 * Three requests: the one of wrk, one as a browser sends it, and one of an API client behind two
 * proxies with a long target.  Each is parsed over and over from one place, so caches are warm and
 * branches learnt: it compares versions of the parser with one another, it does not say what a
 * server with a thousand clients sees.  Cycles are those of the time-stamp counter. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "core/cpu.h"
#include "net/http/parser.h"

static const char plaintext[] = "GET /plaintext HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n";

static const char browser[] =
    "GET /assets/images/header/logo-large.png?v=20240117 HTTP/1.1\r\n"
    "Host: www.example.com\r\n"
    "Connection: keep-alive\r\n"
    "sec-ch-ua: \"Chromium\";v=\"120\", \"Not A(Brand\";v=\"24\"\r\n"
    "sec-ch-ua-mobile: ?0\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/120.0.0.0 Safari/537.36\r\n"
    "Accept: image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8\r\n"
    "Sec-Fetch-Site: same-origin\r\n"
    "Sec-Fetch-Mode: no-cors\r\n"
    "Referer: https://www.example.com/products/catalogue/index.html\r\n"
    "Accept-Encoding: gzip, deflate, br\r\n"
    "Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\n"
    "Cookie: session=0f4c1f8a2b7d4e6f9a3c5b7d; theme=dark\r\n"
    "\r\n";

static const char client[] =
    "POST /api/v2/organisations/8f14e45f/projects/c9f0f895/reports:export"
    "?from=2024-01-01T00%3A00%3A00Z&to=2024-02-01T00%3A00%3A00Z&fields=id,name,owner,state,"
    "created,updated&sort=-updated&page%5Bsize%5D=200 HTTP/1.1\r\n"
    "Host: api.internal.example.com:8443\r\n"
    "Content-Type: application/json\r\n"
    "Content-Length: 4096\r\n"
    "Authorization: Bearer eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwib"
    "mFtZSI6IkpvaG4gRG9lIiwiYWRtaW4iOnRydWUsImlhdCI6MTUxNjIzOTAyMn0.NHVaYe26MbtOYhSKkoKYdFVo"
    "mg4i8ZJd8_-RU8VNbftc4TSMb4bXP3l3YlNWACwyXPGffz5aXHc6lty1Y2t4SWRqGteragsVdZufDn5BlnJl9pd"
    "R_kdVFUsra2rWKEofkZeIC4yWytE58sMIihvo9H1ScmmVwBcQP6XETqYd0aSHp1gOa9RdUPDvoXQ5oqygTqVtxa"
    "DR6wUFKrKItgBMzWIdNZ6y7O9E0DhEPTbE9rfBo6KTFsHAZnMg4k68CDp2woYIaXbmYTWcvbzIuHO7_37GT79XdI"
    "wkm95QJ7hYC9RiwrV7mesbY4PAahERJawntho0my942XheVLmGwLMBkQ\r\n"
    "X-Request-Id: 6ba7b810-9dad-11d1-80b4-00c04fd430c8\r\n"
    "X-Forwarded-For: 203.0.113.195, 198.51.100.17, 192.0.2.44\r\n"
    "X-Forwarded-Proto: https\r\n"
    "Via: 1.1 edge-7 (proxy), 1.1 mesh-2\r\n"
    "Accept: */*\r\n"
    "\r\n";

static const struct sample {
    const char *name, *data;
    size_t len;
} samples[] = {
    { "plaintext", plaintext, sizeof plaintext - 1 },
    { "browser", browser, sizeof browser - 1 },
    { "client", client, sizeof client - 1 },
};

enum { ROUNDS = 200, TIMES = 2000 };

static const struct weir_http_limits limits = { 8192, 16384, WEIR_HTTP_FIELDS };

static double seconds_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void parse_times(const struct sample *sample, uint64_t times)
{
    struct weir_http_parser parser;

    for (uint64_t i = 0; i < times; i++) {
        weir_http_parser_init(&parser);
        if (weir_http_parse(&parser, &limits, sample->data, sample->len) != 1) {
            fprintf(stderr, "bench_parser: %s is refused: %s\n", sample->name, parser.error);
            exit(1);
        }
        __asm__ volatile("" : : "r"(&parser) : "memory");
    }
}

/* The best of many short rounds: the others were disturbed by whatever else the machine does. */
static double sample_ns(const struct sample *sample, uint64_t times)
{
    double best = 1e9;

    for (int round = 0; round < ROUNDS; round++) {
        double start = seconds_now();
        double ns;

        parse_times(sample, times);
        ns = (seconds_now() - start) * 1e9 / (double)times;
        if (ns < best)
            best = ns;
    }
    return best;
}

static void bench(uint64_t times, const char *only)
{
    const char *isa;

    printf("%-10s %-10s %6s %12s %8s %12s\n", "request", "version", "bytes", "ns/request", "GB/s",
           "bytes/cycle");
    for (size_t s = 0; s < sizeof samples / sizeof samples[0]; s++) {
        for (unsigned i = 0; (isa = weir_http_parser_isa(i)) != NULL; i++) {
            double ns;

            if ((only != NULL && strcmp(only, isa) != 0) || !weir_http_parser_use(i))
                continue;
            ns = sample_ns(&samples[s], times);
            printf("%-10s %-10s %6zu %12.1f %8.2f %12.3f\n", samples[s].name, isa, samples[s].len,
                   ns, (double)samples[s].len / ns,
                   (double)samples[s].len * 1e3 / ns / (double)weir_cycles_per_us());
        }
    }
}

int main(int argc, char **argv)
{
    uint64_t times = TIMES;

    if (argc > 1 && strcmp(argv[1], "--help") == 0) {
        printf("usage: %s [TIMES [VERSION]]\n"
               "Parses three requests TIMES times a round (default %d, best of %d rounds) with\n"
               "each version of the parser that this CPU runs, or only with VERSION.\n",
               argv[0], TIMES, ROUNDS);
        return 0;
    }
    if (argc > 1)
        times = strtoull(argv[1], NULL, 10);
    if (times == 0) {
        fprintf(stderr, "%s: TIMES is a number above 0; see --help\n", argv[0]);
        return 2;
    }
    bench(times, argc > 2 ? argv[2] : NULL);
    return 0;
}
