/* icmp4.c - the head of ICMPv4 messages (RFC 792), with the checksum over all of it. */
#include <errno.h>
#include "net/native/checksum.h"
#include "net/native/wire/wire.h"

enum { ICMP4_LEN = 8 };

int weir_icmp4_parse(struct weir_icmp *icmp, const uint8_t *data, size_t len)
{
    if (len < ICMP4_LEN || weir_sum_fold(weir_sum(data, len, 0)) != 0xffff)
        return -EBADMSG;
    icmp->type = data[0];
    icmp->code = data[1];
    icmp->rest = weir_get32(data + 4);
    icmp->body = ICMP4_LEN;
    return ICMP4_LEN;
}
