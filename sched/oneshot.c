/* oneshot.c - one word of state that both sides swap, and a value that is written before it.
 *
 * SENT or DROPPED, exactly one of them, is set once by the sender; CLOSED and FREED by the
 * receiver. WAITING says that the receiver's future is pending.  Whoever swaps SENT or DROPPED in
 * beside it owes the completion and mails it home, and only home takes WAITING away: so a receiver
 * can leave (cancel) by taking it away first, and otherwise the completion is on its way to it.
 *
 * After its swap the sender looks at the memory again only if WAITING was set, for then the
 * receiver is held there; or if it frees it, being the second of the two. */
#include <errno.h>
#include <stdlib.h>
#include <weir/oneshot.h>
#include "sched/mail.h"

enum {
    ONESHOT_SENT = 1,
    ONESHOT_DROPPED = 2,
    ONESHOT_CLOSED = 4,
    ONESHOT_WAITING = 8,
    ONESHOT_FREED = 16,
    ONESHOT_OVER = ONESHOT_SENT | ONESHOT_DROPPED, /* the sender is through */
};

static uint32_t oneshot_state(const struct weir_oneshot *oneshot)
{
    return __atomic_load_n(&oneshot->state, __ATOMIC_ACQUIRE); /* pairs with oneshot_swap */
}

/* On failure *old is what stands there. */
static bool oneshot_swap(struct weir_oneshot *oneshot, uint32_t *old, uint32_t new)
{
    return __atomic_compare_exchange_n(&oneshot->state, old, new, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_ACQUIRE);
}

static void oneshot_deliver(struct weir_shard *shard, struct weir_mail *mail);

void weir_oneshot_init(struct weir_oneshot *oneshot)
{
    *oneshot = (struct weir_oneshot){
        .future.done = true,
        .mail.deliver = oneshot_deliver,
        .home = weir_shard_here("weir_oneshot_init"),
    };
}

int weir_oneshot_new(struct weir_oneshot **oneshot)
{
    struct weir_oneshot *made = malloc(sizeof *made);

    if (!made)
        return -ENOMEM;
    weir_oneshot_init(made);
    made->allocated = true;
    *oneshot = made;
    return 0;
}

/* --- the future, at home --- */

/* What a receiver gets in this state; -EAGAIN: nothing yet. */
static int oneshot_outcome(uint32_t state)
{
    if (state & ONESHOT_SENT)
        return 0;
    return state & (ONESHOT_DROPPED | ONESHOT_CLOSED) ? -EPIPE : -EAGAIN;
}

/* The future may be gone afterwards, and the oneshot with it. */
static void oneshot_complete(struct weir_oneshot *oneshot)
{
    uint32_t state =
        __atomic_fetch_and(&oneshot->state, ~(uint32_t)ONESHOT_WAITING, __ATOMIC_ACQ_REL);

    weir_assert(state & ONESHOT_WAITING);
    weir_future_set(&oneshot->future, oneshot_outcome(state));
}

static void oneshot_deliver(struct weir_shard *shard, struct weir_mail *mail)
{
    weir_mail_talks(shard);
    oneshot_complete(weir_container_of(mail, struct weir_oneshot, mail));
}

/* Takes WAITING away, unless the sender has seen it: then the completion is on its way. */
static void oneshot_cancel(struct weir_future *future)
{
    struct weir_oneshot *oneshot = weir_container_of(future, struct weir_oneshot, future);
    uint32_t state = oneshot_state(oneshot);

    while (!(state & ONESHOT_OVER))
        if (oneshot_swap(oneshot, &state, state & ~(uint32_t)ONESHOT_WAITING)) {
            weir_future_set(future, -ECANCELED);
            return;
        }
}

void weir_oneshot_start(struct weir_oneshot *oneshot)
{
    uint32_t state = oneshot_state(oneshot);

    weir_shard_check(oneshot->home, "weir_oneshot_recv");
    if (state & ONESHOT_WAITING)
        weir_panic("weir_oneshot_recv: somebody waits for this value already; a oneshot has one "
                   "receiver");
    weir_future_init(&oneshot->future, oneshot_cancel);
    while (oneshot_outcome(state) == -EAGAIN)
        if (oneshot_swap(oneshot, &state, state | ONESHOT_WAITING))
            return;
    weir_future_set(&oneshot->future, oneshot_outcome(state));
}

/* --- the sender --- */

/* Swaps `mark` in.  0, or -EPIPE when the receiver had closed: then it is DROPPED that went in. */
static int oneshot_end(struct weir_oneshot *oneshot, uint32_t mark, const char *call)
{
    uint32_t state = oneshot_state(oneshot), add;

    do {
        if (state & ONESHOT_OVER)
            weir_panic("%s: this sender has sent or dropped before; a oneshot carries one value",
                       call);
        add = state & ONESHOT_CLOSED ? ONESHOT_DROPPED : mark;
    } while (!oneshot_swap(oneshot, &state, state | add));
    if (state & ONESHOT_FREED) {
        free(oneshot);
    } else if (state & ONESHOT_WAITING) {
        if (oneshot->home == weir_shard_current) {
            oneshot_complete(oneshot);
        } else {
            weir_mail_talks(weir_shard_current);
            weir_mail_send(oneshot->home, &oneshot->mail);
        }
    }
    return state & ONESHOT_CLOSED ? -EPIPE : 0;
}

int weir_oneshot_send(struct weir_oneshot *oneshot, int64_t value)
{
    oneshot->value = value; /* read by nobody before SENT is there */
    return oneshot_end(oneshot, ONESHOT_SENT, "weir_oneshot_send");
}

void weir_oneshot_drop(struct weir_oneshot *oneshot)
{
    oneshot_end(oneshot, ONESHOT_DROPPED, "weir_oneshot_drop");
}

bool weir_oneshot_is_closed(const struct weir_oneshot *oneshot)
{
    return (oneshot_state(oneshot) & ONESHOT_CLOSED) != 0;
}

/* --- the receiver --- */

int weir_oneshot_try_recv(struct weir_oneshot *oneshot, int64_t *value)
{
    int outcome = oneshot_outcome(oneshot_state(oneshot));

    weir_shard_check(oneshot->home, "weir_oneshot_try_recv");
    if (outcome == 0)
        *value = oneshot->value;
    return outcome;
}

int weir_oneshot_recv(struct weir_oneshot *oneshot, int64_t *value, weir_time deadline)
{
    int error;

    weir_oneshot_start(oneshot);
    error = (int)weir_await(&oneshot->future, deadline);
    if (error == 0)
        *value = oneshot->value;
    return error;
}

void weir_oneshot_close(struct weir_oneshot *oneshot)
{
    uint32_t state = oneshot_state(oneshot), new;
    bool release;

    weir_shard_check(oneshot->home, "weir_oneshot_close");
    do {
        release = (state & (ONESHOT_WAITING | ONESHOT_OVER)) == ONESHOT_WAITING;
        new = (state | ONESHOT_CLOSED) & ~(uint32_t)(release ? ONESHOT_WAITING : 0);
    } while (!oneshot_swap(oneshot, &state, new));
    if (release)
        weir_future_set(&oneshot->future, -EPIPE);
}

void weir_oneshot_free(struct weir_oneshot *oneshot)
{
    uint32_t state;

    weir_shard_check(oneshot->home, "weir_oneshot_free");
    if (!oneshot->allocated)
        weir_panic(
            "weir_oneshot_free: this one was made by weir_oneshot_init, its memory is yours; "
            "weir_oneshot_close ends it");
    if (oneshot_state(oneshot) & ONESHOT_WAITING)
        weir_panic("weir_oneshot_free: somebody still waits for this value; cancel and await that "
                   "first");
    state = __atomic_fetch_or(&oneshot->state, ONESHOT_CLOSED | ONESHOT_FREED, __ATOMIC_ACQ_REL);
    if (state & ONESHOT_OVER)
        free(oneshot);
}
