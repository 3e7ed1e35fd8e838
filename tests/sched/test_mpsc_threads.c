/* test_mpsc_threads.c - the same channel between shards on real threads: nothing lost, nothing
 * twice, each sender's order kept, whatever is cut off in between. */
#include "tests/sched/run.h"
#include <pthread.h>
#include <weir/mpsc.h>

enum { SENDERS = 6, SHARDS = 3 };

/* What a message says: who sent it, and which of his it is. */
struct note {
    uint32_t sender, number;
};

/* One run: SENDERS of them on all shards, and the receiver on shard 0. */
struct load {
    struct weir_mpsc *mpsc;
    struct load_sender {
        struct weir_call call; /* the sender's fiber, which returns how many it knows are in */
        struct load *load;
        uint32_t id;
        uint64_t random;
    } sender[SENDERS];
    uint32_t notes;         /* each sends so many */
    bool hasty;             /* and gives up now and then */
    uint32_t next[SENDERS]; /* the least that may come next */
    uint32_t got[SENDERS];
};

/* 0, or an error that means the note is not in. */
static int load_send(struct load_sender *sender, const struct note *note)
{
    struct weir_mpsc *mpsc = sender->load->mpsc;
    int error;

    switch (random_below(&sender->random, sender->load->hasty ? 6 : 3)) {
    case 0:
        error = weir_mpsc_try_send(mpsc, note);
        return error == -EAGAIN ? weir_mpsc_send(mpsc, note, WEIR_NEVER) : error;
    case 1:
        error = weir_mpsc_reserve(mpsc, WEIR_NEVER);
        return error < 0 ? error : weir_mpsc_send_reserved(mpsc, note);
    case 2:
        return weir_mpsc_send(mpsc, note, WEIR_NEVER);
    case 3:
        error = weir_mpsc_reserve(mpsc, weir_now());
        if (error == 0)
            weir_mpsc_unreserve(mpsc);
        return error < 0 ? error : -ETIMEDOUT;
    case 4:
        return weir_mpsc_send(mpsc, note, weir_now());
    default:
        return weir_mpsc_send(mpsc, note,
                              weir_after((weir_time)random_below(&sender->random, 300000)));
    }
}

static int64_t load_sender_main(void *arg)
{
    struct load_sender *sender = arg;
    struct load *load = sender->load;
    int64_t sent = 0;
    int error = 0;

    for (uint32_t i = 0; i < load->notes && error != -EPIPE; i++) {
        struct note note = { sender->id, i };

        error = load_send(sender, &note);
        check(error == 0 || error == -EPIPE || (error == -ETIMEDOUT && load->hasty));
        sent += error == 0;
        if (random_below(&sender->random, 50) == 0)
            weir_yield();
    }
    weir_mpsc_drop(load->mpsc);
    return sent;
}

static void load_take(struct load *load, const struct note *note)
{
    check(note->sender < SENDERS);
    check(note->number >= load->next[note->sender]); /* in the order of sending, none twice */
    load->next[note->sender] = note->number + 1;
    load->got[note->sender]++;
}

/* Receives to the end.  Closes after `limit` notes, and drains. */
static void load_receive(struct load *load, uint64_t *random, uint64_t limit)
{
    struct note notes[16];
    uint64_t total = 0;
    int64_t count;

    do {
        bool hasty = random_below(random, 4) == 0;

        count = weir_mpsc_recv_many(load->mpsc, notes, 1 + random_below(random, WEIR_COUNT(notes)),
                                    hasty ? weir_after((weir_time)random_below(random, 100000))
                                          : WEIR_NEVER);
        for (int64_t i = 0; i < count; i++)
            load_take(load, &notes[i]);
        total += count > 0 ? (uint64_t)count : 0;
        if (total >= limit && !weir_mpsc_is_closed(load->mpsc))
            weir_mpsc_close(load->mpsc);
    } while (count > 0 || count == -ETIMEDOUT);
    check_int(count, -EPIPE);
}

static void load_run(uint64_t *random, size_t bound, bool hasty, uint64_t limit)
{
    struct load load = { .notes = (uint32_t)random_rounds(300, 20000), .hasty = hasty };

    check_int(weir_mpsc_new(&load.mpsc, sizeof(struct note), bound), 0);
    for (uint32_t i = 0; i < SENDERS; i++) {
        load.sender[i].load = &load;
        load.sender[i].id = i;
        load.sender[i].random = random_next(random);
        weir_mpsc_clone(load.mpsc);
        weir_call_start(&load.sender[i].call, i % SHARDS, load_sender_main, &load.sender[i]);
    }
    weir_mpsc_drop(load.mpsc);
    load_receive(&load, random, limit);
    weir_mpsc_free(load.mpsc); /* others may still be about to drop it */
    for (uint32_t i = 0; i < SENDERS; i++) {
        int64_t sent = weir_await(&load.sender[i].call.future, WEIR_NEVER);

        check_int(load.got[i], sent);
        check(hasty || limit != UINT64_MAX || sent == load.notes);
    }
}

static const size_t bounds[] = { 0, 1, 2, 5, 64 };
static uint64_t seed;

static void nothing_is_lost_and_order_is_kept(void *arg)
{
    uint64_t random = seed;

    (void)arg;
    for (size_t i = 0; weir_shard_id() == 0 && i < WEIR_COUNT(bounds); i++)
        load_run(&random, bounds[i], false, UINT64_MAX);
}

static void what_was_given_up_was_not_sent(void *arg)
{
    uint64_t random = seed;

    (void)arg;
    for (size_t i = 0; weir_shard_id() == 0 && i < WEIR_COUNT(bounds); i++)
        load_run(&random, bounds[i], true, UINT64_MAX);
}

static void what_was_sent_before_close_is_drained(void *arg)
{
    uint64_t random = seed;

    (void)arg;
    for (int round = 0; weir_shard_id() == 0 && round < 20; round++)
        load_run(&random, bounds[round % 5], round % 2 == 0, random_below(&random, 400));
}

/* --- one message there, one back: every one of them finds the other asleep or about to be --- */

enum { ROUNDS = 3000 };

struct ball {
    struct weir_mpsc *there, *back;
};

static int64_t ball_return(void *arg)
{
    struct ball *ball = arg;
    struct weir_mpsc *there;
    int64_t number, rounds = 0;

    check_int(weir_mpsc_new(&there, sizeof number, 1), 0);
    check_int(weir_mpsc_send(ball->back, &there, WEIR_NEVER), 0); /* where to throw to */
    while (weir_mpsc_recv(there, &number, WEIR_NEVER) == 0) {
        check_int(number, rounds++);
        check_int(weir_mpsc_send(ball->back, &number, WEIR_NEVER), 0);
    }
    weir_mpsc_free(there);
    weir_mpsc_drop(ball->back);
    return rounds;
}

static void no_wake_up_is_lost(void *arg)
{
    struct ball ball;
    struct weir_call call;
    int64_t number;

    (void)arg;
    if (weir_shard_id() != 0)
        return;
    check_int(weir_mpsc_new(&ball.back, sizeof number, 1), 0);
    weir_call_start(&call, 1, ball_return, &ball);
    check_int(weir_mpsc_recv(ball.back, &ball.there, WEIR_NEVER), 0);
    for (int64_t i = 0; i < ROUNDS; i++) {
        check_int(weir_mpsc_send(ball.there, &i, WEIR_NEVER), 0);
        check_int(weir_mpsc_recv(ball.back, &number, WEIR_NEVER), 0);
        check_int(number, i);
    }
    weir_mpsc_drop(ball.there);
    check_int(weir_mpsc_recv(ball.back, &number, WEIR_NEVER), -EPIPE);
    check_int(weir_await(&call.future, WEIR_NEVER), ROUNDS);
    weir_mpsc_free(ball.back);
}

/* --- the last message comes while the receiver looks whether there are any senders --- */

static int64_t send_and_drop(void *arg)
{
    int message = 1;
    int error = weir_mpsc_try_send(arg, &message);

    weir_mpsc_drop(arg);
    return error;
}

static void a_message_just_before_the_last_drop_is_not_lost(void *arg)
{
    (void)arg;
    for (int i = 0; weir_shard_id() == 0 && i < ROUNDS; i++) {
        struct weir_mpsc *mpsc;
        struct weir_call call;
        int error = -EAGAIN, message = 0;

        check_int(weir_mpsc_new(&mpsc, sizeof message, (size_t)i % 2), 0);
        weir_call_start(&call, 1, send_and_drop, mpsc);
        weir_yield(); /* it leaves at the end of the turn */
        for (int look = 0; look < 100000; look++)
            if ((error = weir_mpsc_try_recv(mpsc, &message)) != -EAGAIN)
                break;
        if (error == -EAGAIN)
            error = weir_mpsc_recv(mpsc, &message, WEIR_NEVER);
        check_int(error, 0);
        check_int(message, 1);
        check_int(weir_mpsc_recv(mpsc, &message, WEIR_NEVER), -EPIPE);
        check_int(weir_await(&call.future, WEIR_NEVER), 0);
        weir_mpsc_free(mpsc);
    }
}

/* --- threads that are no shards --- */

static void *outside_send(void *arg)
{
    for (int i = 0; i < ROUNDS; i++)
        check_int(weir_mpsc_try_send(arg, &i), 0);
    weir_mpsc_drop(arg);
    return NULL;
}

static void threads_that_are_no_shards_can_send(void *arg)
{
    struct weir_mpsc *mpsc;
    pthread_t thread[2];
    int message;
    int64_t sum = 0;

    (void)arg;
    check_int(weir_mpsc_new(&mpsc, sizeof(int), 0), 0);
    weir_mpsc_clone(mpsc);
    for (int i = 0; i < 2; i++)
        check_int(pthread_create(&thread[i], NULL, outside_send, mpsc), 0);
    while (weir_mpsc_recv(mpsc, &message, WEIR_NEVER) == 0)
        sum += message;
    check_int(sum, (int64_t)ROUNDS * (ROUNDS - 1));
    for (int i = 0; i < 2; i++)
        pthread_join(thread[i], NULL);
    weir_mpsc_free(mpsc);
}

#define CASE(shards, name)                                   \
    static void test_##name(void **state)                    \
    {                                                        \
        (void)state;                                         \
        assert_int_equal(run_shards(shards, name, NULL), 0); \
    }

CASE(SHARDS, nothing_is_lost_and_order_is_kept)
CASE(SHARDS, what_was_given_up_was_not_sent)
CASE(SHARDS, what_was_sent_before_close_is_drained)
CASE(2, no_wake_up_is_lost)
CASE(2, a_message_just_before_the_last_drop_is_not_lost)
CASE(1, threads_that_are_no_shards_can_send)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_lost_and_order_is_kept),
        cmocka_unit_test(test_what_was_given_up_was_not_sent),
        cmocka_unit_test(test_what_was_sent_before_close_is_drained),
        cmocka_unit_test(test_no_wake_up_is_lost),
        cmocka_unit_test(test_a_message_just_before_the_last_drop_is_not_lost),
        cmocka_unit_test(test_threads_that_are_no_shards_can_send),
    };

    seed = random_seed();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
