/* test_cond.c - waiting without the mutex: it is held again on return, and no signal is lost. */
#include "tests/sched/run.h"

struct shared {
    struct weir_mutex mutex;
    struct weir_cond cond;
    int order;
};

struct waiter {
    struct shared *shared;
    weir_time deadline;
    int result; /* 1: still waits */
    int place;  /* in the order of having the mutex again */
};

static void wait_signalled(void *arg)
{
    struct waiter *w = arg;
    struct weir_mutex *mutex = &w->shared->mutex;

    check(weir_mutex_lock(mutex, WEIR_NEVER) == 0);
    w->result = weir_cond_wait(&w->shared->cond, mutex, w->deadline);
    w->place = ++w->shared->order;
    check(!weir_mutex_try(mutex)); /* we have it */
    weir_mutex_unlock(mutex);
}

static void shared_init(struct shared *shared)
{
    weir_mutex_init(&shared->mutex);
    weir_cond_init(&shared->cond);
    shared->order = 0;
}

static void waiter_start(struct weir_scope *scope, struct waiter *w, struct shared *shared,
                         weir_time deadline)
{
    *w = (struct waiter){ shared, deadline, 1, 0 };
    check_int(weir_spawn(scope, wait_signalled, w), 0);
    weir_yield();
}

static void is_free(struct shared *shared)
{
    check(weir_mutex_try(&shared->mutex));
    weir_mutex_unlock(&shared->mutex);
    check(weir_list_empty(&shared->cond.waiters));
}

static void the_mutex_is_free_while_one_waits(void *arg)
{
    struct shared shared;
    struct weir_scope scope;
    struct waiter w;

    (void)arg;
    shared_init(&shared);
    weir_scope_init(&scope);
    waiter_start(&scope, &w, &shared, WEIR_NEVER);
    check_int(weir_mutex_lock(&shared.mutex, weir_now()), 0);
    weir_cond_signal(&shared.cond);
    weir_yield();
    check_int(w.result, 1); /* signalled, but the mutex is ours */
    weir_mutex_unlock(&shared.mutex);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    check_int(w.result, 0);
    is_free(&shared);
}

static void a_signal_goes_to_the_longest_waiting(void *arg)
{
    struct shared shared;
    struct weir_scope scope;
    struct waiter w[3];

    (void)arg;
    shared_init(&shared);
    weir_scope_init(&scope);
    for (int i = 0; i < 3; i++)
        waiter_start(&scope, &w[i], &shared, WEIR_NEVER);
    for (int i = 0; i < 3; i++) {
        weir_cond_signal(&shared.cond);
        weir_yield();
        check_int(shared.order, i + 1);
        check(w[i].result == 0 && w[i].place == i + 1);
    }
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    is_free(&shared);
}

static void a_signal_to_nobody_is_forgotten(void *arg)
{
    struct shared shared;

    (void)arg;
    shared_init(&shared);
    weir_cond_signal(&shared.cond);
    weir_cond_broadcast(&shared.cond);
    check_int(weir_mutex_lock(&shared.mutex, WEIR_NEVER), 0);
    check_int(weir_cond_wait(&shared.cond, &shared.mutex, weir_after(WEIR_US(1))), -ETIMEDOUT);
    check_int(weir_cond_wait(&shared.cond, &shared.mutex, weir_now()), -ETIMEDOUT);
    weir_mutex_unlock(&shared.mutex); /* held, as it says */
    is_free(&shared);
}

static void lock_and_note(void *arg)
{
    struct shared *shared = arg;

    check_int(weir_mutex_lock(&shared->mutex, WEIR_NEVER), 0);
    shared->order += 10;
    weir_mutex_unlock(&shared->mutex);
}

/* All of them, in order, and before one that asks for the mutex afterwards. */
static void broadcast_queues_all_for_the_mutex_in_order(void *arg)
{
    struct shared shared;
    struct weir_scope scope;
    struct waiter w[3];

    (void)arg;
    shared_init(&shared);
    weir_scope_init(&scope);
    for (int i = 0; i < 3; i++)
        waiter_start(&scope, &w[i], &shared, WEIR_NEVER);
    check_int(weir_mutex_lock(&shared.mutex, WEIR_NEVER), 0);
    weir_cond_broadcast(&shared.cond);
    check_int(weir_spawn(&scope, lock_and_note, &shared), 0);
    weir_yield();
    check_int(shared.order, 0);
    weir_mutex_unlock(&shared.mutex);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    for (int i = 0; i < 3; i++)
        check(w[i].result == 0 && w[i].place == i + 1);
    check_int(shared.order, 13);
    is_free(&shared);
}

static void on_an_error_too_the_mutex_is_waited_for(void *arg)
{
    struct shared shared;
    struct weir_scope scope;
    struct waiter w;

    for (int cancel = 0; cancel < 2; cancel++) {
        (void)arg;
        shared_init(&shared);
        weir_scope_init(&scope);
        waiter_start(&scope, &w, &shared, cancel ? WEIR_NEVER : weir_after(WEIR_US(100)));
        check_int(weir_mutex_lock(&shared.mutex, WEIR_NEVER), 0);
        if (cancel)
            weir_scope_cancel(&scope);
        check_int(weir_sleep(WEIR_MS(1)), 0);
        check_int(w.result, 1);         /* it is over, but the mutex is ours */
        weir_cond_signal(&shared.cond); /* finds nobody */
        if (!cancel)
            weir_scope_cancel(&scope); /* does not change what ended it */
        weir_mutex_unlock(&shared.mutex);
        check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
        check_int(w.result, cancel ? -ECANCELED : -ETIMEDOUT);
        is_free(&shared);
    }
}

static void a_waiter_that_gave_up_is_passed_over(void *arg)
{
    struct shared shared;
    struct weir_scope scope, first;
    struct waiter w[2];

    (void)arg;
    shared_init(&shared);
    weir_scope_init(&scope);
    weir_scope_init(&first);
    waiter_start(&first, &w[0], &shared, WEIR_NEVER);
    waiter_start(&scope, &w[1], &shared, WEIR_NEVER);
    weir_scope_cancel(&first);
    weir_cond_signal(&shared.cond);
    check_int(weir_scope_join(&first, WEIR_NEVER), 0);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    check_int(w[0].result, -ECANCELED);
    check_int(w[1].result, 0);
    is_free(&shared);
}

/* Signalled, then cancelled while it waits for the mutex: it was signalled. */
static void a_signal_before_the_cancel_is_returned(void *arg)
{
    struct shared shared;
    struct weir_scope scope, first;
    struct waiter w[2];

    (void)arg;
    shared_init(&shared);
    weir_scope_init(&scope);
    weir_scope_init(&first);
    waiter_start(&first, &w[0], &shared, weir_after(WEIR_US(200)));
    waiter_start(&scope, &w[1], &shared, WEIR_NEVER);
    check_int(weir_mutex_lock(&shared.mutex, WEIR_NEVER), 0);
    weir_cond_signal(&shared.cond);
    check_int(weir_sleep(WEIR_MS(1)), 0); /* its deadline comes */
    weir_scope_cancel(&first);
    weir_mutex_unlock(&shared.mutex);
    check_int(weir_scope_join(&first, WEIR_NEVER), 0);
    check_int(w[0].result, 0);
    check_int(w[1].result, 1);
    weir_scope_cancel(&scope);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    check_int(w[1].result, -ECANCELED);
    is_free(&shared);
}

static void cancelled_already(void *arg)
{
    struct shared *shared = arg;

    check_int(weir_sleep_until(WEIR_NEVER), -ECANCELED);
    check(weir_mutex_try(&shared->mutex));
    check_int(weir_cond_wait(&shared->cond, &shared->mutex, WEIR_NEVER), -ECANCELED);
    weir_mutex_unlock(&shared->mutex);
}

static void a_cancelled_fiber_has_the_mutex_too(void *arg)
{
    struct shared shared;
    struct weir_scope scope;

    (void)arg;
    shared_init(&shared);
    weir_scope_init(&scope);
    check_int(weir_spawn(&scope, cancelled_already, &shared), 0);
    weir_yield();
    weir_scope_cancel(&scope);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    is_free(&shared);
}

/* --- a queue of two places, as one would write it --- */

enum { PLACES = 2, ITEMS = 50 };

static struct queue {
    struct weir_mutex mutex;
    struct weir_cond not_full, not_empty;
    int item[PLACES], count, taken;
} queue;

static void produce(void *arg)
{
    (void)arg;
    for (int i = 0; i < ITEMS; i++) {
        check_int(weir_mutex_lock(&queue.mutex, WEIR_NEVER), 0);
        while (queue.count == PLACES)
            check_int(weir_cond_wait(&queue.not_full, &queue.mutex, WEIR_NEVER), 0);
        queue.item[queue.count++] = i;
        weir_cond_signal(&queue.not_empty);
        weir_mutex_unlock(&queue.mutex);
    }
}

static void consume(void *arg)
{
    (void)arg;
    for (int i = 0; i < ITEMS; i++) {
        check_int(weir_mutex_lock(&queue.mutex, WEIR_NEVER), 0);
        while (queue.count == 0)
            check_int(weir_cond_wait(&queue.not_empty, &queue.mutex, WEIR_NEVER), 0);
        check_int(queue.item[0], i);
        queue.item[0] = queue.item[1];
        queue.count--;
        queue.taken++;
        weir_cond_signal(&queue.not_full);
        weir_mutex_unlock(&queue.mutex);
    }
}

static void a_bounded_queue_is_made_of_two(void *arg)
{
    struct weir_scope scope;

    (void)arg;
    queue = (struct queue){ .count = 0 };
    weir_mutex_init(&queue.mutex);
    weir_cond_init(&queue.not_full);
    weir_cond_init(&queue.not_empty);
    weir_scope_init(&scope);
    check_int(weir_spawn(&scope, consume, NULL), 0);
    check_int(weir_spawn(&scope, produce, NULL), 0);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    check(queue.taken == ITEMS && queue.count == 0);
}

/* --- misuse --- */

static void wait_unlocked(void *arg)
{
    struct shared shared;

    (void)arg;
    shared_init(&shared);
    weir_cond_wait(&shared.cond, &shared.mutex, WEIR_NEVER);
}

static int64_t signal_there(void *arg)
{
    weir_cond_signal(arg);
    return 0;
}

static void signal_elsewhere(void *arg)
{
    struct weir_cond cond;

    (void)arg;
    weir_cond_init(&cond);
    weir_cond_broadcast(&cond);
    weir_call(1 - weir_shard_id(), signal_there, &cond, WEIR_NEVER);
}

static void run_unlocked(void *arg)
{
    run_shards(1, wait_unlocked, arg);
}

static void run_elsewhere(void *arg)
{
    run_shards(2, signal_elsewhere, arg);
}

static void test_misuse_ends_with_a_sentence(void **state)
{
    (void)state;
    assert_panics(run_unlocked, NULL, "weir_cond_wait: fiber 'main' has not locked");
    assert_panics(run_elsewhere, NULL, "weir_cond_signal: this object belongs to shard");
}

#define CASE(name)                                   \
    static void test_##name(void **state)            \
    {                                                \
        (void)state;                                 \
        assert_int_equal(run_paused(name, NULL), 0); \
    }

CASE(the_mutex_is_free_while_one_waits)
CASE(a_signal_goes_to_the_longest_waiting)
CASE(a_signal_to_nobody_is_forgotten)
CASE(broadcast_queues_all_for_the_mutex_in_order)
CASE(on_an_error_too_the_mutex_is_waited_for)
CASE(a_waiter_that_gave_up_is_passed_over)
CASE(a_signal_before_the_cancel_is_returned)
CASE(a_cancelled_fiber_has_the_mutex_too)
CASE(a_bounded_queue_is_made_of_two)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_mutex_is_free_while_one_waits),
        cmocka_unit_test(test_a_signal_goes_to_the_longest_waiting),
        cmocka_unit_test(test_a_signal_to_nobody_is_forgotten),
        cmocka_unit_test(test_broadcast_queues_all_for_the_mutex_in_order),
        cmocka_unit_test(test_on_an_error_too_the_mutex_is_waited_for),
        cmocka_unit_test(test_a_waiter_that_gave_up_is_passed_over),
        cmocka_unit_test(test_a_signal_before_the_cancel_is_returned),
        cmocka_unit_test(test_a_cancelled_fiber_has_the_mutex_too),
        cmocka_unit_test(test_a_bounded_queue_is_made_of_two),
        cmocka_unit_test(test_misuse_ends_with_a_sentence),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
