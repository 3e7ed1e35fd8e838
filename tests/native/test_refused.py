"""test_refused.py HTTP ECHO LOAD UDP_ECHO THERE_AND_BACK - a device that cannot be had, from the
command line: one line with the cure, exit status 2; and that --help and docs/native.md name the
same options."""
import functools
import os
import re
import subprocess

from peers import ADDRESSES, EAL, HTTP, LOAD, Device, ip, main, tap_device, Server

DOC = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../docs/native.md")
DPDK = "dpdk:--no-huge -m 256 --no-pci --no-shconf --vdev="


def refuse(dev, *words, argv=(), env=None, user=None):
    """Both apps say the same, in one line that has all these words."""
    for app, *before in [[HTTP], [LOAD, "--quiet"]]:
        target = ["http://10.9.0.1:80/"] if app == LOAD else []
        ran = subprocess.run([app, *before, "--stack", "native", "--shards", "1", "--dev", dev,
                              *ADDRESSES, *argv, *target], stdin=subprocess.DEVNULL,
                             capture_output=True, text=True, timeout=60, check=False, user=user,
                             env={**os.environ, **(env or {})})
        # On a machine that has other things to do a fiber may well be held up by them.
        lines = [line for line in ran.stderr.splitlines() if " held shard " not in line]
        assert (ran.returncode, ran.stdout, len(lines)) == (2, "", 1), (dev, ran)
        missing = [word for word in words if word not in lines[0]]
        assert not missing and len(lines[0]) < 400, (missing, lines[0])


def free_hugepages():
    with open("/proc/meminfo", encoding="ascii") as file:
        return int(re.search(r"HugePages_Free: +(\d+)", file.read()).group(1))


def bad_argument():
    """a bad EAL argument, and one without its value"""
    refuse(EAL + "--no-such-thing", "EAL has no such argument", "is an example")
    refuse("dpdk:--no-pci --vdev", "the value is missing")
    refuse("dpdk:--help", "makes no sense here")


def unknown_driver():
    """an unknown PMD, and an interface that is not there"""
    refuse(DPDK + "net_nonsense0", "no driver has this name", "net_tap0")
    refuse(DPDK + "net_af_packet0,iface=nowhere7", "look for the right name: ip link")
    refuse("dpdk:--no-huge -m 256 --no-pci --no-shconf", "found no port", "--vdev=net_tap0")


def no_memory():
    """too little memory; no hugepages"""
    refuse("dpdk:--no-huge -m 8 --no-pci --no-shconf --vdev=net_null0", "-m 512")
    if free_hugepages() == 0:
        refuse("dpdk:--no-pci --in-memory --vdev=net_null0", "sysctl vm.nr_hugepages=512",
               "--no-huge")


def few_queues():
    """fewer queues than shards"""
    refuse(DPDK + "net_af_packet0,iface=lo", "--shards 1", argv=["--shards", "2"])


def no_module():
    """a build without DPDK"""
    refuse("dpdk:--no-huge", "install libdpdk-dev",
           env={"WEIR_DPDK_MODULE": "/nonexistent/weir-dpdk.so"})


def no_permission():
    """no permission: DPDK on an interface, a tap"""
    if os.getuid() != 0:
        print("# not root: cannot become nobody")
        return
    refuse(DPDK + "net_af_packet0,iface=lo", "CAP_NET_RAW", user="nobody")
    refuse("tap:nobodys0", "CAP_NET_ADMIN", "ip tuntap add nobodys0 mode tap", user="nobody")


def taken():
    """a tap that another program has, an interface that is none, a text that is none"""
    device = tap_device()
    with Server(device, "--shards", "1"):
        refuse(f"tap:{device.kernel}", "another program has it open: choose another name")
    ip("link add wveth0 type veth peer name wveth1")
    with Device("", "", remove="wveth0"):
        refuse("tap:wveth0", "choose another name")
    refuse("tap:weir0,host=nonsense", "it goes like tap:weir0,host=10.7.0.1/24")
    refuse("nonsense:1", "none of loop, tap, tap:NAME, dpdk:EAL-ARGUMENTS")


def bad_settings():
    """addresses, gateways, routes and faults that make no sense"""
    for argv in [["--ip", "10.9.0.300/24"], ["--gateway", "nowhere"], ["--route", "10.0.0.0/8"],
                 ["--impair", "loss=101%"], ["--impair", "dir=up"], ["--pcap", "/no/such/file"]]:
        refuse("loop", argv[0][2:], argv=argv)


def documented():
    """--help and docs/native.md have the same options, and the same faults"""
    told = subprocess.run([HTTP, "--help"], capture_output=True, text=True, check=True).stdout
    told = told[told.index("for --stack native"):]
    with open(DOC, encoding="utf-8") as file:
        table = file.read().split("## Options")[1].split("\n## ")[0]
    rows = "".join(line.split(" | ")[0] for line in table.splitlines() if line.startswith("| `--"))
    option = re.compile(r"--([a-z]+)")
    in_help = set(option.findall("".join(re.findall(r"^  --.{20}", told, re.M))))
    assert set(option.findall(rows)) == in_help, (sorted(option.findall(rows)), sorted(in_help))
    faults = [sorted(set(re.findall(r"\b(loss|delay|jitter|reorder|duplicate|corrupt|rate|queue|"
                                    r"dir)=", text))) for text in [told, table]]
    assert faults[0] == faults[1] and len(faults[0]) == 9, faults


CASES = [(bad_argument, ["dpdk"]), (unknown_driver, ["dpdk"]), (no_memory, ["dpdk"]),
         (few_queues, ["dpdk"]), (no_module, []), (no_permission, ["dpdk"]), (taken, []),
         (bad_settings, []), (documented, [])]
main([(case.__doc__, functools.partial(case), needs) for case, needs in CASES])
