/* udp_suite_data.c - the datagram suite: what is sent is what is received. */
#include "tests/net/udp_suite.h"

/* --- there and back --- */

static void echo_one(struct weir_udp *client, struct weir_udp *server, size_t len, unsigned salt)
{
    struct weir_addr at = udp_addr(server), from;
    uint8_t data[2000], back[2000];

    stream_fill(data, len, 0, salt);
    check_int(weir_send_to(client, data, len, &at, SOON), (int64_t)len);
    check_int(weir_recv_from(server, back, sizeof back, &from, SOON), (int64_t)len);
    stream_check(back, len, 0, salt);
    check_int(weir_send_to(server, back, len, &from, SOON), (int64_t)len);
    memset(back, 0, sizeof back);
    check_int(weir_recv_from(client, back, sizeof back, &from, SOON), (int64_t)len);
    stream_check(back, len, 0, salt);
    check(udp_addr_eq(&from, &at));
}

static void echo_between(const char *server_at, const char *client_at)
{
    struct weir_udp *server = udp_open(server_at), *client = udp_open(client_at);

    for (unsigned i = 0; i < 30; i++)
        echo_one(client, server, i < 3 ? i : (size_t)random_in(0, 1400), i);
    weir_udp_close(client);
    weir_udp_close(server);
}

static void echo(void *arg)
{
    (void)arg;
    echo_between("127.0.0.1:0", "127.0.0.1:0");
    echo_between("127.0.0.1:0", "*:0");
}

static void echo_v6(void *arg)
{
    (void)arg;
    echo_between("[::1]:0", "[::1]:0");
    echo_between("[::1]:0", "[::]:0");
}

/* A socket for both shows IPv4 as ::ffff:a.b.c.d, and takes it so. */
static void v4_on_a_v6_socket(void *arg)
{
    struct weir_udp *both, *client = udp_open("127.0.0.1:0"), *v6_only;
    struct weir_udp_config config;
    struct weir_addr to, from;
    char text[WEIR_ADDR_TEXT];

    (void)arg;
    weir_udp_config_init(&config);
    config.ipv6_only = false;
    check_int(weir_udp_open(&both, "[::]:0", &config), 0);
    to = udp_addr(client);
    to.in.sin_port = htons(udp_port(both));
    check_int(weir_send_to(client, "x", 1, &to, SOON), 1);
    check_int(weir_recv_from(both, text, 1, &from, SOON), 1);
    check_int(from.sa.sa_family, AF_INET6);
    check(strncmp(weir_addr_format(&from, text, sizeof text), "[::ffff:127.0.0.1]:", 19) == 0);
    check_int(weir_send_to(both, "y", 1, &from, SOON), 1);
    udp_hear(client, "y");
    weir_udp_close(both);
    v6_only = udp_open("[::]:0");
    to.in.sin_port = htons(udp_port(v6_only));
    check_int(weir_send_to(client, "x", 1, &to, SOON), 1);
    udp_hear_nothing(v6_only);
    weir_udp_close(v6_only);
    weir_udp_close(client);
}

/* --- batches --- */

enum { BATCH = 100, BATCH_BYTES = 20 };

struct batch {
    struct weir_datagram datagram[BATCH];
    uint8_t data[BATCH][BATCH_BYTES];
};

/* Datagram i has i bytes less one of BATCH_BYTES, and is known by its first. */
static void batch_fill(struct batch *batch, const struct weir_addr *peer)
{
    memset(batch, 0, sizeof *batch);
    for (unsigned i = 0; i < BATCH; i++) {
        batch->data[i][0] = (uint8_t)i;
        batch->datagram[i].data = batch->data[i];
        batch->datagram[i].len = 1 + i % BATCH_BYTES;
        if (peer)
            batch->datagram[i].peer = *peer;
    }
}

static void batch_room(struct batch *batch)
{
    memset(batch, 0, sizeof *batch);
    for (unsigned i = 0; i < BATCH; i++)
        batch->datagram[i] =
            (struct weir_datagram){ .data = batch->data[i], .len = BATCH_BYTES, .cut = true };
}

/* Each comes once. */
static void batch_recv(struct weir_udp *udp, const struct weir_addr *from)
{
    struct batch batch;
    bool seen[BATCH] = { false };

    for (int64_t got = 0, n; got < BATCH; got += n) {
        batch_room(&batch);
        n = weir_udp_recv(udp, batch.datagram, (size_t)random_in(1, BATCH), SOON);
        check(n > 0);
        for (int64_t i = 0; i < n; i++) {
            unsigned which = batch.data[i][0];

            check(which < BATCH && !seen[which]);
            seen[which] = true;
            check_int((int64_t)batch.datagram[i].len, 1 + which % BATCH_BYTES);
            check(!batch.datagram[i].cut);
            check(udp_addr_eq(&batch.datagram[i].peer, from));
        }
    }
}

static void batches(void *arg)
{
    struct batch batch;
    struct udp_two two;

    (void)arg;
    udp_two_open(&two);
    batch_fill(&batch, &two.at_b);
    check_int(weir_udp_send(two.a, batch.datagram, BATCH, SOON), BATCH);
    batch_recv(two.b, &two.at_a);
    batch_fill(&batch, NULL);
    check_int(weir_udp_connect(two.a, &two.at_b), 0);
    check_int(weir_udp_send(two.a, batch.datagram, BATCH, SOON), BATCH);
    batch_recv(two.b, &two.at_a);
    check_int(weir_udp_send(two.a, batch.datagram, 0, SOON), 0);
    udp_hear_nothing(two.b);
    udp_two_close(&two);
}

/* What is before the one that fails goes out; its error comes with the next call. */
static void a_batch_stops_at_an_error(void *arg)
{
    static uint8_t big[70000];
    struct weir_datagram batch[3] = { { .data = big, .len = 1 },
                                      { .data = big, .len = sizeof big },
                                      { .data = big, .len = 2 } };
    struct weir_udp_io io;
    struct udp_two two;

    (void)arg;
    udp_two_open(&two);
    check_int(weir_udp_connect(two.a, &two.at_b), 0);
    check_int(weir_udp_send(two.a, batch, 3, SOON), 1);
    weir_udp_send_start(&io, two.a, batch + 1, 2);
    check_int(weir_await(&io.future, SOON), -EMSGSIZE);
    check_int((int64_t)io.moved, 0);
    check_int(weir_udp_send(two.a, batch + 2, 1, SOON), 1);
    check(weir_recv_from(two.b, big, 10, NULL, SOON) > 0);
    check(weir_recv_from(two.b, big, 10, NULL, SOON) > 0);
    udp_hear_nothing(two.b);
    udp_two_close(&two);
}

/* --- the edges of one --- */

static void what_does_not_fit_is_cut(void *arg)
{
    struct weir_datagram one;
    struct udp_two two;
    char data[10];

    (void)arg;
    udp_two_open(&two);
    udp_say(&two, "0123456789abc");
    check_int(weir_recv_from(two.b, data, sizeof data, NULL, SOON), sizeof data);
    check(memcmp(data, "0123456789", 10) == 0);
    for (int longer = -1; longer <= 1; longer++) {
        udp_say(&two, longer < 0 ? "012345678" : longer == 0 ? "0123456789" : "0123456789a");
        one = (struct weir_datagram){ .data = data, .len = sizeof data };
        check_int(weir_udp_recv(two.b, &one, 1, SOON), 1);
        check_int((int64_t)one.len, longer < 0 ? 9 : 10);
        check(one.cut == (longer > 0));
    }
    udp_say(&two, "x");
    one = (struct weir_datagram){ .data = NULL, .len = 0 };
    check_int(weir_udp_recv(two.b, &one, 1, SOON), 1);
    check(one.len == 0 && one.cut && udp_addr_eq(&one.peer, &two.at_a));
    udp_hear_nothing(two.b); /* the rest is gone */
    udp_two_close(&two);
}

static void what_does_not_fit_is_cut_when_awaited(void *arg)
{
    struct weir_udp_io rx;
    struct weir_datagram one;
    struct udp_two two;
    char data[3];

    (void)arg;
    udp_two_open(&two);
    one = (struct weir_datagram){ .data = data, .len = sizeof data };
    weir_udp_recv_start(&rx, two.b, &one, 1);
    check(!rx.future.done);
    udp_say(&two, "abcdef");
    check_int(weir_await(&rx.future, SOON), 1);
    check(one.len == 3 && one.cut && memcmp(data, "abc", 3) == 0);
    udp_two_close(&two);
}

static void empty_datagrams(void *arg)
{
    struct weir_addr from;
    struct udp_two two;
    char data[10];

    (void)arg;
    udp_two_open(&two);
    check_int(weir_send_to(two.a, NULL, 0, &two.at_b, SOON), 0);
    check_int(weir_recv_from(two.b, data, sizeof data, &from, SOON), 0);
    check(udp_addr_eq(&from, &two.at_a));
    udp_hear_nothing(two.b);
    udp_two_close(&two);
}

static void the_largest_and_one_more(void *arg)
{
    static uint8_t data[70000];
    size_t largest = udp_under_test.largest;
    struct udp_two two;

    (void)arg;
    udp_two_open(&two);
    stream_fill(data, largest, 0, 1);
    check_int(weir_send_to(two.a, data, largest, &two.at_b, SOON), (int64_t)largest);
    memset(data, 0, sizeof data);
    check_int(weir_recv_from(two.b, data, sizeof data, NULL, SOON), (int64_t)largest);
    stream_check(data, largest, 0, 1);
    check_int(weir_send_to(two.a, data, largest + 1, &two.at_b, SOON), -EMSGSIZE);
    check_int(weir_send_to(two.a, data, sizeof data, &two.at_b, SOON), -EMSGSIZE);
    udp_hear_nothing(two.b);
    udp_two_close(&two);
}

/* --- the bound of the queue --- */

enum { FLOOD = 100, FLOOD_BYTES = 500, FLOOD_QUEUE = 8192 };

static void the_queue_is_bounded(void *arg)
{
    struct weir_udp_config config;
    struct udp_two two;
    char data[FLOOD_BYTES] = { 0 };
    int64_t got = 0;

    (void)arg;
    udp_two_open(&two);
    weir_udp_close(two.b);
    weir_udp_config_init(&config);
    config.queue_max = FLOOD_QUEUE;
    check_int(weir_udp_open(&two.b, "127.0.0.1:0", &config), 0);
    two.at_b = udp_addr(two.b);
    for (int i = 0; i < FLOOD; i++)
        check_int(weir_send_to(two.a, data, sizeof data, &two.at_b, SOON), FLOOD_BYTES);
    check_int(weir_sleep(WEIR_MS(20)), 0);
    while (weir_recv_from(two.b, data, sizeof data, NULL, A_WHILE) == FLOOD_BYTES)
        got++;
    check(got > 0 && got * FLOOD_BYTES <= 2 * FLOOD_QUEUE);
    check_int((int64_t)weir_udp_dropped(two.b), FLOOD - got);
    udp_say(&two, "again"); /* there is room again */
    udp_hear(two.b, "again");
    udp_two_close(&two);
}

static const struct suite_case udp_suite_data[] = {
    { "echo", echo, { 0 } },
    { "echo_v6", echo_v6, { 0 } },
    { "v4_on_a_v6_socket", v4_on_a_v6_socket, { 0 } },
    { "batches", batches, { 0 } },
    { "a_batch_stops_at_an_error", a_batch_stops_at_an_error, { 0 } },
    { "what_does_not_fit_is_cut", what_does_not_fit_is_cut, { 0 } },
    { "what_does_not_fit_is_cut_when_awaited", what_does_not_fit_is_cut_when_awaited, { 0 } },
    { "empty_datagrams", empty_datagrams, { 0 } },
    { "the_largest_and_one_more", the_largest_and_one_more, { 0 } },
    { "the_queue_is_bounded", the_queue_is_bounded, { 0 } },
};
