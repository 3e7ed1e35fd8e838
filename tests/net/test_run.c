/* test_run.c - weir_run: which stack it picks, runtimes one after the other and side by side,
 * signals at any moment, and what a program has left open at its end. */
#include "tests/sched/run.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <weir/net.h>

static void config_for(struct weir_config *config, unsigned shards, enum weir_stack_kind stack)
{
    weir_config_init(config);
    config->shards = shards;
    config->stack = stack;
    config->signals = false;
}

/* --- a program that uses what it is given --- */

static void serve_one(void *arg)
{
    struct weir_conn *conn;
    char byte;

    check_int(weir_accept(arg, &conn, weir_after(WEIR_SEC(30))), 0);
    check_int(weir_recv(conn, &byte, 1, weir_after(WEIR_SEC(30))), 1);
    check_int(weir_send(conn, &byte, 1, weir_after(WEIR_SEC(30))), 1);
    weir_close(conn);
}

static void echo_here(void)
{
    struct weir_listener *listener;
    char text[WEIR_ADDR_TEXT], byte = 'x';
    struct weir_scope scope;
    struct weir_addr addr;
    struct weir_conn *conn;

    check_int(weir_listen(&listener, "127.0.0.1:0", NULL), 0);
    weir_listener_addr(listener, &addr);
    weir_addr_format(&addr, text, sizeof text);
    weir_scope_init(&scope);
    check_int(weir_spawn(&scope, serve_one, listener), 0);
    check_int(weir_connect(&conn, text, weir_after(WEIR_SEC(30))), 0);
    check_int(weir_send(conn, "y", 1, weir_after(WEIR_SEC(30))), 1);
    check_int(weir_recv(conn, &byte, 1, weir_after(WEIR_SEC(30))), 1);
    check_int(byte, 'y');
    weir_close(conn);
    check_int(weir_scope_join(&scope, WEIR_NEVER), 0);
    weir_listener_close(listener);
}

static void named_and_works(void *arg)
{
    check(strcmp(weir_stack_name(), arg) == 0);
    if (weir_shard_id() == 0)
        echo_here();
}

static void test_one_after_the_other(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++) {
        struct weir_config config;

        config_for(&config, 2, WEIR_STACK_EPOLL);
        assert_string_equal(weir_stack_name(), "");
        assert_int_equal(weir_run(&config, named_and_works, (void *)(uintptr_t) "epoll"), 0);
        assert_string_equal(weir_stack_name(), "");
        assert_string_equal(weir_stack_why(), "asked for");
    }
}

static void test_native_says_what_it_is_on(void **state)
{
    struct weir_config config;

    (void)state;
    config_for(&config, 2, WEIR_STACK_NATIVE);
    assert_int_equal(weir_run(&config, named_and_works, (void *)(uintptr_t) "native"), 0);
    assert_string_equal(weir_stack_why(), "loop");
    config.dev = "nonsense";
    assert_int_equal(weir_run(&config, named_and_works, NULL), -EINVAL);
    config.dev = NULL;
    config.gateway = "192.0.2.1"; /* without a device */
    assert_true(weir_run(&config, named_and_works, NULL) < 0);
    assert_string_equal(weir_stack_name(), "");
}

/* --- io_uring that may not be used --- */

static void forbid_io_uring(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { .len = WEIR_COUNT(filter), .filter = filter };

    check_int(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        _exit(77); /* a kernel without it */
}

static void run_forbidden(void *arg)
{
    struct weir_config *config = arg;

    forbid_io_uring();
    _exit(-weir_run(config, named_and_works, (void *)(uintptr_t) "epoll"));
}

static int run_without_io_uring(enum weir_stack_kind stack, char *said, size_t size)
{
    struct weir_config config;
    int status;

    config_for(&config, 2, stack);
    status = child_run(run_forbidden, &config, said, size);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        skip();
    return WEXITSTATUS(status);
}

static void test_auto_falls_back_with_one_line(void **state)
{
    char said[1024];

    (void)state;
    assert_int_equal(run_without_io_uring(WEIR_STACK_AUTO, said, sizeof said), 0);
    assert_non_null(strstr(said, "weir: using epoll: io_uring is forbidden here (EPERM"));
    assert_non_null(strstr(said, "--stack epoll"));
    assert_ptr_equal(strchr(said, '\n'), said + strlen(said) - 1); /* one line */
}

static void test_asked_for_is_had_or_refused(void **state)
{
    char said[1024];

    (void)state;
    assert_int_equal(run_without_io_uring(WEIR_STACK_URING, said, sizeof said), EPERM);
    assert_non_null(strstr(said, "weir: stack uring: io_uring is forbidden here"));
    assert_ptr_equal(strchr(said, '\n'), said + strlen(said) - 1);
    assert_int_equal(run_without_io_uring(WEIR_STACK_EPOLL, said, sizeof said), 0);
    assert_string_equal(said, "");
}

/* --- two at once, in two threads --- */

struct beside {
    enum weir_stack_kind stack;
    const char *name;
    pthread_t thread;
    int error;
};

static void *run_beside(void *arg)
{
    struct beside *beside = arg;

    for (int i = 0; i < 10 && beside->error == 0; i++) {
        struct weir_config config;

        config_for(&config, 2, beside->stack);
        beside->error = weir_run(&config, named_and_works, (void *)(uintptr_t)beside->name);
    }
    return NULL;
}

static void test_side_by_side(void **state)
{
    struct beside beside[2] = { { .stack = WEIR_STACK_EPOLL, .name = "epoll" },
                                { .stack = WEIR_STACK_URING, .name = "io_uring" } };
    long ring = syscall(__NR_io_uring_setup, 0, NULL);

    (void)state;
    if (ring < 0 && (errno == EPERM || errno == ENOSYS))
        beside[1] = beside[0];
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&beside[i].thread, NULL, run_beside, &beside[i]), 0);
    for (int i = 0; i < 2; i++) {
        pthread_join(beside[i].thread, NULL);
        assert_int_equal(beside[i].error, 0);
    }
}

/* --- signals at any moment of a runtime's life, and between two --- */

static _Atomic bool signals_enough;

static void *signals_rain(void *arg)
{
    (void)arg;
    while (!signals_enough) {
        kill(getpid(), SIGTERM);
        kill(getpid(), SIGUSR1);
        sched_yield();
    }
    return NULL;
}

static void ends_when_told(void *arg)
{
    (void)arg;
    while (!weir_stopping() && weir_sleep(WEIR_US(100)) == 0)
        ;
}

static void not_minded(int signal)
{
    (void)signal;
}

static void run_in_the_rain(void *arg)
{
    struct weir_config config;
    pthread_t rain[2];

    (void)arg;
    signal(SIGTERM, not_minded);
    signal(SIGUSR1, not_minded);
    for (int i = 0; i < 2; i++)
        check_int(pthread_create(&rain[i], NULL, signals_rain, NULL), 0);
    for (int i = 0; i < 100; i++) {
        config_for(&config, 2, WEIR_STACK_EPOLL);
        config.signals = true;
        check_int(weir_run(&config, ends_when_told, NULL), 0);
    }
    signals_enough = true;
    for (int i = 0; i < 2; i++)
        pthread_join(rain[i], NULL);
}

static void test_signals_at_any_moment(void **state)
{
    static char said[1 << 20];

    (void)state;
    assert_int_equal(child_run(run_in_the_rain, NULL, said, sizeof said), 0);
}

static void dumped(void *arg)
{
    (void)arg;
    kill(getpid(), SIGUSR1);
    while (weir_shard_current->dumps_seen == 0)
        check_int(weir_sleep(WEIR_MS(1)), 0);
}

static void run_dumped(void *arg)
{
    struct weir_config config;

    (void)arg;
    config_for(&config, 1, WEIR_STACK_EPOLL);
    config.signals = true;
    check_int(weir_run(&config, dumped, NULL), 0);
}

static void test_a_signal_lists_the_fibers(void **state)
{
    char said[1024];

    (void)state;
    assert_int_equal(child_run(run_dumped, NULL, said, sizeof said), 0);
    assert_non_null(strstr(said, "shard 0: 1 fibers"));
    assert_non_null(strstr(said, "fiber 'main' (spawned at weir_run) waits for"));
}

/* --- what is left open is told --- */

static void leaves_listener(void *arg)
{
    struct weir_listener *listener;

    (void)arg;
    check_int(weir_listen(&listener, "127.0.0.1:0", NULL), 0);
}

static void run_leaves_listener(void *arg)
{
    struct weir_config config;

    config_for(&config, 1, *(enum weir_stack_kind *)arg);
    weir_run(&config, leaves_listener, NULL);
}

static void leaves_buffer(void *arg)
{
    (void)arg;
    check(weir_buf_alloc(100) != NULL);
}

static void run_leaves_buffer(void *arg)
{
    struct weir_config config;

    config_for(&config, 1, *(enum weir_stack_kind *)arg);
    weir_run(&config, leaves_buffer, NULL);
}

static void test_leaks_are_told(void **state)
{
    enum weir_stack_kind stack[] = { WEIR_STACK_EPOLL, WEIR_STACK_AUTO, WEIR_STACK_NATIVE };

    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_panics(run_leaves_listener, &stack[i], "a listener open: each needs its weir_close");
        assert_panics(run_leaves_buffer, &stack[i], "0 connections, 1 buffers and no listener");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_after_the_other),
        cmocka_unit_test(test_native_says_what_it_is_on),
        cmocka_unit_test(test_auto_falls_back_with_one_line),
        cmocka_unit_test(test_asked_for_is_had_or_refused),
        cmocka_unit_test(test_side_by_side),
        cmocka_unit_test(test_signals_at_any_moment),
        cmocka_unit_test(test_a_signal_lists_the_fibers),
        cmocka_unit_test(test_leaks_are_told),
    };

    cmocka_set_test_filter(getenv("WEIR_CASE"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
