/* world.c - one shard with a native stack, pumped by whoever calls; its clock, and who waits.
 *
 * Nothing here sleeps but a thread that waits for the other one.  When the stack has done something
 * that lets a waiting call go on, that call returns before any more time passes, up to its thread's
 * next look at the clock: so it ends at the right moment of virtual time, however slow the thread
 * is.
 *
 * packetdrill lets a second pass, of real time, for a call that still waits before it makes the
 * next one.  A call that nobody has entered beside for half of that lets virtual time pass by
 * itself.
 *
 * Invariant: outside of pd_enter ... pd_leave the shard has nothing to do before pd->until. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "tests/packetdrill/object.h"

enum { WORLD_TURNS = 1000000, WORLD_ALONE_MS = 500, WORLD_STEP_MS = 1, WORLD_RETURN_MS = 1000 };

#define WORLD_EPOCH INT64_C(1000000000) /* seconds; of gettimeofday, when the world begins */
#define WORLD_LOOK WEIR_US(1)           /* what a look at the clock costs */

/* This thread was woken from pd_wait and has not looked at the clock since. */
static _Thread_local bool world_returning;

void pd_die(const struct pd *pd, const char *format, ...)
{
    va_list args;

    fprintf(stderr, "weir-packetdrill: at %.6f s: ", (double)(pd->now - WEIR_SEC(1)) / 1e9);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, " (%llu packets of the stack, %llu for it)\n",
            (unsigned long long)pd->wire.sent, (unsigned long long)pd->wire.received);
    fflush(NULL);
    _Exit(1);
}

int64_t pd_usecs(weir_time at)
{
    return WORLD_EPOCH * 1000000 + at / 1000;
}

/* --- the other thread --- */

static struct timespec world_in_ms(unsigned ms)
{
    struct timespec at;

    clock_gettime(CLOCK_REALTIME, &at);
    at.tv_sec += ms / 1000;
    at.tv_nsec += (long)(ms % 1000) * 1000000;
    if (at.tv_nsec >= 1000000000) {
        at.tv_sec++;
        at.tv_nsec -= 1000000000;
    }
    return at;
}

/* Waits for `moved`; false when nothing came before `at`. */
static bool world_sleep(struct pd *pd, const struct timespec *at)
{
    bool moved;

    weir_shard_current = NULL;
    moved = pthread_cond_timedwait(&pd->moved, &pd->lock, at) == 0;
    weir_shard_current = pd->shard;
    pd->shard->now = pd->now;
    return moved;
}

static void world_returned(struct pd *pd)
{
    if (!world_returning)
        return;
    world_returning = false;
    pd->returning--;
    pthread_cond_broadcast(&pd->moved);
}

/* Time stands still until those who can go on have done so. */
static void world_hand_over(struct pd *pd)
{
    struct weir_link *at, *next;
    struct timespec end = world_in_ms(WORLD_RETURN_MS);

    for (at = pd->waiters.next; at != &pd->waiters; at = next) {
        struct pd_waiter *w = weir_container_of(at, struct pd_waiter, link);

        next = at->next;
        if (pd->now < w->deadline && !w->ready(pd, w->arg))
            continue;
        weir_list_del(at);
        w->woken = true;
        pd->returning++;
        pthread_cond_broadcast(&pd->moved);
    }
    while (pd->returning > world_returning && world_sleep(pd, &end))
        ;
}

/* --- the shard --- */

static bool world_poll(struct weir_driver *driver, weir_time until)
{
    struct pd *pd = weir_container_of(driver, struct pd, below);

    pd->until = until;
    return false;
}

static void world_below_close(struct weir_driver *driver)
{
    (void)driver;
}

static const struct weir_driver_ops world_below_ops = { .name = "packetdrill",
                                                        .poll = world_poll,
                                                        .close = world_below_close };

static weir_time world_clock(struct weir_shard *shard)
{
    return ((const struct pd *)shard->clock_arg)->now;
}

static void world_wake(struct weir_shard *shard)
{
    (void)shard; /* there is only one, and it runs on */
}

/* A turn without anything to do that may not sleep waits for less than a tick of the wheel. */
static void world_turns(struct pd *pd)
{
    for (unsigned turns = 0; turns < WORLD_TURNS; turns++) {
        pd->until = 0;
        if (!weir_shard_turn(pd->shard)) {
            if (pd->until != 0)
                return;
            pd->now += WORLD_LOOK;
        }
    }
    pd_die(pd, "the stack does not come to rest");
}

void pd_settle(struct pd *pd)
{
    world_turns(pd);
    weir_shard_current = pd->shard;
    pd->shard->now = pd->now;
    world_hand_over(pd);
}

static weir_time world_next(const struct pd *pd)
{
    weir_time next = pd->until;

    for (struct weir_link *at = pd->waiters.next; at != &pd->waiters; at = at->next) {
        weir_time deadline = weir_container_of(at, struct pd_waiter, link)->deadline;

        next = deadline < next ? deadline : next;
    }
    return next;
}

void pd_step(struct pd *pd, weir_time end)
{
    weir_time next = world_next(pd);

    next = next < end ? next : end;
    if (next > pd->now)
        pd->now = next;
    pd_settle(pd);
}

void pd_pass(struct pd *pd, weir_time span)
{
    weir_time end = pd->now + span;

    do
        pd_step(pd, end);
    while (pd->now < end);
}

/* --- calls --- */

struct pd *pd_enter(void *userdata)
{
    struct pd *pd = userdata;

    pthread_mutex_lock(&pd->lock);
    world_returned(pd);
    pd->entered++;
    weir_shard_current = pd->shard;
    pd->shard->now = pd->now;
    return pd;
}

int64_t pd_leave(struct pd *pd, int64_t result)
{
    pd_settle(pd);
    weir_shard_current = NULL;
    pthread_cond_broadcast(&pd->moved);
    pthread_mutex_unlock(&pd->lock);
    if (result >= 0)
        return result;
    errno = (int)-result;
    return -1;
}

void pd_looked_at_clock(struct pd *pd)
{
    pd->now += WORLD_LOOK;
}

/* On the first thread: nobody else lets time pass. */
static bool world_wait_alone(struct pd *pd, struct pd_waiter *w)
{
    weir_time end = pd->now + pd->limit;

    end = w->deadline < end ? w->deadline : end;
    do {
        pd_settle(pd);
        if (w->ready(pd, w->arg))
            return true;
        if (pd->now < end)
            pd_step(pd, end);
    } while (pd->now < end);
    if (w->ready(pd, w->arg))
        return true;
    if (pd->now < w->deadline)
        fprintf(stderr,
                "weir-packetdrill: at %.6f s: a call that the script does not expect to block "
                "would block for ever\n",
                (double)(pd->now - WEIR_SEC(1)) / 1e9);
    return false;
}

/* Whether nobody has called for so long. */
static bool world_is_alone(struct pd *pd, const struct pd_waiter *w, unsigned ms)
{
    struct timespec at = world_in_ms(ms);
    uint64_t entered = pd->entered;

    while (!w->woken && entered == pd->entered)
        if (!world_sleep(pd, &at))
            return true;
    return false;
}

/* As pd_step(), but for those who wait: this thread must not wait for itself to return.  False:
 * nothing will ever happen by itself. */
static bool world_step_alone(struct pd *pd)
{
    weir_time next = world_next(pd);

    if (next == WEIR_NEVER)
        return false;
    pd->now = next > pd->now ? next : pd->now;
    world_turns(pd);
    weir_shard_current = pd->shard;
    pd->shard->now = pd->now;
    return true;
}

/* Beside the first thread, which lets time pass; or is waiting for us. */
static bool world_wait_beside(struct pd *pd, struct pd_waiter *w)
{
    unsigned ms = WORLD_ALONE_MS;

    pd_settle(pd);
    if (w->ready(pd, w->arg))
        return true;
    weir_list_push(&pd->waiters, &w->link);
    while (!w->woken) {
        if (!world_is_alone(pd, w, ms)) {
            ms = WORLD_ALONE_MS;
            continue;
        }
        ms = world_step_alone(pd) ? WORLD_STEP_MS : WORLD_ALONE_MS;
        if (pd->now >= w->deadline || w->ready(pd, w->arg)) {
            weir_list_del(&w->link);
            return w->ready(pd, w->arg);
        }
    }
    world_returning = true;
    return w->ready(pd, w->arg);
}

bool pd_wait(struct pd *pd, bool (*ready)(struct pd *, void *), void *arg, weir_time deadline)
{
    struct pd_waiter w = { .ready = ready, .arg = arg, .deadline = deadline };

    weir_list_init(&w.link);
    return pthread_equal(pthread_self(), pd->first) ? world_wait_alone(pd, &w)
                                                    : world_wait_beside(pd, &w);
}

/* --- beginning and end --- */

/* Keeps the shard open: what it does is asked for from outside. */
static void world_main(void *arg)
{
    struct pd *pd = arg;

    weir_await(&pd->over, WEIR_NEVER);
}

static int world_stack_open(struct pd *pd, const struct pd_config *config, char *why,
                            size_t why_size)
{
    struct weir_dev *dev = &pd->wire.dev;
    int error = config->pcap ? weir_pcap_open(&dev, dev, config->pcap, why, why_size) : 0;

    if (!error)
        error = weir_native_shared_open(&pd->shared, dev, &config->native, 1, why, why_size);
    if (error)
        return error;
    weir_shard_current = pd->shard;
    error = weir_native_open(&pd->shard->driver, pd->shard, &pd->below, pd->shared, why, why_size);
    weir_shard_current = NULL;
    if (error) {
        weir_native_shared_close(pd->shared);
        return error;
    }
    pd->native = weir_native_of(weir_stack_of(pd->shard));
    return 0;
}

static int world_shard_open(struct pd *pd, const struct pd_config *config)
{
    struct weir_config shard_config;
    int error;

    weir_config_init(&shard_config);
    shard_config.shards = 1;
    shard_config.seed = config->seed;
    shard_config.idle_spin = 0;
    error = weir_shards_init(&pd->shards, 1, &shard_config);
    if (error)
        return error;
    pd->shards.wake = world_wake;
    pd->shard = aligned_alloc(_Alignof(struct weir_shard), sizeof *pd->shard);
    if (!pd->shard)
        return -ENOMEM;
    error = weir_shard_init(pd->shard, 0, &pd->shards, &shard_config);
    pd->shards.shard[0] = pd->shard;
    pd->shard->clock = world_clock;
    pd->shard->clock_arg = pd;
    pd->shard->now = pd->now;
    pd->below = (struct weir_driver){ &world_below_ops, pd->shard };
    return error;
}

int pd_world_open(struct pd **out, const struct pd_config *config, char *why, size_t why_size)
{
    struct pd *pd = calloc(1, sizeof *pd);
    int error;

    if (!pd)
        return -ENOMEM;
    pthread_mutex_init(&pd->lock, NULL);
    pthread_cond_init(&pd->moved, NULL);
    pd->first = pthread_self();
    pd->now = WEIR_SEC(1); /* zero means "never was" to much of the code */
    pd->limit = config->limit;
    weir_list_init(&pd->waiters);
    pd_wire_init(&pd->wire, config->mtu);
    error = world_shard_open(pd, config);
    if (error)
        snprintf(why, why_size, "%s", strerror(-error));
    else
        error = world_stack_open(pd, config, why, why_size);
    if (error) {
        free(pd->shard);
        free(pd);
        return error;
    }
    weir_future_init(&pd->over, NULL);
    error = weir_shard_start(pd->shard, world_main, pd);
    weir_assert(error == 0);
    pd_pass(pd, 0);
    *out = pd;
    return 0;
}

void pd_world_close(struct pd *pd)
{
    struct pd_packet *packet;

    weir_shard_current = pd->shard;
    weir_future_set(&pd->over, 0);
    while (!weir_shards_over(&pd->shards)) {
        pd->until = 0;
        weir_shard_turn(pd->shard);
        pd->now = pd->until > pd->now && pd->until != WEIR_NEVER ? pd->until : pd->now + 1000;
    }
    weir_shard_free(pd->shard);
    weir_native_shared_close(pd->shared);
    while ((packet = pd_wire_take(&pd->wire)) != NULL)
        free(packet);
    weir_shards_free(&pd->shards);
    free(pd->shard);
    pthread_cond_destroy(&pd->moved);
    pthread_mutex_destroy(&pd->lock);
    free(pd);
    weir_shard_current = NULL;
}
