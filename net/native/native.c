/* native.c - the driver of a shard that has a TCP/IP stack of its own: what happens in a turn, and
 * the stack's beginning and end.
 *
 * A turn of the stack: what connections have to say goes out; packets are taken from each device in
 * bursts and go through all layers; what that has given connections to say goes out.  Only when
 * there was nothing of this the shard sleeps, and it does so in the driver below (kernel sockets,
 * or the simulation), which also watches the descriptors of devices that have one.  A stack that
 * has work does not look below at each turn, for that may be a system call.
 *
 * A device without a descriptor of which nobody tells when packets arrive (DPDK) has to be asked.
 * For a while after the last packet the shard goes on asking without a pause, then it sleeps 50 us
 * between two looks: that is what a wake-up costs anyway, and leaves a few percent of the CPU.
 *
 * The end: connections outlive their users, who have closed them when the last fiber ends, until
 * the peer has acknowledged all there was to send and the FIN; a kernel would go on with that by
 * itself.  While there are such, the shard holds the runtime open, for a second at most; those that
 * are not done by then are reset.  What the peer has acknowledged needs us no more: connections in
 * FIN-WAIT-2 and TIME-WAIT go without a word.
 *
 * Invariant: when poll() sleeps, nothing is in `later` and no device has given a packet since
 * shard->asleep was set: whoever sends one after that wakes us. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "net/native/glue.h"
#include "net/native/ip.h"

enum {
    NATIVE_BURSTS = 8,       /* of one device, per turn */
    NATIVE_BELOW_TURNS = 64, /* without a look below, at most; or: */
    NATIVE_CLOSING = 4096,   /* connections whose users have closed them, beyond conns_max */
};

#define NATIVE_BELOW_SPAN WEIR_US(50)
#define NATIVE_ASK_ON WEIR_US(200) /* without a pause, after the last packet */
#define NATIVE_ASK_REST WEIR_US(50)
#define NATIVE_STARVED WEIR_MS(1) /* until sends look again for packets, at most */
#define NATIVE_LINGER WEIR_SEC(1)
#define NATIVE_SAY WEIR_SEC(1)

static struct weir_native *native_of(struct weir_driver *driver)
{
    return weir_container_of(driver, struct weir_native, driver);
}

void weir_native_say(struct weir_native *native, const char *format, ...)
{
    weir_time now = weir_native_now(native);
    char text[200];
    va_list args;

    if (native->said && now - native->said < NATIVE_SAY)
        return;
    native->said = now;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    weir_log("%s", text);
}

/* --- packets out and in --- */

static void native_flush(struct weir_iface *iface)
{
    struct weir_dev_queue *queue = iface->queue;

    weir_iface_flush(iface);
    if (!iface->tx_open)
        return;
    iface->tx_open = false;
    queue->dev->ops->tx_flush(queue);
}

static bool native_output(struct weir_native *native)
{
    bool worked = native->output && weir_tcp_output_all(native);

    weir_steer_flush(native);
    for (unsigned i = 0; i < native->ifaces; i++)
        native_flush(&native->iface[i]);
    return worked;
}

/* A shard that was about to sleep has something to do: nobody needs to wake it.  Others read the
 * word after each of their sends: it is written only when that changes something. */
static void native_stay_awake(struct weir_shard *shard)
{
    if (atomic_load_explicit(&shard->asleep, memory_order_relaxed))
        atomic_store_explicit(&shard->asleep, false, memory_order_relaxed);
}

static bool native_input(struct weir_native *native, struct weir_iface *iface)
{
    const struct weir_dev_ops *ops = iface->queue->dev->ops;
    struct weir_pkt *pkts[WEIR_DEV_BURST];
    unsigned count = WEIR_DEV_BURST, bursts = 0;

    while (count == WEIR_DEV_BURST && bursts < NATIVE_BURSTS) {
        count = ops->rx(iface->queue, pkts, WEIR_DEV_BURST);
        if (count == 0)
            break;
        native_stay_awake(native->shard);
        weir_ether_input(iface, pkts, count);
        native_output(native);
        bursts++;
    }
    return bursts > 0;
}

/* Whether there was anything to do. */
static bool native_pump(struct weir_native *native)
{
    bool worked = native_output(native), arrived = false;

    if (native->acks_count > 0)
        weir_tcp_acks_arm(native);
    for (unsigned i = 0; i < native->ifaces; i++)
        arrived |= native_input(native, &native->iface[i]);
    if (arrived)
        native->rx_at = weir_native_now(native);
    return worked || arrived;
}

/* --- operations that end out of their caller's frame --- */

static bool native_end_later(struct weir_native *native)
{
    struct weir_link ending, *link;

    if (weir_unlikely(!weir_list_empty(&native->resting)))
        weir_native_listeners_bury(native);
    if (weir_likely(weir_list_empty(&native->later)))
        return false;
    weir_list_init(&ending);
    weir_list_move_all(&ending, &native->later);
    while ((link = weir_list_pop(&ending)) != NULL) {
        struct weir_io *io = weir_container_of(link, struct weir_io, link);

        weir_future_set(&io->future, (int64_t)io->stack[0]);
    }
    return true;
}

static bool native_look(struct weir_native *native)
{
    bool nudge = native->nudge;

    if (weir_likely(!nudge && native->stopping == 0))
        return false;
    native->nudge = false;
    weir_native_listeners_look(native);
    return nudge;
}

/* --- the end of connections whose users are gone --- */

static bool tcp_is_settled(const struct weir_tcp *tcp)
{
    switch ((enum weir_tcp_state)tcp->state) {
    case WEIR_TCP_FIN_WAIT_1:
    case WEIR_TCP_CLOSING:
    case WEIR_TCP_LAST_ACK:
        return false;
    case WEIR_TCP_ESTABLISHED:
    case WEIR_TCP_CLOSE_WAIT:
        return tcp->flags & WEIR_TCP_USER; /* else its FIN stands behind what is to be sent */
    default:
        return true;
    }
}

static bool native_is_settled(const struct weir_native *native)
{
    const struct weir_flows *flows = &native->flows;

    if (native->conns.live == 0)
        return true;
    for (size_t i = 0; i < weir_flows_places(flows); i++) {
        struct weir_flow *flow = weir_flows_at(flows, i);

        if (flow && flow->kind == WEIR_FLOW_TCP &&
            !tcp_is_settled(weir_container_of(flow, struct weir_tcp, flow)))
            return false;
    }
    return true;
}

/* How long the shard stays for its connections when its fibers are over.  Whether that has changed
 * something: then it must not sleep. */
static bool native_linger(struct weir_native *native, bool worked)
{
    struct weir_shard *shard = native->shard;
    bool first = native->linger_until == 0;

    if (shard->stats.fibers > 0) {
        native->linger_until = 0;
        return false;
    }
    if (first)
        native->linger_until = weir_after(NATIVE_LINGER);
    if (weir_native_now(native) < native->linger_until &&
        !((first || worked) && native_is_settled(native)))
        return first;
    shard->holds = 0;
    native->linger_until = 0;
    return true;
}

static void native_count_user(struct weir_native *native)
{
    struct weir_shard *shard = native->shard;
    bool user = shard->stats.fibers > 0 || shard->holds > 0;

    if (weir_likely(user == native->counted_user))
        return;
    native->counted_user = user;
    if (user)
        atomic_fetch_add(&native->shared->users, 1);
    else
        atomic_fetch_sub(&native->shared->users, 1);
}

/* --- the driver --- */

/* A look below that does not sleep: not at each turn. */
static bool native_below(struct weir_native *native)
{
    weir_time now = weir_native_now(native);

    if (native->turns % NATIVE_BELOW_TURNS != 0 && now - native->below_at < NATIVE_BELOW_SPAN)
        return false;
    native->below_at = now;
    return native->below->ops->poll(native->below, 0);
}

/* The shard may sleep until then; 0: it may not. */
static weir_time native_until(const struct weir_native *native, weir_time until)
{
    weir_time now = weir_native_now(native);

    for (unsigned i = 0; i < native->ifaces; i++) {
        const struct weir_dev_queue *queue = native->iface[i].queue;
        weir_time next = queue->dev->ops->next(queue);

        until = next < until ? next : until;
    }
    if (native->must_poll) {
        if (now - native->rx_at < NATIVE_ASK_ON)
            return 0;
        until = (weir_time)weir_min_u64((uint64_t)until, (uint64_t)(now + NATIVE_ASK_REST));
    }
    if (native->linger_until)
        until = (weir_time)weir_min_u64((uint64_t)until, (uint64_t)native->linger_until);
    if (!weir_list_empty(&native->starved))
        until = (weir_time)weir_min_u64((uint64_t)until, (uint64_t)(now + NATIVE_STARVED));
    return until > now ? until : 0;
}

static bool native_sleep(struct weir_native *native, weir_time until)
{
    struct weir_shard *shard = native->shard;
    bool worked;

    native->below_at = weir_native_now(native);
    worked = native->below->ops->poll(native->below, until);
    if (atomic_load_explicit(&shard->asleep, memory_order_relaxed))
        return worked; /* it has found something to do; or this is the simulation's way to sleep */
    return native_pump(native) || worked;
}

static bool native_poll(struct weir_driver *driver, weir_time until)
{
    struct weir_native *native = native_of(driver);
    bool worked;

    native->turns++;
    worked = native_end_later(native);
    worked |= native_look(native);
    worked |= weir_native_feed(native);
    worked |= native_pump(native);
    if (weir_unlikely(native->shard->holds > 0))
        worked |= native_linger(native, worked);
    if (until != 0 && !worked)
        until = native_until(native, until);
    if (until == 0 || worked) {
        native_stay_awake(native->shard);
        worked |= native_below(native);
    } else {
        worked = native_sleep(native, until);
    }
    native_count_user(native);
    return worked;
}

/* --- the end --- */

/* A second is over, or they are settled. */
static void native_drop_conns(struct weir_native *native)
{
    struct weir_flows *flows = &native->flows;

    for (size_t i = 0; native->conns.live > 0 && i < weir_flows_places(flows);) {
        struct weir_flow *flow = weir_flows_at(flows, i);
        struct weir_tcp *tcp;

        if (!flow || flow->kind != WEIR_FLOW_TCP) {
            i++;
            continue; /* else something else may stand in this place now */
        }
        tcp = weir_container_of(flow, struct weir_tcp, flow);
        if (tcp_is_settled(tcp))
            weir_tcp_end(tcp, 0);
        else
            weir_tcp_user_close(tcp, true);
    }
    native_output(native); /* those that were in the output list go by that */
}

static void native_check_empty(const struct weir_native *native)
{
    const struct weir_shard *shard = native->shard;

    if (shard->stats.conns || shard->stats.bufs || !weir_list_empty(&native->listeners))
        weir_panic("shard %u has ended but left %llu connections, %llu buffers and %s open: each "
                   "needs its weir_close, weir_buf_free, weir_listener_close",
                   shard->id, (unsigned long long)shard->stats.conns,
                   (unsigned long long)shard->stats.bufs,
                   weir_list_empty(&native->listeners) ? "no listener" : "a listener");
}

static void native_queues_close(struct weir_native *native)
{
    while (native->ifaces > 0) {
        struct weir_iface *iface = &native->iface[--native->ifaces];

        weir_iface_flush(iface);
        iface->queue->dev->ops->queue_close(iface->queue);
    }
}

static void native_free(struct weir_native *native)
{
    native_queues_close(native);
    weir_pkts_free(&native->pkts);
    weir_pool_free(&native->bigs);
    weir_flows_free(&native->flows);
    free(native);
}

static void native_close(struct weir_driver *driver)
{
    struct weir_native *native = native_of(driver);
    struct weir_driver *below = native->below;

    native_end_later(native);
    native_check_empty(native);
    native_drop_conns(native);
    weir_tcp_close_layer(native);
    weir_udp_layer_close(native);
    weir_steer_close(native);
    weir_ip_close(native);
    native->shard->net = native->stack.kernel;
    native_free(native);
    below->ops->close(below);
}

static void native_report(const struct weir_driver *driver)
{
    weir_native_report(weir_container_of(driver, struct weir_native, driver));
}

static const struct weir_driver_ops native_driver_ops = {
    .name = "native",
    .poll = native_poll,
    .report = native_report,
    .close = native_close,
};

/* --- the beginning --- */

static int native_queue_open(struct weir_native *native, struct weir_dev *dev, char *why,
                             size_t why_size)
{
    struct weir_dev_queue *queue;
    struct weir_driver *below = native->below;
    int error = dev->ops->queue_open(dev, native->shard->id, native->shard, &native->pkts, &queue,
                                     why, why_size);

    if (error)
        return error;
    weir_iface_init(&native->iface[native->ifaces], native, native->ifaces, queue,
                    native->ifaces == WEIR_IFACE_WIRE ? native->shared->config.vlan : 0);
    native->ifaces++;
    native->must_poll |= dev->must_poll;
    if (queue->fd < 0 || dev->must_poll || !below->ops->watch)
        return 0;
    error = below->ops->watch(below, queue->fd);
    if (error)
        snprintf(why, why_size, "%s cannot be waited for (%s)", dev->name, strerror(-error));
    return error;
}

static int native_open_devices(struct weir_native *native, char *why, size_t why_size)
{
    int error = native_queue_open(native, native->shared->loop, why, why_size);

    if (!error && native->shared->dev)
        error = native_queue_open(native, native->shared->dev, why, why_size);
    return error;
}

/* Layer by layer; each is undone by those that follow having failed. */
static int native_open_layers(struct weir_native *native, char *why, size_t why_size)
{
    const struct weir_native_config *config = &native->shared->config;
    struct weir_native_config tcp = *config;
    int error = weir_ip_open(native, config, why, why_size);

    if (error)
        return error;
    error = weir_steer_open(native);
    if (!error) {
        error = weir_udp_layer_open(native, native->shared->udp_ports);
        if (!error) {
            tcp.conns_max += NATIVE_CLOSING;
            error = weir_tcp_open(native, &tcp);
            if (error)
                weir_udp_layer_close(native);
        }
        if (error)
            weir_steer_close(native);
    }
    if (error) {
        weir_ip_close(native);
        snprintf(why, why_size, "stack native: %s", strerror(-error));
    }
    return error;
}

static void native_init(struct weir_native *native, struct weir_shard *shard,
                        struct weir_driver *below, struct weir_native_shared *shared)
{
    const struct weir_native_config *config = &shared->config;

    native->stack =
        (struct weir_stack){ .ops = &weir_native_stack_ops, .shard = shard, .kernel = shard->net };
    native->driver = (struct weir_driver){ .ops = &native_driver_ops, .shard = shard };
    native->below = below;
    native->shard = shard;
    native->shared = shared;
    native->toeplitz = &shared->toeplitz;
    native->flow_table = shared->flow_table;
    native->conns_max = config->conns_max;
    native->rx_at = native->below_at = shard->now;
    weir_pkts_init(&native->pkts, config->pkts_max);
    weir_native_bigs_init(native);
    weir_list_init(&native->listeners);
    weir_list_init(&native->time_waits);
    weir_list_init(&native->later);
    weir_list_init(&native->starved);
    weir_list_init(&native->resting);
}

int weir_native_open(struct weir_driver **driver, struct weir_shard *shard,
                     struct weir_driver *below, struct weir_native_shared *shared, char *why,
                     size_t why_size)
{
    size_t size = (sizeof(struct weir_native) + 63) / 64 * 64;
    struct weir_native *native = aligned_alloc(WEIR_CACHE_LINE, size);
    int error = native ? 0 : -ENOMEM;

    if (!error) {
        memset(native, 0, sizeof *native);
        error = weir_flows_init(&native->flows, shared->config.conns_max +
                                                    weir_tcp_waits_max(shared->config.conns_max) +
                                                    NATIVE_CLOSING);
    }
    if (error) {
        snprintf(why, why_size, "stack native: %s", strerror(-error));
        free(native);
        return error;
    }
    native_init(native, shard, below, shared);
    error = native_open_devices(native, why, why_size);
    if (!error)
        error = native_open_layers(native, why, why_size);
    if (error) {
        native_free(native);
        return error;
    }
    shard->net = &native->stack;
    shard->looks = 1; /* packets may wait meanwhile */
    native_count_user(native);
    *driver = &native->driver;
    return 0;
}
