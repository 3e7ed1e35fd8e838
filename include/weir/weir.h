/* weir.h - all of weir.
 *
 *     future.h   a result that is not there yet: await, deadline, cancel
 *     fiber.h    straight-line code that awaits, and the scopes that own it
 *     time.h     clock, sleep, timers
 *     sync.h     semaphore, mutex
 *     shard.h    one scheduler per CPU, and calls between them
 *     net.h      TCP and Unix-domain streams
 *     udp.h      datagrams
 *     buf.h      received bytes without copying
 *     runtime.h  configuration, start and stop
 *     http.h     an HTTP/1.1 server
 *     hist.h     percentiles of latencies
 *     sim.h      all of it in one thread, on a virtual clock, from a seed
 *
 * A call that may suspend takes an absolute deadline last.  int is 0 or a negated errno, int64_t a
 * count or a negated errno; void cannot fail.  No call sets errno. */
#ifndef WEIR_WEIR_H
#define WEIR_WEIR_H

#include <weir/base.h>
#include <weir/buf.h>
#include <weir/fiber.h>
#include <weir/future.h>
#include <weir/hist.h>
#include <weir/http.h>
#include <weir/net.h>
#include <weir/runtime.h>
#include <weir/shard.h>
#include <weir/sim.h>
#include <weir/sync.h>
#include <weir/time.h>
#include <weir/udp.h>

#endif
