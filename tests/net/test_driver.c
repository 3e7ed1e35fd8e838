/* test_driver.c - what shards and drivers promise each other (sched/shard.h): a driver wakes for a
 * descriptor it was asked to watch, nobody stands in `yielded` between two turns, and how often a
 * shard that spins looks at the rings is the driver's to say.
 *
 * A spy stands between a shard and its driver, as the native stack does. */
#include "tests/core/testing.h"
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include "net/kernel/uring.h"
#include "net/stack.h"
#include "tests/seeds.h"

#define SOON weir_after(WEIR_SEC(30))

enum { ROUNDS = 5, WATCHES = 3 };

static struct spy {
    struct weir_driver driver, *below;
    int fd; /* read when there is something; -1: none */
    struct weir_future *waiting;
    uint64_t polls, yielded_seen;
} spy;

static bool spy_read(void)
{
    uint64_t count;

    if (spy.fd < 0 || read(spy.fd, &count, sizeof count) != sizeof count)
        return false;
    if (spy.waiting)
        weir_future_set(spy.waiting, (int64_t)count);
    spy.waiting = NULL;
    return true;
}

static bool spy_poll(struct weir_driver *driver, weir_time until)
{
    bool worked;

    spy.polls++;
    spy.yielded_seen += !weir_list_empty(&driver->shard->yielded);
    if (until != 0 && spy_read()) { /* between two looks something may have come */
        atomic_store(&driver->shard->asleep, false);
        until = 0;
    }
    worked = spy.below->ops->poll(spy.below, until);
    return spy_read() || worked;
}

static const struct weir_driver_ops spy_ops = { .name = "spy", .poll = spy_poll };

/* From the next turn on. */
static void spy_begin(void)
{
    struct weir_shard *shard = weir_shard_current;

    spy = (struct spy){ .driver = { &spy_ops, shard }, .below = shard->driver, .fd = -1 };
    shard->driver = &spy.driver;
}

static void spy_end(void)
{
    weir_shard_current->driver = spy.below;
}

static int run_on(enum weir_stack_kind stack, unsigned shards, void (*shard_main)(void *arg))
{
    struct weir_config config;

    weir_config_init(&config);
    config.shards = shards;
    config.stack = stack;
    config.signals = false;
    config.quiet = true;
    return weir_run(&config, shard_main, NULL);
}

static void on_each_kernel_stack(void (*shard_main)(void *arg))
{
    char why[256];

    assert_int_equal(run_on(WEIR_STACK_EPOLL, 1, shard_main), 0);
    if (weir_uring_probe(why, sizeof why) == 0)
        assert_int_equal(run_on(WEIR_STACK_URING, 1, shard_main), 0);
    else
        fprintf(stderr, "no io_uring: %s\n", why);
}

/* --- watch --- */

struct writer {
    const struct weir_shard *shard;
    int fd[WATCHES];
    _Atomic int rounds; /* asked for */
};

/* Writes when the shard sleeps, and only then. */
static void *writer_main(void *arg)
{
    struct writer *writer = arg;

    for (int done = 0; done < ROUNDS * WATCHES; done++) {
        const uint64_t one = 1;

        while (atomic_load(&writer->rounds) <= done || !atomic_load(&writer->shard->asleep))
            sched_yield();
        if (write(writer->fd[done % WATCHES], &one, sizeof one) != sizeof one)
            abort();
    }
    return NULL;
}

static void watch_main(void *arg)
{
    struct weir_shard *shard = weir_shard_current;
    struct writer writer = { .shard = shard };
    struct weir_future came;
    pthread_t thread;

    (void)arg;
    check(shard->driver->ops->watch != NULL);
    for (int i = 0; i < WATCHES; i++) {
        writer.fd[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        check(writer.fd[i] >= 0);
        check_int(shard->driver->ops->watch(shard->driver, writer.fd[i]), 0);
    }
    spy_begin();
    check_int(pthread_create(&thread, NULL, writer_main, &writer), 0);
    for (int i = 0; i < ROUNDS * WATCHES; i++) {
        weir_future_init(&came, NULL);
        spy.waiting = &came;
        spy.fd = writer.fd[i % WATCHES];
        atomic_fetch_add(&writer.rounds, 1);
        check_int(weir_await(&came, WEIR_NEVER), 1); /* else the test hangs, and is ended */
    }
    spy_end();
    check_int(pthread_join(thread, NULL), 0);
    /* The driver is told no more of them: nothing is written from here on. */
    weir_yield();
    for (int i = 0; i < WATCHES; i++)
        check_int(weir_sleep(WEIR_US(100)), 0);
}

static void a_watched_descriptor_ends_the_sleep(void **state)
{
    (void)state;
    on_each_kernel_stack(watch_main);
}

static void watch_limit_main(void *arg)
{
    struct weir_driver *driver = weir_shard_current->driver;
    int fd[64], error = 0;
    unsigned count = 0;

    (void)arg;
    while (error == 0) {
        check(count < WEIR_COUNT(fd));
        fd[count] = eventfd(0, EFD_CLOEXEC);
        error = driver->ops->watch(driver, fd[count++]);
    }
    check_int(error, -ENOSPC);
    check(count > 2);                       /* a stack has two devices */
    check_int(weir_sleep(WEIR_US(200)), 0); /* and it sleeps as ever */
}

static void watches_of_a_ring_are_bounded(void **state)
{
    char why[256];

    (void)state;
    if (weir_uring_probe(why, sizeof why) < 0)
        skip();
    assert_int_equal(run_on(WEIR_STACK_URING, 1, watch_limit_main), 0);
}

static void watch_bad_main(void *arg)
{
    struct weir_driver *driver = weir_shard_current->driver;

    (void)arg;
    check_int(driver->ops->watch(driver, 1 << 20), -EBADF);
}

static void what_cannot_be_watched_is_refused(void **state)
{
    (void)state;
    assert_int_equal(run_on(WEIR_STACK_EPOLL, 1, watch_bad_main), 0);
}

/* --- yielded --- */

enum { YIELDERS = 10, YIELDS = 2000 };

static void yielder(void *arg)
{
    (void)arg;
    for (int i = 0; i < YIELDS; i++)
        weir_yield();
}

static void yield_main(void *arg)
{
    struct weir_scope scope;

    (void)arg;
    weir_scope_init(&scope);
    spy_begin();
    for (int i = 0; i < YIELDERS; i++)
        check_int(weir_spawn(&scope, yielder, NULL), 0);
    check_int(weir_scope_join(&scope, SOON), 0);
    spy_end();
    check(spy.polls > 1);
    check_int((int64_t)spy.yielded_seen, 0);
}

static void nobody_is_left_in_yielded_between_turns(void **state)
{
    (void)state;
    on_each_kernel_stack(yield_main);
}

static unsigned ran;

static void runs_once(void *arg)
{
    (void)arg;
    ran++;
}

/* Who yields goes behind all that can run. */
static void behind_main(void *arg)
{
    struct weir_scope scope;

    (void)arg;
    ran = 0;
    weir_scope_init(&scope);
    for (unsigned i = 0; i < YIELDERS; i++)
        check_int(weir_spawn(&scope, runs_once, NULL), 0);
    check_int(ran, 0);
    weir_yield();
    check_int(ran, YIELDERS);
    check_int(weir_scope_join(&scope, SOON), 0);
}

static void yielding_lets_all_others_run_first(void **state)
{
    (void)state;
    on_each_kernel_stack(behind_main);
}

/* --- looks, holds --- */

static int looks[2];

static void looks_main(void *arg)
{
    const struct weir_shard *shard = weir_shard_current;

    (void)arg;
    looks[shard->id] = shard->looks;
    check_int(shard->holds, 0);
}

static void a_polled_stack_looks_once_per_turn(void **state)
{
    (void)state;
    assert_int_equal(run_on(WEIR_STACK_EPOLL, 1, looks_main), 0);
    assert_int_equal(looks[0], 1); /* at nobody's */
    assert_int_equal(run_on(WEIR_STACK_EPOLL, 2, looks_main), 0);
    assert_true(looks[0] > 1 && looks[1] > 1);
    assert_int_equal(run_on(WEIR_STACK_NATIVE, 2, looks_main), 0);
    assert_int_equal(looks[0], 1);
    assert_int_equal(looks[1], 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_watched_descriptor_ends_the_sleep),
        cmocka_unit_test(watches_of_a_ring_are_bounded),
        cmocka_unit_test(what_cannot_be_watched_is_refused),
        cmocka_unit_test(nobody_is_left_in_yielded_between_turns),
        cmocka_unit_test(yielding_lets_all_others_run_first),
        cmocka_unit_test(a_polled_stack_looks_once_per_turn),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
