/* pcap.c - a device that writes what passes into a file, as tcpdump and wireshark read it.
 *
 * The classic format with nanoseconds (magic a1b23c4d), Ethernet, in the byte order of this
 * machine, by the shard's clock.  Packets are written as they are handed on: sent ones with
 * checksums that the device behind is still to fill in, merged ones in one piece.
 *
 * A file that cannot be written to (the disk is full) is told of once and left alone from then on;
 * the packets go on.  One lock serves all queues. */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "net/dev.h"

enum { PCAP_MAGIC_NS = 0xa1b23c4d, PCAP_ETHERNET = 1, PCAP_SNAP = 262144 };

struct pcap_dev {
    struct weir_dev dev;
    struct weir_dev *below;
    pthread_mutex_t lock; /* of: */
    FILE *file;           /* NULL: given up */
};

struct pcap_queue {
    struct weir_dev_queue base;
    struct weir_dev_queue *below;
};

struct pcap_file_header {
    uint32_t magic;
    uint16_t major, minor;
    uint32_t zone, accuracy, snap, link;
};

struct pcap_record {
    uint32_t seconds, nanoseconds, captured, length;
};

static struct pcap_queue *pcap_queue_of(const struct weir_dev_queue *queue)
{
    return weir_container_of(queue, struct pcap_queue, base);
}

static struct pcap_dev *pcap_dev_of(struct weir_dev *dev)
{
    return weir_container_of(dev, struct pcap_dev, dev);
}

static void pcap_check(struct pcap_dev *pcap, bool good)
{
    if (good)
        return;
    weir_log("pcap: cannot write (%s): the file ends here", strerror(errno));
    fclose(pcap->file);
    pcap->file = NULL;
}

static void pcap_write(struct pcap_dev *pcap, weir_time now, const struct weir_pkt *pkt)
{
    struct pcap_record record = { .seconds = (uint32_t)(now / WEIR_SEC(1)),
                                  .nanoseconds = (uint32_t)(now % WEIR_SEC(1)) };
    uint32_t left;
    bool good;

    for (const struct weir_pkt *p = pkt; p; p = p->frag)
        record.length += p->buf.len;
    left = record.captured = (uint32_t)weir_min_u64(record.length, PCAP_SNAP);
    good = fwrite(&record, sizeof record, 1, pcap->file) == 1;
    for (const struct weir_pkt *p = pkt; good && left > 0; p = p->frag) {
        uint32_t len = (uint32_t)weir_min_u64(p->buf.len, left);

        good = len == 0 || fwrite(p->buf.data, len, 1, pcap->file) == 1;
        left -= len;
    }
    pcap_check(pcap, good);
}

static void pcap_write_all(struct pcap_queue *q, struct weir_pkt *const *pkts, unsigned count)
{
    struct pcap_dev *pcap = pcap_dev_of(q->base.dev);

    if (count == 0)
        return;
    pthread_mutex_lock(&pcap->lock);
    for (unsigned i = 0; i < count && pcap->file; i++)
        pcap_write(pcap, q->base.shard->now, pkts[i]);
    pthread_mutex_unlock(&pcap->lock);
}

/* --- the device --- */

static unsigned pcap_rx(struct weir_dev_queue *queue, struct weir_pkt **pkts, unsigned max)
{
    struct pcap_queue *q = pcap_queue_of(queue);
    unsigned count = q->below->dev->ops->rx(q->below, pkts, max);

    pcap_write_all(q, pkts, count);
    queue->stats = q->below->stats;
    return count;
}

static void pcap_tx(struct weir_dev_queue *queue, struct weir_pkt **pkts, unsigned count)
{
    struct pcap_queue *q = pcap_queue_of(queue);

    pcap_write_all(q, pkts, count);
    q->below->dev->ops->tx(q->below, pkts, count);
    queue->stats = q->below->stats;
}

static void pcap_tx_flush(struct weir_dev_queue *queue)
{
    struct pcap_queue *q = pcap_queue_of(queue);

    q->below->dev->ops->tx_flush(q->below);
    queue->stats = q->below->stats;
}

static unsigned pcap_room(struct weir_dev_queue *queue)
{
    struct weir_dev_queue *below = pcap_queue_of(queue)->below;

    return below->dev->ops->room ? below->dev->ops->room(below) : UINT_MAX;
}

static weir_time pcap_next(const struct weir_dev_queue *queue)
{
    const struct pcap_queue *q = pcap_queue_of(queue);

    return q->below->dev->ops->next(q->below);
}

static int pcap_queue_open(struct weir_dev *dev, unsigned index, struct weir_shard *shard,
                           struct weir_pkts *pkts, struct weir_dev_queue **queue, char *why,
                           size_t why_size)
{
    struct weir_dev *below = pcap_dev_of(dev)->below;
    struct pcap_queue *q = calloc(1, sizeof *q);
    int error = -ENOMEM;

    if (q)
        error = below->ops->queue_open(below, index, shard, pkts, &q->below, why, why_size);
    else
        snprintf(why, why_size, "%s: no memory", dev->name);
    if (error) {
        free(q);
        return error;
    }
    q->base = *q->below;
    q->base.dev = dev;
    *queue = &q->base;
    return 0;
}

/* The shard stops: whoever looks into the file now finds all it has seen. */
static void pcap_queue_close(struct weir_dev_queue *queue)
{
    struct pcap_queue *q = pcap_queue_of(queue);
    struct pcap_dev *pcap = pcap_dev_of(queue->dev);

    pthread_mutex_lock(&pcap->lock);
    if (pcap->file)
        pcap_check(pcap, fflush(pcap->file) == 0);
    pthread_mutex_unlock(&pcap->lock);
    q->below->dev->ops->queue_close(q->below);
    free(q);
}

static void pcap_free(struct pcap_dev *pcap)
{
    pthread_mutex_destroy(&pcap->lock);
    free(pcap);
}

static void pcap_close(struct weir_dev *dev)
{
    struct pcap_dev *pcap = pcap_dev_of(dev);

    if (pcap->file && fclose(pcap->file) != 0)
        weir_log("pcap: cannot write (%s): the file is cut off", strerror(errno));
    weir_dev_close(pcap->below);
    pcap_free(pcap);
}

static const struct weir_dev_ops pcap_ops = {
    .name = "pcap",
    .queue_open = pcap_queue_open,
    .queue_close = pcap_queue_close,
    .rx = pcap_rx,
    .tx = pcap_tx,
    .tx_flush = pcap_tx_flush,
    .room = pcap_room,
    .next = pcap_next,
    .close = pcap_close,
};

static int pcap_begin(struct pcap_dev *pcap, const char *path)
{
    const struct pcap_file_header header = {
        .magic = PCAP_MAGIC_NS, .major = 2, .minor = 4, .snap = PCAP_SNAP, .link = PCAP_ETHERNET
    };

    pcap->file = fopen(path, "wbe");
    if (!pcap->file)
        return -errno;
    if (fwrite(&header, sizeof header, 1, pcap->file) != 1 || fflush(pcap->file) != 0) {
        int error = -errno;

        fclose(pcap->file);
        return error;
    }
    return 0;
}

int weir_pcap_open(struct weir_dev **dev, struct weir_dev *below, const char *path, char *why,
                   size_t why_size)
{
    struct pcap_dev *pcap = calloc(1, sizeof *pcap);
    int error = -ENOMEM;

    if (pcap) {
        pthread_mutex_init(&pcap->lock, NULL);
        error = pcap_begin(pcap, path);
    }
    if (error) {
        snprintf(why, why_size, "pcap: cannot write %s: %s", path, strerror(-error));
        if (pcap)
            pcap_free(pcap);
        return error;
    }
    pcap->dev = *below;
    pcap->dev.ops = &pcap_ops;
    pcap->below = below;
    *dev = &pcap->dev;
    return 0;
}
