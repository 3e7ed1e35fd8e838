/* test_udp_sim.c - the datagram suite in the simulation; and loss, doubling and the window, which
 * only it has. */
#include "tests/net/udp_suite.c"

static void sim_config(struct weir_sim_config *config, unsigned shards, uint64_t seed)
{
    weir_sim_config_init(config);
    config->seed = seed;
    config->shards = shards ? shards : 1;
    config->short_reads = seed % 2 ? 200 : 0;
    config->delay_max = seed % 4 ? WEIR_US(300) : WEIR_MS(1);
    config->window = 200000;
}

static int sim_run(const struct suite_need *need, uint64_t seed, void (*shard_main)(void *arg),
                   void *arg)
{
    struct weir_sim_config config;

    sim_config(&config, need->shards, seed);
    return weir_sim_run(&config, shard_main, arg);
}

const struct udp_under_test udp_under_test = {
    .name = "udp sim",
    .largest = 65507,
    .run = sim_run,
};

/* --- faults --- */

enum { SENT = 300 };

struct fate {
    int64_t got, doubled, overtaken;
};

static struct fate fate;

/* Counts what comes in; the last one received is remembered for the order. */
static void fates_recv(struct weir_udp *udp)
{
    bool seen[SENT] = { false };
    uint16_t which, last = 0;

    fate = (struct fate){ 0 };
    while (weir_recv_from(udp, &which, sizeof which, NULL, weir_after(WEIR_MS(50))) ==
           sizeof which) {
        check(which < SENT);
        fate.got++;
        fate.doubled += seen[which];
        fate.overtaken += which < last;
        seen[which] = true;
        last = which;
    }
}

static void fates_main(void *arg)
{
    struct udp_two two;

    (void)arg;
    udp_two_open(&two);
    for (uint16_t i = 0; i < SENT; i++)
        check_int(weir_send_to(two.a, &i, sizeof i, &two.at_b, SOON), sizeof i);
    fates_recv(two.b);
    udp_two_close(&two);
}

static void fates(uint64_t seed, uint32_t drops, uint32_t duplicates)
{
    struct weir_sim_config config;

    sim_config(&config, 1, seed);
    config.drops = drops;
    config.duplicates = duplicates;
    check_int(weir_sim_run(&config, fates_main, NULL), 0);
}

static void faults_seed(uint64_t seed)
{
    fates(seed, 0, 0);
    check_int(fate.got, SENT);
    check(fate.doubled == 0 && fate.overtaken > 0);
    fates(seed, 1024, 0);
    check_int(fate.got, 0);
    fates(seed, 0, 1024);
    check(fate.got == 2 * SENT && fate.doubled == SENT);
    fates(seed, 300, 300);
    check(fate.got > 0 && fate.doubled > 0 && fate.got - fate.doubled < SENT);
}

static void faults_are_those_asked_for(void **state)
{
    (void)state;
    seeds_each(20, faults_seed);
}

/* --- a sender waits for the window --- */

enum { WINDOW = 4000, PARCEL = 1000 - 8 - (int)sizeof(struct sockaddr_un) };

static void window_main(void *arg)
{
    static struct weir_datagram many[40];
    static uint8_t data[PARCEL + 1];
    struct weir_udp_io tx;
    struct udp_two two;

    (void)arg;
    udp_two_open(&two);
    check_int(weir_udp_connect(two.a, &two.at_b), 0);
    for (size_t i = 0; i < WEIR_COUNT(many); i++)
        many[i] = (struct weir_datagram){ .data = data, .len = PARCEL };
    weir_udp_send_start(&tx, two.a, many, 5);
    check(!tx.future.done);
    check_int((int64_t)tx.moved, WINDOW / 1000); /* exactly */
    check_int(weir_send_to(two.a, "x", 1, NULL, SOON), -EBUSY);
    check_int(weir_await(&tx.future, SOON), 5);
    weir_udp_send_start(&tx, two.a, many, WEIR_COUNT(many));
    check_int(weir_await(&tx.future, 0), -ETIMEDOUT);
    check(tx.moved < WEIR_COUNT(many));
    weir_udp_send_start(&tx, two.a, many, WEIR_COUNT(many));
    check_int(weir_await(&tx.future, SOON), WEIR_COUNT(many));
    check_int(weir_sleep(WEIR_MS(10)), 0);
    many[3].len++; /* one byte more than the window */
    weir_udp_send_start(&tx, two.a, many, 4);
    check_int((int64_t)tx.moved, WINDOW / 1000 - 1);
    weir_udp_close(two.a);
    check_int(weir_await(&tx.future, SOON), -ECANCELED);
    weir_udp_close(two.b);
}

static void window_seed(uint64_t seed)
{
    struct weir_sim_config config;

    sim_config(&config, 1, seed);
    config.window = WINDOW;
    check_int(weir_sim_run(&config, window_main, NULL), 0);
}

static void a_sender_waits_for_the_window(void **state)
{
    (void)state;
    seeds_each(20, window_seed);
}

/* --- the bound of the queue, exactly --- */

static void bound_main(void *arg)
{
    struct weir_udp_config config;
    struct udp_two two;

    (void)arg;
    weir_udp_config_init(&config);
    config.queue_max = 3 * (8 + sizeof(struct sockaddr_in) + 8);
    udp_two_open(&two);
    weir_udp_close(two.b);
    check_int(weir_udp_open(&two.b, "127.0.0.1:0", &config), 0);
    two.at_b = udp_addr(two.b);
    for (int i = 0; i < 3; i++)
        udp_say(&two, "eightlen");
    check_int(weir_sleep(WEIR_MS(10)), 0);
    check_int((int64_t)weir_udp_dropped(two.b), 0);
    check_int(weir_send_to(two.a, NULL, 0, &two.at_b, SOON), 0);
    check_int(weir_sleep(WEIR_MS(10)), 0);
    check_int((int64_t)weir_udp_dropped(two.b), 1);
    for (int i = 0; i < 3; i++)
        udp_hear(two.b, "eightlen");
    udp_hear_nothing(two.b);
    udp_two_close(&two);
}

static void bound_seed(uint64_t seed)
{
    const struct suite_need need = { .shards = 1 };

    check_int(sim_run(&need, seed, bound_main, NULL), 0);
}

static void the_queue_bound_is_exact(void **state)
{
    (void)state;
    seeds_each(20, bound_seed);
}

int main(void)
{
    const struct CMUnitTest own[] = {
        cmocka_unit_test(faults_are_those_asked_for),
        cmocka_unit_test(a_sender_waits_for_the_window),
        cmocka_unit_test(the_queue_bound_is_exact),
    };

    return udp_suite_run(own, WEIR_COUNT(own));
}
