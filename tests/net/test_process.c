/* test_process.c - child processes on every stack that has them: what they get, what comes back,
 * how they end; and that nothing is left of them. */
#include "tests/core/testing.h"
#include <dirent.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <weir/copy.h>
#include <weir/process.h>
#include "tests/seeds.h"

#define SOON weir_after(WEIR_SEC(30))

static const enum weir_stack_kind kinds[] = { WEIR_STACK_EPOLL, WEIR_STACK_URING,
                                              WEIR_STACK_NATIVE };

static int descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int count = 0;

    assert_non_null(dir);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

static bool kind_is_missing(enum weir_stack_kind kind)
{
    struct io_uring_params params = { 0 };
    int fd;

    if (kind != WEIR_STACK_URING)
        return false;
    fd = (int)syscall(__NR_io_uring_setup, 4, &params);
    if (fd >= 0)
        close(fd);
    return fd < 0;
}

static void run_with(unsigned shards, uint32_t conns_max, void (*shard_main)(void *arg), void *arg)
{
    int before = descriptors();

    for (size_t i = 0; i < WEIR_COUNT(kinds); i++) {
        struct weir_config config;

        if (kind_is_missing(kinds[i]))
            continue;
        weir_config_init(&config);
        config.stack = kinds[i];
        config.shards = shards;
        config.conns_max = conns_max ? conns_max : config.conns_max;
        config.signals = false;
        config.quiet = true;
        assert_int_equal(weir_run(&config, shard_main, arg), 0);
        assert_int_equal(descriptors(), before);
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child is left, no zombie */
        assert_int_equal(errno, ECHILD);
    }
}

static void run(void (*shard_main)(void *arg))
{
    run_with(1, 0, shard_main, NULL);
}

/* --- helpers in a fiber --- */

static int exit_status(struct weir_process *process)
{
    int status = -1;

    check_int(weir_process_wait(process, &status, SOON), 0);
    check(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* All that comes until the end, as text. */
static const char *read_all(struct weir_conn *conn, char *text, size_t size)
{
    size_t len = 0;
    int64_t n;

    while ((n = weir_recv(conn, text + len, size - 1 - len, SOON)) > 0)
        len += (size_t)n;
    check_int(n, 0);
    text[len] = 0;
    return text;
}

static void shell_config(struct weir_process_config *config, const char *argv[4],
                         const char *script)
{
    argv[0] = "sh";
    argv[1] = "-c";
    argv[2] = script;
    argv[3] = NULL;
    weir_process_config_init(config, argv);
}

/* What a script says on stdout; it has to succeed. */
static const char *shell(const char *script, char *text, size_t size)
{
    struct weir_process_config config;
    struct weir_process *process;
    struct weir_conn *pipes[3];
    const char *argv[4];

    shell_config(&config, argv, script);
    config.stdio[0] = WEIR_STDIO_NULL;
    config.stdio[1] = WEIR_STDIO_PIPE;
    check_int(weir_process_spawn(&process, &config, pipes), 0);
    check(!pipes[0] && pipes[1] && !pipes[2]);
    read_all(pipes[1], text, size);
    check_int(exit_status(process), 0);
    weir_close(pipes[1]);
    weir_process_close(process);
    return text;
}

static void check_text(const char *have, const char *want)
{
    if (strcmp(have, want) != 0)
        weir_panic("'%s', not '%s'", have, want);
}

/* A child that runs until its stdin ends. */
static struct weir_process *cat_start(struct weir_conn *pipes[3])
{
    static const char *const argv[] = { "cat", NULL };
    struct weir_process_config config;
    struct weir_process *process;

    weir_process_config_init(&config, argv);
    config.stdio[0] = config.stdio[1] = WEIR_STDIO_PIPE;
    check_int(weir_process_spawn(&process, &config, pipes), 0);
    return process;
}

static void pipes_close(struct weir_conn *pipes[3])
{
    for (int i = 0; i < 3; i++)
        if (pipes[i])
            weir_close(pipes[i]);
}

/* --- pipes --- */

enum { BULK = 3 << 20 };

static uint8_t bulk_byte(size_t at)
{
    return (uint8_t)(at * 31 + (at >> 8));
}

static void bulk_send(void *arg)
{
    uint8_t *data = malloc(BULK);

    check(data != NULL);
    for (size_t i = 0; i < BULK; i++)
        data[i] = bulk_byte(i);
    check_int(weir_send(arg, data, BULK, SOON), BULK);
    check_int(weir_shutdown(arg), 0);
    free(data);
}

static void bulk_main(void *arg)
{
    struct weir_conn *pipes[3];
    struct weir_process *process = cat_start(pipes);
    struct weir_scope scope;
    uint8_t data[4096];
    size_t at = 0;
    int64_t n;

    (void)arg;
    weir_scope_init(&scope);
    check_int(weir_spawn(&scope, bulk_send, pipes[0]), 0);
    while ((n = weir_recv(pipes[1], data, sizeof data, SOON)) > 0)
        for (int64_t i = 0; i < n; i++)
            check_int(data[i], bulk_byte(at++));
    check_int(n, 0);
    check_int((int64_t)at, BULK);
    check_int(weir_scope_join(&scope, SOON), 0);
    check_int(exit_status(process), 0);
    pipes_close(pipes);
    weir_process_close(process);
}

static void bytes_pass_through_a_child(void **state)
{
    (void)state;
    run(bulk_main);
}

static void streams_main(void *arg)
{
    struct weir_process_config config;
    struct weir_process *process;
    struct weir_conn *pipes[3];
    const char *argv[4];
    char text[100];

    (void)arg;
    shell_config(&config, argv, "echo out; echo err >&2; cat");
    config.stdio[0] = config.stdio[1] = config.stdio[2] = WEIR_STDIO_PIPE;
    check_int(weir_process_spawn(&process, &config, pipes), 0);
    check_int(weir_send(pipes[0], "in\n", 3, SOON), 3);
    weir_close(pipes[0]); /* is the end of its input, too */
    check_text(read_all(pipes[1], text, sizeof text), "out\nin\n");
    check_text(read_all(pipes[2], text, sizeof text), "err\n");
    weir_close(pipes[1]);
    weir_close(pipes[2]);
    check_int(exit_status(process), 0);
    weir_process_close(process);
}

static void each_stream_has_its_pipe(void **state)
{
    (void)state;
    run(streams_main);
}

/* --- descriptors --- */

static int memory_file(const char *text)
{
    int fd = memfd_create("test", MFD_CLOEXEC);

    check(fd >= 0);
    check_int(write(fd, text, strlen(text)), (int64_t)strlen(text));
    check_int(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

static void check_file(int fd, const char *want)
{
    char text[100];
    ssize_t n = pread(fd, text, sizeof text - 1, 0);

    check(n >= 0);
    text[n] = 0;
    check_text(text, want);
}

static void fd_main(void *arg)
{
    struct weir_process_config config;
    struct weir_process *process;
    const char *argv[4];

    (void)arg;
    shell_config(&config, argv, "cat; echo err >&2");
    config.fd[0] = memory_file("hello ");
    config.fd[1] = config.fd[2] = memory_file("");
    config.stdio[0] = config.stdio[1] = config.stdio[2] = WEIR_STDIO_FD;
    check_int(weir_process_spawn(&process, &config, NULL), 0);
    check_int(exit_status(process), 0);
    check_file(config.fd[1], "hello err\n");
    close(config.fd[0]); /* stayed ours */
    close(config.fd[1]);
    weir_process_close(process);
}

/* 1 becomes 2, and 2 becomes 1. */
static void swap_main(void *arg)
{
    int one = dup(1), two = dup(2), out = memory_file(""), err = memory_file("");
    struct weir_process_config config;
    struct weir_process *process;
    const char *argv[4];

    (void)arg;
    shell_config(&config, argv, "echo out; echo err >&2");
    config.stdio[1] = config.stdio[2] = WEIR_STDIO_FD;
    config.fd[1] = 2;
    config.fd[2] = 1;
    check(dup2(out, 1) == 1 && dup2(err, 2) == 2);
    check_int(weir_process_spawn(&process, &config, NULL), 0);
    check(dup2(one, 1) == 1 && dup2(two, 2) == 2);
    check_int(exit_status(process), 0);
    check_file(out, "err\n");
    check_file(err, "out\n");
    weir_process_close(process);
    close(one);
    close(two);
    close(out);
    close(err);
}

static void descriptors_are_handed_down(void **state)
{
    (void)state;
    run(fd_main);
    run(swap_main);
}

static void nothing_else_main(void *arg)
{
    char text[200];
    int leak = open("/dev/null", O_RDONLY);

    (void)arg;
    check(leak > 2);
    check_text(shell("ls /proc/self/fd", text, sizeof text), "0\n1\n2\n3\n"); /* 3: of ls itself */
    close(leak);
    check_text(shell("cat; grep SigBlk /proc/self/status", text, sizeof text),
               "SigBlk:\t0000000000000000\n");
    shell("grep SigIgn /proc/self/status | cut -f 2", text, sizeof text);
    check_int(strtoll(text, NULL, 16) & 0x7fffffff, 0); /* 32 and 33 are the C library's */
    check_text(shell("grep Cpus_allowed_list /proc/self/status", text, sizeof text), arg);
}

/* The shards are pinned and block signals; the process ignores one. */
static void it_gets_nothing_else(void **state)
{
    char line[256], cpus[256] = "";
    FILE *status = fopen("/proc/self/status", "r");

    (void)state;
    assert_non_null(status);
    while (fgets(line, sizeof line, status))
        if (strncmp(line, "Cpus_allowed_list", 17) == 0)
            strcpy(cpus, line);
    fclose(status);
    signal(SIGPIPE, SIG_IGN);
    run_with(1, 0, nothing_else_main, cpus);
    signal(SIGPIPE, SIG_DFL);
}

/* --- environment, directory, program --- */

static void surroundings_main(void *arg)
{
    const char *const envp[] = { "WEIR_A=b", "WEIR_C=d e", NULL };
    struct weir_process_config config;
    struct weir_process *process;
    struct weir_conn *pipes[3];
    const char *argv[4];
    char text[200];

    (void)arg;
    shell_config(&config, argv, "echo $WEIR_A $WEIR_C $WEIR_X; pwd");
    config.envp = envp;
    config.cwd = "/proc";
    config.stdio[1] = WEIR_STDIO_PIPE;
    check_int(weir_process_spawn(&process, &config, pipes), 0);
    check_text(read_all(pipes[1], text, sizeof text), "b d e\n/proc\n");
    check_int(exit_status(process), 0);
    pipes_close(pipes);
    weir_process_close(process);
    check_text(shell("echo $WEIR_X", text, sizeof text), "inherited\n");
}

static void it_has_its_environment_and_directory(void **state)
{
    (void)state;
    setenv("WEIR_X", "inherited", 1);
    run(surroundings_main);
    unsetenv("WEIR_X");
}

static void refused(int error, const char *program, const char *cwd, enum weir_stdio out, int fd)
{
    const char *argv[] = { program, NULL };
    struct weir_process_config config;
    struct weir_process *process;
    struct weir_conn *pipes[3];

    weir_process_config_init(&config, argv);
    config.cwd = cwd;
    config.stdio[0] = WEIR_STDIO_PIPE;
    config.stdio[1] = out;
    config.fd[1] = fd;
    check_int(weir_process_spawn(&process, &config, pipes), error);
}

static void refused_main(void *arg)
{
    struct weir_process_config config;
    struct weir_process *process;

    (void)arg;
    refused(-ENOENT, "/no/such/program", NULL, WEIR_STDIO_PIPE, -1);
    refused(-ENOENT, "no-such-program-in-the-path", NULL, WEIR_STDIO_PIPE, -1);
    refused(-EACCES, "/etc/passwd", NULL, WEIR_STDIO_PIPE, -1);
    refused(-ENOENT, "true", "/no/such/directory", WEIR_STDIO_PIPE, -1);
    refused(-EBADF, "true", NULL, WEIR_STDIO_FD, -1);
    refused(-EBADF, "true", NULL, WEIR_STDIO_FD, 1000000);
    refused(-EINVAL, "true", NULL, (enum weir_stdio)4, -1);
    refused(-EINVAL, NULL, NULL, WEIR_STDIO_PIPE, -1);
    weir_process_config_init(&config, NULL);
    check_int(weir_process_spawn(&process, &config, NULL), -EINVAL);
    weir_process_config_init(&config, (const char *const[]){ "true", NULL });
    config.stdio[1] = WEIR_STDIO_PIPE;
    check_int(weir_process_spawn(&process, &config, NULL), -EINVAL);
}

static void what_cannot_be_started(void **state)
{
    (void)state;
    run(refused_main);
}

/* Pipes are connections: they count. */
static void conns_max_main(void *arg)
{
    struct weir_conn *pipes[3];
    struct weir_process *process;

    (void)arg;
    process = cat_start(pipes);
    refused(-EMFILE, "true", NULL, WEIR_STDIO_NULL, -1);
    pipes_close(pipes);
    weir_process_close(process);
    process = cat_start(pipes); /* what was refused has left nothing */
    pipes_close(pipes);
    weir_process_close(process);
}

static void pipes_count_as_connections(void **state)
{
    (void)state;
    run_with(1, 2, conns_max_main, NULL);
}

/* --- the end --- */

static void status_main(void *arg)
{
    struct weir_process_config config;
    struct weir_process *process;
    const char *argv[4];
    int status = 0;

    (void)arg;
    shell_config(&config, argv, "exit 7");
    check_int(weir_process_spawn(&process, &config, NULL), 0);
    check(weir_process_pid(process) > 0);
    check_int(exit_status(process), 7);
    check_int(exit_status(process), 7);
    check_int(weir_process_kill(process, SIGTERM), -ESRCH);
    weir_process_close(process);
    shell_config(&config, argv, "kill -USR1 $$");
    check_int(weir_process_spawn(&process, &config, NULL), 0);
    check_int(weir_process_wait(process, &status, SOON), 0);
    check(WIFSIGNALED(status));
    check_int(WTERMSIG(status), SIGUSR1);
    weir_process_close(process);
}

static void it_tells_how_it_ended(void **state)
{
    (void)state;
    run(status_main);
}

static void waits(void *arg)
{
    int status;

    check_int(weir_process_wait(arg, &status, SOON), -ECANCELED);
}

static void wait_main(void *arg)
{
    struct weir_conn *pipes[3];
    struct weir_process *process = cat_start(pipes);
    struct weir_scope scope;
    int status = 0;

    (void)arg;
    weir_scope_init(&scope);
    check_int(weir_process_wait(process, &status, weir_after(WEIR_MS(1))), -ETIMEDOUT);
    check_int(weir_spawn(&scope, waits, process), 0);
    check_int(weir_sleep(WEIR_MS(1)), 0);
    check_int(weir_process_wait(process, &status, SOON), -EBUSY);
    weir_scope_cancel(&scope);
    check_int(weir_scope_join(&scope, SOON), 0);
    check_int(weir_process_kill(process, 1000), -EINVAL);
    check_int(weir_process_kill(process, 0), 0);
    check_int(weir_process_kill(process, SIGTERM), 0);
    check_int(weir_process_wait(process, &status, SOON), 0);
    check(WIFSIGNALED(status));
    check_int(WTERMSIG(status), SIGTERM);
    pipes_close(pipes);
    weir_process_close(process);
}

static void it_can_be_waited_for_and_killed(void **state)
{
    (void)state;
    run(wait_main);
}

static void closes_cancelled(void *arg)
{
    check_int(weir_sleep(WEIR_SEC(1000)), -ECANCELED);
    weir_process_close(arg);
}

static void close_main(void *arg)
{
    struct weir_conn *pipes[3];
    struct weir_process *process = cat_start(pipes);
    pid_t pid = weir_process_pid(process);
    struct weir_scope scope;

    (void)arg;
    weir_scope_init(&scope);
    weir_process_close(process);
    check_int(kill(pid, 0), -1); /* gone when it returns, no zombie either */
    check_int(errno, ESRCH);
    pipes_close(pipes);

    process = cat_start(pipes); /* one that cannot act on any other signal; in a cancelled fiber */
    pid = weir_process_pid(process);
    check_int(weir_process_kill(process, SIGSTOP), 0);
    check_int(weir_spawn(&scope, closes_cancelled, process), 0);
    weir_yield();
    weir_scope_cancel(&scope);
    check_int(weir_scope_join(&scope, SOON), 0);
    check_int(kill(pid, 0), -1);
    pipes_close(pipes);

    process = cat_start(pipes); /* while somebody waits */
    check_int(weir_spawn(&scope, waits, process), 0);
    check_int(weir_sleep(WEIR_MS(1)), 0);
    weir_process_close(process);
    check_int(weir_scope_join(&scope, SOON), 0);
    pipes_close(pipes);
}

static void closing_kills_and_buries(void **state)
{
    (void)state;
    run(close_main);
}

static void stolen_main(void *arg)
{
    struct weir_conn *pipes[3];
    struct weir_process *process = cat_start(pipes);
    int status;

    (void)arg;
    weir_close(pipes[0]);
    check_int(weir_process_wait(process, &status, SOON), -ECHILD);
    weir_close(pipes[1]);
    weir_process_close(process);
}

static void a_status_that_is_thrown_away(void **state)
{
    (void)state;
    signal(SIGCHLD, SIG_IGN);
    run(stolen_main);
    signal(SIGCHLD, SIG_DFL);
}

/* --- many --- */

enum { SHARDS = 2, CHILDREN = 20 };

static void one_of_many(void *arg)
{
    unsigned i = (unsigned)(uintptr_t)arg;
    struct weir_process_config config;
    struct weir_process *process;
    struct weir_conn *pipes[3];
    const char *argv[4];
    char script[40], text[20], want[20];

    snprintf(script, sizeof script, "echo %u; exit %u", i, i);
    snprintf(want, sizeof want, "%u\n", i);
    shell_config(&config, argv, script);
    config.stdio[1] = WEIR_STDIO_PIPE;
    check_int(weir_process_spawn(&process, &config, pipes), 0);
    check_text(read_all(pipes[1], text, sizeof text), want);
    check_int(exit_status(process), i);
    pipes_close(pipes);
    weir_process_close(process);
}

static void many_main(void *arg)
{
    struct weir_scope scope;

    (void)arg;
    weir_scope_init(&scope);
    for (unsigned i = 0; i < CHILDREN; i++)
        check_int(weir_spawn(&scope, one_of_many, (void *)(uintptr_t)i), 0);
    check_int(weir_scope_join(&scope, SOON), 0);
}

static void many_at_once_on_several_shards(void **state)
{
    (void)state;
    run_with(SHARDS, 0, many_main, NULL);
}

/* --- what is not there, and what is left --- */

static void sim_main(void *arg)
{
    struct weir_process_config config;
    struct weir_process *process;

    (void)arg;
    weir_process_config_init(&config, (const char *const[]){ "true", NULL });
    check_int(weir_process_spawn(&process, &config, NULL), -EOPNOTSUPP);
}

static void none_in_the_simulation(void **state)
{
    struct weir_sim_config config;

    (void)state;
    weir_sim_config_init(&config);
    assert_int_equal(weir_sim_run(&config, sim_main, NULL), 0);
    config.native = true;
    assert_int_equal(weir_sim_run(&config, sim_main, NULL), 0);
}

static void leaves_main(void *arg)
{
    struct weir_process_config config;
    struct weir_process *process;

    (void)arg;
    weir_process_config_init(&config, (const char *const[]){ "true", NULL });
    check_int(weir_process_spawn(&process, &config, NULL), 0);
}

static void leaves(void *arg)
{
    struct weir_config config;

    (void)arg;
    weir_config_init(&config);
    config.stack = WEIR_STACK_EPOLL;
    config.shards = 1;
    config.quiet = true;
    weir_run(&config, leaves_main, NULL);
}

static void left_open_is_told(void **state)
{
    (void)state;
    assert_panics(leaves, NULL, "shard 0 has ended but left 1 processes open");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_pass_through_a_child),
        cmocka_unit_test(each_stream_has_its_pipe),
        cmocka_unit_test(descriptors_are_handed_down),
        cmocka_unit_test(it_gets_nothing_else),
        cmocka_unit_test(it_has_its_environment_and_directory),
        cmocka_unit_test(what_cannot_be_started),
        cmocka_unit_test(pipes_count_as_connections),
        cmocka_unit_test(it_tells_how_it_ended),
        cmocka_unit_test(it_can_be_waited_for_and_killed),
        cmocka_unit_test(closing_kills_and_buries),
        cmocka_unit_test(a_status_that_is_thrown_away),
        cmocka_unit_test(many_at_once_on_several_shards),
        cmocka_unit_test(none_in_the_simulation),
        cmocka_unit_test(left_open_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
