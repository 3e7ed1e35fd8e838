/* testing.h - what the tests of several units need: seeded random numbers, and functions that must
 * end in a panic.  Include it before anything else; it brings cmocka along. */
#ifndef WEIR_TESTS_CORE_TESTING_H
#define WEIR_TESTS_CORE_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* splitmix64 by Steele, Lea and Flood: any seed is a good one. */
static inline uint64_t random_next(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* Below `bound`, which is > 0. */
static inline uint64_t random_below(uint64_t *state, uint64_t bound)
{
    return random_next(state) % bound;
}

/* The seed of this run: WEIR_SEED, else from the clock.  Printed, so that a failure can be run
 * again. */
static inline uint64_t random_seed(void)
{
    const char *given = getenv("WEIR_SEED");
    struct timespec now;
    uint64_t seed;

    clock_gettime(CLOCK_REALTIME, &now);
    seed =
        given ? strtoull(given, NULL, 0) : (uint64_t)now.tv_sec * 1000003 + (uint64_t)now.tv_nsec;
    fprintf(stderr, "WEIR_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

/* How often to do what is random: `much` when there is time (WEIR_LONG=1). */
static inline uint64_t random_rounds(uint64_t few, uint64_t much)
{
    return getenv("WEIR_LONG") ? much : few;
}

/* Runs fn(arg) in a child and collects what it says on stderr, NUL-terminated.  Returns the wait
 * status. */
static inline int child_run(void (*fn)(void *arg), void *arg, char *said, size_t size)
{
    struct rlimit no_core = { 0, 0 };
    int ends[2], status;
    size_t len = 0;
    ssize_t n;
    pid_t pid;

    assert_int_equal(pipe(ends), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        signal(SIGABRT, SIG_DFL);
        setrlimit(RLIMIT_CORE, &no_core);
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        fn(arg);
        _exit(0);
    }
    close(ends[1]);
    while (len < size - 1 && (n = read(ends[0], said + len, size - 1 - len)) > 0)
        len += (size_t)n;
    said[len] = '\0';
    close(ends[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

/* fn(arg) must end in a panic that says `text` somewhere. */
static inline void assert_panics(void (*fn)(void *arg), void *arg, const char *text)
{
    char said[8192];
    int status = child_run(fn, arg, said, sizeof said);

    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT)
        fail_msg("no panic; stderr: \"%s\"", said);
    if (strncmp(said, "weir: ", 6) != 0 || !strstr(said, text))
        fail_msg("panic without \"%s\": \"%s\"", text, said);
}

#endif
