/* test_udp_native.c - the datagram suite on our own TCP/IP, over its loopback: in the simulation,
 * with seeds, and once more with real threads. */
#include "tests/net/udp_suite.c"

static int native_run(const struct suite_need *need, uint64_t seed, void (*shard_main)(void *arg),
                      void *arg)
{
    struct weir_sim_config config;

    weir_sim_config_init(&config);
    config.seed = seed;
    config.shards = need->shards ? need->shards : 1;
    config.native = true;
    return weir_sim_run(&config, shard_main, arg);
}

const struct udp_under_test udp_under_test = {
    .name = "udp native",
    .largest = 1500 - 28,
    .run = native_run,
};

/* --- with threads --- */

static void on_threads(const struct suite_case *cases, size_t count)
{
    struct weir_config config;

    weir_config_init(&config);
    config.stack = WEIR_STACK_NATIVE;
    config.signals = false;
    config.quiet = true;
    for (size_t i = 0; i < count; i++) {
        if (cases[i].need.kernel)
            continue;
        udp_case = &cases[i];
        config.shards = udp_case->need.shards ? udp_case->need.shards : 1;
        atomic_store(&udp_ready, 0);
        check_int(weir_run(&config, udp_suite_main, NULL), 0);
    }
}

static void all_of_it_on_threads(void **state)
{
    (void)state;
    on_threads(udp_suite_data, WEIR_COUNT(udp_suite_data));
    on_threads(udp_suite_end, WEIR_COUNT(udp_suite_end));
    on_threads(udp_suite_shards, WEIR_COUNT(udp_suite_shards));
}

/* --- the kernel's sockets stand beside --- */

/* arg: with Unix-domain ones, which the simulation has not. */
static void beside_main(void *arg)
{
    struct udp_two two;
    char path[WEIR_ADDR_TEXT];
    struct weir_udp *un;

    echo_between("kernel:127.0.0.1:0", "kernel:*:0");
    two.a = udp_open("127.0.0.1:0");
    two.b = udp_open("kernel:127.0.0.1:0");
    two.at_b = udp_addr(two.b);
    udp_say(&two, "to nobody"); /* another host, so to speak */
    udp_hear_nothing(two.b);
    udp_two_close(&two);
    if (arg) {
        struct weir_addr at = unix_addr(path, "@weir-udp-beside");

        un = udp_open(path);
        check_int(weir_send_to(un, "me", 2, &at, SOON), 2);
        udp_hear(un, "me");
        weir_udp_close(un);
    }
}

static void kernel_sockets_stand_beside(void **state)
{
    const struct suite_need need = { .shards = 1 };
    struct weir_config config;

    weir_config_init(&config);
    config.stack = WEIR_STACK_NATIVE;
    config.shards = 1;
    config.signals = false;
    config.quiet = true;
    check_int(weir_run(&config, beside_main, state), 0);
    check_int(native_run(&need, 1, beside_main, NULL), 0);
}

/* --- a wire that loses, doubles and spoils --- */

enum { SENT = 300 };

static int64_t heard_on_a_bad_wire, doubled_on_a_bad_wire;

static void bad_wire_main(void *arg)
{
    bool seen[SENT] = { false };
    struct udp_two two;
    uint8_t data[200];
    uint16_t which;

    (void)arg;
    udp_two_open(&two);
    for (which = 0; which < SENT; which++) {
        stream_fill(data, sizeof data, which, 3);
        memcpy(data, &which, sizeof which);
        check_int(weir_send_to(two.a, data, sizeof data, &two.at_b, SOON), sizeof data);
        if (which % 20 == 0)
            check_int(weir_sleep(WEIR_MS(1)), 0);
    }
    while (weir_recv_from(two.b, data, sizeof data, NULL, weir_after(WEIR_MS(100))) ==
           sizeof data) {
        memcpy(&which, data, sizeof which);
        check(which < SENT);
        stream_check(data + 2, sizeof data - 2, which + 2u, 3); /* what is spoiled is dropped */
        heard_on_a_bad_wire++;
        doubled_on_a_bad_wire += seen[which];
        seen[which] = true;
    }
    udp_two_close(&two);
}

static void bad_wire_seed(uint64_t seed)
{
    struct weir_sim_config config;

    weir_sim_config_init(&config);
    config.seed = seed;
    config.shards = 1;
    config.native = true;
    /* One way only: two bits spoiled in the same column may leave the checksum right. */
    config.impair = "loss=5%,duplicate=5%,corrupt=5%,reorder=5%,delay=2ms,jitter=1ms,dir=tx";
    heard_on_a_bad_wire = doubled_on_a_bad_wire = 0;
    check_int(weir_sim_run(&config, bad_wire_main, NULL), 0);
    check(heard_on_a_bad_wire > SENT / 2 && heard_on_a_bad_wire - doubled_on_a_bad_wire < SENT);
    check(doubled_on_a_bad_wire > 0);
}

static void a_bad_wire_is_seen_through(void **state)
{
    (void)state;
    seeds_each(10, bad_wire_seed);
}

int main(void)
{
    const struct CMUnitTest own[] = {
        cmocka_unit_test(all_of_it_on_threads),
        cmocka_unit_test(kernel_sockets_stand_beside),
        cmocka_unit_test(a_bad_wire_is_seen_through),
    };

    return udp_suite_run(own, WEIR_COUNT(own));
}
