/* load_run.c - the connections of one shard: a fiber each.
 *
 * Without a rate a connection sends its next request when the last is answered (closed loop), or
 * keeps `pipeline` of them under way.  With a rate the moments at which requests are due are fixed
 * beforehand; whichever connection is free takes the next one, and its latency counts from the
 * moment it was due.  So a server that stands still for a second is charged for all requests that
 * should have been sent in that second, not for the one that was (no coordinated omission).
 *
 * A connection that fails is counted and opened again, after a pause when it could not be made. */
#include <errno.h>
#include <string.h>
#include <time.h>
#include "load.h"

enum { PACER_SPIN_US = 200, RECONNECT_MS = 10, PIPELINE_BYTES = 65536 };

struct shard_load {
    struct load *load;
    const struct load_plan *plan;
    struct load_shard *out;
    unsigned conns;
    double interval_ns; /* between two requests of this shard; 0: closed loop */
    weir_time start, measure, stop;
    uint64_t limit; /* responses of this shard; 0: none */
    struct weir_sem due;
    uint64_t given; /* moments that were taken by a connection */
};

/* The shard's clock stands still within a turn, which is too coarse here. */
static weir_time precise_now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return WEIR_SEC(ts.tv_sec) + ts.tv_nsec;
}

static bool over(const struct shard_load *s)
{
    return precise_now() >= s->stop || atomic_load_explicit(&s->load->over, memory_order_relaxed) ||
           weir_stopping() ||
           (s->limit && atomic_load_explicit(&s->out->done, memory_order_relaxed) >= s->limit);
}

static void count_error(struct shard_load *s, enum load_error kind)
{
    if (!over(s)) /* what is cut off at the end is no failure of the server */
        s->out->error[kind]++;
}

static enum load_error error_kind(int64_t error)
{
    return error == -ETIMEDOUT ? LOAD_TIMEOUT : error == -EPROTO ? LOAD_FORMAT : LOAD_RECEIVE;
}

/* --- with a rate --- */

/* The moment the request number `n` of this shard is due. */
static weir_time due_at(const struct shard_load *s, uint64_t n)
{
    return s->start + (weir_time)((double)n * s->interval_ns);
}

/* Lets connections go as their moments come: sleeps while the next one is far, yields when near,
 * for a timer is only as fine as a tick. */
static void pace(void *arg)
{
    struct shard_load *s = arg;
    uint64_t next = 0;

    while (!over(s)) {
        weir_time now = precise_now();

        while (due_at(s, next) <= now) {
            weir_sem_post(&s->due, 1);
            next++;
        }
        if (due_at(s, next) - now > WEIR_US(PACER_SPIN_US))
            weir_sleep(due_at(s, next) - now - WEIR_US(PACER_SPIN_US));
        else
            weir_yield();
    }
    weir_sem_post(&s->due, s->conns); /* those that wait see that it is over */
}

/* Waits for a moment to be due.  false: it is over. */
static bool take_due(struct shard_load *s, weir_time *due)
{
    if (weir_sem_wait(&s->due, 1, WEIR_NEVER) < 0 || over(s))
        return false;
    *due = due_at(s, s->given++);
    return true;
}

/* --- one connection --- */

static void record(struct shard_load *s, weir_time sent, int status)
{
    weir_time now = precise_now();

    atomic_fetch_add_explicit(&s->out->done, 1, memory_order_relaxed);
    if (status >= 400)
        count_error(s, LOAD_STATUS);
    else if (sent >= s->measure && now <= s->stop)
        weir_hist_record(&s->out->latency, (uint64_t)(now > sent ? now - sent : 0));
}

static int read_one(struct shard_load *s, struct load_reader *reader)
{
    const struct load_plan *plan = s->plan;
    weir_time deadline = weir_after(plan->timeout);
    int error;

    if (!plan->echo)
        return load_read_response(reader, deadline);
    error = load_read_echo(reader, plan->request, plan->request_len, deadline);
    return error ? error : 200;
}

/* `count` requests by one send. */
static int64_t send_requests(struct shard_load *s, struct load_reader *reader, unsigned count)
{
    struct iovec iov[64];

    while (count > 0) {
        unsigned part = count < 64 ? count : 64;
        int64_t n;

        for (unsigned i = 0; i < part; i++)
            iov[i] = (struct iovec){ (void *)(uintptr_t)s->plan->request, s->plan->request_len };
        n = weir_sendv(reader->conn, iov, part, weir_after(s->plan->timeout));
        if (n < 0)
            return n;
        count -= part;
    }
    return 0;
}

/* A batch of requests and their answers; false when the connection cannot be used any more. */
static bool exchange(struct shard_load *s, struct load_reader *reader, unsigned count)
{
    weir_time sent = precise_now();
    int64_t error;

    if (s->interval_ns > 0 && !take_due(s, &sent))
        return false;
    error = send_requests(s, reader, count);
    if (error < 0) {
        count_error(s, error == -ETIMEDOUT ? LOAD_TIMEOUT : LOAD_SEND);
        return false;
    }
    for (unsigned i = 0; i < count; i++) {
        int status = read_one(s, reader);

        if (status < 0) {
            count_error(s, error_kind(status));
            return false;
        }
        record(s, sent, status);
        if (reader->closes)
            return false;
    }
    return true;
}

static bool connect_one(struct shard_load *s, struct load_reader *reader)
{
    weir_time began = precise_now();
    struct weir_io io;

    weir_connect_start(&io, &s->plan->peer);
    if (weir_await(&io.future, weir_after(s->plan->timeout)) < 0) {
        count_error(s, LOAD_CONNECT);
        weir_sleep(WEIR_MS(RECONNECT_MS));
        return false;
    }
    if (began >= s->measure)
        weir_hist_record(&s->out->connect, (uint64_t)(precise_now() - began));
    reader->conn = io.conn;
    reader->at = reader->end = 0;
    reader->closes = false;
    return true;
}

/* One connection after the other, until it is over. */
static void client(void *arg)
{
    struct shard_load *s = arg;
    struct load_reader reader = { 0 };

    while (!over(s)) {
        unsigned left = s->plan->per_conn ? s->plan->per_conn : UINT32_MAX;

        if (!connect_one(s, &reader))
            continue;
        while (left > 0 && !over(s)) {
            unsigned count = left < s->plan->pipeline ? left : s->plan->pipeline;

            if (!exchange(s, &reader, count))
                break;
            left -= s->plan->per_conn ? count : 0;
        }
        weir_close(reader.conn);
    }
    s->out->bytes += reader.bytes;
}

/* --- the shard --- */

/* Its part of something that is divided among all shards. */
static uint64_t share_of(uint64_t whole, unsigned shards, unsigned id)
{
    return whole / shards + (id < whole % shards);
}

void load_run(struct load *load, struct load_shard *out)
{
    const struct load_plan *plan = &load->plan;
    unsigned id = weir_shard_id(), shards = weir_shard_count();
    struct shard_load s = { .load = load, .plan = plan, .out = out };
    struct weir_scope scope;
    weir_time now = precise_now();

    s.conns = (unsigned)share_of(plan->conns, shards, id);
    s.interval_ns = plan->rate > 0 ? 1e9 * shards / plan->rate : 0;
    s.limit = plan->requests ? share_of(plan->requests, shards, id) : 0;
    s.start = now;
    s.measure = now + plan->warmup;
    s.stop = s.measure + plan->duration;
    out->began = s.measure;
    weir_sem_init(&s.due, 0);
    weir_scope_init(&scope);
    for (unsigned i = 0; i < s.conns && (!plan->requests || s.limit > 0); i++)
        if (weir_spawn(&scope, client, &s) < 0)
            out->error[LOAD_CONNECT]++;
    if (s.interval_ns > 0 && weir_spawn(&scope, pace, &s) < 0)
        out->error[LOAD_CONNECT]++;
    weir_scope_join(&scope, s.stop + plan->timeout);
    now = precise_now();
    out->ended = now < s.stop ? now : s.stop;
}
