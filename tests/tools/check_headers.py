"""check_headers.py ROOT --cc CC... - every header compiles alone.

    each public header    as C by CC, and as C++17 by g++ (skipped when there is none)
    each internal header  as C by CC; templates, which have no include guard, are left out; that of
                          the DPDK module where DPDK is installed
"""
import os
import shutil
import subprocess
import sys

import tap

FLAGS = ["-Wall", "-Wextra", "-Wconversion", "-Werror", "-fsyntax-only"]


def alone(root, compiler, language, header, *options):
    """Compiles a file that includes the header twice and nothing else."""
    name = header[len("include/"):] if header.startswith("include/") else header
    text = f'#include "{name}"\n' * 2
    argv = [*compiler, *FLAGS, *options, "-I", os.path.join(root, "include"), "-x", language, "-"]
    return tap.run(["sh", "-c", 'text=$1; shift; printf %s "$text" | "$@"', "sh", text, *argv])


def dpdk_flags():
    """Where DPDK's headers are, as system headers; None without DPDK."""
    try:
        ran = subprocess.run(["pkg-config", "--cflags", "libdpdk"], capture_output=True, text=True,
                             check=False)
    except OSError:
        return None
    return ran.stdout.replace("-I", "-isystem ").split() if ran.returncode == 0 else None


def main():
    root, cc = sys.argv[1], sys.argv[sys.argv.index("--cc") + 1:]
    report = tap.Tap()
    for header in tap.sources(root, ["include"], (".h",)):
        report.case(f"C: {header}", alone(root, cc, "c", header, "-std=gnu11", "-Wshadow"))
        # No -Wshadow: C++ calls it one when a struct and a function share a name, which C allows.
        if shutil.which("g++"):
            report.case(f"C++17: {header}", alone(root, ["g++"], "c++", header, "-std=c++17"))
        else:
            report.skip(f"C++17: {header}", "g++ is not installed")
    for header in tap.sources(root, ["core", "sched", "net"], (".h",)):
        if "#ifndef" not in tap.read(root, header):
            continue
        more = dpdk_flags() if header == "net/dev/dpdk.h" else []
        if more is None:
            report.skip(f"C: {header}", "DPDK is not installed")
            continue
        report.case(f"C: {header}", alone(root, cc, "c", header, "-std=gnu11", "-Wshadow",
                                          "-D_GNU_SOURCE", "-I", root, *more))
    sys.exit(report.done())


main()
