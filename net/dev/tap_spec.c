/* tap_spec.c - the text behind "tap:": a name, and what the kernel's side is to be. */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "net/dev/tap.h"

static int tap_wrong(char *why, size_t why_size, const char *what, const char *word)
{
    snprintf(why, why_size,
             "tap: %s '%s': it goes like tap:weir0,host=10.7.0.1/24,host=fd07::1/64,mtu=1500", what,
             word);
    return -EINVAL;
}

static bool tap_number(const char *text, unsigned long min, unsigned long max, unsigned long *value)
{
    char *end;

    if (!isdigit((unsigned char)*text))
        return false;
    *value = strtoul(text, &end, 10);
    return *end == '\0' && *value >= min && *value <= max;
}

/* "ADDR/PREFIX" of the kernel's side. */
static bool tap_read_host(struct weir_tap_spec *spec, char *word)
{
    char *slash = strchr(word, '/');
    unsigned long prefix;
    bool right = false;

    if (!slash)
        return false;
    *slash = '\0';
    if (inet_pton(AF_INET, word, &spec->host4) == 1 && tap_number(slash + 1, 1, 32, &prefix)) {
        spec->prefix4 = (uint8_t)prefix;
        right = true;
    } else if (inet_pton(AF_INET6, word, &spec->host6) == 1 &&
               tap_number(slash + 1, 1, 128, &prefix)) {
        spec->prefix6 = (uint8_t)prefix;
        right = true;
    }
    *slash = '/';
    return right;
}

static bool tap_read_mac(struct weir_tap_spec *spec, const char *word)
{
    unsigned byte[6];
    int end = 0;

    if (sscanf(word, "%2x:%2x:%2x:%2x:%2x:%2x%n", &byte[0], &byte[1], &byte[2], &byte[3], &byte[4],
               &byte[5], &end) != 6 ||
        word[end] != '\0' || (byte[0] & 1))
        return false;
    for (unsigned i = 0; i < 6; i++)
        spec->mac[i] = (uint8_t)byte[i];
    spec->has_mac = true;
    return true;
}

static bool tap_read_option(struct weir_tap_spec *spec, char *word)
{
    unsigned long value;

    if (strncmp(word, "host=", 5) == 0)
        return tap_read_host(spec, word + 5);
    if (strncmp(word, "mac=", 4) == 0)
        return tap_read_mac(spec, word + 4);
    if (strncmp(word, "mtu=", 4) == 0 &&
        tap_number(word + 4, WEIR_TAP_MTU_MIN, WEIR_TAP_MTU_MAX, &value)) {
        spec->mtu = (uint16_t)value;
        return true;
    }
    return false;
}

static int tap_read_words(struct weir_tap_spec *spec, const char *text, char *why, size_t why_size)
{
    char copy[256], *word, *rest = copy;

    *spec = (struct weir_tap_spec){ .prefix4 = 0 };
    if (snprintf(copy, sizeof copy, "%s", text) >= (int)sizeof copy)
        return tap_wrong(why, why_size, "too long:", text);
    word = strsep(&rest, ",");
    if (strlen(word) >= IFNAMSIZ || strpbrk(word, "/: \t%") || word[0] == '.')
        return tap_wrong(why, why_size, "not a name for an interface:", word);
    snprintf(spec->name, sizeof spec->name, "%s", word);
    while ((word = strsep(&rest, ",")) != NULL)
        if (!tap_read_option(spec, word))
            return tap_wrong(why, why_size, "cannot read", word);
    return 0;
}

int weir_tap_read_spec(struct weir_tap_spec *spec, const char *text, uint16_t mtu, char *why,
                       size_t why_size)
{
    int error = tap_read_words(spec, text, why, why_size);

    if (error || mtu == 0)
        return error;
    if (mtu < WEIR_TAP_MTU_MIN || mtu > WEIR_TAP_MTU_MAX) {
        snprintf(why, why_size, "tap: an MTU of %u cannot be had: %u to %u can", mtu,
                 WEIR_TAP_MTU_MIN, WEIR_TAP_MTU_MAX);
        return -EINVAL;
    }
    if (spec->mtu && spec->mtu != mtu) {
        snprintf(why, why_size,
                 "tap: mtu=%u in the device's text, and an MTU of %u beside it: give one of them",
                 spec->mtu, mtu);
        return -EINVAL;
    }
    spec->mtu = mtu;
    return 0;
}
