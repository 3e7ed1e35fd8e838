/* fuzz_ip4.c - IPv4 headers, with the checksum as it comes and as if the device had looked. */
#include "wire.h"

static void check_accepted(const struct weir_ip4 *ip, const uint8_t *data, size_t size, int rc)
{
    struct weir_ip4 again = *ip;
    uint8_t *out = malloc(ip->total_len);
    unsigned payload = ip->total_len - (unsigned)ip->header_len;

    check(out != NULL);
    check(rc == ip->header_len && rc >= 20 && rc <= 60 && ip->total_len <= size);
    check(weir_ip_is_v4(&ip->source) && weir_ip_is_v4(&ip->target));
    check(ip->fragment_at % 8 == 0 && ip->fragment_at + payload + ip->header_len <= 65535);
    check(!ip->more_fragments || (payload > 0 && payload % 8 == 0));
    memcpy(out, data, ip->total_len);
    check(weir_ip4_emit(out, ip) == 20);
    check(weir_sum_fold(weir_sum(out, 20, 0)) == 0xffff);
    rc = weir_ip4_parse(&again, out, ip->total_len, false);
    /* without options there is more payload: a fragment may have become one that cannot be */
    check(rc == 20 || (rc == -EBADMSG && ip->header_len > 20));
    again.header_len = ip->header_len;
    check(memcmp(ip, &again, sizeof again) == 0 || rc < 0);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct weir_ip4 ip, checked;
    int rc, rc_checked;

    memset(&ip, 0, sizeof ip);
    memset(&checked, 0, sizeof checked);
    rc = weir_ip4_parse(&ip, data, size, false);
    rc_checked = weir_ip4_parse(&checked, data, size, true);
    check(rc < 0 || (rc == rc_checked && memcmp(&ip, &checked, sizeof ip) == 0));
    check_length(rc, size);
    if (check_length(rc_checked, size))
        check_accepted(&checked, data, size, rc_checked);
    return 0;
}
