/* test_stack_native_sim.c - the stack suite on TCP/IP of our own in the simulation: on a clean
 * wire, and on ones that lose, delay, repeat, reorder and damage packets; one time in three packets
 * come in on any shard and have to be forwarded. */
#define SUITE_PATIENCE WEIR_SEC(900)
#include "tests/net/stack_suite.c"

/* By seed; each of the faults alone and together.  The first four lose nothing.  Damage in one
 * direction only: twice in one column of bits, no checksum of the Internet sees it. */
static const char *const wires[] = {
    NULL,
    "delay=200us,jitter=200us",
    "duplicate=2%,reorder=2%,delay=50us",
    "rate=1gbit,delay=100us",
    "loss=1%",
    "corrupt=1%,dir=tx",
    "loss=1%,duplicate=1%,reorder=1%,corrupt=1%,delay=100us,jitter=300us,dir=tx",
    "loss=5%,delay=500us,jitter=500us",
    "rate=200mbit,queue=256k,delay=100us",
};

enum { LOSSLESS = 4 };

static int native_sim_run(const struct suite_need *need, uint64_t seed,
                          void (*shard_main)(void *arg), void *arg)
{
    struct weir_sim_config config;

    unsigned wire = (unsigned)(seed % (need->lossless ? LOSSLESS : WEIR_COUNT(wires)));

    weir_sim_config_init(&config);
    config.seed = seed;
    config.shards = need->shards ? need->shards : 1;
    config.fibers_max = 4096;
    config.native = true;
    config.misdirect = !need->lossless && seed % 3 == 0; /* forwarding may drop */
    config.impair = getenv("WEIR_IMPAIR") ? getenv("WEIR_IMPAIR") : wires[wire];
    config.pcap = getenv("WEIR_PCAP");
    return weir_sim_run(&config, shard_main, arg);
}

const struct stack_under_test stack_under_test = {
    .name = "native in the simulation",
    .native = true,
    .bulk = 200000,
    .too_much = 16 << 20,
    .run = native_sim_run,
};

int main(void)
{
    return suite_run(NULL, 0);
}
