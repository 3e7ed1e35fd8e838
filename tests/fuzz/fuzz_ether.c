/* fuzz_ether.c - Ethernet headers: what is accepted says the same when it is written again. */
#include "wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct weir_ether ether, again;
    uint8_t out[18];
    int rc, len;

    memset(&ether, 0x5a, sizeof ether);
    rc = weir_ether_parse(&ether, data, size);
    if (!check_length(rc, size))
        return 0;
    check(ether.vlan < 4095 && ether.ethertype >= 1536 && (ether.from[0] & 1) == 0);
    len = weir_ether_emit(out, &ether);
    check(len <= rc && weir_ether_parse(&again, out, (size_t)len) == len);
    check(memcmp(&ether, &again, sizeof ether) == 0);
    return 0;
}
