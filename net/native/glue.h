/* glue.h - what driver, sockets and listeners of the native stack call each other by. */
#ifndef WEIR_NET_NATIVE_GLUE_H
#define WEIR_NET_NATIVE_GLUE_H

#include <errno.h>
#include "core/spsc.h"
#include "net/native/shared.h"
#include "net/native/steer.h"

static inline struct weir_tcp *weir_tcp_of(const struct weir_conn *conn)
{
    return weir_container_of(conn, struct weir_tcp, conn);
}

static inline struct weir_native_listener *weir_native_listener_of(
    const struct weir_listener *listener)
{
    return weir_container_of(listener, struct weir_native_listener, listener);
}

/* Completes io at the next poll, out of the caller's frame. */
static inline void weir_native_later(struct weir_native *native, struct weir_io *io, int64_t result)
{
    io->future.cancel = NULL;
    io->stack[0] = (uint64_t)result;
    weir_list_push(&native->later, &io->link);
}

/* --- socket.c --- */

extern const struct weir_stack_ops weir_native_stack_ops;

/* A user has it from here on: counted as open. */
void weir_native_conn_open(struct weir_tcp *tcp);

/* Sends that waited for packets go on as far as there are any now; whether any did. */
bool weir_native_feed(struct weir_native *native);

/* --- bigs.c --- */

/* A packet with room for `size` bytes: of the shard's, or of the few that are longer; NULL: there
 * is none, or none is that long. */
struct weir_pkt *weir_native_pkt(struct weir_native *native, size_t size);
void weir_native_bigs_init(struct weir_native *native);

/* --- listener.c --- */

int weir_native_listen(struct weir_stack *stack, struct weir_listener **listener,
                       const struct weir_addr *addr, const struct weir_listen_config *config);
void weir_native_listener_addr(const struct weir_listener *listener, struct weir_addr *addr);
void weir_native_listener_close(struct weir_listener *listener);
void weir_native_accept(struct weir_io *io);

/* A passive open is complete, and it is among the listener's accepted ones; one of the half-open
 * ones is gone. */
void weir_native_listener_look(struct weir_native_listener *listener);
void weir_native_listeners_look(struct weir_native *native);

/* Frees the closed ones that nothing is on the stack with any more. */
void weir_native_listeners_bury(struct weir_native *native);

/* --- ports.c --- */

/* Chooses key->local_port for a connection to key->remote such that its packets come to this shard;
 * *hash is the flow's.  0; -EADDRNOTAVAIL: all are in use. */
int weir_native_port(struct weir_native *native, struct weir_flow_key *key, uint32_t *hash);

/* --- report.c --- */

/* Into the log, what the stack and its devices have counted. */
void weir_native_report(const struct weir_native *native);

#endif
