/* test_native_close.c - how a connection is closed: with bytes unread (RFC 2525 2.17), with bytes
 * still to be sent, by force; and how long a shard stays for it when its fibers are over
 * (shard->holds). */
#include "tests/core/testing.h"
#include <errno.h>
#include "net/native/glue.h"
#include "tests/net/tcp_live.c"
#include "tests/net/tcp_script.c"

static struct weir_native *native(void)
{
    return script.live->native;
}

static void nothing_is_left(void)
{
    state_is(WEIR_TCP_CLOSED);
    nothing();
    assert_int_equal(native()->conns.live, 0);
    assert_int_equal(native()->pkts.pool.live, 0);
    assert_int_equal(script.live->shard.stats.conns, 0);
}

/* --- unread --- */

static void rfc2525_2_17_partly_read_is_unread(void **state)
{
    (void)state;
    established();
    in("P. 1:101(100) ack 1");
    recv_is(99);
    out_at(40, ". 1:1(0) ack 101");
    user_close();
    out("R. 1:1(0) ack 101");
    nothing_is_left();
}

static void rfc2525_2_17_all_read_is_no_reason_to_reset(void **state)
{
    (void)state;
    established();
    in("P. 1:101(100) ack 1");
    recv_is(100);
    user_close();
    out("F. 1:1(0) ack 101");
    state_is(WEIR_TCP_FIN_WAIT_1);
}

static void rfc2525_2_17_unread_in_close_wait(void **state)
{
    (void)state;
    established();
    in("FP. 1:101(100) ack 1");
    out(". 1:1(0) ack 102");
    state_is(WEIR_TCP_CLOSE_WAIT);
    user_close();
    out("R. 1:1(0) ack 102");
    nothing_is_left();
}

static void rfc2525_2_17_unread_after_shutdown(void **state)
{
    (void)state;
    established();
    user_shutdown();
    out("F. 1:1(0) ack 1");
    in(". 1:1(0) ack 2");
    in("P. 1:101(100) ack 2");
    state_is(WEIR_TCP_FIN_WAIT_2);
    out_at(40, ". 2:2(0) ack 101");
    user_close();
    out("R. 2:2(0) ack 101");
    nothing_is_left();
}

/* A gap is in front of it: nobody could have read that. */
static void rfc2525_2_17_out_of_order_is_not_unread(void **state)
{
    (void)state;
    established("sackok");
    in("P. 101:201(100) ack 1");
    out(". 1:1(0) ack 1 sack 101-201");
    user_close();
    out("F. 1:1(0) ack 1 sack 101-201");
    in(". 1:101(100) ack 1"); /* but what completes it comes too late */
    out("R. 2:2(0) ack 1 sack 101-201");
    nothing_is_left();
}

/* The peer learns that its bytes were not read; what we had for it is lost with that. */
static void rfc2525_2_17_unread_and_unsent(void **state)
{
    (void)state;
    established_window(1000);
    user_send(3000);
    out(". 1:537(536) ack 1");
    in("P. 1:101(100) ack 1 win 1000");
    script_drop_sent();
    user_close();
    out("R. 537:537(0) ack 101");
    nothing_is_left();
}

/* --- unsent --- */

static void rfc9293_3_10_4_close_sends_all_that_is_queued(void **state)
{
    (void)state;
    established_window(1000, "mss 1000");
    user_send(3000);
    out(". 1:1001(1000) ack 1");
    user_close();
    nothing();
    state_is(WEIR_TCP_FIN_WAIT_1);
    in(". 1:1(0) ack 1001 win 1000");
    out(". 1001:2001(1000) ack 1");
    in(". 1:1(0) ack 2001 win 2000");
    out("FP. 2001:3001(1000) ack 1");
    in("F. 1:1(0) ack 3002");
    out(". 3002:3002(0) ack 2");
    state_is(WEIR_TCP_TIME_WAIT);
    assert_int_equal(native()->conns.live, 0);
    assert_int_equal(native()->pkts.pool.live, 0);
}

/* What a send had not got into the queue is not sent: it ends with the connection. */
static void close_cuts_off_a_send_that_waits(void **state)
{
    (void)state;
    established_window(1000, "mss 1000");
    user_send(1 << 20);
    assert_true(script.send_waits);
    out(". 1:1001(1000) ack 1");
    user_close();
    assert_true(script.send.future.done);
    assert_int_equal(script.send.future.result, -ECANCELED);
    assert_true(script.send.moved < 1 << 20);
    assert_int_equal(script_tcp()->snd_end - script_tcp()->iss - 1, script.send.moved);
    state_is(WEIR_TCP_FIN_WAIT_1);
    in("R 1:1(0)");
    nothing_is_left();
}

static void abort_throws_all_away(void **state)
{
    (void)state;
    established_window(1000, "mss 1000");
    user_send(1 << 20);
    out(". 1:1001(1000) ack 1");
    in("P. 1:101(100) ack 1 win 1000");
    script_drop_sent();
    user_abort();
    out("R. 1001:1001(0) ack 101");
    assert_int_equal(script.send.future.result, -ECANCELED);
    nothing_is_left();
}

/* The one who asked is not forgotten: both operations end, out of the close. */
static void close_ends_both_operations(void **state)
{
    (void)state;
    established_window(1000, "mss 1000");
    recv_waits();
    user_send(1 << 20);
    out(". 1:1001(1000) ack 1");
    weir_close(script.conn);
    script.conn = NULL;
    assert_false(script.recv.future.done);
    assert_false(script.send.future.done);
    live_pump(script.live);
    assert_int_equal(script.recv.future.result, -ECANCELED);
    assert_int_equal(script.send.future.result, -ECANCELED);
    script.recv_waits = script.send_waits = false;
    in("R 1:1(0)");
    nothing_is_left();
}

/* --- the shard stays --- */

static weir_time slept_until; /* what the driver below was told last */

static bool sleep_poll(struct weir_driver *driver, weir_time until)
{
    (void)driver;
    slept_until = until;
    return false;
}

static void sleep_close(struct weir_driver *driver)
{
    (void)driver;
}

static const struct weir_driver_ops sleep_ops = { .poll = sleep_poll, .close = sleep_close };

/* A turn of a shard with nothing else to do. */
static void idle_turn(void)
{
    struct weir_shard *shard = &script.live->shard;

    slept_until = -1;
    for (int turns = 0; turns < 4 && slept_until <= 0; turns++)
        script.live->driver->ops->poll(script.live->driver, WEIR_NEVER);
    (void)shard;
}

static void fibers_end(void)
{
    script.live->below.ops = &sleep_ops;
    script.live->shard.stats.fibers = 0;
    idle_turn();
}

static void the_shard_stays_until_all_is_acknowledged(void **state)
{
    (void)state;
    established_window(1000, "mss 1000");
    assert_int_equal(script.live->shard.holds, 0);
    user_send(2000);
    out(". 1:1001(1000) ack 1");
    user_close();
    assert_int_equal(script.live->shard.holds, 1);
    fibers_end();
    assert_int_equal(script.live->shard.holds, 1);
    in(". 1:1(0) ack 1001 win 2000");
    out("FP. 1001:2001(1000) ack 1");
    idle_turn();
    assert_int_equal(script.live->shard.holds, 1);
    in(". 1:1(0) ack 2001 win 1000"); /* but for the FIN */
    idle_turn();
    assert_int_equal(script.live->shard.holds, 1);
    in(". 1:1(0) ack 2002 win 1000");
    idle_turn();
    state_is(WEIR_TCP_FIN_WAIT_2);
    assert_int_equal(script.live->shard.holds, 0);
}

static void the_shard_stays_for_a_second_at_most(void **state)
{
    weir_time begin;

    (void)state;
    established_window(1000, "mss 1000");
    user_send(2000);
    user_close();
    begin = script.live->shard.now;
    fibers_end();
    assert_int_equal(script.live->shard.holds, 1);
    assert_int_equal(slept_until, begin + WEIR_SEC(1)); /* it does not sleep through it */
    live_pass(script.live, begin + WEIR_MS(999));
    idle_turn();
    assert_int_equal(script.live->shard.holds, 1);
    live_pass(script.live, begin + WEIR_SEC(1));
    idle_turn();
    assert_int_equal(script.live->shard.holds, 0);
    script_drop_sent();
    state_is(WEIR_TCP_FIN_WAIT_1); /* reset with the shard */
}

/* Who comes back (a call from another shard) has the second anew. */
static void a_new_fiber_begins_the_second_anew(void **state)
{
    (void)state;
    established_window(1000, "mss 1000");
    user_send(2000);
    user_close();
    fibers_end();
    live_pass(script.live, script.live->shard.now + WEIR_MS(600));
    script.live->shard.stats.fibers = 1;
    idle_turn();
    live_pass(script.live, script.live->shard.now + WEIR_SEC(5));
    assert_int_equal(script.live->shard.holds, 1);
    fibers_end();
    live_pass(script.live, script.live->shard.now + WEIR_MS(999));
    idle_turn();
    assert_int_equal(script.live->shard.holds, 1);
    live_pass(script.live, script.live->shard.now + WEIR_MS(1));
    idle_turn();
    assert_int_equal(script.live->shard.holds, 0);
    script_drop_sent();
}

static void the_shard_does_not_stay_for_what_is_settled(void **state)
{
    (void)state;
    established();
    user_close();
    out("F. 1:1(0) ack 1");
    in("F. 1:1(0) ack 2");
    out(". 2:2(0) ack 2");
    state_is(WEIR_TCP_TIME_WAIT);
    fibers_end();
    assert_int_equal(script.live->shard.holds, 0);
}

static void the_shard_does_not_stay_for_what_was_reset(void **state)
{
    (void)state;
    established_window(1000, "mss 1000");
    user_send(2000);
    user_abort();
    script_drop_sent();
    fibers_end();
    assert_int_equal(script.live->shard.holds, 0);
}

int main(void)
{
    const struct CMUnitTest cases[] = {
        script_case(rfc2525_2_17_partly_read_is_unread),
        script_case(rfc2525_2_17_all_read_is_no_reason_to_reset),
        script_case(rfc2525_2_17_unread_in_close_wait),
        script_case(rfc2525_2_17_unread_after_shutdown),
        script_case(rfc2525_2_17_out_of_order_is_not_unread),
        script_case(rfc2525_2_17_unread_and_unsent),
        script_case(rfc9293_3_10_4_close_sends_all_that_is_queued),
        script_case(close_cuts_off_a_send_that_waits),
        script_case(abort_throws_all_away),
        script_case(close_ends_both_operations),
        script_case(the_shard_stays_until_all_is_acknowledged),
        script_case(the_shard_stays_for_a_second_at_most),
        script_case(a_new_fiber_begins_the_second_anew),
        script_case(the_shard_does_not_stay_for_what_is_settled),
        script_case(the_shard_does_not_stay_for_what_was_reset),
    };

    return cmocka_run_group_tests(cases, NULL, NULL);
}
