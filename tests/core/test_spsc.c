/* test_spsc.c - the ring between two threads. */
#include "testing.h"
#include "core/spsc.h"
#include <pthread.h>
#include <sched.h>

static struct weir_spsc ring;

static void *item(uint64_t number)
{
    return (void *)(uintptr_t)number;
}

/* Pushes first, first + 1, ...; returns how many went in. */
static uint32_t push_from(uint64_t first, uint32_t count)
{
    void *items[2 * WEIR_SPSC_SIZE];

    assert_true(count <= WEIR_COUNT(items));
    for (uint32_t i = 0; i < count; i++)
        items[i] = item(first + i);
    return weir_spsc_push(&ring, items, count);
}

/* Pops up to count and requires first, first + 1, ...; returns how many came out. */
static uint32_t pop_from(uint64_t first, uint32_t count)
{
    void *items[2 * WEIR_SPSC_SIZE];
    uint32_t n;

    assert_true(count <= WEIR_COUNT(items));
    n = weir_spsc_pop(&ring, items, count);
    for (uint32_t i = 0; i < n; i++)
        assert_ptr_equal(items[i], item(first + i));
    return n;
}

static int ring_setup(void **state)
{
    (void)state;
    weir_spsc_init(&ring);
    return 0;
}

static void test_empty_ring_gives_nothing(void **state)
{
    (void)state;
    assert_true(weir_spsc_empty(&ring));
    assert_int_equal(pop_from(0, 1), 0);
    assert_int_equal(push_from(0, 0), 0);
    assert_true(weir_spsc_empty(&ring));
}

static void test_every_slot_is_usable_and_no_more(void **state)
{
    (void)state;
    assert_int_equal(push_from(0, WEIR_SPSC_SIZE - 1), WEIR_SPSC_SIZE - 1);
    assert_int_equal(push_from(WEIR_SPSC_SIZE - 1, 2), 1);
    assert_int_equal(push_from(0, 1), 0);
    assert_false(weir_spsc_empty(&ring));
    assert_int_equal(pop_from(0, 1), 1);
    assert_int_equal(push_from(WEIR_SPSC_SIZE, 3), 1);
    assert_int_equal(pop_from(1, WEIR_SPSC_SIZE), WEIR_SPSC_SIZE - 1); /* those seen before */
    assert_int_equal(pop_from(WEIR_SPSC_SIZE, WEIR_SPSC_SIZE), 1);
    assert_true(weir_spsc_empty(&ring));
}

static void test_a_batch_beyond_the_ring_is_cut(void **state)
{
    (void)state;
    assert_int_equal(push_from(0, 2 * WEIR_SPSC_SIZE), WEIR_SPSC_SIZE);
    assert_int_equal(pop_from(0, 2 * WEIR_SPSC_SIZE), WEIR_SPSC_SIZE);
}

/* Both indices pass from 2^32 - 1 to 0 at every fill of the ring. */
static void test_indices_wrap(void **state)
{
    (void)state;
    for (uint32_t fill = 1; fill <= WEIR_SPSC_SIZE; fill++) {
        uint32_t start = UINT32_MAX - fill / 2;

        atomic_init(&ring.tail, start);
        atomic_init(&ring.head, start);
        ring.head_seen = ring.tail_seen = start;
        assert_int_equal(push_from(7, fill), fill);
        assert_int_equal(push_from(7 + fill, WEIR_SPSC_SIZE), WEIR_SPSC_SIZE - fill);
        assert_int_equal(pop_from(7, WEIR_SPSC_SIZE), WEIR_SPSC_SIZE);
        assert_true(weir_spsc_empty(&ring));
    }
}

static void push_into_broken(void *arg)
{
    (void)arg;
    weir_spsc_init(&ring);
    atomic_init(&ring.head, WEIR_SPSC_SIZE + 1); /* a consumer ahead of the producer */
    push_from(0, WEIR_SPSC_SIZE);
    push_from(0, 1);
}

static void test_broken_indices_panic(void **state)
{
    (void)state;
    assert_panics(push_into_broken, NULL, "room <= WEIR_SPSC_SIZE");
}

/* --- two threads --- */

struct producer {
    uint64_t seed, items;
};

static void *produce(void *arg)
{
    struct producer *p = arg;
    void *batch[37];
    uint64_t sent = 0;

    while (sent < p->items) {
        uint64_t size = 1 + random_below(&p->seed, WEIR_COUNT(batch));
        uint32_t count = (uint32_t)weir_min_u64(size, p->items - sent);
        uint32_t pushed;

        for (uint32_t i = 0; i < count; i++)
            batch[i] = item(sent + i + 1);
        pushed = weir_spsc_push(&ring, batch, count);
        if (pushed == 0)
            sched_yield(); /* both threads may share a CPU */
        sent += pushed;
    }
    return NULL;
}

/* Every item once and in order, whatever sizes the batches have. */
static void test_two_threads_lose_and_mix_nothing(void **state)
{
    struct producer p = { .seed = random_seed(), .items = random_rounds(3000000, 30000000) };
    uint64_t seed = ~p.seed, got = 0, wrong = 0;
    void *batch[41];
    pthread_t thread;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, produce, &p), 0);
    while (got < p.items) {
        uint32_t most = (uint32_t)(1 + random_below(&seed, WEIR_COUNT(batch)));
        uint32_t n = weir_spsc_pop(&ring, batch, most);

        for (uint32_t i = 0; i < n; i++)
            wrong += batch[i] != item(got + i + 1);
        if (n == 0)
            sched_yield();
        got += n;
    }
    pthread_join(thread, NULL);
    assert_int_equal(wrong, 0);
    assert_int_equal(got, p.items);
    assert_true(weir_spsc_empty(&ring));
}

/* What a popped pointer points to was written before the push. */
struct parcel {
    uint64_t a, b;
};

enum { PARCELS = 256, PARCEL_ROUNDS = 4000 };

static void *produce_parcels(void *arg)
{
    struct parcel *parcels = arg;

    for (uint64_t n = 0; n < (uint64_t)PARCELS * PARCEL_ROUNDS; n++) {
        struct parcel *parcel = &parcels[n % PARCELS];
        void *one = parcel;

        parcel->a = n; /* twice the ring away from the consumer: it is done with this one */
        parcel->b = ~n;
        while (weir_spsc_push(&ring, &one, 1) == 0)
            sched_yield();
    }
    return NULL;
}

static void test_contents_travel_with_the_pointer(void **state)
{
    static struct parcel parcels[PARCELS];
    uint64_t wrong = 0;
    pthread_t thread;
    void *one;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, produce_parcels, parcels), 0);
    for (uint64_t n = 0; n < (uint64_t)PARCELS * PARCEL_ROUNDS; n++) {
        const struct parcel *parcel;

        while (weir_spsc_pop(&ring, &one, 1) == 0)
            sched_yield();
        parcel = one;
        wrong += parcel->a != n || parcel->b != ~n;
    }
    pthread_join(thread, NULL);
    assert_int_equal(wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_empty_ring_gives_nothing, ring_setup),
        cmocka_unit_test_setup(test_every_slot_is_usable_and_no_more, ring_setup),
        cmocka_unit_test_setup(test_a_batch_beyond_the_ring_is_cut, ring_setup),
        cmocka_unit_test_setup(test_indices_wrap, ring_setup),
        cmocka_unit_test_setup(test_broken_indices_panic, ring_setup),
        cmocka_unit_test_setup(test_two_threads_lose_and_mix_nothing, ring_setup),
        cmocka_unit_test_setup(test_contents_travel_with_the_pointer, ring_setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
