/* dpdk.c - the DPDK device: "dpdk:EAL ARGS", any driver.
 *
 * This and dpdk_*.c are a module of their own, weir-dpdk.so (see load.c), with one entry.  It is
 * built with the compiler flags that DPDK asks for, which concern nothing else.
 *
 * Ports are stopped when the device is closed and set up anew when it is opened again; EAL ends
 * with the program. */
#include <rte_version.h>
#include <stdio.h>
#include <stdlib.h>
#include "net/dev/dpdk.h"

WEIR_API weir_dpdk_module_open_fn weir_dpdk_module_open;

/* What the libraries call themselves, for reports. */
WEIR_API const char *weir_dpdk_module_version(void);

static struct {
    struct dpdk_dev *open; /* one at a time */
} module;

static void module_close(struct weir_dev *dev)
{
    module.open = NULL;
    weir_dpdk_ops.close(dev);
}

static struct weir_dev_ops module_ops;

static int module_ports(struct dpdk_dev *d, uint16_t mtu, char *why, size_t why_size)
{
    struct dpdk_capture capture;
    size_t len;
    char line[256];
    int error;

    weir_dpdk_capture_begin(&capture);
    error = weir_dpdk_ports_open(d, mtu, why, why_size);
    weir_dpdk_capture_end(&capture);
    if (!error)
        return 0;
    weir_dpdk_blame(&capture, line, sizeof line);
    len = strlen(why);
    if (line[0] && len < why_size)
        snprintf(why + len, why_size - len, "; the driver says: %s", line);
    return error;
}

int weir_dpdk_module_open(struct weir_dev **dev, const char *eal_args, unsigned queues,
                          uint16_t mtu, char *why, size_t why_size)
{
    struct dpdk_dev *d;
    int error;

    weir_assert(queues > 0);
    if (queues > DPDK_QUEUES || module.open) {
        snprintf(why, why_size, "dpdk: at most %d shards, and one device per program", DPDK_QUEUES);
        return -EBUSY;
    }
    error = weir_dpdk_eal(eal_args, why, why_size);
    if (error)
        return error;
    d = calloc(1, sizeof *d);
    if (!d)
        return -ENOMEM;
    module_ops = weir_dpdk_ops;
    module_ops.close = module_close;
    d->dev.ops = &module_ops;
    d->dev.queues = (uint16_t)queues;
    d->dev.must_poll = true;
    error = module_ports(d, mtu, why, why_size);
    if (error) {
        free(d);
        return error;
    }
    module.open = d;
    *dev = &d->dev;
    return 0;
}

const char *weir_dpdk_module_version(void)
{
    return rte_version();
}
