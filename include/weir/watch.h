/* watch.h - one value that changes, and fibers that want to know when: configuration, a state.
 *
 * Receivers see the latest value and not each one: what was sent twice between two looks was one
 * change to them.  All of it stays on the shard that made it; use on another ends the program.
 *
 * The value stands in memory of the caller's, as the watch does; both outlive the receivers. */
#ifndef WEIR_WATCH_H
#define WEIR_WATCH_H

#include <weir/future.h>

WEIR_BEGIN

/* Fields are weir's own. */
struct weir_watch {
    struct weir_link waiting; /* for a change */
    struct weir_link leaving; /* for the last receiver to go */
    struct weir_shard *home;
    void *value;
    size_t size;
    uint64_t version;
    uint32_t receivers;
    bool closed;
};

struct weir_watch_rx {
    struct weir_watch *watch;
    uint64_t seen;
};

/* What stands in `value`, `size` bytes (> 0), is the first version. */
WEIR_API void weir_watch_init(struct weir_watch *watch, void *value, size_t size);

/* --- the sender; but for weir_watch_closed nothing suspends --- */

/* Copies a new value in, and tells all.  0; -EPIPE: there is no receiver, the value stays as it was
 * (weir_watch_replace changes it all the same). */
WEIR_API int weir_watch_send(struct weir_watch *watch, const void *value);
WEIR_API void weir_watch_replace(struct weir_watch *watch, const void *value);

/* Lets `change` work on the value in place; it is a new version if that returns true, which this
 * returns too.  `change` must not suspend. */
WEIR_API bool weir_watch_modify(struct weir_watch *watch, bool (*change)(void *value, void *arg),
                                void *arg);

/* No more values come.  Receivers get -EPIPE once they have seen the last. */
WEIR_API void weir_watch_close(struct weir_watch *watch);

/* Waits until there is no receiver.  0, -ETIMEDOUT or -ECANCELED. */
WEIR_API int weir_watch_closed(struct weir_watch *watch, weir_time deadline);

/* The value as it stands; good until the next await. */
WEIR_API const void *weir_watch_value(const struct weir_watch *watch);

/* --- receivers --- */

/* One more receiver, who has seen the value of now; weir_watch_unsubscribe must follow. */
WEIR_API void weir_watch_subscribe(struct weir_watch *watch, struct weir_watch_rx *rx);
WEIR_API void weir_watch_unsubscribe(struct weir_watch_rx *rx);

/* Waits until there is a version that this receiver has not seen, and marks it as seen.  0; -EPIPE:
 * closed, and all was seen; -ETIMEDOUT, -ECANCELED: nothing is marked. */
WEIR_API int weir_watch_changed(struct weir_watch_rx *rx, weir_time deadline);

/* 1: there is one; 0: there is none; -EPIPE: nor will there be.  Marks nothing. */
WEIR_API int weir_watch_has_changed(const struct weir_watch_rx *rx);

/* Copies the value out, and marks it as seen. */
WEIR_API void weir_watch_copy(struct weir_watch_rx *rx, void *value);

WEIR_END

#endif
