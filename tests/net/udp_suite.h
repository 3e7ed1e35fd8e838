/* udp_suite.h - the cases about datagrams that every stack has to pass; as stack_suite.h is about
 * streams.
 *
 * A test program defines `udp_under_test` and includes udp_suite.c.  Nothing is lost on the way
 * here, but what is under way together may arrive in any order. */
#ifndef WEIR_TESTS_NET_UDP_SUITE_H
#define WEIR_TESTS_NET_UDP_SUITE_H

#include "tests/net/stack_suite.h"

struct udp_under_test {
    const char *name;
    bool kernel;
    size_t largest; /* the longest datagram it sends over IPv4 */
    const char *(*missing)(void);
    int (*run)(const struct suite_need *need, uint64_t seed, void (*shard_main)(void *arg),
               void *arg);
};

extern const struct udp_under_test udp_under_test;

static _Atomic int udp_ready;

/* Each shard gets here before any leaves. */
static inline void udp_meet(int shards)
{
    int round = atomic_fetch_add(&udp_ready, 1) / shards;

    while (atomic_load(&udp_ready) < (round + 1) * shards)
        check_int(weir_sleep(WEIR_US(50)), 0);
}

/* Long enough for whatever is under way on this host to arrive; a receive that must not find
 * anything waits so long. */
#define A_WHILE weir_after(WEIR_MS(20))

static inline struct weir_udp *udp_open(const char *text)
{
    struct weir_udp *udp;

    check_int(weir_udp_open(&udp, text, NULL), 0);
    return udp;
}

static inline struct weir_addr udp_addr(const struct weir_udp *udp)
{
    struct weir_addr addr;

    check_int(weir_udp_local_addr(udp, &addr), 0);
    return addr;
}

static inline uint16_t udp_port(const struct weir_udp *udp)
{
    struct weir_addr addr = udp_addr(udp);

    return ntohs(addr.sa.sa_family == AF_INET6 ? addr.in6.sin6_port : addr.in.sin_port);
}

static inline bool udp_addr_eq(const struct weir_addr *a, const struct weir_addr *b)
{
    char text_a[WEIR_ADDR_TEXT], text_b[WEIR_ADDR_TEXT];

    return strcmp(weir_addr_format(a, text_a, sizeof text_a),
                  weir_addr_format(b, text_b, sizeof text_b)) == 0;
}

/* Two sockets on the loopback that know each other's address. */
struct udp_two {
    struct weir_udp *a, *b;
    struct weir_addr at_a, at_b;
};

static inline void udp_two_open(struct udp_two *two)
{
    two->a = udp_open("127.0.0.1:0");
    two->b = udp_open("127.0.0.1:0");
    two->at_a = udp_addr(two->a);
    two->at_b = udp_addr(two->b);
}

static inline void udp_two_close(struct udp_two *two)
{
    weir_udp_close(two->a);
    weir_udp_close(two->b);
}

/* From a to b, whole. */
static inline void udp_say(struct udp_two *two, const char *text)
{
    int64_t len = (int64_t)strlen(text);

    check_int(weir_send_to(two->a, text, strlen(text), &two->at_b, SOON), len);
}

static inline void udp_hear(struct weir_udp *udp, const char *text)
{
    char data[100];
    int64_t n = weir_recv_from(udp, data, sizeof data, NULL, SOON);

    check_int(n, (int64_t)strlen(text));
    check(memcmp(data, text, strlen(text)) == 0);
}

/* Nothing is there, and nothing comes. */
static inline void udp_hear_nothing(struct weir_udp *udp)
{
    check_int(weir_recv_from(udp, &(char){ 0 }, 1, NULL, A_WHILE), -ETIMEDOUT);
}

#endif
