/* time.h - the shard's clock, sleeping, timers, and a clock that stands still for tests.
 *
 * Timers live in the shard's timer wheel: arming and cancelling are O(1) and take no lock.
 *
 * Resolution and accuracy.  A span is in nanoseconds, a timer is due at the first tick of the wheel
 * at or after its time; ticks are 65.5 us apart (WEIR_TICK).  Guaranteed: nothing fires early, and
 * timers fire in the order of their ticks, those of one tick in the order in which they were set
 * (those set for more than 50 days ahead come somewhere among those of their tick).  So one is late
 * by up to a tick, and by what the shard does meanwhile: the rest of its turn (fibers run for at
 * most 500 us in one, a fiber that computes for longer holds up everything), at most 256 timers
 * that are due before it per turn, and the kernel's time to wake a thread.  What that comes to on a
 * machine is measured in perf/.  The clock is CLOCK_MONOTONIC, which stands still while the machine
 * is suspended. */
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

/* --- a paused clock, for tests ---
 *
 * weir_pause stops the shard's clock where it is (weir_config.paused: from the start).  It then
 * moves by weir_advance, and by itself: when every fiber waits and nothing else can happen it jumps
 * to the next timer, so that a program that sleeps for an hour takes no time, and sees that an hour
 * has passed.  Timers fire when the clock comes to their very time, not at a tick.
 *
 * What keeps it from jumping: a fiber that can run, a message or weir_submit that has arrived, a
 * job in the blocking pool, a file operation.  What does not, as in Tokio: I/O on sockets, signals
 * and child processes.  The shard looks for them once, and if nothing is there jumps: a deadline on
 * an answer that has yet to come over a network passes at once.  Nor does what another thread is
 * about to do; have it done in a job of weir_blocking.  The grace time of a stop is such a timer.
 *
 * All three end the program with a sentence in a runtime of more than one shard, and when the clock
 * is paused already, or not.  In the simulation, whose clock is virtual anyway, weir_pause and
 * weir_resume do nothing, and weir_advance sleeps. */
WEIR_API void weir_pause(void);

/* From here on the clock moves as real time does, from where it stands. */
WEIR_API void weir_resume(void);

/* Moves the clock on by `span` (>= 0) in one jump and lets what is due run: the timers passed fire
 * in the order of their ticks, and each fiber that has woken for one runs until it waits again.  0,
 * or -ECANCELED when the fiber is cancelled; the clock has moved all the same. */
WEIR_API int weir_advance(weir_time span);

WEIR_END

#endif
