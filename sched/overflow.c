/* overflow.c - the report of a fiber that ran over its stack.
 *
 * The lowest page of every stack is a guard.  A fault in the guard of the fiber that runs is its
 * overflow; every other fault is handed to whoever handled SIGSEGV before us. */
#include "sched/overflow.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include "sched/fiber.h"

enum { OVERFLOW_STACK = 64 * 1024 };

static struct sigaction overflow_before[2]; /* SIGSEGV, SIGBUS */
static pthread_mutex_t overflow_mutex = PTHREAD_MUTEX_INITIALIZER;
static unsigned overflow_watchers;
static _Thread_local struct weir_signal_stack *signal_stacks; /* the one in use first */

static bool overflow_in_guard(const struct weir_shard *shard, uintptr_t address)
{
    uintptr_t stack;

    if (!shard || !shard->fiber)
        return false;
    stack = (uintptr_t)shard->fiber->stack;
    return address >= stack && address < stack + shard->stacks.page;
}

static void overflow_handler(int signal, siginfo_t *info, void *ucontext)
{
    const struct weir_shard *shard = weir_shard_current;
    const struct sigaction *before = &overflow_before[signal == SIGBUS];

    if (overflow_in_guard(shard, (uintptr_t)info->si_addr))
        weir_panic("stack overflow: the fiber needs more than its %zu KiB; keep big arrays off the "
                   "stack, or raise weir_config.fiber_stack",
                   (shard->stacks.size - shard->stacks.page) / 1024);
    if (before->sa_flags & SA_SIGINFO)
        before->sa_sigaction(signal, info, ucontext);
    else if (before->sa_handler != SIG_DFL && before->sa_handler != SIG_IGN)
        before->sa_handler(signal);
    else
        sigaction(signal, before, NULL); /* the fault comes again, and does what it always did */
}

static void overflow_install(void)
{
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_sigaction = overflow_handler;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    sigaction(SIGSEGV, &action, &overflow_before[0]);
    sigaction(SIGBUS, &action, &overflow_before[1]);
}

void weir_overflow_watch(void)
{
    pthread_mutex_lock(&overflow_mutex);
    if (overflow_watchers++ == 0)
        overflow_install();
    pthread_mutex_unlock(&overflow_mutex);
}

void weir_overflow_unwatch(void)
{
    pthread_mutex_lock(&overflow_mutex);
    if (--overflow_watchers == 0) {
        sigaction(SIGSEGV, &overflow_before[0], NULL);
        sigaction(SIGBUS, &overflow_before[1], NULL);
    }
    pthread_mutex_unlock(&overflow_mutex);
}

int weir_signal_stack_open(struct weir_signal_stack *stack)
{
    stack_t signal_stack = { .ss_size = OVERFLOW_STACK };
    int error;

    stack->base = malloc(OVERFLOW_STACK);
    if (!stack->base)
        return -ENOMEM;
    signal_stack.ss_sp = stack->base;
    if (sigaltstack(&signal_stack, &stack->before) != 0) {
        error = -errno;
        free(stack->base);
        stack->base = NULL;
        return error;
    }
    stack->below = signal_stacks;
    signal_stacks = stack;
    return 0;
}

/* The one above it, or what the thread uses, goes back to what was before it. */
void weir_signal_stack_close(struct weir_signal_stack *stack)
{
    struct weir_signal_stack *above = signal_stacks;

    if (!stack->base)
        return;
    if (above == stack) {
        sigaltstack(&stack->before, NULL);
        signal_stacks = stack->below;
    } else {
        while (above->below != stack)
            above = above->below;
        above->before = stack->before;
        above->below = stack->below;
    }
    free(stack->base);
    stack->base = NULL;
}
