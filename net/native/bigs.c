/* bigs.c - packets that are longer than those of the pool, of one shard: merged segments, long
 * frames and datagrams put together, which have come to another shard first and are copied here.
 *
 * At most BIGS of them are out: what finds none free is dropped, and sent again in pieces by
 * whoever merged it.  Pages of them are touched when they are first used, so a shard to which
 * everything comes directly has none.
 *
 * Devices get them only to copy from (net/dev/pair.c takes none as long as this). */
#include "net/native/glue.h"

enum {
    BIGS = 128,
    BIG_ROOM = 65536 + 64, /* IP's most, and Ethernet with VLAN */
};

static void big_release(struct weir_buf *buf)
{
    weir_pool_put(buf->origin, weir_pkt_of(buf));
}

static struct weir_pkt *big_get(struct weir_native *native)
{
    struct weir_pkt *pkt = weir_pool_get(&native->bigs);

    if (!pkt)
        return NULL;
    pkt->buf = (struct weir_buf){ .data = (uint8_t *)(pkt + 1) + WEIR_PKT_HEADROOM,
                                  .refs = 1,
                                  .release = big_release,
                                  .origin = &native->bigs };
    pkt->flags = pkt->l3 = pkt->l4 = pkt->gso_size = 0;
    pkt->frag = NULL;
    return pkt;
}

void weir_native_bigs_init(struct weir_native *native)
{
    weir_pool_init(&native->bigs, sizeof(struct weir_pkt) + WEIR_PKT_HEADROOM + BIG_ROOM,
                   WEIR_CACHE_LINE, BIGS);
}

struct weir_pkt *weir_native_pkt(struct weir_native *native, size_t size)
{
    if (size <= WEIR_PKT_ROOM)
        return weir_pkt_get(&native->pkts);
    return size <= BIG_ROOM ? big_get(native) : NULL;
}
