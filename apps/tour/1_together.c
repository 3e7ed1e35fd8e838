/* 1_together.c - three calls awaited together take as long as the slowest, not as all of them.
 *
 *     tokio::join!(a, b, c)          Promise.all([a, b, c]) */
#include <stdio.h>
#include <weir/weir.h>

/* What a call to a back end would be: it has an answer after `takes`. */
struct call {
    const char *name;
    weir_time takes, took;
};

static void call_main(void *arg)
{
    struct call *call = arg;
    weir_time begun = weir_now();

    weir_sleep(call->takes);
    call->took = weir_now() - begun;
    printf("%s: %lld ms\n", call->name, (long long)(call->took / WEIR_MS(1)));
}

static void tour_main(void *arg)
{
    struct call calls[] = { { .name = "profile", .takes = WEIR_MS(120) },
                            { .name = "orders", .takes = WEIR_MS(90) },
                            { .name = "reviews", .takes = WEIR_MS(150) } };
    weir_time begun = weir_now();
    struct weir_scope scope;

    (void)arg;
    weir_scope_init(&scope);
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
        weir_spawn(&scope, call_main, &calls[i]);
    weir_scope_join(&scope, WEIR_NEVER);
    printf("together: %lld ms\n", (long long)((weir_now() - begun) / WEIR_MS(1)));
}

int main(void)
{
    struct weir_config config;

    weir_config_init(&config);
    config.shards = 1;
    config.quiet = true;
    return weir_run(&config, tour_main, NULL) < 0;
}
