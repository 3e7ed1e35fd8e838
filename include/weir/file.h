/* file.h - files: without a fiber ever holding up its shard for a disk.
 *
 * By io_uring where the shard's stack has it, else by the blocking pool (blocking.h), whose bounds
 * then hold: -EAGAIN.  Truncating, and all that goes by a path, is always the pool's.  In the
 * simulation too these are the real files of the machine, at simulated moments.
 *
 * An open file may be used on any shard, by several operations at once; each says at which offset.
 * Meant for what a disk has: a FIFO or a terminal that blocks would hold a thread of the pool.
 *
 * Cancelled, or at its deadline, an operation that has not begun is withdrawn; one that has begun
 * is waited for, and its result returned.  So after -ETIMEDOUT or -ECANCELED a read has taken
 * nothing, a file has not been opened; but a write interrupted by io_uring may still have happened,
 * in part or whole: look, or write it again. */
#ifndef WEIR_FILE_H
#define WEIR_FILE_H

#include <fcntl.h>
#include <weir/blocking.h>

WEIR_BEGIN

struct weir_file {
    int fd;        /* -1: not open */
    uint32_t busy; /* operations under way; weir's own */
};

/* Times are in ns since 1970. */
struct weir_file_info {
    uint64_t size, blocks; /* in bytes; in 512 bytes that are really there */
    uint64_t inode, device;
    int64_t accessed, modified, changed;
    uint32_t mode; /* as st_mode: S_ISREG(), S_ISDIR() */
    uint32_t links, uid, gid;
};

/* As open(2), with O_CLOEXEC; `mode` is for what O_CREAT makes.  0; -ENOENT, -EISDIR, -EEXIST,
 * -EACCES, ... */
WEIR_API int weir_file_open(struct weir_file *file, const char *path, int flags, uint32_t mode,
                            weir_time deadline);

/* Ends it at once.  Nothing may be under way on it.  What was written may still fail to reach the
 * disk: only weir_file_sync can tell.  Never suspends. */
WEIR_API void weir_file_close(struct weir_file *file);

/* Reads `len` bytes from `offset` on, fewer only at the end of the file; 0: offset is at or behind
 * it.  -EISDIR, -EBADF: not open for reading; -EINVAL: offset above INT64_MAX.  After an error, or
 * cancelled, it still returns the bytes it has, if any. */
WEIR_API int64_t weir_file_read(struct weir_file *file, void *data, size_t len, uint64_t offset,
                                weir_time deadline);

/* Writes all `len` bytes; fewer when an error came between (-ENOSPC, -EFBIG), which the next write
 * tells.  Behind the end it leaves a hole, read as zeros.  With O_APPEND the offset is ignored. */
WEIR_API int64_t weir_file_write(struct weir_file *file, const void *data, size_t len,
                                 uint64_t offset, weir_time deadline);

/* The same at the end of the file, wherever that is at the moment: what several append at once is
 * not mixed (as long as no error cuts one short). */
WEIR_API int64_t weir_file_append(struct weir_file *file, const void *data, size_t len,
                                  weir_time deadline);

/* Returns when all that was written is on the disk, fsync(2); or only what is needed to read it
 * again, fdatasync(2). */
WEIR_API int weir_file_sync(struct weir_file *file, weir_time deadline);
WEIR_API int weir_file_datasync(struct weir_file *file, weir_time deadline);

WEIR_API int weir_file_stat(struct weir_file *file, struct weir_file_info *info,
                            weir_time deadline);

/* Cuts it, or makes it longer with a hole. */
WEIR_API int weir_file_truncate(struct weir_file *file, uint64_t size, weir_time deadline);

/* --- the same as futures: the results are those above --- */

/* It, and what it is given, must stay until it is done.  Fields are weir's own but for the future.
 */
struct weir_file_io {
    struct weir_future future;
    struct weir_file *file;
    struct weir_shard *home;
    const char *path;
    void *data;
    size_t len, moved;
    uint64_t offset;
    struct weir_file_info *info;
    int op, flags;
    uint32_t mode;
    union {
        struct weir_blocking_job job;
        uint64_t kernel[32];
    };
};

WEIR_API void weir_file_open_start(struct weir_file_io *io, struct weir_file *file,
                                   const char *path, int flags, uint32_t mode);
WEIR_API void weir_file_read_start(struct weir_file_io *io, struct weir_file *file, void *data,
                                   size_t len, uint64_t offset);
WEIR_API void weir_file_write_start(struct weir_file_io *io, struct weir_file *file,
                                    const void *data, size_t len, uint64_t offset);
WEIR_API void weir_file_append_start(struct weir_file_io *io, struct weir_file *file,
                                     const void *data, size_t len);
WEIR_API void weir_file_sync_start(struct weir_file_io *io, struct weir_file *file);
WEIR_API void weir_file_datasync_start(struct weir_file_io *io, struct weir_file *file);
WEIR_API void weir_file_stat_start(struct weir_file_io *io, struct weir_file *file,
                                   struct weir_file_info *info);
WEIR_API void weir_file_truncate_start(struct weir_file_io *io, struct weir_file *file,
                                       uint64_t size);

/* --- whole files --- */

/* Reads a file of at most `max` bytes.  Its length; *data is the caller's to free() and has a NUL
 * behind its last byte, which is not counted.  -EFBIG: it is longer; -ENOMEM; else as open and
 * read: *data is NULL then. */
WEIR_API int64_t weir_file_slurp(const char *path, char **data, size_t max, weir_time deadline);

/* --- by path; as the system calls of these names --- */

WEIR_API int weir_path_stat(const char *path, struct weir_file_info *info, weir_time deadline);
WEIR_API int weir_path_rename(const char *from, const char *to, weir_time deadline);
WEIR_API int weir_path_unlink(const char *path, weir_time deadline);
WEIR_API int weir_path_mkdir(const char *path, uint32_t mode, weir_time deadline);
WEIR_API int weir_path_rmdir(const char *path, weir_time deadline);

/* The names in a directory, without "." and "..", in the order of their bytes. */
struct weir_path_names {
    char **name;
    size_t count;
};

/* 0, then weir_path_names_free() must follow; -EOVERFLOW: there are more than `max`; -ENOENT,
 * -ENOTDIR, -ENOMEM, ...: `names` is empty then. */
WEIR_API int weir_path_list(const char *path, struct weir_path_names *names, size_t max,
                            weir_time deadline);
WEIR_API void weir_path_names_free(struct weir_path_names *names);

WEIR_END

#endif
