/* test_pause.c - the paused clock: how it jumps, what holds it back, moved by hand, and let go. */
#include "tests/sched/run.h"
#include <pthread.h>
#include <stdatomic.h>
#include <weir/blocking.h>
#include <weir/net.h>
#include <weir/oneshot.h>

#define HOUR WEIR_SEC(3600)
#define DAY (24 * HOUR)

static int run_config(const struct weir_config *config, void (*shard_main)(void *arg), void *arg)
{
    return weir_runtime_run(config, weir_bare_driver_open, NULL, shard_main, arg);
}

/* --- it jumps --- */

static void sleeps_an_hour(void *arg)
{
    weir_time start = weir_now();

    (void)arg;
    check_int(weir_sleep(HOUR), 0);
    check_int(weir_now() - start, HOUR);
    weir_yield();
    check_int(weir_now() - start, HOUR); /* it stands still otherwise */
}

static void pauses_and_sleeps(void *arg)
{
    weir_pause();
    sleeps_an_hour(arg);
}

static int64_t task_sleeps(void *arg)
{
    sleeps_an_hour(arg);
    return 42;
}

static void runtime_sleeps(const struct weir_config *config)
{
    struct weir_runtime *runtime;
    int64_t result = 0;

    assert_int_equal(weir_runtime_new(&runtime, config), 0);
    for (int i = 0; i < 3; i++) /* paused it stays, from one to the next */
        assert_int_equal(weir_block_on(runtime, task_sleeps, NULL, &result), 0);
    assert_int_equal(result, 42);
    assert_int_equal(weir_submit(runtime, 0, task_sleeps, NULL, &result), 0);
    weir_runtime_free(runtime);
}

static void an_hour_passes_at_once(void **state)
{
    enum weir_stack_kind stacks[] = { WEIR_STACK_EPOLL, WEIR_STACK_AUTO, WEIR_STACK_NATIVE };
    struct weir_config config;

    (void)state;
    assert_int_equal(run_paused(sleeps_an_hour, NULL), 0);
    assert_int_equal(run_shards(1, pauses_and_sleeps, NULL), 0);
    for (size_t i = 0; i < WEIR_COUNT(stacks); i++) {
        weir_config_init(&config);
        config.stack = stacks[i];
        config.quiet = true;
        config.paused = true;
        config.shards = 1;
        runtime_sleeps(&config);
        config.flavour = WEIR_CURRENT_THREAD;
        runtime_sleeps(&config);
    }
}

static int64_t sends_seven(void *arg)
{
    return weir_oneshot_send(arg, 7);
}

/* A shard that would spin: for ever, or because others may have more to say soon. */
static void spins(void *arg)
{
    struct weir_oneshot oneshot;
    struct weir_blocking_job job;
    int64_t value;

    weir_oneshot_init(&oneshot);
    weir_blocking_start(&job, sends_seven, &oneshot);
    check_int(weir_oneshot_recv(&oneshot, &value, WEIR_NEVER), 0);
    check_int(value, 7);
    check_int(weir_await(&job.future, WEIR_NEVER), 0);
    sleeps_an_hour(arg);
    weir_resume();
    check_int(weir_shard_current->poll, *(enum weir_poll *)arg);
    check_int(weir_shard_current->idle_spin, WEIR_SEC(1));
}

static void spinning_does_not_hold_it(void **state)
{
    struct weir_config config;

    (void)state;
    paused_config(&config);
    config.idle_spin = WEIR_SEC(1);
    assert_int_equal(run_config(&config, spins, &config.poll), 0);
    config.poll = WEIR_POLL_BUSY;
    assert_int_equal(run_config(&config, spins, &config.poll), 0);
}

/* --- in the order of time, to the nanosecond --- */

enum { SLEEPERS = 9 };

static const weir_time spans[SLEEPERS] = {
    WEIR_SEC(3), WEIR_SEC(1), WEIR_SEC(2), 30000,           10000,
    20000,       60 * DAY,    400 * DAY,   WEIR_SEC(2) + 1,
};

static struct weir_order {
    weir_time start;
    int order[SLEEPERS];
    int count;
} order;

static void sleeper(void *arg)
{
    const weir_time *span = arg;

    check_int(weir_sleep_until(order.start + *span), 0);
    check_int(weir_now() - order.start, *span);
    order.order[order.count++] = (int)(span - spans);
}

static void order_main(void *arg)
{
    struct weir_scope scope;

    (void)arg;
    order = (struct weir_order){ .start = weir_now() };
    weir_scope_init(&scope);
    for (int i = 0; i < SLEEPERS; i++)
        check_int(weir_spawn(&scope, sleeper, (void *)(uintptr_t)&spans[i]), 0);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
}

static void timers_keep_their_order(void **state)
{
    static const int expected[SLEEPERS] = { 4, 5, 3, 1, 2, 8, 0, 6, 7 };

    (void)state;
    assert_int_equal(run_paused(order_main, NULL), 0);
    assert_int_equal(order.count, SLEEPERS);
    assert_memory_equal(order.order, expected, sizeof expected);
}

/* --- by hand --- */

static void waits_for(void *arg)
{
    weir_time *woken = arg;

    check_int(weir_sleep_until(*woken), 0);
    *woken = -weir_now();
}

static void by_hand_main(void *arg)
{
    weir_time start = weir_now();
    weir_time at[3] = { start + WEIR_SEC(1), start + WEIR_SEC(2), start + WEIR_SEC(3) };
    struct weir_scope scope;

    (void)arg;
    weir_scope_init(&scope);
    for (int i = 0; i < 3; i++)
        check_int(weir_spawn(&scope, waits_for, &at[i]), 0);
    check_int(weir_advance(WEIR_SEC(1) - 1), 0);
    check_int(weir_now() - start, WEIR_SEC(1) - 1);
    check(at[0] > 0);
    check_int(weir_advance(1), 0);
    check_int(-at[0] - start, WEIR_SEC(1)); /* it has run */
    check(at[1] > 0);
    check_int(weir_advance(WEIR_SEC(2) - 1), 0);
    check_int(-at[1] - start, WEIR_SEC(3) - 1); /* in one jump: it sees the new time */
    check(at[2] > 0);
    check_int(weir_advance(0), 0);
    check(at[2] > 0);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    check_int(-at[2] - start, WEIR_SEC(3));
}

static void moved_by_hand(void **state)
{
    (void)state;
    assert_int_equal(run_paused(by_hand_main, NULL), 0);
}

enum { MANY = 1000 };

/* More than fire in one turn. */
static void many_main(void *arg)
{
    static weir_time at[MANY];
    struct weir_scope scope;

    (void)arg;
    weir_scope_init(&scope);
    for (int i = 0; i < MANY; i++) {
        at[i] = weir_after(WEIR_US(7) * (MANY - i));
        check_int(weir_spawn(&scope, waits_for, &at[i]), 0);
    }
    check_int(weir_advance(0), 0); /* they begin to wait */
    check_int(weir_advance(WEIR_US(7) * MANY), 0);
    for (int i = 0; i < MANY; i++)
        check_int(at[i], -weir_now());
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
}

static void all_that_is_due_runs_first(void **state)
{
    (void)state;
    assert_int_equal(run_paused(many_main, NULL), 0);
}

static void advances_cancelled(void *arg)
{
    weir_time start = weir_now();

    check_int(weir_sleep(WEIR_SEC(5)), -ECANCELED);
    check_int(weir_advance(WEIR_SEC(1)), -ECANCELED);
    *(weir_time *)arg = weir_now() - start;
}

static void cancel_main(void *arg)
{
    struct weir_scope scope;
    weir_time moved = 0;

    (void)arg;
    weir_scope_init(&scope);
    check_int(weir_spawn(&scope, advances_cancelled, &moved), 0);
    weir_yield();
    weir_scope_cancel(&scope);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    check_int(moved, WEIR_SEC(1));
    check_int(weir_advance(0), 0); /* nothing is left of it */
}

static void two_advance(void *arg)
{
    check_int(weir_advance(WEIR_SEC(1)), 0);
    ++*(int *)arg;
}

static void resumes(void *arg)
{
    (void)arg;
    weir_resume();
}

/* One resumes while others are still under way. */
static void resumed_meanwhile_main(void *arg)
{
    struct weir_scope scope;
    int over = 0;

    (void)arg;
    weir_scope_init(&scope);
    check_int(weir_spawn(&scope, two_advance, &over), 0);
    check_int(weir_spawn(&scope, two_advance, &over), 0);
    check_int(weir_spawn(&scope, resumes, NULL), 0); /* before the next turn of the loop */
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    check_int(over, 2);
}

static void advance_is_cancelled_or_overtaken(void **state)
{
    (void)state;
    assert_int_equal(run_paused(cancel_main, NULL), 0);
    assert_int_equal(run_paused(resumed_meanwhile_main, NULL), 0);
}

/* --- let go --- */

static weir_time real_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return WEIR_SEC(now.tv_sec) + now.tv_nsec;
}

static void resume_main(void *arg)
{
    weir_time start = weir_now(), real;

    (void)arg;
    for (int i = 1; i <= 3; i++) {
        weir_pause();
        check_int(weir_sleep(HOUR), 0);
        weir_resume();
        real = real_now();
        check(weir_now() - start >= i * HOUR); /* it does not go back */
        check_int(weir_sleep(WEIR_MS(5)), 0);
        check(real_now() - real >= WEIR_MS(5));
        check(weir_now() - start >= i * (HOUR + WEIR_MS(5)));
        check(weir_now() - start < (i + 1) * HOUR);
    }
}

static void resumed_it_goes_on_from_there(void **state)
{
    struct weir_config config;

    (void)state;
    assert_int_equal(run_shards(1, resume_main, NULL), 0);
    test_config(&config, 1);
    config.poll = WEIR_POLL_BUSY;
    assert_int_equal(run_config(&config, resume_main, NULL), 0);
}

/* --- what holds it back --- */

static int64_t naps(void *arg)
{
    usleep(20000);
    return *(int64_t *)arg;
}

static void job_main(void *arg)
{
    weir_time start = weir_now();
    struct weir_blocking_job job;
    int64_t seven = 7;

    (void)arg;
    weir_blocking_start(&job, naps, &seven);
    check_int(weir_await(&job.future, weir_after(1)), 7); /* the limit does not pass meanwhile */
    check_int(weir_now(), start);
    weir_blocking_start(&job, naps, &seven);
    check_int(weir_sleep(HOUR), 0); /* nor does anybody's time */
    check(job.future.done);
    check_int(weir_await(&job.future, WEIR_NEVER), 7);
    check_int(weir_now() - start, HOUR);
}

static void a_blocking_job_holds_it(void **state)
{
    (void)state;
    assert_int_equal(run_paused(job_main, NULL), 0);
}

struct gate {
    int fd[2];
    _Atomic bool begun;
};

static int64_t gate_wait(void *arg)
{
    struct gate *gate = arg;
    char byte;

    atomic_store(&gate->begun, true);
    return read(gate->fd[0], &byte, 1) == 1 ? byte : -EIO;
}

static void waits_at_gate(void *arg)
{
    struct weir_blocking_job job;

    weir_blocking_start(&job, gate_wait, arg);
    check_int(weir_await(&job.future, weir_after(WEIR_SEC(1))), 'g'); /* begun: waited for */
}

/* Time that is moved by hand passes, the job's time limit and others. */
static void gate_main(void *arg)
{
    weir_time woken = weir_after(WEIR_SEC(1));
    struct gate gate = { .begun = false };
    struct weir_scope scope;

    (void)arg;
    check_int(pipe(gate.fd), 0);
    weir_scope_init(&scope);
    check_int(weir_spawn(&scope, waits_at_gate, &gate), 0);
    check_int(weir_spawn(&scope, waits_for, &woken), 0);
    while (!atomic_load(&gate.begun))
        weir_yield();
    check(woken > 0);
    check_int(weir_advance(WEIR_SEC(1)), 0);
    check_int(woken, -weir_now());
    check_int(write(gate.fd[1], "g", 1), 1);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    close(gate.fd[0]);
    close(gate.fd[1]);
}

static void but_not_the_hand(void **state)
{
    (void)state;
    assert_int_equal(run_paused(gate_main, NULL), 0);
}

/* --- from other threads: it sleeps until they come, and misses none --- */

enum { SUBMITS = 500 };

struct visit {
    struct weir_runtime *runtime;
    struct weir_future all;
    int left;
};

static int64_t visit(void *arg)
{
    struct visit *v = arg;
    weir_time start = weir_now();

    check_int(weir_sleep(1), 0);
    check(weir_now() > start);
    if (--v->left == 0)
        weir_future_set(&v->all, 0);
    return 0;
}

static void *visitor(void *arg)
{
    struct visit *v = arg;

    for (int i = 0; i < SUBMITS; i++)
        check_int(weir_submit(v->runtime, 0, visit, v, NULL), 0);
    return NULL;
}

static int64_t all_visits(void *arg)
{
    struct visit *v = arg;

    weir_future_init(&v->all, NULL);
    return weir_await(&v->all, WEIR_NEVER);
}

static void other_threads_are_heard(void **state)
{
    struct visit v = { .left = 2 * SUBMITS };
    struct weir_config config;
    pthread_t thread[2];

    (void)state;
    weir_config_init(&config);
    config.flavour = WEIR_CURRENT_THREAD;
    config.quiet = true;
    config.paused = true;
    assert_int_equal(weir_runtime_new(&v.runtime, &config), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, visitor, &v), 0);
    assert_int_equal(weir_block_on(v.runtime, all_visits, &v, NULL), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(thread[i], NULL);
    weir_runtime_free(v.runtime);
}

/* --- the world: it is looked at, and not waited for --- */

static void serves_one(void *arg)
{
    struct weir_conn *conn;
    char byte;

    check_int(weir_accept(arg, &conn, WEIR_NEVER), 0);
    check_int(weir_recv(conn, &byte, 1, WEIR_NEVER), 1);
    check_int(weir_send(conn, &byte, 1, WEIR_NEVER), 1);
    weir_close(conn);
}

static void net_main(void *arg)
{
    struct weir_listener *listener;
    char text[WEIR_ADDR_TEXT], byte = 'x';
    struct weir_scope scope;
    struct weir_addr addr;
    struct weir_conn *conn;
    weir_time start;

    (void)arg;
    check_int(weir_listen(&listener, "127.0.0.1:0", NULL), 0);
    weir_listener_addr(listener, &addr);
    weir_addr_format(&addr, text, sizeof text);
    start = weir_now();
    check_int(weir_accept(listener, &conn, start + HOUR), -ETIMEDOUT);
    check_int(weir_now() - start, HOUR);
    weir_scope_init(&scope);
    check_int(weir_spawn(&scope, serves_one, listener), 0);
    check_int(weir_connect(&conn, text, WEIR_NEVER), 0);
    check_int(weir_send(conn, "y", 1, WEIR_NEVER), 1);
    check_int(weir_recv(conn, &byte, 1, WEIR_NEVER), 1);
    check_int(byte, 'y');
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    weir_close(conn);
    weir_listener_close(listener);
}

static void the_network_is_looked_at(void **state)
{
    enum weir_stack_kind stacks[] = { WEIR_STACK_EPOLL, WEIR_STACK_AUTO, WEIR_STACK_NATIVE };
    struct weir_config config;

    (void)state;
    for (size_t i = 0; i < WEIR_COUNT(stacks); i++) {
        weir_config_init(&config);
        config.stack = stacks[i];
        config.quiet = true;
        config.paused = true;
        config.shards = 1;
        assert_int_equal(weir_run(&config, net_main, NULL), 0);
    }
    config.impair = "delay=20ms"; /* something is left to be done at the end */
    assert_int_equal(weir_run(&config, net_main, NULL), 0);
}

/* --- the end --- */

static void drains_too_long(void *arg)
{
    weir_time start = weir_now();

    (void)arg;
    weir_stop();
    check_int(weir_sleep(HOUR), -ECANCELED);
    check_int(weir_now() - start, WEIR_SEC(10)); /* the grace time */
}

static void sleeps_too_long(void *arg)
{
    (void)arg;
    check_int(weir_sleep(DAY), -ECANCELED);
}

static int64_t leaves_a_sleeper(void *arg)
{
    (void)arg;
    check_int(weir_spawn_on(0, sleeps_too_long, NULL, WEIR_NEVER), 0);
    return 0;
}

static void it_ends_as_others_do(void **state)
{
    struct weir_runtime *runtime;
    struct weir_config config;

    (void)state;
    assert_int_equal(run_paused(drains_too_long, NULL), 0);
    weir_config_init(&config);
    config.flavour = WEIR_CURRENT_THREAD;
    config.quiet = true;
    config.paused = true;
    assert_int_equal(weir_runtime_new(&runtime, &config), 0);
    assert_int_equal(weir_block_on(runtime, leaves_a_sleeper, NULL, NULL), 0);
    weir_runtime_free(runtime);
}

/* --- misuse --- */

static void pauses_twice(void *arg)
{
    (void)arg;
    weir_pause();
    weir_pause();
}

static void pauses(void *arg)
{
    (void)arg;
    weir_pause();
}

static void advances(void *arg)
{
    weir_advance(*(weir_time *)arg);
}

static void run_pauses_twice(void *arg)
{
    run_shards(1, pauses_twice, arg);
}

static void run_resumes(void *arg)
{
    run_shards(1, resumes, arg);
}

static void run_advances(void *arg)
{
    run_shards(1, advances, arg);
}

static void run_advances_paused(void *arg)
{
    run_paused(advances, arg);
}

static void run_two_pause(void *arg)
{
    run_shards(2, pauses, arg);
}

static void run_two_resume(void *arg)
{
    run_shards(2, resumes, arg);
}

static void run_two_advance(void *arg)
{
    run_shards(2, advances, arg);
}

static void run_two_paused(void *arg)
{
    struct weir_config config;

    (void)arg;
    paused_config(&config);
    config.shards = 2;
    _exit(-run_config(&config, pauses, NULL));
}

static void misuse(void **state)
{
    weir_time second = WEIR_SEC(1), back = -1, beyond = WEIR_NEVER;
    char said[1024];
    int status;

    (void)state;
    assert_panics(run_pauses_twice, NULL, "weir_pause: the clock is paused already; weir_resume");
    assert_panics(run_resumes, NULL, "weir_resume: the clock is not paused; weir_pause or");
    assert_panics(run_advances, &second, "weir_advance: the clock is not paused");
    assert_panics(run_advances_paused, &back, "weir_advance: the clock cannot move by -1 ns");
    assert_panics(run_advances_paused, &beyond, "from 0 to the end of time");
    assert_panics(run_two_pause, NULL, "weir_pause: this runtime has 2 shards");
    assert_panics(run_two_resume, NULL, "weir_resume: this runtime has 2 shards");
    assert_panics(run_two_advance, &second, "weir_advance: this runtime has 2 shards");
    assert_panics(pauses, NULL, "weir_pause: no shard runs on this thread");
    status = child_run(run_two_paused, NULL, said, sizeof said);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), EINVAL);
    assert_string_equal(said, "weir: paused is for one shard, not 2 with a clock each\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_hour_passes_at_once),
        cmocka_unit_test(spinning_does_not_hold_it),
        cmocka_unit_test(timers_keep_their_order),
        cmocka_unit_test(moved_by_hand),
        cmocka_unit_test(all_that_is_due_runs_first),
        cmocka_unit_test(advance_is_cancelled_or_overtaken),
        cmocka_unit_test(resumed_it_goes_on_from_there),
        cmocka_unit_test(a_blocking_job_holds_it),
        cmocka_unit_test(but_not_the_hand),
        cmocka_unit_test(other_threads_are_heard),
        cmocka_unit_test(the_network_is_looked_at),
        cmocka_unit_test(it_ends_as_others_do),
        cmocka_unit_test(misuse),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
