/* object.h - what the parts of the object are made of.
 *
 *     object.c    the entry: makes the table of calls                  (abi.h)
 *     world.c     one shard with a native stack, its clock, who waits
 *     wire.c      the device: packets in, packets out, neighbours
 *     socks.c     descriptors and sockets
 *     calls.c     bytes in and out, and the socket calls' table
 *     ready.c     poll and epoll
 *     options.c   socket options
 *
 * One lock stands over all of it: whoever holds it is the thread that pumps the shard.  Time is
 * virtual and passes only in usleep and netdev_receive, as far as is asked for, and a microsecond
 * at each look at the clock, for packetdrill spins on that. */
#ifndef WEIR_TESTS_PACKETDRILL_OBJECT_H
#define WEIR_TESTS_PACKETDRILL_OBJECT_H

#include <pthread.h>
#include "net/native/glue.h"
#include "net/native/ip.h"
#include "tests/packetdrill/abi.h"

enum { PD_SOCKS = 1024, PD_PACKETS = 4096 };

/* --- the device (wire.c) --- */

struct pd_packet {
    struct weir_link link;
    weir_time sent_at;
    size_t len;
    uint8_t data[];
};

struct pd_wire {
    struct weir_dev dev;
    struct weir_dev_queue queue;
    struct weir_native *native;
    struct weir_link out; /* struct pd_packet, oldest first */
    struct weir_buf *in;  /* of packets, to be received */
    struct weir_buf **in_end;
    unsigned out_count;
    uint64_t sent, received; /* packets of the stack, packets for it */
};

void pd_wire_init(struct pd_wire *wire, uint16_t mtu);

/* An IP packet for the stack, at its next turn.  0, -EINVAL: it is none; -ENOMEM. */
int pd_wire_put(struct pd_wire *wire, const void *packet, size_t len);

/* The oldest that was sent, or NULL; free() it. */
struct pd_packet *pd_wire_take(struct pd_wire *wire);

/* Whether the checksums in an IP packet are right; those of IPv4 and of TCP, UDP, ICMP. */
bool pd_checksums_ok(const uint8_t *packet, size_t len);

/* --- the world (world.c) --- */

struct pd;

/* A call that waits.  Ready is asked after each step of the stack. */
struct pd_waiter {
    struct weir_link link;
    bool (*ready)(struct pd *pd, void *arg);
    void *arg;
    weir_time deadline;
    bool woken;
};

struct pd_sock;

struct pd {
    pthread_mutex_t lock;
    pthread_cond_t moved; /* something of the following has changed */
    pthread_t first;      /* the thread that pumps while it waits */
    struct weir_link waiters;
    unsigned returning; /* threads that were woken and have not looked at the clock since */
    uint64_t entered;   /* calls so far */

    weir_time now, limit; /* limit: how long netdev_receive lets pass without a packet */
    weir_time until;      /* the shard sleeps until then */
    struct weir_shards shards;
    struct weir_shard *shard;
    struct weir_driver below;
    struct weir_native_shared *shared;
    struct weir_native *native;
    struct weir_future over; /* ends the fiber that keeps the shard open */
    struct pd_wire wire;

    struct pd_sock *sock[PD_SOCKS]; /* by descriptor */
};

struct pd_config {
    struct weir_native_config native;
    const char *pcap;
    weir_time limit;
    uint64_t seed;
    uint16_t mtu;
};

/* 0, or a negated errno with one line in `why`. */
int pd_world_open(struct pd **pd, const struct pd_config *config, char *why, size_t why_size);
void pd_world_close(struct pd *pd); /* no socket is left */

/* Around each call: the lock, and the shard is the current one.  Leaving lets the stack do what the
 * call has asked for, and turns a negated errno into -1 and errno. */
struct pd *pd_enter(void *userdata);
int64_t pd_leave(struct pd *pd, int64_t result);

/* Lets the stack come to rest without time passing, then hands over to calls that can go on. */
void pd_settle(struct pd *pd);

/* So much time; and: until the next that the stack does by itself, at most until `end`. */
void pd_pass(struct pd *pd, weir_time span);
void pd_step(struct pd *pd, weir_time end);

/* Waits until ready(pd, arg) or the deadline; false at the deadline, or when a call on the first
 * thread would never return (that is said on standard error). */
bool pd_wait(struct pd *pd, bool (*ready)(struct pd *, void *), void *arg, weir_time deadline);

/* The clock of gettimeofday, in microseconds. */
int64_t pd_usecs(weir_time at);
void pd_looked_at_clock(struct pd *pd);

/* A test cannot go on: says so, and ends the program with status 1. */
_Noreturn void pd_die(const struct pd *pd, const char *format, ...) WEIR_PRINTF(2, 3);

/* --- sockets (socks.c) --- */

enum pd_kind { PD_NEW, PD_LISTENING, PD_CONNECTING, PD_CONNECTED, PD_FAILED, PD_EPOLL };

struct pd_watch {
    struct weir_link link;
    int fd;
    struct epoll_event event;
    uint64_t seen; /* edge: what it was like when it was told */
    bool told, off;
};

struct pd_sock {
    int fd; /* of /dev/null: packetdrill may close it behind our back */
    int domain;
    enum pd_kind kind;
    bool nonblock, bound, read_shut;
    unsigned waiting;      /* calls, for something of it: it is not to be closed */
    struct weir_addr addr; /* bound */
    struct weir_listener *listener;
    struct weir_io connect;
    struct weir_conn *conn;
    int error; /* SO_ERROR */
    /* options; accepted sockets have those of the listener */
    bool nodelay, keepalive;
    struct linger linger;
    int cc; /* of weir_tcp_ccs; -1: as it is */
    uint32_t sndbuf;
    struct weir_link watches; /* epoll: struct pd_watch */
};

/* NULL: no descriptor of ours. */
struct pd_sock *pd_sock(struct pd *pd, int fd);
struct pd_sock *pd_sock_new(struct pd *pd, enum pd_kind kind, int *error);
void pd_sock_drop(struct pd *pd, struct pd_sock *sock); /* by a reset, if it is a connection */

static inline struct weir_tcp *pd_tcp(const struct pd_sock *sock)
{
    return weir_tcp_of(sock->conn);
}

/* connect() may be over: what it has come to. */
void pd_sock_look(struct pd_sock *sock);
bool pd_sock_readable(const struct pd_sock *sock);
void pd_sock_apply(struct pd_sock *sock); /* its options to its connection */
uint32_t pd_sock_queued(const struct pd_sock *sock);

/* Waits for something of this socket; as pd_wait without a deadline. */
bool pd_sock_wait(struct pd *pd, struct pd_sock *sock, bool (*ready)(struct pd *, void *),
                  void *arg);

/* For that: a read or an accept, and a connect, would not wait. */
bool pd_sock_ready_to_read(struct pd *pd, void *sock);
bool pd_sock_ready_connected(struct pd *pd, void *sock);
int pd_sock_take_error(struct pd_sock *sock); /* negated; 0: there is none */

/* The calls: a result, or a negated errno. */
int64_t pd_sock_open(struct pd *pd, int domain, int type, int protocol);
int64_t pd_sock_bind(struct pd *pd, struct pd_sock *sock, const struct sockaddr *addr,
                     socklen_t len);
int64_t pd_sock_listen(struct pd *pd, struct pd_sock *sock, int backlog);
int64_t pd_sock_accept(struct pd *pd, struct pd_sock *listening, struct sockaddr *addr,
                       socklen_t *len);
int64_t pd_sock_connect(struct pd *pd, struct pd_sock *sock, const struct sockaddr *addr,
                        socklen_t len);
int64_t pd_sock_close(struct pd *pd, struct pd_sock *sock);
int64_t pd_sock_shutdown(struct pd_sock *sock, int how);
int64_t pd_sock_fcntl(struct pd_sock *sock, int command, int arg);
int64_t pd_sock_ioctl(struct pd_sock *sock, unsigned long request, int *arg);

/* ready.c: poll's events, those that are always told among them. */
short pd_sock_events(struct pd_sock *sock);
void pd_epoll_forget(struct pd *pd, int fd);

/* Fill in their part of the table. */
void pd_calls_init(struct packetdrill_interface *ifc);
void pd_ready_init(struct packetdrill_interface *ifc);
void pd_options_init(struct packetdrill_interface *ifc);

#endif
