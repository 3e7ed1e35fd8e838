/* runtime.c - shards on threads: start together, stop together, end together.
 *
 * All threads open their drivers before any runs its main function: a runtime starts whole or not
 * at all.  Shards and their wake-up descriptors outlive the last thread, since any shard may be
 * woken by another at any time before that.
 *
 * A shard's loop goes on while anything is under way in any shard.  A runtime without main
 * functions is held: it counts as under way until it is let go.
 *
 * The one shard of a current-thread runtime has no thread: its loop is run by whoever made it,
 * while they wait (block_on.c), and at the end. */
#include "sched/runtime.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

struct weir_runtime_thread {
    struct weir_runtime *runtime;
    struct weir_shard *shard;
    unsigned cpu;
    pthread_t thread;
};

/* Reading the clock costs 25 ns, a turn that finds nothing not much more: for a while after the
 * last time it is that time still. */
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

/* --- a shard's thread --- */

static void runtime_fail(struct weir_runtime *runtime, int error)
{
    pthread_mutex_lock(&runtime->mutex);
    if (error < 0 && runtime->error == 0)
        runtime->error = error;
    pthread_mutex_unlock(&runtime->mutex);
}

static int runtime_gate(struct weir_runtime *runtime, int error)
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

/* Makes the driver of the shard, in its thread. */
static int shard_open(struct weir_runtime *runtime, struct weir_shard *shard)
{
    int error;

    shard->now = shard->clock(shard);
    weir_shard_current = shard;
    error = runtime->net.open(&shard->driver, shard, &runtime->config, runtime->net.arg);
    weir_shard_current = NULL;
    if (error == 0 && runtime->config.paused)
        weir_shard_pause(shard);
    return error;
}

static int thread_prepare(struct weir_runtime_thread *thread,
                          struct weir_signal_stack *signal_stack)
{
    struct weir_runtime *runtime = thread->runtime;
    char name[16];
    int error;

    snprintf(name, sizeof name, "%.11s-%u", runtime->config.thread_name, thread->shard->id);
    pthread_setname_np(pthread_self(), name);
    error = weir_cpu_pin(thread->cpu);
    if (error < 0) {
        weir_log("cannot pin shard %u to CPU %u: %s; choose others with cpus", thread->shard->id,
                 thread->cpu, strerror(-error));
        return error;
    }
    error = weir_signal_stack_open(signal_stack);
    return error < 0 ? error : shard_open(runtime, thread->shard);
}

static void shard_begin(struct weir_runtime *runtime, struct weir_shard *shard)
{
    int error =
        runtime->shard_main ? weir_shard_start(shard, runtime->shard_main, runtime->arg) : 0;

    if (error == 0)
        return;
    weir_log("cannot start shard %u: %s", shard->id, strerror(-error));
    runtime_fail(runtime, error);
    weir_shards_stop(shard->all, WEIR_CUTTING);
}

static void shard_loop(struct weir_shard *shard)
{
    while (!weir_shards_over(shard->all))
        weir_shard_turn(shard);
}

static void *thread_main(void *arg)
{
    struct weir_runtime_thread *thread = arg;
    struct weir_shard *shard = thread->shard;
    struct weir_signal_stack signal_stack = { .base = NULL };
    int error = thread_prepare(thread, &signal_stack);

    if (runtime_gate(thread->runtime, error) == 0) {
        shard_begin(thread->runtime, shard);
        shard_loop(shard);
    }
    weir_shard_free(shard);
    weir_signal_stack_close(&signal_stack);
    return NULL;
}

/* --- starting and ending --- */

int weir_runtime_cpus(const struct weir_config *config, struct weir_cpu_list *cpus,
                      unsigned *shards, char *why, size_t why_size)
{
    int error = config->cpus ? weir_cpu_parse(cpus, config->cpus) : weir_cpu_allowed(cpus);

    if (error < 0) {
        snprintf(why, why_size, "cpus '%s' is not a list of CPUs such as 0,2-3",
                 config->cpus ? config->cpus : "");
        return error;
    }
    if (config->flavour == WEIR_CURRENT_THREAD) {
        *shards = 1;
        if (config->shards <= 1)
            return 0;
        snprintf(why, why_size, "a current-thread runtime has one shard, not %u", config->shards);
        return -EINVAL;
    }
    *shards = config->shards ? config->shards : cpus->count;
    if (config->shards == 0 && !config->cpus) {
        unsigned quota = weir_cpu_quota("");

        *shards = quota > 0 && quota < *shards ? quota : *shards;
    }
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
        weir_panic("a runtime cannot be started inside another, and a shard runs on this thread: "
                   "await here, call another shard with weir_call, or hand what blocks to "
                   "weir_blocking");
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
    if (!weir_blocking_config_is_sound(config)) {
        snprintf(why, why_size,
                 "blocking_threads must be from 1 to %d, blocking_queue at least 1, blocking_idle "
                 "not negative",
                 WEIR_BLOCKING_THREADS_MAX);
        return -EINVAL;
    }
    return 0;
}

static void runtime_dispose(struct weir_runtime *runtime)
{
    struct weir_shards *shards = &runtime->shards;

    weir_blocking_end(&runtime->blocking); /* its threads may still look at a shard */
    for (unsigned i = 0; shards->shard && i < shards->count; i++) {
        if (shards->shard[i] && shards->shard[i]->wake_fd >= 0)
            close(shards->shard[i]->wake_fd);
        free(shards->shard[i]);
    }
    weir_shards_free(shards);
    pthread_cond_destroy(&runtime->cond);
    pthread_mutex_destroy(&runtime->mutex);
    free(runtime->threads);
    free(runtime);
}

static int shards_make(struct weir_runtime *runtime, unsigned count)
{
    struct weir_shards *shards = &runtime->shards;
    int error = weir_shards_init(shards, count, &runtime->config);

    shards->wake = runtime_wake;
    shards->runtime = runtime;
    shards->blocking = &runtime->blocking;
    for (unsigned i = 0; error == 0 && i < count; i++) {
        struct weir_shard *shard = aligned_alloc(64, sizeof *shard);

        if (!shard)
            return -ENOMEM;
        shards->shard[i] = shard;
        error = weir_shard_init(shard, i, shards, &runtime->config);
        shard->clock = runtime_clock;
        shard->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        if (error == 0 && shard->wake_fd < 0)
            error = -errno;
    }
    return error;
}

static int runtime_make(struct weir_runtime **runtime, const struct weir_config *config,
                        unsigned count)
{
    struct weir_runtime *made = calloc(1, sizeof *made);
    int error;

    if (!made)
        return -ENOMEM;
    made->config = *config;
    pthread_mutex_init(&made->mutex, NULL);
    pthread_cond_init(&made->cond, NULL);
    weir_blocking_init(&made->blocking, config);
    made->threads = calloc(count, sizeof *made->threads);
    error = made->threads ? shards_make(made, count) : -ENOMEM;
    if (error < 0) {
        weir_log("cannot start %u shards: %s", count, strerror(-error));
        runtime_dispose(made);
        return error;
    }
    *runtime = made;
    return 0;
}

/* Starts the threads; those that could not be started count as arrived with an error. */
static void threads_start(struct weir_runtime *runtime, const struct weir_cpu_list *cpus)
{
    unsigned count = runtime->shards.count;
    sigset_t before;
    int error = 0;

    weir_signals_block(&before);
    for (; runtime->started < count; runtime->started++) {
        struct weir_runtime_thread *thread = &runtime->threads[runtime->started];

        *thread = (struct weir_runtime_thread){ .runtime = runtime,
                                                .shard = runtime->shards.shard[runtime->started],
                                                .cpu = cpus->cpu[runtime->started % cpus->count] };
        error = pthread_create(&thread->thread, NULL, thread_main, thread);
        if (error)
            break;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    runtime_fail(runtime, -error);
    pthread_mutex_lock(&runtime->mutex);
    while (runtime->arrived < runtime->started)
        pthread_cond_wait(&runtime->cond, &runtime->mutex);
    runtime->open_gate = true;
    pthread_cond_broadcast(&runtime->cond);
    pthread_mutex_unlock(&runtime->mutex);
}

static void here_start(struct weir_runtime *runtime)
{
    int error = weir_signal_stack_open(&runtime->signal_stack);

    runtime->owner = pthread_self();
    if (error == 0)
        error = shard_open(runtime, runtime->shards.shard[0]);
    runtime_fail(runtime, error);
    if (error == 0)
        shard_begin(runtime, runtime->shards.shard[0]);
}

static void here_end(struct weir_runtime *runtime)
{
    if (runtime->shards.shard[0]->driver)
        shard_loop(runtime->shards.shard[0]);
    weir_shard_free(runtime->shards.shard[0]);
    weir_signal_stack_close(&runtime->signal_stack);
}

static bool runtime_is_here(const struct weir_runtime *runtime)
{
    return runtime->config.flavour == WEIR_CURRENT_THREAD;
}

int weir_runtime_start(struct weir_runtime **runtime, const struct weir_config *config,
                       const struct weir_runtime_net *net, void (*shard_main)(void *arg), void *arg)
{
    struct weir_cpu_list cpus;
    unsigned count = 0;
    char why[160];
    int error = runtime_check(config, why, sizeof why);

    if (error == 0)
        error = weir_runtime_cpus(config, &cpus, &count, why, sizeof why);
    if (error == 0 && config->paused && count > 1) {
        snprintf(why, sizeof why, "paused is for one shard, not %u with a clock each", count);
        error = -EINVAL;
    }
    if (error < 0) {
        weir_log("%s", why);
        return error;
    }
    weir_cycles_per_us(); /* measured here, once, and not in the middle of a turn */
    error = runtime_make(runtime, config, count);
    if (error < 0)
        return error;
    (*runtime)->net = *net;
    (*runtime)->shard_main = shard_main;
    (*runtime)->arg = arg;
    if (!shard_main)
        atomic_fetch_add(&(*runtime)->shards.busy, 1); /* held */
    weir_overflow_watch();
    if (config->signals)
        weir_signals_take(&(*runtime)->signals, &(*runtime)->shards);
    if (runtime_is_here(*runtime))
        here_start(*runtime);
    else
        threads_start(*runtime, &cpus);
    if ((*runtime)->error == 0 || shard_main)
        return 0; /* those that failed with a main end at once: weir_runtime_end() says why */
    weir_runtime_let_go(*runtime);
    (*runtime)->net.closed = NULL; /* the caller's, on an error */
    return weir_runtime_end(*runtime);
}

void weir_runtime_let_go(struct weir_runtime *runtime)
{
    struct weir_shards *shards = &runtime->shards;

    if (atomic_fetch_sub(&shards->busy, 1) == 1)
        for (unsigned i = 0; i < shards->count; i++)
            shards->wake(shards->shard[i]);
}

int weir_runtime_end(struct weir_runtime *runtime)
{
    int error;

    if (runtime_is_here(runtime))
        here_end(runtime);
    for (unsigned i = 0; i < runtime->started; i++)
        pthread_join(runtime->threads[i].thread, NULL);
    weir_signals_give_back(&runtime->signals);
    weir_overflow_unwatch();
    error = runtime->error;
    if (runtime->net.closed)
        runtime->net.closed(runtime->net.arg);
    runtime_dispose(runtime);
    return error;
}

int weir_runtime_run(const struct weir_config *config, weir_driver_open *open, void *open_arg,
                     void (*shard_main)(void *arg), void *arg)
{
    const struct weir_runtime_net net = { .open = open, .arg = open_arg };
    struct weir_runtime *runtime;
    int error = weir_runtime_start(&runtime, config, &net, shard_main, arg);

    return error < 0 ? error : weir_runtime_end(runtime);
}
