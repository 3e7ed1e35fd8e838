"""test_options.py HTTP ECHO - the command line of the apps: what is wrong is said in one line."""
import os
import re
import socket
import subprocess
import sys

import tap
from serving import App, ECHO, ENDS, HTTP, get, Peer, run_case

WRONG = [
    ["--nothing"], ["--nothing=1"], ["-x"], ["word"], ["--listen"], ["--listen", "nonsense"],
    ["--listen", "127.0.0.1"], ["--listen=127.0.0.1:65536"], ["--listen", "256.0.0.1:80"],
    ["--listen", "unix:"], ["--shards", "x"], ["--shards", "-1"], ["--shards"],
    ["--cpus", "x"], ["--cpus", "3-1"], ["--cpus="], ["--stack", "fast"], ["--balance", "more"],
    ["--poll", "never"], ["--grace", "10"], ["--grace", "x"], ["--quiet=1"], ["--help=1"],
    ["--vlan", "4095"], ["--mtu", "1279"], ["--cc", "bbr"], ["--keepalive", "1"], ["--dev="],
    ["--listen", "kernel:"], ["--ip"], ["--server"], ["--server", "a b"], ["--server", "x" * 65],
    [word for i in range(17) for word in ("--listen", f"127.0.0.1:{10000 + i}")],
]


def call(*argv, **user):
    result = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            stdin=subprocess.DEVNULL, timeout=ENDS, **user)
    return result.returncode, result.stdout, result.stderr


def wrong():
    """a wrong flag or address: one line, status 2"""
    for program, name in [(HTTP, "weir-http"), (ECHO, "weir-echo")]:
        for argv in WRONG:
            status, out, err = call(program, *argv)
            assert status == 2, (argv, status, err)
            assert out == "" and err.count("\n") == 1 and err.startswith(name + ": "), (argv, err)


NO_DEVICE = [
    (["--dev", "nonsense"], "nonsense"), (["--impair", "loss=x"], "loss"),
    (["--ip", "192.0.2.1/24"], "give dev"), (["--pcap", "/no/such/file"], "/no/such/file"),
]


def no_device():
    """a device, or what is said of it, that cannot be had: one line, status 2"""
    for program in [HTTP, ECHO]:
        for argv, word in NO_DEVICE:
            status, out, err = call(program, "--stack", "native", "--shards", "2", *argv)
            err = "".join(line for line in err.splitlines(True) if "held shard" not in line)
            assert status == 2 and out == "", (argv, status, out, err)
            assert err.count("\n") == 1 and word in err, (argv, err)


def native_beside_kernel():
    """--stack native serves, and kernel sockets beside it"""
    with App(HTTP, "--stack", "native", "--shards", "2", "--listen",
             "kernel:127.0.0.1:0", listen="127.0.0.1:80") as app:
        assert "native (loop" in app.said, app.said
        with Peer(app) as peer:
            peer.say(get("/"))
            assert peer.hear().body == b"Hello, World!"
        return app.stop()


def helps():
    """--help and --version"""
    for program, name in [(HTTP, "weir-http"), (ECHO, "weir-echo")]:
        status, out, err = call(program, "--help")
        assert status == 0 and err == "", err
        for flag in ["listen", "shards", "cpus", "stack", "balance", "poll", "grace", "quiet"]:
            assert f"--{flag}" in out, flag
        status, out, err = call(program, "--version")
        assert (status, err) == (0, "") and out.split()[0] == name and out.count(".") >= 1, out


def port_in_use():
    """a port in use: one line, status 1"""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        address = "127.0.0.1:%d" % sock.getsockname()[1]
        for program in [HTTP, ECHO]:
            for stack in ["epoll", "auto"]:
                for balance in ["reuseport", "least"]:
                    status, out, err = call(program, "--listen", address, "--stack", stack,
                                            "--balance", balance, "--shards", "2")
                    err = "".join(line for line in err.splitlines(True) if "held shard" not in line)
                    assert status == 1 and out == "", (status, out, err)
                    assert err.count("\n") == 1 and address in err and "in use" in err, err


def nobody():
    """Options of subprocess.run that make an ordinary user of us; the reason when they cannot."""
    port = "/proc/sys/net/ipv4/ip_unprivileged_port_start"
    with open(port, encoding="ascii") as file:
        if int(file.read()) <= 80:
            return {}, "port 80 is for everybody here"
    user = {"user": "nobody"} if os.getuid() == 0 else {}
    try:
        subprocess.run([HTTP, "--version"], stdout=subprocess.DEVNULL, check=True, **user)
    except OSError as error:
        return {}, f"nobody cannot run it: {error}"
    return user, ""


def port_denied(user):
    """a port one may not have: one line, status 1"""
    status, out, err = call(HTTP, "--listen", "127.0.0.1:80", **user)
    err = "".join(line for line in err.splitlines(True) if "held shard" not in line)
    assert (status, out) == (1, ""), (status, out, err)
    assert err.count("\n") == 1 and "127.0.0.1:80" in err and "denied" in err, err


def urls():
    """an address that stands for all is printed as one that can be clicked"""
    with App(HTTP, "--shards", "1", "--listen", "0.0.0.0:0", "--listen", "[::]:0") as app:
        for host in ["localhost", r"\[::1\]"]:
            found = re.search(rf"serving on http://{host}:\d+/, and on all other", app.said)
            assert found, app.said
        return app.stop()


def several():
    """several addresses, --flag=value, --quiet"""
    with App(HTTP, "--listen=127.0.0.1:0", "--shards=1", "--cpus=0", "--stack=epoll",
             "--grace=1s", listen="[::1]:0") as app:
        assert app.said.count("serving on http://") == 2 and "[::1]:" in app.said, app.said
        assert "1 shard on CPU 0; epoll" in app.said, app.said
        with Peer(app) as peer:
            peer.say(get("/"))
            assert peer.hear().body == b"Hello, World!"
        trouble = app.stop()
    process = subprocess.Popen([HTTP, "--quiet", "--listen", "127.0.0.1:0"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        process.communicate(timeout=0.5)
        assert False, "it has ended"
    except subprocess.TimeoutExpired:
        process.terminate()
    out, err = process.communicate(timeout=ENDS)
    assert (process.returncode, out, err) == (0, "", ""), (process.returncode, out, err)
    return trouble


def server_field():
    """--server names it, an empty one leaves the field out, and weir-echo has no such option"""
    for text in [None, "x" * 64, ""]:
        with App(HTTP, "--shards", "1", *(["--server", text] if text is not None else [])) as app:
            with Peer(app) as peer:
                peer.say(get("/"))
                said = peer.hear().fields.get("server")
            assert said == {None: "weir", "": None}.get(text, text), (text, said)
    status, out, err = call(ECHO, "--server", "weir")
    assert status == 2 and out == "" and "no such option" in err, (status, out, err)


def main():
    report = tap.Tap()
    for case in [wrong, no_device, native_beside_kernel, helps, port_in_use, urls,
                 several, server_field]:
        run_case(report, case.__doc__, case)
    user, reason = nobody()
    if reason:
        report.skip(port_denied.__doc__, reason)
    else:
        run_case(report, port_denied.__doc__, lambda: port_denied(user))
    sys.exit(report.done())


main()
