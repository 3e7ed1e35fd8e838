"""check_field.py ROOT BUILD - that the servers of perf/field.py do what the suite compares them by.

For each that can be had here, with one shard and with two:

    answers      every answer has the same status, fields, body and length, also of requests that are
                 sent together; the connection is kept, and closed when that is asked for
    bulk         a large body arrives whole, also when several are asked for at once
    echo         the same bytes come back, also when more are sent than sockets hold
    accounts     CPU time and memory are those of all its processes, and stopping ends them all

What takes long to compile is tried once the bench has built it, or with WEIR_LONG=1.
"""
import os
import select
import socket
import sys
import traceback

import tap

SHARDS = [1, 2]
TOGETHER = 12
FLOOD = 16 << 20
TRICKLE = 4096
HELD = {"server", "date", "content-type", "content-length"}


def expect(what, got, wanted):
    if got != wanted:
        raise AssertionError(f"{what}: {str(got)[:300]}, not {str(wanted)[:300]}")


def check_answer(field, answer, mode):
    bulk = mode == field.BULK_MODE
    expect("status", answer.status, 200)
    expect("body", answer.body, field.BULK_BODY if bulk else field.PLAIN_BODY)
    expect("type", answer.field("content-type"),
           "application/octet-stream" if bulk else "text/plain")
    expect("fields", set(answer.names()) - {"connection"}, HELD)
    if not bulk:
        expect("length", answer.length, field.PLAIN_LENGTH[mode])


def several(field, server, mode, path):
    """One after the other, and sent together, over one connection."""
    with field.Client(server.port) as client:
        for _ in range(3):
            check_answer(field, client.ask(path), mode)
        client.sock.sendall(field.request(path) * 3)
        for _ in range(3):
            check_answer(field, client.hear(), mode)


def answers(field, server):
    several(field, server, field.KEEP, field.PLAIN)


def closes(field, server):
    for _ in range(3):
        answer = field.fetch(server.port, field.PLAIN, close=True)
        check_answer(field, answer, field.CLOSE)
        expect("closed", answer.closed, True)
        expect("Connection", answer.field("connection"), "close")


def bulk(field, server):
    """Also more than sockets hold, and more yet asked for while that is under way."""
    mode, path = field.BULK_MODE, field.BULK
    several(field, server, mode, path)
    with field.Client(server.port) as client:
        client.sock.sendall(field.request(path) * TOGETHER)
        check_answer(field, client.hear(), mode)
        client.sock.sendall(field.request(path) * 2)
        for _ in range(TOGETHER + 1):
            check_answer(field, client.hear(), mode)


def flood(port, total):
    """Sends until nothing more goes, and only then reads: nothing is lost, nothing is mixed up."""
    data = bytes(range(251)) * (total // 251 + 1)
    sent = got = 0
    with socket.create_connection(("127.0.0.1", port), 10) as sock:
        sock.setblocking(False)
        try:
            while sent < total:
                sent += sock.send(data[sent:total])
        except BlockingIOError:
            pass
        while got < total:
            readable, writable, _ = select.select([sock], [sock] if sent < total else [], [], 20)
            if not readable and not writable:
                raise AssertionError(f"stands still: {sent} sent, {got} received")
            if readable:
                piece = sock.recv(1 << 18)
                expect("bytes that came back", piece, data[got:got + len(piece)] or b"more")
                got += len(piece)
            elif sent < total:
                sent += sock.send(data[sent:min(total, sent + TRICKLE)])


def echoes(field, server):
    for size in (1, 64, 4096, 5000, 1 << 20):
        field.echo(server.port, os.urandom(size))
    flood(server.port, FLOOD)


def accounts(field, server):
    before = server.sched()[0]
    if server.entry.kind == field.ECHO:
        field.echo(server.port, field.BULK_BODY)
    else:
        several(field, server, field.KEEP, field.PLAIN)
    if server.sched()[0] <= before:
        raise AssertionError("it worked without CPU time")
    if server.rss() < 4096:
        raise AssertionError(f"resident: {server.rss()}")
    if server.threads() < server.shards:
        raise AssertionError(f"{server.threads()} threads for {server.shards} shards")


def steps(field, entry):
    """(what, mode, function) of what such a server has to do."""
    if entry.kind == field.ECHO:
        return [("echo", field.KEEP, echoes), ("accounts", field.KEEP, accounts)]
    return [("answers", field.KEEP, answers), ("close", field.CLOSE, closes),
            ("bulk", field.BULK_MODE, bulk), ("accounts", field.KEEP, accounts)]


def try_step(field, place, entry, cpus, step):
    _, mode, function = step
    with entry.start(place, cpus, mode=mode) as server:
        group = server.pid
        function(field, server)
        server.check()
    expect("processes left over", field.group_pids(group), [])
    expect("files left over", os.path.exists(server.folder), False)


def guarded(function, *args):
    """What was wrong, or nothing."""
    try:
        function(*args)
        return ""
    except Exception:  # pylint: disable=broad-except
        return traceback.format_exc()


def check_entry(report, field, place, entry, allowed):
    why = entry.missing(place)
    if not why and entry.long_build and not entry.ready(place) and "WEIR_LONG" not in os.environ:
        why = "not built yet: ./dev bench does, and WEIR_LONG=1"
    if why:
        report.skip(entry.name, why)
        return
    trouble = guarded(entry.prepare, place)
    version = entry.version(place)
    report.case(f"{entry.name} is there, and says what it is",
                trouble or (version if version.startswith("unknown") else ""))
    for shards in SHARDS if not trouble else []:
        if shards > len(allowed):
            report.skip(f"{entry.name} on {shards} CPUs", "there are not as many")
            continue
        for step in steps(field, entry):
            report.case(f"{entry.name} on {shards}: {step[0]}",
                        guarded(try_step, field, place, entry, allowed[:shards], step))


# --- servers that misbehave ---

STUBBORN = """
import os, signal, socket, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
os.fork()
while True:
    sock, _ = listener.accept()
    while True:
        data = sock.recv(4096)
        if not data:
            break
        sock.sendall(data)
"""


def odd(field, name, argv):
    return field.Entry(name, field.PEER, field.ECHO, "", lambda place: "", argv, lambda place: "")


def ends_at_once(field, place, cpus):
    entry = odd(field, "odd", lambda s: ["sh", "-c", "echo no licence >&2; exit 3"])
    try:
        with entry.start(place, cpus):
            pass
    except field.Failed as error:
        expect("the reason", "no licence" in str(error), True)
        return
    raise AssertionError("it was called a server")


def is_not_there(field, place, cpus):
    entry = odd(field, "odd", lambda s: ["/no/such/program"])
    try:
        with entry.start(place, cpus):
            pass
    except field.Failed:
        expect("files left over", [n for n in os.listdir(place.folder("run"))
                                   if n.startswith("odd-")], [])
        return
    raise AssertionError("it was called a server")


def does_not_listen_to_reason(field, place, cpus):
    entry = odd(field, "odd", lambda s: [sys.executable, "-c", STUBBORN, str(s.port)])
    with entry.start(place, cpus) as server:
        expect("processes", len(server.pids()), 2)
        group = server.pid
    expect("processes left over", field.group_pids(group), [])


def differs(field, _place, _cpus):
    def answer(length, extra=()):
        return field.Answer(200, [(name, "") for name in [*HELD, *extra]], b"", length)
    like = {field.KEEP: answer(field.PLAIN_LENGTH[field.KEEP], ["connection"])}
    expect("differences", field.differences({"a": like, "b": like}), [])
    longer = {field.KEEP: answer(field.PLAIN_LENGTH[field.KEEP] + 1)}
    expect("differences", len(field.differences({"a": like, "b": longer})), 1)
    more = {field.KEEP: answer(field.PLAIN_LENGTH[field.KEEP], ["etag"])}
    expect("names them", "etag" in field.differences({"a": more})[0], True)


def main():
    root, build = sys.argv[1:3]
    sys.path.insert(0, os.path.join(root, "perf"))
    import field  # pylint: disable=import-outside-toplevel
    place, allowed = field.Place.of(build), sorted(os.sched_getaffinity(0))
    report = tap.Tap()
    for entry in field.FIELD:
        check_entry(report, field, place, entry, allowed)
    for case in (ends_at_once, is_not_there, does_not_listen_to_reason, differs):
        report.case("a server that " + case.__name__.replace("_", " "),
                    guarded(case, field, place, allowed[:1]))
    sys.exit(report.done())


main()
