/* signal_wait.c - signals as futures: a handler that mails the shards of those who listen.
 *
 * The handler may run in any thread, at any place.  It walks the listeners of its number without a
 * lock, counts, and sends each its mail unless that is on its way already; the shard looks at
 * the count when the mail arrives, or when somebody begins to wait.  A listener is unlinked under
 * the lock and freed when no handler runs any more: one that began later cannot come across it.
 *
 * Invariant: while `mailed` is set, the mail is in the hands of the shard, or a handler is about to
 * put it there. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <weir/signal.h>
#include "sched/mail.h"
#include "sched/signals.h"

enum { SIGNAL_NUMBERS = 65 }; /* Linux: 1 to 64 */

struct weir_signal {
    struct weir_signal *_Atomic next; /* of the same number */
    struct weir_shard *shard;
    struct weir_mail mail;
    struct weir_signal_wait *wait; /* or NULL */
    _Atomic int64_t count;         /* deliveries that nobody has waited for */
    atomic_bool mailed;
    bool closed; /* by its owner; goes when its mail has arrived */
    int number;
};

static pthread_mutex_t signal_lock = PTHREAD_MUTEX_INITIALIZER; /* of the lists; not for handlers */
static struct weir_signal *_Atomic signal_first[SIGNAL_NUMBERS];
static struct sigaction signal_before[SIGNAL_NUMBERS];
static _Atomic int signal_running; /* handlers under way: pairs with signal_handlers_wait */

/* --- delivery --- */

static void signal_handler(int number)
{
    int saved = errno;
    struct weir_signal *s;

    atomic_fetch_add(&signal_running, 1); /* before it looks at the list */
    for (s = atomic_load(&signal_first[number]); s; s = atomic_load(&s->next)) {
        atomic_fetch_add(&s->count, 1); /* before `mailed`: pairs with signal_deliver */
        if (!atomic_exchange(&s->mailed, true))
            weir_mail_send(s->shard, &s->mail);
    }
    atomic_fetch_sub(&signal_running, 1);
    errno = saved;
}

static void signal_wait_end(struct weir_signal *s, int64_t result)
{
    struct weir_signal_wait *wait = s->wait;

    s->wait = NULL;
    weir_future_set(&wait->future, result);
}

static void signal_deliver(struct weir_shard *shard, struct weir_mail *mail)
{
    struct weir_signal *s = weir_container_of(mail, struct weir_signal, mail);
    int64_t count;

    (void)shard;
    atomic_store(&s->mailed, false); /* before the count: pairs with signal_handler */
    if (s->closed)
        free(s);
    else if (s->wait && (count = atomic_exchange(&s->count, 0)) > 0)
        signal_wait_end(s, count);
}

/* --- opening and closing --- */

static bool signal_is_for_runtimes(int number)
{
    return number == SIGINT || number == SIGTERM || number == SIGUSR1;
}

static bool signal_may_be_waited_for(int number)
{
    static const int not [] = { SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE,
                                SIGILL,  SIGTRAP, SIGSYS,  SIGABRT };

    for (size_t i = 0; i < WEIR_COUNT(not ); i++)
        if (number == not [i])
            return false;
    return number > 0 && number < SIGNAL_NUMBERS;
}

static int signal_handle(int number)
{
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_handler = signal_handler;
    action.sa_flags = SA_RESTART | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    return sigaction(number, &action, &signal_before[number]) < 0 ? -errno : 0;
}

/* Unless somebody else has put a handler of his own there since. */
static void signal_give_back(int number)
{
    struct sigaction now;

    if (sigaction(number, NULL, &now) == 0 && now.sa_handler == signal_handler)
        sigaction(number, &signal_before[number], NULL);
}

static int signal_link(struct weir_signal *s)
{
    struct weir_signal *first;
    int error = 0;

    pthread_mutex_lock(&signal_lock);
    first = atomic_load(&signal_first[s->number]);
    if (!first)
        error = signal_handle(s->number);
    if (error == 0) {
        atomic_store(&s->next, first);
        atomic_store(&signal_first[s->number], s);
    }
    pthread_mutex_unlock(&signal_lock);
    return error;
}

static void signal_unlink(struct weir_signal *s)
{
    struct weir_signal *_Atomic *at = &signal_first[s->number];

    pthread_mutex_lock(&signal_lock);
    while (atomic_load(at) != s)
        at = &atomic_load(at)->next;
    atomic_store(at, atomic_load(&s->next));
    if (!atomic_load(&signal_first[s->number]))
        signal_give_back(s->number);
    pthread_mutex_unlock(&signal_lock);
}

/* Those that began before the unlinking may still be at it. */
static void signal_handlers_wait(void)
{
    while (atomic_load(&signal_running) > 0)
        sched_yield();
}

int weir_signal_open(struct weir_signal **signal, int number)
{
    struct weir_shard *shard = weir_shard_here("weir_signal_open");
    struct weir_signal *s;
    int error;

    if (!signal_may_be_waited_for(number))
        return -EINVAL;
    if (signal_is_for_runtimes(number) && weir_signals_taken())
        return -EBUSY;
    s = calloc(1, sizeof *s);
    if (!s)
        return -ENOMEM;
    s->shard = shard;
    s->number = number;
    s->mail.deliver = signal_deliver;
    error = signal_link(s);
    if (error < 0) {
        free(s);
        return error;
    }
    shard->signals++;
    *signal = s;
    return 0;
}

void weir_signal_close(struct weir_signal *s)
{
    weir_shard_check(s->shard, "weir_signal_close");
    signal_unlink(s);
    signal_handlers_wait();
    s->shard->signals--;
    if (s->wait)
        signal_wait_end(s, -ECANCELED);
    /* Its mail may be on its way, and the shard at its end: take it now.  Only when this is called
     * from the delivery of mail, ours may be in hand there, and comes to its end in this turn. */
    if (atomic_load(&s->mailed))
        weir_mail_deliver(s->shard);
    if (atomic_load(&s->mailed))
        s->closed = true;
    else
        free(s);
}

/* --- waiting --- */

static void signal_wait_cancel(struct weir_future *future)
{
    struct weir_signal_wait *wait = weir_container_of(future, struct weir_signal_wait, future);

    wait->signal->wait = NULL;
    weir_future_set(future, -ECANCELED);
}

void weir_signal_wait_start(struct weir_signal_wait *wait, struct weir_signal *s)
{
    int64_t count;

    weir_shard_check(s->shard, "weir_signal_wait");
    weir_future_init(&wait->future, signal_wait_cancel);
    wait->signal = s;
    if (s->wait)
        weir_future_set(&wait->future, -EBUSY);
    else if ((count = atomic_exchange(&s->count, 0)) > 0)
        weir_future_set(&wait->future, count);
    else
        s->wait = wait;
}

int64_t weir_signal_wait(struct weir_signal *signal, weir_time deadline)
{
    struct weir_signal_wait wait;

    weir_signal_wait_start(&wait, signal);
    return weir_await(&wait.future, deadline);
}
