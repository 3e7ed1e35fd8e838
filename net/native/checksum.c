/* checksum.c - the Internet checksum, 8 bytes at a time or 64 with AVX2, with or without a copy.
 *
 * The one's complement sum is the same for words of any size and in any order (RFC 1071), so it is
 * kept in 64 bits and folded at the end.  Up to SUM_SHORT bytes a call costs less than the set-up
 * of the vector version.  A tail of less than 8 bytes is taken from a load that ends with the
 * data: nothing outside of it is ever read or written.
 *
 * Invariant: words are taken from even offsets only, so that a part needs no swapping. */
#include "net/native/checksum.h"
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "tails are shifted into place");

#define SUM_INLINE static inline __attribute__((always_inline))

enum { SUM_SHORT = 128 };

SUM_INLINE uint64_t sum_load(const uint8_t *at)
{
    uint64_t word;

    memcpy(&word, at, sizeof word);
    return word;
}

SUM_INLINE uint64_t sum_carry(uint64_t sum, uint64_t word)
{
    bool carry = __builtin_add_overflow(sum, word, &sum);

    return sum + carry;
}

SUM_INLINE uint32_t sum_fold64(uint64_t sum)
{
    return weir_sum_add((uint32_t)sum, (uint32_t)(sum >> 32));
}

/* One word; copied when `to` is not NULL, which is known where this is inlined. */
SUM_INLINE uint64_t sum_word(uint8_t *to, const uint8_t *from, uint64_t sum)
{
    uint64_t word = sum_load(from);

    if (to)
        memcpy(to, &word, sizeof word);
    return sum_carry(sum, word);
}

/* Less than 8 bytes in all. */
SUM_INLINE uint64_t sum_few(uint8_t *to, const uint8_t *from, size_t len)
{
    uint32_t four = 0;
    uint16_t two = 0;
    uint8_t one = 0;
    size_t at = len & 6;

    if (len & 4)
        memcpy(&four, from, 4);
    if (len & 2)
        memcpy(&two, from + (len & 4), 2);
    if (len & 1)
        one = from[at];
    if (to && len & 4)
        memcpy(to, &four, 4);
    if (to && len & 2)
        memcpy(to + (len & 4), &two, 2);
    if (to && len & 1)
        to[at] = one;
    return (uint64_t)four + two + one;
}

/* The last len < 8 bytes, with at least 8 before their end; what was counted already is shifted
 * out. */
SUM_INLINE uint64_t sum_last(uint8_t *to, const uint8_t *from, size_t len, uint64_t sum)
{
    uint64_t word = sum_load(from + len - 8);

    if (to)
        memcpy(to + len - 8, &word, sizeof word);
    return sum_carry(sum, word >> (64 - 8 * len));
}

/* Any length, also as the tail of a longer run when `more`. */
SUM_INLINE uint64_t sum_scalar(uint8_t *to, const uint8_t *from, size_t len, bool more)
{
    uint64_t even = 0, odd = 0;

    if (!more && len < 8)
        return sum_few(to, from, len);
    for (; len >= 16; len -= 16, from += 16) {
        even = sum_word(to, from, even);
        odd = sum_word(to ? to + 8 : NULL, from + 8, odd);
        if (to)
            to += 16;
    }
    if (len >= 8) {
        even = sum_word(to, from, even);
        from += 8;
        to = to ? to + 8 : NULL;
        len -= 8;
    }
    if (len > 0)
        odd = sum_last(to, from, len, odd);
    return sum_carry(even, odd);
}

static __attribute__((noinline)) uint64_t sum_portable(uint8_t *to, const uint8_t *from, size_t len)
{
    return to ? sum_scalar(to, from, len, false) : sum_scalar(NULL, from, len, false);
}

#if defined(__x86_64__)

#define SUM_AVX2 __attribute__((target("avx2")))

/* The eight 32-bit words of a vector into four 64-bit lanes: cannot overflow below 2^34 bytes. */
SUM_INLINE SUM_AVX2 __m256i sum_lanes(__m256i sum, __m256i words)
{
    __m256i low = _mm256_blend_epi32(words, _mm256_setzero_si256(), 0xaa);

    return _mm256_add_epi64(sum, _mm256_add_epi64(low, _mm256_srli_epi64(words, 32)));
}

SUM_INLINE SUM_AVX2 __m256i sum_vector(uint8_t *to, const uint8_t *from, __m256i sum)
{
    __m256i words = _mm256_loadu_si256((const __m256i *)(const void *)from);

    if (to)
        _mm256_storeu_si256((__m256i *)(void *)to, words);
    return sum_lanes(sum, words);
}

SUM_INLINE SUM_AVX2 uint64_t sum_wide(uint8_t *to, const uint8_t *from, size_t len)
{
    __m256i a = _mm256_setzero_si256(), b = a;
    size_t at = 0;
    __m128i half;

    for (; at + 64 <= len; at += 64) {
        a = sum_vector(to ? to + at : NULL, from + at, a);
        b = sum_vector(to ? to + at + 32 : NULL, from + at + 32, b);
    }
    if (at + 32 <= len) {
        a = sum_vector(to ? to + at : NULL, from + at, a);
        at += 32;
    }
    a = _mm256_add_epi64(a, b);
    half = _mm_add_epi64(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    return sum_carry(sum_scalar(to ? to + at : NULL, from + at, len - at, true),
                     (uint64_t)_mm_cvtsi128_si64(half) + (uint64_t)_mm_extract_epi64(half, 1));
}

/* At least 32 bytes. */
static SUM_AVX2 uint64_t sum_avx2(const uint8_t *from, size_t len)
{
    return sum_wide(NULL, from, len);
}

static SUM_AVX2 uint64_t sum_copy_avx2(uint8_t *to, const uint8_t *from, size_t len)
{
    return sum_wide(to, from, len);
}

/* A load and a test: the answer is looked up before main() begins. */
SUM_INLINE bool sum_has_avx2(void)
{
    return __builtin_cpu_supports("avx2");
}

#else

SUM_INLINE bool sum_has_avx2(void)
{
    return false;
}

static uint64_t sum_avx2(const uint8_t *from, size_t len)
{
    return sum_portable(NULL, from, len);
}

static uint64_t sum_copy_avx2(uint8_t *to, const uint8_t *from, size_t len)
{
    return sum_portable(to, from, len);
}

#endif

uint32_t weir_sum(const void *data, size_t len, uint32_t sum)
{
    uint64_t more;

    if (len <= SUM_SHORT)
        more = sum_scalar(NULL, data, len, false);
    else
        more = sum_has_avx2() ? sum_avx2(data, len) : sum_portable(NULL, data, len);
    return weir_sum_add(sum, sum_fold64(more));
}

uint32_t weir_sum_copy(void *to, const void *from, size_t len, uint32_t sum)
{
    uint64_t more;

    if (len <= SUM_SHORT)
        more = sum_scalar(to, from, len, false);
    else
        more = sum_has_avx2() ? sum_copy_avx2(to, from, len) : sum_portable(to, from, len);
    return weir_sum_add(sum, sum_fold64(more));
}
