/* run.c - weir_run, weir_runtime_new: pick the socket stack and start the shards on it.
 *
 * Auto asks the kernel once, before any shard exists, and falls back to epoll with one line that
 * says why and how to stop it from asking.  A stack that was asked for by name is had or the start
 * fails.  Should a single shard not get its ring after all (memory), it goes on with epoll: the two
 * stacks differ in nothing a program can see.
 *
 * The native stack stands on top of one of these two, which sleeps for it and has the kernel's
 * sockets.  Its device is opened once, before the shards, and closed after them.  What fails there
 * is said once, however many shards it concerns. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weir/runtime.h>
#include "net/config.h"
#include "net/kernel/uring.h"
#include "net/native/native.h"
#include "net/stack.h"
#include "sched/runtime.h"

enum { WHY_SIZE = 256 };

/* One runtime. */
struct run {
    const char *name; /* of the stack */
    bool uring;
    struct weir_native_shared *native; /* or NULL: kernel sockets only */
    atomic_bool said;                  /* why the native stack cannot be had */
    char why[WHY_SIZE];                /* that, or not that */
};

/* For those who ask outside of a shard: about the runtime that was started last. */
static pthread_mutex_t run_lock = PTHREAD_MUTEX_INITIALIZER;
static const char *_Atomic run_stack_name = "";
static char run_stack_why[WHY_SIZE];
static unsigned runs_live;

static int run_open_kernel(struct weir_driver **driver, struct weir_shard *shard,
                           const struct weir_config *config, const struct run *run)
{
    char why[WHY_SIZE] = "";
    int error;

    if (run->uring) {
        error = weir_uring_open(driver, shard, config, why, sizeof why);
        if (error == 0) {
            weir_stack_of(shard)->why = run->why;
            return 0;
        }
        weir_log("shard %u: %s%s", shard->id, why,
                 config->stack == WEIR_STACK_AUTO ? "; it uses epoll" : "");
        if (config->stack != WEIR_STACK_AUTO)
            return error;
    }
    error = weir_epoll_open(driver, shard, config, why, sizeof why);
    if (error)
        weir_log("shard %u: %s", shard->id, why);
    else
        weir_stack_of(shard)->why = run->uring ? "this shard could not have io_uring" : run->why;
    return error;
}

/* On failure *driver is the one below: whoever asked closes it. */
static int run_open_native(struct weir_driver **driver, struct weir_shard *shard, struct run *run)
{
    char why[WHY_SIZE] = "";
    int error = weir_native_open(driver, shard, *driver, run->native, why, sizeof why);

    if (error == 0)
        weir_stack_of(shard)->why = run->why;
    else if (!atomic_exchange(&run->said, true))
        weir_log("%s", why);
    return error;
}

static int run_open(struct weir_driver **driver, struct weir_shard *shard,
                    const struct weir_config *config, void *arg)
{
    struct run *run = arg;
    int error = run_open_kernel(driver, shard, config, run);

    return error || !run->native ? error : run_open_native(driver, shard, run);
}

/* --- the native stack's device --- */

static void run_native_config(struct weir_native_config *native, const struct weir_config *config)
{
    weir_native_config_init(native);
    native->ip = config->ip;
    native->gateway = config->gateway;
    native->route = config->route;
    native->vlan = (uint16_t)config->vlan;
    native->cc = config->cc == WEIR_CONGESTION_RENO ? "reno" : "cubic";
    native->conns_max = config->conns_max;
    native->keepalive = config->keepalive;
    native->secret = config->seed;
}

/* Makes run->native.  0; a negated errno, with one line in `why` that says what to do. */
static int run_native_open(struct run *run, const struct weir_config *config, char *why,
                           size_t why_size)
{
    struct weir_dev_config dev_config = {
        .spec = config->dev ? config->dev : "loop",
        .impair = config->impair,
        .pcap = config->pcap,
        .seed = config->seed,
        .mtu = (uint16_t)config->mtu,
    };
    struct weir_native_config native;
    struct weir_cpu_list cpus;
    struct weir_dev *dev;
    int error = weir_runtime_cpus(config, &cpus, &dev_config.queues, why, why_size);

    if (!error)
        error = weir_dev_open(&dev, &dev_config, why, why_size);
    if (error)
        return error;
    run_native_config(&native, config);
    error = weir_native_shared_open(&run->native, dev, &native, dev_config.queues, why, why_size);
    if (error)
        weir_dev_close(dev);
    else
        snprintf(run->why, sizeof run->why, "%s", dev->name);
    return error;
}

/* Whether to use io_uring, and why; or a negated errno. */
static int run_pick(struct run *run, const struct weir_config *config)
{
    int error;

    if (config->stack == WEIR_STACK_EPOLL) {
        strcpy(run->why, "asked for");
        return 0;
    }
    error = weir_uring_probe(run->why, sizeof run->why);
    if (error == 0) {
        run->uring = true;
        strcpy(run->why, config->stack == WEIR_STACK_URING ? "asked for" : "the kernel has it");
        return 0;
    }
    if (config->stack == WEIR_STACK_NATIVE)
        return 0;
    if (config->stack == WEIR_STACK_URING) {
        weir_log("stack uring: %s; stack auto or epoll would do", run->why);
        return error;
    }
    if (!config->quiet)
        weir_log("using epoll: %s; --stack epoll does not ask", run->why);
    return 0;
}

static void run_begins(struct run *run, const struct weir_config *config)
{
    run->name = !config->io ? "none" : run->native ? "native" : run->uring ? "io_uring" : "epoll";
    pthread_mutex_lock(&run_lock);
    runs_live++;
    strcpy(run_stack_why, run->why);
    atomic_store(&run_stack_name, run->name);
    pthread_mutex_unlock(&run_lock);
}

static void run_ends(void)
{
    pthread_mutex_lock(&run_lock);
    if (--runs_live == 0)
        atomic_store(&run_stack_name, "");
    pthread_mutex_unlock(&run_lock);
}

static void run_closed(void *arg)
{
    struct run *run = arg;

    run_ends();
    if (run->native)
        weir_native_shared_close(run->native);
    free(run);
}

/* What the shards will open.  0; a negated errno, after one line in the log. */
static int run_prepare(struct run *run, const struct weir_config *config)
{
    char why[WHY_SIZE];
    int error = weir_config_check(config, why, sizeof why);

    if (!error && !config->io) {
        strcpy(run->why, "I/O is off");
        return 0;
    }
    if (!error) {
        error = run_pick(run, config);
        if (error)
            return error;
        if (config->stack == WEIR_STACK_NATIVE)
            error = run_native_open(run, config, why, sizeof why);
    }
    if (error)
        weir_log("%s", why);
    return error;
}

static int run_start(struct weir_runtime **runtime, const struct weir_config *config,
                     void (*shard_main)(void *arg), void *arg)
{
    struct run *run = calloc(1, sizeof *run);
    struct weir_runtime_net net = { .open = config->io ? run_open : weir_bare_driver_open,
                                    .closed = run_closed,
                                    .arg = run };
    int error = run ? run_prepare(run, config) : -ENOMEM;

    if (error) {
        free(run);
        return error;
    }
    run_begins(run, config);
    error = weir_runtime_start(runtime, config, &net, shard_main, arg);
    if (error)
        run_closed(run);
    return error;
}

int weir_runtime_new(struct weir_runtime **runtime, const struct weir_config *config)
{
    return run_start(runtime, config, NULL, NULL);
}

int weir_run(const struct weir_config *config, void (*shard_main)(void *arg), void *arg)
{
    struct weir_runtime *runtime;
    int error = run_start(&runtime, config, shard_main, arg);

    return error ? error : weir_runtime_end(runtime);
}

int weir_config_shards(const struct weir_config *config)
{
    struct weir_cpu_list cpus;
    char why[WHY_SIZE];
    unsigned shards;
    int error = weir_runtime_cpus(config, &cpus, &shards, why, sizeof why);

    return error ? error : (int)shards;
}

/* The stack of the shard that asks, or NULL. */
static const struct weir_stack *run_stack_here(void)
{
    return weir_shard_current ? weir_stack_of(weir_shard_current) : NULL;
}

const char *weir_stack_name(void)
{
    const struct weir_stack *stack = run_stack_here();

    return stack ? stack->ops->name : atomic_load(&run_stack_name);
}

const char *weir_stack_why(void)
{
    const struct weir_stack *stack = run_stack_here();

    return stack && stack->why ? stack->why : run_stack_why;
}

const char *weir_version(void)
{
    return WEIR_VERSION;
}
