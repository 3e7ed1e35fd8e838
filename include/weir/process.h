/* process.h - child processes: starting them, talking to them, waiting for their end.
 *
 * A process belongs to the shard that started it, and to whoever closes it: no child outlives its
 * weir_process_close, and none is left a zombie.  It starts with default signal handling, no signal
 * blocked, the CPUs of the main thread (a shard is pinned, its children are not), and no descriptor
 * but the three of its stdio.
 *
 * In the simulation there are none: -EOPNOTSUPP. */
#ifndef WEIR_PROCESS_H
#define WEIR_PROCESS_H

#include <signal.h>
#include <sys/wait.h>
#include <weir/net.h>

WEIR_BEGIN

enum weir_stdio {
    WEIR_STDIO_INHERIT, /* that of this process */
    WEIR_STDIO_NULL,    /* /dev/null */
    WEIR_STDIO_PIPE,    /* a connection to here */
    WEIR_STDIO_FD,      /* the descriptor in fd[], which stays the caller's */
};

struct weir_process_config {
    const char *const *argv;  /* ended by NULL; argv[0] without a slash is looked for in the PATH of
                               * this process */
    const char *const *envp;  /* ended by NULL; or NULL: that of this process */
    const char *cwd;          /* NULL: that of this process.  A program named by a relative path
                               * is looked for from there */
    enum weir_stdio stdio[3]; /* stdin, stdout, stderr; default WEIR_STDIO_INHERIT */
    int fd[3];
};

WEIR_API void weir_process_config_init(struct weir_process_config *config, const char *const *argv);

struct weir_process;

/* Starts one.  pipes[i] becomes the other end of stdio i where that is WEIR_STDIO_PIPE, else NULL;
 * `pipes` may be NULL when none is.  They are connections as any, the caller's to weir_close:
 * weir_send to pipes[0], whose weir_shutdown is the child's end of input; weir_recv from the others
 * until 0.  (For the child they are Unix-domain sockets; /dev/stdin cannot be opened on these.)
 *
 * 0; -ENOENT, -EACCES, ...: it could not be executed, or not from `cwd`; -EINVAL; -EBADF;
 * -EMFILE; -EAGAIN: no more processes; -ENOMEM.  Does not suspend the fiber, but holds the shard
 * until the child has called exec: about a millisecond. */
WEIR_API int weir_process_spawn(struct weir_process **process,
                                const struct weir_process_config *config,
                                struct weir_conn *pipes[3]);

WEIR_API pid_t weir_process_pid(const struct weir_process *process);

/* Waits until it has ended, and tells how in *status, as waitpid does (WIFEXITED, ...); again: the
 * same at once.  0; -EBUSY: somebody waits already; -ECHILD: somebody else has taken the status, by
 * a waitpid of his own or by ignoring SIGCHLD.  On -ETIMEDOUT and -ECANCELED it runs on. */
WEIR_API int weir_process_wait(struct weir_process *process, int *status, weir_time deadline);

/* The same as a future: its result is the status, or -EBUSY, -ECHILD, -ECANCELED. */
struct weir_process_wait {
    struct weir_future future;
    struct weir_process *process;
};

WEIR_API void weir_process_wait_start(struct weir_process_wait *wait, struct weir_process *process);

/* Sends it a signal.  0; -ESRCH: it has ended; -EINVAL: no such signal; -EPERM. */
WEIR_API int weir_process_kill(struct weir_process *process, int number);

/* Ends it: a child that still runs gets SIGKILL, and the fiber waits until it is gone, also when it
 * is cancelled.  A wait under way in another fiber ends with -ECANCELED.  The pipes stay. */
WEIR_API void weir_process_close(struct weir_process *process);

WEIR_END

#endif
