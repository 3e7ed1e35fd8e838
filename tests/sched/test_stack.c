/* test_stack.c - the stacks of a shard: handed out, taken back, and given back to the system. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <cmocka.h>
#include "sched/stack.h"

enum { SIZE = 64 * 1024, EXTRA = 2 * WEIR_STACKS_TRIM + 3, COUNT = WEIR_STACKS_WARM + EXTRA };

static struct weir_stacks stacks;
static char *got[COUNT];

/* All pages above the guard have something in them. */
static void get_all(void)
{
    for (int i = 0; i < COUNT; i++) {
        got[i] = weir_stack_get(&stacks);
        assert_non_null(got[i]);
        memset(got[i] + stacks.page, 0x5a, SIZE - stacks.page);
    }
    assert_int_equal(stacks.live, COUNT);
}

static void put_all(void)
{
    for (int i = 0; i < COUNT; i++)
        weir_stack_put(&stacks, got[i]);
    assert_int_equal(stacks.live, 0);
}

static bool resident(char *page)
{
    unsigned char in;

    assert_int_equal(mincore(page, stacks.page, &in), 0);
    return in & 1;
}

/* Stacks of which nothing but the top page is resident. */
static int trimmed(void)
{
    int count = 0;

    for (int i = 0; i < COUNT; i++) {
        bool has = resident(got[i] + stacks.page);

        assert_true(resident(got[i] + SIZE - stacks.page));
        for (size_t at = stacks.page; at < SIZE - stacks.page; at += stacks.page)
            assert_true(resident(got[i] + at) == has);
        count += !has;
    }
    return count;
}

static void setup(void)
{
    weir_stacks_init(&stacks, SIZE);
    get_all();
    put_all();
}

/* Putting back costs no system call; trimming takes so many at a time, down to those kept warm. */
static void test_trim(void **state)
{
    (void)state;
    setup();
    assert_int_equal(trimmed(), 0);
    for (int left = EXTRA; left > 0;) {
        int now = left < WEIR_STACKS_TRIM ? left : WEIR_STACKS_TRIM;

        assert_true(weir_stacks_trim(&stacks));
        left -= now;
        assert_int_equal(trimmed(), EXTRA - left);
    }
    assert_false(weir_stacks_trim(&stacks));
    assert_int_equal(trimmed(), EXTRA);
    assert_int_equal(stacks.unused, WEIR_STACKS_WARM);
    weir_stacks_free(&stacks);
}

static int pointer_compare(const void *a, const void *b)
{
    uintptr_t x = (uintptr_t) * (char *const *)a, y = (uintptr_t) * (char *const *)b;

    return (x > y) - (x < y);
}

/* The same stacks come again, each once: warm ones first, then trimmed ones. */
static void test_again(void **state)
{
    char *first[COUNT];

    (void)state;
    setup();
    while (weir_stacks_trim(&stacks))
        ;
    memcpy(first, got, sizeof first);
    for (int i = 0; i < COUNT; i++) {
        got[i] = weir_stack_get(&stacks);
        assert_true(resident(got[i] + stacks.page) == (i < WEIR_STACKS_WARM));
    }
    qsort(first, COUNT, sizeof first[0], pointer_compare);
    qsort(got, COUNT, sizeof got[0], pointer_compare);
    assert_memory_equal(first, got, sizeof first);
    put_all();
    weir_stacks_free(&stacks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trim),
        cmocka_unit_test(test_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
