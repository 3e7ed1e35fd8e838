/* test_parse.c - strict numbers, sizes and spans of time. */
#include "testing.h"
#include "core/parse.h"
#include <errno.h>

/* What no kind of number may look like. */
static const char *const malformed[] = {
    "",
    " ",
    "-1",
    "+1",
    " 1",
    "1 ",
    "1,",
    "0x10",
    "1.5",
    "1e3",
    "one",
    "1\n",
    "--1",
    "k",
    "1kk",
    "1kb",
    "1k ",
    "1 k",
    "99999999999999999999999999x",
};

static void test_malformed_is_einval(void **state)
{
    uint64_t n = 42;
    weir_time span = 42;

    (void)state;
    for (size_t i = 0; i < WEIR_COUNT(malformed); i++) {
        assert_int_equal(weir_parse_uint(malformed[i], 0, UINT64_MAX, &n), -EINVAL);
        assert_int_equal(weir_parse_size(malformed[i], 0, UINT64_MAX, &n), -EINVAL);
        assert_int_equal(weir_parse_time(malformed[i], 0, INT64_MAX, &span), -EINVAL);
    }
    assert_int_equal(n, 42); /* untouched */
    assert_int_equal(span, 42);
}

static void check_uint(const char *text, uint64_t min, uint64_t max, int err, uint64_t value)
{
    uint64_t n = 42;

    assert_int_equal(weir_parse_uint(text, min, max, &n), err);
    assert_true(n == (err ? 42 : value));
}

static void test_uint(void **state)
{
    (void)state;
    check_uint("0", 0, 0, 0, 0);
    check_uint("007", 0, 9, 0, 7);
    check_uint("1", 2, 9, -ERANGE, 0);
    check_uint("2", 2, 9, 0, 2);
    check_uint("9", 2, 9, 0, 9);
    check_uint("10", 2, 9, -ERANGE, 0);
    check_uint("18446744073709551615", 0, UINT64_MAX, 0, UINT64_MAX);
    check_uint("18446744073709551616", 0, UINT64_MAX, -ERANGE, 0);
    check_uint("99999999999999999999999999", 0, UINT64_MAX, -ERANGE, 0);
    check_uint("1k", 0, UINT64_MAX, -EINVAL, 0);
    check_uint("1s", 0, UINT64_MAX, -EINVAL, 0);
}

static void check_size(const char *text, int err, uint64_t value)
{
    uint64_t n = 42;

    assert_int_equal(weir_parse_size(text, 1, UINT64_MAX, &n), err);
    assert_true(n == (err ? 42 : value));
}

static void test_size(void **state)
{
    (void)state;
    check_size("0", -ERANGE, 0);
    check_size("0k", -ERANGE, 0);
    check_size("1", 0, 1);
    check_size("64k", 0, 65536);
    check_size("64K", 0, 65536);
    check_size("2m", 0, 2 << 20);
    check_size("2M", 0, 2 << 20);
    check_size("3g", 0, UINT64_C(3) << 30);
    check_size("3G", 0, UINT64_C(3) << 30);
    check_size("17179869183g", 0, UINT64_C(17179869183) << 30);
    check_size("17179869184g", -ERANGE, 0);
    check_size("1s", -EINVAL, 0);
    check_size("1t", -EINVAL, 0);
}

static void test_size_within_its_range(void **state)
{
    uint64_t n;

    (void)state;
    assert_int_equal(weir_parse_size("16k", 16384, 65536, &n), 0);
    assert_int_equal(weir_parse_size("16383", 16384, 65536, &n), -ERANGE);
    assert_int_equal(weir_parse_size("64k", 16384, 65536, &n), 0);
    assert_int_equal(weir_parse_size("65537", 16384, 65536, &n), -ERANGE);
}

static void check_time(const char *text, int err, weir_time value)
{
    weir_time span = 42;

    assert_int_equal(weir_parse_time(text, 0, INT64_MAX, &span), err);
    assert_true(span == (err ? 42 : value));
}

static void test_time(void **state)
{
    (void)state;
    check_time("0", 0, 0);
    check_time("0s", 0, 0);
    check_time("7ns", 0, 7);
    check_time("50us", 0, WEIR_US(50));
    check_time("500ms", 0, WEIR_MS(500));
    check_time("10s", 0, WEIR_SEC(10));
    check_time("2m", 0, WEIR_SEC(120));
    check_time("3h", 0, WEIR_SEC(10800));
    check_time("10", -EINVAL, 0); /* of what? */
    check_time("00", -EINVAL, 0);
    check_time("10S", -EINVAL, 0);
    check_time("10sec", -EINVAL, 0);
    check_time("1k", -EINVAL, 0);
    check_time("9223372036854775807ns", 0, INT64_MAX);
    check_time("9223372036854775808ns", -ERANGE, 0);
    check_time("9223372036s", 0, WEIR_SEC(9223372036));
    check_time("9223372037s", -ERANGE, 0);
    check_time("18446744073709551616s", -ERANGE, 0);
    check_time("18446744074s", -ERANGE, 0); /* beyond 64 bits once multiplied */
}

static void test_time_within_its_range(void **state)
{
    weir_time span;

    (void)state;
    assert_int_equal(weir_parse_time("1s", WEIR_SEC(1), WEIR_SEC(2), &span), 0);
    assert_int_equal(weir_parse_time("2s", WEIR_SEC(1), WEIR_SEC(2), &span), 0);
    assert_int_equal(weir_parse_time("999ms", WEIR_SEC(1), WEIR_SEC(2), &span), -ERANGE);
    assert_int_equal(weir_parse_time("2001ms", WEIR_SEC(1), WEIR_SEC(2), &span), -ERANGE);
    assert_int_equal(weir_parse_time("0", WEIR_SEC(1), WEIR_SEC(2), &span), -ERANGE);
}

static void test_digits_stop_behind_the_number(void **state)
{
    const char *text = "12,34";
    uint64_t n = 0;

    (void)state;
    assert_int_equal(weir_parse_digits(&text, &n), 0);
    assert_int_equal(n, 12);
    assert_string_equal(text, ",34");
    assert_int_equal(weir_parse_digits(&text, &n), -EINVAL);
    assert_string_equal(text, ",34");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_malformed_is_einval),
        cmocka_unit_test(test_uint),
        cmocka_unit_test(test_size),
        cmocka_unit_test(test_size_within_its_range),
        cmocka_unit_test(test_time),
        cmocka_unit_test(test_time_within_its_range),
        cmocka_unit_test(test_digits_stop_behind_the_number),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
