"""dpdk.py - the native stack over virtual NICs, beside the kernel over the same wire."""
import bench_dpdk
from suite import loads
from suite.engine import PEER, WEIR, Metric, ResultRow, Series
from suite.results import Cell

RATE = Metric("rate", "1/s", "requests per second", "higher")
PACKETS = Metric("packets", "1/s", "packets sent back under a flood", "higher")
METRICS = {"rate": RATE, "cpu_us": loads.CPU, "p99_us": loads.P99}


def collect(run):
    options = run.options
    measured = bench_dpdk.measure(options.build, options.cpus, min(options.rounds, 5),
                                  max(1, int(options.seconds)))
    if "skipped" in measured:
        raise bench_dpdk.Failed(measured["skipped"])
    return [*request_rows(measured["requests"]), *packet_rows(measured["packets"])]


def cell_of(family, entry, key):
    return Cell(family, [] if entry["error"] else [one[key] for one in entry["rounds"]],
                1 if entry["error"] else 0, entry["error"])


def request_rows(requests):
    for key, metric in METRICS.items():
        row = ResultRow("dpdk", "requests", "requests, 64 connections", metric)
        for name, entry in requests.items():
            family = PEER if name in bench_dpdk.KERNEL else WEIR
            row.servers[name] = cell_of(family, entry, key)
        yield row


def packet_rows(packets):
    for name, entry in packets.items():
        row = ResultRow("dpdk", f"packets-{name}", f"packets over {name}", PACKETS)
        for who, family in (("weir", WEIR), ("l2fwd", PEER)):
            row.servers[who] = cell_of(family, entry[who], "back")
        yield row


SERIES = Series(
    "dpdk", "the native stack over DPDK's virtual NICs", collect=collect,
    seconds=lambda run: min(run.options.rounds, 5) * 14 * (run.options.seconds + 2),
    how="wrk in the kernel of this machine, the server behind a veth in a network namespace, over "
        "af_xdp, af_packet, net_tap and weir's own tap; the kernel's TCP over the same veth is "
        "the yardstick. l2fwd only swaps MAC addresses.")
