"""check_dev.py ROOT - the dev script tells what it can do, and refuses clearly what it cannot.

Every command has its line in the help; a mistake costs one line and status 2; shellcheck, where it is
installed, has nothing to say about any shell script of the tree.
"""
import os
import re
import shutil
import subprocess
import sys

import tap

MISTAKES = [["nonsense"], ["run", "nonsense"], ["run", "http", "--shards"], ["build", "nonsense"],
            ["fuzz", "soon"]]
SCRIPTS = ["dev", os.path.join(".ci", "run")]


def dev(root, *args):
    return subprocess.run([os.path.join(root, "dev"), *args], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False)


def unlisted(root):
    commands = set(re.findall(r"^cmd_(\w+)\(\)", tap.read(root, "dev"), re.M))
    listed = set(re.findall(r"^  (\w+) ", dev(root, "help").stdout, re.M))
    return "\n".join(sorted(commands ^ listed))


def mistake(root, args):
    said = dev(root, *args)
    if said.returncode == 2 and not said.stdout and said.stderr.count("\n") == 1:
        return ""
    return f"status {said.returncode}\n{said.stdout}{said.stderr}"


def main():
    root = sys.argv[1]
    report = tap.Tap()
    report.case("help lists every command", unlisted(root))
    for args in MISTAKES:
        report.case(f"dev {' '.join(args)}", mistake(root, args))
    for script in SCRIPTS:
        if shutil.which("shellcheck"):
            report.case(f"shellcheck {script}", tap.run(["shellcheck", script], cwd=root))
        else:
            report.skip(f"shellcheck {script}", "shellcheck is not installed")
    sys.exit(report.done())


main()
