/* steer.h - packets that have come to a shard they do not belong to. */
#ifndef WEIR_NET_NATIVE_STEER_H
#define WEIR_NET_NATIVE_STEER_H

#include "net/native/native.h"

/* A connection that lives on another shard than its hash says, because only that one listens: its
 * entry in the flows of the shard where its packets arrive. */
struct weir_detour {
    struct weir_flow flow; /* WEIR_FLOW_DETOUR */
    struct weir_link link; /* in the steerer's list, the one used last at the end */
    weir_time until;       /* unless it is used again */
    uint16_t shard;        /* where it lives */
    bool over;             /* it is in TIME-WAIT, or gone: a SYN is of another one */
};

int weir_steer_open(struct weir_native *native);
void weir_steer_close(struct weir_native *native);

/* What was queued for other shards sets out.  Called by the driver, once per burst. */
void weir_steer_flush(struct weir_native *native);

/* A SYN whose listener is on `shard`: from now on what comes for that flow goes there.  Takes the
 * packet, whose rx is parsed and has its hash. */
void weir_steer_detour_open(struct weir_native *native, const struct weir_flow_key *key,
                            struct weir_pkt *pkt, unsigned shard);

/* A segment of such a flow.  Takes it. */
void weir_steer_detour_follow(struct weir_native *native, struct weir_flow *flow,
                              struct weir_pkt *pkt);

/* The connection of this flow, which lives here and not where its hash says, is over. */
void weir_steer_detour_end(struct weir_native *native, const struct weir_flow *flow);

#endif
