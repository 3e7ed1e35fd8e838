#!/usr/bin/env python3
"""bench_runtimes.py - weir beside Tokio and Node: the rows that users of a runtime compare by.

Each has a program that prints "ROW VALUE" (perf/bench_rows.c, perf/peers/).  A round runs one row on
all of them, in random order and each in a process of its own, pinned to the same two CPUs; rounds go
over all rows before the next begins.  A ratio is the median of the ratios within the rounds, the peer's
value by weir's: above 1, weir is ahead.

Tokio's program is built from Debian's librust-tokio-dev, offline, into the build directory.  A peer
that is missing is left out, and said so.
"""
import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
REGISTRY = "/usr/share/cargo/registry"
ROWS = {  # name: unit, what
    "spawn-join": ("ns", "one task, spawned and joined"),
    "spawn-join-64": ("ns", "each of 64 that are joined together"),
    "yield": ("ns", "give way among 64 tasks (Node: setImmediate)"),
    "await-ready": ("ns", "an await whose result is there"),
    "oneshot-one": ("ns", "a request and its answer by oneshot, one thread"),
    "oneshot-two": ("ns", "the same between two threads (Tokio: two runtimes of one thread)"),
    "oneshot-workers": ("ns", "the same, Tokio: one runtime of two workers, which may share one"),
    "mpsc-one": ("ns", "a message there and one back, one thread"),
    "mpsc-two": ("ns", "the same between two threads (Node: worker threads)"),
    "mpsc-workers": ("ns", "the same, Tokio: one runtime of two workers, which may share one"),
    "mpsc-flow-one": ("ns", "each message of a stream through 64 places, one thread"),
    "mpsc-flow-two": ("ns", "the same between two threads"),
    "mpsc-flow-workers": ("ns", "the same, Tokio: one runtime of two workers, which may share one"),
    "mutex": ("ns", "lock and unlock, uncontended"),
    "mutex-contended": ("ns", "the same by 64 tasks, each of which gives way while it holds it"),
    "timers": ("ns", "each of a million, armed and cancelled"),
    "sleeps-due": ("us", "10,000 sleeps due at once, until all have run"),
    "interval-late": ("us", "p99 of how late the ticks of 1 ms are"),
    "start": ("us", "make a runtime, block_on, free it"),
    "block-on": ("ns", "block_on of a runtime that is there"),
    "parked": ("bytes", "resident, of a task that waits"),
    "parked-callback": ("bytes", "the same without a stack: a future with a callback"),
}
# Tokio's workers are an answer of its own to "two": weir's figure is the one across two shards.
SAME = {f"{name}-workers": f"{name}-two" for name in ("oneshot", "mpsc", "mpsc-flow")}
WEIR, TOKIO, NODE = "weir", "tokio", "node"


def say(text):
    print(f"bench: runtimes: {text}", file=sys.stderr, flush=True)


def rows_of(argv):
    ran = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60,
                         check=False)
    if ran.returncode != 0:
        raise OSError(ran.stderr.strip() or f"{argv[0]} failed")
    return ran.stdout.split()


def tokio_build(build):
    """The program; built in the build directory, so that the tree stays as it is."""
    if not os.path.isdir(REGISTRY) or not os.path.exists("/usr/bin/cargo"):
        raise OSError("install cargo and librust-tokio-dev")
    work = os.path.join(build, "perf", "tokio")
    shutil.copytree(os.path.join(HERE, "peers", "tokio"), work, dirs_exist_ok=True)
    # Debian's compiler and Debian's sources: another toolchain that comes first in PATH may not
    # read what the registry has.
    env = dict(os.environ, PATH="/usr/bin:/bin", CARGO_TARGET_DIR=os.path.join(work, "target"))
    ran = subprocess.run(["/usr/bin/cargo", "build", "--release", "--offline", "--quiet"], cwd=work,
                         env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                         timeout=900, check=False)
    if ran.returncode != 0:
        raise OSError(ran.stdout.strip()[-2000:])
    return [os.path.join(work, "target", "release", "tokio_rows")]


def node_program(_):
    node = shutil.which("node") or shutil.which("nodejs")
    if not node:
        raise OSError("install nodejs")
    return [node, "--expose-gc", os.path.join(HERE, "peers", "node", "rows.js")]


def programs(build):
    """{name: (argv, its rows)} of those that are there."""
    makers = {WEIR: lambda b: [os.path.join(b, "perf", "bench_rows")], TOKIO: tokio_build,
              NODE: node_program}
    found = {}
    for name, make in makers.items():
        try:
            argv = make(build)
            found[name] = (argv, rows_of(argv))
        except (OSError, subprocess.TimeoutExpired) as error:
            say(f"going on without {name}: {error}")
    return found


def versions(found):
    result = {}
    if TOKIO in found:
        result[TOKIO] = [name for name in os.listdir(REGISTRY) if name.startswith("tokio-1")][0]
    if NODE in found:
        result[NODE] = subprocess.run([found[NODE][0][0], "--version"], stdout=subprocess.PIPE,
                                      text=True, check=True).stdout.strip()
    return result


def once(argv, row, cpus):
    """One figure, or None when the program failed or did not come back."""
    pinned = ["taskset", "-c", ",".join(map(str, cpus)), *argv, row]
    try:
        ran = subprocess.run(pinned, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                             timeout=120, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        say(f"{row}: {error}")
        return None
    words = ran.stdout.split()
    if ran.returncode != 0 or len(words) != 2 or words[0] != row:
        say(f"{row}: {argv[0]}: {ran.stderr.strip() or ran.stdout.strip()}")
        return None
    return float(words[1])


def round_once(found, row, cpus):
    """{name: figure} of one row."""
    who = [name for name in found if row in found[name][1]]
    random.shuffle(who)
    figures = {name: once(found[name][0], row, cpus) for name in who}
    return {name: figure for name, figure in figures.items() if figure is not None}


def measure(build, cpus, rounds, only=None):
    found = programs(build)
    wanted = [row for row in ROWS if not only or row in only]
    result = {"versions": versions(found), "load": os.getloadavg()[0], "rows": {}}
    for number in range(rounds):
        say(f"round {number + 1} of {rounds}")
        for row in wanted:
            result["rows"].setdefault(row, []).append(round_once(found, row, cpus))
    for row, base in SAME.items():
        for figures, others in zip(result["rows"].get(row, []), result["rows"].get(base, [])):
            if WEIR in others:
                figures[WEIR] = others[WEIR]
    return result


def median(rounds, name):
    values = [figures[name] for figures in rounds if name in figures]
    return statistics.median(values) if values else None


def ratio(rounds, name):
    """How many times weir's figure the peer's is."""
    ratios = [figures[name] / figures[WEIR] for figures in rounds
              if name in figures and figures.get(WEIR, 0) > 0]
    return statistics.median(ratios) if ratios else None


def print_table(result):
    if not result:
        return
    names = ", ".join(f"{name} is {version}" for name, version in result["versions"].items())
    print(f"\nruntimes: medians; x is how many times weir's figure the other's is, above 1 weir is "
          f"ahead{'; ' + names if names else ''}")
    print(f"  {'':18} {'weir':>10} {'tokio':>10} {'x':>7} {'node':>10} {'x':>7}")
    for row, rounds in result["rows"].items():
        line = f"  {row:18} {cell(median(rounds, WEIR), 10)}"
        for name in (TOKIO, NODE):
            line += f" {cell(median(rounds, name), 10)} {cell(ratio(rounds, name), 7, 2)}"
        unit, what = ROWS[row]
        behind = ratio(rounds, TOKIO)
        print(f"{line}  {unit:5} {what}{'   BEHIND' if behind and behind < 1 else ''}")
    print(f"  load of the machine at the start: {result['load']:.1f}")


def cell(value, width, digits=1):
    return f"{value:{width}.{digits}f}" if value is not None else " " * (width - 1) + "-"


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(HERE, "..", "build"), metavar="DIR")
    parser.add_argument("--rows", metavar="A,B", help="only these: " + ", ".join(ROWS))
    parser.add_argument("--rounds", type=int, default=9, metavar="N")
    parser.add_argument("--json", metavar="FILE", help="everything measured")
    args = parser.parse_args()
    only = args.rows.split(",") if args.rows else []
    for row in only:
        if row not in ROWS:
            parser.error(f"no such row: {row}")
    cpus = sorted(os.sched_getaffinity(0))[:2]
    result = measure(os.path.abspath(args.build), cpus, args.rounds, only)
    print_table(result)
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(result, file, indent=1)


if __name__ == "__main__":
    main()
