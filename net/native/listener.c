/* listener.c - listening and accepting on the native stack.
 *
 * TCP puts connections whose handshake is complete into a listener's queue (tcp_listen.c); here
 * they are handed out, in order, as long as the shard has fewer than its maximum.
 *
 * Stopping loses nobody: SYNs are refused from then on, but a handshake that has begun may have
 * been completed in the eyes of the peer, its ACK having been lost.  So all that are half open get
 * their SYN|ACK again, at once and then in shorter intervals than usual, and the listener goes on
 * until none is left, for a second and a half at most.
 *
 * A closed listener resets what it had not handed out: the peer learns that nobody has seen its
 * request.
 *
 * Invariant: while somebody waits in `waiters`, nothing is queued that could be handed out. */
#include <stdlib.h>
#include "net/native/glue.h"

#define LISTENER_LINGER WEIR_MS(1500)
enum { LISTENER_HURRY_US = 100000 }; /* doubled each time: four repetitions before we give up */

static struct weir_native *listener_native(const struct weir_native_listener *l)
{
    return weir_native_of(l->listener.stack);
}

/* --- whom a SYN is for --- */

struct weir_native_listener *weir_listener_find(struct weir_native *native,
                                                const struct weir_flow_key *key)
{
    for (struct weir_link *at = native->listeners.next; at != &native->listeners; at = at->next) {
        struct weir_native_listener *l = weir_container_of(at, struct weir_native_listener, link);

        if (l->port == key->local_port && !l->stopping &&
            weir_native_covers(&l->ip, l->ipv6_only, &key->local))
            return l;
    }
    return NULL;
}

/* --- handing out --- */

static void listener_complete(struct weir_native_listener *l, struct weir_conn *conn,
                              int64_t result)
{
    struct weir_io *io = weir_container_of(weir_list_pop(&l->waiters), struct weir_io, link);

    io->conn = conn;
    weir_future_set(&io->future, result);
}

static bool listener_can_take(struct weir_native_listener *l)
{
    struct weir_native *native = listener_native(l);

    if (weir_list_empty(&l->accepted))
        return false;
    if (native->shard->stats.conns < native->conns_max)
        return true;
    native->want_room = true;
    return false;
}

static struct weir_conn *listener_take(struct weir_native_listener *l)
{
    struct weir_tcp *tcp = weir_container_of(weir_list_pop(&l->accepted), struct weir_tcp, queued);

    l->accepted_count--;
    tcp->listener = NULL;
    tcp->flags &= ~(uint32_t)WEIR_TCP_ACCEPTED;
    weir_native_conn_open(tcp);
    return &tcp->conn;
}

/* Whoever is woken may accept again or close the listener from within. */
static void listener_give(struct weir_native_listener *l)
{
    if (l->giving)
        return;
    l->giving = true;
    while (!weir_list_empty(&l->waiters)) {
        if (listener_can_take(l))
            listener_complete(l, listener_take(l), 0);
        else if (l->ended && weir_list_empty(&l->accepted))
            listener_complete(l, NULL, -ESHUTDOWN);
        else
            break;
    }
    l->giving = false;
}

/* Stopping: all who had begun to come are there. */
static void listener_look_end(struct weir_native_listener *l)
{
    if (!l->stopping || l->ended || l->half_open > 0)
        return;
    l->ended = true;
    weir_alarm_clear(&l->linger);
    listener_native(l)->stopping--;
}

void weir_native_listener_look(struct weir_native_listener *l)
{
    l->refs++;
    listener_look_end(l);
    listener_give(l);
    l->refs--;
}

void weir_native_listeners_look(struct weir_native *native)
{
    uint32_t count = 0;
    struct weir_link *link;

    for (link = native->listeners.next; link != &native->listeners; link = link->next)
        count++;
    /* One at a time to the end: they may close each other, and must be found in the list. */
    while (count-- > 0 && (link = weir_list_pop(&native->listeners)) != NULL) {
        weir_list_push(&native->listeners, link);
        weir_native_listener_look(weir_container_of(link, struct weir_native_listener, link));
    }
}

static void accept_cancel(struct weir_future *future)
{
    weir_list_del(&weir_container_of(future, struct weir_io, future)->link);
    weir_future_set(future, -ECANCELED);
}

void weir_native_accept(struct weir_io *io)
{
    struct weir_native_listener *l = weir_native_listener_of(io->listener);

    weir_future_init(&io->future, accept_cancel);
    weir_list_push(&l->waiters, &io->link);
    weir_native_listener_look(l);
}

/* --- stopping and closing --- */

static void listener_drop_half(struct weir_native_listener *l)
{
    while (!weir_list_empty(&l->half))
        weir_tcp_user_close(weir_container_of(l->half.next, struct weir_tcp, queued), true);
}

static void listener_hurry(struct weir_native_listener *l)
{
    for (struct weir_link *at = l->half.next; at != &l->half; at = at->next) {
        struct weir_tcp *tcp = weir_container_of(at, struct weir_tcp, queued);

        tcp->retries = 0;
        tcp->rto_us = LISTENER_HURRY_US;
        tcp->rto_at = weir_tick_at(weir_native_now(listener_native(l)));
        weir_tcp_arm(tcp);
    }
}

static void listener_lingered(struct weir_alarm *alarm)
{
    struct weir_native_listener *l = weir_container_of(alarm, struct weir_native_listener, linger);

    listener_drop_half(l);
    weir_native_listener_look(l);
}

static void listener_stop_asked(struct weir_future *future)
{
    struct weir_native_listener *l =
        weir_container_of(future, struct weir_native_listener, stop.future);

    if (l->closed)
        return; /* it has withdrawn this */
    l->stopping = true;
    listener_native(l)->stopping++;
    weir_native_share_rest(l->share, listener_native(l));
    weir_alarm_set(&l->linger, weir_after(LISTENER_LINGER));
    listener_hurry(l);
    weir_native_listener_look(l);
}

void weir_native_listeners_bury(struct weir_native *native)
{
    struct weir_link *next;

    for (struct weir_link *at = native->resting.next; at != &native->resting; at = next) {
        struct weir_native_listener *l = weir_container_of(at, struct weir_native_listener, link);

        next = at->next;
        if (l->refs > 0)
            continue;
        weir_list_del(at);
        free(l);
    }
}

void weir_native_listener_close(struct weir_listener *listener)
{
    struct weir_native_listener *l = weir_native_listener_of(listener);
    struct weir_native *native = listener_native(l);
    struct weir_link *link;

    weir_assert(!l->closed);
    l->closed = true;
    native->stopping -= l->stopping && !l->ended;
    weir_future_cancel(&l->stop.future);
    weir_alarm_clear(&l->linger);
    weir_native_share_leave(l->share, native);
    while ((link = weir_list_pop(&l->waiters)) != NULL)
        weir_native_later(native, weir_container_of(link, struct weir_io, link), -ESHUTDOWN);
    while (!weir_list_empty(&l->accepted))
        weir_tcp_user_close(weir_container_of(l->accepted.next, struct weir_tcp, queued), true);
    listener_drop_half(l);
    weir_list_del(&l->link);
    weir_list_push(&native->resting, &l->link);
}

/* --- opening --- */

static void listener_open(struct weir_native_listener *l, struct weir_native *native)
{
    weir_list_init(&l->half);
    weir_list_init(&l->accepted);
    weir_list_init(&l->waiters);
    weir_alarm_init(&l->linger, listener_lingered);
    weir_list_push(&native->listeners, &l->link);
    weir_stop_wait_start(&l->stop);
    if (!weir_future_on_done(&l->stop.future, listener_stop_asked))
        listener_stop_asked(&l->stop.future);
}

/* The address is one of ours, or stands for all. */
static int listen_check(const struct weir_native *native, const struct weir_ip *ip)
{
    return weir_ip_is_any(ip) || weir_ip_is_local(native, ip) ? 0 : -EADDRNOTAVAIL;
}

int weir_native_listen(struct weir_stack *stack, struct weir_listener **listener,
                       const struct weir_addr *addr, const struct weir_listen_config *config)
{
    struct weir_native *native = weir_native_of(stack);
    struct weir_native_listener *l = calloc(1, sizeof *l);
    uint16_t port = 0;
    int error = l ? 0 : -ENOMEM;

    if (!error)
        error = weir_ip_from_addr(&l->ip, &port, addr);
    if (!error)
        error = listen_check(native, &l->ip);
    if (!error)
        error = weir_native_share_join(&l->share, native, &l->ip, port, config->ipv6_only);
    if (error) {
        free(l);
        return error;
    }
    l->listener.stack = stack;
    l->port = l->share->port;
    l->ipv6_only = l->share->ipv6_only;
    l->backlog = (uint32_t)config->backlog;
    l->accepted_max =
        (uint32_t)weir_min_u64((uint64_t)config->accepted_max + l->backlog, UINT32_MAX);
    listener_open(l, native);
    *listener = &l->listener;
    return 0;
}

void weir_native_listener_addr(const struct weir_listener *listener, struct weir_addr *addr)
{
    const struct weir_native_listener *l = weir_native_listener_of(listener);

    weir_ip_to_addr(addr, &l->ip, l->port);
}
