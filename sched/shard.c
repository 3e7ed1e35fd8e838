/* shard.c - one turn of the loop, and what a shard is made of.
 *
 * The order of a turn is the policy: other shards first (their replies free our credits), then
 * other threads, then the world, then what is due, then the fibers all that made runnable; what
 * they ask of other shards goes out last, in one batch.  A turn that finds nothing to do ends up
 * sleeping in the driver, so that submitting, waiting and reaping are one system call.
 *
 * An adaptive shard spins only for other shards: waking a sleeping one costs them 7 us and it 20,
 * while the answer is often 200 ns away.  For sockets it sleeps at once: there, spinning was
 * measured to cost 10% more CPU per request and to win no latency. */
#include "sched/shard.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include "core/cpu.h"
#include "sched/any.h"
#include "sched/call.h"
#include "sched/fiber.h"
#include "sched/mail.h"

enum {
    SHARD_LOOKS = 64,     /* at the rings, per turn of a shard that spins */
    SHARD_TIMERS = 256,   /* alarms fired per turn */
    SHARD_SIM_FIBERS = 8, /* fibers per turn in the simulation, at most */
    SHARD_QUANTUM_US = 500,
    SHARD_YIELDED_US = 5, /* those who yield wait for something: perhaps for the world */
    SHARD_CLOCK_NS = 200,
    SHARD_STALL_US = 10000,
    SHARD_STALL_QUIET_US = 1000000,
};

_Thread_local struct weir_shard *weir_shard_current __attribute__((tls_model("initial-exec")));

void weir_shard_missing(const char *call)
{
    weir_panic("%s: no shard runs on this thread; start a runtime with weir_run, or with "
               "weir_runtime_new and weir_block_on, and call it from the function that runs there",
               call);
}

void weir_shard_foreign(const struct weir_shard *shard, const char *what)
{
    weir_panic("%s: this object belongs to shard %u and was used on shard %u; run the code there "
               "with weir_call",
               what, shard->id, weir_shard_here(what)->id);
}

bool weir_on_shard(void)
{
    return weir_shard_current != NULL;
}

unsigned weir_shard_id(void)
{
    return weir_shard_here("weir_shard_id")->id;
}

unsigned weir_shard_count(void)
{
    return weir_shard_here("weir_shard_count")->all->count;
}

void weir_shard_stats(struct weir_shard_stats *stats)
{
    *stats = weir_shard_here("weir_shard_stats")->stats;
}

/* --- stopping --- */

void weir_shards_stop(struct weir_shards *shards, int level)
{
    int seen = atomic_load(&shards->stop);

    while (seen < level && !atomic_compare_exchange_weak(&shards->stop, &seen, level))
        ;
    for (unsigned i = 0; i < shards->count; i++)
        shards->wake(shards->shard[i]);
}

bool weir_shards_over(const struct weir_shards *shards)
{
    return atomic_load_explicit(&shards->busy, memory_order_acquire) == 0;
}

static void shard_grace_over(struct weir_alarm *alarm)
{
    weir_shards_stop(weir_container_of(alarm, struct weir_shard, grace)->all, WEIR_CUTTING);
}

static void shard_stopping(struct weir_shard *shard)
{
    struct weir_link *link;

    weir_wheel_add(&shard->wheel, &shard->grace, weir_after(shard->all->grace));
    while ((link = weir_list_pop(&shard->stop_waits)) != NULL)
        weir_future_set(&weir_container_of(link, struct weir_stop_wait, link)->future, 0);
}

/* What other threads have asked for by a word in memory and a wake-up. */
static bool shard_orders(struct weir_shard *shard)
{
    int stop = atomic_load_explicit(&shard->all->stop, memory_order_relaxed);
    unsigned dumps = atomic_load_explicit(&shard->all->dumps, memory_order_relaxed);
    int seen = shard->stop_seen;

    if (weir_likely(stop == seen && dumps == shard->dumps_seen))
        return false;
    shard->stop_seen = stop;
    if (seen < WEIR_STOPPING && stop >= WEIR_STOPPING)
        shard_stopping(shard);
    if (seen < WEIR_CUTTING && stop >= WEIR_CUTTING)
        weir_scope_cancel(&shard->root);
    if (dumps != shard->dumps_seen)
        weir_shard_dump(shard);
    shard->dumps_seen = dumps;
    return true;
}

void weir_stop(void)
{
    weir_shards_stop(weir_shard_here("weir_stop")->all, WEIR_STOPPING);
}

bool weir_stopping(void)
{
    return atomic_load(&weir_shard_here("weir_stopping")->all->stop) >= WEIR_STOPPING;
}

static void stop_wait_cancel(struct weir_future *future)
{
    weir_list_del(&weir_container_of(future, struct weir_stop_wait, future)->link);
    weir_future_set(future, -ECANCELED);
}

void weir_stop_wait_start(struct weir_stop_wait *wait)
{
    struct weir_shard *shard = weir_shard_here("weir_stop_wait_start");

    weir_future_init(&wait->future, stop_wait_cancel);
    weir_list_init(&wait->link);
    if (shard->stop_seen >= WEIR_STOPPING)
        weir_future_set(&wait->future, 0);
    else
        weir_list_push(&shard->stop_waits, &wait->link);
}

/* --- telling others --- */

static bool shard_is_busy(const struct weir_shard *shard)
{
    return shard->stats.fibers > 0 || shard->calls_out > 0 || shard->errands > 0 ||
           shard->holds > 0;
}

/* Keeps weir_shards.busy true before anything of this turn is told to others. */
static void shard_count_busy(struct weir_shard *shard)
{
    if (weir_likely(shard->counted_busy) || !shard_is_busy(shard))
        return;
    shard->counted_busy = true;
    atomic_fetch_add(&shard->all->busy, 1);
}

/* The other way round it may be late, so it is done when there is nothing else to do. */
static void shard_count_idle(struct weir_shard *shard)
{
    if (!shard->counted_busy || shard_is_busy(shard))
        return;
    shard->counted_busy = false;
    if (atomic_fetch_sub(&shard->all->busy, 1) == 1)
        for (unsigned i = 0; i < shard->all->count; i++)
            shard->all->wake(shard->all->shard[i]); /* all is over: they need not sleep on */
}

/* What other shards are to know. */
static void shard_tell(struct weir_shard *shard)
{
    shard_count_busy(shard);
    if (weir_calls_flush(shard))
        shard->calls_last = shard->now;
}

/* --- the turn --- */

/* Another shard may have something for us soon. */
static bool shard_spins(const struct weir_shard *shard)
{
    return shard->poll == WEIR_POLL_BUSY || shard->now - shard->calls_last < shard->idle_spin;
}

/* Takes what other shards have sent.  One that spins with nothing else to do looks some more times
 * before it goes round: a look costs 5 ns, a turn 60. */
static bool shard_calls(struct weir_shard *shard)
{
    int looks = weir_list_empty(&shard->ready) && shard_spins(shard) ? shard->looks : 1;

    while (!weir_calls_poll(shard))
        if (--looks == 0)
            return false;
    shard->calls_last = shard->now;
    shard_tell(shard); /* answers to brief calls need not wait for the rest of the turn */
    return true;
}

/* Until when the driver may sleep: 0 when there is something to do, or to spin for. */
static weir_time shard_may_sleep(struct weir_shard *shard)
{
    weir_time next;

    shard_count_idle(shard);
    if (!weir_list_empty(&shard->ready) || weir_shards_over(shard->all))
        return 0;
    if (weir_stacks_trim(&shard->stacks) || shard_spins(shard))
        return 0;
    next = weir_wheel_next(&shard->wheel);
    if (weir_any_next(shard) < next)
        next = weir_any_next(shard);
    if (next <= shard->now)
        return 0;
    /* Pairs with the fence in call.c, calls_flush_to: either that side sees `asleep`, or we see
     * what it has pushed.  The same for orders, whose senders write wake_fd in any case. */
    atomic_store_explicit(&shard->asleep, true, memory_order_relaxed);
    weir_fence();
    if (weir_calls_pending(shard) || weir_mail_pending(shard) || weir_any_next(shard) == 0) {
        atomic_store_explicit(&shard->asleep, false, memory_order_relaxed);
        return 0;
    }
    shard->stats.sleeps++;
    return next;
}

/* After something was done in this turn it must not sleep: the answers to calls it has served
 * go out only by the flush at its end. */
static bool shard_drive(struct weir_shard *shard, bool worked_before)
{
    weir_time until = worked_before ? 0 : shard_may_sleep(shard);
    bool worked = shard->driver->ops->poll(shard->driver, until);

    if (until != 0 && atomic_load_explicit(&shard->asleep, memory_order_relaxed))
        weir_shard_awake(shard); /* the driver found something to do instead of sleeping */
    return worked;
}

static bool shard_timers(struct weir_shard *shard)
{
    int fired = 0;
    struct weir_alarm *alarm;

    if (weir_likely(weir_wheel_quiet(&shard->wheel, shard->now)))
        return false;
    while (fired < SHARD_TIMERS && (alarm = weir_wheel_pop(&shard->wheel, shard->now)) != NULL) {
        alarm->fire(alarm);
        fired++;
    }
    return fired > 0;
}

/* The fiber may have ended: its name stays readable until the next spawn. */
static void shard_stalled(struct weir_shard *shard, const struct weir_fiber *fiber, uint64_t began,
                          uint64_t ended)
{
    shard->stats.stalls++;
    if (ended < shard->stall_quiet)
        return;
    shard->stall_quiet = ended + SHARD_STALL_QUIET_US * weir_cycles_per_us();
    weir_log("fiber '%s' (spawned at %s) held shard %u for %llu ms, and everything else on it "
             "waited; let it weir_yield now and then",
             fiber->name, fiber->site, shard->id,
             (unsigned long long)((ended - began) / (weir_cycles_per_us() * 1000)));
}

/* The next to run, `spent` cycles after the first; NULL: the others have their turn. */
static struct weir_fiber *shard_fiber_next(struct weir_shard *shard, uint64_t spent)
{
    struct weir_link *link;

    if (spent > shard->quantum)
        return NULL;
    if (weir_list_empty(&shard->ready) && spent <= shard->quantum_yielded)
        weir_list_move_all(&shard->ready, &shard->yielded);
    link = weir_list_pop(&shard->ready);
    return link ? weir_container_of(link, struct weir_fiber, link) : NULL;
}

static bool shard_fibers(struct weir_shard *shard)
{
    uint64_t start, before, after;
    struct weir_fiber *fiber;

    if (weir_list_empty(&shard->ready))
        return false;
    start = before = after = weir_cycles();
    while ((fiber = shard_fiber_next(shard, after - start)) != NULL) {
        weir_fiber_run(shard, fiber);
        after = weir_cycles();
        if (weir_unlikely(after - before > shard->stall_cycles))
            shard_stalled(shard, fiber, before, after);
        before = after;
    }
    weir_list_move_all(&shard->ready, &shard->yielded);
    return true;
}

/* In the simulation: a random few, in random order. */
static bool shard_fibers_shuffled(struct weir_shard *shard)
{
    uint64_t left = 1 + weir_shard_random(shard) % SHARD_SIM_FIBERS;
    bool worked = false;

    while (left-- > 0 && !weir_list_empty(&shard->ready)) {
        struct weir_link *link = weir_list_pop(&shard->ready);

        if (weir_shard_random(shard) % 4 == 0 && !weir_list_empty(&shard->ready)) {
            weir_list_push(&shard->ready, link);
            continue;
        }
        weir_fiber_run(shard, weir_container_of(link, struct weir_fiber, link));
        worked = true;
    }
    weir_list_move_all(&shard->ready, &shard->yielded);
    return worked || !weir_list_empty(&shard->ready);
}

bool weir_shard_turn(struct weir_shard *shard)
{
    bool worked;

    weir_shard_current = shard;
    shard->stats.turns++;
    shard->now = shard->clock(shard);
    worked = shard_orders(shard);
    worked |= shard_calls(shard);
    worked |= weir_mail_deliver(shard);
    worked |= shard_drive(shard, worked);
    worked |= shard_timers(shard);
    worked |= shard->quantum ? shard_fibers(shard) : shard_fibers_shuffled(shard);
    if (weir_any_exist(shard))
        worked |= weir_any_turn(shard);
    shard_tell(shard);
    weir_shard_current = NULL;
    return worked;
}

/* --- reports --- */

static void shard_panic_context(char *text, size_t size)
{
    const struct weir_shard *shard = weir_shard_current;

    if (!shard)
        text[0] = 0;
    else if (!shard->fiber)
        snprintf(text, size, "shard %u", shard->id);
    else
        snprintf(text, size, "shard %u, fiber '%s' spawned at %s", shard->id, shard->fiber->name,
                 shard->fiber->site);
}

void weir_shard_dump(struct weir_shard *shard)
{
    weir_log("shard %u: %llu fibers", shard->id, (unsigned long long)shard->stats.fibers);
    for (struct weir_link *link = shard->fibers.next; link != &shard->fibers; link = link->next) {
        const struct weir_fiber *fiber = weir_container_of(link, struct weir_fiber, all);
        double seconds = (double)(shard->now - fiber->since) / 1e9;

        weir_log("  fiber '%s' (spawned at %s) %s for %.3f s%s", fiber->name, fiber->site,
                 fiber->futures && fiber->left ? "waits" : "could run", seconds,
                 fiber->cancelled ? ", cancelled" : "");
    }
    if (shard->driver && shard->driver->ops->report)
        shard->driver->ops->report(shard->driver);
}

/* --- making and ending --- */

static void shard_seed(struct weir_shard *shard, uint64_t seed)
{
    /* splitmix64 by Vigna (prng.di.unimi.it), public domain: neighbouring seeds differ in all bits.
     */
    seed += shard->id;
    for (int i = 0; i < 2; i++) {
        uint64_t z = (seed += 0x9e3779b97f4a7c15);

        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        shard->random[i] = z ^ (z >> 31);
    }
}

int weir_shard_init(struct weir_shard *shard, unsigned id, struct weir_shards *all,
                    const struct weir_config *config)
{
    uint64_t seed = config->seed;

    weir_panic_context = shard_panic_context;
    memset(shard, 0, sizeof *shard);
    shard->id = id;
    shard->all = all;
    shard->wake_fd = -1;
    shard->fibers_max = config->fibers_max;
    shard->poll = config->poll;
    shard->idle_spin = config->idle_spin;
    shard->quantum = SHARD_QUANTUM_US * weir_cycles_per_us();
    shard->quantum_yielded = SHARD_YIELDED_US * weir_cycles_per_us();
    shard->clock_span = SHARD_CLOCK_NS * weir_cycles_per_us() / 1000;
    shard->stall_cycles = SHARD_STALL_US * weir_cycles_per_us();
    shard->looks = all->count > 1 ? SHARD_LOOKS : 1;
    shard->counted_busy = true;
    weir_list_init(&shard->ready);
    weir_list_init(&shard->yielded);
    weir_list_init(&shard->fibers);
    weir_list_init(&shard->stop_waits);
    weir_list_init(&shard->cancelling);
    weir_list_init(&shard->interrupting);
    weir_wheel_init(&shard->wheel, 0);
    shard->no_timers = !config->timers;
    weir_scope_init(&shard->root);
    weir_alarm_init(&shard->grace, shard_grace_over);
    weir_stacks_init(&shard->stacks, config->fiber_stack);
    if (seed == 0 && getrandom(&seed, sizeof seed, 0) != sizeof seed)
        return -errno;
    shard_seed(shard, seed);
    return 0;
}

int weir_shard_start(struct weir_shard *shard, void (*shard_main)(void *arg), void *arg)
{
    int error;

    shard->now = shard->clock(shard);
    if (shard->wheel.armed == 0)
        weir_wheel_init(&shard->wheel, shard->now);
    weir_shard_current = shard;
    error = weir_fiber_spawn(shard, &shard->root, shard_main, arg, "main", "weir_run", NULL);
    weir_shard_current = NULL;
    return error;
}

void weir_shard_free(struct weir_shard *shard)
{
    weir_assert(shard->stats.fibers == 0 && shard->calls_out == 0);
    weir_shard_current = shard;
    if (shard->signals > 0)
        weir_panic("shard %u has ended but left %u signals open: each needs its weir_signal_close",
                   shard->id, shard->signals);
    weir_alarm_clear(&shard->grace);
    if (shard->driver)
        shard->driver->ops->close(shard->driver);
    shard->driver = NULL;
    weir_shard_current = NULL;
    weir_stacks_free(&shard->stacks);
}

int weir_shards_init(struct weir_shards *shards, unsigned count, const struct weir_config *config)
{
    size_t pairs = (size_t)count * count;

    *shards = (struct weir_shards){ .count = count, .grace = config->grace };
    atomic_store(&shards->busy, count);
    shards->shard = calloc(count, sizeof(struct weir_shard *));
    shards->pairs = aligned_alloc(WEIR_CACHE_LINE, pairs * sizeof(struct weir_pair));
    if (!shards->shard || !shards->pairs || weir_any_init(shards) < 0) {
        weir_shards_free(shards);
        return -ENOMEM;
    }
    for (size_t i = 0; i < pairs; i++)
        weir_pair_init(&shards->pairs[i]);
    return 0;
}

void weir_shards_free(struct weir_shards *shards)
{
    free(shards->shard);
    free(shards->pairs);
    free(shards->any);
    shards->shard = NULL;
    shards->pairs = NULL;
    shards->any = NULL;
}
