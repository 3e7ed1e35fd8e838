/* icmp6.c - the head of ICMPv6 messages (RFC 4443 2.1), with the checksum over all of it and the
 * pseudo-header, whose sum is the caller's: it knows the addresses. */
#include <errno.h>
#include "net/native/checksum.h"
#include "net/native/wire/wire.h"

enum { ICMP6_LEN = 8 };

int weir_icmp6_parse(struct weir_icmp *icmp, const uint8_t *data, size_t len, uint32_t pseudo_sum)
{
    if (len < ICMP6_LEN || weir_sum_fold(weir_sum(data, len, pseudo_sum)) != 0xffff)
        return -EBADMSG;
    icmp->type = data[0];
    icmp->code = data[1];
    icmp->rest = weir_get32(data + 4);
    icmp->body = ICMP6_LEN;
    return ICMP6_LEN;
}
