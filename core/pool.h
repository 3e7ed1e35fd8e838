/* pool.h - objects of one size for one shard: LIFO free list over chunks, no lock.
 *
 * Memory is taken from the system in chunks as it is needed, up to `max` objects, and kept until
 * weir_pool_free.  The last object given back is the first one handed out, while it is warm. */
#ifndef WEIR_CORE_POOL_H
#define WEIR_CORE_POOL_H

#include "core/base.h"

struct weir_pool {
    void *free;   /* first free object; its first word links to the next */
    void *chunks; /* all chunks, linked */
    size_t size;  /* of an object, rounded up to `align` */
    size_t align;
    uint32_t per_chunk;
    uint32_t made, max; /* objects made so far; bound */
    uint32_t live;      /* objects handed out */
};

/* Objects of `size` bytes on multiples of `align` (a power of two >= 8), at most `max` of them. */
void weir_pool_init(struct weir_pool *pool, size_t size, size_t align, uint32_t max);

/* An object with undefined contents, or NULL: the maximum is reached, or there is no memory. */
void *weir_pool_get(struct weir_pool *pool);
void weir_pool_put(struct weir_pool *pool, void *object);

/* Gives everything back to the system; all objects must have been put back. */
void weir_pool_free(struct weir_pool *pool);

#endif
