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
    char *argv[EAL_WORDS + 8];
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

/* Lines with one of these say what went wrong; the earlier in this list, the better. */
static const char *const eal_telling[] = {
    "unrecognized option",
    "invalid option",
    "requires an argument",
    "unknown option",
    "FATAL",
    "Permission",
    "permitted",
    "No such device",
    "rror",
    "Cannot",
    "cannot",
    "annot",
    "failed",
    "Failed",
    "nvalid",
    "not ",
};

static const char *eal_line_with(const char *text, const char *word, size_t *len)
{
    const char *at = strstr(text, word), *begin = at;

    if (!at)
        return NULL;
    while (begin > text && begin[-1] != '\n')
        begin--;
    *len = strcspn(begin, "\n");
    return begin;
}

void weir_dpdk_blame(const struct dpdk_capture *capture, char *line, size_t size)
{
    const char *found = NULL;
    size_t len = 0;

    line[0] = '\0';
    for (size_t i = 0; !found && i < WEIR_COUNT(eal_telling); i++)
        found = eal_line_with(capture->text, eal_telling[i], &len);
    if (!found)
        return;
    snprintf(line, size, "%.*s", (int)len, found);
    for (char *at = line; *at; at++)
        if (!isprint((unsigned char)*at))
            *at = ' ';
}

/* --- cures --- */

static const struct eal_cure {
    const char *text, *cure;
} eal_cures[] = {
    { "unrecognized option", "this is no argument of EAL: dpdk:--no-huge -m 512 --no-pci "
                             "--vdev=net_tap0 is an example" },
    { "invalid option", "this is no argument of EAL: dpdk:--no-huge -m 512 --no-pci "
                        "--vdev=net_tap0 is an example" },
    { "requires an argument", "an argument of EAL without its value" },
    { "hugepage", "no hugepages: sysctl vm.nr_hugepages=512, or --no-huge -m 512 (slower); "
                  "--in-memory if hugetlbfs is not mounted" },
    { "Is another primary process running", "another DPDK program runs: --no-shconf, --in-memory, "
                                            "or --file-prefix NAME" },
    { "VFIO",
      "no VFIO here: modprobe vfio-pci, and the IOMMU switched on; weir-doctor --for dpdk" },
    { "no driver", "no driver has this name: dpdk:--vdev=net_tap0, net_af_packet0, net_af_xdp0, "
                   "net_null0, net_ring0" },
    { "failed to parse device", "no driver has this name: dpdk:--vdev=net_tap0, net_af_packet0, "
                                "net_af_xdp0, net_null0, net_ring0" },
    { "ermission", "run as root or with the capabilities it needs: CAP_NET_ADMIN, CAP_NET_RAW, "
                   "CAP_IPC_LOCK" },
    { "not permitted", "run as root or with the capabilities it needs: CAP_NET_ADMIN, "
                       "CAP_NET_RAW, CAP_IPC_LOCK" },
};

static const char *eal_cure(const struct dpdk_capture *capture)
{
    for (size_t i = 0; i < WEIR_COUNT(eal_cures); i++)
        if (strstr(capture->text, eal_cures[i].text))
            return eal_cures[i].cure;
    return "WEIR_DPDK_LOG=1 shows all that it says";
}

/* --- arguments --- */

static bool eal_is_lcores(const char *word)
{
    return strncmp(word, "-l", 2) == 0 || strncmp(word, "-c", 2) == 0 ||
           strncmp(word, "--lcores", 8) == 0;
}

/* One CPU that we may run on: EAL insists on one. */
static const char *eal_any_cpu(void)
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

/* argv for rte_eal_init; how many, or -E2BIG. */
static int eal_split(const char *args)
{
    static char program[] = "weir", lcores[] = "-l", no_telemetry[] = "--no-telemetry";
    char *rest = eal.words, *word;
    bool has_lcores = false;
    int argc = 0;

    if (snprintf(eal.words, sizeof eal.words, "%s", args) >= (int)sizeof eal.words)
        return -E2BIG;
    eal.argv[argc++] = program;
    while ((word = eal_word(&rest)) != NULL) {
        if (argc > EAL_WORDS)
            return -E2BIG;
        has_lcores |= eal_is_lcores(word);
        eal.argv[argc++] = word;
    }
    if (!has_lcores) {
        eal.argv[argc++] = lcores;
        eal.argv[argc++] = (char *)(uintptr_t)eal_any_cpu();
    }
    eal.argv[argc++] = no_telemetry;
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

static int eal_try(const char *args)
{
    struct dpdk_capture capture;
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
        return 0;
    }
    weir_dpdk_blame(&capture, line, sizeof line);
    snprintf(eal.why, sizeof eal.why, "dpdk: EAL does not start: %s: %s",
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
