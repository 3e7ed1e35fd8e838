/* wheel.c - where an alarm waits, and how the wheel turns.
 *
 * An alarm's level is the highest group of 6 bits in which its tick differs from the wheel's, its
 * slot the value of that group in the alarm's tick.  So below the last level every occupied slot
 * lies ahead of the wheel without wrapping, all of one level comes before all of the next, and the
 * place of an alarm does not change while the wheel turns towards it.  The last level alone wraps:
 * an alarm further than 63 of its slots away waits in the 63rd and is placed anew from there.
 *
 * The wheel turns to `now` in one go, from one occupied slot to the next: a slot of level 0 is
 * spliced to `due`, one above is placed anew relative to its own start.  An alarm is moved at most
 * WEIR_WHEEL_LEVELS times on its way (and once in 51 days before that).  Alarms set for the past go
 * behind what is due already, so one that sets itself for the past for ever holds nobody up.
 *
 * Invariant: for every alarm in a slot, wheel->tick < slot's first tick <= alarm's tick; the bit of
 * a slot is set exactly when the slot has alarms. */
#include "core/wheel.h"

enum {
    LEVEL_BITS = 6,
    LAST = WEIR_WHEEL_LEVELS - 1,
    LAST_SHIFT = LAST * LEVEL_BITS,
    SLOT_MASK = WEIR_WHEEL_SLOTS - 1,
};

_Static_assert(WEIR_WHEEL_SLOTS == 1 << LEVEL_BITS, "a slot is a group of bits of the tick");
_Static_assert(WEIR_WHEEL_SLOTS == 64, "one word of occupancy a level");

/* The last tick the clock can reach. */
static const uint64_t tick_end = (uint64_t)INT64_MAX >> WEIR_TICK_SHIFT;

static inline uint64_t tick_floor(weir_time now)
{
    return now <= 0 ? 0 : (uint64_t)now >> WEIR_TICK_SHIFT;
}

/* Up: an alarm never fires before its time. */
static inline uint64_t tick_ceil(weir_time when)
{
    return when <= 0 ? 0 : ((uint64_t)when + WEIR_TICK - 1) >> WEIR_TICK_SHIFT;
}

static inline struct weir_alarm *alarm_of(struct weir_link *link)
{
    return weir_container_of(link, struct weir_alarm, link);
}

static inline void slot_push(struct weir_wheel *wheel, unsigned level, uint64_t index,
                             struct weir_link *link)
{
    index &= SLOT_MASK;
    wheel->occupied[level] |= UINT64_C(1) << index;
    weir_list_push(&wheel->slot[level][index], link);
}

static void place_last(struct weir_wheel *wheel, struct weir_link *link, uint64_t tick)
{
    uint64_t here = wheel->tick >> LAST_SHIFT;
    uint64_t ahead = (tick >> LAST_SHIFT) - here;

    slot_push(wheel, LAST, here + weir_min_u64(ahead, WEIR_WHEEL_SLOTS - 1), link);
}

static inline void place(struct weir_wheel *wheel, struct weir_link *link, uint64_t tick)
{
    unsigned level;

    if (tick <= wheel->tick) {
        weir_list_push(&wheel->due, link);
        return;
    }
    level = (63u - (unsigned)__builtin_clzll(tick ^ wheel->tick)) / LEVEL_BITS;
    if (weir_unlikely(level >= LAST))
        place_last(wheel, link, tick);
    else
        slot_push(wheel, level, tick >> (level * LEVEL_BITS), link);
}

void weir_wheel_init(struct weir_wheel *wheel, weir_time now)
{
    wheel->tick = tick_floor(now);
    wheel->armed = 0;
    weir_list_init(&wheel->due);
    weir_list_init(&wheel->never);
    for (unsigned level = 0; level < WEIR_WHEEL_LEVELS; level++) {
        wheel->occupied[level] = 0;
        for (unsigned index = 0; index < WEIR_WHEEL_SLOTS; index++)
            weir_list_init(&wheel->slot[level][index]);
    }
}

void weir_wheel_add(struct weir_wheel *wheel, struct weir_alarm *alarm, weir_time when)
{
    uint64_t tick = tick_ceil(when);

    weir_assert(!weir_wheel_armed(alarm));
    alarm->when = when;
    wheel->armed++;
    if (weir_unlikely(tick > tick_end))
        weir_list_push(&wheel->never, &alarm->link);
    else
        place(wheel, &alarm->link, tick);
}

/* The heads stand in one array, so the head an emptied list leaves behind names its bit. */
static void slot_emptied(struct weir_wheel *wheel, const struct weir_link *head)
{
    uintptr_t offset = (uintptr_t)head - (uintptr_t)wheel->slot;
    size_t index = offset / sizeof *head;

    if (offset < sizeof wheel->slot) /* not `due`, not `never` */
        wheel->occupied[index / WEIR_WHEEL_SLOTS] &= ~(UINT64_C(1) << (index & SLOT_MASK));
}

void weir_wheel_del(struct weir_wheel *wheel, struct weir_alarm *alarm)
{
    struct weir_link *next = alarm->link.next;

    weir_assert(weir_wheel_armed(alarm));
    weir_assert(wheel->armed > 0);
    wheel->armed--;
    weir_list_del(&alarm->link);
    if (weir_list_empty(next))
        slot_emptied(wheel, next);
}

/* The occupied slot that the wheel meets next: its level and its first tick.  The lowest level that
 * has any has the earliest.  False: all slots are empty. */
static bool slot_next(const struct weir_wheel *wheel, unsigned *level, uint64_t *start)
{
    for (unsigned l = 0; l < LAST; l++) {
        unsigned shift = l * LEVEL_BITS;

        if (wheel->occupied[l]) {
            uint64_t turn = wheel->tick >> shift >> LEVEL_BITS << LEVEL_BITS;

            *level = l;
            *start = (turn | (uint64_t)__builtin_ctzll(wheel->occupied[l])) << shift;
            return true;
        }
    }
    if (wheel->occupied[LAST]) {
        uint64_t here = wheel->tick >> LAST_SHIFT, word = wheel->occupied[LAST];
        unsigned turn = (unsigned)(here & SLOT_MASK);

        word = word >> turn | word << (-turn & SLOT_MASK); /* bit 0: the wheel's own slot */
        *level = LAST;
        *start = (here + (uint64_t)__builtin_ctzll(word)) << LAST_SHIFT;
        return true;
    }
    return false;
}

/* Turns to the slot's first tick, which no occupied slot precedes, and empties it. */
static void wheel_enter(struct weir_wheel *wheel, unsigned level, uint64_t start)
{
    uint64_t index = (start >> (level * LEVEL_BITS)) & SLOT_MASK;
    struct weir_link *slot = &wheel->slot[level][index];
    struct weir_link moving, *link;

    wheel->tick = start;
    wheel->occupied[level] &= ~(UINT64_C(1) << index);
    if (level == 0) {
        weir_list_move_all(&wheel->due, slot);
        return;
    }
    weir_list_init(&moving);
    weir_list_move_all(&moving, slot);
    while ((link = weir_list_pop(&moving)))
        place(wheel, link, tick_ceil(alarm_of(link)->when));
}

static void wheel_turn(struct weir_wheel *wheel, uint64_t tick)
{
    unsigned level;
    uint64_t start;

    while (slot_next(wheel, &level, &start) && start <= tick)
        wheel_enter(wheel, level, start);
    wheel->tick = tick;
}

struct weir_alarm *weir_wheel_pop(struct weir_wheel *wheel, weir_time now)
{
    uint64_t tick = tick_floor(now);
    struct weir_link *link;

    if (tick > wheel->tick)
        wheel_turn(wheel, tick);
    link = weir_list_pop(&wheel->due);
    if (!link)
        return NULL;
    __builtin_prefetch(wheel->due.next->next, 1); /* the next pop writes there */
    wheel->armed--;
    return alarm_of(link);
}

weir_time weir_wheel_next(const struct weir_wheel *wheel)
{
    uint64_t start = wheel->tick;
    unsigned level;

    if (weir_list_empty(&wheel->due) && !slot_next(wheel, &level, &start))
        return WEIR_NEVER;
    return (weir_time)(start << WEIR_TICK_SHIFT);
}

weir_time weir_wheel_first(const struct weir_wheel *wheel)
{
    weir_time first = WEIR_NEVER;
    const struct weir_link *head;
    uint64_t start;
    unsigned level;

    if (!weir_list_empty(&wheel->due) || !slot_next(wheel, &level, &start) || level == LAST)
        return weir_wheel_next(wheel);
    head = &wheel->slot[level][(start >> (level * LEVEL_BITS)) & SLOT_MASK];
    for (struct weir_link *link = head->next; link != head; link = link->next)
        first = alarm_of(link)->when < first ? alarm_of(link)->when : first;
    return first;
}

/* Behind those of the ticks that are over there may be some of the tick that has begun: they stand
 * in one slot, perhaps with later ones. */
struct weir_alarm *weir_wheel_pop_exact(struct weir_wheel *wheel, weir_time now)
{
    struct weir_alarm *alarm = weir_wheel_pop(wheel, now);
    struct weir_link *head;
    uint64_t start;
    unsigned level;

    if (alarm || !slot_next(wheel, &level, &start) || start != wheel->tick + 1)
        return alarm;
    head = &wheel->slot[level][(start >> (level * LEVEL_BITS)) & SLOT_MASK];
    for (struct weir_link *link = head->next; link != head; link = link->next) {
        alarm = alarm_of(link);
        if (alarm->when <= now) {
            weir_wheel_del(wheel, alarm);
            return alarm;
        }
    }
    return NULL;
}

/* How many alarms stand in one slot; each must belong there, as seen from the wheel's tick. */
static uint64_t slot_validate(const struct weir_wheel *wheel, unsigned level, unsigned index)
{
    const struct weir_link *head = &wheel->slot[level][index];
    unsigned shift = level * LEVEL_BITS;
    uint64_t here = wheel->tick >> shift;
    uint64_t ahead = (index - here) & SLOT_MASK;
    uint64_t count = 0;

    weir_assert(weir_list_empty(head) || level == LAST || index > (here & SLOT_MASK));
    weir_assert((wheel->occupied[level] >> index & 1) == !weir_list_empty(head));
    for (struct weir_link *link = head->next; link != head; link = link->next, count++) {
        uint64_t tick = tick_ceil(alarm_of(link)->when);

        weir_assert(link->next->prev == link && link->prev->next == link);
        weir_assert(ahead > 0 && tick <= tick_end);
        weir_assert(level < LAST ? tick >> shift == here + ahead : tick >> shift >= here + ahead);
    }
    return count;
}

void weir_wheel_validate(const struct weir_wheel *wheel)
{
    uint64_t count = 0;

    for (unsigned level = 0; level < WEIR_WHEEL_LEVELS; level++)
        for (unsigned index = 0; index < WEIR_WHEEL_SLOTS; index++)
            count += slot_validate(wheel, level, index);
    for (struct weir_link *link = wheel->due.next; link != &wheel->due; link = link->next, count++)
        weir_assert(tick_ceil(alarm_of(link)->when) <= wheel->tick);
    for (struct weir_link *link = wheel->never.next; link != &wheel->never; link = link->next)
        count++;
    weir_assert(count == wheel->armed);
}
