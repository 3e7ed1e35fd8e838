/* test_task.c - tasks: results, aborts at each moment, time limits, sets, and tasks for any shard.
 */
#include "tests/sched/run.h"
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>
#include <weir/oneshot.h>
#include <weir/task.h>
#include "sched/shard.h"

enum { SHARDS = 4, FEW = 5 };

static int ran;

static int64_t returns_arg(void *arg)
{
    ran++;
    return (int64_t)(intptr_t)arg;
}

static int64_t naps(void *arg)
{
    int error = weir_sleep((weir_time)(intptr_t)arg);

    ran++;
    return error < 0 ? error : 7;
}

/* Ends with an error of its own when it is cancelled. */
static int64_t fails_when_cancelled(void *arg)
{
    (void)arg;
    return weir_sleep(WEIR_SEC(100)) < 0 ? -EIO : 0;
}

/* Does not care that it is cancelled. */
static int64_t stubborn(void *arg)
{
    (void)arg;
    weir_sleep(WEIR_SEC(100));
    return 42;
}

static void *ms(int64_t count)
{
    return (void *)(intptr_t)WEIR_MS(count);
}

/* --- one task --- */

static void a_join_gives_the_result(void *arg)
{
    struct weir_task task;

    (void)arg;
    ran = 0;
    check_int(weir_task_start(&task, NULL, returns_arg, (void *)42), 0);
    check(!weir_task_finished(&task) && !task.began);
    check_int(ran, 0); /* not before the caller gives way */
    check_int(strcmp(weir_task_name(&task), "returns_arg"), 0);
    check_int(weir_task_join(&task, WEIR_NEVER), 42);
    check(weir_task_finished(&task) && task.began);
    check_int(weir_task_join(&task, WEIR_NEVER), 42);
    weir_task_abort(&task); /* over: nothing */
    check_int(weir_task_join(&task, weir_now()), 42);
    check_int(weir_task_start(&task, NULL, returns_arg, (void *)-EIO), 0);
    check_int(weir_task_join(&task, WEIR_NEVER), -EIO); /* as it is: nobody has cancelled it */
}

static void a_task_that_cannot_start_is_over(void *arg)
{
    struct weir_scope scope;
    struct weir_task first, second;

    (void)arg;
    weir_scope_init(&scope);
    weir_scope_limit(&scope, 1);
    ran = 0;
    check_int(weir_task_start(&first, &scope, returns_arg, (void *)1), 0);
    check_int(weir_task_start(&second, &scope, returns_arg, (void *)2), -EAGAIN);
    check(weir_task_finished(&second) && !second.began);
    check_int(weir_task_join(&second, WEIR_NEVER), -EAGAIN);
    check_int(weir_task_join(&first, WEIR_NEVER), 1);
    check_int(ran, 1);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
}

static void aborted_before_it_began_it_never_runs(void *arg)
{
    struct weir_task task;

    (void)arg;
    ran = 0;
    check_int(weir_task_start(&task, NULL, returns_arg, (void *)1), 0);
    weir_task_abort(&task);
    weir_task_abort(&task);
    check_int(weir_task_join(&task, WEIR_NEVER), -ECANCELED);
    check(!task.began);
    check_int(ran, 0);
}

static void aborted_in_an_await_it_is_cancelled(void *arg)
{
    struct weir_task task;

    (void)arg;
    check_int(weir_task_start(&task, NULL, naps, ms(100000)), 0);
    weir_yield();
    weir_task_abort(&task);
    check(!weir_task_finished(&task)); /* a request: it has to end first */
    check_int(weir_task_join(&task, WEIR_NEVER), -ECANCELED);
    check(task.began);
    check_int(weir_task_start(&task, NULL, fails_when_cancelled, NULL), 0);
    weir_yield();
    weir_task_abort(&task);
    check_int(weir_task_join(&task, WEIR_NEVER), -ECANCELED);
    check_int(weir_task_start(&task, NULL, stubborn, NULL), 0);
    weir_yield();
    weir_task_abort(&task);
    check_int(weir_task_join(&task, WEIR_NEVER), 42); /* a result is not lost */
}

static void a_deadline_of_the_join_aborts(void *arg)
{
    struct weir_task task;

    (void)arg;
    check_int(weir_task_start(&task, NULL, naps, ms(100000)), 0);
    check_int(weir_task_join(&task, weir_after(WEIR_MS(1))), -ETIMEDOUT);
    check(weir_task_finished(&task));
    check_int(task.future.result, -ECANCELED);
}

/* The scope a task is in cancels it as it does any fiber. */
static void a_cancelled_scope_aborts_its_tasks(void *arg)
{
    struct weir_scope scope;
    struct weir_task task[2];

    (void)arg;
    weir_scope_init(&scope);
    check_int(weir_task_start(&task[0], &scope, fails_when_cancelled, NULL), 0);
    weir_yield();
    check_int(weir_task_start(&task[1], &scope, returns_arg, NULL), 0);
    weir_scope_cancel(&scope);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    check_int(weir_task_join(&task[0], WEIR_NEVER), -ECANCELED);
    check_int(weir_task_join(&task[1], WEIR_NEVER), -ECANCELED);
    check(task[0].began && !task[1].began);
}

static void tasks_race(void *arg)
{
    struct weir_task slow, quick;

    (void)arg;
    check_int(weir_task_start(&slow, NULL, naps, ms(100000)), 0);
    check_int(weir_task_start(&quick, NULL, naps, ms(1)), 0);
    check_int(weir_race(WEIR_NEVER, &slow.future, &quick.future), 1);
    check_int(slow.future.result, -ECANCELED); /* the loser was waited for */
    check_int(quick.future.result, 7);
}

/* --- a time limit --- */

static void timeout_gives_the_result_or_says_so(void *arg)
{
    (void)arg;
    check_int(weir_timeout(WEIR_NEVER, returns_arg, (void *)5), 5);
    check_int(weir_timeout(weir_after(WEIR_SEC(100)), naps, ms(1)), 7);
    check_int(weir_timeout(weir_after(WEIR_MS(1)), naps, ms(100000)), -ETIMEDOUT);
    check_int(weir_timeout(weir_after(WEIR_MS(1)), stubborn, NULL), 42);
    ran = 0;
    check_int(weir_timeout(weir_now(), returns_arg, (void *)5), -ETIMEDOUT);
    check_int(ran, 0);
}

static int64_t timeout_inside(void *arg)
{
    (void)arg;
    return weir_timeout(WEIR_NEVER, naps, ms(100000));
}

static void a_cancelled_caller_cancels_what_is_limited(void *arg)
{
    struct weir_task task;

    (void)arg;
    check_int(weir_task_start(&task, NULL, timeout_inside, NULL), 0);
    weir_yield();
    weir_task_abort(&task);
    check_int(weir_task_join(&task, WEIR_NEVER), -ECANCELED);
}

/* --- sets --- */

static void a_set_hands_them_out_as_they_end(void *arg)
{
    struct weir_task_set set;
    struct weir_task task[3], *next;

    (void)arg;
    weir_task_set_init(&set);
    check_int(weir_task_set_next(&set, &next, WEIR_NEVER), 0); /* empty */
    check_int(weir_task_set_join(&set, WEIR_NEVER), 0);
    for (int i = 0; i < 3; i++) {
        static const int naps_ms[] = { 9, 3, 6 };

        check_int(weir_task_start(&task[i], NULL, naps, ms(naps_ms[i])), 0);
        weir_task_set_add(&set, &task[i]);
    }
    check_int(weir_task_set_count(&set), 3);
    next = NULL;
    check_int(weir_task_set_next(&set, &next, weir_now()), -ETIMEDOUT); /* aborts nothing */
    check_int(weir_task_set_next(&set, &next, WEIR_NEVER), 1);
    check(next == &task[1] && next->future.result == 7);
    check_int(weir_task_set_next(&set, &next, WEIR_NEVER), 1);
    check(next == &task[2]);
    check_int(weir_task_set_next(&set, &next, WEIR_NEVER), 1);
    check(next == &task[0]);
    check_int(weir_task_set_next(&set, &next, WEIR_NEVER), 0);
}

static void what_is_over_can_be_added(void *arg)
{
    struct weir_task_set set;
    struct weir_task task, *next;

    (void)arg;
    weir_task_set_init(&set);
    check_int(weir_task_start(&task, NULL, returns_arg, (void *)1), 0);
    check_int(weir_task_join(&task, WEIR_NEVER), 1);
    weir_task_set_add(&set, &task);
    check_int(weir_task_set_next(&set, &next, WEIR_NEVER), 1);
    check(next == &task);
    check_int(weir_task_set_count(&set), 0);
}

static int64_t waits_for_next(void *arg)
{
    struct weir_task *next;

    return weir_task_set_next(arg, &next, WEIR_NEVER);
}

static void a_cancelled_wait_leaves_the_set_as_it_is(void *arg)
{
    struct weir_task_set set;
    struct weir_task task, waiter, *next;

    (void)arg;
    weir_task_set_init(&set);
    check_int(weir_task_start(&task, NULL, naps, ms(2)), 0);
    weir_task_set_add(&set, &task);
    check_int(weir_task_start(&waiter, NULL, waits_for_next, &set), 0);
    weir_yield();
    weir_task_abort(&waiter);
    check_int(weir_task_join(&waiter, WEIR_NEVER), -ECANCELED);
    check_int(weir_task_set_next(&set, &next, WEIR_NEVER), 1);
    check_int(next->future.result, 7);
}

static void abort_all_and_join_all(void *arg)
{
    struct weir_task_set set;
    struct weir_task task[8], *next;

    (void)arg;
    weir_task_set_init(&set);
    for (int i = 0; i < 8; i++) {
        check_int(weir_task_start(&task[i], NULL, naps, ms(i < 4 ? 0 : 100000)), 0);
        weir_task_set_add(&set, &task[i]);
    }
    for (int i = 0; i < 4; i++)
        check_int(weir_task_set_next(&set, &next, WEIR_NEVER), 1);
    weir_task_set_abort(&set);
    check_int(weir_task_set_count(&set), 4);
    check_int(weir_task_set_join(&set, WEIR_NEVER), 0);
    check_int(weir_task_set_count(&set), 0);
    for (int i = 0; i < 8; i++)
        check_int(task[i].future.result, i < 4 ? 7 : -ECANCELED);
    for (int i = 0; i < 8; i++) {
        check_int(weir_task_start(&task[i], NULL, naps, ms(100000)), 0);
        weir_task_set_add(&set, &task[i]);
    }
    check_int(weir_task_set_join(&set, weir_after(WEIR_MS(1))), -ETIMEDOUT);
    for (int i = 0; i < 8; i++)
        check_int(task[i].future.result, -ECANCELED);
}

static int64_t joins_a_set(void *arg)
{
    return weir_task_set_join(arg, WEIR_NEVER);
}

static void a_cancelled_join_all_still_waits(void *arg)
{
    struct weir_task_set set;
    struct weir_task task[3], joiner;

    (void)arg;
    weir_task_set_init(&set);
    for (int i = 0; i < 3; i++) {
        check_int(weir_task_start(&task[i], NULL, i == 2 ? stubborn : naps, ms(100000)), 0);
        weir_task_set_add(&set, &task[i]);
    }
    check_int(weir_task_start(&joiner, NULL, joins_a_set, &set), 0);
    weir_yield();
    weir_task_abort(&joiner);
    check_int(weir_task_join(&joiner, WEIR_NEVER), -ECANCELED);
    check_int(weir_task_set_count(&set), 0);
    check_int(task[0].future.result, -ECANCELED);
    check_int(task[2].future.result, 42);
}

/* One waits, and another is quicker to take what has ended. */
static void what_was_taken_before_is_waited_for_again(void *arg)
{
    struct weir_task_set set;
    struct weir_task task[2], waiter, *next;

    (void)arg;
    weir_task_set_init(&set);
    check_int(weir_task_start(&task[0], NULL, naps, ms(2)), 0);
    weir_task_set_add(&set, &task[0]);
    check_int(weir_task_start(&waiter, NULL, waits_for_next, &set), 0);
    weir_yield();
    check_int(weir_task_start(&task[1], NULL, returns_arg, (void *)5), 0);
    check_int(weir_task_join(&task[1], WEIR_NEVER), 5);
    weir_task_set_add(&set, &task[1]); /* wakes the waiter, which has yet to run */
    check_int(weir_task_set_next(&set, &next, weir_now()), 1);
    check(next == &task[1]);
    check_int(weir_task_join(&waiter, WEIR_NEVER), 1); /* the other one */
    check(task[0].future.done);
    check_int(weir_task_set_count(&set), 0);
    check_int(weir_task_start(&waiter, NULL, waits_for_next, &set), 0);
    check_int(weir_task_join(&waiter, WEIR_NEVER), 0);
}

/* The last one taken: for who waited the set is empty. */
static void what_was_the_last_leaves_the_set_empty(void *arg)
{
    struct weir_task_set set;
    struct weir_task task, waiter, *next;

    (void)arg;
    weir_task_set_init(&set);
    check_int(weir_task_start(&task, NULL, naps, ms(2)), 0);
    weir_task_set_add(&set, &task);
    check_int(weir_task_start(&waiter, NULL, waits_for_next, &set), 0);
    check_int(weir_task_join(&task, WEIR_NEVER), 7); /* the waiter is woken behind us */
    check_int(weir_task_set_next(&set, &next, weir_now()), 1);
    check(next == &task);
    check_int(weir_task_join(&waiter, WEIR_NEVER), 0);
    check_int(weir_task_set_count(&set), 0);
}

/* --- deep --- */

enum { DEEP = 9000 };

/* Each joins the next; one of another kind in between now and then. */
static int64_t joins_the_next(void *arg)
{
    int64_t depth = (int64_t)(intptr_t)arg;
    struct weir_task task;

    if (depth == DEEP)
        return weir_sleep(WEIR_SEC(1000));
    if (depth % 3 == 0)
        return weir_timeout(WEIR_NEVER, joins_the_next, (void *)(intptr_t)(depth + 1));
    if (depth % 3 == 1)
        return weir_call(0, joins_the_next, (void *)(intptr_t)(depth + 1), WEIR_NEVER);
    check_int(weir_task_start(&task, NULL, joins_the_next, (void *)(intptr_t)(depth + 1)), 0);
    return weir_task_join(&task, WEIR_NEVER);
}

static void an_abort_goes_deep(void *arg)
{
    struct weir_task task;

    (void)arg;
    check_int(weir_task_start(&task, NULL, joins_the_next, NULL), 0);
    weir_sleep(WEIR_MS(50));
    weir_task_abort(&task);
    check_int(weir_task_join(&task, WEIR_NEVER), -ECANCELED);
    check_int(weir_task_start(&task, NULL, joins_the_next, NULL), 0);
    check_int(weir_task_join(&task, weir_after(WEIR_MS(50))), -ETIMEDOUT);
}

/* --- on any shard --- */

static int64_t says_where(void *arg)
{
    (void)arg;
    return weir_sleep(WEIR_MS(20)) < 0 ? -EIO : (int64_t)weir_shard_id();
}

/* Whether some of them ran elsewhere: tasks that nap, on shards that sleep. */
static bool spread_once(void)
{
    struct weir_task task[32];
    bool seen[SHARDS] = { false };
    int distinct = 0;

    for (int i = 0; i < 32; i++)
        check_int(weir_spawn_any(&task[i], says_where, NULL), 0);
    for (int i = 0; i < 32; i++)
        seen[weir_task_join(&task[i], WEIR_NEVER)] = true;
    for (int i = 0; i < SHARDS; i++)
        distinct += seen[i];
    return distinct > 1;
}

static void idle_shards_take_over(void *arg)
{
    bool spread = false;

    (void)arg;
    if (weir_shard_id() != 0)
        return;
    for (int i = 0; i < 100 && !spread; i++) /* others may not get a CPU in time */
        spread = spread_once();
    check(spread);
}

static atomic_int any_done;

static int64_t any_counts(void *arg)
{
    weir_yield();
    atomic_fetch_add(&any_done, 1);
    return (int64_t)(intptr_t)arg;
}

/* More than may wait, from all shards at once: each runs once and comes home. */
static void more_than_may_wait_begin_at_home(void *arg)
{
    enum { TASKS = WEIR_ANY_QUEUE + 100 };
    struct weir_task *task = calloc(TASKS, sizeof *task);

    (void)arg;
    check(task != NULL);
    for (int round = 0; round < 20; round++) {
        for (int64_t i = 0; i < TASKS; i++)
            check_int(weir_spawn_any(&task[i], any_counts, (void *)(intptr_t)i), 0);
        for (int64_t i = 0; i < TASKS; i++) {
            check_int(weir_task_join(&task[i], WEIR_NEVER), i);
            check(task[i].began);
        }
    }
    free(task);
}

static int64_t sleeps_long(void *arg)
{
    (void)arg;
    return weir_sleep(WEIR_SEC(100));
}

static void what_waits_can_be_aborted(void *arg)
{
    struct weir_task task[64];

    (void)arg;
    if (weir_shard_id() != 0)
        return;
    for (int round = 0; round < 50; round++) {
        for (int i = 0; i < 64; i++)
            check_int(weir_spawn_any(&task[i], sleeps_long, NULL), 0);
        if (round % 2)
            weir_sleep(WEIR_US(100)); /* some have begun, here and there */
        for (int i = 0; i < 64; i++)
            weir_task_abort(&task[i]);
        for (int i = 0; i < 64; i++)
            check_int(weir_task_join(&task[i], WEIR_NEVER), -ECANCELED);
    }
}

static void on_one_shard_they_run_at_home(void *arg)
{
    struct weir_task task;

    (void)arg;
    check_int(weir_spawn_any(&task, says_where, NULL), 0);
    check_int(weir_task_join(&task, WEIR_NEVER), 0);
}

/* The runtime does not end before a task that nobody joins; its shard's end waits for it. */
static void nobody_joins(void *arg)
{
    static struct weir_task task[SHARDS][8];

    (void)arg;
    for (int i = 0; i < 8; i++)
        check_int(weir_spawn_any(&task[weir_shard_id()][i], any_counts, NULL), 0);
}

/* As many fibers as there may be: the rest wait for their turn, or for another shard. */
static void they_wait_for_room(void *arg)
{
    struct weir_task task[100];

    (void)arg;
    for (int64_t i = 0; i < 100; i++)
        check_int(weir_spawn_any(&task[i], any_counts, (void *)(intptr_t)i), 0);
    for (int64_t i = 0; i < 100; i++)
        check_int(weir_task_join(&task[i], WEIR_NEVER), i);
}

/* Nothing can begin at home, and the other shard sleeps. */
static void a_full_home_wakes_another(void *arg)
{
    struct weir_task task;

    (void)arg;
    if (weir_shard_id() != 0)
        return;
    for (int i = 0; i < 10; i++) {
        weir_sleep(WEIR_MS(1));
        check_int(weir_spawn_any(&task, says_where, NULL), 0);
        check_int(weir_task_join(&task, WEIR_NEVER), 1);
    }
}

static atomic_int full;

/* Every fiber there may be waits, with a deadline, for a task that cannot have one. */
static int64_t waits_for_one_more(void *arg)
{
    struct weir_task task;
    weir_time deadline;

    (void)arg;
    atomic_fetch_add(&full, 1);
    while (atomic_load(&full) < 2 * FEW)
        weir_yield();
    deadline = weir_after(WEIR_MS(1));
    check_int(weir_spawn_any(&task, returns_arg, NULL), 0);
    check_int(weir_task_join(&task, deadline), -ETIMEDOUT);
    check(!task.began);
    atomic_fetch_add(&full, 1);
    while (atomic_load(&full) < 4 * FEW) /* none makes room for the others' */
        weir_yield();
    return 0;
}

static void an_abort_needs_no_room(void *arg)
{
    struct weir_scope scope;
    struct weir_task task[FEW - 1];

    (void)arg;
    weir_scope_init(&scope);
    for (int i = 0; i < FEW - 1; i++)
        check_int(weir_task_start(&task[i], &scope, waits_for_one_more, NULL), 0);
    waits_for_one_more(NULL);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
}

/* --- misuse --- */

static struct weir_task foreign_task;

static int64_t abort_foreign(void *arg)
{
    (void)arg;
    weir_task_abort(&foreign_task);
    return 0;
}

static int64_t join_foreign(void *arg)
{
    (void)arg;
    return weir_task_join(&foreign_task, WEIR_NEVER);
}

static void use_elsewhere(int64_t (*fn)(void *arg), bool any)
{
    if (weir_shard_id() != 0)
        return;
    if (any)
        check_int(weir_spawn_any(&foreign_task, naps, ms(10)), 0);
    else
        check_int(weir_task_start(&foreign_task, NULL, naps, ms(10)), 0);
    weir_call(1, fn, NULL, WEIR_NEVER);
}

static void abort_elsewhere(void *arg)
{
    use_elsewhere(abort_foreign, arg != NULL);
}

static void join_elsewhere(void *arg)
{
    use_elsewhere(join_foreign, arg != NULL);
}

static void add_twice(void *arg)
{
    struct weir_task_set set;
    struct weir_task task;

    (void)arg;
    weir_task_set_init(&set);
    weir_task_start(&task, NULL, naps, ms(1));
    weir_task_set_add(&set, &task);
    weir_task_set_add(&set, &task);
}

static void wait_twice(void *arg)
{
    struct weir_task_set set;
    struct weir_task task, waiter, *next;

    (void)arg;
    weir_task_set_init(&set);
    weir_task_start(&task, NULL, naps, ms(100000));
    weir_task_set_add(&set, &task);
    weir_task_start(&waiter, NULL, waits_for_next, &set);
    weir_yield();
    weir_task_set_next(&set, &next, WEIR_NEVER);
}

static void run_abort_elsewhere(void *arg)
{
    run_shards(2, abort_elsewhere, arg);
}

static void run_join_elsewhere(void *arg)
{
    run_shards(2, join_elsewhere, arg);
}

static void run_add_twice(void *arg)
{
    run_shards(1, add_twice, arg);
}

static void run_wait_twice(void *arg)
{
    run_shards(1, wait_twice, arg);
}

static void test_misuse_ends_with_a_sentence(void **state)
{
    (void)state;
    for (int any = 0; any < 2; any++) {
        assert_panics(run_abort_elsewhere, any ? &any : NULL,
                      "weir_task_abort: this object belongs to shard 0");
        assert_panics(run_join_elsewhere, any ? &any : NULL,
                      "weir_task_join: this object belongs to shard 0");
    }
    assert_panics(run_add_twice, NULL, "weir_task_set_add: 'naps' is in a set already");
    assert_panics(run_wait_twice, NULL, "weir_task_set_next: another fiber waits");
}

#define ON(name, shards)                                                                          \
    static void test_##name(void **state)                                                         \
    {                                                                                             \
        (void)state;                                                                              \
        assert_int_equal((shards) == 1 ? run_paused(name, NULL) : run_shards(shards, name, NULL), \
                         0);                                                                      \
    }

ON(a_join_gives_the_result, 1)
ON(a_task_that_cannot_start_is_over, 1)
ON(aborted_before_it_began_it_never_runs, 1)
ON(aborted_in_an_await_it_is_cancelled, 1)
ON(a_deadline_of_the_join_aborts, 1)
ON(a_cancelled_scope_aborts_its_tasks, 1)
ON(tasks_race, 1)
ON(timeout_gives_the_result_or_says_so, 1)
ON(a_cancelled_caller_cancels_what_is_limited, 1)
ON(a_set_hands_them_out_as_they_end, 1)
ON(what_is_over_can_be_added, 1)
ON(a_cancelled_wait_leaves_the_set_as_it_is, 1)
ON(abort_all_and_join_all, 1)
ON(a_cancelled_join_all_still_waits, 1)
ON(what_was_taken_before_is_waited_for_again, 1)
ON(what_was_the_last_leaves_the_set_empty, 1)
ON(an_abort_goes_deep, 1)
ON(idle_shards_take_over, SHARDS)
ON(what_waits_can_be_aborted, SHARDS)
ON(on_one_shard_they_run_at_home, 1)

static void test_more_than_may_wait_begin_at_home(void **state)
{
    (void)state;
    atomic_store(&any_done, 0);
    assert_int_equal(run_shards(SHARDS, more_than_may_wait_begin_at_home, NULL), 0);
    assert_int_equal(atomic_load(&any_done), SHARDS * 20 * (WEIR_ANY_QUEUE + 100));
}

static void test_nobody_joins(void **state)
{
    (void)state;
    atomic_store(&any_done, 0);
    assert_int_equal(run_shards(SHARDS, nobody_joins, NULL), 0);
    assert_int_equal(atomic_load(&any_done), SHARDS * 8);
}

static void test_they_wait_for_room(void **state)
{
    struct weir_config config;

    (void)state;
    test_config(&config, 2);
    config.fibers_max = 4;
    assert_int_equal(
        weir_runtime_run(&config, weir_bare_driver_open, NULL, they_wait_for_room, NULL), 0);
}

static void test_a_full_home_wakes_another(void **state)
{
    struct weir_config config;

    (void)state;
    test_config(&config, 2);
    config.fibers_max = 1;
    assert_int_equal(
        weir_runtime_run(&config, weir_bare_driver_open, NULL, a_full_home_wakes_another, NULL), 0);
}

static void test_an_abort_needs_no_room(void **state)
{
    struct weir_config config;

    (void)state;
    atomic_store(&full, 0);
    test_config(&config, 2);
    config.fibers_max = FEW;
    assert_int_equal(
        weir_runtime_run(&config, weir_bare_driver_open, NULL, an_abort_needs_no_room, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_join_gives_the_result),
        cmocka_unit_test(test_a_task_that_cannot_start_is_over),
        cmocka_unit_test(test_aborted_before_it_began_it_never_runs),
        cmocka_unit_test(test_aborted_in_an_await_it_is_cancelled),
        cmocka_unit_test(test_a_deadline_of_the_join_aborts),
        cmocka_unit_test(test_a_cancelled_scope_aborts_its_tasks),
        cmocka_unit_test(test_tasks_race),
        cmocka_unit_test(test_timeout_gives_the_result_or_says_so),
        cmocka_unit_test(test_a_cancelled_caller_cancels_what_is_limited),
        cmocka_unit_test(test_a_set_hands_them_out_as_they_end),
        cmocka_unit_test(test_what_is_over_can_be_added),
        cmocka_unit_test(test_a_cancelled_wait_leaves_the_set_as_it_is),
        cmocka_unit_test(test_abort_all_and_join_all),
        cmocka_unit_test(test_a_cancelled_join_all_still_waits),
        cmocka_unit_test(test_what_was_taken_before_is_waited_for_again),
        cmocka_unit_test(test_what_was_the_last_leaves_the_set_empty),
        cmocka_unit_test(test_an_abort_goes_deep),
        cmocka_unit_test(test_idle_shards_take_over),
        cmocka_unit_test(test_more_than_may_wait_begin_at_home),
        cmocka_unit_test(test_what_waits_can_be_aborted),
        cmocka_unit_test(test_on_one_shard_they_run_at_home),
        cmocka_unit_test(test_nobody_joins),
        cmocka_unit_test(test_they_wait_for_room),
        cmocka_unit_test(test_a_full_home_wakes_another),
        cmocka_unit_test(test_an_abort_needs_no_room),
        cmocka_unit_test(test_misuse_ends_with_a_sentence),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
