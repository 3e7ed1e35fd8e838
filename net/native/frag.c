/* frag.c - fragments put together, of IPv4 and IPv6 (RFC 791 3.2, 815, 1858, 5722, 8200 4.5).
 *
 * Each datagram has a room of 64 KiB from the start, so every byte is copied once, to where it ends
 * up; the memory is touched as it fills.  One whose fragments overlap is given up together with
 * what still comes of it (RFC 5722; also for IPv4, where nobody honest overlaps); an exact
 * duplicate is ignored.  Waits REASSEMBLY_TIME (RFC 1122 3.3.2: 60 to 120 s; RFC 8200: 60 s), then
 * tells the sender, if the first fragment was there.
 *
 * Bounds: rooms, rooms per source, pieces per datagram, bytes in all.  Where one is reached the
 * oldest goes, so a flood of fragments costs honest ones their luck, never our memory.
 *
 * Invariant: a slot is in `waiting` (FILLING, SPOILT), in `free` (FREE) or handed out (OUT); bytes
 * is the sum of held over those that wait. */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include "net/native/checksum.h"
#include "net/native/ip.h"

#define REASSEMBLY_TIME WEIR_SEC(60)

enum { FRAG_ROOM = WEIR_PKT_HEADROOM + 65536, FRAG_ETHER = 14 };
enum frag_state { FRAG_FREE, FRAG_FILLING, FRAG_SPOILT, FRAG_OUT };

struct weir_frag_slot {
    struct weir_pkt pkt; /* describes the whole once it is there; until then the first fragment */
    struct weir_frags *frags;
    struct weir_link link; /* in waiting or free */
    uint8_t state;         /* enum frag_state */
    uint8_t iface;
    uint8_t next; /* protocol of the whole */
    bool has_first;
    weir_time until;
    struct weir_frag_key key;
    uint32_t held;  /* bytes that have come */
    uint32_t total; /* bytes of the whole; 0: the last fragment has not come */
    uint16_t pieces;
    struct {
        uint16_t at, len;
    } piece[WEIR_FRAG_PIECES]; /* sorted, without overlaps */
};

static uint8_t *frag_payload(const struct weir_frag_slot *slot)
{
    return slot->frags->rooms + (size_t)(slot - slot->frags->slot) * FRAG_ROOM + WEIR_PKT_HEADROOM;
}

/* --- slots --- */

static void frag_drop(struct weir_frag_slot *slot)
{
    slot->frags->bytes -= slot->held;
    slot->state = FRAG_FREE;
    weir_list_del(&slot->link);
    weir_list_push_front(&slot->frags->free, &slot->link); /* its pages are there already */
}

/* What has come is worth nothing, and so is what will come. */
static void frag_spoil(struct weir_frag_slot *slot)
{
    slot->frags->native->stats.frags_dropped += slot->pieces;
    slot->frags->bytes -= slot->held;
    slot->held = 0;
    slot->pieces = 0;
    slot->has_first = false;
    slot->state = FRAG_SPOILT;
}

static void frag_evict(struct weir_frag_slot *slot)
{
    slot->frags->native->stats.frags_dropped += slot->pieces;
    frag_drop(slot);
}

static struct weir_frag_slot *frag_oldest(const struct weir_frags *frags)
{
    return weir_container_of(frags->waiting.next, struct weir_frag_slot, link);
}

static bool frag_key_eq(const struct weir_frag_key *a, const struct weir_frag_key *b)
{
    return a->id == b->id && a->protocol == b->protocol && weir_ip_eq(&a->source, &b->source) &&
           weir_ip_eq(&a->target, &b->target);
}

/* The one this fragment belongs to, or NULL; the source's oldest when it has all it may have. */
static struct weir_frag_slot *frag_find(struct weir_frags *frags, const struct weir_frag_key *key,
                                        struct weir_frag_slot **crowded)
{
    struct weir_frag_slot *slot, *oldest = NULL;
    unsigned of_source = 0;

    *crowded = NULL;
    for (struct weir_link *at = frags->waiting.next; at != &frags->waiting; at = at->next) {
        slot = weir_container_of(at, struct weir_frag_slot, link);
        if (frag_key_eq(&slot->key, key))
            return slot;
        if (weir_ip_eq(&slot->key.source, &key->source)) {
            of_source++;
            if (!oldest)
                oldest = slot;
        }
    }
    if (of_source >= WEIR_FRAGS_OF_SOURCE)
        *crowded = oldest;
    return NULL;
}

static void frag_fire(struct weir_alarm *alarm);

static struct weir_frag_slot *frag_begin(struct weir_frags *frags, struct weir_iface *iface,
                                         const struct weir_frag_info *info)
{
    struct weir_native *native = frags->native;
    struct weir_frag_slot *slot;

    if (weir_list_empty(&frags->free) && !weir_list_empty(&frags->waiting))
        frag_evict(frag_oldest(frags));
    if (weir_list_empty(&frags->free))
        return NULL; /* all are handed out */
    slot = weir_container_of(weir_list_pop(&frags->free), struct weir_frag_slot, link);
    weir_list_push(&frags->waiting, &slot->link);
    slot->state = FRAG_FILLING;
    slot->iface = iface->index;
    slot->key = info->key;
    slot->until = weir_native_now(native) + REASSEMBLY_TIME;
    slot->held = slot->total = 0;
    slot->pieces = 0;
    slot->has_first = false;
    if (!weir_alarm_armed(&frags->alarm))
        weir_ip_alarm_set(native, &frags->alarm, slot->until);
    return slot;
}

/* --- filling --- */

enum frag_fit { FRAG_FITS, FRAG_DUPLICATE, FRAG_BAD };

/* Where the piece goes. */
static enum frag_fit frag_place(const struct weir_frag_slot *slot, uint32_t at, uint32_t len,
                                unsigned *place)
{
    unsigned i = slot->pieces;

    while (i > 0 && slot->piece[i - 1].at >= at)
        i--;
    *place = i;
    if (i < slot->pieces && slot->piece[i].at == at && slot->piece[i].len == len)
        return FRAG_DUPLICATE;
    if (i < slot->pieces && at + len > slot->piece[i].at)
        return FRAG_BAD;
    if (i > 0 && (uint32_t)slot->piece[i - 1].at + slot->piece[i - 1].len > at)
        return FRAG_BAD;
    return slot->pieces == WEIR_FRAG_PIECES ? FRAG_BAD : FRAG_FITS;
}

/* Whether the end of the whole, known or told now, agrees with what has come. */
static bool frag_end_good(const struct weir_frag_slot *slot, uint32_t end, bool more)
{
    if (slot->total)
        return more ? end < slot->total : end == slot->total;
    if (more || slot->pieces == 0)
        return true;
    return (uint32_t)slot->piece[slot->pieces - 1].at + slot->piece[slot->pieces - 1].len <= end;
}

/* The headers of the first fragment, without options and extension headers, before the payload. */
static void frag_header(struct weir_frag_slot *slot, const struct weir_pkt *from, unsigned at,
                        uint8_t next)
{
    bool v6 = !weir_ip_is_v4(&slot->key.source);
    unsigned len = v6 ? 40 : 20;
    uint8_t *ip = frag_payload(slot) - len;

    memcpy(ip, from->buf.data + at, len);
    memcpy(ip - FRAG_ETHER, from->buf.data, 12);
    weir_put16(ip - 2, v6 ? WEIR_ETHERTYPE_IP6 : WEIR_ETHERTYPE_IP4);
    if (v6)
        ip[6] = next;
    else
        ip[0] = 0x45;
    slot->next = next;
    slot->has_first = true;
    slot->pkt.buf.data = ip - FRAG_ETHER;
    slot->pkt.l3 = FRAG_ETHER;
    slot->pkt.l4 = (uint16_t)(FRAG_ETHER + len);
    slot->pkt.flags = v6 ? WEIR_PKT_IP6 : 0;
}

static void frag_add(struct weir_frag_slot *slot, unsigned place, const struct weir_frag_info *info,
                     const uint8_t *data, uint32_t len)
{
    memmove(&slot->piece[place + 1], &slot->piece[place],
            (slot->pieces - place) * sizeof slot->piece[0]);
    slot->piece[place].at = (uint16_t)info->at;
    slot->piece[place].len = (uint16_t)len;
    slot->pieces++;
    slot->held += len;
    slot->frags->bytes += len;
    if (!info->more)
        slot->total = info->at + len;
    memcpy(frag_payload(slot) + info->at, data, len);
}

/* --- the whole --- */

static void frag_patch(struct weir_frag_slot *slot)
{
    uint8_t *ip = frag_payload(slot) - (slot->pkt.l4 - FRAG_ETHER);
    uint16_t sum;

    if (slot->pkt.flags & WEIR_PKT_IP6) {
        weir_put16(ip + 4, (uint16_t)slot->total);
        return;
    }
    weir_put16(ip + 2, (uint16_t)(slot->total + 20));
    memset(ip + 6, 0, 2);
    memset(ip + 10, 0, 2);
    sum = (uint16_t)~weir_sum_fold(weir_sum(ip, 20, 0));
    memcpy(ip + 10, &sum, 2);
}

static void frag_release(struct weir_buf *buf)
{
    struct weir_frag_slot *slot = buf->origin;

    slot->state = FRAG_FREE;
    weir_list_push_front(&slot->frags->free, &slot->link);
}

static struct weir_pkt *frag_small(struct weir_frag_slot *slot, uint32_t len)
{
    struct weir_pkt *pkt = weir_pkt_get(&slot->frags->native->pkts);

    if (pkt) {
        memcpy(pkt->buf.data, slot->pkt.buf.data, len);
        pkt->buf.len = len;
        pkt->l3 = slot->pkt.l3;
        pkt->flags = slot->pkt.flags;
    }
    frag_drop(slot);
    return pkt;
}

/* In an ordinary packet where it fits in, for whoever gets it may keep it for long. */
static struct weir_pkt *frag_finish(struct weir_frag_slot *slot)
{
    uint32_t len = slot->pkt.l4 + slot->total;

    slot->frags->native->stats.frags_joined++;
    frag_patch(slot);
    if (len <= WEIR_PKT_ROOM)
        return frag_small(slot, len);
    weir_list_del(&slot->link);
    slot->frags->bytes -= slot->held;
    slot->state = FRAG_OUT;
    slot->pkt.buf.next = NULL;
    slot->pkt.buf.len = len;
    slot->pkt.buf.refs = 1;
    slot->pkt.buf.release = frag_release;
    slot->pkt.buf.origin = slot;
    slot->pkt.gso_size = 0;
    slot->pkt.frag = NULL;
    return &slot->pkt;
}

/* --- in --- */

/* RFC 1858, 3128: a first fragment that hides the transport's header. */
static bool frag_is_tiny(const struct weir_frag_info *info, uint32_t len)
{
    return info->at == 0 && info->more && len < (info->next == IPPROTO_TCP ? 20 : 8);
}

static struct weir_frag_slot *frag_slot(struct weir_frags *frags, struct weir_iface *iface,
                                        const struct weir_frag_info *info)
{
    struct weir_frag_slot *crowded, *slot = frag_find(frags, &info->key, &crowded);

    if (slot)
        return slot;
    if (crowded)
        frag_evict(crowded);
    return frag_begin(frags, iface, info);
}

static void frag_make_room(struct weir_frags *frags, const struct weir_frag_slot *keep,
                           uint32_t len)
{
    struct weir_link *at = frags->waiting.next;

    while (frags->bytes + len > WEIR_FRAG_BYTES && at != &frags->waiting) {
        struct weir_frag_slot *slot = weir_container_of(at, struct weir_frag_slot, link);

        at = at->next;
        if (slot != keep)
            frag_evict(slot);
    }
}

/* Whether the fragment is in its slot now; it is spoilt when not, unless it was a duplicate. */
static bool frag_store(struct weir_frag_slot *slot, const struct weir_pkt *pkt, unsigned at,
                       const struct weir_frag_info *info)
{
    uint32_t len = info->end - info->begin;
    enum frag_fit fit;
    unsigned place;

    if (slot->state == FRAG_SPOILT)
        return false;
    fit = frag_place(slot, info->at, len, &place);
    if (fit == FRAG_DUPLICATE)
        return false;
    if (fit == FRAG_BAD || !frag_end_good(slot, info->at + len, info->more)) {
        frag_spoil(slot);
        return false;
    }
    frag_make_room(slot->frags, slot, len);
    if (info->at == 0)
        frag_header(slot, pkt, at, info->next);
    frag_add(slot, place, info, pkt->buf.data + at + info->begin, len);
    if (info->at == 0)
        slot->pkt.buf.len = slot->pkt.l4 + len;
    return true;
}

struct weir_pkt *weir_frag_input(struct weir_iface *iface, struct weir_pkt *pkt, unsigned at,
                                 const struct weir_frag_info *info)
{
    struct weir_frags *frags = &iface->native->ip->frags;
    struct weir_native_stats *stats = &iface->native->stats;
    struct weir_frag_slot *slot = NULL;
    uint32_t len = info->end - info->begin;
    bool v6 = !weir_ip_is_v4(&info->key.source);
    bool stored;

    stats->frags_in++;
    if (len > 0 && !frag_is_tiny(info, len) && info->at + len <= (v6 ? 65535u : 65515u))
        slot = frag_slot(frags, iface, info);
    stored = slot && frag_store(slot, pkt, at, info);
    if (!stored)
        stats->frags_dropped++;
    weir_pkt_free(pkt);
    return stored && slot->total && slot->held == slot->total ? frag_finish(slot) : NULL;
}

/* --- time --- */

static void frag_time_out(struct weir_frag_slot *slot)
{
    struct weir_native *native = slot->frags->native;
    bool v6 = slot->pkt.flags & WEIR_PKT_IP6;

    if (slot->has_first)
        weir_icmp_error(&native->iface[slot->iface], &slot->pkt,
                        v6 ? WEIR_ICMP6_TIME_EXCEEDED : WEIR_ICMP4_TIME_EXCEEDED, 1, 0);
    frag_evict(slot);
}

static void frag_fire(struct weir_alarm *alarm)
{
    struct weir_frags *frags = weir_container_of(alarm, struct weir_frags, alarm);
    struct weir_native *native = frags->native;

    while (!weir_list_empty(&frags->waiting) &&
           frag_oldest(frags)->until <= weir_native_now(native))
        frag_time_out(frag_oldest(frags));
    if (!weir_list_empty(&frags->waiting))
        weir_ip_alarm_set(native, alarm, frag_oldest(frags)->until);
}

int weir_frags_init(struct weir_frags *frags, struct weir_native *native)
{
    *frags = (struct weir_frags){ .native = native };
    weir_list_init(&frags->waiting);
    weir_list_init(&frags->free);
    weir_alarm_init(&frags->alarm, frag_fire);
    frags->slot = calloc(WEIR_FRAGS, sizeof frags->slot[0]);
    frags->rooms = calloc(WEIR_FRAGS, FRAG_ROOM);
    if (!frags->slot || !frags->rooms)
        return -ENOMEM;
    for (unsigned i = 0; i < WEIR_FRAGS; i++) {
        frags->slot[i].frags = frags;
        weir_list_push(&frags->free, &frags->slot[i].link);
    }
    return 0;
}

void weir_frags_free(struct weir_frags *frags)
{
    if (frags->native)
        weir_ip_alarm_clear(frags->native, &frags->alarm);
    free(frags->rooms);
    free(frags->slot);
    *frags = (struct weir_frags){ .native = NULL };
}
