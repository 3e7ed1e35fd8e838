/* resolve.h - names of hosts to addresses, and connecting by name.
 *
 * Names are looked up on the shard's own loop by c-ares: /etc/hosts first (or the file that
 * CARES_HOSTS names in the environment), then the servers of /etc/resolv.conf, both read anew for
 * each lookup.  Nothing is cached.  In the simulation there are no servers, only the file.
 *
 * The texts are those of weir_addr_parse with a name in the place of the address:
 * "example.org:443".  Numeric addresses, and "unix:" ones, are had at once. */
#ifndef WEIR_RESOLVE_H
#define WEIR_RESOLVE_H

#include <weir/net.h>

WEIR_BEGIN

struct weir_resolve_config {
    const char *servers; /* "192.0.2.53,[2001:db8::53]:5353"; NULL: those of /etc/resolv.conf */
    int family;          /* AF_INET, AF_INET6; default AF_UNSPEC: both */
    weir_time timeout; /* of the first question to a server, later ones wait longer; default 2 s */
    int tries;         /* of each server; default 3 */
};

WEIR_API void weir_resolve_config_init(struct weir_resolve_config *config);

enum { WEIR_RESOLVE_NAME = 253 }; /* bytes of the longest name (RFC 1035 3.1) */

/* Resolves "name:port" to the first `max` (> 0) of its addresses in `addrs`, the one to try first
 * in front (RFC 6724).  `config` may be NULL.  How many, at least 1; -EINVAL: the text or `config`
 * is wrong; -ENOENT: there is no such name, or none with an address; -EAGAIN: no server has
 * answered as it should; -ENOMEM.  -ETIMEDOUT and -ECANCELED leave nothing behind. */
WEIR_API int64_t weir_resolve(const char *text, struct weir_addr *addrs, size_t max,
                              const struct weir_resolve_config *config, weir_time deadline);

/* --- connecting --- */

enum { WEIR_CONNECT_MAX = 16 }; /* addresses tried, at most */

/* Connects to the first of `count` (at most WEIR_CONNECT_MAX) addresses that takes it, as RFC 8305
 * 5 says: an attempt begins when the last one has failed, or has taken 250 ms; those before go on.
 * The losers are closed.  0; the error of the first when all have failed; -EINVAL: no address, or
 * too many.  On -ETIMEDOUT or -ECANCELED no connection is left behind. */
WEIR_API int weir_connect_any(struct weir_conn **conn, const struct weir_addr *addrs, size_t count,
                              weir_time deadline);

/* Resolves "name:port" and connects to the addresses, IPv6 and IPv4 by turns (RFC 8305 4).  The
 * text may begin with "kernel:" (net.h).  Errors as weir_resolve and weir_connect_any. */
WEIR_API int weir_connect_name(struct weir_conn **conn, const char *text,
                               const struct weir_resolve_config *config, weir_time deadline);

WEIR_END

#endif
