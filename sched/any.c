/* any.c - work stealing before the first run.
 *
 * What is spawned stands in its shard's ring until a fiber is made of it.  The shard itself takes
 * a share and leaves the rest for a moment to those it has woken, or they would always come too
 * late: waking takes 10 us, beginning a task 0.1.  Whoever takes some over and sees more wakes the
 * next, so a burst spreads in steps that double.
 *
 * The handle stays at home.  Elsewhere only `runner`, `fiber`, `began` and `result` are written,
 * before the mail that brings the task home; an abort travels to the runner as a brief call, and
 * the task is over when both are back.
 *
 * An abort takes out of the ring what still stands there, so that it needs no room for a fiber.
 * `state` is where a later abort and the beginning meet: whoever swaps it first has decided. */
#include "sched/any.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "sched/call.h"
#include "sched/fiber.h"
#include "sched/mail.h"

enum { ANY_WAITS, ANY_BEGUN, ANY_ABORTED };
enum { ANY_SIM_ODDS = 2 };

#define ANY_SHARE_IDLE WEIR_US(20)
#define ANY_SHARE_BUSY WEIR_US(200)

/* --- the end, at home --- */

static void any_over(struct weir_task *task)
{
    if (!task->arrived || task->abort_out)
        return;
    task->home->errands--;
    weir_task_over(task, task->result);
}

static void any_deliver(struct weir_shard *shard, struct weir_mail *mail)
{
    struct weir_task *task = weir_container_of(mail, struct weir_task, mail);

    weir_mail_talks(shard);
    task->arrived = true;
    any_over(task);
}

/* --- where it runs --- */

static void any_end(struct weir_shard *shard, struct weir_task *task, int64_t result)
{
    task->fiber = NULL;
    task->result = result;
    if (task->home == shard) {
        task->arrived = true;
        any_over(task);
    } else {
        weir_mail_talks(shard);
        weir_mail_send(task->home, &task->mail);
    }
}

static void any_main(void *arg)
{
    struct weir_task *task = arg;
    int64_t result = weir_task_run(task);

    any_end(weir_shard_current, task, result);
}

static void any_begin(struct weir_shard *shard, struct weir_task *task)
{
    uint32_t state = ANY_WAITS;
    int error = -ECANCELED;

    task->runner = shard;
    /* Release: pairs with any_cancel, which reads `runner`. */
    if (__atomic_compare_exchange_n(&task->state, &state, ANY_BEGUN, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE))
        error = weir_fiber_spawn(shard, &shard->root, any_main, task, task->name, task->site,
                                 &task->fiber);
    if (error < 0)
        any_end(shard, task, error);
}

/* --- the rings --- */

/* Acquire: pairs with any_pop; what was in a slot has been read before it counts as free. */
static uint64_t any_length(const struct weir_any *any)
{
    uint64_t head = atomic_load_explicit(&any->head, memory_order_acquire);
    uint64_t tail = atomic_load_explicit(&any->tail, memory_order_relaxed);

    return tail > head ? tail - head : 0;
}

/* Where the next one goes; only we push.  -1: there is no room, or who takes the one that stands
 * there has yet to lift it out. */
static int any_slot(const struct weir_any *any)
{
    uint64_t tail = atomic_load_explicit(&any->tail, memory_order_relaxed);
    unsigned slot = (unsigned)(tail % WEIR_ANY_QUEUE);

    if (any_length(any) == WEIR_ANY_QUEUE ||
        atomic_load_explicit(&any->slot[slot], memory_order_acquire))
        return -1;
    return (int)slot;
}

static void any_push(struct weir_any *any, struct weir_task *task)
{
    uint64_t tail = atomic_load_explicit(&any->tail, memory_order_relaxed);

    /* Release, both: the task is written.  Pair with any_pop. */
    atomic_store_explicit(&any->slot[task->slot], task, memory_order_release);
    atomic_store_explicit(&any->tail, tail + 1, memory_order_release);
}

/* False: there is none.  *task is NULL where one was aborted.  Where that slot was filled again
 * meanwhile it is the newcomer, and NULL comes when it is the newcomer's turn. */
static bool any_pop(struct weir_any *any, struct weir_task **task)
{
    uint64_t head = atomic_load_explicit(&any->head, memory_order_acquire);

    do {
        if (head == atomic_load_explicit(&any->tail, memory_order_acquire))
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&any->head, &head, head + 1,
                                                    memory_order_acq_rel, memory_order_acquire));
    *task = atomic_exchange_explicit(&any->slot[head % WEIR_ANY_QUEUE], NULL, memory_order_acq_rel);
    return true;
}

/* At home: out of the ring, if it stands there still. */
static bool any_withdraw(struct weir_task *task)
{
    struct weir_any *any = &task->home->all->any[task->home->id];
    struct weir_task *there = task;

    return atomic_compare_exchange_strong_explicit(&any->slot[task->slot], &there, NULL,
                                                   memory_order_acq_rel, memory_order_acquire);
}

/* One that sleeps, if there is one: it will see that there are some. */
static void any_wake(struct weir_shard *shard)
{
    unsigned count = shard->all->count;

    weir_fence(); /* pairs with the one in shard.c, shard_may_sleep */
    for (unsigned i = 1; i < count; i++) {
        struct weir_shard *other = shard->all->shard[(shard->id + i) % count];

        if (atomic_load_explicit(&other->asleep, memory_order_relaxed)) {
            shard->stats.wakes_sent++;
            shard->all->wake(other);
            return;
        }
    }
}

/* --- the loop's side --- */

static bool any_take(struct weir_shard *shard, struct weir_any *any, uint64_t count)
{
    struct weir_task *task;
    bool took = false;

    while (count-- > 0 && weir_any_room(shard) && any_pop(any, &task)) {
        atomic_fetch_sub_explicit(&shard->all->any_count, 1, memory_order_relaxed);
        if (task)
            any_begin(shard, task);
        took = true;
    }
    return took;
}

/* Whether the time has come to take of our own; in the simulation the seed says. */
static bool any_share_due(struct weir_shard *shard, struct weir_any *any)
{
    bool idle = weir_list_empty(&shard->ready), due;

    if (shard->root.cancelled)
        return true;
    if (shard->quantum == 0)
        return weir_shard_random(shard) % ANY_SIM_ODDS == 0;
    due = shard->now - any->shared >= (idle ? ANY_SHARE_IDLE : ANY_SHARE_BUSY) &&
          (idle || shard->now - any->since >= ANY_SHARE_BUSY);
    if (due)
        any->shared = shard->now;
    return due;
}

static bool any_own(struct weir_shard *shard)
{
    struct weir_any *any = &shard->all->any[shard->id];
    uint64_t length = any_length(any), count = shard->all->count;

    if (length == 0)
        return false;
    if (weir_any_room(shard) && any_share_due(shard, any))
        any_take(shard, any, (length + count - 1) / count);
    if (any_length(any) > 0)
        any_wake(shard);
    return true;
}

static bool any_steal(struct weir_shard *shard)
{
    unsigned count = shard->all->count;
    unsigned first = (unsigned)(weir_shard_random(shard) % count);

    for (unsigned i = 0; i < count; i++) {
        unsigned other = (first + i) % count;
        struct weir_any *any = &shard->all->any[other];

        if (other == shard->id || !any_take(shard, any, (any_length(any) + 1) / 2))
            continue;
        if (any_length(any) > 0)
            any_wake(shard);
        return true;
    }
    return false;
}

bool weir_any_turn(struct weir_shard *shard)
{
    bool room = weir_any_room(shard);

    if (any_own(shard))
        return room;
    return room && weir_list_empty(&shard->ready) && any_steal(shard);
}

weir_time weir_any_next(const struct weir_shard *shard)
{
    const struct weir_any *any = &shard->all->any[shard->id];
    weir_time due = any->shared + ANY_SHARE_IDLE;

    if (!weir_any_pending(shard))
        return WEIR_NEVER;
    return any_length(any) > 0 && shard->quantum > 0 && due > shard->now ? due : 0;
}

/* --- abort --- */

static int64_t any_abort_there(void *arg)
{
    const struct weir_task *task = arg;

    if (task->fiber)
        weir_fiber_cancel(task->fiber);
    return 0;
}

static void any_aborted(struct weir_future *future)
{
    struct weir_task *task = weir_container_of(future, struct weir_task, abort.future);

    task->abort_out = false;
    any_over(task);
}

static void any_cancel(struct weir_future *future)
{
    struct weir_task *task = weir_container_of(future, struct weir_task, future);
    uint32_t state = ANY_WAITS;

    if (any_withdraw(task)) {
        task->home->errands--;
        weir_task_over(task, -ECANCELED);
        return;
    }
    /* One that was taken and has not begun will be refused. */
    if (__atomic_compare_exchange_n(&task->state, &state, ANY_ABORTED, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE))
        return;
    if (task->runner == task->home) {
        any_abort_there(task);
        return;
    }
    task->abort_out = true;
    weir_call_brief_start(&task->abort, task->runner->id, any_abort_there, task);
    if (!weir_future_on_done(&task->abort.future, any_aborted))
        any_aborted(&task->abort.future);
}

/* --- the public call --- */

int weir_spawn_any_at(struct weir_task *task, int64_t (*fn)(void *arg), void *arg, const char *name,
                      const char *site)
{
    struct weir_shard *shard = weir_shard_here("weir_spawn_any");
    struct weir_any *any = &shard->all->any[shard->id];
    int slot = any_slot(any);
    uint64_t length;

    if (shard->root.cancelled || shard->all->count == 1 || slot < 0)
        return weir_task_start_at(task, NULL, fn, arg, name, site);
    length = any_length(any);
    *task = (struct weir_task){
        .fn = fn,
        .arg = arg,
        .name = name,
        .site = site,
        .home = shard,
        .slot = (uint32_t)slot,
        .mail.deliver = any_deliver,
    };
    weir_future_init(&task->future, any_cancel);
    shard->errands++;
    if (length++ == 0)
        any->since = shard->now;
    atomic_fetch_add_explicit(&shard->all->any_count, 1, memory_order_relaxed);
    any_push(any, task);
    if (length >= 2 && (length & (length - 1)) == 0)
        any_wake(shard); /* this fiber may run for long */
    return 0;
}

/* --- making and ending --- */

int weir_any_init(struct weir_shards *shards)
{
    size_t size = shards->count * sizeof(struct weir_any);

    shards->any = aligned_alloc(WEIR_CACHE_LINE, size);
    if (!shards->any)
        return -ENOMEM;
    memset(shards->any, 0, size);
    return 0;
}
