/* event.c - a flag, and those who wait for it.
 *
 * Invariant: while it is set, nobody waits. */
#include "sched/waiters.h"

void weir_event_init(struct weir_event *event)
{
    *event = (struct weir_event){ .set = false };
    weir_list_init(&event->waiters);
}

void weir_event_set(struct weir_event *event)
{
    weir_home_check(&event->home, "weir_event_set");
    event->set = true;
    weir_waiters_tell_all(&event->waiters);
}

void weir_event_clear(struct weir_event *event)
{
    weir_home_check(&event->home, "weir_event_clear");
    event->set = false;
}

bool weir_event_is_set(const struct weir_event *event)
{
    weir_home_look(event->home, "weir_event_is_set");
    return event->set;
}

void weir_event_start(struct weir_wait *wait, struct weir_event *event)
{
    weir_home_check(&event->home, "weir_event_wait");
    if (event->set)
        wait->future = (struct weir_future){ .done = true };
    else
        weir_waiters_add(&event->waiters, wait);
}

int weir_event_wait(struct weir_event *event, weir_time deadline)
{
    struct weir_wait wait;

    weir_event_start(&wait, event);
    return (int)weir_await(&wait.future, deadline);
}
