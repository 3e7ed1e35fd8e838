/* udp_suite.c - runs the datagram cases on the stack under test, and looks for what they left. */
#include "tests/net/udp_suite.h"
#include <dirent.h>
#include <unistd.h>
#include "tests/net/udp_suite_data.c"
#include "tests/net/udp_suite_end.c"
#include "tests/net/udp_suite_shards.c"

static int udp_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int count = 0;

    assert_non_null(dir);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

static const struct suite_case *udp_case;

static void udp_suite_main(void *arg)
{
    struct weir_shard_stats stats;

    (void)arg;
    udp_case->shard_main(NULL);
    weir_shard_stats(&stats);
    check_int((int64_t)stats.bufs, 0);
    check_int((int64_t)stats.fibers, 1);
}

static void udp_suite_seed(uint64_t seed)
{
    seed_now = seed;
    atomic_store(&udp_ready, 0);
    check_int(udp_under_test.run(&udp_case->need, seed, udp_suite_main, NULL), 0);
}

static void udp_suite_case_run(void **state)
{
    int before = udp_descriptors();

    udp_case = *state;
    if (udp_under_test.kernel)
        udp_suite_seed(1);
    else
        seeds_each(udp_case->need.seeds ? udp_case->need.seeds : 20, udp_suite_seed);
    assert_int_equal(udp_descriptors(), before);
}

static size_t udp_suite_add(struct CMUnitTest *tests, size_t count, const struct suite_case *cases,
                            size_t more)
{
    for (size_t i = 0; i < more; i++) {
        if (cases[i].need.kernel && !udp_under_test.kernel)
            continue;
        tests[count++] = (struct CMUnitTest){ .name = cases[i].name,
                                              .test_func = udp_suite_case_run,
                                              .initial_state = (void *)(uintptr_t)&cases[i] };
    }
    return count;
}

/* The whole suite, and what the stack adds of its own. */
static int udp_suite_run(const struct CMUnitTest *own, size_t own_count)
{
    struct CMUnitTest tests[100] = { cmocka_unit_test(the_wrong_shard_is_told),
                                     cmocka_unit_test(what_is_left_open_is_told) };
    size_t count = 2;

    if (udp_under_test.missing && udp_under_test.missing()) {
        printf("skipped: %s\n", udp_under_test.missing());
        return 77;
    }
    count = udp_suite_add(tests, count, udp_suite_data, WEIR_COUNT(udp_suite_data));
    count = udp_suite_add(tests, count, udp_suite_end, WEIR_COUNT(udp_suite_end));
    count = udp_suite_add(tests, count, udp_suite_shards, WEIR_COUNT(udp_suite_shards));
    for (size_t i = 0; i < own_count; i++)
        tests[count++] = own[i];
    cmocka_set_test_filter(getenv("WEIR_CASE"));
    return _cmocka_run_group_tests(udp_under_test.name, tests, count, NULL, NULL);
}
