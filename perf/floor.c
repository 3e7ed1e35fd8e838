/* floor.c - the cold part of the floors: options, the fixed answer, the listening socket. */
#include "perf/floor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

char weir_floor_answers[FLOOR_BATCH * FLOOR_RESPONSE];

static long floor_port, floor_cpu;

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

static _Noreturn void floor_help(const char *program, const char *what,
                                 const struct floor_option *options, size_t count)
{
    printf("usage: %s [options] PORT CPU\n\n%s\n\n", program, what);
    for (size_t i = 0; i < count; i++)
        printf("  --%-12s %s; %ld to %ld, default %ld\n", options[i].name, options[i].help,
               options[i].min, options[i].max, *options[i].value);
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

/* Takes argv[i]; returns how many arguments that used up. */
static int floor_take(char **argv, const struct floor_option *options, size_t count)
{
    const char *name = argv[0] + 2;
    const char *equals = strchr(name, '=');
    size_t len = equals ? (size_t)(equals - name) : strlen(name);

    for (size_t i = 0; i < count; i++)
        if (strlen(options[i].name) == len && memcmp(options[i].name, name, len) == 0) {
            floor_number(argv[0], equals ? equals + 1 : argv[1], options[i].value, options[i].min,
                         options[i].max);
            return equals ? 1 : 2;
        }
    floor_usage_error("no such option", argv[0]);
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
            floor_number("CPU", argv[i], &floor_cpu, 0, CPU_SETSIZE - 1);
        else
            floor_usage_error("one argument too many", argv[i]);
        given++;
        i++;
    }
    if (given != 2)
        floor_usage_error("needs PORT and CPU", argv[0]);
}

static void floor_fill(void)
{
    char date[64], text[FLOOR_RESPONSE + 64];
    time_t now = time(NULL);
    struct tm utc;
    int len;

    gmtime_r(&now, &utc);
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &utc);
    len = snprintf(text, sizeof text,
                   "HTTP/1.1 200 OK\r\nServer: weir\r\nContent-Type: text/plain\r\n"
                   "Content-Length: 13\r\nDate: %s\r\n\r\nHello, World!",
                   date);
    if (len != FLOOR_RESPONSE)
        weir_floor_die("the answer has the wrong length", EINVAL);
    for (size_t i = 0; i < FLOOR_BATCH; i++)
        memcpy(weir_floor_answers + i * FLOOR_RESPONSE, text, FLOOR_RESPONSE);
}

int weir_floor_listen(bool nonblock)
{
    struct sockaddr_in addr = { .sin_family = AF_INET,
                                .sin_port = htons((uint16_t)floor_port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | (nonblock ? SOCK_NONBLOCK : 0), 0);
    cpu_set_t cpus;

    floor_fill();
    CPU_ZERO(&cpus);
    CPU_SET((size_t)floor_cpu, &cpus);
    if (sched_setaffinity(0, sizeof cpus, &cpus) < 0)
        weir_floor_die("pinning to the CPU", errno);
    if (fd < 0)
        weir_floor_die("socket", errno);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* accepted ones inherit it */
    if (bind(fd, (struct sockaddr *)&addr, sizeof addr) < 0 || listen(fd, 4096) < 0)
        weir_floor_die("listening", errno);
    printf("listening on 127.0.0.1:%ld\n", floor_port);
    fflush(stdout);
    return fd;
}
