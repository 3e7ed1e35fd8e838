/* tap.c - a tap of the kernel as a NIC: "NAME" or "NAME,host=10.7.0.1/24,mtu=1500,mac=02:...".
 *
 * One descriptor per queue.  Each frame has a virtio header in front, by which the kernel leaves
 * checksums and segmentation to us and we leave them to it: what it sends is taken as good, and
 * comes in frames of up to 64 KiB (WEIR_PKT_GSO).  Those stand in buffers of the queue's own, up to
 * TAP_BIG of them; one that finds none free is dropped and counted.  A frame is read into a packet
 * of the pool with a big buffer behind it, so that frames of the usual size are never copied and
 * need to be read only once, whatever their size.
 *
 * UDP segmentation (TUN_F_USO4) is left off: the kernel would hand over many datagrams as one,
 * which we would have to cut up; it does that as well itself.
 *
 * Steering is the kernel's own: it sends a flow's packets to the queue from which the flow was sent
 * last.  So the first packet of a connection may come in anywhere, and is forwarded; after our
 * first answer all of them come in where they belong.  It remembers 4,096 flows; what it forgets is
 * forwarded again.  TUNSETSTEERINGEBPF with the Toeplitz hash as a program of some 1,500
 * instructions would save that hop, and would need a privilege more (CAP_BPF) than a tap does.
 *
 * The kernel's side is brought up and gets the addresses of host=, one of IPv4 and one of IPv6, if
 * we may.  The MAC address is made from host's and tap's name: the same after a restart, another
 * one than the kernel's side has.
 *
 * Invariant: q->big is a buffer whenever the pool of big ones is not exhausted. */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>
#include "net/dev.h"

enum {
    TAP_BIG = 128,          /* buffers of 64 KiB, per queue */
    TAP_FRAME = 65536 + 64, /* IP's most, and Ethernet with VLAN */
    TAP_PIECES = 64,        /* of one frame that is sent */
    TAP_ETHER = 14,
    TAP_TSO_MAX = 65535 - 60 - 60, /* less the longest headers */
    TAP_MTU_MAX = 65521,
    TCP_CSUM = 16, /* offset of the checksum in the header */
    UDP_CSUM = 6,
};

struct tap_queue {
    struct weir_dev_queue base;
    struct weir_pkts *pkts;
    struct weir_pool big_pool; /* of struct weir_pkt, headroom, TAP_FRAME */
    struct weir_pkt *small;    /* to be read into next; NULL: none yet */
    struct weir_pkt *big;      /* behind it */
    int fd;                    /* from open to close of the device */
    bool detached, gone, told_down;
};

struct tap_dev {
    struct weir_dev dev;
    char name[IFNAMSIZ];
    unsigned open; /* queues[] with a descriptor */
    struct tap_queue queue[];
};

/* What is behind "tap:". */
struct tap_spec {
    char name[IFNAMSIZ];
    struct in_addr host4;
    struct in6_addr host6;
    uint8_t prefix4, prefix6; /* 0: no such address */
    uint16_t mtu;             /* 0: as it is */
    uint8_t mac[6];
    bool has_mac;
};

static struct tap_dev *tap_of(struct weir_dev *dev)
{
    return weir_container_of(dev, struct tap_dev, dev);
}

static struct tap_queue *tap_queue_of(struct weir_dev_queue *queue)
{
    return weir_container_of(queue, struct tap_queue, base);
}

/* --- packets in --- */

static void tap_big_release(struct weir_buf *buf)
{
    weir_pool_put(buf->origin, weir_pkt_of(buf));
}

static struct weir_pkt *tap_big_get(struct tap_queue *q)
{
    struct weir_pkt *pkt = weir_pool_get(&q->big_pool);

    if (!pkt)
        return NULL;
    pkt->buf = (struct weir_buf){ .data = (uint8_t *)(pkt + 1) + WEIR_PKT_HEADROOM,
                                  .refs = 1,
                                  .release = tap_big_release,
                                  .origin = &q->big_pool };
    pkt->flags = pkt->l3 = pkt->l4 = pkt->gso_size = 0;
    pkt->frag = NULL;
    return pkt;
}

/* The tap was deleted.  Its descriptor would be readable for ever: something that never is takes
 * its place. */
static void tap_gone(struct tap_queue *q)
{
    int never = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

    q->gone = true;
    if (q->base.index == 0)
        weir_log("%s was deleted: nothing comes in any more", q->base.dev->name);
    if (never >= 0) {
        dup3(never, q->fd, O_CLOEXEC);
        close(never);
    }
}

/* Reads a frame into q->small and, from WEIR_PKT_ROOM on, q->big.  Its length; 0: there is none.
 * Without q->big one byte more than the room tells that it was too long. */
static uint32_t tap_read(struct tap_queue *q, struct virtio_net_hdr *header)
{
    uint8_t beyond;
    struct iovec iov[3] = {
        { header, sizeof *header },
        { q->small->buf.data, WEIR_PKT_ROOM },
        { &beyond, 1 },
    };
    ssize_t n;

    if (q->big) {
        iov[2].iov_base = q->big->buf.data + WEIR_PKT_ROOM;
        iov[2].iov_len = TAP_FRAME - WEIR_PKT_ROOM;
    }
    do
        n = readv(q->fd, iov, 3);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EBADFD && !q->gone)
        tap_gone(q);
    return n > (ssize_t)sizeof *header ? (uint32_t)n - (uint32_t)sizeof *header : 0;
}

/* The packet that tap_read has filled. */
static struct weir_pkt *tap_taken(struct tap_queue *q, uint32_t len)
{
    struct weir_pkt *pkt;

    if (len <= WEIR_PKT_ROOM) {
        pkt = q->small;
        q->small = NULL;
        return pkt;
    }
    pkt = q->big;
    q->big = NULL;
    if (pkt)
        memcpy(pkt->buf.data, q->small->buf.data, WEIR_PKT_ROOM);
    return pkt;
}

static uint16_t tap_rx_flags(const struct virtio_net_hdr *header)
{
    uint16_t flags = 0;

    if (header->flags & (VIRTIO_NET_HDR_F_NEEDS_CSUM | VIRTIO_NET_HDR_F_DATA_VALID))
        flags |= WEIR_PKT_L4_GOOD;
    if (header->gso_type != VIRTIO_NET_HDR_GSO_NONE)
        flags |= WEIR_PKT_GSO;
    return flags;
}

/* Whether a frame was taken from the kernel; *pkt is NULL if it was dropped. */
static bool tap_rx_one(struct tap_queue *q, struct weir_pkt **pkt)
{
    struct virtio_net_hdr header;
    uint32_t len;

    if (!q->big)
        q->big = tap_big_get(q);
    len = tap_read(q, &header);
    if (len == 0)
        return false;
    *pkt = len >= TAP_ETHER ? tap_taken(q, len) : NULL;
    if (!*pkt) {
        q->base.stats.rx_dropped++;
        return true;
    }
    (*pkt)->buf.len = len;
    (*pkt)->flags = tap_rx_flags(&header);
    (*pkt)->gso_size = header.gso_size;
    q->base.stats.rx_packets++;
    q->base.stats.rx_bytes += len;
    return true;
}

/* What is dropped counts, too, so that it ends.  Without a packet to read into the frames wait in
 * the kernel, which has a bound of its own. */
static unsigned tap_rx(struct weir_dev_queue *queue, struct weir_pkt **pkts, unsigned max)
{
    struct tap_queue *q = tap_queue_of(queue);
    unsigned got = 0;

    for (unsigned i = 0; i < max; i++) {
        if (!q->small)
            q->small = weir_pkt_get(q->pkts);
        if (!q->small || !tap_rx_one(q, &pkts[got]))
            break;
        got += pkts[got] != NULL;
    }
    return got;
}

/* --- packets out --- */

static bool tap_is_tcp(const struct weir_pkt *pkt)
{
    /* The next header in front of the transport header is IPv6's own: we send no extensions with
     * what asks for offloads. */
    return pkt->buf.data[pkt->l3 + (pkt->flags & WEIR_PKT_IP6 ? 6 : 9)] == 6;
}

static void tap_tx_header(struct virtio_net_hdr *header, const struct weir_pkt *pkt)
{
    *header = (struct virtio_net_hdr){ .gso_type = VIRTIO_NET_HDR_GSO_NONE };
    if (pkt->flags & (WEIR_PKT_L4_CSUM | WEIR_PKT_TSO)) {
        header->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
        header->csum_start = pkt->l4;
        header->csum_offset = tap_is_tcp(pkt) ? TCP_CSUM : UDP_CSUM;
    }
    if (pkt->flags & WEIR_PKT_TSO) {
        header->gso_type =
            pkt->flags & WEIR_PKT_IP6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4;
        header->gso_size = pkt->gso_size;
        header->hdr_len = (uint16_t)(pkt->l4 + (pkt->buf.data[pkt->l4 + 12] >> 4) * 4);
    }
}

/* The interface is down, most likely: said once, for nothing gets through. */
static void tap_tx_failed(struct tap_queue *q, int error)
{
    q->base.stats.tx_dropped++;
    if (error != EIO || q->told_down || q->gone)
        return;
    q->told_down = true;
    weir_log("%s is down: ip link set %s up", q->base.dev->name, tap_of(q->base.dev)->name);
}

static void tap_tx_one(struct tap_queue *q, const struct weir_pkt *pkt)
{
    struct virtio_net_hdr header;
    struct iovec iov[1 + TAP_PIECES] = { { &header, sizeof header } };
    int pieces = 1;
    ssize_t n;

    tap_tx_header(&header, pkt);
    for (const struct weir_pkt *at = pkt; at; at = at->frag) {
        if (pieces == 1 + TAP_PIECES) {
            q->base.stats.tx_dropped++;
            return;
        }
        iov[pieces++] = (struct iovec){ at->buf.data, at->buf.len };
    }
    do
        n = writev(q->fd, iov, pieces);
    while (n < 0 && errno == EINTR);
    if (n < 0) {
        tap_tx_failed(q, errno);
        return;
    }
    q->base.stats.tx_packets++;
    q->base.stats.tx_bytes += (uint64_t)n - sizeof header;
}

static void tap_tx(struct weir_dev_queue *queue, struct weir_pkt **pkts, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        tap_tx_one(tap_queue_of(queue), pkts[i]);
        weir_pkt_free(pkts[i]);
    }
}

static void tap_tx_flush(struct weir_dev_queue *queue)
{
    (void)queue; /* each was sent at once */
}

static weir_time tap_next(const struct weir_dev_queue *queue)
{
    (void)queue;
    return WEIR_NEVER;
}

/* --- opening and closing a queue --- */

static int tap_attach(struct tap_queue *q, short how)
{
    struct ifreq request = { .ifr_flags = how };

    return ioctl(q->fd, TUNSETQUEUE, &request) < 0 ? -errno : 0;
}

static int tap_queue_open(struct weir_dev *dev, unsigned index, struct weir_shard *shard,
                          struct weir_pkts *pkts, struct weir_dev_queue **queue, char *why,
                          size_t why_size)
{
    struct tap_queue *q = &tap_of(dev)->queue[index];
    int error;

    weir_assert(index < dev->queues && !q->pkts);
    if (q->detached && (error = tap_attach(q, IFF_ATTACH_QUEUE)) < 0) {
        snprintf(why, why_size, "%s: queue %u cannot be attached again (%s)", dev->name, index,
                 strerror(-error));
        return error;
    }
    q->detached = false;
    q->base = (struct weir_dev_queue){ .dev = dev, .shard = shard, .index = index, .fd = q->fd };
    q->pkts = pkts;
    *queue = &q->base;
    return 0;
}

/* Nothing is to be sent to a queue that nobody reads.  Packets in big buffers may be on their way
 * on other shards, so that memory stays until the device is closed. */
static void tap_queue_close(struct weir_dev_queue *queue)
{
    struct tap_queue *q = tap_queue_of(queue);

    if (queue->dev->queues > 1 && !q->gone)
        q->detached = tap_attach(q, IFF_DETACH_QUEUE) == 0;
    if (q->small)
        weir_pkt_free(q->small);
    if (q->big)
        weir_pkt_free(q->big);
    q->small = q->big = NULL;
    q->pkts = NULL;
}

static void tap_close(struct weir_dev *dev)
{
    struct tap_dev *tap = tap_of(dev);

    for (unsigned i = 0; i < tap->open; i++) {
        weir_assert(!tap->queue[i].pkts);
        close(tap->queue[i].fd);
        weir_pool_free(&tap->queue[i].big_pool);
    }
    free(tap);
}

static const struct weir_dev_ops tap_ops = {
    .name = "tap",
    .queue_open = tap_queue_open,
    .queue_close = tap_queue_close,
    .rx = tap_rx,
    .tx = tap_tx,
    .tx_flush = tap_tx_flush,
    .next = tap_next,
    .close = tap_close,
};

/* --- reading the text --- */

static int tap_wrong(char *why, size_t why_size, const char *what, const char *word)
{
    snprintf(why, why_size,
             "tap: %s '%s': it goes like tap:weir0,host=10.7.0.1/24,host=fd07::1/64,mtu=1500", what,
             word);
    return -EINVAL;
}

static bool tap_number(const char *text, unsigned long min, unsigned long max, unsigned long *value)
{
    char *end;

    if (!isdigit((unsigned char)*text))
        return false;
    *value = strtoul(text, &end, 10);
    return *end == '\0' && *value >= min && *value <= max;
}

/* "ADDR/PREFIX" of the kernel's side. */
static bool tap_read_host(struct tap_spec *spec, char *word)
{
    char *slash = strchr(word, '/');
    unsigned long prefix;
    bool right = false;

    if (!slash)
        return false;
    *slash = '\0';
    if (inet_pton(AF_INET, word, &spec->host4) == 1 && tap_number(slash + 1, 1, 32, &prefix)) {
        spec->prefix4 = (uint8_t)prefix;
        right = true;
    } else if (inet_pton(AF_INET6, word, &spec->host6) == 1 &&
               tap_number(slash + 1, 1, 128, &prefix)) {
        spec->prefix6 = (uint8_t)prefix;
        right = true;
    }
    *slash = '/';
    return right;
}

static bool tap_read_mac(struct tap_spec *spec, const char *word)
{
    unsigned byte[6];
    int end = 0;

    if (sscanf(word, "%2x:%2x:%2x:%2x:%2x:%2x%n", &byte[0], &byte[1], &byte[2], &byte[3], &byte[4],
               &byte[5], &end) != 6 ||
        word[end] != '\0' || (byte[0] & 1))
        return false;
    for (unsigned i = 0; i < 6; i++)
        spec->mac[i] = (uint8_t)byte[i];
    spec->has_mac = true;
    return true;
}

static bool tap_read_option(struct tap_spec *spec, char *word)
{
    unsigned long value;

    if (strncmp(word, "host=", 5) == 0)
        return tap_read_host(spec, word + 5);
    if (strncmp(word, "mac=", 4) == 0)
        return tap_read_mac(spec, word + 4);
    if (strncmp(word, "mtu=", 4) == 0 && tap_number(word + 4, 68, TAP_MTU_MAX, &value)) {
        spec->mtu = (uint16_t)value;
        return true;
    }
    return false;
}

static int tap_read_spec(struct tap_spec *spec, const char *text, char *why, size_t why_size)
{
    char copy[256], *word, *rest = copy;

    *spec = (struct tap_spec){ .prefix4 = 0 };
    if (snprintf(copy, sizeof copy, "%s", text) >= (int)sizeof copy)
        return tap_wrong(why, why_size, "too long:", text);
    word = strsep(&rest, ",");
    if (strlen(word) >= IFNAMSIZ || strpbrk(word, "/: \t%") || word[0] == '.')
        return tap_wrong(why, why_size, "not a name for an interface:", word);
    snprintf(spec->name, sizeof spec->name, "%s", word);
    while ((word = strsep(&rest, ",")) != NULL)
        if (!tap_read_option(spec, word))
            return tap_wrong(why, why_size, "cannot read", word);
    return 0;
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

static void tap_request(struct ifreq *request, const struct tap_dev *tap)
{
    memset(request, 0, sizeof *request);
    memcpy(request->ifr_name, tap->name, sizeof request->ifr_name);
}

static int tap_set_in_addr(const struct tap_dev *tap, unsigned long what, struct in_addr in)
{
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr = in };
    struct ifreq request;

    tap_request(&request, tap);
    memcpy(&request.ifr_addr, &addr, sizeof addr);
    return tap_socket_ioctl(AF_INET, what, &request);
}

static int tap_set_host4(const struct tap_dev *tap, const struct tap_spec *spec)
{
    struct in_addr mask = { htonl(UINT32_MAX << (32 - spec->prefix4)) };
    int error = tap_set_in_addr(tap, SIOCSIFADDR, spec->host4);

    return error ? error : tap_set_in_addr(tap, SIOCSIFNETMASK, mask);
}

static int tap_set_host6(const struct tap_dev *tap, const struct tap_spec *spec)
{
    struct { /* struct in6_ifreq of linux/ipv6.h, which cannot be included beside netinet/in.h */
        struct in6_addr addr;
        uint32_t prefix;
        int index;
    } request = { spec->host6, spec->prefix6, (int)if_nametoindex(tap->name) };
    int error = tap_socket_ioctl(AF_INET6, SIOCSIFADDR, &request);

    return error == -EEXIST ? 0 : error;
}

static int tap_set_mtu(const struct tap_dev *tap, uint16_t mtu)
{
    struct ifreq request;

    tap_request(&request, tap);
    request.ifr_mtu = mtu;
    return tap_socket_ioctl(AF_INET, SIOCSIFMTU, &request);
}

static int tap_get_mtu(struct tap_dev *tap)
{
    struct ifreq request;
    int error;

    tap_request(&request, tap);
    error = tap_socket_ioctl(AF_INET, SIOCGIFMTU, &request);
    tap->dev.mtu = (uint16_t)weir_min_u64((uint64_t)request.ifr_mtu, TAP_MTU_MAX);
    return error;
}

static int tap_up(const struct tap_dev *tap)
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

static int tap_cannot(const struct tap_dev *tap, const char *what, int error, char *why,
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
static int tap_set_up(struct tap_dev *tap, const struct tap_spec *spec, char *why, size_t why_size)
{
    int error;

    if (spec->mtu && (error = tap_set_mtu(tap, spec->mtu)) != 0)
        return tap_cannot(tap, "mtu", error, why, why_size);
    if ((error = tap_get_mtu(tap)) != 0)
        return tap_cannot(tap, "its size of frames", error, why, why_size);
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

static void tap_set_mac(struct tap_dev *tap, const struct tap_spec *spec)
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
static int tap_open_fds(struct tap_dev *tap, unsigned queues)
{
    short flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
    int error = 0;

    if (queues > 1)
        flags |= IFF_MULTI_QUEUE;
    while (!error && tap->open < queues) {
        struct tap_queue *q = &tap->queue[tap->open];

        error = tap_open_fd(&q->fd, tap->name, flags);
        if (error == -EINVAL && queues == 1)
            error = tap_open_fd(&q->fd, tap->name, flags | IFF_MULTI_QUEUE);
        if (error)
            break;
        weir_pool_init(&q->big_pool, sizeof(struct weir_pkt) + WEIR_PKT_HEADROOM + TAP_FRAME, 64,
                       TAP_BIG);
        tap->open++;
    }
    return error;
}

static int tap_init(struct tap_dev *tap, const struct tap_spec *spec, unsigned queues, char *why,
                    size_t why_size)
{
    int error;

    memcpy(tap->name, spec->name, sizeof tap->name);
    error = tap_open_fds(tap, queues);
    if (error)
        return tap_refused(spec->name, queues, error, why, why_size);
    snprintf(tap->dev.name, sizeof tap->dev.name, "tap %s", tap->name);
    tap_set_mac(tap, spec);
    return tap_set_up(tap, spec, why, why_size);
}

int weir_tap_open(struct weir_dev **dev, const char *name, unsigned queues, char *why,
                  size_t why_size)
{
    struct tap_spec spec;
    struct tap_dev *tap;
    int error = tap_read_spec(&spec, name, why, why_size);

    weir_assert(queues > 0 && queues <= UINT16_MAX);
    if (error)
        return error;
    tap = calloc(1, sizeof *tap + queues * sizeof tap->queue[0]);
    if (!tap) {
        snprintf(why, why_size, "tap: out of memory");
        return -ENOMEM;
    }
    tap->dev.ops = &tap_ops;
    tap->dev.queues = (uint16_t)queues;
    tap->dev.caps = WEIR_DEV_TX_L4_CSUM | WEIR_DEV_TX_TSO;
    tap->dev.tso_max = TAP_TSO_MAX;
    error = tap_init(tap, &spec, queues, why, why_size);
    if (error) {
        tap_close(&tap->dev);
        return error;
    }
    *dev = &tap->dev;
    return 0;
}
