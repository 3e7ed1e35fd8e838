"""test_echo.py HTTP ECHO - weir-echo by raw sockets, on io_uring and on epoll."""
import os
import signal
import socket
import struct
import sys
import tempfile
import threading

import tap
from serving import App, ECHO, each_stack


def exchange(app, data):
    """Sends data while receiving; what came back until the end."""
    with app.connect() as sock:
        def send():
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        back = b""
        while part := sock.recv(1 << 18):
            back += part
        sender.join()
        return back


def sizes(stack):
    """bytes come back, however many"""
    with App(ECHO, "--stack", stack, "--shards", "2") as app:
        for size in [0, 1, 4096, 4097, 3000000]:
            data = os.urandom(size)
            assert exchange(app, data) == data, size
        return app.stop()


def many(stack):
    """500 connections at once, some of which vanish"""
    with App(ECHO, "--stack", stack, "--shards", "2") as app:
        socks = [app.connect() for _ in range(500)]
        for i, sock in enumerate(socks):
            sock.sendall(b"%d." % i)
        for i, sock in enumerate(socks):
            if i % 10 == 0:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                sock.close()
        for i, sock in enumerate(socks):
            if i % 10 != 0:
                back = b""
                while not back.endswith(b"."):
                    back += sock.recv(100)
                assert back == b"%d." % i
                sock.close()
        return app.stop()


def unix(stack):
    """a Unix-domain socket"""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "sock")
        with App(ECHO, "--stack", stack, listen="unix:" + path) as app:
            assert exchange(app, b"over a file") == b"over a file"
            return app.stop()


def stop(stack):
    """a stop lets connections end, and cuts them when --grace is over"""
    with App(ECHO, "--stack", stack, "--grace", "700ms") as app:
        with app.connect() as ends, app.connect() as stays:
            for sock in [ends, stays]:
                sock.sendall(b"a")
                assert sock.recv(10) == b"a"
            app.signal(signal.SIGTERM)
            ends.sendall(b"still here")
            assert ends.recv(100) == b"still here"
            status, errors = app.wait()
            assert status == 0, (status, errors)


def main():
    report = tap.Tap()
    each_stack(report, lambda test, stack_: test(stack_), [sizes, many, unix, stop])
    sys.exit(report.done())


main()
