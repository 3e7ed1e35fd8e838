/* fuzz_ip6.c - IPv6 headers and extension headers: the walk stays inside of the packet, and what it
 * says can be. */
#include "wire.h"

static void check_whole(const struct weir_ip6 *ip)
{
    check(ip->protocol == IPPROTO_TCP || ip->protocol == IPPROTO_UDP ||
          ip->protocol == IPPROTO_ICMPV6 || ip->protocol == IPPROTO_NONE);
    check(!ip->more_fragments && ip->fragment_at == 0);
}

static void check_fragment(const struct weir_ip6 *ip)
{
    unsigned len = ip->total_len - (unsigned)ip->header_len;

    check(ip->more_fragments || ip->fragment_at > 0);
    check(ip->fragment_at % 8 == 0 && ip->fragment_at + len <= 65535);
    check(!ip->more_fragments || (len > 0 && len % 8 == 0));
}

/* The same addresses in a header without extensions. */
static void check_again(const struct weir_ip6 *ip)
{
    struct weir_ip6 plain = *ip, again;
    uint8_t out[40];

    plain.protocol = IPPROTO_UDP;
    plain.total_len = 40;
    check(weir_ip6_emit(out, &plain) == 40);
    check(weir_ip6_parse(&again, out, sizeof out) == 40);
    check(weir_ip_eq(&ip->source, &again.source) && weir_ip_eq(&ip->target, &again.target));
    check(ip->hop_limit == again.hop_limit && ip->traffic_class == again.traffic_class);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct weir_ip6 ip;
    int rc;

    memset(&ip, 0x5a, sizeof ip);
    rc = weir_ip6_parse(&ip, data, size);
    if (!check_length(rc, size))
        return 0;
    check(rc == ip.header_len && rc >= 40 && rc % 8 == 0);
    check(ip.header_len <= ip.total_len && ip.total_len <= size);
    check(!weir_ip_is_v4(&ip.source) && !weir_ip_is_v4(&ip.target));
    check_again(&ip);
    if (ip.unrecognized_at != 0)
        check(ip.unrecognized_at < ip.total_len && ip.problem_code <= 2);
    else if (ip.fragment)
        check_fragment(&ip);
    else
        check_whole(&ip);
    return 0;
}
