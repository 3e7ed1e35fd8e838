/* wire.h - what the fuzzers of the header parsers share.
 *
 * Inputs come in a block of exactly their size (libFuzzer's, replay.c's), so that a sanitizer sees
 * any read beyond them.  Structs are filled with a pattern first: what a parser forgets shows. */
#ifndef WEIR_TESTS_FUZZ_WIRE_H
#define WEIR_TESTS_FUZZ_WIRE_H

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include "net/native/checksum.h"
#include "net/native/wire/wire.h"

#define check(expr) \
    (weir_likely(expr) ? (void)0 : weir_panic("%s: check failed: %s", WEIR_HERE, #expr))

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What every parser promises; true when it has accepted. */
static inline bool check_length(int rc, size_t size)
{
    check(rc == -EBADMSG || (rc > 0 && (size_t)rc <= size));
    return rc > 0;
}

/* A bool that was read holds 0 or 1. */
static inline bool is_bool(const bool *value)
{
    uint8_t byte;

    memcpy(&byte, value, 1);
    return byte <= 1;
}

#endif
