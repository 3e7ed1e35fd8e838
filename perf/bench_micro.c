/* bench_micro.c - what the parts of the scheduler cost, in nanoseconds.
 *
 * Repetitions are interleaved, one of each measurement and then the next of each, so what disturbs
 * the machine for a while disturbs all of them, and ratios hold.  The table has median and minimum;
 * "x of" is the ratio of the medians to the measurement named there. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weir/fiber.h>
#include "perf/micro.h"
#include "sched/runtime.h"

enum { REPEAT = 15, REPEAT_MAX = 1000, MICROS_MAX = 64 };

struct chosen {
    const struct micro *micro;
    double ns[REPEAT_MAX]; /* per time */
    double median, min;
};

unsigned weir_micro_cpus[2];

static struct chosen chosen[MICROS_MAX];
static size_t chosen_count;
static unsigned repeat = REPEAT;
static uint64_t n_wanted;

/* --- one repetition --- */

struct in_shard {
    const struct micro *micro;
    struct micro_run *run;
};

static void micro_main(void *arg)
{
    struct in_shard *in = arg;

    if (weir_shard_id() == 0)
        in->micro->run(in->run);
}

static void micro_in_shards(const struct micro *micro, struct micro_run *run)
{
    struct in_shard in = { micro, run };
    struct weir_config config;
    char cpus[32];
    int error;

    weir_config_init(&config);
    snprintf(cpus, sizeof cpus, "%u,%u", weir_micro_cpus[0],
             weir_micro_cpus[micro->shards > 1 ? 1 : 0]);
    config.shards = micro->shards;
    config.cpus = cpus;
    config.poll = micro->poll;
    if (micro->idle_spin != MICRO_DEFAULT_SPIN)
        config.idle_spin = micro->idle_spin;
    config.signals = false;
    config.quiet = true;
    config.seed = 1;
    if (micro->net)
        error = weir_run(&config, micro_main, &in);
    else
        error = weir_runtime_run(&config, weir_bare_driver_open, NULL, micro_main, &in);
    if (error < 0) {
        fprintf(stderr, "bench_micro: %s: %s\n", micro->name, strerror(-error));
        exit(1);
    }
}

static double micro_once(const struct micro *micro)
{
    struct micro_run run = { .n = n_wanted ? n_wanted : micro->n };

    if (micro->shards > 0)
        micro_in_shards(micro, &run);
    else
        micro->run(&run);
    return (double)run.ns / (double)run.n;
}

/* --- all of them --- */

static int double_compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void measure(void)
{
    for (unsigned r = 0; r < repeat; r++)
        for (size_t i = 0; i < chosen_count; i++)
            chosen[i].ns[r] = micro_once(chosen[i].micro);
    for (size_t i = 0; i < chosen_count; i++) {
        qsort(chosen[i].ns, repeat, sizeof chosen[i].ns[0], double_compare);
        chosen[i].median = chosen[i].ns[repeat / 2];
        chosen[i].min = chosen[i].ns[0];
    }
}

static const struct chosen *chosen_find(const char *name)
{
    for (size_t i = 0; name && i < chosen_count; i++)
        if (strcmp(chosen[i].micro->name, name) == 0)
            return &chosen[i];
    return NULL;
}

static void print_table(void)
{
    printf("%-18s %10s %10s   %s\n", "", "ns median", "min", "");
    for (size_t i = 0; i < chosen_count; i++) {
        const struct micro *micro = chosen[i].micro;
        const struct chosen *base = chosen_find(micro->ratio_to);

        printf("%-18s %10.1f %10.1f   %s", micro->name, chosen[i].median, chosen[i].min,
               micro->what);
        if (base)
            printf("; %.2f x of %s", chosen[i].median / base->median, micro->ratio_to);
        printf("\n");
    }
}

static void print_json(FILE *file)
{
    fprintf(file, "{\"repetitions\": %u, \"results\": [", repeat);
    for (size_t i = 0; i < chosen_count; i++)
        fprintf(file,
                "%s\n  {\"name\": \"%s\", \"what\": \"%s\", \"n\": %llu, \"ns_median\": %.2f, "
                "\"ns_min\": %.2f}",
                i ? "," : "", chosen[i].micro->name, chosen[i].micro->what,
                (unsigned long long)(n_wanted ? n_wanted : chosen[i].micro->n), chosen[i].median,
                chosen[i].min);
    fprintf(file, "\n]}\n");
}

static void write_json(const char *path)
{
    FILE *file = strcmp(path, "-") == 0 ? stdout : fopen(path, "w");

    if (!file) {
        fprintf(stderr, "bench_micro: %s: %s\n", path, strerror(errno));
        exit(1);
    }
    print_json(file);
    if (file != stdout && fclose(file) != 0) {
        fprintf(stderr, "bench_micro: %s: %s\n", path, strerror(errno));
        exit(1);
    }
}

/* --- the command line --- */

static const struct room {
    const struct micro *micros;
    const size_t *count;
} rooms[] = {
    { weir_micro_core, &weir_micro_core_count },
    { weir_micro_sched, &weir_micro_sched_count },
    { weir_micro_cross, &weir_micro_cross_count },
};

static _Noreturn void usage_error(const char *what, const char *why)
{
    fprintf(stderr, "bench_micro: %s: %s (see --help)\n", what, why);
    exit(2);
}

static void choose(const struct micro *micro)
{
    if (chosen_count < MICROS_MAX)
        chosen[chosen_count++].micro = micro;
}

static bool choose_name(const char *name)
{
    for (size_t r = 0; r < WEIR_COUNT(rooms); r++)
        for (size_t i = 0; i < *rooms[r].count; i++)
            if (!name || strcmp(rooms[r].micros[i].name, name) == 0) {
                choose(&rooms[r].micros[i]);
                if (name)
                    return true;
            }
    return name == NULL;
}

static void choose_names(char *names)
{
    char *rest;

    for (char *name = strtok_r(names, ",", &rest); name; name = strtok_r(NULL, ",", &rest))
        if (!choose_name(name))
            usage_error(name, "no such measurement; --list names them");
}

static uint64_t number(const char *option, const char *text, uint64_t max)
{
    char *end;
    unsigned long long value;

    errno = 0;
    value = strtoull(text, &end, 10);
    if (errno || end == text || *end || text[0] == '-' || value == 0 || value > max)
        usage_error(option, "not a number in its range");
    return value;
}

static void take_cpus(const char *text)
{
    static struct weir_cpu_list list;
    int error = text ? weir_cpu_parse(&list, text) : weir_cpu_allowed(&list);

    if (error < 0)
        usage_error("--cpus", "give one or two CPUs, such as 0,1");
    weir_micro_cpus[0] = list.cpu[0];
    weir_micro_cpus[1] = list.count > 1 ? list.cpu[1] : list.cpu[0];
}

static void list_names(void)
{
    for (size_t r = 0; r < WEIR_COUNT(rooms); r++)
        for (size_t i = 0; i < *rooms[r].count; i++)
            printf("%-18s %s\n", rooms[r].micros[i].name, rooms[r].micros[i].what);
    exit(0);
}

static _Noreturn void help(void)
{
    printf("usage: bench_micro [options]\n\n"
           "What the parts of the scheduler cost, in nanoseconds.\n\n"
           "  --only A,B         only these; --list names them\n"
           "  --iterations N     how often each is done in a repetition\n"
           "  --repeat R         repetitions, at most %d; default %d\n"
           "  --cpus A,B         the CPUs of the two shards; default: the first two allowed\n"
           "  --json FILE        the figures as JSON as well; - for the terminal, instead\n",
           REPEAT_MAX, REPEAT);
    exit(0);
}

static const char *options_read(int argc, char **argv)
{
    static const struct option options[] = {
        { "only", required_argument, NULL, 'o' },   { "iterations", required_argument, NULL, 'n' },
        { "repeat", required_argument, NULL, 'r' }, { "cpus", required_argument, NULL, 'c' },
        { "json", required_argument, NULL, 'j' },   { "list", no_argument, NULL, 'l' },
        { "help", no_argument, NULL, 'h' },         { NULL, 0, NULL, 0 },
    };
    const char *json = NULL, *cpus = NULL;
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
        switch (option) {
        case 'o':
            choose_names(optarg);
            break;
        case 'n':
            n_wanted = number("--iterations", optarg, UINT64_MAX);
            break;
        case 'r':
            repeat = (unsigned)number("--repeat", optarg, REPEAT_MAX);
            break;
        case 'c':
            cpus = optarg;
            break;
        case 'j':
            json = optarg;
            break;
        case 'l':
            list_names();
            break;
        case 'h':
            help();
        default: /* getopt has said what is wrong */
            exit(2);
        }
    if (optind < argc)
        usage_error(argv[optind], "not an option");
    take_cpus(cpus);
    return json;
}

int main(int argc, char **argv)
{
    const char *json = options_read(argc, argv);

    if (chosen_count == 0)
        choose_name(NULL);
    if (weir_micro_cpus[0] == weir_micro_cpus[1])
        fprintf(stderr, "bench_micro: one CPU only: what needs two is left out\n");
    for (size_t i = 0; weir_micro_cpus[0] == weir_micro_cpus[1] && i < chosen_count;)
        if (chosen[i].micro->shards == 2 || strcmp(chosen[i].micro->name, "two-rings") == 0)
            memmove(&chosen[i], &chosen[i + 1], (--chosen_count - i) * sizeof chosen[0]);
        else
            i++;
    measure();
    if (!json || strcmp(json, "-") != 0)
        print_table();
    if (json)
        write_json(json);
    return 0;
}
