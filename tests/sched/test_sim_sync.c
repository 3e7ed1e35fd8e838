/* test_sim_sync.c - locks over many seeds: crowds of fibers that wait, give up, are cancelled;
 * nobody is let in who must not be, what was given is what was had, and it all comes back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include "tests/sched/crowd.h"

/* --- rwlock: one writer or readers, in order of asking --- */

struct locked {
    struct weir_rwlock lock;
    int readers, writers, asked;
    struct ask {
        bool write, waits, overtaken;
    } ask[ACTORS * STEPS];
};

/* Whoever conflicts with this one and asked before it has been in and out again, or gives up. */
static void locked_enter(struct locked *l, struct ask *mine)
{
    check(!mine->overtaken);
    for (struct ask *ask = l->ask; ask < mine; ask++)
        if (ask->waits && (ask->write || mine->write))
            ask->overtaken = true;
}

static void locked_write(struct locked *l)
{
    check(l->writers == 0 && l->readers == 0);
    l->writers++;
    linger();
    check(l->writers == 1 && l->readers == 0);
    l->writers--;
    if (weir_random(3) != 0) {
        weir_rwlock_write_unlock(&l->lock);
        return;
    }
    weir_rwlock_downgrade(&l->lock);
    l->readers++;
    linger();
    check(l->writers == 0);
    l->readers--;
    weir_rwlock_read_unlock(&l->lock);
}

static void locked_read(struct locked *l)
{
    check(l->writers == 0);
    l->readers++;
    linger();
    check(l->writers == 0);
    l->readers--;
    weir_rwlock_read_unlock(&l->lock);
}

static void locked_act(void *arg)
{
    struct locked *l = arg;

    for (int i = 0; i < STEPS; i++) {
        struct ask *mine = &l->ask[l->asked++];
        weir_time deadline = some_time();
        int error;

        *mine = (struct ask){ .write = weir_random(3) == 0, .waits = true };
        error = mine->write ? weir_rwlock_write_lock(&l->lock, deadline)
                            : weir_rwlock_read_lock(&l->lock, deadline);
        mine->waits = false;
        if (error == 0) {
            locked_enter(l, mine);
            (mine->write ? locked_write : locked_read)(l);
        } else {
            gave_up(error);
        }
        linger();
    }
}

static void locked_main(void *arg)
{
    struct locked l = { .asked = 0 };

    (void)arg;
    weir_rwlock_init(&l.lock);
    play(locked_act, &l);
    check(l.readers == 0 && l.writers == 0 && weir_list_empty(&l.lock.sem.waiters));
    check_int(weir_sem_available(&l.lock.sem), WEIR_RWLOCK_READERS_MAX);
}

static void locked_seed(uint64_t seed)
{
    run(seed, locked_main);
}

static void a_read_write_lock_lets_in_whom_it_may_in_order(void **state)
{
    (void)state;
    seeds_each(400, locked_seed);
}

/* --- semaphore: after the close nobody gets any --- */

enum { UNITS = 3 };

struct closing {
    struct weir_sem sem;
    bool closed;
};

static void closing_act(void *arg)
{
    struct closing *c = arg;

    for (int i = 0; i < STEPS; i++) {
        int64_t n = random_in(1, UNITS);
        bool closed = c->closed;
        int error = weir_sem_wait(&c->sem, n, some_time());

        check(!closed || error == -EPIPE);
        if (error == 0) {
            linger();
            weir_sem_post(&c->sem, n);
        } else if (error != -EPIPE) {
            gave_up(error);
        }
        check(error != -EPIPE || c->closed);
        if (weir_random(5 * STEPS) == 0) {
            weir_sem_close(&c->sem);
            c->closed = true;
            check(weir_list_empty(&c->sem.waiters));
        }
        linger();
    }
}

static void closing_main(void *arg)
{
    struct closing c = { .closed = false };

    (void)arg;
    weir_sem_init(&c.sem, UNITS);
    play(closing_act, &c);
    check_int(weir_sem_available(&c.sem), UNITS);
    check(weir_list_empty(&c.sem.waiters));
}

static void closing_seed(uint64_t seed)
{
    run(seed, closing_main);
}

static void a_closed_semaphore_gives_nothing(void **state)
{
    (void)state;
    seeds_each(400, closing_seed);
}

/* --- condition variables: a bounded queue --- */

enum { PLACES = 2 };

struct queue {
    struct weir_mutex mutex;
    struct weir_cond changed; /* one for both: whoever is told looks again */
    bool patient;
    int actors, inside, count;
    int64_t put, taken, handed, had;
};

static weir_time queue_deadline(const struct queue *q)
{
    return q->patient ? WEIR_NEVER : some_time();
}

static void queue_tell(struct queue *q)
{
    int64_t waiting = list_length(&q->changed.waiters);

    if (q->patient || weir_random(3) == 0) {
        q->handed += waiting;
        weir_cond_broadcast(&q->changed);
    } else {
        q->handed += waiting > 0;
        weir_cond_signal(&q->changed);
    }
}

/* With the mutex, before and after.  0: there is a place or an item. */
static int queue_wait(struct queue *q, bool put)
{
    int error = 0;

    while (error == 0 && (put ? q->count == PLACES : q->count == 0)) {
        q->inside--;
        error = weir_cond_wait(&q->changed, &q->mutex, queue_deadline(q));
        check_int(++q->inside, 1); /* nobody else is in, on an error neither */
        q->had += error == 0;
    }
    return error;
}

static void queue_step(struct queue *q, bool put)
{
    int error = weir_mutex_lock(&q->mutex, queue_deadline(q));

    if (error == 0) {
        check_int(++q->inside, 1);
        error = queue_wait(q, put);
        if (error == 0) {
            q->count += put ? 1 : -1;
            q->put += put;
            q->taken += !put;
            check(q->count >= 0 && q->count <= PLACES);
            linger();
            queue_tell(q);
        }
        check_int(q->inside--, 1);
        weir_mutex_unlock(&q->mutex);
    }
    if (error < 0)
        gave_up(error);
}

static void queue_act(void *arg)
{
    struct queue *q = arg;
    bool put = q->actors++ % 2;

    for (int i = 0; i < STEPS; i++) {
        queue_step(q, put);
        linger();
    }
}

static void queue_main(void *arg)
{
    struct queue q = { .patient = weir_random(2) == 0 };

    (void)arg;
    weir_mutex_init(&q.mutex);
    weir_cond_init(&q.changed);
    (q.patient ? play_patiently : play)(queue_act, &q);
    check(q.inside == 0 && weir_mutex_try(&q.mutex));
    weir_mutex_unlock(&q.mutex);
    check(weir_list_empty(&q.changed.waiters));
    check_int(q.had, q.handed);
    check_int(q.put - q.taken, q.count);
    check(!q.patient || q.put == ACTORS / 2 * STEPS);
}

static void queue_seed(uint64_t seed)
{
    run(seed, queue_main);
}

static void a_condition_variable_tells_as_many_as_it_says(void **state)
{
    (void)state;
    seeds_each(400, queue_seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_read_write_lock_lets_in_whom_it_may_in_order),
        cmocka_unit_test(a_closed_semaphore_gives_nothing),
        cmocka_unit_test(a_condition_variable_tells_as_many_as_it_says),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
