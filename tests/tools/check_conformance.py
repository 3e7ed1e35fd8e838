"""check_conformance.py ROOT STATES - docs/conformance.md says of the tests what is so: how many cases
each program has, and that cases with the names it gives are where it says.

Cases are counted in the source, but for test_tcp_script_states (STATES, the program), whose rows
come out of macros: that one is asked."""
import functools
import os
import re
import subprocess
import sys

import tap

SCRIPTS = ["states", "open", "listen", "close", "data", "window", "icmp", "retransmit", "recovery"]
CASE = re.compile(r"^\s+(?:script_case|cmocka_unit_test)\((\w+)", re.M)
RUN = re.compile(r"^\[ +RUN +\] (\w+)", re.M)
ROW = re.compile(r"^\| `(test_\w+)` \| (\d+) \|", re.M)
# "`rfc2018_*`, `rfc2883_*` (data, recovery)"
GUARDS = re.compile(r"((?:`rfc\d+_\*`(?:, )?)+) (?:in all|\(([\w, ]+)\))")


@functools.cache
def cases(root, program):
    """The names of a program's cases."""
    if program == "test_tcp_script_states":
        ran = subprocess.run([sys.argv[2]], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             text=True, check=False,
                             env=dict(os.environ, CMOCKA_MESSAGE_OUTPUT="STDOUT"))
        return RUN.findall(ran.stdout)
    return CASE.findall(tap.read(root, f"tests/net/{program}.c"))


def count_trouble(root, program, told):
    count = len(cases(root, program))
    return "" if count == told else f"docs/conformance.md says {told}, there are {count}"


def guard_trouble(root, prefix, where):
    names = cases(root, f"test_tcp_script_{where}")
    return "" if any(name.startswith(prefix) for name in names) else "no case there has this prefix"


def main():
    root = sys.argv[1]
    text = tap.read(root, "docs/conformance.md")
    report = tap.Tap()
    rows = {program: int(told) for program, told in ROW.findall(text)}
    for program, told in rows.items():
        report.case(program, count_trouble(root, program, told))
    total = sum(len(cases(root, f"test_tcp_script_{name}")) for name in SCRIPTS)
    told = int(re.search(r"^\| \| (\d+) \| \|", text, re.M).group(1))
    report.case("all scripts", "" if told == total else f"told {told}, there are {total}")
    missing = [name for name in SCRIPTS if f"test_tcp_script_{name}" not in rows]
    report.case("each script has its row", " ".join(missing))
    corpus = len(os.listdir(os.path.join(root, "tests/fuzz/corpus/tcp_live")))
    report.case("the fuzzer's corpus", "" if f"corpus of {corpus} |" in text else str(corpus))
    for prefixes, where in GUARDS.findall(text):
        for prefix in re.findall(r"rfc\d+_", prefixes):
            for name in where.split(", ") if where else SCRIPTS:
                report.case(f"{prefix}* in {name}", guard_trouble(root, prefix, name))
    sys.exit(report.done())


main()
