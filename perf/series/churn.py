"""churn.py - a connection per request."""
import field
from suite import loads
from suite.contest import Contest
from suite.engine import Series


def load(run, server):
    return loads.wrk(run, server, 64, close=True)


def rows(run):
    return [Contest(load, mode=field.CLOSE).row(
        run, "64", "64 at a time", [loads.CPU, loads.P99, loads.RATE, loads.PEAK])]


SERIES = Series(
    "churn", "a connection per request", rows=rows,
    how="wrk asks each server to close behind its answer (Connection: close): accept, one request, "
        "close.")
