"""measure.py - servers, load and what the kernel says both have cost.

CPU time is sum_exec_runtime of all threads (/proc/PID/task/*/schedstat), in nanoseconds.  A round
during which somebody else took the server's or the load's CPU is thrown away and done again: the
second field of schedstat, time spent waiting for a CPU, tells.
"""
import os
import random
import re
import resource
import shlex
import socket
import subprocess
import time

UNITS = {"us": 1.0, "ms": 1e3, "s": 1e6, "m": 60e6}
REQUEST = b"GET /plaintext HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
ANSWER_END = b"Hello, World!"
NOISE_MAX = 0.05
TRIES = 4


class Failed(Exception):
    """A measurement that could not be made; the text says why."""


def threads_sched(pid):
    """{thread id: (ns on a CPU, ns waiting for one)}"""
    result = {}
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as file:
            run, delay, _ = file.read().split()
        result[task] = (int(run), int(delay))
    return result


def sched(pid):
    each = threads_sched(pid).values()
    return sum(run for run, _ in each), sum(delay for _, delay in each)


def rss(pid):
    """Resident bytes."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        return int(re.search(r"^Rss:\s+(\d+) kB", file.read(), re.M)[1]) * 1024


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def in_front():
    """In the child: a session of its own, favoured by the scheduler over all others."""
    os.setsid()
    try:
        with open("/proc/self/autogroup", "w", encoding="ascii") as file:
            file.write("-20")
    except OSError:
        pass


class Server:
    """A running server; `command` has {port} and {cpu} in it."""

    def __init__(self, name, command, cpu, boost):
        self.port = free_port()
        self.name = name
        argv = [word.format(port=self.port, cpu=cpu) for word in shlex.split(command)]
        try:
            self.process = subprocess.Popen(argv, stdout=subprocess.DEVNULL,
                                            stderr=subprocess.PIPE,
                                            preexec_fn=in_front if boost else None)
        except OSError as error:
            raise Failed(f"{name}: {argv[0]}: {error.strerror}") from error
        os.set_blocking(self.process.stderr.fileno(), False)
        self.pid = self.process.pid
        self.wait_for_port()

    def wait_for_port(self):
        until = time.monotonic() + 10
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise Failed(f"{self.name} ended at once: {self.said()}")
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.02)
        self.stop()
        raise Failed(f"{self.name} does not listen: {self.said()}")

    def said(self):
        text = self.process.stderr.read() or b""
        return text.decode(errors="replace").strip().replace("\n", "; ") or "it said nothing"

    def check(self):
        if self.process.poll() is not None:
            raise Failed(f"{self.name} has died: {self.said()}")

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(2)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()


def wrk_argv(port, cpu, conns, pipelined, seconds):
    argv = ["taskset", "-c", str(cpu), "wrk", "-t1", f"-c{conns}", f"-d{seconds}s", "--latency"]
    if pipelined > 1:
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "pipeline.lua")
        argv += ["-s", script]
    argv.append(f"http://127.0.0.1:{port}/plaintext")
    return argv + (["--", str(pipelined)] if pipelined > 1 else [])


def wrk_parse(text):
    """(requests, seconds, p99 in us); Failed when any request went wrong."""
    wrong = re.search(r"(Socket errors: .*|Non-2xx.*)", text)
    if wrong:
        raise Failed(wrong[1])
    total = re.search(r"(\d+) requests in ([\d.]+)(us|ms|s|m)", text)
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s|m)", text)
    if not total or not p99 or int(total[1]) == 0:
        raise Failed("wrk said: " + text.strip().replace("\n", "; ")[-300:])
    return int(total[1]), float(total[2]) * UNITS[total[3]] / 1e6, float(p99[1]) * UNITS[p99[2]]


def wrk_delay(pid, before_end):
    """How long the load has waited for its CPU, asked for shortly before it ends."""
    time.sleep(before_end)
    try:
        return sched(pid)[1]
    except OSError:
        return 0


def round_once(server, cpu, conns, pipelined, seconds, boost):
    """One run of wrk: what it did, what it cost the server, how disturbed both were."""
    run_before, delay_before = sched(server.pid)
    start = time.monotonic()
    wrk = subprocess.Popen(wrk_argv(server.port, cpu, conns, pipelined, seconds),
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                           preexec_fn=in_front if boost else None)
    load_delay = wrk_delay(wrk.pid, max(0.5, seconds - 0.1))
    text = wrk.communicate()[0]
    wall = time.monotonic() - start
    server.check()
    run_after, delay_after = sched(server.pid)
    requests, taken, p99 = wrk_parse(text)
    used = run_after - run_before
    return {
        "cpu_us": used / 1e3 / requests,
        "rate": requests / taken,
        "p99_us": p99,
        "busy": used / 1e9 / wall,
        "noise": max((delay_after - delay_before) / 1e9 / wall, load_delay / 1e9 / wall),
    }


def round_quiet(server, cpu, conns, pipelined, seconds, boost):
    """The first undisturbed round of a few, or the least disturbed one."""
    best = None
    for tries in range(TRIES):
        result = round_once(server, cpu, conns, pipelined, seconds, boost)
        result["tries"] = tries + 1
        if best is None or result["noise"] < best["noise"]:
            best = result
        if best["noise"] <= NOISE_MAX:
            break
    return best


# --- many idle connections ---

class Idle:
    """Connections that have had one answer each and are kept open."""

    def __init__(self, port, count):
        self.socks = []
        need = count + 64
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard < need:
            raise Failed(f"needs {need} descriptors, the limit is {hard}")
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, need), hard))
        try:
            while len(self.socks) < count:
                self.open_some(port, min(200, count - len(self.socks)))
        except OSError as error:
            self.close()
            raise Failed(f"connection {len(self.socks) + 1} of {count}: {error}") from error

    def open_some(self, port, count):
        fresh = []
        for _ in range(count):
            sock = socket.create_connection(("127.0.0.1", port), 10)
            self.socks.append(sock)
            fresh.append(sock)
            sock.sendall(REQUEST)
        for sock in fresh:
            answer(sock)

    def close(self):
        for sock in self.socks:
            sock.close()
        self.socks = []


def answer(sock):
    """Reads one whole answer."""
    data = b""
    while not data.endswith(ANSWER_END):
        more = sock.recv(4096)
        if not more:
            raise Failed("the server closed a connection: " + data.decode(errors="replace")[:200])
        data += more
    if not data.startswith(b"HTTP/1.1 200 "):
        raise Failed("not a 200: " + data.decode(errors="replace")[:200])
    return data


def warm_up(port, conns=8, requests=64):
    socks = [socket.create_connection(("127.0.0.1", port), 10) for _ in range(conns)]
    try:
        for _ in range(requests):
            for sock in socks:
                sock.sendall(REQUEST)
            for sock in socks:
                answer(sock)
    finally:
        for sock in socks:
            sock.close()


def answer_bytes(port):
    """The length of one answer: all servers must send equally many for a comparison to hold."""
    with socket.create_connection(("127.0.0.1", port), 10) as sock:
        sock.sendall(REQUEST)
        return len(answer(sock))


def bytes_per_idle(server, count):
    warm_up(server.port)
    time.sleep(0.2)
    before = rss(server.pid)
    idle = Idle(server.port, count)
    try:
        time.sleep(0.2)
        server.check()
        return (rss(server.pid) - before) / count
    finally:
        idle.close()


def idle_cpu(server, seconds, conns):
    """The busiest thread's share of a CPU, with some idle connections open."""
    warm_up(server.port)
    idle = Idle(server.port, conns)
    try:
        time.sleep(1)
        before = threads_sched(server.pid)
        time.sleep(seconds)
        server.check()
        after = threads_sched(server.pid)
        return max((after[t][0] - before.get(t, (0, 0))[0]) / 1e9 / seconds for t in after)
    finally:
        idle.close()


def shuffled(items):
    items = list(items)
    random.shuffle(items)
    return items
