/* test_stack_sim.c - the stack suite in the simulation, with its faults; and what only it can do.
 */
#include "tests/net/stack_suite.c"

static int sim_run(const struct suite_need *need, uint64_t seed, void (*shard_main)(void *arg),
                   void *arg)
{
    struct weir_sim_config config;

    weir_sim_config_init(&config);
    config.seed = seed;
    config.shards = need->shards ? need->shards : 1;
    config.fibers_max = 4096;
    config.short_reads = seed % 2 ? 200 : 0;
    config.short_writes = seed % 3 ? 200 : 0;
    config.no_buffers = seed % 5 ? 100 : 0;
    config.delay_max = seed % 4 ? WEIR_US(300) : WEIR_MS(1);
    config.window = seed % 3 ? 65536 : need->narrow ? 200 + 300 * (seed % 4) : 24000;
    return weir_sim_run(&config, shard_main, arg);
}

const struct stack_under_test stack_under_test = {
    .name = "sim",
    .bulk = 200000,
    .too_much = 1 << 20,
    .run = sim_run,
};

/* --- a server and its clients on a network that breaks connections --- */

enum { SHARDS = 3, CLIENTS_PER_SHARD = 12 };

static int clients_left, clients_whole, clients_broken;

/* Every operation does what it should, or the connection was reset. */
static bool broken(int64_t result)
{
    check(result >= 0 || result == -ECONNRESET || result == -EPIPE);
    return result < 0;
}

static void frail_serve(void *arg)
{
    char data[100];
    int64_t n;

    while (!broken(n = weir_recv(arg, data, sizeof data, SOON)) && n > 0)
        if (broken(weir_send(arg, data, (size_t)n, SOON)))
            break;
    weir_close(arg);
}

static bool frail_echo(struct weir_conn *conn)
{
    uint8_t data[300];
    size_t got = 0;

    stream_fill(data, sizeof data, 0, 9);
    if (broken(weir_send(conn, data, sizeof data, SOON)))
        return false;
    while (got < sizeof data) {
        int64_t n = weir_recv(conn, data, sizeof data - got, SOON);

        if (broken(n) || n == 0) /* the server gave up, or its side was reset first */
            return false;
        stream_check(data, (size_t)n, got, 9);
        got += (size_t)n;
    }
    return true;
}

static void frail_client(void *arg)
{
    struct weir_conn *conn;

    (void)arg;
    check_int(weir_connect(&conn, "10.0.0.1:80", SOON), 0);
    if (frail_echo(conn))
        clients_whole++;
    else
        clients_broken++;
    weir_close(conn);
    if (--clients_left == 0)
        weir_stop();
}

static void frail_main(void *arg)
{
    struct weir_listener *listener;
    struct weir_scope scope;
    struct weir_conn *conn;

    (void)arg;
    weir_scope_init(&scope);
    check_int(weir_listen(&listener, "*:80", NULL), 0);
    meet(SHARDS);
    for (int i = 0; i < CLIENTS_PER_SHARD; i++)
        check_int(weir_spawn(&scope, frail_client, NULL), 0);
    while (weir_accept(listener, &conn, WEIR_NEVER) == 0)
        check_int(weir_spawn(&scope, frail_serve, conn), 0);
    weir_listener_close(listener);
    check_int(weir_scope_join(&scope, SOON), 0);
}

static void frail_seed(uint64_t seed)
{
    struct weir_sim_config config;

    weir_sim_config_init(&config);
    config.seed = seed;
    config.shards = SHARDS;
    config.short_reads = config.short_writes = config.no_buffers = 100;
    config.resets = 20;
    atomic_store(&ready_shards, 0);
    clients_left = SHARDS * CLIENTS_PER_SHARD;
    check_int(weir_sim_run(&config, frail_main, NULL), 0);
    check_int(clients_left, 0);
}

static void resets_break_no_program(void **state)
{
    (void)state;
    clients_whole = clients_broken = 0;
    seeds_each(100, frail_seed);
    assert_true(clients_whole > 0);
    assert_true(clients_broken > 0); /* the faults were there */
}

/* --- the bound on a listener's queue, exactly --- */

static void queue_main(void *arg)
{
    struct weir_listen_config listen;
    struct weir_listener *listener;
    struct weir_conn *client[8], *conn;
    int max = (int)random_in(2, 7);

    (void)arg;
    weir_listen_config_init(&listen);
    listen.backlog = 1;
    listen.accepted_max = (uint32_t)max - 1;
    check_int(weir_listen(&listener, "*:80", &listen), 0);
    for (int i = 0; i < max; i++)
        check_int(weir_connect(&client[i], "10.0.0.1:80", SOON), 0);
    check_int(weir_connect(&client[max], "10.0.0.1:80", weir_after(WEIR_MS(100))), -ETIMEDOUT);
    /* A SYN that is dropped is sent again, six times in all. */
    check_int(weir_connect(&client[max], "10.0.0.1:80", WEIR_NEVER), -ETIMEDOUT);
    for (int i = 0; i < max; i++) {
        check_int(weir_accept(listener, &conn, SOON), 0);
        weir_close(conn);
        weir_close(client[i]);
    }
    check_int(weir_accept(listener, &conn, weir_after(WEIR_SEC(100))), -ETIMEDOUT);
    weir_listener_close(listener);
}

static void queue_seed(uint64_t seed)
{
    const struct suite_need need = { .shards = 1 };

    check_int(sim_run(&need, seed, queue_main, NULL), 0);
}

static void the_queue_bound_is_exact(void **state)
{
    (void)state;
    seeds_each(20, queue_seed);
}

/* --- what is left open at the end is told --- */

static void leaves_open(void *arg)
{
    struct weir_listener *listener;

    (void)arg;
    check_int(weir_listen(&listener, "*:80", NULL), 0);
}

static void leaves_open_run(void *arg)
{
    const struct suite_need need = { .shards = 1 };

    (void)arg;
    sim_run(&need, 1, leaves_open, NULL);
}

static void leaves_conn_open(void *arg)
{
    struct pair pair;

    (void)arg;
    pair_open(&pair);
    weir_close(pair.a);
}

static void leaves_conn_open_run(void *arg)
{
    const struct suite_need need = { .shards = 1 };

    (void)arg;
    sim_run(&need, 1, leaves_conn_open, NULL);
}

static void leaks_are_told(void **state)
{
    (void)state;
    assert_panics(leaves_open_run, NULL, "shard 0 ended with 1 listeners open");
    assert_panics(leaves_conn_open_run, NULL, "shard 0 ended with 1 connections open");
}

int main(void)
{
    const struct CMUnitTest own[] = {
        cmocka_unit_test(resets_break_no_program),
        cmocka_unit_test(the_queue_bound_is_exact),
        cmocka_unit_test(leaks_are_told),
    };

    return suite_run(own, WEIR_COUNT(own));
}
