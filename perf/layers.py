#!/usr/bin/env python3
"""layers.py - what the native stack's layers cost: instructions by callgrind, nanoseconds by samples.

    layers.py [--build DIR] [--only http,echo,bulk_in,bulk_out] [--json FILE] [--keep]

Instructions: bench_native --count runs server and client in one thread, on a clock of its own, and
callgrind counts what happens below count_turn, the server's turn.  Two runs that differ only in the
number of requests; the difference is free of start-up, and equal from run to run to the last digit.

Nanoseconds: the same program without callgrind says how long the server's turns took, and where it
was at 5,000 moments a second divides that among the layers.  So nobody waits, and no cache line comes from another CPU: what
the same exchange takes between two CPUs is measured beside, as one number.

Every instruction counts to the source file it was written in, inlined or not, and files to layers
by LAYERS; small headers that everybody uses (FOLLOW) count to the function they were inlined into.
A file that LAYERS does not know is an error: whoever adds one says where it belongs.
--keep writes the tables to perf/LAYERS.md.
"""
import argparse
import collections
import functools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

from suite import machine

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
KEPT = os.path.join(HERE, "LAYERS.md")
ROOMS = {"core", "sched", "net", "include", "perf"}

RECEIVE, SERVE, TRANSMIT, SHARED = "receive", "serve", "transmit", "shared"

# In the order of a packet's way.  A place is a file, or several as a regular expression that must
# match all of its path; "file function" takes only functions whose name matches.  First match wins.
LAYERS = [
    ("device in", RECEIVE, [r"net/dev/.*\.c .*(?:rx|release|let_go|next).*"]),
    ("Ethernet in", RECEIVE, [
        r"net/native/ether\.c (?!.*send).*", r"net/native/(?:arp|wire/ether|wire/arp)\.c"]),
    ("IP in", RECEIVE, [r"net/native/(?:wire/)?ip[46]\.c", r"net/native/(?:frag|icmp[46]?)\.c",
                        r"net/native/wire/(?:icmp[46]|quote|nd)\.c"]),
    ("checksums in", RECEIVE, [r"net/native/checksum\.c (?!.*copy).*"]),
    ("flow look-up", RECEIVE, [r"net/native/(?:flows|toeplitz|steer)\.[ch]"]),
    ("TCP receive", RECEIVE, [
        r"net/native/tcp_(?:input|states|ack|reass|sack|rtt|rack|cc_cubic|cc_reno)\.c",
        r"net/native/tcp_in\.h", r"net/native/wire/tcp\.c",
        r"net/native/tcp_queue\.c .*acked.*", r"net/native/tcp\.h .*(?:rx_take|held|wnd).*"]),
    ("sockets", SERVE, [r"net/(?:socket|addr)\.c", r"net/native/(?:socket|listener|addr)\.c",
                        r"net/stack\.h", r"include/weir/.*"]),
    ("fibers and scheduler", SERVE, [r"sched/(?!time\.c).*", r"core/(?:spsc\.h|cpu\.[ch]|list\.h|base\.h)"]),
    ("HTTP parser", SERVE, [r"net/http/(?:parser|scan|parse_head|parse_whole|authority)\.[ch]"]),
    ("HTTP, the rest", SERVE, [r"net/http/.*"]),
    ("application", SERVE, [r"perf/.*"]),
    ("checksums and copy out", TRANSMIT, [r"net/native/checksum\.c .*copy.*"]),
    ("TCP transmit", TRANSMIT, [r"net/native/tcp_(?:queue|output|build|window|reply)\.c",
                                r"net/native/tcp_send\.h", r"net/native/tcp\.h (?!.*arm).*"]),
    ("path and IP out", TRANSMIT, [
        r"net/native/(?:path|route|neigh|pmtu|nd|ra|mld)\.c", r"net/native/ether\.c .*send.*"]),
    ("device out", TRANSMIT, [r"net/native/iface\.c", r"net/native/native\.c .*flush.*",
                              r"net/dev/.*"]),
    ("packets and pools", SHARED, [r"net/pkt\.[ch]", r"net/native/bigs\.c", r"core/(?:pool|buf)\..",
                                   r"include/weir/buf\.h"]),
    ("the stack's turn", SHARED, [r"net/native/(?:native|glue)\.[ch]"]),
    ("timers", SHARED, [r"core/wheel\.[ch]", r"sched/time\.c", r"net/native/tcp_timer\.c",
                        r"net/native/tcp\.h .*arm.*"]),
    ("opening and closing", SHARED, [
        r"net/native/tcp_(?:open|listen|wait|cookie|icmp)\.c", r"net/native/(?:isn|ports)\.c",
        r"net/native/(?:ip|shared|dhcp|udp|udp_ports|udp_send)\.c", r"net/native/wire/(?:dhcp|udp)\.c",
        r"net/udp.*\.c", r"core/(?:base|parse|hist)\.c"]),
    ("copies and other libc", SHARED, [r"libc"]),
]
FOLLOW = re.compile(r"include/weir/(?!buf\.h).*|core/(?:base|list|parse)\.h|net/(?:dev|stack|udp_queue)\.h|"
                    r"net/dev/.*\.h|sched/(?:shard|fiber|call|stack)\.h|net/http/(?:server|router)\.h|"
                    r"net/native/(?:tcp|native|glue|ip|udp|shared|checksum)\.h|"
                    r"net/native/wire/wire\.h")
# exchange: unit; figure of bench_native for the same between two CPUs, its row, ns of a unit by the
# row's value
EXCHANGES = {
    "http": ("request of 100 bytes, 64 connections", "http", "http_64", lambda v: 1e3 / v),
    "echo": ("echo of 64 bytes, one connection", "echo", "echo_round_trip", lambda v: 1e3 * v),
    "bulk_in": ("1,448 bytes received, one flow", "bulk", "bulk_both_ends",
                lambda v: 1448 * 8 / v),
    "bulk_out": ("1,448 bytes sent, one flow", "bulk", "bulk_both_ends",
                 lambda v: 1448 * 8 / v),
}
FEW, MANY = 3200, 12800
SAMPLED = 4000000
Place = collections.namedtuple("Place", "file home function")  # home: the function's own file


class Failed(Exception):
    """A table that could not be made."""


# --- from places to layers ---

@functools.cache
def in_tree(path):
    """A path as debug information has it, relative to the tree; what is not of the tree: None."""
    parts = os.path.normpath(path).split(os.sep)
    for at, part in enumerate(parts):
        inside = os.path.join(*parts[at:]) if part in ROOMS else ""
        if inside and os.path.isfile(os.path.join(ROOT, inside)):
            return inside
    return None


def matches(rule, path, function):
    file_rule, _, function_rule = rule.partition(" ")
    return (re.fullmatch(file_rule, path) and
            (not function_rule or re.fullmatch(function_rule, function)))


def layer_of_file(path, function):
    for name, _, rules in LAYERS:
        if any(matches(rule, path, function) for rule in rules):
            return name
    raise Failed(f"{path} ({function}) has a cost and no layer: add it to LAYERS in perf/layers.py")


def layer_of(place):
    path = in_tree(place.file)
    if path is None or FOLLOW.fullmatch(path):
        path = in_tree(place.home) or ("libc" if place.home == "libc" else path)
    return layer_of_file(path or "libc", place.function)


def by_layer(costs):
    """{layer: cost} of {place: cost}, in the order of LAYERS."""
    sums = dict.fromkeys((name for name, _, _ in LAYERS), 0)
    for place, cost in costs.items():
        if cost:
            sums[layer_of(place)] += cost
    return sums


# --- where code comes from ---

def tool(*argv, text=None):
    """What a program prints."""
    try:
        ran = subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise Failed(f"{argv[0]} is not installed") from None
    if ran.returncode != 0:
        raise Failed(f"{' '.join(argv[:4])}: {ran.stderr.strip()[-300:]}")
    return ran.stdout


def places_at(program, addresses):
    """{address: Place}: the innermost file, and function and file it was inlined into last."""
    addresses = sorted(addresses)
    said = tool("addr2line", "-a", "-i", "-f", "-e", program,
                text="\n".join(f"{address:#x}" for address in addresses))
    result = {}
    for address, block in zip(addresses, re.split(r"^0x[0-9a-f]+\n", said, flags=re.M)[1:]):
        lines = block.splitlines()
        files = [line.rsplit(":", 1)[0] for line in lines[1::2]]
        result[address] = Place(files[0], files[-1], lines[-2])
    return result


def homes(program):
    """{function: set of the files that define one of that name}.  What callgrind calls the file of a
    function is that of its first instruction, which may be inlined."""
    symbols = re.findall(r"^([0-9a-f]+) [tT] (\S+)$", tool("nm", program), flags=re.M)
    places = places_at(program, {int(address, 16) for address, _ in symbols})
    result = collections.defaultdict(set)
    for address, name in symbols:
        home = in_tree(places[int(address, 16)].home)
        if home:
            result[name].add(home)
    return result


# --- instructions ---

NAME = re.compile(r"\((\d+)\)(?: (.*))?$")


class Profile:
    """The self costs of a callgrind file, by place."""

    def __init__(self, path, home_of):
        self.home_of = home_of
        self.names = {"ob": {}, "fl": {}, "fn": {}}
        self.costs = collections.Counter()
        self.file = self.home = self.function = self.object = ""
        self.total = None
        with open(path, encoding="utf-8", errors="replace") as lines:
            self.read(lines)

    def name(self, kind, text):
        number, name = NAME.match(text).groups()
        if name is not None:
            self.names[kind][number] = name
        return self.names[kind][number]

    def read(self, lines):
        called = False  # the next line is the inclusive cost of a call
        for line in lines:
            key, equals, value = line.rstrip("\n").partition("=")
            if equals and key.isalpha():
                called = self.record(key, value) or called
            elif line[0] in "0123456789+-*":
                if not called:
                    self.cost(int(line.split()[1]))
                called = False
            elif line.startswith("summary:"):
                self.total = int(line.split()[1])
        if self.total != sum(self.costs.values()):
            raise Failed(f"callgrind counted {self.total}, its places add up to "
                         f"{sum(self.costs.values())}")

    def record(self, key, value):
        """One line that sets something; whether it announces a call."""
        if key == "ob":
            self.object = self.name("ob", value)
        elif key == "fl":
            self.file = self.home = self.name("fl", value)
        elif key in ("fi", "fe"):
            self.file = self.name("fl", value)
        elif key == "fn":
            self.function = self.name("fn", value)
            self.file = self.home
        elif key == "cob":
            self.name("ob", value)
        elif key in ("cfi", "cfl"):
            self.name("fl", value)
        elif key == "cfn":
            self.name("fn", value)
        return key == "calls"

    def cost(self, cost):
        function = self.function.partition("'")[0]  # a recursive call has a quote and its depth
        known = self.home_of.get(function, ())
        home = in_tree(self.home)
        if known and home not in known:
            home = min(known)
        # what has no lines: of libraries, or a stub that leads there
        home = home or by_name(function) or "libc"
        self.costs[Place(self.file, home, function)] += cost


def by_name(function):
    """The context switch is written in assembly: it has no lines."""
    return "sched/switch.c" if "weir_context" in function or "weir_switch" in function else None


def callgrind(program, exchange, units, home_of):
    """(units that were done, {place: instructions})"""
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "out")
        ran = subprocess.run(
            ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}",
             "--toggle-collect=count_turn*", program, "--count", str(units), exchange],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if ran.returncode != 0:
            raise Failed(f"{exchange}: {ran.stderr.strip()[-300:]}")
        return int(ran.stdout.split()[0]), Profile(out, home_of).costs


def instructions(program, exchange, few=FEW, many=MANY):
    """{layer: instructions per unit}"""
    if not shutil.which("valgrind"):
        raise Failed("valgrind is not installed")
    home_of = homes(program)
    before, costs_before = callgrind(program, exchange, few, home_of)
    after, costs = callgrind(program, exchange, many, home_of)
    costs.subtract(costs_before)
    return {name: cost / (after - before) for name, cost in by_layer(costs).items()}


# --- nanoseconds ---

def place_of_sample(place, name):
    if place and (in_tree(place.home) or in_tree(place.file)):
        return place
    return Place("", place and by_name(place.function) or "libc", name)


def nanoseconds(program, exchange, units=SAMPLED):
    """{layer: ns per unit}"""
    lines = tool(program, "--count", str(units), "--sampled", exchange).splitlines()
    samples = collections.Counter(tuple(line.split()[1:3]) for line in lines[1:])
    if not samples:
        raise Failed(f"{exchange}: no samples in {units} units")
    places = places_at(program, {int(at, 16) for name, at in samples if name == "-"})
    costs = collections.Counter()
    for (name, at), count in samples.items():
        costs[place_of_sample(places[int(at, 16)] if name == "-" else None, name)] += count
    scale = float(lines[0].split()[1]) / sum(samples.values())
    return {name: count * scale for name, count in by_layer(costs).items()}


def between_cpus(program, exchange, seconds, cpus):
    """ns per unit of the same exchange between two threads: the best of three rounds."""
    _, figure, name, ns_of = EXCHANGES[exchange]
    said = tool(program, "--json", "--rounds", "3", "--seconds", str(seconds), "--cpus", cpus, figure)
    rows = [json.loads(line) for line in said.splitlines()]
    return min(ns_of(row["value"]) for row in rows if row["name"] == name)


# --- all of it ---

def default_cpus():
    allowed = sorted(os.sched_getaffinity(0))
    return ",".join(str(cpu) for cpu in (allowed * 2)[:2])


def measure(program, only=None, seconds=2, cpus=None, progress=lambda text: None):
    """{exchange: {"unit", "between_cpus_ns", "layers": [{"layer", "way", "instructions", "ns"}]}}"""
    result = {}
    ways = {name: way for name, way, _ in LAYERS}
    for exchange in only or EXCHANGES:
        progress(f"layers: {exchange}")
        counted, times = instructions(program, exchange), nanoseconds(program, exchange)
        result[exchange] = {
            "unit": EXCHANGES[exchange][0],
            "between_cpus_ns": between_cpus(program, exchange, seconds, cpus or default_cpus()),
            "layers": [{"layer": name, "way": ways[name], "instructions": count,
                        "ns": times[name]} for name, count in counted.items()]}
    return result


def total(layers, key, way=None):
    return sum(row[key] for row in layers if way in (None, row["way"]))


def cells(label, count, all_count, ns, all_ns):
    return [label, f"{count:,.1f}", f"{100 * count / all_count:.1f}%", f"{ns:.1f}",
            f"{100 * ns / all_ns:.1f}%"]


def table(layers):
    """Rows of text: the layers that cost something, the sums of each way, and all."""
    all_count, all_ns = total(layers, "instructions"), total(layers, "ns")
    rows = [["layer", "instructions", "", "ns", ""]]
    for way in (RECEIVE, SERVE, TRANSMIT, SHARED):
        for row in layers:
            if row["way"] == way and max(row["instructions"], row["ns"]) >= 0.05:
                rows.append(cells(row["layer"], row["instructions"], all_count, row["ns"], all_ns))
        rows.append(cells(f"= {way}", total(layers, "instructions", way), all_count,
                          total(layers, "ns", way), all_ns))
    rows.append(cells("= all", all_count, all_count, all_ns, all_ns))
    return rows


def between(entry):
    return (f"Between two CPUs, with what waiting and moving cache lines take: "
            f"{entry['between_cpus_ns']:.0f} ns.")


def print_tables(result):
    for exchange, entry in result.items():
        print(f"\nlayers, {exchange}: per {entry['unit']}")
        for row in table(entry["layers"]):
            print(f"  {row[0]:24}" + "".join(f"{cell:>14}" for cell in row[1:]))
        print(f"  {between(entry)}")


def markdown(result, build):
    text = ["# The native stack by layer", "",
            "Made by `./dev bench layers --keep`; not to be edited by hand.",
            f"Machine: {machine.cpu_model()}, {machine.compiler(build)['compiler']}.", "",
            "Instructions are counted by callgrind and repeat exactly. Nanoseconds are those of the "
            "server's turns in the same run without callgrind, server and client in one thread, "
            "divided by samples of where it was; they are as good as the moment. `perf/layers.py` says how, and "
            "which file belongs to which layer.", ""]
    for exchange, entry in result.items():
        rows = table(entry["layers"])
        text += [f"## {exchange}: per {entry['unit']}", "",
                 "| " + " | ".join(rows[0]) + " |", "|---|---:|---:|---:|---:|"]
        for row in rows[1:]:
            bold = "**" if row[0].startswith("=") else ""
            text.append("| " + " | ".join(f"{bold}{c.lstrip('= ')}{bold}" if c else ""
                                          for c in row) + " |")
        text += ["", between(entry), ""]
    return "\n".join(text)


def keep(result, build):
    with open(KEPT, "w", encoding="utf-8") as file:
        file.write(markdown(result, build))


def main():
    parser = argparse.ArgumentParser(description="What the native stack's layers cost.")
    parser.add_argument("--build", default=os.path.join(ROOT, "build"), metavar="DIR",
                        help="where meson has built (default: build/)")
    parser.add_argument("--only", metavar="A,B", help="only these: " + ", ".join(EXCHANGES))
    parser.add_argument("--seconds", type=int, default=2, metavar="S", help="between two CPUs (default 2)")
    parser.add_argument("--cpus", metavar="A,B", help="the server's CPU and the client's")
    parser.add_argument("--json", metavar="FILE", help="everything measured, as JSON")
    parser.add_argument("--keep", action="store_true", help="write perf/LAYERS.md")
    args = parser.parse_args()
    only = args.only.split(",") if args.only else None
    for name in only or []:
        if name not in EXCHANGES:
            parser.error(f"no such exchange: {name}")
    program = os.path.join(os.path.abspath(args.build), "perf", "bench_native")
    try:
        result = measure(program, only, args.seconds, args.cpus,
                         lambda text: print(text, file=sys.stderr, flush=True))
    except Failed as error:
        sys.exit(f"layers: {error}")
    print_tables(result)
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(result, file, indent=1)
    if args.keep:
        keep(result, args.build)


if __name__ == "__main__":
    main()
