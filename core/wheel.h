/* wheel.h - hierarchical timer wheel: 6 levels of 64 slots, one occupancy word a level.
 *
 * Arm, cancel and "when is the next one" are O(1).  Times are ticks of 65.5 us (WEIR_TICK_SHIFT);
 * an alarm goes to the first tick at or after its time, so nothing fires early.  Alarms beyond the
 * wheel's span (52 days) wait in the last level and are sorted in again as it turns. */
#ifndef WEIR_CORE_WHEEL_H
#define WEIR_CORE_WHEEL_H

#include <weir/time.h>
#include "core/list.h"

enum { WEIR_WHEEL_LEVELS = 6, WEIR_WHEEL_SLOTS = 64 };

struct weir_wheel {
    uint64_t tick;                        /* everything due at or before it has been taken out */
    uint64_t occupied[WEIR_WHEEL_LEVELS]; /* bit i: slot i of the level is not empty */
    struct weir_link slot[WEIR_WHEEL_LEVELS][WEIR_WHEEL_SLOTS];
    struct weir_link due;   /* taken out of the slots, not yet handed out */
    struct weir_link never; /* set for a tick that no clock reaches (WEIR_NEVER) */
    uint64_t armed;         /* how many alarms it holds, the due ones included */
};

void weir_wheel_init(struct weir_wheel *wheel, weir_time now);

/* In whichever wheel; on the way out of it (`due`) counts. */
static inline bool weir_wheel_armed(const struct weir_alarm *alarm)
{
    return alarm->link.next && alarm->link.next != &alarm->link;
}

/* The alarm must not be armed. */
void weir_wheel_add(struct weir_wheel *wheel, struct weir_alarm *alarm, weir_time when);

/* The alarm must be armed in this wheel. */
void weir_wheel_del(struct weir_wheel *wheel, struct weir_alarm *alarm);

/* The next alarm that is due at `now`, taken out of the wheel, or NULL.  Alarms come out in the
 * order of their ticks, those of one tick in the order in which they were set (unless set from
 * beyond the wheel's span).  One set for the past is due at once, behind those that are due
 * already.  A `now` before the last one is taken for the last one. */
struct weir_alarm *weir_wheel_pop(struct weir_wheel *wheel, weir_time now);

/* Whether weir_wheel_pop() would have nothing to do. */
static inline bool weir_wheel_quiet(const struct weir_wheel *wheel, weir_time now)
{
    return now >> WEIR_TICK_SHIFT <= (weir_time)wheel->tick && weir_list_empty(&wheel->due);
}

/* A time at which to look again: not after the first alarm is due, perhaps before; WEIR_NEVER
 * when none will ever be due. */
weir_time weir_wheel_next(const struct weir_wheel *wheel);

/* For a clock that is moved by hand: alarms by their times instead of ticks.  The time of the next
 * alarm, or of none but before it (if that is far away); at or before the wheel's tick when one is
 * due.  The next alarm with a time at or before `now`, taken out of the wheel, or NULL.  O(n) in
 * the alarms of one slot. */
weir_time weir_wheel_first(const struct weir_wheel *wheel);
struct weir_alarm *weir_wheel_pop_exact(struct weir_wheel *wheel, weir_time now);

/* Panics when the wheel breaks one of its invariants; walks all of it.  For tests. */
void weir_wheel_validate(const struct weir_wheel *wheel);

#endif
