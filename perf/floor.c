/* floor.c - the cold part of the floors: options, the fixed answer, the listening socket. */
#include "perf/floor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* The answers to one receive are that many bytes at most; of longer ones there is one. */
enum { ANSWERS_MAX = 2 << 20, BODY_MAX = 64 << 20, PAD_MAX = 256, HEAD_MAX = 512 };

struct weir_floor weir_floor;

static long floor_port, floor_cpus[FLOOR_CPUS_MAX];
static unsigned floor_cpu_count;
static long floor_body = 13, floor_pad, floor_closes, floor_echoes;

static const struct floor_option floor_common[] = {
    { "body", "bytes of the body", &floor_body, 13, BODY_MAX },
    { "pad", "bytes added to the Server field", &floor_pad, 0, PAD_MAX },
    { "close", "close behind each answer (1)", &floor_closes, 0, 1 },
    { "echo", "send back what comes in, and no HTTP (1)", &floor_echoes, 0, 1 },
};

#define FLOOR_COMMON (sizeof floor_common / sizeof floor_common[0])

void weir_floor_die(const char *what, int error)
{
    fprintf(stderr, "floor: %s: %s\n", what, strerror(error));
    exit(1);
}

static _Noreturn void floor_usage_error(const char *why, const char *what)
{
    fprintf(stderr, "floor: %s: %s (see --help)\n", what, why);
    exit(2);
}

static void floor_list(const struct floor_option *options, size_t count)
{
    for (size_t i = 0; i < count; i++)
        printf("  --%-12s %s; %ld to %ld, default %ld\n", options[i].name, options[i].help,
               options[i].min, options[i].max, *options[i].value);
}

static _Noreturn void floor_help(const char *program, const char *what,
                                 const struct floor_option *options, size_t count)
{
    printf("usage: %s [options] PORT CPU[,CPU...]\n\n%s\n\n", program, what);
    floor_list(floor_common, FLOOR_COMMON);
    floor_list(options, count);
    exit(0);
}

static void floor_number(const char *name, const char *text, long *value, long min, long max)
{
    char *end;

    if (text == NULL)
        floor_usage_error("needs a number", name);
    errno = 0;
    *value = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || *value < min || *value > max)
        floor_usage_error("not a number in its range", name);
}

static const struct floor_option *floor_find(const char *name, size_t len,
                                             const struct floor_option *options, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strlen(options[i].name) == len && memcmp(options[i].name, name, len) == 0)
            return &options[i];
    return NULL;
}

/* Takes argv[0]; returns how many arguments that used up. */
static int floor_take(char **argv, const struct floor_option *options, size_t count)
{
    const char *name = argv[0] + 2;
    const char *equals = strchr(name, '=');
    size_t len = equals ? (size_t)(equals - name) : strlen(name);
    const struct floor_option *option = floor_find(name, len, options, count);

    if (option == NULL)
        option = floor_find(name, len, floor_common, FLOOR_COMMON);
    if (option == NULL)
        floor_usage_error("no such option", argv[0]);
    floor_number(argv[0], equals ? equals + 1 : argv[1], option->value, option->min, option->max);
    return equals ? 1 : 2;
}

static void floor_read_cpus(char *text)
{
    for (char *cpu = strtok(text, ","); cpu != NULL; cpu = strtok(NULL, ",")) {
        if (floor_cpu_count == FLOOR_CPUS_MAX)
            floor_usage_error("too many", "CPU");
        floor_number("CPU", cpu, &floor_cpus[floor_cpu_count++], 0, CPU_SETSIZE - 1);
    }
}

void weir_floor_options(int argc, char **argv, const char *what, const struct floor_option *options,
                        size_t count)
{
    int given = 0;

    for (int i = 1; i < argc;) {
        if (strcmp(argv[i], "--help") == 0)
            floor_help(argv[0], what, options, count);
        if (strncmp(argv[i], "--", 2) == 0) {
            i += floor_take(argv + i, options, count);
            continue;
        }
        if (given == 0)
            floor_number("PORT", argv[i], &floor_port, 1, 65535);
        else if (given == 1)
            floor_read_cpus(argv[i]);
        else
            floor_usage_error("one argument too many", argv[i]);
        given++;
        i++;
    }
    if (given != 2 || floor_cpu_count == 0)
        floor_usage_error("needs PORT and CPU", argv[0]);
    weir_floor.closes = floor_closes;
    weir_floor.echo = floor_echoes;
}

bool weir_floor_takes(long rx_size)
{
    if (weir_floor.echo || rx_size <= FLOOR_HTTP_RX_MAX)
        return true;
    fprintf(stderr, "floor: --size is at most %d without --echo\n", FLOOR_HTTP_RX_MAX);
    return false;
}

/* "Server: weir...", as long as is asked for. */
static size_t floor_head(char head[HEAD_MAX])
{
    char date[64], pad[PAD_MAX + 1];
    time_t now = time(NULL);
    struct tm utc;
    int len;

    memset(pad, '.', sizeof pad);
    gmtime_r(&now, &utc);
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &utc);
    len =
        snprintf(head, HEAD_MAX,
                 "HTTP/1.1 200 OK\r\nServer: weir%.*s\r\nContent-Type: %s\r\n"
                 "Content-Length: %ld\r\n%sDate: %s\r\n\r\n",
                 (int)floor_pad, pad, floor_body == 13 ? "text/plain" : "application/octet-stream",
                 floor_body, floor_closes ? "Connection: close\r\n" : "", date);
    return (size_t)len;
}

static void floor_fill(void)
{
    char head[HEAD_MAX];
    size_t head_len = floor_head(head);
    size_t response = head_len + (size_t)floor_body;
    size_t batch = response > ANSWERS_MAX / FLOOR_BATCH ? 1 : FLOOR_BATCH;
    char *body;

    weir_floor.response = response;
    weir_floor.answers_len = batch * response;
    weir_floor.answers = malloc(weir_floor.answers_len);
    if (weir_floor.answers == NULL)
        weir_floor_die("answers", ENOMEM);
    memcpy(weir_floor.answers, head, head_len);
    body = weir_floor.answers + head_len;
    if (floor_body == 13)
        memcpy(body, "Hello, World!", 13);
    else
        for (long i = 0; i < floor_body; i++)
            body[i] = (char)('a' + i % 26);
    for (size_t i = 1; i < batch; i++)
        memcpy(weir_floor.answers + i * response, weir_floor.answers, response);
}

static int floor_listen_one(bool nonblock)
{
    struct sockaddr_in addr = { .sin_family = AF_INET,
                                .sin_port = htons((uint16_t)floor_port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | (nonblock ? SOCK_NONBLOCK : 0), 0);

    if (fd < 0)
        weir_floor_die("socket", errno);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* accepted ones inherit it */
    setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &on /* s */, sizeof on); /* as weir's apps */
    if (floor_cpu_count > 1)
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&addr, sizeof addr) < 0 || listen(fd, 4096) < 0)
        weir_floor_die("listening", errno);
    return fd;
}

static void floor_pin(unsigned cpu)
{
    cpu_set_t cpus;

    CPU_ZERO(&cpus);
    CPU_SET((size_t)floor_cpus[cpu], &cpus);
    if (sched_setaffinity(0, sizeof cpus, &cpus) < 0)
        weir_floor_die("pinning to the CPU", errno);
}

/* Becomes one process per CPU; which of them this one is.  Those that were made end with the one
 * that made them. */
static unsigned floor_spread(void)
{
    for (unsigned i = 1; i < floor_cpu_count; i++) {
        pid_t pid = fork();

        if (pid < 0)
            weir_floor_die("fork", errno);
        if (pid > 0)
            continue;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        return i;
    }
    return 0;
}

int weir_floor_listen(bool nonblock)
{
    int fd[FLOOR_CPUS_MAX];
    unsigned mine;

    floor_fill();
    for (unsigned i = 0; i < floor_cpu_count; i++)
        fd[i] = floor_listen_one(nonblock);
    printf("listening on 127.0.0.1:%ld\n", floor_port);
    fflush(stdout);
    mine = floor_spread();
    floor_pin(mine);
    for (unsigned i = 0; i < floor_cpu_count; i++)
        if (i != mine)
            close(fd[i]);
    return fd[mine];
}
