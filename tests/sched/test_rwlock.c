/* test_rwlock.c - many readers or one writer: order, downgrade, giving up, ownership. */
#include "tests/sched/run.h"

enum kind { READ, WRITE };

/* A fiber that takes the lock, holds it until it is told to go on, and gives it back. */
struct holder {
    struct weir_rwlock *lock;
    enum kind kind;
    weir_time deadline;
    int result; /* 1: still waits */
    bool leave; /* what it waits for */
};

static void hold(void *arg)
{
    struct holder *h = arg;

    h->result = h->kind == READ ? weir_rwlock_read_lock(h->lock, h->deadline)
                                : weir_rwlock_write_lock(h->lock, h->deadline);
    while (h->result == 0 && !h->leave)
        weir_yield();
    if (h->result == 0)
        (h->kind == READ ? weir_rwlock_read_unlock : weir_rwlock_write_unlock)(h->lock);
}

static void holder_start(struct weir_scope *scope, struct holder *h, struct weir_rwlock *lock,
                         enum kind kind)
{
    *h = (struct holder){ .lock = lock, .kind = kind, .deadline = WEIR_NEVER, .result = 1 };
    check_int(weir_spawn(scope, hold, h), 0);
    weir_yield();
}

static void holder_leave(struct holder *h)
{
    h->leave = true;
    weir_yield();
    weir_yield(); /* and those who get it run */
}

static void is_free(struct weir_rwlock *lock)
{
    check(weir_rwlock_write_try(lock));
    weir_rwlock_write_unlock(lock);
    check_int(weir_sem_available(&lock->sem), WEIR_RWLOCK_READERS_MAX);
}

static void readers_share_and_a_writer_does_not(void *arg)
{
    struct weir_rwlock lock;
    struct weir_scope scope;
    struct holder first, second, writer;

    (void)arg;
    weir_rwlock_init(&lock);
    weir_scope_init(&scope);
    holder_start(&scope, &first, &lock, READ);
    holder_start(&scope, &second, &lock, READ);
    check(first.result == 0 && second.result == 0);
    check(weir_rwlock_read_try(&lock));
    weir_rwlock_read_unlock(&lock);
    check(!weir_rwlock_write_try(&lock));
    holder_start(&scope, &writer, &lock, WRITE);
    holder_leave(&first);
    check_int(writer.result, 1); /* one reader is left */
    holder_leave(&second);
    check_int(writer.result, 0);
    check(!weir_rwlock_read_try(&lock));
    check(!weir_rwlock_write_try(&lock));
    holder_leave(&writer);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    is_free(&lock);
}

static void a_waiting_writer_holds_back_later_readers(void *arg)
{
    struct weir_rwlock lock;
    struct weir_scope scope;
    struct holder reader, writer, later[2], last;

    (void)arg;
    weir_rwlock_init(&lock);
    weir_scope_init(&scope);
    holder_start(&scope, &reader, &lock, READ);
    holder_start(&scope, &writer, &lock, WRITE);
    holder_start(&scope, &later[0], &lock, READ);
    holder_start(&scope, &later[1], &lock, READ);
    holder_start(&scope, &last, &lock, WRITE);
    check(!weir_rwlock_read_try(&lock)); /* nor does a try overtake */
    check(writer.result == 1 && later[0].result == 1);
    holder_leave(&reader);
    check(writer.result == 0 && later[0].result == 1 && later[1].result == 1);
    holder_leave(&writer);
    check(later[0].result == 0 && later[1].result == 0 && last.result == 1); /* both at once */
    holder_leave(&later[1]);
    check_int(last.result, 1);
    holder_leave(&later[0]);
    check_int(last.result, 0);
    holder_leave(&last);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    is_free(&lock);
}

static void a_writer_that_gives_up_lets_the_readers_behind_it_in(void *arg)
{
    struct weir_rwlock lock;
    struct weir_scope scope, writers;
    struct holder writer, later;

    for (int cancel = 0; cancel < 2; cancel++) {
        (void)arg;
        weir_rwlock_init(&lock);
        weir_scope_init(&scope);
        weir_scope_init(&writers);
        check(weir_rwlock_read_try(&lock));
        writer = (struct holder){ .lock = &lock, .kind = WRITE, .result = 1 };
        writer.deadline = cancel ? WEIR_NEVER : weir_after(WEIR_MS(1));
        check_int(weir_spawn(&writers, hold, &writer), 0);
        weir_yield();
        holder_start(&scope, &later, &lock, READ);
        check(writer.result == 1 && later.result == 1);
        if (cancel)
            weir_scope_cancel(&writers);
        check_int(weir_scope_join(&writers, WEIR_NEVER), 0);
        weir_yield();
        check_int(writer.result, cancel ? -ECANCELED : -ETIMEDOUT);
        check_int(later.result, 0);
        holder_leave(&later);
        check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
        weir_rwlock_read_unlock(&lock);
        is_free(&lock);
    }
}

static void downgrading_lets_readers_in_but_no_writer_in_between(void *arg)
{
    struct weir_rwlock lock;
    struct weir_scope scope;
    struct holder readers[2], writer, behind;

    (void)arg;
    weir_rwlock_init(&lock);
    weir_scope_init(&scope);
    check_int(weir_rwlock_write_lock(&lock, WEIR_NEVER), 0);
    holder_start(&scope, &readers[0], &lock, READ);
    holder_start(&scope, &readers[1], &lock, READ);
    holder_start(&scope, &writer, &lock, WRITE);
    holder_start(&scope, &behind, &lock, READ);
    weir_rwlock_downgrade(&lock);
    weir_yield();
    check(readers[0].result == 0 && readers[1].result == 0);
    check(writer.result == 1 && behind.result == 1);
    holder_leave(&readers[0]);
    holder_leave(&readers[1]);
    check_int(writer.result, 1); /* we read still */
    weir_rwlock_read_unlock(&lock);
    weir_yield();
    check(writer.result == 0 && behind.result == 1);
    holder_leave(&writer);
    check_int(behind.result, 0);
    holder_leave(&behind);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    is_free(&lock);
}

static void a_lock_handed_over_before_the_cancel_is_held(void *arg)
{
    struct weir_rwlock lock;
    struct weir_scope scope;
    struct holder writer;

    (void)arg;
    weir_rwlock_init(&lock);
    weir_scope_init(&scope);
    check(weir_rwlock_read_try(&lock));
    holder_start(&scope, &writer, &lock, WRITE);
    weir_rwlock_read_unlock(&lock); /* granted ... */
    weir_scope_cancel(&scope);      /* ... before the cancel */
    weir_yield();
    check_int(writer.result, 0);
    holder_leave(&writer);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    is_free(&lock);
}

static void a_deadline_in_the_past_is_a_try(void *arg)
{
    struct weir_rwlock lock;

    (void)arg;
    weir_rwlock_init(&lock);
    check_int(weir_rwlock_read_lock(&lock, weir_now()), 0);
    check_int(weir_rwlock_read_lock(&lock, weir_now()), 0);
    check_int(weir_rwlock_write_lock(&lock, weir_now()), -ETIMEDOUT);
    weir_rwlock_read_unlock(&lock);
    weir_rwlock_read_unlock(&lock);
    check_int(weir_rwlock_write_lock(&lock, weir_now()), 0);
    weir_rwlock_write_unlock(&lock);
    is_free(&lock);
}

/* The bound, without as many readers: somebody has taken the other units. */
static void one_reader_too_many_waits(void *arg)
{
    struct weir_rwlock lock;

    (void)arg;
    weir_rwlock_init(&lock);
    check(weir_sem_try(&lock.sem, WEIR_RWLOCK_READERS_MAX - 1));
    check(weir_rwlock_read_try(&lock));
    check(!weir_rwlock_read_try(&lock));
    check_int(weir_rwlock_read_lock(&lock, weir_now()), -ETIMEDOUT);
    weir_rwlock_read_unlock(&lock);
    weir_sem_post(&lock.sem, WEIR_RWLOCK_READERS_MAX - 1);
    is_free(&lock);
}

/* --- misuse --- */

static void write_twice(void *arg)
{
    struct weir_rwlock lock;

    (void)arg;
    weir_rwlock_init(&lock);
    weir_rwlock_write_lock(&lock, WEIR_NEVER);
    weir_rwlock_write_lock(&lock, WEIR_NEVER);
}

static void read_what_it_writes(void *arg)
{
    struct weir_rwlock lock;

    (void)arg;
    weir_rwlock_init(&lock);
    weir_rwlock_write_lock(&lock, WEIR_NEVER);
    weir_rwlock_read_lock(&lock, WEIR_NEVER);
}

static void unlock_unread(void *arg)
{
    struct weir_rwlock lock;

    (void)arg;
    weir_rwlock_init(&lock);
    weir_rwlock_write_lock(&lock, WEIR_NEVER);
    weir_rwlock_read_unlock(&lock);
}

static void unlock_unwritten(void *arg)
{
    struct weir_rwlock lock;

    (void)arg;
    weir_rwlock_init(&lock);
    weir_rwlock_read_lock(&lock, WEIR_NEVER);
    weir_rwlock_write_unlock(&lock);
}

static void downgrade_unwritten(void *arg)
{
    struct weir_rwlock lock;

    (void)arg;
    weir_rwlock_init(&lock);
    weir_rwlock_downgrade(&lock);
}

static int64_t read_there(void *arg)
{
    return weir_rwlock_read_lock(arg, WEIR_NEVER);
}

static void read_elsewhere(void *arg)
{
    struct weir_rwlock lock;

    (void)arg;
    weir_rwlock_init(&lock);
    check(weir_rwlock_read_try(&lock));
    weir_call(1 - weir_shard_id(), read_there, &lock, WEIR_NEVER);
}

static void run_one(void *shard_main)
{
    run_shards(1, *(void (**)(void *))shard_main, NULL);
}

static void run_elsewhere(void *arg)
{
    run_shards(2, read_elsewhere, arg);
}

static void test_misuse_ends_with_a_sentence(void **state)
{
    static const struct {
        void (*fn)(void *arg);
        const char *text;
    } cases[] = {
        { write_twice, "weir_rwlock_write_lock: fiber 'main'" },
        { write_twice, "would wait for itself" },
        { read_what_it_writes, "weir_rwlock_downgrade makes it a reader" },
        { unlock_unread, "nobody has locked this for reading" },
        { unlock_unwritten, "weir_rwlock_write_unlock: fiber" },
        { downgrade_unwritten, "has not locked this for writing" },
    };

    (void)state;
    for (size_t i = 0; i < WEIR_COUNT(cases); i++) {
        void (*fn)(void *) = cases[i].fn;

        assert_panics(run_one, &fn, cases[i].text);
    }
    assert_panics(run_elsewhere, NULL, "weir_rwlock_read_lock: this object belongs to shard");
}

#define CASE(name)                                   \
    static void test_##name(void **state)            \
    {                                                \
        (void)state;                                 \
        assert_int_equal(run_paused(name, NULL), 0); \
    }

CASE(readers_share_and_a_writer_does_not)
CASE(a_waiting_writer_holds_back_later_readers)
CASE(a_writer_that_gives_up_lets_the_readers_behind_it_in)
CASE(downgrading_lets_readers_in_but_no_writer_in_between)
CASE(a_lock_handed_over_before_the_cancel_is_held)
CASE(a_deadline_in_the_past_is_a_try)
CASE(one_reader_too_many_waits)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_readers_share_and_a_writer_does_not),
        cmocka_unit_test(test_a_waiting_writer_holds_back_later_readers),
        cmocka_unit_test(test_a_writer_that_gives_up_lets_the_readers_behind_it_in),
        cmocka_unit_test(test_downgrading_lets_readers_in_but_no_writer_in_between),
        cmocka_unit_test(test_a_lock_handed_over_before_the_cancel_is_held),
        cmocka_unit_test(test_a_deadline_in_the_past_is_a_try),
        cmocka_unit_test(test_one_reader_too_many_waits),
        cmocka_unit_test(test_misuse_ends_with_a_sentence),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
