"""bulk.py - large bodies."""
import field
from suite import loads
from suite.contest import Contest
from suite.engine import Metric, Series

CONNS = 16
METRICS = [Metric("cpu", "us", "server CPU per MiB"), Metric("gbit", "Gbit/s", "bodies", "higher",
                                                              judged=False), loads.PEAK]


def load(run, server):
    result = loads.wrk(run, server, CONNS, field.BULK)
    return {**result, "gbit": result["rate"] * field.BULK_BYTES * 8 / 1e9}


def rows(run):
    return [Contest(load, mode=field.BULK_MODE).row(run, "mib", f"1 MiB, {CONNS} connections",
                                                    METRICS)]


SERIES = Series(
    "bulk", "large bodies", rows=rows,
    how="wrk fetches bodies of 1 MiB over 16 connections: most of it is copying, by the kernel.")
