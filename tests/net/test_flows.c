/* test_flows.c - the table of flows against a model, and at its edges. */
#include "../core/testing.h"
#include "net/native/flows.c"

enum { FLOWS = 3000 };

static struct weir_flow flow[FLOWS];
static bool in_table[FLOWS];

/* Distinct keys; hashes as the test likes them. */
static void flow_set(struct weir_flow *f, uint32_t hash)
{
    uint32_t index = (uint32_t)(f - flow);

    *f = (struct weir_flow){
        .key = { .local = weir_ip_v4(1),
                 .remote = weir_ip_v4(index / 100 + 2),
                 .local_port = 80,
                 .remote_port = (uint16_t)(index % 100) },
        .hash = hash,
    };
}

/* What the head of flows.c promises. */
static void check_invariants(const struct weir_flows *flows)
{
    uint32_t count = 0;

    for (uint32_t at = 0; at <= flows->mask; at++) {
        const uint64_t *bucket = flows_bucket(flows, at);

        for (unsigned i = 0; i < FLOWS_SLOTS; i++) {
            if (!bucket[i])
                continue;
            assert_true(i == 0 || bucket[i - 1]);
            for (uint32_t b = flows_home(flows, flows_flow(bucket[i])->hash); b != at;
                 b = (b + 1) & flows->mask)
                assert_true(flows_full(flows_bucket(flows, b)));
            count++;
        }
    }
    assert_int_equal(count, flows->count);
}

static void check_model(const struct weir_flows *flows, unsigned count)
{
    check_invariants(flows);
    for (unsigned i = 0; i < count; i++)
        assert_ptr_equal(weir_flows_find(flows, flow[i].hash, &flow[i].key),
                         in_table[i] ? &flow[i] : NULL);
}

static void flow_toggle(struct weir_flows *flows, unsigned i)
{
    if (in_table[i])
        weir_flows_del(flows, &flow[i]);
    else
        assert_int_equal(weir_flows_add(flows, &flow[i]), 0);
    in_table[i] = !in_table[i];
}

/* Each `mask` of hash bits makes collisions of another kind. */
static void run_random(uint64_t *random, unsigned count, uint32_t hash_mask, int steps)
{
    struct weir_flows flows;

    assert_int_equal(weir_flows_init(&flows, count), 0);
    for (unsigned i = 0; i < count; i++)
        flow_set(&flow[i], (uint32_t)random_next(random) & hash_mask);
    memset(in_table, 0, sizeof in_table);
    for (int step = 0; step < steps; step++) {
        flow_toggle(&flows, (unsigned)random_below(random, count));
        if (step % 512 == 0)
            check_model(&flows, count);
    }
    for (unsigned i = 0; i < count; i++) /* full */
        if (!in_table[i])
            flow_toggle(&flows, i);
    assert_int_equal(flows.count, count);
    check_model(&flows, count);
    for (unsigned i = 0; i < count; i++) {
        flow_toggle(&flows, (i * 7919) % count);
        if (i % 97 == 0)
            check_model(&flows, count);
    }
    assert_int_equal(flows.count, 0);
    check_invariants(&flows);
    weir_flows_free(&flows);
}

static void test_random_against_model(void **state)
{
    uint64_t random = random_seed();

    (void)state;
    for (uint64_t i = 0; i < random_rounds(1, 20); i++) {
        run_random(&random, 1, UINT32_MAX, 100);
        run_random(&random, 6, UINT32_MAX, 1000);
        run_random(&random, 7, UINT32_MAX, 1000);
        run_random(&random, 48, UINT32_MAX, 5000);
        run_random(&random, 1536, UINT32_MAX, 20000); /* three quarters of 256 buckets */
        run_random(&random, 2999, UINT32_MAX, 20000);
    }
}

/* One hash for all, few hashes, and those of one shard of 128. */
static void test_collisions(void **state)
{
    uint64_t random = random_seed();

    (void)state;
    run_random(&random, 96, 0, 2000);
    run_random(&random, 200, 1, 3000);
    run_random(&random, 1536, 0xffffff80, 10000);
    run_random(&random, 383, 0x0f, 5000);
}

/* The chain goes from the last bucket to the first, and comes back. */
static void test_chain_around_the_end(void **state)
{
    struct weir_flows flows;
    uint32_t hash = 0;

    (void)state;
    assert_int_equal(weir_flows_init(&flows, 24), 0);
    assert_int_equal(flows.mask, 3);
    while (flows_home(&flows, hash) != 3)
        hash++;
    for (unsigned i = 0; i < 24; i++) {
        flow_set(&flow[i], hash);
        assert_int_equal(weir_flows_add(&flows, &flow[i]), 0);
    }
    assert_true(flows_full(flows_bucket(&flows, 3)) && flows_full(flows_bucket(&flows, 1)));
    assert_int_equal(flows_used(flows_bucket(&flows, 2)), 0);
    weir_flows_del(&flows, flows_flow(flows_bucket(&flows, 3)[2]));
    assert_true(flows_full(flows_bucket(&flows, 3)) && flows_full(flows_bucket(&flows, 0)));
    assert_int_equal(flows_used(flows_bucket(&flows, 1)), 7);
    check_invariants(&flows);
    for (unsigned i = 0; i < 24; i++)
        if (weir_flows_find(&flows, hash, &flow[i].key))
            weir_flows_del(&flows, &flow[i]);
    weir_flows_free(&flows);
}

/* Exactly `max`, and no word of it more; the table has 8.4 to 21.4 bytes for each. */
static void test_full(void **state)
{
    struct weir_flows flows;

    (void)state;
    assert_int_equal(weir_flows_init(&flows, 10), 0);
    for (unsigned i = 0; i < 10; i++) {
        flow_set(&flow[i], i);
        assert_int_equal(weir_flows_add(&flows, &flow[i]), 0);
    }
    flow_set(&flow[10], 10);
    assert_int_equal(weir_flows_add(&flows, &flow[10]), -ENOBUFS);
    assert_null(weir_flows_find(&flows, 10, &flow[10].key));
    weir_flows_del(&flows, &flow[3]);
    assert_int_equal(weir_flows_add(&flows, &flow[10]), 0);
    assert_int_equal(weir_flows_add(&flows, &flow[3]), -ENOBUFS);
    for (unsigned i = 0; i < 11; i++)
        if (i != 3)
            weir_flows_del(&flows, &flow[i]);
    weir_flows_free(&flows);
}

static void test_sizes(void **state)
{
    static const struct {
        uint32_t max, buckets;
    } size[] = { { 0, 1 },
                 { 6, 1 },
                 { 7, 2 },
                 { 12, 2 },
                 { 13, 4 },
                 { 6 << 10, 1 << 10 },
                 { 1000000, 1 << 18 },
                 { (6 << 10) + 1, 1 << 11 } };
    struct weir_flows flows;

    (void)state;
    for (size_t i = 0; i < WEIR_COUNT(size); i++) {
        assert_int_equal(weir_flows_init(&flows, size[i].max), 0);
        assert_int_equal(flows.mask + 1, size[i].buckets);
        weir_flows_free(&flows);
    }
    assert_int_equal(weir_flows_init(&flows, FLOWS_MAX), 0);
    weir_flows_free(&flows);
    assert_int_equal(weir_flows_init(&flows, FLOWS_MAX + 1u), -EINVAL);
    assert_int_equal(weir_flows_init(&flows, 0), 0);
    assert_int_equal(weir_flows_add(&flows, &flow[0]), -ENOBUFS);
    weir_flows_free(&flows);
}

/* Each is at one place, the others are empty; and every change is counted. */
static void test_places(void **state)
{
    struct weir_flows flows;
    size_t found = 0;

    (void)state;
    assert_int_equal(weir_flows_init(&flows, 100), 0);
    assert_int_equal(weir_flows_places(&flows), 32 * 8);
    for (unsigned i = 0; i < 100; i++) {
        flow_set(&flow[i], i % 9);
        assert_int_equal(weir_flows_add(&flows, &flow[i]), 0);
    }
    assert_int_equal(flows.changes, 100);
    memset(in_table, 0, sizeof in_table);
    for (size_t at = 0; at < weir_flows_places(&flows); at++) {
        struct weir_flow *f = weir_flows_at(&flows, at);

        if (!f)
            continue;
        assert_false(in_table[f - flow]);
        in_table[f - flow] = true;
        found++;
    }
    assert_int_equal(found, 100);
    for (unsigned i = 0; i < 100; i++)
        weir_flows_del(&flows, &flow[i]);
    assert_int_equal(flows.changes, 200);
    weir_flows_free(&flows);
}

/* Every part of the key counts, under one hash. */
static void test_key_is_compared(void **state)
{
    struct weir_flows flows;
    struct weir_flow_key other;

    (void)state;
    assert_int_equal(weir_flows_init(&flows, 4), 0);
    flow_set(&flow[0], 42);
    assert_int_equal(weir_flows_add(&flows, &flow[0]), 0);
    weir_flows_prefetch(&flows, 42);
    for (size_t byte = 0; byte < 36; byte++) {
        other = flow[0].key;
        ((uint8_t *)&other)[byte] ^= 0x10;
        assert_null(weir_flows_find(&flows, 42, &other));
    }
    assert_null(weir_flows_find(&flows, 43, &flow[0].key));
    weir_flows_del(&flows, &flow[0]);
    assert_null(weir_flows_find(&flows, 42, &flow[0].key));
    weir_flows_free(&flows);
}

/* The vector compare sees what a loop would see. */
static void test_match(void **state)
{
    static const uint16_t tag[] = { 0, 1, 0x7fff, 0x8000, 0x8001, 0xffff };
    uint64_t random = random_seed();
    _Alignas(64) uint64_t bucket[FLOWS_SLOTS];

    (void)state;
    for (int round = 0; round < 5000; round++) {
        uint16_t want = tag[random_below(&random, WEIR_COUNT(tag))];
        unsigned match = 0;

        for (unsigned i = 0; i < FLOWS_SLOTS; i++) {
            bucket[i] = (uint64_t)tag[random_below(&random, WEIR_COUNT(tag))] << 48 |
                        random_next(&random) >> 16;
            match |= (unsigned)(bucket[i] >> 48 == want) << i;
        }
        assert_int_equal(flows_match(bucket, want), match);
    }
}

static void add_twice(void *arg)
{
    struct weir_flows *flows = arg;

    weir_flows_add(flows, &flow[0]);
    weir_flows_add(flows, &flow[0]);
}

static void del_stranger(void *arg)
{
    weir_flows_del(arg, &flow[0]);
}

static void test_misuse(void **state)
{
    struct weir_flows flows;

    (void)state;
    assert_int_equal(weir_flows_init(&flows, 6), 0);
    flow_set(&flow[0], 1);
    assert_panics(add_twice, &flows, "assertion failed");
    assert_panics(del_stranger, &flows, "assertion failed");
    weir_flows_free(&flows);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_against_model),
        cmocka_unit_test(test_collisions),
        cmocka_unit_test(test_chain_around_the_end),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_key_is_compared),
        cmocka_unit_test(test_match),
        cmocka_unit_test(test_misuse),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
