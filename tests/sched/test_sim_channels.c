/* test_sim_channels.c - oneshot and mpsc over many seeds: senders and receivers on all shards that
 * are late, give up, are cancelled, close, drop; nothing is lost, nothing comes twice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>
#include "tests/seeds.h"

enum { SHARDS = 3 };

static void run(uint64_t seed, void (*shard_main)(void *arg))
{
    struct weir_sim_config config;

    weir_sim_config_init(&config);
    config.seed = seed;
    config.shards = SHARDS;
    config.limit = WEIR_SEC(100);
    check_int(weir_sim_run(&config, shard_main, NULL), 0);
}

static weir_time soon(void)
{
    return weir_after(random_in(-1, WEIR_US(400)));
}

static void linger(void)
{
    if (weir_random(2) == 0)
        weir_sleep(random_in(0, WEIR_US(300)));
}

/* --- oneshot: what the sender did, the receiver sees --- */

struct shot {
    struct weir_oneshot *oneshot;
    int64_t value;
    int sent; /* 1: not yet; 0, -EPIPE: what weir_oneshot_send said; 2: dropped */
    bool looked, closed;
};

static void shot_send(void *arg)
{
    struct shot *shot = arg;

    linger();
    shot->looked = weir_oneshot_is_closed(shot->oneshot);
    if (weir_random(4) == 0) {
        weir_oneshot_drop(shot->oneshot);
        shot->sent = 2;
    } else {
        shot->sent = weir_oneshot_send(shot->oneshot, shot->value);
        check(shot->sent == 0 || (shot->sent == -EPIPE && shot->closed));
        check(shot->sent == -EPIPE || !shot->looked); /* once closed, always */
    }
}

/* Once more without giving up: the outcome is what the sender did. */
static void shot_settle(struct shot *shot)
{
    int64_t value = -1;
    int error = weir_oneshot_recv(shot->oneshot, &value, WEIR_NEVER);

    check(error == 0 || error == -EPIPE);
    if (error == 0)
        check_int(value, shot->value);
    else
        check(shot->closed || shot->sent == 2);
}

static void shot_receive(void *arg)
{
    struct shot *shot = arg;
    int64_t value = -1;
    int error = -EAGAIN;

    for (int i = 0; i < 3 && (error == -EAGAIN || error == -ETIMEDOUT); i++)
        error = weir_random(3) == 0 ? weir_oneshot_try_recv(shot->oneshot, &value)
                                    : weir_oneshot_recv(shot->oneshot, &value, soon());
    if (error == 0) {
        check_int(value, shot->value);
        check(!shot->closed);
    } else {
        check(error == -EAGAIN || error == -ETIMEDOUT || error == -EPIPE ||
              (error == -ECANCELED && weir_cancelled()));
    }
}

static void shot_once(struct shot *shot)
{
    struct weir_scope scope;

    *shot = (struct shot){ .value = (int64_t)weir_random(1000), .sent = 1 };
    check_int(weir_oneshot_new(&shot->oneshot), 0);
    check_int(weir_spawn_on((unsigned)weir_random(SHARDS), shot_send, shot, WEIR_NEVER), 0);
    weir_scope_init(&scope);
    check_int(weir_spawn(&scope, shot_receive, shot), 0);
    linger();
    if (weir_random(3) == 0)
        weir_scope_cancel(&scope);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    if (weir_random(4) == 0) {
        shot->closed = true;
        weir_oneshot_close(shot->oneshot);
    }
    shot_settle(shot);
    weir_oneshot_free(shot->oneshot);
    while (shot->sent == 1) /* the struct is ours to keep until then, the oneshot is not */
        weir_sleep(WEIR_US(50));
}

static void shot_main(void *arg)
{
    struct shot shot;

    (void)arg;
    for (int i = 0; i < 6; i++)
        shot_once(&shot);
}

static void shot_seed(uint64_t seed)
{
    run(seed, shot_main);
}

static void a_oneshot_gives_what_its_sender_did(void **state)
{
    (void)state;
    seeds_each(400, shot_seed);
}

/* --- mpsc: what senders were told is what was received --- */

enum { SENDERS = 5, NOTES = 12 };

struct note {
    int sender, number;
};

static struct crowd {
    struct weir_mpsc *mpsc;
    struct member {
        struct weir_call call;
        int id;
        bool in[NOTES]; /* it was told so */
    } member[SENDERS];
    bool got[SENDERS][NOTES];
    int last[SENDERS], at_once;
} crowd;

static int member_send(const struct note *note)
{
    int error;

    switch (weir_random(4)) {
    case 0:
        error = weir_mpsc_try_send(crowd.mpsc, note);
        break;
    case 1:
        error = weir_mpsc_reserve(crowd.mpsc, soon());
        if (error < 0)
            break;
        linger();
        if (weir_random(4) == 0) {
            weir_mpsc_unreserve(crowd.mpsc);
            return -EAGAIN;
        }
        return weir_mpsc_send_reserved(crowd.mpsc, note);
    case 2:
        return weir_mpsc_send(crowd.mpsc, note, WEIR_NEVER);
    default:
        return weir_mpsc_send(crowd.mpsc, note, soon());
    }
    return error;
}

static int64_t member_main(void *arg)
{
    struct member *member = arg;

    for (int i = 0; i < NOTES; i++) {
        struct note note = { member->id, i };
        int error = member_send(&note);

        member->in[i] = error == 0;
        check(error == 0 || error == -EAGAIN || error == -EPIPE || error == -ETIMEDOUT ||
              (error == -ECANCELED && weir_cancelled()));
        check(error != -EPIPE || weir_mpsc_is_closed(crowd.mpsc));
        if (weir_random(3) == 0)
            linger();
    }
    weir_mpsc_drop(crowd.mpsc);
    return 0;
}

static void crowd_take(const struct note *note)
{
    check(note->sender >= 0 && note->sender < SENDERS && note->number < NOTES);
    check(note->number > crowd.last[note->sender]); /* in order, and not twice */
    crowd.last[note->sender] = note->number;
    crowd.got[note->sender][note->number] = true;
}

/* Some notes, in a fiber that may be cancelled. */
static void crowd_receive_some(void *arg)
{
    struct note notes[4];
    int64_t count;

    (void)arg;
    for (int i = 0; i < 10; i++) {
        count = weir_mpsc_recv_many(crowd.mpsc, notes, 1 + weir_random(4), soon());
        check(count > 0 || count == -ETIMEDOUT || count == -EPIPE ||
              (count == -ECANCELED && weir_cancelled()));
        for (int64_t n = 0; n < count; n++)
            crowd_take(&notes[n]);
        linger();
    }
}

static void crowd_receive_rest(void)
{
    struct note note;
    int error;

    while ((error = weir_mpsc_recv(crowd.mpsc, &note, WEIR_NEVER)) == 0)
        crowd_take(&note);
    check_int(error, -EPIPE);
}

static void crowd_begin(void)
{
    memset(&crowd, 0, sizeof crowd);
    check_int(weir_mpsc_new(&crowd.mpsc, sizeof(struct note), weir_random(4)), 0);
    for (int i = 0; i < SENDERS; i++) {
        struct member *member = &crowd.member[i];

        crowd.last[i] = -1;
        member->id = i;
        weir_mpsc_clone(crowd.mpsc);
        weir_call_start(&member->call, (unsigned)weir_random(SHARDS), member_main, member);
    }
    weir_mpsc_drop(crowd.mpsc);
}

static void crowd_main(void *arg)
{
    struct weir_scope scope;

    (void)arg;
    if (weir_shard_id() != 0)
        return;
    crowd_begin();
    weir_scope_init(&scope);
    check_int(weir_spawn(&scope, crowd_receive_some, NULL), 0);
    linger();
    if (weir_random(2) == 0)
        weir_scope_cancel(&scope);
    for (int i = 0; i < SENDERS; i++)
        if (weir_random(6) == 0)
            weir_future_cancel(&crowd.member[i].call.future); /* the fiber over there */
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    if (weir_random(3) == 0)
        weir_mpsc_close(crowd.mpsc);
    crowd_receive_rest();
    for (int i = 0; i < SENDERS; i++) {
        int64_t result = weir_await(&crowd.member[i].call.future, WEIR_NEVER);

        check_int(result, 0);
        check(memcmp(crowd.got[i], crowd.member[i].in, sizeof crowd.got[i]) == 0);
    }
    check_int((int64_t)weir_mpsc_len(crowd.mpsc), 0);
    weir_mpsc_free(crowd.mpsc);
}

static void crowd_seed(uint64_t seed)
{
    run(seed, crowd_main);
}

static void a_channel_gives_what_its_senders_were_told(void **state)
{
    (void)state;
    seeds_each(600, crowd_seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_oneshot_gives_what_its_sender_did),
        cmocka_unit_test(a_channel_gives_what_its_senders_were_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
