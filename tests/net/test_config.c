/* test_config.c - every option of a weir_config: its default, its edges, and what is said of the
 * rest. */
#include "tests/core/testing.h"
#include <errno.h>
#include <string.h>
#include "core/base.h"
#include "net/config.h"
#include "sched/shard.h"

static void config_of(struct weir_config *config, const char *option, const char *value)
{
    char why[160] = "";

    weir_config_init(config);
    if (weir_config_set(config, option, value, why, sizeof why) != 0)
        fail_msg("%s %s: %s", option, value, why);
    assert_int_equal(weir_config_check(config, why, sizeof why), 0);
}

static void refused(const char *option, const char *value, const char *line)
{
    struct weir_config config, before;
    char why[160] = "";

    weir_config_init(&config);
    memcpy(&before, &config, sizeof config);
    if (weir_config_set(&config, option, value, why, sizeof why) != -EINVAL)
        fail_msg("%s '%s' was taken", option, value);
    assert_string_equal(why, line);
    assert_memory_equal(&config, &before, sizeof config);
}

static void test_defaults(void **state)
{
    struct weir_config config;
    char why[160];

    (void)state;
    memset(&config, 0x5a, sizeof config);
    weir_config_init(&config);
    assert_int_equal(config.shards, 0);
    assert_null(config.cpus);
    assert_int_equal(config.poll, WEIR_POLL_ADAPTIVE);
    assert_int_equal(config.stack, WEIR_STACK_AUTO);
    assert_int_equal(config.balance, WEIR_BALANCE_REUSEPORT);
    assert_int_equal(config.idle_spin, WEIR_US(50));
    assert_int_equal(config.fiber_stack, 64 * 1024);
    assert_int_equal(config.fibers_max, 65536);
    assert_int_equal(config.conns_max, 65536);
    assert_int_equal(config.rx_bufs, 256);
    assert_int_equal(config.rx_buf_size, 16384);
    assert_int_equal(config.grace, WEIR_SEC(10));
    assert_true(config.signals);
    assert_false(config.quiet);
    assert_int_equal(config.seed, 0);
    assert_null(config.dev);
    assert_null(config.ip);
    assert_null(config.gateway);
    assert_null(config.route);
    assert_null(config.impair);
    assert_null(config.pcap);
    assert_int_equal(config.vlan, 0);
    assert_int_equal(config.mtu, 0);
    assert_int_equal(config.cc, WEIR_CONGESTION_CUBIC);
    assert_false(config.keepalive);
    assert_false(config.paused);
    assert_int_equal(config.blocking_threads, 512);
    assert_int_equal(config.blocking_queue, 65536);
    assert_int_equal(config.blocking_idle, WEIR_SEC(10));
    assert_int_equal(weir_config_check(&config, why, sizeof why), 0);
}

static void test_numbers(void **state)
{
    struct weir_config config;

    (void)state;
    config_of(&config, "shards", "0");
    assert_int_equal(config.shards, 0);
    config_of(&config, "shards", "256");
    assert_int_equal(config.shards, WEIR_SHARDS_MAX);
    refused("shards", "257", "shards '257' is not a number from 0 to 256");
    refused("shards", "", "shards '' is not a number from 0 to 256");
    refused("shards", "-1", "shards '-1' is not a number from 0 to 256");
    refused("shards", "4x", "shards '4x' is not a number from 0 to 256");

    config_of(&config, "fibers_max", "1");
    assert_int_equal(config.fibers_max, 1);
    config_of(&config, "fibers-max", "16777216");
    assert_int_equal(config.fibers_max, 16777216);
    refused("fibers_max", "0", "fibers_max '0' is not a number from 1 to 16777216");
    refused("fibers_max", "16777217", "fibers_max '16777217' is not a number from 1 to 16777216");

    config_of(&config, "conns_max", "1");
    assert_int_equal(config.conns_max, 1);
    config_of(&config, "conns-max", "16777216");
    assert_int_equal(config.conns_max, 16777216);
    refused("conns_max", "0", "conns_max '0' is not a number from 1 to 16777216");
    refused("conns-max", "16777217", "conns_max '16777217' is not a number from 1 to 16777216");

    config_of(&config, "blocking_threads", "1");
    assert_int_equal(config.blocking_threads, 1);
    config_of(&config, "blocking-threads", "4096");
    assert_int_equal(config.blocking_threads, 4096);
    refused("blocking_threads", "0", "blocking_threads '0' is not a number from 1 to 4096");
    refused("blocking_threads", "4097", "blocking_threads '4097' is not a number from 1 to 4096");

    config_of(&config, "blocking_queue", "1");
    assert_int_equal(config.blocking_queue, 1);
    config_of(&config, "blocking-queue", "16777216");
    assert_int_equal(config.blocking_queue, 16777216);
    refused("blocking_queue", "0", "blocking_queue '0' is not a number from 1 to 16777216");
    refused("blocking_queue", "16777217",
            "blocking_queue '16777217' is not a number from 1 to 16777216");

    config_of(&config, "seed", "18446744073709551615");
    assert_true(config.seed == UINT64_MAX);
    refused("seed", "18446744073709551616",
            "seed '18446744073709551616' is not a number from 0 to 18446744073709551615");
}

static void test_sizes(void **state)
{
    struct weir_config config;

    (void)state;
    config_of(&config, "fiber_stack", "16k");
    assert_int_equal(config.fiber_stack, WEIR_STACK_MIN);
    config_of(&config, "fiber-stack", "64m");
    assert_int_equal(config.fiber_stack, WEIR_STACK_MAX);
    refused("fiber_stack", "16383",
            "fiber_stack '16383' is not a size from 16384 to 67108864 such as 64k");
    refused("fiber_stack", "65m",
            "fiber_stack '65m' is not a size from 16384 to 67108864 such as 64k");

    config_of(&config, "rx_buf_size", "256");
    assert_int_equal(config.rx_buf_size, 256);
    config_of(&config, "rx-buf-size", "1m");
    assert_int_equal(config.rx_buf_size, 1 << 20);
    refused("rx_buf_size", "255",
            "rx_buf_size '255' is not a size from 256 to 1048576 such as 64k");
    refused("rx_buf_size", "1048577",
            "rx_buf_size '1048577' is not a size from 256 to 1048576 such as 64k");

    config_of(&config, "rx_bufs", "8");
    assert_int_equal(config.rx_bufs, 8);
    config_of(&config, "rx-bufs", "32768");
    assert_int_equal(config.rx_bufs, 32768);
    refused("rx_bufs", "4", "rx_bufs '4' is not a power of two from 8 to 32768");
    refused("rx_bufs", "9", "rx_bufs '9' is not a power of two from 8 to 32768");
    refused("rx_bufs", "65536", "rx_bufs '65536' is not a power of two from 8 to 32768");
}

static void test_times(void **state)
{
    struct weir_config config;

    (void)state;
    config_of(&config, "grace", "0");
    assert_int_equal(config.grace, 0);
    config_of(&config, "grace", "10s");
    assert_int_equal(config.grace, WEIR_SEC(10));
    config_of(&config, "grace", "24h");
    assert_int_equal(config.grace, WEIR_SEC(86400));
    refused("grace", "86401s",
            "grace '86401s' is not a time from 0 to 86400s such as 500ms or 10s");
    refused("grace", "10", "grace '10' is not a time from 0 to 86400s such as 500ms or 10s");

    config_of(&config, "blocking_idle", "0");
    assert_int_equal(config.blocking_idle, 0);
    config_of(&config, "blocking-idle", "86400s");
    assert_int_equal(config.blocking_idle, WEIR_SEC(86400));
    refused("blocking_idle", "86401s",
            "blocking_idle '86401s' is not a time from 0 to 86400s such as 500ms or 10s");
    config_of(&config, "idle_spin", "20us");
    assert_int_equal(config.idle_spin, WEIR_US(20));
    config_of(&config, "idle-spin", "1s");
    assert_int_equal(config.idle_spin, WEIR_SEC(1));
    refused("idle_spin", "1001ms",
            "idle_spin '1001ms' is not a time from 0 to 1s such as 500ms or 10s");
}

static void test_choices(void **state)
{
    struct weir_config config;

    (void)state;
    config_of(&config, "poll", "busy");
    assert_int_equal(config.poll, WEIR_POLL_BUSY);
    config_of(&config, "poll", "adaptive");
    assert_int_equal(config.poll, WEIR_POLL_ADAPTIVE);
    refused("poll", "lazy", "poll 'lazy' is not adaptive or busy");

    config_of(&config, "stack", "auto");
    assert_int_equal(config.stack, WEIR_STACK_AUTO);
    config_of(&config, "stack", "uring");
    assert_int_equal(config.stack, WEIR_STACK_URING);
    config_of(&config, "stack", "epoll");
    assert_int_equal(config.stack, WEIR_STACK_EPOLL);
    config_of(&config, "stack", "native");
    assert_int_equal(config.stack, WEIR_STACK_NATIVE);
    refused("stack", "io_uring", "stack 'io_uring' is not auto, uring, epoll or native");
    refused("stack", "Epoll", "stack 'Epoll' is not auto, uring, epoll or native");

    config_of(&config, "balance", "least");
    assert_int_equal(config.balance, WEIR_BALANCE_LEAST);
    config_of(&config, "balance", "reuseport");
    assert_int_equal(config.balance, WEIR_BALANCE_REUSEPORT);
    refused("balance", "", "balance '' is not reuseport or least");

    config_of(&config, "cc", "reno");
    assert_int_equal(config.cc, WEIR_CONGESTION_RENO);
    config_of(&config, "cc", "cubic");
    assert_int_equal(config.cc, WEIR_CONGESTION_CUBIC);
    refused("cc", "bbr", "cc 'bbr' is not cubic or reno");

    config_of(&config, "keepalive", "on");
    assert_true(config.keepalive);
    config_of(&config, "paused", "on");
    assert_true(config.paused);

    config_of(&config, "signals", "off");
    assert_false(config.signals);
    config_of(&config, "quiet", "on");
    assert_true(config.quiet);
    refused("signals", "1", "signals '1' is not off or on");
    refused("quiet", "yes", "quiet 'yes' is not off or on");
}

/* Kept as they are; what they mean is the native stack's to say. */
static void test_texts(void **state)
{
    static const char *const names[] = { "dev", "ip", "gateway", "route", "impair", "pcap" };
    struct weir_config config;

    (void)state;
    for (size_t i = 0; i < WEIR_COUNT(names); i++) {
        char line[64];

        config_of(&config, names[i], "some text");
        snprintf(line, sizeof line, "%s is empty", names[i]);
        refused(names[i], "", line);
    }
    config_of(&config, "dev", "tap:weir0");
    assert_string_equal(config.dev, "tap:weir0");
    config_of(&config, "pcap", "/tmp/all.pcap");
    assert_string_equal(config.pcap, "/tmp/all.pcap");
    assert_null(config.dev);
}

static void test_links(void **state)
{
    struct weir_config config;

    (void)state;
    config_of(&config, "vlan", "0");
    assert_int_equal(config.vlan, 0);
    config_of(&config, "vlan", "4094");
    assert_int_equal(config.vlan, 4094);
    refused("vlan", "4095", "vlan '4095' is not a number from 0 to 4094");

    config_of(&config, "mtu", "0");
    assert_int_equal(config.mtu, 0);
    config_of(&config, "mtu", "1280");
    assert_int_equal(config.mtu, 1280);
    config_of(&config, "mtu", "1500");
    assert_int_equal(config.mtu, 1500);
    refused("mtu", "1279", "mtu '1279' is not a number from 1280 to 1500");
    refused("mtu", "1501", "mtu '1501' is not a number from 1280 to 1500");
}

static void test_cpus(void **state)
{
    struct weir_config config;

    (void)state;
    config_of(&config, "cpus", "0,2-3");
    assert_string_equal(config.cpus, "0,2-3");
    assert_int_equal(weir_config_shards(&config), 3);
    config.shards = 7;
    assert_int_equal(weir_config_shards(&config), 7);
    refused("cpus", "0,", "cpus '0,' is not a list of CPUs such as 0,2-3");
    refused("cpus", "3-2", "cpus '3-2' is not a list of CPUs such as 0,2-3");
    refused("cpus", "1024", "cpus '1024' is not a list of CPUs such as 0,2-3");
    config.cpus = "nonsense";
    assert_int_equal(weir_config_shards(&config), -EINVAL);
    weir_config_init(&config);
    assert_true(weir_config_shards(&config) >= 1);
}

static void test_no_such_option(void **state)
{
    static const char *const names[] = { "", "shard", "shardss", "fibers max", "--shards", "_" };
    struct weir_config config;

    (void)state;
    weir_config_init(&config);
    for (size_t i = 0; i < WEIR_COUNT(names); i++) {
        char why[160] = "";

        assert_int_equal(weir_config_set(&config, names[i], "1", why, sizeof why), -ENOENT);
        assert_non_null(strstr(why, "there is no option"));
    }
}

static void test_why_is_cut_not_overrun(void **state)
{
    struct weir_config config;
    char why[16];

    (void)state;
    weir_config_init(&config);
    memset(why, 0x5a, sizeof why);
    assert_int_equal(weir_config_set(&config, "shards", "many", why, 12), -EINVAL);
    assert_string_equal(why, "shards 'man");
    assert_int_equal(why[12], 0x5a);
}

/* What was filled in by hand is held to the same bounds before anything starts. */
static void test_check(void **state)
{
    struct weir_config config;
    char why[160];

    (void)state;
    weir_config_init(&config);
    config.rx_bufs = 100;
    assert_int_equal(weir_config_check(&config, why, sizeof why), -EINVAL);
    assert_string_equal(why, "rx_bufs '100' is not a power of two from 8 to 32768");
    assert_int_equal(weir_run(&config, NULL, NULL), -EINVAL);

    weir_config_init(&config);
    config.grace = -1;
    assert_int_equal(weir_config_check(&config, why, sizeof why), -EINVAL);
    assert_string_equal(why, "grace '-1ns' is not a time from 0 to 86400s such as 500ms or 10s");

    weir_config_init(&config);
    config.stack = (enum weir_stack_kind)4;
    assert_int_equal(weir_config_check(&config, why, sizeof why), -EINVAL);
    assert_string_equal(why, "stack '4' is not auto, uring, epoll or native");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),       cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_sizes),          cmocka_unit_test(test_times),
        cmocka_unit_test(test_choices),        cmocka_unit_test(test_cpus),
        cmocka_unit_test(test_texts),          cmocka_unit_test(test_links),
        cmocka_unit_test(test_no_such_option), cmocka_unit_test(test_why_is_cut_not_overrun),
        cmocka_unit_test(test_check),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
