/* stack.c - the stacks of one shard's fibers. */
#include "sched/stack.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#else
#define VALGRIND_STACK_REGISTER(start, end) ((void)(start), (void)(end), 0)
#define VALGRIND_STACK_DEREGISTER(id) ((void)(id))
#endif

#define STACK_MADV_GUARD_INSTALL 102 /* Linux 6.13; not in Debian 12's headers */

enum { STACK_CHUNK = 64 };

/* One mapping of STACK_CHUNK stacks. */
struct stack_chunk {
    struct stack_chunk *next;
    char *base;
    unsigned valgrind[STACK_CHUNK];
};

void weir_stacks_init(struct weir_stacks *stacks, size_t size)
{
    *stacks = (struct weir_stacks){ .size = size, .page = (size_t)sysconf(_SC_PAGESIZE) };
    weir_assert(size >= WEIR_STACK_MIN && size % stacks->page == 0);
}

/* Where a free stack keeps the link to the next: its last word, in the page that stays. */
static void **stack_link(const struct weir_stacks *stacks, void *stack)
{
    return (void **)(void *)((char *)stack + stacks->size) - 1;
}

static bool stack_guard(const struct weir_stacks *stacks, void *stack)
{
    return madvise(stack, stacks->page, STACK_MADV_GUARD_INSTALL) == 0 ||
           mprotect(stack, stacks->page, PROT_NONE) == 0;
}

static bool stacks_grow(struct weir_stacks *stacks)
{
    struct stack_chunk *chunk = calloc(1, sizeof *chunk);
    size_t bytes = stacks->size * STACK_CHUNK;

    if (!chunk)
        return false;
    chunk->base = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (chunk->base == MAP_FAILED) {
        free(chunk);
        return false;
    }
    madvise(chunk->base, bytes, MADV_NOHUGEPAGE); /* one touched page must not cost 2 MiB */
    chunk->next = stacks->chunks;
    stacks->chunks = chunk;
    stacks->fresh = STACK_CHUNK;
    return true;
}

/* Cuts a stack that was never used from the newest chunk. */
static void *stack_cut(struct weir_stacks *stacks)
{
    struct stack_chunk *chunk;
    char *stack;
    uint32_t i;

    if (stacks->fresh == 0 && !stacks_grow(stacks))
        return NULL;
    chunk = stacks->chunks;
    i = STACK_CHUNK - stacks->fresh;
    stack = chunk->base + i * stacks->size;
    if (!stack_guard(stacks, stack))
        return NULL;
    stacks->fresh--;
    chunk->valgrind[i] = VALGRIND_STACK_REGISTER(stack, stack + stacks->size);
    return stack;
}

static void *stack_pop(const struct weir_stacks *stacks, void **list)
{
    void *stack = *list;

    *list = *stack_link(stacks, stack);
    return stack;
}

static void stack_push(const struct weir_stacks *stacks, void **list, void *stack)
{
    *stack_link(stacks, stack) = *list;
    *list = stack;
}

void *weir_stack_get(struct weir_stacks *stacks)
{
    void *stack;

    if (stacks->free) {
        stack = stack_pop(stacks, &stacks->free);
        stacks->unused--;
    } else if (stacks->trimmed) {
        stack = stack_pop(stacks, &stacks->trimmed);
    } else {
        stack = stack_cut(stacks);
        if (!stack)
            return NULL;
    }
    stacks->live++;
    return stack;
}

void weir_stack_put(struct weir_stacks *stacks, void *stack)
{
    stack_push(stacks, &stacks->free, stack);
    stacks->unused++;
    stacks->live--;
}

bool weir_stacks_trim_some(struct weir_stacks *stacks)
{
    uint32_t before = stacks->unused;

    while (stacks->unused > WEIR_STACKS_WARM && before - stacks->unused < WEIR_STACKS_TRIM) {
        void *stack = stack_pop(stacks, &stacks->free);

        madvise((char *)stack + stacks->page, stacks->size - 2 * stacks->page, MADV_DONTNEED);
        stack_push(stacks, &stacks->trimmed, stack);
        stacks->unused--;
    }
    return stacks->unused < before;
}

void weir_stacks_free(struct weir_stacks *stacks)
{
    weir_assert(stacks->live == 0);
    while (stacks->chunks) {
        struct stack_chunk *chunk = stacks->chunks;

        stacks->chunks = chunk->next;
        for (uint32_t i = 0; i < STACK_CHUNK; i++)
            VALGRIND_STACK_DEREGISTER(chunk->valgrind[i]);
        munmap(chunk->base, stacks->size * STACK_CHUNK);
        free(chunk);
    }
    stacks->free = stacks->trimmed = NULL;
    stacks->unused = stacks->fresh = 0;
}
