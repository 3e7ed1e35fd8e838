/* fuzz_arp.c - ARP: what is accepted is written again byte for byte. */
#include "wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct weir_arp arp;
    uint8_t out[WEIR_ARP_LEN];

    memset(&arp, 0x5a, sizeof arp);
    if (!check_length(weir_arp_parse(&arp, data, size), size))
        return 0;
    check(is_bool(&arp.reply));
    check(weir_arp_emit(out, &arp) == WEIR_ARP_LEN);
    check(memcmp(out, data, sizeof out) == 0);
    return 0;
}
