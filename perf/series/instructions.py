"""instructions.py - what does not depend on the moment: instructions, beside the kept baseline."""
import instructions
from suite.engine import WEIR, Metric, ResultRow, Series
from suite.results import Cell

COUNT = Metric("instructions", "instructions", "of weir's own, per unit")


def collect(run):
    """The baseline goes in as a row's second entrant when it was made by the same kind of build."""
    build = run.place.build
    try:
        kind, kept = instructions.read_baseline()
        why = instructions.other_kind(instructions.kind_of(build), kind)
    except instructions.Failed as error:
        kept, why = {}, str(error)
    if why:
        run.say(f"instructions: without the baseline: {why}")
        kept = {}
    for name in instructions.names():
        run.progress.show("instructions:", name)
        row = ResultRow("instructions", name, title(name), COUNT, noise=instructions.WORSE)
        row.servers["weir"] = Cell(WEIR, [instructions.measure(build, name)])
        if name in kept:
            row.servers["baseline"] = Cell("baseline", [kept[name]])
        yield row


def title(name):
    return instructions.EXCHANGES.get(name, ("", name))[1]


SERIES = Series(
    "instructions", "instructions, counted", collect=lambda run: list(collect(run)), plot="none",
    missing=lambda run: instructions.missing(run.place.build), seconds=lambda run: 28,
    how="callgrind counts two runs that differ only in the number of units; the difference, of "
        "weir's own code, repeats from run to run. The tests compare with perf/instructions.json: "
        "more than 3% worse fails.")
