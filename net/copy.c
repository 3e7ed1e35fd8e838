/* copy.c - bytes of one connection to another, by handing their buffers on.
 *
 * A direction is a state machine with one operation under way: a receive, then the send of what it
 * brought.  Two of them are driven by the one fiber that asked, so a proxied connection has one
 * stack.  Each step is an await, which spends of the fiber's budget: sources that are always ready
 * starve nobody.
 *
 * Invariant: a buffer belongs to `io` of the direction that received it, until it is given to the
 * send. */
#include <errno.h>
#include <weir/copy.h>
#include <weir/fiber.h>
#include <weir/time.h>
#include "core/base.h"

struct copy {
    struct weir_conn *to, *from;
    struct weir_io io;
    uint64_t moved;
    bool sending, half_close, ended;
};

static void copy_receive(struct copy *copy)
{
    copy->sending = false;
    weir_recv_buf_start(&copy->io, copy->from);
}

static void copy_begin(struct copy *copy, struct weir_conn *to, struct weir_conn *from,
                       bool half_close)
{
    copy->to = to;
    copy->from = from;
    copy->moved = 0;
    copy->half_close = half_close;
    copy->ended = false;
    copy_receive(copy);
}

/* The source has ended. */
static int copy_end(struct copy *copy)
{
    copy->ended = true;
    return copy->half_close ? weir_shutdown(copy->to) : 0;
}

/* Goes on from an operation that is done.  0 or a negated errno. */
static int copy_step(struct copy *copy)
{
    int64_t n = copy->io.future.result;

    if (n < 0)
        return (int)n;
    if (copy->sending) {
        copy->moved += (uint64_t)n;
        copy_receive(copy);
    } else if (n > 0) {
        copy->sending = true;
        weir_send_buf_start(&copy->io, copy->to, copy->io.buf);
    } else {
        return copy_end(copy);
    }
    return 0;
}

/* Ends what is under way when the other direction, or the deadline, has ended all.  What a send
 * got through counts; what a receive brought meanwhile is lost. */
static void copy_stop(struct copy *copy)
{
    struct weir_future *const one[] = { &copy->io.future };

    if (copy->ended)
        return;
    weir_race_of(one, 1, 0);
    if (copy->sending)
        copy->moved += copy->io.moved;
    else
        weir_buf_free(copy->io.buf);
}

/* Whether the last await was cut short by the deadline or a cancel: the result of an operation
 * that was asked to end says no more than that it did. */
static int copy_cause(const struct copy *copy, int error)
{
    if (error != -ECANCELED || !copy->io.future.cancelled)
        return error;
    return weir_cancelled() ? -ECANCELED : -ETIMEDOUT;
}

/* Waits for one of them.  An await gives what is there whatever the time: for sources that always
 * have something the deadline is looked at here. */
static int copy_await(struct weir_future *const *pending, size_t count, weir_time deadline)
{
    int first = weir_await_any_of(pending, count, deadline);

    if (first < 0)
        return first;
    if (weir_cancelled())
        return -ECANCELED;
    return weir_now() >= deadline ? -ETIMEDOUT : 0;
}

static int copy_drive(struct copy *copies, size_t count, weir_time deadline)
{
    struct weir_future *pending[2];
    int error = 0;

    while (error == 0) {
        size_t left = 0;

        for (size_t i = 0; i < count; i++)
            if (!copies[i].ended)
                pending[left++] = &copies[i].io.future;
        if (left == 0)
            return 0;
        error = copy_await(pending, left, deadline);
        for (size_t i = 0; i < count && error == 0; i++)
            if (!copies[i].ended && copies[i].io.future.done)
                error = copy_cause(&copies[i], copy_step(&copies[i]));
    }
    for (size_t i = 0; i < count; i++)
        copy_stop(&copies[i]);
    return error;
}

int64_t weir_copy(struct weir_conn *to, struct weir_conn *from, weir_time deadline)
{
    struct copy copy;
    int error;

    copy_begin(&copy, to, from, false);
    error = copy_drive(&copy, 1, deadline);
    return error < 0 ? error : (int64_t)copy.moved;
}

int weir_copy_both(struct weir_conn *a, struct weir_conn *b, uint64_t *a_to_b, uint64_t *b_to_a,
                   weir_time deadline)
{
    struct copy copies[2];
    int error;

    copy_begin(&copies[0], b, a, true);
    copy_begin(&copies[1], a, b, true);
    error = copy_drive(copies, 2, deadline);
    if (a_to_b)
        *a_to_b = copies[0].moved;
    if (b_to_a)
        *b_to_a = copies[1].moved;
    return error;
}
