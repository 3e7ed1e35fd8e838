"""test_http.py HTTP ECHO - weir-http by curl, wrk and raw sockets, on io_uring and on epoll."""
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile

import tap
from serving import App, HTTP, Peer, each_stack, get


def curl(*argv, data=None):
    result = subprocess.run(["curl", "-sS", "--max-time", "20", *argv], input=data, check=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return result.stdout


def status_of(*argv):
    return curl("-o", os.devnull, "-w", "%{http_code}", *argv).decode()


def routes(app):
    """every route answers curl"""
    assert curl(app.url + "/") == b"Hello, World!"
    assert curl(app.url + "/plaintext") == b"Hello, World!"
    assert json.loads(curl(app.url + "/json")) == {"message": "Hello, World!"}
    head = curl("-i", app.url + "/plaintext").decode().split("\r\n\r\n")[0].split("\r\n")
    assert head[0] == "HTTP/1.1 200 OK" and "Content-Type: text/plain" in head, head
    assert "Content-Type: application/json" in curl("-i", app.url + "/json").decode()
    for count in [0, 1, 53248, 53249, 1 << 20]:
        assert curl(f"{app.url}/bytes/{count}") == (b"abcdefghijklmnopqrstuvwxyz" * 40330)[:count]
    assert status_of(app.url + "/bytes/1073741825") == "400"
    assert curl(app.url + "/delay/1") == b"slept 1 ms\n"
    for bad in ["/delay/", "/delay/x", "/delay/-1", "/delay/60001", "/delay/1x"]:
        assert status_of(app.url + bad) in ("400", "404"), bad
    assert status_of(app.url + "/delay/60001") == "400"
    for shard in range(2):
        assert curl(f"{app.url}/shard/{shard}") == f"Hello from shard {shard}\n".encode()
    assert status_of(app.url + "/shard/2") == "404"
    assert status_of(app.url + "/shard/x") == "404"
    assert status_of(app.url + "/nothing") == "404"
    assert status_of("-X", "DELETE", app.url + "/json") == "405"
    assert status_of("-X", "POST", "-d", "", app.url + "/echo") == "200"


def head(app):
    """HEAD gets the header of GET"""
    answer = curl("-I", app.url + "/plaintext").decode()
    assert "200 OK" in answer and "Content-Length: 13" in answer, answer
    with Peer(app) as peer:
        peer.say(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n" + get("/"))
        assert peer.hear(head=True).status == 200
        assert peer.hear().body == b"Hello, World!"


def bodies(app):
    """bodies of any size come back, with Content-Length and chunked"""
    for size in [0, 1, 4096, 100000, 5000000]:
        body = os.urandom(size)
        for how in [[], ["-H", "Transfer-Encoding: chunked"]]:
            back = curl("-X", "POST", "-H", "Content-Type: application/x-test", "-H", "Expect:",
                        *how, "--data-binary", "@-", app.url + "/echo", data=body)
            assert back == body, (size, how, len(back))
    said = curl("-i", "-H", "Content-Type: a/b", "-d", "x", app.url + "/echo").decode()
    assert "Content-Type: a/b" in said, said


def expects(app):
    """Expect: 100-continue is answered before the body is sent"""
    with Peer(app) as peer:
        peer.say(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n"
                 b"Expect: 100-continue\r\n\r\n")
        assert peer.hear().status == 100
        peer.say(b"12345")
        assert peer.hear().body == b"12345"
    body = b"x" * 2000000  # curl expects by itself for as much
    assert curl("-H", "Expect: 100-continue", "--data-binary", "@-", app.url + "/echo",
                data=body) == body


def pipeline(app):
    """a pipeline sent at once is answered at once, in order"""
    with Peer(app) as peer:
        peer.say(get("/plaintext") * 16)
        data = peer.sock.recv(1 << 16)
        assert data.count(b"Hello, World!") == 16, data.count(b"Hello, World!")
        peer.say(b"".join(get(f"/delay/{i % 3}") + get("/json") for i in range(50)))
        for i in range(50):
            assert peer.hear().body == f"slept {i % 3} ms\n".encode()
            assert peer.hear().body.startswith(b'{"message"')
        peer.say(get("/plaintext") * 5000)
        for _ in range(5000):
            assert peer.hear().body == b"Hello, World!"


REFUSED = [
    (400, b"GET / HTTP/1.1\r\n\r\n", "no Host"),
    (400, b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "two Hosts"),
    (400, b"GET / HTTP/1.1\nHost: a\n\n", "bare LF"),
    (400, b"GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", "bare CR"),
    (400, b"GET / HTTP/1.1\r\nHost: a\r\n folded: x\r\n\r\n", "obs-fold"),
    (400, b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", "space before the colon"),
    (400, b"GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n", "NUL"),
    (400, b"G@T / HTTP/1.1\r\nHost: a\r\n\r\n", "method that is no token"),
    (400, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
     "both framings"),
    (400, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
     "two lengths"),
    (400, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
     "the same length twice"),
    (400, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n", "a list of lengths"),
    (400, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", "bad length"),
    (400, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
     "space behind Transfer-Encoding"),
    (400, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
     "vertical tab before chunked"),
    (400, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
     "folded Transfer-Encoding"),
    (400, b"POST / HTTP/1.1\r\nHost: a\r\nX: a\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     "Transfer-Encoding behind a bare LF"),
    (400, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n",
     "chunked is not the last coding"),
    (400, b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "chunked in HTTP/1.0"),
    (400, b"GET / HTTP/1.1\r\nHost: a\r\nX(: a\r\n\r\n", "field name that is no token"),
    (400, b"GET / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n", "control byte"),
    (400, b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "Host that is no host"),
    (400, b"GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", "user in the target"),
    (400, b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
     "bad chunk size"),
    (400, b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a=\r\nhello\r\n",
     "bad chunk extension"),
    (400, b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n",
     "chunk size before a bare LF"),
    (400, b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
     b"10000000000000005\r\nhello\r\n", "chunk size beyond 64 bits"),
    (413, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551617\r\n\r\n",
     "length beyond 64 bits"),
    (413, b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1073741825\r\n\r\n", "body too large"),
    (414, b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", "request line too long"),
    (417, b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: magic\r\n\r\n",
     "expectation"),
    (431, b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 20000 + b"\r\n\r\n", "header too large"),
    (431, b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: a\r\n" * 64 + b"\r\n", "too many fields"),
    (501, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", "transfer coding"),
    (505, b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", "version"),
]


def refusals(app):
    """requests that are not valid get their status, and the connection is closed"""
    for status, request, name in REFUSED:
        for first in [b"", get("/plaintext")]:
            with Peer(app) as peer:
                peer.say(first + request + get("/plaintext"))
                if first:
                    assert peer.hear().status == 200, name
                answer = peer.hear()
                assert answer.status == status, (name, answer.status, answer.body)
                assert answer.closes and answer.fields["content-type"] == "text/plain", name
                assert answer.body.startswith(str(status).encode()), name
                assert peer.rest() == b"", name


MIXED = (b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
         b"3;a=b\r\nabc\r\n0\r\nX: y\r\n\r\n", get("/plaintext"))


def split(app):
    """requests cut at every byte, and said byte by byte"""
    said = b"".join(MIXED)
    with Peer(app) as peer:
        peer.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        cuts = [[said[:at], said[at:]] for at in range(1, len(said))]
        for pieces in cuts + [[said[at:at + 1] for at in range(len(said))]]:
            for piece in pieces:
                peer.say(piece)
            assert peer.hear().body == b"abc"
            assert peer.hear().body == b"Hello, World!"


def half_requests(app):
    """a peer that ends its side within a request gets what was whole, and the end"""
    said = get("/plaintext") + get("/json") + get("/plaintext")
    for at in range(len(said)):
        with Peer(app) as peer:
            if at:
                peer.say(said[:at])
            peer.sock.shutdown(socket.SHUT_WR)
            whole = said[:at].count(b"\r\n\r\n")
            for _ in range(whole):
                assert peer.hear().status == 200
            assert peer.rest() == b"", at


def half_close(app):
    """a peer that has ended its side is answered"""
    with Peer(app) as peer:
        peer.say(get("/delay/100") + get("/plaintext"))
        peer.sock.shutdown(socket.SHUT_WR)
        assert peer.hear().body == b"slept 100 ms\n"
        assert peer.hear().body == b"Hello, World!"
        assert peer.rest() == b""


def resets(app):
    """peers that vanish or reset at any point leave nothing behind"""
    starts = [b"", b"GE", get("/plaintext"), get("/plaintext") + b"GET", get("/delay/20"),
              b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc",
              b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"]
    starts += [b"".join(MIXED)[:at] for at in range(1, len(b"".join(MIXED)))]
    for i in range(2 * len(starts)):
        peer = Peer(app)
        peer.say(starts[i // 2])
        if i % 2:
            peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
    with Peer(app) as peer:
        while True:  # all but this one are gone within the linger time
            peer.say(get("/stats"))
            shards = json.loads(peer.hear().body)["shards"]
            if sum(shard["connections"] for shard in shards) == 1:
                assert sum(shard["fibers"] for shard in shards) == 3, shards
                assert sum(shard["buffers"] for shard in shards) <= 1, shards
                return
            peer.say(get("/delay/10"))
            peer.hear()


def bounds(app):
    """many small chunks, a field as long as may be, and the bounds of the header"""
    with Peer(app) as peer:
        peer.say(b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                 + b"1\r\nx\r\n" * 20000 + b"0\r\n\r\n" + get("/plaintext"))
        assert peer.hear().body == b"x" * 20000
        assert peer.hear().body == b"Hello, World!"
        fields = b"Host: a\r\n" + b"X: a\r\n" * 62
        longest = b"Y: " + b"y" * (16384 - len(fields) - 5) + b"\r\n"
        peer.say(b"GET /plaintext HTTP/1.1\r\n" + fields + longest + b"\r\n")
        assert peer.hear().status == 200
        peer.say(b"GET /plaintext?" + b"q" * (8192 - len("GET /plaintext? HTTP/1.1"))
                 + b" HTTP/1.1\r\nHost: a\r\n\r\n")
        assert peer.hear().status == 200


def waiting(app):
    """600 requests that wait for their bodies, on two shards of 256 buffers, hold up nobody"""
    peers = [Peer(app) for _ in range(600)]
    for peer in peers:
        peer.say(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab")
    for _ in range(4):
        with Peer(app) as other:
            other.say(get("/shard/0") + get("/shard/1"))
            assert other.hear().status == 200 and other.hear().status == 200
    for peer in peers:
        peer.say(b"cde")
    for peer in peers:
        assert peer.hear().body == b"abcde"
        peer.close()


def stats(app):
    """/stats adds up"""
    def total(name):
        return sum(shard[name] for shard in json.loads(curl(app.url + "/stats"))["shards"])

    page = json.loads(curl(app.url + "/stats"))
    assert page["stack"] in app.said and len(page["shards"]) == 2, page
    before = total("requests")
    with Peer(app) as peer:
        peer.say(get("/plaintext") * 100)
        for _ in range(100):
            peer.hear()
        assert total("requests") == before + 101
        assert total("connections") == 2  # this one, and curl's
    assert total("calls_served") > 0 and total("loop_turns") > 0 and total("fibers") >= 3


def load(app):
    """wrk for a second, without errors"""
    if not shutil.which("wrk"):
        return
    for path in ["/plaintext", "/shard/1"]:
        said = subprocess.run(["wrk", "-t1", "-c50", "-d1s", app.url + path], check=True,
                              stdout=subprocess.PIPE, text=True).stdout
        assert "Requests/sec" in said and "errors" not in said and "Non-2xx" not in said, said


def with_app(test, stack):
    with App(HTTP, "--stack", stack, "--shards", "2") as app:
        test(app)
        return app.stop()


def unix(stack):
    """a Unix-domain socket, whose connections are spread over the shards"""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "sock")
        with App(HTTP, "--stack", stack, "--shards", "2", listen="unix:" + path) as app:
            assert curl("--unix-socket", path, "http://any/plaintext") == b"Hello, World!"
            return spread(app) or app.stop()


def spread(app):
    """Twenty connections at once, and how many each shard has."""
    peers = [Peer(app) for _ in range(20)]
    for peer in peers:
        peer.say(get("/stats"))
    counts = [[shard["connections"] for shard in json.loads(peer.hear().body)["shards"]]
              for peer in peers][-1]
    for peer in peers:
        peer.close()
    return "" if sorted(counts) in ([9, 11], [10, 10]) else f"connections per shard: {counts}"


def least(stack):
    """--balance least spreads connections evenly"""
    with App(HTTP, "--stack", stack, "--shards", "2", "--balance", "least") as app:
        return spread(app) or app.stop()


def busy(stack):
    """--poll busy serves"""
    with App(HTTP, "--stack", stack, "--shards", "1", "--poll", "busy") as app:
        assert curl(app.url + "/plaintext") == b"Hello, World!"
        return app.stop()


def ipv6(stack):
    """IPv6, and a URL that leads there"""
    with App(HTTP, "--stack", stack, "--shards", "2", "--listen", "[::]:0") as app:
        url = re.search(r"serving on (http://\[::1\]:\d+/), and on all other", app.said).group(1)
        assert curl("-g", url) == b"Hello, World!"
        return app.stop()


def dump(stack):
    """SIGUSR1 lists the fibers, and all goes on"""
    with App(HTTP, "--stack", stack, "--shards", "2") as app:
        with Peer(app) as peer:
            peer.say(get("/delay/300"))
            assert peer.silent(0.1)
            app.signal(signal.SIGUSR1)
            said = ""
            while said.count("fiber 'main'") < 2 or "fiber 'http request'" not in said:
                said += app.process.stderr.readline()
            assert said.count(" (spawned at ") == 3, said
            assert peer.hear().body == b"slept 300 ms\n"
        return app.stop()


def main():
    report = tap.Tap()
    each_stack(report, with_app, [routes, head, bodies, expects, pipeline, refusals, split,
                                  half_requests, half_close, resets, bounds, waiting, stats,
                                  load])
    each_stack(report, lambda test, stack: test(stack), [unix, least, busy, ipv6, dump])
    sys.exit(report.done())


main()
