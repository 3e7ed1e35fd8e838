"""measure.py - what the kernel says processes have cost, wrk's words, and many idle connections.

CPU time is sum_exec_runtime of all threads (/proc/PID/task/*/schedstat), in nanoseconds.  The second
field, time spent waiting for a CPU, tells how much somebody else was in the way.
"""
import os
import random
import re
import resource
import socket
import time

UNITS = {"us": 1.0, "ms": 1e3, "s": 1e6, "m": 60e6}
REQUEST = b"GET /plaintext HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
ANSWER_END = b"Hello, World!"
NOISE_MAX = 0.05
TRIES = 4


class Failed(Exception):
    """A measurement that could not be made; the text says why, `count` how many errors that were."""

    def __init__(self, text, count=1):
        super().__init__(text)
        self.count = count


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


def peak(pid):
    """The most bytes that were resident at a time."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return int(re.search(r"^VmHWM:\s+(\d+) kB", file.read(), re.M)[1]) * 1024


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


def wrk_argv(cpu, conns, seconds, url, pipelined=1, close=False, threads=1):
    argv = ["taskset", "-c", str(cpu), "wrk", f"-t{threads}", f"-c{conns}", f"-d{seconds}s",
            "--latency", "--timeout", "10s"]
    if close:
        argv += ["-H", "Connection: close"]
    if pipelined > 1:
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "pipeline.lua")
        argv += ["-s", script]
    return argv + [url] + (["--", str(pipelined)] if pipelined > 1 else [])


def wrk_parse(text):
    """(requests, seconds, p99 in us); Failed when any request went wrong."""
    wrong = re.search(r"(Socket errors: .*|Non-2xx.*)", text)
    if wrong:
        raise Failed(wrong[1], sum(int(number) for number in re.findall(r" (\d+)", wrong[1])))
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


def quiet(once):
    """The first undisturbed result of a few, or the least disturbed one."""
    best = None
    for _ in range(TRIES):
        result = once()
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


def bytes_per_idle(server, count):
    warm_up(server.port)
    time.sleep(0.2)
    before = server.rss()
    idle = Idle(server.port, count)
    try:
        time.sleep(0.2)
        server.check()
        return (server.rss() - before) / count
    finally:
        idle.close()


def idle_cpu(server, seconds, conns):
    """The share of a CPU that all threads used together, with some idle connections open."""
    warm_up(server.port)
    idle = Idle(server.port, conns)
    try:
        time.sleep(1)
        before = server.sched()[0]
        time.sleep(seconds)
        server.check()
        return (server.sched()[0] - before) / 1e9 / seconds
    finally:
        idle.close()


def shuffled(items):
    items = list(items)
    random.shuffle(items)
    return items
