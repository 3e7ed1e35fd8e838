/* fuzz_icmp6.c - ICMPv6 messages, with the checksum put right as well, and what they quote.  The
 * first 4 bytes of the input are the pseudo-header's sum. */
#include "wire.h"

static void fuzz_quote(const uint8_t *data, size_t size)
{
    struct weir_icmp_quote quote;

    memset(&quote, 0x5a, sizeof quote);
    if (!check_length(weir_icmp_quote_parse(&quote, data, size, true), size))
        return;
    check(!weir_ip_is_v4(&quote.source) && !weir_ip_is_v4(&quote.target));
    check(is_bool(&quote.has_seq) && (!quote.has_seq || quote.protocol == IPPROTO_TCP));
}

static void fuzz_message(const uint8_t *data, size_t size, uint32_t pseudo_sum)
{
    struct weir_icmp icmp;
    uint8_t *fixed = malloc(size + (size == 0));
    uint16_t sum;

    check(fixed != NULL);
    check_length(weir_icmp6_parse(&icmp, data, size, pseudo_sum), size);
    if (size >= 8) {
        memcpy(fixed, data, size);
        memset(fixed + 2, 0, 2);
        sum = (uint16_t)~weir_sum_fold(weir_sum(fixed, size, pseudo_sum));
        memcpy(fixed + 2, &sum, 2);
        check(weir_icmp6_parse(&icmp, fixed, size, pseudo_sum) == 8 && icmp.body == 8);
        check(icmp.type == data[0] && icmp.code == data[1] && icmp.rest == weir_get32(data + 4));
        fuzz_quote(fixed + 8, size - 8);
    }
    free(fixed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size >= 4)
        fuzz_message(data + 4, size - 4, weir_get32(data));
    return 0;
}
