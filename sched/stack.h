/* stack.h - the stacks of one shard's fibers.
 *
 * Stacks are cut from big mappings, lowest page a guard (MADV_GUARD_INSTALL where the kernel has
 * it: no mapping is split; mprotect else).  Free ones are handed out last in, first out.  Of those
 * beyond WEIR_STACKS_WARM all but the top page goes back to the system, by and by while the shard
 * has nothing else to do: it is a system call each. */
#ifndef WEIR_SCHED_STACK_H
#define WEIR_SCHED_STACK_H

#include "core/base.h"

enum {
    WEIR_STACKS_WARM = 1024,
    WEIR_STACKS_TRIM = 8,
    WEIR_STACK_MIN = 16 * 1024,
    WEIR_STACK_MAX = 64 * 1024 * 1024
};

struct weir_stacks {
    void *free;     /* first free stack: its last word links to the next */
    void *trimmed;  /* the same for those whose lower pages have gone back */
    void *chunks;   /* descriptors of the mappings, the one being cut first */
    uint32_t fresh; /* stacks of that one that were never handed out */
    size_t size;    /* of a stack, guard page included */
    size_t page;
    uint32_t unused; /* free ones that were not trimmed */
    uint32_t live;   /* handed out */
};

void weir_stacks_init(struct weir_stacks *stacks, size_t size);

/* The lowest address of a stack (its guard page), or NULL. */
void *weir_stack_get(struct weir_stacks *stacks);
void weir_stack_put(struct weir_stacks *stacks, void *stack);

/* Gives back the pages of at most WEIR_STACKS_TRIM free stacks; false when there was none. */
bool weir_stacks_trim_some(struct weir_stacks *stacks);
static inline bool weir_stacks_trim(struct weir_stacks *stacks)
{
    return weir_unlikely(stacks->unused > WEIR_STACKS_WARM) && weir_stacks_trim_some(stacks);
}

void weir_stacks_free(struct weir_stacks *stacks);

#endif
