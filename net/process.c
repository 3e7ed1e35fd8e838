/* process.c - child processes: posix_spawn, and a pidfd that the engine of the shard watches.
 *
 * Pipes are socket pairs: the engine's code for connections serves them as they are.
 *
 * Invariant: the child is ours to reap (so its pid names nobody else) until `over`; the pidfd is
 * open and watched until then. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>
#include <weir/process.h>
#include "net/kernel/socket.h"

enum { STDIO = 3 };

struct weir_process {
    struct weir_kernel *kernel;
    struct weir_kernel_watch watch; /* fd: the pidfd */
    struct weir_process_wait *wait; /* or NULL */
    struct weir_future *last;       /* weir_process_close, which waits for the end; or NULL */
    pid_t pid;
    int64_t result; /* once over: the status, or -ECHILD */
    bool over;
    bool closed, gone; /* by its owner; the watch */
};

/* What becomes of the three on the way into the child. */
struct spawn {
    const struct weir_process_config *config;
    int theirs[STDIO]; /* descriptors to be theirs, none below 3; or -1 */
    int ours[STDIO];   /* of the pipes; or -1 */
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
};

/* --- its end --- */

static void process_unref(struct weir_process *p)
{
    if (p->closed && p->gone)
        free(p);
}

static void process_gone(struct weir_kernel_watch *watch)
{
    struct weir_process *p = weir_container_of(watch, struct weir_process, watch);

    p->gone = true;
    process_unref(p);
}

static void process_wait_end(struct weir_process *p, int64_t result)
{
    struct weir_process_wait *wait = p->wait;

    p->wait = NULL;
    if (wait)
        weir_future_set(&wait->future, result);
}

/* Takes the status; false when it still runs. */
static bool process_reap(struct weir_process *p)
{
    int status = 0;
    pid_t pid;

    do
        pid = waitpid(p->pid, &status, WNOHANG);
    while (pid < 0 && errno == EINTR);
    if (pid == 0)
        return false;
    p->result = pid < 0 ? -errno : status;
    p->over = true;
    return true;
}

static void process_ready(struct weir_kernel_watch *watch, unsigned what)
{
    struct weir_process *p = weir_container_of(watch, struct weir_process, watch);

    (void)what;
    if (!process_reap(p)) {
        p->kernel->ops->watch_arm(p->kernel, watch, WEIR_WATCH_IN);
        return;
    }
    p->kernel->ops->watch_close(p->kernel, watch);
    if (p->last)
        weir_future_set(p->last, 0);
    else
        process_wait_end(p, p->result);
}

/* --- stdio --- */

/* The same descriptor by a number that no dup2 into 0, 1, 2 can tread on.  Takes `fd` over. */
static int fd_above_stdio(int fd)
{
    int above;

    if (fd < 0 || fd >= STDIO)
        return fd;
    above = fcntl(fd, F_DUPFD_CLOEXEC, STDIO);
    close(fd);
    return above;
}

static int spawn_pipe(struct spawn *spawn, int i)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    spawn->ours[i] = pair[0];
    spawn->theirs[i] = fd_above_stdio(pair[1]);
    return spawn->theirs[i] < 0 ? -EMFILE : 0;
}

static int spawn_stdio(struct spawn *spawn, int i)
{
    switch (spawn->config->stdio[i]) {
    case WEIR_STDIO_INHERIT:
        return 0;
    case WEIR_STDIO_NULL:
        spawn->theirs[i] = open("/dev/null", i == 0 ? O_RDONLY | O_CLOEXEC : O_WRONLY | O_CLOEXEC);
        spawn->theirs[i] = fd_above_stdio(spawn->theirs[i]);
        break;
    case WEIR_STDIO_PIPE:
        return spawn_pipe(spawn, i);
    case WEIR_STDIO_FD:
        spawn->theirs[i] = fcntl(spawn->config->fd[i], F_DUPFD_CLOEXEC, STDIO);
        break;
    default:
        return -EINVAL;
    }
    return spawn->theirs[i] < 0 ? -errno : 0;
}

static int spawn_actions(struct spawn *spawn)
{
    int error = 0;

    for (int i = 0; i < STDIO && !error; i++)
        if (spawn->theirs[i] >= 0)
            error = posix_spawn_file_actions_adddup2(&spawn->actions, spawn->theirs[i], i);
    if (!error)
        error = posix_spawn_file_actions_addclosefrom_np(&spawn->actions, STDIO);
    if (!error && spawn->config->cwd)
        error = posix_spawn_file_actions_addchdir_np(&spawn->actions, spawn->config->cwd);
    return -error;
}

static void spawn_attr(struct spawn *spawn)
{
    sigset_t set;

    sigfillset(&set);
    posix_spawnattr_setsigdefault(&spawn->attr, &set);
    sigemptyset(&set);
    posix_spawnattr_setsigmask(&spawn->attr, &set);
    posix_spawnattr_setflags(&spawn->attr, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
}

static int spawn_prepare(struct spawn *spawn, const struct weir_process_config *config)
{
    int error = 0;

    *spawn = (struct spawn){ .config = config, .theirs = { -1, -1, -1 }, .ours = { -1, -1, -1 } };
    posix_spawn_file_actions_init(&spawn->actions);
    posix_spawnattr_init(&spawn->attr);
    for (int i = 0; i < STDIO && !error; i++)
        error = spawn_stdio(spawn, i);
    if (!error)
        error = spawn_actions(spawn);
    if (!error)
        spawn_attr(spawn);
    return error;
}

static void fds_close(const int *fd)
{
    for (int i = 0; i < STDIO; i++)
        if (fd[i] >= 0)
            close(fd[i]);
}

/* What is `ours` has an owner by now, or is closed as well. */
static void spawn_end(struct spawn *spawn)
{
    fds_close(spawn->theirs);
    fds_close(spawn->ours);
    posix_spawn_file_actions_destroy(&spawn->actions);
    posix_spawnattr_destroy(&spawn->attr);
}

/* --- starting --- */

/* A child has the CPUs of the thread that starts it, and this one is pinned. */
static int spawn_run(struct spawn *spawn, pid_t *pid)
{
    char *const *argv = (char *const *)(uintptr_t)spawn->config->argv;
    char *const *envp = (char *const *)(uintptr_t)spawn->config->envp;
    cpu_set_t mine, main_thread;
    bool pinned = sched_getaffinity(0, sizeof mine, &mine) == 0 &&
                  sched_getaffinity(getpid(), sizeof main_thread, &main_thread) == 0 &&
                  !CPU_EQUAL(&mine, &main_thread) &&
                  sched_setaffinity(0, sizeof main_thread, &main_thread) == 0;
    int error =
        posix_spawnp(pid, argv[0], &spawn->actions, &spawn->attr, argv, envp ? envp : environ);

    if (pinned)
        sched_setaffinity(0, sizeof mine, &mine);
    return -error;
}

/* Ends a child that nobody will know. */
static void process_undo(pid_t pid)
{
    kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

static int process_watch(struct weir_process *p)
{
    int error;

    p->watch = (struct weir_kernel_watch){ .ready = process_ready, .gone = process_gone };
    p->watch.fd = pidfd_open(p->pid, 0);
    if (p->watch.fd < 0)
        return -errno;
    error = p->kernel->ops->watch_open(p->kernel, &p->watch);
    if (error < 0)
        close(p->watch.fd);
    else
        p->kernel->ops->watch_arm(p->kernel, &p->watch, WEIR_WATCH_IN);
    return error;
}

static void pipes_close(struct weir_conn *pipes[STDIO])
{
    for (int i = 0; i < STDIO; i++) {
        if (pipes[i])
            weir_close(pipes[i]);
        pipes[i] = NULL;
    }
}

/* Connections of our ends, before there is a child: what can fail has failed by then. */
static int pipes_open(struct weir_kernel *kernel, struct spawn *spawn,
                      struct weir_conn *pipes[STDIO])
{
    for (int i = 0; i < STDIO; i++) {
        if (spawn->ours[i] < 0)
            continue;
        pipes[i] = weir_kernel_adopt(kernel, spawn->ours[i]);
        if (!pipes[i])
            return -EMFILE;
        spawn->ours[i] = -1;
    }
    return 0;
}

static int process_start(struct weir_process *p, struct spawn *spawn)
{
    int error = spawn_run(spawn, &p->pid);

    if (error)
        return error;
    error = process_watch(p);
    if (error)
        process_undo(p->pid);
    else
        p->kernel->processes++;
    return error;
}

void weir_process_config_init(struct weir_process_config *config, const char *const *argv)
{
    *config = (struct weir_process_config){ .argv = argv, .fd = { -1, -1, -1 } };
}

static bool config_is_sound(const struct weir_process_config *config, struct weir_conn *pipes[])
{
    for (int i = 0; i < STDIO; i++)
        if (config->stdio[i] == WEIR_STDIO_PIPE && !pipes)
            return false;
    return config->argv && config->argv[0];
}

int weir_process_spawn(struct weir_process **process, const struct weir_process_config *config,
                       struct weir_conn *pipes[3])
{
    struct weir_kernel *kernel = weir_kernel_here("weir_process_spawn");
    struct weir_conn *opened[STDIO] = { NULL };
    struct weir_process *p;
    struct spawn spawn;
    int error;

    if (!config_is_sound(config, pipes))
        return -EINVAL;
    if (!kernel)
        return -EOPNOTSUPP;
    p = calloc(1, sizeof *p);
    if (!p)
        return -ENOMEM;
    p->kernel = kernel;
    error = spawn_prepare(&spawn, config);
    if (!error)
        error = pipes_open(kernel, &spawn, opened);
    if (!error)
        error = process_start(p, &spawn);
    spawn_end(&spawn);
    if (error) {
        pipes_close(opened);
        free(p);
        return error;
    }
    if (pipes)
        memcpy(pipes, opened, sizeof opened);
    *process = p;
    return 0;
}

/* --- what is asked of it --- */

static void process_check(const struct weir_process *p, const char *call)
{
    weir_shard_check(p->kernel->stack.shard, call);
}

pid_t weir_process_pid(const struct weir_process *p)
{
    return p->pid;
}

static void process_wait_cancel(struct weir_future *future)
{
    struct weir_process_wait *wait = weir_container_of(future, struct weir_process_wait, future);

    wait->process->wait = NULL;
    weir_future_set(future, -ECANCELED);
}

void weir_process_wait_start(struct weir_process_wait *wait, struct weir_process *p)
{
    process_check(p, "weir_process_wait");
    weir_future_init(&wait->future, process_wait_cancel);
    wait->process = p;
    if (p->over)
        weir_future_set(&wait->future, p->result);
    else if (p->wait)
        weir_future_set(&wait->future, -EBUSY);
    else
        p->wait = wait;
}

int weir_process_wait(struct weir_process *p, int *status, weir_time deadline)
{
    struct weir_process_wait wait;
    int64_t result;

    weir_process_wait_start(&wait, p);
    result = weir_await(&wait.future, deadline);
    if (result < 0)
        return (int)result;
    *status = (int)result;
    return 0;
}

int weir_process_kill(struct weir_process *p, int number)
{
    process_check(p, "weir_process_kill");
    if (p->over)
        return -ESRCH;
    return pidfd_send_signal(p->watch.fd, number, NULL, 0) < 0 ? -errno : 0;
}

/* The future has no cancel: whoever waits for it does so to the end. */
static void process_end(struct weir_process *p)
{
    struct weir_future over;

    weir_future_init(&over, NULL);
    p->last = &over;
    pidfd_send_signal(p->watch.fd, SIGKILL, NULL, 0);
    weir_await(&over, WEIR_NEVER);
}

void weir_process_close(struct weir_process *p)
{
    process_check(p, "weir_process_close");
    process_wait_end(p, -ECANCELED);
    if (!p->over)
        process_end(p);
    p->kernel->processes--;
    p->closed = true;
    process_unref(p);
}
