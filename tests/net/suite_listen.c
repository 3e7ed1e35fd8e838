/* suite_listen.c - the stack suite: listening, accepting, connecting, and addresses. */
#include <unistd.h>
#include "tests/net/stack_suite.h"

/* --- accept: deadlines lose nobody --- */

static void accept_after_a_deadline(void *arg)
{
    char text[WEIR_ADDR_TEXT];
    struct weir_listener *listener;
    struct weir_conn *conn;
    struct pair pair;

    (void)arg;
    listen_somewhere(&listener, text, NULL);
    check_int(weir_accept(listener, &conn, weir_after(WEIR_MS(1))), -ETIMEDOUT);
    check_int(weir_accept(listener, &conn, 0), -ETIMEDOUT);
    check_int(weir_connect(&pair.a, text, SOON), 0);
    check_int(weir_accept(listener, &pair.b, SOON), 0); /* it came between two accepts */
    stream_send(pair.a, 10, 0, 0);
    stream_recv(pair.b, 10, 0, 0);
    pair_close(&pair);
    weir_listener_close(listener);
}

enum { CLIENTS = 40 };

static void connects(void *arg)
{
    struct weir_conn *conn;

    for (int i = 0; i < CLIENTS / 4; i++) {
        check_int(weir_sleep(random_in(0, WEIR_US(500))), 0);
        check_int(weir_connect(&conn, arg, SOON), 0);
        expect_eof(conn);
        weir_close(conn);
    }
}

static void accept_deadlines_lose_nobody(void *arg)
{
    char text[WEIR_ADDR_TEXT];
    struct weir_listener *listener;
    struct weir_scope scope;
    struct weir_conn *conn;
    int accepted = 0;

    (void)arg;
    weir_scope_init(&scope);
    listen_somewhere(&listener, text, NULL);
    for (int i = 0; i < 4; i++)
        check_int(weir_spawn(&scope, connects, text), 0);
    while (accepted < CLIENTS) {
        int error = weir_accept(listener, &conn, weir_after(random_in(0, WEIR_US(300))));

        check(error == 0 || error == -ETIMEDOUT);
        if (error == 0) {
            weir_close(conn);
            accepted++;
        }
    }
    check_int(weir_scope_join(&scope, SOON), 0);
    check_int(weir_accept(listener, &conn, weir_after(WEIR_MS(1))), -ETIMEDOUT);
    weir_listener_close(listener);
}

static void several_accepts_wait(void *arg)
{
    char text[WEIR_ADDR_TEXT];
    struct weir_listener *listener;
    struct weir_io accepting[3];
    struct weir_conn *conn[3];

    (void)arg;
    listen_somewhere(&listener, text, NULL);
    for (int i = 0; i < 3; i++)
        weir_accept_start(&accepting[i], listener);
    for (int i = 0; i < 3; i++)
        check_int(weir_connect(&conn[i], text, SOON), 0);
    for (int i = 0; i < 3; i++) {
        check_int(weir_await(&accepting[i].future, SOON), 0);
        weir_close(accepting[i].conn);
        weir_close(conn[i]);
    }
    weir_listener_close(listener);
}

/* --- closing a listener --- */

static void closing_a_listener(void *arg)
{
    char text[WEIR_ADDR_TEXT], byte;
    struct weir_listener *listener;
    struct weir_io accepting[2];
    struct weir_conn *conn;

    (void)arg;
    listen_somewhere(&listener, text, NULL);
    weir_accept_start(&accepting[0], listener);
    weir_accept_start(&accepting[1], listener);
    weir_listener_close(listener);
    check_int(weir_await(&accepting[0].future, SOON), -ESHUTDOWN);
    check_int(weir_await(&accepting[1].future, SOON), -ESHUTDOWN);

    /* Who has connected and was never accepted learns that nobody is there. */
    listen_somewhere(&listener, text, NULL);
    check_int(weir_connect(&conn, text, SOON), 0);
    weir_listener_close(listener);
    check(weir_recv(conn, &byte, 1, SOON) <= 0);
    weir_close(conn);
}

static void listening_again(void *arg)
{
    char text[WEIR_ADDR_TEXT];
    struct weir_listener *listener, *second;
    struct pair pair;

    (void)arg;
    listen_somewhere(&listener, text, NULL);
    check_int(weir_listen(&second, "127.0.0.1:0", NULL), -EADDRINUSE); /* this shard has it */
    pair_connect(&pair, listener);
    weir_listener_close(listener);
    stream_send(pair.a, 10, 0, 0); /* connections outlive their listener */
    stream_recv(pair.b, 10, 0, 0);
    pair_close(&pair);
    for (int i = 0; i < 5; i++) {
        check_int(weir_listen(&listener, text, NULL), 0);
        pair_connect(&pair, listener);
        pair_close(&pair);
        weir_listener_close(listener);
    }
}

/* --- connecting --- */

static void connect_refused(void *arg)
{
    struct weir_conn *conn;
    char text[WEIR_ADDR_TEXT];

    (void)arg;
    check_int(weir_connect(&conn, "127.0.0.1:1", SOON), -ECONNREFUSED);
    check_int(weir_connect(&conn, "[::1]:1", SOON), -ECONNREFUSED);
    snprintf(text, sizeof text, "unix:@weir-nobody-%d", (int)getpid());
    check_int(weir_connect(&conn, text, SOON), -ECONNREFUSED);
    check_int(weir_connect(&conn, "no address", SOON), -EINVAL);
    check_int(weir_connect(&conn, "127.0.0.1:99999", SOON), -EINVAL);
}

static void bad_listen_addresses(void *arg)
{
    static const char *const bad[] = { "",        "127.0.0.1",    "127.0.0.1:", "1.2.3:80",
                                       "[::1:80", "localhost:80", "unix:",      "127.0.0.1:65536" };
    struct weir_listener *listener;

    (void)arg;
    for (size_t i = 0; i < WEIR_COUNT(bad); i++)
        check_int(weir_listen(&listener, bad[i], NULL), -EINVAL);
}

/* The queue of a listener that nobody accepts from is bounded; who finds it full waits, and may
 * give up; and all that is over once somebody accepts. */
enum { QUEUE = 2, CROWD = 24 };

static void connect_cancelled(void *arg)
{
    struct weir_conn *conn;

    check_int(weir_connect(&conn, arg, WEIR_NEVER), -ECANCELED);
}

static int crowd_in(const char *text, struct weir_conn **conn)
{
    int in = 0;

    for (int i = 0; i < CROWD; i++) {
        int error = weir_connect(&conn[in], text, weir_after(WEIR_MS(20)));

        check(error == 0 || error == -ETIMEDOUT);
        in += error == 0;
    }
    return in;
}

static void the_accept_queue_is_bounded(void *arg)
{
    struct weir_listen_config config;
    char text[WEIR_ADDR_TEXT];
    struct weir_conn *conn[CROWD], *accepted;
    struct weir_listener *listener;
    struct weir_scope scope;
    int in;

    (void)arg;
    weir_listen_config_init(&config);
    config.backlog = QUEUE;
    config.accepted_max = QUEUE;
    listen_somewhere(&listener, text, &config);
    in = crowd_in(text, conn);
    check(in >= QUEUE && in <= 4 * QUEUE + 2); /* a kernel may have its own idea of a bound */
    weir_scope_init(&scope);
    check_int(weir_spawn(&scope, connect_cancelled, text), 0);
    check_int(weir_scope_join(&scope, weir_after(WEIR_MS(5))), -ETIMEDOUT);
    for (int i = 0; i < in; i++) {
        check_int(weir_accept(listener, &accepted, SOON), 0);
        weir_close(accepted);
        weir_close(conn[i]);
    }
    /* Whoever gave up may still be found in the queue, and is at its end. */
    while (weir_accept(listener, &accepted, weir_after(WEIR_MS(5))) == 0) {
        char byte;

        check(weir_recv(accepted, &byte, 1, SOON) <= 0);
        weir_close(accepted);
    }
    check_int(weir_connect(&conn[0], text, SOON), 0);
    check_int(weir_accept(listener, &accepted, SOON), 0);
    weir_close(accepted);
    weir_close(conn[0]);
    weir_listener_close(listener);
}

static char first_byte(struct weir_conn *conn)
{
    char byte;

    check_int(weir_recv(conn, &byte, 1, SOON), 1);
    return byte;
}

/* Whoever speaks is accepted, and in the end whoever is silent, too. */
static void accepting_is_deferred(void *arg)
{
    struct weir_listen_config config;
    char text[WEIR_ADDR_TEXT], byte[2];
    struct weir_conn *silent, *speaker, *accepted[2];
    struct weir_listener *listener;
    weir_time start;
    bool in_time;

    (void)arg;
    weir_listen_config_init(&config);
    config.defer_accept = true;
    listen_somewhere(&listener, text, &config);
    start = weir_now();
    check_int(weir_connect(&silent, text, SOON), 0);
    check_int(weir_connect(&speaker, text, SOON), 0);
    check_int(weir_send(speaker, "x", 1, SOON), 1);
    check_int(weir_accept(listener, &accepted[0], SOON), 0);
    in_time = weir_now() - start < WEIR_MS(500);
    check_int(weir_accept(listener, &accepted[1], SOON), 0);
    check_int(weir_send(silent, "y", 1, SOON), 1);
    for (int i = 0; i < 2; i++)
        byte[i] = first_byte(accepted[i]);
    check_int(byte[0] + byte[1], 'x' + 'y');
    if (stack_under_test.kernel && in_time)
        check_int(byte[0], 'x');
    for (int i = 0; i < 2; i++)
        weir_close(accepted[i]);
    weir_close(silent);
    weir_close(speaker);
    weir_listener_close(listener);
}

/* --- addresses --- */

static const char *addr_text(int (*of)(const struct weir_conn *, struct weir_addr *),
                             const struct weir_conn *conn, char *text)
{
    struct weir_addr addr;

    check_int(of(conn, &addr), 0);
    return weir_addr_format(&addr, text, WEIR_ADDR_TEXT);
}

static void check_same(const char *a, const char *b)
{
    if (strcmp(a, b) != 0)
        weir_panic("\"%s\" is not \"%s\"", a, b);
}

static void check_addresses(const char *address)
{
    char at[WEIR_ADDR_TEXT], a[WEIR_ADDR_TEXT], b[WEIR_ADDR_TEXT];
    struct weir_listener *listener;
    struct weir_addr addr;
    struct pair pair;

    check_int(weir_listen(&listener, address, NULL), 0);
    weir_listener_addr(listener, &addr);
    weir_addr_format(&addr, at, sizeof at);
    pair_connect(&pair, listener);
    check_same(addr_text(weir_peer_addr, pair.a, a), at);
    check_same(addr_text(weir_local_addr, pair.b, b), at);
    check_same(addr_text(weir_local_addr, pair.a, a), addr_text(weir_peer_addr, pair.b, b));
    check_int(weir_nodelay(pair.a, false), 0);
    check_int(weir_nodelay(pair.a, true), 0);
    stream_send(pair.a, 5000, 0, 0);
    stream_recv(pair.b, 5000, 0, 0);
    weir_close(pair.a);
    expect_eof(pair.b);
    weir_close(pair.b);
    weir_listener_close(listener);
}

static void all_kinds_of_addresses(void *arg)
{
    char text[WEIR_ADDR_TEXT];

    (void)arg;
    check_addresses("127.0.0.1:0");
    check_addresses("[::1]:0");
    snprintf(text, sizeof text, "unix:/tmp/weir-suite-%d.sock", (int)getpid());
    check_addresses(text);
    check_addresses(text);
    while (access(text + 5, F_OK) == 0) /* the path goes with the listener, perhaps a turn later */
        check_int(weir_sleep(WEIR_US(50)), 0);
    snprintf(text, sizeof text, "unix:@weir-suite-%d", (int)getpid());
    check_addresses(text);
}

static void wildcards(void *arg)
{
    char text[WEIR_ADDR_TEXT];
    struct weir_listener *listener;
    struct weir_addr addr;
    struct pair pair;

    (void)arg;
    check_int(weir_listen(&listener, "*:0", NULL), 0);
    weir_listener_addr(listener, &addr);
    snprintf(text, sizeof text, "127.0.0.1:%u", ntohs(addr.in.sin_port));
    check_int(weir_connect(&pair.a, text, SOON), 0);
    check_int(weir_accept(listener, &pair.b, SOON), 0);
    check_same(addr_text(weir_local_addr, pair.b, (char[WEIR_ADDR_TEXT]){ 0 }), text);
    pair_close(&pair);
    snprintf(text, sizeof text, "[::1]:%u", ntohs(addr.in.sin_port));
    check_int(weir_connect(&pair.a, text, SOON), -ECONNREFUSED);
    weir_listener_close(listener);
}

/* --- many --- */

enum { MANY = 1000 };

struct many {
    char text[WEIR_ADDR_TEXT];
    struct weir_sem connected; /* one unit each */
};

static void many_client(void *arg)
{
    struct many *many = arg;
    struct weir_conn *conn;

    check_int(weir_connect(&conn, many->text, SOON), 0);
    weir_sem_post(&many->connected, 1);
    check_int(weir_sem_wait(&many->connected, MANY, SOON), 0); /* until all are there */
    weir_sem_post(&many->connected, MANY);
    stream_send(conn, 100, 0, 7);
    stream_recv(conn, 100, 0, 7);
    weir_close(conn);
}

static void many_serve(void *arg)
{
    stream_recv(arg, 100, 0, 7);
    stream_send(arg, 100, 0, 7);
    expect_eof(arg);
    weir_close(arg);
}

static void many_connections(void *arg)
{
    struct many *many = calloc(1, sizeof *many);
    struct weir_listener *listener;
    struct weir_scope scope;
    struct weir_conn *conn;

    (void)arg;
    check(many != NULL);
    weir_sem_init(&many->connected, 0);
    weir_scope_init(&scope);
    listen_somewhere(&listener, many->text, NULL);
    for (int i = 0; i < MANY; i++)
        check_int(weir_spawn(&scope, many_client, many), 0);
    for (int i = 0; i < MANY; i++) {
        check_int(weir_accept(listener, &conn, SOON), 0);
        check_int(weir_spawn(&scope, many_serve, conn), 0);
    }
    check_int(weir_scope_join(&scope, SOON), 0);
    weir_listener_close(listener);
    free(many);
}

static const struct suite_case suite_listen[] = {
    { "accept_after_a_deadline", accept_after_a_deadline, { 0 } },
    { "accept_deadlines_lose_nobody", accept_deadlines_lose_nobody, { 0 } },
    { "several_accepts_wait", several_accepts_wait, { 0 } },
    { "closing_a_listener", closing_a_listener, { 0 } },
    { "listening_again", listening_again, { 0 } },
    { "connect_refused", connect_refused, { 0 } },
    { "bad_listen_addresses", bad_listen_addresses, { .seeds = 1 } },
    { "the_accept_queue_is_bounded", the_accept_queue_is_bounded, { 0 } },
    { "accepting_is_deferred", accepting_is_deferred, { 0 } },
    { "all_kinds_of_addresses", all_kinds_of_addresses, { 0 } },
    { "wildcards", wildcards, { 0 } },
    { "many_connections", many_connections, { .seeds = 1 } },
};
