"""machine.py - what a run was made on: without it figures mean nothing."""
import glob
import json
import os
import re
import subprocess


def text_of(path, missing=""):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return missing


def said_by(*argv):
    """The first line a program prints, or nothing."""
    try:
        ran = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                             stdin=subprocess.DEVNULL, timeout=20, check=False)
        return ran.stdout.strip().splitlines()[0] if ran.stdout.strip() else ""
    except (OSError, subprocess.SubprocessError):
        return ""


def cpu_model():
    info = text_of("/proc/cpuinfo")
    for name in ("model name", "Model", "CPU part"):
        found = re.search(rf"^{name}\s*:\s*(.*)$", info, re.M)
        if found:
            return found[1]
    return "unknown"


def mitigations():
    """{vulnerability: what the kernel does about it}, of those that the CPU has."""
    found = {}
    for path in sorted(glob.glob("/sys/devices/system/cpu/vulnerabilities/*")):
        state = text_of(path)
        if state and state != "Not affected":
            found[os.path.basename(path)] = state
    return found


def memory_gib():
    found = re.search(r"^MemTotal:\s+(\d+) kB", text_of("/proc/meminfo"), re.M)
    return round(int(found[1]) / 2**20, 1) if found else None


def hypervisor():
    flags = re.search(r"^flags\s*:(.*)$", text_of("/proc/cpuinfo"), re.M)
    return "yes" if flags and " hypervisor" in flags[1] else "no"


def compiler(build):
    """The C compiler of a build, and how it was told to compile programs."""
    try:
        with open(os.path.join(build, "meson-info", "intro-targets.json"), encoding="utf-8") as file:
            targets = json.load(file)
        made = next(group for target in targets if target["type"] == "executable"
                    for group in target["target_sources"] if "compiler" in group)
    except (OSError, KeyError, ValueError, StopIteration):
        return {"compiler": "unknown", "flags": "unknown"}
    flags = [word for word in made["parameters"]
             if re.match(r"-(O|g|m|f(?!diagnostics))", word)]
    version = said_by(*made["compiler"], "--version") or "unknown"
    if "clang" not in version:  # "cc (Debian 12.2.0-14) 12.2.0", by whatever name it was called
        version = "gcc " + version.split()[-1]
    return {"compiler": version, "flags": " ".join(flags)}


def revision(root):
    if not os.path.exists(os.path.join(root, ".git")):
        return "unknown"
    dirty = said_by("git", "-C", root, "status", "--porcelain", "--untracked-files=no")
    return said_by("git", "-C", root, "rev-parse", "--short=12", "HEAD") + \
        (" and changes" if dirty else "")


def wrk_version():
    found = re.search(r"wrk (\S+)", said_by("wrk", "-v"))
    return found[1] if found else "unknown"


def describe(root, build, cpus):
    """Everything, as it goes into the JSON; values are text, numbers or {name: text}."""
    uname = os.uname()
    return {
        "cpu": cpu_model(),
        "cpus": {"all": os.cpu_count(), "server": cpus[0], "load": cpus[1]},
        "hypervisor": hypervisor(),
        "memory_gib": memory_gib(),
        "kernel": f"{uname.sysname} {uname.release} {uname.machine}",
        "mitigations": mitigations() or {"none": "the CPU is not said to need any"},
        "tcp_congestion_control": text_of("/proc/sys/net/ipv4/tcp_congestion_control", "unknown"),
        "somaxconn": text_of("/proc/sys/net/core/somaxconn", "unknown"),
        "governor": text_of("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "none"),
        "clocksource": text_of("/sys/devices/system/clocksource/clocksource0/current_clocksource",
                               "unknown"),
        "huge_pages": text_of("/sys/kernel/mm/transparent_hugepage/enabled", "unknown"),
        "load_average": round(os.getloadavg()[0], 2),
        "weir": revision(root),
        **compiler(build),
        "liburing": said_by("pkg-config", "--modversion", "liburing") or "unknown",
        "libc": said_by("getconf", "GNU_LIBC_VERSION") or "unknown",
        "wrk": wrk_version(),
        "servers": {},
    }


def lines(machine):
    """(what, text) for people."""
    for key, value in machine.items():
        if isinstance(value, dict):
            value = "; ".join(f"{name}: {text}" for name, text in value.items())
        if value not in ("", None):
            yield key.replace("_", " "), str(value)
