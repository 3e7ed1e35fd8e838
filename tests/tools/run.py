"""run.py - runs the tests of one build directory and counts their cases.

    run.py --build DIR --logs DIR --tally FILE --label LABEL [--suites a,b] [--slower N] [NAME...]

Reads the list that meson wrote, so `meson test` runs the same programs.  Programs run side by side,
one per CPU, but those that meson has as is_parallel: false run alone.  A program that prints TAP
(cmocka does when asked) counts case by case, any other by its exit status: 0 passed, 77 skipped.
A program that crashes, hangs, prints fewer cases than it planned, or fails without a failed case
counts as one more failure.

Each program's output is in LOGS/LABEL/<name>.log; what matters of it is shown when it failed.
Every case is one line of TALLY: verdict, label, program, case, reason or log.  NAME chooses the
test of that name, or else all with that in their name, whatever the suite.  The exit status is 0
when all ran, whatever they said, and 3 when there was nothing to run.
"""
import argparse
import concurrent.futures
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time

PLAN = re.compile(r"^\s*1\.\.(\d+)\s*(?:#\s*SKIP\b\s*(.*))?$", re.I)
CASE = re.compile(r"^\s*(not )?ok\b\s*\d*\s*(?:-\s+)?([^#]*?)\s*(?:#\s*(SKIP)\b\s*(.*))?$", re.I)
SHOWN = 40  # lines shown of a failed case, or of a failed program
PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"

# What every program gets unless the caller's environment says otherwise.
ENVIRONMENT = {
    "CMOCKA_MESSAGE_OUTPUT": "TAP",
    "MALLOC_PERTURB_": "165",
    "PYTHONDONTWRITEBYTECODE": "1",
    "ASAN_OPTIONS": "abort_on_error=0:detect_stack_use_after_return=0",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1",
}


class Test:
    def __init__(self, entry, build):
        self.name = entry["name"]
        self.command = entry["cmd"]
        self.environment = entry["env"]
        self.workdir = entry["workdir"] or build
        self.timeout = entry["timeout"] or None
        self.parallel = entry["is_parallel"]
        self.suites = {suite.split(":")[-1] for suite in entry["suite"]}


class Outcome:
    """What one program came to: its cases as (verdict, case, reason), and how long it took."""

    def __init__(self, cases, seconds, log):
        self.cases, self.seconds, self.log = cases, seconds, log

    def count(self, verdict):
        return sum(case[0] == verdict for case in self.cases)


def load(build):
    with open(os.path.join(build, "meson-info", "intro-tests.json"), encoding="utf-8") as file:
        return [Test(entry, build) for entry in json.load(file)]


running = set()  # processes, for when we are stopped


def kill(process):
    """Ends a program and all it started: they share its process group."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def execute(test, log, timeout):
    """Runs it with its output in the log; the exit status, or None when it took too long."""
    environment = {**ENVIRONMENT, **os.environ, **test.environment}
    with open(log, "wb") as file:
        process = subprocess.Popen(test.command, stdin=subprocess.DEVNULL, stdout=file,
                                   stderr=subprocess.STDOUT, cwd=test.workdir, env=environment,
                                   start_new_session=True)
        running.add(process)
        try:
            return process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None
        finally:
            kill(process)
            process.wait()
            running.discard(process)


def parse(text):
    """(planned, cases) of TAP output; planned is None when no plan was printed."""
    planned, cases, said = None, [], ""
    for line in text.splitlines():
        plan, case = PLAN.match(line), CASE.match(line)
        if plan:
            planned = (planned or 0) + int(plan.group(1))
            if plan.group(2):
                planned += 1
                cases.append((SKIPPED, "", plan.group(2)))
        elif case:
            failed, name, skip, reason = case.groups()
            if skip and not name:  # cmocka puts the name behind SKIP, and the reason a line earlier
                name, reason = reason, said
            cases.append((SKIPPED if skip else FAILED if failed else PASSED, name, reason or ""))
            said = ""
        elif line.strip():
            said = line.strip("# \t")
    return planned, cases


def stop(signum, _frame):
    """We are stopped: so are the programs, at once, without waiting for those still to come."""
    for process in list(running):
        kill(process)
    os._exit(128 + signum)


def around_failures(lines):
    """What the failed cases printed: the lines before each, and the # lines behind it."""
    shown, block, failed = [], [], False
    for line in lines + ["ok"]:
        case = CASE.match(line)
        if failed and not line.lstrip().startswith("#"):
            shown += block[-SHOWN:]
            failed = False
            block = []
        block.append(line)
        if case:
            failed = bool(case.group(1)) and not case.group(3)
            block = block if failed else []
    return shown


def ending(status, timeout):
    if status is None:
        return f"still ran after {timeout:.0f} s"
    if status < 0:
        return f"ended by {signal.Signals(-status).name}"
    return f"ended with status {status}"


def judge_program(text, status, timeout):
    """The one case of a program that does not print TAP."""
    if status == 77:
        return SKIPPED, "", (text.strip().splitlines() or [""])[-1].strip()
    return (PASSED, "", "") if status == 0 else (FAILED, "", ending(status, timeout))


def judge(text, status, timeout):
    """The cases of a program, from what it printed and how it ended."""
    planned, cases = parse(text)
    if planned is None and not cases:
        return [judge_program(text, status, timeout)]
    if len(cases) != planned:
        count = f"{len(cases)} of {planned or 'no'} planned cases"
        cases.append((FAILED, "", f"{ending(status, timeout)} after {count}"))
    elif status != 0 and not any(case[0] == FAILED for case in cases):
        cases.append((FAILED, "", ending(status, timeout)))
    return cases


def run_test(test, options):
    folder = os.path.join(options.logs, options.label)
    log = os.path.join(folder, test.name.replace("/", "-").replace(" ", "-") + ".log")
    os.makedirs(folder, exist_ok=True)
    timeout = test.timeout * options.slower if test.timeout else None
    start = time.monotonic()
    status = execute(test, log, timeout)
    with open(log, encoding="utf-8", errors="replace") as file:
        cases = judge(file.read(), status, timeout)
    return Outcome(cases, time.monotonic() - start, log)


class Report:
    """Prints a line per program as it ends, and keeps the tally."""

    COLOURS = {PASSED: "32", FAILED: "31", SKIPPED: "33"}

    def __init__(self, options):
        self.options = options
        self.lock = threading.Lock()
        self.colours = sys.stdout.isatty()

    def paint(self, verdict):
        text = f"{verdict:<8}"
        return f"\033[{self.COLOURS[verdict]}m{text}\033[0m" if self.colours else text

    def add(self, test, outcome):
        with self.lock:
            self.tally(test, outcome)
            self.show(test, outcome)

    def tally(self, test, outcome):
        with open(self.options.tally, "a", encoding="utf-8") as file:
            for verdict, case, reason in outcome.cases:
                why = reason if verdict == SKIPPED else f"{reason} {outcome.log}".strip()
                row = [verdict, self.options.label, test.name, case, why]
                file.write("\t".join(re.sub(r"[\t\n]", " ", cell) for cell in row) + "\n")

    def show(self, test, outcome):
        failed, skipped = outcome.count(FAILED), outcome.count(SKIPPED)
        verdict = FAILED if failed else SKIPPED if skipped == len(outcome.cases) else PASSED
        counts = f"{len(outcome.cases)} case{'s' if len(outcome.cases) != 1 else ''}"
        if failed and len(outcome.cases) > 1:
            counts += f", {failed} failed"
        if skipped:
            counts += f", {skipped} skipped"
        what = f"{self.options.label} {test.name}"
        print(f"  {self.paint(verdict)} {what:<34} "
              f"{outcome.seconds:7.2f} s  {counts}", flush=True)
        if failed:
            self.show_failure(outcome)

    def show_failure(self, outcome):
        with open(outcome.log, encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()
        for line in around_failures(lines)[:3 * SHOWN] or lines[-SHOWN:]:
            print(f"    | {line}")
        for verdict, case, reason in outcome.cases:
            if verdict == FAILED:
                print(f"    failed: {case or 'program'} {reason}".rstrip())
        print(f"    log: {outcome.log}", flush=True)


def chosen(tests, options):
    if options.names:
        names = {test.name for test in tests}
        return [test for test in tests
                if any(test.name == name if name in names else name in test.name
                       for name in options.names)]
    return [test for test in tests if test.suites & set(options.suites.split(","))]


def run_all(tests, options):
    report = Report(options)

    def one(test):
        report.add(test, run_test(test, options))

    side_by_side = [test for test in tests if test.parallel]
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for done in [pool.submit(one, test) for test in side_by_side]:
            done.result()
    for test in tests:
        if not test.parallel:
            one(test)


def main():
    parser = argparse.ArgumentParser(description="runs the tests of one build directory")
    parser.add_argument("--build", required=True)
    parser.add_argument("--logs", required=True)
    parser.add_argument("--tally", required=True)
    parser.add_argument("--label", required=True)
    parser.add_argument("--suites", default="quick")
    parser.add_argument("--slower", type=float, default=1, help="multiplies the time limits")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    tests = chosen(load(options.build), options)
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    run_all(tests, options)
    sys.exit(0 if tests else 3)


if __name__ == "__main__":
    main()
