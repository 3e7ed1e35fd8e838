"""runtimes.py - tasks, channels, timers: the same rows on weir, Tokio and Node."""
import functools

import bench_runtimes
from suite.engine import CAN_FAIL, PEER, WEIR, Entrant, Metric, Row, Series

METRICS = {unit: Metric("cost", unit, "of each") for unit in ("ns", "us", "bytes")}
SECONDS = 1.5


@functools.cache
def programs(run):
    """{name: (argv, its rows)} of those that are there."""
    found = {}
    for name in bench_runtimes.MAKERS:
        try:
            run.progress.show("runtimes: building", name)
            found[name] = bench_runtimes.program(run.place.build, name)
            if name != bench_runtimes.WEIR:
                run.results.machine.setdefault("servers", {})[name] = \
                    bench_runtimes.version(name, found[name][0])
        except CAN_FAIL as error:
            run.left_out[f"{name}, of the series runtimes"] = str(error)
            run.say(f"runtimes: going on without {name}: {error}")
    return found


def in_row(run, row):
    """{who: the row it does}: what Tokio does by workers that share, weir does across shards."""
    result = {}
    for name, (_, rows) in programs(run).items():
        own = bench_runtimes.SAME.get(row, row) if name == bench_runtimes.WEIR else row
        if own in rows:
            result[name] = own
    return result


def row_of(run, name, unit, title):
    def enter(run, _stack):
        return {who: Entrant(WEIR if who == bench_runtimes.WEIR else PEER,
                             lambda who=who, own=own: {"cost": bench_runtimes.once(
                                 programs(run)[who][0], own, run.options.cpus)})
                for who, own in in_row(run, name).items()}
    return Row(name, title, [METRICS[unit]], enter, len(in_row(run, name)), SECONDS)


def rows(run):
    return [row_of(run, name, unit, title)
            for name, (unit, title) in bench_runtimes.ROWS.items()]


def missing(run):
    return "" if len(set(run.options.cpus)) == 2 else "needs two CPUs"


SERIES = Series(
    "runtimes", "tasks, channels, timers", rows=rows, missing=missing,
    how="Each row is the same thing written as a user of that runtime would write it, with its "
        "defaults; a process per figure, pinned to the same two CPUs. 'one' is one thread, 'two' is "
        "two threads, each with a shard or a current-thread runtime, so that every message crosses; "
        "'workers' is Tokio's multi-thread runtime with two workers, and weir's row of two threads "
        "beside it. Node gives way by setImmediate; its two threads are a worker and the main one.")
