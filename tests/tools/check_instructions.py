"""check_instructions.py ROOT BUILD - instructions per request, echo, call and operation, counted by
callgrind, are at most 3% above those of perf/instructions.json.

Skipped, with the reason, where there is no valgrind and where the build is of another kind than the
baseline's (another compiler, another CPU architecture).  An update is `./dev bench baseline --update`,
in a commit of its own that says why.
"""
import os
import sys

import tap


def main():
    root, build = sys.argv[1:3]
    sys.path.insert(0, os.path.join(root, "perf"))
    import instructions  # from perf/, only now in the path
    report = tap.Tap()
    why = instructions.missing(build)
    kind, kept = instructions.read_baseline()
    why = why or instructions.other_kind(instructions.kind_of(build), kind)
    for name in instructions.names():
        if why:
            report.skip(name, why)
            continue
        try:
            report.case(name, instructions.check(build, name, kept)[1])
        except instructions.Failed as error:
            report.case(name, error)
    gone = sorted(set(kept) - set(instructions.names()))
    report.case("the baseline has nothing else", "\n".join(gone))
    sys.exit(report.done())


main()
