/* Initial sequence numbers: SipHash-2-4 by its published vector, and what RFC 6528 asks for. */
#include "tests/core/testing.h"
#include "net/native/tcp_in.h"

static struct weir_shard shard;
static struct weir_tcp_layer layer;
static struct weir_native native;

static int setup(void **state)
{
    (void)state;
    shard.now = WEIR_SEC(1000);
    layer = (struct weir_tcp_layer){ .secret = { 0x0123456789abcdef, 0xfedcba9876543210 } };
    native.shard = &shard;
    native.tcp = &layer;
    return 0;
}

static struct weir_flow_key some_key(void)
{
    return (struct weir_flow_key){ .local = weir_ip_v4(htonl(0x0a000001)),
                                   .remote = weir_ip_v4(htonl(0x0a000002)),
                                   .local_port = 80,
                                   .remote_port = 40000 };
}

/* Aumasson and Bernstein, appendix A: key 00 01 .. 0f, input 00 01 .. 0e. */
static void siphash_gives_the_published_vector(void **state)
{
    uint64_t key[2] = { 0x0706050403020100, 0x0f0e0d0c0b0a0908 };
    uint8_t input[15];

    (void)state;
    for (uint8_t i = 0; i < sizeof input; i++)
        input[i] = i;
    assert_true(weir_siphash(key, input, sizeof input) == 0xa129ca6149be45e5);
}

/* Each byte and the length count; reads no byte behind the input (ASan). */
static void siphash_depends_on_every_byte_and_the_length(void **state)
{
    uint64_t key[2] = { 1, 2 };

    (void)state;
    for (size_t len = 1; len < 40; len++) {
        uint8_t *input = calloc(1, len);
        uint64_t zero = weir_siphash(key, input, len);

        assert_true(zero != weir_siphash(key, input, len - 1));
        for (size_t i = 0; i < len; i++) {
            input[i] = 1;
            assert_true(weir_siphash(key, input, len) != zero);
            input[i] = 0;
        }
        free(input);
    }
}

/* RFC 6528 3: M is a clock of 4 microseconds. */
static void isn_of_a_flow_grows_with_the_clock(void **state)
{
    struct weir_flow_key key = some_key();
    weir_seq first = weir_tcp_isn(&native, &key);

    (void)state;
    assert_int_equal(weir_tcp_isn(&native, &key), first);
    shard.now += WEIR_MS(1);
    assert_int_equal(weir_tcp_isn(&native, &key) - first, 250);
    shard.now += WEIR_SEC(60);
    assert_int_equal(weir_tcp_isn(&native, &key) - first, 250 + 15000000);
}

/* RFC 6528 3: F depends on both addresses, both ports and the secret. */
static void isn_differs_by_tuple_and_secret(void **state)
{
    struct weir_flow_key key = some_key(), other = key;
    weir_seq isn = weir_tcp_isn(&native, &key);
    uint32_t offset = weir_tcp_ts_offset(&native, &key);

    (void)state;
    other.local.word[3] ^= 1;
    assert_int_not_equal(weir_tcp_isn(&native, &other), isn);
    assert_int_not_equal(weir_tcp_ts_offset(&native, &other), offset);
    other = key;
    other.remote.word[3] ^= 1;
    assert_int_not_equal(weir_tcp_isn(&native, &other), isn);
    other = key;
    other.local_port ^= 1;
    assert_int_not_equal(weir_tcp_isn(&native, &other), isn);
    other = key;
    other.remote_port ^= 1;
    assert_int_not_equal(weir_tcp_isn(&native, &other), isn);
    layer.secret[0] ^= 1;
    assert_int_not_equal(weir_tcp_isn(&native, &key), isn);
}

/* The padding of the key is not hashed. */
static void isn_ignores_what_is_not_the_tuple(void **state)
{
    struct weir_flow_key a, b;

    (void)state;
    memset(&a, 0, sizeof a);
    memset(&b, 0xff, sizeof b);
    a.local = b.local = weir_ip_v4(1);
    a.remote = b.remote = weir_ip_v4(2);
    a.local_port = b.local_port = 3;
    a.remote_port = b.remote_port = 4;
    assert_int_equal(weir_tcp_isn(&native, &a), weir_tcp_isn(&native, &b));
}

/* Flows next to each other begin anywhere: no bit of the ISN is the same for most of them. */
static void isns_of_neighbours_are_spread(void **state)
{
    struct weir_flow_key key = some_key();
    unsigned ones[32] = { 0 };

    (void)state;
    for (uint16_t port = 0; port < 4096; port++) {
        key.remote_port = port;
        for (unsigned bit = 0; bit < 32; bit++)
            ones[bit] += weir_tcp_isn(&native, &key) >> bit & 1;
    }
    for (unsigned bit = 0; bit < 32; bit++)
        assert_in_range(ones[bit], 1848, 2248); /* 2,048 within six sigma */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(siphash_gives_the_published_vector, setup),
        cmocka_unit_test_setup(siphash_depends_on_every_byte_and_the_length, setup),
        cmocka_unit_test_setup(isn_of_a_flow_grows_with_the_clock, setup),
        cmocka_unit_test_setup(isn_differs_by_tuple_and_secret, setup),
        cmocka_unit_test_setup(isn_ignores_what_is_not_the_tuple, setup),
        cmocka_unit_test_setup(isns_of_neighbours_are_spread, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
