/* share.c - the registry of addresses, and making the sockets that listen on them.
 *
 * The first socket for a text is bound without SO_REUSEPORT and given it only then: so a second
 * program on the same port gets -EADDRINUSE, as it should, while our own shards can follow.
 * TCP_NODELAY is set on the listening socket; the connections inherit it.
 *
 * Invariant: a share is in the registry while it can be joined; members that are in hold one
 * reference each. */
#include "net/kernel/share.h"
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pthread_mutex_t share_lock = PTHREAD_MUTEX_INITIALIZER;
static struct weir_link share_registry = { &share_registry, &share_registry };

/* --- sockets --- */

static bool addr_is_path(const struct weir_addr *addr)
{
    return addr->sa.sa_family == AF_UNIX && addr->un.sun_path[0] != 0;
}

static int socket_flag(int fd, int level, int option)
{
    int on = 1;

    return setsockopt(fd, level, option, &on, sizeof on) < 0 ? -errno : 0;
}

/* Whether the path is a socket that nobody listens on any more. */
static bool path_is_stale(const struct weir_addr *addr)
{
    struct stat st;
    bool stale;
    int fd;

    if (lstat(addr->un.sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
        return false;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    stale = connect(fd, &addr->sa, addr->len) < 0 && errno == ECONNREFUSED;
    close(fd);
    return stale;
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

static int socket_prepare(int fd, const struct weir_addr *addr,
                          const struct weir_listen_config *config)
{
    int v6only = config->ipv6_only, defer = config->defer_accept /* s */, error;

    if (addr->sa.sa_family == AF_UNIX)
        return 0;
    if (addr->sa.sa_family == AF_INET6 &&
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof v6only) < 0)
        return -errno;
    if (defer && setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &defer, sizeof defer) < 0)
        return -errno;
    error = socket_flag(fd, SOL_SOCKET, SO_REUSEADDR);
    return error ? error : socket_flag(fd, IPPROTO_TCP, TCP_NODELAY);
}

enum socket_role { SOCKET_ALONE, SOCKET_FIRST, SOCKET_NEXT };

static int socket_bring_up(int fd, const struct weir_addr *addr,
                           const struct weir_listen_config *config, enum socket_role role)
{
    int error = socket_prepare(fd, addr, config);

    if (!error && role == SOCKET_NEXT)
        error = socket_flag(fd, SOL_SOCKET, SO_REUSEPORT);
    if (!error)
        error = socket_bind(fd, addr);
    if (!error && role == SOCKET_FIRST)
        error = socket_flag(fd, SOL_SOCKET, SO_REUSEPORT);
    if (!error && listen(fd, config->backlog) < 0)
        error = -errno;
    return error;
}

/* A listening socket, or a negated errno. */
static int socket_listen(const struct weir_addr *addr, const struct weir_listen_config *config,
                         enum socket_role role)
{
    int fd = socket(addr->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0), error;

    if (fd < 0)
        return -errno;
    error = socket_bring_up(fd, addr, config, role);
    if (error) {
        close(fd);
        return error;
    }
    return fd;
}

/* --- the registry; all under share_lock --- */

static bool addr_same(const struct weir_addr *a, const struct weir_addr *b)
{
    return a->len == b->len && memcmp(&a->sa, &b->sa, a->len) == 0;
}

static struct weir_share *share_find(const struct weir_shards *all, const struct weir_addr *addr)
{
    for (struct weir_link *at = share_registry.next; at != &share_registry; at = at->next) {
        struct weir_share *share = weir_container_of(at, struct weir_share, link);

        if (share->all == all && (addr_same(&share->asked, addr) || addr_same(&share->addr, addr)))
            return share;
    }
    return NULL;
}

static void share_free(struct weir_share *share)
{
    weir_list_del(&share->link);
    free(share);
}

static void share_unlink(struct weir_share *share)
{
    struct stat st;

    /* Not if somebody has put another one there meanwhile. */
    if (share->linked && stat(share->addr.un.sun_path, &st) == 0 && st.st_dev == share->dev &&
        st.st_ino == share->ino)
        unlink(share->addr.un.sun_path);
    share->linked = false;
}

static int share_new(struct weir_share **out, struct weir_shards *all, const struct weir_addr *addr)
{
    struct weir_share *share = calloc(1, sizeof *share + all->count * sizeof share->member[0]);

    if (!share)
        return -ENOMEM;
    weir_list_init(&share->link);
    share->all = all;
    share->asked = share->addr = *addr;
    *out = share;
    return 0;
}

/* Takes note of the address the first socket got. */
static int share_resolve(struct weir_share *share, int fd)
{
    struct stat st;

    if (addr_is_path(&share->addr)) {
        if (stat(share->addr.un.sun_path, &st) < 0)
            return -errno;
        share->linked = true;
        share->dev = st.st_dev;
        share->ino = st.st_ino;
        return 0;
    }
    share->addr.len = sizeof share->addr.un;
    return getsockname(fd, &share->addr.sa, &share->addr.len) < 0 ? -errno : 0;
}

static int share_first(struct weir_share *share, const struct weir_listen_config *config, int *fd)
{
    int error;

    *fd = socket_listen(&share->addr, config, share->least ? SOCKET_ALONE : SOCKET_FIRST);
    if (*fd < 0)
        return *fd;
    error = share_resolve(share, *fd);
    if (error)
        close(*fd);
    return error;
}

static int share_next(struct weir_share *share, const struct weir_shard *shard,
                      const struct weir_listen_config *config, int *fd)
{
    *fd = -1;
    if (atomic_load_explicit(&share->member[shard->id].in, memory_order_relaxed))
        return -EADDRINUSE;
    if (share->least)
        return 0;
    *fd = socket_listen(&share->addr, config, SOCKET_NEXT);
    return *fd < 0 ? *fd : 0;
}

/* Finds or makes it; *fd as weir_share_join says. */
static int share_get(struct weir_share **share, struct weir_shard *shard,
                     const struct weir_addr *addr, const struct weir_listen_config *config,
                     enum weir_balance balance, int *fd)
{
    int error;

    *share = share_find(shard->all, addr);
    if (*share)
        return share_next(*share, shard, config, fd);
    error = share_new(share, shard->all, addr);
    if (error)
        return error;
    (*share)->least = balance == WEIR_BALANCE_LEAST || addr->sa.sa_family == AF_UNIX;
    error = share_first(*share, config, fd);
    if (error)
        share_free(*share);
    else
        weir_list_push(&share_registry, &(*share)->link);
    return error;
}

int weir_share_join(struct weir_share **share, struct weir_shard *shard,
                    const struct weir_addr *addr, const struct weir_listen_config *config,
                    enum weir_balance balance, int *fd)
{
    int error;

    pthread_mutex_lock(&share_lock);
    error = share_get(share, shard, addr, config, balance, fd);
    if (!error) {
        struct weir_share_member *member = &(*share)->member[shard->id];

        (*share)->refs++;
        atomic_store(&member->room, (int32_t)weir_min_u64(config->accepted_max, INT32_MAX));
        atomic_store(&member->in, true);
    }
    pthread_mutex_unlock(&share_lock);
    return error;
}

void weir_share_out(struct weir_share *share, const struct weir_shard *shard)
{
    atomic_store(&share->member[shard->id].in, false);
}

void weir_share_ref(struct weir_share *share)
{
    pthread_mutex_lock(&share_lock);
    share->refs++;
    pthread_mutex_unlock(&share_lock);
}

void weir_share_unref(struct weir_share *share)
{
    pthread_mutex_lock(&share_lock);
    weir_assert(share->refs > 0);
    if (--share->refs == 0) {
        share_unlink(share);
        share_free(share);
    }
    pthread_mutex_unlock(&share_lock);
}

bool weir_share_successor(struct weir_share *share, int fd, unsigned *to)
{
    bool found = false;

    pthread_mutex_lock(&share_lock);
    for (unsigned i = 0; i < share->all->count && !found; i++) {
        found = atomic_load(&share->member[i].in);
        *to = i;
    }
    if (!found) { /* all under the lock: nobody finds the address in use by what is gone */
        weir_list_del(&share->link);
        share_unlink(share);
        close(fd);
    }
    pthread_mutex_unlock(&share_lock);
    return found;
}

void weir_share_unlink(struct weir_share *share)
{
    pthread_mutex_lock(&share_lock);
    share_unlink(share);
    pthread_mutex_unlock(&share_lock);
}
