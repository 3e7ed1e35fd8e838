/* test_stack_epoll.c - the stack suite on the kernel's sockets, by epoll. */
#include "tests/net/stack_suite.c"

static int kernel_run(const struct suite_need *need, uint64_t seed, void (*shard_main)(void *arg),
                      void *arg)
{
    struct weir_config config;

    weir_config_init(&config);
    config.shards = need->shards ? need->shards : 1;
    config.stack = WEIR_STACK_EPOLL;
    config.balance = need->balance;
    config.conns_max = need->conns_max ? need->conns_max : config.conns_max;
    config.rx_bufs = need->rx_bufs ? need->rx_bufs : config.rx_bufs;
    config.signals = false;
    config.quiet = true;
    config.seed = seed;
    return weir_run(&config, shard_main, arg);
}

const struct stack_under_test stack_under_test = {
    .name = "epoll",
    .kernel = true,
    .threads = true,
    .bulk = 8 << 20,
    .too_much = 64 << 20,
    .run = kernel_run,
};

int main(void)
{
    return suite_run(NULL, 0);
}
