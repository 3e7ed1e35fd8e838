/* crowd.h - many fibers in the simulation that wait, give up and are cancelled at any moment.
 *
 * Inline, since no test calls all of it. */
#ifndef WEIR_TESTS_SCHED_CROWD_H
#define WEIR_TESTS_SCHED_CROWD_H

#include "core/list.h"
#include "tests/seeds.h"

enum { SHARDS = 2, ACTORS = 8, STEPS = 12 };

static inline void run(uint64_t seed, void (*shard_main)(void *arg))
{
    struct weir_sim_config config;

    weir_sim_config_init(&config);
    config.seed = seed;
    config.shards = SHARDS;
    config.limit = WEIR_SEC(100);
    check_int(weir_sim_run(&config, shard_main, NULL), 0);
}

static inline void linger(void)
{
    if (weir_random(2) == 0)
        weir_sleep(random_in(0, WEIR_US(300)));
}

static inline weir_time some_time(void)
{
    return weir_random(3) == 0 ? WEIR_NEVER : weir_after(random_in(-1, WEIR_US(400)));
}

/* Why a wait may end without what it was for. */
static inline void gave_up(int64_t error)
{
    check(error == -ETIMEDOUT || (error == -ECANCELED && weir_cancelled()));
}

static inline int64_t list_length(const struct weir_link *head)
{
    int64_t length = 0;

    for (const struct weir_link *link = head->next; link != head; link = link->next)
        length++;
    return length;
}

/* Actors, some of which are cancelled on the way, and all that are left in the end. */
static inline void play(void (*act)(void *arg), void *world)
{
    struct weir_scope scope[ACTORS];

    for (int i = 0; i < ACTORS; i++) {
        weir_scope_init(&scope[i]);
        check_int(weir_spawn(&scope[i], act, world), 0);
    }
    for (uint64_t i = weir_random(ACTORS); i > 0; i--) {
        linger();
        weir_scope_cancel(&scope[weir_random(ACTORS)]);
    }
    for (int i = 0; i < ACTORS; i++)
        weir_scope_join(&scope[i], weir_after(WEIR_MS(2)));
}

/* The same without anybody who gives up: what is lost shows as a deadlock. */
static inline void play_patiently(void (*act)(void *arg), void *world)
{
    struct weir_scope scope;

    weir_scope_init(&scope);
    for (int i = 0; i < ACTORS; i++)
        check_int(weir_spawn(&scope, act, world), 0);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
}

#endif
