/* doctor.c - weir-doctor: looks at what the machine offers to weir, and says what to do about it.
 *
 *     weir-doctor                 everything; exit status 0
 *     weir-doctor --for dpdk      exit status 1 when something that DPDK needs is missing
 *
 * It changes nothing.  It leans on the C library and the kernel only, for it must run where weir
 * itself does not. */
#include "doctor.h"
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/if_tun.h>
#include <linux/io_uring.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

static const char help_text[] =
    "usage: weir-doctor [--for uring|tap|dpdk]...\n"
    "Looks at what this machine offers to weir, and says what to do about what is missing.\n"
    "  --for uring    io_uring, for --stack uring\n"
    "  --for tap      a tap, for --stack native --dev tap:NAME\n"
    "  --for dpdk     DPDK, for --stack native --dev 'dpdk:EAL ARGS'\n"
    "  --help, --version\n\n"
    "Each line: ok; note, worth knowing; MISSING, needed for what --for names.\n"
    "Exit status: 0; 1 when something is MISSING; 2 for a command line that makes no sense.\n";

/* --- one line --- */

void doctor_say(struct doctor *doctor, enum doctor_verdict verdict, unsigned needed_for,
                const char *what, const char *cure, const char *format, ...)
{
    static const struct {
        const char *text, *color;
    } marks[] = { { "ok", "32" }, { "note", "33" }, { "MISSING", "31" } };
    char text[512];
    va_list args;

    if (verdict == DOCTOR_BAD) {
        if (needed_for & doctor->wanted)
            doctor->missing++;
        else
            verdict = DOCTOR_NOTE;
    }
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (doctor->color)
        printf("\033[%sm%-7s\033[0m  %-20s %s\n", marks[verdict].color, marks[verdict].text, what,
               text);
    else
        printf("%-7s  %-20s %s\n", marks[verdict].text, what, text);
    if (cure && verdict != DOCTOR_GOOD)
        printf("%-7s  %-20s -> %s\n", "", "", cure);
}

/* --- reading files --- */

/* The first line of a file, without its end; false: there is no such file. */
static bool read_line(const char *path, char *line, size_t size)
{
    FILE *file = fopen(path, "re");
    bool got = file && fgets(line, (int)size, file);

    if (file)
        fclose(file);
    if (!got)
        line[0] = '\0';
    line[strcspn(line, "\n")] = '\0';
    return got;
}

static long read_number(const char *path)
{
    char line[64];

    return read_line(path, line, sizeof line) ? strtol(line, NULL, 10) : -1;
}

/* How many entries a directory has; -1: there is none. */
static int count_entries(const char *path)
{
    DIR *dir = opendir(path);
    const struct dirent *entry;
    int count = 0;

    if (!dir)
        return -1;
    while ((entry = readdir(dir)) != NULL)
        count += entry->d_name[0] != '.';
    closedir(dir);
    return count;
}

/* Whether a line of the file has the word, between blanks. */
static bool file_has_word(const char *path, const char *word)
{
    char line[1024], *at, *rest;
    FILE *file = fopen(path, "re");
    bool found = false;

    while (file && !found && fgets(line, sizeof line, file))
        for (at = strtok_r(line, " \t\n", &rest); at && !found; at = strtok_r(NULL, " \t\n", &rest))
            found = strcmp(at, word) == 0;
    if (file)
        fclose(file);
    return found;
}

/* An effective capability of this process. */
static bool have_capability(unsigned capability)
{
    unsigned long long set = 0;
    char line[128];
    FILE *file = fopen("/proc/self/status", "re");

    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "CapEff: %llx", &set) == 1)
            break;
    if (file)
        fclose(file);
    return set >> capability & 1;
}

/* --- the machine --- */

static void look_at_kernel(struct doctor *doctor)
{
    struct utsname name;

    if (uname(&name) == 0)
        doctor_say(doctor, DOCTOR_GOOD, 0, "kernel", NULL, "%s %s", name.release, name.machine);
}

static void look_at_cpus(struct doctor *doctor)
{
    char isolated[128];
    cpu_set_t set;
    long online = sysconf(_SC_NPROCESSORS_ONLN);

    if (sched_getaffinity(0, sizeof set, &set) == 0)
        doctor_say(doctor, DOCTOR_GOOD, 0, "cpus", NULL, "%d to use, %ld online", CPU_COUNT(&set),
                   online);
    if (read_line("/sys/devices/system/cpu/isolated", isolated, sizeof isolated) && isolated[0])
        doctor_say(doctor, DOCTOR_GOOD, 0, "isolated cpus", NULL, "%s", isolated);
    else
        doctor_say(doctor, DOCTOR_NOTE, 0, "isolated cpus",
                   "only for the steadiest latency with --poll busy: kernel option isolcpus=2-7, "
                   "and --cpus 2-7",
                   "none");
}

/* cgroup 2's cpu.max, "QUOTA PERIOD" in microseconds, of the group this process is in. */
static void look_at_quota(struct doctor *doctor)
{
    char line[512] = "", path[600];
    double quota, period;

    if (!read_line("/proc/self/cgroup", line, sizeof line) || strncmp(line, "0::", 3) != 0)
        return;
    snprintf(path, sizeof path, "/sys/fs/cgroup%s/cpu.max", line + 3);
    if (!read_line(path, line, sizeof line) || sscanf(line, "%lf %lf", &quota, &period) != 2 ||
        period <= 0)
        doctor_say(doctor, DOCTOR_GOOD, 0, "cpu quota", NULL, "none");
    else
        doctor_say(doctor, DOCTOR_NOTE, 0, "cpu quota",
                   "a shard that polls uses its CPU up: leave --poll adaptive, and do not start "
                   "more shards than that",
                   "%.1f CPUs", quota / period);
}

static void look_at_descriptors(struct doctor *doctor)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    doctor_say(doctor, limit.rlim_max >= 65536 ? DOCTOR_GOOD : DOCTOR_NOTE, 0, "descriptors",
               "each connection of the kernel's stack is one: ulimit -Hn 1048576, LimitNOFILE= "
               "(systemd), --ulimit nofile= (docker)",
               "%llu at most", (unsigned long long)limit.rlim_max);
}

static void look_at_memlock(struct doctor *doctor)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_MEMLOCK, &limit) < 0)
        return;
    if (limit.rlim_cur == RLIM_INFINITY)
        doctor_say(doctor, DOCTOR_GOOD, 0, "locked memory", NULL, "no limit");
    else
        doctor_say(doctor,
                   limit.rlim_cur >= 8 << 20 || have_capability(CAP_IPC_LOCK) ? DOCTOR_GOOD
                                                                              : DOCTOR_NOTE,
                   0, "locked memory",
                   "io_uring of old kernels and DPDK lock memory: ulimit -l unlimited, "
                   "LimitMEMLOCK=infinity",
                   "%llu KiB%s", (unsigned long long)limit.rlim_cur >> 10,
                   have_capability(CAP_IPC_LOCK) ? ", but CAP_IPC_LOCK" : "");
}

static void look_at_congestion(struct doctor *doctor)
{
    char used[64], all[256];

    if (!read_line("/proc/sys/net/ipv4/tcp_congestion_control", used, sizeof used))
        return;
    read_line("/proc/sys/net/ipv4/tcp_available_congestion_control", all, sizeof all);
    doctor_say(doctor, DOCTOR_GOOD, 0, "congestion control", NULL,
               "%s (kernel's stack; there are %s)", used, all);
}

/* --- io_uring --- */

static const char *uring_cure(int error)
{
    if (error == EPERM)
        return "sysctl kernel.io_uring_disabled=0; in a container: --security-opt "
               "seccomp=unconfined, or a profile that permits io_uring";
    if (error == ENOSYS)
        return "Linux 5.19 or later, with CONFIG_IO_URING; until then: --stack epoll";
    return "ulimit -l, see locked memory; until then: --stack epoll";
}

static void look_at_uring(struct doctor *doctor)
{
    struct io_uring_params params = { .flags = IORING_SETUP_CLAMP };
    int fd = (int)syscall(SYS_io_uring_setup, 8, &params);

    if (fd < 0) {
        doctor_say(doctor, DOCTOR_BAD, FOR_URING, "io_uring", uring_cure(errno), "%s",
                   strerror(errno));
        return;
    }
    doctor_say(doctor, DOCTOR_GOOD, FOR_URING, "io_uring", NULL, "permitted");
    close(fd);
}

/* --- tap --- */

static void look_at_tap(struct doctor *doctor)
{
    unsigned features = 0, wanted = IFF_TAP | IFF_VNET_HDR | IFF_MULTI_QUEUE;
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

    if (fd < 0) {
        doctor_say(doctor, DOCTOR_BAD, FOR_TAP, "tap",
                   "modprobe tun; in a container: --device /dev/net/tun", "/dev/net/tun: %s",
                   strerror(errno));
        return;
    }
    if (ioctl(fd, TUNGETFEATURES, &features) < 0 || (features & wanted) != wanted)
        doctor_say(doctor, DOCTOR_BAD, FOR_TAP, "tap", "Linux 3.8 or later",
                   "cannot have several queues and offloads");
    else
        doctor_say(doctor, DOCTOR_GOOD, FOR_TAP, "tap", NULL, "several queues, offloads");
    close(fd);
    if (have_capability(CAP_NET_ADMIN))
        doctor_say(doctor, DOCTOR_GOOD, FOR_TAP, "tap permission", NULL,
                   "CAP_NET_ADMIN: may make taps");
    else
        doctor_say(doctor, DOCTOR_BAD, FOR_TAP, "tap permission",
                   "run as root or with CAP_NET_ADMIN, or let root make one for you: ip tuntap add "
                   "weir0 mode tap multi_queue user $USER",
                   "no CAP_NET_ADMIN: may use only taps that were made for this user");
}

/* --- DPDK --- */

/* As net/dev/load.c looks for it. */
static const char *module_path(void)
{
    const char *given = getenv("WEIR_DPDK_MODULE");
    char self[4096];
    ssize_t len = readlink("/proc/self/exe", self, sizeof self);
    size_t root = strlen(DOCTOR_BUILD_ROOT);

    if (given && given[0])
        return given;
    if (len > (ssize_t)root && memcmp(self, DOCTOR_BUILD_ROOT "/", root + 1) == 0)
        return DOCTOR_MODULE_BUILT;
    return DOCTOR_MODULE_INSTALLED;
}

static void look_at_module(struct doctor *doctor)
{
    const char *path = module_path();
    const char *(*version)(void);
    void *module, *symbol;

    if (access(path, R_OK) < 0) {
        doctor_say(doctor, DOCTOR_BAD, FOR_DPDK, "DPDK module",
                   "built without DPDK: install libdpdk-dev and build again", "no %s", path);
        return;
    }
    module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    symbol = module ? dlsym(module, "weir_dpdk_module_version") : NULL;
    if (!symbol) {
        doctor_say(doctor, DOCTOR_BAD, FOR_DPDK, "DPDK module",
                   "install DPDK's libraries of the version it was built with, or build again",
                   "cannot be loaded: %s", dlerror());
        return;
    }
    memcpy(&version, &symbol, sizeof version);
    doctor_say(doctor, DOCTOR_GOOD, FOR_DPDK, "DPDK module", NULL, "%s, %s", version(), path);
}

/* One size of hugepages; returns how many are free. */
static long look_at_hugepages_of(const char *name, char *text, size_t size)
{
    char path[160];
    long total, left, kib = strtol(name + strlen("hugepages-"), NULL, 10);
    size_t len = strlen(text);

    snprintf(path, sizeof path, "/sys/kernel/mm/hugepages/%.64s/nr_hugepages", name);
    total = read_number(path);
    snprintf(path, sizeof path, "/sys/kernel/mm/hugepages/%.64s/free_hugepages", name);
    left = read_number(path);
    snprintf(text + len, size - len, "%s%ld of %ld MiB (%ld free)", len ? ", " : "", total,
             kib / 1024, left);
    return left;
}

static void look_at_hugepages(struct doctor *doctor)
{
    DIR *dir = opendir("/sys/kernel/mm/hugepages");
    const struct dirent *entry;
    char text[256] = "";
    long left = 0;

    while (dir && (entry = readdir(dir)) != NULL)
        if (strncmp(entry->d_name, "hugepages-", 10) == 0)
            left += look_at_hugepages_of(entry->d_name, text, sizeof text);
    if (dir)
        closedir(dir);
    doctor_say(doctor, left > 0 ? DOCTOR_GOOD : DOCTOR_NOTE, 0, "hugepages",
               "sysctl vm.nr_hugepages=512; or do without: dpdk:--no-huge -m 512 (slower)", "%s",
               text[0] ? text : "not in this kernel");
    if (left > 0 && !file_has_word("/proc/mounts", "hugetlbfs"))
        doctor_say(doctor, DOCTOR_NOTE, 0, "hugetlbfs", "dpdk:--in-memory", "not mounted");
}

static void look_at_iommu(struct doctor *doctor)
{
    int groups = count_entries("/sys/kernel/iommu_groups");
    bool vfio = access("/dev/vfio/vfio", F_OK) == 0;

    doctor_say(doctor, groups > 0 ? DOCTOR_GOOD : DOCTOR_NOTE, 0, "IOMMU",
               "for a real NIC by DPDK: switch it on in the firmware, kernel option intel_iommu=on "
               "or amd_iommu=on; virtual devices (net_tap, net_af_packet, net_af_xdp) do without",
               groups > 0 ? "%d groups" : "none", groups);
    doctor_say(doctor, vfio ? DOCTOR_GOOD : DOCTOR_NOTE, 0, "VFIO",
               "for a real NIC by DPDK: modprobe vfio-pci, then dpdk-devbind.py -b vfio-pci "
               "ADDRESS",
               vfio ? "/dev/vfio/vfio" : "no /dev/vfio/vfio");
}

static void look_at_dpdk_permission(struct doctor *doctor)
{
    bool may = have_capability(CAP_NET_ADMIN) && have_capability(CAP_NET_RAW);

    doctor_say(doctor, may ? DOCTOR_GOOD : DOCTOR_BAD, FOR_DPDK, "DPDK permission",
               "run as root or with CAP_NET_ADMIN, CAP_NET_RAW and CAP_IPC_LOCK",
               may ? "may open devices"
                   : "no CAP_NET_ADMIN and CAP_NET_RAW: net_null and net_ring "
                     "only");
}

/* --- the command line --- */

static int wrong(const char *word, const char *why)
{
    fprintf(stderr, "weir-doctor: %s: %s (--help lists the options)\n", word, why);
    return 2;
}

static unsigned use_of(const char *word)
{
    static const char *const uses[] = { "uring", "tap", "dpdk" };

    for (unsigned i = 0; i < sizeof uses / sizeof uses[0]; i++)
        if (strcmp(word, uses[i]) == 0)
            return 1U << i;
    return 0;
}

/* -1, or the exit status. */
static int read_options(struct doctor *doctor, char **argv)
{
    for (int i = 1; argv[i]; i++) {
        const char *value = strncmp(argv[i], "--for=", 6) == 0 ? argv[i] + 6 : NULL;

        if (strcmp(argv[i], "--help") == 0) {
            fputs(help_text, stdout);
            return 0;
        }
        if (strcmp(argv[i], "--version") == 0) {
            printf("weir-doctor %s\n", weir_version());
            return 0;
        }
        if (!value && strcmp(argv[i], "--for") != 0)
            return wrong(argv[i], "no such option");
        if (!value && !(value = argv[++i]))
            return wrong("--for", "needs a value");
        if (!use_of(value))
            return wrong(value, "--for takes uring, tap or dpdk");
        doctor->wanted |= use_of(value);
    }
    return -1;
}

int main(int argc, char **argv)
{
    struct doctor doctor = { .color = isatty(STDOUT_FILENO) && !getenv("NO_COLOR") };
    int status = read_options(&doctor, argv);

    (void)argc;
    if (status >= 0)
        return status;
    look_at_kernel(&doctor);
    look_at_cpus(&doctor);
    look_at_quota(&doctor);
    look_at_descriptors(&doctor);
    look_at_memlock(&doctor);
    look_at_congestion(&doctor);
    look_at_uring(&doctor);
    look_at_tap(&doctor);
    look_at_module(&doctor);
    look_at_dpdk_permission(&doctor);
    look_at_hugepages(&doctor);
    look_at_iommu(&doctor);
    doctor_look_at_nics(&doctor);
    return doctor.missing > 0;
}
