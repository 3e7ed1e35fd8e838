/* 4_awaited.c - two fibers that await their sleeps share one thread: 100 ms, not 200.
 *
 * The other half of 3_blocked.c. */
#include <stdio.h>
#include <weir/weir.h>

static void awaits(void *arg)
{
    (void)arg;
    weir_sleep(WEIR_MS(100));
}

static void tour_main(void *arg)
{
    weir_time begun = weir_now();
    struct weir_scope scope;

    (void)arg;
    weir_scope_init(&scope);
    weir_spawn(&scope, awaits, NULL);
    weir_spawn(&scope, awaits, NULL);
    weir_scope_join(&scope, WEIR_NEVER);
    printf("two sleeps that are awaited: %lld ms\n",
           (long long)((weir_now() - begun) / WEIR_MS(1)));
}

int main(void)
{
    struct weir_config config;

    weir_config_init(&config);
    config.shards = 1;
    config.quiet = true;
    return weir_run(&config, tour_main, NULL) < 0;
}
