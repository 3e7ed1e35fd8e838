/* udp_suite_shards.c - the datagram suite: addresses, several shards at one of them, and
 * Unix-domain sockets. */
#include <sys/stat.h>
#include "tests/net/udp_suite.h"

/* --- addresses --- */

static void bad_addresses(void *arg)
{
    struct weir_udp_config config;
    struct weir_udp *udp;

    (void)arg;
    check_int(weir_udp_open(&udp, "somewhere", NULL), -EINVAL);
    check_int(weir_udp_open(&udp, "127.0.0.1", NULL), -EINVAL);
    weir_udp_config_init(&config);
    check(config.reuse && config.ipv6_only && config.queue_max == 256 * 1024);
    config.queue_max = 0;
    check_int(weir_udp_open(&udp, "127.0.0.1:0", &config), -EINVAL);
    if (udp_under_test.kernel)
        check_int(weir_udp_open(&udp, "192.0.2.77:0", NULL), -EADDRNOTAVAIL);
}

static void bad_targets(void *arg)
{
    struct weir_udp *v4 = udp_open("127.0.0.1:0"), *v6 = udp_open("[::1]:0");
    struct weir_addr at_v4 = udp_addr(v4), at_v6 = udp_addr(v6), port_0 = at_v4;

    (void)arg;
    check_int(weir_send_to(v4, "x", 1, NULL, SOON), -EDESTADDRREQ);
    check_int(weir_send_to(v6, "x", 1, NULL, SOON), -EDESTADDRREQ);
    check_int(weir_send_to(v4, "x", 1, &at_v6, SOON), -EAFNOSUPPORT);
    check_int(weir_send_to(v6, "x", 1, &at_v4, SOON), -ENETUNREACH);
    check_int(weir_udp_connect(v4, &at_v6), -EAFNOSUPPORT);
    port_0.in.sin_port = 0;
    check_int(weir_send_to(v4, "x", 1, &port_0, SOON), -EINVAL);
    check_int(weir_send_to(v4, "x", 1, &at_v4, SOON), 1); /* to itself */
    udp_hear(v4, "x");
    weir_udp_close(v4);
    weir_udp_close(v6);
}

static void an_address_is_taken_once(void *arg)
{
    struct weir_udp *first, *again, *other = udp_open("*:0");
    struct weir_udp_config config;
    struct weir_addr addr;
    char text[WEIR_ADDR_TEXT];

    (void)arg;
    for (int reuse = 0; reuse <= 1; reuse++) {
        weir_udp_config_init(&config);
        config.reuse = reuse;
        check_int(weir_udp_open(&first, "127.0.0.1:0", &config), 0);
        check(udp_port(first) != udp_port(other));
        addr = udp_addr(first);
        weir_addr_format(&addr, text, sizeof text);
        check_int(weir_udp_open(&again, text, &config), -EADDRINUSE);
        weir_udp_close(first);
        check_int(weir_udp_open(&again, text, &config), 0); /* and given up at once */
        weir_udp_close(again);
    }
    weir_udp_close(other);
}

/* The one that names the address is heard before the one that stands for all. */
static void the_more_specific_one_takes_it(void *arg)
{
    struct weir_udp *any = udp_open("*:0"), *one, *client = udp_open("127.0.0.1:0");
    char text[WEIR_ADDR_TEXT];
    struct weir_addr at;

    (void)arg;
    snprintf(text, sizeof text, "127.0.0.1:%u", udp_port(any));
    one = udp_open(text);
    at = udp_addr(one);
    check_int(weir_send_to(client, "one", 3, &at, SOON), 3);
    udp_hear(one, "one");
    udp_hear_nothing(any);
    weir_udp_close(one);
    check_int(weir_send_to(client, "any", 3, &at, SOON), 3);
    udp_hear(any, "any");
    weir_udp_close(any);
    weir_udp_close(client);
}

/* --- several shards at one address --- */

enum { PEERS = 40, ROUNDS_OF_A_PEER = 5 };

static char shared_text[WEIR_ADDR_TEXT];
static struct weir_addr shared_addr;
static _Atomic int served_by[2], peers_left;
static _Atomic unsigned peers_seen[65536]; /* by port: which shards it came to */

static void udp_open_shared(struct weir_udp **udp)
{
    unsigned me = weir_shard_id();

    if (me == 0) {
        *udp = udp_open("127.0.0.1:0");
        shared_addr = udp_addr(*udp);
        weir_addr_format(&shared_addr, shared_text, sizeof shared_text);
    }
    udp_meet(2);
    if (me == 1)
        *udp = udp_open(shared_text);
    udp_meet(2);
}

static void serve_shared(void *arg)
{
    unsigned me = weir_shard_id();
    struct weir_addr from;
    char byte;

    while (weir_recv_from(arg, &byte, 1, &from, WEIR_NEVER) == 1) {
        atomic_fetch_add(&served_by[me], 1);
        atomic_fetch_or(&peers_seen[ntohs(from.in.sin_port)], 1u << me);
        check_int(weir_send_to(arg, &byte, 1, &from, SOON), 1);
    }
}

/* Some have a peer, some have not, and both stand for any address or for one. */
static void peer_of_shared(void *arg)
{
    unsigned kind = (unsigned)(uintptr_t)arg;
    struct weir_udp *udp = udp_open(kind & 1 ? "*:0" : "127.0.0.1:0");
    uint16_t port;

    if (kind & 2)
        check_int(weir_udp_connect(udp, &shared_addr), 0);
    for (char i = 0; i < ROUNDS_OF_A_PEER; i++) {
        char byte;

        check_int(weir_send_to(udp, &i, 1, kind & 2 ? NULL : &shared_addr, SOON), 1);
        check_int(weir_recv_from(udp, &byte, 1, NULL, SOON), 1);
        check_int(byte, i);
    }
    port = udp_port(udp);
    check(atomic_load(&peers_seen[port]) == 1 || atomic_load(&peers_seen[port]) == 2);
    atomic_store(&peers_seen[port], 0);
    weir_udp_close(udp);
    atomic_fetch_sub(&peers_left, 1);
}

static void shards_share_an_address(void *arg)
{
    unsigned me = weir_shard_id();
    struct weir_scope server, peers;
    struct weir_udp *udp;

    (void)arg;
    weir_scope_init(&server);
    weir_scope_init(&peers);
    atomic_store(&served_by[me], 0);
    atomic_store(&peers_left, 2 * PEERS);
    udp_open_shared(&udp);
    check_int(weir_spawn(&server, serve_shared, udp), 0);
    for (unsigned i = 0; i < PEERS; i++)
        check_int(weir_spawn(&peers, peer_of_shared, (void *)(uintptr_t)(i % 4)), 0);
    check_int(weir_scope_join(&peers, SOON), 0);
    udp_meet(2);
    check_int(peers_left, 0);
    check_int(served_by[0] + served_by[1], 2 * PEERS * ROUNDS_OF_A_PEER);
    check(served_by[0] > 0 && served_by[1] > 0);
    weir_scope_cancel(&server);
    check_int(weir_scope_join(&server, SOON), 0);
    weir_udp_close(udp);
}

/* A socket of one shard hears everybody, on whatever shard they are. */
static void one_shard_serves_all(void *arg)
{
    unsigned me = weir_shard_id();
    struct weir_scope server, peers;
    struct weir_udp *udp = NULL;

    (void)arg;
    weir_scope_init(&server);
    weir_scope_init(&peers);
    atomic_store(&served_by[me], 0);
    atomic_store(&peers_left, 2 * PEERS);
    if (me == 0) {
        udp = udp_open("127.0.0.1:0");
        shared_addr = udp_addr(udp);
        check_int(weir_spawn(&server, serve_shared, udp), 0);
    }
    udp_meet(2);
    for (unsigned i = 0; i < PEERS; i++)
        check_int(weir_spawn(&peers, peer_of_shared, (void *)(uintptr_t)(i % 4)), 0);
    check_int(weir_scope_join(&peers, SOON), 0);
    udp_meet(2);
    check_int(served_by[me], me == 0 ? 2 * PEERS * ROUNDS_OF_A_PEER : 0);
    weir_scope_cancel(&server);
    check_int(weir_scope_join(&server, SOON), 0);
    if (udp)
        weir_udp_close(udp);
}

static void reuse_wants_both(void *arg)
{
    unsigned me = weir_shard_id();
    struct weir_udp_config config;
    struct weir_udp *udp;

    (void)arg;
    weir_udp_config_init(&config);
    for (int round = 0; round < 2; round++) {
        config.reuse = round == 0 ? me == 1 : me == 0;
        if (me == 0) {
            check_int(weir_udp_open(&udp, "127.0.0.1:0", &config), 0);
            shared_addr = udp_addr(udp);
            weir_addr_format(&shared_addr, shared_text, sizeof shared_text);
        }
        udp_meet(2);
        if (me == 1)
            check_int(weir_udp_open(&udp, shared_text, &config), -EADDRINUSE);
        udp_meet(2);
        if (me == 0)
            weir_udp_close(udp);
        udp_meet(2);
    }
}

/* Both shards open and close the same address all the time: it is never in use. */
static void sockets_come_and_go(void *arg)
{
    struct weir_udp *udp;

    (void)arg;
    udp_open_shared(&udp);
    for (int i = 0; i < 200; i++) {
        weir_udp_close(udp);
        if (i % 3 == 0)
            check(weir_sleep(random_in(0, WEIR_US(200))) <= 0);
        udp = udp_open(shared_text);
        if (i % 5 == 0)
            weir_yield();
    }
    weir_udp_close(udp);
}

/* A refusal comes back to the shard that has sent. */
static void refusals_come_home(void *arg)
{
    struct weir_udp *udp[10];
    struct weir_addr at;

    (void)arg;
    at = nobody();
    udp_meet(2);
    for (size_t i = 0; i < WEIR_COUNT(udp); i++) {
        udp[i] = udp_open("127.0.0.1:0");
        check_int(weir_udp_connect(udp[i], &at), 0);
        check_int(weir_send_to(udp[i], "x", 1, NULL, SOON), 1);
    }
    for (size_t i = 0; i < WEIR_COUNT(udp); i++) {
        check_int(weir_recv_from(udp[i], &(char){ 0 }, 1, NULL, SOON), -ECONNREFUSED);
        weir_udp_close(udp[i]);
    }
    udp_meet(2);
}

/* --- the wrong shard --- */

static struct weir_udp *udp_of_shard_0;

static void udp_on_the_wrong_shard(void *arg)
{
    (void)arg;
    if (weir_shard_id() == 0)
        udp_of_shard_0 = udp_open("127.0.0.1:0");
    udp_meet(2);
    if (weir_shard_id() == 1)
        weir_recv_from(udp_of_shard_0, &(char){ 0 }, 1, NULL, SOON);
    udp_meet(2); /* not reached */
}

static void run_udp_on_the_wrong_shard(void *arg)
{
    const struct suite_need need = { .shards = 2 };

    (void)arg;
    atomic_store(&udp_ready, 0);
    udp_under_test.run(&need, 1, udp_on_the_wrong_shard, NULL);
}

static void the_wrong_shard_is_told(void **state)
{
    (void)state;
    assert_panics(run_udp_on_the_wrong_shard, NULL,
                  "weir_udp_recv: this object belongs to shard 0 and was used on shard 1");
}

static void leaves_udp_open(void *arg)
{
    (void)arg;
    udp_open("127.0.0.1:0");
}

static void run_leaves_udp_open(void *arg)
{
    const struct suite_need need = { .shards = 1 };

    (void)arg;
    udp_under_test.run(&need, 1, leaves_udp_open, NULL);
}

static void what_is_left_open_is_told(void **state)
{
    (void)state;
    assert_panics(run_leaves_udp_open, NULL, "datagram sockets");
}

/* --- Unix-domain --- */

static struct weir_addr unix_addr(char *text, const char *name)
{
    struct weir_addr addr;

    snprintf(text, WEIR_ADDR_TEXT, "unix:%s-%d", name, (int)getpid());
    check_int(weir_addr_parse(&addr, text), 0);
    return addr;
}

static void unix_datagrams(void *arg)
{
    char path[WEIR_ADDR_TEXT], name[WEIR_ADDR_TEXT], data[10];
    struct weir_addr at = unix_addr(path, "/tmp/weir-udp"), me = unix_addr(name, "@weir-udp"), from;
    struct weir_udp *server, *client = udp_open(name);
    struct stat st;

    (void)arg;
    check_int(weir_send_to(client, "x", 1, &at, SOON), -ENOENT);
    check_int(weir_send_to(client, "x", 1, NULL, SOON), -EDESTADDRREQ);
    server = udp_open(path);
    check_int(weir_udp_open(&(struct weir_udp *){ NULL }, path, NULL), -EADDRINUSE);
    check_int(weir_send_to(client, "hello", 5, &at, SOON), 5);
    check_int(weir_recv_from(server, data, sizeof data, &from, SOON), 5);
    check(udp_addr_eq(&from, &me));
    check_int(weir_send_to(server, "back", 4, &from, SOON), 4);
    udp_hear(client, "back");
    check_int(weir_udp_connect(client, &at), 0);
    weir_udp_close(server);
    check(stat(at.un.sun_path, &st) < 0);
    check_int(weir_send_to(client, "x", 1, NULL, SOON), -ECONNREFUSED);
    weir_udp_close(client);
}

static void a_dead_path_is_taken_over(void *arg)
{
    char path[WEIR_ADDR_TEXT];
    struct weir_addr at = unix_addr(path, "/tmp/weir-udp-dead");
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct weir_udp *udp;

    (void)arg;
    unlink(at.un.sun_path);
    check(fd >= 0);
    check_int(bind(fd, &at.sa, at.len), 0);
    check_int(weir_udp_open(&udp, path, NULL), -EADDRINUSE);
    close(fd); /* as a program that crashed leaves it */
    udp = udp_open(path);
    check_int(weir_send_to(udp, "me", 2, &at, SOON), 2);
    udp_hear(udp, "me");
    weir_udp_close(udp);
}

/* A sender waits while the receiver's queue is full, whether it has a peer or not; and what waits
 * can be cancelled, closed, and is busy. */
enum { UNIX_MANY = 1000 };

static void unix_sends_wait(const char *receiver_name, bool connected)
{
    char name[WEIR_ADDR_TEXT], text[WEIR_ADDR_TEXT], byte = 0;
    static struct weir_datagram many[UNIX_MANY];
    struct weir_addr at = unix_addr(text, receiver_name);
    struct weir_udp *receiver = udp_open(text), *sender;
    struct weir_udp_io tx;
    size_t moved, got = 0;

    unix_addr(name, "@weir-udp-sender");
    sender = udp_open(name);
    if (connected)
        check_int(weir_udp_connect(sender, &at), 0);
    for (int i = 0; i < UNIX_MANY; i++)
        many[i] = (struct weir_datagram){ .data = &byte, .len = 1, .peer = at };
    weir_udp_send_start(&tx, sender, many, UNIX_MANY);
    check(!tx.future.done);
    check_int(weir_send_to(sender, "x", 1, &at, SOON), -EBUSY);
    check_int(weir_await(&tx.future, weir_after(WEIR_MS(5))), -ETIMEDOUT);
    moved = tx.moved;
    check(moved > 0 && moved < UNIX_MANY);
    weir_udp_send_start(&tx, sender, many, UNIX_MANY - moved);
    while (got < UNIX_MANY) {
        check_int(weir_recv_from(receiver, &byte, 1, NULL, SOON), 1);
        got++;
    }
    check_int(weir_await(&tx.future, SOON), (int64_t)(UNIX_MANY - moved));
    weir_udp_send_start(&tx, sender, many, UNIX_MANY);
    check(!tx.future.done);
    weir_udp_close(sender);
    check_int(weir_await(&tx.future, SOON), -ECANCELED);
    weir_udp_close(receiver);
}

static void unix_sends_wait_for_room(void *arg)
{
    (void)arg;
    unix_sends_wait("@weir-udp-full", false);
    unix_sends_wait("@weir-udp-full", true);
}

static const struct suite_case udp_suite_shards[] = {
    { "bad_addresses", bad_addresses, { 0 } },
    { "bad_targets", bad_targets, { 0 } },
    { "an_address_is_taken_once", an_address_is_taken_once, { 0 } },
    { "the_more_specific_one_takes_it", the_more_specific_one_takes_it, { 0 } },
    { "shards_share_an_address", shards_share_an_address, { .shards = 2 } },
    { "one_shard_serves_all", one_shard_serves_all, { .shards = 2 } },
    { "reuse_wants_both", reuse_wants_both, { .shards = 2 } },
    { "refusals_come_home", refusals_come_home, { .shards = 2 } },
    { "sockets_come_and_go", sockets_come_and_go, { .shards = 2 } },
    { "unix_datagrams", unix_datagrams, { .kernel = true } },
    { "a_dead_path_is_taken_over", a_dead_path_is_taken_over, { .kernel = true } },
    { "unix_sends_wait_for_room", unix_sends_wait_for_room, { .kernel = true } },
};
