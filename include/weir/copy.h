/* copy.h - from one connection to another, for as long as there is something.
 *
 * What is received is handed on in its buffer: the fiber touches no byte of it.  What has been
 * received and not yet sent is bounded by one buffer for each direction; a slow receiver closes the
 * window of the sender.  The connections may be of different stacks, of one shard. */
#ifndef WEIR_COPY_H
#define WEIR_COPY_H

#include <weir/net.h>

WEIR_BEGIN

/* Sends to `to` what comes from `from` until its end (FIN), which is not passed on: weir_shutdown
 * and weir_close stay the caller's.  They may be one connection: an echo.  Returns the bytes sent,
 * or the first error of either.  On an error, -ETIMEDOUT or -ECANCELED bytes may be lost that were
 * received and not sent: all that is left is to close. */
WEIR_API int64_t weir_copy(struct weir_conn *to, struct weir_conn *from, weir_time deadline);

/* Both directions between two connections, at once: what a proxy does.  When one side has ended
 * (FIN), that is passed on by weir_shutdown and the other direction goes on; 0 when both have.  The
 * first error of any ends both: it is returned then, -ETIMEDOUT and -ECANCELED too, and bytes may
 * be lost.  *a_to_b and *b_to_a (or NULL) say in any case how many bytes were sent.  It closes
 * neither. */
WEIR_API int weir_copy_both(struct weir_conn *a, struct weir_conn *b, uint64_t *a_to_b,
                            uint64_t *b_to_a, weir_time deadline);

WEIR_END

#endif
