/* broadcast.h - every message to every receiver: events, a chat room.
 *
 * The channel keeps the last `capacity` messages.  Sending never waits: a receiver that is further
 * behind is told once how many it has missed, and goes on with the oldest that is kept.  All of it
 * stays on the shard that made it; use on another ends the program. */
#ifndef WEIR_BROADCAST_H
#define WEIR_BROADCAST_H

#include <weir/future.h>

WEIR_BEGIN

#define WEIR_BROADCAST_SIZE_MAX 4096        /* bytes of a message */
#define WEIR_BROADCAST_CAPACITY_MAX 1048576 /* messages */

/* Fields are weir's own. */
struct weir_broadcast {
    struct weir_link waiting;
    struct weir_shard *home;
    unsigned char *ring;
    size_t size, capacity;
    uint64_t sent;
    uint32_t receivers;
    bool closed;
};

struct weir_broadcast_rx {
    struct weir_broadcast *broadcast;
    uint64_t next;   /* the message it gets next */
    uint64_t missed; /* how many it missed, after -EOVERFLOW */
};

/* Messages of `size` bytes.  0; -EINVAL: one of the two is 0 or beyond its maximum; -ENOMEM. */
WEIR_API int weir_broadcast_init(struct weir_broadcast *broadcast, size_t size, size_t capacity);

/* Gives the memory back; all receivers have unsubscribed. */
WEIR_API void weir_broadcast_free(struct weir_broadcast *broadcast);

/* Copies the message in, and tells all.  How many receivers it is for; -EPIPE: there is none, and
 * it was not kept.  Never suspends. */
WEIR_API int64_t weir_broadcast_send(struct weir_broadcast *broadcast, const void *message);

/* No more messages come.  Receivers get -EPIPE behind the last. */
WEIR_API void weir_broadcast_close(struct weir_broadcast *broadcast);

/* One more receiver, of what is sent from now on; weir_broadcast_unsubscribe must follow. */
WEIR_API void weir_broadcast_subscribe(struct weir_broadcast *broadcast,
                                       struct weir_broadcast_rx *rx);
WEIR_API void weir_broadcast_unsubscribe(struct weir_broadcast_rx *rx);

/* The next message.  0; -EOVERFLOW: rx->missed of them were overwritten before, receive again for
 * the oldest that is kept; -EPIPE: closed, and all were received; -ETIMEDOUT, -ECANCELED: none was
 * taken. */
WEIR_API int weir_broadcast_recv(struct weir_broadcast_rx *rx, void *message, weir_time deadline);

/* The same without waiting: -EAGAIN when there is none now. */
WEIR_API int weir_broadcast_try_recv(struct weir_broadcast_rx *rx, void *message);

/* Messages sent that this receiver has not received, those it has missed included. */
WEIR_API uint64_t weir_broadcast_len(const struct weir_broadcast_rx *rx);

WEIR_END

#endif
