/* test_tcp_netsim.c - our TCP over networks that are bad in known ways, on a virtual clock.
 *
 * A table: loss x round-trip time x rate and buffer, and the goodput of one flow; it is compared
 * with tests/net/netsim.txt, for the simulation is exact.  WEIR_SNAPSHOT=write writes that file
 * anew: look at what has changed before you keep it.
 *
 * Then transfers in both directions at once over wires with all faults together, byte by byte, one
 * wire per seed (tests/seeds.h). */
#include "tests/core/testing.h"
#include "tests/seeds.h"
#include <errno.h>
#include <weir/net.h>
#include <weir/sim.h>
#include <weir/sync.h>
#include <weir/weir.h>

enum { FLOW_BYTES = 2 << 20, CHUNK = 65536, PORT_TEXT = 64 };

#define SOON weir_after(WEIR_SEC(3600))

/* --- bytes --- */

static uint8_t flow_byte(uint64_t salt, size_t at)
{
    return (uint8_t)((at * 31 + (at >> 8) * 7 + (at >> 16) * 131 + salt) >> 1);
}

static void flow_fill(uint8_t *to, uint64_t salt, size_t at, size_t len)
{
    for (size_t i = 0; i < len; i++)
        to[i] = flow_byte(salt, at + i);
}

static void flow_send(struct weir_conn *conn, uint64_t salt, size_t total)
{
    uint8_t *chunk = malloc(CHUNK);

    for (size_t done = 0; done < total;) {
        size_t len = total - done < CHUNK ? total - done : CHUNK;

        flow_fill(chunk, salt, done, len);
        check_int(weir_send(conn, chunk, len, SOON), (int64_t)len);
        done += len;
    }
    check_int(weir_shutdown(conn), 0);
    free(chunk);
}

static void flow_receive(struct weir_conn *conn, uint64_t salt, size_t total)
{
    uint8_t *chunk = malloc(CHUNK), *want = malloc(CHUNK);
    size_t done = 0;
    int64_t n;

    while ((n = weir_recv(conn, chunk, CHUNK, SOON)) > 0) {
        flow_fill(want, salt, done, (size_t)n);
        check(memcmp(chunk, want, (size_t)n) == 0);
        done += (size_t)n;
    }
    check_int(n, 0);
    check_int((int64_t)done, (int64_t)total);
    free(want);
    free(chunk);
}

/* --- two shards: the last one serves, the first one calls --- */

struct flow {
    size_t up, down; /* bytes */
    uint64_t salt;
    weir_time began, ended; /* until the last byte upwards was received */
    bool listening;
    char address[PORT_TEXT];
};

struct sender {
    struct weir_conn *conn;
    uint64_t salt;
    size_t total;
};

static void sender_main(void *arg)
{
    struct sender *sender = arg;

    flow_send(sender->conn, sender->salt, sender->total);
}

static void flow_serve(struct flow *flow)
{
    struct weir_listener *listener;
    struct weir_scope scope;
    struct weir_conn *conn;
    struct weir_addr addr;

    check_int(weir_listen(&listener, "127.0.0.1:0", NULL), 0);
    weir_listener_addr(listener, &addr);
    weir_addr_format(&addr, flow->address, sizeof flow->address);
    flow->listening = true;
    check_int(weir_accept(listener, &conn, SOON), 0);
    weir_scope_init(&scope);
    check_int(
        weir_spawn(&scope, sender_main, &((struct sender){ conn, flow->salt + 1, flow->down })), 0);
    flow_receive(conn, flow->salt, flow->up);
    flow->ended = weir_now();
    check_int(weir_scope_join(&scope, SOON), 0);
    weir_close(conn);
    weir_listener_close(listener);
}

static void flow_call(struct flow *flow)
{
    struct weir_scope scope;
    struct weir_conn *conn;
    int error;

    while (!flow->listening)
        weir_sleep(WEIR_MS(1));
    flow->began = weir_now();
    do /* handshakes may fail for good on a very bad wire */
        error = weir_connect(&conn, flow->address, SOON);
    while (error == -ETIMEDOUT);
    check_int(error, 0);
    weir_scope_init(&scope);
    check_int(weir_spawn(&scope, sender_main, &((struct sender){ conn, flow->salt, flow->up })), 0);
    flow_receive(conn, flow->salt + 1, flow->down);
    check_int(weir_scope_join(&scope, SOON), 0);
    weir_close(conn);
}

static void flow_main(void *arg)
{
    if (weir_shard_id() + 1 == weir_shard_count())
        flow_serve(arg);
    else if (weir_shard_id() == 0)
        flow_call(arg);
}

static void flow_run(struct flow *flow, uint64_t seed, const char *impair)
{
    struct weir_sim_config config;

    weir_sim_config_init(&config);
    config.shards = 2;
    config.seed = seed;
    config.limit = WEIR_SEC(36000);
    config.native = true;
    config.impair = impair;
    config.pcap = getenv("WEIR_PCAP");
    check_int(weir_sim_run(&config, flow_main, flow), 0);
}

/* --- the table --- */

static const struct {
    const char *loss;
    int rtt_ms;
} rows[] = {
    { "0%", 1 }, { "0%", 20 }, { "0%", 100 }, { "0.1%", 1 }, { "0.1%", 20 }, { "0.1%", 100 },
    { "1%", 1 }, { "1%", 20 }, { "1%", 100 }, { "5%", 1 },   { "5%", 20 },   { "5%", 100 },
};

static const struct {
    const char *rate, *queue;
} columns[] = {
    { "10mbit", "32k" },
    { "100mbit", "64k" },
    { "100mbit", "512k" },
    { "1gbit", "1m" },
};

static unsigned long goodput_kbit(size_t row, size_t column)
{
    struct flow flow = { .up = FLOW_BYTES };
    char impair[256];

    snprintf(impair, sizeof impair, "loss=%s,delay=%dus,rate=%s,queue=%s,dir=tx", rows[row].loss,
             rows[row].rtt_ms * 500, columns[column].rate, columns[column].queue);
    flow_run(&flow, 7, impair);
    return (unsigned long)(8.0 * FLOW_BYTES / ((double)(flow.ended - flow.began) / 1e9) / 1000);
}

static void table_print(char *text, size_t size)
{
    size_t len = (size_t)snprintf(text, size, "goodput of one flow of 2 MiB, in Mbit/s\n\n%-6s %6s",
                                  "loss", "RTT");

    for (size_t c = 0; c < WEIR_COUNT(columns); c++)
        len += (size_t)snprintf(text + len, size - len, "  %7s %5s", columns[c].rate,
                                columns[c].queue);
    len += (size_t)snprintf(text + len, size - len, "\n");
    for (size_t r = 0; r < WEIR_COUNT(rows); r++) {
        len +=
            (size_t)snprintf(text + len, size - len, "%-6s %3d ms", rows[r].loss, rows[r].rtt_ms);
        for (size_t c = 0; c < WEIR_COUNT(columns); c++) {
            unsigned long kbit = goodput_kbit(r, c);

            len +=
                (size_t)snprintf(text + len, size - len, "  %9lu.%03lu", kbit / 1000, kbit % 1000);
        }
        len += (size_t)snprintf(text + len, size - len, "\n");
    }
}

/* Beside this file; tests run where __FILE__ can be found from. */
static FILE *table_open(const char *mode)
{
    char path[1024];
    size_t dir = strlen(__FILE__) - strlen("test_tcp_netsim.c");

    snprintf(path, sizeof path, "%.*snetsim.txt", (int)dir, __FILE__);
    return fopen(path, mode);
}

static void goodput_is_as_in_the_snapshot(void **state)
{
    static char now[8192], before[8192];
    const char *snapshot = getenv("WEIR_SNAPSHOT");
    FILE *file;

    (void)state;
    seed_now = 7;
    table_print(now, sizeof now);
    fputs(now, stderr);
    if (snapshot && strcmp(snapshot, "write") == 0) {
        file = table_open("w");
        assert_non_null(file);
        fputs(now, file);
        fclose(file);
        return;
    }
    file = table_open("r");
    assert_non_null(file);
    before[fread(before, 1, sizeof before - 1, file)] = '\0';
    fclose(file);
    if (strcmp(now, before) != 0)
        fail_msg("not as tests/net/netsim.txt (WEIR_SNAPSHOT=write to renew it), which has\n%s",
                 before);
}

/* --- all faults together --- */

static void faults_of(uint64_t seed, char *text, size_t size)
{
    uint64_t random = seed * 1000003;
    unsigned loss = (unsigned)random_below(&random, 31), twice, order, bad, delay, jitter;

    twice = (unsigned)random_below(&random, 21);
    order = (unsigned)random_below(&random, 31);
    bad = (unsigned)random_below(&random, 11);
    delay = (unsigned)random_below(&random, 20000);
    jitter = (unsigned)random_below(&random, 5000);
    snprintf(
        text, size,
        "loss=%u.%u%%,duplicate=%u.%u%%,reorder=%u.%u%%,corrupt=%u.%u%%,delay=%uus,jitter=%uus,"
        "dir=tx",
        loss / 10, loss % 10, twice / 10, twice % 10, order / 10, order % 10, bad / 10, bad % 10,
        delay, jitter);
}

static void faults_body(uint64_t seed)
{
    uint64_t random = seed;
    struct flow flow = { .salt = seed };
    char impair[256];

    flow.up = (1 << 20) + (size_t)random_below(&random, 1 << 20);
    flow.down = (size_t)random_below(&random, 1 << 20);
    faults_of(seed, impair, sizeof impair);
    flow_run(&flow, seed, impair);
}

static void transfers_are_exact_under_all_faults(void **state)
{
    (void)state;
    seeds_each(50, faults_body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(goodput_is_as_in_the_snapshot),
        cmocka_unit_test(transfers_are_exact_under_all_faults),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
