/* ether.c - Ethernet headers, with one 802.1Q tag or none.
 *
 * A tag of VLAN 0 (priority only) is as none.  Refused: 802.3 length fields, more than one tag,
 * VLAN 4,095 (reserved), senders that are a group (IEEE 802.3 3.2.3, 802.1Q 9.6). */
#include <errno.h>
#include "net/native/wire/wire.h"

enum { ETHER_LEN = 14, ETHER_TAG = 4, ETHER_GROUP = 1, ETHER_TYPE_MIN = 0x600 };

int weir_ether_parse(struct weir_ether *ether, const uint8_t *data, size_t len)
{
    int header = ETHER_LEN;

    if (weir_unlikely(len < ETHER_LEN || data[6] & ETHER_GROUP))
        return -EBADMSG;
    memcpy(ether->to, data, 6);
    memcpy(ether->from, data + 6, 6);
    ether->ethertype = weir_get16(data + 12);
    ether->vlan = 0;
    if (ether->ethertype == WEIR_ETHERTYPE_VLAN) {
        header += ETHER_TAG;
        if (len < ETHER_LEN + ETHER_TAG)
            return -EBADMSG;
        ether->vlan = weir_get16(data + 14) & 0xfff;
        ether->ethertype = weir_get16(data + 16);
        if (ether->vlan == 0xfff || ether->ethertype == WEIR_ETHERTYPE_VLAN)
            return -EBADMSG;
    }
    return ether->ethertype < ETHER_TYPE_MIN ? -EBADMSG : header;
}

int weir_ether_emit(uint8_t *to, const struct weir_ether *ether)
{
    memcpy(to, ether->to, 6);
    memcpy(to + 6, ether->from, 6);
    to += 12;
    if (ether->vlan != 0) {
        weir_put16(to, WEIR_ETHERTYPE_VLAN);
        weir_put16(to + 2, ether->vlan);
        to += ETHER_TAG;
    }
    weir_put16(to, ether->ethertype);
    return ether->vlan != 0 ? ETHER_LEN + ETHER_TAG : ETHER_LEN;
}
