/* interval.c - ticks at a fixed rate.
 *
 * All there is to an interval is when its next tick is due.  Taking a tick moves that on, waiting
 * for one does not: so a wait that is cancelled loses nothing. */
#include <errno.h>
#include <weir/fiber.h>
#include <weir/interval.h>
#include "core/base.h"

static weir_time time_add(weir_time when, weir_time span)
{
    weir_time sum;

    return __builtin_add_overflow(when, span, &sum) ? WEIR_NEVER : sum;
}

void weir_interval_init(struct weir_interval *interval, weir_time first, weir_time period,
                        enum weir_missed missed)
{
    if (period <= 0 || first < 0)
        weir_panic("weir_interval_init: the period is %lld ns and the first tick at %lld; a period "
                   "must be above 0, and a time not below",
                   (long long)period, (long long)first);
    *interval = (struct weir_interval){ .due = first, .period = period, .missed = missed };
}

/* When the next is due, this one being taken now. */
static weir_time interval_next(const struct weir_interval *interval, weir_time now)
{
    weir_time late = now - interval->due;

    if (late > WEIR_INTERVAL_SLACK && interval->missed == WEIR_MISSED_DELAY)
        return time_add(now, interval->period);
    if (late > WEIR_INTERVAL_SLACK && interval->missed == WEIR_MISSED_SKIP)
        return time_add(now, interval->period - late % interval->period);
    return time_add(interval->due, interval->period);
}

weir_time weir_interval_take(struct weir_interval *interval)
{
    weir_time due = interval->due, now = weir_now();

    if (due > now)
        weir_panic("weir_interval_take: the tick is due in %lld ns and not before; wait for it "
                   "with weir_interval_tick, or a struct weir_timer for interval.due",
                   (long long)(due - now));
    interval->due = interval_next(interval, now);
    return due;
}

int weir_interval_tick(struct weir_interval *interval, weir_time *at, weir_time deadline)
{
    struct weir_timer timer;
    weir_time due;
    int error;

    if (weir_cancelled()) /* or a burst that never catches up would never hear of it */
        return -ECANCELED;
    weir_timer_start(&timer, interval->due);
    error = (int)weir_await(&timer.future, deadline);
    if (error < 0)
        return error;
    due = weir_interval_take(interval);
    if (at)
        *at = due;
    return 0;
}

void weir_interval_reset(struct weir_interval *interval)
{
    interval->due = weir_after(interval->period);
}

void weir_interval_reset_at(struct weir_interval *interval, weir_time when)
{
    weir_interval_init(interval, when, interval->period, interval->missed);
}
