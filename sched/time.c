/* time.c - the shard's clock, sleeping, timers. */
#include <errno.h>
#include <weir/time.h>
#include "sched/shard.h"

weir_time weir_now(void)
{
    return weir_shard_here("weir_now")->now;
}

weir_time weir_after(weir_time span)
{
    weir_time deadline;

    if (__builtin_add_overflow(weir_shard_here("weir_after")->now, span, &deadline))
        return span > 0 ? WEIR_NEVER : 0;
    return deadline;
}

void weir_alarm_init(struct weir_alarm *alarm, void (*fire)(struct weir_alarm *))
{
    weir_list_init(&alarm->link);
    alarm->when = 0;
    alarm->fire = fire;
}

bool weir_alarm_armed(const struct weir_alarm *alarm)
{
    return !weir_list_empty(&alarm->link);
}

static struct weir_shard *timers_here(const char *call)
{
    struct weir_shard *shard = weir_shard_here(call);

    if (weir_unlikely(shard->no_timers))
        weir_panic("%s: this runtime has no timers, so nothing can sleep or have a deadline; set "
                   "weir_config.timers to have them",
                   call);
    return shard;
}

void weir_alarm_set(struct weir_alarm *alarm, weir_time when)
{
    struct weir_shard *shard = timers_here("weir_alarm_set");

    if (weir_alarm_armed(alarm))
        weir_wheel_del(&shard->wheel, alarm);
    weir_wheel_add(&shard->wheel, alarm, when);
}

void weir_alarm_clear(struct weir_alarm *alarm)
{
    if (weir_alarm_armed(alarm))
        weir_wheel_del(&weir_shard_here("weir_alarm_clear")->wheel, alarm);
}

static void timer_fire(struct weir_alarm *alarm)
{
    weir_future_set(&weir_container_of(alarm, struct weir_timer, alarm)->future, 0);
}

static void timer_cancel(struct weir_future *future)
{
    weir_alarm_clear(&weir_container_of(future, struct weir_timer, future)->alarm);
    weir_future_set(future, -ECANCELED);
}

void weir_timer_start(struct weir_timer *timer, weir_time when)
{
    struct weir_shard *shard = timers_here("weir_timer_start");

    weir_future_init(&timer->future, timer_cancel);
    weir_alarm_init(&timer->alarm, timer_fire);
    if (when <= shard->now)
        weir_future_set(&timer->future, 0);
    else
        weir_wheel_add(&shard->wheel, &timer->alarm, when);
}

int weir_sleep_until(weir_time when)
{
    struct weir_timer timer;

    timers_here("weir_sleep_until"); /* or the sentence would be about weir_timer_start */
    weir_timer_start(&timer, when);
    return (int)weir_await(&timer.future, WEIR_NEVER);
}

int weir_sleep(weir_time span)
{
    timers_here("weir_sleep");
    return weir_sleep_until(weir_after(span));
}
