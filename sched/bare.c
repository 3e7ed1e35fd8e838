/* bare.c - the driver without a network: timers and calls only.  It sleeps on the wake-up eventfd.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include "sched/runtime.h"

static bool bare_poll(struct weir_driver *driver, weir_time until)
{
    struct weir_shard *shard = driver->shard;
    struct pollfd pollfd = { .fd = shard->wake_fd, .events = POLLIN };
    weir_time left = until - shard->now;
    struct timespec wait = { left / 1000000000, left % 1000000000 };
    uint64_t wakes;

    if (until == 0)
        return false;
    if (ppoll(&pollfd, 1, until == WEIR_NEVER ? NULL : &wait, NULL) > 0)
        while (read(shard->wake_fd, &wakes, sizeof wakes) > 0)
            ;
    weir_shard_awake(shard);
    return false;
}

static void bare_close(struct weir_driver *driver)
{
    free(driver);
}

static const struct weir_driver_ops bare_ops = {
    .name = "none",
    .poll = bare_poll,
    .close = bare_close,
};

int weir_bare_driver_open(struct weir_driver **driver, struct weir_shard *shard,
                          const struct weir_config *config, void *arg)
{
    (void)config;
    (void)arg;
    *driver = malloc(sizeof **driver);
    if (!*driver)
        return -ENOMEM;
    **driver = (struct weir_driver){ &bare_ops, shard };
    return 0;
}
