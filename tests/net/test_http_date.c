/* test_http_date.c - the Date field against the C library's calendar. */
#include <time.h>
#include "net/http/server.h"
#include "tests/core/testing.h"

static void check_date(int64_t seconds, const char *want)
{
    char have[WEIR_HTTP_DATE_LEN + 1] = "";

    weir_http_date_format(have, seconds);
    assert_string_equal(have, want);
}

static void check_against_libc(int64_t seconds)
{
    time_t time = seconds;
    char want[64];
    struct tm tm;

    assert_non_null(gmtime_r(&time, &tm));
    assert_int_not_equal(strftime(want, sizeof want, "%a, %d %b %Y %H:%M:%S GMT", &tm), 0);
    check_date(seconds, want);
}

static void known_dates(void **state)
{
    (void)state;
    check_date(784111777, "Sun, 06 Nov 1994 08:49:37 GMT"); /* RFC 9110, 5.6.7 */
    check_date(0, "Thu, 01 Jan 1970 00:00:00 GMT");
    check_date(-1, "Wed, 31 Dec 1969 23:59:59 GMT");
    check_date(951782400, "Tue, 29 Feb 2000 00:00:00 GMT");
    check_date(4107542400, "Mon, 01 Mar 2100 00:00:00 GMT"); /* 2100 has no leap day */
    check_date(4107542399, "Sun, 28 Feb 2100 23:59:59 GMT");
    check_date(253402300799, "Fri, 31 Dec 9999 23:59:59 GMT");
}

static void every_day_of_four_centuries(void **state)
{
    (void)state;
    for (int64_t day = -365; day < 146097; day++)
        check_against_libc(day * 86400 + (day * 7919 + 86400 * 365) % 86400);
}

static void any_second(void **state)
{
    uint64_t random = random_seed();

    (void)state;
    for (int i = 0; i < 200000; i++)
        check_against_libc((int64_t)random_below(&random, 253402300800));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_dates),
        cmocka_unit_test(every_day_of_four_centuries),
        cmocka_unit_test(any_second),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
