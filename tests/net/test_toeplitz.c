/* test_toeplitz.c - the RSS hash by Microsoft's verification suite, and whose a flow is. */
#include "../core/testing.h"
#include <errno.h>
#include "net/native/native.h"
#include "net/native/shared.h"
#include "net/native/toeplitz.h"

static struct weir_toeplitz toeplitz;
static uint8_t flow_table[WEIR_FLOW_TABLE];
static struct weir_native native;

/* Source (remote) and destination (local) of a packet that comes in. */
static struct weir_flow_key key_of(const char *remote, uint16_t remote_port, const char *local,
                                   uint16_t local_port)
{
    struct weir_flow_key key = { .remote_port = remote_port, .local_port = local_port };
    struct weir_addr addr;
    char text[128];
    uint16_t port;

    snprintf(text, sizeof text, strchr(remote, ':') ? "[%s]:1" : "%s:1", remote);
    assert_int_equal(weir_addr_parse(&addr, text), 0);
    assert_int_equal(weir_ip_from_addr(&key.remote, &port, &addr), 0);
    snprintf(text, sizeof text, strchr(local, ':') ? "[%s]:1" : "%s:1", local);
    assert_int_equal(weir_addr_parse(&addr, text), 0);
    assert_int_equal(weir_ip_from_addr(&key.local, &port, &addr), 0);
    return key;
}

static int setup(void **state)
{
    (void)state;
    weir_toeplitz_init(&toeplitz, weir_flow_key);
    native.toeplitz = &toeplitz;
    native.flow_table = flow_table;
    return 0;
}

/* The figures of "Verifying the RSS hash calculation", with ports. */
static void test_vectors(void **state)
{
    static const struct {
        const char *remote;
        uint16_t remote_port;
        const char *local;
        uint16_t local_port;
        uint32_t hash;
    } vector[] = {
        { "66.9.149.187", 2794, "161.142.100.80", 1766, 0x51ccc178 },
        { "199.92.111.2", 14230, "65.69.140.83", 4739, 0xc626b0ea },
        { "24.19.198.95", 12898, "12.22.207.184", 38024, 0x5c2b394a },
        { "38.27.205.30", 48228, "209.142.163.6", 2217, 0xafc7327f },
        { "153.39.163.191", 44251, "202.188.127.2", 1303, 0x10e828a2 },
        { "3ffe:2501:200:1fff::7", 2794, "3ffe:2501:200:3::1", 1766, 0x40207d3d },
        { "3ffe:501:8::260:97ff:fe40:efab", 14230, "ff02::1", 4739, 0xdde51bbf },
        { "3ffe:1900:4545:3:200:f8ff:fe21:67cf", 44251, "fe80::200:f8ff:fe21:67cf", 38024,
          0x02d1feef },
    };

    (void)state;
    for (size_t i = 0; i < WEIR_COUNT(vector); i++) {
        struct weir_flow_key key =
            key_of(vector[i].remote, vector[i].remote_port, vector[i].local, vector[i].local_port);

        assert_int_equal(weir_flow_hash(&native, &key), vector[i].hash);
    }
}

/* The definition: 32 bits of the key for each bit that is set. */
static uint32_t naive_hash(const uint8_t *key, const uint8_t *input, size_t len)
{
    uint32_t hash = 0;

    for (size_t bit = 0; bit < len * 8; bit++)
        for (size_t i = 0; input[bit / 8] >> (7 - bit % 8) & 1 && i < 32; i++)
            hash ^= (uint32_t)(key[(bit + i) / 8] >> (7 - (bit + i) % 8) & 1) << (31 - i);
    return hash;
}

static void test_any_key_and_input(void **state)
{
    static struct weir_toeplitz other;
    uint64_t random = random_seed();
    uint8_t key[WEIR_TOEPLITZ_KEY], input[WEIR_TOEPLITZ_INPUT];

    (void)state;
    for (int round = 0; round < 20; round++) {
        for (size_t i = 0; i < sizeof key; i++)
            key[i] = (uint8_t)random_next(&random);
        weir_toeplitz_init(&other, key);
        for (int i = 0; i < 20; i++) {
            for (size_t at = 0; at < sizeof input; at++)
                input[at] = (uint8_t)random_next(&random);
            assert_int_equal(weir_toeplitz_bytes(&other, 0, input, sizeof input),
                             naive_hash(key, input, sizeof input));
        }
    }
}

static void test_flow_table_spreads(void **state)
{
    (void)state;
    for (unsigned shards = 1; shards <= 256; shards++) {
        weir_flow_table_init(flow_table, shards);
        for (uint32_t hash = 0; hash < 1000; hash++)
            assert_int_equal(weir_flow_shard(&native, hash), hash % 128 % shards);
    }
    assert_int_equal(weir_flow_shard(&native, UINT32_MAX), 127);
}

static void test_addresses(void **state)
{
    struct weir_flow_key key = key_of("192.0.2.1", 1, "2001:db8::5", 2);
    struct weir_addr addr = { .un.sun_family = AF_UNIX };
    uint16_t port;
    char text[64];

    (void)state;
    assert_true(weir_ip_is_v4(&key.remote) && !weir_ip_is_v4(&key.local));
    assert_string_equal(weir_ip_format(&key.remote, text), "192.0.2.1");
    assert_string_equal(weir_ip_format(&key.local, text), "2001:db8::5");
    assert_int_equal(weir_ip_from_addr(&key.local, &port, &addr), -EAFNOSUPPORT);
    weir_ip_to_addr(&addr, &key.remote, 80);
    assert_int_equal(addr.len, sizeof addr.in);
    assert_string_equal(weir_addr_format(&addr, text, sizeof text), "192.0.2.1:80");
    weir_ip_to_addr(&addr, &key.local, 65535);
    assert_string_equal(weir_addr_format(&addr, text, sizeof text), "[2001:db8::5]:65535");
    assert_int_equal(weir_ip_from_addr(&key.remote, &port, &addr), 0);
    assert_int_equal(port, 65535);
    assert_true(weir_ip_eq(&key.remote, &key.local));
}

/* The hash of one flow by what shards with this secret and device have in common. */
static uint32_t shared_hash(uint64_t secret, struct weir_dev *dev)
{
    struct weir_flow_key key = key_of("192.0.2.1", 1025, "192.0.2.2", 80);
    struct weir_native_config config;
    struct weir_native_shared *shared;
    struct weir_toeplitz of_loop;
    uint32_t hash;
    char why[256];

    weir_native_config_init(&config);
    config.secret = secret;
    assert_int_equal(weir_native_shared_open(&shared, dev, &config, 2, why, sizeof why), 0);
    native.toeplitz = &shared->toeplitz;
    hash = weir_flow_hash(&native, &key);
    native.toeplitz = &toeplitz;
    weir_toeplitz_init(&of_loop, shared->loop->rss_key); /* the loopback steers alike */
    assert_memory_equal(&of_loop, &shared->toeplitz, sizeof of_loop);
    weir_native_shared_close(shared);
    return hash;
}

/* Who does not know the secret cannot choose flows that meet, unless a device steers by a key. */
static void test_key_is_secret(void **state)
{
    struct weir_flow_key key = key_of("192.0.2.1", 1025, "192.0.2.2", 80);
    struct weir_pair_config config = { .queues = 2, .loop = true };
    uint32_t usual = weir_flow_hash(&native, &key);
    struct weir_dev *end[2];

    (void)state;
    assert_int_not_equal(shared_hash(1, NULL), usual);
    assert_int_not_equal(shared_hash(1, NULL), shared_hash(2, NULL));
    assert_int_equal(shared_hash(1, NULL), shared_hash(1, NULL));
    assert_int_equal(weir_pair_open(end, &config), 0);
    assert_int_equal(shared_hash(1, end[0]), usual);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_any_key_and_input),
        cmocka_unit_test(test_flow_table_spreads),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_key_is_secret),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
