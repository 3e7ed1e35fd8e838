/* pool.h - objects of one size for one shard: LIFO free list over chunks, no lock.
 *
 * Memory is taken from the system in chunks as it is needed, up to `max` objects, and kept until
 * weir_pool_free; a pool that has grown beyond a megabyte goes on in huge pages, where the kernel
 * gives them: objects all over memory would miss in the TLB otherwise.  The last object given back
 * is the first one handed out, while it is warm. */
#ifndef WEIR_CORE_POOL_H
#define WEIR_CORE_POOL_H

#include <string.h>
#include "core/base.h"

#if defined(__SANITIZE_ADDRESS__)
#define WEIR_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WEIR_ASAN 1
#endif
#endif

#ifdef WEIR_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#endif

struct weir_pool {
    void *free;      /* first free object; its first word links to the next */
    void *chunks;    /* all chunks, linked, the newest first */
    char *carve;     /* in the newest: where the next object to be made stands ... */
    char *carve_end; /* ... and where they end */
    size_t size;     /* of an object, rounded up to `align` */
    size_t align;
    uint32_t made, max; /* objects made so far; bound */
    uint32_t live;      /* objects handed out */
};

/* Objects of `size` bytes on multiples of `align` (a power of two >= 8), at most `max` of them. */
void weir_pool_init(struct weir_pool *pool, size_t size, size_t align, uint32_t max);

/* One that was never handed out before; for weir_pool_get. */
void *weir_pool_make(struct weir_pool *pool);

/* An object with undefined contents, or NULL: the maximum is reached, or there is no memory. */
static inline void *weir_pool_get(struct weir_pool *pool)
{
    void *object = pool->free;

    if (weir_unlikely(!object))
        return weir_pool_make(pool);
    ASAN_UNPOISON_MEMORY_REGION(object, pool->size);
    memcpy(&pool->free, object, sizeof pool->free);
    pool->live++;
    return object;
}

static inline void weir_pool_put(struct weir_pool *pool, void *object)
{
    weir_assert(pool->live > 0 && object && object != pool->free);
    memcpy(object, &pool->free, sizeof pool->free);
    pool->free = object;
    pool->live--;
    ASAN_POISON_MEMORY_REGION(object, pool->size);
}

/* Gives everything back to the system; all objects must have been put back. */
void weir_pool_free(struct weir_pool *pool);

#endif
