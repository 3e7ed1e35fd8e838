/* notify.c - tells one fiber or all to look again, and remembers one call that found nobody.
 *
 * A notification is handed to a waiter, which it takes out of the list, or remembered; so whoever
 * gives up is either out of the list before, or has it.
 *
 * Invariant: while anybody waits, nothing is remembered. */
#include "sched/waiters.h"

void weir_notify_init(struct weir_notify *notify)
{
    *notify = (struct weir_notify){ .permit = false };
    weir_list_init(&notify->waiters);
}

void weir_notify_one(struct weir_notify *notify)
{
    weir_home_check(&notify->home, "weir_notify_one");
    if (!weir_waiters_tell_one(&notify->waiters))
        notify->permit = true;
}

void weir_notify_all(struct weir_notify *notify)
{
    weir_home_check(&notify->home, "weir_notify_all");
    weir_waiters_tell_all(&notify->waiters);
}

void weir_notify_start(struct weir_wait *wait, struct weir_notify *notify)
{
    weir_home_check(&notify->home, "weir_notify_wait");
    if (!notify->permit) {
        weir_waiters_add(&notify->waiters, wait);
        return;
    }
    notify->permit = false;
    wait->future = (struct weir_future){ .done = true };
}

int weir_notify_wait(struct weir_notify *notify, weir_time deadline)
{
    struct weir_wait wait;

    weir_notify_start(&wait, notify);
    return (int)weir_await(&wait.future, deadline);
}
