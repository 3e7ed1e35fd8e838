/* pool.c - objects carved from chunks one at a time, so a page is touched when it is first needed.
 *
 * A chunk begins with its head; only the newest is not carved up.  Under ASan an object that is
 * not handed out may not be touched.
 *
 * Invariant: live + free objects == made <= max. */
#include "core/pool.h"
#include <stdlib.h>
#include <sys/mman.h>

enum {
    CHUNK_BYTES = 65536,
    HUGE_BYTES = 2 << 20,        /* of a page */
    HUGE_CHUNK = 8 * HUGE_BYTES, /* few of them: malloc touches a page in front of each */
    HUGE_FROM = 1 << 20,
};

struct chunk {
    struct chunk *next;
    size_t size;
};

static size_t round_up(size_t n, size_t align)
{
    return (n + align - 1) & ~(align - 1);
}

void weir_pool_init(struct weir_pool *pool, size_t size, size_t align, uint32_t max)
{
    weir_assert(align >= sizeof(void *) && (align & (align - 1)) == 0);
    weir_assert(size > 0 && size <= UINT32_MAX && align <= UINT32_MAX);
    *pool = (struct weir_pool){ .size = round_up(size, align), .align = align, .max = max };
}

/* Objects in a chunk of about so many bytes: at least one, and no more than will be used. */
static size_t chunk_objects(const struct weir_pool *pool, size_t bytes, size_t offset)
{
    size_t n = (bytes - weir_min_u64(offset, bytes)) / pool->size;

    return weir_max_u64(1, weir_min_u64(n, pool->max - pool->made));
}

static bool pool_grow(struct weir_pool *pool)
{
    bool huge = (uint64_t)pool->made * pool->size >= HUGE_FROM;
    size_t offset = round_up(sizeof(struct chunk), pool->align);
    size_t objects = chunk_objects(pool, huge ? HUGE_CHUNK : CHUNK_BYTES, offset);
    size_t align = huge ? weir_max_u64(HUGE_BYTES, pool->align) : weir_max_u64(16, pool->align);
    struct chunk *chunk;
    void *memory;

    if (posix_memalign(&memory, align, offset + objects * pool->size) != 0)
        return false;
    chunk = memory;
    *chunk = (struct chunk){ .next = pool->chunks, .size = offset + objects * pool->size };
    if (huge)
        madvise(memory, chunk->size, MADV_HUGEPAGE); /* or not: it is only faster */
    pool->chunks = chunk;
    pool->carve = (char *)memory + offset;
    pool->carve_end = pool->carve + objects * pool->size;
    ASAN_POISON_MEMORY_REGION(pool->carve, objects * pool->size);
    return true;
}

void *weir_pool_make(struct weir_pool *pool)
{
    void *object;

    if (pool->made == pool->max)
        return NULL;
    if (pool->carve == pool->carve_end && !pool_grow(pool))
        return NULL;
    object = pool->carve;
    pool->carve += pool->size;
    ASAN_UNPOISON_MEMORY_REGION(object, pool->size);
    pool->made++;
    pool->live++;
    return object;
}

void weir_pool_free(struct weir_pool *pool)
{
    weir_assert(pool->live == 0);
    while (pool->chunks) {
        struct chunk *chunk = pool->chunks;

        pool->chunks = chunk->next;
        ASAN_UNPOISON_MEMORY_REGION(chunk, chunk->size);
        free(chunk);
    }
    pool->free = pool->carve = pool->carve_end = NULL;
    pool->made = 0;
}
