/* 9_nested.c - what not to do: starting a runtime inside a runtime.
 *
 * To wait for it, the thread would have to stand still, and with it every fiber of the outer one.
 * So this ends the program, with a sentence that says what to do instead. */
#include <weir/weir.h>

static void inner_main(void *arg)
{
    (void)arg;
}

static void outer_main(void *arg)
{
    weir_run(arg, inner_main, NULL);
}

int main(void)
{
    struct weir_config config;

    weir_config_init(&config);
    config.shards = 1;
    config.quiet = true;
    return weir_run(&config, outer_main, &config) < 0;
}
