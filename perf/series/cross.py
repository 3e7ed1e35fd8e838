"""cross.py - from one shard to the other and back, beside two bare rings."""
from series.micro import bench_micro
from suite.engine import FLOOR, WEIR, Entrant, Metric, Row, Series

NS = Metric("ns", "ns", "time per call")
RINGS = "two bare rings"
CALLS = {  # of bench_micro: title, whether two rings do the same
    "call-busy": ("brief call, both busy", True),
    "call-adaptive": ("brief call, idling by default", True),
    "call-no-net": ("brief call without a socket stack", True),
    "call-fiber": ("call that may wait", True),
    "call-pipelined": ("each of 128 under way", False),
    "call-asleep": ("both asleep before", False),
}


def row(run, name, title, beside):
    def enter(run, _stack):
        entrants = {"weir": Entrant(WEIR, lambda: bench_micro(run, name))}
        if beside:
            entrants[RINGS] = Entrant(FLOOR, lambda: bench_micro(run, "two-rings"))
        return entrants
    return Row(name, title, [NS], enter, 1 + beside, 0.2)


def rows(run):
    return [row(run, name, title, beside) for name, (title, beside) in CALLS.items()]


def missing(run):
    return "" if len(set(run.options.cpus)) == 2 else "needs two CPUs"


SERIES = Series(
    "cross", "calls between shards", rows=rows, missing=missing,
    how="Two pinned shards. The yardstick is a pointer out through one ring and back through "
        "another with a busy thread at either end and nothing else: no scheduler, nobody else to "
        "serve. No framework can be as fast; it says what is left.")
