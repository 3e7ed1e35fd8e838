/* flows.c - whose a packet is: which shard's by a hash, which connection's by a table.
 *
 * The table is open addressing over buckets of one cache line: eight words of 16 bits of hash and
 * 48 bits of pointer, so that a look-up touches one line of the table and the flow it was after.
 * A flow that finds its bucket full goes into the next one that is not.  It is never more than
 * three quarters full, so every walk ends; it never grows, so no packet pays for that; its pages
 * are touched as they are used.
 *
 * The figure it goes by is the flow's hash, multiplied: those of one shard have the same
 * low bits.
 *
 * Invariants: a bucket's words in use come first; between the bucket where a flow belongs and the
 * one where it stands, all are full. */
#include <errno.h>
#include <sys/mman.h>
#include "net/native/native.h"
#include "net/native/toeplitz.h"
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

enum {
    FLOWS_SLOTS = 8,              /* words per bucket */
    FLOWS_LOAD = 6,               /* of those, on average, in use at most */
    FLOWS_HUGE = 2 << 20,         /* from here on, bigger pages are worth it */
    FLOWS_MAX = FLOWS_LOAD << 24, /* as many buckets as the figure tells apart */
};

#define FLOWS_POINTER ((UINT64_C(1) << 48) - 1)

/* --- hash and shard --- */

uint32_t weir_flow_hash(const struct weir_native *native, const struct weir_flow_key *key)
{
    const struct weir_toeplitz *toeplitz = native->toeplitz;
    unsigned at = weir_ip_is_v4(&key->remote) ? 4 : 16;

    if (weir_likely(at == 4))
        return weir_toeplitz_bytes(toeplitz, 0, key->remote.byte + 12, 4) ^
               weir_toeplitz_bytes(toeplitz, 4, key->local.byte + 12, 4) ^
               weir_toeplitz_port(toeplitz, 8, key->remote_port) ^
               weir_toeplitz_port(toeplitz, 10, key->local_port);
    return weir_toeplitz_bytes(toeplitz, 0, key->remote.byte, 16) ^
           weir_toeplitz_bytes(toeplitz, 16, key->local.byte, 16) ^
           weir_toeplitz_port(toeplitz, 32, key->remote_port) ^
           weir_toeplitz_port(toeplitz, 34, key->local_port);
}

unsigned weir_flow_shard(const struct weir_native *native, uint32_t hash)
{
    return native->flow_table[hash % WEIR_FLOW_TABLE];
}

/* --- the table --- */

/* Tag in the upper 16 bits, bucket from bit 24 on. */
static inline uint64_t flows_figure(uint32_t hash)
{
    return hash * UINT64_C(0x9e3779b97f4a7c15);
}

static inline uint32_t flows_home(const struct weir_flows *flows, uint32_t hash)
{
    return (uint32_t)(flows_figure(hash) >> 24) & flows->mask;
}

static inline uint64_t *flows_bucket(const struct weir_flows *flows, uint32_t index)
{
    return flows->bucket + (size_t)index * FLOWS_SLOTS;
}

static inline struct weir_flow *flows_flow(uint64_t word)
{
    return (struct weir_flow *)(uintptr_t)(word & FLOWS_POINTER);
}

static inline uint64_t flows_word(uint32_t hash, const struct weir_flow *flow)
{
    uint64_t pointer = (uintptr_t)flow;

    weir_assert(pointer != 0 && pointer <= FLOWS_POINTER);
    return (flows_figure(hash) & ~FLOWS_POINTER) | pointer;
}

static inline bool flows_full(const uint64_t *bucket)
{
    return bucket[FLOWS_SLOTS - 1] != 0;
}

static unsigned flows_used(const uint64_t *bucket)
{
    unsigned used = 0;

    while (used < FLOWS_SLOTS && bucket[used])
        used++;
    return used;
}

/* One bit for each word of the bucket with this tag; unused ones have tag 0. */
#if defined(__SSE2__)
static inline unsigned flows_match(const uint64_t *bucket, uint16_t tag)
{
    const __m128 *pair = (const __m128 *)(const void *)bucket;
    /* the upper half of each word ... */
    __m128i low = _mm_castps_si128(_mm_shuffle_ps(pair[0], pair[1], 0xdd));
    __m128i high = _mm_castps_si128(_mm_shuffle_ps(pair[2], pair[3], 0xdd));
    /* ... and of that the upper half, sign and all, so that packing keeps it */
    __m128i tags = _mm_packs_epi32(_mm_srai_epi32(low, 16), _mm_srai_epi32(high, 16));
    __m128i same = _mm_cmpeq_epi16(tags, _mm_set1_epi16((int16_t)tag));

    return (unsigned)_mm_movemask_epi8(_mm_packs_epi16(same, _mm_setzero_si128()));
}
#else
static inline unsigned flows_match(const uint64_t *bucket, uint16_t tag)
{
    unsigned match = 0;

    for (unsigned i = 0; i < FLOWS_SLOTS; i++)
        match |= (unsigned)(bucket[i] >> 48 == tag) << i;
    return match;
}
#endif

static inline bool flows_same(const struct weir_flow_key *a, const struct weir_flow_key *b)
{
    uint64_t differ = (a->remote.half[0] ^ b->remote.half[0]) |
                      (a->remote.half[1] ^ b->remote.half[1]) |
                      (a->local.half[0] ^ b->local.half[0]) | (a->local.half[1] ^ b->local.half[1]);

    return (differ | (uint64_t)(a->remote_port ^ b->remote_port) |
            (uint64_t)(a->local_port ^ b->local_port)) == 0;
}

int weir_flows_init(struct weir_flows *flows, uint32_t max)
{
    uint32_t buckets = 1;
    size_t size;
    void *memory;

    if (max > FLOWS_MAX)
        return -EINVAL;
    while ((uint64_t)buckets * FLOWS_LOAD < max)
        buckets *= 2;
    size = (size_t)buckets * FLOWS_SLOTS * sizeof *flows->bucket;
    memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                  -1, 0);
    if (memory == MAP_FAILED)
        return -errno;
    if (size >= FLOWS_HUGE)
        madvise(memory, size, MADV_HUGEPAGE);
    *flows = (struct weir_flows){ .bucket = memory, .mask = buckets - 1, .max = max };
    return 0;
}

void weir_flows_free(struct weir_flows *flows)
{
    weir_assert(flows->count == 0);
    munmap(flows->bucket, ((size_t)flows->mask + 1) * FLOWS_SLOTS * sizeof *flows->bucket);
    flows->bucket = NULL;
}

void weir_flows_prefetch(const struct weir_flows *flows, uint32_t hash)
{
    __builtin_prefetch(flows_bucket(flows, flows_home(flows, hash)));
}

struct weir_flow *weir_flows_find(const struct weir_flows *flows, uint32_t hash,
                                  const struct weir_flow_key *key)
{
    uint16_t tag = (uint16_t)(flows_figure(hash) >> 48);

    for (uint32_t at = flows_home(flows, hash);; at = (at + 1) & flows->mask) {
        const uint64_t *bucket = flows_bucket(flows, at);

        for (unsigned match = flows_match(bucket, tag); match; match &= match - 1) {
            struct weir_flow *flow = flows_flow(bucket[__builtin_ctz(match)]);

            if (flow && flow->hash == hash && flows_same(&flow->key, key))
                return flow;
        }
        if (!flows_full(bucket))
            return NULL;
    }
}

int weir_flows_add(struct weir_flows *flows, struct weir_flow *flow)
{
    uint32_t at = flows_home(flows, flow->hash);
    uint64_t *bucket = flows_bucket(flows, at);

    if (flows->count == flows->max)
        return -ENOBUFS;
    weir_assert(!weir_flows_find(flows, flow->hash, &flow->key)); /* one at a time has a key */
    while (flows_full(bucket)) {
        at = (at + 1) & flows->mask;
        bucket = flows_bucket(flows, at);
    }
    bucket[flows_used(bucket)] = flows_word(flow->hash, flow);
    flows->count++;
    flows->changes++;
    return 0;
}

/* --- leaving --- */

/* The place of a flow that is in the table. */
static uint64_t *flows_place(const struct weir_flows *flows, const struct weir_flow *flow,
                             uint32_t *at)
{
    uint64_t word = flows_word(flow->hash, flow);

    for (*at = flows_home(flows, flow->hash);; *at = (*at + 1) & flows->mask) {
        uint64_t *bucket = flows_bucket(flows, *at);

        for (unsigned i = 0; i < FLOWS_SLOTS; i++)
            if (bucket[i] == word)
                return &bucket[i];
        weir_assert(flows_full(bucket)); /* else the flow is not in the table */
    }
}

/* The bucket's last word moves to the place that became free. */
static void flows_close_up(uint64_t *bucket, uint64_t *place)
{
    unsigned last = flows_used(bucket) - 1;

    *place = bucket[last];
    bucket[last] = 0;
}

/* A word in bucket `from` whose flow may stand in bucket `to`, on its way there; or NULL. */
static uint64_t *flows_movable(const struct weir_flows *flows, uint32_t from, uint32_t to)
{
    uint64_t *bucket = flows_bucket(flows, from);

    for (unsigned i = 0; i < FLOWS_SLOTS && bucket[i]; i++) {
        uint32_t home = flows_home(flows, flows_flow(bucket[i])->hash);

        if (((from - home) & flows->mask) >= ((from - to) & flows->mask))
            return &bucket[i];
    }
    return NULL;
}

/* Bucket `hole` was full and is no more: what went past it comes back, until the walk comes to one
 * that was not full, which nothing has gone past. */
static void flows_pull(struct weir_flows *flows, uint32_t hole)
{
    for (uint32_t at = (hole + 1) & flows->mask;; at = (at + 1) & flows->mask) {
        uint64_t *bucket = flows_bucket(flows, at);
        bool was_full = flows_full(bucket);
        uint64_t *place = flows_movable(flows, at, hole);

        if (place) {
            flows_bucket(flows, hole)[FLOWS_SLOTS - 1] = *place;
            flows_close_up(bucket, place);
            hole = at;
        }
        if (!was_full)
            return;
    }
}

void weir_flows_del(struct weir_flows *flows, struct weir_flow *flow)
{
    uint32_t at;
    uint64_t *place = flows_place(flows, flow, &at);
    uint64_t *bucket = flows_bucket(flows, at);
    bool was_full = flows_full(bucket);

    flows_close_up(bucket, place);
    flows->count--;
    flows->changes++;
    if (was_full)
        flows_pull(flows, at);
}

struct weir_flow *weir_flows_at(const struct weir_flows *flows, size_t at)
{
    return flows_flow(flows->bucket[at]);
}

size_t weir_flows_places(const struct weir_flows *flows)
{
    return ((size_t)flows->mask + 1) * FLOWS_SLOTS;
}
