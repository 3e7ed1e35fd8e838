#!/usr/bin/env python3
"""bench.py - the figures of weir, beside the floors, in one run.

    a64 a1000   server CPU per request, unpipelined, over 64 and 1,000 connections
    b           the same, 16 requests pipelined over 64 connections
    c           p99 of the latency that wrk saw during a64 and a1000
    d           resident bytes per idle keep-alive connection
    e           CPU of an idle server, busiest shard
    f           call to another shard and back, beside two bare rings; calls in a pipeline
    g           what the parts of the scheduler cost: nanoseconds and instructions
    n           the native stack over an in-memory wire, beside a floor and the kernel's loopback
    layers      what the native stack's layers cost: instructions and nanoseconds (layers.py)
    dpdk        the native stack over virtual NICs, beside the kernel and l2fwd (bench_dpdk.py)
    runtimes    tasks, channels, timers, beside Tokio and Node (bench_runtimes.py)

Rounds are interleaved over the servers, so a disturbance meets all of them, and a ratio is the
median of the ratios within each round.  Targets are printed beside, and judged for weir on io_uring.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys

import bench_dpdk
import bench_runtimes
import instructions
import layers
import measure
from measure import Failed

HERE = os.path.dirname(os.path.abspath(__file__))
FIGURES = ["a64", "a1000", "b", "c", "d", "e", "f", "g", "n", "layers", "dpdk", "runtimes"]
LOADS = {  # figure: connections, pipelined, what, at most so many times the better floor
    "a64": (64, 1, "us of server CPU per request, 64 connections", 1.05),
    "a1000": (1000, 1, "us of server CPU per request, 1,000 connections", 1.05),
    "b": (64, 16, "us of server CPU per request, 64 connections, 16 pipelined", 1.3),
}
# row of bench_native: what it is compared with, at least or at most, target (times x: that row)
NATIVE = {
    "http_64": (">=", 20, "kernel_epoll_64"),
    "http_64_pipelined_10": (">=", 12, None),
    "http_100000": (">=", 2, None),
    "echo_round_trip": ("<=", 0.8, None),
    "echo_both_ends": ("<=", 0.8, None),
    "bulk_both_ends": (">=", 1, "kernel_bulk"),
    "million_connections": ("<=", 500, None),
}
P99_MAX, IDLE_BYTES_MAX, IDLE_CPU_MAX, CALL_MAX = 1.1, 300, 0.002, 2.5
FLOORS = {
    "floor-epoll": "{perf}/floor_epoll {{port}} {{cpu}}",
    "floor-uring": "{perf}/floor_uring {{port}} {{cpu}}",
}
WEIR = "{apps}/weir-http --listen 127.0.0.1:{{port}} --shards {shards} --cpus {cpus} --stack {stack}"
WEIRS = {"weir-uring": "uring", "weir-epoll": "epoll"}


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(HERE, "..", "build"), metavar="DIR",
                        help="where meson has built (default: build/)")
    parser.add_argument("--only", metavar="A,B", help="only these figures")
    parser.add_argument("--servers", metavar="A,B",
                        help="only these of " + ", ".join([*FLOORS, *WEIRS]))
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=COMMAND",
                        help="another server for a64 to d; {port} and {cpu} are filled in")
    parser.add_argument("--quick", action="store_true", help="3 rounds of 1 s: a first look")
    parser.add_argument("--rounds", type=int, metavar="N", help="per server (default 9)")
    parser.add_argument("--seconds", type=int, metavar="S", help="per round (default 2)")
    parser.add_argument("--idle", type=int, default=8000, metavar="N",
                        help="connections for d (default 8000)")
    parser.add_argument("--cpus", default=None, metavar="A,B",
                        help="the server's CPU and the load's (default: the first two allowed)")
    parser.add_argument("--boost", action="store_true",
                        help="ask the scheduler to favour server and load over all else")
    parser.add_argument("--json", metavar="FILE", help="everything measured, as JSON")
    parser.add_argument("--keep", action="store_true", help="write layers to perf/LAYERS.md")
    args = parser.parse_args()
    complete_args(parser, args)
    return args


def complete_args(parser, args):
    args.only = args.only.split(",") if args.only else list(FIGURES)
    for figure in args.only:
        if figure not in FIGURES:
            parser.error(f"no such figure: {figure}; there are: {' '.join(FIGURES)}")
    args.rounds = args.rounds or (3 if args.quick else 9)
    args.seconds = args.seconds or (1 if args.quick else 2)
    if args.rounds < 1 or args.seconds < 1 or args.idle < 1:
        parser.error("--rounds, --seconds and --idle are at least 1")
    allowed = sorted(os.sched_getaffinity(0))
    try:
        args.cpus = [int(c) for c in args.cpus.split(",")] if args.cpus else allowed[:2]
    except ValueError:
        parser.error("--cpus: two numbers, such as 0,1")
    if len(args.cpus) != 2 or not set(args.cpus) <= set(allowed):
        parser.error("needs two CPUs: one for the server and one for the load")
    try:
        args.json = open(args.json, "w", encoding="utf-8") if args.json else None
    except OSError as error:
        parser.error(f"--json {args.json}: {error.strerror}")
    args.build = os.path.abspath(args.build)
    args.commands = commands(parser, args)


def weir_command(args, stack, shards, cpus):
    return WEIR.format(apps=os.path.join(args.build, "apps"), stack=stack, shards=shards, cpus=cpus)


def commands(parser, args):
    """{name: command} of the servers to compare."""
    result = {n: c.format(perf=os.path.join(args.build, "perf")) for n, c in FLOORS.items()}
    for name, stack in WEIRS.items():
        result[name] = weir_command(args, stack, 1, args.cpus[0])
    if args.servers:
        wanted = args.servers.split(",")
        for name in wanted:
            if name not in result:
                parser.error(f"no such server: {name}; there are: {' '.join(result)}")
        result = {n: c for n, c in result.items() if n in wanted}
    for peer in args.peer:
        name, equals, command = peer.partition("=")
        if not equals or not command:
            parser.error(f"--peer {peer}: give NAME=COMMAND")
        result[name] = command
    return result


# --- a, b, c: under load ---

def run_load(args, figure, results):
    conns, pipelined, _, _ = LOADS[figure]
    servers = {}
    rounds = results.setdefault(figure, {})
    try:
        for name, command in args.commands.items():
            start_server(args, name, command, servers, rounds)
        compare_answers(servers)
        for number in range(args.rounds):
            for name in measure.shuffled(servers):
                load_round(args, figure, number, servers[name], conns, pipelined, rounds[name])
    finally:
        for server in servers.values():
            server.stop()


def start_server(args, name, command, servers, rounds):
    rounds[name] = {"rounds": [], "error": None}
    try:
        servers[name] = measure.Server(name, command, args.cpus[0], args.boost)
    except Failed as error:
        rounds[name]["error"] = str(error)
        say(str(error))


def compare_answers(servers):
    sizes = {}
    for name, server in servers.items():
        try:
            sizes[name] = measure.answer_bytes(server.port)
        except (Failed, OSError) as error:
            say(f"{name}: {error}")
    if len(set(sizes.values())) > 1:
        say("the answers differ in length: " + ", ".join(f"{n} {s}" for n, s in sizes.items()))


def load_round(args, figure, number, server, conns, pipelined, into):
    if into["error"]:
        return
    try:
        one = measure.round_quiet(server, args.cpus[1], conns, pipelined, args.seconds, args.boost)
    except (Failed, OSError) as error:
        into["error"] = str(error)
        say(f"{figure} {server.name}: invalid: {error}")
        return
    into["rounds"].append({"round": number, **one})
    say(f"{figure} {number + 1}/{args.rounds} {server.name:12} {one['cpu_us']:7.3f} us "
        f"{one['rate'] / 1e3:7.1f}k/s  p99 {one['p99_us']:6.0f} us  busy {one['busy']:4.0%}"
        f"  noise {one['noise']:4.0%}" + (f"  try {one['tries']}" if one["tries"] > 1 else ""))


def median_of(rounds, key):
    return statistics.median(r[key] for r in rounds)


def better_floor(figure, key):
    """The name of the floor with the lower median."""
    floors = [n for n in FLOORS if n in figure and not figure[n]["error"] and figure[n]["rounds"]]
    return min(floors, key=lambda n: median_of(figure[n]["rounds"], key), default=None)


def paired_ratio(entry, base, key):
    """The median over the rounds of how this one did to how that one did."""
    bases = {r["round"]: r[key] for r in base["rounds"]}
    ratios = [r[key] / bases[r["round"]] for r in entry["rounds"] if bases.get(r["round"])]
    return statistics.median(ratios) if ratios else None


def verdict(name, value, limit):
    if name not in WEIRS or value is None:
        return ""
    return "reached" if value <= limit else "MISSED"


def table_load(figure, key, title, limit):
    """A table of one key of the rounds; returns {name: ratio}."""
    floor = better_floor(figure, key)
    print(f"\n{title}" + (f"; at most {limit} x the better floor ({floor})" if floor else ""))
    for name, entry in figure.items():
        if entry["error"] or not entry["rounds"]:
            print(f"  {name:14} invalid: {entry['error']}")
            continue
        values = [r[key] for r in entry["rounds"]]
        ratio = paired_ratio(entry, figure[floor], key) if floor else None
        entry[f"{key}_median"], entry[f"{key}_ratio"] = statistics.median(values), ratio
        print(f"  {name:14} {statistics.median(values):9.3f}  [{min(values):.3f} .. "
              f"{max(values):.3f}]" + (f"   x {ratio:.3f}" if ratio else "") +
              f"   {median_of(entry['rounds'], 'rate') / 1e3:.1f}k/s"
              f"   {verdict(name, ratio, limit)}")


# --- d, e: doing nothing ---

def alone(args, name, command, job):
    """Starts a server of its own for one measurement; (value, error)."""
    server = None
    try:
        server = measure.Server(name, command, args.cpus[0], False)
        return job(server), None
    except (Failed, OSError) as error:
        say(f"{name}: {error}")
        return None, str(error)
    finally:
        if server:
            server.stop()


def run_idle_bytes(args, results):
    into = results.setdefault("d", {})
    for name, command in args.commands.items():
        say(f"d {name}: opening {args.idle} connections")
        value, error = alone(args, name, command,
                             lambda server: measure.bytes_per_idle(server, args.idle))
        into[name] = {"bytes": value, "error": error}


def table_idle_bytes(results):
    print(f"\nd: resident bytes per idle connection; at most {IDLE_BYTES_MAX}")
    for name, entry in results["d"].items():
        if entry["error"]:
            print(f"  {name:14} invalid: {entry['error']}")
        else:
            print(f"  {name:14} {entry['bytes']:9.1f}   "
                  f"{verdict(name, entry['bytes'], IDLE_BYTES_MAX)}")


def run_idle_cpu(args, results):
    into = results.setdefault("e", {})
    cpus = ",".join(str(c) for c in args.cpus)
    for name, stack in WEIRS.items():
        if name not in args.commands:
            continue
        say(f"e {name}: two shards, idle for 10 s")
        value, error = alone(args, name, weir_command(args, stack, 2, cpus),
                             lambda server: measure.idle_cpu(server, 10, 100))
        into[name] = {"share": value, "error": error}


def table_idle_cpu(results):
    print(f"\ne: CPU of the busiest shard of an idle server with 100 connections; under "
          f"{IDLE_CPU_MAX:.1%}")
    for name, entry in results["e"].items():
        if entry["error"]:
            print(f"  {name:14} invalid: {entry['error']}")
        else:
            print(f"  {name:14} {entry['share']:9.4%}   "
                  f"{verdict(name, entry['share'], IDLE_CPU_MAX)}")


# --- f, g: bench_micro ---

def micro(args, only):
    program = os.path.join(args.build, "perf", "bench_micro")
    argv = [program, "--json", "-", "--cpus", ",".join(str(c) for c in args.cpus),
            "--repeat", "7" if args.quick else "31"]
    ran = subprocess.run(argv + (["--only", only] if only else []), capture_output=True, text=True,
                         check=False, preexec_fn=measure.in_front if args.boost else None)
    if ran.returncode != 0:
        raise Failed(f"bench_micro: {ran.stderr.strip()}")
    return {entry["name"]: entry for entry in json.loads(ran.stdout)["results"]}


def run_micro(args, results):
    want_g = "g" in args.only
    try:
        say("f, g: bench_micro")
        results["micro"] = micro(args, None if want_g else
                                 "two-rings,call-busy,call-adaptive,call-no-net,call-fiber,call-pipelined")
    except (Failed, OSError) as error:
        say(str(error))
        return
    if not want_g:
        return
    try:
        counted = instructions.measure(os.path.join(args.build, "perf", "bench_micro"),
                                       instructions.NAMES, lambda text: say(f"g: {text}"))
        for name, value in counted.items():
            results["micro"][name]["instructions"] = value
    except instructions.Failed as error:
        say(f"g: instructions are left out: {error}")


def table_micro(args, results):
    entries = results.get("micro")
    if not entries:
        print("\nf, g: bench_micro did not run")
        return
    rings = entries.get("two-rings", {}).get("ns_median")
    print(f"\nf, g: nanoseconds (median, min) and instructions; a call is at most {CALL_MAX} x "
          "two-rings")
    for name, entry in entries.items():
        line = f"  {name:18} {entry['ns_median']:10.1f} {entry['ns_min']:10.1f}"
        line += f" {entry['instructions']:8.1f}" if "instructions" in entry else " " * 9
        line += f"   {entry['what']}"
        if name in ("call-busy", "call-adaptive") and rings:
            ratio = entry["ns_median"] / rings
            line += f"; x {ratio:.2f}   " + ("reached" if ratio <= CALL_MAX else "MISSED")
        print(line)


# --- n: bench_native ---

def run_native(args, results):
    argv = [os.path.join(args.build, "perf", "bench_native"), "--json",
            "--cpus", ",".join(str(c) for c in args.cpus), "--seconds", str(args.seconds)]
    rows = results["native"] = {}
    for number in range(1 if args.quick else 3):
        say(f"n: bench_native, round {number + 1}")
        try:
            ran = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=600,
                                 preexec_fn=measure.in_front if args.boost else None)
        except (OSError, subprocess.TimeoutExpired) as error:
            say(f"n: {error}")
            return
        if ran.returncode != 0:
            say(f"n: bench_native: {ran.stderr.strip()}")
            return
        for line in ran.stdout.splitlines():
            row = json.loads(line)
            entry = rows.setdefault(row["name"], {**row, "values": []})
            entry["values"].append(row["value"])
            entry["value"] = statistics.median(entry["values"])


def table_native(results):
    rows = results.get("native", {})
    print("\nn: the native stack, two CPUs of one process (median, min, max)")
    for name, row in rows.items():
        values = row["values"]
        line = (f"  {name:24} {row['value']:10.3f} {min(values):10.3f} {max(values):10.3f}"
                f"  {row['unit']:12}")
        if name in NATIVE:
            how, target, base = NATIVE[name]
            value = row["value"] / rows[base]["value"] if base in rows else row["value"]
            good = value >= target if how == ">=" else value <= target
            line += f" {value:8.2f}{' x ' + base if base else ''} {how} {target}: "
            line += "reached" if good else "MISSED"
        print(line if name in NATIVE else f"{line} {row['note']}")


# --- layers ---

def run_layers(args, results):
    try:
        results["layers"] = layers.measure(
            os.path.join(args.build, "perf", "bench_native"), seconds=args.seconds,
            cpus=",".join(str(c) for c in args.cpus), progress=say)
    except layers.Failed as error:
        say(f"layers are left out: {error}")
        return
    if args.keep:
        layers.keep(results["layers"], args.build)


# --- all ---

def run_all(args, results):
    loads = [f for f in LOADS if f in args.only]
    if "c" in args.only:
        loads += [f for f in ("a64", "a1000") if f not in loads]
    for figure in loads:
        run_load(args, figure, results)
    if "d" in args.only:
        run_idle_bytes(args, results)
    if "e" in args.only:
        run_idle_cpu(args, results)
    if "f" in args.only or "g" in args.only:
        run_micro(args, results)
    if "n" in args.only:
        run_native(args, results)
    if "layers" in args.only:
        run_layers(args, results)
    if "dpdk" in args.only:
        results["dpdk"] = bench_dpdk.measure(args.build, args.cpus, args.rounds, args.seconds)
    if "runtimes" in args.only:
        results["runtimes"] = bench_runtimes.measure(args.build, args.cpus, args.rounds)


def print_all(args, results):
    for figure, (_, _, what, limit) in LOADS.items():
        if figure in results and figure in args.only:
            table_load(results[figure], "cpu_us", f"{figure}: {what}", limit)
    for figure in ("a64", "a1000"):
        if "c" in args.only and figure in results:
            table_load(results[figure], "p99_us", f"c: p99 in us during {figure}", P99_MAX)
    if "d" in results:
        table_idle_bytes(results)
    if "e" in results:
        table_idle_cpu(results)
    if "f" in args.only or "g" in args.only:
        table_micro(args, results)
    if "n" in args.only:
        table_native(results)
    layers.print_tables(results.get("layers", {}))
    bench_dpdk.print_table(results.get("dpdk", {}))
    bench_runtimes.print_table(results.get("runtimes", {}))
    sys.stdout.flush()


def main():
    args = parse_args()
    results = {}
    try:
        run_all(args, results)
    except KeyboardInterrupt:
        say("interrupted: what there is")
    print_all(args, results)
    if args.json:
        with args.json:
            json.dump({"rounds": args.rounds, "seconds": args.seconds, "figures": results},
                      args.json, indent=1)


if __name__ == "__main__":
    main()
