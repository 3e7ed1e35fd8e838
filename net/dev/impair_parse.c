/* impair_parse.c - "loss=1%,delay=20ms,rate=100mbit,dir=tx" into struct weir_impair.
 *
 * Strict: a name that is not known, a value that is not of its form, an option given twice are all
 * refused with one line that says what would do. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "core/parse.h"
#include "net/dev.h"

enum {
    IMPAIR_TEXT = 32, /* of one option's value */
    IMPAIR_QUEUE = 256 << 10,
    IMPAIR_DECIMALS = 6,
};

#define IMPAIR_TIME_MAX WEIR_SEC(60)
#define IMPAIR_RATE_MIN UINT64_C(1000)
#define IMPAIR_RATE_MAX UINT64_C(1000000000000)
#define IMPAIR_QUEUE_MIN 2048
#define IMPAIR_QUEUE_MAX (UINT64_C(1) << 30)

/* "1%", "0.05%", "100%" */
static int impair_chance(const char *text, double *chance)
{
    uint64_t whole, fraction = 0, scale = 1;
    const char *point;

    if (weir_parse_digits(&text, &whole) < 0 || whole > 100)
        return -EINVAL;
    if (*text == '.') {
        point = ++text;
        if (weir_parse_digits(&text, &fraction) < 0 || text - point > IMPAIR_DECIMALS)
            return -EINVAL;
        for (; point < text; point++)
            scale *= 10;
    }
    if (strcmp(text, "%") != 0 || (whole == 100 && fraction > 0))
        return -EINVAL;
    *chance = ((double)whole + (double)fraction / (double)scale) / 100;
    return 0;
}

/* "100mbit" */
static int impair_rate(const char *text, uint64_t *rate)
{
    static const struct {
        const char *unit;
        uint64_t bits;
    } units[] = { { "bit", 1 }, { "kbit", 1000 }, { "mbit", 1000000 }, { "gbit", 1000000000 } };
    uint64_t value;

    if (weir_parse_digits(&text, &value) < 0)
        return -EINVAL;
    for (size_t i = 0; i < WEIR_COUNT(units); i++)
        if (strcmp(text, units[i].unit) == 0 &&
            !__builtin_mul_overflow(value, units[i].bits, &value) && value >= IMPAIR_RATE_MIN &&
            value <= IMPAIR_RATE_MAX) {
            *rate = value;
            return 0;
        }
    return -EINVAL;
}

static int impair_queue(const char *text, uint32_t *queue)
{
    uint64_t bytes;

    if (weir_parse_size(text, IMPAIR_QUEUE_MIN, IMPAIR_QUEUE_MAX, &bytes) < 0)
        return -EINVAL;
    *queue = (uint32_t)bytes;
    return 0;
}

static int impair_dir(const char *text, struct weir_impair *impair)
{
    impair->rx = strcmp(text, "tx") != 0;
    impair->tx = strcmp(text, "rx") != 0;
    return impair->rx && impair->tx && strcmp(text, "both") != 0 ? -EINVAL : 0;
}

enum impair_option { LOSS, DUPLICATE, REORDER, CORRUPT, DELAY, JITTER, RATE, QUEUE, DIR, OPTIONS };

static const struct {
    const char *name, *form;
} impair_options[OPTIONS] = {
    [LOSS] = { "loss", "a percentage such as 1% or 0.05%" },
    [DUPLICATE] = { "duplicate", "a percentage such as 1% or 0.05%" },
    [REORDER] = { "reorder", "a percentage such as 1% or 0.05%" },
    [CORRUPT] = { "corrupt", "a percentage such as 1% or 0.05%" },
    [DELAY] = { "delay", "a time of up to 60s such as 20ms" },
    [JITTER] = { "jitter", "a time of up to 60s such as 5ms" },
    [RATE] = { "rate", "from 1kbit to 1000gbit, such as 100mbit" },
    [QUEUE] = { "queue", "from 2k to 1g bytes, such as 64k" },
    [DIR] = { "dir", "rx, tx or both" },
};

static int impair_value(struct weir_impair *impair, enum impair_option option, const char *text)
{
    switch (option) {
    case LOSS:
        return impair_chance(text, &impair->loss);
    case DUPLICATE:
        return impair_chance(text, &impair->duplicate);
    case REORDER:
        return impair_chance(text, &impair->reorder);
    case CORRUPT:
        return impair_chance(text, &impair->corrupt);
    case DELAY:
        return weir_parse_time(text, 0, IMPAIR_TIME_MAX, &impair->delay);
    case JITTER:
        return weir_parse_time(text, 0, IMPAIR_TIME_MAX, &impair->jitter);
    case RATE:
        return impair_rate(text, &impair->rate);
    case QUEUE:
        return impair_queue(text, &impair->queue);
    default:
        return impair_dir(text, impair);
    }
}

static enum impair_option impair_find(const char *name, size_t len)
{
    enum impair_option option = LOSS;

    while (option < OPTIONS && (strncmp(impair_options[option].name, name, len) != 0 ||
                                impair_options[option].name[len] != '\0'))
        option++;
    return option;
}

/* One "name=value" of `len` characters. */
static int impair_one(struct weir_impair *impair, unsigned *seen, const char *text, size_t len,
                      char *why, size_t why_size)
{
    const char *equals = memchr(text, '=', len);
    enum impair_option option = equals ? impair_find(text, (size_t)(equals - text)) : OPTIONS;
    char value[IMPAIR_TEXT];
    size_t value_len;

    if (option == OPTIONS) {
        snprintf(why, why_size,
                 "impair: '%.*s' is none of loss=, duplicate=, reorder=, corrupt=, delay=, "
                 "jitter=, rate=, queue=, dir=",
                 (int)weir_min_u64(len, IMPAIR_TEXT), text);
        return -EINVAL;
    }
    value_len = len - (size_t)(equals + 1 - text);
    snprintf(value, sizeof value, "%.*s", (int)weir_min_u64(value_len, IMPAIR_TEXT), equals + 1);
    if (*seen & (1u << option)) {
        snprintf(why, why_size, "impair: %s is given twice", impair_options[option].name);
        return -EINVAL;
    }
    *seen |= 1u << option;
    if (value_len < IMPAIR_TEXT && impair_value(impair, option, value) == 0)
        return 0;
    snprintf(why, why_size, "impair: %s=%s: %s is %s", impair_options[option].name, value,
             impair_options[option].name, impair_options[option].form);
    return -EINVAL;
}

int weir_impair_parse(struct weir_impair *impair, const char *text, char *why, size_t why_size)
{
    struct weir_impair parsed = { .queue = IMPAIR_QUEUE, .rx = true, .tx = true };
    unsigned seen = 0;

    for (;;) {
        size_t len = strcspn(text, ",");
        int error = impair_one(&parsed, &seen, text, len, why, why_size);

        if (error)
            return error;
        if (text[len] == '\0')
            break;
        text += len + 1;
    }
    *impair = parsed;
    return 0;
}
