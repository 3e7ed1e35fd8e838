/* SYN cookies (RFC 4987 3.6): what comes back is what went out, for a while and for nobody else. */
#include "tests/core/testing.h"
#include "net/native/tcp_in.h"

enum { TICK_S = 64 };

static const struct weir_tcp_layer layer = { .secret = { 11, 22 } };
static const weir_time start = WEIR_SEC(TICK_S) * 1000;

static struct weir_flow_key some_key(void)
{
    struct weir_flow_key key = { .local_port = 80, .remote_port = 40000 };

    key.local = weir_ip_v4(htonl(0x0a000001));
    key.remote = weir_ip_v4(htonl(0x0a000002));
    return key;
}

static void cookie_is_good_for_its_flow_only(void **state)
{
    struct weir_flow_key key = some_key(), other = key;
    struct weir_tcp_layer stranger = layer;
    weir_seq cookie = weir_cookie_make(&layer, start, &key, 7, 1460);
    uint16_t mss;

    (void)state;
    assert_true(weir_cookie_check(&layer, start, &key, 7, cookie, &mss));
    assert_int_equal(mss, 1460);
    assert_false(weir_cookie_check(&layer, start, &key, 8, cookie, &mss));
    other.remote_port++;
    assert_false(weir_cookie_check(&layer, start, &other, 7, cookie, &mss));
    other = key;
    other.local_port++;
    assert_false(weir_cookie_check(&layer, start, &other, 7, cookie, &mss));
    other = key;
    other.remote.word[3] ^= htonl(1);
    assert_false(weir_cookie_check(&layer, start, &other, 7, cookie, &mss));
    other = key;
    other.local.word[3] ^= htonl(1);
    assert_false(weir_cookie_check(&layer, start, &other, 7, cookie, &mss));
    stranger.secret[1]++;
    assert_false(weir_cookie_check(&stranger, start, &key, 7, cookie, &mss));
}

static void cookie_with_any_bit_changed_is_bad(void **state)
{
    struct weir_flow_key key = some_key();
    weir_seq cookie = weir_cookie_make(&layer, start, &key, 7, 1460);
    uint16_t mss;

    (void)state;
    for (unsigned bit = 0; bit < 32; bit++)
        assert_false(weir_cookie_check(&layer, start, &key, 7, cookie ^ (1U << bit), &mss));
}

/* At the edges of both ticks; the key of each tick is its own. */
static void cookie_is_good_for_its_tick_and_the_next(void **state)
{
    struct weir_flow_key key = some_key();
    weir_seq cookie = weir_cookie_make(&layer, start, &key, 7, 536);
    uint16_t mss;

    (void)state;
    assert_true(weir_cookie_check(&layer, start + WEIR_SEC(2 * TICK_S) - 1, &key, 7, cookie, &mss));
    assert_false(weir_cookie_check(&layer, start + WEIR_SEC(2 * TICK_S), &key, 7, cookie, &mss));
    assert_false(weir_cookie_check(&layer, start - 1, &key, 7, cookie, &mss));
    /* 32 ticks on, the clock in it reads the same */
    assert_false(weir_cookie_check(&layer, start + WEIR_SEC(32 * TICK_S), &key, 7, cookie, &mss));
}

/* The MSS that comes back is the largest of the table that is not above the peer's. */
static void cookie_mss_is_never_above_the_peers(void **state)
{
    struct weir_flow_key key = some_key();
    uint16_t mss, last = 0;

    (void)state;
    for (uint32_t given = 216; given <= 65535; given++) {
        weir_seq cookie = weir_cookie_make(&layer, start, &key, given, (uint16_t)given);

        assert_true(weir_cookie_check(&layer, start, &key, given, cookie, &mss));
        assert_true(mss <= given && mss >= last);
        last = mss;
    }
    for (unsigned i = 0; i < 4; i++) {
        const uint16_t common[4] = { 536, 1220, 1440, 1460 };
        weir_seq cookie = weir_cookie_make(&layer, start, &key, 1, common[i]);

        assert_true(weir_cookie_check(&layer, start, &key, 1, cookie, &mss));
        assert_int_equal(mss, common[i]);
    }
}

/* Options ride in a timestamp that is never ahead of the clock, or PAWS would drop what follows. */
static void cookie_timestamp_carries_options_and_is_not_ahead(void **state)
{
    const uint8_t scales[] = { 0, 1, 7, 14, 255 };
    struct weir_cookie cookie;

    (void)state;
    for (uint32_t ts = UINT32_MAX - 100; ts != 100; ts++)
        for (unsigned i = 0; i < WEIR_COUNT(scales); i++)
            for (unsigned sack = 0; sack < 2; sack++) {
                uint32_t made = weir_cookie_ts_make(ts, scales[i], sack);

                assert_in_range(ts - made, 0, 63);
                weir_cookie_ts_read(&cookie, made);
                assert_int_equal(cookie.wscale, scales[i]);
                assert_int_equal(cookie.sack, sack);
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cookie_is_good_for_its_flow_only),
        cmocka_unit_test(cookie_with_any_bit_changed_is_bad),
        cmocka_unit_test(cookie_is_good_for_its_tick_and_the_next),
        cmocka_unit_test(cookie_mss_is_never_above_the_peers),
        cmocka_unit_test(cookie_timestamp_carries_options_and_is_not_ahead),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
