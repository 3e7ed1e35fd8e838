/* open.c - a device by its text, with faults and a capture file in front of it as asked for.
 *
 * The capture is in front of the faults: it shows what the stack sends and what reaches it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "net/dev.h"

static int open_loop(struct weir_dev **dev, const struct weir_dev_config *config, const char *args,
                     char *why, size_t why_size)
{
    struct weir_pair_config pair = {
        .queues = config->queues, .mtu = config->mtu, .loop = true, .seed = config->seed
    };
    struct weir_dev *end[2];
    int error;

    pair.misdirect = strcmp(args, "misdirect") == 0;
    if (*args != '\0' && !pair.misdirect) {
        snprintf(why, why_size, "dev loop takes no arguments, not '%s'", args);
        return -EINVAL;
    }
    error = weir_pair_open(end, &pair);
    if (error == -EINVAL)
        snprintf(why, why_size, "dev loop: an MTU of %u with %u queues cannot be had; try 1500",
                 config->mtu, config->queues);
    else if (error)
        snprintf(why, why_size, "dev loop: %s", strerror(-error));
    else
        *dev = end[0];
    return error;
}

static int open_tap(struct weir_dev **dev, const struct weir_dev_config *config, const char *args,
                    char *why, size_t why_size)
{
    return weir_tap_open(dev, args, config->queues, config->mtu, why, why_size);
}

static int open_dpdk(struct weir_dev **dev, const struct weir_dev_config *config, const char *args,
                     char *why, size_t why_size)
{
    return weir_dpdk_open(dev, args, config->queues, config->mtu, why, why_size);
}

static const struct {
    const char *kind;
    int (*open)(struct weir_dev **dev, const struct weir_dev_config *config, const char *args,
                char *why, size_t why_size);
} open_kinds[] = { { "loop", open_loop }, { "tap", open_tap }, { "dpdk", open_dpdk } };

static int open_bare(struct weir_dev **dev, const struct weir_dev_config *config, char *why,
                     size_t why_size)
{
    const char *colon = strchr(config->spec, ':');
    size_t len = colon ? (size_t)(colon - config->spec) : strlen(config->spec);

    for (size_t i = 0; i < WEIR_COUNT(open_kinds); i++)
        if (strncmp(open_kinds[i].kind, config->spec, len) == 0 && open_kinds[i].kind[len] == '\0')
            return open_kinds[i].open(dev, config, colon ? colon + 1 : "", why, why_size);
    snprintf(why, why_size, "dev '%.60s' is none of loop, tap, tap:NAME, dpdk:EAL-ARGUMENTS",
             config->spec);
    return -EINVAL;
}

/* What stands in front of *dev; on failure *dev is still what it was. */
static int open_front(struct weir_dev **dev, const struct weir_dev_config *config,
                      const struct weir_impair *impair, char *why, size_t why_size)
{
    struct weir_dev *front = *dev;
    int error = 0;

    if (config->impair) {
        error = weir_impair_open(&front, *dev, impair, config->seed);
        if (error)
            snprintf(why, why_size, "impair: %s", strerror(-error));
        else
            *dev = front;
    }
    if (!error && config->pcap)
        error = weir_pcap_open(&front, *dev, config->pcap, why, why_size);
    if (!error)
        *dev = front;
    return error;
}

int weir_dev_open(struct weir_dev **dev, const struct weir_dev_config *config, char *why,
                  size_t why_size)
{
    struct weir_impair impair;
    struct weir_dev *opened;
    int error = 0;

    if (config->impair)
        error = weir_impair_parse(&impair, config->impair, why, why_size);
    if (!error)
        error = open_bare(&opened, config, why, why_size);
    if (error)
        return error;
    error = open_front(&opened, config, &impair, why, why_size);
    if (error)
        weir_dev_close(opened);
    else
        *dev = opened;
    return error;
}
