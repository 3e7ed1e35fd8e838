/* options.c - the command line of the apps.
 *
 * What concerns the runtime is read by weir_config_set, so that every program on weir can take the
 * same options by the same few lines. */
#include "options.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { SERVER_MAX = 64 };

static void usage(const struct app_about *about)
{
    printf(
        "%s %s - %s\n\n"
        "usage: %s [options]\n"
        "  --listen ADDR:PORT   where to listen, up to %d times: 127.0.0.1:80, [::1]:80, *:80,\n"
        "                       or unix:PATH; default %s\n"
        "  --shards N           how many shards; default one per CPU\n"
        "  --cpus LIST          the CPUs to use, such as 0,2-3; default all that we may\n"
        "  --stack NAME         uring, epoll, auto (io_uring where it is permitted) or native "
        "(TCP/IP\n"
        "                       of our own, on --dev); default auto\n"
        "  --balance HOW        reuseport (the kernel spreads connections over shards) or least\n"
        "                       (one accepts for all); default reuseport\n"
        "  --poll MODE          adaptive (sleep when idle) or busy (never); default adaptive\n"
        "  --grace TIME         from a stop to cutting what still runs: 500ms, 10s; default 10s\n"
        "  --server TEXT        HTTP: the Server field, '' for none; default weir\n"
        "  --quiet              print nothing at start\n"
        "  --help, --version\n\n"
        "for --stack native (\"kernel:\" before an address of --listen means the kernel's "
        "sockets):\n"
        "  --dev DEVICE         tap:NAME, or dpdk:EAL ARGUMENTS; default loopback only\n"
        "  --ip LIST            addresses of ours: 192.0.2.2/24,2001:db8::2/64, dhcp, auto\n"
        "  --gateway LIST       192.0.2.1,2001:db8::1\n"
        "  --route LIST         \"198.51.100.0/24 via 192.0.2.9, ...\"\n"
        "  --vlan N, --mtu N    the 802.1Q tag; bytes of an IP packet\n"
        "  --cc NAME            congestion control: cubic or reno; default cubic\n"
        "  --keepalive on       probes idle connections\n"
        "  --impair FAULTS      in front of the device: "
        "loss=1%%,delay=20ms,jitter=5ms,reorder=1%%,\n"
        "                       duplicate=1%%,corrupt=1%%,rate=100mbit,queue=64k,dir=tx\n"
        "  --pcap FILE          writes all packets there\n\n"
        "SIGINT and SIGTERM stop it gracefully; a second one cuts.  SIGUSR1 lists the fibers.\n",
        about->name, weir_version(), about->does, about->name, APP_LISTEN_MAX, about->address);
}

static int wrong(const struct app *app, const char *what, const char *why)
{
    fprintf(stderr, "%s: %s: %s (--help lists the options)\n", app->about->name, what, why);
    return 2;
}

static int add_listen(struct app *app, const char *text)
{
    struct weir_addr addr;
    char why[512];

    if (weir_addr_parse(&addr, strncmp(text, "kernel:", 7) == 0 ? text + 7 : text) < 0) {
        snprintf(why, sizeof why,
                 "'%s' is not an address like 127.0.0.1:8080, [::1]:8080, *:8080 or unix:PATH",
                 text);
        return wrong(app, "--listen", why);
    }
    if (app->listens == APP_LISTEN_MAX)
        return wrong(app, "--listen", "more than 16 addresses");
    app->listen[app->listens++] = text;
    return -1;
}

static int set_server(struct app *app, const char *text)
{
    size_t len = strlen(text);

    for (size_t i = 0; i < len; i++)
        if (text[i] < '!' || text[i] > '~' || len > SERVER_MAX)
            return wrong(app, "--server", "not a name such as weir/0.1, of at most 64 characters");
    app->server = text;
    return -1;
}

/* One option with its value; -1 or the exit status. */
static int set_option(struct app *app, const char *flag, const char *option, const char *value)
{
    char why[256] = "";
    int error;

    if (strcmp(option, "listen") == 0)
        return add_listen(app, value);
    if (strcmp(option, "server") == 0 && strcmp(app->about->scheme, "http") == 0)
        return set_server(app, value);
    error = weir_config_set(&app->config, option, value, why, sizeof why);
    if (error == 0)
        return -1;
    return wrong(app, flag, error == -ENOENT ? "no such option" : why);
}

static bool takes_value(const char *option)
{
    static const char *const with[] = { "listen", "shards", "cpus",  "stack", "balance",
                                        "poll",   "grace",  "dev",   "ip",    "gateway",
                                        "route",  "vlan",   "mtu",   "cc",    "keepalive",
                                        "impair", "pcap",   "server" };

    for (size_t i = 0; i < sizeof with / sizeof with[0]; i++)
        if (strcmp(option, with[i]) == 0)
            return true;
    return false;
}

/* An option without a value; -1 or the exit status. */
static int set_flag(struct app *app, const char *flag, const char *option)
{
    if (strcmp(option, "quiet") == 0) {
        app->config.quiet = true;
        return -1;
    }
    if (strcmp(option, "help") == 0)
        usage(app->about);
    else if (strcmp(option, "version") == 0)
        printf("%s %s\n", app->about->name, weir_version());
    else
        return wrong(app, flag, "no such option");
    return 0;
}

/* The argument at *at, and the one behind it if that is its value: "--flag value", "--flag=value".
 */
static int read_argument(struct app *app, char **argv, int *at)
{
    const char *flag = argv[(*at)++];
    const char *equals = strchr(flag, '=');
    char option[32];

    if (strncmp(flag, "--", 2) != 0)
        return wrong(app, flag, "not an option");
    snprintf(option, sizeof option, "%.*s", equals ? (int)(equals - flag - 2) : 31, flag + 2);
    if (!takes_value(option))
        return equals ? wrong(app, flag, "no such option") : set_flag(app, flag, option);
    if (equals)
        return set_option(app, flag, option, equals + 1);
    if (!argv[*at])
        return wrong(app, flag, "needs a value");
    return set_option(app, flag, option, argv[(*at)++]);
}

/* Every connection is a descriptor, and the usual soft limit is 1,024 of them. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int app_init(struct app *app, const struct app_about *about, int argc, char **argv)
{
    int status = -1;

    *app = (struct app){ .about = about };
    weir_config_init(&app->config);
    for (int at = 1; at < argc && status < 0;)
        status = read_argument(app, argv, &at);
    if (status >= 0)
        return status;
    if (app->listens == 0)
        app->listen[app->listens++] = about->address;
    raise_descriptor_limit();
    return -1;
}
