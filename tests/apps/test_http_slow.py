"""test_http_slow.py HTTP ECHO - slow peers, each cut at its deadline.

The deadlines are the server's defaults, so the cases wait for them: all at once, on both stacks.
Those beyond 10 s run with WEIR_LONG=1 only.
"""
import os
import socket
import sys
import threading
import time

import tap
from serving import App, HTTP, Peer, Truncated, get, run_case, stacks

LONG = os.environ.get("WEIR_LONG", "0") != "0"
SLACK = 8  # seconds that a loaded machine may be late


def trickle(peer, data, ended):
    """A byte every half second, until the server has ended it."""
    for byte in data:
        if ended.wait(0.5):
            return
        try:
            peer.say(bytes([byte]))
        except OSError:
            return


def slow(app, first, rest, seconds):
    """Says `first` at once and `rest` byte by byte; the answer that comes after so many seconds, or
    None when there is but an end."""
    ended = threading.Event()
    with Peer(app) as peer:
        peer.sock.settimeout(seconds + SLACK)
        peer.say(first)
        began = time.monotonic()
        teller = threading.Thread(target=trickle, args=(peer, rest, ended))
        teller.start()
        try:
            answer = peer.hear()
            assert answer.closes, answer.fields
            assert peer.rest() == b""
        except (ConnectionError, Truncated):
            answer = None
        finally:
            took = time.monotonic() - began
            ended.set()
            teller.join()
    assert seconds - 0.2 < took < seconds + SLACK, took
    return answer


def header(app):
    """a header that trickles in is 408 after 10 s; others are served meanwhile"""
    with Peer(app) as other:
        other.say(get("/plaintext"))
        assert other.hear().status == 200
        answer = slow(app, b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ", b"x" * 1000, 10)
        assert answer.status == 408, answer.status
        other.say(get("/plaintext"))
        assert other.hear().status == 200


def body(app):
    """a body that does not come is 408 after 60 s"""
    answer = slow(app, b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", b"", 60)
    assert answer.status == 408, answer.status


def chunks(app):
    """a body that trickles in is cut after 60 s, when part of it has been answered"""
    head = b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert slow(app, head, b"1\r\nx\r\n" * 100, 60) is None


def unread(app):
    """a body that nobody reads is cut after 60 s, when the answer has been sent"""
    with Peer(app) as peer:
        peer.sock.settimeout(60 + SLACK)
        peer.say(b"GET /plaintext HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab")
        assert peer.hear().status == 200
        began = time.monotonic()
        assert peer.rest() == b""
        assert 59 < time.monotonic() - began < 60 + SLACK


def idle(app):
    """a connection that says nothing is closed after 60 s"""
    with Peer(app) as peer:
        peer.sock.settimeout(60 + SLACK)
        began = time.monotonic()
        assert peer.rest() == b""
        assert 59 < time.monotonic() - began < 60 + SLACK


def deaf(app):
    """a peer that asks by the thousand and does not read is cut after 30 s"""
    with Peer(app) as peer:
        peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        peer.sock.settimeout(30 + SLACK)
        began = time.monotonic()
        try:
            while True:
                peer.say(get("/plaintext") * 100)
        except ConnectionError:
            pass
        assert 29 < time.monotonic() - began < 30 + 2 * SLACK


class Waiting(threading.Thread):
    """One case under way; its trouble is kept for the report."""

    def __init__(self, case, app):
        super().__init__()
        self.case, self.app, self.error = case, app, None
        self.start()

    def run(self):
        try:
            self.case(self.app)
        except BaseException as error:  # pylint: disable=broad-except
            self.error = error

    def tell(self):
        self.join()
        if self.error:
            raise self.error


def main():
    report = tap.Tap()
    names, reason = stacks()
    cases = [header] + ([body, chunks, unread, idle, deaf] if LONG else [])
    apps = {name: App(HTTP, "--stack", name, "--shards", "2") for name in names}
    waiting = {(name, case): Waiting(case, app) for name, app in apps.items() for case in cases}
    for name in ["uring", "epoll"]:
        for case in cases:
            title = f"{name}: {case.__doc__}"
            if name in names:
                run_case(report, title, waiting[name, case].tell)
            else:
                report.skip(title, reason)
    for name, app in apps.items():
        with app:
            run_case(report, f"{name}: stops and leaves nothing", app.stop)
    sys.exit(report.done())


main()
