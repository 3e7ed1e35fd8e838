/* test_cpu.c - CPU lists, cgroup quotas (on a made-up /proc and /sys), pinning, the cycle counter.
 */
#include "testing.h"
#include "core/cpu.c"
#include <ftw.h>
#include <sys/stat.h>

/* --- "0,2-3" --- */

static void check_list(const char *text, const unsigned *cpus, unsigned count)
{
    struct weir_cpu_list list = { .count = 99 };

    assert_int_equal(weir_cpu_parse(&list, text), 0);
    assert_int_equal(list.count, count);
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(list.cpu[i], cpus[i]);
}

static void test_lists(void **state)
{
    (void)state;
    check_list("0", (unsigned[]){ 0 }, 1);
    check_list("0,2-3", (unsigned[]){ 0, 2, 3 }, 3);
    check_list("5-5", (unsigned[]){ 5 }, 1);
    check_list("3,1,2,1", (unsigned[]){ 1, 2, 3 }, 3);
    check_list("4-6,5-7,0", (unsigned[]){ 0, 4, 5, 6, 7 }, 5);
    check_list("1023", (unsigned[]){ 1023 }, 1);
}

static void test_list_of_all(void **state)
{
    struct weir_cpu_list list;

    (void)state;
    assert_int_equal(weir_cpu_parse(&list, "0-1023"), 0);
    assert_int_equal(list.count, WEIR_CPUS_MAX);
    assert_int_equal(list.cpu[1023], 1023);
}

static void test_lists_refused(void **state)
{
    static const struct {
        const char *text;
        int err;
    } wrong[] = {
        { "", -EINVAL },
        { ",", -EINVAL },
        { "0,", -EINVAL },
        { ",0", -EINVAL },
        { "0,,1", -EINVAL },
        { "-", -EINVAL },
        { "1-", -EINVAL },
        { "-1", -EINVAL },
        { "3-2", -EINVAL },
        { "0-1-2", -EINVAL },
        { "a", -EINVAL },
        { "0 1", -EINVAL },
        { " 0", -EINVAL },
        { "0\n", -EINVAL },
        { "0x1", -EINVAL },
        { "1024", -ERANGE },
        { "0-1024", -ERANGE },
        { "4294967296", -ERANGE },
        { "99999999999999999999", -ERANGE },
    };
    struct weir_cpu_list list = { .count = 1, .cpu = { 7 } };

    (void)state;
    for (size_t i = 0; i < WEIR_COUNT(wrong); i++)
        assert_int_equal(weir_cpu_parse(&list, wrong[i].text), wrong[i].err);
    assert_int_equal(list.count, 1); /* untouched */
    assert_int_equal(list.cpu[0], 7);
}

/* --- affinity --- */

static void *pin_to_each(void *arg)
{
    const struct weir_cpu_list *all = arg;

    for (unsigned i = 0; i < all->count; i++) {
        struct weir_cpu_list one;

        if (weir_cpu_pin(all->cpu[i]) != 0 || sched_getcpu() != all->cpu[i])
            return arg;
        if (weir_cpu_allowed(&one) != 0 || one.count != 1 || one.cpu[0] != all->cpu[i])
            return arg;
    }
    return NULL;
}

static void test_pin_to_each_allowed(void **state)
{
    struct weir_cpu_list all, after;
    pthread_t thread;
    void *failed;

    (void)state;
    assert_int_equal(weir_cpu_allowed(&all), 0);
    assert_true(all.count > 0);
    for (unsigned i = 1; i < all.count; i++)
        assert_true(all.cpu[i - 1] < all.cpu[i]);
    assert_int_equal(pthread_create(&thread, NULL, pin_to_each, &all), 0);
    assert_int_equal(pthread_join(thread, &failed), 0);
    assert_null(failed);
    assert_int_equal(weir_cpu_allowed(&after), 0); /* ours is as it was */
    assert_int_equal(after.count, all.count);
}

static void test_pin_beyond_what_there_is(void **state)
{
    (void)state;
    assert_int_equal(weir_cpu_pin(WEIR_CPUS_MAX), -EINVAL);
    assert_int_equal(weir_cpu_pin(WEIR_CPUS_MAX - 1), -EINVAL); /* the kernel's own answer */
}

/* --- quota --- */

static char root[64];

static int root_setup(void **state)
{
    (void)state;
    strcpy(root, "/tmp/weir-test-XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static int root_teardown(void **state)
{
    (void)state;
    return nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* Writes a file below the root, and the directories that lead to it. */
static void put(const char *path, const char *text)
{
    char full[512];
    FILE *file;

    snprintf(full, sizeof full, "%s%s", root, path);
    for (char *slash = full + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        mkdir(full, 0700);
        *slash = '/';
    }
    file = fopen(full, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void test_no_cgroup_no_limit(void **state)
{
    (void)state;
    assert_int_equal(weir_cpu_quota(root), 0);
    put("/proc/self/cgroup", "0::/user/app\n");
    assert_int_equal(weir_cpu_quota(root), 0);
}

static void test_v2_is_rounded_up(void **state)
{
    static const struct {
        const char *text;
        unsigned cpus;
    } cases[] = {
        { "max 100000\n", 0 },     { "100000 100000\n", 1 }, { "100001 100000\n", 2 },
        { "150000 100000\n", 2 },  { "200000 100000\n", 2 }, { "1000 100000\n", 1 },
        { "1600000 50000\n", 32 }, { "300000 100000", 3 },   { "", 0 },
        { "100000\n", 0 },         { "0 100000\n", 0 },      { "100000 0\n", 0 },
        { "junk junk\n", 0 },      { "-1 100000\n", 0 },
    };

    (void)state;
    put("/proc/self/cgroup", "0::/app\n");
    for (size_t i = 0; i < WEIR_COUNT(cases); i++) {
        put("/sys/fs/cgroup/app/cpu.max", cases[i].text);
        assert_int_equal(weir_cpu_quota(root), cases[i].cpus);
    }
}

static void test_v2_smallest_on_the_way_up(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "0::/a/b/c\n");
    put("/sys/fs/cgroup/a/b/c/cpu.max", "400000 100000\n");
    assert_int_equal(weir_cpu_quota(root), 4);
    put("/sys/fs/cgroup/a/cpu.max", "300000 100000\n"); /* none of b: no controller there */
    assert_int_equal(weir_cpu_quota(root), 3);
    put("/sys/fs/cgroup/a/b/cpu.max", "500000 100000\n");
    assert_int_equal(weir_cpu_quota(root), 3);
    put("/sys/fs/cgroup/a/b/c/cpu.max", "max 100000\n");
    assert_int_equal(weir_cpu_quota(root), 3);
    put("/sys/fs/cgroup/other/cpu.max", "100000 100000\n"); /* not on our way */
    put("/sys/fs/cgroup/a/b/c/d/cpu.max", "100000 100000\n");
    assert_int_equal(weir_cpu_quota(root), 3);
    put("/sys/fs/cgroup/cpu.max", "200000 100000\n");
    assert_int_equal(weir_cpu_quota(root), 2);
}

/* In a container its own cgroup is mounted as the root, whatever /proc calls it. */
static void test_v2_in_a_container(void **state)
{
    (void)state;
    put("/sys/fs/cgroup/cpu.max", "150000 100000\n");
    put("/proc/self/cgroup", "0::/docker/0123456789abcdef\n");
    assert_int_equal(weir_cpu_quota(root), 2);
    put("/proc/self/cgroup", "0::/\n");
    assert_int_equal(weir_cpu_quota(root), 2);
    put("/proc/self/cgroup", "0::/../..\n");
    assert_int_equal(weir_cpu_quota(root), 2);
}

static void test_v1(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "9:memory:/elsewhere\n"
                             "4:cpuset:/elsewhere\n"
                             "3:cpu,cpuacct:/job/1\n"
                             "1:name=systemd:/job\n");
    put("/sys/fs/cgroup/cpu/elsewhere/cpu.cfs_quota_us", "100000\n");
    put("/sys/fs/cgroup/cpu/elsewhere/cpu.cfs_period_us", "100000\n");
    put("/sys/fs/cgroup/cpu/job/1/cpu.cfs_quota_us", "-1\n");
    put("/sys/fs/cgroup/cpu/job/1/cpu.cfs_period_us", "100000\n");
    assert_int_equal(weir_cpu_quota(root), 0);
    put("/sys/fs/cgroup/cpu/job/cpu.cfs_quota_us", "250000\n"); /* no period: not a limit */
    assert_int_equal(weir_cpu_quota(root), 0);
    put("/sys/fs/cgroup/cpu/job/cpu.cfs_period_us", "100000\n");
    assert_int_equal(weir_cpu_quota(root), 3);
}

static void test_v1_mounted_under_both_names(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "3:cpuacct,cpu:/\n");
    put("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "500000\n");
    put("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
    assert_int_equal(weir_cpu_quota(root), 5);
}

static void test_hybrid_takes_the_smaller(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "2:cpu:/x\n0::/y\n");
    put("/sys/fs/cgroup/cpu/x/cpu.cfs_quota_us", "700000\n");
    put("/sys/fs/cgroup/cpu/x/cpu.cfs_period_us", "100000\n");
    assert_int_equal(weir_cpu_quota(root), 7);
    put("/sys/fs/cgroup/unified/y/cpu.max", "600000 100000\n");
    assert_int_equal(weir_cpu_quota(root), 6);
}

static void test_broken_lines_are_skipped(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "\n:\n::\nnonsense\n0:\n1:cpu\n0::/z\n");
    put("/sys/fs/cgroup/z/cpu.max", "100000 100000\n");
    assert_int_equal(weir_cpu_quota(root), 1);
}

/* --- the cycle counter --- */

static void test_cycles_grow(void **state)
{
    uint64_t last = weir_cycles();

    (void)state;
    for (int i = 0; i < 100000; i++) {
        uint64_t now = weir_cycles();

        assert_true(now >= last);
        last = now;
    }
}

/* Over ten times the span of the calibration, the two clocks stay within 1%, plus rounding. */
static void test_cycles_agree_with_the_clock(void **state)
{
    uint64_t rate = weir_cycles_per_us();
    struct clock_pair start = clock_pair_read(), end;
    uint64_t expected, measured;

    (void)state;
    assert_true(rate > 0);
    do
        end = clock_pair_read();
    while (end.ns - start.ns < 10 * CALIBRATION_NS);
    expected = (end.ns - start.ns) * rate / 1000;
    measured = end.cycles - start.cycles;
    assert_true(measured <= expected + expected / 100 + expected / rate);
    assert_true(measured >= expected - expected / 100 - expected / rate);
}

static void *read_rate(void *arg)
{
    *(uint64_t *)arg = weir_cycles_per_us();
    return NULL;
}

static void test_rate_is_one_for_all_threads(void **state)
{
    enum { THREADS = 4 };
    pthread_t thread[THREADS];
    uint64_t rate[THREADS];

    (void)state;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, read_rate, &rate[i]), 0);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(thread[i], NULL);
        assert_int_equal(rate[i], weir_cycles_per_us());
    }
}

#define quota_test(fn) cmocka_unit_test_setup_teardown(fn, root_setup, root_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rate_is_one_for_all_threads), /* first: it races for the measuring */
        cmocka_unit_test(test_cycles_grow),
        cmocka_unit_test(test_cycles_agree_with_the_clock),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_list_of_all),
        cmocka_unit_test(test_lists_refused),
        cmocka_unit_test(test_pin_to_each_allowed),
        cmocka_unit_test(test_pin_beyond_what_there_is),
        quota_test(test_no_cgroup_no_limit),
        quota_test(test_v2_is_rounded_up),
        quota_test(test_v2_smallest_on_the_way_up),
        quota_test(test_v2_in_a_container),
        quota_test(test_v1),
        quota_test(test_v1_mounted_under_both_names),
        quota_test(test_hybrid_takes_the_smaller),
        quota_test(test_broken_lines_are_skipped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
