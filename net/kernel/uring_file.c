/* uring_file.c - operations on files by io_uring.
 *
 * What the page cache has is read and written when it is submitted; the rest the kernel does by
 * itself or on a thread of its own, and the shard goes on. */
#include "net/file.h"
#include "net/kernel/uring_conn.h"

static struct weir_uring *uring_file_ring(const struct weir_file_io *io)
{
    return weir_uring_of(weir_kernel_stack_of(io->home));
}

static void uring_file_transfer(struct io_uring_sqe *sqe, const struct weir_file_io *io)
{
    char *at = (char *)io->data + io->moved;
    unsigned len = (unsigned)weir_file_chunk(io);

    if (io->op == WEIR_FILE_READ) {
        io_uring_prep_read(sqe, io->file->fd, at, len, io->offset + io->moved);
        return;
    }
    io_uring_prep_write(sqe, io->file->fd, at, len,
                        io->op == WEIR_FILE_WRITE ? io->offset + io->moved : 0);
    if (io->op == WEIR_FILE_APPEND)
        sqe->rw_flags = RWF_APPEND;
}

static void uring_file_submit(struct weir_file_io *io)
{
    struct io_uring_sqe *sqe = weir_ring_sqe(&uring_file_ring(io)->ring);
    int fd = io->file->fd;

    switch ((enum weir_file_op)io->op) {
    case WEIR_FILE_OPEN:
        io_uring_prep_openat(sqe, AT_FDCWD, io->path, io->flags, io->mode);
        break;
    case WEIR_FILE_SYNC:
        io_uring_prep_fsync(sqe, fd, 0);
        break;
    case WEIR_FILE_DATASYNC:
        io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
        break;
    case WEIR_FILE_STAT:
        io_uring_prep_statx(sqe, fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS,
                            (struct statx *)(void *)io->kernel);
        break;
    default:
        uring_file_transfer(sqe, io);
        break;
    }
    weir_uring_name(sqe, io, TAG_FILE);
}

static void uring_file_cancel(struct weir_future *future)
{
    struct weir_file_io *io = weir_container_of(future, struct weir_file_io, future);

    weir_uring_cancel(uring_file_ring(io), io, TAG_FILE);
}

void weir_uring_file_start(struct weir_kernel *kernel, struct weir_file_io *io)
{
    (void)kernel;
    weir_future_init(&io->future, uring_file_cancel);
    uring_file_submit(io);
}

void weir_uring_file_event(struct weir_file_io *io, int result)
{
    int64_t whole = result;

    if (!weir_file_over(io, &whole, io->future.cancelled)) {
        uring_file_submit(io);
        return;
    }
    if (io->op == WEIR_FILE_STAT && whole == 0)
        weir_file_info_set(io->info, (const struct statx *)(const void *)io->kernel);
    weir_file_end(io, whole);
}
