/* signal.h - the signals of the process, as something to wait for.
 *
 * From the first weir_signal_open of a number on, that signal does no more what it did before, in
 * the whole process, until the last one is closed.  Everybody who has it open, on whatever shard of
 * whatever runtime, sees each delivery.  Those that come while nobody waits are counted, as far as
 * the kernel tells them apart: of a signal below SIGRTMIN that is pending it takes no second. */
#ifndef WEIR_SIGNAL_H
#define WEIR_SIGNAL_H

#include <signal.h>
#include <weir/future.h>

WEIR_BEGIN

struct weir_signal;

/* Takes note of the signal from here on.  It belongs to the shard.  0; -EINVAL: no such signal, or
 * one that cannot be waited for (SIGKILL and SIGSTOP; those a program sends itself by a mistake:
 * SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT); -EBUSY: SIGINT, SIGTERM or SIGUSR1
 * while a runtime of this process has them: set weir_config.signals to false to have them yourself;
 * -ENOMEM.  Never suspends. */
WEIR_API int weir_signal_open(struct weir_signal **signal, int number);

/* Waits until it has been delivered since it was opened or waited for.  How often, at least 1; or
 * -EBUSY: somebody waits already.  On -ETIMEDOUT or -ECANCELED nothing is lost: a delivery that
 * comes later is there for the next wait. */
WEIR_API int64_t weir_signal_wait(struct weir_signal *signal, weir_time deadline);

/* The same as a future: several things at once, or a callback. */
struct weir_signal_wait {
    struct weir_future future;
    struct weir_signal *signal;
};

WEIR_API void weir_signal_wait_start(struct weir_signal_wait *wait, struct weir_signal *signal);

/* Ends it; a wait under way gets -ECANCELED.  The last one of its number in the process gives the
 * signal back to what it did before.  Never suspends. */
WEIR_API void weir_signal_close(struct weir_signal *signal);

WEIR_END

#endif
