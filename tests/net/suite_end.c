/* suite_end.c - the stack suite: how connections and operations come to their end. */
#include "tests/net/stack_suite.h"

static size_t too_much(void)
{
    return stack_under_test.too_much;
}

/* So much of the stream, without holding the shard for long. */
static uint8_t *too_much_of_it(unsigned salt)
{
    size_t size = too_much(), part = 256 << 10;
    uint8_t *data = malloc(size);

    check(data != NULL);
    for (size_t at = 0; at < size; at += part) {
        stream_fill(data + at, part, at, salt);
        weir_yield();
    }
    return data;
}

/* --- FIN --- */

static void half_close_by_client(void *arg)
{
    struct pair pair;

    (void)arg;
    pair_open(&pair);
    stream_send(pair.a, 100, 0, 0);
    check_int(weir_shutdown(pair.a), 0);
    stream_recv(pair.b, 100, 0, 0);
    expect_eof(pair.b);
    stream_send(pair.b, 5000, 0, 1); /* the other direction goes on */
    stream_recv(pair.a, 5000, 0, 1);
    weir_close(pair.b);
    expect_eof(pair.a);
    weir_close(pair.a);
}

static void half_close_by_server(void *arg)
{
    struct pair pair;

    (void)arg;
    pair_open(&pair);
    check_int(weir_shutdown(pair.b), 0);
    expect_eof(pair.a);
    stream_send(pair.a, 5000, 0, 1);
    check_int(weir_shutdown(pair.a), 0);
    stream_recv(pair.b, 5000, 0, 1);
    expect_eof(pair.b);
    weir_close(pair.a);
    weir_close(pair.b);
}

static void shutdown_twice(void *arg)
{
    struct pair pair;
    char byte = 0;

    (void)arg;
    pair_open(&pair);
    check_int(weir_shutdown(pair.a), 0);
    check_int(weir_shutdown(pair.a), 0);
    check_int(weir_send(pair.a, &byte, 1, SOON), -EPIPE);
    expect_eof(pair.b);
    stream_send(pair.b, 1, 0, 0);
    stream_recv(pair.a, 1, 0, 0);
    pair_close(&pair);
}

/* What was sent before a close arrives, and then the end. */
static void close_sends_what_is_left(void *arg)
{
    struct pair pair;

    (void)arg;
    pair_open(&pair);
    stream_send(pair.a, 20000, 0, 0);
    weir_close(pair.a);
    stream_recv(pair.b, 20000, 0, 0);
    expect_eof(pair.b);
    weir_close(pair.b);
}

/* --- RST --- */

static bool is_reset(int64_t result)
{
    return result == -ECONNRESET || result == -EPIPE;
}

static void reset_seen_by_receiver(void *arg)
{
    struct weir_io rx;
    struct pair pair;
    char data[10];

    (void)arg;
    pair_open(&pair);
    weir_recv_start(&rx, pair.a, data, sizeof data);
    weir_abort(pair.b);
    check_int(weir_await(&rx.future, SOON), -ECONNRESET);
    weir_close(pair.a);
}

static void reset_seen_by_sender(void *arg)
{
    static uint8_t data[65536];
    struct pair pair;
    int64_t n;

    (void)arg;
    pair_open(&pair);
    weir_abort(pair.b);
    do
        n = weir_send(pair.a, data, sizeof data, SOON);
    while (n == sizeof data);
    check(is_reset(n));
    check_int(weir_send(pair.a, data, 1, SOON), -EPIPE);
    weir_close(pair.a);
}

/* The peer stops reading, a send waits, and then the reset comes. */
static void reset_ends_a_waiting_send(void *arg)
{
    size_t size = too_much();
    uint8_t *data = calloc(1, size);
    struct weir_io tx;
    struct pair pair;

    (void)arg;
    check(data != NULL);
    pair_open(&pair);
    weir_send_start(&tx, pair.a, data, size);
    check_int(weir_recv(pair.b, &(char){ 0 }, 1, SOON), 1);
    check(!tx.future.done);
    weir_abort(pair.b);
    check(is_reset(weir_await(&tx.future, SOON)));
    check(tx.moved > 0 && tx.moved < size);
    weir_close(pair.a);
    free(data);
}

/* --- a peer that stops reading --- */

static void sender_gives_up_at_its_deadline(void *arg)
{
    size_t size = too_much();
    uint8_t *data = too_much_of_it(5);
    struct weir_io tx;
    struct pair pair;

    (void)arg;
    pair_open(&pair);
    weir_send_start(&tx, pair.a, data, size);
    check_int(weir_await(&tx.future, weir_after(WEIR_MS(50))), -ETIMEDOUT);
    check(tx.moved > 0 && tx.moved < size);
    weir_close(pair.a);
    stream_recv(pair.b, tx.moved, 0, 5); /* exactly what the stack had taken */
    expect_eof(pair.b);
    weir_close(pair.b);
    free(data);
}

/* A send that was cancelled and one that goes on where it stood make a whole stream. */
static void sender_goes_on_after_its_deadline(void *arg)
{
    size_t size = too_much(), moved;
    uint8_t *data = too_much_of_it(5);
    struct weir_io tx;
    struct pair pair;

    (void)arg;
    pair_open(&pair);
    weir_send_start(&tx, pair.a, data, size);
    check_int(weir_await(&tx.future, weir_after(WEIR_MS(5))), -ETIMEDOUT);
    moved = tx.moved;
    weir_send_start(&tx, pair.a, data + moved, 30000);
    stream_recv(pair.b, moved + 30000, 0, 5);
    check_int(weir_await(&tx.future, SOON), 30000);
    pair_close(&pair);
    free(data);
}

/* --- deadlines and cancels lose nothing --- */

enum { TRICKLES = 150, TRICKLE = 100 };

static void trickle_send(void *arg)
{
    for (uint64_t i = 0; i < TRICKLES; i++) {
        stream_send(arg, TRICKLE, i * TRICKLE, 6);
        if (weir_random(2) == 0)
            check_int(weir_sleep(random_in(0, WEIR_US(300))), 0);
    }
    check_int(weir_shutdown(arg), 0);
}

static void recv_deadline_loses_nothing(void *arg)
{
    struct weir_scope scope;
    struct pair pair;
    uint8_t data[37];
    uint64_t at = 0;
    int64_t n;

    (void)arg;
    weir_scope_init(&scope);
    pair_open(&pair);
    check_int(weir_spawn(&scope, trickle_send, pair.a), 0);
    do {
        weir_time deadline = weir_after(random_in(0, WEIR_US(200)));

        n = weir_recv(pair.b, data, sizeof data, deadline);
        if (n == -ETIMEDOUT) {
            check(weir_now() >= deadline);
            weir_yield();
        } else {
            check(n >= 0);
            stream_check(data, (size_t)n, at, 6);
            at += (uint64_t)n;
        }
    } while (n != 0);
    check_int((int64_t)at, TRICKLES * TRICKLE);
    check_int(weir_scope_join(&scope, SOON), 0);
    pair_close(&pair);
}

static void recv_cancelled(void *arg)
{
    char data[10];

    check_int(weir_recv(arg, data, sizeof data, WEIR_NEVER), -ECANCELED);
    check_int(weir_recv(arg, data, sizeof data, SOON), -ECANCELED);
}

static void recv_cancel_by_scope(void *arg)
{
    struct weir_scope scope;
    struct pair pair;

    (void)arg;
    weir_scope_init(&scope);
    pair_open(&pair);
    check_int(weir_spawn(&scope, recv_cancelled, pair.b), 0);
    weir_yield();
    weir_scope_cancel(&scope);
    check_int(weir_scope_join(&scope, SOON), 0);
    stream_send(pair.a, 100, 0, 0);
    stream_recv(pair.b, 100, 0, 0);
    pair_close(&pair);
}

/* The receive stays under way while other things are waited for. */
static void recv_beside_a_timer(void *arg)
{
    struct weir_timer tick;
    struct weir_io rx;
    struct pair pair;
    uint8_t data[10];

    (void)arg;
    pair_open(&pair);
    weir_recv_start(&rx, pair.b, data, sizeof data);
    for (int i = 0; i < 3; i++) {
        weir_timer_start(&tick, weir_after(WEIR_MS(1)));
        check_int(weir_await_any(SOON, &rx.future, &tick.future), 1);
    }
    stream_send(pair.a, 1, 0, 0);
    check_int(weir_await(&rx.future, SOON), 1);
    stream_check(data, 1, 0, 0);
    pair_close(&pair);
}

/* --- one at a time --- */

static void second_operation_is_busy(void *arg)
{
    size_t size = too_much();
    uint8_t *data = calloc(1, size), byte;
    struct weir_io rx, tx, again;
    struct weir_buf *buf;
    struct pair pair;

    (void)arg;
    check(data != NULL);
    pair_open(&pair);
    weir_recv_start(&rx, pair.a, &byte, 1);
    check_int(weir_recv(pair.a, &byte, 1, SOON), -EBUSY);
    check_int(weir_recv_buf(pair.a, &buf, SOON), -EBUSY);
    check(buf == NULL);
    weir_send_start(&tx, pair.a, data, size);
    check(!tx.future.done);
    weir_send_start(&again, pair.a, data, 1);
    check_int(weir_await(&again.future, SOON), -EBUSY);
    check_int((int64_t)again.moved, 0);
    buf = weir_buf_alloc(1);
    check(buf != NULL);
    buf->len = 1;
    check_int(weir_send_buf(pair.a, buf, SOON), -EBUSY);
    check_int(weir_shutdown(pair.a), -EBUSY);
    weir_future_cancel(&tx.future);
    check_int(weir_await(&tx.future, SOON), -ECANCELED);
    check_int(weir_shutdown(pair.a), 0);
    stream_send(pair.b, 1, 0, 0);
    check_int(weir_await(&rx.future, SOON), 1);
    stream_check(&byte, 1, 0, 0);
    weir_abort(pair.a);
    weir_close(pair.b);
    free(data);
}

/* --- closing under an operation --- */

struct closing {
    struct weir_conn *conn;
    int at_it;
};

static void recv_closed(void *arg)
{
    struct closing *closing = arg;
    char data[10];

    closing->at_it++;
    check_int(weir_recv(closing->conn, data, sizeof data, SOON), -ECANCELED);
}

static void send_closed(void *arg)
{
    struct closing *closing = arg;
    size_t size = too_much();
    char *data = calloc(1, size);

    check(data != NULL);
    closing->at_it++;
    check_int(weir_send(closing->conn, data, size, SOON), -ECANCELED);
    free(data);
}

static void close_under_way(void (*close)(struct weir_conn *conn))
{
    struct weir_scope scope;
    struct closing closing;
    struct pair pair;

    weir_scope_init(&scope);
    pair_open(&pair);
    closing = (struct closing){ .conn = pair.b };
    check_int(weir_spawn(&scope, recv_closed, &closing), 0);
    check_int(weir_spawn(&scope, send_closed, &closing), 0);
    while (closing.at_it < 2)
        weir_yield();
    close(pair.b);
    check_int(weir_scope_join(&scope, SOON), 0);
    weir_close(pair.a);
}

static void close_ends_what_is_under_way(void *arg)
{
    (void)arg;
    close_under_way(weir_close);
}

static void abort_ends_what_is_under_way(void *arg)
{
    (void)arg;
    close_under_way(weir_abort);
}

/* Closing never suspends, so a cancelled fiber can clean up. */
static void close_when_cancelled(void *arg)
{
    check_int(weir_recv(arg, &(char){ 0 }, 1, WEIR_NEVER), -ECANCELED);
    weir_close(arg);
}

static void cancelled_fibers_close(void *arg)
{
    struct weir_scope scope;
    struct pair pair;

    (void)arg;
    weir_scope_init(&scope);
    pair_open(&pair);
    check_int(weir_spawn(&scope, close_when_cancelled, pair.b), 0);
    weir_yield();
    weir_scope_cancel(&scope);
    check_int(weir_scope_join(&scope, SOON), 0);
    expect_eof(pair.a);
    weir_close(pair.a);
}

static const struct suite_case suite_end[] = {
    { "half_close_by_client", half_close_by_client, { 0 } },
    { "half_close_by_server", half_close_by_server, { 0 } },
    { "shutdown_twice", shutdown_twice, { 0 } },
    { "close_sends_what_is_left", close_sends_what_is_left, { 0 } },
    { "reset_seen_by_receiver", reset_seen_by_receiver, { .lossless = true } },
    { "reset_seen_by_sender", reset_seen_by_sender, { 0 } },
    { "reset_ends_a_waiting_send", reset_ends_a_waiting_send, { .lossless = true, .seeds = 3 } },
    { "sender_gives_up_at_its_deadline", sender_gives_up_at_its_deadline, { .seeds = 3 } },
    { "sender_goes_on_after_its_deadline", sender_goes_on_after_its_deadline, { .seeds = 3 } },
    { "recv_deadline_loses_nothing", recv_deadline_loses_nothing, { 0 } },
    { "recv_cancel_by_scope", recv_cancel_by_scope, { 0 } },
    { "recv_beside_a_timer", recv_beside_a_timer, { 0 } },
    { "second_operation_is_busy", second_operation_is_busy, { .seeds = 3 } },
    { "close_ends_what_is_under_way", close_ends_what_is_under_way, { 0 } },
    { "abort_ends_what_is_under_way", abort_ends_what_is_under_way, { 0 } },
    { "cancelled_fibers_close", cancelled_fibers_close, { 0 } },
};
