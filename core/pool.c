/* pool.c - objects carved from chunks one at a time, so a page is touched when it is first needed.
 *
 * The newest chunk is the first of the list and the only one not carved up: object number `made`
 * stands in it at made % per_chunk.  A chunk begins with the link to the next.  Under ASan an
 * object that is not handed out may not be touched.
 *
 * Invariant: live + free objects == made <= max. */
#include "core/pool.h"
#include <stdlib.h>

enum { CHUNK_BYTES = 65536 };

static size_t round_up(size_t n, size_t align)
{
    return (n + align - 1) & ~(align - 1);
}

/* Where a chunk's objects begin: behind the link, aligned. */
static size_t chunk_offset(const struct weir_pool *pool)
{
    return round_up(sizeof(void *), pool->align);
}

static size_t chunk_size(const struct weir_pool *pool)
{
    return chunk_offset(pool) + pool->per_chunk * pool->size;
}

/* Objects in about CHUNK_BYTES: at least one, and no more than can ever be used. */
static uint32_t chunk_objects(const struct weir_pool *pool)
{
    size_t n = (CHUNK_BYTES - weir_min_u64(chunk_offset(pool), CHUNK_BYTES)) / pool->size;

    return (uint32_t)weir_max_u64(1, weir_min_u64(n, pool->max));
}

void weir_pool_init(struct weir_pool *pool, size_t size, size_t align, uint32_t max)
{
    weir_assert(align >= sizeof(void *) && (align & (align - 1)) == 0);
    weir_assert(size > 0 && size <= UINT32_MAX && align <= UINT32_MAX);
    *pool = (struct weir_pool){ .size = round_up(size, align), .align = align, .max = max };
    pool->per_chunk = chunk_objects(pool);
}

static bool pool_grow(struct weir_pool *pool)
{
    void *chunk;

    if (posix_memalign(&chunk, pool->align, chunk_size(pool)) != 0)
        return false;
    memcpy(chunk, &pool->chunks, sizeof pool->chunks);
    pool->chunks = chunk;
    ASAN_POISON_MEMORY_REGION((char *)chunk + chunk_offset(pool), pool->per_chunk * pool->size);
    return true;
}

void *weir_pool_make(struct weir_pool *pool)
{
    uint32_t index = pool->made % pool->per_chunk;
    void *object;

    if (pool->made == pool->max)
        return NULL;
    if (index == 0 && !pool_grow(pool))
        return NULL;
    object = (char *)pool->chunks + chunk_offset(pool) + index * pool->size;
    ASAN_UNPOISON_MEMORY_REGION(object, pool->size);
    pool->made++;
    pool->live++;
    return object;
}

void weir_pool_free(struct weir_pool *pool)
{
    weir_assert(pool->live == 0);
    while (pool->chunks) {
        void *chunk = pool->chunks;

        memcpy(&pool->chunks, chunk, sizeof pool->chunks);
        ASAN_UNPOISON_MEMORY_REGION(chunk, chunk_size(pool));
        free(chunk);
    }
    pool->free = NULL;
    pool->made = 0;
}
