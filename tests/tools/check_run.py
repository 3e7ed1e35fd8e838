"""check_run.py - run.py counts what test programs print, and how they end, as it says it does."""
import sys

import run
import tap

# (what it is about, output, exit status or None for a timeout, passed, failed, skipped)
TABLE = [
    ("plain program, status 0", "hello\n", 0, 1, 0, 0),
    ("plain program, status 1", "hello\n", 1, 0, 1, 0),
    ("plain program, status 77", "no such tool\n", 77, 0, 0, 1),
    ("plain program, killed", "", -9, 0, 1, 0),
    ("plain program, too slow", "", None, 0, 1, 0),
    ("all cases pass", "1..2\nok 1 - a\nok 2 - b\n", 0, 2, 0, 0),
    ("one case fails", "1..2\nok 1 - a\nnot ok 2 - b\n# 1 != 2\n", 1, 1, 1, 0),
    ("cmocka skips", "1..2\nok 1 - a\nno wrk\nnot ok 2 # SKIP b\n", 0, 1, 0, 1),
    ("a case skips with a reason", "ok 1 - a # SKIP no wrk\nok 2 - b\n1..2\n", 0, 1, 0, 1),
    ("all of it skips", "1..0 # SKIP no namespace\n", 0, 0, 0, 1),
    ("two groups", "1..1\nok 1 - a\n1..1\nok 1 - b\n", 0, 2, 0, 0),
    ("crash in the second case", "1..3\nok 1 - a\n", -11, 1, 1, 0),
    ("hang in the second case", "1..3\nok 1 - a\n", None, 1, 1, 0),
    ("leak found at exit", "1..1\nok 1 - a\n", 1, 1, 1, 0),
    ("cases without a plan", "ok 1 - a\nok 2 - b\n", 0, 2, 1, 0),
    ("more cases than planned", "1..1\nok 1 - a\nok 2 - b\n", 0, 2, 1, 0),
    ("words that look like a case", "okay then\n", 0, 1, 0, 0),
]


def trouble(output, status, *wanted):
    cases = run.judge(output, status, 1)
    counted = tuple(sum(case[0] == verdict for case in cases)
                    for verdict in (run.PASSED, run.FAILED, run.SKIPPED))
    return "" if counted == wanted else f"wanted {wanted}, counted {counted}: {cases}"


def main():
    report = tap.Tap()
    for name, output, status, *wanted in TABLE:
        report.case(name, trouble(output, status, *wanted))
    reasons = [case[2] for case in run.judge(TABLE[7][1], 0, 1) if case[0] == run.SKIPPED]
    report.case("the reason for a skip is the line before it",
                "" if reasons == ["no wrk"] else str(reasons))
    sys.exit(report.done())


main()
