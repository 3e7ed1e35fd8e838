/* pause.c - a clock that stands still, and jumps when nothing else can happen.
 *
 * Pausing puts another clock into the shard, and a driver above its own that never lets it sleep
 * for a timer: so the shard's loop knows nothing of it and pays nothing for it.  The world is
 * looked at in one turn, and if nothing came of that the clock jumps in the next, or, if it must
 * not, the shard sleeps until something comes.  In one turn both would not do: drivers below may
 * take a look as a sign of life, and nobody would wake the shard.
 *
 * Here timers fire at their very times, not at ticks of the wheel: a test that sleeps for a second
 * and advances by one expects to be there. */
#include <errno.h>
#include <weir/time.h>
#include "sched/shard.h"

enum { PAUSE_TIMERS = 256 }; /* fired per turn */

/* A fiber in weir_advance, in its frame. */
struct advance {
    struct weir_future future;
    struct weir_link link;
};

/* --- the clocks --- */

static weir_time paused_clock(struct weir_shard *shard)
{
    return shard->now;
}

/* After a pause. */
static weir_time shifted_clock(struct weir_shard *shard)
{
    weir_time now;

    return __builtin_add_overflow(shard->pause.clock(shard), shard->pause.shift, &now)
               ? WEIR_NEVER - 1
               : now;
}

/* --- the driver --- */

static void pause_passed(struct weir_pause *pause)
{
    struct weir_link *link;

    while ((link = weir_list_pop(&pause->advances)) != NULL)
        weir_future_set(&weir_container_of(link, struct advance, link)->future, 0);
}

/* Those who advanced come behind those whom that woke. */
static bool pause_fire(struct weir_shard *shard)
{
    struct weir_alarm *alarm;
    bool worked;

    for (int fired = 0; fired < PAUSE_TIMERS; fired++) {
        alarm = weir_wheel_pop_exact(&shard->wheel, shard->now);
        if (!alarm) {
            worked = fired > 0 || !weir_list_empty(&shard->pause.advances);
            pause_passed(&shard->pause);
            return worked;
        }
        alarm->fire(alarm);
    }
    return true;
}

/* Nothing can happen but what comes from outside, or with time. */
static bool pause_jump(struct weir_shard *shard)
{
    struct weir_driver *below = shard->pause.below;
    weir_time first = shard->errands > 0 ? WEIR_NEVER : weir_wheel_first(&shard->wheel);

    if (first == WEIR_NEVER)
        return below->ops->poll(below, WEIR_NEVER);
    weir_assert(first > shard->now);
    shard->now = first;
    weir_shard_awake(shard);
    return pause_fire(shard);
}

/* `until` is not 0 when all fibers wait, and no mail has come. */
static bool pause_poll(struct weir_driver *driver, weir_time until)
{
    struct weir_shard *shard = driver->shard;
    struct weir_pause *pause = &shard->pause;
    bool worked;

    if (until != 0 && pause->looked) {
        pause->looked = false;
        return pause_jump(shard);
    }
    worked = pause->below->ops->poll(pause->below, 0);
    worked |= pause_fire(shard);
    pause->looked = until != 0 && !worked;
    return worked;
}

static void pause_report(const struct weir_driver *driver)
{
    const struct weir_driver *below = driver->shard->pause.below;

    if (below->ops->report)
        below->ops->report(below);
}

static void pause_close(struct weir_driver *driver)
{
    struct weir_driver *below = driver->shard->pause.below;

    below->ops->close(below);
}

static const struct weir_driver_ops pause_ops = {
    .name = "paused",
    .poll = pause_poll,
    .report = pause_report,
    .close = pause_close,
};

/* --- pausing --- */

/* Spinning is waiting for real time to pass. */
void weir_shard_pause(struct weir_shard *shard)
{
    struct weir_pause *pause = &shard->pause;

    if (!pause->clock)
        pause->clock = shard->clock;
    pause->driver = (struct weir_driver){ .ops = &pause_ops, .shard = shard };
    pause->below = shard->driver;
    pause->poll = shard->poll;
    pause->idle_spin = shard->idle_spin;
    pause->looked = false;
    weir_list_init(&pause->advances);
    shard->clock = paused_clock;
    shard->driver = &pause->driver;
    shard->poll = WEIR_POLL_ADAPTIVE;
    shard->idle_spin = 0;
}

static void shard_resume(struct weir_shard *shard)
{
    struct weir_pause *pause = &shard->pause;

    shard->clock_span = 0; /* what was read and is reused would be shifted twice */
    pause->shift = shard->now - pause->clock(shard);
    shard->clock = shifted_clock;
    shard->driver = pause->below;
    shard->poll = pause->poll;
    shard->idle_spin = pause->idle_spin;
    pause->below = NULL;
    pause_passed(pause);
}

/* The shard whose clock it is; NULL in the simulation. */
static struct weir_shard *pause_here(const char *call)
{
    struct weir_shard *shard = weir_shard_here(call);

    if (!shard->all->runtime)
        return NULL;
    if (shard->all->count > 1)
        weir_panic("%s: this runtime has %u shards, each with a clock of its own; use a "
                   "current-thread runtime, one with weir_config.shards = 1, or weir_sim_run",
                   call, shard->all->count);
    return shard;
}

static void pause_needed(const struct weir_shard *shard, const char *call)
{
    if (!shard->pause.below)
        weir_panic("%s: the clock is not paused; weir_pause or weir_config.paused does that", call);
}

void weir_pause(void)
{
    struct weir_shard *shard = pause_here("weir_pause");

    if (!shard)
        return;
    if (shard->pause.below)
        weir_panic("weir_pause: the clock is paused already; weir_resume lets it go on");
    weir_shard_pause(shard);
}

void weir_resume(void)
{
    struct weir_shard *shard = pause_here("weir_resume");

    if (!shard)
        return;
    pause_needed(shard, "weir_resume");
    shard_resume(shard);
}

static void advance_cancel(struct weir_future *future)
{
    weir_list_del(&weir_container_of(future, struct advance, future)->link);
    weir_future_set(future, -ECANCELED);
}

int weir_advance(weir_time span)
{
    struct weir_shard *shard = pause_here("weir_advance");
    weir_time now = weir_now(), to;
    struct advance advance;

    if (span < 0 || __builtin_add_overflow(now, span, &to) || to == WEIR_NEVER)
        weir_panic("weir_advance: the clock cannot move by %lld ns; a span must be from 0 to the "
                   "end of time, %lld ns from now",
                   (long long)span, (long long)(WEIR_NEVER - 1 - now));
    if (!shard)
        return weir_sleep_until(to);
    pause_needed(shard, "weir_advance");
    shard->now = to;
    weir_future_init(&advance.future, advance_cancel);
    weir_list_push(&shard->pause.advances, &advance.link);
    return (int)weir_await(&advance.future, WEIR_NEVER);
}
