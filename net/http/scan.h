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
#define HTTP_TARGET_SET                                                                         \
    {                                                                                           \
        {                                                                                       \
            0xb8, 0xfc, 0xf8, 0xf8, 0xfc, 0xf8, 0xfc, 0xfc, 0xfc, 0xfc, 0xfc, 0x7c, 0x54, 0x7c, \
                0xd4, 0x74                                                                      \
        }                                                                                       \
    }
static const struct http_set http_target = HTTP_TARGET_SET;

/* RFC 3986, 3.2.2: reg-name, but for '%'. */
#define HTTP_HOST_SET                                                                           \
    {                                                                                           \
        {                                                                                       \
            0xa8, 0xfc, 0xf8, 0xf8, 0xfc, 0xf8, 0xfc, 0xfc, 0xfc, 0xfc, 0xf4, 0x5c, 0x54, 0x5c, \
                0xd4, 0x70                                                                      \
        }                                                                                       \
    }
static const struct http_set http_host = HTTP_HOST_SET;

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

/* What 64 bytes are, one bit each, the first byte lowest: not a tchar; and not in a field value. */
struct http_block {
    uint64_t nontoken, nonvalue;
};

enum { HTTP_BLOCK = 64 };

#define HTTP_TWICE(...)          \
    {                            \
        __VA_ARGS__, __VA_ARGS__ \
    }
#define HTTP_ALL32(x) HTTP_TWICE(x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x)

/* Sorts every byte into one of three kinds by two table lookups: a tchar gives 4 and more; one that
 * is neither that nor allowed in a field value 1 to 3; all others 0.  Rows 2 to 7 of `row` and
 * their bits in `low` are http_token; the lowest two bits tell controls: bit 0 those of row 0 but
 * TAB, bit 1 what is missing then: 0x19 and DEL. */
static const struct http_kinds {
    _Alignas(32) uint8_t low[32], row[32], nibble[32], three[32], bit[32];
    struct http_set target, host;
} http_kinds = {
    HTTP_TWICE(0xe9, 0xfd, 0xf9, 0xfd, 0xfd, 0xfd, 0xfd, 0xfd, 0xf9, 0xfa, 0xf5, 0x55, 0xd1, 0x55,
               0xf5, 0x73),
    HTTP_TWICE(1, 3, 4, 8, 16, 32, 64, 128 | 2, 0, 0, 0, 0, 0, 0, 0, 0),
    HTTP_ALL32(15),
    HTTP_ALL32(3),
    HTTP_TWICE(1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128),
    HTTP_TARGET_SET,
    HTTP_HOST_SET,
};

/* Hidden from the compiler, which knows how to make such constants anew in three instructions each,
 * everywhere; as operands in memory they cost none. */
HTTP_INLINE const struct http_kinds *http_kinds_hidden(void)
{
    const struct http_kinds *kinds = &http_kinds;

    __asm__("" : "+r"(kinds));
    return kinds;
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

/* Defines http_block_ISA from http_half_ISA, which looks at 32 bytes.  The bits of bytes from `end`
 * on are clear; where there are less than 32 bytes in all, all are. */
#define HTTP_BLOCK_DEFINE(isa, attributes)                                       \
    HTTP_INLINE attributes struct http_block http_block_##isa(                   \
        const struct http_kinds *kinds, const char *data, size_t at, size_t end) \
    {                                                                            \
        size_t len = end - at < HTTP_BLOCK ? end - at : HTTP_BLOCK;              \
        struct http_block low, high;                                             \
                                                                                 \
        if (len > 32) {                                                          \
            low = http_half_##isa(kinds, data + at);                             \
            high = http_half_##isa(kinds, data + at + len - 32);                 \
            low.nontoken |= high.nontoken << (len - 32);                         \
            low.nonvalue |= high.nonvalue << (len - 32);                         \
            return low;                                                          \
        }                                                                        \
        if (end < 32)                                                            \
            return (struct http_block){ 0, 0 };                                  \
        low = http_half_##isa(kinds, data + end - 32);                           \
        low.nontoken >>= 32 - len;                                               \
        low.nonvalue >>= 32 - len;                                               \
        return low;                                                              \
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

HTTP_INLINE HTTP_SSSE3 __m128i http_load_ssse3(const void *at)
{
    return _mm_load_si128((const __m128i *)at);
}

HTTP_INLINE HTTP_SSSE3 struct http_block http_quarter_ssse3(const struct http_kinds *kinds,
                                                            const char *p)
{
    __m128i c = _mm_loadu_si128((const __m128i *)(const void *)p);
    __m128i high = _mm_and_si128(_mm_srli_epi16(c, 4), http_load_ssse3(kinds->nibble));
    __m128i kind = _mm_and_si128(_mm_shuffle_epi8(http_load_ssse3(kinds->low), c),
                                 _mm_shuffle_epi8(http_load_ssse3(kinds->row), high));
    __m128i nontoken = _mm_cmpeq_epi8(_mm_min_epu8(kind, http_load_ssse3(kinds->three)), kind);
    __m128i neither = _mm_cmpeq_epi8(kind, _mm_setzero_si128());

    return (struct http_block){ (uint32_t)_mm_movemask_epi8(nontoken),
                                (uint32_t)_mm_movemask_epi8(_mm_andnot_si128(neither, nontoken)) };
}

HTTP_INLINE HTTP_SSSE3 struct http_block http_half_ssse3(const struct http_kinds *kinds,
                                                         const char *p)
{
    struct http_block low = http_quarter_ssse3(kinds, p), high = http_quarter_ssse3(kinds, p + 16);

    return (struct http_block){ low.nontoken | high.nontoken << 16,
                                low.nonvalue | high.nonvalue << 16 };
}

HTTP_BLOCK_DEFINE(ssse3, HTTP_SSSE3)

/* How many of the 32 bytes at `p`, from the first on, are in the set. */
HTTP_INLINE HTTP_SSSE3 size_t http_run_ssse3(const struct http_kinds *kinds, const char *p,
                                             const struct http_set *set)
{
    uint64_t stops = 1ull << 32;

    (void)kinds;
    stops |= http_stops_set_ssse3(p, set) | http_stops_set_ssse3(p + 16, set) << 16;
    return (size_t)__builtin_ctzll(stops);
}

/* --- AVX2 (2013).  AVX-512 with masked loads was tried and lost: fields are short, and the way
 * from a comparison through a mask register to a number is longer. --- */

#define HTTP_AVX2 __attribute__((target("avx2,bmi,bmi2")))

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

HTTP_INLINE HTTP_AVX2 __m256i http_load_avx2(const void *at)
{
    return _mm256_load_si256((const __m256i *)at);
}

HTTP_INLINE HTTP_AVX2 struct http_block http_half_avx2(const struct http_kinds *kinds,
                                                       const char *p)
{
    __m256i c = _mm256_loadu_si256((const __m256i *)(const void *)p);
    __m256i high = _mm256_and_si256(_mm256_srli_epi16(c, 4), http_load_avx2(kinds->nibble));
    __m256i kind = _mm256_and_si256(_mm256_shuffle_epi8(http_load_avx2(kinds->low), c),
                                    _mm256_shuffle_epi8(http_load_avx2(kinds->row), high));
    __m256i nontoken = _mm256_cmpeq_epi8(_mm256_min_epu8(kind, http_load_avx2(kinds->three)), kind);
    __m256i neither = _mm256_cmpeq_epi8(kind, _mm256_setzero_si256());

    return (struct http_block){ (uint32_t)_mm256_movemask_epi8(nontoken),
                                (uint32_t)_mm256_movemask_epi8(
                                    _mm256_andnot_si256(neither, nontoken)) };
}

HTTP_BLOCK_DEFINE(avx2, HTTP_AVX2)

HTTP_INLINE HTTP_AVX2 size_t http_run_avx2(const struct http_kinds *kinds, const char *p,
                                           const struct http_set *set)
{
    __m256i low =
        _mm256_broadcastsi128_si256(_mm_load_si128((const __m128i *)(const void *)set->low));
    __m256i c = _mm256_loadu_si256((const __m256i *)(const void *)p);
    __m256i high = _mm256_and_si256(_mm256_srli_epi16(c, 4), http_load_avx2(kinds->nibble));
    __m256i in = _mm256_and_si256(_mm256_shuffle_epi8(low, c),
                                  _mm256_shuffle_epi8(http_load_avx2(kinds->bit), high));
    __m256i out = _mm256_cmpeq_epi8(in, _mm256_setzero_si256());

    return _tzcnt_u32((uint32_t)_mm256_movemask_epi8(out)); /* of 0: 32 */
}

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
