/* mpsc.c - places, who waits for one, and waking the receiver.
 *
 * `state` counts places: one is taken before a message is pushed and given back when it has been
 * popped, or unused.  Beside the count stand CLOSED and WAITERS, so that one swap decides: nobody
 * takes a place when it is closed, or when others wait (they would be overtaken).
 *
 * Invariant: WAITERS is set just when the list has anybody, and changes under the mutex only.  A
 * place given back while it is set passes to the first of them and the count stays.
 *
 * Waking the receiver: the sender pushes, fences, and looks at `waiting`; the receiver sets it,
 * fences, and looks at the queue.  One of them sees the other.  Who takes `waiting` away owes the
 * completion of `ready`, in place at home and by mail elsewhere; so there is never more than one
 * mail, and the receiver, who waits for it, is there. */
#include <errno.h>
#include <pthread.h>
#include <weir/mpsc.h>
#include "core/list.h"
#include "sched/call.h"
#include "sched/mail.h"
#include "sched/mpsc_queue.h"

enum { MPSC_CLOSED = 1, MPSC_WAITERS = 2, MPSC_PLACE = 4 };

struct weir_mpsc {
    struct mpsc_queue queue;

    _Alignas(WEIR_CACHE_LINE) _Atomic uint64_t state;
    _Atomic bool waiting;
    uint64_t bound; /* places there are */
    struct weir_shard *home;

    /* --- seldom --- */
    _Alignas(WEIR_CACHE_LINE) struct weir_future ready; /* home's; done when nobody waits */
    struct weir_mail mail;
    _Atomic size_t senders;
    _Atomic size_t holders; /* of the memory: senders and the receiver */
    pthread_mutex_t mutex;  /* of the list, and of `taken` in it */
    struct weir_link waiters;
};

static const uint64_t MPSC_UNBOUNDED = UINT64_MAX / MPSC_PLACE / 2;

/* --- waking the receiver --- */

static void mpsc_deliver(struct weir_shard *shard, struct weir_mail *mail)
{
    weir_mail_talks(shard);
    weir_future_set(&weir_container_of(mail, struct weir_mpsc, mail)->ready, 0);
}

/* There may be something for it: a message, or the end. */
static void mpsc_wake(struct weir_mpsc *mpsc)
{
    bool at_home = mpsc->home == weir_shard_current;

    if (!at_home)
        weir_fence(); /* pairs with the one in weir_mpsc_ready */
    if (!atomic_load_explicit(&mpsc->waiting, memory_order_relaxed) ||
        !atomic_exchange_explicit(&mpsc->waiting, false, memory_order_acq_rel))
        return;
    if (at_home) {
        weir_future_set(&mpsc->ready, 0);
    } else {
        weir_mail_talks(weir_shard_current);
        weir_mail_send(mpsc->home, &mpsc->mail);
    }
}

/* Unless a completion is on its way. */
static void mpsc_ready_cancel(struct weir_future *ready)
{
    struct weir_mpsc *mpsc = weir_container_of(ready, struct weir_mpsc, ready);

    if (atomic_exchange_explicit(&mpsc->waiting, false, memory_order_acq_rel))
        weir_future_set(ready, -ECANCELED);
}

/* --- making and ending --- */

static void mpsc_release(struct weir_mpsc *mpsc)
{
    if (atomic_fetch_sub_explicit(&mpsc->holders, 1, memory_order_acq_rel) > 1)
        return;
    mpsc_queue_free(&mpsc->queue);
    pthread_mutex_destroy(&mpsc->mutex);
    free(mpsc);
}

int weir_mpsc_new(struct weir_mpsc **mpsc, size_t size, size_t bound)
{
    struct weir_shard *home = weir_shard_here("weir_mpsc_new");
    struct weir_mpsc *made;

    if (size == 0 || size > WEIR_MPSC_SIZE_MAX || bound > WEIR_MPSC_BOUND_MAX)
        return -EINVAL;
    made = aligned_alloc(_Alignof(struct weir_mpsc), sizeof *made);
    if (!made)
        return -ENOMEM;
    *made = (struct weir_mpsc){ .home = home,
                                .bound = bound > 0 ? bound : MPSC_UNBOUNDED,
                                .ready.done = true,
                                .mail.deliver = mpsc_deliver,
                                .senders = 1,
                                .holders = 2 };
    if (mpsc_queue_init(&made->queue, size, bound) < 0) {
        free(made);
        return -ENOMEM;
    }
    pthread_mutex_init(&made->mutex, NULL);
    weir_list_init(&made->waiters);
    *mpsc = made;
    return 0;
}

void weir_mpsc_clone(struct weir_mpsc *mpsc)
{
    atomic_fetch_add_explicit(&mpsc->holders, 1, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&mpsc->senders, 1, memory_order_relaxed) == 0)
        weir_panic("weir_mpsc_clone: the last sender of this channel has been dropped; clone while "
                   "you are a sender");
}

void weir_mpsc_drop(struct weir_mpsc *mpsc)
{
    /* Release: pairs with mpsc_over; what this sender pushed is there. */
    size_t senders = atomic_fetch_sub_explicit(&mpsc->senders, 1, memory_order_acq_rel);

    if (senders == 0)
        weir_panic("weir_mpsc_drop: this channel has no senders left; drop each of them once");
    if (senders == 1)
        mpsc_wake(mpsc);
    mpsc_release(mpsc);
}

/* --- places --- */

/* 0; -EAGAIN: none free, or others wait for it; -EPIPE. */
static int mpsc_take_place(struct weir_mpsc *mpsc)
{
    uint64_t state = atomic_load_explicit(&mpsc->state, memory_order_relaxed);

    do {
        if (state & MPSC_CLOSED)
            return -EPIPE;
        if ((state & MPSC_WAITERS) || state / MPSC_PLACE >= mpsc->bound)
            return -EAGAIN;
        /* Acquire: pairs with mpsc_give_back; the cell behind the place is empty. */
    } while (!atomic_compare_exchange_weak_explicit(&mpsc->state, &state, state + MPSC_PLACE,
                                                    memory_order_acquire, memory_order_relaxed));
    return 0;
}

static void mpsc_send_deliver(struct weir_shard *shard, struct weir_mail *mail)
{
    struct weir_mpsc_send *send = weir_container_of(mail, struct weir_mpsc_send, mail);

    weir_mail_talks(shard);
    weir_future_set(&send->future, send->outcome);
}

/* For one that was taken out of the list; it may be gone afterwards. */
static void mpsc_send_complete(struct weir_mpsc_send *send)
{
    if (send->shard == weir_shard_current)
        weir_future_set(&send->future, send->outcome);
    else
        weir_mail_send(send->shard, &send->mail);
}

/* Under the mutex.  Takes the first waiter out; NULL when there is none. */
static struct weir_mpsc_send *mpsc_take_waiter(struct weir_mpsc *mpsc, int outcome)
{
    struct weir_link *link = weir_list_pop(&mpsc->waiters);
    struct weir_mpsc_send *send;

    if (!link)
        return NULL;
    if (weir_list_empty(&mpsc->waiters))
        atomic_fetch_and_explicit(&mpsc->state, ~(uint64_t)MPSC_WAITERS, memory_order_relaxed);
    send = weir_container_of(link, struct weir_mpsc_send, link);
    send->outcome = outcome;
    send->taken = true;
    return send;
}

/* Passes a place on to the first waiter; false when there is none.  The message is pushed under the
 * mutex, so that two who pass places on keep the order. */
static bool mpsc_pass_place(struct weir_mpsc *mpsc)
{
    struct weir_mpsc_send *send;

    pthread_mutex_lock(&mpsc->mutex);
    send = mpsc_take_waiter(mpsc, 0);
    if (send && send->message)
        mpsc_ring_push(&mpsc->queue, send->message);
    pthread_mutex_unlock(&mpsc->mutex);
    if (!send)
        return false;
    mpsc_wake(mpsc); /* before the waiter is told, who may drop the channel */
    mpsc_send_complete(send);
    return true;
}

static void mpsc_give_back(struct weir_mpsc *mpsc, uint64_t places)
{
    uint64_t state = atomic_load_explicit(&mpsc->state, memory_order_relaxed);

    while (places > 0)
        if (state & MPSC_WAITERS) {
            places -= mpsc_pass_place(mpsc);
            state = atomic_load_explicit(&mpsc->state, memory_order_relaxed);
        } else if (atomic_compare_exchange_weak_explicit(
                       &mpsc->state, &state, state - places * MPSC_PLACE, memory_order_acq_rel,
                       memory_order_relaxed)) { /* pairs with mpsc_take_place and mpsc_over */
            places = 0;
        }
}

/* Under the mutex.  True: it waits in the list now; else it has a place, or -EPIPE in `outcome`. */
static bool mpsc_queue_up(struct weir_mpsc *mpsc, struct weir_mpsc_send *send)
{
    uint64_t state;

    while ((send->outcome = mpsc_take_place(mpsc)) == -EAGAIN) {
        state = atomic_load_explicit(&mpsc->state, memory_order_relaxed);
        if (!(state & MPSC_WAITERS)) {
            if ((state & MPSC_CLOSED) || state / MPSC_PLACE < mpsc->bound ||
                !atomic_compare_exchange_strong_explicit(&mpsc->state, &state, state | MPSC_WAITERS,
                                                         memory_order_relaxed,
                                                         memory_order_relaxed))
                continue; /* it has just changed */
        }
        weir_list_push(&mpsc->waiters, &send->link);
        return true;
    }
    return false;
}

/* --- sending --- */

/* With a place in hand. */
static int mpsc_put(struct weir_mpsc *mpsc, const void *message)
{
    int error = mpsc_queue_push(&mpsc->queue, message);

    if (error == 0)
        mpsc_wake(mpsc);
    return error;
}

static void mpsc_send_cancel(struct weir_future *future)
{
    struct weir_mpsc_send *send = weir_container_of(future, struct weir_mpsc_send, future);
    struct weir_mpsc *mpsc = send->mpsc;
    bool taken;

    pthread_mutex_lock(&mpsc->mutex);
    taken = send->taken;
    if (!taken) {
        weir_list_del(&send->link);
        if (weir_list_empty(&mpsc->waiters))
            atomic_fetch_and_explicit(&mpsc->state, ~(uint64_t)MPSC_WAITERS, memory_order_relaxed);
    }
    pthread_mutex_unlock(&mpsc->mutex);
    if (!taken) /* else its outcome is on its way */
        weir_future_set(future, -ECANCELED);
}

static int mpsc_send_now(struct weir_mpsc *mpsc, const void *message)
{
    int error = mpsc_take_place(mpsc);

    if (error == 0 && message) {
        error = mpsc_put(mpsc, message);
        if (error < 0)
            weir_mpsc_unreserve(mpsc);
    }
    return error;
}

static void mpsc_send_init(struct weir_mpsc_send *send, struct weir_mpsc *mpsc, const void *message)
{
    *send = (struct weir_mpsc_send){ .mail.deliver = mpsc_send_deliver,
                                     .shard = weir_shard_here("weir_mpsc_send"),
                                     .mpsc = mpsc,
                                     .message = message };
    weir_future_init(&send->future, mpsc_send_cancel);
}

/* There was no place a moment ago. */
static void mpsc_send_wait(struct weir_mpsc_send *send)
{
    struct weir_mpsc *mpsc = send->mpsc;
    bool waits;

    pthread_mutex_lock(&mpsc->mutex);
    waits = mpsc_queue_up(mpsc, send);
    if (!waits && send->outcome == 0 && send->message)
        mpsc_ring_push(&mpsc->queue, send->message);
    pthread_mutex_unlock(&mpsc->mutex);
    if (waits)
        return;
    mpsc_wake(mpsc);
    weir_future_set(&send->future, send->outcome);
}

void weir_mpsc_send_start(struct weir_mpsc_send *send, struct weir_mpsc *mpsc, const void *message)
{
    int error;

    weir_assert(message);
    mpsc_send_init(send, mpsc, message);
    error = mpsc_send_now(mpsc, message);
    if (error == -EAGAIN)
        mpsc_send_wait(send);
    else
        weir_future_set(&send->future, error);
}

/* What is ready at once still costs the fiber a unit of its budget. */
static void mpsc_spend(void)
{
    struct weir_future done = { .done = true };

    weir_await(&done, WEIR_NEVER);
}

static int mpsc_send_or_wait(struct weir_mpsc *mpsc, const void *message, weir_time deadline)
{
    struct weir_mpsc_send send;
    int error = mpsc_send_now(mpsc, message);

    if (error != -EAGAIN) {
        mpsc_spend();
        return error;
    }
    mpsc_send_init(&send, mpsc, message);
    mpsc_send_wait(&send);
    return (int)weir_await(&send.future, deadline);
}

int weir_mpsc_send(struct weir_mpsc *mpsc, const void *message, weir_time deadline)
{
    weir_assert(message);
    return mpsc_send_or_wait(mpsc, message, deadline);
}

int weir_mpsc_try_send(struct weir_mpsc *mpsc, const void *message)
{
    weir_assert(message);
    return mpsc_send_now(mpsc, message);
}

int weir_mpsc_reserve(struct weir_mpsc *mpsc, weir_time deadline)
{
    return mpsc_send_or_wait(mpsc, NULL, deadline);
}

int weir_mpsc_try_reserve(struct weir_mpsc *mpsc)
{
    return mpsc_send_now(mpsc, NULL);
}

static void mpsc_check_reserved(const struct weir_mpsc *mpsc, const char *call)
{
    if (weir_mpsc_len(mpsc) == 0)
        weir_panic("%s: no place is reserved in this channel; weir_mpsc_reserve comes first, once "
                   "for each",
                   call);
}

int weir_mpsc_send_reserved(struct weir_mpsc *mpsc, const void *message)
{
    weir_assert(message);
    mpsc_check_reserved(mpsc, "weir_mpsc_send_reserved");
    return mpsc_put(mpsc, message);
}

void weir_mpsc_unreserve(struct weir_mpsc *mpsc)
{
    mpsc_check_reserved(mpsc, "weir_mpsc_unreserve");
    mpsc_give_back(mpsc, 1);
    mpsc_wake(mpsc); /* closed, it may be over now */
}

/* --- receiving --- */

/* No message will be pushed any more; those that were are there to pop. */
static bool mpsc_over(const struct weir_mpsc *mpsc)
{
    uint64_t state = atomic_load_explicit(&mpsc->state, memory_order_acquire);

    return state == MPSC_CLOSED || atomic_load_explicit(&mpsc->senders, memory_order_acquire) == 0;
}

int64_t weir_mpsc_try_recv_many(struct weir_mpsc *mpsc, void *messages, size_t max)
{
    unsigned char *at = messages;
    bool over = false;
    size_t count = 0;

    weir_shard_check(mpsc->home, "weir_mpsc_recv");
    weir_assert(max > 0);
    for (;;) {
        while (count < max && mpsc_queue_pop(&mpsc->queue, at + count * mpsc->queue.size))
            count++;
        if (count > 0) {
            mpsc_give_back(mpsc, count);
            return (int64_t)count;
        }
        if (over)
            return -EPIPE;
        over = mpsc_over(mpsc); /* and look once more: they may have come just before */
        if (!over)
            return -EAGAIN;
    }
}

int weir_mpsc_try_recv(struct weir_mpsc *mpsc, void *message)
{
    int64_t count = weir_mpsc_try_recv_many(mpsc, message, 1);

    return count < 0 ? (int)count : 0;
}

struct weir_future *weir_mpsc_ready(struct weir_mpsc *mpsc)
{
    weir_shard_check(mpsc->home, "weir_mpsc_ready");
    if (!mpsc->ready.done)
        weir_panic("weir_mpsc_recv: somebody waits for a message of this channel already; it has "
                   "one receiver");
    weir_future_init(&mpsc->ready, mpsc_ready_cancel);
    /* Release: pairs with mpsc_wake; `mail` was delivered before it is sent again. */
    atomic_store_explicit(&mpsc->waiting, true, memory_order_release);
    weir_fence(); /* pairs with the one in mpsc_wake */
    if ((mpsc_queue_ready(&mpsc->queue) || mpsc_over(mpsc)) &&
        atomic_exchange_explicit(&mpsc->waiting, false, memory_order_acq_rel))
        weir_future_set(&mpsc->ready, 0);
    return &mpsc->ready;
}

int64_t weir_mpsc_recv_many(struct weir_mpsc *mpsc, void *messages, size_t max, weir_time deadline)
{
    int64_t count = weir_mpsc_try_recv_many(mpsc, messages, max);
    int error;

    if (count != -EAGAIN) {
        mpsc_spend();
        return count;
    }
    do {
        error = (int)weir_await(weir_mpsc_ready(mpsc), deadline);
        count = error < 0 ? error : weir_mpsc_try_recv_many(mpsc, messages, max);
    } while (count == -EAGAIN);
    return count;
}

int weir_mpsc_recv(struct weir_mpsc *mpsc, void *message, weir_time deadline)
{
    int64_t count = weir_mpsc_recv_many(mpsc, message, 1, deadline);

    return count < 0 ? (int)count : 0;
}

void weir_mpsc_close(struct weir_mpsc *mpsc)
{
    struct weir_mpsc_send *send;

    weir_shard_check(mpsc->home, "weir_mpsc_close");
    atomic_fetch_or_explicit(&mpsc->state, MPSC_CLOSED, memory_order_acq_rel);
    do { /* nobody joins the list any more */
        pthread_mutex_lock(&mpsc->mutex);
        send = mpsc_take_waiter(mpsc, -EPIPE);
        pthread_mutex_unlock(&mpsc->mutex);
        if (send)
            mpsc_send_complete(send);
    } while (send);
    mpsc_wake(mpsc);
}

void weir_mpsc_free(struct weir_mpsc *mpsc)
{
    weir_shard_check(mpsc->home, "weir_mpsc_free");
    if (!mpsc->ready.done)
        weir_panic("weir_mpsc_free: somebody still waits for a message of this channel; cancel and "
                   "await that first");
    weir_mpsc_close(mpsc);
    mpsc_release(mpsc);
}

/* --- looking --- */

bool weir_mpsc_is_closed(const struct weir_mpsc *mpsc)
{
    return (atomic_load_explicit(&mpsc->state, memory_order_acquire) & MPSC_CLOSED) != 0;
}

size_t weir_mpsc_len(const struct weir_mpsc *mpsc)
{
    return atomic_load_explicit(&mpsc->state, memory_order_relaxed) / MPSC_PLACE;
}

size_t weir_mpsc_capacity(const struct weir_mpsc *mpsc)
{
    return mpsc->queue.ring ? mpsc->bound - weir_mpsc_len(mpsc) : SIZE_MAX;
}
