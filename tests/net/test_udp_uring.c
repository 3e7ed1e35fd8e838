/* test_udp_uring.c - the datagram suite on the kernel's sockets, by io_uring. */
#include <linux/io_uring.h>
#include <sys/syscall.h>
#include "tests/net/udp_suite.c"

/* Where it is forbidden (containers), there is nothing to test. */
static const char *uring_missing(void)
{
    struct io_uring_params params = { 0 };
    int fd = (int)syscall(__NR_io_uring_setup, 4, &params);

    if (fd < 0)
        return strerror(errno);
    close(fd);
    return NULL;
}

static int kernel_run(const struct suite_need *need, uint64_t seed, void (*shard_main)(void *arg),
                      void *arg)
{
    struct weir_config config;

    weir_config_init(&config);
    config.shards = need->shards ? need->shards : 1;
    config.stack = WEIR_STACK_URING;
    config.signals = false;
    config.quiet = true;
    config.seed = seed;
    return weir_run(&config, shard_main, arg);
}

const struct udp_under_test udp_under_test = {
    .name = "udp uring",
    .kernel = true,
    .largest = 65507,
    .missing = uring_missing,
    .run = kernel_run,
};

int main(void)
{
    return udp_suite_run(NULL, 0);
}
