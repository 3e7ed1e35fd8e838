"""instructions.py - instructions per operation of bench_micro, counted by callgrind.

Each measurement runs twice with different numbers of iterations; the difference of the two counts
is free of start-up and set-up.  Figures hardly change from run to run or with the load of the
machine, so they show a regression that nanoseconds hide.
"""
import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile

NAMES = ["spsc", "context-switch", "wheel-pop", "await-ready", "await-wake", "yield", "yield-64",
         "spawn-join", "spawn-join-64", "sem", "mutex", "timer-arm-cancel", "timer-rearm"]
FEW, MANY = 6400, 19200  # multiples of 64: some measurements work in batches of that


class Failed(Exception):
    """A measurement that could not be made."""


def count(program, name, iterations):
    """All instructions of one run."""
    with tempfile.TemporaryDirectory() as place:
        out = os.path.join(place, "out")
        ran = subprocess.run(["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}",
                              program, "--only", name, "--iterations", str(iterations),
                              "--repeat", "1"],
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                             stderr=subprocess.PIPE, text=True, check=False)
        if ran.returncode != 0:
            raise Failed(f"{name}: {ran.stderr.strip()[-300:]}")
    total = re.search(r"Collected : (\d+)", ran.stderr)
    if not total:
        raise Failed(f"{name}: callgrind gave no count: {ran.stderr.strip()[-300:]}")
    return int(total[1])


def measure(program, names, progress=lambda text: None):
    """{name: instructions per operation}"""
    if not shutil.which("valgrind"):
        raise Failed("valgrind is not installed")
    result = {}
    for name in names:
        progress(f"instructions of {name}")
        result[name] = (count(program, name, MANY) - count(program, name, FEW)) / (MANY - FEW)
    return result


def main():
    parser = argparse.ArgumentParser(description="Instructions per operation of bench_micro.")
    parser.add_argument("--only", metavar="A,B", help="only these: " + ", ".join(NAMES))
    parser.add_argument("program", help="bench_micro")
    args = parser.parse_args()
    names = args.only.split(",") if args.only else NAMES
    for name in names:
        if name not in NAMES:
            parser.error(f"no such measurement: {name}")
    try:
        for name, value in measure(args.program, names).items():
            print(f"{name:18} {value:10.1f}")
    except Failed as error:
        sys.exit(f"instructions: {error}")


if __name__ == "__main__":
    main()
