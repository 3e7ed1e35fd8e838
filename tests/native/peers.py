"""peers.py - what the tests of the native stack against the kernel share.

Everything runs in a network namespace of its own, which goes with the last process in it: a test
starts itself again under unshare(1).  The kernel has KERNEL4 and KERNEL6 there, weir OURS4 and
OURS6, over one of several devices.  WEIR_LONG=1 moves 200 MB each way instead of 20.
"""
import contextlib
import hashlib
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import tap
from serving import HTTP, run_case

LOAD, THERE_AND_BACK = sys.argv[3], sys.argv[5]
LONG = os.environ.get("WEIR_LONG") == "1"
BIG = (200 if LONG else 20) << 20
INSIDE = "--inside"
KERNEL4, OURS4, KERNEL6, OURS6 = "10.9.0.1", "10.9.0.2", "fd09::1", "fd09::2"
ADDRESSES = ["--ip", f"{OURS4}/24,{OURS6}/64"]
COUNT = itertools.count()
EAL = "dpdk:--no-huge -m 256 --no-pci --no-shconf "
FAULTS = "loss=1%,duplicate=1%,reorder=1%,delay=2ms,jitter=1ms"
SCATTER = 1 << 20  # bytes through /echo where faults make it slow


def command(*argv, timeout=60, **kwargs):
    """What it printed; it must end with status 0."""
    ran = subprocess.run([str(arg) for arg in argv], capture_output=True, timeout=timeout,
                         check=False, stdin=subprocess.DEVNULL, **kwargs)
    assert ran.returncode == 0, (argv, ran.returncode, ran.stdout[-300:], ran.stderr[-300:])
    return ran.stdout


def ip(*words):
    return command("ip", *" ".join(words).split())


def until(condition, what, seconds=20):
    """Waits for something that the other side does in its own time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.05)


# --- devices ---

class Device:
    """`dev` is the option's value; `kernel` the name of the kernel's interface at the other end."""

    def __init__(self, dev, kernel, remove=None):
        self.dev, self.kernel, self.remove = dev, kernel, remove

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.remove:
            ip(f"link del {self.remove}")


def tap_device(mac=""):
    """A tap with a name of its own: the kernel takes a moment to remove the last one."""
    name = f"wt{next(COUNT)}"
    return Device(f"tap:{name},host={KERNEL4}/24,host={KERNEL6}/64{mac and ',mac=' + mac}", name)


def kernel_side(name):
    ip(f"addr add {KERNEL4}/24 dev {name}")
    ip(f"addr add {KERNEL6}/64 dev {name} nodad")
    ip(f"link set {name} up")


def net_tap():
    """A tap that is there before, with the kernel's addresses, and which the PMD opens."""
    name = f"wd{next(COUNT)}"
    ip(f"tuntap add {name} mode tap multi_queue")
    kernel_side(name)
    return Device(f"{EAL}--vdev=net_tap0,iface={name}", name, name)


def veth():
    """The names of our side, which the kernel's IP shall leave alone, and of the kernel's."""
    ours, kernel = (f"w{side}{next(COUNT)}" for side in "vk")
    ip(f"link add {ours} numrxqueues 2 numtxqueues 2 type veth peer name {kernel} "
       "numrxqueues 2 numtxqueues 2")
    ip(f"link set {ours} arp off addrgenmode none up")
    kernel_side(kernel)
    command("ethtool", "-K", kernel, "tx", "off")
    return ours, kernel


def net_af_packet():
    ours, kernel = veth()
    return Device(f"{EAL}--vdev=net_af_packet0,iface={ours},qpairs=2,framecnt=4096,framesz=2048,"
                  "blocksz=65536", kernel, kernel)


def net_af_xdp():
    ours, kernel = veth()
    vdevs = " ".join(f"--vdev=net_af_xdp{queue},iface={ours},start_queue={queue},queue_count=1"
                     for queue in [0, 1])
    return Device(EAL + vdevs, kernel, kernel)


# --- weir on it ---

class Server:
    """An app on the native stack."""

    def __init__(self, device, *options, app=HTTP, addresses=ADDRESSES, port=80, expect=()):
        self.device, self.expect, self.lines = device, expect, []
        self.process = subprocess.Popen(
            [app, "--stack", "native", "--dev", device.dev, *addresses, "--listen", f"*:{port}",
             "--listen", f"[::]:{port}", *options], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.reader = threading.Thread(target=self.read)
        self.reader.start()
        try:
            until(lambda: self.serves() or not self.reader.is_alive(), "started", 60)
            assert self.serves(), f"has not started: {self.lines}"
        except AssertionError:
            self.end(signal.SIGKILL)
            raise
        self.start = len(self.lines)

    def read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def has_said(self, text):
        return any(text in line for line in list(self.lines))

    def serves(self):
        return self.has_said("Ctrl-C stops")

    def end(self, number):
        self.process.send_signal(number)
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError("the app does not stop") from None
        finally:
            self.reader.join()

    def unexpected(self):
        # On a machine that has other things to do a fiber may well be held up by them.
        fine = [" held shard ", "Ctrl-C stops", *self.expect]
        return [line for line in self.lines[self.start:] if not any(f in line for f in fine)]

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        with self.device:
            self.end(signal.SIGTERM)
        if kind is None:
            said = self.unexpected()
            assert self.process.returncode == 0 and not said, (self.process.returncode, said)


def url(path, host=OURS4):
    return f"http://{'[%s]' % host if ':' in host else host}{path}"


def wait_for_ipv6():
    """A fresh address of the kernel is probed for a second before it may be used."""
    until(lambda: b"tentative" not in ip("-6 addr show"), "the kernel's IPv6 address is tentative")


def pinged(host, count, size):
    """Each ping is answered.  One at a time: ping waits for the last of several only as long as for
    those before, and the machine may have other things to do."""
    for _ in range(count):
        command("ping", "-c", "1", "-W", "5", "-s", size, host)


def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def there_and_back(size, timeout=90, host=OURS4, within=()):
    """Uploads and downloads so many bytes at once through /echo, and compares."""
    with tempfile.TemporaryDirectory() as folder:
        sent, back = os.path.join(folder, "sent"), os.path.join(folder, "back")
        with open(sent, "wb") as file:
            for _ in range(size >> 20):
                file.write(os.urandom(1 << 20))
        command(*within, "curl", "-g", "-s", "-f", "-m", timeout, "-o", back, "-H", "Expect:", "-T",
                sent, "-X", "POST", url("/echo", host), timeout=timeout + 5)
        assert digest(sent) == digest(back)


def load(*argv, server=None):
    """weir-load without an error."""
    out = command(LOAD, "--json", "--warmup", "0s", "--duration", "20s", *argv,
                  server or url("/plaintext"))
    got = json.loads(out)
    assert got["requests"] > 0 and not any(got["errors"].values()), got
    return got


@contextlib.contextmanager
def kernel_server(port=8080):
    """weir-http on the kernel's sockets."""
    with subprocess.Popen([HTTP, "--listen", f"*:{port}", "--listen", f"[::]:{port}"],
                          stdout=subprocess.PIPE, text=True) as app:
        try:
            while True:
                line = app.stdout.readline()
                assert line, "the kernel's server has not started"
                if "Ctrl-C stops" in line:
                    break
            yield
        finally:
            app.send_signal(signal.SIGTERM)


def send_back(conn):
    """Echoes until the peer has no more to say."""
    try:
        with conn:
            while data := conn.recv(1 << 18):
                conn.sendall(data)
    except OSError:
        pass  # the other side tells what was wrong


@contextlib.contextmanager
def kernel_echo(port=7000):
    """The kernel's TCP, and nothing of weir's above it."""
    def accept_all():
        while True:
            try:
                conn, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=send_back, args=[conn], daemon=True).start()
    with socket.create_server(("", port), family=socket.AF_INET6,
                              dualstack_ipv6=True) as listener:
        thread = threading.Thread(target=accept_all)
        thread.start()
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


# --- what is on the wire ---

@contextlib.contextmanager
def capture(interface, file, snap=0):
    with subprocess.Popen(["tcpdump", "-i", interface, "-U", "-s", str(snap), "-w", file],
                          stderr=subprocess.PIPE, text=True) as dump:
        line = dump.stderr.readline()
        while line and "listening" not in line:
            line = dump.stderr.readline()
        assert line, "tcpdump has not started"
        try:
            yield
        finally:
            dump.send_signal(signal.SIGINT)
            dump.communicate(timeout=20)


def packets(file, condition):
    """How many of a capture meet a condition of pcap-filter(7)."""
    return len(command("tcpdump", "-nn", "-r", file, condition).splitlines())


def judge(file):
    """No bad checksum of ours, and no malformed packet of anybody.  The kernel leaves its own
    checksums to the device, behind the place of the capture.  Where a sum comes to 0, DPDK's
    arithmetic writes 0xffff, which any receiver takes (RFC 1624)."""
    mine = f"(ip.src == {OURS4} || ipv6.src == {OURS6})"
    out = command("tshark", "-r", file, "-o", "tcp.check_checksum:TRUE", "-o",
                  "ip.check_checksum:TRUE", "-T", "fields", "-e", "frame.number", "-e", "frame.len",
                  "-e", "_ws.col.Info", "-e", "_ws.expert.message", "-Y",
                  f"_ws.malformed || ({mine} && (ip.checksum.status == \"Bad\" || "
                  "(tcp.checksum.status == \"Bad\" && !tcp.checksum.ffff) || "
                  "icmp.checksum.status == \"Bad\"))")
    assert not out, (file, out[:1000])
    assert packets(file, f"tcp and (src host {OURS4} or src host {OURS6})") > 100, "too little"


# --- running a test ---

def missing():
    """Why nothing of this can be done here, or ""."""
    for program in ["unshare", "ip", "curl"]:
        if not shutil.which(program):
            return f"{program} is not installed"
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return "/dev/net/tun is not to be had"
    ran = subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False, text=True)
    return "" if ran.returncode == 0 else f"no network namespaces: {ran.stderr.strip()}"


def without_dpdk(vdev="no_such0"):
    """Why DPDK cannot be had, or ""."""
    ran = subprocess.run([HTTP, "--stack", "native", "--ip", "10.9.9.9/24", "--dev",
                          f"{EAL}--vdev={vdev}"], stdout=subprocess.DEVNULL,
                         stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    return ran.stderr.strip() if "libdpdk" in ran.stderr or "built without" in ran.stderr else ""


def inside(cases):
    report = tap.Tap()
    ip("link set lo up")
    command("mount", "-t", "tmpfs", "none", "/run")  # where ip-netns(8) keeps its names
    no_dpdk = without_dpdk() if any("dpdk" in needs for _, _, needs in cases) else ""
    only = os.environ.get("WEIR_CASE", "")
    for name, case, needs in cases:
        lacks = [need for need in needs if need != "dpdk" and not shutil.which(need)]
        if only not in name:
            report.skip(name, "not asked for by WEIR_CASE")
        elif lacks:
            report.skip(name, f"{lacks[0]} is not installed")
        elif "dpdk" in needs and no_dpdk:
            report.skip(name, no_dpdk)
        else:
            run_case(report, name, case)
    sys.exit(report.done())


def main(cases):
    """Each case is a name, a function, and the programs that it needs (or "dpdk")."""
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    if INSIDE in sys.argv:
        inside(cases)
    reason = missing()
    if reason:
        report = tap.Tap()
        for name, _, _ in cases:
            report.skip(name, reason)
        sys.exit(report.done())
    os.execvp("unshare", ["unshare", "--net", "--kill-child", "--pid", "--fork", "--mount-proc",
                          sys.executable, *sys.argv, INSIDE])
