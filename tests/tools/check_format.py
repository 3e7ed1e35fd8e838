"""check_format.py ROOT - the C files are as .clang-format has them, by clang-format 14.

Other versions of clang-format disagree in details, so they do not count: skipped.
"""
import shutil
import sys

import tap


def clang_format():
    for name in ["clang-format-14", "clang-format"]:
        if shutil.which(name) and " 14." in tap.output([name, "--version"]):
            return name
    return None


def main():
    root = sys.argv[1]
    report = tap.Tap()
    program = clang_format()
    for room in tap.ROOMS:
        files = tap.sources(root, [room])
        if not files:
            continue
        if program:
            report.case(room, tap.run([program, "--dry-run", "-Werror", *files], cwd=root))
        else:
            report.skip(room, "clang-format 14 is not installed")
    sys.exit(report.done())


main()
