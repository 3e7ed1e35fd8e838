"""bench_runtimes.py - programs that do what users of a runtime compare by: on weir, Tokio and Node.

Each prints "ROW VALUE" (perf/bench_rows.c, perf/peers/); a figure is a process of its own, pinned to
the two CPUs.  Tokio's program is built from Debian's librust-tokio-dev, offline, into the build
directory.  The series runtimes runs them beside each other.
"""
import os
import shutil
import subprocess

from measure import Failed

HERE = os.path.dirname(os.path.abspath(__file__))
REGISTRY = "/usr/share/cargo/registry"
ROWS = {  # name: unit, what
    "spawn-join": ("ns", "one task, spawned and joined"),
    "spawn-join-64": ("ns", "each of 64 that are joined together"),
    "yield": ("ns", "give way among 64 tasks"),
    "await-ready": ("ns", "an await whose result is there"),
    "oneshot-one": ("ns", "request and oneshot, one thread"),
    "oneshot-two": ("ns", "request and oneshot, two threads"),
    "oneshot-workers": ("ns", "request and oneshot, two workers"),
    "mpsc-one": ("ns", "mpsc there and back, one thread"),
    "mpsc-two": ("ns", "mpsc there and back, two threads"),
    "mpsc-workers": ("ns", "mpsc there and back, two workers"),
    "mpsc-flow-one": ("ns", "mpsc stream of 64 places, one thread"),
    "mpsc-flow-two": ("ns", "mpsc stream of 64 places, two threads"),
    "mpsc-flow-workers": ("ns", "mpsc stream of 64 places, two workers"),
    "mutex": ("ns", "lock and unlock, uncontended"),
    "mutex-contended": ("ns", "lock and unlock by 64 tasks that yield with it"),
    "timers": ("ns", "arm and cancel each of a million timers"),
    "sleeps-due": ("us", "10,000 sleeps due at once"),
    "interval-late": ("us", "p99 of how late ticks of 1 ms are"),
    "start": ("us", "make a runtime, block_on, free it"),
    "block-on": ("ns", "block_on of a runtime that is there"),
    "parked": ("bytes", "a task that waits"),
    "parked-callback": ("bytes", "a future with a callback that waits"),
}
# Tokio's workers are an answer of its own to "two": weir's figure is the one across two shards.
SAME = {f"{name}-workers": f"{name}-two" for name in ("oneshot", "mpsc", "mpsc-flow")}
WEIR, TOKIO, NODE = "weir", "tokio", "node"


def rows_of(argv):
    ran = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60,
                         check=False)
    if ran.returncode != 0:
        raise OSError(ran.stderr.strip() or f"{argv[0]} failed")
    return ran.stdout.split()


def tokio_build(build):
    """The program; built in the build directory, so that the tree stays as it is."""
    if not os.path.isdir(REGISTRY) or not os.path.exists("/usr/bin/cargo"):
        raise OSError("install cargo and librust-tokio-dev")
    work = os.path.join(build, "perf", "tokio")
    shutil.copytree(os.path.join(HERE, "peers", "tokio"), work, dirs_exist_ok=True)
    # Debian's compiler and Debian's sources: another toolchain that comes first in PATH may not
    # read what the registry has.
    env = dict(os.environ, PATH="/usr/bin:/bin", CARGO_TARGET_DIR=os.path.join(work, "target"))
    ran = subprocess.run(["/usr/bin/cargo", "build", "--release", "--offline", "--quiet"], cwd=work,
                         env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                         timeout=900, check=False)
    if ran.returncode != 0:
        raise OSError(ran.stdout.strip()[-2000:])
    return [os.path.join(work, "target", "release", "tokio_rows")]


def node_program(_):
    node = shutil.which("node") or shutil.which("nodejs")
    if not node:
        raise OSError("install nodejs")
    return [node, "--expose-gc", os.path.join(HERE, "peers", "node", "rows.js")]


MAKERS = {WEIR: lambda build: [os.path.join(build, "perf", "bench_rows")], TOKIO: tokio_build,
          NODE: node_program}


def program(build, name):
    """(argv, its rows); OSError or subprocess's own errors when it cannot be had."""
    argv = MAKERS[name](build)
    return argv, rows_of(argv)


def version(name, argv):
    """Of a peer."""
    if name == TOKIO:
        return next(folder for folder in os.listdir(REGISTRY) if folder.startswith("tokio-1"))
    return subprocess.run([argv[0], "--version"], stdout=subprocess.PIPE, text=True,
                          check=True).stdout.strip()


def once(argv, row, cpus):
    """One figure."""
    pinned = ["taskset", "-c", ",".join(map(str, cpus)), *argv, row]
    ran = subprocess.run(pinned, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                         timeout=120, check=False)
    words = ran.stdout.split()
    if ran.returncode != 0 or len(words) != 2 or words[0] != row:
        raise Failed(f"{row}: {argv[0]}: {ran.stderr.strip() or ran.stdout.strip()}")
    return float(words[1])
