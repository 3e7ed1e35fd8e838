/* switch.c - the C side of the context switch: first frames, and what the sanitizers must know. */
#include "sched/switch.h"
#include <string.h>

#if WEIR_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if WEIR_TSAN
#include <sanitizer/tsan_interface.h>
#endif

/* In switch_<arch>.S. */
void weir_switch(void **from_sp, void *to_sp);
extern const char weir_switch_start[];

void weir_context_init(struct weir_context *context, void *bottom, size_t size,
                       void (*entry)(void *arg), void *arg)
{
    uintptr_t top = ((uintptr_t)bottom + size) & ~(uintptr_t)15;
    void **frame;

    memset(context, 0, sizeof *context);
#if defined(__x86_64__)
    /* As weir_switch pops them: r15 r14 r13 r12 rbx rbp, then where to jump. */
    frame = (void **)(top - 7 * sizeof(void *)); /* so that weir_switch_start begins at the top */
    memset(frame, 0, 7 * sizeof(void *));
    frame[2] = (void *)(uintptr_t)entry; /* r13 */
    frame[3] = arg;                      /* r12 */
    frame[6] = (void *)(uintptr_t)weir_switch_start;
#elif defined(__aarch64__)
    /* As weir_switch loads them: x19..x30 (x30 is where to go), then d8..d15. */
    frame = (void **)(top - 20 * sizeof(void *));
    memset(frame, 0, 20 * sizeof(void *));
    frame[0] = arg;                      /* x19 */
    frame[1] = (void *)(uintptr_t)entry; /* x20 */
    frame[11] = (void *)(uintptr_t)weir_switch_start;
#endif
    context->sp = frame;
#if WEIR_ASAN
    __asan_unpoison_memory_region(bottom, size);
    context->bottom = bottom;
    context->size = size;
#endif
#if WEIR_TSAN
    context->tsan = __tsan_create_fiber(0);
#endif
}

void weir_context_free(struct weir_context *context)
{
#if WEIR_TSAN
    __tsan_destroy_fiber(context->tsan);
#endif
    (void)context;
}

void weir_context_switch(struct weir_context *from, struct weir_context *to, bool ends)
{
    (void)ends;
#if WEIR_ASAN
    __sanitizer_start_switch_fiber(ends ? NULL : &from->fake_stack, to->bottom, to->size);
#endif
#if WEIR_TSAN
    from->tsan = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(to->tsan, 0);
#endif
    weir_switch(&from->sp, to->sp);
#if WEIR_ASAN
    __sanitizer_finish_switch_fiber(from->fake_stack, NULL, NULL);
#endif
}

void weir_context_entered(struct weir_context *from)
{
    (void)from;
#if WEIR_ASAN
    __sanitizer_finish_switch_fiber(NULL, &from->bottom, &from->size);
#endif
}
