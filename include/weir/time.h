/* time.h - the shard's clock, sleeping, and timers.
 *
 * Timers live in the shard's timer wheel: arming and cancelling are O(1) and take no lock.  The
 * resolution is 65.5 us (WEIR_TICK); nothing ever fires early.  A shard that has fallen behind
 * fires late, never more than a bounded number per turn. */
#ifndef WEIR_TIME_H
#define WEIR_TIME_H

#include <weir/future.h>

WEIR_BEGIN

enum { WEIR_TICK_SHIFT = 16 };
#define WEIR_TICK ((weir_time)1 << WEIR_TICK_SHIFT)

/* The time at which this turn of the shard's loop began, or woke from its sleep (a fiber that
 * computes for long sees a clock that stands still; weir_yield lets it move on). */
WEIR_API weir_time weir_now(void);

/* The deadline `span` from now; WEIR_NEVER when that is beyond the end of time. */
WEIR_API weir_time weir_after(weir_time span);

/* Suspend the fiber.  0, or -ECANCELED when the fiber is cancelled. */
WEIR_API int weir_sleep(weir_time span);
WEIR_API int weir_sleep_until(weir_time when);

/* A callback at a point in time: for code without a stack.  Runs on the shard's loop; must not
 * suspend.  An alarm is armed by the shard that set it until it fires or is cleared. */
struct weir_alarm {
    struct weir_link link; /* self-linked or NULL when not armed */
    weir_time when;
    void (*fire)(struct weir_alarm *alarm);
};

WEIR_API void weir_alarm_init(struct weir_alarm *alarm, void (*fire)(struct weir_alarm *));
WEIR_API void weir_alarm_set(struct weir_alarm *alarm, weir_time when); /* again: re-arms */
WEIR_API void weir_alarm_clear(struct weir_alarm *alarm);               /* again: does nothing */
WEIR_API bool weir_alarm_armed(const struct weir_alarm *alarm);

/* A future that completes with 0 at `when`.  Cancelling completes it at once. */
struct weir_timer {
    struct weir_future future;
    struct weir_alarm alarm;
};

WEIR_API void weir_timer_start(struct weir_timer *timer, weir_time when);

WEIR_END

#endif
