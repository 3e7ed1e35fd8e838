/* wire.c - the device: IP packets in and out, in memory, on Ethernet as the stack wants it.
 *
 * Everybody on the wire is one neighbour, who answers every question for an address but ours, and
 * answers at once.  What the stack says to neighbours and routers packetdrill does not hear of: it
 * sees IP packets only, and of those no ICMPv6 of a link (RFC 4861, RFC 3810).
 *
 * packetdrill does not look at the checksums of what it is given, so it is done here; a wrong one
 * ends the test. */
#include <stdio.h>
#include <stdlib.h>
#include "net/native/checksum.h"
#include "net/native/wire/wire.h"
#include "tests/packetdrill/object.h"

static const uint8_t our_mac[6] = { 2, 0, 0, 0, 0, 1 };
static const uint8_t peer_mac[6] = { 2, 0, 0, 0, 0, 9 };

enum { ETHER = 14, IP6 = 40, ICMP6_HOP_LIMIT = 255 };

static struct pd_wire *wire_of(const struct weir_dev_queue *queue)
{
    return weir_container_of(queue, struct pd_wire, queue);
}

/* --- in --- */

/* A frame for the stack, room for `len` bytes behind the Ethernet header; NULL: no memory. */
static struct weir_pkt *wire_frame(struct pd_wire *wire, size_t len, uint16_t ethertype)
{
    struct weir_pkt *pkt = weir_native_pkt(wire->native, ETHER + len);

    if (!pkt)
        return NULL;
    memcpy(pkt->buf.data, our_mac, 6);
    memcpy(pkt->buf.data + 6, peer_mac, 6);
    pkt->buf.data[12] = (uint8_t)(ethertype >> 8);
    pkt->buf.data[13] = (uint8_t)ethertype;
    pkt->buf.len = (uint32_t)(ETHER + len);
    return pkt;
}

static void wire_queue_in(struct pd_wire *wire, struct weir_pkt *pkt)
{
    pkt->buf.next = NULL;
    *wire->in_end = &pkt->buf;
    wire->in_end = &pkt->buf.next;
}

int pd_wire_put(struct pd_wire *wire, const void *packet, size_t len)
{
    unsigned version = len > 0 ? *(const uint8_t *)packet >> 4 : 0;
    struct weir_pkt *pkt;

    if (version != 4 && version != 6)
        return -EINVAL;
    pkt = wire_frame(wire, len, version == 4 ? WEIR_ETHERTYPE_IP4 : WEIR_ETHERTYPE_IP6);
    if (!pkt)
        return -ENOMEM;
    memcpy(pkt->buf.data + ETHER, packet, len);
    if (len > wire->dev.mtu)
        pkt->flags |= WEIR_PKT_GSO;
    wire->received++;
    wire_queue_in(wire, pkt);
    return 0;
}

static unsigned wire_rx(struct weir_dev_queue *queue, struct weir_pkt **pkts, unsigned max)
{
    struct pd_wire *wire = wire_of(queue);
    unsigned count = 0;

    while (count < max && wire->in) {
        pkts[count] = weir_pkt_of(wire->in);
        wire->in = wire->in->next;
        pkts[count++]->buf.next = NULL;
    }
    if (!wire->in)
        wire->in_end = &wire->in;
    return count;
}

/* --- the neighbour --- */

/* Announcements and probes (RFC 5227) want no answer. */
static void wire_answer_arp(struct pd_wire *wire, const uint8_t *data, size_t len)
{
    struct weir_arp ask, answer = { .reply = true };
    struct weir_pkt *pkt;

    if (weir_arp_parse(&ask, data, len) < 0 || ask.reply || ask.sender_ip == 0 ||
        ask.sender_ip == ask.target_ip)
        return;
    pkt = wire_frame(wire, WEIR_ARP_LEN, WEIR_ETHERTYPE_ARP);
    if (!pkt)
        return;
    memcpy(answer.sender_mac, peer_mac, 6);
    memcpy(answer.target_mac, our_mac, 6);
    answer.sender_ip = ask.target_ip;
    answer.target_ip = ask.sender_ip;
    weir_arp_emit(pkt->buf.data + ETHER, &answer);
    wire_queue_in(wire, pkt);
}

static uint16_t wire_sum6(const struct weir_ip6 *ip, const uint8_t *data, size_t len)
{
    uint32_t sum = weir_sum(ip->source.byte, 16, htonl((uint32_t)len));

    sum = weir_sum(ip->target.byte, 16, weir_sum_add(sum, htonl(IPPROTO_ICMPV6)));
    return (uint16_t)~weir_sum_fold(weir_sum(data, len, sum));
}

/* Duplicate detection asks from nowhere: there is none (RFC 4862 5.4). */
static void wire_answer_nd(struct pd_wire *wire, const struct weir_ip *asker, const uint8_t *data,
                           size_t len)
{
    struct weir_nd ask, answer = { .type = 136, .has_mac = true, .router = true };
    struct weir_ip6 ip = { .protocol = IPPROTO_ICMPV6, .hop_limit = ICMP6_HOP_LIMIT };
    uint8_t message[64];
    struct weir_pkt *pkt;
    uint16_t sum;
    int size;

    if (weir_nd_parse(&ask, data, len) < 0 || ask.type != 135 || weir_ip_is_any(asker))
        return;
    answer.target = ip.source = ask.target;
    answer.solicited = answer.override = true;
    memcpy(answer.mac, peer_mac, 6);
    size = weir_nd_emit(message, &answer);
    ip.target = *asker;
    ip.total_len = (uint16_t)(IP6 + size);
    sum = wire_sum6(&ip, message, (size_t)size);
    memcpy(message + 2, &sum, 2);
    pkt = wire_frame(wire, (size_t)(IP6 + size), WEIR_ETHERTYPE_IP6);
    if (!pkt)
        return;
    weir_ip6_emit(pkt->buf.data + ETHER, &ip);
    memcpy(pkt->buf.data + ETHER + IP6, message, (size_t)size);
    wire_queue_in(wire, pkt);
}

/* ICMPv6 that does not leave the link; answers what asks for it. */
static bool wire_is_link6(struct pd_wire *wire, const uint8_t *packet, size_t len)
{
    struct weir_ip source;

    if (len < IP6 + 8 || packet[0] >> 4 != 6)
        return false;
    if (packet[6] == 0)
        return true; /* multicast listener reports: behind a hop-by-hop option */
    if (packet[6] != IPPROTO_ICMPV6 || packet[IP6] < 130 || packet[IP6] > 143)
        return false;
    memcpy(source.byte, packet + 8, 16);
    wire_answer_nd(wire, &source, packet + IP6, len - IP6);
    return true;
}

/* --- checksums: by the definition (RFC 1071), not by the code that is under test --- */

static uint32_t check_words(const uint8_t *data, size_t len, uint32_t sum)
{
    for (size_t i = 0; i < len; i++)
        sum += i % 2 ? data[i] : (uint32_t)data[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return sum;
}

static bool check_transport(const uint8_t *addrs, size_t addrs_len, uint8_t protocol,
                            const uint8_t *data, size_t len)
{
    uint32_t sum = 0;

    if (protocol == IPPROTO_UDP && len >= 8 && data[6] == 0 && data[7] == 0)
        return addrs_len == 8; /* none; IPv6 wants one */
    if (protocol != IPPROTO_ICMP)
        sum = check_words(addrs, addrs_len, protocol + (uint32_t)len);
    return check_words(data, len, sum) == 0xffff;
}

bool pd_checksums_ok(const uint8_t *packet, size_t len)
{
    size_t header = len > 0 && packet[0] >> 4 == 6 ? IP6 : (size_t)(packet[0] & 15) * 4;
    uint8_t protocol;

    if (len < 20 || len < header)
        return false;
    if (header == IP6 && packet[0] >> 4 == 6)
        return check_transport(packet + 8, 32, packet[6], packet + header, len - header);
    protocol = packet[9];
    if (check_words(packet, header, 0) != 0xffff)
        return false;
    if (((packet[6] & 0x3f) | packet[7]) != 0)
        return true; /* a fragment */
    return check_transport(packet + 12, 8, protocol, packet + header, len - header);
}

/* --- out --- */

static void wire_queue_out(struct pd_wire *wire, const uint8_t *packet, size_t len)
{
    struct pd *pd = weir_container_of(wire, struct pd, wire);
    struct pd_packet *copy;

    wire->sent++;
    if (!pd_checksums_ok(packet, len))
        pd_die(pd, "a checksum in a packet of %zu bytes that the stack has sent is wrong", len);
    if (wire->out_count == PD_PACKETS)
        pd_die(pd, "%d packets that nobody expects were sent", PD_PACKETS);
    copy = malloc(sizeof *copy + len);
    if (!copy)
        pd_die(pd, "no memory");
    copy->sent_at = pd->now;
    copy->len = len;
    memcpy(copy->data, packet, len);
    weir_list_push(&wire->out, &copy->link);
    wire->out_count++;
}

struct pd_packet *pd_wire_take(struct pd_wire *wire)
{
    struct weir_link *link = weir_list_pop(&wire->out);

    if (!link)
        return NULL;
    wire->out_count--;
    return weir_container_of(link, struct pd_packet, link);
}

static void wire_out(struct pd_wire *wire, const struct weir_pkt *pkt)
{
    const uint8_t *frame = pkt->buf.data;
    size_t len = pkt->buf.len - ETHER;

    weir_assert(pkt->buf.len > ETHER && !pkt->frag);
    switch (frame[12] << 8 | frame[13]) {
    case WEIR_ETHERTYPE_ARP:
        wire_answer_arp(wire, frame + ETHER, len);
        break;
    case WEIR_ETHERTYPE_IP4:
    case WEIR_ETHERTYPE_IP6:
        if (!wire_is_link6(wire, frame + ETHER, len))
            wire_queue_out(wire, frame + ETHER, len);
        break;
    default:
        weir_panic("the stack has sent a frame of type %02x%02x", frame[12], frame[13]);
    }
}

static void wire_tx(struct weir_dev_queue *queue, struct weir_pkt **pkts, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        wire_out(wire_of(queue), pkts[i]);
        weir_pkt_free(pkts[i]);
    }
}

/* --- the device --- */

static void wire_tx_flush(struct weir_dev_queue *queue)
{
    (void)queue;
}

static weir_time wire_next(const struct weir_dev_queue *queue)
{
    const struct pd_wire *wire = wire_of(queue);

    return wire->in ? wire->queue.shard->now : WEIR_NEVER;
}

static int wire_queue_open(struct weir_dev *dev, unsigned index, struct weir_shard *shard,
                           struct weir_pkts *pkts, struct weir_dev_queue **queue, char *why,
                           size_t why_size)
{
    struct pd_wire *wire = weir_container_of(dev, struct pd_wire, dev);

    (void)why;
    (void)why_size;
    wire->queue = (struct weir_dev_queue){ .dev = dev, .shard = shard, .index = index, .fd = -1 };
    wire->native = weir_container_of(pkts, struct weir_native, pkts);
    *queue = &wire->queue;
    return 0;
}

static void wire_queue_close(struct weir_dev_queue *queue)
{
    struct weir_pkt *pkt;

    while (wire_rx(queue, &pkt, 1) == 1)
        weir_pkt_free(pkt);
}

static void wire_close(struct weir_dev *dev)
{
    (void)dev; /* a part of the world */
}

static const struct weir_dev_ops wire_ops = {
    .name = "packetdrill",
    .queue_open = wire_queue_open,
    .queue_close = wire_queue_close,
    .rx = wire_rx,
    .tx = wire_tx,
    .tx_flush = wire_tx_flush,
    .next = wire_next,
    .close = wire_close,
};

void pd_wire_init(struct pd_wire *wire, uint16_t mtu)
{
    memset(wire, 0, sizeof *wire);
    wire->dev = (struct weir_dev){ .ops = &wire_ops, .mtu = mtu, .queues = 1 };
    snprintf(wire->dev.name, sizeof wire->dev.name, "packetdrill");
    memcpy(wire->dev.mac, our_mac, 6);
    weir_list_init(&wire->out);
    wire->in_end = &wire->in;
}
