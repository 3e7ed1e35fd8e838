/* pkt.c - where packets come from: two pools, one of them with bytes.
 *
 * A view keeps what it describes alive: it owns it until it is released itself.
 *
 * Invariant: the last word of a view's `any` is the packet that it is a part of. */
#include "net/pkt.h"

enum { PKT_OF = 7 };

_Static_assert((sizeof(struct weir_pkt) + WEIR_PKT_HEADROOM + WEIR_PKT_ROOM) / 64 % 2 == 1,
               "an odd number of cache lines spreads packets over all sets");

void weir_pkts_init(struct weir_pkts *pkts, uint32_t max)
{
    *pkts = (struct weir_pkts){ .live = NULL };
    weir_pool_init(&pkts->pool, sizeof(struct weir_pkt) + WEIR_PKT_HEADROOM + WEIR_PKT_ROOM, 64,
                   max);
    weir_pool_init(&pkts->views, sizeof(struct weir_pkt), 64, max);
}

void weir_pkts_free(struct weir_pkts *pkts)
{
    struct weir_pkts *heir = pkts->heir;

    if (heir) {
        *heir = *pkts;
        heir->heir = NULL;
        return;
    }
    weir_pool_free(&pkts->pool);
    weir_pool_free(&pkts->views);
}

void weir_pkts_drop(struct weir_pkts *pkts)
{
    pkts->pool.live = pkts->views.live = 0;
    weir_pool_free(&pkts->pool);
    weir_pool_free(&pkts->views);
}

static void pkt_release(struct weir_buf *buf)
{
    struct weir_pkts *pkts = buf->origin;

    if (pkts->live)
        --*pkts->live;
    weir_pool_put(&pkts->pool, weir_pkt_of(buf));
}

struct weir_pkt *weir_pkt_get(struct weir_pkts *pkts)
{
    struct weir_pkt *pkt = weir_pool_get(&pkts->pool);

    if (weir_unlikely(!pkt))
        return NULL;
    if (pkts->live)
        ++*pkts->live;
    pkt->buf = (struct weir_buf){ .data = (uint8_t *)(pkt + 1) + WEIR_PKT_HEADROOM,
                                  .refs = 1,
                                  .release = pkt_release,
                                  .origin = pkts };
    pkt->flags = pkt->l3 = pkt->l4 = pkt->gso_size = 0;
    pkt->frag = NULL;
    return pkt;
}

static void view_release(struct weir_buf *buf)
{
    struct weir_pkt *view = weir_pkt_of(buf);
    struct weir_pkt *of = (struct weir_pkt *)(uintptr_t)view->any[PKT_OF];

    weir_pkt_bare_put(buf->origin, view);
    weir_buf_free(&of->buf);
}

struct weir_pkt *weir_pkt_view(struct weir_pkts *pkts, struct weir_pkt *of, uint8_t *data,
                               uint32_t len)
{
    struct weir_pkt *view = weir_pkt_bare(pkts);

    if (weir_unlikely(!view))
        return NULL;
    weir_buf_ref(&of->buf);
    view->buf.data = data;
    view->buf.len = len;
    view->flags = WEIR_PKT_READ_ONLY;
    view->buf.release = view_release;
    view->buf.origin = pkts;
    view->any[PKT_OF] = (uintptr_t)of;
    return view;
}
