/* buf.c - counting the owners of a buffer.
 *
 * Where buffers come from is the stack's business: release() leads back there.
 *
 * Invariant: refs > 0 while anybody may touch the buffer. */
#include <weir/buf.h>
#include "core/base.h"

void weir_buf_ref(struct weir_buf *buf)
{
    weir_assert(buf->refs > 0 && buf->refs < UINT32_MAX);
    buf->refs++;
}

void weir_buf_free(struct weir_buf *buf)
{
    if (!buf)
        return;
    weir_assert(buf->refs > 0);
    if (--buf->refs == 0)
        buf->release(buf);
}
