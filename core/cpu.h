/* cpu.h - which CPUs we may use, and the cycle counter. */
#ifndef WEIR_CORE_CPU_H
#define WEIR_CORE_CPU_H

#include "core/base.h"

enum { WEIR_CPUS_MAX = 1024 };

struct weir_cpu_list {
    unsigned count;
    uint16_t cpu[WEIR_CPUS_MAX]; /* ascending, no duplicates */
};

/* The affinity mask of the process. */
int weir_cpu_allowed(struct weir_cpu_list *list);

/* "0,2-3".  0; -EINVAL: not of this form, or empty; -ERANGE: a CPU beyond WEIR_CPUS_MAX. */
int weir_cpu_parse(struct weir_cpu_list *list, const char *text);

/* How many CPUs' worth of time the cgroup of this process allows (v2 cpu.max, v1 cfs_quota),
 * rounded up; 0: no limit.  `root` is where /sys/fs/cgroup and /proc are found ("" but in tests).
 */
unsigned weir_cpu_quota(const char *root);

/* Pins the calling thread.  0 or a negated errno. */
int weir_cpu_pin(unsigned cpu);

/* A counter that only grows, at weir_cycles_per_us() a microsecond (measured once at start). */
static inline uint64_t weir_cycles(void)
{
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
    uint64_t count;

    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(count));
    return count;
#else
#error "weir knows x86-64 and aarch64"
#endif
}

uint64_t weir_cycles_per_us(void);

static inline void weir_cpu_relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory");
#endif
}

#endif
