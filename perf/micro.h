/* micro.h - one small measurement: a name, and a function that does a thing n times.
 *
 * The function sets up, brackets what counts by micro_begin and micro_end, and cleans up.  It does
 * exactly what it is asked for, however long that takes: two runs that differ only in n differ in
 * instructions by the cost of the thing, which is what perf/instructions.py relies on. */
#ifndef WEIR_PERF_MICRO_H
#define WEIR_PERF_MICRO_H

#include <weir/runtime.h>
#include <time.h>

enum { MICRO_DEFAULT_SPIN = -1 }; /* micro.idle_spin: as weir_config_init has it */

/* One repetition. */
struct micro_run {
    uint64_t n;  /* in: how many times */
    uint64_t ns; /* out */
};

struct micro {
    const char *name;
    const char *what;
    void (*run)(struct micro_run *run);
    uint64_t n;      /* times per repetition, unless told otherwise */
    unsigned shards; /* 0: on a plain thread; else in the main fiber of shard 0 of so many */
    enum weir_poll poll;
    weir_time idle_spin;
    bool net;             /* with a network stack below, as weir_run has it */
    const char *ratio_to; /* a measurement beside which this one is put, or NULL */
};

extern const struct micro weir_micro_core[], weir_micro_sched[], weir_micro_cross[];
extern const size_t weir_micro_core_count, weir_micro_sched_count, weir_micro_cross_count;

/* The CPUs of shards 0 and 1; equal when there is only one. */
extern unsigned weir_micro_cpus[2];

static inline uint64_t micro_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static inline void micro_begin(struct micro_run *run)
{
    run->ns = micro_now();
}

static inline void micro_end(struct micro_run *run)
{
    run->ns = micro_now() - run->ns;
}

/* The compiler must not know what is in memory behind `p`. */
static inline void micro_touch(void *p)
{
    __asm__ volatile("" : : "r"(p) : "memory");
}

/* A sequence of numbers that is the same in every run. */
static inline uint64_t micro_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15); /* splitmix64 by Vigna, public domain */

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

#endif
