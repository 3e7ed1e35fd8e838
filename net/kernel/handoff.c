/* handoff.c - one shard accepts for all and hands each connection to the least loaded.
 *
 * A connection is counted for its new shard the moment it is picked, before it arrives there, so a
 * burst spreads evenly.  It travels as a brief call; at most HANDOFFS_MAX (socket.c) are under
 * way, and beyond that accepting pauses.  Where no shard has room it pauses as well and looks again
 * in 10 ms, for the others do not tell when they have some.
 *
 * The listening socket itself can travel too: when its owner closes while others still listen. */
#include <errno.h>
#include <unistd.h>
#include "net/kernel/socket.h"

enum { NOBODY = -1 };

struct handoff {
    struct weir_call call;
    struct weir_kernel_listener *from;
    struct weir_share *share;
    int fd;
    unsigned to;
};

size_t weir_handoff_size(void)
{
    return sizeof(struct handoff);
}

/* --- whom to give it --- */

static bool handoff_eligible(const struct weir_kernel_listener *l, unsigned id, uint32_t load)
{
    struct weir_share_member *member = &l->share->member[id];

    return atomic_load_explicit(&member->in, memory_order_relaxed) &&
           atomic_load_explicit(&member->room, memory_order_relaxed) > 0 &&
           load < weir_listener_kernel(l)->conns_max;
}

/* The one with the fewest connections; among equals the next in turn. */
static int handoff_pick(const struct weir_kernel_listener *l)
{
    const struct weir_share *share = l->share;
    uint32_t least = UINT32_MAX;
    int best = NOBODY;

    for (unsigned i = 1; i <= share->all->count; i++) {
        unsigned id = (share->last + i) % share->all->count;
        uint32_t load = atomic_load_explicit(&share->all->shard[id]->load, memory_order_relaxed);

        if (load < least && handoff_eligible(l, id, load)) {
            least = load;
            best = (int)id;
        }
    }
    return best;
}

bool weir_handoff_room(struct weir_kernel_listener *l)
{
    struct weir_kernel *kernel = weir_listener_kernel(l);

    if (kernel->handoffs.live + kernel->stack.shard->all->count >= kernel->handoffs.max)
        return false; /* one that comes home makes us look again */
    if (handoff_pick(l) != NOBODY)
        return true;
    kernel->want_room = true;
    weir_kernel_rest(kernel);
    return false;
}

/* --- the journey --- */

static void handoff_count(struct weir_share *share, unsigned to, int32_t change)
{
    weir_kernel_load(share->all->shard[to], change);
    atomic_fetch_sub_explicit(&share->member[to].room, change, memory_order_relaxed);
}

/* On the shard it was sent to: who listens there, or NULL. */
static struct weir_kernel_listener *handoff_listener_here(const struct weir_share *share)
{
    struct weir_kernel *kernel = weir_kernel_of(weir_kernel_stack_of(weir_shard_current));

    for (struct weir_link *at = kernel->listeners.next; at != &kernel->listeners; at = at->next) {
        struct weir_kernel_listener *l = weir_container_of(at, struct weir_kernel_listener, link);

        if (l->share == share)
            return l;
    }
    return NULL;
}

static void handoff_send(struct weir_kernel_listener *l, unsigned to, int fd, int64_t (*fn)(void *),
                         void (*home)(struct weir_future *))
{
    struct handoff *handoff = weir_pool_get(&weir_listener_kernel(l)->handoffs);

    if (!handoff) /* weir_handoff_room keeps enough of them: only memory can be short */
        weir_panic("out of memory for a connection on its way to shard %u", to);
    handoff->from = l;
    handoff->share = l->share;
    handoff->fd = fd;
    handoff->to = to;
    l->refs++;
    weir_call_brief_start(&handoff->call, to, fn, handoff);
    if (!weir_future_on_done(&handoff->call.future, home))
        home(&handoff->call.future);
}

/* Takes it apart; the caller still owns the listener's reference. */
static struct handoff handoff_open(struct weir_future *future)
{
    struct handoff *handoff = weir_container_of(future, struct handoff, call.future);
    struct handoff copy = *handoff;

    weir_pool_put(&weir_listener_kernel(copy.from)->handoffs, handoff);
    return copy;
}

/* --- connections --- */

static int64_t handoff_arrive(void *arg)
{
    const struct handoff *handoff = arg;
    struct weir_kernel_listener *l = handoff_listener_here(handoff->share);

    if (!l)
        return -ESHUTDOWN;
    weir_listener_queue(l, handoff->fd);
    return 0;
}

static void handoff_home(struct weir_future *future)
{
    struct handoff handoff = handoff_open(future);

    if (handoff.call.future.result < 0) {
        handoff_count(handoff.share, handoff.to, -1);
        weir_handoff(handoff.from, handoff.fd);
    }
    handoff.from->handoffs--;
    weir_listener_handed(handoff.from);
    weir_listener_unref(handoff.from);
}

void weir_handoff(struct weir_kernel_listener *l, int fd)
{
    unsigned self = l->listener.stack->shard->id;
    struct weir_kernel *kernel = weir_listener_kernel(l);
    int to = handoff_pick(l);

    if (to == NOBODY || kernel->handoffs.live == kernel->handoffs.max) {
        if (l->closed) {
            close(fd);
            return;
        }
        to = (int)self;
    }
    l->share->last = (unsigned)to;
    handoff_count(l->share, (unsigned)to, 1);
    if ((unsigned)to == self) {
        /* A closed one may have a successor on its own shard. */
        weir_listener_queue(l->closed ? handoff_listener_here(l->share) : l, fd);
    } else {
        l->handoffs++;
        handoff_send(l, (unsigned)to, fd, handoff_arrive, handoff_home);
    }
}

/* --- the end of it --- */

static int64_t handoff_ended(void *arg)
{
    const struct handoff *handoff = arg;
    struct weir_kernel_listener *l = handoff_listener_here(handoff->share);

    if (l)
        weir_listener_end(l);
    return 0;
}

static void handoff_ended_home(struct weir_future *future)
{
    weir_listener_unref(handoff_open(future).from);
}

void weir_handoff_end(struct weir_kernel_listener *l)
{
    struct weir_share *share = l->share;

    atomic_store(&share->ended, true);
    for (unsigned i = 0; i < share->all->count; i++)
        if (i != l->listener.stack->shard->id && atomic_load(&share->member[i].in))
            handoff_send(l, i, -1, handoff_ended, handoff_ended_home);
}

/* --- the listening socket --- */

static int64_t handoff_adopt(void *arg)
{
    const struct handoff *handoff = arg;
    struct weir_kernel_listener *l = handoff_listener_here(handoff->share);

    if (!l)
        return -ESHUTDOWN;
    weir_listener_adopt(l, handoff->fd);
    return 0;
}

static void handoff_adopted(struct weir_future *future)
{
    struct handoff handoff = handoff_open(future);

    if (handoff.call.future.result < 0)
        weir_handoff_listener(handoff.from, handoff.fd);
    weir_listener_unref(handoff.from);
}

void weir_handoff_listener(struct weir_kernel_listener *l, int fd)
{
    unsigned to;

    if (weir_share_successor(l->share, fd, &to))
        handoff_send(l, to, fd, handoff_adopt, handoff_adopted);
}
