/* test_hist.c - the histogram, against a sorted array. */
#include "testing.h"
#include "core/hist.c"

static struct weir_hist hist, other;

static int hist_setup(void **state)
{
    (void)state;
    weir_hist_init(&hist);
    weir_hist_init(&other);
    return 0;
}

static void test_empty(void **state)
{
    (void)state;
    assert_int_equal(hist.count, 0);
    assert_true(weir_hist_percentile(&hist, 0) == 0);
    assert_true(weir_hist_percentile(&hist, 99.9) == 0);
    assert_true(weir_hist_mean(&hist) == 0);
}

/* Every bucket begins where the one before ends, and the last ends with the last number. */
static void test_buckets_touch(void **state)
{
    uint64_t first = 0;

    (void)state;
    for (unsigned i = 0; i < WEIR_HIST_BUCKETS; i++) {
        uint64_t last = bucket_last(i);

        assert_int_equal(bucket_index(first), i);
        assert_int_equal(bucket_index(last), i);
        assert_true(last >= first && last - first <= first / 128);
        first = last + 1;
    }
    assert_true(first == 0); /* 2^64 */
}

static void test_small_values_are_exact(void **state)
{
    (void)state;
    for (uint64_t value = 1; value <= 100; value++)
        weir_hist_record(&hist, value);
    assert_int_equal(weir_hist_percentile(&hist, 0), 1);
    assert_int_equal(weir_hist_percentile(&hist, 1), 1);
    assert_int_equal(weir_hist_percentile(&hist, 1.001), 2);
    assert_int_equal(weir_hist_percentile(&hist, 50), 50);
    assert_int_equal(weir_hist_percentile(&hist, 99), 99);
    assert_int_equal(weir_hist_percentile(&hist, 99.01), 100);
    assert_int_equal(weir_hist_percentile(&hist, 100), 100);
    assert_true(weir_hist_mean(&hist) == 50.5);
}

static void test_largest_value(void **state)
{
    (void)state;
    weir_hist_record(&hist, UINT64_MAX);
    weir_hist_record(&hist, 0);
    assert_true(weir_hist_percentile(&hist, 100) == UINT64_MAX);
    assert_true(weir_hist_percentile(&hist, 50) == 0);
    assert_true(hist.min == 0 && hist.max == UINT64_MAX);
}

static void test_never_above_the_largest(void **state)
{
    (void)state;
    weir_hist_record(&hist, 1000000);
    assert_int_equal(weir_hist_percentile(&hist, 50), 1000000);
}

static int u64_order(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static void test_percentiles_like_a_sorted_array(void **state)
{
    static const double percents[] = { 0, 0.1, 1, 10, 25, 50, 75, 90, 99, 99.9, 99.99, 100 };
    enum { VALUES = 20001 };
    static uint64_t value[VALUES];
    uint64_t seed = random_seed();
    double sum = 0;

    (void)state;
    for (int i = 0; i < VALUES; i++) {
        value[i] = random_next(&seed) >> random_below(&seed, 64);
        weir_hist_record(&hist, value[i]);
        sum += (double)value[i];
    }
    qsort(value, VALUES, sizeof value[0], u64_order);
    assert_true(hist.min == value[0] && hist.max == value[VALUES - 1]);
    assert_true(weir_hist_mean(&hist) == sum / VALUES);
    for (size_t i = 0; i < WEIR_COUNT(percents); i++) {
        uint64_t exact = value[rank_of(VALUES, percents[i]) - 1];
        uint64_t read = weir_hist_percentile(&hist, percents[i]);

        assert_true(read >= exact && read - exact <= exact / 128);
    }
}

static void test_rank_at_its_edges(void **state)
{
    (void)state;
    assert_int_equal(rank_of(1, 0), 1);
    assert_int_equal(rank_of(1, 100), 1);
    assert_int_equal(rank_of(2, 50), 1);
    assert_int_equal(rank_of(2, 50.1), 2);
    assert_int_equal(rank_of(1000, 99.9), 999);
    assert_true(rank_of(UINT64_MAX, 100) == UINT64_MAX);
}

static void test_merge_is_recording_both(void **state)
{
    static struct weir_hist both;
    uint64_t seed = random_seed();

    (void)state;
    weir_hist_init(&both);
    for (int i = 0; i < 5000; i++) {
        uint64_t value = random_below(&seed, 1000000); /* sums are exact */

        weir_hist_record(&both, value);
        weir_hist_record(random_below(&seed, 2) ? &hist : &other, value);
    }
    weir_hist_merge(&hist, &other);
    assert_memory_equal(&hist, &both, sizeof both);
    weir_hist_init(&other);
    weir_hist_merge(&hist, &other); /* nothing */
    assert_memory_equal(&hist, &both, sizeof both);
}

static void percentile_of(void *arg)
{
    weir_hist_init(&hist);
    weir_hist_percentile(&hist, *(double *)arg);
}

static void test_not_a_percentage_panics(void **state)
{
    double wrong[] = { -0.1, 100.1 };

    (void)state;
    assert_panics(percentile_of, &wrong[0], "percent >= 0");
    assert_panics(percentile_of, &wrong[1], "percent <= 100");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_empty, hist_setup),
        cmocka_unit_test_setup(test_buckets_touch, hist_setup),
        cmocka_unit_test_setup(test_small_values_are_exact, hist_setup),
        cmocka_unit_test_setup(test_largest_value, hist_setup),
        cmocka_unit_test_setup(test_never_above_the_largest, hist_setup),
        cmocka_unit_test_setup(test_percentiles_like_a_sorted_array, hist_setup),
        cmocka_unit_test_setup(test_rank_at_its_edges, hist_setup),
        cmocka_unit_test_setup(test_merge_is_recording_both, hist_setup),
        cmocka_unit_test_setup(test_not_a_percentage_panics, hist_setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
