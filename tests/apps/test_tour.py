"""test_tour.py PROGRAM... - the programs of apps/tour print what they promise.

Times are measured by the programs themselves.  The lower bounds hold always, since nothing fires
early; so does that waiting together takes less than the waits one after another.  What only an idle
machine can promise must be reached in one of TRIES runs.
"""
import os
import re
import signal
import subprocess
import sys

import tap

PROGRAMS = {os.path.basename(path): path for path in sys.argv[1:]}
TRIES = 20
STALL = re.compile(r"fiber 'blocks' \(spawned at \S*3_blocked\.c:\d+\) held shard 0 for \d{3,} ms")


def run(name):
    result = subprocess.run([PROGRAMS[name]], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    return result.returncode, result.stdout, result.stderr


def runs(name):
    """What a program prints that ends well, and says of stalls, which a loaded machine may cause."""
    status, out, err = run(name)
    said = [line for line in err.splitlines() if " held shard " not in line]
    assert (status, said) == (0, []), (status, out, err)
    return out, err


def eventually(name, look):
    """look(out, err) must be true of one of TRIES runs; it asserts what must be true of all."""
    for _ in range(TRIES):
        out, err = runs(name)
        if look(out, err):
            return
    assert False, (f"not once in {TRIES} runs", out)


def times(out, pattern):
    found = re.fullmatch(pattern, out)
    assert found, out
    return [int(text) for text in found.groups()]


def together():
    """1: three calls awaited together take as long as the slowest"""
    def look(out, _):
        orders, profile, reviews, total = times(
            out, r"orders: (\d+) ms\nprofile: (\d+) ms\nreviews: (\d+) ms\ntogether: (\d+) ms\n")
        assert orders >= 90 and profile >= 120 and reviews >= 150 and total >= 150, out
        assert total < orders + profile + reviews, out
        return total < 200
    eventually("1_together", look)


def compute():
    """2: a current-thread runtime computes 21 * 2"""
    out, _ = runs("2_compute")
    assert out == "42\n", out


def blocked():
    """3: two sleeps that block one shard take the sum, and the log says who held it"""
    def look(out, err):
        total, = times(out, r"two sleeps that block: (\d+) ms\n")
        assert total >= 200, out
        return total < 250 and STALL.search(err)
    eventually("3_blocked", look)


def awaited():
    """4: two sleeps that are awaited take as long as one"""
    def look(out, _):
        total, = times(out, r"two sleeps that are awaited: (\d+) ms\n")
        assert total >= 100, out
        return total < 150
    eventually("4_awaited", look)


def ticks():
    """5: ticks 3, 1, 2 are printed 1, 2, 3"""
    for _ in range(5):
        out, _ = runs("5_ticks")
        assert out == "1\n2\n3\n", out


def heavy():
    """6: a timer fires while the blocking pool computes"""
    def look(out, _):
        fired, ready = times(out, r"timer fired; sum = 1249999975000000\n"
                                  r"the timer at (\d+) ms, the sum at (\d+) ms\n")
        assert 10 <= fired <= ready, out
        return fired < ready
    eventually("6_heavy", look)


def workers():
    """7: 32 tasks spread over more than one of 4 worker threads"""
    def look(out, _):
        count, = times(out, r"32 tasks on (\d+) worker threads\n")
        assert 1 <= count <= 4, out
        return count > 1
    eventually("7_workers", look)


def panics(name, *words):
    status, out, err = run(name)
    assert (status, out) == (-signal.SIGABRT, ""), (status, out, err)
    assert err.startswith("weir: ") and err.count("\n") == 1, err
    for word in words:
        assert word in err, (word, err)


def no_runtime():
    """8: sleeping without a runtime ends with how to start one"""
    panics("8_no_runtime", "weir_sleep: no shard runs on this thread", "weir_run",
           "weir_runtime_new", "weir_block_on")


def nested():
    """9: a runtime inside a runtime ends with what to do instead"""
    panics("9_nested", "a runtime cannot be started inside another", "await here", "weir_call",
           "weir_blocking")


def main():
    report = tap.Tap()
    for case in [together, compute, blocked, awaited, ticks, heavy, workers, no_runtime, nested]:
        try:
            case()
            report.case(case.__doc__)
        except (AssertionError, subprocess.TimeoutExpired) as error:
            report.case(case.__doc__, repr(error))
    sys.exit(report.done())


main()
