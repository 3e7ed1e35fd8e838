/* there_and_back.c ADDR:PORT BYTES [--OPTION VALUE]... - the native stack as a client, by the byte.
 *
 * Each shard connects to a server that echoes, sends its part of the bytes while they come back,
 * and shuts down; all of them must come back as they went, and then the end.  The bytes are a
 * function of shard and place, so that none can stand for another.  The options are weir's own. */
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weir/weir.h>

enum { CHUNK = 65536 };

#define PATIENCE weir_after(WEIR_SEC(120))

struct task {
    const char *address;
    uint64_t bytes; /* of all shards */
    _Atomic uint64_t back;
    _Atomic int failed;
};

struct flow {
    struct task *task;
    struct weir_conn *conn;
    uint64_t salt, bytes;
};

static void fail(struct task *task, const char *what, int64_t result)
{
    fprintf(stderr, "there_and_back: shard %u: %s (%s)\n", weir_shard_id(), what,
            result < 0 ? strerror((int)-result) : "the end");
    atomic_store(&task->failed, 1);
}

/* splitmix64 by Sebastiano Vigna (prng.di.unimi.it), public domain. */
static uint64_t word_at(uint64_t salt, uint64_t index)
{
    uint64_t z = (salt << 40) + (index + 1) * UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static void fill(uint8_t *to, uint64_t salt, uint64_t at, size_t len)
{
    for (size_t i = 0; i < len; i++, at++)
        to[i] = (uint8_t)(word_at(salt, at / 8) >> (8 * (at % 8)));
}

static void send_all(void *arg)
{
    static _Thread_local uint8_t data[CHUNK];
    const struct flow *flow = arg;

    for (uint64_t at = 0; at < flow->bytes;) {
        size_t len = flow->bytes - at < CHUNK ? (size_t)(flow->bytes - at) : CHUNK;
        int64_t n;

        fill(data, flow->salt, at, len);
        n = weir_send(flow->conn, data, len, PATIENCE);
        if (n != (int64_t)len) {
            fail(flow->task, "cannot send", n);
            return;
        }
        at += len;
    }
    if (weir_shutdown(flow->conn) < 0)
        fail(flow->task, "cannot shut down", -1);
}

/* Until the end, which must not come before all is there. */
static void receive_all(const struct flow *flow)
{
    static _Thread_local uint8_t data[CHUNK], want[CHUNK];
    uint64_t at = 0;
    int64_t n;

    while ((n = weir_recv(flow->conn, data, sizeof data, PATIENCE)) > 0) {
        fill(want, flow->salt, at, (size_t)n);
        if (memcmp(data, want, (size_t)n) != 0) {
            fail(flow->task, "other bytes came back than were sent", 0);
            return;
        }
        at += (uint64_t)n;
        atomic_fetch_add(&flow->task->back, (uint64_t)n);
    }
    if (n < 0 || at != flow->bytes)
        fail(flow->task, "not all came back", n);
}

static void shard_main(void *arg)
{
    struct flow flow = { .task = arg, .salt = weir_shard_id() + 1 };
    struct weir_scope scope;
    int error;

    flow.bytes = flow.task->bytes / weir_shard_count();
    if (weir_shard_id() == 0)
        flow.bytes += flow.task->bytes % weir_shard_count();
    error = weir_connect(&flow.conn, flow.task->address, PATIENCE);
    if (error < 0) {
        fail(flow.task, "cannot connect", error);
        return;
    }
    weir_scope_init(&scope);
    error = weir_spawn(&scope, send_all, &flow);
    if (error < 0)
        fail(flow.task, "cannot spawn", error);
    else
        receive_all(&flow);
    if (atomic_load(&flow.task->failed))
        weir_scope_cancel(&scope);
    weir_scope_join(&scope, WEIR_NEVER);
    weir_close(flow.conn);
}

int main(int argc, char **argv)
{
    struct task task = { .address = argc > 2 ? argv[1] : NULL };
    struct weir_config config;
    char why[256];

    weir_config_init(&config);
    task.bytes = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
    if (argc < 3 || argc % 2 == 0 || task.bytes == 0) {
        fprintf(stderr, "usage: there_and_back ADDR:PORT BYTES [--OPTION VALUE]...\n");
        return 2;
    }
    for (int i = 3; i < argc; i += 2)
        if (weir_config_set(&config, argv[i] + 2, argv[i + 1], why, sizeof why) < 0) {
            fprintf(stderr, "there_and_back: %s: %s\n", argv[i], why);
            return 2;
        }
    if (weir_run(&config, shard_main, &task) < 0)
        return 1;
    printf("%llu bytes came back\n", (unsigned long long)atomic_load(&task.back));
    return atomic_load(&task.failed) || atomic_load(&task.back) != task.bytes;
}
