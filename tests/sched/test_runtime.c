/* test_runtime.c - starting and stopping shards on threads: pinning, signals, grace, refusals. */
#include "tests/sched/run.h"
#include <pthread.h>
#include <sched.h>
#include "core/cpu.h"

static _Atomic unsigned ids;

static void count_me(void *arg)
{
    cpu_set_t set;
    char name[16], expected[16];

    (void)arg;
    atomic_fetch_add(&ids, 1u << weir_shard_id());
    check(sched_getaffinity(0, sizeof set, &set) == 0);
    check_int(CPU_COUNT(&set), 1); /* pinned */
    snprintf(expected, sizeof expected, "weir-%u", weir_shard_id());
    check(pthread_getname_np(pthread_self(), name, sizeof name) == 0);
    check(strcmp(name, expected) == 0);
}

static void test_shards_are_pinned_and_named(void **state)
{
    struct weir_cpu_list allowed;

    (void)state;
    ids = 0;
    assert_int_equal(run_shards(4, count_me, NULL), 0);
    assert_int_equal(ids, 15);
    ids = 0;
    assert_int_equal(weir_cpu_allowed(&allowed), 0);
    assert_int_equal(run_shards(0, count_me, NULL), 0); /* one per CPU */
    assert_true(ids == (1u << allowed.count) - 1 || weir_cpu_quota("") > 0);
}

static void cpu_of_shard(void *arg)
{
    check_int(sched_getcpu(), *(int *)arg);
}

static void test_cpus_are_chosen(void **state)
{
    struct weir_config config;
    struct weir_cpu_list allowed;
    char text[8];
    int cpu;

    (void)state;
    assert_int_equal(weir_cpu_allowed(&allowed), 0);
    cpu = allowed.cpu[allowed.count - 1];
    snprintf(text, sizeof text, "%d", cpu);
    test_config(&config, 0);
    config.cpus = text;
    assert_int_equal(weir_runtime_run(&config, weir_bare_driver_open, NULL, cpu_of_shard, &cpu), 0);
}

static void run_config(void *arg)
{
    struct weir_config *config = arg;

    _exit(-weir_runtime_run(config, weir_bare_driver_open, NULL, count_me, NULL));
}

static void assert_refused(struct weir_config *config, int error, const char *text)
{
    char said[2048];
    int status = child_run(run_config, config, said, sizeof said);

    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), -error);
    assert_non_null(strstr(said, text));
    assert_ptr_equal(strchr(said, '\n'), said + strlen(said) - 1); /* one line */
}

static void test_bad_configs_are_refused(void **state)
{
    struct weir_config config;

    (void)state;
    test_config(&config, 1);
    config.fiber_stack = 16 * 1024 - 4096;
    assert_refused(&config, -EINVAL, "fiber_stack");
    test_config(&config, 1);
    config.fiber_stack = 64 * 1024 + 1;
    assert_refused(&config, -EINVAL, "multiple");
    test_config(&config, WEIR_SHARDS_MAX + 1);
    assert_refused(&config, -ERANGE, "at most 256");
    test_config(&config, 1);
    config.cpus = "0,2-";
    assert_refused(&config, -EINVAL, "'0,2-' is not a list of CPUs");
    test_config(&config, 1);
    config.cpus = "1000";
    assert_refused(&config, -EINVAL, "cannot pin shard 0 to CPU 1000");
    test_config(&config, 1);
    config.fibers_max = 0;
    assert_refused(&config, -EINVAL, "fibers_max");
}

/* The driver of the last shard cannot be had: no main function runs anywhere. */
static int half_open(struct weir_driver **driver, struct weir_shard *shard,
                     const struct weir_config *config, void *arg)
{
    return shard->id == 2 ? -EMFILE : weir_bare_driver_open(driver, shard, config, arg);
}

static void test_whole_or_not_at_all(void **state)
{
    struct weir_config config;

    (void)state;
    test_config(&config, 3);
    ids = 0;
    assert_int_equal(weir_runtime_run(&config, half_open, NULL, count_me, NULL), -EMFILE);
    assert_int_equal(ids, 0);
}

/* --- stopping --- */

static void drains(void *arg)
{
    struct weir_stop_wait stop;

    weir_stop_wait_start(&stop);
    if (weir_shard_id() == 0)
        kill(getpid(), *(int *)arg);
    check_int(weir_await(&stop.future, WEIR_NEVER), 0);
    check(weir_stopping());
    check(!weir_cancelled());
    check_int(weir_sleep(WEIR_MS(5)), 0); /* draining is not cancelled */
    weir_stop_wait_start(&stop);
    check_int(weir_await(&stop.future, WEIR_NEVER), 0); /* at once: it has come */
}

static void test_signals_stop(void **state)
{
    int signals[] = { SIGINT, SIGTERM };

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct weir_config config;

        test_config(&config, 2);
        config.signals = true;
        assert_int_equal(
            weir_runtime_run(&config, weir_bare_driver_open, NULL, drains, &signals[i]), 0);
    }
}

static void never_ends(void *arg)
{
    (void)arg;
    weir_stop();
    check_int(weir_sleep(WEIR_SEC(1000)), -ECANCELED);
}

static void test_grace_ends_in_cancel(void **state)
{
    struct weir_config config;

    (void)state;
    test_config(&config, 2);
    config.grace = WEIR_MS(20);
    assert_int_equal(weir_runtime_run(&config, weir_bare_driver_open, NULL, never_ends, NULL), 0);
}

static void two_signals(void *arg)
{
    (void)arg;
    if (weir_shard_id() == 0) {
        kill(getpid(), SIGTERM);
        while (!weir_stopping())
            weir_yield();
        kill(getpid(), SIGTERM);
    }
    check_int(weir_sleep(WEIR_SEC(1000)), -ECANCELED);
}

static void test_second_signal_cuts(void **state)
{
    struct weir_config config;

    (void)state;
    test_config(&config, 2);
    config.signals = true;
    config.grace = WEIR_SEC(1000);
    assert_int_equal(weir_runtime_run(&config, weir_bare_driver_open, NULL, two_signals, NULL), 0);
}

/* Asking again, from anywhere, is asking once: only the grace time or a second signal cancels. */
static void all_stop(void *arg)
{
    struct weir_stop_wait stop;

    (void)arg;
    weir_stop_wait_start(&stop);
    weir_stop();
    weir_stop();
    check(weir_stopping());
    check_int(weir_await(&stop.future, WEIR_NEVER), 0);
    weir_stop();
    check_int(weir_sleep(WEIR_MS(5)), 0);
    check(!weir_cancelled());
}

static void test_stop_from_several_shards(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++)
        assert_int_equal(run_shards(4, all_stop, NULL), 0);
}

static void stop_wait_cancelled(void *arg)
{
    struct weir_stop_wait stop;

    (void)arg;
    weir_stop_wait_start(&stop);
    check_int(weir_await(&stop.future, weir_after(WEIR_MS(1))), -ETIMEDOUT);
    weir_stop(); /* nothing is left that could be completed twice */
    check_int(weir_sleep(WEIR_MS(1)), 0);
}

static void test_stop_wait_is_cancelled(void **state)
{
    (void)state;
    assert_int_equal(run_shards(1, stop_wait_cancelled, NULL), 0);
}

/* --- idling --- */

static struct weir_shard_stats idle_stats;

static void idles(void *arg)
{
    (void)arg;
    check_int(weir_sleep(WEIR_MS(50)), 0);
    weir_shard_stats(&idle_stats);
}

static void test_idle_shards_sleep_unless_told_not_to(void **state)
{
    struct weir_config config;

    (void)state;
    test_config(&config, 1);
    assert_int_equal(weir_runtime_run(&config, weir_bare_driver_open, NULL, idles, NULL), 0);
    assert_true(idle_stats.sleeps >= 1);
    assert_true(idle_stats.turns <= 20); /* the sleep, and the wheel's steps on the way */
    config.poll = WEIR_POLL_BUSY;
    assert_int_equal(weir_runtime_run(&config, weir_bare_driver_open, NULL, idles, NULL), 0);
    assert_int_equal(idle_stats.sleeps, 0);
    assert_true(idle_stats.turns > 1000);
}

/* --- misuse --- */

static void inside(void *arg)
{
    run_shards(1, count_me, arg);
}

static void run_inside(void *arg)
{
    run_shards(1, inside, arg);
}

static void spawn_outside(void *arg)
{
    struct weir_scope scope;

    (void)arg;
    weir_scope_init(&scope);
    weir_spawn(&scope, inside, NULL);
}

static struct weir_future *_Atomic of_shard_0;
static struct weir_scope *_Atomic scope_of_shard_0;

static void set_by_another(void *arg)
{
    struct weir_future future;

    (void)arg;
    if (weir_shard_id() == 0) {
        weir_future_init(&future, NULL);
        of_shard_0 = &future;
        weir_await(&future, WEIR_NEVER);
    } else {
        while (!of_shard_0 || !of_shard_0->waiter)
            weir_sleep(WEIR_MS(1));
        weir_future_set(of_shard_0, 0);
    }
}

static void sleep_long(void *arg)
{
    (void)arg;
    weir_sleep(WEIR_SEC(1000));
}

static void spawn_by_another(void *arg)
{
    struct weir_scope scope;

    (void)arg;
    if (weir_shard_id() == 0) {
        weir_scope_init(&scope);
        weir_spawn(&scope, sleep_long, NULL);
        scope_of_shard_0 = &scope;
        weir_scope_join(&scope, WEIR_NEVER);
    } else {
        while (!scope_of_shard_0)
            weir_sleep(WEIR_MS(1));
        weir_spawn(scope_of_shard_0, sleep_long, NULL);
    }
}

static void run_set_by_another(void *arg)
{
    run_shards(2, set_by_another, arg);
}

static void run_spawn_by_another(void *arg)
{
    run_shards(2, spawn_by_another, arg);
}

static void test_misuse(void **state)
{
    (void)state;
    assert_panics(run_inside, NULL, "a runtime cannot be started inside another");
    assert_panics(spawn_outside, NULL, "weir_spawn: no shard runs on this thread");
    if (WEIR_TSAN)
        return; /* it reports the race first */
    assert_panics(run_set_by_another, NULL,
                  "weir_future_set: this object belongs to shard 0 and was used on shard 1");
    assert_panics(run_spawn_by_another, NULL,
                  "weir_spawn: this object belongs to shard 0 and was used on shard 1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shards_are_pinned_and_named),
        cmocka_unit_test(test_cpus_are_chosen),
        cmocka_unit_test(test_bad_configs_are_refused),
        cmocka_unit_test(test_whole_or_not_at_all),
        cmocka_unit_test(test_signals_stop),
        cmocka_unit_test(test_grace_ends_in_cancel),
        cmocka_unit_test(test_second_signal_cuts),
        cmocka_unit_test(test_stop_from_several_shards),
        cmocka_unit_test(test_stop_wait_is_cancelled),
        cmocka_unit_test(test_idle_shards_sleep_unless_told_not_to),
        cmocka_unit_test(test_misuse),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
