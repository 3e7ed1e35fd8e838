/* udp_queue.c - the ring of datagrams that wait to be received.
 *
 * Records are laid one behind the other and may wrap around the end at any byte, so all of the ring
 * is used.  Each copy is therefore one memcpy or two.
 *
 * Invariant: used is the sum of the records' lengths, each a multiple of 8, and at most size. */
#include "net/udp_queue.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct record {
    uint32_t len, addr_len;
};

static size_t record_size(const struct record *record)
{
    return (sizeof *record + record->addr_len + record->len + 7) & ~(size_t)7;
}

int weir_udp_queue_init(struct weir_udp_queue *queue, uint32_t max)
{
    size_t size = (size_t)max & ~(size_t)7;

    *queue = (struct weir_udp_queue){ .size = size, .data = malloc(size > 0 ? size : 1) };
    return queue->data ? 0 : -ENOMEM;
}

void weir_udp_queue_free(struct weir_udp_queue *queue)
{
    free(queue->data);
    queue->data = NULL;
}

/* Where the byte `at` bytes behind the oldest record's start is. */
static size_t queue_index(const struct weir_udp_queue *queue, size_t at)
{
    size_t index = queue->first + at;

    return index < queue->size ? index : index - queue->size;
}

static void queue_put(struct weir_udp_queue *queue, size_t at, const void *data, size_t len)
{
    size_t index = queue_index(queue, at), whole = weir_min_u64(len, queue->size - index);

    if (len == 0)
        return;
    memcpy(queue->data + index, data, whole);
    memcpy(queue->data, (const uint8_t *)data + whole, len - whole);
}

static void queue_get(const struct weir_udp_queue *queue, size_t at, void *data, size_t len)
{
    size_t index = queue_index(queue, at), whole = weir_min_u64(len, queue->size - index);

    if (len == 0)
        return;
    memcpy(data, queue->data + index, whole);
    memcpy((uint8_t *)data + whole, queue->data, len - whole);
}

bool weir_udp_queue_push(struct weir_udp_queue *queue, const struct weir_addr *peer,
                         const void *data, size_t len)
{
    struct record record = { .len = (uint32_t)len, .addr_len = peer->len };
    size_t size = record_size(&record), at = queue->used;

    weir_assert(len <= UINT16_MAX && peer->len <= sizeof peer->un);
    if (size > queue->size - queue->used)
        return false;
    queue_put(queue, at, &record, sizeof record);
    queue_put(queue, at + sizeof record, &peer->sa, peer->len);
    queue_put(queue, at + sizeof record + peer->len, data, len);
    queue->used += size;
    return true;
}

void weir_udp_queue_pop(struct weir_udp_queue *queue, struct weir_datagram *datagram)
{
    size_t room = datagram->len, size;
    struct record record;

    weir_assert(queue->used > 0);
    queue_get(queue, 0, &record, sizeof record);
    size = record_size(&record);
    datagram->len = weir_min_u64(record.len, room);
    datagram->cut = record.len > room;
    memset(&datagram->peer, 0, sizeof datagram->peer);
    datagram->peer.len = record.addr_len;
    queue_get(queue, sizeof record, &datagram->peer.sa, record.addr_len);
    queue_get(queue, sizeof record + record.addr_len, datagram->data, datagram->len);
    queue->first = queue_index(queue, size);
    queue->used -= size;
}

void weir_udp_deliver(struct weir_datagram *datagram, const struct weir_addr *peer,
                      const void *data, size_t len)
{
    size_t room = datagram->len;

    datagram->len = weir_min_u64(len, room);
    datagram->cut = len > room;
    datagram->peer = *peer;
    if (datagram->len > 0)
        memcpy(datagram->data, data, datagram->len);
}
