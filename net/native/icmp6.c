/* icmp6.c - ICMPv6 in (RFC 4443, 8201), and on to neighbour and listener discovery.
 *
 * An echo to a group we are in is answered from an address of our own (4.2). */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include "net/native/ip.h"

enum { ICMP6_MLD_QUERY = 130, ICMP6_ND_FIRST = 133, ICMP6_ND_LAST = 137 };

static int icmp6_unreachable(uint8_t code)
{
    static const int errors[] = { -ENETUNREACH,  -EACCES, -EHOSTUNREACH, -EHOSTUNREACH,
                                  -ECONNREFUSED, -EACCES, -EACCES };

    return code < WEIR_COUNT(errors) ? errors[code] : 0;
}

static int icmp6_error(const struct weir_icmp *icmp)
{
    switch (icmp->type) {
    case WEIR_ICMP6_UNREACHABLE:
        return icmp6_unreachable(icmp->code);
    case WEIR_ICMP6_TOO_BIG:
        return -EMSGSIZE;
    case WEIR_ICMP6_TIME_EXCEEDED:
        return -EHOSTUNREACH;
    case WEIR_ICMP6_PROBLEM:
        return -EPROTO;
    default:
        return 0;
    }
}

static void icmp6_quoted(struct weir_native *native, struct weir_pkt *pkt,
                         const struct weir_icmp *icmp)
{
    unsigned at = (unsigned)pkt->l4 + icmp->body;
    struct weir_icmp_quote quote;
    int error = icmp6_error(icmp);
    uint16_t mtu = 0;

    if (error == 0) {
        weir_pkt_free(pkt);
        return;
    }
    if (weir_icmp_quote_parse(&quote, pkt->buf.data + at, pkt->buf.len - at, true) < 0) {
        native->stats.icmp_bad++;
        weir_pkt_free(pkt);
        return;
    }
    if (icmp->type == WEIR_ICMP6_TOO_BIG)
        mtu = (uint16_t)(icmp->rest < UINT16_MAX ? icmp->rest : UINT16_MAX);
    if (icmp->type == WEIR_ICMP6_TOO_BIG && mtu < WEIR_PMTU_MIN6)
        mtu = WEIR_PMTU_MIN6;
    weir_icmp_report(native, pkt, &quote, error, mtu);
}

void weir_icmp6_input(struct weir_iface *iface, struct weir_pkt *pkt, const struct weir_ip6 *ip,
                      bool group)
{
    uint32_t len = pkt->buf.len - pkt->l4;
    uint32_t sum = weir_pseudo_sum(&ip->source, &ip->target, IPPROTO_ICMPV6, len);
    struct weir_icmp icmp;

    if (weir_icmp6_parse(&icmp, pkt->buf.data + pkt->l4, len, sum) < 0) {
        iface->native->stats.icmp_bad++;
        weir_pkt_free(pkt);
    } else if (icmp.type >= ICMP6_ND_FIRST && icmp.type <= ICMP6_ND_LAST) {
        weir_nd_input(iface, pkt, ip, pkt->l4);
    } else if (icmp.type == ICMP6_MLD_QUERY) {
        weir_mld_query(iface, pkt, ip);
        weir_pkt_free(pkt);
    } else if (weir_ip_is_any(&ip->source) ||
               (iface->index == WEIR_IFACE_WIRE && weir_ip_is_local(iface->native, &ip->source))) {
        iface->native->stats.ip_bad++;
        weir_pkt_free(pkt);
    } else if (icmp.type == WEIR_ICMP6_ECHO && icmp.code == 0) {
        weir_icmp_echo(iface, pkt, WEIR_ICMP6_ECHO_REPLY);
    } else if (group) {
        weir_pkt_free(pkt);
    } else {
        icmp6_quoted(iface->native, pkt, &icmp);
    }
}
