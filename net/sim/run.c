/* run.c - the pump of a simulation: which shard has the next turn, and what time it is.
 *
 * Among the shards that are awake the seed picks one, for one turn; each turn lets a moment pass,
 * and may have a turn of another shard in its middle, where the driver polls.
 * When all of them sleep the clock jumps to the first that is due.  Nothing else decides: no wall
 * clock, no address, no thread, so one seed is one run.
 *
 * A turn that slept in its driver has returned here; until its time comes, or it is woken, the
 * shard still counts as asleep.
 *
 * A native stack stands between the shard and the simulated driver, as it stands above the kernel's
 * elsewhere: it sleeps through that, so the pump sees no difference.  What it sends travels on a
 * loopback device; faults and delays are that device's. */
#include <errno.h>
#include <stdlib.h>
#include "net/native/native.h"
#include "net/sim/net.h"
#include "sched/blocking.h"
#include "sched/call.h"

enum { TURN_NS = 2000, CUT_TURNS = 10000000, SIM_WHY = 256 };

struct sim {
    struct weir_sim_net net;
    struct weir_shards shards;
    struct weir_shard *shard; /* shards.count of them */
    struct weir_sim_driver *driver[WEIR_SHARDS_MAX];
    struct weir_native_shared *native; /* or NULL: the simulated sockets */
    struct weir_blocking_pool blocking;
    weir_time end;
};

void weir_sim_config_init(struct weir_sim_config *config)
{
    *config = (struct weir_sim_config){
        .shards = 2,
        .seed = 1,
        .limit = WEIR_SEC(3600),
        .fibers_max = 1024,
        .delay_max = WEIR_MS(1),
        .window = 65536,
    };
}

uint64_t weir_random(uint64_t bound)
{
    struct weir_shard *shard = weir_shard_here("weir_random");

    weir_assert(bound > 0);
    return (uint64_t)(((unsigned __int128)weir_shard_random(shard) * bound) >> 64);
}

/* --- what the shards see of it --- */

static weir_time sim_clock(struct weir_shard *shard)
{
    return ((struct weir_sim_net *)shard->clock_arg)->now;
}

/* Not shard->driver, above it there may be a native stack. */
static struct weir_sim_driver *sim_driver_of(const struct weir_shard *shard)
{
    struct weir_sim_net *net = shard->clock_arg;

    return weir_container_of(net, struct sim, net)->driver[shard->id];
}

static void sim_wake(struct weir_shard *shard)
{
    sim_driver_of(shard)->woken = true;
}

/* --- the pump --- */

static void sim_turn(struct sim *sim, struct weir_shard *shard)
{
    struct weir_sim_driver *driver = sim_driver_of(shard);

    driver->sleeping = false;
    driver->in_turn = true;
    atomic_store_explicit(&shard->asleep, false, memory_order_relaxed);
    weir_shard_turn(shard);
    driver->in_turn = false;
    atomic_store_explicit(&shard->asleep, driver->sleeping, memory_order_relaxed);
    sim->net.now += (weir_time)weir_sim_random(&sim->net, TURN_NS + 1);
}

/* One of the shards whose time has come, or NULL and the time of the first. */
static struct weir_shard *sim_pick(struct sim *sim, weir_time *first)
{
    struct weir_shard *pick = NULL;
    uint64_t seen = 0;

    *first = WEIR_NEVER;
    for (unsigned i = 0; i < sim->shards.count; i++) {
        const struct weir_sim_driver *driver = sim_driver_of(&sim->shard[i]);
        weir_time next = driver->in_turn ? WEIR_NEVER : weir_sim_driver_next(driver);

        if (next < *first)
            *first = next;
        if (next <= sim->net.now && weir_sim_random(&sim->net, ++seen) == 0)
            pick = &sim->shard[i];
    }
    return pick;
}

static void sim_interleave(struct weir_sim_net *net)
{
    struct sim *sim = weir_container_of(net, struct sim, net);
    struct weir_shard *outer = weir_shard_current, *pick;
    weir_time first;

    pick = sim_pick(sim, &first);
    if (pick == NULL)
        return;
    sim_turn(sim, pick);
    weir_shard_current = outer;
}

/* One turn of one shard.  -EDEADLK: none is due, ever; -ETIME: none before the end. */
static int sim_step(struct sim *sim)
{
    weir_time first;
    struct weir_shard *pick = sim_pick(sim, &first);

    if (first == WEIR_NEVER)
        return -EDEADLK;
    if ((pick != NULL ? sim->net.now : first) > sim->end)
        return -ETIME;
    if (pick != NULL)
        sim_turn(sim, pick);
    else
        sim->net.now = first;
    return 0;
}

/* Ends what is left by cancelling it. */
static void sim_cut(struct sim *sim)
{
    sim->end = WEIR_NEVER;
    weir_shards_stop(&sim->shards, WEIR_CUTTING);
    for (unsigned turns = 0; !weir_shards_over(&sim->shards); turns++)
        if (turns == CUT_TURNS || sim_step(sim) < 0)
            weir_panic("seed %llu: fibers are left that do not end when they are cancelled",
                       (unsigned long long)sim->net.config.seed);
}

static int sim_failed(struct sim *sim, int error)
{
    weir_log("simulation with seed %llu: %s after %.6f s", (unsigned long long)sim->net.config.seed,
             error == -EDEADLK ? "all fibers wait for what cannot come" : "not over",
             (double)(sim->net.now - WEIR_SEC(1)) / 1e9);
    for (unsigned i = 0; i < sim->shards.count; i++) {
        sim->shard[i].now = sim->net.now;
        weir_shard_dump(&sim->shard[i]);
    }
    sim_cut(sim);
    return error;
}

static int sim_pump(struct sim *sim)
{
    int error = 0;

    while (error == 0 && !weir_shards_over(&sim->shards))
        error = sim_step(sim);
    return error < 0 ? sim_failed(sim, error) : 0;
}

/* --- making and ending --- */

static int sim_native_open(struct sim *sim, struct weir_shard *shard)
{
    char why[SIM_WHY];
    int error;

    weir_shard_current = shard;
    error = weir_native_open(&shard->driver, shard, shard->driver, sim->native, why, sizeof why);
    weir_shard_current = NULL;
    if (error < 0)
        weir_log("%s", why);
    return error;
}

static int sim_shard_open(struct sim *sim, unsigned id, const struct weir_config *config)
{
    struct weir_shard *shard = &sim->shard[id];
    int error = weir_shard_init(shard, id, &sim->shards, config);

    if (error < 0)
        return error;
    sim->shards.shard[id] = shard;
    shard->clock = sim_clock;
    shard->clock_arg = &sim->net;
    shard->quantum = 0; /* cycles are not deterministic */
    shard->now = sim->net.now;
    error = weir_sim_net_open(&shard->driver, shard, &sim->net);
    if (error < 0)
        return error;
    sim->driver[id] = weir_container_of(shard->driver, struct weir_sim_driver, driver);
    return sim->native ? sim_native_open(sim, shard) : 0;
}

static int sim_start(struct sim *sim, void (*shard_main)(void *arg), void *arg)
{
    int error = 0;

    for (unsigned i = 0; error == 0 && i < sim->shards.count; i++)
        error = weir_shard_start(&sim->shard[i], shard_main, arg);
    if (error == 0)
        return sim_pump(sim);
    sim_cut(sim);
    return error;
}

static int sim_open_and_run(struct sim *sim, const struct weir_config *config,
                            void (*shard_main)(void *arg), void *arg)
{
    unsigned opened = 0;
    int error = 0;

    while (error == 0 && opened < sim->shards.count)
        error = sim_shard_open(sim, opened++, config);
    if (error == 0)
        error = sim_start(sim, shard_main, arg);
    while (opened > 0)
        weir_shard_free(&sim->shard[--opened]);
    return error;
}

/* The wire between the shards, and what their stacks have in common. */
static int sim_wire_open(struct sim *sim, const struct weir_sim_config *config)
{
    struct weir_dev_config dev_config = { .spec = config->misdirect ? "loop:misdirect" : "loop",
                                          .impair = config->impair,
                                          .pcap = config->pcap,
                                          .queues = config->shards,
                                          .seed = config->seed };
    struct weir_native_config native;
    struct weir_dev *dev;
    char why[SIM_WHY];
    int error = weir_dev_open(&dev, &dev_config, why, sizeof why);

    if (error == 0) {
        weir_native_config_init(&native);
        native.secret = config->seed != 0 ? config->seed : UINT64_MAX;
        error =
            weir_native_shared_open(&sim->native, dev, &native, config->shards, why, sizeof why);
        if (error < 0)
            weir_dev_close(dev);
    }
    if (error < 0)
        weir_log("%s", why);
    return error;
}

static void sim_shard_config(struct weir_config *config, const struct weir_sim_config *sim)
{
    weir_config_init(config);
    config->fibers_max = sim->fibers_max;
    config->seed = sim->seed != 0 ? sim->seed : UINT64_MAX; /* 0 would be taken from the kernel */
    config->idle_spin = sim->seed % 2 != 0 ? WEIR_US(20) : 0;
}

int weir_sim_run(const struct weir_sim_config *config, void (*shard_main)(void *arg), void *arg)
{
    struct weir_config shard_config;
    struct sim sim = { .native = NULL };
    int error;

    if (weir_shard_current != NULL)
        weir_panic("weir_sim_run: a shard runs on this thread; call it from outside, such as main");
    if (config->shards == 0 || config->shards > WEIR_SHARDS_MAX || config->window == 0 ||
        config->delay_max < 0 || config->limit < 0)
        return -EINVAL;
    sim_shard_config(&shard_config, config);
    weir_sim_net_init(&sim.net, config);
    if (__builtin_add_overflow(sim.net.now, config->limit, &sim.end))
        sim.end = WEIR_NEVER;
    error = weir_shards_init(&sim.shards, config->shards, &shard_config);
    if (error < 0)
        return error;
    sim.shards.wake = sim_wake;
    sim.shards.blocking = &sim.blocking;
    weir_blocking_init(&sim.blocking, &shard_config);
    sim.net.interleave = sim_interleave;
    sim.shard = aligned_alloc(_Alignof(struct weir_shard), config->shards * sizeof *sim.shard);
    error = sim.shard != NULL ? 0 : -ENOMEM;
    if (error == 0 && config->native)
        error = sim_wire_open(&sim, config);
    if (error == 0)
        error = sim_open_and_run(&sim, &shard_config, shard_main, arg);
    if (sim.native)
        weir_native_shared_close(sim.native);
    weir_blocking_end(&sim.blocking);
    free(sim.shard);
    weir_shards_free(&sim.shards);
    return error;
}
