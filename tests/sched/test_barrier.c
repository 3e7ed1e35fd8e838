/* test_barrier.c - n at a time: who leads, who is counted, and again. */
#include "tests/sched/run.h"
#include <weir/event.h>

struct comer {
    struct weir_barrier *barrier;
    weir_time deadline;
    int result; /* 2: still waits */
};

static void come(void *arg)
{
    struct comer *c = arg;

    c->result = weir_barrier_wait(c->barrier, c->deadline);
}

static void comer_start(struct weir_scope *scope, struct comer *c, struct weir_barrier *barrier,
                        weir_time deadline)
{
    *c = (struct comer){ barrier, deadline, 2 };
    check_int(weir_spawn(scope, come, c), 0);
    weir_yield();
}

static void the_last_to_come_leads(void *arg)
{
    struct weir_barrier barrier;
    struct weir_scope scope;
    struct comer c[2];

    (void)arg;
    weir_barrier_init(&barrier, 3);
    weir_scope_init(&scope);
    comer_start(&scope, &c[0], &barrier, WEIR_NEVER);
    comer_start(&scope, &c[1], &barrier, WEIR_NEVER);
    check(c[0].result == 2 && c[1].result == 2);
    check_int(weir_barrier_wait(&barrier, weir_now()), 1); /* which does not wait */
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    check(c[0].result == 0 && c[1].result == 0);
}

static void a_barrier_for_one_or_none_holds_nobody(void *arg)
{
    struct weir_barrier barrier;

    (void)arg;
    for (uint32_t n = 0; n < 2; n++) {
        weir_barrier_init(&barrier, n);
        for (int i = 0; i < 3; i++)
            check_int(weir_barrier_wait(&barrier, weir_now()), 1);
    }
}

static void who_gives_up_is_not_counted(void *arg)
{
    struct weir_barrier barrier;
    struct weir_scope scope, cancelled;
    struct comer gone[2], c[2];

    (void)arg;
    weir_barrier_init(&barrier, 3);
    weir_scope_init(&scope);
    weir_scope_init(&cancelled);
    comer_start(&scope, &gone[0], &barrier, weir_after(WEIR_US(100)));
    comer_start(&cancelled, &gone[1], &barrier, WEIR_NEVER);
    check_int(weir_sleep(WEIR_MS(1)), 0);
    check_int(gone[0].result, -ETIMEDOUT);
    weir_scope_cancel(&cancelled); /* out before it has run */
    comer_start(&scope, &c[0], &barrier, WEIR_NEVER);
    check_int(weir_barrier_wait(&barrier, weir_now()), -ETIMEDOUT);
    comer_start(&scope, &c[1], &barrier, WEIR_NEVER);
    check(c[0].result == 2 && c[1].result == 2);
    check_int(weir_barrier_wait(&barrier, WEIR_NEVER), 1);
    check_int(weir_scope_join(&cancelled, WEIR_NEVER), 0);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    check_int(gone[1].result, -ECANCELED);
    check(c[0].result == 0 && c[1].result == 0);
    check(barrier.waiting == 0 && weir_list_empty(&barrier.waiters));
}

static void having_passed_before_the_cancel_counts(void *arg)
{
    struct weir_barrier barrier;
    struct weir_scope scope;
    struct comer c;

    (void)arg;
    weir_barrier_init(&barrier, 2);
    weir_scope_init(&scope);
    comer_start(&scope, &c, &barrier, WEIR_NEVER);
    check_int(weir_barrier_wait(&barrier, WEIR_NEVER), 1);
    weir_scope_cancel(&scope);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    check_int(c.result, 0);
    check_int(weir_barrier_wait(&barrier, weir_now()), -ETIMEDOUT); /* a new round */
}

/* The next round fills up before those of the last have run. */
static void rounds_do_not_mix(void *arg)
{
    struct weir_barrier barrier;
    struct weir_scope scope;
    struct comer c;

    (void)arg;
    weir_barrier_init(&barrier, 2);
    weir_scope_init(&scope);
    comer_start(&scope, &c, &barrier, WEIR_NEVER);
    check_int(weir_barrier_wait(&barrier, weir_now()), 1);
    check_int(c.result, 2);                                         /* has not run yet */
    check_int(weir_barrier_wait(&barrier, weir_now()), -ETIMEDOUT); /* and is not counted here */
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    check_int(c.result, 0);
}

enum { PARTIES = 5, ROUNDS = 40 };

static struct rounds {
    struct weir_barrier barrier;
    int come[ROUNDS], led[ROUNDS];
} rounds;

static void go_round(void *arg)
{
    (void)arg;
    for (int i = 0; i < ROUNDS; i++) {
        int result;

        rounds.come[i]++;
        result = weir_barrier_wait(&rounds.barrier, WEIR_NEVER);
        check(result == 0 || result == 1);
        check_int(rounds.come[i], PARTIES); /* nobody goes on before all have come */
        rounds.led[i] += result;
    }
}

static void it_serves_round_after_round(void *arg)
{
    struct weir_scope scope;

    (void)arg;
    rounds = (struct rounds){ .come = { 0 } };
    weir_barrier_init(&rounds.barrier, PARTIES);
    weir_scope_init(&scope);
    for (int i = 0; i < PARTIES; i++)
        check_int(weir_spawn(&scope, go_round, NULL), 0);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    for (int i = 0; i < ROUNDS; i++)
        check_int(rounds.led[i], 1);
}

static int64_t come_there(void *arg)
{
    return weir_barrier_wait(arg, WEIR_NEVER);
}

static void come_elsewhere(void *arg)
{
    struct weir_barrier barrier;

    (void)arg;
    weir_barrier_init(&barrier, 2);
    check_int(weir_barrier_wait(&barrier, weir_now()), -ETIMEDOUT);
    weir_call(1 - weir_shard_id(), come_there, &barrier, WEIR_NEVER);
}

static void run_elsewhere(void *arg)
{
    run_shards(2, come_elsewhere, arg);
}

static void test_misuse_ends_with_a_sentence(void **state)
{
    (void)state;
    assert_panics(run_elsewhere, NULL, "weir_barrier_wait: this object belongs to shard");
}

#define CASE(name)                                   \
    static void test_##name(void **state)            \
    {                                                \
        (void)state;                                 \
        assert_int_equal(run_paused(name, NULL), 0); \
    }

CASE(the_last_to_come_leads)
CASE(a_barrier_for_one_or_none_holds_nobody)
CASE(who_gives_up_is_not_counted)
CASE(having_passed_before_the_cancel_counts)
CASE(rounds_do_not_mix)
CASE(it_serves_round_after_round)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_last_to_come_leads),
        cmocka_unit_test(test_a_barrier_for_one_or_none_holds_nobody),
        cmocka_unit_test(test_who_gives_up_is_not_counted),
        cmocka_unit_test(test_having_passed_before_the_cancel_counts),
        cmocka_unit_test(test_rounds_do_not_mix),
        cmocka_unit_test(test_it_serves_round_after_round),
        cmocka_unit_test(test_misuse_ends_with_a_sentence),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
