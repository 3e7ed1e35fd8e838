#!/usr/bin/env python3
"""bench_dpdk.py - the native stack over virtual NICs, beside the kernel's TCP and l2fwd.

`measure()` starts this script again under unshare(1), in network namespaces that go with it: wrk
and one end of a veth pair are in one, the server and the other end in a second one.  The rows:

    kernel            weir-http --stack uring, over that veth
    kernel, offloads  the same with the veth's checksum and segmentation offloads left on
    af_xdp, af_packet weir-http on the native stack, by that PMD on the server's end of the veth;
                      af_xdp with busy_budget=0, and ("budget") as it is by default
    net_tap, tap      the same on a tap of DPDK's, and on our own: no veth

Servers are started anew for each round, in random order, on one CPU; wrk has another.  The
packet figure is what comes back of a flood of ICMP echo requests: from l2fwd, which swaps MAC
addresses and does nothing else, and from weir, over the same PMD.
"""
import argparse
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time

import measure as m
from measure import Failed

CLIENT_IP, SERVER_IP = "10.9.0.1", "10.9.0.2"
CLIENT_IF, SERVER_IF = "wb0", "wb1"
EAL = "dpdk:--no-huge -m 256 --no-pci --no-shconf --no-telemetry "
AF_PACKET = (f"--vdev=net_af_packet0,iface={SERVER_IF},qpairs=1,framecnt=4096,framesz=2048,"
             "blocksz=65536")
# With a busy budget, which is the default, each look at an empty queue is a system call; a veth
# never wants to be woken, so it can do without.
AF_XDP_BUSY = f"--vdev=net_af_xdp0,iface={SERVER_IF}"
AF_XDP = AF_XDP_BUSY + ",busy_budget=0"
BASE = "kernel"
# name: device, whether it is on the veth
NATIVE = {
    "af_xdp": (EAL + AF_XDP, True),
    "af_xdp, budget": (EAL + AF_XDP_BUSY, True),
    "af_packet": (EAL + AF_PACKET, True),
    "net_tap": (EAL + "--vdev=net_tap0,iface=wbt0", False),
    "tap": (f"tap:wbt1,host={CLIENT_IP}/24", False),
}
KERNEL = {"kernel": "off", "kernel, offloads": "on"}
FLOODED = ["af_xdp", "af_packet"]
CONNS = 64
READY = "Ctrl-C stops"


def command(*argv, timeout=30):
    ran = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=timeout,
                         check=False, stdin=subprocess.DEVNULL)
    if ran.returncode != 0:
        raise Failed(f"{' '.join(map(str, argv))}: {ran.stderr.strip() or ran.stdout.strip()}")
    return ran.stdout


def missing():
    """Why nothing of this can be done here, or ""."""
    for program in ["unshare", "nsenter", "ip", "ethtool", "curl", "wrk", "taskset"]:
        if not shutil.which(program):
            return f"{program} is not installed"
    ran = subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False, text=True)
    return "" if ran.returncode == 0 else f"no network namespaces: {ran.stderr.strip()}"


# --- the two namespaces ---

class Wire:
    """A veth pair from this namespace into one that a sleeping process holds."""

    def __init__(self):
        self.holder = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "echo; exec sleep infinity"], stdout=subprocess.PIPE)
        self.holder.stdout.readline()
        self.there = ["nsenter", "-t", str(self.holder.pid), "-n"]
        command("ip", "link", "set", "lo", "up")
        command("ip", "link", "add", CLIENT_IF, "type", "veth", "peer", "name", SERVER_IF)
        command("ip", "link", "set", SERVER_IF, "netns", self.holder.pid)
        command(*self.there, "ip", "link", "set", SERVER_IF, "up")
        command("ip", "link", "set", CLIENT_IF, "up")
        shown = command(*self.there, "ip", "-j", "link", "show", SERVER_IF)
        self.mac = json.loads(shown)[0]["address"]

    def prepare(self, kernel_server, offloads, client):
        """For one server: who has which address, what the veth leaves undone."""
        for name, where in [(CLIENT_IF, []), (SERVER_IF, self.there)]:
            command(*where, "ip", "addr", "flush", "dev", name)
            command(*where, "ip", "neigh", "flush", "dev", name)
            for what in ["tx", "tso"]:
                command(*where, "ethtool", "-K", name, what, offloads)
        if client:
            command("ip", "addr", "add", f"{CLIENT_IP}/24", "dev", CLIENT_IF)
        if kernel_server:
            command(*self.there, "ip", "addr", "add", f"{SERVER_IP}/24", "dev", SERVER_IF)

    def stop(self):
        self.holder.kill()
        self.holder.wait()


def packets():
    """(sent, received) by the client's end so far.  (/sys shows its mounter's namespace.)"""
    with open("/proc/net/dev", encoding="ascii") as file:
        numbers = re.search(rf"^\s*{CLIENT_IF}:(.*)$", file.read(), re.M)[1].split()
    return int(numbers[9]), int(numbers[1])


# --- programs ---

class Program:
    """A server or forwarder that says when it is ready."""

    def __init__(self, name, argv, env=None):
        self.name = name
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True, env=env)
        self.pid = self.process.pid  # nsenter and taskset exec: it is the program's own
        said = ""
        while READY not in said:
            line = self.process.stdout.readline()
            if not line:
                self.process.wait()
                raise Failed(f"{name}: {said.strip() or 'ended at once'}")
            said += line

    def check(self):
        if self.process.poll() is not None:
            raise Failed(f"{self.name} has died: {self.process.stdout.read().strip()}")

    def stop(self):
        """What it said since it was ready."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.communicate(timeout=10)[0]
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.communicate()[0]


def http_argv(args, name):
    argv = ["taskset", "-c", str(args.cpus[0]), os.path.join(args.build, "apps", "weir-http"),
            "--shards", "1", "--listen", "*:80"]
    if name in KERNEL:
        return argv + ["--stack", "uring"]
    return argv + ["--stack", "native", "--ip", f"{SERVER_IP}/24", "--dev", NATIVE[name][0],
                   *args.native_options]


def start_http(args, wire, name):
    on_veth = name in KERNEL or NATIVE[name][1]
    wire.prepare(name in KERNEL, KERNEL.get(name, "off"), on_veth)
    server = Program(name, (wire.there if on_veth else []) + http_argv(args, name))
    try:
        if name == "net_tap":
            command("ip", "addr", "replace", f"{CLIENT_IP}/24", "dev", "wbt0")
            command("ip", "link", "set", "wbt0", "up")
        command("curl", "-s", "-f", "-m", "5", "--retry", "5", "--retry-connrefused",
                f"http://{SERVER_IP}/plaintext")
    except Failed:
        server.stop()
        raise
    return server


# --- requests ---

def wrk_once(args, server):
    """One run: what it did, what it cost the server's threads, how disturbed both were."""
    run_before, delay_before = m.sched(server.pid)
    sent, received = packets()
    start = time.monotonic()
    process = subprocess.Popen(
        ["taskset", "-c", str(args.cpus[1]), "wrk", "-t1", f"-c{CONNS}", f"-d{args.seconds}s",
         "--latency", f"http://{SERVER_IP}/plaintext"], stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True)
    load_delay = m.wrk_delay(process.pid, max(0.5, args.seconds - 0.1))
    text = process.communicate()[0]
    wall = time.monotonic() - start
    server.check()
    run_after, delay_after = m.sched(server.pid)
    requests, taken, p99 = m.wrk_parse(text)
    sent_after, received_after = packets()
    return {"rate": requests / taken, "p99_us": p99,
            "cpu_us": (run_after - run_before) / 1e3 / requests,
            "pps": (sent_after - sent + received_after - received) / wall,
            "noise": max(delay_after - delay_before, load_delay) / 1e9 / wall}


def wrk(args, server):
    """The first undisturbed run of a few, or the least disturbed one."""
    best = None
    for _ in range(m.TRIES):
        row = wrk_once(args, server)
        if best is None or row["noise"] < best["noise"]:
            best = row
        if best["noise"] <= m.NOISE_MAX:
            break
    return best


def round_of(args, wire, name, into):
    server = None
    try:
        server = start_http(args, wire, name)
        row = wrk(args, server)
    except (Failed, OSError, subprocess.TimeoutExpired) as error:
        into["error"] = str(error)
        args.say(f"{name}: invalid: {error}")
        return None
    finally:
        if server:
            server.stop()
    into["rounds"].append(row)
    args.say(f"{name:17} {row['rate'] / 1e3:7.1f}k/s  {row['cpu_us']:6.2f} us  "
             f"p99 {row['p99_us']:6.0f} us  noise {row['noise']:4.0%}")
    return row


def run_requests(args, wire, results):
    rows = {name: {"rounds": [], "ratios": [], "error": None} for name in [*KERNEL, *NATIVE]}
    results["requests"] = rows
    for _ in range(args.rounds):
        got = {name: round_of(args, wire, name, rows[name]) for name in m.shuffled(rows)
               if not rows[name]["error"]}
        base = got.get(BASE)
        for name, row in got.items():
            if row and base:
                rows[name]["ratios"].append(row["rate"] / base["rate"])


# --- packets ---

def l2fwd_argv(args, dev):
    return ["taskset", "-c", str(args.cpus[0]), os.path.join(args.build, "perf", "l2fwd"), "--dev",
            dev]


def flood(args, mac):
    """Packets per second that went there and that came back."""
    sent, received = packets()
    start = time.monotonic()
    command("taskset", "-c", args.cpus[1], os.path.join(args.build, "perf", "l2fwd"), "--seconds",
            args.seconds, "--generate", CLIENT_IF, mac, CLIENT_IP, SERVER_IP)
    wall = time.monotonic() - start
    sent_after, received_after = packets()
    return {"sent": (sent_after - sent) / wall, "back": (received_after - received) / wall}


def flood_one(args, wire, name, who, into):
    program = None
    try:
        if who == "weir":
            program = start_http(args, wire, name)
        else:
            wire.prepare(False, "off", True)
            program = Program(who, wire.there + l2fwd_argv(args, NATIVE[name][0]))
        row = flood(args, wire.mac)
    except (Failed, OSError, subprocess.TimeoutExpired) as error:
        into["error"] = str(error)
        args.say(f"{who} on {name}: invalid: {error}")
        return None
    finally:
        if program:
            program.stop()
    into["rounds"].append(row)
    args.say(f"{who:6} on {name:10} {row['sent'] / 1e3:8.1f}k/s sent "
             f"{row['back'] / 1e3:8.1f}k/s back")
    return row["back"]


def run_packets(args, wire, results):
    rows = results["packets"] = {
        name: {who: {"rounds": [], "error": None} for who in ("l2fwd", "weir")} |
        {"ratios": []} for name in FLOODED}
    for _ in range(args.rounds):
        for name in m.shuffled(FLOODED):
            back = {who: flood_one(args, wire, name, who, rows[name][who])
                    for who in m.shuffled(["l2fwd", "weir"]) if not rows[name][who]["error"]}
            if back.get("l2fwd") and back.get("weir"):
                rows[name]["ratios"].append(back["weir"] / back["l2fwd"])


def run_null(args, results):
    """What the mbuf library and ethdev alone let through."""
    try:
        program = Program("null", l2fwd_argv(args, EAL + "--vdev=net_null0"))
        time.sleep(args.seconds + 1.2)
        rates = [int(r) for r in re.findall(r"^rx (\d+) ", program.stop(), re.M)]
        results["null_pps"] = max(rates, default=None)
    except (Failed, OSError) as error:
        args.say(str(error))


# --- reporting ---

def median(values):
    return statistics.median(values) if values else None


def print_table(results):
    if not results:
        return
    if "skipped" in results:
        print(f"\ndpdk: skipped: {results['skipped']}")
        return
    print(f"\ndpdk: wrk in the kernel, {CONNS} connections, one CPU a side; x is requests/s to "
          f"those of '{BASE}' (median of rounds), at least 1 over af_xdp or af_packet")
    for name, row in results["requests"].items():
        if row["error"] or not row["rounds"]:
            print(f"  {name:17} invalid: {row['error']}")
            continue
        rate, cpu, p99, pps = (median([r[k] for r in row["rounds"]])
                               for k in ("rate", "cpu_us", "p99_us", "pps"))
        ratio = median(row["ratios"])
        line = f"  {name:17} {rate / 1e3:8.1f}k/s"
        line += f"   x {ratio:5.2f}" if ratio else " " * 10
        line += f"   {cpu:6.2f} us of CPU   p99 {p99:7.0f} us"
        line += f"   {pps / 1e3:7.1f}k packets/s" if name in KERNEL or NATIVE[name][1] else ""
        print(line)
    reached = max((median(results["requests"][n]["ratios"]) or 0 for n in FLOODED), default=0)
    print(f"  the better of {' and '.join(FLOODED)}: x {reached:.2f} >= 1: "
          + ("reached" if reached >= 1 else "MISSED"))
    print("\ndpdk: packets per second sent back under a flood of echo requests, beside l2fwd")
    if results.get("null_pps"):
        print(f"  {'l2fwd, net_null':17} {results['null_pps'] / 1e3:8.1f}k/s")
    for name, row in results["packets"].items():
        for who in ("l2fwd", "weir"):
            back = median([r["back"] for r in row[who]["rounds"]])
            sent = median([r["sent"] for r in row[who]["rounds"]])
            line = f"  {who + ', ' + name:17} "
            line += (f"{back / 1e3:8.1f}k/s of {sent / 1e3:8.1f}k/s" if back is not None
                     else f"invalid: {row[who]['error']}")
            if who == "weir" and row["ratios"]:
                line += f"   x {median(row['ratios']):.2f} of l2fwd"
            print(line)


# --- inside and outside ---

def inside(args):
    results = {}
    wire = Wire()
    try:
        run_requests(args, wire, results)
        run_packets(args, wire, results)
        run_null(args, results)
    finally:
        wire.stop()
    json.dump(results, sys.stdout)


def measure(build, cpus, rounds, seconds, native_options=()):
    """The figures, as a dictionary for print_table; {"skipped": why}."""
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    why = missing()
    if not why and not os.path.exists(os.path.join(build, "perf", "l2fwd")):
        why = "built without DPDK: install libdpdk-dev and build again"
    if why:
        return {"skipped": why}
    ran = subprocess.run(
        ["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable,
         os.path.abspath(__file__), "--inside", "--build", build, "--rounds", str(rounds),
         "--seconds", str(seconds), "--cpus", ",".join(str(c) for c in cpus)] +
        [f"--native={option}" for option in native_options],
        stdout=subprocess.PIPE, text=True, check=False)
    if ran.returncode != 0:
        return {"skipped": "the measurement has failed (see above)"}
    return json.loads(ran.stdout)


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(here, "..", "build"), metavar="DIR")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--cpus", default="0,1", metavar="A,B", help="the server's and the load's")
    parser.add_argument("--native", action="append", default=[], metavar="OPTION",
                        dest="native_options", help="a further option for the native server")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.build = os.path.abspath(args.build)
    args.cpus = [int(c) for c in args.cpus.split(",")]
    args.say = lambda text: print(f"bench: dpdk {text}", file=sys.stderr, flush=True)
    if args.inside:
        inside(args)
        return
    results = measure(args.build, args.cpus, args.rounds, args.seconds, args.native_options)
    print_table(results)
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=1)


if __name__ == "__main__":
    main()
