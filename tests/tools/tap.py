"""tap.py - what the check scripts share: printing TAP, running commands, finding sources."""
import os
import re
import subprocess
import sys

ROOMS = ["include", "core", "sched", "net", "apps", "tests", "perf"]


class Tap:
    """Prints one line per case; done() prints the plan and gives the exit status."""

    def __init__(self):
        self.count = self.failed = 0

    def case(self, name, trouble=""):
        """A case that fails when `trouble` has text in it."""
        self.count += 1
        self.failed += bool(trouble)
        print(f"{'not ok' if trouble else 'ok'} {self.count} - {name}")
        for line in str(trouble).splitlines():
            print(f"#   {line}")

    def skip(self, name, reason):
        self.count += 1
        print(f"ok {self.count} - {name} # SKIP {reason}")

    def done(self):
        print(f"1..{self.count}", flush=True)
        return 1 if self.failed or not self.count else 0


def run(argv, **kwargs):
    """Runs a command: what it said if it failed, else nothing."""
    result = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            stdin=subprocess.DEVNULL, **kwargs)
    if result.returncode == 0:
        return ""
    return f"{' '.join(argv)}\n{result.stdout}(status {result.returncode})"


def output(argv, **kwargs):
    """What a command prints; ends the check if it fails."""
    return subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True,
                          stdin=subprocess.DEVNULL, **kwargs).stdout


def sources(root, rooms=ROOMS, suffixes=(".c", ".h")):
    """The source files of some rooms, as sorted paths relative to root."""
    found = []
    for room in rooms:
        for folder, _, names in os.walk(os.path.join(root, room)):
            found += [os.path.relpath(os.path.join(folder, name), root)
                      for name in names if name.endswith(suffixes) and not name.startswith(".")]
    return sorted(found)


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8") as file:
        return file.read()


def without_comments(text):
    """C text with its comments blanked; line numbers stay."""
    return re.sub(r"/\*.*?\*/|//[^\n]*", lambda m: "\n" * m.group().count("\n"), text, flags=re.S)


def install(build, dest):
    """Installs a build into an empty directory; returns the prefix in it."""
    trouble = run(["meson", "install", "-C", build, "--destdir", dest, "--no-rebuild", "--quiet"])
    if trouble:
        sys.exit(trouble)
    for folder, _, names in os.walk(dest):
        if "weir.h" in names:
            return os.path.dirname(os.path.dirname(folder))
    sys.exit("the installation has no weir.h")


def pkg_config(prefix, *args):
    """pkg-config for the weir that is installed under prefix, and its environment's libraries."""
    folders = [folder for folder, _, names in os.walk(prefix) if "weir.pc" in names]
    if len(folders) != 1:
        sys.exit(f"expected one weir.pc under {prefix}, found {folders}")
    env = dict(os.environ, PKG_CONFIG_PATH=folders[0])
    return output(["pkg-config", *args, "weir"], env=env).split()
