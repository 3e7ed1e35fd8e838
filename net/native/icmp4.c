/* icmp4.c - ICMP in (RFC 792, 1122 3.2.2, 1191).
 *
 * Echoes to broadcast and multicast are not answered (3.2.2.6 leaves it open): they serve to flood
 * others.  Source quench (RFC 6633), redirects, timestamps and masks are ignored. */
#include <errno.h>
#include <string.h>
#include "net/native/ip.h"

enum { ICMP4_FRAGMENTATION_NEEDED = 4 };

/* What an unreachable means to a transport, by its code (RFC 1122 3.2.2.1, 1812 5.2.7.1). */
static int icmp4_unreachable(uint8_t code)
{
    static const int errors[] = { -ENETUNREACH,  -EHOSTUNREACH, -ENOPROTOOPT,  -ECONNREFUSED,
                                  -EMSGSIZE,     -EHOSTUNREACH, -ENETUNREACH,  -EHOSTUNREACH,
                                  -EHOSTUNREACH, -ENETUNREACH,  -EHOSTUNREACH, -ENETUNREACH,
                                  -EHOSTUNREACH, -EHOSTUNREACH, -EHOSTUNREACH, -EHOSTUNREACH };

    return code < WEIR_COUNT(errors) ? errors[code] : 0;
}

static int icmp4_error(const struct weir_icmp *icmp)
{
    switch (icmp->type) {
    case WEIR_ICMP4_UNREACHABLE:
        return icmp4_unreachable(icmp->code);
    case WEIR_ICMP4_TIME_EXCEEDED:
        return -EHOSTUNREACH;
    case WEIR_ICMP4_PROBLEM:
        return -EPROTO;
    default:
        return 0;
    }
}

/* How much the next hop carries; a router that does not say (RFC 1191 5) leaves it to a guess below
 * the packet's length. */
static uint16_t icmp4_mtu(struct weir_native *native, const struct weir_icmp *icmp,
                          const struct weir_icmp_quote *quote, const uint8_t *quoted)
{
    static const uint16_t plateaus[] = { 32000, 17914, 8166, 4352, 2002, 1492, 1006 };
    uint16_t mtu = (uint16_t)icmp->rest, len = weir_get16(quoted + 2);
    uint16_t now = weir_pmtu_find(native, &quote->target, weir_ip_wire(native)->mtu);

    if (mtu)
        return mtu;
    if (len > now)
        len = now;
    for (size_t i = 0; i < WEIR_COUNT(plateaus); i++)
        if (plateaus[i] < len)
            return plateaus[i];
    return WEIR_PMTU_MIN4;
}

static void icmp4_quoted(struct weir_native *native, struct weir_pkt *pkt,
                         const struct weir_icmp *icmp)
{
    const uint8_t *quoted = pkt->buf.data + pkt->l4 + icmp->body;
    struct weir_icmp_quote quote;
    int error = icmp4_error(icmp);
    uint16_t mtu = 0;

    if (error == 0) {
        weir_pkt_free(pkt);
        return;
    }
    if (weir_icmp_quote_parse(&quote, quoted, pkt->buf.len - pkt->l4 - icmp->body, false) < 0) {
        native->stats.icmp_bad++;
        weir_pkt_free(pkt);
        return;
    }
    if (icmp->type == WEIR_ICMP4_UNREACHABLE && icmp->code == ICMP4_FRAGMENTATION_NEEDED)
        mtu = icmp4_mtu(native, icmp, &quote, quoted);
    weir_icmp_report(native, pkt, &quote, error, mtu);
}

void weir_icmp4_input(struct weir_iface *iface, struct weir_pkt *pkt, bool group)
{
    struct weir_icmp icmp;

    if (weir_icmp4_parse(&icmp, pkt->buf.data + pkt->l4, pkt->buf.len - pkt->l4) < 0) {
        iface->native->stats.icmp_bad++;
        weir_pkt_free(pkt);
    } else if (group) {
        weir_pkt_free(pkt);
    } else if (icmp.type == WEIR_ICMP4_ECHO && icmp.code == 0) {
        weir_icmp_echo(iface, pkt, WEIR_ICMP4_ECHO_REPLY);
    } else {
        icmp4_quoted(iface->native, pkt, &icmp);
    }
}
