/* ether.c - frames: bursts from the device to the layers above, and frames out.
 *
 * A burst goes through stage by stage: its bytes are on their way into the cache while the first
 * headers are read, and all its TCP segments go up together.  Frames that are not for this station,
 * of another VLAN or of an EtherType we do not speak are dropped; only malformed ones are counted
 * as such. */
#include <string.h>
#include "net/native/ip.h"

static inline bool ether_is_ours(const struct weir_iface *iface, const uint8_t *to)
{
    uint32_t high;
    uint16_t low, our_low;
    uint32_t our_high;

    memcpy(&high, to, 4);
    memcpy(&low, to + 4, 2);
    memcpy(&our_high, iface->mac, 4);
    memcpy(&our_low, iface->mac + 4, 2);
    return high == our_high && low == our_low;
}

static void ether_drop(struct weir_iface *iface, struct weir_pkt *pkt)
{
    iface->native->stats.eth_bad++;
    weir_pkt_free(pkt);
}

/* By what it carries.  A TCP segment comes back. */
static inline struct weir_pkt *ether_up(struct weir_iface *iface, struct weir_pkt *pkt,
                                        uint16_t ethertype, unsigned at, bool group)
{
    switch (ethertype) {
    case WEIR_ETHERTYPE_IP4:
        return weir_ip4_input(iface, pkt, at, group);
    case WEIR_ETHERTYPE_IP6:
        return weir_ip6_input(iface, pkt, at, group);
    case WEIR_ETHERTYPE_ARP:
        weir_arp_input(iface, pkt, at);
        return NULL;
    default:
        weir_pkt_free(pkt);
        return NULL;
    }
}

/* With a VLAN tag, or for a VLAN, or not plain for another reason. */
static struct weir_pkt *ether_tagged(struct weir_iface *iface, struct weir_pkt *pkt, bool group)
{
    struct weir_ether ether;
    int len = weir_ether_parse(&ether, pkt->buf.data, pkt->buf.len);

    if (len < 0) {
        ether_drop(iface, pkt);
        return NULL;
    }
    if (ether.vlan != iface->vlan) {
        weir_pkt_free(pkt);
        return NULL;
    }
    return ether_up(iface, pkt, ether.ethertype, (unsigned)len, group);
}

static inline struct weir_pkt *ether_one(struct weir_iface *iface, struct weir_pkt *pkt)
{
    const uint8_t *data = pkt->buf.data;
    uint16_t ethertype;
    bool group;

    if (weir_unlikely(pkt->buf.len < 14)) {
        ether_drop(iface, pkt);
        return NULL;
    }
    group = data[0] & 1;
    if (weir_unlikely(!group && !ether_is_ours(iface, data))) {
        weir_pkt_free(pkt);
        return NULL;
    }
    ethertype = weir_get16(data + 12);
    if (weir_likely(ethertype == WEIR_ETHERTYPE_IP4 && iface->vlan == 0))
        return weir_ip4_input(iface, pkt, 14, group);
    if (weir_likely(ethertype == WEIR_ETHERTYPE_IP6 && iface->vlan == 0))
        return weir_ip6_input(iface, pkt, 14, group);
    return ether_tagged(iface, pkt, group);
}

/* All headers and the begin of the payload: the checksum reads on from there in order, which the
 * hardware foresees. */
static void ether_prefetch(const struct weir_pkt *pkt)
{
    __builtin_prefetch(pkt->buf.data);
    __builtin_prefetch(pkt->buf.data + 64);
    __builtin_prefetch(pkt->buf.data + 128);
}

static void ether_burst(struct weir_iface *iface, struct weir_pkt **pkts, unsigned count)
{
    struct weir_pkt *tcp[WEIR_DEV_BURST];
    unsigned segments = 0;

    for (unsigned i = 0; i < count; i++)
        ether_prefetch(pkts[i]);
    for (unsigned i = 0; i < count; i++) {
        struct weir_pkt *segment = ether_one(iface, pkts[i]);

        if (segment)
            tcp[segments++] = segment;
    }
    if (segments)
        weir_tcp_input_burst(iface->native, tcp, segments);
}

void weir_ether_input(struct weir_iface *iface, struct weir_pkt **pkts, unsigned count)
{
    for (; count > WEIR_DEV_BURST; count -= WEIR_DEV_BURST, pkts += WEIR_DEV_BURST)
        ether_burst(iface, pkts, WEIR_DEV_BURST);
    if (count)
        ether_burst(iface, pkts, count);
}

void weir_ether_send(struct weir_iface *iface, struct weir_pkt *pkt, const uint8_t mac[6],
                     uint16_t ethertype)
{
    struct weir_ether ether = { .ethertype = ethertype, .vlan = iface->vlan };

    memcpy(ether.to, mac, sizeof ether.to);
    memcpy(ether.from, iface->mac, sizeof ether.from);
    weir_ether_emit(weir_pkt_push(pkt, iface->vlan ? 18 : 14), &ether);
    weir_iface_send(iface, pkt);
}
