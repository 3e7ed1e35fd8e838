"""instructions.py - instructions per request, per echo, per call and per operation, by callgrind.

Each measurement runs twice with different numbers of units; the difference of the two counts is free
of start-up and set-up.  Counted are the program's own instructions, weir's, and not those of
libc and other libraries: which memcpy they choose depends on the CPU.  So figures do not change with
the load of the machine, nor between machines of the same architecture and compiler.

The baseline, perf/instructions.json, keeps them.  `./dev bench baseline` compares, and what costs
more than 3% more fails; `./dev bench baseline --update` writes what is measured now."""
import json
import os
import platform
import re
import shutil
import subprocess
import tempfile

from measure import Failed
from suite import machine

HERE = os.path.dirname(os.path.abspath(__file__))
BASELINE = os.path.join(HERE, "instructions.json")
# Of bench_native --count: what a unit is, few and many of them.
EXCHANGES = {
    "request": ("http", "HTTP request, native stack, 64 connections"),
    "echo": ("echo", "echo of 64 bytes, native stack"),
    "segment-in": ("bulk_in", "1,448 bytes received"),
    "segment-out": ("bulk_out", "1,448 bytes sent"),
    "call": ("call", "call to another shard and back"),
}
# Of bench_micro; not its yield, in which there is a turn of the loop per unit, with what real time has
# brought: call has two turns, on a clock of its own.
MICRO = ["spsc", "context-switch", "wheel-pop", "await-ready", "await-wake", "yield-64", "spawn-join",
         "spawn-join-64", "sem", "mutex", "timer-arm-cancel"]
FEW, MANY = 6400, 19200  # multiples of 64: some measurements work in batches of that
WORSE = 0.03             # more than this fails
TRIES = 3                # what is counted on real time may differ; the least counts


def names():
    return [*EXCHANGES, *MICRO]


def own_cost(lines, program):
    """The sum of a callgrind profile over one object file."""
    objects, here, called, total = {}, False, False, 0
    for line in lines:
        if line.startswith("ob="):
            number, path = re.match(r"ob=\((\d+)\)(?: (.*))?$", line.rstrip("\n")).groups()
            if path is not None:
                objects[number] = path
            here = objects[number] == program
        elif line.startswith("cob="):
            number, path = re.match(r"cob=\((\d+)\)(?: (.*))?$", line.rstrip("\n")).groups()
            if path is not None:
                objects[number] = path
        elif line.startswith("calls="):
            called = True  # the next line is the inclusive cost of the callee
        elif line[0] in "0123456789+-*":
            if here and not called:
                total += int(line.split()[1])
            called = False
    return total


def callgrind(argv, *options):
    """(what the program printed, its own instructions)"""
    argv = [os.path.realpath(argv[0]), *argv[1:]]
    with tempfile.TemporaryDirectory() as place:
        out = os.path.join(place, "out")
        ran = subprocess.run(["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}",
                              *options, *argv], stdin=subprocess.DEVNULL, capture_output=True,
                             text=True, check=False)
        if ran.returncode != 0:
            raise Failed(f"{' '.join(argv)}: {ran.stderr.strip()[-300:]}")
        with open(out, encoding="utf-8", errors="replace") as lines:
            return ran.stdout, own_cost(lines, argv[0])


def count_micro(build, name, units):
    program = os.path.join(build, "perf", "bench_micro")
    return units, callgrind([program, "--only", name, "--iterations", str(units), "--repeat",
                             "1"])[1]


def count_exchange(build, name, units):
    program = os.path.join(build, "perf", "bench_native")
    said, count = callgrind([program, "--count", str(units), EXCHANGES[name][0]],
                            "--toggle-collect=count_turn*")
    return int(said.split()[0]), count


def measure(build, name):
    """Instructions per unit."""
    count = count_exchange if name in EXCHANGES else count_micro
    few, before = count(build, name, FEW)
    many, after = count(build, name, MANY)
    return (after - before) / (many - few)


def missing(build):
    if not shutil.which("valgrind"):
        return "valgrind is not installed"
    for program in ("bench_micro", "bench_native"):
        if not os.path.exists(os.path.join(build, "perf", program)):
            return f"perf/{program} is not built"
    return ""


# --- the baseline ---

def kind_of(build):
    """What counts depend on: with another one of these they cannot be compared."""
    flags = re.search(r"^flags\s*:(.*)$", machine.text_of("/proc/cpuinfo"), re.M)
    compiler = machine.compiler(build)
    return {"architecture": platform.machine(),
            "avx2": bool(flags and " avx2" in flags[1]),  # valgrind shows no more than that
            "compiler": compiler["compiler"], "flags": compiler["flags"]}


def read_baseline(path=BASELINE):
    try:
        with open(path, encoding="utf-8") as file:
            kept = json.load(file)
        return kept["kind"], {name: float(value) for name, value in kept["counts"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Failed(f"{path} holds no baseline: {error}") from error


def write_baseline(kind, counts, path=BASELINE):
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"kind": kind, "counts": {name: round(v, 1) for name, v in counts.items()}}, file,
                  indent=1)
        file.write("\n")


def other_kind(kind, kept):
    """Why the baseline does not hold here, or nothing."""
    return "; ".join(f"{what} is {kind.get(what)}, the baseline's {value}"
                     for what, value in kept.items() if kind.get(what) != value)


def worse(name, value, kept):
    """One line when it costs too much more, or when nobody knows what it did cost."""
    if name not in kept:
        return f"{name}: not in the baseline: ./dev bench baseline --update"
    change = value / kept[name] - 1
    if value <= kept[name] * (1 + WORSE):
        return ""
    return (f"{name}: {value:.1f} instructions, {kept[name]:.1f} in the baseline: {change:+.1%}, "
            f"more than {WORSE:.0%}")


def least(build, name, good=lambda value: False):
    """Of a few counts the least, or the first good one: what real time does only adds to them."""
    value = measure(build, name)
    for _ in range(TRIES - 1):
        if good(value):
            break
        value = min(value, measure(build, name))
    return value


def check(build, name, kept):
    """(instructions, what is wrong): what is too much is counted again before it is believed."""
    value = least(build, name, lambda value: name not in kept or not worse(name, value, kept))
    return value, worse(name, value, kept)
