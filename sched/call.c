/* call.c - cross-shard calls: a call struct travels out, runs, and travels back.
 *
 * Messages are pointers to struct weir_call, which lives in the caller's frame; the lowest bit
 * marks a request to cancel that call.  A call is over when its answer has come home, and its
 * cancel too if one was sent: until then the other shard may look at it.  A cancel cannot overtake
 * its call, for the ring keeps order, so `runs` tells the other shard whether there is still a
 * fiber to cancel.
 *
 * Wake-up of a sleeping shard: the sleeper stores `asleep`, fences, and looks at the rings once
 * more; the sender pushes, fences, and only then looks at `asleep`.  One of them sees the other. */
#include "sched/call.h"
#include <errno.h>
#include <string.h>
#include "sched/fiber.h"

enum { CALL_CANCEL = 1 };

_Static_assert(offsetof(struct weir_call, fn) == WEIR_CACHE_LINE &&
                   sizeof(struct weir_call) <= 2 * WEIR_CACHE_LINE,
               "what travels is one line of a call that is aligned");

void weir_pair_init(struct weir_pair *pair)
{
    memset(pair, 0, sizeof *pair);
    pair->credits = WEIR_SPSC_SIZE;
    weir_list_init(&pair->waiting);
}

static struct weir_pair *pair_of(const struct weir_shards *all, unsigned from, unsigned to)
{
    return &all->pairs[(size_t)from * all->count + to];
}

static void shard_dirty(struct weir_shard *shard, unsigned target)
{
    shard->dirty[target / 64] |= (uint64_t)1 << (target % 64);
    shard->dirty_words |= (uint64_t)1 << (target / 64);
}

/* --- the caller's side --- */

static void call_emit(struct weir_shard *shard, struct weir_pair *pair, struct weir_call *call,
                      uintptr_t tag)
{
    weir_assert(pair->credits > 0 && pair->out_count < WEIR_SPSC_SIZE);
    pair->credits--;
    pair->out_batch[pair->out_count++] = (void *)((uintptr_t)call | tag);
    shard_dirty(shard, call->to);
    if (tag == CALL_CANCEL)
        call->cancel_out = true;
    else
        call->sent = true;
}

/* Credits that have come back go to those who wait, in order. */
static void pair_serve_waiting(struct weir_shard *shard, struct weir_pair *pair)
{
    while (pair->credits > 0 && !weir_list_empty(&pair->waiting)) {
        struct weir_call *call =
            weir_container_of(weir_list_pop(&pair->waiting), struct weir_call, link);

        call->cancel_waits = false;
        call_emit(shard, pair, call, call->sent ? CALL_CANCEL : 0);
    }
}

static void call_over(struct weir_shard *shard, struct weir_call *call)
{
    shard->calls_out--;
    weir_future_set(&call->future, call->result);
}

/* A message of ours has come home. */
static void call_home(struct weir_shard *shard, struct weir_pair *pair, void *message)
{
    struct weir_call *call = (void *)((uintptr_t)message & ~(uintptr_t)CALL_CANCEL);

    pair->credits++;
    if ((uintptr_t)message & CALL_CANCEL) {
        call->cancel_out = false;
    } else {
        call->answered = true;
        if (call->cancel_waits) {
            call->cancel_waits = false;
            weir_list_del(&call->link);
        }
    }
    if (call->answered && !call->cancel_out)
        call_over(shard, call);
}

static void call_cancel(struct weir_future *future)
{
    struct weir_call *call = weir_container_of(future, struct weir_call, future);
    struct weir_shard *shard = weir_shard_here("weir_future_cancel");
    struct weir_pair *pair = pair_of(shard->all, call->from, call->to);

    if (!call->sent) { /* still waits for a credit */
        weir_list_del(&call->link);
        call->result = -ECANCELED;
        call_over(shard, call);
    } else if (!call->brief && !call->answered) {
        if (pair->credits > 0 && weir_list_empty(&pair->waiting)) {
            call_emit(shard, pair, call, CALL_CANCEL);
        } else {
            call->cancel_waits = true;
            weir_list_push(&pair->waiting, &call->link);
        }
    }
}

/* --- the other shard's side --- */

static void call_reply(struct weir_shard *shard, struct weir_call *call, uintptr_t tag)
{
    struct weir_pair *pair = pair_of(shard->all, call->from, call->to);

    weir_assert(pair->back_count < WEIR_SPSC_SIZE);
    pair->back_batch[pair->back_count++] = (void *)((uintptr_t)call | tag);
    shard_dirty(shard, call->from);
}

/* Where the fiber of a call ends: at home at once, from elsewhere through the ring. */
static void call_finish(struct weir_shard *shard, struct weir_call *call, int64_t result)
{
    call->runs = NULL;
    call->result = result;
    if (call->from == call->to)
        weir_future_set(&call->future, result);
    else
        call_reply(shard, call, 0);
}

static void call_main(void *arg)
{
    struct weir_call *call = arg;
    int64_t result = call->fn(call->arg);

    call_finish(weir_shard_current, call, result);
}

static void call_spawn(struct weir_shard *shard, struct weir_call *call)
{
    int error =
        weir_fiber_spawn(shard, &shard->root, call_main, call, "call", "weir_call", &call->runs);

    if (error < 0)
        call_finish(shard, call, error);
}

static void call_serve(struct weir_shard *shard, void *message)
{
    struct weir_call *call = (void *)((uintptr_t)message & ~(uintptr_t)CALL_CANCEL);

    if ((uintptr_t)message & CALL_CANCEL) {
        if (call->runs)
            weir_fiber_cancel(call->runs);
        call_reply(shard, call, CALL_CANCEL);
        return;
    }
    shard->stats.calls_served++;
    if (call->brief)
        call_finish(shard, call, call->fn(call->arg));
    else
        call_spawn(shard, call);
}

/* --- the loop's side --- */

/* For writing: the line comes once, with the right to write the result. */
static void call_prefetch(void *message)
{
    struct weir_call *call = (void *)((uintptr_t)message & ~(uintptr_t)CALL_CANCEL);

    __builtin_prefetch(&call->fn, 1);
}

static bool calls_poll_pair(struct weir_shard *shard, unsigned other)
{
    struct weir_pair *ours = pair_of(shard->all, shard->id, other);
    struct weir_pair *theirs = pair_of(shard->all, other, shard->id);
    void *message[WEIR_SPSC_SIZE];
    uint32_t home, served;

    home = weir_spsc_pop(&ours->back, message, WEIR_SPSC_SIZE);
    for (uint32_t i = 0; i < home; i++)
        call_home(shard, ours, message[i]);
    if (home > 0)
        pair_serve_waiting(shard, ours);
    /* At most as many as there are credits, and each leaves room for its answer. */
    served = weir_spsc_pop(&theirs->out, message, WEIR_SPSC_SIZE);
    for (uint32_t i = 0; i < served; i++)
        call_prefetch(message[i]);
    for (uint32_t i = 0; i < served; i++)
        call_serve(shard, message[i]);
    return home > 0 || served > 0;
}

bool weir_calls_poll(struct weir_shard *shard)
{
    bool worked = false;

    for (unsigned i = 0; i < shard->all->count; i++)
        if (i != shard->id)
            worked |= calls_poll_pair(shard, i);
    return worked;
}

bool weir_calls_pending(const struct weir_shard *shard)
{
    for (unsigned i = 0; i < shard->all->count; i++)
        if (i != shard->id && (!weir_spsc_empty(&pair_of(shard->all, i, shard->id)->out) ||
                               !weir_spsc_empty(&pair_of(shard->all, shard->id, i)->back)))
            return true;
    return false;
}

static void calls_push(struct weir_spsc *ring, void *const *batch, uint32_t *count)
{
    uint32_t pushed = *count ? weir_spsc_push(ring, batch, *count) : 0;

    weir_assert(pushed == *count); /* credits: see struct weir_pair */
    *count = 0;
}

static void calls_flush_to(struct weir_shard *shard, unsigned other)
{
    struct weir_pair *ours = pair_of(shard->all, shard->id, other);
    struct weir_pair *theirs = pair_of(shard->all, other, shard->id);
    struct weir_shard *target = shard->all->shard[other];

    calls_push(&ours->out, ours->out_batch, &ours->out_count);
    calls_push(&theirs->back, theirs->back_batch, &theirs->back_count);
    weir_fence(); /* pairs with the one in shard.c, shard_may_sleep */
    if (atomic_load_explicit(&target->asleep, memory_order_relaxed)) {
        shard->stats.wakes_sent++;
        shard->all->wake(target);
    }
}

static void calls_flush_word(struct weir_shard *shard, unsigned word)
{
    while (shard->dirty[word]) {
        unsigned bit = (unsigned)__builtin_ctzll(shard->dirty[word]);

        shard->dirty[word] &= shard->dirty[word] - 1;
        calls_flush_to(shard, word * 64 + bit);
    }
}

bool weir_calls_flush(struct weir_shard *shard)
{
    if (shard->dirty_words == 0)
        return false;
    while (shard->dirty_words) {
        unsigned word = (unsigned)__builtin_ctzll(shard->dirty_words);

        shard->dirty_words &= shard->dirty_words - 1;
        calls_flush_word(shard, word);
    }
    return true;
}

/* --- the public calls --- */

static void call_start_home(struct weir_shard *shard, struct weir_call *call)
{
    if (call->brief)
        weir_future_set(&call->future, call->fn(call->arg));
    else
        call_spawn(shard, call);
}

static void call_home_cancel(struct weir_future *future)
{
    struct weir_call *call = weir_container_of(future, struct weir_call, future);

    if (call->runs)
        weir_fiber_cancel(call->runs);
}

static void call_start(struct weir_call *call, unsigned to, int64_t (*fn)(void *arg), void *arg,
                       bool brief, const char *name)
{
    struct weir_shard *shard = weir_shard_here(name);
    struct weir_pair *pair;

    *call = (struct weir_call){ .fn = fn, .arg = arg, .brief = brief };
    if (to >= shard->all->count) {
        weir_future_init(&call->future, NULL);
        weir_future_set(&call->future, -EINVAL);
        return;
    }
    call->from = (uint16_t)shard->id;
    call->to = (uint16_t)to;
    if (to == shard->id) {
        weir_future_init(&call->future, call_home_cancel);
        call_start_home(shard, call);
        return;
    }
    weir_future_init(&call->future, call_cancel);
    shard->calls_out++;
    shard->stats.calls_sent++;
    pair = pair_of(shard->all, shard->id, to);
    if (pair->credits > 0 && weir_list_empty(&pair->waiting))
        call_emit(shard, pair, call, 0);
    else
        weir_list_push(&pair->waiting, &call->link);
}

void weir_call_start(struct weir_call *call, unsigned to, int64_t (*fn)(void *arg), void *arg)
{
    call_start(call, to, fn, arg, false, "weir_call_start");
}

void weir_call_brief_start(struct weir_call *call, unsigned to, int64_t (*fn)(void *arg), void *arg)
{
    call_start(call, to, fn, arg, true, "weir_call_brief_start");
}

int64_t weir_call(unsigned to, int64_t (*fn)(void *arg), void *arg, weir_time deadline)
{
    _Alignas(WEIR_CACHE_LINE) struct weir_call call;

    weir_fiber_here("weir_call");
    weir_call_start(&call, to, fn, arg);
    return weir_await(&call.future, deadline);
}

int64_t weir_call_brief(unsigned to, int64_t (*fn)(void *arg), void *arg, weir_time deadline)
{
    _Alignas(WEIR_CACHE_LINE) struct weir_call call;

    weir_fiber_here("weir_call_brief");
    weir_call_brief_start(&call, to, fn, arg);
    return weir_await(&call.future, deadline);
}

/* --- spawning on another shard: a brief call --- */

struct call_spawn_on {
    void (*fn)(void *arg);
    void *arg;
    const char *name, *site;
};

static int64_t call_spawn_there(void *arg)
{
    struct call_spawn_on *spawn = arg;
    struct weir_shard *shard = weir_shard_current;

    return weir_fiber_spawn(shard, &shard->root, spawn->fn, spawn->arg, spawn->name, spawn->site,
                            NULL);
}

int weir_spawn_on_at(unsigned to, void (*fn)(void *arg), void *arg, weir_time deadline,
                     const char *name, const char *site)
{
    struct call_spawn_on spawn = { fn, arg, name, site };

    return (int)weir_call_brief(to, call_spawn_there, &spawn, deadline);
}
