"""test_load.py HTTP ECHO LOAD - weir-load against weir-http, weir-echo and servers that misbehave."""
import json
import socket
import subprocess
import sys
import threading

import tap
from serving import App, ECHO, HTTP, run_case

LOAD = sys.argv[3]
ENDS = 60


def load(*argv):
    """Status, what it printed, what it complained of."""
    ran = subprocess.run([LOAD, *argv], capture_output=True, text=True, timeout=ENDS, check=False,
                         stdin=subprocess.DEVNULL)
    return ran.returncode, ran.stdout, ran.stderr


def measured(*argv, status=0):
    """The figures of a run that ends with this status."""
    got, out, errors = load("--json", "--warmup", "50ms", *argv)
    assert got == status, (got, out, errors)
    return json.loads(out)


def none(errors):
    return all(count == 0 for count in errors.values())


class Faulty:
    """A server that does as `serve` says with each connection."""

    def __init__(self, serve):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = "http://127.0.0.1:%d/" % self.listener.getsockname()[1]
        self.serve = serve
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                sock = self.listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self.one, args=(sock,), daemon=True).start()

    def one(self, sock):
        try:
            with sock:
                while sock.recv(4096) and self.serve(sock):
                    pass
        except OSError:
            pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()


def answer(data):
    def serve(sock):
        sock.sendall(data)
        return True
    return serve


def a_number_of_requests():
    """exactly as many requests as were asked for, each answered"""
    with App(HTTP) as app:
        got = measured("--requests", "1000", "--connections", "7", "--warmup", "0s", app.url + "/json")
        assert 1000 <= got["requests"] <= 1006 and none(got["errors"]), got
        assert got["bytes"] >= 1000 * 100, got


def pipelined_and_reconnecting():
    """pipelined, over shards, and a connection per request"""
    with App(HTTP) as app:
        got = measured("--duration", "300ms", "--pipeline", "8", "--shards", "2", app.url)
        assert got["requests"] > 100 and none(got["errors"]), got
        got = measured("--duration", "300ms", "--per-connection", "1", app.url)
        assert got["requests"] > 10 and none(got["errors"]), got


def chunked_bodies():
    """bodies whose length is known, chunked, or ends with the connection"""
    chunked = (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
               b"5\r\nhello\r\nA;x=y\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n")
    with Faulty(answer(chunked)) as server:
        got = measured("--requests", "50", "--connections", "2", "--warmup", "0s", server.url)
        assert got["requests"] >= 50 and none(got["errors"]), got
    with Faulty(lambda s: s.sendall(b"HTTP/1.1 200 OK\r\n\r\nto the end")) as server:
        got = measured("--requests", "20", "--connections", "2", "--warmup", "0s", server.url)
        assert got["requests"] >= 20 and none(got["errors"]), got


def at_a_rate():
    """an open loop asks as often as it was told, whatever the server does"""
    with App(HTTP) as app:
        got = measured("--rate", "500", "--duration", "1s", "--connections", "20", app.url)
        assert 400 <= got["requests"] <= 510 and none(got["errors"]), got


def a_stall_is_charged():
    """a server that stands still for 300 ms is charged for what was due meanwhile"""
    seen = {"n": 0}

    def serve(sock):
        seen["n"] += 1
        if seen["n"] == 100:
            threading.Event().wait(0.3)
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        return True

    with Faulty(serve) as server:
        got = measured("--rate", "500", "--duration", "1s", "--connections", "1", server.url)
        # 150 of 500 requests were due during the stall: a closed loop would have seen one
        assert got["latency_ns"]["p90"] > 50e6, got
        assert got["latency_ns"]["max"] > 250e6, got


def echoed():
    """echo mode checks what comes back"""
    with App(ECHO) as app:
        got = measured("--echo", "5000", "--duration", "200ms", "--connections", "3",
                       "127.0.0.1:%d" % app.port)
        assert got["requests"] > 10 and none(got["errors"]), got
    with Faulty(answer(b"x" * 64)) as server:
        got = measured("--echo", "64", "--duration", "200ms", "--connections", "1",
                       server.url[7:-1], status=1)
        assert got["errors"]["format"] > 0, got


def errors_are_counted():
    """refused, cut off, malformed, silent, not found: each under its name, status 1"""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    url = f"http://127.0.0.1:{port}/"
    short = ("--duration", "200ms", "--connections", "2")
    assert measured(*short, url, status=1)["errors"]["connect"] > 0
    with Faulty(lambda s: s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut")) as server:
        assert measured(*short, server.url, status=1)["errors"]["receive"] > 0
    with Faulty(answer(b"220 smtp ready\r\n\r\n")) as server:
        assert measured(*short, server.url, status=1)["errors"]["format"] > 0
    with Faulty(lambda s: True) as server:
        got = measured(*short, "--timeout", "50ms", server.url, status=1)
        assert got["errors"]["timeout"] > 0, got
    with App(HTTP) as app:
        got = measured(*short, app.url + "/no-such-path", status=1)
        assert got["errors"]["status"] > 0 and got["requests"] == 0, got


def for_people():
    """the table for people, help and version"""
    with App(HTTP) as app:
        status, out, errors = load("--duration", "200ms", "--warmup", "0s", app.url)
        # On a machine that has other things to do a fiber may well be held up by them.
        errors = [line for line in errors.splitlines() if " held shard " not in line]
        assert status == 0 and not errors, (status, errors)
        for word in ["requests/s", "latency", "p99.9", "errors         0"]:
            assert word in out, out
    status, out, _ = load("--help")
    assert status == 0 and "usage: weir-load" in out and "--rate" in out, out
    assert load("--version")[0] == 0


def wrong_command_lines():
    """what makes no sense: one line, status 2"""
    for argv in [[], ["http://localhost/"], ["--connections", "0", "http://127.0.0.1/"],
                 ["--connections", "1000001", "http://127.0.0.1/"], ["--rate", "0", "http://127.0.0.1/"],
                 ["--rate", "x", "http://127.0.0.1/"], ["--pipeline", "1001", "http://127.0.0.1/"],
                 ["--duration", "fast", "http://127.0.0.1/"], ["--no-such", "1", "http://127.0.0.1/"],
                 ["--header", "no colon", "http://127.0.0.1/"], ["http://127.0.0.1/", "again"],
                 ["--rate", "5", "--pipeline", "2", "http://127.0.0.1/"], ["--duration"]]:
        status, out, errors = load(*argv)
        assert status == 2 and out == "" and len(errors.splitlines()) == 1, (argv, status, errors)


def main():
    report = tap.Tap()
    for case in [a_number_of_requests, pipelined_and_reconnecting, chunked_bodies, at_a_rate,
                 a_stall_is_charged, echoed, errors_are_counted, for_people, wrong_command_lines]:
        run_case(report, case.__doc__, case)
    sys.exit(report.done())


main()
