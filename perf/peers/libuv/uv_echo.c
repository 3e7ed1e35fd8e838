/* uv_echo.c - sends back what it receives, on libuv: uv_echo PORT SHARDS.
 *
 * A loop per shard on a thread of its own, each with a listener of its own (SO_REUSEPORT).  What
 * was read is tried to be written at once, from the loop's one buffer; only what the socket does
 * not take is copied and queued, and the connection is not read from until that has gone. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <uv.h>

enum { BUFFER = 65536, BACKLOG = 4096, SHARDS_MAX = 1024 };

struct shard {
    uv_loop_t loop;
    uv_tcp_t listener;
    char data[BUFFER];
    int port;
};

struct conn {
    uv_tcp_t tcp;
    uv_write_t write;
    uv_buf_t rest; /* what `write` sends; ours to free */
};

static void check(int result, const char *what)
{
    if (result < 0) {
        fprintf(stderr, "uv_echo: %s: %s\n", what, uv_strerror(result));
        exit(1);
    }
}

static void conn_closed(uv_handle_t *handle)
{
    struct conn *conn = handle->data;

    free(conn->rest.base);
    free(conn);
}

static void conn_close(struct conn *conn)
{
    if (!uv_is_closing((uv_handle_t *)&conn->tcp))
        uv_close((uv_handle_t *)&conn->tcp, conn_closed);
}

/* The loop's buffer: it is free again when conn_read returns. */
static void conn_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct shard *shard = handle->loop->data;

    (void)suggested;
    *buf = uv_buf_init(shard->data, sizeof shard->data);
}

static void conn_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buf);

static void conn_written(uv_write_t *write, int status)
{
    struct conn *conn = write->data;

    free(conn->rest.base);
    conn->rest = uv_buf_init(NULL, 0);
    if (status < 0 || uv_read_start((uv_stream_t *)&conn->tcp, conn_alloc, conn_read) < 0)
        conn_close(conn);
}

static int conn_queue(struct conn *conn, const char *data, size_t len)
{
    char *copy = malloc(len);

    if (!copy)
        return UV_ENOMEM;
    memcpy(copy, data, len);
    conn->rest = uv_buf_init(copy, (unsigned)len);
    conn->write.data = conn;
    uv_read_stop((uv_stream_t *)&conn->tcp);
    return uv_write(&conn->write, (uv_stream_t *)&conn->tcp, &conn->rest, 1, conn_written);
}

static void conn_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buf)
{
    struct conn *conn = stream->data;
    uv_buf_t all;
    int sent;

    if (count == 0)
        return;
    if (count < 0) {
        conn_close(conn);
        return;
    }
    all = uv_buf_init(buf->base, (unsigned)count);
    sent = uv_try_write(stream, &all, 1);
    if (sent == UV_EAGAIN)
        sent = 0;
    if (sent < 0 ||
        (sent < count && conn_queue(conn, buf->base + sent, (size_t)(count - sent)) < 0))
        conn_close(conn);
}

static void shard_accept(uv_stream_t *listener, int status)
{
    struct conn *conn;

    if (status < 0)
        return;
    conn = calloc(1, sizeof *conn);
    if (!conn)
        return;
    uv_tcp_init(listener->loop, &conn->tcp);
    conn->tcp.data = conn;
    if (uv_accept(listener, (uv_stream_t *)&conn->tcp) < 0 || uv_tcp_nodelay(&conn->tcp, 1) < 0 ||
        uv_read_start((uv_stream_t *)&conn->tcp, conn_alloc, conn_read) < 0)
        conn_close(conn);
}

static int listening_socket(void)
{
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) < 0)
        check(UV_EIO, "socket");
    return fd;
}

static void shard_run(void *arg)
{
    struct shard *shard = arg;
    struct sockaddr_in addr;

    check(uv_loop_init(&shard->loop), "loop");
    shard->loop.data = shard;
    check(uv_ip4_addr("127.0.0.1", shard->port, &addr), "address");
    check(uv_tcp_init(&shard->loop, &shard->listener), "listener");
    check(uv_tcp_open(&shard->listener, listening_socket()), "listener");
    check(uv_tcp_bind(&shard->listener, (const struct sockaddr *)&addr, 0), "bind");
    check(uv_listen((uv_stream_t *)&shard->listener, BACKLOG, shard_accept), "listen");
    uv_run(&shard->loop, UV_RUN_DEFAULT);
}

int main(int argc, char **argv)
{
    int port = argc == 3 ? atoi(argv[1]) : 0;
    int count = argc == 3 ? atoi(argv[2]) : 0;
    struct shard *shards;
    uv_thread_t thread;

    if (port < 1 || port > 65535 || count < 1 || count > SHARDS_MAX) {
        fprintf(stderr, "usage: uv_echo PORT SHARDS\n");
        return 2;
    }
    shards = calloc((size_t)count, sizeof *shards);
    if (!shards)
        check(UV_ENOMEM, "shards");
    for (int i = 0; i < count; i++)
        shards[i].port = port;
    for (int i = 1; i < count; i++)
        check(uv_thread_create(&thread, shard_run, &shards[i]), "thread");
    shard_run(&shards[0]);
    return 0;
}
