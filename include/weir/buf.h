/* buf.h - received bytes whose ownership moves.
 *
 * A buffer comes from its shard's stack (a provided-buffer ring, a NIC's mbuf, a plain pool) and
 * goes back there by weir_buf_free.  It belongs to one shard; the count of its owners is not
 * atomic. */
#ifndef WEIR_BUF_H
#define WEIR_BUF_H

#include <weir/base.h>

WEIR_BEGIN

struct weir_buf {
    struct weir_buf *next;                 /* the owner's, to queue it by */
    uint8_t *data;                         /* first byte; the owner may advance it */
    uint32_t len;                          /* bytes from there */
    uint32_t id;                           /* the origin's */
    uint32_t refs;                         /* owners */
    void (*release)(struct weir_buf *buf); /* back to the origin, called at zero owners */
    void *origin;
};

/* A fresh buffer of the running shard with room for `size` bytes and len 0, or NULL. */
WEIR_API struct weir_buf *weir_buf_alloc(size_t size);

/* One more owner. */
WEIR_API void weir_buf_ref(struct weir_buf *buf);

/* One owner less; the last one gives it back.  NULL is fine. */
WEIR_API void weir_buf_free(struct weir_buf *buf);

WEIR_END

#endif
