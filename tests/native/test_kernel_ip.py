"""test_kernel_ip.py HTTP ECHO LOAD UDP_ECHO THERE_AND_BACK - what is around TCP, against the
kernel: addresses from a DHCP server and a router, routers on the way, path MTU, VLAN, UDP."""
import contextlib
import functools
import json
import os
import random
import re
import socket
import subprocess
import sys
import tempfile

from peers import (ADDRESSES, BIG, COUNT, KERNEL4, KERNEL6, LOAD, LONG, OURS4, OURS6, Device,
                   Server, capture, command, ip, kernel_side, main, packets, pinged,
                   tap_device, there_and_back, until, url)
from tagger import tagged

UDP_ECHO = sys.argv[4]
FAR4, FAR6 = "10.11.0.2", "fd11::2"
FAR = ("ip", "netns", "exec", "far")
GATEWAY = ["--gateway", f"{KERNEL4},{KERNEL6}"]
MAC, SLAAC6 = "02:00:00:00:09:01", "fd09::ff:fe00:901"  # RFC 4291, appendix A
FNV_START, FNV_PRIME = 0xcbf29ce484222325, 0x100000001b3


def made_tap():
    """One that is there, with the kernel's addresses, before weir opens it."""
    name = f"wm{next(COUNT)}"
    ip(f"tuntap add {name} mode tap multi_queue")
    kernel_side(name)
    return Device(f"tap:{name},mac={MAC}", name, name)


def set_forwarding(*within):
    for file in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"]:
        command(*within, "sh", "-c", f"echo 1 > /proc/sys/net/{file}")


@contextlib.contextmanager
def routers(mtu=1500):
    """weir - here (10.10.0.1) - mid - far: the link between the two routers has that MTU, and
    nobody at either end can know."""
    for name in ["mid", "far"]:
        ip(f"netns add {name}")
    try:
        ip("link add wa0 type veth peer name wa1 netns mid")
        ip("-n mid link add wb0 type veth peer name wb1 netns far")
        for where, name, address, size in [("", "wa0", "10.10.0.1/24 fd10::1/64", mtu),
                                           ("-n mid ", "wa1", "10.10.0.2/24 fd10::2/64", mtu),
                                           ("-n mid ", "wb0", "10.11.0.1/24 fd11::1/64", 1500),
                                           ("-n far ", "wb1", "10.11.0.2/24 fd11::2/64", 1500)]:
            v4, v6 = address.split()
            ip(f"{where}link set {name} mtu {size} up")
            ip(f"{where}addr add {v4} dev {name}")
            ip(f"{where}addr add {v6} dev {name} nodad")
        for route in ["route add 10.11.0.0/24 via 10.10.0.2", "route add fd11::/64 via fd10::2",
                      "-n mid route add default via 10.10.0.1",
                      "-n mid -6 route add default via fd10::1",
                      "-n far route add default via 10.11.0.1",
                      "-n far -6 route add default via fd11::1"]:
            ip(route)
        set_forwarding()
        set_forwarding("ip", "netns", "exec", "mid")
        yield
    finally:
        for name in ["mid", "far"]:
            ip(f"netns del {name}")
        until(lambda: b"wa0" not in ip("link show"), "the routers' link is gone")


def curl(host, *within):
    out = command(*within, "curl", "-g", "-s", "-f", "-m", "10", url("/plaintext", host))
    assert out == b"Hello, World!", out


# --- addresses from others ---

@contextlib.contextmanager
def dnsmasq(interface, log, *options):
    with subprocess.Popen(["dnsmasq", "--keep-in-foreground", "--port=0", "--conf-file=/dev/null",
                           "--leasefile-ro", "--user=root", "--pid-file=", "--no-ping",
                           f"--interface={interface}", "--bind-dynamic", "--log-dhcp",
                           f"--log-facility={log}", *options]) as daemon:
        try:
            yield
        finally:
            daemon.terminate()


def said(log):
    with open(log, encoding="utf-8", errors="replace") as file:
        return file.read()


def dhcp():
    """DHCPv4 from dnsmasq: an address and the way to other networks"""
    with tempfile.TemporaryDirectory() as folder, routers():
        device, log = made_tap(), os.path.join(folder, "log")
        with dnsmasq(device.kernel, log, "--dhcp-range=10.9.0.100,10.9.0.109,255.255.255.0,2m",
                     f"--dhcp-option=3,{KERNEL4}"), \
                Server(device, "--shards", "2", addresses=["--ip", "dhcp"],
                       expect=["dhcp: "]) as server:
            until(lambda: server.has_said("dhcp: 10.9.0."), "a lease")
            line = next(line for line in server.lines if "dhcp: 10.9.0." in line)
            address, lease = re.search(r"dhcp: (10\.9\.0\.10\d)/24 for (\d+) s", line).groups()
            assert lease == "120" and f"DHCPACK({device.kernel}) {address}" in said(log), line
            for _ in range(8):  # source ports that hash to either shard
                curl(address)
                curl(address, *FAR)
            if LONG:  # renewed after half of it
                until(lambda: said(log).count(f"DHCPACK({device.kernel})") == 2, "renewed", 90)
                curl(address, *FAR)
                assert "no lease" not in said(log) and not server.has_said("not ours any more")


def slaac():
    """an IPv6 address and the way to other networks from a router's advertisement"""
    with tempfile.TemporaryDirectory() as folder, routers():
        device, log = made_tap(), os.path.join(folder, "log")
        with dnsmasq(device.kernel, log, "--enable-ra", "--dhcp-range=fd09::,ra-only,64"), \
                Server(device, "--shards", "2", addresses=["--ip", "auto"],
                       expect=["no router has advertised"]):
            def reached():
                return subprocess.run(["ping", "-c", "1", "-W", "1", SLAAC6], capture_output=True,
                                      check=False).returncode == 0
            until(reached, f"{SLAAC6} answers")
            for _ in range(8):
                curl(SLAAC6)
                curl(SLAAC6, *FAR)


# --- routers ---

def far_client():
    """a client behind two routers, by --gateway and by --route"""
    for way in [GATEWAY, ["--route", f"10.11.0.0/24 via {KERNEL4}, fd11::/64 via {KERNEL6}"]]:
        with routers(), Server(tap_device(), "--shards", "2", *way):
            for _ in range(8):
                curl(OURS4, *FAR)
                curl(OURS6, *FAR)


def path_mtu(mtu):
    """a narrow link on the way: found out, nothing fragmented, the same bytes"""
    too_big = {OURS4: "icmp[0] == 3 and icmp[1] == 4", OURS6: "icmp6 and ip6[40] == 2"}
    for host, told in too_big.items():
        with tempfile.TemporaryDirectory() as folder, routers(mtu):
            file, device = os.path.join(folder, "pcap"), tap_device()
            with Server(device, "--shards", "2", *GATEWAY):
                with capture(device.kernel, file, snap=128):
                    there_and_back(BIG, host=host, within=FAR)
            assert packets(file, f"({told}) and dst host {host}") > 0, "never told of the link"
            assert packets(file, "ip[6:2] & 0x3fff != 0 or ip6[6] == 44") == 0, "fragments"
            longest = f"src host {host} and tcp and greater"
            assert packets(file, f"{longest} {mtu + 14}") > 0, "not one packet of full size"


def unreachable():
    """a router that says unreachable ends connecting; one that says nothing does not"""
    set_forwarding()
    for kind, failures in [("unreachable", True), ("blackhole", False)]:
        for net, host in [("10.99.0.0/24", "10.99.0.1"), ("fd99::/64", "fd99::1")]:
            ip(f"route add {kind} {net}")
            try:
                ran = subprocess.run(
                    [LOAD, "--json", "--warmup", "0s", "--duration", "3s", "--timeout", "30s",
                     "--connections", "1", "--stack", "native", "--dev", tap_device().dev,
                     *ADDRESSES, *GATEWAY, url("/", host)], capture_output=True, timeout=60,
                    check=False)
                errors = json.loads(ran.stdout)["errors"]
                assert (errors["connect"] > 0) == failures, (kind, host, errors)
            finally:
                ip(f"route del {kind} {net}")


# --- VLAN ---

def vlan():
    """frames with a VLAN tag, and only those"""
    device = Device(f"tap:wt{next(COUNT)}", "")
    device.kernel = device.dev[4:]
    with Server(device, "--shards", "2", "--vlan", "5", "--impair", "delay=10us"), \
            tagged(device.kernel, 5) as tagger:
        for host in [OURS4, OURS6]:
            pinged(host, 3, 1400)
            for _ in range(4):
                curl(host)
        there_and_back(1 << 20)
        counted = tagger.moved, tagger.strays
        assert tagger.moved > (1 << 20) // 1500 and tagger.strays == 0, counted
        for wrong in [6, None]:
            tagger.tag = wrong
            ran = subprocess.run(["ping", "-c", "2", "-i", "0.2", "-W", "1", OURS4], check=False,
                                 capture_output=True)
            assert b" 100% packet loss" in ran.stdout, (wrong, ran.stdout)


# --- UDP ---

def fnv1a(data):
    total = FNV_START
    for byte in data:
        total = (total ^ byte) * FNV_PRIME & (1 << 64) - 1
    return total


def ask(sock, data):
    """What comes back of a datagram, or, if it is too long for that, a line that speaks of it."""
    line = f"{len(data)} {fnv1a(data):016x}".encode()
    sock.send(data)
    try:
        while True:
            got = sock.recv(65536)
            if got in (data, line):  # an earlier one comes twice when there are faults
                return got
    except TimeoutError:
        raise AssertionError(f"no answer to {len(data)} bytes") from None


@contextlib.contextmanager
def udp_socket(host, port):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.connect((host, port))
        yield sock


def udp(options):
    """UDP from the kernel, in fragments, too; a port that nobody has refuses"""
    seed = int(os.environ.get("WEIR_SEED") or random.randrange(1 << 32))
    print(f"# WEIR_SEED={seed}")
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        device, file = made_tap(), os.path.join(folder, "pcap")
        with Server(device, "--shards", "2", *options, app=UDP_ECHO, port=7000), \
                capture(device.kernel, file):
            for host, fits in [(OURS4, 1472), (OURS6, 1452)]:
                for _ in range(4):  # source ports that hash to either shard
                    with udp_socket(host, 7000) as sock:
                        for size in [0, 1, fits, fits + 1, 9000, rng.randrange(2, 20000), 65507]:
                            data = rng.randbytes(size)
                            got = ask(sock, data)
                            assert (got == data) == (size <= fits), (host, size, len(got))
                with udp_socket(host, 7001) as sock:
                    sock.send(b"anybody there?")
                    try:
                        got = sock.recv(100)
                        raise AssertionError(f"port 7001 answers {got}")
                    except ConnectionRefusedError:
                        pass
        assert packets(file, "ip[6:2] & 0x3fff != 0 or ip6[6] == 44") > 50, "came in no fragments"
        ours = f"(src host {OURS4} or src host {OURS6})"
        assert packets(file, f"{ours} and (ip[6:2] & 0x3fff != 0 or ip6[6] == 44)") == 0
        # Faults make the stack compute checksums by itself.  What it quotes in ICMP is the
        # kernel's, which left them to the device.
        # Random bytes are no other protocol's.
        bad = command("tshark", "-r", file, "-o", "udp.check_checksum:TRUE", "-d",
                      "udp.port==7000,data", "-Y",
                      f"_ws.malformed || (udp.checksum.status == \"Bad\" && !icmp && !icmpv6 && "
                      f"(ip.src == {OURS4} || ipv6.src == {OURS6}))") if options else b""
        assert not bad, bad[:300]


CASES = [
    ("tap: " + dhcp.__doc__, dhcp, ["dnsmasq"]),
    ("tap: " + slaac.__doc__, slaac, ["dnsmasq", "ping"]),
    ("tap: " + far_client.__doc__, far_client, []),
    *[(f"tap: MTU {mtu}: {path_mtu.__doc__}", functools.partial(path_mtu, mtu), ["tcpdump"])
      for mtu in [1280, 1400]],
    ("tap: " + unreachable.__doc__, unreachable, []),
    ("tap: " + vlan.__doc__, vlan, ["ping"]),
    ("tap: " + udp.__doc__, functools.partial(udp, []), ["tcpdump", "tshark"]),
    ("tap: the same, reordered and doubled", functools.partial(
        udp, ["--impair", "reorder=10%,duplicate=10%,delay=1ms"]), ["tcpdump", "tshark"]),
]
main(CASES)
