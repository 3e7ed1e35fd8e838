/* waits.c - who waits for what, until when; and what is put off to the next turn.
 *
 * A queue holds the connections that wait for the same thing, hence for the same span, in order of
 * arrival: its first is the first whose deadline comes.  Entering costs no timer.  One alarm per
 * server is set to the earliest deadline; it is not moved when that connection goes on, but finds
 * nothing due when it fires and is set to what is earliest then.
 *
 * A connection that answers request after request stays in IDLE and moves to its end only when a
 * new period (67 ms) has begun: a busy server does no list work per request.  Its deadline counts
 * from the end of the period, so it is never early.
 *
 * Invariant: the alarm is armed not later than the first deadline of any queue and of `sends`. */
#include "net/http/server.h"

enum {
    TICK_SHIFT = 20,  /* 1 ms: what conn->since counts */
    PERIOD_SHIFT = 6, /* ticks of an idle period */
    EXPIRE_BATCH = 64,
    LATER_BATCH = 256,
};

static const weir_time LAST_CHANCE = WEIR_SEC(1);

static uint32_t wait_tick(weir_time now)
{
    return (uint32_t)(now >> TICK_SHIFT);
}

/* The time at which tick `since` was over.  32 bits of ticks last 52 days; no wait does. */
static weir_time wait_since(uint32_t since, weir_time now)
{
    int32_t ago = (int32_t)(wait_tick(now) - since); /* < 0: in the period that runs */

    return ((now >> TICK_SHIFT) - ago + 1) << TICK_SHIFT;
}

static weir_time after(weir_time from, weir_time span)
{
    weir_time when;

    return __builtin_add_overflow(from, span, &when) ? WEIR_NEVER : when;
}

static weir_time wait_deadline(const struct weir_http_conn *conn, weir_time now)
{
    struct weir_http_server *server = conn->server;
    weir_time from = wait_since(conn->since, now);

    if (conn->wait == WEIR_HTTP_IDLE) {
        from = wait_since(conn->since | ((1u << PERIOD_SHIFT) - 1), now);
        if (server->draining && from < server->stopped_at)
            from = server->stopped_at;
    }
    return after(from, server->queue[conn->wait].span);
}

static void waits_arm(struct weir_http_server *server, weir_time when)
{
    if (!weir_alarm_armed(&server->alarm) || when < server->alarm.when)
        weir_alarm_set(&server->alarm, when);
}

void weir_http_wait(struct weir_http_conn *conn, enum weir_http_wait wait)
{
    struct weir_http_server *server = conn->server;
    weir_time now = weir_now();
    uint32_t tick = wait_tick(now);

    if (conn->wait == wait &&
        (wait != WEIR_HTTP_IDLE || conn->since >> PERIOD_SHIFT == tick >> PERIOD_SHIFT))
        return;
    weir_list_del(&conn->link);
    weir_list_push(&server->queue[wait].conns, &conn->link);
    conn->wait = (uint8_t)wait;
    conn->since = tick;
    if (wait < WEIR_HTTP_TIMED)
        waits_arm(server, wait_deadline(conn, now));
}

void weir_http_wait_sent(struct weir_http_out *out)
{
    struct weir_http_server *server = out->conn->server;

    weir_list_del(&out->link);
    weir_list_push(&server->sends, &out->link);
    waits_arm(server, after(out->since, server->config.send_timeout));
}

/* --- deadlines --- */

/* Expires what is due of one queue; returns its next deadline, or `now` to go on in a moment. */
static weir_time queue_expire(struct weir_http_queue *queue, weir_time now)
{
    for (int budget = EXPIRE_BATCH; budget > 0; budget--) {
        struct weir_http_conn *conn;
        enum weir_http_wait wait;
        weir_time deadline;

        if (weir_list_empty(&queue->conns))
            return WEIR_NEVER;
        conn = weir_container_of(queue->conns.next, struct weir_http_conn, link);
        deadline = wait_deadline(conn, now);
        if (deadline > now)
            return deadline;
        wait = conn->wait;
        weir_http_wait(conn, WEIR_HTTP_BUSY);
        weir_http_conn_expire(conn, wait);
    }
    return now;
}

static weir_time sends_expire(struct weir_http_server *server, weir_time now)
{
    while (!weir_list_empty(&server->sends)) {
        struct weir_http_out *out =
            weir_container_of(server->sends.next, struct weir_http_out, link);
        weir_time deadline = after(out->since, server->config.send_timeout);

        if (deadline > now)
            return deadline;
        weir_list_del(&out->link);
        server->stats->timeouts++;
        weir_http_conn_cut(out->conn);
    }
    return WEIR_NEVER;
}

static void waits_fire(struct weir_alarm *alarm)
{
    struct weir_http_server *server = weir_container_of(alarm, struct weir_http_server, alarm);
    weir_time now = weir_now();
    weir_time next = sends_expire(server, now);

    for (int wait = 0; wait < WEIR_HTTP_TIMED; wait++) {
        weir_time deadline = queue_expire(&server->queue[wait], now);

        next = deadline < next ? deadline : next;
    }
    if (next != WEIR_NEVER)
        waits_arm(server, next);
}

void weir_http_waits_drain(struct weir_http_server *server)
{
    struct weir_http_queue *idle = &server->queue[WEIR_HTTP_IDLE];

    server->stopped_at = weir_now();
    idle->span = server->config.linger < LAST_CHANCE ? server->config.linger : LAST_CHANCE;
    if (!weir_list_empty(&idle->conns))
        waits_arm(server, after(server->stopped_at, idle->span));
}

/* --- next turn --- */

static void later_arm(struct weir_http_server *server)
{
    if (!weir_alarm_armed(&server->turn))
        weir_alarm_set(&server->turn, 0);
}

void weir_http_later(struct weir_http_conn *conn)
{
    weir_assert(!conn->receiving && !conn->later);
    conn->later = true;
    weir_list_init(&conn->rx.link); /* ours until it receives again */
    weir_list_push(&conn->server->later, &conn->rx.link);
    later_arm(conn->server);
}

void weir_http_later_send(struct weir_http_out *out)
{
    if (!weir_list_empty(&out->link))
        return;
    weir_list_push(&out->conn->server->unsent, &out->link);
    later_arm(out->conn->server);
}

/* A handler has left something in `out` and has not returned: it should not wait with it. */
static void unsent_start(struct weir_http_out *out)
{
    struct weir_http_conn *conn = out->conn;

    weir_assert(conn->in_fiber && !conn->sending);
    conn->sending = true;
    out->since = weir_now();
    weir_send_start(&out->tx, conn->rx.conn, out->data, out->len);
}

/* The next one, while this one is in the kernel: it takes its caches with it. */
static void later_prefetch(const struct weir_http_server *server)
{
    char *conn = (char *)weir_container_of(server->later.next, struct weir_http_conn, rx.link);

    if (weir_list_empty(&server->later))
        return;
    for (size_t line = 0; line < sizeof(struct weir_http_conn); line += 64)
        __builtin_prefetch(conn + line, 1);
}

static void turn_fire(struct weir_alarm *alarm)
{
    struct weir_http_server *server = weir_container_of(alarm, struct weir_http_server, turn);
    struct weir_link *link;

    while ((link = weir_list_pop(&server->unsent)) != NULL)
        unsent_start(weir_container_of(link, struct weir_http_out, link));
    for (int budget = LATER_BATCH; budget > 0 && !weir_list_empty(&server->later); budget--) {
        link = weir_list_pop(&server->later);
        later_prefetch(server);
        weir_http_conn_pump(weir_container_of(link, struct weir_http_conn, rx.link));
    }
    if (!weir_list_empty(&server->later))
        later_arm(server);
}

void weir_http_waits_init(struct weir_http_server *server)
{
    const struct weir_http_config *config = &server->config;

    for (int wait = 0; wait < WEIR_HTTP_WAITS; wait++)
        weir_list_init(&server->queue[wait].conns);
    server->queue[WEIR_HTTP_IDLE].span = config->idle_timeout;
    server->queue[WEIR_HTTP_HEAD].span = config->header_timeout;
    server->queue[WEIR_HTTP_BODY].span = config->body_timeout;
    server->queue[WEIR_HTTP_LINGER].span = config->linger;
    weir_list_init(&server->sends);
    weir_list_init(&server->unsent);
    weir_list_init(&server->later);
    weir_alarm_init(&server->alarm, waits_fire);
    weir_alarm_init(&server->turn, turn_fire);
}

void weir_http_waits_free(struct weir_http_server *server)
{
    for (int wait = 0; wait < WEIR_HTTP_WAITS; wait++)
        weir_assert(weir_list_empty(&server->queue[wait].conns));
    weir_assert(weir_list_empty(&server->sends) && weir_list_empty(&server->unsent) &&
                weir_list_empty(&server->later));
    weir_alarm_clear(&server->alarm);
    weir_alarm_clear(&server->turn);
}
