/* share.h - addresses that several shards listen on together.
 *
 * One registry for the process, behind a mutex, used at set-up and at the end only.  Who listens on
 * the same address in the same runtime shares: by SO_REUSEPORT each with a socket of its own, or,
 * for WEIR_BALANCE_LEAST and Unix-domain sockets, with one socket that one of them, the owner,
 * accepts from.  The first to come resolves port 0 for all; they share who ask for port 0 as it
 * did, or for the port it got. */
#ifndef WEIR_NET_KERNEL_SHARE_H
#define WEIR_NET_KERNEL_SHARE_H

#include <stdatomic.h>
#include <sys/stat.h>
#include <weir/net.h>
#include "core/list.h"
#include "sched/shard.h"

/* One shard's part in it.  Written by that shard; read by the owner, who picks. */
struct weir_share_member {
    _Atomic bool in;
    _Atomic int32_t room; /* connections it may still be sent: the owner takes, it gives back */
};

struct weir_share {
    struct weir_link link;
    struct weir_shards *all;
    struct weir_addr asked; /* perhaps with port 0 */
    struct weir_addr addr;  /* with the port it got */
    bool least;             /* one owner accepts for all */
    bool linked;            /* a Unix socket's path is ours to unlink: */
    dev_t dev;
    ino_t ino;
    unsigned refs;                     /* members, and handoffs of the listening socket */
    _Atomic bool ended;                /* the runtime stops and the backlog has been handed out */
    unsigned last;                     /* the owner's: whom it gave the last connection */
    struct weir_share_member member[]; /* by shard */
};

/* Joins, making the sockets that takes.  *fd is the socket to accept from, or -1 when another shard
 * does that.  0; -EADDRINUSE: also when this shard is in already. */
int weir_share_join(struct weir_share **share, struct weir_shard *shard,
                    const struct weir_addr *addr, const struct weir_listen_config *config,
                    enum weir_balance balance, int *fd);

/* No longer picked; the reference stays. */
void weir_share_out(struct weir_share *share, const struct weir_shard *shard);

void weir_share_ref(struct weir_share *share);
void weir_share_unref(struct weir_share *share);

/* Who of those who are in could take over the listening socket.  False: nobody; then the socket has
 * been closed and the address is free, so that whoever listens next makes a new one. */
bool weir_share_successor(struct weir_share *share, int fd, unsigned *to);

/* A Unix socket's path goes, so that nobody can connect any more.  Again: does nothing. */
void weir_share_unlink(struct weir_share *share);

#endif
