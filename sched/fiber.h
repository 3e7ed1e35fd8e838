/* fiber.h - the inside of a fiber. */
#ifndef WEIR_SCHED_FIBER_H
#define WEIR_SCHED_FIBER_H

#include "sched/shard.h"

/* Lives at the top of its own stack, in the page that the first frames touch anyway.
 *
 * A suspended fiber is either in the ready list or awaits `futures`; never both. */
struct weir_fiber {
    struct weir_context context;
    struct weir_link link; /* in shard->ready */
    struct weir_shard *shard;

    /* What it awaits: `left` of the futures must still complete before it runs. */
    struct weir_future *const *futures;
    size_t count;
    size_t left;
    int cause; /* why they were cancelled: -ETIMEDOUT, -ECANCELED; 0: not */
    bool cancelled;
    struct weir_link cancel; /* in shard->interrupting */
    struct weir_alarm deadline;

    /* Who it is. */
    void (*fn)(void *arg);
    void *arg;
    struct weir_scope *scope;
    struct weir_link sibling; /* in scope->fibers */
    struct weir_link all;     /* in shard->fibers */
    const char *name, *site;
    void *stack;
    weir_time since; /* when it last suspended */
};

/* A fiber that is not the caller's: `scope` of `shard`, as weir_spawn_at. */
int weir_fiber_spawn(struct weir_shard *shard, struct weir_scope *scope, void (*fn)(void *arg),
                     void *arg, const char *name, const char *site, struct weir_fiber **fiber);

/* Asks it to end; see weir_scope_cancel. */
void weir_fiber_cancel(struct weir_fiber *fiber);

/* One of the futures it awaits is done. */
void weir_fiber_wake(struct weir_fiber *fiber);

/* Runs it until it suspends or ends. */
void weir_fiber_run(struct weir_shard *shard, struct weir_fiber *fiber);

/* The running fiber waits until `left` of the futures are done, or for all of them after the
 * deadline or a cancel, which it returns (0: neither came first). */
int weir_fiber_await(struct weir_fiber *fiber, struct weir_future *const *futures, size_t count,
                     size_t left, weir_time deadline);

/* The running fiber; ends the program with a sentence when the loop itself calls. */
struct weir_fiber *weir_fiber_here(const char *call);

#endif
