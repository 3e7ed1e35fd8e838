/* buf.c - receive buffers of the simulation: from the heap, counted. */
#include <stdlib.h>
#include "net/sim/net.h"

static void sim_buf_release(struct weir_buf *buf)
{
    struct weir_sim_driver *driver = buf->origin;

    weir_assert(driver->driver.shard->stats.bufs > 0);
    driver->driver.shard->stats.bufs--;
    free(buf);
}

struct weir_buf *weir_sim_buf_alloc(struct weir_stack *stack, size_t size)
{
    struct weir_buf *buf = size <= UINT32_MAX ? malloc(sizeof *buf + size) : NULL;

    if (buf == NULL)
        return NULL;
    *buf = (struct weir_buf){
        .data = (uint8_t *)(buf + 1),
        .refs = 1,
        .release = sim_buf_release,
        .origin = weir_container_of(stack, struct weir_sim_driver, stack),
    };
    stack->shard->stats.bufs++;
    return buf;
}
