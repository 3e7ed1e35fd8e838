/* fuzz_icmp4.c - ICMPv4 messages, with the checksum put right as well, and what they quote. */
#include "wire.h"

static void fuzz_quote(const uint8_t *data, size_t size)
{
    struct weir_icmp_quote quote;

    memset(&quote, 0x5a, sizeof quote);
    if (!check_length(weir_icmp_quote_parse(&quote, data, size, false), size))
        return;
    check(weir_ip_is_v4(&quote.source) && weir_ip_is_v4(&quote.target) && is_bool(&quote.has_seq));
    check(!quote.has_seq || quote.protocol == IPPROTO_TCP);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct weir_icmp icmp;
    uint8_t *fixed = malloc(size + (size == 0));
    uint16_t sum;

    check(fixed != NULL);
    check_length(weir_icmp4_parse(&icmp, data, size), size);
    if (size >= 8) {
        memcpy(fixed, data, size);
        memset(fixed + 2, 0, 2);
        sum = (uint16_t)~weir_sum_fold(weir_sum(fixed, size, 0));
        memcpy(fixed + 2, &sum, 2);
        check(weir_icmp4_parse(&icmp, fixed, size) == 8 && icmp.body == 8);
        check(icmp.type == data[0] && icmp.code == data[1] && icmp.rest == weir_get32(data + 4));
        fuzz_quote(fixed + 8, size - 8);
    }
    free(fixed);
    return 0;
}
