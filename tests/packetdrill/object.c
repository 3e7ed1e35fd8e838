/* object.c - the entry, the calls about packets and time, and the end.
 *
 *     packetdrill --so_filename=.../weir-packetdrill.so [--so_flags="cc=reno pcap=FILE"] SCRIPT
 *
 * The flags are words of name=value: ip, gateway, cc (as in weir's configuration), mtu, rcvbuf,
 * sndbuf, pcap (a file for all packets), seed, and limit, the seconds of virtual time after which
 * a packet that is waited for does not come any more.
 *
 * packetdrill finds TCP's figures by getsockopt, but asks the kernel for them.  With the object in
 * LD_PRELOAD, too, its sockets are known there. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "tests/packetdrill/object.h"

#define EXPORT __attribute__((visibility("default")))

/* Both families at once, in packetdrill's subnets: what a script does not bind.  Everybody answers
 * for every gateway. */
#define OBJECT_IP "192.168.0.2/16,fd3d:fa7b:d17d::2/48"
#define OBJECT_GATEWAY "192.168.255.254,fd3d:fa7b:d17d:ffff::1"

enum { OBJECT_MTU = 1500, OBJECT_MTU_MAX = WEIR_PKT_ROOM - 18, OBJECT_LIMIT_S = 7200 };

struct object {
    struct pd *pd;
    char *flags; /* the configuration points into it */
    struct packetdrill_interface ifc;
};

static struct object object; /* packetdrill loads it once, for one script */

/* --- packets --- */

static int call_netdev_send(void *userdata, const void *packet, size_t len)
{
    struct pd *pd = pd_enter(userdata);

    return (int)pd_leave(pd, pd_wire_put(&pd->wire, packet, len));
}

/* Lets time pass until there is one. */
static struct pd_packet *netdev_await(struct pd *pd)
{
    weir_time began = pd->now, end = began + pd->limit;
    struct pd_packet *packet;

    pd_settle(pd);
    while ((packet = pd_wire_take(&pd->wire)) == NULL) {
        if (pd->now >= end)
            pd_die(pd, "no packet has come for %lld s, since %.6f s",
                   (long long)(pd->limit / WEIR_SEC(1)), (double)(began - WEIR_SEC(1)) / 1e9);
        pd_step(pd, end);
    }
    return packet;
}

static int call_netdev_receive(void *userdata, void *data, size_t *len, long long *usecs)
{
    struct pd *pd = pd_enter(userdata);
    struct pd_packet *packet = netdev_await(pd);

    if (packet->len > *len)
        pd_die(pd, "a packet of %zu bytes: there is room for %zu", packet->len, *len);
    memcpy(data, packet->data, packet->len);
    *len = packet->len;
    *usecs = pd_usecs(packet->sent_at);
    free(packet);
    return (int)pd_leave(pd, 0);
}

/* --- time --- */

static int call_usleep(void *userdata, useconds_t usecs)
{
    struct pd *pd = pd_enter(userdata);

    pd_pass(pd, WEIR_US((weir_time)usecs));
    return (int)pd_leave(pd, 0);
}

static int call_gettimeofday(void *userdata, struct timeval *tv, struct timezone *tz)
{
    struct pd *pd = pd_enter(userdata);
    int64_t usecs = pd_usecs(pd->now);

    (void)tz;
    tv->tv_sec = usecs / 1000000;
    tv->tv_usec = usecs % 1000000;
    pd_looked_at_clock(pd);
    return (int)pd_leave(pd, 0);
}

/* --- what there is not --- */

static int call_pipe(void *userdata, int fd[2])
{
    (void)userdata;
    (void)fd;
    errno = ENOSYS;
    return -1;
}

static int call_splice(void *userdata, int in, off64_t *in_at, int out, off64_t *out_at, size_t len,
                       unsigned flags)
{
    (void)userdata;
    (void)in;
    (void)in_at;
    (void)out;
    (void)out_at;
    (void)len;
    (void)flags;
    errno = ENOSYS;
    return -1;
}

/* --- in packetdrill's place --- */

EXPORT int getsockopt(int fd, int level, int option, void *value, socklen_t *len)
{
    if (object.pd && pd_sock(object.pd, fd))
        return object.ifc.getsockopt(object.pd, fd, level, option, value, len);
    return (int)syscall(SYS_getsockopt, fd, level, option, value, len);
}

/* --- the beginning and the end --- */

static void call_free(void *userdata)
{
    struct pd *pd = pd_enter(userdata);

    for (int fd = 0; fd < PD_SOCKS; fd++)
        if (pd->sock[fd])
            pd_sock_drop(pd, pd->sock[fd]);
    pd_leave(pd, 0);
    pd_world_close(pd);
    free(object.flags);
    memset(&object, 0, sizeof object);
}

static _Noreturn void flags_die(const char *what, const char *word)
{
    fprintf(stderr, "weir-packetdrill: %s: %s\n", what, word);
    fflush(NULL);
    _Exit(1);
}

static uint64_t flag_number(const char *word, const char *value, uint64_t max)
{
    char *end;
    uint64_t number = strtoull(value, &end, 10);

    if (end == value || *end || number == 0 || number > max)
        flags_die("not a number that this can be", word);
    return number;
}

static bool flag_set(struct pd_config *config, const char *name, const char *value)
{
    if (strcmp(name, "ip") == 0)
        config->native.ip = value;
    else if (strcmp(name, "gateway") == 0)
        config->native.gateway = value;
    else if (strcmp(name, "cc") == 0)
        config->native.cc = value;
    else if (strcmp(name, "pcap") == 0)
        config->pcap = value;
    else if (strcmp(name, "mtu") == 0)
        config->mtu = (uint16_t)flag_number(name, value, OBJECT_MTU_MAX);
    else if (strcmp(name, "rcvbuf") == 0)
        config->native.rcvbuf = (uint32_t)flag_number(name, value, 1 << 30);
    else if (strcmp(name, "sndbuf") == 0)
        config->native.sndbuf = (uint32_t)flag_number(name, value, 1 << 30);
    else if (strcmp(name, "seed") == 0)
        config->seed = flag_number(name, value, UINT64_MAX);
    else if (strcmp(name, "limit") == 0)
        config->limit = WEIR_SEC((weir_time)flag_number(name, value, 1 << 30));
    else
        return false;
    return true;
}

static void flags_parse(struct pd_config *config, char *flags)
{
    char *word, *rest;

    for (word = strtok_r(flags, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        char *value = strchr(word, '=');

        if (!value)
            flags_die("not name=value", word);
        *value++ = 0;
        if (!flag_set(config, word, value))
            flags_die("no such flag", word);
    }
}

static struct packetdrill_interface object_calls(void)
{
    struct packetdrill_interface ifc = {
        .userdata = object.pd,
        .free = call_free,
        .netdev_send = call_netdev_send,
        .netdev_receive = call_netdev_receive,
        .usleep = call_usleep,
        .gettimeofday = call_gettimeofday,
        .pipe = call_pipe,
        .splice = call_splice,
    };

    pd_calls_init(&ifc);
    pd_ready_init(&ifc);
    pd_options_init(&ifc);
    return ifc;
}

EXPORT packetdrill_init_fn packetdrill_interface_init;

void packetdrill_interface_init(const char *flags, struct packetdrill_interface *ifc)
{
    struct pd_config config = { .limit = WEIR_SEC(OBJECT_LIMIT_S), .seed = 1, .mtu = OBJECT_MTU };
    char why[256];

    weir_native_config_init(&config.native);
    config.native.ip = OBJECT_IP;
    config.native.gateway = OBJECT_GATEWAY;
    object.flags = strdup(flags ? flags : "");
    flags_parse(&config, object.flags);
    config.native.secret = config.seed;
    if (pd_world_open(&object.pd, &config, why, sizeof why) < 0)
        flags_die("no stack", why);
    object.ifc = object_calls();
    *ifc = object.ifc;
}
