/* 2_compute.c - a runtime without threads of its own: the calling thread runs what it waits for.
 *
 *     Builder::new_current_thread().build()?.block_on(async { 21 * 2 }) */
#include <inttypes.h>
#include <stdio.h>
#include <weir/weir.h>

static int64_t twice(void *arg)
{
    const int64_t *number = arg;

    return *number * 2;
}

int main(void)
{
    struct weir_runtime *runtime;
    struct weir_config config;
    int64_t number = 21, answer;
    int error;

    weir_config_init(&config);
    config.flavour = WEIR_CURRENT_THREAD;
    config.quiet = true;
    if (weir_runtime_new(&runtime, &config) < 0)
        return 1;
    error = weir_block_on(runtime, twice, &number, &answer);
    weir_runtime_free(runtime);
    if (error < 0)
        return 1;
    printf("%" PRId64 "\n", answer);
    return 0;
}
