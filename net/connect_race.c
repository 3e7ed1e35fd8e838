/* connect_race.c - connecting to the first of several addresses that answers: "happy eyeballs".
 *
 * RFC 8305 5: attempts begin one after another, 250 ms apart or when one has failed; none is given
 * up before one has won.  All of it is one fiber that awaits the attempts and the clock.
 *
 * Not taken from the RFC: the answers for IPv6 and IPv4 are waited for together (3), and nothing is
 * remembered of earlier connections (4). */
#include <errno.h>
#include <string.h>
#include <weir/fiber.h>
#include <weir/time.h>
#include <weir/resolve.h>
#include "net/stack.h"

#define RACE_DELAY WEIR_MS(250)

struct race {
    struct weir_stack *stack;
    const struct weir_addr *addrs;
    size_t count, begun;
    struct weir_io io[WEIR_CONNECT_MAX];
    bool over[WEIR_CONNECT_MAX]; /* ... and its result has been looked at */
    size_t failed;               /* so many */
    int error;                   /* of the one among them that comes first in `addrs` */
    size_t error_of;
    int winner; /* or -1 */
};

static void race_begin_next(struct race *race)
{
    const struct weir_addr *addr = &race->addrs[race->begun];
    struct weir_stack *stack = race->stack;
    struct weir_io *io = &race->io[race->begun++];

    if (addr->sa.sa_family == AF_UNIX && stack->kernel)
        stack = stack->kernel;
    io->conn = NULL;
    stack->ops->connect(stack, io, addr);
}

static void race_failed(struct race *race, size_t i)
{
    if (race->failed++ == 0 || i < race->error_of) {
        race->error = (int)race->io[i].future.result;
        race->error_of = i;
    }
}

/* Looks at what has ended: one may have won, and the others lost.  Whether any failed. */
static bool race_look(struct race *race)
{
    bool failed = false;

    for (size_t i = 0; i < race->begun; i++) {
        if (race->over[i] || !race->io[i].future.done)
            continue;
        race->over[i] = true;
        if (race->io[i].future.result < 0) {
            race_failed(race, i);
            failed = true;
        } else if (race->winner < 0) {
            race->winner = (int)i;
        } else {
            weir_close(race->io[i].conn); /* came in second */
        }
    }
    return failed;
}

/* The futures of those that are under way. */
static size_t race_pending(struct race *race, struct weir_future *pending[WEIR_CONNECT_MAX])
{
    size_t count = 0;

    for (size_t i = 0; i < race->begun; i++)
        if (!race->over[i])
            pending[count++] = &race->io[i].future;
    return count;
}

/* Asks it to end, and waits until it has. */
static void race_withdraw(struct weir_future *future)
{
    weir_race_of((struct weir_future *const[]){ future }, 1, 0);
}

/* Waits until one has ended or it is time for the next.  0, -ETIMEDOUT or -ECANCELED. */
static int race_wait(struct race *race, weir_time next, weir_time deadline)
{
    struct weir_future *pending[WEIR_CONNECT_MAX + 1];
    size_t count = race_pending(race, pending);
    bool more = race->begun < race->count;
    struct weir_timer timer;
    int first;

    if (more) {
        weir_timer_start(&timer, next);
        pending[count++] = &timer.future;
    }
    first = weir_await_any_of(pending, count, deadline);
    if (more)
        race_withdraw(&timer.future);
    return first < 0 ? first : 0;
}

/* Ends all that are under way; a late winner among them is closed as well. */
static void race_end(struct race *race)
{
    for (size_t i = 0; i < race->begun; i++)
        if (!race->over[i])
            race_withdraw(&race->io[i].future);
    race_look(race);
}

/* Whether the time is over, or the fiber is cancelled: what was asked to end by that has failed for
 * no reason of its own. */
static int race_cut(weir_time deadline)
{
    if (weir_cancelled())
        return -ECANCELED;
    return weir_now() >= deadline ? -ETIMEDOUT : 0;
}

static int race_run(struct race *race, weir_time deadline)
{
    weir_time next = weir_now();
    int cut = 0;

    while (race->winner < 0 && cut == 0) {
        if (race->begun < race->count && weir_now() >= next) {
            race_begin_next(race);
            next = weir_after(RACE_DELAY);
        }
        cut = race_wait(race, next, deadline);
        if (race_look(race))
            next = weir_now(); /* one has failed: the next at once */
        if (race->failed == race->count)
            break;
        if (cut == 0 && race->winner < 0)
            cut = race_cut(deadline);
    }
    return cut;
}

static int connect_race(struct weir_conn **conn, struct weir_stack *stack,
                        const struct weir_addr *addrs, size_t count, weir_time deadline)
{
    struct race race = { .stack = stack, .addrs = addrs, .count = count, .winner = -1 };
    int cut;

    if (count == 0 || count > WEIR_CONNECT_MAX)
        return -EINVAL;
    cut = race_run(&race, deadline);
    race_end(&race);
    if (race.winner >= 0) {
        *conn = race.io[race.winner].conn;
        return 0;
    }
    return cut ? cut : race.error;
}

int weir_connect_any(struct weir_conn **conn, const struct weir_addr *addrs, size_t count,
                     weir_time deadline)
{
    return connect_race(conn, weir_stack_here("weir_connect_any"), addrs, count, deadline);
}

/* --- by name --- */

/* The first one stays in front; then one of the other family and one of its own by turns, each
 * family in its order. */
static void addrs_interleave(struct weir_addr *addrs, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        size_t j = i;

        while (j < count && addrs[j].sa.sa_family == addrs[i - 1].sa.sa_family)
            j++;
        if (j == count)
            return; /* all that is left is of one family */
        for (struct weir_addr other = addrs[j]; j >= i; j--)
            addrs[j] = j > i ? addrs[j - 1] : other;
    }
}

int weir_connect_name(struct weir_conn **conn, const char *text,
                      const struct weir_resolve_config *config, weir_time deadline)
{
    struct weir_stack *stack = weir_stack_for(weir_stack_here("weir_connect_name"), &text);
    struct weir_addr addrs[WEIR_CONNECT_MAX];
    int64_t count = weir_resolve(text, addrs, WEIR_COUNT(addrs), config, deadline);

    if (count < 0)
        return (int)count;
    addrs_interleave(addrs, (size_t)count);
    return connect_race(conn, stack, addrs, (size_t)count, deadline);
}
