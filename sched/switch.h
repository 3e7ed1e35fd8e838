/* switch.h - one stack to another in a dozen instructions, on x86-64 and aarch64.
 *
 * Only callee-saved registers travel, on the stack that is left; a context is the stack pointer.
 * The switch ends in pop and jmp, not ret: the return predictor would guess the other stack's
 * caller wrong every time.  The floating-point control words are not saved: they are the
 * thread's. */
#ifndef WEIR_SCHED_SWITCH_H
#define WEIR_SCHED_SWITCH_H

#include "core/base.h"

#if defined(__SANITIZE_ADDRESS__)
#define WEIR_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WEIR_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define WEIR_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WEIR_TSAN 1
#endif
#endif
#ifndef WEIR_ASAN
#define WEIR_ASAN 0
#endif
#ifndef WEIR_TSAN
#define WEIR_TSAN 0
#endif

struct weir_context {
    void *sp;
#if WEIR_ASAN
    void *fake_stack;
    const void *bottom;
    size_t size;
#endif
#if WEIR_TSAN
    void *tsan;
#endif
};

/* Prepares a context that starts with entry(arg) on the stack [bottom, bottom + size); entry must
 * not return. */
void weir_context_init(struct weir_context *context, void *bottom, size_t size,
                       void (*entry)(void *arg), void *arg);

/* What a context that will not be switched to again still holds for the sanitizers. */
void weir_context_free(struct weir_context *context);

/* Leaves `from`, which becomes a context to come back to, and goes on in `to`.  `ends`: `from` will
 * never be switched to again. */
void weir_context_switch(struct weir_context *from, struct weir_context *to, bool ends);

/* The first thing to do on a fresh context, with the context that was left. */
void weir_context_entered(struct weir_context *from);

#endif
