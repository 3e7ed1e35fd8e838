/* file.h - what the two ways to run an operation on a file share: the pool's, and io_uring's. */
#ifndef WEIR_NET_FILE_H
#define WEIR_NET_FILE_H

#include <sys/stat.h>
#include <weir/file.h>

enum weir_file_op {
    WEIR_FILE_OPEN,
    WEIR_FILE_READ,
    WEIR_FILE_WRITE,
    WEIR_FILE_APPEND,
    WEIR_FILE_SYNC,
    WEIR_FILE_DATASYNC,
    WEIR_FILE_STAT,
    WEIR_FILE_TRUNCATE,
};

enum { WEIR_FILE_CHUNK = 1 << 30 }; /* bytes for one system call; it may move fewer still */

/* How much is left for the next system call. */
static inline size_t weir_file_chunk(const struct weir_file_io *io)
{
    size_t left = io->len - io->moved;

    return left < WEIR_FILE_CHUNK ? left : WEIR_FILE_CHUNK;
}

/* One system call for it has given *result.  True: it is over, and *result is that of the whole. */
bool weir_file_over(struct weir_file_io *io, int64_t *result, bool cancelled);

/* Completes it, at home. */
void weir_file_end(struct weir_file_io *io, int64_t result);

void weir_file_info_set(struct weir_file_info *info, const struct statx *st);

/* stat(2) by path, for the pool. */
int64_t weir_file_statx(int fd, const char *path, struct weir_file_info *info);

#endif
