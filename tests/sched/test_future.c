/* test_future.c - awaiting: ready, later, deadline, cancel, all, any, race, callbacks. */
#include "tests/sched/run.h"

/* A producer that completes when told to, or some turns after its cancel. */
struct source {
    struct weir_future future;
    struct weir_alarm late;
    int cancels;
    int64_t after_cancel; /* what it says when cancelled */
};

static void source_late(struct weir_alarm *alarm)
{
    struct source *source = weir_container_of(alarm, struct source, late);

    weir_future_set(&source->future, source->after_cancel);
}

/* Like io_uring: the cancel is a request, the completion comes later. */
static void source_cancel(struct weir_future *future)
{
    struct source *source = weir_container_of(future, struct source, future);

    source->cancels++;
    weir_alarm_set(&source->late, weir_after(WEIR_MS(2)));
}

static void source_init(struct source *source, int64_t after_cancel)
{
    source->cancels = 0;
    source->after_cancel = after_cancel;
    weir_alarm_init(&source->late, source_late);
    weir_future_init(&source->future, source_cancel);
}

static void set_to_seven(void *arg)
{
    weir_future_set(arg, 7);
}

static void ready_and_later(void *arg)
{
    struct weir_future future;
    struct weir_scope scope;

    (void)arg;
    weir_future_init(&future, NULL);
    weir_future_set(&future, 42);
    check_int(weir_await(&future, 0), 42); /* a deadline in the past takes what is there */
    check_int(weir_await(&future, WEIR_NEVER), 42);

    weir_scope_init(&scope);
    weir_future_init(&future, NULL);
    check_int(weir_spawn(&scope, set_to_seven, &future), 0);
    check_int(weir_await(&future, WEIR_NEVER), 7);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
}

static void deadline_waits_for_completion(void *arg)
{
    struct source source;
    weir_time start = weir_now();

    (void)arg;
    source_init(&source, -ECANCELED);
    check_int(weir_await(&source.future, weir_after(WEIR_MS(5))), -ETIMEDOUT);
    check(weir_now() >= start + WEIR_MS(7)); /* the deadline, and the cancel's own time */
    check_int(source.cancels, 1);
    check(source.future.done);

    source_init(&source, 5); /* a result that beat the cancel is returned, not lost */
    check_int(weir_await(&source.future, weir_after(WEIR_MS(1))), 5);
    check_int(source.cancels, 1);

    source_init(&source, -ECANCELED);
    check_int(weir_await(&source.future, weir_now() - 1), -ETIMEDOUT);
    check_int(source.cancels, 1);
}

static void await_in_child(void *arg)
{
    struct source *source = arg;

    check_int(weir_await(&source->future, WEIR_NEVER), -ECANCELED);
    check(weir_cancelled());
    source_init(source, -ECANCELED); /* sticky: the next await is cancelled at once, too */
    check_int(weir_await(&source->future, WEIR_NEVER), -ECANCELED);
    check_int(source->cancels, 1);
}

static void cancelled_by_scope(void *arg)
{
    struct source source;
    struct weir_scope scope;

    (void)arg;
    source_init(&source, -ECANCELED);
    weir_scope_init(&scope);
    check_int(weir_spawn(&scope, await_in_child, &source), 0);
    weir_yield();
    weir_scope_cancel(&scope);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
}

static void no_cancel_means_waiting(void *arg)
{
    struct source source;
    weir_time start = weir_now();

    (void)arg;
    source_init(&source, 4);
    source.future.cancel = NULL; /* it cannot be withdrawn */
    weir_alarm_set(&source.late, weir_after(WEIR_MS(5)));
    weir_future_cancel(&source.future);
    check(!source.future.done);
    check_int(weir_await(&source.future, weir_after(WEIR_MS(1))), 4);
    check(weir_now() >= start + WEIR_MS(5));
}

static void all_of_them(void *arg)
{
    struct weir_timer a, b, c;
    weir_time start = weir_now();

    (void)arg;
    weir_timer_start(&a, weir_after(WEIR_MS(12)));
    weir_timer_start(&b, weir_after(WEIR_MS(9)));
    weir_timer_start(&c, weir_after(WEIR_MS(15)));
    check_int(weir_await_all(WEIR_NEVER, &a.future, &b.future, &c.future), 0);
    check(weir_now() >= start + WEIR_MS(15));

    weir_timer_start(&a, weir_after(WEIR_MS(1)));
    weir_timer_start(&b, weir_after(WEIR_SEC(100)));
    check_int(weir_await_all(weir_after(WEIR_MS(10)), &a.future, &b.future), -ETIMEDOUT);
    check_int(a.future.result, 0);
    check_int(b.future.result, -ECANCELED);
    check_int(weir_await_all(WEIR_NEVER, &a.future, &b.future), 0); /* done is done */
    check_int(weir_await_all_of(NULL, 0, WEIR_NEVER), 0);
}

static void any_of_them(void *arg)
{
    struct weir_timer a, b;
    struct source slow;

    (void)arg;
    weir_timer_start(&a, weir_after(WEIR_SEC(100)));
    weir_timer_start(&b, weir_after(WEIR_MS(2)));
    check_int(weir_await_any(WEIR_NEVER, &a.future, &b.future), 1);
    check(!a.future.done); /* still the caller's */
    check_int(weir_await_any(WEIR_NEVER, &a.future, &b.future), 1);
    weir_future_cancel(&a.future);
    check_int(weir_await_any(WEIR_NEVER, &a.future, &b.future), 0); /* the lowest index */

    source_init(&slow, -ECANCELED);
    weir_timer_start(&a, weir_after(WEIR_SEC(100)));
    check_int(weir_await_any(weir_after(WEIR_MS(2)), &slow.future, &a.future), -ETIMEDOUT);
    check(slow.future.done && a.future.done);

    source_init(&slow, 9); /* completes in spite of the cancel: its index is the answer */
    weir_timer_start(&a, weir_after(WEIR_SEC(100)));
    check_int(weir_await_any(weir_after(WEIR_MS(2)), &a.future, &slow.future), 1);
    check_int(slow.future.result, 9);
    check_int(weir_await_any_of(NULL, 0, WEIR_NEVER), -EINVAL);
}

static void race_waits_for_the_losers(void *arg)
{
    struct weir_timer fast;
    struct source slow;

    (void)arg;
    source_init(&slow, -ECANCELED);
    weir_timer_start(&fast, weir_after(WEIR_MS(2)));
    check_int(weir_race(WEIR_NEVER, &slow.future, &fast.future), 1);
    check(slow.future.done);
    check_int(slow.cancels, 1);
}

static int callbacks;

static void count_callback(struct weir_future *future)
{
    check_int(future->result, 3);
    callbacks++;
}

static void callback_once(void *arg)
{
    struct weir_future future;

    (void)arg;
    callbacks = 0;
    weir_future_init(&future, NULL);
    check(weir_future_on_done(&future, count_callback));
    weir_future_set(&future, 3);
    check_int(callbacks, 1);
    weir_future_init(&future, NULL);
    weir_future_set(&future, 3);
    check(!weir_future_on_done(&future, count_callback)); /* the caller goes on by itself */
    check_int(callbacks, 1);
}

struct turns {
    bool stop;
    int count;
};

static void count_turns(void *arg)
{
    struct turns *turns = arg;

    while (!turns->stop) {
        turns->count++;
        weir_yield();
    }
}

static void ready_awaits_share(void *arg)
{
    struct turns turns = { 0 };
    struct weir_future future;
    struct weir_scope scope;

    (void)arg;
    weir_scope_init(&scope);
    check_int(weir_spawn(&scope, count_turns, &turns), 0);
    weir_future_init(&future, NULL);
    weir_future_set(&future, 0);
    for (int i = 0; i < 127; i++)
        weir_await(&future, WEIR_NEVER);
    check_int(turns.count, 0);
    weir_await(&future, WEIR_NEVER); /* the 128th gives way */
    check_int(turns.count, 1);
    turns.stop = true;
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
}

static void set_twice(void *arg)
{
    struct weir_future future;

    (void)arg;
    weir_future_init(&future, NULL);
    weir_future_set(&future, 0);
    weir_future_set(&future, 0);
}

static void outside(void *arg)
{
    struct weir_future future;

    (void)arg;
    weir_future_init(&future, NULL);
    weir_await(&future, WEIR_NEVER);
}

static void await_on_loop(struct weir_future *future)
{
    weir_await(future, WEIR_NEVER);
}

static void in_callback(void *arg)
{
    struct weir_timer timer;

    (void)arg;
    weir_timer_start(&timer, weir_after(WEIR_MS(1)));
    weir_future_on_done(&timer.future, await_on_loop);
    weir_sleep(WEIR_SEC(1));
}

static void run_set_twice(void *arg)
{
    run_shards(1, set_twice, arg);
}

static void run_in_callback(void *arg)
{
    run_shards(1, in_callback, arg);
}

static void test_misuse(void **state)
{
    (void)state;
    assert_panics(run_set_twice, NULL, "!future->done");
    assert_panics(outside, NULL, "weir_await: no shard runs on this thread");
    assert_panics(run_in_callback, NULL, "spawn a fiber with weir_spawn");
}

#define CASE(name)                                   \
    static void test_##name(void **state)            \
    {                                                \
        (void)state;                                 \
        assert_int_equal(run_paused(name, NULL), 0); \
    }

CASE(ready_and_later)
CASE(deadline_waits_for_completion)
CASE(cancelled_by_scope)
CASE(no_cancel_means_waiting)
CASE(all_of_them)
CASE(any_of_them)
CASE(race_waits_for_the_losers)
CASE(callback_once)
CASE(ready_awaits_share)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ready_and_later),
        cmocka_unit_test(test_deadline_waits_for_completion),
        cmocka_unit_test(test_cancelled_by_scope),
        cmocka_unit_test(test_no_cancel_means_waiting),
        cmocka_unit_test(test_all_of_them),
        cmocka_unit_test(test_any_of_them),
        cmocka_unit_test(test_race_waits_for_the_losers),
        cmocka_unit_test(test_callback_once),
        cmocka_unit_test(test_ready_awaits_share),
        cmocka_unit_test(test_misuse),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
