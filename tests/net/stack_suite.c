/* stack_suite.c - runs the cases on the stack under test, and looks for what they left behind. */
#include "tests/net/stack_suite.h"
#include <dirent.h>
#include <sys/resource.h>
#include "tests/net/suite_stream.c"
#include "tests/net/suite_end.c"
#include "tests/net/suite_listen.c"
#include "tests/net/suite_shards.c"
#include "tests/net/suite_limits.c"
#include "tests/net/suite_share.c"
#include "tests/net/suite_copy.c"

static int descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int count = 0;

    assert_non_null(dir);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

/* Nothing of a case is left on its shard, perhaps after what is under way has come to its end. */
static void suite_main(void *arg)
{
    const struct suite_case *test = arg;
    struct weir_shard_stats stats;
    weir_time patience;

    test->shard_main(NULL);
    patience = SOON;
    do {
        weir_shard_stats(&stats);
        check_int((int64_t)stats.bufs, 0);
        check_int((int64_t)stats.fibers, 1);
        check(weir_now() < patience);
    } while (stats.conns > 0 && weir_sleep(WEIR_US(100)) <= 0);
}

static const struct suite_case *suite_now;

static void suite_seed(uint64_t seed)
{
    seed_now = seed;
    atomic_store(&ready_shards, 0);
    check_int(stack_under_test.run(&suite_now->need, seed, suite_main, (void *)suite_now), 0);
}

static void suite_case_run(void **state)
{
    int before = descriptors();

    suite_now = *state;
    if (stack_under_test.threads)
        suite_seed(1);
    else
        seeds_each(suite_now->need.seeds ? suite_now->need.seeds : 20, suite_seed);
    assert_int_equal(descriptors(), before);
}

/* The bound of the process as high as it may be: some cases open thousands. */
static void descriptors_allow(void)
{
    struct rlimit limit;

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

/* A stack that has no sockets of the kernel is not asked for what is about them. */
static size_t suite_add(struct CMUnitTest *tests, size_t count, const struct suite_case *cases,
                        size_t more)
{
    for (size_t i = 0; i < more; i++) {
        if (cases[i].need.kernel && !stack_under_test.kernel)
            continue;
        if (cases[i].need.real && !stack_under_test.kernel && !stack_under_test.native)
            continue;
        tests[count++] = (struct CMUnitTest){ .name = cases[i].name,
                                              .test_func = suite_case_run,
                                              .initial_state = (void *)(uintptr_t)&cases[i] };
    }
    return count;
}

/* The whole suite, and what the stack adds of its own. */
static int suite_run(const struct CMUnitTest *own, size_t own_count)
{
    struct CMUnitTest tests[100] = { cmocka_unit_test(the_wrong_shard_is_told) };
    size_t count = 1;

    if (stack_under_test.missing && stack_under_test.missing()) {
        printf("skipped: %s\n", stack_under_test.missing());
        return 77;
    }
    descriptors_allow();
    count = suite_add(tests, count, suite_stream, WEIR_COUNT(suite_stream));
    count = suite_add(tests, count, suite_end, WEIR_COUNT(suite_end));
    count = suite_add(tests, count, suite_listen, WEIR_COUNT(suite_listen));
    count = suite_add(tests, count, suite_shards, WEIR_COUNT(suite_shards));
    count = suite_add(tests, count, suite_limits, WEIR_COUNT(suite_limits));
    count = suite_add(tests, count, suite_share, WEIR_COUNT(suite_share));
    count = suite_add(tests, count, suite_copy, WEIR_COUNT(suite_copy));
    for (size_t i = 0; i < own_count; i++)
        tests[count++] = own[i];
    cmocka_set_test_filter(getenv("WEIR_CASE"));
    return _cmocka_run_group_tests(stack_under_test.name, tests, count, NULL, NULL);
}
