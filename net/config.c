/* config.c - the fields of a weir_config as options: defaults, from text, within bounds.
 *
 * One table says for each option where it lives, what kind it is and what is allowed; setting it
 * from text and checking a config that was filled in by hand both follow the table. */
#include "net/config.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "core/base.h"
#include "core/cpu.h"
#include "core/parse.h"
#include "sched/blocking.h"
#include "sched/shard.h"

enum option_kind {
    OPTION_NUMBER,
    OPTION_SIZE,  /* bytes: 4096, 64k */
    OPTION_POWER, /* a number that is a power of two */
    OPTION_TIME,
    OPTION_CHOICE,
    OPTION_SWITCH,
    OPTION_CPUS,
    OPTION_MTU,  /* a number, or 0 for the default */
    OPTION_TEXT, /* not empty; what it means is found out when it is used */
};

struct option {
    const char *name;
    enum option_kind kind;
    size_t at, size; /* of the field */
    uint64_t min, max;
    const char *const *choices; /* by value; NULL ends them */
};

static const char *const flavour_names[] = { "sharded", "current-thread", NULL };
static const char *const poll_names[] = { "adaptive", "busy", NULL };
static const char *const balance_names[] = { "reuseport", "least", NULL };
static const char *const stack_names[] = { "auto", "uring", "epoll", "native", NULL };
static const char *const cc_names[] = { "cubic", "reno", NULL };
static const char *const switch_names[] = { "off", "on", NULL };

#define FIELD(field) offsetof(struct weir_config, field), sizeof(((struct weir_config *)0)->field)

static const struct option options[] = {
    { "flavour", OPTION_CHOICE, FIELD(flavour), 0, 1, flavour_names },
    { "shards", OPTION_NUMBER, FIELD(shards), 0, WEIR_SHARDS_MAX, NULL },
    { "cpus", OPTION_CPUS, FIELD(cpus), 0, 0, NULL },
    { "poll", OPTION_CHOICE, FIELD(poll), 0, 1, poll_names },
    { "idle_spin", OPTION_TIME, FIELD(idle_spin), 0, WEIR_SEC(1), NULL },
    { "stack", OPTION_CHOICE, FIELD(stack), 0, 3, stack_names },
    { "balance", OPTION_CHOICE, FIELD(balance), 0, 1, balance_names },
    { "fiber_stack", OPTION_SIZE, FIELD(fiber_stack), WEIR_STACK_MIN, WEIR_STACK_MAX, NULL },
    { "fibers_max", OPTION_NUMBER, FIELD(fibers_max), 1, 1 << 24, NULL },
    { "conns_max", OPTION_NUMBER, FIELD(conns_max), 1, 1 << 24, NULL },
    { "rx_bufs", OPTION_POWER, FIELD(rx_bufs), 8, 1 << 15, NULL },
    { "rx_buf_size", OPTION_SIZE, FIELD(rx_buf_size), 256, 1 << 20, NULL },
    { "grace", OPTION_TIME, FIELD(grace), 0, WEIR_SEC(86400), NULL },
    { "signals", OPTION_SWITCH, FIELD(signals), 0, 1, switch_names },
    { "quiet", OPTION_SWITCH, FIELD(quiet), 0, 1, switch_names },
    { "thread_name", OPTION_TEXT, FIELD(thread_name), 0, 0, NULL },
    { "io", OPTION_SWITCH, FIELD(io), 0, 1, switch_names },
    { "timers", OPTION_SWITCH, FIELD(timers), 0, 1, switch_names },
    { "paused", OPTION_SWITCH, FIELD(paused), 0, 1, switch_names },
    { "blocking_threads", OPTION_NUMBER, FIELD(blocking_threads), 1, WEIR_BLOCKING_THREADS_MAX,
      NULL },
    { "blocking_queue", OPTION_NUMBER, FIELD(blocking_queue), 1, 1 << 24, NULL },
    { "blocking_idle", OPTION_TIME, FIELD(blocking_idle), 0, WEIR_SEC(86400), NULL },
    { "seed", OPTION_NUMBER, FIELD(seed), 0, UINT64_MAX, NULL },
    { "dev", OPTION_TEXT, FIELD(dev), 0, 0, NULL },
    { "ip", OPTION_TEXT, FIELD(ip), 0, 0, NULL },
    { "gateway", OPTION_TEXT, FIELD(gateway), 0, 0, NULL },
    { "route", OPTION_TEXT, FIELD(route), 0, 0, NULL },
    { "impair", OPTION_TEXT, FIELD(impair), 0, 0, NULL },
    { "pcap", OPTION_TEXT, FIELD(pcap), 0, 0, NULL },
    { "vlan", OPTION_NUMBER, FIELD(vlan), 0, 4094, NULL },
    { "mtu", OPTION_MTU, FIELD(mtu), 1280, 1500, NULL },
    { "cc", OPTION_CHOICE, FIELD(cc), 0, 1, cc_names },
    { "keepalive", OPTION_SWITCH, FIELD(keepalive), 0, 1, switch_names },
};

void weir_config_init(struct weir_config *config)
{
    *config = (struct weir_config){
        .poll = WEIR_POLL_ADAPTIVE,
        .idle_spin = WEIR_US(50),
        .stack = WEIR_STACK_AUTO,
        .balance = WEIR_BALANCE_REUSEPORT,
        .fiber_stack = (size_t)weir_max_u64(65536, 2 * (uint64_t)sysconf(_SC_PAGESIZE)),
        .fibers_max = 65536,
        .conns_max = 65536,
        .rx_bufs = 256,
        .rx_buf_size = 16384,
        .grace = WEIR_SEC(10),
        .signals = true,
        .thread_name = "weir",
        .io = true,
        .timers = true,
        .blocking_threads = 512,
        .blocking_queue = 65536,
        .blocking_idle = WEIR_SEC(10),
    };
}

/* --- fields by offset --- */

static uint64_t field_get(const struct weir_config *config, const struct option *option)
{
    const char *at = (const char *)config + option->at;
    uint8_t u8;
    uint32_t u32;
    uint64_t u64;

    if (option->size == sizeof u8)
        return memcpy(&u8, at, sizeof u8), u8;
    if (option->size == sizeof u32)
        return memcpy(&u32, at, sizeof u32), u32;
    weir_assert(option->size == sizeof u64);
    return memcpy(&u64, at, sizeof u64), u64;
}

static void field_set(struct weir_config *config, const struct option *option, uint64_t value)
{
    char *at = (char *)config + option->at;
    uint8_t u8 = (uint8_t)value;
    uint32_t u32 = (uint32_t)value;

    if (option->size == sizeof u8)
        memcpy(at, &u8, sizeof u8);
    else if (option->size == sizeof u32)
        memcpy(at, &u32, sizeof u32);
    else
        memcpy(at, &value, sizeof value);
}

/* --- what is allowed, in words --- */

static void option_choices(const struct option *option, char *text, size_t size)
{
    size_t len = 0;

    for (size_t i = 0; option->choices[i] && len < size; i++) {
        const char *glue = i == 0 ? "" : option->choices[i + 1] ? ", " : " or ";

        len += (size_t)snprintf(text + len, size - len, "%s%s", glue, option->choices[i]);
    }
}

static void option_allowed(const struct option *option, char *text, size_t size)
{
    unsigned long long min = option->min, max = option->max;

    switch (option->kind) {
    case OPTION_NUMBER:
    case OPTION_MTU:
        snprintf(text, size, "a number from %llu to %llu", min, max);
        break;
    case OPTION_SIZE:
        snprintf(text, size, "a size from %llu to %llu such as 64k", min, max);
        break;
    case OPTION_POWER:
        snprintf(text, size, "a power of two from %llu to %llu", min, max);
        break;
    case OPTION_TIME:
        snprintf(text, size, "a time from 0 to %llus such as 500ms or 10s",
                 max / (unsigned long long)WEIR_SEC(1));
        break;
    case OPTION_CHOICE:
    case OPTION_SWITCH:
        option_choices(option, text, size);
        break;
    case OPTION_CPUS:
        snprintf(text, size, "a list of CPUs such as 0,2-3");
        break;
    case OPTION_TEXT:
        snprintf(text, size, "a text");
        break;
    }
}

static int option_refuse(const struct option *option, const char *value, char *why, size_t why_size)
{
    char allowed[96];

    option_allowed(option, allowed, sizeof allowed);
    snprintf(why, why_size, "%s '%s' is not %s", option->name, value, allowed);
    return -EINVAL;
}

/* --- from text --- */

static int parse_choice(const struct option *option, const char *text, uint64_t *value)
{
    for (size_t i = 0; option->choices[i]; i++) {
        if (strcmp(option->choices[i], text) == 0) {
            *value = i;
            return 0;
        }
    }
    return -EINVAL;
}

static int option_parse(const struct option *option, const char *text, uint64_t *value)
{
    weir_time span = 0;
    int error;

    switch (option->kind) {
    case OPTION_SIZE:
        return weir_parse_size(text, option->min, option->max, value);
    case OPTION_TIME:
        error = weir_parse_time(text, (weir_time)option->min, (weir_time)option->max, &span);
        *value = (uint64_t)span;
        return error;
    case OPTION_CHOICE:
    case OPTION_SWITCH:
        return parse_choice(option, text, value);
    case OPTION_MTU:
        return weir_parse_uint(text, 0, option->max, value);
    default:
        return weir_parse_uint(text, option->min, option->max, value);
    }
}

static bool option_fits(const struct option *option, uint64_t value)
{
    if (option->kind == OPTION_MTU && value == 0)
        return true;
    if (value < option->min || value > option->max)
        return false;
    return option->kind != OPTION_POWER || (value & (value - 1)) == 0;
}

/* The text is kept, not copied. */
static int set_cpus(struct weir_config *config, const struct option *option, const char *text,
                    char *why, size_t why_size)
{
    struct weir_cpu_list list;

    if (weir_cpu_parse(&list, text) < 0)
        return option_refuse(option, text, why, why_size);
    config->cpus = text;
    return 0;
}

static int set_text(struct weir_config *config, const struct option *option, const char *text,
                    char *why, size_t why_size)
{
    if (*text == 0) {
        snprintf(why, why_size, "%s is empty", option->name);
        return -EINVAL;
    }
    memcpy((char *)config + option->at, &text, sizeof text);
    return 0;
}

/* Command lines write idle-spin for idle_spin. */
static bool option_is(const struct option *option, const char *name)
{
    size_t i = 0;

    while (option->name[i] && option->name[i] == (name[i] == '-' ? '_' : name[i]))
        i++;
    return option->name[i] == 0 && name[i] == 0;
}

static const struct option *option_find(const char *name)
{
    for (size_t i = 0; i < WEIR_COUNT(options); i++)
        if (option_is(&options[i], name))
            return &options[i];
    return NULL;
}

int weir_config_set(struct weir_config *config, const char *name, const char *text, char *why,
                    size_t why_size)
{
    const struct option *option = option_find(name);
    uint64_t value = 0;

    if (!option) {
        snprintf(why, why_size, "there is no option '%s'", name);
        return -ENOENT;
    }
    if (option->kind == OPTION_CPUS)
        return set_cpus(config, option, text, why, why_size);
    if (option->kind == OPTION_TEXT)
        return set_text(config, option, text, why, why_size);
    if (option_parse(option, text, &value) < 0 || !option_fits(option, value))
        return option_refuse(option, text, why, why_size);
    field_set(config, option, value);
    return 0;
}

int weir_config_check(const struct weir_config *config, char *why, size_t why_size)
{
    for (size_t i = 0; i < WEIR_COUNT(options); i++) {
        const struct option *option = &options[i];
        bool is_text = option->kind == OPTION_CPUS || option->kind == OPTION_TEXT;
        uint64_t value = is_text ? 0 : field_get(config, option);
        char text[32];

        if (is_text || option_fits(option, value))
            continue;
        snprintf(text, sizeof text, option->kind == OPTION_TIME ? "%lldns" : "%lld",
                 (long long)value);
        return option_refuse(option, text, why, why_size);
    }
    return 0;
}
