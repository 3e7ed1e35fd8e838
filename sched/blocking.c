/* blocking.c - a queue of jobs, and the threads that take them.
 *
 * A lock will do: a job is worth many microseconds, or it would not be here.  It is held for a few
 * instructions, and for the time that starting a thread takes.
 *
 * Each ended thread is joined by the next one to end, the last by weir_blocking_end: so none
 * outlives the runtime and nobody has to keep a list of them.
 *
 * Invariant, outside of the lock: while a job waits that no idle thread is about to take, all the
 * threads there may be (or can be) exist.  A thread just started counts as idle. */
#include "sched/blocking.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <weir/time.h>
#include "sched/mail.h"

/* In the simulation: how long a job waits to begin, and runs, at most. */
#define BLOCKING_SIM_WAIT WEIR_MS(1)
#define BLOCKING_SIM_RUN WEIR_MS(5)

static struct weir_blocking_pool *pool_of(const struct weir_shard *shard)
{
    return shard->all->blocking;
}

static bool pool_simulated(const struct weir_shard *shard)
{
    return shard->all->runtime == NULL;
}

/* --- at home --- */

static void job_end(struct weir_blocking_job *job, int64_t result)
{
    weir_assert(job->home->errands > 0);
    job->home->errands--;
    weir_future_set(&job->future, result);
}

static void job_deliver(struct weir_shard *shard, struct weir_mail *mail)
{
    struct weir_blocking_job *job = weir_container_of(mail, struct weir_blocking_job, mail);

    weir_assert(job->home == shard);
    job_end(job, job->result);
}

/* Off the queue, unless it has begun. */
static bool job_withdraw(struct weir_blocking_pool *pool, struct weir_blocking_job *job)
{
    bool withdrawn;

    pthread_mutex_lock(&pool->mutex);
    withdrawn = job->queued;
    if (withdrawn) {
        job->queued = false;
        weir_list_del(&job->link);
        pool->stats.queued--;
    }
    pthread_mutex_unlock(&pool->mutex);
    return withdrawn;
}

static void job_cancel(struct weir_future *future)
{
    struct weir_blocking_job *job = weir_container_of(future, struct weir_blocking_job, future);

    if (!job_withdraw(pool_of(job->home), job))
        return; /* it runs: its result will come */
    if (pool_simulated(job->home))
        weir_alarm_clear(&job->alarm);
    job_end(job, -ECANCELED);
}

/* --- a thread of the pool --- */

static weir_time clock_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (weir_time)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Under the lock: the first job leaves the queue for whoever calls. */
static void job_begin(struct weir_blocking_pool *pool, struct weir_blocking_job *job, weir_time now)
{
    uint64_t waited = now > job->since ? (uint64_t)(now - job->since) : 0;

    weir_list_del(&job->link);
    job->queued = false;
    pool->stats.queued--;
    pool->stats.running++;
    pool->stats.queue_ns_sum += waited;
    pool->stats.queue_ns_max = weir_max_u64(pool->stats.queue_ns_max, waited);
}

/* Under the lock: waits for a job.  NULL: none came for blocking_idle, or it is over. */
static struct weir_blocking_job *pool_take(struct weir_blocking_pool *pool)
{
    weir_time until = clock_now() + pool->idle_span;
    struct timespec ts = { .tv_sec = until / 1000000000, .tv_nsec = until % 1000000000 };
    struct weir_blocking_job *job;
    int error = 0;

    while (weir_list_empty(&pool->jobs) && !pool->over && error != ETIMEDOUT)
        error = pthread_cond_timedwait(&pool->work, &pool->mutex, &ts);
    if (weir_list_empty(&pool->jobs))
        return NULL;
    job = weir_container_of(pool->jobs.next, struct weir_blocking_job, link);
    pool->stats.idle--;
    job_begin(pool, job, clock_now());
    return job;
}

/* The job may be gone afterwards; the shard is not, before this thread has ended. */
static void pool_run(struct weir_blocking_pool *pool, struct weir_blocking_job *job)
{
    pthread_mutex_unlock(&pool->mutex);
    job->result = job->fn(job->arg);
    pthread_mutex_lock(&pool->mutex);
    pool->stats.running--;
    pool->stats.done++;
    pool->stats.idle++;
    pthread_mutex_unlock(&pool->mutex);
    weir_mail_send(job->home, &job->mail);
    pthread_mutex_lock(&pool->mutex);
}

static void *pool_thread(void *arg)
{
    struct weir_blocking_pool *pool = arg;
    struct weir_blocking_job *job;
    pthread_t before;
    bool join;

    pthread_setname_np(pthread_self(), pool->name);
    if (CPU_COUNT(&pool->cpus) > 0)
        sched_setaffinity(0, sizeof pool->cpus,
                          &pool->cpus); /* the shard that starts it is pinned */
    pthread_mutex_lock(&pool->mutex);
    while ((job = pool_take(pool)) != NULL)
        pool_run(pool, job);
    before = pool->ended;
    join = pool->joinable;
    pool->ended = pthread_self();
    pool->joinable = true;
    pool->stats.idle--;
    if (--pool->stats.threads == 0)
        pthread_cond_signal(&pool->none);
    pthread_mutex_unlock(&pool->mutex);
    if (join)
        pthread_join(before, NULL);
    return NULL;
}

/* Signals are for shards and the main thread; what a fault raises here is not to be held back. */
static void signals_block(sigset_t *before)
{
    static const int faults[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT };
    sigset_t set;

    sigfillset(&set);
    for (size_t i = 0; i < WEIR_COUNT(faults); i++)
        sigdelset(&set, faults[i]);
    pthread_sigmask(SIG_BLOCK, &set, before);
}

/* Under the lock.  0 or a negated errno. */
static int pool_thread_start(struct weir_blocking_pool *pool)
{
    pthread_attr_t attr;
    pthread_t thread;
    sigset_t before;
    int error;

    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, WEIR_BLOCKING_STACK);
    signals_block(&before);
    error = pthread_create(&thread, &attr, pool_thread, pool);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    if (error)
        return -error;
    pool->stats.threads++;
    pool->stats.idle++;
    return 0;
}

/* --- handing it over --- */

/* Under the lock: whether as many wait as may, behind those that idle threads are about to take. */
static bool pool_full(const struct weir_blocking_pool *pool)
{
    const struct weir_blocking_stats *stats = &pool->stats;

    return stats->queued >= (uint64_t)stats->idle + pool->queue_max;
}

/* Under the lock. */
static void job_push(struct weir_blocking_pool *pool, struct weir_blocking_job *job)
{
    job->queued = true;
    weir_list_push(&pool->jobs, &job->link);
    pool->stats.queued++;
}

/* 0 or -EAGAIN. */
static int pool_hand_over(struct weir_blocking_pool *pool, struct weir_blocking_job *job)
{
    const struct weir_blocking_stats *stats = &pool->stats;
    int error = 0;

    pthread_mutex_lock(&pool->mutex);
    if (stats->queued >= stats->idle && stats->threads < pool->threads_max &&
        pool_thread_start(pool) < 0 && stats->threads == 0)
        error = -EAGAIN;
    else if (pool_full(pool))
        error = -EAGAIN;
    else
        job_push(pool, job);
    pthread_mutex_unlock(&pool->mutex);
    if (error == 0)
        pthread_cond_signal(&pool->work);
    return error;
}

/* --- the simulation's --- */

static weir_time sim_moment(struct weir_shard *shard, weir_time most)
{
    return shard->now + (weir_time)(weir_shard_random(shard) % (uint64_t)most);
}

static void sim_end(struct weir_alarm *alarm)
{
    struct weir_blocking_job *job = weir_container_of(alarm, struct weir_blocking_job, alarm);
    struct weir_blocking_pool *pool = pool_of(job->home);

    pool->stats.running--;
    pool->stats.threads--;
    pool->stats.done++;
    job_end(job, job->result);
}

/* As on a thread of the pool no shard is there for the function. */
static void sim_begin(struct weir_alarm *alarm)
{
    struct weir_blocking_job *job = weir_container_of(alarm, struct weir_blocking_job, alarm);
    struct weir_shard *home = job->home;

    pool_of(home)->stats.threads++;
    job_begin(pool_of(home), job, home->now);
    weir_shard_current = NULL;
    job->result = job->fn(job->arg);
    weir_shard_current = home;
    weir_alarm_init(&job->alarm, sim_end);
    weir_alarm_set(&job->alarm, sim_moment(home, BLOCKING_SIM_RUN));
}

static int sim_hand_over(struct weir_blocking_pool *pool, struct weir_blocking_job *job)
{
    if (pool_full(pool))
        return -EAGAIN;
    job_push(pool, job);
    weir_alarm_init(&job->alarm, sim_begin);
    weir_alarm_set(&job->alarm, sim_moment(job->home, BLOCKING_SIM_WAIT));
    return 0;
}

/* --- what users call --- */

void weir_blocking_start(struct weir_blocking_job *job, int64_t (*fn)(void *arg), void *arg)
{
    struct weir_shard *shard = weir_shard_here("weir_blocking_start");
    bool simulated = pool_simulated(shard);
    int error;

    *job = (struct weir_blocking_job){ .mail.deliver = job_deliver,
                                       .home = shard,
                                       .fn = fn,
                                       .arg = arg,
                                       .since = simulated ? shard->now : clock_now() };
    weir_future_init(&job->future, job_cancel);
    shard->errands++;
    error = simulated ? sim_hand_over(pool_of(shard), job) : pool_hand_over(pool_of(shard), job);
    if (error < 0)
        job_end(job, error);
}

int64_t weir_blocking(int64_t (*fn)(void *arg), void *arg)
{
    struct weir_blocking_job job;

    weir_shard_here("weir_blocking"); /* or the sentence would be about weir_blocking_start */
    weir_blocking_start(&job, fn, arg);
    return weir_await(&job.future, WEIR_NEVER);
}

void weir_blocking_stats(struct weir_blocking_stats *stats)
{
    struct weir_blocking_pool *pool = pool_of(weir_shard_here("weir_blocking_stats"));

    pthread_mutex_lock(&pool->mutex);
    *stats = pool->stats;
    pthread_mutex_unlock(&pool->mutex);
}

/* --- making and ending --- */

void weir_blocking_init(struct weir_blocking_pool *pool, const struct weir_config *config)
{
    pthread_condattr_t attr;

    *pool = (struct weir_blocking_pool){ .threads_max = config->blocking_threads,
                                         .queue_max = config->blocking_queue,
                                         .idle_span = config->blocking_idle };
    snprintf(pool->name, sizeof pool->name, "%.11s-blk",
             config->thread_name ? config->thread_name : "weir");
    if (sched_getaffinity(0, sizeof pool->cpus, &pool->cpus) != 0)
        CPU_ZERO(&pool->cpus);
    weir_list_init(&pool->jobs);
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&pool->work, &attr);
    pthread_cond_init(&pool->none, NULL);
    pthread_condattr_destroy(&attr);
}

void weir_blocking_end(struct weir_blocking_pool *pool)
{
    pthread_mutex_lock(&pool->mutex);
    weir_assert(weir_list_empty(&pool->jobs) && pool->stats.running == 0);
    pool->over = true;
    pthread_cond_broadcast(&pool->work);
    while (pool->stats.threads > 0)
        pthread_cond_wait(&pool->none, &pool->mutex);
    pthread_mutex_unlock(&pool->mutex);
    if (pool->joinable)
        pthread_join(pool->ended, NULL);
    pthread_cond_destroy(&pool->none);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->mutex);
}
