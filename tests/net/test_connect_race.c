/* test_connect_race.c - connecting to the first of several addresses that answers, in the
 * simulation where time is exact; and once on the kernel's sockets.
 *
 * Three kinds of address: one that takes the connection, one that refuses it, and a black hole: a
 * listener whose queue is full, so that the attempt hangs. */
#include "tests/core/testing.h"
#include <sys/socket.h>
#include <weir/resolve.h>
#include "tests/seeds.h"

enum kind { TAKES, REFUSES, HANGS, KINDS };

#define DELAY WEIR_MS(250)
#define SLACK WEIR_MS(20) /* round trips on the simulated wire */

struct world {
    struct weir_listener *takes, *hangs;
    struct weir_io filling[8]; /* what fills the black hole */
    struct weir_addr addr[KINDS];
};

static void world_open(struct world *world)
{
    struct weir_listen_config config;
    struct weir_listener *gone;

    weir_listen_config_init(&config);
    check_int(weir_listen(&world->takes, "10.0.0.1:0", &config), 0);
    check_int(weir_listen(&gone, "10.0.0.2:0", NULL), 0);
    config.backlog = 1;
    config.accepted_max = 1;
    check_int(weir_listen(&world->hangs, "10.0.0.3:0", &config), 0);
    weir_listener_addr(world->takes, &world->addr[TAKES]);
    weir_listener_addr(gone, &world->addr[REFUSES]);
    weir_listener_addr(world->hangs, &world->addr[HANGS]);
    weir_listener_close(gone);
    for (size_t i = 0; i < WEIR_COUNT(world->filling); i++)
        weir_connect_start(&world->filling[i], &world->addr[HANGS]);
    check_int(weir_sleep(SLACK), 0);
}

static void world_close(struct world *world)
{
    for (size_t i = 0; i < WEIR_COUNT(world->filling); i++) {
        weir_future_cancel(&world->filling[i].future);
        if (weir_await(&world->filling[i].future, WEIR_NEVER) == 0)
            weir_close(world->filling[i].conn);
    }
    weir_listener_close(world->takes);
    weir_listener_close(world->hangs);
}

/* Attempts as the RFC has them: when the one that takes it begins, after the start. */
static weir_time race_expect(const enum kind *kinds, size_t count)
{
    weir_time at = 0;

    for (size_t i = 0; i < count && kinds[i] != TAKES; i++)
        at += kinds[i] == HANGS ? DELAY : 0;
    return at;
}

/* The connection reaches the listener that takes them. */
static void race_check_conn(struct world *world, struct weir_conn *conn)
{
    struct weir_conn *peer;
    struct weir_addr addr;
    char text[2][WEIR_ADDR_TEXT], byte;

    check_int(weir_peer_addr(conn, &addr), 0);
    weir_addr_format(&addr, text[0], sizeof text[0]);
    weir_addr_format(&world->addr[TAKES], text[1], sizeof text[1]);
    check(strcmp(text[0], text[1]) == 0);
    check_int(weir_send(conn, "x", 1, weir_after(WEIR_SEC(1))), 1);
    do { /* those that came in second were closed: they end at once */
        check_int(weir_accept(world->takes, &peer, weir_after(WEIR_SEC(1))), 0);
        if (weir_recv(peer, &byte, 1, weir_after(WEIR_SEC(1))) == 1)
            break;
        weir_close(peer);
    } while (true);
    weir_close(peer);
    weir_close(conn);
}

static bool kinds_have(const enum kind *kinds, size_t count, enum kind kind)
{
    for (size_t i = 0; i < count; i++)
        if (kinds[i] == kind)
            return true;
    return false;
}

static void race_once(struct world *world, const enum kind *kinds, size_t count)
{
    struct weir_addr addrs[WEIR_CONNECT_MAX];
    weir_time start = weir_now(), took, expect = race_expect(kinds, count);
    bool takes = kinds_have(kinds, count, TAKES), hangs = kinds_have(kinds, count, HANGS);
    struct weir_conn *conn;
    int error;

    for (size_t i = 0; i < count; i++)
        addrs[i] = world->addr[kinds[i]];
    error = weir_connect_any(&conn, addrs, count, weir_after(WEIR_SEC(5)));
    took = weir_now() - start;
    if (takes) {
        check_int(error, 0);
        check(took >= expect && took <= expect + SLACK * (weir_time)count);
        race_check_conn(world, conn);
    } else if (hangs) {
        check(error == -ETIMEDOUT || error == -ECONNREFUSED); /* the deadline, or it gave up */
        check(took <= WEIR_SEC(5) + SLACK);
    } else {
        check_int(error, -ECONNREFUSED);
        check(took <= SLACK * (weir_time)count);
    }
}

static void random_main(void *arg)
{
    enum kind kinds[WEIR_CONNECT_MAX];
    struct world world;

    (void)arg;
    world_open(&world);
    for (int round = 0; round < 5; round++) {
        size_t count = 1 + (size_t)weir_random(WEIR_CONNECT_MAX);

        for (size_t i = 0; i < count; i++)
            kinds[i] = (enum kind)weir_random(KINDS);
        race_once(&world, kinds, count);
    }
    world_close(&world);
}

static void sim_run(uint64_t seed, void (*shard_main)(void *arg))
{
    struct weir_sim_config config;

    weir_sim_config_init(&config);
    config.seed = seed;
    config.shards = 1;
    check_int(weir_sim_run(&config, shard_main, NULL), 0);
}

static void random_seed_run(uint64_t seed)
{
    sim_run(seed, random_main);
}

static void any_mix_of_addresses(void **state)
{
    (void)state;
    seeds_each(200, random_seed_run);
}

/* --- bounds, and ends before the end --- */

static void bounds_main(void *arg)
{
    enum kind kinds[WEIR_CONNECT_MAX];
    struct weir_addr addrs[WEIR_CONNECT_MAX + 1];
    struct weir_conn *conn;
    struct world world;

    (void)arg;
    world_open(&world);
    for (size_t i = 0; i < WEIR_COUNT(addrs); i++)
        addrs[i] = world.addr[TAKES];
    check_int(weir_connect_any(&conn, addrs, 0, WEIR_NEVER), -EINVAL);
    check_int(weir_connect_any(&conn, addrs, WEIR_CONNECT_MAX + 1, WEIR_NEVER), -EINVAL);
    for (size_t i = 0; i < WEIR_CONNECT_MAX; i++)
        kinds[i] = i == WEIR_CONNECT_MAX - 1 ? TAKES : REFUSES;
    race_once(&world, kinds, WEIR_CONNECT_MAX);
    addrs[0] = world.addr[HANGS];
    check_int(weir_connect_any(&conn, addrs, 2, weir_after(DELAY / 2)), -ETIMEDOUT);
    check_int(weir_connect_any(&conn, addrs, 1, weir_now()), -ETIMEDOUT);
    world_close(&world);
}

static void connects_in_vain(void *arg)
{
    struct weir_addr addrs[2];
    struct weir_conn *conn;

    addrs[0] = addrs[1] = *(struct weir_addr *)arg;
    check_int(weir_connect_any(&conn, addrs, 2, WEIR_NEVER), -ECANCELED);
}

static void cancel_main(void *arg)
{
    struct weir_scope scope;
    struct world world;

    (void)arg;
    weir_scope_init(&scope);
    world_open(&world);
    check_int(weir_spawn(&scope, connects_in_vain, &world.addr[HANGS]), 0);
    check_int(weir_sleep(random_in(0, 2 * DELAY)), 0);
    weir_scope_cancel(&scope);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    world_close(&world);
}

static void bounds_seed_run(uint64_t seed)
{
    sim_run(seed, bounds_main);
    sim_run(seed, cancel_main);
}

static void bounds_deadline_and_cancel(void **state)
{
    (void)state;
    seeds_each(50, bounds_seed_run);
}

/* --- on the kernel's sockets: a Unix socket whose backlog is full hangs --- */

static void kernel_main(void *arg)
{
    struct weir_listener *listener;
    struct weir_conn *conn, *peer;
    struct weir_addr addrs[2];

    check_int(weir_addr_parse(&addrs[0], arg), 0);
    check_int(weir_listen(&listener, "127.0.0.1:0", NULL), 0);
    weir_listener_addr(listener, &addrs[1]);
    check_int(weir_connect_any(&conn, addrs, 1, weir_after(WEIR_MS(20))), -ETIMEDOUT);
    check_int(weir_connect_any(&conn, addrs, 2, weir_after(WEIR_SEC(30))), 0);
    check_int(weir_accept(listener, &peer, weir_after(WEIR_SEC(30))), 0);
    weir_listener_close(listener);
    weir_close(conn);
    weir_close(peer);
}

static void it_goes_on_past_one_that_hangs(void **state)
{
    static const enum weir_stack_kind kinds[] = { WEIR_STACK_EPOLL, WEIR_STACK_AUTO,
                                                  WEIR_STACK_NATIVE };
    struct weir_addr addr;
    int full = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), more[16], count = 0;
    char name[64];

    (void)state;
    snprintf(name, sizeof name, "unix:@weir-test-hangs-%d", (int)getpid());
    assert_int_equal(weir_addr_parse(&addr, name), 0);
    assert_int_equal(bind(full, &addr.sa, addr.len), 0);
    assert_int_equal(listen(full, 0), 0);
    do {
        more[count] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        assert_true(count < 15);
    } while (connect(more[count++], &addr.sa, addr.len) == 0);
    assert_int_equal(errno, EAGAIN);
    for (size_t i = 0; i < WEIR_COUNT(kinds); i++) {
        struct weir_config config;

        weir_config_init(&config);
        config.stack = kinds[i];
        config.shards = 1;
        config.signals = false;
        config.quiet = true;
        assert_int_equal(weir_run(&config, kernel_main, name), 0);
    }
    while (count > 0)
        close(more[--count]);
    close(full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_mix_of_addresses),
        cmocka_unit_test(bounds_deadline_and_cancel),
        cmocka_unit_test(it_goes_on_past_one_that_hangs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
