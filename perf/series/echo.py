"""echo.py - bytes there and back over plain TCP."""
import field
from suite import loads
from suite.contest import Contest
from suite.engine import Series

BULK = 16384


def echoes(conns, size):
    return Contest(lambda run, server: loads.weir_load_echo(run, server, conns, size), field.ECHO)


def rows(run):
    metrics = [loads.CPU, loads.P99, loads.RATE, loads.PEAK]
    return [
        echoes(1, 64).row(run, "1", "64 bytes, 1 connection", metrics),
        echoes(64, 64).row(run, "64", "64 bytes, 64 connections", metrics),
        echoes(1000, 64).row(run, "1000", "64 bytes, 1,000 connections", metrics),
        echoes(16, BULK).row(run, "16k", "16 KiB, 16 connections", metrics),
    ]


SERIES = Series(
    "echo", "messages echoed over TCP", rows=rows,
    how="weir-load in a closed loop on one CPU, the server on another; each connection sends its "
        "next message when the last has come back, and every byte is compared.")
