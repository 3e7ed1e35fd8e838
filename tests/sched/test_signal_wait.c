/* test_signal_wait.c - signals as futures, on threads: who sees them, how many, and what is
 * refused.
 *
 * raise() has run the handler when it returns, so counts are exact. */
#include "tests/sched/run.h"
#include <pthread.h>
#include <weir/signal.h>

enum { PATIENCE = 30 };
#define SOON weir_after(WEIR_SEC(PATIENCE))

static _Atomic unsigned met;

/* Waits until so many shards have come here. */
static void meet(unsigned shards)
{
    atomic_fetch_add(&met, 1);
    while (atomic_load(&met) < shards)
        check_int(weir_sleep(WEIR_US(100)), 0);
}

static void run(unsigned shards, void (*shard_main)(void *arg))
{
    atomic_store(&met, 0);
    assert_int_equal(run_shards(shards, shard_main, NULL), 0);
}

/* --- counting --- */

static void counts_main(void *arg)
{
    struct weir_signal *hup, *winch;

    (void)arg;
    check_int(weir_signal_open(&hup, SIGHUP), 0);
    check_int(weir_signal_open(&winch, SIGWINCH), 0);
    check_int(weir_signal_wait(hup, weir_now()), -ETIMEDOUT);
    check_int(raise(SIGHUP), 0);
    check_int(weir_signal_wait(hup, SOON), 1);
    for (int i = 0; i < 3; i++)
        check_int(raise(SIGHUP), 0);
    check_int(weir_sleep(WEIR_MS(1)), 0); /* their mail comes while nobody waits */
    check_int(raise(SIGHUP), 0);
    check_int(weir_sleep(WEIR_MS(1)), 0);
    check_int(weir_signal_wait(hup, SOON), 4);
    check_int(weir_signal_wait(hup, weir_after(WEIR_MS(1))), -ETIMEDOUT);
    check_int(weir_signal_wait(winch, weir_now()), -ETIMEDOUT);
    weir_signal_close(winch);
    weir_signal_close(hup);
}

static void deliveries_are_counted(void **state)
{
    (void)state;
    run(1, counts_main);
}

/* --- everybody sees it --- */

enum { SHARDS = 4, EACH = 3 };

static void everybody_main(void *arg)
{
    struct weir_signal *signal[EACH];

    (void)arg;
    for (int i = 0; i < EACH; i++)
        check_int(weir_signal_open(&signal[i], SIGUSR2), 0);
    meet(SHARDS);
    if (weir_shard_id() == 0)
        check_int(kill(getpid(), SIGUSR2), 0);
    for (int i = 0; i < EACH; i++)
        check_int(weir_signal_wait(signal[i], SOON), 1); /* sleeping shards are woken */
    for (int i = 0; i < EACH; i++)
        weir_signal_close(signal[i]);
}

static void every_listener_sees_it(void **state)
{
    (void)state;
    run(SHARDS, everybody_main);
}

/* --- waiting --- */

static void waits(void *arg)
{
    check_int(weir_signal_wait(arg, SOON), -ECANCELED);
}

static void one_waits_main(void *arg)
{
    struct weir_scope scope;
    struct weir_signal *hup;

    (void)arg;
    weir_scope_init(&scope);
    check_int(weir_signal_open(&hup, SIGHUP), 0);
    check_int(weir_spawn(&scope, waits, hup), 0);
    check_int(weir_sleep(WEIR_MS(1)), 0);
    check_int(weir_signal_wait(hup, SOON), -EBUSY);
    weir_scope_cancel(&scope);
    check_int(weir_scope_join(&scope, SOON), 0);
    check_int(raise(SIGHUP), 0);
    check_int(weir_signal_wait(hup, SOON), 1); /* the cancelled wait took nothing */
    check_int(weir_spawn(&scope, waits, hup), 0);
    check_int(weir_sleep(WEIR_MS(1)), 0);
    weir_signal_close(hup); /* ends the wait */
    check_int(weir_scope_join(&scope, SOON), 0);
}

static void one_waits_at_a_time(void **state)
{
    (void)state;
    run(1, one_waits_main);
}

struct closing {
    struct weir_signal_wait wait;
    struct weir_future closed;
};

static void close_it(struct weir_future *future)
{
    struct closing *closing = weir_container_of(future, struct closing, wait.future);

    raise(SIGHUP); /* one more on its way */
    weir_signal_close(closing->wait.signal);
    weir_future_set(&closing->closed, future->result);
}

static void close_in_callback_main(void *arg)
{
    struct closing closing;
    struct weir_signal *hup;

    (void)arg;
    check_int(weir_signal_open(&hup, SIGHUP), 0);
    weir_future_init(&closing.closed, NULL);
    weir_signal_wait_start(&closing.wait, hup);
    check(weir_future_on_done(&closing.wait.future, close_it));
    check_int(raise(SIGHUP), 0);
    check_int(weir_await(&closing.closed, SOON), 1);
}

static void it_may_be_closed_by_what_it_wakes(void **state)
{
    (void)state;
    run(1, close_in_callback_main);
}

/* --- what the signal does otherwise --- */

static volatile sig_atomic_t own_handler_ran;

static void own_handler(int number)
{
    (void)number;
    own_handler_ran++;
}

static void given_back_main(void *arg)
{
    struct weir_signal *one, *two;

    (void)arg;
    check_int(weir_signal_open(&one, SIGUSR2), 0);
    check_int(weir_signal_open(&two, SIGUSR2), 0);
    raise(SIGUSR2);
    weir_signal_close(one); /* with its mail under way */
    raise(SIGUSR2);
    check_int(own_handler_ran, 0);
    check_int(weir_signal_wait(two, SOON), 2);
    weir_signal_close(two);
    raise(SIGUSR2);
    check_int(own_handler_ran, 1);
    check_int(weir_signal_open(&one, SIGUSR2), 0);
    signal(SIGUSR2, SIG_IGN); /* somebody else's, later: stays */
    weir_signal_close(one);
    raise(SIGUSR2);
    check_int(own_handler_ran, 1);
}

static void the_last_one_gives_it_back(void **state)
{
    struct sigaction own = { .sa_handler = own_handler }, before;

    (void)state;
    own_handler_ran = 0;
    sigaction(SIGUSR2, &own, &before);
    run(1, given_back_main);
    sigaction(SIGUSR2, &before, NULL);
}

/* --- refusals --- */

static void refused_main(void *arg)
{
    const int not [] = {
        -1,     0,      65,     1000,    SIGKILL, SIGSTOP, SIGSEGV,
        SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS,  SIGABRT, 32 /* the C library's */
    };
    struct weir_signal *signal;

    (void)arg;
    for (size_t i = 0; i < WEIR_COUNT(not ); i++)
        check_int(weir_signal_open(&signal, not [i]), -EINVAL);
    check_int(weir_signal_open(&signal, 64), 0); /* the last there is */
    check_int(raise(64), 0);
    check_int(weir_signal_wait(signal, SOON), 1);
    weir_signal_close(signal);
}

static void what_cannot_be_waited_for(void **state)
{
    (void)state;
    run(1, refused_main);
}

static void taken_main(void *arg)
{
    const int taken[] = { SIGINT, SIGTERM, SIGUSR1 };
    struct weir_signal *signal;

    for (size_t i = 0; i < WEIR_COUNT(taken); i++) {
        if (arg) {
            check_int(weir_signal_open(&signal, taken[i]), -EBUSY);
            continue;
        }
        check_int(weir_signal_open(&signal, taken[i]), 0);
        check_int(kill(getpid(), taken[i]), 0);
        check_int(weir_signal_wait(signal, SOON), 1);
        check(!weir_stopping());
        weir_signal_close(signal);
    }
}

static void those_of_the_runtime(void **state)
{
    struct weir_config config;

    (void)state;
    test_config(&config, 1);
    config.signals = true;
    assert_int_equal(weir_runtime_run(&config, weir_bare_driver_open, NULL, taken_main, &config),
                     0);
    run(1, taken_main);
}

/* --- under fire: threads that raise, fibers that open and close --- */

enum { RAISERS = 2, RAISES = 5000, ROUNDS = 300 };

static void *raiser(void *arg)
{
    for (int i = 0; i < RAISES; i++)
        raise(SIGUSR2);
    return arg;
}

static void opens_and_closes(void *arg)
{
    (void)arg;
    for (int i = 0; i < ROUNDS; i++) {
        struct weir_signal *signal;
        int64_t n;

        check_int(weir_signal_open(&signal, SIGUSR2), 0);
        n = weir_signal_wait(signal, i % 2 ? weir_now() : weir_after(WEIR_US(100)));
        check(n > 0 || n == -ETIMEDOUT);
        weir_signal_close(signal);
    }
}

static void under_fire_main(void *arg)
{
    pthread_t thread[RAISERS];
    struct weir_scope scope;
    struct weir_signal *signal;
    int64_t seen = 0, n;

    (void)arg;
    weir_scope_init(&scope);
    check_int(weir_signal_open(&signal, SIGUSR2), 0);
    meet(2);
    for (int i = 0; i < RAISERS; i++)
        check_int(pthread_create(&thread[i], NULL, raiser, NULL), 0);
    check_int(weir_spawn(&scope, opens_and_closes, NULL), 0);
    while (seen < 2 * RAISERS * RAISES) { /* those of the other shard as well */
        n = weir_signal_wait(signal, SOON);
        check(n > 0);
        seen += n;
    }
    check_int(seen, 2 * RAISERS * RAISES);
    for (int i = 0; i < RAISERS; i++)
        check_int(pthread_join(thread[i], NULL), 0);
    check_int(weir_scope_join(&scope, SOON), 0);
    check_int(weir_signal_wait(signal, weir_now()), -ETIMEDOUT);
    weir_signal_close(signal);
}

static void nothing_is_lost_under_fire(void **state)
{
    (void)state;
    run(2, under_fire_main);
}

/* --- left open --- */

static void leaves_open_main(void *arg)
{
    struct weir_signal *signal;

    (void)arg;
    check_int(weir_signal_open(&signal, SIGUSR2), 0);
}

static void leaves_open(void *arg)
{
    (void)arg;
    run_shards(1, leaves_open_main, NULL);
}

static void left_open_is_told(void **state)
{
    (void)state;
    assert_panics(leaves_open, NULL, "shard 0 has ended but left 1 signals open");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deliveries_are_counted),
        cmocka_unit_test(every_listener_sees_it),
        cmocka_unit_test(one_waits_at_a_time),
        cmocka_unit_test(it_may_be_closed_by_what_it_wakes),
        cmocka_unit_test(the_last_one_gives_it_back),
        cmocka_unit_test(what_cannot_be_waited_for),
        cmocka_unit_test(those_of_the_runtime),
        cmocka_unit_test(nothing_is_lost_under_fire),
        cmocka_unit_test(left_open_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
