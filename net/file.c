/* file.c - operations on open files: begun here, run by io_uring or by the blocking pool.
 *
 * Reading and writing go on until all is done, whatever the portions that the kernel chooses, so
 * that a short count means something: the end of the file, or an error that the next call will
 * tell. */
#include "net/file.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>
#include "net/kernel/socket.h"

static int64_t result_of(ssize_t n)
{
    return n < 0 ? -errno : n;
}

/* --- what both ways share --- */

void weir_file_info_set(struct weir_file_info *info, const struct statx *st)
{
    *info = (struct weir_file_info){
        .size = st->stx_size,
        .blocks = st->stx_blocks,
        .inode = st->stx_ino,
        .device = (uint64_t)st->stx_dev_major << 32 | st->stx_dev_minor,
        .accessed = WEIR_SEC(st->stx_atime.tv_sec) + st->stx_atime.tv_nsec,
        .modified = WEIR_SEC(st->stx_mtime.tv_sec) + st->stx_mtime.tv_nsec,
        .changed = WEIR_SEC(st->stx_ctime.tv_sec) + st->stx_ctime.tv_nsec,
        .mode = st->stx_mode,
        .links = st->stx_nlink,
        .uid = st->stx_uid,
        .gid = st->stx_gid,
    };
}

int64_t weir_file_statx(int fd, const char *path, struct weir_file_info *info)
{
    struct statx st;

    if (statx(fd, path, path[0] ? 0 : AT_EMPTY_PATH, STATX_BASIC_STATS, &st) < 0)
        return -errno;
    weir_file_info_set(info, &st);
    return 0;
}

static bool file_moves(const struct weir_file_io *io)
{
    return io->op == WEIR_FILE_READ || io->op == WEIR_FILE_WRITE || io->op == WEIR_FILE_APPEND;
}

bool weir_file_over(struct weir_file_io *io, int64_t *result, bool cancelled)
{
    if (*result == -EINTR) { /* withdrawn while it waited, or by a signal */
        if (!cancelled)
            return false;
        *result = -ECANCELED;
    }
    if (!file_moves(io))
        return true;
    if (*result > 0) {
        io->moved += (size_t)*result;
        if (io->moved < io->len && !cancelled)
            return false;
    }
    if (*result >= 0 || io->moved > 0)
        *result = (int64_t)io->moved;
    return true;
}

void weir_file_end(struct weir_file_io *io, int64_t result)
{
    if (io->op == WEIR_FILE_OPEN && result >= 0) {
        io->file->fd = (int)result;
        result = 0;
    }
    weir_assert(io->home->errands > 0);
    io->home->errands--;
    __atomic_fetch_sub(&io->file->busy, 1, __ATOMIC_RELEASE); /* pairs with weir_file_close */
    weir_future_set(&io->future, result);
}

/* --- by the pool --- */

static int64_t file_transfer(struct weir_file_io *io)
{
    struct iovec iov = { (char *)io->data + io->moved, weir_file_chunk(io) };
    off_t at = (off_t)(io->offset + io->moved);

    if (io->op == WEIR_FILE_READ)
        return result_of(preadv(io->file->fd, &iov, 1, at));
    if (io->op == WEIR_FILE_WRITE)
        return result_of(pwritev(io->file->fd, &iov, 1, at));
    return result_of(pwritev2(io->file->fd, &iov, 1, 0, RWF_APPEND));
}

static int64_t file_call(struct weir_file_io *io)
{
    switch ((enum weir_file_op)io->op) {
    case WEIR_FILE_OPEN:
        return result_of(open(io->path, io->flags, io->mode));
    case WEIR_FILE_SYNC:
        return result_of(fsync(io->file->fd));
    case WEIR_FILE_DATASYNC:
        return result_of(fdatasync(io->file->fd));
    case WEIR_FILE_STAT:
        return weir_file_statx(io->file->fd, "", io->info);
    case WEIR_FILE_TRUNCATE:
        return result_of(ftruncate(io->file->fd, (off_t)io->offset));
    default:
        return file_transfer(io);
    }
}

static int64_t file_job(void *arg)
{
    struct weir_file_io *io = arg;
    int64_t result;

    do
        result = file_call(io);
    while (!weir_file_over(io, &result, false));
    return result;
}

static void file_job_done(struct weir_future *future)
{
    struct weir_file_io *io = weir_container_of(future, struct weir_file_io, job.future);

    weir_file_end(io, future->result);
}

static void file_job_cancel(struct weir_future *future)
{
    weir_future_cancel(&weir_container_of(future, struct weir_file_io, future)->job.future);
}

static void file_start_pool(struct weir_file_io *io)
{
    weir_future_init(&io->future, file_job_cancel);
    weir_blocking_start(&io->job, file_job, io);
    if (!weir_future_on_done(&io->job.future, file_job_done))
        weir_file_end(io, io->job.future.result);
}

/* --- beginning --- */

/* The engine that runs it; NULL: none, it is the pool's. */
static struct weir_kernel *file_kernel(const struct weir_file_io *io)
{
    struct weir_kernel *kernel;

    if (!weir_stack_of(io->home) || !weir_kernel_stack_of(io->home)->real)
        return NULL;
    kernel = weir_kernel_of(weir_kernel_stack_of(io->home));
    return kernel->ops->file_start && io->op != WEIR_FILE_TRUNCATE ? kernel : NULL;
}

static void file_start(struct weir_file_io *io)
{
    struct weir_kernel *kernel = file_kernel(io);

    io->home->errands++;
    __atomic_fetch_add(&io->file->busy, 1, __ATOMIC_RELAXED);
    if (io->offset > INT64_MAX || io->len > INT64_MAX - io->offset) {
        weir_future_init(&io->future, NULL);
        weir_file_end(io, -EINVAL);
    } else if (kernel) {
        kernel->ops->file_start(kernel, io);
    } else {
        file_start_pool(io);
    }
}

static void file_check(const struct weir_file *file, const char *call)
{
    if (file->fd < 0)
        weir_panic("%s: this file is not open; weir_file_open it first", call);
}

void weir_file_open_start(struct weir_file_io *io, struct weir_file *file, const char *path,
                          int flags, uint32_t mode)
{
    *file = (struct weir_file){ .fd = -1 };
    *io = (struct weir_file_io){ .home = weir_shard_here("weir_file_open"),
                                 .file = file,
                                 .op = WEIR_FILE_OPEN,
                                 .path = path,
                                 .flags = flags | O_CLOEXEC,
                                 .mode = mode };
    file_start(io);
}

void weir_file_read_start(struct weir_file_io *io, struct weir_file *file, void *data, size_t len,
                          uint64_t offset)
{
    file_check(file, "weir_file_read");
    *io = (struct weir_file_io){ .home = weir_shard_here("weir_file_read"),
                                 .file = file,
                                 .op = WEIR_FILE_READ,
                                 .data = data,
                                 .len = len,
                                 .offset = offset };
    file_start(io);
}

void weir_file_write_start(struct weir_file_io *io, struct weir_file *file, const void *data,
                           size_t len, uint64_t offset)
{
    file_check(file, "weir_file_write");
    *io = (struct weir_file_io){ .home = weir_shard_here("weir_file_write"),
                                 .file = file,
                                 .op = WEIR_FILE_WRITE,
                                 .data = (void *)(uintptr_t)data,
                                 .len = len,
                                 .offset = offset };
    file_start(io);
}

void weir_file_append_start(struct weir_file_io *io, struct weir_file *file, const void *data,
                            size_t len)
{
    file_check(file, "weir_file_append");
    *io = (struct weir_file_io){ .home = weir_shard_here("weir_file_append"),
                                 .file = file,
                                 .op = WEIR_FILE_APPEND,
                                 .data = (void *)(uintptr_t)data,
                                 .len = len };
    file_start(io);
}

static void file_plain_start(struct weir_file_io *io, struct weir_file *file, enum weir_file_op op,
                             const char *call)
{
    file_check(file, call);
    *io = (struct weir_file_io){ .home = weir_shard_here(call), .file = file, .op = (int)op };
}

void weir_file_sync_start(struct weir_file_io *io, struct weir_file *file)
{
    file_plain_start(io, file, WEIR_FILE_SYNC, "weir_file_sync");
    file_start(io);
}

void weir_file_datasync_start(struct weir_file_io *io, struct weir_file *file)
{
    file_plain_start(io, file, WEIR_FILE_DATASYNC, "weir_file_datasync");
    file_start(io);
}

void weir_file_stat_start(struct weir_file_io *io, struct weir_file *file,
                          struct weir_file_info *info)
{
    file_plain_start(io, file, WEIR_FILE_STAT, "weir_file_stat");
    io->info = info;
    file_start(io);
}

void weir_file_truncate_start(struct weir_file_io *io, struct weir_file *file, uint64_t size)
{
    file_plain_start(io, file, WEIR_FILE_TRUNCATE, "weir_file_truncate");
    io->offset = size;
    file_start(io);
}

/* --- and waiting for it --- */

int weir_file_open(struct weir_file *file, const char *path, int flags, uint32_t mode,
                   weir_time deadline)
{
    struct weir_file_io io;

    weir_file_open_start(&io, file, path, flags, mode);
    return (int)weir_await(&io.future, deadline);
}

int64_t weir_file_read(struct weir_file *file, void *data, size_t len, uint64_t offset,
                       weir_time deadline)
{
    struct weir_file_io io;

    weir_file_read_start(&io, file, data, len, offset);
    return weir_await(&io.future, deadline);
}

int64_t weir_file_write(struct weir_file *file, const void *data, size_t len, uint64_t offset,
                        weir_time deadline)
{
    struct weir_file_io io;

    weir_file_write_start(&io, file, data, len, offset);
    return weir_await(&io.future, deadline);
}

int64_t weir_file_append(struct weir_file *file, const void *data, size_t len, weir_time deadline)
{
    struct weir_file_io io;

    weir_file_append_start(&io, file, data, len);
    return weir_await(&io.future, deadline);
}

int weir_file_sync(struct weir_file *file, weir_time deadline)
{
    struct weir_file_io io;

    weir_file_sync_start(&io, file);
    return (int)weir_await(&io.future, deadline);
}

int weir_file_datasync(struct weir_file *file, weir_time deadline)
{
    struct weir_file_io io;

    weir_file_datasync_start(&io, file);
    return (int)weir_await(&io.future, deadline);
}

int weir_file_stat(struct weir_file *file, struct weir_file_info *info, weir_time deadline)
{
    struct weir_file_io io;

    weir_file_stat_start(&io, file, info);
    return (int)weir_await(&io.future, deadline);
}

int weir_file_truncate(struct weir_file *file, uint64_t size, weir_time deadline)
{
    struct weir_file_io io;

    weir_file_truncate_start(&io, file, size);
    return (int)weir_await(&io.future, deadline);
}

void weir_file_close(struct weir_file *file)
{
    file_check(file, "weir_file_close");
    if (__atomic_load_n(&file->busy, __ATOMIC_ACQUIRE) > 0)
        weir_panic("weir_file_close: operations on this file are under way, whose descriptor would "
                   "be another file's; cancel and await them first");
    close(file->fd);
    file->fd = -1;
}
