/* signals.c - the signals of a runtime.
 *
 * A handler only sets a word and wakes the shards.  The shards' threads leave signals to the thread
 * that started them. */
#include "sched/signals.h"
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>

/* The runtime that SIGINT and SIGTERM stop; one at a time. */
static struct weir_shards *_Atomic signal_shards;

/* Handlers that run just now, in whatever thread: counted before they look at signal_shards, so
 * that who has cleared it and finds none can free what it named (weir_signals_give_back). */
static _Atomic int signal_running;

static void shards_stop_more(struct weir_shards *shards)
{
    weir_shards_stop(shards,
                     atomic_load(&shards->stop) == WEIR_RUNNING ? WEIR_STOPPING : WEIR_CUTTING);
}

static void shards_dump(struct weir_shards *shards)
{
    atomic_fetch_add(&shards->dumps, 1);
    for (unsigned i = 0; i < shards->count; i++)
        shards->wake(shards->shard[i]);
}

static void signal_handler(int signal)
{
    struct weir_shards *shards;

    atomic_fetch_add(&signal_running, 1);
    shards = atomic_load(&signal_shards);
    if (shards && signal == SIGUSR1)
        shards_dump(shards);
    else if (shards)
        shards_stop_more(shards);
    atomic_fetch_sub(&signal_running, 1);
}

static const int signal_number[WEIR_SIGNALS] = { SIGINT, SIGTERM, SIGUSR1 };

void weir_signals_take(struct weir_signals *signals, struct weir_shards *shards)
{
    struct weir_shards *none = NULL;

    signals->ours = atomic_compare_exchange_strong(&signal_shards, &none, shards);
    for (size_t i = 0; signals->ours && i < WEIR_COUNT(signal_number); i++) {
        struct sigaction action;

        memset(&action, 0, sizeof action);
        action.sa_handler = signal_handler;
        action.sa_flags = SA_RESTART | SA_ONSTACK;
        sigemptyset(&action.sa_mask);
        sigaction(signal_number[i], &action, &signals->before[i]);
    }
}

void weir_signals_give_back(struct weir_signals *signals)
{
    if (!signals->ours)
        return;
    for (size_t i = 0; i < WEIR_COUNT(signal_number); i++)
        sigaction(signal_number[i], &signals->before[i], NULL);
    atomic_store(&signal_shards, NULL);
    while (atomic_load(&signal_running) > 0)
        sched_yield();
}

bool weir_signals_taken(void)
{
    return atomic_load(&signal_shards) != NULL;
}

void weir_signals_block(sigset_t *before)
{
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < WEIR_COUNT(signal_number); i++)
        sigaddset(&set, signal_number[i]);
    pthread_sigmask(SIG_BLOCK, &set, before);
}
