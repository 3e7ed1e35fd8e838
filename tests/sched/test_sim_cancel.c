/* test_sim_cancel.c - cancels and deadlines at random moments, over many seeds: every wait ends
 * once, with a result that was given or a reason that is true, and nothing is lost on the way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "core/list.h"
#include "tests/seeds.h"

enum { SHARDS = 2, UNITS = 5, ROUNDS = 12 };

/* What the fibers of one shard share. */
struct world {
    struct weir_sem sem;
    struct weir_mutex mutex;
    int64_t units; /* taken from sem */
    int in_mutex;
    uint64_t produced;       /* values given by slow futures ... */
    uint64_t received;       /* ... and seen by who awaited them */
    struct weir_link scopes; /* that may be cancelled by chaos */
};

static struct world world_of[SHARDS];

static struct world *world_here(void)
{
    return &world_of[weir_shard_id()];
}

/* A reason is true. */
static void check_reason(int64_t result, weir_time deadline)
{
    if (result == -ETIMEDOUT)
        check(weir_now() >= deadline);
    else if (result == -ECANCELED)
        check(weir_cancelled());
    else
        check(result >= 0);
}

static weir_time some_deadline(void)
{
    return weir_random(2) == 0 ? WEIR_NEVER : weir_after(random_in(0, WEIR_MS(1)));
}

/* --- a producer that is in no hurry, also when it is cancelled --- */

struct slow {
    struct weir_future future;
    struct weir_alarm alarm;
    struct world *world;
    int64_t value;
};

static void slow_fire(struct weir_alarm *alarm)
{
    struct slow *slow = weir_container_of(alarm, struct slow, alarm);
    bool withdrawn = slow->future.cancelled && weir_random(2) == 0;

    if (!withdrawn)
        slow->world->produced++;
    weir_future_set(&slow->future, withdrawn ? -ECANCELED : slow->value);
}

static void slow_cancel(struct weir_future *future)
{
    struct slow *slow = weir_container_of(future, struct slow, future);

    if (weir_random(2) == 0) { /* at once */
        weir_alarm_clear(&slow->alarm);
        weir_future_set(future, -ECANCELED);
    } else {
        weir_alarm_set(&slow->alarm, weir_after(random_in(0, WEIR_MS(1))));
    }
}

static void slow_start(struct slow *slow)
{
    slow->world = world_here();
    slow->value = random_in(0, 1000);
    weir_future_init(&slow->future, slow_cancel);
    weir_alarm_init(&slow->alarm, slow_fire);
    weir_alarm_set(&slow->alarm, weir_after(random_in(0, WEIR_MS(1))));
}

static void slow_received(const struct slow *slow)
{
    check(slow->future.done);
    if (slow->future.result == -ECANCELED)
        return;
    check_int(slow->future.result, slow->value);
    slow->world->received++;
}

static void op_await(void)
{
    struct slow slow;
    weir_time deadline = some_deadline();
    int64_t result;

    slow_start(&slow);
    result = weir_await(&slow.future, deadline);
    check_reason(result, deadline);
    check(result < 0 || result == slow.value);
    slow_received(&slow);
}

static void op_await_all(void)
{
    struct slow slow[3];
    weir_time deadline = some_deadline();
    int result;

    for (int i = 0; i < 3; i++)
        slow_start(&slow[i]);
    result = weir_await_all(deadline, &slow[0].future, &slow[1].future, &slow[2].future);
    check_reason(result, deadline);
    for (int i = 0; i < 3; i++) {
        slow_received(&slow[i]);
        check(result < 0 || slow[i].future.result == slow[i].value);
    }
}

static void op_race(void)
{
    struct slow slow[3];
    weir_time deadline = some_deadline();
    int winner;

    for (int i = 0; i < 3; i++)
        slow_start(&slow[i]);
    winner = weir_race(deadline, &slow[0].future, &slow[1].future, &slow[2].future);
    check_reason(winner, deadline);
    check(winner < 3);
    check(winner < 0 || slow[winner].future.result == slow[winner].value);
    for (int i = 0; i < 3; i++)
        slow_received(&slow[i]);
}

/* The losers stay pending and are awaited one by one. */
static void op_await_any(void)
{
    struct slow slow[3];
    weir_time deadline = some_deadline();
    int winner;

    for (int i = 0; i < 3; i++)
        slow_start(&slow[i]);
    winner = weir_await_any(deadline, &slow[0].future, &slow[1].future, &slow[2].future);
    check_reason(winner, deadline);
    check(winner < 0 || slow[winner].future.done);
    for (int i = 0; i < 3; i++) {
        if (weir_random(2) == 0)
            weir_future_cancel(&slow[i].future);
        weir_await(&slow[i].future, some_deadline());
        slow_received(&slow[i]);
    }
}

/* --- units of a semaphore are held or there, never lost --- */

static void op_sem(void)
{
    struct world *world = world_here();
    int64_t n = random_in(1, UNITS);
    weir_time deadline = some_deadline();
    int result = weir_random(4) == 0 ? (weir_sem_try(&world->sem, n) ? 0 : 1)
                                     : weir_sem_wait(&world->sem, n, deadline);

    if (result == 1)
        return;
    check_reason(result, deadline);
    if (result < 0)
        return;
    world->units += n;
    check(world->units + world->sem.count <= UNITS); /* less: granted to who has not run yet */
    weir_sleep(random_in(0, WEIR_MS(1)));
    world->units -= n;
    weir_sem_post(&world->sem, n);
}

static void op_mutex(void)
{
    struct world *world = world_here();
    weir_time deadline = some_deadline();
    int result = weir_mutex_lock(&world->mutex, deadline);

    check_reason(result, deadline);
    if (result < 0)
        return;
    check_int(world->in_mutex++, 0);
    weir_sleep(random_in(0, WEIR_US(200)));
    check_int(--world->in_mutex, 0);
    weir_mutex_unlock(&world->mutex);
}

/* --- a call whose fiber does all of this over there --- */

static void op_random(int depth);

static int64_t call_there(void *arg)
{
    op_random(*(int *)arg);
    return 1;
}

static void op_call(int depth)
{
    weir_time deadline = some_deadline();
    int64_t result = weir_call((unsigned)weir_random(SHARDS), call_there, &depth, deadline);

    check(result == 1 || result == -ETIMEDOUT || result == -ECANCELED || result == -EAGAIN);
    if (result != -EAGAIN)
        check_reason(result, deadline);
}

/* --- a scope that chaos may cancel --- */

struct target {
    struct weir_link link;
    struct weir_scope scope;
    int depth, living;
};

static void target_child(void *arg)
{
    struct target *target = arg;

    for (int i = 0; i < 3; i++)
        op_random(target->depth);
    target->living--;
}

static void op_scope(int depth)
{
    struct target target = { .depth = depth };
    int result;

    weir_scope_init(&target.scope);
    weir_list_push(&world_here()->scopes, &target.link);
    for (int64_t i = random_in(0, 3); i > 0; i--)
        if (weir_spawn(&target.scope, target_child, &target) == 0)
            target.living++;
    if (weir_random(4) == 0)
        weir_yield();
    result = weir_scope_join(&target.scope, some_deadline());
    check(result == 0 || result == -ETIMEDOUT || (result == -ECANCELED && weir_cancelled()));
    check_int(target.living, 0);
    weir_list_del(&target.link);
}

static void op_random(int depth)
{
    switch (weir_random(depth > 0 ? 8 : 6)) {
    case 0:
        op_await();
        break;
    case 1:
        op_await_all();
        break;
    case 2:
        op_race();
        break;
    case 3:
        op_await_any();
        break;
    case 4:
        op_sem();
        break;
    case 5:
        op_mutex();
        break;
    case 6:
        op_scope(depth - 1);
        break;
    default:
        op_call(depth - 1);
    }
}

/* --- the program --- */

static void worker(void *arg)
{
    (void)arg;
    for (int i = 0; i < ROUNDS; i++)
        op_random(3);
}

/* Cancels scopes at random until it is cancelled itself. */
static void chaos(void *arg)
{
    struct world *world = arg;

    while (weir_sleep(random_in(0, WEIR_US(500))) == 0) {
        struct weir_link *link = world->scopes.next;

        for (int64_t skip = random_in(0, 3); skip > 0 && link != &world->scopes; skip--)
            link = link->next;
        if (link != &world->scopes)
            weir_scope_cancel(&weir_container_of(link, struct target, link)->scope);
    }
}

static void cancel_main(void *arg)
{
    struct world *world = world_here();
    struct weir_scope workers, stirrer;

    (void)arg;
    weir_scope_init(&workers);
    weir_scope_init(&stirrer);
    check_int(weir_spawn(&stirrer, chaos, world), 0);
    for (int i = 0; i < 6; i++)
        check_int(weir_spawn(&workers, worker, NULL), 0);
    check(weir_scope_join(&workers, weir_random(2) ? WEIR_NEVER : weir_after(WEIR_MS(3))) <= 0);
    weir_scope_cancel(&stirrer);
    check_int(weir_scope_join(&stirrer, WEIR_NEVER), 0);
}

static void cancel_seed(uint64_t seed)
{
    struct weir_sim_config config;

    for (int i = 0; i < SHARDS; i++) {
        world_of[i] = (struct world){ 0 };
        weir_sem_init(&world_of[i].sem, UNITS);
        weir_mutex_init(&world_of[i].mutex);
        weir_list_init(&world_of[i].scopes);
    }
    weir_sim_config_init(&config);
    config.seed = seed;
    config.shards = SHARDS;
    config.fibers_max = 100;
    config.limit = WEIR_SEC(100);
    check_int(weir_sim_run(&config, cancel_main, NULL), 0);
    for (int i = 0; i < SHARDS; i++) {
        check_int(world_of[i].sem.count, UNITS);
        check_int(world_of[i].units, 0);
        check(weir_list_empty(&world_of[i].sem.waiters));
        check(world_of[i].mutex.owner == NULL && world_of[i].mutex.sem.count == 1);
        check(world_of[i].produced == world_of[i].received);
    }
}

static void every_wait_ends_once_and_truly(void **state)
{
    (void)state;
    seeds_each(1000, cancel_seed);
}

/* --- semaphore: strictly in order of asking --- */

enum { ASKERS = 30 };

struct asker {
    struct weir_sem *sem;
    int *next, *given; /* in order of asking; in order of getting */
    int64_t n;
};

static void asks(void *arg)
{
    struct asker *asker = arg;
    int mine = (*asker->next)++;

    check_int(weir_sem_wait(asker->sem, asker->n, WEIR_NEVER), 0);
    /* Of those that were granted at once, any may run first; a bound on how far they mix: */
    check(*asker->given >= mine - UNITS && *asker->given <= mine + UNITS);
    ++*asker->given;
    check_int(weir_sleep(random_in(0, WEIR_US(300))), 0);
    weir_sem_post(asker->sem, asker->n);
}

static void asking_main(void *arg)
{
    struct weir_sem sem;
    struct weir_scope scope;
    struct asker asker[ASKERS];
    int next = 0, given = 0;

    (void)arg;
    weir_sem_init(&sem, UNITS);
    weir_scope_init(&scope);
    for (int i = 0; i < ASKERS; i++) {
        asker[i] = (struct asker){ &sem, &next, &given, random_in(1, UNITS) };
        check_int(weir_spawn(&scope, asks, &asker[i]), 0);
    }
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    check_int(sem.count, UNITS);
}

static void asking_seed(uint64_t seed)
{
    struct weir_sim_config config;

    weir_sim_config_init(&config);
    config.seed = seed;
    config.limit = WEIR_SEC(1);
    check_int(weir_sim_run(&config, asking_main, NULL), 0);
}

static void a_semaphore_serves_in_order(void **state)
{
    (void)state;
    seeds_each(300, asking_seed);
}

/* --- when a waiter gives up, those behind it may fit --- */

struct behind {
    struct weir_sem *sem;
    int64_t n;
    weir_time deadline, ended;
    int result;
};

static void waits_behind(void *arg)
{
    struct behind *behind = arg;

    behind->result = weir_sem_wait(behind->sem, behind->n, behind->deadline);
    behind->ended = weir_now();
}

static void behind_main(void *arg)
{
    struct weir_sem sem;
    struct weir_scope scope;
    struct behind big = { .sem = &sem, .n = 4, .deadline = weir_after(WEIR_MS(10)) };
    struct behind small = { .sem = &sem, .n = 2, .deadline = WEIR_NEVER };

    (void)arg;
    weir_sem_init(&sem, UNITS);
    weir_scope_init(&scope);
    check_int(weir_sem_wait(&sem, 3, WEIR_NEVER), 0);
    check_int(weir_spawn(&scope, waits_behind, &big), 0);
    while (weir_list_empty(&sem.waiters))
        weir_yield();
    check_int(weir_spawn(&scope, waits_behind, &small), 0);
    check_int(weir_sleep(WEIR_MS(20)), 0); /* and we have posted nothing */
    check_int(big.result, -ETIMEDOUT);
    check_int(small.result, 0);
    check(small.ended >= big.deadline && small.ended < big.deadline + WEIR_MS(1));
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    check_int(sem.count, 0);
}

static void behind_seed(uint64_t seed)
{
    struct weir_sim_config config;

    weir_sim_config_init(&config);
    config.seed = seed;
    config.limit = WEIR_SEC(1);
    check_int(weir_sim_run(&config, behind_main, NULL), 0);
}

static void those_behind_move_up(void **state)
{
    (void)state;
    seeds_each(50, behind_seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_wait_ends_once_and_truly),
        cmocka_unit_test(a_semaphore_serves_in_order),
        cmocka_unit_test(those_behind_move_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
