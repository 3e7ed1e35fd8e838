/* file_suite.h - the cases that files have to pass on every stack: a test program says how a shard
 * is run and includes file_suite.c.  Each case has a directory of its own, which must be empty in
 * the end, and leaves no descriptor open. */
#ifndef WEIR_TESTS_NET_FILE_SUITE_H
#define WEIR_TESTS_NET_FILE_SUITE_H

#include "tests/core/testing.h"
#include "tests/seeds.h"

struct file_stack {
    const char *name;
    unsigned seeds;               /* to run each case with */
    const char *(*missing)(void); /* why it cannot be had here, or NULL */
    int (*run)(unsigned shards, uint64_t seed, void (*shard_main)(void *arg));
};

extern const struct file_stack file_stack;

#endif
