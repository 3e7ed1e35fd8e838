/* overflow.h - a fiber that runs over its stack ends the program with a message that names it. */
#ifndef WEIR_SCHED_OVERFLOW_H
#define WEIR_SCHED_OVERFLOW_H

#include <signal.h>

/* For the calling thread: a signal stack of its own, for there is no room on the one that is full.
 * A thread may have several, as it makes several current-thread runtimes, and close them in any
 * order; what it had before is there again after the last. */
struct weir_signal_stack {
    void *base;
    struct weir_signal_stack *below; /* of this thread, opened before it */
    stack_t before;                  /* what it took the place of */
};

int weir_signal_stack_open(struct weir_signal_stack *stack);
void weir_signal_stack_close(struct weir_signal_stack *stack);

/* Installs the handler while any runtime runs; faults that are not ours go to the one before it. */
void weir_overflow_watch(void);
void weir_overflow_unwatch(void);

#endif
