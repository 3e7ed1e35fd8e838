"""noise.py - how steady the machine is: a fixed piece of work, over and over on each CPU.

What it takes differs only by what the machine does besides: other programs, other guests of the
same host, a clock that changes."""
import os
import statistics
import time

from suite.results import quartiles

SPINS, LOOPS = 40, 200_000


def spin_once():
    start = time.perf_counter_ns()
    for _ in range(LOOPS):
        pass
    return time.perf_counter_ns() - start


def spins_on(cpu, count):
    """So many times the same work, in a child that is pinned to the CPU."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.sched_setaffinity(0, {cpu})
            spin_once()
            times = [spin_once() for _ in range(count)]
            os.write(writing, " ".join(map(str, times)).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as said:
        times = [int(word) for word in said.read().split()]
    os.waitpid(child, 0)
    return times


def spread(times):
    """Half the distance of the quartiles, and how far out the worst is; both as parts of the median."""
    median = statistics.median(times)
    low, high = quartiles(times)
    return {"spread": (high - low) / 2 / median, "worst": max(times) / median - 1}


def probe(cpus, count=SPINS):
    """{CPU: spread}"""
    return {str(cpu): spread(times) for cpu in dict.fromkeys(cpus) if (times := spins_on(cpu, count))}


def level(probed):
    """One number: the less steady of the CPUs."""
    return max((each["spread"] for each in probed.values()), default=0.0)
