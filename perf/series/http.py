"""http.py - what a request costs: few connections, many, and pipelined."""
from suite import loads
from suite.contest import Contest
from suite.engine import Series


def plain(conns, pipelined=1):
    return lambda run, server: loads.wrk(run, server, conns, pipelined=pipelined)


def rows(run):
    metrics = [loads.CPU, loads.P99, loads.RATE, loads.PEAK]
    return [
        Contest(plain(64)).row(run, "64", "64 connections", metrics),
        Contest(plain(1000)).row(run, "1000", "1,000 connections", metrics),
        Contest(plain(64, 16)).row(run, "pipelined", "16 pipelined over 64",
                                   [loads.CPU, loads.RATE, loads.PEAK]),
    ]


SERIES = Series(
    "http", "HTTP requests for 13 bytes", rows=rows,
    how="wrk in a closed loop on one CPU, the server on another. What counts is the server's CPU "
        "time per request: one wrk cannot load most of these servers fully, so requests per second "
        "tell of wrk as much as of them.")
