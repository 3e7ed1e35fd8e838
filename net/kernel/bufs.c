/* bufs.c - mapping the receive buffers. */
#include "net/kernel/bufs.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

int weir_bufs_init(struct weir_bufs *bufs, uint32_t count, uint32_t size, bool touch,
                   void (*release)(struct weir_buf *buf), void *origin)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | (touch ? MAP_POPULATE : MAP_NORESERVE);
    uint32_t stride = size + WEIR_BUFS_APART;
    void *data = mmap(NULL, (size_t)count * stride, PROT_READ | PROT_WRITE, flags, -1, 0);

    if (data == MAP_FAILED)
        return -ENOMEM;
    *bufs = (struct weir_bufs){ .data = data, .count = count, .size = size, .stride = stride };
    bufs->buf = calloc(count, sizeof *bufs->buf);
    if (!bufs->buf) {
        weir_bufs_free(bufs);
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < count; i++)
        bufs->buf[i] = (struct weir_buf){ .id = i, .release = release, .origin = origin };
    return 0;
}

void weir_bufs_free(struct weir_bufs *bufs)
{
    munmap(bufs->data, (size_t)bufs->count * bufs->stride);
    free(bufs->buf);
}
