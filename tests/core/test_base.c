/* test_base.c - panics and log lines. */
#include "testing.h"
#include "core/base.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>

static void panic_plain(void *arg)
{
    weir_panic("shard %d is %s", 3, (char *)arg);
}

static void test_panic_is_one_line_and_an_abort(void **state)
{
    char said[4096];
    char text[] = "missing";
    int status = child_run(panic_plain, text, said, sizeof said);

    (void)state;
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    assert_string_equal(said, "weir: shard 3 is missing\n");
}

static void context_fiber(char *text, size_t size)
{
    snprintf(text, size, "shard 1, fiber serve");
}

static void panic_with_context(void *arg)
{
    (void)arg;
    weir_panic_context = context_fiber;
    weir_panic("no");
}

static void test_panic_says_where(void **state)
{
    char said[4096];

    (void)state;
    child_run(panic_with_context, NULL, said, sizeof said);
    assert_string_equal(said, "weir: no (shard 1, fiber serve)\n");
}

static void context_panics(char *text, size_t size)
{
    weir_assert(text == NULL && size == 0);
}

static void panic_in_context(void *arg)
{
    (void)arg;
    weir_panic_context = context_panics;
    weir_panic("first");
}

static void test_panic_within_its_context_ends(void **state)
{
    (void)state;
    assert_panics(panic_in_context, NULL, "assertion failed: text == NULL && size == 0");
}

static void context_empty(char *text, size_t size)
{
    (void)size;
    text[0] = '\0';
}

static void panic_with_empty_context(void *arg)
{
    (void)arg;
    weir_panic_context = context_empty;
    weir_panic("no");
}

static void test_empty_context_adds_nothing(void **state)
{
    char said[4096];

    (void)state;
    child_run(panic_with_empty_context, NULL, said, sizeof said);
    assert_string_equal(said, "weir: no\n");
}

static void assert_false_holds(void *arg)
{
    weir_assert(arg == NULL);
    weir_assert(arg != NULL);
}

static void test_assert_names_place_and_expression(void **state)
{
    (void)state;
    assert_panics(assert_false_holds, NULL, "test_base.c:");
    assert_panics(assert_false_holds, NULL, "assertion failed: arg != NULL\n");
}

static void log_text(void *arg)
{
    weir_log("%s", (char *)arg);
}

/* The line, its prefix and its newline fill 1,024 bytes at most: one less fits, one more is cut. */
static void test_long_line_is_cut(void **state)
{
    enum { FITS = 1024 - 1 - 6 - 1 };
    char said[4096];
    char text[2000];

    (void)state;
    memset(text, 'x', sizeof text);
    text[FITS] = '\0';
    child_run(log_text, text, said, sizeof said);
    assert_int_equal(strlen(said), 6 + FITS + 1);
    assert_int_equal(said[6 + FITS - 1], 'x');

    memset(text, 'x', sizeof text);
    text[FITS + 1] = '\0';
    child_run(log_text, text, said, sizeof said);
    assert_int_equal(strlen(said), 6 + FITS + 1);
    assert_string_equal(said + 6 + FITS - 4, "x...\n");
}

static void panic_long(void *arg)
{
    weir_panic_context = context_fiber;
    weir_panic("%s", (char *)arg);
}

static void test_long_panic_with_context_stays_one_line(void **state)
{
    char said[4096];
    char text[2000];

    (void)state;
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    child_run(panic_long, text, said, sizeof said);
    assert_true(strlen(said) <= 1024);
    assert_ptr_equal(strchr(said, '\n'), said + strlen(said) - 1);
}

static void log_to_nowhere(void *arg)
{
    (void)arg;
    close(STDERR_FILENO);
    errno = EXDEV;
    weir_log("lost");
    _exit(errno == EXDEV ? 7 : 8);
}

static void test_log_leaves_errno_alone(void **state)
{
    char said[64];
    int status = child_run(log_to_nowhere, NULL, said, sizeof said);

    (void)state;
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 7);
}

enum { LOG_LINES = 50 };

static void *log_many(void *arg)
{
    for (int i = 0; i < LOG_LINES; i++)
        weir_log("%s%s%s%s", (char *)arg, (char *)arg, (char *)arg, (char *)arg);
    return NULL;
}

static void log_from_two(void *arg)
{
    pthread_t other;
    char a[] = "aaaaaaaa", b[] = "bbbbbbbb";

    (void)arg;
    if (pthread_create(&other, NULL, log_many, a) != 0)
        _exit(1);
    log_many(b);
    pthread_join(other, NULL);
}

static void test_lines_of_two_threads_do_not_mix(void **state)
{
    static char said[65536];
    int count = 0, status = child_run(log_from_two, NULL, said, sizeof said);
    char *rest = said, *line;

    (void)state;
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    while ((line = strsep(&rest, "\n")) && *line) {
        assert_true(strcmp(line, "weir: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa") == 0 ||
                    strcmp(line, "weir: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb") == 0);
        count++;
    }
    assert_int_equal(count, 2 * LOG_LINES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_panic_is_one_line_and_an_abort),
        cmocka_unit_test(test_panic_says_where),
        cmocka_unit_test(test_panic_within_its_context_ends),
        cmocka_unit_test(test_empty_context_adds_nothing),
        cmocka_unit_test(test_assert_names_place_and_expression),
        cmocka_unit_test(test_long_line_is_cut),
        cmocka_unit_test(test_long_panic_with_context_stays_one_line),
        cmocka_unit_test(test_log_leaves_errno_alone),
        cmocka_unit_test(test_lines_of_two_threads_do_not_mix),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
