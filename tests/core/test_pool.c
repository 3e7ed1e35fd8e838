/* test_pool.c - objects of one size; memory can be refused to it. */
#include "testing.h"
#include <errno.h>

static int memory_refused;
static char *memory_last; /* what was handed out last, and how much */
static size_t memory_size;

static int test_posix_memalign(void **memory, size_t align, size_t size)
{
    int err = memory_refused ? ENOMEM : posix_memalign(memory, align, size);

    if (!err) {
        memory_last = *memory;
        memory_size = size;
    }
    return err;
}

#define posix_memalign test_posix_memalign
#include "core/pool.c"
#undef posix_memalign

static void test_max_is_the_bound(void **state)
{
    struct weir_pool pool;
    void *object[3];

    (void)state;
    weir_pool_init(&pool, 24, 8, 3);
    for (int i = 0; i < 3; i++)
        assert_non_null(object[i] = weir_pool_get(&pool));
    assert_null(weir_pool_get(&pool));
    assert_int_equal(pool.live, 3);
    weir_pool_put(&pool, object[1]);
    assert_ptr_equal(weir_pool_get(&pool), object[1]);
    assert_null(weir_pool_get(&pool));
    for (int i = 0; i < 3; i++)
        weir_pool_put(&pool, object[i]);
    weir_pool_free(&pool);
}

static void test_max_of_none(void **state)
{
    struct weir_pool pool;

    (void)state;
    weir_pool_init(&pool, 24, 8, 0);
    assert_null(weir_pool_get(&pool));
    weir_pool_free(&pool);
}

static void test_last_back_is_first_out(void **state)
{
    struct weir_pool pool;
    void *a, *b;

    (void)state;
    weir_pool_init(&pool, 100, 16, 10);
    a = weir_pool_get(&pool);
    b = weir_pool_get(&pool);
    weir_pool_put(&pool, a);
    weir_pool_put(&pool, b);
    assert_ptr_equal(weir_pool_get(&pool), b);
    assert_ptr_equal(weir_pool_get(&pool), a);
    weir_pool_put(&pool, a);
    weir_pool_put(&pool, b);
    weir_pool_free(&pool);
}

/* Fills each object and sees later that no other one wrote there. */
static void check_objects(size_t size, size_t align, uint32_t count)
{
    struct weir_pool pool;
    unsigned char **object = calloc(count, sizeof *object);

    assert_non_null(object);
    weir_pool_init(&pool, size, align, count);
    for (uint32_t i = 0; i < count; i++) {
        assert_non_null(object[i] = weir_pool_get(&pool));
        assert_int_equal((uintptr_t)object[i] % align, 0);
        assert_true((char *)object[i] >= memory_last);
        assert_true((char *)object[i] + size <= memory_last + memory_size);
        memset(object[i], (int)(i % 251), size);
    }
    assert_null(weir_pool_get(&pool));
    for (uint32_t i = 0; i < count; i++) {
        for (size_t at = 0; at < size; at++)
            assert_int_equal(object[i][at], i % 251);
        weir_pool_put(&pool, object[i]);
    }
    assert_int_equal(pool.live, 0);
    weir_pool_free(&pool);
    free(object);
}

static void test_objects_are_aligned_and_apart(void **state)
{
    (void)state;
    check_objects(1, 8, 20000); /* several chunks of the smallest */
    check_objects(72, 64, 3000);
    check_objects(4096, 4096, 40);
    check_objects(65536 - 8, 8, 3); /* one a chunk, exactly */
    check_objects(65536 - 7, 8, 3); /* larger than a chunk */
    check_objects(200000, 8, 3);
    check_objects(1000, 64, 6000); /* on into huge pages */
    check_objects(3000000, 64, 3); /* longer than one of those */
    check_objects(16, 65536, 3);   /* alignment larger than a chunk */
}

static void test_memory_is_taken_as_needed(void **state)
{
    struct weir_pool pool;
    void *object[2];

    (void)state;
    weir_pool_init(&pool, 40000, 8, 1000000);
    assert_null(pool.chunks);
    object[0] = weir_pool_get(&pool);
    assert_int_equal(pool.made, 1);
    memory_refused = 1;
    assert_null(weir_pool_get(&pool));
    assert_int_equal(pool.live, 1);
    weir_pool_put(&pool, object[0]);
    assert_ptr_equal(weir_pool_get(&pool), object[0]); /* needs no memory */
    memory_refused = 0;
    assert_non_null(object[1] = weir_pool_get(&pool)); /* and it recovers */
    weir_pool_put(&pool, object[0]);
    weir_pool_put(&pool, object[1]);
    weir_pool_free(&pool);
}

static void test_used_again_after_free(void **state)
{
    struct weir_pool pool;
    void *object;

    (void)state;
    weir_pool_init(&pool, 8, 8, 2);
    for (int i = 0; i < 3; i++) {
        assert_non_null(object = weir_pool_get(&pool));
        weir_pool_put(&pool, object);
        weir_pool_free(&pool);
    }
}

/* Random traffic: an object that is out is nobody else's. */
static void test_random_traffic(void **state)
{
    enum { MOST = 3000 };
    static uint64_t *out[MOST];
    uint64_t seed = random_seed();
    struct weir_pool pool;
    uint32_t count = 0;

    (void)state;
    weir_pool_init(&pool, 48, 16, MOST);
    for (int i = 0; i < 200000; i++) {
        if (random_below(&seed, 2) && count < MOST) {
            assert_non_null(out[count] = weir_pool_get(&pool));
            out[count][5] = (uintptr_t)out[count];
            count++;
        } else if (count > 0) {
            uint64_t pick = random_below(&seed, count);

            assert_true(out[pick][5] == (uintptr_t)out[pick]);
            out[pick][5] = 0;
            weir_pool_put(&pool, out[pick]);
            out[pick] = out[--count];
        }
        assert_int_equal(pool.live, count);
    }
    while (count > 0)
        weir_pool_put(&pool, out[--count]);
    weir_pool_free(&pool);
}

static void misuse(void *arg)
{
    struct weir_pool pool;
    void *object;

    weir_pool_init(&pool, 8, 8, 2);
    object = weir_pool_get(&pool);
    switch (*(int *)arg) {
    case 0:
        weir_pool_free(&pool);
        break;
    case 1:
        weir_pool_get(&pool);
        weir_pool_put(&pool, object);
        weir_pool_put(&pool, object);
        break;
    case 2:
        weir_pool_put(&pool, object);
        weir_pool_put(&pool, &pool);
        break;
    case 3:
        weir_pool_put(&pool, NULL);
        break;
    default:
        weir_pool_init(&pool, 8, 24, 2);
    }
}

static void test_misuse_panics(void **state)
{
    static const char *const says[] = { "pool->live == 0", "object != pool->free", "pool->live > 0",
                                        "object &&", "align" };

    (void)state;
    for (int i = 0; i < (int)WEIR_COUNT(says); i++)
        assert_panics(misuse, &i, says[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_max_is_the_bound),
        cmocka_unit_test(test_max_of_none),
        cmocka_unit_test(test_last_back_is_first_out),
        cmocka_unit_test(test_objects_are_aligned_and_apart),
        cmocka_unit_test(test_memory_is_taken_as_needed),
        cmocka_unit_test(test_used_again_after_free),
        cmocka_unit_test(test_random_traffic),
        cmocka_unit_test(test_misuse_panics),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
