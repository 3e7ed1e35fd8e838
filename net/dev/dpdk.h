/* dpdk.h - what the files of the DPDK module share. */
#ifndef WEIR_NET_DEV_DPDK_H
#define WEIR_NET_DEV_DPDK_H

#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include "net/dev.h"

enum {
    DPDK_QUEUES = 128,   /* of all ports together */
    DPDK_RX_DESC = 1024, /* as far as the NIC goes along */
    DPDK_TX_DESC = 1024,
    DPDK_RX_MBUFS = 16384, /* per queue: what may be held by connections; less if memory is short */
    DPDK_TX_MBUFS = 4096,  /* per queue, for what is copied */
    DPDK_MBUFS_MIN = 2048,
    DPDK_CACHE = 256,
    DPDK_SEGMENTS = 40, /* mbufs per packet that is sent: 64 KiB and some */
    DPDK_OUT = 1024,    /* packets that wait for the NIC to take them */
};

struct dpdk_queue {
    struct weir_dev_queue base;
    uint16_t port, queue;
    struct rte_mempool *rx_pool, *tx_pool;
    struct rte_mbuf *out[DPDK_OUT]; /* taken by tx, not yet by the NIC: a ring */
    uint32_t out_head, out_ready, out_tail;
    bool out_offloads; /* one that is not prepared asks for some */
    bool registered;   /* the thread, with EAL, by us */
    bool open;
};

struct dpdk_dev {
    struct weir_dev dev;
    unsigned ports; /* one with all the queues, or one for each queue */
    uint16_t port[DPDK_QUEUES];
    char label[RTE_ETH_NAME_MAX_LEN]; /* of the first port, for reports */
    struct dpdk_queue queue[DPDK_QUEUES];
};

/* --- dpdk_eal.c --- */

/* EAL, once per process.  0, or a negated errno with one line in `why`. */
int weir_dpdk_eal(const char *args, char *why, size_t why_size);

/* Whether its arguments have this text. */
bool weir_dpdk_eal_said(const char *text);

/* From begin to end everything that DPDK and its drivers print is collected; end() gives the line
 * that says best what went wrong, or "". */
struct dpdk_capture {
    int file, out, err;
    char text[8192];
};

void weir_dpdk_capture_begin(struct dpdk_capture *capture);
void weir_dpdk_capture_end(struct dpdk_capture *capture);
void weir_dpdk_blame(const struct dpdk_capture *capture, char *line, size_t size);

/* The first port from `from` on; RTE_MAX_ETHPORTS: there is none. */
static inline uint16_t dpdk_port_from(unsigned from)
{
    return (uint16_t)rte_eth_find_next_owned_by((uint16_t)from, RTE_ETH_DEV_NO_OWNER);
}

#define DPDK_EACH_PORT(port)                                    \
    for ((port) = dpdk_port_from(0); (port) < RTE_MAX_ETHPORTS; \
         (port) = dpdk_port_from((port) + 1u))

/* --- dpdk_port.c --- */

/* Chooses among the ports that EAL has found, sets them up and starts them. */
int weir_dpdk_ports_open(struct dpdk_dev *d, uint16_t mtu, char *why, size_t why_size);
void weir_dpdk_ports_stop(struct dpdk_dev *d);

/* --- dpdk_queue.c --- */

extern const struct weir_dev_ops weir_dpdk_ops;

#endif
