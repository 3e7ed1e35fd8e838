/* addr.c - struct weir_ip from and to what the public API calls an address.
 *
 * An IPv4-mapped IPv6 address is the IPv4 address: on the wire there is no other way to reach it
 * (RFC 4291 2.5.5.2). */
#include <arpa/inet.h>
#include <errno.h>
#include "net/native/native.h"

int weir_ip_from_addr(struct weir_ip *ip, uint16_t *port, const struct weir_addr *addr)
{
    switch (addr->sa.sa_family) {
    case AF_INET:
        *ip = weir_ip_v4(addr->in.sin_addr.s_addr);
        *port = ntohs(addr->in.sin_port);
        return 0;
    case AF_INET6:
        memcpy(ip->byte, &addr->in6.sin6_addr, sizeof ip->byte);
        *port = ntohs(addr->in6.sin6_port);
        return 0;
    default:
        return -EAFNOSUPPORT;
    }
}

void weir_ip_to_addr(struct weir_addr *addr, const struct weir_ip *ip, uint16_t port)
{
    memset(addr, 0, sizeof *addr);
    if (weir_ip_is_v4(ip)) {
        addr->in.sin_family = AF_INET;
        addr->in.sin_addr.s_addr = ip->word[3];
        addr->in.sin_port = htons(port);
        addr->len = sizeof addr->in;
    } else {
        addr->in6.sin6_family = AF_INET6;
        memcpy(&addr->in6.sin6_addr, ip->byte, sizeof ip->byte);
        addr->in6.sin6_port = htons(port);
        addr->len = sizeof addr->in6;
    }
}

const char *weir_ip_format(const struct weir_ip *ip, char text[64])
{
    bool v4 = weir_ip_is_v4(ip);

    return inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? &ip->word[3] : &ip->word[0], text, 64);
}
