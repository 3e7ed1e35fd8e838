/* micro_cross.c - measurements between two pinned shards, and between two bare threads.
 *
 * The yardstick is a pointer that goes out through one ring and comes back through another, with a
 * busy thread at either end and nothing else: what the memory system allows. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <weir/shard.h>
#include "core/cpu.h"
#include "core/spsc.h"
#include "perf/micro.h"

enum { FLIGHT = 128 };

/* --- the yardstick --- */

static struct bare {
    struct weir_spsc out, back;
    uint64_t n;
    _Atomic bool ready;
} bare;

static void *cross_pop(struct weir_spsc *ring)
{
    void *item;

    while (weir_spsc_pop(ring, &item, 1) == 0)
        ;
    return item;
}

static void *bare_echo(void *arg)
{
    (void)arg;
    weir_cpu_pin(weir_micro_cpus[1]);
    atomic_store(&bare.ready, true);
    for (uint64_t i = 0; i < bare.n; i++) {
        void *item = cross_pop(&bare.out);

        weir_spsc_push(&bare.back, &item, 1);
    }
    return NULL;
}

static void bare_start(struct micro_run *run, pthread_t *thread, void *(*echo)(void *arg))
{
    weir_spsc_init(&bare.out);
    weir_spsc_init(&bare.back);
    bare.n = run->n;
    atomic_store(&bare.ready, false);
    weir_cpu_pin(weir_micro_cpus[0]);
    if (pthread_create(thread, NULL, echo, NULL) != 0) {
        fprintf(stderr, "bench_micro: no thread could be started\n");
        exit(1);
    }
    while (!atomic_load(&bare.ready))
        weir_cpu_relax();
}

static void cross_bare(struct micro_run *run)
{
    pthread_t thread;
    void *item = &bare;

    bare_start(run, &thread, bare_echo);
    micro_begin(run);
    for (uint64_t i = 0; i < run->n; i++) {
        weir_spsc_push(&bare.out, &item, 1);
        cross_pop(&bare.back);
    }
    micro_end(run);
    pthread_join(thread, NULL);
}

/* --- calls, one at a time --- */

static int64_t call_nothing(void *arg)
{
    (void)arg;
    return 0;
}

static void cross_brief(struct micro_run *run)
{
    weir_call_brief(1, call_nothing, NULL, WEIR_NEVER); /* shard 1 is up */
    micro_begin(run);
    for (uint64_t i = 0; i < run->n; i++)
        weir_call_brief(1, call_nothing, NULL, WEIR_NEVER);
    micro_end(run);
}

static void cross_fiber(struct micro_run *run)
{
    weir_call(1, call_nothing, NULL, WEIR_NEVER);
    micro_begin(run);
    for (uint64_t i = 0; i < run->n; i++)
        weir_call(1, call_nothing, NULL, WEIR_NEVER);
    micro_end(run);
}

/* --- calls, always 128 under way: each that comes home leaves again --- */

struct flight {
    struct weir_call calls[FLIGHT];
    uint64_t to_start, to_end;
    struct weir_future over;
};

static struct flight flight;

static void flight_home(struct weir_future *future);

static void flight_start(struct weir_call *call)
{
    flight.to_start--;
    weir_call_brief_start(call, 1, call_nothing, NULL);
    weir_future_on_done(&call->future, flight_home);
}

static void flight_home(struct weir_future *future)
{
    if (flight.to_start > 0)
        flight_start(weir_container_of(future, struct weir_call, future));
    if (--flight.to_end == 0)
        weir_future_set(&flight.over, 0);
}

static void cross_pipelined(struct micro_run *run)
{
    weir_call_brief(1, call_nothing, NULL, WEIR_NEVER);
    flight.to_start = flight.to_end = run->n;
    weir_future_init(&flight.over, NULL);
    micro_begin(run);
    for (size_t i = 0; i < FLIGHT && flight.to_start > 0; i++)
        flight_start(&flight.calls[i]);
    weir_await(&flight.over, WEIR_NEVER);
    micro_end(run);
}

#define CROSS(name_, what_, run_, n_, ...)                                           \
    {                                                                                \
        .name = name_, .what = what_, .run = run_, .n = n_, .shards = 2, __VA_ARGS__ \
    }
#define BUSY .poll = WEIR_POLL_BUSY
#define NET .net = true
#define BESIDE_RINGS .ratio_to = "two-rings"

const struct micro weir_micro_cross[] = {
    { .name = "two-rings",
      .what = "round trip over two bare rings, both ends busy",
      .run = cross_bare,
      .n = 20000 },
    CROSS("call-busy", "brief call and back, shards poll busily", cross_brief, 20000, BUSY, NET,
          BESIDE_RINGS),
    CROSS("call-adaptive", "the same, shards idle as they do by default", cross_brief, 20000,
          .idle_spin = MICRO_DEFAULT_SPIN, NET, BESIDE_RINGS),
    CROSS("call-no-net", "the same, busy, without a socket stack below", cross_brief, 20000, BUSY,
          BESIDE_RINGS),
    CROSS("call-fiber", "call that may await, busy: a fiber over there", cross_fiber, 20000, BUSY,
          NET, BESIDE_RINGS),
    CROSS("call-pipelined", "each of 128 calls under way, busy", cross_pipelined, 100000, BUSY,
          NET),
    CROSS("call-asleep", "shards sleep at once: two wake-ups", cross_brief, 500, .idle_spin = 0,
          NET),
};
const size_t weir_micro_cross_count = WEIR_COUNT(weir_micro_cross);
