/* parse.h - text from a command line to numbers, strictly: the whole text or nothing.
 *
 * No signs, no blanks, no fractions, no other bases.  Each returns 0; -EINVAL when the text is not
 * of the form; -ERANGE when it is but the value lies outside [min, max].  The result is written
 * only on 0. */
#ifndef WEIR_CORE_PARSE_H
#define WEIR_CORE_PARSE_H

#include "core/base.h"

/* The decimal number at *text, moving *text behind it: for lists of numbers. */
int weir_parse_digits(const char **text, uint64_t *value);

/* "128" */
int weir_parse_uint(const char *text, uint64_t min, uint64_t max, uint64_t *value);

/* "4096", "64k", "2m", "1g" (powers of 1,024; either case) */
int weir_parse_size(const char *text, uint64_t min, uint64_t max, uint64_t *bytes);

/* "10s", "500ms", "50us", "100ns", "2m", "1h"; only "0" may go without its unit. */
int weir_parse_time(const char *text, weir_time min, weir_time max, weir_time *span);

#endif
