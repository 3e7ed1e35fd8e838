/* bench_native.h - what the parts of bench_native share. */
#ifndef WEIR_PERF_BENCH_NATIVE_H
#define WEIR_PERF_BENCH_NATIVE_H

#include <pthread.h>
#include <signal.h>
#include "net/native/native.h"

/* The request of all figures. */
#define BENCH_REQUEST                                                   \
    "GET /plaintext HTTP/1.1\r\nHost: 10.0.0.1\r\nUser-Agent: weir\r\n" \
    "Accept: text/plain, */*\r\nX: 123456666\r\n\r\n"
_Static_assert(sizeof BENCH_REQUEST - 1 == 100, "it has 100 bytes");

extern unsigned bench_cpu[2]; /* server, client */
extern double bench_seconds;  /* of each figure */

double bench_now(void);
void bench_row(const char *name, double value, const char *unit, const char *note);

/* One shard with a stack of its own at one end of the wire. */
struct bench_host {
    struct weir_dev *dev;
    struct weir_native_config config;
    struct weir_native_shared *shared;
    unsigned cpu;
    uint32_t conns_max;
    void (*main)(void *arg); /* with the host; sets `up` when it can be talked to */
    _Atomic bool up, over;
    pthread_t thread;
};

/* The wire between two hosts, and what the stack of one is to be; `secret` 0: any. */
void bench_wire(struct weir_dev *end[2]);
void bench_host_share(struct bench_host *host, const char *ip, const char *gateway,
                      uint64_t secret);
void bench_host_config(const struct bench_host *host, struct weir_config *config);
int bench_host_open(struct weir_driver **driver, struct weir_shard *shard,
                    const struct weir_config *config, void *arg);

/* Spawned by the mains below: ends the shard's work soon after somebody has set host->over. */
void bench_stop_when_over(void *arg);

void bench_http_main(void *arg);
void bench_echo_main(void *arg);

/* The same exchanges over the kernel's loopback (bench_native_kernel.c). */
void bench_kernel(void);

/* `units` of one exchange, in one thread and without a clock (bench_native_count.c); with `sampled`
 * it prints where it was, too.  An exit status. */
int bench_count(const char *exchange, uint64_t units, bool sampled);

/* Notes where the thread is while bench_sampling is set; prints "sample OBJECT ADDRESS" for each
 * (bench_native_sample.c). */
extern volatile sig_atomic_t bench_sampling;
void bench_sample_start(void);
void bench_sample_print(void);

#endif
