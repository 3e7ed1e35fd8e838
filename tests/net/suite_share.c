/* suite_share.c - the stack suite: listeners that come and go at one address, the paths of
 * Unix-domain sockets, and what a completion sees of the clock. */
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "net/kernel/socket.h"
#include "tests/net/stack_suite.h"

/* --- the clock has moved on when a sleeping shard hears of something --- */

static _Atomic int64_t said_at;

struct hearing {
    struct weir_io rx;
    struct weir_future heard; /* with the time */
};

static void hear(struct weir_future *future)
{
    struct hearing *hearing = weir_container_of(future, struct hearing, rx.future);

    weir_future_set(&hearing->heard, weir_now());
}

static void hear_on(struct weir_listener *listener)
{
    struct hearing hearing;
    struct weir_conn *conn;
    char byte;

    check_int(weir_accept(listener, &conn, SOON), 0);
    weir_future_init(&hearing.heard, NULL);
    weir_recv_start(&hearing.rx, conn, &byte, 1);
    if (!weir_future_on_done(&hearing.rx.future, hear))
        hear(&hearing.rx.future);
    check(weir_await(&hearing.heard, WEIR_NEVER) >= said_at);
    check_int(hearing.rx.future.result, 1);
    weir_close(conn);
}

static void say_to(const char *text)
{
    struct weir_conn *conn;

    check_int(weir_connect(&conn, text, SOON), 0);
    check_int(weir_sleep(WEIR_MS(20)), 0);
    weir_yield();
    said_at = weir_now();
    stream_send(conn, 1, 0, 0);
    expect_eof(conn);
    weir_close(conn);
}

static void completions_see_the_time(void *arg)
{
    static char text[WEIR_ADDR_TEXT];
    struct weir_listener *listener = NULL;

    (void)arg;
    if (weir_shard_id() == 0)
        listen_somewhere(&listener, text, NULL);
    meet(2);
    if (listener) {
        hear_on(listener);
        weir_listener_close(listener);
    } else {
        say_to(text);
    }
}

/* --- one address, spelled in two ways --- */

static void spellings_share_an_address(void *arg)
{
    static char text[2][WEIR_ADDR_TEXT];
    unsigned me = weir_shard_id();
    struct weir_listener *listener;
    struct weir_addr addr;

    (void)arg;
    if (me == 0) {
        check_int(weir_listen(&listener, "*:0", NULL), 0);
        weir_listener_addr(listener, &addr);
        snprintf(text[0], sizeof text[0], "*:%u", ntohs(addr.in.sin_port));
        snprintf(text[1], sizeof text[1], "0.0.0.0:%u", ntohs(addr.in.sin_port));
    }
    meet(2);
    if (me == 1)
        check_int(weir_listen(&listener, text[1], NULL), 0);
    check_int(weir_listen(&(struct weir_listener *){ NULL }, text[me], NULL), -EADDRINUSE);
    meet(2);
    weir_listener_close(listener);
}

/* --- the shard that accepts for all leaves --- */

enum { ROUNDS = 10, GUESTS = 8 };

/* Every connection is served by whoever is left. */
static void guests_come(const char *text, struct weir_listener *listener)
{
    struct weir_conn *guest[GUESTS], *conn;

    for (int i = 0; i < GUESTS; i++)
        check_int(weir_connect(&guest[i], text, SOON), 0);
    for (int i = 0; i < GUESTS; i++) {
        check_int(weir_accept(listener, &conn, SOON), 0);
        stream_send(conn, 3, 0, 0);
        weir_close(conn);
    }
    for (int i = 0; i < GUESTS; i++) {
        stream_recv(guest[i], 3, 0, 0);
        expect_eof(guest[i]);
        weir_close(guest[i]);
    }
}

static void owners_take_turns(const char *text)
{
    unsigned me = weir_shard_id();
    struct weir_listener *listener = NULL;

    if (me == 0)
        check_int(weir_listen(&listener, text, NULL), 0);
    meet(2);
    for (unsigned round = 0; round < ROUNDS; round++) {
        if (me == round % 2) { /* has it, and leaves it to the other */
            meet(2);
            weir_listener_close(listener);
            meet(2);
        } else {
            check_int(weir_listen(&listener, text, NULL), 0);
            meet(2);
            meet(2);
            guests_come(text, listener);
        }
        meet(2);
    }
    if (me == ROUNDS % 2)
        weir_listener_close(listener);
}

/* A port that was free a moment ago. */
static void free_port(char *text)
{
    struct weir_listener *listener;

    listen_somewhere(&listener, text, NULL);
    weir_listener_close(listener);
}

static void the_owner_leaves(void *arg)
{
    static char text[WEIR_ADDR_TEXT];

    (void)arg;
    if (weir_shard_id() == 0)
        free_port(text);
    meet(2);
    owners_take_turns(text);
}

static void the_owner_leaves_a_path(void *arg)
{
    char text[WEIR_ADDR_TEXT];

    (void)arg;
    snprintf(text, sizeof text, "unix:/tmp/weir-owner-%d.sock", (int)getpid());
    owners_take_turns(text);
}

/* Whoever is the last to leave, and whoever is the first to come, at the same moment: never is the
 * address said to be in use. */
static void come_and_go(const char *text)
{
    struct weir_listener *listener;

    for (int i = 0; i < 300; i++) {
        check_int(weir_listen(&listener, text, NULL), 0);
        if (i % 3 == 0)
            check(weir_sleep(random_in(0, WEIR_US(200))) <= 0);
        weir_listener_close(listener);
        if (i % 5 == 0)
            weir_yield();
    }
}

static void listeners_come_and_go(void *arg)
{
    static char text[WEIR_ADDR_TEXT];

    (void)arg;
    if (weir_shard_id() == 0)
        free_port(text);
    meet(2);
    come_and_go(text);
}

static void paths_come_and_go(void *arg)
{
    char text[WEIR_ADDR_TEXT];

    (void)arg;
    snprintf(text, sizeof text, "unix:/tmp/weir-go-%d.sock", (int)getpid());
    come_and_go(text);
}

/* --- stopping: whoever had connected is served by one shard or the other --- */

enum { GUESTS_AT_STOP = 40 };

static _Atomic int served_at_stop;

static void serve_until_stopped(struct weir_listener *listener)
{
    struct weir_conn *conn;
    int error;

    while ((error = weir_accept(listener, &conn, SOON)) == 0) {
        stream_send(conn, 3, 0, 0);
        weir_close(conn);
        atomic_fetch_add(&served_at_stop, 1);
    }
    check_int(error, -ESHUTDOWN);
}

static void stop_among_several(const char *text)
{
    unsigned me = weir_shard_id();
    struct weir_conn *guest[GUESTS_AT_STOP];
    struct weir_listener *listener;

    atomic_store(&served_at_stop, 0);
    check_int(weir_listen(&listener, text, NULL), 0);
    meet(2);
    for (int i = 0; me == 1 && i < GUESTS_AT_STOP; i++)
        check_int(weir_connect(&guest[i], text, SOON), 0);
    if (me == 1)
        weir_stop();
    serve_until_stopped(listener);
    weir_listener_close(listener);
    for (int i = 0; me == 1 && i < GUESTS_AT_STOP; i++) {
        stream_recv(guest[i], 3, 0, 0);
        expect_eof(guest[i]);
        weir_close(guest[i]);
    }
    meet(2);
    check_int(served_at_stop, GUESTS_AT_STOP);
}

static void stop_serves_all_that_came(void *arg)
{
    static char text[WEIR_ADDR_TEXT];

    (void)arg;
    if (weir_shard_id() == 0)
        free_port(text);
    meet(2);
    stop_among_several(text);
}

static void stop_serves_all_that_came_by_path(void *arg)
{
    char text[WEIR_ADDR_TEXT];

    (void)arg;
    snprintf(text, sizeof text, "unix:/tmp/weir-stop-%d.sock", (int)getpid());
    stop_among_several(text);
}

/* --- more at once than a ring holds --- */

enum { CROWDS = 4500 };

struct crowd {
    struct pair pair[CROWDS];
    struct weir_io rx[2 * CROWDS];
    char byte[2 * CROWDS];
};

static void thousands_at_once(void *arg)
{
    struct crowd *crowd = malloc(sizeof *crowd);
    char text[WEIR_ADDR_TEXT];
    struct weir_listener *listener;
    struct rlimit limit;
    int count;

    (void)arg;
    getrlimit(RLIMIT_NOFILE, &limit);
    count = (int)weir_min_u64(CROWDS, (limit.rlim_cur - 100) / 2);
    check(crowd != NULL);
    listen_somewhere(&listener, text, NULL);
    for (int i = 0; i < count; i++)
        pair_connect(&crowd->pair[i], listener);
    for (int i = 0; i < count; i++) {
        weir_recv_start(&crowd->rx[2 * i], crowd->pair[i].a, &crowd->byte[2 * i], 1);
        weir_recv_start(&crowd->rx[2 * i + 1], crowd->pair[i].b, &crowd->byte[2 * i + 1], 1);
    }
    for (int i = 0; i < count; i++) /* every one is told before any is looked at */
        stream_send(crowd->pair[i].a, 1, 0, 0);
    for (int i = 0; i < count; i++)
        check_int(weir_await(&crowd->rx[2 * i + 1].future, SOON), 1);
    for (int i = 0; i < count; i++)
        weir_recv_start(&crowd->rx[2 * i + 1], crowd->pair[i].b, &crowd->byte[2 * i + 1], 1);
    for (int i = 0; i < count; i++)
        pair_close(&crowd->pair[i]);
    for (int i = 0; i < 2 * count; i++)
        check_int(weir_await(&crowd->rx[i].future, SOON), -ECANCELED);
    weir_listener_close(listener);
    free(crowd);
}

/* --- paths of Unix-domain sockets --- */

static struct weir_addr path_addr(char *text)
{
    struct weir_addr addr;

    snprintf(text, WEIR_ADDR_TEXT, "unix:/tmp/weir-path-%d.sock", (int)getpid());
    check_int(weir_addr_parse(&addr, text), 0);
    unlink(addr.un.sun_path);
    return addr;
}

static int path_bind(const struct weir_addr *addr)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    check(fd >= 0);
    check_int(bind(fd, &addr->sa, addr->len), 0);
    return fd;
}

static void a_dead_path_is_taken(void *arg)
{
    char text[WEIR_ADDR_TEXT];
    struct weir_addr addr = path_addr(text);
    struct weir_listener *listener;
    struct pair pair;

    (void)arg;
    close(path_bind(&addr)); /* as a program that crashed leaves it */
    check_int(weir_listen(&listener, text, NULL), 0);
    pair_connect(&pair, listener);
    pair_close(&pair);
    weir_listener_close(listener);
    while (access(addr.un.sun_path, F_OK) == 0)
        check_int(weir_sleep(WEIR_US(50)), 0);
}

/* A message that carries a descriptor ends a receive early: what comes behind it is there too. */
static void send_with_descriptor(int fd, char byte)
{
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control = { 0 };
    struct iovec iov = { &byte, 1 };
    struct msghdr message = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control
    };

    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
    check_int(sendmsg(fd, &message, 0), 1);
}

static void descriptors_from_peers_hold_nothing_up(void *arg)
{
    char text[WEIR_ADDR_TEXT], data[10];
    struct weir_addr addr = path_addr(text);
    struct weir_listener *listener;
    struct weir_conn *conn;
    int peer = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), got = 0;

    (void)arg;
    check_int(weir_listen(&listener, text, NULL), 0);
    check_int(connect(peer, &addr.sa, addr.len), 0);
    check_int(weir_accept(listener, &conn, SOON), 0);
    for (int i = 0; i < 3; i++)
        send_with_descriptor(peer, 'a');
    while (got < 3) {
        int64_t n = weir_recv(conn, data, sizeof data, SOON);

        check(n > 0);
        got += (int)n;
    }
    close(peer);
    expect_eof(conn);
    weir_close(conn);
    weir_listener_close(listener);
}

/* --- small segments leave at once unless the user wants it otherwise --- */

static int nodelay_of(const struct weir_conn *conn)
{
    socklen_t size = sizeof(int);
    int on = -1;

    check_int(getsockopt(weir_kernel_conn_of(conn)->fd, IPPROTO_TCP, TCP_NODELAY, &on, &size), 0);
    return on;
}

static void no_delay_is_the_default(void *arg)
{
    struct pair pair;

    (void)arg;
    pair_open(&pair);
    check(nodelay_of(pair.a) && nodelay_of(pair.b)); /* connected and accepted */
    check_int(weir_nodelay(pair.a, false), 0);
    check(!nodelay_of(pair.a) && nodelay_of(pair.b));
    pair_close(&pair);
}

static void a_living_path_is_left_alone(void *arg)
{
    char text[WEIR_ADDR_TEXT];
    struct weir_addr addr = path_addr(text);
    struct weir_listener *listener;
    struct weir_conn *conn;
    int other = path_bind(&addr), file;

    (void)arg;
    check_int(listen(other, 8), 0);
    check_int(weir_listen(&listener, text, NULL), -EADDRINUSE);
    check_int(weir_connect(&conn, text, SOON), 0); /* it still leads to the other one */
    weir_close(conn);
    close(other);
    unlink(addr.un.sun_path);

    file = open(addr.un.sun_path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    check(file >= 0);
    close(file);
    check_int(weir_listen(&listener, text, NULL), -EADDRINUSE);
    check_int(unlink(addr.un.sun_path), 0); /* no socket: it was not ours to remove */
}

static void a_path_that_changed_hands_stays(void *arg)
{
    char text[WEIR_ADDR_TEXT];
    struct weir_addr addr = path_addr(text);
    struct weir_listener *listener;
    struct stat before, after;
    int other;

    (void)arg;
    check_int(weir_listen(&listener, text, NULL), 0);
    check_int(unlink(addr.un.sun_path), 0);
    other = path_bind(&addr);
    check_int(stat(addr.un.sun_path, &before), 0);
    weir_listener_close(listener);
    check_int(weir_sleep(WEIR_MS(2)), 0);
    check_int(stat(addr.un.sun_path, &after), 0);
    check(before.st_ino == after.st_ino);
    close(other);
    unlink(addr.un.sun_path);
}

/* --- IPv4 through an IPv6 listener --- */

static void both_versions_of_ip(void *arg)
{
    struct weir_listen_config config;
    struct weir_listener *listener;
    char text[WEIR_ADDR_TEXT];
    struct weir_addr addr;
    struct pair pair;

    (void)arg;
    weir_listen_config_init(&config);
    config.ipv6_only = false;
    check_int(weir_listen(&listener, "[::]:0", &config), 0);
    weir_listener_addr(listener, &addr);
    snprintf(text, sizeof text, "127.0.0.1:%u", ntohs(addr.in6.sin6_port));
    check_int(weir_connect(&pair.a, text, SOON), 0);
    check_int(weir_accept(listener, &pair.b, SOON), 0);
    stream_send(pair.a, 10, 0, 0);
    stream_recv(pair.b, 10, 0, 0);
    pair_close(&pair);
    weir_listener_close(listener);
}

/* --- a child process that still holds the descriptors --- */

/* A listener whose queue is full: connecting to it takes until somebody accepts. */
static int full_listener(struct weir_addr *addr, int filler[4])
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    check_int(weir_addr_parse(addr, "127.0.0.1:0"), 0);
    check_int(bind(fd, &addr->sa, addr->len), 0);
    check_int(getsockname(fd, &addr->sa, &addr->len), 0);
    check_int(listen(fd, 0), 0);
    for (int i = 0; i < 4; i++) {
        filler[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        check(connect(filler[i], &addr->sa, addr->len) == 0 || errno == EINPROGRESS);
    }
    return fd;
}

/* What a closed connection still hears, because a child has it open too, is not taken for news of
 * the next one, which has its place in memory. */
static void a_child_keeps_nothing_alive(void *arg)
{
    int filler[4], full, child_waits[2], peer;
    char text[WEIR_ADDR_TEXT];
    struct weir_listener *listener;
    struct weir_conn *conn;
    struct weir_io connecting;
    struct weir_addr addr;
    pid_t child;

    (void)arg;
    full = full_listener(&addr, filler);
    check_int(pipe2(child_waits, O_CLOEXEC), 0);
    listen_somewhere(&listener, text, NULL);
    peer = raw_connect(listener);
    check_int(weir_accept(listener, &conn, SOON), 0);
    weir_listener_close(listener);
    child = fork();
    check(child >= 0);
    if (child == 0) {
        close(child_waits[1]);
        close(peer);
        (void)!read(child_waits[0], &(char){ 0 }, 1);
        _exit(0);
    }
    weir_close(conn);
    check_int(weir_sleep(WEIR_MS(1)), 0);
    weir_connect_start(&connecting, &addr);
    check_int(send(peer, "x", 1, MSG_NOSIGNAL), 1);
    check_int(weir_await(&connecting.future, weir_after(WEIR_MS(5))), -ETIMEDOUT);
    close(child_waits[1]);
    check_int(waitpid(child, NULL, 0), child);
    close(peer);
    for (int i = 0; i < 4; i++)
        close(filler[i]);
    close(full);
    close(child_waits[0]);
}

#define LEAST .balance = WEIR_BALANCE_LEAST

static const struct suite_case suite_share[] = {
    { "completions_see_the_time", completions_see_the_time, { .shards = 2 } },
    { "spellings_share_an_address", spellings_share_an_address, { .real = true, .shards = 2 } },
    { "the_owner_leaves", the_owner_leaves, { .real = true, .shards = 2, LEAST } },
    { "the_owner_leaves_a_path", the_owner_leaves_a_path, { .kernel = true, .shards = 2 } },
    { "listeners_come_and_go", listeners_come_and_go, { .real = true, .shards = 2 } },
    { "listeners_of_one_come_and_go",
      listeners_come_and_go,
      { .kernel = true, .shards = 2, LEAST } },
    { "paths_come_and_go", paths_come_and_go, { .kernel = true, .shards = 2 } },
    { "stop_serves_all_that_came",
      stop_serves_all_that_came,
      { .real = true, .shards = 2, .lossless = true } },
    { "stop_of_one_acceptor_serves_all_that_came",
      stop_serves_all_that_came,
      { .kernel = true, .shards = 2, LEAST } },
    { "stop_serves_all_that_came_by_path",
      stop_serves_all_that_came_by_path,
      { .kernel = true, .shards = 2 } },
    { "thousands_at_once", thousands_at_once, { .real = true, .seeds = 1, .lossless = true } },
    { "a_dead_path_is_taken", a_dead_path_is_taken, { .kernel = true } },
    { "descriptors_from_peers_hold_nothing_up",
      descriptors_from_peers_hold_nothing_up,
      { .kernel = true } },
    { "no_delay_is_the_default", no_delay_is_the_default, { .kernel = true } },
    { "a_living_path_is_left_alone", a_living_path_is_left_alone, { .kernel = true } },
    { "a_path_that_changed_hands_stays", a_path_that_changed_hands_stays, { .kernel = true } },
    { "a_child_keeps_nothing_alive", a_child_keeps_nothing_alive, { .kernel = true } },
    { "both_versions_of_ip", both_versions_of_ip, { 0 } },
};
