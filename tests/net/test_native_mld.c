/* Which groups we listen to, as routers are told (RFC 3810, 2710). */
#include "native_ip.h"

#include "net/native/mld.c"

static struct bench b;
static uint8_t frame[BENCH_FRAME];

enum { AT = 14 + 40 + 8 }; /* of a message, behind the router alert */

static const char *const LINK_LOCAL = "fe80::ff:fe00:1";

/* --- what is said --- */

struct said {
    uint8_t type;
    struct weir_ip source, target;
    unsigned count;
    uint8_t record[8];
    struct weir_ip group[8];
};

static void said_read(struct said *said, const struct bench_frame *out, const struct weir_ip6 *ip)
{
    const uint8_t *message = out->data + AT;
    uint32_t len = out->len - AT;

    assert_int_equal(ip->header_len, 48);
    assert_int_equal(ip->hop_limit, 1);
    assert_memory_equal(out->data + 54, "\x3a\x00\x05\x02\x00\x00\x01\x00", 8);
    assert_int_equal(
        weir_sum_fold(weir_sum(message, len, weir_pseudo_sum(&ip->source, &ip->target, 58, len))),
        0xffff);
    *said = (struct said){ .type = message[0], .source = ip->source, .target = ip->target };
    if (said->type != MLD2_REPORT) {
        assert_int_equal(len, 24);
        memcpy(said->group[0].byte, message + 8, 16);
        said->count = 1;
        return;
    }
    said->count = weir_get16(message + 6);
    assert_in_range(said->count, 1, 8);
    assert_int_equal(len, 8 + 20 * said->count);
    for (unsigned i = 0; i < said->count; i++) {
        said->record[i] = message[8 + 20 * i];
        assert_int_equal(weir_get32(message + 8 + 20 * i) & 0xffffff, 0); /* from any source */
        memcpy(said->group[i].byte, message + 12 + 20 * i, 16);
    }
}

/* The next message of MLD; false: there is none. */
static bool says(struct said *said)
{
    const struct bench_frame *out;

    while ((out = bench_out(&b)) != NULL) {
        struct weir_ip6 ip;

        assert_true(weir_ip6_parse(&ip, out->data + 14, out->len - 14) > 0);
        if (out->data[20] == IPPROTO_HOPOPTS) {
            said_read(said, out, &ip);
            return true;
        }
    }
    return false;
}

static void assert_ip(const struct weir_ip *ip, const char *text)
{
    struct weir_ip other = bench_ip(text);
    char said[64];

    if (!weir_ip_eq(ip, &other))
        fail_msg("%s, not %s", weir_ip_format(ip, said), text);
}

static void expect_one(const char *group, uint8_t record)
{
    struct said said;

    assert_true(says(&said));
    assert_int_equal(said.type, MLD2_REPORT);
    assert_ip(&said.target, "ff02::16");
    assert_int_equal(said.count, 1);
    assert_int_equal(said.record[0], record);
    assert_ip(&said.group[0], group);
}

static void expect_silence(void)
{
    struct said said;

    assert_false(says(&said));
}

/* When it is said next, from now on in ms; -1: not within `max`. */
static double said_within(struct said *said, uint32_t max_ms)
{
    weir_time begin = b.shard.now;

    while (b.shard.now < begin + WEIR_MS(max_ms)) {
        bench_pass(&b, WEIR_TICK);
        if (says(said))
            return (double)(b.shard.now - begin) / 1e6;
    }
    return -1;
}

/* --- what is asked --- */

static void ask_as(const char *source, uint8_t hop_limit, bool alert, const char *group,
                   uint16_t code, size_t len)
{
    uint8_t query[64] = { 130 }, *at;
    struct weir_ip of = bench_ip(group), from = bench_ip(source);
    const char *to = weir_ip_is_any(&of) ? "ff02::1" : group;
    struct weir_ip target = bench_ip(to);
    uint16_t sum;

    weir_put16(query + 4, code);
    memcpy(query + 8, of.byte, 16);
    sum = (uint16_t)~weir_sum_fold(
        weir_sum(query, len, weir_pseudo_sum(&from, &target, 58, (uint32_t)len)));
    memcpy(query + 2, &sum, 2);
    at = put_ether(frame, everybody_mac, peer_mac, WEIR_ETHERTYPE_IP6);
    weir_ip_group_mac(frame, &target);
    at = put_ip6(at, source, to, IPPROTO_HOPOPTS, hop_limit, 8 + len);
    memcpy(at, alert ? "\x3a\x00\x05\x02\x00\x00\x01\x00" : "\x3a\x00\x01\x04\x00\x00\x00\x00", 8);
    memcpy(at + 8, query, len);
    bench_in(&b, frame, (size_t)(at - frame) + 8 + len);
}

static void ask(const char *group, uint16_t code)
{
    ask_as("fe80::9", 1, true, group, code, MLD2_QUERY_LEN);
}

/* --- joining and leaving --- */

static void joins_are_told_twice(void **state)
{
    struct weir_native_config config = { .ip = "2001:db8::2/64", .secret = 1 };
    struct said said;

    (void)state;
    bench_open_on(&b, &config, 0);
    expect_one("ff02::1:ff00:1", WEIR_MLD_TO_EXCLUDE); /* before the addresses are probed */
    expect_one("ff02::1:ff00:2", WEIR_MLD_TO_EXCLUDE);
    expect_silence();
    bench_pass(&b, WEIR_MS(999));
    for (int i = 0; i < 2; i++) {
        assert_true(says(&said));
        assert_true(weir_ip_is_any(&said.source)); /* nothing else can be used so far */
        assert_int_equal(said.record[0], WEIR_MLD_TO_EXCLUDE);
    }
    bench_pass(&b, WEIR_MS(2));
    assert_true(says(&said)); /* now it can */
    assert_ip(&said.source, LINK_LOCAL);
    assert_int_equal(said.count, 2);
    assert_int_equal(said.record[0], WEIR_MLD_IS_EXCLUDE);
    bench_pass(&b, WEIR_SEC(60));
    expect_silence();
    bench_close(&b);
}

static void a_group_of_two_addresses_is_one(void **state)
{
    struct weir_ip ip = bench_ip("2001:db8:2::2");
    struct said said;

    (void)state;
    bench_open(&b, "2001:db8::2/64,2001:db8:2::2/64", NULL, NULL);
    ask("::", 100);
    assert_true(said_within(&said, 101) > 0);
    assert_int_equal(said.count, 2);
    weir_iface_del(weir_ip_wire(&b.native), &ip); /* the other one is still there */
    bench_pass(&b, WEIR_SEC(3));
    expect_silence();
    bench_close(&b);
}

static void leaving_is_told_twice(void **state)
{
    struct weir_ip ip = bench_ip("2001:db8::2");
    struct said said;

    (void)state;
    bench_open(&b, "2001:db8::2/64", NULL, NULL);
    weir_iface_del(weir_ip_wire(&b.native), &ip);
    expect_one("ff02::1:ff00:2", WEIR_MLD_TO_INCLUDE);
    assert_true(said_within(&said, 1001) > 0);
    assert_int_equal(said.record[0], WEIR_MLD_TO_INCLUDE);
    assert_true(said_within(&said, 5000) < 0);
    bench_close(&b);
}

static void only_the_lead_speaks_unasked(void **state)
{
    struct weir_native_config config = { .ip = "2001:db8::2/64", .secret = 1 };
    struct said said;

    (void)state;
    bench_open_on(&b, &config, 1);
    bench_pass(&b, WEIR_SEC(60));
    expect_silence();
    ask("::", 100); /* but who is asked answers */
    assert_true(said_within(&said, 101) > 0);
    assert_int_equal(said.count, 2);
    bench_close(&b);
}

/* --- queries --- */

static void answers_are_spread(void **state)
{
    double first = 1e9, last = 0, when;
    struct said said;

    (void)state;
    bench_open(&b, "2001:db8::2/64", NULL, NULL);
    for (int i = 0; i < 100; i++) {
        ask("::", 1000);
        when = said_within(&said, 1001);
        assert_true(when > 0);
        assert_ip(&said.source, LINK_LOCAL);
        assert_int_equal(said.count, 2);
        assert_int_equal(said.record[0], WEIR_MLD_IS_EXCLUDE);
        assert_int_equal(said.record[1], WEIR_MLD_IS_EXCLUDE);
        first = when < first ? when : first;
        last = when > last ? when : last;
        assert_true(said_within(&said, 1500) < 0); /* once */
    }
    assert_true(first < 200 && last > 800);
    ask("::", 0);
    assert_true(said_within(&said, 1) > 0);
    bench_close(&b);
}

/* RFC 3810 6.2, rule 1. */
static void one_answer_serves_several_queries(void **state)
{
    struct said said;

    (void)state;
    bench_open(&b, "2001:db8::2/64", NULL, NULL);
    for (int i = 0; i < 50; i++)
        ask("::", 10000);
    ask("::", 10);
    assert_true(said_within(&said, 11) > 0);
    assert_true(said_within(&said, 11000) < 0);
    bench_close(&b);
}

static void one_group_is_asked_for(void **state)
{
    struct said said;

    (void)state;
    bench_open(&b, "2001:db8::2/64", NULL, NULL);
    for (int i = 0; i < 50; i++)
        ask("ff02::1:ff00:2", 2000);
    ask("ff02::1:ff00:2", 100);
    assert_true(said_within(&said, 101) > 0);
    assert_int_equal(said.count, 1);
    assert_ip(&said.group[0], "ff02::1:ff00:2");
    assert_int_equal(said.record[0], WEIR_MLD_IS_EXCLUDE);
    assert_true(said_within(&said, 3000) < 0);
    ask("ff02::1:ff00:3", 100); /* not ours: it does not even come so far */
    ask("ff02::1", 100);        /* never reported */
    assert_true(said_within(&said, 1000) < 0);
    bench_close(&b);
}

static void long_delays_are_coded(void **state)
{
    (void)state;
    assert_int_equal(mld_max_delay(0), 0);
    assert_int_equal(mld_max_delay(32767), 32767);
    assert_int_equal(mld_max_delay(0x8000), 32768);
    assert_int_equal(mld_max_delay(0x8001), 32776);
    assert_int_equal(mld_max_delay(0xffff), 8387584);
}

static void what_a_router_on_the_link_cannot_have_sent_is_dropped(void **state)
{
    struct said said;

    (void)state;
    bench_open(&b, "2001:db8::2/64", NULL, NULL);
    ask_as("fe80::9", 2, true, "::", 100, MLD2_QUERY_LEN);
    ask_as("fe80::9", 255, true, "::", 100, MLD2_QUERY_LEN);
    ask_as("2001:db8::9", 1, true, "::", 100, MLD2_QUERY_LEN);
    ask_as("fe80::9", 1, false, "::", 100, MLD2_QUERY_LEN);
    for (size_t len = MLD1_LEN + 1; len < MLD2_QUERY_LEN; len++)
        ask_as("fe80::9", 1, true, "::", 100, len);
    assert_int_equal(b.native.stats.icmp_bad, 7);
    assert_true(said_within(&said, 1000) < 0);
    ask_as("fe80::9", 1, true, "::", 100, MLD2_QUERY_LEN + 16); /* with a source: the same to us */
    assert_true(said_within(&said, 101) > 0);
    bench_close(&b);
}

/* --- version 1 --- */

static void ask_v1(const char *group, uint16_t max_ms)
{
    ask_as("fe80::9", 1, true, group, max_ms, MLD1_LEN);
}

static void version_1_is_answered_by_version_1(void **state)
{
    struct weir_ip ip = bench_ip("2001:db8::2");
    unsigned seen = 0;
    struct said said;

    (void)state;
    bench_open(&b, "2001:db8::2/64", NULL, NULL);
    ask_v1("::", 1000);
    bench_pass(&b, WEIR_MS(1001));
    while (says(&said)) {
        assert_int_equal(said.type, MLD1_REPORT);
        assert_true(weir_ip_eq(&said.target, &said.group[0]));
        seen += 1u << (said.group[0].byte[15] - 1);
    }
    assert_int_equal(seen, 3); /* ...:1 and ...:2, once each */
    ask("::", 100);            /* others may know version 2: all speak 1 as long as one has to */
    bench_pass(&b, WEIR_MS(101));
    assert_true(says(&said) && said.type == MLD1_REPORT);
    assert_true(says(&said) && said.type == MLD1_REPORT);
    expect_silence();
    weir_iface_del(weir_ip_wire(&b.native), &ip);
    assert_true(says(&said));
    assert_int_equal(said.type, MLD1_DONE);
    assert_ip(&said.target, "ff02::2");
    assert_ip(&said.group[0], "ff02::1:ff00:2");
    bench_close(&b);
}

static void version_1_is_forgotten(void **state)
{
    struct said said;

    (void)state;
    bench_open(&b, "2001:db8::2/64", NULL, NULL);
    ask_v1("::", 10000);
    bench_pass(&b, WEIR_SEC(259));
    b.read[1] = b.sent[1];
    ask("::", 100);
    assert_true(said_within(&said, 101) > 0);
    assert_int_equal(said.type, MLD1_REPORT);
    bench_pass(&b, WEIR_SEC(1));
    b.read[1] = b.sent[1];
    ask("::", 100);
    assert_true(said_within(&said, 101) > 0);
    assert_int_equal(said.type, MLD2_REPORT);
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(joins_are_told_twice),
        cmocka_unit_test(a_group_of_two_addresses_is_one),
        cmocka_unit_test(leaving_is_told_twice),
        cmocka_unit_test(only_the_lead_speaks_unasked),
        cmocka_unit_test(answers_are_spread),
        cmocka_unit_test(one_answer_serves_several_queries),
        cmocka_unit_test(one_group_is_asked_for),
        cmocka_unit_test(long_delays_are_coded),
        cmocka_unit_test(what_a_router_on_the_link_cannot_have_sent_is_dropped),
        cmocka_unit_test(version_1_is_answered_by_version_1),
        cmocka_unit_test(version_1_is_forgotten),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
