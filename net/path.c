/* path.c - what is done to files by their names, in the blocking pool; and reading a file whole. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "core/base.h"
#include "net/file.h"

/* Lives in the frame of who waits. */
struct path_call {
    const char *path, *to;
    uint32_t mode;
    size_t max;
    struct weir_file_info *info;
    struct weir_path_names *names;
};

static int path_await(struct path_call *call, int64_t (*fn)(void *arg), weir_time deadline)
{
    struct weir_blocking_job job;

    weir_blocking_start(&job, fn, call);
    return (int)weir_await(&job.future, deadline);
}

static int64_t path_result(int n)
{
    return n < 0 ? -errno : 0;
}

static int64_t path_stat(void *arg)
{
    struct path_call *call = arg;

    return call->path[0] ? weir_file_statx(AT_FDCWD, call->path, call->info) : -ENOENT;
}

int weir_path_stat(const char *path, struct weir_file_info *info, weir_time deadline)
{
    return path_await(&(struct path_call){ .path = path, .info = info }, path_stat, deadline);
}

static int64_t path_rename(void *arg)
{
    const struct path_call *call = arg;

    return path_result(rename(call->path, call->to));
}

int weir_path_rename(const char *from, const char *to, weir_time deadline)
{
    return path_await(&(struct path_call){ .path = from, .to = to }, path_rename, deadline);
}

static int64_t path_unlink(void *arg)
{
    const struct path_call *call = arg;

    return path_result(unlink(call->path));
}

int weir_path_unlink(const char *path, weir_time deadline)
{
    return path_await(&(struct path_call){ .path = path }, path_unlink, deadline);
}

static int64_t path_mkdir(void *arg)
{
    const struct path_call *call = arg;

    return path_result(mkdir(call->path, call->mode));
}

int weir_path_mkdir(const char *path, uint32_t mode, weir_time deadline)
{
    return path_await(&(struct path_call){ .path = path, .mode = mode }, path_mkdir, deadline);
}

static int64_t path_rmdir(void *arg)
{
    const struct path_call *call = arg;

    return path_result(rmdir(call->path));
}

int weir_path_rmdir(const char *path, weir_time deadline)
{
    return path_await(&(struct path_call){ .path = path }, path_rmdir, deadline);
}

/* --- directories --- */

/* Room grows by doubling: at each power of two. */
static int names_add(struct weir_path_names *names, const char *text)
{
    size_t count = names->count;

    if ((count & (count - 1)) == 0) {
        char **more = reallocarray(names->name, count ? 2 * count : 1, sizeof *more);

        if (!more)
            return -ENOMEM;
        names->name = more;
    }
    names->name[count] = strdup(text);
    if (!names->name[count])
        return -ENOMEM;
    names->count++;
    return 0;
}

/* 1: `names` has one more; 0: there are no more; or a negated errno. */
static int names_read(struct weir_path_names *names, DIR *dir, size_t max)
{
    const struct dirent *entry;
    int error;

    do {
        errno = 0;
        entry = readdir(dir);
        if (!entry)
            return -errno;
    } while (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0);
    if (names->count == max)
        return -EOVERFLOW;
    error = names_add(names, entry->d_name);
    return error < 0 ? error : 1;
}

static int name_order(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int64_t path_list(void *arg)
{
    struct path_call *call = arg;
    struct weir_path_names *names = call->names;
    DIR *dir = opendir(call->path);
    int error;

    if (!dir)
        return -errno;
    do
        error = names_read(names, dir, call->max);
    while (error > 0);
    closedir(dir);
    if (error < 0)
        weir_path_names_free(names);
    else if (names->count > 0)
        qsort(names->name, names->count, sizeof names->name[0], name_order);
    return error;
}

int weir_path_list(const char *path, struct weir_path_names *names, size_t max, weir_time deadline)
{
    *names = (struct weir_path_names){ .name = NULL };
    return path_await(&(struct path_call){ .path = path, .names = names, .max = max }, path_list,
                      deadline);
}

void weir_path_names_free(struct weir_path_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->name[i]);
    free(names->name);
    *names = (struct weir_path_names){ .name = NULL };
}

/* --- a file whole --- */

/* Room for `size` bytes and one more, which tells that there are more. */
static int slurp_room(char **data, size_t *room, size_t size)
{
    char *more = size < SIZE_MAX ? realloc(*data, size + 1) : NULL;

    if (!more)
        return -ENOMEM;
    *data = more;
    *room = size;
    return 0;
}

/* Files of /proc say that they have 0 bytes: what counts is where reading ends. */
static int64_t slurp_read(struct weir_file *file, char **data, size_t size, size_t max,
                          weir_time deadline)
{
    size_t have = 0, room = 0;
    int error = slurp_room(data, &room, size);

    while (error == 0) {
        size_t want = room + 1 - have;
        int64_t n = weir_file_read(file, *data + have, want, have, deadline);

        if (n < 0)
            return n;
        have += (size_t)n;
        if (have > max)
            return -EFBIG;
        if ((size_t)n < want)
            break;
        error = slurp_room(data, &room, weir_min_u64(max, 2 * (uint64_t)have + 4096));
    }
    if (error < 0)
        return error;
    (*data)[have] = 0;
    return (int64_t)have;
}

static int64_t slurp_open(struct weir_file *file, char **data, size_t max, weir_time deadline)
{
    struct weir_file_info info;
    int error = weir_file_stat(file, &info, deadline);

    if (error < 0)
        return error;
    if (info.size > max && S_ISREG(info.mode))
        return -EFBIG;
    return slurp_read(file, data, S_ISREG(info.mode) ? info.size : 0, max, deadline);
}

int64_t weir_file_slurp(const char *path, char **data, size_t max, weir_time deadline)
{
    struct weir_file file;
    int64_t n = weir_file_open(&file, path, O_RDONLY, 0, deadline);

    *data = NULL;
    if (n < 0)
        return n;
    n = slurp_open(&file, data, max, deadline);
    weir_file_close(&file);
    if (n < 0) {
        free(*data);
        *data = NULL;
    }
    return n;
}
