/* signals.h - SIGINT, SIGTERM and SIGUSR1 of a runtime: stop, stop at once, list the fibers. */
#ifndef WEIR_SCHED_SIGNALS_H
#define WEIR_SCHED_SIGNALS_H

#include <signal.h>
#include "sched/shard.h"

enum { WEIR_SIGNALS = 3 };

struct weir_signals {
    struct sigaction before[WEIR_SIGNALS];
    bool ours;
};

/* Takes them for these shards, unless another runtime has them; and gives them back. */
void weir_signals_take(struct weir_signals *signals, struct weir_shards *shards);
void weir_signals_give_back(struct weir_signals *signals);

/* Whether a runtime of this process has them. */
bool weir_signals_taken(void);

/* For the calling thread and those it starts, until *before is set again. */
void weir_signals_block(sigset_t *before);

#endif
