"""scale.py - the same load on one shard and on two."""
from suite import loads
from suite.contest import Contest
from suite.engine import Series

CONNS = 128
SHARDS = [1, 2]


def shared(run):
    return set(loads.cpus_for(run, 2)[0]) & set(loads.cpus_for(run, 2)[1])


def rows(run):
    metrics = [loads.CPU] if shared(run) else [loads.CPU, loads.P99]
    return [Contest(lambda run, server: loads.wrk(run, server, CONNS), shards=shards).row(
        run, str(shards), f"{shards} shard{'s' if shards > 1 else ''}",
        metrics + [loads.RATE, loads.PEAK], x=shards) for shards in SHARDS]


SERIES = Series(
    "scale", "one shard and two", rows=rows, plot="lines",
    x_title="shards (threads, workers)",
    how="wrk over 128 connections with as many threads as the server has shards. What a second "
        "shard costs shows in CPU time per request: it should stay. On a machine with fewer than "
        "four CPUs server and load share both, so requests per second then tell nothing of scaling.")
