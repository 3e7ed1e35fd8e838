/* suite_limits.c - the stack suite: out of buffers, connections, descriptors; and sharing load.
 *
 * Peers that must not use what the shard is short of are sockets of this test's own: plain blocking
 * ones, to loopback, where a connect needs nobody to accept. */
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "tests/net/stack_suite.h"

/* --- fewer receive buffers than connections with data --- */

enum { HUNGRY = 48, MEAL = 600 };

struct hungry {
    struct pair pair;
    bool take_buf;
    struct weir_sem *hold; /* who has a buffer keeps it while this cannot be had */
};

static void hungry_recv(void *arg)
{
    struct hungry *hungry = arg;
    struct weir_buf *buf;
    uint64_t at = 0;

    if (!hungry->take_buf) {
        stream_recv(hungry->pair.b, MEAL, 0, 8);
        return;
    }
    while (at < MEAL) {
        int64_t n = weir_recv_buf(hungry->pair.b, &buf, SOON);

        check(n > 0);
        check_int(weir_sem_wait(hungry->hold, 1, SOON), 0);
        weir_sem_post(hungry->hold, 1);
        stream_check(buf->data, buf->len, at, 8);
        at += buf->len;
        weir_buf_free(buf);
    }
    check_int((int64_t)at, MEAL);
}

static void few_buffers_feed_all(void *arg)
{
    static struct hungry hungry[HUNGRY];
    struct weir_shard_stats stats;
    struct weir_scope scope;
    struct weir_sem hold;

    (void)arg;
    weir_sem_init(&hold, 0);
    weir_scope_init(&scope);
    for (int i = 0; i < HUNGRY; i++) {
        hungry[i] = (struct hungry){ .take_buf = i % 3 != 0, .hold = &hold };
        pair_open(&hungry[i].pair);
        check_int(weir_spawn(&scope, hungry_recv, &hungry[i]), 0);
    }
    for (int i = 0; i < HUNGRY; i++)
        stream_send(hungry[i].pair.a, MEAL, 0, 8);
    do { /* until somebody holds what others wait for */
        weir_yield();
        weir_shard_stats(&stats);
    } while (stats.bufs < 2);
    weir_sem_post(&hold, 1);
    check_int(weir_scope_join(&scope, SOON), 0);
    for (int i = 0; i < HUNGRY; i++)
        pair_close(&hungry[i].pair);
}

/* Whoever keeps what was received, for however long, keeps nobody else from receiving. */
static void kept_buffers_starve_nobody(void *arg)
{
    struct weir_buf *kept[HUNGRY];
    struct pair pair[HUNGRY];

    (void)arg;
    for (int i = 0; i < HUNGRY; i++) {
        pair_open(&pair[i]);
        stream_send(pair[i].a, MEAL, 0, 8);
        check(weir_recv_buf(pair[i].b, &kept[i], SOON) > 0);
    }
    for (int i = 0; i < HUNGRY; i++) {
        stream_check(kept[i]->data, kept[i]->len, 0, 8);
        weir_buf_free(kept[i]);
        pair_close(&pair[i]);
    }
}

/* --- peers of our own --- */

static int raw_connect(struct weir_listener *listener)
{
    struct weir_addr addr;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    check(fd >= 0);
    weir_listener_addr(listener, &addr);
    check_int(connect(fd, &addr.sa, addr.len), 0);
    return fd;
}

/* --- the maximum of connections --- */

enum { CONNS_MAX = 8, PEERS = 20 };

static void conns_max_pauses_accepting(void *arg)
{
    char text[WEIR_ADDR_TEXT];
    struct weir_listener *listener;
    struct weir_conn *conn[PEERS];
    int peer[PEERS], open = 0;

    (void)arg;
    listen_somewhere(&listener, text, NULL);
    for (int i = 0; i < PEERS; i++)
        peer[i] = raw_connect(listener);
    for (; open < CONNS_MAX; open++)
        check_int(weir_accept(listener, &conn[open], SOON), 0);
    for (; open < PEERS; open++) {
        struct weir_shard_stats stats;

        check_int(weir_accept(listener, &conn[open], weir_after(WEIR_MS(5))), -ETIMEDOUT);
        weir_shard_stats(&stats);
        check_int((int64_t)stats.conns, CONNS_MAX);
        weir_close(conn[open - CONNS_MAX]);
        check_int(weir_accept(listener, &conn[open], SOON), 0); /* goes on by itself */
    }
    for (int i = PEERS - CONNS_MAX; i < PEERS; i++)
        weir_close(conn[i]);
    for (int i = 0; i < PEERS; i++)
        close(peer[i]);
    weir_listener_close(listener);
}

/* --- out of descriptors --- */

enum { STORM = 40, SPARE = 12 };

/* In a process of its own: STORM connections at once, each is served a byte or shed; then, when
 * those are closed, one more, which must be served.  Exits with the number that was served first.
 */
static int storm_peer(uint16_t port)
{
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_port = port,
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    const struct timeval patience = { .tv_sec = 20 };
    int fd[STORM + 1], served = 0;
    char byte;

    for (int i = 0; i <= STORM; i++) {
        fd[i] = socket(AF_INET, SOCK_STREAM, 0);
        setsockopt(fd[i], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    }
    for (int i = 0; i < STORM; i++)
        if (connect(fd[i], (struct sockaddr *)&to, sizeof to) < 0)
            return 101;
    for (int i = 0; i < STORM; i++) {
        ssize_t n = recv(fd[i], &byte, 1, 0);

        if (n < 0 && errno == EAGAIN)
            return 102; /* neither served nor shed */
        served += n == 1;
    }
    for (int i = 0; i < STORM; i++)
        close(fd[i]);
    if (connect(fd[STORM], (struct sockaddr *)&to, sizeof to) < 0)
        return 103;
    /* Its turn may come while those just closed are still being noticed: shed then, try again. */
    for (int tries = 0; recv(fd[STORM], &byte, 1, 0) != 1; tries++) {
        if (tries == 100)
            return 104;
        close(fd[STORM]);
        usleep(10000);
        fd[STORM] = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(fd[STORM], (struct sockaddr *)&to, sizeof to) < 0)
            return 105;
    }
    return served;
}

static void storm_serve(void *arg)
{
    char byte = 'x';

    if (weir_send(arg, &byte, 1, SOON) == 1)
        weir_recv(arg, &byte, 1, SOON); /* until the peer closes */
    weir_close(arg);
}

struct storm {
    pid_t peer;
    int served;
};

/* Waits for the peer's process without holding the shard. */
static void storm_wait(void *arg)
{
    struct storm *storm = arg;
    int status;

    while (waitpid(storm->peer, &status, WNOHANG) == 0)
        check_int(weir_sleep(WEIR_MS(2)), 0);
    check(WIFEXITED(status));
    storm->served = WEXITSTATUS(status);
    weir_stop();
}

static int descriptors_open(void)
{
    int open = 0;

    for (int fd = 0; fd < 4096; fd++)
        open += fcntl(fd, F_GETFD) >= 0;
    return open;
}

static void out_of_descriptors_sheds_and_recovers(void *arg)
{
    char text[WEIR_ADDR_TEXT];
    struct weir_listener *listener;
    struct weir_shard_stats stats;
    struct weir_scope scope;
    struct weir_addr addr;
    struct weir_conn *conn;
    struct rlimit before, low;
    struct storm storm;
    int error;

    (void)arg;
    listen_somewhere(&listener, text, NULL);
    weir_listener_addr(listener, &addr);
    storm.peer = fork();
    check(storm.peer >= 0);
    if (storm.peer == 0)
        _exit(storm_peer(addr.in.sin_port));
    getrlimit(RLIMIT_NOFILE, &before);
    low = (struct rlimit){ (rlim_t)descriptors_open() + SPARE, before.rlim_max };
    setrlimit(RLIMIT_NOFILE, &low);
    weir_scope_init(&scope);
    check_int(weir_spawn(&scope, storm_wait, &storm), 0);
    while ((error = weir_accept(listener, &conn, SOON)) == 0)
        check_int(weir_spawn(&scope, storm_serve, conn), 0);
    check_int(error, -ESHUTDOWN);
    check_int(weir_scope_join(&scope, SOON), 0);
    setrlimit(RLIMIT_NOFILE, &before);
    weir_listener_close(listener);
    weir_shard_stats(&stats);
    check(stats.accepts_shed > 0);
    check(storm.served > 0 && storm.served < STORM);
}

/* --- the least loaded shard gets the next connection --- */

enum { LOADS = 60 };

static _Atomic int loads[2], loads_left;

static void load_accept(struct weir_listener *listener, struct weir_conn **conn)
{
    int error, me = (int)weir_shard_id();

    while ((error = weir_accept(listener, &conn[loads[me]], SOON)) == 0) {
        atomic_fetch_add(&loads[me], 1);
        if (atomic_fetch_sub(&loads_left, 1) == 1)
            weir_stop();
    }
    check_int(error, -ESHUTDOWN);
}

static void the_least_loaded_gets_the_next(void *arg)
{
    unsigned me = weir_shard_id();
    struct weir_conn *conn[LOADS];
    struct weir_listener *listener;
    int peer[LOADS];

    (void)arg;
    atomic_store(&loads[me], 0);
    atomic_store(&loads_left, LOADS);
    check_int(weir_listen(&listener, "127.0.0.1:0", NULL), 0);
    meet(2);
    for (int i = 0; me == 0 && i < LOADS; i++)
        peer[i] = raw_connect(listener);
    load_accept(listener, conn);
    meet(2);
    check_int(loads[0] + loads[1], LOADS);
    check(loads[0] >= LOADS / 2 - 2 && loads[0] <= LOADS / 2 + 2);
    for (int i = 0; i < loads[me]; i++) {
        check_int(weir_send(conn[i], "x", 1, SOON), 1); /* they work where they went */
        weir_close(conn[i]);
    }
    for (int i = 0; me == 0 && i < LOADS; i++) {
        char byte;

        check_int(weir_sleep(0), 0);
        while (recv(peer[i], &byte, 1, MSG_DONTWAIT) != 1)
            check_int(weir_sleep(WEIR_US(100)), 0);
        check_int(byte, 'x');
        close(peer[i]);
    }
    weir_listener_close(listener);
}

static const struct suite_case suite_limits[] = {
    { "few_buffers_feed_all", few_buffers_feed_all, { .rx_bufs = 8 } },
    { "kept_buffers_starve_nobody", kept_buffers_starve_nobody, { .rx_bufs = 8 } },
    { "conns_max_pauses_accepting",
      conns_max_pauses_accepting,
      { .kernel = true, .conns_max = CONNS_MAX } },
    { "out_of_descriptors_sheds_and_recovers",
      out_of_descriptors_sheds_and_recovers,
      { .kernel = true } },
    { "the_least_loaded_gets_the_next",
      the_least_loaded_gets_the_next,
      { .kernel = true, .shards = 2, .balance = WEIR_BALANCE_LEAST } },
};
