"""latency.py - open loop: percentiles at 20, 50 and 80% of what each server can do itself."""
from suite import loads
from suite.contest import Contest
from suite.engine import Metric, Series

SHARES = [20, 50, 80]
CONNS = 64
SECONDS, QUICK_SECONDS, QUICK_ROUNDS = 5, 2, 2
PERCENTILES = [
    Metric("p50", "us", "median latency"),
    Metric("p90", "us", "90th percentile", judged=False),
    loads.P99,
    Metric("p99.9", "us", "99.9th percentile", judged=False),
    Metric("p99.99", "us", "99.99th percentile"),
    Metric("max", "us", "the slowest", judged=False),
]


def maximum(run, server):
    return loads.weir_load_http(run, server, CONNS)


def at(share):
    def load(run, server):
        seconds = SECONDS if not run.options.quick else QUICK_SECONDS
        rate = run.median("latency/maximum/rate", server.name) * share / 100
        return loads.weir_load_http(run, server, CONNS, "--rate", f"{rate:.0f}",
                                    seconds=seconds)
    return load


def rows(run):
    quick = run.options.quick
    seconds = (QUICK_SECONDS if quick else SECONDS) + 0.2
    result = [Contest(maximum).row(run, "maximum", "the most it can do", [loads.RATE, loads.CPU],
                                   rounds=3)]
    for share in SHARES:
        result.append(Contest(at(share)).row(
            run, str(share), f"at {share}% of its maximum", PERCENTILES + [loads.CPU, loads.RATE],
            seconds=seconds, rounds=QUICK_ROUNDS if quick else None, x=share))
    return result


SERIES = Series(
    "latency", "latency in an open loop", rows=rows, plot="percentiles",
    how="First weir-load finds how many requests per second each server can do over 64 connections "
        "in a closed loop. Then requests are due at fixed moments, at 20, 50 and 80% of that "
        "server's own maximum, and latency counts from the moment a request was due: a server that "
        "stands still is charged for all that waited meanwhile.")
