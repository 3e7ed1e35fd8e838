#!/usr/bin/env python3
"""bench.py - the perf suite: weir beside bare floors and its peers, in one run.

    ./dev bench [SERIES ...]             all series, or these
    ./dev bench compare OLD NEW          what got faster or slower, beyond the noise
    ./dev bench baseline [--update]      instructions beside the kept ones, or keep new ones

Rounds are interleaved over the servers (A B C, B C A, ...), and a ratio is the median of the ratios
within the rounds: a disturbance meets all of them.  perf/README.md says what counts and how.
"""
import argparse
import dataclasses
import datetime
import os
import resource
import shlex
import signal
import sys
import time

import field
import instructions
import layers
import series
from suite import compare, engine, keep, machine, report, results, table
from suite.progress import Progress

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
BUILD = os.path.join(ROOT, "build")
QUICK_ROUNDS, QUICK_SECONDS = 3, 1
KINDS = {"echo": [field.ECHO]} | dict.fromkeys(
    ["http", "conns", "churn", "memory", "latency", "scale", "idle", "bulk"], [field.HTTP])


# --- the command line ---

class Parser(argparse.ArgumentParser):
    def error(self, message):
        """One line, status 2."""
        print(f"bench: {message} (./dev bench --help)", file=sys.stderr)
        sys.exit(2)


def parser_of(name, **more):
    parser = Parser(prog=f"./dev bench{name}", formatter_class=argparse.RawDescriptionHelpFormatter,
                    **more)
    if name != " compare":
        parser.add_argument("--build", default=BUILD, metavar="DIR",
                            help="where meson has built (default: build/)")
    return parser


def listing():
    lines = ["", "series:"]
    for name in series.NAMES:
        lines.append(f"  {name:14} {series.load(name).title}")
    lines += ["", "servers: " + " ".join(dict.fromkeys(
        engine.short_name(entry) for entry in field.FIELD))]
    return "\n".join(lines)


def parse_args(argv):
    parser = parser_of("", description=__doc__.split("\n", 1)[1], epilog=listing())
    parser.add_argument("series", nargs="*", metavar="SERIES", help="only these, in this order")
    parser.add_argument("--servers", metavar="A,B", help="only these, and both floors")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=COMMAND",
                        help="another HTTP server; {port}, {cpu} and {shards} are filled in")
    parser.add_argument("--quick", action="store_true",
                        help=f"a first look: {QUICK_ROUNDS} rounds of {QUICK_SECONDS} s, fewer rows")
    parser.add_argument("--rounds", type=int, metavar="N", help="of each row (default 5)")
    parser.add_argument("--seconds", type=float, metavar="S", help="per server and round (default 2)")
    parser.add_argument("--idle", type=int, default=8000, metavar="N",
                        help="connections for memory (default 8000)")
    parser.add_argument("--cpus", metavar="A,B",
                        help="the server's CPU and the load's (default: the first two allowed)")
    parser.add_argument("--boost", action="store_true",
                        help="ask the scheduler to favour server and load over all else")
    parser.add_argument("--json", metavar="FILE", help="the results (default DIR/bench/results.json)")
    parser.add_argument("--html", metavar="FILE", help="the report (default DIR/bench/report.html)")
    parser.add_argument("--keep", action="store_true",
                        help="a full run goes to perf/RESULTS.md, the series layers to LAYERS.md")
    parser.add_argument("--check", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    complete(parser, args)
    return args


def complete(parser, args):
    for name in args.series:
        if name not in series.NAMES:
            parser.error(f"no such series: {name}; there are: {' '.join(series.NAMES)}")
    args.full = not args.series and not args.quick and not args.servers
    args.series = list(dict.fromkeys(args.series)) or list(series.NAMES)
    args.rounds = QUICK_ROUNDS if args.rounds is None and args.quick else 5 if args.rounds is None \
        else args.rounds
    args.seconds = QUICK_SECONDS if args.seconds is None and args.quick else \
        2 if args.seconds is None else args.seconds
    if args.rounds < 1 or args.idle < 1 or not 0 < args.seconds <= 600:
        parser.error("--rounds and --idle are at least 1, --seconds is above 0 and at most 600")
    args.build = os.path.abspath(args.build)
    args.cpus, args.spare = cpus_of(parser, args.cpus)
    args.servers = servers_of(parser, args.servers)
    args.peer = [peer_of(parser, peer) for peer in args.peer]
    for what in ("json", "html"):
        path = getattr(args, what) or os.path.join(args.build, "bench", FILES[what])
        setattr(args, what, os.path.abspath(path))
        writable(parser, what, getattr(args, what), made=os.path.join(args.build, "bench"))


FILES = {"json": "results.json", "html": "report.html"}


def writable(parser, what, path, made):
    """Now, and not after an hour."""
    folder = os.path.dirname(path)
    try:
        if folder == made:
            os.makedirs(folder, exist_ok=True)
        with open(path, "a", encoding="utf-8"):
            pass
    except OSError as error:
        parser.error(f"--{what} {path}: {error.strerror}")


def cpus_of(parser, text):
    allowed = sorted(os.sched_getaffinity(0))
    try:
        cpus = [int(word) for word in text.split(",")] if text else allowed[:2]
    except ValueError:
        parser.error("--cpus: two numbers, such as 0,1")
    if len(set(cpus)) != 2 or not set(cpus) <= set(allowed):
        parser.error("needs two CPUs: one for the server and one for the load")
    return cpus, allowed


def servers_of(parser, text):
    if text is None:
        return None
    known = {engine.short_name(entry) for entry in field.FIELD}
    for name in text.split(","):
        if name not in known:
            parser.error(f"no such server: {name}; --help lists them")
    return text.split(",")


def peer_of(parser, text):
    name, equals, command = text.partition("=")
    if not name or not equals or not command:
        parser.error(f"--peer {text}: give NAME=COMMAND")

    def argv(start):
        return [word.format(port=start.port, cpu=start.cpus[0], shards=start.shards)
                for word in shlex.split(command)]
    return field.Entry(name, field.PEER, field.HTTP, command, lambda place: "", argv,
                       lambda place: command)


# --- a run ---

def raise_descriptor_limit():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def options_of(args):
    names = {each.name for each in dataclasses.fields(engine.Options)}
    return engine.Options(**{name: getattr(args, name) for name in names - {"extra"}},
                          extra=args.peer)


def answers(run):
    """Whether all HTTP servers send equally many bytes, in one line."""
    looks = {}
    for name, entry in list(run.entries(field.HTTP).items()):
        run.progress.show("looking at what the servers answer", name)
        if entry in run.options.extra:
            continue  # nobody knows its modes
        try:
            looks[name] = field.look(entry, run.place, run.options.cpus[:1])
        except engine.CAN_FAIL as error:
            run.left_out[name] = str(error)
            run.say(f"going on without {name}: {error}")
            del run.there[field.HTTP][name]
    lines = field.differences(looks)
    for line in lines:
        run.say(f"answers differ: {line}")
    return "; ".join(lines) or f"{field.PLAIN_LENGTH[field.KEEP]} bytes from every server"


def planned(run, chosen):
    """Seconds that the series will take, about."""
    total = 0
    for one in chosen:
        try:
            total += one.about(run)
        except engine.CAN_FAIL:
            pass  # it will say why when its turn comes
    return total


def command_of(argv):
    """As one would say it to ./dev, which gives --build; where results go does not matter."""
    words, skip = [], False
    for word in argv:
        if not skip and word.split("=")[0] not in ("--build", "--json", "--html", "--keep"):
            words.append(word)
        skip = not skip and word in ("--build", "--json", "--html")
    return shlex.join(["./dev", "bench", *words])


def run_all(run, args):
    chosen = [series.load(name) for name in args.series]
    kinds = {kind for name in args.series for kind in KINDS.get(name, [])}
    run.gather(kinds)
    if field.HTTP in kinds:
        run.results.machine["answers"] = answers(run)
    run.progress.total = planned(run, chosen)
    run.progress.start = time.monotonic()
    for one in chosen:
        engine.run_series(run, one)
        run.results.machine["left_out"] = run.left_out
        run.results.seconds = round(time.monotonic() - run.began, 1)
        results.write(args.json, run.results)  # so that an hour is not lost with the power


def finish(run, args):
    """The table, the report, what is kept."""
    run.progress.end()
    table.show(run.results)
    results.write(args.json, run.results)
    try:

        report.write(args.html, run.results)
        print(f"\nreport: {args.html}\nresults: {args.json}", file=sys.stderr)
    except OSError as error:
        run.say(f"no report: {error}")
    if args.keep and hasattr(run, "layers"):
        layers.keep(run.layers, args.build)
    if args.keep and run.complete and args.full:
        keep.keep(run.results)
    elif args.keep:
        run.say("RESULTS.md is as it was: it keeps full runs only")


def bench(argv):
    args = parse_args(argv)
    if args.check:  # of the options only
        return 0
    raise_descriptor_limit()
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    run = engine.Run(options_of(args), Progress(0))
    run.began, run.complete = time.monotonic(), False
    run.results.command = command_of(argv)
    run.results.started = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    run.results.options = {"rounds": args.rounds, "seconds": args.seconds, "quick": args.quick,
                           "idle": args.idle, "boost": args.boost, "series": args.series}
    run.results.machine = machine.describe(ROOT, args.build, args.cpus)
    try:
        run_all(run, args)
        run.complete = True
    except KeyboardInterrupt:
        run.say("interrupted: what there is")
    finish(run, args)
    return 0 if run.complete else 130


# --- the others ---

def bench_compare(argv):
    parser = parser_of(" compare", description="What got faster or slower between two runs.")
    parser.add_argument("old", metavar="OLD.json")
    parser.add_argument("new", metavar="NEW.json")
    args = parser.parse_args(argv)
    try:
        compare.show(results.read(args.old), results.read(args.new))
    except results.Bad as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    return 0


def bench_baseline(argv):
    parser = parser_of(" baseline", description="Instructions beside those of perf/instructions.json; "
                       f"more than {instructions.WORSE:.0%} more fails.")
    parser.add_argument("--update", action="store_true", help="keep what is measured now")
    args = parser.parse_args(argv)
    build = os.path.abspath(args.build)
    try:
        return baseline(build, args.update)
    except instructions.Failed as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1


def baseline(build, update):
    why = instructions.missing(build)
    if why:
        raise instructions.Failed(why)
    kind, kept = instructions.kind_of(build), {}
    if not update or os.path.exists(instructions.BASELINE):
        kept_kind, kept = instructions.read_baseline()
        why = instructions.other_kind(kind, kept_kind)
        if why and not update:
            raise instructions.Failed(f"the baseline is of another kind: {why}")
    counts, troubles = {}, []
    for name in instructions.names():
        if update:
            counts[name] = instructions.least(build, name)
        else:
            counts[name], trouble = instructions.check(build, name, kept)
            troubles += [trouble] if trouble else []
        change = f"{counts[name] / kept[name] - 1:+8.2%}" if kept.get(name) else ""
        print(f"{name:20} {counts[name]:10.1f} {change}", flush=True)
    for trouble in troubles:
        print(f"bench: {trouble}", file=sys.stderr)
    if update:
        instructions.write_baseline(kind, counts)
    return 1 if troubles else 0


def main():
    commands = {"compare": bench_compare, "baseline": bench_baseline}
    argv = sys.argv[1:]
    sys.exit(commands[argv[0]](argv[1:]) if argv and argv[0] in commands else bench(argv))


if __name__ == "__main__":
    main()
