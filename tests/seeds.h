/* seeds.h - a simulation once per seed, and checks that name the seed when they fail.
 *
 *     WEIR_SEED=n   that one only: replays a failure
 *     WEIR_SEEDS=n  so many, from 1
 *     WEIR_LONG=1   twenty times as many as a quick run takes */
#ifndef WEIR_TESTS_SEEDS_H
#define WEIR_TESTS_SEEDS_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <weir/weir.h>
#include "core/base.h"

static uint64_t seed_now; /* the one that runs */

#define check(expr)                                                                    \
    (weir_likely(expr) ? (void)0                                                       \
                       : weir_panic("%s: WEIR_SEED=%llu: check failed: %s", WEIR_HERE, \
                                    (unsigned long long)seed_now, #expr))

/* The same for integers, with their values. */
#define check_int(have, want) check_int_at(have, want, #have " == " #want, WEIR_HERE)

static inline void check_int_at(int64_t have, int64_t want, const char *what, const char *where)
{
    if (have != want)
        weir_panic("%s: WEIR_SEED=%llu: check failed: %s: %lld, not %lld", where,
                   (unsigned long long)seed_now, what, (long long)have, (long long)want);
}

static inline uint64_t seed_env(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

/* Runs `body` for every seed; `quick` of them unless the environment says otherwise. */
static inline void seeds_each(uint64_t quick, void (*body)(uint64_t seed))
{
    uint64_t one = seed_env("WEIR_SEED", 0);
    uint64_t count = seed_env("WEIR_SEEDS", seed_env("WEIR_LONG", 0) ? 20 * quick : quick);

    for (seed_now = one ? one : 1; seed_now <= (one ? one : count); seed_now++)
        body(seed_now);
}

/* A uniform number in [from, to]. */
static inline int64_t random_in(int64_t from, int64_t to)
{
    return from + (int64_t)weir_random((uint64_t)(to - from) + 1);
}

#endif
