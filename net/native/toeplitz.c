/* toeplitz.c - the tables of the RSS hash. */
#include "net/native/toeplitz.h"

const uint8_t weir_flow_key[WEIR_TOEPLITZ_KEY] = {
    0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
    0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
    0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
};

/* The 32 bits of the key from `bit` of byte `at` on. */
static uint32_t toeplitz_window(const uint8_t *key, unsigned at, unsigned bit)
{
    uint64_t bits = 0;

    for (unsigned i = 0; i < 5; i++)
        bits = bits << 8 | (at + i < WEIR_TOEPLITZ_KEY ? key[at + i] : 0);
    return (uint32_t)(bits >> (8 - bit));
}

void weir_toeplitz_init(struct weir_toeplitz *toeplitz, const uint8_t key[WEIR_TOEPLITZ_KEY])
{
    for (unsigned at = 0; at < WEIR_TOEPLITZ_INPUT; at++)
        for (unsigned value = 0; value < 256; value++) {
            toeplitz->byte[at][value] = 0;
            for (unsigned bit = 0; bit < 8; bit++)
                if (value & (0x80u >> bit))
                    toeplitz->byte[at][value] ^= toeplitz_window(key, at, bit);
        }
}

void weir_flow_table_init(uint8_t table[WEIR_FLOW_TABLE], unsigned shards)
{
    weir_assert(shards > 0 && shards <= 256);
    for (unsigned i = 0; i < WEIR_FLOW_TABLE; i++)
        table[i] = (uint8_t)(i % shards);
}
