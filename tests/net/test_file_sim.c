/* test_file_sim.c - files in the simulation: over many seeds. */
#include "tests/net/file_suite.c"

static int sim_run(unsigned shards, uint64_t seed, void (*shard_main)(void *arg))
{
    struct weir_sim_config config;

    weir_sim_config_init(&config);
    config.shards = shards;
    config.seed = seed;
    return weir_sim_run(&config, shard_main, NULL);
}

const struct file_stack file_stack = { .name = "sim", .seeds = 5, .run = sim_run };

int main(void)
{
    const struct CMUnitTest tests[] = { FILE_CASES };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
