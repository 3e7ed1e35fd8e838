/* test_buf.c - counting the owners of a buffer. */
#include "testing.h"
#include <weir/buf.h>
#include "core/base.h"

static int released;

static void count_release(struct weir_buf *buf)
{
    assert_int_equal(buf->refs, 0);
    released++;
}

static void test_last_owner_gives_it_back(void **state)
{
    struct weir_buf buf = { .refs = 1, .release = count_release };

    (void)state;
    released = 0;
    weir_buf_ref(&buf);
    weir_buf_ref(&buf);
    weir_buf_free(&buf);
    weir_buf_free(&buf);
    assert_int_equal(released, 0);
    weir_buf_free(&buf);
    assert_int_equal(released, 1);
}

static void test_null_is_fine(void **state)
{
    (void)state;
    weir_buf_free(NULL);
}

static void free_dead(void *arg)
{
    struct weir_buf buf = { .refs = 1, .release = count_release };

    (void)arg;
    weir_buf_free(&buf);
    weir_buf_free(&buf);
}

static void ref_with(void *arg)
{
    struct weir_buf buf = { .refs = *(uint32_t *)arg, .release = count_release };

    weir_buf_ref(&buf);
}

static void test_dead_buffers_panic(void **state)
{
    uint32_t none = 0, full = UINT32_MAX;

    (void)state;
    assert_panics(free_dead, NULL, "buf->refs > 0");
    assert_panics(ref_with, &none, "buf->refs > 0");
    assert_panics(ref_with, &full, "buf->refs < UINT32_MAX");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_last_owner_gives_it_back),
        cmocka_unit_test(test_null_is_fine),
        cmocka_unit_test(test_dead_buffers_panic),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
