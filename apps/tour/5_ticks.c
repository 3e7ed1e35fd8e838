/* 5_ticks.c - fibers end in the order of what they wait for, not of their start.
 *
 * Spawned as 3, 1, 2; each waits for so many ticks of 20 ms, counted from one moment. */
#include <stdio.h>
#include <weir/weir.h>

struct ticker {
    int ticks;
    weir_time from;
};

static void tick(void *arg)
{
    const struct ticker *ticker = arg;

    weir_sleep_until(ticker->from + ticker->ticks * WEIR_MS(20));
    printf("%d\n", ticker->ticks);
}

static void tour_main(void *arg)
{
    weir_time now = weir_now();
    struct ticker tickers[] = { { 3, now }, { 1, now }, { 2, now } };
    struct weir_scope scope;

    (void)arg;
    weir_scope_init(&scope);
    for (size_t i = 0; i < sizeof tickers / sizeof tickers[0]; i++)
        weir_spawn(&scope, tick, &tickers[i]);
    weir_scope_join(&scope, WEIR_NEVER);
}

int main(void)
{
    struct weir_config config;

    weir_config_init(&config);
    config.shards = 1;
    config.quiet = true;
    return weir_run(&config, tour_main, NULL) < 0;
}
