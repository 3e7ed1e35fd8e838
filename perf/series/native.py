"""native.py - the native stack over an in-memory wire, beside its floor and the kernel's loopback."""
import json

from series.micro import program
from suite.engine import FLOOR, PEER, WEIR, Entrant, Failed, Metric, Row, Series

MILLIONS = Metric("rate", "M/s", "requests per second", "higher")
TIME = Metric("time", "us", "round trip, median")
GBIT = Metric("gbit", "Gbit/s", "one flow", "higher")
BYTES = Metric("bytes", "bytes", "memory of each")
FLOOR_NAME, KERNEL = "bare TCP", "kernel, epoll"
# row: title, metric, {who: (family, figure of bench_native, its row)}
ROWS = {
    "http-64": ("HTTP, 64 connections", MILLIONS, {
        "weir": (WEIR, "http", "http_64"), FLOOR_NAME: (FLOOR, "floor", "floor_64"),
        KERNEL: (PEER, "kernel", "kernel_epoll_64")}),
    "http-pipelined": ("HTTP, 10 pipelined over 64", MILLIONS, {
        "weir": (WEIR, "pipelined", "http_64_pipelined_10")}),
    "http-100000": ("HTTP, 100,000 connections", MILLIONS, {
        "weir": (WEIR, "http100k", "http_100000")}),
    "echo": ("echo of 64 bytes", TIME, {
        "weir": (WEIR, "echo", "echo_round_trip"),
        FLOOR_NAME: (FLOOR, "floor_echo", "floor_round_trip"),
        KERNEL: (PEER, "kernel", "kernel_round_trip")}),
    "echo-both": ("the same, the stack at both ends", TIME, {
        "weir": (WEIR, "ping", "echo_both_ends"), KERNEL: (PEER, "kernel", "kernel_round_trip")}),
    "bulk": ("one bulk flow, MTU 1500", GBIT, {
        "weir": (WEIR, "bulk", "bulk_both_ends"), KERNEL: (PEER, "kernel", "kernel_bulk")}),
    "million": ("a million idle connections", BYTES, {
        "weir": (WEIR, "million", "million_connections")}),
}


def bench_native(run, figure, name, key):
    said = program(run, "bench_native", "--json", "--cpus", ",".join(map(str, run.options.cpus)),
                   "--seconds", str(run.options.seconds), figure, timeout=300)
    for line in said.splitlines():
        if (row := json.loads(line))["name"].strip() == name:
            return {key: row["value"]}
    raise Failed(f"bench_native {figure} has no {name}")


def row_of(run, name):
    title, metric, who = ROWS[name]

    def enter(run, _stack):
        return {server: Entrant(family, lambda figure=figure, line=line:
                                bench_native(run, figure, line, metric.key))
                for server, (family, figure, line) in who.items()}
    return Row(name, title, [metric], enter, len(who), run.options.seconds * 1.7,
               rounds=min(3, run.options.rounds))


def rows(run):
    return [row_of(run, name) for name in ROWS]


def missing(run):
    return "" if len(set(run.options.cpus)) == 2 else "needs two CPUs"


SERIES = Series(
    "native", "the native TCP/IP stack", rows=rows, missing=missing,
    how="Server and client are two threads on two CPUs with an in-memory wire between them; the client "
        "is the least that can be called TCP. 'bare TCP' is that at both ends: headers, checksums, "
        "sequence numbers, and nothing that a real stack has to do besides. The kernel does the same "
        "exchange over loopback with a bare epoll loop.")
