/* runtime.c - shards on threads: start together, stop together, end together.
 *
 * All threads open their drivers before any runs its main function: a runtime starts whole or not
 * at all.  Shards and their wake-up descriptors outlive the last thread, since any shard may be
 * woken by another at any time before that. */
#include "sched/runtime.h"
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>
#include "sched/overflow.h"

struct runtime {
    struct weir_shards shards;
    const struct weir_config *config;
    weir_driver_open *open;
    void *open_arg;
    void (*shard_main)(void *arg);
    void *arg;

    /* The gate: everybody arrives, then all pass or none. */
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    unsigned arrived;
    bool open_gate;
    int error;
};

struct runtime_thread {
    struct runtime *runtime;
    struct weir_shard *shard;
    unsigned cpu;
    pthread_t thread;
};

/* Reading the clock costs 25 ns, a turn that finds nothing not much more: for a while after the last
 * time it is that time still. */
static weir_time runtime_clock(struct weir_shard *shard)
{
    uint64_t cycles = weir_cycles();
    struct timespec now;

    if (cycles - shard->clock_cycles < shard->clock_span)
        return shard->now;
    shard->clock_cycles = cycles;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (weir_time)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Also from signal handlers. */
static void runtime_wake(struct weir_shard *shard)
{
    const uint64_t one = 1;
    int saved = errno;

    if (write(shard->wake_fd, &one, sizeof one) < 0) {
        /* EAGAIN: the count is at its top, so the shard will wake. */
    }
    errno = saved;
}

/* --- signals --- */

/* The runtime that SIGINT and SIGTERM stop; one at a time. */
static struct weir_shards *_Atomic signal_shards;

/* Handlers that run just now, in whatever thread: counted before they look at signal_shards, so
 * that who has cleared it and finds none can free what it named (signals_give_back). */
static _Atomic int signal_running;

static void shards_stop_more(struct weir_shards *shards)
{
    weir_shards_stop(shards,
                     atomic_load(&shards->stop) == WEIR_RUNNING ? WEIR_STOPPING : WEIR_CUTTING);
}

static void shards_dump(struct weir_shards *shards)
{
    atomic_fetch_add(&shards->dumps, 1);
    for (unsigned i = 0; i < shards->count; i++)
        shards->wake(shards->shard[i]);
}

static void signal_handler(int signal)
{
    struct weir_shards *shards;

    atomic_fetch_add(&signal_running, 1);
    shards = atomic_load(&signal_shards);
    if (shards && signal == SIGUSR1)
        shards_dump(shards);
    else if (shards)
        shards_stop_more(shards);
    atomic_fetch_sub(&signal_running, 1);
}

struct signals {
    struct sigaction before[3];
    bool ours;
};

static const int signal_number[3] = { SIGINT, SIGTERM, SIGUSR1 };

static void signals_take(struct signals *signals, struct runtime *runtime)
{
    struct weir_shards *none = NULL;

    signals->ours = runtime->config->signals &&
                    atomic_compare_exchange_strong(&signal_shards, &none, &runtime->shards);
    for (size_t i = 0; signals->ours && i < WEIR_COUNT(signal_number); i++) {
        struct sigaction action;

        memset(&action, 0, sizeof action);
        action.sa_handler = signal_handler;
        action.sa_flags = SA_RESTART | SA_ONSTACK;
        sigemptyset(&action.sa_mask);
        sigaction(signal_number[i], &action, &signals->before[i]);
    }
}

static void signals_give_back(struct signals *signals)
{
    if (!signals->ours)
        return;
    for (size_t i = 0; i < WEIR_COUNT(signal_number); i++)
        sigaction(signal_number[i], &signals->before[i], NULL);
    atomic_store(&signal_shards, NULL);
    while (atomic_load(&signal_running) > 0)
        sched_yield();
}

/* The shards' threads leave signals to the thread that called weir_run. */
static void signals_block(sigset_t *before)
{
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < WEIR_COUNT(signal_number); i++)
        sigaddset(&set, signal_number[i]);
    pthread_sigmask(SIG_BLOCK, &set, before);
}

/* --- a shard's thread --- */

static void runtime_fail(struct runtime *runtime, int error)
{
    pthread_mutex_lock(&runtime->mutex);
    if (error < 0 && runtime->error == 0)
        runtime->error = error;
    pthread_mutex_unlock(&runtime->mutex);
}

static int runtime_gate(struct runtime *runtime, int error)
{
    runtime_fail(runtime, error);
    pthread_mutex_lock(&runtime->mutex);
    runtime->arrived++;
    pthread_cond_broadcast(&runtime->cond);
    while (!runtime->open_gate)
        pthread_cond_wait(&runtime->cond, &runtime->mutex);
    error = runtime->error;
    pthread_mutex_unlock(&runtime->mutex);
    return error;
}

static int thread_prepare(struct runtime_thread *thread, struct weir_signal_stack *signal_stack)
{
    struct runtime *runtime = thread->runtime;
    struct weir_shard *shard = thread->shard;
    char name[16];
    int error;

    snprintf(name, sizeof name, "weir-%u", shard->id);
    pthread_setname_np(pthread_self(), name);
    error = weir_cpu_pin(thread->cpu);
    if (error < 0) {
        weir_log("cannot pin shard %u to CPU %u: %s; choose others with cpus", shard->id,
                 thread->cpu, strerror(-error));
        return error;
    }
    error = weir_signal_stack_open(signal_stack);
    if (error < 0)
        return error;
    shard->now = shard->clock(shard);
    weir_shard_current = shard;
    error = runtime->open(&shard->driver, shard, runtime->config, runtime->open_arg);
    weir_shard_current = NULL;
    return error;
}

static void thread_loop(struct runtime *runtime, struct weir_shard *shard)
{
    int error = weir_shard_start(shard, runtime->shard_main, runtime->arg);

    if (error < 0) {
        weir_log("cannot start shard %u: %s", shard->id, strerror(-error));
        runtime_fail(runtime, error);
        weir_shards_stop(shard->all, WEIR_CUTTING);
    }
    while (!weir_shards_over(shard->all))
        weir_shard_turn(shard);
}

static void *thread_main(void *arg)
{
    struct runtime_thread *thread = arg;
    struct weir_shard *shard = thread->shard;
    struct weir_signal_stack signal_stack = { NULL };
    int error = thread_prepare(thread, &signal_stack);

    if (runtime_gate(thread->runtime, error) == 0)
        thread_loop(thread->runtime, shard);
    weir_shard_free(shard);
    weir_signal_stack_close(&signal_stack);
    return NULL;
}

/* --- starting and ending --- */

int weir_runtime_cpus(const struct weir_config *config, struct weir_cpu_list *cpus,
                      unsigned *shards, char *why, size_t why_size)
{
    unsigned quota = weir_cpu_quota("");
    int error = config->cpus ? weir_cpu_parse(cpus, config->cpus) : weir_cpu_allowed(cpus);

    if (error < 0) {
        snprintf(why, why_size, "cpus '%s' is not a list of CPUs such as 0,2-3",
                 config->cpus ? config->cpus : "");
        return error;
    }
    *shards = config->shards ? config->shards : cpus->count;
    if (config->shards == 0 && !config->cpus && quota > 0 && quota < *shards)
        *shards = quota;
    if (config->shards == 0 && *shards > WEIR_SHARDS_MAX)
        *shards = WEIR_SHARDS_MAX;
    if (*shards <= WEIR_SHARDS_MAX)
        return 0;
    snprintf(why, why_size, "%u shards are too many; at most %d", *shards, WEIR_SHARDS_MAX);
    return -ERANGE;
}

static int runtime_check(const struct weir_config *config, char *why, size_t why_size)
{
    long page = sysconf(_SC_PAGESIZE);

    if (weir_shard_current)
        weir_panic("weir_run: a shard runs on this thread already; a runtime cannot be started "
                   "inside another");
    if (config->fiber_stack < WEIR_STACK_MIN || config->fiber_stack < 2 * (size_t)page ||
        config->fiber_stack > WEIR_STACK_MAX || config->fiber_stack % (size_t)page != 0) {
        snprintf(why, why_size, "fiber_stack is %zu; it must be a multiple of %ld from %d to %d",
                 config->fiber_stack, page, WEIR_STACK_MIN, WEIR_STACK_MAX);
        return -EINVAL;
    }
    if (config->fibers_max == 0 || config->idle_spin < 0 || config->grace < 0) {
        snprintf(why, why_size, "fibers_max must be at least 1, idle_spin and grace not negative");
        return -EINVAL;
    }
    return 0;
}

static void shards_free(struct weir_shards *shards)
{
    for (unsigned i = 0; shards->shard && i < shards->count; i++) {
        if (shards->shard[i] && shards->shard[i]->wake_fd >= 0)
            close(shards->shard[i]->wake_fd);
        free(shards->shard[i]);
    }
    weir_shards_free(shards);
}

static int shards_make(struct runtime *runtime, unsigned count)
{
    struct weir_shards *shards = &runtime->shards;
    int error = weir_shards_init(shards, count, runtime->config);

    shards->wake = runtime_wake;
    for (unsigned i = 0; error == 0 && i < count; i++) {
        struct weir_shard *shard = aligned_alloc(64, sizeof *shard);

        if (!shard)
            return -ENOMEM;
        shards->shard[i] = shard;
        error = weir_shard_init(shard, i, shards, runtime->config);
        shard->clock = runtime_clock;
        shard->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        if (error == 0 && shard->wake_fd < 0)
            error = -errno;
    }
    return error;
}

/* Starts the threads; those that could not be started count as arrived with an error. */
static unsigned threads_start(struct runtime *runtime, struct runtime_thread *threads,
                              const struct weir_cpu_list *cpus)
{
    unsigned count = runtime->shards.count, started = 0;
    sigset_t before;
    int error = 0;

    signals_block(&before);
    for (; started < count; started++) {
        struct runtime_thread *thread = &threads[started];

        *thread = (struct runtime_thread){ .runtime = runtime,
                                           .shard = runtime->shards.shard[started],
                                           .cpu = cpus->cpu[started % cpus->count] };
        error = pthread_create(&thread->thread, NULL, thread_main, thread);
        if (error)
            break;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    runtime_fail(runtime, -error);
    pthread_mutex_lock(&runtime->mutex);
    while (runtime->arrived < started)
        pthread_cond_wait(&runtime->cond, &runtime->mutex);
    runtime->open_gate = true;
    pthread_cond_broadcast(&runtime->cond);
    pthread_mutex_unlock(&runtime->mutex);
    return started;
}

static int runtime_run(struct runtime *runtime, const struct weir_cpu_list *cpus)
{
    struct runtime_thread *threads = calloc(runtime->shards.count, sizeof *threads);
    struct signals signals;
    unsigned started;

    if (!threads)
        return -ENOMEM;
    pthread_mutex_init(&runtime->mutex, NULL);
    pthread_cond_init(&runtime->cond, NULL);
    weir_overflow_watch();
    signals_take(&signals, runtime);
    started = threads_start(runtime, threads, cpus);
    for (unsigned i = 0; i < started; i++)
        pthread_join(threads[i].thread, NULL);
    signals_give_back(&signals);
    weir_overflow_unwatch();
    pthread_cond_destroy(&runtime->cond);
    pthread_mutex_destroy(&runtime->mutex);
    free(threads);
    return runtime->error;
}

int weir_runtime_run(const struct weir_config *config, weir_driver_open *open, void *open_arg,
                     void (*shard_main)(void *arg), void *arg)
{
    struct runtime runtime = {
        .config = config, .open = open, .open_arg = open_arg, .shard_main = shard_main, .arg = arg
    };
    struct weir_cpu_list cpus;
    unsigned count = 0;
    char why[160];
    int error = runtime_check(config, why, sizeof why);

    if (error == 0)
        error = weir_runtime_cpus(config, &cpus, &count, why, sizeof why);
    if (error < 0) {
        weir_log("%s", why);
        return error;
    }
    weir_cycles_per_us(); /* measured here, once, and not in the middle of a turn */
    error = shards_make(&runtime, count);
    if (error == 0)
        error = runtime_run(&runtime, &cpus);
    else
        weir_log("cannot start %u shards: %s", count, strerror(-error));
    shards_free(&runtime.shards);
    return error;
}
