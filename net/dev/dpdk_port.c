/* dpdk_port.c - the ports that EAL has found: their queues, memory, offloads, RSS.
 *
 * Either one port has a queue for each shard, or there are as many ports as shards and each serves
 * one (af_xdp is one port for each queue of the interface below).
 *
 * Memory for packets is made once for each queue and used again when the device is opened again: a
 * packet may still be on its way when the port is stopped, so it is never given back.
 *
 * RSS is used when the NIC spreads flows just as weir_flow_shard does: with a key that we have set
 * or at least read, and a table that says the same as ours (weir_flow_table_init).  Else packets
 * come in anywhere, and the stack forwards them. */
#include <stdio.h>
#include <sys/random.h>
#include "net/dev/dpdk.h"
#include "net/native/toeplitz.h"

enum {
    DPDK_FRAME_EXTRA = RTE_ETHER_HDR_LEN + 2 * RTE_VLAN_HLEN,
    DPDK_RETA_MAX = RTE_ETH_RSS_RETA_SIZE_512,
    DPDK_RSS_KEY_MAX = 64,
};

#define DPDK_RSS_TCP (RTE_ETH_RSS_NONFRAG_IPV4_TCP | RTE_ETH_RSS_NONFRAG_IPV6_TCP)
#define DPDK_RSS_UDP (RTE_ETH_RSS_NONFRAG_IPV4_UDP | RTE_ETH_RSS_NONFRAG_IPV6_UDP)
#define DPDK_RX_CSUM \
    (RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_TCP_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM)
#define DPDK_TX_CSUM (RTE_ETH_TX_OFFLOAD_TCP_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM)
#define DPDK_TX_TSO \
    (RTE_ETH_TX_OFFLOAD_TCP_TSO | RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_MULTI_SEGS)

/* One that is being set up. */
struct dpdk_port {
    struct dpdk_dev *d;
    uint16_t port, queues;
    unsigned first; /* its first queue among the device's */
    struct rte_eth_dev_info info;
    struct rte_eth_conf conf;
    uint8_t rss_key[DPDK_RSS_KEY_MAX];
    uint16_t mtu;
    uint32_t caps;
};

static int port_fails(const struct dpdk_port *p, const char *what, int error, char *why,
                      size_t why_size)
{
    snprintf(why, why_size, "dpdk: %s: %s (%s)", p->d->label, what, rte_strerror(-error));
    return error < 0 ? error : -EIO;
}

/* --- memory --- */

/* As much as there is memory for, down to what a NIC needs to run at all. */
static struct rte_mempool *pool_make(const char *name, unsigned most, uint16_t room, int socket)
{
    struct rte_mempool *pool = rte_mempool_lookup(name);

    if (pool && rte_pktmbuf_data_room_size(pool) >= room)
        return pool;
    for (unsigned count = most; !pool && count >= DPDK_MBUFS_MIN; count /= 2)
        pool = rte_pktmbuf_pool_create(name, count - 1, DPDK_CACHE, sizeof(struct weir_pkt), room,
                                       socket);
    return pool;
}

/* Room for the MTU in one piece.  The name says the room, for one that is too small cannot be given
 * back. */
static int queue_memory(struct dpdk_port *p, struct dpdk_queue *q, unsigned index, char *why,
                        size_t why_size)
{
    uint32_t room =
        RTE_MAX((uint32_t)RTE_MBUF_DEFAULT_DATAROOM, p->mtu + (uint32_t)DPDK_FRAME_EXTRA);
    uint16_t size = (uint16_t)RTE_MIN(room + RTE_PKTMBUF_HEADROOM, (uint32_t)UINT16_MAX);
    int socket = rte_eth_dev_socket_id(p->port);
    char name[RTE_MEMPOOL_NAMESIZE];

    snprintf(name, sizeof name, "weir-rx-%u-%u", index, size);
    q->rx_pool = pool_make(name, DPDK_RX_MBUFS, size, socket);
    snprintf(name, sizeof name, "weir-tx-%u-%u", index, size);
    q->tx_pool = pool_make(name, DPDK_TX_MBUFS, size, socket);
    if (q->rx_pool && q->tx_pool)
        return 0;
    snprintf(why, why_size,
             "dpdk: no memory for the packets of queue %u: give EAL more (-m 512), or more "
             "hugepages: sysctl vm.nr_hugepages=512",
             index);
    return -ENOMEM;
}

/* --- what is asked of the port --- */

static void port_choose_rss(struct dpdk_port *p)
{
    uint64_t can = p->info.flow_type_rss_offloads & (DPDK_RSS_TCP | DPDK_RSS_UDP);
    uint8_t len = p->info.hash_key_size ? p->info.hash_key_size : WEIR_TOEPLITZ_KEY;

    if (p->queues == 1 || (can & DPDK_RSS_TCP) == 0 || p->info.reta_size == 0 ||
        p->info.reta_size > DPDK_RETA_MAX || len < WEIR_TOEPLITZ_KEY || len > DPDK_RSS_KEY_MAX)
        return;
    /* One that nobody knows, or peers could make flows that fall together (flows.c).  A longer key
     * goes on behind what our inputs reach. */
    if (getrandom(p->rss_key, WEIR_TOEPLITZ_KEY, 0) != WEIR_TOEPLITZ_KEY)
        memcpy(p->rss_key, weir_flow_key, WEIR_TOEPLITZ_KEY);
    p->conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
    p->conf.rx_adv_conf.rss_conf =
        (struct rte_eth_rss_conf){ .rss_key = p->rss_key, .rss_key_len = len, .rss_hf = can };
}

/* net_tap (22.11) compares the whole frame with the MTU and refuses to cut segments of the usual
 * size; so TSO is there but not made use of. */
static bool port_tso_works(const struct dpdk_port *p)
{
    return strcmp(p->info.driver_name, "net_tap") != 0;
}

static void port_choose_offloads(struct dpdk_port *p)
{
    uint64_t tx = p->info.tx_offload_capa;

    p->conf.rxmode.offloads = p->info.rx_offload_capa & DPDK_RX_CSUM;
    p->conf.txmode.offloads = tx & RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
    if ((tx & DPDK_TX_CSUM) == DPDK_TX_CSUM) {
        p->conf.txmode.offloads |= DPDK_TX_CSUM;
        p->caps |= WEIR_DEV_TX_L4_CSUM;
        if ((tx & DPDK_TX_TSO) == DPDK_TX_TSO) {
            p->conf.txmode.offloads |= DPDK_TX_TSO;
            if (port_tso_works(p))
                p->caps |= WEIR_DEV_TX_TSO;
        }
    }
}

/* What one packet may have of payload, by what the NIC takes in pieces. */
static uint32_t port_tso_max(const struct dpdk_port *p)
{
    uint32_t pieces = p->info.tx_desc_lim.nb_seg_max;
    uint32_t headers = 60 + 60 + DPDK_FRAME_EXTRA;

    if (pieces == 0 || pieces > DPDK_SEGMENTS)
        pieces = DPDK_SEGMENTS;
    return RTE_MIN(pieces * RTE_MBUF_DEFAULT_DATAROOM, (uint32_t)UINT16_MAX) - headers;
}

/* --- RSS after the start --- */

static bool reta_is_right(uint16_t queue, uint32_t at, uint16_t queues)
{
    return queue == at % WEIR_FLOW_TABLE % queues;
}

/* A table smaller than ours cannot say the same, unless ours repeats itself as early. */
static bool reta_can_be_right(uint32_t size, uint16_t queues)
{
    if (size == 0 || (size & (size - 1)) != 0)
        return false;
    return size >= WEIR_FLOW_TABLE || size % queues == 0;
}

static void reta_fill(struct rte_eth_rss_reta_entry64 *reta, uint32_t size, uint16_t queues)
{
    memset(reta, 0, DPDK_RETA_MAX / RTE_ETH_RETA_GROUP_SIZE * sizeof reta[0]);
    for (uint32_t i = 0; i < size; i++) {
        reta[i / RTE_ETH_RETA_GROUP_SIZE].mask |= UINT64_C(1) << (i % RTE_ETH_RETA_GROUP_SIZE);
        reta[i / RTE_ETH_RETA_GROUP_SIZE].reta[i % RTE_ETH_RETA_GROUP_SIZE] =
            (uint16_t)(i % WEIR_FLOW_TABLE % queues);
    }
}

/* Sets the table, and believes only what it reads back. */
static bool port_set_reta(struct dpdk_port *p)
{
    struct rte_eth_rss_reta_entry64 reta[DPDK_RETA_MAX / RTE_ETH_RETA_GROUP_SIZE];
    uint32_t size = p->info.reta_size;

    if (!reta_can_be_right(size, p->queues))
        return false;
    reta_fill(reta, size, p->queues);
    rte_eth_dev_rss_reta_update(p->port, reta, (uint16_t)size);
    for (uint32_t i = 0; i < size; i++)
        reta[i / RTE_ETH_RETA_GROUP_SIZE].reta[i % RTE_ETH_RETA_GROUP_SIZE] = UINT16_MAX;
    if (rte_eth_dev_rss_reta_query(p->port, reta, (uint16_t)size) != 0)
        return false;
    for (uint32_t i = 0; i < size; i++)
        if (!reta_is_right(reta[i / RTE_ETH_RETA_GROUP_SIZE].reta[i % RTE_ETH_RETA_GROUP_SIZE], i,
                           p->queues))
            return false;
    return true;
}

static bool port_get_key(struct dpdk_port *p)
{
    struct rte_eth_rss_conf conf = { .rss_key = p->rss_key,
                                     .rss_key_len = p->conf.rx_adv_conf.rss_conf.rss_key_len };

    memset(p->rss_key, 0, sizeof p->rss_key);
    return rte_eth_dev_rss_hash_conf_get(p->port, &conf) == 0 && conf.rss_hf & DPDK_RSS_TCP;
}

static void port_check_rss(struct dpdk_port *p)
{
    if (p->conf.rxmode.mq_mode != RTE_ETH_MQ_RX_RSS || !port_get_key(p) || !port_set_reta(p))
        return;
    memcpy(p->d->dev.rss_key, p->rss_key, sizeof p->d->dev.rss_key);
    p->caps |= WEIR_DEV_RSS | WEIR_DEV_STEERED;
}

/* --- setting up --- */

/* The port is configured with what is asked for already, as far as it can be; some drivers set
 * their interface only when told again. */
static int port_set_mtu(struct dpdk_port *p, uint16_t mtu, char *why, size_t why_size)
{
    int error = mtu ? rte_eth_dev_set_mtu(p->port, mtu) : 0;

    if (rte_eth_dev_get_mtu(p->port, &p->mtu) != 0)
        return port_fails(p, "has no MTU", -EIO, why, why_size);
    if (mtu > p->mtu) {
        snprintf(why, why_size, "dpdk: %s: cannot set an MTU of %u (%s): it is %u", p->d->label,
                 mtu, rte_strerror(-error), p->mtu);
        return error ? error : -EINVAL;
    }
    if (mtu)
        p->mtu = mtu; /* to send less than it could is up to us */
    return 0;
}

static int port_check_mtu(struct dpdk_port *p, uint16_t mtu, char *why, size_t why_size)
{
    uint16_t least = (uint16_t)weir_max_u64(p->info.min_mtu, RTE_ETHER_MIN_MTU);

    if (mtu == 0 || (mtu >= least && mtu <= p->info.max_mtu)) {
        p->conf.rxmode.mtu = mtu;
        return 0;
    }
    snprintf(why, why_size, "dpdk: %s: the MTU can be %u to %u", p->d->label, least,
             p->info.max_mtu);
    return -EINVAL;
}

static int port_set_queue(struct dpdk_port *p, uint16_t index, uint16_t rx_desc, uint16_t tx_desc,
                          char *why, size_t why_size)
{
    struct dpdk_queue *q = &p->d->queue[p->first + index];
    int error = queue_memory(p, q, p->first + index, why, why_size);

    if (error)
        return error;
    q->port = p->port;
    q->queue = index;
    error = rte_eth_rx_queue_setup(p->port, index, rx_desc,
                                   (unsigned)rte_eth_dev_socket_id(p->port), NULL, q->rx_pool);
    if (error)
        return port_fails(p, "a receive queue cannot be set up", error, why, why_size);
    error = rte_eth_tx_queue_setup(p->port, index, tx_desc,
                                   (unsigned)rte_eth_dev_socket_id(p->port), NULL);
    if (error)
        return port_fails(p, "a transmit queue cannot be set up", error, why, why_size);
    return 0;
}

static int port_set_queues(struct dpdk_port *p, char *why, size_t why_size)
{
    uint16_t rx_desc = DPDK_RX_DESC, tx_desc = DPDK_TX_DESC;
    int error = rte_eth_dev_adjust_nb_rx_tx_desc(p->port, &rx_desc, &tx_desc);

    if (error)
        return port_fails(p, "has no descriptors", error, why, why_size);
    for (uint16_t i = 0; !error && i < p->queues; i++)
        error = port_set_queue(p, i, rx_desc, tx_desc, why, why_size);
    return error;
}

static int port_has_queues(const struct dpdk_port *p, char *why, size_t why_size)
{
    uint16_t most = (uint16_t)weir_min_u64(p->info.max_rx_queues, p->info.max_tx_queues);

    if (p->queues <= most)
        return 0;
    snprintf(why, why_size,
             "dpdk: %s has %u queue%s, and each of %u shards needs one: --shards %u, or as many "
             "ports as shards",
             p->d->label, most, most == 1 ? "" : "s", p->queues, RTE_MAX(most, 1));
    return -EINVAL;
}

static int port_open(struct dpdk_port *p, uint16_t mtu, char *why, size_t why_size)
{
    int error = rte_eth_dev_info_get(p->port, &p->info);

    if (error)
        return port_fails(p, "tells nothing of itself", error, why, why_size);
    if ((error = port_has_queues(p, why, why_size)) != 0 ||
        (error = port_check_mtu(p, mtu, why, why_size)) != 0)
        return error;
    port_choose_offloads(p);
    port_choose_rss(p);
    error = rte_eth_dev_configure(p->port, p->queues, p->queues, &p->conf);
    if (error)
        return port_fails(p, "cannot be configured", error, why, why_size);
    if ((error = port_set_mtu(p, mtu, why, why_size)) != 0 ||
        (error = port_set_queues(p, why, why_size)) != 0)
        return error;
    error = rte_eth_dev_start(p->port);
    if (error)
        return port_fails(p, "cannot be started", error, why, why_size);
    rte_eth_allmulticast_enable(p->port); /* for neighbour discovery; where it is not known, all of
                                           * it comes in anyway */
    port_check_rss(p);
    return 0;
}

/* --- all of them --- */

/* What all ports can do. */
static void ports_add(struct dpdk_dev *d, const struct dpdk_port *p, bool first)
{
    uint32_t tso_max = port_tso_max(p);

    if (first) {
        d->dev.caps = p->caps;
        d->dev.mtu = p->mtu;
        d->dev.tso_max = tso_max;
        return;
    }
    d->dev.caps &= p->caps;
    d->dev.mtu = (uint16_t)weir_min_u64(d->dev.mtu, p->mtu);
    d->dev.tso_max = RTE_MIN(d->dev.tso_max, tso_max);
}

static int ports_choose(struct dpdk_dev *d, char *why, size_t why_size)
{
    unsigned queues = d->dev.queues, found = rte_eth_dev_count_avail();
    uint16_t port;

    if (found == 0) {
        snprintf(why, why_size,
                 "dpdk: EAL has found no port: bind a NIC to vfio-pci (dpdk-devbind.py), or name a "
                 "device: --vdev=net_tap0");
        return -ENODEV;
    }
    if (found != 1 && found != queues) {
        snprintf(why, why_size,
                 "dpdk: %u ports for %u shards: choose one with all the queues, or one for each "
                 "shard, by -a and --vdev",
                 found, queues);
        return -EINVAL;
    }
    DPDK_EACH_PORT(port)
    d->port[d->ports++] = port;
    rte_eth_dev_get_name_by_port(d->port[0], d->label);
    return 0;
}

static int ports_open_one(struct dpdk_dev *d, unsigned index, uint16_t mtu, char *why,
                          size_t why_size)
{
    bool alone = d->ports == 1;
    struct dpdk_port p = { .d = d,
                           .port = d->port[index],
                           .queues = alone ? d->dev.queues : 1,
                           .first = alone ? 0 : index };
    int error = port_open(&p, mtu, why, why_size);

    if (!error)
        ports_add(d, &p, index == 0);
    return error;
}

static void ports_stop(struct dpdk_dev *d, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        rte_eth_dev_stop(d->port[i]);
}

void weir_dpdk_ports_stop(struct dpdk_dev *d)
{
    ports_stop(d, d->ports);
}

static void ports_tell_link(const struct dpdk_dev *d)
{
    struct rte_eth_link link = { .link_status = RTE_ETH_LINK_UP };

    if (rte_eth_link_get_nowait(d->port[0], &link) == 0 && link.link_status == RTE_ETH_LINK_DOWN)
        weir_log("%s: no link yet", d->dev.name);
}

/* A tap of DPDK gives its kernel's side the same address as ours, so that each side would take the
 * other's frames for its own; it passes on frames to any address.  (Not when it stands for another
 * interface: that one filters.) */
static void ports_set_mac(struct dpdk_dev *d)
{
    struct rte_eth_dev_info info;
    struct rte_ether_addr mac;

    rte_eth_macaddr_get(d->port[0], &mac);
    memcpy(d->dev.mac, mac.addr_bytes, sizeof d->dev.mac);
    if (rte_eth_dev_info_get(d->port[0], &info) == 0 && strcmp(info.driver_name, "net_tap") == 0 &&
        !weir_dpdk_eal_said("remote="))
        d->dev.mac[5] ^= 1;
}

int weir_dpdk_ports_open(struct dpdk_dev *d, uint16_t mtu, char *why, size_t why_size)
{
    int error = ports_choose(d, why, why_size);

    for (unsigned i = 0; !error && i < d->ports; i++) {
        error = ports_open_one(d, i, mtu, why, why_size);
        if (error)
            ports_stop(d, i);
    }
    if (error)
        return error;
    ports_set_mac(d);
    snprintf(d->dev.name, sizeof d->dev.name, "dpdk %.*s", (int)(WEIR_DEV_NAME - 6), d->label);
    ports_tell_link(d);
    return 0;
}
