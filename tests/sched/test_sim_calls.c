/* test_sim_calls.c - cross-shard calls over many seeds: credits, order, deadlines, cancels. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>
#include "tests/seeds.h"

enum { SHARDS = 4, CREDITS = 128 };

static void run(uint64_t seed, uint32_t fibers_max, void (*shard_main)(void *arg))
{
    struct weir_sim_config config;

    weir_sim_config_init(&config);
    config.seed = seed;
    config.shards = SHARDS;
    config.fibers_max = fibers_max;
    config.limit = WEIR_SEC(100);
    check_int(weir_sim_run(&config, shard_main, NULL), 0);
}

static unsigned other_shard(void)
{
    return (weir_shard_id() + 1 + (unsigned)weir_random(SHARDS - 1)) % SHARDS;
}

/* --- bursts beyond the credits, all pairs at once --- */

enum { BURST = 300 };

struct burst_call {
    struct weir_call call;
    unsigned from, to, order;
    int ran;
    bool brief;
};

static int burst_under_way[SHARDS][SHARDS];  /* [from][to], started but not ended over there */
static unsigned burst_order[SHARDS][SHARDS]; /* the last one that was started over there */

/* Requests of one pair are served in the order of their start; briefs run in that order. */
static void burst_began(struct burst_call *burst)
{
    check_int(weir_shard_id(), burst->to);
    check_int(burst->ran++, 0);
    check(++burst_under_way[burst->from][burst->to] <= CREDITS);
}

static int64_t burst_ended(struct burst_call *burst)
{
    burst_under_way[burst->from][burst->to]--;
    return burst->order;
}

static int64_t burst_brief(void *arg)
{
    struct burst_call *burst = arg;

    burst_began(burst);
    check(burst->order > burst_order[burst->from][burst->to]);
    burst_order[burst->from][burst->to] = burst->order;
    return burst_ended(burst);
}

static int64_t burst_suspends(void *arg)
{
    struct burst_call *burst = arg;

    burst_began(burst);
    if (weir_random(2) == 0)
        check_int(weir_sleep(random_in(0, WEIR_MS(2))), 0);
    return burst_ended(burst);
}

static void burst_start(struct burst_call *burst, unsigned to, unsigned order)
{
    *burst = (struct burst_call){ .from = weir_shard_id(), .to = to, .order = order };
    burst->brief = weir_random(2) == 0;
    if (burst->brief)
        weir_call_brief_start(&burst->call, to, burst_brief, burst);
    else
        weir_call_start(&burst->call, to, burst_suspends, burst);
}

static void burst_main(void *arg)
{
    struct burst_call *burst = calloc(SHARDS * BURST, sizeof *burst);
    unsigned me = weir_shard_id();

    (void)arg;
    check(burst != NULL);
    memset(burst_under_way[me], 0, sizeof burst_under_way[me]);
    memset(burst_order[me], 0, sizeof burst_order[me]);
    for (unsigned order = 1; order <= BURST; order++)
        for (unsigned i = 0; i < SHARDS; i++)
            if (i != me)
                burst_start(&burst[i * BURST + order - 1], i, order);
    for (unsigned i = 0; i < SHARDS * BURST; i++) {
        if (i / BURST == me)
            continue;
        check_int(weir_await(&burst[i].call.future, WEIR_NEVER), burst[i].order);
        check_int(burst[i].ran, 1);
    }
    free(burst);
}

static void burst_seed(uint64_t seed)
{
    run(seed, 1 + SHARDS * CREDITS, burst_main);
}

static void bursts_wait_for_credits_in_order(void **state)
{
    (void)state;
    seeds_each(60, burst_seed);
}

/* --- a call to the own shard --- */

static int64_t own_brief(void *arg)
{
    return (int)weir_shard_id() + *(int *)arg;
}

static int64_t own_suspends(void *arg)
{
    if (weir_sleep(WEIR_MS(1)) == -ECANCELED)
        return -ECANCELED;
    return own_brief(arg);
}

static void own_main(void *arg)
{
    unsigned me = weir_shard_id();
    int ten = 10;

    (void)arg;
    check_int(weir_call_brief(me, own_brief, &ten, WEIR_NEVER), me + 10);
    check_int(weir_call(me, own_suspends, &ten, WEIR_NEVER), me + 10);
    check_int(weir_call(me, own_suspends, &ten, weir_after(WEIR_US(10))), -ETIMEDOUT);
    check_int(weir_call(SHARDS, own_brief, &ten, WEIR_NEVER), -EINVAL);
    check_int(weir_call_brief(SHARDS, own_brief, &ten, WEIR_NEVER), -EINVAL);
}

static void own_seed(uint64_t seed)
{
    run(seed, 100, own_main);
}

static void calls_home_and_to_nowhere(void **state)
{
    (void)state;
    seeds_each(50, own_seed);
}

/* --- nested calls, back to the caller and on --- */

struct nest {
    unsigned caller;
    int depth;
};

/* Adds up one per level. */
static int64_t nest_call(void *arg)
{
    const struct nest *outer = arg;
    struct nest inner = { .caller = weir_shard_id(), .depth = outer->depth - 1 };
    unsigned to = weir_random(2) == 0 ? outer->caller : (unsigned)weir_random(SHARDS);
    int64_t below;

    if (outer->depth == 0)
        return 0;
    below = weir_call(to, nest_call, &inner, WEIR_NEVER);
    check(below >= 0);
    return 1 + below;
}

static void nest_fiber(void *arg)
{
    (void)arg;
    for (int i = 0; i < 3; i++) {
        struct nest nest = { .caller = weir_shard_id(), .depth = (int)random_in(0, 6) };

        check_int(weir_call(other_shard(), nest_call, &nest, WEIR_NEVER), nest.depth);
    }
}

static void nest_main(void *arg)
{
    struct weir_scope scope;

    weir_scope_init(&scope);
    for (int i = 0; i < 12; i++)
        check_int(weir_spawn(&scope, nest_fiber, arg), 0);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
}

static void nest_seed(uint64_t seed)
{
    run(seed, 1024, nest_main);
}

static void nested_calls_come_home(void **state)
{
    (void)state;
    seeds_each(300, nest_seed);
}

/* --- every fiber of a full pair calls back: their credits are others than ours --- */

static int64_t mutual_back(void *arg)
{
    return weir_shard_id() == *(unsigned *)arg;
}

static int64_t mutual_call(void *arg)
{
    check_int(weir_sleep(random_in(0, WEIR_MS(1))), 0);
    return weir_call(*(unsigned *)arg, mutual_back, arg, WEIR_NEVER);
}

static void mutual_main(void *arg)
{
    static struct weir_call call[SHARDS][2 * CREDITS];
    static unsigned id[SHARDS];
    unsigned me = weir_shard_id();

    (void)arg;
    id[me] = me;
    for (int i = 0; i < 2 * CREDITS; i++)
        weir_call_start(&call[me][i], (me + 1) % SHARDS, mutual_call, &id[me]);
    for (int i = 0; i < 2 * CREDITS; i++)
        check_int(weir_await(&call[me][i].future, WEIR_NEVER), 1);
}

static void mutual_seed(uint64_t seed)
{
    run(seed, 1024, mutual_main);
}

static void full_pairs_call_back(void **state)
{
    (void)state;
    seeds_each(100, mutual_seed);
}

/* --- deadlines and cancels in flight: the argument lives in the caller's frame until the end ---
 */

enum { ALIVE = 0x600d, DEAD = 0xdead };

struct flight {
    unsigned to;
    int state, ran;
    bool saw_cancel;
};

static int64_t flight_brief(void *arg)
{
    struct flight *flight = arg;

    check_int(flight->state, ALIVE);
    check_int(weir_shard_id(), flight->to);
    flight->ran++;
    return 7;
}

static int64_t flight_suspends(void *arg)
{
    struct flight *flight = arg;
    int slept;

    flight_brief(flight);
    slept = weir_sleep(random_in(0, WEIR_US(400)));
    if (slept < 0)
        check(slept == -ECANCELED && weir_cancelled());
    flight->saw_cancel = weir_cancelled();
    for (int i = 0; i < 3; i++)
        weir_yield();
    check_int(flight->state, ALIVE);
    return slept < 0 ? slept : 7;
}

/* Ends by being cancelled only. */
static int64_t flight_endless(void *arg)
{
    struct flight *flight = arg;

    flight_brief(flight);
    check_int(weir_sleep_until(WEIR_NEVER), -ECANCELED);
    flight->saw_cancel = true;
    check_int(flight->state, ALIVE);
    return -ECANCELED;
}

static void flight_check(const struct flight *flight, int64_t result, weir_time deadline)
{
    check(flight->ran <= 1);
    switch (result) {
    case 7:
        check_int(flight->ran, 1);
        break;
    case -ETIMEDOUT:
        check(weir_now() >= deadline);
        break;
    case -ECANCELED:
        check(weir_cancelled());
        break;
    default:
        check_int(result, 7);
    }
    if (flight->saw_cancel)
        check(weir_cancelled() || weir_now() >= deadline);
}

static void flight_start(struct weir_call *call, struct flight *flight, bool ends)
{
    switch (weir_random(ends ? 3 : 2)) {
    case 0:
        weir_call_brief_start(call, flight->to, flight_brief, flight);
        break;
    case 1:
        weir_call_start(call, flight->to, flight_suspends, flight);
        break;
    default:
        weir_call_start(call, flight->to, flight_endless, flight);
    }
}

static void flight_fiber(void *arg)
{
    (void)arg;
    for (int i = 0; i < 6; i++) {
        struct flight flight = { .to = (unsigned)weir_random(SHARDS), .state = ALIVE };
        weir_time deadline =
            weir_random(3) == 0 ? WEIR_NEVER : weir_after(random_in(0, WEIR_US(400)));
        struct weir_call call;

        flight_start(&call, &flight, deadline != WEIR_NEVER);
        flight_check(&flight, weir_await(&call.future, deadline), deadline);
        flight.state = DEAD;
        memset(&call, 0xa5, sizeof call); /* nobody looks at it any more */
    }
}

static void flight_main(void *arg)
{
    struct weir_scope scope;

    weir_scope_init(&scope);
    for (int i = 0; i < 200; i++) /* enough to be out of credits now and then */
        check_int(weir_spawn(&scope, flight_fiber, arg), 0);
    if (weir_random(2) == 0)
        check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    else
        check(weir_scope_join(&scope, weir_after(random_in(0, WEIR_MS(2)))) <= 0);
}

static void flight_seed(uint64_t seed)
{
    run(seed, 1024, flight_main);
}

static void deadlines_and_cancels_in_flight(void **state)
{
    (void)state;
    seeds_each(100, flight_seed);
}

/* --- fibers over there run out --- */

static int64_t holds(void *arg)
{
    ++*(int *)arg;
    return weir_sleep(WEIR_MS(5));
}

static void refused_main(void *arg)
{
    static struct weir_call call[20];
    static int ran;
    int granted = 0, refused = 0;

    (void)arg;
    if (weir_shard_id() != 0)
        return;
    ran = 0;
    for (size_t i = 0; i < WEIR_COUNT(call); i++)
        weir_call_start(&call[i], 1, holds, &ran);
    for (size_t i = 0; i < WEIR_COUNT(call); i++) {
        int64_t result = weir_await(&call[i].future, WEIR_NEVER);

        check(result == 0 || result == -EAGAIN);
        granted += result == 0;
        refused += result == -EAGAIN;
    }
    check(granted >= 9 && granted <= 10); /* shard 1's main may or may not have ended */
    check_int(granted + refused, WEIR_COUNT(call));
    check_int(ran, granted);
}

static void refused_seed(uint64_t seed)
{
    run(seed, 10, refused_main);
}

static void no_fiber_over_there(void **state)
{
    (void)state;
    seeds_each(50, refused_seed);
}

/* --- spawning over there --- */

static int spawned_ended[SHARDS];

static void spawned(void *arg)
{
    unsigned *expected = arg;

    check_int(weir_shard_id(), *expected);
    check_int(weir_sleep(random_in(0, WEIR_MS(50))), 0);
    spawned_ended[weir_shard_id()]++;
}

static void spawn_main(void *arg)
{
    static unsigned id[SHARDS] = { 0, 1, 2, 3 };

    (void)arg;
    for (unsigned i = 0; i < SHARDS; i++)
        check_int(weir_spawn_on(i, spawned, &id[i], WEIR_NEVER), 0);
    check_int(weir_spawn_on(SHARDS, spawned, NULL, WEIR_NEVER), -EINVAL);
}

static void spawn_seed(uint64_t seed)
{
    for (unsigned i = 0; i < SHARDS; i++)
        spawned_ended[i] = 0;
    run(seed, 100, spawn_main);
    for (unsigned i = 0; i < SHARDS; i++)
        check_int(spawned_ended[i], SHARDS); /* though every main had ended before */
}

static void spawning_on_other_shards(void **state)
{
    (void)state;
    seeds_each(100, spawn_seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bursts_wait_for_credits_in_order),
        cmocka_unit_test(calls_home_and_to_nowhere),
        cmocka_unit_test(nested_calls_come_home),
        cmocka_unit_test(full_pairs_call_back),
        cmocka_unit_test(deadlines_and_cancels_in_flight),
        cmocka_unit_test(no_fiber_over_there),
        cmocka_unit_test(spawning_on_other_shards),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
