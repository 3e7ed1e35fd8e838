/* net.h - the network of a simulation: byte streams in memory between the shards of one thread.
 *
 * Nothing that one shard does reaches another in the same breath: it becomes an event of the other
 * shard, due after a delay drawn from the seed, and fires from that shard's own poll.  So futures
 * are completed by the shard that owns them, and every interleaving of the wire can come up. */
#ifndef WEIR_NET_SIM_NET_H
#define WEIR_NET_SIM_NET_H

#include <weir/sim.h>
#include "net/stack.h"

/* Something that will happen on one shard.  Embedded in what it happens to. */
struct weir_sim_event {
    struct weir_link link; /* in the shard's list while it is armed */
    weir_time when;
    void (*fire)(struct weir_sim_event *event);
};

struct weir_sim_net {
    struct weir_sim_config config;
    weir_time now;              /* the clock of all shards */
    uint64_t random;            /* splitmix64 state of the network and the pump */
    struct weir_link listeners; /* of all shards, oldest first */
    struct weir_link udps;      /* datagram sockets, likewise */
    uint16_t port;              /* the last one handed out */

    /* Gives another shard a turn in the middle of this one's, as threads would; NULL: nobody. */
    void (*interleave)(struct weir_sim_net *net);
};

/* What stands between one shard and the simulated world. */
struct weir_sim_driver {
    struct weir_driver driver;
    struct weir_stack stack;
    struct weir_sim_net *net;
    struct weir_link events; /* earliest first; those of one time in the order they were armed */
    bool sleeping;           /* poll() was told to wait ... */
    weir_time until;         /* ... for so long */
    bool woken;              /* since its last poll(), as an eventfd would say */
    bool in_turn;            /* it is in the middle of a turn */
    uint64_t listeners;      /* open now */
    uint64_t udps;           /* open now */
};

/* One shard's end of a connection. */
enum weir_sim_state {
    WEIR_SIM_UNBORN,  /* the server's, before the SYN has arrived */
    WEIR_SIM_OPENING, /* the client's before it knows; the server's before it is accepted */
    WEIR_SIM_OPEN,
    WEIR_SIM_CLOSED, /* by its owner, or never handed to one */
};

struct weir_sim_segment {
    struct weir_link link;
    weir_time due;
    enum { WEIR_SIM_DATA, WEIR_SIM_FIN, WEIR_SIM_RST } kind;
    size_t at, len;
    uint8_t *data;
};

struct weir_sim_end {
    struct weir_conn conn;
    struct weir_sim_wire *wire;
    struct weir_sim_driver *driver;
    enum weir_sim_state state;
    bool gone;               /* closed, and no event will come back to it */
    struct weir_link queued; /* in its listener until it is accepted */
    struct weir_addr local;

    /* towards this end */
    struct weir_link flying;  /* segments on their way, in order of sending */
    struct weir_link arrived; /* data to be received */
    size_t unread;            /* bytes in both: the other side's window */
    weir_time last_due;       /* nothing overtakes */
    struct weir_sim_segment fin, rst;
    bool fin_seen, reset_seen, reset_told;

    /* from this end */
    bool fin_sent;

    struct weir_sim_event arrival; /* the first of `flying` */
    struct weir_sim_event receive; /* a receive is tried again */
    struct weir_sim_event resume;  /* a send goes on */
    struct weir_sim_event settle;  /* what was cancelled or closed comes to its end */
};

/* A connection: both ends, and how it comes about.  Freed when both ends are gone. */
struct weir_sim_wire {
    struct weir_sim_end end[2]; /* [0]: the one that connected */
    struct weir_io *connecting; /* until it is answered */
    struct weir_addr target;
    int refused; /* a negated errno for the answer, or 0 */
    unsigned tries;
    struct weir_sim_event syn;    /* arrives at the shard of a listener */
    struct weir_sim_event answer; /* arrives at the shard that connects */
    struct weir_sim_event give_up;
};

/* net.c: events and chance */
void weir_sim_net_init(struct weir_sim_net *net, const struct weir_sim_config *config);
void weir_sim_event_init(struct weir_sim_event *event, void (*fire)(struct weir_sim_event *));
void weir_sim_event_set(struct weir_sim_driver *driver, struct weir_sim_event *event,
                        weir_time when); /* again: re-arms */
void weir_sim_event_clear(struct weir_sim_event *event);
bool weir_sim_event_armed(const struct weir_sim_event *event);
uint64_t weir_sim_random(struct weir_sim_net *net, uint64_t bound);
bool weir_sim_chance(struct weir_sim_net *net, uint32_t of_1024);
weir_time weir_sim_soon(struct weir_sim_net *net); /* now and a delay */

/* When the driver's shard has to be pumped again: now or before, unless it sleeps. */
weir_time weir_sim_driver_next(const struct weir_sim_driver *driver);

/* listen.c */
int weir_sim_listen(struct weir_stack *stack, struct weir_listener **listener,
                    const struct weir_addr *addr, const struct weir_listen_config *config);
void weir_sim_listener_addr(const struct weir_listener *listener, struct weir_addr *addr);
void weir_sim_listener_close(struct weir_listener *listener);
void weir_sim_accept(struct weir_io *io);

/* Whom a SYN to `addr` goes to: the shard of one of its listeners, or NULL. */
struct weir_sim_driver *weir_sim_route(struct weir_sim_net *net, const struct weir_addr *addr);

/* Queues a new end at a listener of `driver`.  0; -ECONNREFUSED: there is none; -EAGAIN: full. */
int weir_sim_listener_offer(struct weir_sim_driver *driver, const struct weir_addr *addr,
                            struct weir_sim_end *end);

/* A port nobody listens on. */
uint16_t weir_sim_port(struct weir_sim_net *net);
void weir_sim_addr_set_port(struct weir_addr *addr, uint16_t port);
uint16_t weir_sim_addr_port(const struct weir_addr *addr);

/* connect.c */
void weir_sim_connect(struct weir_stack *stack, struct weir_io *io, const struct weir_addr *addr);

/* segment.c */
struct weir_sim_segment *weir_sim_first_of(const struct weir_link *segments);
void weir_sim_segment_free(struct weir_sim_end *end, struct weir_sim_segment *segment);

/* Returns whether any of it was data. */
bool weir_sim_segments_free(struct weir_sim_end *end, struct weir_link *segments);

/* Send on the way to `end`.  A reset overtakes nothing that has arrived, and drops all that has
 * not.  Of data, up to `len` bytes are copied: how many, 0 without memory. */
void weir_sim_fly_fin(struct weir_sim_end *end);
void weir_sim_fly_rst(struct weir_sim_end *end);
size_t weir_sim_fly_data(struct weir_sim_end *end, const void *data, size_t len);

/* conn.c */
void weir_sim_end_init(struct weir_sim_end *end, struct weir_sim_wire *wire,
                       struct weir_sim_driver *driver);
struct weir_sim_end *weir_sim_peer(const struct weir_sim_end *end);
void weir_sim_end_open(struct weir_sim_end *end);      /* its owner has it from here on */
void weir_sim_end_drop(struct weir_sim_end *end);      /* it never had one: reset, and gone */
void weir_sim_wire_settle(struct weir_sim_wire *wire); /* frees it when both ends are gone */
void weir_sim_recv(struct weir_io *io);
void weir_sim_send(struct weir_io *io);
int weir_sim_shutdown(struct weir_conn *conn);
void weir_sim_close(struct weir_conn *conn, bool reset);
int weir_sim_local_addr(const struct weir_conn *conn, struct weir_addr *addr);
int weir_sim_peer_addr(const struct weir_conn *conn, struct weir_addr *addr);
int weir_sim_nodelay(struct weir_conn *conn, bool on);

/* udp.c */
extern const struct weir_udp_ops weir_sim_udp_ops;

/* buf.c */
struct weir_buf *weir_sim_buf_alloc(struct weir_stack *stack, size_t size);

#endif
