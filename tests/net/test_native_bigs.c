/* test_native_bigs.c - packets longer than those of the pool, from one shard to another: they
 * arrive whole, and there is a bound to them. */
#include "tests/core/testing.h"
#include <errno.h>
#include "net/native/bigs.c"
#include "net/native/ip.h"
#include "net/native/wire/wire.h"
#include "tests/seeds.h"

#define SOON weir_after(WEIR_SEC(30))

enum { PORT = 7000, ETHER = 14, HEADERS = ETHER + 20 + 8 };

static struct {
    void (*steps)(void); /* the case: on shard 0 */
    struct weir_native *native[2];
    struct weir_udp *udp; /* of shard 1 */
    bool over;
} bigs;

/* --- the world --- */

static void bigs_main(void *arg)
{
    unsigned id = weir_shard_id();

    (void)arg;
    bigs.native[id] = weir_native_of(weir_stack_of(weir_shard_current));
    if (id == 1) {
        check_int(weir_udp_open(&bigs.udp, "127.0.0.1:7000", NULL), 0);
        while (!bigs.over)
            check_int(weir_sleep(WEIR_MS(1)), 0);
        weir_udp_close(bigs.udp);
        return;
    }
    while (!bigs.udp)
        check_int(weir_sleep(WEIR_MS(1)), 0);
    bigs.steps();
    bigs.over = true;
}

static void bigs_seed(uint64_t seed)
{
    void (*steps)(void) = bigs.steps;
    struct weir_sim_config config;

    memset(&bigs, 0, sizeof bigs);
    bigs.steps = steps;
    weir_sim_config_init(&config);
    config.seed = seed;
    config.shards = 2;
    config.native = true;
    check_int(weir_sim_run(&config, bigs_main, NULL), 0);
}

static void bigs_run(void (*steps)(void))
{
    bigs.steps = steps;
    seeds_each(4, bigs_seed);
}

/* --- packets as shard 0 might have received them --- */

static uint8_t byte_at(uint32_t at)
{
    return (uint8_t)(at * 7 + (at >> 8));
}

static struct weir_pkt *datagram(uint32_t len)
{
    struct weir_pkt *pkt = weir_native_pkt(bigs.native[0], HEADERS + len);
    const struct weir_ip4 ip = { .source = weir_ip_v4(htonl(INADDR_LOOPBACK)),
                                 .target = weir_ip_v4(htonl(INADDR_LOOPBACK)),
                                 .protocol = IPPROTO_UDP,
                                 .ttl = 64,
                                 .total_len = (uint16_t)(28 + len) };
    uint8_t *at;

    check(pkt != NULL);
    at = pkt->buf.data;
    memset(at, 0, HEADERS);
    weir_put16(at + 12, WEIR_ETHERTYPE_IP4);
    check_int((int64_t)weir_ip4_emit(at + ETHER, &ip), 20);
    weir_put16(at + 34, 20000);
    weir_put16(at + 36, PORT);
    weir_put16(at + 38, (uint16_t)(8 + len));
    for (uint32_t i = 0; i < len; i++)
        at[HEADERS + i] = byte_at(i);
    pkt->buf.len = HEADERS + len;
    pkt->l3 = ETHER;
    pkt->l4 = ETHER + 20;
    pkt->flags = WEIR_PKT_IP_GOOD | WEIR_PKT_L4_GOOD;
    return pkt;
}

static int64_t receive_one(void *arg)
{
    static uint8_t data[65536];
    int64_t len = weir_recv_from(bigs.udp, data, sizeof data, NULL, weir_after(WEIR_SEC(1)));

    (void)arg;
    for (int64_t i = 0; i < len; i++)
        check_int(data[i], byte_at((uint32_t)i));
    return len;
}

/* --- cases --- */

static void whole_steps(void)
{
    static const uint32_t lens[] = { WEIR_PKT_ROOM - HEADERS, WEIR_PKT_ROOM - HEADERS + 1, 9000,
                                     65507 };

    for (size_t i = 0; i < WEIR_COUNT(lens); i++) {
        uint32_t before = bigs.native[0]->bigs.live;

        weir_steer_forward(bigs.native[0], datagram(lens[i]), 1);
        check_int(bigs.native[0]->bigs.live, before + (i > 0)); /* until the courier is home */
        check_int(weir_call(1, receive_one, NULL, SOON), lens[i]);
        check_int(weir_sleep(WEIR_MS(1)), 0);
        check_int(bigs.native[0]->bigs.live, 0);
        check_int(bigs.native[1]->bigs.live, 0);
        check_int(bigs.native[1]->bigs.made, i > 0);
    }
    check_int((int64_t)bigs.native[1]->stats.forward_dropped, 0);
}

static void long_datagrams_arrive_whole(void **state)
{
    (void)state;
    bigs_run(whole_steps);
}

static void edge_steps(void)
{
    struct weir_native *native = bigs.native[0];
    struct weir_pkt *pkt = weir_native_pkt(native, WEIR_PKT_ROOM);

    check(pkt && native->bigs.live == 0);
    weir_pkt_free(pkt);
    pkt = weir_native_pkt(native, BIG_ROOM);
    check(pkt && native->bigs.live == 1);
    memset(pkt->buf.data - WEIR_PKT_HEADROOM, 0xa5, WEIR_PKT_HEADROOM + BIG_ROOM);
    weir_pkt_free(pkt);
    check(weir_native_pkt(native, BIG_ROOM + 1) == NULL);
    check(weir_native_pkt(native, SIZE_MAX) == NULL);
}

static void length_has_a_bound(void **state)
{
    (void)state;
    bigs_run(edge_steps);
}

static void bound_steps(void)
{
    struct weir_native *to = bigs.native[1];
    struct weir_pkt *held[BIGS];

    for (unsigned i = 0; i < BIGS - 1; i++)
        check((held[i] = weir_native_pkt(to, WEIR_PKT_ROOM + 1)) != NULL);
    weir_steer_forward(bigs.native[0], datagram(2000), 1);
    check_int(weir_call(1, receive_one, NULL, SOON), 2000);
    check((held[BIGS - 1] = weir_native_pkt(to, WEIR_PKT_ROOM + 1)) != NULL);
    check(weir_native_pkt(to, WEIR_PKT_ROOM + 1) == NULL);
    weir_steer_forward(bigs.native[0], datagram(2000), 1);
    weir_steer_forward(bigs.native[0], datagram(100), 1); /* short ones are not in the way */
    check_int(weir_call(1, receive_one, NULL, SOON), 100);
    check_int((int64_t)to->stats.forward_dropped, 1);
    for (unsigned i = 0; i < BIGS; i++)
        weir_pkt_free(held[i]);
    check_int(to->bigs.live, 0);
    weir_steer_forward(bigs.native[0], datagram(2000), 1);
    check_int(weir_call(1, receive_one, NULL, SOON), 2000);
}

static void number_has_a_bound(void **state)
{
    (void)state;
    bigs_run(bound_steps);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(long_datagrams_arrive_whole),
        cmocka_unit_test(length_has_a_bound),
        cmocka_unit_test(number_has_a_bound),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
