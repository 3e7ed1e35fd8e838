/* mpsc.h - a queue of messages from many senders, on any shards, to one receiver.
 *
 * A message is `size` bytes that are copied in and copied out.  The receiver is at home on the
 * shard that made the channel; senders may be anywhere.  The way of a message takes no lock; a
 * sender that has to wait for room takes one, briefly, to queue up.
 *
 * A bounded channel (bound > 0) holds that many messages.  Who waits for room is served strictly in
 * order, and nobody overtakes: its message goes in on its behalf at the moment a place is free.  An
 * unbounded one (bound 0) never waits and allocates per message.
 *
 * Lifetime.  There is one sender after weir_mpsc_new; weir_mpsc_clone makes one more and
 * weir_mpsc_drop one less.  When the last has gone the receiver gets -EPIPE behind the last
 * message. The receiver goes by weir_mpsc_free.  The memory goes with the last of them all.  What
 * messages point to is not the channel's: a receiver that leaves closes, then drains, then frees.
 */
#ifndef WEIR_MPSC_H
#define WEIR_MPSC_H

#include <weir/future.h>

WEIR_BEGIN

#define WEIR_MPSC_SIZE_MAX 4096     /* bytes of a message */
#define WEIR_MPSC_BOUND_MAX 1048576 /* messages in a bounded channel */

struct weir_mpsc;

/* The receiver's side is this shard.  0; -EINVAL: `size` is not within 1 and WEIR_MPSC_SIZE_MAX, or
 * `bound` is beyond WEIR_MPSC_BOUND_MAX; -ENOMEM. */
WEIR_API int weir_mpsc_new(struct weir_mpsc **mpsc, size_t size, size_t bound);

/* --- senders --- */

/* One more; one less.  By somebody who is a sender; any thread. */
WEIR_API void weir_mpsc_clone(struct weir_mpsc *mpsc);
WEIR_API void weir_mpsc_drop(struct weir_mpsc *mpsc);

/* Copies the message in, and waits for room if there is none.  0; -EPIPE: the receiver has closed;
 * -ENOMEM (unbounded only); -ETIMEDOUT, -ECANCELED.  On an error it was not sent. */
WEIR_API int weir_mpsc_send(struct weir_mpsc *mpsc, const void *message, weir_time deadline);

/* The same without waiting, from any fiber, callback or thread: -EAGAIN when there is no room, or
 * others wait for it. */
WEIR_API int weir_mpsc_try_send(struct weir_mpsc *mpsc, const void *message);

/* A place of one's own, for a message that is not made before it can be sent.  Errors as
 * weir_mpsc_send.  Every place that was had is given back once, by one of the two below. */
WEIR_API int weir_mpsc_reserve(struct weir_mpsc *mpsc, weir_time deadline);
WEIR_API int weir_mpsc_try_reserve(struct weir_mpsc *mpsc);

/* Sends into a reserved place.  0, also when the receiver has closed since then, for it drains what
 * had a place; -ENOMEM (unbounded only): the place is still there. */
WEIR_API int weir_mpsc_send_reserved(struct weir_mpsc *mpsc, const void *message);

/* Gives the place back unused. */
WEIR_API void weir_mpsc_unreserve(struct weir_mpsc *mpsc);

/* The future form of sending, which completes as weir_mpsc_send returns.  `message` stays where it
 * is until then.  Cancelled: it was not sent.  Fields are weir's own but for the future. */
struct weir_mpsc_send {
    struct weir_future future;
    struct weir_mail mail;
    struct weir_link link;
    struct weir_shard *shard;
    struct weir_mpsc *mpsc;
    const void *message; /* NULL: it wants the place */
    int outcome;
    bool taken; /* out of the queue: the outcome is on its way */
};

WEIR_API void weir_mpsc_send_start(struct weir_mpsc_send *send, struct weir_mpsc *mpsc,
                                   const void *message);

/* Whether the receiver has closed. */
WEIR_API bool weir_mpsc_is_closed(const struct weir_mpsc *mpsc);

/* --- the receiver: its own shard, one fiber at a time --- */

/* The next message, in order for each sender.  0; -EPIPE: none will come any more, and all that
 * came were received; -ETIMEDOUT, -ECANCELED: no message was taken. */
WEIR_API int weir_mpsc_recv(struct weir_mpsc *mpsc, void *message, weir_time deadline);

/* The same without waiting: -EAGAIN when there is none now. */
WEIR_API int weir_mpsc_try_recv(struct weir_mpsc *mpsc, void *message);

/* Waits for the first message and takes all that are there, at most `max` (> 0), into an array of
 * them.  How many, or an error as above. */
WEIR_API int64_t weir_mpsc_recv_many(struct weir_mpsc *mpsc, void *messages, size_t max,
                                     weir_time deadline);
WEIR_API int64_t weir_mpsc_try_recv_many(struct weir_mpsc *mpsc, void *messages, size_t max);

/* For weir_await_any and callbacks: completes with 0 when weir_mpsc_try_recv is worth a try (it may
 * still say -EAGAIN).  Takes no message, so cancelling it loses none. */
WEIR_API struct weir_future *weir_mpsc_ready(struct weir_mpsc *mpsc);

/* No more sends; who waits for room gets -EPIPE.  What is there, and what has a reserved place, can
 * still be received. */
WEIR_API void weir_mpsc_close(struct weir_mpsc *mpsc);

/* Closes, and lets go of the channel; nobody may be waiting in it.  Messages left are forgotten. */
WEIR_API void weir_mpsc_free(struct weir_mpsc *mpsc);

/* --- anybody who holds it: what was true a moment ago --- */

WEIR_API size_t weir_mpsc_len(const struct weir_mpsc *mpsc); /* messages, and places reserved */
WEIR_API size_t
weir_mpsc_capacity(const struct weir_mpsc *mpsc); /* places left; SIZE_MAX: no bound */

WEIR_END

#endif
