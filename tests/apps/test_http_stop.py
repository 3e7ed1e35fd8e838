"""test_http_stop.py HTTP ECHO - stopping weir-http: no request lost, in time, and cutting.

What "lost" means: a request on a connection gets its whole answer, unless an earlier answer on it
has said "Connection: close" or the connection was made after the signal (the kernel resets those
that had not been accepted when the listening socket went).  Anything else is a failure: a reset, a
truncated answer, an end without an answer.
"""
import signal
import sys
import threading
import time

import tap
from serving import App, HTTP, Peer, Truncated, each_stack, get


class Client(threading.Thread):
    """Asks until it is told that the server goes, or stop() is called."""

    def __init__(self, app, path, depth=1):
        super().__init__()
        self.app, self.path, self.depth = app, path, depth
        self.signalled = threading.Event()
        self.asked = self.answered = 0
        self.told = False
        self.trouble = ""

    def run(self):
        try:
            self.ask()
        except (OSError, Truncated) as error:
            self.trouble = f"{self.path}: after {self.answered} answers: {error!r}"

    def ask(self):
        with Peer(self.app) as peer:
            while not self.told:
                peer.say(get(self.path) * self.depth)
                self.asked += self.depth
                for _ in range(self.depth):
                    answer = peer.hear()
                    assert answer.status == 200
                    self.answered += 1
                    if answer.closes:
                        self.told = True
                        break
            end = peer.rest()
            if end:
                self.trouble = f"{self.path}: {end[:40]!r} after Connection: close"


class Reconnecting(Client):
    """A connection for each request."""

    def ask(self):
        while True:
            late = self.signalled.is_set()
            try:
                with Peer(self.app) as peer:
                    peer.say(get(self.path, "Connection: close\r\n"))
                    peer.hear()
            except (OSError, Truncated) as error:
                if late or self.signalled.is_set():
                    return  # it may have been too late
                raise error
            self.answered += 1
            self.asked += 1


def under_load(stack):
    """SIGTERM under load loses no request"""
    for _ in range(3):
        with App(HTTP, "--stack", stack, "--shards", "2") as app:
            clients = [Client(app, "/plaintext") for _ in range(4)]
            clients += [Client(app, "/plaintext", 16), Client(app, "/delay/5"),
                        Client(app, "/shard/0"), Client(app, "/shard/1")]
            clients += [Reconnecting(app, "/json") for _ in range(2)]
            for client in clients:
                client.start()
            while min(client.answered for client in clients) < 50:
                time.sleep(0.01)
                assert not any(client.trouble for client in clients), [c.trouble for c in clients]
            for client in clients:
                client.signalled.set()
            app.signal(signal.SIGTERM)
            began = time.monotonic()
            for client in clients:
                client.join()
            status, errors = app.wait()
            assert not any(client.trouble for client in clients), [c.trouble for c in clients]
            assert status == 0, (status, errors)
            assert time.monotonic() - began < 9, "it was the grace time that ended it"
            lost = [(c.asked, c.answered) for c in clients[:4] if c.asked != c.answered]
            assert not lost, lost


def slow_request(stack):
    """SIGTERM waits for the answers under way; idle connections get a last chance"""
    with App(HTTP, "--stack", stack, "--shards", "2") as app:
        with Peer(app) as slow, Peer(app) as idle, Peer(app) as silent:
            idle.say(get("/plaintext"))
            assert not idle.hear().closes
            slow.say(get("/delay/2500") + get("/plaintext"))
            assert slow.silent(0.2)
            while not silent.arrived():
                assert silent.silent(0.1)
            app.signal(signal.SIGTERM)
            assert idle.silent(0.3)
            idle.say(get("/plaintext"))
            assert idle.hear().closes and idle.rest() == b""
            assert silent.rest() == b""
            answer = slow.hear()
            assert answer.body == b"slept 2500 ms\n" and not answer.closes
            assert slow.hear().closes and slow.rest() == b""
        status, errors = app.wait()
        assert status == 0, (status, errors)


def second_signal(stack):
    """a second SIGTERM cuts what still runs"""
    with App(HTTP, "--stack", stack, "--shards", "2") as app:
        with Peer(app) as slow:
            slow.say(get("/delay/60000"))
            assert slow.silent(0.2)
            app.signal(signal.SIGTERM)
            assert slow.silent(0.3)
            began = time.monotonic()
            app.signal(signal.SIGTERM)
            status, errors = app.wait()
            assert status == 0, (status, errors)
            assert time.monotonic() - began < 5
            try:
                slow.hear()
                assert False, "it was answered"
            except (ConnectionResetError, Truncated):
                pass


def grace(stack):
    """what still runs when --grace is over is cut"""
    with App(HTTP, "--stack", stack, "--shards", "2", "--grace", "500ms") as app:
        with Peer(app) as slow:
            slow.say(get("/delay/60000"))
            assert slow.silent(0.2)
            app.signal(signal.SIGINT)
            began = time.monotonic()
            status, errors = app.wait()
            assert status == 0, (status, errors)
            assert 0.4 < time.monotonic() - began < 8


def main():
    report = tap.Tap()
    each_stack(report, lambda test, stack: test(stack),
               [under_load, slow_request, second_signal, grace])
    sys.exit(report.done())


main()
