/* file_suite.c - see file_suite.h. */
#include "tests/net/file_suite.h"
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#define SOON weir_after(WEIR_SEC(60))

static char dir[32];
static char room[8][96]; /* of the case, for in_dir() */

/* `name` in the directory of the case; eight at a time. */
static const char *in_dir(const char *name)
{
    static _Atomic unsigned next;
    char *path = room[next++ % 8];

    snprintf(path, sizeof room[0], "%s/%s", dir, name);
    return path;
}

static void make(struct weir_file *file, const char *name)
{
    check_int(weir_file_open(file, in_dir(name), O_RDWR | O_CREAT | O_EXCL, 0600, SOON), 0);
}

static void drop(struct weir_file *file, const char *name)
{
    weir_file_close(file);
    check_int(weir_path_unlink(in_dir(name), SOON), 0);
}

static void fill(char *data, size_t len, unsigned from)
{
    for (size_t i = 0; i < len; i++)
        data[i] = (char)((from + i) * 2654435761u >> 13);
}

/* --- reading and writing --- */

enum { BIG = 300000 };

static void read_write_main(void *arg)
{
    static char out[BIG], in[BIG + 100];
    struct weir_file_info info;
    struct weir_file file;

    (void)arg;
    fill(out, sizeof out, 1);
    make(&file, "a");
    check_int(weir_file_read(&file, in, 10, 0, SOON), 0); /* empty: at its end */
    check_int(weir_file_write(&file, out, BIG, 0, SOON), BIG);
    check_int(weir_file_read(&file, in, BIG + 100, 0, SOON), BIG); /* short: the end */
    check(memcmp(in, out, BIG) == 0);
    check_int(weir_file_read(&file, in, 100, BIG - 30, SOON), 30);
    check(memcmp(in, out + BIG - 30, 30) == 0);
    check_int(weir_file_read(&file, in, 100, BIG, SOON), 0);
    check_int(weir_file_read(&file, in, 100, BIG + 1, SOON), 0);
    check_int(weir_file_read(&file, in, 0, 0, SOON), 0);
    check_int(weir_file_write(&file, out, 0, BIG + 50, SOON), 0);
    check_int(weir_file_write(&file, "mid", 3, 1000, SOON), 3);
    check_int(weir_file_read(&file, in, 5, 999, SOON), 5);
    check(in[0] == out[999] && memcmp(in + 1, "mid", 3) == 0 && in[4] == out[1003]);
    check_int(weir_file_sync(&file, SOON), 0);
    check_int(weir_file_datasync(&file, SOON), 0);
    check_int(weir_file_stat(&file, &info, SOON), 0);
    check_int((int64_t)info.size, BIG);
    check(S_ISREG(info.mode) && (info.mode & 0777) == 0600 && info.links == 1);
    check(info.uid == getuid() && info.modified > WEIR_SEC(1000000000));
    drop(&file, "a");
    check_int(file.fd, -1);
}

static void holes_main(void *arg)
{
    const uint64_t far = (uint64_t)5 << 32; /* beyond 32 bits */
    struct weir_file_info info;
    struct weir_file file;
    char data[64];

    (void)arg;
    make(&file, "hole");
    check_int(weir_file_write(&file, "end", 3, far, SOON), 3);
    check_int(weir_file_stat(&file, &info, SOON), 0);
    check_int((int64_t)info.size, (int64_t)far + 3);
    check(info.blocks * 512 < 1 << 20); /* it is a hole */
    check_int(weir_file_read(&file, data, sizeof data, 12345, SOON), sizeof data);
    for (size_t i = 0; i < sizeof data; i++)
        check_int(data[i], 0);
    check_int(weir_file_read(&file, data, sizeof data, far - 2, SOON), 5);
    check(memcmp(data, "\0\0end", 5) == 0);
    check_int(weir_file_truncate(&file, far + 1, SOON), 0);
    check_int(weir_file_read(&file, data, sizeof data, far, SOON), 1);
    check_int(weir_file_truncate(&file, 0, SOON), 0);
    check_int(weir_file_truncate(&file, 100, SOON), 0);
    check_int(weir_file_read(&file, data, sizeof data, 90, SOON), 10);
    for (size_t i = 0; i < 10; i++)
        check_int(data[i], 0);
    drop(&file, "hole");
}

static void append_main(void *arg)
{
    struct weir_file file, other;
    char data[32];

    (void)arg;
    make(&file, "log");
    check_int(weir_file_append(&file, "one,", 4, SOON), 4);
    check_int(weir_file_append(&file, "two,", 4, SOON), 4);
    check_int(weir_file_open(&other, in_dir("log"), O_WRONLY | O_APPEND, 0, SOON), 0);
    check_int(weir_file_write(&other, "three", 5, 0, SOON), 5); /* not at 0 */
    weir_file_close(&other);
    check_int(weir_file_read(&file, data, sizeof data, 0, SOON), 13);
    check(memcmp(data, "one,two,three", 13) == 0);
    drop(&file, "log");
}

/* --- errors --- */

static void errors_main(void *arg)
{
    struct weir_file_info info;
    struct weir_file file;
    char data[8];

    (void)arg;
    check_int(weir_file_open(&file, in_dir("none"), O_RDONLY, 0, SOON), -ENOENT);
    check_int(file.fd, -1);
    check_int(weir_file_open(&file, dir, O_RDWR, 0, SOON), -EISDIR);
    check_int(weir_file_open(&file, dir, O_RDONLY, 0, SOON), 0);
    check_int(weir_file_read(&file, data, 8, 0, SOON), -EISDIR);
    check_int(weir_file_stat(&file, &info, SOON), 0);
    check(S_ISDIR(info.mode));
    weir_file_close(&file);
    make(&file, "x");
    check_int(weir_file_write(&file, "12345678", 8, 0, SOON), 8);
    check_int(weir_file_write(&file, "x", 1, (uint64_t)INT64_MAX + 1, SOON), -EINVAL);
    check_int(weir_file_read(&file, data, 1, UINT64_MAX, SOON), -EINVAL);
    check_int(weir_file_read(&file, data, 1, INT64_MAX, SOON), -EINVAL);
    check_int(weir_file_truncate(&file, (uint64_t)INT64_MAX + 1, SOON), -EINVAL);
    check_int(weir_file_write(&file, "x", 1, INT64_MAX - 1, SOON), -EFBIG);
    check_int(weir_file_read(&file, data, 8, INT64_MAX - 8, SOON), 0);
    weir_file_close(&file);
    check_int(weir_file_open(&file, in_dir("x"), O_RDWR | O_CREAT | O_EXCL, 0600, SOON), -EEXIST);
    check_int(weir_file_open(&file, in_dir("x/y"), O_RDONLY, 0, SOON), -ENOTDIR);
    check_int(weir_file_open(&file, in_dir("x"), O_RDONLY, 0, SOON), 0);
    check_int(weir_file_write(&file, "y", 1, 0, SOON), -EBADF);
    check_int(weir_file_append(&file, "y", 1, SOON), -EBADF);
    check_int(weir_file_truncate(&file, 1, SOON), -EINVAL);
    weir_file_close(&file);
    check_int(weir_file_open(&file, in_dir("x"), O_WRONLY, 0, SOON), 0);
    check_int(weir_file_read(&file, data, 8, 0, SOON), -EBADF);
    drop(&file, "x");
}

/* --- by path --- */

static void paths_main(void *arg)
{
    struct weir_path_names names;
    struct weir_file_info info;
    struct weir_file file;

    (void)arg;
    check_int(weir_path_list(dir, &names, 0, SOON), 0); /* none is at most none */
    check_int((int64_t)names.count, 0);
    weir_path_names_free(&names);
    check_int(weir_path_mkdir(in_dir("sub"), 0700, SOON), 0);
    check_int(weir_path_mkdir(in_dir("sub"), 0700, SOON), -EEXIST);
    check_int(weir_path_stat(in_dir("sub"), &info, SOON), 0);
    check(S_ISDIR(info.mode));
    make(&file, "sub/c");
    weir_file_close(&file);
    check_int(weir_path_rmdir(in_dir("sub"), SOON), -ENOTEMPTY);
    check_int(weir_path_rename(in_dir("sub/c"), in_dir("a"), SOON), 0);
    check_int(weir_path_stat(in_dir("sub/c"), &info, SOON), -ENOENT);
    check_int(weir_path_stat(in_dir("a"), &info, SOON), 0);
    check_int(weir_path_stat("", &info, SOON), -ENOENT);
    check_int(weir_path_rename(in_dir("sub/c"), in_dir("b"), SOON), -ENOENT);
    check_int(weir_path_list(dir, &names, 2, SOON), 0);
    check_int((int64_t)names.count, 2);
    check(strcmp(names.name[0], "a") == 0 && strcmp(names.name[1], "sub") == 0);
    weir_path_names_free(&names);
    check_int(weir_path_list(dir, &names, 1, SOON), -EOVERFLOW);
    check_int((int64_t)names.count, 0);
    check_int(weir_path_list(in_dir("none"), &names, 1, SOON), -ENOENT);
    check_int(weir_path_list(in_dir("a"), &names, 1, SOON), -ENOTDIR);
    check_int(weir_path_unlink(in_dir("none"), SOON), -ENOENT);
    check_int(weir_path_unlink(in_dir("a"), SOON), 0);
    check_int(weir_path_rmdir(in_dir("sub"), SOON), 0);
}

/* --- whole files --- */

static void slurp_is(const char *path, size_t max, const char *want, size_t len)
{
    char *data;

    check_int(weir_file_slurp(path, &data, max, SOON), (int64_t)len);
    check(memcmp(data, want, len) == 0 && data[len] == 0);
    free(data);
}

static void slurp_main(void *arg)
{
    static char text[BIG];
    struct weir_file file;
    char *data;

    (void)arg;
    fill(text, BIG, 7);
    make(&file, "s");
    slurp_is(in_dir("s"), 0, "", 0);
    check_int(weir_file_write(&file, text, BIG, 0, SOON), BIG);
    slurp_is(in_dir("s"), BIG, text, BIG);
    slurp_is(in_dir("s"), SIZE_MAX, text, BIG);
    check_int(weir_file_slurp(in_dir("s"), &data, BIG - 1, SOON), -EFBIG);
    check(data == NULL);
    check_int(weir_file_slurp(in_dir("none"), &data, BIG, SOON), -ENOENT);
    check_int(weir_file_slurp(dir, &data, BIG, SOON), -EISDIR);
    check(data == NULL);
    /* One that says it has 0 bytes. */
    check(weir_file_slurp("/proc/self/status", &data, BIG, SOON) > 100);
    check(strncmp(data, "Name:", 5) == 0);
    free(data);
    check_int(weir_file_slurp("/proc/self/status", &data, 10, SOON), -EFBIG);
    drop(&file, "s");
}

/* --- many at once --- */

enum { FILES = 1000, WRITERS = 8, LINES = 40, LINE = 16 };

static void one_file(void *arg)
{
    char name[96], data[64], back[64];
    unsigned number = (unsigned)(uintptr_t)arg;
    struct weir_file file;

    snprintf(name, sizeof name, "%s/f%u", dir, number);
    fill(data, sizeof data, number);
    check_int(weir_file_open(&file, name, O_RDWR | O_CREAT | O_EXCL, 0600, SOON), 0);
    check_int(weir_file_write(&file, data, sizeof data, number, SOON), sizeof data);
    check_int(weir_file_read(&file, back, sizeof back, number, SOON), sizeof back);
    check(memcmp(data, back, sizeof data) == 0);
    weir_file_close(&file);
}

static void unlink_one(void *arg)
{
    char name[300];

    snprintf(name, sizeof name, "%s/%s", dir, (char *)arg);
    check_int(weir_path_unlink(name, SOON), 0);
}

static void many_main(void *arg)
{
    struct weir_path_names names;
    struct weir_scope scope;

    (void)arg;
    weir_scope_init(&scope);
    for (unsigned i = 0; i < FILES; i++)
        check_int(weir_spawn(&scope, one_file, (void *)(uintptr_t)i), 0);
    check_int(weir_scope_join(&scope, SOON), 0);
    check_int(weir_path_list(dir, &names, FILES - 1, SOON), -EOVERFLOW);
    check_int(weir_path_list(dir, &names, FILES, SOON), 0);
    check_int((int64_t)names.count, FILES);
    for (size_t i = 1; i < FILES; i++)
        check(strcmp(names.name[i - 1], names.name[i]) < 0);
    weir_scope_init(&scope);
    for (size_t i = 0; i < FILES; i++)
        check_int(weir_spawn(&scope, unlink_one, names.name[i]), 0);
    check_int(weir_scope_join(&scope, SOON), 0);
    weir_path_names_free(&names);
}

struct writer {
    struct weir_file *file;
    int number;
};

static void appends(void *arg)
{
    struct writer *writer = arg;
    char line[LINE + 1];

    for (int i = 0; i < LINES; i++) {
        snprintf(line, sizeof line, "%3d line %6d\n", writer->number, i);
        check_int(weir_file_append(writer->file, line, LINE - 1, SOON), LINE - 1);
    }
}

/* Lines of one writer in their order, none torn. */
static void lines_are_whole(const char *data, size_t len)
{
    int next[WRITERS] = { 0 };

    check_int((int64_t)len, WRITERS * LINES * (LINE - 1));
    for (size_t at = 0; at < len; at += LINE - 1) {
        int number, line;

        check_int(sscanf(data + at, "%3d line %6d\n", &number, &line), 2);
        check(number >= 0 && number < WRITERS);
        check_int(line, next[number]++);
    }
}

static void appenders_main(void *arg)
{
    struct writer writer[WRITERS];
    struct weir_scope scope;
    struct weir_file file;
    int64_t n;
    char *data;

    (void)arg;
    make(&file, "log");
    weir_scope_init(&scope);
    for (int i = 0; i < WRITERS; i++) {
        writer[i] = (struct writer){ &file, i };
        check_int(weir_spawn(&scope, appends, &writer[i]), 0);
    }
    check_int(weir_scope_join(&scope, SOON), 0);
    n = weir_file_slurp(in_dir("log"), &data, BIG, SOON);
    check(n > 0);
    lines_are_whole(data, (size_t)n);
    free(data);
    drop(&file, "log");
}

/* Operations of several shards on one file. */
static struct weir_file common;
static _Atomic unsigned arrived;

static void shared_by_all_main(void *arg)
{
    unsigned id = weir_shard_id(), count = weir_shard_count();
    char out[100], in[100];

    (void)arg;
    if (id == 0)
        make(&common, "shared");
    for (arrived++; arrived < count;)
        check_int(weir_sleep(WEIR_US(100)), 0);
    fill(out, sizeof out, id);
    for (unsigned i = 0; i < 50; i++) {
        uint64_t at = (i * count + id) * sizeof out;

        check_int(weir_file_write(&common, out, sizeof out, at, SOON), sizeof out);
        check_int(weir_file_read(&common, in, sizeof in, at, SOON), sizeof in);
        check(memcmp(in, out, sizeof out) == 0);
    }
    for (arrived++; arrived < 2 * count;)
        check_int(weir_sleep(WEIR_US(100)), 0);
    if (id == 0)
        drop(&common, "shared");
}

/* --- cancelling --- */

/* Each is cancelled at some moment: it happened, or it did not. */
static void cancel_main(void *arg)
{
    struct weir_file_info info;
    struct weir_file_io io;
    struct weir_file file;
    char data[8] = "";
    int64_t n;

    (void)arg;
    for (int i = 0; i < 50; i++) {
        weir_time deadline = weir_after(i % 2 ? 0 : WEIR_US(i * 3));

        n = weir_file_open(&file, in_dir("c"), O_RDWR | O_CREAT | O_EXCL, 0600, deadline);
        check(n == 0 ? file.fd >= 0 : n == -ETIMEDOUT && file.fd == -1);
        if (n < 0) {
            /* By io_uring it may have been made and then not opened, never the other way round. */
            n = weir_file_open(&file, in_dir("c"), O_RDWR | O_CREAT, 0600, SOON);
            check_int(n, 0);
        }
        weir_file_write_start(&io, &file, "12345678", 8, 0);
        weir_future_cancel(&io.future);
        n = weir_await(&io.future, SOON);
        check(n == 8 || n == -ECANCELED);
        check_int(weir_file_stat(&file, &info, SOON), 0);
        check(info.size == 8 || (info.size == 0 && n == -ECANCELED));
        weir_file_read_start(&io, &file, data, 8, 0);
        weir_future_cancel(&io.future);
        n = weir_await(&io.future, SOON);
        check(n == (int64_t)info.size || n == -ECANCELED);
        drop(&file, "c");
    }
}

static void cancelled_reader(void *arg)
{
    char *data;

    for (;;) {
        int64_t n = weir_file_slurp(arg, &data, BIG, WEIR_NEVER);

        if (n < 0) {
            check_int(n, -ECANCELED);
            check(data == NULL);
            return;
        }
        check_int(n, 10);
        free(data);
    }
}

static void cut_main(void *arg)
{
    struct weir_scope scope;
    struct weir_file file;
    char path[96];

    (void)arg;
    make(&file, "cut");
    snprintf(path, sizeof path, "%s/cut", dir);
    check_int(weir_file_write(&file, "0123456789", 10, 0, SOON), 10);
    weir_scope_init(&scope);
    for (int i = 0; i < 20; i++)
        check_int(weir_spawn(&scope, cancelled_reader, path), 0);
    check_int(weir_sleep(WEIR_MS(2)), 0);
    weir_scope_cancel(&scope);
    check_int(weir_scope_join(&scope, SOON), 0);
    drop(&file, "cut");
}

/* --- misuse --- */

static void closed_early_main(void *arg)
{
    struct weir_file_io io;
    struct weir_file file;

    (void)arg;
    make(&file, "m");
    weir_file_sync_start(&io, &file);
    weir_file_close(&file);
}

static void not_open_main(void *arg)
{
    struct weir_file file = { .fd = -1 };

    (void)arg;
    weir_file_sync(&file, SOON);
}

struct wrong {
    void (*shard_main)(void *arg);
};

static void wrong_run(void *arg)
{
    file_stack.run(1, 1, ((struct wrong *)arg)->shard_main);
}

/* --- running them --- */

static unsigned open_fds(void)
{
    DIR *self = opendir("/proc/self/fd");
    unsigned count = 0;

    assert_non_null(self);
    while (readdir(self))
        count++;
    closedir(self);
    return count;
}

static void run_case(void (*shard_main)(void *arg), unsigned shards)
{
    uint64_t one = seed_env("WEIR_SEED", 0);
    uint64_t last = one ? one : file_stack.seeds;

    for (seed_now = one ? one : 1; seed_now <= last; seed_now++) {
        unsigned before = open_fds();

        snprintf(dir, sizeof dir, "/tmp/weir-file-XXXXXX");
        assert_non_null(mkdtemp(dir));
        arrived = 0;
        assert_int_equal(file_stack.run(shards, seed_now, shard_main), 0);
        assert_int_equal(rmdir(dir), 0); /* empty */
        assert_int_equal(open_fds(), before);
    }
}

#define CASE(name, shards)             \
    static void name(void **state)     \
    {                                  \
        (void)state;                   \
        run_case(name##_main, shards); \
    }

CASE(read_write, 1)
CASE(holes, 1)
CASE(append, 1)
CASE(errors, 1)
CASE(paths, 1)
CASE(slurp, 1)
CASE(many, 1)
CASE(appenders, 1)
CASE(shared_by_all, 3)
CASE(cancel, 1)
CASE(cut, 1)

static void misuse(void **state)
{
    struct wrong closed_early = { closed_early_main }, not_open = { not_open_main };

    (void)state;
    snprintf(dir, sizeof dir, "/tmp/weir-file-XXXXXX");
    assert_non_null(mkdtemp(dir));
    assert_panics(wrong_run, &closed_early, "cancel and await them first");
    assert_panics(wrong_run, &not_open, "weir_file_open it first");
    assert_int_equal(unlink(in_dir("m")), 0);
    assert_int_equal(rmdir(dir), 0);
}

#define FILE_CASES                                                                            \
    cmocka_unit_test(read_write), cmocka_unit_test(holes), cmocka_unit_test(append),          \
        cmocka_unit_test(errors), cmocka_unit_test(paths), cmocka_unit_test(slurp),           \
        cmocka_unit_test(many), cmocka_unit_test(appenders), cmocka_unit_test(shared_by_all), \
        cmocka_unit_test(cancel), cmocka_unit_test(cut), cmocka_unit_test(misuse)
