/* interval.h - ticks at a fixed rate.
 *
 * An interval measures from tick to tick, not from the end of one's work to the next tick: a fiber
 * that works for 10 ms after each tick of a period of 50 ms waits 40 ms for the next.  No timer is
 * armed but while somebody waits, so an interval needs no end and costs nothing when nobody looks.
 *
 * A tick is missed when it is taken more than WEIR_INTERVAL_SLACK after it was due; what then
 * becomes of the later ones is enum weir_missed, which does what Tokio's MissedTickBehavior does:
 *
 *     due     |     1     |     2     |     3     |     4     |     5     |     6     |
 *     burst   | work -----|          delay          | work | work | work -| work -----|
 *     delay   | work -----|          delay          | work -----| work -----| work -----|
 *     skip    | work -----|          delay          | work ---| work -----| work -----|
 *
 * With a period below the resolution of timers (time.h) ticks come at the right rate, several at a
 * time. */
#ifndef WEIR_INTERVAL_H
#define WEIR_INTERVAL_H

#include <weir/time.h>

WEIR_BEGIN

enum weir_missed {
    WEIR_MISSED_BURST, /* as if nothing had been missed: all at once until it has caught up */
    WEIR_MISSED_DELAY, /* the next comes a period after this one was taken, and so on from there */
    WEIR_MISSED_SKIP,  /* the next is the first still to come of those that were due anyway */
};

#define WEIR_INTERVAL_SLACK WEIR_MS(5) /* nobody can be on time to the nanosecond */

/* A plain struct of one shard, used by one fiber at a time. */
struct weir_interval {
    weir_time due; /* of the next tick; WEIR_NEVER when that is beyond the end of time */
    weir_time period;
    enum weir_missed missed;
};

/* The first tick is due at `first` (weir_now(): at once), the second a period (> 0) later. */
WEIR_API void weir_interval_init(struct weir_interval *interval, weir_time first, weir_time period,
                                 enum weir_missed missed);

/* Waits for the next tick and takes it; *at (or NULL) is when it was due.  0; -ETIMEDOUT or
 * -ECANCELED: no tick was taken, so none is lost.  A deadline in the past makes it a poll. */
WEIR_API int weir_interval_tick(struct weir_interval *interval, weir_time *at, weir_time deadline);

/* For those who wait for a tick among other things: start a struct weir_timer for interval->due,
 * race it, and take the tick if it has won.  Takes a tick that is due by now and returns when it
 * was due; ends the program if none is.  Never suspends. */
WEIR_API weir_time weir_interval_take(struct weir_interval *interval);

/* The next tick is due a period from now; or at `when`.  Not while somebody waits for it. */
WEIR_API void weir_interval_reset(struct weir_interval *interval);
WEIR_API void weir_interval_reset_at(struct weir_interval *interval, weir_time when);

WEIR_END

#endif
