"""serving.py - what the tests of the apps share: starting one, and clients that speak bytes."""
import re
import resource
import select
import signal
import socket
import subprocess
import sys

import tap

HTTP, ECHO = sys.argv[1:3]
ENDS = 30  # seconds after which an app that should have ended is called hung


def raise_descriptor_limit():
    """As many descriptors as we may have; returns how many."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


class App:
    """A running app.  After the start its lines have been read, so it accepts on every shard."""

    def __init__(self, *argv, listen="127.0.0.1:0"):
        self.process = subprocess.Popen([*argv, "--listen", listen], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.said = ""
        while "Ctrl-C stops" not in self.said:
            line = self.process.stdout.readline()
            if not line:
                raise RuntimeError(f"{argv[0]} has not started: {self.process.stderr.read()}")
            self.said += line
        found = re.search(r"serving on (?:\w+://127\.0\.0\.1:(\d+)/|unix:(\S+))", self.said)
        self.port = int(found.group(1)) if found.group(1) else None
        self.path = found.group(2)
        self.url = f"http://127.0.0.1:{self.port}"

    def connect(self, timeout=20):
        if self.path:
            sock = socket.socket(socket.AF_UNIX)
            sock.settimeout(timeout)
            sock.connect(self.path)
            return sock
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout)

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self):
        """The exit status, and what it said on stderr."""
        try:
            _, errors = self.process.communicate(timeout=ENDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return "hung", self.process.communicate()[1]
        return self.process.returncode, errors

    def stop(self):
        """Stops it gracefully; what was wrong with that, or nothing."""
        self.signal(signal.SIGTERM)
        status, errors = self.wait()
        # On a machine that has other things to do a fiber may well be held up by them.
        errors = "".join(line for line in errors.splitlines(True) if " held shard " not in line)
        return f"status {status}\n{errors}" if status != 0 or errors else ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


class Answer:
    def __init__(self, head, body):
        lines = head.decode("latin-1").split("\r\n")
        self.status = int(lines[0].split(" ")[1])
        self.fields = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            self.fields[name.lower()] = value.strip()
        self.body = body

    @property
    def closes(self):
        return self.fields.get("connection") == "close"


class Truncated(Exception):
    """The connection ended within an answer, or without one; `got` is what came of it."""

    def __init__(self, got):
        super().__init__(f"ended after {got[:60]!r}")
        self.got = got


class Peer:
    """One connection that asks, and takes answers apart.  Knows Content-Length and chunked."""

    def __init__(self, app):
        self.sock = app.connect()
        self.data = b""

    def say(self, data):
        self.sock.sendall(data)

    def more(self):
        data = self.sock.recv(1 << 18)
        if not data:
            raise Truncated(self.data)
        self.data += data

    def take(self, count):
        while len(self.data) < count:
            self.more()
        taken, self.data = self.data[:count], self.data[count:]
        return taken

    def line(self, end=b"\r\n"):
        while end not in self.data:
            self.more()
        line, self.data = self.data.split(end, 1)
        return line

    def hear(self, head=False):
        answer = Answer(self.line(b"\r\n\r\n"), b"")
        if head or answer.status < 200 or answer.status in (204, 304):
            return answer
        if answer.fields.get("transfer-encoding") == "chunked":
            size = 1
            while size:
                size = int(self.line(), 16)
                answer.body += self.take(size)
                self.line()
        elif "content-length" in answer.fields:
            answer.body = self.take(int(answer.fields["content-length"]))
        else:
            answer.body = self.rest()
        return answer

    def rest(self):
        """Everything until the server ends its side."""
        try:
            while True:
                self.more()
        except Truncated:
            data, self.data = self.data, b""
            return data

    def arrived(self):
        """Whether it is in the server's hands: it is deferred until it speaks, or for a second."""
        ports = [end[1] for end in (self.sock.getpeername(), self.sock.getsockname())]
        with open("/proc/net/tcp", encoding="ascii") as table:
            rows = [line.split() for line in table]
        return any([int(end[-4:], 16) for end in row[1:3]] == ports and row[3] == "01"
                   for row in rows[1:])

    def silent(self, seconds):
        """Whether nothing is heard for so long."""
        return not self.data and not select.select([self.sock], [], [], seconds)[0]

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def get(path, extra=""):
    return f"GET {path} HTTP/1.1\r\nHost: test\r\n{extra}\r\n".encode()


def stacks():
    """The stacks that can be had here; the reason when io_uring cannot."""
    with App(HTTP, "--shards", "1") as app:
        said = app.said
        app.stop()
    if "io_uring" in said.split(";")[1].split("(")[0]:
        return ["uring", "epoll"], ""
    return ["epoll"], said.strip().splitlines()[1]


def each_stack(report, case, tests):
    """Runs the tests, each a function of a stack's name that asserts, once per stack."""
    names, reason = stacks()
    for test in tests:
        name = test.__doc__.strip().splitlines()[0]
        for stack in ["uring", "epoll"]:
            if stack not in names:
                report.skip(f"{stack}: {name}", reason)
                continue
            run_case(report, f"{stack}: {name}", lambda: case(test, stack))


def run_case(report, name, function):
    trouble = ""
    try:
        trouble = function() or ""
    except Exception as error:  # pylint: disable=broad-except
        import traceback
        trouble = "".join(traceback.format_exception(error))
    report.case(name, trouble)
