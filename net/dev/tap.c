/* tap.c - a tap of the kernel as a NIC: "NAME" or "NAME,host=10.7.0.1/24,mtu=1500,mac=02:...".
 *
 * One descriptor per queue.  Each frame has a virtio header in front, by which the kernel leaves
 * checksums and segmentation to us and we leave them to it: what it sends is taken as good, and
 * comes in frames of up to 64 KiB (WEIR_PKT_GSO).  Those stand in buffers of the queue's own, up to
 * WEIR_TAP_BIG of them; one that finds none free is dropped and counted.  A frame is read into a
 * packet of the pool with a big buffer behind it, so that frames of the usual size are never copied
 * and need to be read only once, whatever their size.
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
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>
#include "net/dev/tap.h"

enum {
    TAP_PIECES = 64, /* of one frame that is sent */
    TAP_ETHER = 14,
    TAP_TSO_MAX = 65535 - 60 - 60, /* less the longest headers */
    TCP_CSUM = 16,                 /* offset of the checksum in the header */
    UDP_CSUM = 6,
};

static struct weir_tap_dev *tap_of(struct weir_dev *dev)
{
    return weir_container_of(dev, struct weir_tap_dev, dev);
}

static struct weir_tap_queue *tap_queue_of(struct weir_dev_queue *queue)
{
    return weir_container_of(queue, struct weir_tap_queue, base);
}

/* --- packets in --- */

static void tap_big_release(struct weir_buf *buf)
{
    weir_pool_put(buf->origin, weir_pkt_of(buf));
}

static struct weir_pkt *tap_big_get(struct weir_tap_queue *q)
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
static void tap_gone(struct weir_tap_queue *q)
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
static uint32_t tap_read(struct weir_tap_queue *q, struct virtio_net_hdr *header)
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
        iov[2].iov_len = WEIR_TAP_FRAME - WEIR_PKT_ROOM;
    }
    do
        n = readv(q->fd, iov, 3);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EBADFD && !q->gone)
        tap_gone(q);
    return n > (ssize_t)sizeof *header ? (uint32_t)n - (uint32_t)sizeof *header : 0;
}

/* The packet that tap_read has filled. */
static struct weir_pkt *tap_taken(struct weir_tap_queue *q, uint32_t len)
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
static bool tap_rx_one(struct weir_tap_queue *q, struct weir_pkt **pkt)
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
    struct weir_tap_queue *q = tap_queue_of(queue);
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
static void tap_tx_failed(struct weir_tap_queue *q, int error)
{
    q->base.stats.tx_dropped++;
    if (error != EIO || q->told_down || q->gone)
        return;
    q->told_down = true;
    weir_log("%s is down: ip link set %s up", q->base.dev->name, tap_of(q->base.dev)->name);
}

static void tap_tx_one(struct weir_tap_queue *q, const struct weir_pkt *pkt)
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

static int tap_attach(struct weir_tap_queue *q, short how)
{
    struct ifreq request = { .ifr_flags = how };

    return ioctl(q->fd, TUNSETQUEUE, &request) < 0 ? -errno : 0;
}

static int tap_queue_open(struct weir_dev *dev, unsigned index, struct weir_shard *shard,
                          struct weir_pkts *pkts, struct weir_dev_queue **queue, char *why,
                          size_t why_size)
{
    struct weir_tap_queue *q = &tap_of(dev)->queue[index];
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
    struct weir_tap_queue *q = tap_queue_of(queue);

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
    struct weir_tap_dev *tap = tap_of(dev);

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

/* --- opening --- */

static int tap_init(struct weir_tap_dev *tap, const struct weir_tap_spec *spec, unsigned queues,
                    char *why, size_t why_size)
{
    int error;

    memcpy(tap->name, spec->name, sizeof tap->name);
    error = weir_tap_open_fds(tap, queues, why, why_size);
    if (error)
        return error;
    snprintf(tap->dev.name, sizeof tap->dev.name, "tap %s", tap->name);
    weir_tap_set_mac(tap, spec);
    return weir_tap_set_up(tap, spec, why, why_size);
}

int weir_tap_open(struct weir_dev **dev, const char *text, unsigned queues, uint16_t mtu, char *why,
                  size_t why_size)
{
    struct weir_tap_spec spec;
    struct weir_tap_dev *tap;
    int error = weir_tap_read_spec(&spec, text, mtu, why, why_size);

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
