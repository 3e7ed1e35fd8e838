/* base.h - the few words every other header of weir is written in. */
#ifndef WEIR_BASE_H
#define WEIR_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define WEIR_BEGIN extern "C" {
#define WEIR_END }
#else
#define WEIR_BEGIN
#define WEIR_END
#endif

#define WEIR_API __attribute__((visibility("default")))
#define WEIR_PRINTF(text, first) __attribute__((format(printf, text, first)))

/* A point in time, or a span of it, in nanoseconds.  Points are on the shard's monotonic clock;
 * deadlines are points, never spans: weir_after() makes one. */
typedef int64_t weir_time;

#define WEIR_NEVER INT64_MAX /* a deadline that does not come */
#define WEIR_US(n) ((weir_time)(n)*1000)
#define WEIR_MS(n) ((weir_time)(n)*1000000)
#define WEIR_SEC(n) ((weir_time)(n)*1000000000)

/* One link of a circular doubly linked list; also the head of one.  Embedded, never allocated. */
struct weir_link {
    struct weir_link *next, *prev;
};

/* What makes a struct one that another thread can send to a shard (sched/mail.h).  Embedded, never
 * allocated; weir's own. */
struct weir_shard;
struct weir_mail {
    struct weir_mail *next;
    /* On the shard's loop, once; must not suspend.  The mail may be gone when it returns. */
    void (*deliver)(struct weir_shard *shard, struct weir_mail *mail);
};

/* Bytes that somebody else owns; not terminated by a NUL. */
struct weir_str {
    const char *at;
    size_t len;
};

/* A literal as a weir_str. */
#define WEIR_STR(literal) ((struct weir_str){ "" literal, sizeof(literal) - 1 })

/* Where a call stands in the source: fibers remember where they were spawned. */
#define WEIR_STRINGIFY_(x) #x
#define WEIR_STRINGIFY(x) WEIR_STRINGIFY_(x)
#define WEIR_HERE __FILE__ ":" WEIR_STRINGIFY(__LINE__)

#endif
