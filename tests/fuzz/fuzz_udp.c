/* fuzz_udp.c - UDP headers. */
#include "wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct weir_udp_header udp;

    memset(&udp, 0x5a, sizeof udp);
    if (!check_length(weir_udp_parse(&udp, data, size), size))
        return 0;
    check(udp.dport != 0 && udp.len >= 8 && udp.len <= size);
    check(udp.checksum == (data[6] != 0 || data[7] != 0));
    return 0;
}
