/* suite_stream.c - the stack suite: bytes arrive whole, in order, in any size of piece. */
#include <limits.h>
#include "tests/net/stack_suite.h"

/* --- echo --- */

static void echo_serve(void *arg)
{
    struct weir_conn *conn = arg;
    char data[256];
    int64_t n;

    while ((n = weir_recv(conn, data, sizeof data, SOON)) > 0)
        check_int(weir_send(conn, data, (size_t)n, SOON), n);
    check_int(n, 0);
    weir_close(conn);
}

static void echo(void *arg)
{
    struct weir_scope scope;
    struct pair pair;

    (void)arg;
    weir_scope_init(&scope);
    pair_open(&pair);
    check_int(weir_spawn(&scope, echo_serve, pair.b), 0);
    for (unsigned i = 0; i < 20; i++) {
        stream_send(pair.a, 1 + i * 37, 0, i);
        stream_recv(pair.a, 1 + i * 37, 0, i);
    }
    check_int(weir_shutdown(pair.a), 0);
    expect_eof(pair.a);
    weir_close(pair.a);
    check_int(weir_scope_join(&scope, SOON), 0);
}

/* --- big transfers, both ways at once --- */

struct bulk {
    struct weir_conn *conn;
    unsigned salt;
};

static void bulk_send(void *arg)
{
    const struct bulk *bulk = arg;
    uint64_t at = 0, total = (uint64_t)stack_under_test.bulk;
    uint8_t *data = malloc(100000);

    check(data != NULL);
    while (at < total) {
        size_t len = 1 + weir_random(100000);

        len = len < total - at ? len : total - at;
        stream_fill(data, len, at, bulk->salt);
        check_int(weir_send(bulk->conn, data, len, SOON), (int64_t)len);
        at += len;
    }
    free(data);
    check_int(weir_shutdown(bulk->conn), 0);
}

static void bulk_recv(void *arg)
{
    const struct bulk *bulk = arg;
    uint8_t *data = malloc(30000);
    uint64_t at = 0;
    int64_t n;

    check(data != NULL);
    while ((n = weir_recv(bulk->conn, data, 1 + weir_random(30000), SOON)) > 0) {
        stream_check(data, (size_t)n, at, bulk->salt);
        at += (uint64_t)n;
    }
    check_int(n, 0);
    check_int((int64_t)at, stack_under_test.bulk);
    free(data);
}

static void bulk_both_ways(void *arg)
{
    struct weir_scope scope;
    struct pair pair;
    struct bulk bulk[4];

    (void)arg;
    weir_scope_init(&scope);
    pair_open(&pair);
    bulk[0] = bulk[1] = (struct bulk){ pair.a, 1 };
    bulk[2] = bulk[3] = (struct bulk){ pair.b, 2 };
    bulk[1].salt = 2; /* what b sends */
    bulk[3].salt = 1;
    for (int i = 0; i < 4; i += 2) {
        check_int(weir_spawn(&scope, bulk_send, &bulk[i]), 0);
        check_int(weir_spawn(&scope, bulk_recv, &bulk[i + 1]), 0);
    }
    check_int(weir_scope_join(&scope, SOON), 0);
    pair_close(&pair);
}

/* --- small pieces --- */

enum { BYTES = 2000 };

static void bytes_send(void *arg)
{
    for (uint64_t at = 0; at < BYTES; at++)
        stream_send(arg, 1, at, 0);
}

static void byte_by_byte(void *arg)
{
    struct weir_scope scope;
    struct pair pair;

    (void)arg;
    weir_scope_init(&scope);
    pair_open(&pair);
    check_int(weir_spawn(&scope, bytes_send, pair.a), 0);
    for (uint64_t at = 0; at < BYTES; at++)
        stream_recv(pair.b, 1, at, 0);
    check_int(weir_scope_join(&scope, SOON), 0);
    pair_close(&pair);
}

/* --- iovecs: more than IOV_MAX, empty ones among them --- */

enum { IOVECS = 2 * IOV_MAX + 100 };

struct gather {
    struct weir_conn *conn;
    size_t total;
};

static void gather_recv(void *arg)
{
    const struct gather *gather = arg;

    stream_recv(gather->conn, gather->total, 0, 3);
}

static void many_iovecs(void *arg)
{
    static uint8_t data[IOVECS * 40];
    static struct iovec iov[IOVECS];
    struct weir_scope scope;
    struct gather gather = { 0 };
    struct pair pair;

    (void)arg;
    stream_fill(data, sizeof data, 0, 3);
    for (size_t i = 0; i < IOVECS; i++) {
        iov[i] = (struct iovec){ data + gather.total, weir_random(3) ? weir_random(40) : 0 };
        gather.total += iov[i].iov_len;
    }
    weir_scope_init(&scope);
    pair_open(&pair);
    gather.conn = pair.b;
    check_int(weir_spawn(&scope, gather_recv, &gather), 0);
    check_int(weir_sendv(pair.a, iov, IOVECS, SOON), (int64_t)gather.total);
    check_int(weir_scope_join(&scope, SOON), 0);
    pair_close(&pair);
}

static void empty_sends(void *arg)
{
    const struct iovec iov[3] = { { NULL, 0 }, { NULL, 0 }, { NULL, 0 } };
    struct pair pair;

    (void)arg;
    pair_open(&pair);
    check_int(weir_send(pair.a, "", 0, SOON), 0);
    check_int(weir_sendv(pair.a, iov, 0, SOON), 0);
    check_int(weir_sendv(pair.a, iov, 3, SOON), 0);
    stream_send(pair.a, 1, 0, 0); /* and nothing came before it */
    stream_recv(pair.b, 1, 0, 0);
    pair_close(&pair);
}

/* --- buffers that change hands --- */

static uint64_t bufs_out(void)
{
    struct weir_shard_stats stats;

    weir_shard_stats(&stats);
    return stats.bufs;
}

static void bufs_change_hands(void *arg)
{
    struct pair pair;
    struct weir_buf *buf;
    uint64_t before, at = 0;

    (void)arg;
    pair_open(&pair);
    before = bufs_out();
    buf = weir_buf_alloc(1000);
    check(buf != NULL && buf->len == 0);
    stream_fill(buf->data, 1000, 0, 4);
    buf->len = 1000;
    weir_buf_ref(buf);
    check_int(weir_send_buf(pair.a, buf, SOON), 1000); /* gives one of the two up */
    stream_check(buf->data, 1000, 0, 4);
    weir_buf_free(buf);
    check_int((int64_t)bufs_out(), (int64_t)before);
    while (at < 1000) {
        int64_t n = weir_recv_buf(pair.b, &buf, SOON);

        check(n > 0 && buf != NULL && buf->len == (size_t)n);
        stream_check(buf->data, buf->len, at, 4);
        check_int((int64_t)bufs_out(), (int64_t)before + 1);
        check_int(weir_send_buf(pair.b, buf, SOON), n); /* and back */
        check_int((int64_t)bufs_out(), (int64_t)before);
        at += (uint64_t)n;
    }
    stream_recv(pair.a, 1000, 0, 4);
    check_int(weir_shutdown(pair.a), 0);
    check_int(weir_recv_buf(pair.b, &buf, SOON), 0);
    check(buf == NULL);
    weir_buf_free(NULL);
    pair_close(&pair);
}

/* A buffer is given up also when the send fails. */
static void failed_send_frees_its_buf(void *arg)
{
    struct pair pair;
    struct weir_buf *buf;

    (void)arg;
    pair_open(&pair);
    check_int(weir_shutdown(pair.a), 0);
    buf = weir_buf_alloc(10);
    check(buf != NULL);
    buf->len = 10;
    stream_fill(buf->data, 10, 0, 0);
    check_int(weir_send_buf(pair.a, buf, SOON), -EPIPE);
    buf = weir_buf_alloc(10);
    check(buf != NULL); /* its len is 0 */
    check_int(weir_send_buf(pair.b, buf, SOON), 0);
    check_int((int64_t)bufs_out(), 0);
    pair_close(&pair);
}

static const struct suite_case suite_stream[] = {
    { "echo", echo, { 0 } },
    { "bulk_both_ways", bulk_both_ways, { .seeds = 8, .narrow = true } },
    { "byte_by_byte", byte_by_byte, { .seeds = 8, .narrow = true } },
    { "many_iovecs", many_iovecs, { .narrow = true } },
    { "empty_sends", empty_sends, { 0 } },
    { "bufs_change_hands", bufs_change_hands, { 0 } },
    { "failed_send_frees_its_buf", failed_send_frees_its_buf, { 0 } },
};
