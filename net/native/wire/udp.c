/* udp.c - UDP headers (RFC 768).
 *
 * What stands behind the length is not UDP's.  Port 0 as destination is nobody's; as source it says
 * that no answer is wanted. */
#include <errno.h>
#include "net/native/wire/wire.h"

enum { UDP_LEN = 8 };

int weir_udp_parse(struct weir_udp_header *udp, const uint8_t *data, size_t len)
{
    if (len < UDP_LEN)
        return -EBADMSG;
    udp->sport = weir_get16(data);
    udp->dport = weir_get16(data + 2);
    udp->len = weir_get16(data + 4);
    udp->checksum = weir_get16(data + 6) != 0;
    if (udp->dport == 0 || udp->len < UDP_LEN || udp->len > len)
        return -EBADMSG;
    return UDP_LEN;
}
