/* net.c - the driver of a simulated shard: what is due on the wire, and sleeping without a thread.
 *
 * poll() never blocks.  With nothing due it notes until when the shard sleeps; the pump (run.c)
 * leaves the shard alone until then, or until an event of it is due or it is woken.  A wake-up that
 * another shard forgets is therefore lost here as surely as on a real thread.  Other shards may
 * have turns of theirs within poll(), so that messages cross and sleepers are woken as they lie
 * down.
 *
 * Invariant: `events` is sorted by time, and equal times keep the order in which they were armed.
 */
#include <errno.h>
#include <stdlib.h>
#include "net/sim/net.h"

enum { EVENTS_PER_POLL = 64 };

void weir_sim_net_init(struct weir_sim_net *net, const struct weir_sim_config *config)
{
    *net = (struct weir_sim_net){
        .config = *config,
        .now = WEIR_SEC(1), /* zero means "never was" to much of the code */
        .random = config->seed,
        .port = 32767,
    };
    weir_list_init(&net->listeners);
    weir_list_init(&net->udps);
}

/* splitmix64 by Sebastiano Vigna (prng.di.unimi.it), public domain. */
uint64_t weir_sim_random(struct weir_sim_net *net, uint64_t bound)
{
    uint64_t z = net->random += UINT64_C(0x9e3779b97f4a7c15);

    weir_assert(bound > 0);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (z ^ (z >> 31)) % bound;
}

bool weir_sim_chance(struct weir_sim_net *net, uint32_t of_1024)
{
    return of_1024 > 0 && weir_sim_random(net, 1024) < of_1024;
}

weir_time weir_sim_soon(struct weir_sim_net *net)
{
    return net->now + (weir_time)weir_sim_random(net, (uint64_t)net->config.delay_max + 1);
}

void weir_sim_event_init(struct weir_sim_event *event, void (*fire)(struct weir_sim_event *))
{
    weir_list_init(&event->link);
    event->fire = fire;
}

bool weir_sim_event_armed(const struct weir_sim_event *event)
{
    return !weir_list_empty(&event->link);
}

void weir_sim_event_clear(struct weir_sim_event *event)
{
    weir_list_del(&event->link);
}

void weir_sim_event_set(struct weir_sim_driver *driver, struct weir_sim_event *event,
                        weir_time when)
{
    struct weir_link *at = &driver->events;

    weir_list_del(&event->link);
    event->when = when;
    while (at->prev != &driver->events &&
           weir_container_of(at->prev, struct weir_sim_event, link)->when > when)
        at = at->prev;
    weir_list_push(at, &event->link); /* before `at` */
}

static struct weir_sim_event *sim_first(const struct weir_sim_driver *driver)
{
    return weir_list_empty(&driver->events)
               ? NULL
               : weir_container_of(driver->events.next, struct weir_sim_event, link);
}

static bool sim_due(const struct weir_sim_driver *driver)
{
    struct weir_sim_event *first = sim_first(driver);

    return first != NULL && first->when <= driver->net->now;
}

weir_time weir_sim_driver_next(const struct weir_sim_driver *driver)
{
    struct weir_sim_event *first = sim_first(driver);
    bool asleep = driver->sleeping && !driver->woken;
    weir_time next = asleep ? driver->until : driver->net->now;

    return first != NULL && first->when < next ? first->when : next;
}

static bool sim_poll(struct weir_driver *driver, weir_time until)
{
    struct weir_sim_driver *sim = weir_container_of(driver, struct weir_sim_driver, driver);
    unsigned fired = 0;

    if (sim->net->interleave != NULL && weir_sim_random(sim->net, 2) == 0)
        sim->net->interleave(sim->net);
    while (fired < EVENTS_PER_POLL && sim_due(sim)) {
        struct weir_sim_event *event = sim_first(sim);

        weir_sim_event_clear(event);
        event->fire(event);
        fired++;
    }
    sim->sleeping = fired == 0 && !sim->woken && until > sim->net->now;
    sim->until = until;
    sim->woken = false;
    return fired > 0;
}

static void sim_assert_none(const struct weir_sim_driver *sim, uint64_t left, const char *what)
{
    if (left > 0)
        weir_panic("seed %llu: shard %u ended with %llu %s open; close them before shard_main and "
                   "its fibers return",
                   (unsigned long long)sim->net->config.seed, sim->driver.shard->id,
                   (unsigned long long)left, what);
}

/* What is still armed belongs to connections that this side has closed: it settles them. */
static void sim_close(struct weir_driver *driver)
{
    struct weir_sim_driver *sim = weir_container_of(driver, struct weir_sim_driver, driver);

    sim_assert_none(sim, driver->shard->stats.conns, "connections");
    sim_assert_none(sim, sim->listeners, "listeners");
    sim_assert_none(sim, sim->udps, "datagram sockets");
    while (sim_first(sim) != NULL) {
        struct weir_sim_event *event = sim_first(sim);

        weir_sim_event_clear(event);
        event->fire(event);
    }
    sim_assert_none(sim, driver->shard->stats.bufs, "buffers");
    driver->shard->net = NULL;
    free(sim);
}

static const struct weir_driver_ops sim_driver_ops = {
    .name = "sim",
    .poll = sim_poll,
    .close = sim_close,
};

static const struct weir_stack_ops sim_stack_ops = {
    .name = "sim",
    .listen = weir_sim_listen,
    .listener_addr = weir_sim_listener_addr,
    .listener_close = weir_sim_listener_close,
    .accept = weir_sim_accept,
    .connect = weir_sim_connect,
    .recv = weir_sim_recv,
    .send = weir_sim_send,
    .shutdown = weir_sim_shutdown,
    .close = weir_sim_close,
    .local_addr = weir_sim_local_addr,
    .peer_addr = weir_sim_peer_addr,
    .nodelay = weir_sim_nodelay,
    .buf_alloc = weir_sim_buf_alloc,
};

int weir_sim_net_open(struct weir_driver **driver, struct weir_shard *shard,
                      struct weir_sim_net *net)
{
    struct weir_sim_driver *sim = calloc(1, sizeof *sim);

    if (sim == NULL)
        return -ENOMEM;
    sim->driver = (struct weir_driver){ .ops = &sim_driver_ops, .shard = shard };
    sim->stack =
        (struct weir_stack){ .ops = &sim_stack_ops, .udp = &weir_sim_udp_ops, .shard = shard };
    sim->net = net;
    weir_list_init(&sim->events);
    shard->net = &sim->stack;
    *driver = &sim->driver;
    return 0;
}
