/* stack_suite.h - the cases that every socket stack has to pass, and what a stack brings for it.
 *
 * A test program defines `stack_under_test` and includes stack_suite.c, which has main().  A case
 * is a shard_main; it orders things by futures, so it takes no longer than the stack does.  After
 * each, nothing may be left: no fiber, connection, buffer or descriptor. */
#ifndef WEIR_TESTS_NET_STACK_SUITE_H
#define WEIR_TESTS_NET_STACK_SUITE_H

#include <stdatomic.h>
#include "tests/core/testing.h"
#include "tests/seeds.h"

/* What a case asks of the runtime; zero: the default. */
struct suite_need {
    unsigned shards; /* default 1 */
    uint32_t conns_max, rx_bufs;
    enum weir_balance balance;
    bool kernel;    /* needs sockets of the kernel; left out where there are others */
    bool real;      /* not for the simulation's own sockets */
    bool lossless;  /* a reset has to arrive, which nobody sends again; or all within the grace */
    unsigned seeds; /* for simulated ones; default 20 */
    bool narrow;    /* reads while it sends: a simulated window may be tiny */
};

struct suite_case {
    const char *name;
    void (*shard_main)(void *arg);
    struct suite_need need;
};

struct stack_under_test {
    const char *name;
    bool kernel;
    bool native;     /* TCP of our own */
    bool threads;    /* takes its time: each case runs once */
    int64_t bulk;    /* bytes for the big transfers, each way */
    size_t too_much; /* more bytes than it takes while nobody reads */

    /* NULL, or why this stack cannot be had here: the program is skipped then. */
    const char *(*missing)(void);

    /* Runs it on need->shards shards, on this stack and no other; as weir_run. */
    int (*run)(const struct suite_need *need, uint64_t seed, void (*shard_main)(void *arg),
               void *arg);
};

extern const struct stack_under_test stack_under_test;

/* Long enough for whatever should happen: it is a failure when this passes.  A program whose time
 * is virtual and whose wires lose packets has more. */
#ifndef SUITE_PATIENCE
#define SUITE_PATIENCE WEIR_SEC(30)
#endif
#define SOON weir_after(SUITE_PATIENCE)

/* --- two ends of one connection, on this shard --- */

struct pair {
    struct weir_conn *a, *b; /* a has connected, b was accepted */
};

static inline void listen_somewhere(struct weir_listener **listener, char text[WEIR_ADDR_TEXT],
                                    const struct weir_listen_config *config)
{
    struct weir_addr addr;

    check_int(weir_listen(listener, "127.0.0.1:0", config), 0);
    weir_listener_addr(*listener, &addr);
    weir_addr_format(&addr, text, WEIR_ADDR_TEXT);
}

static inline void pair_connect(struct pair *pair, struct weir_listener *listener)
{
    struct weir_addr addr;
    struct weir_io connecting;

    weir_listener_addr(listener, &addr);
    weir_connect_start(&connecting, &addr);
    check_int(weir_accept(listener, &pair->b, SOON), 0);
    check_int(weir_await(&connecting.future, SOON), 0);
    pair->a = connecting.conn;
}

static inline void pair_open(struct pair *pair)
{
    char text[WEIR_ADDR_TEXT];
    struct weir_listener *listener;

    listen_somewhere(&listener, text, NULL);
    pair_connect(pair, listener);
    weir_listener_close(listener);
}

static inline void pair_close(struct pair *pair)
{
    weir_close(pair->a);
    weir_close(pair->b);
}

/* --- bytes that are known by their place in the stream --- */

static inline uint8_t stream_byte(uint64_t at, unsigned salt)
{
    return (uint8_t)((at * UINT64_C(0x9e3779b97f4a7c15)) >> 56 ^ at ^ salt);
}

static inline void stream_fill(uint8_t *data, size_t len, uint64_t at, unsigned salt)
{
    for (size_t i = 0; i < len; i++)
        data[i] = stream_byte(at + i, salt);
}

static inline void stream_check(const uint8_t *data, size_t len, uint64_t at, unsigned salt)
{
    for (size_t i = 0; i < len; i++)
        check_int(data[i], stream_byte(at + i, salt));
}

/* Receives exactly this many more bytes of the stream. */
static inline void stream_recv(struct weir_conn *conn, size_t len, uint64_t at, unsigned salt)
{
    uint8_t data[4096];

    while (len > 0) {
        int64_t n = weir_recv(conn, data, len < sizeof data ? len : sizeof data, SOON);

        if (n <= 0)
            check_int(n, (int64_t)len); /* says which error it was */
        stream_check(data, (size_t)n, at, salt);
        at += (uint64_t)n;
        len -= (size_t)n;
    }
}

static inline void stream_send(struct weir_conn *conn, size_t len, uint64_t at, unsigned salt)
{
    uint8_t data[4096];

    while (len > 0) {
        size_t part = len < sizeof data ? len : sizeof data;

        stream_fill(data, part, at, salt);
        check_int(weir_send(conn, data, part, SOON), (int64_t)part);
        at += part;
        len -= part;
    }
}

/* The end of the stream, and it stays the end. */
static inline void expect_eof(struct weir_conn *conn)
{
    char byte;

    check_int(weir_recv(conn, &byte, 1, SOON), 0);
    check_int(weir_recv(conn, &byte, 1, SOON), 0);
}

#endif
