/* overflow.h - a fiber that runs over its stack ends the program with a message that names it. */
#ifndef WEIR_SCHED_OVERFLOW_H
#define WEIR_SCHED_OVERFLOW_H

/* For the calling thread: a signal stack of its own, for there is no room on the one that is full.
 */
struct weir_signal_stack {
    void *base;
};

int weir_signal_stack_open(struct weir_signal_stack *stack);
void weir_signal_stack_close(struct weir_signal_stack *stack);

/* Installs the handler while any runtime runs; faults that are not ours go to the one before it. */
void weir_overflow_watch(void);
void weir_overflow_unwatch(void);

#endif
