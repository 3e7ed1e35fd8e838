/* test_sync.c - semaphore and mutex: order, deadlines, cancel, ownership. */
#include "tests/sched/run.h"

struct taker {
    struct weir_sem *sem;
    int64_t n;
    weir_time deadline;
    int result;
    int *order, place;
};

static void take(void *arg)
{
    struct taker *taker = arg;

    taker->result = weir_sem_wait(taker->sem, taker->n, taker->deadline);
    taker->place = ++*taker->order;
}

static void big_request_is_not_overtaken(void *arg)
{
    struct weir_sem sem;
    struct weir_scope scope;
    int order = 0;
    struct taker big = { &sem, 3, WEIR_NEVER, 1, &order, 0 };
    struct taker small = { &sem, 1, WEIR_NEVER, 1, &order, 0 };

    (void)arg;
    weir_sem_init(&sem, 2);
    weir_scope_init(&scope);
    check_int(weir_spawn(&scope, take, &big), 0);
    check_int(weir_spawn(&scope, take, &small), 0);
    weir_yield();
    check(big.result == 1 && small.result == 1); /* both wait: the small one behind the big one */
    check(!weir_sem_try(&sem, 1));
    weir_sem_post(&sem, 1);
    weir_yield();
    check_int(big.result, 0);
    check_int(small.result, 1);
    weir_sem_post(&sem, 1);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    check(big.place == 1 && small.place == 2);
    check_int(sem.count, 0);
}

static void those_behind_a_cancelled_one_go_on(void *arg)
{
    struct weir_sem sem;
    struct weir_scope scope;
    int order = 0;
    struct taker big = { &sem, 3, weir_after(WEIR_MS(5)), 1, &order, 0 };
    struct taker small = { &sem, 2, WEIR_NEVER, 1, &order, 0 };

    (void)arg;
    weir_sem_init(&sem, 2);
    weir_scope_init(&scope);
    check_int(weir_spawn(&scope, take, &big), 0);
    check_int(weir_spawn(&scope, take, &small), 0);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    check_int(big.result, -ETIMEDOUT);
    check_int(small.result, 0);
    check_int(sem.count, 0);
}

static void permit_is_not_lost(void *arg)
{
    struct weir_sem sem;
    struct weir_scope scope;
    int order = 0;
    struct taker taker = { &sem, 1, WEIR_NEVER, 1, &order, 0 };

    (void)arg;
    weir_sem_init(&sem, 0);
    weir_scope_init(&scope);
    check_int(weir_spawn(&scope, take, &taker), 0);
    weir_yield();
    weir_sem_post(&sem, 1);    /* granted ... */
    weir_scope_cancel(&scope); /* ... before the cancel: it has the permit */
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    check_int(taker.result, 0);
    check_int(sem.count, 0);
    check_int(weir_sem_wait(&sem, 1, weir_now()), -ETIMEDOUT);
    weir_sem_post(&sem, 1);
    check_int(weir_sem_wait(&sem, 1, weir_now()), 0); /* a deadline in the past is a try */
}

static void available_is_what_nobody_has(void *arg)
{
    struct weir_sem sem;
    struct weir_scope scope;
    int order = 0;
    struct taker big = { &sem, 4, WEIR_NEVER, 1, &order, 0 };

    (void)arg;
    weir_sem_init(&sem, 3);
    check_int(weir_sem_available(&sem), 3);
    check(weir_sem_try(&sem, 1));
    check_int(weir_sem_available(&sem), 2);
    weir_scope_init(&scope);
    check_int(weir_spawn(&scope, take, &big), 0);
    weir_yield();
    check_int(weir_sem_available(&sem), 2); /* too few for the one that waits */
    weir_sem_post(&sem, 1);
    check_int(weir_sem_available(&sem), 3);
    weir_sem_post(&sem, 3);
    check_int(weir_sem_available(&sem), 2); /* 4 of the 6 are given, though it has not run */
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
}

static void closing_ends_the_wait_of_all_and_of_those_to_come(void *arg)
{
    struct weir_sem sem;
    struct weir_scope scope;
    int order = 0;
    struct taker big = { &sem, 3, WEIR_NEVER, 1, &order, 0 };
    struct taker small = { &sem, 1, WEIR_NEVER, 1, &order, 0 };

    (void)arg;
    weir_sem_init(&sem, 2);
    weir_scope_init(&scope);
    check(!weir_sem_is_closed(&sem));
    check_int(weir_spawn(&scope, take, &big), 0);
    check_int(weir_spawn(&scope, take, &small), 0);
    weir_yield();
    weir_sem_close(&sem);
    weir_sem_close(&sem);
    check(weir_sem_is_closed(&sem));
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    check(big.result == -EPIPE && small.result == -EPIPE);
    check(big.place == 1 && small.place == 2);
    check(!weir_sem_try(&sem, 1)); /* although there are 2 */
    check_int(weir_sem_wait(&sem, 1, WEIR_NEVER), -EPIPE);
    check_int(weir_sem_wait(&sem, 1, weir_now()), -EPIPE);
    weir_sem_post(&sem, 1);
    check_int(weir_sem_available(&sem), 3);
}

static void what_was_granted_before_the_close_is_had(void *arg)
{
    struct weir_sem sem;
    struct weir_scope scope;
    int order = 0;
    struct taker first = { &sem, 1, WEIR_NEVER, 1, &order, 0 };
    struct taker second = { &sem, 1, WEIR_NEVER, 1, &order, 0 };

    (void)arg;
    weir_sem_init(&sem, 0);
    weir_scope_init(&scope);
    check_int(weir_spawn(&scope, take, &first), 0);
    check_int(weir_spawn(&scope, take, &second), 0);
    weir_yield();
    weir_sem_post(&sem, 1);
    weir_sem_close(&sem);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    check_int(first.result, 0);
    check_int(second.result, -EPIPE);
    check_int(weir_sem_available(&sem), 0);
}

static void a_semaphore_races_with_others(void *arg)
{
    struct weir_sem sem;
    struct weir_sem_wait wait, other;
    struct weir_timer timer;

    (void)arg;
    weir_sem_init(&sem, 1);
    weir_sem_start(&wait, &sem, 2);
    weir_timer_start(&timer, weir_now());
    check_int(weir_race(WEIR_NEVER, &wait.future, &timer.future), 1);
    check_int(wait.future.result, -ECANCELED);
    check(weir_sem_try(&sem, 1)); /* it holds nobody back any more */

    weir_sem_start(&wait, &sem, 1);
    weir_sem_start(&other, &sem, 1);
    weir_sem_post(&sem, 2); /* both at once: the loser has its unit */
    check_int(weir_race(WEIR_NEVER, &wait.future, &other.future), 0);
    check_int(other.future.result, 0);
    weir_sem_post(&sem, 1);
    check_int(weir_sem_available(&sem), 1);
    weir_sem_close(&sem);
    weir_sem_start(&wait, &sem, 1);
    check(wait.future.done && wait.future.result == -EPIPE);
}

static void post_too_much(void *arg)
{
    struct weir_sem sem;

    (void)arg;
    weir_sem_init(&sem, INT64_MAX - 1);
    weir_sem_post(&sem, 1);
    check_int(weir_sem_available(&sem), INT64_MAX);
    weir_sem_post(&sem, 1);
}

static void run_post_too_much(void *arg)
{
    run_shards(1, post_too_much, arg);
}

static int64_t post_there(void *arg)
{
    weir_sem_post(arg, 1);
    return 0;
}

static int64_t look_there(void *arg)
{
    return weir_sem_available(arg);
}

static int64_t lock_there(void *arg)
{
    struct weir_mutex *mutex = weir_container_of(arg, struct weir_mutex, sem);

    return weir_mutex_lock(mutex, WEIR_NEVER);
}

static void use_elsewhere(void *arg)
{
    int64_t (*use)(void *arg) = *(int64_t(**)(void *))arg;
    struct weir_mutex mutex;

    weir_mutex_init(&mutex);
    weir_mutex_lock(&mutex, WEIR_NEVER);
    weir_call(1 - weir_shard_id(), use, &mutex.sem, WEIR_NEVER);
}

static void run_elsewhere(void *arg)
{
    run_shards(2, use_elsewhere, arg);
}

static void test_semaphore_misuse(void **state)
{
    int64_t (*post)(void *) = post_there, (*look)(void *) = look_there,
                         (*lock)(void *) = lock_there;

    (void)state;
    assert_panics(run_post_too_much, NULL, "more units are given back than");
    assert_panics(run_elsewhere, &post, "weir_sem_post: this object belongs to shard");
    assert_panics(run_elsewhere, &look, "weir_sem_available: this object belongs to shard");
    assert_panics(run_elsewhere, &lock, "weir_mutex_lock: this object belongs to shard");
}

struct guarded {
    struct weir_mutex mutex;
    int inside, most, times;
};

static void enter(void *arg)
{
    struct guarded *guarded = arg;

    for (int i = 0; i < 10; i++) {
        check_int(weir_mutex_lock(&guarded->mutex, WEIR_NEVER), 0);
        if (++guarded->inside > guarded->most)
            guarded->most = guarded->inside;
        check(!weir_mutex_try(&guarded->mutex));
        weir_yield();
        guarded->inside--;
        guarded->times++;
        weir_mutex_unlock(&guarded->mutex);
    }
}

static void mutex_excludes(void *arg)
{
    struct guarded guarded = { .times = 0 };
    struct weir_scope scope;

    (void)arg;
    weir_mutex_init(&guarded.mutex);
    weir_scope_init(&scope);
    for (int i = 0; i < 20; i++)
        check_int(weir_spawn(&scope, enter, &guarded), 0);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    check_int(guarded.most, 1);
    check_int(guarded.times, 200);
    check(weir_mutex_try(&guarded.mutex));
    weir_mutex_unlock(&guarded.mutex);
}

static void lock_twice(void *arg)
{
    struct weir_mutex mutex;

    (void)arg;
    weir_mutex_init(&mutex);
    weir_mutex_lock(&mutex, WEIR_NEVER);
    weir_mutex_lock(&mutex, WEIR_NEVER);
}

static void unlock_unlocked(void *arg)
{
    struct weir_mutex mutex;

    (void)arg;
    weir_mutex_init(&mutex);
    weir_mutex_unlock(&mutex);
}

static void run_lock_twice(void *arg)
{
    run_shards(1, lock_twice, arg);
}

static void run_unlock_unlocked(void *arg)
{
    run_shards(1, unlock_unlocked, arg);
}

static void test_mutex_misuse(void **state)
{
    (void)state;
    assert_panics(run_lock_twice, NULL, "not recursive");
    assert_panics(run_unlock_unlocked, NULL, "has not locked this mutex");
}

#define CASE(name)                                   \
    static void test_##name(void **state)            \
    {                                                \
        (void)state;                                 \
        assert_int_equal(run_paused(name, NULL), 0); \
    }

CASE(big_request_is_not_overtaken)
CASE(those_behind_a_cancelled_one_go_on)
CASE(permit_is_not_lost)
CASE(available_is_what_nobody_has)
CASE(closing_ends_the_wait_of_all_and_of_those_to_come)
CASE(what_was_granted_before_the_close_is_had)
CASE(a_semaphore_races_with_others)
CASE(mutex_excludes)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_big_request_is_not_overtaken),
        cmocka_unit_test(test_those_behind_a_cancelled_one_go_on),
        cmocka_unit_test(test_permit_is_not_lost),
        cmocka_unit_test(test_available_is_what_nobody_has),
        cmocka_unit_test(test_closing_ends_the_wait_of_all_and_of_those_to_come),
        cmocka_unit_test(test_what_was_granted_before_the_close_is_had),
        cmocka_unit_test(test_a_semaphore_races_with_others),
        cmocka_unit_test(test_semaphore_misuse),
        cmocka_unit_test(test_mutex_excludes),
        cmocka_unit_test(test_mutex_misuse),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
