/* udp.h - datagrams: UDP over IPv4 and IPv6, and Unix-domain.
 *
 * One API for every stack.  A socket belongs to the shard that opened it; at most one receive and
 * one send are under way at a time (-EBUSY beyond).  A datagram is received whole or cut, and said
 * to be: what did not fit is gone.  Deadlines and cancelling as in net.h; a datagram that comes
 * when the deadline has passed stays for the next receive. */
#ifndef WEIR_UDP_H
#define WEIR_UDP_H

#include <weir/net.h>

WEIR_BEGIN

struct weir_udp;

struct weir_udp_config {
    bool reuse;         /* several shards open the same address: each datagram goes to one of them,
                         * those of one peer to the same; default true */
    bool ipv6_only;     /* default true */
    uint32_t queue_max; /* bytes that wait to be received; what comes beyond is dropped and
                         * counted; default 256 KiB */
};

WEIR_API void weir_udp_config_init(struct weir_udp_config *config);

/* Opens a socket at `address` (as for weir_listen; "*:0": any port).  0; -EINVAL, -EADDRINUSE ...
 */
WEIR_API int weir_udp_open(struct weir_udp **udp, const char *address,
                           const struct weir_udp_config *config);

/* From now on it sends there by default, receives from there only, and errors that come back
 * (-ECONNREFUSED: nobody listens) are told.  Never suspends. */
WEIR_API int weir_udp_connect(struct weir_udp *udp, const struct weir_addr *peer);

/* Never suspends; operations under way end with -ECANCELED in a later turn. */
WEIR_API void weir_udp_close(struct weir_udp *udp);

WEIR_API int weir_udp_local_addr(const struct weir_udp *udp, struct weir_addr *addr);

/* One datagram, in or out. */
struct weir_datagram {
    void *data;
    size_t len;            /* in: room, or bytes to send; out: bytes received */
    struct weir_addr peer; /* received: from whom; sent: to whom, len 0: the connected peer */
    bool cut;              /* received: it was longer */
};

/* An operation under way; as weir_io. */
struct weir_udp_io {
    struct weir_future future; /* result: datagrams, or a negated errno */
    struct weir_link link;
    struct weir_udp *udp;
    struct weir_datagram *datagram;
    size_t count, moved;
    uint64_t stack[2];
};

/* Receives at least 1 and at most `count` datagrams; how many. */
WEIR_API int64_t weir_udp_recv(struct weir_udp *udp, struct weir_datagram *datagram, size_t count,
                               weir_time deadline);
WEIR_API void weir_udp_recv_start(struct weir_udp_io *io, struct weir_udp *udp,
                                  struct weir_datagram *datagram, size_t count);

/* Sends all of them, in order; how many the stack has taken.  It waits for room.  -EMSGSIZE: longer
 * than one can be; -EDESTADDRREQ, -ENETUNREACH, ...: of the first that failed, when none was sent
 * before it (else the count, and the next call tells). */
WEIR_API int64_t weir_udp_send(struct weir_udp *udp, const struct weir_datagram *datagram,
                               size_t count, weir_time deadline);
WEIR_API void weir_udp_send_start(struct weir_udp_io *io, struct weir_udp *udp,
                                  const struct weir_datagram *datagram, size_t count);

/* One datagram, the common case.  recv_from: the bytes (cut to `len` silently), and whose. */
WEIR_API int64_t weir_recv_from(struct weir_udp *udp, void *data, size_t len,
                                struct weir_addr *peer, weir_time deadline);
WEIR_API int64_t weir_send_to(struct weir_udp *udp, const void *data, size_t len,
                              const struct weir_addr *peer, weir_time deadline);

WEIR_END

#endif
