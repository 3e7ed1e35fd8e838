/* dpdk_eal.c - starts EAL, once per process, and makes one line of what it has to say.
 *
 * EAL and drivers print at length, to their log and straight to stdout and stderr.  While they
 * start all of it goes into a file; if it works nobody sees it, and if not the line that says why
 * is looked for, and the cure for the usual ones is put behind it.  (WEIR_DPDK_LOG=1 lets all of it
 * through.)
 *
 * EAL binds the thread that starts it to one CPU, and starts a thread on every other one: ours has
 * shards for that, so it gets one CPU unless the arguments say other, and the binding is undone.
 *
 * Invariant: after the first try eal.tried; there is no second one. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include "net/dev/dpdk.h"

enum { EAL_WORDS = 128, EAL_TEXT = 4096 };

static struct {
    bool tried;
    int error;
    char args[EAL_TEXT]; /* as they were given */
    char why[512];
    char words[EAL_TEXT]; /* EAL keeps pointers to its arguments */
    char cpu[16];
    char *argv[EAL_WORDS + 1];
} eal;

/* --- what DPDK prints --- */

void weir_dpdk_capture_begin(struct dpdk_capture *capture)
{
    *capture = (struct dpdk_capture){ .file = -1, .out = -1, .err = -1 };
    if (getenv("WEIR_DPDK_LOG"))
        return;
    fflush(stdout);
    fflush(stderr);
    capture->file = memfd_create("weir-dpdk", MFD_CLOEXEC);
    capture->out = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    capture->err = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    if (capture->file < 0)
        return;
    dup2(capture->file, STDOUT_FILENO);
    dup2(capture->file, STDERR_FILENO);
}

static void capture_restore(int from, int to)
{
    if (from < 0)
        return;
    dup2(from, to);
    close(from);
}

void weir_dpdk_capture_end(struct dpdk_capture *capture)
{
    ssize_t n = 0;

    fflush(stdout);
    fflush(stderr);
    capture_restore(capture->out, STDOUT_FILENO);
    capture_restore(capture->err, STDERR_FILENO);
    if (capture->file >= 0) {
        n = pread(capture->file, capture->text, sizeof capture->text - 1, 0);
        close(capture->file);
    }
    capture->text[n > 0 ? n : 0] = '\0';
}

/* A line with one of these is the one; else the first with one of the words below. */
static const char *const eal_first[] = { "unrecognized option", "requires an argument",
                                         "invalid option" };
static const char *const eal_words[] = { "rror",  "annot",      "not ",    "ailed",  "nvalid",
                                         "nable", "navailable", "No such", "ouldn't" };
static const char *const eal_boring[] = { "Physical addresses are unavailable",
                                          "Usage:", "support not initialized" };

static bool line_has(const char *line, const char *const words[], size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strstr(line, words[i]))
            return true;
    return false;
}

/* The next line of *text. */
static bool line_next(const char **text, char *line, size_t size)
{
    size_t len = strcspn(*text, "\n");

    if (!**text)
        return false;
    snprintf(line, size, "%.*s", (int)len, *text);
    *text += len + ((*text)[len] == '\n');
    return true;
}

static bool line_find(const char *text, char *line, size_t size, const char *const words[],
                      size_t count)
{
    while (line_next(&text, line, size))
        if (line_has(line, words, count) && !line_has(line, eal_boring, WEIR_COUNT(eal_boring)))
            return true;
    return false;
}

void weir_dpdk_blame(const struct dpdk_capture *capture, char *line, size_t size)
{
    if (!line_find(capture->text, line, size, eal_first, WEIR_COUNT(eal_first)) &&
        !line_find(capture->text, line, size, eal_words, WEIR_COUNT(eal_words)))
        line[0] = '\0';
    for (char *at = line; *at; at++)
        if (!isprint((unsigned char)*at))
            *at = ' ';
    for (size_t len = strlen(line); len > 0 && strchr(" .:", line[len - 1]); len--)
        line[len - 1] = '\0';
}

/* --- cures --- */

#define EAL_EXAMPLE "dpdk:--no-huge -m 512 --no-pci --vdev=net_tap0 is an example"
#define EAL_PERMIT "run as root, or with CAP_NET_ADMIN, CAP_NET_RAW and CAP_IPC_LOCK"

static const struct eal_cure {
    const char *text, *cure;
} eal_cures[] = {
    { "unrecognized option", "EAL has no such argument; " EAL_EXAMPLE },
    { "invalid option", "EAL has no such argument; " EAL_EXAMPLE },
    { "requires an argument", "the value is missing; " EAL_EXAMPLE },
    { "core list", "name CPUs that are there, or leave -l away" },
    { "Is another primary process running",
      "another DPDK program runs: add --in-memory, or --file-prefix=NAME" },
    { "failed to parse device", "no driver has this name; there are net_tap0, net_af_packet0, "
                                "net_af_xdp0, net_ring0, net_null0 and others" },
    { "ermission denied", EAL_PERMIT },
    { "not permitted", EAL_PERMIT },
    { "hugepage", "make hugepages: sysctl vm.nr_hugepages=512 (and add --in-memory if hugetlbfs is "
                  "not mounted), or do without: --no-huge -m 512" },
    { "No such device", "look for the right name: ip link" },
};

static const char *eal_cure(const struct dpdk_capture *capture)
{
    for (size_t i = 0; i < WEIR_COUNT(eal_cures); i++)
        if (strstr(capture->text, eal_cures[i].text))
            return eal_cures[i].cure;
    return geteuid() == 0 ? "WEIR_DPDK_LOG=1 shows all that it says" : EAL_PERMIT;
}

/* --- arguments --- */

/* One CPU that we may run on: EAL insists on one. */
static char *eal_any_cpu(void)
{
    cpu_set_t set;
    int cpu = 0;

    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        while (cpu < CPU_SETSIZE - 1 && !CPU_ISSET((size_t)cpu, &set))
            cpu++;
    snprintf(eal.cpu, sizeof eal.cpu, "%d", cpu);
    return eal.cpu;
}

/* The next word of *text, in place; "..." and '...' keep blanks together. */
static char *eal_word(char **text)
{
    char *from = *text, *to, *word, quote = '\0';

    while (isspace((unsigned char)*from))
        from++;
    if (!*from)
        return NULL;
    for (word = to = from; *from && (quote || !isspace((unsigned char)*from)); from++) {
        if (*from == quote)
            quote = '\0';
        else if (!quote && (*from == '"' || *from == '\''))
            quote = *from;
        else
            *to++ = *from;
    }
    *text = *from ? from + 1 : from;
    *to = '\0';
    return word;
}

/* -l0, -l, -c, --lcores, --lcores=...: EAL takes one of them, once. */
static bool eal_names_cpus(const char *word)
{
    return strncmp(word, "-l", 2) == 0 || strncmp(word, "-c", 2) == 0 ||
           strncmp(word, "--lcores", 8) == 0;
}

/* argv for rte_eal_init; how many, or -E2BIG. */
static int eal_split(const char *args)
{
    static char program[] = "weir", lcores[] = "-l", no_telemetry[] = "--no-telemetry";
    char *rest = eal.words, *word;
    bool cpus = false;
    int argc = 0;

    if (snprintf(eal.words, sizeof eal.words, "%s", args) >= (int)sizeof eal.words)
        return -E2BIG;
    eal.argv[argc++] = program;
    eal.argv[argc++] = no_telemetry;
    eal.argv[argc++] = lcores;
    eal.argv[argc++] = eal_any_cpu();
    while ((word = eal_word(&rest)) != NULL) {
        if (argc == EAL_WORDS)
            return -E2BIG;
        cpus |= eal_names_cpus(word);
        eal.argv[argc++] = word;
    }
    if (cpus) { /* then without ours */
        argc -= 2;
        memmove(&eal.argv[2], &eal.argv[4], (size_t)(argc - 2) * sizeof eal.argv[0]);
    }
    eal.argv[argc] = NULL;
    return argc;
}

/* --- starting --- */

/* Some drivers leave things behind that only closing removes: af_xdp a program on its interface. */
static void eal_end(void)
{
    struct dpdk_capture capture;
    uint16_t port;

    weir_dpdk_capture_begin(&capture);
    DPDK_EACH_PORT(port)
    {
        rte_eth_dev_stop(port);
        rte_eth_dev_close(port);
    }
    rte_eal_cleanup();
    weir_dpdk_capture_end(&capture);
}

static int eal_init(int argc, struct dpdk_capture *capture)
{
    cpu_set_t before;
    bool bound = pthread_getaffinity_np(pthread_self(), sizeof before, &before) == 0;
    int got;

    weir_dpdk_capture_begin(capture);
    rte_errno = 0;
    got = rte_eal_init(argc, eal.argv);
    weir_dpdk_capture_end(capture);
    if (bound)
        pthread_setaffinity_np(pthread_self(), sizeof before, &before);
    return got < 0 ? -(rte_errno ? rte_errno : EINVAL) : 0;
}

/* What stands behind the options is ignored by EAL, but was meant. */
static int eal_check_words(int argc)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(eal.argv[i], "--") == 0 || strcmp(eal.argv[i], "-h") == 0 ||
            strcmp(eal.argv[i], "--help") == 0 || strcmp(eal.argv[i], "-v") == 0) {
            snprintf(eal.why, sizeof eal.why, "dpdk: '%s' makes no sense here", eal.argv[i]);
            return -EINVAL;
        }
    return 0;
}

/* EAL goes on without a device that its driver cannot serve; but it was asked for. */
static bool eal_lacks_device(const struct dpdk_capture *capture)
{
    return strstr(capture->text, "failed to initialize") || strstr(capture->text, "probe failed");
}

static int eal_try(const char *args)
{
    struct dpdk_capture capture;
    const char *what = "EAL does not start";
    char line[256];
    int argc = eal_split(args), error;

    if (argc < 0) {
        snprintf(eal.why, sizeof eal.why, "dpdk: more arguments than %d", EAL_WORDS);
        return argc;
    }
    if ((error = eal_check_words(argc)) != 0)
        return error;
    error = eal_init(argc, &capture);
    if (error == 0) {
        atexit(eal_end);
        if (!eal_lacks_device(&capture))
            return 0;
        what = "a device does not start";
        error = -ENODEV;
    }
    weir_dpdk_blame(&capture, line, sizeof line);
    snprintf(eal.why, sizeof eal.why, "dpdk: %s: %s: %s", what,
             line[0] ? line : rte_strerror(-error), eal_cure(&capture));
    return error;
}

int weir_dpdk_eal(const char *args, char *why, size_t why_size)
{
    if (eal.tried && strcmp(args, eal.args) != 0) {
        snprintf(why, why_size,
                 "dpdk: EAL starts once per program, and was started with '%s' before", eal.args);
        return -EBUSY;
    }
    if (!eal.tried) {
        eal.tried = true;
        snprintf(eal.args, sizeof eal.args, "%s", args);
        eal.error = eal_try(args);
    }
    if (eal.error)
        snprintf(why, why_size, "%s", eal.why);
    return eal.error;
}

bool weir_dpdk_eal_said(const char *text)
{
    return strstr(eal.args, text) != NULL;
}
