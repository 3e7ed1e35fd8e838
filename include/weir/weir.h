/* weir.h - all of weir.
 *
 *     future.h     a result that is not there yet: await, deadline, cancel
 *     fiber.h      straight-line code that awaits, and the scopes that own it
 *     task.h       fibers with a result: join, abort, sets, any shard
 *     shard.h      one scheduler per CPU, and calls between them
 *     time.h       clock, sleep, timers; the clock paused, for tests
 *     interval.h   ticks at a fixed rate
 *     sync.h       semaphore, mutex, read-write lock, condition variable
 *     event.h      notify, event, barrier, once
 *     oneshot.h    one value, once, from any shard or thread
 *     mpsc.h       messages from many senders, on any shards, to one receiver
 *     broadcast.h  every message to every receiver of a shard
 *     watch.h      one value, and who wants to know when it changes
 *     blocking.h   threads beside the shards, for what blocks
 *     net.h        TCP and Unix-domain streams
 *     udp.h        datagrams
 *     copy.h       from one connection to another, one way or both
 *     resolve.h    host names to addresses, and connecting by name
 *     http.h       an HTTP/1.1 server
 *     file.h       files
 *     process.h    child processes
 *     signal.h     signals of the process, to wait for
 *     buf.h        received bytes without copying
 *     runtime.h    configuration, start and stop
 *     sim.h        all of it in one thread, on a virtual clock, from a seed
 *     hist.h       percentiles of latencies
 *
 * A call that may suspend takes an absolute deadline last.  int is 0 or a negated errno, int64_t a
 * count or a negated errno; void cannot fail.  No call sets errno. */
#ifndef WEIR_WEIR_H
#define WEIR_WEIR_H

#include <weir/base.h>
#include <weir/blocking.h>
#include <weir/broadcast.h>
#include <weir/buf.h>
#include <weir/copy.h>
#include <weir/event.h>
#include <weir/fiber.h>
#include <weir/file.h>
#include <weir/future.h>
#include <weir/hist.h>
#include <weir/http.h>
#include <weir/interval.h>
#include <weir/mpsc.h>
#include <weir/net.h>
#include <weir/oneshot.h>
#include <weir/process.h>
#include <weir/resolve.h>
#include <weir/runtime.h>
#include <weir/shard.h>
#include <weir/signal.h>
#include <weir/sim.h>
#include <weir/sync.h>
#include <weir/task.h>
#include <weir/time.h>
#include <weir/udp.h>
#include <weir/watch.h>

#endif
