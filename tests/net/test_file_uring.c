/* test_file_uring.c - files by io_uring; and that what waits in the kernel can be withdrawn. */
#include "tests/net/file_suite.c"
#include <linux/io_uring.h>
#include <sys/syscall.h>

static const char *uring_missing(void)
{
    struct io_uring_params params = { 0 };
    int fd = (int)syscall(__NR_io_uring_setup, 4, &params);

    if (fd < 0)
        return strerror(errno);
    close(fd);
    return NULL;
}

static int uring_run(unsigned shards, uint64_t seed, void (*shard_main)(void *arg))
{
    struct weir_config config;

    weir_config_init(&config);
    config.shards = shards;
    config.stack = WEIR_STACK_URING;
    config.signals = false;
    config.quiet = true;
    config.seed = seed;
    return weir_run(&config, shard_main, NULL);
}

const struct file_stack file_stack = {
    .name = "io_uring",
    .seeds = 1,
    .missing = uring_missing,
    .run = uring_run,
};

/* Nothing ever comes out of this FIFO until somebody writes: the read is under way for as long. */
static void fifo_main(void *arg)
{
    struct weir_blocking_stats stats;
    struct weir_file fifo;
    struct weir_file_io io;
    char data[8];

    (void)arg;
    check_int(mkfifo(in_dir("fifo"), 0600), 0);
    check_int(weir_file_open(&fifo, in_dir("fifo"), O_RDWR, 0, SOON), 0);
    check_int(weir_file_read(&fifo, data, 8, 0, weir_after(WEIR_MS(5))), -ETIMEDOUT);
    weir_file_read_start(&io, &fifo, data, 8, 0);
    check_int(weir_sleep(WEIR_MS(1)), 0); /* the shard goes on */
    check(!io.future.done);
    check_int(write(fifo.fd, "1234", 4), 4);
    check_int(weir_await(&io.future, weir_after(WEIR_MS(5))), 4); /* it keeps what it has */
    check(memcmp(data, "1234", 4) == 0);
    weir_blocking_stats(&stats);
    check_int((int64_t)stats.done, 0); /* all that without the pool */
    drop(&fifo, "fifo");
}

CASE(fifo, 1)

/* The native stack has files by the ring beneath it. */
static void native_main(void *arg)
{
    struct weir_blocking_stats stats;
    struct weir_file file;

    (void)arg;
    make(&file, "n");
    check_int(weir_file_append(&file, "native", 6, SOON), 6);
    check_int(weir_file_sync(&file, SOON), 0);
    weir_blocking_stats(&stats);
    check_int((int64_t)stats.done, 0);
    drop(&file, "n");
}

static void beneath_the_native_stack(void **state)
{
    struct weir_config config;

    (void)state;
    weir_config_init(&config);
    config.shards = 1;
    config.stack = WEIR_STACK_NATIVE;
    config.signals = false;
    config.quiet = true;
    snprintf(dir, sizeof dir, "/tmp/weir-file-XXXXXX");
    assert_non_null(mkdtemp(dir));
    assert_int_equal(weir_run(&config, native_main, NULL), 0);
    assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { FILE_CASES, cmocka_unit_test(fifo),
                                        cmocka_unit_test(beneath_the_native_stack) };

    if (file_stack.missing()) {
        fprintf(stderr, "no io_uring here: %s\n", file_stack.missing());
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
