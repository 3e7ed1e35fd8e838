/* checksum.h - the Internet checksum (RFC 1071), vectorised, alone or fused with a copy.
 *
 * A sum is the one's complement sum of 16-bit words as they stand in memory, kept in 32 bits and
 * not complemented: sums of parts that begin at even offsets are added with weir_sum_add; a part
 * that begins at an odd offset is swapped first.  0xffff and 0 are both zero. */
#ifndef WEIR_NET_NATIVE_CHECKSUM_H
#define WEIR_NET_NATIVE_CHECKSUM_H

#include "core/base.h"

static inline uint32_t weir_sum_add(uint32_t a, uint32_t b)
{
    uint32_t sum = a + b;

    return sum + (sum < a);
}

/* To 16 bits; what goes into a header is ~weir_sum_fold(sum). */
static inline uint16_t weir_sum_fold(uint32_t sum)
{
    sum = (sum >> 16) + (sum & 0xffff);
    sum += sum >> 16;
    return (uint16_t)sum;
}

/* The sum of a part that begins at an odd offset. */
static inline uint32_t weir_sum_swap(uint32_t sum)
{
    return (uint32_t)__builtin_bswap16(weir_sum_fold(sum));
}

/* Adds the bytes; an odd last byte counts as if a zero followed. */
uint32_t weir_sum(const void *data, size_t len, uint32_t sum);

/* The same, and copies them. */
uint32_t weir_sum_copy(void *to, const void *from, size_t len, uint32_t sum);

#endif
