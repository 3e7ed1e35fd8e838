/* test_checksum.c - each version of the sum against one that adds 16 bits at a time. */
#include "../core/testing.h"
#include "net/native/checksum.c"

enum { SUM_LONG = 70000 };

static uint8_t bytes[SUM_LONG + 64], copied[SUM_LONG + 64];

/* RFC 1071 as it is written, in memory order. */
static uint16_t naive_sum(const uint8_t *data, size_t len)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < len; i++) {
        sum += (uint32_t)data[i] << (i % 2 * 8);
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return (uint16_t)sum;
}

/* 0xffff and 0 are the same. */
static uint16_t folded(uint32_t sum)
{
    uint16_t fold = weir_sum_fold(sum);

    return fold == 0xffff ? 0 : fold;
}

static uint16_t naive(const uint8_t *data, size_t len)
{
    return folded(naive_sum(data, len));
}

static void bytes_fill(uint64_t *random)
{
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)random_next(random);
}

/* The copy is there, and not a byte more of it. */
static void check_copied(size_t at, size_t from, size_t len)
{
    assert_memory_equal(copied + at, bytes + from, len);
    for (size_t i = 1; i <= 8; i++) {
        assert_int_equal(copied[at - i], 0x5a);
        assert_int_equal(copied[at + len + i - 1], 0x5a);
    }
}

static void check_sums(size_t from, size_t to, size_t len)
{
    uint16_t want = naive(bytes + from, len);

    assert_int_equal(folded(weir_sum(bytes + from, len, 0)), want);
    assert_int_equal(folded(sum_fold64(sum_portable(NULL, bytes + from, len))), want);
    memset(copied + to - 8, 0x5a, len + 16);
    assert_int_equal(folded(weir_sum_copy(copied + to, bytes + from, len, 0)), want);
    check_copied(to, from, len);
    memset(copied + to - 8, 0x5a, len + 16);
    assert_int_equal(folded(sum_fold64(sum_portable(copied + to, bytes + from, len))), want);
    check_copied(to, from, len);
    if (len < 32 || !sum_has_avx2())
        return;
    assert_int_equal(folded(sum_fold64(sum_avx2(bytes + from, len))), want);
    memset(copied + to - 8, 0x5a, len + 16);
    assert_int_equal(folded(sum_fold64(sum_copy_avx2(copied + to, bytes + from, len))), want);
    check_copied(to, from, len);
}

static void test_every_length_and_offset(void **state)
{
    uint64_t random = random_seed();

    (void)state;
    bytes_fill(&random);
    for (size_t len = 0; len <= 300; len++)
        for (size_t offset = 0; offset < 8; offset++)
            check_sums(offset, 8 + random_below(&random, 8), len);
}

static void test_long_ones(void **state)
{
    uint64_t random = random_seed();

    (void)state;
    bytes_fill(&random);
    for (int i = 0; i < 200; i++)
        check_sums(random_below(&random, 8), 8 + random_below(&random, 8),
                   300 + random_below(&random, SUM_LONG - 300));
    check_sums(0, 8, SUM_LONG);
}

/* All ones carry at every step. */
static void test_all_ones(void **state)
{
    (void)state;
    memset(bytes, 0xff, sizeof bytes);
    for (size_t len = 0; len <= 300; len++)
        check_sums(0, 8, len);
    check_sums(1, 8, SUM_LONG);
    memset(bytes, 0, sizeof bytes);
    assert_int_equal(weir_sum(bytes, SUM_LONG, 0), 0);
    assert_int_equal(weir_sum(bytes, 0, 7), 7);
    assert_int_equal(weir_sum(bytes, 3, UINT32_MAX), UINT32_MAX);
}

/* In two parts: the second is swapped when it begins odd. */
static void test_joins(void **state)
{
    uint64_t random = random_seed();

    (void)state;
    bytes_fill(&random);
    for (int i = 0; i < 5000; i++) {
        size_t len = random_below(&random, 3000), cut = random_below(&random, len + 1);
        uint32_t head = weir_sum(bytes, cut, 0);
        uint32_t tail = weir_sum(bytes + cut, len - cut, 0);

        if (cut % 2 == 0)
            assert_int_equal(folded(weir_sum(bytes + cut, len - cut, head)), naive(bytes, len));
        else
            tail = weir_sum_swap(tail);
        assert_int_equal(folded(weir_sum_add(head, tail)), naive(bytes, len));
    }
}

/* The example of RFC 1071 3. */
static void test_rfc_1071(void **state)
{
    static const uint8_t data[] = { 0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7 };

    (void)state;
    assert_int_equal(__builtin_bswap16(weir_sum_fold(weir_sum(data, sizeof data, 0))), 0xddf2);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_length_and_offset),
        cmocka_unit_test(test_long_ones),
        cmocka_unit_test(test_all_ones),
        cmocka_unit_test(test_joins),
        cmocka_unit_test(test_rfc_1071),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
