/* test_once.c - made once, by the first whose function succeeds. */
#include "tests/sched/run.h"
#include <weir/event.h>

static int runs; /* of any function, in a test */

/* What a caller's function does: waits until it is told to go on, then yields `result`, or the
 * error of its wait. */
struct caller {
    struct weir_once *once;
    weir_time deadline;
    int64_t makes;
    struct weir_event go;
    bool running, over;
    int64_t result;
};

static int64_t make(void *arg)
{
    struct caller *c = arg;
    int error;

    runs++;
    c->running = true;
    error = weir_event_wait(&c->go, WEIR_NEVER);
    c->running = false;
    return error < 0 ? error : c->makes;
}

static void call(void *arg)
{
    struct caller *c = arg;

    c->result = weir_once_call(c->once, make, c, c->deadline);
    c->over = true;
}

static void caller_start(struct weir_scope *scope, struct caller *c, struct weir_once *once,
                         int64_t makes)
{
    *c = (struct caller){ .once = once, .deadline = WEIR_NEVER, .makes = makes };
    weir_event_init(&c->go);
    check_int(weir_spawn(scope, call, c), 0);
    weir_yield();
}

static void caller_go(struct caller *c)
{
    weir_event_set(&c->go);
    weir_yield();
    weir_yield(); /* and the one it hands over to */
}

static int64_t must_not_run(void *arg)
{
    (void)arg;
    check(false);
    return 0;
}

static void all_get_what_the_first_made(void *arg)
{
    struct weir_once once;
    struct weir_scope scope;
    struct caller c[3];
    int64_t result = -1;

    (void)arg;
    runs = 0;
    weir_once_init(&once);
    weir_scope_init(&scope);
    check(!weir_once_get(&once, &result) && result == -1);
    for (int i = 0; i < 3; i++)
        caller_start(&scope, &c[i], &once, 40 + i);
    check(c[0].running && !c[1].running && !c[1].over);
    check(!weir_once_get(&once, NULL));
    caller_go(&c[0]);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    for (int i = 0; i < 3; i++)
        check_int(c[i].result, 40);
    check_int(runs, 1);
    check_int(weir_once_call(&once, must_not_run, NULL, WEIR_NEVER), 40);
    check_int(weir_once_call(&once, must_not_run, NULL, weir_now()), 40);
    check(weir_once_get(&once, NULL) && weir_once_get(&once, &result) && result == 40);
}

static int64_t nought(void *arg)
{
    (void)arg;
    runs++;
    return 0;
}

static void nought_is_a_result(void *arg)
{
    struct weir_once once;

    (void)arg;
    runs = 0;
    weir_once_init(&once);
    check_int(weir_once_call(&once, nought, NULL, weir_now()), 0); /* the deadline is not fn's */
    check_int(weir_once_call(&once, nought, NULL, WEIR_NEVER), 0);
    check_int(runs, 1);
}

static void a_failure_hands_over_to_the_longest_waiting(void *arg)
{
    struct weir_once once;
    struct weir_scope scope;
    struct caller c[4];

    (void)arg;
    runs = 0;
    weir_once_init(&once);
    weir_scope_init(&scope);
    caller_start(&scope, &c[0], &once, -EIO);
    caller_start(&scope, &c[1], &once, -EPIPE); /* also what the closed semaphore says inside */
    caller_start(&scope, &c[2], &once, 7);
    caller_start(&scope, &c[3], &once, 8);
    caller_go(&c[0]);
    check(c[0].over && c[1].running && !c[2].running);
    caller_go(&c[1]);
    check(c[1].over && c[2].running && !c[3].running);
    caller_go(&c[2]);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    check(c[0].result == -EIO && c[1].result == -EPIPE && c[2].result == 7 && c[3].result == 7);
    check_int(runs, 3);
}

static void after_a_failure_with_nobody_waiting_the_next_caller_tries(void *arg)
{
    struct weir_once once;
    struct weir_scope scope;
    struct caller c[2];

    (void)arg;
    runs = 0;
    weir_once_init(&once);
    weir_scope_init(&scope);
    caller_start(&scope, &c[0], &once, -ENOENT);
    caller_go(&c[0]);
    check(c[0].over && c[0].result == -ENOENT);
    check(!weir_once_get(&once, NULL));
    caller_start(&scope, &c[1], &once, 3);
    caller_go(&c[1]);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    check_int(c[1].result, 3);
}

static void a_cancelled_runner_hands_over(void *arg)
{
    struct weir_once once;
    struct weir_scope first, scope;
    struct caller c[2];

    (void)arg;
    runs = 0;
    weir_once_init(&once);
    weir_scope_init(&first);
    weir_scope_init(&scope);
    caller_start(&first, &c[0], &once, 1);
    caller_start(&scope, &c[1], &once, 2);
    weir_scope_cancel(&first);
    check_int(weir_scope_join(&first, WEIR_NEVER), 0);
    check_int(c[0].result, -ECANCELED);
    caller_go(&c[1]);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    check_int(c[1].result, 2);
    check_int(runs, 2);
}

static void waiters_that_give_up_are_passed_over(void *arg)
{
    struct weir_once once;
    struct weir_scope scope, cancelled;
    struct caller c[4];

    (void)arg;
    runs = 0;
    weir_once_init(&once);
    weir_scope_init(&scope);
    weir_scope_init(&cancelled);
    caller_start(&scope, &c[0], &once, -EIO);
    c[1] = (struct caller){ .once = &once, .deadline = weir_after(WEIR_US(100)), .makes = 1 };
    check_int(weir_spawn(&scope, call, &c[1]), 0);
    caller_start(&cancelled, &c[2], &once, 2);
    caller_start(&scope, &c[3], &once, 3);
    check_int(weir_sleep(WEIR_MS(1)), 0);
    check(c[1].over && c[1].result == -ETIMEDOUT);
    check_int(weir_once_call(&once, must_not_run, NULL, weir_now()), -ETIMEDOUT);
    weir_scope_cancel(&cancelled);
    caller_go(&c[0]);
    check_int(weir_scope_join(&cancelled, WEIR_NEVER), 0);
    check_int(c[2].result, -ECANCELED);
    check(c[3].running);
    caller_go(&c[3]);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    check_int(c[3].result, 3);
    check_int(runs, 2);
}

/* The turn comes, then the cancel: it takes its turn, fails at its first await, and hands on. */
static void a_turn_given_before_the_cancel_is_not_lost(void *arg)
{
    struct weir_once once;
    struct weir_scope scope, cancelled;
    struct caller c[3];

    (void)arg;
    runs = 0;
    weir_once_init(&once);
    weir_scope_init(&scope);
    weir_scope_init(&cancelled);
    caller_start(&scope, &c[0], &once, -EIO);
    caller_start(&cancelled, &c[1], &once, 1);
    caller_start(&scope, &c[2], &once, 2);
    weir_event_set(&c[0].go);
    while (!c[0].over)
        weir_yield();
    weir_scope_cancel(&cancelled);
    check_int(weir_scope_join(&cancelled, WEIR_NEVER), 0);
    check_int(c[1].result, -ECANCELED);
    caller_go(&c[2]);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    check_int(c[2].result, 2);
    check_int(runs, 3);
}

/* --- misuse --- */

static int64_t itself(void *arg)
{
    return weir_once_call(arg, itself, arg, WEIR_NEVER);
}

static void call_within(void *arg)
{
    struct weir_once once;

    (void)arg;
    weir_once_init(&once);
    weir_once_call(&once, itself, &once, WEIR_NEVER);
}

static int64_t call_there(void *arg)
{
    return weir_once_call(arg, nought, NULL, WEIR_NEVER);
}

static void call_elsewhere(void *arg)
{
    struct weir_once once;

    (void)arg;
    weir_once_init(&once);
    check_int(weir_once_call(&once, nought, NULL, WEIR_NEVER), 0);
    weir_call(1 - weir_shard_id(), call_there, &once, WEIR_NEVER);
}

static void run_within(void *arg)
{
    run_shards(1, call_within, arg);
}

static void run_elsewhere(void *arg)
{
    run_shards(2, call_elsewhere, arg);
}

static void test_misuse_ends_with_a_sentence(void **state)
{
    (void)state;
    assert_panics(run_within, NULL, "called the same once from within its function");
    assert_panics(run_elsewhere, NULL, "weir_once_call: this object belongs to shard");
}

#define CASE(name)                                   \
    static void test_##name(void **state)            \
    {                                                \
        (void)state;                                 \
        assert_int_equal(run_paused(name, NULL), 0); \
    }

CASE(all_get_what_the_first_made)
CASE(nought_is_a_result)
CASE(a_failure_hands_over_to_the_longest_waiting)
CASE(after_a_failure_with_nobody_waiting_the_next_caller_tries)
CASE(a_cancelled_runner_hands_over)
CASE(waiters_that_give_up_are_passed_over)
CASE(a_turn_given_before_the_cancel_is_not_lost)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_get_what_the_first_made),
        cmocka_unit_test(test_nought_is_a_result),
        cmocka_unit_test(test_a_failure_hands_over_to_the_longest_waiting),
        cmocka_unit_test(test_after_a_failure_with_nobody_waiting_the_next_caller_tries),
        cmocka_unit_test(test_a_cancelled_runner_hands_over),
        cmocka_unit_test(test_waiters_that_give_up_are_passed_over),
        cmocka_unit_test(test_a_turn_given_before_the_cancel_is_not_lost),
        cmocka_unit_test(test_misuse_ends_with_a_sentence),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
