/* test_blocking.c - the blocking pool on threads: results, bounds, cancelling, idling, and that it
 * stalls nobody. */
#include "tests/sched/run.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <weir/blocking.h>

#define SOON weir_after(WEIR_SEC(30))

static int run_bounded(unsigned shards, uint32_t threads, uint32_t queue, weir_time idle,
                       void (*shard_main)(void *arg))
{
    struct weir_config config;

    test_config(&config, shards);
    config.blocking_threads = threads;
    config.blocking_queue = queue;
    config.blocking_idle = idle;
    return weir_runtime_run(&config, weir_bare_driver_open, NULL, shard_main, NULL);
}

/* --- a job that blocks until somebody writes a byte --- */

struct gate {
    int fd[2];
    struct weir_blocking_job job;
    _Atomic bool begun;
};

static int64_t gate_wait(void *arg)
{
    struct gate *gate = arg;
    char byte;

    atomic_store(&gate->begun, true);
    return read(gate->fd[0], &byte, 1) == 1 ? byte : -EIO;
}

static void gate_shut(struct gate *gate)
{
    atomic_store(&gate->begun, false);
    check_int(pipe(gate->fd), 0);
    weir_blocking_start(&gate->job, gate_wait, gate);
}

static void gate_begun(struct gate *gate)
{
    while (!atomic_load(&gate->begun))
        check_int(weir_sleep(WEIR_US(50)), 0);
}

static void gate_open(struct gate *gate)
{
    check_int(write(gate->fd[1], "g", 1), 1);
    check_int(weir_await(&gate->job.future, SOON), 'g');
    close(gate->fd[0]);
    close(gate->fd[1]);
}

/* --- results, and where it runs --- */

static int64_t negated(void *arg)
{
    return -*(int *)arg;
}

static int64_t thread_id(void *arg)
{
    (void)arg;
    check(!weir_on_shard());
    return (int64_t)syscall(SYS_gettid);
}

static void results_main(void *arg)
{
    struct weir_blocking_stats stats;
    int seven = 7;

    (void)arg;
    weir_blocking_stats(&stats);
    check_int(stats.threads, 0); /* none before it is needed */
    check_int(weir_blocking(negated, &seven), -7);
    check(weir_blocking(thread_id, NULL) != (int64_t)syscall(SYS_gettid));
    weir_blocking_stats(&stats);
    check_int((int64_t)stats.done, 2);
    check_int(stats.threads, 1); /* one after the other: the first thread took both */
    check_int(stats.idle, 1);
    check_int(stats.queued, 0);
    check_int(stats.running, 0);
    check(stats.queue_ns_sum >= stats.queue_ns_max);
}

static void it_runs_elsewhere(void **state)
{
    (void)state;
    assert_int_equal(run_shards(1, results_main, NULL), 0);
}

/* A shard is pinned and has signals; a thread of the pool is and has not. */
static cpu_set_t cpus_outside;

static int64_t looks_around(void *arg)
{
    cpu_set_t cpus;
    sigset_t blocked;
    char name[16];

    (void)arg;
    check_int(sched_getaffinity(0, sizeof cpus, &cpus), 0);
    check(CPU_EQUAL(&cpus, &cpus_outside));
    check_int(pthread_sigmask(SIG_BLOCK, NULL, &blocked), 0);
    check(sigismember(&blocked, SIGTERM) && sigismember(&blocked, SIGUSR2));
    check(!sigismember(&blocked, SIGSEGV));
    check_int(pthread_getname_np(pthread_self(), name, sizeof name), 0);
    check(strcmp(name, "weir-blk") == 0);
    return 0;
}

static void surroundings_main(void *arg)
{
    (void)arg;
    check_int(weir_blocking(looks_around, NULL), 0);
}

static void a_thread_is_not_pinned(void **state)
{
    (void)state;
    assert_int_equal(sched_getaffinity(0, sizeof cpus_outside, &cpus_outside), 0);
    assert_int_equal(run_shards(1, surroundings_main, NULL), 0);
}

/* --- a blocked pool --- */

static weir_time clock_now(void)
{
    struct timespec now;

    check_int(clock_gettime(CLOCK_MONOTONIC, &now), 0);
    return WEIR_SEC(now.tv_sec) + now.tv_nsec;
}

static void timer_main(void *arg)
{
    struct weir_blocking_stats stats;
    struct gate gate, behind;
    struct weir_timer timer;
    weir_time since, waited;

    (void)arg;
    gate_shut(&gate);
    gate_shut(&behind);
    since = clock_now();
    weir_timer_start(&timer, weir_after(WEIR_MS(10)));
    check_int(weir_await(&timer.future, SOON), 0); /* fires while the only thread is blocked */
    gate_begun(&gate);
    weir_blocking_stats(&stats);
    check_int(stats.threads, 1);
    check_int(stats.running, 1);
    check_int(stats.queued, 1);
    check(!gate.job.future.done && !behind.job.future.done);
    waited = clock_now() - since;
    gate_open(&gate);
    gate_open(&behind);
    weir_blocking_stats(&stats);
    check(stats.queue_ns_max >= (uint64_t)waited); /* by the one behind */
}

static void a_blocked_pool_stalls_nobody(void **state)
{
    (void)state;
    assert_int_equal(run_bounded(1, 1, 10, WEIR_SEC(10), timer_main), 0);
}

/* --- the bounds --- */

enum { QUEUE = 5, THREADS = 3 };

static void queue_main(void *arg)
{
    struct gate gate[THREADS + QUEUE];
    struct weir_blocking_stats stats;
    int one = 1;

    (void)arg;
    for (int i = 0; i < THREADS + QUEUE; i++)
        gate_shut(&gate[i]);
    check_int(weir_blocking(negated, &one), -EAGAIN); /* one too many */
    for (int i = 0; i < THREADS; i++)
        gate_begun(&gate[i]); /* in the order of their coming */
    weir_blocking_stats(&stats);
    check_int(stats.threads, THREADS);
    check_int(stats.idle, 0);
    check_int(stats.running, THREADS);
    check_int(stats.queued, QUEUE);
    for (int i = THREADS; i < THREADS + QUEUE; i++)
        check(!atomic_load(&gate[i].begun));
    check_int(weir_blocking(negated, &one), -EAGAIN);
    weir_future_cancel(&gate[THREADS].job.future); /* makes room for one */
    check_int(weir_await(&gate[THREADS].job.future, SOON), -ECANCELED);
    close(gate[THREADS].fd[0]);
    close(gate[THREADS].fd[1]);
    gate_shut(&gate[THREADS]);
    check_int(weir_blocking(negated, &one), -EAGAIN);
    for (int i = 0; i < THREADS + QUEUE; i++)
        check_int(write(gate[i].fd[1], "g", 1), 1);
    for (int i = 0; i < THREADS + QUEUE; i++) {
        check_int(weir_await(&gate[i].job.future, SOON), 'g');
        close(gate[i].fd[0]);
        close(gate[i].fd[1]);
    }
    check_int(weir_blocking(negated, &one), -1);
    weir_blocking_stats(&stats);
    check_int(stats.threads, THREADS);
    check_int((int64_t)stats.done, THREADS + QUEUE + 1);
}

static void threads_and_queue_are_bounded(void **state)
{
    (void)state;
    assert_int_equal(run_bounded(1, THREADS, QUEUE, WEIR_SEC(10), queue_main), 0);
}

static void bad_bounds_are_refused(void **state)
{
    (void)state;
    assert_int_equal(run_bounded(1, 0, 1, 0, queue_main), -EINVAL);
    assert_int_equal(run_bounded(1, 4097, 1, 0, queue_main), -EINVAL);
    assert_int_equal(run_bounded(1, 1, 0, 0, queue_main), -EINVAL);
    assert_int_equal(run_bounded(1, 1, 1, -1, queue_main), -EINVAL);
}

/* Of two shards one may start no thread: then there is none, until the other has started one. */
static _Atomic int step;

static void wait_step(int want)
{
    while (atomic_load(&step) < want)
        check_int(weir_sleep(WEIR_US(50)), 0);
}

/* The filter holds for the calling thread alone, and until its end. */
static void forbid_threads(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_clone, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_clone3, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { .len = WEIR_COUNT(filter), .filter = filter };

    check_int(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    check_int(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

static void no_thread_main(void *arg)
{
    struct weir_blocking_stats stats;
    int one = 1;

    (void)arg;
    if (weir_shard_id() == 0) {
        forbid_threads();
        check_int(weir_blocking(negated, &one), -EAGAIN);
        weir_blocking_stats(&stats);
        check_int(stats.threads, 0);
        check_int(stats.queued, 0); /* nothing was left behind */
        atomic_store(&step, 1);
        wait_step(2);
        check_int(weir_blocking(negated, &one), -1); /* the other's thread does it */
    } else {
        wait_step(1);
        check_int(weir_blocking(negated, &one), -1);
        atomic_store(&step, 2);
    }
}

static void without_a_thread_it_says_so(void **state)
{
    (void)state;
    atomic_store(&step, 0);
    assert_int_equal(run_shards(2, no_thread_main, NULL), 0);
}

/* --- idle threads end --- */

static void idle_main(void *arg)
{
    struct weir_blocking_stats stats;
    struct gate gate[THREADS];

    (void)arg;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < THREADS; i++)
            gate_shut(&gate[i]);
        for (int i = 0; i < THREADS; i++)
            gate_begun(&gate[i]);
        weir_blocking_stats(&stats);
        check_int(stats.threads, THREADS);
        for (int i = 0; i < THREADS; i++)
            gate_open(&gate[i]);
        do {
            check_int(weir_sleep(WEIR_US(200)), 0);
            weir_blocking_stats(&stats);
        } while (stats.threads > 0);
        check_int(stats.idle, 0);
        check_int((int64_t)stats.done, (round + 1) * THREADS);
    }
}

static void idle_threads_end(void **state)
{
    (void)state;
    assert_int_equal(run_bounded(1, 10, 10, WEIR_MS(2), idle_main), 0);
    assert_int_equal(run_bounded(1, 10, 10, 0, idle_main), 0);
}

/* --- cancelling --- */

static _Atomic int ran;

static int64_t runs(void *arg)
{
    (void)arg;
    return atomic_fetch_add(&ran, 1);
}

static void withdrawn(void *arg)
{
    check_int(weir_blocking(runs, arg), -ECANCELED);
}

static void waited_for(void *arg)
{
    check_int(weir_blocking(gate_wait, arg), 'g');
}

static void cancel_main(void *arg)
{
    struct gate gate = { .fd = { -1, -1 } };
    struct weir_blocking_stats stats;
    struct weir_scope begun, not_begun;

    (void)arg;
    atomic_store(&ran, 0);
    check_int(pipe(gate.fd), 0);
    weir_scope_init(&begun);
    weir_scope_init(&not_begun);
    check_int(weir_spawn(&begun, waited_for, &gate), 0);
    gate_begun(&gate);
    for (int i = 0; i < 3; i++)
        check_int(weir_spawn(&not_begun, withdrawn, NULL), 0);
    do {
        weir_yield();
        weir_blocking_stats(&stats);
    } while (stats.queued < 3);
    weir_scope_cancel(&begun);
    weir_scope_cancel(&not_begun);
    check_int(weir_scope_join(&not_begun, SOON), 0); /* at once, behind one that blocks */
    check_int(write(gate.fd[1], "g", 1), 1);
    check_int(weir_scope_join(&begun, SOON), 0);
    check_int(atomic_load(&ran), 0);
    weir_blocking_stats(&stats);
    check_int((int64_t)stats.done, 1);
    check_int(stats.queued, 0);
    close(gate.fd[0]);
    close(gate.fd[1]);
}

static void cancel_withdraws_what_has_not_begun(void **state)
{
    (void)state;
    assert_int_equal(run_bounded(1, 1, 10, WEIR_SEC(10), cancel_main), 0);
}

/* --- a deadline by the future form --- */

static void deadline_main(void *arg)
{
    struct weir_blocking_job job;
    struct gate gate;

    (void)arg;
    gate_shut(&gate);
    weir_blocking_start(&job, runs, NULL);
    check_int(weir_await(&job.future, weir_after(WEIR_MS(1))), -ETIMEDOUT);
    gate_open(&gate);
}

static void a_deadline_withdraws(void **state)
{
    (void)state;
    assert_int_equal(run_bounded(1, 1, 10, WEIR_SEC(10), deadline_main), 0);
}

/* --- the runtime does not end before its jobs --- */

static struct weir_blocking_job left;
static int left_pipe[2];
static bool left_seen;

static int64_t left_runs(void *arg)
{
    char byte;

    (void)arg;
    return read(left_pipe[0], &byte, 1);
}

static void left_done(struct weir_future *future)
{
    check_int(future->result, 1);
    left_seen = true;
}

static void leave_main(void *arg)
{
    (void)arg;
    if (weir_shard_id() != 0)
        return;
    weir_blocking_start(&left, left_runs, NULL);
    check(weir_future_on_done(&left.future, left_done));
}

static void *opens_later(void *arg)
{
    struct timespec moment = { .tv_nsec = 5000000 };

    nanosleep(&moment, NULL);
    assert_int_equal(write(left_pipe[1], "l", 1), 1);
    return arg;
}

static void the_runtime_waits_for_its_jobs(void **state)
{
    pthread_t thread;

    (void)state;
    left_seen = false;
    assert_int_equal(pipe(left_pipe), 0);
    assert_int_equal(pthread_create(&thread, NULL, opens_later, NULL), 0);
    assert_int_equal(run_shards(2, leave_main, NULL), 0);
    assert_true(left_seen);
    assert_int_equal(pthread_join(thread, NULL), 0);
    close(left_pipe[0]);
    close(left_pipe[1]);
}

/* --- many, from several shards --- */

enum { SHARDS = 4, FIBERS = 16, EACH = 100 };

static int64_t squares(void *arg)
{
    return *(int *)arg * *(int *)arg;
}

static void asks(void *arg)
{
    (void)arg;
    for (int i = 0; i < EACH; i++) {
        struct weir_blocking_job job;
        int64_t result;

        weir_blocking_start(&job, squares, &i);
        if (i % 5 == 0)
            weir_future_cancel(&job.future);
        result = weir_await(&job.future, SOON);
        check(result == (int64_t)i * i || (result == -ECANCELED && i % 5 == 0));
    }
}

static void many_main(void *arg)
{
    struct weir_scope scope;

    weir_scope_init(&scope);
    for (int i = 0; i < FIBERS; i++)
        check_int(weir_spawn(&scope, asks, arg), 0);
    check_int(weir_scope_join(&scope, SOON), 0);
}

static void shards_share_one_pool(void **state)
{
    (void)state;
    assert_int_equal(run_bounded(SHARDS, 3, 1000, WEIR_SEC(10), many_main), 0);
    assert_int_equal(run_bounded(SHARDS, 64, 1000, 0, many_main), 0); /* threads come and go */
}

/* --- cut off with jobs queued --- */

static void cut_main(void *arg)
{
    struct gate gate;
    struct weir_scope scope;

    (void)arg;
    gate_shut(&gate);
    gate_begun(&gate);
    weir_scope_init(&scope);
    for (int i = 0; i < 10; i++)
        check_int(weir_spawn(&scope, withdrawn, NULL), 0);
    weir_shards_stop(weir_shard_current->all, WEIR_CUTTING);
    check_int(weir_scope_join(&scope, SOON), -ECANCELED);
    check_int(write(gate.fd[1], "g", 1), 1);
    check_int(weir_await(&gate.job.future, WEIR_NEVER), 'g');
    close(gate.fd[0]);
    close(gate.fd[1]);
}

static void a_cut_withdraws_and_waits(void **state)
{
    (void)state;
    atomic_store(&ran, 0);
    assert_int_equal(run_bounded(1, 1, 100, WEIR_SEC(10), cut_main), 0);
    assert_int_equal(atomic_load(&ran), 0);
}

/* --- the current-thread flavour: its thread waits, and is woken --- */

static int64_t one_after_the_other(void *arg)
{
    int n = 21, sum = 0;

    (void)arg;
    for (int i = 0; i < 100; i++)
        sum -= (int)weir_blocking(negated, &n);
    return sum;
}

static void left_late(struct weir_future *future)
{
    check_int(future->result, 'g');
    left_seen = true;
}

/* Ends while its job still runs. */
static int64_t leaves_a_job(void *arg)
{
    gate_shut(arg);
    gate_begun(arg);
    check(weir_future_on_done(&((struct gate *)arg)->job.future, left_late));
    check_int(write(((struct gate *)arg)->fd[1], "g", 1), 1);
    return 0;
}

static void a_current_thread_runtime_has_one_too(void **state)
{
    struct weir_runtime *runtime;
    struct weir_config config;
    struct gate gate;
    int64_t result;

    (void)state;
    weir_config_init(&config);
    config.flavour = WEIR_CURRENT_THREAD;
    config.signals = false;
    config.quiet = true;
    assert_int_equal(weir_runtime_new(&runtime, &config), 0);
    assert_int_equal(weir_block_on(runtime, one_after_the_other, NULL, &result), 0);
    assert_int_equal(result, 2100);
    left_seen = false;
    assert_int_equal(weir_block_on(runtime, leaves_a_job, &gate, NULL), 0);
    weir_runtime_free(runtime);
    assert_true(left_seen);
    close(gate.fd[0]);
    close(gate.fd[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_runs_elsewhere),
        cmocka_unit_test(a_thread_is_not_pinned),
        cmocka_unit_test(a_blocked_pool_stalls_nobody),
        cmocka_unit_test(threads_and_queue_are_bounded),
        cmocka_unit_test(bad_bounds_are_refused),
        cmocka_unit_test(without_a_thread_it_says_so),
        cmocka_unit_test(idle_threads_end),
        cmocka_unit_test(cancel_withdraws_what_has_not_begun),
        cmocka_unit_test(a_deadline_withdraws),
        cmocka_unit_test(the_runtime_waits_for_its_jobs),
        cmocka_unit_test(shards_share_one_pool),
        cmocka_unit_test(a_cut_withdraws_and_waits),
        cmocka_unit_test(a_current_thread_runtime_has_one_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
