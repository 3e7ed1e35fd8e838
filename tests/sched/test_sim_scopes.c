/* test_sim_scopes.c - scopes over many seeds: nothing outlives a join, bounds hold, cancel reaches
 * all that is below. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "tests/seeds.h"

enum { FIBERS_MAX = 200 };

static void run(uint64_t seed, void (*shard_main)(void *arg))
{
    struct weir_sim_config config;
    int arg = 0;

    weir_sim_config_init(&config);
    config.seed = seed;
    config.shards = 1 + (unsigned)(seed % 2);
    config.fibers_max = FIBERS_MAX;
    config.limit = WEIR_SEC(1000);
    check_int(weir_sim_run(&config, shard_main, &arg), 0);
}

/* --- a random tree of fibers: when a join returns, all below it have ended --- */

struct node {
    struct node *parent;
    int depth;
    int living; /* of its children and their children ... */
};

static void count_below(struct node *node, int change)
{
    for (; node != NULL; node = node->parent)
        node->living += change;
}

static void tree_child(void *arg);

/* Spawns children with nodes of their own (in this frame) and joins them. */
static void tree_grow(struct node *node)
{
    struct node child[4];
    struct weir_scope scope;
    int64_t count = node->depth < 4 ? random_in(0, 4) : 0;

    weir_scope_init(&scope);
    for (int64_t i = 0; i < count; i++) {
        int error;

        child[i] = (struct node){ .parent = node, .depth = node->depth + 1 };
        count_below(node, 1);
        error = weir_spawn(&scope, tree_child, &child[i]);
        if (error != 0) {
            check(error == -EAGAIN || (error == -ECANCELED && scope.cancelled));
            count_below(node, -1);
        }
        if (weir_random(3) == 0)
            weir_yield();
    }
    switch (weir_random(4)) {
    case 0:
        check(weir_scope_join(&scope, weir_after(random_in(0, WEIR_MS(5)))) <= 0);
        break;
    case 1:
        weir_scope_cancel(&scope);
        check_int(weir_spawn(&scope, tree_child, NULL), -ECANCELED);
        check(weir_scope_join(&scope, WEIR_NEVER) <= 0);
        break;
    default:
        check(weir_scope_join(&scope, WEIR_NEVER) == (weir_cancelled() ? -ECANCELED : 0) ||
              weir_cancelled());
    }
    check_int(node->living, 0);
}

static void tree_child(void *arg)
{
    struct node *node = arg;
    int slept = weir_sleep(random_in(0, WEIR_MS(3)));

    check(slept == (weir_cancelled() ? -ECANCELED : 0) || (slept == 0 && weir_cancelled()));
    tree_grow(node);
    count_below(node->parent, -1);
}

static void tree_main(void *arg)
{
    (void)arg;
    for (int i = 0; i < 3; i++) {
        struct node root = { 0 };
        struct weir_shard_stats stats;

        tree_grow(&root);
        weir_shard_stats(&stats);
        check_int((int64_t)stats.fibers, 1);
    }
}

static void tree_seed(uint64_t seed)
{
    run(seed, tree_main);
}

static void nothing_outlives_a_join(void **state)
{
    (void)state;
    seeds_each(1000, tree_seed);
}

/* --- bounds, at their edge --- */

static void until_cancelled(void *arg)
{
    int *living = arg;

    ++*living;
    check_int(weir_sleep_until(WEIR_NEVER), -ECANCELED);
    check(weir_cancelled());
    check_int(weir_sleep(WEIR_MS(1)), -ECANCELED); /* sticky */
    --*living;
}

static void one_step(void *arg)
{
    (void)arg;
}

static void bounds_main(void *arg)
{
    struct weir_scope scope, brief;
    struct weir_shard_stats stats;
    int living = 0;
    uint32_t max = (uint32_t)random_in(1, 20);

    (void)arg;
    weir_scope_init(&scope);
    weir_scope_limit(&scope, max);
    for (uint32_t i = 0; i < max; i++)
        check_int(weir_spawn(&scope, until_cancelled, &living), 0);
    check_int(weir_spawn(&scope, until_cancelled, &living), -EAGAIN);

    /* The shard's bound: this fiber and those in the scope count. */
    weir_scope_init(&brief);
    weir_shard_stats(&stats);
    check_int((int64_t)stats.fibers, 1 + max);
    for (uint32_t i = 1 + max; i < FIBERS_MAX; i++)
        check_int(weir_spawn(&brief, one_step, NULL), 0);
    check_int(weir_spawn(&brief, one_step, NULL), -EAGAIN);
    check_int(weir_scope_join(&brief, WEIR_NEVER), 0);
    check_int(weir_spawn(&brief, one_step, NULL), 0);
    check_int(weir_scope_join(&brief, WEIR_NEVER), 0);

    while (living < (int)max) /* a fiber that never began is cancelled all the same; see below */
        weir_yield();
    weir_scope_cancel(&scope);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    check_int(living, 0);
    check_int(weir_spawn(&scope, one_step, NULL), 0); /* may be used again */
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
}

static void bounds_seed(uint64_t seed)
{
    run(seed, bounds_main);
}

static void bounds_refuse_and_recover(void **state)
{
    (void)state;
    seeds_each(200, bounds_seed);
}

/* --- the deadline of a join --- */

static void lingers(void *arg)
{
    weir_time *ended = arg;

    check_int(weir_sleep_until(WEIR_NEVER), -ECANCELED);
    for (int i = 0; i < 10; i++)
        weir_yield(); /* clean-up that takes turns */
    *ended = weir_now();
}

static void deadline_main(void *arg)
{
    struct weir_scope scope;
    weir_time ended[5] = { 0 }, deadline = weir_after(random_in(0, WEIR_MS(10)));

    (void)arg;
    weir_scope_init(&scope);
    for (int i = 0; i < 5; i++)
        check_int(weir_spawn(&scope, lingers, &ended[i]), 0);
    check_int(weir_scope_join(&scope, deadline), -ETIMEDOUT);
    check(weir_now() >= deadline && weir_now() < deadline + WEIR_MS(1));
    for (int i = 0; i < 5; i++)
        check(ended[i] >= deadline);
    check(!weir_cancelled()); /* the children were, not we */
}

static void deadline_seed(uint64_t seed)
{
    run(seed, deadline_main);
}

static void a_join_at_its_deadline_cancels_and_waits(void **state)
{
    (void)state;
    seeds_each(300, deadline_seed);
}

/* --- cancel reaches all that is below, however deep --- */

enum { DEPTH = 150 };

static void chain(void *arg)
{
    int *depth = arg;
    struct weir_scope scope;

    weir_scope_init(&scope);
    if (++*depth < DEPTH)
        check_int(weir_spawn(&scope, chain, depth), 0);
    else
        check_int(weir_sleep_until(WEIR_NEVER), -ECANCELED);
    check_int(weir_scope_join(&scope, WEIR_NEVER), *depth < DEPTH ? -ECANCELED : 0);
    check(weir_cancelled());
    --*depth;
}

static void chain_main(void *arg)
{
    struct weir_scope scope;
    int depth = 0;

    (void)arg;
    weir_scope_init(&scope);
    check_int(weir_spawn(&scope, chain, &depth), 0);
    while (depth < DEPTH)
        weir_yield();
    weir_scope_cancel(&scope);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    check_int(depth, 0);
}

static void chain_seed(uint64_t seed)
{
    run(seed, chain_main);
}

static void cancel_goes_down_a_deep_chain(void **state)
{
    (void)state;
    seeds_each(50, chain_seed);
}

/* --- a fiber that is cancelled before it first ran runs all the same: it owns its argument --- */

static void runs_cancelled(void *arg)
{
    check(weir_cancelled());
    check_int(weir_sleep(WEIR_SEC(1)), -ECANCELED);
    ++*(int *)arg;
}

static void early_main(void *arg)
{
    struct weir_scope scope;
    int ran = 0;

    (void)arg;
    weir_scope_init(&scope);
    for (int i = 0; i < 5; i++)
        check_int(weir_spawn(&scope, runs_cancelled, &ran), 0);
    weir_scope_cancel(&scope);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    check_int(ran, 5);
}

static void early_seed(uint64_t seed)
{
    run(seed, early_main);
}

static void a_fiber_cancelled_early_still_runs(void **state)
{
    (void)state;
    seeds_each(50, early_seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_outlives_a_join),
        cmocka_unit_test(bounds_refuse_and_recover),
        cmocka_unit_test(a_join_at_its_deadline_cancels_and_waits),
        cmocka_unit_test(cancel_goes_down_a_deep_chain),
        cmocka_unit_test(a_fiber_cancelled_early_still_runs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
