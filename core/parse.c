/* parse.c - numbers, sizes and spans of time.
 *
 * A number too big for 64 bits is still a number: it is read to its end, so that "99...9x" is
 * -EINVAL and "99...9" is -ERANGE. */
#include "core/parse.h"
#include <errno.h>
#include <string.h>

struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit size_units[] = {
    { "", 1 },        { "k", 1 << 10 }, { "K", 1 << 10 }, { "m", 1 << 20 },
    { "M", 1 << 20 }, { "g", 1 << 30 }, { "G", 1 << 30 },
};

static const struct unit time_units[] = {
    { "ns", 1 },          { "us", WEIR_US(1) },  { "ms", WEIR_MS(1) },
    { "s", WEIR_SEC(1) }, { "m", WEIR_SEC(60) }, { "h", WEIR_SEC(3600) },
};

int weir_parse_digits(const char **text, uint64_t *value)
{
    const char *at = *text;
    bool over = false;
    uint64_t n = 0;

    if (*at < '0' || *at > '9')
        return -EINVAL;
    for (; *at >= '0' && *at <= '9'; at++) {
        over |= __builtin_mul_overflow(n, UINT64_C(10), &n);
        over |= __builtin_add_overflow(n, (uint64_t)(*at - '0'), &n);
    }
    *text = at;
    if (over)
        return -ERANGE;
    *value = n;
    return 0;
}

static const struct unit *unit_find(const struct unit *units, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(units[i].name, name) == 0)
            return &units[i];
    return NULL;
}

/* Digits and one of the units; -EINVAL wins over -ERANGE. */
static int parse_with_unit(const char *text, const struct unit *units, size_t count,
                           uint64_t *value)
{
    const struct unit *unit;
    uint64_t n;
    int err = weir_parse_digits(&text, &n);

    if (err == -EINVAL)
        return err;
    unit = unit_find(units, count, text);
    if (!unit)
        return -EINVAL;
    if (err || __builtin_mul_overflow(n, unit->factor, &n))
        return -ERANGE;
    *value = n;
    return 0;
}

static int parse_within(int err, uint64_t n, uint64_t min, uint64_t max, uint64_t *value)
{
    if (err)
        return err;
    if (n < min || n > max)
        return -ERANGE;
    *value = n;
    return 0;
}

int weir_parse_uint(const char *text, uint64_t min, uint64_t max, uint64_t *value)
{
    uint64_t n = 0;
    int err = parse_with_unit(text, size_units, 1, &n); /* only the empty unit */

    return parse_within(err, n, min, max, value);
}

int weir_parse_size(const char *text, uint64_t min, uint64_t max, uint64_t *bytes)
{
    uint64_t n = 0;
    int err = parse_with_unit(text, size_units, WEIR_COUNT(size_units), &n);

    return parse_within(err, n, min, max, bytes);
}

int weir_parse_time(const char *text, weir_time min, weir_time max, weir_time *span)
{
    uint64_t n = 0, found = 0;
    int err = 0;

    weir_assert(min >= 0 && max >= min);
    if (strcmp(text, "0") != 0)
        err = parse_with_unit(text, time_units, WEIR_COUNT(time_units), &n);
    err = parse_within(err, n, (uint64_t)min, (uint64_t)max, &found);
    if (!err)
        *span = (weir_time)found;
    return err;
}
