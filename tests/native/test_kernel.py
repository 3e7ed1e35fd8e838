"""test_kernel.py HTTP ECHO LOAD UDP_ECHO THERE_AND_BACK - the native stack against the kernel's
TCP, over tap and DPDK."""
import functools
import os
import re
import signal
import subprocess
import tempfile

from peers import (ADDRESSES, BIG, FAULTS, KERNEL4, KERNEL6, LONG, OURS4, OURS6, SCATTER,
                   THERE_AND_BACK, Server, capture, command, judge, kernel_echo, kernel_server,
                   load, main, net_af_packet, net_af_xdp, net_tap, pinged, tap_device,
                   there_and_back, until, url, wait_for_ipv6)


# --- over each device ---

def pings(device):
    """ping, by IPv4 and IPv6; with faults, too"""
    with Server(device(), "--shards", "2"):
        wait_for_ipv6()
        for host in [OURS4, OURS6]:
            for size in [8, 1400]:
                pinged(host, 5, size)
    with Server(device(), "--shards", "2", "--impair", FAULTS):
        wait_for_ipv6()
        for host in [OURS4, OURS6]:
            command("ping", "-c", "15", "-i", "0.02", "-w", "20", "-s", 1400, host)


def small_requests(device):
    """curl, by IPv4 and IPv6"""
    with Server(device(), "--shards", "2"):
        wait_for_ipv6()
        for host in [OURS4, OURS6]:
            for _ in range(8):  # source ports that hash to either shard
                out = command("curl", "-g", "-s", "-f", "-m", "5", url("/plaintext", host))
                assert out == b"Hello, World!", out


def bulk(device):
    """many megabytes each way at once, the same bytes"""
    with Server(device(), "--shards", "2"):
        there_and_back(BIG)


def wrk(device):
    """wrk sees no error, with faults neither"""
    for extra in [[], ["--impair", FAULTS]]:
        with Server(device(), "--shards", "2", *extra):
            out = command("wrk", "-t1", "-c64", "-d1", "--timeout", "20", url("/plaintext")).decode()
            assert "Socket errors" not in out and "Non-2xx" not in out, out
            assert int(re.search(r"(\d+) requests in", out).group(1)) > 100, out


def many_connections(device):
    """1,000 connections at once, and a connection for each of 3,000 requests"""
    with Server(device(), "--shards", "2"):
        got = load("--connections", "1000", "--requests", "5000")
        assert got["requests"] >= 5000, got
        load("--connections", "50", "--requests", "3000", "--per-connection", "1")


def impaired(device):
    """with loss, duplication, reordering and delay"""
    with Server(device(), "--shards", "2", "--impair", FAULTS):
        there_and_back((8 if LONG else 2) << 20)
        load("--connections", "1000", "--requests", "2000")
        load("--connections", "20", "--requests", "200", "--per-connection", "1")


def clean_on_the_wire(device):
    """tcpdump and tshark find no bad checksum and no malformed packet"""
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = os.path.join(folder, "ours.pcap"), os.path.join(folder, "theirs.pcap")
        # Faults in front of the device (here none but a moment's delay) make the stack compute all
        # checksums by itself, so that the captures have them.
        it = device()
        with Server(it, "--shards", "2", "--impair", "delay=10us", "--pcap", ours):
            with capture(it.kernel, theirs):
                wait_for_ipv6()
                command("ping", "-c", "2", "-i", "0.05", OURS4)
                for host in [OURS4, OURS6]:
                    command("curl", "-g", "-s", "-f", "-m", "5", url("/json", host))
                there_and_back(SCATTER)
                load("--connections", "5", "--requests", "50", "--per-connection", "5")
        for file in [ours, theirs]:
            judge(file)


def clean_by_the_device(device):
    """the same with what the device computes"""
    with tempfile.TemporaryDirectory() as folder:
        theirs = os.path.join(folder, "theirs.pcap")
        it = device()
        with Server(it, "--shards", "2"), capture(it.kernel, theirs):
            wait_for_ipv6()
            there_and_back(SCATTER)
            there_and_back(SCATTER, host=OURS6)
            load("--connections", "5", "--requests", "50", "--per-connection", "5")
        judge(theirs)


def client(device):
    """as a client: many requests, much data, 1,000 connections, one for each request"""
    with kernel_server():
        for extra, n in [([], 2000), (["--impair", FAULTS], 200)]:
            def ask(path, *argv):
                with device() as it:
                    load("--stack", "native", "--dev", it.dev, *ADDRESSES, *extra, *argv,
                         "--shards", "2", server=f"http://{KERNEL4}:8080{path}")
            ask("/json", "--requests", n)
            ask("/echo", "--requests", n // 4, "--connections", "10", "--method", "POST",
                "--body", "x" * 60000)
            ask("/json", "--requests", "2000", "--connections", "1000")
            ask("/json", "--requests", n, "--per-connection", "1")


def client_bulk(device):
    """as a client: many megabytes each way at once on each shard, the same bytes"""
    with kernel_echo():
        for host in [KERNEL4, f"[{KERNEL6}]"]:
            for extra, size in [([], BIG), (["--impair", FAULTS], (8 if LONG else 2) << 20)]:
                with device() as it:
                    out = command(THERE_AND_BACK, f"{host}:7000", size, "--stack", "native", "--dev",
                                  it.dev, *ADDRESSES, "--shards", "2", *extra, timeout=150)
                assert out == b"%d bytes came back\n" % size, out


# --- a tap only ---

def one_shard():
    """curl, on one shard"""
    with Server(tap_device(), "--shards", "1"):
        assert command("curl", "-s", "-f", "-m", "5", url("/plaintext")) == b"Hello, World!"


def refused():
    """a port that nobody has refuses"""
    with Server(tap_device()):
        ran = subprocess.run(["curl", "-s", "-m", "5", url(":81/")], check=False)
        assert ran.returncode == 7, ran.returncode  # could not connect: not 28, timed out


def kernel_beside():
    """kernel sockets beside it"""
    with Server(tap_device(), "--listen", "kernel:127.0.0.1:8088"):
        assert command("curl", "-s", "-f", "-m", "5", "http://127.0.0.1:8088/") == b"Hello, World!"
        assert command("curl", "-s", "-f", "-m", "5", url("/")) == b"Hello, World!"


def counters():
    """SIGUSR1 lists what the stack has counted"""
    device = tap_device()
    with Server(device, "--shards", "2", expect=["shard ", "fiber ", "queue ", "counted "]) as server:
        assert command("curl", "-s", "-f", "-m", "5", url("/")) == b"Hello, World!"
        server.process.send_signal(signal.SIGUSR1)
        for text in [f"tap {device.kernel}, queue 0: ", f"tap {device.kernel}, queue 1: ", " tcp_in ",
                     " tcp_out ", " tcp_passive 1"]:
            until(lambda: server.has_said(text), f"a shard tells of '{text}'")


EACH = [(pings, ["ping"]), (small_requests, []), (wrk, ["wrk"]), (many_connections, []),
        (impaired, []), (clean_on_the_wire, ["ping", "tcpdump", "tshark"]), (client, [])]
BULKY = [(bulk, []), (client_bulk, [])]
BY_DEVICE = [(clean_by_the_device, ["tcpdump", "tshark"])]
DEVICES = [("tap", tap_device, []), ("DPDK net_tap", net_tap, ["dpdk"]),
           ("DPDK net_af_packet", net_af_packet, ["dpdk", "ethtool"]),
           ("DPDK net_af_xdp", net_af_xdp, ["dpdk", "ethtool"])]


def cases():
    """A tap hands the kernel unfinished checksums, as the kernel does: nothing there to judge.  The
    transmit side of net_af_xdp on a veth can stop for good under as much at once in both directions
    (docs/native.md)."""
    for label, device, needs in DEVICES:
        more = BY_DEVICE if device is not tap_device else []
        bulky = BULKY if device is not net_af_xdp else []
        for case, programs in EACH + more + bulky:
            yield (f"{label}: {case.__doc__}", functools.partial(case, device), needs + programs)
    for case in [one_shard, refused, kernel_beside, counters]:
        yield f"tap: {case.__doc__}", case, []


main(list(cases()))
