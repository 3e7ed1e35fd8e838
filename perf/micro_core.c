/* micro_core.c - measurements without a shard: the ring, the wheel, the switch of stacks. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include "core/spsc.h"
#include "core/wheel.h"
#include "perf/micro.h"
#include "sched/switch.h"

enum { POP_STEP_TICKS = 16, CONTEXT_STACK = 64 * 1024 };

static void core_spsc(struct micro_run *run)
{
    static struct weir_spsc ring;
    void *item = &ring, *got = NULL;

    weir_spsc_init(&ring);
    micro_begin(run);
    for (uint64_t i = 0; i < run->n; i++) {
        weir_spsc_push(&ring, &item, 1);
        weir_spsc_pop(&ring, &got, 1);
        micro_touch(&got);
    }
    micro_end(run);
}

/* --- the wheel: time goes on, alarms come due and are set again --- */

static struct weir_alarm pop_alarms[4096];

static void core_wheel_pop(struct micro_run *run)
{
    static struct weir_wheel wheel;
    uint64_t seed = 1, popped = 0;
    weir_time now = 0;

    weir_wheel_init(&wheel, now);
    for (size_t i = 0; i < WEIR_COUNT(pop_alarms); i++) {
        pop_alarms[i] = (struct weir_alarm){ .fire = NULL };
        weir_wheel_add(&wheel, &pop_alarms[i], (weir_time)(micro_random(&seed) % WEIR_MS(200)));
    }
    micro_begin(run);
    while (popped < run->n) {
        struct weir_alarm *alarm;

        now += POP_STEP_TICKS * WEIR_TICK;
        while (popped < run->n && (alarm = weir_wheel_pop(&wheel, now)) != NULL) {
            weir_wheel_add(&wheel, alarm, now + (weir_time)(micro_random(&seed) % WEIR_MS(200)));
            popped++;
        }
    }
    micro_end(run);
}

/* --- the switch --- */

static struct weir_context here, there;

static void core_context_loop(void *arg)
{
    (void)arg;
    weir_context_entered(&here);
    for (;;)
        weir_context_switch(&there, &here, false);
}

static void core_context(struct micro_run *run)
{
    void *stack = mmap(NULL, CONTEXT_STACK, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

    if (stack == MAP_FAILED) {
        perror("bench_micro: a stack");
        exit(1);
    }
    weir_context_init(&there, stack, CONTEXT_STACK, core_context_loop, NULL);
    micro_begin(run);
    for (uint64_t i = 0; i < run->n; i += 2)
        weir_context_switch(&here, &there, false);
    micro_end(run);
    weir_context_free(&there);
    munmap(stack, CONTEXT_STACK);
}

const struct micro weir_micro_core[] = {
    { .name = "spsc",
      .what = "one pointer through a ring, same thread",
      .run = core_spsc,
      .n = 1000000 },
    { .name = "context-switch",
      .what = "to another stack, one way",
      .run = core_context,
      .n = 1000000 },
    { .name = "wheel-pop",
      .what = "a due timer out of the wheel, and set again",
      .run = core_wheel_pop,
      .n = 500000 },
};
const size_t weir_micro_core_count = WEIR_COUNT(weir_micro_core);
