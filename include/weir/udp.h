/* udp.h - datagrams: UDP over IPv4 and IPv6, and Unix-domain.
 *
 * A socket belongs to the shard that opened it, as connections do (net.h); at most one receive and
 * one send are under way on it at a time (-EBUSY beyond).  Both move one datagram or a batch: with
 * many small ones, a batch costs little more than one.
 *
 * A datagram is received whole or not at all: of one that is longer than the room for it the rest
 * is gone, and `cut` says so.  Datagrams get lost, doubled and reordered on the way; the stack adds
 * nothing to that but what queue_max says. */
#ifndef WEIR_UDP_H
#define WEIR_UDP_H

#include <weir/net.h>

WEIR_BEGIN

struct weir_udp;

struct weir_udp_config {
    bool reuse;         /* several shards may open the same address: each datagram goes to one of
                         * them, those of one peer to the same one; default true */
    bool ipv6_only;     /* [::] takes IPv6 only; default true */
    uint32_t queue_max; /* bytes that wait to be received, with what is kept about each datagram;
                         * beyond it datagrams are dropped, and counted.  Default 256 KiB (the
                         * kernel counts by its own rules, and caps it at net.core.rmem_max) */
};

WEIR_API void weir_udp_config_init(struct weir_udp_config *config);

/* Opens a socket at `address`, as weir_listen takes it.  Port 0 takes a free port, each time
 * another.  The path of a Unix-domain socket is taken over when nobody has it any more, and goes
 * with the socket.  `config` may be NULL.  0, -EINVAL (address), -EADDRINUSE (also when this shard
 * has it open already), -EACCES, ... */
WEIR_API int weir_udp_open(struct weir_udp **udp, const char *address,
                           const struct weir_udp_config *config);

/* Names the one peer: from now on sending needs no address, and receiving takes what comes from
 * there only (what has arrived before stays).  Only a socket with a peer is told of errors that
 * come back: -ECONNREFUSED from the next receive or send when nobody has that port.  Again: another
 * peer.  0, -ENETUNREACH, ...  Never suspends. */
WEIR_API int weir_udp_connect(struct weir_udp *udp, const struct weir_addr *peer);

/* Closes.  Operations still under way end with -ECANCELED, in a later turn; what has arrived is
 * thrown away.  Never suspends. */
WEIR_API void weir_udp_close(struct weir_udp *udp);

/* The address it is bound to, with the port it got. */
WEIR_API int weir_udp_local_addr(const struct weir_udp *udp, struct weir_addr *addr);

/* Datagrams dropped since it was opened because queue_max was reached. */
WEIR_API uint64_t weir_udp_dropped(const struct weir_udp *udp);

/* --- one datagram, the usual case --- */

/* Receives a datagram, or as much of it as `len` (0 and more) takes, and in *peer (NULL: never
 * mind) from whom.  Returns the count; 0 is an empty datagram, and no end of anything; a negated
 * errno.  On -ETIMEDOUT or -ECANCELED nothing is lost: a datagram that comes later is there for the
 * next receive. */
WEIR_API int64_t weir_recv_from(struct weir_udp *udp, void *data, size_t len,
                                struct weir_addr *peer, weir_time deadline);

/* Sends a datagram to `peer` (NULL: the connected one).  Returns `len` when the stack has taken it;
 * it waits for room.  -EMSGSIZE: longer than one can be (65,507 bytes over IPv4; a native stack
 * sends no fragments: what fits into the MTU of the path); -EDESTADDRREQ: no peer; -ECONNREFUSED
 * (see weir_udp_connect), -ENETUNREACH, -EAFNOSUPPORT, ...  On -ETIMEDOUT or -ECANCELED it was not
 * sent. */
WEIR_API int64_t weir_send_to(struct weir_udp *udp, const void *data, size_t len,
                              const struct weir_addr *peer, weir_time deadline);

/* --- batches --- */

struct weir_datagram {
    void *data;            /* received: into here; sent: from here, and only read */
    size_t len;            /* received: room before, bytes after; sent: bytes */
    struct weir_addr peer; /* received: from whom; sent: to whom, with len 0 the connected one */
    bool cut;              /* received: it was longer than the room */
};

/* An operation under way; like weir_io it belongs to the stack, with the datagrams it names and
 * their bytes, until the future is done. */
struct weir_udp_io {
    struct weir_future future; /* result: datagrams, or a negated errno */
    struct weir_link link;     /* the stack's */
    struct weir_udp *udp;
    union {
        struct weir_datagram *into;       /* receive */
        const struct weir_datagram *from; /* send */
    };
    size_t count;
    size_t moved;      /* send: datagrams the stack has taken so far, also on failure */
    uint64_t stack[2]; /* the stack's */
};

/* Receives at least 1 and at most `count` (> 0) datagrams: what is there.  Returns how many; else
 * as weir_recv_from. */
WEIR_API int64_t weir_udp_recv(struct weir_udp *udp, struct weir_datagram *datagrams, size_t count,
                               weir_time deadline);
WEIR_API void weir_udp_recv_start(struct weir_udp_io *io, struct weir_udp *udp,
                                  struct weir_datagram *datagrams, size_t count);

/* Sends `count` datagrams, in order.  Returns how many the stack has taken: all of them, or those
 * before one that failed; its error comes from the call that begins with it.  On -ETIMEDOUT or
 * -ECANCELED io->moved says how many. */
WEIR_API int64_t weir_udp_send(struct weir_udp *udp, const struct weir_datagram *datagrams,
                               size_t count, weir_time deadline);
WEIR_API void weir_udp_send_start(struct weir_udp_io *io, struct weir_udp *udp,
                                  const struct weir_datagram *datagrams, size_t count);

WEIR_END

#endif
