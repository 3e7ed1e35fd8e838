/* test_sim_tasks.c - tasks for any shard over many seeds: each begins at most once and comes home
 * with what it did; aborts meet them in the ring, on their way, here and there, and at their end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>
#include "tests/seeds.h"

enum { SHARDS = 3, TASKS = 40 };

static void run(uint64_t seed, uint32_t fibers_max, void (*shard_main)(void *arg))
{
    struct weir_sim_config config;

    weir_sim_config_init(&config);
    config.seed = seed;
    config.shards = SHARDS;
    config.fibers_max = fibers_max;
    config.limit = WEIR_SEC(100);
    check_int(weir_sim_run(&config, shard_main, NULL), 0);
}

struct job {
    struct weir_task task;
    int64_t value;
    int begun, ended;
    unsigned on;
    bool stubborn, aborted, joined;
};

static unsigned away; /* jobs that ran on another shard than that of their handle */

static int64_t job_main(void *arg)
{
    struct job *job = arg;
    int error = 0;

    check_int(job->begun++, 0);
    job->on = weir_shard_id();
    while (error == 0 && weir_random(3) > 0)
        error = weir_sleep(random_in(0, WEIR_US(300)));
    check_int(weir_shard_id(), job->on); /* never moves */
    job->ended++;
    check(error == 0 || job->aborted);
    return error < 0 && !job->stubborn ? -EIO : job->value;
}

static void job_check(struct job *job, int64_t result, unsigned home)
{
    check_int(job->begun, job->task.began);
    check_int(job->ended, job->begun);
    if (job->begun && job->on != home)
        away++;
    if (result == job->value)
        check_int(job->begun, 1);
    else
        check(result == -ECANCELED && job->aborted);
}

static void jobs_start(struct job *job)
{
    for (int i = 0; i < TASKS; i++) {
        job[i] = (struct job){ .value = i, .stubborn = weir_random(4) == 0 };
        if (weir_random(4) > 0)
            check_int(weir_spawn_any(&job[i].task, job_main, &job[i]), 0);
        else if (weir_task_start(&job[i].task, NULL, job_main, &job[i]) < 0)
            job[i].aborted = true; /* no fiber could be had: over with -EAGAIN */
        if (weir_random(8) == 0)
            weir_yield();
    }
}

static void job_abort(struct job *job)
{
    job->aborted = true;
    weir_task_abort(&job->task);
}

/* --- joined one by one --- */

static void joins_main(void *arg)
{
    struct job *job = calloc(TASKS, sizeof *job);
    unsigned home = weir_shard_id();

    (void)arg;
    check(job != NULL);
    jobs_start(job);
    for (int i = 0; i < TASKS; i++)
        if (weir_random(3) == 0)
            job_abort(&job[weir_random(TASKS)]);
    for (int i = 0; i < TASKS; i++) {
        bool limited = weir_random(4) == 0;
        weir_time deadline = limited ? weir_after(random_in(-1, WEIR_US(500))) : WEIR_NEVER;
        int64_t result;

        job[i].aborted |= limited;
        result = weir_task_join(&job[i].task, deadline);
        job_check(&job[i], result == -ETIMEDOUT && limited ? -ECANCELED : result, home);
        weir_yield();
    }
    free(job);
}

static void joins_seed(uint64_t seed)
{
    run(seed, 1024, joins_main);
}

static void each_runs_once_and_comes_home(void **state)
{
    (void)state;
    away = 0;
    seeds_each(100, joins_seed);
    check(away > 0);
}

/* --- in sets, where fibers are few --- */

static void sets_main(void *arg)
{
    struct job *job = calloc(TASKS, sizeof *job);
    unsigned home = weir_shard_id();
    struct weir_task_set set;
    struct weir_task *task;
    int left = TASKS, error;

    (void)arg;
    check(job != NULL);
    weir_task_set_init(&set);
    for (int i = 0; i < TASKS; i++) {
        job[i] = (struct job){ .value = i, .stubborn = weir_random(4) == 0 };
        check_int(weir_spawn_any(&job[i].task, job_main, &job[i]), 0);
        weir_task_set_add(&set, &job[i].task);
    }
    while (weir_task_set_count(&set) > 0) {
        error = weir_task_set_next(&set, &task, weir_after(random_in(-1, WEIR_US(200))));
        if (error < 0) {
            check_int(error, -ETIMEDOUT);
            job_abort(&job[weir_random(TASKS)]);
            continue;
        }
        check_int(error, 1);
        check(weir_task_finished(task));
        job_check(weir_container_of(task, struct job, task), task->future.result, home);
        left--;
    }
    check_int(left, 0);
    free(job);
}

static void sets_seed(uint64_t seed)
{
    run(seed, 8, sets_main);
}

static void sets_hand_out_each_once(void **state)
{
    (void)state;
    seeds_each(100, sets_seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_runs_once_and_comes_home),
        cmocka_unit_test(sets_hand_out_each_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
