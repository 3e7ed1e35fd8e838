/* test_sim_broadcast.c - watch and broadcast over many seeds: a sender, and receivers that are
 * slow, give up and are cancelled; each sees the latest value, or every message it is not told to
 * have missed, in order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "tests/sched/crowd.h"

enum { RECEIVERS = 5, SENDS = 30 };

/* Cancels some of them on the way.  What a cancelled one leaves, `rest` receives. */
static void receivers_stir(struct weir_scope scope[RECEIVERS])
{
    for (uint64_t i = weir_random(RECEIVERS); i > 0; i--) {
        linger();
        weir_scope_cancel(&scope[weir_random(RECEIVERS)]);
    }
}

/* --- watch --- */

struct state {
    int64_t number, same; /* never one without the other */
};

struct show {
    struct weir_watch watch;
    struct state state;
    bool closed, left; /* by the sender; by all receivers */
};

struct looker {
    struct show *show;
    struct weir_watch_rx rx;
    int64_t last; /* it has seen */
};

static bool show_change(void *value, void *arg)
{
    struct state *state = value;

    if (*(const bool *)arg)
        *state = (struct state){ state->number + 1, state->number + 1 };
    return *(const bool *)arg;
}

static void show_send(void *arg)
{
    struct show *show = arg;

    for (int i = 0; i < SENDS; i++) {
        struct state next = { show->state.number + 1, show->state.number + 1 };
        bool change = weir_random(2);

        if (weir_random(2) == 0)
            check_int(weir_watch_send(&show->watch, &next), 0);
        else
            check_int(weir_watch_modify(&show->watch, show_change, &change), change);
        check(next.number != show->state.number || weir_list_empty(&show->watch.waiting));
        linger();
    }
    weir_watch_close(&show->watch);
    show->closed = true;
}

/* What there is for it, by what it has seen. */
static void looker_compare(const struct looker *l)
{
    check_int(weir_watch_has_changed(&l->rx), l->last != l->show->state.number ? 1
                                              : l->show->closed                ? -EPIPE
                                                                               : 0);
}

static int looker_look(struct looker *l, weir_time deadline)
{
    int error = weir_watch_changed(&l->rx, deadline);
    struct state state;

    if (error < 0) {
        looker_compare(l); /* nothing was marked */
        return error;
    }
    /* Seen up to here, even if there is already more by the time we look. */
    weir_watch_copy(&l->rx, &state);
    check(state.number == state.same && state.number == l->show->state.number);
    check(state.number > l->last);
    l->last = state.number;
    looker_compare(l);
    return 0;
}

static void looker_main(void *arg)
{
    struct looker *l = arg;
    int error;

    do {
        error = looker_look(l, some_time());
        if (error != 0 && error != -EPIPE)
            gave_up(error);
        linger();
    } while (error != -EPIPE && error != -ECANCELED);
}

static void show_wait_left(void *arg)
{
    struct show *show = arg;
    int error;

    do
        error = weir_watch_closed(&show->watch, some_time());
    while (error == -ETIMEDOUT);
    check_int(error, 0);
    check(show->left);
}

static void show_leave(struct show *show, struct looker looker[RECEIVERS])
{
    for (int i = 0; i < RECEIVERS; i++) {
        int error;

        while ((error = looker_look(&looker[i], WEIR_NEVER)) == 0)
            ;
        check_int(error, -EPIPE);
        check_int(looker[i].last, show->state.number); /* whatever happened: the latest */
        linger();
        show->left = i == RECEIVERS - 1;
        weir_watch_unsubscribe(&looker[i].rx);
    }
}

static void show_main(void *arg)
{
    struct show show = { .closed = false };
    struct looker looker[RECEIVERS];
    struct weir_scope scope[RECEIVERS], others;

    (void)arg;
    weir_watch_init(&show.watch, &show.state, sizeof show.state);
    weir_scope_init(&others);
    for (int i = 0; i < RECEIVERS; i++) {
        looker[i] = (struct looker){ .show = &show };
        weir_watch_subscribe(&show.watch, &looker[i].rx);
        weir_scope_init(&scope[i]);
        check_int(weir_spawn(&scope[i], looker_main, &looker[i]), 0);
    }
    check_int(weir_spawn(&others, show_send, &show), 0);
    check_int(weir_spawn(&others, show_wait_left, &show), 0);
    receivers_stir(scope);
    for (int i = 0; i < RECEIVERS; i++)
        check_int(weir_scope_join(&scope[i], WEIR_NEVER), 0);
    show_leave(&show, looker);
    check_int(weir_scope_join(&others, WEIR_NEVER), 0);
    check(weir_list_empty(&show.watch.waiting) && weir_list_empty(&show.watch.leaving));
}

static void show_seed(uint64_t seed)
{
    run(seed, show_main);
}

static void everybody_sees_the_latest_value(void **state)
{
    (void)state;
    seeds_each(400, show_seed);
}

/* --- broadcast --- */

struct air {
    struct weir_broadcast broadcast;
    int64_t sent, capacity;
};

struct ear {
    struct air *air;
    struct weir_broadcast_rx rx;
    int64_t next; /* what it hears next: messages are numbers */
    int64_t heard, missed;
};

static void air_send(void *arg)
{
    struct air *air = arg;

    for (int i = 0; i < SENDS; i++) {
        for (int64_t burst = random_in(1, 4); burst > 0; burst--) {
            check_int(weir_broadcast_send(&air->broadcast, &air->sent), RECEIVERS);
            air->sent++;
            check(weir_list_empty(&air->broadcast.waiting));
        }
        linger();
    }
    weir_broadcast_close(&air->broadcast);
}

static void ear_lag(struct ear *e)
{
    check(e->rx.missed > 0);
    e->next += (int64_t)e->rx.missed;
    e->missed += (int64_t)e->rx.missed;
    check(e->next + e->air->capacity <= e->air->sent); /* no more than was overwritten */
    if (e->next + e->air->capacity == e->air->sent) {
        int64_t number = -1;

        check_int(weir_broadcast_try_recv(&e->rx, &number), 0); /* told once */
        check_int(number, e->next++);
        e->heard++;
    }
}

static int ear_hear(struct ear *e, weir_time deadline)
{
    int64_t number = -1;
    int error = weir_random(3) == 0 ? weir_broadcast_try_recv(&e->rx, &number)
                                    : weir_broadcast_recv(&e->rx, &number, deadline);

    if (error == 0) {
        check_int(number, e->next++);
        e->heard++;
    } else if (error == -EOVERFLOW) {
        ear_lag(e);
    }
    check_int((int64_t)weir_broadcast_len(&e->rx), e->air->sent - e->next); /* none was taken */
    return error;
}

static void ear_main(void *arg)
{
    struct ear *e = arg;
    int error;

    do {
        error = ear_hear(e, some_time());
        if (error != 0 && error != -EOVERFLOW && error != -EPIPE && error != -EAGAIN)
            gave_up(error);
        if (error == -EAGAIN || weir_random(3) == 0)
            linger();
    } while (error != -EPIPE && !weir_cancelled());
}

static void air_end(struct air *air, struct ear ear[RECEIVERS])
{
    for (int i = 0; i < RECEIVERS; i++) {
        int error;

        do {
            error = ear_hear(&ear[i], WEIR_NEVER);
            if (error == -EAGAIN)
                weir_sleep(WEIR_US(100));
        } while (error != -EPIPE);
        check_int(ear[i].heard + ear[i].missed, air->sent);
        check_int(ear[i].next, air->sent);
        linger();
    }
    for (int i = 0; i < RECEIVERS; i++)
        weir_broadcast_unsubscribe(&ear[i].rx);
}

static void air_main(void *arg)
{
    struct air air = { .capacity = random_in(1, 8) };
    struct ear ear[RECEIVERS];
    struct weir_scope scope[RECEIVERS], sender;

    (void)arg;
    check_int(weir_broadcast_init(&air.broadcast, sizeof(int64_t), (size_t)air.capacity), 0);
    weir_scope_init(&sender);
    for (int i = 0; i < RECEIVERS; i++) {
        ear[i] = (struct ear){ .air = &air };
        weir_broadcast_subscribe(&air.broadcast, &ear[i].rx);
        weir_scope_init(&scope[i]);
        check_int(weir_spawn(&scope[i], ear_main, &ear[i]), 0);
    }
    check_int(weir_spawn(&sender, air_send, &air), 0);
    receivers_stir(scope);
    for (int i = 0; i < RECEIVERS; i++)
        check_int(weir_scope_join(&scope[i], WEIR_NEVER), 0);
    air_end(&air, ear);
    check_int(weir_scope_join(&sender, WEIR_NEVER), 0);
    check(weir_list_empty(&air.broadcast.waiting));
    weir_broadcast_free(&air.broadcast);
}

static void air_seed(uint64_t seed)
{
    run(seed, air_main);
}

static void everybody_hears_all_it_is_not_told_to_have_missed(void **state)
{
    (void)state;
    seeds_each(400, air_seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everybody_sees_the_latest_value),
        cmocka_unit_test(everybody_hears_all_it_is_not_told_to_have_missed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
