/* load.h - weir-load: what is asked for, and what came of it. */
#ifndef WEIR_APPS_LOAD_H
#define WEIR_APPS_LOAD_H

#include <stdatomic.h>
#include <weir/weir.h>

enum load_error {
    LOAD_CONNECT, /* a connection could not be made */
    LOAD_SEND,
    LOAD_RECEIVE, /* reset, or ended in the middle of a response */
    LOAD_TIMEOUT, /* no response within plan->timeout */
    LOAD_FORMAT,  /* not HTTP/1.1 as RFC 9112 has it; or not what was echoed */
    LOAD_STATUS,  /* an answer, but not 2xx or 3xx */
    LOAD_ERRORS,
};

struct load_plan {
    struct weir_addr peer;
    const char *request; /* bytes to send for one request */
    size_t request_len;
    bool echo;         /* the response is the request */
    unsigned conns;    /* of all shards together */
    unsigned pipeline; /* requests on their way per connection; 1 with a rate */
    double rate;       /* requests per second of all shards together; 0: as fast as they come */
    weir_time warmup, duration, timeout;
    uint64_t requests; /* stop after so many, per run; 0: by duration only */
    unsigned per_conn; /* a new connection after so many requests; 0: keep it */
};

/* One shard's part.  Read by the shard itself, and by others once it has ended; `done` at any
 * time. */
struct load_shard {
    struct weir_hist latency; /* ns, of the measured part; with a rate: since it was due */
    struct weir_hist connect; /* ns */
    uint64_t bytes;           /* received */
    uint64_t error[LOAD_ERRORS];
    weir_time began, ended; /* of the measured part */
    _Atomic uint64_t done;  /* responses, warm-up included */
};

struct load {
    struct load_plan plan;
    struct weir_config config;
    struct load_shard *shard;
    unsigned shards;
    atomic_bool over; /* stop now: a signal, or the number of requests is reached */
};

/* The load of one shard, from its main fiber, until it is over (load_run.c). */
void load_run(struct load *load, struct load_shard *shard);

/* --- reading responses (load_reader.c) --- */

enum { LOAD_BUF = 16384 };

struct load_reader {
    struct weir_conn *conn;
    size_t at, end; /* what is in `data` and has not been looked at */
    uint64_t bytes;
    bool closes; /* the server said that it closes behind this response */
    char data[LOAD_BUF];
};

/* Reads one response and throws its body away.  The status; or a negated errno: -EPROTO when it
 * is malformed, -ECONNRESET when it ends early. */
int load_read_response(struct load_reader *reader, weir_time deadline);

/* Reads as many bytes as `text` has and compares them; 0, -EPROTO, ... */
int load_read_echo(struct load_reader *reader, const char *text, size_t len, weir_time deadline);

#endif
