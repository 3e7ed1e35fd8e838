/* test_pkt.c - packets, views of them, and what becomes of both. */
#include "../core/testing.h"
#include "net/pkt.h"

static struct weir_pkts pkts;
static uint32_t live;

static int open_pkts(void **state)
{
    (void)state;
    weir_pkts_init(&pkts, 4);
    pkts.live = &live;
    live = 0;
    return 0;
}

static int close_pkts(void **state)
{
    (void)state;
    assert_int_equal(live, 0);
    weir_pkts_free(&pkts);
    return 0;
}

static void test_a_fresh_packet_has_room_on_both_sides(void **state)
{
    struct weir_pkt *pkt = weir_pkt_get(&pkts);

    (void)state;
    assert_int_equal((uintptr_t)pkt % 64, 0);
    assert_int_equal(pkt->buf.len, 0);
    assert_int_equal(pkt->buf.refs, 1);
    assert_int_equal(pkt->flags, 0);
    assert_null(pkt->frag);
    assert_int_equal(live, 1);
    memset(pkt->buf.data - WEIR_PKT_HEADROOM, 1, WEIR_PKT_HEADROOM + WEIR_PKT_ROOM); /* ASan */
    weir_pkt_free(pkt);
    assert_int_equal(live, 0);
}

static void test_push_and_pull_move_the_start(void **state)
{
    struct weir_pkt *pkt = weir_pkt_get(&pkts);
    uint8_t *data = pkt->buf.data;

    (void)state;
    assert_ptr_equal(weir_pkt_push(pkt, 20), data - 20);
    assert_int_equal(pkt->buf.len, 20);
    weir_pkt_pull(pkt, 14);
    assert_ptr_equal(pkt->buf.data, data - 6);
    assert_int_equal(pkt->buf.len, 6);
    weir_pkt_free(pkt);
}

static void pull_too_much(void *arg)
{
    struct weir_pkt *pkt = weir_pkt_get(&pkts);

    (void)arg;
    pkt->buf.len = 3;
    weir_pkt_pull(pkt, 4);
}

static void test_nothing_is_pulled_that_is_not_there(void **state)
{
    (void)state;
    assert_panics(pull_too_much, NULL, "len <= pkt->buf.len");
}

static void test_the_maximum_holds_for_packets_and_for_views(void **state)
{
    struct weir_pkt *pkt[4], *view[4];

    (void)state;
    for (int i = 0; i < 4; i++) {
        pkt[i] = weir_pkt_get(&pkts);
        assert_non_null(pkt[i]);
    }
    assert_null(weir_pkt_get(&pkts));
    for (int i = 0; i < 4; i++) {
        view[i] = weir_pkt_view(&pkts, pkt[0], pkt[0]->buf.data, 1);
        assert_non_null(view[i]);
    }
    assert_null(weir_pkt_view(&pkts, pkt[0], pkt[0]->buf.data, 1));
    assert_int_equal(pkt[0]->buf.refs, 5); /* the one that failed is no owner */
    assert_int_equal(live, 8);
    for (int i = 0; i < 4; i++) {
        weir_pkt_free(view[i]);
        weir_pkt_free(pkt[i]);
    }
    assert_non_null(pkt[3] = weir_pkt_get(&pkts));
    weir_pkt_free(pkt[3]);
}

static void test_a_view_keeps_what_it_shows(void **state)
{
    struct weir_pkt *pkt = weir_pkt_get(&pkts), *view;

    (void)state;
    memcpy(pkt->buf.data, "abcdef", 6);
    pkt->buf.len = 6;
    view = weir_pkt_view(&pkts, pkt, pkt->buf.data + 2, 3);
    view->rx =
        (struct weir_pkt_rx){ .off = 65535, .len = UINT32_MAX }; /* does not touch the link */
    weir_pkt_free(pkt);
    assert_int_equal(live, 2);
    assert_memory_equal(view->buf.data, "cde", 3);
    assert_int_equal(view->buf.len, 3);
    weir_pkt_free(view);
}

static void test_all_pieces_go_together(void **state)
{
    struct weir_pkt *first = weir_pkt_get(&pkts), *second = weir_pkt_get(&pkts);

    (void)state;
    first->frag = second;
    weir_buf_ref(&second->buf);
    weir_pkt_free(first);
    assert_int_equal(live, 1);
    assert_int_equal(second->buf.refs, 1);
    weir_pkt_free(second);
}

static void test_who_may_write(void **state)
{
    struct weir_pkt *pkt = weir_pkt_get(&pkts), *view;

    (void)state;
    assert_true(weir_pkt_writable(pkt));
    view = weir_pkt_view(&pkts, pkt, pkt->buf.data, 1);
    assert_false(weir_pkt_writable(pkt));
    assert_false(weir_pkt_writable(view));
    weir_pkt_free(view);
    assert_true(weir_pkt_writable(pkt));
    pkt->flags = WEIR_PKT_READ_ONLY;
    assert_false(weir_pkt_writable(pkt));
    weir_pkt_free(pkt);
}

static void free_with_one_out(void *arg)
{
    (void)arg;
    weir_pkt_get(&pkts);
    weir_pkts_free(&pkts);
}

static void test_without_an_heir_all_must_come_back(void **state)
{
    (void)state;
    assert_panics(free_with_one_out, NULL, "live == 0");
}

static void test_an_heir_has_the_memory(void **state)
{
    struct weir_pkts heir = { .live = NULL };
    struct weir_pkt *pkt = weir_pkt_get(&pkts);
    struct weir_pkt *view = weir_pkt_view(&pkts, pkt, pkt->buf.data, 4);

    (void)state;
    memcpy(pkt->buf.data, "left", 4);
    pkts.heir = &heir;
    weir_pkts_free(&pkts);
    assert_memory_equal(view->buf.data, "left", 4);
    weir_pkts_drop(&heir); /* LeakSanitizer */
    open_pkts(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_fresh_packet_has_room_on_both_sides),
        cmocka_unit_test(test_push_and_pull_move_the_start),
        cmocka_unit_test(test_nothing_is_pulled_that_is_not_there),
        cmocka_unit_test(test_the_maximum_holds_for_packets_and_for_views),
        cmocka_unit_test(test_a_view_keeps_what_it_shows),
        cmocka_unit_test(test_all_pieces_go_together),
        cmocka_unit_test(test_who_may_write),
        cmocka_unit_test(test_without_an_heir_all_must_come_back),
        cmocka_unit_test(test_an_heir_has_the_memory),
    };

    open_pkts(NULL);
    return cmocka_run_group_tests(tests, NULL, close_pkts);
}
