"""engine.py - a run: series of rows, each row measured in rounds that go over all who take part.

A series is a module of perf/series with a SERIES in it.  Most give rows; each row lets its entrants
in (starts servers, finds programs) and is then measured here: A B C, B C A, C A B.  An entrant that
fails once is out of the row, for a run with errors is no result.  A series that has rounds of its own
gives `collect` instead.
"""
import contextlib
import dataclasses
import subprocess
import time
import typing

import field
import measure
from measure import Failed
from suite import noise
from suite.results import (FLOOR, PEER, TWIN, WEIR, Cell, Metric, ResultRow, Results,
                           noise_of_twins)

__all__ = ["Entrant", "Failed", "FLOOR", "Metric", "Options", "PEER", "ResultRow", "Row", "Run",
           "Series", "TWIN", "WEIR", "run_series"]

TIMELESS = ("instructions", "bytes", "MB")  # units
AGAIN = " again"  # behind the name of a server that takes part a second time
CAN_FAIL = (Failed, OSError, subprocess.SubprocessError)


@dataclasses.dataclass
class Options:
    """As the command line has them."""

    build: str
    cpus: list           # the server's, the load's
    spare: list          # all that may be used
    rounds: int = 5
    seconds: float = 2
    quick: bool = False
    idle: int = 8000
    boost: bool = False
    servers: list = None  # names; None: all.  The floors take part anyway
    extra: list = dataclasses.field(default_factory=list)  # entries of --peer


@dataclasses.dataclass
class Entrant:
    """Who takes part in a row: `measure` gives {key of a metric: value}."""

    family: str
    measure: typing.Callable = None
    error: str = None
    errors: int = 0
    values: list = dataclasses.field(default_factory=list)

    def fail(self, error):
        self.error = str(error).strip() or type(error).__name__
        self.errors += getattr(error, "count", 1)


@dataclasses.dataclass
class Row:
    name: str
    title: str
    metrics: list
    enter: typing.Callable        # (run, ExitStack): {name: Entrant}
    size: int                     # how many will enter, about
    seconds: float                # of one measurement, about
    rounds: int = None            # None: as the options say
    x: float = None
    prepare: float = 0            # seconds before the first round, for each


@dataclasses.dataclass
class Series:
    name: str
    title: str
    how: str                      # for the report: what is done, what counts
    rows: typing.Callable = None
    collect: typing.Callable = None   # (run): [ResultRow]
    seconds: typing.Callable = None   # (run): of collect, about
    missing: typing.Callable = lambda run: ""  # why it cannot be done here
    plot: str = "bars"            # bars, lines (over the rows' x), percentiles, none
    x_title: str = ""

    def about(self, run):
        """How many seconds it will take."""
        if self.missing(run):
            return 0
        if self.collect:
            return self.seconds(run)
        return sum(cost_of(run, row) for row in self.rows(run))


class Run:
    """What everything needs: options, who takes part, what was measured so far."""

    def __init__(self, options, progress):
        self.options = options
        self.progress = progress
        self.place = field.Place.of(options.build)
        self.results = Results()
        self.there, self.left_out = {}, {}
        self.head = ""  # what is going on, for the progress

    def say(self, text):
        self.progress.say(text)

    def gather(self, kinds):
        """Finds and builds the servers of these kinds; who is missing is noted, with the reason."""
        self.head = "building the peers"
        for entry in self.wanted(kinds):
            name = short_name(entry)
            try:
                if not entry.ready(self.place):
                    self.progress.show(self.head, name)
                entry.prepare(self.place)
                self.there.setdefault(entry.kind, {})[name] = entry
                self.results.machine.setdefault("servers", {})[name] = entry.version(self.place)
            except CAN_FAIL as error:
                self.left_out[entry.name] = str(error)
                self.say(f"going on without {error}" if isinstance(error, Failed)
                         else f"going on without {entry.name}: {error}")

    def wanted(self, kinds):
        names = self.options.servers
        return [entry for entry in [*field.FIELD, *self.options.extra] if entry.kind in kinds and
                (names is None or entry.family == FLOOR or short_name(entry) in names or
                 entry in self.options.extra)]

    def entries(self, kind):
        """{name: entry} of those that are there."""
        return self.there.get(kind, {})

    def rounds(self, row):
        return row.rounds or self.options.rounds

    def median(self, key, name):
        """What a row measured before; Failed when it has no result."""
        for row in self.results.rows:
            if row.key == key and name in row.servers and row.servers[name].good:
                return row.servers[name].median
        raise Failed(f"{key} has no result for {name}")


def short_name(entry):
    """The same server has the same name whatever it serves."""
    return entry.name.removesuffix("-echo")


# --- one row ---

def cost_of(run, row):
    return row.size * (run.rounds(row) * row.seconds + row.prepare)


def measure_row(run, series, row):
    """[ResultRow], one per metric."""
    head = run.head = f"{series.name}: {row.title}"
    begin, rounds = run.progress.done, run.rounds(row)
    run.progress.show(head)
    with contextlib.ExitStack() as stack:
        entrants = row.enter(run, stack)
        for number in range(rounds):
            for name in measure.shuffled(entrants):
                run.progress.show(head, f"{number + 1}/{rounds} {name}")
                measure_once(run, head, name, entrants[name])
                run.progress.step(row.seconds)
    run.progress.done = begin
    run.progress.step(cost_of(run, row))
    return [result_row(series, row, metric, entrants) for metric in row.metrics]


def measure_once(run, head, name, entrant):
    if entrant.error:
        return
    try:
        entrant.values.append(entrant.measure())
    except CAN_FAIL as error:
        entrant.fail(error)
        run.say(f"{head}: {name}: no result: {entrant.error}")


def result_row(series, row, metric, entrants):
    result = ResultRow(series.name, row.name, row.title, metric, row.x)
    for name, entrant in entrants.items():
        values = [] if entrant.error else [values[metric.key] for values in entrant.values]
        result.servers[name] = Cell(entrant.family, values, entrant.errors, entrant.error)
    return result


def noise_of(row, about):
    """How far apart two of a row may be without that meaning anything."""
    if row.metric.unit in TIMELESS:
        return row.noise
    for name, twin in row.good(TWIN).items():
        base = row.servers.get(name.removesuffix(AGAIN))
        if base and base.good:
            return noise_of_twins(row.metric, base, twin)
    return noise.level(about["noise"])


# --- one series ---

def run_series(run, series):
    """Measures it and adds it to the results."""
    about = run.results.series[series.name] = {
        "title": series.title, "how": series.how, "plot": series.plot, "x_title": series.x_title,
        "skipped": None, "noise": {}, "notes": [], "seconds": 0}
    start = time.monotonic()
    why = series.missing(run)
    if why:
        about["skipped"] = why
        run.say(f"{series.name} is left out: {why}")
        return
    run.progress.show(f"{series.name}: how steady the machine is")
    about["noise"] = noise.probe(run.options.cpus)
    try:
        if series.collect:
            run.progress.show(f"{series.name}: {series.title}")
            add_rows(run, about, series.collect(run))
            run.progress.step(series.seconds(run))
        else:
            for row in series.rows(run):
                add_rows(run, about, measure_row(run, series, row))
    except CAN_FAIL as error:
        about["skipped"] = str(error)
        run.say(f"{series.name} is left out: {error}")
    about["seconds"] = round(time.monotonic() - start, 1)


def add_rows(run, about, rows):
    for row in rows:
        row.noise = noise_of(row, about)
    run.results.rows += rows
