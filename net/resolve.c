/* resolve.c - host names to addresses, by c-ares on the loop of the shard.
 *
 * Each lookup has a channel of its own, which lives in the frame of the fiber that waits: no state
 * is shared, cancelling is destroying the channel, and a changed resolv.conf is seen by the next.
 * Reading that file costs some 50 us, little beside a question to a server.
 *
 * c-ares owns its sockets and closes them when it likes; the engine watches duplicates of them,
 * which are ours.  c-ares may leave something to read, and an engine only tells of changes: so a
 * socket is asked by poll(2) whether it has more, a bounded number of times.
 *
 * Invariant: `channel` is NULL before and after a lookup; the callback of c-ares only takes note,
 * so that nobody destroys a channel that is in the middle of something. */
#include <ares.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <weir/resolve.h>
#include <weir/time.h>
#include "core/parse.h"
#include "net/kernel/socket.h"

enum { RESOLVE_LOOKS = 32, RESOLVE_TEXT = WEIR_RESOLVE_NAME + 7 };

struct resolve {
    struct weir_future future; /* the number of addresses, or a negated errno */
    ares_channel channel;
    struct weir_kernel *kernel; /* NULL: the simulation, which has no sockets for it */
    struct weir_link sockets;   /* struct resolve_socket */
    struct weir_alarm alarm;    /* c-ares wants to look again */
    bool answered;              /* with: */
    int64_t result;
    struct weir_addr *addrs;
    size_t max;
    in_port_t port;
};

/* A socket of c-ares. */
struct resolve_socket {
    struct weir_kernel_watch watch; /* of a duplicate */
    struct weir_link link;
    struct resolve *resolve;
    ares_socket_t fd;
    unsigned want; /* enum weir_watch_what */
};

/* --- answers --- */

static int resolve_errno(int status)
{
    switch (status) {
    case ARES_SUCCESS:
        return 0;
    case ARES_ENOTFOUND:
    case ARES_ENODATA:
        return -ENOENT;
    case ARES_ENOMEM:
        return -ENOMEM;
    case ARES_EBADNAME:
    case ARES_EBADSTR:
    case ARES_ENONAME:
    case ARES_EBADFAMILY:
        return -EINVAL;
    case ARES_ECANCELLED:
    case ARES_EDESTRUCTION:
        return -ECANCELED;
    default:
        return -EAGAIN; /* no server, or one that would not or could not answer */
    }
}

static bool resolve_take(struct weir_addr *addr, const struct ares_addrinfo_node *node,
                         in_port_t port)
{
    memset(addr, 0, sizeof *addr);
    if (node->ai_family == AF_INET && node->ai_addrlen == sizeof addr->in) {
        memcpy(&addr->in, node->ai_addr, sizeof addr->in);
        addr->in.sin_port = port;
        addr->len = sizeof addr->in;
    } else if (node->ai_family == AF_INET6 && node->ai_addrlen == sizeof addr->in6) {
        memcpy(&addr->in6, node->ai_addr, sizeof addr->in6);
        addr->in6.sin6_port = port;
        addr->len = sizeof addr->in6;
    }
    return addr->len > 0;
}

static void resolve_answered(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
    struct resolve *r = arg;
    size_t count = 0;

    (void)timeouts;
    for (struct ares_addrinfo_node *node = info ? info->nodes : NULL; node && count < r->max;
         node = node->ai_next)
        count += resolve_take(&r->addrs[count], node, r->port);
    if (info)
        ares_freeaddrinfo(info);
    r->answered = true;
    r->result = resolve_errno(status);
    if (!r->kernel && r->result == -EAGAIN)
        r->result = -ENOENT; /* it was not in the file, and there is no server to ask */
    if (r->result == 0)
        r->result = count > 0 ? (int64_t)count : -ENOENT;
}

/* --- its sockets --- */

static void resolve_socket_gone(struct weir_kernel_watch *watch)
{
    free(weir_container_of(watch, struct resolve_socket, watch));
}

static void resolve_socket_close(struct resolve_socket *s)
{
    weir_list_del(&s->link);
    s->resolve->kernel->ops->watch_close(s->resolve->kernel, &s->watch);
}

/* Frees the channel, and its sockets with it; then nothing of it comes any more. */
static void resolve_end(struct resolve *r)
{
    ares_channel channel = r->channel;

    r->channel = NULL;
    ares_destroy(channel);
    weir_assert(weir_list_empty(&r->sockets) && r->answered);
    weir_alarm_clear(&r->alarm);
}

/* After c-ares has done something: ends the lookup, or arms for what c-ares waits for now. */
static void resolve_go_on(struct resolve *r, bool at_once)
{
    struct timeval span;

    if (r->answered) {
        int64_t result = r->result;

        resolve_end(r);
        weir_future_set(&r->future, result);
        return;
    }
    if (at_once)
        weir_alarm_set(&r->alarm, weir_now());
    else if (ares_timeout(r->channel, NULL, &span))
        weir_alarm_set(&r->alarm,
                       weir_after(WEIR_SEC(span.tv_sec) + WEIR_US(span.tv_usec) + WEIR_TICK));
}

/* What of `want` can be done without waiting. */
static unsigned resolve_socket_can(const struct resolve_socket *s)
{
    struct pollfd look = { .fd = s->watch.fd,
                           .events = (short)((s->want & WEIR_WATCH_IN ? POLLIN : 0) |
                                             (s->want & WEIR_WATCH_OUT ? POLLOUT : 0)) };
    unsigned can = 0;

    if (poll(&look, 1, 0) <= 0)
        return 0;
    if (look.revents & (POLLIN | POLLERR | POLLHUP))
        can |= WEIR_WATCH_IN;
    if (look.revents & (POLLOUT | POLLERR | POLLHUP))
        can |= WEIR_WATCH_OUT;
    return can & s->want;
}

/* Some socket that has something to do, and what. */
static struct resolve_socket *resolve_busy(struct resolve *r, unsigned *can)
{
    for (struct weir_link *link = r->sockets.next; link != &r->sockets; link = link->next) {
        struct resolve_socket *s = weir_container_of(link, struct resolve_socket, link);

        *can = resolve_socket_can(s);
        if (*can)
            return s;
    }
    return NULL;
}

static void resolve_arm(struct resolve *r)
{
    for (struct weir_link *link = r->sockets.next; link != &r->sockets; link = link->next) {
        struct resolve_socket *s = weir_container_of(link, struct resolve_socket, link);

        r->kernel->ops->watch_arm(r->kernel, &s->watch, s->want);
    }
}

static void resolve_look(struct resolve *r)
{
    struct resolve_socket *s = NULL;
    unsigned can;

    for (int looks = 0; looks < RESOLVE_LOOKS && !r->answered; looks++) {
        s = resolve_busy(r, &can);
        if (!s)
            break;
        ares_process_fd(r->channel, can & WEIR_WATCH_IN ? s->fd : ARES_SOCKET_BAD,
                        can & WEIR_WATCH_OUT ? s->fd : ARES_SOCKET_BAD);
    }
    if (!r->answered)
        resolve_arm(r);
    resolve_go_on(r, s != NULL);
}

static void resolve_ready(struct weir_kernel_watch *watch, unsigned what)
{
    (void)what;
    resolve_look(weir_container_of(watch, struct resolve_socket, watch)->resolve);
}

static void resolve_alarm(struct weir_alarm *alarm)
{
    struct resolve *r = weir_container_of(alarm, struct resolve, alarm);

    ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    resolve_look(r);
}

static struct resolve_socket *resolve_socket_of(struct resolve *r, ares_socket_t fd)
{
    for (struct weir_link *link = r->sockets.next; link != &r->sockets; link = link->next) {
        struct resolve_socket *s = weir_container_of(link, struct resolve_socket, link);

        if (s->fd == fd)
            return s;
    }
    return NULL;
}

/* Without it the lookup goes on by the clock: c-ares asks again, or gives up. */
static struct resolve_socket *resolve_socket_open(struct resolve *r, ares_socket_t fd)
{
    struct resolve_socket *s = calloc(1, sizeof *s);

    if (!s)
        return NULL;
    *s = (struct resolve_socket){ .resolve = r, .fd = fd };
    s->watch = (struct weir_kernel_watch){ .ready = resolve_ready, .gone = resolve_socket_gone };
    s->watch.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (s->watch.fd < 0 || r->kernel->ops->watch_open(r->kernel, &s->watch) < 0) {
        if (s->watch.fd >= 0)
            close(s->watch.fd);
        free(s);
        return NULL;
    }
    weir_list_push(&r->sockets, &s->link);
    return s;
}

/* c-ares tells what it waits for; for nothing: it is about to close the socket. */
static void resolve_socket_state(void *arg, ares_socket_t fd, int readable, int writable)
{
    struct resolve *r = arg;
    struct resolve_socket *s = resolve_socket_of(r, fd);
    unsigned want = (readable ? WEIR_WATCH_IN : 0u) | (writable ? WEIR_WATCH_OUT : 0u);

    if (want == 0) {
        if (s)
            resolve_socket_close(s);
        return;
    }
    if (!s)
        s = resolve_socket_open(r, fd);
    if (s)
        s->want = want;
}

/* --- a lookup --- */

static pthread_once_t resolve_once = PTHREAD_ONCE_INIT;

static void resolve_library(void)
{
    ares_library_init(ARES_LIB_INIT_ALL);
}

static int resolve_channel(struct resolve *r, const struct weir_resolve_config *config)
{
    struct ares_options options = {
        .timeout = (int)(config->timeout / WEIR_MS(1)),
        .tries = config->tries,
        .lookups = (char[]){ "f" },
        .sock_state_cb = resolve_socket_state,
        .sock_state_cb_data = r,
    };
    int mask = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES;
    int status;

    pthread_once(&resolve_once, resolve_library);
    status = ares_init_options(&r->channel, &options,
                               mask | (r->kernel ? ARES_OPT_SOCK_STATE_CB : ARES_OPT_LOOKUPS));
    if (status == ARES_SUCCESS && config->servers && r->kernel)
        status = ares_set_servers_ports_csv(r->channel, config->servers);
    if (status == ARES_SUCCESS)
        return 0;
    if (r->channel)
        ares_destroy(r->channel);
    return status == ARES_ENOMEM ? -ENOMEM : -EINVAL;
}

static void resolve_cancel(struct weir_future *future)
{
    struct resolve *r = weir_container_of(future, struct resolve, future);

    resolve_end(r);
    weir_future_set(future, -ECANCELED);
}

static void resolve_start(struct resolve *r, const char *name, int family)
{
    const struct ares_addrinfo_hints hints = {
        .ai_family = family,
        .ai_socktype = SOCK_STREAM, /* each address once */
        .ai_flags =
            ARES_AI_ENVHOSTS | (r->kernel ? 0 : ARES_AI_NOSORT), /* sorting asks the kernel */
    };

    weir_future_init(&r->future, resolve_cancel);
    weir_list_init(&r->sockets);
    weir_alarm_init(&r->alarm, resolve_alarm);
    ares_getaddrinfo(r->channel, name, NULL, &hints, resolve_answered, r);
    if (!r->answered)
        resolve_arm(r);
    resolve_go_on(r, false);
}

/* --- the text --- */

/* Digits and dots that are no address would be looked up in vain. */
static bool name_is_sound(const char *name, size_t len)
{
    bool letter = false;

    if (len == 0 || len > WEIR_RESOLVE_NAME)
        return false;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)name[i];

        if (!isalnum(c) && c != '-' && c != '_' && c != '.')
            return false;
        letter |= !isdigit(c) && c != '.';
    }
    return letter;
}

static int text_split(const char *text, char name[RESOLVE_TEXT], in_port_t *port)
{
    const char *colon = strrchr(text, ':');
    size_t len = colon ? (size_t)(colon - text) : 0;
    uint64_t value;

    if (!colon || !name_is_sound(text, len) || (colon[1] == '0' && colon[2] != 0) ||
        weir_parse_uint(colon + 1, 0, UINT16_MAX, &value) < 0)
        return -EINVAL;
    memcpy(name, text, len);
    name[len] = 0;
    *port = htons((uint16_t)value);
    return 0;
}

/* --- the public face --- */

void weir_resolve_config_init(struct weir_resolve_config *config)
{
    *config =
        (struct weir_resolve_config){ .family = AF_UNSPEC, .timeout = WEIR_SEC(2), .tries = 3 };
}

static bool config_is_sound(const struct weir_resolve_config *config)
{
    return config->tries > 0 && config->timeout >= WEIR_MS(1) &&
           config->timeout <= WEIR_SEC(3600) &&
           (config->family == AF_UNSPEC || config->family == AF_INET || config->family == AF_INET6);
}

int64_t weir_resolve(const char *text, struct weir_addr *addrs, size_t max,
                     const struct weir_resolve_config *config, weir_time deadline)
{
    struct resolve r = { .kernel = weir_kernel_here("weir_resolve"), .addrs = addrs, .max = max };
    struct weir_resolve_config defaults;
    char name[RESOLVE_TEXT];
    int error;

    weir_assert(max > 0);
    weir_resolve_config_init(&defaults);
    config = config ? config : &defaults;
    if (weir_addr_parse(addrs, text) == 0)
        return 1;
    if (!config_is_sound(config) || text_split(text, name, &r.port) < 0)
        return -EINVAL;
    error = resolve_channel(&r, config);
    if (error < 0)
        return error;
    resolve_start(&r, name, config->family);
    return weir_await(&r.future, deadline);
}
