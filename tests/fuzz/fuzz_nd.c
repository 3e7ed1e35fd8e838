/* fuzz_nd.c - neighbour discovery: what is accepted and we can write says the same again. */
#include "wire.h"

static void check_prefixes(const struct weir_nd *nd)
{
    check(nd->prefixes <= WEIR_COUNT(nd->prefix));
    for (unsigned i = 0; i < nd->prefixes; i++) {
        const struct weir_ip *ip = &nd->prefix[i].prefix;

        check(nd->prefix[i].len <= 128 && nd->prefix[i].preferred_s <= nd->prefix[i].valid_s);
        check(is_bool(&nd->prefix[i].on_link) && is_bool(&nd->prefix[i].autonomous));
        for (unsigned bit = nd->prefix[i].len; bit < 128; bit++)
            check((ip->byte[bit / 8] >> (7 - bit % 8) & 1) == 0);
    }
}

static void check_again(const struct weir_nd *nd)
{
    struct weir_nd again;
    uint8_t out[32];
    int len = weir_nd_emit(out, nd);

    check(weir_nd_parse(&again, out, (size_t)len) == len);
    check(again.type == nd->type && weir_ip_eq(&again.target, &nd->target));
    check(again.has_mac == nd->has_mac && memcmp(again.mac, nd->mac, 6) == 0);
    check(again.router == nd->router && again.solicited == nd->solicited);
    check(again.override == nd->override);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct weir_nd nd;

    memset(&nd, 0x5a, sizeof nd);
    if (!check_length(weir_nd_parse(&nd, data, size), size))
        return 0;
    check(nd.type >= 133 && nd.type <= 137 && is_bool(&nd.has_mac));
    check(!nd.has_mac || (nd.mac[0] & 1) == 0);
    check_prefixes(&nd);
    if (nd.type == 133 || nd.type == 135 || nd.type == 136)
        check_again(&nd);
    return 0;
}
