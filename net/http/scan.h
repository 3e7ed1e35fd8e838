/* scan.h - the inner loops of the parser: how far does a run of allowed bytes reach?
 *
 * Two questions, each answered by every instruction set that we know: the first byte from `at` on
 * that is not in a set (http_scan_set_*), and the first that may not stand in a field value
 * (http_scan_value_*).  Both return `end` when there is none.
 *
 * Policy: never a byte beyond `end` nor before `data` is read.  What is left at the end of a run is
 * tested by a vector that overlaps bytes already seen, or byte by byte.
 *
 * parser.c compiles itself with each version and chooses at run time; others use the sets alone. */
#ifndef WEIR_NET_HTTP_SCAN_H
#define WEIR_NET_HTTP_SCAN_H

#include <string.h>
#include "core/base.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "first byte in memory: lowest bits");

#define HTTP_INLINE static inline __attribute__((always_inline))

/* A set of ASCII characters, for two table lookups a byte: character c is in it when bit c >> 4 of
 * low[c & 15] is set.  Bytes of 0x80 and more are in no set. */
struct http_set {
    _Alignas(16) uint8_t low[16];
};

/* RFC 9110, 5.6.2: tchar. */
static const struct http_set http_token = { { 0xe8, 0xfc, 0xf8, 0xfc, 0xfc, 0xfc, 0xfc, 0xfc, 0xf8,
                                              0xf8, 0xf4, 0x54, 0xd0, 0x54, 0xf4, 0x70 } };

/* RFC 3986, 2.2 and 2.3: unreserved and reserved characters, but for '?' and '#' ('%' is neither).
 */
static const struct http_set http_target = { { 0xb8, 0xfc, 0xf8, 0xf8, 0xfc, 0xf8, 0xfc, 0xfc, 0xfc,
                                               0xfc, 0xfc, 0x7c, 0x54, 0x7c, 0xd4, 0x74 } };

/* RFC 3986, 3.2.2: reg-name, but for '%'. */
static const struct http_set http_host = { { 0xa8, 0xfc, 0xf8, 0xf8, 0xfc, 0xf8, 0xfc, 0xfc, 0xfc,
                                             0xfc, 0xf4, 0x5c, 0x54, 0x5c, 0xd4, 0x70 } };

HTTP_INLINE bool http_set_has(const struct http_set *set, char c)
{
    uint8_t byte = (uint8_t)c;

    return byte < 0x80 && (set->low[byte & 15] >> (byte >> 4) & 1) != 0;
}

/* RFC 9110, 5.5: field-vchar, obs-text, SP and HTAB. */
HTTP_INLINE bool http_value_has(char c)
{
    uint8_t byte = (uint8_t)c;

    return (byte >= 0x20 && byte != 0x7f) || byte == '\t';
}

HTTP_INLINE bool http_is_hex(char c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

/* All scans have one shape; those of values need no set. */
#define HTTP_NO_SET const struct http_set *set __attribute__((unused))

/* --- portable --- */

HTTP_INLINE size_t http_scan_set_portable(const char *data, size_t at, size_t end,
                                          const struct http_set *set)
{
    while (at < end && http_set_has(set, data[at]))
        at++;
    return at;
}

/* The highest bit of each byte below 0x20 or equal to 0x7f.  Bits above the lowest one set may be
 * wrong (borrows), the lowest never is. */
HTTP_INLINE uint64_t http_controls_u64(uint64_t x)
{
    const uint64_t ones = 0x0101010101010101u;
    uint64_t del = x ^ ones * 0x7f;

    return (((x - ones * 0x20) & ~x) | ((del - ones) & ~del)) & ones * 0x80;
}

HTTP_INLINE size_t http_scan_value_portable(const char *data, size_t at, size_t end, HTTP_NO_SET)
{
    while (end - at >= 8) {
        uint64_t x, controls;

        memcpy(&x, data + at, 8);
        controls = http_controls_u64(x);
        if (controls == 0) {
            at += 8;
            continue;
        }
        at += (size_t)__builtin_ctzll(controls) / 8;
        if (data[at] != '\t')
            return at;
        at++;
    }
    while (at < end && http_value_has(data[at]))
        at++;
    return at;
}

/* Defines http_scan_WHAT_ISA from http_stops_WHAT_ISA, which looks at WIDTH bytes and returns a
 * mask with BITS bits a byte, set where the run stops.  Where there are less than WIDTH bytes in
 * all, the version of NARROWER does it. */
#define HTTP_SCAN_DEFINE(what, isa, attributes, width, bits, narrower)                             \
    HTTP_INLINE attributes size_t http_scan_##what##_##isa(const char *data, size_t at,            \
                                                           size_t end, const struct http_set *set) \
    {                                                                                              \
        uint64_t mask;                                                                             \
                                                                                                   \
        for (; end - at >= (width); at += (width)) {                                               \
            mask = http_stops_##what##_##isa(data + at, set);                                      \
            if (mask != 0)                                                                         \
                return at + (size_t)__builtin_ctzll(mask) / (bits);                                \
        }                                                                                          \
        if (at == end)                                                                             \
            return end;                                                                            \
        if (end < (width))                                                                         \
            return http_scan_##what##_##narrower(data, at, end, set);                              \
        mask = http_stops_##what##_##isa(data + end - (width), set);                               \
        mask >>= ((width) - (end - at)) * (bits);                                                  \
        return mask != 0 ? at + (size_t)__builtin_ctzll(mask) / (bits) : end;                      \
    }

#if defined(__x86_64__)

/* --- SSSE3 (2006) --- */

#define HTTP_SSSE3 __attribute__((target("ssse3")))

HTTP_INLINE HTTP_SSSE3 uint64_t http_stops_set_ssse3(const char *p, const struct http_set *set)
{
    const __m128i bit = _mm_set1_epi64x((long long)0x8040201008040201u);
    __m128i low = _mm_load_si128((const __m128i *)(const void *)set->low);
    __m128i c = _mm_loadu_si128((const __m128i *)(const void *)p);
    __m128i high = _mm_and_si128(_mm_srli_epi16(c, 4), _mm_set1_epi8(15));
    __m128i in = _mm_and_si128(_mm_shuffle_epi8(low, c), _mm_shuffle_epi8(bit, high));

    return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(in, _mm_setzero_si128()));
}

HTTP_INLINE HTTP_SSSE3 uint64_t http_stops_value_ssse3(const char *p, HTTP_NO_SET)
{
    __m128i c = _mm_loadu_si128((const __m128i *)(const void *)p);
    __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(c, _mm_set1_epi8(0x1f)), c);
    __m128i tab = _mm_cmpeq_epi8(c, _mm_set1_epi8('\t'));
    __m128i del = _mm_cmpeq_epi8(c, _mm_set1_epi8(0x7f));

    return (uint32_t)_mm_movemask_epi8(_mm_or_si128(_mm_andnot_si128(tab, control), del));
}

HTTP_SCAN_DEFINE(set, ssse3, HTTP_SSSE3, 16, 1, portable)
HTTP_SCAN_DEFINE(value, ssse3, HTTP_SSSE3, 16, 1, portable)

/* --- AVX2 (2013).  AVX-512 with masked loads was tried and lost: fields are short, and the way
 * from a comparison through a mask register to a number is longer. --- */

#define HTTP_AVX2 __attribute__((target("avx2,bmi")))

HTTP_INLINE HTTP_AVX2 uint64_t http_stops_set_avx2(const char *p, const struct http_set *set)
{
    const __m256i bit = _mm256_set1_epi64x((long long)0x8040201008040201u);
    __m256i low =
        _mm256_broadcastsi128_si256(_mm_load_si128((const __m128i *)(const void *)set->low));
    __m256i c = _mm256_loadu_si256((const __m256i *)(const void *)p);
    __m256i high = _mm256_and_si256(_mm256_srli_epi16(c, 4), _mm256_set1_epi8(15));
    __m256i in = _mm256_and_si256(_mm256_shuffle_epi8(low, c), _mm256_shuffle_epi8(bit, high));

    return (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(in, _mm256_setzero_si256()));
}

HTTP_INLINE HTTP_AVX2 uint64_t http_stops_value_avx2(const char *p, HTTP_NO_SET)
{
    __m256i c = _mm256_loadu_si256((const __m256i *)(const void *)p);
    __m256i control = _mm256_cmpeq_epi8(_mm256_min_epu8(c, _mm256_set1_epi8(0x1f)), c);
    __m256i tab = _mm256_cmpeq_epi8(c, _mm256_set1_epi8('\t'));
    __m256i del = _mm256_cmpeq_epi8(c, _mm256_set1_epi8(0x7f));

    return (uint32_t)_mm256_movemask_epi8(_mm256_or_si256(_mm256_andnot_si256(tab, control), del));
}

HTTP_SCAN_DEFINE(set, avx2, HTTP_AVX2, 32, 1, ssse3)
HTTP_SCAN_DEFINE(value, avx2, HTTP_AVX2, 32, 1, ssse3)

#elif defined(__aarch64__)

/* --- NEON: a mask of four bits a byte, for want of a movemask --- */

HTTP_INLINE uint64_t http_mask_neon(uint8x16_t bytes)
{
    return vget_lane_u64(vreinterpret_u64_u8(vshrn_n_u16(vreinterpretq_u16_u8(bytes), 4)), 0);
}

HTTP_INLINE uint64_t http_stops_set_neon(const char *p, const struct http_set *set)
{
    static const uint8_t bit[16] = { 1, 2, 4, 8, 16, 32, 64, 128 };
    uint8x16_t c = vld1q_u8((const uint8_t *)p);
    uint8x16_t low = vqtbl1q_u8(vld1q_u8(set->low), vandq_u8(c, vdupq_n_u8(15)));
    uint8x16_t in = vtstq_u8(low, vqtbl1q_u8(vld1q_u8(bit), vshrq_n_u8(c, 4)));

    return http_mask_neon(vmvnq_u8(in));
}

HTTP_INLINE uint64_t http_stops_value_neon(const char *p, HTTP_NO_SET)
{
    uint8x16_t c = vld1q_u8((const uint8_t *)p);
    uint8x16_t control = vbicq_u8(vcltq_u8(c, vdupq_n_u8(0x20)), vceqq_u8(c, vdupq_n_u8('\t')));

    return http_mask_neon(vorrq_u8(control, vceqq_u8(c, vdupq_n_u8(0x7f))));
}

HTTP_SCAN_DEFINE(set, neon, , 16, 4, portable)
HTTP_SCAN_DEFINE(value, neon, , 16, 4, portable)

#endif
#endif
