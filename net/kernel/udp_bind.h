/* udp_bind.h - making the kernel's datagram sockets, and who of this process has which address. */
#ifndef WEIR_NET_KERNEL_UDP_BIND_H
#define WEIR_NET_KERNEL_UDP_BIND_H

#include <sys/stat.h>
#include <weir/udp.h>
#include "sched/shard.h"

/* One socket's place in the registry. */
struct weir_udp_bound {
    struct weir_link link;
    const struct weir_shard *shard;
    struct weir_addr addr; /* with the port it got */
    bool reuse;
    bool linked; /* a Unix socket's path is ours to unlink: */
    dev_t dev;
    ino_t ino;
};

/* A bound socket, or a negated errno. */
int weir_udp_bind(struct weir_udp_bound *bound, const struct weir_shard *shard,
                  const struct weir_addr *addr, const struct weir_udp_config *config);

/* After the socket was closed: whoever opens the address meanwhile still counts it as in use. */
void weir_udp_unbind(struct weir_udp_bound *bound);

#endif
