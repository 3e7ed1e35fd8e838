/* tap_kernel.c - a tap's descriptors, and the kernel's side of the wire: its MTU, its addresses,
 * up.
 *
 * What the kernel refuses is told with what the user can do about it: most of all this wants
 * CAP_NET_ADMIN, but not a tap that root has made and set up for us. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "net/dev/tap.h"

/* --- the descriptors --- */

static int tap_refused(const char *name, unsigned queues, int error, char *why, size_t why_size)
{
    const char *label = name[0] ? name : "weir0";

    switch (error) {
    case -ENOENT:
    case -ENODEV:
    case -ENXIO:
        snprintf(why, why_size,
                 "tap: no /dev/net/tun here: modprobe tun; for a container: --device /dev/net/tun");
        break;
    case -EPERM:
    case -EACCES:
        snprintf(
            why, why_size,
            "tap %s: not permitted: run as root or with CAP_NET_ADMIN, or let root make it for "
            "you: ip tuntap add %s mode tap%s user $USER",
            label, label, queues > 1 ? " multi_queue" : "");
        break;
    case -EBUSY:
        snprintf(why, why_size, "tap %s: another program has it open: choose another name", label);
        break;
    case -EINVAL:
        snprintf(why, why_size,
                 "tap %s: there is one, but it is no %stap: choose another name, or remove it: ip "
                 "link del %s",
                 label, queues > 1 ? "multi-queue " : "", label);
        break;
    default:
        snprintf(why, why_size, "tap %s: %s", label, strerror(-error));
    }
    return error;
}

/* One descriptor of the tap `name`, which the kernel fills in when it is "". */
static int tap_open_fd(int *out, char name[IFNAMSIZ], short flags)
{
    struct ifreq request = { .ifr_flags = flags };
    int header = sizeof(struct virtio_net_hdr);
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC), error;

    if (fd < 0)
        return -errno;
    memcpy(request.ifr_name, name, IFNAMSIZ);
    if (ioctl(fd, TUNSETIFF, &request) < 0 || ioctl(fd, TUNSETVNETHDRSZ, &header) < 0 ||
        ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6) < 0) {
        error = -errno;
        close(fd);
        return error;
    }
    memcpy(name, request.ifr_name, IFNAMSIZ);
    *out = fd;
    return 0;
}

/* A tap that was made multi-queue takes no descriptor that is not, nor the other way round. */
static int tap_open_all(struct weir_tap_dev *tap, unsigned queues)
{
    short flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
    int error = 0;

    if (queues > 1)
        flags |= IFF_MULTI_QUEUE;
    while (!error && tap->open < queues) {
        struct weir_tap_queue *q = &tap->queue[tap->open];

        error = tap_open_fd(&q->fd, tap->name, flags);
        if (error == -EINVAL && queues == 1)
            error = tap_open_fd(&q->fd, tap->name, flags | IFF_MULTI_QUEUE);
        if (error)
            break;
        weir_pool_init(&q->big_pool, sizeof(struct weir_pkt) + WEIR_PKT_HEADROOM + WEIR_TAP_FRAME,
                       64, WEIR_TAP_BIG);
        tap->open++;
    }
    return error;
}

int weir_tap_open_fds(struct weir_tap_dev *tap, unsigned queues, char *why, size_t why_size)
{
    int error = tap_open_all(tap, queues);

    return error ? tap_refused(tap->name, queues, error, why, why_size) : 0;
}

/* --- the kernel's side --- */

static int tap_socket_ioctl(int family, unsigned long what, void *request)
{
    int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int error = 0;

    if (fd < 0)
        return -errno;
    if (ioctl(fd, what, request) < 0)
        error = -errno;
    close(fd);
    return error;
}

static void tap_request(struct ifreq *request, const struct weir_tap_dev *tap)
{
    memset(request, 0, sizeof *request);
    memcpy(request->ifr_name, tap->name, sizeof request->ifr_name);
}

static int tap_set_in_addr(const struct weir_tap_dev *tap, unsigned long what, struct in_addr in)
{
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr = in };
    struct ifreq request;

    tap_request(&request, tap);
    memcpy(&request.ifr_addr, &addr, sizeof addr);
    return tap_socket_ioctl(AF_INET, what, &request);
}

static int tap_set_host4(const struct weir_tap_dev *tap, const struct weir_tap_spec *spec)
{
    struct in_addr mask = { htonl(UINT32_MAX << (32 - spec->prefix4)) };
    int error = tap_set_in_addr(tap, SIOCSIFADDR, spec->host4);

    return error ? error : tap_set_in_addr(tap, SIOCSIFNETMASK, mask);
}

static int tap_set_host6(const struct weir_tap_dev *tap, const struct weir_tap_spec *spec)
{
    struct { /* struct in6_ifreq of linux/ipv6.h, which cannot be included beside netinet/in.h */
        struct in6_addr addr;
        uint32_t prefix;
        int index;
    } request = { spec->host6, spec->prefix6, (int)if_nametoindex(tap->name) };
    int error = tap_socket_ioctl(AF_INET6, SIOCSIFADDR, &request);

    return error == -EEXIST ? 0 : error;
}

/* What is right already needs no permission. */
static int tap_set_mtu(struct weir_tap_dev *tap, uint16_t mtu)
{
    struct ifreq request;
    int error;

    if (mtu == 0 || mtu == tap->dev.mtu)
        return 0;
    tap_request(&request, tap);
    request.ifr_mtu = mtu;
    error = tap_socket_ioctl(AF_INET, SIOCSIFMTU, &request);
    if (!error)
        tap->dev.mtu = mtu;
    return error;
}

static int tap_get_mtu(struct weir_tap_dev *tap)
{
    struct ifreq request;
    int error;

    tap_request(&request, tap);
    error = tap_socket_ioctl(AF_INET, SIOCGIFMTU, &request);
    if (!error)
        tap->dev.mtu = (uint16_t)weir_min_u64((uint64_t)request.ifr_mtu, WEIR_TAP_MTU_MAX);
    return error;
}

static int tap_up(const struct weir_tap_dev *tap)
{
    struct ifreq request;
    int error;

    tap_request(&request, tap);
    error = tap_socket_ioctl(AF_INET, SIOCGIFFLAGS, &request);
    if (error || (request.ifr_flags & IFF_UP))
        return error;
    request.ifr_flags = (short)(request.ifr_flags | IFF_UP);
    return tap_socket_ioctl(AF_INET, SIOCSIFFLAGS, &request);
}

static int tap_cannot(const struct weir_tap_dev *tap, const char *what, int error, char *why,
                      size_t why_size)
{
    if (error == -EPERM || error == -EACCES)
        snprintf(why, why_size,
                 "tap %s: not permitted to set %s: run as root or with CAP_NET_ADMIN, or let root "
                 "set it by ip(8) and leave it away here",
                 tap->name, what);
    else
        snprintf(why, why_size, "tap %s: cannot set %s (%s)", tap->name, what, strerror(-error));
    return error;
}

/* The addresses last: an interface that is up starts to use them. */
int weir_tap_set_up(struct weir_tap_dev *tap, const struct weir_tap_spec *spec, char *why,
                    size_t why_size)
{
    int error;

    if ((error = tap_get_mtu(tap)) != 0)
        return tap_cannot(tap, "its size of frames", error, why, why_size);
    if ((error = tap_set_mtu(tap, spec->mtu)) != 0)
        return tap_cannot(tap, "mtu", error, why, why_size);
    error = tap_up(tap);
    if (error == -EPERM || error == -EACCES)
        weir_log("%s is down, and it is not permitted to change that: ip link set %s up",
                 tap->dev.name, tap->name);
    else if (error)
        return tap_cannot(tap, "it up", error, why, why_size);
    if (spec->prefix4 && (error = tap_set_host4(tap, spec)) != 0)
        return tap_cannot(tap, "host", error, why, why_size);
    if (spec->prefix6 && (error = tap_set_host6(tap, spec)) != 0)
        return tap_cannot(tap, "host", error, why, why_size);
    return 0;
}

/* --- the MAC address --- */

static uint64_t tap_hash(uint64_t hash, const char *text)
{
    for (; *text; text++) /* FNV-1a, by Fowler, Noll and Vo, public domain */
        hash = (hash ^ (uint8_t)*text) * UINT64_C(0x100000001b3);
    return hash;
}

void weir_tap_set_mac(struct weir_tap_dev *tap, const struct weir_tap_spec *spec)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    char host[256] = "";
    struct ifreq request;

    if (spec->has_mac) {
        memcpy(tap->dev.mac, spec->mac, sizeof tap->dev.mac);
        return;
    }
    gethostname(host, sizeof host - 1);
    hash = tap_hash(tap_hash(tap_hash(hash, "weir "), host), tap->name);
    hash ^= hash >> 29;
    memcpy(tap->dev.mac, &hash, sizeof tap->dev.mac);
    tap->dev.mac[0] = (uint8_t)((tap->dev.mac[0] & 0xfc) | 2); /* locally administered, unicast */
    tap_request(&request, tap);
    if (ioctl(tap->queue[0].fd, SIOCGIFHWADDR, &request) == 0 &&
        memcmp(request.ifr_hwaddr.sa_data, tap->dev.mac, sizeof tap->dev.mac) == 0)
        tap->dev.mac[5] ^= 1;
}
