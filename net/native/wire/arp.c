/* arp.c - ARP for IPv4 over Ethernet (RFC 826); what stands behind it is padding.
 *
 * Refused: senders whose MAC is a group, or whose IP address can be nobody's (RFC 1122 3.2.1.3).
 * 0.0.0.0 asks without telling (a probe, RFC 5227). */
#include <errno.h>
#include "net/native/wire/wire.h"

enum { ARP_REQUEST = 1, ARP_REPLY = 2, ARP_GROUP = 1 };

/* Ethernet, IPv4, and how long their addresses are. */
static const uint8_t arp_head[6] = { 0, 1, 0x08, 0x00, 6, 4 };

static bool arp_sender_ok(const uint8_t *ip)
{
    return ip[0] != 127 && ip[0] < 224;
}

int weir_arp_parse(struct weir_arp *arp, const uint8_t *data, size_t len)
{
    unsigned operation;

    if (len < WEIR_ARP_LEN || memcmp(data, arp_head, sizeof arp_head) != 0)
        return -EBADMSG;
    operation = weir_get16(data + 6);
    if (operation != ARP_REQUEST && operation != ARP_REPLY)
        return -EBADMSG;
    if (data[8] & ARP_GROUP || !arp_sender_ok(data + 14))
        return -EBADMSG;
    arp->reply = operation == ARP_REPLY;
    memcpy(arp->sender_mac, data + 8, 6);
    memcpy(&arp->sender_ip, data + 14, 4);
    memcpy(arp->target_mac, data + 18, 6);
    memcpy(&arp->target_ip, data + 24, 4);
    return WEIR_ARP_LEN;
}

int weir_arp_emit(uint8_t *to, const struct weir_arp *arp)
{
    memcpy(to, arp_head, sizeof arp_head);
    weir_put16(to + 6, arp->reply ? ARP_REPLY : ARP_REQUEST);
    memcpy(to + 8, arp->sender_mac, 6);
    memcpy(to + 14, &arp->sender_ip, 4);
    memcpy(to + 18, arp->target_mac, 6);
    memcpy(to + 24, &arp->target_ip, 4);
    return WEIR_ARP_LEN;
}
