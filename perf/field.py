"""field.py - who takes part in the perf suite: weir, the bare floors, and the peers.

    for entry in field.entries(kind=field.HTTP):
        why = entry.missing(place)              # "" or one line: what to install
        entry.prepare(place)                    # compiles it where needed, into place.work
        with entry.start(place, cpus=[0], mode=field.KEEP) as server:
            server.port, server.pids(), server.sched(), server.rss(), server.check()

Every HTTP server answers GET of PLAIN with the same body and, byte for byte, as long an answer.  nginx,
h2o and Node always send a Connection field of their own; the other servers make up for its length in
their Server field.  BULK is a body of BULK_BYTES.  A server gets as many shards (threads, workers) as
CPUs unless told otherwise, and may use these CPUs only.  Bare floors parse nothing, so what a request
asks for has to be said at their start: that is what the mode is for, the others take it as well.

Run as a program it starts each server, looks at what it answers and prints that as a table.
"""
import argparse
import ctypes
import dataclasses
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
import typing

import measure
from measure import Failed

HERE = os.path.dirname(os.path.abspath(__file__))
PEERS = os.path.join(HERE, "peers")
REGISTRY = "/usr/share/cargo/registry"

HTTP, ECHO = "http", "echo"
WEIR, FLOOR, PEER = "weir", "floor", "peer"
KEEP, CLOSE, BULK_MODE = "keep", "close", "bulk"  # connections are kept; one request each; BULK

PLAIN, PLAIN_BODY = "/plaintext", b"Hello, World!"
BULK_BYTES = 1 << 20
BULK = f"/bytes/{BULK_BYTES}"
BULK_BODY = (b"abcdefghijklmnopqrstuvwxyz" * (BULK_BYTES // 26 + 1))[:BULK_BYTES]
# What all aim at: nginx's own answer with "Server: nginx", which has no knob for its other fields.
PLAIN_LENGTH = {KEEP: 154, CLOSE: 149}
CONNECTION_FIELD = len("Connection: keep-alive\r\n")
SERVER_TEXT = len("nginx")
START_SECONDS, STOP_SECONDS = 20, 3
DESCRIPTORS = 1 << 18


@dataclasses.dataclass(frozen=True)
class Place:
    """Where things are: meson's build of weir, and a directory of ours for what the peers need."""

    build: str
    work: str

    @classmethod
    def of(cls, build):
        build = os.path.abspath(build)
        return cls(build, os.path.join(build, "perf", "peers"))

    def folder(self, *names):
        path = os.path.join(self.work, *names)
        os.makedirs(path, exist_ok=True)
        return path


@dataclasses.dataclass(frozen=True)
class Start:
    """What a server is told at its start."""

    place: Place
    port: int
    cpus: typing.Tuple[int, ...]
    shards: int
    mode: str
    folder: str  # for its configuration and its like; its own

    def server_text(self, name, says_connection):
        """The Server field that makes the answer as long as everybody's."""
        room = 0 if says_connection or self.mode == CLOSE else CONNECTION_FIELD
        return name[:SERVER_TEXT + room].ljust(SERVER_TEXT + room, ".")


@dataclasses.dataclass(frozen=True)
class Entry:
    """One server.  The functions are given a Place, `argv` a Start."""

    name: str
    family: str
    kind: str
    what: str
    find: typing.Callable  # "" or why it is missing
    argv: typing.Callable
    tell: typing.Callable  # its version
    build: typing.Callable = None
    built: typing.Callable = None  # the path of what `build` makes
    long_build: bool = False       # it takes more than some seconds, the first time

    def missing(self, place):
        return self.find(place)

    def ready(self, place):
        """Whether prepare has nothing to compile from nothing."""
        return self.build is None or os.path.exists(self.built(place))

    def prepare(self, place):
        why = self.missing(place)
        if why:
            raise Failed(f"{self.name}: {why}")
        if self.build:
            self.build(place)

    def version(self, place):
        try:
            return self.tell(place)
        except (OSError, Failed, subprocess.SubprocessError, IndexError) as error:
            return f"unknown: {error}"

    def start(self, place, cpus, shards=None, mode=KEEP, boost=False):
        return Running(self, place, cpus, shards, mode, boost)


# --- a running server ---

def group_pids(group):
    """The processes of a group; those that have ended and are not waited for yet are none."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", encoding="latin-1") as file:
                state, _, pgrp = file.read().rpartition(")")[2].split()[:3]
        except (OSError, ValueError):
            continue
        if int(pgrp) == group and state not in "ZX":
            found.append(int(name))
    return found


def in_child(cpus, boost):
    """In the child, before it becomes the server: a group of its own, its CPUs, many descriptors."""
    if boost:
        measure.in_front()
    else:
        os.setsid()
    os.sched_setaffinity(0, cpus)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    most = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


class Running:
    """A server that accepts on a port of its own, with all its processes in one group.

    It can stand where measure.Server does; CPU time and memory are those of the whole group.  A thread
    that ends takes its CPU time with it: none of these servers ends threads while it serves."""

    def __init__(self, entry, place, cpus, shards, mode, boost):
        self.entry, self.name, self.mode = entry, entry.name, mode
        self.cpus = tuple(cpus)
        self.shards = shards or len(self.cpus)
        self.port = measure.free_port()
        self.folder = place.folder("run", f"{entry.name}-{self.port}")
        self.log_path = os.path.join(self.folder, "log")
        try:
            self.process = self.run(place, boost)
        except (OSError, subprocess.SubprocessError) as error:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise Failed(f"{self.name}: {error}") from error
        self.pid = self.process.pid
        try:
            self.wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def run(self, place, boost):
        argv = self.entry.argv(Start(place, self.port, self.cpus, self.shards, self.mode,
                                     self.folder))
        with open(self.log_path, "wb") as log:
            return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                    cwd=self.folder, preexec_fn=lambda: in_child(self.cpus, boost))

    def wait_until_ready(self):
        """Until it answers: some listen before they can."""
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            self.check("has ended at once")
            try:
                if self.entry.kind == ECHO:
                    echo(self.port, b"?", timeout=2)
                else:
                    fetch(self.port, BULK if self.mode == BULK_MODE else PLAIN,
                          self.mode == CLOSE, timeout=2)
                return
            except (OSError, Failed):
                time.sleep(0.02)
        raise Failed(f"{self.name} does not answer: {self.said()}")

    def said(self):
        try:
            with open(self.log_path, encoding="utf-8", errors="replace") as file:
                text = file.read().strip()
        except OSError:
            text = ""
        return text[-500:].replace("\n", "; ") or "it said nothing"

    def check(self, how="has died"):
        if self.process.poll() is not None:
            raise Failed(f"{self.name} {how}: {self.said()}")

    def pids(self):
        return group_pids(self.pid)

    def threads_sched(self):
        """{thread: (ns on a CPU, ns waiting for one)} of all processes."""
        result = {}
        for pid in self.pids():
            try:
                result.update(measure.threads_sched(pid))
            except OSError:
                continue  # it has just ended
        return result

    def sched(self):
        each = self.threads_sched().values()
        return sum(run for run, _ in each), sum(delay for _, delay in each)

    def threads(self):
        return len(self.threads_sched())

    def rss(self):
        """Resident bytes; what processes share counts for each: look at differences."""
        return sum(measure.rss(pid) for pid in self.pids())

    def signal_group(self, number):
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            pass

    def stop(self):
        """Ends all its processes, by force where asking does not help."""
        self.signal_group(signal.SIGTERM)
        if not self.ended(STOP_SECONDS):
            self.signal_group(signal.SIGKILL)
            self.ended(STOP_SECONDS)
        shutil.rmtree(self.folder, ignore_errors=True)

    def ended(self, seconds):
        until = time.monotonic() + seconds
        while self.process.poll() is None or self.pids():
            if time.monotonic() > until:
                return False
            time.sleep(0.01)
        return True

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


# --- what they answer ---

@dataclasses.dataclass
class Answer:
    status: int
    fields: list  # (name in lower case, value), in order
    body: bytes
    length: int   # of the whole answer, in bytes
    closed: bool = None  # whether the server closed behind it; None: it was not waited for

    def names(self):
        return sorted(name for name, _ in self.fields)

    def field(self, name):
        return next((value for known, value in self.fields if known == name), None)


def request(path, close=False):
    extra = "Connection: close\r\n" if close else ""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{extra}\r\n".encode()


class Client:
    """A connection that asks and takes answers apart; knows Content-Length only, as all here send it."""

    def __init__(self, port, timeout=10):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout)
        self.data = b""

    def more(self):
        got = self.sock.recv(1 << 18)
        self.data += got
        return len(got) > 0

    def take(self, size):
        pieces, have = [self.data], len(self.data)
        while have < size:
            got = self.sock.recv(1 << 18)
            if not got:
                raise Failed(f"the server closed after {have} of {size} bytes")
            pieces.append(got)
            have += len(got)
        data = b"".join(pieces)
        self.data = data[size:]
        return data[:size]

    def ask(self, path, close=False):
        self.sock.sendall(request(path, close))
        return self.hear()

    def hear(self):
        while b"\r\n\r\n" not in self.data:
            if not self.more():
                raise Failed(f"the server closed within an answer: {self.data[:200]!r}")
        head, _, self.data = self.data.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        if not re.match(r"HTTP/1\.1 \d{3}( |$)", lines[0]):
            raise Failed(f"not an answer: {lines[0]!r}")
        fields = [(name.lower(), value.strip())
                  for name, _, value in (line.partition(":") for line in lines[1:])]
        length = dict(fields).get("content-length")
        if length is None:
            raise Failed("an answer without Content-Length")
        body = self.take(int(length))
        return Answer(int(lines[0][9:12]), fields, body, len(head) + 4 + len(body))

    def at_end(self):
        """Whether the server has ended its side, with nothing more said."""
        try:
            return not self.data and self.sock.recv(1) == b""
        except ConnectionResetError:
            return False
        except socket.timeout:
            return False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()


def fetch(port, path, close=False, timeout=10):
    with Client(port, timeout) as client:
        answer = client.ask(path, close)
        answer.closed = client.at_end() if close else None
        return answer


def echo(port, data, timeout=10):
    """Failed unless the same bytes come back."""
    with socket.create_connection(("127.0.0.1", port), timeout) as sock:
        sent, got = 0, bytearray()
        sock.setblocking(True)
        sock.settimeout(timeout)
        while sent < len(data):  # in pieces, so that neither side waits for the other
            sent += sock.send(data[sent:sent + (1 << 14)])
            while len(got) < sent:
                more = sock.recv(1 << 18)
                if not more:
                    raise Failed(f"the server closed after {len(got)} of {len(data)} bytes")
                got += more
        if bytes(got) != data:
            raise Failed("other bytes came back than were sent")


def look(entry, place, cpus):
    """{mode: Answer} of an HTTP server.  Failed when it does not do what it is asked for."""
    found = {}
    for mode, path, body in ((KEEP, PLAIN, PLAIN_BODY), (CLOSE, PLAIN, PLAIN_BODY),
                             (BULK_MODE, BULK, BULK_BODY)):
        with entry.start(place, cpus, mode=mode) as server:
            answer = look_at(server, mode, path)
        if answer.status != 200 or answer.body != body:
            raise Failed(f"{entry.name}: status {answer.status}, {len(answer.body)} bytes of "
                         f"another body than was expected for {path}")
        found[mode] = answer
    return found


def look_at(server, mode, path):
    if mode == CLOSE:
        answer = fetch(server.port, path, close=True)
        if not answer.closed:
            raise Failed(f"{server.name} does not close when asked to")
        return answer
    with Client(server.port) as client:
        answers = [client.ask(path) for _ in range(3)]
    if len({answer.length for answer in answers}) > 1:
        raise Failed(f"{server.name}: answers of different length over one connection")
    return answers[0]


def differences(looks):
    """One line for each way in which an answer is not like most: {name: {mode: Answer}}."""
    lines = []
    for name, modes in looks.items():
        for mode, answer in modes.items():
            wanted = PLAIN_LENGTH.get(mode)
            if wanted and answer.length != wanted:
                lines.append(f"{name}: {answer.length} bytes, not {wanted} ({mode})")
            extra = set(answer.names()) ^ {"server", "date", "content-type", "content-length"}
            if extra - {"connection"}:
                lines.append(f"{name}: other fields than most: {', '.join(sorted(extra))} ({mode})")
    return lines


# --- finding and building ---

def program(name):
    """The path of a program; daemons are where only root's PATH looks."""
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def needs(name, package):
    return lambda place: "" if program(name) else f"{package} is not installed"


def needs_built(*names):
    def find(place):
        for name in names:
            if not os.path.exists(os.path.join(place.build, name)):
                return f"{name} is not built (ninja -C {place.build} {name})"
        return ""
    return find


def first_of(*finds):
    return lambda place: next((why for why in (find(place) for find in finds) if why), "")


def uring_refused(_place):
    """Why there is no io_uring, as the kernel says it."""
    libc = ctypes.CDLL(None, use_errno=True)
    params = (ctypes.c_char * 120)()
    fd = libc.syscall(425, 1, params)  # io_uring_setup: the same number on every architecture
    if fd < 0:
        return f"io_uring is refused: {os.strerror(ctypes.get_errno())}"
    os.close(fd)
    return ""


def run(argv, **kwargs):
    ran = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                         stdin=subprocess.DEVNULL, check=False, **kwargs)
    if ran.returncode != 0:
        raise Failed(f"{' '.join(argv)}: {ran.stdout.strip()[-2000:]}")
    return ran.stdout


def says(*argv, pattern=r".+"):
    """The first thing of that pattern in what a command prints."""
    def tell(_place):
        path = program(argv[0])
        if not path:
            raise Failed("not installed")
        return re.search(pattern, run([path, *argv[1:]]))[0].strip()
    return tell


def crate(name):
    """The folder of a crate in Debian's registry: hyper-0.14.19."""
    try:
        return next((folder for folder in sorted(os.listdir(REGISTRY))
                     if re.fullmatch(re.escape(name) + r"-\d[\d.]*", folder)), None)
    except OSError:
        return None


def needs_crates(*names):
    def find(_place):
        if not os.path.exists("/usr/bin/cargo"):
            return "cargo is not installed"
        for name in names:
            if not crate(name):
                return f"librust-{name}-dev is not installed"
        return ""
    return find


def cargo_built(folder):
    return lambda place: os.path.join(place.work, folder, "target", "release", folder)


def cargo_build(folder):
    """From Debian's sources by Debian's compiler: another one may not read that registry."""
    def build(place):
        work = place.folder(folder)
        shutil.copytree(os.path.join(PEERS, folder), work, dirs_exist_ok=True)
        env = dict(os.environ, PATH="/usr/bin:/bin", CARGO_TARGET_DIR=os.path.join(work, "target"),
                   CARGO_HOME=place.folder("cargo"))
        run(["/usr/bin/cargo", "build", "--release", "--offline", "--quiet"], cwd=work, env=env,
            timeout=1800)
    return build


def crate_versions(*names):
    def tell(_place):
        rust = run(["/usr/bin/rustc", "--version"]).split()[1]
        return ", ".join([crate(name) or name for name in names] + [f"rustc {rust}"])
    return tell


def go_built(name):
    return lambda place: os.path.join(place.work, "go", name)


def go_build(name):
    """Without modules: the standard library is all they need."""
    def build(place):
        env = dict(os.environ, GO111MODULE="off", GOFLAGS="", GOTOOLCHAIN="local", CGO_ENABLED="0",
                   GOCACHE=place.folder("go", "cache"), GOPATH=place.folder("go", "path"))
        source = os.path.join(PEERS, "go", name, "main.go")
        run([program("go"), "build", "-o", go_built(name)(place), source], env=env, timeout=1800)
    return build


def libuv_missing(_place):
    ran = subprocess.run(["pkg-config", "--exists", "libuv"], check=False) \
        if program("pkg-config") else None
    return "" if ran and ran.returncode == 0 and program("cc") else "libuv1-dev is not installed"


def libuv_built(place):
    return os.path.join(place.work, "libuv", "uv_echo")


def libuv_build(place):
    source, target = os.path.join(PEERS, "libuv", "uv_echo.c"), libuv_built(place)
    if os.path.exists(target) and os.path.getmtime(target) > os.path.getmtime(source):
        return
    place.folder("libuv")
    flags = run(["pkg-config", "--cflags", "--libs", "libuv"]).split()
    run(["cc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-o", target, source, *flags, "-pthread"])


def node_argv(script, *words):
    return [program("node") or program("nodejs") or "node", os.path.join(PEERS, "node", script),
            *words]


def node_missing(_place):
    return "" if program("node") or program("nodejs") else "nodejs is not installed"


# --- configurations ---

def bulk_file(start):
    path = os.path.join(start.folder, "www", BULK[1:])
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(BULK_BODY)
    with open(os.path.join(start.folder, "www", PLAIN[1:]), "wb") as file:
        file.write(PLAIN_BODY)


def fill(template, start, **more):
    """A configuration from perf/peers, the words in @ filled in, in the server's folder."""
    words = {"PORT": start.port, "SHARDS": start.shards, "FOLDER": start.folder, "PLAIN": PLAIN,
             "BULK": BULK, "BODY": PLAIN_BODY.decode(), **more}
    with open(os.path.join(PEERS, template), encoding="utf-8") as file:
        text = re.sub(r"@([A-Z]+)@", lambda word: str(words[word[1]]), file.read())
    path = os.path.join(start.folder, os.path.basename(template))
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def account():
    """Who the workers run as: who we are, so that they can read what is ours."""
    import pwd  # pylint: disable=import-outside-toplevel
    return pwd.getpwuid(os.getuid()).pw_name


def nginx_argv(start):
    bulk_file(start)
    config = fill("nginx/nginx.conf", start,
                  USER=f"user {account()};" if os.getuid() == 0 else "",
                  AFFINITY=" ".join(f"{1 << start.cpus[i % len(start.cpus)]:b}"
                                    for i in range(start.shards)),
                  REUSEPORT=" reuseport" if start.shards > 1 else "")
    return [program("nginx") or "nginx", "-p", start.folder, "-c", config]


def h2o_argv(start):
    bulk_file(start)
    config = fill("h2o/h2o.conf", start, SERVER=start.server_text("h2o", True),
                  CONNS=65536 if start.shards == 1 else 1024,
                  USER=f"user: {account()}" if os.getuid() == 0 else "")
    return [program("h2o") or "h2o", "-m", "worker", "-c", config]


def cpu_list(start):
    return ",".join(str(cpu) for cpu in start.cpus[:start.shards])


def weir_argv(name, stack):
    def argv(start):
        words = [os.path.join(start.place.build, "apps", f"weir-{name}"), "--listen",
                 f"127.0.0.1:{start.port}", "--shards", str(start.shards), "--cpus",
                 cpu_list(start), "--stack", stack]
        if name == "http":
            words += ["--server", start.server_text("weir", False)]
        return words
    return argv


# Big messages want big buffers; an io_uring loop has all of its buffers in use.
FLOOR_ECHO = {"floor_epoll": ["--size", "65536"], "floor_uring": ["--size", "16384", "--bufs", "512"]}


def floor_argv(name, kind):
    def argv(start):
        words = [os.path.join(start.place.build, "perf", name)]
        if kind == ECHO:
            words += ["--echo", "1", *FLOOR_ECHO[name]]
        else:
            words += ["--pad", str(len(start.server_text("weir", False)) - len("weir"))]
        if start.mode == CLOSE:
            words += ["--close", "1"]
        if start.mode == BULK_MODE:
            words += ["--body", str(BULK_BYTES)]
        return words + [str(start.port), cpu_list(start)]
    return argv


def kernel(_place):
    return "Linux " + os.uname().release


def weir_version(place):
    return run([os.path.join(place.build, "apps", "weir-http"), "--version"]).split()[-1]


# --- the field ---

def ours():
    for kind, app in ((HTTP, "http"), (ECHO, "echo")):
        suffix = "" if kind == HTTP else "-echo"
        for stack, refused in (("uring", uring_refused), ("epoll", lambda place: "")):
            yield Entry(f"weir-{stack}{suffix}", WEIR, kind, f"weir-{app} on {stack}",
                        first_of(needs_built(f"apps/weir-{app}"), refused), weir_argv(app, stack),
                        weir_version)
        for stack, refused in (("uring", uring_refused), ("epoll", lambda place: "")):
            yield Entry(f"floor-{stack}{suffix}", FLOOR, kind,
                        f"a bare loop on {stack} that parses nothing",
                        first_of(needs_built(f"perf/floor_{stack}"), refused),
                        floor_argv(f"floor_{stack}", kind), kernel)


def peers_http():
    yield Entry("hyper", PEER, HTTP, "tokio and hyper, a current-thread runtime per CPU",
                needs_crates("tokio", "hyper"),
                lambda s: [cargo_built("hyper_http")(s.place), str(s.port), str(s.shards),
                           s.server_text("hyper", False)],
                crate_versions("tokio", "hyper"), cargo_build("hyper_http"),
                cargo_built("hyper_http"), True)
    yield Entry("go", PEER, HTTP, "Go's net/http, GOMAXPROCS as CPUs", needs("go", "golang-go"),
                lambda s: [go_built("http")(s.place), str(s.port), str(s.shards),
                           s.server_text("go", False)],
                says("go", "version", pattern=r"go\d\S*"), go_build("http"), go_built("http"), True)
    yield Entry("node", PEER, HTTP, "node:http, a cluster of a worker per CPU", node_missing,
                lambda s: node_argv("http.js", str(s.port), str(s.shards),
                                    s.server_text("node", True)),
                says("node", "--version"))
    yield Entry("nginx", PEER, HTTP, "nginx, a worker per CPU: return 200, and a file",
                needs("nginx", "nginx"), nginx_argv, says("nginx", "-v", pattern=r"nginx/\S+"))
    yield Entry("h2o", PEER, HTTP, "h2o, a thread per CPU: files", needs("h2o", "h2o"), h2o_argv,
                says("h2o", "--version", pattern=r"h2o version \S+"))


def peers_echo():
    yield Entry("tokio-echo", PEER, ECHO, "tokio, a current-thread runtime per CPU",
                needs_crates("tokio"),
                lambda s: [cargo_built("tokio_echo")(s.place), str(s.port), str(s.shards)],
                crate_versions("tokio"), cargo_build("tokio_echo"), cargo_built("tokio_echo"), True)
    yield Entry("go-echo", PEER, ECHO, "Go's net, a goroutine per connection",
                needs("go", "golang-go"),
                lambda s: [go_built("echo")(s.place), str(s.port), str(s.shards)],
                says("go", "version", pattern=r"go\d\S*"), go_build("echo"), go_built("echo"), True)
    yield Entry("node-echo", PEER, ECHO, "node:net, a cluster of a worker per CPU", node_missing,
                lambda s: node_argv("echo.js", str(s.port), str(s.shards)),
                says("node", "--version"))
    yield Entry("libuv-echo", PEER, ECHO, "libuv, a loop per CPU", libuv_missing,
                lambda s: [libuv_built(s.place), str(s.port), str(s.shards)],
                lambda place: "libuv " + run(["pkg-config", "--modversion", "libuv"]).strip(),
                libuv_build, libuv_built)


FIELD = [*ours(), *peers_http(), *peers_echo()]


def entries(kind=None, family=None, names=None):
    """Those of a kind, a family, or by name (in the field's order); Failed for a name it has not."""
    for name in names or []:
        if name not in [entry.name for entry in FIELD]:
            raise Failed(f"no such server: {name}; there are: "
                         + " ".join(entry.name for entry in FIELD))
    return [entry for entry in FIELD
            if kind in (None, entry.kind) and family in (None, entry.family)
            and (not names or entry.name in names)]


def available(place, chosen=None, say=lambda text: None):
    """Those that are there and can be built; says which are left out, and why.  {name: entry}"""
    found = {}
    for entry in FIELD if chosen is None else chosen:
        try:
            entry.prepare(place)
            found[entry.name] = entry
        except (Failed, OSError, subprocess.SubprocessError) as error:
            say(f"going on without {error}" if isinstance(error, Failed)
                else f"going on without {entry.name}: {error}")
    return found


# --- as a program ---

def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(HERE, "..", "build"), metavar="DIR")
    parser.add_argument("--only", metavar="A,B", help="only these")
    args = parser.parse_args()
    place, cpus, looks = Place.of(args.build), sorted(os.sched_getaffinity(0))[:1], {}
    try:
        chosen = entries(names=args.only.split(",") if args.only else None)
    except Failed as error:
        parser.error(str(error))
    there = available(place, chosen, lambda text: print(text, file=sys.stderr))
    print(f"{'server':18} {'keep':>6} {'close':>6} {'bulk':>8}  version")
    for name, entry in there.items():
        try:
            if entry.kind == ECHO:
                with entry.start(place, cpus) as server:
                    echo(server.port, BULK_BODY)
                sizes = [""] * 3
            else:
                looks[name] = look(entry, place, cpus)
                sizes = [looks[name][mode].length for mode in (KEEP, CLOSE, BULK_MODE)]
            print(f"{name:18} {sizes[0]:>6} {sizes[1]:>6} {sizes[2]:>8}  {entry.version(place)}")
        except (Failed, OSError) as error:
            print(f"{name:18} does not do: {error}")
    for line in differences(looks):
        print(line)


if __name__ == "__main__":
    main()
