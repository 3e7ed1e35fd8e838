/* once.c - a semaphore of one unit: who has it may try, and closes it behind a success.
 *
 * So a failure hands the turn to the first who waits, and a success tells all. */
#include <errno.h>
#include "sched/fiber.h"
#include "sched/waiters.h"

void weir_once_init(struct weir_once *once)
{
    *once = (struct weir_once){ .result = -EAGAIN };
    weir_sem_init(&once->sem, 1);
}

static int64_t once_run(struct weir_once *once, struct weir_fiber *fiber, int64_t (*fn)(void *arg),
                        void *arg)
{
    int64_t result;

    once->runner = fiber;
    result = fn(arg);
    once->runner = NULL;
    if (result < 0) {
        weir_sem_post(&once->sem, 1);
    } else {
        once->result = result;
        weir_sem_close(&once->sem);
    }
    return result;
}

int64_t weir_once_call(struct weir_once *once, int64_t (*fn)(void *arg), void *arg,
                       weir_time deadline)
{
    struct weir_fiber *fiber = weir_fiber_here("weir_once_call");
    int turn;

    weir_home_check(&once->sem.home, "weir_once_call");
    if (once->runner == fiber)
        weir_panic("weir_once_call: fiber '%s' called the same once from within its function; what "
                   "that makes cannot depend on itself",
                   fiber->name);
    turn = weir_sem_wait(&once->sem, 1, deadline);
    if (turn == 0)
        return once_run(once, fiber, fn, arg);
    return turn == -EPIPE ? once->result : turn;
}

bool weir_once_get(const struct weir_once *once, int64_t *result)
{
    bool made = weir_sem_is_closed(&once->sem);

    if (made && result)
        *result = once->result;
    return made;
}
