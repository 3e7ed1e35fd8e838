/* cpu.c - which CPUs we may use, how much of them, and how fast the cycle counter runs.
 *
 * A cgroup's limit binds all below it, so the quota is the smallest one met on the way from our own
 * cgroup up to the root.  In a container the path that /proc names may not exist under its
 * /sys/fs/cgroup; what is missing is skipped, and the root, which is then our own, is always met.
 */
#include "core/cpu.h"
#include "core/parse.h"
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    KERNEL_CPUS_MAX = 8192, /* no kernel's mask is larger */
    CALIBRATION_NS = 200000,
    CALIBRATION_TRIES = 5,
};

static void cpu_list_add(struct weir_cpu_list *list, unsigned cpu)
{
    list->cpu[list->count++] = (uint16_t)cpu;
}

int weir_cpu_allowed(struct weir_cpu_list *list)
{
    cpu_set_t *set = CPU_ALLOC(KERNEL_CPUS_MAX);
    size_t size = CPU_ALLOC_SIZE(KERNEL_CPUS_MAX);
    int err = 0;

    if (!set)
        return -ENOMEM;
    list->count = 0;
    if (sched_getaffinity(0, size, set) < 0)
        err = -errno;
    for (unsigned cpu = 0; !err && cpu < WEIR_CPUS_MAX; cpu++)
        if (CPU_ISSET_S(cpu, size, set))
            cpu_list_add(list, cpu);
    if (!err && list->count == 0)
        err = -ERANGE; /* all of them have numbers beyond ours */
    CPU_FREE(set);
    return err;
}

/* --- "0,2-3" --- */

static int range_parse(const char **text, bool *wanted)
{
    uint64_t first = 0, last;
    int err = weir_parse_digits(text, &first);

    if (err)
        return err;
    last = first;
    if (**text == '-') {
        ++*text;
        err = weir_parse_digits(text, &last);
        if (err)
            return err;
    }
    if (last < first)
        return -EINVAL;
    if (last >= WEIR_CPUS_MAX)
        return -ERANGE;
    for (uint64_t cpu = first; cpu <= last; cpu++)
        wanted[cpu] = true;
    return 0;
}

int weir_cpu_parse(struct weir_cpu_list *list, const char *text)
{
    bool wanted[WEIR_CPUS_MAX] = { false };
    int err;

    for (;;) {
        err = range_parse(&text, wanted);
        if (err)
            return err;
        if (*text == '\0')
            break;
        if (*text++ != ',')
            return -EINVAL;
    }
    list->count = 0;
    for (unsigned cpu = 0; cpu < WEIR_CPUS_MAX; cpu++)
        if (wanted[cpu])
            cpu_list_add(list, cpu);
    return 0;
}

/* --- the cgroup's quota --- */

struct quota_walk {
    const char *root;    /* in front of /proc and /sys */
    const char *mount;   /* of the hierarchy, such as "/sys/fs/cgroup/cpu" */
    char path[PATH_MAX]; /* of the cgroup below it: "" or "/a/b" */
};

/* The first line of a file of the cgroup; false when there is none. */
static bool quota_read(const struct quota_walk *walk, const char *name, char *line, size_t size)
{
    char path[3 * PATH_MAX];
    FILE *file;
    bool found;

    snprintf(path, sizeof path, "%s%s%s/%s", walk->root, walk->mount, walk->path, name);
    file = fopen(path, "re");
    if (!file)
        return false;
    found = fgets(line, (int)size, file) != NULL;
    fclose(file);
    line[strcspn(line, "\n")] = '\0';
    return found;
}

/* How many CPUs `quota` of `period` microseconds is, up; 0: no limit, or not a number. */
static unsigned quota_cpus(const char *quota, const char *period)
{
    uint64_t used, of;

    if (weir_parse_uint(quota, 1, UINT32_MAX, &used) < 0 ||
        weir_parse_uint(period, 1, UINT32_MAX, &of) < 0)
        return 0; /* "max" and "-1" end here */
    return (unsigned)((used + of - 1) / of);
}

/* cpu.max: "150000 100000" or "max 100000" */
static unsigned quota_v2(const struct quota_walk *walk)
{
    char line[64];
    char *period;

    if (!quota_read(walk, "cpu.max", line, sizeof line))
        return 0;
    period = strchr(line, ' ');
    if (!period)
        return 0;
    *period++ = '\0';
    return quota_cpus(line, period);
}

static unsigned quota_v1(const struct quota_walk *walk)
{
    char quota[64], period[64];

    if (!quota_read(walk, "cpu.cfs_quota_us", quota, sizeof quota) ||
        !quota_read(walk, "cpu.cfs_period_us", period, sizeof period))
        return 0;
    return quota_cpus(quota, period);
}

static unsigned quota_smaller(unsigned a, unsigned b)
{
    if (a == 0 || b == 0)
        return a | b;
    return a < b ? a : b;
}

/* The smallest limit from `path` up to the root of the hierarchy. */
static unsigned quota_above(const char *root, const char *mount, const char *path,
                            unsigned (*limit)(const struct quota_walk *walk))
{
    struct quota_walk walk = { .root = root, .mount = mount };
    unsigned cpus = 0;
    char *slash;

    snprintf(walk.path, sizeof walk.path, "%s", strcmp(path, "/") == 0 ? "" : path);
    for (;;) {
        cpus = quota_smaller(cpus, limit(&walk));
        slash = strrchr(walk.path, '/');
        if (!slash)
            return cpus;
        *slash = '\0';
    }
}

static bool controllers_have_cpu(char *controllers)
{
    char *rest = controllers, *name;

    while ((name = strsep(&rest, ",")))
        if (strcmp(name, "cpu") == 0)
            return true;
    return false;
}

/* A line of /proc/self/cgroup, "id:controllers:path"; v2's is "0::path". */
static unsigned quota_of_line(const char *root, char *line)
{
    char *path = line;
    const char *id = strsep(&path, ":");
    char *controllers = strsep(&path, ":");

    if (!path)
        return 0;
    path[strcspn(path, "\n")] = '\0';
    if (strcmp(id, "0") == 0 && controllers[0] == '\0')
        return quota_smaller(quota_above(root, "/sys/fs/cgroup", path, quota_v2),
                             quota_above(root, "/sys/fs/cgroup/unified", path, quota_v2));
    if (controllers_have_cpu(controllers))
        return quota_smaller(quota_above(root, "/sys/fs/cgroup/cpu", path, quota_v1),
                             quota_above(root, "/sys/fs/cgroup/cpu,cpuacct", path, quota_v1));
    return 0;
}

unsigned weir_cpu_quota(const char *root)
{
    char path[PATH_MAX];
    char *line = NULL;
    size_t size = 0;
    unsigned cpus = 0;
    FILE *file;

    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    file = fopen(path, "re");
    if (!file)
        return 0;
    while (getline(&line, &size, file) > 0)
        cpus = quota_smaller(cpus, quota_of_line(root, line));
    free(line);
    fclose(file);
    return cpus;
}

int weir_cpu_pin(unsigned cpu)
{
    cpu_set_t set;

    _Static_assert(WEIR_CPUS_MAX <= CPU_SETSIZE, "the mask holds every CPU we know");
    if (cpu >= WEIR_CPUS_MAX)
        return -EINVAL;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    return sched_setaffinity(0, sizeof set, &set) < 0 ? -errno : 0;
}

/* --- the cycle counter --- */

struct clock_pair {
    uint64_t cycles, ns;
};

static uint64_t clock_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Both clocks at one moment: of a few tries, the one least disturbed between the readings. */
static struct clock_pair clock_pair_read(void)
{
    struct clock_pair best = { 0, 0 };
    uint64_t shortest = UINT64_MAX;

    for (int i = 0; i < CALIBRATION_TRIES; i++) {
        uint64_t before = weir_cycles();
        uint64_t ns = clock_ns();
        uint64_t took = weir_cycles() - before;

        if (took < shortest) {
            shortest = took;
            best = (struct clock_pair){ .cycles = before + took / 2, .ns = ns };
        }
    }
    return best;
}

static uint64_t cycles_per_us;

static void cycles_measure(void)
{
    struct clock_pair start = clock_pair_read(), end;
    uint64_t ns;

    while (clock_ns() - start.ns < CALIBRATION_NS)
        weir_cpu_relax();
    end = clock_pair_read();
    ns = end.ns - start.ns;
    cycles_per_us = weir_max_u64(1, ((end.cycles - start.cycles) * 1000 + ns / 2) / ns);
}

uint64_t weir_cycles_per_us(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, cycles_measure);
    return cycles_per_us;
}
