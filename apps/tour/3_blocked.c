/* 3_blocked.c - what not to do: a fiber that blocks the thread blocks its shard.
 *
 * Two fibers sleep for 100 ms each by the C library's sleep, and the second can begin only when the
 * first is through: 200 ms.  The log names the first, and where it was spawned.  4_awaited.c is the
 * same done right; for a call that blocks and has no other form there is 6_heavy.c. */
#include <stdio.h>
#include <time.h>
#include <weir/weir.h>

/* The C library's clock: the shard's own stands still while a fiber holds the thread. */
static weir_time clock_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return WEIR_SEC(now.tv_sec) + now.tv_nsec;
}

static void blocks(void *arg)
{
    const struct timespec span = { .tv_nsec = WEIR_MS(100) };

    (void)arg;
    clock_nanosleep(CLOCK_MONOTONIC, 0, &span, NULL);
}

static void tour_main(void *arg)
{
    weir_time begun = clock_now();
    struct weir_scope scope;

    (void)arg;
    weir_scope_init(&scope);
    weir_spawn(&scope, blocks, NULL);
    weir_spawn(&scope, blocks, NULL);
    weir_scope_join(&scope, WEIR_NEVER);
    printf("two sleeps that block: %lld ms\n", (long long)((clock_now() - begun) / WEIR_MS(1)));
}

int main(void)
{
    struct weir_config config;

    weir_config_init(&config);
    config.shards = 1;
    config.quiet = true;
    return weir_run(&config, tour_main, NULL) < 0;
}
