/* hist.h - histogram of latencies (or any 64-bit figures), log-linear, in fixed memory.
 *
 * Values below 128 have a bucket each; above, each power of two is cut into 128 buckets, so a value
 * read back is at most 1/128 (0.8%) above what was recorded, whatever its size.  Smallest, largest,
 * count and sum are exact.  Not atomic: one per thread, merged at the end. */
#ifndef WEIR_HIST_H
#define WEIR_HIST_H

#include <weir/base.h>

WEIR_BEGIN

enum { WEIR_HIST_BITS = 7, WEIR_HIST_BUCKETS = (64 - WEIR_HIST_BITS + 1) << WEIR_HIST_BITS };

struct weir_hist {
    uint64_t count;
    uint64_t min, max; /* of what was recorded; UINT64_MAX and 0 while empty */
    double sum;
    uint64_t bucket[WEIR_HIST_BUCKETS]; /* 58 KiB */
};

WEIR_API void weir_hist_init(struct weir_hist *hist);
WEIR_API void weir_hist_record(struct weir_hist *hist, uint64_t value);

/* Adds everything in `from` to `to`. */
WEIR_API void weir_hist_merge(struct weir_hist *to, const struct weir_hist *from);

/* The value that `percent` (0 to 100) of the recorded ones do not exceed: the largest of its
 * bucket, never more than the largest recorded.  0 when nothing was recorded. */
WEIR_API uint64_t weir_hist_percentile(const struct weir_hist *hist, double percent);

/* 0 when nothing was recorded. */
WEIR_API double weir_hist_mean(const struct weir_hist *hist);

WEIR_END

#endif
