/* test_file_epoll.c - files under epoll, by the blocking pool: its bounds hold, and what waits in
 * its queue is withdrawn.  The same without any stack. */
#include "tests/net/file_suite.c"

static int pool_run(unsigned shards, void (*shard_main)(void *arg), uint32_t threads,
                    uint32_t queue, bool io)
{
    struct weir_config config;

    weir_config_init(&config);
    config.shards = shards;
    config.stack = WEIR_STACK_EPOLL;
    config.signals = false;
    config.quiet = true;
    config.io = io;
    config.blocking_threads = threads;
    config.blocking_queue = queue;
    return weir_run(&config, shard_main, NULL);
}

static int epoll_run(unsigned shards, uint64_t seed, void (*shard_main)(void *arg))
{
    (void)seed;
    return pool_run(shards, shard_main, 16, 65536, true);
}

const struct file_stack file_stack = { .name = "epoll", .seeds = 1, .run = epoll_run };

/* --- behind a pool that is blocked --- */

static int gate[2];

static int64_t gate_wait(void *arg)
{
    char byte;

    (void)arg;
    return read(gate[0], &byte, 1);
}

static void blocked_main(void *arg)
{
    struct weir_blocking_job job;
    struct weir_file_info info;
    struct weir_file_io io, full;
    struct weir_file file;
    char data[4];

    (void)arg;
    make(&file, "b");
    check_int(pipe(gate), 0);
    weir_blocking_start(&job, gate_wait, NULL);
    check_int(weir_file_write(&file, "abc", 3, 0, weir_after(WEIR_MS(2))), -ETIMEDOUT);
    check_int(weir_path_stat(in_dir("b"), &info, weir_after(WEIR_MS(2))), -ETIMEDOUT);
    weir_file_write_start(&io, &file, "defg", 4, 0); /* the one that may wait */
    weir_file_read_start(&full, &file, data, 4, 0);
    check_int(weir_await(&full.future, SOON), -EAGAIN);
    check_int(write(gate[1], "g", 1), 1);
    check_int(weir_await(&io.future, SOON), 4);
    check_int(weir_await(&job.future, SOON), 1);
    check_int(weir_file_read(&file, data, 4, 0, SOON), 4);
    check(memcmp(data, "defg", 4) == 0); /* what was withdrawn was not written */
    close(gate[0]);
    close(gate[1]);
    drop(&file, "b");
}

static void behind_a_blocked_pool(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/weir-file-XXXXXX");
    assert_non_null(mkdtemp(dir));
    assert_int_equal(pool_run(1, blocked_main, 1, 1, true), 0);
    assert_int_equal(rmdir(dir), 0);
}

static void without_sockets(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/weir-file-XXXXXX");
    assert_non_null(mkdtemp(dir));
    assert_int_equal(pool_run(1, read_write_main, 4, 100, false), 0);
    assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FILE_CASES,
        cmocka_unit_test(behind_a_blocked_pool),
        cmocka_unit_test(without_sockets),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
