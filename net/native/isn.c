/* isn.c - initial sequence numbers and timestamp offsets that nobody outside can guess.
 *
 * RFC 6528: ISN = M + F(addresses, ports, secret), with M a clock of 4 us and F a keyed PRF, here
 * SipHash-2-4 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012).  So the numbers
 * of one flow grow with time, as TIME-WAIT and its reuse need, and those of another flow tell
 * nothing about them.  The other half of the PRF's result moves the flow's timestamps (RFC 7323
 * 5.4). */
#include "net/native/tcp_in.h"

struct sip {
    uint64_t v0, v1, v2, v3;
};

static inline uint64_t sip_rotate(uint64_t x, unsigned by)
{
    return (x << by) | (x >> (64 - by));
}

static inline void sip_round(struct sip *s)
{
    s->v0 += s->v1;
    s->v1 = sip_rotate(s->v1, 13) ^ s->v0;
    s->v0 = sip_rotate(s->v0, 32);
    s->v2 += s->v3;
    s->v3 = sip_rotate(s->v3, 16) ^ s->v2;
    s->v0 += s->v3;
    s->v3 = sip_rotate(s->v3, 21) ^ s->v0;
    s->v2 += s->v1;
    s->v1 = sip_rotate(s->v1, 17) ^ s->v2;
    s->v2 = sip_rotate(s->v2, 32);
}

static inline void sip_word(struct sip *s, uint64_t word)
{
    s->v3 ^= word;
    sip_round(s);
    sip_round(s);
    s->v0 ^= word;
}

/* The last word: what is left of the bytes, little-endian, and the length in the top byte. */
static uint64_t sip_tail(const uint8_t *at, size_t len)
{
    uint64_t word = (uint64_t)len << 56;

    for (size_t i = 0; i < len % 8; i++)
        word |= (uint64_t)at[i] << (8 * i);
    return word;
}

uint64_t weir_siphash(const uint64_t key[2], const void *data, size_t len)
{
    struct sip s = { key[0] ^ UINT64_C(0x736f6d6570736575), key[1] ^ UINT64_C(0x646f72616e646f6d),
                     key[0] ^ UINT64_C(0x6c7967656e657261), key[1] ^ UINT64_C(0x7465646279746573) };
    const uint8_t *at = data;
    uint64_t word;

    for (size_t i = 0; i < len / 8; i++, at += 8) {
        memcpy(&word, at, sizeof word); /* little-endian machines only, like all of weir */
        sip_word(&s, word);
    }
    sip_word(&s, sip_tail(at, len));
    s.v2 ^= 0xff;
    for (int i = 0; i < 4; i++)
        sip_round(&s);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

/* The tuple without padding: 36 bytes. */
static uint64_t isn_prf(const struct weir_native *native, const struct weir_flow_key *key)
{
    uint8_t tuple[36];

    memcpy(tuple, &key->local, 16);
    memcpy(tuple + 16, &key->remote, 16);
    memcpy(tuple + 32, &key->local_port, 2);
    memcpy(tuple + 34, &key->remote_port, 2);
    return weir_siphash(native->tcp->secret, tuple, sizeof tuple);
}

weir_seq weir_tcp_isn(const struct weir_native *native, const struct weir_flow_key *key)
{
    return (weir_seq)(weir_native_now(native) / WEIR_US(4)) + (weir_seq)isn_prf(native, key);
}

uint32_t weir_tcp_ts_offset(const struct weir_native *native, const struct weir_flow_key *key)
{
    return (uint32_t)(isn_prf(native, key) >> 32);
}
