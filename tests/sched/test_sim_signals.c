/* test_sim_signals.c - signals as futures over many seeds: each listener has seen each delivery
 * when it looks, whatever the shards do meanwhile. */
#include "tests/core/testing.h"
#include <weir/signal.h>
#include "tests/seeds.h"

enum { SHARDS = 3, LISTENERS = 4, RAISES = 30 };

static int64_t raised;     /* so far */
static unsigned listening; /* fibers that will stay until all is raised */

/* Some listen from the start; others come in the middle; all see what is raised from then on. */
static void listens(void *arg)
{
    int64_t before, seen = 0;
    struct weir_signal *signal;

    (void)arg;
    check_int(weir_sleep(random_in(0, 1) * random_in(0, WEIR_MS(5))), 0);
    check_int(weir_signal_open(&signal, SIGUSR2), 0);
    before = raised;
    while (before + seen < SHARDS * RAISES) {
        weir_time deadline = weir_random(2) ? WEIR_NEVER : weir_after(random_in(0, WEIR_MS(1)));
        int64_t n = weir_signal_wait(signal, deadline);

        check(n > 0 || n == -ETIMEDOUT);
        seen += n > 0 ? n : 0;
        check(before + seen <= raised);
        if (weir_random(8) == 0) { /* leaves, perhaps with one on its way, and comes again */
            weir_signal_close(signal);
            check_int(weir_signal_open(&signal, SIGUSR2), 0);
            before = raised;
            seen = 0;
        }
    }
    weir_signal_close(signal);
    listening--;
}

static void shard_main(void *arg)
{
    struct weir_scope scope;
    struct weir_signal *own;
    int64_t seen = 0;

    (void)arg;
    weir_scope_init(&scope);
    check_int(weir_signal_open(&own, SIGUSR2), 0); /* nobody else has to, for it not to kill us */
    for (int i = 0; i < LISTENERS; i++)
        check_int(weir_spawn(&scope, listens, NULL), 0);
    for (int i = 0; i < RAISES; i++) {
        if (weir_random(2))
            check_int(weir_sleep(random_in(0, WEIR_US(500))), 0);
        raised++;
        check_int(raise(SIGUSR2), 0);
        seen++;
    }
    check(weir_signal_wait(own, WEIR_NEVER) >= seen); /* ours, at least: they are all here */
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    weir_signal_close(own);
}

static void seed_run(uint64_t seed)
{
    struct weir_sim_config config;

    weir_sim_config_init(&config);
    config.seed = seed;
    config.shards = SHARDS;
    raised = 0;
    listening = SHARDS * LISTENERS;
    check_int(weir_sim_run(&config, shard_main, NULL), 0);
    check_int(listening, 0);
}

static void every_listener_sees_every_delivery(void **state)
{
    (void)state;
    seeds_each(300, seed_run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_listener_sees_every_delivery),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
