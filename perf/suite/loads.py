"""loads.py - what is done to servers: wrk and weir-load on a CPU of their own, and what that cost.

The CPU time of a server is that of all threads of all its processes while the load ran; accepting and
closing the connections is in it.  A measurement during which server or load waited for their CPU for
more than 5% of the time is repeated, up to four times, and the least disturbed one counts."""
import json
import os
import subprocess
import time

import field
import measure
from measure import Failed
from suite.results import Metric

CPU = Metric("cpu", "us", "server CPU per request")
RATE = Metric("rate", "1/s", "requests per second", "higher", judged=False)
P99 = Metric("p99", "us", "99th percentile of latency")
PEAK = Metric("peak", "MB", "peak memory", judged=False, least=0.5)


def cpus_for(run, shards):
    """(the server's CPUs, the load's): apart where there are enough, else the load shares them."""
    server, load = run.options.cpus
    if shards == 1:
        return [server], [load]
    others = [cpu for cpu in run.options.spare if cpu not in (server, load)]
    mine = [server, *others, load][:shards]
    left = [cpu for cpu in run.options.spare if cpu not in mine]
    return mine, left[:shards] if len(left) >= shards else mine


def loaded(run, server, argv, seconds, parse):
    """Runs a load once.  `parse` gives of its output {"requests": count, ...}."""
    run_before, delay_before = server.sched()
    start = time.monotonic()
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True,
                          preexec_fn=measure.in_front if run.options.boost else None) as load:
        try:
            load_delay = measure.wrk_delay(load.pid, max(0.1, seconds - 0.1))
            said, complaints = load.communicate(timeout=seconds + 60)
        except subprocess.TimeoutExpired:
            load.kill()
            raise Failed(f"{os.path.basename(argv[0])} did not end") from None
    wall = time.monotonic() - start
    server.check()
    run_after, delay_after = server.sched()
    got = parse(said if said.strip() else complaints)
    shards = max(1, server.shards)
    return {**got, "cpu": (run_after - run_before) / 1e3 / got["requests"],
            "busy": (run_after - run_before) / 1e9 / wall,
            "noise": max((delay_after - delay_before) / shards, load_delay) / 1e9 / wall}


def with_peak(server, result):
    result["peak"] = sum(measure.peak(pid) for pid in server.pids()) / 1e6
    return result


def quiet(run, server, once):
    """On CPUs that server and load share, waiting for them is part of the thing."""
    apart = run.options.cpus[1] not in server.cpus
    return with_peak(server, measure.quiet(once) if apart else once())


def wrk(run, server, conns, path=field.PLAIN, pipelined=1, close=False, seconds=None):
    seconds = max(1, int(seconds or run.options.seconds))
    cpus = cpus_for(run, server.shards)[1]
    argv = measure.wrk_argv(",".join(map(str, cpus)), max(conns, len(cpus)), seconds,
                            f"http://127.0.0.1:{server.port}{path}", pipelined, close, len(cpus))

    def parse(text):
        requests, taken, p99 = measure.wrk_parse(text)
        return {"requests": requests, "rate": requests / taken, "p99": p99}

    return quiet(run, server, lambda: loaded(run, server, argv, seconds, parse))


def weir_load_parse(text):
    """Failed when any answer was not as it should be."""
    try:
        said = json.loads(text)
    except ValueError:
        raise Failed("weir-load: " + text.strip().replace("\n", "; ")[-300:]) from None
    wrong = {kind: count for kind, count in said["errors"].items() if count > 0}
    if wrong:
        raise Failed("errors: " + ", ".join(f"{kind} {count}" for kind, count in wrong.items()),
                     sum(wrong.values()))
    if said["requests"] == 0:
        raise Failed("no request was answered")
    latency = {key: ns / 1e3 for key, ns in said["latency_ns"].items()}
    return {"requests": said["requests"], "rate": said["requests_per_second"], **latency}


def weir_load(run, server, conns, target, *words, seconds=None):
    seconds = seconds or run.options.seconds
    cpus = cpus_for(run, server.shards)[1]
    argv = [os.path.join(run.place.build, "apps", "weir-load"), "--json", "--quiet", "--shards",
            str(len(cpus)), "--cpus", ",".join(map(str, cpus)), "--connections", str(conns),
            "--warmup", "0ms", "--duration", f"{int(seconds * 1000)}ms", *words, target]
    return quiet(run, server, lambda: loaded(run, server, argv, seconds, weir_load_parse))


def weir_load_http(run, server, conns, *words, seconds=None):
    return weir_load(run, server, conns, f"http://127.0.0.1:{server.port}{field.PLAIN}", *words,
                     seconds=seconds)


def weir_load_echo(run, server, conns, size, seconds=None):
    return weir_load(run, server, conns, f"127.0.0.1:{server.port}", "--echo", str(size),
                     seconds=seconds)
