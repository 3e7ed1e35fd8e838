/* 7_workers.c - 32 tasks that may run anywhere spread over the threads that have time.
 *
 *     for _ in 0..32 { set.spawn(async { sleep(..).await; thread::current().id() }); }
 *
 * A task that waits to begin is taken over by whichever shard is idle; once begun it stays there.
 */
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
static int distinct(const struct weir_task *tasks)
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
    struct weir_task tasks[TASKS];

    (void)arg;
    for (int i = 0; i < TASKS; i++)
        weir_spawn_any(&tasks[i], nap, NULL);
    for (int i = 0; i < TASKS; i++)
        weir_task_join(&tasks[i], WEIR_NEVER);
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
