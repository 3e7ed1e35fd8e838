"""micro.py - what the parts cost: scheduler, futures, timers, queues, buffers, parser, router."""
import json
import os
import re
import subprocess

from suite.engine import WEIR, Entrant, Failed, Metric, Row, Series

NS = Metric("ns", "ns", "time of each")
SPEED = Metric("speed", "bytes/cycle", "speed by the time-stamp counter", "higher")
REPEAT = 5  # repetitions in a process; the median counts


def program(run, *words, timeout=120):
    """What a program of perf/ prints."""
    argv = [os.path.join(run.place.build, "perf", words[0]), *words[1:]]
    ran = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                         timeout=timeout, check=False)
    if ran.returncode != 0:
        raise Failed(f"{words[0]}: {ran.stderr.strip()[-300:]}")
    return ran.stdout


def bench_micro(run, name):
    said = json.loads(program(run, "bench_micro", "--json", "-", "--only", name, "--repeat",
                              str(REPEAT), "--cpus", ",".join(map(str, run.options.cpus))))
    return {"ns": said["results"][0]["ns_median"]}


def listed(run):
    """{name: what} of bench_micro, but for what goes between shards."""
    lines = [line.split(None, 1) for line in program(run, "bench_micro", "--list").splitlines()]
    return {name: what for name, what in lines
            if not name.startswith("call-") and name != "two-rings"}


def parser(run, sample):
    """By the version of the parser that this CPU would use: the last of its lines."""
    found = re.findall(rf"^{sample}\s+\S+\s+\d+\s+([\d.]+)\s+[\d.]+\s+([\d.]+)$",
                       pinned(run, "bench_parser"), re.M)
    if not found:
        raise Failed(f"bench_parser says nothing of {sample}")
    return {"ns": float(found[-1][0]), "speed": float(found[-1][1])}


def router(run, path):
    found = re.search(rf"^{re.escape(path)}\s+\d+\s+([\d.]+)$", pinned(run, "bench_router"), re.M)
    if not found:
        raise Failed(f"bench_router says nothing of {path}")
    return {"ns": float(found[1])}


def pinned(run, name):
    ran = subprocess.run(["taskset", "-c", str(run.options.cpus[0]),
                          os.path.join(run.place.build, "perf", name)], stdin=subprocess.DEVNULL,
                         capture_output=True, text=True, timeout=120, check=False)
    if ran.returncode != 0:
        raise Failed(f"{name}: {ran.stderr.strip()[-300:]}")
    return ran.stdout


def row(name, title, measure, seconds, metrics=(NS,)):
    return Row(name, title, list(metrics), lambda run, stack: {"weir": Entrant(WEIR, lambda: measure(run))},
               1, seconds)


def rows(run):
    result = [row(name, what, lambda run, name=name: bench_micro(run, name), 0.4)
              for name, what in listed(run).items()]
    for sample in ("plaintext", "browser", "client"):
        result.append(row(f"parser-{sample}", f"parse a request, {sample}",
                          lambda run, sample=sample: parser(run, sample), 2.0, (NS, SPEED)))
    for path in ("/plaintext", "/r117/x/42", "/nowhere"):
        result.append(row(f"router-{path.strip('/').replace('/', '-')}", f"find a handler of 208: {path}",
                          lambda run, path=path: router(run, path), 0.5))
    return result


SERIES = Series(
    "micro", "the parts, each alone", rows=rows,
    how="bench_micro, bench_parser and bench_router: loops over one thing, caches warm; a process per "
        "round, and of its repetitions the median. The series runtimes has what Tokio and Node take "
        "for the like.")
