/* ip4.c - IPv4 headers (RFC 791).
 *
 * Options are walked and skipped; source routes are refused (RFC 7126 4.3, 4.4).  A fragment that
 * could not be part of any datagram is refused here: one that ends behind byte 65,535, or one with
 * more to come whose length is no multiple of 8.  So are senders that can be nobody's address
 * (RFC 1122 3.2.1.3): groups, broadcast, class E. */
#include <errno.h>
#include "net/native/checksum.h"
#include "net/native/wire/wire.h"

enum {
    IP4_LEN = 20,
    IP4_MAX = 65535,
    IP4_DONT_FRAGMENT = 0x4000,
    IP4_MORE_FRAGMENTS = 0x2000,
    IP4_OFFSET = 0x1fff,
};

enum { IP4_OPT_END = 0, IP4_OPT_NOP = 1, IP4_OPT_LSRR = 131, IP4_OPT_SSRR = 137 };

static inline uint32_t ip4_word(const uint8_t *at)
{
    uint32_t word;

    memcpy(&word, at, sizeof word);
    return word;
}

/* Whether the five words of a header without options add up. */
static inline bool ip4_sum_ok(const uint8_t *data)
{
    uint64_t sum = (uint64_t)ip4_word(data) + ip4_word(data + 4) + ip4_word(data + 8) +
                   ip4_word(data + 12) + ip4_word(data + 16);

    return weir_sum_fold(weir_sum_add((uint32_t)sum, (uint32_t)(sum >> 32))) == 0xffff;
}

static int ip4_options(const uint8_t *data, size_t len)
{
    for (size_t at = 0; at < len && data[at] != IP4_OPT_END;) {
        if (data[at] == IP4_OPT_LSRR || data[at] == IP4_OPT_SSRR)
            return -EBADMSG;
        if (data[at] == IP4_OPT_NOP) {
            at++;
            continue;
        }
        if (len - at < 2 || data[at + 1] < 2 || data[at + 1] > len - at)
            return -EBADMSG;
        at += data[at + 1];
    }
    return 0;
}

/* The header is complete; its flags and offset say that it is a fragment. */
static int ip4_fragment(struct weir_ip4 *ip)
{
    unsigned payload = ip->total_len - (unsigned)ip->header_len;

    if (ip->more_fragments && (payload == 0 || payload % 8 != 0))
        return -EBADMSG;
    return (unsigned)ip->fragment_at + payload + ip->header_len > IP4_MAX ? -EBADMSG : 0;
}

static bool ip4_source_ok(const uint8_t *address)
{
    return address[0] < 224;
}

int weir_ip4_parse(struct weir_ip4 *ip, const uint8_t *data, size_t len, bool checked)
{
    unsigned header, fragment;

    if (weir_unlikely(len < IP4_LEN || data[0] >> 4 != 4))
        return -EBADMSG;
    header = (data[0] & 15u) * 4;
    if (weir_unlikely(header < IP4_LEN || header > len))
        return -EBADMSG;
    ip->header_len = (uint8_t)header;
    ip->tos = data[1];
    ip->total_len = weir_get16(data + 2);
    ip->id = weir_get16(data + 4);
    fragment = weir_get16(data + 6);
    ip->dont_fragment = fragment & IP4_DONT_FRAGMENT;
    ip->more_fragments = fragment & IP4_MORE_FRAGMENTS;
    ip->fragment_at = (uint16_t)((fragment & IP4_OFFSET) * 8);
    ip->ttl = data[8];
    ip->protocol = data[9];
    ip->source = weir_ip_v4(ip4_word(data + 12));
    ip->target = weir_ip_v4(ip4_word(data + 16));
    if (weir_unlikely(ip->total_len < header || ip->total_len > len || !ip4_source_ok(data + 12)))
        return -EBADMSG;
    if (!checked && !(header == IP4_LEN ? ip4_sum_ok(data)
                                        : weir_sum_fold(weir_sum(data, header, 0)) == 0xffff))
        return -EBADMSG;
    if (weir_unlikely(header > IP4_LEN) && ip4_options(data + IP4_LEN, header - IP4_LEN) < 0)
        return -EBADMSG;
    if (weir_unlikely(fragment & (IP4_MORE_FRAGMENTS | IP4_OFFSET)) && ip4_fragment(ip) < 0)
        return -EBADMSG;
    return (int)header;
}

int weir_ip4_emit(uint8_t *to, const struct weir_ip4 *ip)
{
    unsigned fragment = ip->fragment_at / 8u | (ip->dont_fragment ? IP4_DONT_FRAGMENT : 0) |
                        (ip->more_fragments ? IP4_MORE_FRAGMENTS : 0);
    uint32_t word[5] = {
        htonl(0x45u << 24 | (uint32_t)ip->tos << 16 | ip->total_len),
        htonl((uint32_t)ip->id << 16 | fragment),
        htonl((uint32_t)ip->ttl << 24 | (uint32_t)ip->protocol << 16),
        ip->source.word[3],
        ip->target.word[3],
    };
    uint64_t sum = (uint64_t)word[0] + word[1] + word[2] + word[3] + word[4];
    uint16_t folded = weir_sum_fold(weir_sum_add((uint32_t)sum, (uint32_t)(sum >> 32)));

    weir_assert(weir_ip_is_v4(&ip->source) && weir_ip_is_v4(&ip->target));
    weir_assert(ip->total_len >= IP4_LEN && ip->fragment_at % 8 == 0);
    word[2] |= (uint32_t)(uint16_t)~folded << 16;
    memcpy(to, word, sizeof word);
    return IP4_LEN;
}
