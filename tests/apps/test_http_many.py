"""test_http_many.py HTTP ECHO - 10,000 connections kept open, each with its requests."""
import json
import socket
import sys

import tap
from serving import App, HTTP, Peer, each_stack, get, raise_descriptor_limit

MANY = 10000
OTHER_FILES = 200  # ours and the app's: the rest of what the limit allows is connections


def ask_all(peers, path, want):
    """Every connection asks before the first answer is read."""
    for peer in peers:
        peer.say(get(path))
    for peer in peers:
        answer = peer.hear()
        assert answer.status == 200 and (want is None or answer.body == want), answer.body


def many(stack):
    """10,000 connections stay open and are answered, again and again, also after a pause"""
    count = min(MANY, raise_descriptor_limit() - OTHER_FILES)
    assert count == MANY, f"only {count} descriptors are allowed"
    with App(HTTP, "--stack", stack, "--shards", "2") as app:
        peers = [Peer(app) for _ in range(count)]
        for _ in range(2):
            ask_all(peers, "/plaintext", b"Hello, World!")
        ask_all(peers[::10], "/delay/50", b"slept 50 ms\n")
        peers[0].say(get("/stats"))
        shards = json.loads(peers[0].hear().body)["shards"]
        assert sum(shard["connections"] for shard in shards) == count, shards
        assert sum(shard["requests"] for shard in shards) == count * 2 + count // 10 + 1, shards
        # Idle ones hold no receive buffer, no fiber: the asker's, and each shard's main.
        assert sum(shard["buffers"] for shard in shards) <= 1, shards
        assert sum(shard["fibers"] for shard in shards) <= 3, shards
        for peer in peers[::2]:
            peer.close()
        ask_all(peers[1::2], "/plaintext", b"Hello, World!")
        for peer in peers[1::2]:
            peer.sock.shutdown(socket.SHUT_WR)
        for peer in peers[1::2]:
            assert peer.rest() == b""
            peer.close()
        return app.stop()


def main():
    report = tap.Tap()
    each_stack(report, lambda test, stack: test(stack), [many])
    sys.exit(report.done())


main()
