/* broadcast.c - a ring of the last messages, and one position per receiver.
 *
 * Positions run freely; message p stands at p modulo capacity and is kept while p + capacity >=
 * sent.  The sender keeps no list of receivers: each finds out by itself that it was left behind.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <weir/broadcast.h>
#include "sched/waiters.h"

int weir_broadcast_init(struct weir_broadcast *broadcast, size_t size, size_t capacity)
{
    if (size == 0 || size > WEIR_BROADCAST_SIZE_MAX || capacity == 0 ||
        capacity > WEIR_BROADCAST_CAPACITY_MAX)
        return -EINVAL;
    *broadcast = (struct weir_broadcast){ .home = weir_shard_here("weir_broadcast_init"),
                                          .ring = malloc(size * capacity),
                                          .size = size,
                                          .capacity = capacity };
    weir_list_init(&broadcast->waiting);
    return broadcast->ring ? 0 : -ENOMEM;
}

void weir_broadcast_free(struct weir_broadcast *broadcast)
{
    weir_shard_check(broadcast->home, "weir_broadcast_free");
    if (broadcast->receivers > 0)
        weir_panic("weir_broadcast_free: %u receivers are left; they unsubscribe first",
                   broadcast->receivers);
    free(broadcast->ring);
    broadcast->ring = NULL;
}

static unsigned char *broadcast_at(const struct weir_broadcast *broadcast, uint64_t position)
{
    return broadcast->ring + position % broadcast->capacity * broadcast->size;
}

int64_t weir_broadcast_send(struct weir_broadcast *broadcast, const void *message)
{
    weir_shard_check(broadcast->home, "weir_broadcast_send");
    if (broadcast->closed)
        weir_panic("weir_broadcast_send: this channel was closed by weir_broadcast_close; nothing "
                   "can be sent any more");
    if (broadcast->receivers == 0)
        return -EPIPE;
    memcpy(broadcast_at(broadcast, broadcast->sent++), message, broadcast->size);
    weir_waiters_tell_all(&broadcast->waiting);
    return broadcast->receivers;
}

void weir_broadcast_close(struct weir_broadcast *broadcast)
{
    weir_shard_check(broadcast->home, "weir_broadcast_close");
    broadcast->closed = true;
    weir_waiters_tell_all(&broadcast->waiting);
}

void weir_broadcast_subscribe(struct weir_broadcast *broadcast, struct weir_broadcast_rx *rx)
{
    weir_shard_check(broadcast->home, "weir_broadcast_subscribe");
    *rx = (struct weir_broadcast_rx){ .broadcast = broadcast, .next = broadcast->sent };
    broadcast->receivers++;
}

void weir_broadcast_unsubscribe(struct weir_broadcast_rx *rx)
{
    if (!rx->broadcast)
        weir_panic("weir_broadcast_unsubscribe: this receiver has left before");
    weir_shard_check(rx->broadcast->home, "weir_broadcast_unsubscribe");
    rx->broadcast->receivers--;
    rx->broadcast = NULL;
}

uint64_t weir_broadcast_len(const struct weir_broadcast_rx *rx)
{
    weir_shard_check(rx->broadcast->home, "weir_broadcast_len");
    return rx->broadcast->sent - rx->next;
}

int weir_broadcast_try_recv(struct weir_broadcast_rx *rx, void *message)
{
    const struct weir_broadcast *broadcast = rx->broadcast;
    uint64_t behind = weir_broadcast_len(rx);

    if (behind == 0)
        return broadcast->closed ? -EPIPE : -EAGAIN;
    if (behind > broadcast->capacity) {
        rx->missed = behind - broadcast->capacity;
        rx->next += rx->missed;
        return -EOVERFLOW;
    }
    memcpy(message, broadcast_at(broadcast, rx->next++), broadcast->size);
    return 0;
}

int weir_broadcast_recv(struct weir_broadcast_rx *rx, void *message, weir_time deadline)
{
    int result = weir_broadcast_try_recv(rx, message), error;

    if (result != -EAGAIN)
        weir_waiters_spend();
    while (result == -EAGAIN) {
        error = weir_waiters_wait(&rx->broadcast->waiting, deadline);
        result = error < 0 ? error : weir_broadcast_try_recv(rx, message);
    }
    return result;
}
