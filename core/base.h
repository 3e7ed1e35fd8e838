/* base.h - what every file of weir leans on: assertions, panics, log lines, container_of. */
#ifndef WEIR_CORE_BASE_H
#define WEIR_CORE_BASE_H

#include <stdarg.h>
#include <weir/base.h>

#define weir_likely(x) __builtin_expect(!!(x), 1)
#define weir_unlikely(x) __builtin_expect(!!(x), 0)
#define weir_container_of(ptr, type, member) \
    ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
#define WEIR_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Ends the program with one line on stderr: what was wrong and what to do instead. */
_Noreturn void weir_panic(const char *format, ...) WEIR_PRINTF(1, 2);

/* Adds to a panic's line where it happened (shard, fiber).  Set by sched/. */
extern void (*_Atomic weir_panic_context)(char *text, size_t size);

/* States what only a bug of weir itself can break; stays on in release. */
#define weir_assert(expr) \
    (weir_likely(expr) ? (void)0 : weir_panic("%s: assertion failed: %s", WEIR_HERE, #expr))

/* One line on stderr, "weir: ...", written whole.  Never suspends, never allocates. */
void weir_log(const char *format, ...) WEIR_PRINTF(1, 2);

static inline uint64_t weir_min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t weir_max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

#endif
