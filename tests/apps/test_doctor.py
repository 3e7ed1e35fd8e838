"""test_doctor.py DOCTOR PROGRAM... - weir-doctor tells what is there; DPDK concerns its module only."""
import os
import re
import subprocess
import sys

import tap

DOCTOR, PROGRAMS = sys.argv[1], sys.argv[2:]
LINE = re.compile(r"^(ok|note|MISSING) +(\S.*?)  +\S|^ +-> \S")


def call(*argv, **environment):
    result = subprocess.run([DOCTOR, *argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, timeout=30, check=False,
                            env=dict(os.environ, **environment))
    return result.returncode, result.stdout, result.stderr


def tells():
    """every line is a finding or a cure, nothing asked for is missing, no colours in a pipe"""
    status, out, err = call()
    assert (status, err) == (0, ""), (status, err)
    assert "\033" not in out and "MISSING" not in out, out
    for line in out.splitlines():
        assert LINE.match(line), line
    for what in ["kernel", "cpus", "descriptors", "locked memory", "io_uring", "tap", "tap permission",
                 "DPDK module", "DPDK permission", "hugepages", "IOMMU", "VFIO", "nic"]:
        assert re.search(rf"^(ok|note) +{what}", out, re.M), what


def tells_of_nics():
    """of each NIC: driver, link, queues, RSS, offloads; of a veth pair what DPDK needs"""
    pair = ["ip", "link", "add", "wdoc0", "numrxqueues", "2", "numtxqueues", "2", "type", "veth",
            "peer", "name", "wdoc1"]
    script = f"{' '.join(pair)} && ip link set wdoc0 up && exec {DOCTOR}"
    result = subprocess.run(["unshare", "--net", "sh", "-c", script], capture_output=True,
                            text=True, timeout=30, check=False, stdin=subprocess.DEVNULL,
                            env=dict(os.environ, PATH=os.environ["PATH"] + ":/usr/sbin:/sbin"))
    if result.returncode != 0:
        return f"no network namespace, or no veth: {result.stderr.strip()}"
    assert re.search(r"^note +nic wdoc0 +veth, link down, queues rx 2 tx 2.*, no RSS, "
                     r"rx-checksum tx-checksum scatter tso.*\n +-> .*ethtool -K wdoc0 tx off",
                     result.stdout, re.M), result.stdout
    return ""


def lacks():
    """what is asked for and missing: status 1, with the cure"""
    absent = {"WEIR_DPDK_MODULE": "/nonexistent/weir-dpdk.so"}
    status, out, err = call("--for", "dpdk", **absent)
    assert (status, err) == (1, ""), (status, err)
    assert re.search(r"^MISSING +DPDK module .*\n +-> .*libdpdk-dev", out, re.M), out
    status, out, err = call("--for=uring", "--for=tap", **absent)
    assert re.search(r"^note +DPDK module", out, re.M), out
    assert status == ("MISSING" in out), out


def no_module():
    """something else in the module's place"""
    status, out, _ = call("--for", "dpdk", WEIR_DPDK_MODULE="/etc/passwd")
    assert status == 1 and re.search(r"^MISSING +DPDK module +cannot be loaded", out, re.M), out


def wrong():
    """a wrong command line: one line, status 2"""
    for argv in [["--nothing"], ["x"], ["--for"], ["--for", "x"], ["--for="], ["--for=tap,dpdk"]]:
        status, out, err = call(*argv)
        assert (status, out) == (2, "") and err.count("\n") == 1, (argv, status, out, err)
        assert err.startswith("weir-doctor: "), err


def helps():
    """--help and --version"""
    status, out, err = call("--help")
    assert (status, err) == (0, "") and "--for" in out and "Exit status" in out, out
    status, out, err = call("--version")
    assert (status, err) == (0, "") and out.startswith("weir-doctor "), out


def free_of_dpdk(program):
    """what the program is linked with"""
    libraries = tap.output(["ldd", program])
    return "\n".join(line for line in libraries.splitlines() if "rte_" in line or "dpdk" in line)


def main():
    report = tap.Tap()
    for case in [tells, tells_of_nics, lacks, no_module, wrong, helps]:
        try:
            reason = case()
            if reason:
                report.skip(case.__doc__, reason)
            else:
                report.case(case.__doc__)
        except AssertionError as error:
            report.case(case.__doc__, repr(error))
    for program in [DOCTOR, *PROGRAMS]:
        report.case(f"{os.path.basename(program)} is not linked with DPDK", free_of_dpdk(program))
    sys.exit(report.done())


main()
