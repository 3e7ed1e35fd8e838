/* task.c - a fiber, the future of its result, and sets of them.
 *
 * A task that was cancelled before its first run never runs, so that what it was given stays with
 * its owner; the fiber runs all the same, for it is in a scope that counts it. */
#include "sched/task.h"
#include <errno.h>
#include "sched/fiber.h"

/* An error of a fiber that was asked to end is the answer to that. */
int64_t weir_task_run(struct weir_task *task)
{
    int64_t result;

    if (weir_cancelled())
        return -ECANCELED;
    task->began = true;
    result = task->fn(task->arg);
    return result < 0 && weir_cancelled() ? -ECANCELED : result;
}

void weir_task_over(struct weir_task *task, int64_t result)
{
    struct weir_task_set *set = task->set;

    task->fiber = NULL;
    if (set) {
        weir_list_del(&task->link);
        weir_list_push(&set->finished, &task->link);
    }
    weir_future_set(&task->future, result);
    if (set && set->waiting) {
        set->waiting = false;
        weir_future_set(&set->next, 0);
    }
}

static void task_main(void *arg)
{
    struct weir_task *task = arg;

    weir_task_over(task, weir_task_run(task));
}

static void task_cancel(struct weir_future *future)
{
    weir_fiber_cancel(weir_container_of(future, struct weir_task, future)->fiber);
}

int weir_task_start_at(struct weir_task *task, struct weir_scope *scope, int64_t (*fn)(void *arg),
                       void *arg, const char *name, const char *site)
{
    struct weir_shard *shard = weir_shard_here("weir_task_start");
    int error;

    task->began = false;
    task->fn = fn;
    task->arg = arg;
    task->name = name;
    task->site = site;
    task->set = NULL;
    task->home = shard;
    weir_future_init(&task->future, task_cancel);
    error = weir_fiber_spawn(shard, scope ? scope : &shard->root, task_main, task, name, site,
                             &task->fiber);
    if (error < 0)
        weir_future_set(&task->future, error);
    return error;
}

int64_t weir_task_join(struct weir_task *task, weir_time deadline)
{
    weir_shard_check(task->home, "weir_task_join");
    return weir_await(&task->future, deadline);
}

bool weir_task_finished(const struct weir_task *task)
{
    return task->future.done;
}

void weir_task_abort(struct weir_task *task)
{
    weir_shard_check(task->home, "weir_task_abort");
    weir_future_cancel(&task->future);
}

const char *weir_task_name(const struct weir_task *task)
{
    return task->name;
}

int64_t weir_timeout(weir_time deadline, int64_t (*fn)(void *arg), void *arg)
{
    struct weir_scope scope;
    struct weir_task task;

    weir_fiber_here("weir_timeout");
    weir_scope_init(&scope);
    weir_task_start(&task, &scope, fn, arg);
    return weir_task_join(&task, deadline); /* when it is over it has left the scope */
}

/* --- sets --- */

void weir_task_set_init(struct weir_task_set *set)
{
    *set = (struct weir_task_set){ .home = weir_shard_here("weir_task_set_init") };
    weir_list_init(&set->running);
    weir_list_init(&set->finished);
}

void weir_task_set_add(struct weir_task_set *set, struct weir_task *task)
{
    weir_shard_check(set->home, "weir_task_set_add");
    weir_shard_check(task->home, "weir_task_set_add");
    if (task->set)
        weir_panic("weir_task_set_add: '%s' is in a set already; weir_task_set_next takes it out",
                   task->name);
    task->set = set;
    set->count++;
    weir_list_push(task->future.done ? &set->finished : &set->running, &task->link);
    if (task->future.done && set->waiting) {
        set->waiting = false;
        weir_future_set(&set->next, 0);
    }
}

uint32_t weir_task_set_count(const struct weir_task_set *set)
{
    return set->count;
}

static void set_next_cancel(struct weir_future *future)
{
    weir_container_of(future, struct weir_task_set, next)->waiting = false;
    weir_future_set(future, -ECANCELED);
}

/* Until one has ended, which another may be quicker to take.  Without `cancel` neither a deadline
 * nor a cancel ends the wait. */
static int set_wait(struct weir_task_set *set, void (*cancel)(struct weir_future *),
                    weir_time deadline)
{
    if (set->waiting)
        weir_panic("weir_task_set_next: another fiber waits for the tasks of this set; one at a "
                   "time may");
    weir_future_init(&set->next, cancel);
    set->waiting = true;
    return (int)weir_await(&set->next, deadline);
}

static struct weir_task *set_take(struct weir_task_set *set)
{
    struct weir_task *task =
        weir_container_of(weir_list_pop(&set->finished), struct weir_task, link);

    task->set = NULL;
    set->count--;
    return task;
}

int weir_task_set_next(struct weir_task_set *set, struct weir_task **task, weir_time deadline)
{
    int error = 0;

    weir_fiber_here("weir_task_set_next");
    weir_shard_check(set->home, "weir_task_set_next");
    while (error == 0 && set->count > 0 && weir_list_empty(&set->finished))
        error = set_wait(set, set_next_cancel, deadline);
    if (error < 0)
        return error;
    if (set->count == 0)
        return 0;
    *task = set_take(set);
    return 1;
}

void weir_task_set_abort(struct weir_task_set *set)
{
    struct weir_link rest, *link;

    weir_shard_check(set->home, "weir_task_set_abort");
    weir_list_init(&rest);
    weir_list_move_all(&rest, &set->running);
    while ((link = weir_list_pop(&rest)) != NULL) {
        weir_list_push(&set->running, link); /* some are over at once, and leave it */
        weir_task_abort(weir_container_of(link, struct weir_task, link));
    }
}

int weir_task_set_join(struct weir_task_set *set, weir_time deadline)
{
    struct weir_task *task;
    int error;

    while ((error = weir_task_set_next(set, &task, deadline)) > 0)
        ;
    if (error == 0)
        return 0;
    weir_task_set_abort(set);
    while (set->count > 0) {
        if (weir_list_empty(&set->finished))
            set_wait(set, NULL, WEIR_NEVER);
        else
            set_take(set);
    }
    return error;
}
