/* test_udp_epoll.c - the datagram suite on the kernel's sockets, by epoll. */

#include "tests/net/udp_suite.c"

static int kernel_run(const struct suite_need *need, uint64_t seed, void (*shard_main)(void *arg),
                      void *arg)
{
    struct weir_config config;

    weir_config_init(&config);
    config.shards = need->shards ? need->shards : 1;
    config.stack = WEIR_STACK_EPOLL;
    config.signals = false;
    config.quiet = true;
    config.seed = seed;
    return weir_run(&config, shard_main, arg);
}

const struct udp_under_test udp_under_test = {
    .name = "udp epoll",
    .kernel = true,
    .largest = 65507,

    .run = kernel_run,
};

int main(void)
{
    return udp_suite_run(NULL, 0);
}
