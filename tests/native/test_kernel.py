"""test_kernel.py HTTP ECHO LOAD - the native stack against the kernel's TCP, over tap and DPDK.

Everything runs in a network namespace of its own, which goes with the last process in it: the
script starts itself again under unshare(1).  Skipped, with the reason, where that is not permitted.
WEIR_LONG=1 moves 200 MB each way instead of 20.
"""
import hashlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import tap
from serving import HTTP, run_case

LOAD = sys.argv[3]
LONG = os.environ.get("WEIR_LONG") == "1"
BIG = (200 if LONG else 20) << 20
INSIDE = "--inside"
KERNEL4, OURS4, KERNEL6, OURS6 = "10.9.0.1", "10.9.0.2", "fd09::1", "fd09::2"
ADDRESSES = ["--ip", f"{OURS4}/24,{OURS6}/64"]
COUNT = itertools.count()
EAL = "dpdk:--no-huge -m 256 --no-pci --no-shconf "
FAULTS = "loss=1%,duplicate=1%,reorder=1%,delay=2ms,jitter=1ms"


def tap_device():
    """A tap with a name of its own: the kernel takes a moment to remove the last one."""
    return f"tap:wt{next(COUNT)},host={KERNEL4}/24,host={KERNEL6}/64"


def command(*argv, timeout=60, **kwargs):
    """What it printed; it must end with status 0."""
    ran = subprocess.run([str(arg) for arg in argv], capture_output=True, timeout=timeout,
                         check=False, stdin=subprocess.DEVNULL, **kwargs)
    assert ran.returncode == 0, (argv, ran.returncode, ran.stdout[-300:], ran.stderr[-300:])
    return ran.stdout


class Server:
    """weir-http on the native stack; `setup` prepares the kernel's side when the device is there."""

    def __init__(self, dev, *options, setup=None):
        self.process = subprocess.Popen(
            [HTTP, "--stack", "native", "--dev", dev, *ADDRESSES, "--listen", "*:80", "--listen",
             "[::]:80", *options], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True)
        said = ""
        while "Ctrl-C stops" not in said:
            line = self.process.stdout.readline()
            if not line:
                raise AssertionError(f"weir-http has not started: {said}")
            said += line
        if setup:
            setup()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            said = self.process.communicate(timeout=30)[0]
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError("weir-http does not stop") from None
        lines = [line for line in said.splitlines() if " held shard " not in line]
        if kind is None:
            assert self.process.returncode == 0 and not lines, (self.process.returncode, lines)


def url(path, host=OURS4):
    return f"http://{'[%s]' % host if ':' in host else host}{path}"


def wait_for_ipv6():
    """A fresh address of the kernel is probed for a second before it may be used."""
    for _ in range(100):
        if b"tentative" not in command("ip", "-6", "addr", "show"):
            return
        time.sleep(0.1)
    raise AssertionError("the kernel's IPv6 address stays tentative")


def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def there_and_back(size, timeout=60):
    """Uploads and downloads so many bytes at once through /echo, and compares."""
    with tempfile.TemporaryDirectory() as folder:
        sent, back = os.path.join(folder, "sent"), os.path.join(folder, "back")
        with open(sent, "wb") as file:
            for _ in range(size >> 20):
                file.write(os.urandom(1 << 20))
        command("curl", "-s", "-f", "-m", timeout, "-o", back, "-H", "Expect:", "-T", sent,
                "-X", "POST", url("/echo"), timeout=timeout + 5)
        assert digest(sent) == digest(back)


def load(*argv, server=None):
    """weir-load without an error."""
    out = command(LOAD, "--json", "--warmup", "0s", "--duration", "20s", *argv,
                  server or url("/plaintext"))
    got = json.loads(out)
    assert got["requests"] > 0 and not any(got["errors"].values()), got
    return got


# --- a tap ---

def pings():
    """ping, by IPv4 and IPv6"""
    with Server(tap_device(), "--shards", "2"):
        wait_for_ipv6()
        for host in [OURS4, OURS6]:
            for size in [8, 1400]:
                out = command("ping", "-c", "5", "-i", "0.05", "-W", "2", "-s", size, host)
                assert b" 0% packet loss" in out, out


def small_requests():
    """curl, by IPv4 and IPv6, on one shard and on two"""
    for shards in ["1", "2"]:
        with Server(tap_device(), "--shards", shards):
            wait_for_ipv6()
            for host in [OURS4, OURS6]:
                for _ in range(8):  # source ports that hash to either shard
                    out = command("curl", "-s", "-f", "-m", "5", url("/plaintext", host))
                    assert out == b"Hello, World!", out


def bulk():
    """many megabytes each way at once, the same bytes"""
    with Server(tap_device(), "--shards", "2"):
        there_and_back(BIG)


def wrk():
    """wrk sees no error"""
    with Server(tap_device()):
        out = command("wrk", "-t1", "-c64", "-d1", url("/plaintext")).decode()
        assert "Socket errors" not in out and "Non-2xx" not in out, out
        assert "Requests/sec" in out, out


def a_thousand_connections():
    """1,000 connections at once"""
    with Server(tap_device(), "--shards", "2"):
        got = load("--connections", "1000", "--requests", "5000")
        assert got["requests"] >= 5000, got


def churn():
    """a connection for each of 3,000 requests"""
    with Server(tap_device(), "--shards", "2"):
        load("--connections", "50", "--requests", "3000", "--per-connection", "1")


def refused():
    """a port that nobody has refuses"""
    with Server(tap_device()):
        ran = subprocess.run(["curl", "-s", "-m", "5", url(":81/")], check=False)
        assert ran.returncode == 7, ran.returncode  # could not connect: not 28, timed out


def impaired():
    """with loss, duplication, reordering and delay, the same bytes"""
    with Server(tap_device(), "--shards", "2", "--impair", FAULTS):
        there_and_back((8 if LONG else 2) << 20)
        load("--connections", "20", "--requests", "400")


def clean_on_the_wire():
    """tcpdump and tshark find no bad checksum and no malformed packet"""
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = os.path.join(folder, "ours.pcap"), os.path.join(folder, "theirs.pcap")
        # Faults in front of the device (here none but a moment's delay) make the stack compute all
        # checksums by itself; the kernel leaves its own to the device, so only ours are judged.
        device = tap_device()
        with Server(device, "--shards", "2", "--impair", "delay=10us", "--pcap", ours):
            dump = subprocess.Popen(["tcpdump", "-i", device[4:].split(",")[0], "-U", "-w", theirs],
                                    stderr=subprocess.PIPE, text=True)
            assert "listening" in dump.stderr.readline()
            wait_for_ipv6()
            command("ping", "-c", "2", "-i", "0.05", OURS4)
            for host in [OURS4, OURS6]:
                command("curl", "-s", "-f", "-m", "5", url("/json", host))
            there_and_back(1 << 20)
            load("--connections", "5", "--requests", "50", "--per-connection", "5")
            dump.send_signal(signal.SIGINT)
            dump.communicate(timeout=20)
        for file in [ours, theirs]:
            judge(file)


def judge(file):
    def count(condition):
        out = command("tshark", "-r", file, "-o", "tcp.check_checksum:TRUE", "-o",
                      "ip.check_checksum:TRUE", "-Y", condition)
        return len(out.splitlines())

    mine = f"(ip.src == {OURS4} || ipv6.src == {OURS6})"
    assert count(f"tcp && {mine}") > 100, "the capture shows too little"
    for wrong in [f"{mine} && ip.checksum.status == \"Bad\"", "_ws.malformed",
                  f"{mine} && tcp.checksum.status == \"Bad\"",
                  f"{mine} && icmp.checksum.status == \"Bad\""]:
        assert count(wrong) == 0, (file, wrong, count(wrong))


def client():
    """as a client of the kernel's TCP: many requests, much data, a connection for each request"""
    with subprocess.Popen([HTTP, "--listen", "*:8080"], stdout=subprocess.PIPE, text=True) as app:
        try:
            while "Ctrl-C stops" not in app.stdout.readline():
                pass
            for extra, n in [([], 2000), (["--impair", FAULTS], 200)]:
                def ask(path, *argv):
                    load("--stack", "native", "--dev", tap_device(), *ADDRESSES, *extra, *argv,
                         server=f"http://{KERNEL4}:8080{path}")
                ask("/json", "--requests", n)
                ask("/echo", "--requests", n // 4, "--connections", "10", "--method", "POST",
                    "--body", "x" * 60000)
                ask("/json", "--requests", n, "--per-connection", "1", "--shards", "2")
        finally:
            app.send_signal(signal.SIGTERM)


def kernel_beside():
    """kernel sockets beside it"""
    with Server(tap_device(), "--listen", "kernel:127.0.0.1:8088"):
        assert command("curl", "-s", "-f", "-m", "5", "http://127.0.0.1:8088/") == b"Hello, World!"
        assert command("curl", "-s", "-f", "-m", "5", url("/")) == b"Hello, World!"


# --- DPDK ---

def over_dpdk(dev, setup):
    for options in [[], ["--impair", FAULTS]]:
        with Server(dev, "--shards", "2", *options, setup=setup):
            command("ping", "-c", "3", "-i", "0.05", "-W", "2", OURS4)
            command("curl", "-s", "-f", "-m", "5", url("/json"))
            there_and_back((20 if LONG else 4) << 20 if not options else 1 << 20)
            load("--connections", "100", "--requests", "300" if options else "3000")
            load("--connections", "20", "--requests", "300", "--per-connection", "1")


def dpdk_net_tap():
    """DPDK: net_tap"""
    def setup():
        command("ip", "addr", "replace", f"{KERNEL4}/24", "dev", "wd0")
        command("ip", "link", "set", "wd0", "up")
    over_dpdk(EAL + "--vdev=net_tap0,iface=wd0", setup)


def dpdk_af_packet():
    """DPDK: net_af_packet on a veth"""
    command("ip", "link", "add", "wv0", "type", "veth", "peer", "name", "wv1")
    for name in ["wv0", "wv1"]:
        command("ip", "link", "set", name, "up")
    command("ip", "addr", "add", f"{KERNEL4}/24", "dev", "wv0")
    command("ethtool", "-K", "wv0", "tx", "off")
    over_dpdk(EAL + "--vdev=net_af_packet0,iface=wv1,qpairs=2,framecnt=4096,framesz=2048,"
              "blocksz=65536", None)


TAP_CASES = [pings, small_requests, bulk, wrk, a_thousand_connections, churn, refused, impaired,
             clean_on_the_wire, client, kernel_beside]
DPDK_CASES = [dpdk_net_tap, dpdk_af_packet]
NEEDS = {pings: ["ping"], wrk: ["wrk"], clean_on_the_wire: ["tcpdump", "tshark"],
         dpdk_af_packet: ["ethtool"]}


def missing():
    """Why nothing of this can be done here, or ""."""
    for program in ["unshare", "ip", "curl"]:
        if not shutil.which(program):
            return f"{program} is not installed"
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return "/dev/net/tun is not to be had"
    ran = subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False, text=True)
    return "" if ran.returncode == 0 else f"no network namespaces: {ran.stderr.strip()}"


def without_dpdk():
    with tempfile.TemporaryFile() as file:
        ran = subprocess.run([HTTP, "--stack", "native", "--ip", "10.9.9.9/24", "--dev", EAL +
                              "--vdev=no_such0"], stdout=file, stderr=subprocess.PIPE, text=True,
                             check=False, timeout=60)
    return ran.stderr.strip() if "libdpdk" in ran.stderr or "built without" in ran.stderr else ""


def inside():
    """In the namespace."""
    report = tap.Tap()
    command("ip", "link", "set", "lo", "up")
    no_dpdk = without_dpdk()
    for case in TAP_CASES + DPDK_CASES:
        lacks = [program for program in NEEDS.get(case, []) if not shutil.which(program)]
        if lacks:
            report.skip(case.__doc__, f"{lacks[0]} is not installed")
        elif case in DPDK_CASES and no_dpdk:
            report.skip(case.__doc__, no_dpdk)
        else:
            run_case(report, case.__doc__, case)
    sys.exit(report.done())


def main():
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    if INSIDE in sys.argv:
        inside()
    reason = missing()
    if reason:
        report = tap.Tap()
        for case in TAP_CASES + DPDK_CASES:
            report.skip(case.__doc__, reason)
        sys.exit(report.done())
    os.execvp("unshare", ["unshare", "--net", "--kill-child", "--pid", "--fork", "--mount-proc",
                          sys.executable, *sys.argv, INSIDE])


main()
