/* 7_workers.c - 32 tasks, spread over the threads of a runtime.
 *
 *     for _ in 0..32 { set.spawn(async { sleep(..).await; thread::current().id() }); }
 *
 * A call to a shard becomes a fiber there, and its future comes home with the result.  Here they go
 * round by turns; one that uses data goes to the shard that has the data. */
#include <stdio.h>
#include <unistd.h>
#include <weir/weir.h>

enum { WORKERS = 4, TASKS = 32 };

/* Naps, and says which thread it has run on. */
static int64_t nap(void *arg)
{
    (void)arg;
    weir_sleep(WEIR_MS(5));
    return gettid();
}

/* How many different ones there are among the results. */
static int distinct(const struct weir_call *tasks)
{
    int count = 0;

    for (int i = 0; i < TASKS; i++) {
        int before = 0;

        while (before < i && tasks[before].future.result != tasks[i].future.result)
            before++;
        count += before == i;
    }
    return count;
}

static int64_t tour_main(void *arg)
{
    struct weir_call tasks[TASKS];

    (void)arg;
    for (unsigned i = 0; i < TASKS; i++)
        weir_call_start(&tasks[i], i % weir_shard_count(), nap, NULL);
    for (int i = 0; i < TASKS; i++)
        weir_await(&tasks[i].future, WEIR_NEVER);
    printf("%d tasks on %d worker threads\n", TASKS, distinct(tasks));
    return 0;
}

int main(void)
{
    struct weir_runtime *runtime;
    struct weir_config config;
    int error;

    weir_config_init(&config);
    config.shards = WORKERS;
    config.quiet = true;
    if (weir_runtime_new(&runtime, &config) < 0)
        return 1;
    error = weir_block_on(runtime, tour_main, NULL, NULL);
    weir_runtime_free(runtime);
    return error < 0;
}
