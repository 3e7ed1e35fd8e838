/* test_stack_native.c - the stack suite on TCP/IP of our own, between the shards of one process. */
#include "tests/net/stack_suite.c"

static int native_run(const struct suite_need *need, uint64_t seed, void (*shard_main)(void *arg),
                      void *arg)
{
    struct weir_config config;

    weir_config_init(&config);
    config.shards = need->shards ? need->shards : 1;
    config.stack = WEIR_STACK_NATIVE;
    config.conns_max = need->conns_max ? need->conns_max : config.conns_max;
    config.rx_bufs = need->rx_bufs ? need->rx_bufs : config.rx_bufs;
    config.signals = false;
    config.quiet = true;
    config.seed = seed;
    config.impair = getenv("WEIR_IMPAIR");
    return weir_run(&config, shard_main, arg);
}

const struct stack_under_test stack_under_test = {
    .name = "native",
    .native = true,
    .threads = true,
    .bulk = 8 << 20,
    .too_much = 64 << 20,
    .run = native_run,
};

int main(void)
{
    return suite_run(NULL, 0);
}
