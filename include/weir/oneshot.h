/* oneshot.h - one value, once, from anywhere to one fiber.
 *
 * The receiver is at home on the shard that made the channel; the sender may be on any shard, or on
 * a thread that is none (a function in the blocking pool).  No lock: one word is swapped, and one
 * message goes to the receiver's shard if it waits there.
 *
 * Lifetime.  Made by weir_oneshot_init it lives in memory of the receiver's, a local variable as a
 * rule.  That memory must stay until the sender is through: until a receive has returned the value
 * or -EPIPE for a dropped sender, or until the sender is known to have sent or dropped (its scope
 * was joined).  A receiver that may leave before its sender takes weir_oneshot_new instead, whose
 * memory goes when both sides are through.
 *
 * Each side is through once: the sender by weir_oneshot_send or weir_oneshot_drop, exactly one of
 * them, which also is its last look at the memory. */
#ifndef WEIR_ONESHOT_H
#define WEIR_ONESHOT_H

#include <weir/future.h>

WEIR_BEGIN

/* Fields are weir's own but for the future, see weir_oneshot_start. */
struct weir_oneshot {
    struct weir_future future;
    struct weir_mail mail;
    struct weir_shard *home;
    int64_t value;
    uint32_t state;
    bool allocated;
};

/* The receiver's side is this shard. */
WEIR_API void weir_oneshot_init(struct weir_oneshot *oneshot);

/* The same in memory of its own; weir_oneshot_free must follow.  0 or -ENOMEM. */
WEIR_API int weir_oneshot_new(struct weir_oneshot **oneshot);

/* --- the sender: any thread; nothing here suspends --- */

/* 0; -EPIPE: the receiver has closed, nobody will see the value.  0 means that the receiver can
 * have it, not that it has. */
WEIR_API int weir_oneshot_send(struct weir_oneshot *oneshot, int64_t value);

/* Gives up: the receiver gets -EPIPE. */
WEIR_API void weir_oneshot_drop(struct weir_oneshot *oneshot);

/* Whether the receiver has closed: then there is no need to work for it any more. */
WEIR_API bool weir_oneshot_is_closed(const struct weir_oneshot *oneshot);

/* --- the receiver: its own shard --- */

/* Waits for the value.  0 and *value; -EPIPE: the sender dropped, or this side has closed before
 * there was a value; -ETIMEDOUT, -ECANCELED: nothing is lost, receive again.  The value stays: what
 * came can be received again. */
WEIR_API int weir_oneshot_recv(struct weir_oneshot *oneshot, int64_t *value, weir_time deadline);

/* The same without waiting: -EAGAIN when there is nothing yet.  Any fiber or callback. */
WEIR_API int weir_oneshot_try_recv(struct weir_oneshot *oneshot, int64_t *value);

/* Starts to wait: oneshot->future completes with 0 when there is a value (weir_oneshot_try_recv has
 * it then) or -EPIPE.  Cancelling it loses nothing; it can be started again once it is done. */
WEIR_API void weir_oneshot_start(struct weir_oneshot *oneshot);

/* From now on sending fails.  A value sent before can still be received.  Who waits gets -EPIPE. */
WEIR_API void weir_oneshot_close(struct weir_oneshot *oneshot);

/* Closes, and lets go of what weir_oneshot_new made; nobody may be waiting.  A value that was sent
 * and not received is forgotten. */
WEIR_API void weir_oneshot_free(struct weir_oneshot *oneshot);

WEIR_END

#endif
