/* run.c - weir_run: picks the socket stack and starts the shards on it.
 *
 * Auto asks the kernel once, before any shard exists, and falls back to epoll with one line that
 * says why and how to stop it from asking.  A stack that was asked for by name is had or the start
 * fails.  Should a single shard not get its ring after all (memory), it goes on with epoll: the two
 * stacks differ in nothing a program can see. */
#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <weir/runtime.h>
#include "net/config.h"
#include "net/kernel/uring.h"
#include "net/stack.h"
#include "sched/runtime.h"

enum { WHY_SIZE = 160 };

/* Written before the shards start and after they have ended. */
static const char *_Atomic run_stack_name = "";
static char run_stack_why[WHY_SIZE];

static int run_open(struct weir_driver **driver, struct weir_shard *shard,
                    const struct weir_config *config, void *arg)
{
    const bool *uring = arg;
    char why[WHY_SIZE] = "";
    int error;

    if (*uring) {
        error = weir_uring_open(driver, shard, config, why, sizeof why);
        if (error == 0)
            return 0;
        weir_log("shard %u: %s%s", shard->id, why,
                 config->stack == WEIR_STACK_AUTO ? "; it uses epoll" : "");
        if (config->stack != WEIR_STACK_AUTO)
            return error;
    }
    error = weir_epoll_open(driver, shard, config, why, sizeof why);
    if (error)
        weir_log("shard %u: %s", shard->id, why);
    return error;
}

/* Whether to use io_uring, with the reason in run_stack_why; or a negated errno. */
static int run_pick(const struct weir_config *config, bool *uring)
{
    int error;

    *uring = false;
    if (config->stack == WEIR_STACK_EPOLL) {
        strcpy(run_stack_why, "asked for");
        return 0;
    }
    error = weir_uring_probe(run_stack_why, sizeof run_stack_why);
    if (error == 0) {
        *uring = true;
        strcpy(run_stack_why,
               config->stack == WEIR_STACK_URING ? "asked for" : "the kernel has it");
        return 0;
    }
    if (config->stack == WEIR_STACK_URING) {
        weir_log("stack uring: %s; stack auto or epoll would do", run_stack_why);
        return error;
    }
    if (!config->quiet)
        weir_log("using epoll: %s; --stack epoll does not ask", run_stack_why);
    return 0;
}

int weir_run(const struct weir_config *config, void (*shard_main)(void *arg), void *arg)
{
    char why[WHY_SIZE];
    bool uring;
    int error = weir_config_check(config, why, sizeof why);

    if (error) {
        weir_log("%s", why);
        return error;
    }
    error = run_pick(config, &uring);
    if (error)
        return error;
    atomic_store(&run_stack_name, uring ? "io_uring" : "epoll");
    error = weir_runtime_run(config, run_open, &uring, shard_main, arg);
    atomic_store(&run_stack_name, "");
    return error;
}

int weir_config_shards(const struct weir_config *config)
{
    struct weir_cpu_list cpus;
    char why[WHY_SIZE];
    unsigned shards;
    int error = weir_runtime_cpus(config, &cpus, &shards, why, sizeof why);

    return error ? error : (int)shards;
}

const char *weir_stack_name(void)
{
    return atomic_load(&run_stack_name);
}

const char *weir_stack_why(void)
{
    return run_stack_why;
}

const char *weir_version(void)
{
    return WEIR_VERSION;
}
