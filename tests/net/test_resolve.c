/* test_resolve.c - names to addresses, and connecting by name, on every stack with the kernel's
 * sockets: against a DNS server of the test's own, and the simulation against a file. */
#include "tests/core/testing.h"
#include <dirent.h>
#include <linux/io_uring.h>
#include <sys/syscall.h>
#include "tests/net/dns_server.h"

#define SOON weir_after(WEIR_SEC(30))

static const enum weir_stack_kind kinds[] = { WEIR_STACK_EPOLL, WEIR_STACK_URING,
                                              WEIR_STACK_NATIVE };

static int descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int count = 0;

    assert_non_null(dir);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

static bool kind_is_missing(enum weir_stack_kind kind)
{
    struct io_uring_params params = { 0 };
    int fd;

    if (kind != WEIR_STACK_URING)
        return false;
    fd = (int)syscall(__NR_io_uring_setup, 4, &params);
    if (fd >= 0)
        close(fd);
    return fd < 0;
}

static void run_on(unsigned shards, void (*shard_main)(void *arg))
{
    int before = descriptors();

    for (size_t i = 0; i < WEIR_COUNT(kinds); i++) {
        struct weir_config config;

        if (kind_is_missing(kinds[i]))
            continue;
        weir_config_init(&config);
        config.stack = kinds[i];
        config.shards = shards;
        config.signals = false;
        config.quiet = true;
        assert_int_equal(weir_run(&config, shard_main, NULL), 0);
        assert_int_equal(descriptors(), before);
    }
}

static void run(void (*shard_main)(void *arg))
{
    run_on(1, shard_main);
}

static void check_addr(const struct weir_addr *addr, const char *want)
{
    char text[WEIR_ADDR_TEXT];

    weir_addr_format(addr, text, sizeof text);
    if (strcmp(text, want) != 0)
        weir_panic("%s, not %s", text, want);
}

/* Whether `text` is among them. */
static bool addrs_have(const struct weir_addr *addrs, int64_t count, const char *want)
{
    char text[WEIR_ADDR_TEXT];

    for (int64_t i = 0; i < count; i++)
        if (strcmp(weir_addr_format(&addrs[i], text, sizeof text), want) == 0)
            return true;
    return false;
}

/* --- the server's names --- */

static const struct dns_entry entries[] = {
    { .name = "one.test", .a = { "127.0.0.1" } },
    { .name = "two.test", .a = { "127.0.0.1", "192.0.2.7" }, .aaaa = { "::1" } },
    { .name = "six.test", .aaaa = { "2001:db8::6" } },
    { .name = "alias.test", .a = { "192.0.2.9" }, .alias = "real.test" },
    { .name = "empty.test" },
    { .name = "fails.test", .how = DNS_FAILS },
    { .name = "silent.test", .how = DNS_SILENT },
    { .name = "garbage.test", .how = DNS_GARBAGE },
    { .name = "second.test", .how = DNS_SECOND_TIME, .a = { "192.0.2.2" } },
    { .name = "big.test", .how = DNS_BY_TCP, .many = 150 },
};

static void ask_config(struct weir_resolve_config *config, const struct dns_server *server)
{
    weir_resolve_config_init(config);
    config->servers = server->servers;
    config->timeout = WEIR_SEC(10); /* nothing has to be asked again unless a case is about it */
}

static void answers_main(void *arg)
{
    struct weir_resolve_config config;
    struct weir_addr addrs[200];
    struct dns_server server;

    (void)arg;
    dns_open(&server, entries, WEIR_COUNT(entries));
    ask_config(&config, &server);
    check_int(weir_resolve("one.test:80", addrs, 200, &config, SOON), 1);
    check_addr(&addrs[0], "127.0.0.1:80");
    check_int(weir_resolve("two.test:65535", addrs, 200, &config, SOON), 3);
    check(addrs_have(addrs, 3, "127.0.0.1:65535") && addrs_have(addrs, 3, "192.0.2.7:65535") &&
          addrs_have(addrs, 3, "[::1]:65535"));
    check_int(weir_resolve("TWO.test:0", addrs, 1, &config, SOON), 1); /* the first */
    check_int(weir_resolve("alias.test:1", addrs, 200, &config, SOON), 1);
    check_addr(&addrs[0], "192.0.2.9:1");
    check_int(weir_resolve("six.test:1", addrs, 200, &config, SOON), 1);
    check_addr(&addrs[0], "[2001:db8::6]:1");
    config.family = AF_INET;
    check_int(weir_resolve("two.test:1", addrs, 200, &config, SOON), 2);
    check_int(weir_resolve("six.test:1", addrs, 200, &config, SOON), -ENOENT);
    config.family = AF_INET6;
    check_int(weir_resolve("two.test:1", addrs, 200, &config, SOON), 1);
    check_int(weir_resolve("one.test:1", addrs, 200, &config, SOON), -ENOENT);
    dns_close(&server);
}

static void the_server_answers(void **state)
{
    (void)state;
    run(answers_main);
}

/* A truncated answer is asked for again over TCP. */
static void by_tcp_main(void *arg)
{
    struct weir_resolve_config config;
    struct weir_addr addrs[200];
    struct dns_server server;

    (void)arg;
    dns_open(&server, entries, WEIR_COUNT(entries));
    ask_config(&config, &server);
    config.family = AF_INET;
    check_int(weir_resolve("big.test:80", addrs, 200, &config, SOON), 150);
    check(addrs_have(addrs, 150, "10.0.0.0:80") && addrs_have(addrs, 150, "10.0.0.149:80"));
    check_int(server.by_tcp, 1);
    check_int(weir_resolve("big.test:80", addrs, 100, &config, SOON), 100);
    dns_close(&server);
}

static void long_answers_come_by_tcp(void **state)
{
    (void)state;
    run(by_tcp_main);
}

static void fails_main(void *arg)
{
    struct weir_resolve_config config;
    struct weir_addr addr;
    struct dns_server server;
    unsigned asked;

    (void)arg;
    dns_open(&server, entries, WEIR_COUNT(entries));
    ask_config(&config, &server);
    check_int(weir_resolve("nobody.test:80", &addr, 1, &config, SOON), -ENOENT);
    check_int(weir_resolve("empty.test:80", &addr, 1, &config, SOON), -ENOENT);
    check_int(weir_resolve("fails.test:80", &addr, 1, &config, SOON), -EAGAIN);
    check_int(weir_resolve("silent.test:80", &addr, 1, &config, weir_after(WEIR_MS(20))),
              -ETIMEDOUT);
    config.timeout = WEIR_MS(20);
    check_int(weir_resolve("second.test:80", &addr, 1, &config, SOON), 1);
    check_addr(&addr, "192.0.2.2:80");
    config.tries = 2;
    asked = server.asked;
    check_int(weir_resolve("silent.test:80", &addr, 1, &config, SOON), -EAGAIN);
    check_int(server.asked - asked, 2 * 2); /* for A and AAAA */
    config.tries = 1;
    check_int(weir_resolve("garbage.test:80", &addr, 1, &config, SOON), -EAGAIN);
    dns_close(&server);
    check_int(weir_resolve("one.test:80", &addr, 1, &config, SOON), -EAGAIN); /* nobody there */
}

static void what_goes_wrong_is_told(void **state)
{
    (void)state;
    run(fails_main);
}

/* The first server is not there: the second is asked. */
static void servers_main(void *arg)
{
    struct weir_resolve_config config;
    struct weir_addr addr;
    struct dns_server server, gone;
    char servers[160];

    (void)arg;
    dns_open(&gone, NULL, 0);
    dns_open(&server, entries, WEIR_COUNT(entries));
    dns_close(&gone);
    ask_config(&config, &server);
    snprintf(servers, sizeof servers, "%s,%s", gone.servers, server.servers);
    config.servers = servers;
    config.timeout = WEIR_MS(50); /* of two questions in one socket only one hears of the refusal */
    check_int(weir_resolve("one.test:80", &addr, 1, &config, SOON), 1);
    check_addr(&addr, "127.0.0.1:80");
    dns_close(&server);
}

static void servers_are_asked_in_turn(void **state)
{
    (void)state;
    run(servers_main);
}

/* --- many, cancelled --- */

enum { ASKERS = 100 };

static void asks(void *arg)
{
    struct dns_server *server = arg;
    struct weir_resolve_config config;
    struct weir_addr addrs[4];

    ask_config(&config, server);
    for (int i = 0; i < 3; i++) {
        check_int(weir_resolve("one.test:80", addrs, 4, &config, SOON), 1);
        check_int(weir_resolve("nobody.test:80", addrs, 4, &config, SOON), -ENOENT);
        check_int(weir_resolve("two.test:80", addrs, 4, &config, SOON), 3);
    }
}

static void asks_in_vain(void *arg)
{
    struct weir_resolve_config config;
    struct weir_addr addr;

    ask_config(&config, arg);
    check_int(weir_resolve("silent.test:80", &addr, 1, &config, SOON), -ECANCELED);
}

static void many_main(void *arg)
{
    struct weir_scope scope, vain;
    struct dns_server server;

    (void)arg;
    weir_scope_init(&scope);
    weir_scope_init(&vain);
    dns_open(&server, entries, WEIR_COUNT(entries));
    for (int i = 0; i < ASKERS; i++) {
        check_int(weir_spawn(&scope, asks, &server), 0);
        check_int(weir_spawn(&vain, asks_in_vain, &server), 0);
    }
    check_int(weir_scope_join(&scope, SOON), 0);
    weir_scope_cancel(&vain);
    check_int(weir_scope_join(&vain, SOON), 0);
    dns_close(&server);
}

static void many_ask_at_once(void **state)
{
    (void)state;
    run_on(2, many_main);
}

/* --- texts --- */

static void texts_main(void *arg)
{
    static const char *const wrong[] = {
        "",
        "name",
        "name:",
        ":80",
        "name:65536",
        "name:080",
        "name:-1",
        "name:80 ",
        "1.2.3:80",
        "1.2.3.4.5:80",
        "999.1.1.1:80",
        "a b:80",
        "a:b:80",
        "[::1:80",
        "\xc3\xa4.test:80",
        "name:http",
    };
    struct weir_resolve_config config;
    struct weir_addr addr;
    char name[300];

    (void)arg;
    check_int(weir_resolve("192.0.2.1:80", &addr, 1, NULL, weir_now()), 1);
    check_addr(&addr, "192.0.2.1:80");
    check_int(weir_resolve("[2001:db8::1]:443", &addr, 1, NULL, weir_now()), 1);
    check_addr(&addr, "[2001:db8::1]:443");
    check_int(weir_resolve("unix:/run/x", &addr, 1, NULL, weir_now()), 1);
    check_addr(&addr, "unix:/run/x");
    for (size_t i = 0; i < WEIR_COUNT(wrong); i++)
        if (weir_resolve(wrong[i], &addr, 1, NULL, SOON) != -EINVAL)
            weir_panic("'%s' is taken", wrong[i]);
    memset(name, 'a', sizeof name);
    strcpy(name + 254, ":80");
    check_int(weir_resolve(name, &addr, 1, NULL, SOON), -EINVAL); /* too long by one */
    strcpy(name + 64, ".test:80");
    check_int(weir_resolve(name, &addr, 1, NULL, SOON), -EINVAL); /* a label of 64 */
    for (int i = 0; i < 5; i++) {
        weir_resolve_config_init(&config);
        config.servers = i == 0 ? "not a server" : NULL;
        config.tries -= i == 1 ? 3 : 0;
        config.timeout = i == 2 ? WEIR_MS(1) - 1 : i == 3 ? WEIR_SEC(3600) + 1 : WEIR_SEC(1);
        config.family = i == 4 ? AF_UNIX : AF_UNSPEC;
        check_int(weir_resolve("name.test:80", &addr, 1, &config, SOON), -EINVAL);
    }
}

static void numbers_and_nonsense(void **state)
{
    (void)state;
    run(texts_main);
}

/* --- the file --- */

static void hosts_main(void *arg)
{
    struct weir_resolve_config config;
    struct weir_addr addrs[4];

    (void)arg;
    weir_resolve_config_init(&config);
    check_int(weir_resolve("hosted.test:80", addrs, 4, &config, SOON), 2);
    check(addrs_have(addrs, 2, "10.1.2.3:80") && addrs_have(addrs, 2, "[fd00::7]:80"));
    check_int(weir_resolve("hosted.test:80", addrs, 1, &config, SOON), 1);
    config.family = AF_INET;
    check_int(weir_resolve("nick:80", addrs, 4, &config, SOON), 1);
    check_addr(&addrs[0], "10.1.2.3:80");
}

static void sim_hosts_main(void *arg)
{
    struct weir_listener *listener;
    struct weir_conn *conn, *peer;
    struct weir_addr addr;

    hosts_main(arg);
    check_int(weir_resolve("one.test:80", &addr, 1, NULL, SOON), -ENOENT); /* no servers */
    check_int(weir_listen(&listener, "10.1.2.3:80", NULL), 0);
    check_int(weir_connect_name(&conn, "hosted.test:80", NULL, SOON), 0); /* nobody has fd00::7 */
    check_int(weir_accept(listener, &peer, SOON), 0);
    weir_listener_close(listener);
    weir_close(conn);
    weir_close(peer);
}

static void the_file_is_first(void **state)
{
    char path[] = "/tmp/weir-test-hosts-XXXXXX";
    int fd = mkstemp(path);
    struct weir_sim_config config;

    (void)state;
    assert_true(fd >= 0);
    assert_true(dprintf(fd, "10.1.2.3 hosted.test nick\nfd00::7 hosted.test\n") > 0);
    setenv("CARES_HOSTS", path, 1);
    run(hosts_main);
    weir_sim_config_init(&config);
    config.shards = 1;
    assert_int_equal(weir_sim_run(&config, sim_hosts_main, NULL), 0);
    unsetenv("CARES_HOSTS");
    unlink(path);
    close(fd);
}

/* --- connecting by name --- */

static void name_main(void *arg)
{
    struct weir_resolve_config config;
    struct weir_listener *listener;
    struct weir_conn *conn, *peer;
    struct dns_server server;
    struct weir_addr addr;
    char text[64];

    (void)arg;
    dns_open(&server, entries, WEIR_COUNT(entries));
    ask_config(&config, &server);
    check_int(weir_listen(&listener, "127.0.0.1:0", NULL), 0);
    weir_listener_addr(listener, &addr);
    for (int i = 0; i < 2; i++) { /* the second has an IPv6 address where nobody listens */
        snprintf(text, sizeof text, "%s.test:%u", i ? "two" : "one", ntohs(addr.in.sin_port));
        check_int(weir_connect_name(&conn, text, &config, SOON), 0);
        check_int(weir_accept(listener, &peer, SOON), 0);
        check_int(weir_send(conn, "x", 1, SOON), 1);
        check_int(weir_recv(peer, text, 1, SOON), 1);
        weir_close(conn);
        weir_close(peer);
    }
    weir_listener_close(listener);
    snprintf(text, sizeof text, "one.test:%u", ntohs(addr.in.sin_port));
    check_int(weir_connect_name(&conn, text, &config, SOON), -ECONNREFUSED);
    check_int(weir_connect_name(&conn, "nobody.test:1", &config, SOON), -ENOENT);
    check_int(weir_connect_name(&conn, "nonsense", &config, SOON), -EINVAL);
    check_int(weir_connect_name(&conn, "silent.test:1", &config, weir_after(WEIR_MS(10))),
              -ETIMEDOUT);
    snprintf(text, sizeof text, "kernel:%.40s", server.servers); /* its TCP side */
    check_int(weir_connect_name(&conn, text, &config, SOON), 0);
    weir_close(conn);
    dns_close(&server);
}

static void connects_by_name(void **state)
{
    (void)state;
    run(name_main);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_server_answers),      cmocka_unit_test(long_answers_come_by_tcp),
        cmocka_unit_test(what_goes_wrong_is_told), cmocka_unit_test(servers_are_asked_in_turn),
        cmocka_unit_test(many_ask_at_once),        cmocka_unit_test(numbers_and_nonsense),
        cmocka_unit_test(the_file_is_first),       cmocka_unit_test(connects_by_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
