/* test_sim_event.c - notify, event, barrier and once over many seeds: crowds of fibers that wait,
 * give up, are cancelled; what was handed out is what was had.
 *
 * What a call is about to do is told from the fields beforehand: nothing happens in between. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "tests/sched/crowd.h"

/* --- notify and event: as many waits end well as were handed something --- */

struct told {
    struct weir_notify notify;
    struct weir_event event;
    int64_t handed, had;      /* to those who waited; by them */
    int64_t remembered, used; /* by the notify; from it */
};

static void told_notify(struct told *t)
{
    if (weir_random(4) == 0) {
        t->handed += list_length(&t->notify.waiters);
        weir_notify_all(&t->notify);
    } else {
        if (!weir_list_empty(&t->notify.waiters))
            t->handed++;
        else if (!t->notify.permit)
            t->remembered++;
        weir_notify_one(&t->notify);
    }
}

static void told_wait_notify(struct told *t)
{
    bool at_once = t->notify.permit;
    int error = weir_notify_wait(&t->notify, some_time());

    if (at_once) {
        check_int(error, 0);
        t->used++;
    } else if (error == 0) {
        t->had++;
    } else {
        gave_up(error);
    }
}

static void told_set(struct told *t)
{
    if (weir_random(2) == 0) {
        weir_event_clear(&t->event);
        return;
    }
    t->handed += list_length(&t->event.waiters);
    weir_event_set(&t->event);
    if (weir_random(2) == 0)
        weir_event_clear(&t->event);
}

static void told_wait_event(struct told *t)
{
    bool at_once = weir_event_is_set(&t->event);
    int error = weir_event_wait(&t->event, some_time());

    if (at_once)
        check_int(error, 0);
    else if (error == 0)
        t->had++;
    else
        gave_up(error);
}

/* Each of two, and hands the one that lost on. */
static void told_race(struct told *t)
{
    bool at_once = t->notify.permit;
    struct weir_wait notified, set;
    int first;

    weir_notify_start(&notified, &t->notify);
    weir_event_start(&set, &t->event);
    if (set.future.done)
        t->had--; /* not one that waited */
    first = weir_race(some_time(), &notified.future, &set.future);
    if (first < 0)
        gave_up(first);
    check(notified.future.done && set.future.done);
    t->used += at_once && notified.future.result == 0;
    t->had += !at_once && notified.future.result == 0;
    t->had += set.future.result == 0;
    if (first == 1 && notified.future.result == 0)
        told_notify(t);
}

static void told_act(void *arg)
{
    struct told *t = arg;

    for (int i = 0; i < STEPS; i++) {
        switch (weir_random(6)) {
        case 0:
        case 1:
            told_notify(t);
            break;
        case 2:
            told_set(t);
            break;
        case 3:
            told_wait_notify(t);
            break;
        case 4:
            told_wait_event(t);
            break;
        default:
            told_race(t);
        }
        check(!t->notify.permit || weir_list_empty(&t->notify.waiters));
        check(!t->event.set || weir_list_empty(&t->event.waiters));
        linger();
    }
}

static void told_main(void *arg)
{
    struct told t = { .handed = 0 };

    (void)arg;
    weir_notify_init(&t.notify);
    weir_event_init(&t.event);
    play(told_act, &t);
    check(weir_list_empty(&t.notify.waiters) && weir_list_empty(&t.event.waiters));
    check_int(t.had, t.handed);
    check_int(t.remembered - t.used, t.notify.permit);
}

static void told_seed(uint64_t seed)
{
    run(seed, told_main);
}

static void no_notification_is_lost_and_none_is_made_up(void **state)
{
    (void)state;
    seeds_each(600, told_seed);
}

/* --- barrier: exactly n pass, one of them leads --- */

struct gate {
    struct weir_barrier barrier;
    int64_t need, opened, passed, led;
};

static void gate_act(void *arg)
{
    struct gate *g = arg;

    for (int i = 0; i < STEPS; i++) {
        bool last = g->barrier.waiting + 1 == g->need;
        int64_t before = g->opened;
        int result;

        g->opened += last;
        result = weir_barrier_wait(&g->barrier, some_time());
        check_int(g->barrier.waiting, list_length(&g->barrier.waiters));
        check(g->barrier.waiting < g->need);
        check((result == 1) == last);
        if (result >= 0) {
            check(g->opened > before);
            g->passed++;
            g->led += result;
        } else {
            gave_up(result);
        }
        linger();
    }
}

static void gate_main(void *arg)
{
    struct gate g = { .need = random_in(1, ACTORS) };

    (void)arg;
    weir_barrier_init(&g.barrier, (uint32_t)g.need);
    play(gate_act, &g);
    check_int(g.led, g.opened);
    check_int(g.passed, g.opened * g.need);
    check(g.barrier.waiting == 0 && weir_list_empty(&g.barrier.waiters));
}

static void gate_seed(uint64_t seed)
{
    run(seed, gate_main);
}

static void a_barrier_lets_n_pass_at_a_time(void **state)
{
    (void)state;
    seeds_each(400, gate_seed);
}

/* --- once: one success, whoever fails or is cancelled --- */

struct making {
    struct weir_once once;
    int64_t running, made, result, next;
};

static int64_t making_try(void *arg)
{
    struct making *m = arg;
    int64_t mine = m->next++;
    int error = 0;

    check(m->running++ == 0 && m->made == 0);
    if (weir_random(2) == 0)
        error = weir_sleep(random_in(0, WEIR_US(200)));
    check_int(m->running--, 1);
    if (error < 0)
        return error;
    if (weir_random(8) != 0)
        return -EIO;
    m->made++;
    m->result = mine;
    return mine;
}

static void making_act(void *arg)
{
    struct making *m = arg;

    for (int i = 0; i < STEPS; i++) {
        bool made = m->made;
        int64_t result = weir_once_call(&m->once, making_try, m, some_time());

        if (result >= 0)
            check(m->made == 1 && result == m->result);
        else if (result != -EIO)
            gave_up(result);
        check(!made || result >= 0);
        check_int(weir_once_get(&m->once, NULL), m->made);
        linger();
    }
}

static void making_main(void *arg)
{
    struct making m = { .result = -1 };
    int64_t result;

    (void)arg;
    weir_once_init(&m.once);
    play(making_act, &m);
    do
        result = weir_once_call(&m.once, making_try, &m, WEIR_NEVER);
    while (result == -EIO);
    check_int(m.made, 1);
    check_int(result, m.result);
    check(m.running == 0 && weir_list_empty(&m.once.sem.waiters));
}

static void making_seed(uint64_t seed)
{
    run(seed, making_main);
}

static void once_is_once(void **state)
{
    (void)state;
    seeds_each(400, making_seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_notification_is_lost_and_none_is_made_up),
        cmocka_unit_test(a_barrier_lets_n_pass_at_a_time),
        cmocka_unit_test(once_is_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
