/* bufs.h - receive buffers of one shard: `count` pieces of one mapping, each with its weir_buf.
 *
 * Both engines receive into these; who holds a piece at a moment (a free list, the kernel's ring, a
 * connection, the user) is the engine's business.  Reserved at start, touched on demand or at once.
 *
 * Pieces are a few cache lines further apart than they are long: at a distance of a page their
 * first lines, which is where requests are, would all compete for the same places in the caches. */
#ifndef WEIR_NET_KERNEL_BUFS_H
#define WEIR_NET_KERNEL_BUFS_H

#include <weir/buf.h>
#include "core/base.h"

struct weir_bufs {
    uint8_t *data;
    struct weir_buf *buf; /* count of them; buf[i] describes the i-th piece, and has id i */
    uint32_t count, size, stride;
};

enum { WEIR_BUFS_APART = 3 * 64 }; /* an odd number of lines */

/* 0 or -ENOMEM.  `touch`: the pages are there when this returns. */
int weir_bufs_init(struct weir_bufs *bufs, uint32_t count, uint32_t size, bool touch,
                   void (*release)(struct weir_buf *buf), void *origin);
void weir_bufs_free(struct weir_bufs *bufs);

static inline uint8_t *weir_bufs_at(const struct weir_bufs *bufs, uint32_t id)
{
    return bufs->data + (size_t)id * bufs->stride;
}

/* Makes a piece whole again: data at its start, `len` bytes, one owner. */
static inline struct weir_buf *weir_bufs_take(struct weir_bufs *bufs, uint32_t id, uint32_t len)
{
    struct weir_buf *buf = &bufs->buf[id];

    weir_assert(id < bufs->count && buf->refs == 0);
    buf->next = NULL;
    buf->data = weir_bufs_at(bufs, id);
    buf->len = len;
    buf->refs = 1;
    return buf;
}

#endif
