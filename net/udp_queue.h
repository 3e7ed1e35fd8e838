/* udp_queue.h - datagrams that wait to be received, for the stacks that keep them themselves.
 *
 * One ring of bytes per socket: a datagram lies in it behind its length and its sender's address,
 * at most WEIR_UDP_QUEUE_HEAD bytes of these, all rounded up to 8.  So what a socket can hold is
 * what was asked for, however small the datagrams are, and packets go back to their pool at
 * once. */
#ifndef WEIR_NET_UDP_QUEUE_H
#define WEIR_NET_UDP_QUEUE_H

#include <weir/udp.h>
#include "core/base.h"

enum { WEIR_UDP_QUEUE_HEAD = 8 + sizeof(struct sockaddr_un) };

struct weir_udp_queue {
    uint8_t *data;
    size_t size, first, used; /* of the ring; where the oldest begins; bytes in use */
};

/* Room for `max` bytes, touched on demand.  0 or -ENOMEM. */
int weir_udp_queue_init(struct weir_udp_queue *queue, uint32_t max);
void weir_udp_queue_free(struct weir_udp_queue *queue);

/* False: no room for it. */
bool weir_udp_queue_push(struct weir_udp_queue *queue, const struct weir_addr *peer,
                         const void *data, size_t len);

/* The oldest, into datagram->data, at most datagram->len of it; sets the rest. */
void weir_udp_queue_pop(struct weir_udp_queue *queue, struct weir_datagram *datagram);

static inline bool weir_udp_queue_empty(const struct weir_udp_queue *queue)
{
    return queue->used == 0;
}

/* The same as through the queue: one that has just come to one who waits. */
void weir_udp_deliver(struct weir_datagram *datagram, const struct weir_addr *peer,
                      const void *data, size_t len);

#endif
