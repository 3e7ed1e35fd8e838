/* test_pcap.c - what stands in a capture file, and devices opened by their text. */
#include "dev_bench.h"
#include <errno.h>

static char path[64];

static int setup(void **state)
{
    int fd;

    (void)state;
    strcpy(path, "/tmp/weir-pcap-XXXXXX");
    fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return unlink(path);
}

static struct weir_dev *dev_open(struct weir_dev_config config)
{
    struct weir_dev *dev;
    char why[160] = "";

    if (weir_dev_open(&dev, &config, why, sizeof why) != 0)
        fail_msg("%s", why);
    return dev;
}

static void refuses(struct weir_dev_config config, int error, const char *line)
{
    struct weir_dev *dev;
    char why[160] = "";

    assert_int_equal(weir_dev_open(&dev, &config, why, sizeof why), error);
    assert_string_equal(why, line);
}

static size_t file_read(uint8_t *data, size_t size)
{
    FILE *file = fopen(path, "rb");
    size_t len;

    assert_non_null(file);
    len = fread(data, 1, size, file);
    fclose(file);
    return len;
}

static uint32_t word(const uint8_t *data, size_t at)
{
    uint32_t value;

    memcpy(&value, data + at, sizeof value);
    return value;
}

/* A frame out, the same one in 5 us later. */
static void loop_once(struct weir_dev *dev)
{
    struct weir_pkt *pkt;
    struct side side;

    side_init(&side, 64);
    side_open(&side, dev, 0);
    side.shard.now = WEIR_SEC(3) + 1234;
    side_send(&side, side_frame(&side, 7, 60));
    side_flush(&side);
    side.shard.now += WEIR_US(5);
    assert_true(side_next(&side) == side.shard.now);
    assert_int_equal(side_rx(&side, &pkt, 1), 1);
    assert_int_equal(side.queue->stats.tx_packets, 1);
    assert_int_equal(side.queue->stats.rx_packets, 1);
    weir_pkt_free(pkt);
    side_close(&side);
}

static void test_the_file_holds_both_directions(void **state)
{
    struct weir_dev *dev =
        dev_open((struct weir_dev_config){ .spec = "loop", .queues = 1, .seed = 1, .pcap = path });
    uint8_t data[1000];

    (void)state;
    loop_once(dev);
    assert_int_equal(file_read(data, sizeof data), 24 + 2 * (16 + 60)); /* at the queue's close */
    weir_dev_close(dev);
    assert_int_equal(word(data, 0), 0xa1b23c4d);
    assert_int_equal(word(data, 4), 2 | 4 << 16);
    assert_int_equal(word(data, 20), 1);
    for (size_t at = 24; at < 24 + 2 * 76; at += 76) {
        assert_int_equal(word(data, at), 3);
        assert_int_equal(word(data, at + 4), at == 24 ? 1234 : 6234);
        assert_int_equal(word(data, at + 8), 60);
        assert_int_equal(word(data, at + 12), 60);
        assert_int_equal(word(data, at + 16 + 14), 7);
        assert_int_equal(data[at + 16 + 59], 7);
    }
}

static void test_pieces_are_written_as_one_frame(void **state)
{
    struct weir_dev *dev =
        dev_open((struct weir_dev_config){ .spec = "loop", .queues = 1, .seed = 1, .pcap = path });
    struct weir_pkt *pkt;
    uint8_t data[1000];
    struct side side;

    (void)state;
    side_init(&side, 64);
    side_open(&side, dev, 0);
    pkt = side_frame(&side, 1, 40);
    pkt->frag = side_frame(&side, 2, 30);
    side_send(&side, pkt); /* which the loop cannot do: dropped behind the capture */
    assert_int_equal(side.queue->stats.tx_dropped, 1);
    side_close(&side);
    weir_dev_close(dev);
    assert_int_equal(file_read(data, sizeof data), 24 + 16 + 70);
    assert_int_equal(word(data, 24 + 8), 70);
    assert_int_equal(data[24 + 16 + 39], 1);
    assert_int_equal(data[24 + 16 + 69], 2);
}

static void test_tcpdump_reads_it(void **state)
{
    struct weir_dev *dev =
        dev_open((struct weir_dev_config){ .spec = "loop", .queues = 1, .seed = 1, .pcap = path });
    char command[128], line[256];
    unsigned lines = 0;
    FILE *said;

    (void)state;
    loop_once(dev);
    weir_dev_close(dev);
    if (system("tcpdump --version >/dev/null 2>&1") != 0) {
        print_message("there is no tcpdump\n");
        skip();
    }
    snprintf(command, sizeof command,
             "tcpdump --time-stamp-precision=nano -e -nn -tt -r %s 2>/dev/null", path);
    said = popen(command, "r");
    assert_non_null(said);
    while (fgets(line, sizeof line, said)) {
        if (line[0] == '\t')
            continue; /* the payload */
        assert_non_null(strstr(line, lines == 0 ? "3.000001234" : "3.000006234"));
        assert_non_null(strstr(line, "0x88b5"));
        assert_non_null(strstr(line, "length 60"));
        lines++;
    }
    assert_int_equal(pclose(said), 0);
    assert_int_equal(lines, 2);
}

static void fill_the_disk(void *arg)
{
    struct weir_dev *dev =
        dev_open((struct weir_dev_config){ .spec = "loop", .queues = 1, .seed = 1, .pcap = path });
    struct rlimit none = { 24, 24 };
    struct side side;

    (void)arg;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &none);
    side_init(&side, 2048);
    side_open(&side, dev, 0);
    for (uint32_t i = 0; i < 100; i++) {
        side_send(&side, side_frame(&side, i, 1000));
        side_flush(&side);
    }
    if (side_drain(&side) != 100)
        weir_panic("packets were lost");
    side_close(&side);
    weir_dev_close(dev);
}

static void test_a_full_disk_stops_no_packets(void **state)
{
    char said[1000];

    (void)state;
    assert_int_equal(child_run(fill_the_disk, NULL, said, sizeof said), 0);
    assert_string_equal(said, "weir: pcap: cannot write (File too large): the file ends here\n");
}

/* --- by text --- */

static void test_the_loop_by_its_name(void **state)
{
    struct weir_dev *dev =
        dev_open((struct weir_dev_config){ .spec = "loop", .queues = 3, .mtu = 1400 });

    (void)state;
    assert_string_equal(dev->name, "loop");
    assert_int_equal(dev->queues, 3);
    assert_int_equal(dev->mtu, 1400);
    assert_true(dev->caps & WEIR_DEV_LOOP);
    weir_dev_close(dev);
}

static void test_faults_stand_behind_the_capture(void **state)
{
    struct weir_dev *dev = dev_open((struct weir_dev_config){
        .spec = "loop", .queues = 1, .seed = 1, .pcap = path, .impair = "loss=100%" });
    uint8_t data[1000];
    struct side side;

    (void)state;
    assert_string_equal(dev->name, "loop, impaired");
    side_init(&side, 64);
    side_open(&side, dev, 0);
    side_send(&side, side_frame(&side, 7, 60));
    side_flush(&side);
    assert_int_equal(side_drain(&side), 0);
    side_close(&side);
    weir_dev_close(dev);
    assert_int_equal(file_read(data, sizeof data), 24 + 76);
}

static void test_refusals_say_what_there_is(void **state)
{
    (void)state;
    refuses((struct weir_dev_config){ .spec = "eth0", .queues = 1 }, -EINVAL,
            "dev 'eth0' is none of loop, tap, tap:NAME, dpdk:EAL-ARGUMENTS");
    refuses((struct weir_dev_config){ .spec = "", .queues = 1 }, -EINVAL,
            "dev '' is none of loop, tap, tap:NAME, dpdk:EAL-ARGUMENTS");
    refuses((struct weir_dev_config){ .spec = "loo", .queues = 1 }, -EINVAL,
            "dev 'loo' is none of loop, tap, tap:NAME, dpdk:EAL-ARGUMENTS");
    refuses((struct weir_dev_config){ .spec = "loop:x", .queues = 1 }, -EINVAL,
            "dev loop takes no arguments, not 'x'");
    refuses((struct weir_dev_config){ .spec = "loop", .queues = 1, .mtu = 9000 }, -EINVAL,
            "dev loop: an MTU of 9000 with 1 queues cannot be had; try 1500");
    refuses((struct weir_dev_config){ .spec = "loop", .queues = 1, .impair = "loss=x" }, -EINVAL,
            "impair: loss=x: loss is a percentage such as 1% or 0.05%");
    refuses((struct weir_dev_config){ .spec = "loop", .queues = 1, .pcap = "/nowhere/x" }, -ENOENT,
            "pcap: cannot write /nowhere/x: No such file or directory");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_file_holds_both_directions),
        cmocka_unit_test(test_pieces_are_written_as_one_frame),
        cmocka_unit_test(test_tcpdump_reads_it),
        cmocka_unit_test(test_a_full_disk_stops_no_packets),
        cmocka_unit_test(test_the_loop_by_its_name),
        cmocka_unit_test(test_faults_stand_behind_the_capture),
        cmocka_unit_test(test_refusals_say_what_there_is),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
