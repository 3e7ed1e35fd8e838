"""conns.py - the same requests over 1 to 10,000 connections."""
import resource

from suite import loads
from suite.contest import Contest
from suite.engine import Series

COUNTS, QUICK = [1, 10, 100, 1000, 10000], [1, 100, 10000]
MANY = 4000   # from here on connecting takes a good part of a round
MANY_SECONDS = 4


def possible(count):
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1] > count + 64


def row(run, count):
    seconds = max(run.options.seconds, MANY_SECONDS) if count >= MANY else run.options.seconds
    contest = Contest(lambda run, server: loads.wrk(run, server, count, seconds=seconds))
    return contest.row(run, str(count), f"{count:,} connection{'s' if count > 1 else ''}",
                       [loads.CPU, loads.P99, loads.RATE, loads.PEAK], seconds=seconds + 0.3,
                       x=count)


def rows(run):
    return [row(run, count) for count in (QUICK if run.options.quick else COUNTS)
            if possible(count)]


SERIES = Series(
    "conns", "HTTP over 1 to 10,000 connections", rows=rows, plot="lines", x_title="connections",
    how="As http. With many connections each turn of a server finds more of them ready, which it "
        "can use. Opening and closing the connections is in the figures.")
