/* udp_bind.c - datagram sockets of the kernel, bound so that shards can share an address.
 *
 * The first socket at a port is bound without SO_REUSEPORT and given it only then, as listeners are
 * (share.c): a second program gets -EADDRINUSE, and port 0 never yields a port that another socket
 * has, while our own shards can follow with an explicit port.
 *
 * Invariant: a socket that is bound is in the registry; it may be in a moment longer. */
#include "net/kernel/udp_bind.h"
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>
#include "core/list.h"

static pthread_mutex_t udp_lock = PTHREAD_MUTEX_INITIALIZER;
static struct weir_link udp_registry = { &udp_registry, &udp_registry };

/* --- paths of Unix-domain sockets --- */

static bool addr_is_path(const struct weir_addr *addr)
{
    return addr->sa.sa_family == AF_UNIX && addr->un.sun_path[0] != 0;
}

/* Whether the path is a socket that nobody has any more. */
static bool path_is_stale(const struct weir_addr *addr)
{
    struct stat st;
    bool stale;
    int fd;

    if (lstat(addr->un.sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
        return false;
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    stale = connect(fd, &addr->sa, addr->len) < 0 && errno == ECONNREFUSED;
    close(fd);
    return stale;
}

static int path_note(struct weir_udp_bound *bound)
{
    struct stat st;

    if (stat(bound->addr.un.sun_path, &st) < 0)
        return -errno;
    bound->linked = true;
    bound->dev = st.st_dev;
    bound->ino = st.st_ino;
    return 0;
}

/* Not if somebody has put another one there meanwhile. */
static void path_unlink(const struct weir_udp_bound *bound)
{
    struct stat st;

    if (bound->linked && stat(bound->addr.un.sun_path, &st) == 0 && st.st_dev == bound->dev &&
        st.st_ino == bound->ino)
        unlink(bound->addr.un.sun_path);
}

/* --- sockets --- */

static int socket_option(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof value) < 0 ? -errno : 0;
}

static int socket_prepare(int fd, const struct weir_addr *addr,
                          const struct weir_udp_config *config)
{
    int error = socket_option(fd, SOL_SOCKET, SO_RCVBUF,
                              config->queue_max > INT_MAX ? INT_MAX : (int)config->queue_max);

    if (!error && addr->sa.sa_family == AF_INET6)
        error = socket_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, config->ipv6_only);
    return error;
}

static int socket_bind(int fd, const struct weir_addr *addr)
{
    if (bind(fd, &addr->sa, addr->len) == 0)
        return 0;
    if (errno != EADDRINUSE || !addr_is_path(addr) || !path_is_stale(addr))
        return -errno;
    unlink(addr->un.sun_path);
    return bind(fd, &addr->sa, addr->len) < 0 ? -errno : 0;
}

static int socket_bring_up(int fd, const struct weir_addr *addr,
                           const struct weir_udp_config *config, bool join)
{
    bool share = config->reuse && addr->sa.sa_family != AF_UNIX;
    int error = socket_prepare(fd, addr, config);

    if (!error && share && join)
        error = socket_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (!error)
        error = socket_bind(fd, addr);
    if (!error && share && !join)
        error = socket_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    return error;
}

/* --- the registry; all under udp_lock --- */

static in_port_t addr_port(const struct weir_addr *addr)
{
    if (addr->sa.sa_family == AF_UNIX)
        return 0;
    return addr->sa.sa_family == AF_INET6 ? addr->in6.sin6_port : addr->in.sin_port;
}

static bool addr_same(const struct weir_addr *a, const struct weir_addr *b)
{
    return a->len == b->len && memcmp(&a->sa, &b->sa, a->len) == 0;
}

/* 0; 1: others of ours have that port and share it; -EADDRINUSE: this shard has the address. */
static int registry_look(const struct weir_shard *shard, const struct weir_addr *addr)
{
    int found = 0;

    if (addr_port(addr) == 0)
        return 0;
    for (struct weir_link *at = udp_registry.next; at != &udp_registry; at = at->next) {
        const struct weir_udp_bound *bound = weir_container_of(at, struct weir_udp_bound, link);

        if (bound->shard == shard && addr_same(&bound->addr, addr))
            return -EADDRINUSE;
        if (bound->shard->all == shard->all && bound->reuse &&
            addr_port(&bound->addr) == addr_port(addr))
            found = 1;
    }
    return found;
}

static int registry_enter(struct weir_udp_bound *bound, int fd)
{
    int error = 0;

    bound->addr.len = sizeof bound->addr.un;
    if (getsockname(fd, &bound->addr.sa, &bound->addr.len) < 0)
        return -errno;
    if (addr_is_path(&bound->addr))
        error = path_note(bound);
    if (!error)
        weir_list_push(&udp_registry, &bound->link);
    return error;
}

static int registry_bind(struct weir_udp_bound *bound, const struct weir_addr *addr,
                         const struct weir_udp_config *config)
{
    int join = registry_look(bound->shard, addr), fd, error;

    if (join < 0)
        return join;
    fd = socket(addr->sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    error = socket_bring_up(fd, addr, config, join);
    if (!error)
        error = registry_enter(bound, fd);
    if (!error)
        return fd;
    close(fd);
    return error;
}

int weir_udp_bind(struct weir_udp_bound *bound, const struct weir_shard *shard,
                  const struct weir_addr *addr, const struct weir_udp_config *config)
{
    int fd;

    *bound = (struct weir_udp_bound){ .shard = shard, .reuse = config->reuse };
    weir_list_init(&bound->link);
    pthread_mutex_lock(&udp_lock);
    fd = registry_bind(bound, addr, config);
    pthread_mutex_unlock(&udp_lock);
    return fd;
}

void weir_udp_unbind(struct weir_udp_bound *bound)
{
    pthread_mutex_lock(&udp_lock);
    path_unlink(bound);
    weir_list_del(&bound->link);
    pthread_mutex_unlock(&udp_lock);
}
