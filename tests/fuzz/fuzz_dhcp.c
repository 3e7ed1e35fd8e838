/* fuzz_dhcp.c - DHCP messages: what is accepted says the same when it is written again. */
#include "wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct weir_dhcp dhcp, again;
    uint8_t out[600];
    int len;

    memset(&dhcp, 0, sizeof dhcp);
    memset(&again, 0, sizeof again);
    if (!check_length(weir_dhcp_parse(&dhcp, data, size), size))
        return 0;
    check(dhcp.type >= WEIR_DHCP_DISCOVER && dhcp.type <= WEIR_DHCP_RELEASE);
    check((dhcp.mac[0] & 1) == 0 && (dhcp.mtu == 0 || dhcp.mtu >= 68));
    len = weir_dhcp_emit(out, sizeof out, &dhcp);
    check(len >= 300 && weir_dhcp_parse(&again, out, (size_t)len) == len);
    check(again.type == dhcp.type && again.xid == dhcp.xid && again.secs == dhcp.secs);
    check(again.broadcast == dhcp.broadcast && again.reply == dhcp.reply);
    check(memcmp(again.mac, dhcp.mac, 6) == 0);
    check(again.client_ip == dhcp.client_ip && again.your_ip == dhcp.your_ip);
    check(again.server == dhcp.server && again.requested == dhcp.requested);
    check(again.mask == dhcp.mask && again.router == dhcp.router);
    check(memcmp(again.dns, dhcp.dns, sizeof dhcp.dns) == 0);
    check(again.lease_s == dhcp.lease_s && again.renew_s == dhcp.renew_s);
    check(again.rebind_s == dhcp.rebind_s && again.mtu == dhcp.mtu);
    return 0;
}
