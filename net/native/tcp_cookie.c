/* tcp_cookie.c - SYN cookies: half-open connections that live on the wire (RFC 4987 3.6).
 *
 * When a listener has no room for one more SYN, the answer's sequence number carries all there is
 * to remember: 5 bits of a 64-second clock, 3 bits of an MSS table, 24 bits of a keyed hash over
 * both, the flow and the peer's ISN.  The key is derived from the secret for each tick of that
 * clock, so what was learnt about one key is worth nothing two minutes later.  Window scale and
 * SACK go into the low bits of our timestamp, which comes back in the ACK; a peer without
 * timestamps does without them.
 *
 * A guess is good with a chance of 2 (ticks) in 2^24, and buys what a spoofed handshake buys. */
#include "net/native/tcp_in.h"

enum {
    COOKIE_TICK_S = 64,
    COOKIE_TICKS = 2,     /* this one and the last: good for 64 to 128 s */
    COOKIE_TS_BITS = 5,   /* wscale 4, SACK 1 */
    COOKIE_NO_SCALE = 15, /* 14 is the largest there is (RFC 7323 2.3) */
};

/* The minima of RFC 9293 and 6691, tunnels, and Ethernet; the largest not above the peer's. */
static const uint16_t cookie_mss[8] = { 216, 536, 1024, 1220, 1360, 1440, 1460, 8940 };

static uint32_t cookie_clock(weir_time now)
{
    return (uint32_t)(now / WEIR_SEC(COOKIE_TICK_S));
}

static uint32_t cookie_mac(const struct weir_tcp_layer *layer, uint32_t tick,
                           const struct weir_flow_key *key, weir_seq irs, uint32_t mss_index)
{
    uint32_t label[2][2] = { { 0x636f6f6b, tick }, { 0x6b6f6f63, tick } };
    uint32_t tail[3] = { irs, mss_index,
                         (uint32_t)key->local_port << 16 | (uint32_t)key->remote_port };
    uint64_t tick_key[2];
    uint8_t block[44];

    for (int i = 0; i < 2; i++)
        tick_key[i] = weir_siphash(layer->secret, label[i], sizeof label[i]);
    memcpy(block, &key->local, 16);
    memcpy(block + 16, &key->remote, 16);
    memcpy(block + 32, tail, sizeof tail);
    return (uint32_t)weir_siphash(tick_key, block, sizeof block) & 0xffffff;
}

static uint32_t cookie_mss_index(uint16_t mss)
{
    uint32_t i = WEIR_COUNT(cookie_mss) - 1;

    while (i > 0 && cookie_mss[i] > mss)
        i--;
    return i;
}

weir_seq weir_cookie_make(const struct weir_tcp_layer *layer, weir_time now,
                          const struct weir_flow_key *key, weir_seq irs, uint16_t mss)
{
    uint32_t tick = cookie_clock(now), index = cookie_mss_index(mss);

    return tick << 27 | index << 24 | cookie_mac(layer, tick, key, irs, index);
}

bool weir_cookie_check(const struct weir_tcp_layer *layer, weir_time now,
                       const struct weir_flow_key *key, weir_seq irs, weir_seq cookie,
                       uint16_t *mss)
{
    uint32_t tick = cookie_clock(now), index = cookie >> 24 & 7;
    uint32_t age = (tick - (cookie >> 27)) & 31;

    if (age >= COOKIE_TICKS ||
        (cookie & 0xffffff) != cookie_mac(layer, tick - age, key, irs, index))
        return false;
    *mss = cookie_mss[index];
    return true;
}

uint32_t weir_cookie_ts_make(uint32_t ts, uint8_t wscale, bool sack)
{
    uint32_t bits = (wscale > 14 ? COOKIE_NO_SCALE : wscale) | (uint32_t)sack << 4;
    uint32_t made = (ts >> COOKIE_TS_BITS << COOKIE_TS_BITS) | bits;

    return made - ts <= INT32_MAX && made != ts ? made - (1U << COOKIE_TS_BITS) : made;
}

void weir_cookie_ts_read(struct weir_cookie *cookie, uint32_t ts)
{
    uint8_t wscale = ts & 15;

    cookie->wscale = wscale == COOKIE_NO_SCALE ? 255 : wscale;
    cookie->sack = ts >> 4 & 1;
}
