/* shard.h - one scheduler: a plain struct that can be pumped.
 *
 * Everything a shard needs from outside comes through it: the clock, the random numbers, and a
 * driver that knows how to wait for the world.  weir_runtime (threads) and weir_sim (one thread,
 * virtual clock) are two ways to pump the same struct. */
#ifndef WEIR_SCHED_SHARD_H
#define WEIR_SCHED_SHARD_H

#include <stdatomic.h>
#include <weir/fiber.h>
#include <weir/runtime.h>
#include <weir/shard.h>
#include "core/list.h"
#include "core/wheel.h"
#include "sched/stack.h"
#include "sched/switch.h"

enum { WEIR_SHARDS_MAX = 256 };

struct weir_shard;
struct weir_driver;
struct weir_pair;
struct weir_any;
struct weir_blocking_pool;

/* How a shard waits for the world: io_uring, epoll, a bare eventfd, or the simulation. */
struct weir_driver_ops {
    const char *name;

    /* Hands queued operations over, takes what has happened, and completes the futures of it; in
     * one system call where it can.  When nothing has happened it sleeps until `until`: an absolute
     * time on the shard's clock, 0 for "do not sleep", or until weir_shard.wake_fd is readable
     * (which it then drains).  When its system call returns from a sleep it calls weir_shard_awake
     * before it completes anything.  Returns whether anything was completed. */
    bool (*poll)(struct weir_driver *driver, weir_time until);

    /* From now on it also wakes when `fd`, which outlives it, is readable; whoever reads it knows
     * by himself that there is something.  0 or a negated errno.  NULL: the driver cannot. */
    int (*watch)(struct weir_driver *driver, int fd);

    /* What it has counted, into the log.  NULL: nothing. */
    void (*report)(const struct weir_driver *driver);

    /* The shard has ended: gives everything back.  Everything opened on it has been closed. */
    void (*close)(struct weir_driver *driver);
};

struct weir_driver {
    const struct weir_driver_ops *ops;
    struct weir_shard *shard;
};

/* A clock that stands still (pause.c): what it has put into the shard, and in whose place. */
struct weir_pause {
    struct weir_driver driver;
    struct weir_driver *below;                    /* NULL: not paused */
    weir_time (*clock)(struct weir_shard *shard); /* the real one; NULL: never paused */
    weir_time shift;                              /* what it is behind, after a pause */
    struct weir_link advances;                    /* fibers in weir_advance */
    enum weir_poll poll;
    weir_time idle_spin;
    bool looked; /* the last turn found nothing to do and nothing outside */
};

/* What pumps the shards, and who they are to each other. */
struct weir_shards {
    unsigned count;
    struct weir_shard **shard;  /* by id */
    struct weir_pair *pairs;    /* count x count, [from * count + to] */
    _Atomic int stop;           /* enum weir_stop_level, only grows */
    _Atomic unsigned busy;      /* shards with a fiber or a call under way; 0: all is over */
    _Atomic unsigned dumps;     /* times a report of all fibers was asked for */
    _Atomic uint64_t any_count; /* tasks that wait in `any` */
    struct weir_any *any;       /* by id */
    weir_time grace;
    void (*wake)(struct weir_shard *shard); /* makes a sleeping shard look up */
    struct weir_runtime *runtime;           /* NULL in the simulation */
    struct weir_blocking_pool *blocking;
};

enum weir_stop_level { WEIR_RUNNING, WEIR_STOPPING, WEIR_CUTTING };

struct weir_shard {
    /* --- the loop --- */
    weir_time now;            /* start of this turn */
    struct weir_link ready;   /* fibers that can run */
    struct weir_link yielded; /* and those behind all of them; empty between two turns */
    struct weir_fiber *fiber; /* the one that runs, or NULL: the loop itself */
    uint32_t budget;          /* ready awaits left to the running fiber */
    uint64_t quantum;         /* in cycles; 0: the simulation counts fibers instead */
    uint64_t quantum_yielded; /* when all that can run has yielded */
    struct weir_wheel wheel;
    bool no_timers; /* weir_config.timers is off */
    struct weir_driver *driver;
    struct weir_context loop; /* where a suspending fiber switches to */

    /* --- from outside --- */
    weir_time (*clock)(struct weir_shard *shard);
    void *clock_arg;
    uint64_t clock_cycles, clock_span; /* when it was read, and for how long that is good */
    uint64_t random[2];
    unsigned id;
    struct weir_shards *all;
    int wake_fd; /* eventfd; -1 in the simulation */

    /* --- fibers --- */
    struct weir_link fibers; /* all, for reports */
    uint32_t fibers_max;
    struct weir_stacks stacks;
    struct weir_scope root;      /* the main fiber, and what other shards spawned here */
    struct weir_link cancelling; /* scopes whose children are still to be cancelled */
    bool cancelling_now;
    struct weir_link interrupting; /* cancelled fibers that are still to hear of it */
    bool interrupting_now;
    struct weir_link stop_waits; /* struct weir_stop_wait */
    int stop_seen;
    unsigned dumps_seen;
    struct weir_alarm grace;

    /* --- idling --- */
    enum weir_poll poll;
    weir_time idle_spin;
    weir_time calls_last; /* when a call came or went: others may answer within idle_spin */
    int looks;            /* at the rings of the others, per turn that spins; a driver whose
                           * poll costs little sets 1 */
    uint32_t calls_out;   /* calls of ours that have not come home */
    uint32_t signals;     /* struct weir_signal, open */
    uint32_t holds;       /* the driver's: what it still has to bring to its end, in bounded time */
    uint32_t errands;     /* jobs in the blocking pool and file operations, under way */
    bool counted_busy;    /* in weir_shards.busy */
    uint64_t stall_cycles; /* a fiber that ran longer is reported */
    uint64_t stall_quiet;  /* no more reports until then */

    /* --- counters; `fibers` is kept in root and stacks too, see shard.c --- */
    struct weir_shard_stats stats;

    /* --- net/ keeps its stack here --- */
    void *net;

    /* Targets that calls_flush has something for: bit i of word i / 64. */
    uint64_t dirty[WEIR_SHARDS_MAX / 64];
    uint64_t dirty_words; /* bit i: dirty[i] is not 0 */

    /* Set by the sleeper, read by those who might have to wake it; pairs with calls_flush. */
    _Alignas(64) _Atomic bool asleep;
    struct weir_mail *_Atomic mail; /* from any thread: mail.h; the last one first */
    _Atomic uint32_t load;          /* open connections; read by the acceptor of another shard */

    struct weir_pause pause; /* of tests: behind all that is used otherwise */
};

/* The shard this thread is running right now, or NULL. */
extern _Thread_local struct weir_shard *weir_shard_current
    __attribute__((tls_model("initial-exec")));

/* How the two below end the program. */
_Noreturn void weir_shard_missing(const char *call);
_Noreturn void weir_shard_foreign(const struct weir_shard *shard, const char *what);

/* The same for functions that need one: ends the program with a sentence when there is none. */
static inline struct weir_shard *weir_shard_here(const char *call)
{
    struct weir_shard *shard = weir_shard_current;

    if (weir_unlikely(!shard))
        weir_shard_missing(call);
    return shard;
}

/* Ends the program with a sentence when `shard` is not the one that runs. */
static inline void weir_shard_check(const struct weir_shard *shard, const char *what)
{
    if (weir_unlikely(shard != weir_shard_current))
        weir_shard_foreign(shard, what);
}

int weir_shard_init(struct weir_shard *shard, unsigned id, struct weir_shards *all,
                    const struct weir_config *config);

/* Spawns the main fiber; pump with weir_shard_turn afterwards. */
int weir_shard_start(struct weir_shard *shard, void (*shard_main)(void *arg), void *arg);

/* One turn of the loop; true when it did anything.  May sleep as the poll mode says. */
bool weir_shard_turn(struct weir_shard *shard);

/* For drivers, see poll(): the shard's clock moves on to now, and nobody needs to wake it. */
static inline void weir_shard_awake(struct weir_shard *shard)
{
    atomic_store_explicit(&shard->asleep, false, memory_order_relaxed);
    shard->now = shard->clock(shard);
}

/* Stops its clock, as weir_pause does, once it has its driver. */
void weir_shard_pause(struct weir_shard *shard);

/* Nothing is under way on any shard, and nothing can come any more. */
bool weir_shards_over(const struct weir_shards *shards);

/* Raises the stop level and wakes everybody; from any thread, also from a signal handler. */
void weir_shards_stop(struct weir_shards *shards, int level);

int weir_shards_init(struct weir_shards *shards, unsigned count, const struct weir_config *config);
void weir_shards_free(struct weir_shards *shards);

void weir_shard_free(struct weir_shard *shard);

/* Lists the fibers of a shard in the log: name, spawn site, what they await, since when. */
void weir_shard_dump(struct weir_shard *shard);

static inline uint64_t weir_shard_random(struct weir_shard *shard)
{
    /* xoroshiro128++ by Blackman and Vigna (prng.di.unimi.it), public domain. */
    uint64_t a = shard->random[0], b = shard->random[1];
    uint64_t sum = a + b, result = ((sum << 17) | (sum >> 47)) + a;

    b ^= a;
    shard->random[0] = ((a << 49) | (a >> 15)) ^ b ^ (b << 21);
    shard->random[1] = (b << 28) | (b >> 36);
    return result;
}

#endif
