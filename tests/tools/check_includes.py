"""check_includes.py ROOT - who may include whom.

    core <- sched <- net <- apps     a room includes itself and what stands left of it
    include/weir                     includes <weir/...> and the C library only
    apps                             <weir/...> and their own; no room
    liburing                         net/kernel/uring* only (and perf/, whose floors are bare loops)
    c-ares                           net/resolve* only
    DPDK (rte_*)                     net/dev/dpdk* only

One case per rule.  Tests and benchmarks may include everything.  Headers of ours outside
include/ are written with quotes and from the root, so that a rule can be read off the name.
"""
import os
import re
import sys

import tap

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.M)
INTERNAL = ["core", "sched", "net"]


class Include:
    """One #include: where it stands, and which room it reaches into (None: none of ours)."""

    def __init__(self, root, path, quote, name):
        self.path, self.name = path, name
        ours = quote == '"' or ".." in name or os.path.exists(os.path.join(root, name))
        self.room = name.split("/")[0] if ours else None


def includes(root, rooms):
    for path in tap.sources(root, rooms, (".c", ".h", ".S")):
        text = tap.without_comments(tap.read(root, path))
        for match in INCLUDE.finditer(text):
            yield Include(root, path, match.group(1), match.group(2))


def offenders(root, rooms, allowed):
    return "\n".join(f"{include.path} includes {include.name}" for include in includes(root, rooms)
                     if not allowed(include))


def reaches_only(*rooms):
    return lambda include: include.room is None or include.room in rooms


def own_or_public(include):
    """For apps, whose own headers may be named without the room."""
    return include.room in (None, "apps") or "/" not in include.name


def only_in(prefix, pattern):
    return lambda include: not re.match(pattern, include.name) or include.path.startswith(prefix)


def main():
    root = sys.argv[1]
    report = tap.Tap()
    for count, room in enumerate(INTERNAL, 1):
        rooms = INTERNAL[:count]
        report.case(f"{room} includes {', '.join(rooms)} only",
                    offenders(root, [room], reaches_only(*rooms)))
    report.case("public headers include no room", offenders(root, ["include"], reaches_only()))
    report.case("apps include public headers only", offenders(root, ["apps"], own_or_public))
    rooms = ["include", *INTERNAL, "apps"]
    report.case("only net/kernel/uring* sees liburing",
                offenders(root, rooms, only_in("net/kernel/uring", r"liburing")))
    report.case("only net/resolve* sees c-ares",
                offenders(root, rooms, only_in("net/resolve", r"ares")))
    report.case("only net/dev/dpdk* sees DPDK",
                offenders(root, rooms, only_in("net/dev/dpdk", r"rte_")))
    sys.exit(report.done())


main()
