/* hist.c - which bucket a value falls into, and reading percentiles back.
 *
 * A bucket's index is the value's highest WEIR_HIST_BITS + 1 bits (its mantissa) and how far they
 * were shifted down; unshifted values index directly.  Neighbouring buckets touch: the first value
 * of bucket i + 1 is one more than the last of bucket i.
 *
 * Invariant: the buckets add up to `count`. */
#include <weir/hist.h>
#include <string.h>
#include "core/base.h"

enum { HALF = 1 << WEIR_HIST_BITS };

static unsigned bucket_index(uint64_t value)
{
    unsigned shift;

    if (value < HALF)
        return (unsigned)value;
    shift = 63u - (unsigned)__builtin_clzll(value) - WEIR_HIST_BITS;
    return shift * HALF + (unsigned)(value >> shift);
}

/* The largest value of a bucket. */
static uint64_t bucket_last(unsigned index)
{
    unsigned shift = index < HALF ? 0 : index / HALF - 1;
    uint64_t mantissa = index - shift * HALF;

    return (mantissa << shift) + ((UINT64_C(1) << shift) - 1);
}

void weir_hist_init(struct weir_hist *hist)
{
    memset(hist, 0, sizeof *hist);
    hist->min = UINT64_MAX;
}

void weir_hist_record(struct weir_hist *hist, uint64_t value)
{
    hist->count++;
    hist->sum += (double)value;
    hist->min = weir_min_u64(hist->min, value);
    hist->max = weir_max_u64(hist->max, value);
    hist->bucket[bucket_index(value)]++;
}

void weir_hist_merge(struct weir_hist *to, const struct weir_hist *from)
{
    to->count += from->count;
    to->sum += from->sum;
    to->min = weir_min_u64(to->min, from->min);
    to->max = weir_max_u64(to->max, from->max);
    for (unsigned i = 0; i < WEIR_HIST_BUCKETS; i++)
        to->bucket[i] += from->bucket[i];
}

/* How many of `count` values `percent` are, rounded up; at least the first. */
static uint64_t rank_of(uint64_t count, double percent)
{
    double exact = (double)count * percent / 100.0;
    uint64_t rank = exact >= (double)count ? count : (uint64_t)exact;

    if ((double)rank < exact && rank < count)
        rank++;
    return weir_max_u64(rank, 1);
}

uint64_t weir_hist_percentile(const struct weir_hist *hist, double percent)
{
    uint64_t left;

    weir_assert(percent >= 0 && percent <= 100);
    if (hist->count == 0)
        return 0;
    left = rank_of(hist->count, percent);
    for (unsigned i = 0; i < WEIR_HIST_BUCKETS; i++) {
        if (hist->bucket[i] >= left)
            return weir_min_u64(bucket_last(i), hist->max);
        left -= hist->bucket[i];
    }
    weir_panic("histogram: the buckets hold fewer than its count");
}

double weir_hist_mean(const struct weir_hist *hist)
{
    return hist->count ? hist->sum / (double)hist->count : 0;
}
