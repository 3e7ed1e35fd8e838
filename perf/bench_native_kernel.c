/* bench_native_kernel.c - the kernel's TCP over loopback, by the barest programs: one epoll loop
 * that answers 131 bytes to each 100, both sides polling for the round trip, and one bulk flow with
 * cubic (bbr, where it is the default, is half as fast on loopback). */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <weir/hist.h>
#include "core/base.h"
#include "core/cpu.h"
#include "perf/bench_native.h"

enum { CONNS = 64, ASK = 100, ANSWER = 131, BULK = 262144 };

struct kernel {
    int listener, count;
    int server[CONNS], client[CONNS];
    _Atomic bool over;
    uint64_t served;
};

static void give_up(const char *what)
{
    perror(what);
    exit(1);
}

static void kernel_open(struct kernel *k, int count)
{
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof addr;
    int one = 1;

    memset(k, 0, sizeof *k);
    k->count = count;
    k->listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(k->listener, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5);
    if (bind(k->listener, (struct sockaddr *)&addr, sizeof addr) < 0 ||
        listen(k->listener, CONNS) < 0 ||
        getsockname(k->listener, (struct sockaddr *)&addr, &len) < 0)
        give_up("bench_native: loopback");
    for (int i = 0; i < count; i++) {
        k->client[i] = socket(AF_INET, SOCK_STREAM, 0);
        setsockopt(k->client[i], IPPROTO_TCP, TCP_CONGESTION, "cubic", 5);
        if (connect(k->client[i], (struct sockaddr *)&addr, sizeof addr) < 0)
            give_up("bench_native: connect");
        k->server[i] = accept(k->listener, NULL, NULL);
        setsockopt(k->client[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        setsockopt(k->server[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    }
}

static void kernel_close(struct kernel *k)
{
    for (int i = 0; i < k->count; i++) {
        close(k->client[i]);
        close(k->server[i]);
    }
    close(k->listener);
}

/* Answers each message of `ask` bytes on any of the sockets. */
static void answer_all(struct kernel *k, const int *fds, size_t ask, size_t answer, bool spin)
{
    static _Thread_local char data[4096];
    struct epoll_event events[CONNS];
    int epoll = epoll_create1(0);

    for (int i = 0; i < k->count; i++)
        epoll_ctl(epoll, EPOLL_CTL_ADD, fds[i],
                  &(struct epoll_event){ .events = EPOLLIN, .data.fd = fds[i] });
    while (!atomic_load_explicit(&k->over, memory_order_relaxed)) {
        int count = epoll_wait(epoll, events, CONNS, spin ? 0 : 100);

        for (int i = 0; i < count; i++) {
            if (recv(events[i].data.fd, data, ask, MSG_DONTWAIT) != (ssize_t)ask ||
                send(events[i].data.fd, data, answer, 0) != (ssize_t)answer)
                continue;
            k->served++;
        }
    }
    close(epoll);
}

static void *server_answers(void *arg)
{
    struct kernel *k = arg;

    weir_cpu_pin(bench_cpu[0]);
    answer_all(k, k->server, ASK, ANSWER, false);
    return NULL;
}

static void *client_asks(void *arg)
{
    struct kernel *k = arg;
    char data[ANSWER];

    weir_cpu_pin(bench_cpu[1]);
    while (!atomic_load_explicit(&k->over, memory_order_relaxed))
        for (int i = 0; i < k->count; i++)
            if (recv(k->client[i], data, ANSWER, MSG_DONTWAIT) == ANSWER &&
                send(k->client[i], data, ASK, 0) != ASK)
                give_up("bench_native: send");
    return NULL;
}

static void kernel_rate(void)
{
    static struct kernel k;
    char data[ASK] = { 0 }, note[64];
    pthread_t server, client;
    double begin, rate;
    uint64_t before;

    kernel_open(&k, CONNS);
    for (int i = 0; i < CONNS; i++)
        if (send(k.client[i], data, ASK, 0) != ASK)
            give_up("bench_native: send");
    pthread_create(&server, NULL, server_answers, &k);
    pthread_create(&client, NULL, client_asks, &k);
    usleep((useconds_t)(bench_seconds * 1e6 / 4));
    before = k.served;
    begin = bench_now();
    usleep((useconds_t)(bench_seconds * 1e6));
    rate = (double)(k.served - before) / (bench_now() - begin);
    atomic_store(&k.over, true);
    pthread_join(server, NULL);
    pthread_join(client, NULL);
    kernel_close(&k);
    snprintf(note, sizeof note, "%.0f ns each: x, the unit of the figures below", 1e9 / rate);
    bench_row("kernel_epoll_64", rate / 1e6, "M requests/s", note);
}

static void *server_pings(void *arg)
{
    struct kernel *k = arg;

    weir_cpu_pin(bench_cpu[0]);
    answer_all(k, k->server, 64, 64, true);
    return NULL;
}

static void kernel_ping(void)
{
    static struct kernel k;
    static struct weir_hist hist;
    char data[64] = { 0 };
    pthread_t server;
    double end;

    kernel_open(&k, 1);
    weir_hist_init(&hist);
    pthread_create(&server, NULL, server_pings, &k);
    end = bench_now() + bench_seconds;
    for (uint64_t i = 0; i % 64 != 0 || bench_now() < end; i++) {
        uint64_t before = weir_cycles();

        if (send(k.client[0], data, sizeof data, 0) != sizeof data)
            give_up("bench_native: send");
        while (recv(k.client[0], data, sizeof data, MSG_DONTWAIT) != sizeof data)
            ;
        if (i > 100)
            weir_hist_record(&hist, (weir_cycles() - before) * 1000 / weir_cycles_per_us());
    }
    atomic_store(&k.over, true);
    pthread_join(server, NULL);
    kernel_close(&k);
    bench_row("kernel_round_trip", (double)weir_hist_percentile(&hist, 50) / 1e3, "us",
              "p50, both sides polling");
}

static void *server_swallows(void *arg)
{
    static char data[BULK];
    struct kernel *k = arg;
    ssize_t n;

    weir_cpu_pin(bench_cpu[0]);
    while ((n = recv(k->server[0], data, sizeof data, 0)) > 0)
        k->served += (uint64_t)n;
    return NULL;
}

static void kernel_bulk(void)
{
    static char data[BULK];
    static struct kernel k;
    uint64_t sent = 0;
    pthread_t server;
    double begin, end;

    kernel_open(&k, 1);
    pthread_create(&server, NULL, server_swallows, &k);
    for (end = bench_now() + bench_seconds / 4; bench_now() < end;)
        if (send(k.client[0], data, sizeof data, 0) < 0)
            give_up("bench_native: send");
    begin = bench_now();
    for (end = begin; end < begin + bench_seconds; end = bench_now())
        sent += (uint64_t)send(k.client[0], data, sizeof data, 0);
    shutdown(k.client[0], SHUT_WR);
    pthread_join(server, NULL);
    kernel_close(&k);
    bench_row("kernel_bulk", (double)sent * 8 / (end - begin) / 1e9, "Gbit/s",
              "one flow, loopback, cubic, no checksums");
}

void bench_kernel(void)
{
    kernel_rate();
    kernel_ping();
    kernel_bulk();
}
