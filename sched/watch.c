/* watch.c - a version number, and those who wait for the next.
 *
 * A waiter is told that something happened and looks again itself, so a value that is sent while it
 * is on its way to run is not lost: its receiver's `seen` says so. */
#include <errno.h>
#include <string.h>
#include <weir/watch.h>
#include "sched/waiters.h"

void weir_watch_init(struct weir_watch *watch, void *value, size_t size)
{
    weir_assert(size > 0);
    *watch = (struct weir_watch){ .home = weir_shard_here("weir_watch_init"),
                                  .value = value,
                                  .size = size };
    weir_list_init(&watch->waiting);
    weir_list_init(&watch->leaving);
}

/* --- the sender --- */

static void watch_check_open(const struct weir_watch *watch, const char *call)
{
    weir_shard_check(watch->home, call);
    if (watch->closed)
        weir_panic("%s: this watch was closed by weir_watch_close; nothing can be sent any more",
                   call);
}

static void watch_changed(struct weir_watch *watch)
{
    watch->version++;
    weir_waiters_tell_all(&watch->waiting);
}

int weir_watch_send(struct weir_watch *watch, const void *value)
{
    watch_check_open(watch, "weir_watch_send");
    if (watch->receivers == 0)
        return -EPIPE;
    weir_watch_replace(watch, value);
    return 0;
}

void weir_watch_replace(struct weir_watch *watch, const void *value)
{
    watch_check_open(watch, "weir_watch_replace");
    memmove(watch->value, value, watch->size); /* it may be the same memory */
    watch_changed(watch);
}

bool weir_watch_modify(struct weir_watch *watch, bool (*change)(void *value, void *arg), void *arg)
{
    watch_check_open(watch, "weir_watch_modify");
    if (!change(watch->value, arg))
        return false;
    watch_changed(watch);
    return true;
}

void weir_watch_close(struct weir_watch *watch)
{
    weir_shard_check(watch->home, "weir_watch_close");
    watch->closed = true;
    weir_waiters_tell_all(&watch->waiting);
}

int weir_watch_closed(struct weir_watch *watch, weir_time deadline)
{
    int error = 0;

    weir_shard_check(watch->home, "weir_watch_closed");
    if (watch->receivers == 0)
        weir_waiters_spend();
    while (watch->receivers > 0 && error == 0)
        error = weir_waiters_wait(&watch->leaving, deadline);
    return error;
}

const void *weir_watch_value(const struct weir_watch *watch)
{
    weir_shard_check(watch->home, "weir_watch_value");
    return watch->value;
}

/* --- receivers --- */

void weir_watch_subscribe(struct weir_watch *watch, struct weir_watch_rx *rx)
{
    weir_shard_check(watch->home, "weir_watch_subscribe");
    *rx = (struct weir_watch_rx){ .watch = watch, .seen = watch->version };
    watch->receivers++;
}

void weir_watch_unsubscribe(struct weir_watch_rx *rx)
{
    struct weir_watch *watch = rx->watch;

    if (!watch)
        weir_panic("weir_watch_unsubscribe: this receiver has left before");
    weir_shard_check(watch->home, "weir_watch_unsubscribe");
    rx->watch = NULL;
    if (--watch->receivers == 0)
        weir_waiters_tell_all(&watch->leaving);
}

int weir_watch_has_changed(const struct weir_watch_rx *rx)
{
    weir_shard_check(rx->watch->home, "weir_watch_has_changed");
    if (rx->seen != rx->watch->version)
        return 1;
    return rx->watch->closed ? -EPIPE : 0;
}

int weir_watch_changed(struct weir_watch_rx *rx, weir_time deadline)
{
    int changed = weir_watch_has_changed(rx), error = 0;

    if (changed != 0)
        weir_waiters_spend();
    while (changed == 0 && error == 0) {
        error = weir_waiters_wait(&rx->watch->waiting, deadline);
        if (error == 0)
            changed = weir_watch_has_changed(rx);
    }
    if (changed <= 0)
        return error < 0 ? error : changed;
    rx->seen = rx->watch->version;
    return 0;
}

void weir_watch_copy(struct weir_watch_rx *rx, void *value)
{
    weir_shard_check(rx->watch->home, "weir_watch_copy");
    memcpy(value, rx->watch->value, rx->watch->size);
    rx->seen = rx->watch->version;
}
