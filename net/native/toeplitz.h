/* toeplitz.h - the hash by which NICs spread flows over queues (Microsoft RSS), and by which we do.
 *
 * Input is source address, destination address, source port, destination port as they stand in a
 * packet that comes in; each set bit adds (XOR) the 32 bits of the key that begin at its place.
 * For every byte of the input a table has the sum of its bits: 12 look-ups for IPv4, 36 for
 * IPv6.  Read by all shards, never written after weir_toeplitz_init. */
#ifndef WEIR_NET_NATIVE_TOEPLITZ_H
#define WEIR_NET_NATIVE_TOEPLITZ_H

#include "core/base.h"

enum { WEIR_TOEPLITZ_KEY = 40, WEIR_TOEPLITZ_INPUT = 36, WEIR_FLOW_TABLE = 128 };

struct weir_toeplitz {
    uint32_t byte[WEIR_TOEPLITZ_INPUT][256]; /* 36 KiB, of which IPv4 uses 12 */
};

/* Microsoft's, which NICs come with: for devices that steer and were told no other. */
extern const uint8_t weir_flow_key[WEIR_TOEPLITZ_KEY];

void weir_toeplitz_init(struct weir_toeplitz *toeplitz, const uint8_t key[WEIR_TOEPLITZ_KEY]);

/* The indirection table: whose a flow with `hash & 127` is.  1 to 256 shards. */
void weir_flow_table_init(uint8_t table[WEIR_FLOW_TABLE], unsigned shards);

/* `len` bytes that stand at `at` in the input. */
static inline uint32_t weir_toeplitz_bytes(const struct weir_toeplitz *toeplitz, unsigned at,
                                           const uint8_t *data, unsigned len)
{
    uint32_t hash = 0;

    for (unsigned i = 0; i < len; i++)
        hash ^= toeplitz->byte[at + i][data[i]];
    return hash;
}

/* A port in host order. */
static inline uint32_t weir_toeplitz_port(const struct weir_toeplitz *toeplitz, unsigned at,
                                          uint16_t port)
{
    return toeplitz->byte[at][port >> 8] ^ toeplitz->byte[at + 1][port & 255];
}

#endif
