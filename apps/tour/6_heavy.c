/* 6_heavy.c - what computes for long, or blocks, goes to the blocking pool; the shard goes on.
 *
 *     tokio::task::spawn_blocking(|| heavy_sum(50_000_000)) */
#include <inttypes.h>
#include <stdio.h>
#include <weir/weir.h>

/* 0 + 1 + ... + (n - 1).  Divided by a one that the compiler does not know: it would find the sum
 * without adding, and a division takes its time. */
static int64_t heavy_sum(void *arg)
{
    const int64_t *n = arg;
    volatile int64_t one = 1;
    int64_t sum = 0;

    for (int64_t i = 0; i < *n; i++)
        sum += i / one;
    return sum;
}

static void tour_main(void *arg)
{
    weir_time begun = weir_now(), fired;
    struct weir_blocking_job job;
    int64_t n = 50000000, sum;

    (void)arg;
    weir_blocking_start(&job, heavy_sum, &n);
    weir_sleep(WEIR_MS(10));
    fired = weir_now();
    printf("timer fired; ");
    sum = weir_await(&job.future, WEIR_NEVER);
    printf("sum = %" PRId64 "\n", sum);
    printf("the timer at %lld ms, the sum at %lld ms\n", (long long)((fired - begun) / WEIR_MS(1)),
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
