/* net.h - stream sockets: TCP over IPv4 and IPv6, and Unix-domain.
 *
 * Connections and listeners belong to the shard that made them; using one from another shard stops
 * the program with a sentence that says so.  Every call that may suspend takes an absolute deadline
 * last and may return -ETIMEDOUT or -ECANCELED (see weir_await); what it may lose then is said
 * at each.  On a connection at most one receive and one send are under way at a time (-EBUSY
 * beyond; several writers share a weir_mutex).
 *
 * weir_x(...) suspends the fiber; weir_x_start(io, ...) begins the same and completes io->future,
 * for waiting on several things or for callbacks.  The io, and the memory it names, belong to the
 * stack until the future is done. */
#ifndef WEIR_NET_H
#define WEIR_NET_H

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <weir/buf.h>
#include <weir/future.h>

WEIR_BEGIN

struct weir_conn;
struct weir_listener;

/* --- addresses --- */

struct weir_addr {
    union {
        struct sockaddr sa;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
    };
    socklen_t len;
};

enum { WEIR_ADDR_TEXT = 128 }; /* room for any address as text, with its NUL */

/* "192.0.2.1:80", "[2001:db8::1]:80", "[fe80::1%eth0]:80", "*:80" (any IPv4), "[::]:80",
 * "unix:/run/app.sock", "unix:@abstract".  Names are not resolved.  0 or -EINVAL. */
WEIR_API int weir_addr_parse(struct weir_addr *addr, const char *text);

/* The same text back; returns `text`. */
WEIR_API const char *weir_addr_format(const struct weir_addr *addr, char *text, size_t size);

/* --- one operation under way --- */

struct weir_io {
    struct weir_future future; /* result: bytes, or 0; or a negated errno */
    struct weir_link link;     /* the stack's */
    struct weir_conn *conn;    /* the connection; for accept and connect, set on success */
    struct weir_listener *listener;
    union {
        void *data;              /* receive: into here ... */
        const struct iovec *iov; /* send: from here ... */
    };
    size_t len;           /* ... at most so many bytes; or so many iovecs */
    struct weir_buf *buf; /* receive_buf: out; send_buf: in */
    size_t moved;         /* send: bytes the stack has taken so far, also on failure */
    struct iovec one;     /* send: for the calls that take plain bytes */
    uint64_t stack[2];    /* the stack's */
};

/* --- listening --- */

struct weir_listen_config {
    int backlog;           /* default 4,096 (the kernel caps it at somaxconn) */
    uint32_t accepted_max; /* accepted but not yet handed out by weir_accept; default 64 */
    bool ipv6_only;        /* [::] takes IPv6 only; default true */

    /* Hands a TCP connection out only when its first bytes have come, or after a second
     * (TCP_DEFER_ACCEPT of tcp(7); other stacks hand it out at once).  Where clients speak first
     * this spares waking up for the handshake alone; whoever is still silent when the listener
     * closes is reset.  Default false. */
    bool defer_accept;
};

WEIR_API void weir_listen_config_init(struct weir_listen_config *config);

/* Here and in weir_connect, "kernel:" before an address asks for the kernel's sockets where a
 * native stack serves the others ("kernel:127.0.0.1:80"); elsewhere it changes nothing. Unix-domain
 * addresses are always the kernel's. */

/* Listens on this shard.  Called on several shards with the same address, they share it, as
 * weir_config.balance says (Unix-domain sockets are always shared by WEIR_BALANCE_LEAST).  Port 0
 * takes a free port, the same one for all shards that ask for it at that address.  The path of a
 * Unix-domain socket is taken over when nobody listens there any more, and goes with the last
 * listener.  `config` may be NULL.  0, -EINVAL (address), -EADDRINUSE (also when this shard listens
 * there already), -EACCES, ... */
WEIR_API int weir_listen(struct weir_listener **listener, const char *address,
                         const struct weir_listen_config *config);

/* Takes a connection.  0, or -ESHUTDOWN: the runtime is stopping and all that had arrived
 * has been handed out, or the listener was closed.  Lack of descriptors or memory is not reported
 * here: such connections are shed and counted, and accepting goes on.  A connection that comes
 * when the deadline has passed stays queued for the next weir_accept. */
WEIR_API int weir_accept(struct weir_listener *listener, struct weir_conn **conn,
                         weir_time deadline);
WEIR_API void weir_accept_start(struct weir_io *io, struct weir_listener *listener);

/* The address it listens on, with the port it got. */
WEIR_API void weir_listener_addr(const struct weir_listener *listener, struct weir_addr *addr);

/* Stops listening; pending accepts end with -ESHUTDOWN; connections not handed out are closed.
 * Never suspends. */
WEIR_API void weir_listener_close(struct weir_listener *listener);

/* --- connections --- */

/* Connects.  0; -ECONNREFUSED, -ENETUNREACH, -EINVAL (address), -EMFILE, ...  On -ETIMEDOUT or
 * -ECANCELED no connection is left behind. */
WEIR_API int weir_connect(struct weir_conn **conn, const char *address, weir_time deadline);
WEIR_API void weir_connect_start(struct weir_io *io, const struct weir_addr *addr);

/* Receives at least 1 and at most `len` (> 0) bytes into `data`.  Returns the count; 0 when the
 * peer has ended its side (FIN; again at each later call); -ECONNRESET, ...  On -ETIMEDOUT or
 * -ECANCELED nothing is lost: bytes that come later are there for the next receive. */
WEIR_API int64_t weir_recv(struct weir_conn *conn, void *data, size_t len, weir_time deadline);
WEIR_API void weir_recv_start(struct weir_io *io, struct weir_conn *conn, void *data, size_t len);

/* The same without the copy: on a count > 0 *buf is a buffer of that length, the caller's to free;
 * else *buf is NULL. */
WEIR_API int64_t weir_recv_buf(struct weir_conn *conn, struct weir_buf **buf, weir_time deadline);
WEIR_API void weir_recv_buf_start(struct weir_io *io, struct weir_conn *conn);

/* Sends all of it.  Returns the total when the stack has taken every byte (not when the peer has
 * acknowledged them); -EPIPE, -ECONNRESET, ...  On an error, -ETIMEDOUT or -ECANCELED a part may
 * have gone out: io->moved says how much; without knowing, all that is left is to close. */
WEIR_API int64_t weir_send(struct weir_conn *conn, const void *data, size_t len,
                           weir_time deadline);
WEIR_API int64_t weir_sendv(struct weir_conn *conn, const struct iovec *iov, size_t count,
                            weir_time deadline);
WEIR_API void weir_send_start(struct weir_io *io, struct weir_conn *conn, const void *data,
                              size_t len);
WEIR_API void weir_sendv_start(struct weir_io *io, struct weir_conn *conn, const struct iovec *iov,
                               size_t count);

/* Sends a buffer and frees it, whatever happens. */
WEIR_API int64_t weir_send_buf(struct weir_conn *conn, struct weir_buf *buf, weir_time deadline);
WEIR_API void weir_send_buf_start(struct weir_io *io, struct weir_conn *conn, struct weir_buf *buf);

/* Ends our side (FIN) after what was sent; receiving goes on.  0 or a negated errno.  Never
 * suspends.  Not while a send is under way (-EBUSY). */
WEIR_API int weir_shutdown(struct weir_conn *conn);

/* Closes.  Operations still under way end with -ECANCELED, in a later turn.  Never suspends, so it
 * works in a cancelled fiber.  The connection must not be used afterwards. */
WEIR_API void weir_close(struct weir_conn *conn);

/* Closes with a reset (RST) instead of a FIN: unsent bytes are thrown away.  Unix-domain sockets
 * know none: there it is weir_close. */
WEIR_API void weir_abort(struct weir_conn *conn);

WEIR_API int weir_local_addr(const struct weir_conn *conn, struct weir_addr *addr);
WEIR_API int weir_peer_addr(const struct weir_conn *conn, struct weir_addr *addr);

/* TCP_NODELAY; accepted and connected TCP connections start with it on. */
WEIR_API int weir_nodelay(struct weir_conn *conn, bool on);

WEIR_END

#endif
